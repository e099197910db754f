"""Finding leads by what people type: any word's beginning, any part of a number, in whatever case, with ё or е.

An index of words (FTS5) answers. It is filled behind the leads: a trigger notes who is new or changed, `index_leads`
takes them up, so neither an import nor a call waits for it. A search first takes up the few newest ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

import orjson

from engine.store import queries
from engine.store.database import Database, Row, rows_of
from engine.store.folding import digits_typed, fold
from engine.store.queries import Query, Statement

#: Leads taken up in one transaction: some ten milliseconds of the writer's time.
INDEXED_MAX: Final = 300
#: Characters of a lead's words; what comes later is not found.
WORDS_CHARS_MAX: Final = 1_000
#: Words of a search; further ones are not asked for.
TYPED_WORDS_MAX: Final = 8
#: Digits of a number are indexed three by three, each group marked so that it is no word.
GROUP: Final = 3
MARK: Final = "\ue000"
_WORD: Final = re.compile(r"[^\W_]+")
_NOT_DIGITS: Final = re.compile(r"\D+")


class _Sql:
    leads_to_index: Query
    forget_words: Query
    index_words: Query
    is_indexed: Query
    leads_by_words: Query


SQL: Final = queries.load(_Sql, "search.sql")


async def index_leads(database: Database, limit: int = INDEXED_MAX) -> int:
    """Take up the newest leads that are not in the index; how many there were, `limit` when there may be more."""
    waiting = await rows_of(database, SQL.leads_to_index(limit=limit))
    if waiting:
        await database.write(*await database.aside(lambda: tuple(_statements(waiting))))
    return len(waiting)


def _statements(leads: Sequence[Row]) -> Iterator[Statement]:
    yield SQL.forget_words.each({"lead": row["lead_id"]} for row in leads)
    yield SQL.index_words.each(
        {"lead": row["lead_id"], "words": words_of(row)} for row in leads if row["erased_at_ms"] is None
    )
    yield SQL.is_indexed.each({"lead": row["lead_id"], "version": row["version"]} for row in leads)


def words_of(lead: Row) -> str:
    """What a lead is found by."""
    numbers = [_NOT_DIGITS.sub("", number) for number in orjson.loads(lead["numbers"])]
    groups = dict.fromkeys(group for number in numbers for group in _groups(number))
    said = [lead["name_folded"], fold(lead["external_id"]), *map(fold, orjson.loads(lead["tags"]))]
    said += map(fold, orjson.loads(lead["fields"]).values())
    # Whole numbers are there to be compared, not to be asked for: every number in town begins alike.
    return " ".join([*(MARK + number for number in numbers), *groups, *said])[:WORDS_CHARS_MAX]


def query_of(text: str) -> tuple[str, str] | None:
    """The index's question for a typed text, and what must stand in the words as it is; None for a text of nothing."""
    if digits := digits_typed(text):
        return f'({" AND ".join(_groups(digits, quoted=True))}) OR "{digits}"*', digits
    words = _WORD.findall(fold(text))[:TYPED_WORDS_MAX]
    return (" AND ".join(map(_either, words)), "") if words else None


def _either(word: str) -> str:
    """A word from its beginning, or a part of a number."""
    begins = f'"{word}"*'
    if len(word) < GROUP or not (word.isascii() and word.isdecimal()):
        return begins
    return f"({begins} OR ({' AND '.join(_groups(word, quoted=True))}))"


def _groups(digits: str, *, quoted: bool = False) -> Iterator[str]:
    for place in range(len(digits) - GROUP + 1):
        group = MARK + digits[place : place + GROUP]
        yield f'"{group}"' if quoted else group
