"""An asyncio loop whose time jumps to the next timer when every task waits: hours of shift in seconds.

Equal times fire in the order in which they were set, so the same seed gives the same run. When all tasks wait and no
timer is armed, nothing can ever happen again: that is an error here, where a real loop would hang.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Final, TypeVar

T = TypeVar("T")

#: Two timers closer than this are due together.
RESOLUTION_S: Final = 1e-9


class NothingLeftToHappen(Exception):
    """All tasks wait and no timer is armed."""


class _Timer(asyncio.TimerHandle):
    """A timer that knows its place among those of the same time."""

    __slots__ = ("place",)

    place: int

    def __lt__(self, other: object) -> bool:
        mine, theirs = self._when, other._when  # type: ignore[attr-defined]
        return mine < theirs or (mine == theirs and self.place < other.place)  # type: ignore[attr-defined,no-any-return]


class _Jump:
    """In the place of a selector: waits by moving the time on."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout_s: float | None) -> list[Any]:
        if timeout_s is None:
            raise NothingLeftToHappen("all tasks wait and no timer is armed")
        self._loop.now_s += timeout_s
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop without sockets, threads or real time; for `asyncio.Runner(loop_factory=VirtualLoop)`."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self._places = 0
        self.failures: list[Exception] = []  # of callbacks, which have no task to tell
        self._selector = _Jump(self)
        self._clock_resolution = RESOLUTION_S
        self._scheduled: list[_Timer]

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self.now_s

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As the loop's own, but first set is first fired."""
        timer = _Timer(when, callback, args, self, context)
        self._places += 1
        timer.place = self._places
        heapq.heappush(self._scheduled, timer)
        timer._scheduled = True  # type: ignore[attr-defined]  # noqa: SLF001 - as BaseEventLoop.call_at does
        return timer

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep what a callback raised, for `run`."""
        failure = context.get("exception")
        if "handle" in context and isinstance(failure, Exception):
            self.failures.append(failure)
        else:
            super().call_exception_handler(context)

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


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end in virtual time; raises also what a callback raised on the way."""
    loop = VirtualLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        result = runner.run(main)
    if loop.failures:
        raise ExceptionGroup("in callbacks", loop.failures)
    return result
