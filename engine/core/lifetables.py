"""Life tables: how long things last, learned from how long they have lasted.

A table holds, per bin of age, how many ended there and from which cause, decayed to an effective memory. The hazard of
a bin is `(ends + weight·prior) / (at risk + weight)`; what has not ended yet is at risk up to its present age
(censored), so a table is right even while most calls are still ringing. Source: actuarial (life-table) estimator with
competing risks, see Kalbfleisch and Prentice, *The Statistical Analysis of Failure Time Data*, ch. 1 and 8.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import ItemsView, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from operator import mul, sub
from typing import Any

MEMORY_PER_ONGOING = 5.0  # a large floor can afford to remember more, and needs to: its errors do not average out


class AgeBins:
    """Bins of age in whole seconds: `bin_of[seconds]`, edges, and a last bin that never ends."""

    __slots__ = ("bin_of", "count", "edges_ms", "edges_s", "last_s")

    def __init__(self, edges_s: Sequence[int]) -> None:
        """`edges_s`: where bins start, from 0; the last edge starts the bin without end."""
        assert edges_s[0] == 0, "ages start at 0"
        self.edges_s = tuple(edges_s)
        self.edges_ms = tuple(1000 * edge for edge in edges_s)
        self.count = len(self.edges_s)
        self.last_s = self.edges_s[-1]
        self.bin_of: list[int] = []
        for index in range(self.count - 1):
            self.bin_of += [index] * (self.edges_s[index + 1] - self.edges_s[index])
        self.bin_of.append(self.count - 1)

    @classmethod
    def even(cls, count: int) -> AgeBins:
        """One second each."""
        return cls(range(count))

    @classmethod
    def geometric(cls, *, until_s: int, growth: float, least_s: int) -> AgeBins:
        """Each bin `growth` of its age wide, at least `least_s`."""
        edges = [0]
        while edges[-1] < until_s:
            edges.append(edges[-1] + max(least_s, round(edges[-1] * growth)))
        return cls(edges)

    def bin(self, age_ms: int) -> int:
        """The bin of an age."""
        seconds = age_ms // 1000
        return self.bin_of[seconds if seconds < self.last_s else self.last_s] if seconds > 0 else 0


class Stage:
    """Who is in it since when, also in order of time, so that ages are counted by bins and not one by one."""

    __slots__ = ("_since_ms", "_times_ms")

    def __init__(self, since_ms: Mapping[str, int] | None = None) -> None:
        self._since_ms = dict(since_ms or {})
        self._times_ms = sorted(self._since_ms.values())

    def __len__(self) -> int:
        return len(self._times_ms)

    def __contains__(self, who: str) -> bool:
        return who in self._since_ms

    def __getitem__(self, who: str) -> int:
        return self._since_ms[who]

    def items(self) -> ItemsView[str, int]:
        """Who, and since when."""
        return self._since_ms.items()

    def latest_first(self) -> Iterator[tuple[str, int]]:
        """Who, and since when; those who came last first."""
        return reversed(self._since_ms.items())

    def add(self, who: str, at_ms: int) -> None:
        """Comes in."""
        self.pop(who)
        self._since_ms[who] = at_ms
        insort(self._times_ms, at_ms)

    def pop(self, who: str) -> int | None:
        """Goes out; returns since when it was in, None if it was not."""
        at_ms = self._since_ms.pop(who, None)
        if at_ms is not None:
            del self._times_ms[bisect_left(self._times_ms, at_ms)]
        return at_ms

    def ages(self, now_ms: int, bins: AgeBins) -> dict[int, int]:
        """How many there are of each bin of age, the youngest first; empty bins are left out."""
        times = self._times_ms
        if not times:
            return {}
        reached = [bisect_right(times, now_ms - edge) for edge in bins.edges_ms[1 : bins.bin(now_ms - times[0]) + 1]]
        counts = map(sub, [len(times), *reached], [*reached, 0])
        return {age: count for age, count in enumerate(counts) if count}


class LifeTable:
    """Ends by bin of age and cause, with a prior and a memory measured in ends."""

    __slots__ = ("_fresh", "_memory", "_prior_weight", "_priors", "bins", "ends")

    def __init__(self, bins: AgeBins, prior: Sequence[Sequence[float]], *, prior_weight: float, memory: float) -> None:
        """`prior[cause][bin]`: probability to end there if the bin is reached. `prior_weight`: ends it counts for."""
        assert all(len(row) == bins.count for row in prior), "one prior per bin and cause"
        self.bins = bins
        self.ends = [[0.0] * bins.count for _ in prior]
        self._priors = [[prior_weight * chance for chance in row] for row in prior]
        self._prior_weight = prior_weight
        self._memory = memory
        self._fresh = 0

    @property
    def fresh(self) -> int:
        """Ends noted since `hazards` was last asked."""
        return self._fresh

    def note(self, cause: int, age_ms: int) -> None:
        """Something ended at this age."""
        self.ends[cause][self.bins.bin(age_ms)] += 1.0
        self._fresh += 1

    def share(self, cause: int) -> float:
        """Share of all ends that had this cause, with one end's worth of doubt towards 0."""
        return sum(self.ends[cause]) / (1.0 + sum(map(sum, self.ends)))

    def hazards(self, ongoing: Mapping[int, int]) -> list[list[float]]:
        """Probability per cause and bin to end in the bin if it is reached.

        `ongoing`: how many have not ended yet, by the bin of their present age. Forgets a little: decay is per end.
        """
        memory = max(self._memory, MEMORY_PER_ONGOING * sum(ongoing.values()))
        keep = (1.0 - 1.0 / memory) ** self._fresh
        self._fresh = 0
        if keep < 1.0:
            self.ends = [[count * keep for count in row] for row in self.ends]
        totals = [sum(column) for column in zip(*self.ends, strict=True)]
        # Once ends are forgotten as fast as they come, an ongoing one stands for each one forgotten: to count those
        # as at risk all the same would make every hazard too small by (their number) / memory.
        unsettled = max(0.0, 1.0 - sum(totals) / memory)
        weight, at_risk = self._prior_weight, 0.0
        reached = []
        for index in range(self.bins.count - 1, -1, -1):
            here = unsettled * ongoing.get(index, 0)
            reached.append(at_risk + totals[index] + 0.5 * here + weight)
            at_risk += totals[index] + here
        reached.reverse()
        return [
            [(count + prior) / risk for count, prior, risk in zip(row, priors, reached, strict=True)]
            for row, priors in zip(self.ends, self._priors, strict=True)
        ]

    def export(self) -> list[list[float]]:
        """Plain numbers for `restore`."""
        return [[round(count, 3) for count in row] for row in self.ends]

    def restore(self, ends: Any) -> None:
        """Take over exported counts; raises ValueError when they do not fit this table."""
        rows = [[float(count) for count in row] for row in ends]
        if len(rows) != len(self.ends) or any(len(row) != self.bins.count for row in rows):
            raise ValueError(f"a life table needs {len(self.ends)} causes × {self.bins.count} bins")
        if any(not 0 <= count < math.inf for row in rows for count in row):
            raise ValueError("counts in a life table are finite and not negative")
        self.ends = rows


class Survival:
    """Survival of one stage, all causes together: the rate is the same all through a bin."""

    __slots__ = ("_from_half", "_from_whole", "_half", "_stays", "_widths")

    def __init__(self, bins: AgeBins, hazards: Sequence[float]) -> None:
        widths = [b - a for a, b in pairwise(bins.edges_s)]
        # The last bin has no end: give it the rate of as wide a bin as the one before it, and a day.
        stays = [(1.0 - min(h, 0.999)) ** (1.0 / w) for h, w in zip(hazards, [*widths, widths[-1]], strict=True)]
        self._half = math.sqrt(stays[0])
        #: What is still to be spelled out below: seconds, and the chance to last each; the next bin is the last.
        self._widths = [*widths, 86_400][::-1]
        self._stays = [*stays, stays[-1]][::-1]
        #: Chance to last one second more, by the second it starts from, and by the one that it starts half a second in.
        self._from_whole: list[float] = []
        self._from_half: list[float] = []

    def alive(self, age_s: float, ahead_s: int) -> list[float]:
        """P(lasts 0, 1 … `ahead_s` seconds more | has lasted `age_s`, a whole number of half seconds)."""
        start = int(age_s)
        self._spell_out(start + ahead_s)
        factors = self._from_whole if age_s == start else self._from_half
        return list(accumulate(factors[start : start + ahead_s], mul, initial=1.0))

    def alive_halfway(self, ahead_s: int) -> list[float]:
        """P(lasts half a second, one and a half … of the first `ahead_s`), from the beginning."""
        self._spell_out(ahead_s)
        return list(accumulate(self._from_half[: ahead_s - 1], mul, initial=self._half))

    def _spell_out(self, until_s: int) -> None:
        while len(self._from_whole) < until_s:
            width, stay = self._widths.pop(), self._stays.pop()
            self._from_whole += [stay] * width
            self._from_half += [stay] * (width - 1) + [math.sqrt(stay * self._stays[-1])]
