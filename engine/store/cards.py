"""What people change on a lead's card: values one by one, and two cards that turn out to be one person.

An edit names the value its author saw. If another one stands there by now, nothing is changed and both are told apart:
of two people on one card, each loses nothing, and only the same field of the same card can collide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from engine.core.model import CampaignId, LeadId, LeadState
from engine.store import queries
from engine.store.database import Database, Row, one, rows_of
from engine.store.folding import TAGS_MAX, fold, tags_of
from engine.store.queries import Query, Statement
from engine.store.store import SQL as DIALING

#: Characters of one value of a card.
VALUE_MAX: Final = 2_000
#: Edits and merges that a card shows.
EDITS_SHOWN_MAX: Final = 50
#: Other cards of the same person that a card offers to merge.
TWINS_MAX: Final = 5

NAME: Final = "name"
ZONE: Final = "zone"
TAGS: Final = "tags"
OWNER: Final = "owner"
#: What a card has beside the fields of its lead.
OF_THE_CARD: Final = (NAME, ZONE, TAGS, OWNER)
#: A lead in a call is not merged: its attempt belongs to its card.
MERGEABLE: Final = frozenset({LeadState.NEW, LeadState.RETRY, LeadState.CALLBACK, LeadState.CLOSED})


class _Sql:
    edit_name: Query
    edit_zone: Query
    edit_field: Query
    edit_tags: Query
    edit_keeper: Query
    note_edit: Query
    last_edit: Query
    edits: Query
    twins: Query
    merge_fields: Query
    merge_phones: Query
    leave_line_of: Query
    close_merged: Query
    move_callback: Query
    wait_for_callback: Query
    cancel_callback: Query
    move_tasks: Query
    move_orders: Query
    put_back_orders: Query
    note_merge: Query
    how_it_was: Query
    merges: Query
    put_back_card: Query
    put_back_callback: Query
    put_back_kept: Query
    put_back_state: Query
    put_back_phones: Query
    end_merge: Query


SQL: Final = queries.load(_Sql, "cards.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One value of a card that somebody changed. `field`: one of OF_THE_CARD, or the name of one of the lead's fields.

    Tags stand as `tags_of` reads them; the owner, whose client the lead is, as the agent's key.
    """

    lead: LeadId
    field: str
    before: str
    after: str
    login: str
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """Two cards of one person: `merged` was closed for `kept`."""

    id: int
    kept: LeadId
    merged: LeadId
    before: Mapping[str, Any]
    login: str
    at_ms: int


class Conflict(Exception):
    """Somebody else changed the same value meanwhile; `edit` is theirs, if it was made on a card."""

    def __init__(self, edit: Edit | None) -> None:
        super().__init__("changed meanwhile")
        self.edit = edit


class NotMergeable(Exception):
    """One of the two is in a call, must not be called, or is merged already."""


class Cards:
    """Changes of cards, each on disk with its author when the method returns."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def edit(self, edit: Edit) -> None:
        """Change the value if it still is as its author saw it. Raises Conflict; ValueError for an impossible one."""
        if len(edit.after) > VALUE_MAX:
            raise ValueError(f"a value has at most {VALUE_MAX} characters")
        about: dict[str, Any] = {"lead": edit.lead, "before": edit.before, "after": edit.after, "at_ms": edit.at_ms}
        changed, *_ = await self._database.write(
            _change(edit, about),
            SQL.note_edit(**about, field=edit.field, login=edit.login),
        )
        if not changed:
            row = await one(self._database, SQL.last_edit(lead=edit.lead, field=edit.field))
            raise Conflict(None if row is None else _edit(row))

    async def edits(self, lead: LeadId) -> tuple[Edit, ...]:
        """What was changed on this card, newest first."""
        return tuple(_edit(row) for row in await rows_of(self._database, SQL.edits(lead=lead, limit=EDITS_SHOWN_MAX)))

    async def twins(self, lead: LeadId, campaigns: Sequence[CampaignId] | None) -> tuple[LeadId, ...]:
        """Other cards with one of its numbers; `campaigns` None is all."""
        scope = None if campaigns is None else orjson.dumps(list(campaigns)).decode()
        bound = SQL.twins(lead=lead, campaigns=scope, limit=TWINS_MAX)
        return tuple(LeadId(row["id"]) for row in await rows_of(self._database, bound))

    async def merges(self, lead: LeadId) -> tuple[Merge, ...]:
        """The merges that this card is part of and that hold, newest first."""
        bound = SQL.merges(lead=lead, limit=EDITS_SHOWN_MAX)
        return tuple(
            Merge(
                id=row["id"],
                kept=LeadId(row["kept_id"]),
                merged=LeadId(row["merged_id"]),
                before=orjson.loads(row["before"]),
                login=row["login"],
                at_ms=row["at_ms"],
            )
            for row in await rows_of(self._database, bound)
        )

    async def merge(
        self,
        kept: LeadId,
        merged: LeadId,
        login: str,
        now_ms: int,
        *,
        name_taken: bool = False,
        taken: Sequence[str] = (),
    ) -> None:
        """Close `merged` for `kept`, which gets its phones and what it lacks; undone by `unmerge`. NotMergeable.

        `taken` names the fields, `name_taken` says of the name, whose value is `merged`'s although `kept` has one.
        """
        if kept == merged or any(merge.merged in (kept, merged) for merge in await self.merges(merged)):
            raise NotMergeable
        rows = {row["id"]: row for row in await rows_of(self._database, SQL.how_it_was(kept=kept, merged=merged))}
        if len(rows) != 2 or any(LeadState(row["state"]) not in MERGEABLE for row in rows.values()):
            raise NotMergeable
        was = {
            "name": rows[kept]["name"],
            "fields": rows[kept]["fields"],
            "tags": rows[kept]["tags"],
            "keeper": rows[kept]["keeper"],
            "last_phone": max(orjson.loads(rows[kept]["positions"]), default=-1),
            "state": rows[merged]["state"],
            "next_at_ms": rows[merged]["next_at_ms"],
            "hold": rows[merged]["hold"],
            "promise": rows[merged]["promise"],
            "orders": orjson.loads(rows[merged]["orders"]),
            "kept": {name: rows[kept][name] for name in ("state", "next_at_ms", "owner", "hold")},
        }
        both, rule = {"kept": kept, "merged": merged}, _rule(kept)
        await self._database.write(
            SQL.note_merge(**both, before=orjson.dumps(was).decode(), login=login, at_ms=now_ms),
            SQL.merge_phones(**both),
            SQL.leave_line_of(lead=both["kept"]),
            SQL.merge_fields(
                **both,
                taken=orjson.dumps(list(taken)).decode(),
                name_taken=name_taken,
                tags_max=TAGS_MAX,
                at_ms=now_ms,
            ),
            SQL.move_callback(**both),
            SQL.wait_for_callback(**both, at_ms=now_ms),
            SQL.cancel_callback(merged=merged, rule=rule, at_ms=now_ms),
            SQL.move_tasks(**both),
            SQL.move_orders(**both),
            SQL.close_merged(merged=merged, rule=rule, at_ms=now_ms),
            _audit(login, "leads_merged", kept, f"with {merged}", now_ms),
        )

    async def unmerge(self, merge: Merge, login: str, now_ms: int) -> None:
        """Both cards as they were; a phone that was dialed since stays where it is."""
        was = merge.before
        await self._database.write(
            SQL.end_merge(id=merge.id, at_ms=now_ms),
            SQL.put_back_card(
                lead=merge.kept,
                name=was["name"],
                name_folded=fold(was["name"]),
                fields=was["fields"],
                tags=was.get("tags"),
                keeper=was.get("keeper"),
                at_ms=now_ms,
            ),
            SQL.put_back_phones(lead=merge.kept, last=was["last_phone"]),
            SQL.leave_line_of(lead=merge.kept),
            *self._promise_put_back(merge, now_ms),
            SQL.put_back_orders(
                kept=merge.kept, merged=merge.merged, orders=orjson.dumps(was.get("orders", [])).decode()
            ),
            SQL.put_back_state(
                lead=merge.merged, state=was["state"], next_at_ms=was["next_at_ms"], hold=was["hold"], at_ms=now_ms
            ),
            _audit(login, "leads_unmerged", merge.kept, f"from {merge.merged}", now_ms),
        )

    @staticmethod
    def _promise_put_back(merge: Merge, now_ms: int) -> tuple[Statement, ...]:
        promise = merge.before.get("promise")
        if promise is None:  # merges of older versions do not say
            return ()
        return (
            SQL.put_back_callback(promise=promise, kept=merge.kept, merged=merge.merged, rule=_rule(merge.kept)),
            SQL.put_back_kept(lead=merge.kept, **merge.before["kept"], at_ms=now_ms),
        )


def _rule(kept: LeadId) -> str:
    """Why a merged lead is closed, and its second promise."""
    return f"merged:{kept}"


def _change(edit: Edit, about: Mapping[str, Any]) -> Statement:
    if edit.field == NAME:
        return SQL.edit_name(**about, folded=fold(edit.after))
    if edit.field == ZONE:
        return SQL.edit_zone(**about)
    if edit.field == TAGS:
        return SQL.edit_tags(**{**about, "before": _tags(edit.before), "after": _tags(edit.after)})
    if edit.field == OWNER:
        return SQL.edit_keeper(**about)
    if '"' in edit.field or "\\" in edit.field:
        raise ValueError("a field's name with quotes cannot be changed here")
    return SQL.edit_field(**about, path=f'$."{edit.field}"')


def _tags(text: str) -> str:
    return orjson.dumps(tags_of(text)).decode()


def _audit(login: str, action: str, lead: LeadId, detail: str, at_ms: int) -> Statement:
    return DIALING.append_audit(at_ms=at_ms, actor=login, action=action, subject=f"lead:{lead}", detail=detail)


def _edit(row: Row) -> Edit:
    return Edit(
        lead=LeadId(row["lead_id"]),
        field=row["field"],
        before=row["before"],
        after=row["after"],
        login=row["login"],
        at_ms=row["at_ms"],
    )
