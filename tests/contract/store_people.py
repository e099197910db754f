"""Leads, attempts and agents for the store's tests: the shortest way to say who is being called."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from engine.core.effects import SaveAttempt, SaveEnd
from engine.core.model import (
    AgentId,
    Attempt,
    AttemptId,
    CampaignId,
    CustomerState,
    LeadChange,
    LeadId,
    LeadState,
    Outcome,
    PhoneNumber,
    TrunkId,
    customer_leg,
)
from engine.store.database import Database, Row
from engine.store.queries import Query, Statement, Value, parse

SPRING = CampaignId("spring")
ANNA = AgentId("anna")
NOON = 1_700_000_000_000

_SQL = parse(
    """
-- name: lead
INSERT INTO leads (id, campaign_id, name, name_folded, priority, state, next_at_ms, owner, created_at_ms, updated_at_ms)
VALUES (:id, :campaign, :name, :name, :priority, :state, :next_at_ms, :owner, 0, 0);
-- name: phone
INSERT INTO phones (lead_id, position, number) VALUES (:lead, :position, :number);
-- name: promise
INSERT INTO callbacks (lead_id, campaign_id, promised_at_ms, due_at_ms, state, created_at_ms, created_by)
VALUES (:lead, :campaign, 5, 5, 'scheduled', 1, :by);
""",
    "store_people",
)


def number(lead: int, position: int = 0) -> PhoneNumber:
    """The lead's number at that position, different for everybody."""
    return PhoneNumber(f"+79{position}{lead:08d}")


async def add_lead(
    database: Database,
    lead: int,
    *,
    campaign: CampaignId = SPRING,
    state: LeadState = LeadState.NEW,
    priority: int = 0,
    next_at_ms: int = 0,
    owner: AgentId | None = None,
    numbers: tuple[PhoneNumber, ...] | None = None,
) -> LeadId:
    """A lead with one phone, or with `numbers`."""
    phones = (number(lead),) if numbers is None else numbers
    await database.write(
        _SQL["lead"](
            id=lead,
            campaign=campaign,
            name=f"lead {lead}",
            priority=priority,
            state=state.value,
            next_at_ms=next_at_ms,
            owner=owner,
        ),
        *(_SQL["phone"](lead=lead, position=position, number=phone.e164) for position, phone in enumerate(phones)),
    )
    return LeadId(lead)


async def promise_a_call(database: Database, *leads: int) -> None:
    """Each of them is owed a call, long due."""
    await database.write(*(_SQL["promise"](lead=lead, campaign=SPRING, by=ANNA) for lead in leads))


async def promises(database: Database) -> list[str]:
    """The states of all promised calls, by lead."""
    return [row["state"] for row in await rows(database, "SELECT state FROM callbacks ORDER BY lead_id")]


def attempt(number_of_attempt: int, lead: int, *, at_ms: int = NOON, **other: Any) -> Attempt:
    """A planned attempt on the lead's first number."""
    attempt_id = AttemptId(f"1-{number_of_attempt}")
    planned = Attempt(
        id=attempt_id,
        campaign=SPRING,
        lead=LeadId(lead),
        phone_position=0,
        number=number(lead),
        trunk=TrunkId("demo"),
        leg=customer_leg(attempt_id),
        state=CustomerState.PLANNED,
        planned_at_ms=at_ms,
    )
    return replace(planned, **other)


def talking(planned: Attempt, agent: AgentId = ANNA) -> Attempt:
    """The same attempt, bridged to the agent three seconds later."""
    at_ms = planned.planned_at_ms
    return replace(
        planned,
        state=CustomerState.TALKING,
        accepted_at_ms=at_ms + 10,
        ringing_at_ms=at_ms + 500,
        answered_at_ms=at_ms + 2_990,
        bridged_at_ms=at_ms + 3_000,
        agent=agent,
    )


def ended(planned: Attempt, outcome: Outcome, *, after_ms: int = 30_000) -> Attempt:
    """The same attempt, over."""
    return replace(
        planned,
        state=CustomerState.ENDED,
        ended_at_ms=planned.planned_at_ms + after_ms,
        outcome=outcome,
        cause=16 if outcome is Outcome.CONNECTED else 19,
    )


def retry(lead: int, at_ms: int, rule: str = "no answer: again in 30 min") -> LeadChange:
    """The lead is dialed again at that time."""
    return LeadChange(lead=LeadId(lead), state=LeadState.RETRY, next_at_ms=at_ms, rule=rule)


def closed(lead: int, rule: str = "sold: final") -> LeadChange:
    """The lead is dialed no more."""
    return LeadChange(lead=LeadId(lead), state=LeadState.CLOSED, rule=rule)


def unanswered(planned: Attempt, next_at_ms: int) -> tuple[SaveAttempt, SaveEnd]:
    """The attempt as it is saved when nobody picks up."""
    assert planned.lead is not None
    return SaveAttempt(planned), SaveEnd(ended(planned, Outcome.NO_ANSWER), retry(planned.lead, next_at_ms))


def sql(text: str, /, **params: Value) -> Statement:
    """A statement that only a test needs."""
    query: Query = parse(f"-- name: test\n{text}", "test")["test"]
    return query(**params)


async def rows(database: Database, text: str, /, **params: Value) -> list[Row]:
    """What is on disk."""
    (found,) = await database.read(sql(text, **params))
    return found


async def change(database: Database, text: str, /, **params: Value) -> None:
    """Plant something on disk."""
    await database.write(sql(text, **params))


async def everything(database: Database) -> bytes:
    """All rows of all tables that the engine writes, to compare before and after."""
    found = [
        await rows(database, "SELECT * FROM leads"),
        await rows(database, "SELECT * FROM attempts"),
        await rows(database, "SELECT * FROM calls"),
        await rows(database, "SELECT * FROM dispositions"),
        await rows(database, "SELECT * FROM callbacks"),
        await rows(database, "SELECT * FROM agents"),
        await rows(database, "SELECT * FROM agent_log"),
        await rows(database, "SELECT * FROM audit"),
        await rows(database, "SELECT * FROM suppressions"),
    ]
    return orjson.dumps([[{**dict(row), "version": None} for row in table] for table in found])
