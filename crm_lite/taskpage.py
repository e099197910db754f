"""What the desk's pages ask about tasks: a new one, done, later."""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

from aiohttp import web

from crm_lite.crm import Viewer
from crm_lite.desk import BadCallback, callback_at_ms
from crm_lite.tasks import look_again
from crm_lite.web_keys import CRM, user_of
from crm_lite.words import REFUSALS
from engine.booking import Taken
from engine.core.events import AgentReady
from engine.core.model import CommandId, LeadId, SystemPause, TaskId
from engine.handout import book_task
from engine.moments import TEXT_MAX, moment
from engine.store.errors import StoreError
from engine.store.tasks import TITLE_MAX, Tasks


async def add_task(request: web.Request) -> web.StreamResponse:
    """A task for oneself: 200; 409 with the next free day when that one is full; 422 with what is wrong."""
    crm, user, said = request.app[CRM], user_of(request), await _said(request)
    rules = crm.engine.policy().tasks
    if user.agent is None or rules is None:
        raise web.HTTPForbidden
    viewer, now_ms = crm.viewer(user), crm.clock.now_ms()
    kind, title, lead = rules.types.get(_text(said, "type")), _text(said, "title").strip(), said.get("lead") or None
    if kind is None or (lead is not None and not isinstance(lead, int)):
        raise web.HTTPBadRequest
    if not title or len(title) > TITLE_MAX:
        return _problem(viewer.words.gettext("Say in a few words what is to be done."), "title")
    if lead is not None:
        card, mine = await crm.records.lead_card(LeadId(lead)), crm.campaigns_of(user)
        if card is None or (mine is not None and card.campaign not in mine):
            raise web.HTTPBadRequest
    at_ms = _when(viewer, _text(said, "when"), now_ms)
    if at_ms is None:
        return _not_understood(viewer)
    free = await book_task(crm.database, rules, user.agent, at_ms, viewer.zone)
    if free != at_ms:
        return _full(viewer, free, now_ms)
    await Tasks(crm.database).add(
        key=f"{user.login}:{_text(said, 'key')}",
        of=kind,
        title=title,
        lead=None if lead is None else LeadId(lead),
        owner=user.agent,
        due_at_ms=at_ms,
        by=user.login,
        at_ms=now_ms,
    )
    look_again(crm, user.agent)
    return web.json_response({"words": viewer.words.when(at_ms, now_ms, viewer.zone)})


async def settle_task(request: web.Request) -> web.StreamResponse:
    """The task is done, or comes later. The operator who was busy with it is ready again."""
    crm, user, said = request.app[CRM], user_of(request), await _said(request)
    rules, task = crm.engine.policy().tasks, TaskId(int(request.match_info["task"]))
    if user.agent is None or rules is None:
        raise web.HTTPForbidden
    viewer, now_ms, tasks = crm.viewer(user), crm.clock.now_ms(), Tasks(crm.database)
    plate = await tasks.plate(user.agent, now_ms)
    in_hand = plate.in_hand is not None and plate.in_hand.id == task
    words = ""
    if _text(said, "act") == "done":
        changed = await tasks.finish(task, user.agent, now_ms)
    else:
        at_ms = _when(viewer, _text(said, "when"), now_ms)
        if at_ms is None:
            return _not_understood(viewer)
        free = await book_task(crm.database, rules, user.agent, at_ms, viewer.zone, but=task)
        if free != at_ms:
            return _full(viewer, free, now_ms)
        changed = await tasks.postpone(task, user.agent, at_ms)
        words = viewer.words.when(at_ms, now_ms, viewer.zone)
    if not changed:
        raise web.HTTPNotFound
    current = crm.live.board.agents.get(user.agent)
    if in_hand and current is not None and SystemPause.TASK in (current.pause_reason, current.wish_reason):
        command = CommandId(f"{user.login}:task-{task}-{now_ms}")
        try:
            await crm.engine.do(AgentReady(command=command, by=user.login, agent=user.agent))
        except TimeoutError as error:
            raise StoreError("the engine does not save") from error
    look_again(crm, user.agent)
    return web.json_response({"words": words})


async def _said(request: web.Request) -> dict[str, Any]:
    try:
        said = await request.json()
    except ValueError as error:
        raise web.HTTPBadRequest from error
    if not isinstance(said, dict):
        raise web.HTTPBadRequest
    return said


def _text(said: dict[str, Any], key: str) -> str:
    value = said.get(key, "")
    if not isinstance(value, str):
        raise web.HTTPBadRequest
    return value


def _when(viewer: Viewer, text: str, now_ms: int) -> int | None:
    """The moment that was meant: of a button or field, or in words."""
    try:
        return callback_at_ms(text, viewer.zone, now_ms)
    except BadCallback:
        return moment(text[:TEXT_MAX], now_ms, viewer.zone)


def _problem(words: str, field: str, code: int = 422, **more: str) -> web.Response:
    return web.json_response({"problem": words, "field": field, **more}, status=code)


def _not_understood(viewer: Viewer) -> web.Response:
    said = "Not understood. Say it like “tomorrow 15” or “in half an hour”, or choose a time."
    return _problem(viewer.words.gettext(said), "when")


def _full(viewer: Viewer, free_ms: int | None, now_ms: int) -> web.Response:
    words = viewer.words
    if free_ms is None:
        return _problem(words.gettext(REFUSALS[Taken.NEVER]), "when")
    said = words.gettext("That day is full. Next free: %(time)s") % {"time": words.when(free_ms, now_ms, viewer.zone)}
    return _problem(said, "when", 409, offer=_local(free_ms, viewer.zone))


def _local(at_ms: int, zone: ZoneInfo) -> str:
    return f"{dt.datetime.fromtimestamp(at_ms / 1000, zone):%Y-%m-%dT%H:%M}"
