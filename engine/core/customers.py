"""What happens to customers' legs: accepted, ringing, answered, bridged, gone, and the clocks that run over them."""

from __future__ import annotations

from typing import Final

from engine.core import effects, inbound, recording
from engine.core.dialing import LIFE_SLACK_MS, MESSAGE_MAX_MS, reset, take_back
from engine.core.events import DoNotCallChanged, HeldChecked
from engine.core.live import Live
from engine.core.machines import CUSTOMER, JOINT_CUSTOMER, AgentEvent, CustomerEvent, legal
from engine.core.model import (
    MISSED,
    Agent,
    AgentId,
    AgentState,
    Attempt,
    AttemptId,
    BridgeId,
    Campaign,
    CustomerState,
    LeadId,
    LeadState,
    LegKind,
    Outcome,
    Refusal,
    SystemPause,
    Verdict,
    bridge_of_leg,
)
from engine.core.outcome import of_ended, of_unanswered
from engine.core.screening import VERDICT_SLACK_MS
from engine.core.selection import pick_agent
from engine.core.values import replace

#: SIP answers that are about us and not about the number: the carrier wants a better password.
NOT_LET_IN: Final = frozenset({401, 407})
#: How long an agent given to a customer whom detection still holds waits for them.
LATE_VERDICT_MS: Final = 1_000
#: From our word to the first sound of the message: so much before the law's limit it is ordered.
MESSAGE_START_MS: Final = 100
UNANSWERED: Final = frozenset({CustomerState.PLANNED, CustomerState.DIALING, CustomerState.RINGING})
CONVERSING: Final = frozenset({CustomerState.TALKING, CustomerState.HELD})


def accepted(live: Live, attempt: Attempt, now_ms: int) -> None:
    """Asterisk took the originate."""
    if _legal(live, attempt, CustomerEvent.ACCEPTED):
        at_ms = attempt.accepted_at_ms or now_ms
        live.move_attempt(attempt, CustomerEvent.ACCEPTED, now_ms, accepted_at_ms=at_ms)


def refused(live: Live, attempt: Attempt, now_ms: int) -> None:
    """Nothing was dialed: Asterisk refused, and the trunk rests; or we had taken it back before it was sent."""
    if not _legal(live, attempt, CustomerEvent.REFUSED):
        return
    if attempt.state is not CustomerState.LEAVING:
        live.line(attempt.trunk).refused(now_ms)
    attempt = live.move_attempt(attempt, CustomerEvent.REFUSED, now_ms)
    live.end_attempt(attempt, attempt.outcome or Outcome.FAILED, now_ms)


def unknown(live: Live, attempt: Attempt, now_ms: int) -> None:
    """Nobody knows whether it was dialed: never again by us; the switch is asked what it has."""
    live.counters["originates_unknown"] += 1
    if attempt.state in UNANSWERED:
        live.ask_switch(now_ms)


def ringing(live: Live, attempt: Attempt, now_ms: int) -> None:
    """The far phone rings: the carrier has taken the call."""
    if not _legal(live, attempt, CustomerEvent.RINGING):
        return
    live.line(attempt.trunk).accepted()
    if attempt.paced:
        live.pacers[attempt.campaign].ringing(now_ms, attempt.id)
    at_ms = attempt.ringing_at_ms or now_ms
    accepted_ms = attempt.accepted_at_ms or now_ms
    live.move_attempt(attempt, CustomerEvent.RINGING, now_ms, ringing_at_ms=at_ms, accepted_at_ms=accepted_ms)


def answered(live: Live, attempt: Attempt, now_ms: int) -> None:
    """They answered and the leg is in our hands: an agent now, or the abandon clock."""
    if attempt.state is CustomerState.LEAVING:
        _answered_against_our_hangup(live, attempt, now_ms)
        return
    if not _legal(live, attempt, CustomerEvent.ANSWERED):
        return
    campaign = live.campaigns[attempt.campaign]
    live.line(attempt.trunk).accepted()
    screened = live.detections[campaign.id].on and not attempt.by_agent
    attempt = live.move_attempt(
        attempt,
        CustomerEvent.ANSWERED_SCREENED if screened else CustomerEvent.ANSWERED,
        now_ms,
        answered_at_ms=now_ms,
        accepted_at_ms=attempt.accepted_at_ms or now_ms,
    )
    live.emit(
        effects.SetTimer(("abandon", attempt.id), now_ms + patience_ms(campaign)),
        effects.CancelTimer(("life", attempt.id)),
        effects.SaveAnswer(attempt),
    )
    if screened:
        live.emit(
            effects.Screen(
                leg=attempt.leg,
                within_ms=patience_ms(campaign) - VERDICT_SLACK_MS,
                greeting_ms=campaign.amd.greeting_ms,
                silence_ms=campaign.amd.silence_ms,
                words_max=campaign.amd.words_max,
            )
        )
    elif attempt.agent is not None:
        _join(live, live.agents[attempt.agent], attempt, now_ms)


def found_screening(live: Live, attempt: Attempt, now_ms: int) -> None:
    """A leg that an engine before us sent to detection, and had no time to say so: the clock runs from now."""
    if not _legal(live, attempt, CustomerEvent.ANSWERED_SCREENED):
        return
    attempt = live.move_attempt(attempt, CustomerEvent.ANSWERED_SCREENED, now_ms, answered_at_ms=now_ms)
    at_ms = now_ms + patience_ms(live.campaigns[attempt.campaign])
    live.emit(effects.SetTimer(("abandon", attempt.id), at_ms), effects.SaveAnswer(attempt))


def judged(live: Live, attempt: Attempt, verdict: Verdict, draw: float, now_ms: int) -> None:
    """Detection has spoken. Only "machine" keeps a customer from an agent; a sample of those is put through too."""
    match attempt.state:
        case CustomerState.SCREENING:
            detection = live.detections[attempt.campaign]
            sampled = draw < detection.policy.sample_share or not detection.on
            if verdict is Verdict.MACHINE and not sampled:
                live.emit(effects.SaveAnswer(replace(attempt, verdict=verdict)))
                _leave_machine(live, attempt, CustomerEvent.MACHINE, now_ms)
            else:
                let_through(live, attempt, verdict, now_ms)
        case CustomerState.WAITING if attempt.agent is not None:
            _join(live, live.agents[attempt.agent], attempt, now_ms)  # given to them while detection still had the leg
        case CustomerState.LEAVING:
            _send_off(live, attempt, now_ms)  # what was ordered meanwhile could not be done
        case _:
            live.counters["strange_events"] += 1


def let_through(live: Live, attempt: Attempt, verdict: Verdict, now_ms: int) -> Attempt:
    """Out of detection's hands: they wait for an agent."""
    attempt = live.move_attempt(attempt, CustomerEvent.HUMAN, now_ms, verdict=verdict)
    live.emit(effects.SaveAnswer(attempt))
    return attempt


def _leave_machine(live: Live, attempt: Attempt, event: CustomerEvent, now_ms: int) -> None:
    """Judged a machine, and no agent is to take it."""
    attempt = live.move_attempt(attempt, event, now_ms, verdict=Verdict.MACHINE, outcome=Outcome.MACHINE)
    live.emit(effects.CancelTimer(("abandon", attempt.id)))
    _send_off(live, attempt, now_ms)


def _send_off(live: Live, attempt: Attempt, now_ms: int) -> None:
    """Order what ends a leg that is leaving: its message, or the hang-up."""
    left = live.campaigns[attempt.campaign].amd.message
    if attempt.outcome in {Outcome.ABANDONED, *MISSED}:
        play_message(live, attempt, now_ms)
    elif attempt.outcome is Outcome.MACHINE and left:
        live.emit(
            effects.PlayMessageAndHangup(attempt.leg, left, machine=True),
            effects.SetTimer(("life", attempt.id), now_ms + MESSAGE_MAX_MS),
        )
    else:
        live.emit(effects.Hangup(attempt.leg), effects.SetTimer(("life", attempt.id), now_ms + LIFE_SLACK_MS))


def patience_ms(campaign: Campaign) -> int:
    """How long somebody who has answered may wait before the message is ordered."""
    return max(0, campaign.abandon.connect_within_ms - MESSAGE_START_MS)


def wait_ms(live: Live, attempt: Attempt) -> int:
    """How long this customer waits for an agent: whom we called hardly, who called us as the queue says.

    Who had an agent already waits with music, as long as the campaign says.
    """
    if attempt.bridged_at_ms is not None:
        return live.campaigns[attempt.campaign].requeue_wait_ms
    if attempt.queue is not None:
        return live.queues[attempt.queue].wait_max_ms
    return patience_ms(live.campaigns[attempt.campaign])


def offer_waiting(live: Live, now_ms: int) -> None:
    """After every fact: nobody waits while an agent for them is ready; whoever has waited longest is next.

    Whom we called comes before those who called us: they wait in silence, for two seconds, and the law counts them.
    """
    if live.attempts.waiting and live.connected:
        waiting = [live.attempts[id_] for id_ in live.attempts.waiting]
        if len(waiting) > 1:
            waiting.sort(key=lambda attempt: _turn(live, attempt))
        for attempt in waiting:
            if attempt.queue is None or inbound.may_be_offered(live, attempt):
                _offer(live, attempt, now_ms)


def _turn(live: Live, attempt: Attempt) -> tuple[bool, int, int, AttemptId]:
    priority = live.queues[attempt.queue].priority if attempt.queue is not None else 0
    return attempt.queue is not None, -priority, attempt.answered_at_ms or 0, attempt.id


def _offer(live: Live, attempt: Attempt, now_ms: int) -> None:
    """Give a waiting customer to the agent whose turn it is, if anyone is ready."""
    if attempt.queue is not None:
        attempt = inbound.recognised(live, attempt, now_ms)
    if attempt.wanted is not None:
        wanted = live.agents[attempt.wanted]
        if wanted.previewed is not None and wanted.previewed.lead not in live.to_dial:
            wanted = live.move_agent(wanted, AgentEvent.PREVIEW_OVER, now_ms)
        if wanted.state is AgentState.READY:
            give(live, attempt, wanted.id, now_ms)
        if wanted.state is not AgentState.LOGGED_OUT:
            return
        attempt = live.attempts[attempt.id] = replace(attempt, wanted=None)
    ready = live.roster.ready.get(attempt.seat)
    chosen = pick_agent([live.agents[id_] for id_ in ready], _owner(live, attempt)) if ready else None
    if chosen is None and live.claims and hears_music(attempt):
        chosen = inbound.previewing(live, attempt)
        if chosen is not None:
            live.move_agent(live.agents[chosen], AgentEvent.PREVIEW_OVER, now_ms)
    if chosen is not None:
        give(live, attempt, chosen, now_ms)


def _owner(live: Live, attempt: Attempt) -> AgentId | None:
    """Whose customer they are, if anybody's."""
    lead = live.leads[attempt.lead] if attempt.lead is not None else None
    return (lead.owner or lead.keeper) if lead is not None else None


def give(live: Live, attempt: Attempt, chosen: AgentId, now_ms: int) -> None:
    """A waiting customer goes to this agent, who is ready."""
    attempt = replace(attempt, agent=chosen, wanted=None)
    live.attempts[attempt.id] = attempt
    agent = live.move_agent(live.agents[chosen], AgentEvent.RESERVE, now_ms, attempt=attempt.id, disposed=False)
    _join(live, agent, attempt, now_ms)
    live.emit(effects.ScreenPop(chosen, attempt))


def _join(live: Live, agent: Agent, attempt: Attempt, now_ms: int) -> None:
    """Bring a customer who has answered to the agent reserved for them."""
    if live.leg_kind(agent.id) is LegKind.ON_DEMAND and agent.leg is None:
        _call_phone(live, agent, attempt, now_ms)
    else:
        assert agent.leg is not None
        assert agent.bridge is not None
        live.emit(effects.Bridge(attempt.leg, agent.leg, agent.bridge, music=hears_music(attempt)))


def bridged(live: Live, attempt: Attempt, now_ms: int, *, over: bool = False) -> None:
    """They hear each other; `over`: they did, while no engine ran."""
    agent = live.agents.get(attempt.agent) if attempt.agent else None
    if attempt.state in CONVERSING or attempt.id in live.outside:
        return  # taken off hold, or told twice; or with somebody outside
    leaving = attempt.state is CustomerState.LEAVING
    if leaving and attempt.bridged_at_ms is not None:
        return  # told late: their conversation is over
    if agent is None or not _legal(live, attempt, CustomerEvent.BRIDGED):
        return
    # Of a customer whose agent was lost: the call is now the other agent's, from now on.
    goes_on = attempt.bridged_at_ms is not None and live.restored_talk.get(attempt.id) == agent.id
    at_ms = attempt.bridged_at_ms if goes_on else now_ms
    attempt = live.move_attempt(attempt, CustomerEvent.BRIDGED, now_ms, bridged_at_ms=at_ms)
    live.emit(
        effects.CancelTimer(("abandon", attempt.id)),
        effects.CancelTimer(("offer", agent.id)),
        effects.SaveAnswer(attempt),
    )
    if not over and not leaving:
        recording.talk_begins(live, live.agents[agent.id], live.attempts[attempt.id], now_ms)


def hold(live: Live, agent: Agent, attempt: Attempt, now_ms: int, *, on: bool) -> None:
    """Music for the customer, or the agent again; as it is, if it is so."""
    if (attempt.state is CustomerState.HELD) is not on:
        assert agent.bridge is not None
        live.move_attempt(attempt, CustomerEvent.HELD if on else CustomerEvent.RESUMED, now_ms)
        live.emit(effects.Hold(attempt.leg, agent.bridge, on))


def hung_up(live: Live, attempt: Attempt, cause: int, tech_cause: int | None, now_ms: int) -> None:
    """The customer's leg is gone; what that means depends on how far they came."""
    unanswered = attempt.answered_at_ms is None and attempt.queue is None
    if not live.connected and (unanswered or attempt.id in live.restored_talk):
        live.told_gone[attempt.id] = cause, tech_cause
        return  # the snapshot knows whether they had answered meanwhile, or whose word is owed
    if not _legal(live, attempt, CustomerEvent.HUNG_UP):
        return
    # What nobody saw the law's counter takes for the worse: an engine before us may have played them the message.
    answered = Outcome.HUNG_UP_EARLY if live.connected else Outcome.ABANDONED
    outcome = of_ended(attempt, answered=answered, unanswered=of_unanswered(cause, tech_cause))
    trunk = live.line(attempt.trunk)
    if outcome is Outcome.CONGESTION or tech_cause in NOT_LET_IN:
        trunk.refused(now_ms)
    elif not _silence(attempt, outcome, tech_cause):
        trunk.accepted()
    ended = live.move_attempt(attempt, CustomerEvent.HUNG_UP, now_ms)
    live.end_attempt(ended, outcome, now_ms, cause=cause, tech_cause=tech_cause)


def _silence(attempt: Attempt, outcome: Outcome, tech_cause: int | None) -> bool:
    """Whether we heard nothing at all of the carrier until we gave up: no proof that it is well."""
    heard = attempt.ringing_at_ms is not None or attempt.answered_at_ms is not None
    return not heard and outcome in {Outcome.NO_ANSWER, Outcome.CANCELLED} and tech_cause in {None, 0, 408}


def hears_music(attempt: Attempt) -> bool:
    """Whether a customer who waits does so with music: who called us, and who had an agent already."""
    return attempt.queue is not None or attempt.bridged_at_ms is not None


def abandon_due(live: Live, attempt: Attempt, now_ms: int) -> None:
    """Nobody took them in time: the message, never silence."""
    if not live.connected:
        return  # Without a link nothing can be played; the next snapshot sets the clock again.
    if attempt.state is CustomerState.SCREENING:
        live.counters["verdicts_late"] += 1
        attempt = let_through(live, attempt, Verdict.UNSURE, now_ms)
        _offer(live, attempt, now_ms)
        if live.attempts[attempt.id].agent is not None:
            live.emit(effects.SetTimer(("abandon", attempt.id), now_ms + LATE_VERDICT_MS))
            return
    if attempt.state is not CustomerState.WAITING:
        return
    if attempt.wanted is not None:
        live.attempts[attempt.id] = replace(attempt, wanted=None)  # from now on whoever of the team is free
        live.ask(attempt.seat)
        live.emit(effects.SetTimer(("abandon", attempt.id), now_ms + wait_ms(live, attempt)))
        return
    if hears_music(attempt) and attempt.agent is not None:
        live.emit(effects.SetTimer(("abandon", attempt.id), now_ms + inbound.OFFER_GRACE_MS))
        return  # an agent's phone rings for them just now
    if attempt.verdict is Verdict.MACHINE and attempt.bridged_at_ms is None:
        _leave_machine(live, attempt, CustomerEvent.LEAVE, now_ms)  # let through for the sample, and nobody was free
        return
    attempt = live.move_attempt(attempt, CustomerEvent.LEAVE, now_ms, outcome=_unserved(attempt))
    play_message(live, attempt, now_ms)


def _unserved(attempt: Attempt) -> Outcome:
    # Who was bridged before lost their agent in mid-conversation: no abandoned answer, but no silence either.
    if attempt.bridged_at_ms is not None:
        return Outcome.CONNECTED
    if attempt.verdict is Verdict.MACHINE:
        return Outcome.MACHINE  # a message for the machine
    return Outcome.ABANDONED if attempt.queue is None else Outcome.TURNED_AWAY


def heard_message(live: Live, attempt: Attempt, now_ms: int) -> None:
    """They answered while no engine listened: the dialplan plays them the message. That is an abandon."""
    if attempt.state is CustomerState.LEAVING:
        _answered_while_leaving(live, attempt, now_ms)
    else:
        if attempt.state in UNANSWERED:
            live.line(attempt.trunk).accepted()
            attempt = live.move_attempt(attempt, CustomerEvent.ANSWERED, now_ms, answered_at_ms=now_ms)
            live.emit(effects.SaveAnswer(attempt))
        live.move_attempt(attempt, CustomerEvent.LEAVE, now_ms, outcome=_unserved(attempt))
    live.emit(effects.SetTimer(("life", attempt.id), now_ms + MESSAGE_MAX_MS))


def play_message(live: Live, attempt: Attempt, now_ms: int) -> None:
    """In the lead's language; the dialplan hangs up at its end."""
    live.emit(
        effects.PlayMessageAndHangup(attempt.leg, live.message(attempt)),
        effects.SetTimer(("life", attempt.id), now_ms + MESSAGE_MAX_MS),
    )


def opted_out(live: Live, attempt_id: AttemptId, now_ms: int) -> None:
    """They pressed the key for "no more calls": on the do-not-call list at once, also of a call long over."""
    attempt = live.attempts.get(attempt_id)
    lead = live.leads.get(attempt.lead) if attempt is not None and attempt.lead is not None else None
    if attempt is None:
        attempt, lead = live.recent.get(attempt_id) or (None, None)
    if lead is not None and lead.state is LeadState.SUPPRESSED:
        return  # told twice, or suppressed before
    live.emit(effects.SaveOptOut(attempt_id, now_ms))
    suppressed(live, lead.id if lead is not None else None, now_ms)


def life_over(live: Live, attempt: Attempt, now_ms: int) -> None:
    """No news for longer than a call can take: look for it in the switch."""
    if attempt.state in CONVERSING or attempt.state is CustomerState.ENDED:
        return
    if attempt.state is CustomerState.LEAVING:
        live.emit(effects.Hangup(attempt.leg))
    live.ask_switch(now_ms)
    live.emit(effects.SetTimer(("life", attempt.id), now_ms + LIFE_SLACK_MS))


def suppressed(live: Live, lead: LeadId | None, now_ms: int) -> None:
    """Never again: no hopper may hold it, no outcome may bring it back, and an unanswered call to it ends.

    None: somebody whose call is no longer known here.
    """
    for hopper in live.hoppers.values():
        hopper.doubt()
    # Others may share the lead's numbers, and the card may have been given new ones: the store knows whom it means.
    live.check_held(loaded.id for hopper in live.hoppers.values() for loaded in hopper.leads)
    _ask_again(live, now_ms)
    if lead is None:
        return
    if lead in live.claims:
        live.move_agent(live.agents[live.claims[lead].agent], AgentEvent.PREVIEW_OVER, now_ms)
    if lead in live.leads:
        live.leads[lead] = replace(live.leads[lead], state=LeadState.SUPPRESSED)
    for id_ in live.recent.of(lead):
        attempt, known = live.recent.get(id_) or (None, None)
        if attempt is not None and known is not None:
            live.recent.keep(attempt, replace(known, state=LeadState.SUPPRESSED), live.recent.rule(id_))
    for attempt in [a for a in live.attempts.values() if a.lead == lead and a.state in UNANSWERED]:
        take_back(live, attempt, now_ms)


def do_not_call_changed(live: Live, event: DoNotCallChanged, now_ms: int) -> None:
    """Nothing read before may be dialed; what rings or is shown already is looked up."""
    _ = event
    for hopper in live.hoppers.values():
        reset(hopper)  # whole: numbers may also have been taken off a list
    _ask_again(live, now_ms)
    live.check_held(live.leads.keys() | live.claims.keys())


def held_checked(live: Live, event: HeldChecked, now_ms: int) -> None:
    """Take back the calls that must not be, do not go on to those numbers afterwards, and load nobody who has them."""
    live.checks = max(0, live.checks - 1)
    listed = {lead_id for lead_id, _ in event.blocked}
    for hopper in live.hoppers.values():
        hopper.drop(listed)
    for lead_id, number in event.blocked:
        claim, lead = live.claims.get(lead_id), live.leads.get(lead_id)
        if claim is not None:  # with another number it may be shown again
            live.move_agent(live.agents[claim.agent], AgentEvent.PREVIEW_OVER, now_ms)
        if lead is not None:
            phones = tuple(replace(p, valid=False) if p.number == number else p for p in lead.phones)
            live.leads[lead_id] = replace(lead, phones=phones)
    blocked = set(event.blocked)
    for attempt in [a for a in live.attempts.values() if (a.lead, a.number) in blocked and a.state in UNANSWERED]:
        take_back(live, attempt, now_ms)


def _ask_again(live: Live, now_ms: int) -> None:
    """A lead to be dialed at an agent's word that was read before a word of do-not-call was on disk is read again."""
    live.ask_all()
    for wanted in live.to_dial.values():  # whoever dials asks again
        if wanted.command is not None:
            live.done(wanted.command, Refusal.LEAD_CHANGED)
        live.emit(effects.SetTimer(("preview", wanted.agent), now_ms))
    live.to_dial.clear()


def command_failed(live: Live, attempt: Attempt, command: str, now_ms: int) -> None:
    """The switch did not do what we asked of this leg: ask what it has, and act on that."""
    if attempt.state is CustomerState.SCREENING and command == "screen":
        let_through(live, attempt, Verdict.UNSURE, now_ms)
    live.counters[f"failed_{command}"] += 1
    if command == "transferout" and attempt.state is CustomerState.LEAVING:
        play_message(live, attempt, now_ms)
        return
    if command in {"music", "hold"} and attempt.state is CustomerState.WAITING:
        live.without_music[attempt.id] = None
    if command == "startrecording":
        recording.failed(live, attempt, now_ms)
        return
    live.ask_switch(now_ms)


def phone_rang_out(live: Live, agent: Agent, now_ms: int) -> None:
    """An on-demand phone did not answer its offer: pause the agent, the customer is next in line again."""
    attempt = live.attempts.get(agent.attempt) if agent.attempt else None
    agent = live.move_agent(
        agent, AgentEvent.OFFER_TIMEOUT, now_ms, attempt=None, pause_reason=SystemPause.NO_ANSWER.value
    )
    live.drop_on_demand_leg(agent, now_ms)
    live.grant_wish(live.agents[agent.id], now_ms)
    if attempt is not None:
        release_customer(live, attempt.id, now_ms)


def release_customer(live: Live, attempt_id: AttemptId, now_ms: int, bridge: BridgeId | None = None) -> None:
    """Their agent fell away before or while they talked: back to the head of the line, out of the agent's `bridge`."""
    attempt = live.attempts.get(attempt_id)
    if attempt is None:
        return
    joint = JOINT_CUSTOMER.get((AgentEvent.LEG_LOST, attempt.state))
    if joint is not None:
        if bridge is not None and attempt.state is CustomerState.TALKING:
            live.emit(effects.Hold(attempt.leg, bridge, on=True))
        attempt = live.move_attempt(replace(attempt, agent=None), joint, now_ms)
        live.emit(effects.SetTimer(("abandon", attempt.id), now_ms + wait_ms(live, attempt)))
        inbound.music(live, attempt)
    elif attempt.state is CustomerState.WAITING:
        live.attempts[attempt.id] = replace(attempt, agent=None)
        inbound.music(live, attempt)
    elif attempt.state in UNANSWERED:
        _leave_to_anyone(live, attempt, now_ms)


def _leave_to_anyone(live: Live, attempt: Attempt, now_ms: int) -> None:
    """A call that rings and has lost the agent who dialed it: from now on one among the pacer's."""
    live.attempts[attempt.id] = replace(attempt, agent=None, by_agent=False)
    pacer = live.pacers[attempt.campaign]
    pacer.placed(min(now_ms, attempt.planned_at_ms), attempt.id)
    if attempt.ringing_at_ms is not None:
        pacer.ringing(min(now_ms, attempt.ringing_at_ms), attempt.id)


def _call_phone(live: Live, agent: Agent, attempt: Attempt, now_ms: int) -> None:
    profile = live.profiles[agent.id]
    leg = live.new_agent_leg(agent.id)
    live.put_agent(replace(agent, leg=leg, bridge=bridge_of_leg(leg)), now_ms)
    live.emit(
        effects.OriginateAgent(
            leg=leg,
            agent=agent.id,
            phone=profile.phone,
            auto_answer=profile.auto_answer,
            ring_timeout_ms=profile.offer_timeout_ms,
            # Not the customer's number: who may see it is the desk's to decide, not the phone's display.
            caller_id=live.campaigns[attempt.campaign].caller_id,
        ),
        *(() if attempt.queue is not None else (effects.Music(attempt.leg),)),  # who queues hears it already
        effects.SetTimer(("offer", agent.id), now_ms + profile.offer_timeout_ms),
    )


def _answered_against_our_hangup(live: Live, attempt: Attempt, now_ms: int) -> None:
    """They answered while our hang-up was on its way: they hear the message."""
    attempt = _answered_while_leaving(live, attempt, now_ms)
    if attempt.outcome in {Outcome.ABANDONED, Outcome.MACHINE, *MISSED}:
        _send_off(live, attempt, now_ms)


def _answered_while_leaving(live: Live, attempt: Attempt, now_ms: int) -> Attempt:
    """A live person, and we were gone: that is an abandon."""
    if attempt.answered_at_ms is not None:
        return attempt
    attempt = live.move_attempt(
        attempt, CustomerEvent.ANSWERED, now_ms, answered_at_ms=now_ms, outcome=Outcome.ABANDONED
    )
    live.emit(effects.SaveAnswer(attempt))
    return attempt


def _legal(live: Live, attempt: Attempt, event: CustomerEvent) -> bool:
    """Theirs, not ours: an event that the table does not have is counted, and the switch asked what is true."""
    if legal(CUSTOMER, attempt.state, event):
        return True
    live.counters["late_events" if attempt.state is CustomerState.ENDED else "strange_events"] += 1
    return False
