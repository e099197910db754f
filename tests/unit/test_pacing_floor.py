"""The pacer in its engine: what it is told, what it keeps over a restart, and what follows from its decisions."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core import effects, events
from engine.core.budget import AbandonRule, AtCeiling, CalendarDay, MinuteCount, Rolling
from engine.core.model import AgentId, AgentState, CustomerState, LegId, NotDialing, Outcome
from engine.core.pacing import Manual, PacingLimit, Predictive, Progressive, Ratio
from tests.conversation import ANNA, BORYS, MINUTE_MS, SPRING, Conversation, campaign, lead, policy, profile

TEN = tuple(AgentId(f"agent-{n}") for n in range(10))
FULL = AbandonRule(share_max=0.03, periods=(Rolling(length_ms=24 * 60 * MINUTE_MS),), at_ceiling=AtCeiling.ONE_TO_ONE)


def ten(**changes: object) -> Conversation:
    """Ten agents, many leads."""
    changes.setdefault("pacing", Predictive())
    return Conversation(*(lead(n) for n in range(1, 200)), agents=map(profile, TEN), **changes)  # type: ignore[arg-type]


def at_work(**changes: object) -> Conversation:
    """Ten agents are ready, and a while has passed."""
    floor = ten(**changes)
    floor.ready(*TEN)
    floor.wait(2_000)
    return floor


def ringing(floor: Conversation) -> list[LegId]:
    """The legs that ring or are about to."""
    return [a.leg for a in floor.live.attempts.values() if a.answered_at_ms is None and a.ended_at_ms is None]


def budget(floor: Conversation) -> tuple[float, float]:
    """Live answers and abandons that the campaign's pacer holds."""
    state = floor.live.pacers[SPRING].budget.state(floor.now_ms)
    return state.live_answers, state.abandoned


def test_predictive_dials_more_calls_than_agents_are_ready() -> None:
    assert len(at_work().dialed()) > 10


def test_each_mode_places_what_it_says() -> None:
    assert len(at_work(pacing=Progressive()).dialed()) == 10
    assert len(at_work(pacing=Ratio(calls_per_agent=1.5)).dialed()) == 15
    assert at_work(pacing=Manual()).dialed() == []


def test_the_mode_changes_while_calls_go_on() -> None:
    floor = at_work(pacing=Progressive())
    changed = policy(campaign(pacing=Predictive()), agents=map(profile, TEN))
    floor.tell(events.ConfigChanged(changed))
    floor.wait(2_000)
    assert len(floor.dialed()) > 10
    floor.tell(events.ConfigChanged(policy(campaign(pacing=Manual()), agents=map(profile, TEN))))
    before = len(floor.dialed())
    for leg in ringing(floor):
        floor.hang_up(leg, cause=17)
    assert len(floor.dialed()) == before


def test_a_forecast_is_looked_at_again_although_nothing_happens() -> None:
    floor = at_work()
    decided_ms = floor.live.decisions[SPRING].at_ms
    floor.wait(1_000)
    assert floor.live.decisions[SPRING].at_ms > decided_ms


def test_a_decision_that_the_call_rate_spreads_over_time_is_carried_out_whole() -> None:
    slow = policy(campaign(pacing=Predictive()), agents=map(profile, TEN), per_second=20)
    floor = Conversation(*(lead(n) for n in range(1, 200)), policy=slow)
    for agent in TEN:
        floor.ready(agent)
    decided = len(at_work().dialed())
    floor.wait(1_500)
    assert len(floor.dialed()) >= decided - 2


def test_the_agent_promised_to_a_customer_and_the_customer_cancel_out() -> None:
    floor = Conversation(lead(1), lead(2), pacing=Progressive())
    floor.ready(ANNA)
    floor.answer(floor.dial())
    assert floor.agent().state is AgentState.RESERVED
    decision = floor.live.pacers[SPRING].decide(floor.now_ms)
    assert (decision.ready, decision.waiting, decision.place) == (1, 1, 0)


def test_a_conversation_is_learned_once_and_as_long_as_it_was() -> None:
    floor = Conversation(lead(1))
    floor.ready(ANNA)
    leg = floor.dial()
    floor.answer(leg)
    floor.wait(500)
    floor.tell(events.LegBridged(leg))
    floor.wait(60_000)
    floor.hang_up(leg)
    talk = floor.live.pacers[SPRING].export()["forecast"]["talk"][0]
    assert sum(talk) == 1
    assert sum(talk[:10]) == 0, "nothing ended in the first seconds"


def test_ringing_calls_are_taken_back_when_the_agents_go() -> None:
    floor = at_work(pacing=Progressive(), ring_timeout_ms=60_000)
    legs = ringing(floor)
    for leg in legs:
        floor.ring(leg)
    floor.wait(16_000)
    for agent in TEN:
        assert not floor.command(events.AgentPause, agent=agent, reason="lunch")
    hung_up = {o.leg for o in floor.all(effects.Hangup)}
    assert hung_up
    assert hung_up <= set(legs)
    for leg in hung_up:
        floor.hang_up(leg, cause=127)
        end = floor.end()
        assert end.attempt.outcome is Outcome.CANCELLED
    assert floor.live.pacers[SPRING].strays == 0


def test_no_call_is_taken_back_before_the_least_ring() -> None:
    floor = at_work(pacing=Progressive(), ring_timeout_ms=60_000)
    for leg in ringing(floor):
        floor.ring(leg)
    floor.wait(14_000)
    for agent in TEN:
        assert not floor.command(events.AgentPause, agent=agent, reason="lunch")
    assert floor.all(effects.Hangup) == []
    floor.wait(1_500)
    floor.tell(events.TimerFired(("resync", "")))
    assert len(floor.all(effects.Hangup)) == 10


def test_an_answer_against_our_hang_up_counts_as_abandoned() -> None:
    floor = at_work(pacing=Progressive(), ring_timeout_ms=60_000)
    leg = ringing(floor)[0]
    floor.ring(leg)
    floor.wait(16_000)
    for agent in TEN:
        assert not floor.command(events.AgentPause, agent=agent, reason="lunch")
    assert floor.attempt(leg).state is CustomerState.LEAVING
    floor.tell(events.LegAnswered(leg))
    assert budget(floor) == (1, 1)
    floor.hang_up(leg)
    assert floor.end().attempt.outcome is Outcome.ABANDONED
    assert budget(floor) == (1, 1)


def test_an_abandon_counts_when_it_is_decided_and_once() -> None:
    floor = at_work(pacing=Ratio(calls_per_agent=2.0))
    legs = ringing(floor)
    for leg in legs[:11]:
        floor.answer(leg)
        if floor.attempt(leg).agent is not None:
            floor.tell(events.LegBridged(leg))
    floor.wait(2_000)
    assert budget(floor) == (11, 1)
    (played,) = floor.all(effects.PlayMessageAndHangup)
    floor.hang_up(played.leg)
    assert budget(floor) == (11, 1)


def test_at_the_ceiling_dialing_stops_or_goes_on_one_to_one_as_the_rule_says() -> None:
    journal = {SPRING: (MinuteCount(minute_ms=Conversation().now_ms - MINUTE_MS, live_answers=100, abandoned=3),)}
    for at_ceiling, expected, why in (
        (AtCeiling.ONE_TO_ONE, 10, ""),
        (AtCeiling.STOP, 0, NotDialing.CEILING),
    ):
        floor = ten(abandon=replace(FULL, at_ceiling=at_ceiling))
        floor.tell(events.Restored(attempts=(), undisposed=(), logged_in=(), running=(SPRING,), answers=journal))
        floor.ready(*TEN)
        floor.wait(2_000)
        assert len(floor.dialed()) == expected
        assert floor.live.dialing[SPRING].reason == why


def test_the_budget_is_recounted_at_the_start_with_those_who_wait_in_it() -> None:
    first = ten()
    first.ready(*TEN)
    leg = first.dialed()[0]
    first.answer(leg)
    open_attempt = replace(first.attempt(leg), agent=None)
    minute_ms = first.now_ms - first.now_ms % MINUTE_MS
    second = ten(link=False, running=False, epoch=2)
    second.tell(
        events.Restored(
            attempts=((open_attempt, next(iter(first.live.leads.values()))),),
            undisposed=(),
            logged_in=(),
            running=(SPRING,),
            answers={SPRING: (MinuteCount(minute_ms=minute_ms, live_answers=41, abandoned=1),)},
        )
    )
    assert budget(second) == (41, 1)
    second.now_ms += 10_000
    second.tell(events.SwitchUp(()))
    assert budget(second) == (41, 2), "nobody knows what became of them: the worse case"


def test_a_new_rule_finds_what_was_counted_under_the_old_one() -> None:
    floor = at_work(abandon=FULL)
    for leg in ringing(floor)[:5]:
        floor.answer(leg)
    by_day = replace(FULL, periods=(CalendarDay(tz="Europe/Kyiv"), Rolling(length_ms=30 * 24 * 60 * MINUTE_MS)))
    floor.tell(events.ConfigChanged(policy(campaign(abandon=by_day), agents=map(profile, TEN))))
    assert budget(floor) == (5, 0)


def test_what_was_learned_is_saved_now_and_then_and_when_the_engine_is_to_end() -> None:
    floor = at_work()
    floor.wait(5 * MINUTE_MS)
    assert len(floor.all(effects.SavePacing)) == 1
    floor.tell(events.DrainStarted(floor.now_ms + 1))
    saved = floor.last(effects.SavePacing)
    second = ten(epoch=2)
    second.tell(events.Restored(attempts=(), undisposed=(), logged_in=(), running=(), learned={SPRING: saved.learned}))
    assert second.live.pacers[SPRING].export() == saved.learned


def test_damaged_memory_is_left_out_and_counted() -> None:
    floor = ten()
    for learned in ({}, {"forecast": {}, "thrift": 0}, {"forecast": None, "thrift": "x"}):
        floor.tell(events.Restored(attempts=(), undisposed=(), logged_in=(), running=(), learned={SPRING: learned}))
    assert floor.live.counters["learned_damaged"] == 3
    assert floor.live.pacers[SPRING].decide(floor.now_ms).limit is PacingLimit.NO_AGENT


def test_agents_whom_another_campaign_expects_to_need_are_not_dialed_for() -> None:
    other = campaign(id="autumn", name="Autumn")
    both = [profile(agent, campaigns=(SPRING, "autumn")) for agent in (ANNA, BORYS)]
    floor = Conversation(lead(1), lead(2), lead(3, campaign="autumn"), policy=policy(campaign(), other, agents=both))
    floor.ready(ANNA, BORYS)
    assert len(floor.dialed()) == 2
    floor.hang_up(floor.dialed()[0], cause=17)
    assert len(ringing(floor)) <= 2


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ready", "pause", "logout", "ring", "answer", "hangup", "bridge", "wait"]), st.integers(0, 9)
    ),
    max_size=120,
)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.sampled_from([Predictive(), Progressive(), Ratio(calls_per_agent=3.0)]))
def test_nothing_is_dialed_while_no_agent_is_logged_in(steps: list[tuple[str, int]], pacing: object) -> None:
    floor = ten(pacing=pacing)
    floor.wait(30_000)
    assert floor.dialed() == []
    for step, which in steps:
        dialed = len(floor.dialed())
        there = any(a.state not in {AgentState.LOGGED_OUT, AgentState.PAUSED} for a in floor.live.agents.values())
        _do(floor, step, which)
        there |= any(a.state not in {AgentState.LOGGED_OUT, AgentState.PAUSED} for a in floor.live.agents.values())
        assert there or len(floor.dialed()) == dialed


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_at_the_ceiling_nothing_is_risked(steps: list[tuple[str, int]]) -> None:
    floor = ten(abandon=FULL)
    used_up = MinuteCount(minute_ms=floor.now_ms - MINUTE_MS, live_answers=1_000, abandoned=40)
    floor.tell(
        events.Restored(attempts=(), undisposed=(), logged_in=(), running=(SPRING,), answers={SPRING: (used_up,)})
    )
    for step, which in steps:
        before = len(floor.dialed())
        _do(floor, step, which)
        if len(floor.dialed()) > before:
            ready = sum(1 for a in floor.live.agents.values() if a.state in {AgentState.READY, AgentState.RESERVED})
            out = [a for a in floor.live.attempts.values() if a.bridged_at_ms is None and a.ended_at_ms is None]
            assert len([a for a in out if a.state is not CustomerState.LEAVING]) <= ready


def _do(floor: Conversation, step: str, which: int) -> None:
    agent, legs = TEN[which], ringing(floor)
    leg = legs[which % len(legs)] if legs else None
    match step:
        case "ready":
            if floor.agent(agent).state is AgentState.LOGGED_OUT:
                floor.log_in(agent)
            floor.command(events.AgentReady, agent=agent)
        case "pause":
            floor.command(events.AgentPause, agent=agent, reason="rest")
        case "logout":
            floor.command(events.AgentLogout, agent=agent)
        case "ring" if leg is not None:
            floor.ring(leg)
        case "answer" if leg is not None:
            floor.answer(leg)
        case "bridge":
            for attempt in list(floor.live.attempts.values()):
                if attempt.state is CustomerState.WAITING and attempt.agent is not None:
                    floor.tell(events.LegBridged(attempt.leg))
        case "hangup":
            for attempt in list(floor.live.attempts.values())[which : which + 1]:
                floor.hang_up(attempt.leg)
        case _:
            floor.wait(which * 1_000)
