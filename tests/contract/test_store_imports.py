"""A lead file on disk: all of it or nothing, no duplicates, and a crash in the middle changes neither."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

import pytest

from engine.core.model import CampaignId, PhoneNumber, PhoneType
from engine.leads.columns import Meaning
from engine.leads.files import resume_imports
from engine.phones import Numbering
from engine.store import imports
from engine.store.database import Database, Rows
from engine.store.dnc import DoNotCall
from engine.store.errors import StoreFullError
from engine.store.imports import (
    ImportCancelled,
    ImportState,
    ask_to_cancel,
    begin_import,
    carry_import,
    import_leads,
    import_of,
    import_rejects,
    latest_imports,
    piece_of,
    pieces_of,
    start_import,
)
from engine.store.queries import Statement
from engine.store.records import Records
from engine.store.rows import ImportCounts, ImportMode, ImportReject
from engine.store.store import Store
from tests.contract.store_people import NOON, SPRING, add_lead, number, rows

T = TypeVar("T")


@dataclass(frozen=True)
class FileRow:
    line: int
    phones: tuple[PhoneNumber, ...]
    name: str = "Пётр"
    zone: str | None = None
    priority: int = 0
    external_id: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    keeper: str | None = None
    source: str = ""
    phone_types: tuple[PhoneType, ...] = ()


def file_of(count: int, first: int = 1) -> Iterator[FileRow]:
    for n in range(first, first + count):
        yield FileRow(line=n, phones=(number(n), number(n, 1)), fields={"город": "Дніпро"})


async def brought(database: Database, file: Iterable[FileRow | ImportReject]) -> ImportCounts:
    return await import_leads(database, SPRING, file, file_name="leads.xlsx", by="boss", now_ms=NOON)


async def leads_count(database: Database) -> int:
    (row,) = await rows(database, "SELECT count(*) AS n FROM leads")
    return int(row["n"])


class DyingDatabase:
    """Passes everything on until a number of writes is done, then every write fails."""

    def __init__(self, database: Database, writes: int) -> None:
        self._database = database
        self._left = writes

    @property
    def path(self) -> str:
        return self._database.path

    async def write(self, *statements: Statement) -> list[Rows]:
        if not self._left:
            raise StoreFullError("the disk is full")
        self._left -= 1
        return await self._database.write(*statements)

    async def read(self, *statements: Statement) -> list[Rows]:
        return await self._database.read(*statements)

    async def aside(self, job: Callable[[], T]) -> T:
        return await self._database.aside(job)


class CancellingDatabase(DyingDatabase):
    """Somebody presses "cancel" after the first piece."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, 1_000)

    async def write(self, *statements: Statement) -> list[Rows]:
        answers = await super().write(*statements)
        if statements[-1].query.name == "piece_done":
            await ask_to_cancel(self._database, 1, now_ms=NOON)
        return answers


async def resumed(database: Database) -> int:
    """As the next start does it."""
    return await resume_imports(database, meaning=Meaning(numbering=Numbering()), now_ms=NOON)


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """No engine runs beside, so there is nothing to wait for."""
    monkeypatch.setattr(imports, "REVERT_SETTLE_S", 0)


async def test_a_file_becomes_leads_that_are_dialable(database: Database) -> None:
    counts = await brought(database, file_of(3))
    assert (counts.rows, counts.leads, counts.duplicates, counts.rejects) == (3, 3, 0, 0)
    fetched = await Store(database).due_leads(SPRING, NOON, 10)
    assert [[phone.number for phone in lead.phones] for lead in fetched.leads] == [
        [number(n), number(n, 1)] for n in (1, 2, 3)
    ]
    (lead, *_) = await rows(database, "SELECT name, name_folded, fields FROM leads")
    assert tuple(lead) == ("Пётр", "петр", '{"город":"Дніпро"}')


async def test_a_list_opens_exactly_the_leads_that_its_files_brought(database: Database) -> None:
    await add_lead(database, 1)
    new = [FileRow(line=line, phones=(number(line),)) for line in (2, 3, 4)]
    as_a_mac_writes_it = "Мартовскии\u0306 список.v2.xlsx"
    await import_leads(database, SPRING, new[:1], file_name=as_a_mac_writes_it, by="boss", now_ms=NOON)
    called = {"list_name": "Апрель"}
    for row in new[1:]:
        name = f"{row.line}.csv"
        begun = await begin_import(database, SPRING, file_name=name, by="boss", now_ms=NOON, settings=called)
        await start_import(database, begun, now_ms=NOON)
        await carry_import(database, begun, pieces_of([row]), now_ms=NOON)
    records = Records(database)
    assert await records.lists() == ("Апрель", "Мартовский список.v2")

    async def on(name: str, text: str = "") -> list[int]:
        found = await records.find_leads(text, campaigns=None, state=None, after=0, limit=9, list_name=name)
        assert {card.list_name for card in found} <= {name}
        return [card.id for card in found]

    assert [await on("Апрель"), await on("Мартовский список.v2"), await on("Май")] == [[3, 4], [2], []]
    assert await on("Апрель", "Пётр") == [3, 4]


async def test_a_changed_lead_stays_on_its_list(database: Database) -> None:
    await brought(database, file_of(1))
    counts = await import_leads(
        database, SPRING, file_of(1), file_name="again.xlsx", by="boss", now_ms=NOON, mode=ImportMode.BOTH
    )
    assert counts.updated == 1
    assert await Records(database).lists() == ("leads",)


async def test_phones_keep_their_types_and_their_order(database: Database) -> None:
    office, mobile, plain = number(1), number(1, 1), number(1, 2)
    types = (PhoneType.WORK, PhoneType.MOBILE, PhoneType.NOT_SAID)
    file = [
        FileRow(line=1, phones=(office, mobile, plain), phone_types=types),
        FileRow(line=2, phones=(number(2), number(2, 1)), phone_types=(PhoneType.NOT_SAID, PhoneType.HOME)),
    ]
    assert [of_row for _, of_row in piece_of(file, first=1, last=2).rows()] == [
        (office.e164, mobile.e164, plain.e164),
        (number(2).e164, number(2, 1).e164),
    ]
    await brought(database, file)
    fetched = await Store(database).due_leads(SPRING, NOON, 10)
    assert [[(phone.number, phone.type) for phone in lead.phones] for lead in fetched.leads] == [
        [(office, PhoneType.WORK), (mobile, PhoneType.MOBILE), (plain, PhoneType.NOT_SAID)],
        [(number(2), PhoneType.NOT_SAID), (number(2, 1), PhoneType.HOME)],
    ]


async def test_a_file_longer_than_a_piece_keeps_its_order(database: Database) -> None:
    count = imports.PIECE_MAX * 2 + 7
    assert (await brought(database, file_of(count))).leads == count
    lines = await rows(database, "SELECT import_line FROM leads ORDER BY id")
    assert [row["import_line"] for row in lines] == list(range(1, count + 1))


async def test_the_same_file_again_brings_nobody_twice(database: Database) -> None:
    await brought(database, file_of(5))
    counts = await brought(database, file_of(7))
    assert (counts.leads, counts.duplicates) == (2, 5)
    assert await leads_count(database) == 7


async def test_a_person_twice_in_the_file_is_one_lead(database: Database) -> None:
    twice = FileRow(line=2, phones=(number(9), number(1)))
    counts = await brought(database, [FileRow(line=1, phones=(number(1), number(1))), twice])
    assert (counts.rows, counts.leads, counts.duplicates) == (2, 1, 1)
    assert len(await rows(database, "SELECT * FROM phones")) == 1


async def test_another_campaign_may_have_the_same_people(database: Database) -> None:
    await add_lead(database, 1, campaign=CampaignId("autumn"))
    assert (await brought(database, file_of(1))).leads == 1


async def test_rejected_rows_are_kept_with_their_reasons(database: Database) -> None:
    bad = ImportReject(line=2, field="phone", value="12", reason="too short")
    also = ImportReject(line=2, field="zone", value="Mars", reason="unknown zone")
    good = FileRow(line=3, phones=(number(3),))
    counts = await brought(database, [bad, also, good])
    assert (counts.rows, counts.leads, counts.rejects) == (2, 1, 1)
    assert await import_rejects(database, counts.id) == (bad, also)


async def test_who_asked_not_to_be_called_is_not_called_from_a_new_file(database: Database) -> None:
    store = Store(database)
    asked = (number(1), number(1, 1), number(2))
    await DoNotCall(database).add(asked, reason="asked", by="boss", at_ms=NOON)
    await brought(database, file_of(2))
    states = await rows(database, "SELECT state FROM leads ORDER BY id")
    assert [row["state"] for row in states] == ["suppressed", "new"]
    (lead,) = (await store.due_leads(SPRING, NOON, 10)).leads
    assert lead.next_phone == 1


async def test_a_file_that_breaks_in_the_middle_leaves_nothing(database: Database) -> None:
    def breaking() -> Iterator[FileRow]:
        yield from file_of(imports.PIECE_MAX + 5)
        raise ValueError("row 1006: the sheet ends within a cell")

    with pytest.raises(ValueError, match="row 1006"):
        await brought(database, breaking())
    assert await leads_count(database) == 0
    assert [row["state"] for row in await rows(database, "SELECT state FROM imports")] == ["cancelled"]


@pytest.mark.parametrize("wrong", [FileRow(line=2, phones=()), FileRow(line=2, phones=(number(2),), priority=51)])
async def test_what_could_never_be_published_is_not_staged(database: Database, wrong: FileRow) -> None:
    with pytest.raises(ValueError, match="row 2"):
        await brought(database, [FileRow(line=1, phones=(number(1),)), wrong])
    assert await leads_count(database) == 0
    assert await resumed(database) == 0


@pytest.mark.parametrize("writes", range(1, 9))
async def test_a_crash_without_the_file_at_any_write_ends_in_all_or_nothing(database: Database, writes: int) -> None:
    count = imports.PIECE_MAX * 2 + 1
    dying = DyingDatabase(database, writes)
    with suppress(StoreFullError):
        await import_leads(dying, SPRING, file_of(count), file_name="leads.xlsx", by="boss", now_ms=NOON)
    (began,) = await rows(database, "SELECT state FROM imports")
    await resumed(database)
    assert await leads_count(database) == (count if began["state"] == "done" else 0)
    assert await resumed(database) == 0


async def test_an_import_is_carried_on_also_in_pieces_of_another_length(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def file() -> Iterator[FileRow | ImportReject]:
        for row in file_of(30):
            if row.line % 5 == 0:
                yield ImportReject(line=row.line, field="phone", value="12", reason="too short")
            elif row.line % 7 == 0:
                yield FileRow(line=row.line, phones=(number(row.line - 1),))  # the one before again
            else:
                yield row

    monkeypatch.setattr(imports, "PIECE_MAX", 4)
    begun = await begin_import(database, SPRING, file_name="leads.xlsx", by="boss", now_ms=NOON)
    await start_import(database, begun, now_ms=NOON)
    with suppress(StoreFullError):
        await carry_import(DyingDatabase(database, 2), begun, pieces_of(file()), now_ms=NOON)
    assert (await import_of(database, begun)).through_line == 9
    monkeypatch.setattr(imports, "PIECE_MAX", 10)
    counts = await carry_import(database, begun, pieces_of(file()), now_ms=NOON)
    assert (counts.rows, counts.leads, counts.duplicates, counts.rejects) == (30, 21, 3, 6)
    assert await leads_count(database) == 21


async def test_a_cancelled_import_leaves_nothing_and_says_so(database: Database) -> None:
    def slow() -> Iterator[FileRow]:
        yield from file_of(imports.PIECE_MAX * 3)

    cancelling = CancellingDatabase(database)
    with pytest.raises(ImportCancelled):
        await import_leads(cancelling, SPRING, slow(), file_name="leads.xlsx", by="boss", now_ms=NOON)
    assert await leads_count(database) == 0
    assert (await import_of(database, 1)).state is ImportState.CANCELLED
    assert (await brought(database, file_of(3))).leads == 3


async def test_an_import_is_in_the_audit(database: Database) -> None:
    counts = await brought(database, file_of(2))
    (row,) = await rows(database, "SELECT actor, action, subject FROM audit")
    assert tuple(row) == ("boss", "leads_imported", "campaign:spring")
    assert (await latest_imports(database))[0].counts == counts
