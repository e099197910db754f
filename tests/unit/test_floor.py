"""The Floor as a whole: every fact has its handler, and two runs of the same facts are the same run."""

from __future__ import annotations

from typing import get_args

import pytest

from engine.core import events, floor
from engine.core.machines import CustomerEvent, IllegalTransition
from engine.core.model import CampaignId, CustomerState, PhoneId
from tests.conversation import ANNA, BORYS, SOLD, SPRING, Conversation, lead


def test_every_fact_has_a_handler() -> None:
    handled = set(floor._HANDLERS) | set(floor._COMMANDS)
    assert handled == set(get_args(events.Event))


def test_every_command_is_answered_once() -> None:
    talk = Conversation(lead(1))
    for kind, what in (
        (events.AgentLogin, {"agent": ANNA}),
        (events.AgentLogout, {"agent": ANNA}),
        (events.CampaignSwitched, {"campaign": CampaignId("nope"), "running": False}),
        (events.LeadSuppressed, {"lead": lead(1).id, "reason": "asked"}),
    ):
        talk.command(kind, **what)  # asserts exactly one answer


def day() -> list[str]:
    talk = Conversation(*(lead(n) for n in range(1, 30)))
    talk.ready(ANNA, BORYS)
    for _ in range(5):
        attempt = talk.talk(talk.dialed()[-1])
        talk.wait(30_000)
        talk.hang_up(attempt.leg)
        talk.dispose(attempt, SOLD)
        talk.wait(5_000)
    return [repr(order) for order in talk.orders]


def test_the_same_facts_at_the_same_times_give_the_same_orders() -> None:
    assert day() == day()


def test_facts_about_nobody_are_counted_and_harmless() -> None:
    talk = Conversation(lead(1))
    leg = lead(1).id
    for fact in (
        events.OriginateAccepted("a.9-9.c"),  # type: ignore[arg-type]
        events.OriginateRefused("a.9-9.c", "x"),  # type: ignore[arg-type]
        events.OriginateUnknown("g.9-9.nobody"),  # type: ignore[arg-type]
        events.LegRinging("something else"),  # type: ignore[arg-type]
        events.LegBridged("a.9-9.c"),  # type: ignore[arg-type]
        events.LegHungUp("a.9-9.c", 16),  # type: ignore[arg-type]
        events.CommandFailed("a.9-9.c", "bridge", "gone"),  # type: ignore[arg-type]
        events.PhoneSeen(PhoneId("door"), registered=True),
        events.TimerFired(("abandon", "9-9")),
        events.TimerFired(("wrap", "nobody")),
        events.LeadsFetched(CampaignId("nope"), ()),
        events.LeadsChanged(CampaignId("nope")),
    ):
        talk.tell(fact)
    assert talk.live.counters["late_events"] == 1
    assert leg


def test_our_own_mistake_is_an_error_and_changes_nothing() -> None:
    talk = Conversation(lead(1))
    talk.ready(ANNA)
    attempt = talk.talk(talk.dial())
    with pytest.raises(IllegalTransition, match="talking has no transition for bridged"):
        talk.live.move_attempt(attempt, CustomerEvent.BRIDGED, talk.now_ms)
    assert talk.attempt(attempt.leg).state is CustomerState.TALKING


def test_a_timer_that_nobody_set_is_a_bug() -> None:
    with pytest.raises(AssertionError, match="a timer that nobody set"):
        Conversation().tell(events.TimerFired(("dinner", SPRING)))
