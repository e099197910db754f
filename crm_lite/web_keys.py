"""What hangs on the application and on a request, and how a page is answered."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from crm_lite.auth import Right, may
from crm_lite.crm import Crm
from crm_lite.i18n import DEFAULT_LANGUAGE, preferred_language
from engine.core.model import LeadId
from engine.messages import N_
from engine.store.rows import LeadCard, StoredSession, User

CRM: Final = web.AppKey("crm", Crm)
SESSION: Final = web.RequestKey("session", StoredSession)

#: How loud the pages are, of 100, until a user says otherwise.
VOLUME: Final = 60

#: The menu, in the order of the page's top.
MENU: Final = (
    ("/desk", N_("Desk"), Right.DESK),
    ("/live", N_("Live"), Right.FLOOR),
    ("/campaigns", N_("Campaigns"), Right.FLOOR),
    ("/leads", N_("Leads"), Right.READ_LEADS),
    ("/import", N_("Import"), Right.IMPORT_LEADS),
    ("/export", N_("Export"), Right.EXPORT_LEADS),
    ("/dnc", N_("Do not call"), Right.DO_NOT_CALL),
    ("/audit", N_("Audit"), Right.READ_AUDIT),
    ("/patterns", N_("Patterns"), Right.PATTERNS),
)


def user_of(request: web.Request) -> User:
    """The signed-in user of a route that needs one."""
    return request[SESSION].user


async def said_of(request: web.Request) -> dict[str, Any]:
    """The JSON object that a page's script sent; anything else is a bad request."""
    try:
        said = await request.json()
    except ValueError as error:
        raise web.HTTPBadRequest from error
    if not isinstance(said, dict):
        raise web.HTTPBadRequest
    return said


async def own_card(request: web.Request) -> LeadCard:
    """The card of the address; another campaign's lead does not exist for an operator."""
    crm = request.app[CRM]
    card = await crm.records.lead_card(LeadId(int(request.match_info["lead"])))
    mine = crm.campaigns_of(user_of(request))
    if card is None or (mine is not None and card.campaign not in mine):
        raise web.HTTPNotFound
    return card


def menu_of(user: User) -> list[tuple[str, str]]:
    """The pages that the user may open."""
    return [(path, title) for path, title, right in MENU if may(user, right)]


def home_of(user: User) -> str:
    """Where the user's work is."""
    return next((path for path, _ in menu_of(user)), "/profile")


def language_of(request: web.Request) -> str:
    """The signed-in user's language, else the browser's."""
    session = request.get(SESSION)
    if session is not None:
        language: str = session.user.language
        return language if language in request.app[CRM].pages.words else DEFAULT_LANGUAGE
    return preferred_language(request.headers.get("Accept-Language", ""))


def page(request: web.Request, template: str, *, code: int = 200, **context: object) -> web.Response:
    """A whole page."""
    crm = request.app[CRM]
    session = request.get(SESSION)
    user = session.user if session else None
    here = "/" + request.path.strip("/").split("/")[0]
    elsewhere = session is not None and here != "/desk" and may(user, Right.DESK)
    html = crm.pages.render(
        language_of(request),
        template,
        user=user,
        menu=menu_of(user) if user else [],
        prefs=prefs_of(user) if user else "",
        here=here,
        desk_reader=reader_of(session) if session is not None and elsewhere else "",
        now_ms=crm.clock.now_ms(),
        **context,
    )
    return web.Response(text=html, content_type="text/html", status=code, headers={"Cache-Control": "no-store"})


def reader_of(session: StoredSession) -> str:
    """What the windows of one log-in have in common, and nobody else; it opens nothing."""
    return session.token_hash[:16]


def prefs_of(user: User) -> Markup:
    """What the user chose about the pages, for the scripts."""
    return htmlsafe_json_dumps({"keys_off": [], "volume": VOLUME, "mute": False, **user.preferences}, sort_keys=True)


def see_other(path: str) -> web.Response:
    """After a form: the page to look at."""
    return web.Response(status=303, headers={"Location": path})


def fragment(request: web.Request, template: str, **context: object) -> web.Response:
    """A part of a page, for htmx."""
    crm = request.app[CRM]
    html = crm.pages.render(language_of(request), template, now_ms=crm.clock.now_ms(), **context)
    return web.Response(text=html, content_type="text/html", headers={"Cache-Control": "no-store"})
