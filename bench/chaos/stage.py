"""A call center on loopback: a real Asterisk, a carrier that keeps its own record, phones, and an eye on the engine."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from asterisk.carrier.plan import fate_of
from asterisk.instance import Asterisk, find_binary
from asterisk.journal import CarriedCall, Entry, carried_calls, heard_legs, read_journal
from asterisk.pair import PairPorts, carrier_asterisk
from asterisk.robots import RobotPhones
from engine.clock import WallClock
from engine.config import Loaded, load
from engine.core.model import CampaignId, PhoneNumber
from engine.leads.plan import ImportRow
from engine.store.database import AioDatabase
from engine.store.dnc import DoNotCall
from engine.store.imports import import_leads
from engine.telephony import phones_and_trunks, private_asterisk
from engine.verify import verify

CAMPAIGN: Final = CampaignId("storm")
#: A conversation that ended this much before its callee would have hung up was cut.
CUT_SLACK_MS: Final = 800
VIEWS_MAX: Final = 100_000

_CONFIG: Final = """\
database: disk/zvonar.db
drain_limit: {drain_limit_s}s
web: {{listen: 127.0.0.1:{web}}}
asterisk:
  managed: yes
  ari: 127.0.0.1:{ports.ari}
  ami: 127.0.0.1:{ports.ami}
  sip: 127.0.0.1:{ports.sip}
  rtp_ports: {ports.rtp}-{rtp_last}
  secrets: secrets
numbering: {{regions: [UA], allow: ["+7000XXXXXXX"]}}
trunks:
  carrier: {{host: 127.0.0.1:{ports.carrier_sip}, lines_max: {lines}, calls_per_second_max: {calls_per_s}}}
phones: {{{phones}}}
agents:
{agents}
dispositions:
  said: {{labels: {{ru: Итог, uk: Підсумок, en: Result}}, kind: final}}
campaigns:
  storm:
    name: Storm
    pacing: {{mode: progressive}}
    trunks: [carrier]
    ring_timeout: 20s
    wrap_up: {{mode: timed, limit: 60s}}
    attempts:
      max: 3
      retry:
        busy: {{after: 1s, max: 1}}
        abandoned: {{after: 3600s, max: 1}}
        lost: {{after: 3600s, max: 1}}
        congestion: {{after: 1s, max: 5}}
        failed: {{after: 1s, max: 5}}
      otherwise: 3600s
    zone: Europe/Kyiv
    hours: {{daily: "00:00-24:00"}}
    dispositions: [said]
"""


@dataclass(frozen=True, slots=True)
class View:
    """What a supervisor saw from `at_s` (monotonic) on."""

    at_s: float
    pid: int
    why: str  # why nothing is dialed, "" when calls are placed
    switch: str
    store: str
    agents: dict[str, int]
    calls: dict[str, int]
    saved: int
    not_saved: int

    @property
    def talking(self) -> int:
        return self.calls.get("talking", 0)


class _Eye(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.views: deque[View] = deque(maxlen=VIEWS_MAX)

    def datagram_received(self, data: bytes, addr: object) -> None:
        told = orjson.loads(data)
        told["why"] = told["why"].get(CAMPAIGN, "?")
        self.views.append(View(at_s=time.monotonic(), **told))


class GaveUp(Exception):
    """What was expected did not come in time."""


class Stage:
    """One call center. Its engine is started, killed and started again; Asterisk, carrier and phones stay."""

    def __init__(
        self,
        loaded: Loaded,
        root: Path,
        asterisk: Asterisk,
        carrier: Asterisk,
        phones: RobotPhones,
        eye: _Eye,
        port: int,
    ) -> None:
        self.loaded = loaded
        self.root = root
        self.carrier = carrier
        self.phones = phones
        self.asterisk = asterisk
        self.engine: asyncio.subprocess.Process | None = None
        self._eye = eye
        self._port = port
        self._lines = itertools.count(1)
        self._logs = itertools.count(1)
        self.log = root / "engine-0.log"

    # ── the engine ───────────────────────────────────────────────────────────────────────────────────────────────

    async def start(self, *, crash_at: str = "", via: str = "") -> None:
        """Start the engine; it is not yet connected."""
        assert self.engine is None or self.engine.returncode is not None
        self.log = self.root / f"engine-{next(self._logs)}.log"
        self.engine = await self.spawn(self.log, crash_at=crash_at, via=via)

    async def spawn(self, log: Path, *, crash_at: str = "", via: str = "") -> asyncio.subprocess.Process:
        """An engine process with that log."""
        env = {
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            "ZVONAR_EYE": str(self._port),
            "ZVONAR_CRASH_AT": crash_at,
            "ZVONAR_ARI_VIA": via,
        }
        with log.open("wb") as out:
            return await asyncio.create_subprocess_exec(
                sys.executable, "-m", "bench.chaos.engine", str(self.loaded.path), stdout=out, stderr=out, env=env
            )

    async def kill(self) -> None:
        """kill -9 the engine."""
        assert self.engine is not None
        with suppress(ProcessLookupError):
            self.engine.kill()
        await self.engine.wait()

    async def zvonar(self, *words: str) -> str:
        """A command of the shell, as an administrator gives it; what it said. GaveUp unless it went well."""
        command = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "from engine.cli import main; main()",
            "--config",
            str(self.loaded.path),
            *words,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said = (await command.communicate())[0].decode().strip()
        if command.returncode:
            raise GaveUp(f"zvonar {' '.join(words)} ended with {command.returncode}: {said}")
        return said

    async def died(self, within_s: float = 60.0) -> None:
        """Wait until the engine has ended by itself."""
        assert self.engine is not None
        try:
            async with asyncio.timeout(within_s):
                await self.engine.wait()
        except TimeoutError:
            raise GaveUp("the engine did not reach the point where it was to die") from None

    async def end(self, within_s: float = 60.0) -> int:
        """SIGTERM, and wait; returns the exit code."""
        assert self.engine is not None
        with suppress(ProcessLookupError):
            self.engine.terminate()
        async with asyncio.timeout(within_s):
            return await self.engine.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send the engine a signal."""
        assert self.engine is not None
        self.engine.send_signal(number)

    def kill_asterisk(self) -> None:
        """kill -9, if it runs; an engine starts it again."""
        pid = self.asterisk.pid()
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    # ── looking ──────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def views(self) -> Sequence[View]:
        return self._eye.views

    @property
    def now(self) -> View:
        """What the engine that runs shows last."""
        return self._eye.views[-1]

    async def until(self, is_so: Callable[[View], bool], what: str, within_s: float = 30.0) -> View:
        """The first view of the engine that runs now for which it is so."""
        assert self.engine is not None
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if self.views and self.now.pid == self.engine.pid and is_so(self.now):
                return self.now
            if self.engine.returncode is not None:
                break
            await asyncio.sleep(0.01)
        last = self.now if self.views else None
        words = self.log.read_text(encoding="utf-8", errors="replace")[-3000:]
        raise GaveUp(f"not within {within_s:.0f} s: {what}; last seen: {last}; the engine said:\n{words}")

    async def until_ms(self, is_so: Callable[[View], bool], what: str, within_s: float = 30.0) -> int:
        """How long it took from now on until something was seen for which it is so."""
        since = time.monotonic()
        view = await self.until(lambda view: view.at_s >= since and is_so(view), what, within_s)
        return max(0, round((view.at_s - since) * 1000))

    def carried(self) -> list[CarriedCall]:
        """The carrier's own record."""
        return carried_calls(read_journal(self.carrier.instance.paths.journal)[0])

    def journal(self) -> list[Entry]:
        """The engine's Asterisk's own record."""
        return read_journal(self.asterisk.instance.paths.journal)[0]

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Read beside the running engine."""
        path = self.loaded.resolve(self.loaded.config.database)
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(sql)]

    async def violations(self, *, at_rest: bool = False, journal: bool = True) -> list[str]:
        """What `zvonar verify` finds, with the carrier's record and Asterisk's journal beside the database."""
        path = self.loaded.resolve(self.loaded.config.database)
        now_ms = WallClock().now_ms()
        async with AioDatabase.open(path, now_ms=now_ms) as database:
            found = await verify(
                database,
                now_ms=now_ms,
                policy=self.loaded.policy,
                carried=self.carried(),
                heard=heard_legs(self.journal()) if journal else None,
                at_rest=at_rest,
            )
        return [str(violation) for violation in found]

    def cut(self, since_ms: int = 0, died_ms: Sequence[int] = ()) -> int:
        """Conversations that ended before their callee hung up, and not with their Asterisk, which died then."""
        bridged = {
            row["number"].lstrip("+") for row in self.rows("SELECT number FROM attempts WHERE bridged_at_ms > 0")
        }
        cut = 0
        for call in self.carried():
            fate = fate_of(call.number)
            if call.answered_ms is None or call.ended_ms is None or fate is None or call.ended_ms < since_ms:
                continue
            if any(call.answered_ms < ms and call.ended_ms > ms for ms in died_ms):
                continue
            lasts_ms = fate.talk_s * 1000 if fate.talk_s else 1 << 60
            talked = call.number.lstrip("+") in bridged and fate.outcome == "CONNECTED"
            cut += talked and call.ended_ms - call.answered_ms < lasts_ms - CUT_SLACK_MS
        return cut

    # ── leads ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def leads(self, count: int, *endings: str) -> None:
        """Import so many leads; their numbers end in turn with these fates (docs/number-plan.md)."""
        turn = itertools.cycle(endings)
        rows = [
            ImportRow(line=line, phones=(PhoneNumber(f"+7000{n:05d}{next(turn)}"),))
            for line, n in enumerate(itertools.islice(self._lines, count), start=1)
        ]
        now_ms = WallClock().now_ms()
        async with AioDatabase.open(self.loaded.resolve(self.loaded.config.database), now_ms=now_ms) as database:
            await import_leads(database, CAMPAIGN, iter(rows), file_name="chaos", by="chaos", now_ms=now_ms)

    async def list_open(self, chance: Callable[[], bool] = lambda: True) -> dict[str, int]:
        """Put the numbers of open calls on the do-not-call list, as another process: number (digits) → when.

        `chance` decides for each. Raises StoreLockedError.
        """
        open_calls = self.rows("SELECT number FROM attempts WHERE ended_at_ms IS NULL")
        numbers = [PhoneNumber(row["number"]) for row in open_calls if chance()]
        now_ms = WallClock().now_ms()
        async with AioDatabase.open(self.loaded.resolve(self.loaded.config.database), now_ms=now_ms) as database:
            await DoNotCall(database).add(numbers, reason="asked", by="chaos", at_ms=now_ms)
        return dict.fromkeys((number.e164.lstrip("+") for number in numbers), now_ms)


@contextmanager
def _mounted(directory: Path, mib: int) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "zvonar-chaos", directory], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", directory], check=True)


@asynccontextmanager
async def stage(
    port: int, *, agents: int = 8, lines: int = 60, calls_per_s: int = 20, drain_limit_s: int = 40, disk_mib: int = 0
) -> AsyncIterator[Stage]:
    """A call center without an engine yet. Ports are counted from `port`.

    `disk_mib`: the database and what lies beside it have a file system of their own, of that size; needs root.
    """
    async with AsyncExitStack() as scope:
        root = Path(scope.enter_context(tempfile.TemporaryDirectory(prefix="zc-")))
        disk = root / "disk"
        disk.mkdir()
        if disk_mib:
            scope.enter_context(_mounted(disk, disk_mib))
        ports = PairPorts(
            sip=port,
            ari=port + 1,
            ami=port + 2,
            carrier_sip=port + 3,
            carrier_ari=port + 4,
            carrier_ami=port + 5,
            rtp=port + 100,
        )
        names = [str(201 + n) for n in range(agents)]
        config = root / "config.yaml"
        config.write_text(
            _CONFIG.format(
                web=port + 6,
                ports=ports,
                rtp_last=ports.rtp + 1999,
                lines=lines,
                calls_per_s=calls_per_s,
                drain_limit_s=drain_limit_s,
                phones=", ".join(f"{name}: {{}}" for name in names),
                agents="\n".join(
                    f"  op{name}: {{name: Op {name}, phone: {name}, campaigns: [storm]}}" for name in names
                ),
            ),
            encoding="utf-8",
        )
        loaded = load(config)
        assert isinstance(loaded, Loaded), [str(problem) for problem in loaded]
        eye = _Eye()
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: eye, local_addr=("127.0.0.1", port + 7)
        )
        scope.push_async_callback(asyncio.sleep, 0)  # a closed socket is gone a turn of the loop later
        scope.callback(transport.close)
        binary = await asyncio.to_thread(find_binary)
        carrier = Asterisk(carrier_asterisk(root / "carrier", ports), binary, die_with_parent=True)
        await carrier.start()
        scope.push_async_callback(carrier.stop)
        desks = phones_and_trunks(loaded)[0]
        phones = RobotPhones(root / "phones", desks, server=f"127.0.0.1:{ports.sip}", control_port=port + 8)
        # An engine's Asterisk outlives it on purpose; here nobody would stop it.
        asterisk = Asterisk(private_asterisk(loaded), binary, die_with_parent=True)
        built = Stage(loaded, root, asterisk, carrier, phones, eye, port + 7)
        await built.asterisk.start()
        scope.push_async_callback(built.asterisk.stop)  # or of the one that the engine has started since
        await phones.start()
        scope.push_async_callback(phones.stop)
        async with asyncio.timeout(30):
            while len(await phones.registered()) < agents:
                await asyncio.sleep(0.1)
        try:
            yield built
        finally:
            if built.engine is not None and built.engine.returncode is None:
                built.signal(signal.SIGCONT)
                await built.kill()
