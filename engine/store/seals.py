"""Seals of numbers: what is left of an erased person, so that they are not called when a file brings them back.

A seal is an HMAC with a key of this installation: without the key nobody can try all numbers of a country. The key lies
in `secrets` beside the database, is made at the first erasure, and belongs into the backup of secrets, not of data.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final

from engine.store.errors import StoreError, StoreIoError

KEY_BYTES: Final = 32
#: Of the key's own hash, before each seal: a wrong key is told from a number that is not there.
KEY_ID_CHARS: Final = 8


class SealKeyError(StoreError):
    """The key that sealed the erased numbers is not there, or is another one."""


def key_file(database: Path) -> Path:
    """Where the key of that database lies."""
    return database.parent / "secrets" / f"{database.stem}-seals.key"


def make_key(database: Path) -> None:
    """Make the key unless it is there. StoreIoError."""
    path = key_file(database)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
    except FileExistsError:
        return
    except OSError as error:
        raise StoreIoError(f"{path}: the key for erased numbers cannot be made: {error.strerror}") from error


def sealer(database: Path) -> Callable[[str], str | None]:
    """A function that seals a number; it answers None while there is no key."""
    key: bytes | None = None

    def seal(number: str) -> str | None:
        nonlocal key
        if key is None:
            key = _key(database)
        return None if key is None else key_id(key) + hmac.digest(key, number.encode(), "sha256").hex()

    return seal


def check_key(database: Path, a_seal: str | None) -> None:
    """Refuse to go on without the key that made that seal. SealKeyError."""
    if a_seal is None:
        return
    key = _key(database)
    if key is None or key_id(key) != a_seal[:KEY_ID_CHARS]:
        wrong = "is missing" if key is None else "is another one than the erased numbers were sealed with"
        raise SealKeyError(
            f"{key_file(database)}: the key {wrong}; restore it from the backup of your secrets, "
            "or erased persons could be called again"
        )


def key_id(key: bytes) -> str:
    """Which key it is, without saying what it is."""
    return hashlib.sha256(b"seal key " + key).hexdigest()[:KEY_ID_CHARS]


def _key(database: Path) -> bytes | None:
    try:
        return bytes.fromhex(key_file(database).read_text(encoding="ascii").strip())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StoreIoError(f"{key_file(database)}: the key for erased numbers cannot be read") from error
