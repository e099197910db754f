"""How well we pace: our pacer and other dialers' methods in the judge, on the same campaigns.

    python bench/pacing.py [--seeds 3] [--only p03,p25] [--pacers zvonar,progressive] [--jobs 2]

The judge (a simulator that is not ours to edit) is looked for at $PACING_JUDGE, else beside the repository. Every pacer
meets the same customers: the k-th call placed has the same fate under each. The last line is RESULT and JSON.

The table's µs are the judge's: all that it asks, on the wall clock. `decide_us` and `decide_p99_us` are the decisions
that made a forecast (none that was answered "asked too soon") on the floor nearest to 300 agents, in processor time.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CAP_PERCENT = 3.0
OURS = "zvonar"
VICI = ("vici_hard", "vici_average", "vici_tapered")
PEERS = ("progressive", "ratio2", *VICI, "issabel", "pi_ratio")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One campaign under one pacer. Percentages of 100, times in seconds and µs."""

    pacer: str
    scenario: str
    agents: int
    seed: int
    occupancy: float
    wait_mean_s: float
    abandon: float
    abandon_worst30: float
    live_answers: int
    decide_us: float
    decide_p99_us: float
    looks_us: Sequence[float]
    lasted_s: float


def judge_path() -> Path:
    return Path(os.environ.get("PACING_JUDGE", ROOT.parent / "shared" / "bench" / "pacing"))


def load_judge(path: Path) -> Any:
    """The judge's scenarios; its modules become importable."""
    for place in (str(path), str(ROOT / "bench"), str(ROOT)):
        if place not in sys.path:
            sys.path.insert(0, place)
    return importlib.import_module("scenarios_public").SCENARIOS


def make_pacer(name: str) -> Any:
    if name == OURS:
        return importlib.import_module("pacing_adapter").ProductPacer()
    return importlib.import_module("pacers.registry").get(name)()


def run_one(task: tuple[str, str, int]) -> Run:
    """One campaign; top level, so that another process can run it."""
    pacer, scenario, seed = task
    chosen = next(one for one in load_judge(judge_path()) if one.name == scenario)
    began_s = time.perf_counter()
    asked = make_pacer(pacer)
    seen = importlib.import_module("sim").Campaign(chosen, asked, seed=seed).run()
    return Run(
        pacer=pacer,
        scenario=scenario,
        agents=chosen.agents,
        seed=seed,
        occupancy=100 * seen["occupancy"],
        wait_mean_s=seen["wait_mean"],
        abandon=seen["abandon_pct"],
        abandon_worst30=seen["abandon_worst30"],
        live_answers=seen["humans"],
        decide_us=seen["cpu_us"],
        decide_p99_us=seen["cpu_p99_us"],
        looks_us=getattr(asked, "looks_us", ()),
        lasted_s=time.perf_counter() - began_s,
    )


def mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed) if listed else 0.0


def print_ours(runs: Sequence[Run], scenarios: Sequence[str]) -> None:
    print(f"\n{OURS}: every campaign, all seeds")
    print(
        f"{'scenario':14} {'occ %':>6} {'wait s':>7} {'aband %, by seed':>22} {'worst 30 min':>13} {'µs':>6} {'p99':>6}"
    )
    for scenario in scenarios:
        mine = [run for run in runs if run.scenario == scenario and run.pacer == OURS]
        if mine:
            shares = " ".join(f"{run.abandon:.2f}{'!' if run.abandon > CAP_PERCENT else ''}" for run in mine)
            wait_s = mean(run.wait_mean_s for run in mine)
            print(
                f"{scenario:14} {mean(run.occupancy for run in mine):6.2f} {wait_s:7.2f} {shares:>22} "
                f"{max(run.abandon_worst30 for run in mine):13.2f} "
                f"{mean(run.decide_us for run in mine):6.0f} {max(run.decide_p99_us for run in mine):6.0f}"
            )


def print_occupancies(runs: Sequence[Run], scenarios: Sequence[str], pacers: Sequence[str]) -> None:
    """Occupancy of every pacer; `!` marks a scenario in which it passed the cap."""
    print("\noccupancy % (! passed the abandonment cap in at least one seed)")
    print(f"{'scenario':14} " + " ".join(f"{pacer:>13}" for pacer in pacers))
    for scenario in scenarios:
        cells = []
        for pacer in pacers:
            those = [run for run in runs if run.scenario == scenario and run.pacer == pacer]
            mark = "!" if any(run.abandon > CAP_PERCENT for run in those) else " "
            cells.append(f"{mean(run.occupancy for run in those):12.2f}{mark}")
        print(f"{scenario:14} " + " ".join(cells))
    for title, column in (("MEAN occ %", "occupancy"), ("MEAN aband %", "abandon"), ("WORST aband %", "worst")):
        cells = []
        for pacer in pacers:
            those = [run for run in runs if run.pacer == pacer]
            value = max(run.abandon for run in those) if column == "worst" else mean(getattr(r, column) for r in those)
            cells.append(f"{value:12.2f} ")
        print(f"{title:14} " + " ".join(cells))


def result(runs: Sequence[Run], pacers: Sequence[str]) -> dict[str, float | int]:
    """The RESULT line. `gain_over_vici`: points over the better of its methods that aim at the cap."""
    ours = [run for run in runs if run.pacer == OURS]
    decided = {
        "occupancy_mean": round(mean(run.occupancy for run in ours), 2),
        "abandon_mean": round(mean(run.abandon for run in ours), 2),
        "violations": sum(run.abandon > CAP_PERCENT for run in ours),
        "runs": len(ours),
        "worst_abandon": round(max((run.abandon for run in ours), default=0.0), 2),
        "worst_30min": round(max((run.abandon_worst30 for run in ours), default=0.0), 2),
    }
    agents = min({run.agents for run in ours}, key=lambda size: abs(size - 300), default=0)
    looks = sorted(us for run in ours if run.agents == agents for us in run.looks_us)
    if looks:
        decided["decide_us"] = round(mean(looks), 1)
        decided["decide_p99_us"] = round(looks[int(0.99 * len(looks))], 1)
        decided["decide_agents"] = agents
    # The tapered method buys its occupancy with ten times the abandons: not a peer under the cap.
    lawful = [p for p in pacers if p in VICI and mean(run.abandon for run in runs if run.pacer == p) <= 2 * CAP_PERCENT]
    if ours and lawful:
        best = max(mean(run.occupancy for run in runs if run.pacer == p) for p in lawful)
        decided["gain_over_vici"] = round(mean(run.occupancy for run in ours) - best, 2)
    return decided


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Our pacer beside other dialers' methods in the pacing judge.")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", help="scenario names or their beginnings, by comma")
    parser.add_argument("--pacers", default=",".join((OURS, *PEERS)), help="by comma")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    asked = parser.parse_args(argv)

    path = judge_path()
    if not (path / "sim.py").is_file():
        print(
            f"The pacing judge is not at {path}. Set PACING_JUDGE to the folder that holds its sim.py.", file=sys.stderr
        )
        return 2
    if importlib.util.find_spec("numpy") is None:
        print("The pacing judge needs numpy: install requirements/dev.lock (make setup).", file=sys.stderr)
        return 2
    sys.dont_write_bytecode = True
    all_scenarios = load_judge(path)
    wanted = tuple(asked.only.split(",")) if asked.only else ("",)
    scenarios = [one.name for one in all_scenarios if one.name.startswith(wanted)]
    pacers = asked.pacers.split(",")
    if not scenarios:
        print(f"No scenario begins with {asked.only!r}; there are: {', '.join(s.name for s in all_scenarios)}")
        return 2
    size = {one.name: one.agents * one.hours for one in all_scenarios}
    tasks = [(pacer, name, seed) for pacer in pacers for name in scenarios for seed in range(asked.seeds)]
    tasks.sort(key=lambda task: -size[task[1]])  # Long ones first, so that no process ends alone.

    began_s = time.perf_counter()
    with ProcessPoolExecutor(max_workers=asked.jobs) as pool:
        runs = []
        for run in pool.map(run_one, tasks):
            runs.append(run)
            if sys.stderr.isatty():
                print(f"\r{len(runs)} of {len(tasks)} campaigns", end="", file=sys.stderr, flush=True)
    runs.sort(key=lambda run: (pacers.index(run.pacer), scenarios.index(run.scenario), run.seed))
    print_ours(runs, scenarios)
    print_occupancies(runs, scenarios, pacers)
    print(f"\n{len(runs)} campaigns in {time.perf_counter() - began_s:.0f} s with {asked.jobs} processes")
    print("RESULT " + json.dumps(result(runs, pacers)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
