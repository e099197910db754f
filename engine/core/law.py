"""Law packs: may this person be called on this phone now, by which rules, and when next.

A pack is frozen data read from `packs/law/*.yaml`. Packs combine by AND: every rule of every pack must let the call
pass. A rule is a function from a moment to the first moment from then on at which it lets the call pass, so that
"passes now" and "the next moment" are one piece of code. What is not known refuses: a zone, a history, a fact.

All calendar rules run in the callee's zone. Of several candidate zones the call must be lawful in each.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from engine.core.hours import DAYS_MAX, day_of, instants, known_zones, open_ms, wall_hour, zone_of
from engine.core.model import Lead, LeadState, Mode, Outcome, Past, Phone

DAY_MS: Final = 86_400_000
#: Attempts on one person that a judgement may look at; whoever has more is not called.
HISTORY_MAX: Final = 500
#: Further ahead than any sensible rule of hours stays closed.
LOOK_AHEAD_DAYS: Final = 16
#: Steps to a moment that suits all rules; more would be rules that exclude each other.
STEPS_MAX: Final = 600
#: Quarters of an hour that a free hour of the day is looked for: two days.
HOURS_AHEAD_MAX: Final = 192
QUARTER_MS: Final = 900_000
#: While somebody with a number of theirs is on the line, the lead is looked at again after this.
IN_CALL_RECHECK_MS: Final = 60_000
#: Longest conversation and ring between planning an attempt and its end, for how far back a history must reach.
ATTEMPT_SPAN_MS: Final = DAY_MS

#: Facts that the engine knows by itself; all others are fields of the lead.
CALLBACK_PROMISED: Final = "callback_promised"  # they asked to be called at this time
AGENT_RESERVED: Final = "agent_reserved"  # the call is placed for an agent who waits for it
DERIVED_FACTS: Final = frozenset({CALLBACK_PROMISED, AGENT_RESERVED})
_ONE_TO_ONE: Final = frozenset({Mode.MANUAL, Mode.PREVIEW, Mode.PROGRESSIVE})
_YES: Final = frozenset({"yes", "true", "1", "on", "+", "да", "так", "есть", "є"})
_NO: Final = frozenset({"", "no", "false", "0", "off", "-", "нет", "ні", "немає"})
#: The phone cannot have rung.
_NOT_RUNG: Final = frozenset({Outcome.FAILED, Outcome.CONGESTION})
_MAYBE_TALK: Final = frozenset({Outcome.CONNECTED, Outcome.LOST, Outcome.ABANDONED, Outcome.HUNG_UP_EARLY})


class DayType(StrEnum):
    """What a day is to the law."""

    WORKDAY = "workday"
    WEEKEND = "weekend"
    HOLIDAY = "holiday"


class Count(StrEnum):
    """What a limit counts."""

    ATTEMPT = "attempt"  # the phone may have rung, also if we took the call back
    TALK = "talk"  # an agent and the person heard each other
    TALK_OR_UNKNOWN = "talk_or_unknown"  # a person answered, or nobody knows


class Key(StrEnum):
    """Whose attempts a rule looks at, over all campaigns. A person: all leads that share a number with this one."""

    LEAD = "lead"
    NUMBER = "number"
    PERSON = "person"


class After(StrEnum):
    """What a cooldown follows."""

    CONVERSATION = "conversation"
    ABANDONED = "abandoned"
    ATTEMPT = "attempt"


class Calendar(StrEnum):
    """Periods that begin at midnight in the callee's zone; weeks begin on Monday."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Rolling:
    """The last `length_ms`, without an attempt exactly that old."""

    length_ms: int

    def __str__(self) -> str:
        return f"rolling-{self.length_ms // 3_600_000}h"


@dataclass(frozen=True, slots=True)
class Days:
    """Today and the `count - 1` calendar days before."""

    count: int

    def __str__(self) -> str:
        return f"days-{self.count}"


@dataclass(frozen=True, slots=True)
class Successive:
    """Back-to-back stretches of `days` calendar days from `since` on."""

    since: date
    days: int

    def __str__(self) -> str:
        return f"successive-{self.days}"


Per = Calendar | Rolling | Days | Successive
Spans = tuple[tuple[int, int], ...]  # minutes of the day; `until` is outside


@dataclass(frozen=True, slots=True, kw_only=True)
class Holidays:
    """A country's days off, and the weekend days that are worked instead. Other years are not known."""

    name: str
    version: int
    years: frozenset[int]
    off: frozenset[date]
    worked: frozenset[date] = frozenset()

    def types(self, day: date) -> frozenset[DayType]:
        """All that the day may be: one type, or every type where the calendar does not know the year."""
        if day.year not in self.years:
            return frozenset(DayType)
        if day in self.off:
            return frozenset({DayType.HOLIDAY})
        worked = day.weekday() < 5 or day in self.worked
        return frozenset({DayType.WORKDAY if worked else DayType.WEEKEND})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """At most `max` of what `count` names per period, this call included; waived if a fact of `unless` holds."""

    count: Count
    max: int
    per: Per
    key: Key = Key.PERSON
    unless: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RedialTime:
    """At most `max_ms` of ringing per period, the whole ring time of this call included."""

    max_ms: int
    per: Per
    key: Key = Key.PERSON
    unless: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cooldown:
    """No call for `length_ms` after the event's end, or before `days` calendar days from its day on have passed."""

    after: After
    length_ms: int = 0
    days: int = 0
    key: Key = Key.PERSON
    unless: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AbandonCap:
    """The largest share of live answers that may be abandoned per period (0 ms: the calendar day)."""

    share_max: float
    per_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """One law's rules. The last six bind the campaign's settings: a campaign may only be stricter."""

    name: str
    version: int
    windows: Mapping[DayType, Spans] | None = None  # None: the law says nothing of hours; a type left out is closed
    holidays: Holidays | None = None
    limits: tuple[Limit | RedialTime, ...] = ()
    cooldowns: tuple[Cooldown, ...] = ()
    stop_if: tuple[str, ...] = ()
    require: tuple[str, ...] = ()
    deny_modes: frozenset[Mode] = frozenset()
    ring_min_ms: int = 0
    connect_within_ms: int | None = None
    abandon: AbandonCap | None = None
    caller_id_required: bool = False
    caller_id_listed: bool = False  # in the registry of numbers with a label, while their contract runs
    company_required: bool = False  # the message that nobody is free must say whose call it was

    @property
    def id(self) -> str:
        """Name and version, as decisions carry them."""
        return f"{self.name}@{self.version}"

    @property
    def facts(self) -> frozenset[str]:
        """Fields of the lead that it needs."""
        unless = (fact for rule in (*self.limits, *self.cooldowns) for fact in rule.unless)
        return frozenset({*self.stop_if, *self.require, *unless}) - DERIVED_FACTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What one rule says. `next_at_ms`: from when on it lets the call pass (None: never by itself)."""

    code: str  # e.g. `law_limit`
    values: tuple[str, ...] = ()  # the numbers used; the pack's id comes first where there is one
    passed: bool
    next_at_ms: int | None

    def __str__(self) -> str:
        return ":".join((self.code, *self.values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """All rulings in order, and when the call is lawful by all of them."""

    rulings: tuple[Ruling, ...]
    next_at_ms: int | None  # now, later, or None: never by itself
    until_ms: int | None = None  # a lawful call must be sent before; None: no end in sight

    @property
    def blocking(self) -> Ruling | None:
        """The first rule that refuses."""
        return next((ruling for ruling in self.rulings if not ruling.passed), None)


_CAMPAIGN: Final = Pack(name="campaign", version=0)
FromMs = Callable[[int], int | None]


class Check(NamedTuple):
    """A rule about to be asked: `from_ms` is the first moment from the given one on at which it passes."""

    code: str
    values: tuple[str, ...]
    from_ms: FromMs
    until_ms: FromMs | None = None  # when what passes at the given moment ends; None: no end in sight

    def __str__(self) -> str:
        return ":".join((self.code, *self.values))

    def at(self, now_ms: int) -> Ruling:
        """What it says now."""
        next_ms = self.from_ms(now_ms)
        return Ruling(code=self.code, values=self.values, passed=next_ms == now_ms, next_at_ms=next_ms)


def judge(
    lead: Lead,
    phone: Phone,
    history: Sequence[Past] | None,
    packs: Sequence[Pack],
    now_ms: int,
    *,
    mode: Mode = Mode.PROGRESSIVE,
    ring_timeout_ms: int = 0,
) -> Verdict:
    """Whether the packs let this phone of this lead be dialed now, rule by rule.

    `history`: the person's attempts, at least as far back as `reach_ms`; None: not known, which refuses.
    """
    asked = hours_of_zones(packs, (lead.zone,) if lead.zone else phone.zones, now_ms)
    asked += checks(lead, phone, history, packs, now_ms, mode=mode, ring_timeout_ms=ring_timeout_ms)
    return verdict(asked, now_ms)


def verdict(asked: Sequence[Check], now_ms: int) -> Verdict:
    """What the checks say now, and the first moment at which all of them pass."""
    next_ms = first_moment([check.from_ms for check in asked], now_ms)
    ends = (
        [end for check in asked if check.until_ms and (end := check.until_ms(now_ms)) is not None]
        if next_ms == now_ms
        else []
    )
    return Verdict(
        rulings=tuple(check.at(now_ms) for check in asked), next_at_ms=next_ms, until_ms=min(ends, default=None)
    )


def reach_ms(packs: Iterable[Pack]) -> int:
    """How far back a history must reach for these packs."""
    longest = 0
    for pack in packs:
        longest = max(
            longest,
            *(_length_ms(rule.per) for rule in pack.limits),
            *(max(rule.length_ms, (rule.days + 1) * DAY_MS) for rule in pack.cooldowns),
            0,
        )
    return longest + ATTEMPT_SPAN_MS


def _length_ms(per: Per) -> int:
    match per:
        case Calendar():
            return {Calendar.DAY: 2, Calendar.WEEK: 8, Calendar.MONTH: 32}[per] * DAY_MS
        case Rolling(length_ms):
            return length_ms
        case Days(count) | Successive(days=count):
            return (count + 1) * DAY_MS


def checks(
    lead: Lead,
    phone: Phone,
    history: Sequence[Past] | None,
    packs: Sequence[Pack],
    now_ms: int,
    *,
    mode: Mode,
    ring_timeout_ms: int,
) -> list[Check]:
    """The packs' rules for this call, in the order in which they are told, without the hours."""
    if not packs:
        return []
    zones = known_zones((lead.zone,) if lead.zone else phone.zones)
    if zones is None:
        return [Check("law_zone", (), never)]
    if history is None or len(history) >= HISTORY_MAX:
        return [Check(code="law_history", values=(str(HISTORY_MAX),), from_ms=never)]
    found: list[Check] = []
    if any(past.ended_at_ms is None for past in history):
        found.append(Check("law_in_call", (), lambda t: max(t, now_ms + IN_CALL_RECHECK_MS)))
    facts = _Facts(lead, mode)
    for pack in packs:
        found += _standing(pack, facts, mode)
    for pack in packs:
        found += _counting(pack, lead, phone, history, facts, zones, now_ms, ring_timeout_ms)
    return found


def hours_of_zones(packs: Sequence[Pack], names: Sequence[str], now_ms: int) -> list[Check]:
    """The packs' hours for all who may be in these zones; empty where one of them is not known."""
    zones = known_zones(names)
    bound = packs if zones is not None else ()
    return [_window_check(pack, pack.windows, zones or (), now_ms) for pack in bound if pack.windows is not None]


def _counting(
    pack: Pack,
    lead: Lead,
    phone: Phone,
    history: Sequence[Past],
    facts: _Facts,
    zones: Sequence[ZoneInfo],
    now_ms: int,
    ring_ms: int,
) -> Iterator[Check]:
    for limit in pack.limits:
        if not facts.any_of(limit.unless):
            yield _limit_check(pack, limit, _of(limit.key, history, lead, phone), zones, now_ms, ring_ms)
    for cooldown in pack.cooldowns:
        if not facts.any_of(cooldown.unless):
            yield _cooldown_check(pack, cooldown, _of(cooldown.key, history, lead, phone), zones)


def of_campaign(
    lead: Lead, phone: Phone, history: Sequence[Past], limits: Sequence[Limit], zone: str, now_ms: int
) -> list[Check]:
    """A campaign's own limits, asked as a pack's are."""
    zones = known_zones(lead.zones) or (zone_of(zone),)
    asked = []
    for limit in limits:
        check = _limit_check(_CAMPAIGN, limit, _of(limit.key, history, lead, phone), zones, now_ms, 0)
        asked.append(Check("attempt_limit", (limit.key.value, *check.values[2:]), check.from_ms))
    return asked


def same_hour(lead: Lead, history: Sequence[Past], most: int, zone: str, now_ms: int) -> Check:
    """At most so many attempts of a lead in one hour of the day, in each zone where they may be or the campaign's."""
    rung = [past.at_ms for past in history if past.lead == lead.id and _counts(Count.ATTEMPT, past)]
    zones = known_zones(lead.zones) or (zone_of(zone),)
    used = [(here, Counter(wall_hour(at_ms, here) for at_ms in rung)) for here in zones]

    def tries(at_ms: int) -> int:
        return max(of_hour[wall_hour(at_ms, here)] for here, of_hour in used)

    def from_ms(at_ms: int) -> int | None:
        for _ in range(HOURS_AHEAD_MAX):
            if tries(at_ms) < most:
                return at_ms
            at_ms += QUARTER_MS - at_ms % QUARTER_MS  # every zone's hours begin on a quarter
        return None

    return Check("same_hour", (str(tries(now_ms)), str(most)), from_ms)


# ── facts and modes ──────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Facts:
    lead: Lead
    mode: Mode

    def get(self, name: str) -> bool | None:
        """Whether it holds; None: what stands there is neither yes nor no."""
        if name == CALLBACK_PROMISED:
            return self.lead.state is LeadState.CALLBACK
        if name == AGENT_RESERVED:
            return self.mode in _ONE_TO_ONE
        said = self.lead.fields.get(name, "").strip().lower()
        return True if said in _YES else False if said in _NO else None

    def any_of(self, names: Iterable[str]) -> bool:
        return any(self.get(name) is True for name in names)


def _standing(pack: Pack, facts: _Facts, mode: Mode) -> Iterator[Check]:
    if pack.deny_modes:
        yield _fixed("law_mode", (pack.id, mode.value), mode not in pack.deny_modes)
    for name in pack.stop_if:
        yield _fixed("law_stop", (pack.id, name), facts.get(name) is False)
    for name in pack.require:
        yield _fixed("law_require", (pack.id, name), facts.get(name) is True)


def _fixed(code: str, values: tuple[str, ...], passed: bool) -> Check:
    return Check(code=code, values=values, from_ms=always if passed else never)


def always(at_ms: int) -> int | None:
    """Passes at any moment."""
    return at_ms


def never(_: int) -> int | None:
    """Passes at no moment."""
    return None


# ── zones and days ───────────────────────────────────────────────────────────────────────────────────────────────


@lru_cache(maxsize=DAYS_MAX)
def _begin_ms(day: date, zone: ZoneInfo) -> int:
    """The first instant of a day, also where a clock change makes midnight double or void."""
    first, last = instants(day, 0, zone)
    return first if day_of(first, zone) == day else last


def first_moment(moments: Sequence[FromMs], at_ms: int) -> int | None:
    """The first moment from then on at which all pass."""
    for _ in range(STEPS_MAX):
        reached = at_ms
        for moment in moments:
            found = moment(reached)
            if found is None:
                return None
            reached = found
        if reached == at_ms:
            return at_ms
        at_ms = reached
    return None


# ── windows ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _window_check(pack: Pack, windows: Mapping[DayType, Spans], zones: Sequence[ZoneInfo], now_ms: int) -> Check:
    def opens(zone: ZoneInfo) -> FromMs:
        return lambda at_ms: None if (found := _open(pack, windows, zone, at_ms)) is None else found[0]

    def until(at_ms: int) -> int | None:
        found = [_open(pack, windows, zone, at_ms) for zone in zones]
        return min((span[1] for span in found if span is not None), default=None)

    today = [spans_of(windows, pack.holidays, day_of(now_ms, zone)) for zone in zones]
    told = "/".join(dict.fromkeys(_told(spans) for spans in today))
    each = [opens(zone) for zone in zones]
    return Check(
        code="law_window", values=(pack.id, told), from_ms=lambda at_ms: first_moment(each, at_ms), until_ms=until
    )


def spans_of(windows: Mapping[DayType, Spans], holidays: Holidays | None, day: date) -> Spans:
    """The hours of a day; of a day whose type is not known, those that every type allows."""
    if holidays is None:
        return windows.get(DayType.WEEKEND if day.weekday() >= 5 else DayType.WORKDAY, ())
    found: Spans = ((0, 24 * 60),)
    for kind in holidays.types(day):
        found = tuple(
            (max(a, c), min(b, d)) for a, b in found for c, d in windows.get(kind, ()) if max(a, c) < min(b, d)
        )
    return found


def _open(pack: Pack, windows: Mapping[DayType, Spans], zone: ZoneInfo, at_ms: int) -> tuple[int, int] | None:
    """The first moment from then on inside the hours, and the end of those hours."""
    today = day_of(at_ms, zone)
    for ahead in range(LOOK_AHEAD_DAYS):
        day = today + timedelta(days=ahead)
        for from_ms, until_ms in open_ms(spans_of(windows, pack.holidays, day), day, zone):
            if at_ms < until_ms:
                return max(at_ms, from_ms), until_ms
    return None


def _told(spans: Spans) -> str:
    clock = ("-".join(f"{minute // 60:02}.{minute % 60:02}" for minute in span) for span in spans)
    return ",".join(clock) or "no_hours"


# ── limits and cooldowns ─────────────────────────────────────────────────────────────────────────────────────────


def _of(key: Key, history: Sequence[Past], lead: Lead, phone: Phone) -> Sequence[Past]:
    match key:
        case Key.LEAD:
            return [past for past in history if past.lead == lead.id]
        case Key.NUMBER:
            return [past for past in history if past.number == phone.number]
        case Key.PERSON:
            return history


def _counts(count: Count, past: Past) -> bool:
    match count:
        case Count.ATTEMPT:
            return past.outcome not in _NOT_RUNG
        case Count.TALK:
            return past.bridged_at_ms is not None
        case Count.TALK_OR_UNKNOWN:
            return past.bridged_at_ms is not None or past.outcome is None or past.outcome in _MAYBE_TALK


def _ring_ms(past: Past) -> int:
    if past.outcome in _NOT_RUNG:
        return 0
    end_ms = past.answered_at_ms or past.ended_at_ms or past.at_ms
    return max(0, end_ms - past.at_ms)


def _limit_check(
    pack: Pack, limit: Limit | RedialTime, history: Iterable[Past], zones: Sequence[ZoneInfo], now_ms: int, ring_ms: int
) -> Check:
    if isinstance(limit, Limit):
        weights = [(past.at_ms, 1) for past in history if _counts(limit.count, past)]
        code, most, room, unit = "law_limit", limit.max, limit.max - 1, 1
    else:
        weights = [(past.at_ms, _ring_ms(past)) for past in history]
        code, most, room, unit = "law_redial", limit.max_ms, limit.max_ms - ring_ms, 1_000
    weights.sort()
    each = [_within(limit.per, weights, room, zone) for zone in zones]
    used = max(_used(limit.per, weights, zone, now_ms) for zone in zones)
    what = (limit.count.value,) if isinstance(limit, Limit) else ()
    numbers = (str(math.ceil(used / unit)), str(most // unit), str(limit.per))
    return Check(code=code, values=(pack.id, *what, *numbers), from_ms=lambda at_ms: first_moment(each, at_ms))


def _used(per: Per, weights: Sequence[tuple[int, int]], zone: ZoneInfo, at_ms: int) -> int:
    begin_ms = _period(per, zone, at_ms)[0]
    return sum(weight for past_ms, weight in weights if past_ms >= begin_ms)


def _within(per: Per, weights: Sequence[tuple[int, int]], room: int, zone: ZoneInfo) -> FromMs:
    """When there is room again: at most `room` used in the period that a moment lies in."""

    def from_ms(at_ms: int) -> int | None:
        if room < 0:
            return None
        for _ in range(STEPS_MAX):
            begin_ms, change_ms = _period(per, zone, at_ms)
            inside = [(past_ms, weight) for past_ms, weight in weights if past_ms >= begin_ms]
            if sum(weight for _, weight in inside) <= room:
                return at_ms
            # A rolling period changes when its oldest attempt falls out of it, the others at their end.
            at_ms = inside[0][0] + per.length_ms if isinstance(per, Rolling) else change_ms
        return None

    return from_ms


def _period(per: Per, zone: ZoneInfo, at_ms: int) -> tuple[int, int]:
    """The begin of the period that the moment lies in, and the next moment at which it becomes another one."""
    if isinstance(per, Rolling):
        return at_ms - per.length_ms + 1, at_ms + 1
    first, after = _days_of(per, day_of(at_ms, zone))
    return _begin_ms(first, zone), _begin_ms(after, zone)


def _days_of(per: Calendar | Days | Successive, today: date) -> tuple[date, date]:
    """The first day of the period that a day is in, and the day on which it becomes another one."""
    match per:
        case Calendar.DAY:
            return today, today + timedelta(days=1)
        case Calendar.WEEK:
            monday = today - timedelta(days=today.weekday())
            return monday, monday + timedelta(days=7)
        case Calendar.MONTH:
            first = today.replace(day=1)
            return first, (first + timedelta(days=31)).replace(day=1)
        case Days(count):
            return today - timedelta(days=count - 1), today + timedelta(days=1)
        case Successive(since, days):
            first = since + timedelta(days=(today - since).days // days * days)
            return first, first + timedelta(days=days)


def _cooldown_check(pack: Pack, cooldown: Cooldown, history: Iterable[Past], zones: Sequence[ZoneInfo]) -> Check:
    over_ms = max((_over_ms(cooldown, past, zone) for past in history for zone in zones), default=0)
    length = f"days-{cooldown.days}" if cooldown.days else f"rolling-{cooldown.length_ms // 3_600_000}h"
    values = (pack.id, cooldown.after.value, length)
    return Check(code="law_cooldown", values=values, from_ms=lambda at_ms: max(at_ms, over_ms))


def _over_ms(cooldown: Cooldown, past: Past, zone: ZoneInfo) -> int:
    """When the cooldown after this attempt is over; 0 when it starts none."""
    happened = {
        After.CONVERSATION: past.bridged_at_ms is not None,
        After.ABANDONED: past.outcome is Outcome.ABANDONED,
        After.ATTEMPT: past.outcome not in _NOT_RUNG,
    }[cooldown.after]
    if not happened:
        return 0
    if cooldown.days:
        began_ms = past.bridged_at_ms or past.at_ms
        return _begin_ms(day_of(began_ms, zone) + timedelta(days=cooldown.days), zone)
    return (past.ended_at_ms or past.bridged_at_ms or past.at_ms) + cooldown.length_ms
