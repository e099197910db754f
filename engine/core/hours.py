"""Calling hours: when a lead may be called, in the lead's own zone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from engine.core.model import CallingHours

ZONES_MAX: Final = 1_000
#: Further ahead than any sensible calling hours stay closed.
LOOK_AHEAD_DAYS: Final = 8
#: Days whose hours are remembered as instants: a few rules in every zone, today and the days ahead.
DAYS_MAX: Final = 8_192


@dataclass(frozen=True, slots=True)
class Open:
    """The lead may be called until then."""

    until_ms: int


@dataclass(frozen=True, slots=True)
class Closed:
    """The lead may not be called before then; None: never by these hours."""

    until_ms: int | None


@lru_cache(maxsize=ZONES_MAX)
def zone_of(name: str) -> ZoneInfo:
    """The zone, read once. Raises ZoneInfoNotFoundError."""
    return ZoneInfo(name)


def known_zones(names: Sequence[str]) -> tuple[ZoneInfo, ...] | None:
    """The zones of those names; None when there is none, or one that nobody knows."""
    try:
        return tuple(zone_of(name) for name in names) or None
    except (ZoneInfoNotFoundError, ValueError):
        return None


def instants(day: date, minute: int, zone: ZoneInfo) -> tuple[int, int]:
    """The first and the last instant that this wall time can mean: two when a clock change makes it double or void."""
    wall = datetime(day.year, day.month, day.day) + timedelta(minutes=minute)  # noqa: DTZ001 - a wall time, zoned next
    one, other = (int(wall.replace(tzinfo=zone, fold=fold).timestamp() * 1000) for fold in (0, 1))
    return min(one, other), max(one, other)


@lru_cache(maxsize=DAYS_MAX)
def open_ms(spans: tuple[tuple[int, int], ...], day: date, zone: ZoneInfo) -> tuple[tuple[int, int], ...]:
    """A day's hours as instants, (first, end), each edge read as that which keeps us longer from calling."""
    edges = ((instants(day, start, zone)[1], instants(day, end, zone)[0]) for start, end in spans)
    return tuple((from_ms, until_ms) for from_ms, until_ms in edges if from_ms < until_ms)


def day_of(at_ms: int, zone: ZoneInfo) -> date:
    """The day that it is there."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(zone).date()


def wall_hour(at_ms: int, zone: ZoneInfo) -> int:
    """The hour of the day that it is there."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(zone).hour


def wall_minute(at_ms: int, zone: ZoneInfo) -> int:
    """The minute of the day that it is there."""
    wall = datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(zone)
    return wall.hour * 60 + wall.minute


def window(zone_name: str | None, hours: CallingHours, now_ms: int) -> Open | Closed:
    """Whether now is inside the calling hours of that zone (None: the campaign's), and until when.

    Edges are wall times turned into instants, so a day with a clock change keeps its wall-time hours; an edge inside
    the change itself takes the instant that keeps us longer from calling. Raises ZoneInfoNotFoundError for a zone that
    is not in the database: `known_zones` asks.
    """
    zone = zone_of(zone_name or hours.zone)
    today = day_of(now_ms, zone)
    for ahead in range(LOOK_AHEAD_DAYS):
        day = today + timedelta(days=ahead)
        for from_ms, until_ms in open_ms(hours.spans[day.weekday()], day, zone):
            if now_ms < until_ms:
                return Open(until_ms) if from_ms <= now_ms else Closed(from_ms)
    return Closed(None)
