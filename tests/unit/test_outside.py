"""A number outside: the customer is handed on to it at once, or whoever is there is asked first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.core import effects, events
from engine.core.invariants import violations
from engine.core.live import SNAPSHOT_GRACE_MS
from engine.core.model import (
    Agent,
    AgentState,
    Attempt,
    BridgeId,
    ConsultAct,
    ConsultPhase,
    CustomerState,
    LeadState,
    LegId,
    Outcome,
    PhoneNumber,
    bridge_of_leg,
)
from tests.conversation import ANNA, MINUTE_MS, SOLD, Conversation, campaign, lead, policy, profile

A = ConsultAct

OUTSIDE = PhoneNumber("+380501112233")


def talking() -> Conversation:
    """Anna talks with the only lead."""
    floor = Conversation(lead(1), policy=policy(campaign(), agents=(profile(ANNA),)))
    floor.ready(ANNA)
    floor.talk(floor.dialed()[0])
    return floor


def to_music(leg: LegId, agent: Agent) -> effects.Hold:
    assert agent.bridge is not None
    return effects.Hold(leg, agent.bridge, on=True)


def restarted(
    floor: Conversation, *found: events.LegFound, said: bool = False
) -> tuple[Conversation, list[effects.Effect]]:
    """The next engine, with what is on disk and what the switch has; what it orders first. `said`: how it went."""
    (attempt,) = floor.live.attempts.values()
    attempt = replace(attempt, state=CustomerState.TALKING, out=None)  # as the disk has it
    again = Conversation(policy=policy(campaign(), agents=(profile(ANNA),)), epoch=2, link=False, running=False)
    assert attempt.lead is not None
    state = LeadState.CLOSED if said else LeadState.IN_CALL
    taken_up = ((attempt, replace(floor.live.leads[attempt.lead], state=state)),)
    again.tell(events.Restored(attempts=taken_up, undisposed=(), logged_in=((ANNA, True),), running=()))
    orders = again.tell(events.SwitchUp(found))
    assert violations(again.live) == []
    return again, orders


def out(floor: Conversation, number: PhoneNumber = OUTSIDE) -> str:
    refusal = floor.command(events.AgentTransferOut, agent=ANNA, number=number)
    assert violations(floor.live) == []
    return refusal


def test_a_number_outside_is_saved_and_asked_about_before_the_switch_dials_it() -> None:
    floor = talking()
    leg, anna = floor.dialed()[0], floor.agent(ANNA)
    before = len(floor.orders)
    assert out(floor) == ""
    orders = floor.orders[before:]
    kinds = [type(o) for o in orders]
    assert kinds.index(effects.SaveHandOut) < kinds.index(effects.CheckNumber) < kinds.index(effects.TransferOut)
    assert to_music(leg, anna) in orders, "first out of her bridge"
    (order,) = floor.all(effects.TransferOut, orders)
    assert (order.leg, order.number, order.trunk) == (leg, OUTSIDE, "carrier")
    assert floor.live.line(order.trunk).in_use == 2, "theirs and the one outside"
    assert floor.agent(ANNA).state is AgentState.WRAP_UP
    assert floor.dispose(floor.attempt(leg), SOLD) == "", "the word is hers, while they talk on"
    floor.command(events.AgentReady, agent=ANNA)
    assert (floor.agent(ANNA).state, floor.agent(ANNA).attempt) == (AgentState.READY, None)
    assert violations(floor.live) == []
    floor.hang_up(leg)
    assert floor.end().attempt.outcome is Outcome.CONNECTED
    assert floor.live.line(order.trunk).in_use == 0
    assert violations(floor.live) == []


def test_whoever_lost_their_phone_after_handing_a_customer_on_is_not_waited_for_once_their_time_is_out() -> None:
    floor = talking()
    leg, phone = floor.dialed()[0], floor.agent(ANNA).leg
    out(floor)
    floor.tell(events.NumberChecked(floor.attempt(leg).id, blocked=False))
    assert phone is not None
    floor.hang_up(phone)
    assert (floor.agent(ANNA).state, floor.agent(ANNA).attempt) == (AgentState.LOGGED_OUT, floor.attempt(leg).id)
    floor.wait(60 * MINUTE_MS)
    assert floor.last(effects.SaveLead).change.rule == "no_disposition"
    floor.hang_up(leg)
    assert (floor.end().change, dict(floor.live.attempts)) == (None, {}), "the end of their talk waits for nobody"


def test_a_number_on_a_list_or_on_the_line_is_not_dialed_and_the_talk_goes_on() -> None:
    floor = talking()
    leg = floor.dialed()[0]
    floor.listed.add(OUTSIDE)
    assert out(floor) == "number_suppressed"
    theirs = floor.attempt(leg).number
    assert theirs is not None
    assert out(floor, theirs) == "number_busy"
    assert floor.attempt(leg).state is CustomerState.TALKING
    assert floor.all(effects.TransferOut) == []
    assert [o.action for o in floor.all(effects.SaveAudit)].count("call_transferred") == 0, "what was not done"


def test_without_a_second_line_nobody_is_handed_out() -> None:
    floor = Conversation(lead(1), policy=policy(campaign(), agents=(profile(ANNA),), lines=1))
    floor.ready(ANNA)
    floor.talk(floor.dialed()[0])
    assert out(floor) == "lines_busy"


def test_who_talks_with_somebody_outside_is_cut_by_no_snapshot_and_no_restart() -> None:
    floor = talking()
    leg, anna = floor.dialed()[0], floor.agent(ANNA)
    out(floor)
    found = (events.LegFound(leg, True, False, handed_out=True), events.LegFound(LegId(str(anna.leg)), True, True))
    orders = floor.tell(events.SwitchUp(found))
    assert floor.all(effects.Hangup, orders) == []

    again, orders = restarted(floor, *found)
    assert again.all(effects.Hangup, orders) == []
    assert again.attempt(leg).state is CustomerState.LEAVING
    assert again.agent(ANNA).state is AgentState.WRAP_UP, "and she owes the word"
    assert violations(again.live) == []
    again.hang_up(leg)
    assert again.end().attempt.outcome is Outcome.CONNECTED
    assert violations(again.live) == []


def test_who_has_said_how_it_went_is_not_asked_again_by_a_restart() -> None:
    floor = talking()
    leg, anna = floor.dialed()[0], floor.agent(ANNA)
    out(floor)
    began_ms = floor.attempt(leg).bridged_at_ms
    assert floor.dispose(floor.attempt(leg), SOLD) == ""
    found = (events.LegFound(leg, True, False, handed_out=True), events.LegFound(LegId(str(anna.leg)), True, True))

    again, orders = restarted(floor, *found, said=True)
    assert again.all(effects.Hangup, orders) == []
    assert again.agent(ANNA).state is AgentState.READY, "free for the next one while they talk outside"
    attempt = again.attempt(leg)
    assert (attempt.state, attempt.agent, attempt.bridged_at_ms) == (CustomerState.LEAVING, ANNA, began_ms)
    again.hang_up(leg)
    end = again.end()
    assert (end.attempt.outcome, end.change) == (Outcome.CONNECTED, None), "her word stands"


def test_a_switch_that_did_not_do_it_plays_the_message() -> None:
    floor = talking()
    leg = floor.dialed()[0]
    out(floor)
    orders = floor.tell(events.CommandFailed(leg, "transferout", "no such context"))
    assert floor.all(effects.PlayMessageAndHangup, orders)


# ── asked first ──────────────────────────────────────────────────────────────────────────────────────────────────


def act(floor: Conversation, what: ConsultAct, number: PhoneNumber | None = None) -> str:
    refusal = floor.command(events.AgentConsult, agent=ANNA, act=what, number=number)
    assert violations(floor.live) == []
    return refusal


def moves(floor: Conversation, what: ConsultAct) -> list[effects.Effect]:
    before = len(floor.orders)
    assert act(floor, what) == ""
    return floor.all(effects.Hold | effects.OpenBridge | effects.Bridge | effects.Hangup, floor.orders[before:])  # type: ignore[arg-type]


def phase(floor: Conversation) -> ConsultPhase | None:
    asked = floor.agent(ANNA).consult
    return asked.phase if asked is not None else None


def asked(*, answers: bool = True) -> tuple[Conversation, LegId, LegId, BridgeId]:
    """Anna asks somebody outside; the customer's leg, theirs, and her bridge."""
    floor = talking()
    assert act(floor, A.START, OUTSIDE) == ""
    leg = floor.last(effects.OriginateOutside).leg
    if answers:
        floor.tell(events.OriginateAccepted(leg), events.LegRinging(leg), events.LegAnswered(leg))
        assert violations(floor.live) == []
    bridge = floor.agent(ANNA).bridge
    assert bridge is not None
    return floor, floor.dialed()[0], leg, bridge


def handed_over() -> tuple[Conversation, LegId, LegId]:
    floor, customer, leg, _ = asked()
    assert act(floor, A.COMPLETE) == ""
    assert floor.tell(events.LegBridged(leg), events.LegBridged(customer)) == [], "it is no conversation of ours"
    return floor, customer, leg


def test_a_number_is_asked_while_the_customer_hears_music_and_takes_them_over() -> None:
    floor = talking()
    customer, anna = floor.dialed()[0], floor.agent(ANNA)
    before = len(floor.orders)
    assert act(floor, A.START, OUTSIDE) == ""
    kinds = [type(order) for order in floor.orders[before:]]
    assert kinds.index(effects.SaveHandOut) < kinds.index(effects.CheckNumber) < kinds.index(effects.OriginateOutside)
    call = floor.last(effects.OriginateOutside)
    assert (call.number, call.trunk, phase(floor)) == (OUTSIDE, "carrier", ConsultPhase.CALLING)
    assert to_music(customer, anna) in floor.orders
    assert floor.live.line(call.trunk).in_use == 2
    assert act(floor, A.COMPLETE) == "colleague_rings"

    floor.tell(events.LegAnswered(call.leg))
    assert phase(floor) is ConsultPhase.PRIVATE
    own = bridge_of_leg(call.leg)
    assert moves(floor, A.COMPLETE) == [
        effects.OpenBridge(call.leg, own),
        effects.Bridge(customer, call.leg, own, tone=False, music=True),
    ]
    assert floor.agent(ANNA).state is AgentState.WRAP_UP
    assert floor.dispose(floor.attempt(customer), SOLD) == "", "the word is hers, while they talk on"
    orders = floor.hang_up(customer)
    assert effects.Hangup(call.leg, own) in orders, "nobody is left alone on the line"
    assert floor.end().attempt.outcome is Outcome.CONNECTED
    assert floor.live.line(call.trunk).in_use == 0
    assert violations(floor.live) == []


def test_to_and_fro_then_all_three_then_with_the_customer_alone() -> None:
    floor, customer, leg, bridge = asked()
    own = bridge_of_leg(leg)
    on, off = effects.Hold(customer, bridge, on=True), effects.Hold(customer, bridge, on=False)
    here, away = effects.OpenBridge(leg, bridge), effects.OpenBridge(leg, own)
    assert moves(floor, A.CUSTOMER) == [off, away]
    assert moves(floor, A.COLLEAGUE) == [on, here]
    assert moves(floor, A.CONFERENCE) == [off, here]
    assert moves(floor, A.END) == [effects.Hangup(leg, own)]
    assert floor.live.line(floor.attempt(customer).trunk).in_use == 1
    assert floor.attempt(customer).agent == ANNA
    floor.hang_up(leg)
    assert floor.attempt(customer).state is CustomerState.TALKING


def test_from_a_conference_the_customer_goes_to_whoever_is_outside_without_music() -> None:
    floor, customer, leg, _ = asked()
    act(floor, A.CONFERENCE)
    assert effects.Bridge(customer, leg, bridge_of_leg(leg), tone=False, music=False) in moves(floor, A.COMPLETE)


@pytest.mark.parametrize("answers", [False, True])
def test_who_is_asked_and_hangs_up_or_never_answers_leaves_the_customer_with_their_agent(answers: bool) -> None:
    floor, customer, leg, _ = asked(answers=answers)
    floor.hang_up(leg, 19)
    assert (phase(floor), floor.attempt(customer).state) == (None, CustomerState.HELD)
    assert violations(floor.live) == []
    assert floor.command(events.AgentHold, agent=ANNA, on=False) == ""
    assert floor.live.line(floor.attempt(customer).trunk).in_use == 1


def test_a_switch_that_refuses_the_call_ends_the_asking() -> None:
    floor, customer, leg, _ = asked(answers=False)
    floor.tell(events.OriginateRefused(leg, "Allocation failed"))
    assert (phase(floor), floor.attempt(customer).agent) == (None, ANNA)
    assert violations(floor.live) == []


def test_the_key_that_hangs_up_ends_the_asking_alone() -> None:
    floor, customer, leg, bridge = asked()
    orders = floor.orders
    before = len(orders)
    assert floor.command(events.AgentHangup, agent=ANNA) == ""
    assert effects.Hangup(leg, bridge_of_leg(leg)) in orders[before:]
    assert effects.Hold(customer, bridge, on=False) in orders[before:]
    assert violations(floor.live) == []


@pytest.mark.parametrize("who", ["customer", "agent"])
def test_whoever_else_hangs_up_nobody_outside_is_left_on_the_line(who: str) -> None:
    floor, customer, leg, _ = asked()
    phone = floor.agent(ANNA).leg
    assert phone is not None
    orders = floor.hang_up(customer if who == "customer" else phone)
    assert effects.Hangup(leg, bridge_of_leg(leg)) in orders
    assert violations(floor.live) == []
    assert floor.live.outside == {}


def test_a_list_a_line_and_somebody_asked_already_are_refused() -> None:
    floor = talking()
    floor.listed.add(OUTSIDE)
    assert act(floor, A.START, OUTSIDE) == "number_suppressed"
    floor.listed.clear()
    assert act(floor, A.START, OUTSIDE) == ""
    assert act(floor, A.START, PhoneNumber("+380501112234")) == "consulting"
    assert out(floor) == "consulting"
    assert len(floor.all(effects.OriginateOutside)) == 1


def test_when_whoever_took_the_customer_over_hangs_up_so_do_we() -> None:
    floor, customer, leg = handed_over()
    assert effects.Hangup(customer) in floor.hang_up(leg)
    floor.hang_up(customer)
    assert floor.end().attempt.outcome is Outcome.CONNECTED
    assert violations(floor.live) == []


def in_room(*legs: LegId) -> tuple[events.LegFound, ...]:
    """Legs that hear each other."""
    return tuple(events.LegFound(one, True, True, tuple(o for o in legs if o != one)) for one in legs)


def phone_of(floor: Conversation) -> LegId:
    leg = floor.agent(ANNA).leg
    assert leg is not None
    return leg


def test_who_was_handed_over_is_cut_by_no_snapshot_and_no_restart() -> None:
    floor, customer, leg = handed_over()
    found = (*in_room(customer, leg), *in_room(phone_of(floor)))
    floor.wait(SNAPSHOT_GRACE_MS + 1)
    assert floor.all(effects.Hangup, floor.tell(events.SwitchUp(found))) == []

    again, orders = restarted(floor, *found)
    assert again.all(effects.Hangup, orders) == []
    assert again.attempt(customer).state is CustomerState.LEAVING
    assert again.agent(ANNA).state is AgentState.WRAP_UP, "and she owes the word"
    assert effects.Hangup(customer) in again.hang_up(leg), "known by who is in the bridge"
    again.hang_up(customer)
    assert again.end().attempt.outcome is Outcome.CONNECTED
    assert violations(again.live) == []


def test_a_lost_order_to_hand_over_is_given_again() -> None:
    floor, customer, leg = handed_over()
    apart = (*in_room(customer), *in_room(leg), *in_room(phone_of(floor)))
    orders = floor.tell(events.SwitchUp(apart))
    assert effects.Bridge(customer, leg, bridge_of_leg(leg), tone=False, music=True) in orders
    assert floor.all(effects.Hangup, orders) == []


@pytest.mark.parametrize("conference", [False, True])
def test_a_restart_while_somebody_is_asked_leaves_the_customer_with_their_own_agent(conference: bool) -> None:
    floor, customer, leg, _ = asked()
    if conference:
        act(floor, A.CONFERENCE)
    phone = phone_of(floor)
    found = in_room(customer, leg, phone) if conference else (*in_room(leg, phone), *in_room(customer))
    again, orders = restarted(floor, *found)
    assert effects.Hangup(leg, bridge_of_leg(leg)) in orders
    attempt: Attempt = again.attempt(customer)
    assert attempt.agent == ANNA
    again.tell(events.LegBridged(customer))
    assert again.attempt(customer).state is CustomerState.TALKING


def test_what_the_switch_did_not_say_the_next_snapshot_does() -> None:
    floor, customer, leg, bridge = asked(answers=False)
    phone = phone_of(floor)
    alone = (*in_room(customer), *in_room(leg), *in_room(phone))
    assert effects.OpenBridge(leg, bridge) in floor.tell(events.SwitchUp(alone)), "they have answered"
    assert effects.OpenBridge(leg, bridge) in floor.tell(events.SwitchUp(alone)), "and are not where they should be"
    act(floor, A.CUSTOMER)
    heard = (*in_room(customer, leg, phone),)
    assert effects.OpenBridge(leg, bridge_of_leg(leg)) in floor.tell(events.SwitchUp(heard))
    floor.tell(events.SwitchUp((*in_room(customer, phone),)))
    assert phase(floor) is ConsultPhase.CUSTOMER, "so young a leg may be missing"
    floor.wait(SNAPSHOT_GRACE_MS + 1)
    floor.tell(events.SwitchUp((*in_room(customer, phone),)))
    assert phase(floor) is None, "they are gone"
    assert violations(floor.live) == []
