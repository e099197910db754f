"""The rules of trying: may this lead be dialed now, and what follows an outcome or a disposition."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from engine.core import hours
from engine.core.model import (
    COUNTED,
    AgentId,
    AttemptPolicy,
    Campaign,
    Disposition,
    DispositionKind,
    Lead,
    LeadChange,
    LeadState,
    Outcome,
    Phone,
)

DIALABLE: Final = frozenset({LeadState.NEW, LeadState.RETRY, LeadState.CALLBACK})
#: How long a personal callback waits for its agent before anyone may take it.
OWNER_TOLERANCE_MS: Final = 15 * 60_000
#: Attempts that do not count may not go on for ever either: so many of one outcome, and the lead is closed.
UNCOUNTED_MAX: Final = 10
#: A closed window is looked at again after this long even when the hours never open.
NEVER_OPEN_RECHECK_MS: Final = 24 * 3_600_000


@dataclass(frozen=True, slots=True)
class Allowed:
    """Dial this phone, before the calling hours end."""

    phone: Phone
    until_ms: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Do not dial; `again_at_ms` is when to ask again (None: never by itself)."""

    reason: str
    again_at_ms: int | None = None


def phone_to_dial(lead: Lead) -> Phone | None:
    """The lead's next valid phone, from `next_phone` on and round."""
    valid = sorted((p for p in lead.phones if p.valid), key=lambda p: (p.position < lead.next_phone, p.position))
    return valid[0] if valid else None


def may_dial(lead: Lead, campaign: Campaign, now_ms: int) -> Allowed | Refused:
    """Whether this lead may be dialed now; asked when it is fetched and again when the call is placed."""
    if lead.state not in DIALABLE:
        return Refused(f"lead_is:{lead.state.value}")
    if lead.attempts_count >= campaign.attempts.max:
        return Refused("attempts_used")
    if lead.next_at_ms > now_ms:
        return Refused("not_due", lead.next_at_ms)
    phone = phone_to_dial(lead)
    if phone is None:
        return Refused("no_valid_phone")
    match hours.window(lead.zone, campaign.hours, now_ms):
        case hours.Closed(until_ms):
            return Refused("calling_hours", until_ms or now_ms + NEVER_OPEN_RECHECK_MS)
        case hours.Open(until_ms):
            return Allowed(phone, until_ms)


def after(lead: Lead, position: int, outcome: Outcome, policy: AttemptPolicy, now_ms: int) -> LeadChange:
    """What an attempt's outcome does to its lead; the lead's counts already include this attempt.

    Not for CONNECTED: there a disposition decides.
    """
    assert outcome is not Outcome.CONNECTED
    if lead.state is LeadState.SUPPRESSED:
        return _still_suppressed(lead)
    if outcome is Outcome.CANCELLED:
        return _retry(lead, now_ms, position, "taken_back")
    if outcome is Outcome.INVALID_NUMBER:
        return _after_invalid(lead, position, policy, now_ms)
    if outcome in COUNTED and lead.attempts_count >= policy.max:
        return LeadChange(
            lead=lead.id, state=LeadState.CLOSED, rule=f"attempts_used:{lead.attempts_count}:{policy.max}"
        )
    tries = lead.outcome_counts.get(outcome, 0)
    rule = policy.retry.get(outcome)
    if rule is None and outcome not in COUNTED and tries >= UNCOUNTED_MAX:
        return LeadChange(lead=lead.id, state=LeadState.CLOSED, rule=f"outcome_repeats:{outcome.value}:{tries}")
    if rule is None:
        return _retry(
            lead, now_ms + policy.default_after_ms, _next_position(lead, position), f"retry_otherwise:{outcome.value}"
        )
    if tries > rule.max:
        return LeadChange(lead=lead.id, state=LeadState.CLOSED, rule=f"retries_used:{outcome.value}:{rule.max}")
    return _retry(
        lead, now_ms + rule.after_ms, _next_position(lead, position), f"retry:{outcome.value}:{tries}:{rule.max}"
    )


def after_disposition(
    lead: Lead, disposition: Disposition, agent: AgentId, callback_at_ms: int | None, mine: bool, now_ms: int
) -> LeadChange:
    """What the agent's result does to the lead. A callback needs its time."""
    if lead.state is LeadState.SUPPRESSED:
        return _still_suppressed(lead)
    rule = f"disposition:{disposition.id}"
    match disposition.kind:
        case DispositionKind.FINAL:
            return LeadChange(lead=lead.id, state=LeadState.CLOSED, rule=rule)
        case DispositionKind.DNC:
            return LeadChange(lead=lead.id, state=LeadState.SUPPRESSED, rule=rule)
        case DispositionKind.RETRY:
            at_ms = now_ms + disposition.retry_after_ms
            return LeadChange(lead=lead.id, state=LeadState.RETRY, next_at_ms=at_ms, rule=rule)
        case DispositionKind.CALLBACK:
            assert callback_at_ms is not None
            return LeadChange(
                lead=lead.id,
                state=LeadState.CALLBACK,
                next_at_ms=callback_at_ms,
                owner=agent if mine else None,
                rule=rule,
            )


def _still_suppressed(lead: Lead) -> LeadChange:
    return LeadChange(lead=lead.id, state=LeadState.SUPPRESSED, rule="suppressed_meanwhile")


def _after_invalid(lead: Lead, position: int, policy: AttemptPolicy, now_ms: int) -> LeadChange:
    others = [p for p in lead.phones if p.valid and p.position != position]
    if not others or lead.attempts_count >= policy.max:
        return LeadChange(lead=lead.id, state=LeadState.CLOSED, invalid_phone=position, rule="invalid_no_other_phone")
    change = _retry(lead, now_ms, _next_position(lead, position), "invalid_next_phone")
    return replace(change, invalid_phone=position)


def _retry(lead: Lead, at_ms: int, position: int, rule: str) -> LeadChange:
    # A promised callback that was not reached stays a promise and keeps its owner.
    state = LeadState.CALLBACK if lead.state is LeadState.CALLBACK else LeadState.RETRY
    return LeadChange(lead=lead.id, state=state, next_at_ms=at_ms, next_phone=position, owner=lead.owner, rule=rule)


def _next_position(lead: Lead, position: int) -> int:
    later = [p.position for p in lead.phones if p.valid and p.position > position]
    return min(later) if later else min((p.position for p in lead.phones if p.valid), default=position)
