"""Telephone numbers as people write them, read into numbers that may be dialed.

Validity is phonenumbers' (the public plans of all countries). Numbers outside every plan, such as a demo carrier's,
pass only through `Numbering.allow`. Nothing here guesses: what no region reads as one of its numbers is a problem.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from functools import lru_cache
from typing import Final

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat
from phonenumbers import timezone as phone_zones

from engine import numberplan
from engine.core.model import PhoneNumber, PhoneType
from engine.messages import N_

CELL_CHARACTERS_MAX: Final = 250
E164_CHARACTERS_MAX: Final = 16
PHONES_PER_CELL_MAX: Final = 5
READS_CACHED_MAX: Final = 10_000
NUMBERINGS_CACHED_MAX: Final = 16

_SEPARATORS: Final = re.compile(r"[;,/|\n\r\t]+|\s(?:или|або|и|та|or|and)\s")
_EXTENSION: Final = re.compile(r"\(?\s*(?:доб|дод|внутр|вн|ext|extension|x)\w*[.:]?\s*(\d{1,7})\)?\s*$", re.IGNORECASE)
_WHOLE_NUMBER_CELL: Final = re.compile(r"(\d{5,})[.,]0+")
#: Digits and what people put between them; a plus only at the very beginning.
_PLAINLY_DIGITS: Final = re.compile(r"\+?[0-9][0-9 ().-]*[0-9]|\([0-9][0-9 ().-]*[0-9]")
_NO_SEPARATORS: Final = {ord(separator): None for separator in "+ ().-"}
_OLD_PREFIX: Final = "80"
_SCIENTIFIC_CELL: Final = re.compile(r"\d[.,]?\d*E\+?\d{1,2}", re.IGNORECASE)


class PhoneReason(StrEnum):
    """Why a text is not a number that may be dialed. The value is the English message, and its id."""

    EMPTY = N_("there is no phone number")
    NOT_A_NUMBER = N_("this is not a phone number")
    TOO_SHORT = N_("the phone number is too short")
    TOO_LONG = N_("the phone number is too long")
    NO_SUCH_COUNTRY = N_("no country has this code")
    NOT_IN_PLAN = N_("no such phone number can exist")
    ROUNDED = N_("the spreadsheet rounded the phone number: format the column as text")
    TOO_MANY = N_("too many phone numbers in one cell")


@dataclass(frozen=True, slots=True)
class PhoneProblem:
    """A text that is not a number that may be dialed."""

    reason: PhoneReason
    text: str

    def __repr__(self) -> str:
        # What was nearly a number is personal data too.
        return f"PhoneProblem({self.reason.name}, …{self.text[-2:]})"


@dataclass(frozen=True, slots=True)
class FoundPhone:
    """A number, the extension that stood behind it, and what its plan says of where it rings: mobile, or nothing."""

    number: PhoneNumber
    extension: str = ""
    type: PhoneType = PhoneType.NOT_SAID


@dataclass(frozen=True, slots=True)
class Numbering:
    """How numbers are read: the regions of numbers without country code, and patterns (`+7000XXXXXXX`) let pass."""

    regions: tuple[str, ...] = ("UA", "RU")
    allow: tuple[str, ...] = ()


DEFAULT_NUMBERING: Final = Numbering()
#: The word of each type of a number; a type that is not said has none.
TYPE_WORDS: Final[Mapping[PhoneType, str]] = {
    PhoneType.MOBILE: N_("mobile"),
    PhoneType.WORK: N_("work"),
    PhoneType.HOME: N_("home"),
    PhoneType.OTHER: N_("other phone"),
}
#: How to make a number of a kind of digits: the country code, and where the rest begins; and the type of such numbers.
_READS: Final = numberplan.Answers[tuple[str, int, PhoneType]]()
_ZONES: Final = numberplan.Answers[tuple[str, ...]]()


def parse_phone(text: str, numbering: Numbering = DEFAULT_NUMBERING) -> PhoneNumber | PhoneProblem:
    """The one number that a text is. An extension is dropped; two numbers are no number."""
    found = _read(_tidy(text), numbering)
    return found.number if isinstance(found, FoundPhone) else found


def carried_phone(text: str, numbering: Numbering = DEFAULT_NUMBERING) -> PhoneNumber | None:
    """The number that a carrier means: national, with or without the plus; as it is where no plan has it; or none."""
    for form in (text, f"+{text.removeprefix('+')}"):
        found = parse_phone(form, numbering)
        if isinstance(found, PhoneNumber):
            return found
    try:
        return PhoneNumber(text)
    except ValueError:
        return None  # withheld, or a name


def find_phones(cell: object, numbering: Numbering = DEFAULT_NUMBERING) -> list[FoundPhone | PhoneProblem]:
    """All numbers of a spreadsheet's cell, in order, each once; what is none is a problem. An empty cell has none."""
    text = cell_text(cell)
    if not text:
        return []
    if len(text) > CELL_CHARACTERS_MAX:
        return [PhoneProblem(PhoneReason.TOO_LONG, text[:CELL_CHARACTERS_MAX])]
    whole = _read(_tidy(text), numbering)
    if isinstance(whole, FoundPhone) or whole.reason is PhoneReason.ROUNDED:
        return [whole]
    parts = [part for part in _SEPARATORS.split(text) if part.strip()]
    if len(parts) == 1:
        return _within(text, numbering) or [whole]
    if len(parts) > PHONES_PER_CELL_MAX:
        return [PhoneProblem(PhoneReason.TOO_MANY, text)]
    read = [_read(_tidy(part), numbering) for part in parts]
    return list({(f.number if isinstance(f, FoundPhone) else f): f for f in read}.values())


def cell_text(cell: object) -> str:
    """A cell as the text that a person sees; a number of a numeric column loses its `.0`."""
    if isinstance(cell, str) and cell.isprintable():  # none of the characters below is
        return cell.strip() if "\u00a0" not in cell else cell.replace("\u00a0", " ").strip()
    if cell is None or isinstance(cell, bool):
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).replace("\u00a0", " ").replace("\u200b", "").replace("\ufeff", "").strip()


def zones_of(number: PhoneNumber, regions: tuple[str, ...] = DEFAULT_NUMBERING.regions) -> tuple[str, ...]:
    """The time zones a number may be in: one for most landlines and all of Ukraine, many for a Russian mobile.

    `regions`: whose numbers are asked about often; the answer does not depend on them.
    """
    digits = number.e164.removeprefix("+")
    known = _ZONES.find(regions, digits)
    if known is not None:
        return known
    zones = _zones_of(number)
    depth = numberplan.zones_depth(digits, regions)
    if depth is not None:
        _ZONES.learn(regions, digits, depth, zones)
    return zones


def region_of(number: PhoneNumber) -> str:
    """The country of a number as two letters, or "" if no plan has it."""
    try:
        return phonenumbers.region_code_for_number(phonenumbers.parse(number.e164)) or ""
    except NumberParseException:
        return ""


@lru_cache(maxsize=READS_CACHED_MAX)
def _zones_of(number: PhoneNumber) -> tuple[str, ...]:
    try:
        zones = phone_zones.time_zones_for_number(phonenumbers.parse(number.e164))
    except NumberParseException:
        return ()
    return () if zones == ("Etc/Unknown",) else tuple(zones)


def _tidy(text: str) -> str:
    if _PLAINLY_DIGITS.fullmatch(text) and not _WHOLE_NUMBER_CELL.fullmatch(text):
        return text
    # Full-width digits, odd dashes and spaces become plain ones.
    text = unicodedata.normalize("NFKC", text).strip()
    if whole := _WHOLE_NUMBER_CELL.fullmatch(text):
        return whole[1]
    if _SCIENTIFIC_CELL.fullmatch(text):
        return _from_scientific(text)
    return text.replace("\\", "").strip("'\"`.,;: ")


def _from_scientific(text: str) -> str:
    try:
        digits = format(Decimal(text.replace(",", ".")), "f")
    except InvalidOperation:
        return text
    mantissa = re.sub(r"\D", "", re.split("e", text, flags=re.IGNORECASE)[0])
    # 7,91612E+10 has lost its last digits; 7.9161234568E+10 has them all.
    return digits if len(mantissa) >= len(digits) - 1 else text


def _read(text: str, numbering: Numbering) -> FoundPhone | PhoneProblem:
    """What a tidied text is. Numbers that begin alike are asked about once (`engine.numberplan`)."""
    if _PLAINLY_DIGITS.fullmatch(text):
        plus = text[0] == "+"
        digits = text.translate(_NO_SEPARATORS)
        if not numbering.allow or not _allowed(numbering).fullmatch("+" + digits):
            kind = (plus, numbering)
            known = _READS.find(kind, digits)
            if known is not None:
                code, begin, type_ = known
                return FoundPhone(PhoneNumber(code + digits[begin:]), "", type_)
            found = _read_slowly(text, numbering)
            if isinstance(found, FoundPhone):
                _learn(found, digits, kind)
            return found
    return _read_slowly(text, numbering)


def _learn(found: FoundPhone, digits: str, kind: tuple[bool, Numbering]) -> None:
    """Keep how the country code and a part of the digits made that number, if all that begin alike are made so."""
    number, (plus, numbering) = found.number, kind
    if digits.startswith(_OLD_PREFIX) and not plus:
        return  # read by a rule of ours
    if numbering.allow and _allowed(numbering).fullmatch(number.e164):
        return  # no plan has it
    depth = numberplan.shared_depth(digits, plus=plus, regions=numbering.regions)
    if depth is None:
        return
    for plan in numberplan.plans(numbering.regions):
        code = "+" + plan.code
        begin = len(digits) - len(number.e164) + len(code)
        if 0 <= begin <= depth and number.e164 == code + digits[begin:]:
            _READS.learn(kind, digits, depth, (code, begin, found.type))
            return


@lru_cache(maxsize=READS_CACHED_MAX)
def _read_slowly(text: str, numbering: Numbering) -> FoundPhone | PhoneProblem:
    if not text:
        return PhoneProblem(PhoneReason.EMPTY, text)
    if _SCIENTIFIC_CELL.fullmatch(text):
        return PhoneProblem(PhoneReason.ROUNDED, text)
    extension = ""
    bare = text
    if found := _EXTENSION.search(text):
        extension, bare = found[1], text[: found.start()]
    if any(char.isalpha() for char in bare):
        # phonenumbers would read 1-800-FLOWERS; in a lead file letters are a remark, or no number at all.
        return PhoneProblem(PhoneReason.NOT_A_NUMBER, text)
    # A country code without its plus is found by phonenumbers only in numbers that some plan has.
    if _allowed(numbering).fullmatch(international := "+" + re.sub(r"\D", "", bare)):
        return FoundPhone(PhoneNumber(international), extension)
    reads = []
    for region in numbering.regions:
        match _read_in(bare, region, numbering):
            case PhoneNumber() as number:
                return FoundPhone(number, extension, _type_of(number))
            case read:
                reads.append(read)
    # The long-distance prefix of old, still before many Ukrainian numbers; no Russian area begins with 0.
    if "UA" in numbering.regions and re.sub(r"\D", "", bare).startswith(_OLD_PREFIX) and "+" not in bare:
        old = _read_in(bare.lstrip()[1:].lstrip(" -.("), "UA", numbering)
        if isinstance(old, PhoneNumber) and bare.lstrip()[0] == "8":
            return FoundPhone(old, extension, _type_of(old))
    # The reason nearest to a number says most: some region knew its length.
    return PhoneProblem(min(map(_why_not, reads), key=_NEARNESS.index), text)


@lru_cache(maxsize=NUMBERINGS_CACHED_MAX)
def _allowed(numbering: Numbering) -> re.Pattern[str]:
    """Matches the E.164 form of every number that passes without a public plan."""
    return re.compile("|".join(re.escape(pattern).replace("X", r"\d") for pattern in numbering.allow) or r"(?!)")


_NEARNESS: Final = (
    PhoneReason.NOT_IN_PLAN,
    PhoneReason.TOO_SHORT,
    PhoneReason.TOO_LONG,
    PhoneReason.NO_SUCH_COUNTRY,
    PhoneReason.NOT_A_NUMBER,
)
_BY_LENGTH: Final = {
    phonenumbers.ValidationResult.TOO_SHORT: PhoneReason.TOO_SHORT,
    phonenumbers.ValidationResult.IS_POSSIBLE_LOCAL_ONLY: PhoneReason.TOO_SHORT,
    phonenumbers.ValidationResult.TOO_LONG: PhoneReason.TOO_LONG,
    phonenumbers.ValidationResult.INVALID_COUNTRY_CODE: PhoneReason.NO_SUCH_COUNTRY,
}
_BY_ERROR: Final = {
    NumberParseException.INVALID_COUNTRY_CODE: PhoneReason.NO_SUCH_COUNTRY,
    NumberParseException.TOO_SHORT_AFTER_IDD: PhoneReason.TOO_SHORT,
    NumberParseException.TOO_SHORT_NSN: PhoneReason.TOO_SHORT,
    NumberParseException.TOO_LONG: PhoneReason.TOO_LONG,
}


def _read_in(
    text: str, region: str, numbering: Numbering
) -> PhoneNumber | phonenumbers.PhoneNumber | NumberParseException:
    """The number, or what phonenumbers made of the text instead."""
    try:
        read = phonenumbers.parse(text, region)
    except NumberParseException as error:
        return error
    e164 = phonenumbers.format_number(read, PhoneNumberFormat.E164)
    if not read.extension and (phonenumbers.is_valid_number(read) or _allowed(numbering).fullmatch(e164)):
        if len(e164) > E164_CHARACTERS_MAX:  # some plans know numbers that are too long for the world's
            return NumberParseException(NumberParseException.TOO_LONG, "")
        return PhoneNumber(e164)
    return read


def _type_of(number: PhoneNumber) -> PhoneType:
    """A landline's plan does not know whether it rings at home or at work."""
    kind = phonenumbers.number_type(phonenumbers.parse(number.e164))
    return PhoneType.MOBILE if kind == phonenumbers.PhoneNumberType.MOBILE else PhoneType.NOT_SAID


def _why_not(read: phonenumbers.PhoneNumber | NumberParseException) -> PhoneReason:
    if isinstance(read, NumberParseException):
        return _BY_ERROR.get(read.error_type, PhoneReason.NOT_A_NUMBER)
    if read.extension:
        return PhoneReason.NOT_A_NUMBER
    return _BY_LENGTH.get(phonenumbers.is_possible_number_with_reason(read), PhoneReason.NOT_IN_PLAN)


def _within(text: str, numbering: Numbering) -> list[FoundPhone | PhoneProblem]:
    """Numbers among other words: `мама 067 123 45 67`."""
    found: dict[PhoneNumber, FoundPhone | PhoneProblem] = {}
    for region in numbering.regions:
        for match in phonenumbers.PhoneNumberMatcher(text, region, phonenumbers.Leniency.POSSIBLE):
            phone = _read(_tidy(match.raw_string), numbering)
            if isinstance(phone, FoundPhone):
                found.setdefault(phone.number, phone)
    return list(found.values())[:PHONES_PER_CELL_MAX]
