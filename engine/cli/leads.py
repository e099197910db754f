"""Leads come and go: files in, an import undone, leads called again, files out."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import orjson

from engine.cli.common import fail, known_campaign, print_json, read_config, say, who, with_database

if TYPE_CHECKING:
    from engine.leads.files import ImportReport
    from engine.store.database import AioDatabase
    from engine.store.imports import ImportJob, Profile, Reverted


@click.command("import")
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
    import asyncio

    from engine.core.model import CampaignId
    from engine.leads.files import check_file, chosen_for, import_file, meaning_of
    from engine.leads.sheets import Refused
    from engine.store.folding import list_called
    from engine.store.imports import ImportCancelled
    from engine.store.rows import ImportMode

    loaded = read_config(path)
    known_campaign(loaded, campaign_name)
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
        return await import_file(database, file, **how, by=who(), now_ms=now_ms, mode=wanted, choice=choice)

    try:
        if dry_run and not loaded.resolve(loaded.config.database).exists():
            report = asyncio.run(bring(None, 0))
        else:
            report = with_database(loaded, bring)
    except Refused as refused:
        fail(f"{file}: {refused}; nothing was imported")
    except LookupError as error:
        raise click.UsageError(str(error.args[0])) from None
    except ImportCancelled:
        fail(f"{file}: the import was cancelled; nothing of it stays")
    except OSError as error:
        fail(f"{error.filename or rejects}: {error.strerror}; nothing was imported")
    _print_report(report, as_json, dry_run, rejects)


def _print_report(report: ImportReport, as_json: bool, dry_run: bool, rejects: Path | None) -> None:
    counts = report.counts
    if as_json:
        print_json(
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
        say(f"  {column.title} → {column.key or column.role.value}")
    for reject in report.rejects:
        say(f"{report.file_name}:{reject.line}: {reject.field}: {reject.reason}: {reject.value!r}")
    for remark in report.remarks:
        say(f"{report.file_name}:{remark.line}: {remark.value}: {remark.reason}")
    if hidden := counts.rejects - len({reject.line for reject in report.rejects}):
        say(f"… and {hidden} more bad rows")
    if counts.rejects and rejects:
        say(f"bad rows: {rejects}")
    click.echo(("would be: " if dry_run else "") + str(report))


@click.command("imports")
@click.option("--resume", is_flag=True, help="First carry on those whose process died in the middle.")
@click.option("--cancel", type=click.IntRange(min=1), help="Cancel this running import: what is in is taken back.")
@click.pass_obj
def imports(path: Path, resume: bool, cancel: int | None) -> None:
    """Say which files were imported, newest first."""
    loaded = read_config(path)

    async def look(database: AioDatabase, now_ms: int) -> tuple[ImportJob, ...]:
        from engine.leads.files import meaning_of, resume_imports
        from engine.store.imports import ask_to_cancel, latest_imports

        if cancel is not None:
            await ask_to_cancel(database, cancel, now_ms=now_ms)
        if resume:
            await resume_imports(database, meaning=meaning_of(loaded.config), now_ms=now_ms)
        return await latest_imports(database)

    for one in with_database(loaded, look):
        counts = one.counts
        numbers = f"{counts.leads} leads, {counts.updated} updated, {counts.rows} rows"
        click.echo(f"{one.id}\t{one.campaign}\t{one.file_name}\t{one.by}\t{numbers}{_fate(one)}")


def _fate(job: ImportJob) -> str:
    if job.state == "publishing":
        return f"  running: {job.counts.rows} of {job.rows_total or '?'} rows"
    if job.state == "cancelled":
        return f"  cancelled {job.problem}".rstrip()
    return "  undone" if job.reverted_at_ms is not None else ""


@click.command("profiles")
@click.pass_obj
def profiles(path: Path) -> None:
    """Say for which headings of lead files people have chosen what the columns are; the last used first."""
    loaded = read_config(path)

    async def look(database: AioDatabase, now_ms: int) -> tuple[Profile, ...]:
        from engine.store.imports import profiles

        return await profiles(database)

    for one in with_database(loaded, look):
        click.echo(f"{one.name or '-'}\t{one.by}\t{', '.join(orjson.loads(one.headings))}")


@click.command("revert")
@click.argument("number", type=click.IntRange(min=1))
@click.pass_obj
def revert(path: Path, number: int) -> None:
    """Undo an import, by its number in `zvonar imports`.

    Leads that it made go; those called meanwhile are closed. What it changed is put back, unless somebody has edited
    the lead since.

    Example: zvonar revert 7
    """
    loaded = read_config(path)

    async def undo(database: AioDatabase, now_ms: int) -> Reverted:
        from engine.store.imports import revert_import

        return await revert_import(database, number, by=who(), now_ms=now_ms)

    try:
        done = with_database(loaded, undo)
    except KeyError:
        fail(f"there is no finished import {number}; see: zvonar imports")
    click.echo(f"import {number}: {done.gone} leads gone, {done.left} closed, {done.put_back} put back")


@click.command()
@click.option("--campaign", "campaign_name", required=True, help="Whose leads, by the campaign's key.")
@click.option("--rule", "rules", multiple=True, help="What closed them, whole or its first word; again for more.")
@click.pass_obj
def recycle(path: Path, campaign_name: str, rules: tuple[str, ...]) -> None:
    """Call closed leads again, with all their tries. Without --rule: say how many leads each rule has closed.

    Example: zvonar recycle --campaign spring --rule attempts_used
    """
    from engine.store.store import Store

    loaded = read_config(path)
    campaign = known_campaign(loaded, campaign_name).id

    async def work(database: AioDatabase, now_ms: int) -> tuple[dict[str, int], int | None]:
        store = Store(database)
        closed = await store.closed_rules(campaign)
        chosen = [rule for rule in closed if any(rule == said or rule.startswith(f"{said}:") for said in rules)]
        given = await store.recycle(campaign, chosen, by=who(), at_ms=now_ms) if rules else None
        return closed, given

    closed, given = with_database(loaded, work)
    if given is None:
        for rule, count in sorted(closed.items(), key=lambda one: -one[1]):
            click.echo(f"{count:>9}  {rule}")
    else:
        click.echo(f"{given} leads are called again")


@click.command("export")
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

    loaded = read_config(path)
    if campaign_name:
        known_campaign(loaded, campaign_name)
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
            by=who(),
            now_ms=now_ms,
        )

    try:
        count = with_database(loaded, write, refusals=(ValueError,))
    except OSError as error:
        fail(f"{file}: {error.strerror}")
    click.echo(f"{file}: {count} leads")


def _here() -> tzinfo:
    zone = datetime.now().astimezone().tzinfo
    assert zone is not None
    return zone
