"""Law packs at work: asked when a lead is claimed and again when its call is placed."""

from __future__ import annotations

from dataclasses import replace

from engine.core import effects, events
from engine.core.attempts import NEVER_OPEN_RECHECK_MS, Allowed, Refused, explain, may_dial
from engine.core.law import Calendar, Count, DayType, Limit, Pack
from engine.core.lawful import history_ms
from engine.core.model import LeadId, LeadState, Outcome, Past, PhoneNumber
from tests.conversation import (
    ANNA,
    MINUTE_MS,
    MONDAY_MS,
    OFFICE_HOURS,
    SPRING,
    Conversation,
    campaign,
    lead,
    policy,
)

HOUR_MS = 60 * MINUTE_MS
TWO_A_DAY = Pack(
    name="law",
    version=2,
    windows={DayType.WORKDAY: ((9 * 60, 18 * 60),)},
    limits=(Limit(count=Count.ATTEMPT, max=2, per=Calendar.DAY),),
)
KYIV = "Europe/Kyiv"
HOME, OFFICE = "+380671111111", "+380672222222"


def past(before_ms: int) -> Past:
    at_ms = MONDAY_MS - before_ms
    return Past(at_ms=at_ms, lead=LeadId(9), number=PhoneNumber(HOME), outcome=Outcome.BUSY, ended_at_ms=at_ms + 1)


def test_a_lawful_call_must_be_sent_before_the_first_hours_end() -> None:
    ten = lead(1, zone=KYIV, history=())
    allowed = may_dial(ten, campaign(law=(TWO_A_DAY,), hours=OFFICE_HOURS), MONDAY_MS)
    assert isinstance(allowed, Allowed)
    assert allowed.until_ms == MONDAY_MS + 8 * HOUR_MS


def test_a_refused_lead_waits_for_the_first_moment_that_suits_all_rules_with_the_rule_as_its_reason() -> None:
    twice = lead(1, zone=KYIV, history=(past(HOUR_MS), past(MINUTE_MS)))
    refused = may_dial(twice, campaign(law=(TWO_A_DAY,), hours=OFFICE_HOURS), MONDAY_MS)
    assert refused == Refused("law_limit:law@2:attempt:2:2:day", MONDAY_MS + 23 * HOUR_MS)  # 09:00 tomorrow


def test_without_zone_or_history_nobody_is_called_and_nobody_is_closed() -> None:
    for unknown in (lead(1, zone=None, history=()), lead(1, zone=KYIV)):
        refused = may_dial(unknown, campaign(law=(TWO_A_DAY,)), MONDAY_MS)
        assert isinstance(refused, Refused)
        assert refused.again_at_ms == MONDAY_MS + NEVER_OPEN_RECHECK_MS


def test_the_explanation_is_every_rule_in_order_and_says_what_dialing_says() -> None:
    spring = campaign(law=(TWO_A_DAY,), hours=OFFICE_HOURS)
    told = explain(lead(1, zone=KYIV, history=(past(HOUR_MS),)), spring, MONDAY_MS)
    assert [ruling.code for ruling in told.rulings] == [
        "lead_is",
        "not_due",
        "calling_hours",
        "law_window",
        "attempts_used",
        "no_valid_phone",
        "law_limit",
    ]
    assert told.blocking is None
    assert told.next_at_ms == MONDAY_MS
    late = explain(lead(1, zone=KYIV, history=(), next_at_ms=MONDAY_MS + 10 * HOUR_MS), spring, MONDAY_MS)
    assert late.blocking is not None
    assert late.blocking.code == "not_due"
    assert late.next_at_ms == MONDAY_MS + 23 * HOUR_MS  # 20:00 is after the hours
    closed = explain(lead(1, zone=KYIV, history=(), state=LeadState.CLOSED), spring, MONDAY_MS)
    assert closed.next_at_ms is None


def test_leads_of_a_campaign_with_packs_are_fetched_with_their_history() -> None:
    floor = Conversation(lead(1, zone=KYIV, history=()), law=(TWO_A_DAY,))
    floor.ready(ANNA)
    assert floor.last(effects.FetchLeads).history_ms == history_ms(floor.live, SPRING) > 0
    assert len(floor.dialed()) == 1
    assert "law_limit:law@2:attempt:0:2:day" in floor.last(effects.SaveAttempt).attempt.decision
    plain = Conversation(lead(1))
    plain.ready(ANNA)
    assert plain.last(effects.FetchLeads).history_ms == 0


def test_who_shares_a_number_with_a_call_just_placed_is_fetched_anew_before_they_are_called() -> None:
    shared = [lead(n, f"+38067000000{n}", OFFICE, zone=KYIV, history=()) for n in (1, 2)]
    other = lead(3, zone=KYIV, history=())
    floor = Conversation(*shared, other, law=(TWO_A_DAY,))
    floor.ready(ANNA)
    assert floor.attempt(floor.dial()).lead == 1
    assert [one.id for one in floor.live.hoppers[SPRING].leads] == [3]


def test_a_fetch_that_was_under_way_while_a_call_was_placed_does_not_bring_the_old_history() -> None:
    first, second = (lead(n, f"+38067000000{n}", OFFICE, zone=KYIV, history=()) for n in (1, 2))
    floor = Conversation(first, law=(TWO_A_DAY,))
    floor.ready(ANNA)
    hopper = floor.live.hoppers[SPRING]
    hopper.fetching = True
    hopper.called = {PhoneNumber(OFFICE)}
    floor.tell(events.LeadsFetched(SPRING, (second,), None))
    assert not hopper.leads


def test_a_pack_added_while_leads_wait_makes_them_be_fetched_anew() -> None:
    floor = Conversation(*(replace(lead(n), zone=KYIV) for n in (1, 2, 3)))
    floor.ready(ANNA)
    hopper = floor.live.hoppers[SPRING]
    assert hopper.leads
    agents = tuple(floor.live.policy.agents.values())
    changed = floor.tell(events.ConfigChanged(policy(campaign(law=(TWO_A_DAY,)), agents=agents)))
    (fetch,) = floor.all(effects.FetchLeads, changed)
    assert fetch.history_ms > 0
    assert fetch.but == {1}  # who is on a call; nobody waits with an old history


def test_a_lead_that_the_law_refuses_goes_back_with_its_next_moment() -> None:
    floor = Conversation(lead(1, zone=KYIV, history=(past(HOUR_MS), past(MINUTE_MS))), law=(TWO_A_DAY,))
    floor.ready(ANNA)
    assert not floor.dialed()
    change = floor.last(effects.SaveLead).change
    assert change.rule == "law_limit:law@2:attempt:2:2:day"
    assert change.next_at_ms == MONDAY_MS + 23 * HOUR_MS
    assert change.state is LeadState.NEW
