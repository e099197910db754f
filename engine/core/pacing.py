"""Pacing: how many calls to place now, and why that many.

One object per campaign, the same in the engine, the simulator and the judge. It is told what happens (`agent_in`,
`placed`, `human` …, each with its time and id), and asked with `decide`. It never places a call itself, reads no clock,
and remembers only what it was told. What it has learned survives a change of mode, and a restart through `export`.

Ids it does not know are ignored and counted in `strays`: the switch may speak of calls from before a restart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import Any, ClassVar, Final

from engine.core.budget import AbandonBudget, AbandonRule, AtCeiling, BudgetState
from engine.core.forecast import MACHINE, PERSON, Forecast, Outlook
from engine.core.model import Mode
from engine.core.values import replace

UNLIMITED: Final = 1_000_000
MOST_AT_ONCE: Final = 1_000
PACE_MS_PER_THING, PACE_MS_MAX = 1.0, 250.0  # how soon a new look is worth its cost, by calls and agents looked at
THRESHOLD_MIN, THRESHOLD_MAX = 0.002, 0.3
CANCEL_RISK: Final = 0.5  # more likely than not, the person would find nobody
GAIN_SMALL_TEAM, GAIN_LARGE_TEAM, GAIN_ANSWERS_PER_AGENT = 0.2, 0.32, 5.0  # small: up to 10 agents; large: from 20
MARGIN_SIGMAS_MAX: Final = 2.7
USUAL_SHARE: Final = 0.03  # thresholds are for this share allowed; other shares scale them
BIAS_START, BIAS_MIN, BIAS_MAX = math.log(0.035), math.log(0.012), math.log(0.2)


class OnTimeout(StrEnum):
    """What follows a preview whose countdown has ended."""

    DIAL = "dial"
    SKIP = "skip"
    PAUSE = "pause"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manual:
    """Agents dial; nothing is placed for them."""

    mode: ClassVar[Mode] = Mode.MANUAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """Agents see the lead first and start the call themselves."""

    mode: ClassVar[Mode] = Mode.PREVIEW

    countdown_ms: int = 0  # 0: as long as they like
    on_timeout: OnTimeout = OnTimeout.DIAL
    allow_skip: bool = True
    skips_max: int = 0  # in a row; 0: no limit


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
    SHARED = auto()  # the agents count for another campaign, or are wanted by callers
    CEILING = auto()  # the law's abandonment share is used up
    LINES = auto()  # trunk lines or calls per second


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """Agents promised to others first: callers in a queue, calls of campaigns that share agents."""

    now: int = 0  # of those who are ready
    soon: int = 0  # of those who will be


NOWHERE: Final = Elsewhere()


@dataclass(frozen=True, slots=True, kw_only=True)
class PacingDecision:
    """How many calls to place, and everything that was weighed: the answer to "Why 7 calls?"."""

    at_ms: int
    policy: PacingPolicy
    place: int
    limit: PacingLimit
    ready: int
    busy: int
    lent: int  # agents at work who count for another campaign now; not in `ready` or `soon_free`
    wanted_elsewhere: int  # agents whom callers or other campaigns' calls will need first
    soon_free: float  # agents expected ready within the forecast's horizon
    dialing: int  # placed, not yet answered
    screening: int  # answered, person or machine not yet known
    waiting: int  # persons on the line without an agent
    expected_answers: float  # persons expected from calls in flight who then hold an agent
    answers_ahead: float  # and with the calls placed now
    risk: float  # that the last call placed (or, if none, the next) finds no agent
    threshold: float  # the risk that the budget bears now
    room: int  # what trunks take now
    budget: BudgetState

    @property
    def weighed(self) -> bool:
        """Whether a forecast was made; without one its figures are 0."""
        return self.threshold > 0


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
        self._lent: set[str] = set()
        self._last: PacingDecision | None = None
        self._paced: PacingDecision | None = None  # what is said instead while the last one is still good
        self._outlook: Outlook | None = None
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

    def obey(self, now_ms: int, rule: AbandonRule) -> None:
        """Stand under another rule from the next decision on; what was counted counts on."""
        self.rule = rule
        self.budget.obey(rule, now_ms)
        self.switch(self._policy)

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

    def agent_lent(self, now_ms: int, agent: str) -> None:
        """Counts for another campaign: not to be dialed for."""
        self._lent.add(agent)

    def agent_returned(self, now_ms: int, agent: str) -> None:
        """Counts here again."""
        self._lent.discard(agent)

    @property
    def ready(self) -> int:
        """Ready agents who may be counted on."""
        if not self._leaving and not self._lent:
            return len(self._ready)
        return len(self._ready - self._leaving - self._lent)

    @property
    def spare(self) -> int:
        """Ready agents who may be counted on, less the persons whom they are for already."""
        return self.ready - len(self._forecast.waiting)

    @property
    def lent(self) -> int:
        """Agents at work who count for another campaign."""
        return sum(map(self._at_work, self._lent))

    def counts_on(self, agent: str) -> bool:
        """Whether calls are placed for this agent, ready or soon."""
        return self._at_work(agent) and agent not in self._leaving and agent not in self._lent

    def _at_work(self, agent: str) -> bool:
        return agent in self._ready or agent in self._forecast.talking or agent in self._forecast.wrapping

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
        self._forecast.dialing.add(call, now_ms)

    def ringing(self, now_ms: int, call: str) -> None:
        """The phone rings."""
        self._ended(self._forecast.call_rang(now_ms, call))

    def answered(self, now_ms: int, call: str) -> None:
        """The line is up; machine detection, if any, starts."""
        self._ended(self._forecast.call_answered(now_ms, call))

    def checking(self, now_ms: int, call: str) -> None:
        """Judged a machine, and wants an agent all the same: a live answer (`taken`) or a `machine` only later."""
        self._ended(self._forecast.call_judged(now_ms, call, PERSON))

    def taken(self, now_ms: int, answered_at_ms: int) -> None:
        """An agent has taken a call that was `checking`: a live answer."""
        self.budget.live_answer(now_ms, answered_at_ms)

    def human(self, now_ms: int, call: str, answered_at_ms: int | None = None) -> None:
        """A person (or whatever detection lets through) wants an agent, since then or now."""
        self._ended(self._forecast.call_judged(now_ms, call, PERSON))
        self.budget.live_answer(now_ms, answered_at_ms)
        self._thrift.live_answer(self.budget.state(now_ms), self.budget.share, self._present)

    def machine(self, now_ms: int, call: str, answered_at_ms: int | None = None) -> None:
        """Judged a machine; no agent takes it, or none was free for one that was `checking`."""
        if call not in self._forecast.waiting:
            self._ended(self._forecast.call_judged(now_ms, call, MACHINE))
        self._ended(self._forecast.call_ended(now_ms, call))
        self.budget.machine(now_ms, answered_at_ms)

    def failed(self, now_ms: int, call: str) -> None:
        """Busy, invalid, refused, congestion."""
        self._ended(self._forecast.call_ended(now_ms, call))

    def no_answer(self, now_ms: int, call: str) -> None:
        """Rang until the ring timeout."""
        self._ended(self._forecast.call_ended(now_ms, call))

    def abandoned(self, now_ms: int, call: str, answered_at_ms: int | None = None) -> None:
        """A person who answered (then; now, if not said) got no agent in time."""
        self._ended(self._forecast.call_abandoned(now_ms, call))
        self.budget.abandon(now_ms, answered_at_ms)

    def gone(self, now_ms: int, call: str) -> None:
        """Ended in any other way: left before the limit, lost with the switch."""
        self._ended(self._forecast.call_ended(now_ms, call))

    def cancelled(self, now_ms: int, call: str) -> None:
        """We hung up while it rang. If it was answered all the same: `human`, then `abandoned`."""
        self._ended(self._forecast.call_ended(now_ms, call, learn=False))

    # --- the decision ------------------------------------------------------------------------------------------

    def decide(self, now_ms: int, *, room: int = UNLIMITED, elsewhere: Elsewhere = NOWHERE) -> PacingDecision:
        """How many calls to place now.

        `room`: what trunks take now, 0 while anything is unwell. `elsewhere`: agents promised to others first.
        """
        forecast, policy, last = self._forecast, self._policy, self._last
        predictive = isinstance(policy, Predictive)
        if predictive and last is not None:
            pace_ms = min(PACE_MS_MAX, PACE_MS_PER_THING * forecast.size)
            if 0 <= now_ms - last.at_ms < pace_ms:
                self._paced = self._paced or replace(last, place=0, limit=PacingLimit.PACED)
                return self._paced
        forecast.watch_drift(now_ms)
        ready, busy, screening, waiting = self.ready, forecast.busy, len(forecast.screening), len(forecast.waiting)
        in_flight = forecast.in_flight
        free = max(0, ready - elsewhere.now)
        one_to_one = max(0, free - in_flight - waiting)
        budget = self.budget.state(now_ms)
        weighed = _NOTHING_WEIGHED
        if not self._ready and not busy:
            place, limit = 0, PacingLimit.NO_AGENT
        elif isinstance(policy, Manual | Preview):
            place, limit = 0, PacingLimit.AGENTS_DIAL
        elif budget.at_ceiling and not (predictive and self.rule.at_ceiling is AtCeiling.EASE):
            place, limit = one_to_one if self.rule.at_ceiling is not AtCeiling.STOP else 0, PacingLimit.CEILING
        elif predictive:
            weighed = self._weigh(now_ms, budget, free=free - elsewhere.soon, most=min(room, MOST_AT_ONCE))
            place, limit = max(weighed.calls, one_to_one), weighed.limit
        else:
            goal = free * policy.calls_per_agent if isinstance(policy, Ratio) else free
            place, limit = max(0, int(goal) - in_flight - waiting), PacingLimit.IN_FLIGHT
        lent = self.lent
        if not place and not one_to_one and (lent or elsewhere != NOWHERE) and limit in _FOR_WANT_OF_AGENTS:
            limit = PacingLimit.SHARED
        if place >= room:
            place, limit = room, PacingLimit.LINES
        self._paced = None
        self._last = PacingDecision(
            at_ms=now_ms,
            policy=policy,
            place=place,
            limit=limit,
            ready=ready,
            busy=busy,
            lent=lent,
            wanted_elsewhere=elsewhere.now + elsewhere.soon,
            soon_free=weighed.soon_free,
            dialing=in_flight - screening,
            screening=screening,
            waiting=waiting,
            expected_answers=weighed.expected_answers,
            answers_ahead=weighed.expected_answers + place * weighed.answers_per_call,
            risk=weighed.risk,
            threshold=weighed.threshold,
            room=room,
            budget=budget,
        )
        return self._last

    def _weigh(self, now_ms: int, budget: BudgetState, *, free: int, most: int) -> _Weighed:
        outlook = self._outlook = self._forecast.outlook(now_ms, ready=free, leaving=self._leaving | self._lent)
        threshold = self._thrift.threshold(budget, self.budget.share, self._present)
        calls, risk = most_calls(outlook, threshold, most)
        return _Weighed(
            calls=calls,
            limit=PacingLimit.RISK if budget.left >= 0 else PacingLimit.OVERDRAWN,
            risk=risk,
            threshold=threshold,
            expected_answers=outlook.answers,
            answers_per_call=outlook.answers_per_call,
            soon_free=outlook.freed,
        )

    @property
    def _present(self) -> int:
        return len(self._ready) + self._forecast.busy - self.lent

    def cancel_now(self, now_ms: int, *, elsewhere: Elsewhere = NOWHERE) -> tuple[str, ...]:
        """Ringing calls to hang up because agents have vanished: the youngest first, none below the minimum ring.

        Not those for whom somebody will likely be free in time. Hang them up and tell `cancelled` at once.
        """
        forecast = self._forecast
        if not any(now_ms - since_ms >= self.rule.ring_min_ms for _, since_ms in forecast.ringing.items()):
            return ()
        outlook, self._outlook = self._outlook, None  # Asked right after `decide`, as is usual, it is still good.
        if outlook is None or self._last is None or self._last.at_ms != now_ms:
            free = max(0, self.ready - elsewhere.now) - elsewhere.soon
            outlook = forecast.outlook(now_ms, ready=free, leaving=self._leaving | self._lent)
        return forecast.unneeded(now_ms, outlook, ring_min_ms=self.rule.ring_min_ms, risk_max=CANCEL_RISK)

    def _ended(self, known: bool) -> None:
        if not known:
            self.strays += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Weighed:
    """What the predictive mode found."""

    calls: int
    limit: PacingLimit
    risk: float
    threshold: float
    expected_answers: float
    answers_per_call: float
    soon_free: float


_NOTHING_WEIGHED: Final = _Weighed(
    calls=0,
    limit=PacingLimit.IN_FLIGHT,
    risk=0.0,
    threshold=0.0,
    expected_answers=0.0,
    answers_per_call=0.0,
    soon_free=0.0,
)
_FOR_WANT_OF_AGENTS: Final = frozenset({PacingLimit.NO_AGENT, PacingLimit.IN_FLIGHT, PacingLimit.RISK})


class Thrift:
    """How much risk the budget bears: the threshold for the next call's risk.

    A controller on the logarithm of the threshold: proportional to the budget left against a goal kept in hand, plus a
    slow integral per live answer that learns how the forecast's risk relates to real abandons. The goal is a multiple
    of the standard deviation that this gain leaves in the budget, so that an end at any moment is not an overdrawn one.
    """

    __slots__ = ("_bias",)

    def __init__(self) -> None:
        self._bias = BIAS_START

    def threshold(self, budget: BudgetState, share: float, agents: int) -> float:
        """The risk (0…1) that one more call may carry."""
        gain, margin, goal = _gains(budget.live_answers, share, agents)
        threshold = math.exp(self._bias + gain * min(2 * margin, budget.left - goal))
        if budget.live_answers * share > 1:
            threshold *= min(1.0, max(0.0, budget.left / _cluster(agents)))  # The last cluster is not to be risked.
        if budget.left < 0:
            threshold = THRESHOLD_MIN
        return min(THRESHOLD_MAX, max(THRESHOLD_MIN, threshold)) * share / USUAL_SHARE

    def live_answer(self, budget: BudgetState, share: float, agents: int) -> None:
        """Learn from one live answer."""
        gain, margin, goal = _gains(budget.live_answers, share, agents)
        over = max(-2 * margin, min(2 * margin, budget.left - goal))
        self._bias = min(BIAS_MAX, max(BIAS_MIN, self._bias + 0.25 * share * gain * gain * over))

    def export(self) -> float:
        """The integral, as a plain number."""
        return round(self._bias, 6)

    def restore(self, bias: float) -> None:
        """Take over what `export` gave."""
        self._bias = min(BIAS_MAX, max(BIAS_MIN, float(bias)))


def _cluster(agents: int) -> float:
    """Abandons that come together, on average: one shock hits more people on a larger floor."""
    return 1.0 + 0.15 * math.sqrt(agents)


def _gains(live_answers: float, share: float, agents: int) -> tuple[float, float, float]:
    """Gain, margin and goal: the larger the clusters and the more answers so far, the gentler the hand."""
    spread = _cluster(agents)
    answers = max(live_answers, GAIN_ANSWERS_PER_AGENT * agents, 1.0)
    firmness = GAIN_SMALL_TEAM + (GAIN_LARGE_TEAM - GAIN_SMALL_TEAM) * min(1.0, max(0.0, (agents - 10) / 10))
    gain = min(1.5 * firmness, firmness * (500.0 / answers) ** (2 / 3) / math.sqrt(spread))
    # A small team's abandons come one by one and need less in hand.
    sigmas = min(MARGIN_SIGMAS_MAX, 1.7 + 0.22 * math.sqrt(agents))
    margin = sigmas * math.sqrt(spread / (2.0 * gain))
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
