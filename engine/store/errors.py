"""What can go wrong with the store: theirs (disk, locks: wait and repeat) or ours (a bug: stop)."""

from __future__ import annotations

import sqlite3
from typing import Final


class StoreError(Exception):
    """The store did not do it. `transient`: the same again may work once somebody frees a lock or a disk."""

    transient = False


class StoreLockedError(StoreError):
    """Another process holds the database's write lock, or is the controller of it."""

    transient = True


class StoreFullError(StoreError):
    """The disk (or the quota) is full."""

    transient = True


class StoreIoError(StoreError):
    """The operating system could not read or write."""

    transient = True


class StoreReadOnlyError(StoreError):
    """The file or its directory may not be written."""


class StoreForeignError(StoreError):
    """The file is not ours: no database, another program's, or of a newer Zvonar."""


class StoreDamagedError(StoreError):
    """The database's own checks failed."""


class StoreBug(StoreError):
    """We asked for what the schema forbids, or wrote wrong SQL."""


_BY_CODE: Final = {
    sqlite3.SQLITE_BUSY: (StoreLockedError, "is locked by another process; it works again when that one is done"),
    sqlite3.SQLITE_LOCKED: (StoreLockedError, "is locked by another process; it works again when that one is done"),
    sqlite3.SQLITE_FULL: (StoreFullError, "cannot grow: the disk is full; free space, nothing saved so far is lost"),
    sqlite3.SQLITE_IOERR: (StoreIoError, "cannot be read or written; look at the disk and the system log"),
    sqlite3.SQLITE_CANTOPEN: (StoreIoError, "cannot be opened; does its directory exist, and may we write there?"),
    sqlite3.SQLITE_READONLY: (StoreReadOnlyError, "is read-only; give this user the right to write file and directory"),
    sqlite3.SQLITE_PERM: (StoreReadOnlyError, "may not be opened by this user"),
    sqlite3.SQLITE_NOTADB: (StoreForeignError, "is not an SQLite database; name another file or restore a backup"),
    sqlite3.SQLITE_CORRUPT: (StoreDamagedError, "is damaged; stop the engine and restore the last backup"),
}


def translated(error: sqlite3.Error, path: str, doing: str) -> StoreError:
    """The store's error for SQLite's; `doing` names the statement, never its values (they are personal data)."""
    code = getattr(error, "sqlite_errorcode", None)
    known = _BY_CODE.get(code & 0xFF) if isinstance(code, int) else None
    if known is None:
        return StoreBug(f"{doing}: {error}")
    kind, words = known
    return kind(f"{path}: the database {words} ({doing})")
