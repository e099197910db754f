"""`zvonar verify`: does what is on disk, and what the carrier saw, keep the promises that the product makes?

Each check is one invariant (I1, I2 …, docs/reliability.md). It needs nothing but the database; with the policy it also
knows limits and hours, and with the carrier's own record it also knows what really went out. A healthy database
answers with an empty list. Violations name attempts, never numbers.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Protocol

from engine.core.hours import Closed, window
from engine.core.model import CampaignId, Policy, TrunkId
from engine.store import queries
from engine.store.database import Database, Row, chain_hash, rows_of
from engine.store.queries import Query, Statement

#: Violations of one check that are told; more of the same say nothing new.
VIOLATIONS_PER_CHECK_MAX: Final = 50
PAGE_MAX: Final = 10_000
#: A do-not-call wish may meet a dial that is on its way (I5).
SUPPRESSED_GRACE_MS: Final = 1_000
#: An agent may be talking to nobody for so long (I8).
TALKING_GRACE_MS: Final = 3_000
#: A due callback may wait so long for a free agent before somebody must have moved it (I12).
CALLBACK_GRACE_MS: Final = 24 * 3_600_000
#: No attempt lives longer: the talk limit, the ring time and slack (I10).
ATTEMPT_LIFE_MS: Final = 4 * 3_600_000
#: The carrier's clock against ours: the same machine, or both disciplined (I3).
CARRIER_SKEW_MS: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A promise that was not kept, and the attempts (or audit rows) that prove it."""

    invariant: str
    what: str
    ids: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.invariant}: {self.what}" + (f" [{' '.join(self.ids)}]" if self.ids else "")


class Carried(Protocol):
    """One INVITE that reached the carrier, by the carrier's own record; times in ms UTC."""

    @property
    def number(self) -> str: ...
    @property
    def invited_ms(self) -> int: ...
    @property
    def ended_ms(self) -> int | None: ...


class _Sql:
    overlapping_by_lead: Query
    overlapping_by_number: Query
    miscounted: Query
    counted_wrongly: Query
    tried_too_often: Query
    dialed_though_suppressed: Query
    not_final: Query
    operators_word_lost: Query
    outcome_against_facts: Query
    connected_without_call: Query
    call_outlives_leg: Query
    talking_to_nobody: Query
    talked_to_nobody: Query
    two_customers: Query
    still_open: Query
    stranded_leads: Query
    open_but_not_claimed: Query
    callbacks_forgotten: Query
    callbacks_past_due: Query
    out_of_order: Query
    attempts_page: Query
    audit_pages: Query


SQL: Final = queries.load(_Sql, "verify.sql")


async def verify(
    database: Database,
    *,
    now_ms: int,
    policy: Policy | None = None,
    carried: Sequence[Carried] | None = None,
    at_rest: bool = False,
) -> list[Violation]:
    """All violations found, by invariant.

    `carried`: every call that reached the carrier while this database was dialed from. `at_rest`: the engine has
    stopped and nothing may be open any more.
    """
    found = [
        violation
        for invariant, statement in _checks(now_ms, at_rest=at_rest)
        for violation in await _asked(database, invariant, statement)
    ]
    if policy is not None:
        for campaign in policy.campaigns.values():
            often = SQL.tried_too_often(
                campaign=campaign.id, attempts_max=campaign.attempts.max, limit=VIOLATIONS_PER_CHECK_MAX
            )
            found += await _asked(database, "I2", often)
    attempts = [row async for row in _attempts(database)]
    if policy is not None:
        found += _outside_hours(attempts, policy)
        found += _over_capacity(attempts, policy)
    if carried is not None:
        found += _against_carrier(attempts, carried)
    found += await _broken_chain(database)
    return sorted(found, key=lambda violation: int(violation.invariant[1:]))


def _checks(now_ms: int, *, at_rest: bool) -> Iterable[tuple[str, Statement]]:
    limit = VIOLATIONS_PER_CHECK_MAX
    yield "I1", SQL.overlapping_by_lead(limit=limit)
    yield "I1", SQL.overlapping_by_number(limit=limit)
    yield "I1", SQL.open_but_not_claimed(limit=limit)
    yield "I2", SQL.miscounted(limit=limit)
    yield "I2", SQL.counted_wrongly(limit=limit)
    yield "I5", SQL.dialed_though_suppressed(limit=limit, grace_ms=SUPPRESSED_GRACE_MS)
    yield "I7", SQL.not_final(limit=limit)
    yield "I7", SQL.operators_word_lost(limit=limit)
    yield "I7", SQL.outcome_against_facts(limit=limit)
    yield "I7", SQL.connected_without_call(limit=limit)
    yield "I7", SQL.call_outlives_leg(limit=limit)
    yield "I8", SQL.talking_to_nobody(limit=limit, now_ms=now_ms, grace_ms=TALKING_GRACE_MS)
    yield "I8", SQL.talked_to_nobody(limit=limit, grace_ms=TALKING_GRACE_MS)
    yield "I9", SQL.two_customers(limit=limit)
    yield "I10", SQL.still_open(limit=limit, before_ms=now_ms if at_rest else now_ms - ATTEMPT_LIFE_MS)
    yield "I10", SQL.stranded_leads(limit=limit)
    yield "I12", SQL.callbacks_forgotten(limit=limit)
    yield "I12", SQL.callbacks_past_due(limit=limit, before_ms=now_ms - CALLBACK_GRACE_MS)
    yield "I19", SQL.out_of_order(limit=limit)


async def _asked(database: Database, invariant: str, statement: Statement) -> list[Violation]:
    return [
        Violation(invariant=invariant, what=row["what"], ids=tuple(row["ids"].split()))
        for row in await rows_of(database, statement)
    ]


async def _attempts(database: Database) -> AsyncIterator[Row]:
    after = ""
    while page := await rows_of(database, SQL.attempts_page(after=after, limit=PAGE_MAX)):
        for row in page:
            yield row
        after = page[-1]["id"]


def _outside_hours(attempts: Iterable[Row], policy: Policy) -> list[Violation]:
    """I4: nobody is called outside the hours of their own zone."""
    found = []
    for row in attempts:
        campaign = policy.campaigns.get(CampaignId(row["campaign_id"]))
        if campaign is not None and isinstance(window(row["zone"], campaign.hours, row["planned_at_ms"]), Closed):
            found.append(Violation(invariant="I4", what="dialed outside the callee's hours", ids=(row["id"],)))
    return found[:VIOLATIONS_PER_CHECK_MAX]


def _over_capacity(attempts: Iterable[Row], policy: Policy) -> list[Violation]:
    """I22: no trunk carries more calls at once, or takes more in a second, than the carrier sold."""
    by_trunk: dict[str, list[Row]] = defaultdict(list)
    for row in attempts:
        by_trunk[row["trunk_id"]].append(row)
    found: list[Violation] = []
    for trunk_id, rows in by_trunk.items():
        trunk = policy.trunks.get(TrunkId(trunk_id))
        if trunk is None:
            continue
        rows.sort(key=lambda row: (row["planned_at_ms"], row["id"]))
        found += _too_many_at_once(rows, trunk_id, trunk.lines_max)
        found += _too_many_a_second(rows, trunk_id, math.ceil(trunk.calls_per_second_max) + 1)
    return found[:VIOLATIONS_PER_CHECK_MAX]


def _too_many_at_once(rows: Sequence[Row], trunk: str, lines_max: int) -> list[Violation]:
    # At the same millisecond a line is given back before it is taken: (time, +1) sorts after (time, -1).
    steps = [(row["planned_at_ms"], 1, row["id"]) for row in rows]
    steps += [(row["ended_at_ms"], -1, row["id"]) for row in rows if row["ended_at_ms"] is not None]
    found, live = [], 0
    for _, step, attempt in sorted(steps):
        live += step
        if step > 0 and live > lines_max:
            what = f"{live} calls at once on trunk {trunk} of {lines_max} lines"
            found.append(Violation(invariant="I22", what=what, ids=(attempt,)))
    return found


def _too_many_a_second(rows: Sequence[Row], trunk: str, calls_max: int) -> list[Violation]:
    found, first = [], 0
    for last, row in enumerate(rows):
        while row["planned_at_ms"] - rows[first]["planned_at_ms"] >= 1_000:
            first += 1
        if last - first + 1 > calls_max:
            what = f"{last - first + 1} calls within a second on trunk {trunk}"
            found.append(Violation(invariant="I22", what=what, ids=(row["id"],)))
    return found


def _against_carrier(attempts: Sequence[Row], carried: Sequence[Carried]) -> list[Violation]:
    """I1 and I3: every INVITE has its own earlier row, a number is never in two calls, and no answer is invented."""
    rows_by_number: dict[str, list[Row]] = defaultdict(list)
    for row in attempts:
        rows_by_number[_digits(row["number"])].append(row)
    found: list[Violation] = []
    calls_by_number: dict[str, list[Carried]] = defaultdict(list)
    for call in carried:
        calls_by_number[_digits(call.number)].append(call)
    for number, calls in calls_by_number.items():
        rows = sorted(rows_by_number.get(number, []), key=lambda row: row["planned_at_ms"])
        calls.sort(key=lambda call: call.invited_ms)
        found += _overlapping_invites(calls, rows)
        found += _unmatched(calls, rows)
    reached = Counter({number: len(calls) for number, calls in calls_by_number.items()})
    for number, rows in rows_by_number.items():
        told = [row["id"] for row in rows if row["answered_at_ms"] is not None]
        if len(told) > reached[number]:
            what = f"{len(told)} answers on disk, but {reached[number]} calls reached the carrier"
            found.append(Violation(invariant="I3", what=what, ids=tuple(told)))
    return found[:VIOLATIONS_PER_CHECK_MAX]


def _unmatched(calls: Sequence[Carried], rows: Sequence[Row]) -> list[Violation]:
    """Calls that no row of their own precedes; each row pays for one call."""
    free = list(rows)
    found = []
    for call in calls:
        own = next((row for row in free if _may_be(row, call)), None)
        if own is None:
            ids = tuple(row["id"] for row in rows)
            what = f"a call reached the carrier at {call.invited_ms} without a row of its own before it"
            found.append(Violation(invariant="I3", what=what, ids=ids))
        else:
            free.remove(own)
    return found


def _may_be(row: Row, call: Carried) -> bool:
    ended_ms = row["ended_at_ms"]
    return bool(
        row["planned_at_ms"] <= call.invited_ms + CARRIER_SKEW_MS
        and (ended_ms is None or call.invited_ms <= ended_ms + CARRIER_SKEW_MS)
    )


def _overlapping_invites(calls: Sequence[Carried], rows: Sequence[Row]) -> list[Violation]:
    found = []
    for before, call in pairwise(calls):
        if before.ended_ms is None or call.invited_ms < before.ended_ms:
            what = f"the carrier saw two calls to one number at once, at {call.invited_ms}"
            found.append(Violation(invariant="I1", what=what, ids=tuple(row["id"] for row in rows)))
    return found


def _digits(number: str) -> str:
    return number.lstrip("+")


async def _broken_chain(database: Database) -> list[Violation]:
    """I21: the audit has no gap, and no row was changed."""
    after, before = 0, ""
    while page := await rows_of(database, SQL.audit_pages(after=after, limit=PAGE_MAX)):
        for row in page:
            seq = row["seq"]
            if seq != after + 1:
                return [Violation(invariant="I21", what="the audit has a gap", ids=(f"audit:{after + 1}",))]
            expected = chain_hash(before, seq, row["at_ms"], row["actor"], row["action"], row["subject"], row["detail"])
            if row["hash"] != expected:
                return [Violation(invariant="I21", what="an audit row was changed", ids=(f"audit:{seq}",))]
            after, before = seq, row["hash"]
    return []
