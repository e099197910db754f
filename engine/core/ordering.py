"""The order in which leads that may be dialed stand in line: composed by the supervisor, total, ties by id.

A lead's place is a byte string that sorts as the order says, so that an index holds the line and the next lead is found
by a few steps, however many wait. It is made when the lead's time comes; whatever it is made from, when it changes, has
the lead lined up anew. Promised callbacks stand before all of this, by their time.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from engine.core.model import PRIORITY_MAX

#: Sources of one list mix whose turns are counted; all others share one more.
SHARES_MAX: Final = 100
_TIME_BYTES: Final = 6  # milliseconds until the year 10889
#: A turn of a source with share 1; of a source with share 3 a third of it.
_TURN: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class ByPriority:
    """Higher priorities first."""


@dataclass(frozen=True, slots=True)
class ByDue:
    """Who has been due longest first."""


@dataclass(frozen=True, slots=True)
class ByAge:
    """The newest leads first, or the oldest."""

    newest: bool


@dataclass(frozen=True, slots=True)
class ByAttempts:
    """The fewest tries first, or the most."""

    fewest: bool


@dataclass(frozen=True, slots=True)
class ByValue:
    """Leads by a column of their file (or `list`, `zone`, `tag`: their best one): the named values first, in order."""

    column: str
    first: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mix:
    """Leads of several sources take turns: of the named values of a column, in these shares; all others share 1."""

    column: str
    shares: tuple[tuple[str, int], ...]


Term: TypeAlias = ByPriority | ByDue | ByAge | ByAttempts | ByValue | Mix
Order: TypeAlias = tuple[Term, ...]

#: Without an order of its own, a campaign's leads go by priority, then by how long they have been due.
USUAL: Final[Order] = (ByPriority(), ByDue())


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a lead's place in the line is made from."""

    priority: int = 0
    attempts_count: int = 0
    next_at_ms: int = 0
    created_at_ms: int = 0
    zone: str = ""
    tags: tuple[str, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)


def place(order: Order, lead: Standing, turns: MutableMapping[str, int]) -> bytes:
    """The lead's place: smaller is dialed sooner. `turns` counts the turns that a list mix has given so far."""
    return b"".join(_part(term, lead, turns) for term in order)


def _part(term: Term, lead: Standing, turns: MutableMapping[str, int]) -> bytes:
    match term:
        case ByPriority():
            return bytes((PRIORITY_MAX - lead.priority,))
        case ByDue():
            return _time(lead.next_at_ms)
        case ByAge(newest):
            at_ms = _time(lead.created_at_ms)
            return bytes(255 - octet for octet in at_ms) if newest else at_ms
        case ByAttempts(fewest):
            tries = min(lead.attempts_count, 255)
            return bytes((tries if fewest else 255 - tries,))
        case ByValue(column, first):
            return _rank(_values(lead, column), first).to_bytes(2)
        case Mix(column, shares):
            return _turn(_values(lead, column), shares, turns).to_bytes(8)


def _time(at_ms: int) -> bytes:
    return max(0, at_ms).to_bytes(_TIME_BYTES)


def _values(lead: Standing, column: str) -> frozenset[str]:
    """Of tags there are several, or none."""
    said = {"zone": (lead.zone,), "tag": lead.tags}.get(column, (lead.fields.get(column, ""),))
    return frozenset(value.strip().casefold() for value in said)


def _rank(values: frozenset[str], first: Sequence[str]) -> int:
    return next((n for n, wanted in enumerate(first) if wanted.casefold() in values), len(first))


def _turn(values: frozenset[str], shares: Sequence[tuple[str, int]], turns: MutableMapping[str, int]) -> int:
    """The source's next turn. Shares hold over the campaign as a whole: a source that comes late catches up."""
    known = {name.casefold(): share for name, share in shares}
    source = next((name for name in known if name in values), "")
    at = turns.get(source, 0) + _TURN // known.get(source, 1)
    turns[source] = at
    return at
