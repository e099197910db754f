import json
import random
from collections import Counter

import pytest

from engine.core.forecast import GRID_S, PERSON, Forecast, _in_lanes, _row, _sum
from engine.core.lifetables import AgeBins, LifeTable, Stage, Survival


def ring(forecast: Forecast, call: str, at_ms: int, *, answered_after_s: float | None) -> None:
    """One call from dial to end: 2 s to ring, then a person, or nobody for 25 s."""
    forecast.dialing.add(call, at_ms)
    forecast.call_rang(at_ms + 2_000, call)
    if answered_after_s is None:
        forecast.call_ended(at_ms + 27_000, call)
    else:
        answered_ms = at_ms + 2_000 + round(answered_after_s * 1000)
        forecast.call_answered(answered_ms, call)
        forecast.call_judged(answered_ms + 1_500, call, PERSON)
        forecast.call_ended(answered_ms + 1_600, call)


def taught(share: float = 0.3, calls: int = 1_500) -> Forecast:
    """Has seen persons answer between 6 and 10 s of ringing, and talks of 60 s."""
    forecast, chance = Forecast(ring_timeout_s=25), random.Random(4)
    for i in range(calls):
        after_s = chance.uniform(6, 10) if chance.random() < share else None
        ring(forecast, f"c{i}", i * 1_000, answered_after_s=after_s)
        if i % 4 == 0:
            forecast.talk_began(i * 1_000, f"a{i}")
            forecast.talk_over(i * 1_000 + round(chance.gauss(60, 5) * 1000), f"a{i}")
            forecast.wrap_over(i * 1_000 + 75_000, f"a{i}", away=False)
    forecast._patience_s = forecast._seen = 0.0  # Nobody waited, and the drift was not watched while learning.
    return forecast


def test_a_call_that_rang_past_the_usual_answer_hardly_counts_any_more() -> None:
    forecast, now_ms = taught(), 10_000_000
    forecast.outlook(now_ms, ready=0, leaving=set())  # Builds the tables.
    expected = {}
    for rung_s in (1, 7, 15):
        forecast.ringing = Stage({"c": now_ms - rung_s * 1_000})
        expected[rung_s] = forecast.outlook(now_ms, ready=0, leaving=set()).answers
    assert expected[1] == pytest.approx(0.3, abs=0.06)
    assert expected[7] > 0.15
    assert expected[15] < 0.05


def test_an_agent_near_the_usual_talk_length_is_counted_on_and_a_fresh_talk_is_not() -> None:
    forecast, now_ms = taught(), 10_000_000
    freed = {}
    for talked_s in (2, 50):
        forecast.talking = Stage({"a": now_ms - talked_s * 1_000})
        freed[talked_s] = forecast.outlook(now_ms, ready=0, leaving=set()).freed
    assert freed[2] < 0.05
    assert freed[50] > 0.6


def test_an_agent_about_to_leave_is_not_counted_on() -> None:
    forecast, now_ms = taught(), 10_000_000
    forecast.talking = Stage({"a": now_ms - 50_000})
    assert forecast.outlook(now_ms, ready=0, leaving={"a"}).freed == 0


def test_the_next_call_is_riskier_the_more_are_in_flight_and_the_fewer_are_ready() -> None:
    forecast, now_ms = taught(), 10_000_000
    alone = forecast.outlook(now_ms, ready=3, leaving=set())
    assert [alone.risk(n) for n in (1, 4, 8, 16)] == sorted(alone.risk(n) for n in (1, 4, 8, 16))
    assert alone.risk(1) < 0.01
    forecast.ringing = Stage({f"c{i}": now_ms - 3_000 for i in range(12)})
    assert forecast.outlook(now_ms, ready=3, leaving=set()).risk(1) > 0.3
    assert forecast.outlook(now_ms, ready=12, leaving=set()).risk(1) < 0.01


def test_with_nobody_there_every_answer_finds_nobody() -> None:
    assert taught().outlook(10_000_000, ready=0, leaving=set()).risk(1) == pytest.approx(1, abs=0.01)


def test_the_risk_of_a_small_team_is_close_to_the_exact_one() -> None:
    """Nine calls about to be answered at 6-10 s with known chance p, two agents ready: binomial tail."""
    forecast, now_ms = taught(), 10_000_000
    forecast.outlook(now_ms, ready=0, leaving=set())
    forecast.ringing = Stage({f"c{i}": now_ms for i in range(9)})
    outlook = forecast.outlook(now_ms, ready=2, leaving=set())
    p = outlook.answers / 9
    exact = 1 - (1 - p) ** 9 - 9 * p * (1 - p) ** 8
    # A call placed now is answered when those nine are through.
    assert outlook.risk(1) == pytest.approx(exact, abs=0.05)


def test_the_level_follows_a_list_that_turns_hot_within_a_minute() -> None:
    forecast = taught(share=0.1)
    now_ms = 20_000_000
    forecast.watch_drift(now_ms)
    calls = {f"h{i}": now_ms + i * 500 for i in range(120)}  # Two calls a second; 40 % answer after 8 s.
    ringing, answered = dict(calls), 0
    for t in range(0, 60_000, 500):
        at_ms = now_ms + t
        forecast.watch_drift(at_ms)
        for call, since_ms in list(ringing.items()):
            if since_ms == at_ms:
                forecast.dialing.add(call, at_ms)
                forecast.call_rang(at_ms, call)
            elif at_ms - since_ms == 8_000 and int(call[1:]) % 5 < 2:
                ringing.pop(call)
                forecast.call_judged(at_ms, call, PERSON)
                forecast.call_ended(at_ms, call)
                answered += 1
    assert answered > 30
    assert forecast.level > 1.6


def test_what_was_learned_survives_a_restart() -> None:
    forecast, again = taught(), Forecast(ring_timeout_s=25)
    forecast.outlook(10_000_000, ready=0, leaving=set())
    again.restore(json.loads(json.dumps(forecast.export())))
    for one in (forecast, again):
        one.ringing = Stage({"c": 9_993_000})
        one.talking = Stage({"a": 9_950_000})
    before, after = (one.outlook(10_000_000, ready=1, leaving=set()) for one in (forecast, again))
    assert after.answers == pytest.approx(before.answers, rel=0.1)
    assert after.freed == pytest.approx(before.freed, rel=0.1)


@pytest.mark.parametrize("damage", [{"talk": [[1.0]]}, {"ring": [[-1.0]]}, {"delays": []}])
def test_damaged_memory_is_refused(damage: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"life table|delays"):
        Forecast(ring_timeout_s=25).restore({**Forecast(ring_timeout_s=25).export(), **damage})


def test_ongoing_calls_count_as_at_risk_up_to_their_age() -> None:
    bins = AgeBins.even(5)
    table = LifeTable(bins, [[0.0] * 5], prior_weight=0.001, memory=1e9)
    for _ in range(10):
        table.note(0, 3_500)
    [without] = table.hazards({})
    [with_ongoing] = table.hazards({4: 10})
    assert without[3] == pytest.approx(1, abs=0.01)
    assert with_ongoing[3] == pytest.approx(0.5, abs=0.01)


def test_sums_in_lanes_are_the_sums_of_the_rows() -> None:
    chance = random.Random(7)
    rows = {age: [0.0, 1.0, -1e-17, *(chance.random() for _ in range(len(GRID_S) - 3))] for age in range(50)}
    counts = {age: chance.randint(1, 20_000) for age in rows}
    columns = zip(*map(_row, rows.values()), strict=True)
    plain = [sum(counts[age] * figure for age, figure in enumerate(column)) for column in columns]
    in_lanes = {age: _in_lanes(row) for age, row in rows.items()}
    assert _sum([(in_lanes, counts), ({}, {})]) == pytest.approx(plain, abs=1e-6)


def test_ages_are_counted_by_bins_as_if_one_by_one() -> None:
    chance, bins = random.Random(3), AgeBins.geometric(until_s=600, growth=0.12, least_s=2)
    stage, since_ms = Stage(), {}
    for now_ms in range(0, 1_000_000, 7_001):
        who, leaver = f"a{now_ms}", f"a{chance.randrange(0, now_ms + 1, 7_001)}"
        stage.add(who, now_ms + chance.randint(-3_000, 3_000))  # clocks step back, and some are found later
        since_ms[who] = stage[who]
        assert stage.pop(leaver) == since_ms.pop(leaver, None)
        assert stage.ages(now_ms, bins) == Counter(bins.bin(now_ms - at_ms) for at_ms in since_ms.values())
        assert len(stage) == len(since_ms)


def test_an_exponential_time_has_no_memory() -> None:
    bins = AgeBins.geometric(until_s=600, growth=0.12, least_s=2)
    widths = [b - a for a, b in zip(bins.edges_s, [*bins.edges_s[1:], bins.edges_s[-1] + 60], strict=True)]
    survival = Survival(bins, [1 - 0.99**width for width in widths])
    for age_s in (0.0, 33.0, 250.5, 600.0):
        assert survival.alive(age_s, 20) == pytest.approx([0.99**second for second in range(21)])
    assert survival.alive_halfway(20) == pytest.approx([0.99 ** (second + 0.5) for second in range(20)])
