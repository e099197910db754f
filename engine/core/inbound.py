"""Calls that come in: who may wait, who they are, who takes them.

Theory of operation. A call that came in is an attempt that has a queue and was never dialed: it is answered before we
hear of it, so it starts WAITING, with music, and from the bridge on it is a conversation like any other. Who calls is
asked of the store while they wait: one lead is attached by itself; of several, or none, the agent says who it is
(`AgentAttach`), during the call or after it. A lead that is on another call, or still owed a word, is never attached.
"""

from __future__ import annotations

from typing import Final

from engine.core import effects, hours
from engine.core.dialing import MESSAGE_MAX_MS
from engine.core.events import AgentAttach, CallArrived, CallerFetched, LeadFetched
from engine.core.live import Attaching, Live
from engine.core.machines import AgentEvent, CustomerEvent
from engine.core.model import (
    AgentId,
    Attempt,
    AttemptId,
    CustomerState,
    InboundQueue,
    Lead,
    LeadChange,
    LeadId,
    LeadState,
    LegId,
    Outcome,
    Refusal,
    queue_seat,
)
from engine.core.values import replace

#: An agent's phone that rings for a caller whose time is out may ring on for so long.
OFFER_GRACE_MS: Final = 5_000
#: Legs that ended lately: a fact that was late must not make a call of them.
GONE_LEGS_MAX: Final = 1_000
#: Played where no queue says otherwise.
MESSAGE: Final = "zvonar-sorry"


def arrived(live: Live, event: CallArrived, now_ms: int, *, talks: bool = False) -> None:
    """Somebody calls. `talks`: they are in an agent's bridge already, an engine before us put them there."""
    if event.leg in live.attempts.arrived or event.leg in live.gone_legs:
        return
    queue = queue_of(live, event)
    if queue is None:
        live.counters["calls_without_queue"] += 1
        live.emit(effects.PlayMessageAndHangup(event.leg, MESSAGE))
        return
    waiting = live.attempts.unserved[queue_seat(queue.id)]
    attempt = Attempt(
        id=AttemptId(live.next_number()),
        campaign=queue.campaign,
        lead=None,
        phone_position=0,
        number=event.caller,
        trunk=event.trunk,
        leg=event.leg,
        state=CustomerState.PLANNED,
        planned_at_ms=now_ms,
        queue=queue.id,
    )
    live.line(event.trunk).in_use += 1
    attempt = live.move_attempt(attempt, CustomerEvent.ARRIVED, now_ms, accepted_at_ms=now_ms, answered_at_ms=now_ms)
    live.emit(effects.SaveArrival(attempt))
    if not talks:
        closed = isinstance(hours.window(None, queue.hours, now_ms), hours.Closed)
        if closed or live.draining or waiting >= queue.queue_max:
            _turn_away(live, attempt, Outcome.OUT_OF_HOURS if closed else Outcome.TURNED_AWAY, now_ms)
            return
        music(live, attempt)
    live.emit(effects.SetTimer(("abandon", attempt.id), now_ms + queue.wait_max_ms))
    ask_who(live, attempt)


def queue_of(live: Live, event: CallArrived) -> InboundQueue | None:
    """The queue of the number that they dialed."""
    dialed = event.dialed.e164 if event.dialed is not None else ""
    queues = live.policy.queues.values()
    return next((q for q in queues if dialed in q.numbers and q.campaign in live.campaigns), None)


def _turn_away(live: Live, attempt: Attempt, outcome: Outcome, now_ms: int) -> None:
    attempt = live.move_attempt(attempt, CustomerEvent.LEAVE, now_ms, outcome=outcome)
    live.emit(
        effects.PlayMessageAndHangup(attempt.leg, live.message(attempt)),
        effects.SetTimer(("life", attempt.id), now_ms + MESSAGE_MAX_MS),
    )


def music(live: Live, attempt: Attempt) -> None:
    """Who waits in a queue hears music, and who waits for another agent."""
    live.without_music.pop(attempt.id, None)
    if attempt.queue is not None:
        live.emit(effects.Music(attempt.leg, live.queues[attempt.queue].music))
    elif attempt.bridged_at_ms is not None:
        live.emit(effects.Music(attempt.leg))


def gone(live: Live, leg: LegId) -> None:
    """A leg that came in has ended."""
    live.gone_legs[leg] = None
    while len(live.gone_legs) > GONE_LEGS_MAX:
        live.gone_legs.popitem(last=False)


# ── who they are ─────────────────────────────────────────────────────────────────────────────────────────────────


def ask_who(live: Live, attempt: Attempt) -> None:
    """Ask the store whose number it is."""
    if attempt.number is None:
        live.callers[attempt.id] = ()
    else:
        live.emit(effects.FetchCaller(attempt.id, attempt.number, attempt.campaign))


def caller_fetched(live: Live, event: CallerFetched, now_ms: int) -> None:
    """The store has said who it may be."""
    attempt = live.attempts.get(event.attempt)
    if attempt is None or attempt.state is CustomerState.ENDED:
        return
    live.callers[attempt.id] = event.leads
    live.ask(attempt.seat)
    recognised(live, attempt, now_ms)


def recognised(live: Live, attempt: Attempt, now_ms: int) -> Attempt:
    """The call with its lead, if exactly one has that number and nobody else has to do with it just now."""
    found = live.callers.get(attempt.id, ())
    if attempt.lead is None and len(found) == 1 and found[0].id not in live.leads:
        return _attach(live, attempt, found[0], now_ms)
    return attempt


def attach(live: Live, event: AgentAttach, now_ms: int) -> str | None:
    """The agent says who called. None: the answer follows when the store has read the lead."""
    _ = now_ms
    attempt = _find(live, event.attempt)
    refusal = _may_not_attach(live, attempt, event.agent, event.lead)
    if attempt is not None and attempt.lead == event.lead and attempt.agent == event.agent:
        return ""  # as it is
    if refusal:
        return refusal
    live.to_attach[event.lead] = Attaching(attempt=event.attempt, agent=event.agent, command=event.command)
    live.emit(effects.FetchLead(event.lead))
    return None


def lead_fetched(live: Live, event: LeadFetched, now_ms: int) -> None:
    """The lead that an agent named as the caller."""
    wanted = live.to_attach.pop(event.id, None)
    if wanted is None:
        return
    attempt = _find(live, wanted.attempt)
    refusal = _may_not_attach(live, attempt, wanted.agent, event.id)
    if not refusal and event.lead is None:
        refusal = Refusal.LEAD_UNREADABLE
    if not refusal and attempt is not None and event.lead is not None:
        _attach(live, attempt, event.lead, now_ms)
    live.done(wanted.command, refusal)


def _find(live: Live, id_: AttemptId) -> Attempt | None:
    recent = live.recent.get(id_)
    return live.attempts.get(id_) or (recent[0] if recent is not None else None)


def _may_not_attach(live: Live, attempt: Attempt | None, agent: AgentId, lead: LeadId) -> str:
    if attempt is None or attempt.queue is None or attempt.agent != agent:
        return Refusal.NO_CALL
    if attempt.lead is not None:
        return Refusal.CALLER_KNOWN
    if lead in live.leads or lead in live.to_attach:
        return Refusal.LEAD_TAKEN
    return ""


def _attach(live: Live, attempt: Attempt, lead: Lead, now_ms: int) -> Attempt:
    position = next((phone.position for phone in lead.phones if phone.number == attempt.number), 0)
    named = replace(attempt, lead=lead.id, phone_position=position)
    known = attempt.id in live.attempts
    rule = live.decided.get(attempt.id, "") if known else live.recent.rule(attempt.id)
    # What was said before they were named holds as if it had been said after: of a stranger only a final word is taken.
    # But what happened to the lead since that call stands.
    stands = not known and lead.changed_at_ms > (attempt.ended_at_ms or now_ms)
    said = rule != "" and lead.state is not LeadState.SUPPRESSED and not stands
    change = LeadChange(lead=lead.id, state=LeadState.CLOSED, rule=rule) if said else None
    if known:
        live.attempts[attempt.id] = named
        live.leads[lead.id] = lead
    else:
        live.recent.keep(named, lead, rule)
    if known or said:
        _take_from_dialing(live, lead, now_ms)
    owed = known and attempt.id not in live.decided and attempt.bridged_at_ms is not None
    live.emit(
        effects.SaveAttached(attempt=attempt.id, lead=lead.id, owed=owed, at_ms=now_ms, change=change),
        effects.AttemptChanged(named),
    )
    return named


def _take_from_dialing(live: Live, lead: Lead, now_ms: int) -> None:
    """They are on the line, or were: no hopper may hold them, nobody looks at them before a call."""
    claim = live.claims.get(lead.id)
    if claim is not None:
        live.move_agent(live.agents[claim.agent], AgentEvent.PREVIEW_OVER, now_ms)
    for hopper in live.hoppers.values():
        hopper.drop({lead.id})
        hopper.doubt()


# ── who takes them ───────────────────────────────────────────────────────────────────────────────────────────────


def may_be_offered(live: Live, attempt: Attempt) -> bool:
    """Whether it is known who calls, or will not be known soon."""
    return attempt.id in live.callers or bool(live.store_problem)


def previewing(live: Live, attempt: Attempt) -> AgentId | None:
    """Of the agents who only look at a lead, whoever has been idle longest: who calls comes before who is called."""
    looking = [live.agents[claim.agent] for lead, claim in live.claims.items() if lead not in live.to_dial]
    mine = [agent for agent in looking if live.serves(agent.id, attempt)]
    return min(mine, key=lambda agent: (agent.idle_since_ms, agent.id)).id if mine else None
