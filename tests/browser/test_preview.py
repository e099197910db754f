"""A client is looked at before the call, with hands on the keyboard."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from engine.core.model import LeadId
from tests.browser.conftest import SignIn
from tests.browser.steps import answered, in_state, on_shift
from tests.fakes.office import CONFIG, Office, office

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

PREVIEW = CONFIG.replace("pacing: {mode: progressive}", "pacing: {mode: preview, seconds: 90, max_skips: 2}", 1)
CYRILLIC_ALT_S = {"type": "rawKeyDown", "modifiers": 1, "key": "ы", "code": "KeyS", "windowsVirtualKeyCode": 83}


async def looking(place: Office, page: Page) -> None:
    """The shift is on, the first client is shown."""
    await on_shift(page)
    await place.dial()
    await page.keyboard.press("F2")
    await in_state(page, "preview")


async def test_the_next_client_is_skipped_and_called_by_keyboard(tmp_path: Path, sign_in: SignIn) -> None:
    directory = tmp_path / "preview"
    directory.mkdir()
    async with office(directory, text=PREVIEW) as place:
        page = await sign_in("olena", url=place.url)
        await looking(place, page)
        await expect(page.locator(".card-name")).to_have_text("Іваненко Петро")
        await expect(page.locator("#bar_state")).to_contain_text("Позвоним через")
        assert place.switch.ringing() == 0

        keys = await page.context.new_cdp_session(page)
        await keys.send("Input.dispatchKeyEvent", CYRILLIC_ALT_S)
        await expect(page.locator("#skip-menu")).to_be_visible()
        await page.keyboard.press("Enter")
        await expect(page.locator(".card-name")).to_have_text("Сидорова Анна Викторовна")
        await expect(page.locator("#skip-menu")).to_be_hidden()

        await page.keyboard.press("F2")
        await in_state(page, "reserved")
        await expect(page.locator("#note")).to_be_focused()
        await answered(place, page)
        place.switch.customers_hang_up()
        await expect(page.locator("#note")).not_to_be_focused()
        await page.keyboard.press("1")
        await page.keyboard.press("Control+Enter")
        await in_state(page, "preview")
        (past,) = await place.records.lead_history(LeadId(2))
        assert past.disposition == "sale"
        assert place.crm.csp_reports == 0
