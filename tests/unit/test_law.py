"""The law's rules at their edges: to the second, over clock changes, leap days and ends of months."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import count
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.law import (
    HISTORY_MAX,
    AbandonCap,
    After,
    Calendar,
    Cooldown,
    Count,
    Days,
    DayType,
    Holidays,
    Key,
    Limit,
    Pack,
    Per,
    RedialTime,
    Rolling,
    Spans,
    Successive,
    Verdict,
    judge,
    reach_ms,
)
from engine.core.model import CampaignId, Lead, LeadId, LeadState, Mode, Outcome, Past, Phone, PhoneNumber

KYIV, NEW_YORK, MOSCOW, VLADIVOSTOK = "Europe/Kyiv", "America/New_York", "Europe/Moscow", "Asia/Vladivostok"
SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS = 1_000, 60_000, 3_600_000, 86_400_000
MOBILE, HOME, OFFICE = (PhoneNumber(f"+38067111000{n}") for n in range(3))
NINE_TO_EIGHT: Spans = ((9 * 60, 20 * 60),)
NO_DAYS_OFF = Holidays(name="none", version=1, years=frozenset(range(2020, 2040)), off=frozenset())


def at(wall: str, zone: str = KYIV, *, fold: int = 0) -> int:
    """The instant of `2026-03-02 09:00:00` in a zone."""
    return int(datetime.fromisoformat(wall).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp() * 1000)


def pack(**rules: object) -> Pack:
    return Pack(name="law", version=1, **rules)  # type: ignore[arg-type]


def debtor(zone: str | None = KYIV, state: LeadState = LeadState.RETRY, **fields: str) -> Lead:
    phones = (Phone(position=0, number=MOBILE), Phone(position=1, number=HOME))
    return Lead(id=LeadId(1), campaign=CampaignId("spring"), phones=phones, state=state, zone=zone, fields=fields)


def tried(at_ms: int, outcome: Outcome | None = Outcome.NO_ANSWER, **facts: object) -> Past:
    known: dict[str, object] = {"lead": LeadId(1), "number": MOBILE, "ended_at_ms": at_ms + 20 * SECOND_MS, **facts}
    return Past(at_ms=at_ms, outcome=outcome, **known)  # type: ignore[arg-type]


def talked(at_ms: int, **facts: object) -> Past:
    return tried(
        at_ms, Outcome.CONNECTED, **{"answered_at_ms": at_ms, "bridged_at_ms": at_ms, "ended_at_ms": at_ms + 1, **facts}
    )


def ask(law: Pack, now_ms: int, *history: Past, lead: Lead | None = None, **how: object) -> Verdict:
    who = lead or debtor()
    return judge(who, who.phones[0], history, (law,), now_ms, **how)  # type: ignore[arg-type]


def lawful(law: Pack, now_ms: int, *history: Past, lead: Lead | None = None, **how: object) -> bool:
    said = ask(law, now_ms, *history, lead=lead, **how)
    assert (said.blocking is None) == (said.next_at_ms == now_ms)
    return said.blocking is None


# ── hours ────────────────────────────────────────────────────────────────────────────────────────────────────────

DAYTIME = pack(windows=dict.fromkeys(DayType, NINE_TO_EIGHT), holidays=NO_DAYS_OFF)
EVERY_HOUR = pack(windows=dict.fromkeys(DayType, ((0, 1440),)))


@pytest.mark.parametrize(
    "day",
    ["2026-03-28", "2026-03-29", "2026-03-30", "2026-10-24", "2026-10-25", "2026-10-26", "2028-02-29", "2026-12-31"],
)
def test_hours_begin_and_end_to_the_second_also_on_days_with_a_clock_change(day: str) -> None:
    for edge, inside in (("08:59:59", False), ("09:00:00", True), ("19:59:59", True), ("20:00:00", False)):
        assert lawful(DAYTIME, at(f"{day} {edge}")) is inside, edge
    assert not lawful(DAYTIME, at(f"{day} 09:00:00") - 1)
    assert lawful(DAYTIME, at(f"{day} 20:00:00") - 1)


def test_a_call_in_the_hours_must_be_sent_before_they_end_and_one_outside_waits_for_the_next() -> None:
    assert ask(DAYTIME, at("2026-03-02 12:00")).until_ms == at("2026-03-02 20:00")
    assert ask(DAYTIME, at("2026-03-28 20:00")).next_at_ms == at("2026-03-29 09:00")  # the night is an hour short


def test_hours_inside_a_clock_change_take_the_stricter_reading() -> None:
    early = pack(windows={kind: ((150, 600),) for kind in DayType})  # from 02:30
    spring = at("2026-03-08 03:30", NEW_YORK)  # 02:30 is void: 03:30 is the later instant that it can mean
    assert not lawful(early, spring - 1, lead=debtor(NEW_YORK))
    assert lawful(early, spring, lead=debtor(NEW_YORK))
    late = pack(windows={kind: ((0, 90),) for kind in DayType})  # until 01:30, which comes twice
    first = at("2026-11-01 01:30", NEW_YORK)
    assert lawful(late, first - 1, lead=debtor(NEW_YORK))
    assert not lawful(late, first, lead=debtor(NEW_YORK))


def test_days_off_and_moved_workdays_have_the_hours_of_their_kind() -> None:
    year = Holidays(
        name="ru",
        version=1,
        years=frozenset({2026}),
        off=frozenset({date(2026, 2, 23)}),  # a Monday
        worked=frozenset({date(2026, 2, 28)}),  # a Saturday
    )
    hours: dict[DayType, Spans] = {
        DayType.WORKDAY: ((480, 1320),),
        DayType.WEEKEND: NINE_TO_EIGHT,
        DayType.HOLIDAY: ((600, 660),),
    }
    law = pack(windows=hours, holidays=year)
    assert not lawful(law, at("2026-02-23 11:00"))
    assert lawful(law, at("2026-02-23 10:59:59"))
    assert lawful(law, at("2026-02-28 21:59:59"))
    assert not lawful(law, at("2026-02-22 20:00:00"))
    # A year that the calendar does not know: only what is lawful on a day of any kind.
    assert lawful(law, at("2027-06-02 10:30"))
    assert not lawful(law, at("2027-06-02 12:00"))


def test_a_kind_of_day_without_hours_is_closed() -> None:
    law = pack(windows={DayType.WORKDAY: NINE_TO_EIGHT}, holidays=NO_DAYS_OFF)
    assert ask(law, at("2026-03-07 12:00")).next_at_ms == at("2026-03-09 09:00")


# ── zones ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_of_several_candidate_zones_the_call_must_be_lawful_in_each() -> None:
    mobile = Phone(position=0, number=MOBILE, zones=(MOSCOW, VLADIVOSTOK))
    lead = debtor(None)

    def said(wall: str) -> Verdict:
        return judge(lead, mobile, (), (DAYTIME,), at(wall, MOSCOW))

    assert said("2026-03-02 09:00:00").blocking is None  # 16:00 in Vladivostok
    assert said("2026-03-02 08:59:59").blocking is not None
    assert said("2026-03-02 12:59:59").blocking is None
    assert said("2026-03-02 13:00:00").blocking is not None  # 20:00 in Vladivostok
    assert said("2026-03-02 09:00:00").until_ms == at("2026-03-02 13:00:00", MOSCOW)
    assert said("2026-03-02 13:00:00").next_at_ms == at("2026-03-03 09:00:00", MOSCOW)


def test_zones_whose_hours_never_meet_are_never_called() -> None:
    mobile = Phone(position=0, number=MOBILE, zones=(NEW_YORK, "Asia/Shanghai"))
    said = judge(debtor(None), mobile, (), (DAYTIME,), at("2026-07-01 12:00"))
    assert said.blocking is not None
    assert said.next_at_ms is None


@pytest.mark.parametrize("zones", [(), ("Europe/Atlantis",), (KYIV, "nonsense")])
def test_an_unknown_zone_refuses(zones: tuple[str, ...]) -> None:
    said = judge(debtor(None), Phone(position=0, number=MOBILE, zones=zones), (), (EVERY_HOUR,), 0)
    assert [ruling.code for ruling in said.rulings] == ["law_zone"]
    assert said.next_at_ms is None


def test_without_packs_the_law_says_nothing() -> None:
    said = judge(debtor(None), Phone(position=0, number=MOBILE), None, (), 5)
    assert (said.rulings, said.next_at_ms) == ((), 5)


# ── history ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_unknown_or_endless_history_refuses() -> None:
    lead = debtor()
    assert judge(lead, lead.phones[0], None, (EVERY_HOUR,), 0).next_at_ms is None
    endless = [tried(n) for n in range(HISTORY_MAX)]
    assert judge(lead, lead.phones[0], endless, (EVERY_HOUR,), 0).next_at_ms is None


def test_nobody_is_called_while_another_call_to_them_goes_on() -> None:
    now_ms = at("2026-03-02 12:00")
    said = ask(EVERY_HOUR, now_ms, tried(now_ms - MINUTE_MS, None, ended_at_ms=None, lead=LeadId(7), number=HOME))
    assert said.next_at_ms == now_ms + MINUTE_MS


@pytest.mark.parametrize(
    ("per", "last", "first"),
    [
        (Calendar.DAY, "2026-03-02 23:59:59", "2026-03-03 00:00:00"),
        (Calendar.WEEK, "2026-03-08 23:59:59", "2026-03-09 00:00:00"),
        (Calendar.MONTH, "2026-03-31 23:59:59", "2026-04-01 00:00:00"),
        (Rolling(7 * DAY_MS), "2026-03-09 11:59:59", "2026-03-09 12:00:00"),
        (Days(7), "2026-03-08 23:59:59", "2026-03-09 00:00:00"),
        (Successive(date(2026, 2, 10), 30), "2026-03-11 23:59:59", "2026-03-12 00:00:00"),
    ],
)
def test_a_limit_holds_to_the_last_second_of_its_period(per: Per, last: str, first: str) -> None:
    law = pack(limits=(Limit(count=Count.ATTEMPT, max=2, per=per),))
    noon = at("2026-03-02 12:00")
    two = (tried(noon, lead=LeadId(9), number=OFFICE), tried(noon))
    assert lawful(law, noon + 1, two[0])
    assert not lawful(law, noon + 1, *two)
    assert not lawful(law, at(last), *two)
    assert lawful(law, at(first), *two)
    assert ask(law, noon + 1, *two).next_at_ms == at(first)


def test_a_month_ends_where_the_calendar_says_also_on_a_leap_day() -> None:
    law = pack(limits=(Limit(count=Count.ATTEMPT, max=1, per=Calendar.MONTH),))
    leap = tried(at("2028-02-29 12:00"))
    assert ask(law, at("2028-02-29 12:01"), leap).next_at_ms == at("2028-03-01 00:00")
    assert ask(law, at("2028-02-01 12:01"), tried(at("2028-02-01 12:00"))).next_at_ms == at("2028-03-01 00:00")
    assert ask(law, at("2026-12-31 23:59"), tried(at("2026-12-01 00:00"))).next_at_ms == at("2027-01-01 00:00")
    assert lawful(law, at("2026-12-01 00:00"), tried(at("2026-12-01 00:00") - 1))


def test_a_day_with_a_clock_change_is_one_day() -> None:
    law = pack(limits=(Limit(count=Count.ATTEMPT, max=1, per=Calendar.DAY),))
    for day, after in (("2026-03-29", "2026-03-30"), ("2026-10-25", "2026-10-26")):
        early = tried(at(f"{day} 00:00"))
        assert not lawful(law, at(f"{after} 00:00") - SECOND_MS, early)
        assert lawful(law, at(f"{after} 00:00"), early)


def test_of_two_candidate_days_both_must_have_room() -> None:
    law = pack(limits=(Limit(count=Count.ATTEMPT, max=1, per=Calendar.DAY),))
    mobile = Phone(position=0, number=MOBILE, zones=(MOSCOW, VLADIVOSTOK))
    earlier = tried(at("2026-03-02 16:30", MOSCOW))  # 23:30 in Vladivostok
    said = judge(debtor(None), mobile, (earlier,), (law,), at("2026-03-02 17:30", MOSCOW))
    assert said.next_at_ms == at("2026-03-03 00:00", MOSCOW)


@pytest.mark.parametrize(
    ("count_of", "outcome", "counted"),
    [
        (Count.ATTEMPT, Outcome.NO_ANSWER, True),
        (Count.ATTEMPT, Outcome.CANCELLED, True),  # it may have rung
        (Count.ATTEMPT, Outcome.CONGESTION, False),
        (Count.ATTEMPT, Outcome.FAILED, False),
        (Count.TALK, Outcome.ABANDONED, False),
        (Count.TALK, Outcome.LOST, False),
        (Count.TALK_OR_UNKNOWN, Outcome.ABANDONED, True),
        (Count.TALK_OR_UNKNOWN, Outcome.HUNG_UP_EARLY, True),
        (Count.TALK_OR_UNKNOWN, Outcome.LOST, True),
        (Count.TALK_OR_UNKNOWN, Outcome.NO_ANSWER, False),
        (Count.TALK_OR_UNKNOWN, Outcome.MACHINE, False),
    ],
)
def test_what_counts(count_of: Count, outcome: Outcome, counted: bool) -> None:
    law = pack(limits=(Limit(count=count_of, max=1, per=Calendar.DAY),))
    now_ms = at("2026-03-02 12:00")
    assert lawful(law, now_ms, tried(now_ms - HOUR_MS, outcome)) is not counted
    assert not lawful(law, now_ms, talked(now_ms - HOUR_MS))


@pytest.mark.parametrize(
    ("key", "lead", "number", "counted"),
    [
        (Key.LEAD, 1, HOME, True),
        (Key.LEAD, 2, MOBILE, False),
        (Key.NUMBER, 2, MOBILE, True),
        (Key.NUMBER, 1, HOME, False),
        (Key.PERSON, 2, OFFICE, True),
    ],
)
def test_whose_attempts_count(key: Key, lead: int, number: PhoneNumber, counted: bool) -> None:
    now_ms = at("2026-03-02 12:00")
    other = talked(now_ms - HOUR_MS, lead=LeadId(lead), number=number)
    for law in (
        pack(limits=(Limit(count=Count.TALK, max=1, per=Calendar.DAY, key=key),)),
        pack(cooldowns=(Cooldown(after=After.CONVERSATION, length_ms=DAY_MS, key=key),)),
    ):
        assert lawful(law, now_ms, other) is not counted


def test_ringing_adds_up_and_a_call_that_may_ring_too_long_is_not_begun() -> None:
    law = pack(limits=(RedialTime(max_ms=30 * MINUTE_MS, per=Calendar.DAY),))
    now_ms = at("2026-03-02 12:00")
    rang = tried(now_ms - HOUR_MS, ended_at_ms=now_ms - HOUR_MS + 29 * MINUTE_MS)
    assert lawful(law, now_ms, rang, ring_timeout_ms=MINUTE_MS)
    assert not lawful(law, now_ms, rang, ring_timeout_ms=MINUTE_MS + SECOND_MS)
    answered = talked(now_ms - HOUR_MS, answered_at_ms=now_ms - HOUR_MS + MINUTE_MS, ended_at_ms=now_ms)
    assert lawful(law, now_ms, answered, ring_timeout_ms=29 * MINUTE_MS)
    assert ask(law, now_ms, rang, ring_timeout_ms=2 * MINUTE_MS).next_at_ms == at("2026-03-03 00:00")
    assert ask(law, now_ms, ring_timeout_ms=31 * MINUTE_MS).next_at_ms is None


def test_a_cooldown_of_hours_runs_from_the_end_and_one_of_days_counts_the_day_itself() -> None:
    began = at("2026-03-02 12:00")
    ended = began + 10 * MINUTE_MS
    hours = pack(cooldowns=(Cooldown(after=After.ABANDONED, length_ms=72 * HOUR_MS),))
    abandoned = tried(began, Outcome.ABANDONED, ended_at_ms=ended)
    assert not lawful(hours, ended + 72 * HOUR_MS - SECOND_MS, abandoned)
    assert lawful(hours, ended + 72 * HOUR_MS, abandoned)
    assert lawful(hours, ended + SECOND_MS, talked(began))
    days = pack(cooldowns=(Cooldown(after=After.CONVERSATION, days=7),))
    assert not lawful(days, at("2026-03-08 23:59:59"), talked(began))
    assert lawful(days, at("2026-03-09 00:00:00"), talked(began))


def test_an_exception_waives_a_cooldown_or_a_limit() -> None:
    now_ms = at("2026-03-02 12:00")
    history = talked(now_ms - HOUR_MS), tried(now_ms - HOUR_MS, Outcome.ABANDONED)
    unless = ("callback_promised", "consent_direct", "agent_reserved")
    law = pack(
        limits=(Limit(count=Count.ATTEMPT, max=1, per=Calendar.DAY, unless=unless),),
        cooldowns=(Cooldown(after=After.ABANDONED, length_ms=72 * HOUR_MS, unless=unless),),
    )
    assert not lawful(law, now_ms, *history, mode=Mode.PREDICTIVE)
    assert lawful(law, now_ms, *history, mode=Mode.PROGRESSIVE)
    assert lawful(law, now_ms, *history, mode=Mode.PREDICTIVE, lead=debtor(consent_direct="Да"))
    assert lawful(law, now_ms, *history, mode=Mode.PREDICTIVE, lead=debtor(state=LeadState.CALLBACK))
    assert not lawful(law, now_ms, *history, mode=Mode.PREDICTIVE, lead=debtor(consent_direct="perhaps"))


def test_a_stop_flag_a_missing_consent_and_a_forbidden_mode_refuse_for_good() -> None:
    law = pack(stop_if=("bankrupt",), require=("consent_ads",), deny_modes=frozenset({Mode.PREDICTIVE}))
    good = debtor(consent_ads="так")
    assert lawful(law, 0, lead=good)
    assert lawful(law, 0, lead=debtor(consent_ads="yes", bankrupt="нет"))
    for bad in (debtor(), debtor(consent_ads="?"), debtor(consent_ads="да", bankrupt="да")):
        assert ask(law, 0, lead=bad).next_at_ms is None
    assert not lawful(law, 0, lead=debtor(consent_ads="да", bankrupt="unclear"))
    assert not lawful(law, 0, lead=good, mode=Mode.PREDICTIVE)


def test_packs_combine_by_and_and_the_verdict_names_every_rule_with_its_numbers() -> None:
    loose = pack(limits=(Limit(count=Count.ATTEMPT, max=5, per=Calendar.DAY),))
    strict = Pack(
        name="strict", version=3, windows=DAYTIME.windows, limits=(Limit(count=Count.ATTEMPT, max=2, per=Calendar.DAY),)
    )
    now_ms, lead = at("2026-03-02 21:00"), debtor()
    said = judge(lead, lead.phones[0], [tried(now_ms - HOUR_MS)] * 2, (loose, strict), now_ms)
    assert [str(ruling) for ruling in said.rulings] == [
        "law_window:strict@3:09.00-20.00",
        "law_limit:law@1:attempt:2:5:day",
        "law_limit:strict@3:attempt:2:2:day",
    ]
    assert [ruling.passed for ruling in said.rulings] == [False, True, False]
    assert [ruling.next_at_ms for ruling in said.rulings] == [at("2026-03-03 09:00"), now_ms, at("2026-03-03 00:00")]
    assert said.next_at_ms == at("2026-03-03 09:00")


def test_a_history_reaches_as_far_as_the_longest_rule() -> None:
    assert reach_ms(()) == DAY_MS
    month = pack(
        limits=(Limit(count=Count.ATTEMPT, max=1, per=Calendar.MONTH),), abandon=AbandonCap(share_max=1, per_ms=0)
    )
    assert reach_ms((month,)) == 33 * DAY_MS
    assert reach_ms((month, pack(cooldowns=(Cooldown(after=After.ATTEMPT, length_ms=90 * DAY_MS),)))) == 91 * DAY_MS


# ── a checker that knows only the text of the rules ──────────────────────────────────────────────────────────────


class Clerk:
    """Reads wall clocks, second by second, as a person with a calendar and a list of calls would."""

    def __init__(self, zones: list[str], calls: list[datetime], talks: list[datetime]) -> None:
        self.zones = [ZoneInfo(zone) for zone in zones]
        self.calls, self.talks = calls, talks

    def allows(self, moment: datetime) -> bool:
        """8-22 on workdays, 9-20 on others; 3 calls a day, 5 a week, 7 a month, 4 in 72 h; no call for 2 days after
        a talk (its own day is the first); all of it on each clock that may be theirs."""
        return all(self._on(moment, zone) for zone in self.zones)

    def _on(self, moment: datetime, zone: ZoneInfo) -> bool:
        wall = moment.astimezone(zone)
        opens, closes = (8, 22) if wall.isoweekday() <= 5 else (9, 20)
        calls = [call.astimezone(zone) for call in self.calls]
        same_day = [c for c in calls if c.date() == wall.date()]
        same_week = [c for c in calls if c.isocalendar()[:2] == wall.isocalendar()[:2]]
        same_month = [c for c in calls if (c.year, c.month) == (wall.year, wall.month)]
        lately = [call for call in self.calls if moment - call < timedelta(hours=72)]
        recent_talk = any(0 <= (wall.date() - t.astimezone(zone).date()).days < 2 for t in self.talks)
        return (
            opens <= wall.hour < closes
            and len(same_day) < 3
            and len(same_week) < 5
            and len(same_month) < 7
            and len(lately) < 4
            and not recent_talk
        )


CLERKS_LAW = Pack(
    name="clerk",
    version=1,
    windows={DayType.WORKDAY: ((480, 1320),), DayType.WEEKEND: ((540, 1200),)},
    limits=(
        Limit(count=Count.ATTEMPT, max=3, per=Calendar.DAY),
        Limit(count=Count.ATTEMPT, max=5, per=Calendar.WEEK),
        Limit(count=Count.ATTEMPT, max=7, per=Calendar.MONTH),
        Limit(count=Count.ATTEMPT, max=4, per=Rolling(72 * HOUR_MS)),
    ),
    cooldowns=(Cooldown(after=After.CONVERSATION, days=2),),
)
ZONE_SETS = [[KYIV], [NEW_YORK], ["Australia/Lord_Howe"], ["Asia/Kathmandu"], [MOSCOW, VLADIVOSTOK], [KYIV, "UTC"]]
#: Around clock changes, a leap day, ends of months and of the year.
TURNS = [
    datetime(*day, tzinfo=UTC)
    for day in ((2026, 3, 29), (2026, 10, 25), (2026, 3, 8), (2026, 11, 1), (2028, 2, 29), (2026, 12, 31), (2026, 4, 5))
]
QUARTER = timedelta(minutes=15)


@settings(max_examples=150, deadline=None)
@given(
    zones=st.sampled_from(ZONE_SETS),
    turn=st.sampled_from(TURNS),
    now_after=st.integers(-4 * 96, 2 * 96),
    tried_before=st.lists(st.tuples(st.integers(0, 8 * 96), st.booleans()), max_size=9),
)
def test_the_verdict_and_its_next_moment_are_the_clerks(
    zones: list[str], turn: datetime, now_after: int, tried_before: list[tuple[int, bool]]
) -> None:
    now = turn + now_after * QUARTER
    calls = [(now - quarters * QUARTER, talk) for quarters, talk in tried_before]
    clerk = Clerk(zones, [call for call, _ in calls], [call for call, talk in calls if talk])

    def ms(moment: datetime) -> int:
        return int(moment.timestamp()) * 1000

    history = [(talked if talk else tried)(ms(call)) for call, talk in calls]
    lead = debtor(None)
    phone = Phone(position=0, number=MOBILE, zones=tuple(zones))
    said = judge(lead, phone, history, (CLERKS_LAW,), ms(now))
    assert (said.blocking is None) is clerk.allows(now)
    # Every rule and every zone of the test turns on a quarter of an hour.
    expected = next(now + step * QUARTER for step in count() if clerk.allows(now + step * QUARTER))
    assert said.next_at_ms == ms(expected)
    assert not (expected > now and clerk.allows(expected - timedelta(seconds=1)))
    if said.until_ms is not None:
        end = datetime.fromtimestamp(said.until_ms / 1000, UTC)
        assert clerk.allows(end - timedelta(seconds=1))
        assert not clerk.allows(end)
