"""What the columns of a lead file mean, by their names in three languages and by what stands in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Final
from zoneinfo import available_timezones

import orjson
from babel import Locale

from engine.core.model import PhoneType
from engine.leads.sheets import Cell, Row
from engine.phones import FoundPhone, Numbering, cell_text, find_phones
from engine.store.folding import fold

#: Rows looked at to find the header and what columns hold.
SAMPLE_ROWS_MAX: Final = 60
HEADER_ROWS_MAX: Final = 30
HEADER_CHARACTERS_MAX: Final = 80
#: A column without a telling name holds what this share of its cells is.
TELLING_SHARE: Final = 0.6
CITIES_CACHED_MAX: Final = 10_000


class Role(StrEnum):
    """What a column is to a lead."""

    PHONE = "phone"
    NAME = "name"
    ZONE = "zone"
    PRIORITY = "priority"
    EXTERNAL_ID = "external_id"
    TAGS = "tags"
    OWNER = "owner"
    SOURCE = "source"
    FIELD = "field"
    ORDINAL = "ordinal"  # left out: numbers the rows, or is not wanted


#: Column names, folded, in the order in which they are tried.
_NAMES: Final = (
    (Role.ORDINAL, r"(№|n|no|#|п п|№ п п|n п п|номер по порядку|порядковый номер)"),
    (
        Role.PHONE,
        r"((номер |контактный |контактні |контактний |домашний |домашній |рабочий |робочий |основной |основний "
        r"|служебный |службовий |другой |інший |моб |раб |роб |дом |сот |осн |дод |доп |мобильный |мобільний "
        r"|второй |другий "
        r"|дополнительный |додатковий |сотовый )*"
        r"(тел|телефон|телефона|телефону|телефоны|телефони|моб|мобильный|мобільний|мобила|сотовый|тлф)"
        r"( (клиента|клієнта|моб|мобильный|мобільний|дом|домашний|домашній|раб|рабочий|роб|робочий|абонента"
        r"|заказчика|замовника))*"
        r"|(mobile |cell |work |office |business |home |other |phone |contact |main |second )*"
        r"(phone|phones|mobile|cell|tel|telephone|msisdn)( (number|no|home|work|office|mobile|other))?"
        r"|номер абонента|номер клиента|номер клієнта|viber|whatsapp|вайбер)",
    ),
    (
        Role.NAME,
        r"(фио|ф и о|піб|п і б|имя|ім я|фамилия|прізвище|отчество|по батькові|клиент|клієнт|абонент|контакт"
        r"|контактное лицо|контактна особа|имя клиента|ім я клієнта|фио клиента|піб клієнта|покупатель|покупець"
        r"|заказчик|замовник"
        r"|имя фамилия|фамилия имя|фамилия имя отчество|прізвище ім я|прізвище та ім я|ім я та прізвище"
        r"|name|full name|fullname|first name|last name|surname|middle name|customer|client|contact|contact name"
        r"|customer name|lead|lead name)",
    ),
    (Role.ZONE, r"(часовой пояс|часовий пояс|таймзона|time zone|timezone|tz|utc|пояс)"),
    (Role.PRIORITY, r"(приоритет|пріоритет|важность|важливість|priority)"),
    (
        Role.EXTERNAL_ID,
        r"(id|ид|ід|код|код клиента|код клієнта|внешний код|зовнішній код|внешний id|зовнішній id|external id"
        r"|lead id|customer id|client id|id клиента|id клієнта|id лида|uid|guid|артикул клиента)",
    ),
    (Role.TAGS, r"(тег|теги|метка|метки|мітка|мітки|tag|tags)"),
    (
        Role.OWNER,
        r"(ответственный|відповідальний|ответственный оператор|відповідальний оператор|оператор|менеджер|owner|agent"
        r"|operator|manager|responsible|account manager)",
    ),
    (Role.SOURCE, r"(источник|джерело|партнер|источник лида|джерело ліда|source|lead source|partner)"),
)
#: Words of a phone column's name, folded, that say where the numbers ring; the first that fits is meant.
_TYPES: Final = (
    (PhoneType.WORK, re.compile(r"\b(раб|рабоч\w+|роб|робоч\w+|служебн\w+|службов\w+|work|office|business)\b")),
    (PhoneType.HOME, re.compile(r"\b(дом|домашн\w+|home)\b")),
    (PhoneType.MOBILE, re.compile(r"\b(моб|мобил\w+|мобіл\w+|сот|сотов\w+|mobile|cell)\b")),
    (PhoneType.OTHER, re.compile(r"\b(другой|інший|other)\b")),
)
_PERSON: Final = re.compile(r"[A-ZА-ЯЁІЇЄҐ][\w'’ʼ-]+(\s[A-ZА-ЯЁІЇЄҐ][\w'’ʼ.-]*){1,2}")
_PATTERNS: Final = tuple((role, re.compile(pattern)) for role, pattern in _NAMES)
_CITY_NAMES: Final = frozenset(
    {"город", "місто", "city", "town", "населенный пункт", "населений пункт", "нас пункт", "регион", "регіон", "region"}
)


def folded(name: object) -> str:
    """A column's name for comparison: small letters, ё as е, no punctuation, no number behind it."""
    text = cell_text(name).casefold().replace("ё", "е").replace("_", " ")
    text = re.sub(r"[^\w№#]+", " ", text).strip()
    return re.sub(r"(?<=\D)\s*\d{1,2}$", "", text).strip()


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its place, its name in the file, its meaning, for Role.FIELD the field's key.

    `type`: of Role.PHONE, where all its numbers ring, if its name says so.
    """

    index: int
    title: str
    role: Role
    key: str = ""
    is_city: bool = False
    type: PhoneType = PhoneType.NOT_SAID


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a file and the row its header stands in (0: it has none)."""

    columns: tuple[Column, ...]
    header_row: int

    def of(self, role: Role) -> tuple[Column, ...]:
        """The columns of that role in the file's order."""
        return tuple(column for column in self.columns if column.role is role)


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What the configuration says of lead files: how numbers are read, fields with their column names, operators."""

    numbering: Numbering
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    agents: Mapping[str, str] = field(default_factory=dict)  # by name, extension and key, folded

    def key_of(self, title: str) -> str | None:
        """The configured field that a column's name means."""
        name = folded(title)
        return next((key for key, names in self.fields.items() if name in {folded(n) for n in (key, *names)}), None)

    def agent_of(self, text: str) -> str | None:
        """The operator whom a cell names; None for nobody, and for a name that two have."""
        return self.agents.get(fold(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a person said of a file's columns instead of what would be guessed.

    `header_row`: None is to be guessed, 0 is none. `roles`: by the column's place, a role's value, or `field:` and the
    key of a configured field. `defaults`: of rows that say nothing themselves; `zone`, `priority`, `owner`, `source` or
    a field's key; `tags` are given to all rows. `mended`: cells of this very file that a person has corrected: by the
    row's number, then by the column's place.
    """

    header_row: int | None = None
    roles: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    mended: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


NOTHING_CHOSEN: Final = Choice()


def headings_of(layout: Layout) -> str:
    """What makes two files alike: the names of their columns, as JSON."""
    return orjson.dumps([folded(column.title) for column in layout.columns]).decode()


def recognise(sample: Sequence[Row], meaning: Meaning, choice: Choice = NOTHING_CHOSEN) -> Layout:
    """The layout of a file by its first rows and what was chosen; without a phone column when none can be told."""
    header = _header(sample, meaning) if choice.header_row is None else _row(sample, choice.header_row)
    body = [cells for number, cells in sample if header is None or number > header[0]]
    titles = [cell_text(cell)[:HEADER_CHARACTERS_MAX] for cell in header[1]] if header else []
    width = max(len(titles), *map(len, body)) if body else len(titles)
    titles += [""] * (width - len(titles))
    roles = [_role(title) if header else None for title in titles]
    if Role.PHONE not in roles:
        for index in range(width):
            if roles[index] in (None, Role.EXTERNAL_ID) and _holds(
                index, body, lambda cell: _is_phone(cell, meaning.numbering)
            ):
                roles[index] = Role.PHONE
    for index, role in enumerate(roles):
        if role is Role.OWNER and not _holds(index, body, lambda cell: meaning.agent_of(cell_text(cell)) is not None):
            roles[index] = None  # somebody else's people: what the file says of them stands on the card
    cities = _guess_by_content(roles, titles, body)
    columns = []
    taken: set[str] = set()
    for index, title in enumerate(titles):
        if not title and not any(index < len(cells) and cells[index] is not None for cells in body):
            continue
        name = title or f"column {index + 1}"
        if (chosen := choice.roles.get(str(index))) is not None:
            column = _chosen(index, name, chosen, meaning)
        else:
            column = _column(index, name, roles[index], meaning, is_city=index in cities)
        if column.role is Role.FIELD and column.key in taken:
            column = Column(index, column.title, Role.FIELD, f"{column.key} ({index + 1})", column.is_city)
        taken.add(column.key)
        columns.append(column)
    return Layout(tuple(columns), header[0] if header else 0)


def _row(sample: Sequence[Row], number: int) -> Row | None:
    return next((row for row in sample if row[0] == number), None)


def _chosen(index: int, title: str, chosen: str, meaning: Meaning) -> Column:
    """A column as a person chose it; a field that the configuration no longer has keeps the column's own name."""
    kind, _, key = chosen.partition(":")
    role = next((role for role in Role if role.value == kind), Role.FIELD)
    if role is Role.PHONE:
        return _phone_column(index, title)
    if role is not Role.FIELD:
        return Column(index, title, role)
    is_city = folded(title) in _CITY_NAMES or key == "city"
    return Column(index, title, role, key if key in meaning.fields else title, is_city)


def _guess_by_content(roles: list[Role | None], titles: Sequence[str], body: Sequence[Sequence[Cell]]) -> set[int]:
    """Give columns whose names say nothing the role of what stands in them; those that hold cities are returned."""
    cities = set()
    nameless = Role.NAME not in roles
    for index, title in enumerate(titles):
        cells = [cells[index] for cells in body if index < len(cells) and cells[index] is not None]
        texts = [cell for cell in cells if isinstance(cell, str)]
        if roles[index] is not None or len(texts) < TELLING_SHARE * len(cells) or not texts:
            continue
        wanted = TELLING_SHARE * len(cells)
        if sum(zone_of_city(text) is not None for text in texts) >= wanted:
            cities.add(index)
        elif Role.ZONE not in roles and sum(zone_of_text(text) is not None for text in texts) >= wanted:
            roles[index] = Role.ZONE
        elif nameless and not title and sum(map(_looks_like_a_name, texts)) >= wanted:
            roles[index], nameless = Role.NAME, False
    return cities


def _looks_like_a_name(text: str) -> bool:
    """Two or three words that begin with a capital, and letters only: «Шевченко Тарас Григорович»."""
    return bool(_PERSON.fullmatch(text))


def _column(index: int, title: str, role: Role | None, meaning: Meaning, *, is_city: bool) -> Column:
    if role is Role.PHONE:
        return _phone_column(index, title)
    is_city = is_city or folded(title) in _CITY_NAMES
    key = meaning.key_of(title)
    # What the configuration names is what it says, unless it is how to reach the lead.
    if key is not None:
        return Column(index, title, Role.FIELD, key, is_city or key == "city")
    return Column(index, title, role or Role.FIELD, "" if role else title, is_city)


def _phone_column(index: int, title: str) -> Column:
    name = folded(title)
    said = next((type_ for type_, words in _TYPES if words.search(name)), PhoneType.NOT_SAID)
    return Column(index, title, Role.PHONE, type=said)


def _role(title: str) -> Role | None:
    name = folded(title)
    return next((role for role, pattern in _PATTERNS if pattern.fullmatch(name)), None)


def _header(sample: Sequence[Row], meaning: Meaning) -> Row | None:
    best: Row | None = None
    best_score = 0
    for number, cells in sample[:HEADER_ROWS_MAX]:
        roles = [_role(cell_text(cell)) for cell in cells if isinstance(cell, str)]
        fields = [meaning.key_of(cell) for cell in cells if isinstance(cell, str)]
        score = 3 * (Role.PHONE in roles) + sum(role is not None for role in roles) + sum(map(bool, fields))
        if score > best_score:
            best, best_score = (number, cells), score
    if best_score >= 2:
        return best
    # Names that we do not know: a first row of texts above rows with numbers.
    first = sample[0]
    if len(sample) > 1 and all(isinstance(cell, str | None) for cell in first[1]) and not _any_phone([first], meaning):
        return first if _any_phone(sample[1:], meaning) else None
    return None


def _any_phone(rows: Iterable[Row], meaning: Meaning) -> bool:
    return any(_is_phone(cell, meaning.numbering) for _, cells in rows for cell in cells)


def _holds(index: int, body: Sequence[Sequence[Cell]], is_one: Callable[[Cell], bool]) -> bool:
    cells = [cells[index] for cells in body if index < len(cells) and cells[index] is not None]
    return bool(cells) and sum(map(is_one, cells)) >= TELLING_SHARE * len(cells)


def _is_phone(cell: Cell, numbering: Numbering) -> bool:
    found = find_phones(cell, numbering)
    return bool(found) and isinstance(found[0], FoundPhone)


# ── time zones ───────────────────────────────────────────────────────────────────────────────────────────────────

#: Cities that CLDR does not name, since others stand for their zones there.
_MORE_CITIES: Final = {
    "Europe/Moscow": "Санкт-Петербург|Петербург|СПб|Спб|Нижний Новгород|Казань|Ростов-на-Дону|Воронеж|Краснодар|Тула"
    "|Ярославль|Рязань|Тверь|Сочи|Белгород|Брянск|Курск|Липецк|Пенза|Moscow|Saint Petersburg|St. Petersburg|Мск",
    "Europe/Samara": "Тольятти|Ижевск",
    "Asia/Yekaterinburg": "Челябинск|Уфа|Пермь|Тюмень|Оренбург|Сургут|Магнитогорск|Екб",
    "Asia/Novosibirsk": "Новосиб",
    "Asia/Krasnoyarsk": "Кемерово|Абакан",
    "Asia/Vladivostok": "Хабаровск",
    "Europe/Kyiv": "Киев|Київ|Kyiv|Kiev|Харьков|Харків|Одесса|Одеса|Днепр|Дніпро|Львов|Львів|Запорожье|Запоріжжя"
    "|Винница|Вінниця|Полтава|Чернигов|Чернігів|Черкассы|Черкаси|Житомир|Сумы|Суми|Ровно|Рівне|Луцк|Луцьк|Тернополь"
    "|Тернопіль|Ивано-Франковск|Івано-Франківськ|Хмельницкий|Хмельницький|Николаев|Миколаїв|Херсон|Ужгород"
    "|Черновцы|Чернівці|Кропивницкий|Кропивницький|Кривой Рог|Кривий Ріг",
}
_OFFSET: Final = re.compile(r"(?:(utc|gmt|мск|msk))?\s*([+-]\s*\d{1,2})(?::?00)?|(мск|msk)", re.IGNORECASE)
_MOSCOW_OFFSET_H: Final = 3


@lru_cache(maxsize=1)
def _zones_by_name() -> Mapping[str, str]:
    found: dict[str, str] = {}
    known = available_timezones()
    for language in ("ru", "uk", "en"):
        for zone, names in Locale(language).time_zones.items():
            if zone in known and "city" in names:
                found.setdefault(folded(names["city"]), zone)
    for zone in known:
        if "/" in zone and not zone.startswith("Etc/"):
            found.setdefault(folded(zone.rpartition("/")[2]), zone)
        found[zone.casefold()] = zone
    for zone, cities in _MORE_CITIES.items():
        found.update((folded(city), zone) for city in cities.split("|"))
    return found


@lru_cache(maxsize=CITIES_CACHED_MAX)
def zone_of_city(text: str) -> str | None:
    """The zone of a city by its name in Russian, Ukrainian or English, `г. Самара` too; None when it is not known."""
    name = re.sub(r"^(г|город|м|місто|city) ", "", folded(text))
    return _zones_by_name().get(name)


def zone_of_text(text: str) -> str | None:
    """The zone that `Europe/Kyiv`, `Киев`, `UTC+3` or `МСК+4` name; None when it is none."""
    if offset := _OFFSET.fullmatch(text.strip()):
        hours = int((offset[2] or "0").replace(" ", ""))
        if (offset[1] or offset[3] or "").casefold() in ("мск", "msk"):
            hours += _MOSCOW_OFFSET_H
        # POSIX counts these westwards: Etc/GMT-3 is UTC+3.
        zone = f"Etc/GMT{-hours:+d}" if hours else "Etc/UTC"
        return zone if zone in available_timezones() else None
    return _zones_by_name().get(text.strip().casefold()) or zone_of_city(text)
