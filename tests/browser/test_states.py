"""The states of a shift that are not an ordinary call, and the windows and networks that a desk lives with."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.async_api import WebSocketRoute, expect

from engine.core.model import AgentId, AgentState, PhoneNumber, SystemPause
from engine.store.imports import import_leads
from tests.browser.conftest import SignIn
from tests.browser.steps import NOTE, answered, at_work, hung_up, in_state, stop_clock, without_timers
from tests.fakes.office import CAMPAIGN, CONFIG, Office, Person, office
from tests.fakes.waiting import poll

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

OLENA = AgentId("olena")
CALLS = 20


def own_room(tmp_path: Path) -> Path:
    """Beside the office that every test has."""
    room = tmp_path / "own"
    room.mkdir()
    return room


async def test_an_optional_result_may_be_left_out(tmp_path: Path, sign_in: SignIn) -> None:
    async with office(own_room(tmp_path), text=CONFIG.replace("mode: required", "mode: optional")) as place:
        page = await sign_in("olena", url=place.url)
        await at_work(place, page)
        await answered(place, page)
        await place.dial(running=False)
        await hung_up(place, page)
        await page.locator('#bar_buttons [data-do="ready"]').click()
        await in_state(page, "ready")


async def test_a_result_does_not_end_a_timed_wrap_up_without_early_exit(tmp_path: Path, sign_in: SignIn) -> None:
    text = CONFIG.replace("mode: required", "mode: timed_no_exit, limit: 10m")
    async with office(own_room(tmp_path), text=text) as place:
        page = await sign_in("olena", url=place.url)
        await at_work(place, page)
        await answered(place, page)
        await place.dial(running=False)
        await hung_up(place, page)
        await expect(page.locator("#bar_state [data-until]")).to_be_visible()
        await page.keyboard.press("1")
        await page.keyboard.press("Control+Enter")
        await expect(page.locator("#saved")).to_contain_text("сохранён")
        assert place.crm.live.board.agents[OLENA].state is AgentState.WRAP_UP


async def test_a_call_that_nobody_takes_asks_for_no_result(tmp_path: Path, sign_in: SignIn) -> None:
    text = CONFIG.replace("phone: 101, campaigns", "phone: 101, leg: on_demand, campaigns")
    async with office(own_room(tmp_path), text=text) as place:
        page = await sign_in("olena", url=place.url)
        await at_work(place, page)
        await place.dial(running=False)
        place.switch.agents_pick_up = False
        place.switch.call_in("+380671234502")
        await expect(page.locator(".lift")).to_be_visible()
        place.switch.agents_let_ring_out()
        await expect(page.locator("#work .note.warn")).to_contain_text("трубку не сняли")
        await expect(page.locator("#tabs")).to_be_hidden()  # nothing is open, nothing waits for a result
        assert place.crm.live.board.agents[OLENA].pause_reason == SystemPause.NO_ANSWER


async def test_a_call_is_told_on_every_page_and_one_key_leads_to_its_card(place: Office, sign_in: SignIn) -> None:
    page = await sign_in("olena")
    await at_work(place, page)
    await page.goto(f"{place.url}/leads")
    await poll(lambda: place.switch.ringing() > 0)
    await expect(page.locator("#own-call")).to_be_hidden()
    place.switch.answer()
    await expect(page.locator("#own-call")).to_contain_text("Разговор: Іваненко Петро")
    await page.keyboard.press("F2")
    await expect(page.locator("#note")).to_be_focused()
    await page.keyboard.press("Control+KeyK")
    await page.keyboard.type("обед")
    await page.keyboard.press("Enter")
    await expect(page.locator("#bar_state")).to_contain_text("После звонка: Обед")


async def test_a_change_is_undone_from_the_list_of_changes(place: Office, sign_in: SignIn) -> None:
    boss = await sign_in("boss")
    await boss.goto(f"{place.url}/leads/1")
    await boss.get_by_label("Город", exact=True).fill("Львів")
    await boss.keyboard.press("Enter")
    await expect(boss.locator("#toasts")).to_contain_text("Город")
    await boss.reload()
    await boss.locator('[data-undo="field:city"]').click()
    await expect(boss.get_by_label("Город", exact=True)).to_have_value("Київ")
    await expect(boss.locator("#toasts")).to_contain_text("Город")  # it is saved
    await boss.reload()
    await expect(boss.get_by_label("Город", exact=True)).to_have_value("Київ")


async def test_tabs_without_a_shared_worker_show_the_same_call_and_one_sounds(place: Office, sign_in: SignIn) -> None:
    page = await sign_in("olena")
    await page.context.add_init_script("delete window.SharedWorker")
    other = await page.context.new_page()
    for tab in (other, page):
        await tab.goto(f"{place.url}/desk")
        await expect(tab.locator('[data-do="login"]')).to_be_enabled()
    assert place.crm.live.desk_readers(OLENA) == 2
    await at_work(place, page)
    await answered(place, page)
    await expect(other.locator(".card-name")).to_have_text("Іваненко Петро")
    await expect(page.locator("#desk")).to_have_attribute("data-sounded", "call")
    assert await other.locator("#desk").get_attribute("data-sounded") is None
    await page.locator("#note").fill(NOTE)
    await expect(page.locator("#kept")).to_have_text("Черновик сохранён")
    await hung_up(place, page)
    await page.keyboard.press("1")
    await page.keyboard.press("Control+Enter")
    for tab in (page, other):
        await in_state(tab, "ready")


async def test_a_result_on_its_way_is_not_said_to_be_missing(place: Office, sign_in: SignIn) -> None:
    page = await sign_in("olena")
    held_back: list[str] | None = None
    links: list[WebSocketRoute] = []

    def slow_link(link: WebSocketRoute) -> None:
        links.append(link)

        def say(message: str | bytes) -> None:
            assert isinstance(message, str)
            if held_back is not None and '"ack"' in message:
                held_back.append(message)
            else:
                link.send(message)

        link.connect_to_server().on_message(say)

    await page.context.add_init_script("delete window.SharedWorker")
    await page.route_web_socket(re.compile("."), slow_link)
    await page.reload()
    await at_work(place, page)
    await answered(place, page)
    await hung_up(place, page)
    held_back = []
    await page.keyboard.press("1")
    await page.keyboard.press("Control+Enter")
    await in_state(page, "ready")
    await expect(page.locator("#tabs .tab")).to_have_count(2)
    await expect(page.locator('#tabs [data-mark="unsaved"]')).to_have_count(0)
    await expect(page.locator("#toasts")).to_be_empty()
    await poll(lambda: bool(held_back))
    for message in held_back:
        links[-1].send(message)
    await expect(page.locator("#toasts")).to_contain_text("Іваненко")
    await expect(page.locator("#tabs .tab")).to_have_count(1)


async def test_a_tab_that_was_hidden_for_ten_minutes_shows_the_call_at_once(place: Office, sign_in: SignIn) -> None:
    page = await sign_in("olena")
    await without_timers(page)
    await at_work(place, page)
    await page.evaluate(
        "Object.defineProperty(document, 'visibilityState', {get: () => 'hidden'});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    await page.context.clock.fast_forward("10:00")
    await stop_clock(page)
    await answered(place, page)
    await expect(page.locator(".card-name")).to_have_text("Іваненко Петро")
    assert "Іваненко" in await page.title()
    await expect(page.locator("#desk")).to_have_attribute("data-sounded", "call")


async def test_the_desk_works_over_plain_http_in_an_office_network(place: Office, sign_in: SignIn) -> None:
    page = await sign_in("olena", url=f"http://crm.lan:{place.port}")
    assert not await page.evaluate("isSecureContext")
    await page.locator("#bar_state").click()
    await expect(page.locator('[data-check="no-notices"]')).to_be_visible()
    await at_work(place, page)
    await answered(place, page)
    await page.locator("#note").fill(NOTE)
    await expect(page.locator("#kept")).to_have_text("Черновик сохранён")
    await page.keyboard.press("F9")
    await in_state(page, "wrap_up")


async def test_twenty_calls_by_keyboard_alone(tmp_path: Path, sign_in: SignIn) -> None:
    async with office(own_room(tmp_path), text=CONFIG) as place:
        rows = [
            Person(
                line=n, phones=(PhoneNumber(f"+3806712346{n:02}"),), name=f"Клієнт {n}", zone="Europe/Kyiv", fields={}
            )
            for n in range(2, CALLS)
        ]
        now_ms = place.clock.now_ms()
        await import_leads(place.database, CAMPAIGN, rows, file_name="more.xlsx", by="test", now_ms=now_ms)
        page = await sign_in("olena", url=place.url)
        await at_work(place, page)
        for number in range(CALLS):
            await answered(place, page)
            await expect(page.locator("#note")).to_be_focused()
            await page.keyboard.type(f"заметка {number}")
            await hung_up(place, page)
            if number % 2:
                await page.keyboard.press("Alt+KeyC")  # call back: when, by a digit
                await page.keyboard.press("Digit1")
            else:
                await page.evaluate("document.activeElement.blur()")
                await page.keyboard.press("Digit2")
            await page.keyboard.press("Control+Enter")
            await expect(page.locator("#note")).to_have_count(0)
        day = await place.records.agent_day(OLENA, 0)
        assert (day["calls"], day["undisposed"]) == (CALLS, 0)
