"""What the engine may rely on of calls that come in: who it may be, whose call it was, and who is called back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.core.effects import (
    SaveAnswer,
    SaveArrival,
    SaveAttached,
    SaveAttempt,
    SaveDisposition,
    SaveDispositionAlone,
    SaveEnd,
    SaveLead,
    SaveMissed,
    SavePlan,
    Write,
)
from engine.core.model import (
    Attempt,
    CampaignId,
    CustomerState,
    DispositionId,
    LeadChange,
    LeadId,
    LeadState,
    Outcome,
    PhoneNumber,
    QueueId,
    inbound_leg,
)
from engine.store.database import Database
from engine.store.store import Store
from engine.verify import verify
from tests.contract.store_people import (
    ANNA,
    NOON,
    SPRING,
    add_lead,
    attempt,
    change,
    closed,
    ended,
    number,
    retry,
    rows,
    talking,
    unanswered,
)

STRANGER = PhoneNumber("+380501234567")
AUTUMN = CampaignId("autumn")


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


def arrival(n: int, caller: PhoneNumber | None = STRANGER, lead: int | None = None, **other: object) -> Attempt:
    """A call that came in, and waits."""
    return replace(
        attempt(n, 1),
        lead=None if lead is None else LeadId(lead),
        number=caller,
        leg=inbound_leg(f"1763971200.{n}"),
        queue=QueueId("hotline"),
        state=CustomerState.WAITING,
        accepted_at_ms=NOON,
        answered_at_ms=NOON,
        **other,  # type: ignore[arg-type]
    )


def gave_up(call: Attempt) -> tuple[Write, ...]:
    over = replace(call, state=CustomerState.ENDED, ended_at_ms=NOON + 40_000, outcome=Outcome.LEFT_QUEUE, cause=0)
    return SaveArrival(call), SaveEnd(over, None), SaveMissed(over)


def said(call: Attempt, change: LeadChange, *, at_ms: int) -> SaveDisposition:
    """Anna's word of a conversation with the first lead."""
    return SaveDisposition(
        attempt=call.id,
        lead=LeadId(1),
        agent=ANNA,
        disposition=DispositionId("sale"),
        note="",
        at_ms=at_ms,
        change=change,
    )


async def test_a_caller_is_found_by_any_of_their_numbers_the_campaigns_own_leads_first(
    store: Store, database: Database
) -> None:
    await add_lead(database, 1, numbers=(number(1), STRANGER))
    await add_lead(database, 2, campaign=AUTUMN, numbers=(STRANGER,))
    assert [lead.id for lead in await store.callers(STRANGER, SPRING)] == [1]
    assert [lead.id for lead in await store.callers(STRANGER, AUTUMN)] == [2]
    assert [lead.id for lead in await store.callers(STRANGER, CampaignId("winter"))] == [1, 2]
    assert await store.callers(PhoneNumber("+380990000000"), SPRING) == ()


async def test_a_stranger_who_gave_up_becomes_a_lead_that_is_called_back_once(store: Store, database: Database) -> None:
    writes = gave_up(arrival(1))
    for _ in range(2):  # a commit whose answer was lost is sent again
        await store.commit(writes)
    (lead,) = await rows(database, "SELECT id, state, next_at_ms, hold FROM leads")
    assert (lead["state"], lead["next_at_ms"], lead["hold"]) == ("callback", NOON + 40_000, "missed_call")
    (callback,) = await rows(database, "SELECT lead_id, state, owner, created_by FROM callbacks")
    assert (callback["state"], callback["owner"], callback["created_by"]) == ("scheduled", None, "missed_call")
    assert [row["lead_id"] for row in await rows(database, "SELECT lead_id FROM attempts")] == [lead["id"]]
    fetched = await store.due_leads(SPRING, NOON + 60_000, 10)
    assert [one.id for one in fetched.leads] == [lead["id"]]
    assert fetched.leads[0].attempts_count == 0, "their call spends none of our tries"
    assert await verify(database, now_ms=NOON + 60_000) == []


async def test_a_missed_call_is_owed_though_an_earlier_conversation_ends_after_the_clock_was_set_back(
    store: Store, database: Database
) -> None:
    await add_lead(database, 1)
    begun = attempt(1, 1, at_ms=NOON + 60 * 60_000)
    word = said(begun, retry(1, NOON), at_ms=NOON)
    await store.commit([SaveAttempt(begun), SaveAnswer(talking(begun)), word, *gave_up(arrival(2, number(1)))])
    over = replace(ended(talking(begun), Outcome.CONNECTED), ended_at_ms=NOON + 50_000)
    await store.commit([SaveEnd(over, None)])
    assert [row["state"] for row in await rows(database, "SELECT state FROM callbacks")] == ["scheduled"]


async def test_a_second_missed_call_makes_no_second_lead_and_no_second_promise(
    store: Store, database: Database
) -> None:
    await store.commit(gave_up(arrival(1)))
    await store.commit(gave_up(arrival(2)))
    assert len(await rows(database, "SELECT id FROM leads")) == 1
    assert len(await rows(database, "SELECT id FROM callbacks")) == 1


async def test_whose_client_gave_up_is_who_calls_back_first(store: Store, database: Database) -> None:
    await add_lead(database, 1, numbers=(STRANGER,))
    await change(database, "UPDATE leads SET keeper = 'anna' WHERE id = 1")
    await store.commit(gave_up(arrival(1)))
    assert [row["owner"] for row in await rows(database, "SELECT owner FROM callbacks")] == [ANNA]
    assert (await store.leads([LeadId(1)]))[LeadId(1)].owner == ANNA


async def test_who_asked_for_no_calls_is_not_called_back(store: Store, database: Database) -> None:
    await add_lead(database, 1, state=LeadState.SUPPRESSED, numbers=(STRANGER,))
    await store.commit(gave_up(arrival(1)))
    assert await rows(database, "SELECT id FROM callbacks") == []
    (lead,) = await rows(database, "SELECT state FROM leads")
    assert lead["state"] == "suppressed"


async def test_a_caller_recognised_in_mid_call_has_the_lead_and_its_disposition(
    store: Store, database: Database
) -> None:
    await add_lead(database, 1, numbers=(STRANGER,))
    call = arrival(1)
    on_line = replace(talking(call), answered_at_ms=NOON, lead=None)
    await store.commit([SaveArrival(call), SaveAnswer(on_line)])
    await store.commit([SaveAttached(attempt=call.id, lead=LeadId(1), owed=True, at_ms=NOON + 9_000)])
    (lead,) = await rows(database, "SELECT state FROM leads")
    assert lead["state"] == "in_call"
    restored = await store.restore()
    assert [(a.lead, a.queue) for a, _ in restored.attempts] == [(1, "hotline")]
    over = ended(replace(on_line, lead=LeadId(1)), Outcome.CONNECTED)
    await store.commit([SaveEnd(over, None), said(call, closed(1), at_ms=NOON + 35_000)])
    (lead,) = await rows(database, "SELECT state, attempts_count FROM leads")
    assert (lead["state"], lead["attempts_count"]) == ("closed", 0)
    assert await verify(database, now_ms=NOON + 60_000, at_rest=True) == []


async def test_a_lead_named_after_the_word_waits_for_no_promised_call_any_more(
    store: Store, database: Database
) -> None:
    await add_lead(database, 1, numbers=(number(1),))
    later = LeadChange(lead=LeadId(1), state=LeadState.CALLBACK, next_at_ms=NOON, rule="planned")
    await store.commit([SavePlan(change=later, at_ms=NOON - 3_600_000, by="vera")])
    assert (await store.leads([LeadId(1)]))[LeadId(1)].changed_at_ms == NOON - 3_600_000
    call = arrival(1)
    on_line = replace(talking(call), answered_at_ms=NOON, lead=None)
    await store.commit([SaveArrival(call), SaveAnswer(on_line)])
    named = SaveAttached(attempt=call.id, lead=LeadId(1), owed=False, at_ms=NOON + 9_000, change=closed(1))
    await store.commit([named, SaveEnd(ended(replace(on_line, lead=LeadId(1)), Outcome.CONNECTED), None)])
    (lead,) = await rows(database, "SELECT l.state, c.closed_at_ms FROM leads l JOIN callbacks c ON c.lead_id = l.id")
    assert lead["state"] == "closed"
    assert lead["closed_at_ms"] == NOON + 9_000
    assert await verify(database, now_ms=NOON + 60_000, at_rest=True) == []


async def test_a_caller_recognised_after_a_call_to_them_in_vain_is_owed_the_word_after_a_restart(
    store: Store, database: Database
) -> None:
    await add_lead(database, 1, numbers=(STRANGER, number(1)))
    call = arrival(1)
    on_line = replace(talking(call), answered_at_ms=NOON, lead=None)
    await store.commit([SaveArrival(call), SaveAnswer(on_line)])
    await store.commit(unanswered(attempt(2, 1, phone_position=1, number=number(1)), NOON + 600_000))
    await store.commit([SaveAttached(attempt=call.id, lead=LeadId(1), owed=True, at_ms=NOON + 9_000)])
    await store.commit([SaveEnd(ended(replace(on_line, lead=LeadId(1)), Outcome.CONNECTED), None)])
    assert [(agent, a.id, lead.id) for agent, a, lead in (await store.restore()).undisposed] == [(ANNA, call.id, 1)]


async def test_a_caller_whose_agent_left_without_a_word_is_not_owed_one_when_the_line_ends(
    store: Store, database: Database
) -> None:
    await add_lead(database, 1, numbers=(STRANGER,))
    call = arrival(1)
    on_line = replace(talking(call), answered_at_ms=NOON, lead=LeadId(1))
    await store.commit([SaveArrival(call), SaveAttached(attempt=call.id, lead=LeadId(1), owed=False, at_ms=NOON)])
    await store.commit([SaveAnswer(on_line), SaveLead(replace(closed(1), rule="no_disposition"), NOON + 1_000)])
    await store.commit([SaveEnd(ended(on_line, Outcome.CONNECTED), None)])
    (lead,) = await rows(database, "SELECT state FROM leads")
    assert lead["state"] == "closed"


async def test_what_an_agent_said_of_a_caller_who_is_still_on_the_line_outlives_the_engine(store: Store) -> None:
    unknown, silent = arrival(1), arrival(2)
    for call in (unknown, silent):
        await store.commit([SaveArrival(call), SaveAnswer(replace(talking(call), lead=None))])
    alone = SaveDispositionAlone(
        attempt=unknown.id, agent=ANNA, disposition=DispositionId("wrong number"), note="", at_ms=NOON
    )
    await store.commit([alone])
    assert (await store.restore()).decided == {unknown.id: "wrong number"}


async def test_two_may_call_from_one_number_while_we_call_it(store: Store, database: Database) -> None:
    await add_lead(database, 1, numbers=(STRANGER,))
    await store.commit([SaveArrival(arrival(1)), SaveArrival(arrival(2)), SaveArrival(arrival(3, None))])
    restored = await store.restore()
    assert [a.number for a, _ in restored.attempts] == [STRANGER, STRANGER, None]
    assert (await store.due_leads(SPRING, NOON, 10)).leads == (), "nobody is dialed while their number is on the line"


async def test_the_answers_of_callers_are_not_the_laws(store: Store, database: Database) -> None:
    await store.commit(gave_up(arrival(1)))
    assert await store.answers(SPRING) == ()
