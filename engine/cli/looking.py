"""What is, and why: of a lead, a campaign, a pacer, a detector; of the disk, and of a recording after a crash."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import orjson

from engine.cli.common import Exit, fail, known_campaign, moment, print_json, read_config, say, with_database

if TYPE_CHECKING:
    from engine.api import DetectionView
    from engine.store.database import AioDatabase

#: Leads of one group that `explain campaign --leads` prints.
HELD_LEADS_MAX: Final = 1_000


@click.group()
def explain() -> None:
    """Why something is as it is."""


@explain.command("lead")
@click.argument("number", type=click.IntRange(min=1))
@click.option("--json", "as_json", is_flag=True, help="Print the rules as JSON; times are ms UTC.")
@click.pass_obj
def explain_lead(path: Path, number: int, as_json: bool) -> None:
    """Say by which rules a lead is or is not dialed now, with the numbers used, and when it may be dialed next.

    The rules are asked by the very code that dials. Exit code 1: there is no such lead.

    Example: zvonar explain lead 123
    """
    from engine.core.model import LeadId
    from engine.explain import Explained
    from engine.explain import explain as ask

    loaded = read_config(path)

    async def look(database: AioDatabase, now_ms: int) -> tuple[Explained | None, int]:
        return await ask(database, loaded.policy, LeadId(number), now_ms), now_ms

    found, now_ms = with_database(loaded, look)
    if found is None:
        fail(f"there is no lead {number}")
    said = found.verdict
    if as_json:
        rules = [
            {"rule": r.code, "values": r.values, "passed": r.passed, "next_at_ms": r.next_at_ms} for r in said.rulings
        ]
        next_ms = said.next_at_ms
        print_json(
            {"lead": number, "now_ms": now_ms, "dialable": next_ms == now_ms, "next_at_ms": next_ms, "rules": rules}
        )
        return
    zone = found.lead.zone or (found.campaign.hours.zone if found.campaign else "UTC")
    for ruling in said.rulings:
        later = "" if ruling.passed else f"  next: {moment(ruling.next_at_ms, zone)}"
        click.echo(f"{'pass' if ruling.passed else 'FAIL'}  {ruling}{later}")
    click.echo("may be dialed now" if said.next_at_ms == now_ms else f"may be dialed: {moment(said.next_at_ms, zone)}")


@explain.command("campaign")
@click.argument("name")
@click.option("--leads", "group", type=click.IntRange(min=1), help="Print ids of the leads in that line of the table.")
@click.option("--json", "as_json", is_flag=True, help="Print the groups as JSON; times are ms UTC.")
@click.pass_obj
def explain_campaign(path: Path, name: str, group: int | None, as_json: bool) -> None:
    """Why are leads not being dialed? So many leads per rule that is the first to hold them back.

    Example: zvonar explain campaign spring
    """
    from engine.core.model import LeadId
    from engine.explain import Held, held_leads, why_not

    loaded = read_config(path)
    campaign = known_campaign(loaded, name, "NAME")

    async def look(database: AioDatabase, now_ms: int) -> tuple[list[Held], list[LeadId]]:
        held = await why_not(database, campaign, now_ms)
        if group is None or group > len(held):
            return held, []
        return held, await held_leads(database, campaign, held[group - 1], now_ms, limit=HELD_LEADS_MAX)

    held, leads = with_database(loaded, look)
    if group is not None:
        click.echo("\n".join(map(str, leads)))
        return
    if as_json:
        groups = [
            {"rule": one.rule, "cause": one.cause, "leads": one.count, "next_at_ms": one.next_at_ms} for one in held
        ]
        print_json({"campaign": name, "leads": sum(one.count for one in held), "groups": groups})
        return
    for number, one in enumerate(held, 1):
        later = "" if one.next_at_ms is None else f"  opens: {moment(one.next_at_ms, campaign.hours.zone)}"
        click.echo(f"{number:>3}  {one.count:>9}  {one.rule or 'waits for its turn'}  {one.cause}".rstrip() + later)
    click.echo(f"{'':3}  {sum(one.count for one in held):>9}  leads in all")


@click.command()
@click.option("--campaign", "campaign_name", help="Only this campaign, by its key.")
@click.option("--follow", is_flag=True, help="Go on, a line a second, until Ctrl+C or the engine's end.")
@click.option("--json", "as_json", is_flag=True, help="Print all that was weighed, as JSON.")
@click.pass_obj
def pacing(path: Path, campaign_name: str | None, follow: bool, as_json: bool) -> None:
    """Say how many calls the running engine places, and why not more.

    Example: zvonar pacing --campaign demo --follow
    """
    from engine.window import look

    loaded = read_config(path)
    if campaign_name is not None:
        known_campaign(loaded, campaign_name)
    file = loaded.resolve(loaded.config.database)
    try:
        for views in look(file):
            shown = [view for view in views if campaign_name in {None, view["campaign"]}]
            for view in shown:
                click.echo(orjson.dumps(view).decode() if as_json else pacing_line(view))
            if not follow:
                if not shown:
                    say("no calls were paced since the engine started")
                return
    except OSError:
        fail(f"no engine runs on {file}", Exit.NOT_REACHABLE)


#: What kept a pacer from placing one call more.
_PACING_LIMITS: dict[str, str] = {
    "agents_dial": "agents start the calls",
    "no_agent": "nobody is there to talk",
    "in_flight": "every ready agent has a call on its way",
    "risk": "one call more would too likely find nobody",
    "overdrawn": "too many were abandoned; answers have to earn it back",
    "shared": "its agents count for another campaign or are wanted by callers",
    "ceiling": "the legal share of abandoned calls is used up",
    "lines": "the lines take no more calls just now",
}


def pacing_line(view: Mapping[str, Any]) -> str:
    """A `PacingView` in one line."""
    at = datetime.fromtimestamp(view["at_ms"] / 1000).astimezone().strftime("%H:%M:%S")
    parts = [
        f"{at} {view['campaign']} {view['mode']}: {view['in_flight']} calls on their way",
        f"placed {view['placed']}",
        f"agents {view['ready']} ready, {view['busy']} busy",
    ]
    if view["lent"]:
        parts.append(f"{view['lent']} count for other campaigns")
    if view["wanted_elsewhere"]:
        parts.append(f"{view['wanted_elsewhere']} wanted elsewhere")
    if view["threshold"]:
        parts += [
            f"{view['soon_free']:.1f} soon free",
            f"answers expected {view['expected_answers']:.1f}",
            f"risk {view['risk']:.2%} of {view['threshold']:.2%}",
        ]
    if view["live_answers"]:
        share = view["abandoned"] / view["live_answers"]
        parts.append(f"abandoned {view['abandoned']:g} of {view['live_answers']:g} ({share:.2%})")
        parts.append(f"{view['abandons_left']:.1f} left")
    return ", ".join(parts) + "; " + _PACING_LIMITS.get(view["limit"], str(view["limit"]))


@click.command()
@click.option("--campaign", "campaign_name", help="Only this campaign, by its key.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.pass_obj
def amd(path: Path, campaign_name: str | None, as_json: bool) -> None:
    """Say how often answering-machine detection took a person for a machine, by what agents found.

    Example: zvonar amd --campaign demo
    """
    from engine.api import detection_view
    from engine.core.recovery import checked_of
    from engine.core.screening import Detection
    from engine.store.store import Store

    loaded = read_config(path)
    if campaign_name is not None:
        known_campaign(loaded, campaign_name)

    async def look(database: AioDatabase, _now_ms: int) -> list[DetectionView]:
        store, found = Store(database), []
        for campaign in loaded.policy.campaigns.values():
            if campaign_name in {None, campaign.id}:
                detection = Detection(campaign.amd)
                detection.restore(checked_of(campaign, await store.checked(campaign.id)))
                found.append(detection_view(campaign.id, detection))
        return found

    for view in with_database(loaded, look):
        click.echo(orjson.dumps(view).decode() if as_json else amd_line(view))


def amd_line(view: DetectionView) -> str:
    """A `DetectionView` in one line."""
    state = "off by itself: too many persons taken for machines" if view.off else "on" if view.enabled else "off"
    if not view.checked:
        return f"{view.campaign}: {state}; no call judged a machine was checked yet"
    share = f"{view.persons / view.checked:.1%}"
    return (
        f"{view.campaign}: {state}; of {view.checked} calls judged machines that agents took {view.persons} were"
        f" persons: {share}, truly {view.low:.1%} to {view.high:.1%}; at most {view.share_max:.1%}"
    )


@click.command()
@click.option("--at-rest", is_flag=True, help="The engine has stopped: nothing may be open any more.")
@click.option(
    "--carrier",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The demo carrier's journal of all calls it got from this database.",
)
@click.option(
    "--journal",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The journal of the engine's Asterisk: was anybody left in silence, or not counted?",
)
@click.pass_obj
def verify(path: Path, at_rest: bool, carrier: Path | None, journal: Path | None) -> None:
    """Check that what is on disk keeps every promise: limits, hours, one call per lead, the audit's chain.

    Changes to limits or hours since may make an old attempt look wrong. Exit code 1: promises were broken.
    """
    from asterisk.journal import carried_calls, heard_legs, read_journal
    from engine.verify import Violation
    from engine.verify import verify as check

    loaded = read_config(path)
    carried = carried_calls(read_journal(carrier)[0]) if carrier else None
    heard = heard_legs(read_journal(journal)[0]) if journal else None

    async def look(database: AioDatabase, now_ms: int) -> list[Violation]:
        return await check(database, now_ms=now_ms, policy=loaded.policy, carried=carried, heard=heard, at_rest=at_rest)

    found = with_database(loaded, look)
    for violation in found:
        click.echo(str(violation))
    if found:
        sys.exit(Exit.FAILURE)
    say("every promise is kept")


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--last", type=click.IntRange(min=0), default=50, show_default=True, help="Facts to print; 0: all.")
def replay(file: Path, last: int) -> None:
    """Live through again what an engine was told: fact by fact, what it ordered, and where it went wrong.

    The two recordings lie in the folder `facts` beside the database. Numbers are printed by their last digits only.

    Example: zvonar replay var/facts/facts-0.ring
    """
    from collections import deque

    from engine.core.invariants import violations
    from engine.recorder import RingDamaged, said_step
    from engine.recorder import replay as steps

    lines: deque[str] = deque(maxlen=last or None)
    wrong: list[str] = []
    try:
        for step in steps(file):
            lines.append(f"{step.now_ms}  {said_step(step.event, step.orders)}")
            wrong = violations(step.floor.live)
            if wrong:
                break
    except (RingDamaged, OSError) as problem:
        fail(str(problem))
    except Exception as crash:
        lines.extend(crash.__notes__)
        wrong = [f"the engine ended here: {type(crash).__name__}: {crash}"]
    for line in lines:
        click.echo(line)
    if wrong:
        fail("\n".join(wrong))
    say("the recording ends; nothing was wrong")
