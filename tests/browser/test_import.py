"""A supervisor brings a lead file: columns, check, progress that survives a reload, cancel, undo; exports."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import python_calamine
from playwright.async_api import Page, expect

from engine.store import imports
from tests.browser.conftest import SignIn
from tests.fakes.office import Office

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]


async def chosen(page: Page, path: Path) -> None:
    await page.goto(f"{page.url.split('/', 3)[0]}//{page.url.split('/')[2]}/import")
    await page.set_input_files("#file", path)
    await page.get_by_role("button", name="Посмотреть колонки").click()
    await expect(page.get_by_role("heading", name="Колонки")).to_be_visible()


async def test_a_file_is_looked_at_checked_imported_and_undone(
    tmp_path: Path, sign_in: SignIn, place: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "REVERT_SETTLE_S", 0.5)
    path = tmp_path / "партнёр.csv"
    path.write_text(
        "Кто;Связь;Город\nГончар Олесь;067 123-45-77;Львів\nКоваль;067 123-45-78;\nПлохой;12;\n", encoding="cp1251"
    )
    page = await sign_in("boss")
    await chosen(page, path)
    await expect(page.locator("#choose tbody")).to_contain_text("→ +380671234577")
    await page.get_by_label("Что в колонке Кто").select_option("name")
    await page.get_by_label("Что в колонке Город").select_option("field:product")
    await page.get_by_label("Название этих настроек").fill("Партнёр")
    await page.get_by_role("button", name="Проверить").click()
    await expect(page.locator("#checked")).to_contain_text("номер короче, чем нужно")
    await expect(page.get_by_label("Что в колонке Город")).to_have_value("field:product")
    await page.locator("#checked").get_by_role("button", name="Импорт").click()
    await expect(page.get_by_role("heading", name="Загружено")).to_be_visible()
    await expect(page.locator(".note.ok")).to_contain_text("2 новых лида")
    async with page.expect_download() as waiting:
        await page.get_by_role("link", name="Отклонённые строки").click()
    rows = python_calamine.load_workbook(str(await (await waiting.value).path())).get_sheet_by_index(0).to_python()
    assert rows[1][:2] == ["Плохой", "12"]
    await page.get_by_role("button", name="Отменить импорт").click()
    await expect(page.get_by_role("heading", name="Отменено")).to_be_visible()
    await chosen(page, path)  # the mended file is read as it was the last time
    await expect(page.get_by_label("Что в колонке Кто")).to_have_value("name")
    await expect(page.locator(".note.info")).to_contain_text("Партнёр")


async def test_bad_rows_are_corrected_from_the_keyboard_with_the_error_beside_the_cell(
    tmp_path: Path, sign_in: SignIn, place: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "REVERT_SETTLE_S", 0.5)
    path = tmp_path / "bad.csv"
    path.write_text(
        "ФИО;Телефон;Пояс\nМостовой Ян;12;\nЗаречный Лев;067 123-45-82;Марс\nТихий Ким;067 123-45-83;\n",
        encoding="utf-8",
    )
    page = await sign_in("boss")
    await chosen(page, path)
    await page.get_by_role("button", name="Проверить").click()
    phone, zone = page.get_by_label("Строка 2, Телефон"), page.get_by_label("Строка 3, Пояс")
    await expect(phone).to_be_focused()
    await expect(phone).to_have_accessible_description("номер короче, чем нужно")
    await page.keyboard.press("Control+a")
    await page.keyboard.type("067 123-45-81")
    await page.keyboard.press("Tab")
    await expect(zone).to_be_focused()
    await page.keyboard.press("Control+a")
    await page.keyboard.type("Венера")
    await page.keyboard.press("Enter")
    await expect(zone).to_be_focused()  # what is still wrong, and nothing was imported
    await expect(zone).to_have_value("Венера")
    await expect(phone).not_to_have_attribute("aria-invalid", "true")
    await page.keyboard.press("Control+a")
    await page.keyboard.press("Delete")
    await page.keyboard.press("Enter")
    await expect(page.locator("#checked [aria-invalid]")).to_have_count(0)
    await expect(phone).to_have_value("067 123-45-81")
    await page.locator("#checked").get_by_role("button", name="Импорт").click()
    await expect(page.locator(".note.ok")).to_contain_text("3 новых лида")
    await page.get_by_role("button", name="Отменить импорт").click()
    await expect(page.get_by_role("heading", name="Отменено")).to_be_visible()


async def test_a_long_import_shows_its_progress_after_a_reload_and_is_cancelled(
    tmp_path: Path, sign_in: SignIn, place: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "REVERT_SETTLE_S", 0)
    monkeypatch.setattr(imports, "PIECE_MAX", 10)
    monkeypatch.setattr(imports, "PIECE_PAUSE_MS", 100)  # an import that takes a while
    path = tmp_path / "long.csv"
    path.write_text("Имя;Телефон\n" + "".join(f"Абонент {n};067{n:07}\n" for n in range(5_000)), encoding="utf-8")
    page = await sign_in("boss")
    await chosen(page, path)
    await page.get_by_role("button", name="Загрузить без проверки").click()
    await expect(page.locator("progress[value]")).to_be_visible()
    await page.reload()
    before = float(await page.locator("progress").get_attribute("value") or 0)
    await expect(page.locator(f'progress:not([value="{before:g}"])')).to_be_visible()  # by itself
    await page.get_by_role("button", name="Отмена").click()
    await expect(page.locator(".note.warn")).to_contain_text("Импорт прерван")
    await page.goto(f"{place.url}/leads?q=Абонент")
    await expect(page.locator("#rows")).not_to_contain_text("Абонент")


@pytest.mark.parametrize("kind", [".csv", ".xlsx"])
async def test_leads_are_exported_from_the_page(sign_in: SignIn, place: Office, tmp_path: Path, kind: str) -> None:
    page = await sign_in("boss")
    await page.goto(f"{place.url}/export")
    await page.select_option("#campaign", "spring")
    await page.select_option("#kind", kind)
    async with page.expect_download() as waiting:
        await page.locator("form.sheet button.main").click()
    path = tmp_path / f"leads{kind}"
    await (await waiting.value).save_as(path)
    if kind == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file, delimiter=";"))
    else:
        rows = [
            list(map(str, row)) for row in python_calamine.load_workbook(str(path)).get_sheet_by_index(0).to_python()
        ]
    assert {row[0] for row in rows[1:]} >= {"Іваненко Петро", "Яровая Ольга"}
    assert any("+380671234501" in row for row in rows)
