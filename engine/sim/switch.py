"""A switch without telephones: channels, bridges and the dialplan's stub as in Asterisk, and a link that may fail.

Theory of operation. `SimSwitch` outlives the engines that connect to it, as Asterisk does: channels go on while nobody
listens, events of that time are lost for ever, and a customer who answers meanwhile hears the dialplan's message. Every
order takes its time and orders of one leg keep their order. Facts take their time too; `Faults` makes them come late,
twice, in another order or never, breaks the link, and swallows replies.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import cached_property
from typing import Final

from engine.clock import Clock
from engine.core.dialing import SEND_WITHIN_MS
from engine.core.effects import (
    AnswerPhone,
    AskSwitch,
    Bridge,
    Hangup,
    Hold,
    Music,
    Mute,
    OpenBridge,
    OriginateAgent,
    OriginateCustomer,
    OriginateOutside,
    PauseRecording,
    PlayMessageAndHangup,
    Screen,
    SendDigits,
    StartRecording,
    StopRecording,
    SwitchOrder,
    TransferOut,
)
from engine.core.events import (
    CallArrived,
    CommandFailed,
    LegAnswered,
    LegBridged,
    LegFound,
    LegGone,
    LegHungUp,
    LegJudged,
    LegOptedOut,
    LegRinging,
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
from engine.core.model import (
    BridgeId,
    LegId,
    PhoneId,
    PhoneNumber,
    TrunkId,
    Verdict,
    agent_of_leg,
    attempt_of_leg,
    attempt_of_outside,
    inbound_leg,
)
from engine.sim.people import People
from engine.switch import Sink

_Originate = OriginateCustomer | OriginateAgent | OriginateOutside

#: A nailed-up leg's dead-man timer, as the dialplan sets it.
SHIFT_MAX_MS: Final = 12 * 3_600_000
NORMAL_CLEARING: Final = 16
#: Later, and the link is given up.
LATE_SNAPSHOT_MAX_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """How often what goes wrong; shares are of events or orders, `…_every_ms` are mean times between."""

    lost: float = 0.0
    twice: float = 0.0
    late: float = 0.0  # and so out of order
    late_ms: int = 3_000
    reply_lost: float = 0.0  # of an originate
    refused: float = 0.0
    slow: float = 0.0
    slow_ms: int = 6_000
    failed: float = 0.0  # of other orders
    glare: float = 0.0  # of ringing legs that answer at the moment in which we hang up
    link_lost_every_ms: int = 0
    link_gap_ms: int = 10_000
    slow_spell_every_ms: int = 0
    dies_every_ms: int = 0  # the switch itself: every leg ends, and nothing tells of it
    death_told_share: float = 0.5  # somebody saw the process end
    late_snapshot: float = 0.0  # of links, which say what they have long after their first facts
    journal_share: float = 0.0  # of ended legs that the switch's journal tells of afterwards


class Mishap(Enum):
    """What becomes of a fact on its way."""

    LOST = auto()
    TWICE = auto()
    LATE = auto()  # later ones overtake it


class Place(Enum):
    """Who has the channel."""

    DIALING = auto()
    STASIS = auto()  # the engine
    SCREENING = auto()  # detection
    MESSAGE = auto()  # the dialplan
    OUT = auto()  # the dialplan, which dials somebody outside for them


@dataclass(slots=True)
class Channel:
    """One leg as the switch has it."""

    leg: LegId
    number: PhoneNumber | None = None  # a customer's
    trunk: TrunkId | None = None
    place: Place = Place.DIALING
    up: bool = False
    up_at_ms: int | None = None
    bridge: BridgeId | None = None
    talked: bool = False
    muted: bool = False
    message_ms: int = 0
    opts_out: bool = False
    verdict: Verdict = Verdict.PERSON
    detection_ms: int = 0
    talk_ms: int = 0
    patience: asyncio.TimerHandle | None = None
    music: bool = False
    arrived: CallArrived | None = None  # they called us
    unheard: bool = False  # no engine listened when they answered
    clocks: list[asyncio.TimerHandle] = field(default_factory=list)
    found: tuple[tuple[object, ...], LegFound] | None = None  # as it was in the last snapshot, and from what


@dataclass(frozen=True, slots=True)
class Invite:
    """A customer was dialed, `at_ms`, by an order sent at `sent_s` of the loop, whose time is never stepped."""

    at_ms: int
    sent_s: float
    order: OriginateCustomer


@dataclass(frozen=True, slots=True)
class Unheard:
    """A leg that was answered while no engine listened, for the verifier: the message began at once."""

    channel_id: LegId
    answered_ms: int
    unheard: bool = True
    ended_ms: int | None = None

    @property
    def message_ms(self) -> int:
        return self.answered_ms


class SimSwitch:
    """The `engine.switch.Switch` of a simulated Asterisk."""

    def __init__(
        self,
        *,
        clock: Clock,
        chance: random.Random,
        people: People,
        faults: Faults | None = None,
        trunks: Collection[TrunkId] | None = None,
        on_invite: Callable[[Invite], None] | None = None,
    ) -> None:
        """`trunks`: those that may be dialed (None: any). `on_invite` is told of every number that leaves the house."""
        self.channels: dict[LegId, Channel] = {}
        self.numbers: Counter[str] = Counter()  # of them
        self.faults = faults or Faults()
        self.connected = False
        self.disturbed: set[LegId] = set()  # legs of which the engine did not hear, or not in time
        self._clock = clock
        self._chance = chance
        self._people = people
        self._trunks = trunks
        self._on_invite = on_invite
        self._bridges: set[BridgeId] = set()
        self._arrivals = 0
        self.recordings: dict[str, BridgeId] = {}  # that run, or are paused
        self._sink: Sink | None = None
        self._life = 0  # of the engine that is connected, or was last
        self._link = 0  # its number: what belongs to an older one never arrives
        self._link_lost = asyncio.Event()
        self._lost_reason = ""
        self._told_at_s = 0.0
        self._order_at_s: dict[LegId, float] = {}
        # The journal tells all of it, and to each engine from the start.
        self._journal: list[LegGone] = []
        self._journal_told = 0
        self.opted_out: list[LegId] = []
        self._opt_outs_told = 0
        self.unheard: list[Unheard] = []  # that it tells of
        self._registered: dict[PhoneId, bool] = {}  # desk phones that have fallen off since the start
        self.machines: set[LegId] = set()  # legs that answering machines have answered
        self._snapshots: list[set[LegId]] = []  # legs that ended while a snapshot was on its way

    @cached_property
    def _loop(self) -> asyncio.AbstractEventLoop:
        """Asked of the system at every order, it would cost more than the order."""
        return asyncio.get_running_loop()

    # ── the link ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def run(self, sink: Sink) -> None:
        """See `Switch.run`."""
        self._sink = sink
        self._life += 1
        self._opt_outs_told = self._journal_told = 0
        try:
            while True:
                await asyncio.sleep(self._some_ms(20) / 1000)
                self._connect()
                await self._stay_connected()
                self._disconnect()
                sink(SwitchLost(self._lost_reason))
                await asyncio.sleep(self._some_ms(self.faults.link_gap_ms) / 1000)
        finally:
            self._sink = None
            self._disconnect()

    def send(self, order: SwitchOrder) -> None:
        """See `Switch.send`."""
        loop = self._loop
        if not self.connected:
            loop.call_later(0.001, self._fail, order, self._life)
            return
        faults = self.faults
        slow = isinstance(order, _Originate) and self._chance.random() < faults.slow
        legs = _legs_of(order)
        at_s = loop.time() + (self._some_ms(faults.slow_ms) if slow else 1 + self._some_ms(1)) / 1000
        at_s = max([at_s, *(self._order_at_s.get(leg, 0.0) for leg in legs)]) + 1e-6
        for leg in legs:
            self._order_at_s[leg] = at_s
        loop.call_at(at_s, self._carry_out, order, self._link, self._life, loop.time())

    def drop(self, reason: str) -> None:
        """Break the link now."""
        self._lost_reason = reason
        self._link_lost.set()

    def die(self) -> None:
        """The switch's process ends, and starts again at once."""
        for channel in list(self.channels.values()):
            self._forget(channel)
            self.disturbed.add(channel.leg)
            if channel.up:
                self._note(channel, 0)  # the journal has their answer, and no end
        self._bridges.clear()
        self.recordings.clear()
        if self.connected:
            self._disconnect()
            self.drop("the simulated switch has died")
        if self._sink is not None and self._chance.random() < self.faults.death_told_share:
            self._sink(SwitchDied("the simulated switch has died", self._journal_news()))

    def _journal_news(self) -> tuple[LegGone, ...]:
        news = tuple(self._journal[self._journal_told :])
        self._journal_told = len(self._journal)
        return news

    def call_in(
        self, dialed: PhoneNumber, caller: PhoneNumber | None, trunk: TrunkId, *, patience_ms: int | None = None
    ) -> LegId:
        """Somebody calls; the dialplan answers, and hands them to the engine or, if none is there, to the message."""
        self._arrivals += 1
        leg = inbound_leg(f"1763971200.{self._arrivals}")
        fate = self._people.caller()
        channel = Channel(leg, caller, trunk, message_ms=fate.message_ms, talk_ms=fate.talk_ms)
        channel.arrived = CallArrived(leg=leg, trunk=trunk, dialed=dialed, caller=caller)
        channel.up, channel.up_at_ms = True, self._clock.now_ms()
        self._keep(channel)
        channel.patience = self._later(channel, patience_ms or fate.patience_ms, self._end, channel, 0, None)
        if self.connected:
            channel.place = Place.STASIS
            self._tell(channel.arrived)
        else:
            self.disturbed.add(leg)
            self._play_message(channel)
        return leg

    def register(self, phone: PhoneId, *, registered: bool) -> None:
        """A desk phone falls off, or comes back."""
        self._registered[phone] = registered
        self._tell(PhoneSeen(phone, registered))

    def _connect(self) -> None:
        self._link += 1
        self._link_lost.clear()
        self._lost_reason = "the simulated link broke"
        self.connected = True
        self._told_at_s = 0.0
        late = self._chance.random() < self.faults.late_snapshot
        self._loop.call_later(self._chance.uniform(0, LATE_SNAPSHOT_MAX_S) if late else 0, self._snapshot, self._link)

    def _disconnect(self) -> None:
        self.connected = False
        self._link += 1
        self._snapshots.clear()

    async def _stay_connected(self) -> None:
        faults = self.faults
        until_s = self._some_ms(faults.link_lost_every_ms) / 1000 if faults.link_lost_every_ms else None
        loop = self._loop
        mishaps: list[asyncio.TimerHandle] = []
        if faults.slow_spell_every_ms:
            at_s = self._some_ms(faults.slow_spell_every_ms) / 1000
            mishaps.append(loop.call_later(at_s, self._slow_spell, self._link))
        if faults.dies_every_ms:
            mishaps.append(loop.call_later(self._some_ms(faults.dies_every_ms) / 1000, self.die))
        try:
            async with asyncio.timeout(until_s):
                await self._link_lost.wait()
        except TimeoutError:
            return
        finally:
            for mishap in mishaps:
                mishap.cancel()

    def _slow_spell(self, link: int) -> None:
        if link == self._link:
            self._deliver(SwitchSlow(slow=True, reason="the simulated switch is slow"), link)
            loop = self._loop
            loop.call_later(self._some_ms(5_000) / 1000, self._deliver, SwitchSlow(slow=False), link)

    # ── facts ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _tell(self, event: SwitchEvent) -> None:
        """Send a fact on its way to whoever is connected."""
        leg: LegId | None = getattr(event, "leg", None)
        if not self.connected:
            if leg is not None:
                self.disturbed.add(leg)
            return
        loop = self._loop
        self._told_at_s = at_s = max(loop.time() + 0.001, self._told_at_s + 1e-6)
        mishap = self._mishap() if leg is not None else None
        if mishap is not None and leg is not None:
            self.disturbed.add(leg)
        if mishap in {Mishap.LATE, Mishap.TWICE}:
            loop.call_at(at_s + self._some_ms(self.faults.late_ms) / 1000, self._deliver, event, self._link)
        if mishap in {None, Mishap.TWICE}:
            loop.call_at(at_s, self._deliver, event, self._link)

    def _mishap(self) -> Mishap | None:
        faults, throw = self.faults, self._chance.random()
        if throw >= faults.lost + faults.twice + faults.late:
            return None
        for share, mishap in ((faults.lost, Mishap.LOST), (faults.twice, Mishap.TWICE), (faults.late, Mishap.LATE)):
            if throw < share:
                return mishap
            throw -= share
        return None

    def _deliver(self, event: SwitchEvent, link: int) -> None:
        if link != self._link or self._sink is None:
            leg: LegId | None = getattr(event, "leg", None)
            if leg is not None:
                self.disturbed.add(leg)
            return
        if isinstance(event, LegHungUp):
            for ended in self._snapshots:
                ended.add(event.leg)
        if not self._sink(event):
            self.drop("no room for facts of the switch")

    def _snapshot(self, link: int) -> None:
        if link != self._link:
            return
        ended: set[LegId] = set()
        self._snapshots.append(ended)
        members: dict[BridgeId, list[LegId]] = {}
        for channel in self.channels.values():
            if channel.bridge is not None:
                members.setdefault(channel.bridge, []).append(channel.leg)
        legs = tuple(_found(channel, members) for channel in self.channels.values())
        at_s = self._loop.time() + (2 + self._some_ms(3)) / 1000
        self._loop.call_at(at_s, self._deliver_snapshot, legs, ended, self._link)

    def _deliver_snapshot(self, legs: tuple[LegFound, ...], ended: set[LegId], link: int) -> None:
        if link == self._link:
            self._snapshots = [other for other in self._snapshots if other is not ended]
            gone = self._journal_news()  # read last
            self._deliver(SwitchUp(tuple(leg for leg in legs if leg.leg not in ended), gone), link)
            for phone, registered in self._registered.items():
                self._deliver(PhoneSeen(phone, registered), link)
            for leg in self.opted_out[self._opt_outs_told :]:
                self._deliver(LegOptedOut(leg), link)
            self._opt_outs_told = len(self.opted_out)
        alive = {f"b.{leg}" for leg in self.channels}
        self._bridges = {bridge for bridge in self._bridges if bridge in alive}
        self.recordings = {name: place for name, place in self.recordings.items() if place in alive}

    # ── orders ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _carry_out(self, order: SwitchOrder, link: int, life: int, sent_s: float) -> None:
        cut = link != self._link
        if cut:
            self._lose_reply(order, life)
            if self._chance.random() < 0.5:
                return  # it never left
        match order:
            case OriginateCustomer():
                self._dial(order, sent_s, replies=not cut)
            case OriginateAgent():
                self._call_phone(order, replies=not cut)
            case OriginateOutside():
                self._call_outside(order, replies=not cut)
            case AskSwitch():
                if self.connected:
                    self._snapshot(self._link)
            case _:
                if self._chance.random() < self.faults.failed or not self._command(order):
                    self._fail(order, life)

    def _fail(self, order: SwitchOrder, life: int) -> None:
        """Tell whoever sent it that it was not done, unless they are gone."""
        if self._sink is None or life != self._life:
            return
        match order:
            case OriginateCustomer() | OriginateAgent() | OriginateOutside():
                self._sink(OriginateRefused(order.leg, "no link"))
            case AskSwitch():
                return
            case _:
                self._sink(CommandFailed(_legs_of(order)[0], type(order).__name__.lower(), "simulated"))

    def _lose_reply(self, order: SwitchOrder, life: int) -> None:
        if isinstance(order, _Originate):
            self.disturbed.add(order.leg)
            if self._sink is not None and life == self._life:
                self._sink(OriginateUnknown(order.leg))
        else:
            self._fail(order, life)

    def _reply(self, leg: LegId) -> None:
        lost = self._chance.random() < self.faults.reply_lost
        if lost:
            self.disturbed.add(leg)
        self._tell(OriginateUnknown(leg) if lost else OriginateAccepted(leg))

    def _may_dial(self, leg: LegId, *, replies: bool) -> bool:
        if self._chance.random() < self.faults.refused:
            answer: SwitchEvent = OriginateRefused(leg, "Allocation failed")
        elif leg in self.channels:
            answer = OriginateUnknown(leg)  # the id is taken
        else:
            if replies:
                self._reply(leg)
            return True
        if replies:
            self._tell(answer)
        return False

    def _dial(self, order: OriginateCustomer, sent_s: float, *, replies: bool) -> None:
        if self._trunks is not None and order.trunk not in self._trunks:
            self._tell(OriginateRefused(order.leg, f"trunk {order.trunk} is not configured"))
            return
        late_s = self._loop.time() - sent_s  # by a clock that nobody sets back
        if self._clock.now_ms() > order.send_before_ms or late_s * 1000 > SEND_WITHIN_MS:
            if replies:
                self._tell(OriginateRefused(order.leg, "stale"))
            return
        if not self._may_dial(order.leg, replies=replies):
            return
        if self._on_invite is not None:
            self._on_invite(Invite(self._clock.now_ms(), sent_s, order))
        fate = self._people.customer(order.number)
        channel = Channel(order.leg, order.number, order.trunk, message_ms=fate.message_ms, talk_ms=fate.talk_ms)
        channel.opts_out, channel.verdict, channel.detection_ms = fate.opts_out, fate.verdict, fate.detection_ms
        if fate.machine:
            self.machines.add(order.leg)
        self._keep(channel)
        ring_ms = min(fate.rings_after_ms, order.ring_timeout_ms)
        end_ms = ring_ms + fate.after_ms
        if fate.after_ms:
            self._later(channel, ring_ms, self._ring, channel)
        if end_ms >= order.ring_timeout_ms:
            self._later(channel, order.ring_timeout_ms, self._end, channel, 19, None)
        elif fate.answers:
            self._later(channel, end_ms, self._answer, channel, order.talk_max_ms, fate.patience_ms)
        else:
            self._later(channel, end_ms, self._end, channel, fate.cause, fate.tech_cause)

    def _call_phone(self, order: OriginateAgent, *, replies: bool) -> None:
        if not self._may_dial(order.leg, replies=replies):
            return
        fate = self._people.phone()
        channel = self.channels[order.leg] = Channel(order.leg)
        if not self._registered.get(order.phone, True):
            self._later(channel, 0, self._end, channel, 20, None)
            return
        if fate.answers and fate.after_ms < order.ring_timeout_ms:
            self._later(channel, fate.after_ms, self._answer, channel, SHIFT_MAX_MS, None)
            if fate.lives_ms is not None:
                self._later(channel, fate.after_ms + fate.lives_ms, self._end, channel, 0, None)
        else:
            self._later(channel, min(fate.after_ms, order.ring_timeout_ms), self._end, channel, 21, 603)

    def _call_outside(self, order: OriginateOutside, *, replies: bool) -> None:
        if self._trunks is not None and order.trunk not in self._trunks:
            self._tell(OriginateRefused(order.leg, f"trunk {order.trunk} is not configured"))
            return
        if not self._may_dial(order.leg, replies=replies):
            return
        fate = self._people.customer(order.number)
        channel = self.channels[order.leg] = Channel(order.leg, order.number, order.trunk, talk_ms=fate.talk_ms)
        end_ms = min(fate.rings_after_ms + fate.after_ms, order.ring_timeout_ms)
        if fate.answers and end_ms < order.ring_timeout_ms:
            self._later(channel, end_ms, self._answer, channel, order.talk_max_ms, None)
        else:
            self._later(channel, end_ms, self._end, channel, fate.cause, fate.tech_cause)

    def _command(self, order: SwitchOrder) -> bool:  # noqa: C901, PLR0912 - one row per order
        """Do it; whether Asterisk would have said yes."""
        match order:
            case Hangup(leg=leg, bridge=bridge):
                if bridge is not None:
                    self._close_bridge(bridge)
                if leg in self.channels:
                    self._hang_up(self.channels[leg])
                return True
            case OpenBridge(leg=leg, bridge=bridge):
                self._bridges.add(bridge)
                return self._join(leg, bridge)
            case Bridge(customer=customer, bridge=bridge):
                return bridge in self._bridges and self._join(customer, bridge)
            case Music(customer=customer):
                channel = self.channels.get(customer)
                if channel is None or channel.place is not Place.STASIS:
                    return False
                channel.music = True
                return True
            case Mute(agent=agent, on=on):
                channel = self.channels.get(agent)
                if channel is None or channel.place is not Place.STASIS:
                    return False
                channel.muted = on
                return True
            case AnswerPhone(leg=leg):
                return leg in self.channels  # whoever sits there lifts it, or does not
            case StartRecording(bridge=bridge, name=name):
                if bridge not in self._bridges:
                    return False
                self.recordings[name] = bridge  # one that runs already is success
                return True
            case StopRecording(name=name):
                self.recordings.pop(name, None)
                return True
            case PauseRecording():
                return True  # one that has ended is success
            case SendDigits(customer=customer):
                channel = self.channels.get(customer)
                return channel is not None and channel.place is Place.STASIS
            case Hold(customer=customer, on=True):
                return self._leave_bridge(customer, music=True)
            case Hold(customer=customer, bridge=bridge):
                return bridge in self._bridges and self._join(customer, bridge)
            case PlayMessageAndHangup() | Screen() | TransferOut():
                return self._continue(order)
            case _:
                raise AssertionError(f"not a command: {order}")

    def _hang_up(self, channel: Channel) -> None:
        rings = channel.number is not None and not channel.up
        if rings and self.faults.glare and self._chance.random() < self.faults.glare:
            self._answer(channel, SHIFT_MAX_MS, None)  # their 200 and our CANCEL have crossed
        self._end(channel, NORMAL_CLEARING, None)

    def _continue(self, order: PlayMessageAndHangup | Screen | TransferOut) -> bool:
        """Send a leg on into the dialplan."""
        channel = self.channels.get(order.leg)
        if channel is None or channel.place is not Place.STASIS:
            return False
        if isinstance(order, Screen):
            channel.place = Place.SCREENING
            self._later(channel, min(channel.detection_ms, order.within_ms), self._judge, channel)
        elif isinstance(order, TransferOut):
            channel.place, channel.bridge, channel.music = Place.OUT, None, False
            self._later(channel, channel.talk_ms, self._end, channel, NORMAL_CLEARING, None)
        else:
            self._play_message(channel)
        return True

    # ── what happens to channels ─────────────────────────────────────────────────────────────────────────────────

    def _ring(self, channel: Channel) -> None:
        self._tell(LegRinging(channel.leg))

    def _answer(self, channel: Channel, max_ms: int, patience_ms: int | None) -> None:
        channel.up, channel.up_at_ms = True, self._clock.now_ms()
        self._later(channel, max_ms, self._end, channel, 0, None)  # TIMEOUT(absolute)
        if patience_ms is not None:
            channel.patience = self._later(channel, patience_ms, self._end, channel, 0, None)
        if self.connected:
            channel.place = Place.STASIS
            self._tell(LegAnswered(channel.leg))
        elif agent_of_leg(channel.leg) is None and attempt_of_outside(channel.leg) is None:
            self.disturbed.add(channel.leg)
            channel.unheard = attempt_of_leg(channel.leg) is not None
            self._play_message(channel)
        else:
            self._end(channel, NORMAL_CLEARING, None)

    def _judge(self, channel: Channel) -> None:
        """Detection is done: back to the engine, or to the message where none is."""
        if self.connected:
            channel.place = Place.STASIS
            self._tell(LegJudged(channel.leg, channel.verdict, self._chance.random()))
        else:
            self.disturbed.add(channel.leg)
            self._play_message(channel)

    def _play_message(self, channel: Channel) -> None:
        channel.place, channel.bridge = Place.MESSAGE, None
        if channel.opts_out:
            self._later(channel, channel.message_ms // 2, self._opt_out, channel)
        self._later(channel, channel.message_ms, self._end, channel, NORMAL_CLEARING, None)

    def _opt_out(self, channel: Channel) -> None:
        self.opted_out.append(channel.leg)
        self._tell(LegOptedOut(channel.leg))
        self._end(channel, NORMAL_CLEARING, None)

    def _join(self, leg: LegId, bridge: BridgeId) -> bool:
        channel = self.channels.get(leg)
        if channel is None or not channel.up or channel.place is not Place.STASIS:
            return False
        channel.bridge, channel.music = bridge, False
        if channel.patience is not None:
            channel.patience.cancel()
        if agent_of_leg(leg) is None:
            self._tell(LegBridged(leg))
            if not channel.talked:
                channel.talked = True
                self._later(channel, channel.talk_ms, self._end, channel, 0, None)
        return True

    def _leave_bridge(self, leg: LegId, *, music: bool) -> bool:
        channel = self.channels.get(leg)
        if channel is None or channel.place is not Place.STASIS:
            return False
        channel.bridge, channel.music = None, music
        return True

    def _close_bridge(self, bridge: BridgeId) -> None:
        self._bridges.discard(bridge)
        self.recordings = {name: place for name, place in self.recordings.items() if place != bridge}
        for channel in self.channels.values():
            if channel.bridge == bridge:
                channel.bridge = None

    def _end(self, channel: Channel, cause: int, tech_cause: int | None) -> None:
        if channel.leg not in self.channels:
            return
        self._forget(channel)
        self._note(channel, cause)
        self._tell(LegHungUp(channel.leg, cause, tech_cause))

    def _note(self, channel: Channel, cause: int) -> None:
        """Perhaps the journal has it."""
        if channel.number is not None and self._chance.random() < self.faults.journal_share:
            self._journal.append(LegGone(channel.leg, channel.up_at_ms, cause))
            if channel.unheard and channel.up_at_ms is not None:
                self.unheard.append(Unheard(channel.leg, channel.up_at_ms))

    def _keep(self, channel: Channel) -> None:
        self.channels[channel.leg] = channel
        if channel.number is not None:
            self.numbers[channel.number.e164] += 1

    def _forget(self, channel: Channel) -> None:
        del self.channels[channel.leg]
        if channel.number is not None:
            self.numbers[channel.number.e164] -= 1
            if not self.numbers[channel.number.e164]:
                del self.numbers[channel.number.e164]
        for clock in channel.clocks:
            clock.cancel()
        self._order_at_s.pop(channel.leg, None)

    def _later(self, channel: Channel, ms: int, what: Callable[..., None], *with_: object) -> asyncio.TimerHandle:
        handle = self._loop.call_later(ms / 1000, what, *with_)
        channel.clocks.append(handle)
        return handle

    def _some_ms(self, mean_ms: float) -> int:
        return int(self._chance.expovariate(1 / mean_ms)) if mean_ms > 0 else 0


def _legs_of(order: SwitchOrder) -> tuple[LegId, ...]:
    match order:
        case OriginateCustomer() | OriginateAgent() | OpenBridge() | Hangup() | Screen() | PlayMessageAndHangup():
            return (order.leg,)
        case AnswerPhone() | TransferOut() | OriginateOutside():
            return (order.leg,)
        case Bridge():
            return (order.customer, order.agent)
        case Music() | Hold() | SendDigits() | StartRecording() | PauseRecording() | StopRecording():
            return (order.customer,)
        case Mute():
            return (order.agent,)
        case AskSwitch():
            return ()


def _found(channel: Channel, members: Mapping[BridgeId, Sequence[LegId]]) -> LegFound:
    others = members[channel.bridge] if channel.bridge is not None else ()
    known = (channel.up, channel.place, tuple(others))
    if channel.found is not None and channel.found[0] == known:
        return channel.found[1]
    channel.found = (
        known,
        LegFound(
            channel.leg,
            answered=channel.up,
            ours_to_command=channel.place is Place.STASIS,
            bridged_with=tuple(leg for leg in others if leg != channel.leg),
            arrived=channel.arrived,
            screening=channel.place is Place.SCREENING,
            handed_out=channel.place is Place.OUT,
        ),
    )
    return channel.found[1]
