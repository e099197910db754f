"""How much of a number its public plan looks at: the first digits; any further ones, in their count, are as good.

phonenumbers is right about numbers and slow (a hundred microseconds each), and a lead file has a million of them. But
the plans of all its countries are regular expressions over digits, most of them ending in "and any seven digits more".
So one answer of the library holds for all numbers with the same first digits, the same length and no other difference,
where each expression that the library could ask has, after those first digits, nothing left to decide. `depth` finds
where that is, by the expression's own automaton and not by looking at its text; what is in doubt is not shared.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from re import _constants as codes  # type: ignore[attr-defined]  # what `re` compiles from; there is no other way in
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, Final, Generic, TypeVar

from phonenumbers import PhoneMetadata
from phonenumbers.data import _COUNTRY_CODE_TO_REGION_CODE as REGIONS_OF
from phonenumbers.tzdata import TIMEZONE_DATA

#: Answers kept; then all are forgotten and learned anew.
ANSWERS_MAX: Final = 50_000
#: A national prefix is looked for so often in a row, as the library does at most.
PREFIXES_MAX: Final = 3
DIGITS: Final = "0123456789"
_LITERAL: Final = re.compile(r"\d+")
_DESCRIPTIONS: Final = (
    "general_desc",
    "fixed_line",
    "mobile",
    "toll_free",
    "premium_rate",
    "shared_cost",
    "personal_number",
    "voip",
    "pager",
    "uan",
    "voicemail",
)

T = TypeVar("T")
States = frozenset[int]


class TooCurious(ValueError):
    """An expression with more than digits, choices and repetitions: its numbers go to the library one by one."""


class Automaton:
    """A regular expression over digits as a set of states; state 1 is the end."""

    def __init__(self, pattern: str) -> None:
        """TooCurious for what is not a choice, a sequence or a repetition of digits."""
        self._steps: dict[int, list[tuple[str, int]]] = {}
        self._free: dict[int, list[int]] = {}
        self._count = 2
        self._build(parser.parse(pattern), 0, 1)
        self.start = self._closed({0})
        self._known: dict[tuple[States, int], bool | None] = {}

    def after(self, states: States, digit: str) -> States:
        """Where the digit leads."""
        return self._closed({to for state in states for digits, to in self._steps.get(state, ()) if digit in digits})

    def verdict(self, states: States, more: int) -> bool | None:
        """Whether any `more` digits from here on match; None: it depends on which."""
        key = (states, more)
        if key not in self._known:
            if not states or not more:
                self._known[key] = 1 in states
            else:
                seen = {self.verdict(self.after(states, digit), more - 1) for digit in DIGITS}
                self._known[key] = seen.pop() if len(seen) == 1 else None
        return self._known[key]

    def depth(self, digits: str) -> int:
        """After how many of these digits the rest, whatever it is, changes nothing."""
        states = self.start
        for place, digit in enumerate(digits):
            if self.verdict(states, len(digits) - place) is not None:
                return place
            states = self.after(states, digit)
        return len(digits)

    def _build(self, items: Any, begin: int, end: int) -> None:
        here = begin
        for position, (kind, what) in enumerate(items):
            there = end if position == len(items) - 1 else self._new()
            self._item(kind, what, here, there)
            here = there
        if not len(items):
            self._free.setdefault(begin, []).append(end)

    def _item(self, kind: Any, what: Any, begin: int, end: int) -> None:
        match kind:
            case codes.LITERAL if chr(what) in DIGITS:
                self._steps.setdefault(begin, []).append((chr(what), end))
            case codes.IN:
                self._steps.setdefault(begin, []).append(("".join(_members(what)), end))
            case codes.BRANCH:
                for choice in what[1]:
                    first = self._new()
                    self._free.setdefault(begin, []).append(first)
                    self._build(choice, first, end)
            case codes.SUBPATTERN:
                self._build(what[3], begin, end)
            case codes.MAX_REPEAT:
                least, most, repeated = what
                self._repeat(least, most, repeated, begin, end)
            case _:
                raise TooCurious(str(kind))

    def _repeat(self, least: int, most: Any, items: Any, begin: int, end: int) -> None:
        here = begin
        for _ in range(least):
            there = self._new()
            self._build(items, here, there)
            here = there
        if most is codes.MAXREPEAT:
            loop = self._new()
            self._free.setdefault(here, []).append(loop)
            self._build(items, loop, here)
        else:
            for _ in range(int(most) - least):
                there = self._new()
                self._free.setdefault(here, []).append(end)
                self._build(items, here, there)
                here = there
        self._free.setdefault(here, []).append(end)

    def _new(self) -> int:
        self._count += 1
        return self._count - 1

    def _closed(self, states: set[int]) -> States:
        waiting = list(states)
        while waiting:
            for state in self._free.get(waiting.pop(), ()):
                if state not in states:
                    states.add(state)
                    waiting.append(state)
        return frozenset(states)


def _members(items: Any) -> Iterator[str]:
    for kind, what in items:
        if kind is codes.LITERAL and chr(what) in DIGITS:
            yield chr(what)
        elif kind is codes.RANGE and chr(what[0]) in DIGITS and chr(what[1]) in DIGITS:
            yield from (chr(code) for code in range(what[0], what[1] + 1))
        elif kind is codes.CATEGORY and what is codes.CATEGORY_DIGIT:
            yield from DIGITS
        else:
            raise TooCurious(str(kind))


@dataclass(frozen=True, slots=True)
class CountryCode:
    """All that the library may ask about numbers behind a country code."""

    code: str
    prefix: str  # before a national number; "" when there is none
    abroad: str  # before a country code when dialed from there
    automata: tuple[Automaton, ...]

    def places(self, digits: str) -> tuple[set[int], int]:
        """Where in these digits the library may let a national number begin, and how many digits say so."""
        begins, seen = {0}, max(_compared(self.code, digits, 0), _compared(self.abroad, digits, 0))
        if digits.startswith(self.code):
            begins.add(len(self.code))
        if self.prefix:
            for begin in sorted(begins):
                place = begin
                for _ in range(PREFIXES_MAX):
                    seen = max(seen, _compared(self.prefix, digits, place))
                    if not digits.startswith(self.prefix, place):
                        break
                    place += len(self.prefix)
                    begins.add(place)
        return begins, seen

    def depth(self, digits: str) -> int:
        """How many of these digits (national, or with the country code) any answer about them rests on."""
        begins, seen = self.places(digits)
        return max(seen, *(place + one.depth(digits[place:]) for place in begins for one in self.automata))


def _compared(beginning: str, digits: str, place: int) -> int:
    """How many digits are looked at to say whether they go on like that."""
    for count, (wanted, digit) in enumerate(zip(beginning, digits[place:], strict=False), start=1):
        if wanted != digit:
            return place + count
    return place + len(beginning)


@lru_cache(maxsize=64)
def country_code(region: str) -> CountryCode | None:
    """The plan that a region's numbers belong to; None when it is too curious to be shared."""
    own = PhoneMetadata.metadata_for_region(region)
    if own is None or own.country_code is None:
        return None
    # What stands behind the country code is read by the rules of the first region that has it.
    main = PhoneMetadata.metadata_for_region_or_calling_code(own.country_code, REGIONS_OF[own.country_code][0])
    if main is None or own.national_prefix_transform_rule or main.national_prefix_transform_rule:
        return None
    if own.national_prefix_for_parsing != main.national_prefix_for_parsing:
        return None
    fixed = (own.national_prefix_for_parsing or "", own.international_prefix or "")
    if not all(part == "" or _LITERAL.fullmatch(part) for part in fixed):
        return None
    automata = []
    try:
        for other in REGIONS_OF[own.country_code]:
            plan = PhoneMetadata.metadata_for_region_or_calling_code(own.country_code, other)
            texts = {
                desc.national_number_pattern for name in _DESCRIPTIONS if (desc := getattr(plan, name)) is not None
            }
            automata += [Automaton(text) for text in sorted(text for text in texts if text)]
            if plan is not None and plan.leading_digits:
                automata.append(Automaton(f"(?:{plan.leading_digits})\\d*"))
    except TooCurious:
        return None
    return CountryCode(str(own.country_code), *fixed, tuple(automata))


@lru_cache(maxsize=64)
def plans(regions: Sequence[str]) -> tuple[CountryCode, ...]:
    """The plans of these regions; none when one of them cannot be shared."""
    found = [country_code(region) for region in regions]
    return tuple(plan for plan in found if plan is not None) if None not in found else ()


def shared_depth(digits: str, *, plus: bool, regions: tuple[str, ...]) -> int | None:
    """How many of these digits the library's answer rests on; None when it must be asked about each number."""
    known = plans(regions)
    if not known or any(plan.abroad and digits.startswith(plan.abroad) for plan in known):
        return None
    if plus and not any(digits.startswith(plan.code) for plan in known):
        return None
    return max(plan.depth(digits) for plan in known)


_ZONE_BEGINNINGS: Final = frozenset(key[:end] for key in TIMEZONE_DATA for end in range(len(key)))


def zones_depth(digits: str, regions: tuple[str, ...]) -> int | None:
    """As `shared_depth` for the time zones of a number with its country code."""
    depth = shared_depth(digits, plus=True, regions=regions)
    if depth is None:
        return None
    place = 0
    while place < len(digits) and digits[:place] in _ZONE_BEGINNINGS:
        place += 1
    return max(depth, place)


class Answers(Generic[T]):
    """Answers that hold for all numbers of a kind and length that begin alike."""

    def __init__(self) -> None:
        self._tables: dict[tuple[object, int], dict[int, dict[str, T]]] = {}
        self._count = 0

    def find(self, kind: object, digits: str) -> T | None:
        """The answer for this number, if one like it was asked about."""
        table = self._tables.get((kind, len(digits)))
        if table is not None:
            for depth, answers in table.items():
                answer = answers.get(digits[:depth])
                if answer is not None:
                    return answer
        return None

    def learn(self, kind: object, digits: str, depth: int, answer: T) -> None:
        """The answer for all that begin with the first `depth` of these digits."""
        if self._count >= ANSWERS_MAX:
            self._tables.clear()
            self._count = 0
        self._count += 1
        self._tables.setdefault((kind, len(digits)), {}).setdefault(depth, {})[digits[:depth]] = answer
