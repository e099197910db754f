"""The icons and libraries that the pages are served with."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from scripts import vendor

ROOT = Path(__file__).resolve().parents[2]
PHONE = '<!-- licence -->\n<svg\n  class="lucide"\n  width="24"\n>\n  <path d="M1 1" />\n</svg>\n'


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    modules = tmp_path / "node_modules"
    for package, source in {*vendor.COPIED.values(), ("lucide-static", "icons/phone.svg")}:
        file = modules / package / source
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(PHONE, encoding="utf-8")
        facts = {"name": package, "version": "1.0.0", "license": "ISC"}
        (modules / package / "package.json").write_text(json.dumps(facts), encoding="utf-8")
    return modules


def test_an_icon_becomes_a_symbol_that_takes_the_colour_of_its_text() -> None:
    drawn = vendor.sprite({"phone": PHONE})
    assert '<symbol id="phone" viewBox="0 0 24 24" fill="none" stroke="currentColor"' in drawn
    assert '<path d="M1 1" /></symbol>' in drawn


def test_an_unknown_icon_is_named(packages: Path, tmp_path: Path) -> None:
    wanted = tmp_path / "icons.txt"
    wanted.write_text("phone  # on a button\nfone\n", encoding="utf-8")
    with pytest.raises(vendor.VendorError, match="no icon 'fone'"):
        vendor.build(packages, tmp_path / "vendor", wanted)


def test_only_wanted_files_are_served(packages: Path, tmp_path: Path) -> None:
    wanted = tmp_path / "icons.txt"
    wanted.write_text("# comment\nphone\n", encoding="utf-8")
    served = tmp_path / "vendor"
    served.mkdir()
    (served / "left-over.js").write_text("old", encoding="utf-8")
    manifest = vendor.build(packages, served, wanted)
    assert {file.name for file in served.iterdir()} == set(manifest) == {*vendor.COPIED, "icons.svg"}
    assert manifest["htmx.min.js"]["licence"] == "ISC"


def test_every_icon_of_a_page_is_in_the_sprite() -> None:
    listed = vendor.icon_names(vendor.ICONS.read_text(encoding="utf-8"))
    assert len(listed) == len(set(listed))
    for page in [*ROOT.glob("web/templates/**/*.html"), *ROOT.glob("web/static/*.js"), *ROOT.glob("crm_lite/**/*.py")]:
        used = re.findall(r"""\bicon\(["']([a-z0-9-]+)["']|icons\.svg#([a-z0-9-]+)""", page.read_text(encoding="utf-8"))
        assert {first or second for first, second in used} <= set(listed), page.relative_to(ROOT)
