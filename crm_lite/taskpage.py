"""What pages ask about tasks: a new one, for oneself or somebody else; done, later; what nobody did in time."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from crm_lite.callbacks import NOT_UNDERSTOOD
from crm_lite.crm import Viewer
from crm_lite.desk import BadCallback, as_local, callback_at_ms
from crm_lite.tasks import Misplaced, look_again, make_task
from crm_lite.web_keys import CRM, page, said_of, see_other, user_of
from crm_lite.words import REFUSALS
from engine.booking import Taken
from engine.core.events import AgentReady
from engine.core.model import AgentId, CommandId, LeadId, SystemPause, TaskId
from engine.handout import book_task
from engine.messages import N_
from engine.moments import TEXT_MAX, moment
from engine.store.errors import StoreError
from engine.store.tasks import TITLE_MAX, Tasks

KEY_CHARS_MAX: Final = 64


async def add_task(request: web.Request) -> web.StreamResponse:
    """A task for oneself: 200; 409 with the next free day when that one is full; 422 with what is wrong."""
    crm, user, said = request.app[CRM], user_of(request), await said_of(request)
    rules = crm.engine.policy().tasks
    if user.agent is None or rules is None:
        raise web.HTTPForbidden
    viewer, now_ms = crm.viewer(user), crm.clock.now_ms()
    kind, title, lead = rules.types.get(_text(said, "type")), _text(said, "title").strip(), said.get("lead") or None
    if kind is None or (lead is not None and not isinstance(lead, int)):
        raise web.HTTPBadRequest
    if not title or len(title) > TITLE_MAX:
        return _problem(viewer.words.gettext(NO_TITLE), "title")
    at_ms = _when(viewer, _text(said, "when"), now_ms)
    if at_ms is None:
        return _not_understood(viewer)
    client = None if lead is None else LeadId(lead)
    key = _text(said, "key")[:KEY_CHARS_MAX]
    try:
        free = await make_task(crm, user, owner=user.agent, of=kind, title=title, lead=client, due_at_ms=at_ms, key=key)
    except PermissionError as error:  # config.yaml has no such operator any more
        raise web.HTTPForbidden from error
    except Misplaced as error:
        raise web.HTTPBadRequest from error
    if free != at_ms:
        return _full(viewer, free, now_ms)
    return web.json_response({"words": viewer.words.when(at_ms, now_ms, viewer.zone)})


# ── for others ───────────────────────────────────────────────────────────────────────────────────────────────────

NO_TITLE: Final = N_("Say in a few words what is to be done.")
NO_OPERATOR: Final = N_("Choose an operator.")
NO_CLIENT: Final = N_("There is no such client, or the operator does not work in that campaign.")
_LEAD: Final = re.compile(r"[0-9]{1,15}")
_SAID: Final = ("owner", "title", "type", "when", "lead", "given")


async def tasks_page(request: web.Request) -> web.StreamResponse:
    """What operators have not done in time, and a form to give one of them something to do."""
    return await _tasks_page(request, dict(request.query))


async def give_task(request: web.Request) -> web.StreamResponse:
    """A task for an operator: back to the page; 422 with what is wrong, 409 with the next free day."""
    crm, user = request.app[CRM], user_of(request)
    said = {key: str(value).strip() for key, value in (await request.post()).items()}
    rules, viewer, now_ms = crm.engine.policy().tasks, crm.viewer(user), crm.clock.now_ms()
    kind = rules.types.get(said.get("type", "")) if rules else None
    owner, title, lead = AgentId(said.get("owner", "")), said.get("title", ""), said.get("lead", "")
    at_ms = _when(viewer, said.get("when", ""), now_ms)
    problem = ""
    if kind is None or owner not in crm.engine.policy().agents:
        problem = NO_OPERATOR
    elif not title or len(title) > TITLE_MAX:
        problem = NO_TITLE
    elif lead and not _LEAD.fullmatch(lead):
        problem = NO_CLIENT
    elif at_ms is None:
        problem = NOT_UNDERSTOOD
    if problem or kind is None or at_ms is None:
        return await _tasks_page(request, said, problem=viewer.words.gettext(problem), code=422)
    client = LeadId(int(lead)) if lead else None
    key = said.get("key", "")[:KEY_CHARS_MAX]
    try:
        free = await make_task(crm, user, owner=owner, of=kind, title=title, lead=client, due_at_ms=at_ms, key=key)
    except Misplaced:
        return await _tasks_page(request, said, problem=viewer.words.gettext(NO_CLIENT), code=422)
    if free != at_ms:
        offer = {**said, "when": "" if free is None else as_local(free, viewer.zone)}
        return await _tasks_page(request, offer, problem=_full_words(viewer, free, now_ms), code=409)
    return see_other(f"/tasks?given={owner}")


async def _tasks_page(
    request: web.Request, said: Mapping[str, str], *, problem: str = "", code: int = 200
) -> web.Response:
    crm = request.app[CRM]
    policy, viewer, now_ms = crm.engine.policy(), crm.viewer(user_of(request)), crm.clock.now_ms()
    if policy.tasks is None:
        raise web.HTTPNotFound
    late, late_count = await Tasks(crm.database).overdue(now_ms - policy.tasks.slot_ms)
    return page(
        request,
        "tasks.html",
        code=code,
        problem=problem,
        said={**dict.fromkeys(_SAID, ""), **said},
        key=secrets.token_hex(8),
        late=late,
        late_count=late_count,
        types={id_: viewer.words.label(kind.labels) for id_, kind in policy.tasks.types.items()},
        agents=policy.agents,
        title_max=TITLE_MAX,
        viewer=viewer,
    )


# ── one's own ────────────────────────────────────────────────────────────────────────────────────────────────────


async def settle_task(request: web.Request) -> web.StreamResponse:
    """The task is done, or comes later. The operator who was busy with it is ready again."""
    crm, user, said = request.app[CRM], user_of(request), await said_of(request)
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
    return _problem(viewer.words.gettext(NOT_UNDERSTOOD), "when")


def _full(viewer: Viewer, free_ms: int | None, now_ms: int) -> web.Response:
    said = _full_words(viewer, free_ms, now_ms)
    if free_ms is None:
        return _problem(said, "when")
    return _problem(said, "when", 409, offer=as_local(free_ms, viewer.zone))


def _full_words(viewer: Viewer, free_ms: int | None, now_ms: int) -> str:
    words = viewer.words
    if free_ms is None:
        return words.gettext(REFUSALS[Taken.NEVER])
    return words.gettext("That day is full. Next free: %(time)s") % {"time": words.when(free_ms, now_ms, viewer.zone)}
