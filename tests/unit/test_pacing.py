import json

import pytest

from engine.core.budget import AbandonRule, AtCeiling
from engine.core.pacing import (
    Elsewhere,
    Manual,
    Pacer,
    PacingLimit,
    PacingPolicy,
    Predictive,
    Preview,
    Progressive,
    Ratio,
)
from tests.unit.pacing_world import Nasty, World


def campaign(policy: PacingPolicy, *, ready: int, rule: AbandonRule | None = None) -> Pacer:
    pacer = Pacer(policy, rule or AbandonRule())
    for i in range(ready):
        pacer.agent_in(0, f"a{i}")
    return pacer


def place(pacer: Pacer, now_ms: int, calls: int) -> None:
    for i in range(calls):
        pacer.placed(now_ms, f"c{now_ms}-{i}")


def test_progressive_places_one_call_per_ready_agent_and_no_second() -> None:
    pacer = campaign(Progressive(), ready=3)
    assert pacer.decide(1_000).place == 3
    place(pacer, 1_000, 3)
    decision = pacer.decide(1_001)
    assert decision.place == 0
    assert decision.limit is PacingLimit.IN_FLIGHT


def test_a_failed_call_is_replaced_and_an_answered_one_is_not() -> None:
    pacer = campaign(Progressive(), ready=2)
    place(pacer, 0, 2)
    pacer.failed(3_000, "c0-0")
    assert pacer.decide(3_000).place == 1
    pacer.answered(4_000, "c0-1")
    pacer.human(6_000, "c0-1")
    assert pacer.decide(6_000).place == 1
    pacer.agent_busy(6_050, "a0", "c0-1")
    assert pacer.decide(6_050).place == 1  # One agent is ready, nothing is in flight.


def test_ratio_places_its_multiple() -> None:
    pacer = campaign(Ratio(calls_per_agent=2.5), ready=2)
    assert pacer.decide(0).place == 5


def test_agents_who_dial_themselves_get_nothing_placed() -> None:
    for policy in (Manual(), Preview()):
        decision = campaign(policy, ready=5).decide(0)
        assert decision.place == 0
        assert decision.limit is PacingLimit.AGENTS_DIAL


def test_nobody_logged_in_nothing_dialed() -> None:
    decision = campaign(Ratio(calls_per_agent=3), ready=0).decide(0)
    assert (decision.place, decision.limit) == (0, PacingLimit.NO_AGENT)


def test_an_agent_about_to_leave_or_wanted_elsewhere_is_not_dialed_for() -> None:
    pacer = campaign(Progressive(), ready=3)
    pacer.agent_leaving(0, "a0")
    assert pacer.decide(0).place == 2
    assert pacer.decide(0, elsewhere=Elsewhere(now=1)).place == 1
    pacer.agent_staying(0, "a0")
    assert pacer.decide(0).place == 3


def test_lines_cut_the_decision_and_say_so() -> None:
    decision = campaign(Progressive(), ready=9).decide(0, room=4)
    assert (decision.place, decision.limit) == (4, PacingLimit.LINES)


def test_the_mode_changes_live() -> None:
    pacer = campaign(Manual(), ready=2)
    assert pacer.decide(0).place == 0
    pacer.switch(Ratio(calls_per_agent=2))
    assert pacer.decide(0).place == 4


def test_at_the_ceiling_ratio_falls_to_one_to_one_or_stops_by_rule() -> None:
    for at_ceiling, expected in ((AtCeiling.ONE_TO_ONE, 2), (AtCeiling.STOP, 0)):
        pacer = campaign(Ratio(calls_per_agent=3), ready=2, rule=AbandonRule(at_ceiling=at_ceiling))
        pacer.placed(0, "c")
        pacer.human(5_000, "c")
        pacer.abandoned(7_000, "c")
        decision = pacer.decide(7_000)
        assert (decision.place, decision.limit) == (expected, PacingLimit.CEILING)


def test_an_unknown_call_is_counted_and_harmless() -> None:
    pacer = campaign(Progressive(), ready=1)
    pacer.no_answer(0, "from before the restart")
    assert pacer.strays == 1
    assert pacer.decide(0).place == 1


def worked(policy: PacingPolicy, *, agents: int = 10, minutes: int = 20) -> World:
    """A campaign that has run for a while: its tables know the list and the agents."""
    world = World(Pacer(policy, AbandonRule()), Nasty(talk_mean_ms=30_000), agents=agents, seed=5)
    world.run(minutes * 60_000)
    return world


def test_predictive_dials_ahead_of_agents_and_connects_more_than_one_to_one() -> None:
    assert worked(Predictive()).live > 1.25 * worked(Progressive()).live


def test_a_decision_carries_what_it_weighed() -> None:
    world = worked(Predictive())
    decision = world.pacer.decide(world.now_ms + 1_000)
    assert decision.limit is PacingLimit.RISK
    assert decision.ready + decision.busy == 10
    assert decision.busy > 0
    assert 0 < decision.soon_free < decision.busy
    assert 0 < decision.expected_answers < decision.dialing + decision.screening
    assert 0 < decision.threshold < 0.2
    assert decision.budget.live_answers == world.live
    assert decision.place == 0 or decision.risk <= decision.threshold


def test_asked_again_at_once_the_predictive_mode_says_it_has_just_looked() -> None:
    world = worked(Predictive())
    now_ms = world.now_ms + 1_000
    world.pacer.decide(now_ms)
    decision = world.pacer.decide(now_ms)
    assert (decision.place, decision.limit) == (0, PacingLimit.PACED)


def test_what_was_learned_in_one_mode_serves_the_next() -> None:
    pacer = worked(Progressive()).pacer
    fresh = Pacer(Predictive(), AbandonRule())
    pacer.switch(Predictive())
    assert pacer.export()["forecast"]["ring"] != fresh.export()["forecast"]["ring"]
    learned = json.loads(json.dumps(pacer.export()))
    again = Pacer(Predictive(), AbandonRule(), learned=learned)
    assert again.export() == pacer.export()


def test_damaged_memory_is_refused_before_anything_is_taken_over() -> None:
    with pytest.raises((ValueError, KeyError)):
        Pacer(Predictive(), AbandonRule(), learned={"forecast": {}, "thrift": -3.3})


def test_no_share_aimed_at_means_no_risk_taken() -> None:
    world = World(Pacer(Predictive(abandon_share=0.0), AbandonRule()), Nasty(talk_mean_ms=30_000), agents=5, seed=2)
    world.run(20 * 60_000)
    assert world.live > 20
    assert world.abandoned == 0


def test_a_stricter_aim_abandons_less() -> None:
    loose, strict = (
        World(Pacer(Predictive(abandon_share=share), AbandonRule()), Nasty(talk_mean_ms=30_000), agents=10, seed=3)
        for share in (0.03, 0.01)
    )
    for world in (loose, strict):
        world.run(60 * 60_000)
    assert strict.abandoned <= 0.01 * strict.live
    assert strict.abandoned < loose.abandoned


def test_an_answer_against_our_own_hang_up_counts_as_abandoned() -> None:
    pacer = campaign(Predictive(), ready=1)
    pacer.placed(0, "c")
    pacer.ringing(2_000, "c")
    pacer.cancelled(20_000, "c")
    pacer.human(20_050, "c")
    pacer.abandoned(20_050, "c")
    state = pacer.budget.state(20_100)
    assert (state.live_answers, state.abandoned) == (1, 1)
