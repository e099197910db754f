"""The rules of trying, as sentences."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from engine.core.attempts import (
    UNCOUNTED_MAX,
    Allowed,
    Refused,
    after,
    after_disposition,
    explain,
    may_dial,
    phones_to_dial,
)
from engine.core.law import Calendar, Count, Key, Limit, Rolling
from engine.core.model import (
    COUNTED,
    MISSED,
    AttemptPolicy,
    Burst,
    Campaign,
    Lead,
    LeadId,
    LeadState,
    Outcome,
    Past,
    Phone,
    PhoneNumber,
    RetryRule,
)
from tests.conversation import ANNA, BORYS, LATER, MINUTE_MS, MONDAY_MS, NEVER, OFFICE_HOURS, SOLD, campaign, lead

NOW_MS = MONDAY_MS
POLICY = campaign().attempts
TWO_NUMBERS = ("+380671111111", "+380672222222")


@pytest.mark.parametrize("outcome", sorted(set(Outcome) - {Outcome.CONNECTED}))
def test_every_outcome_has_a_row_and_leaves_the_lead_somewhere(outcome: Outcome) -> None:
    tried = lead(1, *TWO_NUMBERS, attempts_count=1, outcome_counts={outcome: 1})
    change = after(tried, 0, outcome, POLICY, NOW_MS)
    assert change.state is LeadState.RETRY
    assert change.rule
    assert change.next_at_ms is not None
    assert change.next_at_ms >= NOW_MS


@pytest.mark.parametrize("outcome", sorted(COUNTED - {Outcome.CONNECTED}))
def test_every_counted_outcome_closes_a_lead_whose_attempts_are_used(outcome: Outcome) -> None:
    tried = lead(1, *TWO_NUMBERS, attempts_count=POLICY.max, outcome_counts={outcome: 1})
    assert after(tried, 0, outcome, POLICY, NOW_MS).state is LeadState.CLOSED


@pytest.mark.parametrize("outcome", [Outcome.CONGESTION, Outcome.FAILED])
def test_what_does_not_count_does_not_close_but_not_for_ever(outcome: Outcome) -> None:
    tried = lead(1, attempts_count=POLICY.max, outcome_counts={outcome: UNCOUNTED_MAX - 1})
    assert after(tried, 0, outcome, POLICY, NOW_MS).state is LeadState.RETRY
    tried = replace(tried, outcome_counts={outcome: UNCOUNTED_MAX})
    assert after(tried, 0, outcome, POLICY, NOW_MS).state is LeadState.CLOSED


def test_third_busy_closes_the_lead() -> None:
    for busy, state in ((1, LeadState.RETRY), (2, LeadState.RETRY), (3, LeadState.CLOSED)):
        tried = lead(1, attempts_count=busy, outcome_counts={Outcome.BUSY: busy})
        assert after(tried, 0, Outcome.BUSY, POLICY, NOW_MS).state is state


def test_a_rule_of_no_retries_closes_at_once() -> None:
    strict = AttemptPolicy(max=5, retry={Outcome.REJECTED: RetryRule(after_ms=0, max=0)})
    tried = lead(1, attempts_count=1, outcome_counts={Outcome.REJECTED: 1})
    assert after(tried, 0, Outcome.REJECTED, strict, NOW_MS).state is LeadState.CLOSED


def test_the_next_try_is_on_the_next_number_and_round() -> None:
    tried = lead(1, *TWO_NUMBERS, attempts_count=1, outcome_counts={Outcome.BUSY: 1})
    assert after(tried, 0, Outcome.BUSY, POLICY, NOW_MS).next_phone == 1
    assert after(tried, 1, Outcome.BUSY, POLICY, NOW_MS).next_phone == 0


def test_an_invalid_number_is_marked_and_the_next_one_is_tried_at_once() -> None:
    change = after(lead(1, *TWO_NUMBERS, attempts_count=1), 0, Outcome.INVALID_NUMBER, POLICY, NOW_MS)
    assert (change.invalid_phone, change.next_phone, change.next_at_ms) == (0, 1, NOW_MS)
    change = after(lead(1, attempts_count=1), 0, Outcome.INVALID_NUMBER, POLICY, NOW_MS)
    assert (change.state, change.invalid_phone) == (LeadState.CLOSED, 0)


@pytest.mark.parametrize("outcome", [Outcome.BUSY, Outcome.INVALID_NUMBER, Outcome.CANCELLED, Outcome.LOST])
def test_a_promise_not_kept_yet_stays_a_promise_of_the_same_agent(outcome: Outcome) -> None:
    promised = lead(1, *TWO_NUMBERS, state=LeadState.CALLBACK, owner=ANNA, attempts_count=1)
    change = after(promised, 0, outcome, POLICY, NOW_MS)
    assert (change.state, change.owner) == (LeadState.CALLBACK, ANNA)


@pytest.mark.parametrize("outcome", sorted(set(Outcome) - {Outcome.CONNECTED}))
def test_no_outcome_brings_a_suppressed_lead_back(outcome: Outcome) -> None:
    assert after(lead(1, state=LeadState.SUPPRESSED), 0, outcome, POLICY, NOW_MS).state is LeadState.SUPPRESSED


def test_dispositions() -> None:
    talked = lead(1)
    assert after_disposition(talked, SOLD, ANNA, None, False, NOW_MS).state is LeadState.CLOSED
    assert after_disposition(talked, NEVER, ANNA, None, False, NOW_MS).state is LeadState.SUPPRESSED
    for mine, owner in ((True, ANNA), (False, None)):
        change = after_disposition(talked, LATER, ANNA, NOW_MS + MINUTE_MS, mine, NOW_MS)
        assert (change.state, change.owner, change.next_at_ms) == (LeadState.CALLBACK, owner, NOW_MS + MINUTE_MS)
    kept = lead(1, keeper=BORYS)
    assert after_disposition(kept, LATER, ANNA, NOW_MS + MINUTE_MS, False, NOW_MS).owner == BORYS, "whose client it is"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"state": LeadState.CLOSED}, "lead_is:closed"),
        ({"state": LeadState.DIALING}, "lead_is:dialing"),
        ({"attempts_count": 5}, "attempts_used:5:5"),
        ({"next_at_ms": NOW_MS + 1}, "not_due"),
        ({"phones": (Phone(position=0, number=PhoneNumber("+380671111111"), valid=False),)}, "no_valid_phone"),
    ],
)
def test_what_may_not_be_dialed(changes: dict[str, object], reason: str) -> None:
    refused = may_dial(lead(1, **changes), campaign(), NOW_MS)
    assert isinstance(refused, Refused)
    assert refused.reason == reason


def test_the_lead_s_own_zone_rules() -> None:
    office = campaign(hours=OFFICE_HOURS)
    assert isinstance(may_dial(lead(1), office, NOW_MS), Allowed)
    refused = may_dial(lead(1, zone="America/New_York"), office, NOW_MS)
    assert isinstance(refused, Refused)
    assert refused.again_at_ms == NOW_MS + 6 * 60 * MINUTE_MS


def may_be_in(*zones: str, zone: str | None = None) -> Lead:
    """A lead whose only number leaves these zones."""
    mobile = Phone(position=0, number=PhoneNumber("+79161234567"), zones=zones)
    return replace(lead(1, zone=zone), phones=(mobile,))


def test_who_may_be_in_several_zones_is_called_only_when_all_of_them_are_open() -> None:
    office = campaign(hours=OFFICE_HOURS)
    far = may_be_in("Asia/Vladivostok", "Europe/Moscow")
    opens_ms = NOW_MS - 2 * 60 * MINUTE_MS  # 09:00 in Moscow
    closes_ms = NOW_MS + 2 * 60 * MINUTE_MS  # 20:00 in Vladivostok
    refused = may_dial(far, office, opens_ms - 1)
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.again_at_ms) == ("hours_in_each:2", opens_ms)
    allowed = may_dial(far, office, opens_ms)
    assert isinstance(allowed, Allowed)
    assert allowed.until_ms == closes_ms
    assert isinstance(may_dial(far, office, closes_ms), Refused)


def test_the_lead_s_own_zone_goes_before_its_numbers_and_the_campaign_s_comes_last() -> None:
    office = campaign(hours=OFFICE_HOURS)

    def opens(one: Lead) -> int | None:
        return explain(one, office, NOW_MS).next_at_ms

    assert opens(may_be_in("America/New_York", zone="Europe/Kyiv")) == NOW_MS
    assert opens(may_be_in("America/New_York")) == NOW_MS + 6 * 60 * MINUTE_MS
    assert opens(may_be_in()) == NOW_MS


@pytest.mark.parametrize(
    ("zones", "said"),
    [
        (("America/New_York", "Asia/Shanghai"), "hours_in_each:2"),  # never both open
        (("Europe/Atlantis",), "zone_unknown:Europe/Atlantis"),
    ],
)
def test_none_left_is_not_dialed_and_said(zones: tuple[str, ...], said: str) -> None:
    office = campaign(hours=OFFICE_HOURS)
    verdict = explain(may_be_in(*zones), office, NOW_MS)
    assert (str(verdict.blocking), verdict.next_at_ms) == (said, None)
    refused = may_dial(may_be_in(*zones), office, NOW_MS)
    assert isinstance(refused, Refused)
    assert refused.reason == said


def test_the_phone_to_dial_goes_round_and_skips_invalid_ones() -> None:
    two = lead(1, *TWO_NUMBERS)
    assert [phones_to_dial(replace(two, next_phone=n))[0].position for n in (0, 1, 2)] == [0, 1, 0]
    half = replace(two, phones=(replace(two.phones[0], valid=False), two.phones[1]))
    assert [phone.position for phone in phones_to_dial(half)] == [1]


def test_if_the_phone_may_have_rung_it_counts() -> None:
    assert set(Outcome) - COUNTED - MISSED == {Outcome.CONGESTION, Outcome.FAILED, Outcome.CANCELLED}
    assert not COUNTED & MISSED


# ── the first try as several calls ───────────────────────────────────────────────────────────────────────────────

BURST = AttemptPolicy(
    max=9,
    retry={Outcome.NO_ANSWER: RetryRule(after_ms=60 * MINUTE_MS, max=9)},
    burst=Burst(calls=3, after_ms=20_000, then_ms=30 * MINUTE_MS, priority_step=-10),
)


@pytest.mark.parametrize(
    ("tries", "outcome", "after_ms", "priority"),
    [
        (1, Outcome.NO_ANSWER, 20_000, None),
        (2, Outcome.BUSY, 20_000, None),
        (3, Outcome.NO_ANSWER, 30 * MINUTE_MS, -5),
        (4, Outcome.NO_ANSWER, 60 * MINUTE_MS, None),
        (1, Outcome.HUNG_UP_EARLY, BURST.default_after_ms, None),
    ],
)
def test_the_first_try_is_up_to_three_quick_calls_then_less_priority_and_half_an_hour(
    tries: int, outcome: Outcome, after_ms: int, priority: int | None
) -> None:
    tried = lead(1, attempts_count=tries, outcome_counts={outcome: tries}, priority=5)
    change = after(tried, 0, outcome, BURST, NOW_MS)
    assert (change.next_at_ms, change.priority) == (NOW_MS + after_ms, priority)


def test_a_promised_call_is_no_first_try() -> None:
    tried = lead(1, attempts_count=1, outcome_counts={Outcome.NO_ANSWER: 1}, state=LeadState.CALLBACK)
    assert after(tried, 0, Outcome.NO_ANSWER, BURST, NOW_MS).next_at_ms == NOW_MS + 60 * MINUTE_MS


# ── limits of a campaign's own ───────────────────────────────────────────────────────────────────────────────────


def tried_at(*at_ms: int, number: str = TWO_NUMBERS[0], of: int = 1) -> tuple[Past, ...]:
    return tuple(
        Past(at_ms=one, lead=LeadId(of), number=PhoneNumber(number), outcome=Outcome.NO_ANSWER, ended_at_ms=one + 1)
        for one in at_ms
    )


def limited(*limits: Limit, **more: Any) -> Campaign:
    return campaign(attempts=replace(POLICY, limits=limits, **more))


def test_a_number_that_had_its_calls_today_gives_way_to_the_other_and_then_both_wait_for_tomorrow() -> None:
    once_a_day = limited(Limit(count=Count.ATTEMPT, max=1, per=Calendar.DAY, key=Key.NUMBER))
    fresh = lead(1, *TWO_NUMBERS, history=())
    first, second = tried_at(NOW_MS - 1000), tried_at(NOW_MS - 500, number=TWO_NUMBERS[1])
    for history, position in (((), 0), (first, 1), (second, 0)):
        allowed = may_dial(replace(fresh, history=history), once_a_day, NOW_MS)
        assert isinstance(allowed, Allowed)
        assert allowed.phone.position == position
    refused = may_dial(replace(fresh, history=first + second), once_a_day, NOW_MS)
    assert refused == Refused("attempt_limit:number:1:1:day", NOW_MS + 14 * 60 * MINUTE_MS)  # midnight in Kyiv


def test_of_two_phones_that_had_their_calls_the_one_that_is_free_first_says_when() -> None:
    rested = limited(Limit(count=Count.ATTEMPT, max=1, per=Rolling(7 * 24 * 60 * MINUTE_MS), key=Key.NUMBER))
    first, second = tried_at(NOW_MS - 60 * MINUTE_MS), tried_at(NOW_MS - 24 * 60 * MINUTE_MS, number=TWO_NUMBERS[1])
    both = lead(1, *TWO_NUMBERS, history=(*second, *first))
    refused = may_dial(both, rested, NOW_MS)
    assert isinstance(refused, Refused)
    assert refused.again_at_ms == second[0].at_ms + 7 * 24 * 60 * MINUTE_MS


def test_a_person_has_one_budget_over_all_campaigns_and_leads() -> None:
    weekly = limited(Limit(count=Count.ATTEMPT, max=2, per=Rolling(7 * 24 * 60 * MINUTE_MS), key=Key.PERSON))
    known = lead(1, *TWO_NUMBERS, history=tried_at(NOW_MS - 2000, of=7) + tried_at(NOW_MS - 1000, of=8))
    refused = may_dial(known, weekly, NOW_MS)
    assert refused == Refused("attempt_limit:person:2:2:rolling-168h", NOW_MS - 2000 + 7 * 24 * 60 * MINUTE_MS)


def test_the_third_try_is_not_at_the_same_hour_of_the_day() -> None:
    spread = limited(same_hour_max=2)
    day_ms = 24 * 60 * MINUTE_MS
    twice = lead(1, history=tried_at(NOW_MS - 2 * day_ms, NOW_MS - day_ms))
    assert may_dial(twice, spread, NOW_MS) == Refused("same_hour:2:2", NOW_MS + 60 * MINUTE_MS)
    assert isinstance(may_dial(twice, spread, NOW_MS + 60 * MINUTE_MS), Allowed)


def test_who_may_be_in_several_zones_is_spared_the_hour_in_each_of_them() -> None:
    noon_ms = int(datetime(2026, 10, 24, 9, tzinfo=UTC).timestamp() * 1000)  # 12:00 in both: Kyiv's last summer day
    next_day_ms = noon_ms + (25 * 60 + 30) * MINUTE_MS  # 12:30 in Kyiv, 13:30 in Moscow
    once = limited(same_hour_max=1)
    kyiv, moscow, abroad = "Europe/Kyiv", "Europe/Moscow", "Asia/Kolkata"
    for zones, refused in (((kyiv,), True), ((moscow,), False), ((kyiv, moscow), True), ((abroad, moscow), False)):
        phone = Phone(position=0, number=PhoneNumber(TWO_NUMBERS[0]), zones=zones)
        said = may_dial(lead(1, phones=(phone,), history=tried_at(noon_ms)), once, next_day_ms)
        assert (said == Refused("same_hour:1:1", next_day_ms + 30 * MINUTE_MS)) is refused, zones


def test_a_promised_call_is_made_at_the_hour_that_was_named() -> None:
    day_ms = 24 * 60 * MINUTE_MS
    promised = lead(1, history=tried_at(NOW_MS - 2 * day_ms, NOW_MS - day_ms), state=LeadState.CALLBACK)
    assert isinstance(may_dial(promised, limited(same_hour_max=2), NOW_MS), Allowed)


def test_limits_refuse_who_comes_without_a_history() -> None:
    refused = may_dial(lead(1), limited(same_hour_max=2), NOW_MS)
    assert isinstance(refused, Refused)
    assert refused.reason.startswith("law_history")
