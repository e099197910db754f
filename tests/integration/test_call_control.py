"""Call control on a real Asterisk: what customers and operators hear, and what is kept of it."""

from __future__ import annotations

import asyncio
import random
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from asterisk.journal import CarriedCall
from asterisk.robots import RobotPhones
from engine.app import new_driver
from engine.ari.client import AriAccount
from engine.ari.switch import AriSwitch
from engine.clock import WallClock
from engine.core import events
from engine.core.effects import Bridge, Hangup, PauseRecording, SendDigits, StartRecording, StopRecording
from engine.core.events import CommandFailed, LegBridged, LegHungUp
from engine.core.model import (
    AgentId,
    AgentState,
    CommandId,
    ConsultAct,
    PhoneId,
    PhoneNumber,
    Recorded,
    RecordingRule,
    TrunkId,
    bridge_of_leg,
)
from engine.driver import Driver
from engine.store.database import AioDatabase
from engine.store.imports import import_leads
from engine.store.store import Store
from engine.verify import verify
from tests.contract.store_people import rows
from tests.contract.test_switch import ANSWERS_AND_STAYS, connected
from tests.conversation import ANNA, BORYS, SPRING, campaign, policy, profile
from tests.fakes.office import Person
from tests.integration.switches import AsteriskPair, RawAri, raw_ari, until
from tests.integration.test_ari_phones import account_of

pytestmark = pytest.mark.integration


async def test_a_recording_is_a_file_named_with_the_attempt_and_lacks_what_was_paused(
    asterisk_pair: AsteriskPair,
) -> None:
    async with connected(account_of(asterisk_pair)) as phone:
        agent, customer = await phone.seated_agent(), await phone.answered()
        phone.switch.send(Bridge(customer, agent, bridge_of_leg(agent), tone=False))
        await phone.fact(LegBridged, customer)
        name = f"{customer}.1"
        start = StartRecording(
            customer=customer, bridge=bridge_of_leg(agent), name=name, length_max_ms=60_000, announcement="beep"
        )
        phone.switch.send(start)
        file = asterisk_pair.engine.instance.paths.spool / "recording" / f"{name}.wav"
        await until(lambda: file.exists() and file.stat().st_size > 16_000)
        phone.switch.send(PauseRecording(customer, name, on=True))
        phone.switch.send(SendDigits(customer, "123"))
        phone.switch.send(PauseRecording(customer, name, on=False))
        phone.switch.send(StopRecording(customer, name))
        await until(lambda: seconds_of(file))
        for leg in (customer, agent):
            phone.switch.send(Hangup(leg, bridge_of_leg(leg) if leg == agent else None))
            await phone.fact(LegHungUp, leg)
        assert not [fact for fact in phone.facts if isinstance(fact, CommandFailed)]


def seconds_of(file: Path) -> float | None:
    """How long a complete file is; None while Asterisk has not closed it."""
    try:
        with wave.open(str(file)) as sound:
            return sound.getnframes() / sound.getframerate() or None
    except wave.Error:
        return None  # Asterisk has it open, and its header is still to be written


NUMBER = f"+3804412345{ANSWERS_AND_STAYS}"


class Desks:
    """A real engine on real phones, with a hand on its operators' buttons."""

    def __init__(self, pair: AsteriskPair, database: AioDatabase, ari: RawAri) -> None:
        self.pair = pair
        self.database = database
        self.ari = ari
        self.driver: Driver | None = None
        self._commands = 0

    @asynccontextmanager
    async def engine(self) -> AsyncIterator[None]:
        """One life of the engine; it ends without a word, as by kill -9."""
        secrets = self.pair.engine.secrets
        account = AriAccount(
            url=self.pair.ari_url, user=secrets.ari_user, secret=secrets.ari_password, app="zvonar-control"
        )
        switch = AriSwitch(
            account,
            clock=WallClock(),
            chance=random.random,
            trunks=[TrunkId("carrier")],
            phones=[PhoneId("101"), PhoneId("102")],
        )
        people = (profile(ANNA, phone=PhoneId("101")), profile(BORYS, phone=PhoneId("102")))
        rules = policy(campaign(recording=RecordingRule(mode=Recorded.ALWAYS)), agents=people)
        self.driver, first = await new_driver(rules, store=Store(self.database), switch=switch, clock=WallClock())
        async with asyncio.TaskGroup() as group:
            running = group.create_task(self.driver.run(first))
            await until(lambda: not self.running.snapshot().switch_problem)
            yield
            running.cancel()

    @property
    def running(self) -> Driver:
        """The engine that runs now."""
        assert self.driver is not None
        return self.driver

    async def press(self, kind: Any, **what: Any) -> str:
        """Press a button; "" or why not."""
        self._commands += 1
        command = CommandId(f"{random.randrange(10**9)}-{self._commands}")
        return await self.running.do(kind(command=command, by="test", **what))

    def state(self, agent: AgentId) -> AgentState:
        return next(one.state for one in self.running.snapshot().agents if one.id == agent)

    async def at_work(self, agent: AgentId) -> None:
        """Log in and want calls."""
        assert await self.press(events.AgentLogin, agent=agent) == ""
        await until(lambda: self.state(agent) is AgentState.PAUSED)
        assert await self.press(events.AgentReady, agent=agent) == ""

    async def talks(self, agent: AgentId) -> None:
        """The engine says that they talk, and Asterisk has both in the agent's bridge and nobody else."""
        await until(lambda: self.state(agent) is AgentState.TALKING)
        me = next(one for one in self.running.snapshot().agents if one.id == agent)
        (attempt,) = [one for one in self.running.snapshot().attempts if one.id == me.attempt]

        async def together() -> bool:
            return {me.leg, attempt.leg} <= set((await self.bridges()).get(str(me.bridge), ()))

        await until(together)

    async def hears(self, who: str, *others: str) -> None:
        """Asterisk has `who` in one bridge with these others and nobody else; with no others, in none or alone."""

        async def as_wanted() -> bool:
            mine = [set(legs) for legs in (await self.bridges()).values() if who in legs]
            return (mine or [{who}]) == [{who, *others}]

        await until(as_wanted)

    def recordings(self, attempt: str) -> list[Path]:
        return list((self.pair.engine.instance.paths.spool / "recording").glob(f"{attempt}.*.wav"))

    def leg(self, agent: AgentId) -> str:
        return str(next(one.leg for one in self.running.snapshot().agents if one.id == agent))

    async def alone(self) -> bool:
        """Whether no customer is in any bridge."""
        return not any(leg.startswith("a.") for legs in (await self.bridges()).values() for leg in legs)

    def carried(self, number: str, since_ms: int) -> list[CarriedCall]:
        """The carrier's record of calls to that number."""
        calls = self.pair.carried()
        return [call for call in calls if f"+{call.number}" == number and call.invited_ms >= since_ms]

    async def over(self) -> bool:
        """Whether every attempt has its end on disk."""
        return not await rows(self.database, "SELECT id FROM attempts WHERE ended_at_ms IS NULL")

    async def bridges(self) -> dict[str, list[str]]:
        _, bridges = await self.ari.ask("GET", "bridges")
        return {bridge["id"]: bridge["channels"] for bridge in bridges}


@pytest.fixture
async def desks(asterisk_pair: AsteriskPair, robots: RobotPhones, tmp_path: Path) -> AsyncIterator[Desks]:
    """One lead, phones 101 and 102, and no engine yet."""
    now_ms = WallClock().now_ms()
    async with (
        AioDatabase.open(tmp_path / "control.db", now_ms=now_ms, controller=True) as database,
        raw_ari(asterisk_pair.engine) as ari,
    ):
        person = Person(line=2, phones=(PhoneNumber(NUMBER),), name="Петро", zone=None, fields={})
        await import_leads(database, SPRING, [person], file_name="one.csv", by="test", now_ms=now_ms)
        yield Desks(asterisk_pair, database, ari)


async def test_a_customer_is_handed_to_a_colleague_and_back_to_the_team_after_a_kill(desks: Desks) -> None:
    async with desks.engine():
        await desks.press(events.CampaignSwitched, campaign=SPRING, running=True)
        await desks.at_work(ANNA)
        await desks.talks(ANNA)
        (attempt,) = desks.running.snapshot().attempts
        await desks.at_work(BORYS)
        assert await desks.press(events.AgentTransfer, agent=ANNA, to=BORYS) == ""
        await desks.talks(BORYS)
        assert desks.state(ANNA) is AgentState.WRAP_UP
        await until(lambda: len(desks.recordings(attempt.id)) == 2)  # it begins when its row is on disk
        assert await desks.press(events.AgentTransfer, agent=BORYS, to=BORYS) == "", "back to me, after a wait"
        await until(desks.alone)
        assert desks.state(BORYS) is AgentState.WRAP_UP
    async with desks.engine():
        # Who waited with music when the engine was killed is with whoever is free, by the first snapshot.
        await until(lambda: AgentState.TALKING in {desks.state(ANNA), desks.state(BORYS)})
        (talking,) = [agent for agent in (ANNA, BORYS) if desks.state(agent) is AgentState.TALKING]
        await desks.talks(talking)
        await until(lambda: len(desks.recordings(attempt.id)) >= 3)  # one for each who had the customer, once on disk
        assert await desks.press(events.AgentHangup, agent=talking) == ""
        await until(lambda: desks.state(talking) is AgentState.WRAP_UP)
        await until(desks.alone)


async def test_a_colleague_is_asked_all_three_talk_a_kill_strands_nobody_and_the_customer_is_handed_over(
    desks: Desks,
) -> None:
    async def consult(act: ConsultAct) -> None:
        to = BORYS if act is ConsultAct.START else None
        assert await desks.press(events.AgentConsult, agent=ANNA, act=act, to=to) == ""

    async with desks.engine():
        await desks.press(events.CampaignSwitched, campaign=SPRING, running=True)
        await desks.at_work(ANNA)
        await desks.talks(ANNA)
        (attempt,) = desks.running.snapshot().attempts
        customer = str(attempt.leg)
        await desks.at_work(BORYS)
        anna, borys = desks.leg(ANNA), desks.leg(BORYS)

        await consult(ConsultAct.START)
        await desks.hears(anna, borys)
        await desks.hears(customer)
        assert desks.state(BORYS) is AgentState.HELPING
        await consult(ConsultAct.CUSTOMER)
        await desks.hears(anna, customer)
        await desks.hears(borys)
        await consult(ConsultAct.COLLEAGUE)
        await desks.hears(anna, borys)
        await desks.hears(customer)
        await consult(ConsultAct.CONFERENCE)
        await desks.hears(customer, anna, borys)
        _, channel = await desks.ari.ask("GET", f"channels/{customer}")
        assert channel["state"] == "Up"

    async with desks.engine():
        # The engine was killed in mid-conference: the customer stays with their own operator, the colleague is free.
        await desks.talks(ANNA)
        await desks.hears(anna, customer)
        await desks.hears(borys)
        await until(lambda: desks.state(BORYS) in {AgentState.READY, AgentState.PAUSED})
        await desks.press(events.AgentReady, agent=BORYS)
        await consult(ConsultAct.START)
        await desks.hears(anna, borys)

    async with desks.engine():
        # And killed while the customer heard music: they are with their own operator again.
        await desks.talks(ANNA)
        await desks.hears(anna, customer)
        await desks.hears(borys)
        await desks.press(events.AgentReady, agent=BORYS)
        await consult(ConsultAct.START)
        await desks.hears(anna, borys)
        await consult(ConsultAct.COMPLETE)
        await desks.talks(BORYS)
        await desks.hears(borys, customer)
        await desks.hears(anna)
        assert desks.state(ANNA) is AgentState.WRAP_UP
        assert await desks.press(events.AgentHangup, agent=BORYS) == ""
        await until(lambda: desks.state(BORYS) is AgentState.WRAP_UP)


async def test_who_is_handed_to_a_number_outside_talks_on_through_a_kill_and_records_agree(
    desks: Desks,
) -> None:
    outside, began_ms = "+380441999903", WallClock().now_ms()
    async with desks.engine():
        await desks.press(events.CampaignSwitched, campaign=SPRING, running=True)
        await desks.at_work(ANNA)
        await desks.talks(ANNA)
        (attempt,) = desks.running.snapshot().attempts
        assert await desks.press(events.AgentTransferOut, agent=ANNA, number=PhoneNumber(outside)) == ""
        await until(lambda: [call for call in desks.carried(outside, began_ms) if call.answered_ms])
        assert desks.state(ANNA) is AgentState.WRAP_UP
        await desks.hears(desks.leg(ANNA))

    async with desks.engine():
        _, channel = await desks.ari.ask("GET", f"channels/{attempt.leg}")
        assert channel["dialplan"]["context"] == "zvonar-out", "nobody has cut them"
        assert desks.state(ANNA) is AgentState.WRAP_UP
        await desks.ari.hang_up(str(attempt.leg))
        await until(lambda: all(call.ended_ms for call in desks.carried(outside, began_ms)))
        await until(desks.over)
    assert len(desks.carried(outside, began_ms)) == 1
    both = [*desks.carried(outside, began_ms), *desks.carried(NUMBER, began_ms)]
    assert await verify(desks.database, now_ms=WallClock().now_ms(), carried=both) == []


async def test_somebody_outside_is_asked_and_talks_on_with_the_customer_through_a_kill(desks: Desks) -> None:
    outside, began_ms = "+380441999803", WallClock().now_ms()
    legs: set[str] = set()

    async def is_in_a_bridge() -> bool:
        legs.update(leg for room in (await desks.bridges()).values() for leg in room if leg.startswith("o."))
        return bool(legs)

    async with desks.engine():
        await desks.press(events.CampaignSwitched, campaign=SPRING, running=True)
        await desks.at_work(ANNA)
        await desks.talks(ANNA)
        (attempt,) = desks.running.snapshot().attempts
        anna, customer = desks.leg(ANNA), str(attempt.leg)
        ask = {"agent": ANNA, "act": ConsultAct.START, "number": PhoneNumber(outside)}
        assert await desks.press(events.AgentConsult, **ask) == ""
        await until(is_in_a_bridge)
        (asked,) = legs
        await desks.hears(anna, asked)
        await desks.hears(customer)
        assert await desks.press(events.AgentConsult, agent=ANNA, act=ConsultAct.CONFERENCE) == ""
        await desks.hears(anna, asked, customer)
        assert await desks.press(events.AgentConsult, agent=ANNA, act=ConsultAct.COMPLETE) == ""
        await desks.hears(customer, asked)
        await desks.hears(anna)
        assert desks.state(ANNA) is AgentState.WRAP_UP

    async with desks.engine():
        await desks.hears(customer, asked)
        assert desks.state(ANNA) is AgentState.WRAP_UP, "she owes the result"
        await desks.ari.hang_up(asked)
        await until(desks.over)
        await until(lambda: all(call.ended_ms for call in desks.carried(outside, began_ms)))
    assert len(desks.carried(outside, began_ms)) == 1
    both = [*desks.carried(outside, began_ms), *desks.carried(NUMBER, began_ms)]
    assert await verify(desks.database, now_ms=WallClock().now_ms(), carried=both) == []
