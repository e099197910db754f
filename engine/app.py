"""The composition root: configuration, store, switch, engine and pages, wired once and owned by one scope.

What is missing is not fatal: without Asterisk nothing is dialed and the pages still work, and the link is tried again
and again. Only the database and the pages' port must be there.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from asterisk.conf import InvalidSettings
from asterisk.instance import Asterisk, AsteriskFailed, find_binary
from crm_lite.app import make_app, reconfigure
from crm_lite.vitals import METRICS
from engine.ami.client import AmiClient, AmiError, AmiFact, TrunkRegistered
from engine.ari.switch import AriSwitch
from engine.backoff import Backoff
from engine.clock import Clock, WallClock
from engine.config import ConfigWatch, Loaded, changes
from engine.config.forms import Address
from engine.core.events import ConfigChanged, Event
from engine.core.floor import Floor
from engine.core.model import PhoneId, Policy, TrunkId
from engine.driver import Driver
from engine.phones import zones_of
from engine.recorder import Recorder
from engine.recordings import keep_house
from engine.store.database import AioDatabase
from engine.store.errors import StoreBug, StoreError
from engine.store.store import LineUp, Store
from engine.switch import Switch
from engine.telephony import (
    LegsTold,
    ami_account,
    ari_account,
    carried_number,
    phones_and_trunks,
    private_asterisk,
    recordings_folder,
)
from engine.window import open_window

log = logging.getLogger(__name__)

#: Log events that the demo tells in its own words; so is `engine.driver.DRAIN_LIMIT_REACHED`.
DRAINING: Final = "draining"
#: How long the pages may take to say good-bye.
WEB_SHUTDOWN_S: Final = 2.0
#: The folder beside the database that keeps what the engine was told, for `zvonar replay`.
RECORDINGS: Final = "facts"
#: The switch's journal is read again from so long before the start.
JOURNAL_BACK_MS: Final = 3_600_000
#: How often leads are lined up: with the look for other processes' changes and the next fetch within a second.
LINES_EVERY_S: Final = 0.25
#: Between two pieces of a long line-up others get the writer.
LINE_PAUSE_S: Final = 0.005
#: How often we look whether our Asterisk still runs.
ASTERISK_LOOK_EVERY_S: Final = 0.5


class _PhoneButtons:
    """Asks desk phones to answer, over the AMI link of the moment."""

    def __init__(self) -> None:
        self.link: AmiClient | None = None

    async def lift(self, channel: str) -> str:
        """See `AriSwitch`."""
        if self.link is None:
            return "no link to AMI"
        try:
            await self.link.notify(channel, "talk")
        except AmiError as error:
            return str(error)
        return ""


class CannotStart(Exception):
    """What keeps the program from starting, in words for the person who started it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A wired engine."""

    loaded: Loaded
    clock: Clock
    database: AioDatabase
    store: Store
    driver: Driver
    first: tuple[Event, ...]
    switch: AriSwitch
    asterisk: Asterisk | None
    buttons: _PhoneButtons


async def new_driver(
    policy: Policy,
    *,
    store: Store,
    switch: Switch,
    clock: Clock,
    recorder: Callable[[Floor], Recorder] | None = None,
) -> tuple[Driver, tuple[Event, ...]]:
    """A driver with an epoch of its own, and what it decides on first: the state that the last engine left."""
    floor = Floor(policy, epoch=await store.next_epoch(clock.now_ms()))
    record = recorder(floor).record if recorder is not None else None
    driver = Driver(floor, switch=switch, store=store, clock=clock, record=record)
    return driver, (await store.restore(),)


async def run(loaded: Loaded, *, play: Callable[[Parts], Coroutine[Any, Any, None]] | None = None) -> None:
    """Run until a signal: the first SIGTERM or SIGINT drains, the second ends now. `play` runs beside (the demo).

    Raises CannotStart and StoreError.
    """
    async with AsyncExitStack() as scope:
        parts = await wire(loaded, scope)
        app = make_app(parts.driver, parts.database, loaded, parts.clock)
        app[METRICS] = lambda: parts.driver.metrics(*parts.switch.vitals())
        await scope.enter_async_context(serving(app, loaded.config.web.listen))
        await scope.enter_async_context(open_window(parts.driver, loaded.resolve(loaded.config.database)))
        stop = _Stop()
        limit_ms = loaded.config.drain_limit
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(parts.driver.run(parts.first), name="engine"),
                group.create_task(_follow_config(parts, app), name="config-watch"),
                group.create_task(_watch_registrations(parts), name="ami"),
                group.create_task(keep_lines(parts.store, parts.driver, parts.clock), name="lines"),
            ]
            helpers = [group.create_task(play(parts), name="demo")] if play is not None else []
            if parts.asterisk is not None:
                kept = loaded.config.recordings
                house = keep_house(
                    recordings_folder(loaded),
                    keep_ms=kept.keep,
                    bytes_max=int(kept.gigabytes_max * 1e9),
                    clock=parts.clock,
                )
                helpers.append(group.create_task(house, name="recordings"))
                helpers.append(group.create_task(_keep_asterisk(parts, parts.asterisk), name="asterisk-keeper"))
            await stop.asked(1)
            log.info(DRAINING, extra={"action": "drain", "limit_ms": limit_ms})
            for task in helpers:
                task.cancel()
            await _first_of(parts.driver.drain(limit_ms), stop.asked(2))
            for task in (*tasks, *helpers):
                task.cancel()


async def wire(loaded: Loaded, scope: AsyncExitStack) -> Parts:
    """All parts of an engine, closed with the scope."""
    clock = WallClock()
    database = await scope.enter_async_context(
        AioDatabase.open(loaded.resolve(loaded.config.database), now_ms=clock.now_ms(), controller=True)
    )
    store = Store(database, zones_of=zones_of)
    asterisk = await _private_asterisk(loaded) if loaded.config.asterisk.managed else None
    try:
        account = ari_account(loaded, asterisk)
    except OSError as error:
        raise CannotStart(f"the ARI password cannot be read: {error}") from None
    # From the first attempt that is still open; and somewhat longer, for a wish told in the last engine's last moment.
    open_since_ms = min(
        (attempt.planned_at_ms for attempt, _ in (await store.restore()).attempts), default=clock.now_ms()
    )
    told_since_ms = min(open_since_ms, clock.now_ms() - JOURNAL_BACK_MS)
    buttons = _PhoneButtons()
    switch = AriSwitch(
        account,
        lift=buttons.lift,
        clock=clock,
        chance=random.random,
        trunks=[TrunkId(name) for name in loaded.config.trunks],
        phones=[PhoneId(name) for name in loaded.config.phones],
        journal=None if asterisk is None else LegsTold(asterisk.instance.paths.journal, since_ms=told_since_ms),
        reads=carried_number(loaded),
    )

    def recorder(floor: Floor) -> Recorder:
        return scope.enter_context(closing(Recorder(loaded.resolve(loaded.config.database).parent / RECORDINGS, floor)))

    driver, first = await new_driver(loaded.policy, store=store, switch=switch, clock=clock, recorder=recorder)
    return Parts(
        loaded=loaded,
        clock=clock,
        database=database,
        store=store,
        driver=driver,
        first=first,
        switch=switch,
        asterisk=asterisk,
        buttons=buttons,
    )


async def _private_asterisk(loaded: Loaded) -> Asterisk | None:
    """Our own Asterisk, started or found running. It outlives us on purpose: calls go on while the engine restarts."""
    try:
        asterisk = Asterisk(private_asterisk(loaded), await asyncio.to_thread(find_binary))
    except AsteriskFailed as error:
        _tell_of_failure(error)
        return None
    await _started(asterisk)
    return asterisk


async def _started(asterisk: Asterisk) -> bool:
    try:
        await asterisk.start()
    except AsteriskFailed as error:
        _tell_of_failure(error)
        return False
    return True


def _tell_of_failure(error: AsteriskFailed) -> None:
    log.error("no Asterisk: nothing is dialed", extra={"action": "asterisk_failed", "reason": str(error)})


async def _keep_asterisk(parts: Parts, asterisk: Asterisk) -> None:
    """Start it again whenever it has ended."""
    backoff, failures = Backoff(chance=random.random), 0
    while True:
        if asterisk.pid() is None:
            if not failures:
                log.error("Asterisk has ended", extra={"action": "asterisk_died"})
                await parts.switch.died("Asterisk has ended; it is being started again")
            failures = 0 if await _started(asterisk) else failures + 1
            await asyncio.sleep(backoff.wait_ms(failures) / 1000 if failures else 0)
        await asyncio.sleep(ASTERISK_LOOK_EVERY_S)


@asynccontextmanager
async def serving(app: web.Application, address: Address) -> AsyncIterator[None]:
    """Serve the pages for the length of the scope. Raises CannotStart when the port is taken."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=WEB_SHUTDOWN_S)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, address.host, address.port).start()
        except OSError as error:
            raise CannotStart(
                f"the pages cannot have {address.host}:{address.port} (web.listen): {os.strerror(error.errno or 0)}; "
                "end the program that holds the port, or choose another one"
            ) from None
        yield
    finally:
        await runner.cleanup()


async def _follow_config(parts: Parts, app: web.Application) -> None:
    """Take up config.yaml whenever it changes; with a mistake in it the old one stays."""
    watch = ConfigWatch(parts.loaded.path)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, watch.wake)
    current = parts.loaded
    async for loaded in watch.reloads():
        if not isinstance(loaded, Loaded):
            for problem in loaded:
                log.error("config.yaml is not taken up", extra={"action": "config_refused", "problem": str(problem)})
            continue
        for change in changes(current.config, loaded.config):
            log.info("config changed", extra={"action": "config_changed", "change": str(change)})
        current = loaded
        if parts.asterisk is not None:
            try:
                await parts.asterisk.apply(*phones_and_trunks(loaded))
            except (AsteriskFailed, InvalidSettings, OSError) as error:
                reason = str(error)
                log.error("phones and trunks are not taken up", extra={"action": "config_refused", "reason": reason})  # noqa: TRY400 - theirs
                continue
        parts.switch.reads = carried_number(loaded)
        await parts.switch.subscribe(map(TrunkId, loaded.config.trunks), map(PhoneId, loaded.config.phones))
        parts.driver.offer(ConfigChanged(loaded.policy))
        reconfigure(app, loaded)


async def _watch_registrations(parts: Parts) -> None:
    """Say when a carrier does not let one of our trunks register; phones are told by ARI."""
    try:
        account = ami_account(parts.loaded, parts.asterisk)
    except OSError as error:
        log.warning(
            "no AMI: registrations of trunks are not watched", extra={"action": "ami_off", "reason": str(error)}
        )
        return

    def tell(fact: AmiFact) -> None:
        if isinstance(fact, TrunkRegistered) and not fact.registered:
            extra = {"action": "trunk_unregistered", "trunk": fact.trunk, "state": fact.state}
            log.warning("a trunk is not registered with its carrier", extra=extra)

    parts.buttons.link = AmiClient(account, backoff=Backoff(chance=random.random))
    await parts.buttons.link.run(tell)


async def keep_lines(store: Store, driver: Driver, clock: Clock) -> None:
    """Line up leads as their time comes, whoever brought them."""
    while True:
        try:
            for campaign in driver.policy().campaigns.values():
                more = True
                while more:
                    more = await store.line_up(campaign.id, LineUp.of(campaign).order, clock.now_ms()) > 0
                    await asyncio.sleep(LINE_PAUSE_S)
        except StoreBug:
            raise
        except StoreError as problem:
            log.warning("the lines are not kept", extra={"action": "lines_failed", "reason": str(problem)})
        await asyncio.sleep(LINES_EVERY_S)


class _Stop:
    """Counts the signals that ask us to end."""

    def __init__(self) -> None:
        self._asked = 0
        loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._count)

    def _count(self) -> None:
        self._asked += 1
        self._changed.set()

    async def asked(self, times: int) -> None:
        """Returns once so many signals have come."""
        while self._asked < times:
            self._changed.clear()
            await self._changed.wait()


async def _first_of(*waits: Coroutine[Any, Any, None]) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(wait, name="drain") for wait in waits]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
