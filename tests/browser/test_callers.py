"""Somebody calls: the card of a known client, a choice among several, a form for one who is new."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from engine.core.model import AttemptId, PhoneNumber
from tests.browser.conftest import SignIn
from tests.browser.steps import in_state, on_shift
from tests.fakes.office import CAMPAIGN, CONFIG, PEOPLE, Office, office

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

STRANGER = "+380501112233"
SEES = CONFIG.replace("phones:\n", "web: {operators_see_numbers: yes}\nphones:\n", 1)


async def wanting_calls(page: Page) -> None:
    await on_shift(page)
    await page.keyboard.press("F2")
    await in_state(page, "ready")


async def finished(page: Page) -> None:
    await in_state(page, "wrap_up")
    await page.locator('#dispositions [data-key="1"]').focus()
    await page.keyboard.press("Space")
    await page.keyboard.press("Control+Enter")
    await in_state(page, "ready")


async def twin(place: Office, number: str, name: str) -> None:
    """A second client with that number."""
    await place.records.create_caller(
        campaign=CAMPAIGN,
        attempt=AttemptId(f"twin of {number}"),
        number=PhoneNumber(number),
        name=name,
        zone=None,
        fields={},
        now_ms=place.clock.now_ms(),
    )


async def test_a_known_caller_a_choice_and_a_newcomer(tmp_path: Path, sign_in: SignIn) -> None:
    directory = tmp_path / "callers"
    directory.mkdir()
    async with office(directory, text=SEES) as place:
        page = await sign_in("olena", url=place.url)
        await wanting_calls(page)

        # exactly one client: their card
        leg = place.switch.call_in(PEOPLE[0][1])
        await in_state(page, "talking")
        await expect(page.locator(".card-name")).to_have_text("Іваненко Петро")
        await expect(page.locator("#caller")).to_have_count(0)
        place.switch.hang_up(leg)
        await finished(page)

        # several: a digit chooses
        await twin(place, PEOPLE[1][1], "Сидоров Иван")
        leg = place.switch.call_in(PEOPLE[1][1])
        await expect(page.locator("[data-pick]")).to_have_count(2)
        await expect(page.locator('[data-pick-key="1"]')).to_be_focused()
        wanted = page.locator("[data-pick]", has_text="Сидоров Иван")
        await page.keyboard.press(f"Digit{await wanted.get_attribute('data-pick-key')}")
        await expect(page.locator(".card-name")).to_have_text("Сидоров Иван")
        place.switch.hang_up(leg)
        await finished(page)

        # nobody: a form with the number, the country and the time there
        leg = place.switch.call_in(STRANGER)
        await expect(page.locator("#caller-number")).to_have_value(STRANGER)
        await expect(page.locator("#caller")).to_contain_text("Украина")
        await expect(page.locator("#caller-zone")).to_have_value("Europe/Kyiv")
        await expect(page.locator("#caller-name")).to_be_focused()
        await page.keyboard.type("Новая Клиентка")
        await page.locator("#caller-field-1").fill("Полтава")
        place.switch.hang_up(leg)
        await in_state(page, "wrap_up")
        await expect(page.locator("#caller-name")).to_have_value("Новая Клиентка")
        await page.reload()
        await expect(page.locator("#caller-name")).to_have_value("Новая Клиентка")
        await expect(page.locator("#caller-field-1")).to_have_value("Полтава")
        await page.locator("#newcomer button[type=submit]").click()
        await expect(page.locator(".card-name")).to_have_text("Новая Клиентка")
        await expect(page.locator("#client").get_by_label("Город")).to_have_value("Полтава")
        await finished(page)

        leg = place.switch.call_in(STRANGER)
        await expect(page.locator(".card-name")).to_have_text("Новая Клиентка")
        await expect(page.locator("#left")).to_contain_text("звонил нам")
        place.switch.hang_up(leg)
        await finished(page)


async def test_who_hides_the_number_is_asked_for_it(tmp_path: Path, sign_in: SignIn) -> None:
    directory = tmp_path / "hidden"
    directory.mkdir()
    async with office(directory) as place:
        page = await sign_in("olena", url=place.url)
        await wanting_calls(page)
        place.switch.call_in("")
        await expect(page.locator("#caller-number")).to_be_editable()
        await page.locator("#caller-name").fill("Тайный Гость")
        await page.locator("#caller-number").fill("12")
        await page.locator("#newcomer button[type=submit]").click()
        await expect(page.locator("#caller-error")).to_be_visible()
        await page.locator("#caller-number").fill("067 999 88 77")
        await page.locator("#newcomer button[type=submit]").click()
        await expect(page.locator(".card-name")).to_have_text("Тайный Гость")
        (lead,) = await place.records.find_leads("9998877", campaigns=None, state=None, after=0, limit=5)
        assert lead.phones[0].number.e164 == "+380679998877"
