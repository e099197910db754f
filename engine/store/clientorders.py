"""Clients' orders and the changes of them. A method that writes is on disk when it returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from engine.core.model import AttemptId, ClientOrder, LeadId, OrderId
from engine.store import queries
from engine.store.database import Database, Row, one
from engine.store.queries import Query
from engine.store.rows import Draft
from engine.store.store import SQL as DIALING

#: Orders of one client that are looked at: the newest ones.
ORDERS_MAX: Final = 30


class _Sql:
    orders_of_lead: Query
    count_orders: Query
    order_by_id: Query
    order_by_key: Query
    version_of_order: Query
    insert_order: Query
    note_first_version: Query
    change_order: Query
    note_version: Query
    order_draft: Query
    save_order_draft: Query
    drop_order_draft: Query


SQL: Final = queries.load(_Sql, "orders.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """A client's orders, the newest first, and the one that somebody is typing. `count`: of all, also unread ones."""

    orders: tuple[ClientOrder, ...] = ()
    count: int = 0
    draft: Draft | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Who wants an order to be so. `key` is the command's; `detail` is for the audit and names no values."""

    key: str
    login: str
    at_ms: int
    state: str
    values: Mapping[str, str]
    detail: str


class ClientOrders:
    """The store, as far as clients' orders go."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def book(self, lead: LeadId, login: str) -> Book:
        """The client's orders, and what this person was typing."""
        orders, (count,), drafts = await self._database.read(
            SQL.orders_of_lead(lead=lead, limit=ORDERS_MAX),
            SQL.count_orders(lead=lead),
            SQL.order_draft(login=login, lead=lead),
        )
        return Book(
            orders=tuple(map(_order, orders)),
            count=count["orders"],
            draft=Draft(text=drafts[0]["text"], at_ms=drafts[0]["at_ms"]) if drafts else None,
        )

    async def find(self, order: OrderId) -> ClientOrder | None:
        """The order, also one that was taken back."""
        row = await one(self._database, SQL.order_by_id(order=order))
        return None if row is None else _order(row)

    async def made_by(self, key: str) -> ClientOrder | None:
        """The order that this command made or changed, as it is now."""
        row = await one(self._database, SQL.order_by_key(key=key))
        return None if row is None else _order(row)

    async def before(self, order: ClientOrder) -> tuple[str, Mapping[str, str]] | None:
        """State and values of the version before; None of the first."""
        row = await one(self._database, SQL.version_of_order(order=order.id, version=order.version - 1))
        return None if row is None else (row["state"], orjson.loads(row["fields"]))

    async def add(self, lead: LeadId, attempt: AttemptId | None, change: Change) -> None:
        """A new order; of the same command again, none. What was typed of it is forgotten."""
        said = _said(change)
        await self._database.write(
            SQL.insert_order(**said, lead=lead, attempt=attempt),
            SQL.note_first_version(key=change.key),
            SQL.drop_order_draft(login=change.login, lead=lead),
            _audit("order_made", f"lead:{lead} order:{change.key}", change),
        )

    async def change(self, order: ClientOrder, change: Change) -> bool:
        """The order becomes so. False: it was changed meanwhile, or by this command already."""
        return await self._put(order, change, "order_changed")

    async def undo(self, order: ClientOrder, change: Change, *, taken_back: bool) -> bool:
        """As `change`, back to what it was; `taken_back`: it had been nothing."""
        return await self._put(order, change, "order_undone", undone=True, taken_back=taken_back)

    async def _put(
        self, order: ClientOrder, change: Change, action: str, *, undone: bool = False, taken_back: bool = False
    ) -> bool:
        said = _said(change)
        changed, *_ = await self._database.write(
            SQL.change_order(**said, order=order.id, version=order.version, undone=undone, taken_back=taken_back),
            SQL.note_version(key=change.key, order=order.id),
            SQL.drop_order_draft(login=change.login, lead=order.lead),
            # Who comes second to the same version finds the row of who was first.
            _audit(action, f"lead:{order.lead} order:{order.id} version:{order.version + 1}", change),
        )
        return bool(changed)

    async def save_draft(self, login: str, lead: LeadId, text: str, at_ms: int) -> None:
        """What is being typed; "" forgets it."""
        if not text:
            await self._database.write(SQL.drop_order_draft(login=login, lead=lead))
        else:
            await self._database.write(SQL.save_order_draft(login=login, lead=lead, text=text, at_ms=at_ms))


def _said(change: Change) -> dict[str, str | int]:
    fields = orjson.dumps(dict(change.values)).decode()
    return {"key": change.key, "login": change.login, "at_ms": change.at_ms, "state": change.state, "fields": fields}


def _audit(action: str, subject: str, change: Change) -> queries.Statement:
    return DIALING.append_audit_once(
        at_ms=change.at_ms, actor=change.login, action=action, subject=subject, detail=change.detail
    )


def _order(row: Row) -> ClientOrder:
    return ClientOrder(
        id=OrderId(row["id"]),
        lead=LeadId(row["lead_id"]),
        state=row["state"],
        values=orjson.loads(row["fields"]),
        version=row["version"],
        made_at_ms=row["created_at_ms"],
        made_by=row["created_by"],
        changed_at_ms=row["updated_at_ms"],
        changed_by=row["updated_by"],
        attempt=None if row["attempt_id"] is None else AttemptId(row["attempt_id"]),
        undone=bool(row["undone"]),
        taken_back=bool(row["taken_back"]),
    )
