"""Asking a colleague while the customer hears music; then handing the customer over, all three together, or back.

Theory of operation. The colleague's leg visits the bridge of the agent who asks, and the customer leaves it (on hold)
or stays: that is all that the phases are. So each of them is a place for two legs, ordering it twice changes nothing,
and a snapshot tells which order was lost. The conversation stays the asking agent's until it is handed over; whoever
loses their phone or hangs up ends the asking alone. It lives in memory: after a restart the colleague is free, and the
customer with their own agent.
"""

from __future__ import annotations

from dataclasses import replace

from engine.core import customers, effects, handover
from engine.core.events import AgentConsult, LegFound
from engine.core.live import Live
from engine.core.machines import AgentEvent, CustomerEvent
from engine.core.model import (
    Agent,
    AgentId,
    AgentState,
    Attempt,
    Consult,
    ConsultAct,
    ConsultPhase,
    CustomerState,
    LegId,
    LegKind,
    Refusal,
    SystemPause,
    agent_of_leg,
    bridge_of_leg,
)

#: Phases in which the colleague's leg is in the asking agent's bridge.
_VISITING = frozenset({ConsultPhase.PRIVATE, ConsultPhase.CONFERENCE})
_PHASES = {
    ConsultAct.COLLEAGUE: ConsultPhase.PRIVATE,
    ConsultAct.CUSTOMER: ConsultPhase.CUSTOMER,
    ConsultAct.CONFERENCE: ConsultPhase.CONFERENCE,
}


def command(live: Live, event: AgentConsult, now_ms: int) -> str:
    """Ask a colleague, go to and fro, bring all three together, hand the customer over, or end it."""
    found = handover.in_conversation(live, event.agent)
    if isinstance(found, str):
        return found
    agent, attempt = found
    if event.act is ConsultAct.START:
        return _start(live, event, agent, attempt, now_ms)
    if event.act is ConsultAct.END:
        end(live, agent, now_ms)
        return ""
    if agent.consult is None:
        return Refusal.NO_COLLEAGUE
    if agent.consult.phase is ConsultPhase.CALLING:
        return Refusal.COLLEAGUE_RINGS
    if event.act is ConsultAct.COMPLETE:
        _hand_over(live, agent, agent.consult, attempt, event.by, now_ms)
    else:
        _go(live, agent, agent.consult, _PHASES[event.act], now_ms)
    return ""


def _start(live: Live, event: AgentConsult, agent: Agent, attempt: Attempt, now_ms: int) -> str:
    colleague = live.agents.get(event.to) if event.to is not None else None
    if colleague is None or colleague.id == agent.id or colleague.id not in live.policy.agents:
        return Refusal.UNKNOWN_AGENT
    if agent.consult is not None:
        return "" if agent.consult.colleague == colleague.id else Refusal.CONSULTING
    looks = colleague.previewed is not None and colleague.previewed.lead not in live.to_dial
    if colleague.state is not AgentState.READY and not looks:
        return Refusal.COLLEAGUE_BUSY if colleague.state in handover.AT_WORK else Refusal.COLLEAGUE_AWAY
    if looks:
        colleague = live.move_agent(colleague, AgentEvent.PREVIEW_OVER, now_ms)
    _call(live, agent, colleague, attempt, now_ms)
    live.emit(
        effects.SaveAudit(at_ms=now_ms, by=event.by, action="colleague_asked", subject=attempt.id, detail=colleague.id)
    )
    return ""


def _call(live: Live, agent: Agent, colleague: Agent, attempt: Attempt, now_ms: int) -> None:
    """Bring the colleague: a nailed-up one is there at once, another one's phone rings."""
    colleague = live.move_agent(colleague, AgentEvent.ASKED, now_ms, helps=agent.id)
    consult = Consult(colleague=colleague.id, phase=ConsultPhase.CALLING)
    if live.leg_kind(colleague.id) is LegKind.NAILED_UP:
        _go(live, agent, consult, ConsultPhase.PRIVATE, now_ms)
        return
    live.put_agent(replace(agent, consult=consult), now_ms)
    _hold(live, live.agents[agent.id], attempt, now_ms, on=True)
    profile, leg = live.profiles[colleague.id], live.new_agent_leg(colleague.id)
    live.put_agent(replace(colleague, leg=leg, bridge=bridge_of_leg(leg)), now_ms)
    live.emit(
        effects.OriginateAgent(
            leg=leg,
            agent=colleague.id,
            phone=profile.phone,
            auto_answer=profile.auto_answer,
            ring_timeout_ms=profile.offer_timeout_ms,
        ),
        effects.SetTimer(("offer", colleague.id), now_ms + profile.offer_timeout_ms),
    )


def answered(live: Live, colleague: Agent, now_ms: int) -> None:
    """The colleague lifted their phone."""
    agent = live.agents[colleague.helps] if colleague.helps else None
    if agent is None or agent.consult is None or agent.consult.phase is not ConsultPhase.CALLING:
        live.counters["strange_events"] += 1
        return
    live.emit(effects.CancelTimer(("offer", colleague.id)))
    _go(live, agent, agent.consult, ConsultPhase.PRIVATE, now_ms)
    live.emit(effects.AgentChanged(live.agents[colleague.id]))  # no longer do they have to lift it


def _go(live: Live, agent: Agent, consult: Consult, phase: ConsultPhase, now_ms: int) -> None:
    """The customer first: what colleagues say to one another is not for them."""
    assert agent.attempt is not None
    attempt = live.attempts[agent.attempt]
    if agent.consult != replace(consult, phase=phase):
        agent = replace(agent, consult=replace(consult, phase=phase))
        live.put_agent(agent, now_ms)
    _hold(live, agent, attempt, now_ms, on=phase is ConsultPhase.PRIVATE)
    _place(live, agent, live.agents[consult.colleague], phase)


def _place(live: Live, agent: Agent, colleague: Agent, phase: ConsultPhase) -> None:
    """The colleague's leg goes where the phase has it."""
    bridge = agent.bridge if phase in _VISITING else colleague.bridge
    assert colleague.leg is not None
    assert bridge is not None
    live.emit(effects.OpenBridge(colleague.leg, bridge))


def _hold(live: Live, agent: Agent, attempt: Attempt, now_ms: int, *, on: bool) -> None:
    if (attempt.state is CustomerState.HELD) is not on:
        assert agent.bridge is not None
        live.move_attempt(attempt, CustomerEvent.HELD if on else CustomerEvent.RESUMED, now_ms)
        live.emit(effects.Hold(attempt.leg, agent.bridge, on))


def _hand_over(live: Live, agent: Agent, consult: Consult, attempt: Attempt, by: str, now_ms: int) -> None:
    """The customer is the colleague's now, at once: both have agreed on it."""
    colleague = live.agents[consult.colleague]
    _place(live, agent, colleague, ConsultPhase.CUSTOMER)
    live.move_agent(colleague, AgentEvent.RELEASED, now_ms)
    handover.hand_on(live, live.agents[agent.id], attempt, to=colleague.id, by=by, now_ms=now_ms)
    customers.give(live, live.attempts[attempt.id], colleague.id, now_ms)


def end(live: Live, agent: Agent, now_ms: int) -> None:
    """The colleague is free, and the agent with the customer again. Nobody asked: as it is."""
    if agent.consult is None or agent.attempt is None:
        return
    attempt = live.attempts[agent.attempt]
    live.end_consult(agent, now_ms)
    _hold(live, live.agents[agent.id], attempt, now_ms, on=False)


def leave(live: Live, colleague: Agent, now_ms: int) -> None:
    """The colleague has said what they had to say; a customer on hold is the asking agent's to take back."""
    agent = live.agents[colleague.helps] if colleague.helps else None
    if agent is not None:
        live.end_consult(agent, now_ms)


def rang_out(live: Live, colleague: Agent, now_ms: int) -> None:
    """Nobody lifted the colleague's phone."""
    pause = SystemPause.NO_ANSWER.value
    colleague = live.move_agent(colleague, AgentEvent.OFFER_TIMEOUT, now_ms, pause_reason=pause)
    live.drop_on_demand_leg(colleague, now_ms)
    live.grant_wish(live.agents[colleague.id], now_ms)


def rings(live: Live, colleague: Agent) -> bool:
    """Whether the colleague's phone is being called."""
    agent = live.agents.get(colleague.helps) if colleague.helps else None
    return agent is not None and agent.consult is not None and agent.consult.phase is ConsultPhase.CALLING


def found(live: Live, legs: dict[LegId, LegFound], now_ms: int) -> None:
    """The snapshot's truth: who hears a colleague and should not, or does not and should."""
    for agent in list(live.agents.values()):
        leg = legs.get(agent.leg) if agent.leg is not None else None
        if leg is None or not leg.answered:
            continue
        with_ = {one for one in map(agent_of_leg, leg.bridged_with) if one is not None}
        if agent.consult is not None and agent.consult.phase in _VISITING:
            colleague = live.agents[agent.consult.colleague]
            if colleague.leg in legs and colleague.id not in with_:
                live.counters["consults_repeated"] += 1
                _place(live, agent, colleague, agent.consult.phase)
        if _astray(live, agent, with_):
            live.counters["consults_repeated"] += 1
            _back(live, agent, leg, now_ms)


def _astray(live: Live, agent: Agent, with_: set[AgentId]) -> bool:
    """Whether they hear a colleague with whom they have nothing to do any more."""
    host = live.agents.get(agent.helps) if agent.helps else None
    if host is not None and host.consult is not None and host.consult.phase in _VISITING:
        with_ = with_ - {host.id}
    if agent.consult is not None and agent.consult.phase in _VISITING:
        with_ = with_ - {agent.consult.colleague}
    return bool(with_)


def _back(live: Live, agent: Agent, leg: LegFound, now_ms: int) -> None:
    """Into their own bridge; who talks with a customer there is in it already."""
    attempt = live.attempts.get(agent.attempt) if agent.attempt else None
    if attempt is not None and attempt.leg in leg.bridged_with:
        return
    if live.leg_kind(agent.id) is LegKind.ON_DEMAND and agent.attempt is None and agent.helps is None:
        live.drop_on_demand_leg(agent, now_ms)
    elif agent.leg is not None and agent.bridge is not None:
        live.emit(effects.OpenBridge(agent.leg, agent.bridge))
