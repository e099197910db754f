"""Robot desk phones on the engine's Asterisk: what agents' legs and the browser tests stand on."""

import pytest

from asterisk.robots import RobotPhones
from tests.integration.switches import AsteriskPair, raw_ari, until

pytestmark = pytest.mark.integration


async def _contacts(pair: AsteriskPair) -> str:
    return await pair.engine.cli("pjsip show contacts")


async def test_phones_register_and_the_switch_sees_them_come_and_go(
    asterisk_pair: AsteriskPair, robots: RobotPhones
) -> None:
    assert "101/sip:101" in await _contacts(asterisk_pair)
    await robots.unregister("101")
    await until(lambda: _lacks(asterisk_pair, "101/sip:101"))
    await robots.register("101")
    await until(lambda: _has(asterisk_pair, "101/sip:101"))


async def test_a_phone_answers_by_itself_and_talks_both_ways(asterisk_pair: AsteriskPair, robots: RobotPhones) -> None:
    async with raw_ari(asterisk_pair.engine, app="zvonar") as ari:
        await ari.originate("PJSIP/101", "g.auto", "zvonar-agent", ZV_AGENT="anna")
        start = await ari.event("g.auto", "StasisStart")
        assert start["args"] == ["agent", "anna"]
        await ari.ask("POST", "channels/g.auto/play", media="sound:hello-world")
        await until(lambda: _rtp_both_ways(asterisk_pair))
        await robots.hang_up("101")
        await ari.event("g.auto", "StasisEnd")


async def test_one_phone_hangs_up_and_the_other_talks_on(asterisk_pair: AsteriskPair, robots: RobotPhones) -> None:
    async with raw_ari(asterisk_pair.engine, app="zvonar") as ari:
        for name in ("101", "102"):
            await ari.originate(f"PJSIP/{name}", f"g.two-{name}", "zvonar-agent", ZV_AGENT=name)
            await ari.event(f"g.two-{name}", "StasisStart")
        await robots.hang_up("101")
        await ari.event("g.two-101", "StasisEnd")
        assert await robots.calls() == {"102": "ESTABLISHED"}
        await ari.hang_up("g.two-102")


async def test_a_manual_phone_rings_until_it_is_answered(asterisk_pair: AsteriskPair, robots: RobotPhones) -> None:
    async with raw_ari(asterisk_pair.engine, app="zvonar") as ari:
        await ari.originate("PJSIP/103", "g.manual", "zvonar-agent", ZV_AGENT="boris")
        await until(lambda: _call_is(robots, "103", "INCOMING"))
        assert ari.of("g.manual", "StasisStart") is None
        await robots.answer("103")
        await ari.event("g.manual", "StasisStart")
        await ari.hang_up("g.manual")
        await until(lambda: _idle(robots, "103"))


async def test_a_desk_phone_cannot_dial_out_by_itself(asterisk_pair: AsteriskPair, robots: RobotPhones) -> None:
    before = len(asterisk_pair.carried())
    await robots.dial("79990000003")
    await until(lambda: _idle(robots, "101"))
    assert len(asterisk_pair.carried()) == before


async def test_the_log_in_code_reaches_the_engine_with_the_phone(
    asterisk_pair: AsteriskPair, robots: RobotPhones
) -> None:
    async with raw_ari(asterisk_pair.engine, app="zvonar") as ari:
        await robots.dial("*11")
        start = await until(lambda: next((one for one in ari.events if one["type"] == "StasisStart"), None))
        assert start["args"] == ["phone", "101"]
        await ari.hang_up(start["channel"]["id"])
        await until(lambda: _idle(robots, "101"))


async def _has(pair: AsteriskPair, contact: str) -> bool:
    return contact in await _contacts(pair)


async def _lacks(pair: AsteriskPair, contact: str) -> bool:
    return contact not in await _contacts(pair)


async def _rtp_both_ways(pair: AsteriskPair) -> bool:
    for line in (await pair.engine.cli("pjsip show channelstats")).splitlines():
        if line.strip().startswith("101-"):
            columns = line.split()
            return int(columns[3]) > 10 and int(columns[7]) > 10
    return False


async def _call_is(robots: RobotPhones, name: str, state: str) -> bool:
    return (await robots.calls()).get(name) == state


async def _idle(robots: RobotPhones, name: str) -> bool:
    return name not in await robots.calls()
