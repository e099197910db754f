"""`zvonar verify`: does what is on disk, and what the carrier saw, keep the promises that the product makes?

Each check is one invariant (I1, I2 …, docs/reliability.md). It needs nothing but the database; with the policy it also
knows limits and hours, and with the carrier's own record it also knows what really went out. A healthy database
answers with an empty list. Violations name attempts, never numbers.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import pairwise
from typing import Final, Protocol

from engine.core import law
from engine.core.budget import AbandonBudget, AtCeiling
from engine.core.hours import Closed, window
from engine.core.model import (
    CampaignId,
    Lead,
    LeadId,
    LeadState,
    Outcome,
    Past,
    Phone,
    PhoneNumber,
    Policy,
    Recorded,
    TrunkId,
)
from engine.core.pacing import Predictive
from engine.phones import zones_of
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
#: Ringing is told a little after it began, and the end a little after it came (I16).
RING_GRACE_MS: Final = 500
#: Who answers and finds no engine hears the message within this; who waited for an agent, this after the wait (I15).
SILENCE_MAX_MS: Final = 2_000
#: An engine that started so soon after a leg's end may be the heir of the one that had the leg (I15).
NEXT_ENGINE_MS: Final = 60_000
#: The carrier's clock against ours: the same machine, or both disciplined (I3, I5).
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


class Heard(Protocol):
    """One customer's leg by the journal of our own Asterisk; times in ms UTC."""

    @property
    def channel_id(self) -> str: ...
    @property
    def answered_ms(self) -> int | None: ...
    @property
    def message_ms(self) -> int | None: ...  # when the message began
    @property
    def unheard(self) -> bool: ...  # no engine listened when they answered
    @property
    def ended_ms(self) -> int | None: ...


class _Sql:
    overlapping_by_lead: Query
    overlapping_by_number: Query
    miscounted: Query
    counted_wrongly: Query
    tried_too_often: Query
    dialed_though_suppressed: Query
    listed_attempts: Query
    damaged: Query
    torn: Query
    order_against_its_changes: Query
    said_of_no_call: Query
    dialed_while_draining: Query
    cut_short: Query
    recorded_outside_talk: Query
    recorded_twice: Query
    recorded_against_the_rule: Query
    engine_starts: Query
    agent_states: Query
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
    hand_outs: Query
    audit_pages: Query


SQL: Final = queries.load(_Sql, "verify.sql")


async def verify(
    database: Database,
    *,
    now_ms: int,
    policy: Policy | None = None,
    carried: Sequence[Carried] | None = None,
    heard: Sequence[Heard] | None = None,
    at_rest: bool = False,
    times_hold: bool = True,
) -> list[Violation]:
    """All violations found, by invariant.

    `carried`: every call that reached the carrier while this database was dialed from. `heard`: our Asterisk's own
    record of customers' legs. `at_rest`: the engine has stopped and nothing may be open any more. `times_hold`: the
    system clock was never set back; else nothing on disk is asked which of two moments came first.
    """
    found = [
        violation
        for invariant, statement in _checks(now_ms, at_rest=at_rest, times_hold=times_hold)
        for violation in await _asked(database, invariant, statement)
    ]
    if policy is not None:
        for campaign in policy.campaigns.values():
            often = SQL.tried_too_often(
                campaign=campaign.id, attempts_max=campaign.attempts.max, limit=VIOLATIONS_PER_CHECK_MAX
            )
            found += await _asked(database, "I2", often)
            short = SQL.cut_short(
                campaign=campaign.id,
                ring_min_ms=campaign.abandon.ring_min_ms,
                grace_ms=RING_GRACE_MS,
                limit=VIOLATIONS_PER_CHECK_MAX,
            )
            found += await _asked(database, "I16", short)
            if campaign.recording.mode is Recorded.OFF:
                against = SQL.recorded_against_the_rule(campaign=campaign.id, limit=VIOLATIONS_PER_CHECK_MAX)
                found += await _asked(database, "I17", against)
    attempts = [row async for row in _attempts(database)]
    if policy is not None:
        found += _outside_hours(attempts, policy)
        found += _unlawful(attempts, policy)
        found += _over_capacity(attempts, policy)
        found += _over_dialed(attempts, await rows_of(database, SQL.agent_states()), policy)
    if carried is not None:
        dialed = [*attempts, *await rows_of(database, SQL.hand_outs())]
        found += _against_carrier(dialed, await rows_of(database, SQL.listed_attempts()), carried)
    if heard is not None:
        starts = [row["started_at_ms"] for row in await rows_of(database, SQL.engine_starts())]
        found += _against_journal(attempts, heard, policy, starts)
    found += await _broken_chain(database)
    return sorted(found, key=lambda violation: int(violation.invariant[1:]))


def _checks(now_ms: int, *, at_rest: bool, times_hold: bool) -> Iterable[tuple[str, Statement]]:
    limit = VIOLATIONS_PER_CHECK_MAX
    yield "I1", SQL.open_but_not_claimed(limit=limit)
    yield "I2", SQL.miscounted(limit=limit)
    yield "I2", SQL.counted_wrongly(limit=limit)
    yield "I6", SQL.damaged(limit=limit)
    yield "I6", SQL.torn(limit=limit)
    yield "I6", SQL.said_of_no_call(limit=limit)
    yield "I6", SQL.order_against_its_changes(limit=limit)
    yield "I7", SQL.not_final(limit=limit)
    yield "I7", SQL.outcome_against_facts(limit=limit)
    yield "I7", SQL.connected_without_call(limit=limit)
    yield "I7", SQL.call_outlives_leg(limit=limit)
    yield "I8", SQL.talking_to_nobody(limit=limit, now_ms=now_ms, grace_ms=TALKING_GRACE_MS)
    yield "I10", SQL.still_open(limit=limit, before_ms=now_ms if at_rest else now_ms - ATTEMPT_LIFE_MS)
    yield "I10", SQL.stranded_leads(limit=limit)
    yield "I12", SQL.callbacks_forgotten(limit=limit)
    yield "I12", SQL.callbacks_past_due(limit=limit, before_ms=now_ms - CALLBACK_GRACE_MS)
    if times_hold:
        yield "I1", SQL.overlapping_by_lead(limit=limit)
        yield "I1", SQL.overlapping_by_number(limit=limit)
        yield "I5", SQL.dialed_though_suppressed(limit=limit, grace_ms=SUPPRESSED_GRACE_MS)
        yield "I7", SQL.operators_word_lost(limit=limit)
        yield "I8", SQL.talked_to_nobody(limit=limit, grace_ms=TALKING_GRACE_MS)
        yield "I9", SQL.two_customers(limit=limit)
        yield "I17", SQL.recorded_outside_talk(limit=limit, grace_ms=TALKING_GRACE_MS)
        yield "I17", SQL.recorded_twice(limit=limit)
        yield "I19", SQL.out_of_order(limit=limit)
        yield "I20", SQL.dialed_while_draining(limit=limit)


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
    """I4: nobody is called outside the hours of their own zone, or of any that the number may be in."""
    found = []
    for row in attempts:
        campaign = policy.campaigns.get(CampaignId(row["campaign_id"]))
        if campaign is None:
            continue
        zones = (row["zone"],) if row["zone"] else zones_of(PhoneNumber(row["number"])) or (None,)
        if any(isinstance(window(zone, campaign.hours, row["planned_at_ms"]), Closed) for zone in zones):
            found.append(Violation(invariant="I4", what="dialed outside the callee's hours", ids=(row["id"],)))
    return found[:VIOLATIONS_PER_CHECK_MAX]


def _unlawful(attempts: Sequence[Row], policy: Policy) -> list[Violation]:
    """I4: every attempt that a pack of today's version allowed is allowed by it when asked again.

    Asked again are hours, counts and rests, over all attempts on the same lead or number. Consents may have changed
    since, and a rule that a fact waives is not asked.
    """
    packs = {id_: tuple(map(_without_facts, campaign.law)) for id_, campaign in policy.campaigns.items()}
    by_lead: dict[int, list[Row]] = defaultdict(list)
    by_number: dict[str, list[Row]] = defaultdict(list)
    found = []
    for row in sorted(attempts, key=lambda row: (row["planned_at_ms"], row["id"])):
        asked = tuple(pack for pack in packs.get(CampaignId(row["campaign_id"]), ()) if pack.id in row["decision"])
        if asked:
            earlier = {past["id"]: past for past in (*by_lead[row["lead_id"]], *by_number[row["number"]])}
            blocking = _asked_again(row, earlier.values(), asked)
            if blocking:
                what = f"dialed against {blocking}"
                found.append(Violation(invariant="I4", what=what, ids=(row["id"],)))
        by_lead[row["lead_id"]].append(row)
        by_number[row["number"]].append(row)
    return found[:VIOLATIONS_PER_CHECK_MAX]


def _asked_again(row: Row, earlier: Iterable[Row], packs: Sequence[law.Pack]) -> str:
    at_ms = row["planned_at_ms"]
    number = PhoneNumber(row["number"])
    phone = Phone(position=0, number=number, zones=zones_of(number))
    lead = Lead(
        id=LeadId(row["lead_id"]),
        campaign=CampaignId(row["campaign_id"]),
        phones=(phone,),
        state=LeadState.RETRY,
        zone=row["zone"],
    )
    history = [_past(past, at_ms) for past in earlier if past["planned_at_ms"] > at_ms - law.reach_ms(packs)]
    blocking = law.judge(lead, phone, history, packs, at_ms).blocking
    return str(blocking or "")


def _past(row: Row, at_ms: int) -> Past:
    """An earlier attempt as it was known then."""

    def known(moment_ms: int | None) -> int | None:
        return moment_ms if moment_ms is not None and moment_ms <= at_ms else None

    ended_ms = known(row["ended_at_ms"])
    return Past(
        at_ms=row["planned_at_ms"],
        lead=LeadId(row["lead_id"]),
        number=PhoneNumber(row["number"]),
        outcome=Outcome(row["outcome"]) if ended_ms is not None else None,
        answered_at_ms=known(row["answered_at_ms"]),
        bridged_at_ms=known(row["bridged_at_ms"]),
        ended_at_ms=ended_ms,
    )


def _without_facts(pack: law.Pack) -> law.Pack:
    return replace(
        pack,
        require=(),
        stop_if=(),
        deny_modes=frozenset(),
        limits=tuple(limit for limit in pack.limits if not limit.unless),
        cooldowns=tuple(rest for rest in pack.cooldowns if not rest.unless),
    )


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


def _over_dialed(attempts: Sequence[Row], states: Sequence[Row], policy: Policy) -> list[Violation]:
    """I14: while the law's share of abandoned calls is used up, nobody is dialed without an agent for them."""
    found: list[Violation] = []
    for campaign in policy.campaigns.values():
        if isinstance(campaign.pacing, Predictive) and campaign.abandon.at_ceiling is AtCeiling.EASE:
            continue  # may go on with hardly any risk: which is none of the record's
        team = {profile.id for profile in policy.agents.values() if campaign.id in profile.campaigns}
        budget, ready, in_flight = AbandonBudget(campaign.abandon), set[str](), 0
        for at_ms, kind, row in _story([a for a in attempts if a["campaign_id"] == campaign.id], states):
            match kind:
                case _Fact.AGENT if row["agent_id"] in team:
                    (ready.add if row["state"] in {"ready", "reserved"} else ready.discard)(row["agent_id"])
                case _Fact.ANSWER if row["outcome"] == "machine":
                    budget.machine(at_ms)
                case _Fact.ANSWER:
                    budget.live_answer(at_ms)
                case _Fact.ABANDON:
                    budget.abandon(at_ms, row["answered_at_ms"])
                case _Fact.NO_MORE_IN_FLIGHT:
                    in_flight -= 1
                case _Fact.DIAL:
                    in_flight += 1
                    if in_flight > len(ready) and budget.state(at_ms).at_ceiling:
                        what = f"{in_flight} calls on their way for {len(ready)} agents, though no abandon is left"
                        found.append(Violation(invariant="I14", what=what, ids=(row["id"],)))
                case _:
                    pass
    return found[:VIOLATIONS_PER_CHECK_MAX]


class _Fact(IntEnum):
    """What happened; of facts of one millisecond, in this order."""

    AGENT = 0
    ANSWER = 1
    ABANDON = 2
    NO_MORE_IN_FLIGHT = 3
    DIAL = 4


def _story(attempts: Iterable[Row], states: Iterable[Row]) -> list[tuple[int, _Fact, Row]]:
    story = [(row["at_ms"], _Fact.AGENT, row) for row in states]
    for row in attempts:
        story.append((row["planned_at_ms"], _Fact.DIAL, row))
        out_ms = [row[column] for column in ("taken_back_at_ms", "answered_at_ms", "ended_at_ms") if row[column]]
        if out_ms:
            story.append((min(out_ms), _Fact.NO_MORE_IN_FLIGHT, row))
        if row["answered_at_ms"] is not None:
            story.append((row["answered_at_ms"], _Fact.ANSWER, row))
        if row["outcome"] == "abandoned":
            story.append((row["ended_at_ms"], _Fact.ABANDON, row))
    return sorted(story, key=lambda fact: fact[:2])


def _against_journal(
    attempts: Sequence[Row], heard: Sequence[Heard], policy: Policy | None, starts: Sequence[int]
) -> list[Violation]:
    """I10, I13, I15: each leg has its row, who found nobody is counted, and none of them was left in silence.

    Whoever was in the hands of an engine that died waits for the next one: that is a gap of the product, no violation.
    """
    by_leg = {row["leg"]: row for row in attempts}
    found: list[Violation] = []
    for leg in heard:
        row = by_leg.get(leg.channel_id)
        if row is None:
            found.append(Violation(invariant="I10", what=f"leg {leg.channel_id} has no attempt", ids=()))
            continue
        told, outcome = leg.message_ms, row["outcome"]
        if leg.unheard and outcome is not None and outcome != "abandoned" and row["bridged_at_ms"] is None:
            what = f"answered, found no engine, and is counted as {outcome}"
            found.append(Violation(invariant="I13", what=what, ids=(row["id"],)))
        if leg.answered_ms is None or outcome != "abandoned":
            continue
        until_ms = (leg.ended_ms or leg.answered_ms) + NEXT_ENGINE_MS
        if not leg.unheard and any(leg.answered_ms < start_ms < until_ms for start_ms in starts):
            continue
        campaign = policy.campaigns.get(CampaignId(row["campaign_id"])) if policy is not None else None
        waited_ms = 0 if leg.unheard else campaign.abandon.connect_within_ms if campaign is not None else 60_000
        silent_ms = (leg.ended_ms or leg.answered_ms) - leg.answered_ms if told is None else told - leg.answered_ms
        if silent_ms > waited_ms + SILENCE_MAX_MS:
            what = f"answered, and heard nothing for {silent_ms} ms" + ("" if told is not None else ", then the end")
            found.append(Violation(invariant="I15", what=what, ids=(row["id"],)))
    return found[:VIOLATIONS_PER_CHECK_MAX]


def _against_carrier(attempts: Sequence[Row], listed: Iterable[Row], carried: Sequence[Carried]) -> list[Violation]:
    """I1, I3, I5: every INVITE has its own earlier row and precedes its do-not-call entry, a number is never in two
    calls, and no answer is invented."""
    listed_ms = {(row["id"], row["number"]): row["listed_at_ms"] for row in listed}
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
        found += _unmatched(calls, rows, listed_ms)
    reached = Counter({number: len(calls) for number, calls in calls_by_number.items()})
    for number, rows in rows_by_number.items():
        told = [row["id"] for row in rows if row["answered_at_ms"] is not None]
        if len(told) > reached[number]:
            what = f"{len(told)} answers on disk, but {reached[number]} calls reached the carrier"
            found.append(Violation(invariant="I3", what=what, ids=tuple(told)))
    return found[:VIOLATIONS_PER_CHECK_MAX]


def _unmatched(
    calls: Sequence[Carried], rows: Sequence[Row], listed_ms: Mapping[tuple[str, str], int]
) -> list[Violation]:
    """Calls that no row of their own precedes, or that their number's entry does; each row pays for one call."""
    free = list(rows)
    found = []
    for call in calls:
        own = next((row for row in free if _may_be(row, call)), None)
        if own is None:
            ids = tuple(row["id"] for row in rows)
            what = f"a call reached the carrier at {call.invited_ms} without a row of its own before it"
            found.append(Violation(invariant="I3", what=what, ids=ids))
            continue
        free.remove(own)
        late_ms = call.invited_ms - listed_ms.get((own["id"], own["number"]), call.invited_ms)
        if late_ms > SUPPRESSED_GRACE_MS + CARRIER_SKEW_MS:
            what = f"a call reached the carrier {late_ms} ms after the do-not-call entry"
            found.append(Violation(invariant="I5", what=what, ids=(own["id"],)))
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
