"""Log-in, log-out, profile, and the two small routes that machines ask."""

from __future__ import annotations

import logging
from typing import Final

from aiohttp import web

from crm_lite.auth import SESSION_ABSOLUTE_MS, THEMES, LoginRefused
from crm_lite.i18n import LANGUAGES
from crm_lite.live import desk_key
from crm_lite.settings import Settings
from crm_lite.web_keys import CRM, SESSION, VOLUME, home_of, page, said_of, see_other, user_of
from crm_lite.words import AGENT_STATES, ON_HOLD, ROLES

log = logging.getLogger(__name__)

CSP_REPORTS_LOGGED_MAX: Final = 100
#: More keys than there are.
KEYS_MAX: Final = 50


def cookie_name(settings: Settings) -> str:
    """The session cookie's name; `__Host-` binds it to https and this host where there is https."""
    return "__Host-zvonar" if settings.secure else "zvonar"


def address_of(request: web.Request) -> str:
    """Who is at the other end, also behind our own proxy."""
    forwarded = request.headers.get("X-Forwarded-For", "")
    if request.app[CRM].settings.behind_proxy and forwarded:
        return forwarded.rsplit(",", 1)[-1].strip()[:64]
    return request.remote or "?"


def _text(form: object, key: str) -> str:
    value = form.get(key, "") if hasattr(form, "get") else ""
    return value if isinstance(value, str) else ""


async def login_page(request: web.Request) -> web.StreamResponse:
    """The log-in form; who is signed in goes to work."""
    if SESSION in request:
        raise web.HTTPFound(home_of(user_of(request)))
    return page(request, "login.html", login="", problem="", wait_minutes=0)


async def log_in(request: web.Request) -> web.StreamResponse:
    """Opens a new session, whatever session the browser had."""
    crm = request.app[CRM]
    form = await request.post()
    login = _text(form, "login")
    try:
        user, token = await crm.sessions.log_in(login, _text(form, "password"), address_of(request))
    except LoginRefused as refused:
        code, wait_minutes = (429, -(-refused.wait_s // 60)) if refused.wait_s else (422, 0)
        response = page(request, "login.html", code=code, login=login, problem="wrong", wait_minutes=wait_minutes)
        if refused.wait_s:
            response.headers["Retry-After"] = str(refused.wait_s)
        return response
    if SESSION in request:
        await crm.sessions.end(request[SESSION])
    response = see_other(home_of(user))
    response.set_cookie(
        cookie_name(crm.settings),
        token,
        max_age=SESSION_ABSOLUTE_MS // 1000,
        path="/",
        httponly=True,
        samesite="Lax",
        secure=crm.settings.secure,
    )
    return response


async def log_out(request: web.Request) -> web.StreamResponse:
    """Ends the session and its sockets."""
    crm = request.app[CRM]
    session = request[SESSION]
    await crm.sessions.end(session)
    crm.live.sign_out([session.token_hash])
    return _signed_out(crm.settings)


async def sign_out_everywhere(request: web.Request) -> web.StreamResponse:
    """Ends all sessions of the user."""
    crm = request.app[CRM]
    await crm.sessions.end_all(user_of(request))
    crm.live.sign_out_user(user_of(request).login)
    return _signed_out(crm.settings)


def _signed_out(settings: Settings) -> web.Response:
    response = see_other("/login")
    response.del_cookie(cookie_name(settings), path="/", secure=settings.secure, httponly=True, samesite="Lax")
    # The next person at this computer finds nothing of the last one's notes.
    response.headers["Clear-Site-Data"] = '"storage"'
    return response


async def home(request: web.Request) -> web.StreamResponse:
    """To the user's work."""
    raise web.HTTPFound(home_of(user_of(request)))


async def profile_page(request: web.Request) -> web.StreamResponse:
    """Language, theme, sessions."""
    chosen = user_of(request).preferences
    return page(
        request,
        "profile.html",
        themes=THEMES,
        roles=ROLES,
        saved="saved" in request.query,
        volume=chosen.get("volume", VOLUME),
        mute=chosen.get("mute", False),
    )


async def save_profile(request: web.Request) -> web.StreamResponse:
    """Language and theme; the desk is rendered anew."""
    crm = request.app[CRM]
    user = user_of(request)
    form = await request.post()
    language, theme = _text(form, "language"), _text(form, "theme")
    if language not in LANGUAGES or theme not in THEMES:
        raise web.HTTPBadRequest
    volume = _text(form, "volume") or str(VOLUME)
    if not volume.isascii() or not volume.isdecimal() or int(volume) > 100:
        raise web.HTTPBadRequest
    await crm.records.set_user_looks(user.login, language=language, theme=theme)
    sound = {"volume": int(volume), "mute": _text(form, "mute") == "on"}
    await crm.records.set_preferences(user.login, {**user.preferences, **sound})
    crm.sessions.changed(user.login)
    if user.agent is not None:
        crm.live.forget(desk_key(user.agent))
    return see_other("/profile?saved")


async def save_keys(request: web.Request) -> web.StreamResponse:
    """Which keys are switched off for this user, on every computer."""
    crm, user = request.app[CRM], user_of(request)
    off = (await said_of(request)).get("keys_off")
    if not isinstance(off, list) or len(off) > KEYS_MAX or not all(isinstance(key, str) for key in off):
        raise web.HTTPBadRequest
    await crm.records.set_preferences(user.login, {**user.preferences, "keys_off": [key[:20] for key in off]})
    crm.sessions.changed(user.login)
    return web.Response(status=204)


async def patterns(request: web.Request) -> web.StreamResponse:
    """Every component once: what we have to build pages with."""
    states = [(state.value, *look) for state, look in AGENT_STATES.items()]
    return page(request, "patterns.html", states=[*states, ("held", *ON_HOLD)])


async def healthz(request: web.Request) -> web.StreamResponse:
    """200 while the pages and the store work. A lost switch is told, but it is no reason to restart us."""
    view = request.app[CRM].engine.snapshot()
    problem = view.store_problem or view.switch_problem
    return web.json_response({"dialing": not problem, "problem": problem}, status=503 if view.store_problem else 200)


async def csp_report(request: web.Request) -> web.StreamResponse:
    """Counts what browsers refused to run; in a healthy system nothing."""
    crm = request.app[CRM]
    crm.csp_reports += 1
    if crm.csp_reports <= CSP_REPORTS_LOGGED_MAX:
        log.warning("csp_report", extra={"action": "csp_report", "report": (await request.text())[:500]})
    return web.Response(status=204)
