"""Names and numbers as people search for them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

#: Letters and signs that people mix up when they type a name.
_SAME: Final = str.maketrans({"ё": "е", "ґ": "г", "’": "", "ʼ": "", "'": "", "`": "", "‘": ""})
_SPACE: Final = re.compile(r"\s+")
_NOT_DIGITS: Final = re.compile(r"\D+")
#: What may stand between the digits of a number that somebody typed.
_NUMBER_TYPED: Final = re.compile(r"\+?[\d\s().\-/]+")

#: Fewer digits would find half the town.
DIGITS_MIN: Final = 3
#: A national prefix (8 916 …, 0 67 …) stands before these.
_NATIONAL_DIGITS: Final = 10
#: Tags of one lead, and characters of one tag.
TAGS_MAX: Final = 20
TAG_CHARS_MAX: Final = 40
LIST_CHARS_MAX: Final = 100
_BETWEEN_TAGS: Final = re.compile(r"[,;\n]")


def fold(name: str) -> str:
    """The name without what people type in different ways: case, ё and е, apostrophes, double spaces."""
    plain = unicodedata.normalize("NFKC", name).casefold().translate(_SAME)
    return _SPACE.sub(" ", plain).strip()


def tags_of(text: str) -> tuple[str, ...]:
    """The tags of a cell or a field (`VIP; опт, vip`) in one spelling, each once, in order. ValueError: too many."""
    small = unicodedata.normalize("NFKC", text).casefold()
    tags = tuple(sorted({_SPACE.sub(" ", tag).strip() for tag in _BETWEEN_TAGS.split(small)} - {""}))
    if len(tags) > TAGS_MAX or any(len(tag) > TAG_CHARS_MAX for tag in tags):
        raise ValueError(f"at most {TAGS_MAX} tags of at most {TAG_CHARS_MAX} characters")
    return tags


def tags_text(tags: Iterable[str]) -> str:
    """The tags as people write them."""
    return ", ".join(tags)


def list_called(text: str) -> str:
    """The name of a list in one spelling: a Mac writes the й of a file's name as two characters."""
    return _SPACE.sub(" ", unicodedata.normalize("NFC", text)).strip()[:LIST_CHARS_MAX]


def digits_typed(text: str) -> str:
    """The digits of what looks like a part of a number, without a national prefix; "" when it looks like a name."""
    if not _NUMBER_TYPED.fullmatch(text.strip()):
        return ""
    digits = _NOT_DIGITS.sub("", text)
    if len(digits) < DIGITS_MIN:
        return ""
    return digits if text.strip().startswith("+") else digits[-_NATIONAL_DIGITS:]
