"""An operator at the desk, with hands on the keyboard."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from aiohttp import web
from playwright.async_api import Browser, Page, expect

from engine.core.effects import Bridge, Mute, OriginateOutside, SendDigits, TransferOut
from engine.core.model import LeadId, PhoneNumber, bridge_of_leg
from tests.browser.conftest import SignIn
from tests.browser.steps import NOTE, answered, at_work, hung_up, in_state, saved_as
from tests.fakes.office import CONFIG, PASSWORD, Office, office
from tests.fakes.waiting import poll

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]


async def test_a_whole_call_by_keyboard_on_a_cyrillic_layout(place: Office, sign_in: SignIn) -> None:
    page = await sign_in("olena")
    await at_work(place, page)
    await answered(place, page)
    await expect(page.locator(".card-name")).to_have_text("Іваненко Петро")
    await expect(page.locator("#note")).to_be_focused()
    await page.keyboard.type(NOTE)

    keys = await page.context.new_cdp_session(page)
    held = {"type": "rawKeyDown", "modifiers": 1, "key": "з", "code": "KeyP", "windowsVirtualKeyCode": 80}
    await keys.send("Input.dispatchKeyEvent", held)  # Alt+P as a Russian keyboard sends it
    await expect(page.locator("#pause-menu")).to_be_visible()
    await page.locator('[data-reason="lunch"]').click()
    await expect(page.locator("#bar_state")).to_contain_text("После звонка: Обед")

    await hung_up(place, page)
    await page.locator(".choice").first.focus()
    await page.evaluate("document.activeElement.blur()")
    await page.keyboard.press("2")
    await page.keyboard.press("Control+Enter")
    await in_state(page, "paused")
    (past,) = await place.records.lead_history(LeadId(1))
    assert (past.disposition, past.note, past.agent) == ("refusal", NOTE, "olena")


async def test_when_the_call_is_over_a_digit_is_the_result_and_not_a_note(place: Office, sign_in: SignIn) -> None:
    page = await sign_in("olena")
    await at_work(place, page)
    await answered(place, page)
    await expect(page.locator("#note")).to_be_focused()
    place.switch.customers_hang_up()
    await expect(page.locator("#note")).not_to_be_focused()
    await page.keyboard.press("2")
    await page.keyboard.press("Control+Enter")
    await in_state(page, "ready")
    (past,) = await place.records.lead_history(LeadId(1))
    assert (past.disposition, past.note) == ("refusal", "")


async def test_a_callback_takes_a_time_and_says_when_it_lacks_one(place: Office, sign_in: SignIn) -> None:
    page = await sign_in("olena")
    await at_work(place, page)
    await answered(place, page)
    await hung_up(place, page)
    await saved_as(page, "callback")
    await expect(page.locator("#result-error")).to_have_text("Выберите время перезвона.")
    await page.get_by_text("через 30 минут").click()
    await page.keyboard.press("Control+Enter")
    await in_state(page, "ready")
    (past,) = await place.records.lead_history(LeadId(1))
    assert past.callback_at_ms is not None
    assert 25 * 60_000 < past.callback_at_ms - place.clock.now_ms() <= 30 * 60_000


async def test_a_callback_is_said_in_words_and_shown_before_it_is_saved(place: Office, sign_in: SignIn) -> None:
    page = await sign_in("olena")
    await at_work(place, page)
    await answered(place, page)
    await hung_up(place, page)
    await page.locator('[value="callback"]').check(force=True)
    await page.locator("#callback-said").fill("завтра 15:00")
    await expect(page.locator("#callback-heard")).to_contain_text("15:00")
    await page.keyboard.press("Control+Enter")
    await in_state(page, "ready")
    (past,) = await place.records.lead_history(LeadId(1))
    assert past.callback_at_ms is not None
    assert past.callback_at_ms > place.clock.now_ms()


async def test_what_is_typed_survives_a_reload(place: Office, sign_in: SignIn) -> None:
    page = await sign_in("olena")
    await at_work(place, page)
    await answered(place, page)
    await page.locator("#note").fill(NOTE)
    await page.locator('[value="later"]').check(force=True)
    await page.reload()
    await expect(page.locator("#note")).to_have_value(NOTE)
    await expect(page.locator('[value="later"]')).to_be_checked()
    await in_state(page, "talking")


async def test_what_is_typed_is_on_the_server_within_seconds(place: Office, sign_in: SignIn) -> None:
    page = await sign_in("olena")
    await at_work(place, page)
    await answered(place, page)
    await page.locator("#note").fill(NOTE)
    await expect(page.locator("#kept")).to_have_text("Черновик сохранён")
    elsewhere = await sign_in("olena")  # another computer: nothing is stored there
    await expect(elsewhere.locator("#occupied")).to_be_visible()
    await expect(page.locator("#taken")).to_be_hidden()  # nobody is thrown out before the other one has said so
    await elsewhere.locator("#occupied [data-take]").click()
    await expect(elsewhere.locator("#note")).to_have_value(NOTE)
    await expect(page.locator("#taken")).to_be_visible()
    await page.locator("#taken [data-take]").click()
    await expect(page.locator("#taken")).to_be_hidden()
    await expect(elsewhere.locator("#taken")).to_be_visible()


async def test_a_push_never_touches_what_is_being_typed(place: Office, sign_in: SignIn) -> None:
    page = await sign_in("olena")
    await at_work(place, page)
    await answered(place, page)
    await page.locator("#note").fill(NOTE)
    await page.keyboard.press("F4")
    await in_state(page, "held")
    await expect(page.locator("#note")).to_have_value(NOTE)
    await expect(page.locator("#note")).to_be_focused()
    await page.keyboard.press("F4")
    await page.keyboard.press("F9")
    await in_state(page, "wrap_up")
    await expect(page.locator("#note")).to_be_focused()
    await expect(page.locator("#note")).to_have_value(NOTE)


async def test_a_lost_server_is_said_and_the_same_desk_comes_back(place: Office, sign_in: SignIn) -> None:
    page = await sign_in("olena")
    await at_work(place, page)
    await answered(place, page)
    await page.locator("#note").fill(NOTE)
    (site,) = place.runner.sites
    await site.stop()
    await place.crm.live.shut()
    await expect(page.locator("#reconnecting")).to_be_visible()
    await expect(page.locator('[data-do="hangup"]')).to_be_disabled()
    await page.locator("#note").press_sequentially("!")
    await web.TCPSite(place.runner, "127.0.0.1", place.port).start()
    await expect(page.locator("#reconnecting")).to_be_hidden()
    await expect(page.locator('[data-do="hangup"]')).to_be_enabled()
    await expect(page.locator("#note")).to_have_value(f"{NOTE}!")
    await expect(page.locator("#kept")).to_have_text("Черновик сохранён")


async def test_a_server_restart_in_a_conversation_ends_in_the_same_desk(tmp_path: Path, sign_in: SignIn) -> None:
    directory = tmp_path / "restarted"
    directory.mkdir()
    async with office(directory) as before:
        page = await sign_in("olena", url=before.url)
        await at_work(before, page)
        await answered(before, page)
        await page.locator("#note").fill(NOTE)
        await poll(lambda: bool(before.crm.live.board.attempts))
    async with office(directory, port=before.port, people=False, switch=before.switch) as after:
        await page.locator("#note").press_sequentially("!")
        await expect(page.locator('#bar_buttons [data-do="hangup"]')).to_be_enabled()
        await in_state(page, "talking")
        await expect(page.locator("#note")).to_have_value(f"{NOTE}!")
        await page.keyboard.press("F9")
        await in_state(page, "wrap_up")
        await saved_as(page, "sale")
        await expect(page.locator("#note")).to_have_count(0)
        (past,) = await after.records.lead_history(LeadId(1))
        assert (past.disposition, past.note) == ("sale", f"{NOTE}!")


async def test_two_tabs_share_one_socket_and_one_call(place: Office, sign_in: SignIn) -> None:
    page = await sign_in("olena")
    other = await page.context.new_page()
    await other.goto(f"{place.url}/desk")
    await at_work(place, page)
    await answered(place, page)
    await expect(other.locator(".card-name")).to_have_text("Іваненко Петро")
    assert place.crm.live.desk_readers("olena") == 1  # type: ignore[arg-type]
    await page.locator("#note").fill(NOTE)
    await page.locator('[value="sale"]').check(force=True)
    place.switch.customers_hang_up()
    await page.keyboard.press("Control+Enter")
    for tab in (page, other):
        await in_state(tab, "ready")


async def test_a_result_that_cannot_be_saved_is_said_and_saved_later(
    place: Office, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def not_in_time(_: object) -> str:
        raise TimeoutError

    page = await sign_in("olena")
    await at_work(place, page)
    await answered(place, page)
    await hung_up(place, page)
    await page.locator('[value="sale"]').check(force=True)
    with monkeypatch.context() as broken:
        broken.setattr(place.driver, "do", not_in_time)
        await page.keyboard.press("Control+Enter")
        await expect(page.locator("#saved")).to_contain_text("Ещё не сохранено")
    await in_state(page, "ready")
    (past,) = await place.records.lead_history(LeadId(1))
    assert past.disposition == "sale"


async def test_a_conversation_left_without_a_result_gets_one_later(tmp_path: Path, sign_in: SignIn) -> None:
    directory = tmp_path / "timed"
    directory.mkdir()
    async with office(directory, text=CONFIG.replace("mode: required", "mode: timed, limit: 1s")) as timed:
        page = await sign_in("olena", url=timed.url)
        await at_work(timed, page)
        await answered(timed, page)
        await page.locator("#note").fill(NOTE)
        timed.switch.customers_hang_up()
        await expect(page.locator('.tab[data-mark="unsaved"]')).to_contain_text("Іваненко")
        await page.locator('.tab[data-mark="unsaved"] [data-tab]').click()
        await expect(page.locator("#note")).to_have_value(NOTE)
        await saved_as(page, "sale")
        await expect(page.locator("#note")).to_have_count(0)
        await expect(page.locator('.tab[data-mark="unsaved"]')).to_have_count(0)
        (past,) = await timed.records.lead_history(LeadId(1))
        assert (past.disposition, past.note) == ("sale", NOTE)


async def test_signing_out_elsewhere_leads_to_the_log_in(place: Office, sign_in: SignIn, chromium: Browser) -> None:
    page = await sign_in("olena")
    await expect(page.locator('[data-do="login"]')).to_be_enabled()
    # From where no desk is open: a second desk would take this one over first.
    elsewhere = await chromium.new_context(extra_http_headers={"Origin": place.url})
    await elsewhere.request.post(f"{place.url}/login", form={"login": "olena", "password": PASSWORD})
    await elsewhere.request.post(f"{place.url}/profile/sign-out-everywhere")
    await page.wait_for_url("**/login")
    await elsewhere.close()


async def test_the_supervisor_sees_it_live_and_starts_a_campaign(place: Office, sign_in: SignIn) -> None:
    boss = await sign_in("boss")
    await boss.locator('#campaigns [data-campaign="spring"]').click()
    await expect(boss.locator("#campaigns")).to_contain_text("нет готовых операторов")
    page = await sign_in("olena")
    await at_work(place, page)
    await answered(place, page)
    await expect(boss.locator("#agents")).to_contain_text("Разговор")
    await expect(boss.locator("#calls")).to_contain_text("+380671234501")


async def test_the_supervisor_pauses_an_operator_and_ends_a_shift(place: Office, sign_in: SignIn) -> None:
    boss, page = await sign_in("boss"), await sign_in("olena")
    await at_work(place, page)
    await answered(place, page)
    await boss.locator('[data-command="pause"][data-agent="olena"]').click()
    await expect(page.locator("#bar_state")).to_contain_text("После звонка: поставил старший смены")
    await boss.locator('[data-command="logout"][data-agent="olena"]').click()
    await expect(page.locator("#bar_state")).to_contain_text("После звонка: конец смены")
    await hung_up(place, page)
    await saved_as(page, "sale")
    await in_state(page, "logged_out")
    done = {(row.by, row.action) for row in await place.records.audit_page() if row.subject == "agent:olena"}
    assert done == {("boss", "agent_paused"), ("boss", "agent_logged_out")}


async def test_a_button_that_is_being_pressed_stays_until_it_is_let_go(place: Office, sign_in: SignIn) -> None:
    boss, other, page = await sign_in("boss"), await sign_in("root"), await sign_in("olena")
    await at_work(place, page)
    await expect(boss.locator("#agents")).to_contain_text("Готов")
    await boss.locator('[data-command="pause"][data-agent="olena"]').hover()
    await boss.mouse.down()
    await answered(place, page)
    await expect(other.locator("#agents")).to_contain_text("Разговор")  # who presses nothing sees it at once
    await boss.mouse.up()
    await expect(page.locator("#bar_state")).to_contain_text("После звонка: поставил старший смены")
    await expect(boss.locator("#agents")).to_contain_text("Разговор")


async def test_hostile_lead_fields_run_nothing(place: Office, sign_in: SignIn) -> None:
    page = await sign_in("olena")
    await at_work(place, page)
    for _ in range(4):
        await answered(place, page)
        if await page.locator(".card-name").inner_text() == "O'Neill <b>Bob</b>":
            break
        await hung_up(place, page)
        await saved_as(page, "sale")
        await in_state(page, "ready")
    await expect(page.locator(".card-name")).to_have_text("O'Neill <b>Bob</b>")
    assert await page.locator("#client img").count() == 0


async def test_the_lead_list_searches_while_one_types(place: Office, sign_in: SignIn) -> None:
    boss = await sign_in("boss")
    await boss.goto(f"{place.url}/leads")
    await boss.locator('[name="q"]').press_sequentially("сидор")
    await expect(boss.locator("#rows tbody tr")).to_have_count(1)
    await expect(boss.locator('[name="q"]')).to_be_focused()
    await expect(boss.locator("#rows")).to_contain_text("Сидорова")


async def test_the_microphone_and_digits_by_keys(place: Office, sign_in: SignIn) -> None:
    page = await sign_in("olena")
    await at_work(place, page)
    await answered(place, page)
    await page.keyboard.press("Alt+KeyM")
    await expect(page.locator("#bar_state")).to_contain_text("Вас не слышат")
    await page.keyboard.press("Alt+KeyT")
    await expect(page.locator("#digits-menu")).to_be_visible()
    await page.keyboard.press("Digit5")
    await page.keyboard.press("Shift+Digit3")
    await poll(lambda: [o.digits for o in place.switch.orders if isinstance(o, SendDigits)] == ["5", "#"])
    await page.keyboard.press("Escape")
    await page.keyboard.press("Alt+KeyM")
    await expect(page.locator("#bar_state")).not_to_contain_text("Вас не слышат")
    assert [o.on for o in place.switch.orders if isinstance(o, Mute)] == [True, False]


async def a_call_and_a_free_colleague(place: Office, sign_in: SignIn) -> tuple[Page, Page]:
    """Olena talks and has a note; Ivan is ready, and nobody else is called."""
    olena, ivan = await sign_in("olena"), await sign_in("ivan")
    await at_work(place, olena)
    await answered(place, olena)
    await expect(olena.locator("#note")).to_be_focused()
    await olena.keyboard.type(NOTE)
    await place.dial(running=False)
    await at_work(place, ivan)
    await place.dial(running=False)
    return olena, ivan


async def test_a_customer_and_the_note_go_on_to_a_colleague(place: Office, sign_in: SignIn) -> None:
    olena, ivan = await a_call_and_a_free_colleague(place, sign_in)
    await olena.keyboard.press("F8")
    await olena.locator('#transfer-menu [data-to="ivan"]').click()
    await in_state(olena, "wrap_up")
    await in_state(ivan, "talking")
    await expect(ivan.locator(".card-name")).to_have_text("Іваненко Петро")
    await expect(ivan.locator(".handed")).to_contain_text(NOTE)
    await expect(ivan.locator(".handed")).to_contain_text("Олена Коваль")
    await olena.keyboard.press("F2")
    await in_state(olena, "ready")


async def test_a_colleague_is_asked_joins_and_takes_the_customer_over(place: Office, sign_in: SignIn) -> None:
    olena, ivan = await a_call_and_a_free_colleague(place, sign_in)
    await olena.keyboard.press("F8")
    await olena.locator('#transfer-menu [data-colleague="ivan"]').click()
    await expect(olena.locator("#bar_state")).to_contain_text("клиент слышит музыку")
    await in_state(ivan, "helping")
    await expect(ivan.locator("#bar_state")).to_contain_text("Олена Коваль")
    await olena.keyboard.press("F4")
    await expect(olena.locator("#bar_state")).to_contain_text("ждёт, ничего не слышит")
    await olena.keyboard.press("Alt+KeyJ")
    await expect(olena.locator("#bar_state")).to_contain_text("слышат друг друга все трое")
    await ivan.keyboard.press("F9")
    await in_state(ivan, "ready")
    await in_state(olena, "talking")

    await olena.keyboard.press("F8")
    await olena.locator('#transfer-menu [data-colleague="ivan"]').click()
    await in_state(ivan, "helping")
    await expect(olena.locator("#bar_state")).to_contain_text("клиент слышит музыку")
    await olena.keyboard.press("F8")
    await in_state(olena, "wrap_up")
    await in_state(ivan, "talking")
    await expect(ivan.locator(".card-name")).to_have_text("Іваненко Петро")
    await expect(ivan.locator(".handed")).to_contain_text(NOTE)


async def test_a_customer_goes_on_to_a_number_outside(place: Office, sign_in: SignIn) -> None:
    olena = await sign_in("olena")
    await at_work(place, olena)
    await answered(place, olena)
    await place.dial(running=False)
    await olena.keyboard.press("F8")
    await olena.locator("#transfer-number").fill("12")
    await olena.locator('[data-typed="transfer-number"]').click()
    await expect(olena.locator("#toasts")).to_contain_text("+380")
    await olena.keyboard.press("F8")
    await expect(olena.locator("#transfer-number")).to_have_value("12")  # to be mended, not typed again
    await olena.locator("#transfer-number").fill("050 111 22 33")
    await olena.locator('[data-typed="transfer-number"]').click()
    await in_state(olena, "wrap_up")
    (out,) = [o for o in place.switch.orders if isinstance(o, TransferOut)]
    assert out.number == PhoneNumber("+380501112233")


async def test_a_number_outside_is_asked_first_all_three_talk_and_the_customer_is_handed_over(
    place: Office, sign_in: SignIn
) -> None:
    olena = await sign_in("olena")
    await at_work(place, olena)
    tab_icon = olena.locator('link[rel="icon"]')
    await expect(tab_icon).to_have_attribute("href", re.compile(r"/icon\.svg"))
    await answered(place, olena)
    await expect(tab_icon).to_have_attribute("href", re.compile(r"/icon-call\.svg"))
    await place.dial(running=False)
    await olena.keyboard.press("F8")
    await olena.locator("#transfer-number").fill("050 111 22 33")
    await olena.locator("[data-asked]").click()
    await expect(olena.locator("#bar_state")).to_contain_text("+380501112233 · телефон звонит")
    (call,) = [o for o in place.switch.orders if isinstance(o, OriginateOutside)]
    place.switch.pick_up(call.leg)
    await expect(olena.locator("#bar_state")).to_contain_text("клиент слышит музыку")
    await olena.keyboard.press("Alt+J")
    await expect(olena.locator("#bar_state")).to_contain_text("слышат друг друга все трое")
    await olena.keyboard.press("F8")
    await expect(olena.locator("#desk")).to_have_attribute("data-state", "wrap_up")
    (customer, *_) = place.switch.customers
    assert Bridge(customer, call.leg, bridge_of_leg(call.leg), tone=False) in place.switch.orders
