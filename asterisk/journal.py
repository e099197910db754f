"""Reads the journal that every Asterisk of ours writes by itself: answers, hang-ups, and what its dialplan says.

The engine reads its own switch's journal after it was away: a `ZV_MESSAGE` line names a customer who was answered while
nobody listened. The carrier's journal is the independent record of the calls that really went out.
One line is one event, appended and flushed when it happens; a half-written last line is left for the next reading.
"""

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

READ_MAX = 64 * 1024 * 1024
#: Bytes read from the start of which the search for a time does not matter.
BISECT_TO = 64 * 1024
#: Answered channels whose end has not been read.
ANSWERED_MAX = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One event of one channel. `kind`: ANSWER, HANGUP, or what the dialplan named (INVITE, ZV_MESSAGE …)."""

    at_ms: int
    kind: str
    channel_id: str
    channel: str
    extension: str
    extra: str
    cause: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedChannel:
    """A channel that has hung up, and when it had answered, if it had; times in ms UTC."""

    channel_id: str
    answered_ms: int | None
    cause: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HeardLeg:
    """A customer's leg by our own Asterisk's journal: when they answered, and when the message began, if it did."""

    channel_id: str
    answered_ms: int | None
    message_ms: int | None
    unheard: bool  # no engine listened when they answered
    ended_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedCall:
    """One INVITE that reached the carrier, with what became of it; times in ms UTC."""

    number: str
    fate: str
    channel_id: str
    invited_ms: int
    answered_ms: int | None
    ended_ms: int | None


def read_journal(path: Path, offset: int = 0) -> tuple[list[Entry], int]:
    """Entries after byte `offset` (at most READ_MAX bytes of them) and the offset to go on from.

    A journal shorter than `offset` was rotated: it is read from its start. Lines that are no entries are skipped.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(offset if offset <= size else 0)
            start = file.tell()
            data = file.read(READ_MAX)
    except FileNotFoundError:
        return [], 0
    whole = data[: data.rfind(b"\n") + 1]
    lines = whole.decode("utf-8", errors="replace").splitlines()
    entries = [entry for row in csv.reader(lines) if (entry := _entry(row)) is not None]
    return entries, start + len(whole)


@dataclass(frozen=True, slots=True)
class OptedOut:
    """Somebody pressed the key for "no more calls" on this channel."""

    channel_id: str


class Journal:
    """Reads a growing journal for what became of channels since the last look."""

    def __init__(self, path: Path, *, since_ms: int | None) -> None:
        """`since_ms`: what happened before it is passed over; None: all that stands in the journal now."""
        self._path = path
        self._since_ms = since_ms or 0
        self._offset = _offset_at(path, since_ms)  # may be somewhat earlier
        self._answered: dict[str, int] = {}  # of channels that have not ended

    def answered(self) -> set[str]:
        """Channels that have answered and have no end as of now; what `look` will tell stays to be told."""
        answered = set(self._answered)
        for entries, _ in self._pieces():
            for entry in entries:
                if entry.kind == "ANSWER":
                    answered.add(entry.channel_id)
                elif entry.kind == "HANGUP":
                    answered.discard(entry.channel_id)
        return answered

    def look(self, lost: Iterable[str] = ()) -> list[EndedChannel | OptedOut]:
        """Those that hung up or opted out since; each is told once.

        `lost`: channels that had answered, and that the switch has no more: those of them without an end in the journal
        died with their Asterisk.
        """
        told: list[EndedChannel | OptedOut] = []
        for entries, offset in self._pieces():
            for entry in entries:
                if entry.kind == "ANSWER":
                    self._answered[entry.channel_id] = entry.at_ms
                    if len(self._answered) > ANSWERED_MAX:  # left by an Asterisk that died with them
                        del self._answered[next(iter(self._answered))]
                elif entry.at_ms < self._since_ms:
                    self._answered.pop(entry.channel_id, None)
                elif entry.kind == "HANGUP":
                    answered_ms = self._answered.pop(entry.channel_id, None)
                    told.append(
                        EndedChannel(channel_id=entry.channel_id, answered_ms=answered_ms, cause=entry.cause or 0)
                    )
                elif entry.kind == "ZV_OPT_OUT":
                    told.append(OptedOut(entry.channel_id))
            self._offset = offset
        for channel_id in lost:
            answered_ms = self._answered.pop(channel_id, None)
            if answered_ms is not None:
                told.append(EndedChannel(channel_id=channel_id, answered_ms=answered_ms, cause=0))
        return told

    def _pieces(self) -> Iterator[tuple[list[Entry], int]]:
        """What has been written since the last look, READ_MAX at a time, and the offset of its end."""
        before = self._offset
        while True:
            entries, offset = read_journal(self._path, before)
            if offset == before:
                return
            yield entries, offset
            before = offset


def _offset_at(path: Path, since_ms: int | None) -> int:
    """The byte from which the journal's lines are not older than `since_ms`: bisection, for it grows for years."""
    try:
        with path.open("rb") as file:
            low, high = 0, file.seek(0, 2)
            if since_ms is None:
                return high
            while high - low > BISECT_TO:
                middle = (low + high) // 2
                file.seek(middle)
                file.readline()  # the rest of a line
                row = next(csv.reader([file.readline().decode("utf-8", errors="replace")]), [])
                entry = _entry(row)
                low, high = (middle, high) if entry is not None and entry.at_ms < since_ms else (low, middle)
            file.seek(low)
            return low + (len(file.readline()) if low else 0)
    except FileNotFoundError:
        return 0


def heard_legs(entries: Iterable[Entry], prefix: str = "a.") -> list[HeardLeg]:
    """The legs whose channel ids begin so (those that the engine dials for its attempts), in the order of their events.

    An Asterisk that died left legs without an end: they are told without one.
    """
    times: dict[str, dict[str, int]] = {}
    unheard: set[str] = set()
    for entry in entries:
        if entry.channel_id.startswith(prefix):
            times.setdefault(entry.channel_id, {}).setdefault(entry.kind, entry.at_ms)
            if entry.kind == "ZV_MESSAGE" and entry.extra == "unheard":
                unheard.add(entry.channel_id)
    return [
        HeardLeg(
            channel_id=channel_id,
            answered_ms=at.get("ANSWER"),
            message_ms=at.get("ZV_MESSAGE"),
            unheard=channel_id in unheard,
            ended_ms=at.get("HANGUP"),
        )
        for channel_id, at in times.items()
    ]


def carried_calls(entries: Iterable[Entry]) -> list[CarriedCall]:
    """The carrier's calls in the order of their INVITEs."""
    invited: dict[str, Entry] = {}
    answered: dict[str, int] = {}
    ended: dict[str, int] = {}
    for entry in entries:
        if entry.kind == "INVITE":
            invited[entry.channel_id] = entry
        elif entry.kind == "ANSWER":
            answered[entry.channel_id] = entry.at_ms
        elif entry.kind == "HANGUP":
            ended[entry.channel_id] = entry.at_ms
    return [
        CarriedCall(
            number=entry.extra.split(" ")[0],
            fate=entry.extra.partition(" ")[2],
            channel_id=channel_id,
            invited_ms=entry.at_ms,
            answered_ms=answered.get(channel_id),
            ended_ms=ended.get(channel_id),
        )
        for channel_id, entry in invited.items()
    ]


def _entry(row: list[str]) -> Entry | None:
    if len(row) != 6:
        return None
    time_text, kind, channel_id, channel, extension, extra_text = row
    try:
        at_ms = round(float(time_text) * 1000)
        extra = json.loads(extra_text) if extra_text else {}
        cause = int(extra["hangupcause"]) if "hangupcause" in extra else None
    except (ValueError, TypeError):
        return None
    return Entry(
        at_ms=at_ms,
        kind=kind,
        channel_id=channel_id,
        channel=channel,
        extension=extension,
        extra=str(extra.get("extra", "")),
        cause=cause,
    )
