"""The forecast: how many persons will answer, how many agents will be free, and when.

Everything is looked at on a grid of moments ahead. At each moment the *crowd* is the number of persons who will have
answered calls now in flight and still hold an agent, less the agents free by then: positive means somebody waits in
vain. Each call in flight and each busy agent adds a Bernoulli variable to it whose chance depends on its age (a call
that has rung for 20 s and a talk of five minutes are not average), so mean, variance and third cumulant just add up;
the tail is a normal one with Edgeworth's correction. All of the same age share a row, hence the speed in plain Python.

Learned: time to ring and time to answer (person, machine, other), detection delays, talk and wrap-up times, the drift
of the answer rate against its own table. Nothing here decides anything; `pacing` does.
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from operator import itemgetter, mul, sub
from typing import Any, Final

from engine.core.lifetables import AgeBins, LifeTable, Stage, Survival

HORIZON_S: Final = 32
GRID_S: Final = (1, 2, 3, 5, 7, 9, 12, 15, 18, 22, 27, 32)
DIAL_BINS: Final = AgeBins.even(46)
RING_BINS: Final = AgeBins.even(96)
TALK_BINS: Final = AgeBins.geometric(until_s=4 * 3600, growth=0.12, least_s=2)
WRAP_BINS: Final = AgeBins.geometric(until_s=3600, growth=0.12, least_s=2)
DELAY_STEP_MS: Final = 250
DELAY_BINS: Final = 41  # quarter seconds; the last is "ten seconds and more"

RING_SLACK_S: Final = 4  # rings this much longer than the timeout are looked at one by one

RINGS, UNREACHED = 0, 1  # how dialing ends
PERSON, MACHINE, OTHER = 0, 1, 2  # how ringing ends
FREE, AWAY = 0, 1  # how wrap-up ends

CALL_MEMORY: Final = 1_500.0
TALK_MEMORY: Final = 400.0
DRIFT_ANSWERS: Final = 60.0
DRIFT_S: Final = 90.0
DRIFT_PRIOR: Final = 15.0
DRIFT_STEP_S: Final = 0.5
LEVEL_MIN, LEVEL_MAX = 0.25, 4.0
ANSWER_MAX: Final = 0.7  # chance to be answered in one second of ringing
CALL_TABLE_EVERY_MS: Final = 3_000
TALK_TABLE_EVERY_MS: Final = 10_000
CALL_FRESH, TALK_FRESH = 30, 8  # ends since the last building that make a table stale
LEVEL_STEP: Final = 1.07
DOUBT_ANSWERS: Final = 0.03  # relative error of the expected answers
DOUBT_FREED: Final = 0.02  # relative error of the expected free agents

Row = list[float]  # mean, then variance, then third cumulant, each on the grid
_AHEAD_S: Final = HORIZON_S + 2  # the horizon, and whoever waits for the length of a patience beyond it
_SIZE: Final = len(GRID_S)
_on_grid: Final[Callable[[Sequence[float]], Sequence[float]]] = itemgetter(*GRID_S)
#: A row as one whole number with a lane of 64 bits per figure: adding many rows is ten times as fast as with lists.
#: A lane counts in units of 2**-44, which are the last bits of a double between 256 and 512: exact to 1e-13, with room
#: for half a million calls. It holds nothing negative: third cumulants, between ±0.097 for one call, are lifted by 1/8.
_UNITS: Final = float(1 << 44)
_BASE: Final = 256.0
_LIFT: Final = 0.125
_LIFTED: Final = _BASE + _LIFT
_DOUBLES: Final = struct.Struct(f"<{3 * _SIZE}d")
_LANES: Final = struct.Struct(f"<{3 * _SIZE}Q")
_EMPTY: Final = int.from_bytes(_DOUBLES.pack(*[_BASE] * 3 * _SIZE), "little")
_ROOT_HALF: Final = math.sqrt(0.5)
EDGEWORTH: Final = 1.0 / (6.0 * math.sqrt(2 * math.pi))
TAIL_SIGMAS: Final = 4.0


def _row(chances: Sequence[float]) -> Row:
    """Cumulants of one Bernoulli variable per grid moment."""
    variances = [p * (1.0 - p) for p in chances]
    return [*chances, *variances, *[v * (1.0 - 2.0 * p) for p, v in zip(chances, variances, strict=True)]]


def _parts(row: Row) -> tuple[list[float], list[float], list[float]]:
    return row[:_SIZE], row[_SIZE : 2 * _SIZE], row[2 * _SIZE :]


def _in_lanes(chances: Sequence[float]) -> int:
    """`_row` as a number of lanes."""
    if min(chances) < 0.0 or max(chances) > 1.0:  # by a rounding
        chances = [min(1.0, max(0.0, p)) for p in chances]
    variances = [p * (1.0 - p) for p in chances]
    doubles = _DOUBLES.pack(
        *[_BASE + p for p in chances],
        *[_BASE + v for v in variances],
        *[_LIFTED + v * (1.0 - 2.0 * p) for p, v in zip(chances, variances, strict=True)],
    )
    return int.from_bytes(doubles, "little") - _EMPTY


def _sum(stages: Sequence[tuple[Mapping[int, int], Mapping[int, int]]]) -> Row:
    """Cumulants of independent variables add up. Per stage: rows in lanes by age, and how many are of each age."""
    lanes = sum([count * rows[age] for rows, counts in stages for age, count in counts.items()])
    sums = [figure / _UNITS for figure in _LANES.unpack(lanes.to_bytes(_LANES.size, "little"))]
    lift = _LIFT * sum([sum(counts.values()) for _, counts in stages])
    return [*sums[: 2 * _SIZE], *[third - lift for third in sums[2 * _SIZE :]]]


def _with(rows: dict[int, int], ages: Iterable[int], chances_at: Callable[[int], Sequence[float]]) -> dict[int, int]:
    """`rows` in lanes, completed by those of `ages`."""
    for age in ages:
        if age not in rows:
            rows[age] = _in_lanes(chances_at(age))
    return rows


class Outlook:
    """What one decision weighs: the crowd on the grid, and what one more call would add to it."""

    __slots__ = ("_steps", "answers", "answers_per_call", "freed")

    def __init__(self, calls: Row, agents: Row, *, surplus: int, call: Row, call_weight: list[float]) -> None:
        """`surplus`: agents free now less persons already waiting. `call`: one call placed now."""
        self.answers = calls[_SIZE - 1]
        self.freed = agents[_SIZE - 1]
        self.answers_per_call = call[_SIZE - 1]
        short = 0.5 - surplus
        self._steps = [
            (a - s + short, u + v + (DOUBT_ANSWERS * a) ** 2 + (DOUBT_FREED * s) ** 2 + 1e-6, b - c, m, w, weight)
            for a, u, b, s, v, c, m, w, weight in zip(
                *_parts(calls), *_parts(agents), call[:_SIZE], call[_SIZE : 2 * _SIZE], call_weight, strict=True
            )
        ][::-1]

    def risk(self, calls: int) -> float:
        """Chance that the last of `calls` placed now, if a person answers it, finds no agent in time."""
        others, risk, tail = calls - 1, 0.0, 0.0
        # From the far end: a crowd expected later is made by today's answers too, whoever of them waits in vain.
        for mean, variance, third, more, wider, weight in self._steps:
            tail = max(tail, _tail(mean + others * more, variance + others * wider, third))
            risk += weight * tail
        return risk

    def risk_of(self, ringing: Row) -> float:
        """Chance that a call already in flight, with this row, finds no agent when it is answered."""
        chances, variances, thirds = _parts(ringing)
        answered = risk = before = 0.0
        for step, chance, spread, skew in zip(reversed(self._steps), chances, variances, thirds, strict=True):
            weight = max(0.0, chance - before)
            before = chance
            answered += weight
            risk += weight * _tail(step[0] - chance, max(1e-6, step[1] - spread), step[2] - skew)
        return risk / answered if answered > 0 else 1.0

    def drop(self, ringing: Row) -> None:
        """Go on as if a call with this row were no longer in flight."""
        self._steps = [
            (step[0] - chance, max(1e-6, step[1] - spread), step[2] - skew, *step[3:])
            for step, chance, spread, skew in zip(
                self._steps, *(reversed(part) for part in _parts(ringing)), strict=True
            )
        ]


def _tail(mean: float, variance: float, third: float) -> float:
    """P(X > 0) from three cumulants: normal tail with Edgeworth's first correction."""
    sigma = math.sqrt(variance)
    z = -mean / sigma
    if z > TAIL_SIGMAS:
        return 0.0
    if z < -TAIL_SIGMAS:
        return 1.0
    skew = EDGEWORTH * third / (variance * sigma) * math.exp(-0.5 * z * z) * (z * z - 1.0)
    tail = 0.5 * math.erfc(z * _ROOT_HALF) + skew
    return tail if 0.0 < tail < 1.0 else float(tail >= 1.0)


class Forecast:
    """Who and what is where since when, the tables learned from it, and the outlook they give."""

    def __init__(self, *, ring_timeout_s: int) -> None:
        self.dialing = Stage()
        self.ringing = Stage()
        self.screening = Stage()
        self.waiting = Stage()
        self.talking = Stage()
        self.wrapping = Stage()
        self._answer_ages: dict[str, int] = {}  # age at answer of calls in screening
        self._dial = LifeTable(
            DIAL_BINS,
            [[0.0, 0.15] + [0.35] * (DIAL_BINS.count - 2), [0.02] * DIAL_BINS.count],
            prior_weight=4.0,
            memory=CALL_MEMORY,
        )
        quiet_s, ring_s = 2, min(max(6, ring_timeout_s), RING_BINS.count - RING_SLACK_S)
        person, machine = 0.25 / (ring_s - quiet_s), 0.2 / (ring_s - quiet_s)
        self._rings_at_most = ring_s + RING_SLACK_S
        rung_out = [0.0] * ring_s + [0.9] * (RING_BINS.count - ring_s)
        self._ring = LifeTable(
            RING_BINS,
            [
                [0.0 if s < quiet_s else person if s < ring_s else 0.0 for s in range(RING_BINS.count)],
                [0.0 if s < quiet_s else machine if s < ring_s else 0.0 for s in range(RING_BINS.count)],
                rung_out,
            ],
            prior_weight=12.0,
            memory=CALL_MEMORY,
        )
        self._talk = LifeTable(TALK_BINS, [_exponential(TALK_BINS, 120.0)], prior_weight=3.0, memory=TALK_MEMORY)
        wrap_ends = _exponential(WRAP_BINS, 20.0)
        self._wrap = LifeTable(WRAP_BINS, [wrap_ends, [0.0] * WRAP_BINS.count], prior_weight=3.0, memory=TALK_MEMORY)
        self._delays = [[0.0] * DELAY_BINS, [0.0] * DELAY_BINS]  # persons, machines
        self._patience_s = 1.0
        self._seen = self._expected = 0.0
        self._level_ms = 0
        self._call_table_ms = self._talk_table_ms = -1_000_000_000
        self._build_talk_tables()
        self._build_call_tables()

    # --- events ------------------------------------------------------------------------------------------------

    def call_rang(self, now_ms: int, call: str) -> bool:
        placed_ms = self.dialing.pop(call)
        if placed_ms is None:
            return False
        self._dial.note(RINGS, now_ms - placed_ms)
        self.ringing.add(call, now_ms)
        return True

    def call_answered(self, now_ms: int, call: str) -> bool:
        if call in self.dialing:  # Not every carrier tells us that it rings.
            self.call_rang(now_ms, call)
        rang_ms = self.ringing.pop(call)
        if rang_ms is None:
            return False
        self._answer_ages[call] = now_ms - rang_ms
        self.screening.add(call, now_ms)
        return True

    def call_judged(self, now_ms: int, call: str, verdict: int) -> bool:
        """A person (now waiting for an agent) or a machine (gone)."""
        if call not in self.screening:
            self.call_answered(now_ms, call)
        answered_ms = self.screening.pop(call)
        if answered_ms is None:
            return False
        self._ring.note(verdict, self._answer_ages.pop(call))
        delays = self._delays[verdict]
        delays[min(DELAY_BINS - 1, max(0, (now_ms - answered_ms) // DELAY_STEP_MS))] += 1.0
        if verdict == PERSON:
            self._seen += 1.0
            self.waiting.add(call, now_ms)
        return True

    def call_ended(self, now_ms: int, call: str, *, learn: bool = True) -> bool:
        """Ended without a verdict, or after it. `learn=False`: we ended it ourselves, it says nothing of its kind."""
        if self.waiting.pop(call) is not None:
            return True
        for stage, table, cause in ((self.dialing, self._dial, UNREACHED), (self.ringing, self._ring, OTHER)):
            since_ms = stage.pop(call)
            if since_ms is not None:
                if learn:
                    table.note(cause, now_ms - since_ms)
                return True
        if self.screening.pop(call) is None:
            return False
        self._ring.note(OTHER, self._answer_ages.pop(call))
        return True

    def call_abandoned(self, now_ms: int, call: str) -> bool:
        if call in self.waiting:
            self._patience_s += 0.05 * ((now_ms - self.waiting[call]) / 1000 - self._patience_s)
        return self.call_ended(now_ms, call)

    def talk_began(self, now_ms: int, agent: str) -> None:
        self.talk_over(now_ms, agent)
        self.wrapping.pop(agent)
        self.talking.add(agent, now_ms)

    def talk_over(self, now_ms: int, agent: str) -> None:
        since_ms = self.talking.pop(agent)
        if since_ms is not None:
            self._talk.note(0, now_ms - since_ms)
            self.wrapping.add(agent, now_ms)

    def wrap_over(self, now_ms: int, agent: str, *, away: bool) -> None:
        self.talk_over(now_ms, agent)
        since_ms = self.wrapping.pop(agent)
        if since_ms is not None:
            self._wrap.note(AWAY if away else FREE, now_ms - since_ms)

    @property
    def busy(self) -> int:
        """Agents talking or wrapping up."""
        return len(self.talking) + len(self.wrapping)

    @property
    def in_flight(self) -> int:
        """Calls placed and not yet known to be a person, a machine or nobody."""
        return len(self.dialing) + len(self.ringing) + len(self.screening)

    @property
    def size(self) -> int:
        """Calls and busy agents that an outlook goes through."""
        return self.in_flight + self.busy

    # --- the outlook -------------------------------------------------------------------------------------------

    def outlook(self, now_ms: int, *, ready: int, leaving: set[str]) -> Outlook:
        """What lies ahead of `ready` free agents; agents in `leaving` are not counted on."""
        dial_bins, ring_bins = self.dialing.ages(now_ms, DIAL_BINS), self.ringing.ages(now_ms, RING_BINS)
        talk_bins, wrap_bins = self.talking.ages(now_ms, TALK_BINS), self.wrapping.ages(now_ms, WRAP_BINS)
        if _stale(now_ms - self._talk_table_ms, self._talk.fresh, TALK_FRESH, TALK_TABLE_EVERY_MS):
            self._talk_table_ms = now_ms
            self._build_talk_tables(talk_bins, wrap_bins)
        elif self._patience_s != self._patience_built_s:
            self._be_patient()
        if self._call_tables_stale(now_ms):
            self._call_table_ms = now_ms
            self._build_call_tables(dial_bins, ring_bins)
        if leaving:
            talk_bins = _without(talk_bins, leaving, self.talking, now_ms, TALK_BINS)
            wrap_bins = _without(wrap_bins, leaving, self.wrapping, now_ms, WRAP_BINS)
        delays = Counter([(now_ms - since_ms) // 500 for _, since_ms in self.screening.items()])
        return Outlook(
            _sum(
                (
                    (_with(self._dial_rows, dial_bins, self._dialing), dial_bins),
                    (_with(self._ring_rows, ring_bins, self._ringing), ring_bins),
                    (_with(self._screening_rows, delays, self._screening), delays),
                )
            ),
            _sum(
                (
                    (_with(self._talk_rows, talk_bins, self._talked), talk_bins),
                    (_with(self._wrap_rows, wrap_bins, self._wrapped), wrap_bins),
                )
            ),
            surplus=ready - len(self.waiting),
            call=self._new_call,
            call_weight=self._call_weight,
        )

    def unneeded(self, now_ms: int, outlook: Outlook, *, ring_min_ms: int, risk_max: float) -> tuple[str, ...]:
        """Ringing calls, youngest first, whose answer would more likely than `risk_max` find no agent.

        Only calls that have rung for `ring_min_ms`; `outlook` is used up.
        """
        calls: list[str] = []
        for call, since_ms in self.ringing.latest_first():
            age_ms = now_ms - since_ms
            if age_ms >= ring_min_ms:
                row = _row(self._ringing(age_ms // 1000))
                if outlook.risk_of(row) <= risk_max:
                    break
                outlook.drop(row)
                calls.append(call)
        return tuple(calls)

    @property
    def level(self) -> float:
        """Answers seen over answers expected lately."""
        return min(LEVEL_MAX, max(LEVEL_MIN, (self._seen + DRIFT_PRIOR) / (self._expected + DRIFT_PRIOR)))

    def _call_tables_stale(self, now_ms: int) -> bool:
        age_ms = now_ms - self._call_table_ms
        moved = not 1 / LEVEL_STEP < self.level / self._level_built < LEVEL_STEP
        return age_ms >= CALL_TABLE_EVERY_MS and (
            moved or _stale(age_ms, self._ring.fresh + self._dial.fresh, CALL_FRESH, CALL_TABLE_EVERY_MS)
        )

    def watch_drift(self, now_ms: int) -> None:
        """Compare answers with the table's expectation; to be called in every mode, about once a second or more."""
        passed_s = (now_ms - self._level_ms) / 1000
        if passed_s < DRIFT_STEP_S:
            return
        self._level_ms = now_ms
        chances = self._answer_chances
        ringing = self.ringing.ages(now_ms, RING_BINS)
        self._expected += passed_s * sum([chances[age] * count for age, count in ringing.items()])
        keep = math.exp(-min(passed_s, DRIFT_S) / DRIFT_S)
        if self._expected * keep > DRIFT_ANSWERS:
            keep = DRIFT_ANSWERS / self._expected
        self._expected *= keep
        self._seen *= keep

    # --- tables ------------------------------------------------------------------------------------------------

    def _build_call_tables(
        self, dial_bins: Mapping[int, int] | None = None, ring_bins: Mapping[int, int] | None = None
    ) -> None:
        """Per age: chance to hold an agent at each second ahead (answered, judged a person, not yet done)."""
        rings, unreached = self._dial.hazards(dial_bins or {})
        person, machine, other = self._ring.hazards(ring_bins or {})
        self._answer_chances = person
        self._level_built = level = self.level
        delay_s = self._delay_s()
        hold = [_holding(self._hold, t - delay_s) for t in range(1, HORIZON_S + 1)]
        later = [0.0] * (HORIZON_S + 1)
        ringing = []
        top = self._rings_at_most
        for p, m, o in zip(person[top - 1 :: -1], machine[top - 1 :: -1], other[top - 1 :: -1], strict=True):
            answer = min(ANSWER_MAX, p * level)
            later = _a_second_earlier(answer, hold, max(0.0, 1.0 - answer - m - o), later)
            ringing.append(later)
        self._ring_later = ringing[::-1]
        rung = [0.5 * (a + b) for a, b in pairwise(later)]
        later = [0.0] * (HORIZON_S + 1)
        dialing = []
        for r, u in zip(reversed(rings), reversed(unreached), strict=True):
            later = _a_second_earlier(r, rung, max(0.0, 1.0 - r - u), later)
            dialing.append(later)
        self._dial_later = dialing[::-1]
        soon = slice(HORIZON_S)
        starts = _ends_at(rings[soon], [r + u for r, u in zip(rings[soon], unreached[soon], strict=True)])
        answers = [min(ANSWER_MAX, p * level) for p in person[soon]]
        leaves = [a + m + o for a, m, o in zip(answers, machine[soon], other[soon], strict=True)]
        self._call_weight = self._answer_weight(starts, _ends_at(answers, leaves), delay_s)
        self._dial_rows: dict[int, int] = {}
        self._ring_rows: dict[int, int] = {}
        self._screening_rows: dict[int, int] = {}
        self._new_call = _row(self._dialing(0))
        for row in self._delays:
            if sum(row) > CALL_MEMORY:
                row[:] = [0.5 * count for count in row]

    def _answer_weight(self, starts: list[float], answers: list[float], delay_s: float) -> list[float]:
        """When a person answers a call placed now, given that one does: share per grid moment.

        `starts[s]`: chance to begin ringing in second s; `answers[s]`: to be answered s seconds into ringing.
        """
        backwards = answers[HORIZON_S - 1 :: -1]
        total = [sum(map(mul, starts[: t + 1], backwards[HORIZON_S - 1 - t :])) for t in range(HORIZON_S)]
        weights = [0.0] * len(GRID_S)
        slot = 0
        for second, chance in enumerate(total):
            while slot < len(GRID_S) - 1 and GRID_S[slot] < second + 0.5 + delay_s:
                slot += 1
            weights[slot] += chance
        whole = sum(weights) or 1.0
        return [weight / whole for weight in weights]

    def _build_talk_tables(
        self, talk_bins: Mapping[int, int] | None = None, wrap_bins: Mapping[int, int] | None = None
    ) -> None:
        talk = self._talk.hazards(talk_bins or {})[0]
        back, away = self._wrap.hazards(wrap_bins or {})
        self._talk_ends = Survival(TALK_BINS, talk)
        self._wrap_ends = Survival(WRAP_BINS, [b + a for b, a in zip(back, away, strict=True)])
        self._back_share = 1.0 - self._wrap.share(AWAY)
        #: P(ready again by each second | the talk ended in the first one), the last second first.
        self._wraps = [self._back_share * (1.0 - alive) for alive in reversed(self._wrap_ends.alive_halfway(_AHEAD_S))]
        ends = self._talk_ends_at(0.0)
        self._hold = [1.0] + [1.0 - sum(map(mul, ends, self._wraps[_AHEAD_S - t :])) for t in range(1, _AHEAD_S + 1)]
        self._be_patient()
        self._talk_rows: dict[int, int] = {}
        self._wrap_rows: dict[int, int] = {}

    def _be_patient(self) -> None:
        """Who answers at t is still there a little later: shift what agents are to be free by."""
        self._patience_built_s = self._patience_s
        self._whole_s = whole = min(int(self._patience_s), 1)
        self._part_s = part = min(1.0, self._patience_s - whole)
        self._wraps_in_time = []
        for t in GRID_S:
            then, next_second = self._wraps[_AHEAD_S - t - whole :], self._wraps[_AHEAD_S - t - whole - 1 :]
            self._wraps_in_time.append([a + part * (b - a) for a, b in zip([*then, 0.0], next_second, strict=True)])

    def _talk_ends_at(self, age_s: float) -> list[float]:
        """P(the talk ends in each second ahead | has lasted `age_s`)."""
        alive = self._talk_ends.alive(age_s, _AHEAD_S)
        return list(map(sub, alive, alive[1:]))

    def _talked(self, age: int) -> list[float]:
        """P(ready again) for an agent who talks: after the rest of it and a whole wrap-up; `age`: the talk's bin."""
        ends = self._talk_ends_at(_middle(TALK_BINS, age))
        return [sum(map(mul, ends, wraps)) for wraps in self._wraps_in_time]

    def _wrapped(self, age: int) -> list[float]:
        """P(ready again) for an agent in wrap-up; `age`: its bin."""
        alive = self._wrap_ends.alive(_middle(WRAP_BINS, age), _AHEAD_S)
        later, part = alive[self._whole_s :], self._part_s
        return [self._back_share * (1.0 - (later[t] + part * (later[t + 1] - later[t]))) for t in GRID_S]

    def _dialing(self, age: int) -> Sequence[float]:
        """P(holds an agent) for a call dialed `age` seconds ago that does not ring yet."""
        return _on_grid(self._dial_later[age])

    def _ringing(self, age: int) -> Sequence[float]:
        """P(holds an agent) for a call that has rung for `age` seconds."""
        return _on_grid(self._ring_later[min(age, self._rings_at_most - 1)])

    def _screening(self, age: int) -> list[float]:
        """P(holds an agent) for a call answered `age` half seconds ago."""
        persons, machines = self._delays
        first = min(DELAY_BINS - 1, age * 500 // DELAY_STEP_MS)
        still = sum(persons[first:]) + 0.02
        chance = still / (still + sum(machines[first:]) + 0.02)
        waits = [1.0 - sum(persons[min(DELAY_BINS, first + t * 1000 // DELAY_STEP_MS) :]) / still for t in GRID_S]
        return [chance * wait * self._hold[max(0, t - 1)] for wait, t in zip(waits, GRID_S, strict=True)]

    def _delay_s(self) -> float:
        """Mean time from answer to "person"."""
        persons = self._delays[PERSON]
        known = sum(persons)
        return sum(map(mul, persons, range(DELAY_BINS))) * DELAY_STEP_MS / 1000 / known if known else 0.0

    # --- memory across restarts --------------------------------------------------------------------------------

    def export(self) -> dict[str, Any]:
        """What was learned, as plain JSON."""
        return {
            "dial": self._dial.export(),
            "ring": self._ring.export(),
            "talk": self._talk.export(),
            "wrap": self._wrap.export(),
            "delays": [[round(count, 3) for count in row] for row in self._delays],
            "patience_s": round(self._patience_s, 3),
        }

    def restore(self, learned: Mapping[str, Any]) -> None:
        """Take over what `export` gave; raises ValueError or KeyError when it is not of this shape."""
        delays = [[float(count) for count in row] for row in learned["delays"]]
        if [len(row) for row in delays] != [DELAY_BINS, DELAY_BINS]:
            raise ValueError("detection delays do not fit")
        patience_s = float(learned["patience_s"])
        for table, name in ((self._dial, "dial"), (self._ring, "ring"), (self._talk, "talk"), (self._wrap, "wrap")):
            table.restore(learned[name])
        self._delays, self._patience_s = delays, patience_s
        self._build_talk_tables()
        self._build_call_tables()


def _stale(age_ms: int, fresh: int, enough: int, least_ms: int) -> bool:
    """Is a table worth building anew? Much news soon, little news later, no news never."""
    return age_ms >= least_ms and (fresh >= enough or (fresh > 0 and age_ms >= 5 * least_ms))


def _without(
    counts: dict[int, int], leaving: Iterable[str], stage: Stage, now_ms: int, bins: AgeBins
) -> dict[int, int]:
    """`counts` of the stage by age, less those who are leaving."""
    those = Counter([bins.bin(now_ms - stage[who]) for who in leaving if who in stage])
    return {age: count - those[age] for age, count in counts.items() if count > those[age]}


def _a_second_earlier(leaves: float, then: list[float], stays: float, later: list[float]) -> list[float]:
    """Chances 0, 1 … seconds ahead of who may leave in this second (`then`, from 1 on) or stay (`later`, from 0)."""
    return [0.0, *[leaves * a + stays * b for a, b in zip(then, later, strict=False)]]


def _ends_at(cause: list[float], all_causes: list[float]) -> list[float]:
    """Chance to end from `cause` in each second, from the hazards of that cause and of all together."""
    ends, alive = [], 1.0
    for one, every in zip(cause, all_causes, strict=True):
        ends.append(alive * one)
        alive *= max(0.0, 1.0 - every)
    return ends


def _middle(bins: AgeBins, age: int) -> float:
    edges = bins.edges_s
    return 0.5 * (edges[age] + edges[age + 1]) if age + 1 < bins.count else float(edges[age])


def _holding(hold: list[float], ahead_s: float) -> float:
    """Chance to hold an agent at `ahead_s` after the start of a second in which the person answers, any time in it."""
    if ahead_s <= 0.0:
        return 0.0
    if ahead_s < 1.0:
        return ahead_s * hold[0]
    after = ahead_s - 0.5
    whole = int(after)
    return hold[whole] + (after - whole) * (hold[whole + 1] - hold[whole])


def _exponential(bins: AgeBins, mean_s: float) -> list[float]:
    """Prior hazards of an exponential time."""
    edges = bins.edges_s
    widths = [b - a for a, b in pairwise(edges)]
    return [1.0 - math.exp(-width / mean_s) for width in [*widths, widths[-1]]]
