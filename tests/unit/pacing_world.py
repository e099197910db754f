"""A small world of customers and agents in which nasty things happen, for properties of the pacer.

Not the judge: no statistics, but every decision is checked as it is made.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from engine.core.budget import AtCeiling
from engine.core.pacing import Pacer, PacingDecision, Preview, Progressive

TICK_MS = 2_000
RING_TIMEOUT_MS = 25_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Nasty:
    """What goes wrong, and when (ms from the start)."""

    answer_share: float = 0.2
    hot_at_ms: int | None = None  # the answer rate becomes four times what it was, within a minute
    gone_at_ms: int | None = None  # half the agents vanish at once, talking or not
    flood_at_ms: int | None = None  # the carrier answers everything that is in flight at once
    talk_mean_ms: int = 80_000


class World:
    """One shift. `live` and `abandoned` are counted by the world itself, not asked from the pacer.

    `late`: those of them whose call was placed with the law's share used up, as it stayed. `stranded`: calls that were
    on their way at the moment when it was used up, at most: nobody can un-dial those.
    """

    def __init__(self, pacer: Pacer, nasty: Nasty, *, agents: int, seed: int) -> None:
        self.pacer, self.nasty = pacer, nasty
        self.random = random.Random(seed)
        self.now_ms = 0
        self.live = self.abandoned = self.cancelled = self.placed = 0
        self.late_live = self.late_abandoned = self.stranded = 0
        self._events: list[tuple[int, int, Callable[[str], None], str]] = []
        self._sequence = 0
        self._ringing: dict[str, int] = {}
        self._in_flight: set[str] = set()
        self._late: set[str] = set()
        self._waiting: deque[str] = deque()
        self._idle: deque[str] = deque()
        self._present: set[str] = set()
        for i in range(agents):
            self._at(self.random.randrange(60_000), self._login, f"a{i}")

    def run(self, lasts_ms: int) -> None:
        for at_ms in range(0, lasts_ms, TICK_MS):
            self._at(at_ms, self._tick, "")
        if self.nasty.gone_at_ms is not None:
            self._at(self.nasty.gone_at_ms, self._half_gone, "")
        if self.nasty.flood_at_ms is not None:
            self._at(self.nasty.flood_at_ms, self._flood, "")
        while self._events and self._events[0][0] < lasts_ms:
            self.now_ms, _, what, who = heapq.heappop(self._events)
            what(who)

    # --- decisions, checked as they are made -------------------------------------------------------------------

    def _tick(self, _: str) -> None:
        if not self.used_up:
            self._late.clear()
        decision = self.pacer.decide(self.now_ms)
        self._check(decision)
        for call in self.pacer.cancel_now(self.now_ms):
            rung_ms = self.now_ms - self._ringing[call]
            assert rung_ms >= self.pacer.rule.ring_min_ms, f"cancelled after {rung_ms} ms of ringing"
            self._end(call)
            self.cancelled += 1
            self.pacer.cancelled(self.now_ms, call)
        for _call in range(decision.place):
            self._place()

    def _check(self, decision: PacingDecision) -> None:
        assert decision.place >= 0
        if not self._present:
            assert decision.place == 0, "dialed with no agent logged in"
        one_to_one = max(0, len(self._idle) - len(self._in_flight) - len(self._waiting))
        if self.used_up:
            allowed = 0 if self.pacer.rule.at_ceiling is AtCeiling.STOP else one_to_one
            if self.pacer.rule.at_ceiling is not AtCeiling.EASE:
                assert decision.place <= allowed, "risked a call with the law's share used up"
        if isinstance(self.pacer.policy, Progressive):
            assert decision.place <= one_to_one
        if isinstance(self.pacer.policy, Preview):
            assert decision.place == 0

    @property
    def used_up(self) -> bool:
        """Whether the law's share of the answers so far is abandoned."""
        return 0 < self.abandoned >= self.pacer.rule.share_max * self.live

    # --- customers ---------------------------------------------------------------------------------------------

    def _place(self) -> None:
        self.placed += 1
        call = f"c{self.placed}"
        self._in_flight.add(call)
        if self.used_up:
            self._late.add(call)
        self.pacer.placed(self.now_ms, call)
        if self.random.random() < 0.1:
            self._later(2_000, 4_000, self._fail, call)
        else:
            self._later(1_000, 3_000, self._ring, call)

    def _ring(self, call: str) -> None:
        if call not in self._in_flight:
            return
        self._ringing[call] = self.now_ms
        self.pacer.ringing(self.now_ms, call)
        share = self.nasty.answer_share
        if self.nasty.hot_at_ms is not None:
            share *= 1 + 3 * min(1.0, max(0.0, (self.now_ms - self.nasty.hot_at_ms) / 60_000))
        if self.random.random() < share:
            self._at(self.now_ms + int(1_000 * self.random.lognormvariate(2.0, 0.6)), self._answer, call)
        self._at(self.now_ms + RING_TIMEOUT_MS, self._rang_out, call)

    def _fail(self, call: str) -> None:
        if call in self._in_flight:
            self._end(call)
            self.pacer.failed(self.now_ms, call)

    def _rang_out(self, call: str) -> None:
        if call in self._ringing:
            self._end(call)
            self.pacer.no_answer(self.now_ms, call)

    def _answer(self, call: str) -> None:
        if call not in self._in_flight:
            return
        self._end(call)
        self.live += 1
        self.late_live += call in self._late
        self.pacer.answered(self.now_ms, call)
        self.pacer.human(self.now_ms, call)
        if self._idle:
            self._connect(call, self._idle.popleft())
        else:
            self._waiting.append(call)
            self._at(self.now_ms + self.pacer.rule.connect_within_ms, self._abandon, call)

    def _abandon(self, call: str) -> None:
        if call in self._waiting:
            self._waiting.remove(call)
            was_used_up = self.used_up
            self.abandoned += 1
            self.late_abandoned += call in self._late
            if self.used_up and not was_used_up:
                self.stranded = max(self.stranded, len(self._in_flight) + len(self._waiting))
            self.pacer.abandoned(self.now_ms, call)

    def _flood(self, _: str) -> None:
        for call in list(self._in_flight):
            self._answer(call)

    def _end(self, call: str) -> None:
        self._in_flight.discard(call)
        self._ringing.pop(call, None)

    # --- agents ------------------------------------------------------------------------------------------------

    def _login(self, agent: str) -> None:
        self._present.add(agent)
        self.pacer.agent_in(self.now_ms, agent)
        self._seek(agent)

    def _connect(self, call: str, agent: str) -> None:
        self.pacer.agent_busy(self.now_ms, agent, call)
        self._at(self.now_ms + 1_000 + int(self.random.expovariate(1 / self.nasty.talk_mean_ms)), self._hang_up, agent)

    def _hang_up(self, agent: str) -> None:
        if agent in self._present:
            self.pacer.talk_end(self.now_ms, agent)
            self._later(3_000, 9_000, self._disposed, agent)

    def _disposed(self, agent: str) -> None:
        if agent in self._present:
            self.pacer.agent_free(self.now_ms, agent)
            self._seek(agent)

    def _seek(self, agent: str) -> None:
        if self._waiting:
            self._connect(self._waiting.popleft(), agent)
        else:
            self._idle.append(agent)

    def _half_gone(self, _: str) -> None:
        for agent in sorted(self._present)[::2]:
            self._present.discard(agent)
            if agent in self._idle:
                self._idle.remove(agent)
            self.pacer.agent_out(self.now_ms, agent)

    # --- time --------------------------------------------------------------------------------------------------

    def _at(self, at_ms: int, what: Callable[[str], None], who: str) -> None:
        self._sequence += 1
        heapq.heappush(self._events, (at_ms, self._sequence, what, who))

    def _later(self, least_ms: int, most_ms: int, what: Callable[[str], None], who: str) -> None:
        self._at(self.now_ms + self.random.randint(least_ms, most_ms), what, who)
