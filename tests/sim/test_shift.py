"""Whole shifts in virtual time: nothing is lost, doubled or stranded, whatever breaks."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from engine.core.pacing import PacingPolicy, Predictive, Progressive, Ratio
from engine.sim.shift import Plan, Report, faulty, play
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
    report = lived(replace(Plan(seed=3), kill_every_ms=60_000, slow_disk_ms=50))
    assert report.lives > 20


def test_a_link_that_breaks_every_minute() -> None:
    lived(replace(Plan(seed=4), faults=Faults(link_lost_every_ms=60_000, link_gap_ms=5_000)))


def test_a_switch_that_forgets_every_tenth_fact() -> None:
    lived(replace(Plan(seed=5), faults=Faults(lost=0.1)))


def test_a_switch_that_dies_every_five_minutes() -> None:
    lived(replace(Plan(seed=7), faults=Faults(dies_every_ms=300_000)))


def test_a_disk_that_often_does_not_write() -> None:
    lived(replace(Plan(seed=6), failed_write_share=0.1, slow_disk_ms=100))
