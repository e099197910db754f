"""Agents of several campaigns, and of queues: for whom calls are placed, and that nobody is counted on twice."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core import events
from engine.core.books import PRESENT
from engine.core.budget import AbandonRule, AtCeiling, MinuteCount
from engine.core.model import AgentId, AgentState, CampaignId, LegId
from engine.core.pacing import Elsewhere, Pacer, PacingLimit, PacingPolicy, Predictive, Progressive, Ratio
from tests.conversation import HOTLINE, MINUTE_MS, SPRING, Conversation, campaign, lead, policy, profile, queue

AUTUMN = CampaignId("autumn")
TWELVE = tuple(AgentId(f"agent-{n}") for n in range(12))


def both(spring: dict[str, Any] | None = None, autumn: dict[str, Any] | None = None, **changes: Any) -> Conversation:
    """Twelve agents who serve both campaigns; each has many leads."""
    people = [profile(agent, campaigns=(SPRING, AUTUMN)) for agent in TWELVE]
    campaigns = campaign(**(spring or {})), campaign(id=AUTUMN, name="Autumn", **(autumn or {}))
    leads = [lead(n) for n in range(1, changes.pop("spring_leads", 100))]
    leads += [lead(1_000 + n, campaign=AUTUMN) for n in range(1, 100)]
    return Conversation(*leads, policy=policy(*campaigns, agents=people), **changes)


def dialed(floor: Conversation) -> Counter[CampaignId]:
    """Calls on their way, by campaign."""
    open_ones = [a for a in floor.live.attempts.values() if a.answered_at_ms is None and a.ended_at_ms is None]
    return Counter(attempt.campaign for attempt in open_ones)


def counted_on(floor: Conversation) -> Counter[CampaignId]:
    """Agents whom each campaign counts on."""
    pacers = floor.live.pacers.items()
    return Counter(id_ for id_, pacer in pacers for agent in floor.live.agents if pacer.counts_on(agent))


def test_two_campaigns_share_their_agents_by_halves_and_place_one_call_for_each() -> None:
    floor = both()
    floor.ready(*TWELVE)
    assert dialed(floor) == {SPRING: 6, AUTUMN: 6}
    assert counted_on(floor) == {SPRING: 6, AUTUMN: 6}


def test_with_weights_three_and_one_it_is_nine_and_three() -> None:
    floor = both(spring={"weight": 3})
    floor.ready(*TWELVE)
    assert dialed(floor) == {SPRING: 9, AUTUMN: 3}


def test_the_campaign_of_higher_priority_has_them_all_while_it_has_somebody_to_dial() -> None:
    floor = both(autumn={"priority": 1}, spring_leads=6)
    floor.ready(*TWELVE)
    assert dialed(floor) == {AUTUMN: 12}
    assert not floor.command(events.CampaignSwitched, campaign=AUTUMN, running=False)
    for attempt in list(floor.live.attempts.values()):
        floor.hang_up(attempt.leg, cause=17)
    floor.wait(1_000)
    assert dialed(floor) == {SPRING: 5}


def test_agents_of_a_campaign_that_has_run_dry_count_for_the_other() -> None:
    floor = both(spring_leads=3)
    floor.ready(*TWELVE)
    floor.wait(1_000)
    assert dialed(floor) == {SPRING: 2, AUTUMN: 10}
    assert counted_on(floor) == {AUTUMN: 12}


def test_a_campaign_at_its_ceiling_that_must_stop_leaves_the_agents_to_the_other() -> None:
    used_up = {SPRING: (MinuteCount(minute_ms=Conversation().now_ms - MINUTE_MS, live_answers=100, abandoned=3),)}
    floor = both(spring={"abandon": AbandonRule(at_ceiling=AtCeiling.STOP)})
    floor.tell(events.Restored(attempts=(), undisposed=(), logged_in=(), running=(SPRING, AUTUMN), answers=used_up))
    floor.ready(*TWELVE)
    floor.wait(1_000)
    assert dialed(floor) == {AUTUMN: 12}


def test_one_agent_alone_takes_turns_so_that_nobody_starves() -> None:
    floor = both()
    floor.ready(TWELVE[0])
    served: list[CampaignId] = []
    for _ in range(6):
        [leg] = [a.leg for a in floor.live.attempts.values() if a.ended_at_ms is None]
        served.append(floor.attempt(leg).campaign)
        talk = floor.talk(leg)
        floor.hang_up(leg)
        floor.dispose(talk, floor.live.campaigns[talk.campaign].dispositions[0])
        floor.wait(1_000)
    assert served == [SPRING, AUTUMN] * 3


def test_an_agent_who_begins_to_serve_one_campaign_only_counts_for_it() -> None:
    floor = both()
    floor.ready(*TWELVE)
    people = [profile(agent, campaigns=(SPRING,)) for agent in TWELVE]
    floor.tell(events.ConfigChanged(policy(campaign(), campaign(id=AUTUMN, name="Autumn"), agents=people)))
    assert counted_on(floor) == {SPRING: 12}


def test_the_decision_says_that_its_agents_count_elsewhere() -> None:
    floor = both(autumn={"priority": 1})
    floor.ready(*TWELVE)
    floor.wait(1_000)
    decision = floor.live.decisions[SPRING]
    assert (decision.place, decision.limit, decision.lent) == (0, PacingLimit.SHARED, 12)


def test_a_call_that_will_need_the_other_campaigns_agent_is_not_dialed_for_twice() -> None:
    """Spring's calls were placed for agents who meanwhile talk with autumn's customers."""
    floor = both()
    floor.ready(*TWELVE)
    for attempt in list(floor.live.attempts.values()):
        if attempt.campaign == AUTUMN:
            floor.talk(attempt.leg)
    ready = sum(agent.state is AgentState.READY for agent in floor.live.agents.values())
    assert ready == 6
    assert sum(dialed(floor).values()) <= ready


# ── callers ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_callers_in_the_queue_hold_back_calls_for_ready_agents_and_for_those_soon_free() -> None:
    pacer = worked()
    now_ms = 2_000_000
    usual = pacer.decide(now_ms)
    held = pacer.decide(now_ms + 1_000, elsewhere=Elsewhere(soon=4))
    assert usual.place > 0
    assert held.place < usual.place
    assert held.wanted_elsewhere == 4


def test_a_caller_who_waits_while_all_agents_talk_is_counted_against_those_soon_free() -> None:
    people = [profile(agent, queues=(HOTLINE,)) for agent in TWELVE]
    floor = Conversation(
        *(lead(n) for n in range(1, 100)),
        policy=policy(campaign(pacing=Predictive()), agents=people, queues=[queue()]),
    )
    floor.ready(*TWELVE)
    while any(agent.state is AgentState.READY for agent in floor.live.agents.values()):
        leg = next(a.leg for a in floor.live.attempts.values() if a.answered_at_ms is None and a.ended_at_ms is None)
        floor.talk(leg)
    floor.call_in()
    floor.wait(1_000)
    assert floor.live.decisions[SPRING].wanted_elsewhere == 1


def worked() -> Pacer:
    """Ten agents, of whom five talk for a minute; nothing is in flight."""
    pacer = Pacer(Predictive(), AbandonRule())
    for n in range(10):
        pacer.agent_in(0, f"a{n}")
    for n in range(5):
        pacer.agent_busy(1_940_000, f"a{n}")
    return pacer


# ── whatever happens ─────────────────────────────────────────────────────────────────────────────────────────────

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ready", "pause", "answer", "hangup", "bridge", "call in", "switch", "wait"]),
        st.integers(0, 11),
    ),
    max_size=80,
)
POLICIES = st.sampled_from([Predictive(), Progressive(), Ratio(calls_per_agent=2.0)])


@settings(max_examples=60, deadline=None)
@given(STEPS, POLICIES, POLICIES, st.integers(0, 1), st.integers(1, 3))
def test_nobody_is_ever_counted_on_by_two_campaigns_that_dial(
    steps: list[tuple[str, int]], first: PacingPolicy, second: PacingPolicy, priority: int, weight: int
) -> None:
    people = [profile(agent, campaigns=(SPRING, AUTUMN), queues=(HOTLINE,)) for agent in TWELVE]
    campaigns = (
        campaign(pacing=first, weight=weight),
        campaign(id=AUTUMN, name="Autumn", pacing=second, priority=priority),
    )
    leads = [lead(n) for n in range(1, 60)] + [lead(1_000 + n, campaign=AUTUMN) for n in range(1, 60)]
    floor = Conversation(*leads, policy=policy(*campaigns, agents=people, queues=[queue()]))
    for step, which in steps:
        _do(floor, step, which)
        hungry = [id_ for id_, is_so in floor.live.hungry.items() if is_so]
        for agent in floor.live.agents.values():
            counting = [id_ for id_ in hungry if floor.live.pacers[id_].counts_on(agent.id)]
            assert len(counting) <= 1, f"{agent.id} counts for {counting}"
            if hungry and agent.state in PRESENT - {AgentState.RESERVED} and agent.wish is None:
                assert counting, f"{agent.id} counts for nobody"


def _do(floor: Conversation, step: str, which: int) -> None:
    agent = TWELVE[which]
    legs = [a.leg for a in floor.live.attempts.values() if a.answered_at_ms is None and a.ended_at_ms is None]
    leg: LegId | None = legs[which % len(legs)] if legs else None
    match step:
        case "ready":
            if floor.agent(agent).state is AgentState.LOGGED_OUT:
                floor.log_in(agent)
            floor.command(events.AgentReady, agent=agent)
        case "pause":
            floor.command(events.AgentPause, agent=agent, reason="rest")
        case "answer" if leg is not None:
            floor.answer(leg)
        case "bridge":
            for attempt in list(floor.live.attempts.values()):
                if attempt.agent is not None and attempt.bridged_at_ms is None and attempt.ended_at_ms is None:
                    floor.tell(events.LegBridged(attempt.leg))
        case "hangup":
            for attempt in list(floor.live.attempts.values())[which : which + 1]:
                floor.hang_up(attempt.leg)
        case "call in":
            floor.call_in(f"+38067111{which:04}")
        case "switch":
            id_ = (SPRING, AUTUMN)[which % 2]
            floor.command(events.CampaignSwitched, campaign=id_, running=not floor.live.running[id_])
        case _:
            floor.wait(which * 500)
