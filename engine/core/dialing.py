"""Placing calls: how many (the pacer), whom (the hopper), on which line (the trunks), and why not more."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final

from engine.core import attempts as rules
from engine.core import effects, lawful, pacing, sharing, trunks
from engine.core.books import PRESENT
from engine.core.events import LeadsChanged, LeadsFetched
from engine.core.live import NEVER_MS, Hopper, Live
from engine.core.machines import CustomerEvent
from engine.core.model import (
    AgentId,
    AgentState,
    Attempt,
    AttemptId,
    Campaign,
    CampaignId,
    CustomerState,
    Lead,
    LeadChange,
    LeadState,
    Mode,
    NotDialing,
    Outcome,
    TrunkId,
    customer_leg,
    queue_seat,
)
from engine.core.values import replace

#: Leads asked of the store at a time, and those of the line that the hopper holds.
HOPPER_MAX: Final = 50
#: Promised calls that it holds besides: those whose agents are busy wait here, and keep nobody else from being called.
PROMISED_MAX: Final = 2_000
#: Fewer leads of the line than this, and more are asked for.
HOPPER_LOW: Final = 10
#: With more promised calls waiting for their agents than that, the store is not asked again before this.
FULL_RECHECK_MS: Final = 1_000
#: A dry store is asked again at least so often: what made it dry may lie outside the engine's sight.
HOPPER_RECHECK_MS: Final = 60_000
#: An originate that waited longer than this for the disk or the switch is not sent.
SEND_WITHIN_MS: Final = 2_000
#: From our request to the carrier's receipt: so near to the end of the lawful time nothing is sent any more.
ON_THE_WIRE_MS: Final = 200
#: And twice as near nothing is planned, for what is planned must reach the disk first.
CLOSING_MS: Final = 2 * ON_THE_WIRE_MS
#: A pacer that was asked too soon is asked again after this.
PACED_RETRY_MS: Final = 100
#: Calls and conversations grow older though nothing happens: a forecast is worth a new look after this.
LOOK_AGAIN_MS: Final = 500
#: After ring timeout and this, an attempt without news is looked for in the switch.
LIFE_SLACK_MS: Final = 10_000
#: Longer than any message lasts (the dialplan cuts it): then its leg is looked for in the switch.
MESSAGE_MAX_MS: Final = 90_000


def dial(live: Live, now_ms: int) -> None:
    """Place what the pacers of the campaigns concerned allow, and say why not more."""
    for _ in range(2):  # the second time only if who shares agents has just become hungry or sated
        sharing.deal(live, now_ms)
        asked, live.asked = live.asked, {}
        for id_ in asked:
            campaign = live.campaigns.get(id_)
            if campaign is not None:
                live.short.pop(id_, None)
                reason = _dial_campaign(live, campaign, now_ms)
                if reason in {NotDialing.LINES, NotDialing.CARRIER}:
                    live.short[id_] = None
                _report(live, campaign, reason)
                sharing.look(live, campaign, now_ms)
        if not live.to_deal:
            break


def leads_fetched(live: Live, event: LeadsFetched, now_ms: int) -> None:
    """Fill the hopper with what is neither loaded nor on a call."""
    hopper = live.hoppers.get(event.campaign)
    if hopper is None:
        return
    live.ask(event.campaign)
    hopper.fetching = False
    if hopper.stale:
        hopper.stale = False
        return
    held = {lead.id for lead in hopper.leads}
    fresh = [lead for lead in event.leads if lead.id not in held and not live.held(lead.id)]
    if hopper.called:
        fresh = [lead for lead in fresh if not lawful.shares(lead, hopper.called)]
    hopper.owed = hopper.owed and event.failed
    if event.next_callback_at_ms is not None:
        live.expect_callback(event.campaign, event.next_callback_at_ms)
    if len(event.leads) < HOPPER_LOW and (event.failed or not event.promised):
        due_ms = NEVER_MS if event.next_due_at_ms is None else event.next_due_at_ms
        hopper.dry_until_ms = max(min(due_ms, hopper.soonest_ms, now_ms + HOPPER_RECHECK_MS), now_ms + 1)
        live.emit(effects.SetTimer(("hopper", event.campaign), hopper.dry_until_ms))
    _load(hopper, fresh)
    if len(hopper.leads) < len(held) + len(fresh):  # what had no room is still in the store
        hopper.dry_until_ms = 0
        if _runs_low(hopper):
            hopper.dry_until_ms = now_ms + FULL_RECHECK_MS
            live.emit(effects.SetTimer(("hopper", event.campaign), hopper.dry_until_ms))


def _load(hopper: Hopper, fresh: Iterable[Lead]) -> None:
    """Behind what is loaded; promised calls before it all, by their time. What has no room stays in the store."""
    leads = [*hopper.leads, *fresh]
    promised = [lead for lead in leads if lead.state is LeadState.CALLBACK]
    line = [lead for lead in leads if lead.state is not LeadState.CALLBACK]
    promised.sort(key=lambda lead: (lead.next_at_ms, lead.id))
    hopper.leads = deque(promised[:PROMISED_MAX] + line[:HOPPER_MAX])


def _runs_low(hopper: Hopper) -> bool:
    return len(hopper.leads) < HOPPER_LOW or hopper.leads[-HOPPER_LOW].state is LeadState.CALLBACK


def leads_changed(live: Live, event: LeadsChanged, now_ms: int) -> None:
    """What the hopper holds may be stale: ask anew."""
    _ = now_ms
    hopper = live.hoppers.get(event.campaign)
    if hopper is not None:
        reset(hopper)
        live.ask(event.campaign)


def reset(hopper: Hopper) -> None:
    """Forget what is loaded, and what a fetch under way will bring."""
    hopper.reset()


def _dial_campaign(live: Live, campaign: Campaign, now_ms: int) -> NotDialing | None:
    """Returns why no further call was placed; None when there was no need of one."""
    halted = live.unwell()
    if not live.running.get(campaign.id) or campaign.id not in live.policy.campaigns:
        halted = NotDialing.STOPPED
    if halted is not None:
        live.wanted.pop(campaign.id, None)
        return halted
    decision = _decide(live, campaign, now_ms)
    if decision is None:
        said = live.dialing.get(campaign.id)
        return NotDialing(said.reason) if said is not None and said.reason else None
    reason = _place_wanted(live, campaign, decision, now_ms)
    # With nobody to call and no call on its way time alone changes nothing: the store's next lead will wake us.
    idle = reason is NotDialing.NO_LEADS and not live.attempts.unserved[campaign.id]
    if decision.weighed and live.roster.present[campaign.id] and not idle:
        _look_again(live, campaign.id, now_ms + LOOK_AGAIN_MS, now_ms)
    return reason


def _place_wanted(live: Live, campaign: Campaign, decision: pacing.PacingDecision, now_ms: int) -> NotDialing | None:
    """Place the calls of the decision in force; returns as `_dial_campaign`."""
    if live.wanted[campaign.id] and not any(live.trunks[t].room(now_ms) for t in campaign.trunks):
        return _await_room(live, campaign, now_ms)
    while live.wanted[campaign.id] > 0:
        lead_phone = next_lead(live, campaign, now_ms)
        if lead_phone is None:
            return NotDialing.NO_LEADS if look_for_leads(live, campaign.id, now_ms) else None
        trunk = next((t for t in campaign.trunks if live.trunks[t].room(now_ms) > 0), None)
        if trunk is None:
            live.hoppers[campaign.id].leads.appendleft(lead_phone[0])
            return _await_room(live, campaign, now_ms)
        place(live, campaign, *lead_phone, trunk, now_ms)
        live.wanted[campaign.id] -= 1
    hopper = live.hoppers[campaign.id]
    if hopper.owed or _runs_low(hopper):
        look_for_leads(live, campaign.id, now_ms)
    return _why_no_need(live, campaign, decision)


def _decide(live: Live, campaign: Campaign, now_ms: int) -> pacing.PacingDecision | None:
    """The decision in force (`wanted`: its calls still to be placed); None: the last one, all placed."""
    pacer, elsewhere = live.pacers[campaign.id], _wanted_elsewhere(live, campaign)
    decision = pacer.decide(now_ms, room=trunks_room(live, campaign), elsewhere=elsewhere)
    if decision.limit is pacing.PacingLimit.PACED:
        _look_again(live, campaign.id, now_ms + PACED_RETRY_MS, now_ms)
        # The call rate spreads a decision's calls over time: some may be due only now.
        return live.decisions[campaign.id] if live.wanted.get(campaign.id) else None
    live.decisions[campaign.id] = decision
    live.decided_by[campaign.id, decision.limit.name.lower()] += 1
    live.wanted[campaign.id] = _less_held_back(live, campaign, decision.place)
    if decision.dialing > decision.ready:
        for call in pacer.cancel_now(now_ms, elsewhere=elsewhere):
            take_back(live, live.attempts[AttemptId(call)], now_ms)
    return decision


def trunks_room(live: Live, campaign: Campaign) -> int:
    """Free lines of the campaign's trunks; the call rate spreads them over time, so it is not counted here."""
    return sum(max(0, live.trunks[t].limits.lines - live.trunks[t].in_use) for t in campaign.trunks)


def held_back(live: Live, campaign: Campaign) -> int:
    """Agents of this campaign, busy now, whom callers in queues will have before any call that is placed now."""
    total = 0
    for queue in live.queues.values():
        seat = queue_seat(queue.id)
        callers = live.attempts.unserved[seat] - len(live.roster.ready.get(seat, ()))
        if callers > 0:
            both = {campaign.id, seat}
            busy = (a for a in live.agents.values() if a.state in PRESENT and a.state is not AgentState.READY)
            total += min(callers, sum(both <= set(live.seats_of(agent.id)) for agent in busy))
    return total


def _less_held_back(live: Live, campaign: Campaign, place: int) -> int:
    """The calls for those agents who will be free for them."""
    present = live.roster.present[campaign.id]
    held = held_back(live, campaign) if place and live.queues else 0
    return place * max(0, present - held) // present if held else place


def _wanted_elsewhere(live: Live, campaign: Campaign) -> pacing.Elsewhere:
    """Agents of this campaign whom callers in queues and calls of other campaigns will need."""
    shared = live.roster.shared.get(campaign.id)
    if not shared:
        return pacing.NOWHERE
    lacking = {other: lack for other, count in shared.items() if count and (lack := _lacking(live, other))}
    if not lacking:
        return pacing.NOWHERE
    ready: Mapping[CampaignId, int] = live.roster.shared_ready.get(campaign.id, {})
    now = sum(min(lack, ready.get(other, 0)) for other, lack in lacking.items())
    soon = sum(min(lack, shared[other]) for other, lack in lacking.items()) - now
    return pacing.Elsewhere(now=now, soon=soon)


def _lacking(live: Live, seat: CampaignId) -> int:
    """Agents that a queue's callers will need, or another campaign's calls beyond those who count for it alone."""
    unserved = live.attempts.unserved[seat]
    decision, pacer = live.decisions.get(seat), live.pacers.get(seat)
    if pacer is None:
        return unserved  # a queue
    if not unserved or decision is None or not decision.weighed:
        return max(0, unserved - pacer.spare)
    expected = min(unserved, decision.waiting + math.ceil(decision.answers_ahead))
    return max(0, expected - pacer.spare - math.floor(decision.soon_free))


def next_lead(
    live: Live, campaign: Campaign, now_ms: int, agent: AgentId | None = None
) -> tuple[Lead, rules.Allowed] | None:
    """The best lead that may be dialed this moment, for whoever is free or for this agent.

    Those that may not be dialed go back to the store with their next time.
    """
    hopper = live.hoppers[campaign.id]
    if hopper.owed or live.checks:
        return None  # the store will say at once who comes first, or who is on a do-not-call list
    skipped: list[Lead] = []
    found: tuple[Lead, rules.Allowed] | None = None
    while hopper.leads and found is None:
        lead = hopper.leads.popleft()
        if _waits_for_owner(live, lead, now_ms, agent):
            skipped.append(lead)
            continue
        match rules.may_dial(lead, campaign, now_ms):
            case rules.Allowed(phone=phone) if phone.number.e164 in live.attempts.numbers:
                skipped.append(lead)  # another lead with this very number is being called
            case rules.Allowed(until_ms=until_ms) if closing(until_ms, now_ms):
                skipped.append(lead)  # back to the store when it has closed
            case rules.Allowed() as allowed:
                found = (lead, allowed)
            case rules.Refused(reason, again_at_ms) if again_at_ms is not None:
                change = LeadChange(
                    lead=lead.id, state=lead.state, next_at_ms=again_at_ms, owner=lead.owner, rule=reason
                )
                live.emit(effects.SaveLead(change, now_ms))
                live.lead_changed(campaign.id, change)
            case rules.Refused(reason):
                live.counters["leads_refused"] += 1
                if lead.state in rules.DIALABLE:  # left dialable, the store would offer it for ever
                    closed = LeadChange(lead=lead.id, state=LeadState.CLOSED, rule=reason)
                    live.emit(effects.SaveLead(closed, now_ms))
    hopper.leads.extendleft(reversed(skipped))
    return found


def closing(until_ms: int, now_ms: int) -> bool:
    """Whether the lawful time ends too soon for a call that is only planned now."""
    return now_ms >= until_ms - CLOSING_MS


def _waits_for_owner(live: Live, lead: Lead, now_ms: int, agent: AgentId | None) -> bool:
    if lead.owner is None or not rules.is_for_owner(lead, live.campaigns[lead.campaign], agent, now_ms):
        return False
    owner = live.agents.get(lead.owner)
    # Shown to another agent, it is theirs: a ready owner would not get it by being ready.
    return owner is not None and (agent is not None or owner.state is not AgentState.READY)


def place(
    live: Live,
    campaign: Campaign,
    lead: Lead,
    allowed: rules.Allowed,
    trunk: TrunkId,
    now_ms: int,
    agent: AgentId | None = None,
) -> Attempt:
    """Plan the attempt, save it, dial it; at an agent's word it is theirs, and no pacer counts it."""
    id_ = AttemptId(live.next_number())
    attempt = Attempt(
        id=id_,
        campaign=campaign.id,
        lead=lead.id,
        phone_position=allowed.phone.position,
        number=allowed.phone.number,
        trunk=trunk,
        leg=customer_leg(id_),
        state=CustomerState.PLANNED,
        planned_at_ms=now_ms,
        agent=agent,
        decision=allowed.decision,
        by_agent=agent is not None,
    )
    assert lead.id not in live.leads, "a lead has at most one open attempt"
    live.attempts[id_] = attempt
    # Counted before it is dialed: a crash from here on must not give the try back.
    live.leads[lead.id] = replace(lead, attempts_count=lead.attempts_count + 1)
    lawful.called(live, lead)
    live.trunks[trunk].take(now_ms)
    if agent is None:
        live.pacers[campaign.id].placed(now_ms, id_)
    live.emit(
        effects.SaveAttempt(attempt),
        effects.OriginateCustomer(
            leg=attempt.leg,
            attempt=id_,
            trunk=trunk,
            number=allowed.phone.number,
            caller_id=campaign.caller_id,
            ring_timeout_ms=campaign.ring_timeout_ms,
            talk_max_ms=campaign.talk_max_ms,
            message=campaign.message.sound(lead.language),
            opt_out=campaign.message.opt_out,
            send_before_ms=min(now_ms + SEND_WITHIN_MS, allowed.until_ms - ON_THE_WIRE_MS),
        ),
        effects.SetTimer(("life", id_), now_ms + campaign.ring_timeout_ms + LIFE_SLACK_MS),
        effects.AttemptChanged(attempt),
    )
    return attempt


def take_back(live: Live, attempt: Attempt, now_ms: int, outcome: Outcome = Outcome.CANCELLED) -> None:
    """Hang up a call that nobody has answered yet."""
    live.move_attempt(attempt, CustomerEvent.LEAVE, now_ms, outcome=outcome)
    if attempt.paced:
        live.pacers[attempt.campaign].cancelled(now_ms, attempt.id)
    live.emit(effects.Hangup(attempt.leg), effects.SaveTakenBack(attempt.id, now_ms))


def look_for_leads(live: Live, campaign: CampaignId, now_ms: int) -> bool:
    """Ask the store for leads unless it has none; returns whether the hopper is known to be dry."""
    hopper = live.hoppers[campaign]
    if hopper.fetching or live.checks:
        return False
    if now_ms < hopper.dry_until_ms:
        return not hopper.leads
    promised = hopper.owed and not _runs_low(hopper)
    hopper.fetching = True
    if not promised:
        hopper.soonest_ms = NEVER_MS
    held = frozenset(lead.id for lead in hopper.leads) | live.leads.keys() | live.claims.keys()
    hopper.called.clear()
    history_ms = lawful.history_ms(live, campaign)
    live.emit(effects.FetchLeads(campaign, HOPPER_MAX, frozenset(held), history_ms, promised))
    return False


def _await_room(live: Live, campaign: Campaign, now_ms: int) -> NotDialing | None:
    """No trunk takes a call: by rate (soon again), by back-off, or because all lines are in use."""
    of_campaign: list[trunks.Trunk] = [live.trunks[t] for t in campaign.trunks]
    with_lines = [t for t in of_campaign if t.in_use < t.limits.lines]
    if not with_lines:
        return NotDialing.LINES
    next_ms = min(t.next_ms(now_ms) for t in with_lines)
    if next_ms <= now_ms:
        return NotDialing.CARRIER  # one call tries the trunk out: its news will wake us
    _look_again(live, campaign.id, next_ms, now_ms)
    # The call rate spreads calls by milliseconds: not worth a word. A back-off is.
    return NotDialing.CARRIER if next_ms - now_ms > trunks.BACKOFF_MIN_MS / 2 else None


def _look_again(live: Live, campaign: CampaignId, at_ms: int, now_ms: int) -> None:
    """Ask this campaign's pacer again then, if nothing happens before."""
    if not now_ms < live.looks.get(campaign, 0) <= at_ms:
        live.looks[campaign] = at_ms
        live.emit(effects.SetTimer(("pace", campaign), at_ms))


def _why_no_need(live: Live, campaign: Campaign, decision: pacing.PacingDecision) -> NotDialing | None:
    if campaign.mode in {Mode.MANUAL, Mode.PREVIEW}:
        hopper = live.hoppers[campaign.id]
        dry = not hopper.leads and decision.at_ms < hopper.dry_until_ms
        shows_none = campaign.mode is Mode.PREVIEW and dry and live.roster.ready.get(campaign.id)
        return NotDialing.NO_LEADS if shows_none else NotDialing.MODE
    if not live.roster.present[campaign.id]:
        return NotDialing.NO_AGENTS
    if decision.limit is pacing.PacingLimit.CEILING and not decision.place:
        return NotDialing.CEILING
    ahead = campaign.mode is Mode.PREDICTIVE and decision.place + decision.dialing + decision.screening
    if not live.roster.ready.get(campaign.id) and not ahead:
        return NotDialing.AGENTS_BUSY
    return None


def _report(live: Live, campaign: Campaign, reason: NotDialing | None) -> None:
    last, running, why = live.dialing.get(campaign.id), live.running.get(campaign.id, False), reason or ""
    if last is None or (last.running, last.reason) != (running, why):
        said = live.dialing[campaign.id] = effects.DialingChanged(campaign.id, running, why)
        live.emit(said)
