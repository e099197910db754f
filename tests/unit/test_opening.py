"""What is remembered of opening hours is what would be worked out anew."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core import attempts
from engine.core.model import CallingHours
from engine.core.opening import ZONE_SETS_MAX, Opening
from tests.conversation import MONDAY_MS, campaign

HOUR_MS = 3_600_000
WEEK_MS = 7 * 24 * HOUR_MS
SPANS = ((9 * 60, 12 * 60), (13 * 60, 20 * 60 + 30))
SPRING = campaign(hours=CallingHours(spans=(SPANS,) * 5 + ((),) * 2, zone="Europe/Kyiv"))
ZONES = (
    (),
    ("Europe/Kyiv",),
    ("Asia/Almaty", "Europe/Lisbon"),
    ("America/New_York",),
    ("Asia/Almaty", "America/New_York"),
)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(ZONES), st.integers(0, 3 * WEEK_MS)), max_size=40))
def test_it_says_what_the_rules_say_in_whatever_order_it_is_asked(asked: list[tuple[tuple[str, ...], int]]) -> None:
    opening = Opening(SPRING)
    for zones, after_ms in asked:
        at_ms = MONDAY_MS + after_ms
        assert opening(zones, at_ms) == attempts.opens_ms(SPRING, zones, at_ms)


def test_a_night_is_worked_out_once() -> None:
    opening = Opening(SPRING)
    night_ms = MONDAY_MS + 12 * HOUR_MS
    opens_at_ms = opening(("Europe/Kyiv",), night_ms)
    assert opens_at_ms is not None
    assert opens_at_ms > night_ms + HOUR_MS
    opening._campaign = campaign(hours=CallingHours(spans=((),) * 7, zone="Europe/Kyiv"))  # would say: never
    assert opening(["Europe/Kyiv"], night_ms + HOUR_MS) == opens_at_ms
    assert opening(["Europe/Kyiv"], opens_at_ms) is None


def test_it_does_not_remember_without_end() -> None:
    opening = Opening(SPRING)
    for n in range(2 * ZONE_SETS_MAX):
        opening(("Europe/Kyiv",) * (n % 3 + 1) + (f"Nowhere/{n}",), MONDAY_MS + 12 * HOUR_MS)
    assert len(opening._shut) <= ZONE_SETS_MAX
