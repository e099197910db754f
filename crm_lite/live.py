"""The live half of the CRM: one reader of the engine's notices, a feed per desk and per view of the floor, sockets.

A desk is rendered from state, not from the stream of notices: a notice only says *look again*, so ten of them in a row
cost one rendering, and a lost one costs nothing after the next snapshot. Frames hold finished HTML; the browser puts it
into islands that nobody types in.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import secrets
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from aiohttp import WSCloseCode, WSMsgType, web

from crm_lite.live_protocol import (
    DEAD_AFTER_MS,
    MESSAGE_BYTES_MAX,
    PING_EVERY_MS,
    BadMessage,
    Close,
    Do,
    Feed,
    Hello,
    Outbox,
    Overflow,
    read_message,
)
from crm_lite.security import own_origin
from engine.api import Engine, SubscriptionOverflow
from engine.clock import Clock
from engine.core.effects import AgentChanged, AttemptChanged, CommandDone, DialingChanged, Notice, ScreenPop
from engine.core.events import AgentPause
from engine.core.model import (
    Agent,
    AgentId,
    AgentState,
    Attempt,
    AttemptId,
    CampaignId,
    CommandId,
    CustomerState,
    LeadId,
    QueueId,
    SystemPause,
)
from engine.store.errors import StoreError
from engine.store.rows import StoredSession

log = logging.getLogger(__name__)

#: Commands of one browser under way at once; a person has two hands.
COMMANDS_IN_FLIGHT_MAX: Final = 8
#: Sockets of one desk: tabs of a browser that has no shared worker.
SOCKETS_PER_DESK_MAX: Final = 12
HELLO_WITHIN_S: Final = 10
LOOK_AGAIN_S: Final = 0.5
#: The floor is looked at at most this often.
FLOOR_EVERY_MS: Final = 1_000
PROBLEMS_EVERY_MS: Final = 1_000
#: Desks hear of longer or shorter queues at most this often, all of them together.
QUEUES_EVERY_MS: Final = 1_000
#: An agent whose desk nobody has shown for this long gets no new calls: a card would open before nobody.
LOST_DESK_AFTER_MS: Final = 15_000

_DESK: Final = "desk:"


class Board:
    """What the engine last said: agents, calls, campaigns, and what is wrong."""

    def __init__(self) -> None:
        self.agents: dict[AgentId, Agent] = {}
        self.attempts: dict[AttemptId, Attempt] = {}
        self.dialing: dict[CampaignId, DialingChanged] = {}
        self.switch_problem = ""
        self.store_problem = ""

    def read(self, engine: Engine) -> None:
        """Start anew from a snapshot."""
        view = engine.snapshot()
        self.agents = {agent.id: agent for agent in view.agents}
        self.attempts = {attempt.id: attempt for attempt in view.attempts}
        self.dialing = {said.campaign: said for said in view.dialing}
        self.switch_problem, self.store_problem = view.switch_problem, view.store_problem

    def apply(self, notice: Notice) -> AgentId | None:
        """Take a notice in; returns whose desk it concerns."""
        match notice:
            case AgentChanged(agent):
                before = self.agents.get(agent.id)
                self.agents[agent.id] = agent
                if before is not None and before.attempt != agent.attempt:
                    self._drop_if_over(before.attempt)
                return agent.id
            case ScreenPop(agent_id, attempt):
                self.attempts[attempt.id] = attempt
                return agent_id
            case AttemptChanged(attempt):
                self.attempts[attempt.id] = attempt
                self._drop_if_over(attempt.id)
                return attempt.agent
            case DialingChanged():
                self.dialing[notice.campaign] = notice
                return None
            case CommandDone():
                return None

    def waiting(self) -> Counter[QueueId]:
        """How many callers wait in each queue, and nobody has been promised to them yet."""
        return Counter(
            attempt.queue
            for attempt in self.attempts.values()
            if attempt.queue is not None and attempt.state is CustomerState.WAITING and attempt.agent is None
        )

    def holder(self, attempt: AttemptId) -> AgentId | None:
        """The agent who has this conversation, also when it is over and lacks a disposition."""
        return next((agent.id for agent in self.agents.values() if agent.attempt == attempt), None)

    def _drop_if_over(self, attempt: AttemptId | None) -> None:
        # An ended call is of interest as long as somebody's desk shows it.
        if attempt is None:
            return
        known = self.attempts.get(attempt)
        if known is not None and known.state is CustomerState.ENDED and self.holder(attempt) is None:
            del self.attempts[attempt]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Who talks over a socket: which channel they read, and what their commands do."""

    session: StoredSession
    key: str
    make: Callable[[], Channel]
    command: Callable[[Do], Awaitable[str]]  # "" or the reason why not
    explain: Callable[[str], str]  # a reason in the reader's words


@dataclass(eq=False, slots=True)
class Socket:
    """One browser's connection."""

    ws: web.WebSocketResponse
    session: StoredSession
    browser: str = ""
    channel: Channel | None = None
    outbox: Outbox = field(default_factory=Outbox)
    waiting: asyncio.Event = field(default_factory=asyncio.Event)
    closing: tuple[Close, str] | None = None

    def put(self, frame: str) -> None:
        """Send a frame when the browser takes it; a browser that does not is closed."""
        try:
            self.outbox.put(frame)
        except Overflow:
            self.close(Close.OVERFLOW, "too slow")
        self.waiting.set()

    def close(self, code: Close, reason: str) -> None:
        """End the connection after what already waits."""
        self.closing = self.closing or (code, reason)
        self.waiting.set()


class Channel(ABC):
    """A feed, who reads it, and how it is brought up to date."""

    def __init__(self, feed: Feed, build: str, clock: Clock) -> None:
        self.feed = feed
        self.sockets: set[Socket] = set()
        self.task: asyncio.Task[None] | None = None
        self._build = build
        self._clock = clock
        self._refreshing = asyncio.Lock()
        self._dirty = asyncio.Event()
        self._dirty.set()

    @abstractmethod
    async def look(self) -> Mapping[str, Mapping[str, object]]:
        """The frames (type → content) that bring a reader of all former frames up to date."""

    @abstractmethod
    def whole(self) -> Mapping[str, object]:
        """The content of a snapshot, as of the last look."""

    def touch(self) -> None:
        """Something may have changed."""
        self._dirty.set()

    def shows(self, lead: LeadId) -> bool:
        """Whether it shows this client now."""
        return False

    def queues_changed(self) -> None:
        """More or fewer callers wait than a moment ago."""
        return

    def publish(self, kind: str, content: Mapping[str, object]) -> None:
        """A frame to all readers."""
        frame = self.feed.publish(kind, now=self._clock.now_ms(), **content)
        for socket in list(self.sockets):
            socket.put(frame)

    def stale(self) -> None:
        """What it has read of the store has changed."""
        self.touch()

    async def refresh(self) -> None:
        """Publish what changed."""
        async with self._refreshing:
            self._dirty.clear()
            try:
                changes = await self.look()
            except Exception:
                self._dirty.set()
                raise
            for kind, content in changes.items():
                self.publish(kind, content)

    async def run(self) -> None:
        """Stay up to date while somebody reads. A failed look is tried again, it must not silence the desk."""
        while True:
            await self._dirty.wait()
            if not self.sockets:
                self._dirty.clear()
                return
            await self._try_refresh()
            await self.rest()

    async def _try_refresh(self) -> None:
        try:
            await self.refresh()
        except StoreError as error:
            # Theirs: what is on screen stays, the banner of the store's problem comes with the next look.
            log.warning("look_failed", extra={"action": "look", "feed": self.feed.name, "error": str(error)})
            await asyncio.sleep(LOOK_AGAIN_S)
        except Exception:
            # Ours, but one desk's bug must not end the desks of the others.
            log.exception("look_broken", extra={"action": "look", "feed": self.feed.name})
            await asyncio.sleep(LOOK_AGAIN_S)

    async def rest(self) -> None:
        """The pause between two looks: none, unless a channel can wait."""
        await asyncio.sleep(0)

    async def greet(self, socket: Socket, hello: Hello) -> None:
        """Bring a new reader up to date: what it missed, or everything."""
        await self._try_refresh()
        async with self._refreshing:
            self.sockets.add(socket)
            now_ms = self._clock.now_ms()
            socket.put(self.feed.frame("welcome", desk=self.feed.name, build=self._build, now=now_ms))
            missed = self.feed.missed(hello)
            snapshot = [self.feed.frame("snapshot", now=now_ms, **self.whole())] if missed is None else missed
            for frame in snapshot:
                socket.put(frame)


class Live:
    """Owns the board, the channels and the sockets."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self.board = Board()
        self.ready = asyncio.Event()
        self._engine = engine
        self._clock = clock
        self._channels: dict[str, Channel] = {}
        self._dialing_said = False
        self.waiting: Counter[QueueId] = Counter()  # callers, as the desks have last been told
        self._group: asyncio.TaskGroup | None = None
        self._open: set[Socket] = set()
        self._deserted: dict[AgentId, int] = {}  # desks whose last window went, and when
        #: Feeds of another start of the server have another name, so their numbers cannot fit by chance.
        self.epoch = secrets.token_hex(4)
        self._numbers = itertools.count(1)

    def next_number(self) -> int:
        """A number of a feed."""
        return next(self._numbers)

    async def run(self) -> None:
        """Read notices until cancelled; an overflow starts anew from a snapshot."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            group.create_task(self._watch_problems(), name="live-problems")
            group.create_task(self._watch_queues(), name="live-queues")
            while True:
                with contextlib.suppress(SubscriptionOverflow):
                    await self._read()
                self.ready.clear()

    async def _read(self) -> None:
        async with self._engine.subscribe() as notices:
            self.board.read(self._engine)
            self.ready.set()
            self._touch(self._channels.values())
            async for notice in notices:
                agent = self.board.apply(notice)
                self._dialing_said |= isinstance(notice, DialingChanged)
                desk = self._channels.get(desk_key(agent)) if agent is not None else None
                floors = [channel for key, channel in self._channels.items() if key.startswith("floor:")]
                self._touch(floors if desk is None else [desk, *floors])

    async def _watch_problems(self) -> None:
        """No notice tells that the switch or the store is lost; and desks learn in calm why no calls come."""
        while True:
            await asyncio.sleep(PROBLEMS_EVERY_MS / 1000)
            view = self._engine.snapshot()
            if (view.switch_problem, view.store_problem) != (self.board.switch_problem, self.board.store_problem):
                self.board.switch_problem, self.board.store_problem = view.switch_problem, view.store_problem
                self.touch_all()
            if self._dialing_said:
                self._dialing_said = False
                waiting = [agent.id for agent in self.board.agents.values() if agent.state is AgentState.READY]
                self._touch(desk for agent in waiting if (desk := self.find(desk_key(agent))) is not None)
            await self._pause_deserted()

    async def _watch_queues(self) -> None:
        """Tell all desks of the queues, also those in a conversation; a notice for each caller would be too much."""
        while True:
            await asyncio.sleep(QUEUES_EVERY_MS / 1000)
            waiting = self.board.waiting()
            if waiting != self.waiting:
                self.waiting = waiting
                for channel in list(self._channels.values()):
                    channel.queues_changed()
                    await asyncio.sleep(0)  # a card that pops does not wait for hundreds of desks

    async def _pause_deserted(self) -> None:
        """Whose last window went, and who is not in a call, is paused: the phone alone shows no card."""
        now_ms = self._clock.now_ms()
        for agent, left_ms in list(self._deserted.items()):
            known = self.board.agents.get(agent)
            waits = known is not None and known.state in (AgentState.READY, AgentState.PREVIEW)
            if now_ms - left_ms < LOST_DESK_AFTER_MS or not waits:
                continue
            command = CommandId(f"desk:{self.epoch}-{self.next_number()}")
            pause = AgentPause(command=command, by="desk", agent=agent, reason=SystemPause.LOST_DESK)
            with contextlib.suppress(TimeoutError):  # not on disk yet: asked again in a second
                await self._engine.do(pause)

    def channel(self, key: str, make: Callable[[], Channel]) -> Channel:
        """The channel of that key, made when there is none."""
        if key not in self._channels:
            self._channels[key] = make()
        return self._channels[key]

    def find(self, key: str) -> Channel | None:
        """The channel of that key, if somebody ever read it."""
        return self._channels.get(key)

    def ordered(self, lead: LeadId) -> None:
        """A client's orders have changed: whoever looks at them sees it."""
        for channel in self._channels.values():
            if channel.shows(lead):
                channel.stale()

    def touch_all(self) -> None:
        """Something that no notice tells of has changed."""
        self._touch(self._channels.values())

    def forget(self, key: str) -> None:
        """Make the channel anew: language or rights changed."""
        channel = self._channels.pop(key, None)
        if channel is None:
            return
        if channel.task is not None:
            channel.task.cancel()
        for socket in channel.sockets:
            socket.close(Close.RESTART, "changed")

    def sign_out(self, sessions: Iterable[str]) -> None:
        """Close the sockets of these sessions."""
        ended = set(sessions)
        for socket in self._open:
            if socket.session.token_hash in ended:
                socket.close(Close.SIGNED_OUT, "signed out")

    def sign_out_user(self, login: str) -> None:
        """Close all sockets of this user."""
        self.sign_out(socket.session.token_hash for socket in self._open if socket.session.user.login == login)

    def desk_readers(self, agent: AgentId) -> int:
        """How many browsers show this agent's desk."""
        channel = self._channels.get(desk_key(agent))
        return len(channel.sockets) if channel else 0

    async def shut(self) -> None:
        """Send everybody away; they come back when we are back."""
        for socket in self._open:
            socket.close(Close.RESTART, "restart")
        await asyncio.gather(
            *(socket.ws.close(code=WSCloseCode.SERVICE_RESTART, message=b"restart") for socket in list(self._open))
        )

    async def serve(self, ws: web.WebSocketResponse, reader: Reader) -> None:
        """Talk to one browser until it leaves."""
        socket = Socket(ws, reader.session)
        self._open.add(socket)
        channel: Channel | None = None
        try:
            async with asyncio.TaskGroup() as group:
                sender = group.create_task(self._send(socket), name="live-send")
                pinger = group.create_task(self._ping(socket), name="live-ping")
                channel = await self._listen(socket, reader, group)
                pinger.cancel()
                if socket.closing is None:
                    sender.cancel()
        finally:
            self._open.discard(socket)
            if channel is not None:
                channel.sockets.discard(socket)
                if not channel.sockets and reader.key.startswith(_DESK):
                    self._deserted[AgentId(reader.key.removeprefix(_DESK))] = self._clock.now_ms()

    async def _listen(self, socket: Socket, reader: Reader, group: asyncio.TaskGroup) -> Channel | None:
        channel: Channel | None = None
        under_way: set[asyncio.Task[None]] = set()
        try:
            while True:
                within_s = HELLO_WITHIN_S if channel is None else DEAD_AFTER_MS / 1000
                message = await asyncio.wait_for(socket.ws.receive(), within_s)
                if message.type is not WSMsgType.TEXT:
                    return channel
                said = read_message(message.data)
                if isinstance(said, Hello):
                    channel = await self._welcome(socket, reader, said)
                elif isinstance(said, Do) and channel is not None:
                    if len(under_way) >= COMMANDS_IN_FLIGHT_MAX:
                        self._answer(socket, reader, said, "busy")
                        continue
                    task = group.create_task(self._do(socket, reader, said), name=f"live-do-{said.verb}")
                    under_way.add(task)
                    task.add_done_callback(under_way.discard)
        except BadMessage as error:
            socket.close(Close.BAD_MESSAGE, str(error))
        except TimeoutError:
            await socket.ws.close()
        return channel

    async def _welcome(self, socket: Socket, reader: Reader, hello: Hello) -> Channel:
        await self.ready.wait()
        channel = self.channel(reader.key, reader.make)
        socket.browser, socket.channel = hello.browser, channel
        if reader.key.startswith(_DESK) and not _may_sit_down(channel, socket, hello.take):
            socket.put(channel.feed.frame("bye", reason="occupied"))
            socket.close(Close.OCCUPIED, "occupied")
            return channel
        await channel.greet(socket, hello)
        if reader.key.startswith(_DESK):
            self._deserted.pop(AgentId(reader.key.removeprefix(_DESK)), None)
        if self._group is not None and (channel.task is None or channel.task.done()):
            channel.task = self._group.create_task(channel.run(), name=f"live-{reader.key}")
        return channel

    async def _do(self, socket: Socket, reader: Reader, said: Do) -> None:
        self._answer(socket, reader, said, await reader.command(said))

    def _answer(self, socket: Socket, reader: Reader, said: Do, refusal: str) -> None:
        if socket.channel is None:
            return
        about = {"id": said.id, "verb": said.verb, "now": self._clock.now_ms()}
        if refusal:
            socket.put(socket.channel.feed.frame("nack", **about, reason=refusal, words=reader.explain(refusal)))
        else:
            socket.put(socket.channel.feed.frame("ack", **about))

    async def _send(self, socket: Socket) -> None:
        while True:
            await socket.waiting.wait()
            socket.waiting.clear()
            while (frame := socket.outbox.take()) is not None:
                try:
                    await socket.ws.send_str(frame)
                except ConnectionError:
                    return  # The browser left; the reader sees it too and ends the talk.
            if socket.closing is not None:
                code, reason = socket.closing
                await socket.ws.close(code=code, message=reason.encode()[:100])
                return

    async def _ping(self, socket: Socket) -> None:
        while True:
            await asyncio.sleep(PING_EVERY_MS / 1000)
            if socket.channel is not None:
                socket.put(socket.channel.feed.frame("ping", now=self._clock.now_ms()))

    @staticmethod
    def _touch(channels: Iterable[Channel]) -> None:
        for channel in channels:
            channel.touch()


def is_from_our_page(request: web.Request) -> bool:
    """Whether a socket's upgrade comes from our own page: browsers send no preflight for sockets."""
    return own_origin(request.headers, request.host)


async def open_socket(request: web.Request) -> web.WebSocketResponse:
    """The socket, opened."""
    ws = web.WebSocketResponse(max_msg_size=MESSAGE_BYTES_MAX, compress=False)
    await ws.prepare(request)
    return ws


def desk_key(agent: AgentId) -> str:
    """The key of an agent's desk."""
    return f"{_DESK}{agent}"


def _may_sit_down(channel: Channel, socket: Socket, take: bool) -> bool:
    """One computer has the desk. Another one asks its person first; then the former is told and may take it back."""
    others = [other for other in channel.sockets if other.browser != socket.browser]
    if others and not take:
        return False
    for other in others:
        channel.sockets.discard(other)
        other.put(channel.feed.frame("bye", reason="taken"))
        other.close(Close.TAKEN_OVER, "taken over")
    while len(channel.sockets) >= SOCKETS_PER_DESK_MAX:
        channel.sockets.pop().close(Close.OVERFLOW, "too many tabs")
    return True
