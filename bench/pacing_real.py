"""Predictive against progressive on a real Asterisk: real SIP phones, a real carrier, counted by the carrier.

    python -m bench.pacing_real [--minutes 20] [--agents 20] [--port 29000]

The same agents work `--minutes` progressively, then as long predictively. Three calls in ten are answered, after 5 to
20 s of ringing; the others ring until the engine gives up. Talks last 20 to 40 s and are ended by the customer,
wrap-ups 5 s. The carrier's journal says who answered and who was let talk to the end; whoever was cut off by us had
found no agent. Occupancy is talk and wrap-up of those who talked, as a share of the agents' time. The first 45 s of
each half are not counted. The last line is RESULT and JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import uvloop

from asterisk.carrier.plan import carrier_dialplan
from asterisk.conf import Phone as DeskPhone
from asterisk.instance import Asterisk, find_binary
from asterisk.journal import CarriedCall, carried_calls, read_journal
from asterisk.pair import PairPorts, carrier_asterisk, engine_asterisk, trunk_to_carrier
from asterisk.robots import RobotPhones
from bench.latency import Row
from engine.app import new_driver
from engine.ari.client import AriAccount
from engine.ari.switch import AriSwitch
from engine.clock import WallClock
from engine.config import Loaded, parse
from engine.core.events import AgentLogin, AgentReady, CampaignSwitched
from engine.core.model import AgentState, CampaignId, CommandId, PhoneId, PhoneNumber, TrunkId
from engine.driver import Driver
from engine.store.database import AioDatabase
from engine.store.imports import import_leads
from engine.store.store import Store

CAMPAIGN: Final = CampaignId("bench")
CARRIER: Final = TrunkId("carrier")
WARM_MS: Final = 45_000
WRAP_MS: Final = 5_000
TALKED: Final = "TALKED"
#: Ends in no digits of the number plan, so chance decides; the carrier notes a talk that it ended itself.
CHANCE: Final = f"""\
[plan]
exten => chance,1,Set(ANSWERS=${{IF($[${{RAND(1,1000)}} <= 300]?1:0)}})
 same => n,CELGenUserEvent(INVITE,${{NUMBER}} ${{ANSWERS}})
 same => n,Ringing()
 same => n,GotoIf($[${{ANSWERS}} = 0]?silent)
 same => n,Wait(${{RAND(5,20)}})
 same => n,Answer()
 same => n,Set(LEFT=${{RAND(4,8)}})
 same => n(talk),Playback(silence/5)
 same => n,Set(LEFT=$[${{LEFT}} - 1])
 same => n,GotoIf($[${{LEFT}} > 0]?talk)
 same => n,CELGenUserEvent({TALKED})
 same => n,Hangup()
 same => n(silent),Wait(3600)
"""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Both switches and the desk phones."""

    engine: Asterisk
    carrier: Asterisk
    phones: tuple[DeskPhone, ...]
    root: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Half:
    """What the carrier saw of one half; shares in percent."""

    calls: int
    answered: int
    abandoned: int
    occupancy: float

    @property
    def abandon(self) -> float:
        return 100 * self.abandoned / max(1, self.answered)


@asynccontextmanager
async def stage(agents: int, port: int) -> AsyncIterator[Stage]:
    """Two Asterisks and the phones, ended with the scope. Ports are counted from `port`."""
    async with AsyncExitStack() as scope:
        root = Path(scope.enter_context(tempfile.TemporaryDirectory(prefix="zp-")))
        ports = PairPorts(
            sip=port,
            ari=port + 1,
            ami=port + 2,
            carrier_sip=port + 3,
            carrier_ari=port + 4,
            carrier_ami=port + 5,
            rtp=port + 100,
        )
        phones = tuple(DeskPhone(name=str(201 + n), password=f"phone-{201 + n}") for n in range(agents))
        ours = engine_asterisk(
            root / "engine", ports, phones=phones, trunks=(trunk_to_carrier(ports, name=CARRIER, lines_max=300),)
        )
        theirs = carrier_asterisk(root / "carrier", ports)
        theirs = replace(theirs, dialplan={**carrier_dialplan(), "plan.conf": CHANCE})
        binary = await asyncio.to_thread(find_binary)
        switches = [Asterisk(instance, binary, die_with_parent=True) for instance in (theirs, ours)]
        for switch in switches:
            await switch.start()
            scope.push_async_callback(switch.stop)
        robots = RobotPhones(root / "phones", phones, server=f"127.0.0.1:{ports.sip}", control_port=port + 6)
        await robots.start()
        scope.push_async_callback(robots.stop)
        async with asyncio.timeout(20):
            while len(await robots.registered()) < agents:
                await asyncio.sleep(0.2)
        yield Stage(engine=switches[1], carrier=switches[0], phones=phones, root=root)


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
    secrets = stage.engine.secrets
    account = AriAccount(
        url=f"{stage.engine.instance.ari_url}", user=secrets.ari_user, secret=secrets.ari_password, app="zvonar"
    )
    journal = stage.carrier.instance.paths.journal
    async with AsyncExitStack() as scope:
        database = await scope.enter_async_context(
            AioDatabase.open(stage.root / f"{mode}.db", now_ms=clock.now_ms(), controller=True)
        )
        leads = round(minutes * len(names) * 15) + 500
        rows = (Row(line=n, phones=(PhoneNumber(f"+7000{n:07d}"),)) for n in range(leads))
        await import_leads(database, CAMPAIGN, rows, file_name="bench", by="bench", now_ms=clock.now_ms())
        switch = AriSwitch(
            account, clock=clock, chance=random.random, trunks=[CARRIER], phones=[PhoneId(name) for name in names]
        )
        driver, first = await new_driver(loaded.policy, store=Store(database), switch=switch, clock=clock)
        _, offset = read_journal(journal)
        async with asyncio.TaskGroup() as group:
            engine = group.create_task(driver.run(first), name="engine")
            await _shift(driver)
            from_ms = clock.now_ms() + WARM_MS
            await asyncio.sleep(minutes * 60)
            until_ms = clock.now_ms()
            await driver.do(CampaignSwitched(command=_command(), by="bench", campaign=CAMPAIGN, running=False))
            await driver.drain(90_000)
            engine.cancel()
        await asyncio.sleep(1)  # the carrier writes its last lines
    entries, _ = read_journal(journal, offset)
    talked = {entry.channel_id for entry in entries if entry.kind == TALKED}
    return counted(carried_calls(entries), talked, len(names), from_ms, until_ms)


def counted(calls: Sequence[CarriedCall], talked: set[str], agents: int, from_ms: int, until_ms: int) -> Half:
    """What the carrier's calls say of the time between; calls that were answered in it."""
    seen = [call for call in calls if from_ms <= call.invited_ms < until_ms]
    answers = [call for call in calls if call.answered_ms is not None and from_ms <= call.answered_ms < until_ms]
    busy_ms = 0
    for call in calls:
        if call.channel_id in talked and call.answered_ms is not None and call.ended_ms is not None:
            busy_ms += max(0, min(call.ended_ms + WRAP_MS, until_ms) - max(call.answered_ms, from_ms))
    return Half(
        calls=len(seen),
        answered=len(answers),
        abandoned=sum(1 for call in answers if call.channel_id not in talked),
        occupancy=100 * busy_ms / (agents * (until_ms - from_ms)),
    )


async def _shift(driver: Driver) -> None:
    await _until(lambda: not driver.snapshot().switch_problem, "Asterisk is reached")
    agents = [agent.id for agent in driver.snapshot().agents]
    for agent in agents:
        await driver.do(AgentLogin(command=_command(), by=agent, agent=agent))
    await _until(lambda: all(a.state is AgentState.PAUSED for a in driver.snapshot().agents), "all are logged in")
    for agent in agents:
        await driver.do(AgentReady(command=_command(), by=agent, agent=agent))
    await driver.do(CampaignSwitched(command=_command(), by="bench", campaign=CAMPAIGN, running=True))


async def _until(is_so: Callable[[], bool], what: str, within_s: float = 60.0) -> None:
    try:
        async with asyncio.timeout(within_s):
            while not is_so():
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise SystemExit(f"the bench gave up waiting until {what}") from None


_commands = itertools.count()


def _command() -> CommandId:
    return CommandId(f"bench-{next(_commands)}")


async def _run(minutes: float, agents: int, port: int) -> dict[str, Half]:
    async with stage(agents, port) as built:
        return {mode: await half(built, mode, minutes) for mode in ("progressive", "predictive")}


def main() -> None:
    """Run, print the table, end with RESULT."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0, help="of each half")
    parser.add_argument("--agents", type=int, default=20)
    parser.add_argument("--port", type=int, default=29_000)
    asked = parser.parse_args()
    halves = uvloop.run(_run(asked.minutes, asked.agents, asked.port))
    result: dict[str, float | int] = {"agents": asked.agents, "minutes": asked.minutes}
    for mode, seen in halves.items():
        print(
            f"{mode:12} occupancy {seen.occupancy:6.2f} %  abandoned {seen.abandoned} of {seen.answered} answers "
            f"({seen.abandon:.2f} %), {seen.calls} calls"
        )
        result[f"{mode}_occupancy"] = round(seen.occupancy, 2)
        result[f"{mode}_abandon"] = round(seen.abandon, 2)
        result[f"{mode}_answered"] = seen.answered
    result["gain"] = round(halves["predictive"].occupancy - halves["progressive"].occupancy, 2)
    print("RESULT " + json.dumps(result))


if __name__ == "__main__":
    main()
