"""`python -m engine.sim`: many histories of whole shifts with all faults; the last line is the result as JSON."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from engine.sim.shift import Report, faulty, long_shift, play

#: Histories whose failure is shown in full.
SHOWN_MAX = 3


def main() -> int:
    """0 when nothing was violated."""
    parser = argparse.ArgumentParser(prog="python -m engine.sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many histories (default: 200)")
    parser.add_argument("--start", type=int, default=1, help="the first seed (default: 1)")
    parser.add_argument("--seed", type=int, help="one history, with the end of its trace")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: all cores)")
    parser.add_argument("--shift", action="store_true", help="measure one long shift: 100 agents, 8 hours, no faults")
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)  # the engine complains of the faults; the report tells what matters
    began_s = time.monotonic()
    if asked.shift:
        reports = [play(long_shift(asked.start))]
    elif asked.seed is not None:
        reports = [_one(asked.seed)]
        _say("\n".join(reports[0].trace))
    else:
        reports = list(_many(range(asked.start, asked.start + asked.seeds), asked.jobs))
    broken = [report for report in reports if report.violations]
    for report in broken[:SHOWN_MAX]:
        _show(report)
    result = {
        "histories": len(reports),
        "violations": sum(len(report.violations) for report in reports),
        "seeds_broken": [report.seed for report in broken][:20],
        "facts": sum(report.facts for report in reports),
        "dialed": sum(report.dialed for report in reports),
        "conversations": sum(report.conversations for report in reports),
        "engine_starts": sum(report.lives for report in reports),
        "seconds": round(time.monotonic() - began_s, 1),
    }
    _say("RESULT " + json.dumps(result))
    return 1 if broken else 0


def _one(seed: int) -> Report:
    logging.disable(logging.CRITICAL)
    return play(faulty(seed))


def _many(seeds: range, jobs: int) -> Iterator[Report]:
    if jobs <= 1:
        yield from map(_one, seeds)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(_one, seeds, chunksize=4)


def _show(report: Report) -> None:
    _say(f"\n── seed {report.seed}: the last {len(report.trace)} facts ──")
    _say("\n".join(report.trace))
    for violation in report.violations:
        _say(f"VIOLATED  {violation}")
    _say(f"replay    python -m engine.sim --seed {report.seed}\n")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
