"""The engine's side of the database: effects in, one transaction a batch; due leads and the state at start out."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from engine.core import ordering
from engine.core.attempts import DIALABLE
from engine.core.budget import HISTORY_MS, MinuteCount
from engine.core.effects import (
    SaveAgent,
    SaveAnswer,
    SaveArrival,
    SaveAttached,
    SaveAttempt,
    SaveAudit,
    SaveCampaignRun,
    SaveDisposition,
    SaveDispositionAlone,
    SaveEnd,
    SaveHandOut,
    SaveLead,
    SaveMissed,
    SaveOptOut,
    SavePacing,
    SavePlan,
    SaveRecording,
    SaveTakenBack,
    Write,
)
from engine.core.events import LeadsFetched, Restored
from engine.core.law import HISTORY_MAX
from engine.core.model import (
    COUNTED,
    AgentId,
    AgentState,
    Attempt,
    AttemptId,
    BridgeId,
    Campaign,
    CampaignId,
    CustomerState,
    DispositionId,
    Lead,
    LeadChange,
    LeadId,
    LeadState,
    LegId,
    Outcome,
    Past,
    Phone,
    PhoneNumber,
    PhoneType,
    QueueId,
    Recording,
    TrunkId,
    Verdict,
)
from engine.core.opening import Opening
from engine.core.screening import SAMPLES_MAX
from engine.store import queries
from engine.store.database import Database, Row, Rows, rows_of
from engine.store.errors import StoreBug
from engine.store.queries import Params, Query, Statement

#: Leads that one fetch may return, and leads that it may be told to leave out.
LEADS_PER_FETCH_MAX: Final = 2_000
LEADS_LEFT_OUT_MAX: Final = 20_000
#: What `revisions` calls the do-not-call lists, and a campaign's leads.
DO_NOT_CALL: Final = "do_not_call"
LEADS_OF: Final = "leads:"
#: Leads that get their place in one transaction: some ten milliseconds of the writer's time.
LINE_UP_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class LineUp:
    """How a campaign's leads stand in line. `opens`: when the hours of zones (`Lead.zones`) first let a call pass from
    a moment on, or None for never; leads whose hours are closed are not looked at."""

    order: ordering.Order = ordering.USUAL
    opens: Callable[[Sequence[str], int], int | None] = lambda _, at_ms: at_ms

    @classmethod
    def of(cls, campaign: Campaign) -> LineUp:
        """As the campaign says; worth keeping, for it remembers when shut zones open."""
        return cls(order=campaign.order or ordering.USUAL, opens=Opening(campaign))


USUAL_LINE: Final = LineUp()
#: Leads that a caller may be, for an agent to pick from by one key; who shares a number with more is searched for.
CALLERS_MAX: Final = 9

#: How far before the last end of a recording others are ended once more at a start.
ENDED_LAST_MS: Final = 60_000


class _Sql:
    next_epoch: Query
    insert_attempt: Query
    insert_arrival: Query
    attach_lead: Query
    attach_lead_to_call: Query
    lead_called_in: Query
    insert_missed_lead: Query
    insert_missed_phone: Query
    attach_missed: Query
    call_back_missed: Query
    missed_moves_callback: Query
    insert_missed_callback: Query
    callers: Query
    claim_lead: Query
    callbacks_due_now: Query
    answer_attempt: Query
    take_attempt_back: Query
    save_call: Query
    end_call: Query
    lead_in_call: Query
    end_attempt: Query
    recount_lead: Query
    callbacks_kept: Query
    change_lead: Query
    phone_invalid: Query
    callbacks_moved: Query
    callbacks_off: Query
    suppress_numbers_of_lead: Query
    suppress_leads_of_lead: Query
    suppress_numbers_of_attempt: Query
    suppress_leads_of_attempt: Query
    callbacks_off_of_attempt: Query
    suppress_unreachable: Query
    cancel_callbacks_of_suppressed: Query
    insert_disposition: Query
    dispose_call: Query
    insert_callback: Query
    note_callback_change: Query
    plans_off: Query
    plan_callback: Query
    forget_draft: Query
    save_agent: Query
    log_agent: Query
    save_campaign_run: Query
    save_recording: Query
    open_recordings: Query
    recordings_ended_last: Query
    append_audit: Query
    append_audit_once: Query
    line_of: Query
    save_line: Query
    leave_line: Query
    forget_line: Query
    to_line_up: Query
    join_line: Query
    keep_zones: Query
    next_times: Query
    zones_in_line: Query
    first_in_line: Query
    first_promised: Query
    leads_by_id: Query
    fields_of_leads: Query
    attempts_on_person: Query
    open_attempts: Query
    undisposed_attempts: Query
    logged_in_agents: Query
    campaign_runs: Query
    learned_pacing: Query
    checked_verdicts: Query
    answers_by_minute: Query
    save_pacing: Query
    touch: Query
    revisions: Query
    blocked_phones: Query
    number_listed: Query
    insert_hand_out: Query
    held_by_rule: Query
    due_in_line: Query
    due_not_in_line: Query
    due_promised: Query
    held_leads: Query
    due_of_zones: Query
    recycle: Query
    closed_rules: Query


SQL: Final = queries.load(_Sql, "dialing.sql")


#: The zones that a number may be in.
ZonesOf = Callable[[PhoneNumber], tuple[str, ...]]


def _anywhere(_: PhoneNumber) -> tuple[str, ...]:
    """The zones of a number that tells none."""
    return ()


class Store:
    """What the driver needs of a database."""

    def __init__(self, database: Database, *, zones_of: ZonesOf = _anywhere) -> None:
        """`zones_of`: the zones that a number may be in, asked for leads without a zone of their own."""
        self._database = database
        self._zones_of = zones_of

    async def next_epoch(self, now_ms: int) -> int:
        """The number of this start of the engine: ids that begin with it were never used before."""
        ((row,),) = await self._database.write(SQL.next_epoch(at_ms=now_ms))
        return int(row["epoch"])

    async def commit(self, writes: Sequence[Write]) -> None:
        """Save all, in order, in one transaction; on disk when it returns. The same again changes nothing.

        `StoreError`: nothing of it is saved; `transient` ones are worth repeating, `StoreBug` is not.
        """
        last = {(one.agent.id, one.at_ms): one for one in writes if isinstance(one, SaveAgent)}
        needed = (one for one in writes if not isinstance(one, SaveAgent) or one is last[one.agent.id, one.at_ms])
        await self._database.write(*(statement for write in needed for statement in statements_of(write)))

    async def try_write(self) -> None:
        """A transaction of nothing: nothing reaches the disk. `StoreError` as of `commit`."""
        await self._database.write()

    async def due_leads(
        self,
        campaign: CampaignId,
        now_ms: int,
        limit: int,
        but: Iterable[LeadId] = (),
        history_ms: int = 0,
        line: LineUp = USUAL_LINE,
    ) -> LeadsFetched:
        """At most `limit` leads that may be dialed now, best first: callbacks by their time, then the line, ties by id.

        With `history_ms` they also carry what law packs ask: fields, attempts of so long.

        Left out: `but`, leads in a call or awaiting a disposition, leads whose every number is suppressed or invalid,
        and leads that share a number with a live attempt. Touches only the rows that it looks at, however many wait.
        Lines up first whose time has come, `LINE_UP_MAX` at most: of more, the answer's next time is now.
        """
        left_out = sorted(but)
        if limit > LEADS_PER_FETCH_MAX or len(left_out) > LEADS_LEFT_OUT_MAX:
            raise StoreBug(f"due_leads: limit {limit}, {len(left_out)} left out: too many")
        asked = (
            SQL.zones_in_line(campaign=campaign),
            SQL.first_promised(campaign=campaign, now_ms=now_ms, but=_json(left_out), limit=limit),
            SQL.next_times(campaign=campaign, now_ms=now_ms),
        )
        made, waiting, *answers = await self._database.read(*_to_line_up(campaign, now_ms), *asked)
        if await self._line_up(campaign, line.order, made, waiting, now_ms):
            answers = await self._database.read(*asked)
        zones, promised, (times,) = answers
        opening = {row["line_zone"]: line.opens(row["zones"].split(), now_ms) for row in zones}
        ids = [LeadId(row["id"]) for row in promised]
        if len(ids) < limit:
            of_zones = (zone for zone, at_ms in opening.items() if at_ms == now_ms)
            ids += await self._first_in_line(campaign, of_zones, _json(left_out), limit - len(ids))
        found = await self.leads(ids, now_ms - history_ms if history_ms else None)
        due_ms, callback_ms = times["due_at_ms"], times["callback_at_ms"]
        moments = (due_ms, callback_ms, *(at_ms for at_ms in opening.values() if at_ms != now_ms))
        return LeadsFetched(
            campaign,
            tuple(found[id_] for id_ in ids if id_ in found),
            next_due_at_ms=min((at_ms for at_ms in moments if at_ms is not None), default=None),
            next_callback_at_ms=callback_ms,
        )

    async def promised_leads(
        self, campaign: CampaignId, now_ms: int, limit: int, but: Iterable[LeadId] = (), history_ms: int = 0
    ) -> LeadsFetched:
        """As `due_leads`, but only the callbacks, and when the next one is due."""
        promised, (times,) = await self._database.read(
            SQL.first_promised(campaign=campaign, now_ms=now_ms, but=_json(sorted(but)), limit=limit),
            SQL.next_times(campaign=campaign, now_ms=now_ms),
        )
        ids = [LeadId(row["id"]) for row in promised]
        found = await self.leads(ids, now_ms - history_ms if history_ms else None)
        leads = tuple(found[id_] for id_ in ids if id_ in found)
        return LeadsFetched(campaign, leads, next_callback_at_ms=times["callback_at_ms"], promised=True)

    async def _first_in_line(self, campaign: CampaignId, zones: Iterable[str], but: str, limit: int) -> list[LeadId]:
        """The best of those zones; each zone's line is in order already."""
        lines = await self._database.read(
            *(SQL.first_in_line(campaign=campaign, zone=zone, but=but, limit=limit) for zone in zones)
        )
        places = ((row["line"], row["id"]) for line in lines for row in line)
        return [LeadId(id_) for _, id_ in heapq.nsmallest(limit, places)]

    async def line_up(self, campaign: CampaignId, order: ordering.Order, now_ms: int) -> int:
        """Give their places to leads whose time has come; returns to how many: at `LINE_UP_MAX` there may be more."""
        made, waiting = await self._database.read(*_to_line_up(campaign, now_ms))
        return await self._line_up(campaign, order, made, waiting, now_ms)

    async def _line_up(
        self, campaign: CampaignId, order: ordering.Order, made: Rows, waiting: Rows, now_ms: int
    ) -> int:
        made_by = repr(order)
        if made and made[0]["made_by"] != made_by:
            await self._leave_line(campaign)
            return LINE_UP_MAX
        if not waiting:
            return 0
        turns: dict[str, int] = orjson.loads(made[0]["turns"]) if made else {}
        places = [
            {
                "id": row["id"],
                "version": row["version"],
                "now_ms": now_ms,
                "line": ordering.place(order, _standing(row), turns),
                "zones": row["zone"] or self._zones_left(orjson.loads(row["numbers"])),
            }
            for row in waiting
        ]
        await self._database.write(
            SQL.keep_zones.each([{"zones": zones} for zones in {str(one["zones"]) for one in places} if " " in zones]),
            SQL.join_line.each(places),
            SQL.save_line(campaign=campaign, made_by=made_by, turns=orjson.dumps(turns).decode()),
        )
        return len(waiting)

    def _zones_left(self, numbers: Iterable[str]) -> str:
        """Where a person with these numbers may be, as `zone_sets` has it."""
        return " ".join(sorted({zone for number in numbers for zone in self._zones_of(PhoneNumber(number))}))

    async def _leave_line(self, campaign: CampaignId) -> None:
        """The order has changed: everybody is lined up anew, piece by piece, while dialing goes on."""
        left = True
        while left:
            (gone,) = await self._database.write(SQL.leave_line(campaign=campaign, limit=LINE_UP_MAX))
            left = len(gone) == LINE_UP_MAX
        await self._database.write(SQL.forget_line(campaign=campaign))

    async def restore(self) -> Restored:
        """What was going on when the last engine ended, however it ended."""
        open_rows, undisposed_rows, agents, runs, learned, recordings, ended = await self._database.read(
            SQL.open_attempts(),
            SQL.undisposed_attempts(),
            SQL.logged_in_agents(),
            SQL.campaign_runs(),
            SQL.learned_pacing(),
            SQL.open_recordings(),
            SQL.recordings_ended_last(within_ms=ENDED_LAST_MS),
        )
        ids = sorted({row["lead_id"] for row in (*open_rows, *undisposed_rows)} - {None})
        leads = await self.leads(map(LeadId, ids))
        return Restored(
            attempts=tuple((_attempt(row), leads.get(row["lead_id"])) for row in open_rows),
            undisposed=tuple(
                (AgentId(row["talked_with"]), _attempt(row), leads[row["lead_id"]]) for row in undisposed_rows
            ),
            logged_in=tuple((AgentId(row["id"]), _wanted_ready(row)) for row in agents),
            running=tuple(CampaignId(row["campaign_id"]) for row in runs if row["running"]),
            answers={
                CampaignId(row["campaign_id"]): await self.answers(CampaignId(row["campaign_id"])) for row in runs
            },
            checked={
                CampaignId(row["campaign_id"]): await self.checked(CampaignId(row["campaign_id"])) for row in runs
            },
            learned={CampaignId(row["campaign_id"]): orjson.loads(row["learned"]) for row in learned},
            recordings=tuple(map(_recording, recordings)),
            recordings_ended=tuple(map(_recording, ended)),
            decided={
                AttemptId(row["id"]): DispositionId(row["disposition_id"])
                for row in open_rows
                if row["disposition_id"] is not None
            },
        )

    async def answers(self, campaign: CampaignId) -> tuple[MinuteCount, ...]:
        """Answers and abandons by the minute, oldest first, as far back as any legal period reaches."""
        rows = await rows_of(self._database, SQL.answers_by_minute(campaign=campaign, history_ms=HISTORY_MS))
        return tuple(MinuteCount(**row) for row in map(dict, rows))

    async def checked(self, campaign: CampaignId) -> tuple[tuple[AttemptId, int, DispositionId], ...]:
        """Calls judged machines that agents took: attempt, time of the answer, the agent's word; oldest first."""
        rows = await rows_of(self._database, SQL.checked_verdicts(campaign=campaign, limit=SAMPLES_MAX))
        return tuple(
            (AttemptId(row["id"]), row["answered_at_ms"], DispositionId(row["disposition_id"]))
            for row in reversed(rows)
        )

    async def leads(self, ids: Iterable[LeadId], since_ms: int | None = None) -> dict[LeadId, Lead]:
        """Those leads, as the core sees them; unknown ids are absent. With `since_ms` as `due_leads` with a history."""
        rows = await rows_of(self._database, SQL.leads_by_id(ids=_json(sorted(set(ids)))))
        found = [_lead(row, self._zones_of) for row in rows]
        return {lead.id: lead for lead in (found if since_ms is None else await self._with_history(found, since_ms))}

    async def callers(self, number: PhoneNumber, campaign: CampaignId) -> tuple[Lead, ...]:
        """The leads that have this number: the campaign's own, or if it has none, anybody's. At most CALLERS_MAX."""
        rows = await rows_of(self._database, SQL.callers(number=number.e164, campaign=campaign, limit=CALLERS_MAX))
        own = [row["id"] for row in rows if row["campaign_id"] == campaign]
        ids = own or [row["id"] for row in rows]
        found = await self.leads(ids)
        return tuple(found[id_] for id_ in ids if id_ in found)

    async def _with_history(self, leads: Sequence[Lead], since_ms: int) -> list[Lead]:
        asked = (SQL.attempts_on_person(lead=lead.id, since_ms=since_ms, limit=HISTORY_MAX) for lead in leads)
        fields, *histories = await self._database.read(
            SQL.fields_of_leads(ids=_json([lead.id for lead in leads])), *asked
        )
        fields_of = {row["id"]: orjson.loads(row["fields"]) for row in fields}
        return [
            replace(
                lead,
                fields=fields_of[lead.id],
                history=tuple(map(_past, history)),
            )
            for lead, history in zip(leads, histories, strict=True)
        ]

    async def revisions(self) -> Mapping[str, int]:
        """Numbers that rise when somebody, in whatever process, changes `DO_NOT_CALL` or `LEADS_OF` a campaign."""
        return {row["subject"]: row["revision"] for row in await rows_of(self._database, SQL.revisions())}

    async def blocked(self, leads: Iterable[LeadId]) -> tuple[tuple[LeadId, PhoneNumber], ...]:
        """The numbers of those leads that stand on a do-not-call list which binds them."""
        rows = await rows_of(self._database, SQL.blocked_phones(leads=_json(sorted(leads))))
        return tuple((LeadId(row["lead_id"]), PhoneNumber(row["number"])) for row in rows)

    async def number_blocked(self, number: PhoneNumber, campaign: CampaignId) -> bool:
        """Whether a do-not-call list that binds the campaign has this number."""
        return bool(await rows_of(self._database, SQL.number_listed(number=number.e164, campaign=campaign)))

    async def closed_rules(self, campaign: CampaignId) -> dict[str, int]:
        """How many leads of the campaign each rule has closed."""
        return {row["hold"]: row["leads"] for row in await rows_of(self._database, SQL.closed_rules(campaign=campaign))}

    async def recycle(self, campaign: CampaignId, rules: Iterable[str], *, by: str, at_ms: int) -> int:
        """Give the leads that these rules closed all their tries back, from now on; returns how many there were."""
        given = 0
        for rule in rules:
            before = given
            more = True
            while more:
                back, _ = await self._database.write(
                    SQL.recycle(campaign=campaign, rule=rule, at_ms=at_ms, limit=LINE_UP_MAX),
                    SQL.touch(subject=LEADS_OF + campaign),
                )
                given += len(back)
                more = len(back) == LINE_UP_MAX
            detail = f"{given - before} leads closed by {rule}"
            subject = f"campaign:{campaign}"
            audit = SQL.append_audit(at_ms=at_ms, actor=by, action="leads_recycled", subject=subject, detail=detail)
            await self._database.write(audit)
        return given


def statements_of(write: Write) -> Iterator[Statement]:
    """The SQL that saves one effect; carried out twice, it changes nothing more."""
    yield from _WRITERS[type(write)](write)


def _save_arrival(write: SaveArrival) -> Iterator[Statement]:
    attempt = write.attempt
    yield SQL.insert_arrival(
        id=attempt.id,
        campaign=attempt.campaign,
        number=attempt.number.e164 if attempt.number is not None else "",
        trunk=attempt.trunk,
        leg=attempt.leg,
        state=attempt.state.value,
        at_ms=attempt.planned_at_ms,
        queue=attempt.queue,
    )


def _save_attached(write: SaveAttached) -> Iterator[Statement]:
    yield SQL.attach_lead(attempt=write.attempt, lead=write.lead)
    yield SQL.attach_lead_to_call(attempt=write.attempt, lead=write.lead)
    if write.owed:
        yield SQL.lead_called_in(attempt=write.attempt, lead=write.lead, at_ms=write.at_ms)
    if write.change is not None:
        yield from _change_lead(write.change, at_ms=write.at_ms, by=f"attempt:{write.attempt}")


def _save_hand_out(write: SaveHandOut) -> Iterator[Statement]:
    out = write.out
    yield SQL.insert_hand_out(
        attempt=out.attempt, agent=out.agent, number=out.number.e164, trunk=out.trunk, at_ms=out.at_ms
    )


def _save_missed(write: SaveMissed) -> Iterator[Statement]:
    attempt = write.attempt
    if attempt.number is None or attempt.ended_at_ms is None:
        raise StoreBug(f"attempt {attempt.id} is saved as missed without a number or an end")
    number, at_ms = attempt.number.e164, attempt.ended_at_ms
    yield SQL.insert_missed_lead(attempt=attempt.id, number=number, at_ms=at_ms)
    yield SQL.insert_missed_phone(attempt=attempt.id, number=number)
    yield SQL.attach_missed(attempt=attempt.id, number=number)
    yield SQL.call_back_missed(attempt=attempt.id, at_ms=at_ms)
    yield SQL.missed_moves_callback(attempt=attempt.id, at_ms=at_ms)
    yield SQL.insert_missed_callback(attempt=attempt.id, at_ms=at_ms)


def _save_attempt(write: SaveAttempt) -> Iterator[Statement]:
    attempt = write.attempt
    if attempt.lead is None or attempt.number is None:
        raise StoreBug(f"attempt {attempt.id} is to be dialed without a lead or a number")
    yield SQL.insert_attempt(
        id=attempt.id,
        campaign=attempt.campaign,
        lead=attempt.lead,
        phone_position=attempt.phone_position,
        number=attempt.number.e164,
        trunk=attempt.trunk,
        leg=attempt.leg,
        state=attempt.state.value,
        planned_at_ms=attempt.planned_at_ms,
        agent=attempt.agent,
        decision=attempt.decision,
    )
    # Counted before the dial, given back at an end that does not count: a crash in between spends the try.
    yield SQL.claim_lead(
        lead=attempt.lead,
        attempt=attempt.id,
        phone_position=attempt.phone_position,
        at_ms=attempt.planned_at_ms,
    )
    yield SQL.callbacks_due_now(lead=attempt.lead, at_ms=attempt.planned_at_ms)


def _save_answer(write: SaveAnswer) -> Iterator[Statement]:
    attempt = write.attempt
    yield SQL.answer_attempt(
        id=attempt.id,
        state=attempt.state.value,
        accepted_at_ms=attempt.accepted_at_ms,
        ringing_at_ms=attempt.ringing_at_ms,
        answered_at_ms=attempt.answered_at_ms,
        bridged_at_ms=attempt.bridged_at_ms,
        agent=attempt.agent,
        verdict=attempt.verdict,
    )
    yield from _save_call(attempt)


def _save_call(attempt: Attempt, *, over: bool = False) -> Iterator[Statement]:
    """`over`: of one who called us the lead is left as it is, for by then it may have been closed without a word."""
    if attempt.agent is None or attempt.bridged_at_ms is None:
        return
    yield SQL.save_call(
        attempt=attempt.id,
        campaign=attempt.campaign,
        lead=attempt.lead,
        agent=attempt.agent,
        bridged_at_ms=attempt.bridged_at_ms,
    )
    if attempt.queue is None:
        yield SQL.lead_in_call(lead=attempt.lead, at_ms=attempt.bridged_at_ms)
    elif attempt.lead is not None and not over:
        yield SQL.lead_called_in(attempt=attempt.id, lead=attempt.lead, at_ms=attempt.bridged_at_ms)


def _save_taken_back(write: SaveTakenBack) -> Iterator[Statement]:
    yield SQL.take_attempt_back(attempt=write.attempt, at_ms=write.at_ms)


def _save_end(write: SaveEnd) -> Iterator[Statement]:
    attempt, change = write.attempt, write.change
    if attempt.ended_at_ms is None or attempt.outcome is None:
        raise StoreBug(f"attempt {attempt.id} is saved as ended without a time or an outcome")
    counts = attempt.outcome in COUNTED and attempt.queue is None
    spoken = attempt.queue is not None and attempt.outcome is Outcome.CONNECTED
    yield from _save_call(attempt, over=True)
    if attempt.bridged_at_ms is not None:
        yield SQL.end_call(attempt=attempt.id, at_ms=attempt.ended_at_ms)
    yield SQL.end_attempt(
        id=attempt.id,
        accepted_at_ms=attempt.accepted_at_ms,
        ringing_at_ms=attempt.ringing_at_ms,
        answered_at_ms=attempt.answered_at_ms,
        bridged_at_ms=attempt.bridged_at_ms,
        ended_at_ms=attempt.ended_at_ms,
        agent=attempt.agent,
        outcome=attempt.outcome.value,
        cause=attempt.cause,
        tech_cause=attempt.tech_cause,
        rule=change.rule if change else "",
        counted=int(counts),
    )
    if not counts:
        yield SQL.recount_lead(lead=attempt.lead)  # its claim had counted it
    if (counts or spoken) and (change is None or change.state is not LeadState.CALLBACK):
        # The promise was kept: their phone may have rung at the time they named.
        yield SQL.callbacks_kept(
            lead=attempt.lead, attempt=attempt.id, planned_at_ms=attempt.planned_at_ms, at_ms=attempt.ended_at_ms
        )
    if change is not None:
        yield from _change_lead(change, at_ms=attempt.ended_at_ms, by=f"attempt:{attempt.id}")


def _save_disposition(write: SaveDisposition) -> Iterator[Statement]:
    by = f"agent:{write.agent}"
    yield SQL.insert_disposition(
        attempt=write.attempt,
        at_ms=write.at_ms,
        agent=write.agent,
        disposition=write.disposition,
        note=write.note,
        rule=write.change.rule,
    )
    yield SQL.dispose_call(
        attempt=write.attempt, disposition=write.disposition, at_ms=write.at_ms, agent=write.agent, note=write.note
    )
    if write.change.state is LeadState.CALLBACK:  # another change takes promises off by itself
        yield SQL.callbacks_off(lead=write.lead, at_ms=write.at_ms, closed_by=by)
    yield from _change_lead(write.change, at_ms=write.at_ms, by=by)
    if write.callback_at_ms is not None:
        yield SQL.insert_callback(
            lead=write.lead,
            attempt=write.attempt,
            due_at_ms=write.callback_at_ms,
            owner=write.change.owner,
            at_ms=write.at_ms,
            created_by=by,
        )
    yield SQL.forget_draft(agent=write.agent, attempt=write.attempt, at_ms=write.at_ms)


def _save_disposition_alone(write: SaveDispositionAlone) -> Iterator[Statement]:
    yield SQL.insert_disposition(
        attempt=write.attempt,
        at_ms=write.at_ms,
        agent=write.agent,
        disposition=write.disposition,
        note=write.note,
        rule="",
    )
    yield SQL.dispose_call(
        attempt=write.attempt, disposition=write.disposition, at_ms=write.at_ms, agent=write.agent, note=write.note
    )
    yield SQL.forget_draft(agent=write.agent, attempt=write.attempt, at_ms=write.at_ms)


def _change_lead(change: LeadChange, *, at_ms: int, by: str) -> Iterator[Statement]:
    yield SQL.change_lead(
        lead=change.lead,
        state=change.state.value,
        next_at_ms=change.next_at_ms,
        next_phone=change.next_phone,
        owner=change.owner,
        rule=change.rule,
        priority=change.priority,
        at_ms=at_ms,
    )
    if change.invalid_phone is not None:
        yield SQL.phone_invalid(lead=change.lead, position=change.invalid_phone)
    if change.state is LeadState.CALLBACK and change.next_at_ms is not None:
        yield SQL.callbacks_moved(lead=change.lead, due_at_ms=change.next_at_ms)
    if change.state is not LeadState.CALLBACK:
        yield SQL.callbacks_off(lead=change.lead, at_ms=at_ms, closed_by=by)
    if change.state is LeadState.SUPPRESSED:
        # The person asked, so every number of theirs is left in peace, in every campaign.
        yield SQL.suppress_numbers_of_lead(lead=change.lead, reason=change.rule, suppressed_by=by, at_ms=at_ms)
        yield SQL.suppress_leads_of_lead(lead=change.lead, at_ms=at_ms)
    if change.state in DIALABLE:
        yield SQL.suppress_unreachable(lead=change.lead, at_ms=at_ms)
    if change.state in {LeadState.CALLBACK, LeadState.SUPPRESSED}:  # else it has none any more
        yield SQL.cancel_callbacks_of_suppressed(lead=change.lead, at_ms=at_ms, closed_by=by)


def _save_agent(write: SaveAgent) -> Iterator[Statement]:
    agent = write.agent
    yield SQL.save_agent(
        id=agent.id,
        state=agent.state.value,
        since_ms=agent.since_ms,
        idle_since_ms=agent.idle_since_ms,
        leg=agent.leg,
        bridge=agent.bridge,
        attempt=agent.attempt,
        pause_reason=agent.pause_reason,
        wish=agent.wish.value if agent.wish else None,
        wish_reason=agent.wish_reason,
        disposed=int(agent.disposed),
        at_ms=write.at_ms,
    )
    yield SQL.log_agent(
        id=agent.id,
        at_ms=write.at_ms,
        state=agent.state.value,
        pause_reason=agent.pause_reason,
        attempt=agent.attempt,
    )


def _save_campaign_run(write: SaveCampaignRun) -> Iterator[Statement]:
    yield SQL.save_campaign_run(campaign=write.campaign, running=int(write.running), at_ms=write.at_ms)


def _save_lead(write: SaveLead) -> Iterator[Statement]:
    yield from _change_lead(write.change, at_ms=write.at_ms, by="desk")


def _save_plan(write: SavePlan) -> Iterator[Statement]:
    change = write.change
    due_at_ms = change.next_at_ms if change.state is LeadState.CALLBACK else None
    about: Params = {"lead": change.lead, "at_ms": write.at_ms, "by": write.by}
    yield SQL.note_callback_change(**about, due_at_ms=due_at_ms, owner=change.owner)
    yield SQL.plans_off(**about)
    yield from _change_lead(change, at_ms=write.at_ms, by=write.by)
    if due_at_ms is not None:
        yield SQL.plan_callback(**about, due_at_ms=due_at_ms, owner=change.owner)


def _save_opt_out(write: SaveOptOut) -> Iterator[Statement]:
    for query in (SQL.suppress_numbers_of_attempt, SQL.suppress_leads_of_attempt, SQL.callbacks_off_of_attempt):
        yield query(attempt=write.attempt, at_ms=write.at_ms)
    yield SQL.append_audit_once(
        at_ms=write.at_ms, actor="customer", action="opt_out", subject=f"attempt:{write.attempt}", detail=""
    )


def _save_pacing(write: SavePacing) -> Iterator[Statement]:
    yield SQL.save_pacing(campaign=write.campaign, learned=orjson.dumps(write.learned).decode(), at_ms=write.at_ms)


def _save_audit(write: SaveAudit) -> Iterator[Statement]:
    yield SQL.append_audit(
        at_ms=write.at_ms, actor=write.by, action=write.action, subject=write.subject, detail=write.detail
    )


def _save_recording(write: SaveRecording) -> Iterator[Statement]:
    recording = write.recording
    yield SQL.save_recording(
        name=recording.name,
        attempt=recording.attempt,
        bridge=recording.bridge,
        started_at_ms=recording.started_at_ms,
        paused=int(recording.paused),
        ended_at_ms=write.ended_at_ms,
    )


# One small function per effect; Any, because a dict cannot say that each takes its key's type.
_WRITERS: Final[dict[type[Write], Callable[[Any], Iterator[Statement]]]] = {
    SaveAttempt: _save_attempt,
    SaveArrival: _save_arrival,
    SaveAttached: _save_attached,
    SaveMissed: _save_missed,
    SaveAnswer: _save_answer,
    SaveTakenBack: _save_taken_back,
    SaveEnd: _save_end,
    SaveDisposition: _save_disposition,
    SaveDispositionAlone: _save_disposition_alone,
    SaveAgent: _save_agent,
    SaveCampaignRun: _save_campaign_run,
    SaveLead: _save_lead,
    SavePlan: _save_plan,
    SaveOptOut: _save_opt_out,
    SavePacing: _save_pacing,
    SaveAudit: _save_audit,
    SaveRecording: _save_recording,
    SaveHandOut: _save_hand_out,
}


def _json(ids: Sequence[int]) -> str:
    return orjson.dumps(ids).decode()


def _wanted_ready(agent: Row) -> bool:
    working = {AgentState.READY, AgentState.RESERVED, AgentState.TALKING, AgentState.WRAP_UP}
    return AgentState(agent["state"]) in working and agent["wish"] is None


def _lead(row: Row, zones_of: ZonesOf) -> Lead:
    """`zones_of`: where a number may be, asked for leads without a zone of their own."""
    phones = phones_of(row["phones"], _anywhere if row["zone"] else zones_of)
    return Lead(
        id=LeadId(row["id"]),
        campaign=CampaignId(row["campaign_id"]),
        phones=phones,
        state=LeadState(row["state"]),
        priority=row["priority"],
        zone=row["zone"],
        language=str(row["language"] or "").strip().lower() or None,
        attempts_count=row["attempts_count"],
        outcome_counts=dict(Counter(map(Outcome, orjson.loads(row["outcomes"])))),
        next_at_ms=row["next_at_ms"],
        next_phone=_next_usable(phones, row["next_phone"]),
        owner=None if row["owner"] is None else AgentId(row["owner"]),
        keeper=None if row["keeper"] is None else AgentId(row["keeper"]),
        version=row["version"],
        changed_at_ms=row["updated_at_ms"],
    )


def _to_line_up(campaign: CampaignId, now_ms: int) -> tuple[Statement, Statement]:
    return SQL.line_of(campaign=campaign), SQL.to_line_up(campaign=campaign, now_ms=now_ms, limit=LINE_UP_MAX)


def _standing(row: Row) -> ordering.Standing:
    return ordering.Standing(
        priority=row["priority"],
        attempts_count=row["attempts_count"],
        next_at_ms=row["next_at_ms"],
        created_at_ms=row["created_at_ms"],
        zone=row["zone"] or "",
        tags=tuple(orjson.loads(row["tags"])),
        fields={**orjson.loads(row["fields"]), "partner": row["source"], "list": row["list"]},
    )


def phones_of(told: str, zones_of: ZonesOf = _anywhere) -> tuple[Phone, ...]:
    """A lead's phones in order, from JSON: [[position, number, usable, type], …]."""
    return tuple(
        Phone(
            position=position,
            number=(number := PhoneNumber(digits)),
            valid=bool(usable),
            type=PhoneType(type_),
            zones=zones_of(number),
        )
        for position, digits, usable, type_ in sorted(orjson.loads(told))
    )


def _next_usable(phones: Sequence[Phone], wanted: int) -> int:
    """The wanted position, or the next one round that may be dialed."""
    usable = [phone.position for phone in phones if phone.valid]
    return next((position for position in usable if position >= wanted), usable[0] if usable else wanted)


def _past(row: Row) -> Past:
    return Past(
        at_ms=row["planned_at_ms"],
        lead=LeadId(row["lead_id"]),
        number=PhoneNumber(row["number"]),
        outcome=None if row["outcome"] is None else Outcome(row["outcome"]),
        answered_at_ms=row["answered_at_ms"],
        bridged_at_ms=row["bridged_at_ms"],
        ended_at_ms=row["ended_at_ms"],
    )


def _recording(row: Row) -> Recording:
    return Recording(
        name=row["name"],
        attempt=AttemptId(row["attempt_id"]),
        bridge=BridgeId(row["bridge"]),
        started_at_ms=row["started_at_ms"],
        paused=bool(row["paused"]),
    )


def _attempt(row: Row) -> Attempt:
    return Attempt(
        id=AttemptId(row["id"]),
        campaign=CampaignId(row["campaign_id"]),
        lead=None if row["lead_id"] is None else LeadId(row["lead_id"]),
        phone_position=row["phone_position"],
        number=PhoneNumber(row["number"]) if row["number"] else None,
        trunk=TrunkId(row["trunk_id"]),
        leg=LegId(row["leg"]),
        state=CustomerState(row["state"]),
        planned_at_ms=row["planned_at_ms"],
        accepted_at_ms=row["accepted_at_ms"],
        ringing_at_ms=row["ringing_at_ms"],
        answered_at_ms=row["answered_at_ms"],
        bridged_at_ms=row["bridged_at_ms"],
        ended_at_ms=row["ended_at_ms"],
        agent=None if row["agent_id"] is None else AgentId(row["agent_id"]),
        outcome=None if row["outcome"] is None else Outcome(row["outcome"]),
        cause=row["cause"],
        tech_cause=row["tech_cause"],
        queue=None if row["queue_id"] is None else QueueId(row["queue_id"]),
        verdict=None if row["verdict"] is None else Verdict(row["verdict"]),
    )
