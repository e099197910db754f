"""Every shipped pack at the edges of its hours, to the second, from the text of its file alone."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from engine.config.loading import load_pack
from engine.core.law import Pack, judge
from engine.core.model import CampaignId, Lead, LeadId, LeadState, Mode, Phone, PhoneNumber

PACKS = Path(__file__).resolve().parents[2] / "packs"
NAMES = sorted(file.stem for file in (PACKS / "law").glob("*.yaml"))
ZONES = ("Europe/Kyiv", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Europe/London", "Asia/Vladivostok")
#: A working week, a weekend, both clock changes of Europe and America, holidays, a leap-less end of February.
DAYS = (
    *(date(2026, 3, 2) + timedelta(days=n) for n in range(7)),
    date(2026, 1, 1),
    date(2026, 2, 28),
    date(2026, 3, 8),
    date(2026, 3, 29),
    date(2026, 5, 1),
    date(2026, 10, 25),
    date(2026, 11, 1),
    date(2026, 12, 31),
)


def file(kind: str, name: str) -> dict[str, Any]:
    text = (PACKS / kind / f"{name}.yaml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - plain text and no objects
    return found


def days_of(entries: list[str]) -> set[date]:
    found: set[date] = set()
    for entry in entries:
        first, _, last = entry.partition("..")
        day, end = date.fromisoformat(first), date.fromisoformat(last or first)
        while day <= end:
            found.add(day)
            day += timedelta(days=1)
    return found


def hours_of(pack: dict[str, Any], day: date) -> list[tuple[str, str]]:
    """The hours of a day as the file says them."""
    calendar = file("calendars", pack["calendar"]) if "calendar" in pack else {}
    if day in days_of(calendar.get("off", [])):
        kind = "holiday"
    else:
        worked = day.weekday() < 5 or day in days_of(calendar.get("worked", []))
        kind = "workday" if worked else "weekend"
    said = pack["hours"].get(kind, "closed")
    spans = said if isinstance(said, list) else [said]
    return [(first, last) for first, _, last in (span.partition("-") for span in spans if span != "closed")]


@pytest.mark.parametrize("name", [name for name in NAMES if "hours" in file("law", name)])
@pytest.mark.parametrize("zone", ZONES)
def test_a_call_is_lawful_from_the_first_second_of_the_hours_to_the_last(name: str, zone: str) -> None:
    said, pack = file("law", name), load_pack(name)
    assert isinstance(pack, Pack)
    facts = dict.fromkeys(said.get("require", ()), "yes") | dict.fromkeys(said.get("stop_if", ()), "no")
    phone = Phone(position=0, number=PhoneNumber("+380671110000"))
    lead = Lead(id=LeadId(1), campaign=CampaignId("c"), phones=(phone,), state=LeadState.NEW, zone=zone, fields=facts)

    def lawful(day: date, clock: str, seconds: int) -> bool:
        hour, minute = map(int, clock.split(":"))
        midnight = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone))
        wall = midnight + timedelta(hours=hour, minutes=minute)  # wall time: hours of the clock, not of the sun
        at_ms = round(wall.timestamp() * 1000) + seconds * 1000
        return judge(lead, phone, (), (pack,), at_ms, mode=Mode.MANUAL).blocking is None

    for day in DAYS:
        spans = hours_of(said, day)
        if not spans:
            assert not any(lawful(day, f"{hour}:30", 0) for hour in range(24)), day
        for first, last in spans:
            if (first, last) == ("00:00", "24:00"):
                continue
            edges = [lawful(day, first, -1), lawful(day, first, 0), lawful(day, last, -1), lawful(day, last, 0)]
            assert edges == [False, True, True, False], (day, first, last)
