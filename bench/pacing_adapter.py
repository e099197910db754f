"""The product's pacer as the judge drives it: seconds become milliseconds, its ids become ours."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from engine.core.budget import AbandonRule, Rolling
from engine.core.pacing import Pacer, PacingLimit, Predictive

if TYPE_CHECKING:
    JudgePacer = object
else:
    from sim import Pacer as JudgePacer


class ProductPacer(JudgePacer):
    """Events and decisions passed through, nothing added."""

    name = "zvonar"
    looks_us: list[float]  # what each decision cost that made a forecast, in time of our own thread

    def start(self, now: float, cfg: Any) -> None:
        self.looks_us = []
        rule = AbandonRule(share_max=cfg.abandon_cap, periods=(Rolling(length_ms=round(cfg.window * 1000)),))
        self.pacer = Pacer(Predictive(), rule, ring_timeout_ms=round(cfg.ring_timeout * 1000))

    def on_agent_in(self, now: float, agent: Any) -> None:
        self.pacer.agent_in(round(now * 1000), agent)

    def on_agent_out(self, now: float, agent: Any) -> None:
        self.pacer.agent_out(round(now * 1000), agent)

    def on_connected(self, now: float, call: Any, agent: Any) -> None:
        self.pacer.agent_busy(round(now * 1000), agent, call)

    def on_talk_end(self, now: float, call: Any, agent: Any) -> None:
        self.pacer.talk_end(round(now * 1000), agent)

    def on_agent_free(self, now: float, agent: Any) -> None:
        self.pacer.agent_free(round(now * 1000), agent)

    def on_placed(self, now: float, call: Any) -> None:
        self.pacer.placed(round(now * 1000), call)

    def on_ringing(self, now: float, call: Any) -> None:
        self.pacer.ringing(round(now * 1000), call)

    def on_answered(self, now: float, call: Any) -> None:
        self.pacer.answered(round(now * 1000), call)

    def on_human(self, now: float, call: Any) -> None:
        self.pacer.human(round(now * 1000), call)

    def on_machine(self, now: float, call: Any) -> None:
        self.pacer.machine(round(now * 1000), call)

    def on_failed(self, now: float, call: Any) -> None:
        self.pacer.failed(round(now * 1000), call)

    def on_no_answer(self, now: float, call: Any) -> None:
        self.pacer.no_answer(round(now * 1000), call)

    def on_abandoned(self, now: float, call: Any) -> None:
        self.pacer.abandoned(round(now * 1000), call)

    def decide(self, now: float) -> int:
        began_s = time.thread_time()
        decision = self.pacer.decide(round(now * 1000))
        if decision.limit is not PacingLimit.PACED:
            self.looks_us.append((time.thread_time() - began_s) * 1e6)
        return decision.place
