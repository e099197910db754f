"""A lead file into a campaign: every row becomes a lead, a duplicate, or a reject with its column and reason."""

from __future__ import annotations

import asyncio
import csv
import fcntl
import re
import secrets
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

import orjson
import xlsxwriter

from engine.clock import Clock
from engine.config import Config
from engine.core.model import CampaignId, PhoneNumber
from engine.leads.columns import NOTHING_CHOSEN, Choice, Layout, Meaning, Role, folded, headings_of
from engine.leads.plan import OF_THE_LEAD, RejectedRow, Remark, wrong_default
from engine.leads.reader import LeadFile, open_lead_file
from engine.leads.sheets import FILE_BYTES_MAX, Cell, Refused, RefusedReason
from engine.messages import N_
from engine.phones import Numbering
from engine.store.database import Database
from engine.store.dnc import CHUNK_MAX, DoNotCall
from engine.store.errors import StoreError
from engine.store.folding import fold
from engine.store.imports import (
    ImportCancelled,
    ImportState,
    Known,
    Piece,
    begin_import,
    carry_import,
    import_of,
    known_numbers,
    open_imports,
    profile_of,
    revert_import,
    save_profile,
    start_import,
    take_back,
)
from engine.store.rows import ImportCounts, ImportMode, ImportReject

#: Rejects that a report carries; all of them are in the reject file and in the store.
REJECTS_REPORTED_MAX: Final = 200
#: Rows of a file that a person may correct by hand; the others go to the reject file.
MENDED_MAX: Final = 100
#: Bad rows that a report carries whole, to be corrected.
BAD_REPORTED_MAX: Final = 50
#: Files that nobody came back for, and reject files, are kept for so long.
KEPT_S: Final = 7 * 24 * 3_600
NO_CAMPAIGN: Final = CampaignId("")

Translate: TypeAlias = Callable[[str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What became of a file, or would. `rows = leads + updated + duplicates + rejected`; of lists the first entries."""

    file_name: str
    layout: Layout
    counts: ImportCounts
    rejects: tuple[ImportReject, ...]
    remarks: tuple[ImportReject, ...] = ()  # of a dry run: good rows that make no new lead, and why
    bad: tuple[RejectedRow, ...] = ()  # of a dry run: the first rejected rows as they stand

    def __str__(self) -> str:
        counts = self.counts
        changed = f" {counts.updated} updated," if counts.updated else ""
        listed = f" ({counts.listed} not to be called)" if counts.listed else ""
        return (
            f"{counts.rows} rows: {counts.leads} leads{listed},{changed} {counts.duplicates} duplicates,"
            f" {counts.rejects} bad"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportChoice:
    """What a person chose for an import. `everywhere`: who is a lead of any campaign is a duplicate."""

    columns: Choice = NOTHING_CHOSEN
    everywhere: bool = False
    headings: str = ""  # under which the choice is kept for the next such file; "": it is not
    profile: str = ""  # and its name
    list_name: str = ""  # of its new leads; "": the file's name

    def as_settings(self) -> dict[str, Any]:
        """As the store keeps it."""
        settings: dict[str, Any] = orjson.loads(orjson.dumps(self))
        return settings

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> ImportChoice:
        """As it was kept."""
        known = {key: settings[key] for key in ("everywhere", "headings", "profile", "list_name") if key in settings}
        return cls(columns=Choice(**settings.get("columns", {})), **known)


AS_GUESSED: Final = ImportChoice()


def label_of(labels: Mapping[Any, str], key: str, language: str) -> str:
    """The name in that language, else in any."""
    return labels.get(language) or next(iter(labels.values()), key)


def labels_of_fields(config: Config, language: str) -> dict[str, str]:
    """The configured fields of leads by key, as that language names them."""
    return {key: label_of(one.labels, key, language) for key, one in config.lead_fields.items()}


def meaning_of(config: Config) -> Meaning:
    """How lead files are read by this configuration."""
    fields = {key: (*field.labels.values(), *field.columns) for key, field in config.lead_fields.items()}
    numbering = Numbering(config.numbering.regions, config.numbering.allow)
    return Meaning(numbering=numbering, fields=fields, agents=_agents(config))


def _agents(config: Config) -> dict[str, str]:
    """Operators by what a file may call them; a name or a phone that two have says nothing."""
    said = [(fold(one), key) for key, agent in config.agents.items() for one in {agent.name, agent.phone}]
    often = Counter(name for name, _ in said)
    return {name: key for name, key in said if often[name] == 1} | {fold(key): key for key in config.agents}


class _Tally:
    """Passes pieces on as the store wants them, and keeps what the report and the reject file need."""

    def __init__(self, file: LeadFile, rejected: Callable[[RejectedRow], None]) -> None:
        self._file = file
        self._rejected = rejected
        self.first_rejects: list[ImportReject] = []
        self.first_bad: list[RejectedRow] = []

    def __iter__(self) -> Iterator[Piece]:
        for found in self._file.pieces:
            for row in found.bad:
                self._rejected(row)
            room = REJECTS_REPORTED_MAX - len(self.first_rejects)
            self.first_rejects += found.piece.rejects[:room]
            self.first_bad += found.bad[: BAD_REPORTED_MAX - len(self.first_bad)]
            yield found.piece


# ── kept files ───────────────────────────────────────────────────────────────────────────────────────────────────


class ImportedElsewhere(Exception):
    """Another process carries this import."""


def folder_of(database: Database) -> Path:
    """Where files wait that are being imported: beside the database."""
    return Path(database.path).parent / "imports"


def keep_file(database: Database, path: Path) -> str:
    """Keep a copy of a file until its import ends; its name. Raises Refused, OSError."""
    folder = folder_of(database)
    folder.mkdir(mode=0o700, exist_ok=True)
    name = secrets.token_hex(16) + path.suffix.lower()
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise Refused(RefusedReason.TOO_LARGE)
        shutil.copyfile(path, folder / name)
    except FileNotFoundError:
        raise Refused(RefusedReason.UNREADABLE) from None
    return name


def rejects_of_job(database: Database, import_id: int) -> Path:
    """Where the bad rows of an import stand that was begun in the browser, for KEPT_S."""
    return folder_of(database) / f"{import_id}-rejects.xlsx"


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """The kept file, ours alone until we or our process end. Raises ImportedElsewhere, FileNotFoundError."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ImportedElsewhere from None
        yield


def sweep_kept(database: Database, *, now_s: float) -> None:
    """Remove files that nobody came back for."""
    for path in folder_of(database).glob("*"):
        if path.stat().st_mtime < now_s - KEPT_S:
            path.unlink(missing_ok=True)


# ── importing ────────────────────────────────────────────────────────────────────────────────────────────────────


def look_at(path: Path, meaning: Meaning, choice: Choice = NOTHING_CHOSEN) -> LeadFile:
    """A file's columns and first rows, for a person; nothing is decided. Raises Refused."""
    with open_lead_file(path, meaning, choice, only_look=True) as file:
        return file


async def usual_choice(database: Database, path: Path, meaning: Meaning) -> tuple[ImportChoice, ImportMode]:
    """How files with these headings were read the last time, for a person to look at. Raises Refused."""
    headings = headings_of((await asyncio.to_thread(look_at, path, meaning)).layout)
    known = await profile_of(database, headings=headings)
    if known is None:
        return ImportChoice(headings=headings), ImportMode.CREATE
    choice = replace(ImportChoice.of(known.settings), headings=headings, profile=known.name)
    return choice, ImportMode(known.settings.get("mode", ImportMode.CREATE))


async def chosen_for(
    database: Database | None,
    path: Path,
    meaning: Meaning,
    *,
    columns: Sequence[str] = (),
    defaults: Sequence[str] = (),
    profile: str = "",
) -> tuple[ImportChoice, ImportMode]:
    """How a file is read: by a named profile, else as files with its headings were.

    `columns` say `TITLE=ROLE`; `defaults`, as `Choice` has them, `zone=…`, `tags=…` or `FIELD=…`.

    Raises LookupError with what was not found, and Refused.
    """
    file, mode = await asyncio.to_thread(look_at, path, meaning), ImportMode.CREATE
    choice = ImportChoice(headings=headings_of(file.layout))
    known = None if database is None else await profile_of(database, headings=choice.headings, name=profile)
    if known is not None:
        choice = replace(ImportChoice.of(known.settings), headings=choice.headings, profile=known.name)
        if profile:
            mode = ImportMode(known.settings.get("mode", mode))
        else:  # never by surprise
            choice = replace(choice, columns=replace(choice.columns, defaults={}), list_name="")
    elif profile:
        raise LookupError(f"there is no profile {profile!r}; see: zvonar profiles")
    roles = dict(choice.columns.roles)
    for said in columns:
        title, _, role = said.rpartition("=")
        index = next((column.index for column in file.layout.columns if folded(column.title) == folded(title)), None)
        if index is None:
            raise LookupError(f"--column {said}: the file has no column {title!r}")
        if role.partition(":")[0] not in set(Role):
            raise LookupError(f"--column {said}: {role!r} is no role; roles: {', '.join(Role)}")
        roles[str(index)] = role
    usual = dict(choice.columns.defaults)
    for said in defaults:
        key, _, value = said.partition("=")
        try:
            wrong = wrong_default(key, value, meaning)
        except KeyError:
            known_keys = ", ".join((*OF_THE_LEAD, *meaning.fields))
            raise LookupError(f"--default {said}: {key!r} is none of: {known_keys}") from None
        if wrong is not None:
            raise LookupError(f"--default {said}: {wrong}")
        usual[key] = value
    return replace(choice, columns=replace(choice.columns, roles=roles, defaults=usual)), mode


async def import_file(
    database: Database,
    path: Path,
    *,
    campaign: CampaignId,
    meaning: Meaning,
    file_name: str,
    by: str,
    now_ms: int,
    mode: ImportMode = ImportMode.CREATE,
    choice: ImportChoice = AS_GUESSED,
    rejects_to: Path | None = None,
    translate: Translate = str,
) -> ImportReport:
    """Import a lead file: all of it or, when it is refused, nothing. Bad rows go to `rejects_to` (.xlsx or .csv).

    A row is a duplicate when one of its numbers is in an earlier row or belongs to the campaign already, so the same
    file again adds nothing. A copy of the file is kept until the end: who dies in the middle is carried on by
    `resume_imports`. Raises Refused, StoreError, ImportCancelled, and OSError of `rejects_to`.
    """
    kept = await asyncio.to_thread(keep_file, database, path)
    import_id = await begin_import(
        database,
        campaign,
        file_name=file_name,
        by=by,
        now_ms=now_ms,
        mode=mode,
        kept=kept,
        settings=choice.as_settings(),
    )
    return await run_import(
        database, import_id, meaning=meaning, now_ms=now_ms, rejects_to=rejects_to, translate=translate
    )


async def run_import(
    database: Database,
    import_id: int,
    *,
    meaning: Meaning,
    now_ms: int,
    rejects_to: Path | None = None,
    translate: Translate = str,
) -> ImportReport:
    """Carry an import whose file is kept to its end, wherever it stands; as `import_file`. Also ImportedElsewhere."""
    job = await import_of(database, import_id)
    path, choice = folder_of(database) / job.kept, ImportChoice.of(job.settings)
    with ExitStack() as stack:
        stack.enter_context(_held(path))
        try:
            file = await asyncio.to_thread(stack.enter_context, open_lead_file(path, meaning, choice.columns))
            rejected = stack.enter_context(reject_file(rejects_to, file, translate)) if rejects_to else _ignore
            tally = _Tally(file, rejected)
            if job.state is ImportState.CHOOSING:
                await start_import(database, import_id, now_ms=now_ms)
            counts = await carry_import(
                database,
                import_id,
                tally,
                now_ms=now_ms,
                everywhere=choice.everywhere,
                rows_total=file.rows_total,
            )
        except StoreError:
            raise  # it is carried on when the store is well again
        except Exception as error:
            await take_back(database, import_id, by=job.by, now_ms=now_ms, problem=str(error))
            path.unlink(missing_ok=True)
            raise
        path.unlink(missing_ok=True)
    if choice.headings:
        usual = replace(choice, columns=replace(choice.columns, mended={}))  # the next file has other rows
        settings = {**usual.as_settings(), "mode": job.mode.value}
        await save_profile(database, choice.headings, settings, name=choice.profile, by=job.by, now_ms=now_ms)
    return ImportReport(file_name=job.file_name, layout=file.layout, counts=counts, rejects=tuple(tally.first_rejects))


async def resume_imports(database: Database, *, meaning: Meaning, now_ms: int, translate: Translate = str) -> int:
    """Carry on what dead processes began, and take back what cannot be carried on; how many there were.

    Files over whose columns a person still thinks are left alone for KEPT_S, and so is what another process carries.
    """
    resumed = 0
    for job in await open_imports(database):
        path = folder_of(database) / job.kept
        thinking = job.state is ImportState.CHOOSING and job.cancel_asked_at_ms is None
        if job.kept and path.exists() and thinking:
            continue
        try:
            if job.state is ImportState.DONE:
                await revert_import(database, job.id, by=job.by, now_ms=now_ms)
            elif not job.kept or not path.exists():
                await take_back(database, job.id, by=job.by, now_ms=now_ms, problem=job.problem)
            else:
                rejects_to = rejects_of_job(database, job.id) if job.settings.get("in_browser") else None
                await run_import(
                    database, job.id, meaning=meaning, now_ms=now_ms, rejects_to=rejects_to, translate=translate
                )
        except ImportedElsewhere:
            continue
        except (Refused, ImportCancelled):
            pass  # said in the import itself
        resumed += 1
    return resumed


async def check_file(
    path: Path,
    *,
    meaning: Meaning,
    file_name: str,
    database: Database | None = None,
    campaign: CampaignId = NO_CAMPAIGN,
    mode: ImportMode = ImportMode.CREATE,
    choice: ImportChoice = AS_GUESSED,
    rejects_to: Path | None = None,
    translate: Translate = str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ImportReport:
    """What importing the file would do; without a database, into an empty campaign. Nothing is written but rejects.

    `progress` hears how many of how many rows are checked. Raises Refused, StoreError, and OSError of `rejects_to`.
    """
    with ExitStack() as stack:
        file = await asyncio.to_thread(stack.enter_context, open_lead_file(path, meaning, choice.columns))
        rejected = stack.enter_context(reject_file(rejects_to, file, translate)) if rejects_to else _ignore
        tally = _Tally(file, rejected)
        dry = _DryRun(mode, everywhere=choice.everywhere)
        pieces = iter(tally)
        while piece := await asyncio.to_thread(next, pieces, None):
            rows, known = piece.rows(), dict[str, Known]()
            if database is not None:
                numbers = [number for _, numbers in rows for number in numbers]
                known = await known_numbers(database, campaign, numbers, everywhere=choice.everywhere)
            dry.take(rows, piece.rejected, known, piece.partners())
            progress(dry.counts.rows, file.rows_total)
        return ImportReport(
            file_name=file_name,
            layout=file.layout,
            counts=dry.counts,
            rejects=tuple(tally.first_rejects),
            remarks=tuple(dry.remarks),
            bad=tuple(tally.first_bad),
        )


class _DryRun:
    """Counts what rows would become, and says why some would become no new lead."""

    def __init__(self, mode: ImportMode, *, everywhere: bool) -> None:
        self._mode = mode
        self._known = Remark.KNOWN_ELSEWHERE if everywhere else Remark.KNOWN
        self._seen: set[int] = set()  # numbers as integers: half the memory
        self._tally = dict.fromkeys(("rows", "leads", "updated", "duplicates", "rejects", "listed"), 0)
        self.remarks: list[ImportReject] = []

    @property
    def counts(self) -> ImportCounts:
        """So far."""
        return ImportCounts(id=0, **self._tally)

    def take(
        self,
        rows: Iterable[tuple[int, tuple[str, ...]]],
        rejected: int,
        known: Mapping[str, Known],
        partners: Mapping[int, str],
    ) -> None:
        """Count some more rows, and so many bad ones; `partners` are of rows, by their line."""
        self._tally["rejects"] += rejected
        self._tally["rows"] += rejected
        for row in rows:
            self._tally["rows"] += 1
            self._tally[self._fate(row, known, partners.get(row[0], ""))] += 1

    def _fate(self, row: tuple[int, tuple[str, ...]], known: Mapping[str, Known], partner: str) -> str:
        numbers = {int(number[1:]) for number in row[1]}
        if not self._seen.isdisjoint(numbers):
            self._remark(row, Remark.TWICE)
            return "duplicates"
        self._seen |= numbers
        theirs = [known[number] for number in row[1] if number in known]
        if any(one.lead is not None for one in theirs):
            if self._mode is ImportMode.CREATE:
                self._remark(row, self._known)
                return "duplicates"
            self._remark(row, Remark.UPDATES)
            return "updated"
        if self._mode is ImportMode.UPDATE:
            self._remark(row, Remark.NOBODY)
            return "duplicates"
        if theirs and all(one.barred(partner) for one in theirs):
            self._remark(row, Remark.LISTED)
            self._tally["listed"] += 1
        return "leads"

    def _remark(self, row: tuple[int, tuple[str, ...]], remark: Remark) -> None:
        line, (number, *_) = row
        if len(self.remarks) < REJECTS_REPORTED_MAX:
            self.remarks.append(ImportReject(line=line, field="", value=PhoneNumber(number).masked, reason=remark))


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedFile:
    """What became of a file of numbers that must not be called."""

    numbers: int
    new: int
    rejected: int
    rejects: tuple[ImportReject, ...]  # the first of them


async def list_file(
    database: Database,
    path: Path,
    *,
    to: str,
    reason: str,
    meaning: Meaning,
    file_name: str,
    by: str,
    clock: Clock,
) -> ListedFile:
    """Put all numbers of a file on a do-not-call list, whatever else stands in it. Raises Refused, StoreError.

    What was read before a refusal stays on the list: better a number too many than one too few.
    """
    lists, numbers, new, rejected = DoNotCall(database), 0, 0, 0
    rejects: list[ImportReject] = []
    with ExitStack() as stack:
        file = await asyncio.to_thread(stack.enter_context, open_lead_file(path, meaning))
        pieces = iter(file.pieces)
        while found := await database.aside(lambda: next(pieces, None)):
            phones = [PhoneNumber(number) for _, of_row in found.piece.rows() for number in of_row]
            for start in range(0, len(phones), CHUNK_MAX):
                some = phones[start : start + CHUNK_MAX]
                new += await lists.add(some, to=to, reason=reason, by=by, at_ms=clock.now_ms(), source=file_name)
            numbers += len(phones)
            rejected += len(found.bad)
            rejects += found.piece.rejects[: REJECTS_REPORTED_MAX - len(rejects)]
    return ListedFile(numbers=numbers, new=new, rejected=rejected, rejects=tuple(rejects))


def _ignore(_: RejectedRow) -> None:
    pass


# ── the reject file ──────────────────────────────────────────────────────────────────────────────────────────────

#: What a spreadsheet program would calculate; a phone number is none of it.
_FORMULA: Final = re.compile(r"[=@\t\r]|[+-](?![\d\s()-]+$)")


class _Writer(Protocol):
    def __call__(self, cells: Sequence[Cell]) -> None: ...


@contextmanager
def reject_file(path: Path, file: LeadFile, translate: Translate) -> Iterator[Callable[[RejectedRow], None]]:
    """A file of rejected rows: the columns of the original, then row and reason. It can be mended and imported."""
    titles = {column.index: column.title for column in file.layout.columns}
    width = max(len(file.header), max(titles, default=-1) + 1)
    header = [titles.get(index, "") for index in range(width)]
    with table_writer(path) as write:
        write([*header, translate(N_("Row")), translate(N_("Reason"))])

        def rejected(row: RejectedRow) -> None:
            cells = [*row.cells[:width], *[None] * (width - len(row.cells))]
            reasons = "; ".join(f"{problem.field}: {translate(problem.reason)}" for problem in row.problems)
            write([*cells, row.line, reasons])

        yield rejected


@contextmanager
def table_writer(path: Path) -> Iterator[_Writer]:
    """Writes rows to a file (.csv, else XLSX), in little memory; what a spreadsheet would calculate is made text."""
    if path.suffix.lower() == ".csv":
        with path.open("w", encoding="utf-8-sig", newline="") as text:
            writer = csv.writer(text, delimiter=";")
            yield lambda cells: writer.writerow([_inert(cell) for cell in cells]) and None
        return
    # Texts stay texts: nothing in a stranger's file becomes a formula or a link here.
    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    with path.open("wb") as out, xlsxwriter.Workbook(out, options) as book:
        sheet = book.add_worksheet()
        row = 0

        def write(cells: Sequence[Cell]) -> None:
            nonlocal row
            for index, cell in enumerate(cells):
                if cell is not None:
                    sheet.write(row, index, cell)
            row += 1

        yield write


def _inert(cell: Cell) -> Cell:
    return "'" + cell if isinstance(cell, str) and _FORMULA.match(cell) else cell
