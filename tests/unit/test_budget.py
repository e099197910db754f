from datetime import UTC, datetime
from itertools import pairwise

import pytest

from engine.core.budget import (
    DAY_MS,
    MINUTE_MS,
    AbandonBudget,
    AbandonRule,
    CalendarDay,
    MinuteCount,
    Rolling,
    Successive,
    period_end_ms,
)

T0 = 1_767_225_600_000  # 2026-01-01T00:00Z


def test_a_hundred_answers_allow_three_abandons() -> None:
    budget = AbandonBudget(AbandonRule())
    for _ in range(100):
        budget.live_answer(T0)
    assert budget.state(T0).left == pytest.approx(3)
    for _ in range(3):
        budget.abandon(T0)
    state = budget.state(T0)
    assert state.left == pytest.approx(0)
    assert state.at_ceiling


def test_no_aim_of_a_supervisor_passes_the_ceiling_less_its_guard() -> None:
    budget = AbandonBudget(AbandonRule(guard=0.005), share=0.5)
    assert budget.share == pytest.approx(0.025)
    budget.aim(0.01)
    assert budget.share == pytest.approx(0.01)


def test_a_rolling_period_forgets_minute_by_minute() -> None:
    budget = AbandonBudget(AbandonRule(periods=(Rolling(length_ms=10 * MINUTE_MS),)))
    budget.live_answer(T0)
    budget.abandon(T0)
    assert budget.state(T0 + 9 * MINUTE_MS).abandoned == 1
    assert budget.state(T0 + 10 * MINUTE_MS).abandoned == 0


def test_the_tightest_period_rules() -> None:
    day, month = CalendarDay(tz="Europe/Kyiv"), Successive(start_ms=T0)
    budget = AbandonBudget(AbandonRule(periods=(day, month)))
    for _ in range(100):
        budget.live_answer(T0)
    budget.abandon(T0 + DAY_MS)  # A new day starts in debt; the month still has two left.
    state = budget.state(T0 + DAY_MS)
    assert state.period == day
    assert state.left == pytest.approx(-1)


def test_a_calendar_day_is_23_or_25_hours_long_when_clocks_change() -> None:
    kyiv = CalendarDay(tz="Europe/Kyiv")
    for day, hours in ((datetime(2026, 3, 29, 9, tzinfo=UTC), 23), (datetime(2026, 10, 25, 9, tzinfo=UTC), 25)):
        end_ms = period_end_ms(kyiv, round(day.timestamp() * 1000))
        assert end_ms - period_end_ms(kyiv, end_ms - 26 * 3_600_000) == hours * 3_600_000


def test_successive_periods_follow_each_other_without_gap() -> None:
    month = Successive(start_ms=T0, days=30)
    ends = [period_end_ms(month, T0 + i * 30 * DAY_MS) for i in range(4)]
    assert ends[0] == T0 + 30 * DAY_MS
    assert all(later - sooner == 30 * DAY_MS for sooner, later in pairwise(ends))
    assert period_end_ms(month, ends[0] - 1) == ends[0]


def test_a_restart_recounts_the_same_budget_from_the_journal() -> None:
    rule = AbandonRule(periods=(Rolling(length_ms=DAY_MS), CalendarDay(tz="UTC"), Successive(start_ms=T0)))
    lived, restored = AbandonBudget(rule), AbandonBudget(rule)
    journal = []
    for minute in range(0, 3 * 24 * 60, 7):
        at_ms = T0 + minute * MINUTE_MS
        for _ in range(5):
            lived.live_answer(at_ms)
        lived.machine(at_ms)
        if minute % 35 == 0:
            lived.abandon(at_ms)
        journal.append(MinuteCount(minute_ms=at_ms, live_answers=5, abandoned=minute % 35 == 0, machines=1))
    now_ms = journal[-1].minute_ms + 30_000
    restored.restore(journal, now_ms)
    for budget in (lived, restored):
        budget.misjudged(0.1)
    assert restored.state(now_ms) == lived.state(now_ms)


def test_machines_that_were_persons_are_counted_as_abandoned_persons() -> None:
    budget = AbandonBudget(AbandonRule())
    for _ in range(100):
        budget.live_answer(T0)
        budget.machine(T0)
    budget.misjudged(0.02)
    state = budget.state(T0)
    assert state.live_answers == pytest.approx(102)
    assert state.abandoned == pytest.approx(2)
    assert state.left == pytest.approx(0.03 * 102 - 2)
