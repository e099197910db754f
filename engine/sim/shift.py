"""Whole shifts in virtual time: the real floor, driver and store, a simulated switch and people, and every fault.

Theory of operation. A `Plan` is made from a seed: who works, what breaks, how often. `play` lives it through: engines
start, are killed at any await and start again; agents press buttons; a supervisor stops, suppresses, reconfigures.
Each fact is followed by the core's invariants; each dial is held against the disk; each second what is stuck is timed;
at the end everybody goes home and nothing may be left. The same seed gives the same trace: a failure can be replayed.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
import sqlite3
import tempfile
import traceback
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from engine.api import SubscriptionOverflow
from engine.core import effects, events
from engine.core.budget import AbandonBudget, AbandonRule, MinuteCount
from engine.core.floor import Floor
from engine.core.invariants import violations
from engine.core.live import READY_ON_DISK, Live
from engine.core.model import (
    AgentId,
    AgentProfile,
    AgentState,
    AmdPolicy,
    Attempt,
    AttemptId,
    AttemptPolicy,
    BridgeId,
    CallingHours,
    Campaign,
    CampaignId,
    CommandId,
    Consent,
    ConsultPhase,
    CustomerState,
    Disposition,
    DispositionId,
    DispositionKind,
    InboundQueue,
    Lead,
    LeadId,
    LegKind,
    Outcome,
    PhoneId,
    PhoneNumber,
    Policy,
    QueueId,
    Recorded,
    RecordingRule,
    RetryRule,
    Trunk,
    TrunkId,
    WrapUpMode,
    agent_of_leg,
)
from engine.core.pacing import OnTimeout, PacingPolicy, Predictive, Preview, Progressive, Ratio
from engine.core.screening import Checked, Detection
from engine.driver import Driver
from engine.recorder import said_step
from engine.sim.people import Habits, People, SimAgent
from engine.sim.switch import Faults, Invite, Place, SimSwitch
from engine.sim.virtual import VirtualClock, VirtualLoop, run
from engine.store.database import InlineDatabase
from engine.store.dnc import DoNotCall
from engine.store.errors import StoreIoError
from engine.store.store import LineUp, Store
from engine.verify import verify

CAMPAIGN: Final = CampaignId("spring")
#: Shares agents, lines and numbers with the first, and may vanish from the configuration.
SECOND: Final = CampaignId("autumn")
TRUNK: Final = TrunkId("carrier")
HOTLINE: Final = QueueId("hotline")
OUR_NUMBER: Final = PhoneNumber("+380441230000")
VOICEMAIL: Final = DispositionId("voicemail")
#: 2025-11-24 08:00 UTC, a Monday.
START_MS: Final = 1_763_971_200_000
#: The campaigns' own zone.
ZONE: Final = "Europe/Kyiv"
DAYTIME: Final = ((9 * 60, 20 * 60),)
#: 2025-10-26 and 2026-03-29, 00:50 UTC: in ten minutes Kyiv and Lisbon change their clocks, New York and Almaty do not.
CLOCKS_BACK_MS: Final = 1_761_439_800_000
CLOCKS_FORWARD_MS: Final = 1_774_745_400_000
#: Hours with edges inside the hour that these nights have twice, or not at all.
NIGHT: Final = ((0, 90), (105, 150), (155, 210), (215, 24 * 60))
#: What is out of step with the switch is put right within this while the link is up (the switch is asked every 10 s).
STRANDED_MAX_MS: Final = 30_000
#: Nobody who answered hears nothing for longer than this while the link is up, even when facts are lost.
SILENCE_MAX_MS: Final = 20_000
#: A number may still leave the house this long after it was suppressed: its order was on its way.
SUPPRESSION_RACE_MS: Final = 1_000
#: Everybody is home, and every line is free, this long after the end of the shift.
HOME_WITHIN_MS: Final = 30 * 60_000
TRACE_MAX: Final = 50
#: Who lives on when the engine's process dies, besides the agents.
OUTSIDE: Final = frozenset({"history", "engines", "watch", "supervisor"})
#: The engine dies so many steps of the loop after the time is up, at the latest: between any two of them.
KILLED_WITHIN_TURNS: Final = 60
PREVIEW: Final = Preview(countdown_ms=12_000, on_timeout=OnTimeout.SKIP, skips_max=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One history."""

    seed: int
    agents: int = 5
    leads: int = 80
    start_ms: int = START_MS
    hours: tuple[tuple[int, int], ...] = DAYTIME  # minutes of every day, in the lead's own zone
    length_ms: int = 1_200_000
    lines: int = 8
    pacing: PacingPolicy = field(default_factory=Progressive)
    wrap_up: WrapUpMode = WrapUpMode.TIMED
    on_demand_share: float = 0.0
    recording: RecordingRule = field(default_factory=RecordingRule)
    campaigns: int = 1  # or 2
    calls_in_every_ms: int = 0  # people who call us
    amd: AmdPolicy = field(default_factory=AmdPolicy)
    habits: Habits = field(default_factory=Habits)
    faults: Faults = field(default_factory=Faults)
    kill_every_ms: int = 0
    away_ms: int = 3_000
    clock_step_ms: int = 0  # how far the system clock may jump between two lives of the engine
    slow_disk_ms: int = 0
    failed_write_share: float = 0.0
    failed_write: int = 0  # the one, counted from 1, that fails whatever the share
    supervisor_every_ms: int = 0
    check_every: int = 1  # facts between two looks at all invariants
    watch_every_s: int = 1  # between two looks at what is stuck
    traced: bool = True


def faulty(seed: int) -> Plan:
    """The history of a seed, with all faults."""
    chance, machines = random.Random(seed), random.Random(f"{seed} machines")
    harsh = chance.choice((0.3, 1.0, 2.0))
    start_ms = chance.choice((START_MS, START_MS, CLOCKS_BACK_MS, CLOCKS_FORWARD_MS))
    return Plan(
        seed=seed,
        start_ms=start_ms,
        hours=DAYTIME if start_ms == START_MS else NIGHT,
        agents=chance.randint(2, 6),
        lines=chance.randint(2, 9),
        pacing=chance.choice((Progressive(), PREVIEW, Ratio(calls_per_agent=1.5), Predictive())),
        wrap_up=chance.choice(tuple(WrapUpMode)),
        on_demand_share=chance.choice((0.0, 0.0, 0.3, 1.0)),
        recording=RecordingRule(
            mode=chance.choice(tuple(Recorded)), consent=chance.choice((Consent.NONE, Consent.ASKED))
        ),
        campaigns=chance.choice((1, 1, 2)),
        calls_in_every_ms=random.Random(f"{seed} calls in").choice((0, 0, 30_000, 90_000)),
        habits=Habits(
            phone_loss_every_ms=chance.choice((0, 900_000)),
            talk_ms=chance.choice((20_000, 90_000)),
            cards=chance.choice((0, 0, 80)),
            machine_share=machines.choice((0.0, 0.5)),
        ),
        amd=AmdPolicy(
            enabled=machines.random() < 0.5,
            message=machines.choice(("", "acme/voicemail")),
            sample_share=machines.choice((0.1, 0.5)),
            false_positives_max=machines.choice((0.05, 0.5)),
        ),
        faults=Faults(
            lost=0.01 * harsh,
            twice=0.01 * harsh,
            late=0.01 * harsh,
            reply_lost=0.01 * harsh,
            refused=0.01 * harsh,
            slow=0.01 * harsh,
            failed=0.01 * harsh,
            glare=0.1 * harsh,
            link_lost_every_ms=int(450_000 / harsh),
            slow_spell_every_ms=int(600_000 / harsh),
            dies_every_ms=chance.choice((0, 0, 600_000)),
            journal_share=chance.choice((0.0, 0.9)),
        ),
        kill_every_ms=int(450_000 / harsh),
        clock_step_ms=chance.choice((0, 0, 60_000, 3_600_000)),
        slow_disk_ms=chance.choice((0, 5, 200)),
        failed_write_share=0.002 * harsh,
        supervisor_every_ms=150_000,
    )


def history(seed: int) -> Report:
    """The history of a seed, lived through; also in a process of its own."""
    logging.disable(logging.CRITICAL)  # the engine complains of the faults; the report tells what matters
    return play(faulty(seed))


def long_shift(seed: int) -> Plan:
    """A hundred agents for eight hours, without faults: a measure of speed."""
    return Plan(
        seed=seed,
        agents=100,
        leads=40_000,
        length_ms=8 * 3_600_000,
        lines=200,
        habits=Habits(talk_ms=240_000, hangup_share=0.0, wrap_ms=30_000),
        check_every=1_000,
        watch_every_s=30,
        traced=False,
    )


@dataclass(slots=True)
class Report:
    """What came of a history."""

    seed: int
    violations: list[str] = field(default_factory=list)
    trace: deque[str] = field(default_factory=lambda: deque(maxlen=TRACE_MAX))
    hash: str = ""
    facts: int = 0
    dialed: int = 0
    conversations: int = 0
    calls_in: int = 0
    lives: int = 0
    writes: int = 0  # transactions, with those that failed
    killed_at: set[str] = field(default_factory=set)  # task and line
    counters: Counter[str] = field(default_factory=Counter)


class Broken(Exception):
    """An invariant does not hold."""


def play(plan: Plan) -> Report:
    """Live a plan through; never raises for what the engine did wrong."""
    report = Report(plan.seed)
    with _place_for_files() as place:
        try:
            path = Path(place) / "sim.db"
            path.write_bytes(_new_database())
            run(_play(plan, report, path))
        except* Broken as broken:
            report.violations += [str(one) for one in _leaves(broken)]
        except* Exception as bugs:
            report.violations += [f"{type(one).__name__}: {one}{_place(one)}" for one in _leaves(bugs)]
    return report


def _place_for_files() -> tempfile.TemporaryDirectory[str]:
    folder = Path("/dev/shm")  # noqa: S108 - a disk that is not waited for; the database is thrown away
    return tempfile.TemporaryDirectory(dir=folder if folder.is_dir() else None)


@cache
def _new_database() -> bytes:
    """A file with nothing in it: all migrations take longer than a minute of a shift."""
    with _place_for_files() as place:
        path = Path(place) / "new.db"
        with InlineDatabase.open(path, now_ms=START_MS, durable=False):
            pass
        return path.read_bytes()


def _place(bug: BaseException) -> str:
    """Where it was raised, innermost last."""
    frames = traceback.extract_tb(bug.__traceback__)[-3:]
    return "".join(f" ← {Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(frames))


def _suspended_at(task: asyncio.Task[Any]) -> str:
    """The task, and the lines of ours at which it waits, outermost first."""
    at, inner = [], task.get_coro()
    while (frame := getattr(inner, "cr_frame", None)) is not None:
        if frame.f_globals["__name__"].startswith("engine."):
            at.append(f"{frame.f_code.co_name}:{frame.f_lineno}")
        inner = inner.cr_await  # type: ignore[union-attr]
    return " ".join([task.get_name(), *at])


def _leaves(group: BaseExceptionGroup[Any]) -> Iterator[BaseException]:
    for one in group.exceptions:
        if isinstance(one, BaseExceptionGroup):
            yield from _leaves(one)
        else:
            yield one


async def _play(plan: Plan, report: Report, path: Path) -> None:
    with InlineDatabase.open(path, now_ms=plan.start_ms, durable=False) as database:
        world = _World(plan, report, path, database)
        try:
            await world.play()
        finally:
            report.hash = world.digest.hexdigest()
            world.disk.close()


class _WatchedFloor(Floor):
    """The Floor, looked at after every fact."""

    def __init__(self, policy: Policy, *, epoch: int, world: _World) -> None:
        super().__init__(policy, epoch=epoch)
        self._world = world
        self.writes = 0
        self._facts = 0

    def handle(self, event: events.Event, now_ms: int) -> list[effects.Effect]:
        orders = super().handle(event, now_ms)
        self.writes += sum(1 for order in orders if isinstance(order, effects.Write))
        self._facts += 1
        self._world.decided(event, orders, now_ms)
        if self._facts % self._world.plan.check_every == 0:
            broken = violations(self.live)
            if broken:
                raise Broken("; ".join(broken))
        return orders


class _FaultyStore:
    """The real store on a disk that is slow, or does not write now and then."""

    def __init__(self, store: Store, world: _World) -> None:
        self._store = store
        self._world = world
        self.saved = 0
        self.agents: set[AgentId] = set()  # saved in this life
        self._own_rows = 0  # of the engine: its commits revise nothing
        self._revised_at: tuple[int, int] | None = None
        self._revisions: Mapping[str, int] = {}

    async def commit(self, writes: Sequence[effects.Write]) -> None:
        """As the store, after a while, or not."""
        await self._turn()
        self._world.report.writes += 1
        failed = self._world.report.writes == self._world.plan.failed_write
        if failed or self._world.chance.random() < self._world.failed_write_share:
            raise StoreIoError("simulated: the disk did not write")
        rows = self._world.rows_written()
        await self._store.commit(writes)
        self._own_rows += self._world.rows_written() - rows
        self.saved += len(writes)
        self.agents |= {write.agent.id for write in writes if isinstance(write, effects.SaveAgent)}
        self._world.saved(writes)
        await self._turn()  # the answer takes its time too: killed here, it is on disk and nobody knows

    async def try_write(self) -> None:
        """As the store, which nobody else locks."""
        await self._turn()

    async def due_leads(
        self, campaign: CampaignId, now_ms: int, limit: int, but: frozenset[LeadId], history_ms: int, line: LineUp
    ) -> events.LeadsFetched:
        """As the store, after a while."""
        await self._turn()
        fetched = await self._store.due_leads(campaign, now_ms, limit, but, history_ms, line)
        await self._turn()
        return fetched

    async def promised_leads(
        self, campaign: CampaignId, now_ms: int, limit: int, but: frozenset[LeadId], history_ms: int
    ) -> events.LeadsFetched:
        """As the store, after a while."""
        await self._turn()
        fetched = await self._store.promised_leads(campaign, now_ms, limit, but, history_ms)
        await self._turn()
        return fetched

    async def leads(self, ids: Iterable[LeadId], since_ms: int | None = None) -> Mapping[LeadId, Lead]:
        """As the store, after a while."""
        await self._turn()
        found = await self._store.leads(ids, since_ms)
        await self._turn()
        return found

    async def revisions(self) -> Mapping[str, int]:
        """As the store; read anew only after somebody else has written, for it is asked thousands of times."""
        written = self._world.rows_written() - self._own_rows, self._world.disk.total_changes
        if written != self._revised_at:
            self._revised_at, self._revisions = written, await self._store.revisions()
        return self._revisions

    async def number_blocked(self, number: PhoneNumber, campaign: CampaignId) -> bool:
        """As the store, after a while."""
        await self._turn()
        return await self._store.number_blocked(number, campaign)

    async def blocked(self, leads: Iterable[LeadId]) -> tuple[tuple[LeadId, PhoneNumber], ...]:
        """As the store, after a while."""
        await self._turn()
        return await self._store.blocked(leads)

    async def restore(self) -> events.Restored:
        """As the store, after a while."""
        await self._turn()
        return await self._store.restore()

    async def next_epoch(self, now_ms: int) -> int:
        """As the store; its answer may be waited for in vain."""
        epoch = await self._store.next_epoch(now_ms)
        await self._turn()
        return epoch

    async def callers(self, number: PhoneNumber, campaign: CampaignId) -> tuple[Lead, ...]:
        """As the store, after a while."""
        await self._turn()
        found = await self._store.callers(number, campaign)
        await self._turn()
        return found

    async def _turn(self) -> None:
        slow_ms = self._world.slow_disk_ms
        if slow_ms or self._world.plan.kill_every_ms:  # nobody waits for no time unless to die meanwhile
            await asyncio.sleep(self._world.chance.expovariate(1 / slow_ms) / 1000 if slow_ms else 0)


class _World:
    """One history: the engine of the moment, the people, and whoever looks on."""

    def __init__(self, plan: Plan, report: Report, path: Path, database: InlineDatabase) -> None:
        self.plan = plan
        self.report = report
        self.chance = random.Random(f"{plan.seed} world")
        self.clock = VirtualClock(asyncio.get_running_loop(), plan.start_ms)
        self.disk = sqlite3.connect(path)  # looks at what is committed
        self.digest = hashlib.sha256()
        self.slow_disk_ms = plan.slow_disk_ms
        self.failed_write_share = plan.failed_write_share
        self.policy = _policy(plan)
        self._database = database
        self._store = Store(database)
        self._people = People(random.Random(f"{plan.seed} people"), plan.habits)
        self.switch = SimSwitch(
            clock=self.clock,
            chance=random.Random(f"{plan.seed} switch"),
            people=self._people,
            faults=plan.faults,
            on_invite=self._invited,
        )
        self._agents = {
            id_: SimAgent(
                id_,
                engine=lambda: self._driver,
                chance=random.Random(f"{plan.seed} {id_}"),
                habits=plan.habits,
                now_ms=self.clock.now_ms,
                hears_machine=self.switch.machines.__contains__,
            )
            for id_ in self.policy.agents
        }
        self._floor: _WatchedFloor | None = None
        self._driver: Driver | None = None
        self._faulty: _FaultyStore | None = None
        self._engine: asyncio.Task[None] | None = None
        self._closing = False
        self._dialed: set[str] = set()
        self._suppressed_at_ms: dict[int, int] = {}
        self._listed_at_ms: dict[str, int] = {}
        self._since_ms: dict[tuple[str, str], int] = {}
        self._commands = 0

    # ── the history ──────────────────────────────────────────────────────────────────────────────────────────────

    async def play(self) -> None:
        """From the first log-in until everybody is home."""
        current = asyncio.current_task()
        assert current is not None
        current.set_name("history")
        self._import_leads(self.plan.leads)
        async with asyncio.TaskGroup() as group:
            actors = [
                group.create_task(self._engines(group), name="engines"),
                group.create_task(self._watch(), name="watch"),
                *(group.create_task(agent.work(), name=f"agent-{id_}") for id_, agent in self._agents.items()),
            ]
            if self.plan.calls_in_every_ms:
                actors.append(group.create_task(self._call_in(), name="callers"))
            if self.plan.supervisor_every_ms:
                actors.append(group.create_task(self._supervise(), name="supervisor"))
            for id_ in self.policy.campaigns:
                await self._command(events.CampaignSwitched, campaign=id_, running=True)
            await asyncio.sleep(self.plan.length_ms / 1000)
            await self._close()
            for actor in actors:
                actor.cancel()
            if self._engine is not None:
                self._engine.cancel()
        self._check_end()
        if not self.plan.clock_step_ms:  # else the times on disk run backwards, and rightly so
            broken = await verify(self._database, now_ms=self.clock.now_ms(), at_rest=True)
            if broken:
                raise Broken("verified: " + "; ".join(map(str, broken)))

    async def _engines(self, group: asyncio.TaskGroup) -> None:
        """One life of the engine after another."""
        plan = self.plan
        while True:
            self._engine = group.create_task(self._live(), name="engine")
            life_s = None
            if plan.kill_every_ms:
                life_s = self.chance.expovariate(1 / plan.kill_every_ms) / 1000
            await asyncio.wait({self._engine}, timeout=life_s)
            if self._closing and not self._engine.done():
                await asyncio.wait({self._engine})
            if self._engine.done():
                return  # a bug: its exception ends the group
            driver, draining = self._driver, self.chance.random() < 0.3
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualLoop)
            loop.after_turns(self.chance.randrange(KILLED_WITHIN_TURNS), partial(self._kill, self._engine))
            if draining and driver is not None:
                await driver.drain(5_000)
            await asyncio.wait({self._engine})
            if not self._engine.cancelled():
                return  # a bug
            if plan.clock_step_ms:
                self.clock.base_ms += self.chance.choice((-1, 1)) * self.chance.randrange(plan.clock_step_ms)
            await asyncio.sleep(self.chance.expovariate(1 / plan.away_ms) / 1000)

    def _kill(self, engine: asyncio.Task[None]) -> None:
        """kill -9: not one of its tasks takes a further step; what it has sent is sent."""
        if engine.done():
            return
        for task in sorted(asyncio.all_tasks(), key=asyncio.Task.get_name):
            if task.get_name() not in OUTSIDE and not task.get_name().startswith("agent-"):
                self.report.killed_at |= {_suspended_at(task)}
                task.cancel()
        self._driver = self._floor = self._faulty = None
        self._note("the engine is killed")

    async def _live(self) -> None:
        self.report.lives += 1
        self._since_ms.clear()
        self._faulty = store = _FaultyStore(self._store, self)
        restored = await store.restore()
        epoch = await store.next_epoch(self.clock.now_ms())
        self._floor = floor = _WatchedFloor(self.policy, epoch=epoch, world=self)
        self._driver = driver = Driver(floor, switch=self.switch, store=store, clock=self.clock, record=self._record)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(driver.run([restored]), name="driver")
                group.create_task(self._show(driver), name="desk-screens")
        finally:
            self.report.counters.update(floor.live.counters)

    async def _show(self, driver: Driver) -> None:
        """What the desks show."""
        while True:
            with suppress(SubscriptionOverflow):
                async with driver.subscribe() as notices:
                    for agent in driver.snapshot().agents:
                        self._agents[agent.id].see(agent)
                    async for notice in notices:
                        if isinstance(notice, effects.AgentChanged):
                            self._agents[notice.agent.id].see(notice.agent)

    async def _close(self) -> None:
        """Nothing breaks any more; the campaign stops; everybody finishes and goes home."""
        self._closing = True
        self.switch.faults = Faults()
        self.slow_disk_ms, self.failed_write_share = 0, 0.0
        for id_ in self.policy.campaigns:
            await self._command(events.CampaignSwitched, campaign=id_, running=False)
        for agent in self._agents.values():
            agent.go_home()
        for _ in range(HOME_WITHIN_MS // 10_000):
            await asyncio.sleep(10)
            if not self._left():
                return

    async def _supervise(self) -> None:
        """Somebody in a hurry, with rights."""
        while not self._closing:
            await asyncio.sleep(self.chance.expovariate(1 / self.plan.supervisor_every_ms))
            match self.chance.randrange(5):
                case 0:
                    await self._command(events.CampaignSwitched, campaign=CAMPAIGN, running=False)
                    await asyncio.sleep(self.chance.expovariate(1 / 30))
                    await self._command(events.CampaignSwitched, campaign=CAMPAIGN, running=not self._closing)
                case 1 | 2:
                    await self._suppress()
                case 3:
                    self._reconfigure()
                case _:
                    self._import_leads(10)
                    if self._driver is not None:
                        self._driver.leads_changed(CAMPAIGN)
                        self._driver.leads_changed(SECOND)

    async def _call_in(self) -> None:
        """People call: some are leads, some share a number with others, some hide theirs."""
        chance = random.Random(f"{self.plan.seed} callers")
        while not self._closing:
            await asyncio.sleep(chance.expovariate(1 / self.plan.calls_in_every_ms) / 1000)
            known = PhoneNumber(f"+38067{chance.randint(1, self.plan.leads):06}0")
            stranger = PhoneNumber(f"+38050{chance.randrange(20):07}")
            caller = chance.choice((known, known, stranger, None))
            dialed = OUR_NUMBER if chance.random() < 0.97 else PhoneNumber("+380440000000")
            self.switch.call_in(dialed, caller, TRUNK)
            self.report.calls_in += 1

    async def _suppress(self) -> None:
        floor = self._floor
        live = sorted(floor.live.leads) if floor is not None else []
        lead = self.chance.choice(live) if live and self.chance.random() < 0.7 else self._some_lead()
        if self.chance.random() < 0.5:  # another process writes: nobody tells the engine
            rows = self.disk.execute("SELECT number FROM phones WHERE lead_id = ?", (lead,)).fetchall()
            numbers = [PhoneNumber(number) for (number,) in rows]
            at_ms = self.clock.now_ms()
            await DoNotCall(self._database).add(numbers, reason="asked", by="boss", at_ms=at_ms)
            for number in numbers:
                self._listed_at_ms.setdefault(number.e164, at_ms)
            return
        if not await self._command(events.LeadSuppressed, lead=lead, reason="asked"):
            self._suppressed_at_ms.setdefault(lead, self.clock.now_ms())

    def _some_lead(self) -> LeadId:
        (count,) = self.disk.execute("SELECT count(*) FROM leads").fetchone()
        return LeadId(self.chance.randint(1, count))

    def _reconfigure(self) -> None:
        whole = _policy(self.plan)
        second_gone = self.chance.random() < 0.3
        profiles = {
            id_: replace(
                profile,
                leg_kind=self.chance.choice((profile.leg_kind, profile.leg_kind, LegKind.NAILED_UP, LegKind.ON_DEMAND)),
                campaigns=tuple(c for c in whole.campaigns if self.chance.random() < 0.9),
                queues=tuple(q for q in whole.queues if self.chance.random() < 0.8),
            )
            for id_, profile in self.policy.agents.items()
        }
        changed = {
            id_: replace(
                campaign,
                wrap_up_mode=self.chance.choice(tuple(WrapUpMode)),
                pacing=self.chance.choice((Progressive(), PREVIEW, Ratio(calls_per_agent=1.5), Predictive())),
            )
            for id_, campaign in whole.campaigns.items()
            if id_ == CAMPAIGN or not second_gone
        }
        trunk = replace(self.policy.trunks[TRUNK], lines_max=self.chance.randint(1, 9))
        queues = {
            id_: replace(
                queue,
                hours=self.chance.choice((queue.hours, queue.hours, CallingHours(spans=((),) * 7, zone="Europe/Kyiv"))),
                queue_max=self.chance.choice((1, 10)),
            )
            for id_, queue in whole.queues.items()
            if self.chance.random() < 0.9
        }
        self.policy = Policy(campaigns=changed, trunks={TRUNK: trunk}, agents=profiles, queues=queues)
        if self._driver is not None:
            self._driver.offer(events.ConfigChanged(self.policy))

    async def _command(self, kind: Any, **what: Any) -> str:
        """A supervisor's command, pressed until it is saved."""
        while True:
            self._commands += 1
            driver = self._driver
            if driver is not None:
                with suppress(TimeoutError):
                    return await driver.do(kind(command=CommandId(f"boss-{self._commands}"), by="boss", **what))
            await asyncio.sleep(1)

    def _import_leads(self, count: int) -> None:
        (before,) = self.disk.execute("SELECT count(*) FROM leads").fetchone()
        zones = (None, None, ZONE, "Europe/Lisbon", "Asia/Almaty", "America/New_York")
        leads, phones = [], []
        for id_ in range(before + 1, before + count + 1):
            campaign = SECOND if id_ % 2 < self.plan.campaigns - 1 else CAMPAIGN
            leads.append((id_, campaign, self.chance.choice(zones), self.chance.randrange(3)))
            for position in range(self.chance.choice((1, 1, 2))):
                shared = self.chance.random() < 0.03 and id_ > 1
                number = f"+38067{self.chance.randrange(1, id_) if shared else id_:06}{position}"
                phones.append((id_, position, number))
        with self.disk:
            self.disk.executemany(
                "INSERT INTO leads (id, campaign_id, zone, priority, created_at_ms, updated_at_ms)"
                " VALUES (?, ?, ?, ?, 0, 0)",
                leads,
            )
            self.disk.executemany("INSERT INTO phones (lead_id, position, number) VALUES (?, ?, ?)", phones)

    # ── looking on ───────────────────────────────────────────────────────────────────────────────────────────────

    def _record(self, now_ms: int, event: events.Event) -> None:
        self.report.facts += 1
        if not self.plan.traced:
            self.digest.update(f"{now_ms}{type(event).__name__}{getattr(event, 'leg', '')}".encode())

    def decided(self, event: events.Event, orders: Sequence[effects.Effect], now_ms: int) -> None:
        """A fact was decided on."""
        if self.plan.traced:
            self._note(said_step(event, orders), now_ms)

    def _note(self, line: str, now_ms: int | None = None) -> None:
        at_s = ((self.clock.now_ms() if now_ms is None else now_ms) - self.plan.start_ms) / 1000
        line = f"{at_s:10.3f}  {line}"
        self.report.trace.append(line)
        self.digest.update(line.encode())

    def saved(self, writes: Sequence[effects.Write]) -> None:
        """A transaction is on disk; when nothing more is on its way, the disk must tell what the memory knows."""
        self.report.conversations += sum(
            1 for w in writes if isinstance(w, effects.SaveEnd) and w.attempt.outcome is Outcome.CONNECTED
        )
        floor, store = self._floor, self._faulty
        if floor is None or store is None or floor.writes != store.saved or self.plan.check_every > 1:
            return
        rows = {
            row[0]: row[1:]
            for row in self.disk.execute(
                "SELECT a.id, a.answered_at_ms, a.bridged_at_ms, l.state, a.lead_id FROM attempts a LEFT JOIN leads l"
                " ON l.id = a.lead_id WHERE a.ended_at_ms IS NULL"
            )
        }
        live = {a.id: a for a in floor.live.attempts.values() if a.state is not CustomerState.ENDED}
        if rows.keys() != live.keys():
            raise Broken(f"open on disk {sorted(rows)}, in memory {sorted(live)}")
        for id_, (answered_at_ms, bridged_at_ms, state, lead) in rows.items():
            attempt = live[id_]
            if lead != attempt.lead:
                raise Broken(f"attempt {id_} has lead {lead} on disk, {attempt.lead} in memory")
            if (answered_at_ms, bridged_at_ms) != (attempt.answered_at_ms, attempt.bridged_at_ms):
                raise Broken(f"the disk has {answered_at_ms} {bridged_at_ms}, the memory {attempt}")
            waits = attempt.queue is not None and (lead is None or bridged_at_ms is None)
            if not waits and id_ not in floor.live.decided and state not in {"dialing", "in_call", "suppressed"}:
                raise Broken(f"attempt {id_} is open and its lead is {state}")
        for id_, agent_state, attempt_id, leg in self.disk.execute("SELECT id, state, attempt_id, leg FROM agents"):
            agent = floor.live.agents[AgentId(id_)]
            if id_ not in store.agents:
                continue  # of the last life, until the switch has been heard
            known = AgentState.READY if agent.state in READY_ON_DISK else agent.state
            if (agent_state, attempt_id, leg) != (known, agent.attempt, agent.leg):
                raise Broken(f"the disk has {id_} {agent_state} {attempt_id} {leg}, the memory {agent}")

    def rows_written(self) -> int:
        """Through the engine's connection, by whomever."""
        return self._database.rows_written

    def _invited(self, invite: Invite) -> None:
        """A number leaves the house."""
        order, now_ms = invite.order, invite.at_ms
        self.report.dialed += 1
        if order.attempt in self._dialed:
            raise Broken(f"attempt {order.attempt} is dialed twice")
        self._dialed.add(order.attempt)
        row = self.disk.execute(
            "SELECT a.lead_id, a.number, l.zone FROM attempts a JOIN leads l ON l.id = a.lead_id WHERE a.id = ?",
            (order.attempt,),
        ).fetchone()
        if row is None:
            raise Broken(f"attempt {order.attempt} is dialed and not on disk")
        lead, number, zone = row
        if number != order.number.e164:
            raise Broken(f"attempt {order.attempt} dials a number that is not on disk")
        if self.switch.numbers[number]:
            live = self._floor.live.attempts if self._floor is not None else {}
            known = [
                a
                for a in live.values()
                if a.number == order.number and a.leg in self.switch.channels and a.queue is None
            ]
            if known:
                raise Broken(f"attempt {order.attempt} dials a number that is on the line")
        if now_ms > self._suppressed_at_ms.get(lead, now_ms) + SUPPRESSION_RACE_MS:
            raise Broken(f"attempt {order.attempt} dials lead {lead}, suppressed long ago")
        if now_ms > self._listed_at_ms.get(number, now_ms) + SUPPRESSION_RACE_MS:
            raise Broken(f"attempt {order.attempt} dials a number that is on the do-not-call list")
        if self._floor is None or not order.attempt.startswith(f"{self._floor.live.epoch}-"):
            return  # sent by an engine that has died since; the clock may have been stepped meanwhile
        there = datetime.fromtimestamp(now_ms / 1000, ZoneInfo(zone or ZONE))
        if not any(start <= there.hour * 60 + there.minute < end for start, end in self.plan.hours):
            raise Broken(f"attempt {order.attempt} dials lead {lead} at {there:%H:%M} in {zone}, outside the hours")

    async def _watch(self) -> None:
        """Every second: what is out of step, and for how long."""
        turn = 0
        while True:
            await asyncio.sleep(self.plan.watch_every_s)
            turn += 1
            loop = asyncio.get_running_loop()
            if isinstance(loop, VirtualLoop) and loop.failures:
                raise loop.failures[0]
            floor = self._floor
            if floor is None or not self.switch.connected or not floor.live.connected:
                self._since_ms.clear()
                continue
            stuck = dict(self._stuck(floor))
            if turn % 10 == 0:
                stuck |= dict(self._stuck_leads(floor))
            now_ms = self.clock.now_ms()
            kept = {key: at for key, at in self._since_ms.items() if key in stuck or (key[0] == "lead" and turn % 10)}
            self._since_ms = {key: kept.get(key, now_ms) for key in {**kept, **stuck}}
            for key, limit_ms in stuck.items():
                if now_ms - self._since_ms[key] > limit_ms:
                    raise Broken(f"{key[0]} {key[1]} for {(now_ms - self._since_ms[key]) / 1000:.0f} s")

    def _stuck(self, floor: _WatchedFloor) -> Iterator[tuple[tuple[str, str], int]]:
        live, channels = floor.live, self.switch.channels
        hear_wrongly = self._hear_wrongly(live)
        for agent in live.agents.values():
            if agent.leg is not None and agent.leg not in channels:
                yield ("without a phone is agent", agent.id), STRANDED_MAX_MS
            if agent.id in hear_wrongly:
                yield ("with the wrong colleague is agent", agent.id), STRANDED_MAX_MS
            if agent.state not in {AgentState.TALKING, AgentState.RESERVED}:
                continue
            attempt = live.attempts.get(agent.attempt) if agent.attempt else None
            if agent.state is AgentState.TALKING and not self._hear_each_other(agent.leg, attempt):
                yield ("nobody talks with agent", agent.id), STRANDED_MAX_MS
            rings = attempt is not None and attempt.by_agent and attempt.answered_at_ms is None
            if agent.state is AgentState.RESERVED and not rings:
                yield ("reserved is agent", f"{agent.id} {agent.attempt}"), STRANDED_MAX_MS
        yield from self._stuck_calls(floor)

    def _hear_wrongly(self, live: Live) -> set[AgentId]:
        """Agents who hear a colleague whom nobody asks, or do not hear one who is asked."""
        together: defaultdict[BridgeId, set[AgentId]] = defaultdict(set)
        heard: defaultdict[AgentId, set[AgentId]] = defaultdict(set)
        should: defaultdict[AgentId, set[AgentId]] = defaultdict(set)
        for agent in live.agents.values():
            channel = self.switch.channels.get(agent.leg) if agent.leg else None
            if channel is not None and channel.bridge is not None:
                together[channel.bridge].add(agent.id)
            consult = agent.consult
            visits = consult is not None and consult.phase in {ConsultPhase.PRIVATE, ConsultPhase.CONFERENCE}
            if consult is not None and consult.colleague is not None and visits:
                should[agent.id].add(consult.colleague)
                should[consult.colleague].add(agent.id)
        for room in together.values():
            for id_ in room:
                heard[id_] = room - {id_}
        return {id_ for id_ in live.agents if heard[id_] != should[id_]}

    def _stuck_calls(self, floor: _WatchedFloor) -> Iterator[tuple[tuple[str, str], int]]:
        live, channels = floor.live, self.switch.channels
        legs = {*(agent.leg for agent in live.agents.values()), *live.outside.values()}
        for one in live.attempts.values():
            if one.state is CustomerState.ENDED:
                continue
            channel = channels.get(one.leg)
            if channel is None:
                yield ("without a channel is attempt", one.id), STRANDED_MAX_MS
                continue
            legs.add(one.leg)
            recording = one.recording if one.state is CustomerState.TALKING else None
            if recording is not None and recording.name not in self.switch.recordings:
                yield ("not recorded, and said to be, is attempt", one.id), STRANDED_MAX_MS
            if one.state is CustomerState.HELD and channel.bridge is not None:
                yield ("on hold, and heard, is attempt", one.id), STRANDED_MAX_MS
        recorded = {one.recording.name for one in live.attempts.values() if one.recording is not None}
        for name in sorted(self.switch.recordings.keys() - recorded):
            yield ("nobody ends recording", name), STRANDED_MAX_MS
        for leg, channel in channels.items():
            if leg not in legs:
                yield ("unknown is channel", leg), STRANDED_MAX_MS
            silent = channel.up and channel.place is Place.STASIS and channel.bridge is None and not channel.music
            if silent and agent_of_leg(leg) is None:
                known = live.attempts.get(live.attempt_at(leg) or AttemptId(""))
                if known is None or known.state is not CustomerState.HELD:
                    yield ("silence hears", leg), SILENCE_MAX_MS

    def _hear_each_other(self, agent_leg: str | None, attempt: Attempt | None) -> bool:
        if attempt is None or agent_leg is None:
            return False
        customer, phone = self.switch.channels.get(attempt.leg), self.switch.channels.get(agent_leg)  # type: ignore[call-overload]
        if customer is None or phone is None:
            return False
        return attempt.state is CustomerState.HELD or (customer.bridge is not None and customer.bridge == phone.bridge)

    def _stuck_leads(self, floor: _WatchedFloor) -> Iterator[tuple[tuple[str, str], int]]:
        for (lead,) in self.disk.execute(
            "SELECT id FROM leads WHERE state IN ('dialing', 'in_call')"
            " AND id NOT IN (SELECT lead_id FROM attempts WHERE ended_at_ms IS NULL)"
        ):
            if lead not in floor.live.leads:
                yield ("lead", f"{lead} waits for nobody"), STRANDED_MAX_MS

    # ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _left(self) -> list[str]:
        """What is not over yet."""
        floor = self._floor
        if floor is None:
            return ["no engine runs"]
        left = [f"channel {leg} lives" for leg in self.switch.channels]
        left += [f"agent {a.id} is {a.state}" for a in floor.live.agents.values() if a.state != "logged_out"]
        left += [f"attempt {a.id} is {a.state}" for a in floor.live.attempts.values()]
        return left

    def _check_end(self) -> None:
        broken = self._left()
        checks = {
            "attempts are open": "SELECT count(*) FROM attempts WHERE ended_at_ms IS NULL",
            "leads wait for nobody": "SELECT count(*) FROM leads WHERE state IN ('dialing', 'in_call')",
            "leads are miscounted": "SELECT count(*) FROM leads WHERE attempts_count <>"
            " (SELECT count(*) FROM attempts a WHERE a.lead_id = leads.id AND a.counted = 1)",
            "leads were tried too often": "SELECT count(*) FROM leads WHERE attempts_count > 5",
            "conversations have no outcome": "SELECT count(*) FROM attempts WHERE bridged_at_ms IS NOT NULL"
            " AND outcome <> 'connected'",
            "answers have a wrong outcome": "SELECT count(*) FROM attempts WHERE answered_at_ms IS NOT NULL"
            " AND queue_id IS NULL AND outcome NOT IN ('connected', 'abandoned', 'hung_up_early', 'machine')",
            "calls that came in have a wrong outcome": "SELECT count(*) FROM attempts WHERE queue_id IS NOT NULL"
            " AND outcome NOT IN ('connected', 'left_queue', 'turned_away', 'out_of_hours')",
            "callers reached nobody and are not called back": "SELECT count(*) FROM attempts a WHERE a.number <> ''"
            " AND a.outcome IN ('left_queue', 'turned_away', 'out_of_hours') AND a.lead_id IS NULL",
            "persons were kept from agents": "SELECT count(*) FROM attempts WHERE outcome = 'machine'"
            " AND verdict IS NOT 'machine'",
        }
        for words, query in checks.items():
            (count,) = self.disk.execute(query).fetchone()
            if count:
                broken.append(f"{count} {words}")
        for lead in self._suppressed_at_ms:
            (state,) = self.disk.execute("SELECT state FROM leads WHERE id = ?", (lead,)).fetchone()
            if state != "suppressed":
                broken.append(f"suppressed lead {lead} is {state}")
        for leg in self.switch.opted_out:
            (state,) = self.disk.execute(
                "SELECT l.state FROM attempts a JOIN leads l ON l.id = a.lead_id WHERE a.leg = ?", (leg,)
            ).fetchone()
            if state != "suppressed":
                broken.append(f"{leg} wanted no more calls, and their lead is {state}")
        broken += self._miscounted()
        if broken:
            raise Broken("at the end: " + "; ".join(broken))

    def _measured_anew(self) -> float:
        """The share of machines that were persons, by what agents said on disk."""
        detection = Detection(self.policy.campaigns[CAMPAIGN].amd)
        rows = self.disk.execute(
            "SELECT a.id, a.answered_at_ms, c.disposition_id <> ? FROM attempts a JOIN calls c ON c.attempt_id = a.id"
            " WHERE a.verdict = 'machine' AND c.disposition_id IS NOT NULL AND a.campaign_id = ?"
            " ORDER BY a.answered_at_ms",
            (VOICEMAIL, CAMPAIGN),
        )
        detection.restore(Checked(attempt=AttemptId(row[0]), at_ms=row[1], person=bool(row[2])) for row in rows)
        return detection.misjudged_share

    def _miscounted(self) -> list[str]:
        """Whether the abandonment budget, carried over every restart, is what a recount of the disk gives."""
        if self._floor is None or self.plan.clock_step_ms:
            return []
        rows = self.disk.execute(
            "SELECT answered_at_ms / 60000 * 60000, sum(outcome <> 'machine'), sum(outcome = 'abandoned'),"
            " sum(outcome = 'machine') FROM attempts"
            " WHERE answered_at_ms IS NOT NULL AND queue_id IS NULL AND campaign_id = ? GROUP BY 1 ORDER BY 1",
            (CAMPAIGN,),
        )
        counts = [MinuteCount(minute_ms=row[0], live_answers=row[1], abandoned=row[2], machines=row[3]) for row in rows]
        budget, now_ms = self._floor.live.pacers[CAMPAIGN].budget, self.clock.now_ms()
        recount = AbandonBudget(self.policy.campaigns[CAMPAIGN].abandon)
        recount.restore(counts, now_ms)
        recount.misjudged(self._measured_anew())
        held, counted = budget.state(now_ms), recount.state(now_ms)
        if (held.live_answers, held.abandoned) == (counted.live_answers, counted.abandoned):
            return []
        return [f"the budget holds {held}, the disk says {counted}"]


def _policy(plan: Plan) -> Policy:
    chance = random.Random(f"{plan.seed} policy")
    dispositions = tuple(
        Disposition(id=DispositionId(kind.value), kind=kind, labels={}, retry_after_ms=600_000)
        for kind in DispositionKind
    )
    voicemail = Disposition(
        id=VOICEMAIL, kind=DispositionKind.RETRY, labels={}, retry_after_ms=600_000, contact=False, machine=True
    )
    campaign = Campaign(
        id=CAMPAIGN,
        name="Spring",
        pacing=plan.pacing,
        trunks=(TRUNK,),
        caller_id=PhoneNumber("+380441230000"),
        attempts=AttemptPolicy(
            max=5,
            retry={
                Outcome.BUSY: RetryRule(after_ms=300_000, max=2),
                Outcome.NO_ANSWER: RetryRule(after_ms=900_000, max=4),
            },
        ),
        hours=CallingHours(spans=(plan.hours,) * 7, zone=ZONE),
        dispositions=(*dispositions, *((voicemail,) if plan.amd.enabled else ())),
        amd=plan.amd,
        wrap_up_mode=plan.wrap_up,
        recording=plan.recording,
        abandon=AbandonRule(connect_within_ms=2_000 if not plan.on_demand_share else 6_000),
    )
    campaigns = (CAMPAIGN, SECOND)[: plan.campaigns]
    profiles = [
        AgentProfile(
            id=AgentId(f"agent-{n:03}"),
            name=f"Agent {n}",
            phone=PhoneId(f"desk-{n:03}"),
            campaigns=campaigns,
            queues=(HOTLINE,) if plan.calls_in_every_ms else (),
            leg_kind=LegKind.ON_DEMAND if chance.random() < plan.on_demand_share else LegKind.NAILED_UP,
        )
        for n in range(plan.agents)
    ]
    return Policy(
        campaigns={id_: replace(campaign, id=id_) for id_ in campaigns},
        trunks={TRUNK: Trunk(id=TRUNK, lines_max=plan.lines, calls_per_second_max=20.0)},
        agents={profile.id: profile for profile in profiles},
        queues={
            HOTLINE: InboundQueue(
                id=HOTLINE,
                name="Hotline",
                campaign=CAMPAIGN,
                numbers=(OUR_NUMBER.e164,),
                hours=campaign.hours,
                wait_max_ms=90_000,
                queue_max=10,
            )
        }
        if plan.calls_in_every_ms
        else {},
    )
