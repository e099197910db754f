"""Why leads are or are not dialed: by the rules in the order in which dialing asks them, from the very code that dials.

One lead: every rule with its numbers. A campaign: how many leads each rule is the first to hold back, adding up to the
list. Of a campaign the database counts leads by state, by what they wait for, and those that are due by zone; the
hours are asked once per zone, or per zones that numbers leave. What the further rules say of a lead that is due (counts
of calls, consents; its numbers' zones where it is not in line yet) shows when its turn comes: then it is asked, and
from that moment it is counted under that rule.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import orjson

from engine.core import attempts, law, lawful
from engine.core.model import Campaign, Lead, LeadId, LeadState, Policy
from engine.phones import zones_of
from engine.store.database import Database, rows_of
from engine.store.store import SQL, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """A lead, its campaign (None: no longer in the configuration) and what its rules say; a callback's owner apart."""

    lead: Lead
    campaign: Campaign | None
    verdict: law.Verdict


async def read_lead(database: Database, policy: Policy, lead_id: LeadId, now_ms: int) -> Lead | None:
    """The lead with all that the rules ask of it; None: there is no such lead."""
    history_ms = max((lawful.of_campaign_ms(campaign) for campaign in policy.campaigns.values()), default=0)
    return (await Store(database, zones_of=zones_of).leads([lead_id], now_ms - history_ms)).get(lead_id)


async def explain(database: Database, policy: Policy, lead_id: LeadId, now_ms: int) -> Explained | None:
    """The rules for that lead now; None: there is no such lead."""
    lead = await read_lead(database, policy, lead_id, now_ms)
    if lead is None:
        return None
    campaign = policy.campaigns.get(lead.campaign)
    if campaign is None:
        gone = law.Check("campaign_gone", (lead.campaign,), law.never)
        return Explained(lead=lead, campaign=None, verdict=law.verdict([gone], now_ms))
    return Explained(lead=lead, campaign=campaign, verdict=attempts.explain(lead, campaign, now_ms))


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """So many leads that one rule is the first to hold back.

    `rule` as `Ruling` has it, "" where none does: these wait for their turn. `cause`: what closed them or what they
    wait for (`LeadChange.rule`). `next_at_ms`: when hours open for the first of them.
    """

    rule: str
    cause: str
    count: int
    next_at_ms: int | None = None
    zones: tuple[str, ...] = ()  # of leads that are due, as the line has them


async def why_not(database: Database, campaign: Campaign, now_ms: int) -> list[Held]:
    """All leads of the campaign by the first rule that holds them back, most first; the counts add up to the list."""
    of_campaign = {"campaign": campaign.id}
    by_rule, in_line, not_in_line, promised = await database.read(
        SQL.held_by_rule(**of_campaign),
        SQL.due_in_line(**of_campaign),
        SQL.due_not_in_line(**of_campaign, now_ms=now_ms),
        SQL.due_promised(**of_campaign, now_ms=now_ms),
    )
    settled: Counter[tuple[LeadState, str]] = Counter()
    waiting: Counter[str] = Counter()  # by what they wait for; those that are due are taken out below
    for row in by_rule:
        state = LeadState(row["state"])
        if state in attempts.DIALABLE:
            waiting[row["hold"]] += row["leads"]
        else:
            settled[state, row["hold"]] += row["leads"]
    due: Counter[str] = Counter()  # by zone, as the line has it
    names: dict[str, list[str]] = {}
    for row in in_line:
        waiting[""] -= row["leads"]
        due[row["zone"]] += row["leads"]
        names[row["zone"]] = row["zones"].split()
    for row in (*not_in_line, *promised):
        waiting[row["hold"]] -= row["leads"]
        due[row["zone"]] += row["leads"]
    held = [
        *(Held(rule=f"lead_is:{state.value}", cause=cause, count=count) for (state, cause), count in settled.items()),
        *(Held(rule="not_due", cause=cause, count=count) for cause, count in waiting.items() if count),
        *_by_hours(due, names, campaign, now_ms),
    ]
    return sorted(held, key=lambda one: (-one.count, one.rule, one.cause))


def _by_hours(
    due: Mapping[str, int], names: Mapping[str, Sequence[str]], campaign: Campaign, now_ms: int
) -> Iterable[Held]:
    found: dict[str, Held] = {}
    for zone, count in sorted(due.items()):
        said = law.verdict(attempts.zone_checks(names.get(zone, zone.split()), campaign, now_ms), now_ms)
        one = Held(rule="", cause="", count=count, zones=(zone,))
        if said.blocking is not None:
            one = replace(one, rule=str(said.blocking), next_at_ms=said.next_at_ms)
        known = found.get(one.rule)
        found[one.rule] = one if known is None else _together(known, one)
    return found.values()


def _together(one: Held, other: Held) -> Held:
    moments = [at_ms for at_ms in (one.next_at_ms, other.next_at_ms) if at_ms is not None]
    zones = (*one.zones, *other.zones)
    return replace(one, count=one.count + other.count, next_at_ms=min(moments, default=None), zones=zones)


async def held_leads(
    database: Database, campaign: Campaign, held: Held, now_ms: int, *, limit: int, offset: int = 0
) -> list[LeadId]:
    """Leads of one of `why_not`'s groups, in no order that means anything."""
    code, _, state = held.rule.partition(":")
    if code in {"lead_is", "not_due"}:
        waits = code == "not_due"
        states = sorted(one.value for one in attempts.DIALABLE) if waits else [state]
        asked = SQL.held_leads(
            campaign=campaign.id,
            states=orjson.dumps(states).decode(),
            hold=held.cause,
            waits_at_ms=now_ms if waits else None,
            limit=limit,
            offset=offset,
        )
    else:
        zones = orjson.dumps(held.zones).decode()
        asked = SQL.due_of_zones(campaign=campaign.id, zones=zones, now_ms=now_ms, limit=limit, offset=offset)
    return [LeadId(row["id"]) for row in await rows_of(database, asked)]
