"""One answer for all numbers that begin alike is the library's own answer for each of them."""

from __future__ import annotations

import random

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phonenumbers import PhoneMetadata

from engine import numberplan, phones
from engine.core.model import PhoneNumber
from engine.numberplan import Answers, Automaton, TooCurious, country_code
from engine.phones import FoundPhone, Numbering, zones_of

NUMBERINGS = (
    Numbering(("UA", "RU")),
    Numbering(("RU", "KZ", "UA")),
    Numbering(("UA",), ("+7000XXXXXXX",)),
    Numbering(("US",)),
    Numbering(("PL", "DE", "CZ", "MD")),
)
#: What a number may begin with: codes, prefixes, what is near them, and what the plans single out.
BEGINNINGS = ("", "0", "8", "7", "1", "48", "49", "00", "810", "380", "3800", "78", "788", "8800", "9300", "93000")


def library(text: str, numbering: Numbering) -> FoundPhone | None:
    """What the library says, asked anew about this very number."""
    found = phones._read_slowly.__wrapped__(text, numbering)
    return found if isinstance(found, FoundPhone) else None


def ours(text: str, numbering: Numbering) -> FoundPhone | None:
    found = phones._read(text, numbering)
    return found if isinstance(found, FoundPhone) else None


def written(chance: random.Random, digits: str) -> str:
    """The digits as somebody may write them."""
    plus = chance.choice(("", "", "+"))
    if chance.random() < 0.5 or len(digits) < 8:
        return plus + digits
    return f"{plus}{digits[:3]} ({digits[3:5]}) {digits[5:7]}-{digits[7:]}"


@pytest.mark.parametrize("numbering", NUMBERINGS, ids=lambda one: "-".join(one.regions))
def test_shared_answers_are_the_librarys_for_numbers_of_every_kind(numbering: Numbering) -> None:
    chance = random.Random(7)
    for _ in range(2_500):
        beginning = chance.choice(BEGINNINGS)
        length = chance.randint(5, 14)
        digits = (beginning + "".join(chance.choices("0123456789", k=length)))[: max(length, len(beginning) + 2)]
        for last in ("", "00", "99"):  # near numbers share an answer: here it would be wrong
            text = written(chance, digits[: len(digits) - len(last)] + last)
            assert ours(text, numbering) == library(text, numbering), text


@pytest.mark.parametrize("numbering", NUMBERINGS, ids=lambda one: "-".join(one.regions))
def test_shared_answers_are_the_librarys_for_the_plans_own_examples(numbering: Numbering) -> None:
    chance = random.Random(8)
    for region in numbering.regions:
        for kind in phonenumbers.PhoneNumberType.values():
            example = phonenumbers.example_number_for_type(region, kind)
            if example is None:
                continue
            national = phonenumbers.national_significant_number(example)
            plan = PhoneMetadata.metadata_for_region(region)
            prefix = (plan.national_prefix if plan else None) or ""
            for _ in range(25):
                place = chance.randrange(len(national))
                near = national[:place] + chance.choice("0123456789") + national[place + 1 :]
                for text in (f"+{example.country_code}{near}", f"{example.country_code}{near}", prefix + near, near):
                    assert ours(text, numbering) == library(text, numbering), text


@settings(max_examples=300, deadline=None)
@given(st.from_regex(r"\A\+?[0-9][0-9 ().-]{3,16}[0-9]\Z"))
def test_separators_change_nothing(text: str) -> None:
    assert ours(text, NUMBERINGS[0]) == library(text, NUMBERINGS[0])


def test_zones_are_the_librarys() -> None:
    chance = random.Random(9)
    numbers = [f"+7{chance.randint(3, 9)}{chance.randrange(10**9):09d}" for _ in range(700)]
    numbers += [f"+380{chance.randrange(10**9):09d}" for _ in range(700)]
    for text in numbers:
        number = PhoneNumber(text)
        assert zones_of(number) == phones._zones_of.__wrapped__(number), text


def test_most_numbers_of_a_file_cost_the_library_nothing() -> None:
    numbering = Numbering(("UA", "RU"), ("+7999XXXXXXX",))
    chance = random.Random(1)
    before = phones._read_slowly.cache_info().misses
    for _ in range(3_000):
        ours(f"0{chance.choice(('50', '67', '93'))} {chance.randrange(10**7):07d}", numbering)
    assert phones._read_slowly.cache_info().misses - before < 30


# ── the automaton ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("pattern", "digits", "depth"),
    [
        (r"[3-9]\d{8}", "671234567", 1),
        (r"[3-9]\d{8}", "171234567", 1),
        (r"[3-9]\d{8}", "67123", 0),  # no number of this length matches: nothing to look at
        (r"9(?:1\d|30[1-5])\d{4}|8\d+", "93050000", 4),
        (r"9(?:1\d|30[1-5])\d{4}|8\d+", "9151234", 2),
        (r"(?:80?)?\d{3}", "801", 0),
        (r"12345", "12345", 5),
    ],
)
def test_how_many_digits_decide(pattern: str, digits: str, depth: int) -> None:
    assert Automaton(pattern).depth(digits) == depth


def test_what_is_no_plain_choice_of_digits_is_not_shared() -> None:
    for pattern in (r"1(?=2)", r"\w", r"1*?2", "^1"):
        with pytest.raises(TooCurious):
            Automaton(pattern)
    assert country_code("BR") is None, "carrier codes in the prefix"
    assert numberplan.shared_depth("5511987654321", plus=True, regions=("BR", "UA")) is None


def test_answers_are_forgotten_before_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numberplan, "ANSWERS_MAX", 2)
    answers = Answers[int]()
    for n in range(3):
        answers.learn("x", f"{n}234", 1, n)
    assert answers.find("x", "0999") is None
    assert answers.find("x", "2999") == 2
    assert answers.find("y", "2999") is None
