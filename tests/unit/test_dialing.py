"""Whom we call, when, on which line, and why not more."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from engine.core import effects, events
from engine.core.dialing import (
    CLOSING_MS,
    HOPPER_LOW,
    HOPPER_RECHECK_MS,
    LOOK_AGAIN_MS,
    ON_THE_WIRE_MS,
    SEND_WITHIN_MS,
)
from engine.core.invariants import violations
from engine.core.model import (
    AgentId,
    CampaignId,
    CustomerState,
    LeadId,
    LeadState,
    NotDialing,
    Outcome,
    Trunk,
    TrunkId,
    customer_leg,
)
from engine.core.pacing import Manual, Predictive, Preview
from tests.conversation import (
    ALWAYS,
    ANNA,
    BORYS,
    LATER,
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


def reason(floor: Conversation) -> str:
    return floor.live.dialing[SPRING].reason


def test_one_call_per_ready_agent() -> None:
    floor = Conversation(lead(1), lead(2), lead(3))
    assert floor.dialed() == []
    floor.ready(ANNA)
    assert len(floor.dialed()) == 1
    floor.ready(BORYS)
    assert len(floor.dialed()) == 2


def test_the_next_lead_is_dialed_when_a_call_is_not_answered() -> None:
    floor = Conversation(lead(1), lead(2))
    floor.ready(ANNA)
    floor.ring(floor.dial())
    floor.hang_up(floor.dial(), cause=17)
    assert [o.attempt.lead for o in floor.all(effects.SaveAttempt)] == [1, 2]


def test_an_attempt_is_saved_before_its_dial_and_counted_at_once() -> None:
    floor = Conversation(lead(1))
    floor.ready(ANNA)
    kinds = [type(o) for o in floor.orders]
    assert kinds.index(effects.SaveAttempt) < kinds.index(effects.OriginateCustomer)
    assert floor.live.leads[lead(1).id].attempts_count == 1


def test_a_dial_goes_stale_after_two_seconds_or_when_the_hours_end() -> None:
    floor = Conversation(lead(1), lead(2), hours=OFFICE_HOURS)
    floor.ready(ANNA)
    assert floor.last(effects.OriginateCustomer).send_before_ms == floor.now_ms + SEND_WITHIN_MS
    closes_ms = MONDAY_MS + 10 * 60 * MINUTE_MS
    floor = Conversation(lead(1), hours=OFFICE_HOURS, now_ms=closes_ms - CLOSING_MS - 1)
    floor.ready(ANNA)
    assert floor.last(effects.OriginateCustomer).send_before_ms == closes_ms - ON_THE_WIRE_MS


def test_what_would_reach_the_carrier_after_the_hours_is_not_even_planned() -> None:
    closes_ms = MONDAY_MS + 10 * 60 * MINUTE_MS
    floor = Conversation(lead(1), hours=OFFICE_HOURS, now_ms=closes_ms - CLOSING_MS)
    floor.ready(ANNA)
    assert floor.dialed() == []
    assert floor.command(events.AgentDial, agent=ANNA, lead=lead(1).id) == "not_now"
    floor.wait(MINUTE_MS)
    floor.ready(BORYS)
    assert floor.last(effects.SaveLead).change.rule == "calling_hours", "then the lead waits for the morning"


def test_no_call_outside_the_calling_hours_and_the_lead_comes_back_when_they_begin() -> None:
    floor = Conversation(lead(1), hours=OFFICE_HOURS, now_ms=MONDAY_MS + 12 * 60 * MINUTE_MS)
    floor.ready(ANNA)
    assert floor.dialed() == []
    change = floor.last(effects.SaveLead).change
    assert (change.state, change.rule) == (LeadState.NEW, "calling_hours")
    assert change.next_at_ms == MONDAY_MS + 23 * 60 * MINUTE_MS


def test_a_lead_that_may_never_be_dialed_is_closed_and_not_fetched_for_ever() -> None:
    floor = Conversation(lead(1, attempts_count=5), lead(2))
    floor.ready(ANNA)
    assert floor.last(effects.SaveLead).change.state is LeadState.CLOSED
    assert [o.attempt.lead for o in floor.all(effects.SaveAttempt)] == [2]


def test_two_leads_with_one_number_are_never_called_at_the_same_time() -> None:
    floor = Conversation(lead(1, "+380671111111"), lead(2, "+380671111111"))
    floor.ready(ANNA, BORYS)
    assert len(floor.dialed()) == 1
    floor.hang_up(floor.dial(), cause=17)
    assert [o.attempt.lead for o in floor.all(effects.SaveAttempt)] == [1, 2]


def test_a_dry_store_is_asked_again_within_a_minute() -> None:
    floor = Conversation()
    floor.ready(ANNA)
    assert reason(floor) == NotDialing.NO_LEADS
    floor.leads.append(lead(1))
    floor.wait(HOPPER_RECHECK_MS)
    assert len(floor.dialed()) == 1


def test_imported_leads_are_dialed_at_once() -> None:
    floor = Conversation()
    floor.ready(ANNA)
    floor.leads.append(lead(1))
    floor.tell(events.LeadsChanged(SPRING))
    assert len(floor.dialed()) == 1


def test_a_lead_due_later_is_dialed_then() -> None:
    floor = Conversation()
    floor.ready(ANNA)
    due_ms = floor.now_ms + 20_000
    floor.leads.append(lead(1))
    floor.tell(events.LeadsFetched(SPRING, (), next_due_at_ms=due_ms))
    floor.wait(19_999)
    assert floor.dialed() == []
    floor.wait(1)
    assert len(floor.dialed()) == 1


def test_leads_that_changed_while_they_were_fetched_are_thrown_away() -> None:
    floor = Conversation()
    hopper = floor.live.hoppers[SPRING]
    hopper.fetching = True
    floor.tell(events.LeadsChanged(SPRING), events.LeadsFetched(SPRING, (lead(1),)))
    assert not hopper.leads


def test_a_lead_of_a_live_call_is_not_loaded_again() -> None:
    floor = Conversation(lead(1))
    floor.ready(ANNA)
    floor.tell(events.LeadsFetched(SPRING, (lead(1), lead(2))))
    assert [held.id for held in floor.live.hoppers[SPRING].leads] == [2]


def test_the_hopper_is_filled_before_it_is_empty() -> None:
    floor = Conversation(*(lead(n) for n in range(1, 80)))
    floor.ready(ANNA)
    assert len(floor.live.hoppers[SPRING].leads) >= HOPPER_LOW


def test_lines_are_a_cap() -> None:
    floor = Conversation(lead(1), lead(2), policy=policy(campaign(), agents=(profile(ANNA), profile(BORYS)), lines=1))
    floor.ready(ANNA, BORYS)
    assert len(floor.dialed()) == 1
    floor.hang_up(floor.dial(), cause=17)
    assert len(floor.dialed()) == 2


def test_with_nobody_to_call_nothing_is_weighed_again_until_there_is_somebody() -> None:
    floor = Conversation(pacing=Predictive())
    floor.ready(ANNA, BORYS)
    floor.wait(1_000)
    assert reason(floor) == NotDialing.NO_LEADS
    assert not [key for key in floor.timers if key[0] == "pace"]
    floor.leads += [lead(1)]
    floor.tell(events.LeadsChanged(SPRING))
    assert len(floor.dialed()) == 1
    assert [key for key in floor.timers if key[0] == "pace"], "while a call is on its way, time changes its chances"


def test_calls_per_second_spread_the_dials() -> None:
    leads = [lead(n) for n in range(1, 5)]
    floor = Conversation(*leads, policy=policy(campaign(), agents=(profile(ANNA), profile(BORYS)), per_second=2))
    floor.ready(ANNA, BORYS)
    assert len(floor.dialed()) == 1
    floor.wait(500)
    assert len(floor.dialed()) == 2


def test_a_carrier_without_a_way_through_rests_and_is_tried_with_one_call() -> None:
    floor = Conversation(*(lead(n) for n in range(1, 9)))
    floor.ready(ANNA, BORYS)
    first, second = floor.dialed()
    floor.hang_up(first, cause=34, tech_cause=503)
    floor.hang_up(second, cause=34, tech_cause=503)
    assert reason(floor) == NotDialing.CARRIER
    floor.wait(60_000)
    assert len(floor.dialed()) == 3, "one call tries the carrier out"
    assert not [key for key in floor.timers if key[0] == "pace"], "its news wakes us, not a spinning timer"
    floor.ring(floor.dial())
    assert len(floor.dialed()) == 4


def test_a_carrier_that_stays_silent_at_the_trial_is_not_well_yet() -> None:
    floor = Conversation(*(lead(n) for n in range(1, 9)))
    floor.ready(ANNA, BORYS)
    for leg in floor.dialed():
        floor.hang_up(leg, cause=34, tech_cause=503)
    floor.wait(60_000)
    floor.hang_up(floor.dialed()[-1], cause=0)
    assert len(floor.dialed()) == 4, "one more trial, though two agents are ready"


def test_what_one_trunk_refuses_the_next_in_line_takes() -> None:
    first, second = (Trunk(id=TrunkId(name), lines_max=30, calls_per_second_max=1e9) for name in ("carrier", "standby"))
    rules = policy(campaign(trunks=(first.id, second.id)), agents=(profile(ANNA),))
    floor = Conversation(lead(1), lead(2), lead(3), policy=replace(rules, trunks={t.id: t for t in (first, second)}))
    floor.ready(ANNA)
    floor.hang_up(floor.dial(), cause=34, tech_cause=503)
    floor.hang_up(floor.dial(), cause=17)
    floor.wait(2_000)
    dials = [one for one in floor.all(effects.OriginateCustomer)]
    assert [one.trunk for one in dials] == [first.id, second.id, second.id]


def test_a_refused_originate_rests_the_trunk_and_does_not_count() -> None:
    floor = Conversation(lead(1), lead(2))
    floor.ready(ANNA)
    floor.tell(events.OriginateRefused(floor.dial(), "Allocation failed"))
    end = floor.end()
    assert (end.attempt.outcome, reason(floor)) == (Outcome.FAILED, NotDialing.CARRIER)
    assert len(floor.dialed()) == 1


def test_a_dial_taken_back_before_it_was_sent_is_no_fault_of_the_trunk() -> None:
    floor = Conversation(lead(1), lead(2))
    floor.ready(ANNA)
    leg = floor.dial()
    floor.command(events.LeadSuppressed, lead=lead(1).id, reason="asked")
    assert customer_leg(floor.last(effects.SaveTakenBack).attempt) == leg
    floor.tell(events.OriginateRefused(leg, "taken back while it waited for the disk"))
    assert floor.end().attempt.outcome is Outcome.CANCELLED
    assert len(floor.dialed()) == 2, "the agent is free for the next lead at once"


def test_an_originate_without_a_reply_is_never_sent_again() -> None:
    floor = Conversation(lead(1))
    floor.ready(ANNA)
    leg = floor.dial()
    orders = floor.tell(events.OriginateUnknown(leg))
    assert floor.all(effects.AskSwitch, orders)
    floor.wait(6_000)
    floor.tell(events.SwitchUp(()))
    assert floor.end().attempt.outcome is Outcome.LOST, "the phone may have rung: it counts"
    assert len(floor.dialed()) == 1


def test_a_stopped_campaign_places_no_call_and_cuts_none() -> None:
    floor = Conversation(lead(1), lead(2))
    floor.ready(ANNA, BORYS)
    talking = floor.talk(floor.dialed()[0])
    floor.command(events.CampaignSwitched, campaign=SPRING, running=False)
    floor.hang_up(floor.dialed()[1], cause=17)
    assert len(floor.dialed()) == 2
    assert floor.attempt(talking.leg).state is CustomerState.TALKING
    assert reason(floor) == NotDialing.STOPPED


def test_a_campaign_that_does_not_exist_cannot_be_started() -> None:
    floor = Conversation()
    assert floor.command(events.CampaignSwitched, campaign=CampaignId("nope"), running=True) == "unknown_campaign"


def test_manual_and_preview_campaigns_wait_for_the_agent() -> None:
    for pacing in (Manual(), Preview()):
        floor = Conversation(lead(1), pacing=pacing)
        floor.ready(ANNA)
        assert floor.dialed() == []
        assert reason(floor) == NotDialing.MODE


def test_a_lost_or_slow_switch_stops_dialing_and_a_snapshot_starts_it_again() -> None:
    for trouble, mended in (
        (events.SwitchLost("socket closed"), None),
        (events.SwitchSlow(slow=True), events.SwitchSlow(slow=False)),
    ):
        floor = Conversation(lead(1))
        floor.tell(trouble)
        assert floor.command(events.AgentLogin, agent=ANNA) == "switch_down"
        assert reason(floor) == NotDialing.SWITCH
        if mended is not None:
            floor.tell(mended)
        floor.tell(events.SwitchUp(()))
        floor.ready(ANNA)
        assert len(floor.dialed()) == 1


def test_a_switch_that_answers_well_again_is_asked_what_it_has() -> None:
    floor = Conversation(lead(1))
    floor.tell(events.SwitchSlow(slow=True, reason="late"))
    assert floor.all(effects.AskSwitch, floor.tell(events.SwitchSlow(slow=False)))
    assert reason(floor) == NotDialing.SWITCH


def test_a_snapshot_does_not_start_dialing_while_the_switch_is_slow() -> None:
    floor = Conversation(lead(1))
    floor.tell(events.SwitchSlow(slow=True, reason="late"))
    floor.tell(events.SwitchUp(()))
    assert reason(floor) == NotDialing.SWITCH
    floor.tell(events.SwitchSlow(slow=False))
    floor.tell(events.SwitchUp(()))
    assert reason(floor) != NotDialing.SWITCH


def test_what_was_slow_is_forgotten_with_its_link() -> None:
    floor = Conversation(lead(1))
    floor.tell(events.SwitchSlow(slow=True, reason="late"))
    floor.tell(events.SwitchLost("socket closed"))
    floor.tell(events.SwitchUp(()))
    assert reason(floor) != NotDialing.SWITCH


def test_a_store_that_does_not_save_stops_dialing_and_keeps_the_talking() -> None:
    floor = Conversation(lead(1), lead(2), lead(3))
    floor.ready(ANNA, BORYS)
    first, second = floor.dialed()
    floor.talk(first)
    floor.tell(events.StoreDown("disk full"))
    floor.hang_up(second, cause=17)
    assert len(floor.dialed()) == 2
    assert reason(floor) == NotDialing.STORE
    floor.tell(events.StoreUp())
    assert len(floor.dialed()) == 3


def test_draining_dials_nothing_more_and_lets_the_talking_end() -> None:
    floor = Conversation(lead(1), lead(2), lead(3), lead(4))
    floor.ready(ANNA, BORYS)
    first, second = floor.dialed()
    talk = floor.talk(first)
    orders = floor.tell(events.DrainStarted(floor.now_ms + 60_000))
    assert not floor.all(effects.Hangup, orders)
    floor.answer(second)
    floor.tell(events.LegBridged(second))
    assert floor.attempt(second).state is CustomerState.TALKING, "who was called is still served"
    floor.hang_up(first)
    floor.dispose(talk, SOLD)
    assert floor.agent(ANNA).state == "ready"
    floor.hang_up(second)
    assert len(floor.dialed()) == 2
    assert floor.live.talking() == 0


def test_a_callback_waits_for_its_agent_and_then_for_anyone() -> None:
    promised = lead(1, state=LeadState.CALLBACK, owner=BORYS, next_at_ms=MONDAY_MS)
    floor = Conversation(promised)
    floor.ready(ANNA)
    assert floor.dialed() == []
    floor.wait(16 * MINUTE_MS)
    assert len(floor.dialed()) == 1


def test_a_callback_goes_to_its_agent_though_another_waits_longer() -> None:
    promised = lead(1, state=LeadState.CALLBACK, owner=BORYS, next_at_ms=MONDAY_MS)
    floor = Conversation(promised)
    floor.ready(ANNA)
    floor.wait(1_000)
    floor.ready(BORYS)
    floor.answer(floor.dial())
    assert floor.last(effects.ScreenPop).agent == BORYS


def loaded(floor: Conversation) -> list[int]:
    return [held.id for held in floor.live.hoppers[SPRING].leads]


def called(floor: Conversation) -> list[LeadId | None]:
    return [order.attempt.lead for order in floor.all(effects.SaveAttempt)]


def test_a_promised_call_whose_time_comes_goes_before_what_is_loaded_and_the_rest_stays() -> None:
    due_ms = MONDAY_MS + MINUTE_MS
    floor = Conversation(
        *(lead(n) for n in range(1, 31)),
        lead(40, state=LeadState.CALLBACK, next_at_ms=due_ms + 1_000),
        lead(41, state=LeadState.CALLBACK, next_at_ms=due_ms),
    )
    floor.ready(ANNA)
    floor.wait(due_ms - floor.now_ms + 1_000)
    assert loaded(floor) == [41, 40, *range(2, 31)]
    assert [order.promised for order in floor.all(effects.FetchLeads)] == [False, True, True]
    floor.hang_up(floor.dial(), cause=17)
    floor.hang_up(floor.dial(), cause=17)
    floor.hang_up(floor.dial(), cause=17)
    assert called(floor) == [1, 41, 40, 2]


def test_nothing_goes_while_a_promised_call_is_being_loaded_also_when_the_store_is_asked_twice() -> None:
    floor = Conversation(*(lead(n) for n in range(1, 31)))
    floor.ready(ANNA)
    hopper = floor.live.hoppers[SPRING]
    hopper.fetching = True  # the answer is on its way
    floor.tell(events.TimerFired(("promise", SPRING)))
    floor.hang_up(floor.dial(), cause=17)
    assert called(floor) == [1]
    hopper.stale = False
    again_ms = floor.now_ms + 1_000
    floor.tell(events.LeadsFetched(SPRING, (), again_ms, promised=True, failed=True))
    floor.wait(999)
    assert called(floor) == [1], "it was not read"
    promised = lead(40, state=LeadState.CALLBACK, next_at_ms=MONDAY_MS)
    floor.leads.append(promised)
    floor.wait(1)
    assert called(floor) == [1, 40]


def test_promised_calls_that_wait_for_their_agents_keep_nobody_else_from_being_called() -> None:
    mine = [lead(n, state=LeadState.CALLBACK, owner=BORYS, next_at_ms=MONDAY_MS) for n in range(1, 121)]
    floor = Conversation(*mine, *(lead(n) for n in range(1_000, 1_080)))
    floor.ready(ANNA)
    for _ in range(70):
        floor.hang_up(floor.dial(), cause=1)
    assert called(floor) == list(range(1_000, 1_071))
    assert len(floor.all(effects.FetchLeads)) < 20
    floor.ready(BORYS)
    assert called(floor)[-1] == 1


def test_a_campaign_whose_calls_end_at_once_never_waits_for_leads_that_the_store_has() -> None:
    floor = Conversation(*(lead(n) for n in range(1, 202)))
    floor.ready(ANNA)
    for _ in range(200):
        floor.hang_up(floor.dial(), cause=1)
    assert called(floor) == list(range(1, 202))


def test_who_asks_for_no_more_calls_leaves_with_their_numbers_and_the_rest_stays_loaded() -> None:
    ours, theirs = "+380671119991", "+380671119992"
    floor = Conversation(lead(1, ours), *(lead(n) for n in range(2, 31)), lead(31, ours), lead(32, ours, theirs))
    floor.ready(ANNA)
    floor.command(events.LeadSuppressed, lead=lead(1).id, reason="asked")
    assert called(floor) == [1, 2], "the first call is taken back"
    assert loaded(floor) == list(range(3, 31))
    assert len(floor.all(effects.FetchLeads)) == 1


def test_nothing_that_is_loaded_goes_until_it_is_known_whom_a_word_of_do_not_call_means() -> None:
    floor = Conversation(*(lead(n) for n in range(1, 31)))
    floor.ready(ANNA)
    floor.live.checks = 1  # the answer is on its way
    floor.hang_up(floor.dial(), cause=17)
    assert called(floor) == [1]
    assert len(floor.all(effects.FetchLeads)) == 1
    number = floor.leads[1].phones[0].number
    floor.listed.add(number)
    floor.tell(events.HeldChecked(((LeadId(2), number),)))
    assert called(floor) == [1, 3]


@pytest.mark.parametrize("seed", range(8))
def test_whatever_comes_between_the_earliest_promise_goes_first_and_then_the_line(seed: int) -> None:
    """The read-ahead against the whole list, over a shift of promises, refusals and words of do-not-call."""
    chance = random.Random(seed)
    numbers = [f"+3806711{n:05}" for n in range(160)]
    floor = Conversation(*(lead(n, chance.choice(numbers)) for n in range(1, 200)))
    floor.ready(ANNA, BORYS)
    seen = 0
    for _ in range(150):
        floor.wait(chance.randrange(20_000))
        may = {one.id: one for one in floor.leads if one.phones[0].number not in floor.listed}
        due = [one for one in may.values() if one.state is LeadState.CALLBACK and one.next_at_ms <= floor.now_ms]
        free = [one for one in due if one.phones[0].number.e164 not in floor.live.attempts.numbers]
        first = min((one.next_at_ms for one in free), default=None)
        (attempt, *_) = [one for one in floor.live.attempts.values() if one.answered_at_ms is None]
        throw = chance.random()
        if throw < 0.4:
            at_ms = floor.now_ms + chance.randrange(1, 300_000)
            floor.talk(attempt.leg)
            floor.hang_up(attempt.leg)
            said = replace(attempt, agent=floor.last(effects.ScreenPop).agent)
            floor.dispose(said, LATER, callback_at_ms=at_ms)
        elif throw < 0.6:
            floor.command(events.LeadSuppressed, lead=chance.choice(floor.leads).id, reason="asked")
            for gone in [one for one in floor.live.attempts.values() if one.state is CustomerState.LEAVING]:
                floor.hang_up(gone.leg)
        elif throw < 0.65:
            floor.tell(events.LeadsChanged(SPRING))
        else:
            floor.hang_up(attempt.leg, cause=1)
        new = floor.all(effects.SaveAttempt)[seen:]
        for saved in new:
            assert saved.attempt.number not in floor.listed
        if first is not None and len(new) == 1 and new[0].attempt.lead in may:
            called_now = may[new[0].attempt.lead]
            assert called_now.state is LeadState.CALLBACK
            assert called_now.next_at_ms <= first
        seen += len(new)
        assert not violations(floor.live)


def test_calls_of_one_campaign_do_not_take_the_agents_that_another_counts_on() -> None:
    autumn = campaign(id=CampaignId("autumn"))
    both = profile(ANNA, campaigns=(SPRING, autumn.id))
    floor = Conversation(lead(1), lead(2, campaign=autumn.id), policy=policy(campaign(), autumn, agents=(both,)))
    floor.ready(ANNA)
    assert len(floor.dialed()) == 1


def test_a_campaign_gone_from_the_file_dials_nothing_and_keeps_its_calls() -> None:
    floor = Conversation(lead(1), lead(2))
    floor.ready(ANNA)
    attempt = floor.talk(floor.dial())
    autumn = campaign(id=CampaignId("autumn"))
    floor.tell(events.ConfigChanged(policy(autumn, agents=(profile(ANNA, campaigns=(autumn.id,)),))))
    floor.hang_up(attempt.leg)
    assert not floor.dispose(attempt, campaign().dispositions[0])
    assert len(floor.dialed()) == 1


def test_agents_who_no_longer_serve_a_campaign_are_not_dialed_for() -> None:
    floor = Conversation(lead(1), lead(2))
    floor.command(events.CampaignSwitched, campaign=SPRING, running=False)
    floor.ready(ANNA, BORYS)
    floor.tell(events.ConfigChanged(policy(campaign(), agents=(profile(ANNA), profile(BORYS, campaigns=())))))
    floor.command(events.CampaignSwitched, campaign=SPRING, running=True)
    assert len(floor.dialed()) == 1
    floor.tell(events.ConfigChanged(policy(campaign(), agents=(profile(ANNA), profile(BORYS)))))
    assert len(floor.dialed()) == 2


def test_a_changed_caller_id_and_cap_hold_from_the_next_call_on() -> None:
    floor = Conversation(lead(1), lead(2), policy=policy(campaign(), agents=(profile(ANNA), profile(BORYS)), lines=1))
    floor.ready(ANNA, BORYS)
    floor.leads.append(lead(2))
    changed = replace(campaign(hours=ALWAYS), caller_id=None)
    floor.tell(events.ConfigChanged(policy(changed, agents=(profile(ANNA), profile(BORYS)), lines=2)))
    assert [o.caller_id is None for o in floor.all(effects.OriginateCustomer)] == [False, True]
    assert floor.live.line(next(iter(floor.live.trunks))).in_use == 2


def test_two_predictive_campaigns_with_shared_agents_do_not_keep_each_other_awake() -> None:
    autumn = campaign(id=CampaignId("autumn"), pacing=Predictive())
    people = [profile(AgentId(f"agent-{n}"), campaigns=(SPRING, autumn.id)) for n in range(9)]
    leads = [lead(n, campaign=(SPRING, autumn.id)[n % 2]) for n in range(1, 99)]
    floor = Conversation(*leads, policy=policy(campaign(pacing=Predictive()), autumn, agents=people))
    floor.ready(*(one.id for one in people))
    for leg in floor.dialed()[:5]:
        floor.talk(leg)
    floor.wait(1_000)
    floor.tell(events.TimerFired(("pace", SPRING)), events.TimerFired(("pace", autumn.id)))
    looks = [at_ms - floor.now_ms for key, at_ms in floor.timers.items() if key[0] == "pace"]
    assert looks == [LOOK_AGAIN_MS, LOOK_AGAIN_MS]
