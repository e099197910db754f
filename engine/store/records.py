"""The CRM's side of the database: users, cards, lists, counts, drafts and the audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from engine.core.attempts import DIALABLE
from engine.core.model import (
    AgentId,
    AgentState,
    AttemptId,
    CallbackPolicy,
    CallbackState,
    CampaignId,
    DispositionId,
    LeadId,
    LeadState,
    Outcome,
    Phone,
    PhoneNumber,
)
from engine.store import queries
from engine.store.database import Database, Row, one, rows_of
from engine.store.folding import fold
from engine.store.queries import Query
from engine.store.rows import (
    AgentTime,
    AuditRow,
    Callback,
    CallbackChange,
    CallIn,
    CampaignCounts,
    Draft,
    LeadCard,
    OwnCall,
    PastAttempt,
    PastDisposition,
    Role,
    StoredSession,
    User,
)
from engine.store.search import SQL as FIND
from engine.store.search import index_leads, query_of
from engine.store.store import CALLERS_MAX, phones_of
from engine.store.store import SQL as DIALING

#: Rows of one page of a list; a wish for more is cut.
ROWS_PER_PAGE_MAX: Final = 200
#: Tags that a filter offers.
TAGS_SHOWN_MAX: Final = 500
LISTS_SHOWN_MAX: Final = 500
#: Attempts of one lead that its history shows; more would be a bug of the attempt limits.
HISTORY_MAX: Final = 500
#: Changes of promised calls that a card shows.
CALLBACK_CHANGES_MAX: Final = 20
#: Characters of a note that is being typed.
DRAFT_MAX: Final = 20_000

USUAL_CALLBACKS: Final = CallbackPolicy()


class _Sql:
    user_by_login: Query
    users: Query
    put_user: Query
    set_user_looks: Query
    set_preferences: Query
    add_session: Query
    session: Query
    touch_session: Query
    end_session: Query
    end_sessions: Query
    end_old_sessions: Query
    audit_page: Query
    lead_card: Query
    lead_history: Query
    call_in: Query
    recordings_of_lead: Query
    insert_caller: Query
    insert_caller_phone: Query
    caller_lead: Query
    disposition_history: Query
    list_leads: Query
    list_leads_of_keeper: Query
    list_tagged_leads: Query
    list_leads_of_list: Query
    lists: Query
    tags: Query
    callbacks_due: Query
    callback_changes: Query
    promised: Query
    promises: Query
    overdue: Query
    count_leads: Query
    count_outcomes: Query
    count_dispositions: Query
    count_due: Query
    agent_day: Query
    own_call: Query
    own_calls: Query
    agent_times: Query
    draft: Query
    drafts_of_others: Query
    save_draft: Query
    drop_draft: Query


SQL: Final = queries.load(_Sql, "records.sql")


class Records:
    """The store, as the CRM sees it. A method that writes is on disk when it returns."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # ── users and sessions ───────────────────────────────────────────────────────────────────────────────────────

    async def user_by_login(self, login: str) -> User | None:
        """The user of that log-in name."""
        row = await one(self._database, SQL.user_by_login(login=login))
        return None if row is None else _user(row)

    async def users(self) -> tuple[User, ...]:
        """Everybody, by log-in name."""
        return tuple(_user(row) for row in await rows_of(self._database, SQL.users()))

    async def put_user(self, user: User, now_ms: int) -> None:
        """A new user, or an existing one changed."""
        await self._database.write(
            SQL.put_user(
                login=user.login,
                name=user.name,
                role=user.role.value,
                agent=user.agent,
                language=user.language,
                theme=user.theme,
                password_hash=user.password_hash,
                disabled=int(user.disabled),
                now_ms=now_ms,
            )
        )

    async def set_user_looks(self, login: str, *, language: str, theme: str) -> None:
        """What the user chose in the profile."""
        await self._database.write(SQL.set_user_looks(login=login, language=language, theme=theme))

    async def set_preferences(self, login: str, preferences: Mapping[str, Any]) -> None:
        """What the user chose about the pages, whole."""
        await self._database.write(
            SQL.set_preferences(login=login, preferences=orjson.dumps(dict(preferences)).decode())
        )

    async def add_session(self, token_hash: str, login: str, now_ms: int) -> None:
        """Open a session."""
        await self._database.write(SQL.add_session(token_hash=token_hash, login=login, now_ms=now_ms))

    async def session(self, token_hash: str) -> StoredSession | None:
        """The open session, with its user as they are now."""
        row = await one(self._database, SQL.session(token_hash=token_hash))
        if row is None:
            return None
        return StoredSession(
            token_hash=row["token_hash"],
            user=_user(row),
            created_at_ms=row["created_at_ms"],
            seen_at_ms=row["seen_at_ms"],
        )

    async def touch_session(self, token_hash: str, now_ms: int) -> None:
        """The session was used."""
        await self._database.write(SQL.touch_session(token_hash=token_hash, now_ms=now_ms))

    async def end_session(self, token_hash: str) -> None:
        """Close it; unknown is fine."""
        await self._database.write(SQL.end_session(token_hash=token_hash))

    async def end_sessions(self, login: str) -> None:
        """Sign out everywhere."""
        await self._database.write(SQL.end_sessions(login=login))

    async def end_old_sessions(self, *, seen_before_ms: int, created_before_ms: int) -> None:
        """Close what is idle or too old."""
        await self._database.write(
            SQL.end_old_sessions(seen_before_ms=seen_before_ms, created_before_ms=created_before_ms)
        )

    # ── audit ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def add_audit(self, *, at_ms: int, by: str, action: str, subject: str, detail: str = "") -> None:
        """Who did what; the same in the same millisecond is once."""
        await self._database.write(
            DIALING.append_audit(at_ms=at_ms, actor=by, action=action, subject=subject, detail=detail)
        )

    async def audit_page(
        self,
        *,
        before: int | None = None,
        limit: int = ROWS_PER_PAGE_MAX,
        by: str = "",
        actions: Sequence[str] | None = None,
        since_ms: int | None = None,
        until_ms: int | None = None,
    ) -> tuple[AuditRow, ...]:
        """The newest rows, or those before a number: of everybody or `by` one, of all or some actions and times."""
        bound = SQL.audit_page(
            before=2**62 if before is None else before,
            limit=min(limit, ROWS_PER_PAGE_MAX),
            actor=by,
            any_action=int(actions is None),
            actions=orjson.dumps(list(actions or ())).decode(),
            since_ms=0 if since_ms is None else since_ms,
            until_ms=2**62 if until_ms is None else until_ms,
        )
        return tuple(
            AuditRow(
                seq=row["seq"],
                at_ms=row["at_ms"],
                by=row["actor"],
                action=row["action"],
                subject=row["subject"],
                detail=row["detail"],
            )
            for row in await rows_of(self._database, bound)
        )

    # ── leads ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def lead_card(self, lead: LeadId) -> LeadCard | None:
        """The lead, or None."""
        row = await one(self._database, SQL.lead_card(lead=lead))
        return None if row is None else _card(row)

    async def callers(self, number: PhoneNumber, campaign: CampaignId) -> tuple[LeadCard, ...]:
        """The clients with this number: the campaign's own, or if it has none, anybody's; the best first."""
        bound = DIALING.callers(number=number.e164, campaign=campaign, limit=CALLERS_MAX)
        found = await rows_of(self._database, bound)
        own = [row["id"] for row in found if row["campaign_id"] == campaign]
        cards = [await self.lead_card(LeadId(id_)) for id_ in own or [row["id"] for row in found]]
        return tuple(card for card in cards if card is not None)

    async def call_in(self, attempt: AttemptId) -> CallIn | None:
        """The call that came in, or None."""
        row = await one(self._database, SQL.call_in(attempt=attempt))
        if row is None:
            return None
        return CallIn(
            number=row["number"],
            campaign=CampaignId(row["campaign_id"]),
            lead=None if row["lead_id"] is None else LeadId(row["lead_id"]),
            agent=_agent(row["agent_id"]),
        )

    async def create_caller(
        self,
        *,
        campaign: CampaignId,
        attempt: AttemptId,
        number: PhoneNumber,
        name: str,
        zone: str | None,
        fields: Mapping[str, str],
        now_ms: int,
    ) -> LeadId:
        """A client of somebody who called; of the same call again, the same. Not dialed unless a result says so."""
        key = f"call:{attempt}"
        *_, (row,) = await self._database.write(
            SQL.insert_caller(
                campaign=campaign,
                key=key,
                number=number.e164,
                name=name,
                name_folded=fold(name),
                zone=zone,
                fields=orjson.dumps(dict(fields)).decode(),
                now_ms=now_ms,
            ),
            SQL.insert_caller_phone(key=key, number=number.e164),
            SQL.caller_lead(key=key, number=number.e164),
        )
        return LeadId(row["id"])

    async def lead_history(self, lead: LeadId) -> tuple[PastAttempt, ...]:
        """Its attempts, newest first."""
        return tuple(
            _past_attempt(row) for row in await rows_of(self._database, SQL.lead_history(lead=lead, limit=HISTORY_MAX))
        )

    async def recordings(self, lead: LeadId) -> Mapping[str, AttemptId]:
        """Its recordings that have ended, by the name of the file without ending, oldest first."""
        rows = await rows_of(self._database, SQL.recordings_of_lead(lead=lead, limit=HISTORY_MAX))
        return {row["name"]: AttemptId(row["attempt_id"]) for row in rows}

    async def conversation(
        self, lead: LeadId, agent: AgentId, attempt: AttemptId | None
    ) -> tuple[LeadCard | None, tuple[PastAttempt, ...], Draft | None]:
        """Card, history and the note being typed, in one go: a customer is on the line."""
        cards, history, drafts = await self._database.read(
            SQL.lead_card(lead=lead),
            SQL.lead_history(lead=lead, limit=HISTORY_MAX),
            SQL.draft(agent=agent, lead=lead, attempt=attempt or ""),
        )
        return (
            _card(cards[0]) if cards else None,
            tuple(_past_attempt(row) for row in history),
            Draft(text=drafts[0]["text"], at_ms=drafts[0]["at_ms"]) if drafts else None,
        )

    async def disposition_history(self, attempt: AttemptId) -> tuple[PastDisposition, ...]:
        """Every disposition of a conversation, first to last correction."""
        return tuple(
            PastDisposition(
                attempt=AttemptId(row["attempt_id"]),
                at_ms=row["at_ms"],
                agent=AgentId(row["agent_id"]),
                disposition=DispositionId(row["disposition_id"]),
                note=row["note"],
                rule=row["rule"],
            )
            for row in await rows_of(self._database, SQL.disposition_history(attempt=attempt))
        )

    async def find_leads(
        self,
        text: str,
        *,
        campaigns: Sequence[CampaignId] | None,
        state: LeadState | None,
        after: int,
        limit: int,
        tag: str = "",
        keeper: AgentId | None = None,
        list_name: str = "",
    ) -> tuple[LeadCard, ...]:
        """Leads by the beginnings of words (name, id, tags, fields) or any part of a number, by id from `after` on.

        `text` "" and `campaigns` None are all. `rule` is empty in a list: only the card knows it.
        """
        scope = None if campaigns is None else orjson.dumps(list(campaigns)).decode()
        wanted = None if state is None else state.value
        limit = min(limit, ROWS_PER_PAGE_MAX)
        filters: dict[str, Any] = {"campaigns": scope, "state": wanted, "after": after, "limit": limit}
        if not text.strip():
            if tag:
                bound = SQL.list_tagged_leads(**filters, tag=tag, keeper=keeper, list=list_name or None)
            elif keeper is not None:
                bound = SQL.list_leads_of_keeper(**filters, keeper=keeper, list=list_name or None)
            elif list_name:
                bound = SQL.list_leads_of_list(**filters, list=list_name)
            else:
                bound = SQL.list_leads(**filters)
        elif asked := query_of(text):
            await index_leads(self._database)  # somebody looks for whom they have just added
            query, part = asked
            filters |= {"tag": tag or None, "keeper": keeper, "list": list_name or None}
            bound = FIND.leads_by_words(**filters, query=query, part=part)
        else:
            return ()
        return tuple(_card(row) for row in await rows_of(self._database, bound))

    async def tags(self) -> tuple[str, ...]:
        """The tags that leads have, by the alphabet, at most TAGS_SHOWN_MAX."""
        return tuple(row["tag"] for row in await rows_of(self._database, SQL.tags(limit=TAGS_SHOWN_MAX)))

    async def lists(self) -> tuple[str, ...]:
        """The lists that leads came with, by the alphabet, at most LISTS_SHOWN_MAX."""
        return tuple(row["list"] for row in await rows_of(self._database, SQL.lists(limit=LISTS_SHOWN_MAX)))

    async def search_leads(
        self, text: str, limit: int = 10, *, campaigns: Sequence[CampaignId] | None = None
    ) -> tuple[LeadCard, ...]:
        """The first leads that a text finds, in all states; an empty text finds nobody."""
        if not text.strip():
            return ()
        return await self.find_leads(text, campaigns=campaigns, state=None, after=0, limit=limit)

    async def callbacks_due(
        self, until_ms: int, *, owner: AgentId | None = None, limit: int = ROWS_PER_PAGE_MAX
    ) -> tuple[Callback, ...]:
        """Open callbacks due by then, earliest first; of one agent, or of all."""
        bound = SQL.callbacks_due(until_ms=until_ms, owner=owner, limit=min(limit, ROWS_PER_PAGE_MAX))
        return tuple(
            Callback(
                id=row["id"],
                lead=LeadId(row["lead_id"]),
                campaign=CampaignId(row["campaign_id"]),
                name=row["name"],
                due_at_ms=row["due_at_ms"],
                owner=_agent(row["owner"]),
                state=CallbackState(row["state"]),
            )
            for row in await rows_of(self._database, bound)
        )

    async def callback_changes(self, lead: LeadId) -> tuple[CallbackChange, ...]:
        """Calls promised on this card and taken back there, the newest first."""
        bound = SQL.callback_changes(lead=lead, limit=CALLBACK_CHANGES_MAX)
        return tuple(
            CallbackChange(
                id=row["id"],
                at_ms=row["at_ms"],
                login=row["login"],
                was_state=LeadState(row["was_state"]),
                was_next_at_ms=row["was_next_at_ms"],
                was_owner=_agent(row["was_owner"]),
                due_at_ms=row["due_at_ms"],
                owner=_agent(row["owner"]),
                called=bool(row["called"]),
            )
            for row in await rows_of(self._database, bound)
        )

    # ── counts ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def campaign_counts(
        self, campaign: CampaignId, since_ms: int, now_ms: int, callbacks: CallbackPolicy = USUAL_CALLBACKS
    ) -> CampaignCounts:
        """How far the campaign is; outcomes, dispositions and promised calls since `since_ms`."""
        span = {"since_ms": since_ms, "now_ms": now_ms, "tolerance_ms": callbacks.tolerance_ms}
        leads, outcomes, dispositions, due, (promises,), (overdue,) = await self._database.read(
            SQL.count_leads(campaign=campaign),
            SQL.count_outcomes(campaign=campaign, since_ms=since_ms),
            SQL.count_dispositions(campaign=campaign, since_ms=since_ms),
            SQL.count_due(campaign=campaign, now_ms=now_ms),
            SQL.promises(campaign=campaign, **span),
            SQL.overdue(campaign=campaign, now_ms=now_ms, alarm_ms=callbacks.alarm_ms),
        )
        return CampaignCounts(
            leads={LeadState(row["state"]): row["n"] for row in leads},
            outcomes={Outcome(row["outcome"]): row["n"] for row in outcomes},
            dispositions={DispositionId(row["disposition_id"]): row["n"] for row in dispositions},
            due=due[0]["due"] + due[0]["due_callbacks"],
            due_callbacks=due[0]["due_callbacks"],
            promises_kept=promises["kept"],
            promises_broken=promises["broken"],
            promises_overdue=overdue["overdue"],
        )

    async def agent_day(self, agent: AgentId, since_ms: int) -> Mapping[str, int]:
        """`calls`, `contacts`, `undisposed` and `talk_ms` of the agent since then."""
        row = await one(self._database, SQL.agent_day(agent=agent, since_ms=since_ms))
        return {} if row is None else dict(row)

    async def own_call(self, agent: AgentId, attempt: AttemptId) -> OwnCall | None:
        """That conversation, if it is this agent's."""
        row = await one(self._database, SQL.own_call(agent=agent, attempt=attempt))
        return None if row is None else _own_call(row)

    async def own_day(
        self, agent: AgentId, since_ms: int, until_ms: int, limit: int
    ) -> tuple[Mapping[str, int], tuple[AgentTime, ...], tuple[OwnCall, ...]]:
        """The agent's day in one go: its counts (`agent_day`), its times, and its conversations that are over.

        Of the conversations, those without a result come first, then the last ones.
        """
        day, times, own = await self._database.read(
            SQL.agent_day(agent=agent, since_ms=since_ms),
            SQL.agent_times(since_ms=since_ms, until_ms=until_ms, agent=agent),
            SQL.own_calls(agent=agent, since_ms=since_ms, limit=min(limit, ROWS_PER_PAGE_MAX)),
        )
        return dict(day[0]), tuple(_agent_time(row) for row in times), tuple(_own_call(row) for row in own)

    async def agent_times(self, since_ms: int, until_ms: int, *, agent: AgentId | None = None) -> tuple[AgentTime, ...]:
        """How long each agent (or one) was in each state between the two times."""
        bound = SQL.agent_times(since_ms=since_ms, until_ms=until_ms, agent=agent)
        return tuple(_agent_time(row) for row in await rows_of(self._database, bound))

    # ── drafts ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def draft(self, agent: AgentId, lead: LeadId | None, attempt: AttemptId) -> Draft | None:
        """The note being typed on that conversation."""
        row = await one(self._database, SQL.draft(agent=agent, lead=lead, attempt=attempt))
        return None if row is None else Draft(text=row["text"], at_ms=row["at_ms"])

    async def drafts_of_others(self, agent: AgentId, attempt: AttemptId) -> tuple[tuple[AgentId, str], ...]:
        """What those typed who had this conversation before `agent`, oldest first."""
        rows = await rows_of(self._database, SQL.drafts_of_others(agent=agent, attempt=attempt))
        return tuple((AgentId(row["agent_id"]), row["text"]) for row in rows)

    async def save_draft(self, agent: AgentId, lead: LeadId | None, attempt: AttemptId, text: str, now_ms: int) -> None:
        """Keep it; an empty text forgets it, an older one than that on disk is dropped. ValueError over DRAFT_MAX."""
        if len(text) > DRAFT_MAX:
            raise ValueError(f"a note has at most {DRAFT_MAX} characters")
        if text:
            bound = SQL.save_draft(agent=agent, attempt=attempt, lead=lead, text=text, at_ms=now_ms)
        else:
            bound = SQL.drop_draft(agent=agent, attempt=attempt, at_ms=now_ms)
        await self._database.write(bound)


def _agent(agent: str | None) -> AgentId | None:
    return None if agent is None else AgentId(agent)


def _user(row: Row) -> User:
    return User(
        login=row["login"],
        name=row["name"],
        role=Role(row["role"]),
        agent=_agent(row["agent_id"]),
        language=row["language"],
        theme=row["theme"],
        password_hash=row["password_hash"],
        disabled=bool(row["disabled"]),
        preferences=orjson.loads(row["preferences"]),
    )


def _agent_time(row: Row) -> AgentTime:
    return AgentTime(
        agent=AgentId(row["agent_id"]),
        state=AgentState(row["state"]),
        pause_reason=row["pause_reason"],
        time_ms=row["time_ms"],
    )


def _own_call(row: Row) -> OwnCall:
    return OwnCall(
        id=AttemptId(row["id"]),
        lead=LeadId(row["lead_id"]),
        campaign=CampaignId(row["campaign_id"]),
        name=row["name"],
        phone_position=row["phone_position"],
        planned_at_ms=row["planned_at_ms"],
        bridged_at_ms=row["bridged_at_ms"],
        ended_at_ms=row["ended_at_ms"],
        disposition=DispositionId(row["disposition_id"]) if row["disposition_id"] else None,
        note=row["note"],
    )


def _card(row: Row) -> LeadCard:
    state = LeadState(row["state"])
    return LeadCard(
        id=LeadId(row["id"]),
        campaign=CampaignId(row["campaign_id"]),
        name=row["name"],
        phones=phones_of(row["phones"]),
        fields=orjson.loads(row["fields"]),
        state=state,
        zone=row["zone"],
        attempts_count=row["attempts_count"],
        next_at_ms=row["next_at_ms"] if state in DIALABLE else None,
        rule=row["rule"] or "",
        owner=_agent(row["owner"]),
        priority=row["priority"],
        tags=tuple(orjson.loads(row["tags"])),
        keeper=_agent(row["keeper"]),
        source=row["source"],
        list_name=row["list"],
        promised_at_ms=row["promised_at_ms"],
    )


def _past_attempt(row: Row) -> PastAttempt:
    disposition = row["disposition_id"]
    return PastAttempt(
        id=AttemptId(row["id"]),
        at_ms=row["planned_at_ms"],
        phone=Phone(position=row["phone_position"], number=PhoneNumber(row["number"]), valid=bool(row["usable"]))
        if row["number"]
        else None,
        outcome=None if row["outcome"] is None else Outcome(row["outcome"]),
        cause=row["cause"],
        tech_cause=row["tech_cause"],
        rule=row["disposition_rule"] or row["rule"],
        agent=_agent(row["talked_with"]),
        answered_at_ms=row["answered_at_ms"],
        bridged_at_ms=row["bridged_at_ms"],
        ended_at_ms=row["ended_at_ms"],
        disposition=None if disposition is None else DispositionId(disposition),
        note=row["note"],
        callback_at_ms=row["callback_at_ms"],
        called_us=row["queue_id"] is not None,
    )
