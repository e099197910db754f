"""A lead file into a campaign: all of it or nothing, without ever holding up the writer.

Rows are staged in pieces where nobody sees them. One commit then says "publish": from there the import is carried to
its end, piece by piece, also by the next start when this one dies. Before that commit nothing of the file exists.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

import orjson

from engine.core.model import CampaignId
from engine.store import queries
from engine.store.database import Database, Row, one, rows_of
from engine.store.folding import fold, tail
from engine.store.queries import Params, Query, Statement
from engine.store.rows import ImportCounts, ImportMode, ImportReject, ImportRow
from engine.store.store import LEADS_OF
from engine.store.store import SQL as DIALING

#: Rows staged, and leads published, in one transaction: a few tens of milliseconds of the writer's time.
STAGE_CHUNK_MAX: Final = 1_000
PUBLISH_CHUNK_MAX: Final = 500
#: Between two pieces the lock is free for so long: an engine in another process dials on.
PIECE_PAUSE_MS: Final = 2
#: Rows of one file; more is refused, the file must be split.
IMPORT_ROWS_MAX: Final = 2_000_000
#: As the schema has it: what is staged must be publishable, or the import could never end.
PRIORITY_MAX: Final = 50
#: Imports that a list shows.
IMPORTS_SHOWN_MAX: Final = 50
#: How long leads of an undone import stay as empty shells: an engine looks several times within.
REVERT_SETTLE_S: Final = 3.0
#: A staging that began so long ago has no living owner.
STAGING_STALE_MS: Final = 24 * 3_600_000
#: Rejects that one page shows.
REJECTS_PER_PAGE_MAX: Final = 1_000


class _Sql:
    begin_import: Query
    stage_row: Query
    stage_reject: Query
    publish_import: Query
    keep_before: Query
    update_leads: Query
    publish_leads: Query
    publish_phones: Query
    list_erased_of_import: Query
    suppress_published: Query
    count_published: Query
    unstage: Query
    unstage_rejects: Query
    still_staged: Query
    end_import: Query
    cancel_import: Query
    unfinished_imports: Query
    import_of: Query
    imports_of_campaign: Query
    rejects_of: Query
    latest_imports: Query
    begin_revert: Query
    lines_of: Query
    put_back: Query
    changes_put_back: Query
    close_imported: Query
    cancel_callbacks_of_imported: Query
    forget_numbers_of_imported: Query
    forget_words_of_imported: Query
    forget_imported: Query


SQL: Final = queries.load(_Sql, "imports.sql")


class TooManyRowsError(ValueError):
    """The file is too long to be one import."""


async def import_leads(
    database: Database,
    campaign: CampaignId,
    rows: Iterable[ImportRow | ImportReject],
    *,
    file_name: str,
    by: str,
    now_ms: int,
    mode: ImportMode = ImportMode.CREATE,
) -> ImportCounts:
    """Bring a file's rows into the campaign as NEW leads; rejected rows are kept with their reasons.

    A row is a duplicate when one of its numbers is in an earlier row, or belongs to a lead of the campaign already;
    with UPDATE and BOTH the latter changes that lead, and how it was is kept for `revert_import`.
    An exception of `rows`, or `StoreError`, before the last row leaves nothing behind. `rows` is read in a thread.
    """
    (started,) = await database.write(
        SQL.begin_import(campaign=campaign, file_name=file_name, by=by, at_ms=now_ms, mode=mode.value)
    )
    import_id = int(started[0]["id"])
    staging = _Staging(import_id, rows)
    try:
        piece = await database.aside(staging.next_piece)
        while piece:  # while one is written the next one is made ready
            _, piece = await asyncio.gather(database.write(*piece), database.aside(staging.next_piece))
            await asyncio.sleep(PIECE_PAUSE_MS / 1000)
    except Exception:
        await _forget(database, import_id, now_ms)
        raise
    await database.write(
        SQL.publish_import(
            import_id=import_id, rows=staging.rows, duplicates=staging.duplicates, rejects=staging.rejects
        )
    )
    await _publish(database, import_id, now_ms)
    counts = await import_counts(database, import_id)
    await database.write(
        DIALING.append_audit(
            at_ms=now_ms,
            actor=by,
            action="leads_imported",
            subject=f"campaign:{campaign}",
            detail=f"import {import_id}: {counts.leads} leads of {counts.rows} rows",
        )
    )
    return counts


async def finish_imports(database: Database, now_ms: int) -> int:
    """Carry on what a dead process began: publish to the end, forget stale staging. Returns how many there were."""
    unfinished = await rows_of(database, SQL.unfinished_imports(stale_before_ms=now_ms - STAGING_STALE_MS))
    for row in unfinished:
        if row["state"] == "publishing":
            await _publish(database, row["id"], now_ms)
        else:
            await _forget(database, row["id"], now_ms)
    return len(unfinished)


async def import_counts(database: Database, import_id: int) -> ImportCounts:
    """What became of the rows. KeyError for an import that never was."""
    row = await one(database, SQL.import_of(import_id=import_id))
    if row is None:
        raise KeyError(import_id)
    return _counts(row)


def _counts(row: Row) -> ImportCounts:
    return ImportCounts(
        id=row["id"],
        rows=row["rows_count"],
        leads=row["leads_count"],
        duplicates=row["duplicates_count"],
        rejects=row["rejects_count"],
        updated=row["updated_count"],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PastImport:
    """A finished import."""

    campaign: CampaignId
    file_name: str
    by: str
    started_at_ms: int
    mode: ImportMode
    reverted_at_ms: int | None
    counts: ImportCounts


async def latest_imports(database: Database, limit: int = IMPORTS_SHOWN_MAX) -> tuple[PastImport, ...]:
    """The last finished imports, newest first."""
    return tuple(
        PastImport(
            campaign=CampaignId(row["campaign_id"]),
            file_name=row["file_name"],
            by=row["imported_by"],
            started_at_ms=row["started_at_ms"],
            mode=ImportMode(row["mode"]),
            reverted_at_ms=row["reverted_at_ms"],
            counts=_counts(row),
        )
        for row in await rows_of(database, SQL.latest_imports(limit=min(limit, IMPORTS_SHOWN_MAX)))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reverted:
    """What became of an import that was undone."""

    put_back: int  # leads that it had changed and that are as before, or were edited since
    gone: int  # leads that it had made and that were never called
    left: int  # called meanwhile: closed, with what was said


async def revert_import(database: Database, import_id: int, *, by: str, now_ms: int) -> Reverted:
    """Undo an import, as often as asked: leads it made go (or, called meanwhile, are closed), changes are put back.

    KeyError for an import that is not finished. It takes REVERT_SETTLE_S: a running engine may hold some of the leads.
    """
    (begun,) = await database.write(SQL.begin_revert(import_id=import_id, at_ms=now_ms))
    if not begun:
        raise KeyError(import_id)
    piece: Params = {"import_id": import_id, "chunk": PUBLISH_CHUNK_MAX}
    put_back, done = 0, [begun[0]]
    while done:
        _, done = await database.write(
            SQL.put_back(**piece, at_ms=now_ms, imported_at_ms=begun[0]["ended_at_ms"]), SQL.changes_put_back(**piece)
        )
        put_back += len(done)
        await asyncio.sleep(PIECE_PAUSE_MS / 1000)
    pieces = [{"import_id": import_id, **lines} for lines in await _lines(database, import_id)]
    for one_piece in pieces:
        await database.write(
            SQL.close_imported(**one_piece, at_ms=now_ms),
            SQL.cancel_callbacks_of_imported(**one_piece, at_ms=now_ms, by=by),
            SQL.forget_numbers_of_imported(**one_piece),
        )
        await asyncio.sleep(PIECE_PAUSE_MS / 1000)
    await database.write(DIALING.touch(subject=LEADS_OF + begun[0]["campaign_id"]))
    # What an engine has loaded it may still dial: an attempt needs its lead.
    await asyncio.sleep(REVERT_SETTLE_S if pieces else 0)
    gone = 0
    for one_piece in pieces:
        _, found = await database.write(SQL.forget_words_of_imported(**one_piece), SQL.forget_imported(**one_piece))
        gone += len(found)
        await asyncio.sleep(PIECE_PAUSE_MS / 1000)
    made = (await import_counts(database, import_id)).leads
    await database.write(
        DIALING.append_audit(
            at_ms=now_ms,
            actor=by,
            action="import_reverted",
            subject=f"campaign:{begun[0]['campaign_id']}",
            detail=f"import {import_id}: {gone} leads gone, {put_back} put back",
        )
    )
    return Reverted(put_back=put_back, gone=gone, left=max(made - gone, 0))


async def _lines(database: Database, import_id: int) -> list[dict[str, int]]:
    (row,) = await rows_of(database, SQL.lines_of(import_id=import_id))
    if row["first"] is None:
        return []
    return [
        {"first": first, "last": min(first + PUBLISH_CHUNK_MAX - 1, row["last"])}
        for first in range(row["first"], row["last"] + 1, PUBLISH_CHUNK_MAX)
    ]


async def import_rejects(
    database: Database, import_id: int, *, after_line: int = 0, limit: int = REJECTS_PER_PAGE_MAX
) -> tuple[ImportReject, ...]:
    """Rejected rows from a line on, with field, value and reason."""
    bound = SQL.rejects_of(import_id=import_id, after=after_line, limit=min(limit, REJECTS_PER_PAGE_MAX))
    return tuple(
        ImportReject(line=row["line"], field=row["field"], value=row["value"], reason=row["reason"])
        for row in await rows_of(database, bound)
    )


async def _publish(database: Database, import_id: int, now_ms: int) -> None:
    piece: Params = {"import_id": import_id, "chunk": PUBLISH_CHUNK_MAX}
    staged = True
    while staged:
        *_, left = await database.write(
            SQL.keep_before(**piece),
            SQL.update_leads(**piece, at_ms=now_ms),
            SQL.publish_leads(**piece, at_ms=now_ms),
            SQL.publish_phones(**piece),
            SQL.list_erased_of_import(**piece, at_ms=now_ms),
            SQL.suppress_published(**piece),
            SQL.count_published(**piece),
            SQL.unstage(**piece),
            SQL.still_staged(import_id=import_id),
        )
        staged = bool(left[0]["staged"])
        await asyncio.sleep(PIECE_PAUSE_MS / 1000)
    (ended,) = await database.write(SQL.end_import(import_id=import_id, at_ms=now_ms))
    if ended:
        await database.write(DIALING.touch(subject=LEADS_OF + ended[0]["campaign_id"]))


async def _forget(database: Database, import_id: int, now_ms: int) -> None:
    whose: Params = {"import_id": import_id}
    await database.write(SQL.cancel_import(**whose, at_ms=now_ms), SQL.unstage_rejects(**whose))
    staged = True
    while staged:
        _, left = await database.write(SQL.unstage(**whose, chunk=STAGE_CHUNK_MAX), SQL.still_staged(**whose))
        staged = bool(left[0]["staged"])


class _Staging:
    """Reads the rows piece by piece, counts them, and leaves out numbers seen before."""

    def __init__(self, import_id: int, rows: Iterable[ImportRow | ImportReject]) -> None:
        self._import_id = import_id
        self._rows: Iterator[ImportRow | ImportReject] = iter(rows)
        self._seen: set[str] = set()  # at most IMPORT_ROWS_MAX leads' numbers
        self._rejected_line = 0
        self.rows = self.duplicates = self.rejects = 0

    def next_piece(self) -> tuple[Statement, ...]:
        """The statements of the next rows; none when all are read. TooManyRowsError."""
        leads: list[Params] = []
        rejects: list[Params] = []
        read = 0
        for row in islice(self._rows, STAGE_CHUNK_MAX):
            read += 1
            if isinstance(row, ImportReject):
                self._reject(row)
                rejects.append(self._reject_params(row))
            elif self._is_new(row):
                leads.append(self._lead_params(row))
        if self.rows > IMPORT_ROWS_MAX:
            raise TooManyRowsError(f"the file has more than {IMPORT_ROWS_MAX} rows; split it")
        if not read:
            return ()
        return SQL.stage_row.each(leads), SQL.stage_reject.each(rejects)

    def _reject(self, row: ImportReject) -> None:
        if row.line != self._rejected_line:  # a row with two wrong fields is one rejected row
            self._rejected_line = row.line
            self.rows += 1
            self.rejects += 1

    def _is_new(self, row: ImportRow) -> bool:
        self.rows += 1
        numbers = {phone.e164 for phone in row.phones}
        if not numbers:
            raise ValueError(f"row {row.line}: a lead without a number must be a reject")
        if abs(row.priority) > PRIORITY_MAX:
            raise ValueError(f"row {row.line}: a priority is from -{PRIORITY_MAX} to {PRIORITY_MAX}")
        if self._seen & numbers:
            self.duplicates += 1
            return False
        self._seen |= numbers
        return True

    def _lead_params(self, row: ImportRow) -> Params:
        numbers = dict.fromkeys(phone.e164 for phone in row.phones)
        return {
            "import_id": self._import_id,
            "line": row.line,
            "name": row.name,
            "name_folded": fold(row.name),
            "external_id": row.external_id,
            "zone": row.zone,
            "priority": row.priority,
            "fields": orjson.dumps(dict(row.fields)).decode(),
            "phones": orjson.dumps([(n, number, tail(number)) for n, number in enumerate(numbers)]).decode(),
        }

    def _reject_params(self, row: ImportReject) -> Params:
        return {
            "import_id": self._import_id,
            "line": row.line,
            "field": row.field,
            "value": row.value,
            "reason": row.reason,
        }
