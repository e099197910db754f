"""Copy the front-end packages from node_modules/ into web/static/vendor/, where our own server serves them.

Run by `make setup`. The manifest names every file with its SHA-256, package, version and licence.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODULES = ROOT / "node_modules"
VENDOR = ROOT / "web" / "static" / "vendor"
ICONS = ROOT / "web" / "icons.txt"

COPIED = {  # file in web/static/vendor/ → (package, file in the package)
    "htmx.min.js": ("htmx.org", "dist/htmx.min.js"),
    "htmx.LICENSE.txt": ("htmx.org", "LICENSE"),
    "icons.LICENSE.txt": ("lucide-static", "LICENSE"),
}
SYMBOL_LOOKS = 'fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round"'


class VendorError(Exception):
    """A front-end file is not where its package should have it."""


def icon_names(listing: str) -> list[str]:
    """Names in icons.txt, in order; blank lines and # comments are skipped."""
    lines = (line.split("#")[0].strip() for line in listing.splitlines())
    return [line for line in lines if line]


def sprite(drawings: dict[str, str]) -> str:
    """One SVG with a <symbol> for each named drawing."""
    symbols = []
    for name, svg in drawings.items():
        body = re.search(r"<svg\b[^>]*>(.*)</svg>", svg, re.DOTALL)
        if body is None:
            raise VendorError(f"icon {name}: the package's file holds no <svg> element")
        shapes = "".join(line.strip() for line in body.group(1).splitlines())
        symbols.append(f'<symbol id="{name}" viewBox="0 0 24 24" {SYMBOL_LOOKS}>{shapes}</symbol>')
    return '<svg xmlns="http://www.w3.org/2000/svg">\n' + "\n".join(symbols) + "\n</svg>\n"


def build(modules: Path, vendor: Path, icons: Path) -> dict[str, dict[str, str]]:
    """Fill `vendor` anew and return the manifest's files."""
    drawings = {}
    for name in icon_names(icons.read_text(encoding="utf-8")):
        drawing = modules / "lucide-static" / "icons" / f"{name}.svg"
        if not drawing.is_file():
            raise VendorError(f"{icons.name}: Lucide has no icon {name!r}; look it up on https://lucide.dev/icons")
        drawings[name] = drawing.read_text(encoding="utf-8")

    vendor.mkdir(parents=True, exist_ok=True)
    made = {"icons.svg": "lucide-static"}
    (vendor / "icons.svg").write_text(sprite(drawings), encoding="utf-8")
    for name, (package, source) in COPIED.items():
        if not (modules / package / source).is_file():
            raise VendorError(f"package {package} holds no {source}; was it upgraded? Change COPIED in {__file__}")
        shutil.copyfile(modules / package / source, vendor / name)
        made[name] = package
    for stale in vendor.iterdir():
        if stale.name not in made and stale.name != "manifest.json":
            stale.unlink()

    return {name: describe(vendor / name, modules / package) for name, package in sorted(made.items())}


def describe(file: Path, package: Path) -> dict[str, str]:
    """The manifest's row of one served file."""
    facts = json.loads((package / "package.json").read_text(encoding="utf-8"))
    return {
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "package": facts["name"],
        "version": facts["version"],
        "licence": facts.get("license", ""),
    }


def main() -> int:
    """Build web/static/vendor/ and its manifest."""
    try:
        files = build(MODULES, VENDOR, ICONS)
    except VendorError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    (VENDOR / "manifest.json").write_text(json.dumps({"files": files}, indent=1) + "\n", encoding="utf-8")
    print(f"{len(files)} files in {VENDOR.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
