"""The FastAGI server over a real socket: callers are recognised from the engine's database."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from dialplan.agi.caller import Caller, find_caller
from dialplan.agi.message import Message, message_now
from dialplan.agi.server import AgiServer, serve
from engine.store.database import InlineDatabase
from engine.store.errors import StoreError
from tests.fakes.office import CONFIG

LEADS = [
    (1, "spring", "Олена", "olena", "retry", "+380671234567"),
    (2, "autumn", "Іван", None, "closed", "+380671234567"),
    (3, "spring", 'Quote" \\ \nEXEC System', None, "new", "+79161234567"),
]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "zvonar.db"
    with InlineDatabase.open(path, now_ms=0):
        pass
    with closing(sqlite3.connect(path)) as connection:
        for lead, campaign, name, owner, state, number in LEADS:
            connection.execute(
                "INSERT INTO leads (id, campaign_id, name, owner, state, created_at_ms, updated_at_ms)"
                " VALUES (?, ?, ?, ?, ?, 0, ?)",
                (lead, campaign, name, owner, state, lead),
            )
            connection.execute(
                "INSERT INTO phones (lead_id, position, number) VALUES (?, 0, ?)",
                (lead, number),
            )
        connection.commit()
    return path


@pytest.fixture
async def server(database: Path) -> AsyncIterator[asyncio.Server]:
    async with await serve(database, "127.0.0.1", 0) as server:
        yield server


@pytest.mark.parametrize("number", ["+380671234567", "380671234567", "0671234567", "671234567", "8(067)123-45-67"])
def test_a_caller_is_known_however_the_carrier_writes_the_number(database: Path, number: str) -> None:
    assert find_caller(database, number) == Caller(1, campaign="spring", name="Олена", owner="olena")


@pytest.mark.parametrize("number", ["", "anonymous", "101", "+380990000000"])
def test_others_are_unknown(database: Path, number: str) -> None:
    assert find_caller(database, number) is None


def test_a_missing_database_is_an_error_and_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no database"):
        find_caller(tmp_path / "none.db", "+380671234567")
    assert not (tmp_path / "none.db").exists()


async def test_a_known_callers_lead_is_set_on_the_channel(server: asyncio.Server) -> None:
    assert await asked(server, "+380671234567") == {
        "ZV_CALLER_LEAD": "1",
        "ZV_CALLER_NAME": "Олена",
        "ZV_CALLER_CAMPAIGN": "spring",
        "ZV_CALLER_OWNER": "olena",
        "ZV_CALLER_KNOWN": "1",
    }


async def test_an_unknown_caller_is_said_to_be_unknown(server: asyncio.Server) -> None:
    assert await asked(server, "+380990000000") == {"ZV_CALLER_KNOWN": "0"}


async def test_a_name_can_give_asterisk_no_command(server: asyncio.Server) -> None:
    variables = await asked(server, "+79161234567")
    assert variables["ZV_CALLER_NAME"] == "Quote' / EXEC System"


async def test_without_a_database_the_caller_is_unknown_and_the_dialplan_goes_on(tmp_path: Path) -> None:
    async with await serve(tmp_path / "none.db", "127.0.0.1", 0) as server:
        assert await asked(server, "+380671234567") == {"ZV_CALLER_KNOWN": "0"}


async def test_an_unknown_script_ends_the_link(server: asyncio.Server) -> None:
    assert await asked(server, "+380671234567", script="nothing") == {}


async def test_a_connection_closed_half_way_holds_nobody_up(server: asyncio.Server) -> None:
    _, writer = await asyncio.open_connection(*address(server))
    writer.write(b"agi_network: yes\n")
    writer.close()
    await writer.wait_closed()
    assert (await asked(server, "+380671234567"))["ZV_CALLER_KNOWN"] == "1"


async def test_a_silent_connection_is_closed_at_the_deadline(database: Path) -> None:
    listening = await asyncio.start_server(AgiServer(database, deadline_ms=20).handler, "127.0.0.1", 0)
    async with listening as server, asyncio.timeout(15):
        reader, writer = await asyncio.open_connection(*address(server))
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def asked(server: asyncio.Server, number: str, *, script: str = "caller") -> dict[str, str]:
    """What Asterisk is told to set for a caller of that number."""
    reader, writer = await asyncio.open_connection(*address(server))
    headers = {"agi_network": "yes", "agi_network_script": script, "agi_callerid": number, "agi_channel": "PJSIP/x"}
    writer.write(("".join(f"{name}: {value}\n" for name, value in headers.items()) + "\n").encode())
    variables: dict[str, str] = {}
    while line := (await reader.readline()).decode():
        verb, what, name, value = line.rstrip("\n").split(" ", 3)
        assert (verb, what) == ("SET", "VARIABLE")
        assert value.startswith('"')
        assert value.endswith('"')
        variables[name] = value[1:-1]
        writer.write(b"200 result=1\n")
    writer.close()
    await writer.wait_closed()
    return variables


def address(server: asyncio.Server) -> tuple[str, int]:
    host, port = server.sockets[0].getsockname()[:2]
    return host, port


DAY = """numbers: [+380441230000], hours: {mon-fri: "09:00-18:00"}, closed_message: at-night, overflow_message: busy"""
MONDAY_NOON_MS, MONDAY_NIGHT_MS = 1_763_978_400_000, 1_764_021_600_000


def test_while_no_engine_is_there_the_hour_chooses_the_message(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG.replace("numbers: [+380441230000]", DAY, 1), encoding="utf-8")
    assert message_now(config, "0441230000", MONDAY_NOON_MS) == Message("busy", True)
    assert message_now(config, "+380441230000", MONDAY_NIGHT_MS) == Message("at-night", False)
    assert message_now(config, "+380440000000", MONDAY_NOON_MS) is None
    config.write_text("inbound: [", encoding="utf-8")
    assert message_now(config, "+380441230000", MONDAY_NOON_MS) is None, "a broken file keeps nobody waiting"
