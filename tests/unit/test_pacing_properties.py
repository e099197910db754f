"""What must hold in any shift, however nasty. `make test-pacing` (`PACING_SEEDS=1000`) is the long run of it."""

import math
import os
import random
from dataclasses import replace

import pytest

from engine.core.budget import DAY_MS, AbandonRule, AtCeiling, Rolling
from engine.core.pacing import Pacer, PacingPolicy, Predictive, Preview, Progressive, Ratio
from tests.unit.pacing_world import Nasty, World

SEEDS = int(os.environ.get("PACING_SEEDS", "3"))
SEEDS_EARNED_BACK = min(SEEDS, 10)  # hours each: an abandon is earned back by 33 answers
MINUTE_MS = 60_000
SHOCKS = {  # what happens and in which minute, and the minutes a shift needs to earn it back
    "the answer rate times four in a minute": ("hot_at_ms", 8, 30),
    "half the agents gone at once": ("gone_at_ms", 8, 40),
    "the carrier answers everything at once": ("flood_at_ms", 4, 130),
}
pytestmark = pytest.mark.timeout(60 if SEEDS <= 3 else 36_000)


def shift(policy: PacingPolicy, rule: AbandonRule, nasty: Nasty, *, agents: int, seed: int, minutes: int) -> World:
    world = World(Pacer(policy, rule), nasty, agents=agents, seed=seed)
    world.run(minutes * MINUTE_MS)
    return world


@pytest.mark.parametrize("shock", SHOCKS, ids=str)
def test_a_shift_ends_under_the_ceiling_whatever_happened_in_it(shock: str) -> None:
    what, minute, minutes = SHOCKS[shock]
    for seed in range(SEEDS_EARNED_BACK):
        chance = random.Random(seed)
        agents = (3, 6, 12)[seed % 3] if SEEDS <= 3 else drawn(chance)
        nasty = struck(what, minute, chance)
        world = shift(Predictive(), AbandonRule(), nasty, agents=agents, seed=seed, minutes=minutes)
        assert world.live > 10 * agents
        assert world.abandoned <= max(1, 0.03 * world.live), f"{world.abandoned} of {world.live}, {agents} agents"


@pytest.mark.parametrize("shock", SHOCKS, ids=str)
def test_only_calls_that_were_on_their_way_pass_the_ceiling(shock: str) -> None:
    """The promise of docs/pacing.md, from 3 to 1,000 agents: a call placed with the share used up is not abandoned."""
    what, _, _ = SHOCKS[shock]
    eased = eased_abandoned = 0
    for seed in range(SEEDS):
        chance = random.Random(seed)
        agents = (3, 12, 40)[seed % 3] if SEEDS <= 3 else (3, 1_000)[seed] if seed < 2 else drawn(chance)
        at_ceiling = list(AtCeiling)[(seed // 3 if SEEDS > 3 else seed) % 3]
        nasty = struck(what, 3, chance)
        world = shift(Predictive(), AbandonRule(at_ceiling=at_ceiling), nasty, agents=agents, seed=seed, minutes=7)
        seen = (
            f"seed {seed}, {agents} agents, {at_ceiling}: {world.abandoned} of {world.live}, {world.stranded} stranded"
        )
        assert world.abandoned <= 1 + 0.03 * world.live + world.stranded + world.late_abandoned, seen
        if at_ceiling is AtCeiling.EASE:
            eased, eased_abandoned = eased + world.late_live, eased_abandoned + world.late_abandoned
        elif nasty.gone_at_ms is None:
            assert world.late_abandoned == 0, f"{seen}, {world.late_abandoned} of them placed too late"
    if what != "flood_at_ms":  # it strands eased calls like any others
        assert eased_abandoned <= max(2, 0.03 * eased), f"{eased_abandoned} of {eased} answers with hardly any risk"


def drawn(chance: random.Random) -> int:
    """3 to 1,000 agents, small teams far more often: they cost less, and chance hits them harder."""
    return round(3.0 * math.pow(1000 / 3, math.pow(chance.random(), 4)))


def struck(what: str, minute: int, chance: random.Random) -> Nasty:
    """A busy campaign that this happens to in that minute."""
    return replace(Nasty(answer_share=chance.uniform(0.2, 0.25), talk_mean_ms=12_000), **{what: minute * MINUTE_MS})


@pytest.mark.parametrize("at_ceiling", [AtCeiling.ONE_TO_ONE, AtCeiling.STOP])
def test_with_the_share_used_up_no_call_is_risked(at_ceiling: AtCeiling) -> None:
    rule = AbandonRule(at_ceiling=at_ceiling, periods=(Rolling(length_ms=DAY_MS), Rolling(length_ms=20 * MINUTE_MS)))
    for seed in range(SEEDS):
        policy = Ratio(calls_per_agent=4) if seed % 2 else Predictive()
        nasty = Nasty(flood_at_ms=3 * MINUTE_MS, hot_at_ms=5 * MINUTE_MS)
        shift(policy, rule, nasty, agents=15, seed=seed, minutes=9)


def test_one_call_per_agent_and_self_dialing_agents_never_get_more() -> None:
    for policy in (Progressive(), Preview()):
        nasty = Nasty(gone_at_ms=3 * MINUTE_MS)
        world = shift(policy, AbandonRule(), nasty, agents=20, seed=1, minutes=10)
        assert (world.placed > 0) == isinstance(policy, Progressive)


def test_ringing_calls_are_taken_back_when_everybody_leaves_but_never_too_early() -> None:
    cancelled = 0
    for seed in range(SEEDS):
        nasty = Nasty(answer_share=0.1, gone_at_ms=4 * MINUTE_MS)
        world = shift(Predictive(), AbandonRule(ring_min_ms=12_000), nasty, agents=20, seed=seed, minutes=6)
        cancelled += world.cancelled
    assert cancelled > 0
