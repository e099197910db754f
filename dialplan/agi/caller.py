"""Who is calling: the number's lead, from the engine's database, read only."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.phones import DEFAULT_NUMBERING, Numbering, carried_phone
from engine.store.database import connect, read
from engine.store.errors import StoreError
from engine.store.queries import parse

#: Shorter than any subscriber's number: a service, an extension, or nothing at all.
DIGITS_MIN: Final = 7

_FILE: Final = Path(__file__).parent / "caller.sql"
_QUERIES: Final = parse(_FILE.read_text(encoding="utf-8"), _FILE.name)


@dataclass(frozen=True, slots=True)
class Caller:
    """The lead behind a number."""

    lead: int
    campaign: str
    name: str
    owner: str


def find_caller(database: Path, number: str, numbering: Numbering = DEFAULT_NUMBERING) -> Caller | None:
    """The caller of that number as the carrier gives it, None when nobody has it. `StoreError`."""
    if len(re.findall(r"[0-9]", number)) < DIGITS_MIN or (meant := carried_phone(number, numbering)) is None:
        return None
    if not database.is_file():
        raise StoreError(f"{database}: there is no database yet")
    with closing(connect(database, write=False)) as connection:
        query = _QUERIES["caller_by_number"](number=meant.e164)
        (rows,) = read(connection, str(database), [query])
    return next(
        (Caller(row["id"], campaign=row["campaign_id"], name=row["name"], owner=row["owner"] or "") for row in rows),
        None,
    )
