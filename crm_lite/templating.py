"""Pages from templates: one Jinja environment a language, everything escaped, every name must exist."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from crm_lite.i18n import LANGUAGES, Words
from engine.phones import TYPE_WORDS

WEB_DIR: Final = Path(__file__).resolve().parent.parent / "web"


def build_id(directory: Path = WEB_DIR) -> str:
    """A name of exactly these templates and static files."""
    digest = hashlib.sha256()
    for file in sorted(path for path in directory.rglob("*") if path.is_file()):
        digest.update(str(file.relative_to(directory)).encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


class Pages:
    """Renders templates in every language."""

    def __init__(self, words: Mapping[str, Words], build: str) -> None:
        self.words = words
        self.build = build
        loader = FileSystemLoader(WEB_DIR / "templates")
        self._environments = {language: self._environment(loader, words[language]) for language in words}

    def render(self, language: str, template: str, **context: object) -> str:
        """The page or fragment."""
        return self._environments[language].get_template(template).render(context)

    def _environment(self, loader: FileSystemLoader, words: Words) -> Environment:
        environment = Environment(
            loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        shared: Mapping[str, Any] = {
            "_": words.gettext,
            "ngettext": words.ngettext,
            "w": words,
            "languages": LANGUAGES,
            "build": self.build,
            "icon": self._icon,
            "phone_types": TYPE_WORDS,
            "static": self._static,
        }
        environment.globals.update(shared)
        return environment

    def _static(self, path: str) -> str:
        return f"/static/{path}?v={self.build}"

    def _icon(self, name: str) -> Markup:
        return Markup('<svg class="icon" aria-hidden="true"><use href="{}#{}"/></svg>').format(
            self._static("vendor/icons.svg"), name
        )
