"""What the engine may rely on when it saves a batch, asks for leads, or starts again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from engine.core import ordering
from engine.core.effects import (
    SaveAgent,
    SaveAnswer,
    SaveAttempt,
    SaveAudit,
    SaveCampaignRun,
    SaveDisposition,
    SaveEnd,
    SaveLead,
    SaveOptOut,
    SaveRecording,
    SaveTakenBack,
    Write,
)
from engine.core.model import (
    Agent,
    AgentId,
    AgentState,
    BridgeId,
    CampaignId,
    CustomerState,
    DispositionId,
    LeadChange,
    LeadId,
    LeadState,
    Outcome,
    Recording,
)
from engine.store.database import Database, chain_hash
from engine.store.dnc import DoNotCall
from engine.store.errors import StoreBug
from engine.store.queries import Statement, parse
from engine.store.store import SQL, LineUp, Store
from tests.contract.store_people import (
    ANNA,
    NOON,
    SPRING,
    add_lead,
    attempt,
    change,
    closed,
    ended,
    everything,
    number,
    promise_a_call,
    promises,
    retry,
    rows,
    talking,
    unanswered,
)

MINUTE_MS = 60_000
SALE = DispositionId("sale")


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


async def due(store: Store, now_ms: int = NOON, limit: int = 100, but: tuple[int, ...] = ()) -> list[int]:
    return [lead.id for lead in (await store.due_leads(SPRING, now_ms, limit, [LeadId(i) for i in but])).leads]


async def lead_state(database: Database, lead: int) -> tuple[str, int, int]:
    (row,) = await rows(database, "SELECT state, attempts_count, next_at_ms FROM leads WHERE id = :id", id=lead)
    return row["state"], row["attempts_count"], row["next_at_ms"]


def sold(attempt_id: int, lead: int, at_ms: int = NOON + 40_000, note: str = "два ведра") -> SaveDisposition:
    return SaveDisposition(
        attempt=attempt(attempt_id, lead).id,
        lead=LeadId(lead),
        agent=ANNA,
        disposition=SALE,
        note=note,
        at_ms=at_ms,
        change=closed(lead),
    )


def promised(attempt_id: int, lead: int, due_at_ms: int, owner: AgentId | None = None) -> SaveDisposition:
    return SaveDisposition(
        attempt=attempt(attempt_id, lead).id,
        lead=LeadId(lead),
        agent=ANNA,
        disposition=DispositionId("later"),
        note="",
        at_ms=NOON + 40_000,
        change=LeadChange(lead=LeadId(lead), state=LeadState.CALLBACK, next_at_ms=due_at_ms, owner=owner, rule="later"),
        callback_at_ms=due_at_ms,
    )


# ── attempts ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_every_start_of_the_engine_has_a_new_number(store: Store) -> None:
    assert [await store.next_epoch(NOON), await store.next_epoch(NOON)] == [1, 2]


async def test_a_saved_attempt_claims_its_lead_and_spends_a_try(store: Store, database: Database) -> None:
    await add_lead(database, 1)
    await store.commit([SaveAttempt(attempt(1, 1))])
    assert await lead_state(database, 1) == ("dialing", 1, 0)
    assert await due(store) == []


async def test_no_answer_sets_the_lead_back_with_time_and_reason(store: Store, database: Database) -> None:
    await add_lead(database, 1)
    await store.commit(unanswered(attempt(1, 1), NOON + MINUTE_MS))
    assert await lead_state(database, 1) == ("retry", 1, NOON + MINUTE_MS)
    (row,) = await rows(database, "SELECT outcome, rule, counted FROM attempts")
    assert tuple(row) == ("no_answer", "no answer: again in 30 min", 1)


async def test_a_carrier_without_a_way_through_gives_the_try_back(store: Store, database: Database) -> None:
    await add_lead(database, 1)
    planned = attempt(1, 1)
    await store.commit([SaveAttempt(planned)])
    await store.commit([SaveEnd(ended(planned, Outcome.CONGESTION), retry(1, NOON))])
    assert await lead_state(database, 1) == ("retry", 0, NOON)


async def test_a_lost_attempt_stays_spent(store: Store, database: Database) -> None:
    await add_lead(database, 1)
    planned = attempt(1, 1)
    await store.commit([SaveAttempt(planned), SaveEnd(ended(planned, Outcome.LOST), retry(1, NOON))])
    assert (await lead_state(database, 1))[1] == 1


async def test_an_outcome_is_final(store: Store, database: Database) -> None:
    await add_lead(database, 1)
    planned = attempt(1, 1)
    await store.commit([SaveAttempt(planned), SaveEnd(ended(planned, Outcome.BUSY), None)])
    await store.commit([SaveEnd(ended(planned, Outcome.LOST), None)])
    assert [row["outcome"] for row in await rows(database, "SELECT outcome FROM attempts")] == ["busy"]


async def test_a_lead_is_never_dialed_twice_at_once(store: Store, database: Database) -> None:
    await add_lead(database, 1, numbers=(number(1), number(1, 1)))
    await store.commit([SaveAttempt(attempt(1, 1))])
    with pytest.raises(StoreBug, match=r"attempts\.lead_id"):
        await store.commit([SaveAttempt(attempt(2, 1, phone_position=1, number=number(1, 1)))])


async def test_a_number_is_never_dialed_twice_at_once(store: Store, database: Database) -> None:
    await add_lead(database, 1)
    await add_lead(database, 2, numbers=(number(1),))
    await store.commit([SaveAttempt(attempt(1, 1))])
    with pytest.raises(StoreBug, match=r"attempts\.number"):
        await store.commit([SaveAttempt(attempt(2, 2, number=number(1)))])


async def test_a_bug_in_a_batch_saves_nothing_of_it(store: Store, database: Database) -> None:
    await add_lead(database, 1)
    before = await everything(database)
    with pytest.raises(StoreBug):
        await store.commit([SaveAttempt(attempt(1, 1)), SaveAttempt(attempt(2, lead=404))])
    assert await everything(database) == before
    assert await due(store) == [1]


async def test_an_error_names_no_number(store: Store, database: Database) -> None:
    await add_lead(database, 1)
    with pytest.raises(StoreBug) as caught:
        await store.commit([SaveAttempt(attempt(1, 1)), SaveAttempt(attempt(2, 1))])
    assert number(1).e164 not in str(caught.value)


async def test_the_same_batch_again_changes_nothing(store: Store, database: Database) -> None:
    for lead in (1, 2, 3):
        await add_lead(database, lead)
    talk = talking(attempt(1, 1))
    batch: list[Write] = [
        SaveAttempt(attempt(1, 1)),
        SaveAnswer(talk),
        SaveEnd(ended(talk, Outcome.CONNECTED), None),
        promised(1, 1, NOON + MINUTE_MS),
        *unanswered(attempt(2, 2), NOON + MINUTE_MS),
        SaveAttempt(attempt(3, 3)),
        SaveAgent(Agent(id=ANNA, state=AgentState.WRAP_UP, since_ms=NOON), NOON),
        SaveAgent(Agent(id=ANNA, state=AgentState.READY, since_ms=NOON), NOON),
        SaveAudit(at_ms=NOON, by="boss", action="start", subject="campaign:spring"),
        SaveCampaignRun(SPRING, True, NOON),
    ]
    await store.commit(batch)
    once = await everything(database)
    await store.commit(batch)
    assert await everything(database) == once


# ── conversations and dispositions ───────────────────────────────────────────────────────────────────────────────


async def test_a_bridged_attempt_is_a_call_and_its_lead_waits_for_the_agents_word(
    store: Store, database: Database
) -> None:
    await add_lead(database, 1)
    talk = talking(attempt(1, 1))
    await store.commit([SaveAttempt(attempt(1, 1)), SaveAnswer(talk)])
    await store.commit([SaveEnd(ended(talk, Outcome.CONNECTED), None)])
    (call,) = await rows(database, "SELECT agent_id, bridged_at_ms, ended_at_ms, disposition_id FROM calls")
    assert tuple(call) == ("anna", NOON + 3_000, NOON + 30_000, None)
    assert (await lead_state(database, 1))[0] == "in_call"
    assert await due(store, NOON + 10 * MINUTE_MS) == []


async def test_a_disposition_closes_the_lead(store: Store, database: Database) -> None:
    await add_lead(database, 1)
    talk = talking(attempt(1, 1))
    await store.commit([SaveAttempt(attempt(1, 1)), SaveAnswer(talk), SaveEnd(ended(talk, Outcome.CONNECTED), None)])
    await store.commit([sold(1, 1)])
    (call,) = await rows(database, "SELECT disposition_id, disposed_by, note FROM calls")
    assert tuple(call) == ("sale", "anna", "два ведра")
    assert (await lead_state(database, 1))[0] == "closed"


async def test_a_disposition_given_while_talking_outlives_the_end_of_the_call(store: Store, database: Database) -> None:
    await add_lead(database, 1)
    talk = talking(attempt(1, 1))
    await store.commit([SaveAttempt(attempt(1, 1)), SaveAnswer(talk), sold(1, 1)])
    await store.commit([SaveEnd(ended(talk, Outcome.CONNECTED), None)])
    (call,) = await rows(database, "SELECT disposition_id FROM calls")
    assert (call["disposition_id"], (await lead_state(database, 1))[0]) == ("sale", "closed")


async def test_a_corrected_disposition_keeps_the_first_one_in_the_history(store: Store, database: Database) -> None:
    await add_lead(database, 1)
    talk = talking(attempt(1, 1))
    await store.commit([SaveAttempt(attempt(1, 1)), SaveAnswer(talk), SaveEnd(ended(talk, Outcome.CONNECTED), None)])
    await store.commit([promised(1, 1, NOON + MINUTE_MS)])
    await store.commit([sold(1, 1, at_ms=NOON + 50_000)])
    history = await rows(database, "SELECT disposition_id FROM dispositions ORDER BY at_ms")
    assert [row["disposition_id"] for row in history] == ["later", "sale"]
    assert [row["state"] for row in await rows(database, "SELECT state FROM callbacks")] == ["cancelled"]


async def test_a_callback_is_due_at_its_time_and_before_everybody_else(store: Store, database: Database) -> None:
    for lead, priority in ((1, 0), (2, 50)):
        await add_lead(database, lead, priority=priority)
    talk = talking(attempt(1, 1))
    await store.commit([SaveAttempt(attempt(1, 1)), SaveAnswer(talk), SaveEnd(ended(talk, Outcome.CONNECTED), None)])
    at_ms = NOON + 60 * MINUTE_MS
    await store.commit([promised(1, 1, at_ms, owner=ANNA)])
    assert await due(store, at_ms - 1) == [2]
    fetched = await store.due_leads(SPRING, at_ms, 10)
    assert [(lead.id, lead.state, lead.owner) for lead in fetched.leads] == [
        (1, LeadState.CALLBACK, ANNA),
        (2, LeadState.NEW, None),
    ]


async def test_promised_calls_alone_are_those_whose_time_has_come(store: Store, database: Database) -> None:
    for lead, next_at_ms in ((1, NOON), (2, NOON - MINUTE_MS), (3, NOON + MINUTE_MS), (4, NOON), (5, NOON)):
        await add_lead(database, lead, state=LeadState.CALLBACK, next_at_ms=next_at_ms)
    await add_lead(database, 6)
    fetched = await store.promised_leads(SPRING, NOON, 2, [LeadId(4)])
    assert [lead.id for lead in fetched.leads] == [2, 1]
    assert (fetched.promised, fetched.next_callback_at_ms) == (True, NOON + MINUTE_MS)


async def test_a_callback_that_was_dialed_is_done(store: Store, database: Database) -> None:
    await add_lead(database, 1)
    talk = talking(attempt(1, 1))
    await store.commit([SaveAttempt(attempt(1, 1)), SaveAnswer(talk), SaveEnd(ended(talk, Outcome.CONNECTED), None)])
    at_ms = NOON + 60 * MINUTE_MS
    await store.commit([promised(1, 1, at_ms)])
    again = attempt(2, 1, at_ms=at_ms)
    await store.commit([SaveAttempt(again)])
    assert [row["state"] for row in await rows(database, "SELECT state FROM callbacks")] == ["due"]
    kept = LeadChange(lead=LeadId(1), state=LeadState.CALLBACK, next_at_ms=at_ms + MINUTE_MS, rule="no way through")
    await store.commit([SaveEnd(ended(again, Outcome.CONGESTION), kept)])
    (moved,) = await rows(database, "SELECT state, due_at_ms, promised_at_ms FROM callbacks")
    assert tuple(moved) == ("scheduled", at_ms + MINUTE_MS, at_ms)
    await store.commit(unanswered(attempt(3, 1, at_ms=at_ms + MINUTE_MS), at_ms + 60 * MINUTE_MS))
    assert [row["state"] for row in await rows(database, "SELECT state FROM callbacks")] == ["done"]


async def test_a_promise_is_not_kept_by_the_conversation_it_was_made_in_whatever_the_clock_says(
    store: Store, database: Database
) -> None:
    await add_lead(database, 1)
    talk = talking(attempt(1, 1))
    set_back_ms = NOON - 60 * MINUTE_MS
    promise = replace(promised(1, 1, set_back_ms + MINUTE_MS), at_ms=set_back_ms)
    await store.commit([SaveAttempt(attempt(1, 1)), SaveAnswer(talk), promise])
    await store.commit([SaveEnd(replace(ended(talk, Outcome.CONNECTED), ended_at_ms=set_back_ms + 1), None)])
    assert [row["state"] for row in await rows(database, "SELECT state FROM callbacks")] == ["scheduled"]


async def test_a_call_whose_agent_was_lost_ends_with_its_attempt(store: Store, database: Database) -> None:
    await add_lead(database, 1)
    talk = talking(attempt(1, 1))
    left = replace(ended(talk, Outcome.CONNECTED), agent=None)
    await store.commit([SaveAttempt(attempt(1, 1)), SaveAnswer(talk), SaveEnd(left, retry(1, NOON))])
    (call,) = await rows(database, "SELECT agent_id, ended_at_ms FROM calls")
    assert tuple(call) == ("anna", NOON + 30_000)
    assert (await store.restore()).undisposed == ()


async def test_do_not_call_silences_every_number_of_the_person_in_every_campaign(
    store: Store, database: Database
) -> None:
    autumn = CampaignId("autumn")
    await add_lead(database, 1, numbers=(number(1), number(1, 1)))
    await add_lead(database, 2, campaign=autumn, numbers=(number(1, 1),))
    await add_lead(database, 3, campaign=autumn, numbers=(number(1, 1), number(3)))
    asked = LeadChange(lead=LeadId(1), state=LeadState.SUPPRESSED, rule="asked not to be called")
    await store.commit([SaveLead(asked, NOON)])
    assert (await lead_state(database, 1))[0] == "suppressed"
    assert (await lead_state(database, 2))[0] == "suppressed"
    (other,) = (await store.due_leads(autumn, NOON, 10)).leads
    assert [(phone.position, phone.valid) for phone in other.phones] == [(0, False), (1, True)]
    assert other.next_phone == 1


async def test_a_call_that_was_taken_back_is_restored_on_its_way_out(store: Store, database: Database) -> None:
    await add_lead(database, 1)
    taken_back = SaveTakenBack(attempt(1, 1).id, NOON + 2_000)
    await store.commit([SaveAttempt(attempt(1, 1)), taken_back])
    ((found, _),) = (await store.restore()).attempts
    assert found.state is CustomerState.LEAVING
    await store.commit([SaveEnd(ended(attempt(1, 1), Outcome.CANCELLED), retry(1, NOON)), taken_back])
    assert (await store.restore()).attempts == ()


async def test_the_key_for_no_more_calls_silences_the_person_and_is_audited_once(
    store: Store, database: Database
) -> None:
    await add_lead(database, 1, numbers=(number(1), number(1, 1)))
    await add_lead(database, 2, numbers=(number(1, 1),))
    await add_lead(database, 3, numbers=(number(1), number(3)))
    await promise_a_call(database, 1, 2, 3)
    planned = attempt(1, 1)
    await store.commit([SaveAttempt(planned)])
    await store.commit([SaveOptOut(planned.id, NOON + 5_000)])
    await store.commit([SaveOptOut(planned.id, NOON + 9_000)])
    suppressed = await rows(database, "SELECT number, reason, suppressed_by FROM suppressions ORDER BY number")
    assert [tuple(row) for row in suppressed] == [
        (one.e164, "opt_out", "customer") for one in sorted([number(1), number(1, 1)], key=lambda one: one.e164)
    ]
    assert [(await lead_state(database, lead))[0] for lead in (1, 2, 3)] == ["suppressed", "suppressed", "new"]
    assert await promises(database) == ["cancelled", "cancelled", "scheduled"]
    audit = await rows(database, "SELECT actor, action, subject FROM audit")
    assert [tuple(row) for row in audit] == [("customer", "opt_out", f"attempt:{planned.id}")]
    await store.commit([SaveEnd(ended(planned, Outcome.ABANDONED), retry(1, NOON))])
    assert (await lead_state(database, 1))[0] == "suppressed"


async def test_a_lead_carries_its_language(store: Store, database: Database) -> None:
    await add_lead(database, 1)
    await add_lead(database, 2)
    await change(database, "UPDATE leads SET fields = :fields WHERE id = 1", fields='{"language": " UK "}')
    leads = (await store.due_leads(SPRING, NOON, 10)).leads
    assert [lead.language for lead in leads] == ["uk", None]


async def test_nothing_brings_a_suppressed_lead_back(store: Store, database: Database) -> None:
    await add_lead(database, 1)
    planned = attempt(1, 1)
    asked = LeadChange(lead=LeadId(1), state=LeadState.SUPPRESSED, rule="asked")
    await store.commit([SaveAttempt(planned), SaveLead(asked, NOON)])
    (before,) = await rows(database, "SELECT state, hold, next_at_ms FROM leads")
    await store.commit([SaveEnd(ended(planned, Outcome.NO_ANSWER), retry(1, NOON))])
    (after,) = await rows(database, "SELECT state, hold, next_at_ms FROM leads")
    assert tuple(after) == tuple(before)
    assert after["state"] == "suppressed"


# ── due leads ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_leads_come_by_callback_priority_due_time_and_id(store: Store, database: Database) -> None:
    await add_lead(database, 1, next_at_ms=5, state=LeadState.RETRY)
    await add_lead(database, 2, next_at_ms=3)
    await add_lead(database, 3, next_at_ms=3)
    await add_lead(database, 4, priority=9, next_at_ms=9)
    await add_lead(database, 5, state=LeadState.CALLBACK, next_at_ms=NOON)
    await add_lead(database, 6, priority=-1)
    await add_lead(database, 7, next_at_ms=NOON + 1)
    await add_lead(database, 8, state=LeadState.CLOSED)
    fetched = await store.due_leads(SPRING, NOON, 100)
    assert [lead.id for lead in fetched.leads] == [5, 4, 2, 3, 1, 6]
    assert fetched.next_due_at_ms == NOON + 1
    assert await due(store, limit=3) == [5, 4, 2]
    assert await due(store, limit=3, but=(5, 2)) == [4, 3, 1]


async def test_an_unknown_campaign_has_no_leads(store: Store) -> None:
    fetched = await store.due_leads(CampaignId("nothing"), NOON, 10)
    assert (fetched.leads, fetched.next_due_at_ms) == ((), None)


async def test_a_lead_carries_its_phones_tries_and_outcomes(store: Store, database: Database) -> None:
    await add_lead(database, 1, numbers=(number(1), number(1, 1)))
    first = attempt(1, 1)
    wrong = LeadChange(
        lead=LeadId(1), state=LeadState.RETRY, next_at_ms=NOON, next_phone=1, invalid_phone=0, rule="no such number"
    )
    await store.commit([SaveAttempt(first), SaveEnd(ended(first, Outcome.INVALID_NUMBER), wrong)])
    second = attempt(2, 1, phone_position=1, number=number(1, 1))
    await store.commit([SaveAttempt(second), SaveEnd(ended(second, Outcome.BUSY), retry(1, NOON))])
    (lead,) = (await store.due_leads(SPRING, NOON, 10)).leads
    assert [(phone.number.e164, phone.valid) for phone in lead.phones] == [
        (number(1).e164, False),
        (number(1, 1).e164, True),
    ]
    assert lead.outcome_counts == {Outcome.INVALID_NUMBER: 1, Outcome.BUSY: 1}
    assert (lead.attempts_count, lead.next_phone) == (2, 1)


async def test_a_suppressed_number_is_not_offered(store: Store, database: Database) -> None:
    await add_lead(database, 1)
    await add_lead(database, 2, numbers=(number(2), number(2, 1)))
    await DoNotCall(database).add([number(1), number(2)], reason="complaint", by="boss", at_ms=NOON)
    assert (await lead_state(database, 1))[0] == "suppressed"
    (lead,) = (await store.due_leads(SPRING, NOON, 10)).leads
    assert (lead.id, lead.next_phone) == (2, 1)


async def test_who_shares_a_number_with_a_live_call_waits(store: Store, database: Database) -> None:
    await add_lead(database, 1)
    await add_lead(database, 2, numbers=(number(1), number(2)))
    planned = attempt(1, 1)
    await store.commit([SaveAttempt(planned)])
    assert await due(store) == []
    await store.commit([SaveEnd(ended(planned, Outcome.BUSY), closed(1))])
    assert await due(store) == [2]


async def plan(database: Database, asked: Statement) -> list[str]:
    query = replace(asked.query, sql="EXPLAIN QUERY PLAN " + asked.query.sql)
    (steps,) = await database.read(replace(asked, query=query))
    return [step["detail"] for step in steps]


async def test_the_first_in_line_are_found_by_the_index_alone(database: Database) -> None:
    bound = SQL.first_in_line(campaign=SPRING, zone="", but="[]", limit=10)
    steps = " | ".join(await plan(database, bound))
    assert "SEARCH l USING COVERING INDEX leads_line (campaign_id=? AND line_zone=? AND line>?)" in steps
    assert "TEMP B-TREE" not in steps
    assert "SCAN" not in steps.replace("SCAN json_each", "")


async def test_zones_are_found_by_hops_over_the_index(database: Database) -> None:
    bound = SQL.zones_in_line(campaign=SPRING)
    touching = [step for step in await plan(database, bound) if " l " in step]
    assert touching
    assert all("SEARCH l USING COVERING INDEX leads_line (campaign_id=?" in step for step in touching)


# ── the line ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_whoever_changes_a_lead_it_is_lined_up_anew(store: Store, database: Database) -> None:
    for lead in (1, 2, 3):
        await add_lead(database, lead)
    assert await due(store) == [1, 2, 3]
    await change(database, "UPDATE leads SET priority = 5 WHERE id = 3")
    assert await due(store) == [3, 1, 2]
    await change(database, "UPDATE leads SET state = 'closed' WHERE id = 1")
    assert await due(store) == [3, 2]
    await change(database, "UPDATE leads SET next_at_ms = :later WHERE id = 3", later=NOON + 1)
    assert await due(store) == [2]
    assert await due(store, NOON + 1) == [3, 2]


async def test_another_order_lines_everybody_up_anew(store: Store, database: Database) -> None:
    for lead in (1, 2, 3):
        await add_lead(database, lead)
        await change(database, "UPDATE leads SET created_at_ms = :id WHERE id = :id", id=lead)

    async def by(*order: ordering.Term) -> list[int]:
        while await store.line_up(SPRING, order, NOON):
            pass
        return [one.id for one in (await store.due_leads(SPRING, NOON, 10, line=LineUp(order=order))).leads]

    assert await by(ordering.ByAge(newest=True)) == [3, 2, 1]
    assert await by(ordering.ByAge(newest=False)) == [1, 2, 3]


async def test_a_tag_moves_its_lead_in_the_line_at_once(store: Store, database: Database) -> None:
    line = LineUp(order=(ordering.ByValue("tag", ("vip",)),))
    for lead in (1, 2, 3):
        await add_lead(database, lead)
    for tags, expected in (("[]", [1, 2, 3]), ('["vip","опт"]', [3, 1, 2]), ('["опт"]', [1, 2, 3])):
        await change(database, "UPDATE leads SET tags = :tags WHERE id = 3", tags=tags)
        assert [one.id for one in (await store.due_leads(SPRING, NOON, 10, line=line)).leads] == expected


async def test_lists_take_turns_in_the_line_and_another_list_moves_its_lead_at_once(
    store: Store, database: Database
) -> None:
    line = LineUp(order=(ordering.Mix("list", (("march", 2), ("april", 1))),))
    for lead, name in enumerate(("March", "March", "March", "April", "April"), start=1):
        await add_lead(database, lead)
        await change(database, "UPDATE leads SET list = :name WHERE id = :lead", name=name, lead=lead)
    assert [one.id for one in (await store.due_leads(SPRING, NOON, 10, line=line)).leads] == [1, 2, 4, 3, 5]
    first = LineUp(order=(ordering.ByValue("list", ("may",)),))
    while await store.line_up(SPRING, first.order, NOON):
        pass
    await change(database, "UPDATE leads SET list = 'May' WHERE id = 5")
    assert [one.id for one in (await store.due_leads(SPRING, NOON, 10, line=first)).leads] == [5, 1, 2, 3, 4]


async def test_recycled_leads_have_all_their_tries_again_and_suppressed_ones_stay(
    store: Store, database: Database
) -> None:
    for lead in (1, 2):
        await add_lead(database, lead)
        planned = attempt(lead, lead)
        used = closed(lead, "attempts_used:1:1")
        await store.commit([SaveAttempt(planned), SaveEnd(ended(planned, Outcome.NO_ANSWER), used)])
    await change(database, "UPDATE leads SET state = 'suppressed' WHERE id = 2")
    later_ms = NOON + 60 * MINUTE_MS
    assert await store.closed_rules(SPRING) == {"attempts_used:1:1": 1}
    assert await store.recycle(SPRING, ["attempts_used:1:1"], by="boss", at_ms=later_ms) == 1
    (fresh,) = (await store.due_leads(SPRING, later_ms, 10)).leads
    assert (fresh.id, fresh.attempts_count, fresh.outcome_counts) == (1, 0, {})
    again = attempt(3, 1, at_ms=later_ms + 1)
    await store.commit([SaveAttempt(again)])
    assert (await lead_state(database, 1))[1] == 1


async def test_leads_of_a_closed_zone_wait_without_being_looked_at(store: Store, database: Database) -> None:
    for lead, zone in ((1, "Asia/Tokyo"), (2, "Europe/Kyiv"), (3, None)):
        await add_lead(database, lead)
        await change(database, "UPDATE leads SET zone = :zone WHERE id = :id", id=lead, zone=zone)

    def opens(zones: Sequence[str], at_ms: int) -> int | None:
        return {"Asia/Tokyo": NOON + MINUTE_MS, "Europe/Kyiv": None}.get("".join(zones), at_ms)

    fetched = await store.due_leads(SPRING, NOON, 10, line=LineUp(opens=opens))
    assert [one.id for one in fetched.leads] == [3]
    assert fetched.next_due_at_ms == NOON + MINUTE_MS


async def test_who_may_be_in_several_zones_waits_in_line_until_all_of_them_are_open(database: Database) -> None:
    several = ("Asia/Vladivostok", "Europe/Moscow")
    kinds = {number(1): (), number(2): several, number(3): several[1:], number(4): several[:1]}
    store = Store(database, zones_of=lambda phone: kinds[phone])
    for lead, numbers in enumerate(((1,), (2,), (3,), (3, 4), (2,)), 1):
        await add_lead(database, lead, numbers=tuple(map(number, numbers)))
    await change(database, "UPDATE leads SET zone = 'Asia/Tokyo' WHERE id = 5")
    asked: list[tuple[str, ...]] = []

    def opens(zones: Sequence[str], at_ms: int) -> int | None:
        asked.append(tuple(zones))
        return at_ms if len(zones) < 2 else NOON + MINUTE_MS

    fetched = await store.due_leads(SPRING, NOON, 10, line=LineUp(opens=opens))
    assert sorted(asked) == [(), ("Asia/Tokyo",), several, ("Europe/Moscow",)]
    assert {lead.id: lead.zones for lead in fetched.leads} == {1: (), 3: ("Europe/Moscow",), 5: ("Asia/Tokyo",)}
    assert fetched.next_due_at_ms == NOON + MINUTE_MS
    open_to_all = await store.due_leads(SPRING, NOON, 10)
    assert {lead.id: lead.zones for lead in open_to_all.leads if lead.id in {2, 4}} == {2: several, 4: several}


# ── after a restart ──────────────────────────────────────────────────────────────────────────────────────────────


async def test_restore_tells_open_attempts_undisposed_calls_agents_and_campaigns(
    store: Store, database: Database
) -> None:
    for lead in (1, 2, 3, 4):
        await add_lead(database, lead)
    ringing, live, over, done = (attempt(n, n) for n in (1, 2, 3, 4))
    over_talk, done_talk = talking(over), talking(done, AgentId("oleg"))
    await store.commit([SaveAttempt(ringing), SaveAttempt(live), SaveAnswer(talking(live))])
    await store.commit(
        [SaveAttempt(over), SaveAnswer(over_talk), SaveEnd(ended(over_talk, Outcome.CONNECTED), None)],
    )
    await store.commit(
        [SaveAttempt(done), SaveAnswer(done_talk), SaveEnd(ended(done_talk, Outcome.CONNECTED), None), sold(4, 4)],
    )
    states = {
        "anna": Agent(id=ANNA, state=AgentState.TALKING, since_ms=NOON),
        "oleg": Agent(id=AgentId("oleg"), state=AgentState.WRAP_UP, wish=AgentState.PAUSED),
        "olha": Agent(id=AgentId("olha"), state=AgentState.PAUSED),
        "ivan": Agent(id=AgentId("ivan")),
    }
    await store.commit([SaveAgent(agent, NOON) for agent in states.values()])
    await store.commit([SaveCampaignRun(SPRING, True, NOON), SaveCampaignRun(CampaignId("autumn"), False, NOON)])

    restored = await store.restore()

    assert [(a, lead.id, lead.state) for a, lead in restored.attempts if lead is not None] == [
        (ringing, 1, LeadState.DIALING),
        (talking(live), 2, LeadState.IN_CALL),
    ]
    assert [(agent, a, lead.id) for agent, a, lead in restored.undisposed] == [
        (ANNA, ended(over_talk, Outcome.CONNECTED), 3)
    ]
    assert restored.logged_in == (("anna", True), ("oleg", False), ("olha", False))
    assert restored.running == (SPRING,)


async def test_only_the_last_conversation_of_a_lead_waits_for_its_word(store: Store, database: Database) -> None:
    await add_lead(database, 1)
    first, second = talking(attempt(1, 1)), talking(attempt(2, 1, at_ms=NOON - 60_000), AgentId("oleg"))
    await store.commit([SaveAttempt(attempt(1, 1)), SaveAnswer(first), SaveEnd(ended(first, Outcome.CONNECTED), None)])
    planned = attempt(2, 1, at_ms=NOON - 60_000)  # the clock was set back meanwhile
    await store.commit([SaveAttempt(planned), SaveAnswer(second), SaveEnd(ended(second, Outcome.CONNECTED), None)])
    assert [(agent, a.id) for agent, a, _ in (await store.restore()).undisposed] == [("oleg", second.id)]


async def test_the_recordings_that_were_ended_last_are_known_also_after_the_clock_was_set_back(
    store: Store, database: Database
) -> None:
    for engine, ended_at_ms in enumerate((NOON, NOON - 300_000), 1):
        await store.next_epoch(ended_at_ms - 600_000)
        for n, before_ms in enumerate((120_000, 1_000, 0)):
            id_, lead = engine * 10 + n, engine * 10 + n
            await add_lead(database, lead)
            recording = Recording(
                name=f"{engine}-{n}", attempt=attempt(id_, lead).id, bridge=BridgeId("b"), started_at_ms=NOON - 700_000
            )
            await store.commit([SaveAttempt(attempt(id_, lead)), SaveRecording(recording, None)])
            await store.commit([SaveRecording(recording, ended_at_ms - before_ms)])
            await store.commit([SaveRecording(recording, ended_at_ms + 5)])  # told again: it had ended before
        assert [one.name for one in (await store.restore()).recordings_ended] == [f"{engine}-1", f"{engine}-2"]


# ── agents and audit ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_agent_log_keeps_the_last_state_of_each_millisecond(store: Store, database: Database) -> None:
    ready = Agent(id=ANNA, state=AgentState.READY)
    await store.commit(
        [
            SaveAgent(replace(ready, state=AgentState.PAUSED, pause_reason="tea"), NOON),
            SaveAgent(ready, NOON + 5),
            SaveAgent(replace(ready, state=AgentState.RESERVED), NOON + 5),
            SaveAgent(ready, NOON + 5),
        ]
    )
    log = await rows(database, "SELECT at_ms, state, pause_reason FROM agent_log ORDER BY at_ms")
    assert [tuple(row) for row in log] == [(NOON, "paused", "tea"), (NOON + 5, "ready", "")]


async def test_each_audit_row_carries_the_hash_of_the_row_before(store: Store, database: Database) -> None:
    for subject in ("campaign:spring", "campaign:autumn", "agent:anna"):
        await store.commit([SaveAudit(at_ms=NOON, by="boss", action="stop", subject=subject, detail="обед")])
    before = ""
    for expected, row in enumerate(await rows(database, "SELECT * FROM audit ORDER BY seq"), start=1):
        assert row["seq"] == expected
        before = chain_hash(before, expected, NOON, "boss", "stop", row["subject"], "обед")
        assert row["hash"] == before


@pytest.mark.parametrize("wish", ["UPDATE audit SET actor = 'nobody'", "DELETE FROM audit"])
async def test_the_audit_only_grows(store: Store, database: Database, wish: str) -> None:
    await store.commit([SaveAudit(at_ms=NOON, by="boss", action="stop", subject="campaign:spring")])
    with pytest.raises(StoreBug, match="append-only"):
        await change(database, wish)


# ── what the law asks ────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_history_has_the_attempts_on_everybody_who_shares_a_number_over_all_campaigns(
    database: Database,
) -> None:
    store = Store(database, zones_of=lambda phone: ("Europe/Kyiv", phone.masked))
    await add_lead(database, 1, numbers=(number(1), number(9)))
    await add_lead(database, 2, campaign=CampaignId("autumn"), numbers=(number(2), number(9)))
    await add_lead(database, 3)
    for id_, who, at_ms in ((1, 1, NOON - 1), (2, 2, NOON - 2), (3, 3, NOON - 3), (4, 2, NOON - 90_000)):
        await store.commit(list(unanswered(attempt(id_, who, at_ms=at_ms), NOON)))
    later_ms = NOON + 24 * 60 * MINUTE_MS
    assert all(lead.history is None for lead in (await store.due_leads(SPRING, later_ms, 10)).leads)
    reach_ms = later_ms - (NOON - 80_000)
    found = {lead.id: lead for lead in (await store.due_leads(SPRING, later_ms, 10, (), reach_ms)).leads}
    history = found[LeadId(1)].history
    assert history is not None
    assert sorted((past.lead, past.at_ms, past.outcome) for past in history) == [
        (1, NOON - 1, Outcome.NO_ANSWER),
        (2, NOON - 2, Outcome.NO_ANSWER),
    ]
    assert found[LeadId(1)].phones[1].zones == ("Europe/Kyiv", number(9).masked)
    assert [past.lead for past in found[LeadId(3)].history or ()] == [3]
    assert await store.leads([LeadId(1), LeadId(77)], NOON - 80_000) == {1: found[LeadId(1)]}


async def test_fields_of_the_file_come_with_the_history(store: Store, database: Database) -> None:
    await add_lead(database, 1)
    await database.write(
        parse("-- name: set\nUPDATE leads SET fields = :fields", "test")["set"](fields='{"vip": "да"}')
    )
    (lead,) = (await store.due_leads(SPRING, NOON, 10, (), 1)).leads
    assert lead.fields == {"vip": "да"}
