"""A window into the running engine for whoever may log in to its machine: what each pacer decided last, and why.

A socket beside the database, open to its owner only: no port, no password, nothing on disk. Every second each reader
gets one line of JSON, a list of `PacingView`s. The engine never waits for a reader: a slow one is sent away.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import orjson

from engine.api import Engine

log = logging.getLogger(__name__)

READERS_MAX: Final = 16
EVERY_S: Final = 1.0
#: A reader that has not taken this much is too slow.
UNREAD_MAX_BYTES: Final = 1 << 20
ANSWER_WITHIN_S: Final = 5.0


def path_of(database: Path) -> Path:
    """Where the engine of that database has its window."""
    return database.with_name(database.name + ".window")


@asynccontextmanager
async def open_window(engine: Engine, database: Path) -> AsyncIterator[None]:
    """Let readers look in until the context is left. Whoever opens it holds the database: an old socket is nobody's."""
    path = path_of(database)
    readers: set[asyncio.StreamWriter] = set()

    async def show(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(readers) >= READERS_MAX:
            writer.close()
            return
        readers.add(writer)
        try:
            with contextlib.suppress(OSError):  # They looked away.
                while writer.transport.get_write_buffer_size() < UNREAD_MAX_BYTES and not writer.is_closing():
                    writer.write(orjson.dumps(engine.snapshot().pacing) + b"\n")
                    await asyncio.sleep(EVERY_S)
        finally:
            readers.discard(writer)
            writer.close()

    path.unlink(missing_ok=True)
    before = os.umask(0o177)
    try:
        server = await asyncio.start_unix_server(show, path)
    except OSError as problem:
        # A path that is too long for a socket; nobody can look in, and calls go on.
        log.warning("no window", extra={"action": "window_failed", "reason": str(problem)})
        server = None
    finally:
        os.umask(before)
    try:
        yield
    finally:
        if server is not None:
            server.close()
            for writer in list(readers):
                writer.transport.abort()
            path.unlink(missing_ok=True)


def look(database: Path) -> Iterator[list[dict[str, Any]]]:
    """What the running engine shows, once a second, until it ends. Raises OSError when there is none."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(ANSWER_WITHIN_S)
        link.connect(str(path_of(database)))
        with link.makefile("rb") as lines:
            for line in lines:
                yield orjson.loads(line)
