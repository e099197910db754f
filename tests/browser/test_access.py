"""Every screen passes axe in every language and both themes, and fits a narrow screen."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Browser, Page

from crm_lite.i18n import LANGUAGES
from tests.browser.conftest import SignIn
from tests.browser.screens import dressed, tour
from tests.browser.steps import answered, at_work
from tests.fakes.office import Office
from tests.fakes.waiting import poll

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

AXE = Path(__file__).resolve().parents[2] / "node_modules" / "axe-core" / "axe.min.js"
_AXE = """async () => (
    await axe.run(document, {runOnly: %s})
  ).violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html.slice(0, 160)).slice(0, 3).join(" | ")}`)"""
VIOLATIONS = _AXE % '["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]'
CONTRAST = _AXE % '["color-contrast"]'  # all that a theme can change


NARROW = (320, 768, 1024)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_no_screen_has_a_violation_in_either_colour_or_is_wider_than_a_telephone(
    chromium: Browser, tmp_path: Path, language: str
) -> None:
    if not AXE.is_file():
        pytest.skip("needs axe-core: run `make setup`")
    found: dict[str, list[str]] = {}

    async def show(name: str, page: Page) -> None:
        slips = await page.evaluate(VIOLATIONS)
        await dressed(page, "dark")
        slips += await page.evaluate(CONTRAST)
        await dressed(page, "light")
        for width in NARROW:
            await page.set_viewport_size({"width": width, "height": 640})
            needed = await page.evaluate("document.documentElement.scrollWidth")
            if needed > width:
                slips.append(f"{needed} pixels wide on a screen of {width}")
        await page.set_viewport_size({"width": 1366, "height": 768})
        if slips:
            found[name] = slips

    await tour(chromium, tmp_path, language, show, AXE)
    assert not found, "\n".join(f"{name}: {slip}" for name, slips in found.items() for slip in slips)


async def test_the_check_sees_a_violation(place: Office, sign_in: SignIn) -> None:
    if not AXE.is_file():
        pytest.skip("needs axe-core: run `make setup`")
    page = await sign_in("boss", bypass_csp=True)
    await page.evaluate("document.querySelector('main').append(document.createElement('button'))")
    await page.add_script_tag(path=AXE)
    assert any(violation.startswith("button-name") for violation in await page.evaluate(VIOLATIONS))


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_a_button_that_waits_for_a_slow_answer_can_still_be_read(
    place: Office, sign_in: SignIn, theme: str
) -> None:
    if not AXE.is_file():
        pytest.skip("needs axe-core: run `make setup`")
    page = await sign_in("boss", theme=theme, bypass_csp=True)
    await page.evaluate(
        """() => ["button", "button main", "button bad", "button on"].forEach((look) => {
          const button = document.querySelector("main").appendChild(document.createElement("button"));
          button.className = look;
          button.textContent = look;
          button.setAttribute("aria-busy", "true");
        })"""
    )
    await page.add_script_tag(path=AXE)
    assert await page.evaluate(CONTRAST) == []


async def test_what_the_pages_policy_forbids_is_counted(place: Office, sign_in: SignIn) -> None:
    page = await sign_in("boss")
    await page.evaluate("document.body.setAttribute('style', 'color: red')")
    await poll(lambda: place.crm.csp_reports == 1)
    place.crm.csp_reports = 0  # it was ours


async def test_the_call_bar_leaves_room_for_the_card_on_a_telephone(place: Office, sign_in: SignIn) -> None:
    page = await sign_in("olena")
    await page.set_viewport_size({"width": NARROW[0], "height": 640})
    await at_work(place, page)
    await answered(place, page)
    bar = await page.locator(".bar").bounding_box()
    assert bar is not None
    assert bar["height"] < 330
