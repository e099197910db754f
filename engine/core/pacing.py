"""Pacing: how many calls to place now, and why that many.

One object per campaign, the same in the engine, the simulator and the judge. It is told what happens (`agent_in`,
`placed`, `human` …, each with its time and id), and asked with `decide`. It never places a call itself, reads no clock,
and remembers only what it was told. What it has learned survives a change of mode, and a restart through `export`.

Ids it does not know are ignored and counted in `strays`: the switch may speak of calls from before a restart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any, ClassVar, Final

from engine.core.budget import AbandonBudget, AbandonRule, AtCeiling, BudgetState
from engine.core.forecast import MACHINE, PERSON, Forecast, Outlook
from engine.core.model import Mode

UNLIMITED: Final = 1_000_000
MOST_AT_ONCE: Final = 1_000
PACE_MS_PER_THING: Final = 0.25
THRESHOLD_MIN, THRESHOLD_MAX = 0.002, 0.15
BIAS_MIN, BIAS_MAX = math.log(0.012), math.log(0.15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manual:
    """Agents dial; nothing is placed for them."""

    mode: ClassVar[Mode] = Mode.MANUAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """Agents see the lead first and start the call themselves."""

    mode: ClassVar[Mode] = Mode.PREVIEW


@dataclass(frozen=True, slots=True, kw_only=True)
class Progressive:
    """One call in flight per ready agent."""

    mode: ClassVar[Mode] = Mode.PROGRESSIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """`calls_per_agent` calls in flight per ready agent; 1:1 at the ceiling."""

    mode: ClassVar[Mode] = Mode.RATIO

    calls_per_agent: float

    def __post_init__(self) -> None:
        if self.calls_per_agent < 1:
            raise ValueError(f"calls per agent must be at least 1, not {self.calls_per_agent}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictive:
    """As many calls as the forecast and the abandonment budget allow."""

    mode: ClassVar[Mode] = Mode.PREDICTIVE

    abandon_share: float | None = None  # what the supervisor aims at; None: all that the rule allows


PacingPolicy = Manual | Preview | Progressive | Ratio | Predictive


class PacingLimit(Enum):
    """What kept a decision from placing one call more."""

    AGENTS_DIAL = auto()  # manual and preview: agents start the calls
    NO_AGENT = auto()  # nobody is logged in, or everyone present is about to leave
    IN_FLIGHT = auto()  # enough calls are on their way for the ready agents
    RISK = auto()  # one call more would more likely find no agent than the budget bears
    OVERDRAWN = auto()  # the budget is overspent: nearly 1:1 until answers have earned it back
    PACED = auto()  # asked again sooner than a new forecast is worth
    CEILING = auto()  # the law's abandonment share is used up
    LINES = auto()  # trunk lines or calls per second


@dataclass(frozen=True, slots=True, kw_only=True)
class PacingDecision:
    """How many calls to place, and everything that was weighed: the answer to "Why 7 calls?"."""

    at_ms: int
    policy: PacingPolicy
    place: int
    limit: PacingLimit
    ready: int
    busy: int
    soon_free: float  # agents expected ready within the forecast's horizon
    dialing: int  # placed, not yet answered
    screening: int  # answered, person or machine not yet known
    waiting: int  # persons on the line without an agent
    expected_answers: float  # persons expected from calls in flight who then hold an agent
    risk: float  # that the last call placed (or, if none, the next) finds no agent
    threshold: float  # the risk that the budget bears now
    room: int  # what trunks take now
    budget: BudgetState


class Pacer:
    """The pacing of one campaign."""

    def __init__(
        self,
        policy: PacingPolicy,
        rule: AbandonRule,
        *,
        ring_timeout_ms: int = 25_000,
        learned: Mapping[str, Any] | None = None,
    ) -> None:
        """`learned`: what `export` gave before the restart. Raises ValueError or KeyError if it is damaged."""
        self.rule = rule
        self.strays = 0
        self.budget = AbandonBudget(rule)
        self._forecast = Forecast(ring_timeout_s=ring_timeout_ms // 1000)
        self._thrift = Thrift()
        self._ready: set[str] = set()
        self._leaving: set[str] = set()
        self._last: PacingDecision | None = None
        if learned is not None:
            self._forecast.restore(learned["forecast"])
            self._thrift.restore(learned["thrift"])
        self.switch(policy)

    # --- policy ------------------------------------------------------------------------------------------------

    @property
    def policy(self) -> PacingPolicy:
        """The policy in force."""
        return self._policy

    def switch(self, policy: PacingPolicy) -> None:
        """Change mode or settings from the next decision on; nothing learned is lost."""
        self._policy = policy
        self.budget.aim(policy.abandon_share if isinstance(policy, Predictive) else None)
        self._last = None

    def export(self) -> dict[str, Any]:
        """What was learned, as plain JSON, for the next start."""
        return {"forecast": self._forecast.export(), "thrift": self._thrift.export()}

    # --- what agents do ----------------------------------------------------------------------------------------

    def agent_in(self, now_ms: int, agent: str) -> None:
        """Logged in or back from a pause: ready."""
        self._ready.add(agent)

    def agent_out(self, now_ms: int, agent: str) -> None:
        """Logged out, paused or lost."""
        self._forecast.wrap_over(now_ms, agent, away=True)
        self._ready.discard(agent)
        self._leaving.discard(agent)

    def agent_leaving(self, now_ms: int, agent: str) -> None:
        """Will pause or log out after the present call: not to be counted on."""
        self._leaving.add(agent)

    def agent_staying(self, now_ms: int, agent: str) -> None:
        """Thought better of it."""
        self._leaving.discard(agent)

    def agent_busy(self, now_ms: int, agent: str, call: str | None = None) -> None:
        """Connected to `call`, or taken by something outside this campaign (None)."""
        self._ready.discard(agent)
        self._forecast.talk_began(now_ms, agent)
        if call is not None:
            self._ended(self._forecast.call_ended(now_ms, call))

    def talk_end(self, now_ms: int, agent: str) -> None:
        """The conversation is over; wrap-up begins."""
        self._forecast.talk_over(now_ms, agent)

    def agent_free(self, now_ms: int, agent: str) -> None:
        """Ready again."""
        self._forecast.wrap_over(now_ms, agent, away=False)
        self._ready.add(agent)

    # --- what calls do -----------------------------------------------------------------------------------------

    def placed(self, now_ms: int, call: str) -> None:
        """A call goes out."""
        self._forecast.dialing[call] = now_ms

    def ringing(self, now_ms: int, call: str) -> None:
        """The phone rings."""
        self._ended(self._forecast.call_rang(now_ms, call))

    def answered(self, now_ms: int, call: str) -> None:
        """The line is up; machine detection, if any, starts."""
        self._ended(self._forecast.call_answered(now_ms, call))

    def human(self, now_ms: int, call: str) -> None:
        """A person (or whatever detection lets through) wants an agent now."""
        self._ended(self._forecast.call_judged(now_ms, call, PERSON))
        self.budget.live_answer(now_ms)
        self._thrift.live_answer(self.budget.state(now_ms), len(self._ready) + self._forecast.busy)

    def machine(self, now_ms: int, call: str) -> None:
        """Judged a machine."""
        self._ended(self._forecast.call_judged(now_ms, call, MACHINE))
        self._ended(self._forecast.call_ended(now_ms, call))
        self.budget.machine(now_ms)

    def failed(self, now_ms: int, call: str) -> None:
        """Busy, invalid, refused, congestion."""
        self._ended(self._forecast.call_ended(now_ms, call))

    def no_answer(self, now_ms: int, call: str) -> None:
        """Rang until the ring timeout."""
        self._ended(self._forecast.call_ended(now_ms, call))

    def abandoned(self, now_ms: int, call: str) -> None:
        """A person who answered got no agent in time."""
        self._ended(self._forecast.call_abandoned(now_ms, call))
        self.budget.abandon(now_ms)

    def gone(self, now_ms: int, call: str) -> None:
        """Ended in any other way: left before the limit, lost with the switch."""
        self._ended(self._forecast.call_ended(now_ms, call))

    def cancelled(self, now_ms: int, call: str) -> None:
        """We hung up while it rang. If it was answered all the same: `human`, then `abandoned`."""
        self._ended(self._forecast.call_ended(now_ms, call, learn=False))

    # --- the decision ------------------------------------------------------------------------------------------

    def decide(self, now_ms: int, *, room: int = UNLIMITED, wanted_elsewhere: int = 0) -> PacingDecision:
        """How many calls to place now.

        `room`: what trunks take now, 0 while anything is unwell. `wanted_elsewhere`: ready agents promised to others
        first (inbound callers in the queue, campaigns of higher rank).
        """
        forecast = self._forecast
        last = self._last if isinstance(self._policy, Predictive) else None  # the others cost nothing to ask
        if last is not None and 0 <= now_ms - last.at_ms < forecast.size * PACE_MS_PER_THING:
            return replace(last, place=0, limit=PacingLimit.PACED)
        forecast.watch_drift(now_ms)
        ready = len(self._ready - self._leaving) if self._leaving else len(self._ready)
        free = max(0, ready - wanted_elsewhere)
        in_flight = len(forecast.dialing) + len(forecast.ringing) + len(forecast.screening)
        budget = self.budget.state(now_ms)
        one_to_one = max(0, free - in_flight - len(forecast.waiting))
        threshold = risk = 0.0
        expected = soon_free = 0.0
        policy = self._policy
        if not self._ready and not forecast.busy:
            place, limit = 0, PacingLimit.NO_AGENT
        elif isinstance(policy, Manual | Preview):
            place, limit = 0, PacingLimit.AGENTS_DIAL
        elif budget.at_ceiling and not (isinstance(policy, Predictive) and self.rule.at_ceiling is AtCeiling.EASE):
            place, limit = one_to_one if self.rule.at_ceiling is not AtCeiling.STOP else 0, PacingLimit.CEILING
        elif isinstance(policy, Predictive):
            outlook = forecast.outlook(now_ms, ready=free, leaving=self._leaving)
            threshold = self._thrift.threshold(budget, self.budget.share, len(self._ready) + forecast.busy)
            place, risk = most_calls(outlook, threshold, most=min(room, MOST_AT_ONCE))
            place, limit = max(place, one_to_one), PacingLimit.RISK if budget.left >= 0 else PacingLimit.OVERDRAWN
            expected, soon_free = outlook.answers[-1], outlook.freed[-1]
        else:
            goal = free * policy.calls_per_agent if isinstance(policy, Ratio) else free
            place, limit = max(0, int(goal) - in_flight - len(forecast.waiting)), PacingLimit.IN_FLIGHT
        if place >= room:
            place, limit = room, PacingLimit.LINES
        self._last = PacingDecision(
            at_ms=now_ms,
            policy=policy,
            place=place,
            limit=limit,
            ready=ready,
            busy=forecast.busy,
            soon_free=soon_free,
            dialing=len(forecast.dialing) + len(forecast.ringing),
            screening=len(forecast.screening),
            waiting=len(forecast.waiting),
            expected_answers=expected,
            risk=risk,
            threshold=threshold,
            room=room,
            budget=budget,
        )
        return self._last

    def _ended(self, known: bool) -> None:
        if not known:
            self.strays += 1


class Thrift:
    """How much risk the budget bears: the threshold for the next call's risk.

    Proportional to the logarithm: the budget left against a goal kept in hand, and a slow integral per live answer.
    """

    __slots__ = ("_bias",)

    def __init__(self) -> None:
        self._bias = math.log(0.035)

    def threshold(self, budget: BudgetState, share: float, agents: int) -> float:
        if budget.left < 0:
            return THRESHOLD_MIN
        gain, margin, goal = _gains(budget.live_answers, share, agents)
        over = min(2 * margin, budget.left - goal)
        return min(THRESHOLD_MAX, max(THRESHOLD_MIN, math.exp(self._bias + gain * over)))

    def live_answer(self, budget: BudgetState, agents: int, share: float = 0.03) -> None:
        gain, margin, goal = _gains(budget.live_answers, share, agents)
        over = max(-2 * margin, min(2 * margin, budget.left - goal))
        self._bias = min(BIAS_MAX, max(BIAS_MIN, self._bias + 0.25 * share * gain * gain * over))

    def export(self) -> float:
        return round(self._bias, 6)

    def restore(self, bias: float) -> None:
        self._bias = min(BIAS_MAX, max(BIAS_MIN, float(bias)))


def _gains(live_answers: float, share: float, agents: int) -> tuple[float, float, float]:
    spread = 1.0 + 0.15 * math.sqrt(agents)
    answers = max(live_answers, 20.0 * agents, 1.0)
    gain = min(0.3, 0.2 * (500.0 / answers) ** (2 / 3) / math.sqrt(spread))
    margin = 2.0 * math.sqrt(spread / (2.0 * gain))
    return gain, margin, min(margin, 0.5 * share * live_answers)


def most_calls(outlook: Outlook, threshold: float, most: int) -> tuple[int, float]:
    """The largest n ≤ `most` whose last call's risk stays within `threshold`, and that risk."""
    risk = outlook.risk(1)
    if most < 1 or risk > threshold:
        return 0, risk
    low, high = 1, 2
    while high <= most and (next_risk := outlook.risk(high)) <= threshold:
        low, risk, high = high, next_risk, high * 2
    high = min(high, most + 1)
    while high - low > 1:
        middle = (low + high) // 2
        next_risk = outlook.risk(middle)
        if next_risk <= threshold:
            low, risk = middle, next_risk
        else:
            high = middle
    return low, risk
