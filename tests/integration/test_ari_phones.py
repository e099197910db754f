"""Real desk phones on a real Asterisk, seen over ARI and AMI."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from asterisk.robots import RobotPhones
from engine.ami.client import AmiAccount, AmiClient, AmiFact, ContactSeen, TrunkRegistered
from engine.ari.client import AriAccount
from engine.ari.switch import AriSwitch
from engine.backoff import Backoff
from engine.clock import WallClock
from engine.core.effects import Hangup, OpenBridge, OriginateAgent
from engine.core.events import CommandFailed, LegAnswered, LegHungUp, LegRinging, PhoneSeen, SwitchUp
from engine.core.model import AgentId, PhoneId, TrunkId, agent_leg, bridge_of_leg
from tests.contract.test_switch import Phone, connected
from tests.integration.switches import AsteriskPair, until

pytestmark = pytest.mark.integration

WAIT_S = 15.0


def account_of(pair: AsteriskPair) -> AriAccount:
    secrets = pair.engine.secrets
    return AriAccount(url=pair.ari_url, user=secrets.ari_user, secret=secrets.ari_password, app="zvonar-phones")


@pytest.fixture
async def ami(asterisk_pair: AsteriskPair) -> AsyncIterator[tuple[AmiClient, list[AmiFact]]]:
    """A logged-in AMI client and what it told."""
    secrets = asterisk_pair.engine.secrets
    client = AmiClient(
        AmiAccount(
            host="127.0.0.1",
            port=asterisk_pair.engine.instance.ami_port,
            user=secrets.ami_user,
            secret=secrets.ami_secret,
        ),
        backoff=Backoff(chance=lambda: 0.5),
    )
    facts: list[AmiFact] = []
    async with asyncio.TaskGroup() as group:
        running = group.create_task(client.run(facts.append))
        yield client, facts
        running.cancel()


async def seen(phone: Phone, name: str, *, registered: bool, after: int = 0) -> None:
    """Wait until a phone is told to be (un)registered, not counting the first `after` facts."""
    async with asyncio.timeout(WAIT_S):
        while PhoneSeen(PhoneId(name), registered) not in phone.facts[after:]:
            phone.told.clear()
            await phone.told.wait()


async def test_phones_are_told_at_connect_when_they_go_and_when_they_come_back(
    asterisk_pair: AsteriskPair, robots: RobotPhones
) -> None:
    async with connected(account_of(asterisk_pair), phones=[PhoneId("101"), PhoneId("105")]) as phone:
        await seen(phone, "101", registered=True)
        await seen(phone, "105", registered=False)
        await robots.unregister("101")
        await seen(phone, "101", registered=False)
        told = len(phone.facts)
        await robots.register("101")
        await seen(phone, "101", registered=True, after=told)
        assert not [f for f in phone.facts if isinstance(f, PhoneSeen) and f.phone not in {"101", "105"}]


async def test_a_nailed_up_phone_stays_in_its_bridge_until_it_is_put_down(
    asterisk_pair: AsteriskPair, robots: RobotPhones
) -> None:
    async with connected(account_of(asterisk_pair), phones=[PhoneId("101")]) as phone:
        leg = agent_leg(AgentId("olena"), "1-1")
        phone.switch.send(
            OriginateAgent(
                leg=leg, agent=AgentId("olena"), phone=PhoneId("101"), auto_answer=True, ring_timeout_ms=10_000
            )
        )
        await phone.fact(LegAnswered, leg)
        phone.switch.send(OpenBridge(leg, bridge_of_leg(leg)))
        await robots.hang_up("101")
        ended = await phone.fact(LegHungUp, leg)
        assert ended.cause in {0, 16}
        phone.switch.send(Hangup(leg, bridge_of_leg(leg)))
        assert not phone.has(CommandFailed, leg)


async def test_a_phone_that_does_not_answer_tells_so_to_the_engine(
    asterisk_pair: AsteriskPair, robots: RobotPhones
) -> None:
    async with connected(account_of(asterisk_pair), phones=[PhoneId("103")]) as phone:
        leg = agent_leg(AgentId("petro"), "1-2")
        phone.switch.send(
            OriginateAgent(
                leg=leg, agent=AgentId("petro"), phone=PhoneId("103"), auto_answer=False, ring_timeout_ms=1_000
            )
        )
        await phone.fact(LegRinging, leg)
        assert (await phone.fact(LegHungUp, leg)).cause == 19
        assert not phone.has(LegAnswered, leg)


async def test_registrations_over_ami_are_those_of_the_phones(
    asterisk_pair: AsteriskPair, robots: RobotPhones, ami: tuple[AmiClient, list[AmiFact]]
) -> None:
    client, facts = ami
    await until(lambda: {"101", "102", "103"} <= {f.name for f in facts if isinstance(f, ContactSeen) and f.registered})
    await robots.unregister("102")
    await until(lambda: ContactSeen("102", registered=False) in facts)
    assert {contact.name for contact in await client.contacts()} == {"101", "103"}
    assert not [fact for fact in facts if isinstance(fact, TrunkRegistered)]


async def test_a_switch_without_its_phones_in_asterisk_still_works(asterisk_pair: AsteriskPair) -> None:
    switch = AriSwitch(
        account_of(asterisk_pair),
        clock=WallClock(),
        chance=lambda: 0.5,
        trunks=[TrunkId("carrier")],
        phones=[PhoneId("nobody")],
    )
    phone = Phone(switch)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(switch.run(phone.sink))
        await phone.fact(SwitchUp)
        assert await switch.subscribe([TrunkId("carrier")], [PhoneId("101"), PhoneId("typo")]) == (
            "endpoint:PJSIP/typo",
        )
        running.cancel()
