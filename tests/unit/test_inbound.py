"""Calls that come in: who waits, who takes them, who they turn out to be, and what is left when nobody did."""

from __future__ import annotations

from typing import Any

from engine.core import effects, events
from engine.core.dialing import held_back
from engine.core.invariants import violations
from engine.core.model import (
    AgentState,
    Attempt,
    CallingHours,
    CustomerState,
    Lead,
    LeadState,
    LegKind,
    Outcome,
    PhoneNumber,
    QueueId,
    Refusal,
    TrunkId,
    inbound_leg,
)
from engine.core.pacing import Preview
from tests.conversation import (
    AGAIN,
    ANNA,
    BORYS,
    HOTLINE,
    MINUTE_MS,
    MONDAY_MS,
    OUR_NUMBER,
    SOLD,
    SPRING,
    Conversation,
    campaign,
    lead,
    policy,
    profile,
    queue,
)

NUMBER = "+380671112233"


def hotline(*leads: Any, agents: Any = (), **changes: Any) -> Conversation:
    """An office that takes calls at a hotline, and dials nobody unless leads are due."""
    people = tuple(agents) or (profile(ANNA, queues=(HOTLINE,)), profile(BORYS, queues=(HOTLINE,)))
    settings = {key: changes.pop(key) for key in ("link", "running", "epoch") if key in changes}
    rules = {key: changes.pop(key) for key in ("pacing",) if key in changes}
    return Conversation(*leads, policy=policy(campaign(**rules), agents=people, queues=[queue(**changes)]), **settings)


def test_a_caller_hears_music_until_the_longest_idle_agent_has_them() -> None:
    floor = hotline()
    leg = floor.call_in()
    assert floor.last(effects.Music) == effects.Music(leg, "default")
    assert floor.attempt(leg).state is CustomerState.WAITING
    floor.ready(BORYS)
    assert floor.attempt(leg).agent == BORYS
    order = floor.last(effects.Bridge)
    assert (order.customer, order.tone, order.music) == (leg, True, True)
    assert floor.last(effects.ScreenPop).agent == BORYS
    floor.tell(events.LegBridged(leg))
    assert floor.attempt(leg).state is CustomerState.TALKING
    assert floor.agent(BORYS).state is AgentState.TALKING


def test_whoever_waits_longest_is_served_first_and_a_higher_queue_before_it() -> None:
    floor = Conversation(
        policy=policy(
            campaign(),
            agents=[profile(ANNA, queues=(HOTLINE, QueueId("vip")))],
            queues=[queue(), queue(id=QueueId("vip"), numbers=("+380449999999",), priority=5)],
        )
    )
    first = floor.call_in()
    floor.wait(1_000)
    second = floor.call_in()
    floor.wait(1_000)
    vip = floor.call_in(dialed="+380449999999")
    floor.ready(ANNA)
    for leg in (vip, first, second):
        assert floor.attempt(leg).agent == ANNA
        floor.tell(events.LegBridged(leg))
        floor.hang_up(leg)
        assert not floor.command(events.Dispose, agent=ANNA, attempt=floor.agent().attempt, disposition=SOLD.id)


def test_one_lead_with_that_number_is_attached_by_itself() -> None:
    known = lead(7, NUMBER)
    floor = hotline(known, running=False)
    floor.ready(ANNA)
    leg = floor.call_in(NUMBER)
    assert floor.attempt(leg).lead == known.id
    (saved,) = floor.all(effects.SaveAttached)
    assert (saved.lead, saved.owed) == (known.id, False), "nobody has spoken with them yet"
    floor.tell(events.LegBridged(leg))
    floor.hang_up(leg)
    attempt = floor.end().attempt
    assert floor.dispose(attempt, AGAIN) == ""
    assert floor.last(effects.SaveDisposition).change.state is LeadState.RETRY


def test_who_calls_is_put_through_to_whose_client_they_are_if_that_one_is_ready() -> None:
    known = lead(7, NUMBER, keeper=BORYS)
    floor = hotline(known, running=False)
    floor.ready(ANNA)
    floor.wait(MINUTE_MS)
    floor.ready(BORYS)
    assert floor.attempt(floor.call_in(NUMBER)).agent == BORYS
    floor = hotline(known, running=False)
    floor.ready(ANNA)
    assert floor.attempt(floor.call_in(NUMBER)).agent == ANNA, "nobody waits for who is away"


def test_who_is_attached_is_neither_dialed_nor_previewed_meanwhile() -> None:
    known = lead(7, NUMBER)
    floor = hotline(known, lead(8))
    leg = floor.call_in(NUMBER)
    floor.ready(ANNA, BORYS)
    assert floor.attempt(leg).agent == ANNA
    assert [order.number.e164 for order in floor.all(effects.OriginateCustomer)] == ["+380670000008"]


def test_an_unknown_caller_may_be_told_later_by_the_agent_even_after_the_call() -> None:
    floor = hotline(lead(7, "+380500000001"), running=False)
    floor.ready(ANNA)
    leg = floor.call_in(NUMBER)
    floor.tell(events.LegBridged(leg))
    attempt = floor.attempt(leg)
    assert attempt.lead is None
    assert floor.dispose(attempt, AGAIN) == Refusal.LEAD_NEEDED
    floor.hang_up(leg)
    assert floor.dispose(attempt, SOLD) == ""
    assert floor.last(effects.SaveDispositionAlone).disposition == SOLD.id
    assert floor.agent().state is AgentState.READY
    assert not floor.command(events.AgentAttach, agent=ANNA, attempt=attempt.id, lead=7)
    assert floor.last(effects.SaveAttached).owed is False
    assert floor.command(events.AgentAttach, agent=ANNA, attempt=attempt.id, lead=8) == Refusal.CALLER_KNOWN


def test_what_was_said_of_an_unknown_caller_stands_after_a_restart_in_mid_call() -> None:
    floor = hotline(lead(7, "+380500000001"), running=False)
    floor.ready(ANNA)
    leg = floor.call_in(NUMBER)
    floor.tell(events.LegBridged(leg))
    attempt, phone = floor.attempt(leg), floor.agent().leg
    assert phone is not None
    assert floor.dispose(attempt, SOLD) == ""
    anew = hotline(*floor.leads, running=False, link=False, epoch=2)
    anew.tell(
        events.Restored(
            attempts=((attempt, None),),
            undisposed=(),
            logged_in=((ANNA, True),),
            running=(),
            decided={attempt.id: SOLD.id},
        ),
        events.SwitchUp(
            (
                events.LegFound(leg, answered=True, ours_to_command=True, bridged_with=(phone,)),
                events.LegFound(phone, answered=True, ours_to_command=True, bridged_with=(leg,)),
            )
        ),
    )
    assert anew.attempt(leg).agent == ANNA
    assert not anew.command(events.AgentAttach, agent=ANNA, attempt=attempt.id, lead=7)
    saved = anew.last(effects.SaveAttached)
    assert saved.owed is False, "no second word is asked for"
    assert saved.change is not None
    assert saved.change.rule == f"disposition:{SOLD.id}"


def stranger(*leads: Lead, **changes: Any) -> tuple[Conversation, Attempt]:
    """Anna talks with somebody whom nobody knows."""
    floor = hotline(*leads, running=False, **changes)
    floor.ready(ANNA)
    leg = floor.call_in(NUMBER)
    floor.tell(events.LegBridged(leg))
    return floor, floor.attempt(leg)


def named(floor: Conversation, attempt: Attempt) -> effects.SaveAttached:
    assert not floor.command(events.AgentAttach, agent=ANNA, attempt=attempt.id, lead=7)
    return floor.last(effects.SaveAttached)


def test_what_was_said_of_a_caller_holds_for_the_lead_that_is_named_after_it() -> None:
    promised = lead(7, "+380500000001", state=LeadState.CALLBACK, next_at_ms=MONDAY_MS)
    for hangs_up_first in (False, True):
        floor, attempt = stranger(promised)
        if hangs_up_first:
            floor.hang_up(attempt.leg)
        assert floor.dispose(attempt, SOLD) == ""
        change = named(floor, attempt).change
        assert change is not None
        assert (change.lead, change.state, change.rule) == (7, LeadState.CLOSED, f"disposition:{SOLD.id}")


def test_a_caller_who_is_named_after_their_agent_had_left_without_a_word_is_closed_as_any_other() -> None:
    promised = lead(7, "+380500000001", state=LeadState.CALLBACK, next_at_ms=MONDAY_MS)
    floor, attempt = stranger(promised)
    floor.hang_up(attempt.leg)
    floor.wait(floor.live.campaigns[SPRING].wrap_up_ms)
    assert floor.agent().state is AgentState.READY
    change = named(floor, attempt).change
    assert change is not None
    assert (change.state, change.rule) == (LeadState.CLOSED, "no_disposition")
    assert floor.dispose(attempt, AGAIN) == "", "the word may still follow"
    assert floor.last(effects.SaveDisposition).change.state is LeadState.RETRY


def test_a_word_that_came_late_holds_for_the_caller_who_is_named_after_it() -> None:
    floor, attempt = stranger(lead(7, "+380500000001"))
    floor.hang_up(attempt.leg)
    floor.wait(floor.live.campaigns[SPRING].wrap_up_ms)
    assert floor.dispose(attempt, SOLD) == ""
    change = named(floor, attempt).change
    assert change is not None
    assert change.rule == f"disposition:{SOLD.id}"


def test_what_happened_to_a_lead_since_the_call_stands_when_they_are_named() -> None:
    since = lead(7, "+380500000001", state=LeadState.CALLBACK, changed_at_ms=MONDAY_MS + MINUTE_MS)
    floor, attempt = stranger(since)
    floor.hang_up(attempt.leg)
    assert floor.dispose(attempt, SOLD) == ""
    assert named(floor, attempt).change is None
    floor, attempt = stranger(since)
    assert floor.dispose(attempt, SOLD) == ""
    assert named(floor, attempt).change is not None, "they are on the line"


def test_nothing_said_of_a_caller_reopens_who_asked_for_no_calls() -> None:
    floor, attempt = stranger(lead(7, "+380500000001", state=LeadState.SUPPRESSED))
    assert floor.dispose(attempt, SOLD) == ""
    assert named(floor, attempt).change is None


def test_who_is_named_after_the_word_is_not_dialed_from_what_was_loaded_before() -> None:
    floor, attempt = stranger(lead(7, "+380500000001"))
    floor.hang_up(attempt.leg)
    assert floor.dispose(attempt, SOLD) == ""
    hopper = floor.live.hoppers[SPRING]
    hopper.leads.append(floor.leads[0])
    named(floor, attempt)
    assert not hopper.leads


def test_of_several_leads_the_agent_says_who_it_is_and_the_lead_awaits_their_word() -> None:
    floor = hotline(lead(7, NUMBER), lead(8, NUMBER), running=False)
    floor.ready(ANNA)
    leg = floor.call_in(NUMBER)
    floor.tell(events.LegBridged(leg))
    attempt = floor.attempt(leg)
    assert attempt.lead is None
    assert floor.command(events.AgentAttach, agent=BORYS, attempt=attempt.id, lead=8) == Refusal.NO_CALL
    assert not floor.command(events.AgentAttach, agent=ANNA, attempt=attempt.id, lead=8)
    assert floor.last(effects.SaveAttached).owed is True
    floor.hang_up(leg)
    assert floor.dispose(attempt, SOLD) == ""
    assert floor.last(effects.SaveDisposition).lead == 8


def test_a_lead_on_another_call_is_not_attached() -> None:
    floor = hotline(lead(7, "+380500000001", NUMBER))
    floor.ready(ANNA)
    floor.talk(floor.dial())
    leg = floor.call_in(NUMBER)
    floor.ready(BORYS)
    floor.tell(events.LegBridged(leg))
    assert floor.attempt(leg).lead is None
    attempt = floor.attempt(leg)
    assert floor.command(events.AgentAttach, agent=BORYS, attempt=attempt.id, lead=7) == Refusal.LEAD_TAKEN


def test_who_hangs_up_while_waiting_is_called_back() -> None:
    floor = hotline()
    leg = floor.call_in()
    floor.hang_up(leg)
    assert floor.end().attempt.outcome is Outcome.LEFT_QUEUE
    assert floor.last(effects.SaveMissed).attempt.number == PhoneNumber(NUMBER)
    assert not floor.live.attempts


def test_who_hides_their_number_cannot_be_called_back() -> None:
    floor = hotline()
    floor.hang_up(floor.call_in(""))
    assert not floor.all(effects.SaveMissed)


def test_no_call_back_where_the_queue_wants_none() -> None:
    floor = hotline(call_back=False)
    floor.hang_up(floor.call_in())
    assert not floor.all(effects.SaveMissed)


def test_who_waited_too_long_hears_the_message() -> None:
    floor = hotline(wait_max_ms=MINUTE_MS, overflow_message="busy-now")
    leg = floor.call_in()
    floor.wait(MINUTE_MS)
    assert floor.last(effects.PlayMessageAndHangup) == effects.PlayMessageAndHangup(leg, "busy-now")
    floor.hang_up(leg)
    assert floor.end().attempt.outcome is Outcome.TURNED_AWAY
    assert floor.all(effects.SaveMissed)


def test_a_full_queue_turns_away() -> None:
    floor = hotline(queue_max=1)
    floor.call_in()
    late = floor.call_in("+380501112233")
    assert floor.last(effects.PlayMessageAndHangup).leg == late
    assert floor.attempt(late).outcome is Outcome.TURNED_AWAY


def test_out_of_hours_the_closed_message_is_played_even_if_agents_are_there() -> None:
    floor = hotline(hours=CallingHours(spans=((),) * 7, zone="Europe/Kyiv"), closed_message="closed")
    floor.ready(ANNA)
    leg = floor.call_in()
    assert floor.last(effects.PlayMessageAndHangup) == effects.PlayMessageAndHangup(leg, "closed")
    assert floor.attempt(leg).outcome is Outcome.OUT_OF_HOURS
    assert floor.agent().state is AgentState.READY


def test_a_number_that_leads_nowhere_is_answered_with_the_message() -> None:
    floor = hotline()
    leg = floor.call_in(dialed="+380440000000")
    assert floor.last(effects.PlayMessageAndHangup).leg == leg
    assert floor.live.counters["calls_without_queue"] == 1
    assert not floor.live.attempts


def test_no_further_call_is_placed_while_somebody_waits() -> None:
    floor = hotline(lead(1), lead(2), lead(3))
    floor.ready(ANNA)
    dialed = floor.dial()
    waiting_leg = floor.call_in()
    floor.answer(dialed)
    assert floor.agent().attempt == floor.attempt(waiting_leg).id, "the agent was free when they called"
    floor.wait(2_000)
    second = floor.call_in("+380501112233")
    assert held_back(floor.live, floor.live.campaigns[SPRING]) == 1, "anna is the caller's as soon as she is free"
    floor.ready(BORYS)
    assert floor.attempt(second).agent == BORYS
    assert len(floor.dialed()) == 1


def test_whom_we_called_comes_before_who_called_us() -> None:
    floor = hotline(lead(1), lead(2))
    floor.ready(ANNA, BORYS)
    first, second = floor.dialed()
    for agent in (ANNA, BORYS):
        floor.command(events.AgentPause, agent=agent, reason="rest")
    waits = floor.call_in()
    floor.answer(first)
    floor.hang_up(second)
    floor.ready(ANNA)
    assert floor.attempt(first).agent == ANNA
    floor.ready(BORYS)
    assert floor.attempt(waits).agent == BORYS


def test_an_agent_who_only_looks_at_a_lead_takes_the_caller() -> None:
    floor = hotline(lead(1), pacing=Preview())
    floor.ready(ANNA)
    assert floor.agent().state is AgentState.PREVIEW
    leg = floor.call_in()
    assert floor.attempt(leg).agent == ANNA
    assert not floor.live.claims


def test_a_caller_whose_agent_is_lost_hears_music_again_and_is_next() -> None:
    floor = hotline()
    floor.ready(ANNA)
    leg = floor.call_in()
    floor.tell(events.LegBridged(leg))
    anna = floor.agent().leg
    assert anna is not None
    floor.hang_up(anna)
    assert floor.last(effects.Music).customer == leg
    floor.ready(BORYS)
    assert floor.attempt(leg).agent == BORYS


def test_a_phone_that_does_not_answer_gives_the_caller_to_the_next() -> None:
    people = [profile(who, queues=(HOTLINE,), leg_kind=LegKind.ON_DEMAND) for who in (ANNA, BORYS)]
    floor = hotline(agents=people)
    floor.ready(ANNA)
    floor.wait(1_000)
    floor.ready(BORYS)
    leg = floor.call_in()
    assert floor.attempt(leg).agent == ANNA
    floor.wait(15_000)
    assert floor.agent(ANNA).state is AgentState.PAUSED
    assert floor.attempt(leg).agent == BORYS
    assert len([order for order in floor.all(effects.Music) if order.customer == leg]) >= 1


def test_a_caller_is_not_offered_before_it_is_known_who_they_are_unless_the_disk_is_silent() -> None:
    floor = hotline()
    floor.ready(ANNA)
    call = events.CallArrived(
        leg=inbound_leg("17.1"),
        trunk=TrunkId("carrier"),
        dialed=PhoneNumber(OUR_NUMBER),
        caller=PhoneNumber(NUMBER),
    )
    asked = [order for order in floor.floor.handle(call, floor.now_ms) if isinstance(order, effects.FetchCaller)]
    assert len(asked) == 1
    assert floor.attempt(call.leg).agent is None
    assert not violations(floor.live)
    floor.tell(events.StoreDown("the disk is gone"))
    assert floor.attempt(call.leg).agent == ANNA


def test_told_twice_or_after_the_end_a_call_is_no_second_one() -> None:
    floor = hotline()
    leg = floor.call_in()
    again = events.CallArrived(
        leg=leg, trunk=TrunkId("carrier"), dialed=PhoneNumber(OUR_NUMBER), caller=PhoneNumber(NUMBER)
    )
    floor.tell(again)
    assert len(floor.live.attempts) == 1
    floor.hang_up(leg)
    floor.tell(again)
    assert not floor.live.attempts
    assert len(floor.all(effects.SaveArrival)) == 1


def test_a_draining_engine_takes_no_new_caller_and_serves_who_waits() -> None:
    floor = hotline()
    leg = floor.call_in()
    floor.tell(events.DrainStarted(MONDAY_MS + MINUTE_MS))
    late = floor.call_in("+380501112233")
    assert floor.attempt(late).state is CustomerState.LEAVING
    assert floor.attempt(leg).state is CustomerState.WAITING
