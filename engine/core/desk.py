"""What agents do: at the desk (commands, answered once each) and with the phone (which is the truth)."""

from __future__ import annotations

from typing import Final

from engine.core import attempts as rules
from engine.core import consultation, customers, dialing, effects, previews
from engine.core.events import (
    AgentAnswer,
    AgentDigits,
    AgentHangup,
    AgentHold,
    AgentLogin,
    AgentLogout,
    AgentMute,
    AgentPause,
    AgentReady,
    CampaignSwitched,
    Dispose,
    LeadSuppressed,
)
from engine.core.live import Live
from engine.core.machines import AgentEvent, CustomerEvent
from engine.core.model import (
    DIGITS_PATTERN,
    Agent,
    AgentId,
    AgentState,
    Attempt,
    CustomerState,
    Disposition,
    DispositionKind,
    Lead,
    LeadChange,
    LeadState,
    LegKind,
    Outcome,
    Refusal,
    SystemPause,
    Verdict,
    WrapUpMode,
    bridge_of_leg,
)
from engine.core.values import replace

#: How long a desk phone may ring at log-in.
LOGIN_RING_MS: Final = 30_000
#: A leg that we hung up and that is not gone after this is hung up again.
HANGUP_WITHIN_MS: Final = 3_000
#: A word that is required is waited for so long when its agent is away: who never comes back holds no lead for ever.
AWAY_MAX_MS: Final = 24 * 3_600_000
#: Why a lead is closed of whose conversation its agent said nothing.
NO_WORD: Final = "no_disposition"
A = AgentState


# ── commands ─────────────────────────────────────────────────────────────────────────────────────────────────────


def login(live: Live, event: AgentLogin, now_ms: int) -> str:
    """Start of shift: open the nailed-up leg, or check the phone that will be called on demand."""
    agent, profile = live.agents.get(event.agent), live.policy.agents.get(event.agent)
    if agent is None or profile is None:
        return Refusal.UNKNOWN_AGENT
    if agent.state is not A.LOGGED_OUT:
        return Refusal.ALREADY_LOGGED_IN
    if live.draining:
        return Refusal.DRAINING
    if live.switch_problem:
        return Refusal.SWITCH_DOWN
    if agent.phone_registered is False:
        return Refusal.PHONE_NOT_REGISTERED
    if live.leg_kind(agent.id) is LegKind.ON_DEMAND:
        agent = live.move_agent(agent, AgentEvent.LOGIN, now_ms)
        live.move_agent(agent, AgentEvent.LEG_UP, now_ms, pause_reason=SystemPause.AFTER_LOGIN.value)
        return ""
    leg = live.new_agent_leg(agent.id)
    live.move_agent(agent, AgentEvent.LOGIN, now_ms, leg=leg, bridge=bridge_of_leg(leg))
    live.emit(
        effects.OriginateAgent(
            leg=leg,
            agent=agent.id,
            phone=profile.phone,
            auto_answer=profile.auto_answer,
            ring_timeout_ms=LOGIN_RING_MS,
        ),
        effects.SetTimer(("connect", agent.id), now_ms + LOGIN_RING_MS),
    )
    return ""


def ready(live: Live, event: AgentReady, now_ms: int) -> str:
    """Wants calls: now, or takes back the wish for a pause."""
    agent = live.agents.get(event.agent)
    if agent is None:
        return Refusal.UNKNOWN_AGENT
    match agent.state:
        case A.LOGGED_OUT | A.CONNECTING:
            return Refusal.NOT_LOGGED_IN
        case A.PAUSED:
            if agent.phone_registered is False and live.leg_kind(agent.id) is LegKind.ON_DEMAND:
                return Refusal.PHONE_NOT_REGISTERED
            if agent.attempt is not None and not _may_leave_undisposed(live, agent):
                return Refusal.DISPOSITION_NEEDED
            _leave_undisposed(live, agent, now_ms)
            live.move_agent(live.agents[agent.id], AgentEvent.READY, now_ms)
        case A.WRAP_UP:
            refusal = _wrap_up_holds(live, agent)
            if refusal:
                return refusal
            finish_wrap_up(live, live.wish(agent, None, "", now_ms), now_ms)
        case A.READY | A.PREVIEW | A.RESERVED | A.TALKING | A.HELPING:
            if agent.wish is not None:
                live.wish(agent, None, "", now_ms)
    return ""


def pause(live: Live, event: AgentPause, now_ms: int) -> str:
    """Wants a pause: now, or after this call."""
    agent = live.agents.get(event.agent)
    if agent is None:
        return Refusal.UNKNOWN_AGENT
    match agent.state:
        case A.LOGGED_OUT | A.CONNECTING:
            return Refusal.NOT_LOGGED_IN
        case A.READY | A.PREVIEW | A.PAUSED:
            live.move_agent(agent, AgentEvent.PAUSE, now_ms, pause_reason=event.reason)
        case A.RESERVED | A.TALKING | A.HELPING | A.WRAP_UP:
            live.wish(agent, A.PAUSED, event.reason, now_ms)
            _leave_wrap_up_if_free(live, agent.id, now_ms)
    return ""


def logout(live: Live, event: AgentLogout, now_ms: int) -> str:
    """End of shift: now, or after this call."""
    agent = live.agents.get(event.agent)
    if agent is None:
        return Refusal.UNKNOWN_AGENT
    match agent.state:
        case A.LOGGED_OUT:
            return Refusal.NOT_LOGGED_IN
        case A.CONNECTING | A.READY | A.PREVIEW | A.PAUSED:
            live.log_out(agent, now_ms)
        case A.RESERVED | A.TALKING | A.HELPING | A.WRAP_UP:
            live.wish(agent, A.LOGGED_OUT, "", now_ms)
            _leave_wrap_up_if_free(live, agent.id, now_ms)
    return ""


def hang_up(live: Live, event: AgentHangup, now_ms: int) -> str:
    """Ends the conversation. Asked again, or with no switch to ask: the agent goes free, whatever the line does.

    While a colleague is asked it ends that alone: nobody loses a customer by one key.
    """
    agent = live.agents.get(event.agent)
    if agent is not None and agent.helps is not None:
        consultation.leave(live, agent, now_ms)
        return ""
    if agent is not None and agent.consult is not None:
        consultation.end(live, agent, now_ms)
        return ""
    attempt = live.attempts.get(agent.attempt) if agent is not None and agent.attempt else None
    if agent is None or attempt is None:
        return Refusal.NO_CALL
    if agent.state is A.RESERVED and attempt.state in customers.UNANSWERED:
        # They dialed it and gave up: once it may have rung, the try counts.
        outcome = Outcome.CANCELLED if attempt.ringing_at_ms is None else Outcome.NO_ANSWER
        dialing.take_back(live, attempt, now_ms, outcome)
        return ""
    if agent.state is not A.TALKING:
        return Refusal.NO_CALL
    asked_before = attempt.state is CustomerState.LEAVING
    if not asked_before:
        attempt = live.move_attempt(attempt, CustomerEvent.LEAVE, now_ms, outcome=Outcome.CONNECTED)
    live.emit(effects.Hangup(attempt.leg), effects.SetTimer(("life", attempt.id), now_ms + HANGUP_WITHIN_MS))
    if asked_before or live.switch_problem:
        live.start_wrap_up(live.agents[agent.id], attempt, now_ms)
    return ""


def hold(live: Live, event: AgentHold, now_ms: int) -> str:
    """Music for the customer, or the agent again."""
    agent = live.agents.get(event.agent)
    attempt = live.attempts.get(agent.attempt) if agent is not None and agent.attempt else None
    if agent is None or attempt is None or agent.bridge is None or attempt.state not in customers.CONVERSING:
        return Refusal.NO_CALL
    if live.switch_problem:
        return Refusal.SWITCH_DOWN
    if agent.consult is not None:
        return Refusal.CONSULTING
    if event.on is (attempt.state is CustomerState.HELD):
        return ""
    step = CustomerEvent.HELD if event.on else CustomerEvent.RESUMED
    live.move_attempt(attempt, step, now_ms)
    live.emit(effects.Hold(attempt.leg, agent.bridge, event.on))
    return ""


def answer(live: Live, event: AgentAnswer, now_ms: int) -> str:
    """Lift the phone that rings: by a word to it, or the agent must."""
    _ = now_ms
    agent, profile = live.agents.get(event.agent), live.policy.agents.get(event.agent)
    rings = agent is not None and agent.state in {A.CONNECTING, A.RESERVED, A.HELPING} and agent.leg is not None
    if agent is None or profile is None or not rings or agent.leg is None:
        return Refusal.NO_CALL
    if not profile.answers_notify:
        return Refusal.LIFT_HANDSET
    if live.switch_problem:
        return Refusal.SWITCH_DOWN
    live.emit(effects.AnswerPhone(agent.leg))
    return ""


def mute(live: Live, event: AgentMute, now_ms: int) -> str:
    """Nobody hears the agent, until they take it back or the conversation ends."""
    agent = live.agents.get(event.agent)
    if agent is None or agent.state is not A.TALKING or agent.leg is None:
        return Refusal.NO_CALL
    if live.switch_problem:
        return Refusal.SWITCH_DOWN
    if event.on is not agent.muted:
        live.put_agent(replace(agent, muted=event.on), now_ms)
        live.emit(effects.Mute(agent.leg, event.on))
    return ""


def mute_failed(live: Live, agent: Agent, now_ms: int) -> None:
    """The switch did not do it: the desk shows what is."""
    live.put_agent(replace(agent, muted=not agent.muted), now_ms)


def send_digits(live: Live, event: AgentDigits, now_ms: int) -> str:
    """Tones to the customer, as a robot at their end asks for."""
    _ = now_ms
    agent = live.agents.get(event.agent)
    attempt = live.attempts.get(agent.attempt) if agent is not None and agent.attempt else None
    if agent is None or attempt is None or agent.state is not A.TALKING or attempt.state not in customers.CONVERSING:
        return Refusal.NO_CALL
    if not DIGITS_PATTERN.fullmatch(event.digits):
        return Refusal.BAD_DIGITS
    if live.switch_problem:
        return Refusal.SWITCH_DOWN
    live.emit(effects.SendDigits(attempt.leg, event.digits))
    return ""


def dispose(live: Live, event: Dispose, now_ms: int) -> str:
    """The agent's result of a conversation: during it, in wrap-up, or corrected later."""
    found = _find(live, event)
    if found is None:
        return Refusal.TOO_LATE
    attempt, lead = found
    campaign = live.campaigns.get(attempt.campaign)
    if campaign is None:
        return Refusal.TOO_LATE
    disposition = campaign.disposition(event.disposition)
    if disposition is None:
        return Refusal.UNKNOWN_DISPOSITION
    if disposition.kind is DispositionKind.CALLBACK:
        if event.callback_at_ms is None:
            return Refusal.CALLBACK_TIME_NEEDED
        if event.callback_at_ms <= now_ms:
            return Refusal.CALLBACK_IN_PAST
    if lead is None and disposition.kind is not DispositionKind.FINAL:
        return Refusal.LEAD_NEEDED
    if lead is None:
        live.emit(
            effects.SaveDispositionAlone(
                attempt=attempt.id,
                agent=event.agent,
                disposition=disposition.id,
                note=event.note,
                at_ms=now_ms,
            )
        )
    else:
        _decide_on(live, attempt, lead, disposition, event, now_ms)
    _disposed(live, attempt, lead, event, now_ms)
    return ""


def _decide_on(live: Live, attempt: Attempt, lead: Lead, disposition: Disposition, event: Dispose, now_ms: int) -> None:
    """What the agent's result does to the lead."""
    change = rules.after_disposition(lead, disposition, event.agent, event.callback_at_ms, event.callback_mine, now_ms)
    live.emit(
        effects.SaveDisposition(
            attempt=attempt.id,
            lead=lead.id,
            agent=event.agent,
            disposition=disposition.id,
            note=event.note,
            at_ms=now_ms,
            change=change,
            callback_at_ms=event.callback_at_ms if disposition.kind is DispositionKind.CALLBACK else None,
        )
    )
    if attempt.verdict is Verdict.MACHINE:
        live.check_verdict(attempt, not disposition.machine, now_ms)
    live.lead_changed(lead.campaign, change)
    if change.state is LeadState.SUPPRESSED:
        customers.suppressed(live, lead.id, now_ms)
    elif lead.id not in live.leads:
        if lead.campaign in live.hoppers:  # corrected: it may hold the lead as it was, or get it so
            live.hoppers[lead.campaign].drop({lead.id})
            live.hoppers[lead.campaign].doubt()
        previews.release(live, lead.id, now_ms)


def switch_campaign(live: Live, event: CampaignSwitched, now_ms: int) -> str:
    """Start or stop a campaign; calls in flight go on."""
    if event.campaign not in live.policy.campaigns:
        return Refusal.UNKNOWN_CAMPAIGN
    live.running[event.campaign] = event.running
    live.hoppers[event.campaign].dry_until_ms = 0
    if not event.running:
        previews.review(live, now_ms)
    live.emit(
        effects.SaveCampaignRun(event.campaign, event.running, now_ms),
        effects.SaveAudit(
            at_ms=now_ms,
            by=event.by,
            action="campaign_started" if event.running else "campaign_stopped",
            subject=event.campaign,
        ),
    )
    return ""


def suppress(live: Live, event: LeadSuppressed, now_ms: int) -> str:
    """Never dial this lead again."""
    change = LeadChange(lead=event.lead, state=LeadState.SUPPRESSED, rule=f"suppressed:{event.reason}")
    live.emit(
        effects.SaveLead(change, now_ms),
        effects.SaveAudit(
            at_ms=now_ms, by=event.by, action="lead_suppressed", subject=str(event.lead), detail=event.reason
        ),
    )
    customers.suppressed(live, event.lead, now_ms)
    return ""


# ── the phone ────────────────────────────────────────────────────────────────────────────────────────────────────


def leg_answered(live: Live, agent: Agent, now_ms: int) -> None:
    """The desk phone was lifted: the shift begins, or the customer who waits for it is bridged."""
    assert agent.leg is not None
    assert agent.bridge is not None
    if agent.state is A.CONNECTING:
        live.emit(effects.CancelTimer(("connect", agent.id)), effects.OpenBridge(agent.leg, agent.bridge))
        live.move_agent(agent, AgentEvent.LEG_UP, now_ms, pause_reason=SystemPause.AFTER_LOGIN.value)
    elif agent.state is A.RESERVED and agent.attempt is not None:
        customer = live.attempts[agent.attempt].leg
        live.emit(
            effects.OpenBridge(agent.leg, agent.bridge),
            effects.Bridge(customer, agent.leg, agent.bridge, tone=False, music=True),
        )
    elif agent.state is A.HELPING:
        consultation.answered(live, agent, now_ms)
    else:
        live.counters["strange_events"] += 1


def leg_hung_up(live: Live, agent: Agent, now_ms: int) -> None:
    """The desk phone's leg is gone."""
    if live.leg_kind(agent.id) is LegKind.ON_DEMAND:
        _handset_down(live, agent, now_ms)
        return
    event = AgentEvent.LEG_FAILED if agent.state is A.CONNECTING else AgentEvent.LEG_LOST
    attempt = live.attempts.get(agent.attempt) if agent.attempt else None
    in_call = agent.state in {A.RESERVED, A.TALKING} and attempt is not None
    if in_call and attempt is not None and attempt.state is CustomerState.LEAVING:
        live.start_wrap_up(agent, attempt, now_ms)  # their conversation is over: what is lost is only the phone
        in_call = False
    agent = live.agents[agent.id]
    bridge, attempt_id = agent.bridge, None if in_call else agent.attempt
    live.move_agent(agent, event, now_ms, leg=None, bridge=None, wish=None, wish_reason="", attempt=attempt_id)
    if in_call and attempt is not None:
        customers.release_customer(live, attempt.id, now_ms, bridge)


def phone_seen(live: Live, agent: Agent, registered: bool, now_ms: int) -> None:
    """The phone registered, or fell off: an on-demand agent without a phone gets no calls."""
    if agent.phone_registered is registered:
        return
    agent = replace(agent, phone_registered=registered)
    live.agents[agent.id] = agent
    live.emit(effects.AgentChanged(agent))
    if not registered and agent.state in {A.READY, A.PREVIEW} and live.leg_kind(agent.id) is LegKind.ON_DEMAND:
        live.move_agent(agent, AgentEvent.PAUSE, now_ms, pause_reason=SystemPause.PHONE_LOST.value)


def connect_timeout(live: Live, agent: Agent, now_ms: int) -> None:
    """Nobody lifted the phone at log-in."""
    if agent.state is A.CONNECTING:
        live.log_out(agent, now_ms)


def offer_timeout(live: Live, agent: Agent, now_ms: int) -> None:
    """Nobody lifted the on-demand phone for a waiting customer."""
    if agent.state is A.RESERVED:
        customers.phone_rang_out(live, agent, now_ms)
    elif consultation.rings(live, agent):
        consultation.rang_out(live, agent, now_ms)


# ── wrap-up ──────────────────────────────────────────────────────────────────────────────────────────────────────


def wrap_up_timeout(live: Live, agent: Agent, now_ms: int) -> None:
    """The wrap-up time is out: in the timed modes the agent goes on, with or without a disposition."""
    attempt = live.attempts.get(agent.attempt) if agent.attempt else None
    mode = live.campaigns[attempt.campaign].wrap_up_mode if attempt else WrapUpMode.TIMED
    timed = mode in {WrapUpMode.TIMED, WrapUpMode.TIMED_NO_EXIT}
    if agent.state is A.WRAP_UP and timed:
        finish_wrap_up(live, agent, now_ms)
    elif agent.state is A.WRAP_UP and attempt is not None:
        at_ms = now_ms + live.campaigns[attempt.campaign].wrap_up_ms
        live.emit(effects.SetTimer(("wrap", agent.id), at_ms))  # their phone may be lost yet
    elif attempt is not None and _over_for(agent, attempt):
        given_up_ms = (attempt.ended_at_ms or now_ms) + AWAY_MAX_MS
        if mode is WrapUpMode.REQUIRED and now_ms < given_up_ms:
            live.emit(effects.SetTimer(("wrap", agent.id), given_up_ms))
            return
        _leave_undisposed(live, agent, now_ms)  # the phone was lost meanwhile: the lead waits no longer for their word


def _over_for(agent: Agent, attempt: Attempt) -> bool:
    """Whether their conversation is over; its customer may yet be talking with somebody outside."""
    away = agent.state in {A.LOGGED_OUT, A.PAUSED}
    return attempt.state is CustomerState.ENDED or (attempt.state is CustomerState.LEAVING and away)


def finish_wrap_up(live: Live, agent: Agent, now_ms: int) -> None:
    """Leave wrap-up as remembered: ready, paused or logged out."""
    live.emit(effects.CancelTimer(("wrap", agent.id)))
    _leave_undisposed(live, agent, now_ms)
    agent = live.agents[agent.id]
    if agent.wish is not None:
        live.grant_wish(agent, now_ms)
    else:
        live.move_agent(agent, AgentEvent.DONE, now_ms)


def _disposed(live: Live, attempt: Attempt, lead: Lead | None, event: Dispose, now_ms: int) -> None:
    by, rule = event.agent, rules.rule_of(event.disposition)
    if attempt.id in live.attempts:
        live.decided[attempt.id] = rule
        if attempt.state is CustomerState.ENDED:
            live.forget(attempt, lead)
    elif lead is None:
        live.recent.keep(attempt, None, rule)
    agent = live.agents.get(by)
    if agent is None or agent.attempt != attempt.id:
        return
    live.put_agent(replace(agent, disposed=True), now_ms)
    if attempt.state is not CustomerState.ENDED and attempt.out is None:
        return
    agent = live.agents[by]
    if agent.state is not A.WRAP_UP:
        live.put_agent(replace(agent, attempt=None), now_ms)
    elif live.campaigns[attempt.campaign].wrap_up_mode is not WrapUpMode.TIMED_NO_EXIT:
        finish_wrap_up(live, agent, now_ms)


def _leave_undisposed(live: Live, agent: Agent, now_ms: int) -> None:
    """Nobody will say more of this conversation: the lead is closed, and the rule says why."""
    attempt = live.attempts.get(agent.attempt) if agent.attempt else None
    if attempt is not None and attempt.id not in live.decided:
        lead = live.leads[attempt.lead] if attempt.lead is not None else None
        if lead is not None:
            change = LeadChange(lead=lead.id, state=LeadState.CLOSED, rule=NO_WORD)
            live.emit(effects.SaveLead(change, now_ms))
        live.decided[attempt.id] = NO_WORD  # also where the line is slow to end
        if attempt.state is CustomerState.ENDED:
            live.forget(attempt, lead)
    if agent.attempt is not None:
        live.put_agent(replace(agent, attempt=None, disposed=False), now_ms)


def _may_leave_undisposed(live: Live, agent: Agent) -> bool:
    attempt = live.attempts.get(agent.attempt) if agent.attempt else None
    if attempt is None or attempt.id in live.decided:
        return True
    return live.campaigns[attempt.campaign].wrap_up_mode is WrapUpMode.OPTIONAL


def _wrap_up_holds(live: Live, agent: Agent) -> str:
    attempt = live.attempts.get(agent.attempt) if agent.attempt else None
    if attempt is not None and live.campaigns[attempt.campaign].wrap_up_mode is WrapUpMode.TIMED_NO_EXIT:
        return Refusal.WRAP_UP_NOT_OVER
    return "" if _may_leave_undisposed(live, agent) else Refusal.DISPOSITION_NEEDED


def _leave_wrap_up_if_free(live: Live, agent_id: AgentId, now_ms: int) -> None:
    agent = live.agents[agent_id]
    if agent.state is A.WRAP_UP and not _wrap_up_holds(live, agent):
        finish_wrap_up(live, agent, now_ms)


def _find(live: Live, event: Dispose) -> tuple[Attempt, Lead | None] | None:
    attempt = live.attempts.get(event.attempt)
    if attempt is not None:
        owned = attempt.agent == event.agent and attempt.bridged_at_ms is not None
        return (attempt, live.leads[attempt.lead] if attempt.lead is not None else None) if owned else None
    found = live.recent.get(event.attempt)
    # A correction must not pull a lead out of its next call.
    if found is None or found[0].agent != event.agent or found[0].lead in live.leads:
        return None
    return found


def _handset_down(live: Live, agent: Agent, now_ms: int) -> None:
    """An on-demand phone hung up: the end of the conversation, or a declined offer."""
    attempt = live.attempts.get(agent.attempt) if agent.attempt else None
    if agent.state is A.RESERVED:
        customers.phone_rang_out(live, replace(agent, leg=None, bridge=None), now_ms)
        return
    rang = consultation.rings(live, agent)
    agent = replace(agent, leg=None, bridge=None)
    live.put_agent(agent, now_ms)
    if agent.state is A.HELPING:
        (consultation.rang_out if rang else consultation.leave)(live, agent, now_ms)
    if agent.state is not A.TALKING or attempt is None:
        return
    if attempt.state is not CustomerState.LEAVING:
        attempt = live.move_attempt(attempt, CustomerEvent.LEAVE, now_ms, outcome=Outcome.CONNECTED)
    live.emit(effects.Hangup(attempt.leg), effects.SetTimer(("life", attempt.id), now_ms + HANGUP_WITHIN_MS))
    live.start_wrap_up(live.agents[agent.id], attempt, now_ms)
