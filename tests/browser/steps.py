"""What every operator does on the way to what a test is about: the shift, the call, its end."""

from __future__ import annotations

from playwright.async_api import Page, expect

from tests.fakes.office import Office
from tests.fakes.waiting import poll

NOTE = "Просит перезвонить завтра"


async def in_state(page: Page, state: str) -> None:
    """The desk shows this state."""
    await expect(page.locator("#desk")).to_have_attribute("data-state", state)


async def on_shift(page: Page) -> None:
    """The shift is on; calls are not wanted yet."""
    await expect(page.locator('[data-do="login"]')).to_be_enabled()
    await page.keyboard.press("F2")
    await expect(page.locator('#bar_buttons [data-do="ready"]')).to_be_enabled()


async def at_work(place: Office, page: Page) -> None:
    """The shift is on and calls are wanted, by two keys."""
    await on_shift(page)
    await place.dial()
    await page.keyboard.press("F2")
    await in_state(page, "ready")


async def answered(place: Office, page: Page) -> None:
    """A customer answers, the card is there."""
    await poll(lambda: place.switch.ringing() > 0)
    place.switch.answer()
    await in_state(page, "talking")


async def hung_up(place: Office, page: Page) -> None:
    """The customer has said what they wanted."""
    place.switch.customers_hang_up()
    await in_state(page, "wrap_up")


async def saved_as(page: Page, disposition: str) -> None:
    """The result is given."""
    await page.locator(f'[value="{disposition}"]').check(force=True)
    await page.keyboard.press("Control+Enter")


async def without_timers(page: Page) -> None:
    """The page's clock is ours from now on."""
    await page.context.clock.install()
    await page.reload()


async def stop_clock(page: Page) -> None:
    """After `without_timers`: the page's clock stands, and no timer of it fires any more, however long it takes."""
    await page.context.clock.pause_at(await page.evaluate("Date.now() + 60000"))
