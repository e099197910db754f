"""An operator's desk: what is on it now, and what its buttons ask of the engine."""

from __future__ import annotations

import asyncio
import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final
from zoneinfo import ZoneInfo

from crm_lite import caller
from crm_lite.caller import Caller, caller_of
from crm_lite.callscript import filled_in
from crm_lite.crm import Crm, Viewer
from crm_lite.i18n import Words
from crm_lite.live import Channel, desk_key
from crm_lite.live_protocol import NOTE_CHARS_MAX, Do, Feed, Verb
from crm_lite.orders import book_of, sheet_of
from crm_lite.settings import Settings
from crm_lite.shift import shift_of
from crm_lite.tasks import Handing, TaskList, hand_next, is_for, task_list
from crm_lite.words import (
    OUTCOMES,
    REFUSALS,
    SYSTEM_PAUSES,
    agent_state,
    check_words,
    dialing_words,
    handout_words,
    refusal,
    rule_words,
)
from engine.booking import Booking, Taken, book
from engine.core.events import (
    AgentAnswer,
    AgentConsult,
    AgentDial,
    AgentDigits,
    AgentHangup,
    AgentHold,
    AgentLogin,
    AgentLogout,
    AgentMute,
    AgentPause,
    AgentReady,
    AgentRecord,
    AgentSkip,
    AgentTransfer,
    AgentTransferOut,
    DeskEvent,
    Dispose,
)
from engine.core.model import (
    Agent,
    AgentId,
    AgentState,
    Attempt,
    AttemptId,
    Campaign,
    CampaignId,
    CommandId,
    ConsultAct,
    ConsultPhase,
    CustomerState,
    DispositionId,
    LeadId,
    LegKind,
    PhoneNumber,
    Previewed,
    QueueId,
    RecordAct,
    Refusal,
    SkipReason,
    WrapUpMode,
)
from engine.handout import AfterRefusal, after_refusal
from engine.leads.files import meaning_of
from engine.phones import parse_phone, zones_of
from engine.store.clientorders import Book, ClientOrders
from engine.store.errors import StoreError
from engine.store.rows import AgentTime, Callback, LeadCard, OwnCall, PastAttempt
from engine.store.tasks import Plate, Tasks

#: A card that the store did not give is asked for again.
READ_AGAIN_S: Final = 1.0
#: A promise further away than this is a slip of the hand.
CALLBACK_AHEAD_MAX_MS: Final = 366 * 86_400_000
#: The operator's own conversations that the idle desk lists.
OWN_CALLS_MAX: Final = 6
#: The calls that the operator has promised to make, of today and tomorrow, that the idle desk lists.
OWN_CALLBACKS_MAX: Final = 5
#: As many are watched: when one falls due, the operator hears it.
OWN_CALLBACKS_READ_MAX: Final = 100
PROMISED_AHEAD_MS: Final = 2 * 86_400_000
#: Who waits for "Next" is asked for at least so often: promised calls and leads come up that are nobody's tasks.
NEXT_ASKED_EVERY_MS: Final = 10_000
_RELATIVE: Final = re.compile(r"\+(\d{1,4})m")


@dataclass(frozen=True, slots=True)
class Conversation:
    """The lead that a desk is busy with; without an attempt, the one that is previewed."""

    attempt: AttemptId | None
    card: LeadCard | None
    history: tuple[PastAttempt, ...]
    draft: Mapping[str, object] | None
    caller: Caller | None = None  # somebody who called and has no lead yet
    notes: tuple[tuple[AgentId, str], ...] = ()  # of colleagues who handed the customer on
    handed: str = ""  # why "Next" handed it out
    orders: Book = field(default_factory=Book)


@dataclass(frozen=True, slots=True)
class Day:
    """An operator's day as it was read at `at_ms`."""

    counts: Mapping[str, int]
    times: tuple[AgentTime, ...]
    own: tuple[OwnCall, ...]
    promised: tuple[Callback, ...]  # calls that this operator will make themselves
    at_ms: int


@dataclass(frozen=True, slots=True)
class Given:
    """What a conversation's form holds already."""

    disposition: DispositionId | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class CallLine:
    """One of the operator's own conversations in the idle desk's list."""

    attempt: AttemptId
    name: str
    bridged_at_ms: int
    disposition: DispositionId | None
    title: str


class Desk(Channel):
    """The desk of one agent. Shown in islands: the bar's three, and the work area below it."""

    def __init__(self, crm: Crm, agent: AgentId, viewer: Viewer, name: str) -> None:
        super().__init__(Feed(name), crm.pages.build, crm.clock)
        self._crm = crm
        self._agent_id = agent
        self._viewer = viewer
        self._conversation: Conversation | None = None
        self._previewed: tuple[Previewed, Conversation] | None = None
        self._shown: dict[str, object] = {}
        self._day: Day | None = None
        self._day_of: tuple[object, ...] = ()
        self._plate: tuple[object, Plate] | None = None
        self._plate_over: asyncio.TimerHandle | None = None
        self._due_told_ms = crm.clock.now_ms()  # promised calls of before are in the list, and no news
        self._next_due: asyncio.TimerHandle | None = None
        self._orders_changed = False
        self._counted: tuple[tuple[int | None, int, int], str] | None = None
        self._awaits = ""  # who has pressed "Next" and got nothing yet
        self._refused = ""  # in words: why who has come up meanwhile was not called
        self._not_called = ""  # in words: why the client of what was handed out meanwhile was not called
        self._next_asked_ms = 0  # when it is asked for again
        self._next_over: asyncio.TimerHandle | None = None

    def whole(self) -> Mapping[str, object]:
        """The content of a snapshot."""
        return self._shown

    async def look(self) -> Mapping[str, Mapping[str, object]]:
        """What changed on the desk: `pop` or `idle` (the work area), `card` (read at last), `agent` (the bar).

        Besides, what is only said: `due` (a promised call's time has come), `refused` (whom "Next" could not call).
        """
        await self._ask_for_next()
        agent = self._crm.live.board.agents.get(self._agent_id, Agent(id=self._agent_id))
        attempt = self._attempt(agent)
        campaign = self._crm.engine.campaign(attempt.campaign) if attempt else None
        changes: dict[str, Mapping[str, object]] = {}
        if attempt is None:
            self._conversation = None
            if agent.previewed is None:
                self._previewed = None
            work = await self._idle(agent) if agent.previewed is None else await self._preview(agent.previewed)
            if work != self._shown.get("work"):
                changes["idle"] = {"work": work, "attempt": "", "draft": None, "name": self._name()}
        elif self._conversation is None or self._conversation.attempt != attempt.id:
            self._conversation = await self._read_call(attempt)
            changes["pop"] = {
                "work": self._render("desk/work.html", attempt, campaign, self._conversation),
                "attempt": attempt.id,
                "draft": self._conversation.draft,
                "name": self._name(),
            }
        elif self._conversation.card is None and (attempt.lead is not None or self._conversation.caller is None):
            self._conversation = await self._read_call(attempt)
            changes["card"] = self._card(attempt, campaign, self._conversation)
        elif self._orders_changed and self._conversation.card is not None:
            book = await book_of(self._crm, self._viewer, self._conversation.card.id)
            if book != self._conversation.orders:
                self._conversation = replace(self._conversation, orders=book)
                changes["card"] = self._card(attempt, campaign, self._conversation, {"orders": "leads/orders.html"})
        self._orders_changed = False
        shift = await self._shift(agent)
        bar = self._bar(agent, attempt, campaign) | shift | {"counts": self._counts(agent)}
        if any(self._shown.get(key) != value for key, value in bar.items()):
            changes["agent"] = bar
        for content in changes.values():
            self._shown.update(content)
        if said := self._fallen_due(agent) if shift else "":
            changes["due"] = {"said": said, "at_ms": self._due_told_ms}
        if self._not_called:
            changes["refused"] = {"said": self._not_called}
            self._not_called = ""
        return {kind: content for kind, content in changes.items() if content}

    def queues_changed(self) -> None:
        """More or fewer callers wait: said at once, without a look, which would render the whole bar."""
        counts = self._counts(self._crm.live.board.agents.get(self._agent_id, Agent(id=self._agent_id)))
        if self.sockets and counts != self._shown.get("counts"):
            self._shown["counts"] = counts
            self.publish("agent", {"counts": counts})

    def _counts(self, agent: Agent) -> str:
        """What waits for this operator, beside the tabs: callers in their queues, calls that they promised for today.

        In a conversation as they were before it: nothing is read while a customer is about to be heard.
        """
        if agent.state is AgentState.LOGGED_OUT:
            return ""
        now_ms, live = self._clock.now_ms(), self._crm.live
        profile = self._crm.engine.policy().agents.get(self._agent_id)
        queues = profile.queues if profile is not None else ()
        until_ms = day_end_ms(now_ms, self._crm.settings.zone)
        promised = [one.due_at_ms for one in self._day.promised] if self._day is not None else []
        key = (
            sum(live.waiting[queue] for queue in queues) if queues else None,
            sum(due_ms < until_ms for due_ms in promised),
            sum(due_ms <= now_ms for due_ms in promised),
        )
        if self._counted is None or self._counted[0] != key:
            names = dict(zip(("waiting", "promised", "overdue"), key, strict=True))
            html = self._crm.pages.render(self._viewer.words.language, "desk/counts.html", **names)
            self._counted = key, html.strip()
        return self._counted[1]

    def _fallen_due(self, agent: Agent) -> str:
        """Which promised calls have fallen due since it was last said; "" for none. Looks again at the next one."""
        now_ms, words = self._clock.now_ms(), self._viewer.words
        promised = self._day.promised if self._day is not None else ()
        if self._next_due is not None:
            self._next_due.cancel()
        if ahead := [one.due_at_ms for one in promised if one.due_at_ms > now_ms]:
            self._next_due = asyncio.get_running_loop().call_later((min(ahead) - now_ms) / 1000, self._look_anew)
        card = self._conversation.card if self._conversation is not None else None
        talked_with = card.id if card is not None else None
        news = [one for one in promised if self._due_told_ms < one.due_at_ms <= now_ms]
        due = [one for one in news if one.lead != talked_with]
        if agent.state is AgentState.LOGGED_OUT:
            return ""  # said when the shift begins
        self._due_told_ms = now_ms
        if not due:
            return ""
        names = ", ".join(one.name or words.gettext("No name") for one in due)
        return words.gettext("You promised to call now: %(names)s") % {"names": names}

    def _look_anew(self) -> None:
        self._day_of = ()
        self.touch()

    def await_next(self, login: str, handing: Handing) -> None:
        """ "Next" was pressed: what has not come up yet is handed out when it does."""
        now_ms = self._clock.now_ms()
        self._awaits = login if handing.waits else ""
        self._refused = refusal(self._viewer.words, handing.reason) if handing.refused else ""
        self._next_asked_ms = min(now_ms + NEXT_ASKED_EVERY_MS, handing.at_ms or now_ms + NEXT_ASKED_EVERY_MS)
        self.touch()

    async def _ask_for_next(self) -> None:
        """Hand out what has come up. A call, a pause or a task in hand ends the waiting."""
        agent = self._crm.live.board.agents.get(self._agent_id)
        if self._next_over is not None:
            self._next_over.cancel()
        if agent is None or agent.state not in {AgentState.READY, AgentState.PREVIEW}:
            self._awaits = ""
        if not self._awaits:
            return
        now_ms = self._clock.now_ms()
        if now_ms >= self._next_asked_ms:
            id_ = f"next-{self._crm.live.epoch}-{self._crm.live.next_number()}"
            try:
                handing = await hand_next(self._crm, self._awaits, self._agent_id, Do(id_, Verb.NEXT, {}))
                self.await_next(self._awaits, handing)
                if handing.reason and not handing.waits and after_refusal(handing.reason) is not AfterRefusal.OVER:
                    self._not_called = refusal(self._viewer.words, handing.reason)
            except (StoreError, TimeoutError):  # not read or not saved: asked again later, the desk itself goes on
                self._next_asked_ms = now_ms + NEXT_ASKED_EVERY_MS
        if self._awaits:
            after_s = max(0.0, (self._next_asked_ms - now_ms) / 1000)
            self._next_over = asyncio.get_running_loop().call_later(after_s, self.touch)

    def stale(self) -> None:
        """The operator's tasks or promised calls have changed, or the orders of the client who is shown."""
        self._plate = self._previewed = None
        self._orders_changed, self._day_of = True, ()
        self._next_asked_ms = 0
        self.touch()

    def shows(self, lead: LeadId) -> bool:
        """Whether this client's card is open."""
        shown = self._conversation or (self._previewed[1] if self._previewed is not None else None)
        return shown is not None and shown.card is not None and shown.card.id == lead

    def ordering(self) -> None:
        """An order is being typed: whoever opens the desk anew gets it, nobody else needs to hear of it."""
        self._orders_changed = True

    def noted(self, attempt: str, text: str, at_ms: int) -> None:
        """The note was saved: a snapshot brings it to the next reader."""
        if self._shown.get("attempt") == attempt:
            self._shown["draft"] = {"text": text, "at_ms": at_ms}

    def _attempt(self, agent: Agent) -> Attempt | None:
        if agent.attempt is None:
            return None
        known = self._crm.live.board.attempts.get(agent.attempt)
        if known is None:
            known = self._crm.engine.attempt(agent.attempt)
            if known is not None:
                self._crm.live.board.attempts[known.id] = known
        return known

    async def _preview(self, previewed: Previewed) -> str:
        """The card of a lead that is not dialed yet; read once."""
        shown, conversation = self._previewed or (None, None)
        if conversation is None or shown != previewed or conversation.card is None:
            conversation = await self._read(previewed.lead, None)
            self._previewed = (previewed, conversation)
        campaign = self._crm.engine.campaign(previewed.campaign)
        return self._render("desk/preview.html", None, campaign, conversation, previewed.phone_position)

    async def _read_call(self, attempt: Attempt) -> Conversation:
        if attempt.lead is not None:
            return await self._read(attempt.lead, attempt.id)
        try:
            caller = await caller_of(self._crm, self._viewer, attempt)
            draft = await self._crm.records.draft(self._agent_id, None, attempt.id)
        except StoreError:
            asyncio.get_running_loop().call_later(READ_AGAIN_S, self.touch)
            return Conversation(attempt.id, None, (), None)
        typed = {"text": draft.text, "at_ms": draft.at_ms} if draft else None
        return Conversation(attempt.id, None, (), typed, caller)

    async def _read(self, lead: LeadId, attempt: AttemptId | None) -> Conversation:
        try:
            card, history, draft = await self._crm.records.conversation(lead, self._agent_id, attempt)
            notes = await self._crm.records.drafts_of_others(self._agent_id, attempt) if attempt else ()
            handed = await self._handed(lead, attempt) if attempt else ""
            orders = await book_of(self._crm, self._viewer, lead)
        except StoreError:
            # The customer is on the line: a note and a result without a card beat no desk. It is read again soon.
            asyncio.get_running_loop().call_later(READ_AGAIN_S, self.touch)
            return Conversation(attempt, None, (), None)
        typed = {"text": draft.text, "at_ms": draft.at_ms} if draft else None
        return Conversation(attempt, card, history, typed, notes=notes, handed=handed, orders=orders)

    async def _handed(self, lead: LeadId, attempt: AttemptId) -> str:
        """Why "Next" handed this call out; "" when it did not."""
        call = self._crm.live.board.attempts.get(attempt)
        if self._crm.engine.policy().tasks is None or call is None or not call.by_agent:
            return ""
        handed = (await Tasks(self._crm.database).plate(self._agent_id, call.planned_at_ms)).handed
        if handed is None or not is_for(handed, lead, call.planned_at_ms):
            return ""
        return handout_words(self._viewer.words, handed.why)

    async def again(self, attempt: AttemptId) -> str | None:
        """The form of an earlier conversation, to give or correct its result; None when it is not this agent's."""
        call = await self._crm.records.own_call(self._agent_id, attempt)
        if call is None:
            return None
        campaign = self._crm.engine.campaign(call.campaign)
        card = await self._crm.records.lead_card(call.lead)
        draft = await self._crm.records.draft(self._agent_id, call.lead, attempt)
        history = await self._crm.records.lead_history(call.lead)
        given = Given(call.disposition, draft.text if draft else call.note)
        orders = await book_of(self._crm, self._viewer, call.lead)
        conversation = Conversation(attempt, card, tuple(history), None, orders=orders)
        return self._render("desk/work.html", call, campaign, conversation, given=given)

    def _name(self) -> str:
        shown = self._conversation or (self._previewed[1] if self._previewed else None)
        return shown.card.name if shown and shown.card else ""

    def _name_of(self, colleague: AgentId | None) -> str:
        profile = self._crm.engine.policy().agents.get(colleague) if colleague is not None else None
        return profile.name if profile is not None else str(colleague or "")

    def _whom(self, agent: Agent) -> str:
        """Who is asked, or asks."""
        consult = agent.consult
        if consult is not None and consult.out is not None:
            return consult.out.number.e164  # as they have typed it
        return self._name_of(consult.colleague if consult is not None else agent.helps)

    def _card(
        self,
        attempt: Attempt,
        campaign: Campaign | None,
        conversation: Conversation,
        parts: Mapping[str, str] = MappingProxyType({"left": "desk/left.html", "client": "desk/client.html"}),
    ) -> Mapping[str, object]:
        if conversation.card is None and conversation.caller is None:
            return {}
        return {
            "attempt": attempt.id,
            "name": self._name(),
            "islands": {
                island: self._render(template, attempt, campaign, conversation) for island, template in parts.items()
            },
            "work": self._render("desk/work.html", attempt, campaign, conversation),
        }

    def _render(
        self,
        template: str,
        attempt: Attempt | OwnCall | None,
        campaign: Campaign | None,
        conversation: Conversation,
        position: int = 0,
        given: Given = Given(),
    ) -> str:
        now_ms = self._clock.now_ms()
        card = conversation.card
        return self._crm.pages.render(
            self._viewer.words.language,
            template,
            attempt=attempt,
            given=given,
            position=attempt.phone_position if attempt else position,
            campaign=campaign,
            card=card,
            caller=conversation.caller,
            caller_fields=[
                (key, self._viewer.words.label(labels)) for key, labels in self._crm.settings.card_fields.items()
            ],
            fields=card_fields(card, self._crm.settings, self._viewer.words) if card else (),
            edits=self._viewer.edits and card is not None,
            history=[past for past in conversation.history if past.id != conversation.attempt],
            why=why_this_client(self._viewer.words, attempt, conversation, campaign, self._viewer.zone, now_ms),
            notes=conversation.notes,
            orders=sheet_of(self._crm, self._viewer, card.id, conversation.orders, now_ms) if card else None,
            callback_presets=callback_presets(self._viewer, card.zone if card else None, now_ms),
            script=self._script(campaign, card),
            viewer=self._viewer,
            tasks=self._crm.engine.policy().tasks,
            agents=self._crm.engine.policy().agents,
            campaigns=self._crm.engine.policy().campaigns,
            now_ms=now_ms,
            note_chars_max=NOTE_CHARS_MAX,
            outcomes=OUTCOMES,
            zone_of=ZoneInfo,
        )

    def _call_line(self, call: OwnCall) -> CallLine:
        campaign = self._crm.engine.campaign(call.campaign)
        known = campaign.disposition(call.disposition) if campaign and call.disposition else None
        title = self._viewer.words.label(known.labels) if known else str(call.disposition or "")
        return CallLine(call.id, call.name, call.bridged_at_ms, call.disposition, title)

    def _script(self, campaign: Campaign | None, card: LeadCard | None) -> str:
        scripts = self._crm.settings.scripts.get(campaign.id) if campaign else None
        if campaign is None or not scripts:
            return ""
        profile = self._crm.engine.policy().agents.get(self._agent_id)
        values = dict(card.fields) if card else {}
        values |= {
            "name": card.name if card else "",
            "agent": profile.name if profile else "",
            "campaign": campaign.name,
        }
        return filled_in(self._viewer.words.label(scripts), values)

    async def _tasks(self, agent: Agent) -> TaskList | None:
        """What the operator has to do; read again when something can have changed it. None: nothing to show."""
        rules, now_ms = self._crm.engine.policy().tasks, self._clock.now_ms()
        if rules is None or agent.state is AgentState.LOGGED_OUT:
            return None
        key = (agent.state, agent.since_ms)
        if self._plate is None or self._plate[0] != key:
            try:
                self._plate = key, await Tasks(self._crm.database).plate(self._agent_id, now_ms)
            except StoreError:
                asyncio.get_running_loop().call_later(READ_AGAIN_S, self.touch)
                return None
        listed = task_list(self._viewer, rules, self._plate[1], now_ms)
        if self._plate_over is not None:
            self._plate_over.cancel()
        if listed.next_change_ms is not None:
            after_s = max(READ_AGAIN_S, (listed.next_change_ms - now_ms) / 1000)
            self._plate_over = asyncio.get_running_loop().call_later(after_s, self.touch)
        return listed

    async def _idle(self, agent: Agent) -> str:
        day = await self._read_day(agent)
        policy = self._crm.engine.policy()
        profile = policy.agents.get(self._agent_id)
        limit = self._crm.settings.pause_reasons.get(agent.pause_reason)
        return self._crm.pages.render(
            self._viewer.words.language,
            "desk/idle.html",
            agent=agent,
            profile=profile,
            pause=pause_words(self._viewer.words, self._crm.settings, agent.pause_reason),
            campaigns=[
                (policy.campaigns[campaign], self._crm.live.board.dialing.get(campaign))
                for campaign in (profile.campaigns if profile else ())
                if campaign in policy.campaigns
            ],
            pause_limit_ms=limit.limit_ms if limit else 0,
            day=day.counts if day else None,
            promised=day.promised[:OWN_CALLBACKS_MAX] if day else (),
            now_ms=day.at_ms if day else self._clock.now_ms(),
            own_calls=[self._call_line(call) for call in day.own] if day else [],
            zone=self._viewer.zone,
            switch_problem=self._crm.live.board.switch_problem,
            store_problem=self._crm.live.board.store_problem,
            dialing_words=dialing_words,
            tasks=await self._tasks(agent),
            awaits=bool(self._awaits),
            refused=self._refused,
            callback_presets=callback_presets(self._viewer, None, self._clock.now_ms()),
        )

    async def _read_day(self, agent: Agent) -> Day | None:
        """The operator's day so far; read again only when something can have changed it. None: the store is silent."""
        key = (agent.state, agent.since_ms, agent.disposed)
        if self._day_of == key:
            return self._day
        now_ms = self._clock.now_ms()
        since_ms = day_start_ms(now_ms, self._crm.settings.zone)
        try:
            counts, times, own = await self._crm.records.own_day(self._agent_id, since_ms, now_ms, OWN_CALLS_MAX)
            promised = await self._crm.records.callbacks_due(
                since_ms + PROMISED_AHEAD_MS, owner=self._agent_id, limit=OWN_CALLBACKS_READ_MAX
            )
        except StoreError:
            asyncio.get_running_loop().call_later(READ_AGAIN_S, self.touch)
            return None
        self._day_of, self._day = key, Day(counts, times, own, promised, now_ms)
        return self._day

    async def _shift(self, agent: Agent) -> dict[str, object]:
        """The foot of the desk; not while a customer is about to be heard."""
        if agent.state in (AgentState.RESERVED, AgentState.TALKING):
            return {}
        day = await self._read_day(agent)
        if day is None:
            return {}
        words = self._viewer.words
        shift = shift_of(day.counts, day.times, agent, self._crm.settings, words, day.at_ms)
        return {"shift": self._crm.pages.render(words.language, "desk/shift.html", shift=shift)}

    def _bar(self, agent: Agent, attempt: Attempt | None, campaign: Campaign | None) -> dict[str, object]:
        look, word, icon = agent_state(self._viewer.words, agent.state, attempt)
        limit = self._crm.settings.pause_reasons.get(agent.pause_reason)
        on_line = attempt or agent.previewed
        if on_line is not None and campaign is None:
            campaign = self._crm.engine.campaign(on_line.campaign)
        profile = self._crm.engine.policy().agents.get(self._agent_id)
        rings = agent.leg is not None and agent.state in {AgentState.CONNECTING, AgentState.RESERVED}
        if agent.state is AgentState.RESERVED and (profile is None or profile.leg_kind is LegKind.NAILED_UP):
            rings = False  # the phone is up already, and the customer comes by themselves
        asking = self._crm.live.board.agents.get(agent.helps) if agent.helps is not None else None
        if asking is not None and asking.consult is not None and asking.consult.phase is ConsultPhase.CALLING:
            rings = agent.leg is not None
        context = {
            "agent": agent,
            "consult": agent.consult,
            "colleague": self._whom(agent),
            "rings": "" if not rings or profile is None else "notify" if profile.answers_notify else "hand",
            "attempt": attempt,
            "campaign": campaign,
            "look": look,
            "word": word,
            "icon_name": icon,
            "name": self._name(),
            "previewed": agent.previewed,
            "number": self._viewer.reads(on_line.number) if on_line else "",
            "pause": pause_words(self._viewer.words, self._crm.settings, agent.pause_reason),
            "pause_limit_ms": limit.limit_ms if limit and agent.state is AgentState.PAUSED else 0,
            "wish_reason": pause_words(self._viewer.words, self._crm.settings, agent.wish_reason),
            "wrap_until_ms": wrap_until_ms(agent, campaign),
            "zone": self._viewer.zone,
            "tasks": self._crm.engine.policy().tasks,
        }
        held = attempt is not None and attempt.state is CustomerState.HELD
        language = self._viewer.words.language
        return {
            "bar_state": self._crm.pages.render(language, "desk/bar_state.html", **context),
            "bar_who": self._crm.pages.render(language, "desk/bar_who.html", **context),
            "bar_buttons": self._crm.pages.render(language, "desk/bar_buttons.html", **context),
            "state": look,
            "word": word,
            "disposed": agent.disposed,
            "held": held,
        }


def wrap_until_ms(agent: Agent, campaign: Campaign | None) -> int:
    """When wrap-up ends by itself; 0 when it does not."""
    timed = (WrapUpMode.TIMED, WrapUpMode.TIMED_NO_EXIT)
    if agent.state is not AgentState.WRAP_UP or campaign is None or campaign.wrap_up_mode not in timed:
        return 0
    return agent.since_ms + campaign.wrap_up_ms


def pause_words(words: Words, settings: Settings, reason: str) -> str:
    """A pause reason as people read it."""
    if reason in SYSTEM_PAUSES:
        return words.gettext(SYSTEM_PAUSES[reason])
    known = settings.pause_reasons.get(reason)
    return words.label(known.labels) if known else reason


@dataclass(frozen=True, slots=True)
class CardField:
    """A value of a card. `name` is the lead's field, as config.yaml or its file calls it."""

    name: str
    title: str
    value: str


def card_fields(card: LeadCard, settings: Settings, words: Words) -> Sequence[CardField]:
    """The card's fields: those of config.yaml in its order, also when empty, then the file's others."""
    named = [
        CardField(name, words.label(labels), card.fields.get(name, "")) for name, labels in settings.card_fields.items()
    ]
    others = [
        CardField(name, name, value)
        for name, value in card.fields.items()
        if name not in settings.card_fields and value
    ]
    return [*named, *others]


def why_this_client(
    words: Words,
    attempt: Attempt | OwnCall | None,
    conversation: Conversation,
    campaign: Campaign | None,
    zone: ZoneInfo,
    now_ms: int,
) -> list[str]:
    """The reasons why this lead came now, most telling first."""
    past = [one for one in conversation.history if attempt is None or one.id != attempt.id]
    if isinstance(attempt, Attempt) and attempt.queue is not None:
        return [words.gettext("Called us")]
    promised = past[0].callback_at_ms if past else None
    if isinstance(attempt, Attempt | None) and conversation.card is not None:  # it may have been moved on the card
        promised = conversation.card.promised_at_ms or promised
    why = [conversation.handed] if conversation.handed else []
    if promised is not None and promised <= (attempt.planned_at_ms if attempt else now_ms):
        why.append(words.gettext("Callback promised for %(time)s") % {"time": words.when(promised, now_ms, zone)})
    elif not past:
        why.append(words.gettext("New lead, first call"))
    elif past[0].rule:
        why.append(rule_words(words, past[0].rule, campaign))
    tries = conversation.card.attempts_count + (attempt is None) if conversation.card else len(past) + 1
    if campaign is not None:
        why.append(words.gettext("Attempt %(number)s of %(max)s") % {"number": tries, "max": campaign.attempts.max})
    return why


# ── callback times ───────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class CallbackPreset:
    """A callback time in one key. `value` is what the browser sends back; `local` fills the free field."""

    value: str
    title: str
    theirs: str  # the same moment on the client's clock, when it differs


def callback_presets(viewer: Viewer, lead_zone: str | None, now_ms: int) -> list[CallbackPreset]:
    """+30 minutes, today 18:00 while that is ahead, tomorrow 10:00, the day after 10:00."""
    words = viewer.words
    now = dt.datetime.fromtimestamp(now_ms / 1000, viewer.zone)
    evening = now.replace(hour=18, minute=0, second=0, microsecond=0)
    morning = (now + dt.timedelta(days=1)).replace(hour=10, minute=0, second=0, microsecond=0)
    presets = [
        CallbackPreset("+30m", words.gettext("in 30 minutes"), ""),
        CallbackPreset("+120m", words.gettext("in 2 hours"), ""),
    ]
    moments = [morning, morning + dt.timedelta(days=1)]
    if evening - now > dt.timedelta(minutes=30):
        moments.insert(0, evening)
    for moment in moments:
        at_ms = int(moment.timestamp() * 1000)
        theirs = words.clock(at_ms, ZoneInfo(lead_zone)) if lead_zone else ""
        title = words.when(at_ms, now_ms, viewer.zone)
        presets.append(CallbackPreset(f"{moment:%Y-%m-%dT%H:%M}", title, theirs if theirs not in title else ""))
    return presets


class BadCallback(Exception):
    """Not a time in the future."""


def callback_at_ms(text: str, zone: ZoneInfo, now_ms: int) -> int:
    """The moment that the desk asked for: `+30m`, or a local time as a datetime field gives it. Raises BadCallback."""
    if relative := _RELATIVE.fullmatch(text):
        at_ms = now_ms + int(relative[1]) * 60_000
    else:
        try:
            local = dt.datetime.fromisoformat(text)
        except ValueError as error:
            raise BadCallback from error
        if local.tzinfo is not None:
            raise BadCallback
        at_ms = int(local.replace(tzinfo=zone).timestamp() * 1000)
    if not now_ms < at_ms <= now_ms + CALLBACK_AHEAD_MAX_MS:
        raise BadCallback
    return at_ms


def as_local(at_ms: int, zone: ZoneInfo) -> str:
    """A moment as a datetime field takes it."""
    return f"{dt.datetime.fromtimestamp(at_ms / 1000, zone):%Y-%m-%dT%H:%M}"


async def room_for(crm: Crm, attempt: AttemptId, at_ms: int, owner: AgentId | None) -> str:
    """Why no call can be promised to this conversation's customer for then; "" when it can."""
    known = crm.live.board.attempts.get(attempt)
    campaign = crm.engine.campaign(known.campaign) if known else None
    if known is None or known.lead is None or campaign is None:
        return ""  # the engine says itself what is wrong
    card = await crm.records.lead_card(known.lead)
    zones, keeper = (zones_of_card(card), card.keeper) if card else ((), None)
    booking = await book(crm.database, campaign, at_ms, zones=zones, owner=owner, keeper=keeper, attempt=attempt)
    return "" if booking.at_ms == at_ms else str(booking.taken)


def zones_of_card(card: LeadCard) -> tuple[str, ...]:
    """Where the client may be: their own zone, else all that their numbers leave."""
    return (card.zone,) if card.zone else tuple({zone for phone in card.phones for zone in zones_of(phone.number)})


def heard_words(viewer: Viewer, booking: Booking, zone: str | None, now_ms: int) -> str:
    """What was understood, on the operator's clock and on the client's, and why it is not what was asked for."""
    words = viewer.words
    if booking.at_ms is None:
        return refusal(words, booking.rule or booking.taken or Taken.NEVER)
    said = words.when(booking.at_ms, now_ms, viewer.zone)
    if zone:
        said = f"{said} · {words.gettext('their time')} {words.when(booking.at_ms, now_ms, ZoneInfo(zone))}"
    if booking.taken is None:
        return said
    why = words.gettext(REFUSALS[booking.taken])
    if booking.rule:
        why = f"{why} {check_words(words, booking.rule)}."
    return f"{why} {words.gettext('Next free:')} {said}"


def day_start_ms(now_ms: int, zone: ZoneInfo) -> int:
    """Midnight."""
    now = dt.datetime.fromtimestamp(now_ms / 1000, zone)
    return int(now.replace(hour=0, minute=0, second=0, microsecond=0).timestamp() * 1000)


def day_end_ms(now_ms: int, zone: ZoneInfo) -> int:
    """The next midnight."""
    return day_start_ms(day_start_ms(now_ms, zone) + 36 * 3_600_000, zone)  # a day has 23 to 25 hours


# ── commands ─────────────────────────────────────────────────────────────────────────────────────────────────────


#: Buttons of one conversation: pressed too late, they must not touch the next one.
OF_THIS_CALL: Final = frozenset(
    {Verb.HANGUP, Verb.HOLD, Verb.MUTE, Verb.DIGITS, Verb.RECORD, Verb.TRANSFER, Verb.CONSULT}
)


class NotACommand(Exception):
    """The arguments are none that our page sends."""


def _text(args: Mapping[str, Any], key: str, chars_max: int = 200) -> str:
    value = args.get(key, "")
    if not isinstance(value, str) or len(value) > chars_max:
        raise NotACommand(key)
    return value


def _lead(args: Mapping[str, Any]) -> LeadId:
    lead = args.get("lead")
    if not isinstance(lead, int) or isinstance(lead, bool):
        raise NotACommand("lead")
    return LeadId(lead)


def desk_event(  # noqa: C901, PLR0912 - one row per button
    said: Do, *, login: str, agent: AgentId, settings: Settings, now_ms: int
) -> DeskEvent:
    """The engine's event for a desk's command. Raises NotACommand, BadCallback."""
    command, args = CommandId(f"{login}:{said.id}"), said.args
    match said.verb:
        case Verb.LOGIN:
            return AgentLogin(command=command, by=login, agent=agent)
        case Verb.READY:
            return AgentReady(command=command, by=login, agent=agent)
        case Verb.PAUSE:
            reason = _text(args, "reason", 32)
            if reason not in settings.pause_reasons:
                raise NotACommand("reason")
            return AgentPause(command=command, by=login, agent=agent, reason=reason)
        case Verb.LOGOUT:
            return AgentLogout(command=command, by=login, agent=agent)
        case Verb.DIAL:
            return AgentDial(command=command, by=login, agent=agent, lead=_lead(args))
        case Verb.SKIP:
            try:
                reason = SkipReason(_text(args, "reason", 32))
            except ValueError as error:
                raise NotACommand("reason") from error
            return AgentSkip(command=command, by=login, agent=agent, lead=_lead(args), reason=reason)
        case Verb.HANGUP:
            return AgentHangup(command=command, by=login, agent=agent)
        case Verb.HOLD:
            return AgentHold(command=command, by=login, agent=agent, on=args.get("on") is True)
        case Verb.MUTE:
            return AgentMute(command=command, by=login, agent=agent, on=args.get("on") is True)
        case Verb.DIGITS:
            return AgentDigits(command=command, by=login, agent=agent, digits=_text(args, "digits", 32))
        case Verb.RECORD:
            try:
                act = RecordAct(_text(args, "act", 16))
            except ValueError as error:
                raise NotACommand("act") from error
            return AgentRecord(command=command, by=login, agent=agent, act=act)
        case Verb.ANSWER:
            return AgentAnswer(command=command, by=login, agent=agent)
        case Verb.TRANSFER:
            to, team, queue = _text(args, "to", 64), _text(args, "team", 64), _text(args, "queue", 64)
            return AgentTransfer(
                command=command,
                by=login,
                agent=agent,
                to=AgentId(to) if to else None,
                team=CampaignId(team) if team else None,
                queue=QueueId(queue) if queue else None,
            )
        case Verb.CONSULT:
            try:
                step = ConsultAct(_text(args, "act", 16))
            except ValueError as error:
                raise NotACommand("act") from error
            asked = AgentId(_text(args, "to", 64)) or None
            return AgentConsult(command=command, by=login, agent=agent, act=step, to=asked)
        case Verb.DISPOSE:
            wanted = _text(args, "callback", 32)
            return Dispose(
                command=command,
                by=login,
                agent=agent,
                attempt=AttemptId(_text(args, "attempt")),
                disposition=DispositionId(_text(args, "disposition")),
                note=_text(args, "note", NOTE_CHARS_MAX),
                callback_at_ms=callback_at_ms(wanted, settings.zone, now_ms) if wanted else None,
                callback_mine=args.get("mine") is True,
            )
        case _:
            raise NotACommand(said.verb)


async def _by_the_pages(crm: Crm, login: str, agent: AgentId, said: Do) -> str | None:
    """What the engine is not asked for first; None: this is for the engine. Raises as its parts do."""
    match said.verb:
        case Verb.DRAFT:
            if "order" in said.args:
                return await _save_order_draft(crm, login, agent, said.args)
            return await _save_draft(crm, agent, said.args, crm.clock.now_ms())
        case Verb.NEXT:
            return await _next(crm, login, agent, said)
        case Verb.ATTACH:
            return await caller.attach(crm, login, agent, said.id, said.args)
        case Verb.CALLER:
            return await caller.create(crm, login, agent, said.id, said.args)
        case _:
            return None


async def carry_out(crm: Crm, login: str, agent: AgentId, said: Do) -> str:
    """Do what an operator's browser asks. Returns "" when it is done and on disk, else why not."""
    now_ms = crm.clock.now_ms()
    try:
        done = await _by_the_pages(crm, login, agent, said)
        if done is not None:
            return done
        current = crm.live.board.agents.get(agent)
        if said.verb in OF_THIS_CALL and (current is None or (said.args.get("attempt") or None) != current.attempt):
            return Refusal.NO_CALL  # The button was meant for the call before this one.
        if said.verb in (Verb.TRANSFER, Verb.CONSULT) and said.args.get("number"):
            return await _to_number(crm, login, agent, said)
        event = desk_event(said, login=login, agent=agent, settings=crm.settings, now_ms=now_ms)
    except caller.NoCaller as refused:
        return str(refused)
    except (StoreError, TimeoutError):
        return "not_saved"
    except BadCallback:
        return Refusal.CALLBACK_IN_PAST
    except NotACommand:
        return "bad_command"
    if isinstance(event, Dispose) and event.callback_at_ms is not None:
        try:
            taken = await room_for(crm, event.attempt, event.callback_at_ms, agent if event.callback_mine else None)
        except StoreError:
            return "not_saved"
        if taken:
            return taken
    try:
        return await crm.engine.do(event)
    except TimeoutError:
        return "not_saved"


async def _next(crm: Crm, login: str, agent: AgentId, said: Do) -> str:
    """What comes next; who gets nothing yet need not ask again: their desk does. A refusal is told either way."""
    handing = await hand_next(crm, login, agent, said)
    desk = crm.live.find(desk_key(agent))
    if isinstance(desk, Desk):
        desk.await_next(login, handing)
    return "" if handing.waits and not handing.refused else handing.reason


async def _to_number(crm: Crm, login: str, agent: AgentId, said: Do) -> str:
    """To a number outside, as it was typed, at once or asked first: by the rules for all numbers that we dial."""
    number = parse_phone(_text(said.args, "number", 40), meaning_of(crm.loaded.config).numbering)
    if not isinstance(number, PhoneNumber):
        return "caller_number"
    command = CommandId(f"{login}:{said.id}")
    if said.verb is Verb.TRANSFER:
        return await crm.engine.do(AgentTransferOut(command=command, by=login, agent=agent, number=number))
    ask = AgentConsult(command=command, by=login, agent=agent, act=ConsultAct.START, number=number)
    return await crm.engine.do(ask)


async def _save_draft(crm: Crm, agent: AgentId, args: Mapping[str, Any], now_ms: int) -> str:
    attempt, text, lead = AttemptId(_text(args, "attempt")), _text(args, "text", NOTE_CHARS_MAX), _lead(args)
    try:
        await crm.records.save_draft(agent, lead or None, attempt, text, now_ms)
    except StoreError:
        return "not_saved"
    desk = crm.live.find(desk_key(agent))
    if isinstance(desk, Desk):
        desk.noted(attempt, text, now_ms)
    return ""


async def _save_order_draft(crm: Crm, login: str, agent: AgentId, args: Mapping[str, Any]) -> str:
    lead, text = args["order"], _text(args, "text", NOTE_CHARS_MAX)
    if not isinstance(lead, int) or isinstance(lead, bool):
        raise NotACommand("order")
    await ClientOrders(crm.database).save_draft(login, LeadId(lead), text, crm.clock.now_ms())
    desk = crm.live.find(desk_key(agent))
    if isinstance(desk, Desk):
        desk.ordering()
    return ""
