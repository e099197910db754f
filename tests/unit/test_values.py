"""A value swapped for another one is what `dataclasses.replace` gives."""

from __future__ import annotations

import dataclasses

import pytest

from engine.core.budget import AbandonRule
from engine.core.model import Agent, AgentId, AgentState, PhoneNumber
from engine.core.values import replace

ANNA = Agent(id=AgentId("anna"), since_ms=5, wish_reason="lunch")


def test_a_swapped_value_is_as_dataclasses_makes_it_and_the_old_one_stays() -> None:
    ready = replace(ANNA, state=AgentState.READY, since_ms=7)
    assert ready == dataclasses.replace(ANNA, state=AgentState.READY, since_ms=7)
    assert hash(ready) == hash(dataclasses.replace(ready))
    assert (ANNA.state, ANNA.since_ms) == (AgentState.LOGGED_OUT, 5)


def test_what_is_swapped_is_frozen_too() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        replace(ANNA, muted=True).muted = False  # type: ignore[misc]


def test_a_field_that_is_not_there_is_our_mistake() -> None:
    with pytest.raises(AttributeError):
        replace(ANNA, mood="good")  # type: ignore[call-arg]


def test_a_class_that_checks_its_values_or_has_one_field_is_not_for_this() -> None:
    with pytest.raises(AssertionError, match="checks itself"):
        replace(AbandonRule(), guard=2.0)
    with pytest.raises(AssertionError, match="one field"):
        replace(PhoneNumber("+380441230000"), e164="1")
