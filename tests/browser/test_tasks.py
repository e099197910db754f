"""Tasks on the desk: made in a card, handed out by one key with the reason, done, put off; then the recovery stack."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from crm_lite.live import desk_key
from crm_lite.tasks import look_again, make_task
from engine.core.events import PlanCallback
from engine.core.model import AgentId, CampaignId, CommandId, LeadId, PhoneNumber
from engine.store.imports import import_leads
from engine.store.tasks import Tasks
from tests.browser.conftest import SignIn
from tests.browser.steps import answered, at_work, hung_up, in_state, on_shift, saved_as
from tests.browser.test_access import AXE, VIOLATIONS
from tests.fakes.office import CONFIG, Office, Person, office
from tests.fakes.waiting import poll

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

DORMANT, OLENA = CampaignId("dormant"), AgentId("olena")
TASKS = """
tasks:
  types:
    call_client: {labels: {ru: Звонок, uk: Дзвінок, en: Call}, tier: 1, calls: yes}
    letter: {labels: {ru: Письмо, uk: Лист, en: Letter}, tier: 2}
  per_day_max: 3
  recovery: [dormant]
"""
STACK = """
  dormant:
    name: "Старая база"
    pacing: {mode: manual}
    trunks: [carrier]
    wrap_up: {mode: required}
    attempts: {max: 3, otherwise: 10m}
    zone: Europe/Kyiv
    hours: {daily: "00:00-24:00"}
    dispositions: [sale, refusal]
"""
MANUAL = CONFIG.replace("{mode: progressive}", "{mode: manual}", 1)
WORK = MANUAL.replace("phone: 101, campaigns: [spring]", "phone: 101, campaigns: [spring, dormant]") + STACK + TASKS


async def new_task(page: Page, title: str, kind: str, when: str) -> None:
    await page.fill("#task-title", title)
    await page.select_option("#task-type", kind)
    await page.fill("#task-when", when)
    await page.keyboard.press("Enter")


async def dormant_lead(place: Office, name: str = "Дрімов Іван", number: str = "+380671230099") -> None:
    person = Person(line=2, phones=(PhoneNumber(number),), name=name, zone="Europe/Kyiv", fields={})
    await import_leads(place.database, DORMANT, [person], file_name=f"{number}.xlsx", by="test", now_ms=1)


async def test_one_key_hands_out_what_comes_next(tmp_path: Path, sign_in: SignIn) -> None:
    directory = tmp_path / "tasks"
    directory.mkdir()
    async with office(directory, text=WORK) as place:
        await dormant_lead(place)
        await place.dial(DORMANT)
        await place.dial()
        tasks = Tasks(place.database)
        page = await sign_in("olena", url=place.url)
        await on_shift(page)

        # A letter from the home page, a call from a client's card.
        await page.locator("#tasks [data-new-task]").click()
        await new_task(page, "Отправить договор", "letter", "когда-нибудь")
        await expect(page.locator("#task-problem")).to_contain_text("Непонятно")
        await page.fill("#task-when", "через 1 минуту")
        await page.keyboard.press("Enter")
        await expect(page.locator(".task-list")).to_contain_text("Отправить договор")
        await page.evaluate("dispatchEvent(new CustomEvent('zvonar:lead', {detail: 1, cancelable: true}))")
        await page.locator('[data-new-task="1"]').click()
        await expect(page.locator("#new-task [data-for]")).to_have_text("Іваненко Петро")
        await new_task(page, "Узнать об оплате", "call_client", "через 1 минуту")
        await expect(page.locator("#new-task")).to_be_hidden()
        await page.locator('[data-tab="home"]').click()
        await expect(page.locator(".task-list li")).to_have_count(2)

        for task in (await tasks.plate(OLENA, 0)).tasks:
            await tasks.postpone(task.id, OLENA, place.clock.now_ms())  # whatever the slot in which the test runs

        # Tier 1 first: the client is called at once, and the card says why.
        await page.keyboard.press("F2")
        await expect(page.locator('#bar_buttons [data-do="next"]')).to_be_enabled()
        await page.keyboard.press("F2")
        await in_state(page, "reserved")
        await expect(page.locator(".work .why b")).to_contain_text("Задача очереди 1")
        await poll(lambda: place.switch.ringing() > 0)
        place.switch.answer()
        await in_state(page, "talking")
        await hung_up(place, page)
        await page.locator(".choice", has_text="Продажа").click()
        await page.keyboard.press("Control+Enter")

        # The result is saved: the letter comes by itself, and no calls come meanwhile.
        await expect(page.locator(".in-hand")).to_contain_text("Отправить договор")
        await expect(page.locator(".in-hand .why")).to_contain_text("Задача очереди 2")
        await expect(page.locator("#bar_state")).to_contain_text("занят задачей")
        assert [task.title for task in (await tasks.plate(OLENA, 0)).tasks] == ["Отправить договор"]
        await page.keyboard.press("Control+Enter")

        # Nothing is planned: somebody of the recovery stack.
        await in_state(page, "reserved")
        await expect(page.locator(".card-name")).to_have_text("Дрімов Іван")
        await expect(page.locator(".work .why b")).to_contain_text("резерв")
        assert (await tasks.plate(OLENA, 0)).tasks == ()
        assert place.crm.csp_reports == 0


async def test_who_waits_for_next_is_handed_it_at_its_moment_without_another_key(
    tmp_path: Path, sign_in: SignIn
) -> None:
    directory = tmp_path / "waits"
    directory.mkdir()
    async with office(directory, text=WORK) as place:
        await place.driver.do(PlanCallback(command=CommandId("far"), by="test", lead=LeadId(2), at_ms=far(place, 3)))
        page = await sign_in("olena", url=place.url)
        await at_work(place, page)
        await page.keyboard.press("F2")
        await expect(page.locator("#awaits")).to_contain_text("начнётся")
        await expect(page.locator("#toasts")).to_be_empty()

        # A supervisor gives them a task: it is theirs at once.
        kinds = place.loaded.policy.tasks
        assert kinds is not None
        boss = await place.records.user_by_login("boss")
        assert boss is not None
        now_ms = place.clock.now_ms()
        given = await make_task(
            place.crm, boss, owner=OLENA, of=kinds.types["letter"], title="Письмо", lead=None, due_at_ms=now_ms, key="k"
        )
        assert given == now_ms
        await expect(page.locator(".in-hand")).to_contain_text("Письмо")
        await page.keyboard.press("Control+Enter")
        await in_state(page, "ready")
        await expect(page.locator("#awaits")).to_be_visible()

        # A call of their own falls due: it is dialed in its second.
        due_ms = place.clock.now_ms() + 2_000
        plan = PlanCallback(command=CommandId("near"), by="olena", lead=LeadId(1), at_ms=due_ms, owner=OLENA)
        assert await place.driver.do(plan) == ""
        look_again(place.crm, OLENA)
        await expect(page.locator("#nearest")).to_contain_text("Іваненко Петро")
        await in_state(page, "reserved")
        (dialed,) = await place.records.lead_history(LeadId(1))
        assert 0 <= dialed.at_ms - due_ms < 1_000
        assert place.crm.csp_reports == 0


async def test_who_waits_is_told_why_a_client_is_not_called_and_gets_the_next_one(
    tmp_path: Path, sign_in: SignIn
) -> None:
    directory = tmp_path / "refused"
    directory.mkdir()
    async with office(directory, text=WORK) as place:
        await dormant_lead(place)
        with sqlite3.connect(directory / "office.db") as database:  # the rules became stricter since
            database.execute("UPDATE leads SET attempts_count = 3 WHERE campaign_id = 'dormant'")
        await place.dial(DORMANT)
        page = await sign_in("olena", url=place.url)
        await at_work(place, page)
        await page.keyboard.press("F2")
        await expect(page.locator("#awaits")).to_contain_text("попытки")  # it stays, where a toast goes
        await expect(page.locator("#awaits")).to_contain_text("начнётся")

        await dormant_lead(place, "Новікова Анна", "+380671230088")
        look_again(place.crm, OLENA)
        await in_state(page, "reserved")
        await expect(page.locator(".card-name")).to_have_text("Новікова Анна")
        audit = [row.subject for row in await place.records.audit_page() if row.action == "handed_out"]
        assert len(audit) == 1  # who was refused was not handed out, however often they were tried
        assert place.crm.csp_reports == 0


async def test_a_promised_call_is_made_earlier_by_one_button(tmp_path: Path, sign_in: SignIn) -> None:
    directory = tmp_path / "earlier"
    directory.mkdir()
    async with office(directory, text=WORK) as place:
        plan = PlanCallback(command=CommandId("p"), by="t", lead=LeadId(1), at_ms=far(place, 1), owner=OLENA)
        assert await place.driver.do(plan) == ""
        page = await sign_in("olena", url=place.url)
        await at_work(place, page)
        await page.locator("#nearest [data-do=dial]").click()
        await in_state(page, "reserved")
        await expect(page.locator(".card-name")).to_have_text("Іваненко Петро")


async def test_a_button_of_the_home_page_that_is_being_pressed_stays_until_it_is_let_go(
    tmp_path: Path, sign_in: SignIn
) -> None:
    directory = tmp_path / "pressed"
    directory.mkdir()
    async with office(directory, text=WORK) as place:
        page = await sign_in("olena", url=place.url)
        other = await page.context.new_page()  # another window of the same desk
        await other.goto(f"{place.url}/desk")
        await on_shift(page)
        await page.locator("#tasks [data-new-task]").hover()
        await page.mouse.down()
        kinds, olena = place.loaded.policy.tasks, await place.records.user_by_login("olena")
        assert kinds is not None
        assert olena is not None
        await make_task(
            place.crm,
            olena,
            owner=OLENA,
            of=kinds.types["letter"],
            title="Письмо",
            lead=None,
            due_at_ms=far(place, 1),
            key="k",
        )
        await expect(other.locator(".task-list")).to_contain_text("Письмо")
        await page.mouse.up()
        await expect(page.locator("#new-task")).to_be_visible()
        await expect(page.locator(".task-list")).to_contain_text("Письмо")


async def test_a_new_version_of_the_page_is_offered_between_calls_only(tmp_path: Path, sign_in: SignIn) -> None:
    directory = tmp_path / "version"
    directory.mkdir()
    async with office(directory) as place:
        page = await sign_in("olena", url=place.url)
        await at_work(place, page)
        await answered(place, page)
        place.crm.pages.build = "another"
        place.crm.live.forget(desk_key(OLENA))
        await expect(page.locator("#desk")).to_have_attribute("data-state", "talking")
        await poll(lambda: place.crm.live.desk_readers(OLENA) > 0)
        await expect(page.locator("#outdated")).to_be_hidden()
        await hung_up(place, page)
        await place.dial(running=False)
        await saved_as(page, "sale")
        await expect(page.locator("#outdated")).to_be_visible()


def far(place: Office, hours: int) -> int:
    """So many hours from now."""
    return place.clock.now_ms() + hours * 3_600_000


async def test_a_task_is_put_off_and_a_full_day_offers_the_next_free_one(tmp_path: Path, sign_in: SignIn) -> None:
    directory = tmp_path / "tasks"
    directory.mkdir()
    async with office(directory, text=WORK) as place:
        tasks, letter = Tasks(place.database), place.loaded.policy.tasks
        assert letter is not None
        now_ms = place.clock.now_ms()
        for key in ("a", "b", "c"):
            await tasks.add(
                key=key,
                of=letter.types["letter"],
                title=f"Письмо {key}",
                lead=LeadId(1) if key == "a" else None,
                owner=OLENA,
                due_at_ms=now_ms + 86_400_000,
                by="olena",
                at_ms=now_ms,
            )
        page = await sign_in("olena", url=place.url)
        await on_shift(page)
        await page.locator("#tasks [data-new-task]").click()
        await new_task(page, "Ещё одно", "letter", "завтра 12")
        await expect(page.locator("#task-problem")).to_contain_text("День занят")
        await page.locator("#new-task [data-offer]").click()
        await expect(page.locator(".task-list li")).to_have_count(4)
        days = [task.due_at_ms // 86_400_000 for task in (await tasks.plate(OLENA, now_ms)).tasks]
        assert days[3] > days[0]

        first = page.locator(".task-list li").first
        await first.locator("summary").click()
        await first.locator('[data-when="+30m"]').click()
        await expect(page.locator("#toasts")).to_contain_text("Отложено")
        (moved, *_) = (await tasks.plate(OLENA, now_ms)).tasks
        assert 25 * 60_000 < moved.due_at_ms - now_ms < 35 * 60_000
        await page.locator(".task-list li").last.locator('[data-act="done"]').click()
        await expect(page.locator(".task-list li")).to_have_count(3)
        if AXE.is_file():
            violations = await sign_in("olena", bypass_csp=True, url=place.url)
            await violations.locator("#occupied [data-take]").click()
            await expect(violations.locator(".task-list li")).to_have_count(3)
            await violations.locator(".task-list summary").first.click()
            await violations.add_script_tag(path=AXE)
            assert await violations.evaluate(VIOLATIONS) == []
            await violations.locator("#tasks [data-new-task]").click()
            assert json.dumps(await violations.evaluate(VIOLATIONS)) == "[]"
            await violations.set_viewport_size({"width": 320, "height": 640})
            assert await violations.evaluate("document.documentElement.scrollWidth") <= 320
