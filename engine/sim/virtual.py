"""An asyncio loop whose time jumps to the next timer when every task waits: hours of shift in seconds.

Equal times fire in the order in which they were set, so the same seed gives the same run. When all tasks wait and no
timer is armed, nothing can ever happen again: that is an error here, where a real loop would hang.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Final, TypeVar

T = TypeVar("T")

#: Two timers closer than this are due together.
RESOLUTION_S: Final = 1e-9
#: Timers, cancelled or not, that are kept without looking through them.
TIDY_MIN: Final = 1_000


class NothingLeftToHappen(Exception):
    """All tasks wait and no timer is armed."""


class _NoSelector:
    """In the place of a selector, for what the base loop still asks of one: there are no sockets here."""

    def select(self, timeout_s: float | None) -> list[Any]:
        return []


class _Call:
    """A callback that waits for its turn, cancelled when it has none any more; what asyncio's own keeps for its
    debugging costs as much as an average callback."""

    __slots__ = ("_when_s", "args", "callback", "context")

    def __init__(
        self, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None, when_s: float = 0.0
    ) -> None:
        self.callback: Callable[..., object] | None = callback
        self.args = args
        self.context = context
        self._when_s = when_s

    def cancel(self) -> None:
        self.callback = None
        self.args = ()

    def cancelled(self) -> bool:
        return self.callback is None

    def when(self) -> float:
        return self._when_s


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop without sockets, threads or real time; for `asyncio.Runner(loop_factory=VirtualLoop)`."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.turns = 0  # callbacks carried out: between two of them lies an await of some task
        self.failures: list[Exception] = []  # of callbacks, which have no task to tell
        self._places = 0
        self._waiting: deque[_Call] = deque()
        self._armed: list[tuple[float, int, _Call]] = []
        self._armed_max = TIDY_MIN
        self._traps: list[tuple[int, int, Callable[[], object]]] = []
        self._selector = _NoSelector()
        self._clock_resolution = RESOLUTION_S
        self._stopping: bool

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self.now_s

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> _Call:
        """As the loop's own."""
        call = _Call(callback, args, context)
        self._waiting.append(call)
        return call

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> _Call:
        """As the loop's own, but first set is first fired."""
        return self.call_at(self.now_s + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> _Call:
        """As the loop's own, but first set is first fired."""
        call = _Call(callback, args, context, when)
        self._places += 1
        heapq.heappush(self._armed, (when, self._places, call))
        if len(self._armed) > self._armed_max:
            self._forget_cancelled()
        return call

    def _forget_cancelled(self) -> None:
        """Most timers are cancelled long before their time; among thousands of them the others cost more."""
        self._armed[:] = [timer for timer in self._armed if timer[2].callback is not None]
        heapq.heapify(self._armed)
        self._armed_max = 2 * len(self._armed) + TIDY_MIN

    def stand_still(self, for_s: float) -> None:
        """Time goes on and nothing happens: a process that was stopped."""
        self.now_s += for_s

    def after_turns(self, turns: int, callback: Callable[[], object]) -> None:
        """Call back between two callbacks, so many of them from now: at any await, also at one that takes no time."""
        self._places += 1
        heapq.heappush(self._traps, (self.turns + turns, self._places, callback))

    def close(self) -> None:
        """As the loop's own."""
        self._armed.clear()
        self._waiting.clear()
        super().close()

    def _run_once(self) -> None:
        """Rounds until somebody stops the loop: what is due joins what waits; what waited then is carried out."""
        waiting, armed, traps = self._waiting, self._armed, self._traps
        while True:
            while armed and armed[0][2].callback is None:
                heapq.heappop(armed)
            if not waiting and not self._stopping:
                if not armed:
                    raise NothingLeftToHappen("all tasks wait and no timer is armed")
                self.now_s = max(self.now_s, armed[0][0])
            due_s = self.now_s + RESOLUTION_S
            while armed and armed[0][0] <= due_s:
                waiting.append(heapq.heappop(armed)[2])
            for _ in range(len(waiting)):
                call = waiting.popleft()
                if call.callback is None:
                    continue
                try:
                    if call.context is None:
                        call.callback(*call.args)
                    else:
                        call.context.run(call.callback, *call.args)
                except Exception as failure:
                    self.failures.append(failure)
                self.turns += 1
                while traps and traps[0][0] <= self.turns:
                    heapq.heappop(traps)[2]()
            if self._stopping:
                return

    def _process_events(self, event_list: list[Any]) -> None:
        """No sockets, no events of theirs."""

    def _write_to_self(self) -> None:
        """No threads, nobody to wake."""


class VirtualClock:
    """The engine's clock on a virtual loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, base_ms: int) -> None:
        self._time = loop.time
        self.base_ms = base_ms  # moved between two lives of the engine: a stepped system clock

    def now_ms(self) -> int:
        """The time now."""
        return self.base_ms + int(self._time() * 1000 + 1e-6)

    def ahead_ms(self) -> int:
        """Never: no system clock is beside it."""
        return 0


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end in virtual time; raises also what a callback raised on the way."""
    loop = VirtualLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        result = runner.run(main)
    if loop.failures:
        raise ExceptionGroup("in callbacks", loop.failures)
    return result
