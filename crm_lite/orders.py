"""What clients order, on the desk and on the card: listed, made, repeated, changed, undone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from aiohttp import web

from crm_lite.crm import Crm, Viewer
from crm_lite.web_keys import CRM, own_card, said_of, user_of
from crm_lite.words import refusal
from engine.core.model import AgentId, AttemptId, LeadId, OrderId, OrderPolicy
from engine.orderbook import STATE, Clash, Listed, NotSaved, Wanted, page_of, save, undo
from engine.store.clientorders import Book, ClientOrders
from engine.store.rows import User

#: Characters of one value of an order.
VALUE_MAX: Final = 500
_KEY: Final = re.compile(r"[A-Za-z0-9-]{8,64}")
_ATTEMPT_CHARS_MAX: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderLine:
    """One order as a list shows it. `form`: what its form is filled with, JSON; "" of one that is over."""

    of: Listed
    state: str
    values: tuple[tuple[str, str], ...]  # (field, value) of those that say something
    missing: tuple[str, ...]
    form: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderSheet:
    """A client's orders and the form for one. `repeats` and `draft` are JSON for the form, or ""."""

    lead: LeadId
    lines: tuple[OrderLine, ...]
    count: int
    fields: tuple[tuple[str, str, bool], ...]  # (name, title, required)
    states: tuple[tuple[str, str], ...]
    first_state: str
    repeats: str
    draft: str


async def book_of(crm: Crm, viewer: Viewer, lead: LeadId) -> Book:
    """The client's orders; an empty book where config.yaml names no fields of orders. Raises StoreError."""
    if crm.engine.policy().orders is None:
        return Book()
    return await ClientOrders(crm.database).book(lead, viewer.login)


def sheet_of(crm: Crm, viewer: Viewer, lead: LeadId, book: Book, now_ms: int) -> OrderSheet | None:
    """What pages show of the book; None where there are no orders at all."""
    policy = crm.engine.policy().orders
    if policy is None:
        return None
    words, page = viewer.words, page_of(policy, book, viewer.login, now_ms)
    titles = {one.name: words.label(one.labels) for one in policy.fields.values()}
    states = {one.id: words.label(one.labels) for one in policy.states.values()}

    def line(listed: Listed) -> OrderLine:
        order = listed.order
        named = [*titles, *(name for name in order.values if name not in titles)]
        said = {name: order.values.get(name, "") for name in titles} | {STATE: order.state}
        form = {"order": order.id, "values": said, "locked": not listed.may_edit}
        return OrderLine(
            of=listed,
            state=states.get(order.state, order.state),
            values=tuple((titles.get(name, name), order.values[name]) for name in named if order.values.get(name)),
            missing=tuple(titles[name] for name in listed.missing),
            form="" if listed.over else _json(form),
        )

    return OrderSheet(
        lead=lead,
        lines=tuple(map(line, page.orders)),
        count=page.count,
        fields=tuple((one.name, titles[one.name], one.required) for one in policy.fields.values()),
        states=tuple(states.items()),
        first_state=page.first_state,
        repeats="" if page.repeats is None else _json({"order": None, "values": page.repeats}),
        draft=page.draft.text if page.draft else "",
    )


def _json(value: object) -> str:
    return orjson.dumps(value).decode()


async def save_order(request: web.Request) -> web.StreamResponse:
    """A new order or a changed one: 200 with the list; 409 with what another person changed; 422 with what is wrong."""
    crm, user, policy = request.app[CRM], user_of(request), _policy(request)
    card, said = await own_card(request), await said_of(request)
    order, attempt = said.get("order"), said.get("attempt") or None
    before, after = (_values(said.get(part), policy) for part in ("before", "after"))
    if not (order is None or _is_id(order)) or STATE not in after:
        raise web.HTTPBadRequest
    if attempt is not None and (not isinstance(attempt, str) or len(attempt) > _ATTEMPT_CHARS_MAX):
        raise web.HTTPBadRequest
    wanted = Wanted(
        lead=card.id,
        order=None if order is None else OrderId(order),
        before=before,
        after=after,
        key=_key(said, user),
        login=user.login,
        at_ms=crm.clock.now_ms(),
        attempt=None if attempt is None else AttemptId(attempt),
    )
    try:
        saved = await save(crm.database, policy, wanted)
    except Clash as clash:
        return _clashed(crm, crm.viewer(user), clash)
    except NotSaved as refused:
        return _refused(crm.viewer(user), refused)
    return await _listed(crm, user, card.id, order=saved.id, version=saved.version)


async def undo_order(request: web.Request) -> web.StreamResponse:
    """Take one's own last change back: 200 with the list, 422 with why not."""
    crm, user = request.app[CRM], user_of(request)
    card, said = await own_card(request), await said_of(request)
    version = said.get("version")
    if not isinstance(version, int):
        raise web.HTTPBadRequest
    order, now_ms = OrderId(int(request.match_info["order"])), crm.clock.now_ms()
    try:
        await undo(crm.database, order, card.id, version, key=_key(said, user), login=user.login, at_ms=now_ms)
    except NotSaved as refused:
        return _refused(crm.viewer(user), refused)
    return await _listed(crm, user, card.id)


async def _listed(crm: Crm, user: User, lead: LeadId, **more: int) -> web.Response:
    viewer, now_ms = crm.viewer(user), crm.clock.now_ms()
    crm.live.ordered(lead)
    html = crm.pages.render(
        viewer.words.language,
        "leads/orders.html",
        orders=sheet_of(crm, viewer, lead, await book_of(crm, viewer, lead), now_ms),
        viewer=viewer,
        agents=crm.engine.policy().agents,
        now_ms=now_ms,
    )
    return web.json_response({"orders": html, **more})


def _clashed(crm: Crm, viewer: Viewer, clash: Clash) -> web.Response:
    now = clash.now
    profile = crm.engine.policy().agents.get(AgentId(now.changed_by))
    said = {
        "who": profile.name if profile else now.changed_by,
        "time": viewer.words.when(now.changed_at_ms, crm.clock.now_ms(), viewer.zone),
    }
    words = viewer.words.gettext("%(who)s changed this: %(time)s.") % said
    return web.json_response({"problem": words, "theirs": dict(clash.theirs)}, status=409)


def _refused(viewer: Viewer, refused: NotSaved) -> web.Response:
    return web.json_response({"problem": refusal(viewer.words, refused.reason)}, status=422)


def _policy(request: web.Request) -> OrderPolicy:
    policy = request.app[CRM].engine.policy().orders
    if policy is None:
        raise web.HTTPNotFound
    return policy


def _key(said: Mapping[str, Any], user: User) -> str:
    key = said.get("key")
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise web.HTTPBadRequest
    return f"{user.login}:{key}"


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _values(said: object, policy: OrderPolicy) -> dict[str, str]:
    """The values of a form, of the fields that there are."""
    if not isinstance(said, dict):
        raise web.HTTPBadRequest
    values = {name: said[name] for name in (*policy.fields, STATE) if name in said}
    if not all(isinstance(value, str) and len(value) <= VALUE_MAX for value in values.values()):
        raise web.HTTPBadRequest
    return {name: value.strip() for name, value in values.items()}
