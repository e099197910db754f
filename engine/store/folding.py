"""Names and numbers as people search for them."""

from __future__ import annotations

import re
import unicodedata
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


def fold(name: str) -> str:
    """The name without what people type in different ways: case, ё and е, apostrophes, double spaces."""
    plain = unicodedata.normalize("NFKC", name).casefold().translate(_SAME)
    return _SPACE.sub(" ", plain).strip()


def digits_typed(text: str) -> str:
    """The digits of what looks like a part of a number, without a national prefix; "" when it looks like a name."""
    if not _NUMBER_TYPED.fullmatch(text.strip()):
        return ""
    digits = _NOT_DIGITS.sub("", text)
    if len(digits) < DIGITS_MIN:
        return ""
    return digits if text.strip().startswith("+") else digits[-_NATIONAL_DIGITS:]
