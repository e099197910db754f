"""What "Next" hands out, as a table; and the next free day for a task."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from engine.core.model import AgentId, Refusal, Task, TaskId, TaskPolicy
from engine.core.tasks import AfterRefusal, Source, after_refusal, free_ms, hand_out

ANNA = AgentId("anna")
MIN = 60_000
NOON = int(datetime(2026, 11, 23, 12, 0, tzinfo=UTC).timestamp() * 1000)
RULES = TaskPolicy(types={}, slot_ms=15 * MIN, gap_max_ms=20 * MIN, per_day_max=2)


def task(id_: int, tier: int, minutes: float) -> Task:
    due_ms = NOON + int(minutes * MIN)
    return Task(id=TaskId(id_), type="any", tier=tier, title="…", owner=ANNA, due_at_ms=due_ms)


@pytest.mark.parametrize(
    ("tasks", "stack", "source", "why", "handed"),
    [
        pytest.param([], False, Source.NOTHING, "nothing_to_hand_out", None, id="nothing at all"),
        pytest.param([], True, Source.STACK, "handed_stack_free", None, id="no plans: the recovery stack"),
        pytest.param([task(1, 1, 0)], True, Source.TASK, "handed_first:1", 1, id="due now"),
        pytest.param([task(1, 1, -3000)], True, Source.TASK, "handed_first:1", 1, id="overdue for two days"),
        pytest.param([task(1, 1, 14.9)], True, Source.TASK, "handed_first:1", 1, id="later in this slot"),
        pytest.param([task(1, 1, 15)], True, Source.WAIT, "wait_for_task:15", None, id="the next slot is near"),
        pytest.param([task(1, 2, -60), task(2, 1, 14)], True, Source.TASK, "handed_first:1", 2, id="tier before time"),
        pytest.param([task(1, 2, -5), task(2, 1, 15)], True, Source.TASK, "handed_tier:2", 1, id="tier 1 has none now"),
        pytest.param([task(1, 3, 1), task(2, 2, 2)], True, Source.TASK, "handed_tier:2", 2, id="tier 2 before tier 3"),
        pytest.param([task(2, 1, 5), task(1, 1, 5)], True, Source.TASK, "handed_first:1", 1, id="ties by id"),
        pytest.param([task(1, 1, 30)], True, Source.STACK, "handed_stack:30:20", None, id="further than the gap"),
        pytest.param([task(1, 1, 44)], True, Source.STACK, "handed_stack:30:20", None, id="the gap ends with its slot"),
        pytest.param([task(1, 1, 30)], False, Source.WAIT, "wait_for_task:30", None, id="the stack is empty"),
    ],
)
def test_next(tasks: list[Task], stack: bool, source: Source, why: str, handed: int | None) -> None:
    found = hand_out(RULES, tasks, NOON, stack=stack)
    assert (found.source, found.why, found.task.id if found.task else None) == (source, why, handed)
    assert (found.at_ms is not None) == (source is Source.WAIT)


@pytest.mark.parametrize(("minutes", "source"), [(20, Source.WAIT), (20.001, Source.STACK)])
def test_the_gap_is_held_to_the_millisecond_and_own_promises_are_plans_too(minutes: float, source: Source) -> None:
    found = hand_out(RULES, [], NOON, own_call_ms=NOON + int(minutes * MIN), stack=True)
    assert found.source is source


def test_a_promised_call_comes_first_of_all() -> None:
    found = hand_out(RULES, [task(1, 1, -60)], NOON, promised=True, stack=True)
    assert (found.source, found.why) == (Source.PROMISE, "handed_promise")


@pytest.mark.parametrize(
    ("reason", "after"),
    [
        pytest.param("attempts_used:3:3", AfterRefusal.ANOTHER, id="a rule about this client"),
        pytest.param(Refusal.LEAD_TAKEN, AfterRefusal.ANOTHER, id="a colleague was faster"),
        pytest.param(Refusal.CAMPAIGN_STOPPED, AfterRefusal.ANOTHER, id="other campaigns may go on"),
        pytest.param(Refusal.LINES_BUSY, AfterRefusal.LATER, id="a line will be free"),
        pytest.param(Refusal.SWITCH_DOWN, AfterRefusal.LATER, id="the switch will be back"),
        pytest.param(Refusal.NOT_READY, AfterRefusal.OVER, id="the operator has a call by now"),
    ],
)
def test_a_refused_client_gives_way_to_the_next_and_what_passes_is_waited_for(reason: str, after: AfterRefusal) -> None:
    assert after_refusal(reason) is after


KYIV = ZoneInfo("Europe/Kyiv")


def at(day: int, hour: int, month: int = 11) -> int:
    return int(datetime(2026, month, day, hour, tzinfo=KYIV).timestamp() * 1000)


@pytest.mark.parametrize(
    ("planned", "wanted", "free"),
    [
        pytest.param({}, at(23, 15), at(23, 15), id="room"),
        pytest.param({date(2026, 11, 23): 2}, at(23, 15), at(24, 15), id="a full day"),
        pytest.param({date(2026, 11, 23): 2, date(2026, 11, 24): 5}, at(23, 15), at(25, 15), id="two full days"),
        pytest.param({date(2026, 10, 24): 2}, at(24, 15, 10), at(25, 15, 10), id="over the clock change, same time"),
        pytest.param({date(2026, 11, day): 2 for day in range(1, 31)}, at(30, 9), at(1, 9, 12), id="month end"),
    ],
)
def test_a_full_day_offers_the_same_time_of_the_next_free_one(planned: dict[date, int], wanted: int, free: int) -> None:
    assert free_ms(RULES, wanted, planned, KYIV) == free


def test_without_a_limit_every_day_has_room_and_with_no_room_nowhere_it_is_said() -> None:
    full = {date.fromordinal(day): 9 for day in range(date(2026, 11, 1).toordinal(), date(2027, 3, 1).toordinal())}
    assert free_ms(TaskPolicy(types={}), at(23, 15), full, KYIV) == at(23, 15)
    assert free_ms(RULES, at(23, 15), full, KYIV) is None
