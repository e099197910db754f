"""A real Chromium before the real pages; one browser a module, a fresh profile for every person."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.fakes.office import PASSWORD, Office, office

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP crm.lan 127.0.0.1",  # a name that is no secure context, as in an office
)
#: Until then a screen must show what it is to show. An action and an expectation wait alike: Playwright's own five
#: seconds for the latter are short on a machine that runs all tests at once.
WAIT_MS = 30_000
expect.set_options(timeout=WAIT_MS)

SignIn = Callable[..., Awaitable[Page]]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(FLAGS))
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def place(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(tmp_path) as running:
        yield running
        assert running.crm.csp_reports == 0


@pytest_asyncio.fixture(loop_scope="module")
async def sign_in(chromium: Browser, place: Office) -> AsyncIterator[SignIn]:
    """Opens a fresh profile and signs in; errors of any script fail the test."""
    errors: list[str] = []
    contexts = []

    async def open_page(login: str, *, theme: str = "light", bypass_csp: bool = False, url: str = place.url) -> Page:
        context = await chromium.new_context(
            viewport={"width": 1366, "height": 768},
            color_scheme="dark" if theme == "dark" else "light",
            bypass_csp=bypass_csp,
        )
        contexts.append(context)
        context.set_default_timeout(WAIT_MS)
        page = await context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        await page.goto(f"{url}/login")
        await page.fill("#login", login)
        await page.fill("#password", PASSWORD)
        await page.keyboard.press("Enter")
        await page.wait_for_selector(".top")
        return page

    yield open_page
    for context in contexts:
        await context.close()
    assert not errors
