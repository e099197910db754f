"""A real Asterisk asks the FastAGI server who is calling."""

from __future__ import annotations

from pathlib import Path

import pytest

from asterisk.dialplans import engine_dialplan
from asterisk.instance import Asterisk
from asterisk.journal import read_journal
from asterisk.pair import carrier_asterisk, engine_asterisk, trunk_to_carrier
from dialplan.agi.server import serve
from engine.store.database import InlineDatabase
from tests.contract.store_people import add_lead, number
from tests.fakes.office import CONFIG
from tests.integration.switches import PHONES, free_pair_ports, raw_ari, running, until

pytestmark = pytest.mark.integration

DIALPLAN = """
[who-calls]
exten => s,1,AGI(agi://127.0.0.1:{port}/caller)
 same => n,CELGenUserEvent(CALLER,${{ZV_CALLER_KNOWN}} ${{ZV_CALLER_LEAD}})
 same => n,Hangup()
exten => other-end,1,Answer()
 same => n,Wait(5)
"""


async def test_asterisk_learns_who_is_calling_while_no_engine_runs(asterisk_root: Path, tmp_path: Path) -> None:
    database = tmp_path / "zvonar.db"
    with InlineDatabase.open(database, now_ms=0) as store:
        await add_lead(store, 7)
    ports = free_pair_ports()
    async with await serve(database, "127.0.0.1", 0) as agi:
        dialplan = {"extensions.conf": DIALPLAN.format(port=agi.sockets[0].getsockname()[1])}
        instance = engine_asterisk(asterisk_root / "agi", ports, phones=PHONES[:1], trunks=(), dialplan=dialplan)
        async with running(instance) as [asterisk], raw_ari(asterisk) as ari:
            for caller in (number(7).e164, "+380990000000"):
                await ari.ask(
                    "POST", "channels", endpoint="Local/other-end@who-calls/n", context="who-calls", extension="s",
                    priority="1", callerId=caller,
                )  # fmt: skip
            await until(lambda: said(asterisk) >= {"1 7", "0"})


def said(asterisk: Asterisk) -> set[str]:
    """What the dialplan wrote of its callers."""
    entries, _ = read_journal(asterisk.instance.paths.journal)
    return {entry.extra.strip() for entry in entries if entry.kind == "CALLER"}


async def test_who_calls_at_night_while_no_engine_runs_hears_that_it_is_closed(
    asterisk_root: Path, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    night = 'numbers: [+74951234567], hours: {mon: "03:00-03:01"}, closed_message: vm-nobodyavail&vm-nobodyavail'
    config.write_text(CONFIG.replace("numbers: [+380441230000]", night, 1), encoding="utf-8")
    database = tmp_path / "zvonar.db"
    with InlineDatabase.open(database, now_ms=0):
        pass
    ports = free_pair_ports()
    async with await serve(database, "127.0.0.1", 0, config) as agi:
        dialplan = engine_dialplan(agi=f"127.0.0.1:{agi.sockets[0].getsockname()[1]}")
        carrier = carrier_asterisk(asterisk_root / "agi-carrier", ports)
        engine = engine_asterisk(
            asterisk_root / "agi-engine", ports, phones=(), trunks=(trunk_to_carrier(ports),), dialplan=dialplan
        )
        async with running(carrier, engine) as [public, ours], raw_ari(public) as callers, raw_ari(ours) as ari:
            await callers.originate("PJSIP/+74951234567@engine", "night.1", "person", RING_S="0", TALK_S="20")

            async def message() -> str:
                _, channels = await ari.ask("GET", "channels")
                said = [
                    await ari.ask("GET", f"channels/{one['id']}/variable", variable="ZV_MESSAGE") for one in channels
                ]
                return said[0][1]["value"] if said and said[0][0] == 200 else ""

            async def closed() -> bool:
                return await message() == "vm-nobodyavail&vm-nobodyavail"

            await until(closed)
