"""A database of any release becomes this one's: old or new, never between, and never without a copy of the old."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from engine.core.model import CampaignId
from engine.store import migrate
from engine.store.database import InlineDatabase, connect
from engine.store.errors import StoreBug, StoreForeignError
from engine.store.store import Store

FROZEN = Path(__file__).parents[1] / "fixtures" / "databases"


@pytest.fixture
def steps(tmp_path: Path) -> Path:
    directory = tmp_path / "steps"
    directory.mkdir()
    (directory / "0001_first.sql").write_text("CREATE TABLE a (x TEXT) STRICT;\nCREATE TABLE b (y TEXT) STRICT;\n")
    return directory


def migrated(path: Path, steps: Path) -> list[int]:
    connection = connect(path)
    try:
        return [step.number for step in migrate.migrate(connection, path, 5, steps)]
    finally:
        connection.close()


def tables(path: Path) -> set[str]:
    connection = sqlite3.connect(path)
    found = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    connection.close()
    return found


def test_each_step_is_done_once(tmp_path: Path, steps: Path) -> None:
    path = tmp_path / "a.db"
    assert migrated(path, steps) == [1]
    (steps / "0002_second.sql").write_text("CREATE TABLE c (z TEXT) STRICT;")
    assert migrated(path, steps) == [2]
    assert migrated(path, steps) == []
    assert tables(path) == {"migrations", "a", "b", "c"}


def test_an_empty_database_needs_no_copy_a_used_one_does(tmp_path: Path, steps: Path) -> None:
    path = tmp_path / "a.db"
    migrated(path, steps)
    assert not list(tmp_path.glob("*.before-*"))
    connection = connect(path)
    connection.execute("INSERT INTO a VALUES ('kept')")
    connection.close()
    (steps / "0002_second.sql").write_text("DROP TABLE a;")
    migrated(path, steps)
    copy = sqlite3.connect(tmp_path / "a.db.before-0002")
    assert copy.execute("SELECT x FROM a").fetchall() == [("kept",)]
    copy.close()


def test_a_step_that_fails_changes_nothing(tmp_path: Path, steps: Path) -> None:
    path = tmp_path / "a.db"
    migrated(path, steps)
    (steps / "0002_second.sql").write_text("CREATE TABLE c (z TEXT) STRICT;\nCREATE TABLE a (again TEXT) STRICT;")
    with pytest.raises(StoreBug, match="table a already exists"):
        migrated(path, steps)
    assert tables(path) == {"migrations", "a", "b"}


def test_a_changed_step_is_refused(tmp_path: Path, steps: Path) -> None:
    path = tmp_path / "a.db"
    migrated(path, steps)
    (steps / "0001_first.sql").write_text("CREATE TABLE other (x TEXT) STRICT;")
    with pytest.raises(StoreForeignError, match=r"0001_first.*checksum"):
        migrated(path, steps)


def test_a_newer_database_is_refused_with_advice(tmp_path: Path, steps: Path) -> None:
    path = tmp_path / "a.db"
    (steps / "0002_second.sql").write_text("CREATE TABLE c (z TEXT) STRICT;")
    migrated(path, steps)
    (steps / "0002_second.sql").unlink()
    with pytest.raises(StoreForeignError, match="schema 2, this program knows 1; use the newer program"):
        migrated(path, steps)


@pytest.mark.parametrize("names", [["0002_b.sql"], ["0001_a.sql", "0003_c.sql"], ["1_a.sql"]])
def test_a_gap_in_the_numbers_is_a_bug(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_text("SELECT 1;")
    with pytest.raises(ValueError, match="migration"):
        migrate.known(tmp_path)


def test_pending_steps_wait_for_a_running_engine_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.store.errors import StoreLockedError

    path = tmp_path / "a.db"
    with InlineDatabase.open(path, now_ms=0, controller=True):
        monkeypatch.setattr(migrate, "pending", lambda *_: [migrate.Migration(number=2, name="x", sql="")])
        with pytest.raises(StoreLockedError, match="stop it first"), InlineDatabase.open(path, now_ms=0):
            pass


_DYING = """
import os, signal, sqlite3, sys
from pathlib import Path
from engine.store import migrate
from engine.store.database import connect

left = int(sys.argv[3])

def tick(statement):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)

path = Path(sys.argv[1])
connection = connect(path)
connection.set_trace_callback(tick)
migrate.migrate(connection, path, 5, Path(sys.argv[2]))
"""


def test_a_kill_at_any_statement_leaves_old_or_new(tmp_path: Path, steps: Path) -> None:
    first = tmp_path / "first.db"
    migrated(first, steps)
    (steps / "0002_second.sql").write_text(
        "ALTER TABLE a ADD COLUMN n INTEGER;\nCREATE TABLE c (z TEXT) STRICT;\nDROP TABLE b;\n"
    )
    old, new = {"migrations", "a", "b"}, {"migrations", "a", "c"}
    seen: list[set[str]] = []
    for kill_at in range(4, 40, 2):
        path = tmp_path / f"{kill_at}.db"
        shutil.copy(first, path)
        died = subprocess.run([sys.executable, "-c", _DYING, str(path), str(steps), str(kill_at)], check=False)
        seen.append(tables(path))
        assert seen[-1] in (old, new)
        migrated(path, steps)
        assert tables(path) == new
        if died.returncode != -signal.SIGKILL:
            break
    assert old in seen
    assert new in seen


# ── released schemas ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("frozen", sorted(FROZEN.glob("schema_*.db")), ids=lambda path: path.stem)
async def test_every_released_database_opens_and_goes_on(tmp_path: Path, frozen: Path) -> None:
    path = tmp_path / "zvonar.db"
    shutil.copy(frozen, path)
    with InlineDatabase.open(path, now_ms=9) as database:
        restored = await Store(database).restore()
        fetched = await Store(database).due_leads(CampaignId("spring"), 1_800_000_000_000, 10)
    assert [lead.id for _, lead in restored.attempts if lead is not None] == [2]
    assert [lead.id for _, _, lead in restored.undisposed] == [3]
    assert [lead.id for lead in fetched.leads] == [4, 1]
