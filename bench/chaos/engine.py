"""The engine under test: `zvonar run` with operators who work by themselves, an eye on it, and a place to die at.

    python -m bench.chaos.engine CONFIG

Environment: ZVONAR_CRASH_AT=point[:n] kills this process with SIGKILL the nth time it passes the point (CRASH_POINTS)
under conversations; ZVONAR_ARI_VIA=host:port is a proxy before Asterisk; ZVONAR_EYE=port gets what can be seen, by UDP
on loopback: a file would be one more thing that a full disk breaks.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import signal
import socket
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import orjson

from asterisk.instance import Asterisk
from engine import app, telephony
from engine.app import Parts
from engine.ari import switch
from engine.ari.client import AriAccount, AriClient
from engine.ari.resources import Request
from engine.ari.switch import AriSwitch
from engine.cli.running import serve
from engine.config import Loaded, load
from engine.core import effects
from engine.core.events import (
    AgentLogin,
    AgentReady,
    CampaignSwitched,
    DeskEvent,
    Dispose,
    LegAnswered,
    LegBridged,
    LegHungUp,
    LegRinging,
    SwitchEvent,
)
from engine.core.model import Agent, AgentState, CampaignId, CommandId, CustomerState, attempt_of_leg
from engine.store.store import Store
from engine.switch import Sink

LOOK_EVERY_S: Final = 0.02
WORK_EVERY_S: Final = 0.1
#: Conversations that must go on before the process may die.
ARMED_BY_TALKS: Final = 3

#: Where the process can be told to die, in the order of a call's life.
CRASH_POINTS: Final = (
    "before_commit",  # decided to dial, not on disk
    "after_commit",  # on disk, not sent to Asterisk
    "originate_sent",  # sent, no reply yet
    "ringing",
    "answered",  # Asterisk told us; nothing is decided
    "bridge_sent",
    "bridged",
    "hung_up",
    "before_end_saved",
    "before_disposition_saved",
    "after_disposition_saved",  # on disk, the operator has not seen it
)


class Fuse:
    """Burns down at one point of the program, at the nth passing since it was armed: when enough is going on."""

    def __init__(self, wish: str) -> None:
        self._point, _, times = wish.partition(":")
        assert self._point in ("", *CRASH_POINTS), self._point
        self._left = int(times or 1)
        self.armed = False

    def passes(self, point: str) -> None:
        """This point is passed now."""
        if self.armed and point == self._point:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


FUSE: Final = Fuse(os.environ.get("ZVONAR_CRASH_AT", ""))


class MortalStore(Store):
    """Dies before or after a commit."""

    async def commit(self, writes: Sequence[effects.Write]) -> None:
        kinds = {type(write) for write in writes}
        if effects.SaveAttempt in kinds:
            FUSE.passes("before_commit")
        if effects.SaveEnd in kinds:
            FUSE.passes("before_end_saved")
        if effects.SaveDisposition in kinds:
            FUSE.passes("before_disposition_saved")
        await super().commit(writes)
        if effects.SaveAttempt in kinds:
            FUSE.passes("after_commit")
        if effects.SaveDisposition in kinds:
            FUSE.passes("after_disposition_saved")


class MortalSwitch(AriSwitch):
    """Dies when a customer's leg has come so far."""

    async def run(self, sink: Sink) -> None:
        points = {LegRinging: "ringing", LegAnswered: "answered", LegBridged: "bridged", LegHungUp: "hung_up"}

        def told(event: SwitchEvent) -> bool:
            if (point := points.get(type(event))) and attempt_of_leg(getattr(event, "leg", "")):
                FUSE.passes(point)
            return sink(event)

        await super().run(told)

    def send(self, order: effects.SwitchOrder) -> None:
        super().send(order)
        if isinstance(order, effects.Bridge):
            asyncio.get_running_loop().call_soon(FUSE.passes, "bridge_sent")


class MortalClient(AriClient):
    """Dies between a dial and its reply."""

    async def request(self, request: Request[Any], *, deadline_ms: int | None = None) -> Any:
        if not (request.once and attempt_of_leg(dict(request.query).get("channelId", ""))):
            return await super().request(request, deadline_ms=deadline_ms)
        _turns_later(3, "originate_sent")  # the frame is written in the first turn of the loop, its reply is read later
        return await super().request(request, deadline_ms=deadline_ms)


def _turns_later(turns: int, point: str) -> None:
    if turns:
        asyncio.get_running_loop().call_soon(_turns_later, turns - 1, point)
    else:
        FUSE.passes(point)


def _account(loaded: Loaded, private: Asterisk | None) -> AriAccount:
    account = telephony.ari_account(loaded, private)
    via = os.environ.get("ZVONAR_ARI_VIA")
    return replace(account, url=f"http://{via}/ari") if via else account


# ── operators and an eye ─────────────────────────────────────────────────────────────────────────────────────────


class Operators:
    """Everybody logs in, is ready, and says at once how a call was. Nobody ever hangs up first."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._busy: set[str] = set()
        self._numbers = itertools.count()
        self._run = secrets.token_hex(4)
        self.saved = self.not_saved = 0

    async def work(self) -> None:
        """Until cancelled."""
        driver = self._parts.driver
        campaigns = [CampaignId(name) for name in self._parts.loaded.config.campaigns]
        async with asyncio.TaskGroup() as group:
            for campaign in campaigns:
                order = CampaignSwitched(command=self._command(), by="chaos", campaign=campaign, running=True)
                group.create_task(self._do(order, "start"), name="start")
            while True:
                view = driver.snapshot()
                for agent in view.agents:
                    wish = self._wish(agent, view.switch_problem)
                    if wish is not None and agent.id not in self._busy:
                        group.create_task(self._do(wish, agent.id), name="wish")
                await asyncio.sleep(WORK_EVERY_S)

    def _wish(self, agent: Agent, switch_problem: str) -> DeskEvent | None:
        me: dict[str, Any] = {"command": self._command(), "by": agent.id, "agent": agent.id}
        if agent.attempt is not None and not agent.disposed:
            if agent.state in {AgentState.WRAP_UP, AgentState.PAUSED, AgentState.LOGGED_OUT}:
                attempt = next((a for a in self._parts.driver.snapshot().attempts if a.id == agent.attempt), None)
                campaign = self._parts.driver.policy().campaigns.get(attempt.campaign) if attempt else None
                if campaign is None:
                    return None
                return Dispose(**me, attempt=agent.attempt, disposition=campaign.dispositions[0].id)
            return None
        if agent.state is AgentState.LOGGED_OUT and agent.phone_registered and not switch_problem:
            return AgentLogin(**me)
        return AgentReady(**me) if agent.state is AgentState.PAUSED else None

    async def _do(self, order: DeskEvent, who: str) -> None:
        self._busy.add(who)
        try:
            refused = await self._parts.driver.do(order)
            self.saved += isinstance(order, Dispose) and not refused
        except TimeoutError:
            self.not_saved += 1
        finally:
            self._busy.discard(who)

    def _command(self) -> CommandId:
        return CommandId(f"chaos-{self._run}-{next(self._numbers)}")


async def _see(parts: Parts, operators: Operators) -> None:
    """Tell what a supervisor would see, whenever it changes."""
    port = int(os.environ["ZVONAR_EYE"])
    said: dict[str, Any] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as eye:
        while True:
            view = parts.driver.snapshot()
            FUSE.armed |= sum(attempt.state is CustomerState.TALKING for attempt in view.attempts) >= ARMED_BY_TALKS
            now = {
                "pid": os.getpid(),
                "why": {one.campaign: one.reason for one in view.dialing},
                "switch": view.switch_problem,
                "store": view.store_problem,
                "agents": Counter(agent.state.value for agent in view.agents),
                "calls": Counter(attempt.state.value for attempt in view.attempts),
                "saved": operators.saved,
                "not_saved": operators.not_saved,
            }
            if now != said:
                said = now
                eye.sendto(orjson.dumps(now), ("127.0.0.1", port))
            await asyncio.sleep(LOOK_EVERY_S)


async def _play(parts: Parts) -> None:
    operators = Operators(parts)
    async with asyncio.TaskGroup() as group:
        group.create_task(operators.work(), name="operators")
        group.create_task(_see(parts, operators), name="eye")


def main() -> None:
    """As `zvonar run`, with the above."""
    for module, name, mortal in (
        (app, "Store", MortalStore),
        (app, "AriSwitch", MortalSwitch),
        (app, "ari_account", _account),
        (switch, "AriClient", MortalClient),
    ):
        setattr(module, name, mortal)
    loaded = load(Path(sys.argv[1]))
    assert isinstance(loaded, Loaded), loaded
    serve(app.run(loaded, play=_play))


if __name__ == "__main__":
    main()
