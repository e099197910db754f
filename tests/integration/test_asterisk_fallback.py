"""What a person hears, and what is written down, when no engine is there to hear the answer."""

import os
import signal
from pathlib import Path

import pytest

from asterisk.journal import Entry, read_journal
from asterisk.pair import carrier_asterisk, engine_asterisk, trunk_to_carrier
from asterisk.robots import RobotPhones
from engine.ari.client import AriAccount
from engine.clock import WallClock
from engine.core.events import LegOptedOut, SwitchUp
from engine.core.model import LegId
from engine.telephony import LegsTold
from tests.contract.test_switch import connected
from tests.integration.switches import LATE_MS, PHONES, AsteriskPair, free_pair_ports, raw_ari, running, until

pytestmark = pytest.mark.integration

NEVER_HANGS_UP = "PJSIP/79990000003@carrier"


def _of(pair: AsteriskPair, channel_id: str, kind: str) -> Entry | None:
    return next((entry for entry in pair.journal() if (entry.channel_id, entry.kind) == (channel_id, kind)), None)


def _of_caller(pair: AsteriskPair, kind: str) -> Entry | None:
    ours = ("a.", "g.")
    return next((one for one in pair.journal() if one.kind == kind and not one.channel_id.startswith(ours)), None)


async def test_an_answer_that_nobody_hears_gets_the_message_within_two_seconds_and_a_line(
    asterisk_pair: AsteriskPair,
) -> None:
    async with raw_ari(asterisk_pair.engine) as ari:
        status = await ari.originate(NEVER_HANGS_UP, "a.unheard.c", "zvonar-customer", ZV_ATTEMPT="unheard")
        assert status == 200
    answered = await until(lambda: _of(asterisk_pair, "a.unheard.c", "ANSWER"))
    message = await until(lambda: _of(asterisk_pair, "a.unheard.c", "ZV_MESSAGE"))
    played = await until(lambda: _of(asterisk_pair, "a.unheard.c", "ZV_MESSAGE_END"))
    ended = await until(lambda: _of(asterisk_pair, "a.unheard.c", "HANGUP"))
    assert message.extra == "unheard"
    assert message.at_ms - answered.at_ms <= 2_000 + LATE_MS
    assert played.extra == "SUCCESS"
    assert played.at_ms - message.at_ms >= 3000, "the whole message was played"
    assert ended.cause == 16


async def test_the_engine_sends_an_abandoned_customer_to_the_message(asterisk_pair: AsteriskPair) -> None:
    async with raw_ari(asterisk_pair.engine, app="zvonar") as ari:
        await ari.originate(NEVER_HANGS_UP, "a.abandoned.c", "zvonar-customer", ZV_ATTEMPT="abandoned")
        await ari.event("a.abandoned.c", "StasisStart")
        await ari.ask("POST", "channels/a.abandoned.c/variable", variable="ZV_REASON", value="abandoned")
        status, _ = await ari.ask(
            "POST", "channels/a.abandoned.c/continue", context="zvonar-message", extension="s", priority="1"
        )
        assert status == 204
        message = await until(lambda: _of(asterisk_pair, "a.abandoned.c", "ZV_MESSAGE"))
        assert message.extra == "abandoned"
        await ari.hang_up("a.abandoned.c")


async def test_the_key_pressed_while_no_engine_hears_is_told_to_the_next_one(asterisk_pair: AsteriskPair) -> None:
    started_ms = WallClock().now_ms()
    for key, leg in (("9", "a.1-991.c"), ("5", "a.1-992.c")):
        async with raw_ari(asterisk_pair.engine) as ari:
            await ari.originate("PJSIP/79990000009@carrier", leg, "zvonar-customer", ZV_ATTEMPT="n", ZV_OPT_OUT=key)
    pressed = await until(lambda: _of(asterisk_pair, "a.1-991.c", "ZV_OPT_OUT"))
    message = _of(asterisk_pair, "a.1-991.c", "ZV_MESSAGE")
    assert message is not None
    assert pressed.at_ms > message.at_ms
    await until(lambda: _of(asterisk_pair, "a.1-992.c", "HANGUP"), timeout_s=20)
    assert _of(asterisk_pair, "a.1-992.c", "ZV_MESSAGE_END"), "another key does nothing: the message goes on to its end"
    assert _of(asterisk_pair, "a.1-992.c", "ZV_OPT_OUT") is None

    secrets = asterisk_pair.engine.secrets
    account = AriAccount(
        url=asterisk_pair.ari_url, user=secrets.ari_user, secret=secrets.ari_password, app="zvonar-restarted"
    )
    journal = LegsTold(asterisk_pair.engine.instance.paths.journal, since_ms=started_ms)
    async with connected(account, journal=journal) as phone:
        assert (await phone.fact(LegOptedOut)).leg == "a.1-991.c"
        assert "a.1-992.c" in {gone.leg for gone in (await phone.fact(SwitchUp)).gone}
        assert not phone.has(LegOptedOut, LegId("a.1-992.c"))


async def test_a_missing_sound_is_replaced_by_the_packaged_message(asterisk_pair: AsteriskPair) -> None:
    async with raw_ari(asterisk_pair.engine) as ari:
        await ari.originate(NEVER_HANGS_UP, "a.nosound.c", "zvonar-customer", ZV_ATTEMPT="n", ZV_MESSAGE="not/there")
    played = await until(lambda: _of(asterisk_pair, "a.nosound.c", "ZV_MESSAGE_END"))
    assert played.extra == "SUCCESS"


async def test_a_caller_reaches_the_engine_with_the_number_dialed_and_without_it_hears_the_message(
    asterisk_pair: AsteriskPair,
) -> None:
    async with raw_ari(asterisk_pair.carrier) as callers:
        async with raw_ari(asterisk_pair.engine, app="zvonar") as ari:
            await callers.originate("PJSIP/+74951234567@engine", "caller.1", "person", RING_S="0", TALK_S="5")
            start = await until(lambda: next((one for one in ari.events if one["type"] == "StasisStart"), None))
            assert start["args"][:3] == ["inbound", "+74951234567", "carrier"]
            await ari.hang_up(start["channel"]["id"])
        await callers.originate("PJSIP/+74951234568@engine", "caller.2", "person", RING_S="0", TALK_S="5")
        message = await until(lambda: _of_caller(asterisk_pair, "ZV_MESSAGE"))
        assert message.extra == "unheard"
        await callers.hang_up("caller.2")


async def test_no_call_outlives_its_time(asterisk_pair: AsteriskPair) -> None:
    async with raw_ari(asterisk_pair.engine, app="zvonar") as ari:
        await ari.originate(NEVER_HANGS_UP, "a.bounded.c", "zvonar-customer", ZV_ATTEMPT="bounded", ZV_MAX_S="2")
        await ari.event("a.bounded.c", "StasisStart")
        await ari.event("a.bounded.c", "StasisEnd")


async def test_an_agent_leg_without_an_engine_is_told_so_and_freed(
    asterisk_pair: AsteriskPair, robots: RobotPhones
) -> None:
    async with raw_ari(asterisk_pair.engine) as ari:
        await ari.originate("PJSIP/101", "g.unheard", "zvonar-agent", ZV_AGENT="anna")
    await until(lambda: _of(asterisk_pair, "g.unheard", "ZV_AGENT_UNHEARD"))
    await until(lambda: _of(asterisk_pair, "g.unheard", "HANGUP"))


async def test_the_line_survives_the_death_of_the_switch(asterisk_root: Path) -> None:
    ports = free_pair_ports()
    carrier = carrier_asterisk(asterisk_root / "killed-carrier", ports)
    engine = engine_asterisk(
        asterisk_root / "killed-engine", ports, phones=PHONES[:1], trunks=(trunk_to_carrier(ports),)
    )
    async with running(carrier, engine) as (carrier_switch, engine_switch):
        pair = AsteriskPair(engine=engine_switch, carrier=carrier_switch)
        async with raw_ari(engine_switch) as ari:
            await ari.originate(NEVER_HANGS_UP, "a.killed.c", "zvonar-customer", ZV_ATTEMPT="killed")
        await until(lambda: _of(pair, "a.killed.c", "ZV_MESSAGE"))
        pid = engine_switch.pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: engine_switch.pid() is None)
        entries, _ = read_journal(engine.paths.journal)
        assert ("a.killed.c", "ZV_MESSAGE") in {(entry.channel_id, entry.kind) for entry in entries}
        await engine_switch.start()
        again, _ = read_journal(engine.paths.journal)
        assert again[: len(entries)] == entries, "a restart appends to the journal"
