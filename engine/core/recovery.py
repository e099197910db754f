"""After a restart or a lost link: join what the store remembers to what the switch has.

The switch is the truth about legs, the store about attempts. Audio is never touched: a conversation that goes on is
taken over as it is; what is gone is closed; what is nobody's is hung up. An unknown outcome is a spent attempt.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from typing import Final

from engine.core import attempts as rules
from engine.core import consultation, customers, desk, effects, inbound, outside
from engine.core.dialing import take_back
from engine.core.events import LegFound, LegGone, Restored, SwitchDied, SwitchUp
from engine.core.live import SNAPSHOT_GRACE_MS, Live
from engine.core.machines import AgentEvent, CustomerEvent
from engine.core.model import (
    COUNTED,
    Agent,
    AgentId,
    AgentState,
    Attempt,
    AttemptId,
    AttemptPolicy,
    CallingHours,
    Campaign,
    CustomerState,
    DispositionId,
    InboundQueue,
    Lead,
    LeadChange,
    LeadState,
    LegId,
    LegKind,
    Outcome,
    Recording,
    SystemPause,
    Verdict,
    agent_of_leg,
    bridge_of_leg,
    customer_leg,
)
from engine.core.outcome import of_ended, of_unanswered
from engine.core.pacing import Manual
from engine.core.screening import Checked
from engine.core.values import replace

#: Of a campaign that has left the file nobody knows how often a lead may be tried; explain says that it is gone.
TRIES_UNKNOWN: Final = 1_000


def restored(live: Live, event: Restored, now_ms: int) -> None:
    """What was on disk at the start; the first snapshot of the switch will say what became of it."""
    for campaign in event.running:
        if campaign in live.policy.campaigns:
            live.running[campaign] = True
    for campaign, learned in event.learned.items():
        if campaign in live.pacers:
            live.teach(campaign, learned)
    for attempt, lead in event.attempts:
        _remember(live, attempt, now_ms)
        _take_up(live, attempt, lead, now_ms)
    said = {id_: rules.rule_of(word) for id_, word in event.decided.items() if id_ in live.attempts}
    live.decided |= said
    _recordings_restored(live, event.recordings)
    live.ending.update((recording.name, (recording, 0)) for recording in event.recordings_ended)
    _recount(live, event, now_ms)  # after the open attempts: their answers are in it
    for attempt in _attempts_now(live):
        live.count_decided(attempt, now_ms)  # but what the last engine had decided on them is not
    live.restored_ready = dict(event.logged_in)
    for agent_id, attempt, lead in event.undisposed:
        served = live.campaigns.get(attempt.campaign)
        agent = live.agents.get(agent_id)
        if lead.id in live.leads:
            continue  # an older conversation of a lead that another agent owes a word
        if agent is not None and served is not None and agent.attempt is None:
            live.attempts[attempt.id] = replace(attempt, agent=agent_id)
            live.leads[lead.id] = lead
            live.put_agent(replace(agent, attempt=attempt.id), now_ms)
            live.emit(effects.SetTimer(("wrap", agent_id), now_ms + served.wrap_up_ms))
        else:
            change = LeadChange(lead=lead.id, state=LeadState.CLOSED, rule=desk.NO_WORD)
            live.emit(effects.SaveLead(change, now_ms))


def _recount(live: Live, event: Restored, now_ms: int) -> None:
    for campaign, pacer in live.pacers.items():
        live.detections[campaign].restore(checked_of(live.campaigns[campaign], event.checked.get(campaign, ())))
        live.charge_misjudged(campaign)
        pacer.budget.restore(event.answers.get(campaign, ()), now_ms)


def checked_of(campaign: Campaign, said: Iterable[tuple[AttemptId, int, DispositionId]]) -> Iterator[Checked]:
    """What agents' words say of calls judged machines. Of a word that is gone from the file nobody knows any more."""
    for attempt, at_ms, disposition in said:
        found = campaign.disposition(disposition)
        if found is not None:
            yield Checked(attempt=attempt, at_ms=at_ms, person=not found.machine)


def _recordings_restored(live: Live, recordings: Iterable[Recording]) -> None:
    for recording in recordings:
        attempt = live.attempts.get(recording.attempt)
        if attempt is not None:
            live.attempts[attempt.id] = replace(attempt, recording=recording)
        else:
            live.ending[recording.name] = (recording, 0)


def _end_recordings_left(live: Live, now_ms: int, *, anew: bool) -> None:
    """The order to end them may have been lost: the next conversation in that bridge is not theirs."""
    for attempt in _attempts_now(live):
        if attempt.recording is not None and attempt.state not in customers.CONVERSING:
            live.stop_recording(attempt, now_ms)
    again, live.stop_again = anew or live.stop_again, False
    for name, (recording, at_ms) in list(live.ending.items()):
        if again:
            live.end_recording(recording, customer_leg(recording.attempt), now_ms)
            if not at_ms:  # else its end is on disk
                live.emit(effects.SaveRecording(recording, now_ms))
        elif abs(now_ms - at_ms) > SNAPSHOT_GRACE_MS:
            del live.ending[name]  # had it failed, we would know by now


def _remember(live: Live, attempt: Attempt, now_ms: int) -> None:
    """What left the file while no engine ran is known until its calls are over: nobody is dialed for it, none waits."""
    shut = CallingHours(spans=((),) * 7, zone="UTC")
    if attempt.campaign not in live.campaigns:
        live.counters["restored_without_campaign"] += 1
        gone = Campaign(
            id=attempt.campaign,
            name=attempt.campaign,
            pacing=Manual(),
            trunks=(attempt.trunk,),
            caller_id=None,
            attempts=AttemptPolicy(max=TRIES_UNKNOWN, retry={}),
            hours=shut,
            dispositions=(),
        )
        live.remember(gone, now_ms)
    if attempt.queue is not None and attempt.queue not in live.queues:
        live.queues[attempt.queue] = InboundQueue(
            id=attempt.queue,
            name=attempt.queue,
            campaign=attempt.campaign,
            numbers=(),
            hours=shut,
            wait_max_ms=0,
        )


def _take_up(live: Live, attempt: Attempt, lead: Lead | None, now_ms: int) -> None:
    # Who talks with whom, and whether still, the switch will say.
    talked = attempt.state in customers.CONVERSING
    if talked and attempt.agent is not None:
        live.restored_talk[attempt.id] = attempt.agent
        live.enlist(attempt.agent)  # who has left the file talks to the end
    attempt = replace(attempt, agent=None, state=CustomerState.WAITING if talked else attempt.state)
    if attempt.state is CustomerState.LEAVING:
        attempt = replace(attempt, outcome=_known_of(attempt))  # the disk has none before the end
    live.attempts[attempt.id] = attempt
    live.line(attempt.trunk).in_use += 1
    if lead is not None:
        live.leads[lead.id] = lead
        spoken = attempt.queue is None or attempt.bridged_at_ms is not None  # one who waits leaves the lead as it was
        if spoken and lead.state not in {LeadState.DIALING, LeadState.IN_CALL}:
            live.decided[attempt.id] = ""  # the agent gave a disposition while they talked
    if attempt.queue is not None:
        inbound.ask_who(live, attempt)
    elif attempt.bridged_at_ms is None:
        pacer = live.pacers[attempt.campaign]
        pacer.placed(min(now_ms, attempt.planned_at_ms), attempt.id)
        if attempt.ringing_at_ms is not None:
            pacer.ringing(min(now_ms, attempt.ringing_at_ms), attempt.id)
        if attempt.answered_at_ms is not None and attempt.state is CustomerState.SCREENING:
            pacer.answered(min(now_ms, attempt.answered_at_ms), attempt.id)
        elif attempt.answered_at_ms is not None and attempt.verdict is Verdict.MACHINE:
            pacer.checking(min(now_ms, attempt.answered_at_ms), attempt.id)
        elif attempt.answered_at_ms is not None:
            pacer.human(min(now_ms, attempt.answered_at_ms), attempt.id)


def switch_up(live: Live, event: SwitchUp, now_ms: int) -> None:
    """The switch says what it has of ours: adopt, close, hang up.

    Agents and conversations first: only then is it known who is free for those who wait.
    """
    live.switch_problem = live.switch_slow
    anew, live.connected = not live.connected, True
    found = {leg.leg: leg for leg in event.legs}
    gone = {leg.leg: leg for leg in event.gone if leg.leg not in found}
    no_agents: list[LegFound] = []  # customers, and others
    for leg in event.legs:
        agent_id = agent_of_leg(leg.leg)
        if agent_id is not None:
            _agent_leg_found(live, agent_id, leg, now_ms)
        else:
            _arrival_found(live, leg, now_ms)
            no_agents.append(leg)
    alone: list[LegFound] = []
    of_others: list[LegFound] = []
    for leg in no_agents:
        attempt_id = live.attempt_at(leg.leg)
        if attempt_id is None:
            of_others.append(leg)
        elif not _conversation_found(live, live.attempts.get(attempt_id), leg, now_ms):
            alone.append(leg)
    for attempt in _attempts_now(live):
        if attempt.state in customers.CONVERSING and attempt.leg in gone:
            _customer_leg_missing(live, attempt, gone[attempt.leg], now_ms)  # before their agent is taken for lost
    _end_agents_legs(live, found, now_ms)
    for leg in alone:
        _customer_leg_found(live, leg, now_ms, anew=anew)
    _log_in_the_rest(live, now_ms)
    for attempt in _attempts_now(live):
        if attempt.leg not in found and attempt.state is not CustomerState.ENDED:
            _customer_leg_missing(live, attempt, gone.get(attempt.leg), now_ms)
    consultation.found(live, found, of_others, now_ms)
    live.restored_talk.clear()
    live.told_gone.clear()
    _end_recordings_left(live, now_ms, anew=anew)


def _attempts_now(live: Live) -> Iterator[Attempt]:
    """Each as it is when its turn comes: what became of those before may have changed it."""
    return (live.attempts[id_] for id_ in list(live.attempts) if id_ in live.attempts)


def _agents_now(live: Live) -> Iterator[Agent]:
    """Likewise: whoever asked a colleague asks nobody any more when that one's phone is gone."""
    return (live.agents[id_] for id_ in list(live.agents))


def _end_agents_legs(live: Live, found: Container[LegId], now_ms: int) -> None:
    """Those that the switch no longer has."""
    for agent in _agents_now(live):
        if (
            agent.leg is not None
            and agent.leg not in found
            and now_ms - live.leg_since_ms[agent.id] > SNAPSHOT_GRACE_MS
        ):
            desk.leg_hung_up(live, agent, now_ms)


def switch_died(live: Live, event: SwitchDied, now_ms: int) -> None:
    """No leg is left: conversations first, so that their agents may still say how they ended."""
    live.connected = False
    live.switch_slow = ""
    live.switch_problem = event.reason
    _log_in_the_rest(live, now_ms)
    gone = {leg.leg: leg for leg in event.gone}
    for attempt in _attempts_now(live):
        if attempt.state is not CustomerState.ENDED:
            _close(live, attempt, gone.get(attempt.leg), now_ms)
    live.restored_talk.clear()
    live.told_gone.clear()
    for agent in _agents_now(live):
        if agent.leg is not None:
            desk.leg_hung_up(live, agent, now_ms)


def _agent_leg_found(live: Live, agent_id: AgentId, leg: LegFound, now_ms: int) -> None:
    agent = live.agents.get(agent_id)
    if agent is None or (agent.leg is not None and agent.leg != leg.leg):
        live.emit(effects.Hangup(leg.leg, bridge_of_leg(leg.leg)))
        return
    if agent.leg == leg.leg:
        if leg.answered and leg.ours_to_command and _rings_in_the_books(live, agent, leg):
            desk.leg_answered(live, agent, now_ms)
        return
    at_rest = live.leg_kind(agent_id) is LegKind.ON_DEMAND and all(map(agent_of_leg, leg.bridged_with))
    restored = agent.state is AgentState.LOGGED_OUT and agent_id in live.restored_ready
    if restored and leg.answered and leg.ours_to_command and not at_rest:
        _adopt_agent(live, agent, leg, now_ms)
    elif leg.answered and leg.ours_to_command and _talks_after_all(live, agent, leg):
        live.put_agent(replace(agent, leg=leg.leg, bridge=bridge_of_leg(leg.leg)), now_ms)
    else:
        live.emit(effects.Hangup(leg.leg, bridge_of_leg(leg.leg)))


def _talks_after_all(live: Live, agent: Agent, leg: LegFound) -> bool:
    """Whether a phone called for one conversation was lifted while nobody told us, and we had given it up."""
    if live.leg_kind(agent.id) is not LegKind.ON_DEMAND or agent.state not in {AgentState.READY, AgentState.PAUSED}:
        return False
    customer = next((live.attempt_at(one) for one in leg.bridged_with if agent_of_leg(one) is None), None)
    attempt = live.attempts.get(customer) if customer is not None else None
    waits = attempt is not None and attempt.state is CustomerState.WAITING and attempt.agent is None
    return waits and agent.attempt is None


def _rings_in_the_books(live: Live, agent: Agent, leg: LegFound) -> bool:
    """Whether we have not been told yet that they lifted the phone."""
    if agent.state is AgentState.RESERVED:
        return not leg.bridged_with and live.leg_kind(agent.id) is LegKind.ON_DEMAND
    return agent.state is AgentState.CONNECTING or consultation.rings(live, agent)


def _adopt_agent(live: Live, agent: Agent, leg: LegFound, now_ms: int) -> None:
    """An agent whose phone is still with us after our restart: their shift goes on."""
    wanted_ready = live.restored_ready.pop(agent.id)
    bridge = bridge_of_leg(leg.leg)
    if not leg.bridged_with:
        live.emit(effects.OpenBridge(leg.leg, bridge))  # the last engine may have ended before it did
    live.emit(effects.Mute(leg.leg, on=False))  # nobody knows whether it was muted, and the desk says that it is not
    agent = replace(agent, leg=leg.leg, bridge=bridge)
    agent = live.move_agent(agent, AgentEvent.LOGIN, now_ms)
    agent = live.move_agent(agent, AgentEvent.LEG_UP, now_ms, pause_reason=SystemPause.RESTARTED.value)
    if wanted_ready and agent.attempt is None:
        live.move_agent(agent, AgentEvent.READY, now_ms)


def _log_in_the_rest(live: Live, now_ms: int) -> None:
    """On-demand agents have no leg to find: their shift goes on. The others' phones are gone, and so are they."""
    for agent_id, wanted_ready in list(live.restored_ready.items()):
        live.restored_ready.pop(agent_id)
        agent = live.agents.get(agent_id)
        if agent is None:  # no longer in the file: their shift is over on disk too
            live.emit(effects.SaveAgent(Agent(id=agent_id, since_ms=now_ms), now_ms))
            continue
        if agent.state is not AgentState.LOGGED_OUT:
            continue
        if live.leg_kind(agent_id) is LegKind.ON_DEMAND:
            agent = live.move_agent(agent, AgentEvent.LOGIN, now_ms)
            agent = live.move_agent(agent, AgentEvent.LEG_UP, now_ms, pause_reason=SystemPause.RESTARTED.value)
            if wanted_ready and agent.attempt is None:
                live.move_agent(agent, AgentEvent.READY, now_ms)
        else:
            live.put_agent(agent, now_ms)


def _arrival_found(live: Live, leg: LegFound, now_ms: int) -> None:
    if leg.arrived is not None and leg.ours_to_command:
        inbound.arrived(live, leg.arrived, now_ms, talks=any(map(agent_of_leg, leg.bridged_with)))


def _customer_leg_found(live: Live, leg: LegFound, now_ms: int, *, anew: bool) -> None:
    attempt = live.attempts.get(live.attempt_at(leg.leg) or AttemptId(""))
    if attempt is None or attempt.state is CustomerState.ENDED:
        live.emit(effects.Hangup(leg.leg))
    elif attempt.state is CustomerState.LEAVING:
        _leaving_leg_found(live, attempt, leg, now_ms)
    elif not leg.answered:
        _ringing_leg_found(live, attempt, now_ms, anew=anew)
    elif not leg.ours_to_command or outside.partner(attempt, leg) is not None:
        _leg_of_others_found(live, attempt, leg, now_ms, anew=anew)
    elif attempt.state is CustomerState.SCREENING and anew:
        # No order of ours is on its way: the verdict is lost, or nobody has asked for it.
        customers.judged(live, attempt, attempt.verdict or Verdict.UNSURE, 1.0, now_ms)
    elif attempt.state in customers.UNANSWERED:
        customers.answered(live, attempt, now_ms)
    elif attempt.state is CustomerState.WAITING:
        if anew:
            live.emit(effects.SetTimer(("abandon", attempt.id), _abandon_at_ms(live, attempt, now_ms)))
        partner = live.agents.get(live.restored_talk.get(attempt.id, AgentId("")))
        if anew or attempt.id in live.without_music:
            inbound.music(live, attempt)  # the order may have been lost, with the link or without
        if partner is not None and partner.state is AgentState.READY:
            customers.give(live, attempt, partner.id, now_ms)  # on hold when the last engine ended
        else:
            _bridge_again(live, attempt)
    elif attempt.state is CustomerState.TALKING and abs(now_ms - (attempt.bridged_at_ms or 0)) > SNAPSHOT_GRACE_MS:
        live.counters["conversations_unbridged"] += 1
        _bridge_again(live, attempt)


def _ringing_leg_found(live: Live, attempt: Attempt, now_ms: int, *, anew: bool) -> None:
    if anew and attempt.campaign not in live.policy.campaigns:
        take_back(live, attempt, now_ms)  # nobody would be there for them


def _leg_of_others_found(live: Live, attempt: Attempt, leg: LegFound, now_ms: int, *, anew: bool) -> None:
    """It is being judged, hears the message, or talks with somebody outside."""
    outsider = outside.partner(attempt, leg)
    if leg.handed_out or outsider is not None:
        if attempt.state is CustomerState.WAITING and (outsider is None or attempt.id in live.restored_talk):
            partner = live.restored_talk.get(attempt.id)
            if partner is not None and attempt.id in live.decided:
                live.attempts[attempt.id] = replace(attempt, agent=partner)  # who has said how it went, and is free
            elif partner is not None:
                _talk_on(live, attempt, partner, now_ms, over=True)  # their agent owes the word
            if outsider is not None:
                live.outside[attempt.id] = outsider
            outside.gone_out(live, live.attempts[attempt.id], now_ms)
        return
    if leg.screening and attempt.state in customers.UNANSWERED:
        customers.found_screening(live, attempt, now_ms)
    elif leg.screening and attempt.state is CustomerState.SCREENING and anew:
        live.emit(effects.SetTimer(("abandon", attempt.id), _abandon_at_ms(live, attempt, now_ms)))
    elif not leg.screening and attempt.state in {
        *customers.UNANSWERED,
        CustomerState.SCREENING,
        CustomerState.WAITING,
    }:
        customers.heard_message(live, attempt, now_ms)


def _leaving_leg_found(live: Live, attempt: Attempt, leg: LegFound, now_ms: int) -> None:
    """Our order to end it may have been lost; who is in the dialplan hears the message and is not cut short."""
    if not leg.answered:
        live.emit(effects.Hangup(leg.leg))
    elif attempt.out is not None and attempt.id in live.outside:
        if outside.partner(attempt, leg) is None:
            live.counters["transfers_repeated"] += 1
            outside.join(live, attempt, music=True)  # they may hear some
    elif leg.ours_to_command and attempt.out is not None and abs(now_ms - attempt.out.at_ms) < SNAPSHOT_GRACE_MS:
        return  # our order is on its way
    elif leg.ours_to_command:
        if attempt.bridged_at_ms is None:
            customers.answered(live, attempt, now_ms)
        else:
            live.emit(effects.Hangup(leg.leg))
    elif attempt.answered_at_ms is None:
        customers.heard_message(live, attempt, now_ms)


def _abandon_at_ms(live: Live, attempt: Attempt, now_ms: int) -> int:
    """The abandon clock goes on over a lost link; who is promised an agent, or lost one, has all of it again."""
    after_ms = customers.wait_ms(live, attempt)
    if attempt.agent is not None or attempt.bridged_at_ms is not None:
        return now_ms + after_ms
    return max(now_ms, (attempt.answered_at_ms or now_ms) + after_ms)


def _conversation_found(live: Live, attempt: Attempt | None, leg: LegFound, now_ms: int) -> bool:
    """Whether they are talking, whatever we thought; then the books follow."""
    phones = [(a, one) for one in leg.bridged_with if (a := agent_of_leg(one)) is not None]
    partners = [a for a, one in phones if a in live.agents and live.agents[a].leg == one]  # others are hung up
    if attempt is None or not partners or attempt.state in {CustomerState.LEAVING, CustomerState.ENDED}:
        return False
    theirs = attempt.agent or live.restored_talk.get(attempt.id)
    partner = theirs if theirs in partners else partners[0]
    _talk_on(live, attempt, partner, now_ms)
    return True


def _talk_on(live: Live, attempt: Attempt, partner: AgentId, now_ms: int, *, over: bool = False) -> None:
    agent = live.agents.get(partner)
    if attempt.state in customers.CONVERSING and attempt.agent == partner:
        if attempt.state is CustomerState.HELD and agent is not None and agent.bridge is not None:
            live.counters["holds_repeated"] += 1  # they hear every word: the order may have been lost
            live.emit(effects.Hold(attempt.leg, agent.bridge, on=True))
        return
    left = attempt.state is CustomerState.WAITING and attempt.bridged_at_ms is not None and attempt.agent != partner
    if left and attempt.id not in live.restored_talk and agent is not None and agent.bridge is not None:
        live.counters["transfers_repeated"] += 1  # handed on, and still in the bridge where the next one will be
        live.emit(effects.Hold(attempt.leg, agent.bridge, on=True))
        return
    if agent is None or (agent.attempt is not None and agent.attempt != attempt.id):
        live.counters["conversations_unexplained"] += 1
        return
    if attempt.state in customers.UNANSWERED:
        attempt = live.move_attempt(attempt, CustomerEvent.ANSWERED, now_ms, answered_at_ms=now_ms)
    if attempt.state is CustomerState.SCREENING:  # the verdict was on its way to the disk
        attempt = customers.let_through(live, attempt, attempt.verdict or Verdict.UNSURE, now_ms)
    if attempt.state is CustomerState.WAITING:
        if agent.state is AgentState.PAUSED:
            agent = live.move_agent(agent, AgentEvent.READY, now_ms)
        if agent.state is AgentState.PREVIEW:
            agent = live.move_agent(agent, AgentEvent.PREVIEW_OVER, now_ms)
        if agent.state is AgentState.READY:
            agent = live.move_agent(agent, AgentEvent.RESERVE, now_ms, attempt=attempt.id, disposed=False)
        if agent.state is AgentState.RESERVED:
            live.attempts[attempt.id] = replace(attempt, agent=partner)
            customers.bridged(live, live.attempts[attempt.id], now_ms, over=over)
            live.emit(effects.ScreenPop(partner, live.attempts[attempt.id]))


def _bridge_again(live: Live, attempt: Attempt) -> None:
    """The order to bridge may have been lost with the link."""
    agent = live.agents[attempt.agent] if attempt.agent else None
    if agent is None or agent.leg is None or agent.bridge is None:
        return
    if attempt.state is CustomerState.WAITING and live.leg_kind(agent.id) is LegKind.ON_DEMAND:
        return  # their phone rings yet: its answer will bridge them
    # The agent's bridge itself may be what is missing.
    live.emit(
        effects.OpenBridge(agent.leg, agent.bridge),
        effects.Bridge(attempt.leg, agent.leg, agent.bridge, music=customers.hears_music(attempt)),
    )


def _customer_leg_missing(live: Live, attempt: Attempt, gone: LegGone | None, now_ms: int) -> None:
    """Gone while nobody looked: close it by what is known. If the phone may have rung, it counts."""
    # Not older than now: the system clock may have been set back between two starts.
    young = 0 <= now_ms - max(attempt.planned_at_ms, attempt.answered_at_ms or 0) < SNAPSHOT_GRACE_MS
    # Taken back before the answer, it may ring yet: the dial may still be on its way, and our hang-up behind it.
    sent_off = attempt.state is CustomerState.LEAVING and attempt.answered_at_ms is not None
    partner = live.restored_talk.get(attempt.id)  # they talked before the link was there: it would be in the snapshot
    told = live.told_gone.get(attempt.id)
    if told is not None and partner is None and (gone is None or gone.answered_at_ms is None):
        customers.hung_up(live, attempt, *told, now_ms)
        return
    if gone is None and young and not sent_off and partner is None:
        live.emit(effects.SetTimer(("life", attempt.id), now_ms + SNAPSHOT_GRACE_MS))
        return
    _close(live, attempt, gone, now_ms)


def _close(live: Live, attempt: Attempt, gone: LegGone | None, now_ms: int) -> None:
    partner = live.restored_talk.get(attempt.id)
    if partner is not None:
        _talk_on(live, attempt, partner, now_ms, over=True)  # it ended while no engine ran: the agent still owes a word
        attempt = live.attempts[attempt.id]
    if gone is not None and gone.answered_at_ms is not None and attempt.answered_at_ms is None:
        at_ms = max(gone.answered_at_ms, attempt.planned_at_ms)
        # Taken back, and they had answered all the same: a live person, and we were gone.
        outcome = Outcome.ABANDONED if attempt.state is CustomerState.LEAVING else attempt.outcome
        attempt = live.move_attempt(attempt, CustomerEvent.ANSWERED, now_ms, answered_at_ms=at_ms, outcome=outcome)
    outcome = _known_of(attempt)
    if outcome is Outcome.LOST and gone is not None and of_unanswered(gone.cause, None) in COUNTED:
        outcome = of_unanswered(gone.cause, None)  # without the SIP code only these are sure
    ended = live.move_attempt(attempt, CustomerEvent.HUNG_UP, now_ms)
    live.end_attempt(ended, outcome, now_ms)


def _known_of(attempt: Attempt) -> Outcome:
    """How a call ended at whose end nobody looked: for who had answered, the law's counter takes the worse case."""
    return of_ended(attempt, answered=Outcome.ABANDONED, unanswered=Outcome.LOST)


def resync_due(live: Live, now_ms: int, every_ms: int) -> None:
    """The switch is asked now and then, also by an idle floor: the event that was lost may be that somebody calls."""
    if live.connected:
        live.ask_switch(now_ms)
    live.emit(effects.SetTimer(("resync", ""), now_ms + every_ms))
