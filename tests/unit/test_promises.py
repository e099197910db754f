"""Calls promised on a lead's card, outside a conversation, by the rules that will be asked when they are made."""

from __future__ import annotations

from typing import Any

import pytest

from engine.core import effects, events
from engine.core.model import AttemptPolicy, LeadId, LeadState, Phone, PhoneNumber, Refusal
from engine.core.pacing import Manual, Preview
from tests.conversation import ANNA, BORYS, MONDAY_MS, OFFICE_HOURS, SOLD, Conversation, lead

H = 3_600_000
LEAD = LeadId(1)


def office(*leads: Any, **changes: Any) -> Conversation:
    """A progressive campaign; leads of tomorrow, nobody is at work."""
    return Conversation(*(leads or (lead(1, next_at_ms=MONDAY_MS + 24 * H),)), **changes)


def plan(floor: Conversation, at_ms: int | None, **what: Any) -> str:
    return floor.command(events.PlanCallback, lead=LEAD, at_ms=at_ms, **what)


def saved(floor: Conversation) -> effects.SavePlan:
    return floor.last(effects.SavePlan)


def test_a_promise_is_kept_at_its_minute_by_its_owner() -> None:
    floor = office()
    floor.ready(BORYS, ANNA)
    assert plan(floor, MONDAY_MS + H, owner=ANNA) == ""
    assert saved(floor).change.state is LeadState.CALLBACK
    assert (saved(floor).change.next_at_ms, saved(floor).change.owner) == (MONDAY_MS + H, ANNA)
    floor.wait(H - 1)
    assert not floor.dialed()
    floor.wait(1)
    assert floor.dialed()


@pytest.mark.parametrize(("said", "owner"), [({}, BORYS), ({"owner": ANNA}, ANNA), ({"undo": True}, None)])
def test_a_promise_of_whoever_is_free_is_the_owners_of_the_client(said: dict[str, Any], owner: Any) -> None:
    floor = office(lead(1, keeper=BORYS, next_at_ms=MONDAY_MS + 24 * H))
    assert plan(floor, MONDAY_MS + H, **said) == ""
    assert saved(floor).change.owner == owner


@pytest.mark.parametrize(
    ("at_ms", "what", "refusal"),
    [
        (MONDAY_MS, {}, Refusal.CALLBACK_IN_PAST),
        (MONDAY_MS + 12 * H, {}, "calling_hours"),  # 22:00
        (MONDAY_MS + H, {"owner": "nobody"}, Refusal.OWNER_ELSEWHERE),
        (None, {}, Refusal.NO_PROMISE),
    ],
)
def test_what_cannot_be_kept_is_not_promised(at_ms: int | None, what: dict[str, Any], refusal: str) -> None:
    floor = office(hours=OFFICE_HOURS)
    assert plan(floor, at_ms, **what) == refusal
    assert not floor.all(effects.SavePlan)


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"state": LeadState.SUPPRESSED}, "lead_is:suppressed"),
        ({"state": LeadState.IN_CALL}, "lead_is:in_call"),
        ({"attempts_count": 3}, "attempts_used:3:3"),
        ({"phones": (Phone(position=0, number=PhoneNumber("+380670000001"), valid=False),)}, "no_valid_phone"),
    ],
)
def test_who_may_not_be_called_gets_no_promise(changes: dict[str, Any], refusal: str) -> None:
    floor = office(lead(1, **changes), attempts=AttemptPolicy(max=3, retry={}))
    assert plan(floor, MONDAY_MS + H) == refusal


def test_a_client_who_is_being_called_is_left_alone() -> None:
    floor = office(lead(1))
    floor.ready(ANNA)
    assert plan(floor, MONDAY_MS + H) == Refusal.LEAD_TAKEN
    floor.talk(floor.dial())
    assert plan(floor, MONDAY_MS + H) == Refusal.LEAD_TAKEN
    assert not floor.live.to_plan


def test_who_looks_at_the_client_gets_another_one() -> None:
    floor = office(lead(1), lead(2), pacing=Preview())
    floor.ready(ANNA)
    assert plan(floor, MONDAY_MS + H) == ""
    previewed = floor.agent().previewed
    assert previewed is not None
    assert previewed.lead == LeadId(2)


def test_a_promise_that_is_loaded_already_moves_with_its_lead() -> None:
    floor = office(lead(1), pacing=Manual())
    floor.leads = [lead(1, state=LeadState.CALLBACK, next_at_ms=MONDAY_MS)]
    floor.tell(events.LeadsChanged(floor.leads[0].campaign))
    assert plan(floor, MONDAY_MS + H) == ""
    assert LEAD not in {one.id for hopper in floor.live.hoppers.values() for one in hopper.leads}


def test_an_overdue_promise_is_given_to_somebody_else_as_it_stands() -> None:
    floor = office(lead(1, state=LeadState.CALLBACK, next_at_ms=MONDAY_MS - H, owner=ANNA), running=False)
    assert plan(floor, MONDAY_MS - H, owner=BORYS) == ""
    assert saved(floor).change.owner == BORYS
    assert plan(floor, MONDAY_MS - 2 * H) == Refusal.CALLBACK_IN_PAST


@pytest.mark.parametrize(
    ("was", "state", "next_at_ms"),
    [
        (None, LeadState.RETRY, MONDAY_MS + 2 * H),
        (events.LeadWas(state=LeadState.NEW, next_at_ms=5), LeadState.RETRY, 5),
        (events.LeadWas(state=LeadState.CLOSED, next_at_ms=5), LeadState.CLOSED, None),
    ],
)
def test_a_promise_taken_back_leaves_the_lead_as_it_was(
    was: events.LeadWas | None, state: LeadState, next_at_ms: int | None
) -> None:
    floor = office(
        lead(1, state=LeadState.CALLBACK, next_at_ms=MONDAY_MS + H),
        attempts=AttemptPolicy(max=3, retry={}, default_after_ms=2 * H),
    )
    assert plan(floor, None, was=was) == ""
    assert (saved(floor).change.state, saved(floor).change.next_at_ms) == (state, next_at_ms)
    floor.ready(ANNA)
    floor.wait(H)
    assert len(floor.dialed()) == (next_at_ms == 5)


def test_what_is_put_back_asks_no_rule() -> None:
    floor = office(lead(1, state=LeadState.CLOSED), hours=OFFICE_HOURS)
    assert plan(floor, MONDAY_MS - H, undo=True) == ""
    assert saved(floor).change.next_at_ms == MONDAY_MS - H


def test_every_change_is_audited_with_its_author() -> None:
    floor = office()
    plan(floor, MONDAY_MS + H)
    plan(floor, MONDAY_MS + 2 * H, owner=ANNA)
    plan(floor, None)
    audit = [one for one in floor.all(effects.SaveAudit) if one.action.startswith("callback")]
    assert [(one.action, one.subject, one.detail) for one in audit] == [
        ("callback_planned", "lead:1", "2025-11-24 09:00 UTC"),
        ("callback_moved", "lead:1", "2025-11-24 10:00 UTC anna"),
        ("callback_taken_back", "lead:1", ""),
    ]


def test_a_result_corrected_later_has_the_last_word() -> None:
    floor = office(lead(1))
    floor.ready(ANNA)
    attempt = floor.talk(floor.dial())
    floor.hang_up(attempt.leg)
    assert floor.dispose(attempt, SOLD) == ""
    assert plan(floor, MONDAY_MS + H) == ""
    assert floor.dispose(attempt, SOLD) == ""
    floor.wait(2 * H)
    assert len(floor.dialed()) == 1
