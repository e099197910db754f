"""What the engine tells a Prometheus server: text format 0.0.4, made anew at each scrape. No personal data.

Labels are ids of config.yaml and words of our own, so that their number is bounded by the configuration.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from engine.core.live import Live
from engine.core.model import AgentState, TrunkId
from engine.core.pacing import PacingDecision
from engine.core.screening import Detection

#: Upper bounds of the histograms' buckets.
SECONDS: Final = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)

CAMPAIGN_GAUGES: Final[tuple[tuple[str, str, Callable[[PacingDecision], float]], ...]] = (
    ("agents_ready", "Ready agents counted on.", lambda d: d.ready),
    ("agents_busy", "Agents in a conversation or its wrap-up.", lambda d: d.busy),
    ("agents_soon_free", "Agents expected to be free within 32 s.", lambda d: d.soon_free),
    ("agents_lent", "Agents who count for another campaign now.", lambda d: d.lent),
    ("agents_wanted_elsewhere", "Agents needed by callers and others first.", lambda d: d.wanted_elsewhere),
    ("calls_in_flight", "Calls placed and not answered yet.", lambda d: d.dialing + d.screening + d.place),
    ("persons_waiting", "Persons on the line without an agent.", lambda d: d.waiting),
    ("answers_expected", "Persons expected to answer calls in flight.", lambda d: d.expected_answers),
    ("risk", "Risk that one more call finds no agent.", lambda d: d.risk),
    ("risk_allowed", "The risk that the abandonment budget bears.", lambda d: d.threshold),
    ("abandons_left", "Abandons left of the ruling legal period; negative: overdrawn.", lambda d: d.budget.left),
    ("live_answers_in_period", "Answers of the ruling legal period.", lambda d: d.budget.live_answers),
    ("abandoned_in_period", "Abandoned answers of the ruling legal period.", lambda d: d.budget.abandoned),
)
DETECTION_GAUGES: Final[tuple[tuple[str, str, Callable[[Detection], float]], ...]] = (
    ("detection_on", "1 while machines are told from persons, 0 when that switched itself off.", lambda d: d.on),
    ("machines_checked", "Calls judged machines that agents took.", lambda d: d.measured.checked),
    ("machines_persons", "Persons among them.", lambda d: d.measured.persons),
    ("machines_persons_share_low", "The least their share of all machines can be.", lambda d: d.measured.low),
    ("machines_persons_share_high", "The most it can be.", lambda d: d.measured.high),
)

Sample = tuple[Mapping[str, str], float]


class Histogram:
    """How often something took how long."""

    __slots__ = ("counts", "sum_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(SECONDS) + 1)
        self.sum_s = 0.0

    def note(self, seconds: float, times: int = 1) -> None:
        """It took so long, each of so many times."""
        self.counts[bisect_left(SECONDS, seconds)] += times
        self.sum_s += seconds * times


@dataclass(slots=True)
class Tally:
    """What the driver counts."""

    facts: Histogram = field(default_factory=Histogram)
    decisions: Histogram = field(default_factory=Histogram)  # facts after which pacers decided, per decision
    commits: Histogram = field(default_factory=Histogram)
    originates: Counter[TrunkId] = field(default_factory=Counter)
    decisions_so_far: int = 0

    def decided(self, took_s: float, decisions_so_far: int) -> None:
        """A fact took so long; the Floor has made so many decisions since its start."""
        self.facts.note(took_s)
        decisions = decisions_so_far - self.decisions_so_far
        if decisions > 0:
            self.decisions.note(took_s / decisions, decisions)
        self.decisions_so_far = decisions_so_far


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What is only known now."""

    facts_waiting: int
    commits_waiting: int
    beat_age_ms: int  # since the owner of the state last saw the driver's own pulse
    round_trip_ms: int  # of the last probe of the switch
    event_lag_ms: int  # of the switch's events


def page(live: Live, tally: Tally, now: Moment) -> str:
    """The whole answer to a scrape."""
    lines: list[str] = []
    _add(lines, "switch_up", "gauge", "1 while the switch is reached and well.", [({}, not live.switch_problem)])
    _add(lines, "store_up", "gauge", "1 while the store saves.", [({}, not live.store_problem)])
    _add(lines, "draining", "gauge", "1 while the engine ends its last calls.", [({}, live.draining)])
    _add(lines, "facts_waiting", "gauge", "Facts that wait to be decided on.", [({}, now.facts_waiting)])
    _add(lines, "commits_waiting", "gauge", "Batches that wait for the disk.", [({}, now.commits_waiting)])
    _add(lines, "beat_age_seconds", "gauge", "Age of the engine's last pulse: usually below 0.5, at 1.5 dialing stops.",
         [({}, now.beat_age_ms / 1000)])  # fmt: skip
    _add(lines, "ari_round_trip_seconds", "gauge", "How long Asterisk took to answer the last probe.",
         [({}, now.round_trip_ms / 1000)])  # fmt: skip
    _add(lines, "ari_event_lag_seconds", "gauge", "How late Asterisk's last event was.",
         [({}, now.event_lag_ms / 1000)])  # fmt: skip
    _histogram(lines, "fact_seconds", "Time to decide on one fact.", tally.facts)
    _histogram(lines, "decision_seconds", "Time of one pacing decision, with what led to it.", tally.decisions)
    _histogram(
        lines, "commit_seconds", "Time of one transaction, with waiting for a store that is down.", tally.commits
    )
    _agents(lines, live)
    _campaigns(lines, live)
    _detections(lines, live)
    _trunks(lines, live, tally)
    _add(lines, "surprises_total", "counter", "What the switch, the store or a user got wrong, by kind.",
         [({"kind": kind}, count) for kind, count in live.counters.items()])  # fmt: skip
    return "\n".join(lines) + "\n"


def _agents(lines: list[str], live: Live) -> None:
    states = Counter(agent.state for agent in live.agents.values())
    _add(lines, "agents", "gauge", "Agents by state.", [({"state": one.value}, states[one]) for one in AgentState])


def _campaigns(lines: list[str], live: Live) -> None:
    decisions = [({"campaign": str(id_)}, decision) for id_, decision in live.decisions.items()]
    for name, about, value in CAMPAIGN_GAUGES:
        _add(lines, f"campaign_{name}", "gauge", about, [(labels, value(decision)) for labels, decision in decisions])
    shares = [(labels, d.budget.abandoned / max(1.0, d.budget.live_answers)) for labels, d in decisions]
    _add(lines, "campaign_abandon_share", "gauge", "Abandoned share of the ruling legal period, 0 to 1.", shares)
    _add(lines, "campaign_running", "gauge", "1 while somebody has switched it on.",
         [({"campaign": str(id_)}, running) for id_, running in live.running.items()])  # fmt: skip
    limits = [({"campaign": str(id_), "limit": limit}, count) for (id_, limit), count in live.decided_by.items()]
    _add(lines, "decisions_total", "counter", "Pacing decisions by what kept them from placing one more.", limits)


def _detections(lines: list[str], live: Live) -> None:
    detecting = [({"campaign": str(id_)}, one) for id_, one in live.detections.items() if one.policy.enabled]
    for name, about, value in DETECTION_GAUGES:
        _add(lines, f"campaign_{name}", "gauge", about, [(labels, value(one)) for labels, one in detecting])


def _trunks(lines: list[str], live: Live, tally: Tally) -> None:
    trunks = live.trunks.items()
    _add(lines, "trunk_lines_in_use", "gauge", "Lines in use.", [({"trunk": str(id_)}, t.in_use) for id_, t in trunks])
    _add(lines, "trunk_lines", "gauge", "Lines that there are.",
         [({"trunk": str(id_)}, t.limits.lines) for id_, t in trunks])  # fmt: skip
    _add(lines, "trunk_refusing", "gauge", "1 while it has refused calls and not proved well since.",
         [({"trunk": str(id_)}, t.refusing) for id_, t in trunks])  # fmt: skip
    _add(lines, "originates_total", "counter", "Calls sent to the switch.",
         [({"trunk": str(id_)}, tally.originates[id_]) for id_, _ in trunks])  # fmt: skip


def _add(lines: list[str], name: str, kind: str, about: str, samples: Iterable[Sample]) -> None:
    lines += [f"# HELP zvonar_{name} {about}", f"# TYPE zvonar_{name} {kind}"]
    lines += [f"zvonar_{name}{_said(labels)} {float(value):.10g}" for labels, value in samples]


def _histogram(lines: list[str], name: str, about: str, seen: Histogram) -> None:
    lines += [f"# HELP zvonar_{name} {about}", f"# TYPE zvonar_{name} histogram"]
    below = 0
    for bound, count in zip((*SECONDS, "+Inf"), seen.counts, strict=True):
        below += count
        lines.append(f'zvonar_{name}_bucket{{le="{bound}"}} {below}')
    lines += [f"zvonar_{name}_sum {seen.sum_s:.10g}", f"zvonar_{name}_count {below}"]


def _said(labels: Mapping[str, str]) -> str:
    escaped = {
        name: value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") for name, value in labels.items()
    }
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped.items()) + "}" if labels else ""
