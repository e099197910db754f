"""Time as an argument: the only place in the engine that asks what time it is."""

from __future__ import annotations

import time
from typing import Final, Protocol

#: A system clock that differs from ours by more was set, or the machine slept; less is its discipline.
STEP_MIN_MS: Final = 2_000


class Clock(Protocol):
    """Milliseconds UTC that never go back while the process lives."""

    def now_ms(self) -> int:
        """The time now."""

    def ahead_ms(self) -> int:
        """How far ahead it is of a system clock that was set back; else 0."""


class WallClock:
    """Wall time carried on by the monotonic clock. Set forward, the system clock is followed: hours are wall time."""

    def __init__(self) -> None:
        self._base_ms = time.time() * 1000 - time.monotonic() * 1000

    def now_ms(self) -> int:
        """The time now."""
        behind_ms = time.time() * 1000 - self._ours_ms()
        if behind_ms > STEP_MIN_MS:
            self._base_ms += behind_ms
        return int(self._ours_ms())

    def ahead_ms(self) -> int:
        """How far ahead it is of a system clock that was set back; else 0."""
        ahead_ms = self._ours_ms() - time.time() * 1000
        return int(ahead_ms) if ahead_ms > STEP_MIN_MS else 0

    def _ours_ms(self) -> float:
        return self._base_ms + time.monotonic() * 1000
