"""Predictive against progressive on a real Asterisk: real SIP phones, a SIPp carrier, counted by the carrier's log.

    python -m bench.pacing_real [--minutes 20] [--agents 20] [--port 29000] [--keep FOLDER]

The same agents work `--minutes` progressively, then as long predictively, wrap-ups last 5 s. What becomes of a call is
drawn by the carrier, `bench/pacing_carrier.xml`: person, machine, busy, dead number, nobody. Customers end their talks
themselves (our agents never do, and detection is off), so a call that our side cut had found no agent; how long after
the answer it was cut is printed: the two seconds and the message. Occupancy is talk and wrap-up of the others, as a
share of the agents' time. The first 45 s of each half are not counted. The engine's own books are printed beside. The
last line is RESULT and JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import uvloop

from bench.latency import CAMPAIGN, CARRIER, CARRIER_LOG, Stage, next_command, stage, until
from engine.app import new_driver
from engine.ari.switch import AriSwitch
from engine.clock import WallClock
from engine.config import Loaded, parse
from engine.core.events import AgentLogin, AgentReady, CampaignSwitched
from engine.core.model import AgentState, PhoneId, PhoneNumber
from engine.driver import Driver
from engine.leads.plan import ImportRow
from engine.store.database import AioDatabase
from engine.store.imports import import_leads
from engine.store.store import Store

WARM_MS: Final = 45_000
WRAP_MS: Final = 5_000
SCENARIO: Final = Path(__file__).with_name("pacing_carrier.xml")
CONFIG: Final = """\
trunks: {{carrier: {{host: 127.0.0.1:5060, lines_max: 300, calls_per_second_max: 20}}}}
phones: {{{phones}}}
agents: {{{agents}}}
dispositions: {{sale: {{labels: {{ru: Продажа, uk: Продаж, en: Sale}}, kind: final}}}}
campaigns:
  bench:
    name: Bench
    pacing: {{mode: {mode}}}
    trunks: [carrier]
    ring_timeout: 25s
    wrap_up: {{mode: timed_no_exit, limit: 5s}}
    attempts: {{max: 1}}
    zone: Europe/Kyiv
    hours: {{daily: "00:00-24:00"}}
    dispositions: [sale]
"""


@dataclass(slots=True, kw_only=True)
class Carried:
    """One call as the carrier's log has it: when each step was, in ms UTC."""

    steps: dict[str, int] = field(default_factory=dict)

    @property
    def answered_ms(self) -> int | None:
        return self.steps.get("ANSWER")

    @property
    def served_ms(self) -> int | None:
        """The end of a talk that the customer ended."""
        return self.steps.get("OVER")


@dataclass(frozen=True, slots=True, kw_only=True)
class Half:
    """What was seen of one half; shares in percent."""

    calls: int
    answered: int
    persons: int
    abandoned: int
    persons_abandoned: int
    cut_after_ms: tuple[int, ...]
    occupancy: float
    booked: tuple[int, int]  # answers and abandons by the engine's database

    @property
    def abandon(self) -> float:
        return 100 * self.abandoned / max(1, self.answered)


async def half(stage: Stage, mode: str, minutes: float) -> Half:
    """The agents work so long in that mode."""
    clock = WallClock()
    names = [phone.name for phone in stage.phones]
    text = CONFIG.format(
        mode=mode,
        phones=", ".join(f"{name}: {{}}" for name in names),
        agents=", ".join(f"a{name}: {{name: Agent {name}, phone: {name}, campaigns: [bench]}}" for name in names),
    )
    loaded = parse(text, stage.root / "config.yaml")
    assert isinstance(loaded, Loaded), loaded
    path = stage.root / f"{mode}.db"
    log = stage.root / CARRIER_LOG
    told = log.stat().st_size if log.exists() else 0
    async with AsyncExitStack() as scope:
        database = await scope.enter_async_context(AioDatabase.open(path, now_ms=clock.now_ms(), controller=True))
        leads = round(minutes * len(names) * 15) + 500
        rows = (ImportRow(line=n, phones=(PhoneNumber(f"+7000{n:07d}"),)) for n in range(leads))
        await import_leads(database, CAMPAIGN, rows, file_name="bench", by="bench", now_ms=clock.now_ms())
        switch = AriSwitch(
            stage.account, clock=clock, chance=random.random, trunks=[CARRIER], phones=[PhoneId(name) for name in names]
        )
        driver, first = await new_driver(loaded.policy, store=Store(database), switch=switch, clock=clock)
        async with asyncio.TaskGroup() as group:
            engine = group.create_task(driver.run(first), name="engine")
            await _shift(driver)
            from_ms = clock.now_ms() + WARM_MS
            await asyncio.sleep(minutes * 60)
            until_ms = clock.now_ms()
            await driver.do(CampaignSwitched(command=next_command(), by="bench", campaign=CAMPAIGN, running=False))
            await driver.drain(90_000)
            engine.cancel()
        await asyncio.sleep(1)  # the carrier writes its last lines
    calls = carried(log.read_bytes()[told:].decode().splitlines())
    return counted(calls, len(names), from_ms, until_ms, booked=booked(path, from_ms, until_ms))


def carried(lines: Iterable[str]) -> list[Carried]:
    """The log's calls, in order. A line: date, time, seconds since 1970, number of the call, number dialed, step."""
    calls: dict[str, Carried] = {}
    for line in lines:
        _, _, at_s, call, *_, step = line.split()
        calls.setdefault(call, Carried()).steps.setdefault(step, round(float(at_s) * 1000))
    return [call for call in calls.values() if "INVITE" in call.steps]  # none of a message out of the blue


def booked(path: Path, from_ms: int, until_ms: int) -> tuple[int, int]:
    """Answers of the time between, and how many of them were abandoned, by the engine's database."""
    with closing(sqlite3.connect(path)) as disk:
        answers, abandoned = disk.execute(
            "SELECT count(*), coalesce(sum(outcome = 'abandoned'), 0) FROM attempts "
            "WHERE answered_at_ms >= ? AND answered_at_ms < ?",
            (from_ms, until_ms),
        ).fetchone()
    return answers, abandoned


def counted(calls: Sequence[Carried], agents: int, from_ms: int, until_ms: int, *, booked: tuple[int, int]) -> Half:
    """What the carrier's calls say of the time between; calls that were answered in it."""
    seen = [call for call in calls if from_ms <= call.steps["INVITE"] < until_ms]
    answers = [call for call in calls if call.answered_ms is not None and from_ms <= call.answered_ms < until_ms]
    cut = [call for call in answers if call.served_ms is None]
    busy_ms = 0
    for call in calls:
        if call.answered_ms is not None and call.served_ms is not None:
            busy_ms += max(0, min(call.served_ms + WRAP_MS, until_ms) - max(call.answered_ms, from_ms))
    return Half(
        calls=len(seen),
        answered=len(answers),
        persons=sum("PERSON" in call.steps for call in answers),
        abandoned=len(cut),
        persons_abandoned=sum("PERSON" in call.steps for call in cut),
        cut_after_ms=tuple(sorted(call.steps["CUT"] - call.steps["ANSWER"] for call in cut if "CUT" in call.steps)),
        occupancy=100 * busy_ms / (agents * (until_ms - from_ms)),
        booked=booked,
    )


async def _shift(driver: Driver) -> None:
    await until(lambda: not driver.snapshot().switch_problem, "Asterisk is reached")
    agents = [agent.id for agent in driver.snapshot().agents]
    for agent in agents:
        await driver.do(AgentLogin(command=next_command(), by=agent, agent=agent))
    await until(lambda: all(a.state is AgentState.PAUSED for a in driver.snapshot().agents), "all are logged in")
    for agent in agents:
        await driver.do(AgentReady(command=next_command(), by=agent, agent=agent))
    await driver.do(CampaignSwitched(command=next_command(), by="bench", campaign=CAMPAIGN, running=True))


async def _run(minutes: float, agents: int, port: int, keep: Path | None) -> dict[str, Half]:
    async with stage(port, SCENARIO.read_text(encoding="utf-8"), agents=agents) as built:
        halves = {mode: await half(built, mode, minutes) for mode in ("progressive", "predictive")}
        if keep is not None:
            shutil.copy(built.root / CARRIER_LOG, keep)
        return halves


def main() -> None:
    """Run, print the table, end with RESULT."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0, help="of each half")
    parser.add_argument("--agents", type=int, default=20)
    parser.add_argument("--port", type=int, default=29_000)
    parser.add_argument("--keep", type=Path, help="a place for the carrier's log")
    asked = parser.parse_args()
    halves = uvloop.run(_run(asked.minutes, asked.agents, asked.port, asked.keep))
    result: dict[str, float | int] = {"agents": asked.agents, "minutes": asked.minutes}
    for mode, seen in halves.items():
        cut = f", cut after {seen.cut_after_ms[0]} to {seen.cut_after_ms[-1]} ms" if seen.cut_after_ms else ""
        print(
            f"{mode:12} occupancy {seen.occupancy:6.2f} %  abandoned {seen.abandoned} of {seen.answered} answers "
            f"({seen.abandon:.2f} %){cut}; of {seen.persons} persons {seen.persons_abandoned}; {seen.calls} calls; "
            f"the engine's books: {seen.booked[1]} of {seen.booked[0]}"
        )
        result[f"{mode}_occupancy"] = round(seen.occupancy, 2)
        result[f"{mode}_abandon"] = round(seen.abandon, 2)
        result[f"{mode}_answered"] = seen.answered
    result["gain"] = round(halves["predictive"].occupancy - halves["progressive"].occupancy, 2)
    print("RESULT " + json.dumps(result))


if __name__ == "__main__":
    main()
