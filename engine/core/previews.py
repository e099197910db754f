"""Calls at an agent's word: the lead shown before it is dialed, and the lead dialed from its card.

Theory of operation. A ready agent of a preview campaign is shown the lead that would be dialed next, and claims it: it
is offered to nobody else. A claim is no attempt. It lives in memory alone, so that a restart spends nothing and offers
the lead anew. When the agent says so, or their countdown ends, the lead is read again (it may have changed while they
looked), asked about again by the rules, saved as an attempt and dialed; the agent is reserved for it until its end.
A lead dialed from its card goes the same way without the claim.
"""

from __future__ import annotations

from typing import Final

from engine.core import attempts as rules
from engine.core import effects, lawful
from engine.core.dialing import closing, look_for_leads, next_lead, place
from engine.core.events import AgentDial, AgentSkip, LeadFetched
from engine.core.live import Claim, Live, Wanted
from engine.core.machines import AgentEvent
from engine.core.model import (
    Agent,
    AgentId,
    AgentState,
    Campaign,
    CommandId,
    Lead,
    LeadChange,
    LeadId,
    NotDialing,
    Previewed,
    Refusal,
    SkipReason,
    SystemPause,
    TrunkId,
)
from engine.core.pacing import OnTimeout, Preview
from engine.core.values import replace

#: A countdown that ends while nothing can be dialed is looked at again after this.
TRY_AGAIN_MS: Final = 1_000

#: Refusals that a second's patience may heal; after any other one the previewed lead gives way to the next.
_FOR_A_WHILE: Final = frozenset(
    {
        Refusal.DRAINING,
        Refusal.SWITCH_DOWN,
        Refusal.NOT_NOW,
        Refusal.LEAD_UNREADABLE,
        Refusal.LEAD_CHANGED,
        Refusal.LINES_BUSY,
        Refusal.NUMBER_BUSY,
        Refusal.LEAD_TAKEN,
        Refusal.NOT_READY,
        Refusal.NOT_LOGGED_IN,
    }
)
_UNWELL: Final = {NotDialing.DRAINING: Refusal.DRAINING, NotDialing.SWITCH: Refusal.SWITCH_DOWN}


# ── the preview ──────────────────────────────────────────────────────────────────────────────────────────────────


def offer(live: Live, now_ms: int) -> None:
    """After every fact: each ready agent of a preview campaign looks at a lead, the longest idle first."""
    for id_ in list(live.asked):
        campaign = live.policy.campaigns.get(id_)
        if campaign is None or not isinstance(campaign.pacing, Preview) or not live.running.get(id_):
            continue
        if live.unwell() is None:
            _offer(live, campaign, campaign.pacing, now_ms)


def _offer(live: Live, campaign: Campaign, pacing: Preview, now_ms: int) -> None:
    ready = [live.agents[id_] for id_ in live.roster.ready.get(campaign.id, ())]
    for agent in sorted(ready, key=lambda one: (one.idle_since_ms, one.id)):
        if not _spared(live, agent):
            continue
        _own_first(live, campaign, agent.id)
        found = next_lead(live, campaign, now_ms, agent.id)
        if found is None:
            look_for_leads(live, campaign.id, now_ms)
            return
        _show(live, agent, pacing, *found, now_ms)


def _spared(live: Live, agent: Agent) -> bool:
    """Whether calls that ring already, for whoever is free, leave this agent over."""
    served = live.seats_of(agent.id)
    return all(live.attempts.unserved[seat] < len(live.roster.ready.get(seat, ())) for seat in served)


def _own_first(live: Live, campaign: Campaign, agent: AgentId) -> None:
    """Calls that the agent promised come before all others, then the agent's own clients."""
    leads = live.hoppers[campaign.id].leads
    promised = [lead for lead in leads if lead.owner == agent]
    own = [*promised, *(lead for lead in leads if lead.keeper == agent and lead.owner != agent)]
    for lead in reversed(own):
        leads.remove(lead)
        leads.appendleft(lead)


def _show(live: Live, agent: Agent, pacing: Preview, lead: Lead, allowed: rules.Allowed, now_ms: int) -> None:
    until_ms = now_ms + pacing.countdown_ms if pacing.countdown_ms else None
    previewed = Previewed(
        lead=lead.id,
        campaign=lead.campaign,
        phone_position=allowed.phone.position,
        number=allowed.phone.number,
        since_ms=now_ms,
        until_ms=until_ms,
        skips_left=_skips_left(live, agent.id, pacing),
    )
    live.claims[lead.id] = Claim(agent=agent.id, lead=lead)
    live.move_agent(agent, AgentEvent.PREVIEW, now_ms, previewed=previewed)
    if until_ms is not None:
        live.emit(effects.SetTimer(("preview", agent.id), until_ms))


def _skips_left(live: Live, agent: AgentId, pacing: Preview) -> int | None:
    if not pacing.allow_skip:
        return 0
    return max(0, pacing.skips_max - live.skips[agent]) if pacing.skips_max else None


def release(live: Live, lead: LeadId, now_ms: int) -> None:
    """Whoever looks at this lead gets another one."""
    claim = live.claims.get(lead)
    if claim is not None:
        live.move_agent(live.agents[claim.agent], AgentEvent.PREVIEW_OVER, now_ms)


def review(live: Live, now_ms: int) -> None:
    """End previews of campaigns that are stopped, gone, in another mode, or no longer the agent's."""
    for agent in list(live.agents.values()):
        if agent.previewed is None:
            continue
        campaign = live.policy.campaigns.get(agent.previewed.campaign)
        served = {c.id for c in live.campaigns_of(agent.id)}
        goes_on = campaign is not None and isinstance(campaign.pacing, Preview) and campaign.id in served
        if not goes_on or not live.running.get(agent.previewed.campaign):
            live.move_agent(agent, AgentEvent.PREVIEW_OVER, now_ms)


def skip(live: Live, event: AgentSkip, now_ms: int) -> str:
    """Another lead, please: this one comes back after the campaign's usual time."""
    agent = live.agents.get(event.agent)
    if agent is None:
        return Refusal.UNKNOWN_AGENT
    previewed = agent.previewed
    if previewed is None or previewed.lead != event.lead or event.lead in live.to_dial:
        return Refusal.NOT_PREVIEWED
    pacing = live.campaigns[previewed.campaign].pacing
    if not isinstance(pacing, Preview) or not pacing.allow_skip:
        return Refusal.SKIP_NOT_ALLOWED
    if _skips_left(live, agent.id, pacing) == 0:
        return Refusal.SKIPS_USED
    _skip(live, agent, previewed, event.reason, event.by, now_ms)
    return ""


def _skip(live: Live, agent: Agent, previewed: Previewed, reason: SkipReason, by: str, now_ms: int) -> None:
    lead = live.claims[previewed.lead].lead
    live.skips[agent.id] += 1
    change = LeadChange(
        lead=lead.id,
        state=lead.state,
        next_at_ms=now_ms + live.campaigns[previewed.campaign].attempts.default_after_ms,
        owner=lead.owner,
        rule=f"skipped:{reason.value}",
    )
    live.emit(
        effects.SaveLead(change, now_ms),
        effects.SaveAudit(at_ms=now_ms, by=by, action="lead_skipped", subject=str(lead.id), detail=reason.value),
    )
    live.move_agent(agent, AgentEvent.PREVIEW_OVER, now_ms)
    live.lead_changed(previewed.campaign, change)


def countdown_over(live: Live, agent: Agent, now_ms: int) -> None:
    """The agent said nothing in time."""
    previewed = agent.previewed
    if previewed is None or previewed.lead in live.to_dial:
        return
    pacing = live.campaigns[previewed.campaign].pacing
    if not isinstance(pacing, Preview) or previewed.until_ms is None:
        return
    if now_ms < previewed.until_ms:
        live.emit(effects.SetTimer(("preview", agent.id), previewed.until_ms))
        return
    unused = SystemPause.PREVIEW_UNUSED.value
    match pacing.on_timeout:
        case OnTimeout.DIAL:
            if live.unwell() is not None:
                live.emit(effects.SetTimer(("preview", agent.id), now_ms + TRY_AGAIN_MS))
            else:
                _want(live, agent.id, previewed.lead, None, None)
        case OnTimeout.SKIP if pacing.skips_max and live.skips[agent.id] >= pacing.skips_max:
            live.move_agent(agent, AgentEvent.PAUSE, now_ms, pause_reason=unused)
        case OnTimeout.SKIP:
            _skip(live, agent, previewed, SkipReason.TIMEOUT, "engine", now_ms)
        case OnTimeout.PAUSE:
            live.move_agent(agent, AgentEvent.PAUSE, now_ms, pause_reason=unused)


# ── the dial ─────────────────────────────────────────────────────────────────────────────────────────────────────


def dial(live: Live, event: AgentDial, now_ms: int) -> str | None:
    """Dial a lead for this agent. None: the answer follows when the store has read the lead."""
    agent = live.agents.get(event.agent)
    if agent is None:
        return Refusal.UNKNOWN_AGENT
    refusal = _may_not_start(live, agent, event.lead)
    if refusal:
        return refusal
    if any(wanted.agent == agent.id and wanted.command is not None for wanted in live.to_dial.values()):
        return Refusal.NOT_NOW
    _want(live, agent.id, event.lead, event.position, event.command)
    return None


def _want(live: Live, agent: AgentId, lead: LeadId, position: int | None, command: CommandId | None) -> None:
    live.to_dial[lead] = Wanted(agent=agent, position=position, command=command)
    live.emit(effects.FetchLead(lead, lawful.history_ms(live, *live.policy.campaigns)))


def lead_fetched(live: Live, event: LeadFetched, now_ms: int) -> None:
    """The lead as it is now: dial it, or say why not."""
    wanted = live.to_dial.pop(event.id, None)
    if wanted is None:
        return
    agent = live.agents[wanted.agent]
    refusal = _start(live, agent, event, wanted.position, now_ms)
    if wanted.command is not None:
        live.done(wanted.command, refusal)
    if refusal and agent.previewed is not None and agent.previewed.lead == event.id:
        _still_shown(live, live.agents[agent.id], refusal, now_ms)


def _still_shown(live: Live, agent: Agent, refusal: str, now_ms: int) -> None:
    """What was previewed could not be dialed: just now, and it is tried again; or by rule, and another one comes."""
    previewed = agent.previewed
    if previewed is None:
        return
    if refusal not in _FOR_A_WHILE:
        live.move_agent(agent, AgentEvent.PREVIEW_OVER, now_ms)
    elif previewed.until_ms is not None:
        live.emit(effects.SetTimer(("preview", agent.id), max(previewed.until_ms, now_ms + TRY_AGAIN_MS)))


def _start(live: Live, agent: Agent, fetched: LeadFetched, position: int | None, now_ms: int) -> str:
    """Dial if all rules allow it; else why not."""
    refusal = _may_not_start(live, agent, fetched.id)
    if refusal:
        return refusal
    lead = fetched.lead
    if lead is None:
        return Refusal.LEAD_UNREADABLE
    campaign = next((c for c in live.campaigns_of(agent.id) if c.id == lead.campaign), None)
    if campaign is None or campaign.id not in live.policy.campaigns:
        return Refusal.NOT_SERVED
    if not live.running.get(campaign.id):
        return Refusal.CAMPAIGN_STOPPED
    if position is not None:
        lead = replace(lead, next_phone=position)
    # Their word stands for the time of the next try; all other rules hold.
    allowed = rules.may_dial(replace(lead, next_at_ms=0), campaign, now_ms)
    if isinstance(allowed, rules.Refused):
        return allowed.reason
    if position is not None and allowed.phone.position != position:
        return "no_valid_phone"
    if closing(allowed.until_ms, now_ms):
        return Refusal.NOT_NOW
    if allowed.phone.number.e164 in live.attempts.numbers:
        return Refusal.NUMBER_BUSY
    trunk = next((t for t in campaign.trunks if live.trunks[t].room(now_ms) > 0), None)
    if trunk is None:
        return Refusal.LINES_BUSY
    _dial(live, agent, campaign, lead, allowed, trunk, now_ms)
    return ""


def _dial(
    live: Live, agent: Agent, campaign: Campaign, lead: Lead, allowed: rules.Allowed, trunk: TrunkId, now_ms: int
) -> None:
    live.skips.pop(agent.id, None)
    hopper = live.hoppers[campaign.id]
    for loaded in [one for one in hopper.leads if one.id == lead.id]:
        hopper.leads.remove(loaded)
    if agent.previewed is not None:
        agent = live.move_agent(agent, AgentEvent.PREVIEW_OVER, now_ms)
    attempt = place(live, campaign, lead, allowed, trunk, now_ms, agent.id)
    live.move_agent(agent, AgentEvent.RESERVE, now_ms, attempt=attempt.id, disposed=False)
    live.emit(effects.ScreenPop(agent.id, attempt))


def _may_not_start(live: Live, agent: Agent, lead: LeadId) -> str:
    """Why this agent may dial nothing, or not this lead, just now; asked before the lead is read, and after."""
    if agent.state in {AgentState.LOGGED_OUT, AgentState.CONNECTING}:
        return Refusal.NOT_LOGGED_IN
    if agent.state not in {AgentState.READY, AgentState.PREVIEW} or agent.attempt is not None:
        return Refusal.NOT_READY
    problem = live.unwell()
    if problem is not None:
        return _UNWELL.get(problem, Refusal.NOT_NOW)
    claim = live.claims.get(lead)
    wanted = live.to_dial.get(lead)
    if lead in live.leads or any(one is not None and one.agent != agent.id for one in (claim, wanted)):
        return Refusal.LEAD_TAKEN
    return ""
