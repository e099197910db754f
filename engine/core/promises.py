"""Calls promised on a lead's card, outside a conversation: planned, moved, given to somebody else, or taken back.

Theory of operation. The lead is read as it is at that moment. Nobody may be busy with it, and every rule of dialing is
asked as it will stand at the promised moment (`attempts.explain`): what could not be kept is not promised. The rules
are asked again when the call is made. A promise whose time stays as it was, and one that is put back as it had been,
asks no rule: nothing is promised that was not promised already.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from engine.core import attempts as rules
from engine.core import effects, lawful, previews
from engine.core.events import LeadFetched, PlanCallback
from engine.core.live import Live
from engine.core.model import Campaign, Lead, LeadChange, LeadState, Refusal
from engine.core.values import replace

#: Plans that may wait for the store at a time.
PLANS_MAX: Final = 1_000
#: Leads that may get a promise, or lose it: nobody is busy with them, and they may be called.
PLANNABLE: Final = frozenset({*rules.DIALABLE, LeadState.CLOSED})


def plan(live: Live, event: PlanCallback, now_ms: int) -> str | None:
    """Plan the call. None: the answer follows when the store has read the lead."""
    _ = now_ms
    if event.lead in live.to_plan or len(live.to_plan) >= PLANS_MAX:
        return Refusal.NOT_NOW
    if _busy_with(live, event):
        return Refusal.LEAD_TAKEN
    live.to_plan[event.lead] = event
    live.emit(effects.FetchLead(event.lead, lawful.history_ms(live, *live.policy.campaigns)))
    return None


def lead_fetched(live: Live, event: LeadFetched, now_ms: int) -> None:
    """The lead as it is now: promise the call, or say why not."""
    planned = live.to_plan.pop(event.id, None)
    if planned is not None:
        live.done(planned.command, _decide(live, planned, event.lead, now_ms))


def opens_ms(lead: Lead, campaign: Campaign, at_ms: int) -> int | None:
    """The first moment from then on at which all rules let this lead be called as promised; None: none."""
    return rules.explain(_promised(lead, at_ms), campaign, at_ms).next_at_ms


def refused(lead: Lead, campaign: Campaign, at_ms: int) -> str:
    """The first rule that forbids a promise for then; "" when none does."""
    blocking = rules.explain(_promised(lead, at_ms), campaign, at_ms).blocking
    return "" if blocking is None else str(blocking)


def _promised(lead: Lead, at_ms: int) -> Lead:
    plannable = lead.state in PLANNABLE
    return replace(lead, state=LeadState.CALLBACK if plannable else lead.state, next_at_ms=at_ms)


def _busy_with(live: Live, event: PlanCallback) -> bool:
    return event.lead in live.leads or event.lead in live.to_dial


def _decide(live: Live, event: PlanCallback, lead: Lead | None, now_ms: int) -> str:
    if lead is None:
        return Refusal.LEAD_UNREADABLE
    campaign = live.policy.campaigns.get(lead.campaign)
    if campaign is None:
        return Refusal.UNKNOWN_CAMPAIGN
    if _busy_with(live, event):
        return Refusal.LEAD_TAKEN
    if lead.state not in PLANNABLE:
        return f"lead_is:{lead.state.value}"
    refusal = _no_promise(live, event, lead, campaign, now_ms)
    if not refusal:
        _keep(live, event, lead, campaign, now_ms)
    return refusal


def _no_promise(live: Live, event: PlanCallback, lead: Lead, campaign: Campaign, now_ms: int) -> str:
    if event.at_ms is None:
        return "" if lead.state is LeadState.CALLBACK else Refusal.NO_PROMISE
    owner = live.policy.agents.get(event.owner) if event.owner is not None else None
    if event.owner is not None and (owner is None or lead.campaign not in owner.campaigns):
        return Refusal.OWNER_ELSEWHERE
    stays = lead.state is LeadState.CALLBACK and lead.next_at_ms == event.at_ms
    if event.undo or stays:
        return ""
    if event.at_ms <= now_ms:
        return Refusal.CALLBACK_IN_PAST
    return refused(lead, campaign, event.at_ms)


def _keep(live: Live, event: PlanCallback, lead: Lead, campaign: Campaign, now_ms: int) -> None:
    change = _change(event, lead, campaign, now_ms)
    live.emit(effects.SavePlan(change=change, at_ms=now_ms, by=event.by), _audit(event, lead, change, now_ms))
    hopper = live.hoppers[campaign.id]
    hopper.drop({lead.id})
    hopper.doubt()
    previews.release(live, lead.id, now_ms)
    live.lead_changed(campaign.id, change)


def _audit(event: PlanCallback, lead: Lead, change: LeadChange, now_ms: int) -> effects.SaveAudit:
    subject = f"lead:{lead.id}"
    if event.at_ms is None:
        return effects.SaveAudit(at_ms=now_ms, by=event.by, action="callback_taken_back", subject=subject)
    said = f"{datetime.fromtimestamp(event.at_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC {change.owner or ''}".strip()
    return effects.SaveAudit(
        at_ms=now_ms,
        by=event.by,
        action="callback_moved" if lead.state is LeadState.CALLBACK else "callback_planned",
        subject=subject,
        detail=said,
    )


def _change(event: PlanCallback, lead: Lead, campaign: Campaign, now_ms: int) -> LeadChange:
    if event.at_ms is not None:
        # What is put back is as it had been.
        owner = event.owner if event.undo else rules.owner_of_promise(event.owner, lead.keeper)
        return LeadChange(lead=lead.id, state=LeadState.CALLBACK, next_at_ms=event.at_ms, owner=owner, rule="planned")
    if event.was is not None and event.was.state is LeadState.CLOSED:
        return LeadChange(lead=lead.id, state=LeadState.CLOSED, rule="plan_taken_back")
    at_ms = now_ms + campaign.attempts.default_after_ms if event.was is None else event.was.next_at_ms
    return LeadChange(lead=lead.id, state=LeadState.RETRY, next_at_ms=at_ms, rule="plan_taken_back")
