"""A planted violation of each promise is found and names the attempt; a healthy day's database has none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from asterisk.journal import HeardLeg
from engine.core.budget import AbandonRule, AtCeiling
from engine.core.effects import (
    SaveAgent,
    SaveAnswer,
    SaveAttempt,
    SaveAudit,
    SaveDisposition,
    SaveEnd,
    SaveLead,
)
from engine.core.law import Calendar, Count, Limit, Pack
from engine.core.model import (
    Agent,
    AgentProfile,
    AgentState,
    AttemptId,
    AttemptPolicy,
    CallingHours,
    Campaign,
    DispositionId,
    LeadChange,
    LeadId,
    LeadState,
    Outcome,
    PhoneId,
    Policy,
    Trunk,
    TrunkId,
)
from engine.core.pacing import Progressive
from engine.store.database import InlineDatabase
from engine.store.store import Store
from engine.verify import ATTEMPT_LIFE_MS, CALLBACK_GRACE_MS, Violation, verify
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

HOUR_MS = 3_600_000
LATER = NOON + HOUR_MS
DEMO = TrunkId("demo")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[InlineDatabase]:
    with InlineDatabase.open(tmp_path / "a.db", now_ms=0, durable=False) as database:
        yield database


@pytest.fixture
def store(database: InlineDatabase) -> Store:
    return Store(database)


@dataclass(frozen=True)
class Call:
    """What the carrier wrote down."""

    number: str
    invited_ms: int
    ended_ms: int | None


def policy(
    *,
    attempts_max: int = 5,
    lines: int = 10,
    rate: float = 10,
    until_minute: int = 24 * 60,
    abandon: AbandonRule | None = None,
) -> Policy:
    campaign = Campaign(
        id=SPRING,
        name="Spring",
        pacing=Progressive(),
        trunks=(DEMO,),
        caller_id=None,
        attempts=AttemptPolicy(max=attempts_max, retry={}),
        hours=CallingHours(spans=(((0, until_minute),),) * 7, zone="UTC"),
        dispositions=(),
        abandon=abandon or AbandonRule(at_ceiling=AtCeiling.STOP),
    )
    trunk = Trunk(id=DEMO, lines_max=lines, calls_per_second_max=rate)
    anna = AgentProfile(id=ANNA, name="Anna", phone=PhoneId("101"), campaigns=(SPRING,))
    return Policy(campaigns={SPRING: campaign}, trunks={DEMO: trunk}, agents={ANNA: anna})


async def a_days_work(database: InlineDatabase, store: Store) -> None:
    """Four leads: not reached, sold, promised a callback, asked not to be called."""
    for lead in (1, 2, 3, 4):
        await add_lead(database, lead)
    await store.commit(unanswered(attempt(1, 1), LATER))
    for n, lead in ((2, 2), (3, 3)):
        talk = talking(attempt(n, lead, at_ms=NOON + n * 60_000))
        await store.commit([SaveAttempt(attempt(n, lead, at_ms=NOON + n * 60_000)), SaveAnswer(talk)])
        await store.commit([SaveEnd(ended(talk, Outcome.CONNECTED), None)])
    await store.commit([said(2, 2, closed(2))])
    promise = LeadChange(lead=LeadId(3), state=LeadState.CALLBACK, next_at_ms=LATER + HOUR_MS, rule="later")
    await store.commit([said(3, 3, promise)])
    asked = LeadChange(lead=LeadId(4), state=LeadState.SUPPRESSED, rule="asked")
    await store.commit([SaveLead(asked, NOON), SaveAudit(at_ms=NOON, by="anna", action="suppress", subject="lead:4")])
    await store.commit([SaveAgent(Agent(id=ANNA, state=AgentState.READY), LATER)])


def said(n: int, lead: int, what: LeadChange) -> SaveDisposition:
    return SaveDisposition(
        attempt=attempt(n, lead).id,
        lead=LeadId(lead),
        agent=ANNA,
        disposition=DispositionId("said"),
        note="",
        at_ms=NOON + n * 60_000 + 40_000,
        change=what,
        callback_at_ms=what.next_at_ms if what.state is LeadState.CALLBACK else None,
    )


def carrier_of_the_day() -> list[Call]:
    return [
        Call(number(lead).e164, NOON + minute * 60_000 + 50, NOON + minute * 60_000 + 30_000)
        for lead, minute in ((1, 0), (2, 2), (3, 3))
    ]


async def test_a_healthy_day_has_no_violation(database: InlineDatabase, store: Store) -> None:
    await a_days_work(database, store)
    assert await verify(database, now_ms=LATER, policy=policy(), carried=carrier_of_the_day(), at_rest=True) == []


RECORDED = "INSERT INTO recordings (name, attempt_id, bridge, started_at_ms, paused, ended_at_ms) VALUES "
PLANTED: dict[str, tuple[str, str, str]] = {
    "a lead dialed twice at once": (
        "I1",
        "lead 1 is dialed",
        """INSERT INTO attempts (id, campaign_id, lead_id, phone_position, number, trunk_id, leg, state, planned_at_ms,
           ended_at_ms, outcome) VALUES ('1-99', 'spring', 1, 1, '+70000000000', 'demo', 'x', 'ended',
           1700000010000, 1700000020000, 'busy');
           """,
    ),
    "a number dialed twice at once": (
        "I1",
        "a number is dialed",
        """INSERT INTO attempts (id, campaign_id, lead_id, phone_position, number, trunk_id, leg, state, planned_at_ms,
           ended_at_ms, outcome) SELECT '1-99', 'spring', 4, 0, number, 'demo', 'x', 'ended', planned_at_ms + 1,
           ended_at_ms, 'busy' FROM attempts WHERE id = '1-1';""",
    ),
    "a try that was not counted": ("I2", "lead 1 shows 0 tries", "UPDATE leads SET attempts_count = 0 WHERE id = 1;"),
    "a counted congestion": ("I2", "counted otherwise", "UPDATE attempts SET outcome = 'congestion' WHERE id = '1-1';"),
    "a suppressed number dialed": (
        "I5",
        "do-not-call",
        "INSERT INTO suppressions SELECT number, 'system', 'asked', 'boss', planned_at_ms - 2000 FROM attempts"
        " WHERE id = '1-1';",
    ),
    "an end without a state": ("I7", "disagree", "UPDATE attempts SET state = 'ringing' WHERE id = '1-1';"),
    "an operator's word overwritten": (
        "I7",
        "the operator said last said",
        "UPDATE calls SET disposition_id = 'timeout' WHERE attempt_id = '1-2';",
    ),
    "a connection nobody had": ("I7", "never bridged", "UPDATE attempts SET outcome = 'connected' WHERE id = '1-1';"),
    "an answer that ended as busy": (
        "I7",
        "answered, but ended as busy",
        "UPDATE attempts SET answered_at_ms = planned_at_ms + 1, outcome = 'busy' WHERE id = '1-1';",
    ),
    "a bridge without a call": (
        "I7",
        "no call row",
        "UPDATE attempts SET bridged_at_ms = planned_at_ms + 1 WHERE id = '1-1';",
    ),
    "a call that goes on": (
        "I7",
        "do not end together",
        "UPDATE calls SET ended_at_ms = NULL WHERE attempt_id = '1-2';",
    ),
    "an agent talking to nobody": (
        "I8",
        "agent anna is talking",
        "UPDATE agents SET state = 'talking', attempt_id = '1-2';",
    ),
    "an agent who talked to nobody": (
        "I8",
        "stayed talking",
        """INSERT INTO agent_log (agent_id, at_ms, state, pause_reason, attempt_id)
           VALUES ('anna', 1700000123000, 'talking', '', '1-2');""",
    ),
    "two customers of one agent": (
        "I9",
        "two customers",
        "UPDATE calls SET ended_at_ms = 1700000190000 WHERE attempt_id = '1-2';",
    ),
    "a stranded lead": ("I10", "nobody has it", "UPDATE leads SET state = 'dialing' WHERE id = 1;"),
    "a callback of a closed lead": (
        "I12",
        "the lead is closed",
        "UPDATE leads SET state = 'closed' WHERE id = 3;",
    ),
    "a promise without a callback": (
        "I12",
        "waits for a callback",
        "UPDATE leads SET state = 'callback', next_at_ms = 1800000000000 WHERE id = 1;",
    ),
    "a word about a conversation that is not there": (
        "I6",
        "its conversation was not",
        "DELETE FROM calls WHERE attempt_id = '1-2';",
    ),
    "a dial of an engine that was to end": (
        "I20",
        "asked to end",
        """INSERT INTO audit SELECT max(seq) + 1, 1700000100000, 'engine', 'draining', 'epoch:1', '', '' FROM audit;""",
    ),
    "a recording of a call without a talk": (
        "I17",
        "nobody talked on",
        RECORDED + "('r', '1-1', 'b', 1700000000500, 0, 1700000000600);",
    ),
    "a recording that goes on for ever": (
        "I17",
        "outlives its conversation",
        RECORDED + "('r', '1-2', 'b', 1700000130000, 0, NULL);",
    ),
    "two recordings at once": (
        "I17",
        "at once",
        RECORDED
        + """('r1', '1-2', 'b', 1700000130000, 0, 1700000140000),
           ('r2', '1-2', 'b', 1700000135000, 0, 1700000141000);""",
    ),
    "a recording that goes on with the next customer": (
        "I17",
        "of one bridge at once",
        RECORDED
        + """('r1', '1-2', 'b', 1700000130000, 0, 1700000190000),
           ('r2', '1-3', 'b', 1700000185000, 0, 1700000191000);""",
    ),
    "times that run backwards": (
        "I19",
        "run backwards",
        "UPDATE attempts SET ended_at_ms = planned_at_ms - 1 WHERE id = '1-1';",
    ),
}


PAST_SQLITE: dict[str, tuple[str, str, tuple[str, ...], str]] = {
    "a call whose lead is gone": (
        "I6",
        "a row of calls refers to one of leads",
        ("1-2",),
        "UPDATE calls SET lead_id = 99 WHERE attempt_id = '1-2';",
    ),
    "a value that the schema forbids": (
        "I6",
        "the file is damaged: CHECK constraint failed in leads",
        (),
        "UPDATE leads SET priority = 1000 WHERE id = 1;",
    ),
}


@pytest.mark.parametrize("planted", PAST_SQLITE)
async def test_what_sqlite_itself_would_have_refused_is_found(
    database: InlineDatabase, store: Store, planted: str
) -> None:
    invariant, words, ids, statement = PAST_SQLITE[planted]
    await a_days_work(database, store)
    for pragma in ("foreign_keys = OFF", "ignore_check_constraints = ON"):
        database._connection.execute(f"PRAGMA {pragma}")
    await change(database, statement)
    database._connection.execute("PRAGMA ignore_check_constraints = OFF")
    found = await verify(database, now_ms=LATER)
    assert any(v.invariant == invariant and words in v.what and v.ids == ids for v in found), found


async def test_somebody_who_called_an_engine_that_was_asked_to_end_was_not_dialed(
    database: InlineDatabase, store: Store
) -> None:
    await a_days_work(database, store)
    await change(database, "UPDATE attempts SET queue_id = 'hotline' WHERE planned_at_ms > 1700000100000;")
    await change(database, PLANTED["a dial of an engine that was to end"][2])
    assert "I20" not in {v.invariant for v in await verify(database, now_ms=LATER)}


async def test_an_agent_who_handed_a_customer_on_may_have_the_next_one(database: InlineDatabase, store: Store) -> None:
    await a_days_work(database, store)
    await change(database, "UPDATE calls SET ended_at_ms = 1700000190000 WHERE attempt_id = '1-2';")
    transferred = SaveAudit(at_ms=1_700_000_150_000, by="anna", action="call_transferred", subject="1-2")
    await store.commit([transferred])
    assert "I9" not in {v.invariant for v in await verify(database, now_ms=LATER)}


async def test_an_agent_who_lost_the_phone_may_have_the_next_one(database: InlineDatabase, store: Store) -> None:
    await a_days_work(database, store)
    await change(database, "UPDATE calls SET ended_at_ms = 1700000190000 WHERE attempt_id = '1-2';")
    await store.commit([SaveAgent(Agent(id=ANNA, since_ms=1_700_000_150_000), 1_700_000_150_000)])
    assert "I9" not in {v.invariant for v in await verify(database, now_ms=LATER)}


@pytest.mark.parametrize("found_talking", [True, False])
async def test_an_agent_whose_phone_was_lost_without_an_engine_may_have_the_next_one(
    database: InlineDatabase, store: Store, *, found_talking: bool
) -> None:
    await a_days_work(database, store)
    await change(database, "UPDATE calls SET ended_at_ms = 1700000190000 WHERE attempt_id = '1-2';")
    await store.next_epoch(1_700_000_150_000)
    talks = Agent(id=ANNA, since_ms=0, state=AgentState.TALKING, attempt=AttemptId("1-2"))
    ready = Agent(id=ANNA, since_ms=0, state=AgentState.READY)
    await store.commit([SaveAgent(talks if found_talking else ready, 1_700_000_151_000)])
    assert ("I9" in {v.invariant for v in await verify(database, now_ms=LATER)}) is found_talking


async def test_an_agent_who_took_the_customer_back_has_them(database: InlineDatabase, store: Store) -> None:
    await a_days_work(database, store)
    back = "UPDATE calls SET bridged_at_ms = 1700000160000, ended_at_ms = 1700000190000 WHERE attempt_id = '1-2';"
    await change(database, back)
    transferred = SaveAudit(at_ms=1_700_000_150_000, by="anna", action="call_transferred", subject="1-2")
    await store.commit([transferred])
    assert "I9" in {v.invariant for v in await verify(database, now_ms=LATER)}


@pytest.mark.parametrize("planted", PLANTED)
async def test_a_planted_violation_is_found(database: InlineDatabase, store: Store, planted: str) -> None:
    invariant, words, statement = PLANTED[planted]
    await a_days_work(database, store)
    await change(database, statement)
    found = await verify(database, now_ms=LATER)
    assert any(v.invariant == invariant and words in v.what for v in found), found


async def test_a_clock_that_was_set_back_excuses_times_and_nothing_else(database: InlineDatabase, store: Store) -> None:
    await a_days_work(database, store)
    await change(database, "UPDATE attempts SET planned_at_ms = planned_at_ms + 7200000 WHERE lead_id = 2;")
    assert "I19" in {v.invariant for v in await verify(database, now_ms=LATER)}
    assert await verify(database, now_ms=LATER, times_hold=False) == []
    _, _, stranded = PLANTED["a stranded lead"]
    await change(database, stranded)
    assert [v.invariant for v in await verify(database, now_ms=LATER, times_hold=False)] == ["I10"]


async def test_an_attempt_that_outlives_its_engine_is_found(database: InlineDatabase, store: Store) -> None:
    await add_lead(database, 1)
    await store.commit([SaveAttempt(attempt(1, 1))])
    assert await verify(database, now_ms=LATER) == []
    at_rest = await verify(database, now_ms=LATER, at_rest=True)
    too_long = await verify(database, now_ms=NOON + ATTEMPT_LIFE_MS)
    assert [(v.invariant, v.ids) for v in (*at_rest, *too_long)] == [("I10", ("1-1",))] * 2


async def test_a_lead_that_is_still_new_while_called_is_found(database: InlineDatabase, store: Store) -> None:
    await add_lead(database, 1)
    await store.commit([SaveAttempt(attempt(1, 1))])
    await change(database, "UPDATE leads SET state = 'new' WHERE id = 1;")
    assert [v.invariant for v in await verify(database, now_ms=NOON)] == ["I1"]


async def test_a_callback_nobody_kept_is_found(database: InlineDatabase, store: Store) -> None:
    await a_days_work(database, store)
    now_ms = LATER + HOUR_MS + CALLBACK_GRACE_MS + 1
    assert [(v.invariant, v.ids) for v in await verify(database, now_ms=now_ms)] == [("I12", ("1-3",))]


# ── with the policy ──────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_try_too_many_is_found(database: InlineDatabase, store: Store) -> None:
    await add_lead(database, 1)
    for n in (1, 2, 3):
        await store.commit(unanswered(attempt(n, 1, at_ms=NOON + n * 60_000), LATER))
    assert await verify(database, now_ms=LATER, policy=policy(attempts_max=3)) == []
    (found,) = await verify(database, now_ms=LATER, policy=policy(attempts_max=2))
    assert (found.invariant, found.ids) == ("I2", ("1-1", "1-2", "1-3"))


async def test_a_call_outside_the_hours_of_the_callees_zone_is_found(database: InlineDatabase, store: Store) -> None:
    await add_lead(database, 1)
    await add_lead(database, 2)
    await add_lead(database, 3)  # Kyiv, by the number: past midnight
    await change(database, "UPDATE leads SET zone = 'Europe/London' WHERE id = 1;")
    await change(database, "UPDATE leads SET zone = 'Asia/Vladivostok' WHERE id = 2;")
    await store.commit(unanswered(attempt(3, 3), LATER))
    await store.commit(unanswered(attempt(1, 1), LATER))
    await store.commit(unanswered(attempt(2, 2), LATER))
    # NOON is 22:13 UTC, and the next morning in Vladivostok.
    found = await verify(database, now_ms=LATER, policy=policy(until_minute=22 * 60))
    assert [(v.invariant, v.ids) for v in found] == [("I4", ("1-1",))]


async def test_more_calls_than_lines_are_found(database: InlineDatabase, store: Store) -> None:
    for lead in (1, 2, 3):
        await add_lead(database, lead)
        await store.commit(unanswered(attempt(lead, lead, at_ms=NOON + lead * 2_000), LATER))
    assert await verify(database, now_ms=LATER, policy=policy(lines=3)) == []
    (found,) = await verify(database, now_ms=LATER, policy=policy(lines=2))
    assert (found.invariant, found.what, found.ids) == ("I22", "3 calls at once on trunk demo of 2 lines", ("1-3",))


async def test_a_line_given_back_may_be_taken_in_the_same_millisecond(database: InlineDatabase, store: Store) -> None:
    for lead in (1, 2):
        await add_lead(database, lead)
        await store.commit(unanswered(attempt(lead, lead, at_ms=NOON + lead * 30_000), LATER))
    assert await verify(database, now_ms=LATER, policy=policy(lines=1)) == []


async def test_more_calls_a_second_than_sold_are_found(database: InlineDatabase, store: Store) -> None:
    for lead in (1, 2, 3, 4):
        await add_lead(database, lead)
        await store.commit(unanswered(attempt(lead, lead, at_ms=NOON + lead * 100), LATER))
    assert await verify(database, now_ms=LATER, policy=policy(rate=3)) == []
    (found,) = await verify(database, now_ms=LATER, policy=policy(rate=2))
    assert (found.invariant, found.ids) == ("I22", ("1-4",))


async def test_an_engine_started_after_the_drain_may_dial(database: InlineDatabase, store: Store) -> None:
    await a_days_work(database, store)
    await store.commit([SaveAudit(at_ms=NOON + 90_000, by="engine", action="draining", subject="epoch:1")])
    assert [v.ids for v in await verify(database, now_ms=LATER)] == [("1-2",), ("1-3",)]
    await store.next_epoch(NOON + 100_000)
    assert await verify(database, now_ms=LATER) == []


async def test_a_phone_that_we_let_ring_too_short_is_found(database: InlineDatabase, store: Store) -> None:
    ends = ((14_000, 19, None), (14_000, 19, 480), (16_000, 19, None), (14_000, None, None), (14_000, 19, 487))
    for n, (after_ms, cause, tech_cause) in enumerate(ends, start=1):
        await add_lead(database, n)
        planned = attempt(n, n, at_ms=NOON + n * 60_000)
        rang = replace(planned, accepted_at_ms=planned.planned_at_ms, ringing_at_ms=planned.planned_at_ms)
        over = replace(ended(rang, Outcome.NO_ANSWER, after_ms=after_ms), cause=cause, tech_cause=tech_cause)
        await store.commit([SaveAttempt(planned), SaveEnd(over, closed(n))])
    (found,) = await verify(database, now_ms=LATER, policy=policy())
    assert (found.invariant, found.ids) == ("I16", ("1-1",)), "the carrier's end is none of ours, nor one nobody saw"
    await change(database, "UPDATE attempts SET taken_back_at_ms = ended_at_ms WHERE id IN ('1-3', '1-5');")
    assert [v.ids for v in await verify(database, now_ms=LATER, policy=policy())] == [("1-1",), ("1-5",)]


async def test_dialing_for_nobody_though_no_abandon_is_left_is_found(database: InlineDatabase, store: Store) -> None:
    for n in range(1, 5):
        await add_lead(database, n)
    await store.commit([SaveAgent(Agent(id=ANNA, state=AgentState.READY), NOON)])
    lost = replace(attempt(1, 1), answered_at_ms=NOON + 1_000)
    await store.commit([SaveAttempt(attempt(1, 1)), SaveEnd(ended(lost, Outcome.ABANDONED, after_ms=5_000), closed(1))])
    for n in (2, 3):
        await store.commit(unanswered(attempt(n, n, at_ms=NOON + n * 10_000), LATER))
    await store.commit(unanswered(attempt(4, 4, at_ms=NOON + 3_000), LATER))
    strict = policy(abandon=AbandonRule(at_ceiling=AtCeiling.ONE_TO_ONE))
    found = await verify(database, now_ms=LATER, policy=strict)
    assert [(v.invariant, v.ids) for v in found] == [("I14", ("1-2",)), ("I14", ("1-3",))], "1-4 was before the ceiling"
    await change(database, "UPDATE attempts SET taken_back_at_ms = planned_at_ms + 5000 WHERE id IN ('1-2', '1-4');")
    assert await verify(database, now_ms=LATER, policy=strict) == [], "whoever is taken back is awaited no more"
    await change(database, "UPDATE attempts SET taken_back_at_ms = NULL;")
    await change(database, "UPDATE attempts SET outcome = 'hung_up_early' WHERE id = '1-1';")
    assert await verify(database, now_ms=LATER, policy=strict) == []


# ── with the switch's own journal ────────────────────────────────────────────────────────────────────────────────


async def heard_faults(database: InlineDatabase, *legs: HeardLeg) -> list[tuple[str, tuple[str, ...]]]:
    return [(v.invariant, v.ids) for v in await verify(database, now_ms=LATER, policy=policy(), heard=legs)]


def heard(n: int, *, message_ms: int | None, unheard: bool = True) -> HeardLeg:
    """Answered at one second, gone at thirty."""
    return HeardLeg(
        channel_id=attempt(n, n).leg,
        answered_ms=NOON + 1_000,
        message_ms=None if message_ms is None else NOON + message_ms,
        unheard=unheard,
        ended_ms=NOON + 30_000,
    )


async def test_who_answered_and_was_left_in_silence_is_found(database: InlineDatabase, store: Store) -> None:
    await add_lead(database, 1)
    lost = replace(attempt(1, 1), answered_at_ms=NOON + 1_000)
    await store.commit([SaveAttempt(attempt(1, 1)), SaveEnd(ended(lost, Outcome.ABANDONED), closed(1))])
    assert await heard_faults(database, heard(1, message_ms=1_010)) == []
    assert await heard_faults(database, heard(1, message_ms=3_010)) == [("I15", ("1-1",))]
    assert await heard_faults(database, heard(1, message_ms=3_010, unheard=False)) == [], "they waited for an agent"
    assert await heard_faults(database, heard(1, message_ms=5_010, unheard=False)) == [("I15", ("1-1",))]
    assert await heard_faults(database, heard(1, message_ms=None)) == [("I15", ("1-1",))]


async def test_who_found_no_engine_and_is_not_counted_is_found(database: InlineDatabase, store: Store) -> None:
    await add_lead(database, 1)
    await store.commit(unanswered(attempt(1, 1), LATER))
    assert await heard_faults(database, heard(1, message_ms=1_010)) == [("I13", ("1-1",))]


async def test_who_waited_for_the_heir_of_a_dead_engine_is_not_held_against_it(
    database: InlineDatabase, store: Store
) -> None:
    await add_lead(database, 1)
    lost = replace(attempt(1, 1), answered_at_ms=NOON + 1_000)
    await store.commit([SaveAttempt(attempt(1, 1)), SaveEnd(ended(lost, Outcome.ABANDONED), closed(1))])
    await store.next_epoch(NOON + 4_000)
    assert await heard_faults(database, heard(1, message_ms=None, unheard=False)) == []
    assert await heard_faults(database, heard(1, message_ms=None)) == [("I15", ("1-1",))]


async def test_a_recording_that_the_rule_forbids_is_found(database: InlineDatabase, store: Store) -> None:
    await a_days_work(database, store)
    await change(
        database,
        RECORDED + "('r', '1-2', 'b', 1700000125000, 0, 1700000126000);",
    )
    assert await verify(database, now_ms=LATER) == []
    (found,) = await verify(database, now_ms=LATER, policy=policy())
    assert (found.invariant, found.ids) == ("I17", ("1-2",))


async def test_a_leg_of_no_attempt_is_found(database: InlineDatabase) -> None:
    assert await heard_faults(database, heard(1, message_ms=1_010)) == [("I10", ())]


# ── with the carrier's record ────────────────────────────────────────────────────────────────────────────────────


async def carried_faults(database: InlineDatabase, calls: list[Call]) -> list[tuple[str, tuple[str, ...]]]:
    return [(v.invariant, v.ids) for v in await verify(database, now_ms=LATER, carried=calls)]


async def test_a_call_that_no_row_precedes_is_found(database: InlineDatabase, store: Store) -> None:
    await a_days_work(database, store)
    calls = carrier_of_the_day()
    stray = Call(number(4).e164, NOON, NOON + 5_000)
    early = replace(calls[0], invited_ms=NOON - 5_000, ended_ms=NOON - 1)
    assert await carried_faults(database, [*calls, stray]) == [("I3", ())]
    assert await carried_faults(database, [early, *calls[1:]]) == [("I3", ("1-1",))]


async def test_an_originate_sent_twice_is_found(database: InlineDatabase, store: Store) -> None:
    await a_days_work(database, store)
    calls = carrier_of_the_day()
    again = replace(calls[0], invited_ms=calls[0].invited_ms + 5_000)
    assert await carried_faults(database, [*calls, again]) == [("I1", ("1-1",)), ("I3", ("1-1",))]


async def test_an_answer_that_the_carrier_never_saw_is_found(database: InlineDatabase, store: Store) -> None:
    await a_days_work(database, store)
    assert await carried_faults(database, carrier_of_the_day()[:2]) == [("I3", ("1-3",))]


async def test_a_dial_that_never_went_out_is_no_violation(database: InlineDatabase, store: Store) -> None:
    await a_days_work(database, store)
    assert await carried_faults(database, carrier_of_the_day()[1:]) == []


@pytest.mark.parametrize(("after_ms", "faults"), [(2_000, []), (2_001, [("I5", ("1-1",))])])
async def test_a_dial_planned_before_the_do_not_call_entry_and_sent_long_after_it_is_found(
    database: InlineDatabase, store: Store, after_ms: int, faults: list[tuple[str, tuple[str, ...]]]
) -> None:
    await a_days_work(database, store)
    await change(
        database,
        "INSERT INTO suppressions SELECT number, 'system', 'asked', 'boss', planned_at_ms FROM attempts"
        " WHERE id = '1-1';",
    )
    first, *others = carrier_of_the_day()
    assert await carried_faults(database, [replace(first, invited_ms=NOON + after_ms), *others]) == faults


# ── the audit ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("tampering", "told"),
    [
        ("UPDATE audit SET actor = 'nobody' WHERE seq = 2;", "an audit row was changed"),
        ("DELETE FROM audit WHERE seq = 2;", "the audit has a gap"),
    ],
)
async def test_tampering_with_the_audit_is_found(
    database: InlineDatabase, store: Store, tampering: str, told: str
) -> None:
    for n in range(3):
        await store.commit([SaveAudit(at_ms=n, by="boss", action="note", subject="x")])
    for trigger in ("DROP TRIGGER audit_no_update;", "DROP TRIGGER audit_no_delete;"):
        await change(database, trigger)
    await change(database, tampering)
    assert await verify(database, now_ms=LATER) == [Violation(invariant="I21", what=told, ids=("audit:2",))]


def test_a_violation_reads_as_a_line_and_names_no_number() -> None:
    violation = Violation(invariant="I1", what="lead 7 is dialed while a call to it lives", ids=("1-1", "1-2"))
    assert str(violation) == "I1: lead 7 is dialed while a call to it lives [1-1 1-2]"


ONCE_A_DAY = Pack(name="law", version=3, limits=(Limit(count=Count.ATTEMPT, max=1, per=Calendar.DAY),))


async def test_an_attempt_against_the_pack_that_allowed_it_is_found(database: InlineDatabase, store: Store) -> None:
    usual = policy()
    law = replace(usual, campaigns={SPRING: replace(usual.campaigns[SPRING], law=(ONCE_A_DAY,))})
    await add_lead(database, 1)
    await change(database, "UPDATE leads SET zone = 'UTC'")
    said = "lead_is:new law_limit:law@3:attempt:0:1:day"
    for n in (1, 2):
        planned = attempt(n, 1, at_ms=NOON + n * 60_000, decision=said)
        await store.commit(unanswered(planned, LATER))
    found = await verify(database, now_ms=LATER, policy=law)
    assert [(v.invariant, v.what, v.ids) for v in found] == [
        ("I4", "dialed against law_limit:law@3:attempt:1:1:day", ("1-2",))
    ]
    await change(database, "UPDATE attempts SET decision = 'law_limit:law@2:attempt:0:2:day'")  # of an older version
    assert not await verify(database, now_ms=LATER, policy=law)
