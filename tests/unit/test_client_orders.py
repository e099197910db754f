"""Clients' orders: what floats, what sinks, what is missing, repeated, allowed and undone."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from engine.core.clientorders import (
    STATE,
    UNDO_WITHIN_MS,
    first_state,
    listed,
    may_edit,
    may_undo,
    merged,
    missing,
    refusal,
    repeated,
)
from engine.core.model import ClientOrder, LeadId, OrderField, OrderId, OrderPolicy, OrderRefusal, OrderState

NOON = 1_700_000_000_000
WATER = OrderPolicy(
    fields={
        "items": OrderField(name="items", labels={}, required=True),
        "address": OrderField(name="address", labels={}, required=True),
        "comment": OrderField(name="comment", labels={}, repeats=False),
    },
    states={
        "new": OrderState(id="new", labels={}, edits=True),
        "in_work": OrderState(id="in_work", labels={}, edits=True),
        "done": OrderState(id="done", labels={}, over=True),
        "cancelled": OrderState(id="cancelled", labels={}, over=True),
        "break": OrderState(id="break", labels={}),
    },
)
WHOLE = {"items": "Вода 19 л × 2", "address": "вул. Хрещатик 1"}


def order(
    id_: int = 1, state: str = "new", values: Mapping[str, str] = WHOLE, by: str = "olena", undone: bool = False
) -> ClientOrder:
    return ClientOrder(
        id=OrderId(id_),
        lead=LeadId(1),
        state=state,
        values=values,
        version=1,
        made_at_ms=NOON,
        made_by=by,
        changed_at_ms=NOON,
        changed_by=by,
        undone=undone,
    )


def test_an_order_with_doubts_floats_up_and_one_that_is_over_sinks() -> None:
    doubtful = {"items": "Вода 19 л × 2"}
    orders = [order(1, values=doubtful), order(2, "done"), order(3), order(4, "cancelled", doubtful), order(5, "break")]
    assert [one.id for one in listed(WATER, orders)] == [1, 5, 3, 4, 2]


@pytest.mark.parametrize(
    ("state", "values", "lacks"),
    [
        pytest.param("new", WHOLE, (), id="nothing"),
        pytest.param("new", {"items": "Вода"}, ("address",), id="the address is not known yet"),
        pytest.param("break", {"items": "", "address": ""}, ("items", "address"), id="all that is required"),
        pytest.param("done", {}, (), id="what is over lacks nothing any more"),
    ],
)
def test_what_an_order_lacks(state: str, values: Mapping[str, str], lacks: tuple[str, ...]) -> None:
    assert missing(WATER, order(state=state, values=values)) == lacks


def test_a_repeated_order_takes_over_the_last_ones_values_but_not_its_comment() -> None:
    first, last = order(1), order(2, "done", WHOLE | {"items": "Вода 19 л × 3", "comment": "код 12", "old_field": "x"})
    assert repeated(WATER, [last, first]) == WHOLE | {"items": "Вода 19 л × 3", "comment": ""}
    assert repeated(WATER, []) is None


@pytest.mark.parametrize(
    ("now", "wanted", "why"),
    [
        pytest.param(None, WHOLE | {STATE: "new"}, None, id="a new order"),
        pytest.param(None, {"items": "Вода", STATE: "new"}, None, id="a new order with doubts"),
        pytest.param(None, {"items": "", STATE: "new"}, OrderRefusal.EMPTY, id="nothing in it"),
        pytest.param(None, WHOLE | {STATE: "lost"}, OrderRefusal.UNKNOWN_STATE, id="a state that nobody knows"),
        pytest.param("in_work", {"items": "Вода", STATE: "in_work"}, None, id="changed while in work"),
        pytest.param("break", WHOLE | {STATE: "in_work"}, None, id="taken up again after a break"),
        pytest.param("break", {"items": "Вода", STATE: "break"}, OrderRefusal.NO_EDITS, id="changed in a break"),
        pytest.param("done", WHOLE | {STATE: "new"}, OrderRefusal.OVER, id="what is done stays done"),
        pytest.param("gone", {"items": "Вода", STATE: "gone"}, None, id="config.yaml lost its state: values"),
        pytest.param("gone", WHOLE | {STATE: "done"}, None, id="config.yaml lost its state: a known one"),
    ],
)
def test_what_may_become_of_an_order(now: str | None, wanted: Mapping[str, str], why: OrderRefusal | None) -> None:
    assert refusal(WATER, order(state=now) if now else None, wanted) == why


def test_a_new_order_begins_in_the_first_state_and_is_edited_in_the_states_that_allow_it() -> None:
    assert first_state(WATER) == "new"
    assert [state for state in WATER.states if may_edit(WATER, order(state=state))] == ["new", "in_work"]


@pytest.mark.parametrize(
    ("one", "login", "after_ms", "may"),
    [
        pytest.param(order(), "olena", UNDO_WITHIN_MS, True, id="one's own, just now"),
        pytest.param(order(), "olena", UNDO_WITHIN_MS + 1, False, id="too long ago"),
        pytest.param(order(), "ivan", 0, False, id="another person's"),
        pytest.param(order(undone=True), "olena", 0, False, id="an undo is not undone"),
        pytest.param(order(state="done"), "olena", 0, True, id="done by a slip of the hand"),
    ],
)
def test_who_may_take_a_change_back(one: ClientOrder, login: str, after_ms: int, may: bool) -> None:
    assert may_undo(one, login, NOON + after_ms) == may


def test_two_people_change_one_order_and_only_the_same_value_collides() -> None:
    before = {"items": "2", "address": "А", "comment": "", STATE: "new"}
    ours = before | {"items": "3"}
    both = merged(before, ours, before | {"comment": "код 12", STATE: "in_work"})
    assert (both.values, both.clashes) == (ours | {"comment": "код 12", STATE: "in_work"}, {})
    assert merged(before, ours, before | {"items": "5"}).clashes == {"items": "5"}
    assert merged(before, ours, before | {"items": "3"}).clashes == {}
