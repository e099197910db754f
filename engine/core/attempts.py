"""The rules of trying: may this lead be dialed now, and what follows an outcome or a disposition."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from engine.core import hours, law
from engine.core.model import (
    COUNTED,
    PRIORITY_MAX,
    AgentId,
    AttemptPolicy,
    Burst,
    Campaign,
    Disposition,
    DispositionId,
    DispositionKind,
    Lead,
    LeadChange,
    LeadState,
    Outcome,
    Phone,
)
from engine.core.values import replace

DIALABLE: Final = frozenset({LeadState.NEW, LeadState.RETRY, LeadState.CALLBACK})
#: Attempts that do not count may not go on for ever either: so many of one outcome, and the lead is closed.
UNCOUNTED_MAX: Final = 10
#: Outcomes of a call that nobody took: what a burst repeats.
UNANSWERED: Final = frozenset({Outcome.NO_ANSWER, Outcome.BUSY, Outcome.REJECTED})
#: Rules that time does not change: a lead that they refuse is done.
LASTING: Final = frozenset({"lead_is", "attempts_used", "no_valid_phone"})
#: A lead that no moment suits is looked at again after this long: hours, packs and fields may have changed.
NEVER_OPEN_RECHECK_MS: Final = 24 * 3_600_000


@dataclass(frozen=True, slots=True)
class Allowed:
    """Dial this phone, before the calling hours end; `decision`: every rule asked, with its numbers."""

    phone: Phone
    until_ms: int
    decision: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """Do not dial; `reason` is a rule as in `LeadChange`, `again_at_ms` when to ask again (None: never by itself)."""

    reason: str
    again_at_ms: int | None = None


def phones_to_dial(lead: Lead) -> list[Phone]:
    """The lead's valid phones, from `next_phone` on and round."""
    return sorted((p for p in lead.phones if p.valid), key=lambda p: (p.position < lead.next_phone, p.position))


def may_dial(lead: Lead, campaign: Campaign, now_ms: int) -> Allowed | Refused:
    """Whether this lead may be dialed now; asked when it is fetched and again when the call is placed."""
    phone, asked = _asked(lead, campaign, now_ms)
    for check in asked:
        if check.from_ms(now_ms) != now_ms:
            return Refused(str(check), None if check.code in LASTING else _again_at_ms(asked, now_ms))
    assert phone is not None
    until_ms = min(end for check in asked if check.until_ms and (end := check.until_ms(now_ms)) is not None)
    return Allowed(phone, until_ms, " ".join(map(str, asked)))


def explain(lead: Lead, campaign: Campaign, now_ms: int) -> law.Verdict:
    """Every rule that `may_dial` asks, in its order, with what each says now."""
    return law.verdict(checks(lead, campaign, now_ms), now_ms)


def checks(lead: Lead, campaign: Campaign, now_ms: int) -> list[law.Check]:
    """The rules for dialing this lead: its state, its time, the hours; its attempts, its phone, the law packs.

    What many leads have in common comes first: `engine.explain` counts a whole list by it.
    """
    return _asked(lead, campaign, now_ms)[1]


def _asked(lead: Lead, campaign: Campaign, now_ms: int) -> tuple[Phone | None, list[law.Check]]:
    """The phone to dial, and the rules for it: of several one that limits let pass, else the first to be free."""
    used, most = lead.attempts_count, campaign.attempts.max
    asked = [
        _fixed("lead_is", (lead.state.value,), lead.state in DIALABLE),
        law.Check("not_due", (), lambda at_ms: max(at_ms, lead.next_at_ms)),
        *zone_checks(lead.zones, campaign, now_ms),
        _fixed("attempts_used", (str(used), str(most)), used < most),
    ]
    phones = phones_to_dial(lead)
    asked.append(_fixed("no_valid_phone", (), bool(phones)))
    tried: list[tuple[Phone, list[law.Check]]] = []
    for phone in phones if campaign.attempts.limits or campaign.law else phones[:1]:
        of_phone = [*_own_limits(lead, phone, campaign, now_ms), *_of_packs(lead, phone, campaign, now_ms)]
        tried.append((phone, of_phone))
        if all(check.from_ms(now_ms) == now_ms for check in of_phone):
            return phone, asked + of_phone
    if not tried:
        return None, asked
    free = tried[0]
    if len(tried) > 1:
        free = min(tried, key=lambda one: _free_ms(asked + one[1], now_ms))
    return free[0], asked + free[1]


def _free_ms(asked: Sequence[law.Check], now_ms: int) -> float:
    found = law.first_moment([check.from_ms for check in asked], now_ms)
    return math.inf if found is None else found


def _own_limits(lead: Lead, phone: Phone, campaign: Campaign, now_ms: int) -> list[law.Check]:
    policy, zone = campaign.attempts, campaign.hours.zone
    if not policy.limits and policy.same_hour_max is None:
        return []
    if lead.history is None or len(lead.history) >= law.HISTORY_MAX:
        return [law.Check("law_history", (str(law.HISTORY_MAX),), law.never)]
    asked = law.of_campaign(lead, phone, lead.history, policy.limits, zone, now_ms)
    if policy.same_hour_max is not None and lead.state is not LeadState.CALLBACK:  # they named this hour themselves
        asked.append(law.same_hour(lead, lead.history, policy.same_hour_max, zone, now_ms))
    return asked


def _of_packs(lead: Lead, phone: Phone, campaign: Campaign, now_ms: int) -> list[law.Check]:
    return law.checks(
        lead,
        phone,
        lead.history,
        campaign.law,
        now_ms,
        mode=campaign.mode,
        ring_timeout_ms=campaign.ring_timeout_ms,
    )


def is_for_owner(lead: Lead, campaign: Campaign, agent: AgentId | None, now_ms: int) -> bool:
    """Whether a promised call is still another agent's own: until the tolerance after its time has passed."""
    return lead.owner not in {None, agent} and now_ms <= lead.next_at_ms + campaign.callbacks.tolerance_ms


def opens_ms(campaign: Campaign, zones: Sequence[str], at_ms: int) -> int | None:
    """When the hours first let a call pass to who may be in these zones, from a moment on; None: never."""
    return law.first_moment([check.from_ms for check in zone_checks(zones, campaign, at_ms)], at_ms)


def _fixed(code: str, values: tuple[str, ...], passed: bool) -> law.Check:
    return law.Check(code, values, law.always if passed else law.never)


def zone_checks(zones: Sequence[str], campaign: Campaign, now_ms: int) -> list[law.Check]:
    """Those of `checks` that say the same for all whose zones (`Lead.zones`) these are: the hours, in each of them.

    Where nothing tells the zone it is the campaign's; the law packs refuse then.
    """
    asked = [*_contract_check(campaign), _hours_check(zones, campaign, now_ms)]
    return asked + law.hours_of_zones(campaign.law, zones, now_ms)


def _contract_check(campaign: Campaign) -> list[law.Check]:
    end_ms = campaign.caller_id_until_ms
    if end_ms is None or campaign.caller_id is None:
        return []
    number = campaign.caller_id.e164
    return [
        law.Check("caller_id_contract", (number,), lambda at_ms: at_ms if at_ms < end_ms else None, lambda _: end_ms)
    ]


def _hours_check(zones: Sequence[str], campaign: Campaign, now_ms: int) -> law.Check:
    asked = tuple(zones) or (campaign.hours.zone,)
    if hours.known_zones(asked) is None:
        return law.Check("zone_unknown", asked, law.never)
    now = {zone: hours.window(zone, campaign.hours, now_ms) for zone in asked}

    def opens(zone: str, at_ms: int) -> int | None:
        match now[zone] if at_ms == now_ms else hours.window(zone, campaign.hours, at_ms):
            case hours.Open():
                return at_ms
            case hours.Closed(until_ms):
                return until_ms

    each = [partial(opens, zone) for zone in asked]

    def until_ms(at_ms: int) -> int | None:
        _ = at_ms
        return min((found.until_ms for found in now.values() if isinstance(found, hours.Open)), default=None)

    code, said = ("hours_in_each", (str(len(asked)),)) if len(asked) > 1 else ("calling_hours", ())
    return law.Check(code, said, lambda at_ms: law.first_moment(each, at_ms), until_ms)


def _again_at_ms(asked: Sequence[law.Check], now_ms: int) -> int:
    """The first moment that suits all rules; if there is none, people may change something meanwhile."""
    again_ms = law.first_moment([check.from_ms for check in asked if check.code not in LASTING], now_ms)
    return now_ms + NEVER_OPEN_RECHECK_MS if again_ms is None else again_ms


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
    burst = policy.burst
    first_try = burst is not None and lead.attempts_count <= burst.calls and lead.state is not LeadState.CALLBACK
    if burst is not None and first_try and outcome in UNANSWERED:
        return _after_burst(lead, position, burst, now_ms)
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


def _after_burst(lead: Lead, position: int, burst: Burst, now_ms: int) -> LeadChange:
    said = f"burst:{lead.attempts_count}:{burst.calls}"
    if lead.attempts_count < burst.calls:
        return _retry(lead, now_ms + burst.after_ms, _next_position(lead, position), said)
    change = _retry(lead, now_ms + burst.then_ms, _next_position(lead, position), said)
    return replace(change, priority=max(-PRIORITY_MAX, lead.priority + burst.priority_step))


def owner_of_promise(named: AgentId | None, keeper: AgentId | None) -> AgentId | None:
    """Whose a promised call is: who was named, else whose client the lead is; None: whoever is free."""
    return named or keeper


def after_disposition(
    lead: Lead, disposition: Disposition, agent: AgentId, callback_at_ms: int | None, mine: bool, now_ms: int
) -> LeadChange:
    """What the agent's result does to the lead. A callback needs its time."""
    if lead.state is LeadState.SUPPRESSED:
        return _still_suppressed(lead)
    rule = rule_of(disposition.id)
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
                owner=owner_of_promise(agent if mine else None, lead.keeper),
                rule=rule,
            )


def rule_of(disposition: DispositionId) -> str:
    """What an agent's word is called as the reason of a lead's state."""
    return f"disposition:{disposition}"


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
