"""Asking a colleague about the customer in hand, and what may come of it: music for the customer, or all three talk."""

from __future__ import annotations

import pytest

from engine.core import effects, events
from engine.core.invariants import violations
from engine.core.model import (
    Agent,
    AgentId,
    AgentState,
    ConsultAct,
    ConsultPhase,
    CustomerState,
    LegId,
    LegKind,
    Outcome,
)
from tests.conversation import ANNA, BORYS, SOLD, Conversation, campaign, lead, policy, profile

A = ConsultAct
VIRA = AgentId("vira")


def talking(*, kind: LegKind = LegKind.NAILED_UP) -> tuple[Conversation, LegId]:
    """Anna talks with the only lead, Borys is ready."""
    people = (profile(ANNA), profile(BORYS, leg_kind=kind), profile(VIRA))
    floor = Conversation(lead(1), policy=policy(campaign(), agents=people))
    floor.ready(ANNA)
    (leg,) = floor.dialed()
    floor.talk(leg)
    floor.ready(BORYS)
    return floor, leg


def consult(floor: Conversation, act: ConsultAct, to: AgentId | None = None) -> str:
    refusal = floor.command(events.AgentConsult, agent=ANNA, act=act, to=to)
    assert violations(floor.live) == []
    return refusal


def leg_of(agent: Agent) -> LegId:
    assert agent.leg is not None
    return agent.leg


def to_bridge_of(host: Agent, guest: Agent) -> effects.OpenBridge:
    assert host.bridge is not None
    return effects.OpenBridge(leg_of(guest), host.bridge)


def hold(leg: LegId, agent: Agent, *, on: bool) -> effects.Hold:
    assert agent.bridge is not None
    return effects.Hold(leg, agent.bridge, on)


def phase(floor: Conversation) -> ConsultPhase | None:
    asked = floor.agent(ANNA).consult
    return asked.phase if asked is not None else None


def orders_of(floor: Conversation, act: ConsultAct, to: AgentId | None = None) -> list[effects.Effect]:
    before = len(floor.orders)
    assert consult(floor, act, to) == ""
    moves = (effects.Hold, effects.OpenBridge, effects.Bridge, effects.Hangup)
    return [order for order in floor.orders[before:] if isinstance(order, moves)]


def test_a_colleague_is_asked_while_the_customer_hears_music_and_takes_them_over() -> None:
    floor, leg = talking()
    anna, borys = floor.agent(ANNA), floor.agent(BORYS)
    assert orders_of(floor, A.START, BORYS) == [hold(leg, anna, on=True), to_bridge_of(anna, borys)]
    assert (floor.agent(BORYS).state, phase(floor)) == (AgentState.HELPING, ConsultPhase.PRIVATE)
    assert floor.attempt(leg).state is CustomerState.HELD

    orders = orders_of(floor, A.COMPLETE)
    assert orders[0] == to_bridge_of(borys, borys), "first into his own bridge"
    (bridge,) = floor.all(effects.Bridge, orders)
    assert (bridge.customer, bridge.agent, bridge.bridge, bridge.music) == (leg, borys.leg, borys.bridge, True)
    assert floor.last(effects.ScreenPop).agent == BORYS, "with the card"
    floor.tell(events.LegBridged(leg))
    assert floor.attempt(leg).agent == BORYS
    assert (floor.agent(ANNA).state, floor.agent(ANNA).attempt) == (AgentState.WRAP_UP, None)
    assert consult(floor, A.COMPLETE) == "no_call", "pressed twice it does nothing more"
    floor.hang_up(leg)
    assert floor.end().attempt.outcome is Outcome.CONNECTED
    assert floor.dispose(floor.attempt(leg), SOLD) == ""


def test_to_and_fro_then_all_three_then_with_the_customer_alone() -> None:
    floor, leg = talking()
    anna, borys = floor.agent(ANNA), floor.agent(BORYS)
    consult(floor, A.START, BORYS)
    assert orders_of(floor, A.CUSTOMER) == [hold(leg, anna, on=False), to_bridge_of(borys, borys)]
    assert orders_of(floor, A.COLLEAGUE) == [hold(leg, anna, on=True), to_bridge_of(anna, borys)]
    assert orders_of(floor, A.CONFERENCE) == [hold(leg, anna, on=False), to_bridge_of(anna, borys)]
    assert floor.attempt(leg).state is CustomerState.TALKING
    assert orders_of(floor, A.END) == [to_bridge_of(borys, borys)]
    assert (phase(floor), floor.agent(BORYS).state) == (None, AgentState.READY)
    assert floor.attempt(leg).agent == ANNA
    assert orders_of(floor, A.END) == [], "pressed twice it does nothing more"


def test_a_conference_is_left_and_the_customer_stays_with_the_colleague() -> None:
    floor, leg = talking()
    consult(floor, A.START, BORYS)
    consult(floor, A.CONFERENCE)
    consult(floor, A.COMPLETE)
    floor.tell(events.LegBridged(leg))
    assert floor.attempt(leg).agent == BORYS
    assert floor.agent(ANNA).state is AgentState.WRAP_UP


@pytest.mark.parametrize("act", [A.COLLEAGUE, A.CUSTOMER, A.CONFERENCE])
def test_each_button_pressed_twice_leads_to_the_same_place(act: ConsultAct) -> None:
    floor, _ = talking()
    consult(floor, A.START, BORYS)
    assert consult(floor, A.START, BORYS) == ""
    consult(floor, act)
    reached = phase(floor)
    consult(floor, act)
    assert phase(floor) is reached


def test_who_hangs_up_while_a_colleague_is_asked_loses_no_customer() -> None:
    floor, leg = talking()
    for who in (ANNA, BORYS):
        consult(floor, A.START, BORYS)
        assert floor.command(events.AgentHangup, agent=who) == ""
        assert floor.agent(BORYS).state is AgentState.READY
        assert floor.attempt(leg).agent == ANNA
    assert floor.attempt(leg).state is CustomerState.HELD, "the colleague left: she takes the customer back herself"
    assert floor.command(events.AgentHold, agent=ANNA, on=False) == ""
    assert violations(floor.live) == []


def test_hold_waits_for_the_end_of_the_asking() -> None:
    floor, _ = talking()
    consult(floor, A.START, BORYS)
    assert floor.command(events.AgentHold, agent=ANNA, on=False) == "consulting"


def test_a_customer_who_hangs_up_meanwhile_leaves_the_colleague_free() -> None:
    floor, leg = talking()
    borys = floor.agent(BORYS)
    consult(floor, A.START, BORYS)
    orders = floor.hang_up(leg)
    assert to_bridge_of(borys, borys) in orders
    assert (floor.agent(ANNA).state, floor.agent(BORYS).state) == (AgentState.WRAP_UP, AgentState.READY)
    assert violations(floor.live) == []


@pytest.mark.parametrize("act", [A.COLLEAGUE, A.CONFERENCE])
def test_a_lost_phone_of_either_ends_the_asking_and_strands_nobody(act: ConsultAct) -> None:
    floor, leg = talking()
    consult(floor, A.START, BORYS)
    consult(floor, act)
    floor.hang_up(leg_of(floor.agent(BORYS)))
    assert violations(floor.live) == []
    assert (phase(floor), floor.agent(BORYS).state) == (None, AgentState.LOGGED_OUT)
    floor.ready(VIRA)
    floor.command(events.AgentHold, agent=ANNA, on=False)
    consult(floor, A.START, VIRA)
    consult(floor, act)
    floor.hang_up(leg_of(floor.agent(ANNA)))
    assert violations(floor.live) == []
    assert floor.attempt(leg).agent == VIRA, "she is ready again, and has the customer at once"


@pytest.mark.parametrize("asking", [ANNA, BORYS])
@pytest.mark.parametrize("kind", LegKind)
def test_a_snapshot_without_either_phone_ends_the_asking(asking: AgentId, kind: LegKind) -> None:
    people = (profile(ANNA, leg_kind=kind), profile(BORYS, leg_kind=kind))
    floor = Conversation(lead(1), policy=policy(campaign(), agents=people))
    asked = BORYS if asking == ANNA else ANNA
    floor.ready(asking)
    (leg,) = floor.dialed()
    floor.answer(leg)
    if kind is LegKind.ON_DEMAND:
        floor.tell(events.LegAnswered(leg_of(floor.agent(asking))))
    floor.tell(events.LegBridged(leg))
    floor.ready(asked)
    assert floor.command(events.AgentConsult, agent=asking, act=A.START, to=asked) == ""
    if kind is LegKind.ON_DEMAND:
        floor.tell(events.LegAnswered(leg_of(floor.agent(asked))))
    assert floor.agent(asked).state is AgentState.HELPING
    floor.wait(60_000)
    floor.tell(events.SwitchUp(()))
    assert floor.agent(asking).consult is None
    assert floor.agent(asked).helps is None
    assert violations(floor.live) == []


def test_only_a_colleague_who_is_free_can_be_asked_and_only_one() -> None:
    floor, _ = talking()
    assert consult(floor, A.START, ANNA) == "unknown_agent"
    assert consult(floor, A.START, VIRA) == "colleague_away"
    assert consult(floor, A.CONFERENCE) == "no_colleague"
    floor.ready(VIRA)
    consult(floor, A.START, BORYS)
    assert consult(floor, A.START, VIRA) == "consulting"
    assert floor.command(events.AgentConsult, agent=VIRA, act=A.START, to=ANNA) == "no_call"


def test_a_pause_asked_for_while_helping_begins_when_it_is_over() -> None:
    floor, _ = talking()
    consult(floor, A.START, BORYS)
    assert floor.command(events.AgentPause, agent=BORYS, reason="lunch") == ""
    consult(floor, A.END)
    assert floor.agent(BORYS).state is AgentState.PAUSED


def test_a_phone_that_is_called_per_conversation_rings_and_joins_when_it_is_lifted() -> None:
    floor, leg = talking(kind=LegKind.ON_DEMAND)
    consult(floor, A.START, BORYS)
    rings = floor.last(effects.OriginateAgent)
    assert (rings.agent, phase(floor)) == (BORYS, ConsultPhase.CALLING)
    assert consult(floor, A.CONFERENCE) == "colleague_rings"
    floor.tell(events.LegAnswered(rings.leg))
    assert phase(floor) is ConsultPhase.PRIVATE
    assert to_bridge_of(floor.agent(ANNA), floor.agent(BORYS)) in floor.orders
    orders = orders_of(floor, A.COMPLETE)
    assert floor.all(effects.Bridge, orders), "the phone is up: it is not called again"
    floor.tell(events.LegBridged(leg))
    assert floor.attempt(leg).agent == BORYS
    assert violations(floor.live) == []


def test_a_colleague_whose_phone_nobody_lifts_is_paused_and_the_customer_waits_for_their_own_agent() -> None:
    floor, leg = talking(kind=LegKind.ON_DEMAND)
    consult(floor, A.START, BORYS)
    floor.wait(15_000)
    assert floor.agent(BORYS).state is AgentState.PAUSED
    assert (phase(floor), floor.attempt(leg).state) == (None, CustomerState.HELD)
    assert violations(floor.live) == []


def test_a_colleague_who_did_not_arrive_or_did_not_leave_is_put_right_by_the_next_snapshot() -> None:
    floor, leg = talking()
    anna, borys = leg_of(floor.agent(ANNA)), leg_of(floor.agent(BORYS))
    consult(floor, A.START, BORYS)
    lonely = (events.LegFound(anna, True, True), events.LegFound(borys, True, True), events.LegFound(leg, True, True))
    assert to_bridge_of(floor.agent(ANNA), floor.agent(BORYS)) in floor.tell(events.SwitchUp(lonely))
    consult(floor, A.CUSTOMER)
    crowd = tuple(
        events.LegFound(one, True, True, tuple(o for o in (anna, borys, leg) if o != one)) for one in (anna, borys, leg)
    )
    orders = floor.tell(events.SwitchUp(crowd))
    assert floor.all(effects.OpenBridge, orders) == [to_bridge_of(floor.agent(BORYS), floor.agent(BORYS))]
    assert floor.attempt(leg).agent == ANNA
    assert violations(floor.live) == []


@pytest.mark.parametrize("conference", [False, True])
def test_after_a_restart_the_colleague_is_free_and_the_customer_with_their_own_agent(conference: bool) -> None:
    floor, leg = talking()
    consult(floor, A.START, BORYS)
    if conference:
        consult(floor, A.CONFERENCE)
    anna, borys = leg_of(floor.agent(ANNA)), leg_of(floor.agent(BORYS))
    on_disk = [o.agent for o in floor.orders if isinstance(o, effects.SaveAgent) and o.agent.id == BORYS][-1]
    assert on_disk.state is AgentState.READY
    attempt = floor.attempt(leg)

    people = (profile(ANNA), profile(BORYS))
    again = Conversation(policy=policy(campaign(), agents=people), epoch=2, link=False, running=False)
    again.tell(
        events.Restored(
            attempts=((attempt, floor.live.leads[attempt.lead]),),  # type: ignore[index]
            undisposed=(),
            logged_in=((ANNA, True), (BORYS, True)),
            running=(),
        )
    )
    together = (anna, borys, leg) if conference else (anna, borys)
    orders = again.tell(
        events.SwitchUp(
            tuple(
                events.LegFound(one, True, True, tuple(o for o in together if o != one) if one in together else ())
                for one in (anna, borys, leg)
            )
        )
    )
    assert violations(again.live) == []
    assert again.attempt(leg).agent == ANNA
    assert to_bridge_of(again.agent(BORYS), again.agent(BORYS)) in orders
    assert again.agent(BORYS).state is AgentState.READY
    if not conference:
        (bridge,) = again.all(effects.Bridge, orders)
        assert (bridge.customer, bridge.agent) == (leg, anna)
