"""Leads: the list with its search, and the card."""

from __future__ import annotations

import re
import secrets
from typing import Any, Final
from zoneinfo import ZoneInfo

from aiohttp import web

from crm_lite.auth import Right, may
from crm_lite.desk import card_fields
from crm_lite.web_keys import CRM, fragment, page, see_other, user_of
from crm_lite.words import LEAD_STATES, OUTCOMES, attempt_cause, check_words, refusal, rule_words
from engine.core.events import AgentDial
from engine.core.model import CampaignId, CommandId, LeadId, LeadState
from engine.explain import explain

ROWS_PER_PAGE: Final = 50
SEARCH_CHARS_MAX: Final = 100
_ID: Final = re.compile(r"[0-9]{1,15}")
_KEY: Final = re.compile(r"[0-9a-f]{16}")
_POSITION: Final = re.compile(r"[0-9]{1,3}")


async def list_page(request: web.Request) -> web.StreamResponse:
    """Leads by name or number; htmx asks for the rows alone."""
    crm = request.app[CRM]
    user = user_of(request)
    mine = crm.campaigns_of(user)
    policy = crm.engine.policy()
    text = request.query.get("q", "")[:SEARCH_CHARS_MAX]
    wanted = CampaignId(request.query.get("campaign", ""))
    state = request.query.get("state", "")
    after = int(said) if _ID.fullmatch(said := request.query.get("after", "")) else 0
    offered = [policy.campaigns[c] for c in (policy.campaigns if mine is None else mine) if c in policy.campaigns]
    scope = [campaign.id for campaign in offered if not wanted or campaign.id == wanted]
    rows = await crm.records.find_leads(
        text,
        campaigns=None if mine is None and not wanted else scope,
        state=LeadState(state) if state in LeadState.__members__.values() else None,
        after=after,
        limit=ROWS_PER_PAGE + 1,
    )
    context: dict[str, Any] = {
        "rows": rows[:ROWS_PER_PAGE],
        "more": rows[ROWS_PER_PAGE - 1].id if len(rows) > ROWS_PER_PAGE else None,
        "query": {"q": text, "campaign": wanted, "state": state},
        "names": {campaign.id: campaign.name for campaign in policy.campaigns.values()},
        "lead_states": LEAD_STATES,
        "viewer": crm.viewer(user),
    }
    if request.headers.get("HX-Request"):
        return fragment(request, "leads/rows.html", **context)
    return page(request, "leads/list.html", offered=offered, **context)


async def lead_page(request: web.Request) -> web.StreamResponse:
    """The card with every attempt. Another campaign's lead does not exist for an operator."""
    return await _lead_page(request)


async def dial_lead(request: web.Request) -> web.StreamResponse:
    """An operator calls this lead, on the phone whose button was pressed; no other number can be given."""
    crm, form = request.app[CRM], await request.post()
    user = user_of(request)
    key, position = str(form.get("key", "")), str(form.get("position", ""))
    if user.agent is None or not _KEY.fullmatch(key) or not _POSITION.fullmatch(position):
        raise web.HTTPBadRequest
    dial = AgentDial(
        command=CommandId(f"{user.login}:{key}"),
        by=user.login,
        agent=user.agent,
        lead=LeadId(int(request.match_info["lead"])),
        position=int(position),
    )
    try:
        reason = await crm.engine.do(dial)
    except TimeoutError:
        reason = "not_saved"
    return await _lead_page(request, reason) if reason else see_other("/desk")


async def _lead_page(request: web.Request, problem: str = "") -> web.Response:
    crm = request.app[CRM]
    user = user_of(request)
    card = await crm.records.lead_card(LeadId(int(request.match_info["lead"])))
    mine = crm.campaigns_of(user)
    if card is None or (mine is not None and card.campaign not in mine):
        raise web.HTTPNotFound
    viewer = crm.viewer(user)
    policy = crm.engine.policy()
    explained = await explain(crm.database, policy, card.id, crm.clock.now_ms())
    return page(
        request,
        "leads/card.html",
        card=card,
        fields=card_fields(card, crm.settings, viewer.words),
        history=await crm.records.lead_history(card.id),
        campaign=policy.campaigns.get(card.campaign),
        viewer=viewer,
        agents=policy.agents,
        lead_states=LEAD_STATES,
        outcomes=OUTCOMES,
        cause=attempt_cause,
        rule=rule_words,
        check=check_words,
        verdict=explained.verdict if explained else None,
        zone_of=ZoneInfo,
        dial_key=secrets.token_hex(8) if user.agent and may(user, Right.DESK) else "",
        problem=refusal(viewer.words, problem) if problem else "",
        code=409 if problem else 200,
    )
