"""Two hundred conversations that no engine holds, and how long a new engine takes to hold them all."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any, Final

import aiohttp

from asterisk.conf import Trunk as Carrier
from asterisk.instance import Asterisk, find_binary
from asterisk.pair import PairPorts, engine_asterisk
from asterisk.process import end, spawn
from asterisk.robots import phone_programs
from bench.chaos.finding import Finding
from bench.chaos.stage import CAMPAIGN
from bench.latency import callee
from engine.app import new_driver
from engine.ari.client import AriAccount
from engine.ari.switch import AriSwitch
from engine.clock import WallClock
from engine.core.effects import SaveAgent, SaveAnswer, SaveAttempt, Write
from engine.core.model import (
    Agent,
    AgentId,
    AgentProfile,
    AgentState,
    Attempt,
    AttemptId,
    AttemptPolicy,
    CallingHours,
    Campaign,
    CustomerState,
    Disposition,
    DispositionId,
    DispositionKind,
    LeadId,
    PhoneId,
    PhoneNumber,
    Policy,
    Trunk,
    TrunkId,
    agent_leg,
    bridge_of_leg,
    customer_leg,
)
from engine.core.pacing import Progressive
from engine.leads.plan import ImportRow
from engine.store.database import AioDatabase
from engine.store.imports import import_leads
from engine.store.store import Store
from engine.verify import verify

CALLS: Final = 200
CARRIER: Final = TrunkId("carrier")
TALK_MS: Final = 300_000
ORIGINATES_AT_ONCE: Final = 8


async def readopt_200(chance: Random, port: int) -> Finding:
    """200 live conversations without an engine; then one starts."""
    _ = chance
    found = Finding(fault="readopt_200", expected="from start to all 200 conversations taken over ≤ 1 s; nobody cut")
    async with AsyncExitStack() as scope:
        root = Path(scope.enter_context(tempfile.TemporaryDirectory(prefix="za-")))
        asterisk = await _asterisk(root, port, scope)
        account = AriAccount(
            url=asterisk.instance.ari_url,
            user=asterisk.secrets.ari_user,
            secret=asterisk.secrets.ari_password,
            app="zvonar",
        )
        attempts, agents = _talks()
        await _live(account, attempts, agents)
        clock, policy = WallClock(), _policy(agents)
        async with AioDatabase.open(root / "z.db", now_ms=clock.now_ms(), controller=True) as database:
            store = Store(database)
            rows = (
                ImportRow(line=n + 1, phones=(attempt.number,)) for n, attempt in enumerate(attempts) if attempt.number
            )
            await import_leads(database, CAMPAIGN, rows, file_name="chaos", by="chaos", now_ms=clock.now_ms())
            assert await store.next_epoch(clock.now_ms()) == 1
            writes: list[Write] = []
            for attempt, agent in zip(attempts, agents, strict=True):
                writes += [SaveAttempt(attempt), SaveAnswer(attempt), SaveAgent(agent, clock.now_ms())]
            await store.commit(writes)
            switch = AriSwitch(account, clock=clock, chance=random.random, trunks=[CARRIER])
            began = time.monotonic()
            driver, first = await new_driver(policy, store=store, switch=switch, clock=clock)
            async with asyncio.TaskGroup() as group:
                running = group.create_task(driver.run(first), name="engine")

                def held() -> int:
                    talks = {a.agent for a in driver.snapshot().attempts if a.state is CustomerState.TALKING}
                    return sum(a.id in talks and a.state is AgentState.TALKING for a in driver.snapshot().agents)

                while held() < CALLS and time.monotonic() - began < 20:
                    await asyncio.sleep(0.005)
                found.measured |= {
                    "held": held(),
                    "start_to_all_held_ms": round((time.monotonic() - began) * 1000),
                }
                await asyncio.sleep(1)
                running.cancel()
            found.cut = 2 * CALLS - len(await _ask(account, "GET", "channels"))
            found.violations += map(str, await verify(database, now_ms=clock.now_ms(), policy=policy))
        if found.measured["held"] < CALLS or found.measured["start_to_all_held_ms"] > 1_000:
            found.violations.append("the conversations were not taken over within a second")
    return found


async def _asterisk(root: Path, port: int, scope: AsyncExitStack) -> Asterisk:
    ports = PairPorts(
        sip=port, ari=port + 1, ami=port + 2, carrier_sip=port + 3, carrier_ari=0, carrier_ami=0, rtp=port + 100
    )
    carrier = Carrier(name=CARRIER, host="127.0.0.1", port=ports.carrier_sip, lines_max=1_000, qualify_s=0)
    instance = engine_asterisk(root / "engine", ports, phones=(), trunks=(carrier,))
    asterisk = Asterisk(instance, await asyncio.to_thread(find_binary), die_with_parent=True)
    await asterisk.start()
    scope.push_async_callback(asterisk.stop)
    scenario = root / "callee.xml"
    scenario.write_text(callee(TALK_MS), encoding="utf-8")
    programs = await asyncio.to_thread(phone_programs)
    argv = ["-sf", str(scenario), "-i", "127.0.0.1", "-p", str(ports.carrier_sip), "-nostdin", "-l", "1000"]
    sipp = spawn([str(programs / "sipp"), *argv], log=root / "sipp.log", cwd=root, die_with_parent=True)
    scope.push_async_callback(asyncio.to_thread, end, sipp)
    return asterisk


def _talks() -> tuple[list[Attempt], list[Agent]]:
    now_ms = WallClock().now_ms() - 60_000
    attempts, agents = [], []
    for n in range(1, CALLS + 1):
        agent, id_ = AgentId(f"op{n}"), AttemptId(f"1-{n}")
        leg = agent_leg(agent, f"1-{CALLS + n}")
        attempt = Attempt(
            id=id_,
            campaign=CAMPAIGN,
            lead=LeadId(n),
            phone_position=0,
            number=PhoneNumber(f"+7000{n:07d}"),
            trunk=CARRIER,
            leg=customer_leg(id_),
            state=CustomerState.PLANNED,
            planned_at_ms=now_ms,
        )
        attempts.append(
            replace(
                attempt,
                state=CustomerState.TALKING,
                accepted_at_ms=now_ms,
                answered_at_ms=now_ms + 1_000,
                bridged_at_ms=now_ms + 1_000,
                agent=agent,
            )
        )
        agents.append(
            Agent(
                id=agent,
                state=AgentState.TALKING,
                since_ms=now_ms + 1_000,
                leg=leg,
                bridge=bridge_of_leg(leg),
                attempt=id_,
            )
        )
    return attempts, agents


async def _live(account: AriAccount, attempts: list[Attempt], agents: list[Agent]) -> None:
    """Make the conversations in Asterisk, as an engine that has died since would have left them."""
    headers = {"Authorization": aiohttp.encode_basic_auth(account.user, account.secret)}
    places = asyncio.Semaphore(ORIGINATES_AT_ONCE)
    async with aiohttp.ClientSession(headers=headers) as http:
        url = f"{account.url}/events"
        async with (
            http.ws_connect(url, params={"app": account.app}, max_msg_size=0) as socket,
            asyncio.TaskGroup() as group,
        ):
            drain = group.create_task(_drain(socket), name="drain")

            async def talk(attempt: Attempt, agent: Agent) -> None:
                async with places:
                    for leg, stub in ((agent.leg, "zvonar-agent"), (attempt.leg, "zvonar-customer")):
                        assert attempt.number is not None
                        endpoint = f"PJSIP/{attempt.number.e164}@{CARRIER}"
                        query = {"endpoint": endpoint, "channelId": str(leg), "context": stub, "extension": "s"}
                        async with http.post(f"{account.url}/channels", params={**query, "priority": "1"}) as reply:
                            assert reply.status == 200, await reply.text()

            for attempt, agent in zip(attempts, agents, strict=True):
                group.create_task(talk(attempt, agent), name="talk")
            async with asyncio.timeout(30):
                while len((await _json(http, f"{account.url}/applications/{account.app}"))["channel_ids"]) < 2 * CALLS:
                    await asyncio.sleep(0.1)
            for attempt, agent in zip(attempts, agents, strict=True):
                bridge = f"{account.url}/bridges/{agent.bridge}"
                members = f"{agent.leg},{attempt.leg}"
                async with http.post(bridge, params={"type": "mixing"}) as made:
                    assert made.status == 200
                async with http.post(f"{bridge}/addChannel", params={"channel": members}) as joined:
                    assert joined.status == 204, await joined.text()
            drain.cancel()


async def _drain(socket: aiohttp.ClientWebSocketResponse) -> None:
    async for _ in socket:
        pass


async def _json(http: aiohttp.ClientSession, url: str) -> Any:
    async with http.get(url) as reply:
        return await reply.json()


async def _ask(account: AriAccount, method: str, path: str) -> Any:
    headers = {"Authorization": aiohttp.encode_basic_auth(account.user, account.secret)}
    async with aiohttp.ClientSession(headers=headers) as http, http.request(method, f"{account.url}/{path}") as reply:
        return await reply.json()


def _policy(agents: list[Agent]) -> Policy:
    campaign = Campaign(
        id=CAMPAIGN,
        name="Storm",
        pacing=Progressive(),
        trunks=(CARRIER,),
        caller_id=None,
        attempts=AttemptPolicy(max=1, retry=MappingProxyType({})),
        hours=CallingHours(spans=(((0, 1440),),) * 7, zone="Europe/Kyiv"),
        dispositions=(Disposition(id=DispositionId("said"), kind=DispositionKind.FINAL, labels=MappingProxyType({})),),
    )
    profiles = {
        agent.id: AgentProfile(id=agent.id, name=agent.id, phone=PhoneId(agent.id), campaigns=(CAMPAIGN,))
        for agent in agents
    }
    return Policy(
        campaigns=MappingProxyType({CAMPAIGN: campaign}),
        trunks=MappingProxyType({CARRIER: Trunk(id=CARRIER, lines_max=1_000, calls_per_second_max=1_000)}),
        agents=MappingProxyType(profiles),
    )
