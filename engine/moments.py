"""When to call back, as people say it in Russian, Ukrainian and English: «завтра 15», «через полчаса», "tomorrow 3pm".

A small grammar of our own: a word that it does not know makes the whole unknown, for a wrong guess is a broken promise.
What was understood is shown before it is promised. Hours from 1 to 7 without a part of the day mean the afternoon.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, TypeVar
from zoneinfo import ZoneInfo

from engine.core.hours import instants

TEXT_MAX: Final = 80
#: Further ahead nothing is promised.
AHEAD_MAX_MS: Final = 366 * 86_400_000
#: The hour of a day that is named without one, and of its parts.
MORNING, AFTERNOON, EVENING = 10, 14, 18
T = TypeVar("T")


def _each(words: str, meaning: T) -> dict[str, T]:
    return dict.fromkeys(words.split(), meaning)


_MINUTES_OF: Final[Mapping[str, int]] = {
    **_each("м мин минуту минуты минут хв хвилину хвилини хвилин m min mins minute minutes", 1),
    **_each("ч час часа часов год годину години годин h hr hour hours", 60),
    **_each("день дня дней дні днів day days", 1_440),
    **_each("неделю недели недель тиждень тижні тижнів week weeks", 10_080),
}
_HALF: Final = _each("полчаса півгодини", 30)
_ONE_AND_HALF: Final = _each("полтора півтори", 90)
_NUMBERS: Final[Mapping[str, int]] = {
    word: number
    for number, words in enumerate(
        (
            "один одну одна a an one",
            "два две дві two пару couple",
            "три three",
            "четыре чотири four",
            "пять п'ять five",
            "шесть шість six",
            "семь сім seven",
            "восемь вісім eight",
            "девять дев'ять nine",
            "десять ten",
        ),
        1,
    )
    for word in words.split()
}
_DAYS: Final[Mapping[str, int]] = {
    **_each("сегодня сьогодні today", 0),
    **_each("завтра tomorrow", 1),
    **_each("послезавтра післязавтра", 2),
}
_WEEKDAYS: Final[Mapping[str, int]] = {
    word: weekday
    for weekday, words in enumerate(
        (
            "понедельник понеділок пн monday mon",
            "вторник вівторок вт tuesday tue",
            "среда среду середа середу ср wednesday wed",
            "четверг четвер чт thursday thu",
            "пятница пятницу п'ятниця п'ятницю пт friday fri",
            "суббота субботу субота суботу сб saturday sat",
            "воскресенье неділя неділю вс нд sunday sun",
        )
    )
    for word in words.split()
}
_MONTHS: Final[Mapping[str, int]] = {
    word: month
    for month, words in enumerate(
        (
            "января січня january jan",
            "февраля лютого february feb",
            "марта березня march mar",
            "апреля квітня april apr",
            "мая травня may",
            "июня червня june jun",
            "июля липня july jul",
            "августа серпня august aug",
            "сентября вересня september sep",
            "октября жовтня october oct",
            "ноября листопада november nov",
            "декабря грудня december dec",
        ),
        1,
    )
    for word in words.split()
}
#: The usual hour of a part of the day, and whether its name moves small hours by twelve.
_PARTS: Final[Mapping[str, tuple[int, bool]]] = {
    **_each("утром утра вранці ранку зранку morning am", (MORNING, False)),
    **_each("днем вдень afternoon дня", (AFTERNOON, True)),
    **_each("вечером вечера ввечері увечері вечора evening pm", (EVENING, True)),
}
_NOON: Final = _each("полдень полдня опівдні noon midday", 12)
_AHEAD: Final = _each("через за in", None)
_FILLERS: Final = _each("в во у о об к до at on the by на около близько about ближе где-то and і и", None)
_OF_THE_CLOCK: Final = _each("час часов часа год годині o'clock oclock", None)
_JOINING: Final = _each("and и і of з", None)
_NEXT_WEEK: Final = re.compile(r"(?:на )?(?:следующей неделе|наступного тижня|наступному тижні|next week)")
_DAY_AFTER: Final = re.compile(r"(?:the )?day after tomorrow")
_HALF_HOUR: Final = re.compile(r"half an hour|пів години|пол часа")
_TOKEN: Final = re.compile(r"\d{1,2}[.:]\d{2}(?:[.]\d{2,4})?|\d{1,2}[.]\d{1,2}|\d+|[^\W\d_]+(?:['-][^\W\d_]+)*")
_CLOCK: Final = re.compile(r"(\d{1,2})[.:](\d{2})")
_DATE: Final = re.compile(r"(\d{1,2})[.](\d{1,2})(?:[.](\d{2,4}))?")


def moment(text: str, now_ms: int, zone: ZoneInfo) -> int | None:
    """The moment ahead that the words mean in that zone; None: not understood, past, or too far ahead."""
    text = _plain(text)
    if not text or len(text) > TEXT_MAX:
        return None
    try:
        at_ms = _ahead(text, now_ms) or _on_a_day(text, now_ms, zone)
    except (ValueError, OverflowError):  # no such day or hour
        return None
    return at_ms if at_ms is not None and now_ms < at_ms <= now_ms + AHEAD_MAX_MS else None


def _plain(text: str) -> str:
    text = re.sub("[ʼ’`]", "'", text.casefold().replace("ё", "е"))
    text = re.sub(r"\b([ap])\.m\.?", r"\1m", text)
    text = _HALF_HOUR.sub(" полчаса ", _DAY_AFTER.sub(" послезавтра ", text))
    text = re.sub(r"(\d)(am|pm)\b", r"\1 \2", text)
    return " ".join(text.replace(",", " ").split())


def _tokens(text: str) -> list[str] | None:
    """All words and numbers; None when there is anything else in it."""
    found = _TOKEN.findall(text)
    return None if re.sub(r"[\s.!]", "", _TOKEN.sub("", text)) else found


def _ahead(text: str, now_ms: int) -> int | None:
    """«через 2 часа 15 минут», "in half an hour"."""
    tokens = _tokens(text) or []
    if not tokens or (tokens[0] not in _AHEAD):
        return None
    minutes, number = 0.0, None
    for token in tokens[1:]:
        if token in _HALF:
            minutes += 30
        elif token in _ONE_AND_HALF:
            number = 1.5
        elif token in _MINUTES_OF:
            minutes += (1 if number is None else number) * _MINUTES_OF[token]
            number = None
        elif token.isdecimal() or token in _NUMBERS:
            number = float(token) if token.isdecimal() else _NUMBERS[token]
        elif token not in _JOINING:
            return None
    return now_ms + round(minutes * 60_000) if minutes and number is None else None


@dataclass(slots=True)
class _Said:
    day: date | None = None
    hour: int | None = None
    minute: int = 0
    part: tuple[int, bool] | None = None
    exact: bool = False  # with minutes: no afternoon is meant by a small hour
    weekday: bool = False


def _on_a_day(text: str, now_ms: int, zone: ZoneInfo) -> int | None:
    """«завтра 15», «в пятницу вечером», "march 15 at 3pm"."""
    today = datetime.fromtimestamp(now_ms // 1000, UTC).astimezone(zone).date()
    said = _Said()
    week = _NEXT_WEEK.search(text)
    if week is not None:
        text = text[: week.start()] + text[week.end() :]
        said.day = today + timedelta(days=7 - today.weekday())
    tokens = _tokens(text)
    if tokens is None or not _understood(tokens, said, today):
        return None
    if said.day is None and said.hour is None and said.part is None:
        return None
    at_ms = _instant(said, said.day or today, zone)
    if at_ms is None:
        return None
    if at_ms <= now_ms:
        if said.day is None:
            return _instant(said, today + timedelta(days=1), zone)
        if said.weekday:
            return _instant(said, said.day + timedelta(days=7), zone)
    return at_ms


def _understood(tokens: list[str], said: _Said, today: date) -> bool:
    """Fill in what the words say; False at the first that says nothing."""
    at = 0
    while at < len(tokens):
        token, following = tokens[at], tokens[at + 1] if at + 1 < len(tokens) else ""
        step = 1
        if token in _DAYS:
            said.day = today + timedelta(days=_DAYS[token])
        elif token in _WEEKDAYS:
            from_day = said.day or today  # "next week on friday"
            said.day = from_day + timedelta(days=(_WEEKDAYS[token] - from_day.weekday()) % 7)
            said.weekday = True
        elif token.isdecimal() and following in _MONTHS:
            said.day, step = _next_date(int(token), _MONTHS[following], None, today), 2
        elif token in _MONTHS and following.isdecimal():
            said.day, step = _next_date(int(following), _MONTHS[token], None, today), 2
        elif token in _PARTS:
            said.part = _PARTS[token]
        elif token in _NOON:
            said.hour, said.exact = 12, True
        elif token in _FILLERS or token in _OF_THE_CLOCK:
            pass
        elif not _number(token, said, today):
            return False
        at += step
    return True


def _number(token: str, said: _Said, today: date) -> bool:
    clock, day = _CLOCK.fullmatch(token), _DATE.fullmatch(token)
    a_date = day is not None and int(day[2]) in range(1, 13) and said.day is None and ":" not in token
    if a_date and day is not None:
        said.day = _next_date(int(day[1]), int(day[2]), day[3], today)
    elif clock is not None and said.hour is None:
        said.hour, said.minute, said.exact = int(clock[1]), int(clock[2]), True
    elif token.isdecimal() and int(token) < 24 and said.hour is None:
        said.hour = int(token)
    else:
        return False
    return True


def _next_date(day: int, month: int, year: str | None, today: date) -> date:
    if year is not None:
        return date(int(year) + (2000 if len(year) == 2 else 0), month, day)
    found = date(today.year, month, day)
    return found if found >= today else date(today.year + 1, month, day)


def _instant(said: _Said, day: date, zone: ZoneInfo) -> int | None:
    hour = said.hour
    if hour is None:
        hour = said.part[0] if said.part is not None else MORNING
    elif said.part is not None:
        hour += 12 if said.part[1] and hour < 12 else 0
    elif not said.exact and 1 <= hour <= 7:
        hour += 12
    if not 0 <= hour < 24 or not 0 <= said.minute < 60:
        return None
    # A wall time that a clock change skips or doubles is taken later: nobody is called before they said.
    return instants(day, hour * 60 + said.minute, zone)[1]
