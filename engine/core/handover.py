"""Blind transfers: a customer goes on to a colleague, a team, a queue, or waits for them again.

Theory of operation. Whoever hands a customer on is out at once and has their wrap-up; the customer hears music and is
again one who waits, with a time limit: for one operator (`wanted`) first, and when that has run out for anyone of the
team. They had their conversation, so nothing here counts as abandoned; at the end of all waiting stands the message.
"""

from __future__ import annotations

from typing import Final

from engine.core import customers, effects
from engine.core.events import AgentTransfer
from engine.core.live import Live
from engine.core.machines import CustomerEvent
from engine.core.model import (
    Agent,
    AgentId,
    AgentState,
    Attempt,
    CampaignId,
    CustomerState,
    Refusal,
    queue_seat,
)
from engine.core.values import replace

#: Colleagues who take a customer now, or when they are through with theirs.
AT_WORK: Final = frozenset(
    {
        AgentState.READY,
        AgentState.PREVIEW,
        AgentState.RESERVED,
        AgentState.TALKING,
        AgentState.HELPING,
        AgentState.WRAP_UP,
    }
)


def transfer(live: Live, event: AgentTransfer, now_ms: int) -> str:
    """Hand the customer on: to a colleague, to a team, or back to oneself after a wait (`to` is the agent)."""
    found = in_conversation(live, event.agent)
    if isinstance(found, str):
        return found
    agent, attempt = found
    refusal = _nobody(live, event, agent, attempt)
    if not refusal:
        hand_on(live, agent, attempt, to=event.to, team=_team(event), by=event.by, now_ms=now_ms)
    return refusal


def in_conversation(live: Live, agent_id: AgentId) -> tuple[Agent, Attempt] | str:
    """The agent and the customer they talk with, or have on hold; else why they can do nothing with anybody."""
    agent = live.agents.get(agent_id)
    attempt = live.attempts.get(agent.attempt) if agent is not None and agent.attempt else None
    if agent is None or attempt is None or agent.state is not AgentState.TALKING:
        return Refusal.NO_CALL
    if attempt.state not in customers.CONVERSING:
        return Refusal.NO_CALL
    return Refusal.SWITCH_DOWN if live.switch_problem else (agent, attempt)


def _nobody(live: Live, event: AgentTransfer, agent: Agent, attempt: Attempt) -> str:
    if event.team is not None and event.team not in live.policy.campaigns:
        return Refusal.UNKNOWN_CAMPAIGN
    if event.queue is not None and event.queue not in live.policy.queues:
        return Refusal.UNKNOWN_QUEUE
    if event.to is not None:
        to = live.agents.get(event.to)
        if to is None:
            return Refusal.UNKNOWN_AGENT
        leaves = to.wish is AgentState.LOGGED_OUT
        return "" if to.state in AT_WORK and not leaves else Refusal.COLLEAGUE_AWAY
    seat = _team(event) or attempt.seat
    others = (one for one in live.agents.values() if one.id != agent.id and one.state in AT_WORK)
    return "" if any(seat in live.seats_of(one.id) for one in others) else Refusal.COLLEAGUE_AWAY


def _team(event: AgentTransfer) -> CampaignId | None:
    return queue_seat(event.queue) if event.queue is not None else event.team


def hand_on(
    live: Live,
    agent: Agent,
    attempt: Attempt,
    *,
    to: AgentId | None,
    team: CampaignId | None = None,
    by: str,
    now_ms: int,
) -> None:
    """The customer waits for another one, with music; the agent is out."""
    assert agent.bridge is not None
    if attempt.state is CustomerState.TALKING:  # else they hear music already
        live.emit(effects.Hold(attempt.leg, agent.bridge, on=True))
    attempt = replace(attempt, agent=None, team=team if team is not None else attempt.team, wanted=to)
    attempt = live.move_attempt(attempt, CustomerEvent.HANDED_ON, now_ms)
    live.emit(
        effects.SetTimer(("abandon", attempt.id), now_ms + customers.wait_ms(live, attempt)),
        effects.SaveAudit(
            at_ms=now_ms,
            by=by,
            action="call_transferred",
            subject=attempt.id,
            detail=to or attempt.seat,
        ),
    )
    live.start_wrap_up(agent, attempt, now_ms)
    live.put_agent(replace(live.agents[agent.id], attempt=None, disposed=False), now_ms)
