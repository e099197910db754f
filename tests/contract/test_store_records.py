"""What the pages may rely on when they read cards, lists and counts, and when they keep users, drafts and the audit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.booking import Booking, Taken, book
from engine.core.effects import SaveAgent, SaveAnswer, SaveAttempt, SaveDisposition, SaveEnd
from engine.core.model import (
    Agent,
    AgentId,
    AgentState,
    AttemptId,
    CallbackPolicy,
    CallingHours,
    CampaignId,
    DispositionId,
    LeadChange,
    LeadId,
    LeadState,
    Outcome,
    PhoneNumber,
)
from engine.store.database import Database
from engine.store.dnc import DoNotCall
from engine.store.errors import StoreBug
from engine.store.folding import digits_typed, fold
from engine.store.records import DRAFT_MAX, Records
from engine.store.rows import AgentTime, Role, User
from engine.store.store import Store
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
    talking,
    unanswered,
)
from tests.conversation import OFFICE_HOURS, campaign

DAY_MS = 86_400_000
OLENA = User(login="olena", name="Олена", role=Role.OPERATOR, agent=ANNA, language="uk", password_hash="argon2")


@pytest.fixture
def records(database: Database) -> Records:
    return Records(database)


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


async def conversation(store: Store, n: int, lead: int, *, at_ms: int = NOON, agent: AgentId = ANNA) -> AttemptId:
    talk = talking(attempt(n, lead, at_ms=at_ms), agent)
    await store.commit(
        [SaveAttempt(attempt(n, lead, at_ms=at_ms)), SaveAnswer(talk), SaveEnd(ended(talk, Outcome.CONNECTED), None)]
    )
    return talk.id


def disposed(talk: AttemptId, lead: int, disposition: str, at_ms: int, change: LeadChange) -> SaveDisposition:
    return SaveDisposition(
        attempt=talk,
        lead=LeadId(lead),
        agent=ANNA,
        disposition=DispositionId(disposition),
        note=f"note of {disposition}",
        at_ms=at_ms,
        change=change,
        callback_at_ms=change.next_at_ms if change.state is LeadState.CALLBACK else None,
    )


# ── users and sessions ───────────────────────────────────────────────────────────────────────────────────────────


async def test_a_user_is_kept_and_changed(records: Records) -> None:
    await records.put_user(OLENA, NOON)
    assert await records.user_by_login("olena") == OLENA
    await records.put_user(replace(OLENA, disabled=True), NOON + 1)
    await records.set_user_looks("olena", language="ru", theme="dark")
    assert await records.users() == (replace(OLENA, disabled=True, language="ru", theme="dark"),)
    assert await records.user_by_login("nobody") is None


async def test_a_session_lives_from_log_in_to_log_out(records: Records) -> None:
    await records.put_user(OLENA, NOON)
    for token in ("one", "two", "three"):
        await records.add_session(token, "olena", NOON)
    await records.touch_session("one", NOON + 5)
    session = await records.session("one")
    assert session is not None
    assert (session.user, session.created_at_ms, session.seen_at_ms) == (OLENA, NOON, NOON + 5)
    await records.end_session("two")
    assert await records.session("two") is None
    await records.end_old_sessions(seen_before_ms=NOON + 5, created_before_ms=0)
    assert (await records.session("one"), await records.session("three")) == (session, None)
    await records.end_sessions("olena")
    assert await records.session("one") is None


async def test_nobody_has_a_session_without_being_a_user(records: Records) -> None:
    with pytest.raises(StoreBug):
        await records.add_session("one", "nobody", NOON)


# ── leads ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_card_says_what_is_planned_and_why(records: Records, store: Store, database: Database) -> None:
    await add_lead(database, 1, numbers=(number(1), number(1, 1)))
    await change(database, """UPDATE leads SET fields = '{"город": "Дніпро"}' WHERE id = 1""")
    await store.commit(unanswered(attempt(1, 1), NOON + 60_000))
    await DoNotCall(database).add([number(1, 1)], reason="complaint", by="boss", at_ms=NOON)
    card = await records.lead_card(LeadId(1))
    assert card is not None
    assert [(phone.number, phone.valid) for phone in card.phones] == [(number(1), True), (number(1, 1), False)]
    assert (card.fields, card.state, card.next_at_ms) == ({"город": "Дніпро"}, LeadState.RETRY, NOON + 60_000)
    assert (card.rule, card.attempts_count) == ("no answer: again in 30 min", 1)
    assert await records.lead_card(LeadId(404)) is None


async def test_a_history_tells_tries_and_conversations_newest_first(
    records: Records, store: Store, database: Database
) -> None:
    await add_lead(database, 1)
    await store.commit(unanswered(attempt(1, 1), NOON))
    talk = await conversation(store, 2, 1, at_ms=NOON + 60_000)
    promise = LeadChange(lead=LeadId(1), state=LeadState.CALLBACK, next_at_ms=NOON + 3_600_000, rule="asked to call")
    await store.commit([disposed(talk, 1, "later", NOON + 100_000, promise)])
    newest, oldest = await records.lead_history(LeadId(1))
    assert (oldest.outcome, oldest.rule, oldest.agent) == (Outcome.NO_ANSWER, "no answer: again in 30 min", None)
    assert (newest.outcome, newest.agent, newest.disposition, newest.note) == (
        Outcome.CONNECTED,
        ANNA,
        "later",
        "note of later",
    )
    assert newest.phone is not None
    assert (newest.callback_at_ms, newest.rule, newest.phone.number) == (NOON + 3_600_000, "asked to call", number(1))


async def test_every_correction_of_a_disposition_is_kept(records: Records, store: Store, database: Database) -> None:
    await add_lead(database, 1)
    talk = await conversation(store, 1, 1)
    await store.commit([disposed(talk, 1, "refused", NOON + 1, closed(1, "refused: final"))])
    await store.commit([disposed(talk, 1, "sale", NOON + 2, closed(1))])
    history = await records.disposition_history(talk)
    assert [(row.disposition, row.rule) for row in history] == [("refused", "refused: final"), ("sale", "sold: final")]


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("+7916123", [1]),
        ("8 (916) 123-45-67", [1]),
        ("4567", [1, 2]),
        ("067 123 45 67", [2]),
        ("семён", [1]),
        ("СЕМЕН", [1]),
        ("мар'яна", [2]),
        ("", [1, 2]),
        ("99", []),
        ("%", []),
    ],
)
async def test_leads_are_found_as_people_type(
    records: Records, database: Database, typed: str, found: list[int]
) -> None:
    await add_lead(database, 1, numbers=(PhoneNumber("+79161234567"),))
    await add_lead(database, 2, numbers=(PhoneNumber("+380671234567"),), campaign=CampaignId("autumn"))
    for lead, name in ((1, "Семён Петров"), (2, "Мар’яна")):
        await change(database, "UPDATE leads SET name_folded = :name WHERE id = :id", name=fold(name), id=lead)
    cards = await records.find_leads(typed, campaigns=None, state=None, after=0, limit=50)
    assert [card.id for card in cards] == found
    here = await records.find_leads(typed, campaigns=[SPRING], state=LeadState.NEW, after=0, limit=50)
    assert [card.id for card in here] == [lead for lead in found if lead == 1]


async def test_a_list_goes_on_after_the_last_id(records: Records, database: Database) -> None:
    for lead in range(1, 8):
        await add_lead(database, lead)
    page = await records.find_leads("", campaigns=None, state=None, after=3, limit=2)
    assert [card.id for card in page] == [4, 5]


def test_a_national_prefix_does_not_hide_a_number() -> None:
    assert digits_typed("8 916 123-45-67") == "9161234567"
    assert digits_typed("+7 916") == "7916"
    assert digits_typed("дом 5") == ""


# ── counts and callbacks ─────────────────────────────────────────────────────────────────────────────────────────


async def test_counts_of_a_campaign(records: Records, store: Store, database: Database) -> None:
    for lead in (1, 2, 3, 4, 5):
        await add_lead(database, lead)
    await store.commit(unanswered(attempt(1, 1), NOON + 60_000))
    talk = await conversation(store, 2, 2)
    await store.commit([disposed(talk, 2, "sale", NOON + 100_000, closed(2))])
    later = await conversation(store, 3, 3)
    promise = LeadChange(lead=LeadId(3), state=LeadState.CALLBACK, next_at_ms=NOON + 200_000, owner=ANNA, rule="later")
    await store.commit([disposed(later, 3, "later", NOON + 100_000, promise)])
    counts = await records.campaign_counts(SPRING, NOON, NOON + 200_000)
    assert counts.leads == {LeadState.NEW: 2, LeadState.RETRY: 1, LeadState.CLOSED: 1, LeadState.CALLBACK: 1}
    assert counts.outcomes == {Outcome.NO_ANSWER: 1, Outcome.CONNECTED: 2}
    assert counts.dispositions == {"sale": 1, "later": 1}
    assert (counts.due, counts.due_callbacks) == (4, 1)
    (callback,) = await records.callbacks_due(NOON + 200_000, owner=ANNA)
    assert (callback.lead, callback.name, callback.due_at_ms, callback.owner) == (3, "lead 3", NOON + 200_000, ANNA)
    assert await records.callbacks_due(NOON + 200_000, owner=AgentId("oleg")) == ()


async def test_an_agents_day(records: Records, store: Store, database: Database) -> None:
    for lead in (1, 2):
        await add_lead(database, lead)
    first = await conversation(store, 1, 1)
    await conversation(store, 2, 2, at_ms=NOON + 100_000)
    await store.commit([disposed(first, 1, "sale", NOON + 50_000, closed(1))])
    assert await records.agent_day(ANNA, NOON) == {"calls": 2, "contacts": 2, "undisposed": 1, "talk_ms": 54_000}
    assert (await records.agent_day(ANNA, NOON + 90_000))["calls"] == 1


async def test_an_agents_times_fill_the_span(records: Records, store: Store) -> None:
    ready = Agent(id=ANNA, state=AgentState.READY)
    tea = replace(ready, state=AgentState.PAUSED, pause_reason="tea")
    await store.commit([SaveAgent(ready, NOON - 500), SaveAgent(tea, NOON + 1_000), SaveAgent(ready, NOON + 4_000)])
    assert await records.agent_times(NOON, NOON + 10_000) == (
        AgentTime(agent=ANNA, state=AgentState.PAUSED, pause_reason="tea", time_ms=3_000),
        AgentTime(agent=ANNA, state=AgentState.READY, pause_reason="", time_ms=7_000),
    )


# ── drafts and audit ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_note_being_typed_is_kept_until_it_is_saved(records: Records, store: Store, database: Database) -> None:
    await add_lead(database, 1)
    talk = await conversation(store, 1, 1)
    await records.save_draft(ANNA, LeadId(1), talk, "перезвонить по", NOON + 2)
    await records.save_draft(ANNA, LeadId(1), talk, "перезв", NOON + 1)
    draft = await records.draft(ANNA, LeadId(1), talk)
    assert draft is not None
    assert draft.text == "перезвонить по"
    await store.commit([disposed(talk, 1, "sale", NOON + 3, closed(1))])
    assert await records.draft(ANNA, LeadId(1), talk) is None


async def test_an_empty_note_is_no_draft(records: Records, store: Store, database: Database) -> None:
    await add_lead(database, 1)
    talk = await conversation(store, 1, 1)
    await records.save_draft(ANNA, LeadId(1), talk, "a", NOON)
    await records.save_draft(ANNA, LeadId(1), talk, "", NOON + 1)
    assert await records.draft(ANNA, LeadId(1), talk) is None
    with pytest.raises(ValueError, match="at most"):
        await records.save_draft(ANNA, LeadId(1), talk, "a" * (DRAFT_MAX + 1), NOON)


async def test_the_audit_is_read_from_its_end(records: Records) -> None:
    for n in range(5):
        await records.add_audit(at_ms=NOON + n, by="boss", action="start", subject=f"campaign:{n}")
    page = await records.audit_page(limit=2)
    assert [row.seq for row in page] == [5, 4]
    assert [row.seq for row in await records.audit_page(before=4, limit=2)] == [3, 2]
    await records.add_audit(at_ms=NOON + 9, by="olena", action="login", subject="olena")
    assert [row.seq for row in await records.audit_page(by="olena")] == [6]
    assert [row.seq for row in await records.audit_page(actions=("login", "login_failed"))] == [6]
    assert [row.seq for row in await records.audit_page(since_ms=NOON + 1, until_ms=NOON + 3)] == [3, 2]
    assert await records.audit_page(actions=()) == ()


# ── promised calls ───────────────────────────────────────────────────────────────────────────────────────────────


async def promise(database: Database, lead: int, due_at_ms: int, owner: AgentId | None = None) -> None:
    await add_lead(database, lead, state=LeadState.CALLBACK, next_at_ms=due_at_ms)
    await change(
        database,
        "INSERT INTO callbacks "
        "(lead_id, campaign_id, promised_at_ms, due_at_ms, owner, state, created_at_ms, created_by) "
        "VALUES (:lead, 'spring', :due, :due, :owner, 'scheduled', :lead, 'test')",
        lead=lead,
        due=due_at_ms,
        owner=owner,
    )


async def test_a_full_slot_offers_the_next_free_one_and_a_full_day_the_next_day(database: Database) -> None:
    ten_ms = 1_763_971_200_000  # a Monday, 10:00 in Kyiv
    rules = CallbackPolicy(per_slot_max=1, own_per_day_max=2)
    spring = campaign(callbacks=rules, hours=OFFICE_HOURS)

    async def ask(at_ms: int, owner: AgentId | None = None) -> Booking:
        return await book(database, spring, at_ms, zones=(), owner=owner)

    assert await ask(ten_ms) == Booking(ten_ms)
    await promise(database, 1, ten_ms + 60_000, ANNA)
    assert await ask(ten_ms) == Booking(ten_ms + 15 * 60_000, Taken.SLOT_FULL)
    evening_ms = ten_ms + 10 * 3_600_000
    assert await ask(evening_ms) == Booking(ten_ms + 23 * 3_600_000, Taken.HOURS)  # closed at 20:00, open at 09:00
    await promise(database, 2, ten_ms + 3_600_000, ANNA)
    noon_ms = ten_ms + 2 * 3_600_000
    assert await ask(noon_ms, ANNA) == Booking(noon_ms + DAY_MS, Taken.DAY_FULL)
    assert await ask(noon_ms) == Booking(noon_ms)
    of_annas_client = await book(database, spring, noon_ms, zones=(), owner=None, keeper=ANNA)
    assert of_annas_client == Booking(noon_ms + DAY_MS, Taken.DAY_FULL), "it would be hers"
    closed_for_ever = campaign(hours=CallingHours(spans=((),) * 7, zone="Europe/Kyiv"))
    never = await book(database, closed_for_ever, noon_ms, zones=(), owner=None)
    assert never == Booking(None, Taken.NEVER)


async def test_promises_are_kept_broken_or_overdue(database: Database) -> None:
    records, store = Records(database), Store(database)
    for lead in (1, 2, 3):
        await promise(database, lead, NOON)
    in_time = attempt(1, 1, at_ms=NOON + 60_000)
    late = attempt(2, 2, at_ms=NOON + 20 * 60_000)
    for lead, planned in ((1, in_time), (2, late)):
        await store.commit([SaveAttempt(planned), SaveEnd(ended(planned, Outcome.NO_ANSWER), closed(lead))])
    counts = await records.campaign_counts(SPRING, NOON - 1, NOON + 3_600_000)
    assert (counts.promises_kept, counts.promises_broken, counts.promises_overdue) == (1, 2, 1)
