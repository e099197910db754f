"""After a restart or a lost link: join what the store remembers to what the switch has.

The switch is the truth about legs, the store about attempts. Audio is never touched: a conversation that goes on is
taken over as it is; what is gone is closed; what is nobody's is hung up. An unknown outcome is a spent attempt.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from engine.core import customers, desk, effects
from engine.core.events import LegFound, Restored, SwitchUp
from engine.core.live import Live
from engine.core.machines import AgentEvent, CustomerEvent
from engine.core.model import (
    Agent,
    AgentId,
    AgentState,
    Attempt,
    CustomerState,
    LegId,
    LegKind,
    Outcome,
    SystemPause,
    agent_of_leg,
    attempt_of_leg,
    bridge_of_leg,
)

#: A leg younger than this may be missing from a snapshot that was taken while it was being made.
SNAPSHOT_GRACE_MS: Final = 5_000


def restored(live: Live, event: Restored, now_ms: int) -> None:
    """What was on disk at the start; the first snapshot of the switch will say what became of it."""
    for campaign in event.running:
        if campaign in live.policy.campaigns:
            live.running[campaign] = True
    for attempt, lead in event.attempts:
        if attempt.campaign not in live.campaigns or attempt.trunk not in live.trunks:
            live.counters["restored_without_campaign"] += 1
            continue
        live.attempts[attempt.id] = replace(attempt, agent=None)
        live.leads[lead.id] = lead
        live.trunks[attempt.trunk].in_use += 1
    live.restored_ready = dict(event.logged_in)
    for agent_id, attempt, lead in event.undisposed:
        if agent_id in live.agents and attempt.campaign in live.campaigns:
            live.attempts[attempt.id] = attempt
            live.leads[lead.id] = lead
            live.put_agent(replace(live.agents[agent_id], attempt=attempt.id), now_ms)


def switch_up(live: Live, event: SwitchUp, now_ms: int) -> None:
    """The switch says what it has of ours: adopt, close, hang up."""
    live.switch_problem = ""
    found = {leg.leg: leg for leg in event.legs}
    for leg in event.legs:
        agent_id = agent_of_leg(leg.leg)
        if agent_id is not None:
            _agent_leg_found(live, agent_id, leg, now_ms)
    for leg in event.legs:
        attempt_id = attempt_of_leg(leg.leg)
        if attempt_id is not None:
            _customer_leg_found(live, live.attempts.get(attempt_id), leg, now_ms)
    for agent in list(live.agents.values()):
        if agent.leg is not None and agent.leg not in found and now_ms - agent.since_ms > SNAPSHOT_GRACE_MS:
            desk.leg_hung_up(live, agent, now_ms)
    for attempt in list(live.attempts.values()):
        if attempt.leg not in found and attempt.state is not CustomerState.ENDED:
            _customer_leg_missing(live, attempt, now_ms)
    _log_in_the_rest(live, now_ms)
    customers.offer_waiting(live, now_ms)


def _agent_leg_found(live: Live, agent_id: AgentId, leg: LegFound, now_ms: int) -> None:
    agent = live.agents.get(agent_id)
    if agent is None or (agent.leg is not None and agent.leg != leg.leg):
        live.emit(effects.Hangup(leg.leg, bridge_of_leg(leg.leg)))
        return
    if agent.leg == leg.leg:
        waits = agent.state is AgentState.CONNECTING or (agent.state is AgentState.RESERVED and not leg.bridged_with)
        if leg.answered and leg.ours_to_command and waits:
            desk.leg_answered(live, agent, now_ms)
        return
    if agent.state is AgentState.LOGGED_OUT and agent_id in live.restored_ready and leg.answered:
        _adopt_agent(live, agent, leg.leg, now_ms)
    else:
        live.emit(effects.Hangup(leg.leg, bridge_of_leg(leg.leg)))


def _adopt_agent(live: Live, agent: Agent, leg: LegId, now_ms: int) -> None:
    """An agent whose phone is still with us after our restart: their shift goes on."""
    wanted_ready = live.restored_ready.pop(agent.id)
    agent = replace(agent, leg=leg, bridge=bridge_of_leg(leg))
    agent = live.move_agent(agent, AgentEvent.LOGIN, now_ms)
    agent = live.move_agent(agent, AgentEvent.LEG_UP, now_ms, pause_reason=SystemPause.RESTARTED.value)
    if wanted_ready and agent.attempt is None:
        live.move_agent(agent, AgentEvent.READY, now_ms)


def _log_in_the_rest(live: Live, now_ms: int) -> None:
    """On-demand agents have no leg to find: their shift goes on. The others' phones are gone, and so are they."""
    for agent_id, wanted_ready in list(live.restored_ready.items()):
        live.restored_ready.pop(agent_id)
        agent = live.agents.get(agent_id)
        if agent is None or agent.state is not AgentState.LOGGED_OUT:
            continue
        if live.leg_kind(agent_id) is LegKind.ON_DEMAND:
            agent = live.move_agent(agent, AgentEvent.LOGIN, now_ms)
            agent = live.move_agent(agent, AgentEvent.LEG_UP, now_ms, pause_reason=SystemPause.RESTARTED.value)
            if wanted_ready and agent.attempt is None:
                live.move_agent(agent, AgentEvent.READY, now_ms)
        else:
            live.put_agent(agent, now_ms)


def _customer_leg_found(live: Live, attempt: Attempt | None, leg: LegFound, now_ms: int) -> None:
    if attempt is None or attempt.state is CustomerState.ENDED:
        live.emit(effects.Hangup(leg.leg))
        return
    if attempt.state is CustomerState.LEAVING:
        live.emit(effects.Hangup(leg.leg))
        return
    partner = next((a for a in map(agent_of_leg, leg.bridged_with) if a is not None), None)
    if partner is not None:
        _conversation_found(live, attempt, partner, now_ms)
    elif attempt.state in customers.UNANSWERED and leg.answered:
        if leg.ours_to_command:
            customers.answered(live, attempt, now_ms)
        # Else the dialplan has it: it plays the message, and its end will reach us.
    elif attempt.state is CustomerState.WAITING and attempt.agent is not None:
        _bridge_again(live, attempt)
    elif attempt.state in customers.CONVERSING and not leg.bridged_with:
        live.counters["conversations_unbridged"] += 1


def _conversation_found(live: Live, attempt: Attempt, partner: AgentId, now_ms: int) -> None:
    """They are talking, whatever we thought."""
    if attempt.state in customers.CONVERSING and attempt.agent == partner:
        return
    agent = live.agents.get(partner)
    if agent is None or (agent.attempt is not None and agent.attempt != attempt.id):
        live.counters["conversations_unexplained"] += 1
        return
    if attempt.state in customers.UNANSWERED:
        attempt = live.move_attempt(attempt, CustomerEvent.ANSWERED, now_ms, answered_at_ms=now_ms)
    if attempt.state is CustomerState.WAITING:
        if agent.state is AgentState.PAUSED:
            agent = live.move_agent(agent, AgentEvent.READY, now_ms)
        if agent.state is AgentState.READY:
            agent = live.move_agent(agent, AgentEvent.RESERVE, now_ms, attempt=attempt.id, disposed=False)
        if agent.state is AgentState.RESERVED:
            live.attempts[attempt.id] = replace(attempt, agent=partner)
            customers.bridged(live, live.attempts[attempt.id], now_ms)
            live.emit(effects.ScreenPop(partner, live.attempts[attempt.id]))


def _bridge_again(live: Live, attempt: Attempt) -> None:
    """The order to bridge may have been lost with the link."""
    agent = live.agents[attempt.agent] if attempt.agent else None
    if agent is None or agent.leg is None or agent.bridge is None or live.leg_kind(agent.id) is LegKind.ON_DEMAND:
        return
    live.emit(effects.Bridge(attempt.leg, agent.leg, agent.bridge))


def _customer_leg_missing(live: Live, attempt: Attempt, now_ms: int) -> None:
    """Gone while nobody looked: close it by what is known. If the phone may have rung, it counts."""
    young = now_ms - max(attempt.planned_at_ms, attempt.answered_at_ms or 0) < SNAPSHOT_GRACE_MS
    if young and attempt.state is not CustomerState.LEAVING:
        live.emit(effects.SetTimer(("life", attempt.id), now_ms + SNAPSHOT_GRACE_MS))
        return
    if attempt.bridged_at_ms is not None:
        outcome = Outcome.CONNECTED
    elif attempt.outcome is not None:
        outcome = attempt.outcome
    elif attempt.answered_at_ms is not None:
        outcome = Outcome.ABANDONED  # nobody knows: the law's counter takes the worse case
    else:
        outcome = Outcome.LOST
    ended = live.move_attempt(attempt, CustomerEvent.HUNG_UP, now_ms)
    live.end_attempt(ended, outcome, now_ms)


def resync_due(live: Live, now_ms: int, every_ms: int) -> None:
    """While calls are live the switch is asked now and then: a lost event must strand nobody."""
    if live.talking() and not live.switch_problem:
        live.emit(effects.AskSwitch())
    live.emit(effects.SetTimer(("resync", ""), now_ms + every_ms))
