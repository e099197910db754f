"""Answering-machine detection: who is screened, and how often "machine" was said of a person.

A share of the calls judged a machine is put through to agents all the same; what they say of them is the measure. Its
confidence interval is exact for small samples too (Clopper and Pearson, Biometrika 26 (1934), 404-413). Once the whole
interval lies above the limit, detection is off until its supervisor counts anew (`AmdPolicy.since_ms`).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from engine.core.model import AmdPolicy, AttemptId

#: Checked calls that are remembered; the oldest give way.
SAMPLES_MAX: Final = 1_000
#: Before anything is measured, persons are taken to be misjudged as often as the limit allows; worth so many checks.
PRIOR_CHECKS: Final = 20
#: From a verdict to the end of the wait: what an agent still needs, or the switch to bring the customer back.
VERDICT_SLACK_MS: Final = 200
_STEPS_MAX: Final = 200
_CLOSE: Final = 1e-12
_TINY: Final = 1e-300


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A call judged a machine that an agent took all the same."""

    attempt: AttemptId
    at_ms: int
    person: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """How often "machine" was said of a person: `persons` of `checked`, and where the true share lies (0…1)."""

    checked: int
    persons: int
    low: float
    high: float
    off: bool  # above the limit, by all likelihood


class Detection:
    """One campaign's answering-machine detection."""

    def __init__(self, policy: AmdPolicy) -> None:
        self.policy = policy
        self._checked: OrderedDict[AttemptId, Checked] = OrderedDict()
        self.measured = self._measure()

    @property
    def on(self) -> bool:
        """Whether who answers is screened."""
        return self.policy.enabled and not self.measured.off

    @property
    def misjudged_share(self) -> float:
        """The share of "machine" verdicts that the abandonment budget takes for persons."""
        persons = self.measured.persons + PRIOR_CHECKS * self.policy.false_positives_max
        return persons / (self.measured.checked + PRIOR_CHECKS)

    def obey(self, policy: AmdPolicy) -> None:
        """Measure by another policy from now on."""
        self.policy = policy
        self.measured = self._measure()

    def restore(self, checked: Iterable[Checked]) -> None:
        """What agents have said so far, oldest first."""
        self._checked = OrderedDict((one.attempt, one) for one in checked)
        self.measured = self._measure()

    def check(self, checked: Checked) -> bool:
        """An agent says what a call judged a machine was, or corrects it; True when that switches detection off."""
        was_on = self.on
        self._checked[checked.attempt] = checked
        while len(self._checked) > SAMPLES_MAX:
            self._checked.popitem(last=False)
        self.measured = self._measure()
        return was_on and not self.on

    def _measure(self) -> Measured:
        counted = [one for one in self._checked.values() if one.at_ms >= self.policy.since_ms]
        persons = sum(one.person for one in counted)
        low, high = interval(persons, len(counted), self.policy.confidence)
        return Measured(
            checked=len(counted), persons=persons, low=low, high=high, off=low > self.policy.false_positives_max
        )


def interval(hits: int, trials: int, confidence: float) -> tuple[float, float]:
    """Clopper-Pearson's two-sided interval for the chance of a hit: (low, high), shares; (0, 1) without trials."""
    if not 0 <= hits <= trials:
        raise ValueError(f"{hits} hits of {trials} trials")
    if not trials:
        return 0.0, 1.0
    tail = (1.0 - confidence) / 2.0
    low = 0.0 if hits == 0 else _beta_quantile(tail, hits, trials - hits + 1)
    high = 1.0 if hits == trials else _beta_quantile(1.0 - tail, hits + 1, trials - hits)
    return low, high


def _beta_quantile(p: float, a: float, b: float) -> float:
    low, high = 0.0, 1.0
    while high - low > 1e-9:
        middle = (low + high) / 2.0
        low, high = (middle, high) if _beta_cdf(middle, a, b) < p else (low, middle)
    return (low + high) / 2.0


def _beta_cdf(x: float, a: float, b: float) -> float:
    """The regularized incomplete beta function, by its continued fraction (DLMF 8.17.22) after Lentz."""
    if x <= 0.0 or x >= 1.0:
        return float(x >= 1.0)
    if x > (a + 1.0) / (a + b + 2.0):  # there the fraction converges slowly
        return 1.0 - _beta_cdf(1.0 - x, b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    c, d = 1.0, 1.0 / _not_zero(1.0 - (a + b) * x / (a + 1.0))
    fraction = d
    for m in range(1, _STEPS_MAX):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1.0 / _not_zero(1.0 + term * d)
            c = _not_zero(1.0 + term / c)
            fraction *= c * d
        if abs(c * d - 1.0) < _CLOSE:
            break
    return front * fraction / a


def _not_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
