"""What integration tests need of real switches: free ports, Asterisks that end with the test, ARI by hand."""

import asyncio
import contextlib
import inspect
import json
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar, overload

import aiohttp

from asterisk.conf import AsteriskInstance, Phone
from asterisk.instance import Asterisk, find_binary
from asterisk.journal import CarriedCall, Entry, carried_calls, read_journal
from asterisk.pair import RTP_PORTS_EACH, PairPorts

# Robot and test phones that the engine's Asterisk knows.
PHONES = tuple(
    Phone(name=f"{number}", password=f"phone-{number}", caller_id=f"Desk {number}") for number in range(101, 113)
)
#: What a machine that does other things too may add to a time that people wait. The rules' own margins are tested in
#: virtual time; here it is seen that Asterisk does what was ordered, when it was ordered.
LATE_MS = 500


@dataclass(frozen=True, slots=True)
class AsteriskPair:
    """Both switches of a test session; the trunk between them is called `carrier`."""

    engine: Asterisk
    carrier: Asterisk

    @property
    def ari_url(self) -> str:
        return self.engine.instance.ari_url

    def journal(self) -> list[Entry]:
        """What the engine's Asterisk wrote by itself."""
        return read_journal(self.engine.instance.paths.journal)[0]

    def carried(self) -> list[CarriedCall]:
        """The carrier's independent record of calls."""
        return carried_calls(read_journal(self.carrier.instance.paths.journal)[0])


def free_ports(count: int) -> list[int]:
    """Ports free for UDP and TCP; `ZVONAR_TEST_PORT` names the first one to try."""
    first = int(os.environ.get("ZVONAR_TEST_PORT") or 20_000 + os.getpid() % 10_000)
    found = (port for port in range(first, first + 100 * count) if _is_free(port))
    return list(islice(found, count))


def free_pair_ports() -> PairPorts:
    """Ports for one pair of switches."""
    sip, ari, ami, carrier_sip, carrier_ari, carrier_ami = free_ports(6)
    rtp = 30_000 + (sip % 7) * 2 * RTP_PORTS_EACH
    return PairPorts(
        sip=sip, ari=ari, ami=ami, carrier_sip=carrier_sip, carrier_ari=carrier_ari, carrier_ami=carrier_ami, rtp=rtp
    )


@contextlib.asynccontextmanager
async def running(*instances: AsteriskInstance, major: int = 22) -> AsyncIterator[list[Asterisk]]:
    """Asterisks for the length of a `with`; they never outlive the test process."""
    switches = [Asterisk(instance, find_binary(major), die_with_parent=True) for instance in instances]
    try:
        for switch in switches:
            await switch.start()
        yield switches
    finally:
        for switch in switches:
            await switch.stop()


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


class RawAri:
    """ARI as Asterisk serves it, without our client: requests by HTTP, events as they come."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = url
        self.events: list[dict[str, Any]] = []

    async def ask(self, method: str, path: str, *, body: dict[str, Any] | None = None, **query: str) -> tuple[int, Any]:
        """Status and answer."""
        async with self._http.request(method, f"{self._url}/{path}", params=query, json=body) as response:
            return response.status, await response.json() if response.content_length else None

    async def originate(
        self, endpoint: str, channel_id: str, context: str, *, timeout_s: int = 30, **variables: str
    ) -> int:
        """Originate to the stub in `context`; the status."""
        query = {"endpoint": endpoint, "channelId": channel_id, "context": context, "timeout": str(timeout_s)}
        body = {"variables": variables}
        status, _ = await self.ask("POST", "channels", body=body, extension="s", priority="1", **query)
        return status

    async def hang_up(self, channel_id: str) -> None:
        """End a channel, if it lives."""
        await self.ask("DELETE", f"channels/{channel_id}")

    def of(self, channel_id: str, kind: str) -> dict[str, Any] | None:
        """The first event of this kind for this channel."""
        return next(
            (event for event in self.events if event["type"] == kind and event["channel"]["id"] == channel_id), None
        )

    async def event(self, channel_id: str, kind: str, *, timeout_s: float = 15.0) -> dict[str, Any]:
        """The first event of this kind for this channel, waited for."""
        return await until(lambda: self.of(channel_id, kind), timeout_s=timeout_s)

    async def listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Keep the events that are about a channel."""
        async for message in socket:
            event = json.loads(message.data)
            if "channel" in event:
                self.events.append(event)


@contextlib.asynccontextmanager
async def raw_ari(switch: Asterisk, *, app: str | None = None) -> AsyncIterator[RawAri]:
    """A raw connection to a switch; with `app`, a registered application that watches the trunk too."""
    secrets = switch.secrets
    headers = {"Authorization": aiohttp.encode_basic_auth(secrets.ari_user, secrets.ari_password)}
    async with aiohttp.ClientSession(headers=headers) as http:
        ari = RawAri(http, switch.instance.ari_url)
        if app is None:
            yield ari
            return
        async with http.ws_connect(f"{switch.instance.ari_url}/events", params={"app": app}) as socket:
            listener = asyncio.create_task(ari.listen(socket))
            await ari.ask("POST", f"applications/{app}/subscription", eventSource="endpoint:PJSIP/carrier")
            yield ari
            await socket.close()
            await listener


@contextlib.asynccontextmanager
async def ami(switch: Asterisk, user: str, secret: str) -> AsyncIterator[Callable[..., Awaitable[str]]]:
    """A manager connection: `await ask(action, Field=value)` is the answer; PermissionError: the log-in was refused."""
    reader, writer = await asyncio.open_connection("127.0.0.1", switch.instance.ami_port)

    async def ask(action: str, **fields: str) -> str:
        lines = [f"Action: {action}", "ActionID: 1", *(f"{name}: {value}" for name, value in fields.items())]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        async with asyncio.timeout(15):
            while True:
                answer = (await reader.readuntil(b"\r\n\r\n")).decode()
                if "Response: " in answer:
                    return answer

    try:
        if "Response: Success" not in await ask("Login", Username=user, Secret=secret):
            raise PermissionError(user)
        yield ask
    finally:
        writer.close()
        await writer.wait_closed()


T = TypeVar("T")


@overload
async def until(probe: Callable[[], Awaitable[T | None]], *, timeout_s: float = ...) -> T: ...
@overload
async def until(probe: Callable[[], T | None], *, timeout_s: float = ...) -> T: ...
async def until(probe: Callable[[], Any], *, timeout_s: float = 15.0) -> Any:
    """The first true answer of `probe`, asked again and again; fails with the last answer."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = probe()
        value = await answer if inspect.isawaitable(answer) else answer
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {timeout_s} s; the last answer was {value!r}"
        await asyncio.sleep(0.02)


class SilentPeer(asyncio.DatagramProtocol):
    """A carrier that takes every packet and never says a word, not even 100 Trying."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.port = 0
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.port = int(transport.get_extra_info("sockname")[1])
        self._transport = transport

    def send(self, text: str, port: int) -> None:
        """Break the silence once."""
        self._transport.sendto(text.encode(), ("127.0.0.1", port))

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.heard.append(data.decode(errors="replace"))


@contextlib.asynccontextmanager
async def silent_peer() -> AsyncIterator[SilentPeer]:
    """A dead carrier on a port of its own."""
    loop = asyncio.get_running_loop()
    transport, peer = await loop.create_datagram_endpoint(SilentPeer, local_addr=("127.0.0.1", 0))
    try:
        yield peer
    finally:
        transport.close()
