"""Many faults in any order, on top of each other: what the simulation does in virtual time, on a real Asterisk."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import time
from collections import Counter
from contextlib import closing, suppress
from random import Random
from typing import Final

from bench.chaos.finding import Finding
from bench.chaos.held import MIXED, behind_a_bad_line, dials, settled, talking
from bench.chaos.proxy import BadLine
from bench.chaos.stage import Stage
from engine.store.errors import StoreLockedError

LASTS_S: Final = 120.0
#: Between the beginnings of two faults, in the mean: most last longer.
EVERY_S: Final = 1.5
#: Without an engine, as a service manager leaves it.
AWAY_S: Final = (0.1, 3.0)
#: A process that stands still does not speak to whom it was handed: shorter than the silence that is promised.
STOPPED_S: Final = (0.2, 1.2)
BROKEN_S: Final = (0.5, 5.0)
#: The stage stands still meanwhile.
LOCK_WAIT_S: Final = 0.2
DELAYS_S: Final = (0.05, 0.2, 0.7)
LISTED_SHARE: Final = 0.2
#: Of all faults: it ends every conversation.
BURIED_SHARE: Final = 0.03
#: Exit codes: by itself, killed, asked before it could hear of it, and refused because the database was locked.
ENDS: Final = {0, -signal.SIGKILL, -signal.SIGTERM, 4}


async def medley(chance: Random, port: int) -> Finding:
    """Kills (of Asterisk too), drains, stops, resets, a slow, deaf, forgetful line, locks, do-not-call entries."""
    found = Finding(
        fault="medley_120s", expected="faults in any order: nobody dialed twice, cut, stranded or left in silence"
    )
    async with behind_a_bad_line(port, agents=12) as (on, line, via):
        await on.leads(2_000, *MIXED)
        faults = _Faults(on, line, chance)
        async with asyncio.TaskGroup() as group:
            lives = group.create_task(faults.live(via), name="engines")
            while on.engine is None or not on.views:
                await asyncio.sleep(0.05)
            await talking(on, 4)
            await faults.play()
            faults.over = True
            while not lives.done():  # the next one may be starting just now
                await on.kill()
                await asyncio.wait({lives}, timeout=0.1)
        await on.start(via=via)
        await on.until(lambda view: not view.switch and not view.store and dials(view), "dialing again")
        await talking(on, 2)
        found = await settled(on, found)
        found.cut = on.cut(died_ms=faults.buried_ms)
        found.measured |= {"engines": faults.lives, **faults.seen}
        found.violations += faults.ended_badly
    return found


class _Faults:
    """Each can be begun while others last."""

    def __init__(self, on: Stage, line: BadLine, chance: Random) -> None:
        self._on = on
        self._line = line
        self._chance = chance
        self._lasting: Counter[str] = Counter()
        self.over = False
        self.lives = 0
        self.ended_badly: list[str] = []
        self.buried_ms: list[int] = []
        self.seen: Counter[str] = Counter()

    async def live(self, via: str) -> None:
        """Engines, one after another."""
        while not self.over:
            await self._on.start(via=via)
            self.lives += 1
            assert self._on.engine is not None
            code = await self._on.engine.wait()
            if code not in ENDS:
                self.ended_badly.append(f"exit code {code}: {self._on.log.read_text('utf-8')[-500:]}")
            if not self.over:
                await asyncio.sleep(self._chance.uniform(*AWAY_S))

    async def play(self) -> None:
        """Fault after fault, for a while; returns when the last one is mended."""
        often = (
            self.kill,
            self.drain,
            self.stop,
            self.cut,
            self.delay,
            self.deafen,
            self.lose,
            self.lock,
            self.enlist,
        )
        until = asyncio.get_running_loop().time() + LASTS_S
        async with asyncio.TaskGroup() as group:
            while asyncio.get_running_loop().time() < until:
                await asyncio.sleep(self._chance.expovariate(1 / EVERY_S))
                fault = self.bury if self._chance.random() < BURIED_SHARE else self._chance.choice(often)
                self.seen[fault.__name__] += 1
                group.create_task(fault(), name=fault.__name__)

    async def kill(self) -> None:
        self._signal(signal.SIGKILL)

    async def bury(self) -> None:
        """Asterisk itself: the engine that runs starts it again, or the next one does."""
        self.buried_ms.append(round(time.time() * 1000))
        self._on.kill_asterisk()

    async def drain(self) -> None:
        self._signal(signal.SIGTERM)

    async def stop(self) -> None:
        self._signal(signal.SIGSTOP)
        await asyncio.sleep(self._chance.uniform(*STOPPED_S))
        self._signal(signal.SIGCONT)

    async def cut(self) -> None:
        self._line.cut()

    async def delay(self) -> None:
        await self._on_the_line("delay_s", self._chance.choice(DELAYS_S), well=0.0)

    async def deafen(self) -> None:
        await self._on_the_line("swallow", "channels", well="")

    async def lose(self) -> None:
        self._line.lose_dials += self._chance.randint(1, 4)

    async def lock(self) -> None:
        path = self._on.loaded.resolve(self._on.loaded.config.database)
        with (
            closing(sqlite3.connect(path, isolation_level=None, timeout=LOCK_WAIT_S)) as other,
            suppress(sqlite3.OperationalError),  # another one of ours has it
        ):
            other.execute("BEGIN IMMEDIATE")
            await asyncio.sleep(self._chance.uniform(*BROKEN_S))
            other.execute("ROLLBACK")

    async def enlist(self) -> None:
        with suppress(StoreLockedError):
            await self._on.list_open(lambda: self._chance.random() < LISTED_SHARE)

    async def _on_the_line(self, what: str, broken: object, *, well: object) -> None:
        """For a while; well again when the last of those that overlap is over."""
        self._lasting[what] += 1
        setattr(self._line, what, broken)
        await asyncio.sleep(self._chance.uniform(*BROKEN_S))
        self._lasting[what] -= 1
        if not self._lasting[what]:
            setattr(self._line, what, well)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self._on.signal(number)
