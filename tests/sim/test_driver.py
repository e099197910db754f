"""The driver between facts and disk: what happens when one of them does not keep up. Virtual time, no network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import pytest

from engine.core import effects, events
from engine.core.floor import Floor
from engine.core.model import CampaignId, CommandId, Lead, LeadId, NotDialing, PhoneNumber
from engine.demo import SENTENCES
from engine.driver import BEAT_EVERY_MS, COMMAND_TIMEOUT_MS, DRAIN_LIMIT_REACHED, LATE_MAX_MS, Driver
from engine.sim.virtual import VirtualClock, run
from engine.store.errors import StoreFullError
from engine.store.store import LineUp
from engine.switch import Sink
from tests.conversation import MONDAY_MS, SPRING, campaign, policy

T = TypeVar("T")


class Silence:
    """A switch that is there and says nothing."""

    async def run(self, sink: Sink) -> None:
        sink(events.SwitchUp(()))
        await asyncio.Event().wait()

    def send(self, order: effects.SwitchOrder) -> None:
        pass


class Disk:
    """Keeps what is committed; `trouble` is raised instead, `slow_s` passes before."""

    def __init__(self) -> None:
        self.kept: list[effects.Write] = []
        self.trouble: Exception | None = None
        self.slow_s = 0.0

    async def commit(self, writes: Sequence[effects.Write]) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self.slow_s):
                await asyncio.Event().wait()
        if self.trouble is not None:
            raise self.trouble
        self.kept += writes

    async def try_write(self) -> None:
        if self.trouble is not None:
            raise self.trouble

    async def due_leads(
        self, campaign: CampaignId, now_ms: int, limit: int, but: frozenset[LeadId], history_ms: int, line: LineUp
    ) -> events.LeadsFetched:
        return events.LeadsFetched(campaign, ())

    async def promised_leads(
        self, campaign: CampaignId, now_ms: int, limit: int, but: frozenset[LeadId], history_ms: int
    ) -> events.LeadsFetched:
        return events.LeadsFetched(campaign, (), promised=True)

    async def revisions(self) -> Mapping[str, int]:
        return {}

    async def number_blocked(self, number: PhoneNumber, campaign: CampaignId) -> bool:
        return False

    async def blocked(self, leads: Iterable[LeadId]) -> tuple[tuple[LeadId, PhoneNumber], ...]:
        return ()

    async def leads(self, ids: Iterable[LeadId], since_ms: int | None = None) -> Mapping[LeadId, Lead]:
        return {}

    async def callers(self, number: PhoneNumber, campaign: CampaignId) -> tuple[Lead, ...]:
        return ()


class Stopped(VirtualClock):
    """A clock that may run on while the process stands still."""

    stopped_ms = 0
    set_back_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.stopped_ms

    def ahead_ms(self) -> int:
        return self.set_back_ms


async def until(is_so: Callable[[], bool], within_s: float = 5) -> None:
    """Virtual time passes until it is so."""
    async with asyncio.timeout(within_s):
        while not is_so():  # noqa: ASYNC110 - virtual time has to pass
            await asyncio.sleep(0.01)


def driven(story: Callable[[Driver, Disk, Stopped], Coroutine[Any, Any, T]]) -> T:
    async def live() -> T:
        disk, clock = Disk(), Stopped(asyncio.get_running_loop(), MONDAY_MS)
        driver = Driver(Floor(policy(campaign()), epoch=1), switch=Silence(), store=disk, clock=clock)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(driver.run(), name="engine")
            await until(lambda: not driver.snapshot().switch_problem)
            told = await story(driver, disk, clock)
            running.cancel()
        return told

    return run(live())


def started(number: int = 1) -> events.CampaignSwitched:
    return events.CampaignSwitched(command=CommandId(f"c{number}"), by="test", campaign=SPRING, running=True)


def why(driver: Driver) -> str:
    return next(one.reason for one in driver.snapshot().dialing if one.campaign == SPRING)


def test_a_process_that_stood_still_does_not_dial_before_it_has_looked() -> None:
    async def story(driver: Driver, disk: Disk, clock: Stopped) -> None:
        await driver.do(started())
        before = why(driver)
        clock.stopped_ms += 30_000
        driver.leads_changed(SPRING)
        await until(lambda: why(driver) == NotDialing.OVERLOAD)
        await until(lambda: why(driver) == before)

    driven(story)
    assert LATE_MAX_MS < 2_000 - BEAT_EVERY_MS, "dialing stops within two seconds"


def test_leads_of_a_campaign_that_is_gone_meanwhile_are_not_read() -> None:
    async def story(driver: Driver, disk: Disk, clock: Stopped) -> None:
        await driver.do(started())
        driver.leads_changed(SPRING)
        driver.offer(events.ConfigChanged(policy(campaign(id=CampaignId("autumn")))))
        await driver.do(started(2))
        assert SPRING not in driver.policy().campaigns

    driven(story)


def test_a_system_clock_that_was_set_back_stops_dialing_until_it_is_right() -> None:
    async def story(driver: Driver, disk: Disk, clock: Stopped) -> None:
        await driver.do(started())
        before = why(driver)
        clock.set_back_ms = 3_600_000
        await until(lambda: why(driver) == NotDialing.CLOCK, within_s=2)
        clock.set_back_ms = 0
        await until(lambda: why(driver) == before)

    driven(story)


def test_a_full_disk_stops_dialing_and_the_operator_is_told_not_saved_until_it_is() -> None:
    async def story(driver: Driver, disk: Disk, clock: Stopped) -> None:
        await driver.do(started())
        disk.trouble = StoreFullError("the disk is full")
        began_ms = clock.now_ms()
        try:
            await driver.do(started(2))
        except TimeoutError:
            assert clock.now_ms() - began_ms == COMMAND_TIMEOUT_MS
        else:
            raise AssertionError("said saved, and was not")
        assert driver.snapshot().store_problem == "the disk is full"
        assert why(driver) == NotDialing.STORE
        disk.trouble = None
        assert await driver.do(started(2)) == "", "the same command again: done once, and now on disk"
        assert not driver.snapshot().store_problem
        assert len([one for one in disk.kept if isinstance(one, effects.SaveCampaignRun)]) == 2

    driven(story)


def test_a_drain_waits_for_the_disk_and_not_longer_than_its_limit(caplog: pytest.LogCaptureFixture) -> None:
    async def story(driver: Driver, disk: Disk, clock: Stopped) -> tuple[int, int]:
        disk.slow_s = 3
        driver.offer(started())
        await asyncio.sleep(0)
        began_ms = clock.now_ms()
        await driver.drain(60_000)
        saved_after_ms = clock.now_ms() - began_ms
        assert disk.kept
        disk.trouble = StoreFullError("the disk is full")
        driver.offer(started(2))
        began_ms = clock.now_ms()
        await driver.drain(10_000)
        return saved_after_ms, clock.now_ms() - began_ms

    saved_after_ms, limit_ms = driven(story)
    assert 3_000 <= saved_after_ms < 10_000
    assert 10_000 <= limit_ms < 10_100
    (told,) = [record for record in caplog.records if record.getMessage() == DRAIN_LIMIT_REACHED]
    assert SENTENCES[DRAIN_LIMIT_REACHED].format_map(vars(told)).endswith("Calls cut off: 0.")
