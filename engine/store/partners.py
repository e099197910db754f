"""Leads that partners send one by one: each is answered at once, and the same key again gets the same answer."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Final

import orjson

from engine.core.model import CampaignId, LeadId
from engine.store import queries
from engine.store.database import Database, one, rows_of
from engine.store.folding import fold
from engine.store.imports import numbers_of
from engine.store.queries import Query
from engine.store.rows import ImportRow
from engine.store.store import LEADS_OF
from engine.store.store import SQL as DIALING

TOKEN_BYTES: Final = 32


class _Sql:
    add_partner: Query
    revoke_partner: Query
    partners: Query
    partner_of_token: Query
    answered: Query
    unwanted_numbers: Query
    known_lead: Query
    take_lead: Query
    take_phones: Query
    answer_accepted: Query
    answer_otherwise: Query


SQL: Final = queries.load(_Sql, "partners.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Partner:
    """Who sends leads, into which campaign, and how good they were."""

    key: str
    campaign: CampaignId
    added_at_ms: int = 0
    revoked_at_ms: int | None = None
    sent: int = 0
    accepted: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of a sent lead. `verdict`: accepted, duplicate or rejected; the others are for machines."""

    verdict: str
    reason: str = ""
    field: str = ""
    lead: LeadId | None = None


class KeyReused(ValueError):
    """The key came before, with something else."""


class Partners:
    """Partners of a database. A method that writes is on disk when it returns."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, key: str, campaign: CampaignId, *, by: str, at_ms: int) -> str | None:
        """Let a partner send leads; the token, told this once. None: there is one of that name already."""
        token = f"zv_{secrets.token_urlsafe(TOKEN_BYTES)}"
        added, _ = await self._database.write(
            SQL.add_partner(key=key, campaign=campaign, token_hash=_hash(token.encode()), by=by, at_ms=at_ms),
            DIALING.append_audit(
                at_ms=at_ms, actor=by, action="partner_added", subject=f"partner:{key}", detail=campaign
            ),
        )
        return token if added else None

    async def revoke(self, key: str, *, by: str, at_ms: int) -> bool:
        """From now on the partner's token opens nothing; whether it did before."""
        revoked, _ = await self._database.write(
            SQL.revoke_partner(key=key, at_ms=at_ms),
            DIALING.append_audit(at_ms=at_ms, actor=by, action="partner_revoked", subject=f"partner:{key}", detail=""),
        )
        return bool(revoked)

    async def all(self) -> tuple[Partner, ...]:
        """Everybody, also who is revoked."""
        return tuple(
            Partner(
                key=row["key"],
                campaign=CampaignId(row["campaign_id"]),
                added_at_ms=row["added_at_ms"],
                revoked_at_ms=row["revoked_at_ms"],
                sent=row["sent"],
                accepted=row["accepted"],
            )
            for row in await rows_of(self._database, SQL.partners())
        )

    async def of_token(self, token: str) -> Partner | None:
        """Whose token it is."""
        row = await one(self._database, SQL.partner_of_token(token_hash=_hash(token.encode())))
        return None if row is None else Partner(key=row["key"], campaign=CampaignId(row["campaign_id"]))

    async def answered(self, partner: Partner, key: str, request: bytes) -> Verdict | None:
        """What was answered to that key. KeyReused when it came with something else."""
        row = await one(self._database, SQL.answered(partner=partner.key, key=key))
        if row is None:
            return None
        if row["request"] != _hash(request):
            raise KeyReused(key)
        return Verdict(verdict=row["verdict"], reason=row["reason"], field=row["field"], lead=row["lead_id"])

    async def reject(
        self, partner: Partner, key: str, request: bytes, *, reason: str, field: str, at_ms: int
    ) -> Verdict:
        """Answer, for good, that the lead is of no use."""
        return await self._answer(partner, key, request, Verdict(verdict="rejected", reason=reason, field=field), at_ms)

    async def take(
        self, partner: Partner, key: str, request: bytes, row: ImportRow, *, list_name: str = "", at_ms: int
    ) -> Verdict:
        """Take a good row as a lead of the partner's campaign, unless it is there or must not be called."""
        types = numbers_of(row)
        listed = orjson.dumps(list(types)).decode()
        where = {"numbers": listed, "campaign": partner.campaign}
        unwanted, known = await self._database.read(
            SQL.unwanted_numbers(**where, partner=partner.key), SQL.known_lead(**where)
        )
        if known:
            lead = LeadId(known[0]["id"])
            return await self._answer(
                partner, key, request, Verdict(verdict="duplicate", reason="in_campaign", lead=lead), at_ms
            )
        not_called = {row["number"] for row in unwanted}
        phones = [(number, type_) for number, type_ in types.items() if number not in not_called]
        if not phones:
            return await self.reject(partner, key, request, reason="do_not_call", field="phone", at_ms=at_ms)
        taken, *_ = await self._database.write(
            SQL.take_lead(
                **where,
                partner=partner.key,
                key=key,
                list=list_name,
                external_id=row.external_id,
                name=row.name,
                name_folded=fold(row.name),
                zone=row.zone,
                fields=orjson.dumps(dict(row.fields)).decode(),
                priority=row.priority,
                tags=orjson.dumps(row.tags).decode(),
                at_ms=at_ms,
            ),
            SQL.take_phones(phones=orjson.dumps(phones).decode()),
            SQL.answer_accepted(
                partner=partner.key,
                key=key,
                request=_hash(request),
                at_ms=at_ms,
                number=phones[0][0],
                campaign=partner.campaign,
            ),
            DIALING.touch(subject=LEADS_OF + partner.campaign),
        )
        if taken:
            return Verdict(verdict="accepted", lead=LeadId(taken[0]["id"]))
        # Somebody was faster: with this key, or with this person.
        answered = await self.answered(partner, key, request)
        return answered or await self.take(partner, key, request, row, list_name=list_name, at_ms=at_ms)

    async def _answer(self, partner: Partner, key: str, request: bytes, verdict: Verdict, at_ms: int) -> Verdict:
        await self._database.write(
            SQL.answer_otherwise(
                partner=partner.key,
                key=key,
                request=_hash(request),
                at_ms=at_ms,
                lead=verdict.lead,
                verdict=verdict.verdict,
                reason=verdict.reason,
                field=verdict.field,
            )
        )
        return await self.answered(partner, key, request) or verdict


def _hash(secret: bytes) -> str:
    return hashlib.sha256(secret).hexdigest()
