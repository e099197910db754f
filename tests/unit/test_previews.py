"""The lead shown before it is dialed, and the lead dialed from its card."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.core import effects, events
from engine.core.invariants import violations
from engine.core.model import (
    AgentState,
    Attempt,
    CallbackPolicy,
    CampaignId,
    CustomerState,
    Lead,
    LeadId,
    LeadState,
    LegKind,
    NotDialing,
    Outcome,
    Previewed,
    SkipReason,
)
from engine.core.pacing import Manual, OnTimeout, Preview, Progressive
from tests.conversation import (
    ANNA,
    BORYS,
    MINUTE_MS,
    MONDAY_MS,
    OFFICE_HOURS,
    SOLD,
    SPRING,
    Conversation,
    campaign,
    lead,
    policy,
    profile,
)

COUNTDOWN_MS = 12_000


def office(*leads: Lead, pacing: Any = None, **changes: Any) -> Conversation:
    """A preview campaign; Anna is ready."""
    floor = Conversation(*leads, pacing=pacing or Preview(), **changes)
    floor.ready(ANNA)
    return floor


def shown(floor: Conversation) -> Previewed:
    """What Anna looks at."""
    assert floor.agent().state is AgentState.PREVIEW
    previewed = floor.agent().previewed
    assert previewed is not None
    return previewed


def dial(floor: Conversation, id_: int = 1, **what: Any) -> str:
    return floor.command(events.AgentDial, agent=ANNA, lead=LeadId(id_), **what)


def skip(floor: Conversation, id_: int = 1) -> str:
    return floor.command(events.AgentSkip, agent=ANNA, lead=LeadId(id_), reason=SkipReason.BAD_TIME)


def dialed(*leads: Lead, **changes: Any) -> tuple[Conversation, Attempt]:
    """Anna has dialed the first lead."""
    floor = office(*(leads or (lead(1),)), **changes)
    assert dial(floor) == ""
    return floor, floor.last(effects.SaveAttempt).attempt


# ── shown ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_ready_agent_is_shown_the_next_lead_and_nothing_is_dialed_or_saved_of_it() -> None:
    floor = office(lead(1))
    assert shown(floor).lead == 1
    assert floor.dialed() == []
    assert floor.all(effects.SaveAttempt) == []
    assert floor.last(effects.SaveAgent).agent.state is AgentState.READY
    assert floor.last(effects.AgentChanged).agent.previewed == shown(floor)


def test_a_lead_is_shown_to_one_agent_only() -> None:
    floor = office(lead(1), lead(2))
    floor.ready(BORYS)
    assert [floor.agent(one).previewed.lead for one in (ANNA, BORYS)] == [1, 2]  # type: ignore[union-attr]
    floor = office(lead(1))
    floor.ready(BORYS)
    assert floor.agent(BORYS).state is AgentState.READY
    assert floor.live.dialing[SPRING].reason == NotDialing.NO_LEADS


def test_a_call_that_the_agent_promised_comes_first_and_a_colleagues_promise_waits_for_the_colleague() -> None:
    floor = office(
        lead(1),
        lead(2, state=LeadState.CALLBACK, owner=BORYS, next_at_ms=MONDAY_MS),
        lead(3, state=LeadState.CALLBACK, owner=ANNA, next_at_ms=MONDAY_MS),
    )
    assert shown(floor).lead == 3
    assert skip(floor, 3) == ""
    assert shown(floor).lead == 1
    floor = office(lead(2, state=LeadState.CALLBACK, owner=BORYS, next_at_ms=MONDAY_MS))
    floor.wait(CallbackPolicy().tolerance_ms - MINUTE_MS)
    assert floor.agent(BORYS).state is AgentState.LOGGED_OUT
    assert floor.agent().state is AgentState.READY
    floor.wait(2 * MINUTE_MS)
    assert shown(floor).lead == 2


def test_the_agents_own_clients_come_before_the_others_and_after_promises() -> None:
    promised = lead(4, state=LeadState.CALLBACK, owner=ANNA, next_at_ms=MONDAY_MS)
    floor = office(lead(1), lead(2, keeper=BORYS), lead(3, keeper=ANNA), promised)
    for id_ in (4, 3, 1):
        assert shown(floor).lead == id_
        assert skip(floor, id_) == ""
    assert shown(floor).lead == 2, "a colleague's client is called too, when there is nobody else"


def test_a_lead_that_may_not_be_dialed_is_not_shown() -> None:
    floor = office(lead(1), hours=OFFICE_HOURS, now_ms=MONDAY_MS + 12 * 60 * MINUTE_MS)
    assert floor.agent().state is AgentState.READY
    assert floor.last(effects.SaveLead).change.rule == "calling_hours"


def test_a_pause_the_end_of_the_shift_and_a_lost_phone_give_the_lead_to_a_colleague() -> None:
    def pauses(floor: Conversation) -> None:
        assert floor.command(events.AgentPause, agent=ANNA, reason="lunch") == ""

    def leaves(floor: Conversation) -> None:
        assert floor.command(events.AgentLogout, agent=ANNA) == ""

    def loses_the_phone(floor: Conversation) -> None:
        leg = floor.agent().leg
        assert leg is not None
        floor.hang_up(leg)

    for turn in (pauses, leaves, loses_the_phone):
        floor = office(lead(1))
        floor.ready(BORYS)
        turn(floor)
        assert floor.agent().previewed is None
        assert floor.agent(BORYS).state is AgentState.PREVIEW
        assert violations(floor.live) == []


@pytest.mark.parametrize("change", [{"pacing": Progressive()}, {"id": CampaignId("other")}])
def test_another_mode_or_another_file_ends_the_preview(change: dict[str, Any]) -> None:
    floor = office(lead(1))
    floor.tell(events.ConfigChanged(policy(campaign(**change), agents=[profile()])))
    assert floor.agent().state is AgentState.READY
    assert floor.live.claims == {}


def test_a_stopped_campaign_shows_nothing() -> None:
    floor = office(lead(1))
    floor.command(events.CampaignSwitched, campaign=SPRING, running=False)
    assert floor.agent().state is AgentState.READY
    floor.command(events.CampaignSwitched, campaign=SPRING, running=True)
    assert shown(floor).lead == 1


def test_a_suppressed_lead_gives_way_to_the_next_one() -> None:
    floor = office(lead(1), lead(2))
    floor.command(events.LeadSuppressed, lead=LeadId(1), reason="asked")
    assert shown(floor).lead == 2


def test_an_agent_who_looks_at_a_lead_is_not_counted_on_by_other_campaigns() -> None:
    autumn = replace(campaign(), id=CampaignId("autumn"), pacing=Progressive())
    both = profile(campaigns=(SPRING, autumn.id))
    floor = Conversation(
        lead(1), lead(2, campaign=autumn.id), policy=policy(campaign(pacing=Preview()), autumn, agents=[both])
    )
    floor.ready(ANNA)
    assert shown(floor).lead == 1
    assert floor.dialed() == []


# ── skipped ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_skipped_lead_comes_back_after_the_usual_time_and_costs_no_attempt() -> None:
    floor = office(lead(1))
    assert skip(floor) == ""
    change = floor.last(effects.SaveLead).change
    assert (change.state, change.rule) == (LeadState.NEW, "skipped:bad_time")
    assert change.next_at_ms == floor.now_ms + campaign().attempts.default_after_ms
    assert floor.last(effects.SaveAudit).action == "lead_skipped"
    assert floor.agent().state is AgentState.READY
    floor.wait(campaign().attempts.default_after_ms + 1)
    assert shown(floor).lead == 1


def test_skips_in_a_row_have_a_limit_that_a_dial_gives_back() -> None:
    floor = office(lead(1), lead(2), lead(3), pacing=Preview(skips_max=1))
    assert shown(floor).skips_left == 1
    assert skip(floor) == ""
    assert shown(floor).skips_left == 0
    assert skip(floor, 2) == "skips_used"
    assert dial(floor, 2) == ""
    floor.hang_up(floor.dial(), cause=17)
    assert shown(floor).skips_left == 1


def test_skipping_may_be_forbidden_and_needs_the_lead_that_is_shown() -> None:
    floor = office(lead(1), pacing=Preview(allow_skip=False))
    assert skip(floor) == "skip_not_allowed"
    assert skip(floor, 7) == "not_previewed"


# ── the countdown ────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_countdowns_end_dials() -> None:
    floor = office(lead(1), pacing=Preview(countdown_ms=COUNTDOWN_MS))
    assert shown(floor).until_ms == floor.now_ms + COUNTDOWN_MS
    floor.wait(COUNTDOWN_MS - 1)
    assert floor.dialed() == []
    floor.wait(1)
    assert len(floor.dialed()) == 1


def test_the_countdowns_end_waits_while_nothing_can_be_dialed() -> None:
    floor = office(lead(1), pacing=Preview(countdown_ms=COUNTDOWN_MS))
    floor.tell(events.SwitchLost("cut"))
    floor.wait(2 * COUNTDOWN_MS)
    assert shown(floor).lead == 1
    floor.tell(events.SwitchUp(tuple(events.LegFound(leg, True, True) for leg in [floor.agent().leg] if leg)))
    floor.wait(2_000)
    assert len(floor.dialed()) == 1


def test_the_countdowns_end_skips_and_an_empty_chair_is_paused_in_the_end() -> None:
    pacing = Preview(countdown_ms=COUNTDOWN_MS, on_timeout=OnTimeout.SKIP, skips_max=1)
    floor = office(lead(1), lead(2), pacing=pacing)
    floor.wait(COUNTDOWN_MS)
    assert floor.last(effects.SaveLead).change.rule == "skipped:timeout"
    assert shown(floor).lead == 2
    floor.wait(COUNTDOWN_MS)
    assert floor.agent().state is AgentState.PAUSED
    assert floor.agent().pause_reason == "system:preview_unused"


def test_the_countdowns_end_pauses() -> None:
    floor = office(lead(1), pacing=Preview(countdown_ms=COUNTDOWN_MS, on_timeout=OnTimeout.PAUSE))
    floor.wait(COUNTDOWN_MS)
    assert floor.agent().state is AgentState.PAUSED


# ── dialed ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_dialed_lead_is_saved_first_and_its_agent_is_reserved_and_bridged_at_the_answer() -> None:
    floor, attempt = dialed()
    kinds = [type(order) for order in floor.orders]
    assert kinds.index(effects.SaveAttempt) < kinds.index(effects.OriginateCustomer)
    assert attempt.agent == ANNA
    assert floor.last(effects.ScreenPop).agent == ANNA
    assert floor.agent().state is AgentState.RESERVED
    floor.ring(attempt.leg)
    assert violations(floor.live) == []
    bridge = floor.all(effects.Bridge, floor.tell(events.LegAnswered(attempt.leg)))
    assert [one.customer for one in bridge] == [attempt.leg]
    floor.tell(events.LegBridged(attempt.leg))
    assert floor.agent().state is AgentState.TALKING
    floor.hang_up(attempt.leg)
    assert floor.agent().state is AgentState.WRAP_UP
    assert floor.dispose(replace(attempt, agent=ANNA), SOLD) == ""
    assert floor.agent().state is AgentState.READY


def test_an_on_demand_phone_is_called_at_the_answer() -> None:
    floor, attempt = dialed(agents=[profile(leg_kind=LegKind.ON_DEMAND)])
    floor.answer(attempt.leg)
    leg = floor.last(effects.OriginateAgent).leg
    floor.tell(events.LegAnswered(leg), events.LegBridged(attempt.leg))
    assert floor.agent().state is AgentState.TALKING


def test_who_leaves_the_file_while_it_rings_for_them_still_gets_their_customer() -> None:
    floor, attempt = dialed(agents=[profile(leg_kind=LegKind.ON_DEMAND)])
    floor.tell(events.ConfigChanged(replace(floor.live.policy, agents={})))
    floor.answer(attempt.leg)
    assert floor.last(effects.OriginateAgent).phone == "desk-anna"


def test_after_no_answer_the_next_lead_is_shown() -> None:
    floor, attempt = dialed(lead(1), lead(2))
    floor.ring(attempt.leg)
    floor.hang_up(attempt.leg, cause=17)
    assert floor.end().attempt.outcome is Outcome.BUSY
    assert shown(floor).lead == 2


def test_the_pacers_do_not_know_a_call_that_an_agent_dialed_but_its_answer_counts_by_law() -> None:
    floor, attempt = dialed()
    floor.talk(attempt.leg)
    floor.hang_up(attempt.leg)
    pacer = floor.live.pacers[SPRING]
    assert pacer.strays == 0
    assert pacer.budget.state(floor.now_ms).live_answers == 1


def test_an_agent_may_take_back_what_they_dialed_and_what_has_rung_counts() -> None:
    for rings, outcome in ((False, Outcome.CANCELLED), (True, Outcome.NO_ANSWER)):
        floor, attempt = dialed()
        if rings:
            floor.ring(attempt.leg)
        assert floor.command(events.AgentHangup, agent=ANNA) == ""
        assert floor.last(effects.Hangup).leg == attempt.leg
        assert floor.agent().state is AgentState.READY
        floor.hang_up(attempt.leg)
        assert floor.end().attempt.outcome is outcome
        assert floor.live.pacers[SPRING].strays == 0


def test_a_call_whose_agent_is_lost_while_it_rings_goes_to_whoever_is_ready() -> None:
    floor, attempt = dialed()
    floor.ring(attempt.leg)
    leg = floor.agent().leg
    assert leg is not None
    floor.hang_up(leg)
    assert violations(floor.live) == []
    floor.ready(BORYS)
    floor.talk(attempt.leg)
    assert floor.agent(BORYS).state is AgentState.TALKING


def test_who_is_ready_is_kept_for_a_call_that_rings_for_nobody() -> None:
    floor, attempt = dialed(lead(1), lead(2))
    floor.ring(attempt.leg)
    leg = floor.agent().leg
    assert leg is not None
    floor.hang_up(leg)
    floor.ready(BORYS)
    assert floor.agent(BORYS).state is AgentState.READY
    floor.hang_up(attempt.leg, cause=17)
    assert floor.agent(BORYS).state is AgentState.PREVIEW


def test_who_looked_at_a_lead_of_a_campaign_that_is_stopped_takes_whoever_waits_at_once() -> None:
    floor, attempt = dialed(lead(1), lead(2))
    floor.ready(BORYS)
    assert floor.agent(BORYS).state is AgentState.PREVIEW
    leg = floor.agent().leg
    assert leg is not None
    floor.hang_up(leg)
    floor.ring(attempt.leg)
    floor.answer(attempt.leg)
    assert floor.attempt(attempt.leg).agent is None
    floor.command(events.CampaignSwitched, campaign=SPRING, running=False)
    assert floor.attempt(attempt.leg).agent == BORYS


def test_the_lead_is_read_again_before_the_dial() -> None:
    floor = office(lead(1), lead(2))
    floor.leads = [replace(one, state=LeadState.CLOSED) if one.id == 1 else one for one in floor.leads]
    assert dial(floor) == "lead_is:closed"
    assert shown(floor).lead == 2
    floor.leads = []
    assert dial(floor, 2) == "lead_unreadable"


def test_a_word_that_comes_while_the_lead_is_read_stops_the_dial() -> None:
    floor = office(lead(1))
    floor.floor.handle(events.AgentDial(command="slow", by="anna", agent=ANNA, lead=LeadId(1)), floor.now_ms)  # type: ignore[arg-type]
    orders = floor.tell(events.LeadSuppressed(command="stop", by="boss", lead=LeadId(1), reason="asked"))  # type: ignore[arg-type]
    assert {(one.command, one.refusal) for one in floor.all(effects.CommandDone, orders)} == {
        ("slow", "lead_changed"),
        ("stop", ""),
    }
    floor.tell(events.LeadFetched(LeadId(1), lead(1)))
    assert floor.dialed() == []


# ── dialed from the card ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_manual_campaign_dials_what_the_agent_chooses_on_the_phone_that_they_choose() -> None:
    floor = office(lead(1, "+380670000001", "+380670000002"), pacing=Manual())
    assert floor.agent().state is AgentState.READY
    assert dial(floor, position=1) == ""
    assert floor.last(effects.OriginateCustomer).number.e164 == "+380670000002"
    assert floor.agent().state is AgentState.RESERVED


def test_a_lead_dialed_from_its_card_need_not_be_due_and_takes_the_previewed_ones_place() -> None:
    floor = office(lead(1), lead(2, next_at_ms=MONDAY_MS + MINUTE_MS, state=LeadState.RETRY))
    assert shown(floor).lead == 1
    assert dial(floor, 2) == ""
    assert floor.last(effects.SaveAttempt).attempt.lead == 2
    assert floor.live.claims == {}


@pytest.mark.parametrize(
    ("known", "what", "refusal"),
    [
        (lead(1, attempts_count=5), {}, "attempts_used:5:5"),
        (lead(1, state=LeadState.SUPPRESSED), {}, "lead_is:suppressed"),
        (lead(1), {"position": 3}, "no_valid_phone"),
        (lead(1, campaign=CampaignId("other")), {}, "not_served"),
    ],
)
def test_the_rules_hold_for_a_lead_dialed_from_its_card(known: Lead, what: dict[str, Any], refusal: str) -> None:
    floor = office(known, pacing=Manual())
    assert dial(floor, **what) == refusal
    assert floor.dialed() == []


def test_no_dial_outside_the_calling_hours_nor_when_the_campaign_is_stopped() -> None:
    floor = office(lead(1), pacing=Manual(), hours=OFFICE_HOURS, now_ms=MONDAY_MS + 12 * 60 * MINUTE_MS)
    assert dial(floor) == "calling_hours"
    floor = office(lead(1), pacing=Manual())
    floor.command(events.CampaignSwitched, campaign=SPRING, running=False)
    assert dial(floor) == "campaign_stopped"


def test_no_dial_of_what_a_colleague_has_nor_of_a_number_on_the_line_nor_without_a_line() -> None:
    floor, _ = dialed(lead(1, "+380670000009"), lead(2, "+380670000009"), lead(3))
    floor.ready(BORYS)
    turn = {"agent": BORYS, "lead": LeadId(1)}
    assert floor.command(events.AgentDial, **turn) == "lead_taken"
    assert floor.command(events.AgentDial, **(turn | {"lead": LeadId(2)})) == "number_busy"
    floor = office(lead(1), policy=policy(campaign(pacing=Manual()), agents=[profile()], lines=0))
    assert dial(floor) == "lines_busy"


def test_only_who_is_ready_dials() -> None:
    floor = Conversation(lead(1), lead(2), pacing=Manual())
    assert dial(floor) == "not_logged_in"
    floor.log_in(ANNA)
    assert dial(floor) == "not_ready"
    floor.command(events.AgentReady, agent=ANNA)
    floor.tell(events.SwitchLost("cut"))
    assert dial(floor) == "switch_down"
    assert floor.command(events.AgentDial, agent="nobody", lead=LeadId(1)) == "unknown_agent"


def test_a_conversation_found_after_a_lost_link_ends_the_preview() -> None:
    floor = Conversation(lead(1), lead(2), pacing=Progressive())
    floor.ready(ANNA)
    leg = floor.dialed()[0]
    floor.ring(leg)
    floor.tell(events.ConfigChanged(policy(campaign(pacing=Preview()), agents=[profile(), profile(BORYS)])))
    floor.ready(BORYS)
    if floor.agent().state is AgentState.READY:  # kept for the call that rings
        floor.ready(ANNA)
    previewing = next(a for a in floor.live.agents.values() if a.state is AgentState.PREVIEW)
    assert previewing.leg is not None
    others = [a.leg for a in floor.live.agents.values() if a.leg and a.id != previewing.id]
    found = (
        events.LegFound(leg, True, True, (previewing.leg,)),
        events.LegFound(previewing.leg, True, True, (leg,)),
        *(events.LegFound(other, True, True) for other in others),
    )
    floor.tell(events.SwitchUp(found))
    assert floor.attempt(leg).state is CustomerState.TALKING
    assert violations(floor.live) == []
