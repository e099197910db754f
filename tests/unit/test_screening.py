"""Answering-machine detection: who is screened, who is let through, and how often it may be wrong."""

from __future__ import annotations

import math
from typing import Any

import pytest

from engine.core import effects, events
from engine.core.budget import MinuteCount
from engine.core.model import (
    AgentState,
    AmdPolicy,
    AttemptId,
    CustomerState,
    Disposition,
    DispositionId,
    DispositionKind,
    LegId,
    Outcome,
    Verdict,
    customer_leg,
)
from engine.core.pacing import Manual
from engine.core.screening import PRIOR_CHECKS, SAMPLES_MAX, Checked, Detection, interval
from tests.conversation import ANNA, MINUTE_MS, SOLD, SPRING, Conversation, campaign, lead, policy, profile

VOICEMAIL = Disposition(
    id=DispositionId("voicemail"), kind=DispositionKind.RETRY, labels={}, retry_after_ms=MINUTE_MS, machine=True
)
ON = AmdPolicy(enabled=True, sample_share=0.1)
HUNG_UP, SAMPLED = 0.5, 0.05


def screened(*, amd: AmdPolicy = ON, leads: int = 1, agents: bool = True, **changes: Any) -> tuple[Conversation, LegId]:
    """Somebody has answered, and detection has the leg."""
    floor = Conversation(
        *[lead(n) for n in range(1, leads + 1)],
        policy=policy(campaign(amd=amd, dispositions=(SOLD, VOICEMAIL), **changes), agents=[profile(ANNA)]),
    )
    floor.ready(ANNA)
    leg = floor.dial()
    if not agents:
        floor.command(events.AgentPause, agent=ANNA, reason="lunch")
    floor.answer(leg)
    return floor, leg


def budget_of(floor: Conversation) -> tuple[float, float]:
    state = floor.live.pacers[SPRING].budget.state(floor.now_ms)
    return state.live_answers, state.abandoned


# ── one call ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_without_detection_nobody_is_screened() -> None:
    floor, _ = screened(amd=AmdPolicy())
    assert not floor.all(effects.Screen)
    assert floor.agent().state is AgentState.RESERVED


def test_an_answer_is_judged_before_an_agent_gets_it_and_within_the_time_there_is() -> None:
    floor, leg = screened()
    order = floor.last(effects.Screen)
    assert (order.leg, order.within_ms) == (leg, 1_700)
    assert floor.attempt(leg).state is CustomerState.SCREENING
    assert floor.agent().state is AgentState.READY
    assert budget_of(floor) == (0, 0), "nobody knows yet whether it is a live answer"


@pytest.mark.parametrize("verdict", [Verdict.PERSON, Verdict.UNSURE])
def test_whoever_is_not_clearly_a_machine_is_a_person(verdict: Verdict) -> None:
    floor, leg = screened()
    floor.wait(900)
    orders = floor.tell(events.LegJudged(leg, verdict, HUNG_UP))
    assert floor.all(effects.Bridge, orders)
    assert floor.all(effects.SaveAnswer, orders)[0].attempt.verdict is verdict
    assert budget_of(floor) == (1, 0)


def test_a_machine_is_hung_up_and_is_no_live_answer_but_for_the_share_that_are_persons() -> None:
    floor, leg = screened()
    orders = floor.tell(events.LegJudged(leg, Verdict.MACHINE, HUNG_UP))
    assert floor.all(effects.Hangup, orders) == [effects.Hangup(leg)]
    assert floor.all(effects.SaveAnswer, orders)[0].attempt.verdict is Verdict.MACHINE
    floor.hang_up(leg)
    assert floor.end().attempt.outcome is Outcome.MACHINE
    assert budget_of(floor) == (0.05, 0.05), "as many persons as the limit allows, until agents have measured it"
    assert floor.agent().state is AgentState.READY


def test_a_machine_is_left_a_message_where_there_is_one() -> None:
    floor, leg = screened(amd=AmdPolicy(enabled=True, message="acme/voicemail"))
    orders = floor.tell(events.LegJudged(leg, Verdict.MACHINE, HUNG_UP))
    assert floor.all(effects.PlayMessageAndHangup, orders) == [
        effects.PlayMessageAndHangup(leg, "acme/voicemail", machine=True)
    ]
    assert not floor.all(effects.Hangup, floor.wait(80_000))


def test_the_two_seconds_run_through_detection() -> None:
    floor, leg = screened(agents=False)
    floor.wait(1_500)
    floor.tell(events.LegJudged(leg, Verdict.PERSON, HUNG_UP))
    orders = floor.wait(400)
    assert floor.all(effects.PlayMessageAndHangup, orders)[0].leg == leg
    floor.hang_up(leg)
    assert floor.end().attempt.outcome is Outcome.ABANDONED
    assert budget_of(floor) == (1, 1)


def test_a_verdict_that_never_comes_is_no_reason_to_wait() -> None:
    floor, leg = screened()
    orders = floor.wait(1_900)
    assert floor.all(effects.Bridge, orders)
    orders = floor.tell(events.LegJudged(leg, Verdict.MACHINE, HUNG_UP))
    assert floor.all(effects.Bridge, orders), "detection had the leg: the bridge could not be made before"
    floor.tell(events.LegBridged(leg))
    assert floor.agent().state is AgentState.TALKING


def test_a_verdict_after_the_clock_with_nobody_free_gets_the_message() -> None:
    floor, leg = screened(agents=False)
    floor.wait(1_900)
    assert floor.attempt(leg).outcome is Outcome.ABANDONED
    orders = floor.tell(events.LegJudged(leg, Verdict.PERSON, HUNG_UP))
    assert floor.all(effects.PlayMessageAndHangup, orders)[0].leg == leg


def test_who_hangs_up_while_being_judged_is_a_live_answer() -> None:
    floor, leg = screened()
    floor.hang_up(leg)
    assert floor.end().attempt.outcome is Outcome.HUNG_UP_EARLY
    assert budget_of(floor) == (1, 0)


def test_a_call_that_an_agent_dialed_is_not_screened() -> None:
    floor = Conversation(lead(1), policy=policy(campaign(amd=ON, pacing=Manual()), agents=[profile(ANNA)]))
    floor.ready(ANNA)
    assert not floor.command(events.AgentDial, agent=ANNA, lead=1)
    floor.answer(floor.dial())
    assert not floor.all(effects.Screen)


def test_a_switch_that_cannot_detect_costs_nobody_the_call() -> None:
    floor, leg = screened()
    assert floor.all(effects.Bridge, floor.tell(events.CommandFailed(leg, "screen", "Allocation failed")))


# ── the sample ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_sample_of_machines_is_put_through_and_the_agents_word_is_the_measure() -> None:
    floor, leg = screened()
    assert floor.all(effects.Bridge, floor.tell(events.LegJudged(leg, Verdict.MACHINE, SAMPLED)))
    assert budget_of(floor) == (0, 0), "not known yet"
    floor.tell(events.LegBridged(leg))
    assert budget_of(floor) == (1, 0), "an agent has it"
    attempt = floor.attempt(leg)
    floor.hang_up(leg)
    assert not floor.dispose(attempt, VOICEMAIL)
    measured = floor.live.detections[SPRING].measured
    assert (measured.checked, measured.persons, measured.off) == (1, 0, False)
    assert not floor.dispose(attempt, SOLD), "a correction"
    measured = floor.live.detections[SPRING].measured
    assert (measured.checked, measured.persons) == (1, 1)


def test_a_sampled_machine_that_finds_nobody_free_is_a_machine() -> None:
    floor, leg = screened(agents=False)
    floor.tell(events.LegJudged(leg, Verdict.MACHINE, SAMPLED))
    orders = floor.wait(1_900)
    assert floor.all(effects.Hangup, orders) == [effects.Hangup(leg)]
    floor.hang_up(leg)
    assert floor.end().attempt.outcome is Outcome.MACHINE
    assert budget_of(floor) == (0.05, 0.05)
    assert floor.live.pacers[SPRING].strays == 0


def test_too_many_persons_among_the_machines_and_detection_is_off_with_a_word_to_the_supervisor() -> None:
    floor, leg = screened(amd=AmdPolicy(enabled=True, sample_share=1.0, false_positives_max=0.3), leads=9)
    checked = 0
    while floor.live.detections[SPRING].on:
        checked += 1
        floor.tell(events.LegJudged(leg, Verdict.MACHINE, HUNG_UP))
        floor.tell(events.LegBridged(leg))
        attempt = floor.attempt(leg)
        floor.hang_up(leg)
        assert not floor.dispose(attempt, SOLD)
        leg = floor.dial()
        if floor.live.detections[SPRING].on:
            floor.answer(leg)
    assert checked == 4, "the lower end for n of n is 0.025 ** (1 / n): 0.292 of three, 0.398 of four"
    (audit,) = [one for one in floor.all(effects.SaveAudit) if one.action == "amd_switched_off"]
    assert (audit.by, audit.subject) == ("engine", SPRING)
    before = len(floor.all(effects.Screen))
    floor.answer(leg)
    assert len(floor.all(effects.Screen)) == before
    fresh = campaign(amd=AmdPolicy(enabled=True, since_ms=floor.now_ms + 1, false_positives_max=0.3))
    floor.tell(events.ConfigChanged(policy(fresh, agents=[profile(ANNA)])))
    assert floor.live.detections[SPRING].on, "counted anew since it was tuned"


def test_misjudged_persons_are_abandoned_calls_by_the_measured_share() -> None:
    detection = Detection(AmdPolicy(enabled=True, false_positives_max=0.05))
    assert detection.misjudged_share == pytest.approx(0.05)
    detection.restore(_samples(persons=20, machines=60))
    assert detection.misjudged_share == pytest.approx((20 + PRIOR_CHECKS * 0.05) / (80 + PRIOR_CHECKS))


def _samples(*, persons: int, machines: int) -> list[Checked]:
    total = persons + machines
    return [Checked(attempt=AttemptId(f"1-{n}"), at_ms=n, person=n < persons) for n in range(total)]


def test_only_so_many_samples_are_remembered() -> None:
    detection = Detection(ON)
    for n in range(SAMPLES_MAX + 5):
        detection.check(Checked(attempt=AttemptId(f"1-{n}"), at_ms=n, person=n < 5))
    assert (detection.measured.checked, detection.measured.persons) == (SAMPLES_MAX, 0)


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [  # Values of Clopper and Pearson's 95 % table, as R's binom.test prints them.
        (0, 10, 0.0, 0.3084971),
        (5, 10, 0.1870860, 0.8129140),
        (3, 20, 0.03207094, 0.3789268),
        (1, 1, 0.025, 1.0),
        (50, 1000, 0.0373354, 0.0653905),
    ],
)
def test_the_interval_is_clopper_and_pearsons(hits: int, trials: int, low: float, high: float) -> None:
    assert interval(hits, trials, 0.95) == pytest.approx((low, high), abs=1e-5)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    n, p = 30, 0.1
    held = sum(
        math.comb(n, k) * p**k * (1 - p) ** (n - k)
        for k in range(n + 1)
        if interval(k, n, 0.95)[0] <= p <= interval(k, n, 0.95)[1]
    )
    assert held >= 0.95
    assert interval(0, 0, 0.95) == (0.0, 1.0)


# ── after a restart, and over a lost link ────────────────────────────────────────────────────────────────────────


def test_a_restart_knows_what_was_measured_and_what_machines_there_were() -> None:
    rules = policy(campaign(amd=ON, dispositions=(SOLD, VOICEMAIL)), agents=[profile(ANNA)])
    floor = Conversation(policy=rules, link=False, running=False)
    said = [(AttemptId(f"1-{n}"), floor.now_ms, (SOLD if n < 8 else VOICEMAIL).id) for n in range(10)]
    answers = (MinuteCount(minute_ms=floor.now_ms // MINUTE_MS * MINUTE_MS, live_answers=0, abandoned=0, machines=100),)
    floor.tell(
        events.Restored(
            attempts=(), undisposed=(), logged_in=(), running=(SPRING,), answers={SPRING: answers},
            checked={SPRING: (*said, (AttemptId("1-99"), 0, DispositionId("gone")))},
        )
    )  # fmt: skip
    measured = floor.live.detections[SPRING].measured
    assert (measured.checked, measured.persons, measured.off) == (10, 8, True)
    assert budget_of(floor)[1] == pytest.approx(100 * (8 + 1) / 30)
    assert not floor.all(effects.SaveAudit), "told when it happened"


def _found(leg: LegId, **what: bool) -> events.SwitchUp:
    return events.SwitchUp((events.LegFound(leg, **{"answered": True, "ours_to_command": False, **what}),))  # type: ignore[arg-type]


def test_a_leg_that_detection_has_is_left_there_and_one_that_hears_the_message_is_abandoned() -> None:
    floor, leg = screened()
    floor.tell(events.SwitchLost("test"))
    floor.tell(_found(leg, screening=True))
    assert floor.attempt(leg).state is CustomerState.SCREENING
    floor.tell(_found(leg))
    assert floor.attempt(leg).outcome is Outcome.ABANDONED


def test_a_leg_whose_verdict_was_lost_is_a_person_s() -> None:
    floor, leg = screened()
    floor.tell(events.SwitchLost("test"))
    assert floor.all(effects.Bridge, floor.tell(_found(leg, ours_to_command=True)))


def test_a_leg_sent_to_detection_by_an_engine_that_died_keeps_its_clock() -> None:
    floor = Conversation(lead(1), policy=policy(campaign(amd=ON), agents=[profile(ANNA)]))
    floor.ready(ANNA)
    leg = floor.dial()
    floor.ring(leg)
    floor.tell(_found(leg, screening=True))
    assert floor.attempt(leg).state is CustomerState.SCREENING
    assert floor.all(effects.Bridge, floor.wait(1_900))


def test_a_verdict_about_a_leg_that_nobody_knows_ends_it() -> None:
    floor, _ = screened()
    stray = customer_leg(AttemptId("9-9"))
    assert floor.tell(events.LegJudged(stray, Verdict.PERSON)) == [effects.Hangup(stray)]
