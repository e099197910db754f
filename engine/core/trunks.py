"""Carrier lines: how many calls the trunks take now, and which trunk takes the next one.

Smooth by construction: `CallRate` keeps the time at which the next call is due, so a quiet minute buys no burst beyond
`burst_calls`. A trunk that refuses us (503, congestion, silence) rests for a while that doubles, is then tried with a
single call, and is trusted again after the first call it accepts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

BACKOFF_MIN_MS = 1_000
BACKOFF_MAX_MS = 60_000
_ROUNDING_MS = 1e-6


class CallRate:
    """Calls-per-second limit (generic cell rate algorithm): evenly spaced, at most `burst_calls` at one instant."""

    __slots__ = ("_burst_ms", "_due_ms", "_gap_ms")

    def __init__(self, *, calls_per_s: float, burst_calls: int = 1) -> None:
        if calls_per_s <= 0 or burst_calls < 1:
            raise ValueError(f"calls per second ({calls_per_s}) and burst ({burst_calls}) must be positive")
        self._gap_ms = 1000.0 / calls_per_s
        self._burst_ms = self._gap_ms * (burst_calls - 1)
        self._due_ms = -math.inf

    def room(self, now_ms: int) -> int:
        """Calls that may go now."""
        ahead_ms = max(self._due_ms - now_ms, 0.0)
        return max(0, math.floor((self._burst_ms - ahead_ms + _ROUNDING_MS) / self._gap_ms) + 1)

    def take(self, now_ms: int, calls: int = 1) -> None:
        """Note that `calls` go now; never more than `room`."""
        assert 0 <= calls <= self.room(now_ms), "more calls than the rate has room for"
        self._due_ms = max(self._due_ms, now_ms) + calls * self._gap_ms

    def next_ms(self, now_ms: int) -> int:
        """The earliest time at which one more call may go."""
        return max(now_ms, math.ceil(self._due_ms - self._burst_ms - _ROUNDING_MS)) if self._due_ms > now_ms else now_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class TrunkLimits:
    """What the carrier sold us. `lines`: calls at once, talking ones included."""

    name: str
    lines: int
    calls_per_s: float
    burst_calls: int = 1


class Trunk:
    """One carrier line group: its lines in use, its call rate, its rest after refusals."""

    __slots__ = ("_rate", "_refusals", "_rests_until_ms", "_trying", "in_use", "limits")

    def __init__(self, limits: TrunkLimits) -> None:
        self.limits = limits
        self.in_use = 0
        self._rate = CallRate(calls_per_s=limits.calls_per_s, burst_calls=limits.burst_calls)
        self._refusals = 0
        self._rests_until_ms = 0
        self._trying = False

    @property
    def refusing(self) -> bool:
        """Whether it has refused calls and not proved well since."""
        return self._refusals > 0

    def room(self, now_ms: int) -> int:
        """Calls that this trunk takes now: 0 while it rests, at most 1 until it has proved well again."""
        if now_ms < self._rests_until_ms or self._trying:
            return 0
        room = min(self.limits.lines - self.in_use, self._rate.room(now_ms))
        return max(0, min(room, 1) if self.refusing else room)

    def take(self, now_ms: int) -> None:
        """A call goes out on this trunk and holds a line until `release`."""
        assert self.room(now_ms) > 0, f"no room on trunk {self.limits.name}"
        self._rate.take(now_ms)
        self._trying = self.refusing
        self.in_use += 1

    def accepted(self) -> None:
        """The carrier took a call (rang, answered, or judged the number): trust it again."""
        self._refusals = 0
        self._trying = False

    def refused(self, now_ms: int) -> None:
        """The carrier itself refused or kept silent. The line is still to be released."""
        if now_ms < self._rests_until_ms:
            return  # Calls already on their way when the rest began say nothing new.
        self._rests_until_ms = now_ms + min(BACKOFF_MAX_MS, BACKOFF_MIN_MS << min(self._refusals, 16))
        self._refusals += 1
        self._trying = False

    def release(self) -> None:
        """A call that held a line has ended, whatever came of it."""
        assert self.in_use > 0, f"released a line that trunk {self.limits.name} did not have in use"
        self.in_use -= 1
        self._trying = False

    def next_ms(self, now_ms: int) -> int:
        """When it is worth asking for room again (lines may free up earlier)."""
        return max(self._rests_until_ms, self._rate.next_ms(now_ms))


class Trunks:
    """Trunks in failover order: the first with room takes the call."""

    __slots__ = ("_by_name",)

    def __init__(self, limits: Iterable[TrunkLimits]) -> None:
        self._by_name = {one.name: Trunk(one) for one in limits}
        if not self._by_name:
            raise ValueError("at least one trunk is needed to place calls")

    def __getitem__(self, name: str) -> Trunk:
        return self._by_name[name]

    def room(self, now_ms: int) -> int:
        """Calls that all trunks together take now."""
        return sum(trunk.room(now_ms) for trunk in self._by_name.values())

    def pick(self, now_ms: int) -> Trunk | None:
        """The trunk for the next call, or None when none has room."""
        return next((trunk for trunk in self._by_name.values() if trunk.room(now_ms) > 0), None)

    def next_ms(self, now_ms: int) -> int:
        """When it is worth asking for room again."""
        return min(trunk.next_ms(now_ms) for trunk in self._by_name.values())
