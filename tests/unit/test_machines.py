"""Every pair of every table is either a transition or an error, and every state can be left and reached."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import pytest

from engine.core.machines import (
    AGENT,
    CALLBACK,
    CUSTOMER,
    JOINT_AGENT,
    JOINT_CUSTOMER,
    LEAD,
    AgentEvent,
    CallbackEvent,
    CustomerEvent,
    IllegalTransition,
    LeadEvent,
    legal,
    step,
)
from engine.core.model import AgentState, CallbackState, CustomerState, LeadState
from scripts.draw_machines import pages

Table = Mapping[tuple[Any, Any], Any]
MACHINES: list[tuple[Table, type[StrEnum], type[StrEnum], StrEnum, set[StrEnum]]] = [
    (CUSTOMER, CustomerState, CustomerEvent, CustomerState.PLANNED, {CustomerState.ENDED}),
    (AGENT, AgentState, AgentEvent, AgentState.LOGGED_OUT, set()),
    (LEAD, LeadState, LeadEvent, LeadState.NEW, {LeadState.SUPPRESSED}),
    (CALLBACK, CallbackState, CallbackEvent, CallbackState.SCHEDULED, {CallbackState.DONE, CallbackState.CANCELLED}),
]
NAMES = ["customer", "agent", "lead", "callback"]
EVERY_PAIR = [
    pytest.param(table, state, event, id=f"{name}-{state}-{event}")
    for name, (table, states, facts, _, _) in zip(NAMES, MACHINES, strict=True)
    for state, event in itertools.product(states, facts)
]


@pytest.mark.parametrize(("table", "state", "event"), EVERY_PAIR)
def test_a_pair_is_a_transition_or_an_error(table: Table, state: StrEnum, event: StrEnum) -> None:
    if (state, event) in table:
        assert legal(table, state, event)
        assert type(step(table, state, event)) is type(state)
    else:
        assert not legal(table, state, event)
        with pytest.raises(IllegalTransition, match=f"{state} has no transition for {event}"):
            step(table, state, event)


@pytest.mark.parametrize(("table", "states", "facts", "first", "final"), MACHINES, ids=NAMES)
def test_every_state_is_reached_and_only_final_ones_are_never_left(
    table: Table, states: type[StrEnum], facts: type[StrEnum], first: StrEnum, final: set[StrEnum]
) -> None:
    reached = {first}
    while more := {to for (state, _), to in table.items() if state in reached} - reached:
        reached |= more
    assert reached == set(states)
    assert {state for state in states if not any(key[0] is state for key in table)} == final
    assert {event for event in facts if not any(key[1] is event for key in table)} == set()


def test_whatever_a_customer_does_a_hang_up_ends_it() -> None:
    for state in set(CustomerState) - {CustomerState.ENDED}:
        assert step(CUSTOMER, state, CustomerEvent.HUNG_UP) is CustomerState.ENDED


def test_a_leaving_customer_is_never_offered_again() -> None:
    after = {to for (state, _), to in CUSTOMER.items() if state is CustomerState.LEAVING}
    assert after == {CustomerState.LEAVING, CustomerState.ENDED}


def test_joint_rules_only_ask_for_what_the_tables_have() -> None:
    for (_, agent), event in JOINT_AGENT.items():
        assert legal(AGENT, agent, event)
    for (_, customer), follows in JOINT_CUSTOMER.items():
        assert legal(CUSTOMER, customer, follows)


def test_no_call_ends_without_its_agent_being_told() -> None:
    for state in (AgentState.RESERVED, AgentState.TALKING):
        assert (CustomerState.ENDED, state) in JOINT_AGENT


def test_the_drawn_machines_are_those_of_the_tables() -> None:
    for path, text in pages():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run `make machines`"
