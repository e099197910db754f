"""`zvonar`: what one does with the call center from a shell. Data goes to standard output, words to standard error."""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import re
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import click
import orjson

if TYPE_CHECKING:
    from asterisk.conf import AsteriskInstance
    from engine.api import DetectionView
    from engine.config import ConfigProblem, Loaded
    from engine.core.model import Campaign, PhoneNumber
    from engine.leads.files import ImportReport
    from engine.store.database import AioDatabase
    from engine.store.imports import ImportJob, Profile, Reverted
    from engine.store.partners import Partner

T = TypeVar("T")
#: Leads of one group that `explain campaign --leads` prints.
HELD_LEADS_MAX: Final = 1_000


class Exit(IntEnum):
    """What the shell is told."""

    OK = 0
    FAILURE = 1
    USAGE = 2  # click's own
    CONFIG_INVALID = 3
    NOT_REACHABLE = 4  # the database, Asterisk, or the engine that should run
    INTERRUPTED = 130


def main() -> NoReturn:
    """Run one command. A mistake of ours is one line too, unless ZVONAR_DEBUG is set."""
    try:
        sys.exit(zvonar(prog_name="zvonar"))
    except KeyboardInterrupt:
        sys.exit(Exit.INTERRUPTED)
    except Exception as error:
        if os.environ.get("ZVONAR_DEBUG"):
            raise
        _say(f"a mistake of ours: {type(error).__name__}: {error}; ZVONAR_DEBUG=1 shows where, please report it")
        sys.exit(Exit.FAILURE)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-c",
    "--config",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("config.yaml"),
    envvar="ZVONAR_CONFIG",
    show_default=True,
    help="The configuration file; also ZVONAR_CONFIG.",
)
@click.version_option(package_name="zvonar")
@click.pass_context
def zvonar(context: click.Context, path: Path) -> None:
    """Zvonar: a telephony-first call-center engine with a CRM attached, for Asterisk.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 config.yaml is invalid, 4 database, Asterisk or engine not reachable.
    """
    context.obj = path


# ── the configuration ────────────────────────────────────────────────────────────────────────────────────────────


@zvonar.command("check-config")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
@click.option("--json", "as_json", is_flag=True, help="Print problems and warnings as JSON.")
@click.pass_obj
def check_config(path: Path, file: Path | None, as_json: bool) -> None:
    """Say everything that is wrong in config.yaml, with file, line and column.

    Example: zvonar check-config new-config.yaml
    """
    from engine.config import Loaded, load

    result = load(file or path)
    problems = result if isinstance(result, list) else list(result.warnings)
    if as_json:
        _print_json({"ok": isinstance(result, Loaded), "problems": [_as_json(problem) for problem in problems]})
    else:
        for problem in problems:
            _say(str(problem))
    if not isinstance(result, Loaded):
        sys.exit(Exit.CONFIG_INVALID)
    if not as_json:
        click.echo("ok")


@zvonar.group("config")
def config() -> None:
    """What config.yaml may say."""


@config.command("schema")
def config_schema() -> None:
    """Print the JSON Schema of config.yaml, for editors (config.schema.json)."""
    from engine.config import describe

    click.echo(describe.json_schema(), nl=False)


@config.command("docs")
def config_docs() -> None:
    """Print the reference of every key (docs/config.md)."""
    from engine.config import describe

    click.echo(describe.markdown(), nl=False)


def _loaded(path: Path) -> Loaded:
    """The configuration, or its problems and the end."""
    from engine.config import Loaded, load

    result = load(path)
    if not isinstance(result, Loaded):
        for problem in result:
            _say(str(problem))
        sys.exit(Exit.CONFIG_INVALID)
    return result


def _as_json(problem: ConfigProblem) -> dict[str, Any]:
    names = ("file", "line", "column", "path", "message", "warning")
    return {name: getattr(problem, name) for name in names}


# ── leads ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _campaign(loaded: Loaded, name: str, hint: str = "--campaign") -> Campaign:
    """The campaign of that key; a usage error that lists the known ones."""
    from engine.core.model import CampaignId

    campaign = loaded.policy.campaigns.get(CampaignId(name))
    if campaign is None:
        known = ", ".join(loaded.policy.campaigns)
        raise click.BadParameter(f"{name} is not in {loaded.path}; known: {known}", param_hint=hint)
    return campaign


@zvonar.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--campaign", "campaign_name", required=True, help="The campaign that gets the leads, by its key.")
@click.option(
    "--mode",
    type=click.Choice(["create", "update", "both"]),
    help="Make leads, change those that the campaign has (found by number), or both. Without a profile: create.",
)
@click.option(
    "--duplicates",
    type=click.Choice(["campaign", "everywhere"]),
    default="campaign",
    show_default=True,
    help="Who has one of the row's numbers: a lead of this campaign, or of any.",
)
@click.option("--column", "columns", multiple=True, metavar="TITLE=ROLE", help="What a column is, instead of a guess.")
@click.option(
    "--default",
    "defaults",
    multiple=True,
    metavar="NAME=VALUE",
    help="Of rows that say nothing themselves: zone, priority, owner, source, a field; of all: tags.",
)
@click.option("--list", "list_name", help="The list that the new leads come onto. Default: the file's name.")
@click.option("--profile", help="Read the file by this profile; see: zvonar profiles.")
@click.option("--save-profile", "profile_name", help="Keep what was chosen under this name, for the next such file.")
@click.option("--dry-run", is_flag=True, help="Read, check and compare with the database; nothing is changed.")
@click.option("--rejects", type=click.Path(dir_okay=False, path_type=Path), help="Bad rows go there (.xlsx or .csv).")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.pass_obj
def import_(
    path: Path,
    file: Path,
    campaign_name: str,
    mode: str | None,
    duplicates: str,
    columns: tuple[str, ...],
    defaults: tuple[str, ...],
    list_name: str | None,
    profile: str | None,
    profile_name: str | None,
    dry_run: bool,
    rejects: Path | None,
    as_json: bool,
) -> None:
    """Bring a file of leads (XLSX, XLS, ODS, CSV) into a campaign.

    Numbers may be written as people write them; what the columns mean is told by their names and contents, or as it
    was chosen for the last file with the same headings. All of the file is imported, or nothing of it. A number that
    the campaign has already is a duplicate. Who kills it in the middle carries it on by `zvonar imports --resume`.

    ROLE is phone, name, zone, priority, external_id, field, field:KEY (of lead_fields) or ordinal (left out).

    Example: zvonar import leads.xlsx --campaign demo --rejects bad.xlsx --column "Связь=phone"
    """
    from engine.core.model import CampaignId
    from engine.leads.files import check_file, chosen_for, import_file, meaning_of
    from engine.leads.sheets import Refused
    from engine.store.folding import list_called
    from engine.store.imports import ImportCancelled
    from engine.store.rows import ImportMode

    loaded = _loaded(path)
    _campaign(loaded, campaign_name)
    meaning = meaning_of(loaded.config)

    async def bring(database: AioDatabase | None, now_ms: int) -> ImportReport:
        choice, usual = await chosen_for(
            database, file, meaning, columns=columns, defaults=defaults, profile=profile or ""
        )
        if not columns and not profile_name:
            choice = replace(choice, headings="")  # nothing new was chosen
        choice = replace(
            choice,
            everywhere=duplicates == "everywhere",
            profile=profile_name or choice.profile,
            list_name=list_called(list_name or choice.list_name),
        )
        how: dict[str, Any] = {
            "campaign": CampaignId(campaign_name),
            "meaning": meaning,
            "file_name": file.name,
            "rejects_to": rejects,
        }
        wanted = ImportMode(mode) if mode else usual
        if dry_run or database is None:
            return await check_file(file, **how, database=database, mode=wanted, choice=choice)
        return await import_file(database, file, **how, by=_who(), now_ms=now_ms, mode=wanted, choice=choice)

    try:
        if dry_run and not loaded.resolve(loaded.config.database).exists():
            report = asyncio.run(bring(None, 0))
        else:
            report = _with_database(loaded, bring)
    except Refused as refused:
        _fail(f"{file}: {refused}; nothing was imported")
    except LookupError as error:
        raise click.UsageError(str(error.args[0])) from None
    except ImportCancelled:
        _fail(f"{file}: the import was cancelled; nothing of it stays")
    except OSError as error:
        _fail(f"{error.filename or rejects}: {error.strerror}; nothing was imported")
    _print_report(report, as_json, dry_run, rejects)


def _print_report(report: ImportReport, as_json: bool, dry_run: bool, rejects: Path | None) -> None:
    counts = report.counts
    if as_json:
        _print_json(
            {
                "rows": counts.rows,
                "leads": counts.leads,
                "updated": counts.updated,
                "listed": counts.listed,
                "duplicates": counts.duplicates,
                "rejected": counts.rejects,
                "columns": {column.title: column.key or column.role.value for column in report.layout.columns},
                "rejects": [
                    {"row": r.line, "column": r.field, "value": r.value, "reason": str(r.reason)}
                    for r in report.rejects
                ],
            }
        )
        return
    for column in report.layout.columns:
        _say(f"  {column.title} → {column.key or column.role.value}")
    for reject in report.rejects:
        _say(f"{report.file_name}:{reject.line}: {reject.field}: {reject.reason}: {reject.value!r}")
    for remark in report.remarks:
        _say(f"{report.file_name}:{remark.line}: {remark.value}: {remark.reason}")
    if hidden := counts.rejects - len({reject.line for reject in report.rejects}):
        _say(f"… and {hidden} more bad rows")
    if counts.rejects and rejects:
        _say(f"bad rows: {rejects}")
    click.echo(("would be: " if dry_run else "") + str(report))


@zvonar.group()
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

    loaded = _loaded(path)

    async def look(database: AioDatabase, now_ms: int) -> tuple[Explained | None, int]:
        return await ask(database, loaded.policy, LeadId(number), now_ms), now_ms

    found, now_ms = _with_database(loaded, look)
    if found is None:
        _fail(f"there is no lead {number}")
    said = found.verdict
    if as_json:
        rules = [
            {"rule": r.code, "values": r.values, "passed": r.passed, "next_at_ms": r.next_at_ms} for r in said.rulings
        ]
        next_ms = said.next_at_ms
        _print_json(
            {"lead": number, "now_ms": now_ms, "dialable": next_ms == now_ms, "next_at_ms": next_ms, "rules": rules}
        )
        return
    zone = found.lead.zone or (found.campaign.hours.zone if found.campaign else "UTC")
    for ruling in said.rulings:
        later = "" if ruling.passed else f"  next: {_moment(ruling.next_at_ms, zone)}"
        click.echo(f"{'pass' if ruling.passed else 'FAIL'}  {ruling}{later}")
    click.echo("may be dialed now" if said.next_at_ms == now_ms else f"may be dialed: {_moment(said.next_at_ms, zone)}")


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

    loaded = _loaded(path)
    campaign = _campaign(loaded, name, "NAME")

    async def look(database: AioDatabase, now_ms: int) -> tuple[list[Held], list[LeadId]]:
        held = await why_not(database, campaign, now_ms)
        if group is None or group > len(held):
            return held, []
        return held, await held_leads(database, campaign, held[group - 1], now_ms, limit=HELD_LEADS_MAX)

    held, leads = _with_database(loaded, look)
    if group is not None:
        click.echo("\n".join(map(str, leads)))
        return
    if as_json:
        groups = [
            {"rule": one.rule, "cause": one.cause, "leads": one.count, "next_at_ms": one.next_at_ms} for one in held
        ]
        _print_json({"campaign": name, "leads": sum(one.count for one in held), "groups": groups})
        return
    for number, one in enumerate(held, 1):
        later = "" if one.next_at_ms is None else f"  opens: {_moment(one.next_at_ms, campaign.hours.zone)}"
        click.echo(f"{number:>3}  {one.count:>9}  {one.rule or 'waits for its turn'}  {one.cause}".rstrip() + later)
    click.echo(f"{'':3}  {sum(one.count for one in held):>9}  leads in all")


@zvonar.command()
@click.option("--campaign", "campaign_name", required=True, help="Whose leads, by the campaign's key.")
@click.option("--rule", "rules", multiple=True, help="What closed them, whole or its first word; again for more.")
@click.pass_obj
def recycle(path: Path, campaign_name: str, rules: tuple[str, ...]) -> None:
    """Call closed leads again, with all their tries. Without --rule: say how many leads each rule has closed.

    Example: zvonar recycle --campaign spring --rule attempts_used
    """
    from engine.store.store import Store

    loaded = _loaded(path)
    campaign = _campaign(loaded, campaign_name).id

    async def work(database: AioDatabase, now_ms: int) -> tuple[dict[str, int], int | None]:
        store = Store(database)
        closed = await store.closed_rules(campaign)
        chosen = [rule for rule in closed if any(rule == said or rule.startswith(f"{said}:") for said in rules)]
        given = await store.recycle(campaign, chosen, by=_who(), at_ms=now_ms) if rules else None
        return closed, given

    closed, given = _with_database(loaded, work)
    if given is None:
        for rule, count in sorted(closed.items(), key=lambda one: -one[1]):
            click.echo(f"{count:>9}  {rule}")
    else:
        click.echo(f"{given} leads are called again")


def _moment(at_ms: int | None, zone: str) -> str:
    from datetime import datetime
    from zoneinfo import ZoneInfo

    if at_ms is None:
        return "never by itself"
    return f"{datetime.fromtimestamp(at_ms / 1000, ZoneInfo(zone)):%Y-%m-%d %H:%M:%S} {zone}"


@zvonar.command("imports")
@click.option("--resume", is_flag=True, help="First carry on those whose process died in the middle.")
@click.option("--cancel", type=click.IntRange(min=1), help="Cancel this running import: what is in is taken back.")
@click.pass_obj
def imports(path: Path, resume: bool, cancel: int | None) -> None:
    """Say which files were imported, newest first."""
    loaded = _loaded(path)

    async def look(database: AioDatabase, now_ms: int) -> tuple[ImportJob, ...]:
        from engine.leads.files import meaning_of, resume_imports
        from engine.store.imports import ask_to_cancel, latest_imports

        if cancel is not None:
            await ask_to_cancel(database, cancel, now_ms=now_ms)
        if resume:
            await resume_imports(database, meaning=meaning_of(loaded.config), now_ms=now_ms)
        return await latest_imports(database)

    for one in _with_database(loaded, look):
        counts = one.counts
        numbers = f"{counts.leads} leads, {counts.updated} updated, {counts.rows} rows"
        click.echo(f"{one.id}\t{one.campaign}\t{one.file_name}\t{one.by}\t{numbers}{_fate(one)}")


def _fate(job: ImportJob) -> str:
    if job.state == "publishing":
        return f"  running: {job.counts.rows} of {job.rows_total or '?'} rows"
    if job.state == "cancelled":
        return f"  cancelled {job.problem}".rstrip()
    return "  undone" if job.reverted_at_ms is not None else ""


@zvonar.command("profiles")
@click.pass_obj
def profiles(path: Path) -> None:
    """Say for which headings of lead files people have chosen what the columns are; the last used first."""
    loaded = _loaded(path)

    async def look(database: AioDatabase, now_ms: int) -> tuple[Profile, ...]:
        from engine.store.imports import profiles

        return await profiles(database)

    for one in _with_database(loaded, look):
        click.echo(f"{one.name or '-'}\t{one.by}\t{', '.join(orjson.loads(one.headings))}")


@zvonar.command("revert")
@click.argument("number", type=click.IntRange(min=1))
@click.pass_obj
def revert(path: Path, number: int) -> None:
    """Undo an import, by its number in `zvonar imports`.

    Leads that it made go; those called meanwhile are closed. What it changed is put back, unless somebody has edited
    the lead since.

    Example: zvonar revert 7
    """
    loaded = _loaded(path)

    async def undo(database: AioDatabase, now_ms: int) -> Reverted:
        from engine.store.imports import revert_import

        return await revert_import(database, number, by=_who(), now_ms=now_ms)

    try:
        done = _with_database(loaded, undo)
    except KeyError:
        _fail(f"there is no finished import {number}; see: zvonar imports")
    click.echo(f"import {number}: {done.gone} leads gone, {done.left} closed, {done.put_back} put back")


@zvonar.command("export")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--campaign", "campaign_name", help="Only leads of this campaign.")
@click.option(
    "--state", type=click.Choice(["new", "retry", "callback", "closed", "suppressed"]), help="Only in this state."
)
@click.option("--disposition", help="Only with this last result, by its key.")
@click.option("--partner", help="Only from this partner.")
@click.option("--list", "list_name", help="Only of this list.")
@click.option("--tag", help="Only with this tag.")
@click.option("--owner", help="Only this operator's, by the log-in.")
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="The last result was given on this day or later.")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="The last result was given on this day or before.")
@click.pass_obj
def export(
    path: Path,
    file: Path,
    campaign_name: str | None,
    state: str | None,
    disposition: str | None,
    partner: str | None,
    list_name: str | None,
    tag: str | None,
    owner: str | None,
    since: datetime | None,
    until: datetime | None,
) -> None:
    """Write leads with their last results to a file (.xlsx or .csv); days are this machine's.

    What strangers wrote stays text there: no formula is calculated.

    Example: zvonar export sold.xlsx --campaign demo --disposition sale --since 2026-11-01
    """
    from engine.core.model import AgentId, CampaignId, DispositionId, LeadState
    from engine.leads.export import export_leads, labels_of
    from engine.store.exports import Wanted
    from engine.store.folding import list_called

    loaded = _loaded(path)
    if campaign_name:
        _campaign(loaded, campaign_name)
    if disposition and disposition not in loaded.config.dispositions:
        known = ", ".join(loaded.config.dispositions)
        raise click.BadParameter(f"{disposition} is unknown; known: {known}", param_hint="--disposition")
    wanted = Wanted(
        campaign=CampaignId(campaign_name) if campaign_name else None,
        state=LeadState(state) if state else None,
        disposition=DispositionId(disposition) if disposition else None,
        source=partner,
        list_name=list_called(list_name) if list_name else None,
        tag=tag.strip().casefold() if tag else None,
        keeper=AgentId(owner) if owner else None,
        since_ms=None if since is None else int(since.astimezone().timestamp() * 1000),
        until_ms=None if until is None else int((until + timedelta(days=1)).astimezone().timestamp() * 1000),
    )

    async def write(database: AioDatabase, now_ms: int) -> int:
        return await export_leads(
            database,
            file,
            wanted,
            labels=labels_of(loaded.config, loaded.config.languages[0]),
            zone=_here(),
            by=_who(),
            now_ms=now_ms,
        )

    try:
        count = _listing(loaded, write)
    except OSError as error:
        _fail(f"{file}: {error.strerror}")
    click.echo(f"{file}: {count} leads")


def _here() -> tzinfo:
    zone = datetime.now().astimezone().tzinfo
    assert zone is not None
    return zone


# ── do-not-call lists ────────────────────────────────────────────────────────────────────────────────────────────


@zvonar.group()
def dnc() -> None:
    """Numbers that must not be called: everybody's list, each campaign's, each partner's."""


_WHOSE = (
    click.option("--campaign", "campaign_name", help="The list of this campaign; without it, everybody's."),
    click.option("--partner", help="The list for leads that came from this partner."),
)
_WHY = click.option("--reason", required=True, help="Why, for the audit: asked, complaint, register …")


def _whose(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_WHOSE):
        command = option(command)
    return command


def _list_of(loaded: Loaded, campaign_name: str | None, partner: str | None) -> str:
    from engine.store.dnc import SYSTEM

    if campaign_name and partner:
        raise click.UsageError("--campaign and --partner are two lists; name one")
    if campaign_name:
        _campaign(loaded, campaign_name)
    return f"campaign:{campaign_name}" if campaign_name else f"partner:{partner}" if partner else SYSTEM


def _numbers(loaded: Loaded, texts: Sequence[str]) -> list[PhoneNumber]:
    from engine.leads.files import meaning_of
    from engine.phones import PhoneProblem, parse_phone

    read = [(text, parse_phone(text, meaning_of(loaded.config).numbering)) for text in texts]
    wrong = [f"{text}: {found.reason}" for text, found in read if isinstance(found, PhoneProblem)]
    if wrong:
        _fail("; ".join(wrong) + "; nothing was changed")
    return [found for _, found in read if not isinstance(found, PhoneProblem)]


@dnc.command("add")
@click.argument("numbers", nargs=-1, required=True)
@_whose
@_WHY
@click.pass_obj
def dnc_add(path: Path, numbers: tuple[str, ...], campaign_name: str | None, partner: str | None, reason: str) -> None:
    """Never call these numbers again. A running engine takes back queued and ringing calls within a second.

    Example: zvonar dnc add "067 123 45 67" --reason complaint
    """
    loaded = _loaded(path)
    to, asked = _list_of(loaded, campaign_name, partner), _numbers(loaded, numbers)

    async def add(database: AioDatabase, now_ms: int) -> int:
        from engine.store.dnc import DoNotCall

        return await DoNotCall(database).add(asked, to=to, reason=reason, by=_who(), at_ms=now_ms)

    new = _listing(loaded, add)
    click.echo(f"{to}: {new} added, {len(asked) - new} were there")


@dnc.command("remove")
@click.argument("numbers", nargs=-1, required=True)
@_whose
@_WHY
@click.pass_obj
def dnc_remove(
    path: Path, numbers: tuple[str, ...], campaign_name: str | None, partner: str | None, reason: str
) -> None:
    """Take numbers off a list: leads that were left alone for it alone may be called again.

    Example: zvonar dnc remove +380671234567 --reason "listed by mistake"
    """
    loaded = _loaded(path)
    of, asked = _list_of(loaded, campaign_name, partner), _numbers(loaded, numbers)

    async def remove(database: AioDatabase, now_ms: int) -> int:
        from engine.store.dnc import DoNotCall

        lists = DoNotCall(database)
        return sum([await lists.remove(n, of=of, reason=reason, by=_who(), at_ms=now_ms) for n in asked])

    gone = _listing(loaded, remove)
    click.echo(f"{of}: {gone} removed, {len(asked) - gone} were not there")


@dnc.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@_whose
@_WHY
@click.pass_obj
def dnc_import(path: Path, file: Path, campaign_name: str | None, partner: str | None, reason: str) -> None:
    """Put all numbers of a file (XLSX, XLS, ODS, CSV) on a list.

    Example: zvonar dnc import register.csv --reason "national register"
    """
    from engine.leads.files import ListedFile, list_file, meaning_of
    from engine.leads.sheets import Refused

    loaded = _loaded(path)
    to = _list_of(loaded, campaign_name, partner)

    async def bring(database: AioDatabase, now_ms: int) -> ListedFile:
        from engine.clock import WallClock

        return await list_file(
            database,
            file,
            to=to,
            reason=reason,
            meaning=meaning_of(loaded.config),
            file_name=file.name,
            by=_who(),
            clock=WallClock(),
        )

    try:
        done = _listing(loaded, bring)
    except Refused as refused:
        _fail(f"{file}: {refused}")
    for reject in done.rejects:
        _say(f"{file.name}:{reject.line}: {reject.field}: {reject.reason}: {reject.value!r}")
    click.echo(f"{to}: {done.new} added, {done.numbers - done.new} were there, {done.rejected} bad rows")


@dnc.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON value a line.")
@click.pass_obj
def dnc_list(path: Path, as_json: bool) -> None:
    """Print every entry of every list: number, list, time, who, why."""
    loaded = _loaded(path)

    async def show(database: AioDatabase, now_ms: int) -> None:
        from engine.store.dnc import DoNotCall

        async for one in DoNotCall(database).all():
            if as_json:
                said = {"number": one.number.e164, "list": one.list, "at_ms": one.at_ms}
                click.echo(orjson.dumps({**said, "by": one.by, "reason": one.reason}).decode())
            else:
                click.echo(f"{one.number.e164}\t{one.list}\t{_moment(one.at_ms, 'UTC')}\t{one.by}\t{one.reason}")

    _listing(loaded, show)


def _listing(loaded: Loaded, work: Callable[[AioDatabase, int], Awaitable[T]]) -> T:
    try:
        return _with_database(loaded, work)
    except ValueError as error:
        _fail(str(error))


@zvonar.command("erase")
@click.argument("number", type=click.IntRange(min=1))
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def erase(path: Path, number: int, yes: bool) -> None:
    """Forget the person of a lead: name, numbers, fields, notes. It cannot be undone.

    What stays are the attempts without to whom they went, and a keyed hash of each number: a file that brings the
    person back does not bring them onto the phone.

    Example: zvonar erase 123
    """
    loaded = _loaded(path)
    if not yes:
        click.confirm(f"Forget lead {number} for ever?", abort=True, err=True)

    async def forget(database: AioDatabase, now_ms: int) -> None:
        from engine.core.model import LeadId
        from engine.store.dnc import DoNotCall

        await DoNotCall(database).erase(LeadId(number), by=_who(), at_ms=now_ms)

    _listing(loaded, forget)
    click.echo(f"lead {number}: forgotten")


# ── partners ─────────────────────────────────────────────────────────────────────────────────────────────────────


@zvonar.group()
def partner() -> None:
    """Who may send leads by POST /api/v1/leads."""


_PARTNER = click.argument("key")


@partner.command("add")
@_PARTNER
@click.option("--campaign", "campaign_name", required=True, help="The campaign that gets the partner's leads.")
@click.pass_obj
def partner_add(path: Path, key: str, campaign_name: str) -> None:
    """Let a partner send leads. The token is printed this once: only its hash is kept.

    Example: zvonar partner add shop --campaign demo
    """
    loaded = _loaded(path)
    _campaign(loaded, campaign_name)
    if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,63}", key):
        raise click.BadParameter("small letters, digits, _ . -", param_hint="KEY")

    async def add(database: AioDatabase, now_ms: int) -> str | None:
        from engine.core.model import CampaignId
        from engine.store.partners import Partners

        return await Partners(database).add(key, CampaignId(campaign_name), by=_who(), at_ms=now_ms)

    token = _with_database(loaded, add)
    if token is None:
        _fail(f"{key} is there already; a new token: zvonar partner revoke {key}, then add again")
    _say(f"{key}: may send leads into {campaign_name}; the token, told only now:")
    click.echo(token)


@partner.command("revoke")
@_PARTNER
@click.pass_obj
def partner_revoke(path: Path, key: str) -> None:
    """Take no more leads with a partner's token, from this moment on."""
    loaded = _loaded(path)

    async def revoke(database: AioDatabase, now_ms: int) -> bool:
        from engine.store.partners import Partners

        return await Partners(database).revoke(key, by=_who(), at_ms=now_ms)

    if not _with_database(loaded, revoke):
        _fail(f"{key} sends no leads")
    click.echo(f"{key}: sends no more leads")


@partner.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print partners as JSON.")
@click.pass_obj
def partner_list(path: Path, as_json: bool) -> None:
    """Say who sends leads, into which campaign, how many, and how many were new and good."""
    loaded = _loaded(path)

    async def look(database: AioDatabase, now_ms: int) -> tuple[Partner, ...]:
        from engine.store.partners import Partners

        return await Partners(database).all()

    found = _with_database(loaded, look)
    if as_json:
        _print_json(found)
        return
    for one in found:
        state = "revoked" if one.revoked_at_ms is not None else "open"
        click.echo(f"{one.key}\t{one.campaign}\t{state}\t{one.sent} sent\t{one.accepted} accepted")


# ── the database and its users ───────────────────────────────────────────────────────────────────────────────────


@zvonar.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.pass_obj
def migrate(path: Path, dry_run: bool) -> None:
    """Bring the database to this program's schema; a backup is made first. Starting does the same."""
    from engine.clock import WallClock
    from engine.store import migrate as steps
    from engine.store.database import bring_up_to_date, connect
    from engine.store.errors import StoreError

    loaded = _loaded(path)
    file = loaded.resolve(loaded.config.database)
    if dry_run and not file.exists():
        click.echo(f"{file}: would be created")
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        if dry_run:
            with closing(connect(file, write=False)) as connection:
                done = steps.pending(connection, file)
        else:
            done = bring_up_to_date(file, now_ms=WallClock().now_ms())
    except StoreError as error:
        _fail(str(error), Exit.NOT_REACHABLE)
    for step in done:
        click.echo(f"{step.number:04d} {step.name}: {'would be applied' if dry_run else 'applied'}")
    if not done:
        click.echo(f"{file}: nothing to do")


@zvonar.group()
def user() -> None:
    """People who may log in."""


_LOGIN = click.argument("login")
_PASSWORD_STDIN = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")


@user.command("add")
@_LOGIN
@click.option("--role", type=click.Choice(["operator", "supervisor", "engineer", "admin"]), required=True)
@click.option("--agent", help="The agent of config.yaml that an operator works as; by default the log-in name.")
@click.option("--name", help="The name that colleagues see.")
@click.option("--language", type=click.Choice(["ru", "uk", "en"]), help="By default the first of config.yaml.")
@_PASSWORD_STDIN
@click.pass_obj
def user_add(
    path: Path, login: str, role: str, agent: str | None, name: str | None, language: str | None, password_stdin: bool
) -> None:
    """Let somebody log in.

    Example: zvonar user add operator1 --role operator
    """
    loaded = _loaded(path)
    if role == "operator":
        agent = agent or login
    if agent is not None and agent not in loaded.config.agents:
        raise click.BadParameter(f"{agent} is not in the agents of {path}", param_hint="--agent")
    password = _password(password_stdin)

    async def add(database: AioDatabase, now_ms: int) -> None:
        from crm_lite.auth import create_user
        from engine.store.records import Records

        records = Records(database)
        if await records.user_by_login(login) is not None:
            raise ValueError(f"{login} is there already; a new password: zvonar user passwd {login}")
        shown = name or (loaded.config.agents[agent].name if agent else login)
        spoken = language or loaded.config.languages[0]
        await create_user(records, login, password, role, agent, spoken, name=shown, now_ms=now_ms)

    _change_user(loaded, add)
    click.echo(f"{login}: may log in as {role}")


@user.command("passwd")
@_LOGIN
@_PASSWORD_STDIN
@click.pass_obj
def user_passwd(path: Path, login: str, password_stdin: bool) -> None:
    """Give somebody a new password and end their sessions."""
    loaded = _loaded(path)
    password = _password(password_stdin)

    async def change(database: AioDatabase, now_ms: int) -> None:
        from crm_lite.auth import create_user
        from engine.store.records import Records

        records = Records(database)
        known = await records.user_by_login(login)
        if known is None:
            raise ValueError(f"nobody logs in as {login}")
        await create_user(
            records, login, password, known.role, known.agent, known.language, name=known.name, now_ms=now_ms
        )
        await records.end_sessions(login)

    _change_user(loaded, change)
    click.echo(f"{login}: has a new password")


def _change_user(loaded: Loaded, change: Callable[[AioDatabase, int], Awaitable[None]]) -> None:
    from crm_lite.auth import WeakPassword

    try:
        _with_database(loaded, change)
    except (WeakPassword, ValueError) as error:
        _fail(str(error))


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))


def _with_database(loaded: Loaded, work: Callable[[AioDatabase, int], Awaitable[T]]) -> T:
    """Run `work(database, now_ms)`; a database that cannot be used ends the program."""
    from engine.clock import WallClock
    from engine.store.database import AioDatabase
    from engine.store.errors import StoreError

    file = loaded.resolve(loaded.config.database)
    file.parent.mkdir(parents=True, exist_ok=True)
    now_ms = WallClock().now_ms()

    async def run() -> T:
        async with AioDatabase.open(file, now_ms=now_ms) as database:
            return await work(database, now_ms)

    try:
        return asyncio.run(run())
    except StoreError as error:
        _fail(str(error), Exit.NOT_REACHABLE)


# ── Asterisk ─────────────────────────────────────────────────────────────────────────────────────────────────────


@zvonar.group()
def asterisk() -> None:
    """Asterisk's files, as config.yaml wants them."""


@asterisk.command("render")
@click.option(
    "--to",
    type=click.Path(file_okay=False, path_type=Path),
    help="For an Asterisk of yours: write only phones, trunks and dialplan, into this directory.",
)
@click.pass_obj
def asterisk_render(path: Path, to: Path | None) -> None:
    """Write Asterisk's files from config.yaml, each only if it changed. A running engine does this by itself.

    Example: zvonar asterisk render --to /etc/asterisk/zvonar
    """
    loaded = _loaded(path)
    with _asterisk_problems():
        if to is None:
            from asterisk.instance import find_binary, render

            names = render(_private_asterisk(loaded), find_binary())
        else:
            from asterisk.conf import write_if_changed

            to.mkdir(mode=0o700, parents=True, exist_ok=True)
            names = write_if_changed(to, _own_files(loaded))
    for name in names:
        click.echo(name)


@asterisk.command("check")
@click.option("--in", "folder", type=click.Path(file_okay=False, path_type=Path), help="Files that render --to wrote.")
@click.pass_obj
def asterisk_check(path: Path, folder: Path | None) -> None:
    """Say what in Asterisk's files is not what config.yaml says."""
    loaded = _loaded(path)
    with _asterisk_problems():
        if folder is None:
            from asterisk.instance import check, find_binary

            found = check(_private_asterisk(loaded), find_binary())
        else:
            from asterisk.conf import differing

            found = [f"{folder / name}: not what config.yaml says" for name in differing(folder, _own_files(loaded))]
    for problem in found:
        click.echo(problem)
    if found:
        sys.exit(Exit.FAILURE)
    _say("ok")


def _private_asterisk(loaded: Loaded) -> AsteriskInstance:
    from engine.telephony import private_asterisk

    if not loaded.config.asterisk.managed:
        _fail("asterisk.managed is no, so its directory is not known here: name it with --to or --in")
    return private_asterisk(loaded)


def _own_files(loaded: Loaded) -> dict[str, str]:
    """What an Asterisk of one's own includes: phones, trunks, dialplan."""
    from asterisk.conf import render_pjsip
    from engine.telephony import dialplan_of, phones_and_trunks

    return {**render_pjsip(*phones_and_trunks(loaded)), **dialplan_of(loaded)}


@contextmanager
def _asterisk_problems() -> Iterator[None]:
    from asterisk.conf import InvalidSettings
    from asterisk.instance import AsteriskFailed

    try:
        yield
    except AsteriskFailed as error:
        _fail(str(error), Exit.NOT_REACHABLE)
    except (InvalidSettings, OSError) as error:
        _fail(str(error))


# ── after a crash ────────────────────────────────────────────────────────────────────────────────────────────────


@zvonar.command()
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
        _fail(str(problem))
    except Exception as crash:
        lines.extend(crash.__notes__)
        wrong = [f"the engine ended here: {type(crash).__name__}: {crash}"]
    for line in lines:
        click.echo(line)
    if wrong:
        _fail("\n".join(wrong))
    _say("the recording ends; nothing was wrong")


# ── running ──────────────────────────────────────────────────────────────────────────────────────────────────────


@zvonar.command()
@click.pass_obj
def run(path: Path) -> None:
    """Run the call center by config.yaml until a signal: the first SIGTERM or Ctrl+C drains, the second ends now."""
    from engine.app import run as run_engine

    serve(run_engine(_loaded(path)))


@zvonar.command()
@click.pass_obj
def demo(path: Path) -> None:
    """Show the main job by itself: a demo carrier, robot operators, 200 leads, a free seat for you."""
    from engine.demo import show

    serve(show(_loaded(path)), quiet=True)


@zvonar.command()
@click.pass_obj
def agi(path: Path) -> None:
    """Serve callers while no engine is there: a process of its own, listening at `asterisk.agi`."""
    from dialplan.agi.__main__ import run

    loaded = _loaded(path)
    address = loaded.config.asterisk.agi
    if address is None:
        raise click.ClickException(f"{loaded.path}: asterisk.agi names no address, such as 127.0.0.1:4573")
    run(loaded.resolve(loaded.config.database), path, address.host, address.port)


@zvonar.command()
@click.argument("caller", required=False)
@click.option("--to", "dialed", help="Our number that is dialed; without it, the first one of `inbound`.")
@click.pass_obj
def demo_call(path: Path, caller: str | None, dialed: str | None) -> None:
    """Let somebody of the demo's public network call you: CALLER is their number, a stranger's if not given."""
    from engine.demo import CannotCall, call_in

    loaded = _loaded(path)
    ours = [number for queue in loaded.policy.queues.values() for number in queue.numbers]
    if dialed is None and not ours:
        raise click.ClickException(f"{loaded.path}: `inbound` has no queue: nobody could take the call")
    number = caller or f"+7000777{random.randrange(10_000):04}"  # noqa: S311 - a number, no secret
    try:
        asyncio.run(call_in(loaded, number, dialed or ours[0]))
    except CannotCall as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{number} calls {dialed or ours[0]}")


def serve(work: Coroutine[Any, Any, None], *, quiet: bool = False) -> None:
    """Run the engine to its end; what keeps it from starting is one line and an exit code. `quiet`: as of `logs`."""
    import uvloop

    from engine import logs
    from engine.app import CannotStart
    from engine.store.errors import StoreError

    logs.set_up(quiet=quiet)
    reasons: list[str] = []
    try:
        uvloop.run(work)
    except* (CannotStart, StoreError) as stopped:
        reasons = [str(error) for error in _single(stopped)]
    if reasons:
        _fail("; ".join(reasons), Exit.NOT_REACHABLE)


def _single(group: BaseExceptionGroup[Exception]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _single(error)
        else:
            yield error


@zvonar.command()
@click.pass_obj
def drain(path: Path) -> None:
    """Ask the running engine to dial no more and to end when its calls have ended."""
    loaded = _loaded(path)
    file = loaded.resolve(loaded.config.database)
    lock = file.with_name(file.name + ".lock")
    process = _holder(lock)
    if process is None:
        _fail(f"no engine runs on {file}", Exit.NOT_REACHABLE)
    try:
        os.kill(process, signal.SIGTERM)
    except PermissionError:
        _fail(f"the engine (process {process}) is another user's")
    click.echo(f"process {process}: asked to drain; again ends it at once")


def _holder(lock: Path) -> int | None:
    """The process that holds the engine's lock on the database, if one does."""
    try:
        with lock.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read(32))
    except (OSError, ValueError):
        return None
    return None


@zvonar.command()
@click.option("--campaign", "campaign_name", help="Only this campaign, by its key.")
@click.option("--follow", is_flag=True, help="Go on, a line a second, until Ctrl+C or the engine's end.")
@click.option("--json", "as_json", is_flag=True, help="Print all that was weighed, as JSON.")
@click.pass_obj
def pacing(path: Path, campaign_name: str | None, follow: bool, as_json: bool) -> None:
    """Say how many calls the running engine places, and why not more.

    Example: zvonar pacing --campaign demo --follow
    """
    from engine.window import look

    loaded = _loaded(path)
    if campaign_name is not None:
        _campaign(loaded, campaign_name)
    file = loaded.resolve(loaded.config.database)
    try:
        for views in look(file):
            shown = [view for view in views if campaign_name in {None, view["campaign"]}]
            for view in shown:
                click.echo(orjson.dumps(view).decode() if as_json else pacing_line(view))
            if not follow:
                if not shown:
                    _say("no calls were paced since the engine started")
                return
    except OSError:
        _fail(f"no engine runs on {file}", Exit.NOT_REACHABLE)


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


@zvonar.command()
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

    loaded = _loaded(path)
    if campaign_name is not None:
        _campaign(loaded, campaign_name)

    async def look(database: AioDatabase, _now_ms: int) -> list[DetectionView]:
        store, found = Store(database), []
        for campaign in loaded.policy.campaigns.values():
            if campaign_name in {None, campaign.id}:
                detection = Detection(campaign.amd)
                detection.restore(checked_of(campaign, await store.checked(campaign.id)))
                found.append(detection_view(campaign.id, detection))
        return found

    for view in _with_database(loaded, look):
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


@zvonar.command()
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

    loaded = _loaded(path)
    carried = carried_calls(read_journal(carrier)[0]) if carrier else None
    heard = heard_legs(read_journal(journal)[0]) if journal else None

    async def look(database: AioDatabase, now_ms: int) -> list[Violation]:
        return await check(database, now_ms=now_ms, policy=loaded.policy, carried=carried, heard=heard, at_rest=at_rest)

    found = _with_database(loaded, look)
    for violation in found:
        click.echo(str(violation))
    if found:
        sys.exit(Exit.FAILURE)
    _say("every promise is kept")


# ── words ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _say(words: str) -> None:
    click.echo(words, err=True)


def _fail(words: str, code: Exit = Exit.FAILURE) -> NoReturn:
    _say(f"error: {words}")
    sys.exit(code)


def _print_json(value: Any) -> None:
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def _who() -> str:
    return f"shell:{os.environ.get('USER') or os.getuid()}"
