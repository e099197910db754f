"""300 desks in calls, the server killed: how soon each has its screen again, and what their coming back costs.

    python -m bench.returning [--desks 300]

The server is a process of its own (the engine, its database and pages, the tests' switch with the network). It is
killed with SIGKILL while every operator talks, and started again on its port; the played network keeps its calls, as
Asterisk does. The desks are sockets that come back as the pages do (`web/static/link.js`): a knock at /healthz after
0.25 s, then each 0.5 s, with 30 % of jitter. Back is the server when its port listens; a desk has its screen when it is
told the call and the state that it had. The last line is RESULT and JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import pickle
import random
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiohttp import web

from bench.desk import (
    CAMPAIGN,
    CONFIG,
    Network,
    Wire,
    agent_names,
    campaign_of,
    cpu_s,
    people,
    quantile,
    say,
    sign_in,
    token,
)
from crm_lite.app import make_app
from engine.clock import WallClock
from engine.config import Loaded, parse
from engine.core.events import CampaignSwitched
from engine.core.floor import Floor
from engine.core.model import CommandId, LegId
from engine.driver import Driver
from engine.store.database import AioDatabase
from engine.store.imports import import_leads
from engine.store.records import Records
from engine.store.store import Store

KNOCK_FIRST_S: Final = 0.25
KNOCK_EVERY_S: Final = 0.5
KNOCK_WITHIN_S: Final = 2.0
JITTER: Final = 0.3
CPU_EVERY_S: Final = 0.25
LEGS: Final = "legs"
WITHIN_S: Final = 120.0


class LongCalls(Network):
    """Conversations that nobody ends."""

    async def _talk(self, leg: LegId, talk_s: float) -> None:
        _ = (leg, talk_s)


async def serve(directory: Path, desks: int, port: int) -> None:
    """The engine, its pages and network until stdin ends; `keep` on stdin keeps the network's calls for the next."""
    names, numbers = agent_names(desks), range(1000, 1000 + desks)
    phones = "\n".join(f'  "{n}": {{name: "{n}"}}' for n in numbers)
    agents = "\n".join(
        f'  {a}: {{name: "Оператор {a}", phone: "{n}", campaigns: [{campaign_of(a)}]}}'
        for n, a in zip(numbers, names, strict=True)
    )
    loaded = parse(CONFIG.format(phones=phones, agents=agents), Path("config.yaml"))
    if not isinstance(loaded, Loaded):
        raise SystemExit(f"the bench's own configuration is wrong: {loaded}")
    clock, kept = WallClock(), directory / LEGS
    async with (
        AioDatabase.open(directory / "desk.db", now_ms=clock.now_ms(), controller=True) as database,
        asyncio.TaskGroup() as group,
    ):
        network = LongCalls([str(n) for n in numbers], group)
        if kept.exists():
            network.legs, network.customers = pickle.loads(kept.read_bytes())  # noqa: S301 - our own, of a moment ago
        else:
            await _furnish(database, names, clock.now_ms())
        store = Store(database)
        floor = Floor(loaded.policy, epoch=await store.next_epoch(clock.now_ms()))
        driver = Driver(floor, switch=network, store=store, clock=clock)
        engine = group.create_task(driver.run((await store.restore(),)), name="engine")
        runner = web.AppRunner(make_app(driver, database, loaded, clock), access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        say({"port": runner.addresses[0][1]})
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            if line == b"go\n":
                start = CampaignSwitched(command=CommandId("go"), by="bench", campaign=CAMPAIGN, running=True)
                await driver.do(start)
            else:
                kept.write_bytes(pickle.dumps((network.legs, network.customers)))
                say({"kept": len(network.legs)})
        await runner.cleanup()
        engine.cancel()
        for task in asyncio.all_tasks():
            if task.get_name().startswith("customer-"):
                task.cancel()


async def _furnish(database: AioDatabase, names: list[str], now_ms: int) -> None:
    await sign_in(Records(database), names, now_ms)
    rows = people("+3806712", 3 * len(names))
    await import_leads(database, CAMPAIGN, rows, file_name="bench.xlsx", by="bench", now_ms=now_ms)


class Returning(Wire):
    """A desk that comes back by itself, and notes when it had its screen again."""

    def __init__(self, name: str, http: aiohttp.ClientSession, url: str) -> None:
        super().__init__(name, http, url)
        self._seq, self._desk = -1, ""
        self.talking = asyncio.Event()
        self.screen: tuple[str, str] = ("", "")
        self.back_at = 0.0
        self.strange: tuple[str, str] | None = None
        self._chance = random.Random(name)

    async def run(self) -> None:
        pause_s = 0.0
        while True:
            await asyncio.sleep(pause_s * (1 + JITTER * (2 * self._chance.random() - 1)))
            pause_s = KNOCK_EVERY_S
            with suppress(aiohttp.ClientError, TimeoutError, OSError):
                async with self._http.get(f"{self._url}/healthz", timeout=aiohttp.ClientTimeout(KNOCK_WITHIN_S)):
                    pass
                await self._read()
                pause_s = KNOCK_FIRST_S

    async def _read(self) -> None:
        headers = {"Cookie": f"zvonar={token(self.name)}", "Origin": self._url}
        async with self._http.ws_connect(f"{self._url}/ws/desk", headers=headers, max_msg_size=0) as ws:
            hello = {"type": "hello", "since": self._seq, "desk": self._desk, "build": "", "browser": self.name}
            await ws.send_str(json.dumps(hello))
            async for message in ws:
                frame = json.loads(message.data)
                self._seq, self._desk = frame.get("seq", self._seq), frame.get("desk", self._desk)
                if frame["type"] == "ping":
                    await ws.send_str('{"type":"pong"}')
                elif frame["type"] not in ("ack", "nack"):
                    await self._shown(ws, frame)
                    self._look(frame)

    def _look(self, frame: Mapping[str, Any]) -> None:
        now = (self._attempt, self._state)
        if self._state == "talking":
            self.talking.set()
        if self.screen[0] and not self.back_at and "state" in frame:
            if now == self.screen:
                self.back_at = time.time()
            else:
                self.strange = now

    def killed(self) -> None:
        """The server is gone: this is the screen to come back to."""
        self.screen = (self._attempt, self._state)


async def measure(desks: int) -> dict[str, float]:
    """One kill."""
    with tempfile.TemporaryDirectory() as folder:
        async with asyncio.TaskGroup() as group, aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
            server, port = await _start(folder, desks, 0)
            wires = [Returning(name, http, f"http://127.0.0.1:{port}") for name in agent_names(desks)[1:]]
            tasks = [group.create_task(wire.run(), name=f"desk-{wire.name}") for wire in wires]
            for wire in wires:
                await asyncio.wait_for(wire.ready.wait(), WITHIN_S)
            await _tell(server, "go")
            for wire in wires:
                await asyncio.wait_for(wire.talking.wait(), WITHIN_S)
            await asyncio.sleep(2)
            await _tell(server, "keep")
            await _answer(server, "kept")
            for wire in wires:
                wire.killed()
            killed_at = time.time()
            os.kill(server.pid, signal.SIGKILL)
            await server.wait()
            server, _ = await _start(folder, desks, port)
            listens_at = time.time()
            cpu = group.create_task(_cpu(server.pid), name="cpu")
            deadline = time.time() + WITHIN_S
            while any(not wire.back_at for wire in wires) and time.time() < deadline:
                await asyncio.sleep(0.05)
            await asyncio.sleep(1)
            peak, used_s = await _ended(cpu)
            for task in tasks:
                task.cancel()
            await _end(server)
        came = [(wire.back_at - listens_at) * 1000 for wire in wires if wire.back_at]
        return {
            "desks": desks,
            "came_back": len(came),
            "down_ms": (listens_at - killed_at) * 1000,
            "back_first_ms": min(came, default=float("inf")),
            "back_p50_ms": quantile(came, 0.5),
            "back_p95_ms": quantile(came, 0.95),
            "back_worst_ms": max(came, default=float("inf")),
            "cpu_peak_share": peak,
            "cpu_ms_per_desk": used_s * 1000 / desks,
        }


async def _start(folder: str, desks: int, port: int) -> tuple[asyncio.subprocess.Process, int]:
    arguments = ["-m", "bench.returning", "--serve", folder, "--desks", str(desks), "--port", str(port)]
    pipe = asyncio.subprocess.PIPE
    server = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdin=pipe, stdout=pipe)
    return server, int(await _answer(server, "port"))


async def _answer(server: asyncio.subprocess.Process, name: str) -> Any:
    assert server.stdout is not None
    while line := await server.stdout.readline():
        if name in (fact := json.loads(line)):
            return fact[name]
    raise SystemExit("the server ended")


async def _tell(server: asyncio.subprocess.Process, word: str) -> None:
    assert server.stdin is not None
    server.stdin.write(f"{word}\n".encode())
    await server.stdin.drain()


async def _end(server: asyncio.subprocess.Process) -> None:
    assert server.stdin is not None
    server.stdin.close()
    with suppress(TimeoutError):
        await asyncio.wait_for(server.wait(), 20)
    if server.returncode is None:
        server.kill()


async def _cpu(pid: int) -> tuple[float, float]:
    """(peak share of a core, processor seconds) until cancelled."""
    began = last = cpu_s(pid)
    peak, at = 0.0, time.perf_counter()
    with suppress(asyncio.CancelledError):
        while True:
            await asyncio.sleep(CPU_EVERY_S)
            now, now_at = cpu_s(pid), time.perf_counter()
            peak, last, at = max(peak, (now - last) / (now_at - at)), now, now_at
    return peak, last - began


async def _ended(task: asyncio.Task[tuple[float, float]]) -> tuple[float, float]:
    task.cancel()
    return await task


def main() -> None:
    """Run, print, end with RESULT."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--desks", type=int, default=300)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        asyncio.run(serve(chosen.serve, chosen.desks, chosen.port))
        return
    result = asyncio.run(measure(chosen.desks))
    print(f"{result['came_back']:.0f} of {result['desks'] - 1:.0f} desks have the screen that they had")
    print(f"the server was away for {result['down_ms']:.0f} ms")
    first, half, most, last = (result[f"back_{share}_ms"] for share in ("first", "p50", "p95", "worst"))
    print(
        f"after it was back: first {first:.0f} ms, half {half:.0f} ms, 95 % {most:.0f} ms, last {last:.0f} ms (≤ 2000)"
    )
    print(f"CPU: {result['cpu_peak_share']:.0%} of a core at most, {result['cpu_ms_per_desk']:.1f} ms a desk")
    print("RESULT " + json.dumps({key: round(value, 2) for key, value in sorted(result.items())}))


if __name__ == "__main__":
    main()
