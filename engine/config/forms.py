"""The forms that people write values in: `30m`, `09:00-20:00`, `127.0.0.1:8080`, `yes`.

A form reads what stands in the file, or raises ValueError that says what fits; `show` is its inverse, so that two
configurations are compared, and defaults documented, in the words of the file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, TypeAlias
from zoneinfo import available_timezones

from pydantic import AfterValidator, GetCoreSchemaHandler, GetJsonSchemaHandler, SecretStr, StringConstraints
from pydantic_core import CoreSchema, core_schema

from engine.config.yamlmarks import ENV
from engine.core import law
from engine.core.model import PhoneNumber

DAY_MINUTES: Final = 24 * 60
DAY_MS: Final = 86_400_000
#: Key of the generated schema that carries a form's words to the reference.
FORM: Final = "form"

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_UNITS_MS: Final = {"d": DAY_MS, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_DURATION: Final = re.compile(r"(?:(\d{1,6})(d|h|ms|m|s))")
_CLOCK: Final = r"(?:[01]?\d|2[0-4]):[0-5]\d"
_SPAN: Final = re.compile(rf"({_CLOCK})\s*[-–]\s*({_CLOCK})")

Spans: TypeAlias = tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class Form:
    """How a value is read from the file, shown again, and described to editors; goes into `Annotated`."""

    read: Callable[[Any], Any]
    show: Callable[[Any], Any]
    schema: Mapping[str, Any]
    words: str  # for the reference
    secret: bool = False

    def __get_pydantic_core_schema__(self, _source: object, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self._read, serialization=core_schema.plain_serializer_function_ser_schema(self.show)
        )

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**self.schema, FORM: self.words}

    def _read(self, value: Any) -> Any:
        if not self.secret and isinstance(value, dict) and ENV in value:
            raise ValueError(f"{ENV} is for secrets only")
        return self.read(value)


# ── durations, shares, clock times ───────────────────────────────────────────────────────────────────────────────


def duration_ms(value: object) -> int:
    """`1h30m` → milliseconds. Raises ValueError."""
    text = str(value).replace(" ", "")
    parts = _DURATION.findall(text)
    if text == "0":
        return 0
    if not parts or "".join(number + unit for number, unit in parts) != text:
        hint = f"; a unit is missing: {text}s?" if text.isdecimal() else ""
        raise ValueError(f"expected a duration such as 30s, 5m, 1h30m or 2d{hint}")
    return sum(int(number) * _UNITS_MS[unit] for number, unit in parts)


def duration_text(duration: int) -> str:
    """Milliseconds → `1h30m`."""
    parts = []
    for unit, unit_ms in _UNITS_MS.items():
        count, duration = divmod(duration, unit_ms)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0"


def duration(shortest: str, longest: str) -> Form:
    """A duration in milliseconds, between two limits."""

    def read(value: object) -> int:
        found_ms = duration_ms(value)
        if not duration_ms(shortest) <= found_ms <= duration_ms(longest):
            raise ValueError(f"expected a duration from {shortest} to {longest}, got {value}")
        return found_ms

    pattern = r"^(0|([0-9]{1,6}(ms|s|m|h|d))+)$"
    schema = {"type": ["string", "integer"], "pattern": pattern, "maximum": 0, "minimum": 0}
    return Form(read, duration_text, schema, f"time, {shortest} to {longest}")


_SHARE: Final = re.compile(r"(\d{1,3}(?:\.\d{1,3})?)\s*%")


def _share(value: object) -> float:
    found = _SHARE.fullmatch(str(value))
    if not found or float(found[1]) > 100:
        hint = f"; the sign is missing: {value}%?" if isinstance(value, int | float) else ""
        raise ValueError(f"expected a share such as 3% or 0.5%{hint}")
    return float(found[1]) / 100


Share: TypeAlias = Annotated[
    float,
    Form(
        _share,
        lambda share: f"{share * 100:.6g}%",
        {"type": "string", "pattern": r"^[0-9]{1,3}(\.[0-9]{1,3})?\s*%$", "examples": ["3%"]},
        "share, such as `3%`",
    ),
]


class LegalPeriod(NamedTuple):
    """A stretch of time over which a law counts. `length_ms` 0: the calendar day; `since`: back to back from there."""

    length_ms: int
    since: date | None = None


PERIOD_LONGEST: Final = "31d"


def _legal_period(value: object) -> LegalPeriod:
    length = duration("1h", PERIOD_LONGEST).read
    match value:
        case "calendar_day":
            return LegalPeriod(0)
        case {"rolling": stretch, **others} if not others:
            return LegalPeriod(length(stretch))
        case {"successive": stretch, "since": str(day), **others} if not others:
            length_ms = length(stretch)
            if length_ms % DAY_MS:
                raise ValueError("successive periods are whole days, such as 30d")
            try:
                return LegalPeriod(length_ms, date.fromisoformat(day))
            except ValueError:
                raise ValueError(f"since: expected a day such as 2026-01-31, got {day}") from None
        case {"successive": _, **others} if not others:
            raise ValueError("successive needs `since`: the campaign's first day, such as 2026-01-31")
        case _:
            raise ValueError("expected {rolling: 30d}, calendar_day, or {successive: 30d, since: 2026-01-31}")


def _legal_period_text(period: LegalPeriod) -> str | dict[str, str]:
    if not period.length_ms:
        return "calendar_day"
    if period.since is None:
        return {"rolling": duration_text(period.length_ms)}
    return {"successive": duration_text(period.length_ms), "since": period.since.isoformat()}


_PERIOD_KEYS: Final = {key: {"type": "string"} for key in ("rolling", "successive", "since")}
Period: TypeAlias = Annotated[
    LegalPeriod,
    Form(
        _legal_period,
        _legal_period_text,
        {"anyOf": [{"const": "calendar_day"}, {"type": "object", "properties": _PERIOD_KEYS}]},
        "`{rolling: 30d}`, `calendar_day` or `{successive: 30d, since: 2026-01-31}`",
    ),
]


def _spans(value: object) -> Spans:
    if value == "closed":
        return ()
    spans = sorted(_span(part) for part in (value if isinstance(value, list) else [value]))
    for (_, until), (start, _) in pairwise(spans):
        if start < until:
            raise ValueError("the times overlap")
    return tuple(spans)


def _span(value: object) -> tuple[int, int]:
    found = _SPAN.fullmatch(str(value))
    if not found:
        raise ValueError('expected times such as "09:00-20:00", a list of them, or closed')
    start, until = (int(hours) * 60 + int(minutes) for hours, minutes in (c.split(":") for c in found.groups()))
    if not start < until <= DAY_MINUTES:
        raise ValueError(f"{value}: the end must come after the start and at 24:00 the latest")
    return start, until


def _spans_text(spans: Spans) -> str:
    clock = [tuple(f"{minute // 60:02}:{minute % 60:02}" for minute in span) for span in spans]
    return ", ".join("-".join(span) for span in clock) or "closed"


SpansOfDay: TypeAlias = Annotated[
    Spans,
    Form(
        _spans,
        _spans_text,
        {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}], "examples": ["09:00-20:00"]},
        'times such as `"09:00-20:00"`, a list of them, or `closed`',
    ),
]


def weekdays(name: str) -> tuple[int, ...]:
    """`mon-fri`, `sat`, `daily` → weekday numbers, Monday is 0. Raises ValueError."""
    first, _, last = "mon-sun".partition("-") if name == "daily" else name.partition("-")
    try:
        days = WEEKDAYS.index(first), WEEKDAYS.index(last or first)
    except ValueError:
        raise ValueError(
            f"{name}: expected a weekday ({', '.join(WEEKDAYS)}), a range such as mon-fri, or daily"
        ) from None
    if days[1] < days[0]:
        raise ValueError(f"{name}: the range runs backwards")
    return tuple(range(days[0], days[1] + 1))


def _checked_weekdays(name: str) -> str:
    weekdays(name)
    return name


DayRange: TypeAlias = Annotated[str, AfterValidator(_checked_weekdays)]


# ── words ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _flag(value: object) -> bool:
    words = {"yes": True, "on": True, "true": True, "no": False, "off": False, "false": False}
    found = words.get(str(value).lower())
    if found is None:
        raise ValueError("expected yes or no")
    return found


Flag: TypeAlias = Annotated[
    bool,
    Form(_flag, lambda flag: "yes" if flag else "no", {"enum": ["yes", "no", "on", "off", True, False]}, "yes or no"),
]


def _text(value: object, *, characters_max: int, pattern: re.Pattern[str] | None, wanted: str) -> str:
    # A name made of digits (a phone called 101) is a number to YAML and a name to people.
    text = str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
    if not text.strip() or len(text) > characters_max:
        raise ValueError(f"expected a text of 1 to {characters_max} characters")
    if pattern and not pattern.fullmatch(text):
        raise ValueError(f"expected {wanted}")
    return text


def text_form(characters_max: int, pattern: str = "", wanted: str = "") -> Form:
    """A text, also where YAML sees a number; `wanted` says in words what the pattern means."""
    schema: dict[str, Any] = {"type": ["string", "integer"], "maxLength": characters_max}
    if pattern:
        schema["pattern"] = f"^{pattern}$"
    compiled = re.compile(pattern) if pattern else None
    read = partial(_text, characters_max=characters_max, pattern=compiled, wanted=wanted)
    return Form(read, str, schema, wanted or "text")


ID_PATTERN: Final = r"[a-z0-9][a-z0-9_-]{0,31}"
Text: TypeAlias = Annotated[str, text_form(200)]
#: A reference to something named elsewhere in the file; that it exists is a check of its own.
Name: TypeAlias = Annotated[str, text_form(32, ID_PATTERN, "a name of small Latin letters, digits, - and _")]
#: The same as a key.
NameKey: TypeAlias = Annotated[str, StringConstraints(pattern=f"^{ID_PATTERN}$")]


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _zone(value: object) -> str:
    if not isinstance(value, str) or value not in _zones():
        near = get_close_matches(str(value), _zones(), n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else " such as Europe/Kyiv"
        raise ValueError(f"expected a time zone of the IANA database{hint}")
    return value


Zone: TypeAlias = Annotated[
    str, Form(_zone, str, {"type": "string", "examples": ["Europe/Kyiv"]}, "time zone of the IANA database")
]


def _number(value: object) -> PhoneNumber:
    text = re.sub(r"[\s()\-.]", "", str(value))
    try:
        return PhoneNumber(text)
    except ValueError:
        raise ValueError("expected a telephone number in the international form, such as +380441234567") from None


Number: TypeAlias = Annotated[
    PhoneNumber,
    Form(_number, lambda number: number.e164, {"type": ["string", "integer"], "examples": ["+380441234567"]}, "number"),
]


def _number_pattern(value: object) -> str:
    text = re.sub(r"[\s()\-]", "", str(value)).upper()
    if not re.fullmatch(r"\+[0-9]{1,14}X{0,14}", text) or len(text) > 16:
        raise ValueError("expected + and digits, with X for any digit at the end, such as +7000XXXXXXX")
    return text


NumberPattern: TypeAlias = Annotated[
    str,
    Form(
        _number_pattern,
        str,
        {"type": "string", "pattern": r"^\+[0-9]+[xX]*$", "examples": ["+7000XXXXXXX"]},
        "such as `+7000XXXXXXX`",
    ),
]


# ── the network, the disk, secrets ───────────────────────────────────────────────────────────────────────────────


class Address(NamedTuple):
    """Host and port."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def _address(value: object) -> Address:
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})", str(value))
    if not found or not 1 <= int(found[2]) <= 65_535:
        raise ValueError("expected host:port, such as 127.0.0.1:8080")
    return Address(found[1].strip("[]"), int(found[2]))


HostPort: TypeAlias = Annotated[
    Address,
    Form(
        _address, str, {"type": "string", "pattern": r"^\S+:[0-9]{1,5}$", "examples": ["127.0.0.1:8080"]}, "host:port"
    ),
]


class PortRange(NamedTuple):
    """First and last port."""

    first: int
    last: int


def _port_range(value: object) -> PortRange:
    found = re.fullmatch(r"(\d{1,5})\s*-\s*(\d{1,5})", str(value))
    if not found or not 1024 <= int(found[1]) < int(found[2]) <= 65_535:
        raise ValueError("expected two ports from 1024 on, such as 16000-16999")
    return PortRange(int(found[1]), int(found[2]))


Ports: TypeAlias = Annotated[
    PortRange,
    Form(
        _port_range,
        lambda ports: f"{ports.first}-{ports.last}",
        {"type": "string", "pattern": "^[0-9]+-[0-9]+$"},
        "first-last",
    ),
]


def _path(value: object) -> Path:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ValueError("expected the path of a file")
    return Path(value)


FilePath: TypeAlias = Annotated[Path, Form(_path, str, {"type": "string"}, "path")]


def _secret(value: object) -> SecretStr:
    match value:
        case {"!env": str(name)} if name in os.environ:
            return SecretStr(os.environ[name])
        case {"!env": str(name)}:
            raise ValueError(f"the environment variable {name} is not set")
        case _:
            raise ValueError(f"a secret does not stand in this file: write {ENV} NAME, or name a file with …_file")


Secret: TypeAlias = Annotated[
    SecretStr, Form(_secret, lambda _: "(secret)", {"type": "string"}, "`!env NAME`", secret=True)
]


def day_of_year(value: object) -> date:
    """`2026-01-31` → the day. Raises ValueError."""
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        raise ValueError(f"expected a day such as 2026-01-31, got {value}") from None


Day: TypeAlias = Annotated[
    date,
    Form(day_of_year, str, {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}, "a day such as 2026-01-31"),
]


def _per(value: object) -> law.Per:
    match value:
        case "day" | "week" | "month":
            return law.Calendar(value)
        case {"rolling": stretch, **others} if not others:
            return law.Rolling(duration("1h", "366d").read(stretch))
        case {"days": int(count), **others} if not others and 1 <= count <= 366:
            return law.Days(count)
        case {"successive": int(count), "since": since, **others} if not others and 1 <= count <= 366:
            return law.Successive(day_of_year(since), count)
        case _:
            raise ValueError(
                "expected day, week, month, {rolling: 7d}, {days: 7} or {successive: 30, since: 2026-01-31}"
            )


def _per_text(per: law.Per) -> str | dict[str, str | int]:
    match per:
        case law.Rolling(length_ms):
            return {"rolling": duration_text(length_ms)}
        case law.Days(count):
            return {"days": count}
        case law.Successive(since, count):
            return {"successive": count, "since": since.isoformat()}
        case law.Calendar():
            return per.value


#: A period over which calls are counted.
PerForm: TypeAlias = Annotated[
    law.Per,
    Form(
        _per,
        _per_text,
        {"type": ["string", "object"]},
        "`day`, `week`, `month`, `{rolling: 7d}`, `{days: 7}` or `{successive: 30, since: 2026-01-31}`",
    ),
]
