"""A lead file into a campaign, as a job that survives its process: piece by piece, without holding up the writer.

A piece's leads, the line up to which the file is in, and the counts are one commit. So whoever carries on after a death
skips what is in, and nobody comes twice. A file that turns out to be unreadable in the middle, and one that a person
cancels, is taken back as if it had been undone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice, repeat
from pathlib import PurePath
from typing import Any, Final, TypeAlias

import orjson

from engine.core.model import CampaignId, PhoneType
from engine.store import queries
from engine.store.database import Database, Row, one, rows_of
from engine.store.errors import StoreError
from engine.store.folding import TAGS_MAX, fold, list_called
from engine.store.queries import Query, Statement, Value
from engine.store.rows import ImportCounts, ImportMode, ImportReject, ImportRow
from engine.store.store import LEADS_OF
from engine.store.store import SQL as DIALING

#: Rows of one transaction: some tens of milliseconds of the writer's time.
PIECE_MAX: Final = 2_000
#: Leads of an import that are undone in one transaction.
UNDO_CHUNK_MAX: Final = 500
#: Between two pieces the lock is free for so long: an engine in another process dials on.
PIECE_PAUSE_MS: Final = 2
#: As the schema has it: a row that breaks it could never be stored.
PRIORITY_MAX: Final = 50
#: Imports that a list shows.
IMPORTS_SHOWN_MAX: Final = 50
PROFILES_SHOWN_MAX: Final = 50
PROFILE_NAME_CHARS_MAX: Final = 60
#: How long leads of an undone import stay as empty shells: an engine looks several times within.
REVERT_SETTLE_S: Final = 3.0
#: Rejects that one page shows.
REJECTS_PER_PAGE_MAX: Final = 1_000


#: What a file is made of.
FileRow: TypeAlias = ImportRow | ImportReject


class _Sql:
    begin_import: Query
    choose_import: Query
    start_import: Query
    keep_before: Query
    update_leads: Query
    make_leads: Query
    make_phones: Query
    keep_reject: Query
    list_erased_of_piece: Query
    suppress_piece: Query
    piece_done: Query
    known_of: Query
    end_import: Query
    ask_to_cancel: Query
    cancelled: Query
    open_imports: Query
    import_of: Query
    latest_imports: Query
    profile_of_headings: Query
    profile_of_name: Query
    save_profile: Query
    free_profile_name: Query
    profiles: Query
    rejects_of: Query
    begin_revert: Query
    lines_of: Query
    reverted: Query
    put_back: Query
    changes_put_back: Query
    close_imported: Query
    cancel_callbacks_of_imported: Query
    forget_numbers_of_imported: Query
    forget_words_of_imported: Query
    forget_imported: Query


SQL: Final = queries.load(_Sql, "imports.sql")


class ImportCancelled(Exception):
    """Somebody asked for the import to be cancelled; it is taken back."""


class ImportState(StrEnum):
    """How far an import is."""

    CHOOSING = "staging"  # a person looks at its columns; nothing of it is in
    RUNNING = "publishing"
    DONE = "done"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportJob:
    """An import and how it stands. `kept`: the name of its file in the folder of imports, "" when there is none."""

    id: int
    campaign: CampaignId
    file_name: str
    by: str
    state: ImportState
    mode: ImportMode
    started_at_ms: int
    ended_at_ms: int | None
    reverted_at_ms: int | None
    cancel_asked_at_ms: int | None
    problem: str
    kept: str
    settings: Mapping[str, Any]
    rows_total: int  # 0: not known yet
    through_line: int
    counts: ImportCounts

    @property
    def list_name(self) -> str:
        """Which list its new leads come onto: as somebody called it, else as the file is called."""
        return list_called(self.settings.get("list_name") or PurePath(self.file_name).stem)


async def import_leads(
    database: Database,
    campaign: CampaignId,
    rows: Iterable[FileRow],
    *,
    file_name: str,
    by: str,
    now_ms: int,
    mode: ImportMode = ImportMode.CREATE,
) -> ImportCounts:
    """Bring rows into the campaign as NEW leads; rejected rows are kept with their reasons.

    A row is a duplicate when one of its numbers is in an earlier row, or belongs to a lead of the campaign already;
    with UPDATE and BOTH that lead is changed, and how it was is kept for `revert_import`. An exception of `rows` takes
    back what was brought. `rows` is read in a thread.
    """
    import_id = await begin_import(database, campaign, file_name=file_name, by=by, now_ms=now_ms, mode=mode)
    await start_import(database, import_id, now_ms=now_ms)
    return await carry_import(database, import_id, pieces_of(rows), now_ms=now_ms)


async def begin_import(
    database: Database,
    campaign: CampaignId,
    *,
    file_name: str,
    by: str,
    now_ms: int,
    mode: ImportMode = ImportMode.CREATE,
    kept: str = "",
    settings: Mapping[str, Any] | None = None,
) -> int:
    """Note a file that somebody wants imported; its id. Nothing of it is in."""
    (begun,) = await database.write(
        SQL.begin_import(
            campaign=campaign,
            file_name=file_name,
            by=by,
            at_ms=now_ms,
            mode=mode.value,
            kept=kept,
            settings=orjson.dumps(settings or {}).decode(),
        )
    )
    return int(begun[0]["id"])


async def choose_import(
    database: Database, import_id: int, *, campaign: CampaignId, mode: ImportMode, settings: Mapping[str, Any]
) -> None:
    """Keep what a person chose. KeyError when the import has begun, or never was."""
    (chosen,) = await database.write(
        SQL.choose_import(
            import_id=import_id, campaign=campaign, mode=mode.value, settings=orjson.dumps(dict(settings)).decode()
        )
    )
    if not chosen:
        raise KeyError(import_id)


async def start_import(database: Database, import_id: int, *, now_ms: int) -> None:
    """From here on the import is carried to its end, also by the next start. KeyError when it has begun already."""
    (started,) = await database.write(SQL.start_import(import_id=import_id, at_ms=now_ms))
    if not started:
        raise KeyError(import_id)


async def carry_import(
    database: Database,
    import_id: int,
    pieces: Iterable[Piece],
    *,
    now_ms: int,
    everywhere: bool = False,
    rows_total: int = 0,
) -> ImportCounts:
    """Bring the rows of a started import that are not in yet, to its end.

    `pieces` are all of its rows, in order; `everywhere`: who is a lead of any campaign is a duplicate. StoreError
    leaves it to be carried on; any other exception, ImportCancelled too, takes it back.
    """
    job = await import_of(database, import_id)
    waiting = _Pieces(job, pieces, now_ms=now_ms, everywhere=everywhere, rows_total=rows_total)
    try:
        await _bring(database, job, waiting)
    except StoreError:
        raise
    except Exception as error:
        said = "" if isinstance(error, ImportCancelled) else str(error)
        await take_back(database, import_id, by=job.by, now_ms=now_ms, problem=said)
        raise
    (ended,) = await database.write(SQL.end_import(import_id=import_id, at_ms=now_ms))
    counts = (await import_of(database, import_id)).counts
    if ended:
        await database.write(
            DIALING.touch(subject=LEADS_OF + job.campaign),
            DIALING.append_audit(
                at_ms=now_ms,
                actor=job.by,
                action="leads_imported",
                subject=f"campaign:{job.campaign}",
                detail=f"import {import_id}: {counts.leads} leads of {counts.rows} rows",
            ),
        )
    return counts


async def _bring(database: Database, job: ImportJob, pieces: _Pieces) -> None:
    if job.cancel_asked_at_ms is not None:
        raise ImportCancelled
    piece = await database.aside(pieces.next)
    while piece:  # while one is written the next one is made ready
        answers, piece = await asyncio.gather(database.write(*piece), database.aside(pieces.next))
        if answers[-1][0]["cancel_asked_at_ms"] is not None:
            raise ImportCancelled
        await asyncio.sleep(PIECE_PAUSE_MS / 1000)


async def ask_to_cancel(database: Database, import_id: int, *, now_ms: int) -> None:
    """Whoever carries the import takes it back at its next piece."""
    await database.write(SQL.ask_to_cancel(import_id=import_id, at_ms=now_ms, problem=""))


async def take_back(database: Database, import_id: int, *, by: str, now_ms: int, problem: str = "") -> None:
    """End an import that is not to be: what is in goes as `revert_import` says. Asked again it does no harm."""
    await database.write(SQL.ask_to_cancel(import_id=import_id, at_ms=now_ms, problem=problem))
    job = await import_of(database, import_id)
    if job.ended_at_ms is None and job.through_line:
        await revert_import(database, import_id, by=by, now_ms=now_ms)
    await database.write(SQL.cancelled(import_id=import_id, at_ms=now_ms))


async def import_of(database: Database, import_id: int) -> ImportJob:
    """How an import stands. KeyError for one that never was."""
    row = await one(database, SQL.import_of(import_id=import_id))
    if row is None:
        raise KeyError(import_id)
    return _job(row)


async def open_imports(database: Database) -> tuple[ImportJob, ...]:
    """Imports that have not ended: running, or left by the dead, or still being chosen, or half undone."""
    return tuple(map(_job, await rows_of(database, SQL.open_imports())))


async def latest_imports(database: Database, limit: int = IMPORTS_SHOWN_MAX) -> tuple[ImportJob, ...]:
    """The last imports that have begun, newest first."""
    return tuple(map(_job, await rows_of(database, SQL.latest_imports(limit=min(limit, IMPORTS_SHOWN_MAX)))))


def _job(row: Row) -> ImportJob:
    return ImportJob(
        id=row["id"],
        campaign=CampaignId(row["campaign_id"]),
        file_name=row["file_name"],
        by=row["imported_by"],
        state=ImportState(row["state"]),
        mode=ImportMode(row["mode"]),
        started_at_ms=row["started_at_ms"],
        ended_at_ms=row["ended_at_ms"],
        reverted_at_ms=row["reverted_at_ms"],
        cancel_asked_at_ms=row["cancel_asked_at_ms"],
        problem=row["problem"],
        kept=row["kept"],
        settings=orjson.loads(row["settings"]),
        rows_total=row["rows_total"],
        through_line=row["through_line"],
        counts=ImportCounts(
            id=row["id"],
            rows=row["rows_count"],
            leads=row["leads_count"],
            duplicates=row["duplicates_count"],
            rejects=row["rejects_count"],
            updated=row["updated_count"],
            listed=row["listed_count"],
        ),
    )


@dataclass(frozen=True, slots=True)
class Known:
    """What the store says of a number: whose it is already, and whether it must not be called."""

    lead: int | None
    listed: bool
    lists: frozenset[str] = frozenset()  # of partners

    def barred(self, partner: str) -> bool:
        """Whether it must not be called for that partner."""
        return self.listed or f"partner:{partner}" in self.lists


async def known_numbers(
    database: Database, campaign: CampaignId, numbers: Sequence[str], *, everywhere: bool = False
) -> dict[str, Known]:
    """What is known of numbers; at most a piece's worth at a time."""
    asked = orjson.dumps(list(numbers)).decode()
    rows = await rows_of(database, SQL.known_of(numbers=asked, campaign=campaign, everywhere=int(everywhere)))
    return {numbers[row["place"]]: Known(row["lead_id"], bool(row["listed"]), _lists(row)) for row in rows}


def _lists(row: Row) -> frozenset[str]:
    return frozenset(orjson.loads(row["partners"]))


# ── profiles ─────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What was chosen for files with these headings."""

    headings: str
    name: str
    settings: Mapping[str, Any]
    by: str
    used_at_ms: int


async def profile_of(database: Database, *, headings: str = "", name: str = "") -> Profile | None:
    """The profile with that name, else of files with those headings."""
    asked = SQL.profile_of_name(name=name) if name else SQL.profile_of_headings(headings=headings)
    row = await one(database, asked)
    return None if row is None else _profile(row)


async def save_profile(
    database: Database, headings: str, settings: Mapping[str, Any], *, name: str = "", by: str, now_ms: int
) -> None:
    """The next file with these headings is read in this way; a name, once given, stays until another is."""
    name = name.strip()[:PROFILE_NAME_CHARS_MAX]
    await database.write(
        SQL.free_profile_name(name=name, headings=headings),
        SQL.save_profile(
            headings=headings, name=name, settings=orjson.dumps(dict(settings)).decode(), by=by, at_ms=now_ms
        ),
    )


async def profiles(database: Database) -> tuple[Profile, ...]:
    """Profiles, the last used first."""
    return tuple(map(_profile, await rows_of(database, SQL.profiles(limit=PROFILES_SHOWN_MAX))))


def _profile(row: Row) -> Profile:
    return Profile(
        headings=row["headings"],
        name=row["name"],
        settings=orjson.loads(row["settings"]),
        by=row["saved_by"],
        used_at_ms=row["used_at_ms"],
    )


# ── undoing ──────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Reverted:
    """What became of an import that was undone."""

    put_back: int  # leads that it had changed and that are as before, or were edited since
    gone: int  # leads that it had made and that were never called
    left: int  # called meanwhile: closed, with what was said


async def revert_import(database: Database, import_id: int, *, by: str, now_ms: int) -> Reverted:
    """Undo an import, as often as asked: leads it made go (or, called meanwhile, are closed), changes are put back.

    KeyError for an import that has brought nothing. It takes REVERT_SETTLE_S: an engine may hold some of the leads.
    """
    (begun,) = await database.write(SQL.begin_revert(import_id=import_id, at_ms=now_ms))
    if not begun:
        raise KeyError(import_id)
    piece: dict[str, Value] = {"import_id": import_id, "chunk": UNDO_CHUNK_MAX}
    put_back, done = 0, [begun[0]]
    while done:
        _, done = await database.write(
            SQL.put_back(**piece, at_ms=now_ms, imported_at_ms=begun[0]["started_at_ms"]), SQL.changes_put_back(**piece)
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
    made = (await import_of(database, import_id)).counts.leads
    await database.write(
        SQL.reverted(import_id=import_id, at_ms=now_ms),
        DIALING.append_audit(
            at_ms=now_ms,
            actor=by,
            action="import_reverted",
            subject=f"campaign:{begun[0]['campaign_id']}",
            detail=f"import {import_id}: {gone} leads gone, {put_back} put back",
        ),
    )
    return Reverted(put_back=put_back, gone=gone, left=max(made - gone, 0))


async def _lines(database: Database, import_id: int) -> list[dict[str, int]]:
    (row,) = await rows_of(database, SQL.lines_of(import_id=import_id))
    if row["first"] is None:
        return []
    return [
        {"first": first, "last": min(first + UNDO_CHUNK_MAX - 1, row["last"])}
        for first in range(row["first"], row["last"] + 1, UNDO_CHUNK_MAX)
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


# ── the pieces ───────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Rows of one transaction, in order, as the store takes them: made in the process that reads the file.

    `leads`: a JSON array of [line, external id, name, folded name, zone, fields, priority, tags, keeper, source];
    `numbers`: a JSON object of objects line → number, one for each position and type of phone (`0mobile`), in the order
    of positions. One text instead of a thousand rows: SQLite unfolds it in one step of its own thread, and nobody
    else's interpreter is held up.
    """

    first: int  # its lines in the file
    last: int
    good: int  # rows, those of `twice` too
    leads: str
    numbers: str
    twice: tuple[tuple[int, tuple[str, ...]], ...] = ()  # good rows one of whose numbers stands in an earlier one
    rejects: tuple[ImportReject, ...] = ()

    def rows(self) -> list[tuple[int, tuple[str, ...]]]:
        """The good rows: line and numbers; those of `twice` too."""
        of_lines: dict[int, tuple[str, ...]] = {}
        for by_line in orjson.loads(self.numbers).values():
            for line, number in by_line.items():
                of_lines[int(line)] = (*of_lines.get(int(line), ()), number)
        return sorted([*of_lines.items(), *self.twice])

    def partners(self) -> dict[int, str]:
        """Of which partner each row is, by its line; those of `twice` are left out."""
        return {lead[0]: lead[9] for lead in orjson.loads(self.leads)}

    @property
    def rejected(self) -> int:
        """How many rows are bad; one with two wrong fields is one."""
        return len({reject.line for reject in self.rejects})

    def after(self, line: int) -> Piece | None:
        """What of it stands behind a line."""
        if self.first > line:
            return self
        if self.last <= line:
            return None
        leads = [lead for lead in orjson.loads(self.leads) if lead[0] > line]
        twice = tuple(row for row in self.twice if row[0] > line)
        by_place = {
            place: {key: number for key, number in by_line.items() if int(key) > line}
            for place, by_line in orjson.loads(self.numbers).items()
        }
        return Piece(
            first=line + 1,
            last=self.last,
            good=len(leads) + len(twice),
            leads=_json(leads),
            numbers=_json(by_place),
            twice=twice,
            rejects=tuple(reject for reject in self.rejects if reject.line > line),
        )


def pieces_of(rows: Iterable[FileRow]) -> Iterator[Piece]:
    """The rows of a file in pieces. ValueError for a row that the store could never keep."""
    waiting = iter(rows)
    ahead: list[FileRow] = []
    while piece := [*ahead, *islice(waiting, PIECE_MAX)]:
        ahead = []
        for row in waiting:
            if row.line != piece[-1].line:
                ahead = [row]
                break
            piece.append(row)  # all that is wrong with one row is in one piece
        yield piece_of(piece, first=piece[0].line, last=piece[-1].line)


def piece_of(rows: Iterable[FileRow], *, first: int, last: int) -> Piece:
    """Those rows as the piece of these lines. ValueError as `pieces_of`."""
    leads: list[tuple[Any, ...]] = []
    by_place: dict[tuple[int, PhoneType], dict[str, str]] = {}
    twice: list[tuple[int, tuple[str, ...]]] = []
    rejects: list[ImportReject] = []
    seen: set[str] = set()
    for row in rows:
        if isinstance(row, ImportReject):
            rejects.append(row)
            continue
        numbers = numbers_of(row)  # each with its type
        if not seen.isdisjoint(numbers):  # of what earlier pieces brought the store knows
            twice.append((row.line, tuple(numbers)))
            continue
        seen.update(numbers)
        name = row.name
        said = (row.external_id, name, fold(name), row.zone, row.fields, row.priority, row.tags, row.keeper, row.source)
        leads.append((row.line, *said))
        key = str(row.line)
        for position, (number, type_) in enumerate(numbers.items()):
            by_place.setdefault((position, type_), {})[key] = number
    return Piece(
        first=first,
        last=last,
        good=len(leads) + len(twice),
        leads=_json(leads),
        numbers=_json({f"{position}{type_}": by_place[position, type_] for position, type_ in sorted(by_place)}),
        twice=tuple(twice),
        rejects=tuple(rejects),
    )


def numbers_of(row: ImportRow) -> dict[str, PhoneType]:
    """Each number once, in order, with its type. ValueError for a row that the store could never keep."""
    types = row.phone_types or repeat(PhoneType.NOT_SAID)
    numbers = {phone.e164: type_ for phone, type_ in zip(row.phones, types, strict=False)}
    if not numbers:
        raise ValueError(f"row {row.line}: a lead without a number must be a reject")
    if abs(row.priority) > PRIORITY_MAX:
        raise ValueError(f"row {row.line}: a priority is from -{PRIORITY_MAX} to {PRIORITY_MAX}")
    return numbers


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


class _Pieces:
    """Makes each piece that is not in yet a transaction."""

    def __init__(
        self,
        job: ImportJob,
        pieces: Iterable[Piece],
        *,
        now_ms: int,
        everywhere: bool,
        rows_total: int,
    ) -> None:
        self._job = job
        self._at_ms = now_ms
        self._everywhere = int(everywhere)
        self._rows_total = rows_total
        self._pieces = filter(None, (piece.after(job.through_line) for piece in pieces))

    def next(self) -> tuple[Statement, ...]:
        """The transaction of the next rows; empty when all are in."""
        piece = next(self._pieces, None)
        if piece is None:
            return ()
        of_piece: dict[str, Value] = {"import_id": self._job.id, "first": piece.first, "last": piece.last}
        rows = piece.good + piece.rejected
        return (
            *self._changes(piece),
            SQL.keep_reject.each(
                {"import_id": self._job.id, **orjson.loads(orjson.dumps(reject))} for reject in piece.rejects
            ),
            SQL.list_erased_of_piece(**of_piece, at_ms=self._at_ms),
            SQL.suppress_piece(**of_piece),
            SQL.piece_done(**of_piece, rows=rows, rejects=piece.rejected, rows_total=self._rows_total),
        )

    def _changes(self, piece: Piece) -> Iterator[Statement]:
        of_import: dict[str, Value] = {"import_id": self._job.id, "campaign": self._job.campaign}
        everywhere, at_ms = self._everywhere, self._at_ms
        if self._job.mode is not ImportMode.CREATE:
            yield SQL.keep_before(**of_import, numbers=piece.numbers)
            yield SQL.update_leads(import_id=self._job.id, leads=piece.leads, at_ms=at_ms, tags_max=TAGS_MAX)
        if self._job.mode is not ImportMode.UPDATE:
            yield SQL.make_leads(
                **of_import,
                list=self._job.list_name,
                leads=piece.leads,
                numbers=piece.numbers,
                everywhere=everywhere,
                at_ms=at_ms,
            )
            yield SQL.make_phones(import_id=self._job.id, numbers=piece.numbers)
