"""Leads out: chosen by filters, as a file."""

from __future__ import annotations

import asyncio
import secrets
from typing import Final

from aiohttp import web

from crm_lite.imports import SHELF
from crm_lite.settings import midnight_ms
from crm_lite.web_keys import CRM, language_of, page, user_of
from crm_lite.words import LEAD_STATES
from engine.core.model import AgentId, CampaignId, DispositionId, LeadState
from engine.leads.export import SUFFIXES, TooManyLeads, export_leads, labels_of
from engine.messages import N_
from engine.store.exports import Wanted
from engine.store.folding import list_called
from engine.store.partners import Partners

EXPORT_WITHIN_S: Final = 600

TOO_MANY: Final = N_("So many leads do not fit into XLSX: choose CSV, or fewer leads.")
BAD_FILTER: Final = N_("This choice was not understood.")


async def export_page(request: web.Request) -> web.StreamResponse:
    """The filters."""
    return await _page(request)


async def export_file(request: web.Request) -> web.StreamResponse:
    """The file, by the filters of the form."""
    crm, shelf, user = request.app[CRM], request.app[SHELF], user_of(request)
    form = {key: str(value) for key, value in (await request.post()).items()}
    suffix = form.get("kind", "")
    try:
        wanted = _wanted(request, form)
    except ValueError:
        return await _page(request, code=422, problem=BAD_FILTER)
    if suffix not in SUFFIXES:
        return await _page(request, code=422, problem=BAD_FILTER)
    path = shelf.directory / f"{secrets.token_hex(16)}{suffix}"
    try:
        async with shelf.importing, asyncio.timeout(EXPORT_WITHIN_S):
            await export_leads(
                crm.database,
                path,
                wanted,
                labels=labels_of(crm.loaded.config, language_of(request)),
                zone=crm.settings.zone,
                by=user.login,
                now_ms=crm.clock.now_ms(),
                translate=crm.pages.words[language_of(request)].gettext,
            )
        response = web.StreamResponse(
            headers={
                "Content-Disposition": f'attachment; filename="leads{suffix}"',
                "Content-Type": "application/octet-stream",
                "Cache-Control": "no-store",
            }
        )
        response.content_length = path.stat().st_size
        await response.prepare(request)
        with path.open("rb") as file:
            while piece := await asyncio.to_thread(file.read, 256 * 1024):
                await response.write(piece)
    except TooManyLeads:
        return await _page(request, code=422, problem=TOO_MANY)
    finally:
        path.unlink(missing_ok=True)
    await response.write_eof()
    return response


def _wanted(request: web.Request, form: dict[str, str]) -> Wanted:
    """The filters of the form; days are of the office's clock, the last one included. ValueError."""
    zone, state = request.app[CRM].settings.zone, form.get("state", "")
    return Wanted(
        campaign=CampaignId(form["campaign"]) if form.get("campaign") else None,
        state=LeadState(state) if state else None,
        disposition=DispositionId(form["disposition"]) if form.get("disposition") else None,
        source=form.get("source") or None,
        list_name=list_called(form.get("list", "")) or None,
        tag=form.get("tag", "").strip().casefold() or None,
        keeper=AgentId(form["owner"]) if form.get("owner") else None,
        since_ms=midnight_ms(form.get("since", ""), zone),
        until_ms=midnight_ms(form.get("until", ""), zone, days_later=1),
    )


async def _page(request: web.Request, *, code: int = 200, problem: str = "") -> web.Response:
    crm = request.app[CRM]
    return page(
        request,
        "export.html",
        code=code,
        problem=problem,
        kinds=SUFFIXES,
        campaigns=crm.engine.policy().campaigns.values(),
        lead_states=LEAD_STATES,
        dispositions=labels_of(crm.loaded.config, language_of(request)).dispositions,
        partners=await Partners(crm.database).all(),
        tags=await crm.records.tags(),
        lists=await crm.records.lists(),
        agents=crm.engine.policy().agents,
    )
