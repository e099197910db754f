"""Somebody outside, at a number that was typed: the customer is handed on to them at once, or they are asked first.

Theory of operation. The number is saved, the store is asked whether it may be called, and only then the switch is told.
Who is handed on at once is dialed for by the dialplan. Who is asked first has a leg of ours, which `consultation` moves
like a colleague's; handed over, it shares a bridge with the customer's and nobody else. No restart of the engine cuts
either of them: the first needs no engine, the second is known by who is in that bridge.
"""

from __future__ import annotations

from engine.core import customers, effects, handover
from engine.core.dialing import LIFE_SLACK_MS
from engine.core.events import AgentConsult, AgentTransferOut, LegFound, NumberChecked
from engine.core.live import Live
from engine.core.machines import CustomerEvent
from engine.core.model import (
    Agent,
    AgentId,
    AgentState,
    Attempt,
    Consult,
    ConsultPhase,
    CustomerState,
    HandOut,
    LegId,
    Outcome,
    PhoneNumber,
    Refusal,
    TrunkId,
    attempt_of_outside,
    bridge_of_leg,
    outside_leg,
)
from engine.core.values import replace


def transfer(live: Live, event: AgentTransferOut, now_ms: int) -> str | None:
    """Hand the customer on to a number outside. None: the answer follows when the number is saved and asked about."""
    return _check(live, event, event.number, now_ms)


def ask(live: Live, event: AgentConsult, number: PhoneNumber, now_ms: int) -> str | None:
    """Ask somebody outside. None: as above."""
    return _check(live, event, number, now_ms)


def _check(live: Live, event: AgentTransferOut | AgentConsult, number: PhoneNumber, now_ms: int) -> str | None:
    found = _in_hand(live, event.agent)
    if isinstance(found, str):
        return found
    _, attempt = found
    if attempt.id in live.to_hand_out:
        return Refusal.NOT_NOW
    trunk = _line_out(live, attempt, number, now_ms)
    if isinstance(trunk, Refusal):
        return trunk
    out = HandOut(attempt=attempt.id, agent=event.agent, number=number, trunk=trunk, at_ms=now_ms)
    live.to_hand_out[attempt.id] = (out, event)
    live.emit(effects.SaveHandOut(out), effects.CheckNumber(attempt.id, number, attempt.campaign))
    return None


def number_checked(live: Live, event: NumberChecked, now_ms: int) -> None:
    """The number is on disk, and the lists have been asked: much may have happened meanwhile."""
    wanted = live.to_hand_out.pop(event.attempt, None)
    if wanted is None:
        return
    out, said = wanted
    found = _may_dial(live, out, event.blocked, now_ms)
    if isinstance(found, str):
        live.done(said.command, found)
        return
    agent, attempt = found
    live.line(out.trunk).take(now_ms)
    asked = isinstance(said, AgentConsult)
    (_dial if asked else _go_out)(live, agent, attempt, out, now_ms)
    _audit(live, out, "outsider_asked" if asked else "call_transferred", said.by, now_ms)
    live.done(said.command)


def _audit(live: Live, out: HandOut, action: str, by: str, now_ms: int) -> None:
    detail = out.number.masked
    live.emit(effects.SaveAudit(at_ms=now_ms, by=by, action=action, subject=out.attempt, detail=detail))


def _in_hand(live: Live, agent_id: AgentId) -> tuple[Agent, Attempt] | str:
    found = handover.in_conversation(live, agent_id)
    if isinstance(found, str):
        return found
    if found[0].consult is not None:
        return Refusal.CONSULTING
    return Refusal.DRAINING if live.draining else found


def _line_out(live: Live, attempt: Attempt, number: PhoneNumber, now_ms: int) -> TrunkId | Refusal:
    if number.e164 in live.attempts.numbers:
        return Refusal.NUMBER_BUSY
    trunks = live.campaigns[attempt.campaign].trunks
    return next((trunk for trunk in trunks if live.line(trunk).room(now_ms) > 0), Refusal.LINES_BUSY)


def _may_dial(live: Live, out: HandOut, blocked: bool | None, now_ms: int) -> tuple[Agent, Attempt] | str:
    found = _in_hand(live, out.agent)
    if isinstance(found, str) or found[1].id != out.attempt:
        return found if isinstance(found, str) else Refusal.NO_CALL
    if blocked is not False:
        return Refusal.LEAD_UNREADABLE if blocked is None else Refusal.NUMBER_SUPPRESSED
    if out.number.e164 in live.attempts.numbers:
        return Refusal.NUMBER_BUSY
    return found if live.line(out.trunk).room(now_ms) > 0 else Refusal.LINES_BUSY


# ── at once ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _go_out(live: Live, agent: Agent, attempt: Attempt, out: HandOut, now_ms: int) -> None:
    assert agent.bridge is not None
    if attempt.state is CustomerState.TALKING:  # out of the bridge; else they hear music already
        live.emit(effects.Hold(attempt.leg, agent.bridge, on=True))
    campaign = live.campaigns[attempt.campaign]
    live.emit(
        effects.TransferOut(
            leg=attempt.leg,
            number=out.number,
            trunk=out.trunk,
            caller_id=campaign.caller_id,
            ring_timeout_ms=campaign.ring_timeout_ms,
        )
    )
    gone_out(live, replace(attempt, out=out), now_ms)


def gone_out(live: Live, attempt: Attempt, now_ms: int) -> None:
    """They are with somebody outside: for us the conversation is over, its agent owes the result."""
    campaign = live.campaigns[attempt.campaign]
    attempt = live.move_attempt(attempt, CustomerEvent.LEAVE, now_ms, outcome=Outcome.CONNECTED)
    live.emit(
        effects.CancelTimer(("abandon", attempt.id)),
        # The dialplan cuts them off by then.
        effects.SetTimer(("life", attempt.id), now_ms + campaign.talk_max_ms + LIFE_SLACK_MS),
    )
    agent = live.agents.get(attempt.agent) if attempt.agent is not None else None
    if agent is not None and agent.attempt == attempt.id and agent.state is AgentState.TALKING:
        live.start_wrap_up(agent, attempt, now_ms)


# ── asked first ──────────────────────────────────────────────────────────────────────────────────────────────────


def _dial(live: Live, agent: Agent, attempt: Attempt, out: HandOut, now_ms: int) -> None:
    leg = live.outside[attempt.id] = outside_leg(attempt.id, live.next_number())
    live.put_agent(replace(agent, consult=Consult(phase=ConsultPhase.CALLING, out=out)), now_ms)
    customers.hold(live, live.agents[agent.id], attempt, now_ms, on=True)
    campaign = live.campaigns[attempt.campaign]
    live.emit(
        effects.OriginateOutside(
            leg=leg,
            number=out.number,
            trunk=out.trunk,
            caller_id=campaign.caller_id,
            ring_timeout_ms=campaign.ring_timeout_ms,
            talk_max_ms=campaign.talk_max_ms,
        )
    )


def asking(live: Live, leg: LegId) -> Agent | None:
    """The agent who asks whoever has this leg."""
    attempt_id = attempt_of_outside(leg)
    if attempt_id is None or live.outside.get(attempt_id) != leg:
        return None
    attempt = live.attempts.get(attempt_id)
    agent = live.agents.get(attempt.agent) if attempt is not None and attempt.agent is not None else None
    asks = agent is not None and agent.attempt == attempt_id and agent.consult is not None
    return agent if asks else None


def hand_over(live: Live, agent: Agent, attempt: Attempt, out: HandOut, by: str, now_ms: int) -> None:
    """The customer is theirs now; the agent is out."""
    live.put_agent(replace(agent, consult=None), now_ms)
    join(live, attempt, music=attempt.state is CustomerState.HELD)
    _audit(live, out, "call_transferred", by, now_ms)
    gone_out(live, replace(attempt, out=replace(out, at_ms=now_ms)), now_ms)


def join(live: Live, attempt: Attempt, *, music: bool) -> None:
    """Into the bridge of whoever is outside, both of them, and nobody else."""
    leg = live.outside[attempt.id]
    bridge = bridge_of_leg(leg)
    live.emit(effects.OpenBridge(leg, bridge), effects.Bridge(attempt.leg, leg, bridge, tone=False, music=music))


def gone(live: Live, leg: LegId, now_ms: int) -> bool:
    """Whether that was theirs: then the customer is the asking agent's to take back, or has nobody any more."""
    attempt_id = attempt_of_outside(leg)
    if attempt_id is None or live.outside.get(attempt_id) != leg:
        return False
    agent, attempt = asking(live, leg), live.attempts.get(attempt_id)
    del live.outside[attempt_id]
    if agent is not None:
        live.end_consult(agent, now_ms)
    elif attempt is not None and attempt.state is CustomerState.LEAVING:
        live.emit(effects.Hangup(attempt.leg))
    return True


def partner(attempt: Attempt, leg: LegFound) -> LegId | None:
    """Whoever outside shares a bridge with the customer's leg."""
    return next((one for one in leg.bridged_with if attempt_of_outside(one) == attempt.id), None)
