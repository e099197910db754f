"""`python -m scripts.draw_machines`: docs/machines/*.md from the tables of the core; a test sees drift."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from engine.core import machines
from engine.core.model import AgentState, CallbackState, CustomerState, LeadState

FOLDER: Final = Path(__file__).resolve().parents[1] / "docs" / "machines"

Table = Mapping[tuple[Any, Any], Any]

#: File name → title, table, first state, what is worth knowing.
MACHINES: Final[Mapping[str, tuple[str, Table, StrEnum, str]]] = {
    "customer": (
        "A customer's leg",
        machines.CUSTOMER,
        CustomerState.PLANNED,
        "From the plan to dial until the line is free. Nobody who is leaving is ever offered to an agent again.",
    ),
    "agent": (
        "An agent",
        machines.AGENT,
        AgentState.LOGGED_OUT,
        "As calls and phone impose it. What the agent wishes meanwhile (a pause, the end of the shift) is remembered"
        " and granted when the call is over.",
    ),
    "lead": (
        "A lead",
        machines.LEAD,
        LeadState.NEW,
        "In its campaign. Suppressed is for ever.",
    ),
    "callback": (
        "A promised call",
        machines.CALLBACK,
        CallbackState.SCHEDULED,
        "Due at its time; missed when its tolerance has passed, and still owed.",
    ),
}


def pages() -> Iterator[tuple[Path, str]]:
    """Every page with its text."""
    for name, (title, table, first, words) in MACHINES.items():
        joint = _joint() if name == "agent" else ""
        text = f"# {title}\n\n{words}\n\n{_diagram(table, first)}\n\n{_listing(table)}\n{joint}"
        yield FOLDER / f"{name}.md", f"{text}\nGenerated from `engine/core/machines.py` by `make machines`.\n"


def _diagram(table: Table, first: StrEnum) -> str:
    arrows: dict[tuple[StrEnum, StrEnum], list[str]] = {}
    for (state, event), to in table.items():
        arrows.setdefault((state, to), []).append(event.value)
    lines = [f"    {state.value} --> {to.value}: {' · '.join(facts)}" for (state, to), facts in arrows.items()]
    left = {state for state, _ in table}
    ends = [state for state in dict.fromkeys(table.values()) if state not in left]
    lines = [f"    [*] --> {first.value}", *lines, *(f"    {end.value} --> [*]" for end in ends)]
    return "```mermaid\nstateDiagram-v2\n" + "\n".join(lines) + "\n```"


def _listing(table: Table) -> str:
    rows: dict[StrEnum, list[str]] = {}
    for (state, event), to in table.items():
        rows.setdefault(state, []).append(
            f"{event.value} → **{to.value}**" if to is not state else f"{event.value} (stays)"
        )
    lines = [f"| {state.value} | {' · '.join(moves)} |" for state, moves in rows.items()]
    return "| State | Event → next |\n|---|---|\n" + "\n".join(lines) + "\n\nWhat is not here is an error.\n"


def _joint() -> str:
    lines = [
        f"| the customer is **{customer.value}** | the agent is {agent.value} | {event.value} |"
        for (customer, agent), event in machines.JOINT_AGENT.items()
    ]
    lines += [
        f"| {event.value} of the agent | the customer is {customer.value} | {follows.value} |"
        for (event, customer), follows in machines.JOINT_CUSTOMER.items()
    ]
    head = "## What couples agents and customers\n\n| When | and | then |\n|---|---|---|\n"
    return "\n" + head + "\n".join(lines) + "\n"


def main() -> None:
    """Write the pages."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path, text in pages():
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(FOLDER.parents[1]))


if __name__ == "__main__":
    main()
