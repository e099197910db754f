"""Handing out work at an operator's word ("Next"): what the rules give, read from the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

from engine.core import attempts, tasks
from engine.core.hours import day_of
from engine.core.model import AgentId, Campaign, Lead, LeadId, LeadState, Mode, Policy, Task, TaskId, TaskPolicy
from engine.phones import zones_of
from engine.store.database import Database
from engine.store.store import LineUp, Store
from engine.store.tasks import Plate, Tasks

#: Leads that are tried in turn: colleagues may be faster.
CANDIDATES_MAX: Final = 5
#: What becomes of "Next" when a call is refused: the core's decision, for those who may not ask the core.
AfterRefusal = tasks.AfterRefusal
after_refusal = tasks.after_refusal
_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """What to do next: a task, or one of these leads; or neither, and `why`. `at_ms`: when there may be something."""

    why: str
    at_ms: int | None = None
    task: Task | None = None
    leads: tuple[LeadId, ...] = ()


async def next_for(
    database: Database,
    policy: Policy,
    rules: TaskPolicy,
    agent: AgentId,
    plate: Plate,
    now_ms: int,
    *,
    leads: bool,
    but: Collection[LeadId] = (),
) -> Next:
    """What this operator gets now. `leads`: also leads that they dial themselves, except `but`; without, tasks only.

    Leads come from campaigns of the mode `manual` that the operator serves: promised calls of each, and everybody else
    of those that are the recovery stack.
    """
    profile = policy.agents.get(agent)
    promised: list[LeadId] = []
    stack: list[LeadId] = []
    for name in profile.campaigns if profile is not None and leads else ():
        campaign = policy.campaigns.get(name)
        if campaign is None or campaign.mode is not Mode.MANUAL:
            continue
        # The operator's own clients first, else as they stand in line.
        for lead in sorted(await _due(database, campaign, now_ms, but), key=lambda one: one.keeper != agent):
            if lead.state is LeadState.CALLBACK:
                if not attempts.is_for_owner(lead, campaign, agent, now_ms):
                    promised.append(lead.id)
            elif name in rules.recovery:
                stack.append(lead.id)
    decided = tasks.hand_out(
        rules,
        plate.tasks,
        now_ms,
        promised=bool(promised),
        own_call_ms=plate.own_call_ms,
        stack=bool(stack),
    )
    found = {tasks.Source.PROMISE: promised, tasks.Source.STACK: stack}.get(decided.source, [])
    return Next(why=decided.why, at_ms=decided.at_ms, task=decided.task, leads=tuple(found[:CANDIDATES_MAX]))


async def _due(database: Database, campaign: Campaign, now_ms: int, but: Collection[LeadId]) -> tuple[Lead, ...]:
    store = Store(database, zones_of=zones_of)
    return (await store.due_leads(campaign.id, now_ms, 2 * CANDIDATES_MAX, but, line=LineUp.of(campaign))).leads


async def book_task(
    database: Database, rules: TaskPolicy, owner: AgentId, wanted_ms: int, zone: ZoneInfo, but: TaskId | None = None
) -> int | None:
    """The wanted moment, or the same time of the next day on which the operator has room; None: none soon.

    `but`: the task that moves there is no rival of itself.
    """
    span = (tasks.DAYS_AHEAD_MAX + 2) * _DAY_MS
    times = await Tasks(database).times(owner, wanted_ms - _DAY_MS, wanted_ms + span, but)
    return tasks.free_ms(rules, wanted_ms, Counter(day_of(at_ms, zone) for at_ms in times), zone)
