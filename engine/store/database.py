"""One SQLite file, one writer, a few readers: whole transactions in, rows out.

A transaction is a list of `Statement` values and runs in one go in the connection's own thread: no transaction stays
open between two awaits, so a cancelled caller leaves nothing half-done (what was sent is still carried out), and a
commit of twenty rows costs one hop between threads. `InlineDatabase` runs the same statements in the caller's thread:
whole-engine tests on a virtual clock stay deterministic.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final, Protocol, TypeVar

import aiosqlite

from engine.store import migrate, seals
from engine.store.errors import StoreBug, StoreDamagedError, StoreLockedError, translated
from engine.store.queries import Statement

#: How long a transaction waits for another process's lock before the store counts as locked.
BUSY_TIMEOUT_MS: Final = 1_000
#: How long a transaction of nothing waits, which only asks for the lock: longer than an importer's piece takes.
PULSE_TIMEOUT_MS: Final = 500
#: SQLite's own waiting sleeps ever longer and can starve beside a busy importer; ours asks again this soon.
BUSY_POLL_MS: Final = 1
#: Connections that read at once; a further reader waits.
READERS_MAX: Final = 2
#: Pages kept in memory per connection: the hot part of the indexes of a million leads.
CACHE_KIB: Final = 64 * 1024
#: The write-ahead log is cut back to this size after a checkpoint; a long reader may let it grow meanwhile.
WAL_KEPT_BYTES: Final = 64 * 1024 * 1024
#: Pages of the write-ahead log before they are carried into the file: one that changed often is written there once.
CHECKPOINT_PAGES: Final = 4_000
#: Compiled statements kept per connection: more than there are queries.
STATEMENTS_MAX: Final = 512
#: Rows that one query may answer with.
ROWS_MAX: Final = 100_000

Row = sqlite3.Row
Rows = list[Row]
T = TypeVar("T")


class Database(Protocol):
    """A database: SQLite in a thread, SQLite inline, or another dialect that takes the same statements."""

    @property
    def path(self) -> str:
        """The file, for messages."""

    async def write(self, *statements: Statement) -> list[Rows]:
        """Carry out all statements in order in one transaction; what each returns. All or nothing; `StoreError`."""

    async def read(self, *statements: Statement) -> list[Rows]:
        """The answers to all statements, from one snapshot. `StoreError`."""

    async def aside(self, job: Callable[[], T]) -> T:
        """Do a piece of CPU work where it does not hold up the event loop."""


async def one(database: Database, statement: Statement) -> Row | None:
    """The first row, if any."""
    (rows,) = await database.read(statement)
    return rows[0] if rows else None


async def rows_of(database: Database, statement: Statement) -> Rows:
    """All rows of one query."""
    (rows,) = await database.read(statement)
    return rows


class _Connection(aiosqlite.Connection):
    """aiosqlite's connection with its thread, given whole transactions instead of single statements."""

    async def run(self, job: Callable[[sqlite3.Connection], T]) -> T:
        result: T = await self._execute(lambda: job(self._conn))  # type: ignore[no-untyped-call]
        return result


class AioDatabase:
    """SQLite through aiosqlite: a writer's thread and a few readers' threads."""

    def __init__(self, path: Path, writer: _Connection, readers: Sequence[_Connection]) -> None:
        self._path = path
        self._writer = writer
        self._readers: asyncio.LifoQueue[_Connection] = asyncio.LifoQueue(READERS_MAX)
        for reader in readers:
            self._readers.put_nowait(reader)

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path, *, now_ms: int, controller: bool = False) -> AsyncIterator[AioDatabase]:
        """Open, check, migrate (`now_ms` dates it) and own every thread and lock until the context is left.

        `controller`: this process dials; a second one is refused with `StoreLockedError`.
        """
        async with AsyncExitStack() as stack:
            stack.enter_context(await asyncio.to_thread(_prepared, path, now_ms=now_ms, controller=controller))
            writer = _Connection(lambda: _connect_writer(path), iter_chunk_size=64)
            readers = [_Connection(lambda: connect(path, write=False), iter_chunk_size=64) for _ in range(READERS_MAX)]
            for connection in (writer, *readers):
                _ = await stack.enter_async_context(connection)
            yield cls(path, writer, readers)

    @property
    def path(self) -> str:
        """The file, for messages."""
        return str(self._path)

    async def write(self, *statements: Statement) -> list[Rows]:
        """Carry out all statements in order in one transaction; what each returns."""
        return await self._writer.run(lambda connection: write(connection, self.path, statements))

    async def read(self, *statements: Statement) -> list[Rows]:
        """The answers to all statements, from one snapshot."""
        reader = await self._readers.get()
        try:
            return await reader.run(lambda connection: read(connection, self.path, statements))
        finally:
            self._readers.put_nowait(reader)

    async def aside(self, job: Callable[[], T]) -> T:
        """Do a piece of CPU work in another thread."""
        return await asyncio.to_thread(job)


class InlineDatabase:
    """SQLite in the caller's own thread: for deterministic tests, and for short commands."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection

    @classmethod
    @contextmanager
    def open(
        cls, path: Path, *, now_ms: int, controller: bool = False, durable: bool = True
    ) -> Iterator[InlineDatabase]:
        """As `AioDatabase.open`. Not `durable`: survives the process's death, but not the machine's."""
        with _prepared(path, now_ms=now_ms, controller=controller):
            connection = _connect_writer(path)
            try:
                if not durable:
                    connection.execute("PRAGMA synchronous = OFF")
                yield cls(path, connection)
            finally:
                connection.close()

    @property
    def path(self) -> str:
        """The file, for messages."""
        return str(self._path)

    @property
    def rows_written(self) -> int:
        """By this connection, so far."""
        return self._connection.total_changes

    async def write(self, *statements: Statement) -> list[Rows]:
        """Carry out all statements in order in one transaction; what each returns."""
        return write(self._connection, self.path, statements)

    async def read(self, *statements: Statement) -> list[Rows]:
        """The answers to all statements, from one snapshot."""
        return read(self._connection, self.path, statements)

    async def aside(self, job: Callable[[], T]) -> T:
        """Do a piece of CPU work here and now."""
        return job()


def bring_up_to_date(path: Path, *, now_ms: int, locked: bool = False) -> list[migrate.Migration]:
    """Create, check and migrate the file; returns the steps done. A file that is not ours stays as it is.

    `StoreLockedError` while an engine of an older schema dials from it, unless that is us (`locked`).
    """
    connection = connect(path)
    try:
        with ExitStack() as migrating:
            if not locked and migrate.pending(connection, path):
                migrating.enter_context(_controller_lock(path))
            done = migrate.migrate(connection, path, now_ms)
            connection.execute("PRAGMA journal_mode = WAL")
        _check_soundness(connection, path)
        sealed = connection.execute("SELECT seal FROM erased_numbers LIMIT 1").fetchone()
        seals.check_key(path, None if sealed is None else sealed["seal"])
    except sqlite3.Error as error:
        raise translated(error, str(path), "journal_mode") from error
    finally:
        connection.close()
    return done


def connect(path: Path, *, write: bool = True) -> sqlite3.Connection:
    """A connection with our settings; only reads unless `write`. `StoreError` for a file that is not usable."""
    try:
        connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, cached_statements=STATEMENTS_MAX
        )
    except sqlite3.Error as error:
        raise translated(error, str(path), "open") from error
    try:
        connection.row_factory = sqlite3.Row
        connection.create_function("chain_hash", 7, chain_hash, deterministic=True)
        connection.create_function("sealed", 1, seals.sealer(path))
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS:d}")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB:d}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")  # NORMAL may lose the last commits with the power: law 3
        if not write:
            connection.execute("PRAGMA query_only = ON")
    except sqlite3.Error as error:
        connection.close()
        raise translated(error, str(path), "open") from error
    return connection


def write(connection: sqlite3.Connection, path: str, statements: Sequence[Statement]) -> list[Rows]:
    """One write transaction of those statements: all or nothing."""
    doing = "begin"
    try:
        _begin_writing(connection, BUSY_TIMEOUT_MS if statements else PULSE_TIMEOUT_MS)
        cursor = connection.cursor()
        answers: list[Rows] = []
        for statement in statements:
            doing = statement.query.name
            answers.append(_carry_out(cursor, statement))
        doing = "commit"
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise translated(error, path, doing) from error
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    return answers


def read(connection: sqlite3.Connection, path: str, statements: Sequence[Statement]) -> list[Rows]:
    """The answers to those statements from one snapshot."""
    doing = "begin"
    try:
        connection.execute("BEGIN")
        cursor = connection.cursor()
        answers: list[Rows] = []
        for statement in statements:
            doing = statement.query.name
            answers.append(_carry_out(cursor, statement))
    except sqlite3.Error as error:
        raise translated(error, path, doing) from error
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    return answers


def chain_hash(before: str, seq: int, at_ms: int, actor: str, action: str, subject: str, detail: str) -> str:
    """The audit row's hash over its content and the row before; lengths keep fields apart."""
    digest = hashlib.sha256(before.encode())
    for field in (str(seq), str(at_ms), actor, action, subject, detail):
        octets = field.encode()
        digest.update(b"%d:%b" % (len(octets), octets))
    return digest.hexdigest()


def _connect_writer(path: Path) -> sqlite3.Connection:
    connection = connect(path)
    connection.execute(f"PRAGMA journal_size_limit = {WAL_KEPT_BYTES:d}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES:d}")
    connection.execute("PRAGMA busy_timeout = 0")  # `_begin_writing` waits instead
    return connection


def _begin_writing(connection: sqlite3.Connection, wait_ms: int) -> None:
    deadline_s = time.monotonic() + wait_ms / 1000
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline_s:
                raise
            time.sleep(BUSY_POLL_MS / 1000)
        else:
            return


def _carry_out(cursor: sqlite3.Cursor, statement: Statement) -> Rows:
    sql, rows = statement.query.sql, statement.rows
    if len(rows) != 1:
        cursor.executemany(sql, rows)
        return []
    answer = cursor.execute(sql, rows[0]).fetchmany(ROWS_MAX + 1)
    if len(answer) > ROWS_MAX:
        raise StoreBug(f"{statement.query.name}: more than {ROWS_MAX} rows; ask for pages")
    return answer


@contextmanager
def _prepared(path: Path, *, now_ms: int, controller: bool) -> Iterator[None]:
    """The file exists, is ours, sound and of this program's schema; the controller's lock is held meanwhile."""
    with ExitStack() as stack:
        if controller:
            stack.enter_context(_controller_lock(path))
        bring_up_to_date(path, now_ms=now_ms, locked=controller)
        yield


def _check_soundness(connection: sqlite3.Connection, path: Path) -> None:
    try:
        (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        raise translated(error, str(path), "quick_check") from error
    if answer != "ok":
        raise StoreDamagedError(f"{path}: the database is damaged ({answer}); restore the last backup")


@contextmanager
def _controller_lock(path: Path) -> Iterator[None]:
    """The operating system's lock beside the database: it goes with the process, however that dies."""
    beside = path.with_name(path.name + ".lock")
    try:
        descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise translated(_cannot_open(), str(path), f"lock file {beside.name}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            raise StoreLockedError(
                f"{path}: another engine dials from this database (process {holder}); stop it first"
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _cannot_open() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("unable to open database file")
    error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
    return error
