"""`python -m engine.sim`: many histories of whole shifts with all faults; the last line is the result as JSON.

A long run tells how far it is and from which seed to go on (`--start`); what it keeps does not grow with its length.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from types import UnionType
from typing import Any, Final, get_args

from engine.core import effects, events
from engine.sim.plan import long_shift
from engine.sim.shift import Report, history, play

#: So many histories must have met every fact and every order that the core knows: what never comes is never tried.
MEET_ALL_MIN: Final = 200
#: Broken histories that are shown in full, and those whose seeds are kept.
SHOWN_MAX = 3
BROKEN_MAX = 20
PROGRESS_EVERY_S = 30
#: Histories after which a process is replaced, and histories that may wait for a process.
PER_PROCESS = 500
AHEAD_MAX = 64


class Sum:
    """What came of all histories so far."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter({"histories": 0, "violations": 0})
        self.broken: list[int] = []
        self._unmet = {*_kinds(events.Event), *_kinds(effects.Effect)}
        self.began_s = self._told_s = time.monotonic()

    def add(self, report: Report) -> None:
        """One more; a broken one is shown."""
        self.counts["histories"] += 1
        self.counts["violations"] += len(report.violations)
        self._unmet -= report.met
        self.counts.update(
            facts=report.facts, dialed=report.dialed, conversations=report.conversations, engine_starts=report.lives
        )
        if report.violations:
            if len(self.broken) < SHOWN_MAX:
                _show(report)
            self.broken = [*self.broken, report.seed][:BROKEN_MAX]

    def unmet(self) -> list[str]:
        """Facts and orders that so many histories must have met, and have not."""
        return sorted(kind.__name__ for kind in self._unmet) if self.counts["histories"] >= MEET_ALL_MIN else []

    def tell(self, next_seed: int) -> None:
        """How far we are, now and then."""
        now_s = time.monotonic()
        if now_s - self._told_s >= PROGRESS_EVERY_S:
            self._told_s = now_s
            _say(
                f"{self.counts['histories']} histories, {self.counts['violations']} violations, "
                f"{now_s - self.began_s:.0f} s; go on with --start {next_seed}"
            )

    def result(self) -> dict[str, Any]:
        """For the last line."""
        seconds = round(time.monotonic() - self.began_s, 1)
        return {**self.counts, "seeds_broken": self.broken, "unmet": self.unmet(), "seconds": seconds}


def main() -> int:
    """0 when nothing was violated, and nothing left untried."""
    parser = argparse.ArgumentParser(prog="python -m engine.sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many histories (default: 200)")
    parser.add_argument("--start", type=int, default=1, help="the first seed (default: 1)")
    parser.add_argument("--seed", type=int, help="one history, with the end of its trace")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: all cores)")
    parser.add_argument("--shift", action="store_true", help="measure one long shift: 100 agents, 8 hours, no faults")
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)  # the engine complains of the faults; the report tells what matters
    total = Sum()
    if asked.shift:
        total.add(play(long_shift(asked.start)))
    elif asked.seed is not None:
        report = history(asked.seed)
        _say("\n".join(report.trace))
        total.add(report)
    else:
        for report in _many(range(asked.start, asked.start + asked.seeds), asked.jobs):
            total.add(report)
            total.tell(report.seed + 1)
    _say("RESULT " + json.dumps(total.result()))
    return 1 if total.counts["violations"] or total.unmet() else 0


def _kinds(union: UnionType) -> tuple[type, ...]:
    return get_args(union)


def _many(seeds: range, jobs: int) -> Iterator[Report]:
    """The reports in the order of their seeds."""
    if jobs <= 1:
        yield from map(history, seeds)
        return
    waiting: deque[Future[Report]] = deque()
    processes = get_context("forkserver")
    processes.set_forkserver_preload(["engine.sim.shift"])  # imported once for all
    with ProcessPoolExecutor(jobs, mp_context=processes, max_tasks_per_child=PER_PROCESS) as pool:
        for seed in seeds:
            waiting.append(pool.submit(history, seed))
            if len(waiting) >= AHEAD_MAX:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _show(report: Report) -> None:
    _say(f"\n── seed {report.seed}: the last {len(report.trace)} facts ──")
    _say("\n".join(report.trace))
    for violation in report.violations:
        _say(f"VIOLATED  {violation}")
    _say(f"replay    python -m engine.sim --seed {report.seed}\n")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
