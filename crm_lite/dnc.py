"""The do-not-call lists: who is on them, put on, taken off, brought with a file."""

from __future__ import annotations

import asyncio
import secrets
from typing import Final

from aiohttp import web

from crm_lite.imports import NO_FILE, SHELF, TOO_SLOW, UPLOAD_WITHIN_S, receive
from crm_lite.web_keys import CRM, page, user_of
from engine.core.model import PhoneNumber
from engine.leads.files import ListedFile, list_file, meaning_of
from engine.leads.sheets import Refused
from engine.messages import N_
from engine.phones import FoundPhone, PhoneProblem, find_phones, parse_phone
from engine.store.dnc import CHUNK_MAX, REASON_MAX, SYSTEM, DoNotCall, Entry

NUMBERS_CHARS_MAX: Final = 4_000
SEARCH_CHARS_MAX: Final = 30

NO_NUMBER: Final = N_("Write at least one number.")
UNKNOWN_LIST: Final = N_("There is no such list.")
NO_REASON: Final = N_("Say why: it is kept with the number.")


async def dnc_page(request: web.Request) -> web.StreamResponse:
    """The newest entries, or those of a number."""
    return await _page(request)


async def add_numbers(request: web.Request) -> web.StreamResponse:
    """Put what was typed on a list: all of it, or nothing with the reason."""
    crm, form = request.app[CRM], await request.post()
    to, reason = str(form.get("list", "")), str(form.get("reason", "")).strip()[:REASON_MAX]
    typed = str(form.get("numbers", ""))[:NUMBERS_CHARS_MAX]
    numbering = meaning_of(crm.loaded.config).numbering
    found = [one for line in typed.splitlines() for one in find_phones(line, numbering)]
    wrong = [one for one in found if isinstance(one, PhoneProblem)]
    problem = _problem(request, to, reason) or ("" if found else NO_NUMBER) or (wrong[0].reason if wrong else "")
    if problem:
        return await _page(request, code=422, problem=problem, wrong=wrong[0].text if wrong else "", typed=typed)
    numbers = [one.number for one in found if isinstance(one, FoundPhone)][:CHUNK_MAX]
    new = await DoNotCall(crm.database).add(
        numbers, to=to, reason=reason, by=user_of(request).login, at_ms=crm.clock.now_ms()
    )
    return await _page(request, added=new)


async def remove_number(request: web.Request) -> web.StreamResponse:
    """Take a number off a list."""
    crm, form = request.app[CRM], await request.post()
    number = parse_phone(str(form.get("number", "")), meaning_of(crm.loaded.config).numbering)
    of, reason = str(form.get("list", "")), str(form.get("reason", "")).strip()[:REASON_MAX]
    problem = "" if reason else NO_REASON
    if problem or not isinstance(number, PhoneNumber):
        return await _page(request, code=422, problem=problem or NO_NUMBER)
    try:
        await DoNotCall(crm.database).remove(
            number, of=of, reason=reason, by=user_of(request).login, at_ms=crm.clock.now_ms()
        )
    except ValueError:
        return await _page(request, code=422, problem=UNKNOWN_LIST)
    return await _page(request, removed=True)


async def import_numbers(request: web.Request) -> web.StreamResponse:
    """Put all numbers of a file on a list."""
    crm, shelf = request.app[CRM], request.app[SHELF]
    path = shelf.directory / secrets.token_hex(16)
    try:
        async with asyncio.timeout(UPLOAD_WITHIN_S):
            form, file_name, path = await receive(request, path)
        to, reason = form.get("list", ""), form.get("reason", "").strip()[:REASON_MAX]
        if problem := _problem(request, to, reason) or ("" if file_name else NO_FILE):
            return await _page(request, code=422, problem=problem)
        async with shelf.importing:
            listed = await list_file(
                crm.database,
                path,
                to=to,
                reason=reason,
                meaning=meaning_of(crm.loaded.config),
                file_name=file_name,
                by=user_of(request).login,
                clock=crm.clock,
            )
    except TimeoutError:
        return await _page(request, code=408, problem=TOO_SLOW)
    except Refused as refused:
        return await _page(request, code=422, problem=refused.reason)
    finally:
        path.unlink(missing_ok=True)
    return await _page(request, listed=listed)


def _problem(request: web.Request, to: str, reason: str) -> str:
    if to not in _lists(request):
        return UNKNOWN_LIST
    return "" if reason else NO_REASON


def _lists(request: web.Request) -> dict[str, str]:
    """The lists that a number may be put on, with the name of the campaign ("" for everybody's)."""
    campaigns = request.app[CRM].engine.policy().campaigns.values()
    return {SYSTEM: "", **{f"campaign:{one.id}": one.name for one in campaigns}}


async def _page(
    request: web.Request,
    *,
    code: int = 200,
    problem: str = "",
    wrong: str = "",
    typed: str = "",
    added: int | None = None,
    removed: bool = False,
    listed: ListedFile | None = None,
) -> web.Response:
    crm = request.app[CRM]
    text = request.query.get("q", "")[:SEARCH_CHARS_MAX]
    lists = DoNotCall(crm.database)
    entries: tuple[Entry, ...] = await (lists.find(text) if text else lists.newest())
    return page(
        request,
        "dnc.html",
        code=code,
        problem=problem,
        wrong=wrong,
        typed=typed,
        added=added,
        removed=removed,
        listed=listed,
        entries=entries,
        lists=_lists(request),
        text=text,
        viewer=crm.viewer(user_of(request)),
    )
