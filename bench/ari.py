"""Originates per second of our ARI client, beside raw aiohttp over the same WebSocket and asyncari over HTTP.

One private Asterisk 22, one callee that answers 486 at once, all contenders in one process and event loop (uvloop), in
rounds that take turns. A round: `--calls` originates with at most IN_FLIGHT_MAX waiting, timed from the first request
to the last reply; then wait until Asterisk has no channel left. Every contender reads the same filtered events of the
trunk. CPU is this process's, from the first request until the last call is gone.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.util
import itertools
import json
import logging
import random
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import aiohttp
import orjson
import uvloop

from asterisk.conf import Trunk
from asterisk.instance import Asterisk, find_binary
from asterisk.pair import PairPorts, engine_asterisk
from engine.ari import resources as ari
from engine.ari import wire
from engine.ari.client import IN_FLIGHT_MAX, AriAccount, AriClient, Frame
from engine.backoff import Backoff

ROUNDS, CALLS = 20, 200
#: asyncari is several times slower; every so many rounds are enough to know it.
ASYNCARI_EVERY = 4
RATIO_MIN = 0.9
NO_CALLS_WAIT_S = 30.0
TRUNK = "refuser"

Dial = Callable[[str], Awaitable[Any]]
Contender = Callable[[AriAccount], AbstractAsyncContextManager[Dial]]


@asynccontextmanager
async def ours(account: AriAccount) -> AsyncIterator[Dial]:
    """The engine's client."""
    client = AriClient(
        account,
        backoff=Backoff(chance=random.random),
        event_types=wire.EVENT_TYPES,
        event_sources=[f"endpoint:PJSIP/{TRUNK}"],
        deadline_ms=30_000,
    )
    up = asyncio.Event()

    def sink(frame: Frame) -> bool:
        if isinstance(frame, dict):
            wire.event_of(frame)
        else:
            up.set()
        return True

    async def dial(channel_id: str) -> None:
        await client.request(ari.channels.originate(**parameters(channel_id)))

    async with asyncio.TaskGroup() as group:
        running = group.create_task(client.run(sink), name="ours")
        await up.wait()
        yield dial
        running.cancel()


@asynccontextmanager
async def raw(account: AriAccount) -> AsyncIterator[Dial]:
    """The least that works: frames out, frames in, a dict of futures; no deadlines, no errors, no types."""
    waiting: dict[str, asyncio.Future[Any]] = {}
    ids = itertools.count(1)
    places = asyncio.Semaphore(IN_FLIGHT_MAX)
    async with (
        admin(account) as session,
        asyncio.TaskGroup() as group,
        session.ws_connect(
            f"{account.url}/events", params={"app": account.app, "subscribeAll": "false"}, decode_text=False
        ) as socket,
    ):
        await subscribe(session, account)

        async def read() -> None:
            async for message in socket:
                frame = orjson.loads(message.data)
                if frame["type"] == "RESTResponse":
                    waiting.pop(frame["request_id"]).set_result(frame)

        async def dial(channel_id: str) -> None:
            async with places:
                request_id = str(next(ids))
                waiting[request_id] = reply = asyncio.get_running_loop().create_future()
                query = [{"name": name, "value": str(value)} for name, value in parameters(channel_id).items()]
                request = {"type": "RESTRequest", "request_id": request_id, "method": "POST", "uri": "channels"}
                await socket.send_str(orjson.dumps({**request, "query_strings": query}).decode())
                answer = await reply
                assert answer["status_code"] == 200, answer

        reader = group.create_task(read(), name="raw-reader")
        yield dial
        reader.cancel()


@asynccontextmanager
async def asyncari_client(account: AriAccount) -> AsyncIterator[Dial]:
    """asyncari, as its documentation says; it sends over HTTP."""
    import asyncari

    places = asyncio.Semaphore(IN_FLIGHT_MAX)
    base = account.url.removesuffix("ari")
    async with (
        admin(account) as session,
        asyncari.connect(base, account.app, account.user, account.secret) as client,
    ):
        await subscribe(session, account)

        async def dial(channel_id: str) -> None:
            async with places:
                await client.channels.originate(**parameters(channel_id))

        yield dial


def parameters(channel_id: str) -> dict[str, Any]:
    """The same dial for all."""
    return {
        "endpoint": f"PJSIP/+380440000020@{TRUNK}",
        "context": "zvonar-customer",
        "extension": "s",
        "priority": 1,
        "channelId": channel_id,
        "timeout": 20,
    }


def admin(account: AriAccount) -> aiohttp.ClientSession:
    """Plain HTTP with the account's rights."""
    return aiohttp.ClientSession(headers={"Authorization": aiohttp.encode_basic_auth(account.user, account.secret)})


async def subscribe(session: aiohttp.ClientSession, account: AriAccount) -> None:
    """Give an application the filter and the subscription that ours sets for itself."""
    application = f"{account.url}/applications/{account.app}"
    allowed = [{"type": name} for name in (*wire.EVENT_TYPES, "RESTResponse")]
    async with session.put(f"{application}/eventFilter", json={"allowed": allowed}) as reply:
        assert reply.status == 200, await reply.text()
    async with session.post(f"{application}/subscription", params={"eventSource": f"endpoint:PJSIP/{TRUNK}"}) as reply:
        assert reply.status == 200, await reply.text()


class Refuser(asyncio.DatagramProtocol):
    """A callee that answers every INVITE with 486 and every OPTIONS with 200."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)  # uvloop's is one without saying so

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        method = data.split(b" ", 1)[0]
        if method not in {b"INVITE", b"OPTIONS"}:
            return
        status = b"SIP/2.0 486 Busy Here" if method == b"INVITE" else b"SIP/2.0 200 OK"
        kept = [
            line for line in data.split(b"\r\n")[1:] if line.split(b":")[0] in {b"Via", b"From", b"Call-ID", b"CSeq"}
        ]
        to = next(line for line in data.split(b"\r\n") if line.startswith(b"To:"))
        lines = [status, *kept, to + b";tag=refuser", b"Content-Length: 0", b"", b""]
        self._transport.sendto(b"\r\n".join(lines), addr)


async def refuse_for_ever(port: int) -> None:
    """Serve the callee (in a process of its own)."""
    await asyncio.get_running_loop().create_datagram_endpoint(Refuser, local_addr=("127.0.0.1", port))
    await asyncio.Event().wait()


@dataclass(slots=True)
class Score:
    """What the rounds of one contender gave."""

    per_s: list[float] = field(default_factory=list)
    cpu_ms_per_call: list[float] = field(default_factory=list)


async def play_round(contender: Contender, account: AriAccount, calls: int, prefix: str, score: Score) -> None:
    """One round, from connect to the last call's end."""
    async with contender(account) as dial, admin(account) as session:
        began, cpu_began = time.perf_counter(), time.process_time()
        async with asyncio.TaskGroup() as group:
            for number in range(calls):
                group.create_task(waited(dial, f"a.{prefix}-{number}.c"), name="dial")
        score.per_s.append(calls / (time.perf_counter() - began))
        async with asyncio.timeout(NO_CALLS_WAIT_S):
            while await channels_left(session, account):
                await asyncio.sleep(0.05)
        score.cpu_ms_per_call.append((time.process_time() - cpu_began) * 1000 / calls)
        source = {"eventSource": f"endpoint:PJSIP/{TRUNK}"}
        async with session.delete(f"{account.url}/applications/{account.app}/subscription", params=source) as reply:
            assert reply.status == 200, await reply.text()


async def waited(dial: Dial, channel_id: str) -> None:
    """A coroutine of any awaitable."""
    await dial(channel_id)


async def channels_left(session: aiohttp.ClientSession, account: AriAccount) -> int:
    """Calls that Asterisk still has."""
    async with session.get(f"{account.url}/channels") as reply:
        return len(await reply.json())


async def compete(account: AriAccount, rounds: int, calls: int) -> dict[str, Score]:
    """All rounds; ours and raw take turns at being first."""
    contenders: dict[str, Contender] = {"ours": ours, "raw": raw}
    if importlib.util.find_spec("asyncari") is not None:
        contenders["asyncari"] = asyncari_client
    warm_up = Score()
    for name, contender in contenders.items():
        await play_round(contender, of_app(account, name), min(calls, 50), f"warm-{name}", warm_up)
    scores = {name: Score() for name in contenders}
    for turn in range(rounds):
        playing = ["ours", "raw"] if turn % 2 else ["raw", "ours"]
        if "asyncari" in contenders and turn % ASYNCARI_EVERY == 0:
            playing.append("asyncari")
        for name in playing:
            await play_round(contenders[name], of_app(account, name), calls, f"{turn}-{name}", scores[name])
    return scores


def of_app(account: AriAccount, name: str) -> AriAccount:
    """The same account with an application of its own."""
    return AriAccount(url=account.url, user=account.user, secret=account.secret, app=f"bench-{name}")


@contextlib.asynccontextmanager
async def asterisk() -> AsyncIterator[AriAccount]:
    """A private Asterisk 22 and the callee behind it."""
    sip, http, ami, callee = free_ports(4)
    ports = PairPorts(sip=sip, ari=http, ami=ami, carrier_sip=callee, carrier_ari=0, carrier_ami=0, rtp=36_000)
    trunk = Trunk(name=TRUNK, host="127.0.0.1", port=callee, qualify_s=0)
    with tempfile.TemporaryDirectory(prefix="zv-") as folder:
        instance = engine_asterisk(Path(folder), ports, phones=(), trunks=(trunk,))
        switch = Asterisk(instance, find_binary(), die_with_parent=True)
        refuser = await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.ari", "--refuse", str(callee))
        try:
            await switch.start()
            secrets = switch.secrets
            yield AriAccount(url=instance.ari_url, user=secrets.ari_user, secret=secrets.ari_password, app="bench")
        finally:
            await switch.stop()
            refuser.kill()
            await refuser.wait()


def free_ports(count: int) -> list[int]:
    """UDP ports that nobody has now; TCP's are looked at by Asterisk's own start."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


async def measure(rounds: int, calls: int) -> dict[str, Score]:
    """Start Asterisk, let them compete."""
    async with asterisk() as account:
        return await compete(account, rounds, calls)


def main() -> int:
    """Print a table and the RESULT line; 1 when ours is below the bar."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--calls", type=int, default=CALLS, help="originates per round and contender")
    parser.add_argument("--refuse", type=int, metavar="PORT", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.refuse:
        uvloop.run(refuse_for_ever(asked.refuse))
    logging.getLogger("asyncari").setLevel(logging.ERROR)  # it warns of every Dial event
    scores = uvloop.run(measure(asked.rounds, asked.calls))

    print(f"{'client':<10} {'originates/s':>12} {'of raw':>7} {'CPU ms/call':>12}   rounds")
    raw_per_s = statistics.median(scores["raw"].per_s)
    ratios = {name: statistics.median(score.per_s) / raw_per_s for name, score in scores.items()}
    for name, score in scores.items():
        per_s, cpu_ms = statistics.median(score.per_s), statistics.median(score.cpu_ms_per_call)
        rounds = " ".join(f"{value:.0f}" for value in score.per_s)
        print(f"{name:<10} {per_s:>12.0f} {ratios[name]:>7.2f} {cpu_ms:>12.2f}   {rounds}")
    if "asyncari" not in scores:
        print("asyncari is not installed: pip install --require-hashes -r requirements/bench.lock")
    result: dict[str, float | None] = {
        "ours_per_s": round(statistics.median(scores["ours"].per_s), 1),
        "raw_per_s": round(statistics.median(scores["raw"].per_s), 1),
        "asyncari_per_s": round(statistics.median(scores["asyncari"].per_s), 1) if "asyncari" in scores else None,
        "ratio_to_raw": round(ratios["ours"], 3),
        "ours_cpu_ms_per_call": round(statistics.median(scores["ours"].cpu_ms_per_call), 3),
        "raw_cpu_ms_per_call": round(statistics.median(scores["raw"].cpu_ms_per_call), 3),
    }
    print("RESULT " + json.dumps(result))
    return 0 if ratios["ours"] >= RATIO_MIN else 1


if __name__ == "__main__":
    sys.exit(main())
