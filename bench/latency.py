"""Answer → conversation: how long a customer who has answered waits for an agent who is free.

    python -m bench.latency [--seconds 40] [--no-browser]

Both figures come from one run on one Asterisk, one after the other, and from Asterisk's own time stamps:
`StasisStart` of the customer (the answer) → `ChannelEnteredBridge` (they hear each other). Ours is the whole engine,
every attempt on disk before it is dialed; the floor is a bare WebSocket that does nothing but bridge. Agents are real
SIP phones (baresip) with real RTP; customers are SIPp: answer at once, hang up after a second.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import aiohttp
import uvloop
from playwright.async_api import Page, async_playwright

from asterisk.conf import Phone as DeskPhone
from asterisk.conf import Trunk as Carrier
from asterisk.instance import Asterisk, find_binary
from asterisk.pair import PairPorts, engine_asterisk
from asterisk.process import end, spawn
from asterisk.robots import RobotPhones, phone_programs
from crm_lite.app import make_app
from crm_lite.auth import create_user
from engine.app import new_driver, serving
from engine.ari.client import AriAccount, Frame
from engine.ari.switch import AriSwitch
from engine.clock import WallClock
from engine.config import Loaded, parse
from engine.core.effects import AgentChanged
from engine.core.events import AgentLogin, AgentReady, CampaignSwitched, Dispose
from engine.core.model import (
    AgentId,
    AgentState,
    CampaignId,
    CommandId,
    DispositionId,
    PhoneId,
    PhoneNumber,
    TrunkId,
)
from engine.driver import Driver
from engine.leads.plan import ImportRow
from engine.store.database import AioDatabase
from engine.store.imports import import_leads
from engine.store.records import Records
from engine.store.store import Store

AGENTS: Final = 50
CALLS_PER_S: Final = 30
TALK_MS: Final = 1_000
CAMPAIGN: Final = CampaignId("bench")
CARRIER: Final = TrunkId("carrier")
CARRIER_LOG: Final = "carrier.log"
SALE: Final = DispositionId("sale")
#: The floor's calls and the first seconds of ours warm up phones, caches and the database.
WARM_UP_S: Final = 3.0

_CALLEE: Final = """<?xml version="1.0" encoding="UTF-8"?>
<scenario name="answers at once, hangs up after a while">
  <recv request="INVITE" crlf="true" rrs="true">
    <action><ereg regexp=".*" search_in="hdr" header="From:" assign_to="1"/></action>
  </recv>
  <send><![CDATA[
    SIP/2.0 200 OK
    [last_Via:]
    [last_From:]
    [last_To:];tag=[pid]SIPpTag[call_number]
    [last_Call-ID:]
    [last_CSeq:]
    Contact: <sip:[local_ip]:[local_port];transport=[transport]>
    Content-Type: application/sdp
    Content-Length: [len]

    v=0
    o=callee 1 1 IN IP4 [local_ip]
    s=-
    c=IN IP4 [media_ip]
    t=0 0
    m=audio [media_port] RTP/AVP 8
    a=rtpmap:8 PCMA/8000
  ]]></send>
  <recv request="ACK" crlf="true"/>
  <pause milliseconds="{talk_ms}"/>
  <send retrans="500"><![CDATA[
    BYE [next_url] SIP/2.0
    Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
    From: <sip:callee@[local_ip]:[local_port]>;tag=[pid]SIPpTag[call_number]
    To: [$1]
    Call-ID: [call_id]
    CSeq: 2 BYE
    Max-Forwards: 70
    Content-Length: 0

  ]]></send>
  <recv response="200" crlf="true"/>
</scenario>
"""


def callee(talk_ms: int) -> str:
    """A SIPp scenario: answers at once, hangs up after so long."""
    return _CALLEE.replace("{talk_ms}", str(talk_ms))


@dataclass(slots=True)
class Delays:
    """Answer → bridge, by Asterisk's clock."""

    answered: dict[str, datetime] = field(default_factory=dict)
    answered_ms: dict[str, float] = field(default_factory=dict)  # kept for the pops
    ms: list[float] = field(default_factory=list)

    def see(self, event: dict[str, Any]) -> None:
        """Note an event of a customer's channel."""
        channel = event.get("channel", {}).get("id", "")
        if not channel.startswith("a."):
            return
        if event["type"] == "StasisStart":
            self.answered[channel] = at = datetime.fromisoformat(event["timestamp"])
            self.answered_ms[channel] = at.timestamp() * 1000
        elif event["type"] == "ChannelEnteredBridge" and channel in self.answered:
            waited = datetime.fromisoformat(event["timestamp"]) - self.answered.pop(channel)
            self.ms.append(waited.total_seconds() * 1000)

    def quantile(self, share: float) -> float:
        """A quantile in ms, without the warm-up."""
        ordered = sorted(self.ms[round(WARM_UP_S * CALLS_PER_S) :])
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class TimedSwitch(AriSwitch):
    """The engine's own switch, with an eye on the time stamps."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.delays = Delays()

    def _take(self, frame: Frame) -> bool:
        if isinstance(frame, dict):
            self.delays.see(frame)
        return super()._take(frame)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A switch with desk phones and a carrier."""

    asterisk: Asterisk
    account: AriAccount
    phones: tuple[DeskPhone, ...]
    root: Path


@asynccontextmanager
async def stage(port: int, scenario: str, *, agents: int = AGENTS) -> AsyncIterator[Stage]:
    """Asterisk, desk phones and SIPp playing the scenario, ended with the scope. Ports are counted from `port`."""
    async with AsyncExitStack() as scope:
        root = Path(scope.enter_context(tempfile.TemporaryDirectory(prefix="zb-")))
        ports = PairPorts(
            sip=port, ari=port + 1, ami=port + 2, carrier_sip=port + 3, carrier_ari=0, carrier_ami=0, rtp=port + 100
        )
        phones = tuple(DeskPhone(name=str(201 + n), password=f"phone-{201 + n}") for n in range(agents))
        carrier = Carrier(name=CARRIER, host="127.0.0.1", port=ports.carrier_sip, lines_max=500, qualify_s=0)
        instance = engine_asterisk(root / "engine", ports, phones=phones, trunks=(carrier,))
        asterisk = Asterisk(instance, await asyncio.to_thread(find_binary), die_with_parent=True)
        await asterisk.start()
        scope.push_async_callback(asterisk.stop)
        (root / "callee.xml").write_text(scenario, encoding="utf-8")
        (root / "silence.alaw").write_bytes(b"\xd5" * 8_000)
        programs = await asyncio.to_thread(phone_programs)
        argv = ["-sf", "callee.xml", "-i", "127.0.0.1", "-p", str(ports.carrier_sip), "-nostdin", "-l", "1000"]
        argv += ["-trace_logs", "-log_file", str(root / CARRIER_LOG), "-min_rtp_port", str(port + 2_200)]
        sipp = spawn([str(programs / "sipp"), *argv], log=root / "sipp.log", cwd=root, die_with_parent=True)
        scope.push_async_callback(asyncio.to_thread, end, sipp)
        robots = RobotPhones(
            root / "phones",
            phones,
            server=f"127.0.0.1:{ports.sip}",
            control_port=port + 5,
        )
        await robots.start()
        scope.push_async_callback(robots.stop)
        async with asyncio.timeout(20):
            while len(await robots.registered()) < agents:
                await asyncio.sleep(0.2)
        secrets = asterisk.secrets
        account = AriAccount(
            url=f"http://127.0.0.1:{ports.ari}/ari", user=secrets.ari_user, secret=secrets.ari_password, app="zvonar"
        )
        yield Stage(asterisk=asterisk, account=account, phones=phones, root=root)


# ── ours ─────────────────────────────────────────────────────────────────────────────────────────────────────────


_CONFIG: Final = """\
web: {{listen: 127.0.0.1:{web}}}
trunks: {{carrier: {{host: 127.0.0.1:5060, lines_max: 500, calls_per_second_max: {calls_per_s}}}}}
phones: {{{phones}}}
agents: {{{agents}}}
dispositions: {{sale: {{labels: {{ru: Продажа, uk: Продаж, en: Sale}}, kind: final}}}}
campaigns:
  bench:
    name: Bench
    pacing: {{mode: progressive}}
    trunks: [carrier]
    wrap_up: {{mode: timed, limit: 5s}}
    attempts: {{max: 1}}
    zone: Europe/Kyiv
    hours: {{daily: "00:00-24:00"}}
    dispositions: [sale]
"""


def _loaded(stage: Stage, web: int) -> Loaded:
    names = [phone.name for phone in stage.phones]
    text = _CONFIG.format(
        web=web,
        calls_per_s=CALLS_PER_S,
        phones=", ".join(f"{name}: {{}}" for name in names),
        agents=", ".join(f"a{name}: {{name: Agent {name}, phone: {name}, campaigns: [bench]}}" for name in names),
    )
    loaded = parse(text, stage.root / "config.yaml")
    assert isinstance(loaded, Loaded), loaded
    return loaded


async def ours(stage: Stage, seconds: float, *, browser: bool, port: int) -> tuple[Delays, list[float]]:
    """The whole engine: floor, store, switch, pages; agents who dispose at once; one desk in Chromium."""
    clock = WallClock()
    loaded = _loaded(stage, port)
    async with AsyncExitStack() as scope:
        database = await scope.enter_async_context(
            AioDatabase.open(stage.root / f"bench-{browser}.db", now_ms=clock.now_ms(), controller=True)
        )
        rows = (
            ImportRow(line=n, phones=(PhoneNumber(f"+7000{n:07d}"),)) for n in range(round((seconds + 5) * CALLS_PER_S))
        )
        await import_leads(database, CAMPAIGN, rows, file_name="bench", by="bench", now_ms=clock.now_ms())
        store = Store(database)
        phones = [PhoneId(phone.name) for phone in stage.phones]
        switch = TimedSwitch(stage.account, clock=clock, chance=random.random, trunks=[CARRIER], phones=phones)
        driver, first = await new_driver(loaded.policy, store=store, switch=switch, clock=clock)
        await scope.enter_async_context(serving(make_app(driver, database, loaded, clock), loaded.config.web.listen))
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(driver.run(first), name="engine"),
                group.create_task(_agents(driver), name="agents"),
            ]
            desk = await scope.enter_async_context(_desk(database, loaded, clock)) if browser else None
            await _shift(driver, list(loaded.policy.agents))
            await asyncio.sleep(seconds)
            pops = await _pops(desk, switch.delays) if desk is not None else []
            for task in tasks:
                task.cancel()
        return switch.delays, pops


# ── a desk in Chromium ───────────────────────────────────────────────────────────────────────────────────────────

_CHROMIUM: Final = Path("/usr/bin/chromium")
_FLAGS: Final = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync")
#: Notes for each card when it was on the glass: two frames after it came into the page.
_WATCH: Final = """
window.pops = [];
addEventListener("DOMContentLoaded", () => {
  let last = "";
  new MutationObserver(() => {
    const attempt = document.querySelector("#work .work[data-attempt]")?.dataset.attempt || "";
    if (!attempt || attempt === last) return;
    last = attempt;
    requestAnimationFrame(() => requestAnimationFrame(
      () => window.pops.push([attempt, performance.timeOrigin + performance.now()])));
  }).observe(document.getElementById("work"), {childList: true, subtree: true});
});
"""


@asynccontextmanager
async def _desk(database: AioDatabase, loaded: Loaded, clock: WallClock) -> AsyncIterator[Page]:
    agent, password = next(iter(loaded.policy.agents)), "nine-Green-7-bottles"
    await create_user(Records(database), agent, password, "operator", agent, now_ms=clock.now_ms())
    web = loaded.config.web.listen
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=_CHROMIUM, args=list(_FLAGS))
        page = await chromium.new_page()
        await page.add_init_script(_WATCH)
        await page.goto(f"http://{web.host}:{web.port}/login")
        await page.fill("input[name=login]", agent)
        await page.fill("input[name=password]", password)
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/desk")
        yield page
        await chromium.close()


async def _pops(page: Page, delays: Delays) -> list[float]:
    """Answer → card on the glass, in ms; the machine's one clock stamps both."""
    painted: list[tuple[str, float]] = await page.evaluate("window.pops")
    answered = delays.answered_ms
    return sorted(at_ms - answered[f"a.{attempt}.c"] for attempt, at_ms in painted[1:] if f"a.{attempt}.c" in answered)


async def _shift(driver: Driver, agents: list[AgentId]) -> None:
    await until(lambda: not driver.snapshot().switch_problem, "Asterisk is reached")
    for agent in agents:
        await driver.do(AgentLogin(command=next_command(), by=agent, agent=agent))
    await until(lambda: all(a.state is AgentState.PAUSED for a in driver.snapshot().agents), "all agents are logged in")
    for agent in agents:
        await driver.do(AgentReady(command=next_command(), by=agent, agent=agent))
    await driver.do(CampaignSwitched(command=next_command(), by="bench", campaign=CAMPAIGN, running=True))


async def _agents(driver: Driver) -> None:
    """Agents who choose a result the moment the customer is gone."""
    async with asyncio.TaskGroup() as group, driver.subscribe() as notices:
        async for notice in notices:
            if not isinstance(notice, AgentChanged) or notice.agent.state is not AgentState.WRAP_UP:
                continue
            agent = notice.agent
            if agent.attempt is not None and not agent.disposed:
                order = Dispose(
                    command=next_command(), by=agent.id, agent=agent.id, attempt=agent.attempt, disposition=SALE
                )
                group.create_task(driver.do(order), name="dispose")


# ── the floor ────────────────────────────────────────────────────────────────────────────────────────────────────


async def floor(stage: Stage, seconds: float) -> Delays:
    """Nothing but ARI: originate thirty times a second, bridge each answer at once to the next free leg."""
    delays = Delays()
    account = stage.account
    headers = {"Authorization": aiohttp.encode_basic_auth(account.user, account.secret)}
    url = f"{account.url}/events?app={account.app}&subscribeAll=false"
    async with aiohttp.ClientSession(headers=headers) as http, http.ws_connect(url, max_msg_size=0) as socket:
        bare = _Bare(socket, delays)
        async with asyncio.TaskGroup() as group:
            reader = group.create_task(bare.read(), name="reader")
            for phone in stage.phones:
                await bare.call(f"PJSIP/{phone.name}", f"g.{phone.name}", "zvonar-agent")
            await until(lambda: len(bare.free) == AGENTS, "all legs are up")
            started = asyncio.get_running_loop().time()
            for n in range(round(seconds * CALLS_PER_S)):
                await asyncio.sleep(max(0.0, started + n / CALLS_PER_S - asyncio.get_running_loop().time()))
                await bare.call(f"PJSIP/+7000{n:07d}@{CARRIER}", f"a.{n}.c", "zvonar-customer")
            await asyncio.sleep(TALK_MS / 1000 + 0.5)
            reader.cancel()
        for leg in stage.phones:
            await bare.ask("DELETE", f"channels/g.{leg.name}")
    return delays


class _Bare:
    """A WebSocket and the least that bridges."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, delays: Delays) -> None:
        self.free: deque[str] = deque()
        self._socket = socket
        self._delays = delays
        self._taken: dict[str, str] = {}
        self._numbers = itertools.count()

    async def ask(self, method: str, uri: str, **query: str) -> None:
        """Send a request; its answer is not waited for."""
        frame = {
            "type": "RESTRequest",
            "request_id": str(next(self._numbers)),
            "method": method,
            "uri": uri,
            "query_strings": [{"name": name, "value": value} for name, value in query.items()],
        }
        await self._socket.send_str(json.dumps(frame))

    async def call(self, endpoint: str, channel: str, context: str) -> None:
        """Dial into the same dialplan stub as the engine does."""
        await self.ask(
            "POST", "channels", endpoint=endpoint, channelId=channel, context=context, extension="s", priority="1"
        )

    async def read(self) -> None:
        """Bridge whoever answers."""
        async for message in self._socket:
            event = json.loads(message.data)
            self._delays.see(event)
            channel = event.get("channel", {}).get("id", "")
            if event["type"] == "StasisStart" and channel.startswith("g."):
                await self.ask("POST", f"bridges/b.{channel}", type="mixing")
                await self.ask("POST", f"bridges/b.{channel}/addChannel", channel=channel)
                self.free.append(channel)
            elif event["type"] == "StasisStart" and self.free:
                self._taken[channel] = leg = self.free.popleft()
                await self.ask("POST", f"bridges/b.{leg}/addChannel", channel=channel)
            elif event["type"] == "StasisEnd" and channel in self._taken:
                self.free.append(self._taken.pop(channel))


# ── the run ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def until(is_so: Callable[[], bool], what: str, within_s: float = 30.0) -> None:
    """Wait for it; else the bench ends and says what it waited for."""
    try:
        async with asyncio.timeout(within_s):
            while not is_so():
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise SystemExit(f"the bench gave up waiting until {what}") from None


_commands = itertools.count()


def next_command() -> CommandId:
    """The id of one more press of a button."""
    return CommandId(f"bench-{next(_commands)}")


async def _run(seconds: float, port: int, *, browser: bool) -> dict[str, float]:
    async with stage(port, callee(TALK_MS)) as built:
        bare = await floor(built, seconds)
        engine, _ = await ours(built, seconds, browser=False, port=port + 9)
        # A rendering Chromium takes a core of its own: the desk is measured apart, under the same load.
        pops = (await ours(built, seconds, browser=True, port=port + 9))[1] if browser else []
    result: dict[str, float] = {"calls": len(engine.ms), "floor_calls": len(bare.ms), "pops": len(pops)}
    for name, delays in (("bridged", engine), ("floor", bare)):
        for label, share in (("p50", 0.50), ("p99", 0.99), ("max", 1.0)):
            result[f"{name}_{label}_ms"] = delays.quantile(share)
    if pops:
        result["pop_p50_ms"], result["pop_p95_ms"] = (
            round(pops[min(len(pops) - 1, int(share * len(pops)))], 1) for share in (0.50, 0.95)
        )
    return result


def main() -> None:
    """Run, print the table, end with RESULT."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--seconds", type=float, default=60.0)
    asked.add_argument("--port", type=int, default=24_600)
    asked.add_argument("--no-browser", action="store_true", help="leave the screen-pop out")
    options = asked.parse_args()
    browser = not options.no_browser
    if browser and not _CHROMIUM.exists():
        print(f"{_CHROMIUM} is missing: no screen-pop is measured (`make setup` installs it)")
        browser = False
    result = uvloop.run(_run(options.seconds, options.port, browser=browser))
    print(f"{AGENTS} nailed-up agents, {CALLS_PER_S} calls/s, {result['calls']:.0f} conversations")
    print(f"{'answer → bridge':<18}{'p50 ms':>8}{'p99 ms':>8}{'max ms':>8}")
    for name, said in (("bridged", "engine"), ("floor", "floor")):
        print(f"  {said:<16}" + "".join(f"{result[f'{name}_{q}_ms']:>8.1f}" for q in ("p50", "p99", "max")))
    if "pop_p95_ms" in result:
        print(
            f"answer → card painted: p50 {result['pop_p50_ms']:.0f} ms, p95 {result['pop_p95_ms']:.0f} ms, "
            f"{result['pops']:.0f} cards"
        )
    print("RESULT " + json.dumps(result))


if __name__ == "__main__":
    main()
