from engine.core.budget import AbandonRule, AtCeiling
from engine.core.pacing import Manual, Pacer, PacingLimit, Preview, Progressive, Ratio


def campaign(policy: Manual | Preview | Progressive | Ratio, *, ready: int, rule: AbandonRule | None = None) -> Pacer:
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
    assert pacer.decide(0, wanted_elsewhere=1).place == 1
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
