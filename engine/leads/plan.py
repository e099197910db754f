"""Deciding about one row of a lead file: a person to reach, or what is wrong with it. Pure, one row at a time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from typing import Final, TypeVar

from engine.core.model import PhoneNumber, PhoneType
from engine.leads.columns import Column, Layout, Meaning, Role, zone_of_city, zone_of_text
from engine.leads.sheets import Cell, Row
from engine.messages import N_
from engine.phones import FoundPhone, PhoneProblem, PhoneReason, cell_text, find_phones, zones_of
from engine.store.folding import tags_of
from engine.store.rows import ImportReject

PHONES_PER_LEAD_MAX: Final = 10
PRIORITY_MAX: Final = 50
NO_DEFAULTS: Final[Mapping[str, str]] = {}
#: What may hold for all rows of a file, beside fields.
OF_THE_LEAD: Final = tuple(role.value for role in (Role.ZONE, Role.PRIORITY, Role.TAGS, Role.OWNER, Role.SOURCE))
SOURCE_CHARACTERS_MAX: Final = 60
NAME_CHARACTERS_MAX: Final = 200
_T = TypeVar("_T")
FIELD_CHARACTERS_MAX: Final = 1_000
#: Of a rejected cell, in the report.
VALUE_CHARACTERS_MAX: Final = 100


class RowReason(StrEnum):
    """Why a row is not imported, beside its numbers. The value is the English message, and its id."""

    ZONE = N_("this is not a time zone: write, for example, Europe/Kyiv, UTC+3 or a city")
    PRIORITY = N_("the priority is a whole number from -50 to 50")
    TAGS = N_("at most 20 tags of at most 40 characters, with commas between")
    OWNER = N_("there is no such operator: write the name, the phone or the log-in of one")


class Remark(StrEnum):
    """What a dry run says of a good row that makes no new lead, or none that is called; its message's id."""

    TWICE = N_("an earlier row has this number")
    KNOWN = N_("the campaign has this number already")
    KNOWN_ELSEWHERE = N_("a lead of some campaign has this number already")
    UPDATES = N_("changes the lead that has this number")
    NOBODY = N_("the campaign has nobody with this number")
    LISTED = N_("the number must not be called")


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
    tags: tuple[str, ...] = ()
    keeper: str | None = None
    source: str = ""
    phone_types: tuple[PhoneType, ...] = ()


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A bad row: its cells as they stand, and all that is wrong with it."""

    line: int
    cells: list[Cell]
    problems: tuple[ImportReject, ...]


def wrong_default(key: str, value: str, meaning: Meaning) -> RowReason | None:
    """Why this cannot hold for all rows of a file; KeyError for what no lead has."""
    match key:
        case Role.ZONE:
            return None if zone_of_text(value) else RowReason.ZONE
        case Role.PRIORITY:
            return None if _priority(value) is not None else RowReason.PRIORITY
        case Role.TAGS:
            return None if _tags(value) is not None else RowReason.TAGS
        case Role.OWNER:
            return None if meaning.agent_of(value) else RowReason.OWNER
        case Role.SOURCE:
            return None
        case _:
            _ = meaning.fields[key]
            return None


def plan_import(
    rows: Iterable[Row], layout: Layout, meaning: Meaning, defaults: Mapping[str, str] = NO_DEFAULTS
) -> Iterator[ImportRow | RejectedRow]:
    """Decide about every row of a file; the header and what stands above it are left out. Pure, one row at a time.

    `defaults` as `Choice` has them, and as `wrong_default` lets them pass.
    """
    usual = _Usual(
        zone=zone_of_text(defaults.get(Role.ZONE, "")),
        priority=_priority(defaults.get(Role.PRIORITY, "0")) or 0,
        tags=_tags(defaults.get(Role.TAGS, "")) or (),
        keeper=meaning.agent_of(defaults.get(Role.OWNER, "")),
        source=defaults.get(Role.SOURCE, "")[:SOURCE_CHARACTERS_MAX],
        fields={key: value for key, value in defaults.items() if key not in OF_THE_LEAD},
    )
    phones = layout.of(Role.PHONE)
    others = tuple(column for column in layout.columns if column.role not in (Role.PHONE, Role.ORDINAL))
    for line, cells in rows:
        if line > layout.header_row:
            yield _Plan(line, cells, phones, others, meaning, usual).decide()


def mend(rows: Iterable[Row], mended: Mapping[str, Mapping[str, str]]) -> Iterator[Row]:
    """The rows with the cells that a person has corrected; `mended` as `Choice` has it."""
    for line, cells in rows:
        said = mended.get(str(line))
        yield (line, _corrected(cells, said)) if said else (line, cells)


def _corrected(cells: Sequence[Cell], said: Mapping[str, str]) -> list[Cell]:
    width = max(len(cells), *(int(place) + 1 for place in said))
    row: list[Cell] = [*cells, *[None] * (width - len(cells))]
    for place, value in said.items():
        row[int(place)] = value or None
    return row


@dataclass(frozen=True, slots=True, kw_only=True)
class _Usual:
    """What holds for rows that say nothing themselves; tags are given to all."""

    zone: str | None
    priority: int
    tags: tuple[str, ...]
    keeper: str | None
    source: str
    fields: Mapping[str, str]


class _Plan:
    """One row on its way to a decision."""

    def __init__(
        self,
        line: int,
        cells: list[Cell],
        phones: Sequence[Column],
        others: Sequence[Column],
        meaning: Meaning,
        usual: _Usual,
    ) -> None:
        self._line = line
        self._cells = cells
        self._phones = phones
        self._others = others
        self._meaning = meaning
        self._usual = usual
        self._problems: list[ImportReject] = []
        self._names: list[str] = []
        self._external_id = ""
        self._zone: str | None = None
        self._city_zone: str | None = None
        self._priority = usual.priority
        self._tags = usual.tags
        self._keeper = usual.keeper
        self._source = usual.source
        self._fields = dict(usual.fields)

    def decide(self) -> ImportRow | RejectedRow:
        numbers = self._numbers()
        phones = tuple(numbers)
        for column in self._others:
            if value := cell_text(self._cell(column)):
                self._take(column, value)
        if self._problems:
            return RejectedRow(self._line, self._cells, tuple(self._problems))
        return ImportRow(
            line=self._line,
            phones=phones,
            phone_types=tuple(numbers.values()),
            name=" ".join(self._names)[:NAME_CHARACTERS_MAX],
            zone=self._zone or self._city_zone or self._usual.zone or _zone_of_phones(phones),
            priority=self._priority,
            external_id=self._external_id,
            fields=self._fields,
            tags=self._tags,
            keeper=self._keeper,
            source=self._source,
        )

    def _numbers(self) -> dict[PhoneNumber, PhoneType]:
        numbers: dict[PhoneNumber, PhoneType] = {}
        unread: list[tuple[Column, PhoneReason]] = []
        for column in self._phones:
            found = find_phones(self._cell(column), self._meaning.numbering)
            if len(found) == 1 and isinstance(found[0], FoundPhone) and not found[0].extension:  # nearly all of them
                numbers.setdefault(found[0].number, column.type or found[0].type)
                continue
            for phone in found:
                if isinstance(phone, FoundPhone):
                    numbers.setdefault(phone.number, column.type or phone.type)
            unread += [(column, phone.reason) for phone in found if isinstance(phone, PhoneProblem)]
            if any(isinstance(phone, PhoneProblem) or phone.extension for phone in found):
                # An extension, or a number that nobody can dial, stays readable on the card.
                self._fields[column.title] = cell_text(self._cell(column))[:FIELD_CHARACTERS_MAX]
        if not numbers:
            for column, reason in unread or [(self._phones[0], PhoneReason.EMPTY)]:
                self._wrong(column, reason)
        return numbers if len(numbers) <= PHONES_PER_LEAD_MAX else dict(islice(numbers.items(), PHONES_PER_LEAD_MAX))

    def _take(self, column: Column, value: str) -> None:
        match column.role:
            case Role.NAME:
                self._names.append(value)
            case Role.EXTERNAL_ID if not self._external_id:
                self._external_id = value[:NAME_CHARACTERS_MAX]
            case Role.ZONE:
                self._zone = self._read(column, zone_of_text(value), RowReason.ZONE)
            case Role.PRIORITY:
                self._priority = self._read(column, _priority(value), RowReason.PRIORITY) or 0
            case Role.TAGS:
                self._tags = self._read(column, _tags(",".join((*self._tags, value))), RowReason.TAGS) or ()
            case Role.OWNER:
                self._keeper = self._read(column, self._meaning.agent_of(value), RowReason.OWNER)
            case Role.SOURCE:
                self._source = value[:SOURCE_CHARACTERS_MAX]
            case _:
                self._fields[column.key or column.title] = value[:FIELD_CHARACTERS_MAX]
                if column.is_city:
                    self._city_zone = zone_of_city(value)

    def _cell(self, column: Column) -> Cell:
        return self._cells[column.index] if column.index < len(self._cells) else None

    def _read(self, column: Column, value: _T | None, reason: RowReason) -> _T | None:
        if value is None:
            self._wrong(column, reason)
        return value

    def _wrong(self, column: Column, reason: str) -> None:
        value = cell_text(self._cell(column))[:VALUE_CHARACTERS_MAX]
        self._problems.append(ImportReject(line=self._line, field=column.title, value=value, reason=reason))


def _priority(text: str) -> int | None:
    if not re.fullmatch(r"[+-]?\d{1,2}", text):
        return None
    return int(text) if abs(int(text)) <= PRIORITY_MAX else None


def _tags(text: str) -> tuple[str, ...] | None:
    try:
        return tags_of(text)
    except ValueError:
        return None


def _zone_of_phones(numbers: Sequence[PhoneNumber]) -> str | None:
    # Several zones left: which of them is not known, so the campaign's rule applies.
    zones = {zone for number in numbers for zone in zones_of(number)}
    return zones.pop() if len(zones) == 1 else None
