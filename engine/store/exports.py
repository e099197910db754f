"""Leads with their last result, for a file: by filters, page by page, so that memory stays small."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from engine.core.model import AgentId, CampaignId, DispositionId, LeadState, PhoneType
from engine.store import queries
from engine.store.database import Database, Row, rows_of
from engine.store.queries import Query

#: Leads of one read: some ten milliseconds of a reader's time.
PAGE_MAX: Final = 500
#: Fields beyond the configured ones that a file gets columns for.
FIELDS_MAX: Final = 100


class _Sql:
    leads_page: Query
    field_names: Query


SQL: Final = queries.load(_Sql, "exports.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which leads; None is all. The times are of the last result: from `since_ms` on, before `until_ms`."""

    campaign: CampaignId | None = None
    state: LeadState | None = None
    disposition: DispositionId | None = None
    source: str | None = None
    list_name: str | None = None
    tag: str | None = None
    keeper: AgentId | None = None
    since_ms: int | None = None
    until_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedLead:
    """A lead and how it stands."""

    id: int
    campaign: str
    name: str
    phones: tuple[tuple[str, PhoneType], ...]
    external_id: str
    zone: str
    priority: int
    state: LeadState
    source: str
    list_name: str
    tags: tuple[str, ...]
    keeper: str
    attempts_count: int
    outcome: str
    disposition: str
    disposed_at_ms: int | None
    agent: str
    note: str
    fields: Mapping[str, str]


async def field_names(database: Database, wanted: Wanted) -> list[str]:
    """Names of fields that these leads have, at most FIELDS_MAX."""
    rows = await rows_of(database, SQL.field_names(campaign=wanted.campaign, limit=FIELDS_MAX))
    return sorted(row["key"] for row in rows)


async def pages(database: Database, wanted: Wanted) -> AsyncIterator[list[ExportedLead]]:
    """The leads by id, a page at a time; erased ones are nobody's."""
    after = 0
    while True:
        rows = await rows_of(
            database,
            SQL.leads_page(
                after=after,
                campaign=wanted.campaign,
                state=wanted.state.value if wanted.state else None,
                disposition=wanted.disposition,
                source=wanted.source,
                list=wanted.list_name,
                tag=wanted.tag,
                keeper=wanted.keeper,
                since_ms=wanted.since_ms,
                until_ms=wanted.until_ms,
                limit=PAGE_MAX,
            ),
        )
        if not rows:
            return
        yield [_lead(row) for row in rows]
        after = rows[-1]["id"]


def _lead(row: Row) -> ExportedLead:
    return ExportedLead(
        id=row["id"],
        campaign=row["campaign_id"],
        name=row["name"],
        phones=tuple((number, PhoneType(type_)) for number, type_ in orjson.loads(row["phones"])),
        external_id=row["external_id"],
        zone=row["zone"] or "",
        priority=row["priority"],
        state=LeadState(row["state"]),
        source=row["source"],
        list_name=row["list"],
        tags=tuple(orjson.loads(row["tags"])),
        keeper=row["keeper"] or "",
        attempts_count=row["attempts_count"],
        outcome=row["outcome"] or "",
        disposition=row["disposition_id"] or "",
        disposed_at_ms=row["disposed_at_ms"],
        agent=row["agent_id"] or "",
        note=row["note"] or "",
        fields=orjson.loads(row["fields"]),
    )
