"""When to call back, as people say it."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.moments import AHEAD_MAX_MS, moment

KYIV = ZoneInfo("Europe/Kyiv")


def at(wall: str) -> int:
    return int(datetime.fromisoformat(wall).replace(tzinfo=KYIV).timestamp() * 1000)


NOW_MS = at("2026-03-11 11:20")  # a Wednesday


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("завтра 15", "2026-03-12 15:00"),
        ("Завтра в 15:30", "2026-03-12 15:30"),
        ("завтра о 15", "2026-03-12 15:00"),
        ("завтра в 3", "2026-03-12 15:00"),
        ("завтра в 9 утра", "2026-03-12 09:00"),
        ("завтра утром", "2026-03-12 10:00"),
        ("сегодня вечером", "2026-03-11 18:00"),
        ("сьогодні о 7 вечора", "2026-03-11 19:00"),
        ("послезавтра", "2026-03-13 10:00"),
        ("післязавтра вдень", "2026-03-13 14:00"),
        ("через полчаса", "2026-03-11 11:50"),
        ("через пів години", "2026-03-11 11:50"),
        ("за півгодини", "2026-03-11 11:50"),
        ("через час", "2026-03-11 12:20"),
        ("через полтора часа", "2026-03-11 12:50"),
        ("за півтори години", "2026-03-11 12:50"),
        ("через 2 часа 15 минут", "2026-03-11 13:35"),
        ("через дві години", "2026-03-11 13:20"),
        ("через три дня", "2026-03-14 11:20"),
        ("через неделю", "2026-03-18 11:20"),
        ("in 2 hours", "2026-03-11 13:20"),
        ("in half an hour", "2026-03-11 11:50"),
        ("in an hour", "2026-03-11 12:20"),
        ("tomorrow 3pm", "2026-03-12 15:00"),
        ("tomorrow at 3 p.m.", "2026-03-12 15:00"),
        ("day after tomorrow at 9 am", "2026-03-13 09:00"),
        ("в пятницу", "2026-03-13 10:00"),
        ("у п’ятницю о 16:45", "2026-03-13 16:45"),
        ("on friday evening", "2026-03-13 18:00"),
        ("в среду в 12", "2026-03-11 12:00"),
        ("в среду в 11", "2026-03-18 11:00"),
        ("на следующей неделе", "2026-03-16 10:00"),
        ("next week on friday", "2026-03-20 10:00"),
        ("16 марта в 14", "2026-03-16 14:00"),
        ("5 березня", "2027-03-05 10:00"),
        ("march 16 at noon", "2026-03-16 12:00"),
        ("16.03 в 9:30", "2026-03-16 09:30"),
        ("16.03.2026 в 9.30", "2026-03-16 09:30"),
        ("в 18", "2026-03-11 18:00"),
        ("в 10", "2026-03-12 10:00"),
        ("15:00", "2026-03-11 15:00"),
        ("в обед", None),
        ("завтра или в пятницу, как получится", None),
        ("31.02 в 10", None),
        ("сегодня в 9:00", None),
        ("завтра 25", None),
        ("через два года", None),
        ("через 0 минут", None),
        ("", None),
    ],
)
def test_what_is_said_and_what_it_means(said: str, meant: str | None) -> None:
    assert moment(said, NOW_MS, KYIV) == (None if meant is None else at(meant))


def test_a_wall_time_that_the_clock_change_skips_or_doubles_is_never_called_early() -> None:
    spring = moment("завтра 3:30", at("2026-03-28 12:00"), KYIV)
    assert spring is not None
    assert spring >= at("2026-03-29 04:00")
    assert moment("завтра 3:30", at("2026-10-24 12:00"), KYIV) == at("2026-10-25 02:59") + 91 * 60_000


@given(st.text(max_size=90), st.integers(NOW_MS, NOW_MS + 400 * 86_400_000))
def test_no_text_breaks_it_and_nothing_is_promised_for_the_past(text: str, now_ms: int) -> None:
    found = moment(text, now_ms, KYIV)
    assert found is None or now_ms < found <= now_ms + AHEAD_MAX_MS


WORDS = (
    "завтра",
    "сегодня",
    "в",
    "через",
    "15",
    "15:30",
    "дня",
    "полчаса",
    "пятницу",
    "16.03",
    "next",
    "week",
    "pm",
    "марта",
)


@given(st.lists(st.sampled_from(WORDS), max_size=6))
def test_no_order_of_known_words_breaks_it(words: list[str]) -> None:
    found = moment(" ".join(words), NOW_MS, KYIV)
    assert found is None or found > NOW_MS
