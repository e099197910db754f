"""Makes the reference pictures anew: `python -m tests.browser.reference`. Look at them, and at what git says changed.

Every screen that an operator or a supervisor works on, in each language and both colours, as small WebP files in
`tests/browser/reference/`. Times and dates of the moment are in the pictures: they are for eyes, not for a comparison.
"""

from __future__ import annotations

import asyncio
import base64
import tempfile
from pathlib import Path
from typing import Final

from playwright.async_api import Browser, Page, async_playwright

from crm_lite.i18n import LANGUAGES
from tests.browser.conftest import FLAGS
from tests.fakes.office import PASSWORD, Office, office
from tests.fakes.waiting import poll

HERE: Final = Path(__file__).parent / "reference"
QUALITY: Final = 55
THEMES: Final = ("light", "dark")


async def keep(page: Page, name: str) -> None:
    """A picture of what is on the page now, small enough for a repository."""
    session = await page.context.new_cdp_session(page)
    shot = await session.send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY})
    await asyncio.to_thread((HERE / f"{name}.webp").write_bytes, base64.b64decode(shot["data"]))


async def signed_in(browser: Browser, place: Office, login: str, width: int = 1366) -> Page:
    context = await browser.new_context(viewport={"width": width, "height": 768}, reduced_motion="reduce")
    page = await context.new_page()
    await page.goto(f"{place.url}/login")
    await page.fill("#login", login)
    await page.fill("#password", PASSWORD)
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".top")
    return page


async def pictures(browser: Browser, place: Office, language: str, theme: str) -> None:
    """One shift, photographed."""
    look = f"{language}-{theme}"
    for login in ("olena", "boss"):
        await place.records.set_user_looks(login, language=language, theme=theme)
    page = await signed_in(browser, place, "olena")
    await page.wait_for_selector('[data-do="login"]:not(:disabled)')
    await keep(page, f"desk-start-{look}")
    await page.keyboard.press("F2")
    await page.wait_for_selector('[data-do="ready"]:not(:disabled)')
    await place.dial()
    await page.keyboard.press("F2")
    await poll(lambda: place.switch.ringing() > 0, within_s=10)
    place.switch.answer()
    await page.wait_for_selector('#desk[data-state="talking"]')
    await page.fill("#note", "Просит перезвонить завтра после обеда")
    await keep(page, f"desk-talking-{look}")
    await page.keyboard.press("Control+k")
    await page.keyboard.type("шев")
    await page.wait_for_selector("#palette li .soft")
    await keep(page, f"palette-{look}")
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".work.two")
    await keep(page, f"desk-second-client-{look}")
    await page.keyboard.press("Alt+[")
    place.switch.customers_hang_up()
    await page.wait_for_selector('#desk[data-state="wrap_up"]')
    await page.evaluate("document.activeElement.blur()")
    await page.keyboard.press("3")
    await keep(page, f"desk-wrap-up-{look}")
    boss = await signed_in(browser, place, "boss")
    await boss.goto(f"{place.url}/live")
    await boss.wait_for_selector("#agents table")
    await keep(boss, f"floor-{look}")
    await boss.goto(f"{place.url}/leads/1")
    await keep(boss, f"card-{look}")
    for one in (page, boss):
        await one.context.close()


async def main() -> None:
    """All pictures."""
    await asyncio.to_thread(HERE.mkdir, exist_ok=True)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(FLAGS))
        for language in LANGUAGES:
            for theme in THEMES:
                with tempfile.TemporaryDirectory() as directory:
                    async with office(Path(directory)) as place:
                        await pictures(browser, place, language, theme)
        await browser.close()


if __name__ == "__main__":
    asyncio.run(main())
