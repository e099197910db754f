"""Whole shifts in virtual time: the real floor, driver and store, a simulated switch and people, and every fault.

Theory of operation. A `Plan` is made from a seed: who works, what breaks, how often. `play` lives it through: engines
start, are killed at any await and start again; agents press buttons; a supervisor stops, suppresses, reconfigures.
Each fact is followed by the core's invariants; each dial is held against the disk; what is stuck is timed;
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
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

from engine.api import SubscriptionOverflow
from engine.bell import Bell
from engine.core import effects, events
from engine.core.model import (
    CallingHours,
    CommandId,
    LeadId,
    LeadState,
    LegKind,
    Outcome,
    PhoneNumber,
    Policy,
    WrapUpMode,
)
from engine.core.pacing import Predictive, Progressive, Ratio
from engine.driver import Driver
from engine.recorder import said_step
from engine.sim.checks import Broken, Checks, WatchedFloor
from engine.sim.disk import FaultyStore
from engine.sim.people import People, SimAgent
from engine.sim.plan import (
    CAMPAIGN,
    HOTLINE,
    LINES_MAX,
    OUR_NUMBERS,
    PREVIEW,
    SECOND,
    START_MS,
    TRUNK,
    ZONE,
    Plan,
    constant_of,
    faulty,
    policy_of,
)
from engine.sim.switch import Faults, Invite, SimSwitch
from engine.sim.virtual import VirtualClock, VirtualLoop, run
from engine.store.database import InlineDatabase
from engine.store.dnc import DoNotCall
from engine.verify import verify

#: Everybody is home, and every line is free, this long after the end of the shift.
HOME_WITHIN_MS: Final = 60 * 60_000
TRACE_MAX: Final = 50
#: What is still to happen then comes in a heap, and late.
STANDS_STILL_MAX_S: Final = 8.0
#: Who wants no call says so this long after it was planned, in the mean.
REGRETTED_AFTER_S: Final = 0.3
#: The engine dies so many steps of the loop after the time is up, at the latest: between any two of them.
KILLED_WITHIN_TURNS: Final = 60


def history(seed: int) -> Report:
    """The history of a seed, lived through; also in a process of its own."""
    logging.disable(logging.CRITICAL)  # the engine complains of the faults; the report tells what matters
    return play(faulty(seed))


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
    met: set[type[events.Event | effects.Effect]] = field(default_factory=set)  # facts and orders, when traced


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
            report.hash, report.writes = world.digest.hexdigest(), world.store.writes
            world.disk.close()


class _World:
    """One history: the engine of the moment, the people, and whoever looks on."""

    def __init__(self, plan: Plan, report: Report, path: Path, database: InlineDatabase) -> None:
        self.plan = plan
        self.report = report
        self.chance = random.Random(f"{plan.seed} world")
        self.clock = VirtualClock(asyncio.get_running_loop(), plan.start_ms)
        self.disk = sqlite3.connect(path)  # of everybody but the engine: sees what is committed
        self.digest = hashlib.sha256()
        self.policy = policy_of(plan)
        self._database = database
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
        self.checks = Checks(plan, switch=self.switch, clock=self.clock, disk=self.disk)
        self.store = FaultyStore(database, plan, chance=self.chance, others=self.disk, saved=self._saved)
        self._floor: WatchedFloor | None = None
        self._driver: Driver | None = None
        self._engine: asyncio.Task[None] | None = None
        self._outside: frozenset[asyncio.Task[None]] = frozenset()  # who lives on when the engine's process dies
        self._closing = False
        self._set_back = False  # the system clock, between two engines
        self._regrets = random.Random(f"{plan.seed} regrets")
        self._regretted: LeadId | None = None
        self._wished = Bell()
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
                group.create_task(self.checks.watch(), name="watch"),
                *(group.create_task(agent.work(), name=f"agent-{id_}") for id_, agent in self._agents.items()),
            ]
            if self.plan.calls_in_every_ms:
                actors.append(group.create_task(self._call_in(), name="callers"))
            if self.plan.supervisor_every_ms:
                actors.append(group.create_task(self._supervise(), name="supervisor"))
            if self.plan.regret_share:
                actors.append(group.create_task(self._regret(), name="regrets"))
            if self.plan.stands_still_every_ms:
                actors.append(group.create_task(self._stand_still(), name="machine"))
            if self.plan.habits.phone_loss_every_ms:
                actors.append(group.create_task(self._fall_off(), name="phones"))
            self._outside = frozenset({current, *actors})
            for id_ in self.policy.campaigns:
                await self._command(events.CampaignSwitched, campaign=id_, running=True)
            await asyncio.sleep(self.plan.length_ms / 1000)
            await self._close()
            for actor in actors:
                actor.cancel()
            if self._engine is not None:
                self._engine.cancel()
        self.checks.at_the_end(self.policy)
        broken = await verify(
            self._database,
            now_ms=self.clock.now_ms(),
            at_rest=True,
            heard=self.switch.unheard,
            times_hold=not self._set_back,
            policy=None if self._set_back else constant_of(self.plan),
        )
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
                step_ms = self.chance.choice((-1, 1)) * self.chance.randrange(plan.clock_step_ms)
                self.clock.base_ms += step_ms
                self._set_back |= step_ms < 0
            await asyncio.sleep(self.chance.expovariate(1 / plan.away_ms) / 1000)

    def _kill(self, engine: asyncio.Task[None]) -> None:
        """kill -9: not one of its tasks takes a further step; what it has sent is sent."""
        if engine.done():
            return
        for task in sorted(asyncio.all_tasks(), key=asyncio.Task.get_name):
            if task not in self._outside:
                self.report.killed_at |= {_suspended_at(task)}
                task.cancel()
        self._driver = self._floor = None
        self.checks.end()
        self._note("the engine is killed")

    async def _live(self) -> None:
        self.report.lives += 1
        plan, store = self.plan, self.store
        restored = await store.restore()
        epoch = await store.next_epoch(self.clock.now_ms())
        decided = self._decided if plan.traced else None
        self._floor = floor = WatchedFloor(self.policy, epoch=epoch, check_every=plan.check_every, decided=decided)
        self.checks.begin(floor)
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
        self.store.heal()
        for id_ in self.policy.campaigns:
            await self._command(events.CampaignSwitched, campaign=id_, running=False)
        for agent in self._agents.values():
            agent.go_home()
        for _ in range(HOME_WITHIN_MS // 10_000):
            await asyncio.sleep(10)
            if not self.checks.left():
                return

    async def _supervise(self) -> None:
        """Somebody in a hurry, with rights."""
        while not self._closing:
            await asyncio.sleep(self.chance.expovariate(1 / self.plan.supervisor_every_ms) / 1000)
            match self.chance.randrange(7):
                case 0:
                    await self._command(events.CampaignSwitched, campaign=CAMPAIGN, running=False)
                    await asyncio.sleep(self.chance.expovariate(1 / 30))
                    await self._command(events.CampaignSwitched, campaign=CAMPAIGN, running=not self._closing)
                case 1 | 2:
                    await self._suppress(self._somebody())
                case 3:
                    self._reconfigure()
                case 4 | 5:
                    await self._promise()
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
            ours = chance.choice((*OUR_NUMBERS.values(), OUR_NUMBERS[HOTLINE]))
            dialed = ours if chance.random() < 0.97 else PhoneNumber("+380440000000")
            self.switch.call_in(dialed, caller, TRUNK)
            self.report.calls_in += 1

    async def _regret(self) -> None:
        """A client asks for no calls while one to them is on its way."""
        while not self._closing:
            await self._wished.wait()
            await asyncio.sleep(self._regrets.expovariate(1 / REGRETTED_AFTER_S))
            if self._regretted is not None:
                await self._suppress(self._regretted)

    def _somebody(self) -> LeadId:
        floor = self._floor
        live = sorted(floor.live.leads) if floor is not None else []
        return self.chance.choice(live) if live and self.chance.random() < 0.7 else self._some_lead()

    async def _suppress(self, lead: LeadId) -> None:
        if self.chance.random() < 0.5:  # another process writes: nobody tells the engine
            rows = self.disk.execute("SELECT number FROM phones WHERE lead_id = ?", (lead,)).fetchall()
            numbers = [PhoneNumber(number) for (number,) in rows]
            at_ms = self.clock.now_ms()
            await DoNotCall(self._database).add(numbers, reason="asked", by="boss", at_ms=at_ms)
            for number in numbers:
                self.checks.listed_at_s.setdefault(number.e164, asyncio.get_running_loop().time())
            return
        if not await self._command(events.LeadSuppressed, lead=lead, reason="asked"):
            self.checks.suppressed_at_s.setdefault(lead, asyncio.get_running_loop().time())

    async def _promise(self) -> None:
        """On a card: a call to this client at that time, by somebody or by anybody; or none after all, as it was."""
        at_ms = self.clock.now_ms() + int(self.chance.expovariate(1 / 900_000))
        lead = self._some_lead()
        state, next_at_ms = self.disk.execute("SELECT state, next_at_ms FROM leads WHERE id = ?", (lead,)).fetchone()
        refused = await self._command(
            events.PlanCallback,
            lead=lead,
            at_ms=at_ms if self.chance.random() < 0.7 else None,
            owner=self.chance.choice((None, *self.policy.agents)),
        )
        if not refused and self.chance.random() < 0.3:
            await asyncio.sleep(self.chance.expovariate(1 / 5))
            was = events.LeadWas(state=LeadState(state), next_at_ms=next_at_ms)
            await self._command(events.PlanCallback, lead=lead, at_ms=None, was=was)

    async def _fall_off(self) -> None:
        """Desk phones lose their registration, one at a time."""
        chance = random.Random(f"{self.plan.seed} phones")
        phones = [profile.phone for profile in policy_of(self.plan).agents.values()]
        while not self._closing:
            await asyncio.sleep(chance.expovariate(1 / self.plan.habits.phone_loss_every_ms) / 1000)
            phone = chance.choice(phones)
            self.switch.register(phone, registered=False)
            await asyncio.sleep(chance.expovariate(1 / 30))
            self.switch.register(phone, registered=True)

    async def _stand_still(self) -> None:
        """The process is stopped, or has no processor, for a while."""
        chance, loop = random.Random(f"{self.plan.seed} machine"), asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        while not self._closing:
            await asyncio.sleep(chance.expovariate(1 / self.plan.stands_still_every_ms) / 1000)
            loop.stand_still(chance.uniform(0.5, STANDS_STILL_MAX_S))

    def _some_lead(self) -> LeadId:
        (count,) = self.disk.execute("SELECT count(*) FROM leads").fetchone()
        return LeadId(self.chance.randint(1, count))

    def _reconfigure(self) -> None:
        whole = policy_of(self.plan)
        second_gone = self.chance.random() < 0.3
        profiles = {
            id_: replace(
                profile,
                leg_kind=self.chance.choice((profile.leg_kind, profile.leg_kind, LegKind.NAILED_UP, LegKind.ON_DEMAND)),
                campaigns=tuple(c for c in whole.campaigns if self.chance.random() < 0.9),
                queues=tuple(q for q in whole.queues if self.chance.random() < 0.8),
            )
            for id_, profile in whole.agents.items()
            if self.chance.random() < 0.9
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
        trunk = replace(self.policy.trunks[TRUNK], lines_max=self.chance.randint(1, LINES_MAX))
        queues = {
            id_: replace(
                queue,
                hours=self.chance.choice((queue.hours, queue.hours, CallingHours(spans=((),) * 7, zone="Europe/Kyiv"))),
            )
            for id_, queue in whole.queues.items()
            if self.chance.random() < 0.9 and queue.campaign in changed
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
            self.digest.update(f"{now_ms}{type(event).__name__}".encode())

    def _decided(self, event: events.Event, orders: Sequence[effects.Effect], now_ms: int) -> None:
        self._note(said_step(event, orders), now_ms)
        self.report.met.add(type(event))
        self.report.met.update(map(type, orders))

    def _note(self, line: str, now_ms: int | None = None) -> None:
        at_s = ((self.clock.now_ms() if now_ms is None else now_ms) - self.plan.start_ms) / 1000
        line = f"{at_s:10.3f}  {line}"
        self.report.trace.append(line)
        self.digest.update(line.encode())

    def _saved(self, writes: Sequence[effects.Write]) -> None:
        self.report.conversations += sum(
            1 for w in writes if isinstance(w, effects.SaveEnd) and w.attempt.outcome is Outcome.CONNECTED
        )
        self.checks.saved(writes)
        for write in writes:
            if isinstance(write, effects.SaveAttempt) and self._regrets.random() < self.plan.regret_share:
                self._regretted = write.attempt.lead
                self._wished.ring()

    def _invited(self, invite: Invite) -> None:
        self.report.dialed += 1
        self.checks.dialed(invite)
