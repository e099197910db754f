"""Booking a promised call: at a moment when the person may be called and somebody is there for it, or the next such."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

from engine.core import attempts, promises
from engine.core.hours import day_of, instants, wall_minute, zone_of
from engine.core.model import AgentId, AttemptId, Campaign, Lead
from engine.store.database import Database
from engine.store.queries import Params
from engine.store.records import SQL

#: How far behind the wanted moment a free one is looked for.
AHEAD_MS: Final = 14 * 86_400_000
STEPS_MAX: Final = 2_000


class Taken(StrEnum):
    """Why the wanted moment cannot be promised."""

    HOURS = "callback_hours"  # the person may not be called then
    SLOT_FULL = "callback_slot_full"
    DAY_FULL = "callback_day_full"  # the agent has promised enough calls for that day
    NEVER = "callback_never"


@dataclass(frozen=True, slots=True)
class Booking:
    """The first moment from the wanted one on that can be promised (None: none), and why it is not the wanted one."""

    at_ms: int | None
    taken: Taken | None = None
    rule: str = ""  # the rule of dialing that forbids the wanted moment, where the lead was given


async def book(
    database: Database,
    campaign: Campaign,
    at_ms: int,
    *,
    zones: Sequence[str],
    owner: AgentId | None,
    keeper: AgentId | None = None,
    attempt: AttemptId | None = None,
    lead: Lead | None = None,
) -> Booking:
    """Look for room at that moment; nothing is written.

    `zones`: where the person may be; `owner`: who is to call; `keeper`: whose client the lead is; `attempt`, `lead`:
    whose own promise is no rival. Of a `lead` all rules of dialing are asked, without it the hours alone: it is being
    talked with.
    """
    rules, owner = campaign.callbacks, attempts.owner_of_promise(owner, keeper)
    span: Params = {
        "from_ms": at_ms - at_ms % rules.slot_ms - 86_400_000,
        "until_ms": at_ms + AHEAD_MS,
        "but_attempt": attempt,
        "but_lead": lead.id if lead is not None else None,
    }
    of_campaign, of_owner = await database.read(
        SQL.promised(campaign=campaign.id, owner=None, **span),
        SQL.promised(campaign=None, owner=owner or "", **span),
    )
    slots = Counter(row["due_at_ms"] // rules.slot_ms for row in of_campaign)
    here = zone_of(campaign.hours.zone)
    mine = Counter(day_of(row["due_at_ms"], here) for row in of_owner)
    own_max = rules.own_per_day_max if owner is not None else None
    asked_ms = at_ms
    taken: Taken | None = None
    forbids = promises.refused(lead, campaign, at_ms) if lead is not None else ""
    for _ in range(STEPS_MAX):
        if lead is None:
            open_ms = attempts.opens_ms(campaign, zones, at_ms)
        else:
            open_ms = promises.opens_ms(lead, campaign, at_ms)
        if open_ms is None or at_ms >= asked_ms + AHEAD_MS:
            return Booking(None, taken or Taken.NEVER, forbids)
        if open_ms != at_ms:
            taken, at_ms = taken or Taken.HOURS, open_ms
        elif rules.per_slot_max is not None and slots[at_ms // rules.slot_ms] >= rules.per_slot_max:
            taken, at_ms = taken or Taken.SLOT_FULL, (at_ms // rules.slot_ms + 1) * rules.slot_ms
        elif own_max is not None and mine[day_of(at_ms, here)] >= own_max:
            tomorrow = day_of(at_ms, here) + timedelta(days=1)
            taken, at_ms = taken or Taken.DAY_FULL, instants(tomorrow, wall_minute(at_ms, here), here)[1]
        else:
            return Booking(at_ms, taken, forbids)
    return Booking(None, taken or Taken.NEVER, forbids)
