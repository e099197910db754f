"""Handing a customer on: to a colleague, to a team, or to oneself later. Nobody hears silence meanwhile."""

from __future__ import annotations

from engine.core import effects, events
from engine.core.invariants import violations
from engine.core.model import (
    Agent,
    AgentId,
    AgentState,
    CampaignId,
    CustomerState,
    LegId,
    LegKind,
    Outcome,
    QueueId,
)
from engine.core.pacing import Preview
from tests.conversation import (
    ANNA,
    BORYS,
    HOTLINE,
    MINUTE_MS,
    SOLD,
    Conversation,
    campaign,
    lead,
    policy,
    profile,
    queue,
)

SERVICE = CampaignId("service")
VIRA = AgentId("vira")


def talking(*leads: int, agents: tuple[AgentId, ...] = (ANNA,)) -> Conversation:
    """Anna talks with the first lead; the campaign has stopped, so that colleagues stay free."""
    floor = Conversation(*(lead(n) for n in leads or (1,)))
    floor.ready(*agents)
    floor.talk(floor.dialed()[0])
    floor.command(events.CampaignSwitched, campaign=floor.attempt(floor.dialed()[0]).campaign, running=False)
    return floor


def to_music(leg: LegId, agent: Agent) -> effects.Hold:
    assert agent.bridge is not None
    return effects.Hold(leg, agent.bridge, on=True)


def transfer(floor: Conversation, **where: object) -> str:
    refusal = floor.command(events.AgentTransfer, agent=ANNA, **where)
    assert violations(floor.live) == []
    return refusal


def test_a_colleague_who_is_ready_has_the_customer_at_once_and_the_card_with_them() -> None:
    floor = talking()
    floor.ready(BORYS)
    leg = floor.dialed()[0]
    before = len(floor.orders)
    assert transfer(floor, to=BORYS) == ""
    orders = floor.orders[before:]
    anna, borys = floor.agent(ANNA), floor.agent(BORYS)
    assert floor.all(effects.Hold, orders) == [to_music(leg, anna)], "out of her bridge, to music"
    (bridge,) = floor.all(effects.Bridge, orders)
    assert (bridge.customer, bridge.bridge, bridge.music) == (leg, borys.bridge, True)
    assert floor.all(effects.ScreenPop, orders)[0].agent == BORYS
    assert (anna.state, anna.attempt, borys.state) == (AgentState.WRAP_UP, None, AgentState.RESERVED)
    floor.tell(events.LegBridged(leg))
    assert floor.attempt(leg).agent == BORYS
    assert floor.dispose(floor.attempt(leg), SOLD, agent=ANNA) == "too_late", "the word is his now"
    floor.hang_up(leg)
    assert floor.end().attempt.outcome is Outcome.CONNECTED
    assert floor.agent(BORYS).state is AgentState.WRAP_UP


def test_who_waits_for_a_busy_colleague_gets_them_before_anybody_else() -> None:
    floor = talking(1, 2, agents=(ANNA, BORYS))
    first, second = floor.dialed()
    floor.talk(second)
    transfer(floor, to=BORYS)
    assert floor.attempt(first).state is CustomerState.WAITING
    floor.command(events.AgentReady, agent=ANNA)
    assert floor.agent(ANNA).state is AgentState.READY, "they do not wait for her"
    talk = floor.attempt(second)
    floor.hang_up(second)
    floor.dispose(talk, SOLD)
    assert floor.attempt(first).agent == BORYS


def test_after_the_wait_for_one_whoever_is_free_takes_them_and_at_the_end_stands_the_message() -> None:
    floor = talking(1, 2, agents=(ANNA, BORYS))
    first, second = floor.dialed()
    floor.talk(second)
    transfer(floor, to=BORYS)
    floor.wait(2 * MINUTE_MS)
    assert floor.attempt(first).agent == ANNA, "her wrap-up is over, and she is free"
    floor.tell(events.LegBridged(first))
    transfer(floor, to=BORYS)
    floor.command(events.AgentPause, agent=ANNA, reason="lunch")
    floor.wait(4 * MINUTE_MS)
    assert floor.all(effects.PlayMessageAndHangup)[-1].leg == first
    floor.hang_up(first)
    assert floor.end().attempt.outcome is Outcome.CONNECTED, "no abandoned answer: they had their conversation"


def test_a_team_that_serves_another_campaign_takes_the_customer() -> None:
    people = (profile(ANNA), profile(VIRA, campaigns=(SERVICE,)))
    floor = Conversation(
        lead(1), policy=policy(campaign(), campaign(id=SERVICE, name="Service"), agents=people), running=False
    )
    floor.command(events.CampaignSwitched, campaign=campaign().id, running=True)
    floor.ready(ANNA)
    leg = floor.dialed()[0]
    floor.talk(leg)
    assert transfer(floor, team=SERVICE) == "colleague_away"
    floor.ready(VIRA)
    assert transfer(floor, team=SERVICE) == ""
    assert floor.attempt(leg).agent == VIRA
    floor.tell(events.LegBridged(leg))
    assert floor.dispose(floor.attempt(leg), SOLD) == ""


def test_a_queue_takes_the_customer_to_whoever_serves_it_also_one_who_looks_at_the_next_client() -> None:
    people = (profile(ANNA), profile(VIRA, campaigns=(SERVICE,), queues=(HOTLINE,)))
    looks = campaign(id=SERVICE, name="Service", pacing=Preview(countdown_ms=0))
    rules = policy(campaign(), looks, agents=people, queues=(queue(),))
    floor = Conversation(lead(1), lead(2, campaign=SERVICE), policy=rules)
    floor.ready(ANNA)
    leg = floor.dialed()[0]
    floor.talk(leg)
    assert transfer(floor, queue=QueueId("none")) == "unknown_queue"
    assert transfer(floor, queue=HOTLINE) == "colleague_away"
    floor.ready(VIRA)
    assert floor.agent(VIRA).state is AgentState.PREVIEW
    assert transfer(floor, queue=HOTLINE) == ""
    assert floor.attempt(leg).agent == VIRA
    floor.tell(events.LegBridged(leg))
    assert floor.dispose(floor.attempt(leg), SOLD) == ""


def test_a_colleague_who_looks_at_the_next_client_is_given_the_customer() -> None:
    people = (profile(ANNA), profile(VIRA, campaigns=(SERVICE,)))
    looks = campaign(id=SERVICE, name="Service", pacing=Preview(countdown_ms=0))
    floor = Conversation(lead(1), lead(2, campaign=SERVICE), policy=policy(campaign(), looks, agents=people))
    floor.ready(ANNA, VIRA)
    leg = floor.dialed()[0]
    floor.talk(leg)
    assert transfer(floor, to=VIRA) == ""
    assert (floor.attempt(leg).agent, floor.agent(VIRA).previewed) == (VIRA, None)


def test_to_oneself_later_the_customer_comes_back_when_one_is_ready() -> None:
    floor = talking()
    floor.ready(BORYS)
    leg = floor.dialed()[0]
    transfer(floor, to=ANNA)
    assert floor.attempt(leg).agent is None, "not to a colleague who is free"
    floor.command(events.AgentReady, agent=ANNA)
    assert floor.attempt(leg).agent == ANNA


def test_nobody_is_handed_to_who_is_away() -> None:
    floor = talking()
    for where, refusal in (
        ({"to": BORYS}, "colleague_away"),
        ({"to": AgentId("nobody")}, "unknown_agent"),
        ({"team": CampaignId("none")}, "unknown_campaign"),
        ({}, "colleague_away"),
    ):
        assert transfer(floor, **where) == refusal
    assert floor.attempt(floor.dialed()[0]).state is CustomerState.TALKING


def test_a_customer_on_hold_is_handed_on_from_there() -> None:
    floor = talking()
    floor.ready(BORYS)
    floor.command(events.AgentHold, agent=ANNA, on=True)
    before = len(floor.orders)
    transfer(floor, to=BORYS)
    orders = floor.orders[before:]
    assert not floor.all(effects.Hold, orders)
    assert floor.all(effects.Bridge, orders)[0].music


def test_who_loses_their_operators_phone_hears_music_until_a_colleague_is_free() -> None:
    floor = talking()
    leg, anna = floor.dialed()[0], floor.agent(ANNA)
    assert anna.leg is not None
    orders = floor.hang_up(anna.leg)
    assert floor.all(effects.Hold, orders) == [to_music(leg, anna)]
    floor.wait(MINUTE_MS)
    assert floor.attempt(leg).state is CustomerState.WAITING
    floor.ready(BORYS)
    assert floor.attempt(leg).agent == BORYS


def test_a_customer_left_in_the_old_bridge_is_taken_out_of_it_again() -> None:
    floor = talking()
    leg, anna = floor.dialed()[0], floor.agent(ANNA)
    floor.ready(BORYS)
    floor.command(events.AgentPause, agent=BORYS, reason="lunch")
    transfer(floor, to=ANNA)
    found = (
        events.LegFound(leg, True, True, (LegId(str(anna.leg)),)),
        events.LegFound(LegId(str(anna.leg)), True, True, (leg,)),
    )
    orders = floor.tell(events.SwitchUp(found))
    assert to_music(leg, anna) in orders
    assert floor.attempt(leg).state is CustomerState.WAITING


def test_a_phone_that_is_called_on_demand_rings_for_a_transferred_customer() -> None:
    people = (profile(ANNA), profile(BORYS, leg_kind=LegKind.ON_DEMAND))
    floor = Conversation(lead(1), agents=people)
    floor.ready(ANNA)
    leg = floor.dialed()[0]
    floor.talk(leg)
    floor.ready(BORYS)
    transfer(floor, to=BORYS)
    call = floor.last(effects.OriginateAgent)
    orders = floor.tell(events.LegAnswered(call.leg))
    assert floor.all(effects.Bridge, orders)[0].customer == leg
