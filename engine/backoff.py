"""How long to wait before a lost link is tried again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """The wait before reconnect number `n`: random below a ceiling that doubles from `base_ms` to `max_ms`."""

    chance: Callable[[], float]  # uniform in [0, 1)
    base_ms: int = 100
    max_ms: int = 5_000

    def wait_ms(self, failures: int) -> int:
        """The wait after so many failures in a row, from 1."""
        ceiling_ms = min(self.max_ms, self.base_ms * 2 ** min(failures - 1, 16))
        return int(ceiling_ms * (0.5 + self.chance() / 2))
