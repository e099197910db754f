"""What an operator or administrator is told when the database cannot be used, and what stays on disk."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from engine.core.effects import SaveAudit
from engine.core.model import CampaignId, PhoneNumber, PhoneType
from engine.store import database as module
from engine.store.database import AioDatabase, InlineDatabase, connect, rows_of
from engine.store.errors import (
    StoreBug,
    StoreDamagedError,
    StoreForeignError,
    StoreFullError,
    StoreIoError,
    StoreLockedError,
    StoreReadOnlyError,
)
from engine.store.imports import PIECE_MAX, import_leads
from engine.store.queries import Statement, parse
from engine.store.store import Store


@dataclass(frozen=True)
class FileRow:
    line: int
    name: str = "Пётр"
    zone: str | None = None
    priority: int = 0
    external_id: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    keeper: str | None = None
    source: str = ""
    phone_types: tuple[PhoneType, ...] = ()

    @property
    def phones(self) -> tuple[PhoneNumber, ...]:
        return (PhoneNumber(f"+79{self.line:09d}"),)


NOTE = SaveAudit(at_ms=1, by="boss", action="note", subject="x")


def statement(text: str) -> Statement:
    return parse(f"-- name: test\n{text}", "test")["test"]()


def test_leaving_the_context_ends_every_thread(tmp_path: Path) -> None:
    async def use() -> None:
        async with AioDatabase.open(tmp_path / "a.db", now_ms=0) as database:
            await asyncio.gather(*(rows_of(database, statement("SELECT 1")) for _ in range(20)))

    before = threading.active_count()
    asyncio.run(use())
    # asyncio's own pool goes with its loop; ours must be gone too.
    assert threading.active_count() == before


async def test_a_cancelled_caller_leaves_no_transaction_open(tmp_path: Path) -> None:
    async with AioDatabase.open(tmp_path / "a.db", now_ms=0) as database:
        store = Store(database)
        task = asyncio.create_task(store.commit([NOTE]))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await store.commit([NOTE])
        assert [tuple(row) for row in await rows_of(database, statement("SELECT seq FROM audit"))] == [(1,)]


async def test_readers_see_what_was_committed_before_they_asked(tmp_path: Path) -> None:
    async with AioDatabase.open(tmp_path / "a.db", now_ms=0) as database:
        for n in range(50):
            await Store(database).commit([SaveAudit(at_ms=n, by="boss", action="note", subject="x")])
            ((count,),) = await rows_of(database, statement("SELECT count(*) FROM audit"))
            assert count == n + 1


async def test_readers_cannot_write(tmp_path: Path) -> None:
    async with AioDatabase.open(tmp_path / "a.db", now_ms=0) as database:
        with pytest.raises(StoreReadOnlyError):
            await database.read(statement("DELETE FROM users"))


@pytest.mark.parametrize("content", [b"%PDF-1.7 " * 1000, b"not a database, but long enough to look at" * 100])
def test_another_kind_of_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "report.pdf"
    path.write_bytes(content)
    with (
        pytest.raises(StoreForeignError, match=r"report\.pdf.*not an SQLite database"),
        InlineDatabase.open(path, now_ms=0),
    ):
        pass
    assert path.read_bytes() == content


def test_another_programs_database_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE bookmarks (url)")
    other.close()
    content = path.read_bytes()
    with pytest.raises(StoreForeignError, match="another program's"), InlineDatabase.open(path, now_ms=0):
        pass
    assert path.read_bytes() == content


def test_a_missing_directory_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreIoError, match="does its directory exist"):
        connect(tmp_path / "nowhere" / "a.db")
    with (
        pytest.raises(StoreIoError, match="does its directory exist"),
        InlineDatabase.open(tmp_path / "nowhere" / "a.db", now_ms=0, controller=True),
    ):
        pass


async def test_a_damaged_database_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with InlineDatabase.open(path, now_ms=0) as database:
        for n in range(200):
            await Store(database).commit([SaveAudit(at_ms=n, by="boss", action="note" * 50, subject="x")])
    content = bytearray(path.read_bytes())
    middle = len(content) - 3 * 4096
    content[middle : middle + 8192] = b"\xff" * 8192
    path.write_bytes(content)
    with pytest.raises(StoreDamagedError, match="restore"), InlineDatabase.open(path, now_ms=0):
        pass


async def test_a_locked_database_is_theirs_and_worth_repeating(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUSY_TIMEOUT_MS", 20)
    monkeypatch.setattr(module, "PULSE_TIMEOUT_MS", 20)
    path = tmp_path / "a.db"
    async with AioDatabase.open(path, now_ms=0) as database:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreLockedError, match="locked by another process") as caught:
            await Store(database).commit([NOTE])
        assert caught.value.transient
        with pytest.raises(StoreLockedError, match="locked by another process"):
            await Store(database).try_write()
        other.execute("ROLLBACK")
        other.close()
        await Store(database).try_write()
        await Store(database).commit([NOTE])


async def test_the_engine_saves_on_while_another_program_imports(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    rows = [FileRow(line=n) for n in range(1, 3_001)]
    async with AioDatabase.open(path, now_ms=0, controller=True) as ours, AioDatabase.open(path, now_ms=0) as theirs:
        importing = asyncio.create_task(
            import_leads(theirs, CampaignId("spring"), rows, file_name="leads.xlsx", by="boss", now_ms=0)
        )
        saved = 0
        while not importing.done():
            await Store(ours).commit([SaveAudit(at_ms=saved, by="boss", action="note", subject="x")])
            saved += 1
        assert (await importing).leads == len(rows)
    assert saved > len(rows) / PIECE_MAX, "between two pieces, not only before and after them"


async def test_a_full_disk_saves_nothing_and_recovers(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with InlineDatabase.open(path, now_ms=0) as database:
        # A page limit is how SQLite itself plays a full disk.
        connection = database._connection
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 1}")
        store = Store(database)
        many = [SaveAudit(at_ms=n, by="boss", action="note", subject="x" * 2_000) for n in range(20)]
        with pytest.raises(StoreFullError, match="disk is full") as caught:
            await store.commit(many)
        assert caught.value.transient
        assert await rows_of(database, statement("SELECT * FROM audit")) == []
        connection.execute("PRAGMA max_page_count = 100000")
        await store.commit(many)
        assert len(await rows_of(database, statement("SELECT * FROM audit"))) == 20


async def test_wrong_sql_is_our_bug(tmp_path: Path) -> None:
    with (
        InlineDatabase.open(tmp_path / "a.db", now_ms=0) as database,
        pytest.raises(StoreBug, match="no such table"),
    ):
        await database.write(statement("DELETE FROM no_such_table"))


# ── one controller ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_second_controller_is_refused_and_told_by_whom(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with InlineDatabase.open(path, now_ms=0, controller=True):
        refused = pytest.raises(StoreLockedError, match=rf"another engine .*process {os.getpid()}")
        with refused, InlineDatabase.open(path, now_ms=0, controller=True):
            pass
        with InlineDatabase.open(path, now_ms=0):
            pass  # who only reads and imports is welcome
    with InlineDatabase.open(path, now_ms=0, controller=True):
        pass


_CONTROLLER = """
import asyncio, sys, time
from pathlib import Path
from engine.core.effects import SaveAudit
from engine.store.database import AioDatabase
from engine.store.store import Store

async def main():
    async with AioDatabase.open(Path(sys.argv[1]), now_ms=0, controller=True) as database:
        store, n = Store(database), 0
        while True:
            n += 1
            await store.commit([SaveAudit(at_ms=n, by="boss", action="note", subject="x")])
            print(n, flush=True)

asyncio.run(main())
"""


def test_what_was_acknowledged_survives_a_kill_and_the_lock_does_not(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with subprocess.Popen([sys.executable, "-c", _CONTROLLER, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == 30:
                process.send_signal(signal.SIGKILL)
                break
        acknowledged = [30, *(int(line) for line in process.stdout if line.endswith("\n"))][-1]
    with InlineDatabase.open(path, now_ms=0, controller=True):
        connection = connect(path)
        (saved,) = connection.execute("SELECT max(seq) FROM audit").fetchone()
        connection.close()
    assert acknowledged <= saved <= acknowledged + 1
