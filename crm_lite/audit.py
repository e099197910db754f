"""The audit: who did what, and when. Read only: nobody can change it, here or in the database."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from aiohttp import web

from crm_lite.auth import LOGIN_CHARS_MAX
from crm_lite.settings import BadDay, midnight_ms
from crm_lite.web_keys import CRM, page, user_of
from engine.core.model import CampaignId
from engine.messages import N_
from engine.store.rows import AuditRow

ROWS_PER_PAGE: Final = 50
BAD_DAY: Final = N_("This day was not understood.")

_LEAD: Final = re.compile(r"(?:/leads/|lead:)([0-9]{1,15})\b.*|([0-9]{1,15})")


class Kind(StrEnum):
    """What an entry is about."""

    ACCESS = "access"
    CALLS = "calls"
    LEADS = "leads"
    LISTS = "lists"
    CAMPAIGNS = "campaigns"
    PEOPLE = "people"


KINDS: Final[Mapping[Kind, str]] = {
    Kind.ACCESS: N_("Log-ins and profiles"),
    Kind.CALLS: N_("Calls"),
    Kind.LEADS: N_("Leads"),
    Kind.LISTS: N_("Do not call"),
    Kind.CAMPAIGNS: N_("Campaigns and files"),
    Kind.PEOPLE: N_("Operators and tasks"),
}

#: Everything that is ever written down, in words. What was done on a page is there by its address besides.
ACTIONS: Final[Mapping[str, tuple[Kind, str]]] = {
    "login": (Kind.ACCESS, N_("Signed in")),
    "login_failed": (Kind.ACCESS, N_("Tried a wrong password")),
    "POST /logout": (Kind.ACCESS, N_("Signed out")),
    "POST /profile": (Kind.ACCESS, N_("Changed their profile")),
    "POST /profile/keys": (Kind.ACCESS, N_("Chose their keys")),
    "POST /profile/sign-out-everywhere": (Kind.ACCESS, N_("Signed out everywhere")),
    "call_transferred": (Kind.CALLS, N_("Handed a client on")),
    "colleague_asked": (Kind.CALLS, N_("Asked a colleague during a call")),
    "outsider_asked": (Kind.CALLS, N_("Asked a number outside during a call")),
    "recording_start": (Kind.CALLS, N_("Began a recording")),
    "recording_pause": (Kind.CALLS, N_("Paused a recording")),
    "recording_resume": (Kind.CALLS, N_("Resumed a recording")),
    "recording_stop": (Kind.CALLS, N_("Ended a recording")),
    "recording_heard": (Kind.CALLS, N_("Heard a recording")),
    "lead_skipped": (Kind.CALLS, N_("Skipped a client")),
    "POST /leads/{lead}/dial": (Kind.CALLS, N_("Called a client from the card")),
    "lead_created": (Kind.LEADS, N_("Made a card")),
    "lead_suppressed": (Kind.LEADS, N_("Closed a lead to calls")),
    "lead_erased": (Kind.LEADS, N_("Erased a person")),
    "leads_merged": (Kind.LEADS, N_("Merged two cards")),
    "leads_unmerged": (Kind.LEADS, N_("Undid a merge")),
    "leads_recycled": (Kind.LEADS, N_("Gave closed leads their tries back")),
    "leads_exported": (Kind.LEADS, N_("Exported leads")),
    "leads_imported": (Kind.LEADS, N_("Imported leads")),
    "import_reverted": (Kind.LEADS, N_("Undid an import")),
    "order_made": (Kind.LEADS, N_("Took a client's order")),
    "order_changed": (Kind.LEADS, N_("Changed a client's order")),
    "order_undone": (Kind.LEADS, N_("Took a change of an order back")),
    "POST /leads/{lead}/orders": (Kind.LEADS, N_("Saved a client's order (page)")),
    "POST /leads/{lead}/orders/{order}/undo": (Kind.LEADS, N_("Took a change of an order back (page)")),
    "callback_planned": (Kind.LEADS, N_("Promised a call on the card")),
    "callback_moved": (Kind.LEADS, N_("Moved a promised call, or gave it to somebody else")),
    "callback_taken_back": (Kind.LEADS, N_("Took a promised call back")),
    "POST /leads/{lead}/callback": (Kind.LEADS, N_("Planned a call (card)")),
    "POST /leads/{lead}/edit": (Kind.LEADS, N_("Changed a card")),
    "POST /leads/{lead}/merge": (Kind.LEADS, N_("Merged two cards (page)")),
    "POST /leads/{lead}/unmerge": (Kind.LEADS, N_("Undid a merge (page)")),
    "dnc_added": (Kind.LISTS, N_("Put numbers on a list")),
    "dnc_removed": (Kind.LISTS, N_("Took a number off a list")),
    "opt_out": (Kind.LISTS, N_("A client asked for no more calls")),
    "POST /leads/{lead}/do-not-call": (Kind.LISTS, N_("Do not call (card)")),
    "POST /leads/{lead}/call-again": (Kind.LISTS, N_("Call again (card)")),
    "POST /dnc": (Kind.LISTS, N_("Put numbers on a list (page)")),
    "POST /dnc/remove": (Kind.LISTS, N_("Took a number off a list (page)")),
    "POST /dnc/import": (Kind.LISTS, N_("Put a file's numbers on a list (page)")),
    "campaign_started": (Kind.CAMPAIGNS, N_("Started a campaign")),
    "campaign_stopped": (Kind.CAMPAIGNS, N_("Stopped a campaign")),
    "amd_switched_off": (Kind.CAMPAIGNS, N_("Answering-machine detection was switched off")),
    "draining": (Kind.CAMPAIGNS, N_("Dialing ended: the engine is to stop")),
    "partner_added": (Kind.CAMPAIGNS, N_("Added a partner")),
    "partner_revoked": (Kind.CAMPAIGNS, N_("Took a partner's key away")),
    "POST /campaigns/{campaign}/run": (Kind.CAMPAIGNS, N_("Switched a campaign (page)")),
    "POST /campaigns/{campaign}/recycle": (Kind.CAMPAIGNS, N_("Gave closed leads their tries back (page)")),
    "POST /export": (Kind.CAMPAIGNS, N_("Exported leads (page)")),
    "POST /import": (Kind.CAMPAIGNS, N_("Uploaded a file")),
    "POST /import/{number}/choose": (Kind.CAMPAIGNS, N_("Chose a file's columns")),
    "POST /import/{number}/check": (Kind.CAMPAIGNS, N_("Checked a file")),
    "POST /import/{number}/run": (Kind.CAMPAIGNS, N_("Began an import")),
    "POST /import/{number}/cancel": (Kind.CAMPAIGNS, N_("Cancelled an import")),
    "POST /import/{number}/revert": (Kind.CAMPAIGNS, N_("Undid an import (page)")),
    "agent_paused": (Kind.PEOPLE, N_("Paused an operator")),
    "agent_logged_out": (Kind.PEOPLE, N_("Ended an operator's shift")),
    "handed_out": (Kind.PEOPLE, N_("Got the next task")),
    "task_given": (Kind.PEOPLE, N_("Gave an operator a task")),
    "POST /tasks": (Kind.PEOPLE, N_("Made a task")),
    "POST /tasks/given": (Kind.PEOPLE, N_("Gave an operator a task (page)")),
    "POST /tasks/{task}": (Kind.PEOPLE, N_("Settled a task")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An entry as it is shown. `lead`: the card that it is about; `refused`: the page said no."""

    row: AuditRow
    who: str
    what: str
    about: str
    lead: str
    detail: str
    refused: bool


async def audit_page(request: web.Request) -> web.StreamResponse:
    """The newest entries, or those of a person, a kind, some days."""
    crm, asked = request.app[CRM], request.query
    zone, people = crm.settings.zone, {user.login: user.name or user.login for user in await crm.records.users()}
    who = asked.get("who", "").strip()[:LOGIN_CHARS_MAX]
    kind = Kind(asked["kind"]) if asked.get("kind") in set(Kind) else None
    problem = ""
    try:
        since_ms, until_ms = _days(asked, zone)
    except BadDay:
        problem, since_ms, until_ms = BAD_DAY, None, None
    login = next((login for login, name in people.items() if name == who), who)
    before = asked.get("before", "")
    rows = await crm.records.audit_page(
        before=int(before) if before.isascii() and before.isdecimal() and len(before) < 16 else None,
        limit=ROWS_PER_PAGE + 1,
        by=login,
        actions=None if kind is None else [action for action, (of, _) in ACTIONS.items() if of is kind],
        since_ms=since_ms,
        until_ms=until_ms,
    )
    operators = {str(agent.id): agent.name for agent in crm.engine.policy().agents.values()}
    names: dict[str, str] = {**people, **operators}
    campaigns = {campaign.id: campaign.name for campaign in crm.engine.policy().campaigns.values()}
    return page(
        request,
        "audit.html",
        code=422 if problem else 200,
        problem=problem,
        entries=[_entry(row, names, campaigns) for row in rows[:ROWS_PER_PAGE]],
        more=rows[ROWS_PER_PAGE - 1].seq if len(rows) > ROWS_PER_PAGE else None,
        paged=bool(before),
        query={key: asked.get(key, "")[:LOGIN_CHARS_MAX] for key in ("who", "kind", "since", "until")},
        people=sorted(people.values()),
        kinds=KINDS,
        viewer=crm.viewer(user_of(request)),
    )


def _days(asked: Mapping[str, str], zone: ZoneInfo) -> tuple[int | None, int | None]:
    return midnight_ms(asked.get("since", ""), zone), midnight_ms(asked.get("until", ""), zone, days_later=1)


def _entry(row: AuditRow, names: Mapping[str, str], campaigns: Mapping[CampaignId, str]) -> Entry:
    by_page = row.action.startswith("POST ")
    about, lead = row.subject, ""
    prefix, _, key = row.subject.partition(":")
    found = _LEAD.fullmatch(row.subject)
    if found is not None and (found[1] or row.action.startswith("lead_")):
        about, lead = "", found[1] or found[2]
    elif prefix == "agent":
        about = names.get(key, key)
    elif prefix == "campaign" or row.action.startswith("campaign_"):
        about = campaigns.get(CampaignId(key or prefix), key or prefix)
    elif by_page and "{" not in row.action:
        about = ""  # a page's address alone says no more
    return Entry(
        row=row,
        who=names.get(row.by, row.by),
        what=ACTIONS[row.action][1] if row.action in ACTIONS else "",
        about="" if about == row.by else about,
        lead=lead,
        detail="" if by_page else names.get(row.detail, row.detail),
        refused=by_page and row.detail >= "400",
    )
