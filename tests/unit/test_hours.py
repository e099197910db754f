"""Calling hours by the callee's own clock, on every day of the year."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.hours import Closed, Open, window
from engine.core.model import CallingHours

ZONES = ("Europe/Kyiv", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Tehran", "UTC")
NINE_TO_EIGHT = CallingHours(spans=(((9 * 60, 20 * 60),),) * 7, zone="Europe/Kyiv")
YEAR_MS = 1_735_689_600_000  # 2025 begins
MINUTE_MS = 60_000


def at(zone: str, *wall: int, fold: int = 0) -> int:
    """The instant of a wall time."""
    return int(datetime(*wall, tzinfo=ZoneInfo(zone), fold=fold).timestamp() * 1000)  # type: ignore[arg-type,misc]


def wall_minute(zone: str, at_ms: int) -> tuple[int, int]:
    """(weekday, minute of the day) on the callee's clock."""
    wall = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(ZoneInfo(zone))
    return wall.weekday(), wall.hour * 60 + wall.minute


def inside(hours: CallingHours, zone: str, at_ms: int) -> bool:
    day, minute = wall_minute(zone, at_ms)
    return any(start <= minute < end for start, end in hours.spans[day])


spans = st.lists(st.integers(0, 24 * 60), max_size=6, unique=True).map(
    lambda edges: tuple(zip(*[iter(sorted(edges))] * 2, strict=False))
)
weeks = st.builds(CallingHours, spans=st.tuples(*[spans] * 7), zone=st.sampled_from(ZONES))
instants = st.integers(YEAR_MS, YEAR_MS + 366 * 24 * 60 * MINUTE_MS)


@settings(max_examples=300)
@given(hours=weeks, now_ms=instants)
def test_open_means_that_their_clock_is_inside_a_span(hours: CallingHours, now_ms: int) -> None:
    match window(None, hours, now_ms):
        case Open(until_ms):
            assert until_ms > now_ms
            assert inside(hours, hours.zone, now_ms)
            assert inside(hours, hours.zone, until_ms - 1)
        case Closed(until_ms):
            if until_ms is None:
                assert not any(hours.spans) or all(start == end for day in hours.spans for start, end in day)
            else:
                assert until_ms > now_ms
                assert isinstance(window(None, hours, until_ms), Open), "worth asking again then"


@settings(max_examples=300)
@given(hours=weeks, now_ms=instants)
def test_outside_of_clock_changes_open_and_inside_are_the_same(hours: CallingHours, now_ms: int) -> None:
    zone = ZoneInfo(hours.zone)
    day_ms = 24 * 60 * MINUTE_MS
    offsets = {
        datetime.fromtimestamp((now_ms + shift) / 1000, UTC).astimezone(zone).utcoffset()
        for shift in (-day_ms, 0, day_ms)
    }
    if len(offsets) == 1:
        assert isinstance(window(None, hours, now_ms), Open) == inside(hours, hours.zone, now_ms)


def test_the_day_the_clock_goes_forward_keeps_its_wall_hours() -> None:
    nine, eight = at("Europe/Kyiv", 2026, 3, 29, 9), at("Europe/Kyiv", 2026, 3, 29, 20)
    assert window(None, NINE_TO_EIGHT, nine - 1) == Closed(nine)
    assert window(None, NINE_TO_EIGHT, nine) == Open(eight)
    assert window(None, NINE_TO_EIGHT, eight) == Closed(at("Europe/Kyiv", 2026, 3, 30, 9))
    assert nine == at("Europe/Kyiv", 2026, 3, 28, 9) + 23 * 60 * MINUTE_MS


def test_the_day_the_clock_goes_back_keeps_its_wall_hours() -> None:
    nine, eight = at("Europe/Kyiv", 2026, 10, 25, 9), at("Europe/Kyiv", 2026, 10, 25, 20)
    assert window(None, NINE_TO_EIGHT, nine - 1) == Closed(nine)
    assert window(None, NINE_TO_EIGHT, nine) == Open(eight)
    assert nine == at("Europe/Kyiv", 2026, 10, 24, 9) + 25 * 60 * MINUTE_MS


def test_an_edge_inside_the_double_hour_keeps_us_longer_from_calling() -> None:
    night = CallingHours(spans=(((3 * 60 + 30, 5 * 60),),) * 7, zone="Europe/Kyiv")
    first, second = at("Europe/Kyiv", 2026, 10, 25, 3, 30), at("Europe/Kyiv", 2026, 10, 25, 3, 30, fold=1)
    assert window(None, night, first) == Closed(second)
    until_half = CallingHours(spans=(((0, 3 * 60 + 30),),) * 7, zone="Europe/Kyiv")
    assert isinstance(window(None, until_half, first - 1), Open)
    assert isinstance(window(None, until_half, second - 1), Closed)


def test_the_leads_own_zone_comes_first() -> None:
    now_ms = at("Europe/Kyiv", 2026, 11, 23, 10)
    assert isinstance(window(None, NINE_TO_EIGHT, now_ms), Open)
    assert window("America/New_York", NINE_TO_EIGHT, now_ms) == Closed(at("America/New_York", 2026, 11, 23, 9))


def test_hours_that_never_open() -> None:
    assert window(None, CallingHours(spans=((),) * 7, zone="UTC"), YEAR_MS) == Closed(None)


def test_a_free_weekend_is_skipped() -> None:
    working = CallingHours(spans=(((9 * 60, 20 * 60),),) * 5 + ((), ()), zone="Europe/Kyiv")
    saturday = at("Europe/Kyiv", 2026, 11, 21, 12)
    assert window(None, working, saturday) == Closed(at("Europe/Kyiv", 2026, 11, 23, 9))
