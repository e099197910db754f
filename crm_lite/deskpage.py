"""The desk's page and socket."""

from __future__ import annotations

import re
from collections import Counter
from typing import Final
from zoneinfo import ZoneInfo

from aiohttp import web

from crm_lite.auth import Right, may
from crm_lite.callbacks import NOT_UNDERSTOOD
from crm_lite.crm import Crm, Viewer
from crm_lite.desk import Desk, as_local, carry_out, heard_words, zones_of_card
from crm_lite.live import Reader, desk_key, is_from_our_page, open_socket
from crm_lite.live_protocol import Do
from crm_lite.web_keys import CRM, SESSION, language_of, page, reader_of, user_of
from crm_lite.words import SKIP_REASONS, agent_state, refusal
from engine.booking import book
from engine.core.model import AgentId, AgentState, AttemptId, LeadId, SkipReason
from engine.moments import TEXT_MAX, moment
from engine.store.rows import StoredSession, User
from engine.store.tasks import TITLE_MAX

_LEAD: Final = re.compile(r"[0-9]{1,15}")


async def desk_page(request: web.Request) -> web.StreamResponse:
    """The empty desk; the socket fills it."""
    crm = request.app[CRM]
    words = crm.pages.words[language_of(request)]
    reasons = [(reason.id, words.label(reason.labels)) for reason in crm.settings.pause_reasons.values()]
    skips = [(id_, words.gettext(said)) for id_, said in SKIP_REASONS.items() if id_ is not SkipReason.TIMEOUT]
    tasks = crm.engine.policy().tasks
    return page(
        request,
        "desk/page.html",
        pause_reasons=reasons,
        skip_reasons=skips,
        reader=reader_of(request[SESSION]),
        task_types=[(type_.id, words.label(type_.labels)) for type_ in tasks.types.values()] if tasks else [],
        title_max=TITLE_MAX,
    )


def new_desk(crm: Crm, agent: AgentId, viewer: Viewer) -> Desk:
    """A desk with a feed of its own."""
    return Desk(crm, agent, viewer, name=f"{agent}-{crm.live.epoch}-{crm.live.next_number()}")


async def transfer_menu(request: web.Request) -> web.StreamResponse:
    """To whom the operator may hand the customer on, as they are now."""
    crm, user = request.app[CRM], user_of(request)
    if user.agent is None:
        raise web.HTTPForbidden
    viewer, policy, board = crm.viewer(user), crm.engine.policy(), crm.live.board
    free_now = {AgentState.READY, AgentState.PREVIEW}
    away = {AgentState.LOGGED_OUT, AgentState.CONNECTING, AgentState.PAUSED}
    colleagues = []
    for profile in policy.agents.values():
        agent = board.agents.get(profile.id)
        if profile.id != user.agent and agent is not None:
            look = agent_state(viewer.words, agent.state, None)
            colleagues.append((profile.id, profile.name, *look, agent.state in away, agent.state in free_now))
    ready = [one for one in policy.agents.values() if one.id in board.agents and board.agents[one.id].state in free_now]
    free = Counter(campaign for profile in ready for campaign in profile.campaigns)
    serving = Counter(queue for profile in ready for queue in profile.queues)
    html = crm.pages.render(
        viewer.words.language,
        "desk/transfer.html",
        me=user.agent,
        colleagues=sorted(colleagues, key=lambda one: (one[-2], not one[-1], one[1])),
        teams=[(campaign.id, campaign.name, free[campaign.id]) for campaign in policy.campaigns.values()],
        queues=[(queue.id, queue.name, serving[queue.id]) for queue in policy.queues.values()],
    )
    return web.Response(text=html, content_type="text/html", headers={"Cache-Control": "no-store"})


async def earlier_call(request: web.Request) -> web.StreamResponse:
    """An earlier conversation of the operator's own, as the desk shows it to give or correct its result."""
    crm, user = request.app[CRM], user_of(request)
    if user.agent is None:
        raise web.HTTPForbidden
    desk = new_desk(crm, user.agent, crm.viewer(user))
    html = await desk.again(AttemptId(request.match_info["attempt"]))
    if html is None:
        raise web.HTTPNotFound
    return web.Response(text=html, content_type="text/html", headers={"Cache-Control": "no-store"})


async def desk_socket(request: web.Request) -> web.StreamResponse:
    """The desk's live socket."""
    crm = request.app[CRM]
    if not is_from_our_page(request):
        raise web.HTTPForbidden
    session, user = request[SESSION], user_of(request)
    if user.agent is None:
        raise web.HTTPForbidden
    agent, viewer = user.agent, crm.viewer(user)

    def make() -> Desk:
        return new_desk(crm, agent, viewer)

    async def command(said: Do) -> str:
        if await signed_in(crm, session, Right.DESK) is None:
            return "signed_out"
        return await carry_out(crm, user.login, agent, said)

    ws = await open_socket(request)
    reader = Reader(
        session=session,
        key=desk_key(agent),
        make=make,
        command=command,
        explain=lambda reason: refusal(viewer.words, reason),
    )
    await crm.live.serve(ws, reader)
    return ws


async def signed_in(crm: Crm, session: StoredSession, right: Right) -> User | None:
    """The session's user if it is still open and has the right: asked at every command."""
    found = await crm.sessions.find_hash(session.token_hash)
    if found is None or not may(found.user, right):
        crm.live.sign_out([session.token_hash])
        return None
    return found.user


async def when(request: web.Request) -> web.StreamResponse:
    """When to call back, in words: what was understood, on both clocks, and whether it can be promised."""
    crm, user = request.app[CRM], user_of(request)
    text, lead = request.query.get("text", "")[:TEXT_MAX], request.query.get("lead", "")
    card = await crm.records.lead_card(LeadId(int(lead))) if _LEAD.fullmatch(lead) else None
    campaign = crm.engine.campaign(card.campaign) if card else None
    mine = crm.campaigns_of(user)
    if card is None or campaign is None or (mine is not None and campaign.id not in mine):
        raise web.HTTPNotFound
    viewer, now_ms = crm.viewer(user), crm.clock.now_ms()
    at_ms = moment(text, now_ms, ZoneInfo(card.zone) if card.zone else viewer.zone)
    if at_ms is None:
        return web.json_response({"at": "", "words": viewer.words.gettext(NOT_UNDERSTOOD)})
    owner = user.agent if request.query.get("mine") else None
    booking = await book(crm.database, campaign, at_ms, zones=zones_of_card(card), owner=owner, keeper=card.keeper)
    at = "" if booking.at_ms is None else as_local(booking.at_ms, viewer.zone)
    return web.json_response({"at": at, "words": heard_words(viewer, booking, card.zone, now_ms)})
