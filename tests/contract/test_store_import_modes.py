"""A file that changes known leads, and an import that is undone: what it made goes, what it changed is back."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from engine.core.effects import SaveAttempt, SaveEnd
from engine.core.model import CampaignId, Outcome
from engine.store import imports
from engine.store.database import Database
from engine.store.imports import import_leads, latest_imports, revert_import
from engine.store.records import Records
from engine.store.rows import ImportCounts, ImportMode
from engine.store.store import LEADS_OF, Store
from tests.contract.store_people import NOON, SPRING, add_lead, attempt, change, ended, number, retry, rows
from tests.contract.test_store_imports import FileRow


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """No engine runs beside, so there is nothing to wait for."""
    monkeypatch.setattr(imports, "REVERT_SETTLE_S", 0)


async def brought(database: Database, file: Iterable[FileRow], mode: ImportMode) -> ImportCounts:
    return await import_leads(database, SPRING, file, file_name="a.xlsx", by="boss", now_ms=NOON, mode=mode)


async def known(database: Database) -> None:
    """Lead 1 has a name and a city."""
    await add_lead(database, 1)
    await change(
        database,
        "UPDATE leads SET name = 'Пётр', name_folded = 'петр', fields = :fields WHERE id = 1",
        fields='{"city": "Дніпро", "x": "1"}',
    )


def a_file() -> list[FileRow]:
    """Says more of lead 1, and has one whom nobody knows."""
    return [
        FileRow(line=2, phones=(number(1),), name="", external_id="A-1", fields={"city": "Львів"}, priority=5),
        FileRow(line=3, phones=(number(2),), name="Нова"),
    ]


async def lead(database: Database, id_: int) -> tuple[object, ...]:
    (row,) = await rows(database, "SELECT name, external_id, fields, priority FROM leads WHERE id = :id", id=id_)
    return tuple(row)


async def test_an_update_changes_what_the_file_says_and_makes_nobody(database: Database) -> None:
    await known(database)
    counts = await brought(database, a_file(), ImportMode.UPDATE)
    assert (counts.rows, counts.leads, counts.updated, counts.duplicates) == (2, 0, 1, 1)
    assert await lead(database, 1) == ("Пётр", "A-1", '{"city":"Львів","x":"1"}', 5)


async def test_both_changes_and_makes(database: Database) -> None:
    await known(database)
    counts = await brought(database, a_file(), ImportMode.BOTH)
    assert (counts.leads, counts.updated, counts.duplicates) == (1, 1, 0)
    assert [card.name for card in await Records(database).search_leads("нова")] == ["Нова"]


async def test_a_files_tags_are_added_and_its_owner_and_partner_taken_until_it_is_undone(database: Database) -> None:
    await known(database)
    await change(database, "UPDATE leads SET tags = '[\"опт\"]', keeper = 'olena' WHERE id = 1")
    said = FileRow(line=2, phones=(number(1),), name="", tags=("vip", "опт"), keeper="ivan", source="shop")
    new = FileRow(line=3, phones=(number(2),), tags=("vip",))
    silent = FileRow(line=4, phones=(number(3),), name="")
    counts = await brought(database, [said, new, silent], ImportMode.BOTH)
    asked = "SELECT tags, keeper, source FROM leads ORDER BY id"
    assert [tuple(row) for row in await rows(database, asked)] == [
        ('["vip","опт"]', "ivan", "shop"),
        ('["vip"]', None, ""),
        ("[]", None, ""),
    ]
    assert [row["lead_id"] for row in await rows(database, "SELECT lead_id FROM lead_tags WHERE tag = 'vip'")] == [1, 2]
    await revert_import(database, counts.id, by="boss", now_ms=NOON)
    assert [tuple(row) for row in await rows(database, asked)] == [('["опт"]', "olena", "")]
    assert [tuple(row) for row in await rows(database, "SELECT tag, lead_id FROM lead_tags")] == [("опт", 1)]


async def test_create_leaves_known_people_alone(database: Database) -> None:
    await known(database)
    counts = await brought(database, a_file(), ImportMode.CREATE)
    assert (counts.leads, counts.updated, counts.duplicates) == (1, 0, 1)
    assert (await lead(database, 1))[0:2] == ("Пётр", "")


async def test_another_campaigns_people_are_not_changed(database: Database) -> None:
    await add_lead(database, 1, campaign=CampaignId("autumn"))
    counts = await brought(database, a_file(), ImportMode.BOTH)
    assert (counts.leads, counts.updated) == (2, 0)


async def test_an_undone_import_leaves_all_as_it_was(database: Database) -> None:
    await known(database)
    before = await lead(database, 1)
    counts = await brought(database, a_file(), ImportMode.BOTH)
    done = await revert_import(database, counts.id, by="boss", now_ms=NOON)
    assert (done.gone, done.put_back, done.left) == (1, 1, 0)
    assert await lead(database, 1) == before
    assert [row["id"] for row in await rows(database, "SELECT id FROM leads")] == [1]
    assert await Records(database).search_leads("нова") == ()
    (past,) = await latest_imports(database)
    assert past.reverted_at_ms == NOON
    again = await brought(database, a_file(), ImportMode.CREATE)
    assert again.leads == 1, "the mended file is not full of duplicates"
    assert await revert_import(database, counts.id, by="boss", now_ms=NOON) is not None, "twice does no harm"


async def test_who_was_called_meanwhile_stays_closed(database: Database) -> None:
    counts = await brought(database, a_file(), ImportMode.CREATE)
    (called,) = [card.id for card in await Records(database).search_leads("нова")]
    planned = attempt(1, called, number=number(2))
    await Store(database).commit([SaveAttempt(planned)])
    await Store(database).commit([SaveEnd(ended(planned, Outcome.BUSY), retry(called, NOON))])
    done = await revert_import(database, counts.id, by="boss", now_ms=NOON)
    assert (done.gone, done.left) == (1, 1)
    (row,) = await rows(database, "SELECT state, hold FROM leads")
    assert tuple(row) == ("closed", "import_reverted")


async def test_what_somebody_edited_since_is_not_put_back(database: Database) -> None:
    await known(database)
    counts = await brought(database, a_file(), ImportMode.UPDATE)
    await change(
        database,
        "INSERT INTO lead_edits (lead_id, field, before, after, login, at_ms) VALUES (1, 'name', 'a', 'b', 'me', :at)",
        at=NOON + 1,
    )
    await revert_import(database, counts.id, by="boss", now_ms=NOON + 2)
    assert (await lead(database, 1))[1] == "A-1"


async def test_a_running_engine_is_told_of_both(database: Database) -> None:
    store = Store(database)
    counts = await brought(database, a_file(), ImportMode.CREATE)
    first = (await store.revisions())[LEADS_OF + SPRING]
    await revert_import(database, counts.id, by="boss", now_ms=NOON)
    assert (await store.revisions())[LEADS_OF + SPRING] > first


async def test_only_a_finished_import_is_undone(database: Database) -> None:
    with pytest.raises(KeyError):
        await revert_import(database, 404, by="boss", now_ms=NOON)
