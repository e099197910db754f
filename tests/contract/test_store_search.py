"""Leads are found by what people type, as soon as they are there, and by nothing of an erased person."""

from __future__ import annotations

import pytest

from engine.core.model import CampaignId, LeadId, PhoneNumber
from engine.store.database import Database
from engine.store.dnc import DoNotCall
from engine.store.folding import fold
from engine.store.records import Records
from engine.store.search import INDEXED_MAX, index_leads, query_of
from tests.contract.store_people import NOON, SPRING, add_lead, change, rows

AUTUMN = CampaignId("autumn")


@pytest.fixture
async def records(database: Database) -> Records:
    """Two people."""
    await add_lead(database, 1, numbers=(PhoneNumber("+79161234567"), PhoneNumber("+74950001122")))
    await add_lead(database, 2, numbers=(PhoneNumber("+380671234567"),), campaign=AUTUMN)
    await told(database, 1, "Семён Королёв", "A-17/4", '{"city": "Орёл", "Адрес": "ул. Мира, 123"}')
    await told(database, 2, "Мар’яна О’Ніл", "", '{"city": "Київ"}')
    return Records(database)


async def told(database: Database, lead: int, name: str, external_id: str, fields: str) -> None:
    await change(
        database,
        "UPDATE leads SET name = :name, name_folded = :folded, external_id = :external_id, fields = :fields"
        " WHERE id = :id",
        name=name,
        folded=fold(name),
        external_id=external_id,
        fields=fields,
        id=lead,
    )


async def found(records: Records, text: str) -> list[int]:
    return [card.id for card in await records.search_leads(text)]


@pytest.mark.parametrize(
    ("typed", "who"),
    [
        ("королев", [1]),
        ("КОРОЛЁВ семен", [1]),
        ("сем кор", [1]),
        ("орел", [1]),
        ("a-17", [1]),
        ("мар'яна", [2]),
        ("маряна оніл", [2]),
        ("київ", [2]),
        ("1234", [1, 2]),
        ("234 56", [1, 2]),
        ("3806712", [2]),
        ("0671234567", [2]),
        ("+380 67 123", [2]),
        ("0001", [1]),
        ("123", [1, 2]),
        ("семен 4567", [1]),
        ("олев", []),
        ("семен 9999", []),
        ("  ", []),
        ('"', []),
        ("* OR a NEAR (", []),
        ("'; DROP TABLE leads", []),
    ],
)
async def test_people_are_found_by_words_and_by_any_part_of_a_number(
    records: Records, typed: str, who: list[int]
) -> None:
    assert await found(records, typed) == who


async def test_a_search_stays_in_its_campaigns(records: Records) -> None:
    assert [card.id for card in await records.search_leads("1234", campaigns=[SPRING])] == [1]


async def test_a_changed_lead_is_found_by_what_it_is_now(records: Records, database: Database) -> None:
    assert await found(records, "семен") == [1]
    await told(database, 1, "Пётр", "", "{}")
    assert await found(records, "семен") == []
    assert await found(records, "петр") == [1]


async def test_an_erased_person_is_found_no_more(records: Records, database: Database) -> None:
    assert await found(records, "семен") == [1]
    await DoNotCall(database).erase(LeadId(1), by="boss", at_ms=NOON)
    assert await found(records, "семен") == []
    assert await found(records, "79161234567") == []
    (left,) = await rows(database, "SELECT count(*) AS n FROM lead_words WHERE words LIKE '%семен%'")
    assert left["n"] == 0


async def test_many_new_leads_are_taken_up_piece_by_piece(database: Database) -> None:
    await change(
        database,
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 700)"
        " INSERT INTO leads (id, campaign_id, name, name_folded, created_at_ms, updated_at_ms)"
        " SELECT i, 'spring', 'lead', 'lead', 0, 0 FROM n",
    )
    taken = [await index_leads(database) for _ in range(4)]
    assert taken == [INDEXED_MAX, INDEXED_MAX, 700 - 2 * INDEXED_MAX, 0]
    assert len(await Records(database).find_leads("lead", campaigns=None, state=None, after=690, limit=50)) == 10


async def test_a_lead_that_changes_while_it_is_taken_up_is_taken_up_again(database: Database) -> None:
    await add_lead(database, 1)
    await index_leads(database)
    await change(database, "UPDATE leads SET external_id = 'x', version = version + 1 WHERE id = 1")
    await change(database, "UPDATE leads SET external_id = 'y', version = version + 1 WHERE id = 1")
    (waiting,) = await rows(database, "SELECT version FROM unindexed")
    assert waiting["version"] == 2


def test_a_text_of_signs_asks_nothing() -> None:
    assert query_of("…!?") is None
