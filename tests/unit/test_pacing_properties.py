"""What must hold in any shift, however nasty. `PACING_SEEDS=1000` makes the long run of it."""

import os
import random
from dataclasses import replace

import pytest

from engine.core.budget import DAY_MS, AbandonRule, AtCeiling, Rolling
from engine.core.pacing import Pacer, PacingPolicy, Predictive, Preview, Progressive, Ratio
from tests.unit.pacing_world import Nasty, World

SEEDS = int(os.environ.get("PACING_SEEDS", "3"))
MINUTE_MS = 60_000
SHOCKS = {  # what happens, and the minutes a shift needs to earn it back: a flood strands whatever is in flight
    "the answer rate times four in a minute": (Nasty(hot_at_ms=8 * MINUTE_MS), 30),
    "half the agents gone at once": (Nasty(gone_at_ms=8 * MINUTE_MS), 40),
    "the carrier answers everything at once": (Nasty(flood_at_ms=4 * MINUTE_MS), 130),
}
pytestmark = pytest.mark.timeout(60 if SEEDS <= 3 else 36_000)


def shift(policy: PacingPolicy, rule: AbandonRule, nasty: Nasty, *, agents: int, seed: int, minutes: int) -> World:
    world = World(Pacer(policy, rule), nasty, agents=agents, seed=seed)
    world.run(minutes * MINUTE_MS)
    return world


@pytest.mark.parametrize("shock", SHOCKS, ids=str)
def test_a_shift_ends_under_the_ceiling_whatever_happened_in_it(shock: str) -> None:
    what, minutes = SHOCKS[shock]
    for seed in range(SEEDS):
        chance = random.Random(seed)
        agents = (3, 6, 12)[seed % 3] if SEEDS <= 3 else round(3 * (1000 / 3) ** chance.random())
        nasty = replace(what, answer_share=chance.uniform(0.2, 0.25), talk_mean_ms=12_000)
        world = shift(Predictive(), AbandonRule(), nasty, agents=agents, seed=seed, minutes=minutes)
        assert world.live > 10 * agents
        assert world.abandoned <= max(1, 0.03 * world.live), f"{world.abandoned} of {world.live}, {agents} agents"


@pytest.mark.parametrize("at_ceiling", [AtCeiling.ONE_TO_ONE, AtCeiling.STOP])
def test_with_the_share_used_up_no_call_is_risked(at_ceiling: AtCeiling) -> None:
    rule = AbandonRule(at_ceiling=at_ceiling, periods=(Rolling(length_ms=DAY_MS), Rolling(length_ms=20 * MINUTE_MS)))
    for seed in range(SEEDS):
        for policy in (Predictive(), Ratio(calls_per_agent=4)):
            nasty = Nasty(flood_at_ms=3 * MINUTE_MS, hot_at_ms=5 * MINUTE_MS)
            shift(policy, rule, nasty, agents=15, seed=seed, minutes=20)


def test_one_call_per_agent_and_self_dialing_agents_never_get_more() -> None:
    for policy in (Progressive(), Preview()):
        nasty = Nasty(gone_at_ms=3 * MINUTE_MS)
        world = shift(policy, AbandonRule(), nasty, agents=20, seed=1, minutes=10)
        assert (world.placed > 0) == isinstance(policy, Progressive)


def test_ringing_calls_are_taken_back_when_everybody_leaves_but_never_too_early() -> None:
    cancelled = 0
    for seed in range(SEEDS):
        nasty = Nasty(answer_share=0.1, gone_at_ms=5 * MINUTE_MS)
        world = shift(Predictive(), AbandonRule(ring_min_ms=12_000), nasty, agents=30, seed=seed, minutes=8)
        cancelled += world.cancelled
    assert cancelled > 0
