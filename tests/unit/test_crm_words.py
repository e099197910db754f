"""Three languages, complete, with the right plurals; and nothing said past the catalogs."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from babel.messages.catalog import Message
from babel.messages.pofile import read_po

from crm_lite import words as trade
from crm_lite.i18n import LANGUAGES, Words, load_words, preferred_language, read_catalog
from engine.api import PacingView, abandon_limit
from engine.core.budget import AbandonRule, AtCeiling, CalendarDay, Successive
from engine.core.model import AgentState, CustomerState, LeadState, Mode, NotDialing, Outcome, Refusal, SystemPause
from engine.core.pacing import PacingLimit
from engine.store.rows import Role
from tests.conversation import campaign

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = sorted((ROOT / "web" / "templates").rglob("*.html"))
WORDS = load_words()
KYIV = ZoneInfo("Europe/Kyiv")
#: Names and keys: the same in every language.
UNTRANSLATED = {"Zvonar", "Ctrl", "Enter", "Alt", "F2", "F4", "F9", "P"}
SHOWN_ATTRIBUTES = ("title", "alt", "placeholder", "aria-label", "aria-description")


@pytest.fixture(scope="module")
def messages(tmp_path_factory: pytest.TempPathFactory) -> list[Message]:
    pot = tmp_path_factory.mktemp("words") / "messages.pot"
    command = [
        sys.executable,
        "-m",
        "babel.messages.frontend",
        "-q",
        "extract",
        "-F",
        "babel.cfg",
        "-k",
        "N_",
        "-k",
        "t",
    ]
    subprocess.run([*command, "-o", str(pot), "."], cwd=ROOT, check=True)
    with pot.open("rb") as file:
        return [message for message in read_po(file) if message.id]


def forms_of(message: Message) -> tuple[str, ...]:
    """The translation's plural forms, or the one that it has."""
    return (message.string,) if isinstance(message.string, str) else tuple(message.string or ("",))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_message_is_translated(language: str, messages: list[Message]) -> None:
    catalog = read_catalog(language)
    found = {message.id if isinstance(message.id, str) else message.id[0]: message for message in catalog}
    missing = []
    for message in messages:
        one = message.id if isinstance(message.id, str) else message.id[0]
        translated = found.get(one)
        if translated is None or translated.fuzzy or not all(forms_of(translated)):
            missing.append(one)
    assert not missing, "run `make i18n` and translate"


@pytest.mark.parametrize("language", ["ru", "uk"])
def test_parameters_survive_translation(language: str) -> None:
    wrong = []
    for message in read_catalog(language):
        if not message.id:
            continue
        ids = (message.id,) if isinstance(message.id, str) else message.id
        wanted = set(re.findall(r"%\(\w+\)s", ids[0]))
        wrong += [form for form in forms_of(message) if set(re.findall(r"%\(\w+\)s", form)) != wanted]
    assert not wrong


@pytest.mark.parametrize(
    ("language", "count", "form"),
    [
        ("ru", 1, "разговор"),
        ("ru", 3, "разговора"),
        ("ru", 11, "разговоров"),
        ("ru", 21, "разговор"),
        ("uk", 2, "розмови"),
        ("uk", 12, "розмов"),
        ("en", 1, "conversation"),
        ("en", 2, "conversations"),
    ],
)
def test_plurals_follow_the_language(language: str, count: int, form: str) -> None:
    assert WORDS[language].ngettext("conversation", "conversations", count) == form


def literals(source: str) -> list[str]:
    """Words of a template that no catalog knows."""
    source = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", "¤", source, flags=re.DOTALL)
    source = re.sub(r"<(script|style|kbd)\b.*?</\1>", "", source, flags=re.DOTALL)
    shown = [value for name in SHOWN_ATTRIBUTES for value in re.findall(rf'\b{name}="([^"]*)"', source)]
    shown.append(re.sub(r"<[^>]*>", " ", source))
    return [word for text in shown for word in re.findall(r"[^\W\d_]{2,}", text) if word not in UNTRANSLATED]


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_template_speaks_past_the_catalogs(template: Path) -> None:
    assert not literals(template.read_text("utf-8"))


def test_the_lint_sees_bare_words() -> None:
    assert literals('<p title="Привет">{{ _("Desk") }} hello</p>') == ["Привет", "hello"]


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_template_has_inline_code_or_looks(template: Path) -> None:
    source = template.read_text("utf-8")
    assert not re.search(r"\sstyle=|<style|\son\w+=|javascript:|hx-on", source)
    assert not re.search(r'<script(?![^>]*(src=|type="application/json"))', source)


def test_every_value_of_the_trade_has_its_word() -> None:
    assert set(trade.AGENT_STATES) == set(AgentState)
    assert set(trade.CUSTOMER_STATES) == set(CustomerState)
    assert set(trade.LEAD_STATES) == set(LeadState)
    assert set(trade.OUTCOMES) == set(Outcome)
    assert set(trade.SYSTEM_PAUSES) == set(SystemPause)
    assert set(trade.MODES) == set(Mode)
    assert set(trade.DIALING_REASONS) == {"", *NotDialing}
    assert set(trade.REFUSALS) >= set(Refusal)
    assert set(trade.ROLES) == set(Role)


def test_every_rule_of_the_core_has_its_words() -> None:
    core = "".join(path.read_text("utf-8") for path in (ROOT / "engine" / "core").glob("*.py"))
    codes = set(re.findall(r'(?:rule ?= ?|_retry\([^()]*(?:\([^()]*\)[^()]*)*, )f?"(\w+)', core))
    assert codes
    assert codes <= set(trade.RULES)


def test_a_rule_is_read_as_a_person_would_say_it() -> None:
    ru = WORDS["ru"]
    assert trade.rule_words(ru, "retry:busy:1:3") == "Занято: повтор 1 из 3"
    assert trade.rule_words(ru, "something_new:7") == "something_new:7"


def test_a_cause_is_said_in_words_with_its_codes() -> None:
    assert trade.attempt_cause(WORDS["ru"], 34, 503) == "нет свободной линии (Q.850 34, SIP 503)"
    assert trade.attempt_cause(WORDS["ru"], 17, 486) == "Q.850 17, SIP 486"  # the outcome has said it
    assert trade.attempt_cause(WORDS["ru"], None, None) == ""


NOON_MS = 1_795_000_000_000


@pytest.mark.parametrize(
    ("days", "said"), [(0, "сегодня"), (1, "завтра"), (-1, "вчера")], ids=["today", "tomorrow", "yesterday"]
)
def test_moments_near_now_are_said_in_words(days: int, said: str) -> None:
    assert WORDS["ru"].when(NOON_MS + days * 86_400_000, NOON_MS, KYIV).startswith(said)


def test_durations() -> None:
    words: Words = WORDS["en"]
    assert [words.duration(ms) for ms in (0, 7_000, 750_000, 3_725_000, None)] == [
        "0:00",
        "0:07",
        "12:30",
        "1:02:05",
        "—",
    ]


def test_the_browser_decides_the_language_of_the_log_in() -> None:
    assert preferred_language("uk-UA,uk;q=0.9,en;q=0.8") == "uk"
    assert preferred_language("de-DE") == "ru"


def test_scripts_take_their_words_from_the_catalogs() -> None:
    said = set()
    for script in (ROOT / "web" / "static").glob("*.js"):
        said |= set(re.findall(r'\bt\(\s*"([^"]+)"', script.read_text("utf-8")))
    assert said
    for words in WORDS.values():
        for message in said:
            assert f'"{message}"'.replace("…", "\\u2026") in words.for_scripts


def test_every_icon_of_the_pages_is_in_the_sprite() -> None:
    listed = {line.strip() for line in (ROOT / "web" / "icons.txt").read_text("utf-8").splitlines()}
    sources = "".join(path.read_text("utf-8") for path in TEMPLATES)
    used = set(re.findall(r'icon\("([a-z0-9-]+)"', sources)) | {icon for _, icon in trade.AGENT_STATES.values()}
    assert used
    assert used <= listed


def decided(**changes: object) -> PacingView:
    usual = PacingView(
        campaign="spring",
        at_ms=0,
        mode="predictive",
        placed=2,
        limit="risk",
        ready=1,
        busy=23,
        lent=0,
        wanted_elsewhere=0,
        soon_free=4.24,
        in_flight=7,
        expected_answers=2.7,
        waiting=0,
        risk=0.031,
        threshold=0.035,
        lines_free=150,
        period_hours=720,
        live_answers=480.0,
        abandoned=12.0,
        abandons_left=2.4,
        share_max=0.03,
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


def test_why_seven_calls_is_answered_in_words() -> None:
    question, answer = trade.why_so_many(WORDS["ru"], decided())
    assert question == "Почему 7 звонков?"
    assert answer[0] == "Если набрать ещё один номер, ответивший слишком вероятно останется без оператора."
    assert "готовы 1, заняты 23, скоро освободятся 4,2" in answer[1]
    assert "3,1 %" in answer[3]
    assert answer[4] == (
        "Ответили и не дождались оператора за 30 дней: 12 из 480 (2,5 %; допустимо не больше 3 %). Ещё допустимо: 2."
    )


def test_the_period_that_rules_is_named() -> None:
    said = {hours: trade.why_so_many(WORDS["uk"], decided(period_hours=hours))[1][-1] for hours in (0, 1, 24, 36)}
    periods = {hours: answer.partition(": ")[0].rpartition("оператора ")[2] for hours, answer in said.items()}
    assert periods == {0: "від півночі", 1: "за 1 годину", 24: "за 1 день", 36: "за 36 годин"}


def test_how_many_may_find_no_operator_is_said_with_its_periods_and_what_comes_then() -> None:
    periods = (Successive(start_ms=0, days=30), CalendarDay(tz="Europe/Kyiv"))
    limit = abandon_limit(campaign(abandon=AbandonRule(periods=periods, at_ceiling=AtCeiling.STOP)))
    said = trade.abandon_words(WORDS["ru"], limit)
    assert said == "не больше 3 % ответивших за 30 дней, с полуночи; дальше набор останавливается"


def test_without_a_forecast_nothing_is_said_of_one() -> None:
    question, answer = trade.why_so_many(
        WORDS["uk"], decided(in_flight=1, limit="in_flight", threshold=0.0, live_answers=0.0)
    )
    assert question == "Чому 1 дзвінок?"
    assert len(answer) == 2


def test_every_limit_of_the_pacer_has_its_word() -> None:
    assert trade.AT_CEILING.keys() == {one.value for one in AtCeiling}
    assert trade.PACING_LIMITS.keys() == {limit.name.lower() for limit in PacingLimit}
