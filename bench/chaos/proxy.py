"""A bad line to Asterisk: an ARI proxy that can cut, delay, swallow requests and lose replies."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson
from aiohttp import WSMsgType, web

FRAME_BYTES_MAX = 16 * 1024 * 1024


class BadLine:
    """One engine's way to ARI. Faults are attributes; they hold until they are taken back."""

    def __init__(self, upstream: str) -> None:
        """`upstream`: Asterisk's `http://host:port`."""
        self._upstream = upstream
        self.way: aiohttp.ClientSession | None = None
        self._transports: set[asyncio.Transport] = set()
        self._lost_ids: set[str] = set()
        self.swallow = ""  # requests whose path begins so never reach Asterisk
        self.lose_dials = 0  # so many replies to dials are eaten after Asterisk took them
        self.delay_s = 0.0  # of every reply and event
        self.seen: Counter[str] = Counter()  # dials that passed, replies eaten, requests swallowed, cuts

    def cut(self) -> int:
        """Reset every connection, as a network does; returns how many there were."""
        cut = 0
        for transport in list(self._transports):
            transport.abort()
            cut += 1
        self.seen["cuts"] += bool(cut)
        return cut

    async def http(self, request: web.Request) -> web.StreamResponse:
        """A plain request, or the socket."""
        try:
            if request.headers.get("Upgrade", "").lower() == "websocket":
                return await self._socket(request)
            return await self._plain(request)
        except aiohttp.ClientConnectionError:
            return web.Response(status=web.HTTPBadGateway.status_code)  # Asterisk is dead

    async def _plain(self, request: web.Request) -> web.StreamResponse:
        assert self.way is not None
        if self._swallowed(request.path.removeprefix("/ari/")):
            await asyncio.Event().wait()
        body = await request.read()
        headers = {name: request.headers[name] for name in ("Authorization", "Content-Type") if name in request.headers}
        async with self.way.request(
            request.method, self._upstream + request.path_qs, headers=headers, data=body or None
        ) as reply:
            raw = await reply.read()
            await asyncio.sleep(self.delay_s)
            return web.Response(status=reply.status, body=raw, content_type=reply.content_type)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        assert self.way is not None
        near = web.WebSocketResponse(max_msg_size=FRAME_BYTES_MAX)
        headers = {"Authorization": request.headers["Authorization"]}
        async with self.way.ws_connect(
            self._upstream + request.path_qs, headers=headers, max_msg_size=FRAME_BYTES_MAX
        ) as far:
            await near.prepare(request)
            assert isinstance(request.transport, asyncio.Transport)
            self._transports.add(request.transport)
            try:
                async with asyncio.TaskGroup() as group:
                    held: asyncio.Queue[tuple[float, str]] = asyncio.Queue()
                    ways = (self._there(near, far), self._back(far, held), self._let_go(held, near))
                    pumps = [group.create_task(way, name="bad-line") for way in ways]
                    await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
                    for pump in pumps:
                        pump.cancel()
            except* (aiohttp.ClientError, ConnectionError):
                self.seen["broken"] += 1
            finally:
                self._transports.discard(request.transport)
            await near.close()
        return near

    async def _there(self, near: web.WebSocketResponse, far: aiohttp.ClientWebSocketResponse) -> None:
        async for message in near:
            frame = orjson.loads(message.data)
            if self._swallowed(frame["uri"]):
                continue
            if frame["method"] == "POST" and frame["uri"] == "channels":
                self.seen["dials"] += 1
                if self.lose_dials > 0:
                    self.lose_dials -= 1
                    self._lost_ids.add(frame["request_id"])
            await far.send_str(message.data)

    async def _back(self, far: aiohttp.ClientWebSocketResponse, held: asyncio.Queue[tuple[float, str]]) -> None:
        async for message in far:
            if message.type is not WSMsgType.TEXT:
                continue
            if self._lost_ids:
                frame: dict[str, Any] = orjson.loads(message.data)
                if frame.get("request_id") in self._lost_ids:
                    self._lost_ids.discard(frame["request_id"])
                    self.seen["eaten"] += 1
                    continue
            held.put_nowait((asyncio.get_running_loop().time() + self.delay_s, message.data))

    async def _let_go(self, held: asyncio.Queue[tuple[float, str]], near: web.WebSocketResponse) -> None:
        """Late, and as many at a time as came: a slow line, not a narrow one."""
        while True:
            due_s, text = await held.get()
            await asyncio.sleep(due_s - asyncio.get_running_loop().time())
            await near.send_str(text)

    def _swallowed(self, path: str) -> bool:
        if not self.swallow or not path.startswith(self.swallow):
            return False
        self.seen["swallowed"] += 1
        return True


@asynccontextmanager
async def bad_line(upstream: str, port: int) -> AsyncIterator[BadLine]:
    """Listening on a loopback port for the length of the scope."""
    line = BadLine(upstream)
    app = web.Application(client_max_size=FRAME_BYTES_MAX)
    app.router.add_route("*", "/{path:.*}", line.http)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        line.way = http
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        try:
            yield line
        finally:
            await runner.cleanup()
