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


class NothingLeftToHappen(Exception):
    """All tasks wait and no timer is armed."""


class _NoSelector:
    """In the place of a selector, for what the base loop still asks of one: there are no sockets here."""

    def select(self, timeout_s: float | None) -> list[Any]:
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop without sockets, threads or real time; for `asyncio.Runner(loop_factory=VirtualLoop)`."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.turns = 0  # callbacks carried out: between two of them lies an await of some task
        self.failures: list[Exception] = []  # of callbacks, which have no task to tell
        self._places = 0
        self._armed: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._traps: list[tuple[int, int, Callable[[], object]]] = []
        self._selector = _NoSelector()
        self._clock_resolution = RESOLUTION_S
        self._ready: deque[asyncio.Handle]
        self._stopping: bool

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self.now_s

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As the loop's own, but first set is first fired."""
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self._places += 1
        heapq.heappush(self._armed, (when, self._places, timer))
        return timer

    def after_turns(self, turns: int, callback: Callable[[], object]) -> None:
        """Call back between two callbacks, so many of them from now: at any await, also at one that takes no time."""
        self._places += 1
        heapq.heappush(self._traps, (self.turns + turns, self._places, callback))

    def close(self) -> None:
        """As the loop's own."""
        self._armed.clear()
        super().close()

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep what a callback raised, for `run`."""
        failure = context.get("exception")
        if "handle" in context and isinstance(failure, Exception):
            self.failures.append(failure)
        else:
            super().call_exception_handler(context)

    def _run_once(self) -> None:
        """One round as of the base loop: what is due joins what is ready; what was ready then is carried out.

        The base's own round costs as much as an average callback; hours of shift are made of millions.
        """
        ready, armed = self._ready, self._armed
        while armed and armed[0][2].cancelled():
            heapq.heappop(armed)
        if not ready and not self._stopping:
            if not armed:
                raise NothingLeftToHappen("all tasks wait and no timer is armed")
            self.now_s = max(self.now_s, armed[0][0])
        due_s = self.now_s + RESOLUTION_S
        while armed and armed[0][0] <= due_s:
            timer = heapq.heappop(armed)[2]
            if not timer.cancelled():
                ready.append(timer)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()  # noqa: SLF001 - as BaseEventLoop._run_once does
                self.turns += 1
                while self._traps and self._traps[0][0] <= self.turns:
                    heapq.heappop(self._traps)[2]()

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers leave when their time comes."""

    def _process_events(self, event_list: list[Any]) -> None:
        """No sockets, no events of theirs."""

    def _write_to_self(self) -> None:
        """No threads, nobody to wake."""


class VirtualClock:
    """The engine's clock on a virtual loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, base_ms: int) -> None:
        self._loop = loop
        self.base_ms = base_ms  # moved between two lives of the engine: a stepped system clock

    def now_ms(self) -> int:
        """The time now."""
        return self.base_ms + int(self._loop.time() * 1000 + 1e-6)

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
