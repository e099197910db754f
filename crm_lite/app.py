"""The pages' application: routes with the right each needs, and what every request passes on its way.

From the outside in: headers and error pages, same origin, session, the route's right, audit of writes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from aiohttp import hdrs, web
from aiohttp.web_exceptions import HTTPException

from crm_lite import audit, campaigns, deskpage, dnc, exports, imports, intake, leads, orders, people, taskpage, vitals
from crm_lite.auth import SESSION_ABSOLUTE_MS, SESSION_IDLE_MS, Right, Sessions, may
from crm_lite.crm import Crm
from crm_lite.i18n import load_words
from crm_lite.live import Live, is_from_our_page, open_socket
from crm_lite.live_protocol import Close
from crm_lite.security import HEADERS, HSTS, SAFE_METHODS, same_origin
from crm_lite.settings import settings_of
from crm_lite.templating import WEB_DIR, Pages, build_id
from crm_lite.web_keys import CRM, SESSION, page
from crm_lite.words import UNEXPECTED
from engine.api import Engine
from engine.clock import Clock
from engine.config import Loaded
from engine.messages import N_
from engine.store.database import Database
from engine.store.errors import StoreError
from engine.store.records import Records
from engine.store.search import INDEXED_MAX, index_leads

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: A form's or a report's size; uploads have their own limit and are read as a stream.
BODY_BYTES_MAX: Final = 64 * 1024
SESSIONS_SWEPT_EVERY_S: Final = 3600
#: How often the search looks for new leads, and how long it rests between two handfuls of many.
INDEX_LOOK_EVERY_S: Final = 1.0
INDEX_PAUSE_S: Final = 0.02

#: Every route there is, with the right that it needs. A route that is not here does not exist.
ROUTES: Final[tuple[tuple[str, str, Handler, Right], ...]] = (
    ("GET", "/healthz", people.healthz, Right.ANYONE),
    ("GET", "/metrics", vitals.metrics, Right.ANYONE),  # asks for more itself
    ("POST", "/csp-report", people.csp_report, Right.ANYONE),
    ("POST", "/api/v1/leads", intake.take_lead, Right.ANYONE),  # the token of a partner is asked there
    ("GET", "/login", people.login_page, Right.ANYONE),
    ("POST", "/login", people.log_in, Right.ANYONE),
    ("GET", "/", people.home, Right.SIGNED_IN),
    ("POST", "/logout", people.log_out, Right.SIGNED_IN),
    ("GET", "/profile", people.profile_page, Right.SIGNED_IN),
    ("POST", "/profile", people.save_profile, Right.SIGNED_IN),
    ("POST", "/profile/sign-out-everywhere", people.sign_out_everywhere, Right.SIGNED_IN),
    ("POST", "/profile/keys", people.save_keys, Right.SIGNED_IN),
    ("GET", "/patterns", people.patterns, Right.PATTERNS),
    ("GET", "/audit", audit.audit_page, Right.READ_AUDIT),
    ("GET", "/desk", deskpage.desk_page, Right.DESK),
    ("GET", "/desk/when", deskpage.when, Right.DESK),
    ("GET", "/ws/desk", deskpage.desk_socket, Right.DESK),
    ("GET", "/desk/transfer", deskpage.transfer_menu, Right.DESK),
    ("GET", "/desk/calls/{attempt}", deskpage.earlier_call, Right.DESK),
    ("POST", "/tasks", taskpage.add_task, Right.DESK),
    ("GET", "/tasks", taskpage.tasks_page, Right.GIVE_TASKS),
    ("POST", "/tasks/given", taskpage.give_task, Right.GIVE_TASKS),
    ("POST", "/tasks/{task:[0-9]{1,15}}", taskpage.settle_task, Right.DESK),
    ("GET", "/live", campaigns.live_page, Right.FLOOR),
    ("GET", "/ws/floor", campaigns.floor_socket, Right.FLOOR),
    ("GET", "/campaigns", campaigns.campaigns_page, Right.FLOOR),
    ("GET", "/campaigns/{campaign}/why", campaigns.why_page, Right.FLOOR),
    ("POST", "/campaigns/{campaign}/recycle", campaigns.recycle_leads, Right.SWITCH_CAMPAIGN),
    ("POST", "/campaigns/{campaign}/run", campaigns.run_campaign, Right.SWITCH_CAMPAIGN),
    ("GET", "/leads", leads.list_page, Right.READ_LEADS),
    ("GET", "/leads/find", leads.find, Right.READ_LEADS),
    ("GET", "/leads/{lead:[0-9]{1,15}}", leads.lead_page, Right.READ_LEADS),
    ("POST", "/leads/{lead:[0-9]{1,15}}/dial", leads.dial_lead, Right.DESK),
    ("POST", "/leads/{lead:[0-9]{1,15}}/edit", leads.edit_lead, Right.EDIT_LEADS),
    ("GET", "/leads/{lead:[0-9]{1,15}}/callback", leads.callback_heard, Right.EDIT_LEADS),
    ("POST", "/leads/{lead:[0-9]{1,15}}/callback", leads.change_callback, Right.EDIT_LEADS),
    ("GET", "/leads/{lead:[0-9]{1,15}}/recordings/{name:[\\w.-]{1,120}}", leads.recording, Right.HEAR_RECORDINGS),
    ("POST", "/leads/{lead:[0-9]{1,15}}/do-not-call", leads.call_no_more, Right.EDIT_LEADS),
    ("POST", "/leads/{lead:[0-9]{1,15}}/call-again", leads.call_again, Right.EDIT_LEADS),
    ("POST", "/leads/{lead:[0-9]{1,15}}/orders", orders.save_order, Right.TAKE_ORDERS),
    ("POST", "/leads/{lead:[0-9]{1,15}}/orders/{order:[0-9]{1,15}}/undo", orders.undo_order, Right.TAKE_ORDERS),
    ("POST", "/leads/{lead:[0-9]{1,15}}/merge", leads.merge_leads, Right.MERGE_LEADS),
    ("POST", "/leads/{lead:[0-9]{1,15}}/unmerge", leads.unmerge_leads, Right.MERGE_LEADS),
    ("GET", "/import", imports.import_page, Right.IMPORT_LEADS),
    ("POST", "/import", imports.upload, Right.IMPORT_LEADS),
    ("GET", "/export", exports.export_page, Right.EXPORT_LEADS),
    ("POST", "/export", exports.export_file, Right.EXPORT_LEADS),
    ("GET", "/dnc", dnc.dnc_page, Right.DO_NOT_CALL),
    ("POST", "/dnc", dnc.add_numbers, Right.DO_NOT_CALL),
    ("POST", "/dnc/remove", dnc.remove_number, Right.DO_NOT_CALL),
    ("POST", "/dnc/import", dnc.import_numbers, Right.DO_NOT_CALL),
    ("GET", "/import/{number:[0-9]{1,15}}", imports.job_page, Right.IMPORT_LEADS),
    ("GET", "/import/{number:[0-9]{1,15}}/rejects", imports.rejects, Right.IMPORT_LEADS),
    ("POST", "/import/{number:[0-9]{1,15}}/choose", imports.choose, Right.IMPORT_LEADS),
    ("POST", "/import/{number:[0-9]{1,15}}/check", imports.check, Right.IMPORT_LEADS),
    ("POST", "/import/{number:[0-9]{1,15}}/run", imports.run, Right.IMPORT_LEADS),
    ("POST", "/import/{number:[0-9]{1,15}}/cancel", imports.cancel, Right.IMPORT_LEADS),
    ("POST", "/import/{number:[0-9]{1,15}}/revert", imports.revert, Right.IMPORT_LEADS),
)
#: Asked by machines, which have no page of ours; none of these heeds a session.
FOR_MACHINES: Final = frozenset({"/csp-report", "/api/v1/leads"})
_RIGHTS: Final = web.AppKey("rights", dict[web.AbstractRoute, Right])

ERRORS: Final = {
    400: N_("The request was not understood. Go back and try again."),
    403: N_("You may not open this page."),
    404: N_("There is no such page, or it is not yours."),
    405: N_("There is no such page, or it is not yours."),
    413: N_("This is too large."),
    503: N_("The database does not answer. Try again in a moment."),
}


def make_app(engine: Engine, database: Database, loaded: Loaded, clock: Clock) -> web.Application:
    """The application: it starts and ends its own tasks. `reconfigure` takes up a changed config.yaml."""
    words = load_words()
    records = Records(database)
    crm = Crm(
        engine=engine,
        database=database,
        records=records,
        clock=clock,
        loaded=loaded,
        settings=settings_of(loaded.config),
        pages=Pages(words, build_id()),
        sessions=Sessions(records, clock),
        live=Live(engine, clock),
    )
    app = web.Application(middlewares=[_outermost, _own_pages_only, _signed_in], client_max_size=BODY_BYTES_MAX)
    app[CRM] = crm
    app[imports.SHELF] = imports.Shelf()
    intake.set_up(app)
    app[_RIGHTS] = {app.router.add_route(method, path, handler): right for method, path, handler, right in ROUTES}
    for route in app.router.add_static("/static", WEB_DIR / "static"):
        app[_RIGHTS][route] = Right.ANYONE
    app.cleanup_ctx.append(_background)
    app.on_shutdown.append(_send_away)
    return app


def reconfigure(app: web.Application, loaded: Loaded) -> None:
    """Take up a changed config.yaml; desks are rendered anew."""
    crm = app[CRM]
    crm.loaded, crm.settings = loaded, settings_of(loaded.config)
    crm.live.touch_all()


async def _background(app: web.Application) -> AsyncIterator[None]:
    """The tasks of the pages live exactly as long as the application."""
    async with asyncio.TaskGroup() as group:
        app[imports.SHELF].open(group)
        tasks = [
            group.create_task(app[CRM].live.run(), name="crm-live"),
            group.create_task(_sweep_sessions(app[CRM]), name="crm-sessions"),
            group.create_task(_index_leads(app[CRM]), name="crm-search"),
            group.create_task(imports.carry_on(app), name="crm-imports"),
        ]
        yield
        app[imports.SHELF].stop()
        for task in tasks:
            task.cancel()
    app[imports.SHELF].close()


async def _turned_away(request: web.Request) -> web.StreamResponse:
    # A refused upgrade looks to a script like a dead server: it would try for ever. A close code says why.
    if not is_from_our_page(request):
        raise web.HTTPForbidden
    ws = await open_socket(request)
    await ws.close(code=Close.SIGNED_OUT, message=b"signed out")
    return ws


async def _send_away(app: web.Application) -> None:
    await app[CRM].live.shut()


async def _index_leads(crm: Crm) -> None:
    """Take up new and changed leads into the search, a little at a time: calls come first."""
    while True:
        more = 0
        try:
            more = await index_leads(crm.database)
        except StoreError as error:
            log.warning("leads_not_indexed", extra={"action": "index", "error": str(error)})
        await asyncio.sleep(INDEX_PAUSE_S if more == INDEXED_MAX else INDEX_LOOK_EVERY_S)


async def _sweep_sessions(crm: Crm) -> None:
    while True:
        now_ms = crm.clock.now_ms()
        try:
            await crm.records.end_old_sessions(
                seen_before_ms=now_ms - SESSION_IDLE_MS, created_before_ms=now_ms - SESSION_ABSOLUTE_MS
            )
        except StoreError as error:
            log.warning("sessions_not_swept", extra={"action": "sweep", "error": str(error)})
        await asyncio.sleep(SESSIONS_SWEPT_EVERY_S)


@web.middleware
async def _outermost(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Security headers on everything; no traceback for anybody."""
    try:
        response = await handler(request)
    except HTTPException as error:
        response = _redirect(error) if error.status < 400 else _error_page(request, error.status)
    except StoreError as error:
        log.warning("store_failed", extra={"action": "page", "path": request.path, "error": str(error)})
        response = _error_page(request, 503)
    except (asyncio.CancelledError, ConnectionResetError):
        raise
    except Exception:
        log.exception("page_failed", extra={"action": "page", "path": request.path})
        response = _error_page(request, 500)
    if response.prepared:
        return response
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = "Zvonar"
    if request.app[CRM].settings.secure:
        response.headers["Strict-Transport-Security"] = HSTS
    if request.path.startswith("/static/"):
        # A versioned address is that version for ever; any other is asked for again each time.
        kept = "public, max-age=31536000, immutable" if "v" in request.query else "no-cache"
        response.headers["Cache-Control"] = kept
    return response


def _redirect(said: HTTPException) -> web.Response:
    return web.Response(status=said.status, headers={"Location": said.headers["Location"]})


def _error_page(request: web.Request, code: int) -> web.Response:
    return page(request, "error.html", code=code, number=code, message=ERRORS.get(code, UNEXPECTED))


@web.middleware
async def _own_pages_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Only our own pages may change something."""
    if request.path not in FOR_MACHINES and not same_origin(request.method, request.headers, request.host):
        raise web.HTTPForbidden
    return await handler(request)


@web.middleware
async def _signed_in(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Finds the session and asks for the route's right; what was changed is in the audit."""
    crm = request.app[CRM]
    route = request.match_info.route
    if request.match_info.http_exception is not None:
        return await handler(request)  # no such page
    right = request.app[_RIGHTS][route]
    path = route.resource.canonical if route.resource is not None else ""
    token = request.cookies.get(people.cookie_name(crm.settings))
    session = await crm.sessions.find(token) if token else None
    if session is not None:
        request[SESSION] = session
    if not may(session.user if session else None, right):
        if session is not None:
            raise web.HTTPForbidden
        if path.startswith("/ws/"):
            return await _turned_away(request)
        if request.method == hdrs.METH_GET:
            raise web.HTTPFound("/login")
        raise web.HTTPUnauthorized
    response = await handler(request)
    if session is not None and request.method not in SAFE_METHODS:
        with contextlib.suppress(StoreError):  # The write itself is done; the store's problem is on every page.
            await crm.records.add_audit(
                at_ms=crm.clock.now_ms(),
                by=session.user.login,
                action=f"{request.method} {path}",
                subject=request.path,
                detail=str(response.status),
            )
    return response
