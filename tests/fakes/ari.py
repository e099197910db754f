"""A small Asterisk: the part of ARI that the engine uses, over real loopback sockets, with faults on demand.

It is held to the same contract tests as a real Asterisk (tests/contract/test_switch.py).
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import WSMsgType, encode_basic_auth, web

USER, SECRET, APP = "engine", "s3cret", "zvonar-test"
TIMESTAMP = "2026-11-22T02:00:00.000+0000"
Query = dict[str, str]
Reply = tuple[int, Any]


@dataclass(slots=True)
class FakeChannel:
    """One channel; `in_app` once it entered Stasis."""

    id: str
    name: str
    state: str = "Down"
    in_app: bool = False
    stub: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    number: str = ""

    def as_json(self) -> dict[str, Any]:
        """The channel as ARI shows it."""
        app_name, app_data = ("Stasis", ",".join((APP, *self.stub))) if self.in_app else ("AppDial2", "(Outgoing Line)")
        return {
            "id": self.id,
            "name": self.name,
            "state": self.state,
            "caller": {"name": "", "number": ""},
            "connected": {"name": "", "number": ""},
            "accountcode": "",
            "dialplan": {
                "context": self.stub[0] if self.stub else "",
                "exten": "",
                "priority": 1,
                "app_name": app_name,
                "app_data": app_data,
            },
            "creationtime": TIMESTAMP,
            "language": "en",
        }


class FakeAri:
    """What a test may set: `version`, `hushed` (path prefixes that get no reply), `fates` (by the last two digits)."""

    def __init__(self) -> None:
        self.version = "22.10.1+fake"
        self.secret = SECRET
        self.url = ""
        self.channels: dict[str, FakeChannel] = {}
        self.bridges: dict[str, list[str]] = {}
        self.sources: list[str] = []
        self.known_endpoints = {"PJSIP/carrier"}
        self.online = frozenset({"carrier"})
        self.filter: list[str] | None = None
        self.requests: list[tuple[str, str, Query]] = []
        self.hushed: set[str] = set()
        self.garbled: set[str] = set()
        self.fates = dict.fromkeys(("03", "06", "09", "10"), "answer") | {"20": "busy", "30": "ring", "40": "dead"}
        self.connects = 0
        self.after_listing: Callable[[], Awaitable[None]] | None = None  # runs between a snapshot and its arrival
        self.closing_requests: list[str] = []
        self.recordings: set[str] = set()
        self.recordings_ending: set[str] = set()  # stopped, and not yet forgotten
        self._socket: web.WebSocketResponse | None = None
        self._transport: asyncio.Transport | None = None
        self._ids = itertools.count(1)
        self._held = asyncio.Event()
        self._held.set()
        self._endings: list[asyncio.Task[None]] = []
        self._timers: list[asyncio.TimerHandle] = []
        self._hush_waits: list[asyncio.Future[None]] = []

    # --- what a test does to it ---------------------------------------------------------------------------------

    def hold(self) -> None:
        """Answer nothing until `go_on`; requests pile up in order."""
        self._held.clear()

    def go_on(self) -> None:
        """Answer again."""
        self._held.set()

    def asked(self, method: str, prefix: str = "") -> list[str]:
        """The paths of the requests seen so far."""
        return [path for seen, path, _ in self.requests if seen == method and path.startswith(prefix)]

    def abort(self) -> None:
        """Cut the event socket without a word, as a crash does."""
        if self._transport is not None:
            self._transport.abort()

    async def emit(self, kind: str, **fields: Any) -> None:
        """Send an event, if the filter lets it pass."""
        if self._socket is None or self._socket.closed or (self.filter is not None and kind not in self.filter):
            return
        event = {"type": kind, "application": APP, "timestamp": TIMESTAMP, **fields}
        await self._send(event)

    async def say(self, text: str) -> None:
        """Send any text over the event socket."""
        assert self._socket is not None
        await self._socket.send_str(text)

    async def ring(self, channel_id: str) -> None:
        """The far phone rings."""
        channel = self.channels[channel_id]
        channel.state = "Ringing"
        await self.emit("ChannelStateChange", channel=channel.as_json())
        await self.emit("Dial", peer=channel.as_json(), dialstring="", dialstatus="RINGING", forward="")

    async def answer(self, channel_id: str) -> None:
        """The far phone answers; the dialplan stub hands the leg to the application."""
        channel = self.channels[channel_id]
        channel.state = "Up"
        await self.emit("ChannelStateChange", channel=channel.as_json())
        await self.emit("Dial", peer=channel.as_json(), dialstring="", dialstatus="ANSWER", forward="")
        channel.in_app = True
        await self.emit("StasisStart", channel=channel.as_json(), args=list(channel.stub))

    async def call_in(self, dialed: str, caller: str) -> str:
        """Somebody calls; the dialplan has answered, and hands the channel to the application. Returns its id."""
        channel = FakeChannel(f"1763971200.{len(self.channels)}", f"PJSIP/carrier-{len(self.channels):08}", "Up")
        channel.in_app, channel.stub = True, ("inbound", dialed, "carrier", caller)
        self.channels[channel.id] = channel
        await self.emit("StasisStart", channel=channel.as_json(), args=list(channel.stub))
        return channel.id

    async def hang_up(self, channel_id: str, cause: int, tech_cause: int | None = None) -> None:
        """The leg ends."""
        channel = self.channels.pop(channel_id)
        for bridge_id, members in self.bridges.items():
            if channel_id in members:
                members.remove(channel_id)
                await self.emit("ChannelLeftBridge", channel=channel.as_json(), bridge=self._bridge(bridge_id))
        if channel.in_app:
            await self.emit("StasisEnd", channel=channel.as_json())
        tech = {} if tech_cause is None else {"tech_cause": tech_cause}
        await self.emit("ChannelDestroyed", channel=channel.as_json(), cause=cause, cause_txt="", **tech)

    # --- its doors ----------------------------------------------------------------------------------------------

    async def _rest(self, request: web.Request) -> web.StreamResponse:
        if not request.keep_alive:
            self.closing_requests.append(request.path)
        if not self._allowed(request):
            return web.json_response({"error": "Authentication required"}, status=401)
        body = await request.read()
        status, value = await self._exchange(request.method, request.path[4:], dict(request.query), body)
        if value is None:
            return web.Response(status=status)
        return web.json_response(value, status=status)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if not self._allowed(request):
            return web.json_response({"error": "Authentication required"}, status=401)
        assert request.query["app"] == APP
        assert request.query["subscribeAll"] == "false"
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._socket, self._transport = socket, request.transport
        self.connects += 1
        async for message in socket:
            assert message.type is WSMsgType.TEXT
            # One reader, one request at a time, in order: as Asterisk does it.
            await self._frame(orjson.loads(message.data))
        return socket

    def _allowed(self, request: web.Request) -> bool:
        assert "api_key" not in request.query, "credentials belong in a header"
        expected = encode_basic_auth(USER, self.secret, encoding="utf-8")
        return request.headers.get("Authorization") == expected

    async def _frame(self, frame: dict[str, Any]) -> None:
        query = {item["name"]: item["value"] for item in frame.get("query_strings", ())}
        body = frame.get("message_body", "").encode()
        if any(f"/{frame['uri']}".startswith(prefix) for prefix in self.hushed):
            await self._dispatch(frame["method"], "/" + frame["uri"], query, body)
            return
        status, value = await self._exchange(frame["method"], "/" + frame["uri"], query, body)
        reply = {"type": "RESTResponse", "request_id": frame["request_id"], "status_code": status, "uri": frame["uri"]}
        if value is not None:
            reply["message_body"] = orjson.dumps(value).decode()
        if self.filter is None or "RESTResponse" in self.filter:
            await self._send(reply)

    async def _send(self, value: dict[str, Any]) -> None:
        if self._socket is not None and not self._socket.closed:
            await self._socket.send_str(orjson.dumps(value).decode())

    async def _exchange(self, method: str, path: str, query: Query, body: bytes) -> Reply:
        await self._held.wait()
        reply = await self._dispatch(method, path, query, body)
        if path in self.garbled:
            return 200, ["not", "what", "you", "expect"]
        if any(path.startswith(prefix) for prefix in self.hushed):
            wait: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._hush_waits.append(wait)
            await wait
        return reply

    # --- what it can do -----------------------------------------------------------------------------------------

    async def _dispatch(  # noqa: C901, PLR0912 - one row per resource
        self, method: str, path: str, query: Query, body: bytes
    ) -> Reply:
        self.requests.append((method, path, query))
        match method, *path[1:].split("/"):
            case "GET", "asterisk", "info":
                return 200, {"system": {"version": self.version}, "status": {"startup_time": TIMESTAMP}}
            case "GET", "channels":
                listed = [channel.as_json() for channel in self.channels.values()]
                if self.after_listing is not None:
                    await self.after_listing()
                    self.after_listing = None
                return 200, listed
            case "GET", "endpoints":
                return 200, [self._endpoint(name) for name in sorted(self.known_endpoints)]
            case "GET", "bridges":
                return 200, [self._bridge(bridge_id) for bridge_id in self.bridges]
            case "POST", "channels":
                return await self._originate(query, body)
            case verb, "channels", channel_id, *operation:
                return await self._channel(verb, channel_id, operation, query)
            case verb, "bridges", *rest:
                return await self._bridges(verb, rest, query)
            case verb, "recordings", "live", name, operation:
                if name in self.recordings_ending:
                    self.recordings_ending.remove(name)
                    return 409, {"message": "Recording not in session"}
                if name not in self.recordings:
                    return 404, {"message": "Recording not found"}
                if operation == "stop":
                    self.recordings.remove(name)
                    self.recordings_ending.add(name)
                return 204, None
            case verb, "applications", _, *operation:
                return self._application(verb, operation, query, body)
            case _:
                return 404, {"message": "Resource not found"}

    async def _originate(self, query: Query, body: bytes) -> Reply:
        assert "app" not in query, "a customer is dialed into the dialplan"
        technology, _, rest = query["endpoint"].partition("/")
        number, _, trunk = rest.rpartition("@")
        if f"{technology}/{trunk}" not in self.known_endpoints:
            return 500, {"error": "Allocation failed"}
        if query["channelId"] in self.channels:
            return 409, {"message": "Channel with given unique ID already exists"}
        variables = orjson.loads(body)["variables"] if body else {}
        role = query["context"].removeprefix("zvonar-")
        stub = (role, variables.get("ZV_ATTEMPT") or variables.get("ZV_AGENT", ""))
        channel = FakeChannel(
            query["channelId"], f"PJSIP/{trunk}-{next(self._ids):08x}", stub=stub, variables=variables
        )
        channel.number = number
        self.channels[channel.id] = channel
        await self.emit("ChannelCreated", channel=channel.as_json())
        await self.emit("Dial", peer=channel.as_json(), dialstring="", dialstatus="", forward="")
        match self.fates.get(number[-2:]):
            case "busy":
                await self.hang_up(channel.id, 17, 486)
            case "dead":
                await self.hang_up(channel.id, 1, 404)
            case "answer":
                await self.ring(channel.id)
                await self.answer(channel.id)
            case "ring":
                await self.ring(channel.id)
                self._later(float(query.get("timeout", 30)), channel.id, 19)
            case _:
                pass  # Silence on the line.
        return 200, channel.as_json()

    def _later(self, after_s: float, channel_id: str, cause: int) -> None:
        loop = asyncio.get_running_loop()

        def end() -> None:
            if channel_id in self.channels:
                self._endings.append(loop.create_task(self.hang_up(channel_id, cause)))

        self._timers.append(loop.call_later(after_s, end))

    def _judge(self, channel: FakeChannel) -> None:
        async def back() -> None:
            channel.in_app = True
            word = {"03": "HUMAN", "10": "MACHINE"}.get(channel.number[-2:], "NOTSURE")
            args = ["screened", channel.variables.get("ZV_ATTEMPT", ""), word]
            await self.emit("StasisStart", channel=channel.as_json(), args=args)

        if channel.id in self.channels:
            self._endings.append(asyncio.get_running_loop().create_task(back()))

    async def _channel(self, verb: str, channel_id: str, operation: list[str], query: Query) -> Reply:
        channel = self.channels.get(channel_id)
        if channel is None:
            return 404, {"message": "Channel not found"}
        match verb, *operation:
            case ("GET",):
                return 200, channel.as_json()
            case ("DELETE",):
                await self.hang_up(channel_id, 16)
                return 204, None
            case "POST", "continue" if channel.in_app:
                channel.in_app = False
                channel.stub = (query["context"],)
                await self.emit("StasisEnd", channel=channel.as_json())
                if channel.number.endswith("09") and query["context"] == "zvonar-message":
                    said = {"eventname": "ZvonarOptOut", "userevent": {}}
                    await self.emit("ChannelUserevent", channel=channel.as_json(), **said)
                if query["context"] == "zvonar-amd":
                    self._timers.append(asyncio.get_running_loop().call_later(0.2, self._judge, channel))
                else:
                    self._later(0.01, channel_id, 16)  # The message is short.
                return 204, None
            case "POST", "play" if channel.in_app:
                return 201, {"id": query.get("playbackId", "p"), "state": "queued"}
            case _, "moh" | "mute" | "hold" | "dtmf" | "variable" if channel.in_app:
                return 204, None
            case _:
                return 409, {"message": "Channel not in Stasis application"}

    async def _add(self, channel_id: str, bridge_id: str) -> Reply:
        channel = self.channels.get(channel_id)
        if channel is None:
            return 400, {"message": "Channel not found"}
        if not channel.in_app:
            return 409, {"message": "Channel not in Stasis application"}
        for members in self.bridges.values():  # a channel is in one bridge
            members[:] = [member for member in members if member != channel.id]
        self.bridges[bridge_id].append(channel.id)
        await self.emit("ChannelEnteredBridge", channel=channel.as_json(), bridge=self._bridge(bridge_id))
        return 204, None

    async def _bridges(self, verb: str, rest: list[str], query: Query) -> Reply:
        if verb == "POST" and not rest:
            self.bridges.setdefault(query["bridgeId"], [])
            return 200, self._bridge(query["bridgeId"])
        bridge_id = rest[0]
        if bridge_id not in self.bridges:
            return 404, {"message": "Bridge not found"}
        match verb, *rest[1:]:
            case ("DELETE",):
                del self.bridges[bridge_id]
                return 204, None
            case "POST", "record":
                if query["name"] in self.recordings:
                    return 409, {"message": "Recording already in progress"}
                self.recordings.add(query["name"])
                return 201, {"name": query["name"], "state": "queued"}
            case "POST", "play":
                return 201, {"id": "p", "state": "queued"}
            case "POST", "addChannel":
                return await self._add(query["channel"], bridge_id)
            case "POST", "removeChannel":
                if query["channel"] not in self.bridges[bridge_id]:
                    return 422, {"message": "Channel not in this bridge"}
                self.bridges[bridge_id].remove(query["channel"])
                left = self.channels[query["channel"]].as_json()
                await self.emit("ChannelLeftBridge", channel=left, bridge=self._bridge(bridge_id))
                return 204, None
            case _:
                return 404, {"message": "Resource not found"}

    def _application(self, verb: str, operation: list[str], query: Query, body: bytes) -> Reply:
        application = {"name": APP, "endpoint_ids": self.sources, "channel_ids": []}
        match verb, *operation:
            case "PUT", "eventFilter":
                self.filter = [item["type"] for item in orjson.loads(body)["allowed"]]
            case "POST", "subscription":
                source = query["eventSource"].removeprefix("endpoint:")
                if source not in self.known_endpoints:
                    return 422, {"message": "Event source does not exist"}
                if source not in self.sources:
                    self.sources.append(source)
            case _:
                pass  # A look, no change.
        return 200, application

    def _endpoint(self, name: str) -> dict[str, Any]:
        technology, _, resource = name.partition("/")
        state = "online" if resource in self.online else "offline"
        return {"technology": technology, "resource": resource, "state": state, "channel_ids": []}

    async def register(self, phone: str, contact_status: str) -> None:
        """A phone's contact changes."""
        self.online = self.online | {phone} if contact_status == "Reachable" else self.online - {phone}
        info = {"uri": f"sip:{phone}@127.0.0.1", "contact_status": contact_status, "aor": phone, "roundtrip_usec": "0"}
        await self.emit("ContactStatusChange", endpoint=self._endpoint(f"PJSIP/{phone}"), contact_info=info)

    def _bridge(self, bridge_id: str) -> dict[str, Any]:
        return {"id": bridge_id, "bridge_type": "mixing", "channels": list(self.bridges[bridge_id])}


@asynccontextmanager
async def running(fake: FakeAri) -> AsyncIterator[FakeAri]:
    """Serve `fake` on a free loopback port; its `url` is set."""
    app = web.Application()
    app.router.add_get("/ari/events", fake._events)
    app.router.add_route("*", "/ari/{tail:.*}", fake._rest)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    fake.url = f"http://{host}:{port}/ari"
    try:
        yield fake
    finally:
        for timer in fake._timers:
            timer.cancel()
        for waiting in (*fake._hush_waits, *fake._endings):
            waiting.cancel()
        fake.go_on()
        fake.abort()
        await runner.cleanup()
