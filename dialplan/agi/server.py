"""A FastAGI server on panoramisk's requests and routes, with limits, for the caller waits meanwhile."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Final

from panoramisk import fast_agi

from dialplan.agi.caller import find_caller
from dialplan.agi.message import message_now, numbering_of
from engine.clock import WallClock
from engine.store.errors import StoreError

log = logging.getLogger(__name__)

#: Scripts at once; a further caller is served without a script.
CALLS_MAX: Final = 100
#: Longest a caller waits for a script.
SCRIPT_DEADLINE_MS: Final = 3_000
#: Asterisk sends about 25 header lines of well under 100 bytes.
HEADER_BYTES_MAX: Final = 16 * 1024

_UNSAFE: Final = {code: None for code in (*range(32), 127)} | {ord('"'): "'", ord("\\"): "/"}


class AgiServer(fast_agi.Application):  # type: ignore[misc]
    """Routes by script name: `AGI(agi://host/caller)` in the dialplan."""

    def __init__(self, database: Path, config: Path | None = None, *, deadline_ms: int = SCRIPT_DEADLINE_MS) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self._database = database
        self._config = config
        self._deadline_ms = deadline_ms
        self._calls = 0
        self.add_route("caller", self.caller)
        self.add_route("inbound", self.inbound)

    async def handler(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection; whatever goes wrong, the dialplan goes on."""
        self._calls += 1
        try:
            if self._calls > CALLS_MAX:
                log.warning("too many AGI calls", extra={"action": "agi_full", "calls_max": CALLS_MAX})
                return
            async with asyncio.timeout(self._deadline_ms / 1000):
                await self._serve(reader, writer)
        except TimeoutError:
            log.warning("AGI script too slow", extra={"action": "agi_slow", "deadline_ms": self._deadline_ms})
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError) as error:
            log.info("AGI link broken", extra={"action": "agi_broken", "reason": str(error)})
        finally:
            self._calls -= 1
            writer.close()

    async def caller(self, request: fast_agi.Request) -> None:
        """Set ZV_CALLER_KNOWN (0 or 1), and of a known caller ZV_CALLER_LEAD, _NAME, _CAMPAIGN and _OWNER."""
        try:
            calls = request.headers.get("agi_callerid", "")
            found = await asyncio.to_thread(lambda: find_caller(self._database, calls, numbering_of(self._config)))
        except StoreError as error:
            log.warning("caller not looked up", extra={"action": "agi_store", "reason": str(error)})
            found = None
        if found is not None:
            await set_variable(request, "ZV_CALLER_LEAD", str(found.lead))
            await set_variable(request, "ZV_CALLER_NAME", found.name)
            await set_variable(request, "ZV_CALLER_CAMPAIGN", found.campaign)
            await set_variable(request, "ZV_CALLER_OWNER", found.owner)
        await set_variable(request, "ZV_CALLER_KNOWN", "0" if found is None else "1")

    async def inbound(self, request: fast_agi.Request) -> None:
        """Set ZV_MESSAGE to what the queue of the dialed number (the script's argument) says now, and ZV_OPEN."""
        found = None
        if self._config is not None:
            dialed = request.headers.get("agi_arg_1", "")
            found = await asyncio.to_thread(message_now, self._config, dialed, WallClock().now_ms())
        if found is not None:
            await set_variable(request, "ZV_OPEN", "1" if found.open else "0")
            await set_variable(request, "ZV_MESSAGE", found.sound)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Not panoramisk's own reading: that spins for ever on a connection closed half-way.
        head = (await reader.readuntil(b"\n\n")).decode(errors="replace")
        headers = dict(line.split(": ", 1) for line in head.splitlines() if ": " in line)
        script = headers.get("agi_network_script", "")
        route = self._route.get(script)
        if route is None:
            log.error("no such AGI script", extra={"action": "agi_unknown", "script": script})
            return
        await route(fast_agi.Request(app=self, headers=headers, reader=reader, writer=writer))


async def set_variable(request: fast_agi.Request, name: str, value: str) -> None:
    """Set a channel variable; what would end the quotes or the line is left out of the value."""
    await request.send_command(f'SET VARIABLE {name} "{value.translate(_UNSAFE)}"')


async def serve(database: Path, host: str, port: int, config: Path | None = None) -> asyncio.Server:
    """Listen; port 0 takes a free one."""
    return await asyncio.start_server(AgiServer(database, config).handler, host, port, limit=HEADER_BYTES_MAX)
