"""Every page passes axe in every language and both themes, and fits a narrow screen."""

from __future__ import annotations

from pathlib import Path

import pytest

from crm_lite.i18n import LANGUAGES
from tests.browser.conftest import SignIn
from tests.browser.test_desk import answered, at_work
from tests.fakes.office import Office

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

AXE = Path(__file__).resolve().parents[2] / "node_modules" / "axe-core" / "axe.min.js"
PAGES = {
    "boss": ("/live", "/campaigns", "/leads", "/leads/1", "/leads/99", "/import", "/profile"),
    "root": ("/patterns",),
}
VIOLATIONS = """async () => (
    await axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]})
  ).violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html.slice(0, 160)).slice(0, 3).join(" | ")}`)"""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("language", LANGUAGES)
async def test_no_page_has_a_violation(place: Office, sign_in: SignIn, language: str, theme: str) -> None:
    if not AXE.is_file():
        pytest.skip("needs axe-core: run `make setup`")
    for login in ("olena", "boss", "root"):
        await place.records.set_user_looks(login, language=language, theme=theme)
    found: dict[str, list[str]] = {}

    olena = await sign_in("olena", theme=theme, bypass_csp=True)

    async def check(name: str, page: object = olena) -> None:
        await page.add_script_tag(path=AXE)  # type: ignore[attr-defined]
        violations = await page.evaluate(VIOLATIONS)  # type: ignore[attr-defined]
        if violations:
            found[name] = violations

    await olena.wait_for_selector('[data-do="login"]')
    await check("desk, before the shift")
    await at_work(place, olena)
    await check("desk, ready")
    await answered(place, olena)
    await olena.locator('[value="callback"]').check(force=True)
    await check("desk, talking")
    for login, paths in PAGES.items():
        page = await sign_in(login, theme=theme, bypass_csp=True)
        for path in paths:
            await page.goto(place.url + path)
            if path == "/live":
                await page.wait_for_selector("#agents table")
            await check(path, page)
    await olena.context.clear_cookies()
    await olena.goto(f"{place.url}/login")
    await check("/login")
    assert not found


async def test_the_check_sees_a_violation(place: Office, sign_in: SignIn) -> None:
    if not AXE.is_file():
        pytest.skip("needs axe-core: run `make setup`")
    page = await sign_in("boss", bypass_csp=True)
    await page.evaluate("document.querySelector('main').append(document.createElement('button'))")
    await page.add_script_tag(path=AXE)
    assert any(violation.startswith("button-name") for violation in await page.evaluate(VIOLATIONS))


@pytest.mark.parametrize("width", [320, 768, 1024])
async def test_the_desk_fits_narrow_screens(place: Office, sign_in: SignIn, width: int) -> None:
    page = await sign_in("olena")
    await page.set_viewport_size({"width": width, "height": 640})
    await at_work(place, page)
    await answered(place, page)
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    bar = await page.locator(".bar").bounding_box()
    assert bar is not None
    assert bar["height"] < 330
