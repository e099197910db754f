"""A client's orders as pages use them: listed, saved once however often it is asked, undone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from engine.core import clientorders as rules
from engine.core.clientorders import STATE
from engine.core.model import AttemptId, ClientOrder, LeadId, OrderId, OrderPolicy, OrderRefusal
from engine.store.clientorders import Book, Change, ClientOrders
from engine.store.database import Database
from engine.store.rows import Draft

__all__ = ["STATE", "Clash", "Listed", "NotSaved", "Page", "Wanted", "page_of", "save", "undo"]

#: How often a change is put together anew when another one comes between.
TRIES_MAX: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """An order as one person sees it now."""

    order: ClientOrder
    missing: tuple[str, ...]
    over: bool
    may_edit: bool  # its values; its state may be changed unless it is over
    may_undo: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A client's orders in their order. `repeats`: what "Repeat the order" fills in, None without an order."""

    orders: tuple[Listed, ...]
    count: int
    first_state: str
    repeats: Mapping[str, str] | None
    draft: Draft | None


def page_of(policy: OrderPolicy, book: Book, login: str, now_ms: int) -> Page:
    """What this person sees of the client's orders."""
    return Page(
        orders=tuple(
            Listed(
                order=order,
                missing=rules.missing(policy, order),
                over=rules.is_over(policy, order.state),
                may_edit=rules.may_edit(policy, order),
                may_undo=rules.may_undo(order, login, now_ms),
            )
            for order in rules.listed(policy, book.orders)
        ),
        count=book.count,
        first_state=rules.first_state(policy),
        repeats=rules.repeated(policy, book.orders),
        draft=book.draft,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a form says. `order` None: a new one; `before`: the values as its author saw them; both with STATE."""

    lead: LeadId
    order: OrderId | None
    before: Mapping[str, str]
    after: Mapping[str, str]
    key: str  # of the command
    login: str
    at_ms: int
    attempt: AttemptId | None = None


class NotSaved(Exception):
    """Nothing was changed; `reason` says why."""

    def __init__(self, reason: OrderRefusal) -> None:
        super().__init__(reason)
        self.reason = reason


class Clash(Exception):
    """Somebody else changed the same values meanwhile, to `theirs`: nothing was changed. `now`: the order as it is."""

    def __init__(self, now: ClientOrder, theirs: Mapping[str, str]) -> None:
        super().__init__("changed meanwhile")
        self.now = now
        self.theirs = theirs


async def save(database: Database, policy: OrderPolicy, wanted: Wanted) -> ClientOrder:
    """A new order, or one changed; the same command again changes nothing. NotSaved, Clash, StoreError."""
    store = ClientOrders(database)
    for _ in range(TRIES_MAX):
        if (done := await store.made_by(wanted.key)) is not None:
            return done
        now = None if wanted.order is None else await _stands(store, wanted.order, wanted.lead)
        after = wanted.after
        if now is not None:
            both = rules.merged(wanted.before, wanted.after, rules.said(now))
            if both.clashes:
                raise Clash(now, both.clashes)
            after = both.values
        if (reason := rules.refusal(policy, now, after)) is not None:
            raise NotSaved(reason)
        if now is None:
            await store.add(wanted.lead, wanted.attempt, _change(wanted, None, after))
        elif await store.change(now, _change(wanted, now, after)):
            break
    done = await store.made_by(wanted.key)
    if done is None:
        raise NotSaved(OrderRefusal.BUSY)
    return done


async def undo(
    database: Database, order: OrderId, lead: LeadId, version: int, *, key: str, login: str, at_ms: int
) -> None:
    """Take the last change back: the order is as it was before, or gone if it was new. NotSaved, StoreError."""
    store = ClientOrders(database)
    if await store.made_by(key) is not None:
        return
    now = await _stands(store, order, lead)
    if now.version != version or not rules.may_undo(now, login, at_ms):
        raise NotSaved(OrderRefusal.NO_UNDO)
    was = await store.before(now)
    state, values = was or (now.state, now.values)
    change = Change(key=key, login=login, at_ms=at_ms, state=state, values=values, detail=f"order {order}: {state}")
    if not await store.undo(now, change, taken_back=was is None) and await store.made_by(key) is None:
        raise NotSaved(OrderRefusal.NO_UNDO)


async def _stands(store: ClientOrders, order: OrderId, lead: LeadId) -> ClientOrder:
    found = await store.find(order)
    if found is None or found.lead != lead or found.taken_back:
        raise NotSaved(OrderRefusal.GONE)
    return found


def _change(wanted: Wanted, now: ClientOrder | None, after: Mapping[str, str]) -> Change:
    """The order's new content: values of fields that config.yaml does not name any more are kept."""
    was = now.values if now is not None else {}
    values = {**was, **{name: value for name, value in after.items() if name != STATE}}
    names = [name for name, value in values.items() if value != was.get(name, "")]
    moved = after[STATE] if now is None or now.state == after[STATE] else f"{now.state} → {after[STATE]}"
    return Change(
        key=wanted.key,
        login=wanted.login,
        at_ms=wanted.at_ms,
        state=after[STATE],
        values={name: value for name, value in values.items() if value},
        detail=f"{moved}: {', '.join(names)}" if names else moved,
    )
