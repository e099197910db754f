"""Timers of the Floor: set by key, moved, cancelled; each fires once into the inbox."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from engine.clock import Clock
from engine.core.effects import CancelTimer, SetTimer
from engine.core.events import TimerFired

#: More timers than calls and agents can need: a leak of ours.
TIMERS_MAX: Final = 100_000


class Timers:
    """Timers on the running loop."""

    def __init__(self, clock: Clock, fire: Callable[[TimerFired], object]) -> None:
        self._clock = clock
        self._fire = fire
        self._armed: dict[tuple[str, str], asyncio.TimerHandle] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def __len__(self) -> int:
        return len(self._armed)

    def apply(self, order: SetTimer | CancelTimer) -> None:
        """Set, move or cancel."""
        armed = self._armed.pop(order.key, None)
        if armed is not None:
            armed.cancel()
        if isinstance(order, SetTimer):
            assert len(self._armed) < TIMERS_MAX
            self._arm(order)

    def close(self) -> None:
        """Cancel all."""
        for handle in self._armed.values():
            handle.cancel()
        self._armed.clear()

    def _arm(self, order: SetTimer) -> None:
        delay_s = max(0, order.at_ms - self._clock.now_ms()) / 1000
        if self._loop is None:
            self._loop = asyncio.get_running_loop()  # a call of the system each time: kept
        self._armed[order.key] = self._loop.call_later(delay_s, self._due, order)

    def _due(self, order: SetTimer) -> None:
        if self._clock.now_ms() < order.at_ms:
            self._arm(order)  # The loop rounds: never early by our clock.
            return
        del self._armed[order.key]
        self._fire(TimerFired(order.key))
