"""The real engine on a real Asterisk when somebody answers and nobody is free: the message in time, and its key."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from asterisk.journal import Entry
from engine.ari.client import AriAccount
from engine.ari.switch import AriSwitch
from engine.clock import Clock, WallClock
from engine.core import events
from engine.core.floor import Floor
from engine.core.model import AgentId, CommandId, LegKind, Message, PhoneNumber, Policy, TrunkId
from engine.driver import Driver
from engine.store.database import AioDatabase
from engine.store.imports import import_leads
from engine.store.store import Store
from engine.telephony import LegsTold
from tests.contract.store_people import rows
from tests.conversation import SPRING, campaign, policy, profile
from tests.fakes.office import Person
from tests.integration.switches import LATE_MS, AsteriskPair, until

pytestmark = pytest.mark.integration


@dataclass(frozen=True, slots=True)
class Engine:
    """A running engine without pages."""

    driver: Driver
    database: AioDatabase
    pair: AsteriskPair
    epoch: int

    async def do(self, kind: Any, **what: Any) -> str:
        return await self.driver.do(kind(command=CommandId(f"{random.randrange(10**12)}"), by="test", **what))

    async def rows(self, text: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await rows(self.database, text)]

    def journal(self, kind: str) -> list[Entry]:
        """What Asterisk itself wrote of this engine's customers: it serves other tests too."""
        ours = f"a.{self.epoch}-"
        return [entry for entry in self.pair.journal() if entry.kind == kind and entry.channel_id.startswith(ours)]


@asynccontextmanager
async def running_engine(
    pair: AsteriskPair,
    path: Path,
    rules: Policy,
    numbers: list[str],
    *,
    zones: Mapping[str, str] | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[Engine]:
    """An engine that dials `numbers`, some of them in `zones`, once its campaign is started; by its own `clock`."""
    secrets, since_ms = pair.engine.secrets, WallClock().now_ms()
    clock = clock or WallClock()
    account = AriAccount(url=pair.ari_url, user=secrets.ari_user, secret=secrets.ari_password, app="zvonar")
    switch = AriSwitch(
        account,
        clock=clock,
        chance=random.random,
        trunks=list(rules.trunks),
        journal=LegsTold(pair.engine.instance.paths.journal, since_ms=since_ms),
    )
    async with AioDatabase.open(path, now_ms=clock.now_ms(), controller=True) as database:
        store = Store(database)
        people = [
            Person(line=line, phones=(PhoneNumber(number),), name="", zone=(zones or {}).get(number), fields={})
            for line, number in enumerate(numbers, 2)
        ]
        await import_leads(database, SPRING, people, file_name="leads.csv", by="test", now_ms=clock.now_ms())
        epoch = 7_000_000 + random.randrange(10**6)
        driver = Driver(Floor(rules, epoch=epoch), switch=switch, store=store, clock=clock)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(driver.run([await store.restore()]), name="driver")
            await until(lambda: not driver.snapshot().switch_problem)
            yield Engine(driver, database, pair, epoch)
            task.cancel()


async def test_nobody_free_in_time_the_message_within_two_seconds_and_its_key_ends_all_calls(
    asterisk_pair: AsteriskPair, tmp_path: Path
) -> None:
    agents = [profile(AgentId(f"agent{n}"), leg_kind=LegKind.ON_DEMAND) for n in range(4)]
    message = Message(company="Acme", sounds={"ru": "vm-nobodyavail"}, opt_out="9")
    rules = policy(campaign(message=message, trunks=(TrunkId("carrier"),)), agents=agents)
    numbers = ["+79990000109", "+79990000209", "+79990000309", "+79990000103"]
    async with running_engine(asterisk_pair, tmp_path / "zvonar.db", rules, numbers) as engine:
        for agent in agents:
            assert not await engine.do(events.AgentLogin, agent=agent.id)
            assert not await engine.do(events.AgentReady, agent=agent.id)
        assert not await engine.do(events.CampaignSwitched, campaign=SPRING, running=True)
        await until(lambda: len(engine.driver.snapshot().attempts) == len(numbers))
        for agent in agents:
            assert not await engine.do(events.AgentPause, agent=agent.id, reason="lunch")
        await until(lambda: len(engine.journal("ZV_MESSAGE")) == len(numbers))
        answered = {entry.channel_id: entry.at_ms for entry in engine.journal("ANSWER")}
        waits = [entry.at_ms - answered[entry.channel_id] for entry in engine.journal("ZV_MESSAGE")]
        assert all(1_850 <= wait <= 2_000 + LATE_MS for wait in waits), waits
        assert {entry.extra for entry in engine.journal("ZV_MESSAGE")} == {"abandoned"}

        async def all_over() -> bool:
            return not await engine.rows("SELECT id FROM attempts WHERE ended_at_ms IS NULL")

        await until(all_over, timeout_s=20)
        assert await engine.rows("SELECT DISTINCT outcome FROM attempts") == [("abandoned",)]
        suppressed = await engine.rows("SELECT number, reason, suppressed_by FROM suppressions ORDER BY number")
        assert suppressed == [(number, "opt_out", "customer") for number in numbers[:3]]
        assert await engine.rows("SELECT state FROM leads ORDER BY id") == [*[("suppressed",)] * 3, ("retry",)]
        audited = "SELECT count(*) FROM audit WHERE action = 'opt_out' AND actor = 'customer'"
        assert await engine.rows(audited) == [(3,)]
