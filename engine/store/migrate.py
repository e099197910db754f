"""Numbered, checksummed migrations: old or new, never between, and a backup first when there is something to lose."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.store.errors import StoreError, StoreForeignError, translated

_DIRECTORY: Final = Path(__file__).parent / "migrations" / "sqlite"
_FILE_NAME: Final = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
#: "Zvon" in SQLite's header: what this file is, for `file` and for us.
APPLICATION_ID: Final = 0x5A766F6E

_LEDGER: Final = """
CREATE TABLE migrations (
  number        INTEGER PRIMARY KEY,
  name          TEXT    NOT NULL,
  checksum      TEXT    NOT NULL,
  applied_at_ms INTEGER NOT NULL
) STRICT
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One numbered step of the schema."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """Of the text: an applied migration never changes."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def known(directory: Path = _DIRECTORY) -> list[Migration]:
    """This program's migrations in order; ValueError unless numbered 1, 2, 3 … without a gap."""
    found = []
    for path in sorted(directory.glob("*.sql")):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None:
            raise ValueError(f"{path.name}: a migration is called NNNN_name.sql")
        found.append(Migration(number=int(match.group(1)), name=match.group(2), sql=path.read_text(encoding="utf-8")))
    if [m.number for m in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"{directory}: migrations are numbered without gaps from 0001")
    return found


def pending(connection: sqlite3.Connection, path: Path, directory: Path = _DIRECTORY) -> list[Migration]:
    """What this database still lacks. `StoreForeignError` when it is not ours, newer, or its history was changed."""
    try:
        applied = _applied(connection, path)
    except sqlite3.Error as error:
        raise translated(error, str(path), "read the schema's history") from error
    steps = known(directory)
    if len(applied) > len(steps):
        raise StoreForeignError(
            f"{path}: the database has schema {len(applied)}, this program knows {len(steps)}; use the newer program"
        )
    for step, (number, name, checksum) in zip(steps, applied, strict=False):
        if (step.number, step.checksum) != (number, checksum):
            raise StoreForeignError(
                f"{path}: migration {number:04d}_{name} is not the one that this program knows (checksum differs); "
                "use the program that made this database, or restore its migration file"
            )
    return steps[len(applied) :]


def migrate(connection: sqlite3.Connection, path: Path, now_ms: int, directory: Path = _DIRECTORY) -> list[Migration]:
    """Bring the database to this program's schema, each step in one transaction; returns the steps done."""
    steps = pending(connection, path, directory)
    try:
        if steps and steps[0].number > 1:
            _back_up(connection, path, steps[0].number)
        for step in steps:
            _apply(connection, step, now_ms)
    except sqlite3.Error as error:
        raise translated(error, str(path), "migrate") from error
    return steps


def _applied(connection: sqlite3.Connection, path: Path) -> list[tuple[int, str, str]]:
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if not tables and application_id in (0, APPLICATION_ID):
        return []
    if application_id != APPLICATION_ID:
        raise StoreForeignError(f"{path}: this is another program's database; name another file")
    rows = connection.execute("SELECT number, name, checksum FROM migrations ORDER BY number").fetchall()
    return [(number, name, checksum) for number, name, checksum in rows]


def _apply(connection: sqlite3.Connection, step: Migration, now_ms: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        if step.number == 1:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID:d}")
            connection.execute(_LEDGER)
        for statement in _statements(step.sql):
            connection.execute(statement)
        connection.execute(
            "INSERT INTO migrations VALUES (?, ?, ?, ?)", (step.number, step.name, step.checksum, now_ms)
        )
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _statements(sql: str) -> Iterator[str]:
    """The script's statements one by one: `executescript` would commit behind our back."""
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        raise ValueError(f"the migration ends within a statement: {statement.strip()[:60]}")


def _back_up(connection: sqlite3.Connection, path: Path, number: int) -> Path:
    """A whole copy beside the database, under its final name only when complete."""
    backup = path.with_name(f"{path.name}.before-{number:04d}")
    partial = path.with_name(f"{backup.name}.partial")
    partial.unlink(missing_ok=True)
    connection.execute("VACUUM INTO ?", (str(partial),))
    try:
        partial.replace(backup)
    except OSError as error:
        raise StoreError(f"{backup}: the backup before migrating cannot be kept: {error.strerror}") from error
    return backup
