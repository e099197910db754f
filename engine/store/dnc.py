"""The do-not-call lists: the system's, each campaign's, each partner's.

A number on the system's list is called by nobody; on a campaign's, not for its leads; on a partner's, not for leads
that came from that partner. Whatever process changes a list, the running engine sees it within half a second
(`Store.revisions`) and takes back queued and ringing calls.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from engine.core.model import LeadId, PhoneNumber
from engine.store import queries, seals
from engine.store.database import Database, Row, one, rows_of
from engine.store.queries import Query, Statement
from engine.store.store import DO_NOT_CALL
from engine.store.store import SQL as DIALING

#: Numbers of one transaction: a few milliseconds of the writer's time.
CHUNK_MAX: Final = 500
#: Entries that one page shows.
ENTRIES_PER_PAGE_MAX: Final = 200
REASON_MAX: Final = 200
SYSTEM: Final = "system"
_LIST: Final = re.compile(r"system|(campaign|partner):[\w.-]{1,64}")
_DIGITS: Final = re.compile(r"\D+")


class _Sql:
    list_numbers: Query
    suppress_leads: Query
    cancel_callbacks: Query
    unlist_number: Query
    reopen_leads: Query
    newest_entries: Query
    entries_of_number: Query
    entries_page: Query
    lead_to_erase: Query
    seal_numbers: Query
    seal_called_numbers: Query
    list_shared_numbers: Query
    unlist_own_numbers: Query
    forget_person: Query
    forget_numbers: Query
    forget_called_numbers: Query
    forget_notes: Query
    forget_hand_outs: Query
    forget_said: Query
    forget_import_changes: Query
    forget_drafts: Query
    forget_edits: Query
    forget_merges: Query
    forget_order_versions: Query
    forget_orders: Query
    forget_order_drafts: Query
    forget_tasks: Query
    forget_callbacks: Query


SQL: Final = queries.load(_Sql, "dnc.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A number on a list, who put it there, when and why."""

    number: PhoneNumber
    list: str
    reason: str
    by: str
    at_ms: int


class CannotErase(ValueError):
    """The lead is unknown, erased already, or on the phone."""


class DoNotCall:
    """The lists of a database. A method that writes is on disk when it returns, and in the audit."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self, numbers: Iterable[PhoneNumber], *, to: str = SYSTEM, reason: str, by: str, at_ms: int, source: str = ""
    ) -> int:
        """Put numbers on a list; how many were not on it. Queued leads without another number are SUPPRESSED.

        At most CHUNK_MAX of them: one transaction. `source` names a file in the audit. The same again changes nothing.
        """
        _check(to, reason)
        digits = list(dict.fromkeys(number.e164 for number in numbers))
        if len(digits) > CHUNK_MAX:
            raise ValueError(f"at most {CHUNK_MAX} numbers at once")
        if not digits:
            return 0
        listed = orjson.dumps(digits).decode()
        subject = f"number:…{digits[0][-4:]}" if len(digits) == 1 and not source else f"list:{to}"
        detail = f"{to}: {reason}"
        if source:  # the first number tells the parts of one file apart
            detail = f"{len(digits)} numbers of {source} from …{digits[0][-4:]} on; {detail}"
        new, *_ = await self._database.write(
            SQL.list_numbers(numbers=listed, list=to, reason=reason, by=by, at_ms=at_ms),
            SQL.suppress_leads(numbers=listed, at_ms=at_ms),
            SQL.cancel_callbacks(numbers=listed, by=by, at_ms=at_ms),
            DIALING.touch(subject=DO_NOT_CALL),
            DIALING.append_audit(at_ms=at_ms, actor=by, action="dnc_added", subject=subject, detail=detail),
        )
        return len(new)

    async def remove(self, number: PhoneNumber, *, of: str = SYSTEM, reason: str, by: str, at_ms: int) -> bool:
        """Take a number off a list; whether it was on it. Leads that were suppressed for it alone are dialed again."""
        _check(of, reason)
        gone, *_ = await self._database.write(
            SQL.unlist_number(number=number.e164, list=of),
            SQL.reopen_leads(number=number.e164, at_ms=at_ms),
            DIALING.touch(subject=DO_NOT_CALL),
            DIALING.append_audit(
                at_ms=at_ms, actor=by, action="dnc_removed", subject=f"number:{number.masked}", detail=f"{of}: {reason}"
            ),
        )
        return bool(gone)

    async def newest(self, *, until_ms: int = 2**62, limit: int = ENTRIES_PER_PAGE_MAX) -> tuple[Entry, ...]:
        """The latest entries of all lists, newest first."""
        bound = SQL.newest_entries(until_ms=until_ms, limit=min(limit, ENTRIES_PER_PAGE_MAX))
        return tuple(map(_entry, await rows_of(self._database, bound)))

    async def find(self, text: str, *, limit: int = ENTRIES_PER_PAGE_MAX) -> tuple[Entry, ...]:
        """Entries of numbers that begin with these digits."""
        first = "+" + _DIGITS.sub("", text)
        bound = SQL.entries_of_number(first=first, limit=min(limit, ENTRIES_PER_PAGE_MAX))
        return tuple(map(_entry, await rows_of(self._database, bound)))

    async def all(self) -> AsyncIterator[Entry]:
        """Every entry, by number."""
        number = of = ""
        while page := await rows_of(
            self._database, SQL.entries_page(number=number, list=of, limit=ENTRIES_PER_PAGE_MAX * 10)
        ):
            for row in page:
                yield _entry(row)
            number, of = page[-1]["number"], page[-1]["list"]

    async def erase(self, lead: LeadId, *, by: str, at_ms: int) -> None:
        """Forget the person: name, numbers, fields, notes. What stays is that they must not be called (their seals),
        and that calls were made, without to whom. CannotErase while they are on the phone.
        """
        found = await one(self._database, SQL.lead_to_erase(lead=lead))
        if found is None or found["erased_at_ms"] is not None:
            raise CannotErase(f"there is no lead {lead}")
        if found["live"]:
            raise CannotErase(f"lead {lead} is being called; try again when the call has ended")
        await self._database.aside(lambda: seals.make_key(Path(self._database.path)))
        await self._database.write(*_erasure(lead, by, at_ms))


def _erasure(lead: LeadId, by: str, at_ms: int) -> Iterator[Statement]:
    yield SQL.seal_numbers(lead=lead, at_ms=at_ms)
    yield SQL.seal_called_numbers(lead=lead, at_ms=at_ms)
    yield SQL.list_shared_numbers(lead=lead, by=by, at_ms=at_ms)
    yield DIALING.suppress_leads_of_lead(lead=lead, at_ms=at_ms)
    yield DIALING.cancel_callbacks_of_suppressed(lead=lead, at_ms=at_ms, closed_by=by)
    yield SQL.unlist_own_numbers(lead=lead)
    yield SQL.forget_said(lead=lead)
    yield SQL.forget_import_changes(lead=lead)
    yield SQL.forget_drafts(lead=lead)
    yield SQL.forget_edits(lead=lead)
    yield SQL.forget_merges(lead=lead)
    yield SQL.forget_notes(lead=lead)
    yield SQL.forget_hand_outs(lead=lead)
    yield SQL.forget_tasks(lead=lead)
    yield SQL.forget_order_versions(lead=lead)
    yield SQL.forget_orders(lead=lead)
    yield SQL.forget_order_drafts(lead=lead)
    yield SQL.forget_callbacks(lead=lead, by=by, at_ms=at_ms)
    yield SQL.forget_called_numbers(lead=lead)
    yield SQL.forget_numbers(lead=lead)
    yield SQL.forget_person(lead=lead, at_ms=at_ms)
    yield DIALING.touch(subject=DO_NOT_CALL)
    yield DIALING.append_audit(at_ms=at_ms, actor=by, action="lead_erased", subject=str(lead), detail="")


def _check(name: str, reason: str) -> None:
    if not _LIST.fullmatch(name):
        raise ValueError(f"{name!r} is no do-not-call list: system, campaign:<key> or partner:<key>")
    if not reason.strip() or len(reason) > REASON_MAX:
        raise ValueError(f"say why, in 1 to {REASON_MAX} characters")


def _entry(row: Row) -> Entry:
    return Entry(
        number=PhoneNumber(row["number"]),
        list=row["list"],
        reason=row["reason"],
        by=row["suppressed_by"],
        at_ms=row["at_ms"],
    )
