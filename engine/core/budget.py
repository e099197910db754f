"""The abandonment budget: how many live answers the law still lets us fail, per legal period.

Left = share allowed × live answers − abandons, counted over each period that applies (rolling, calendar day,
successive days); the period with the least left rules. Calls judged "machine" that were persons (a measured share of
them) count as abandons and as live answers. Counts are kept per minute; a rolling period sheds its oldest minute whole.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from operator import attrgetter
from zoneinfo import ZoneInfo

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
#: As far back as any period reaches: kept, so that a new rule finds its counts.
HISTORY_MS = 31 * DAY_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Rolling:
    """The last `length_ms`, at any moment."""

    length_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarDay:
    """Midnight to midnight in `tz`."""

    tz: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Successive:
    """Back-to-back stretches of `days` from `start_ms` on (a campaign's first call, for the US rule)."""

    start_ms: int
    days: int = 30


Period = Rolling | CalendarDay | Successive


class AtCeiling(Enum):
    """What a campaign does when the law's share is used up."""

    EASE = "ease"  # predictive: hardly any risk, which earns the debt back sooner than 1:1; other modes: 1:1
    ONE_TO_ONE = "one_to_one"
    STOP = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class AbandonRule:
    """The law pack's rule: `share_max` is the ceiling, `guard` is kept in hand below it (shares of live answers)."""

    share_max: float = 0.03
    guard: float = 0.0
    periods: tuple[Period, ...] = (Rolling(length_ms=DAY_MS),)
    at_ceiling: AtCeiling = AtCeiling.EASE
    connect_within_ms: int = 2_000
    ring_min_ms: int = 15_000

    def __post_init__(self) -> None:
        if not 0 <= self.guard < self.share_max <= 1:
            raise ValueError(f"need 0 ≤ guard ({self.guard}) < share_max ({self.share_max}) ≤ 1")
        if not self.periods:
            raise ValueError("an abandonment rule needs at least one period")


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetState:
    """The ruling period's account. Counts are floats: misjudged machines come as an estimated share."""

    period: Period
    live_answers: float
    abandoned: float
    left: float  # calls that may still be abandoned under the share aimed at; negative: overdrawn
    at_ceiling: bool  # the law's share is used up


@dataclass(frozen=True, slots=True, kw_only=True)
class MinuteCount:
    """One minute of the journal, for recounting after a restart."""

    minute_ms: int
    live_answers: int
    abandoned: int
    machines: int = 0


class _Account:
    """Counts of one period."""

    __slots__ = ("_minutes", "abandoned", "ends_ms", "live", "machines", "period")

    def __init__(self, period: Period) -> None:
        self.period = period
        self.live = self.abandoned = self.machines = 0
        self.ends_ms = -math.inf
        self._minutes: deque[list[int]] = deque()  # rolling only: [minute_ms, live, abandoned, machines]

    def roll(self, now_ms: int) -> None:
        """Drop what no longer belongs to the period at `now_ms`."""
        if isinstance(self.period, Rolling):
            minutes, since_ms = self._minutes, now_ms - self.period.length_ms
            while minutes and minutes[0][0] <= since_ms:
                _, live, abandoned, machines = minutes.popleft()
                self.live -= live
                self.abandoned -= abandoned
                self.machines -= machines
        elif now_ms >= self.ends_ms:
            self.live = self.abandoned = self.machines = 0
            self.ends_ms = period_end_ms(self.period, now_ms)

    def count(self, row: MinuteCount) -> None:
        self.live += row.live_answers
        self.abandoned += row.abandoned
        self.machines += row.machines
        if isinstance(self.period, Rolling):
            _add(self._minutes, row)


def _add(minutes: deque[list[int]], row: MinuteCount) -> None:
    """Into its minute, which is the last one or hardly older; a step back of the clock counts as the last one."""
    at = len(minutes) - 1
    while at > 0 and minutes[at][0] > row.minute_ms:
        at -= 1
    if at < 0 or minutes[at][0] < row.minute_ms:
        minutes.insert(at := at + 1, [row.minute_ms, 0, 0, 0])
    minute = minutes[at]
    minute[1] += row.live_answers
    minute[2] += row.abandoned
    minute[3] += row.machines


class AbandonBudget:
    """Live answers and abandons per legal period, and what is left of the share allowed."""

    __slots__ = ("_accounts", "_history", "_misjudged_share", "_rule", "_share")

    def __init__(self, rule: AbandonRule, *, share: float | None = None) -> None:
        """`share`: what the supervisor aims at; the rule's ceiling less its guard binds whatever it says."""
        self._rule = rule
        self._accounts = tuple(_Account(period) for period in rule.periods)
        self._history: deque[list[int]] = deque()  # [minute_ms, live, abandoned, machines], as far as any period goes
        self._misjudged_share = 0.0
        self.aim(share)

    @property
    def share(self) -> float:
        """The share of live answers actually aimed at."""
        return self._share

    def aim(self, share: float | None) -> None:
        """Set the supervisor's aim, cut to the ceiling less the guard."""
        lawful = self._rule.share_max - self._rule.guard
        self._share = lawful if share is None else max(0.0, min(share, lawful))

    def misjudged(self, share: float) -> None:
        """Set the measured share of "machine" verdicts that were persons (0…1)."""
        self._misjudged_share = min(1.0, max(0.0, share))

    def restore(self, journal: Iterable[MinuteCount], now_ms: int) -> None:
        """Recount from the journal, oldest minute first; counts held so far are forgotten."""
        self._history.clear()
        for row in journal:
            _add(self._history, row)
        self._accounts = tuple(self._recounted(period, now_ms) for period in self._rule.periods)

    def obey(self, rule: AbandonRule, now_ms: int) -> None:
        """Count by another rule from now on; what was answered and abandoned before counts there too."""
        self._rule = rule
        self._accounts = tuple(self._recounted(period, now_ms) for period in rule.periods)

    def live_answer(self, now_ms: int, answered_at_ms: int | None = None) -> None:
        """A person answered: now, or then as is only known now."""
        self._count(now_ms, now_ms if answered_at_ms is None else answered_at_ms, live=1)

    def abandon(self, now_ms: int, answered_at_ms: int | None = None) -> None:
        """A person who answered (counted by `live_answer`) got no agent in time; belongs to the time of the answer."""
        self._count(now_ms, now_ms if answered_at_ms is None else answered_at_ms, abandoned=1)

    def machine(self, now_ms: int, answered_at_ms: int | None = None) -> None:
        """A call was judged a machine; belongs to the time of the answer."""
        self._count(now_ms, now_ms if answered_at_ms is None else answered_at_ms, machines=1)

    def state(self, now_ms: int) -> BudgetState:
        """The account of the period with the least left."""
        return min([self._state(account, now_ms) for account in self._accounts], key=attrgetter("left"))

    def _count(self, now_ms: int, at_ms: int, *, live: int = 0, abandoned: int = 0, machines: int = 0) -> None:
        row = MinuteCount(
            minute_ms=at_ms - at_ms % MINUTE_MS, live_answers=live, abandoned=abandoned, machines=machines
        )
        _add(self._history, row)
        while self._history and self._history[0][0] <= now_ms - HISTORY_MS:
            self._history.popleft()
        for account in self._accounts:
            account.roll(now_ms)
            if at_ms == now_ms or period_has(account.period, at_ms, now_ms):
                account.count(row)

    def _recounted(self, period: Period, now_ms: int) -> _Account:
        account = _Account(period)
        account.roll(now_ms)
        for minute_ms, live, abandoned, machines in self._history:
            if period_has(period, minute_ms, now_ms):
                account.count(
                    MinuteCount(minute_ms=minute_ms, live_answers=live, abandoned=abandoned, machines=machines)
                )
        return account

    def _state(self, account: _Account, now_ms: int) -> BudgetState:
        account.roll(now_ms)
        unseen = account.machines * self._misjudged_share
        live = account.live + unseen
        abandoned = account.abandoned + unseen
        return BudgetState(
            period=account.period,
            live_answers=live,
            abandoned=abandoned,
            left=self._share * live - abandoned,
            at_ceiling=0 < abandoned >= self._rule.share_max * live,
        )


def period_end_ms(period: CalendarDay | Successive, now_ms: int) -> int:
    """When the period that holds `now_ms` ends (exclusive)."""
    if isinstance(period, Successive):
        length_ms = period.days * DAY_MS
        return period.start_ms + ((now_ms - period.start_ms) // length_ms + 1) * length_ms
    tz = ZoneInfo(period.tz)
    today = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(tz).date()
    midnight = datetime.combine(today + timedelta(days=1), datetime.min.time(), tzinfo=tz)
    return round(midnight.timestamp() * 1000)


def hours_of(period: Period) -> int:
    """How long it is, rounded; 0: a calendar day, which has no one length."""
    if isinstance(period, CalendarDay):
        return 0
    return 24 * period.days if isinstance(period, Successive) else max(1, round(period.length_ms / HOUR_MS))


def period_has(period: Period, at_ms: int, now_ms: int) -> bool:
    """Does `at_ms` belong to the period that holds `now_ms`?"""
    if at_ms > now_ms:
        return False
    if isinstance(period, Rolling):
        return at_ms > now_ms - period.length_ms
    return period_end_ms(period, at_ms) == period_end_ms(period, now_ms)
