"""Real Asterisks for integration tests: the engine's own and the demo carrier, on free ports of loopback."""

import asyncio
import contextlib
import os
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from asterisk.conf import AsteriskInstance, Phone
from asterisk.instance import Asterisk, find_binary
from asterisk.journal import CarriedCall, Entry, carried_calls, read_journal
from asterisk.pair import RTP_PORTS_EACH, PairPorts, carrier_asterisk, engine_asterisk, trunk_to_carrier

# Robot and test phones that the engine's Asterisk knows.
PHONES = tuple(
    Phone(name=f"{number}", password=f"phone-{number}", caller_id=f"Desk {number}") for number in range(101, 113)
)


@dataclass(frozen=True, slots=True)
class AsteriskPair:
    """Both switches of a test session; the trunk between them is called `carrier`."""

    engine: Asterisk
    carrier: Asterisk

    @property
    def ari_url(self) -> str:
        return self.engine.instance.ari_url

    def journal(self) -> list[Entry]:
        """What the engine's Asterisk wrote by itself."""
        return read_journal(self.engine.instance.paths.journal)[0]

    def carried(self) -> list[CarriedCall]:
        """The carrier's independent record of calls."""
        return carried_calls(read_journal(self.carrier.instance.paths.journal)[0])


def free_ports(count: int) -> list[int]:
    """Ports free for UDP and TCP; `ZVONAR_TEST_PORT` names the first one to try."""
    first = int(os.environ.get("ZVONAR_TEST_PORT") or 20_000 + os.getpid() % 10_000)
    found = [port for port in range(first, first + 40 * count) if _is_free(port)]
    return found[:count]


def free_pair_ports() -> PairPorts:
    """Ports for one pair of switches."""
    sip, ari, ami, carrier_sip, carrier_ari, carrier_ami = free_ports(6)
    rtp = 30_000 + (sip % 7) * 2 * RTP_PORTS_EACH
    return PairPorts(
        sip=sip, ari=ari, ami=ami, carrier_sip=carrier_sip, carrier_ari=carrier_ari, carrier_ami=carrier_ami, rtp=rtp
    )


@contextlib.contextmanager
def running(*instances: AsteriskInstance, major: int = 22) -> Iterator[list[Asterisk]]:
    """Asterisks for the length of a `with`; they never outlive the test process."""
    switches = [Asterisk(instance, find_binary(major), die_with_parent=True) for instance in instances]
    try:
        for switch in switches:
            asyncio.run(switch.start())
        yield switches
    finally:
        for switch in switches:
            asyncio.run(switch.stop())


@pytest.fixture(scope="session")
def asterisk_root() -> Iterator[Path]:
    """A short path: Asterisk's control socket must fit into 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="zv-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def asterisk_pair(asterisk_root: Path) -> Iterator[AsteriskPair]:
    """The engine's Asterisk with phones 101 to 112 and its trunk `carrier`, and the carrier behind it."""
    ports = free_pair_ports()
    carrier = carrier_asterisk(asterisk_root / "carrier", ports)
    engine = engine_asterisk(asterisk_root / "engine", ports, phones=PHONES, trunks=(trunk_to_carrier(ports),))
    with running(carrier, engine) as (carrier_switch, engine_switch):
        yield AsteriskPair(engine=engine_switch, carrier=carrier_switch)


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
