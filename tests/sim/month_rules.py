"""What a month of dialing must not have done, from the texts of the rules alone: nothing here is the engine's.

Each check reads the rows of the database as they are, with Python's own clock arithmetic.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Final
from zoneinfo import ZoneInfo

HOUR_MS: Final = 3_600_000
WEEK_MS: Final = 7 * 24 * HOUR_MS

#: Where somebody may be whose lead names no zone, by how their numbers begin: it must be lawful to call them in each
#: of these zones. London and Sydney have no common hour for debts once London's clocks are back.
SEVERAL_ZONES: Final = {
    "+7916": ("Europe/Kaliningrad", "Europe/Moscow", "Asia/Yekaterinburg"),
    "+614": ("Australia/Sydney", "Australia/Adelaide", "Australia/Perth"),
    "+4478": ("Europe/London", "Australia/Sydney"),
}

# The campaigns' own rules.
LEAD_MAX: Final = 12  # calls of a lead in all
SALES_FROM, SALES_UNTIL = 8, 22  # every day, where the person is
LEAD_PER_DAY: Final = 4
NUMBER_PER_WEEK: Final = 8
PERSON_PER_WEEK: Final = 9
SAME_HOUR_MAX: Final = 3  # calls of a lead at one hour of the day

# Ukraine, Consumer Credit Act, art. 25: not from 20:00 to 9:00, not at weekends and on holidays; not more than two
# interactions a day; automatic redialing not more than 30 minutes a day. The only holiday of the month is 1 October.
DEBT_FROM, DEBT_UNTIL = 9, 20
HOLIDAYS: Final = frozenset({date(2026, 10, 1)})
TALKS_PER_DAY: Final = 2
RINGING_PER_DAY_MS: Final = 30 * 60_000
RING_MS: Final = 20_000  # how long a phone rings at most
#: A promise whose time has come, at hours when the person may be called, is dialed within this.
PROMISE_MS: Final = 30 * 60_000

_NO_RING: Final = ("failed", "congestion")
_MAYBE_TALK: Final = ("connected", "lost", "abandoned", "hung_up_early")


def broken(
    database: sqlite3.Connection, now_ms: int, *, invites: Sequence[tuple[int, str]], stops: Sequence[tuple[int, int]]
) -> list[str]:
    """Every rule that was broken, in words."""
    attempts = database.execute("SELECT * FROM attempts ORDER BY planned_at_ms, id").fetchall()
    persons, places = _persons(database), _places(database)
    return [
        *_at_wrong_hours(attempts, places),
        *_too_often(attempts, persons, places, _promised(database)),
        *_doubled(attempts, invites),
        *_after_a_stop(database, attempts, stops),
        *_promises(database, now_ms, attempts, persons, places),
    ]


def _promised(database: sqlite3.Connection) -> frozenset[str]:
    """Attempts that keep a promise, or try again to: the person named that time, so no hour of the day is too much."""
    found = database.execute(
        "SELECT a.id FROM attempts a JOIN callbacks b ON b.lead_id = a.lead_id "
        "WHERE b.promised_at_ms <= a.planned_at_ms "
        "AND b.created_at_ms <= a.planned_at_ms AND (b.closed_at_ms IS NULL OR b.closed_at_ms >= a.planned_at_ms)"
    )
    return frozenset(row["id"] for row in found)


def _persons(database: sqlite3.Connection) -> dict[int, frozenset[int]]:
    """Of each lead, all leads that share a number with it."""
    by_number: dict[str, set[int]] = defaultdict(set)
    for lead, number in database.execute("SELECT lead_id, number FROM phones"):
        by_number[number].add(lead)
    found: dict[int, set[int]] = defaultdict(set)
    for leads in by_number.values():
        for lead in leads:
            found[lead] |= leads
    return {lead: frozenset(leads) for lead, leads in found.items()}


def _places(database: sqlite3.Connection) -> dict[int, tuple[str, ...]]:
    """The zones in which each lead may be."""
    found = {}
    for lead, zone, numbers in database.execute(
        "SELECT l.id, l.zone, group_concat(p.number) FROM leads l JOIN phones p ON p.lead_id = l.id GROUP BY l.id"
    ):
        begins = [prefix for prefix in SEVERAL_ZONES if any(one.startswith(prefix) for one in numbers.split(","))]
        found[lead] = (zone,) if zone else tuple({one for prefix in begins for one in SEVERAL_ZONES[prefix]})
    return found


def _wall(at_ms: int, zone: str) -> datetime:
    return datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(ZoneInfo(zone))


def _debts_open(wall: datetime) -> bool:
    return wall.weekday() < 5 and wall.date() not in HOLIDAYS and DEBT_FROM <= wall.hour < DEBT_UNTIL


def _open(campaign: str, wall: datetime) -> bool:
    return _debts_open(wall) if campaign == "debts" else SALES_FROM <= wall.hour < SALES_UNTIL


def _at_wrong_hours(attempts: Iterable[sqlite3.Row], places: dict[int, tuple[str, ...]]) -> Iterator[str]:
    for row in attempts:
        for wall in (_wall(row["planned_at_ms"], zone) for zone in places[row["lead_id"]]):
            if not _open(row["campaign_id"], wall):
                yield f"{row['id']} was dialed at {wall:%a %F %T} there"


def _too_often(
    attempts: Sequence[sqlite3.Row],
    persons: dict[int, frozenset[int]],
    places: dict[int, tuple[str, ...]],
    promised: frozenset[str],
) -> Iterator[str]:
    of_lead: dict[int, list[sqlite3.Row]] = defaultdict(list)
    of_number: dict[str, list[sqlite3.Row]] = defaultdict(list)
    for row in attempts:
        of_person = [past for lead in persons[row["lead_id"]] for past in of_lead[lead]]
        zones = places[row["lead_id"]]
        if row["campaign_id"] == "sales":
            kept = row["id"] in promised
            yield from _sales(row, zones, of_lead[row["lead_id"]], of_number[row["number"]], of_person, promised=kept)
        else:
            for here in zones:
                yield from _debts(row, here, of_person)
        of_lead[row["lead_id"]].append(row)
        of_number[row["number"]].append(row)
    for lead, rows in of_lead.items():
        tries = sum(row["outcome"] not in {"failed", "congestion", "cancelled"} for row in rows)
        if tries > LEAD_MAX:
            yield f"lead {lead} was tried {tries} times"


def _debts(row: sqlite3.Row, here: str, of_person: list[sqlite3.Row]) -> Iterator[str]:
    at_ms = row["planned_at_ms"]
    same_day = [past for past in of_person if _same_day(past, at_ms, here)]
    talks = sum(_may_have_talked(past, at_ms) for past in same_day)
    if talks >= TALKS_PER_DAY:
        yield f"{row['id']}: {talks} conversations that day before it"
    ringing_ms = sum(_ringing_ms(past) for past in same_day)
    if ringing_ms > RINGING_PER_DAY_MS:
        yield f"{row['id']}: {ringing_ms} ms of ringing that day before it"


def _same_day(past: sqlite3.Row, at_ms: int, here: str) -> bool:
    return _wall(past["planned_at_ms"], here).date() == _wall(at_ms, here).date()


def _same_hour(past: sqlite3.Row, at_ms: int, here: str) -> bool:
    return _wall(past["planned_at_ms"], here).hour == _wall(at_ms, here).hour


def _sales(
    row: sqlite3.Row,
    zones: Sequence[str],
    of_lead: list[sqlite3.Row],
    of_number: list[sqlite3.Row],
    of_person: list[sqlite3.Row],
    *,
    promised: bool,
) -> Iterator[str]:
    at_ms = row["planned_at_ms"]
    rung = [past for past in of_lead if past["outcome"] not in _NO_RING]
    same_day = max(sum(_same_day(past, at_ms, zone) for past in rung) for zone in zones)
    same_hour = 0 if promised else max(sum(_same_hour(past, at_ms, zone) for past in rung) for zone in zones)
    for what, used, most in (
        ("calls of the lead that day", same_day, LEAD_PER_DAY),
        ("calls of the lead at that hour", same_hour, SAME_HOUR_MAX),
        ("calls of the number in a week", _in_a_week(of_number, at_ms), NUMBER_PER_WEEK),
        ("calls of the person in a week", _in_a_week(of_person, at_ms), PERSON_PER_WEEK),
    ):
        if used >= most:
            yield f"{row['id']}: {used} {what} before it"


def _in_a_week(past: Iterable[sqlite3.Row], at_ms: int) -> int:
    return sum(one["outcome"] not in _NO_RING and one["planned_at_ms"] > at_ms - WEEK_MS for one in past)


def _may_have_talked(past: sqlite3.Row, at_ms: int) -> bool:
    return (
        past["bridged_at_ms"] is not None or past["outcome"] in _MAYBE_TALK or (past["ended_at_ms"] or at_ms) >= at_ms
    )


def _ringing_ms(past: sqlite3.Row) -> int:
    if past["outcome"] in _NO_RING:
        return 0
    until_ms = past["answered_at_ms"] or past["ended_at_ms"] or past["planned_at_ms"]
    return int(until_ms - past["planned_at_ms"])


def _doubled(attempts: Sequence[sqlite3.Row], invites: Sequence[tuple[int, str]]) -> Iterator[str]:
    """Two calls at once to a number or a lead; a call without a row, or two for one."""
    busy: dict[str, tuple[int, str]] = {}
    for row in attempts:
        ended_ms = 1 << 62 if row["ended_at_ms"] is None else row["ended_at_ms"]
        for whose in (f"number {row['number'][-4:]}{row['number']}", f"lead {row['lead_id']}"):
            until_ms, before = busy.get(whose, (0, ""))
            if row["planned_at_ms"] < until_ms:
                yield f"{row['id']} and {before} at once"
            busy[whose] = max(busy.get(whose, (0, "")), (ended_ms, row["id"]))
    rows: dict[str, list[int]] = defaultdict(list)
    for row in attempts:
        rows[row["number"]].append(row["planned_at_ms"])
    called: dict[str, list[int]] = defaultdict(list)
    for at_ms, number in invites:
        called[number].append(at_ms)
    for number, moments in called.items():
        unpaid = list(rows[number])
        for at_ms in moments:
            if at_ms not in unpaid:
                yield f"a call to …{number[-4:]} at {at_ms} without a row of its own"
            else:
                unpaid.remove(at_ms)


def _after_a_stop(
    database: sqlite3.Connection, attempts: Sequence[sqlite3.Row], stops: Sequence[tuple[int, int]]
) -> Iterator[str]:
    numbers: dict[int, list[str]] = defaultdict(list)
    for lead, number in database.execute("SELECT lead_id, number FROM phones"):
        numbers[lead].append(number)
    said = list(stops)
    said += [
        (at_ms, lead)
        for at_ms, lead in database.execute(
            "SELECT d.at_ms, a.lead_id FROM dispositions d JOIN attempts a ON a.id = d.attempt_id "
            "WHERE d.disposition_id = 'never'"
        )
    ]
    stopped: dict[str, int] = {}
    for at_ms, lead in said:
        for number in numbers[lead]:
            stopped[number] = min(stopped.get(number, at_ms), at_ms)
    for row in attempts:
        if row["planned_at_ms"] > stopped.get(row["number"], 1 << 62):
            yield f"{row['id']} was dialed after a word never to call that number"


def _promises(
    database: sqlite3.Connection,
    now_ms: int,
    attempts: Sequence[sqlite3.Row],
    persons: dict[int, frozenset[int]],
    places: dict[int, tuple[str, ...]],
) -> Iterator[str]:
    """No promise is forgotten: an open one has its lead waiting, and one that may be kept is dialed in time."""
    for row in database.execute(
        "SELECT b.id, l.state FROM callbacks b JOIN leads l ON l.id = b.lead_id "
        "WHERE b.closed_at_ms IS NULL AND l.state NOT IN ('callback', 'dialing', 'in_call')"
    ):
        yield f"promise {row['id']} is open, but its lead is {row['state']}"
    for row in database.execute("SELECT id FROM leads WHERE state = 'callback'"):
        (found,) = database.execute(
            "SELECT count(*) FROM callbacks WHERE lead_id = ? AND closed_at_ms IS NULL", (row["id"],)
        ).fetchone()
        if found != 1:
            yield f"lead {row['id']} waits for a promised call, of which there are {found}"
    of_lead: dict[int, list[sqlite3.Row]] = defaultdict(list)
    for attempt in attempts:
        of_lead[attempt["lead_id"]].append(attempt)
    for row in database.execute(
        "SELECT * FROM callbacks WHERE promised_at_ms < ?",
        (now_ms - 2 * PROMISE_MS,),
    ):
        zones = places[row["lead_id"]]
        span = [_wall(row["promised_at_ms"] + ms, zone) for zone in zones for ms in (0, PROMISE_MS)]
        if not all(_open(row["campaign_id"], wall) for wall in span):
            continue  # it was promised for a time when the person may not be called
        closed_ms = row["closed_at_ms"]
        if closed_ms is not None and closed_ms <= row["promised_at_ms"] + PROMISE_MS:
            continue  # kept, or taken back
        dialed = database.execute(
            "SELECT 1 FROM attempts WHERE lead_id = ? AND planned_at_ms BETWEEN ? AND ?",
            (row["lead_id"], row["promised_at_ms"], row["promised_at_ms"] + PROMISE_MS),
        ).fetchone()
        of_person = [past for lead in persons[row["lead_id"]] for past in of_lead[lead]]
        numbers = [
            number
            for (number,) in database.execute(
                "SELECT number FROM phones WHERE lead_id = ? AND valid", (row["lead_id"],)
            )
        ]
        held = any(_held_back(row, here, of_lead[row["lead_id"]], of_person, numbers) for here in zones)
        if not dialed and not held:
            yield f"promise {row['id']} of lead {row['lead_id']} was not dialed in time"


def _held_back(
    row: sqlite3.Row, here: str, of_lead: list[sqlite3.Row], of_person: list[sqlite3.Row], numbers: Sequence[str]
) -> bool:
    """Whether a limit, or a call with a number of theirs, forbade the call all the time in which it was promised."""
    since_ms = row["promised_at_ms"]
    until_ms = since_ms + PROMISE_MS
    if any(past["planned_at_ms"] < until_ms and past["ended_at_ms"] >= since_ms for past in of_person):
        return True
    lead_today, person_today = (
        [past for past in some if past["planned_at_ms"] < since_ms and _same_day(past, since_ms, here)]
        for some in (of_lead, of_person)
    )
    if row["campaign_id"] == "debts":
        talks = sum(_may_have_talked(past, since_ms) for past in person_today)
        return talks >= TALKS_PER_DAY or sum(map(_ringing_ms, person_today)) + RING_MS > RINGING_PER_DAY_MS
    before = [past for past in of_person if past["planned_at_ms"] < since_ms]
    return (
        sum(past["outcome"] not in _NO_RING for past in lead_today) >= LEAD_PER_DAY
        or _in_a_week(before, until_ms) >= PERSON_PER_WEEK
        or all(
            _in_a_week([past for past in before if past["number"] == number], until_ms) >= NUMBER_PER_WEEK
            for number in numbers
        )
    )
