"""Leads: the list with its search, and the card."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo, available_timezones

from aiohttp import web

from crm_lite import callbacks
from crm_lite.auth import LOGIN_CHARS_MAX, Right, may
from crm_lite.crm import Crm
from crm_lite.desk import card_fields
from crm_lite.i18n import Words
from crm_lite.orders import book_of, sheet_of
from crm_lite.web_keys import CRM, fragment, own_card, page, said_of, see_other, user_of
from crm_lite.words import LEAD_STATES, OUTCOMES, attempt_cause, check_words, refusal, rule_words
from engine.core.events import AgentDial
from engine.core.model import AgentId, AttemptId, CampaignId, CommandId, LeadId, LeadState
from engine.explain import explain
from engine.moments import TEXT_MAX
from engine.store.cards import NAME, OF_THE_CARD, OWNER, TAGS, ZONE, Cards, Conflict, Edit, NotMergeable
from engine.store.dnc import REASON_MAX, SYSTEM, DoNotCall, Entry
from engine.store.folding import TAG_CHARS_MAX, TAGS_MAX, list_called, tags_of, tags_text
from engine.store.rows import LeadCard, User

ROWS_PER_PAGE: Final = 50
SEARCH_CHARS_MAX: Final = 100
#: Leads that the palette offers.
FOUND_AT_ONCE_MAX: Final = 8
NO_REASON: Final = "reason_needed"
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
    tag = request.query.get("tag", "")[:TAG_CHARS_MAX].strip().casefold()
    owner = AgentId(request.query.get("owner", ""))
    list_name = list_called(request.query.get("list", ""))
    after = int(said) if _ID.fullmatch(said := request.query.get("after", "")) else 0
    offered = [policy.campaigns[c] for c in (policy.campaigns if mine is None else mine) if c in policy.campaigns]
    scope = [campaign.id for campaign in offered if not wanted or campaign.id == wanted]
    rows = await crm.records.find_leads(
        text,
        campaigns=None if mine is None and not wanted else scope,
        state=LeadState(state) if state in LeadState.__members__.values() else None,
        after=after,
        limit=ROWS_PER_PAGE + 1,
        tag=tag,
        keeper=owner or None,
        list_name=list_name,
    )
    context: dict[str, Any] = {
        "rows": rows[:ROWS_PER_PAGE],
        "more": rows[ROWS_PER_PAGE - 1].id if len(rows) > ROWS_PER_PAGE else None,
        "query": {"q": text, "campaign": wanted, "state": state, "tag": tag, "owner": owner, "list": list_name},
        "names": {campaign.id: campaign.name for campaign in policy.campaigns.values()},
        "lead_states": LEAD_STATES,
        "agents": policy.agents,
        "viewer": crm.viewer(user),
    }
    if request.headers.get("HX-Request"):
        return fragment(request, "leads/rows.html", **context)
    owners = policy.agents if may(user, Right.READ_ALL_LEADS) else [user.agent] if user.agent else []
    return page(
        request,
        "leads/list.html",
        offered=offered,
        tags=await crm.records.tags(),
        lists=await crm.records.lists(),
        owners={id_: policy.agents[id_].name for id_ in owners if id_ in policy.agents},
        me=user.agent,
        **context,
    )


async def find(request: web.Request) -> web.StreamResponse:
    """The first leads that fit what somebody types, for the palette."""
    crm, user = request.app[CRM], user_of(request)
    text = request.query.get("q", "")[:SEARCH_CHARS_MAX].strip()
    policy, viewer = crm.engine.policy(), crm.viewer(user)
    rows = (
        await crm.records.find_leads(
            text, campaigns=crm.campaigns_of(user), state=None, after=0, limit=FOUND_AT_ONCE_MAX
        )
        if text
        else ()
    )
    leads = [
        {
            "id": card.id,
            "name": card.name,
            "numbers": [viewer.number(phone) for phone in card.phones],
            "campaign": policy.campaigns[card.campaign].name if card.campaign in policy.campaigns else card.campaign,
        }
        for card in rows
    ]
    return web.json_response({"leads": leads}, headers={"Cache-Control": "no-store"})


async def lead_page(request: web.Request) -> web.StreamResponse:
    """The card with every attempt. Another campaign's lead does not exist for an operator."""
    return await _lead_page(request)


async def edit_lead(request: web.Request) -> web.StreamResponse:
    """One value of a card, by the page's script: 200, 409 with the other person's value, or 422 with what is wrong."""
    crm, user = request.app[CRM], user_of(request)
    card = await own_card(request)
    words = crm.viewer(user).words
    sent = await said_of(request)
    name, before, after = (sent.get(key) for key in ("field", "before", "after"))
    if not (isinstance(name, str) and isinstance(before, str) and isinstance(after, str)):
        raise web.HTTPBadRequest
    now_ms = crm.clock.now_ms()
    edit = Edit(
        lead=card.id,
        field=name.removeprefix("field:"),
        before=before,
        after=after.strip(),
        login=user.login,
        at_ms=now_ms,
    )
    if name not in OF_THE_CARD and (not name.startswith("field:") or edit.field in OF_THE_CARD):
        raise web.HTTPBadRequest
    if edit.field not in (*OF_THE_CARD, *crm.settings.card_fields, *card.fields):
        raise web.HTTPBadRequest
    if name == OWNER and not (may(user, Right.GIVE_LEADS) and edit.after in {"", *crm.engine.policy().agents}):
        raise web.HTTPForbidden
    if name == TAGS:
        try:
            edit = replace(edit, before=tags_text(tags_of(before)), after=tags_text(tags_of(after)))
        except ValueError:
            problem = words.gettext("At most %(tags)s tags of at most %(characters)s characters.")
            said = problem % {"tags": TAGS_MAX, "characters": TAG_CHARS_MAX}
            return web.json_response({"problem": said}, status=422)
    if name == ZONE and edit.after and edit.after not in available_timezones():
        problem = words.gettext("There is no such time zone. Write it like Europe/Kyiv, or leave it empty.")
        return web.json_response({"problem": problem}, status=422)
    try:
        await Cards(crm.database).edit(edit)
    except ValueError:
        return web.json_response({"problem": words.gettext("This is too long.")}, status=422)
    except Conflict as conflict:
        theirs = await crm.records.lead_card(card.id)
        return web.json_response(
            {
                "theirs": _value(theirs, name) if theirs else "",
                "words": _who_changed(crm, words, conflict.edit, now_ms),
            },
            status=409,
        )
    if name != NAME:  # whose it is, its place, its hours, or what a law asks of it may be others now
        crm.engine.leads_changed(card.campaign)
    return web.json_response({})


def _value(card: LeadCard, name: str) -> str:
    match name:
        case "name":
            return card.name
        case "zone":
            return card.zone or ""
        case "tags":
            return tags_text(card.tags)
        case "owner":
            return card.keeper or ""
        case _:
            return str(card.fields.get(name.removeprefix("field:"), ""))


def _who_changed(crm: Crm, words: Words, edit: Edit | None, now_ms: int) -> str:
    if edit is None:
        return words.gettext("Somebody changed this meanwhile.")
    at = words.when(edit.at_ms, now_ms, crm.settings.zone)
    return words.gettext("%(who)s changed this: %(time)s.") % {"who": edit.login, "time": at}


async def merge_leads(request: web.Request) -> web.StreamResponse:
    """Close another card of the same person for this one; of what both have, the ticked values are taken over."""
    crm, user, form = request.app[CRM], user_of(request), await request.post()
    card = await own_card(request)
    merged = str(form.get("merged", ""))
    taken = [str(one) for one in form.getall("take", [])]
    cards = Cards(crm.database)
    if not _ID.fullmatch(merged) or LeadId(int(merged)) not in await cards.twins(card.id, crm.campaigns_of(user)):
        raise web.HTTPBadRequest
    try:
        await cards.merge(
            card.id,
            LeadId(int(merged)),
            user.login,
            crm.clock.now_ms(),
            name_taken=NAME in taken,
            taken=[one.removeprefix("field:") for one in taken if one.startswith("field:")],
        )
    except NotMergeable:
        return await _lead_page(request, "not_mergeable")
    await _told_of_leads(crm, card.id, LeadId(int(merged)))
    return see_other(f"/leads/{card.id}")


async def unmerge_leads(request: web.Request) -> web.StreamResponse:
    """Take a merge back."""
    crm, user, form = request.app[CRM], user_of(request), await request.post()
    card = await own_card(request)
    cards = Cards(crm.database)
    wanted = [merge for merge in await cards.merges(card.id) if str(merge.id) == str(form.get("merge", ""))]
    for merge in wanted:
        await cards.unmerge(merge, user.login, crm.clock.now_ms())
        await _told_of_leads(crm, merge.kept, merge.merged)
    return see_other(f"/leads/{card.id}")


async def _recordings(crm: Crm, lead: LeadId) -> dict[AttemptId, list[str]]:
    """Names of the recordings of each attempt that are still kept here."""
    folder, named = _folder(crm), await crm.records.recordings(lead)
    kept = await asyncio.to_thread(lambda: {name for name in named if (folder / f"{name}.wav").is_file()})
    found: dict[AttemptId, list[str]] = {}
    for name, attempt in named.items():
        if name in kept:
            found.setdefault(attempt, []).append(name)
    return found


def _folder(crm: Crm) -> Path:
    return crm.loaded.resolve(crm.loaded.config.recordings.folder).absolute()


async def recording(request: web.Request) -> web.StreamResponse:
    """A recording to hear. Who began to hear it is in the audit."""
    crm, card = request.app[CRM], await own_card(request)
    name = request.match_info["name"]
    if name not in await crm.records.recordings(card.id):
        raise web.HTTPNotFound
    path = _folder(crm) / f"{name}.wav"
    if not await asyncio.to_thread(path.is_file):
        raise web.HTTPNotFound
    if request.headers.get("Range", "bytes=0-").startswith("bytes=0-"):  # not each piece of it
        await crm.records.add_audit(
            at_ms=crm.clock.now_ms(), by=user_of(request).login, action="recording_heard", subject=name
        )
    return web.FileResponse(path, headers={"Content-Type": "audio/wav", "Cache-Control": "private, no-store"})


async def call_no_more(request: web.Request) -> web.StreamResponse:
    """Nobody calls this person again: all their numbers go on everybody's do-not-call list, with the reason."""
    crm, form = request.app[CRM], await request.post()
    card = await own_card(request)
    reason = str(form.get("reason", "")).strip()[:REASON_MAX]
    if not reason:
        return await _lead_page(request, NO_REASON)
    numbers = [phone.number for phone in card.phones]
    await DoNotCall(crm.database).add(numbers, reason=reason, by=user_of(request).login, at_ms=crm.clock.now_ms())
    return see_other(f"/leads/{card.id}")


async def call_again(request: web.Request) -> web.StreamResponse:
    """Take that back: one's own word, or anybody's with the right to the lists."""
    crm, user = request.app[CRM], user_of(request)
    card = await own_card(request)
    for entry in await _listed(crm, card):
        if entry.list == SYSTEM and _may_take_back(user, entry):
            await DoNotCall(crm.database).remove(
                entry.number, reason=f"lead:{card.id}", by=user.login, at_ms=crm.clock.now_ms()
            )
    return see_other(f"/leads/{card.id}")


async def _listed(crm: Crm, card: LeadCard) -> list[Entry]:
    """The entries of this person's numbers on any do-not-call list."""
    lists = DoNotCall(crm.database)
    return [entry for phone in card.phones for entry in await lists.find(phone.number.e164)]


def _may_take_back(user: User, entry: Entry) -> bool:
    return entry.by == user.login or may(user, Right.DO_NOT_CALL)


async def _told_of_leads(crm: Crm, *leads: LeadId) -> None:
    """The engine looks again at the queues these leads are in."""
    cards = [await crm.records.lead_card(lead) for lead in leads]
    for campaign in {card.campaign for card in cards if card is not None}:
        crm.engine.leads_changed(campaign)


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


async def callback_heard(request: web.Request) -> web.StreamResponse:
    """When to call, in words: what was understood, on both clocks, and whether it can be promised."""
    crm, user, card = request.app[CRM], user_of(request), await own_card(request)
    at, words = await callbacks.heard(
        crm, user, card, request.query.get("text", ""), request.query.get("owner", "")[:LOGIN_CHARS_MAX]
    )
    return web.json_response({"at": at, "words": words})


async def change_callback(request: web.Request) -> web.StreamResponse:
    """Promise a call on the card, move it, give it to somebody else, take it back, or undo that."""
    crm, user, card = request.app[CRM], user_of(request), await own_card(request)
    said = {name: str(value)[:TEXT_MAX] for name, value in (await request.post()).items()}
    change = {"plan": callbacks.plan, "cancel": callbacks.take_back, "undo": callbacks.undo}.get(said.get("act", ""))
    if change is None or not _KEY.fullmatch(said.get("key", "")):
        raise web.HTTPBadRequest
    try:
        await change(crm, user, card, said)
    except TimeoutError:
        return await _lead_page(request, "not_saved")
    except callbacks.NotPlanned as problem:
        return await _lead_page(request, planning=(said, problem))
    return see_other(f"/leads/{card.id}?planned#callback")


async def _lead_page(
    request: web.Request,
    problem: str = "",
    planning: tuple[Mapping[str, str], callbacks.NotPlanned] | None = None,
) -> web.Response:
    crm = request.app[CRM]
    user = user_of(request)
    card = await own_card(request)
    viewer = crm.viewer(user)
    policy = crm.engine.policy()
    fields = card_fields(card, crm.settings, viewer.words)
    book = await book_of(crm, viewer, card.id)
    context: dict[str, Any] = {
        "card": card,
        "fields": fields,
        "history": await crm.records.lead_history(card.id),
        "orders": sheet_of(crm, viewer, card.id, book, crm.clock.now_ms()),
        "campaign": policy.campaigns.get(card.campaign),
        "viewer": viewer,
        "agents": policy.agents,
        "lead_states": LEAD_STATES,
        "outcomes": OUTCOMES,
        "zone_of": ZoneInfo,
        "tasks": policy.tasks if user.agent else None,
        "dial_key": secrets.token_hex(8) if user.agent and may(user, Right.DESK) else "",
    }
    if "pane" in request.query:
        return fragment(request, "leads/pane.html", **context)
    explained = await explain(crm.database, policy, card.id, crm.clock.now_ms())
    cards = Cards(crm.database)
    listed = await _listed(crm, card)
    said, not_planned = planning or ({}, None)
    twins = [await crm.records.lead_card(twin) for twin in await cards.twins(card.id, crm.campaigns_of(user))]
    return page(
        request,
        "leads/card.html",
        cause=attempt_cause,
        rule=rule_words,
        check=check_words,
        verdict=explained.verdict if explained else None,
        twins=[twin for twin in twins if twin is not None],
        merges=await cards.merges(card.id),
        merges_allowed=may(user, Right.MERGE_LEADS),
        gives_tasks=policy.tasks is not None and may(user, Right.GIVE_TASKS),
        edits_made=await cards.edits(card.id),
        now_is={**card.fields, **{name: _value(card, name) for name in OF_THE_CARD}},
        of_the_card=OF_THE_CARD,
        recordings=await _recordings(crm, card.id) if may(user, Right.HEAR_RECORDINGS) else {},
        listed=listed,
        may_call_again=any(entry.list == SYSTEM and _may_take_back(user, entry) for entry in listed),
        field_titles={
            NAME: viewer.words.gettext("Name"),
            ZONE: viewer.words.gettext("Time zone"),
            TAGS: viewer.words.gettext("Tags"),
            OWNER: viewer.words.gettext("Owner"),
            **{one.name: one.title for one in fields},
        },
        problem=refusal(viewer.words, problem) if problem else "",
        callback=await callbacks.panel(crm, user, card, said, not_planned),
        just_planned="planned" in request.query,
        text_max=TEXT_MAX,
        code=not_planned.code if not_planned else 409 if problem else 200,
        **context,
    )
