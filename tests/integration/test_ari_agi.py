"""A real Asterisk asks the FastAGI server who is calling."""

from __future__ import annotations

from pathlib import Path

import pytest

from asterisk.instance import Asterisk
from asterisk.journal import read_journal
from asterisk.pair import engine_asterisk
from dialplan.agi.server import serve
from engine.store.database import InlineDatabase
from tests.contract.store_people import add_lead, number
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
