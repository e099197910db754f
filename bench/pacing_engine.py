"""Does the engine pace as its pacer alone does? The same campaign in the judge and in the whole engine.

    python -m bench.pacing_engine [--hours 8] [--agents 25] [--seed 0] [--only predictive]

The judge runs the pacer object by itself. Here it runs inside the engine: floor, driver, store and a simulated switch
in virtual time, with the judge's own customers: the k-th call placed has the fate that it has in the judge. Occupancy
is the share of logged-in time spent talking or wrapping up; abandonment is counted from the attempts table. The last
line is RESULT and JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import logging
import sqlite3
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.pacing import judge_path, load_judge
from engine.core import effects, events
from engine.core.budget import AbandonRule
from engine.core.floor import Floor
from engine.core.model import (
    Agent,
    AgentId,
    AgentProfile,
    AgentState,
    AttemptPolicy,
    CallingHours,
    Campaign,
    CampaignId,
    CommandId,
    Disposition,
    DispositionId,
    DispositionKind,
    PhoneId,
    PhoneNumber,
    Policy,
    Trunk,
    TrunkId,
)
from engine.core.pacing import PacingPolicy, Predictive, Progressive
from engine.driver import Driver
from engine.sim.people import CustomerFate, People, PhoneFate
from engine.sim.switch import SimSwitch
from engine.sim.virtual import VirtualClock, run
from engine.store.database import InlineDatabase
from engine.store.store import Store

SPRING = CampaignId("spring")
CARRIER = TrunkId("carrier")
SOLD = DispositionId("sold")
START_MS = 1_763_971_200_000
FAILED_CAUSE = 1  # an unallocated number: the carrier itself is well
BUSY = {AgentState.TALKING, AgentState.WRAP_UP}
IDLE = {AgentState.READY, AgentState.RESERVED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What came of one campaign; shares in percent."""

    occupancy: float
    abandon: float
    answers: int
    calls: int
    lasted_s: float


class JudgePeople(People):
    """The judge's customers, in the judge's order."""

    def __init__(self, judge: Any) -> None:
        self._judge = judge

    def customer(self, number: PhoneNumber) -> CustomerFate:
        _ = number  # the judge knows calls by their order only
        judge = self._judge
        now_s = asyncio.get_running_loop().time()
        human, machine, fail, _ = judge.curves
        noise = judge.noise[min(len(judge.noise) - 1, int(now_s / 30))]
        fails = fail(now_s)
        answers = min(1.0 - fails, human(now_s) * noise)
        assert machine(now_s) == 0, "no machines: without detection agents would meet them"
        if not judge.pool:
            judge._refill()  # noqa: SLF001 - the judge is not ours to edit
        throw, delay_s, fail_s, ring_s, _, _, _, _, talk_s, _, _ = judge.pool.pop()
        timeout_s = judge.cfg.ring_timeout
        usual = CustomerFate(
            rings_after_ms=round(delay_s * 1000),
            answers=throw < fails + answers and ring_s <= timeout_s,
            after_ms=max(1, round(min(ring_s, timeout_s) * 1000)),
            cause=19,
            tech_cause=480,
            patience_ms=3_600_000,
            talk_ms=round(talk_s * 1000),
            message_ms=round(judge.sc.message * 1000),
        )
        if throw < fails:
            # No ring: `after_ms` 0 ends the call when it would have rung.
            return replace(usual, answers=False, rings_after_ms=round(fail_s * 1000), after_ms=0, cause=FAILED_CAUSE)
        return usual if usual.answers else replace(usual, after_ms=round(timeout_s * 1000))

    def phone(self) -> PhoneFate:
        return PhoneFate(answers=True, after_ms=100, lives_ms=None)


class Agents:
    """Agents who log in, talk, wrap up for as long as the judge says, and do nothing else; their times are summed."""

    def __init__(self, driver: Driver, judge: Any, draw: Any, clock: VirtualClock) -> None:
        self._driver = driver
        self._judge = judge
        self._draw = draw
        self._clock = clock
        self._last: dict[AgentId, Agent] = {}
        self._commands = 0
        self._rng = importlib.import_module("numpy").random.default_rng(judge.sc.seed)
        self.time_ms: Counter[AgentState] = Counter()

    async def work(self) -> None:
        """Watch and press buttons until cancelled."""
        loop = asyncio.get_running_loop()
        async with self._driver.subscribe() as notices:
            for agent in self._driver.snapshot().agents:
                self._last[agent.id] = agent
                loop.call_later(self._rng.uniform(0, self._judge.sc.stagger), self._say, events.AgentLogin, agent.id)
            async for notice in notices:
                if isinstance(notice, effects.AgentChanged):
                    self._see(notice.agent)

    def settle(self) -> None:
        """Count the times up to now."""
        for agent in self._last.values():
            self.time_ms[agent.state] += self._clock.now_ms() - max(agent.since_ms, START_MS)

    def _see(self, agent: Agent) -> None:
        before = self._last[agent.id]
        self._last[agent.id] = agent
        if agent.state is before.state:
            return
        self.time_ms[before.state] += agent.since_ms - max(before.since_ms, START_MS)
        if agent.state is AgentState.PAUSED:
            self._say(events.AgentReady, agent.id)
        elif agent.state is AgentState.WRAP_UP:
            (wrap_s,) = self._draw(self._judge.sc.wrap, self._rng, 1)
            attempt = agent.attempt
            asyncio.get_running_loop().call_later(
                float(wrap_s), lambda: self._say(events.Dispose, agent.id, attempt=attempt, disposition=SOLD)
            )

    def _say(self, kind: Any, agent: AgentId, **what: Any) -> None:
        self._commands += 1
        self._driver.offer(kind(command=CommandId(str(self._commands)), by=agent, agent=agent, **what))


def policy_of(scenario: Any, pacing: PacingPolicy) -> Policy:
    """The scenario as config.yaml would say it."""
    config = scenario.config()
    campaign = Campaign(
        id=SPRING,
        name="Spring",
        pacing=pacing,
        trunks=(CARRIER,),
        caller_id=None,
        attempts=AttemptPolicy(max=1, retry={}),
        hours=CallingHours(spans=(((0, 24 * 60),),) * 7, zone="UTC"),
        dispositions=(Disposition(id=SOLD, kind=DispositionKind.FINAL, labels={}),),
        ring_timeout_ms=round(1000 * config.ring_timeout) + 30_000,  # the judge counts it from the first ring
        wrap_up_ms=3_600_000,
        # The judge takes no ringing call back.
        abandon=AbandonRule(share_max=config.abandon_cap, ring_min_ms=120_000),
    )
    agents = [
        AgentProfile(id=AgentId(f"a{n}"), name=f"a{n}", phone=PhoneId(f"p{n}"), campaigns=(SPRING,))
        for n in range(scenario.agents)
    ]
    trunk = Trunk(id=CARRIER, lines_max=config.lines, calls_per_second_max=config.cps)
    return Policy(campaigns={SPRING: campaign}, trunks={CARRIER: trunk}, agents={a.id: a for a in agents})


def in_engine(scenario: Any, pacing: PacingPolicy, seed: int) -> Seen:
    """The campaign in the whole engine."""
    began_s = time.perf_counter()
    folder = Path("/dev/shm")  # noqa: S108 - thrown away; the disk's speed is not what is measured
    with tempfile.TemporaryDirectory(dir=folder if folder.is_dir() else None) as place:
        path = Path(place) / "pacing.db"
        agents = run(_live(scenario, pacing, seed, path))
        disk = sqlite3.connect(path)
        calls, answers, abandoned = disk.execute(
            "SELECT count(*), count(answered_at_ms), coalesce(sum(outcome = 'abandoned'), 0) FROM attempts"
        ).fetchone()
        disk.close()
    busy, idle = (sum(agents.time_ms[state] for state in states) for states in (BUSY, IDLE))
    return Seen(
        occupancy=100 * busy / (busy + idle),
        abandon=100 * abandoned / max(1, answers),
        answers=answers,
        calls=calls,
        lasted_s=time.perf_counter() - began_s,
    )


async def _live(scenario: Any, pacing: PacingPolicy, seed: int, path: Path) -> Agents:
    sim = importlib.import_module("sim")
    judge = sim.Campaign(scenario, sim.Pacer(), seed=seed)
    clock = VirtualClock(asyncio.get_running_loop(), START_MS)
    with InlineDatabase.open(path, now_ms=START_MS, durable=False) as database:
        leads = round(scenario.agents * scenario.hours * 400)
        with sqlite3.connect(path) as disk:
            disk.executemany(
                "INSERT INTO leads (id, campaign_id, created_at_ms, updated_at_ms) VALUES (?, ?, 0, 0)",
                ((n, SPRING) for n in range(1, leads)),
            )
            disk.executemany(
                "INSERT INTO phones (lead_id, position, number) VALUES (?, 0, ?)",
                ((n, f"+38067{n:07}") for n in range(1, leads)),
            )
        disk.close()
        store = Store(database)
        chance = importlib.import_module("random").Random(seed)
        switch = SimSwitch(clock=clock, chance=chance, people=JudgePeople(judge))
        floor = Floor(policy_of(scenario, pacing), epoch=await store.next_epoch(START_MS))
        driver = Driver(floor, switch=switch, store=store, clock=clock)
        agents = Agents(driver, judge, sim.draw, clock)
        start = events.CampaignSwitched(command=CommandId("start"), by="bench", campaign=SPRING, running=True)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(driver.run([await store.restore(), start]), name="engine"),
                group.create_task(agents.work(), name="agents"),
            ]
            await asyncio.sleep(scenario.hours * 3600)
            agents.settle()
            for task in tasks:
                task.cancel()
    return agents


def in_judge(scenario: Any, pacer: Any, seed: int) -> Seen:
    """The campaign with the pacer alone."""
    began_s = time.perf_counter()
    seen = importlib.import_module("sim").Campaign(scenario, pacer, seed=seed).run()
    return Seen(
        occupancy=100 * seen["occupancy"],
        abandon=seen["abandon_pct"],
        answers=seen["humans"],
        calls=seen["calls"],
        lasted_s=time.perf_counter() - began_s,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, default=25)
    parser.add_argument("--hours", type=float, default=8.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("predictive", "progressive"))
    asked = parser.parse_args()
    logging.disable(logging.WARNING)
    load_judge(judge_path())
    scenario = importlib.import_module("sim").Scenario(
        name=f"engine_{asked.agents}",
        agents=asked.agents,
        hours=asked.hours,
        seed=125,
        amd=False,
        p_machine=0.0,
        speed_cv=0.0,  # a talk is as long as the customer makes it
        greet=("const", 0.0),
        noise=(0.15, 900.0),
    )
    pacers: dict[str, tuple[PacingPolicy, Any]] = {
        "predictive": (Predictive(), importlib.import_module("pacing_adapter").ProductPacer),
        "progressive": (Progressive(), importlib.import_module("pacers.registry").get("progressive")),
    }
    result: dict[str, float | int] = {"agents": asked.agents, "hours": asked.hours}
    for name, (policy, judged) in pacers.items():
        if asked.only in {None, name}:
            ours, theirs = in_engine(scenario, policy, asked.seed), in_judge(scenario, judged(), asked.seed)
            for where, seen in (("engine", ours), ("judge", theirs)):
                print(
                    f"{name:12} {where:7} occupancy {seen.occupancy:6.2f} %  abandoned {seen.abandon:5.2f} %  "
                    f"{seen.answers} answers of {seen.calls} calls  {seen.lasted_s:.1f} s"
                )
                result[f"{name}_occupancy_{where}"] = round(seen.occupancy, 2)
                result[f"{name}_abandon_{where}"] = round(seen.abandon, 2)
            result[f"{name}_occupancy_gap"] = round(ours.occupancy - theirs.occupancy, 2)
            result[f"{name}_abandon_gap"] = round(ours.abandon - theirs.abandon, 2)
    print("RESULT " + json.dumps(result))


if __name__ == "__main__":
    main()
