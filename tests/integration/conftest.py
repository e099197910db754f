"""Fixtures with real switches: the engine's Asterisk and the demo carrier behind it, robot desk phones."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from asterisk.pair import carrier_asterisk, engine_asterisk, trunk_to_carrier
from asterisk.robots import RobotPhones
from engine.clock import WallClock
from engine.store.database import AioDatabase
from engine.verify import verify
from tests.integration.switches import PHONES, AsteriskPair, free_pair_ports, free_ports, running, until

ROBOTS = {"101", "102", "103"}


@pytest.fixture(scope="session")
def asterisk_root() -> Iterator[Path]:
    """A short path: Asterisk's control socket must fit into 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="zv-") as folder:
        yield Path(folder)


@pytest.fixture(autouse=True)
async def promises_kept(asterisk_root: Path, tmp_path: Path) -> AsyncIterator[None]:
    """After every test: no database that it leaves breaks a promise."""
    yield
    now_ms = WallClock().now_ms()
    for path in sorted({*asterisk_root.rglob("*.db"), *tmp_path.rglob("*.db")}):
        async with AioDatabase.open(path, now_ms=now_ms) as database:
            assert await verify(database, now_ms=now_ms) == [], path


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def asterisk_pair(asterisk_root: Path) -> AsyncIterator[AsteriskPair]:
    """The engine's Asterisk with phones 101 to 112 and its trunk `carrier`, and the carrier behind it."""
    ports = free_pair_ports()
    carrier = carrier_asterisk(asterisk_root / "carrier", ports)
    engine = engine_asterisk(asterisk_root / "engine", ports, phones=PHONES, trunks=(trunk_to_carrier(ports),))
    async with running(carrier, engine) as (carrier_switch, engine_switch):
        yield AsteriskPair(engine=engine_switch, carrier=carrier_switch)


@pytest.fixture
async def robots(asterisk_pair: AsteriskPair, tmp_path: Path) -> AsyncIterator[RobotPhones]:
    """Robot phones 101 to 103, registered; 103 rings until told to answer."""
    (control,) = free_ports(1)
    server = f"127.0.0.1:{asterisk_pair.engine.instance.sip_port}"
    phones = RobotPhones(tmp_path, PHONES[:3], server=server, control_port=control, manual={"103"})

    async def all_registered() -> bool:
        return await phones.registered() >= ROBOTS

    await phones.start()
    try:
        await until(all_registered)
        yield phones
    finally:
        await phones.stop()
