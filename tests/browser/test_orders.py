"""A client's orders: repeated by two keys, kept while they are typed, taken back; two people at one order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from engine.core.model import LeadId
from engine.orderbook import STATE, Wanted, save
from engine.store.clientorders import ClientOrders
from tests.browser.conftest import SignIn
from tests.browser.steps import answered, at_work, hung_up, in_state
from tests.browser.test_tabs import press
from tests.fakes.office import CONFIG, ORDERS, Office, office

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

LEAD = LeadId(1)
LAST = {"items": "Вода 19 л", "quantity": "2", "address": "вул. Хрещатик 1", "comment": "код 12"}


@pytest_asyncio.fixture(loop_scope="module")
async def place(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(tmp_path, text=CONFIG + ORDERS) as running:
        yield running
        assert running.crm.csp_reports == 0


async def ordered(place: Office, **more: str) -> None:
    """The client has ordered before."""
    assert place.loaded.policy.orders is not None
    after = LAST | more | {STATE: "done"}
    wanted = Wanted(lead=LEAD, order=None, before={}, after=after, key="before", login="ivan", at_ms=1)
    await save(place.database, place.loaded.policy.orders, wanted)


async def kept(place: Office) -> list[tuple[str, dict[str, str]]]:
    """The client's orders on disk, the newest first."""
    book = await ClientOrders(place.database).book(LEAD, "olena")
    return [(one.state, dict(one.values)) for one in book.orders]


async def alt_r(page: Page) -> None:
    """Alt+R as a Russian keyboard sends it."""
    await press(page, "KeyR", "к", 82, modifiers=1)


async def test_an_order_is_repeated_by_two_keys_on_a_russian_layout_and_taken_back(
    place: Office, sign_in: SignIn
) -> None:
    await ordered(place)
    page = await sign_in("olena")
    await at_work(place, page)
    await answered(place, page)
    await expect(page.locator("#orders li")).to_have_count(1)
    await expect(page.locator("#note")).to_be_focused()

    await alt_r(page)
    await expect(page.locator("#order-1")).to_be_focused()
    await expect(page.locator("#order-1")).to_have_value("Вода 19 л")
    await expect(page.get_by_label("Комментарий")).to_have_value("")  # last time's
    await page.keyboard.press("Control+Enter")
    first = page.locator("#orders li").first
    await expect(page.locator("#orders li")).to_have_count(2)
    await expect(first).to_contain_text("Новый")
    await expect(first).to_contain_text("вул. Хрещатик 1")
    await expect(page.locator("#note")).to_be_focused()
    values = {name: value for name, value in LAST.items() if name != "comment"}
    assert (await kept(place))[0] == ("new", values)
    (attempt,) = await place.records.lead_history(LEAD)
    assert (await ClientOrders(place.database).book(LEAD, "olena")).orders[0].attempt == attempt.id

    await page.reload()  # the picture that a new window gets has it too
    await expect(page.locator("#orders li")).to_have_count(2)
    await page.locator("#orders [data-order-undo]").click()
    await expect(page.locator("#orders li")).to_have_count(1)
    assert len(await kept(place)) == 1
    actions = [row.action for row in await place.records.audit_page()]
    assert {"order_made", "order_undone"} < set(actions)


async def test_a_client_who_has_not_ordered_yet_gets_an_empty_form_by_the_same_keys(
    place: Office, sign_in: SignIn
) -> None:
    page = await sign_in("olena")
    await at_work(place, page)
    await answered(place, page)
    await expect(page.locator("#note")).to_be_focused()
    await alt_r(page)
    await expect(page.locator("#order-1")).to_be_focused()
    await page.keyboard.type("Вода 6 л")
    await page.keyboard.press("Control+Enter")
    await expect(page.locator("#orders li")).to_have_count(1)
    assert await kept(place) == [("new", {"items": "Вода 6 л"})]


async def test_the_message_takes_an_order_back_and_the_palette_knows_the_keys(place: Office, sign_in: SignIn) -> None:
    await ordered(place)
    page = await sign_in("olena")
    await at_work(place, page)
    await answered(place, page)
    await page.keyboard.press("Control+KeyK")
    await page.keyboard.type("повторить")
    await expect(page.locator("#palette li").first).to_contain_text("Alt+R")
    await page.keyboard.press("Enter")
    await page.keyboard.press("Control+Enter")
    await page.locator("#toasts button", has_text="Отменить").click()
    await expect(page.locator("#toasts")).to_contain_text("Отменено: заказ № 2.")
    await expect(page.locator("#orders li")).to_have_count(1)


async def test_what_is_typed_of_an_order_outlives_the_page_and_the_call(place: Office, sign_in: SignIn) -> None:
    page = await sign_in("olena")
    await at_work(place, page)
    await answered(place, page)
    await place.dial(running=False)
    await page.locator("#orders [data-order-fill]").click()
    await page.keyboard.type("Вода 19 л")
    await hung_up(place, page)
    await expect(page.locator("#order-1")).to_be_focused()  # the end of the call took nothing away
    await page.reload()
    await expect(page.locator("#order-1")).to_have_value("Вода 19 л")
    await page.locator('[value="sale"]').check(force=True)
    await page.locator("#save").click()
    await in_state(page, "ready")
    await page.locator("#toasts button", has_text="Открыть заказ").click()
    await expect(page.locator("#order-1")).to_have_value("Вода 19 л")

    # The server has it as well: another computer goes on with it.
    await page.locator("#order-2").fill("3")
    await expect(page.locator("[data-kept]")).to_have_text("Черновик сохранён")
    elsewhere = await sign_in("olena")
    await elsewhere.locator("#occupied [data-take]").click()
    await expect(page.locator("#taken")).to_be_visible()
    await elsewhere.goto(f"{place.url}/leads/1")
    await expect(elsewhere.locator("#order-1")).to_have_value("Вода 19 л")
    await elsewhere.locator("#order-3").fill("вул. Хрещатик 1")
    await elsewhere.keyboard.press("Enter")
    await expect(elsewhere.locator(".orders li")).to_contain_text("Новый")
    assert (await kept(place))[0][1]["items"] == "Вода 19 л"
    assert (await ClientOrders(place.database).book(LEAD, "olena")).draft is None


async def test_another_computer_goes_on_with_the_order_that_is_typed(place: Office, sign_in: SignIn) -> None:
    page = await sign_in("olena")
    await at_work(place, page)
    await answered(place, page)
    await page.locator("#orders [data-order-fill]").click()
    await page.keyboard.type("Вода 19 л")
    await expect(page.locator("[data-kept]")).to_have_text("Черновик сохранён")
    elsewhere = await sign_in("olena")
    await elsewhere.locator("#occupied [data-take]").click()
    await expect(elsewhere.locator("#order-1")).to_have_value("Вода 19 л")
    await elsewhere.locator("#order-1").press("Enter")
    await expect(elsewhere.locator("#orders li")).to_contain_text("Новый")
    assert len(await kept(place)) == 1


async def test_doubts_float_up_and_of_two_changes_of_one_value_the_person_chooses(
    place: Office, sign_in: SignIn
) -> None:
    await ordered(place)
    boss, root = await sign_in("boss"), await sign_in("root")
    for page in (boss, root):
        await page.goto(f"{place.url}/leads/1")
    await boss.get_by_role("button", name="Новый заказ").click()
    await boss.locator("#order-1").fill("Кулер")
    await boss.locator("#order-1").press("Enter")
    await expect(boss.locator(".orders li").first).to_contain_text("Не хватает: Количество, Адрес")

    await root.reload()
    for page, quantity in ((boss, "1"), (root, "2")):
        await page.locator(".orders li").first.locator("[data-order-fill]").click()
        await page.locator("#order-2").fill(quantity)
        await page.locator("#order-2").press("Enter")
        if page is boss:
            await expect(page.locator(".orders li").first).to_contain_text("Количество: 1")
    await expect(root.locator("#order-2")).to_have_attribute("aria-invalid", "true")
    await expect(root.locator(".order-form")).to_contain_text("Взять их значение: 1")
    assert (await kept(place))[0] == ("new", {"items": "Кулер", "quantity": "1"})
    await root.locator("#order-2").press("Enter")
    await expect(root.locator(".orders li").first).to_contain_text("Количество: 2")
    assert (await kept(place))[0] == ("new", {"items": "Кулер", "quantity": "2"})


async def test_who_has_no_orders_sees_nothing_of_them(tmp_path: Path, sign_in: SignIn) -> None:
    directory = tmp_path / "plain"
    directory.mkdir()
    async with office(directory) as plain:
        page = await sign_in("olena", url=plain.url)
        await at_work(plain, page)
        await answered(plain, page)
        await expect(page.locator(".card-name")).to_be_visible()
        await alt_r(page)
        await expect(page.locator("#note")).to_be_focused()
        assert await page.locator(".orders, .order-form").count() == 0
