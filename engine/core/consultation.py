"""Asking somebody while the customer hears music; then handing the customer over, all three together, or back.

Theory of operation. The leg of who is asked, a colleague or somebody outside, visits the bridge of the agent who asks,
and the customer leaves it (on hold) or stays: that is all that the phases are. So each of them is a place for two legs,
ordering it twice changes nothing, and a snapshot tells which order was lost. The conversation stays the asking agent's
until it is handed over; whoever loses their phone or hangs up ends the asking alone. It lives in memory: after a
restart the colleague is free, who was asked outside is hung up, and the customer is with their own agent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from engine.core import customers, effects, handover, outside
from engine.core.events import AgentConsult, LegFound
from engine.core.live import SNAPSHOT_GRACE_MS, Live
from engine.core.machines import AgentEvent
from engine.core.model import (
    Agent,
    AgentId,
    AgentState,
    Attempt,
    BridgeId,
    Consult,
    ConsultAct,
    ConsultPhase,
    LegId,
    LegKind,
    Refusal,
    SystemPause,
    agent_of_leg,
    attempt_of_outside,
    bridge_of_leg,
)
from engine.core.values import replace

#: Phases in which the colleague's leg is in the asking agent's bridge.
_VISITING = frozenset({ConsultPhase.PRIVATE, ConsultPhase.CONFERENCE})
_PHASES = {
    ConsultAct.COLLEAGUE: ConsultPhase.PRIVATE,
    ConsultAct.CUSTOMER: ConsultPhase.CUSTOMER,
    ConsultAct.CONFERENCE: ConsultPhase.CONFERENCE,
}


def command(live: Live, event: AgentConsult, now_ms: int) -> str | None:
    """Ask somebody, go to and fro, bring all three together, hand the customer over, or end it.

    None: the answer follows when a number outside is saved and asked about.
    """
    if event.act is ConsultAct.START and event.number is not None:
        return outside.ask(live, event, event.number, now_ms)
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
    consult = Consult(phase=ConsultPhase.CALLING, colleague=colleague.id)
    if live.leg_kind(colleague.id) is LegKind.NAILED_UP:
        _go(live, agent, consult, ConsultPhase.PRIVATE, now_ms)
        return
    live.put_agent(replace(agent, consult=consult), now_ms)
    customers.hold(live, live.agents[agent.id], attempt, now_ms, on=True)
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


def answered_outside(live: Live, leg: LegId, now_ms: int) -> bool:
    """Somebody outside lifted their phone. Whether anybody asks them."""
    agent = outside.asking(live, leg)
    if agent is not None and agent.consult is not None and agent.consult.phase is ConsultPhase.CALLING:
        _go(live, agent, agent.consult, ConsultPhase.PRIVATE, now_ms)
    return agent is not None


def _go(live: Live, agent: Agent, consult: Consult, phase: ConsultPhase, now_ms: int) -> None:
    """The customer first: what colleagues say to one another is not for them."""
    assert agent.attempt is not None
    attempt = live.attempts[agent.attempt]
    if agent.consult != replace(consult, phase=phase):
        agent = replace(agent, consult=replace(consult, phase=phase))
        live.put_agent(agent, now_ms)
    customers.hold(live, agent, attempt, now_ms, on=phase is ConsultPhase.PRIVATE)
    _place(live, agent, consult, phase)


def _place(live: Live, agent: Agent, consult: Consult, phase: ConsultPhase) -> None:
    """The leg of who is asked goes where the phase has it."""
    leg, own = _asked(live, agent, consult)
    bridge = agent.bridge if phase in _VISITING else own
    assert bridge is not None
    live.emit(effects.OpenBridge(leg, bridge))


def _asked(live: Live, agent: Agent, consult: Consult) -> tuple[LegId, BridgeId]:
    """The leg of who is asked, and its own bridge."""
    if consult.colleague is None:
        assert agent.attempt is not None
        leg = live.outside[agent.attempt]
        return leg, bridge_of_leg(leg)
    colleague = live.agents[consult.colleague]
    assert colleague.leg is not None
    assert colleague.bridge is not None
    return colleague.leg, colleague.bridge


def _hand_over(live: Live, agent: Agent, consult: Consult, attempt: Attempt, by: str, now_ms: int) -> None:
    """The customer is theirs now, at once: both have agreed on it."""
    if consult.out is not None:
        outside.hand_over(live, agent, attempt, consult.out, by, now_ms)
        return
    assert consult.colleague is not None
    colleague = live.agents[consult.colleague]
    _place(live, agent, consult, ConsultPhase.CUSTOMER)
    live.move_agent(colleague, AgentEvent.RELEASED, now_ms)
    handover.hand_on(live, live.agents[agent.id], attempt, to=colleague.id, by=by, now_ms=now_ms)
    customers.give(live, live.attempts[attempt.id], colleague.id, now_ms)


def end(live: Live, agent: Agent, now_ms: int) -> None:
    """Who was asked is out, and the agent with the customer again. Nobody asked: as it is."""
    if agent.consult is None or agent.attempt is None:
        return
    attempt = live.attempts[agent.attempt]
    live.end_consult(agent, now_ms)
    customers.hold(live, live.agents[agent.id], attempt, now_ms, on=False)


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


def found(live: Live, legs: Mapping[LegId, LegFound], of_others: Iterable[LegFound], now_ms: int) -> None:
    """The snapshot's truth: who hears somebody and should not, or does not and should.

    `of_others`: those of the legs that are neither an agent's nor a customer's.
    """
    _outsiders_found(live, legs, of_others, now_ms)
    for agent in list(live.agents.values()):
        leg = legs.get(agent.leg) if agent.leg is not None else None
        if leg is None or not leg.answered:
            continue
        if agent.consult is not None and _misplaced(live, agent, agent.consult, leg, legs):
            live.counters["consults_repeated"] += 1
            _place(live, agent, agent.consult, agent.consult.phase)
        with_ = {one for one in map(agent_of_leg, leg.bridged_with) if one is not None}
        if with_ and _astray(live, agent, with_):
            live.counters["consults_repeated"] += 1
            _back(live, agent, leg, now_ms)


def _misplaced(live: Live, agent: Agent, consult: Consult, leg: LegFound, legs: Mapping[LegId, LegFound]) -> bool:
    """Whether who is asked is not where the phase has them. A colleague who should be at home finds it below."""
    if consult.phase in _VISITING:
        asked, _ = _asked(live, agent, consult)
        return asked in legs and asked not in leg.bridged_with
    if consult.out is None or consult.phase is ConsultPhase.CALLING:
        return False
    return _asked(live, agent, consult)[0] in leg.bridged_with


def _outsiders_found(live: Live, legs: Mapping[LegId, LegFound], of_others: Iterable[LegFound], now_ms: int) -> None:
    for attempt_id, leg in list(live.outside.items()):
        there, agent = legs.get(leg), outside.asking(live, leg)
        if there is not None:
            if there.answered:
                answered_outside(live, leg, now_ms)
            continue
        asked = agent.consult.out if agent is not None and agent.consult is not None else None
        out = asked or live.attempts[attempt_id].out
        if out is None or abs(now_ms - out.at_ms) > SNAPSHOT_GRACE_MS:
            outside.gone(live, leg, now_ms)
    for other in of_others:
        attempt_at = attempt_of_outside(other.leg)
        if attempt_at is not None and live.outside.get(attempt_at) != other.leg:
            live.emit(effects.Hangup(other.leg, bridge_of_leg(other.leg)))


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
