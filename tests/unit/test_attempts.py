"""The rules of trying, as sentences."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.core.attempts import UNCOUNTED_MAX, Allowed, Refused, after, after_disposition, may_dial, phone_to_dial
from engine.core.model import COUNTED, AttemptPolicy, LeadState, Outcome, Phone, PhoneNumber, RetryRule
from tests.conversation import ANNA, LATER, MINUTE_MS, MONDAY_MS, NEVER, OFFICE_HOURS, SOLD, campaign, lead

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


def test_the_phone_to_dial_goes_round_and_skips_invalid_ones() -> None:
    two = lead(1, *TWO_NUMBERS)
    assert [getattr(phone_to_dial(replace(two, next_phone=n)), "position", None) for n in (0, 1, 2)] == [0, 1, 0]
    half = replace(two, phones=(replace(two.phones[0], valid=False), two.phones[1]))
    assert getattr(phone_to_dial(half), "position", None) == 1


def test_if_the_phone_may_have_rung_it_counts() -> None:
    assert set(Outcome) - COUNTED == {Outcome.CONGESTION, Outcome.FAILED, Outcome.CANCELLED}
