"""What the Floor was told, kept in a bounded ring on disk, and told again: a crash can be lived through step by step.

Theory of operation. Two segment files take turns. A segment begins with the whole Floor as it was, then come the facts
with their times, each written before it is decided on: whatever kills the engine, the fact that did it is there. The
core has no clock, chance or I/O, so the same facts at the same times give the same orders. Segments hold phone numbers:
they are readable by their owner only. They are pickles, and are loaded with the core's own types and nothing else, so
a file from elsewhere cannot run code.
"""

from __future__ import annotations

import copyreg
import errno
import io
import logging
import os
import pickle
import struct
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, Final

from engine.core import effects, events
from engine.core.floor import Floor

log = logging.getLogger(__name__)

#: A segment longer than this gives way to the other one; so the ring holds at most twice as much.
SEGMENT_MAX_BYTES: Final = 32 << 20
#: A longer record is a damaged file.
RECORD_MAX_BYTES: Final = 64 << 20
#: A recording that the disk has ended begins again after this.
AGAIN_AFTER_MS: Final = 60_000
SEGMENTS: Final = ("facts-0.ring", "facts-1.ring")
MAGIC: Final = b"zvonar facts 1\n"

_LENGTH: Final = struct.Struct(">I")
#: Beside `engine.core`, what its values are made of.
_PLAIN: Final = frozenset(
    {
        ("builtins", "dict"),
        ("builtins", "frozenset"),
        ("builtins", "set"),
        ("collections", "Counter"),
        ("collections", "OrderedDict"),
        ("collections", "deque"),
        ("datetime", "date"),
    }
)


class RingDamaged(Exception):
    """The file is not a segment of ours, or breaks off in the middle."""


class Recorder:
    """Writes what a Floor is told; give its `record` to the driver."""

    def __init__(self, directory: Path, floor: Floor, *, segment_max_bytes: int = SEGMENT_MAX_BYTES) -> None:
        """`directory` is made if it is not there. Raises OSError."""
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._floor = floor
        self._segment_max_bytes = segment_max_bytes
        self._turn = _last_turn(directory)
        self._file: BinaryIO | None = None
        self._written = 0
        self._again_at_ms = 0
        self._open_next()

    def record(self, now_ms: int, event: events.Event) -> None:
        """Keep a fact that is about to be decided on. A disk that does not take it stops the recording, no call."""
        if self._file is None and now_ms < self._again_at_ms:
            return
        try:
            if self._file is None or self._written > self._segment_max_bytes:
                self._open_next()
            self._write((now_ms, event))
        except OSError as problem:
            log.warning("facts are not recorded for a while", extra={"action": "recorder", "reason": str(problem)})
            self.close()
            self._again_at_ms = now_ms + AGAIN_AFTER_MS

    def close(self) -> None:
        """End the recording."""
        self._let_go()
        self._again_at_ms = sys.maxsize

    def _let_go(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open_next(self) -> None:
        self._let_go()
        turn = 1 - self._turn
        path = self._directory / SEGMENTS[turn]
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(descriptor, "wb", buffering=0)  # a killed process loses nothing that was written
        self._file.write(MAGIC)
        self._written = 0
        self._write(self._floor)
        self._turn = turn  # not before: a disk that is full must not take the other segment too

    def _write(self, value: object) -> None:
        assert self._file is not None
        memory = io.BytesIO()
        _Pickler(memory, protocol=5).dump(value)
        record = memory.getvalue()
        whole = _LENGTH.pack(len(record)) + record
        if self._file.write(whole) != len(whole):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._written += len(record)


@dataclass(frozen=True, slots=True)
class Step:
    """One fact, told again, and what was ordered because of it."""

    now_ms: int
    event: events.Event
    orders: Sequence[effects.Effect]
    floor: Floor  # after it


def replay(path: Path) -> Iterator[Step]:
    """Tell a Floor again what a segment holds.

    Raises what the Floor raised then, with the fact as its note; RingDamaged and OSError.
    """
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise RingDamaged(f"{path}: not a recording of facts")
        floor = _read(file, path)
        if not isinstance(floor, Floor):
            raise RingDamaged(f"{path}: does not begin with the state of a floor")
        while (record := _read(file, path)) is not None:
            now_ms, event = record
            try:
                orders = floor.handle(event, now_ms)
            except Exception as crash:
                crash.add_note(f"{now_ms}  {said(event)}")
                raise
            yield Step(now_ms, event, orders, floor)


def said(thing: events.Event | effects.Effect) -> str:
    """A fact or an order in a line of a trace."""
    match thing:
        case events.LeadsFetched():
            return f"LeadsFetched({[lead.id for lead in thing.leads]}, next={thing.next_due_at_ms})"
        case events.Restored():
            return f"Restored({[a.id for a, _ in thing.attempts]}, {[a.id for _, a, _ in thing.undisposed]})"
        case events.ConfigChanged():
            return "ConfigChanged"
        case events.SwitchUp():
            marks = {True: "+", False: "-"}
            legs = (f"{one.leg}{marks[one.answered]}{marks[one.ours_to_command]}" for one in thing.legs)
            return f"SwitchUp({', '.join(legs)}; gone {[one.leg for one in thing.gone]})"
        case effects.OriginateCustomer():
            return f"OriginateCustomer({thing.leg} {thing.number})"
        case _:
            return repr(thing)


def said_step(event: events.Event, orders: Sequence[effects.Effect]) -> str:
    """A fact and what was ordered of the switch, in a line."""
    ordered = "; ".join(said(order) for order in orders if isinstance(order, effects.SwitchOrder))
    return f"{said(event)}  →  {ordered}" if ordered else said(event)


class _Pickler(pickle.Pickler):
    #: A configuration's read-only mappings cannot be pickled: a plain dict replays the same.
    dispatch_table = copyreg.dispatch_table | {MappingProxyType: lambda mapping: (dict, (dict(mapping),))}


class _CoreOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        of_the_core = module.startswith("engine.core.") and "." not in name
        if of_the_core or (module, name) in _PLAIN:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a recording")


def _read(file: BinaryIO, path: Path) -> Any:
    """The next record; None at the end, also where a killed engine broke off."""
    head = file.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > RECORD_MAX_BYTES:
        raise RingDamaged(f"{path}: a record of {length} bytes at {file.tell()}")
    record = file.read(length)
    if len(record) < length:
        return None
    try:
        return _CoreOnly(io.BytesIO(record)).load()
    except (pickle.UnpicklingError, AttributeError, EOFError, TypeError, ValueError) as problem:
        raise RingDamaged(f"{path}: {problem}") from problem


def _last_turn(directory: Path) -> int:
    """Which segment was written last, so that the next one spares it."""
    ages = [(directory / name).stat().st_mtime_ns if (directory / name).exists() else -1 for name in SEGMENTS]
    return ages.index(max(ages))
