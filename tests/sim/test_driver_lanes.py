"""The shell's heart in virtual time: what is decided is saved, and only what is saved is dialed, answered and shown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any

import pytest

from engine.core import effects, events
from engine.core.floor import Floor
from engine.core.model import (
    CampaignId,
    CommandId,
    Lead,
    LeadId,
    LeadState,
    LegId,
    PhoneNumber,
    Recorded,
    RecordingRule,
    TrunkId,
    inbound_leg,
)
from engine.driver import BEAT_EVERY_MS, INBOX_MAX, SAVE_LATE_MS, Driver
from engine.sim.virtual import VirtualClock, run
from engine.store.database import PULSE_TIMEOUT_MS
from engine.store.errors import StoreBug, StoreIoError, StoreLockedError
from engine.store.store import LineUp
from engine.switch import Sink
from tests.conversation import ANNA, MONDAY_MS, OUR_NUMBER, SPRING, campaign, lead, policy, profile, queue


class Switch:
    """Takes orders and keeps them."""

    def __init__(self) -> None:
        self.orders: list[effects.SwitchOrder] = []
        self.sink: Sink | None = None

    async def run(self, sink: Sink) -> None:
        self.sink = sink
        sink(events.SwitchUp(()))
        await asyncio.Event().wait()

    def send(self, order: effects.SwitchOrder) -> None:
        self.orders.append(order)

    def dialed(self) -> list[LegId]:
        return [order.leg for order in self.orders if isinstance(order, effects.OriginateCustomer)]


class Disk:
    """Keeps what it is given, after a while; fails when told to."""

    def __init__(self) -> None:
        self.rows: list[effects.Write] = []
        self.slow_ms = 0
        self.fails = 0
        self.locked = False
        self.silent = False  # about the do-not-call lists
        self.listed: set[LeadId] = set()  # with all their numbers
        self.error: type[Exception] = StoreIoError
        self.waiting = [lead(n) for n in range(1, 9)]

    async def commit(self, writes: Sequence[effects.Write]) -> None:
        await asyncio.sleep(self.slow_ms / 1000)
        if self.fails:
            self.fails -= 1
            raise self.error("the disk is full")
        self.rows += writes

    async def try_write(self) -> None:
        if self.locked:
            await asyncio.sleep(PULSE_TIMEOUT_MS / 1000)
        if self.locked:
            raise StoreLockedError("another process holds the lock")

    async def due_leads(
        self, campaign_id: CampaignId, now_ms: int, limit: int, but: frozenset[LeadId], history_ms: int, line: LineUp
    ) -> events.LeadsFetched:
        await asyncio.sleep(self.slow_ms / 1000)
        if self.fails:
            raise StoreIoError("the disk is gone")
        return events.LeadsFetched(campaign_id, tuple(one for one in self.waiting if one.id not in but)[:limit])

    async def promised_leads(
        self, campaign_id: CampaignId, now_ms: int, limit: int, but: frozenset[LeadId], history_ms: int
    ) -> events.LeadsFetched:
        await asyncio.sleep(self.slow_ms / 1000)
        if self.fails:
            raise StoreIoError("the disk is gone")
        promised = [one for one in self.waiting if one.state is LeadState.CALLBACK and one.id not in but]
        return events.LeadsFetched(campaign_id, tuple(promised)[:limit], promised=True)

    async def revisions(self) -> Mapping[str, int]:
        return {}

    async def number_blocked(self, number: PhoneNumber, campaign: CampaignId) -> bool:
        return False

    async def blocked(self, leads: Iterable[LeadId]) -> tuple[tuple[LeadId, PhoneNumber], ...]:
        if self.silent:
            raise StoreIoError("the lists cannot be read")
        asked = frozenset(leads)
        found = [one for one in self.waiting if one.id in asked & self.listed]
        return tuple((one.id, phone.number) for one in found for phone in one.phones)

    async def leads(self, ids: Iterable[LeadId], since_ms: int | None = None) -> Mapping[LeadId, Lead]:
        await asyncio.sleep(self.slow_ms / 1000)
        return {one.id: one for one in self.waiting if one.id in set(ids)}

    async def callers(self, number: PhoneNumber, campaign: CampaignId) -> tuple[Lead, ...]:
        await asyncio.sleep(self.slow_ms / 1000)
        return tuple(one for one in self.waiting if any(phone.number == number for phone in one.phones))

    def rows_of(self, kind: type[Any]) -> list[Any]:
        return [row for row in self.rows if isinstance(row, kind)]


class House:
    """A driver with its switch and its disk."""

    def __init__(self) -> None:
        self.clock = VirtualClock(asyncio.get_running_loop(), MONDAY_MS)
        self.switch, self.disk = Switch(), Disk()
        recorded = campaign(recording=RecordingRule(mode=Recorded.ALWAYS))
        self.floor = Floor(policy(recorded, agents=[profile(ANNA)], queues=[queue()]), epoch=1)
        self.driver = Driver(self.floor, switch=self.switch, store=self.disk, clock=self.clock)
        self._commands = 0

    def command(self, kind: Any, **what: Any) -> Coroutine[Any, Any, str]:
        self._commands += 1
        return self.driver.do(kind(command=CommandId(f"c{self._commands}"), by="test", **what))

    async def passes(self, for_ms: int) -> None:
        """Virtual time goes by: nobody waits for it."""
        await asyncio.sleep(for_ms / 1000)

    async def ready(self) -> None:
        """Anna waits for calls, and the campaign runs."""
        await self.passes(100)
        await self.command(events.CampaignSwitched, campaign=SPRING, running=True)
        await self.command(events.AgentLogin, agent=ANNA)
        self.tell(events.LegAnswered(self.floor.live.agents[ANNA].leg or LegId("")))
        await self.passes(100)

    def tell(self, fact: events.SwitchEvent) -> None:
        assert self.switch.sink is not None
        assert self.switch.sink(fact)


def lived(story: Callable[[House], Coroutine[Any, Any, None]]) -> House:
    """Live a story through beside a running driver."""

    async def both() -> House:
        house = House()
        async with asyncio.TaskGroup() as group:
            running = group.create_task(house.driver.run(), name="driver")
            await story(house)
            running.cancel()
        return house

    return run(both())


def test_nothing_is_dialed_before_it_is_on_disk() -> None:
    async def story(house: House) -> None:
        await house.ready()
        house.disk.slow_ms = 1_000
        ready = asyncio.ensure_future(house.command(events.AgentReady, agent=ANNA))
        await house.passes(900)
        assert house.floor.live.attempts, "decided"
        assert not house.switch.dialed()
        assert not ready.done(), "the desk is not told before it is saved"
        await ready
        await house.passes(100)
        assert house.disk.rows_of(effects.SaveAttempt)
        assert house.switch.dialed()

    lived(story)


def test_a_recording_begins_when_its_row_is_on_disk() -> None:
    async def story(house: House) -> None:
        await house.ready()
        await house.command(events.AgentReady, agent=ANNA)
        await house.passes(100)
        (leg,) = house.switch.dialed()
        house.tell(events.LegAnswered(leg))
        await house.passes(100)
        house.disk.slow_ms = 1_000
        house.tell(events.LegBridged(leg))
        await house.passes(900)
        assert not [order for order in house.switch.orders if isinstance(order, effects.StartRecording)]
        await house.passes(200)
        assert house.disk.rows_of(effects.SaveRecording)
        assert [order.customer for order in house.switch.orders if isinstance(order, effects.StartRecording)] == [leg]

    lived(story)


def test_a_failed_commit_is_repeated_and_dialing_stops_meanwhile() -> None:
    async def story(house: House) -> None:
        await house.ready()
        house.disk.fails = 3
        assert await house.command(events.AgentReady, agent=ANNA) == ""
        assert house.floor.live.store_problem == ""
        assert house.disk.rows_of(effects.SaveAttempt), "what was decided is never dropped"

    lived(story)


def test_a_disk_that_stays_away_is_told_to_the_desk_and_the_supervisor() -> None:
    async def story(house: House) -> None:
        await house.ready()
        house.disk.fails = 1_000
        with pytest.raises(TimeoutError):
            await house.command(events.AgentReady, agent=ANNA)
        assert house.driver.snapshot().store_problem == "the disk is full"
        assert not house.switch.dialed()

    lived(story)


def test_a_lock_is_told_within_a_second_though_there_is_nothing_to_save() -> None:
    async def story(house: House) -> None:
        await house.ready()
        house.disk.locked = True
        await house.passes(900)
        assert house.driver.snapshot().store_problem == "another process holds the lock"
        house.disk.locked = False
        await house.passes(900)
        assert not house.driver.snapshot().store_problem
        house.disk.locked = True
        await house.passes(900)
        house.disk.locked = False
        assert await house.command(events.AgentReady, agent=ANNA) == ""
        assert not house.driver.snapshot().store_problem, "what was saved proves it well"

    lived(story)


def test_a_disk_that_answers_late_is_told_before_it_answers() -> None:
    async def story(house: House) -> None:
        await house.ready()
        house.disk.slow_ms = 3_000
        async with asyncio.TaskGroup() as group:
            saved = group.create_task(house.command(events.AgentReady, agent=ANNA), name="ready")
            await house.passes(SAVE_LATE_MS + BEAT_EVERY_MS)
            assert house.driver.snapshot().store_problem == f"nothing was saved for {SAVE_LATE_MS} ms"
            assert not saved.done()
            house.disk.slow_ms = 0
        assert saved.result() == ""
        await house.passes(1)
        assert not house.driver.snapshot().store_problem

    lived(story)


def test_a_disk_that_takes_locks_and_no_rows_is_not_well() -> None:
    async def story(house: House) -> None:
        await house.ready()
        house.disk.fails = 1_000
        with pytest.raises(TimeoutError):
            await house.command(events.AgentReady, agent=ANNA)
        await house.passes(5_000)
        assert house.driver.snapshot().store_problem == "the disk is full"

    lived(story)


def test_a_dial_that_waited_too_long_for_the_disk_is_not_sent() -> None:
    async def story(house: House) -> None:
        await house.ready()
        house.disk.slow_ms = 2_500
        await house.command(events.AgentReady, agent=ANNA)
        house.disk.slow_ms = 0
        first = house.disk.rows_of(effects.SaveAttempt)[0].attempt
        assert first.leg not in house.switch.dialed()

    lived(story)


def test_a_dial_taken_back_while_it_waited_is_not_sent() -> None:
    async def story(house: House) -> None:
        await house.ready()
        house.disk.slow_ms = 500
        ready = asyncio.ensure_future(house.command(events.AgentReady, agent=ANNA))
        await house.passes(100)
        (attempt,) = house.floor.live.attempts.values()
        suppressed = asyncio.ensure_future(house.command(events.LeadSuppressed, lead=attempt.lead, reason="asked"))
        await asyncio.gather(ready, suppressed)
        assert attempt.leg not in house.switch.dialed()

    lived(story)


@pytest.mark.parametrize("listed", [True, False])
def test_a_dial_does_not_go_out_while_the_lists_are_asked_about_its_number(listed: bool) -> None:
    async def story(house: House) -> None:
        await house.ready()
        house.disk.slow_ms = 500
        ready = asyncio.ensure_future(house.command(events.AgentReady, agent=ANNA))
        await house.passes(100)
        (attempt,) = house.floor.live.attempts.values()
        assert attempt.lead is not None
        house.disk.listed = {attempt.lead} if listed else set()
        house.disk.silent = True
        assert house.driver.offer(events.DoNotCallChanged())
        await ready
        await house.passes(100)
        assert attempt.leg not in house.switch.dialed(), "it is on disk, and nobody knows whether it may be dialed"
        house.disk.slow_ms, house.disk.silent = 0, False
        await house.passes(1_000)
        assert (attempt.leg in house.switch.dialed()) is not listed

    lived(story)


def test_a_promised_call_that_could_not_be_read_is_read_again() -> None:
    async def story(house: House) -> None:
        house.disk.waiting = [lead(n) for n in range(1, 31)]
        await house.ready()
        hopper = house.floor.live.hoppers[SPRING]
        house.disk.waiting.append(lead(50, state=LeadState.CALLBACK))
        house.disk.fails = 1
        house.driver.offer(events.TimerFired(("promise", SPRING)))
        await house.passes(500)
        assert hopper.owed, "and until then nothing goes before it"
        house.disk.fails = 0
        await house.passes(600)
        assert hopper.leads[0].id == 50
        assert not hopper.owed

    lived(story)


def test_lists_that_cannot_be_read_are_asked_again_and_hold_up_no_other_look_up() -> None:
    async def story(house: House) -> None:
        await house.ready()
        await house.command(events.AgentReady, agent=ANNA)
        await house.passes(100)
        assert house.floor.live.attempts, "somebody is called who may be on a list"
        house.disk.silent = True
        assert house.driver.offer(events.DoNotCallChanged())
        await house.passes(1_000)
        caller = house.disk.waiting[-1].phones[0].number
        dialed = PhoneNumber(OUR_NUMBER)
        house.tell(events.CallArrived(leg=inbound_leg("1.1"), trunk=TrunkId("carrier"), dialed=dialed, caller=caller))
        await house.passes(100)
        assert house.floor.live.callers, "the store has said who calls"
        assert house.floor.live.checks == 1, "and not who may not be called"
        house.disk.silent = False
        await house.passes(1_000)
        assert house.floor.live.checks == 0

    lived(story)


def test_urgent_orders_do_not_wait_for_the_disk() -> None:
    async def story(house: House) -> None:
        await house.ready()
        await house.command(events.AgentReady, agent=ANNA)
        await house.passes(100)
        house.disk.slow_ms = 60_000
        house.tell(events.LegAnswered(house.switch.dialed()[0]))
        await house.passes(10)
        assert isinstance(house.switch.orders[-1], effects.Bridge)

    lived(story)


def test_the_same_command_twice_is_done_once() -> None:
    async def story(house: House) -> None:
        await house.passes(100)
        login = events.AgentLogin(command=CommandId("once"), by="anna", agent=ANNA)
        answers = await asyncio.gather(house.driver.do(login), house.driver.do(login), house.driver.do(login))
        assert set(answers) == {""}
        assert len([o for o in house.switch.orders if isinstance(o, effects.OriginateAgent)]) == 1

    lived(story)


def test_a_bug_of_ours_in_the_store_ends_the_engine() -> None:
    async def story(house: House) -> None:
        await house.passes(100)
        house.disk.fails, house.disk.error = 1, StoreBug
        with pytest.raises(TimeoutError):
            await house.command(events.CampaignSwitched, campaign=SPRING, running=True)

    with pytest.raises(ExceptionGroup) as ended:
        lived(story)
    assert ended.group_contains(StoreBug)


def test_a_full_inbox_refuses_and_never_waits() -> None:
    async def story(house: House) -> None:
        await house.passes(100)
        taken = [house.driver.offer(events.StoreUp()) for _ in range(INBOX_MAX + 1)]
        assert taken[:-1] == [True] * INBOX_MAX
        assert taken[-1] is False

    lived(story)


def test_a_drain_ends_when_the_last_call_has_ended() -> None:
    async def story(house: House) -> None:
        await house.ready()
        await house.command(events.AgentReady, agent=ANNA)
        await house.passes(100)
        (leg,) = house.switch.dialed()
        house.tell(events.LegAnswered(leg))
        house.tell(events.LegBridged(leg))
        drained = asyncio.ensure_future(house.driver.drain(600_000))
        await house.passes(60_000)
        assert not drained.done()
        house.tell(events.LegHungUp(leg, 16))
        await drained
        assert house.switch.dialed() == [leg]

    lived(story)


def test_a_drain_has_a_limit() -> None:
    async def story(house: House) -> None:
        await house.ready()
        await house.command(events.AgentReady, agent=ANNA)
        began_ms = house.clock.now_ms()
        await house.driver.drain(30_000)
        assert house.clock.now_ms() - began_ms == 30_000

    lived(story)


def test_timers_fire_once_and_not_when_cancelled() -> None:
    async def story(house: House) -> None:
        await house.ready()
        await house.command(events.AgentReady, agent=ANNA)
        await house.passes(100)
        (leg,) = house.switch.dialed()
        house.tell(events.LegAnswered(leg))
        house.tell(events.LegBridged(leg))
        await house.passes(60_000)
        assert not [o for o in house.switch.orders if isinstance(o, effects.PlayMessageAndHangup)]

    lived(story)
