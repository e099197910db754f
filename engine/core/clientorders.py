"""Clients' orders: which stand on top, what is missing, what a repeated one takes over, who may change and undo what.

An order may be saved with doubts (an address that is not known yet): it floats to the top until somebody has filled it
in. What is over sinks. Two people may change one order at once: only the same value can collide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from engine.core.model import ClientOrder, OrderPolicy, OrderRefusal

#: The last change can be taken back by who made it for so long.
UNDO_WITHIN_MS: Final = 15 * 60_000
#: The state among the values of a form; no field's name has a colon.
STATE: Final = ":state"


def first_state(policy: OrderPolicy) -> str:
    """Where a new order begins."""
    return next(iter(policy.states))


def is_over(policy: OrderPolicy, state: str) -> bool:
    """Whether orders in this state are done with. One that config.yaml does not know any more is not."""
    known = policy.states.get(state)
    return known is not None and known.over


def may_edit(policy: OrderPolicy, order: ClientOrder) -> bool:
    """Whether its values may be changed. In a state that config.yaml does not know they may: it must be put right."""
    known = policy.states.get(order.state)
    return known is None or known.edits


def missing(policy: OrderPolicy, order: ClientOrder) -> tuple[str, ...]:
    """The required fields that it lacks; none of an order that is over."""
    if is_over(policy, order.state):
        return ()
    return tuple(one.name for one in policy.fields.values() if one.required and not order.values.get(one.name))


def listed(policy: OrderPolicy, orders: Sequence[ClientOrder]) -> tuple[ClientOrder, ...]:
    """With doubts first, what is over last, each part the newest first."""

    def place(order: ClientOrder) -> tuple[bool, bool, int]:
        return is_over(policy, order.state), not missing(policy, order), -order.id

    return tuple(sorted(orders, key=place))


def repeated(policy: OrderPolicy, orders: Sequence[ClientOrder]) -> Mapping[str, str] | None:
    """What "Repeat the order" fills in: the last order's values, where their field repeats. None: nothing to repeat."""
    if not orders:
        return None
    last = max(orders, key=lambda order: order.id)
    return {name: last.values.get(name, "") if one.repeats else "" for name, one in policy.fields.items()}


def refusal(policy: OrderPolicy, now: ClientOrder | None, wanted: Mapping[str, str]) -> OrderRefusal | None:
    """Why the order may not become so; `now` None: a new one. `wanted`: values and STATE."""
    state, values = wanted[STATE], {name: value for name, value in wanted.items() if name != STATE}
    if state not in policy.states and (now is None or state != now.state):
        return OrderRefusal.UNKNOWN_STATE
    if not any(values.values()):
        return OrderRefusal.EMPTY
    if now is None:
        return None
    if is_over(policy, now.state):
        return OrderRefusal.OVER
    if values != {name: now.values.get(name, "") for name in values} and not may_edit(policy, now):
        return OrderRefusal.NO_EDITS
    return None


def may_undo(order: ClientOrder, login: str, now_ms: int) -> bool:
    """Whether this person may take its last change back: their own, of just now, and once."""
    return order.changed_by == login and not order.undone and now_ms - order.changed_at_ms <= UNDO_WITHIN_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """Two people's changes together. `clashes`: what both changed, with the other person's value; nothing is saved."""

    values: Mapping[str, str]
    clashes: Mapping[str, str]


def merged(before: Mapping[str, str], after: Mapping[str, str], now: Mapping[str, str]) -> Merged:
    """`before`: as the form's author saw it, `after`: as they want it, `now`: as it stands. Keys of `after` count."""
    values, clashes = {}, {}
    for name, wanted in after.items():
        seen, stands = before.get(name, ""), now.get(name, "")
        values[name] = stands if wanted == seen else wanted
        if wanted not in (seen, stands) and stands != seen:
            clashes[name] = stands
    return Merged(values=values, clashes=clashes)


def said(order: ClientOrder) -> Mapping[str, str]:
    """All that a form says of the order."""
    return {**order.values, STATE: order.state}
