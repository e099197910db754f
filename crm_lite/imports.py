"""Lead files through the browser, in steps: file, columns and rules, check, run, result.

Every step stands in the database under the import's own address, so a reload, another browser or a restart of the
program shows where it is. What runs belongs to the application's tasks and not to the request that began it.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import tempfile
from collections import OrderedDict
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

from aiohttp import BodyPartReader, web

from crm_lite.crm import Crm
from crm_lite.web_keys import CRM, language_of, page, see_other, user_of
from crm_lite.words import UNEXPECTED
from engine.core.model import CampaignId
from engine.leads.columns import Choice, Column, Layout, Role
from engine.leads.files import (
    MENDED_MAX,
    ImportChoice,
    ImportedElsewhere,
    ImportReport,
    check_file,
    folder_of,
    keep_file,
    labels_of_fields,
    look_at,
    meaning_of,
    rejects_of_job,
    resume_imports,
    run_import,
    sweep_kept,
    usual_choice,
)
from engine.leads.plan import FIELD_CHARACTERS_MAX, OF_THE_LEAD, RowReason, wrong_default
from engine.leads.reader import LeadFile
from engine.leads.sheets import FILE_BYTES_MAX, Cell, Refused, RefusedReason
from engine.messages import N_
from engine.phones import FoundPhone, cell_text, find_phones
from engine.store.errors import StoreError
from engine.store.folding import LIST_CHARS_MAX, list_called
from engine.store.imports import (
    PROFILE_NAME_CHARS_MAX,
    ImportCancelled,
    ImportJob,
    ImportState,
    ask_to_cancel,
    begin_import,
    choose_import,
    import_of,
    latest_imports,
    revert_import,
    take_back,
)
from engine.store.rows import ImportMode

log = logging.getLogger(__name__)

UPLOAD_WITHIN_S: Final = 600
#: Files that are read at once, for whatever; a further one waits.
IMPORTS_MAX: Final = 1
#: Dry runs whose answers are kept for a look; an older one is asked again.
CHECKS_KEPT_MAX: Final = 20
FILE_NAME_CHARS_MAX: Final = 120
FORM_FIELDS_MAX: Final = 40
FORM_FIELD_BYTES_MAX: Final = 1_024
#: Rows that the page shows of what is wrong.
PROBLEMS_SHOWN_MAX: Final = 100
_SUFFIX: Final = re.compile(r"\.[A-Za-z0-9]{1,5}")
_PLACE: Final = re.compile(r"column-(\d{1,3})")
_MENDED: Final = re.compile(r"mend-(\d{1,7})-(\d{1,3})")

NO_FILE: Final = N_("Choose a file.")
UNKNOWN_CAMPAIGN: Final = N_("There is no such campaign in the configuration.")
TOO_SLOW: Final = N_("The upload took too long. Try again.")
NO_PHONE: Final = N_("Say which column holds the phone numbers.")
TOO_MANY_MENDED: Final = N_("So many rows are not corrected by hand: the others go to the file of rejected rows.")
FILE_GONE: Final = N_("The file is not kept any more. Choose it again.")

#: What a column may be, as the page names it.
ROLES: Final = {
    Role.PHONE: N_("Phone"),
    Role.NAME: N_("Name"),
    Role.ZONE: N_("Time zone"),
    Role.PRIORITY: N_("Priority"),
    Role.EXTERNAL_ID: N_("External ID"),
    Role.TAGS: N_("Tags"),
    Role.OWNER: N_("Owner"),
    Role.SOURCE: N_("Partner"),
    Role.FIELD: N_("on the card, under its own name"),
    Role.ORDINAL: N_("leave out"),
}
MODES: Final = {
    ImportMode.CREATE: N_("only add new leads"),
    ImportMode.BOTH: N_("add new leads and change known ones"),
    ImportMode.UPDATE: N_("only change known leads"),
}


@dataclass(slots=True)
class DryRun:
    """A check that runs, or has run, with the choice that it was of."""

    choice: ImportChoice
    mode: ImportMode
    campaign: CampaignId
    done: int = 0
    total: int = 0
    report: ImportReport | None = None
    problem: str = ""

    @property
    def running(self) -> bool:
        """It has no answer yet."""
        return self.report is None and not self.problem


class Shelf:
    """Where uploads wait for a moment, and the work that goes on behind the pages."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="zvonar-files-")
        self._tasks: set[asyncio.Task[None]] = set()
        self._group: asyncio.TaskGroup | None = None
        self.importing = asyncio.Semaphore(IMPORTS_MAX)
        self.checks: OrderedDict[int, DryRun] = OrderedDict()

    @property
    def directory(self) -> Path:
        """Where uploads and exports stand while they are used."""
        return Path(self._directory.name)

    def open(self, group: asyncio.TaskGroup) -> None:
        """From now on work may be done in this group."""
        self._group = group

    def do(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Let it go on behind the page."""
        if self._group is None:
            raise RuntimeError("the application has not begun")
        task = self._group.create_task(_alone(work, name), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def does(self, name: str) -> bool:
        """Whether that work goes on."""
        return any(task.get_name() == name for task in self._tasks)

    def begin_check(self, import_id: int, check: DryRun) -> None:
        """Keep a dry run for the page."""
        self.checks[import_id] = check
        while len(self.checks) > CHECKS_KEPT_MAX:
            self.checks.popitem(last=False)

    def stop(self) -> None:
        """End what runs: the next start carries imports on."""
        for task in self._tasks:
            task.cancel()

    def close(self) -> None:
        """Forget all uploads."""
        self._directory.cleanup()


async def _alone(work: Coroutine[Any, Any, None], name: str) -> None:
    """The edge of what a request left behind it, as the outermost one is of the request itself."""
    try:
        await work
    except Exception:
        # Ours, but a bug in one file's import must not end the desks and calls of the others.
        log.exception("import_broken", extra={"action": "import", "work": name})


SHELF: Final = web.AppKey("shelf", Shelf)


async def carry_on(app: web.Application) -> None:
    """What the last program left in the middle."""
    crm = app[CRM]
    try:
        await asyncio.to_thread(sweep_kept, crm.database, now_s=crm.clock.now_ms() / 1000)
        async with app[SHELF].importing:
            await resume_imports(crm.database, meaning=meaning_of(crm.loaded.config), now_ms=crm.clock.now_ms())
    except (StoreError, OSError) as error:
        log.warning("imports_not_resumed", extra={"action": "import", "error": str(error)})


async def import_page(request: web.Request) -> web.StreamResponse:
    """The form, and what was imported lately."""
    return await _form(request, chosen=request.query.get("campaign", ""))


async def upload(request: web.Request) -> web.StreamResponse:
    """Take the file in and show its columns; nothing is imported yet."""
    crm, shelf, user = request.app[CRM], request.app[SHELF], user_of(request)
    path = shelf.directory / secrets.token_hex(16)
    try:
        try:
            async with asyncio.timeout(UPLOAD_WITHIN_S):
                form, file_name, path = await receive(request, path)
        except TimeoutError:
            return await _form(request, code=408, problem=TOO_SLOW)
        except Refused as refused:
            return await _form(request, code=422, problem=refused.reason)
        wanted = form.get("campaign", "")
        if wanted not in crm.engine.policy().campaigns:
            return await _form(request, code=422, problem=UNKNOWN_CAMPAIGN)
        if not file_name:
            return await _form(request, code=422, problem=NO_FILE, chosen=wanted)
        try:
            choice, mode = await usual_choice(crm.database, path, meaning_of(crm.loaded.config))
            kept = await asyncio.to_thread(keep_file, crm.database, path)
        except Refused as refused:
            return await _form(request, code=422, problem=refused.reason, chosen=wanted)
    finally:
        path.unlink(missing_ok=True)
    import_id = await begin_import(
        crm.database,
        CampaignId(wanted),
        file_name=file_name,
        by=user.login,
        now_ms=crm.clock.now_ms(),
        mode=mode,
        kept=kept,
        settings=_settings(choice),
    )
    return see_other(f"/import/{import_id}")


async def job_page(request: web.Request) -> web.StreamResponse:
    """An import, wherever it stands."""
    return await _job_page(request)


async def check(request: web.Request) -> web.StreamResponse:
    """Keep what was chosen, and say what would become of every row."""
    crm, shelf, job = request.app[CRM], request.app[SHELF], await _chosen(request)
    found = DryRun(ImportChoice.of(job.settings), job.mode, job.campaign)
    if not (before := shelf.checks.get(job.id)) or not before.running:
        shelf.begin_check(job.id, found)
        shelf.do(_check(crm, shelf, job, found, language_of(request)), f"check-{job.id}")
    return see_other(f"/import/{job.id}")


async def run(request: web.Request) -> web.StreamResponse:
    """Keep what was chosen, and import."""
    crm, shelf, job = request.app[CRM], request.app[SHELF], await _chosen(request)
    if job.state is ImportState.CHOOSING and not shelf.does(f"import-{job.id}"):
        shelf.do(_run(crm, shelf, job, language_of(request)), f"import-{job.id}")
    return see_other(f"/import/{job.id}")


async def cancel(request: web.Request) -> web.StreamResponse:
    """Think better of it: a running import is taken back."""
    crm, job = request.app[CRM], await _job(request)
    now_ms = crm.clock.now_ms()
    if job.state is ImportState.CHOOSING:
        await take_back(crm.database, job.id, by=user_of(request).login, now_ms=now_ms)
        (folder_of(crm.database) / job.kept).unlink(missing_ok=True)
        return see_other("/import")
    await ask_to_cancel(crm.database, job.id, now_ms=now_ms)
    return see_other(f"/import/{job.id}")


async def revert(request: web.Request) -> web.StreamResponse:
    """Undo a finished import."""
    crm, shelf, job = request.app[CRM], request.app[SHELF], await _job(request)
    if job.state is not ImportState.DONE:
        raise web.HTTPNotFound
    if not shelf.does(f"revert-{job.id}"):
        shelf.do(_revert(crm, job, user_of(request).login), f"revert-{job.id}")
    return see_other(f"/import/{job.id}")


async def rejects(request: web.Request) -> web.StreamResponse:
    """The bad rows of a file with reasons, to be mended and imported."""
    crm, job = request.app[CRM], await _job(request)
    path = rejects_of_job(crm.database, job.id)
    if not path.exists():
        raise web.HTTPNotFound
    name = re.sub(r"[^\w.-]", "_", Path(job.file_name).stem)[:80] + "-rejects.xlsx"
    response = web.FileResponse(path)
    response.headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{_quoted(name)}"
    response.headers["Cache-Control"] = "no-store"
    return response


# ── behind the pages ─────────────────────────────────────────────────────────────────────────────────────────────


async def _check(crm: Crm, shelf: Shelf, job: ImportJob, found: DryRun, language: str) -> None:
    def progress(done: int, total: int) -> None:
        found.done, found.total = done, total

    try:
        async with shelf.importing:
            found.report = await check_file(
                folder_of(crm.database) / job.kept,
                meaning=meaning_of(crm.loaded.config),
                file_name=job.file_name,
                database=crm.database,
                campaign=job.campaign,
                mode=job.mode,
                choice=found.choice,
                rejects_to=rejects_of_job(crm.database, job.id),
                translate=crm.pages.words[language].gettext,
                progress=progress,
            )
    except Refused as refused:
        found.problem = refused.reason
    except (StoreError, OSError) as error:
        found.problem = FILE_GONE if isinstance(error, FileNotFoundError) else str(error)
    finally:
        if found.running:  # a bug: the page must not wait for ever
            found.problem = UNEXPECTED


async def _run(crm: Crm, shelf: Shelf, job: ImportJob, language: str) -> None:
    path = rejects_of_job(crm.database, job.id)
    try:
        async with shelf.importing:
            report = await run_import(
                crm.database,
                job.id,
                meaning=meaning_of(crm.loaded.config),
                now_ms=crm.clock.now_ms(),
                rejects_to=path,
                translate=crm.pages.words[language].gettext,
            )
        if not report.counts.rejects:
            path.unlink(missing_ok=True)
        crm.engine.leads_changed(job.campaign)
    except (Refused, ImportCancelled, ImportedElsewhere, KeyError, FileNotFoundError):
        log.info("import_ended_early", extra={"action": "import", "import": job.id})  # the import itself says why
    except (StoreError, OSError) as error:
        log.warning("import_stopped", extra={"action": "import", "import": job.id, "error": str(error)})


async def _revert(crm: Crm, job: ImportJob, login: str) -> None:
    try:
        await revert_import(crm.database, job.id, by=login, now_ms=crm.clock.now_ms())
        crm.engine.leads_changed(job.campaign)
    except StoreError as error:
        log.warning("import_not_undone", extra={"action": "import", "import": job.id, "error": str(error)})


# ── what was chosen ──────────────────────────────────────────────────────────────────────────────────────────────


async def _job(request: web.Request) -> ImportJob:
    try:
        return await import_of(request.app[CRM].database, int(request.match_info["number"]))
    except KeyError:
        raise web.HTTPNotFound from None


async def _chosen(request: web.Request) -> ImportJob:
    """The import with what its form says; HTTPSeeOther when it has begun meanwhile, or something is wrong."""
    crm, job = request.app[CRM], await _job(request)
    form = {key: str(value) for key, value in (await request.post()).items()}
    campaign = CampaignId(form.get("campaign", job.campaign))
    if campaign not in crm.engine.policy().campaigns:
        raise web.HTTPBadRequest
    known = {*(role.value for role in Role), *(f"field:{key}" for key in crm.loaded.config.lead_fields)}
    roles = {
        place[1]: role for key, role in form.items() if (place := _PLACE.fullmatch(key)) is not None and role in known
    }
    header = form.get("header_row", "")
    before = ImportChoice.of(job.settings)
    mended = {} if form.get("mend") == "none" else _mended(before.columns.mended, form, request.app[SHELF], job)
    columns = Choice(
        header_row=int(header) if re.fullmatch(r"\d{1,2}", header) else None,
        roles=roles,
        mended=dict(islice(mended.items(), MENDED_MAX)),
    )
    if form.get("look") == "again":  # another header row: other columns, to be guessed anew
        columns = replace(columns, roles={})
    meaning, defaults, wrong = meaning_of(crm.loaded.config), dict[str, str](), list[RowReason]()
    for key in (*OF_THE_LEAD, *meaning.fields):
        value = form.get(f"all-{key}", "").strip()[:FIELD_CHARACTERS_MAX]
        if value and (problem := wrong_default(key, value, meaning)):
            wrong.append(problem)
        elif value:
            defaults[key] = value
    choice = replace(
        before,
        columns=replace(columns, defaults=defaults),
        everywhere=form.get("duplicates") == "everywhere",
        profile=form.get("profile", "").strip()[:PROFILE_NAME_CHARS_MAX],
        list_name=list_called(form.get("list", "")),
    )
    mode = ImportMode(form["mode"]) if form.get("mode") in set(ImportMode) else job.mode
    try:
        await choose_import(crm.database, job.id, campaign=campaign, mode=mode, settings=_settings(choice))
    except KeyError:
        raise web.HTTPSeeOther(f"/import/{job.id}") from None
    request.app[SHELF].checks.pop(job.id, None)
    if wrong:
        raise web.HTTPSeeOther(f"/import/{job.id}?wrong={wrong[0].name}")
    if len(mended) > MENDED_MAX:
        raise web.HTTPSeeOther(f"/import/{job.id}?wrong=TOO_MANY_MENDED")
    return await import_of(crm.database, job.id)


def _mended(
    before: Mapping[str, Mapping[str, str]], form: Mapping[str, str], shelf: Shelf, job: ImportJob
) -> dict[str, dict[str, str]]:
    """What was corrected before, and now: cells of rows that the page showed otherwise."""
    mended = {line: dict(cells) for line, cells in before.items()}
    found = shelf.checks.get(job.id)
    bad = found.report.bad if found and found.report else ()
    shown = {str(row.line): row.cells for row in bad}
    for key, value in form.items():
        if (place := _MENDED.fullmatch(key)) is None:
            continue
        line, index = place.groups()
        said, cells = value.strip()[:FIELD_CHARACTERS_MAX], shown.get(line, [])
        as_shown = mended.get(line, {}).get(index)
        if as_shown is None:
            as_shown = cell_text(cells[int(index)]) if int(index) < len(cells) else ""
        if said != as_shown:
            mended.setdefault(line, {})[index] = said
    return mended


async def choose(request: web.Request) -> web.StreamResponse:
    """Keep what was chosen, and show the file by it."""
    return see_other(f"/import/{(await _chosen(request)).id}")


def _settings(choice: ImportChoice) -> Mapping[str, Any]:
    return {**choice.as_settings(), "in_browser": True}


# ── pages ────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class ShownCell:
    """A cell as it stands, and as it is read if it is a number."""

    text: str
    read: str = ""
    bad: bool = False


@dataclass(frozen=True, slots=True)
class MendedCell:
    """A cell of a row that is corrected by hand; of a row that is good by now, only what was corrected is at hand."""

    text: str
    reason: str = ""
    editable: bool = False


async def _form(request: web.Request, *, code: int = 200, problem: str = "", chosen: str = "") -> web.Response:
    crm = request.app[CRM]
    return page(
        request,
        "import.html",
        code=code,
        problem=problem,
        chosen=chosen,
        campaigns=crm.engine.policy().campaigns.values(),
        jobs=await latest_imports(crm.database),
        names={one.id: one.name for one in crm.engine.policy().campaigns.values()},
        zone=crm.settings.zone,
    )


async def _job_page(request: web.Request) -> web.Response:
    crm, shelf, number = request.app[CRM], request.app[SHELF], int(request.match_info["number"])
    # What runs is asked before the database: work that ends in between is shown as ended, not as never begun.
    # And an import goes on until its file of bad rows is written too, though all its leads are in.
    begun, reverts = shelf.does(f"import-{number}"), shelf.does(f"revert-{number}")
    job = await _job(request)
    undoing = reverts and job.state is ImportState.DONE
    found = shelf.checks.get(job.id)
    choice = ImportChoice.of(job.settings)
    file: LeadFile | None = None
    problem = job.problem or (found.problem if found else "")
    if (wrong := request.query.get("wrong", "")) in RowReason.__members__:
        problem = RowReason[wrong]
    elif wrong == "TOO_MANY_MENDED":
        problem = TOO_MANY_MENDED
    if job.state is ImportState.CHOOSING and not begun and not (found and found.running):
        try:
            path = folder_of(crm.database) / job.kept
            file = await asyncio.to_thread(look_at, path, meaning_of(crm.loaded.config), choice.columns)
            if not file.layout.of(Role.PHONE):
                problem = problem or NO_PHONE
        except Refused as refused:
            problem = FILE_GONE if refused.reason is RefusedReason.UNREADABLE else refused.reason
    busy = begun or undoing or job.state is ImportState.RUNNING or bool(found and found.running)
    response = page(
        request,
        "import_job.html",
        job=job,
        choice=choice,
        file=file,
        found=found,
        problem=problem,
        begun=begun,
        undoing=undoing,
        shown=_shown(file, crm) if file else [],
        asked=_asked(file.layout) if file else {},
        problems=_problems(found.report) if found and found.report else [],
        to_mend=_to_mend(found.report, choice.columns.mended) if found and found.report else [],
        has_rejects=await asyncio.to_thread(rejects_of_job(crm.database, job.id).exists),
        mended_max=MENDED_MAX,
        usual_list=replace(job, settings={}).list_name,
        list_chars_max=LIST_CHARS_MAX,
        roles=ROLES,
        modes=MODES,
        fields=labels_of_fields(crm.loaded.config, language_of(request)),
        campaigns=crm.engine.policy().campaigns.values(),
        agents=crm.engine.policy().agents,
        zone=crm.settings.zone,
    )
    if not busy and "HX-Request" in request.headers:
        response.headers["HX-Refresh"] = "true"  # what was asked for is over
    return response


def _problems(report: ImportReport) -> Sequence[Any]:
    """What a person cannot correct here."""
    here = {row.line for row in report.bad}
    rejects = [one for one in report.rejects if one.line not in here]
    return sorted([*rejects, *report.remarks], key=lambda one: one.line)[:PROBLEMS_SHOWN_MAX]


def _to_mend(report: ImportReport, mended: Mapping[str, Mapping[str, str]]) -> list[tuple[int, list[MendedCell]]]:
    """Rows to correct, by their number: bad ones, and those that were corrected already."""
    columns = report.layout.columns
    rows = {
        int(line): [MendedCell(cells.get(at, ""), editable=at in cells) for at in (str(one.index) for one in columns)]
        for line, cells in mended.items()
    }
    for row in report.bad:
        wrong = {problem.field: problem.reason for problem in row.problems}
        already = mended.get(str(row.line), {})
        rows[row.line] = [
            MendedCell(
                cell_text(row.cells[column.index]) if column.index < len(row.cells) else "",
                reason=wrong.get(column.title, ""),
                editable=column.title in wrong or str(column.index) in already,
            )
            for column in columns
        ]
    return sorted(rows.items())


def _asked(layout: Layout) -> dict[int, str]:
    """By a column's place, what its choice shows."""

    def value(column: Column) -> str:
        if column.role is Role.FIELD and column.key != column.title:
            return f"field:{column.key}"
        return column.role.value

    return {column.index: value(column) for column in layout.columns}


def _shown(file: LeadFile, crm: Crm) -> list[tuple[int, list[ShownCell]]]:
    numbering = meaning_of(crm.loaded.config).numbering

    def shown(column: Column, cells: list[Cell]) -> ShownCell:
        cell = cells[column.index] if column.index < len(cells) else None
        if column.role is not Role.PHONE or cell is None:
            return ShownCell(cell_text(cell))
        found = find_phones(cell, numbering)
        good = [one.number.e164 for one in found if isinstance(one, FoundPhone)]
        wrong = [one.reason for one in found if not isinstance(one, FoundPhone)]
        return ShownCell(cell_text(cell), ", ".join(good) or "; ".join(wrong), not good)

    return [(number, [shown(column, cells) for column in file.layout.columns]) for number, cells in file.first_rows]


# ── uploads ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def receive(request: web.Request, path: Path) -> tuple[dict[str, str], str, Path]:
    """(fields, file name, path) of the form; the file is on disk under a name of ours with its own suffix. Refused."""
    if not request.content_type.startswith("multipart/"):
        raise web.HTTPBadRequest
    fields: dict[str, str] = {}
    file_name = ""
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader):
            continue
        if part.name != "file":
            if len(fields) < FORM_FIELDS_MAX:
                fields[part.name or ""] = (await part.read_chunk(FORM_FIELD_BYTES_MAX)).decode(errors="replace")
        elif part.filename:
            file_name = part.filename[-FILE_NAME_CHARS_MAX:]
            suffix = Path(file_name).suffix.lower()
            path = path.with_suffix(suffix if _SUFFIX.fullmatch(suffix) else "")
            await _save(part, path)
    return fields, file_name, path


async def _save(part: BodyPartReader, path: Path) -> None:
    size = 0
    with path.open("wb") as file:
        while piece := await part.read_chunk(64 * 1024):
            size += len(piece)
            if size > FILE_BYTES_MAX:
                raise Refused(RefusedReason.TOO_LARGE)
            file.write(piece)


def _quoted(name: str) -> str:
    return "".join(c if c.isascii() else "".join(f"%{byte:02X}" for byte in c.encode()) for c in name)
