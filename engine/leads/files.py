"""A lead file into a campaign: every row becomes a lead, a duplicate, or a reject with its column and reason."""

from __future__ import annotations

import asyncio
import csv
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, Protocol, TypeAlias

import xlsxwriter

from engine.clock import Clock
from engine.config import Config
from engine.core.model import CampaignId, PhoneNumber
from engine.leads.columns import Layout, Meaning
from engine.leads.plan import PHONES_PER_LEAD_MAX, ImportRow, RejectedRow
from engine.leads.reader import LeadFile, open_lead_file
from engine.leads.sheets import Cell
from engine.messages import N_
from engine.phones import Numbering
from engine.store.database import Database
from engine.store.dnc import CHUNK_MAX, DoNotCall
from engine.store.imports import import_leads
from engine.store.rows import ImportCounts, ImportMode, ImportReject

#: Rejects that a report carries; all of them are in the reject file and in the store.
REJECTS_REPORTED_MAX: Final = 200

Translate: TypeAlias = Callable[[str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What became of a file. `rows = leads + duplicates + rejected`; `rejects` are the first of them."""

    file_name: str
    layout: Layout
    counts: ImportCounts
    rejects: tuple[ImportReject, ...]

    def __str__(self) -> str:
        counts = self.counts
        changed = f" {counts.updated} updated," if counts.updated else ""
        return (
            f"{counts.rows} rows: {counts.leads} leads,{changed} {counts.duplicates} duplicates, {counts.rejects} bad"
        )


def meaning_of(config: Config) -> Meaning:
    """How lead files are read by this configuration."""
    fields = {key: (*field.labels.values(), *field.columns) for key, field in config.lead_fields.items()}
    return Meaning(numbering=Numbering(config.numbering.regions, config.numbering.allow), fields=fields)


class _Tally:
    """Passes verdicts on as the store wants them, and keeps what the report and the reject file need."""

    def __init__(self, file: LeadFile, rejected: Callable[[RejectedRow], None]) -> None:
        self._file = file
        self._rejected = rejected
        self.first_rejects: list[ImportReject] = []

    def __iter__(self) -> Iterator[ImportRow | ImportReject]:
        for verdict in self._file.verdicts:
            if isinstance(verdict, ImportRow):
                yield verdict
                continue
            self._rejected(verdict)
            for problem in verdict.problems:
                if len(self.first_rejects) < REJECTS_REPORTED_MAX:
                    self.first_rejects.append(problem)
                yield problem


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
    rejects_to: Path | None = None,
    translate: Translate = str,
) -> ImportReport:
    """Import a lead file: all of it or, when it is refused, nothing. Bad rows go to `rejects_to` (.xlsx or .csv).

    A row is a duplicate when one of its numbers is in an earlier row or belongs to the campaign already, so the same
    file again adds nothing. Reading and deciding run in a process of their own. Raises Refused, StoreError, and
    OSError of `rejects_to`.
    """
    with ExitStack() as stack:
        file = await asyncio.to_thread(stack.enter_context, open_lead_file(path, meaning))
        rejected = stack.enter_context(reject_file(rejects_to, file, translate)) if rejects_to else _ignore
        tally = _Tally(file, rejected)
        counts = await import_leads(database, campaign, tally, file_name=file_name, by=by, now_ms=now_ms, mode=mode)
        return ImportReport(file_name=file_name, layout=file.layout, counts=counts, rejects=tuple(tally.first_rejects))


def check_file(
    path: Path, *, meaning: Meaning, file_name: str, rejects_to: Path | None = None, translate: Translate = str
) -> ImportReport:
    """What importing the file into an empty campaign would do. Raises Refused, and OSError of `rejects_to`."""
    with ExitStack() as stack:
        file = stack.enter_context(open_lead_file(path, meaning))
        rejected = stack.enter_context(reject_file(rejects_to, file, translate)) if rejects_to else _ignore
        tally = _Tally(file, rejected)
        seen: set[PhoneNumber] = set()
        rejected_lines: set[int] = set()
        leads = duplicates = 0
        for row in tally:
            if isinstance(row, ImportReject):
                rejected_lines.add(row.line)
            elif seen.isdisjoint(row.phones):
                leads += 1
                seen.update(row.phones)
            else:
                duplicates += 1
        counts = ImportCounts(
            id=0,
            rows=leads + duplicates + len(rejected_lines),
            leads=leads,
            duplicates=duplicates,
            rejects=len(rejected_lines),
        )
        return ImportReport(file_name=file_name, layout=file.layout, counts=counts, rejects=tuple(tally.first_rejects))


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
        rows = iter(file.verdicts)
        while chunk := await database.aside(lambda: list(islice(rows, CHUNK_MAX // PHONES_PER_LEAD_MAX))):
            found = [phone for row in chunk if isinstance(row, ImportRow) for phone in row.phones]
            bad = [row for row in chunk if isinstance(row, RejectedRow)]
            new += await lists.add(found, to=to, reason=reason, by=by, at_ms=clock.now_ms(), source=file_name)
            numbers += len(found)
            rejected += len(bad)
            rejects += [problem for row in bad for problem in row.problems][: REJECTS_REPORTED_MAX - len(rejects)]
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
