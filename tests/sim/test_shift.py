"""Whole shifts in virtual time: nothing is lost, doubled or stranded, whatever breaks."""

from __future__ import annotations

import ast
import inspect
import logging
import os
import subprocess
import sys
from dataclasses import replace
from types import ModuleType

import pytest

from engine import driver
from engine.core import effects, events
from engine.core.model import Recorded, RecordingRule
from engine.core.pacing import PacingPolicy, Predictive, Progressive, Ratio
from engine.sim import disk
from engine.sim.__main__ import MEET_ALL_MIN, Sum
from engine.sim.people import Habits
from engine.sim.plan import CLOCKS_BACK_MS, CLOCKS_FORWARD_MS, NIGHT, Plan, faulty, long_shift
from engine.sim.shift import Report, play
from engine.sim.switch import Faults

QUIET = logging.CRITICAL
SEEDS = range(1, 13)


def lived(plan: Plan) -> Report:
    """The report of a history, with the end of its trace if anything is wrong."""
    report = play(plan)
    assert not report.violations, "\n".join(
        [*report.trace, *report.violations, f"python -m engine.sim --seed {plan.seed}"]
    )
    return report


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(QUIET)  # the engine complains of the faults, as it should


def test_a_shift_without_faults() -> None:
    report = lived(Plan(seed=1))
    assert report.conversations > 20
    assert report.dialed > report.conversations
    assert report.lives == 1


@pytest.mark.parametrize("seed", SEEDS)
def test_a_shift_with_all_faults(seed: int) -> None:
    report = lived(faulty(seed))
    assert report.dialed


@pytest.mark.parametrize("pacing", [Progressive(), Ratio(calls_per_agent=1.5), Predictive()])
def test_a_shift_in_every_mode(pacing: PacingPolicy) -> None:
    assert lived(Plan(seed=2, pacing=pacing)).conversations > 10


def test_the_same_seed_gives_the_same_trace() -> None:
    first, second = play(faulty(5)), play(faulty(5))
    assert first.hash == second.hash
    assert (first.facts, first.dialed) == (second.facts, second.dialed)
    assert play(faulty(6)).hash != first.hash


def test_an_engine_that_is_killed_every_minute() -> None:
    plan = replace(Plan(seed=3), kill_every_ms=60_000, slow_disk_ms=50)
    report = lived(plan)
    assert plan.length_ms / report.lives < 2 * plan.kill_every_ms, "no engine lived long: when it dies is chance"
    assert report.conversations > 20, "and customers were served all the same"


def awaits_of(module: ModuleType, *functions: str) -> dict[str, str]:
    """`function:line` of every await in these functions, with its code."""
    source = inspect.getsource(module)
    return {
        f"{function.name}:{node.lineno}": ast.unparse(node)
        for function in ast.walk(ast.parse(source))
        if isinstance(function, ast.AsyncFunctionDef) and function.name in functions
        for node in ast.walk(function)
        if isinstance(node, ast.Await)
    }


@pytest.mark.timeout(120)
def test_the_engine_is_killed_at_every_await_of_its_own() -> None:
    reached: set[str] = set()
    for seed in range(1, 8):
        plan = replace(faulty(seed), length_ms=200_000, kill_every_ms=3_000, away_ms=300, slow_disk_ms=50)
        habits = Habits(cards=40, card_every_ms=5_000)
        plan = replace(plan, failed_write_share=0.1, supervisor_every_ms=5_000, habits=habits)
        reached |= {line for at in lived(plan).killed_at for line in at.split()}
    own = awaits_of(driver, "_own", "_beat", "_write", "_commit")
    rare = {"await self._room.wait()", "await asyncio.sleep(0)"}  # ten thousand batches wait; 64 facts in one turn
    assert {code for at, code in own.items() if at not in reached} <= rare
    reads = {code for at, code in awaits_of(driver, "_read", "_one_lead").items() if at in reached}
    assert len(reads) > 2, reads
    before, after = (at for at, code in awaits_of(disk, "commit").items() if "_turn" in code)
    assert before in reached, "decided, and not on disk"
    assert after in reached, "on disk, and nobody knows"


@pytest.mark.parametrize("night_ms", [CLOCKS_BACK_MS, CLOCKS_FORWARD_MS])
def test_a_night_in_which_clocks_change(night_ms: int) -> None:
    report = lived(Plan(seed=8, start_ms=night_ms, hours=NIGHT, leads=300))
    assert report.conversations > 20


def test_the_same_seed_gives_the_same_trace_in_another_process() -> None:
    def told(hash_seed: str) -> str:
        command = [sys.executable, "-c", "from engine.sim.shift import faulty, play; print(play(faulty(9)).hash)"]
        return subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, check=True
        ).stdout

    assert told("1") == told("2") != ""


def test_a_link_that_breaks_every_minute() -> None:
    lived(replace(Plan(seed=4), faults=Faults(link_lost_every_ms=60_000, link_gap_ms=5_000)))


def test_a_switch_that_forgets_every_tenth_fact() -> None:
    lived(replace(Plan(seed=5), faults=Faults(lost=0.1)))


def test_a_switch_that_dies_every_five_minutes() -> None:
    lived(replace(Plan(seed=7), faults=Faults(dies_every_ms=300_000)))


def test_the_first_minutes_of_the_long_shift() -> None:
    assert lived(replace(long_shift(1), length_ms=300_000)).conversations > 20


def test_agents_who_press_any_button_at_any_time_and_pages_that_send_everything_twice() -> None:
    lived(Plan(seed=9, habits=Habits(astray_share=0.5, twice_share=0.5, cards=80), calls_in_every_ms=30_000))


def test_clients_who_ask_for_no_calls_while_one_is_on_its_way() -> None:
    lived(Plan(seed=10, leads=300, regret_share=0.3, faults=Faults(slow=0.2, glare=0.2), slow_disk_ms=50))


def test_a_disk_that_hangs_for_up_to_a_minute() -> None:
    report = lived(Plan(seed=11, hung_write_share=0.02))
    assert events.StoreDown in report.met


def test_a_disk_that_often_does_not_write() -> None:
    lived(replace(Plan(seed=6), failed_write_share=0.1, slow_disk_ms=100))


@pytest.mark.timeout(120)
def test_each_write_of_a_shift_fails_once() -> None:
    plan = Plan(seed=10, agents=2, lines=3, length_ms=60_000, recording=RecordingRule(mode=Recorded.ALWAYS))
    plan = replace(plan, habits=Habits(talk_ms=10_000, wrap_ms=3_000), calls_in_every_ms=20_000)
    whole = lived(plan)
    assert whole.writes > 30
    assert whole.conversations > 2
    for nth in range(1, whole.writes + 1):
        lived(replace(plan, failed_write=nth))


def test_many_histories_that_leave_an_order_untried_say_so() -> None:
    total, met = Sum(), {events.AgentReady, effects.Hangup}
    for seed in range(MEET_ALL_MIN - 1):
        total.add(Report(seed, met=met))
    assert total.unmet() == [], "a few may leave things untried"
    total.add(Report(MEET_ALL_MIN, met=met))
    assert {"PlanCallback", "SavePlan"} <= set(total.unmet())
    assert not {"AgentReady", "Hangup"} & set(total.unmet())
