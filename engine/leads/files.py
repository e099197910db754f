"""A lead file into a campaign: every row becomes a lead, a duplicate, or a reject with its column and reason."""

from __future__ import annotations

import asyncio
import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain, islice
from pathlib import Path
from typing import Final, Protocol, TypeAlias

import xlsxwriter

from engine.config import Config
from engine.core.model import CampaignId, PhoneNumber
from engine.leads.columns import SAMPLE_ROWS_MAX, Column, Layout, Meaning, Role, recognise, zone_of_city, zone_of_text
from engine.leads.sheets import Cell, Refused, RefusedReason, Row, rows_of
from engine.messages import N_
from engine.phones import FoundPhone, Numbering, PhoneProblem, PhoneReason, cell_text, find_phones, zones_of
from engine.store.database import Database
from engine.store.imports import import_leads
from engine.store.rows import ImportCounts, ImportReject

ROWS_MAX: Final = 1_000_000
PHONES_PER_LEAD_MAX: Final = 10
PRIORITY_MAX: Final = 50
NAME_CHARACTERS_MAX: Final = 200
FIELD_CHARACTERS_MAX: Final = 1_000
#: Of a rejected cell, in the report.
VALUE_CHARACTERS_MAX: Final = 100
#: Rejects that a report carries; all of them are in the reject file and in the store.
REJECTS_REPORTED_MAX: Final = 200

Translate: TypeAlias = Callable[[str], str]


class RowReason(StrEnum):
    """Why a row is not imported, beside its numbers. The value is the English message, and its id."""

    ZONE = N_("this is not a time zone: write, for example, Europe/Kyiv, UTC+3 or a city")
    PRIORITY = N_("the priority is a whole number from -50 to 50")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRow:
    """A good row: a person to reach."""

    line: int
    phones: tuple[PhoneNumber, ...]
    name: str = ""
    zone: str | None = None
    priority: int = 0
    external_id: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A bad row: its cells as they stand, and all that is wrong with it."""

    line: int
    cells: list[Cell]
    problems: tuple[ImportReject, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What became of a file. `rows = leads + duplicates + rejected`; `rejects` are the first of them."""

    file_name: str
    layout: Layout
    counts: ImportCounts
    rejects: tuple[ImportReject, ...]

    def __str__(self) -> str:
        counts = self.counts
        return f"{counts.rows} rows: {counts.leads} leads, {counts.duplicates} duplicates, {counts.rejects} bad"


def meaning_of(config: Config) -> Meaning:
    """How lead files are read by this configuration."""
    fields = {key: (*field.labels.values(), *field.columns) for key, field in config.lead_fields.items()}
    return Meaning(numbering=Numbering(config.numbering.regions, config.numbering.allow), fields=fields)


def plan_import(rows: Iterable[Row], layout: Layout, meaning: Meaning) -> Iterator[ImportRow | RejectedRow]:
    """Decide about every row of a file; the header and what stands above it are left out. Pure, one row at a time."""
    for line, cells in rows:
        if line > layout.header_row:
            yield _Plan(line, cells, layout, meaning).decide()


class _Plan:
    """One row on its way to a decision."""

    def __init__(self, line: int, cells: list[Cell], layout: Layout, meaning: Meaning) -> None:
        self._line = line
        self._cells = cells
        self._layout = layout
        self._meaning = meaning
        self._problems: list[ImportReject] = []
        self._names: list[str] = []
        self._external_id = ""
        self._zone: str | None = None
        self._city_zone: str | None = None
        self._priority = 0
        self._fields: dict[str, str] = {}

    def decide(self) -> ImportRow | RejectedRow:
        numbers = self._numbers()
        for column in self._layout.columns:
            if column.role not in (Role.PHONE, Role.ORDINAL) and (value := cell_text(self._cell(column))):
                self._take(column, value)
        if self._problems:
            return RejectedRow(self._line, self._cells, tuple(self._problems))
        return ImportRow(
            line=self._line,
            phones=numbers,
            name=" ".join(self._names)[:NAME_CHARACTERS_MAX],
            zone=self._zone or self._city_zone or _zone_of_phones(numbers),
            priority=self._priority,
            external_id=self._external_id,
            fields=self._fields,
        )

    def _numbers(self) -> tuple[PhoneNumber, ...]:
        columns = self._layout.of(Role.PHONE)
        numbers: dict[PhoneNumber, None] = {}
        unread: list[tuple[Column, PhoneReason]] = []
        for column in columns:
            found = find_phones(self._cell(column), self._meaning.numbering)
            numbers.update((phone.number, None) for phone in found if isinstance(phone, FoundPhone))
            unread += [(column, phone.reason) for phone in found if isinstance(phone, PhoneProblem)]
            if any(isinstance(phone, PhoneProblem) or phone.extension for phone in found):
                # An extension, or a number that nobody can dial, stays readable on the card.
                self._fields[column.title] = cell_text(self._cell(column))[:FIELD_CHARACTERS_MAX]
        if not numbers:
            for column, reason in unread or [(columns[0], PhoneReason.EMPTY)]:
                self._wrong(column, reason)
        return tuple(islice(numbers, PHONES_PER_LEAD_MAX))

    def _take(self, column: Column, value: str) -> None:
        match column.role:
            case Role.NAME:
                self._names.append(value)
            case Role.EXTERNAL_ID if not self._external_id:
                self._external_id = value[:NAME_CHARACTERS_MAX]
            case Role.ZONE:
                self._zone = zone_of_text(value)
                if self._zone is None:
                    self._wrong(column, RowReason.ZONE)
            case Role.PRIORITY:
                self._priority = _priority(value) or 0
                if _priority(value) is None:
                    self._wrong(column, RowReason.PRIORITY)
            case _:
                self._fields[column.key or column.title] = value[:FIELD_CHARACTERS_MAX]
                if column.is_city:
                    self._city_zone = zone_of_city(value)

    def _cell(self, column: Column) -> Cell:
        return self._cells[column.index] if column.index < len(self._cells) else None

    def _wrong(self, column: Column, reason: str) -> None:
        value = cell_text(self._cell(column))[:VALUE_CHARACTERS_MAX]
        self._problems.append(ImportReject(line=self._line, field=column.title, value=value, reason=reason))


def _priority(text: str) -> int | None:
    if not re.fullmatch(r"[+-]?\d{1,2}", text):
        return None
    return int(text) if abs(int(text)) <= PRIORITY_MAX else None


def _zone_of_phones(numbers: Sequence[PhoneNumber]) -> str | None:
    # Several zones left: which of them is not known, so the campaign's rule applies.
    zones = {zone for number in numbers for zone in zones_of(number)}
    return zones.pop() if len(zones) == 1 else None


# ── reading and importing ────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class LeadFile:
    """An open lead file: its layout, and what becomes of each row, read once and as it is asked for."""

    layout: Layout
    verdicts: Iterator[ImportRow | RejectedRow]
    header: list[Cell]


@contextmanager
def open_lead_file(path: Path, meaning: Meaning) -> Iterator[LeadFile]:
    """Read a file's layout, then its rows. Raises Refused, also while rows are read."""
    with rows_of(path) as rows:
        sample = list(islice(rows, SAMPLE_ROWS_MAX))
        if not sample:
            raise Refused(RefusedReason.EMPTY)
        layout = recognise(sample, meaning)
        if not layout.of(Role.PHONE):
            raise Refused(RefusedReason.NO_PHONE_COLUMN)
        if sample[-1][0] <= layout.header_row:
            raise Refused(RefusedReason.NO_ROWS)
        header = next((cells for line, cells in sample if line == layout.header_row), [])
        limited = _no_more_than(ROWS_MAX, chain(sample, rows))
        yield LeadFile(layout, plan_import(limited, layout, meaning), header)


def _no_more_than(rows_max: int, rows: Iterable[Row]) -> Iterator[Row]:
    for count, row in enumerate(rows):
        if count > rows_max:
            raise Refused(RefusedReason.TOO_MANY_ROWS)
        yield row


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
    rejects_to: Path | None = None,
    translate: Translate = str,
) -> ImportReport:
    """Import a lead file: all of it or, when it is refused, nothing. Bad rows go to `rejects_to` (.xlsx or .csv).

    A row is a duplicate when one of its numbers is in an earlier row or belongs to the campaign already, so the same
    file again adds nothing. Reading and deciding run in threads. Raises Refused, StoreError, and OSError of
    `rejects_to`.
    """
    with ExitStack() as stack:
        file = await asyncio.to_thread(stack.enter_context, open_lead_file(path, meaning))
        rejected = stack.enter_context(reject_file(rejects_to, file, translate)) if rejects_to else _ignore
        tally = _Tally(file, rejected)
        counts = await import_leads(database, campaign, tally, file_name=file_name, by=by, now_ms=now_ms)
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
    with _writer(path) as write:
        write([*header, translate(N_("Row")), translate(N_("Reason"))])

        def rejected(row: RejectedRow) -> None:
            cells = [*row.cells[:width], *[None] * (width - len(row.cells))]
            reasons = "; ".join(f"{problem.field}: {translate(problem.reason)}" for problem in row.problems)
            write([*cells, row.line, reasons])

        yield rejected


@contextmanager
def _writer(path: Path) -> Iterator[_Writer]:
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
