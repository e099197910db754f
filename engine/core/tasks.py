"""What "Next" hands an operator: promised calls, tasks by tier, or a lead of the recovery stack; and when a task fits.

Theory of operation. The day is cut into time slots. A task belongs to this slot when its time comes before the slot's
end, so what is overdue belongs to it too. Of the tasks of this slot the smallest tier wins: tier 2 is handed out only
while tier 1 has none, and so on. Between planned tasks the operator either waits or takes somebody from the recovery
stack: whoever's next planned task is further away than `gap_max_ms` need not wait for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum, auto
from typing import Final
from zoneinfo import ZoneInfo

from engine.core.hours import day_of, instants, wall_minute
from engine.core.model import Refusal, Task, TaskPolicy

MINUTE_MS: Final = 60_000
#: How many days behind the wanted one a free day is looked for.
DAYS_AHEAD_MAX: Final = 60

_OVER: Final = frozenset({Refusal.UNKNOWN_AGENT, Refusal.NOT_LOGGED_IN, Refusal.NOT_READY})
_LATER: Final = frozenset({Refusal.DRAINING, Refusal.SWITCH_DOWN, Refusal.NOT_NOW, Refusal.LINES_BUSY})


class Source(Enum):
    """Where what is handed out comes from."""

    PROMISE = auto()  # a call that was promised for now
    TASK = auto()
    STACK = auto()
    WAIT = auto()  # nothing yet: a planned task is near
    NOTHING = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Handout:
    """The decision and its reason (`<code>:<number>…`). `at_ms`: when to ask again, if waiting may help."""

    source: Source
    why: str
    task: Task | None = None
    at_ms: int | None = None


def hand_out(
    policy: TaskPolicy,
    tasks: Sequence[Task],
    now_ms: int,
    *,
    promised: bool = False,
    own_call_ms: int | None = None,
    stack: bool = False,
) -> Handout:
    """What the operator does next.

    `tasks`: their open ones; `promised`: a promised call is due; `own_call_ms`: the next call that they promised to
    make themselves, which is a planned task like any other; `stack`: the recovery stack has somebody.
    """
    if promised:
        return Handout(source=Source.PROMISE, why="handed_promise")
    slot_end_ms = (now_ms // policy.slot_ms + 1) * policy.slot_ms
    ours = [task for task in tasks if task.due_at_ms < slot_end_ms]
    if ours:
        task = min(ours, key=lambda one: (one.tier, one.due_at_ms, one.id))
        code = "handed_tier" if task.tier > 1 else "handed_first"
        return Handout(source=Source.TASK, why=f"{code}:{task.tier}", task=task)
    planned = [task.due_at_ms // policy.slot_ms * policy.slot_ms for task in tasks]
    if own_call_ms is not None and own_call_ms > now_ms:
        planned.append(own_call_ms)
    if not planned:
        if stack:
            return Handout(source=Source.STACK, why="handed_stack_free")
        return Handout(source=Source.NOTHING, why="nothing_to_hand_out")
    next_ms = min(planned)
    gap_ms = next_ms - now_ms
    minutes = -(-gap_ms // MINUTE_MS)
    if stack and gap_ms > policy.gap_max_ms:
        return Handout(source=Source.STACK, why=f"handed_stack:{minutes}:{policy.gap_max_ms // MINUTE_MS}")
    return Handout(source=Source.WAIT, why=f"wait_for_task:{minutes}", at_ms=next_ms)


class AfterRefusal(Enum):
    """What becomes of "Next" when the call of the client who came up is refused."""

    ANOTHER = auto()  # it is about this client: the next one may be called
    LATER = auto()  # nobody can be called now; that passes by itself
    OVER = auto()  # the operator does something else by now


def after_refusal(reason: str) -> AfterRefusal:
    """How it goes on; `reason`: a `Refusal`, or a rule about the lead."""
    if reason in _OVER:
        return AfterRefusal.OVER
    return AfterRefusal.LATER if reason in _LATER else AfterRefusal.ANOTHER


def free_ms(policy: TaskPolicy, wanted_ms: int, planned: Mapping[date, int], zone: ZoneInfo) -> int | None:
    """The wanted moment, or the same time of the next day with room; None: no day soon has any.

    `planned`: the operator's tasks by the day of the office's `zone`.
    """
    minute, first = wall_minute(wanted_ms, zone), day_of(wanted_ms, zone)
    for ahead in range(DAYS_AHEAD_MAX + 1):
        day = first + timedelta(days=ahead)
        if policy.per_day_max is None or planned.get(day, 0) < policy.per_day_max:
            return wanted_ms if not ahead else instants(day, minute, zone)[1]
    return None
