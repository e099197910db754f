"""Every screen there is, one after another: photographed by `reference`, judged by `test_access`.

`tour` works a shift in an office of its own and stops wherever a person sees another screen.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from aiohttp import web
from playwright.async_api import Browser, Page, expect

from engine.core.model import AttemptId, CampaignId, LeadId, PhoneNumber
from engine.orderbook import STATE, Wanted, save
from engine.store.imports import import_leads
from tests.browser.conftest import WAIT_MS
from tests.browser.steps import in_state, on_shift
from tests.fakes.office import CAMPAIGN, CONFIG, ORDERS, PASSWORD, PEOPLE, Office, Person, office
from tests.fakes.waiting import poll

NOTE: Final = "Просит перезвонить завтра после обеда"
STRANGER: Final = "+380501112233"
AUTUMN: Final = CampaignId("autumn")
#: Maria looks at each client first, Ivan's phone rings for every call.
ROOMS: Final = (
    CONFIG.replace("phone: 102, campaigns", "phone: 102, leg: on_demand, campaigns", 1).replace(
        'name: "Осень"\n    pacing: {mode: progressive}',
        'name: "Осень"\n    pacing: {mode: preview, seconds: 90, max_skips: 2}',
    )
    + "tasks: {types: {letter: {labels: {ru: Письмо, uk: Лист, en: Letter}, tier: 2}}}\n"
    + ORDERS
)
THEMES: Final = ("light", "dark")

Show = Callable[[str, Page], Awaitable[None]]


async def dressed(page: Page, theme: str) -> None:
    """The page in this theme's colours."""
    await page.evaluate("theme => (document.documentElement.dataset.theme = theme)", theme)


class Visitor:
    """Whoever walks through the screens: opens pages in one language, and stops to show them."""

    def __init__(self, browser: Browser, place: Office, language: str, show: Show, script: Path | None) -> None:
        self.place = place
        self.show = show
        self._browser = browser
        self._language = language
        self._script = script

    async def page(self) -> Page:
        """A computer of its own."""
        context = await self._browser.new_context(
            viewport={"width": 1366, "height": 768}, locale=self._language, reduced_motion="reduce"
        )
        if self._script is not None:
            await context.add_init_script(path=self._script)  # the policy holds for pages, not for who tests them
        context.set_default_timeout(WAIT_MS)
        return await context.new_page()

    async def signed_in(self, login: str) -> Page:
        """Somebody at a computer of their own."""
        page = await self.page()
        await page.goto(f"{self.place.url}/login")
        await page.fill("#login", login)
        await page.fill("#password", PASSWORD)
        await page.keyboard.press("Enter")
        await page.wait_for_selector(".top")
        return page


async def saved(page: Page, key: str = "1") -> None:
    """The call is over and its result is given."""
    await in_state(page, "wrap_up")
    await page.evaluate("document.activeElement.blur()")
    await page.keyboard.press(key)
    await page.keyboard.press("Control+Enter")


async def people(place: Office) -> None:
    """Leads of the second campaign, and a second client with a number of the first."""
    rows = [
        Person(
            line=line, phones=(PhoneNumber(number[:-2] + f"{90 + line}"),), name=name, zone="Europe/Kyiv", fields=fields
        )
        for line, (name, number, fields) in enumerate(PEOPLE[:2], 2)
    ]
    now_ms = place.clock.now_ms()
    await import_leads(place.database, AUTUMN, rows, file_name="autumn.xlsx", by="test", now_ms=now_ms)
    await place.records.create_caller(
        campaign=CAMPAIGN,
        attempt=AttemptId("twin"),
        number=PhoneNumber(PEOPLE[5][1]),
        name="Мельник Юрій Іванович",
        zone=None,
        fields={"city": "Полтава"},
        now_ms=now_ms,
    )
    orders = place.loaded.policy.orders
    assert orders is not None
    done = {"items": "Вода 19 л", "quantity": "2", "address": "вул. Хрещатик 1, кв. 5", STATE: "done"}
    doubtful = {"items": "Кулер", "quantity": "1", "comment": "подзвонити за годину", STATE: "in_work"}
    for lead, after in itertools.product((1, 2), (done, doubtful)):
        key = f"{lead}-{after[STATE]}"
        wanted = Wanted(lead=LeadId(lead), order=None, before={}, after=after, key=key, login="olena", at_ms=now_ms)
        await save(place.database, orders, wanted)


async def tour(browser: Browser, directory: Path, language: str, show: Show, script: Path | None = None) -> None:
    """Stop at every screen; the colours are for the one who looks to choose. `script` is in every page."""
    async with office(directory, text=ROOMS) as place:
        for login in ("olena", "ivan", "maria", "boss", "root"):
            await place.records.set_user_looks(login, language=language, theme="light")
        await people(place)
        visitor = Visitor(browser, place, language, show, script)
        await _door(visitor)
        maria = await _preview(visitor)
        await _handset(visitor)
        olena = await _conversation(visitor, maria)
        await _callers(visitor, olena)
        await _office(visitor)
        await _lost(visitor, olena)
        for context in list(browser.contexts):
            await context.close()
        assert place.crm.csp_reports == 0


async def _door(visitor: Visitor) -> None:
    page = await visitor.page()
    await page.goto(f"{visitor.place.url}/login")
    await visitor.show("login", page)
    await page.fill("#login", "olena")
    await page.fill("#password", "wrong")
    await page.keyboard.press("Enter")
    await page.wait_for_selector('[role="alert"]')
    await visitor.show("login-wrong", page)


async def _preview(visitor: Visitor) -> Page:
    place, page = visitor.place, await visitor.signed_in("maria")
    await on_shift(page)
    await place.dial(AUTUMN)
    await page.keyboard.press("F2")
    await in_state(page, "preview")
    await visitor.show("preview", page)
    await page.keyboard.press("Alt+KeyS")
    await visitor.show("preview-skip", page)
    await page.keyboard.press("Escape")
    await page.keyboard.press("F2")
    await in_state(page, "reserved")
    await poll(lambda: place.switch.ringing() > 0)
    await visitor.show("dialing", page)
    place.switch.answer()
    await in_state(page, "talking")
    await place.dial(AUTUMN, running=False)
    place.switch.customers_hang_up()
    await saved(page)
    await in_state(page, "ready")
    return page


async def _conversation(visitor: Visitor, maria: Page) -> Page:
    place, show, page = visitor.place, visitor.show, await visitor.signed_in("olena")
    await page.wait_for_selector('[data-do="login"]:not(:disabled)')
    await show("desk-start", page)
    await on_shift(page)
    await show("desk-begun", page)
    await page.keyboard.press("F2")
    await in_state(page, "ready")
    await show("desk-ready", page)
    await page.keyboard.press("Alt+KeyP")
    await page.wait_for_selector("#pause-menu:popover-open")
    await show("pause-menu", page)
    await page.keyboard.press("Enter")
    await in_state(page, "paused")
    await page.wait_for_selector("#work .timer[data-limit]")
    await show("desk-pause", page)
    await place.dial()
    await page.keyboard.press("F2")
    await poll(lambda: place.switch.ringing() > 0)
    place.switch.answer()
    await in_state(page, "talking")
    await page.fill("#note", NOTE)
    await show("desk-talking", page)
    await page.keyboard.press("Alt+KeyR")
    await expect(page.locator("#order-1")).to_be_focused()
    await show("order-form", page)
    await page.locator("[data-order-shut]").click()
    await place.dial(running=False)
    await page.keyboard.press("Alt+KeyT")
    await page.wait_for_selector("#digits-menu:popover-open")
    await show("digits", page)
    await page.keyboard.press("Escape")
    await page.keyboard.press("F8")
    await page.wait_for_selector("#transfer-menu button")
    await show("transfer", page)
    await page.fill("#transfer-number", STRANGER)
    await page.locator("#transfer-menu [data-asked]").click()
    await expect(page.locator('#bar_buttons [data-act="end"]')).to_be_visible()
    await show("asking-a-number", page)
    await page.keyboard.press("F9")
    await expect(page.locator('#bar_buttons [data-do="hangup"]')).to_be_visible()
    await page.keyboard.press("F8")
    await page.locator("#transfer-menu [data-colleague=maria]").click()
    await expect(page.locator('#bar_buttons [data-act="conference"]')).to_be_visible()
    await show("asking-a-colleague", page)
    await show("asked-by-a-colleague", maria)
    await page.keyboard.press("Alt+KeyJ")
    await expect(page.locator('#bar_buttons [data-act="conference"]')).to_have_count(0)
    await show("conference", page)
    await page.keyboard.press("F9")
    await expect(page.locator('#bar_buttons [data-do="hangup"]')).to_be_visible()
    await page.locator("#pause-menu [data-reason=lunch]").evaluate("button => button.click()")
    await page.keyboard.press("F4")
    await in_state(page, "held")
    await show("desk-held-then-pause", page)
    await page.keyboard.press("F4")
    await in_state(page, "talking")
    await page.locator("#bar_buttons [data-do=ready]").click()  # no pause after all
    await page.keyboard.press("Control+KeyK")
    await page.keyboard.type("шев")
    await page.wait_for_selector("#palette li .soft")
    await show("palette", page)
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".work.two")
    await show("desk-second-client", page)
    await page.keyboard.press("Control+Slash")
    await page.wait_for_selector("#keys[open]")
    await show("keys", page)
    await page.keyboard.press("Escape")
    await page.keyboard.press("Alt+BracketLeft")
    place.switch.customers_hang_up()
    await in_state(page, "wrap_up")
    await page.evaluate("document.activeElement.blur()")
    await page.keyboard.press("3")
    await page.keyboard.press("Control+Enter")
    await expect(page.locator("#result-error")).to_be_visible()
    await show("desk-wrap-up", page)
    await page.locator('#callback label:has([data-when="1"])').click()
    await page.locator('[name="mine"]').check()
    await page.keyboard.press("Control+Enter")
    await in_state(page, "ready")
    await expect(page.locator("#toasts button")).to_be_visible()
    await show("desk-saved", page)
    await page.locator("#tasks [data-new-task]").click()
    await page.fill("#task-title", "Отправить договор")
    await page.fill("#task-when", "когда-нибудь")
    await page.keyboard.press("Enter")
    await expect(page.locator("#task-problem")).to_be_visible()
    await show("new-task", page)
    await page.fill("#task-when", "завтра 15:00")  # not of this time slot: it would be handed out next
    await page.keyboard.press("Enter")
    await expect(page.locator(".task-list li")).to_have_count(1)
    await show("desk-tasks", page)
    return page


async def _handset(visitor: Visitor) -> None:
    place, page = visitor.place, await visitor.signed_in("ivan")
    await on_shift(page)
    place.switch.agents_pick_up = False
    await page.keyboard.press("F2")
    await in_state(page, "ready")
    leg = place.switch.call_in(PEOPLE[1][1])
    await in_state(page, "reserved")
    await expect(page.locator(".lift")).to_be_visible()
    await visitor.show("lift-the-handset", page)
    place.switch.agents_let_ring_out()
    await in_state(page, "paused")
    await expect(page.locator("#work .note.warn")).to_be_visible()
    await visitor.show("missed-call", page)
    place.switch.hang_up(leg)
    place.switch.agents_pick_up = True
    await page.locator("[data-do=logout]").click()
    await in_state(page, "logged_out")
    await page.context.close()


async def _callers(visitor: Visitor, page: Page) -> None:
    place, show = visitor.place, visitor.show
    leg = place.switch.call_in(PEOPLE[5][1])
    await expect(page.locator("[data-pick]")).to_have_count(2)
    await show("who-is-calling", page)
    elsewhere = await page.context.new_page()
    await elsewhere.goto(f"{place.url}/leads")
    await expect(elsewhere.locator("#own-call")).to_be_visible()
    await show("call-on-another-page", elsewhere)
    await elsewhere.close()
    await page.keyboard.press("1")
    await expect(page.locator(".card-name")).to_be_visible()
    place.switch.hang_up(leg)
    await saved(page)
    await in_state(page, "ready")
    leg = place.switch.call_in(STRANGER)
    await expect(page.locator("#caller-number")).to_have_value("…2233")
    await show("new-client", page)
    place.switch.hang_up(leg)
    await saved(page)
    await in_state(page, "ready")


async def _office(visitor: Visitor) -> None:
    place, show, boss = visitor.place, visitor.show, await visitor.signed_in("boss")
    await boss.wait_for_selector("#agents table")
    await show("floor", boss)
    for name, path in (
        ("campaigns", "/campaigns"),
        ("why", "/campaigns/spring/why"),
        ("leads", "/leads"),
        ("lead", "/leads/1"),
        ("lead-twins", "/leads/6"),
        ("import", "/import"),
        ("export", "/export"),
        ("dnc", "/dnc"),
        ("audit", "/audit"),
        ("profile", "/profile"),
        ("not-found", "/leads/99"),
    ):
        await boss.goto(place.url + path)
        if name == "lead-twins":
            await boss.locator("summary").first.click()
        await show(name, boss)
    await boss.goto(f"{place.url}/import")
    rows = "Имя;Телефон;Район\nГончар Олесь;067 123-45-77;Подол\nОльга;+380671234501;Печерск\nНет;12;\n"
    await boss.set_input_files("#file", {"name": "leads.csv", "mimeType": "text/csv", "buffer": rows.encode()})
    await boss.locator("form.sheet button.main").click()
    await boss.wait_for_selector("#choose")
    await show("import-columns", boss)
    await boss.locator("#choose button.main").click()
    await boss.wait_for_selector("#checked")
    await show("import-checked", boss)
    await boss.locator('#checked [formaction$="/run"]').click()
    await boss.wait_for_selector('form[action$="/revert"]')
    await show("import-done", boss)
    await boss.goto(f"{place.url}/leads/2")
    await boss.locator(".call-no-more summary").click()
    await boss.fill("#no-more-reason", "просила не звонить")
    await boss.locator(".call-no-more button").click()
    await boss.wait_for_selector('form[action$="/call-again"]')
    await show("lead-do-not-call", boss)
    await boss.goto(f"{place.url}/dnc")
    await show("dnc-entries", boss)
    root = await visitor.signed_in("root")
    await root.goto(f"{place.url}/patterns")
    await show("patterns", root)


async def _lost(visitor: Visitor, page: Page) -> None:
    place, show = visitor.place, visitor.show
    elsewhere = await visitor.signed_in("olena")
    await expect(elsewhere.locator("#occupied")).to_be_visible()
    await show("desk-occupied", elsewhere)
    await elsewhere.locator("#occupied [data-take]").click()
    await expect(page.locator("#taken")).to_be_visible()
    await show("desk-taken", page)
    (site,) = place.runner.sites
    await site.stop()
    await place.crm.live.shut()
    await expect(elsewhere.locator("#reconnecting")).to_be_visible()
    await show("desk-no-connection", elsewhere)
    await web.TCPSite(place.runner, "127.0.0.1", place.port).start()
