"""Every shipped pack at the edges of every rule, to the second, from the text of its file alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from engine.config.loading import load_pack
from engine.core.law import DERIVED_FACTS, Pack, Ruling, judge
from engine.core.model import CampaignId, Lead, LeadId, LeadState, Mode, Outcome, Past, Phone, PhoneNumber

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


# ── every count, rest, consent and mode, from the text of the file ──────────────────────────────────────────────────

SECOND_MS, DAY_MS = 1_000, 86_400_000
ANYBODY = PhoneNumber("+380671110000")
#: The day on which something happened: in the week of a clock change, at a month's end, in a plain week.
EVENT_DAYS = (date(2026, 10, 24), date(2026, 3, 31), date(2026, 6, 10), date(2026, 11, 1))
RULES = [
    (name, part, index)
    for name in NAMES
    for part in ("limits", "redial_time", "cooldowns")
    for index in range(len(file("law", name).get(part, [])))
]


def midnight(day: date, zone: str) -> int:
    return round(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def period(per: Any, day: date) -> tuple[date, date]:
    """The first day of the period that the day lies in, and the first one in which that day counts no more."""
    match per:
        case "day":
            return day, day + timedelta(days=1)
        case "week":
            monday = day - timedelta(days=day.isoweekday() - 1)
            return monday, monday + timedelta(days=7)
        case "month":
            return day.replace(day=1), date(day.year + day.month // 12, day.month % 12 + 1, 1)
        case {"days": count}:
            return day, day + timedelta(days=int(count))  # it is counted so many days, its own among them
        case _:
            raise AssertionError(f"this test does not know the period {per}")


def happened(at_ms: int, outcome: Outcome, *, rang_ms: int = 0) -> Past:
    talk = outcome is Outcome.CONNECTED
    return Past(
        at_ms=at_ms,
        lead=LeadId(7),
        number=ANYBODY,
        outcome=outcome,
        answered_at_ms=at_ms if talk else None,
        bridged_at_ms=at_ms if talk else None,
        ended_at_ms=at_ms + rang_ms,
    )


def rulings(
    name: str, zone: str, at_ms: int, *history: Past, mode: Mode = Mode.PREDICTIVE, ring_ms: int = 0, **fields: Any
) -> list[Ruling]:
    """What the pack says, its hours apart."""
    said, pack = file("law", name), load_pack(name)
    assert isinstance(pack, Pack)
    facts = dict.fromkeys(said.get("require", ()), "yes") | dict.fromkeys(said.get("stop_if", ()), "no") | fields
    phone = Phone(position=0, number=ANYBODY)
    lead = Lead(id=LeadId(1), campaign=CampaignId("c"), phones=(phone,), state=LeadState.RETRY, zone=zone, fields=facts)
    hourless = replace(pack, windows=None)
    return list(judge(lead, phone, history, (hourless,), at_ms, mode=mode, ring_timeout_ms=ring_ms).rulings)


def passes(name: str, code: str, index: int, *rest: Any, **how: Any) -> bool:
    """Whether the pack's rule of that kind lets the call pass; True where it is waived."""
    found = [ruling for ruling in rulings(name, *rest, **how) if ruling.code == code]
    return found[index].passed if index < len(found) else True


def duration_ms_of(said: str) -> int:
    return int(said[:-1]) * {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": DAY_MS}[said[-1]]


COUNTED = {"attempt": Outcome.NO_ANSWER, "talk": Outcome.CONNECTED, "talk_or_unknown": Outcome.LOST}


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(("name", "part", "index"), RULES, ids=str)
def test_every_rule_holds_to_the_second(name: str, part: str, index: int, zone: str) -> None:
    rule = file("law", name)[part][index]
    for day in EVENT_DAYS:
        if part == "cooldowns":
            _rests(name, index, rule, zone, day)
            continue
        first, over = (midnight(edge, zone) for edge in period(rule["per"], day))
        if part == "limits":
            most, outcome, code, how = int(rule["max"]), COUNTED[rule["count"]], "law_limit", {}
            events = [happened(over - SECOND_MS - n, outcome) for n in range(most)]
            fewer, early = events[1:], [happened(first - SECOND_MS - n, outcome) for n in range(most)]
            begun = [happened(first + n, outcome) for n in range(most)]
        else:
            # Ringing so long already that a call which may ring 20 s fits to the second, or by one second not.
            most_ms, code, how = duration_ms_of(rule["max"]), "law_redial", {"ring_ms": 20_000}
            rang_ms = most_ms - 20_000 + SECOND_MS
            events, begun, early, fewer = (
                [happened(at_ms, Outcome.NO_ANSWER, rang_ms=rang)]
                for at_ms, rang in (
                    (over - SECOND_MS, rang_ms),
                    (first, rang_ms),
                    (first - SECOND_MS, rang_ms),
                    (first, rang_ms - SECOND_MS),
                )
            )
        if isinstance(rule["per"], dict):  # counted from the event's own day on: its edges are that day's
            last = midnight(day + timedelta(days=1), zone) - SECOND_MS
            events, fewer = ([replace(one, at_ms=last - n) for n, one in enumerate(some)] for some in (events, fewer))
        assert not passes(name, code, index, zone, over - SECOND_MS, *events, **how)
        assert passes(name, code, index, zone, over, *events, **how)
        assert passes(name, code, index, zone, over - SECOND_MS, *fewer, **how)
        if not isinstance(rule["per"], dict):
            assert not passes(name, code, index, zone, first + DAY_MS // 2, *begun, **how)
            assert passes(name, code, index, zone, first + DAY_MS // 2, *early, **how)
        for fact in set(rule.get("unless", [])) - DERIVED_FACTS:
            assert passes(name, code, index, zone, over - SECOND_MS, *events, **how, **{fact: "yes"})


def _rests(name: str, index: int, rule: dict[str, Any], zone: str, day: date) -> None:
    outcome = {"conversation": Outcome.CONNECTED, "abandoned": Outcome.ABANDONED, "attempt": Outcome.NO_ANSWER}
    began_ms = midnight(day + timedelta(days=1), zone) - SECOND_MS  # in the last second of the day
    event = happened(began_ms, outcome[rule["after"]])
    if "days" in rule:
        over_ms = midnight(day + timedelta(days=int(rule["days"])), zone)
    else:
        over_ms = began_ms + duration_ms_of(rule["length"])
    assert not passes(name, "law_cooldown", index, zone, over_ms - SECOND_MS, event)
    assert passes(name, "law_cooldown", index, zone, over_ms, event)
    assert passes(name, "law_cooldown", index, zone, over_ms - SECOND_MS, happened(began_ms, Outcome.BUSY))
    for fact in rule.get("unless", []):
        how: dict[str, Any] = {"mode": Mode.PROGRESSIVE} if fact == "agent_reserved" else {fact: "yes"}
        if fact not in DERIVED_FACTS or fact == "agent_reserved":
            assert passes(name, "law_cooldown", index, zone, over_ms - SECOND_MS, event, **how)


@pytest.mark.parametrize("name", NAMES)
def test_every_stop_flag_consent_and_mode_of_a_pack_refuses(name: str) -> None:
    said, noon = file("law", name), midnight(date(2026, 6, 10), ZONES[0]) + DAY_MS // 2

    def refused_by(mode: Mode = Mode.MANUAL, **fields: Any) -> set[str]:
        return {str(one) for one in rulings(name, ZONES[0], noon, mode=mode, **fields) if not one.passed}

    pack = f"{name}@{said['version']}"
    assert refused_by() == set()
    for flag in said.get("stop_if", []):
        for doubtful in ("yes", "так", "perhaps"):
            assert refused_by(Mode.MANUAL, **{flag: doubtful}) == {f"law_stop:{pack}:{flag}"}
    for consent in said.get("require", []):
        for doubtful in ("", "no", "perhaps"):
            assert refused_by(Mode.MANUAL, **{consent: doubtful}) == {f"law_require:{pack}:{consent}"}
    for mode in Mode:
        forbidden = mode.value in said.get("deny_modes", [])
        assert refused_by(mode) == ({f"law_mode:{pack}:{mode.value}"} if forbidden else set())


@pytest.mark.parametrize("name", NAMES)
def test_what_a_pack_wants_of_the_campaign_is_what_its_file_says(name: str) -> None:
    said, pack = file("law", name), load_pack(name)
    assert isinstance(pack, Pack)
    assert pack.ring_min_ms == duration_ms_of(said.get("min_ring", "0s"))
    assert pack.connect_within_ms == (duration_ms_of(said["connect_within"]) if "connect_within" in said else None)
    assert (pack.abandon is not None) == ("abandon" in said)
    if pack.abandon is not None:
        assert f"{pack.abandon.share_max:.0%}" == said["abandon"]["max"]
        assert pack.abandon.per_ms in {duration_ms_of(said["abandon"]["per"]), 0}
    assert pack.caller_id_required == (said.get("caller_id_required") == "yes")
    assert pack.caller_id_listed == (said.get("caller_id_listed", "no").split()[0] == "yes")
    assert pack.company_required == (said.get("company_required") == "yes")
