"""Several cards at once, keys and the palette: what an operator does besides the call that is on the line."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from engine.core.model import LeadId
from tests.browser.conftest import SignIn
from tests.browser.steps import (
    NOTE,
    answered,
    at_work,
    hung_up,
    in_state,
    on_shift,
    saved_as,
    stop_clock,
    without_timers,
)
from tests.contract.store_people import change
from tests.fakes.office import PEOPLE, Office
from tests.fakes.waiting import poll, poll_text

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]


async def promised(place: Office, lead: int, due_at_ms: int, owner: str) -> None:
    """This operator has promised to call."""
    await change(
        place.database,
        "INSERT INTO callbacks "
        "(lead_id, campaign_id, promised_at_ms, due_at_ms, owner, state, created_at_ms, created_by) "
        "VALUES (:lead, 'spring', :due, :due, :owner, 'scheduled', 1, 'test')",
        lead=lead,
        due=due_at_ms,
        owner=owner,
    )


async def press(page: Page, code: str, key: str, virtual: int, modifiers: int = 0) -> None:
    """A key as a Cyrillic layout sends it."""
    session = await page.context.new_cdp_session(page)
    for kind in ("rawKeyDown", "keyUp"):
        event = {"type": kind, "modifiers": modifiers, "key": key, "code": code, "windowsVirtualKeyCode": virtual}
        await session.send("Input.dispatchKeyEvent", event)


async def find(page: Page, text: str) -> None:
    """Ctrl+K on a Ukrainian layout, and what is sought."""
    await press(page, "KeyK", "л", 75, modifiers=2)
    await expect(page.locator("#palette")).to_be_visible()
    await page.keyboard.type(text)


async def test_another_client_is_found_and_opened_beside_the_call(place: Office, sign_in: SignIn) -> None:
    page = await sign_in("olena")
    await at_work(place, page)
    await answered(place, page)
    await page.locator("#note").fill(NOTE)
    await find(page, "шевч")
    await expect(page.locator("#palette li").first).to_contain_text("Шевченко Тарас")
    await page.keyboard.press("Enter")
    await expect(page.locator(".tab:has([aria-current])")).to_contain_text("Шевченко")
    await expect(page.locator(".card-name")).to_have_text("Шевченко Тарас")
    await press(page, "BracketLeft", "х", 219, modifiers=1)
    await expect(page.locator("#note")).to_have_value(NOTE)


async def test_a_call_takes_its_own_tab_and_no_ones_words(place: Office, sign_in: SignIn) -> None:
    page = await sign_in("olena")
    await without_timers(page)
    await at_work(place, page)
    await find(page, "мельник")
    await expect(page.locator("#palette li").first).to_contain_text("Мельник")
    await page.keyboard.press("Enter")
    await expect(page.locator(".card-name")).to_have_text("Мельник Юрій")
    await stop_clock(page)  # in mid-word, however long what follows takes
    field = page.locator('[name="name"]')
    await field.focus()
    await page.keyboard.press("End")
    await poll(lambda: place.switch.ringing() > 0)
    await field.press_sequentially(" Ю")
    place.switch.answer()
    await expect(page.locator('.tab[data-mark="fresh"]')).to_contain_text("Іваненко")
    await expect(field).to_be_focused()
    await field.press_sequentially("!")
    await expect(field).to_have_value("Мельник Юрій Ю!")
    await page.locator('.tab[data-mark="fresh"] [data-tab]').click()
    await expect(page.locator(".card-name")).to_have_text("Іваненко Петро")


async def test_a_result_can_be_corrected_from_the_toast_and_from_the_list(place: Office, sign_in: SignIn) -> None:
    page = await sign_in("olena")
    await at_work(place, page)
    await answered(place, page)
    await place.dial(running=False)
    await hung_up(place, page)
    await saved_as(page, "sale")
    await in_state(page, "ready")
    await expect(page.locator("#toasts button")).to_be_visible()
    await page.keyboard.press("Control+z")
    await expect(page.locator('[value="sale"]')).to_be_checked()
    await saved_as(page, "refusal")
    await expect(page.locator("#note")).to_have_count(0)

    await page.reload()
    await page.locator("[data-open-call]").click()
    await expect(page.locator('[value="refusal"]')).to_be_checked()
    await page.locator("#note").fill(NOTE)
    await saved_as(page, "later")
    await expect(page.locator("#note")).to_have_count(0)
    (past,) = await place.records.lead_history(LeadId(1))
    assert (past.disposition, past.note) == ("later", NOTE)
    assert [one.disposition for one in await place.records.disposition_history(past.id)] == ["sale", "refusal", "later"]


async def test_one_window_of_all_sounds(place: Office, sign_in: SignIn) -> None:
    page = await sign_in("olena")
    other = await page.context.new_page()
    await other.goto(f"{place.url}/desk")
    await expect(other.locator('[data-do="login"]')).to_be_enabled()
    await other.locator("#bar_state").click()  # both may sound now
    await page.bring_to_front()
    await at_work(place, page)
    await answered(place, page)
    await expect(other.locator(".card-name")).to_have_text("Іваненко Петро")
    await expect(page.locator("#desk")).to_have_attribute("data-sounded", "call")
    assert await other.locator("#desk").get_attribute("data-sounded") is None


async def test_a_call_of_ones_own_that_falls_due_is_heard_and_said_in_one_window(
    place: Office, sign_in: SignIn
) -> None:
    page = await sign_in("olena")
    other = await page.context.new_page()
    await other.goto(f"{place.url}/desk")
    await expect(other.locator('[data-do="login"]')).to_be_enabled()
    await other.locator("#bar_state").click()  # both may sound now
    due_at_ms = place.clock.now_ms() + 1_500
    for lead, owner in ((5, "olena"), (6, "ivan")):
        await promised(place, lead, due_at_ms, owner)
    await page.bring_to_front()
    await page.keyboard.press("F2")
    await expect(page.locator("#toasts")).to_contain_text("Яровая Ольга")
    await expect(other.locator("#toasts")).to_contain_text("Яровая Ольга")
    await expect(page.locator("#desk")).to_have_attribute("data-sounded", "callback")
    assert await other.locator("#desk").get_attribute("data-sounded") is None
    await expect(page.locator("#toasts")).not_to_contain_text("Мельник")
    await expect(page.locator(".own-calls .error")).to_be_visible()


async def test_the_script_speaks_of_this_client(place: Office, sign_in: SignIn) -> None:
    page = await sign_in("olena")
    await at_work(place, page)
    await answered(place, page)
    await expect(page.locator("#script h3")).to_have_text("Здравствуйте, Іваненко Петро!")
    await expect(page.locator("#script strong")).to_have_text("Київ")
    await expect(page.locator("#script blockquote")).to_contain_text("Дорого?")


async def test_a_key_that_gets_in_the_way_is_switched_off_everywhere(place: Office, sign_in: SignIn) -> None:
    page = await sign_in("olena")
    await expect(page.locator('[data-do="login"]')).to_be_enabled()
    await press(page, "Slash", ".", 191, modifiers=2)
    await page.locator('#keys [value="F2"]').uncheck()
    await page.keyboard.press("Escape")
    await page.keyboard.press("F2")

    async def off() -> str:
        user = await place.records.user_by_login("olena")
        return str(user.preferences.get("keys_off")) if user is not None else ""

    await poll_text(off, "F2")
    elsewhere = await sign_in("olena")
    await elsewhere.keyboard.press("F2")
    await expect(elsewhere.locator("#desk")).not_to_have_attribute("data-state", "connecting")
    assert place.crm.live.board.agents.get("olena") is None or place.switch.legs == {}  # type: ignore[call-overload]


async def test_beside_the_tabs_stands_who_waits_and_what_is_promised_for_today(place: Office, sign_in: SignIn) -> None:
    page = await sign_in("olena")
    counts = page.locator("#counts")
    await expect(counts).to_be_empty()  # not at work yet
    await promised(place, 5, place.clock.now_ms() + 1_000, "olena")
    await on_shift(page)
    await expect(counts).to_contain_text("очередь 0")
    await expect(counts).to_contain_text("1 перезвон, уже пора: 1")
    callers = [place.switch.call_in(number) for _, number, _ in PEOPLE[:2]]
    await expect(counts).to_contain_text("очередь 2")
    place.switch.hang_up(callers[0])
    await expect(counts).to_contain_text("очередь 1")

    # Also in a conversation: the one who waited has it, another one waits.
    await page.keyboard.press("F2")
    await in_state(page, "talking")
    await expect(counts).to_contain_text("очередь 0")
    place.switch.call_in(PEOPLE[2][1])
    await expect(counts).to_contain_text("очередь 1")
    await expect(counts).to_contain_text("1 перезвон")


async def test_the_foot_counts_the_shift(place: Office, sign_in: SignIn) -> None:
    page = await sign_in("olena")
    await at_work(place, page)
    await answered(place, page)
    await hung_up(place, page)
    await saved_as(page, "sale")
    await expect(page.locator("#shift")).to_contain_text("1 разговор")
    await expect(page.locator("#shift")).to_contain_text("из 1:00:00")
