"""The do-not-call lists on disk: who is on which, what follows for leads, and what is left of an erased person."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.core.effects import SaveAttempt, SaveEnd
from engine.core.model import CampaignId, LeadId, Outcome
from engine.store import seals
from engine.store.database import AioDatabase, Database
from engine.store.dnc import CHUNK_MAX, CannotErase, DoNotCall
from engine.store.imports import import_leads
from engine.store.records import Records
from engine.store.seals import SealKeyError
from engine.store.store import DO_NOT_CALL, Store
from tests.contract.store_people import (
    NOON,
    SPRING,
    add_lead,
    attempt,
    change,
    closed,
    ended,
    number,
    promise_a_call,
    promises,
    retry,
    rows,
    unanswered,
)
from tests.contract.test_store_imports import FileRow

AUTUMN = CampaignId("autumn")


@pytest.fixture
def lists(database: Database) -> DoNotCall:
    return DoNotCall(database)


async def states(database: Database) -> list[str]:
    return [row["state"] for row in await rows(database, "SELECT state FROM leads ORDER BY id")]


async def due(database: Database, campaign: CampaignId = SPRING) -> list[int]:
    return [lead.id for lead in (await Store(database).due_leads(campaign, NOON + 9_000_000, 10)).leads]


async def test_everybodys_list_binds_every_campaign(database: Database, lists: DoNotCall) -> None:
    await add_lead(database, 1)
    await add_lead(database, 2, campaign=AUTUMN, numbers=(number(1),))
    assert await lists.add([number(1)], reason="asked", by="boss", at_ms=NOON) == 1
    assert await states(database) == ["suppressed", "suppressed"]


async def test_a_campaigns_list_binds_that_campaign_alone(database: Database, lists: DoNotCall) -> None:
    await add_lead(database, 1)
    await add_lead(database, 2, campaign=AUTUMN, numbers=(number(1),))
    await lists.add([number(1)], to="campaign:spring", reason="asked", by="boss", at_ms=NOON)
    assert await states(database) == ["suppressed", "new"]
    assert await due(database, AUTUMN) == [2]


async def test_a_partners_list_binds_that_partners_leads_alone(database: Database, lists: DoNotCall) -> None:
    await add_lead(database, 1)
    await add_lead(database, 2, numbers=(number(1),))
    await change(database, "UPDATE leads SET source = 'shop' WHERE id = 2")
    await lists.add([number(1)], to="partner:shop", reason="asked", by="boss", at_ms=NOON)
    assert await states(database) == ["new", "suppressed"]


async def test_a_lead_with_another_number_is_called_on_that_one(database: Database, lists: DoNotCall) -> None:
    await add_lead(database, 1, numbers=(number(1), number(1, 1)))
    await lists.add([number(1)], to="campaign:spring", reason="asked", by="boss", at_ms=NOON)
    (lead,) = (await Store(database).due_leads(SPRING, NOON, 10)).leads
    assert lead.next_phone == 1


async def test_a_callback_to_somebody_who_asked_not_to_be_called_is_off(database: Database, lists: DoNotCall) -> None:
    await add_lead(database, 1)
    await promise_a_call(database, 1)
    await lists.add([number(1)], reason="asked", by="boss", at_ms=NOON)
    assert await promises(database) == ["cancelled"]


async def test_a_number_taken_off_the_list_may_be_called_again(database: Database, lists: DoNotCall) -> None:
    await add_lead(database, 1)
    await add_lead(database, 2)
    await Store(database).commit(unanswered(attempt(1, 2), NOON))
    await lists.add([number(1), number(2)], reason="asked", by="boss", at_ms=NOON)
    assert await lists.remove(number(1), reason="by mistake", by="boss", at_ms=NOON)
    assert await lists.remove(number(2), reason="by mistake", by="boss", at_ms=NOON)
    assert not await lists.remove(number(2), reason="by mistake", by="boss", at_ms=NOON)
    assert await states(database) == ["new", "retry"]
    assert await due(database) == [1, 2]


async def test_a_number_on_two_lists_stays_until_it_is_off_both(database: Database, lists: DoNotCall) -> None:
    await add_lead(database, 1)
    for to in ("system", "campaign:spring"):
        await lists.add([number(1)], to=to, reason="asked", by="boss", at_ms=NOON)
    await lists.remove(number(1), reason="by mistake", by="boss", at_ms=NOON)
    assert await states(database) == ["suppressed"]
    await lists.remove(number(1), of="campaign:spring", reason="by mistake", by="boss", at_ms=NOON)
    assert await states(database) == ["new"]


async def test_a_lead_listed_while_it_is_called_is_suppressed_at_its_end(database: Database, lists: DoNotCall) -> None:
    store = Store(database)
    await add_lead(database, 1)
    await store.commit([SaveAttempt(attempt(1, 1))])
    await lists.add([number(1)], to="campaign:spring", reason="asked", by="boss", at_ms=NOON)
    assert await store.blocked([LeadId(1)]) == ((LeadId(1), number(1)),)
    await store.commit([SaveEnd(ended(attempt(1, 1), Outcome.CANCELLED), retry(1, NOON))])
    assert await states(database) == ["suppressed"]
    assert [entry.list for entry in await lists.newest()] == ["campaign:spring"], "no other campaign is bound by it"


async def test_who_looks_sees_every_change(database: Database, lists: DoNotCall) -> None:
    store = Store(database)
    seen = [(await store.revisions()).get(DO_NOT_CALL, 0)]
    await lists.add([number(1)], reason="asked", by="boss", at_ms=NOON)
    seen.append((await store.revisions())[DO_NOT_CALL])
    await lists.remove(number(1), reason="by mistake", by="boss", at_ms=NOON)
    seen.append((await store.revisions())[DO_NOT_CALL])
    assert seen == [0, 1, 2]


async def test_the_audit_says_who_and_why_and_no_whole_number(database: Database, lists: DoNotCall) -> None:
    await lists.add([number(1)], reason="asked", by="boss", at_ms=NOON)
    await lists.add([number(2), number(3)], reason="register", by="boss", at_ms=NOON, source="register.csv")
    await lists.remove(number(1), reason="by mistake", by="chief", at_ms=NOON + 1)
    said = [(row.by, row.action, row.subject, row.detail) for row in await Records(database).audit_page()]
    assert said == [
        ("chief", "dnc_removed", "number:…0001", "system: by mistake"),
        ("boss", "dnc_added", "list:system", "2 numbers of register.csv from …0002 on; system: register"),
        ("boss", "dnc_added", "number:…0001", "system: asked"),
    ]


async def test_entries_are_found_by_the_first_digits(database: Database, lists: DoNotCall) -> None:
    await lists.add([number(n) for n in range(1, 4)], reason="asked", by="boss", at_ms=NOON)
    assert [one.number for one in await lists.find(number(2).e164)] == [number(2)]
    assert len(await lists.find("+7 9")) == 3
    assert [one.number async for one in lists.all()] == [number(1), number(2), number(3)]


@pytest.mark.parametrize(
    ("to", "reason"), [("spring", "asked"), ("campaign:", "asked"), ("system", " "), ("system", "x" * 201)]
)
async def test_a_list_that_is_none_and_a_reason_that_is_none_are_refused(
    lists: DoNotCall, to: str, reason: str
) -> None:
    with pytest.raises(ValueError, match=r"list|why"):
        await lists.add([number(1)], to=to, reason=reason, by="boss", at_ms=NOON)


async def test_more_numbers_than_one_transaction_takes_are_refused(lists: DoNotCall) -> None:
    with pytest.raises(ValueError, match="at most"):
        await lists.add([number(n) for n in range(CHUNK_MAX + 1)], reason="asked", by="boss", at_ms=NOON)


# ── erased ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def told(database: Database) -> Database:
    """Lead 1 with a past: a call, a name, a field; lead 2 shares its second number."""
    await add_lead(database, 1, numbers=(number(1), number(1, 1)))
    await add_lead(database, 2, numbers=(number(1, 1),))
    await change(database, """UPDATE leads SET name = 'Петренко', fields = '{"city": "Дніпро"}' WHERE id = 1""")
    await Store(database).commit(unanswered(attempt(1, 1), NOON))
    return database


async def test_nothing_is_left_of_an_erased_person_but_that_calls_were_made(database: Database) -> None:
    await told(database)
    await DoNotCall(database).erase(LeadId(1), by="boss", at_ms=NOON)
    (lead,) = await rows(database, "SELECT name, fields, state, attempts_count FROM leads WHERE id = 1")
    assert tuple(lead) == ("", "{}", "suppressed", 1)
    path = Path(database.path)
    (dump,) = await rows(database, "SELECT group_concat(number) AS numbers FROM attempts")
    assert number(1).e164 not in dump["numbers"]
    assert [row["number"] for row in await rows(database, "SELECT number FROM phones")] == [number(1, 1).e164]
    assert seals.key_file(path).stat().st_mode & 0o077 == 0
    card = await Records(database).lead_card(LeadId(1))
    assert card is not None
    assert (card.name, card.phones) == ("", ())
    assert len(await Records(database).lead_history(LeadId(1))) == 1


async def test_who_shares_a_number_with_an_erased_person_is_left_alone_too(database: Database) -> None:
    await told(database)
    await add_lead(database, 3, numbers=(number(1, 1), number(3)))
    await promise_a_call(database, 1, 2, 3)
    await DoNotCall(database).erase(LeadId(1), by="boss", at_ms=NOON)
    assert await states(database) == ["suppressed", "suppressed", "new"]
    assert await promises(database) == ["cancelled", "cancelled", "scheduled"]


async def test_an_erased_person_who_comes_back_with_a_file_is_not_called(database: Database) -> None:
    await told(database)
    await DoNotCall(database).erase(LeadId(1), by="boss", at_ms=NOON)
    file = [FileRow(line=1, phones=(number(1),)), FileRow(line=2, phones=(number(7),))]
    counts = await import_leads(database, SPRING, file, file_name="a.csv", by="boss", now_ms=NOON)
    assert counts.leads == 2
    assert (await states(database))[2:] == ["suppressed", "new"]


async def test_nobody_is_erased_while_being_called_or_twice(database: Database, lists: DoNotCall) -> None:
    store = Store(database)
    await add_lead(database, 1)
    await store.commit([SaveAttempt(attempt(1, 1))])
    with pytest.raises(CannotErase, match="is being called"):
        await lists.erase(LeadId(1), by="boss", at_ms=NOON)
    await store.commit([SaveEnd(ended(attempt(1, 1), Outcome.BUSY), closed(1))])
    await lists.erase(LeadId(1), by="boss", at_ms=NOON)
    with pytest.raises(CannotErase, match="no lead 1"):
        await lists.erase(LeadId(1), by="boss", at_ms=NOON)


async def test_without_the_key_of_the_erased_the_database_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "zvonar.db"
    async with AioDatabase.open(path, now_ms=0) as database:
        await add_lead(database, 1)
        await DoNotCall(database).erase(LeadId(1), by="boss", at_ms=NOON)
    key = seals.key_file(path)
    kept = key.read_text(encoding="ascii")
    for wrong in ("00" * 32, None):
        if wrong is None:
            key.unlink()
        else:
            key.write_text(wrong, encoding="ascii")
        with pytest.raises(SealKeyError, match="restore it from the backup"):
            async with AioDatabase.open(path, now_ms=0):
                pass
    key.write_text(kept, encoding="ascii")
    async with AioDatabase.open(path, now_ms=0):
        pass
