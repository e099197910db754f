"""The live socket without a socket: what a feed remembers, what a new reader gets, what a browser may say.

Frames to the browser are JSON objects `{v, seq, type, …}`. State travels in numbered frames of one *feed* (the desk of
one operator, or the floor): `seq` grows by one, a reader that missed some gets them again, and one that missed too many
gets a `snapshot` instead. Answers (`ack`, `nack`), `ping` and `bye` belong to one socket; they carry the feed's current
`seq` and move nothing.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any, Final

PROTOCOL_VERSION: Final = 1
#: Frames that a feed keeps for a reader who was away; one who missed more gets a snapshot.
FRAMES_KEPT_MAX: Final = 500
#: …and their size together: hundreds of desks stay in memory.
CHARS_KEPT_MAX: Final = 48_000
#: More missed frames than this, and the snapshot is shorter.
FRAMES_RESENT_MAX: Final = 32
#: Frames that may wait for one browser; more, and its socket is closed with 1013.
FRAMES_PER_BROWSER_MAX: Final = 64
#: The longest message a browser may send: a note of NOTE_CHARS_MAX with its envelope.
MESSAGE_BYTES_MAX: Final = 64 * 1024
NOTE_CHARS_MAX: Final = 8_000
PING_EVERY_MS: Final = 10_000
#: Silence after which either side takes the other for dead.
DEAD_AFTER_MS: Final = 25_000

_COMMAND_ID: Final = re.compile(r"[A-Za-z0-9-]{8,64}")


class Close(IntEnum):
    """Close codes of the live socket; the browser reconnects after all of them but the last four."""

    RESTART = 1012
    OVERFLOW = 1013
    BAD_MESSAGE = 1008
    SIGNED_OUT = 4001
    TAKEN_OVER = 4002
    OCCUPIED = 4003


class Verb(StrEnum):
    """What a browser may ask for over the socket."""

    LOGIN = "login"
    READY = "ready"
    PAUSE = "pause"
    LOGOUT = "logout"
    DIAL = "dial"
    SKIP = "skip"
    HANGUP = "hangup"
    HOLD = "hold"
    MUTE = "mute"
    DIGITS = "digits"
    RECORD = "record"
    TRANSFER = "transfer"
    CONSULT = "consult"
    ANSWER = "answer"
    DISPOSE = "dispose"
    ATTACH = "attach"
    CALLER = "caller"
    DRAFT = "draft"
    CAMPAIGN = "campaign"
    NEXT = "next"


class BadMessage(Exception):
    """The browser said something that our own page never says."""


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message: what the reader has. `desk` names the feed it has it of, `browser` the reader's computer.

    `take`: the person asked for the desk, also if another computer has it.
    """

    since: int
    desk: str
    build: str
    browser: str
    take: bool = False


@dataclass(frozen=True, slots=True)
class Do:
    """A command with the id that makes it happen once."""

    id: str
    verb: Verb
    args: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Pong:
    """Sign of life."""


Message = Hello | Do | Pong


def read_message(text: str) -> Message:
    """The message in `text`. Raises BadMessage."""
    if len(text) > MESSAGE_BYTES_MAX:
        raise BadMessage("message too long")
    try:
        raw = json.loads(text)
    except ValueError as error:
        raise BadMessage("not JSON") from error
    match raw:
        case {"type": "pong"}:
            return Pong()
        case {"type": "hello", "since": int(since), "desk": str(desk), "build": str(build), "browser": str(browser)}:
            return Hello(since, desk[:80], build[:80], browser[:80], raw.get("take") is True)
        case {"type": "do", "id": str(command), "verb": str(verb), "args": dict(args)}:
            if not _COMMAND_ID.fullmatch(command):
                raise BadMessage("bad command id")
            try:
                return Do(command, Verb(verb), args)
            except ValueError as error:
                raise BadMessage("no such verb") from error
        case _:
            raise BadMessage("unknown message")


class Overflow(Exception):
    """A browser read too slowly: close its socket, it will come back for a snapshot."""


@dataclass(slots=True)
class Outbox:
    """Frames that wait for one browser."""

    waiting: deque[str] = field(default_factory=deque)

    def put(self, frame: str) -> None:
        """Add a frame. Raises Overflow, and then holds nothing."""
        if len(self.waiting) >= FRAMES_PER_BROWSER_MAX:
            self.waiting.clear()
            raise Overflow
        self.waiting.append(frame)

    def take(self) -> str | None:
        """The oldest frame, or None."""
        return self.waiting.popleft() if self.waiting else None


class Feed:
    """One numbered stream of frames. `name` is unique per server start, so an old `seq` cannot fit by chance."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.seq = 0
        self._kept: deque[tuple[int, str]] = deque(maxlen=FRAMES_KEPT_MAX)
        self._kept_chars = 0

    def publish(self, kind: str, **content: object) -> str:
        """A new frame, numbered and remembered."""
        self.seq += 1
        frame = self.frame(kind, **content)
        if len(self._kept) == FRAMES_KEPT_MAX:
            self._kept_chars -= len(self._kept[0][1])
        self._kept.append((self.seq, frame))
        self._kept_chars += len(frame)
        while self._kept_chars > CHARS_KEPT_MAX:
            self._kept_chars -= len(self._kept.popleft()[1])
        return frame

    def frame(self, kind: str, **content: object) -> str:
        """A frame that is not part of the stream: an answer, a ping, a snapshot."""
        return json.dumps({"v": PROTOCOL_VERSION, "seq": self.seq, "type": kind, **content}, ensure_ascii=False)

    def missed(self, hello: Hello) -> list[str] | None:
        """What the reader lacks; None when only a snapshot can help."""
        if hello.desk != self.name or hello.since > self.seq or hello.since < 0:
            return None
        if hello.since == self.seq:
            return []
        if not self._kept or self._kept[0][0] > hello.since + 1 or self.seq - hello.since > FRAMES_RESENT_MAX:
            return None
        return [frame for seq, frame in self._kept if seq > hello.since]
