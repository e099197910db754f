"""People call through the carrier: music, the queue, a robot's desk phone, the result; and the one who gave up."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from asterisk.robots import RobotPhones
from engine.ari.client import AriAccount
from engine.ari.switch import AriSwitch
from engine.clock import WallClock
from engine.core import events
from engine.core.floor import Floor
from engine.core.model import AgentId, AgentState, CommandId, CustomerState, PhoneId, PhoneNumber, Policy, TrunkId
from engine.driver import Driver
from engine.phones import carried_phone
from engine.store.database import AioDatabase
from engine.store.store import Store
from engine.verify import verify
from tests.contract.store_people import add_lead, rows
from tests.conversation import HOTLINE, SOLD, campaign, policy, profile, queue
from tests.integration.switches import AsteriskPair, RawAri, raw_ari, until

pytestmark = pytest.mark.integration

ANNA = AgentId("anna")
KNOWN, STRANGER = "+380671234567", "+380501234567"
PHONE = PhoneId("101")


@asynccontextmanager
async def office(pair: AsteriskPair, database: AioDatabase, rules: Policy) -> AsyncIterator[Driver]:
    """An engine on the real Asterisk; its calls go on when it ends."""
    clock, secrets = WallClock(), pair.engine.secrets
    account = AriAccount(url=pair.ari_url, user=secrets.ari_user, secret=secrets.ari_password, app="zvonar")
    switch = AriSwitch(
        account, clock=clock, chance=random.random, trunks=list(rules.trunks), phones=[PHONE], reads=carried_phone
    )
    store = Store(database)
    driver = Driver(Floor(rules, epoch=await store.next_epoch(clock.now_ms())), switch=switch, store=store, clock=clock)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(driver.run([await store.restore()]), name="driver")
        await until(lambda: not driver.snapshot().switch_problem)
        yield driver
        task.cancel()


async def do(driver: Driver, kind: Any, **what: Any) -> None:
    assert not await driver.do(kind(command=CommandId(f"{random.randrange(10**12)}"), by="test", **what))


async def call_in(callers: RawAri, name: str, number: str, caller: str = KNOWN) -> None:
    """Somebody picks up a telephone somewhere in the public network."""
    status, _ = await callers.ask(
        "POST",
        "channels",
        body={"variables": {"RING_S": "0", "TALK_S": "60"}},
        endpoint=f"PJSIP/{number}@engine",
        channelId=name,
        context="person",
        extension="s",
        priority="1",
        callerId=caller,
    )
    assert status == 200


async def test_a_caller_waits_is_recognised_talks_and_a_restart_loses_nobody(
    asterisk_pair: AsteriskPair, robots: RobotPhones, tmp_path: Path
) -> None:
    ours = "+380441230000"
    rules = policy(
        campaign(trunks=(TrunkId("carrier"),)),
        agents=[profile(ANNA, phone=PHONE, queues=(HOTLINE,))],
        queues=[queue(numbers=(ours,))],
    )
    async with (
        AioDatabase.open(tmp_path / "zvonar.db", now_ms=WallClock().now_ms(), controller=True) as database,
        raw_ari(asterisk_pair.carrier) as callers,
    ):
        await add_lead(database, 1, numbers=(PhoneNumber(KNOWN),))
        async with office(asterisk_pair, database, rules) as driver:
            await call_in(callers, "in.1", ours)
            await until(lambda: [a.state for a in driver.snapshot().attempts] == [CustomerState.WAITING])
            (waiting,) = driver.snapshot().attempts
            assert (waiting.number, waiting.trunk) == (PhoneNumber(KNOWN), "carrier")
            assert "zvonar" in await asterisk_pair.engine.cli("moh show files"), "who waits must not hear silence"
        # The engine ends while they listen to music; the next one takes them over.
        async with office(asterisk_pair, database, rules) as driver:
            await until(lambda: [a.id for a in driver.snapshot().attempts] == [waiting.id])
            await do(driver, events.AgentLogin, agent=ANNA)
            await until(lambda: driver.snapshot().agents[0].state is AgentState.PAUSED)
            await do(driver, events.AgentReady, agent=ANNA)
            await until(lambda: driver.snapshot().agents[0].state is AgentState.TALKING)
            (talking,) = driver.snapshot().attempts
            assert (talking.id, talking.lead, talking.state) == (waiting.id, 1, CustomerState.TALKING)
            await callers.hang_up("in.1")
            await until(lambda: driver.snapshot().agents[0].state is AgentState.WRAP_UP)
            await do(driver, events.Dispose, agent=ANNA, attempt=talking.id, disposition=SOLD.id)
            await do(driver, events.AgentPause, agent=ANNA, reason="rest")

            await call_in(callers, "in.2", ours, STRANGER)
            await until(lambda: any(a.state is CustomerState.WAITING for a in driver.snapshot().attempts))
            await callers.hang_up("in.2")
            await until(lambda: not driver.snapshot().attempts)
            await do(driver, events.AgentLogout, agent=ANNA)
        calls = await rows(database, "SELECT outcome, lead_id, number FROM attempts ORDER BY planned_at_ms")
        assert [tuple(row) for row in calls] == [("connected", 1, KNOWN), ("left_queue", 2, STRANGER)]
        (missed,) = await rows(database, "SELECT lead_id, state, created_by FROM callbacks")
        assert tuple(missed) == (2, "scheduled", "missed_call")
        assert await verify(database, now_ms=WallClock().now_ms()) == []
