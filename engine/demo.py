"""`make run`: the main job by itself. A carrier that plays the public network, robot operators, a free seat for you."""

from __future__ import annotations

import asyncio
import itertools
import random
import secrets
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import aiohttp
import click
import orjson

from asterisk.carrier.plan import carrier_dialplan
from asterisk.conf import AsteriskInstance, Trunk, load_or_make_secrets
from asterisk.instance import Asterisk, AsteriskFailed, find_binary
from asterisk.robots import RobotFailed, RobotPhones
from crm_lite.auth import create_user
from engine.app import DRAINING, CannotStart, Parts, run
from engine.ari.client import AriAccount
from engine.clock import Clock
from engine.config import Loaded
from engine.config.schema import Demo
from engine.core.events import AgentHangup, AgentLogin, AgentReady, CampaignSwitched, DeskEvent, Dispose
from engine.core.model import Agent, AgentId, AgentState, Campaign, CampaignId, CommandId, DispositionKind
from engine.driver import DRAIN_LIMIT_REACHED, Driver
from engine.leads.files import import_file, meaning_of
from engine.leads.sheets import Refused
from engine.store.records import Records
from engine.store.rows import Role
from engine.telephony import phones_and_trunks

#: How often a robot operator looks at its screen.
LOOK_EVERY_S: Final = 0.5
#: How long a robot operator writes after a call.
WRITE_S: Final = (1.0, 4.0)
#: When a robot operator has had enough of a customer who does not hang up.
TALK_S: Final = (15.0, 45.0)
#: When a robot operator promises to call back.
CALL_BACK_AFTER_MS: Final = 10 * 60_000
#: Ports of the demo's own helpers, counted up from the carrier's SIP port.
CARRIER_ARI_OFFSET, CARRIER_AMI_OFFSET, ROBOTS_CONTROL_OFFSET = 1, 2, 3
CARRIER_RTP_PORTS: Final = (17_000, 17_999)
PASSWORD_BYTES: Final = 9
#: When somebody who called us has waited or talked enough.
CALLER_STAYS_S: Final = 90
#: What the log tells a newcomer in sentences, by event; see `engine.logs`. The first one comes after the terminal's ^C.
SENTENCES: Final = {
    DRAINING: "\nEnding: no more calls are placed, calls in progress may end. Ctrl+C again ends at once.",
    DRAIN_LIMIT_REACHED: "Not all was over within drain_limit. Calls cut off: {calls}.",
}


async def show(loaded: Loaded) -> None:
    """Run the demo until a signal. Raises CannotStart and StoreError."""
    demo = loaded.config.demo
    if demo is None:
        raise CannotStart(f"{loaded.path}: `make run` shows the section `demo`, and there is none; use `make serve`")
    async with AsyncExitStack() as scope:
        await _start_carrier(loaded, demo, scope)
        await _start_agi(loaded, scope)
        await run(loaded, play=lambda parts: _play(parts, demo, scope))


async def call_in(loaded: Loaded, caller: str, dialed: str) -> None:
    """Let somebody of the demo's public network call us. Raises CannotCall."""
    demo = loaded.config.demo
    if demo is None:
        raise CannotCall(f"{loaded.path}: there is no demo carrier without the section `demo`")
    carrier = _carrier(loaded, demo)
    if not (carrier.paths.keys / "secrets.json").exists():
        raise CannotCall("the demo carrier does not run: start `make run` first")
    known = load_or_make_secrets(carrier.paths)
    account = AriAccount(url=carrier.ari_url, user=known.ari_user, secret=known.ari_password, app="demo-call")
    headers = {"Authorization": aiohttp.encode_basic_auth(account.user, account.secret)}
    query = {
        "endpoint": f"PJSIP/{dialed}@engine",
        "context": "person",
        "extension": "s",
        "priority": "1",
        "callerId": caller,
    }
    body = {"variables": {"RING_S": "0", "TALK_S": str(CALLER_STAYS_S)}}
    try:
        async with (
            aiohttp.ClientSession(headers=headers) as http,
            http.post(f"{account.url}/channels", params=query, json=body) as answer,
        ):
            if not answer.ok:
                raise CannotCall(f"the demo carrier places no call: it answers {answer.status}")
    except aiohttp.ClientConnectionError as error:
        raise CannotCall("the demo carrier does not run: start `make run` first") from error


class CannotCall(Exception):
    """Why no call was placed, in words for the person who asked for it."""


async def _start_carrier(loaded: Loaded, demo: Demo, scope: AsyncExitStack) -> None:
    try:
        carrier = Asterisk(_carrier(loaded, demo), await asyncio.to_thread(find_binary), die_with_parent=True)
        await carrier.start()
    except AsteriskFailed as error:
        raise CannotStart(f"the demo carrier does not start: {error}") from None
    scope.push_async_callback(carrier.stop)


async def _start_agi(loaded: Loaded, scope: AsyncExitStack) -> None:
    """The FastAGI server, in a process of its own; a demo works without it too."""
    if loaded.config.asterisk.agi is None:
        return
    words = (sys.executable, "-c", "from engine.cli import main; main()", "-c", str(loaded.path), "agi")
    server = await asyncio.create_subprocess_exec(*words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    async def end() -> None:
        if server.returncode is None:
            server.terminate()
        await server.wait()

    scope.push_async_callback(end)


def _carrier(loaded: Loaded, demo: Demo) -> AsteriskInstance:
    trunk = loaded.config.trunks[demo.trunk]
    settings = loaded.config.asterisk
    return AsteriskInstance(
        name="carrier",
        root=loaded.resolve(Path("var/asterisk/carrier")).absolute(),
        sip_address=trunk.host.host,
        sip_port=trunk.host.port,
        http_port=trunk.host.port + CARRIER_ARI_OFFSET,
        ami_port=trunk.host.port + CARRIER_AMI_OFFSET,
        rtp_ports=CARRIER_RTP_PORTS,
        dialplan=carrier_dialplan(),
        trunks=(Trunk(name="engine", host=settings.sip.host, port=settings.sip.port, context="public", qualify_s=0),),
        language=loaded.config.languages[0],
    )


async def _play(parts: Parts, demo: Demo, scope: AsyncExitStack) -> None:
    """People, phones and leads of the demo; then the robots work until cancelled.

    What must outlive the engine's drain (the switch, the phones) is left to `scope`.
    """
    if parts.asterisk is not None:
        scope.push_async_callback(parts.asterisk.stop)
    passwords = await _people(parts, demo)
    await _leads(parts, demo)
    await _phones(parts, demo, scope)
    _tell_newcomer(parts, demo, passwords)
    driver, chance = parts.driver, random.Random()  # noqa: S311 - robots need no secrets
    await driver.do(CampaignSwitched(command=_command(), by="demo", campaign=CampaignId(demo.campaign), running=True))
    async with asyncio.TaskGroup() as group:
        for robot in demo.robots:
            group.create_task(_work(driver, parts.clock, AgentId(robot), chance), name=f"robot-{robot}")


async def _people(parts: Parts, demo: Demo) -> dict[str, str]:
    """Log-ins of the demo; their passwords are made once and kept in a file of ours."""
    loaded, records = parts.loaded, Records(parts.database)
    file = loaded.resolve(loaded.config.asterisk.secrets / "demo-passwords")
    logins = [*loaded.config.agents, demo.supervisor]
    known: dict[str, str] = orjson.loads(file.read_bytes()) if file.exists() else {}
    passwords = {login: known.get(login) or secrets.token_urlsafe(PASSWORD_BYTES) for login in logins}
    if passwords != known:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_bytes(orjson.dumps(passwords, option=orjson.OPT_INDENT_2))
    for login, password in passwords.items():
        agent = loaded.config.agents.get(login)
        await create_user(
            records,
            login,
            password,
            Role.OPERATOR if agent else Role.ADMIN,
            login if agent else None,
            loaded.config.languages[0],
            name=agent.name if agent else "",
            now_ms=parts.clock.now_ms(),
        )
    return passwords


async def _leads(parts: Parts, demo: Demo) -> None:
    """The demo's leads; those that are there already are not doubled."""
    path = parts.loaded.resolve(demo.leads)
    try:
        report = await import_file(
            parts.database,
            path,
            campaign=CampaignId(demo.campaign),
            meaning=meaning_of(parts.loaded.config),
            file_name=path.name,
            by="demo",
            now_ms=parts.clock.now_ms(),
        )
    except Refused as error:
        raise CannotStart(f"{path}: {error}") from None
    click.echo(f"Leads: {report.counts.leads} new of {report.counts.rows} in {path.name}")
    parts.driver.leads_changed(demo.campaign)


async def _phones(parts: Parts, demo: Demo, scope: AsyncExitStack) -> None:
    """Robot desk phones for the robots and for the free seat."""
    loaded = parts.loaded
    wanted = {loaded.config.agents[name].phone for name in (*demo.robots, demo.seat)}
    phones = [phone for phone in phones_and_trunks(loaded)[0] if phone.name in wanted]
    base = loaded.config.trunks[demo.trunk].host.port
    robots = RobotPhones(
        loaded.resolve(Path("var/phones")).absolute(),
        phones,
        server=f"{loaded.config.asterisk.sip.host}:{loaded.config.asterisk.sip.port}",
        control_port=base + ROBOTS_CONTROL_OFFSET,
    )
    try:
        await robots.start()
    except (RobotFailed, AsteriskFailed) as error:
        click.echo(f"No robot phones: {error}", err=True)
    else:
        scope.push_async_callback(robots.stop)


def _tell_newcomer(parts: Parts, demo: Demo, passwords: dict[str, str]) -> None:
    web = parts.loaded.config.web.listen
    width = max(map(len, passwords))
    click.echo("")
    click.echo(click.style(f"  Zvonar is running: http://{web.host}:{web.port}/", bold=True))
    click.echo("")
    click.echo("  Log in as                 to")
    click.echo(f"    {demo.seat:<{width}}  {passwords[demo.seat]:<14} take calls: «Начать смену», then ready")
    click.echo(f"    {demo.supervisor:<{width}}  {passwords[demo.supervisor]:<14} watch and steer everything")
    click.echo(f"  Robots work as {', '.join(demo.robots)}. Ctrl+C ends; a second one at once.")
    click.echo("")


async def _work(driver: Driver, clock: Clock, me: AgentId, chance: random.Random) -> None:
    """A robot operator's shift: log in, be ready, talk, write, choose a result."""
    patience_ms = 1000 * chance.uniform(*TALK_S)
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        view = driver.snapshot()
        agent = next(a for a in view.agents if a.id == me)
        match agent.state:
            case AgentState.LOGGED_OUT if agent.phone_registered and not view.switch_problem:
                await _do(driver, AgentLogin(command=_command(), by=me, agent=me))
            case AgentState.PAUSED if agent.attempt is None:
                await _do(driver, AgentReady(command=_command(), by=me, agent=me))
            case AgentState.TALKING if clock.now_ms() - agent.since_ms > patience_ms:
                patience_ms = 1000 * chance.uniform(*TALK_S)
                await _do(driver, AgentHangup(command=_command(), by=me, agent=me))
            case AgentState.WRAP_UP | AgentState.PAUSED if agent.attempt is not None and not agent.disposed:
                await asyncio.sleep(chance.uniform(*WRITE_S))
                await _dispose(driver, agent, chance)


async def _dispose(driver: Driver, agent: Agent, chance: random.Random) -> None:
    attempt = driver.attempt(agent.attempt) if agent.attempt else None
    campaign: Campaign | None = driver.policy().campaigns.get(attempt.campaign) if attempt else None
    if attempt is None or campaign is None:
        return
    fits = [d for d in campaign.dispositions if d.kind is not DispositionKind.DNC]
    if attempt.lead is None:  # a stranger: what changes no lead
        fits = [d for d in fits if d.kind is DispositionKind.FINAL]
    said = chance.choice(fits)
    at_ms = attempt.planned_at_ms + CALL_BACK_AFTER_MS if said.kind is DispositionKind.CALLBACK else None
    order = Dispose(
        command=_command(),
        by=agent.id,
        agent=agent.id,
        attempt=attempt.id,
        disposition=said.id,
        callback_at_ms=at_ms,
    )
    await _do(driver, order)


async def _do(driver: Driver, event: DeskEvent) -> None:
    try:
        await driver.do(event)
    except TimeoutError:
        click.echo("A robot's click was not saved in time; it will look again.", err=True)


_numbers = itertools.count(1)
_run = secrets.token_hex(4)


def _command() -> CommandId:
    return CommandId(f"demo-{_run}-{next(_numbers)}")
