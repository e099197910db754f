"""Pacing: how many calls to place now, and why that many.

One object per campaign, the same in the engine, the simulator and the judge. It is told what happens (`agent_in`,
`placed`, `human` …, each with its time and id), and asked with `decide`. It never places a call itself, reads no clock,
and remembers only what it was told. What it has learned survives a change of mode, and a restart through `export`.

Ids it does not know are ignored and counted in `strays`: the switch may speak of calls from before a restart.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import ClassVar, Final

from engine.core.budget import AbandonBudget, AbandonRule, AtCeiling, BudgetState
from engine.core.model import Mode

UNLIMITED: Final = 1_000_000


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


PacingPolicy = Manual | Preview | Progressive | Ratio


class PacingLimit(Enum):
    """What kept a decision from placing one call more."""

    AGENTS_DIAL = auto()  # manual and preview: agents start the calls
    NO_AGENT = auto()  # nobody is logged in, or everyone present is about to leave
    IN_FLIGHT = auto()  # enough calls are on their way for the ready agents
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
    dialing: int  # placed, not yet answered
    screening: int  # answered, person or machine not yet known
    waiting: int  # persons on the line without an agent
    room: int  # what trunks take now
    budget: BudgetState


class _Stage(Enum):
    DIALING = auto()
    RINGING = auto()
    SCREENING = auto()
    WAITING = auto()


class _Doing(Enum):
    READY = auto()
    TALKING = auto()
    WRAP_UP = auto()


class Pacer:
    """The pacing of one campaign."""

    def __init__(self, policy: PacingPolicy, rule: AbandonRule) -> None:
        self.rule = rule
        self.strays = 0
        self._policy = policy
        self.budget = AbandonBudget(rule)
        self._agents: dict[str, _Doing] = {}
        self._leaving: set[str] = set()
        self._calls: dict[str, _Stage] = {}

    # --- policy ------------------------------------------------------------------------------------------------

    @property
    def policy(self) -> PacingPolicy:
        """The policy in force."""
        return self._policy

    def switch(self, policy: PacingPolicy) -> None:
        """Change mode or settings from the next decision on; nothing learned is lost."""
        self._policy = policy

    # --- what agents do ----------------------------------------------------------------------------------------

    def agent_in(self, now_ms: int, agent: str) -> None:
        """Logged in or back from a pause: ready."""
        self._agent(agent, _Doing.READY)

    def agent_out(self, now_ms: int, agent: str) -> None:
        """Logged out, paused or lost."""
        if self._agents.pop(agent, None) is None:
            self.strays += 1
        self._leaving.discard(agent)

    def agent_leaving(self, now_ms: int, agent: str) -> None:
        """Will pause or log out after the present call: not to be counted on."""
        self._leaving.add(agent)

    def agent_staying(self, now_ms: int, agent: str) -> None:
        """Thought better of it."""
        self._leaving.discard(agent)

    def agent_busy(self, now_ms: int, agent: str, call: str | None = None) -> None:
        """Connected to `call`, or taken by something outside this campaign (None)."""
        self._agent(agent, _Doing.TALKING)
        if call is not None:
            self._calls.pop(call, None)

    def talk_end(self, now_ms: int, agent: str) -> None:
        """The conversation is over; wrap-up begins."""
        self._agent(agent, _Doing.WRAP_UP)

    def agent_free(self, now_ms: int, agent: str) -> None:
        """Ready again."""
        self._agent(agent, _Doing.READY)

    # --- what calls do -----------------------------------------------------------------------------------------

    def placed(self, now_ms: int, call: str) -> None:
        """A call goes out."""
        self._calls[call] = _Stage.DIALING

    def ringing(self, now_ms: int, call: str) -> None:
        """The phone rings."""
        self._move(call, _Stage.RINGING)

    def answered(self, now_ms: int, call: str) -> None:
        """The line is up; machine detection, if any, starts."""
        self._move(call, _Stage.SCREENING)

    def human(self, now_ms: int, call: str) -> None:
        """A person (or whatever detection lets through) wants an agent now."""
        self._move(call, _Stage.WAITING)
        self.budget.live_answer(now_ms)

    def machine(self, now_ms: int, call: str) -> None:
        """Judged a machine."""
        self._end(call)
        self.budget.machine(now_ms)

    def failed(self, now_ms: int, call: str) -> None:
        """Busy, invalid, refused, congestion."""
        self._end(call)

    def no_answer(self, now_ms: int, call: str) -> None:
        """Rang until the ring timeout."""
        self._end(call)

    def abandoned(self, now_ms: int, call: str) -> None:
        """A person who answered got no agent in time."""
        self._end(call)
        self.budget.abandon(now_ms)

    def gone(self, now_ms: int, call: str) -> None:
        """Ended in any other way: left before the limit, lost with the switch."""
        self._end(call)

    def cancelled(self, now_ms: int, call: str) -> None:
        """We hung up while it rang. If it was answered all the same: `human`, then `abandoned`."""
        self._end(call)

    # --- the decision ------------------------------------------------------------------------------------------

    def decide(self, now_ms: int, *, room: int = UNLIMITED, wanted_elsewhere: int = 0) -> PacingDecision:
        """How many calls to place now.

        `room`: what trunks take now, 0 while anything is unwell. `wanted_elsewhere`: ready agents promised to others
        first (inbound callers in the queue, campaigns of higher rank).
        """
        doing = list(self._agents.values())
        ready = sum(1 for agent, what in self._agents.items() if what is _Doing.READY and agent not in self._leaving)
        stages = list(self._calls.values())
        waiting = stages.count(_Stage.WAITING)
        screening = stages.count(_Stage.SCREENING)
        budget = self.budget.state(now_ms)
        free = max(0, ready - wanted_elsewhere)
        goal, limit = self._goal(free, budget)
        place = max(0, int(goal) - len(stages))
        if not doing:
            place, limit = 0, PacingLimit.NO_AGENT
        elif place > room:
            place, limit = room, PacingLimit.LINES
        return PacingDecision(
            at_ms=now_ms,
            policy=self._policy,
            place=place,
            limit=limit,
            ready=ready,
            busy=len(doing) - doing.count(_Doing.READY),
            dialing=len(stages) - waiting - screening,
            screening=screening,
            waiting=waiting,
            room=room,
            budget=budget,
        )

    def _goal(self, free: int, budget: BudgetState) -> tuple[float, PacingLimit]:
        """Calls that may be in flight in all."""
        if isinstance(self._policy, Manual | Preview):
            return 0, PacingLimit.AGENTS_DIAL
        if budget.at_ceiling:
            return (0 if self.rule.at_ceiling is AtCeiling.STOP else free), PacingLimit.CEILING
        if isinstance(self._policy, Ratio):
            return free * self._policy.calls_per_agent, PacingLimit.IN_FLIGHT
        return free, PacingLimit.IN_FLIGHT

    # --- bookkeeping -------------------------------------------------------------------------------------------

    def _agent(self, agent: str, doing: _Doing) -> None:
        self._agents[agent] = doing

    def _move(self, call: str, stage: _Stage) -> None:
        if call in self._calls:
            self._calls[call] = stage
        else:
            self.strays += 1

    def _end(self, call: str) -> None:
        if self._calls.pop(call, None) is None:
            self.strays += 1
