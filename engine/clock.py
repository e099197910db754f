"""Time as an argument: the only place in the engine that asks what time it is."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Milliseconds UTC that never go back while the process lives."""

    def now_ms(self) -> int:
        """The time now."""


class WallClock:
    """Wall time at start, carried on by the monotonic clock: a stepped system clock moves no timer."""

    def __init__(self) -> None:
        self._base_ms = time.time() * 1000 - time.monotonic() * 1000

    def now_ms(self) -> int:
        """The time now."""
        return int(self._base_ms + time.monotonic() * 1000)
