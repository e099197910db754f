"""Asterisk as the engine's switch: orders become ARI requests in their order, events become facts.

Theory of operation. Every order is a task of its own that first waits for the earlier orders of its legs; so a leg's
orders keep their order, and legs do not wait for each other. Dials wait for one of a few places besides: Asterisk works
requests off one by one, and somebody who is on the line must not queue behind a burst of dials.

Nothing that dials is sent twice. When the reply to an originate is lost, the fact is `OriginateUnknown` and the next
snapshot tells. After each (re)connect one snapshot follows: what Asterisk has, not what we remember, and what its own
journal says of legs that ended while nobody listened.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

from engine.ari import resources as ari
from engine.ari import wire
from engine.ari.client import AriAccount, AriClient, Frame, LinkUp
from engine.ari.errors import AriError, Conflict, NotFound, Refused
from engine.backoff import Backoff
from engine.clock import Clock
from engine.core.effects import (
    AnswerPhone,
    AskSwitch,
    Hangup,
    OpenBridge,
    OriginateAgent,
    OriginateCustomer,
    OriginateOutside,
    PauseRecording,
    StartRecording,
    StopRecording,
    SwitchOrder,
)
from engine.core.events import (
    CommandFailed,
    LegGone,
    LegHungUp,
    LegJudged,
    LegOptedOut,
    OriginateAccepted,
    OriginateRefused,
    OriginateUnknown,
    PhoneSeen,
    SwitchDied,
    SwitchEvent,
    SwitchLost,
    SwitchSlow,
    SwitchUp,
)
from engine.core.model import LegId, PhoneId, TrunkId
from engine.switch import Sink

log = logging.getLogger(__name__)

#: Dials sent and not yet answered: enough to keep Asterisk busy, few enough that a bridge waits under 10 ms for them.
DIALS_IN_FLIGHT_MAX = 8
#: Orders taken and not yet carried out; beyond it dials are refused and other orders fail.
ORDERS_MAX = 10_000
#: How often the link is asked whether it still answers.
PROBE_EVERY_MS = 300
#: No answer for so long, or an event later than this: the switch is slow. So dialing stops within a second.
SLOW_MS = 500
#: No answer for so long: the probe is lost.
PROBE_DEADLINE_MS = 1_000
#: Probes without an answer before the link is given up and made anew.
PROBES_LOST_MAX = 4
#: A channel that nobody has: asking for it needs the part of ARI that dials, and changes nothing.
PROBE_CHANNEL = "zvonar.probe"
#: How often an event's own time stamp is compared with our clock.
LAG_SAMPLE_EVERY_MS = 200
#: The smallest lag of so many samples is the difference of the two clocks; 300 samples are a minute or more.
LAG_SAMPLES_MAX = 300
#: A lag that no newer event has confirmed for so long says nothing any more.
LAG_FORGOTTEN_MS = 2_000


class SwitchJournal(Protocol):
    """What the switch itself writes down of customers' legs. Asked in a thread, by one at a time."""

    def answered(self) -> Collection[LegId]:
        """Legs that have answered and have not ended, by what stands in it now."""
        ...

    def told(self, lost: Collection[LegId]) -> Sequence[LegGone | LegOptedOut]:
        """What became of legs since it was last asked. `lost`: they had answered, and are there no more."""
        ...


class _NoJournal:
    """Of a switch whose journal nobody can read."""

    def answered(self) -> Collection[LegId]:
        return ()

    def told(self, lost: Collection[LegId]) -> Sequence[LegGone | LegOptedOut]:
        _ = lost
        return ()


class AriSwitch:
    """The `engine.switch.Switch` of a real Asterisk."""

    def __init__(
        self,
        account: AriAccount,
        *,
        clock: Clock,
        chance: Callable[[], float],
        trunks: Iterable[TrunkId],
        phones: Iterable[PhoneId] = (),
        backoff: Backoff | None = None,
        tone: str = wire.CALL_TONE,
        deadline_ms: int | None = None,
        probe_every_ms: int = PROBE_EVERY_MS,
        journal: SwitchJournal | None = None,
        reads: wire.Reads = wire.plain_number,
        lift: Callable[[str], Awaitable[str]] | None = None,
    ) -> None:
        """`chance` is uniform in [0, 1). Only `trunks` are ever dialed; of `phones` the registrations are told.

        `journal`: None where the switch's own cannot be read. `reads`: what a carrier sends as a caller's number, or as
        ours, into the number. `lift` asks the phone of a channel (by Asterisk's name of it) to answer; returns "" or
        why it could not be asked.
        """
        self._account = account
        self._lift = lift
        self._clock = clock
        self._chance = chance
        self._trunks = frozenset(trunks)
        self._phones = frozenset(phones)
        self._client = AriClient(
            account,
            backoff=backoff or Backoff(chance=chance),
            event_types=wire.EVENT_TYPES,
            event_sources=self._sources(),
            **({} if deadline_ms is None else {"deadline_ms": deadline_ms}),
        )
        self._tone = tone
        self._probe_every_ms = probe_every_ms
        self._probe_deadline_ms = min(PROBE_DEADLINE_MS, deadline_ms or PROBE_DEADLINE_MS)
        self._journal = _NoJournal() if journal is None else journal
        self.reads = reads
        self._dials = asyncio.Semaphore(DIALS_IN_FLIGHT_MAX)
        self._unsent: set[LegId] = set()  # dials that nobody has taken back
        self._last_order: dict[LegId, asyncio.Task[None]] = {}
        self._orders = 0
        self._running: asyncio.TaskGroup | None = None
        self._sink: Sink = _nobody
        self._lost_reason: str | None = ""
        self._slow = False
        self._lag = _Lag()
        self._round_trip_ms = 0
        self._one_snapshot = asyncio.Lock()
        self._journal_in_use = asyncio.Lock()
        self._ended_meanwhile: set[LegId] | None = None

    async def run(self, sink: Sink) -> None:
        """See `Switch.run`."""
        self._sink = sink
        async with asyncio.TaskGroup() as group:
            self._running = group
            group.create_task(self._client.run(self._take), name="ari-link")
            group.create_task(self._probe(), name="ari-probe")

    def send(self, order: SwitchOrder) -> None:
        """See `Switch.send`. `run` must have begun."""
        if self._orders >= ORDERS_MAX:
            self._tell_failure(order, "the switch has too many orders waiting", may_have_acted=False)
            return
        if isinstance(order, OriginateCustomer):
            self._unsent.add(order.leg)
        elif isinstance(order, Hangup):
            self._unsent.discard(order.leg)
        legs = wire.legs_of(order)
        before = {self._last_order[leg] for leg in legs if leg in self._last_order}
        self._orders += 1
        task = self._group.create_task(self._carry_out(order, before), name="ari-order")
        for leg in legs:
            self._last_order[leg] = task
        task.add_done_callback(lambda done: self._forget(done, legs))

    async def subscribe(self, trunks: Iterable[TrunkId], phones: Iterable[PhoneId]) -> tuple[str, ...]:
        """Take over the trunks and phones of a new configuration; returns those that Asterisk does not have.

        A snapshot follows: it tells of the new phones.
        """
        self._trunks = frozenset(trunks)
        self._phones = frozenset(phones)
        try:
            missing = await self._client.subscribe(self._sources())
        except AriError as error:
            self._client.drop(f"the new trunks and phones were not taken over: {error}")
            return ()  # The next link subscribes to them.
        self.send(AskSwitch())
        return missing

    def _sources(self) -> list[str]:
        return [f"endpoint:PJSIP/{name}" for name in sorted((*self._trunks, *self._phones))]

    def vitals(self) -> tuple[int, int]:
        """How long the last probe took, and how late the last event was, in milliseconds."""
        return self._round_trip_ms, self._lag.late_ms(self._clock.now_ms())

    def drop(self, reason: str) -> None:
        """Give up the link and make a new one; a snapshot follows."""
        self._client.drop(reason)

    # --- orders -------------------------------------------------------------------------------------------------

    async def _carry_out(self, order: SwitchOrder, before: set[asyncio.Task[None]]) -> None:
        if before:
            await asyncio.wait(before)
        try:
            match order:
                case AskSwitch():
                    await self._resync()
                case OriginateCustomer():
                    async with self._dials:
                        await self._dial(order)
                case OriginateAgent() | OriginateOutside():
                    await self._call(order)
                case AnswerPhone(leg=leg):
                    await self._lift_phone(leg)
                case StopRecording():
                    (stop,) = wire.requests_of(order, app=self._account.app)
                    with suppress(Conflict):  # "not in session": it is ending, by our word or by its end
                        await self._unless_gone(stop)
                case Hangup() | PauseRecording():
                    for request in wire.requests_of(order, app=self._account.app):
                        await self._unless_gone(request)
                case OpenBridge() | StartRecording():
                    await self._make(order)
                case _:
                    for request in wire.requests_of(order, app=self._account.app, tone=self._tone):
                        await self._client.request(request)
        except AriError as error:
            self._tell_failure(order, str(error), may_have_acted=error.may_have_acted or isinstance(error, Conflict))

    async def _make(self, order: OpenBridge | StartRecording) -> None:
        """A bridge and who is in it, a recording and its announcement; an engine before us may have made it."""
        make, *then = wire.requests_of(order, app=self._account.app)
        try:
            await self._client.request(make)
        except Conflict:
            if isinstance(order, StartRecording):
                return  # announced it is too
        for request in then:
            await self._client.request(request)

    async def _lift_phone(self, leg: LegId) -> None:
        channel = await self._client.request(ari.channels.get(leg))
        problem = await self._lift(channel.name) if self._lift is not None else "phones cannot be asked to answer"
        if problem:
            raise Refused("NOTIFY talk", problem)

    async def _dial(self, order: OriginateCustomer) -> None:
        if order.leg not in self._unsent:
            self._tell(LegHungUp(order.leg, 0))
            return
        self._unsent.remove(order.leg)
        if order.trunk not in self._trunks:
            self._tell(OriginateRefused(order.leg, f"trunk {order.trunk} is not configured"))
        elif self._clock.now_ms() > order.send_before_ms:
            # Decided for agents who were free then; by now they may not be.
            self._tell(OriginateRefused(order.leg, "stale"))
        else:
            await self._client.request(wire.requests_of(order, app=self._account.app)[0])
            self._tell(OriginateAccepted(order.leg))

    async def _call(self, order: OriginateAgent | OriginateOutside) -> None:
        if isinstance(order, OriginateOutside) and order.trunk not in self._trunks:
            self._tell(OriginateRefused(order.leg, f"trunk {order.trunk} is not configured"))
            return
        await self._client.request(wire.requests_of(order, app=self._account.app)[0])
        self._tell(OriginateAccepted(order.leg))

    async def _unless_gone(self, request: ari.Request[Any]) -> None:
        try:
            await self._client.request(request)
        except NotFound:
            log.debug("already gone", extra={"action": "ari_gone", "operation": request.template})

    def _tell_failure(self, order: SwitchOrder, reason: str, *, may_have_acted: bool) -> None:
        match order:
            case OriginateCustomer(leg=leg) | OriginateAgent(leg=leg) | OriginateOutside(leg=leg):
                # A taken id is a leg of ours that lives: it must not be dialed again either.
                self._tell(OriginateUnknown(leg) if may_have_acted else OriginateRefused(leg, reason))
            case AskSwitch():
                self._client.drop(f"no snapshot of the switch: {reason}")
            case _:
                command = type(order).__name__.lower()
                log.info("order failed", extra={"action": "ari_order_failed", "command": command, "reason": reason})
                self._tell(CommandFailed(wire.legs_of(order)[0], command, reason))

    @property
    def _group(self) -> asyncio.TaskGroup:
        if self._running is None:
            raise RuntimeError("the switch was given work before run()")
        return self._running

    def _forget(self, done: asyncio.Task[None], legs: tuple[LegId, ...]) -> None:
        self._orders -= 1
        for leg in legs:
            if self._last_order.get(leg) is done:
                del self._last_order[leg]

    # --- facts --------------------------------------------------------------------------------------------------

    def _take(self, frame: Frame) -> bool:
        """The client's sink: translate and pass on, nothing else, for the socket waits meanwhile."""
        if isinstance(frame, dict):
            return self._take_event(frame)
        if isinstance(frame, LinkUp):
            self._lost_reason = None
            self._group.create_task(self._carry_out(AskSwitch(), set()), name="ari-snapshot")
        elif frame.reason != self._lost_reason:
            self._lost_reason = frame.reason
            self._slow = False
            self._sink(SwitchLost(frame.reason))
        return True

    def _take_event(self, frame: dict[str, Any]) -> bool:
        now_ms = self._clock.now_ms()
        try:
            if now_ms >= self._lag.next_sample_ms:
                self._lag.sample(frame["timestamp"], now_ms)
            event = wire.event_of(frame, self.reads)
        except (KeyError, TypeError, ValueError) as error:
            # Another Asterisk's dialect; the next snapshot tells what we missed.
            kind = frame.get("type")
            log.warning("event not understood", extra={"action": "ari_event", "kind": kind, "reason": repr(error)})
            return True
        if event is None:
            self._take_other(frame)
            return True
        if isinstance(event, PhoneSeen) and event.phone not in self._phones:
            return True  # A trunk's contact.
        if isinstance(event, LegJudged):
            event = replace(event, draw=self._chance())
        if self._ended_meanwhile is not None and isinstance(event, LegHungUp):
            self._ended_meanwhile.add(event.leg)
        return self._sink(event)

    def _take_other(self, frame: dict[str, Any]) -> None:
        if frame["type"] == "StasisStart":
            # A phone that dialed its log-in code: nobody here serves it, and it hears a message, not silence.
            self._group.create_task(self._turn_away(frame["channel"]["id"]), name="ari-turn-away")
        elif frame["type"] == "ApplicationReplaced":
            # Taking it back would make two engines take turns; whoever came last is in charge.
            log.error("another engine has taken over this Asterisk", extra={"action": "ari_replaced"})
            self._client.leave("another engine has taken over this Asterisk; restart this one to take it back")

    async def _turn_away(self, channel_id: str) -> None:
        try:
            await self._unless_gone(wire.to_message(channel_id))
        except AriError as error:
            log.warning("a caller was not turned away", extra={"action": "ari_turn_away", "reason": str(error)})

    def _tell(self, event: SwitchEvent) -> None:
        if not self._sink(event):
            self._client.drop("no room for facts of the switch")

    # --- snapshot and probe -------------------------------------------------------------------------------------

    async def died(self, reason: str) -> None:
        """Its process has ended: tell so, and of whoever had answered without our hearing of it."""
        journal = await self._told(await self._answered())
        self._tell(SwitchDied(reason, _gone(journal)))
        self._tell_wishes(journal)

    async def _answered(self) -> Collection[LegId]:
        async with self._journal_in_use:
            return await asyncio.to_thread(self._journal.answered)

    async def _told(self, lost: Collection[LegId]) -> Sequence[LegGone | LegOptedOut]:
        async with self._journal_in_use:
            return await asyncio.to_thread(self._journal.told, lost)

    def _tell_wishes(self, journal: Iterable[LegGone | LegOptedOut]) -> None:
        for said in journal:
            if isinstance(said, LegOptedOut):
                self._tell(said)

    async def _resync(self) -> None:
        async with self._one_snapshot:
            await self._take_snapshot()

    async def _take_snapshot(self) -> None:
        # Whoever hangs up between the snapshot and its arrival is told of before it; the snapshot must not revive them.
        ended = self._ended_meanwhile = set()
        try:
            application = await self._client.request(ari.applications.get(self._account.app))
            bridges = await self._client.request(ari.bridges.list())
            endpoints = await self._client.request(ari.endpoints.list())
            answered = await self._answered()
            channels = await self._client.request(ari.channels.list())
            there = {channel.id for channel in channels}
            journal = await self._told([leg for leg in answered if leg not in there])
        finally:
            self._ended_meanwhile = None
        legs = wire.legs_found(channels, bridges, application, self.reads)
        self._tell(SwitchUp(tuple(leg for leg in legs if leg.leg not in ended), _gone(journal)))
        self._tell_wishes(journal)
        for endpoint in endpoints:
            if endpoint.resource in self._phones:
                self._tell(PhoneSeen(PhoneId(endpoint.resource), endpoint.state == "online"))
        for bridge in wire.bridges_left_over(channels, bridges):
            await self._unless_gone(ari.bridges.destroy(bridge))

    async def _probe(self) -> None:
        """Ask over the same link what needs Asterisk's application layer: a ping stays green when that is dead."""
        loop = asyncio.get_running_loop()
        lost = 0
        while True:
            await asyncio.sleep(self._probe_every_ms / 1000)
            if not self._client.connected:
                lost = 0
                continue
            asked = loop.time()
            overdue = loop.call_later(SLOW_MS / 1000, self._judge, f"no answer to a probe for {SLOW_MS} ms")
            try:
                await self._ask_probe()
            except AriError as error:
                lost += 1
                self._judge(f"no answer to a probe: {error.reason}")
                if lost >= PROBES_LOST_MAX:
                    self._client.drop(f"no answer to {lost} probes")
                continue
            finally:
                overdue.cancel()
            lost = 0
            round_trip_ms = self._round_trip_ms = int((loop.time() - asked) * 1000)
            if round_trip_ms > SLOW_MS:
                self._judge(f"a request took {round_trip_ms} ms")
            elif (late_ms := self._lag.late_ms(self._clock.now_ms())) > SLOW_MS:
                self._judge(f"events are {late_ms} ms late")
            else:
                self._judge("")

    async def _ask_probe(self) -> None:
        await self._client.request(ari.applications.get(self._account.app), deadline_ms=self._probe_deadline_ms)
        with suppress(NotFound):  # that it is not there is the answer
            await self._client.request(ari.channels.get(PROBE_CHANNEL), deadline_ms=self._probe_deadline_ms)

    def _judge(self, trouble: str) -> None:
        if bool(trouble) != self._slow:
            self._slow = bool(trouble)
            self._tell(SwitchSlow(self._slow, trouble))


class _Lag:
    """How late events are, beyond the constant difference of the two clocks."""

    def __init__(self) -> None:
        self.next_sample_ms = 0
        self._late_ms = 0
        self._samples: deque[int] = deque(maxlen=LAG_SAMPLES_MAX)

    def sample(self, timestamp: str, now_ms: int) -> None:
        """Compare an event's time stamp (ISO 8601) with our clock."""
        sent_ms = int(datetime.fromisoformat(timestamp).timestamp() * 1000)
        self._samples.append(now_ms - sent_ms)
        self._late_ms = self._samples[-1] - min(self._samples)
        self.next_sample_ms = now_ms + LAG_SAMPLE_EVERY_MS

    def late_ms(self, now_ms: int) -> int:
        """The lag of the last event, unless that is long ago."""
        return self._late_ms if now_ms < self.next_sample_ms + LAG_FORGOTTEN_MS else 0


def _gone(journal: Iterable[LegGone | LegOptedOut]) -> tuple[LegGone, ...]:
    return tuple(said for said in journal if isinstance(said, LegGone))


def _nobody(event: SwitchEvent) -> bool:
    """Before `run` there is nobody to tell."""
    raise AssertionError(f"{event} before run")
