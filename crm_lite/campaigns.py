"""What supervisors see: the live floor, and the campaigns with their start and stop."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from crm_lite.auth import Right, may
from crm_lite.crm import Crm, Viewer
from crm_lite.desk import day_start_ms, pause_words
from crm_lite.deskpage import signed_in
from crm_lite.live import FLOOR_EVERY_MS, Channel, Reader, is_from_our_page, open_socket
from crm_lite.live_protocol import Do, Feed, Verb
from crm_lite.web_keys import CRM, SESSION, page, reader_of, see_other, user_of
from crm_lite.words import (
    CUSTOMER_STATES,
    LEAD_STATES,
    MODES,
    OUTCOMES,
    abandon_words,
    agent_state,
    detection_words,
    dialing_words,
    held_words,
    refusal,
    why_so_many,
)
from engine.api import abandon_limit
from engine.core.events import AgentLogout, AgentPause, CampaignSwitched, DeskEvent
from engine.core.model import (
    LIVE_ANSWERS,
    PACED,
    AgentId,
    AgentState,
    Attempt,
    Campaign,
    CampaignId,
    CommandId,
    CustomerState,
    Outcome,
    SystemPause,
)
from engine.explain import held_leads, why_not
from engine.store.errors import StoreError
from engine.store.rows import CampaignCounts, LeadCard, User
from engine.store.store import Store
from engine.store.tasks import Tasks

#: Calls that the floor lists; more of them are only counted.
CALLS_SHOWN_MAX: Final = 100
#: Leads of one group on a page.
LEADS_SHOWN_MAX: Final = 50
_OFFSET: Final = re.compile(r"[0-9]{1,7}")
#: How long an agent may stay in a state before the row is marked.
LONG_MS: Final[Mapping[AgentState, int]] = {
    AgentState.READY: 10 * 60_000,
    AgentState.TALKING: 20 * 60_000,
    AgentState.WRAP_UP: 3 * 60_000,
    AgentState.PAUSED: 20 * 60_000,
}


@dataclass(frozen=True, slots=True)
class AgentRow:
    """An agent as the floor shows them."""

    id: AgentId
    name: str
    phone: str
    phone_registered: bool | None
    look: str
    word: str
    icon: str
    reason: str
    since_ms: int
    long_ms: int
    call: Attempt | None
    online: bool


@dataclass(frozen=True, slots=True)
class CampaignRow:
    """A campaign as the floor shows it. `counts` None: the store does not answer."""

    campaign: Campaign
    running: bool
    dialing: str
    is_dialing: bool
    counts: CampaignCounts | None

    @property
    def live_answers(self) -> int:
        """Answers by a person, since midnight."""
        return sum(self.counts.outcomes.get(outcome, 0) for outcome in LIVE_ANSWERS) if self.counts else 0

    @property
    def abandoned(self) -> int:
        """Answered, and nobody was free."""
        return self.counts.outcomes.get(Outcome.ABANDONED, 0) if self.counts else 0


async def campaign_rows(crm: Crm, viewer: Viewer) -> list[CampaignRow]:
    """All campaigns, in the order of config.yaml, with their counts since midnight."""
    now_ms = crm.clock.now_ms()
    since_ms = day_start_ms(now_ms, crm.settings.zone)
    rows = []
    for campaign in crm.engine.policy().campaigns.values():
        said = crm.live.board.dialing.get(campaign.id)
        try:
            counts = await crm.records.campaign_counts(campaign.id, since_ms, now_ms, campaign.callbacks)
        except StoreError:
            counts = None
        running, dialing = (said.running, said.running and not said.reason) if said else (False, False)
        rows.append(CampaignRow(campaign, running, dialing_words(viewer.words, said), dialing, counts))
    return rows


def agent_rows(crm: Crm, viewer: Viewer) -> list[AgentRow]:
    """All agents of config.yaml by name; those in shift first."""
    rows = []
    board = crm.live.board
    for profile in crm.engine.policy().agents.values():
        agent = board.agents.get(profile.id)
        if agent is None:
            continue
        call = board.attempts.get(agent.attempt) if agent.attempt else None
        look, word, icon = agent_state(viewer.words, agent.state, call)
        rows.append(
            AgentRow(
                id=agent.id,
                name=profile.name,
                phone=profile.phone,
                phone_registered=agent.phone_registered,
                look=look,
                word=word,
                icon=icon,
                reason=pause_words(viewer.words, crm.settings, agent.pause_reason or agent.wish_reason),
                since_ms=agent.since_ms,
                long_ms=LONG_MS.get(agent.state, 0),
                call=call,
                online=crm.live.desk_readers(agent.id) > 0,
            )
        )
    return sorted(rows, key=lambda row: (row.look == "logged_out", row.name, row.id))


class Floor(Channel):
    """The supervisor's view: islands by name, of which only those that changed are sent."""

    def __init__(self, crm: Crm, viewer: Viewer, switches: bool, commands: bool, name: str) -> None:
        super().__init__(Feed(name), crm.pages.build, crm.clock)
        self._crm = crm
        self._viewer = viewer
        self._switches = switches
        self._commands = commands
        self._shown: dict[str, str] = {}

    def whole(self) -> Mapping[str, object]:
        """The content of a snapshot."""
        return {"islands": self._shown}

    async def rest(self) -> None:
        """A supervisor reads no faster."""
        await asyncio.sleep(FLOOR_EVERY_MS / 1000)

    async def look(self) -> Mapping[str, Mapping[str, object]]:
        """The islands that changed."""
        crm, board = self._crm, self._crm.live.board
        calls = [a for a in board.attempts.values() if a.state is not CustomerState.ENDED]
        context: dict[str, object] = {
            "switch_problem": board.switch_problem,
            "store_problem": board.store_problem,
            "agents": agent_rows(crm, self._viewer),
            "calls": sorted(calls, key=lambda call: (call.planned_at_ms, call.id))[:CALLS_SHOWN_MAX],
            "calls_count": len(calls),
            "campaigns": await campaign_rows(crm, self._viewer),
            "profiles": crm.engine.policy().agents,
            "names": {campaign.id: campaign.name for campaign in crm.engine.policy().campaigns.values()},
            "customer_states": CUSTOMER_STATES,
            "number": lambda call: self._viewer.reads(call.number),
            "zone": self._viewer.zone,
            "detection_off": [
                (view.campaign, detection_words(self._viewer.words, view))
                for view in crm.engine.snapshot().detection
                if view.off
            ],
            "tasks_late": await _tasks_late(crm) if self._commands else 0,
            "why": {view.campaign: why_so_many(self._viewer.words, view) for view in crm.engine.snapshot().pacing},
            "commands": self._commands,
            **campaign_context(self._switches),
        }
        islands = {}
        for name in ("problems", "agents", "calls", "campaigns"):
            html = crm.pages.render(self._viewer.words.language, f"floor/{name}.html", **context)
            if self._shown.get(name) != html:
                islands[name] = html
        self._shown.update(islands)
        return {"floor": {"islands": islands}} if islands else {}


async def _tasks_late(crm: Crm) -> int:
    rules = crm.engine.policy().tasks
    if rules is None:
        return 0
    try:
        return (await Tasks(crm.database).overdue(crm.clock.now_ms() - rules.slot_ms))[1]
    except StoreError:
        return 0  # the floor says so itself


def campaign_context(switches: bool) -> dict[str, Any]:
    """What the campaigns' template needs beside its rows."""
    return {
        "switches": switches,
        "outcomes": OUTCOMES,
        "lead_states": LEAD_STATES,
        "modes": MODES,
        "paced": PACED,
        "abandon_words": abandon_words,
        "abandon_limit": abandon_limit,
    }


async def live_page(request: web.Request) -> web.StreamResponse:
    """The floor; the socket fills it."""
    return page(request, "floor/page.html", reader=reader_of(request[SESSION]))


#: What may be asked for on the floor, and the right that each needs.
FLOOR_RIGHTS: Final[Mapping[Verb, Right]] = {
    Verb.CAMPAIGN: Right.SWITCH_CAMPAIGN,
    Verb.PAUSE: Right.COMMAND_AGENTS,
    Verb.LOGOUT: Right.COMMAND_AGENTS,
}


async def _carry_out(crm: Crm, login: str, said: Do) -> str:
    """Do what a supervisor's browser asks; what is done to an operator is in the audit. "" or why not."""
    command, agent = CommandId(f"{login}:{said.id}"), AgentId(str(said.args.get("agent", "")))
    event: DeskEvent
    match said.verb:
        case Verb.PAUSE:
            event = AgentPause(command=command, by=login, agent=agent, reason=SystemPause.FORCED)
        case Verb.LOGOUT:
            event = AgentLogout(command=command, by=login, agent=agent)
        case _:
            campaign = CampaignId(str(said.args.get("campaign", "")))
            running = said.args.get("running") is True
            event = CampaignSwitched(command=command, by=login, campaign=campaign, running=running)
    try:
        refused = await crm.engine.do(event)
    except TimeoutError:
        return "not_saved"
    if not refused and said.verb is not Verb.CAMPAIGN:
        action = "agent_paused" if said.verb is Verb.PAUSE else "agent_logged_out"
        with suppress(StoreError):  # It is done; the store's problem is on every page.
            await crm.records.add_audit(at_ms=crm.clock.now_ms(), by=login, action=action, subject=f"agent:{agent}")
    return refused


async def floor_socket(request: web.Request) -> web.StreamResponse:
    """The floor's live socket."""
    crm = request.app[CRM]
    if not is_from_our_page(request):
        raise web.HTTPForbidden
    session, user = request[SESSION], user_of(request)
    viewer, switches = crm.viewer(user), may(user, Right.SWITCH_CAMPAIGN)
    commands = may(user, Right.COMMAND_AGENTS)
    key = f"floor:{user.language}:{viewer.sees_numbers}:{switches}:{commands}"

    def make() -> Floor:
        return Floor(crm, viewer, switches, commands, name=f"floor-{crm.live.epoch}-{crm.live.next_number()}")

    async def command(said: Do) -> str:
        if said.verb not in FLOOR_RIGHTS:
            return "bad_command"
        if await signed_in(crm, session, FLOOR_RIGHTS[said.verb]) is None:
            return "forbidden"
        return await _carry_out(crm, user.login, said)

    ws = await open_socket(request)
    reader = Reader(
        session=session, key=key, make=make, command=command, explain=lambda reason: refusal(viewer.words, reason)
    )
    await crm.live.serve(ws, reader)
    return ws


async def campaigns_page(request: web.Request) -> web.StreamResponse:
    """All campaigns with their counts."""
    crm = request.app[CRM]
    user = user_of(request)
    rows = await campaign_rows(crm, crm.viewer(user))
    context = campaign_context(may(user, Right.SWITCH_CAMPAIGN))
    problem = request.query.get("problem", "")
    return page(request, "campaigns.html", campaigns=rows, problem=problem, detection=_detection(crm, user), **context)


def _detection(crm: Crm, user: User) -> dict[str, str]:
    """By campaign, where answering machines are detected, or were."""
    words = crm.viewer(user).words
    views = crm.engine.snapshot().detection
    return {view.campaign: detection_words(words, view) for view in views if view.enabled or view.checked}


async def why_page(request: web.Request) -> web.StreamResponse:
    """Why are leads not being dialed: all leads by the first rule that holds them back, each group with its leads."""
    crm = request.app[CRM]
    user = user_of(request)
    campaign = crm.engine.policy().campaigns.get(CampaignId(request.match_info["campaign"]))
    if campaign is None:
        raise web.HTTPNotFound
    viewer, now_ms = crm.viewer(user), crm.clock.now_ms()
    groups = await why_not(crm.database, campaign, now_ms)
    rule, cause = request.query.get("rule"), request.query.get("cause", "")
    chosen = next((one for one in groups if (one.rule, one.cause) == (rule, cause)), None)
    after = int(said) if _OFFSET.fullmatch(said := request.query.get("after", "")) else 0
    rows: list[LeadCard] = []
    if chosen is not None:
        ids = await held_leads(crm.database, campaign, chosen, now_ms, limit=LEADS_SHOWN_MAX, offset=after)
        rows = [card for id_ in ids if (card := await crm.records.lead_card(id_)) is not None]
    return page(
        request,
        "why.html",
        agents=crm.engine.policy().agents,
        campaign=campaign,
        groups=groups,
        total=sum(one.count for one in groups),
        chosen=chosen,
        rows=rows,
        more=after + LEADS_SHOWN_MAX if chosen and after + LEADS_SHOWN_MAX < chosen.count else None,
        dialing=dialing_words(viewer.words, crm.live.board.dialing.get(campaign.id)),
        held=held_words,
        recycles=may(user, Right.SWITCH_CAMPAIGN),
        names={campaign.id: campaign.name},
        lead_states=LEAD_STATES,
        viewer=viewer,
    )


async def recycle_leads(request: web.Request) -> web.StreamResponse:
    """Call the leads of one group of closed ones again, with all their tries."""
    crm, form = request.app[CRM], await request.post()
    campaign = CampaignId(request.match_info["campaign"])
    if campaign not in crm.engine.policy().campaigns:
        raise web.HTTPNotFound
    by, rule = user_of(request).login, str(form.get("cause", ""))
    await Store(crm.database).recycle(campaign, [rule], by=by, at_ms=crm.clock.now_ms())
    crm.engine.leads_changed(campaign)
    return see_other(f"/campaigns/{campaign}/why")


async def run_campaign(request: web.Request) -> web.StreamResponse:
    """Start or stop a campaign, for a browser whose scripts are off or whose socket is gone."""
    crm = request.app[CRM]
    form = await request.post()
    event = CampaignSwitched(
        command=CommandId(f"{user_of(request).login}:{request.app[CRM].live.epoch}-{crm.live.next_number()}"),
        by=user_of(request).login,
        campaign=CampaignId(request.match_info["campaign"]),
        running=form.get("running") == "1",
    )
    try:
        refused = await crm.engine.do(event)
    except TimeoutError:
        refused = "not_saved"
    if refused:
        rows = await campaign_rows(crm, crm.viewer(user_of(request)))
        words = refusal(crm.viewer(user_of(request)).words, refused)
        context = {"detection": _detection(crm, user_of(request)), **campaign_context(True)}
        return page(request, "campaigns.html", code=409, campaigns=rows, problem=words, **context)
    return see_other("/campaigns")
