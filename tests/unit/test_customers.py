"""A customer's way: dialed, ringing, answered, bridged, gone; and the clocks that run over them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.config.loading import load_pack
from engine.core import effects, events
from engine.core.budget import AbandonRule
from engine.core.customers import MESSAGE_START_MS
from engine.core.invariants import violations
from engine.core.law import Pack
from engine.core.model import (
    AgentState,
    AttemptId,
    CustomerState,
    LeadState,
    LegId,
    LegKind,
    Message,
    Outcome,
    Past,
    Recorded,
    RecordingRule,
    customer_leg,
)
from engine.core.pacing import Predictive
from tests.conversation import ANNA, BORYS, MINUTE_MS, SOLD, SPRING, Conversation, campaign, lead, policy, profile


def test_ring_answer_bridge_talk_hang_up_wrap_up_disposition() -> None:
    floor = Conversation(lead(1))
    floor.ready(ANNA)
    leg = floor.dial()
    floor.ring(leg)
    assert floor.attempt(leg).state is CustomerState.RINGING
    floor.wait(4_000)

    orders = floor.tell(events.LegAnswered(leg))
    (bridge,) = floor.all(effects.Bridge, orders)
    assert (bridge.customer, bridge.agent, bridge.tone) == (leg, floor.agent().leg, True)
    assert floor.all(effects.ScreenPop, orders)[0].agent == ANNA
    assert floor.agent().state is AgentState.RESERVED

    orders = floor.tell(events.LegBridged(leg))
    attempt = floor.attempt(leg)
    assert (attempt.state, floor.agent().state) == (CustomerState.TALKING, AgentState.TALKING)
    assert floor.all(effects.SaveAnswer, orders)[0].attempt.bridged_at_ms == floor.now_ms
    floor.wait(90_000)
    assert floor.attempt(leg).state is CustomerState.TALKING, "no clock runs over a conversation"

    floor.hang_up(leg)
    assert floor.agent().state is AgentState.WRAP_UP
    assert (floor.end().attempt.outcome, floor.end().change) == (Outcome.CONNECTED, None)

    assert not floor.dispose(attempt, SOLD, note="two boxes")
    saved = floor.last(effects.SaveDisposition)
    assert (saved.change.state, saved.note) == (LeadState.CLOSED, "two boxes")
    assert floor.agent().state is AgentState.READY
    assert not floor.live.attempts
    assert not floor.live.leads


def test_who_waits_longest_gets_the_call() -> None:
    floor = Conversation(lead(1), lead(2), lead(3))
    floor.ready(BORYS)
    floor.wait(1_000)
    floor.ready(ANNA)
    first, second = floor.dialed()
    floor.answer(first)
    floor.answer(second)
    assert [pop.agent for pop in floor.all(effects.ScreenPop)] == [BORYS, ANNA]


def test_an_offer_that_falls_through_keeps_the_place_in_the_line() -> None:
    floor = Conversation(lead(1), lead(2), lead(3))
    floor.ready(BORYS)
    floor.wait(1_000)
    floor.ready(ANNA)
    floor.wait(1_000)
    floor.answer(floor.dialed()[0])
    floor.hang_up(floor.dialed()[0])
    assert floor.agent(BORYS).state is AgentState.READY
    floor.answer(floor.dialed()[1])
    assert floor.last(effects.ScreenPop).agent == BORYS


@pytest.mark.parametrize(
    ("cause", "tech_cause", "outcome", "minutes"),
    [
        (17, 486, Outcome.BUSY, 5),
        (19, 480, Outcome.NO_ANSWER, 60),
        (0, None, Outcome.NO_ANSWER, 60),
        (21, 603, Outcome.REJECTED, 30),
        (34, 503, Outcome.CONGESTION, 30),
    ],
)
def test_each_outcome_has_its_retry_time(cause: int, tech_cause: int | None, outcome: Outcome, minutes: int) -> None:
    floor = Conversation(lead(1))
    floor.ready(ANNA)
    floor.ring(floor.dial())
    floor.hang_up(floor.dial(), cause, tech_cause)
    end = floor.end()
    assert end.attempt.outcome is outcome
    assert end.change is not None
    assert (end.change.state, end.change.next_at_ms) == (LeadState.RETRY, floor.now_ms + minutes * MINUTE_MS)


def test_the_third_busy_closes_the_lead() -> None:
    floor = Conversation(lead(1, outcome_counts={Outcome.BUSY: 2}, attempts_count=2))
    floor.ready(ANNA)
    floor.hang_up(floor.dial(), cause=17)
    assert floor.end().change is not None
    assert floor.end().change.state is LeadState.CLOSED  # type: ignore[union-attr]


def test_an_invalid_number_gives_way_to_the_next_one() -> None:
    floor = Conversation(lead(1, "+380671111111", "+380672222222"))
    floor.ready(ANNA)
    floor.hang_up(floor.dial(), cause=1, tech_cause=404)
    change = floor.end().change
    assert change is not None
    assert (change.invalid_phone, change.next_phone, change.state) == (0, 1, LeadState.RETRY)


def test_a_retry_is_dialed_when_it_is_due() -> None:
    floor = Conversation(lead(1))
    floor.ready(ANNA)
    floor.hang_up(floor.dial(), cause=17)
    floor.wait(5 * MINUTE_MS - 1)
    assert len(floor.dialed()) == 1
    floor.wait(1)
    assert len(floor.dialed()) == 2


def test_nobody_free_in_time_is_an_abandon_and_never_silence() -> None:
    floor = Conversation(lead(1))
    floor.ready(ANNA)
    leg = floor.dial()
    floor.command(events.AgentPause, agent=ANNA, reason="lunch")
    floor.answer(leg)
    assert floor.wait(1_899) == []
    orders = floor.wait(1)
    assert floor.now_ms + MESSAGE_START_MS == floor.attempt(leg).answered_at_ms + 2_000, "heard within two seconds"  # type: ignore[operator]
    (message,) = floor.all(effects.PlayMessageAndHangup, orders)
    assert (message.leg, message.message) == (leg, "zvonar-sorry")
    floor.hang_up(leg)
    assert floor.end().attempt.outcome is Outcome.ABANDONED
    assert floor.live.pacers[SPRING].budget.state(floor.now_ms).abandoned == 1


def abandoned(**campaign_changes: Any) -> tuple[Conversation, LegId]:
    """Somebody whom nobody took in time hears the message."""
    floor = Conversation(lead(1, "+380671111111", "+380672222222", language="uk"), lead(2), **campaign_changes)
    floor.ready(ANNA)
    leg = floor.dial()
    floor.command(events.AgentPause, agent=ANNA, reason="lunch")
    floor.answer(leg)
    floor.wait(2_000)
    return floor, leg


def test_the_message_is_in_the_lead_s_language_and_else_in_the_first() -> None:
    message = Message(company="Acme", sounds={"ru": "acme/ru", "uk": "acme/uk"}, opt_out="5")
    floor, _ = abandoned(message=message)
    assert floor.last(effects.PlayMessageAndHangup).message == "acme/uk"
    dialed = floor.all(effects.OriginateCustomer)[0]
    assert (dialed.message, dialed.opt_out) == ("acme/uk", "5"), "the dialplan may have to play it alone"
    assert [message.sound(language) for language in ("en", None)] == ["acme/ru", "acme/ru"]
    assert Message().sound("uk") == "zvonar-sorry"


def test_a_long_message_is_not_cut() -> None:
    floor, _ = abandoned()
    assert not floor.all(effects.Hangup, floor.wait(80_000))


def test_the_key_during_the_message_puts_them_on_the_do_not_call_list_at_once() -> None:
    floor, leg = abandoned()
    orders = floor.tell(events.LegOptedOut(leg))
    (saved,) = floor.all(effects.SaveOptOut, orders)
    assert saved.attempt == floor.attempt(leg).id
    assert not floor.tell(events.LegOptedOut(leg)), "told twice, saved once"
    floor.hang_up(leg)
    assert floor.end().attempt.outcome is Outcome.ABANDONED
    assert floor.end().change is not None
    assert floor.end().change.state is LeadState.SUPPRESSED  # type: ignore[union-attr]
    assert not floor.all(effects.SaveOptOut, floor.tell(events.LegOptedOut(leg))), "the journal tells it again"


def test_the_key_is_told_after_the_call_or_of_a_call_that_nobody_knows() -> None:
    floor, leg = abandoned()
    floor.hang_up(leg)
    assert floor.all(effects.SaveOptOut, floor.tell(events.LegOptedOut(leg)))
    (saved,) = floor.all(effects.SaveOptOut, floor.tell(events.LegOptedOut(customer_leg(AttemptId("0-7")))))
    assert saved.attempt == "0-7"


def test_after_an_abandoned_call_the_law_s_cooldown_keeps_the_number_in_peace() -> None:
    pack = load_pack("uk-ofcom")
    assert isinstance(pack, Pack)
    floor = Conversation(
        lead(1, zone="Europe/London", history=()), law=(pack,), pacing=Predictive(), agents=[profile(ANNA)]
    )
    floor.ready(ANNA)
    leg = floor.dial()
    floor.command(events.AgentPause, agent=ANNA, reason="lunch")
    floor.answer(leg)
    floor.wait(2_000)
    floor.hang_up(leg)
    ended = floor.end().attempt
    assert ended.lead is not None
    assert ended.number is not None
    past = Past(
        at_ms=ended.planned_at_ms,
        lead=ended.lead,
        number=ended.number,
        outcome=ended.outcome,
        answered_at_ms=ended.answered_at_ms,
        ended_at_ms=ended.ended_at_ms,
    )
    floor.leads = [replace(floor.leads[0], history=(past,))]
    floor.wait(72 * 60 * MINUTE_MS - 61_000)
    floor.command(events.AgentReady, agent=ANNA)
    floor.wait(59_000)
    assert floor.dialed() == [leg]
    floor.wait(61_000)
    assert len(floor.dialed()) == 2


def test_who_leaves_before_the_abandon_clock_is_over_hung_up_early() -> None:
    floor = Conversation(lead(1))
    floor.ready(ANNA)
    leg = floor.dial()
    floor.command(events.AgentPause, agent=ANNA, reason="lunch")
    floor.answer(leg)
    floor.hang_up(leg)
    assert floor.end().attempt.outcome is Outcome.HUNG_UP_EARLY
    assert not [key for key in floor.timers if key[0] in {"abandon", "life"}]


def test_a_waiting_customer_goes_to_the_first_agent_who_is_ready_again() -> None:
    floor = Conversation(lead(1))
    floor.ready(ANNA)
    leg = floor.dial()
    floor.command(events.AgentPause, agent=ANNA, reason="lunch")
    floor.answer(leg)
    floor.wait(1_000)
    assert floor.all(effects.Bridge) == []
    assert not floor.command(events.AgentReady, agent=ANNA)
    assert floor.last(effects.Bridge).customer == leg
    floor.tell(events.LegBridged(leg))
    floor.wait(60_000)
    assert floor.attempt(leg).state is CustomerState.TALKING


def test_suppressed_while_ringing_takes_the_call_back() -> None:
    floor = Conversation(lead(1))
    floor.ready(ANNA)
    leg = floor.dial()
    floor.ring(leg)
    assert not floor.command(events.LeadSuppressed, lead=lead(1).id, reason="asked by letter")
    assert floor.last(effects.Hangup).leg == leg
    floor.hang_up(leg)
    end = floor.end()
    assert end.attempt.outcome is Outcome.CANCELLED
    assert end.change is not None
    assert end.change.state is LeadState.SUPPRESSED, "the end of the call must not bring the lead back"
    floor.wait(24 * 60 * MINUTE_MS)
    assert len(floor.dialed()) == 1


def test_suppressed_while_loaded_is_never_dialed_even_when_a_fetch_brings_it() -> None:
    floor = Conversation(lead(1), lead(2))
    floor.ready(ANNA)
    hopper = floor.live.hoppers[SPRING]
    hopper.fetching = True
    floor.command(events.LeadSuppressed, lead=lead(2).id, reason="asked")
    assert not hopper.leads
    floor.tell(events.LeadsFetched(SPRING, (lead(2),)))
    floor.hang_up(floor.dial(), cause=17)
    assert [o.attempt.lead for o in floor.all(effects.SaveAttempt)] == [1]


def test_an_answer_that_beats_our_hang_up_is_an_abandon() -> None:
    floor = Conversation(lead(1))
    floor.ready(ANNA)
    leg = floor.dial()
    floor.ring(leg)
    floor.command(events.LeadSuppressed, lead=lead(1).id, reason="asked")
    orders = floor.tell(events.LegAnswered(leg))
    assert floor.all(effects.PlayMessageAndHangup, orders)[0].leg == leg
    assert not floor.all(effects.Bridge, orders)
    floor.hang_up(leg)
    assert floor.end().attempt.outcome is Outcome.ABANDONED


def test_an_answer_told_twice_of_a_leaving_customer_offers_them_to_nobody() -> None:
    floor = Conversation(lead(1))
    floor.ready(ANNA)
    leg = floor.dial()
    floor.command(events.AgentPause, agent=ANNA, reason="lunch")
    floor.answer(leg)
    floor.wait(2_000)
    floor.ready(ANNA)
    orders = floor.tell(events.LegAnswered(leg))
    assert not floor.all(effects.Bridge, orders)
    assert floor.attempt(leg).state is CustomerState.LEAVING
    assert ("life", floor.attempt(leg).id) in floor.timers, "who leaves is watched until they are gone"
    assert floor.live.pacers[SPRING].budget.state(floor.now_ms).live_answers == 1


def test_the_agents_phone_is_lost_in_talk_and_the_customer_goes_to_the_next_agent() -> None:
    floor = Conversation(lead(1))
    floor.ready(ANNA, BORYS)
    attempt = floor.talk(floor.dial())
    other = BORYS if attempt.agent == ANNA else ANNA
    phone = floor.agent(attempt.agent or ANNA).leg
    assert phone is not None
    orders = floor.hang_up(phone)
    assert floor.agent(attempt.agent or ANNA).state is AgentState.LOGGED_OUT
    assert floor.agent(attempt.agent or ANNA).attempt is None
    assert floor.all(effects.Bridge, orders)[0].agent == floor.agent(other).leg
    floor.tell(events.LegBridged(attempt.leg))
    assert (floor.attempt(attempt.leg).agent, floor.agent(other).state) == (other, AgentState.TALKING)


def test_the_agents_phone_is_lost_in_talk_and_nobody_is_free() -> None:
    floor = Conversation(lead(1))
    floor.ready(ANNA)
    attempt = floor.talk(floor.dial())
    phone = floor.agent().leg
    assert phone is not None
    floor.hang_up(phone)
    assert not floor.all(effects.PlayMessageAndHangup, floor.wait(60_000)), "they wait with music"
    orders = floor.wait(60_000)
    assert floor.all(effects.PlayMessageAndHangup, orders)
    floor.hang_up(attempt.leg)
    end = floor.end()
    assert end.attempt.outcome is Outcome.CONNECTED, "they did talk: no abandoned answer"
    assert end.change is not None
    assert end.change.rule == "agent_lost"


def test_a_disposition_given_in_talk_outlives_the_agents_phone() -> None:
    floor = Conversation(lead(1))
    floor.ready(ANNA)
    attempt = floor.talk(floor.dial())
    assert not floor.dispose(attempt, campaign().dispositions[3])
    phone = floor.agent().leg
    assert phone is not None
    floor.hang_up(phone)
    floor.hang_up(attempt.leg)
    assert floor.end().change is None, "never again is never again"
    floor.wait(24 * 60 * MINUTE_MS)
    assert len(floor.dialed()) == 1


def test_hold_and_back() -> None:
    floor = Conversation(lead(1))
    floor.ready(ANNA)
    attempt = floor.talk(floor.dial())
    assert not floor.command(events.AgentHold, agent=ANNA, on=True)
    assert floor.attempt(attempt.leg).state is CustomerState.HELD
    assert not floor.command(events.AgentHold, agent=ANNA, on=True)
    assert not floor.command(events.AgentHold, agent=ANNA, on=False)
    floor.tell(events.LegBridged(attempt.leg))
    assert floor.attempt(attempt.leg).state is CustomerState.TALKING
    assert [o.on for o in floor.all(effects.Hold)] == [True, False]
    assert floor.live.counters["strange_events"] == 0


def test_a_customer_who_hangs_up_on_hold_ends_the_conversation() -> None:
    floor = Conversation(lead(1))
    floor.ready(ANNA)
    attempt = floor.talk(floor.dial())
    floor.command(events.AgentHold, agent=ANNA, on=True)
    floor.hang_up(attempt.leg)
    assert floor.agent().state is AgentState.WRAP_UP


def test_a_call_without_news_is_looked_for_in_the_switch() -> None:
    floor = Conversation(lead(1))
    floor.ready(ANNA)
    floor.ring(floor.dial())
    orders = floor.wait(40_000)
    assert floor.all(effects.AskSwitch, orders)
    floor.tell(events.SwitchUp(tuple(_phone(floor))))
    assert floor.end().attempt.outcome is Outcome.LOST
    assert floor.agent().state is AgentState.READY


def _phone(floor: Conversation) -> list[events.LegFound]:
    leg = floor.agent().leg
    assert leg is not None
    return [events.LegFound(leg, answered=True, ours_to_command=True)]


def test_legs_that_nobody_knows_are_hung_up() -> None:
    floor = Conversation()
    stranger = customer_leg(AttemptId("0-7"))
    orders = floor.tell(events.LegAnswered(stranger))
    assert floor.all(effects.Hangup, orders)[0].leg == stranger
    assert floor.live.counters["unknown_legs"] == 1


def test_events_that_come_twice_or_too_late_change_nothing() -> None:
    floor = Conversation(lead(1))
    floor.ready(ANNA)
    leg = floor.dial()
    attempt = floor.talk(leg)
    before = floor.attempt(leg)
    for fact in (
        events.OriginateAccepted(leg),
        events.LegRinging(leg),
        events.LegAnswered(leg),
        events.LegBridged(leg),
    ):
        orders = floor.tell(fact)
        assert not [o for o in orders if isinstance(o, effects.SwitchOrder)], fact
    assert floor.attempt(leg) == before
    floor.hang_up(leg)
    ends = len(floor.all(effects.SaveEnd))
    floor.hang_up(leg)
    assert len(floor.all(effects.SaveEnd)) == ends
    assert not floor.dispose(attempt, SOLD)
    assert floor.agent().state is AgentState.READY


def test_events_may_outrun_the_reply_to_the_originate() -> None:
    floor = Conversation(lead(1))
    floor.ready(ANNA)
    leg = floor.dial()
    floor.tell(events.LegAnswered(leg), events.LegBridged(leg), events.OriginateAccepted(leg))
    assert floor.attempt(leg).state is CustomerState.TALKING


def test_a_failed_order_asks_the_switch_what_it_has() -> None:
    floor = Conversation(lead(1))
    floor.ready(ANNA)
    leg = floor.dial()
    floor.answer(leg)
    orders = floor.tell(events.CommandFailed(leg, "bridge", "no such bridge"))
    assert floor.all(effects.AskSwitch, orders)


# ── phones that are called for every conversation ────────────────────────────────────────────────────────────────


def on_demand(*leads: object, **changes: object) -> Conversation:
    people = tuple(profile(agent, leg_kind=LegKind.ON_DEMAND) for agent in (ANNA, BORYS))
    return Conversation(*leads, policy=policy(campaign(**changes), agents=people))  # type: ignore[arg-type]


def test_a_bridge_that_is_told_late_begins_nothing_anew() -> None:
    recorded = campaign(recording=RecordingRule(mode=Recorded.ALWAYS))
    floor = Conversation(lead(1), policy=policy(recorded, agents=(profile(ANNA),)))
    floor.ready(ANNA)
    leg = floor.dial()
    began_ms = floor.talk(leg).bridged_at_ms
    floor.wait(30_000)
    floor.command(events.AgentHangup, agent=ANNA)
    assert floor.attempt(leg).state is CustomerState.LEAVING
    orders = floor.tell(events.LegBridged(leg))
    assert floor.all(effects.StartRecording, orders) == [], "their conversation is over"
    assert floor.attempt(leg).bridged_at_ms == began_ms
    assert violations(floor.live) == []


def test_an_on_demand_phone_is_called_when_the_customer_answers() -> None:
    floor = on_demand(lead(1), abandon=AbandonRule(connect_within_ms=20_000))
    floor.ready(ANNA)
    assert floor.agent().leg is None
    leg = floor.dial()
    orders = floor.answer(leg)
    (call,) = floor.all(effects.OriginateAgent, orders)
    assert call.caller_id != lead(1).phones[0].number, "a display shows nobody's number to who may not see it"
    assert floor.all(effects.Music, orders), "they do not listen to silence"
    orders = floor.tell(events.LegAnswered(call.leg))
    assert [type(o) for o in orders if isinstance(o, effects.SwitchOrder)] == [effects.OpenBridge, effects.Bridge]
    floor.tell(events.LegBridged(leg))
    assert floor.agent().state is AgentState.TALKING
    orders = floor.hang_up(leg)
    assert floor.all(effects.Hangup, orders)[0].leg == call.leg
    assert floor.agent().leg is None


def test_an_on_demand_phone_that_rings_out_pauses_its_agent_and_the_customer_is_offered_on() -> None:
    floor = on_demand(lead(1), abandon=AbandonRule(connect_within_ms=60_000))
    floor.ready(ANNA, BORYS)
    floor.answer(floor.dial())
    (first,) = floor.all(effects.OriginateAgent)
    orders = floor.wait(15_000)
    assert floor.all(effects.Hangup, orders)[0].leg == first.leg
    second = floor.last(effects.OriginateAgent)
    assert second.agent != first.agent
    assert floor.agent(first.agent).state is AgentState.PAUSED
    assert floor.agent(first.agent).pause_reason == "system:no_answer"


def test_laying_the_handset_down_ends_the_conversation() -> None:
    floor = on_demand(lead(1), abandon=AbandonRule(connect_within_ms=20_000))
    floor.ready(ANNA)
    leg = floor.dial()
    floor.answer(leg)
    phone = floor.last(effects.OriginateAgent).leg
    floor.tell(events.LegAnswered(phone), events.LegBridged(leg))
    orders = floor.hang_up(phone)
    assert floor.all(effects.Hangup, orders)[0].leg == leg
    assert floor.agent().state is AgentState.WRAP_UP
    floor.hang_up(leg)
    assert floor.end().attempt.outcome is Outcome.CONNECTED
    assert floor.agent().attempt is not None


def test_an_abandoned_customer_frees_the_phone_that_still_rings() -> None:
    floor = on_demand(lead(1))
    floor.ready(ANNA)
    floor.answer(floor.dial())
    phone = floor.last(effects.OriginateAgent).leg
    orders = floor.wait(2_000)
    assert {o.leg for o in floor.all(effects.Hangup, orders)} == {phone}
    assert floor.agent().state is AgentState.READY
    assert floor.agent().leg is None


def test_an_on_demand_agent_without_a_phone_gets_no_calls() -> None:
    floor = on_demand(lead(1))
    floor.ready(ANNA)
    floor.tell(events.PhoneSeen(profile(ANNA).phone, registered=False))
    assert floor.agent().state is AgentState.PAUSED
    assert floor.command(events.AgentReady, agent=ANNA) == "phone_not_registered"
    floor.tell(events.PhoneSeen(profile(ANNA).phone, registered=True))
    assert not floor.command(events.AgentReady, agent=ANNA)


def test_a_phone_kind_changed_in_the_file_waits_for_the_next_log_in() -> None:
    floor = on_demand(lead(1))
    floor.ready(ANNA)
    nailed = policy(campaign(), agents=(profile(ANNA), profile(BORYS)))
    floor.tell(events.ConfigChanged(nailed))
    floor.answer(floor.dial())
    assert floor.all(effects.OriginateAgent), "the phone is called as before"
