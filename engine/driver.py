"""The imperative shell: takes what happened, lets the Floor decide, and carries out what it decided.

Theory of operation. One task owns the Floor: it takes all that waits in the inbox, decides, and sends the urgent orders
(bridge, hang up: someone is on the line) at once. Writes, dials, reads and notices travel together through the commit
queue to one writer task: it commits everything that waits in one transaction and only then sends the dials (nothing is
dialed that is not on disk), asks for leads (they must see what was written) and tells the spectators (browsers see only
what is on disk). So a slow disk delays dials and pages, never the bridging of a customer who has answered.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final, Protocol

from engine.api import FloorView, PacingView, detection_view
from engine.bell import Bell
from engine.clock import Clock
from engine.core import effects, recording
from engine.core.budget import hours_of
from engine.core.events import (
    CallerFetched,
    DeskEvent,
    DoNotCallChanged,
    DrainStarted,
    EngineLate,
    Event,
    HeldChecked,
    LeadFetched,
    LeadsChanged,
    LeadsFetched,
    NumberChecked,
    OriginateRefused,
    StoreDown,
    StoreUp,
    SwitchEvent,
)
from engine.core.floor import Floor
from engine.core.model import (
    Agent,
    AgentId,
    Attempt,
    AttemptId,
    Campaign,
    CampaignId,
    CommandId,
    CustomerState,
    Lead,
    LeadId,
    NotDialing,
    PhoneNumber,
    Policy,
)
from engine.core.pacing import PacingDecision
from engine.hub import Hub
from engine.metrics import Moment, Tally, page
from engine.store.errors import StoreBug, StoreError
from engine.store.store import LEADS_OF, LineUp
from engine.switch import Switch
from engine.timers import Timers

log = logging.getLogger(__name__)

#: A log event that the demo tells in its own words.
DRAIN_LIMIT_REACHED: Final = "drain limit reached"
#: Facts that may wait for the Floor; the switch link is dropped (and resynced) rather than made to wait.
INBOX_MAX: Final = 10_000
#: Facts decided on before the loop gives others their turn.
BATCH_MAX: Final = 64
#: Batches that may wait for the disk; beyond that the Floor stops taking facts.
COMMITS_MAX: Final = 10_000
#: Look-ups that may wait for the store; the same holds beyond them.
READS_MAX: Final = 10_000
#: How long a desk command may wait for the disk before the operator is told "not saved".
COMMAND_TIMEOUT_MS: Final = 5_000
#: Answers kept so that a repeated command is done once.
ANSWERS_MAX: Final = 10_000
#: How often the driver looks whether it keeps up, and how late a look may reach the Floor before dialing stops.
BEAT_EVERY_MS: Final = 500
LATE_MAX_MS: Final = 1_000
#: Pause before a failed commit is tried again: doubles up to the second figure.
COMMIT_RETRY_MS: Final = (50, 1_000)
#: Nothing saved for so long, and dialing stops: the store's answer may stand in line behind another wait as long.
SAVE_LATE_MS: Final = 1_000
FETCH_RETRY_MS: Final = 1_000
#: How often the driver looks whether another process has changed leads or do-not-call lists, or locks the store.
LOOK_EVERY_MS: Final = 400


class Store(Protocol):
    """What the driver asks of the store."""

    async def commit(self, writes: Sequence[effects.Write]) -> None:
        """All writes, in order, in one transaction. Raises StoreError; `StoreBug` is ours."""

    async def try_write(self) -> None:
        """A transaction of nothing: StoreError if none can be begun."""

    async def due_leads(
        self, campaign: CampaignId, now_ms: int, limit: int, but: frozenset[LeadId], history_ms: int, line: LineUp
    ) -> LeadsFetched:
        """Dialable leads, best first. Raises StoreError."""

    async def promised_leads(
        self, campaign: CampaignId, now_ms: int, limit: int, but: frozenset[LeadId], history_ms: int
    ) -> LeadsFetched:
        """Of those, the promised calls. Raises StoreError."""

    async def leads(self, ids: Iterable[LeadId], since_ms: int | None = None) -> Mapping[LeadId, Lead]:
        """These leads, with their history since then; unknown ids are absent. Raises StoreError."""

    async def revisions(self) -> Mapping[str, int]:
        """Numbers that rise with each change by another process, by subject. Raises StoreError."""

    async def number_blocked(self, number: PhoneNumber, campaign: CampaignId) -> bool:
        """Whether a do-not-call list that binds the campaign has this number."""

    async def blocked(self, leads: Iterable[LeadId]) -> tuple[tuple[LeadId, PhoneNumber], ...]:
        """The leads' numbers that are on a do-not-call list. Raises StoreError."""

    async def callers(self, number: PhoneNumber, campaign: CampaignId) -> tuple[Lead, ...]:
        """Whose number it is: the campaign's own leads, or anybody's. Raises StoreError."""


@dataclass(slots=True)
class _Commit:
    """What one batch of facts leaves for after the disk."""

    writes: list[effects.Write] = field(default_factory=list)
    dials: list[effects.Dial] = field(default_factory=list)
    recorders: list[effects.Recorder] = field(default_factory=list)
    reads: list[effects.Read] = field(default_factory=list)
    notices: list[effects.Notice] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Beat:
    """The driver's own pulse; never reaches the Floor."""

    at_ms: int


class Driver:
    """The running engine; implements `engine.api.Engine`."""

    def __init__(
        self,
        floor: Floor,
        *,
        switch: Switch,
        store: Store,
        clock: Clock,
        record: Callable[[int, Event], None] | None = None,
    ) -> None:
        """`record` gets every fact just before it is decided on."""
        self._floor = floor
        self._switch = switch
        self._store = store
        self._clock = clock
        self._record = record
        self._inbox: deque[Event | _Beat] = deque()
        self._wake = Bell()
        self._commits: deque[_Commit] = deque()
        self._commit_wake = Bell()
        self._dials: deque[effects.Dial] = deque()  # on disk, to be sent: no more than there are lines
        self._reads: deque[effects.Read] = deque()
        self._read_wake = Bell()
        self._lines: dict[CampaignId, tuple[Campaign, LineUp]] = {}
        self._unchecked: list[effects.CheckHeld] = []  # the store did not answer: asked again at the next look around
        self._timers = Timers(clock, self._offer)
        self._hub = Hub()
        self._answers: OrderedDict[CommandId, asyncio.Future[str]] = OrderedDict()
        self._idle = asyncio.Event()
        self._saving = False
        self._problems: dict[str, str] = {}  # of the store, by what has met them
        self._asked_ms: dict[str, int] = {}  # when it was asked what it has not answered, by what asks
        self._room = asyncio.Event()
        self._beat_ms = 0  # when the Floor's owner last saw a beat of ours
        self._late = False
        self._tally = Tally()

    # ── running ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def run(self, first: Sequence[Event] = ()) -> None:
        """Run until cancelled. `first` (what was restored) is decided on before the switch is heard."""
        self._beat_ms = self._clock.now_ms()
        self._carry_out(self._floor.start(self._beat_ms))
        for event in first:
            self._decide(event)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._switch.run(self.offer_switch), name="switch")
                group.create_task(self._own(), name="owner")
                group.create_task(self._beat(), name="beat")
                group.create_task(self._write(), name="store-writer")
                group.create_task(self._read(), name="store-reader")
                group.create_task(self._look_around(), name="store-watch")
        finally:
            self._timers.close()

    async def drain(self, limit_ms: int) -> None:
        """Stop dialing, let live conversations end; returns when all has ended and is saved, or at the limit."""
        self._offer(DrainStarted(self._clock.now_ms() + limit_ms))
        try:
            async with asyncio.timeout(limit_ms / 1000):
                while self._inbox or self._commits or self._saving or self._floor.live.talking():
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            log.warning(DRAIN_LIMIT_REACHED, extra={"action": "drain", "calls": self._floor.live.talking()})

    def offer_switch(self, event: SwitchEvent) -> bool:
        """Take a fact from the switch; False when the inbox is full."""
        return self._offer(event)

    def offer(self, event: Event) -> bool:
        """Take a fact from the shell (configuration, recovery)."""
        return self._offer(event)

    # ── engine.api.Engine ────────────────────────────────────────────────────────────────────────────────────────

    async def do(self, event: DeskEvent) -> str:
        """Carry out a desk command once; see `engine.api.Engine.do`."""
        answer = self._answers.get(event.command)
        if answer is None:
            answer = self._answers[event.command] = asyncio.get_running_loop().create_future()
            if not self._offer(event):
                del self._answers[event.command]
                raise TimeoutError("the engine is overloaded")
            self._trim_answers()
        async with asyncio.timeout(COMMAND_TIMEOUT_MS / 1000):
            return await asyncio.shield(answer)  # Two browsers may wait for one answer; one leaving must not end it.

    def snapshot(self) -> FloorView:
        """The state now."""
        live = self._floor.live
        return FloorView(
            agents=tuple(live.agents.values()),
            attempts=tuple(live.attempts.values()),
            dialing=tuple(live.dialing.values()),
            switch_problem=live.switch_problem,
            store_problem=live.store_problem,
            detection=tuple(detection_view(id_, live.detections[id_]) for id_ in live.policy.campaigns),
            pacing=tuple(_pacing_view(id_, decision, live.campaigns[id_]) for id_, decision in live.decisions.items()),
        )

    def agent(self, agent: AgentId) -> Agent | None:
        """One of the snapshot's agents."""
        return self._floor.live.agents.get(agent)

    def attempt(self, attempt: AttemptId) -> Attempt | None:
        """One of the snapshot's attempts."""
        return self._floor.live.attempts.get(attempt)

    def policy(self) -> Policy:
        """The configuration in force."""
        return self._floor.live.policy

    def campaign(self, campaign: CampaignId) -> Campaign | None:
        """One of the policy's campaigns, or one that is gone from the configuration while calls of it last."""
        return self._floor.live.campaigns.get(campaign)

    def subscribe(self) -> AbstractAsyncContextManager[AsyncIterator[effects.Notice]]:
        """Notices from now on."""
        return self._hub.subscribe()

    def leads_changed(self, campaign: str) -> None:
        """Leads were imported or edited."""
        self._offer(LeadsChanged(CampaignId(campaign)))

    def metrics(self, round_trip_ms: int = 0, event_lag_ms: int = 0) -> str:
        """The state for Prometheus; what only the switch's adapter knows is given."""
        now = Moment(
            facts_waiting=len(self._inbox),
            commits_waiting=len(self._commits),
            beat_age_ms=max(0, self._clock.now_ms() - self._beat_ms),
            round_trip_ms=round_trip_ms,
            event_lag_ms=event_lag_ms,
        )
        return page(self._floor.live, self._tally, now)

    # ── the owner ────────────────────────────────────────────────────────────────────────────────────────────────

    def _offer(self, event: Event | _Beat) -> bool:
        if len(self._inbox) >= INBOX_MAX:
            return False
        self._inbox.append(event)
        self._wake.ring()
        return True

    async def _own(self) -> None:
        while True:
            while not self._inbox:
                self._idle.set()
                await self._wake.wait()
            while len(self._commits) >= COMMITS_MAX or len(self._reads) + len(self._unchecked) >= READS_MAX:
                self._room.clear()
                await self._room.wait()
            for _ in range(min(len(self._inbox), BATCH_MAX)):
                event = self._inbox.popleft()
                if isinstance(event, _Beat):
                    self._see(event)
                else:
                    self._judge(self._clock.now_ms() - self._beat_ms - BEAT_EVERY_MS)
                    self._decide(event)
            self._idle.set()
            if self._inbox:
                await asyncio.sleep(0)

    async def _beat(self) -> None:
        """Our own pulse through the inbox: how late it comes is how late every fact comes."""
        while True:
            now_ms = self._clock.now_ms()
            overdue_ms = now_ms - self._beat_ms - BEAT_EVERY_MS
            if self._inbox or self._late or overdue_ms > LATE_MAX_MS or self._clock.ahead_ms():
                self._offer(_Beat(now_ms))
            else:
                self._beat_ms = now_ms  # in an empty inbox it would be seen at once, and say that all is well
            self._look_for_answers(now_ms)
            await asyncio.sleep(BEAT_EVERY_MS / 1000)

    def _see(self, beat: _Beat) -> None:
        now_ms = self._clock.now_ms()
        self._beat_ms = beat.at_ms
        ahead_ms = self._clock.ahead_ms()
        if self._late and not ahead_ms and now_ms - beat.at_ms <= LATE_MAX_MS:
            self._late = False
            self._decide(EngineLate(late=False))
        if ahead_ms and not self._late:  # by which of the two would the hours of calling be right?
            self._stop_dialing(f"the system clock was set back by {ahead_ms / 1000:.0f} s", NotDialing.CLOCK)
        self._judge(now_ms - beat.at_ms)

    def _judge(self, late_ms: int) -> None:
        if late_ms > LATE_MAX_MS and not self._late:
            self._stop_dialing(f"the engine is {late_ms} ms late", NotDialing.OVERLOAD)

    def _stop_dialing(self, reason: str, why: NotDialing) -> None:
        self._late = True
        log.warning("dialing stops", extra={"action": "engine_late", "reason": reason})
        self._decide(EngineLate(late=True, reason=reason, why=why))

    def _decide(self, event: Event) -> None:
        now_ms = self._clock.now_ms()
        if self._record is not None:
            self._record(now_ms, event)
        began_s = time.perf_counter()
        orders = self._floor.handle(event, now_ms)
        self._tally.decided(time.perf_counter() - began_s, self._floor.live.decided_by.total())
        self._carry_out(orders)
        if self._dials:
            self._send_dials()  # a look into the do-not-call lists may be over

    def _carry_out(self, orders: Sequence[effects.Effect]) -> None:
        commit = _Commit()
        for order in orders:
            if isinstance(order, effects.Notice):  # most are: asked first
                commit.notices.append(order)
            elif isinstance(order, effects.Timer):
                self._timers.apply(order)
            elif isinstance(order, effects.Write):
                commit.writes.append(order)
            elif isinstance(order, effects.Dial):
                commit.dials.append(order)
            elif isinstance(order, effects.Recorder):
                commit.recorders.append(order)
            elif isinstance(order, effects.Read):
                commit.reads.append(order)
            else:
                self._switch.send(order)
        if commit.writes or commit.dials or commit.recorders or commit.reads or commit.notices:
            self._commits.append(commit)
            self._commit_wake.ring()

    # ── the writer ───────────────────────────────────────────────────────────────────────────────────────────────

    async def _write(self) -> None:
        while True:
            while not self._commits:
                await self._commit_wake.wait()
            commits = list(self._commits)
            self._commits.clear()
            self._saving = True
            self._room.set()
            writes = [write for commit in commits for write in commit.writes]
            if writes:
                await self._commit(writes)
            for commit in commits:
                self._release(commit)
            self._saving = False
            self._idle.set()

    async def _commit(self, writes: Sequence[effects.Write]) -> None:
        """Commit, again and again: what was decided is never dropped."""
        began_s = time.perf_counter()
        pause_ms = COMMIT_RETRY_MS[0]
        while True:
            try:
                await self._in_time("commit", self._store.commit(writes))
            except StoreBug:
                raise
            except StoreError as problem:
                self._store_is("commit", str(problem))
                await asyncio.sleep(pause_ms / 1000)
                pause_ms = min(pause_ms * 2, COMMIT_RETRY_MS[1])
            else:
                for met_by in tuple(self._problems):
                    self._store_is(met_by, "")
                self._tally.commits.note(time.perf_counter() - began_s)
                return

    async def _feel_pulse(self) -> None:
        """Learn that the store takes no writes also while there are none: the next one may be long in coming."""
        if self._saving:
            return  # that will tell
        try:
            await self._in_time("pulse", self._store.try_write())
        except StoreBug:
            raise
        except StoreError as problem:
            self._store_is("pulse", str(problem))
        else:
            self._store_is("pulse", "")

    async def _in_time(self, met_by: str, answer: Awaitable[None]) -> None:
        """Ask the store for something; our beat looks how long that takes."""
        self._asked_ms[met_by] = self._clock.now_ms()
        try:
            await answer
        finally:
            del self._asked_ms[met_by]

    def _look_for_answers(self, now_ms: int) -> None:
        """That the store does not save is told in time, however late its own answer is."""
        for met_by, asked_ms in self._asked_ms.items():
            if now_ms - asked_ms >= SAVE_LATE_MS:
                self._store_is(met_by, f"nothing was saved for {SAVE_LATE_MS} ms")

    def _store_is(self, met_by: str, problem: str) -> None:
        """Tell the Floor when the first problem comes and when the last one is over."""
        down = bool(self._problems)
        if problem:
            self._problems[met_by] = problem
        else:
            self._problems.pop(met_by, None)
        if problem and not down:
            log.warning("the store does not save", extra={"action": "store_down", "reason": problem})
            self._offer(StoreDown(problem))
        elif down and not self._problems:
            self._offer(StoreUp())

    def _release(self, commit: _Commit) -> None:
        self._dials.extend(commit.dials)
        self._send_dials()
        for recorder in commit.recorders:
            for order in recording.on_disk(self._floor.live, recorder):
                self._switch.send(order)
        if commit.reads:
            self._reads.extend(commit.reads)
            self._read_wake.ring()
        self._hub.publish(commit.notices)
        for notice in commit.notices:
            if isinstance(notice, effects.CommandDone):
                self._answer(notice)

    def _send_dials(self) -> None:
        """Send what is on disk; not while the do-not-call lists are asked about the numbers of this moment."""
        now_ms, live = self._clock.now_ms(), self._floor.live
        while self._dials and not live.checks:
            dial = self._dials.popleft()
            attempt = live.attempts.get(dial.attempt)
            if attempt is None or attempt.state is not CustomerState.PLANNED:
                self._offer(OriginateRefused(dial.leg, "taken back while it waited for the disk"))
            elif now_ms <= dial.send_before_ms:
                self._switch.send(dial)
                self._tally.originates[dial.trunk] += 1
            else:
                self._offer(OriginateRefused(dial.leg, "waited too long for the disk"))

    def _answer(self, done: effects.CommandDone) -> None:
        answer = self._answers.get(done.command)
        if answer is not None and not answer.done():
            answer.set_result(done.refusal)

    def _trim_answers(self) -> None:
        while len(self._answers) > ANSWERS_MAX:
            _, oldest = self._answers.popitem(last=False)
            oldest.cancel()

    # ── the reader ───────────────────────────────────────────────────────────────────────────────────────────────

    async def _read(self) -> None:
        while True:
            while not self._reads:
                await self._read_wake.wait()
            order = self._reads.popleft()
            answer = await self._answered(order)
            if answer is not None:
                self._offer(answer)
            self._room.set()

    async def _answered(self, order: effects.Read) -> Event | None:
        match order:
            case effects.FetchLeads():
                return await self._some_leads(order)
            case effects.FetchLead():
                return await self._one_lead(order.lead, order.history_ms)
            case effects.CheckHeld():
                return await self._held_checked(order)
            case effects.FetchCaller():
                return await self._caller(order)
            case effects.CheckNumber():
                return await self._number(order)

    async def _some_leads(self, order: effects.FetchLeads) -> LeadsFetched:
        campaign, now_ms = order.campaign, self._clock.now_ms()
        try:
            if order.promised:
                return await self._store.promised_leads(campaign, now_ms, order.limit, order.but, order.history_ms)
            settings = self._floor.live.campaigns.get(campaign)
            if settings is None:
                self._lines.pop(campaign, None)
                return LeadsFetched(campaign, ())  # gone from the configuration since it was asked for
            line = self._line_of(settings)
            return await self._store.due_leads(campaign, now_ms, order.limit, order.but, order.history_ms, line)
        except StoreBug:
            raise
        except StoreError as problem:
            log.warning("the store does not read", extra={"action": "fetch_failed", "reason": str(problem)})
            again_ms = self._clock.now_ms() + FETCH_RETRY_MS
            return LeadsFetched(campaign, (), again_ms, promised=order.promised, failed=True)

    def _line_of(self, settings: Campaign) -> LineUp:
        """The same for as long as the campaign's settings are in force."""
        known, line = self._lines.get(settings.id, (None, None))
        if line is None or known is not settings:
            line = LineUp.of(settings)
            self._lines[settings.id] = settings, line
        return line

    async def _one_lead(self, lead: LeadId, history_ms: int) -> LeadFetched:
        since_ms = self._clock.now_ms() - history_ms if history_ms else None
        try:
            return LeadFetched(lead, (await self._store.leads((lead,), since_ms)).get(lead))
        except StoreBug:
            raise
        except StoreError as problem:
            log.warning("the store does not read", extra={"action": "fetch_failed", "reason": str(problem)})
            return LeadFetched(lead, None)

    async def _held_checked(self, order: effects.CheckHeld) -> HeldChecked | None:
        """Which of these must not be called. Without an answer it is asked again, for calls to them ring; meanwhile the
        reader goes on with others, for whoever calls us waits for their name."""
        try:
            return HeldChecked(await self._store.blocked(order.leads))
        except StoreBug:
            raise
        except StoreError as problem:
            log.warning("the store does not read", extra={"action": "fetch_failed", "reason": str(problem)})
            self._unchecked.append(order)
            return None

    async def _look_around(self) -> None:
        """Tell the Floor what other processes have changed: leads of a campaign, the do-not-call lists."""
        seen: Mapping[str, int] = {}
        while True:
            try:
                now = await self._store.revisions()
            except StoreBug:
                raise
            except StoreError as problem:
                log.warning("the store does not read", extra={"action": "look_failed", "reason": str(problem)})
                now = seen
            for subject in [subject for subject, revision in now.items() if seen.get(subject) != revision]:
                if subject.startswith(LEADS_OF):
                    self._offer(LeadsChanged(CampaignId(subject.removeprefix(LEADS_OF))))
                else:
                    self._offer(DoNotCallChanged())
            seen = now
            if self._unchecked:
                self._reads.extend(self._unchecked)
                self._unchecked.clear()
                self._read_wake.ring()
            await self._feel_pulse()
            await asyncio.sleep(LOOK_EVERY_MS / 1000)

    async def _number(self, order: effects.CheckNumber) -> NumberChecked:
        try:
            return NumberChecked(order.attempt, await self._store.number_blocked(order.number, order.campaign))
        except StoreBug:
            raise
        except StoreError as problem:
            log.warning("the store does not read", extra={"action": "fetch_failed", "reason": str(problem)})
            return NumberChecked(order.attempt, None)

    async def _caller(self, order: effects.FetchCaller) -> CallerFetched:
        try:
            return CallerFetched(order.attempt, await self._store.callers(order.number, order.campaign))
        except StoreBug:
            raise
        except StoreError as problem:  # whoever answers asks for the name
            log.warning("the store does not read", extra={"action": "fetch_failed", "reason": str(problem)})
            return CallerFetched(order.attempt, ())


def _pacing_view(campaign: CampaignId, decision: PacingDecision, settings: Campaign) -> PacingView:
    return PacingView(
        campaign=campaign,
        at_ms=decision.at_ms,
        mode=decision.policy.mode,
        placed=decision.place,
        limit=decision.limit.name.lower(),
        ready=decision.ready,
        busy=decision.busy,
        lent=decision.lent,
        wanted_elsewhere=decision.wanted_elsewhere,
        soon_free=decision.soon_free,
        in_flight=decision.dialing + decision.screening + decision.place,
        expected_answers=decision.expected_answers,
        waiting=decision.waiting,
        risk=decision.risk,
        threshold=decision.threshold,
        lines_free=decision.room,
        period_hours=hours_of(decision.budget.period),
        live_answers=decision.budget.live_answers,
        abandoned=decision.budget.abandoned,
        abandons_left=decision.budget.left,
        share_max=settings.abandon.share_max,
    )
