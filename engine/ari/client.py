"""A thin ARI client: one WebSocket for events and requests, HTTP for the requests of an older Asterisk.

Rules that the rest of the engine stands on:

1. The reader decodes a frame and hands it to the sink, nothing more; it never waits. Asterisk closes the socket of a
   reader that keeps it waiting for 100 ms, and what it could not send is gone. When the sink is full, we drop the link
   ourselves: a snapshot after the reconnect is worth more than a gap that nobody knows of.
2. Every request has a deadline and a place in flight. What cannot get one in time is `NotSent`.
3. Nothing is ever sent twice. A lost reply is `DeadlineExceeded` or `LinkLost`; the caller reconciles.
4. Never `subscribeAll`: it can deadlock Asterisk.
"""

import asyncio
import itertools
import logging
import os
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar

import aiohttp
import orjson
from aiohttp import WSMsgType
from yarl import URL

from engine.ari import resources
from engine.ari.errors import AriError, DeadlineExceeded, LinkLost, NotSent, Refused, Unauthorized, Unreadable, refusal
from engine.ari.resources import Application, Json, Request
from engine.backoff import Backoff

R = TypeVar("R")

_Socket = aiohttp.ClientWebSocketResponse[Literal[False]]

_JSON_HEADERS = {"Content-Type": "application/json"}

log = logging.getLogger(__name__)

#: Longest wait for a reply. Asterisk answers in 1 to 40 ms under load; after this it is not well.
REQUEST_DEADLINE_MS = 2_000
#: Requests without a reply yet. Asterisk works them off one by one, so more would only wait on its side.
IN_FLIGHT_MAX = 64
#: Largest frame we take: `GET /channels` with 10,000 channels is about 9 MB.
FRAME_BYTES_MAX = 16 * 1024 * 1024
#: Asterisk closes an idle HTTP connection after 15 s (session_keep_alive); we leave first.
HTTP_IDLE_MS = 5_000
#: The close handshake is a courtesy; a dead peer must not hold up the reconnect.
CLOSE_TIMEOUT_MS = 500
#: The event filter came in 16.3; older ones flood us with what we do not read.
ASTERISK_MIN = (16, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class AriAccount:
    """Where Asterisk's ARI is and who we are there; `url` ends in `/ari`."""

    url: str
    user: str
    secret: str = field(repr=False)
    app: str


@dataclass(frozen=True, slots=True)
class LinkUp:
    """Connected, filtered and subscribed; requests may be sent. `transport` is «websocket» or «http»."""

    version: str
    transport: str
    missing: tuple[str, ...] = ()  # event sources that Asterisk does not have


@dataclass(frozen=True, slots=True)
class LinkDown:
    """The link is gone, or could not be made; `reason` is one line for a person."""

    reason: str


Frame = LinkUp | LinkDown | dict[str, Any]

#: Takes a frame and never waits. False: no room; the link is dropped.
FrameSink = Callable[[Frame], bool]


class AriClient:
    """Keeps one link to Asterisk and carries requests over it."""

    def __init__(
        self,
        account: AriAccount,
        *,
        backoff: Backoff,
        event_types: Iterable[str] = (),
        event_sources: Iterable[str] = (),
        deadline_ms: int = REQUEST_DEADLINE_MS,
        in_flight_max: int = IN_FLIGHT_MAX,
    ) -> None:
        """`event_types`: the only ones wanted (none: all); `event_sources`: such as `endpoint:PJSIP/carrier`."""
        self._account = account
        self._base = URL(account.url)
        self._backoff = backoff
        self._event_types = tuple(event_types)
        self._event_sources = tuple(event_sources)
        self._deadline_ms = deadline_ms
        self._in_flight_max = in_flight_max
        self._places = asyncio.Semaphore(in_flight_max)
        self._link: _Link | None = None
        self._scope: asyncio.Timeout | None = None
        self._drop_reason = ""
        self._left = False
        self._failures = 0

    @property
    def connected(self) -> bool:
        """Whether a request would be sent now."""
        return self._link is not None

    async def run(self, sink: FrameSink) -> None:
        """Connect and stay connected until cancelled; a `LinkDown` follows every `LinkUp` and every failed try."""
        said = ""
        while True:
            reason = await self._serve(sink)
            self._failures += 1
            # One line for a person, however often it is tried; again when something else is the matter.
            level = logging.WARNING if self._failures == 1 or reason != said else logging.DEBUG
            extra = {"action": "ari_down", "reason": reason, "failures": self._failures}
            log.log(level, "ARI link down, nothing is dialed; trying again", extra=extra)
            said = reason
            sink(LinkDown(reason))
            if self._left:
                await asyncio.Event().wait()
            await asyncio.sleep(self._backoff.wait_ms(self._failures) / 1000)

    async def request(self, request: Request[R], *, deadline_ms: int | None = None) -> R:
        """Send one request and return its parsed answer; raises an `AriError`, whose `may_have_acted` says the rest."""
        deadline_ms = deadline_ms or self._deadline_ms
        deadline = asyncio.get_running_loop().time() + deadline_ms / 1000
        if self._places.locked():
            try:
                async with asyncio.timeout_at(deadline):
                    await self._places.acquire()
            except TimeoutError:
                raise NotSent(_name(request), f"no free place in flight for {deadline_ms} ms") from None
        else:
            await self._places.acquire()
        try:
            if self._link is None:
                raise NotSent(_name(request), "no link to Asterisk")
            return await _exchange(self._link, request, deadline_ms, deadline)
        finally:
            self._places.release()

    async def subscribe(self, event_sources: Iterable[str]) -> tuple[str, ...]:
        """Subscribe to these sources, now and at every reconnect; returns those that Asterisk does not have."""
        self._event_sources = tuple(event_sources)
        return await self._subscribe(self.request)

    def drop(self, reason: str) -> None:
        """Give up the present link; `run` makes a new one."""
        if self._scope is not None and not self._scope.expired():
            self._drop_reason = reason
            self._scope.reschedule(0)

    def leave(self, reason: str) -> None:
        """Give up the link for good: nothing is sent any more."""
        self._left = True
        self.drop(reason)

    async def _serve(self, sink: FrameSink) -> str:
        """One link, from connect to loss; returns why it ended, in one line for a person."""
        account = self._account
        try:
            async with _session(account, keep_alive=True) as session, _session(account, keep_alive=False) as fresh:
                http = _HttpLink(session, fresh, self._base)
                version = (await self._set_up(http, resources.asterisk.getInfo())).version
                if not at_least(version, ASTERISK_MIN):
                    return f"Asterisk {version} is too old; {ASTERISK_MIN[0]}.{ASTERISK_MIN[1]} or newer is needed"
                async with session.ws_connect(
                    self._base / "events",
                    params={"app": account.app, "subscribeAll": "false"},
                    max_msg_size=FRAME_BYTES_MAX,
                    decode_text=False,
                    timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_TIMEOUT_MS / 1000),
                ) as socket:
                    await self._filter(http)
                    missing = await self._subscribe(lambda request: self._set_up(http, request))
                    link = _SocketLink(socket) if rest_over_websocket(version) else http
                    return await self._read(socket, link, LinkUp(version, link.transport, missing), sink)
        except Unauthorized:
            return f"Asterisk at {self._base} refused the ARI user name or secret"
        except (AriError, aiohttp.ClientError, OSError, TimeoutError) as error:
            return f"cannot use Asterisk at {self._base}: {str(error) or type(error).__name__}"

    async def _set_up(self, http: "_HttpLink", request: Request[R]) -> R:
        deadline = asyncio.get_running_loop().time() + self._deadline_ms / 1000
        return await _exchange(http, request, self._deadline_ms, deadline)

    async def _filter(self, http: "_HttpLink") -> None:
        if self._event_types:
            # A filter swallows the replies too, unless it names them (seen on 22.10).
            allowed = [{"type": name} for name in (*self._event_types, "RESTResponse")]
            await self._set_up(http, resources.applications.filter(self._account.app, filter={"allowed": allowed}))

    async def _subscribe(self, carry: Callable[[Request[Application]], Awaitable[Application]]) -> tuple[str, ...]:
        missing = []
        for source in self._event_sources:
            try:
                await carry(resources.applications.subscribe(self._account.app, eventSource=source))
            except Refused:
                # A trunk that Asterisk does not have is no reason to leave the others without a dialer.
                missing.append(source)
                log.error("Asterisk does not know an event source", extra={"action": "ari_subscribe", "source": source})  # noqa: TRY400
        return tuple(missing)

    async def _read(self, socket: _Socket, link: "_Link", up: LinkUp, sink: FrameSink) -> str:
        """Hand frames on until the link ends; returns why it ended."""
        try:
            async with asyncio.timeout(None) as self._scope:
                self._link = link
                self._failures = 0
                log.info("ARI link up", extra={"action": "ari_up", "version": up.version, "transport": up.transport})
                fits = sink(up)
                while fits:
                    message = await socket.receive()
                    if message.type is not WSMsgType.TEXT:
                        return f"Asterisk closed the link ({socket.close_code})"
                    frame = _frame(message.data)
                    if frame is None:
                        return "Asterisk sent something that is no event"
                    if frame["type"] == "RESTResponse":
                        link.replied(frame)
                    else:
                        fits = sink(frame)
                return "events come faster than they are worked off"
        except TimeoutError:
            return self._drop_reason
        finally:
            self._scope = None
            self._link = None
            link.lost()


def rest_over_websocket(version: str) -> bool:
    """Whether this Asterisk takes requests over the event socket: since 20.14, 21.9 and 22.4."""
    major, minor = _version(version)
    return major > 22 or minor >= {20: 14, 21: 9, 22: 4}.get(major, 1_000_000)


def at_least(version: str, wanted: tuple[int, int]) -> bool:
    """Whether a version string such as «22.10.1+dfsg» or «certified-20.7-cert6» is `wanted` or newer."""
    return _version(version) >= wanted


def _version(text: str) -> tuple[int, int]:
    found = re.search(r"(\d+)\.(\d+)", text)
    # A build from git names only its branch; what it can do is unknown, so it gets HTTP, which all of them can.
    return (int(found[1]), int(found[2])) if found else (*ASTERISK_MIN,)


class _Link(Protocol):
    """A way to carry requests."""

    transport: str

    async def exchange(self, request: Request[R]) -> tuple[int, Json]:
        """Send, and wait for status and decoded body; raises `LinkLost` or `NotSent`."""

    def replied(self, frame: dict[str, Any]) -> None:
        """A reply frame came over the event socket."""

    def lost(self) -> None:
        """The event socket is gone: nothing more will be answered over it."""


class _SocketLink:
    """Requests and replies as frames among the events, on one ordered connection."""

    transport = "websocket"

    def __init__(self, socket: _Socket) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}

    async def exchange(self, request: Request[R]) -> tuple[int, Json]:
        request_id = str(next(self._ids))
        reply: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = reply
        try:
            try:
                await self._socket.send_frame(request_frame(request, request_id), WSMsgType.TEXT)
            except (aiohttp.ClientError, OSError) as error:
                # Raised before a byte is written: the socket was already closing.
                raise NotSent(_name(request), str(error)) from None
            frame = await reply
        finally:
            self._waiting.pop(request_id, None)
        return frame.get("status_code", 0), _body(request, frame.get("message_body"))

    def replied(self, frame: dict[str, Any]) -> None:
        reply = self._waiting.get(frame.get("request_id", ""))
        if reply is None or reply.done():
            log.warning("ARI reply after its deadline", extra={"action": "ari_late", "uri": frame.get("uri")})
        else:
            reply.set_result(frame)

    def lost(self) -> None:
        for reply in self._waiting.values():
            if not reply.done():
                reply.set_exception(LinkLost("ARI", "the link went down before the reply"))


class _HttpLink:
    """Requests over HTTP, for an Asterisk that cannot take them over the socket, and to set a link up."""

    transport = "http"

    def __init__(self, session: aiohttp.ClientSession, fresh: aiohttp.ClientSession, base: URL) -> None:
        self._session = session
        self._fresh = fresh
        self._base = str(base)

    async def exchange(self, request: Request[R]) -> tuple[int, Json]:
        # On a kept-alive connection that the server is just closing nobody can tell whether a dial arrived; on a fresh
        # one that cannot happen, so a dial gets a connection of its own.
        session = self._fresh if request.once else self._session
        try:
            async with session.request(
                request.method,
                URL(self._base + request.path, encoded=True).with_query(request.query),
                data=None if request.body is None else orjson.dumps(request.body),
                headers=_JSON_HEADERS if request.body is not None else None,
            ) as reply:
                raw = await reply.read()
                return reply.status, _body(request, raw if reply.content_type == "application/json" else None)
        except aiohttp.ClientConnectorError as error:
            raise NotSent(_name(request), os.strerror(error.errno) if error.errno else str(error)) from None
        except (aiohttp.ClientError, OSError) as error:
            raise LinkLost(_name(request), str(error) or type(error).__name__) from None

    def replied(self, frame: dict[str, Any]) -> None:
        """Nothing to do: replies come with their own HTTP exchange."""

    def lost(self) -> None:
        """Nothing to do: exchanges end with their session."""


def request_frame(request: Request[R], request_id: str) -> bytes:
    """The REST-over-WebSocket frame of a request."""
    frame: dict[str, Any] = {
        "type": "RESTRequest",
        "request_id": request_id,
        "method": request.method,
        "uri": request.path[1:],
    }
    if request.query:
        frame["query_strings"] = [{"name": name, "value": value} for name, value in request.query]
    if request.body is not None:
        frame["content_type"] = "application/json"
        frame["message_body"] = orjson.dumps(request.body).decode()
    return orjson.dumps(frame)


async def _exchange(link: _Link, request: Request[R], deadline_ms: int, deadline: float) -> R:
    try:
        async with asyncio.timeout_at(deadline):
            status, body = await link.exchange(request)
    except TimeoutError:
        raise DeadlineExceeded(_name(request), f"no reply for {deadline_ms} ms") from None
    if 200 <= status < 300:
        try:
            return request.parse(body)
        except (KeyError, TypeError) as error:
            raise Unreadable(_name(request), f"an answer that we cannot read: {error!r}") from None
    reason = (body.get("message") or body.get("error") or "") if isinstance(body, dict) else ""
    raise refusal(status, _name(request), str(reason))


def _frame(raw: bytes) -> dict[str, Any] | None:
    try:
        frame = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return frame if isinstance(frame, dict) and "type" in frame else None


def _body(request: Request[R], raw: str | bytes | None) -> Json:
    try:
        return orjson.loads(raw) if raw else None
    except orjson.JSONDecodeError:
        raise Unreadable(_name(request), "an answer that is no JSON") from None


def _session(account: AriAccount, *, keep_alive: bool) -> aiohttp.ClientSession:
    if keep_alive:
        connector = aiohttp.TCPConnector(limit=IN_FLIGHT_MAX, keepalive_timeout=HTTP_IDLE_MS / 1000)
    else:
        connector = aiohttp.TCPConnector(limit=IN_FLIGHT_MAX, force_close=True)
    return aiohttp.ClientSession(
        connector=connector,
        # A header, never the URL: URLs are logged.
        headers={"Authorization": aiohttp.encode_basic_auth(account.user, account.secret, encoding="utf-8")},
        cookie_jar=aiohttp.DummyCookieJar(),
    )


def _name(request: Request[R]) -> str:
    return f"{request.method} {request.template}"
