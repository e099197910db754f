"""Clients' orders: kept once, changed by two people, undone, and gone or moved with their client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from engine.core.model import AttemptId, ClientOrder, LeadId, OrderId, OrderPolicy, OrderRefusal
from engine.orderbook import STATE, Clash, NotSaved, Wanted, page_of, save, undo
from engine.store.cards import Cards
from engine.store.clientorders import ClientOrders
from engine.store.dnc import DoNotCall
from engine.store.imports import revert_import
from engine.store.store import Store
from engine.verify import verify
from tests.contract.store_people import NOON, attempt, rows, unanswered
from tests.fakes.office import CONFIG, ORDERS, Office, office

LEAD, OTHER = LeadId(1), LeadId(2)
WATER = {"items": "Вода 19 л", "quantity": "2", "address": "вул. Хрещатик 1"}
NEW = WATER | {STATE: "new"}


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(tmp_path, text=CONFIG + ORDERS) as running:
        yield running
        assert await verify(running.database, now_ms=running.clock.now_ms()) == []


def policy(place: Office) -> OrderPolicy:
    found = place.loaded.policy.orders
    assert found is not None
    return found


async def made(
    place: Office, key: str = "k1", after: Mapping[str, str] = NEW, lead: LeadId = LEAD, at_ms: int = 10
) -> ClientOrder:
    return await save(
        place.database,
        policy(place),
        Wanted(lead=lead, order=None, before={}, after=after, key=key, login="olena", at_ms=at_ms),
    )


async def changed(
    place: Office, order: ClientOrder, key: str, login: str = "olena", at_ms: int = 20, **after: str
) -> ClientOrder:
    before = {**order.values, STATE: order.state}
    wanted = before | {name.replace("state", STATE): value for name, value in after.items()}
    return await save(
        place.database,
        policy(place),
        Wanted(lead=order.lead, order=order.id, before=before, after=wanted, key=key, login=login, at_ms=at_ms),
    )


async def orders(place: Office, lead: LeadId = LEAD) -> list[tuple[OrderId, str, Mapping[str, str]]]:
    book = await ClientOrders(place.database).book(lead, "olena")
    assert book.count == len(book.orders)
    return [(one.id, one.state, one.values) for one in book.orders]


async def audited(place: Office) -> list[tuple[str, str, str]]:
    rows = await place.records.audit_page()
    return [(row.action, row.subject, row.detail) for row in rows if row.action.startswith("order_")]


async def test_an_order_is_made_once_however_often_the_button_is_pressed(place: Office) -> None:
    first, again = await made(place), await made(place)
    assert first == again
    assert (first.values, first.state, first.version, first.made_by) == (WATER, "new", 1, "olena")
    assert await orders(place) == [(first.id, "new", WATER)]
    assert await audited(place) == [("order_made", "lead:1 order:k1", "new: items, quantity, address")]


async def test_an_order_knows_the_call_during_which_it_was_made_and_no_other_clients_call(place: Office) -> None:
    await Store(place.database).commit(unanswered(attempt(1, LEAD), NOON))
    for key, lead in (("k1", LEAD), ("k2", OTHER)):
        wanted = Wanted(
            lead=lead, order=None, before={}, after=NEW, key=key, login="olena", at_ms=1, attempt=AttemptId("1-1")
        )
        order = await save(place.database, policy(place), wanted)
        assert order.attempt == ("1-1" if lead == LEAD else None)


async def test_two_people_change_an_order_and_only_the_same_value_collides(place: Office) -> None:
    order = await made(place)
    await changed(place, order, "k2", "ivan", quantity="3", state="in_work")
    both = await changed(place, order, "k3", address="вул. Хрещатик 2")
    assert (both.state, both.version) == ("in_work", 3)
    assert both.values == WATER | {"quantity": "3", "address": "вул. Хрещатик 2"}
    with pytest.raises(Clash) as clash:
        await changed(place, order, "k4", quantity="5")
    assert clash.value.theirs == {"quantity": "3"}
    assert (await changed(place, order, "k3", address="вул. Хрещатик 2")).version == 3  # the same command again
    assert [one for one in await audited(place) if one[0] == "order_changed"] == [
        ("order_changed", "lead:1 order:1 version:3", "in_work: address"),
        ("order_changed", "lead:1 order:1 version:2", "new → in_work: quantity"),
    ]


async def test_what_is_done_is_not_changed_any_more(place: Office) -> None:
    order = await changed(place, await made(place), "k2", state="done")
    with pytest.raises(NotSaved) as refused:
        await changed(place, order, "k3", quantity="5")
    assert refused.value.reason is OrderRefusal.OVER
    with pytest.raises(NotSaved) as empty:
        await made(place, "k4", {"items": "", STATE: "new"})
    assert empty.value.reason is OrderRefusal.EMPTY


async def test_an_undo_gives_back_what_was_before_and_takes_a_new_order_away(place: Office) -> None:
    order = await made(place)
    later = await changed(place, order, "k2", state="done")
    with pytest.raises(NotSaved):  # somebody else's
        await undo(place.database, order.id, LEAD, later.version, key="u0", login="ivan", at_ms=21)
    for _ in range(2):  # the button was pressed twice
        await undo(place.database, order.id, LEAD, later.version, key="u1", login="olena", at_ms=21)
    assert await orders(place) == [(order.id, "new", WATER)]
    with pytest.raises(NotSaved):
        await undo(place.database, order.id, LEAD, later.version + 1, key="u2", login="olena", at_ms=22)

    second = await made(place, "k3")
    await undo(place.database, second.id, LEAD, 1, key="u3", login="olena", at_ms=23)
    assert [one[0] for one in await orders(place)] == [order.id]
    with pytest.raises(NotSaved) as gone:
        await changed(place, second, "k4", quantity="9")
    assert gone.value.reason is OrderRefusal.GONE
    assert [one[0] for one in await audited(place)] == [
        "order_undone",
        "order_made",
        "order_undone",
        "order_changed",
        "order_made",
    ]


async def test_what_is_typed_is_kept_until_it_is_saved(place: Office) -> None:
    store = ClientOrders(place.database)
    await store.save_draft("olena", LEAD, '{"items": "Во', 1)
    await store.save_draft("olena", LEAD, '{"items": "Вода', 2)
    await store.save_draft("ivan", LEAD, "{}", 2)
    book = await store.book(LEAD, "olena")
    assert book.draft is not None
    assert (book.draft.text, page_of(policy(place), book, "olena", 3).draft) == ('{"items": "Вода', book.draft)
    await made(place)
    assert (await store.book(LEAD, "olena")).draft is None
    await store.save_draft("ivan", LEAD, "", 3)
    assert (await store.book(LEAD, "ivan")).draft is None


async def test_the_orders_of_a_merged_card_go_along_and_come_back(place: Office) -> None:
    cards = Cards(place.database)
    ours, theirs = await made(place), await made(place, "k2", lead=OTHER)
    await cards.merge(OTHER, LEAD, "boss", 30)
    assert {one[0] for one in await orders(place, OTHER)} == {ours.id, theirs.id}
    later = await made(place, "k3", lead=OTHER)
    (merge,) = await cards.merges(OTHER)
    await cards.unmerge(merge, "boss", 40)
    assert [one[0] for one in await orders(place)] == [ours.id]
    assert [one[0] for one in await orders(place, OTHER)] == [later.id, theirs.id]


async def test_a_person_who_is_erased_leaves_no_order_and_no_word_of_one(place: Office) -> None:
    store, order = ClientOrders(place.database), await made(place)
    await changed(place, order, "k2", quantity="3")
    kept = await made(place, "k3", lead=OTHER)
    await store.save_draft("olena", LEAD, "{}", 1)
    await DoNotCall(place.database).erase(LEAD, by="boss", at_ms=9)
    assert await orders(place) == []
    left = await rows(place.database, "SELECT order_id FROM client_order_versions")
    assert [row["order_id"] for row in left] == [kept.id]
    assert await rows(place.database, "SELECT 1 FROM client_order_drafts") == []


async def test_an_import_is_undone_although_one_of_its_leads_has_ordered(place: Office) -> None:
    order = await made(place)
    await revert_import(place.database, 1, by="boss", now_ms=place.clock.now_ms())
    assert [one[0] for one in await orders(place)] == [order.id]
    assert await place.records.lead_card(OTHER) is None
