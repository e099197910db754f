"""Life tables: how long things last, learned from how long they have lasted.

A table holds, per bin of age, how many ended there and from which cause, decayed to an effective memory. The hazard of
a bin is `(ends + weight·prior) / (at risk + weight)`; what has not ended yet is at risk up to its present age
(censored), so a table is right even while most calls are still ringing. Source: actuarial (life-table) estimator with
competing risks, see Kalbfleisch and Prentice, *The Statistical Analysis of Failure Time Data*, ch. 1 and 8.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

MEMORY_PER_ONGOING = 5.0  # a large floor can afford to remember more, and needs to: its errors do not average out


class AgeBins:
    """Bins of age in whole seconds: `bin_of[seconds]`, edges, and a last bin that never ends."""

    __slots__ = ("bin_of", "count", "edges_s", "last_s")

    def __init__(self, edges_s: Sequence[int]) -> None:
        """`edges_s`: where bins start, from 0; the last edge starts the bin without end."""
        assert edges_s[0] == 0, "ages start at 0"
        self.edges_s = tuple(edges_s)
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


class LifeTable:
    """Ends by bin of age and cause, with a prior and a memory measured in ends."""

    __slots__ = ("_fresh", "_memory", "_prior", "_prior_weight", "bins", "ends")

    def __init__(self, bins: AgeBins, prior: Sequence[Sequence[float]], *, prior_weight: float, memory: float) -> None:
        """`prior[cause][bin]`: probability to end there if the bin is reached. `prior_weight`: ends it counts for."""
        assert all(len(row) == bins.count for row in prior), "one prior per bin and cause"
        self.bins = bins
        self.ends = [[0.0] * bins.count for _ in prior]
        self._prior = prior
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
        # Once ends are forgotten as fast as they come, an ongoing one stands for each one forgotten: to count those
        # as at risk all the same would make every hazard too small by (their number) / memory.
        unsettled = max(0.0, 1.0 - sum(map(sum, self.ends)) / memory)
        weight, at_risk = self._prior_weight, 0.0
        bins = self.bins.count
        reached = [0.0] * bins
        totals = [sum(column) for column in zip(*self.ends, strict=True)]
        for index in range(bins - 1, -1, -1):
            here = unsettled * ongoing.get(index, 0)
            reached[index] = at_risk + totals[index] + 0.5 * here + weight
            at_risk += totals[index] + here
        return [
            [(count + weight * prior) / risk for count, prior, risk in zip(row, priors, reached, strict=True)]
            for row, priors in zip(self.ends, self._prior, strict=True)
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
    """Survival of one stage, all causes together: hazards joined to a piecewise linear cumulative hazard."""

    __slots__ = ("_at", "_bins", "_slope")

    def __init__(self, bins: AgeBins, hazards: Sequence[float]) -> None:
        edges = bins.edges_s
        self._bins = bins
        rates = [-math.log(1.0 - min(h, 0.999)) for h in hazards]
        widths = [b - a for a, b in pairwise(edges)]
        # The last bin has no end: give it the rate of as wide a bin as the one before it.
        widths.append(widths[-1])
        self._slope = [rate / width for rate, width in zip(rates, widths, strict=True)]
        self._at = [0.0]
        for rate in rates[:-1]:
            self._at.append(self._at[-1] + rate)

    def ended_by(self, age_s: float, ahead_s: Sequence[float]) -> list[float]:
        """P(ends within each of `ahead_s`, in rising order | has lasted `age_s`)."""
        edges, at, slope = self._bins.edges_s, self._at, self._slope
        last = self._bins.count - 1
        index = self._bins.bin(int(age_s * 1000))
        start = at[index] + (age_s - edges[index]) * slope[index]
        ended = []
        for ahead in ahead_s:
            age = age_s + ahead
            while index < last and edges[index + 1] <= age:
                index += 1
            ended.append(1.0 - math.exp(start - at[index] - (age - edges[index]) * slope[index]))
        return ended
