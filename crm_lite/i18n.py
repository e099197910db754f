"""Languages: catalogs, plurals, times and numbers as a person of that language writes them.

The message ids are English. Catalogs are read from the `.po` files themselves, so there is nothing to compile and
nothing to go stale; the words of the browser's scripts come from the same catalogs.
"""

from __future__ import annotations

import datetime as dt
import io
import re
from collections.abc import Mapping
from functools import cache
from gettext import GNUTranslations
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_time
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

LANGUAGES: Final[Mapping[str, str]] = {"ru": "Русский", "uk": "Українська", "en": "English"}
DEFAULT_LANGUAGE: Final = "ru"
LOCALE_DIR: Final = Path(__file__).resolve().parent.parent / "web" / "locale"
SCRIPTS_DIR: Final = LOCALE_DIR.parent / "static"
_IN_SCRIPT: Final = re.compile(r'\bt\("([^"\\]+)"')


def read_catalog(language: str, directory: Path = LOCALE_DIR) -> Catalog:
    """The catalog of a language as its .po file has it."""
    with (directory / language / "LC_MESSAGES" / "messages.po").open("rb") as file:
        return read_po(file, locale=language)


class Words:
    """Everything that depends on a language."""

    def __init__(self, language: str, catalog: Catalog) -> None:
        self.language = language
        self._locale = Locale.parse(language)
        compiled = io.BytesIO()
        write_mo(compiled, catalog)
        compiled.seek(0)
        self._translations = GNUTranslations(compiled)
        self.for_scripts: Final = htmlsafe_json_dumps(_script_words(catalog), sort_keys=True)

    def gettext(self, message: str) -> str:
        """The message in this language."""
        return self._translations.gettext(message) if message else ""

    def ngettext(self, one: str, many: str, count: int) -> str:
        """The form of the message that fits the count."""
        return self._translations.ngettext(one, many, count)

    def country(self, code: str) -> str:
        """The country's name, or "" of an unknown code."""
        return self._locale.territories.get(code, "") if code else ""

    def number(self, value: float) -> str:
        """A number with this language's separators."""
        return format_decimal(value, locale=self._locale)

    def share(self, part: int, whole: int) -> str:
        """`part` of `whole` in per cent, or a dash when there is no whole."""
        return f"{self.number(round(100 * part / whole, 1))} %" if whole else "—"

    def clock(self, at_ms: int, zone: ZoneInfo) -> str:
        """Hours and minutes."""
        return format_time(_local(at_ms, zone), "HH:mm", locale=self._locale)

    def when(self, at_ms: int | None, now_ms: int, zone: ZoneInfo) -> str:
        """A moment as people say it: today 14:20, tomorrow 10:00, 3 Nov 09:15. A dash for none."""
        if at_ms is None:
            return "—"
        at, now = _local(at_ms, zone), _local(now_ms, zone)
        time = self.clock(at_ms, zone)
        match (at.date() - now.date()).days:
            case 0:
                return self.gettext("today %(time)s") % {"time": time}
            case 1:
                return self.gettext("tomorrow %(time)s") % {"time": time}
            case -1:
                return self.gettext("yesterday %(time)s") % {"time": time}
            case _:
                near = 0 < (at.date() - now.date()).days < 7
                pattern = "EEE d MMM" if near else "d MMM" if at.year == now.year else "d MMM y"
                return f"{format_date(at.date(), pattern, locale=self._locale)} {time}"

    def moment(self, at_ms: int | None, now_ms: int, zone: ZoneInfo) -> Markup:
        """`when` as a <time> element that a machine can read."""
        if at_ms is None:
            return Markup("—")
        iso = _local(at_ms, zone).isoformat(timespec="minutes")
        return Markup('<time datetime="{}">{}</time>').format(iso, self.when(at_ms, now_ms, zone))

    def duration(self, length_ms: int | None) -> str:
        """Minutes and seconds, hours when there are any: 0:07, 12:30, 1:02:05."""
        if length_ms is None:
            return "—"
        minutes, seconds = divmod(max(0, length_ms) // 1000, 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"

    def label(self, labels: Mapping[str, str]) -> str:
        """The text for this language out of config.yaml's texts by language, or the nearest there is."""
        for language in (self.language, DEFAULT_LANGUAGE, *labels):
            if language in labels:
                return labels[language]
        return ""


@cache
def load_words(directory: Path = LOCALE_DIR) -> Mapping[str, Words]:
    """All languages, read once."""
    return {language: Words(language, read_catalog(language, directory)) for language in LANGUAGES}


def preferred_language(accept: str) -> str:
    """The first language of an Accept-Language header that we speak."""
    for part in accept[:200].split(","):
        language = part.split(";")[0].split("-")[0].strip().lower()
        if language in LANGUAGES:
            return language
    return DEFAULT_LANGUAGE


def _local(at_ms: int, zone: ZoneInfo) -> dt.datetime:
    return dt.datetime.fromtimestamp(at_ms / 1000, zone)


def _script_words(catalog: Catalog) -> dict[str, str]:
    messages = {
        message for file in sorted(SCRIPTS_DIR.glob("*.js")) for message in _IN_SCRIPT.findall(file.read_text("utf-8"))
    }
    return {message: str(found.string) for message in messages if (found := catalog.get(message)) is not None}
