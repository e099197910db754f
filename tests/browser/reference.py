"""Makes the reference pictures anew: `python -m tests.browser.reference`. Look at them, and at what git says changed.

Every screen that there is (`screens.tour`), in each language and both colours, as small WebP files in
`tests/browser/reference/`. Times and dates of the moment are in the pictures: they are for eyes, not for a comparison.
With languages as arguments only theirs are made.
"""

from __future__ import annotations

import asyncio
import base64
import sys
import tempfile
from pathlib import Path
from typing import Final

from playwright.async_api import Browser, Page, async_playwright

from crm_lite.i18n import LANGUAGES
from tests.browser.conftest import FLAGS
from tests.browser.screens import THEMES, dressed, tour

HERE: Final = Path(__file__).parent / "reference"
QUALITY: Final = 45


async def photographed(browser: Browser, language: str) -> None:
    """All screens of a language."""

    async def show(name: str, page: Page) -> None:
        session = await page.context.new_cdp_session(page)
        for theme in THEMES:
            await dressed(page, theme)
            shot = await session.send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY})
            await asyncio.to_thread(
                (HERE / f"{name}-{language}-{theme}.webp").write_bytes, base64.b64decode(shot["data"])
            )
        await dressed(page, THEMES[0])

    with tempfile.TemporaryDirectory() as directory:
        await tour(browser, Path(directory), language, show)


async def main(languages: list[str]) -> None:
    """All pictures."""
    await asyncio.to_thread(HERE.mkdir, exist_ok=True)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(FLAGS))
        for language in languages:
            await photographed(browser, language)
        await browser.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:] or list(LANGUAGES)))
