"""Orders over HTTP: who may, what is refused in words, and what a page may not send."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from engine.core.model import LeadId
from engine.store.clientorders import ClientOrders
from tests.fakes.office import CONFIG, ORDERS, Office, office
from tests.unit.test_crm_pages import Browser

NEW = {"items": "Вода 19 л", "quantity": "2", "address": " вул. Хрещатик 1 ", ":state": "new"}
SAID: dict[str, Any] = {"order": None, "before": {}, "after": NEW, "key": "12345678", "attempt": ""}


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(tmp_path, text=CONFIG + ORDERS) as running:
        yield running


async def post(browser: Browser, said: object, path: str = "/leads/1/orders") -> tuple[int, dict[str, Any]]:
    async with browser.session.post(path, json=said) as response:
        return response.status, await response.json() if response.content_type == "application/json" else {}


async def test_an_operator_takes_an_order_and_sees_it_at_once(place: Office) -> None:
    async with Browser(place) as olena:
        await olena.sign_in("olena")
        for _ in range(2):  # the button was pressed twice
            status, answer = await post(olena, SAID)
            assert (status, answer["order"], answer["version"]) == (200, 1, 1)
            assert answer["orders"].count("вул. Хрещатик 1") == 3  # in the row, its form, and in what is repeated
        assert "вул. Хрещатик 1" in (await olena.get("/leads/1"))[1]
        unseen = SAID | {"order": 1, "key": "12345679", "after": NEW | {"quantity": "3"}}  # `before` is empty
        status, answer = await post(olena, unseen)
        assert (status, answer["theirs"], "Олена Коваль" in answer["problem"]) == (409, {"quantity": "2"}, True)
        status, answer = await post(olena, {"version": 1, "key": "12345680"}, "/leads/1/orders/1/undo")
        assert (status, "Заказов ещё нет" in answer["orders"]) == (200, True)


@pytest.mark.parametrize(
    ("login", "path", "status"),
    [
        pytest.param("tech", "/leads/1/orders", 403, id="an engineer takes no orders"),
        pytest.param("maria", "/leads/1/orders", 404, id="another campaign's client does not exist"),
        pytest.param("olena", "/leads/999/orders", 404, id="there is no such client"),
        pytest.param("boss", "/leads/1/orders", 200, id="a supervisor takes orders"),
    ],
)
async def test_who_may_take_a_clients_order(place: Office, login: str, path: str, status: int) -> None:
    async with Browser(place) as browser:
        await browser.sign_in(login)
        assert (await post(browser, SAID, path))[0] == status
    assert (await ClientOrders(place.database).book(LeadId(1), login)).count == (status == 200)


@pytest.mark.parametrize(
    ("wrong", "status", "problem"),
    [
        pytest.param({"after": {"items": " ", ":state": "new"}}, 422, "хотя бы одно поле", id="nothing in it"),
        pytest.param({"after": NEW | {":state": "lost"}}, 422, "Такого состояния", id="an unknown state"),
        pytest.param({"order": 7}, 422, "Такого заказа больше нет", id="an order that is not there"),
        pytest.param({"after": {"items": "x"}}, 400, None, id="no state"),
        pytest.param({"after": NEW | {"items": "x" * 501}}, 400, None, id="too long"),
        pytest.param({"after": NEW | {"items": 5}}, 400, None, id="not a text"),
        pytest.param({"after": None}, 400, None, id="no values"),
        pytest.param({"order": "1"}, 400, None, id="an id that is none"),
        pytest.param({"order": True}, 400, None, id="an id that is yes"),
        pytest.param({"attempt": 5}, 400, None, id="a call that is none"),
        pytest.param({"key": "short"}, 400, None, id="no command"),
    ],
)
async def test_what_is_refused(place: Office, wrong: dict[str, Any], status: int, problem: str | None) -> None:
    async with Browser(place) as olena:
        await olena.sign_in("olena")
        answered, answer = await post(olena, SAID | wrong)
        assert (answered, problem is None or problem in answer["problem"]) == (status, True)
        assert (await post(olena, ["no object"]))[0] == 400
        assert (await post(olena, {"version": "1", "key": "12345678"}, "/leads/1/orders/1/undo"))[0] == 400
        assert (await post(olena, {"version": 1, "key": "12345678"}, "/leads/1/orders/1/undo"))[0] == 422


async def test_another_persons_undo_is_refused_in_words(place: Office) -> None:
    async with Browser(place) as olena, Browser(place) as boss:
        await olena.sign_in("olena")
        await boss.sign_in("boss")
        await post(olena, SAID)
        status, answer = await post(boss, {"version": 1, "key": "12345680"}, "/leads/1/orders/1/undo")
        assert (status, "Отменить уже нельзя" in answer["problem"]) == (422, True)


async def test_without_a_section_orders_there_are_none(tmp_path: Path) -> None:
    async with office(tmp_path) as plain, Browser(plain) as olena:
        await olena.sign_in("olena")
        assert (await post(olena, SAID))[0] == 404
        html = (await olena.get("/leads/1"))[1]
        assert "data-orders" not in html
        assert "orders.js" not in html


async def test_a_value_is_shown_as_it_was_typed_and_runs_nothing(place: Office) -> None:
    async with Browser(place) as olena:
        await olena.sign_in("olena")
        _, answer = await post(olena, SAID | {"after": NEW | {"items": "<img src=x onerror=alert(1)> \"'"}})
        assert "<img" not in answer["orders"]
        assert "&lt;img src=x" in answer["orders"]
