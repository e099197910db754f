"""A piece of a month of dialing, judged by rules that share no code with the engine; `make month` lives a whole one."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.sim import month, month_rules
from tests.sim.month import HOUR_MS, Plan

#: The days around the night in which Europe's clocks go back.
AUTUMN_MS = int(datetime(2026, 10, 23, 20, tzinfo=UTC).timestamp() * 1000)
#: The days around the night in which Sydney's and Adelaide's clocks go forward.
SPRING_MS = int(datetime(2026, 10, 2, 20, tzinfo=UTC).timestamp() * 1000)
PIECE = Plan(seed=5, leads=150, days=3, agents=6, start_ms=AUTUMN_MS, kill_every_ms=8 * HOUR_MS)

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, month.Lived]:
    path = tmp_path_factory.mktemp("month") / "month.db"
    return path, month.live(PIECE, path)


@pytest.fixture
def database(lived: tuple[Path, month.Lived], tmp_path: Path) -> Iterator[sqlite3.Connection]:
    copy = tmp_path / "copy.db"
    shutil.copy(lived[0], copy)
    with closing(sqlite3.connect(copy)) as database:
        database.row_factory = sqlite3.Row
        yield database


def test_nobody_is_called_against_a_rule_and_no_promise_is_lost(lived: tuple[Path, month.Lived]) -> None:
    _, report = lived
    assert report.broken == []
    assert report.attempts > 200
    assert report.talks > 50
    assert report.callbacks > 20
    assert report.several > 10, "calls of people who may be in several zones"
    assert report.lives > 3


def test_promises_outlive_deaths_and_the_night_in_which_clocks_go_forward(tmp_path: Path) -> None:
    piece = replace(PIECE, seed=4, leads=100, start_ms=SPRING_MS, kill_every_ms=3 * HOUR_MS)
    report = month.live(piece, tmp_path / "month.db")
    assert report.broken == []
    assert report.callbacks > 20
    assert report.lives > 10


@pytest.mark.parametrize(
    ("planted", "found"),
    [
        ("UPDATE attempts SET planned_at_ms = planned_at_ms - 43200000", "there"),
        (
            "UPDATE attempts SET planned_at_ms = planned_at_ms - 21600000"
            " WHERE lead_id IN (SELECT id FROM leads WHERE zone IS NULL)",
            "there",
        ),
        ("UPDATE attempts SET ended_at_ms = ended_at_ms + 864000000", "at once"),
        ("UPDATE attempts SET lead_id = (SELECT min(lead_id) FROM attempts)", "times"),
        ("UPDATE dispositions SET disposition_id = 'never', at_ms = 0", "never to call"),
        ("UPDATE leads SET state = 'closed' WHERE state = 'callback'", "is open, but its lead is closed"),
        ("DELETE FROM callbacks WHERE closed_at_ms IS NULL", "of which there are 0"),
    ],
)
def test_the_judge_sees_what_is_planted(database: sqlite3.Connection, planted: str, found: str) -> None:
    for index in ("attempts_open_lead", "attempts_open_number"):
        database.execute(f"DROP INDEX {index}")
    database.execute(planted)
    said = month_rules.broken(database, AUTUMN_MS + 3 * 24 * HOUR_MS, invites=(), stops=())
    assert any(found in slip for slip in said)
