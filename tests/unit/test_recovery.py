"""After a restart or a lost link: what goes on is taken over, what is gone is closed, what is nobody's is hung up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.ari.client import REQUEST_DEADLINE_MS
from engine.core import effects, events
from engine.core.dialing import SEND_WITHIN_MS
from engine.core.invariants import violations
from engine.core.live import SNAPSHOT_GRACE_MS
from engine.core.model import (
    AgentId,
    AgentState,
    Attempt,
    AttemptId,
    BridgeId,
    CampaignId,
    CustomerState,
    LeadChange,
    LeadState,
    LegId,
    LegKind,
    NotDialing,
    Outcome,
    PhoneNumber,
    QueueId,
    Recorded,
    Recording,
    RecordingRule,
    TrunkId,
    Verdict,
    agent_leg,
    bridge_of_leg,
    customer_leg,
)
from engine.core.pacing import Preview
from tests.conversation import (
    ANNA,
    BORYS,
    MINUTE_MS,
    MONDAY_MS,
    SOLD,
    SPRING,
    Conversation,
    campaign,
    lead,
    policy,
    profile,
)

OLD = AttemptId("1-5")
CUSTOMER = customer_leg(OLD)
ANNAS, BORYSES = agent_leg(ANNA, "1-1"), agent_leg(BORYS, "1-2")


def attempt(state: CustomerState, **changes: object) -> Attempt:
    """An attempt of the last engine, a minute old."""
    at_ms = MONDAY_MS - MINUTE_MS
    talked = state in {CustomerState.TALKING, CustomerState.HELD}
    usual = Attempt(
        id=OLD,
        campaign=SPRING,
        lead=lead(1).id,
        phone_position=0,
        number=PhoneNumber("+380670000001"),
        trunk=TrunkId("carrier"),
        leg=CUSTOMER,
        state=state,
        planned_at_ms=at_ms,
        answered_at_ms=at_ms if talked or state is CustomerState.WAITING else None,
        bridged_at_ms=at_ms if talked else None,
        agent=ANNA if talked else None,
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


def restored(*attempts: Attempt, state: LeadState = LeadState.DIALING, **changes: object) -> events.Restored:
    """What the store knew."""
    usual = events.Restored(
        attempts=tuple((one, lead(1, state=state, attempts_count=1)) for one in attempts),
        undisposed=(),
        logged_in=((ANNA, True), (BORYS, True)),
        running=(SPRING,),
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


def restart(facts: events.Restored, **changes: object) -> Conversation:
    """A new engine that knows what the store knew, and has not heard the switch yet."""
    floor = Conversation(link=False, running=False, epoch=2, **changes)  # type: ignore[arg-type]
    orders = floor.tell(facts)
    assert not [o for o in orders if isinstance(o, effects.SwitchOrder)], (
        "nothing is ordered before the switch is heard"
    )
    return floor


def found(leg: LegId, *with_: LegId, answered: bool = True, ours: bool = True) -> events.LegFound:
    return events.LegFound(leg, answered=answered, ours_to_command=ours, bridged_with=with_)


def switch_orders(orders: list[effects.Effect]) -> list[effects.Effect]:
    """What was asked of the switch, but for new dials, repeated openings of bridges and microphones that are on."""
    return [o for o in orders if isinstance(o, effects.Urgent) and not isinstance(o, effects.OpenBridge | effects.Mute)]


def test_a_live_conversation_is_taken_over_without_touching_it() -> None:
    floor = restart(restored(attempt(CustomerState.TALKING)))
    orders = floor.tell(events.SwitchUp((found(CUSTOMER, ANNAS), found(ANNAS, CUSTOMER), found(BORYSES))))
    assert switch_orders(orders) == []
    assert effects.Mute(ANNAS, on=False) in orders, "the desk shows her unmuted: so she is"
    now = floor.attempt(CUSTOMER)
    assert (now.state, now.agent, floor.agent().state) == (CustomerState.TALKING, ANNA, AgentState.TALKING)
    assert now.bridged_at_ms == MONDAY_MS - MINUTE_MS, "they talk since then, whoever was killed meanwhile"
    assert floor.all(effects.ScreenPop, orders)[0].agent == ANNA, "the card opens again"
    assert floor.agent(BORYS).state is AgentState.READY
    floor.hang_up(CUSTOMER)
    assert floor.agent().state is AgentState.WRAP_UP
    assert floor.end().change is None


def test_so_is_one_that_detection_had_let_through_and_the_disk_did_not_know() -> None:
    floor = restart(restored(attempt(CustomerState.SCREENING, answered_at_ms=MONDAY_MS - 1_000)))
    orders = floor.tell(events.SwitchUp((found(CUSTOMER, ANNAS), found(ANNAS, CUSTOMER), found(BORYSES))))
    assert switch_orders(orders) == []
    now = floor.attempt(CUSTOMER)
    assert (now.state, now.agent, now.verdict) == (CustomerState.TALKING, ANNA, Verdict.UNSURE)
    assert floor.agent().state is AgentState.TALKING


def test_an_agent_who_has_left_the_file_talks_to_the_end() -> None:
    left = AgentId("left")
    theirs = agent_leg(left, "1-3")
    floor = restart(restored(attempt(CustomerState.TALKING, agent=left), logged_in=((left, True),)))
    orders = floor.tell(events.SwitchUp((found(CUSTOMER, theirs), found(theirs, CUSTOMER))))
    assert switch_orders(orders) == []
    assert (floor.attempt(CUSTOMER).agent, floor.agent(left).state) == (left, AgentState.TALKING)
    floor.hang_up(CUSTOMER)
    assert floor.end().attempt.outcome is Outcome.CONNECTED
    assert floor.agent(left).state is AgentState.WRAP_UP
    assert violations(floor.live) == []


def test_who_was_put_through_to_somebody_unknown_is_not_left_in_silence() -> None:
    unknown = agent_leg(AgentId("left"), "1-3")
    floor = restart(restored(attempt(CustomerState.WAITING), logged_in=()))
    orders = floor.tell(events.SwitchUp((found(CUSTOMER, unknown), found(unknown, CUSTOMER))))
    assert effects.Hangup(unknown, bridge_of_leg(unknown)) in orders
    orders = floor.wait(0)
    assert floor.all(effects.PlayMessageAndHangup, orders)[0].leg == CUSTOMER


def test_a_customer_who_waited_is_not_given_to_an_agent_who_is_talking() -> None:
    other = attempt(CustomerState.WAITING, id=AttemptId("1-6"), leg=customer_leg(AttemptId("1-6")), lead=lead(2).id)
    facts = restored(attempt(CustomerState.TALKING))
    facts = replace(facts, attempts=(*facts.attempts, (other, lead(2, state=LeadState.DIALING))))
    floor = restart(facts, agents=(profile(ANNA),))
    orders = floor.tell(events.SwitchUp((found(other.leg), found(CUSTOMER, ANNAS), found(ANNAS, CUSTOMER))))
    assert not floor.all(effects.Bridge, orders)
    orders = floor.wait(0)
    assert floor.all(effects.PlayMessageAndHangup, orders)[0].leg == other.leg, "they waited long enough: no silence"


def test_a_waiting_customer_goes_to_an_adopted_agent() -> None:
    floor = restart(restored(attempt(CustomerState.WAITING)))
    orders = floor.tell(events.SwitchUp((found(CUSTOMER), found(ANNAS))))
    assert floor.all(effects.Bridge, orders)[0].agent == ANNAS


def test_who_answered_while_no_engine_listened_hears_the_message_and_is_an_abandon() -> None:
    floor = restart(restored(attempt(CustomerState.DIALING)))
    orders = floor.tell(events.SwitchUp((found(CUSTOMER, ours=False), found(ANNAS))))
    assert switch_orders(orders) == [], "the message is not cut short"
    orders = floor.tell(events.SwitchUp((found(CUSTOMER, ours=False), found(ANNAS))))
    assert switch_orders(orders) == []
    floor.hang_up(CUSTOMER)
    assert floor.end().attempt.outcome is Outcome.ABANDONED
    assert floor.live.pacers[SPRING].budget.state(floor.now_ms).abandoned == 1


def test_who_answered_and_waits_for_us_is_served() -> None:
    floor = restart(restored(attempt(CustomerState.DIALING)))
    orders = floor.tell(events.SwitchUp((found(CUSTOMER), found(ANNAS))))
    assert floor.all(effects.Bridge, orders)[0].customer == CUSTOMER


def test_a_phone_that_rings_on_rings_on() -> None:
    floor = restart(restored(attempt(CustomerState.DIALING)))
    orders = floor.tell(events.SwitchUp((found(CUSTOMER, answered=False), found(ANNAS))))
    assert switch_orders(orders) == []
    floor.tell(events.LegAnswered(CUSTOMER), events.LegBridged(CUSTOMER))
    assert floor.attempt(CUSTOMER).state is CustomerState.TALKING


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        (CustomerState.PLANNED, Outcome.LOST),
        (CustomerState.DIALING, Outcome.LOST),
        (CustomerState.RINGING, Outcome.LOST),
        (CustomerState.WAITING, Outcome.ABANDONED),
    ],
)
def test_what_is_gone_is_closed_by_what_is_known(state: CustomerState, outcome: Outcome) -> None:
    floor = restart(restored(attempt(state)))
    floor.tell(events.SwitchUp((found(ANNAS), found(BORYSES))))
    end = floor.end()
    assert end.attempt.outcome is outcome
    assert end.change is not None, "no lead is left waiting for nobody"
    assert end.change.state is LeadState.RETRY
    assert floor.live.line(TrunkId("carrier")).in_use == 0


def test_who_the_last_engine_took_back_and_still_rings_is_hung_up() -> None:
    floor = restart(restored(attempt(CustomerState.LEAVING)))
    orders = floor.tell(events.SwitchUp((found(CUSTOMER, answered=False), found(ANNAS))))
    assert [order.leg for order in floor.all(effects.Hangup, orders)] == [CUSTOMER]
    floor.hang_up(CUSTOMER)
    assert floor.end().attempt.outcome is Outcome.LOST, "nobody saw how it ended: it counts"


def test_who_answered_against_our_hang_up_while_no_engine_listened_is_an_abandon() -> None:
    floor = restart(restored(attempt(CustomerState.LEAVING)))
    orders = floor.tell(events.SwitchUp((found(CUSTOMER, ours=False), found(ANNAS))))
    assert switch_orders(orders) == [], "the dialplan plays them the message"
    floor.hang_up(CUSTOMER)
    assert floor.end().attempt.outcome is Outcome.ABANDONED


def test_who_answered_against_the_last_engines_hang_up_hears_the_message_from_the_next() -> None:
    floor = restart(restored(attempt(CustomerState.LEAVING, answered_at_ms=MONDAY_MS - 1)))
    orders = floor.tell(events.SwitchUp((found(CUSTOMER), found(ANNAS), found(BORYSES))))
    assert [o.leg for o in floor.all(effects.PlayMessageAndHangup, orders)] == [CUSTOMER], "no silence"
    assert not floor.all(effects.Hangup, orders)
    floor.hang_up(CUSTOMER)
    assert floor.end().attempt.outcome is Outcome.ABANDONED


@pytest.mark.parametrize("there", [True, False])
def test_who_waited_in_a_queue_that_is_gone_from_the_file_hears_the_message_and_is_called_back(there: bool) -> None:
    caller = attempt(CustomerState.WAITING, queue=QueueId("hotline"), lead=None)
    floor = restart(replace(restored(), attempts=((caller, None),)))
    floor.tell(events.SwitchUp((found(CUSTOMER),) if there else ()))
    if there:
        assert floor.all(effects.PlayMessageAndHangup, floor.wait(0))[0].leg == CUSTOMER
        floor.hang_up(CUSTOMER)
    assert floor.end().attempt.outcome is (Outcome.TURNED_AWAY if there else Outcome.LEFT_QUEUE)
    assert floor.last(effects.SaveMissed).attempt == floor.end().attempt


def test_a_conversation_that_ended_while_no_engine_ran_is_still_wrapped_up() -> None:
    floor = restart(restored(attempt(CustomerState.TALKING)))
    orders = floor.tell(events.SwitchUp((found(ANNAS), found(BORYSES))))
    assert (floor.agent().state, floor.agent().attempt) == (AgentState.WRAP_UP, OLD)
    assert floor.all(effects.ScreenPop, orders)[0].agent == ANNA
    assert (floor.end().attempt.outcome, floor.end().change) == (Outcome.CONNECTED, None)
    assert not floor.dispose(attempt(CustomerState.TALKING), SOLD)
    assert floor.agent().state is AgentState.READY


def test_so_is_one_that_had_just_begun_and_its_customer_is_offered_to_nobody() -> None:
    begun = attempt(CustomerState.TALKING, answered_at_ms=MONDAY_MS - 2_000, bridged_at_ms=MONDAY_MS - 1_900)
    floor = restart(restored(begun))
    orders = floor.tell(events.SwitchUp((found(ANNAS), found(BORYSES))))
    assert (floor.agent().state, floor.agent().attempt) == (AgentState.WRAP_UP, OLD)
    assert floor.end().attempt.outcome is Outcome.CONNECTED
    assert not floor.all(effects.Bridge, orders)


def test_so_is_one_that_ends_before_the_first_snapshot_has_come() -> None:
    floor = restart(restored(attempt(CustomerState.TALKING)))
    floor.hang_up(CUSTOMER)
    floor.tell(events.SwitchUp((found(ANNAS), found(BORYSES))))
    assert (floor.agent().state, floor.agent().attempt) == (AgentState.WRAP_UP, OLD)
    assert (floor.end().attempt.outcome, floor.end().change) == (Outcome.CONNECTED, None)


@pytest.mark.parametrize("kind", LegKind)
def test_a_conversation_that_ended_while_no_engine_ran_is_not_recorded_any_more(kind: LegKind) -> None:
    recorded = campaign(recording=RecordingRule(mode=Recorded.ALWAYS))
    people = (profile(ANNA, leg_kind=kind), profile(BORYS))
    floor = restart(restored(attempt(CustomerState.TALKING)), policy=policy(recorded, agents=people))
    phones = (found(BORYSES),) if kind is LegKind.ON_DEMAND else (found(ANNAS), found(BORYSES))
    orders = floor.tell(events.SwitchUp(phones))
    assert floor.agent().state is AgentState.WRAP_UP
    assert not floor.all(effects.StartRecording, orders)


def test_a_conversation_that_ended_with_its_agents_phone_is_tried_again() -> None:
    floor = restart(restored(attempt(CustomerState.HELD)))
    floor.tell(events.SwitchUp((found(BORYSES),)))
    end = floor.end()
    assert (end.attempt.outcome, end.change and end.change.rule) == (Outcome.CONNECTED, "agent_lost")


def test_an_attempt_that_was_planned_and_never_sent_is_a_spent_attempt() -> None:
    fresh = attempt(CustomerState.PLANNED, planned_at_ms=MONDAY_MS - 10)
    floor = restart(restored(fresh))
    floor.tell(events.SwitchUp(()))
    assert OLD in floor.live.attempts, "a leg this young may not be in the snapshot yet"
    floor.wait(SNAPSHOT_GRACE_MS)
    floor.tell(events.SwitchUp(()))
    assert floor.end().attempt.outcome is Outcome.LOST
    assert not floor.dialed()


@pytest.mark.parametrize("late", [True, False], ids=["comes late", "never comes"])
def test_who_is_taken_back_before_their_call_is_made_is_not_called_again_until_it_cannot_come_any_more(
    late: bool,
) -> None:
    floor = Conversation(lead(1), pacing=Preview())
    floor.ready(ANNA)
    desk = floor.agent().leg
    assert desk is not None
    assert not floor.command(events.AgentDial, agent=ANNA, lead=lead(1).id)
    leg = floor.dial()
    floor.wait(1_000)
    assert not floor.command(events.AgentHangup, agent=ANNA)
    floor.tell(events.SwitchUp((found(desk),)))
    assert floor.command(events.AgentDial, agent=ANNA, lead=lead(1).id), "the first call may still be on its way"
    if late:
        floor.tell(events.OriginateAccepted(leg))
        floor.hang_up(leg)
    else:
        floor.wait(SNAPSHOT_GRACE_MS)
        floor.tell(events.SwitchUp((found(desk),)))
    assert floor.end().attempt.outcome is Outcome.CANCELLED
    assert not floor.command(events.AgentDial, agent=ANNA, lead=lead(1).id)
    assert len(floor.dialed()) == 2


def test_no_call_can_come_once_a_snapshot_may_close_it() -> None:
    assert SEND_WITHIN_MS + REQUEST_DEADLINE_MS < SNAPSHOT_GRACE_MS


def test_calls_of_the_last_engine_count_as_in_flight() -> None:
    floor = restart(restored(attempt(CustomerState.DIALING), logged_in=((ANNA, True),)))
    floor.leads = [lead(2)]
    floor.tell(events.SwitchUp((found(CUSTOMER, answered=False), found(ANNAS))))
    assert floor.dialed() == []
    floor.hang_up(CUSTOMER, cause=17)
    assert len(floor.dialed()) == 1


def test_a_conversation_whose_disposition_is_given_needs_none_any_more() -> None:
    facts = restored(attempt(CustomerState.TALKING), state=LeadState.CLOSED)
    floor = restart(facts)
    floor.tell(events.SwitchUp((found(ANNAS),)))
    assert floor.end().change is None


def test_a_conversation_ended_without_its_word_waits_for_the_agent_and_not_for_ever() -> None:
    ended = attempt(CustomerState.ENDED, outcome=Outcome.CONNECTED, ended_at_ms=MONDAY_MS - 1_000, bridged_at_ms=1)
    facts = restored(undisposed=((ANNA, ended, lead(1, state=LeadState.IN_CALL)),))
    floor = restart(facts)
    floor.tell(events.SwitchUp((found(ANNAS),)))
    agent = floor.agent()
    assert (agent.state, agent.pause_reason, agent.attempt) == (AgentState.PAUSED, "system:restarted", OLD)
    assert not floor.dispose(ended, SOLD, agent=ANNA)
    assert not floor.command(events.AgentReady, agent=ANNA)

    floor = restart(facts)
    floor.tell(events.SwitchUp(()))
    floor.wait(60_000)
    assert floor.last(effects.SaveLead).change.rule == "no_disposition"


def test_a_conversation_whose_agent_left_the_file_waits_for_nobody() -> None:
    ended = attempt(CustomerState.ENDED, outcome=Outcome.CONNECTED, ended_at_ms=MONDAY_MS)
    floor = restart(restored(undisposed=((AgentId("left"), ended, lead(1, state=LeadState.IN_CALL)),)))
    assert floor.last(effects.SaveLead).change == LeadChange(
        lead=lead(1).id, state=LeadState.CLOSED, rule="no_disposition"
    )


def test_legs_that_nobody_remembers_are_hung_up() -> None:
    floor = restart(restored(logged_in=()))
    orders = floor.tell(events.SwitchUp((found(CUSTOMER), found(ANNAS), found(agent_leg(AgentId("gone"), "1-3")))))
    assert {o.leg for o in floor.all(effects.Hangup, orders)} == {CUSTOMER, ANNAS, agent_leg(AgentId("gone"), "1-3")}
    assert floor.agent().state is AgentState.LOGGED_OUT


def test_agents_are_restored_to_what_they_wanted() -> None:
    floor = restart(restored(logged_in=((ANNA, True), (BORYS, False))))
    orders = floor.tell(events.SwitchUp((found(ANNAS), found(BORYSES))))
    assert floor.agent(ANNA).state is AgentState.READY
    assert floor.agent(BORYS).state is AgentState.PAUSED
    assert {o.leg for o in floor.all(effects.OpenBridge, orders)} == {ANNAS, BORYSES}, "it may never have been opened"


def test_a_nailed_up_phone_that_is_gone_ends_the_shift() -> None:
    floor = restart(restored())
    orders = floor.tell(events.SwitchUp(()))
    assert floor.agent().state is AgentState.LOGGED_OUT
    saved = {o.agent.id: o.agent.state for o in floor.all(effects.SaveAgent, orders)}
    assert saved[ANNA] is AgentState.LOGGED_OUT


def test_the_shift_of_an_on_demand_agent_goes_on() -> None:
    people = (profile(ANNA, leg_kind=LegKind.ON_DEMAND), profile(BORYS, leg_kind=LegKind.ON_DEMAND))
    floor = restart(restored(attempt(CustomerState.TALKING)), policy=policy(campaign(), agents=people))
    orders = floor.tell(events.SwitchUp((found(CUSTOMER, ANNAS), found(ANNAS, CUSTOMER), found(BORYSES))))
    assert floor.agent(ANNA).state is AgentState.TALKING
    assert floor.agent(BORYS).state is AgentState.READY
    assert [o.leg for o in floor.all(effects.Hangup, orders)] == [BORYSES], "a phone at rest is let go"


AUTUMN = CampaignId("autumn")


def test_a_ringing_call_of_a_campaign_that_is_gone_is_taken_back() -> None:
    floor = restart(restored(attempt(CustomerState.RINGING, campaign=AUTUMN)))
    orders = floor.tell(events.SwitchUp((found(CUSTOMER, answered=False),)))
    assert [o.leg for o in floor.all(effects.Hangup, orders)] == [CUSTOMER]
    floor.hang_up(CUSTOMER)
    assert floor.end().attempt.outcome is Outcome.CANCELLED


def test_who_waits_for_nobody_of_a_campaign_that_is_gone_hears_the_message() -> None:
    floor = restart(restored(attempt(CustomerState.WAITING, campaign=AUTUMN)))
    floor.tell(events.SwitchUp((found(CUSTOMER), found(ANNAS), found(BORYSES))))
    assert floor.all(effects.PlayMessageAndHangup, floor.wait(0))[0].leg == CUSTOMER


def test_a_conversation_of_a_campaign_that_is_gone_goes_on() -> None:
    floor = restart(restored(attempt(CustomerState.TALKING, campaign=AUTUMN)))
    orders = floor.tell(events.SwitchUp((found(CUSTOMER, ANNAS), found(ANNAS, CUSTOMER))))
    assert switch_orders(orders) == []
    assert floor.agent().state is AgentState.TALKING
    floor.hang_up(CUSTOMER)
    assert floor.end().attempt.outcome is Outcome.CONNECTED
    assert floor.agent().state is AgentState.WRAP_UP
    floor.wait(MINUTE_MS)
    assert floor.agent().state is AgentState.READY
    assert floor.last(effects.SaveLead).change.state is LeadState.CLOSED
    assert violations(floor.live) == []


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        (CustomerState.RINGING, Outcome.LOST),
        (CustomerState.WAITING, Outcome.ABANDONED),
        (CustomerState.TALKING, Outcome.CONNECTED),
    ],
)
def test_what_is_left_of_a_campaign_that_is_gone_ends_as_it_was(state: CustomerState, outcome: Outcome) -> None:
    floor = restart(restored(attempt(state, campaign=AUTUMN)))
    floor.tell(events.SwitchUp(()))
    assert floor.end().attempt.outcome is outcome


def test_an_attempt_on_a_trunk_that_is_gone_goes_on() -> None:
    floor = restart(restored(attempt(CustomerState.TALKING, trunk=TrunkId("old"))))
    floor.tell(events.SwitchUp((found(CUSTOMER, ANNAS), found(ANNAS, CUSTOMER))))
    assert floor.attempt(CUSTOMER).state is CustomerState.TALKING
    floor.hang_up(CUSTOMER)
    assert floor.live.line(TrunkId("old")).in_use == 0


# ── a lost link ──────────────────────────────────────────────────────────────────────────────────────────────────


def legs(floor: Conversation, *more: events.LegFound) -> events.SwitchUp:
    """A snapshot with the phones of all agents, and these."""
    named = {one.leg for one in more}
    phones = [found(a.leg) for a in floor.live.agents.values() if a.leg is not None and a.leg not in named]
    return events.SwitchUp((*phones, *more))


def test_a_conversation_outlives_the_link() -> None:
    floor = Conversation(lead(1))
    floor.ready(ANNA)
    leg = floor.talk(floor.dial()).leg
    phone = floor.agent().leg
    assert phone is not None
    floor.tell(events.SwitchLost("socket closed"))
    floor.wait(30_000)
    orders = floor.tell(legs(floor, found(leg, phone), found(phone, leg)))
    assert switch_orders(orders) == []
    assert floor.agent().state is AgentState.TALKING


def test_a_hang_up_in_the_gap_is_found_at_the_next_snapshot() -> None:
    floor = Conversation(lead(1))
    floor.ready(ANNA)
    floor.talk(floor.dial())
    floor.tell(events.SwitchLost("socket closed"))
    floor.wait(30_000)
    floor.tell(legs(floor))
    assert floor.end().attempt.outcome is Outcome.CONNECTED
    assert floor.agent().state is AgentState.WRAP_UP


def test_a_phone_gone_in_the_gap_gives_its_customer_to_the_next_agent() -> None:
    floor = Conversation(lead(1))
    floor.ready(ANNA, BORYS)
    talking = floor.talk(floor.dial())
    other = BORYS if talking.agent == ANNA else ANNA
    floor.tell(events.SwitchLost("socket closed"))
    floor.wait(30_000)
    others = floor.agent(other).leg
    assert others is not None
    orders = floor.tell(events.SwitchUp((found(others), found(talking.leg))))
    assert floor.all(effects.Bridge, orders)[0].agent == others


def test_nobody_is_abandoned_on_paper_while_the_link_is_down() -> None:
    floor = Conversation(lead(1))
    floor.ready(ANNA)
    leg = floor.dial()
    floor.answer(leg)
    phone = floor.agent().leg
    assert phone is not None
    floor.tell(events.SwitchLost("socket closed"))
    floor.wait(5_000)
    assert floor.agent().state is AgentState.RESERVED
    orders = floor.tell(legs(floor, found(leg, phone), found(phone, leg)))
    assert switch_orders(orders) == [], "the bridge was made; only its news was lost"
    assert floor.agent().state is AgentState.TALKING


def test_a_bridge_that_was_lost_with_the_link_is_made_again_and_its_clock_runs_again() -> None:
    floor = Conversation(lead(1))
    floor.ready(ANNA)
    leg = floor.dial()
    floor.answer(leg)
    floor.tell(events.SwitchLost("socket closed"))
    floor.wait(5_000)
    orders = floor.tell(legs(floor, found(leg)))
    assert floor.all(effects.Bridge, orders)[0].customer == leg
    orders = floor.wait(2_000)
    assert floor.all(effects.PlayMessageAndHangup, orders)


def test_a_conversation_without_a_bridge_is_bridged_again() -> None:
    floor = Conversation(lead(1))
    floor.ready(ANNA)
    leg = floor.talk(floor.dial()).leg
    floor.wait(60_000)
    orders = floor.tell(legs(floor, found(leg)))
    assert floor.all(effects.Bridge, orders)[0].customer == leg
    floor.command(events.AgentHold, agent=ANNA, on=True)
    orders = floor.tell(legs(floor, found(leg)))
    assert not floor.all(effects.Bridge, orders), "who is on hold hears music and stays there"


def test_so_is_one_that_began_before_the_system_clock_was_set_back() -> None:
    hours_ms = 60 * MINUTE_MS
    begun = attempt(CustomerState.TALKING, answered_at_ms=MONDAY_MS + hours_ms, bridged_at_ms=MONDAY_MS + hours_ms)
    floor = restart(restored(begun))
    floor.tell(events.SwitchUp((found(ANNAS, CUSTOMER), found(BORYSES), found(CUSTOMER, ANNAS))))
    orders = floor.tell(events.SwitchUp((found(ANNAS), found(BORYSES), found(CUSTOMER))))
    assert [(o.customer, o.agent) for o in floor.all(effects.Bridge, orders)] == [(CUSTOMER, ANNAS)]


def test_who_is_taken_off_hold_in_vain_is_bridged_again_also_to_a_phone_called_per_conversation() -> None:
    floor = Conversation(lead(1), agents=(profile(ANNA, leg_kind=LegKind.ON_DEMAND),))
    floor.ready(ANNA)
    leg = floor.dial()
    floor.answer(leg)
    phone = floor.agent().leg
    assert phone is not None
    floor.tell(events.LegAnswered(phone), events.LegBridged(leg))
    floor.command(events.AgentHold, agent=ANNA, on=True)
    floor.wait(60_000)
    floor.command(events.AgentHold, agent=ANNA, on=False)
    floor.tell(events.CommandFailed(leg, "hold", "simulated"))
    orders = floor.tell(events.SwitchUp((found(leg), found(phone))))
    assert [(o.customer, o.agent) for o in floor.all(effects.Bridge, orders)] == [(leg, phone)]


def rung_out_without_a_link() -> tuple[Conversation, LegId, LegId]:
    """Anna's phone was called for a customer, and lifted when nobody could tell us any more."""
    people = (profile(ANNA, leg_kind=LegKind.ON_DEMAND), profile(BORYS, leg_kind=LegKind.ON_DEMAND))
    floor = Conversation(lead(1), agents=people)
    floor.ready(ANNA)
    leg = floor.dial()
    floor.answer(leg)
    phone = floor.agent().leg
    assert phone is not None
    floor.tell(events.SwitchLost("cut"))
    floor.wait(20_000)
    assert (floor.agent().state, floor.agent().leg) == (AgentState.PAUSED, None)
    return floor, leg, phone


def test_who_lifted_a_phone_that_we_had_given_up_talks() -> None:
    floor, leg, phone = rung_out_without_a_link()
    orders = floor.tell(events.SwitchUp((found(leg, phone), found(phone, leg))))
    assert (floor.agent().state, floor.agent().leg) == (AgentState.TALKING, phone)
    assert not floor.all(effects.Hangup, orders)


def test_who_lifted_it_and_hears_somebody_elses_customer_is_hung_up_and_talks_with_nobody() -> None:
    floor, leg, phone = rung_out_without_a_link()
    attempt_id = floor.live.attempt_at(leg)
    assert attempt_id is not None
    floor.live.attempts[attempt_id] = replace(floor.live.attempts[attempt_id], agent=BORYS)
    orders = floor.tell(events.SwitchUp((found(leg, phone), found(phone, leg))))
    assert [order.leg for order in floor.all(effects.Hangup, orders)] == [phone]
    assert floor.agent().state is AgentState.PAUSED


def test_who_is_on_hold_and_hears_the_agent_all_the_same_is_put_on_hold_again() -> None:
    floor = Conversation(lead(1))
    floor.ready(ANNA)
    leg = floor.talk(floor.dial()).leg
    phone = floor.agent().leg
    assert phone is not None
    floor.command(events.AgentHold, agent=ANNA, on=True)
    floor.tell(events.CommandFailed(leg, "hold", "simulated"))
    orders = floor.tell(legs(floor, found(leg, phone)))
    assert [o.on for o in floor.all(effects.Hold, orders)] == [True]
    assert floor.attempt(leg).state is CustomerState.HELD


def test_who_was_on_hold_when_the_engine_died_returns_to_the_same_agent() -> None:
    for agent, phone in ((ANNA, ANNAS), (BORYS, BORYSES)):
        floor = restart(restored(attempt(CustomerState.HELD, agent=agent)))
        orders = floor.tell(events.SwitchUp((found(CUSTOMER), found(ANNAS), found(BORYSES))))
        assert [(o.customer, o.agent) for o in floor.all(effects.Bridge, orders)] == [(CUSTOMER, phone)]
        assert floor.attempt(CUSTOMER).agent == agent


def test_an_answer_against_our_hang_up_in_the_gap_is_an_abandon_with_its_message() -> None:
    floor = Conversation(lead(1))
    floor.ready(ANNA)
    leg = floor.dial()
    floor.ring(leg)
    floor.command(events.LeadSuppressed, lead=lead(1).id, reason="asked")
    floor.tell(events.SwitchLost("socket closed"))
    orders = floor.tell(legs(floor, found(leg)))
    assert floor.all(effects.PlayMessageAndHangup, orders)[0].leg == leg


def test_a_hang_up_that_was_lost_is_ordered_again() -> None:
    floor = Conversation(lead(1))
    floor.ready(ANNA)
    leg = floor.talk(floor.dial()).leg
    phone = floor.agent().leg
    assert phone is not None
    floor.command(events.AgentHangup, agent=ANNA)
    orders = floor.tell(legs(floor, found(leg, phone), found(phone, leg)))
    assert floor.all(effects.Hangup, orders)[0].leg == leg


def test_a_snapshot_that_is_older_than_a_leg_does_not_end_it() -> None:
    floor = Conversation(lead(1))
    floor.ready(ANNA)
    orders = floor.tell(events.SwitchUp(()))
    assert floor.agent().state is AgentState.READY
    assert not floor.all(effects.SaveEnd, orders)


def test_the_switch_is_asked_now_and_then_also_by_an_idle_office_whose_lost_event_may_be_a_caller() -> None:
    floor = Conversation()
    assert len(floor.all(effects.AskSwitch, floor.wait(30_000))) == 3
    floor.log_in(ANNA)
    assert len(floor.all(effects.AskSwitch, floor.wait(30_000))) == 3


def test_a_customer_found_with_somebody_unknown_is_brought_back_to_their_agent() -> None:
    floor = Conversation(lead(1))
    floor.ready(ANNA)
    leg = floor.talk(floor.dial()).leg
    stranger = agent_leg(AgentId("gone"), "0-1")
    floor.wait(SNAPSHOT_GRACE_MS + 1)
    orders = floor.tell(legs(floor, found(leg, stranger), found(stranger, leg)))
    assert effects.Hangup(stranger, bridge_of_leg(stranger)) in orders
    assert [(o.customer, o.agent) for o in floor.all(effects.Bridge, orders)] == [(leg, floor.agent().leg)]


@pytest.mark.parametrize(
    ("gone", "outcome"),
    [
        (events.LegGone(CUSTOMER, answered_at_ms=MONDAY_MS - 5_000, cause=16), Outcome.ABANDONED),
        (events.LegGone(CUSTOMER, answered_at_ms=None, cause=17), Outcome.BUSY),
        (events.LegGone(CUSTOMER, answered_at_ms=None, cause=34), Outcome.LOST),
    ],
    ids=["answered unheard", "busy", "perhaps overloaded, perhaps not"],
)
def test_the_switchs_journal_says_how_a_call_ended_while_no_engine_ran(gone: events.LegGone, outcome: Outcome) -> None:
    floor = restart(restored(attempt(CustomerState.DIALING)))
    floor.tell(events.SwitchUp((found(ANNAS),), (gone,)))
    ended = floor.end().attempt
    assert (ended.outcome, ended.answered_at_ms) == (outcome, gone.answered_at_ms)
    counted = floor.live.pacers[SPRING].budget.state(floor.now_ms)
    assert counted.abandoned == (outcome is Outcome.ABANDONED)
    floor.tell(events.SwitchUp((found(ANNAS),), (gone,)))
    assert len(floor.all(effects.SaveEnd)) == 1, "told twice, counted once"


@pytest.mark.parametrize(
    ("answered_ms", "outcome"), [(MONDAY_MS - 30_000, Outcome.ABANDONED), (None, Outcome.BUSY)], ids=["heard", "busy"]
)
def test_so_it_does_of_a_call_whose_end_is_told_before_the_snapshot(answered_ms: int | None, outcome: Outcome) -> None:
    floor = restart(restored(attempt(CustomerState.PLANNED)))
    floor.hang_up(CUSTOMER, cause=17, tech_cause=486)
    floor.tell(events.SwitchUp((), (events.LegGone(CUSTOMER, answered_ms, 16),)))
    assert floor.end().attempt.outcome is outcome


def test_a_call_whose_end_is_told_before_the_snapshot_ends_with_it_where_there_is_no_journal() -> None:
    floor = Conversation(lead(1))
    floor.ready(ANNA)
    leg, phone = floor.dial(), floor.agent().leg
    assert phone is not None
    floor.tell(events.SwitchLost("socket closed"))
    floor.hang_up(leg, cause=17, tech_cause=486)
    assert leg in {one.leg for one in floor.live.attempts.values()}
    floor.tell(events.SwitchUp((found(phone),)))
    assert floor.end().attempt.outcome is Outcome.BUSY


def test_an_abandon_that_the_last_engine_had_not_saved_is_in_the_budget_at_once_and_once() -> None:
    floor = restart(restored(attempt(CustomerState.LEAVING, answered_at_ms=MONDAY_MS - MINUTE_MS)))
    budget = floor.live.pacers[SPRING].budget
    assert budget.state(floor.now_ms).abandoned == 1
    floor.tell(events.SwitchUp(()))
    assert floor.end().attempt.outcome is Outcome.ABANDONED
    assert budget.state(floor.now_ms).abandoned == 1


def test_who_waited_when_the_engine_died_and_hung_up_before_the_snapshot_counts_as_abandoned() -> None:
    """The engine before may have played them the message: what it had decided is not on disk until the end."""
    floor = restart(restored(attempt(CustomerState.WAITING)))
    floor.hang_up(CUSTOMER, cause=16)
    assert floor.end().attempt.outcome is Outcome.ABANDONED


def test_who_answered_a_switch_that_we_did_not_hear_any_more_before_it_died_counts_as_abandoned() -> None:
    floor = Conversation(lead(1), lead(2))
    floor.ready(ANNA, BORYS)
    ringing, unheard = [one.leg for one in floor.live.attempts.values()]
    floor.tell(events.SwitchLost("no answer to 4 probes"))
    orders = floor.tell(events.SwitchDied("killed", (events.LegGone(unheard, floor.now_ms, 0),)))
    outcomes = {end.attempt.leg: end.attempt.outcome for end in floor.all(effects.SaveEnd, orders)}
    assert outcomes == {ringing: Outcome.LOST, unheard: Outcome.ABANDONED}


def test_a_switch_that_died_frees_its_agents_and_leaves_them_the_last_word() -> None:
    floor = Conversation(lead(1))
    floor.ready(ANNA)
    talked = floor.talk(floor.dial())
    orders = floor.tell(events.SwitchDied("Asterisk has ended"))
    assert floor.agent().state is AgentState.LOGGED_OUT
    assert floor.all(effects.SaveEnd, orders)[0].attempt.outcome is Outcome.CONNECTED
    assert floor.all(effects.SaveEnd, orders)[0].change is None, "the agent may still say how it went"
    assert floor.live.unwell() is NotDialing.SWITCH
    assert floor.dispose(talked, SOLD) == ""


@pytest.mark.parametrize("kind", LegKind)
def test_a_switch_that_died_before_the_first_snapshot_leaves_nobody_talking_on_paper(kind: LegKind) -> None:
    people = (profile(ANNA, leg_kind=kind), profile(BORYS))
    floor = restart(restored(attempt(CustomerState.TALKING)), policy=policy(agents=people))
    orders = floor.tell(events.SwitchDied("killed"))
    (saved,) = [order.agent for order in floor.all(effects.SaveAgent, orders) if order.agent.id == ANNA][-1:]
    end = floor.end()
    if kind is LegKind.NAILED_UP:
        assert (saved.state, end.change and end.change.rule) == (AgentState.LOGGED_OUT, "agent_lost")
    else:
        assert (saved.state, saved.attempt, end.change) == (AgentState.WRAP_UP, OLD, None)
    assert end.attempt.outcome is Outcome.CONNECTED


def test_the_shift_of_an_agent_who_left_the_file_is_over_on_disk_too() -> None:
    floor = restart(restored(logged_in=((AgentId("left"), True),)))
    orders = floor.tell(events.SwitchUp(()))
    (saved,) = [o for o in floor.all(effects.SaveAgent, orders) if o.agent.id == "left"]
    assert (saved.agent.state, saved.agent.attempt) == (AgentState.LOGGED_OUT, None)


def test_an_engine_that_is_late_does_not_dial_and_looks_before_it_goes_on() -> None:
    floor = Conversation()
    floor.tell(events.EngineLate(late=True, reason="the engine is 2000 ms late"))
    assert floor.live.unwell() is NotDialing.OVERLOAD
    orders = floor.tell(events.EngineLate(late=False))
    assert floor.all(effects.AskSwitch, orders)
    assert floor.live.unwell() is None


def test_of_two_conversations_of_one_lead_only_one_is_owed_a_word() -> None:
    older = attempt(CustomerState.ENDED, outcome=Outcome.CONNECTED, ended_at_ms=MONDAY_MS - 2_000, bridged_at_ms=1)
    newer = replace(older, id=AttemptId("1-9"), leg=customer_leg(AttemptId("1-9")), ended_at_ms=MONDAY_MS - 1_000)
    known = lead(1, state=LeadState.IN_CALL)
    floor = restart(restored(undisposed=((ANNA, newer, known), (BORYS, older, known))))
    assert list(floor.live.attempts) == [newer.id]
    assert not floor.all(effects.SaveLead), "the lead is not closed over the head of who owes"


def test_a_recording_that_was_ended_just_before_the_kill_is_ended_once_more() -> None:
    told = Recording(
        name="1-9.1-10", attempt=AttemptId("1-9"), bridge=BridgeId("b.g.1-1.anna"), started_at_ms=MONDAY_MS - 60_000
    )
    floor = restart(replace(restored(attempt(CustomerState.TALKING)), recordings_ended=(told,)))
    orders = floor.tell(events.SwitchUp((found(CUSTOMER, ANNAS), found(ANNAS, CUSTOMER))))
    assert [order.name for order in floor.all(effects.StopRecording, orders)] == [told.name]


def test_the_recording_of_a_conversation_that_goes_on_is_ordered_again_its_order_may_have_died() -> None:
    running = Recording(name="1-1.1-10", attempt=OLD, bridge=bridge_of_leg(ANNAS), started_at_ms=MONDAY_MS - 60_000)
    facts = restored(attempt(CustomerState.TALKING), logged_in=((ANNA, True),))
    floor = restart(replace(facts, recordings=(running,)))
    orders = floor.tell(events.SwitchUp((found(CUSTOMER, ANNAS), found(ANNAS, CUSTOMER))))
    assert [order.name for order in floor.all(effects.StartRecording, orders)] == [running.name]
    assert not floor.all(effects.SaveRecording, orders), "its row is on disk"
