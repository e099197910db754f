"""Reads the journal that every Asterisk of ours writes by itself: answers, hang-ups, and what its dialplan says.

The engine reads its own switch's journal after it was away: a `ZV_MESSAGE` line names a customer who was answered while
nobody listened. The carrier's journal is the independent record of the calls that really went out.
One line is one event, appended and flushed when it happens; a half-written last line is left for the next reading.
"""

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

READ_MAX = 64 * 1024 * 1024


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
