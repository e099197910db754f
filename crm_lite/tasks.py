"""Tasks on the desk: what is there to do, and what "Next" gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from crm_lite.auth import Right, may
from crm_lite.crm import Crm, Viewer
from crm_lite.live import desk_key
from crm_lite.live_protocol import Do
from crm_lite.words import handout_words
from engine.core.events import AgentDial, AgentPause
from engine.core.model import (
    AgentId,
    AgentState,
    CommandId,
    LeadId,
    Refusal,
    SystemPause,
    Task,
    TaskPolicy,
    TaskType,
)
from engine.handout import AfterRefusal, Next, after_refusal, book_task, next_for
from engine.store.rows import User
from engine.store.tasks import Handed, Plate, Tasks

#: Tasks that the desk lists.
SHOWN_MAX: Final = 12
#: A call for a handout is dialed at once; a later one has its own reason.
DIALED_WITHIN_MS: Final = 60_000
#: Clients who may be refused in turn before the operator waits.
REFUSED_MAX: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskLine:
    """One task as the desk lists it."""

    task: Task
    type: str
    late: bool
    in_hand: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskList:
    """What the idle desk shows of the operator's tasks."""

    lines: tuple[TaskLine, ...]
    more: int
    in_hand: TaskLine | None
    why: str  # in words: why the task in hand was handed out
    next_change_ms: int | None  # when the list looks otherwise by itself


def task_list(viewer: Viewer, rules: TaskPolicy, plate: Plate, now_ms: int) -> TaskList:
    """The operator's tasks, the earliest first."""

    def line(task: Task) -> TaskLine:
        known = rules.types.get(task.type)
        return TaskLine(
            task=task,
            type=viewer.words.label(known.labels) if known else task.type,
            late=task.due_at_ms <= now_ms,
            in_hand=plate.in_hand is not None and task.id == plate.in_hand.id,
        )

    ahead = [task.due_at_ms for task in plate.tasks if task.due_at_ms > now_ms]
    return TaskList(
        lines=tuple(map(line, plate.tasks[:SHOWN_MAX])),
        more=max(0, len(plate.tasks) - SHOWN_MAX),
        in_hand=line(plate.in_hand) if plate.in_hand else None,
        why=handout_words(viewer.words, plate.handed.why) if plate.in_hand and plate.handed else "",
        next_change_ms=min(ahead, default=None),
    )


def is_for(handed: Handed | None, lead: LeadId, planned_at_ms: int) -> bool:
    """Whether this call of that lead was handed out by "Next"."""
    return handed is not None and handed.lead == lead and 0 <= planned_at_ms - handed.at_ms < DIALED_WITHIN_MS


# ── a new one ────────────────────────────────────────────────────────────────────────────────────────────────────


class Misplaced(Exception):
    """The owner does not work with that client's campaign, or the client is not there."""


async def make_task(
    crm: Crm, user: User, *, owner: AgentId, of: TaskType, title: str, lead: LeadId | None, due_at_ms: int, key: str
) -> int | None:
    """A task for oneself, or with the right for it for somebody else.

    Returns `due_at_ms` when it is kept; else nothing is, and it is the next moment with room, or None: none soon.
    PermissionError, Misplaced.
    """
    policy, now_ms = crm.engine.policy(), crm.clock.now_ms()
    profile, rules = policy.agents.get(owner), policy.tasks
    given = owner != user.agent
    if profile is None or rules is None or (given and not may(user, Right.GIVE_TASKS)):
        raise PermissionError(owner)
    if lead is not None:
        card, mine = await crm.records.lead_card(lead), crm.campaigns_of(user)
        if card is None or (mine is not None and card.campaign not in mine):
            raise Misplaced
        if given and card.campaign not in profile.campaigns:
            raise Misplaced
    free = await book_task(crm.database, rules, owner, due_at_ms, crm.settings.zone)
    if free == due_at_ms:
        await Tasks(crm.database).add(
            key=f"{user.login}:{key}",
            of=of,
            title=title,
            lead=lead,
            owner=owner,
            due_at_ms=due_at_ms,
            by=user.login,
            at_ms=now_ms,
            given=given,
        )
        look_again(crm, owner)
    return free


# ── next ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Handing:
    """`reason` "": the operator has what comes next; else why not. `waits`: it is asked for again by itself."""

    reason: str = ""
    waits: bool = False
    at_ms: int | None = None  # when it is known to come up
    refused: bool = False  # somebody has come up, and `reason` is why they were not called


async def hand_next(crm: Crm, login: str, agent: AgentId, said: Do) -> Handing:
    """Give the operator what comes next. Raises StoreError, TimeoutError.

    A client whom a rule refuses gives way to the next one. A task whose call reached nobody is put off by itself, one
    whose conversation has its result is done.
    """
    rules, tasks, now_ms = crm.engine.policy().tasks, Tasks(crm.database), crm.clock.now_ms()
    current = crm.live.board.agents.get(agent)
    if rules is None or current is None:
        return Handing(reason="bad_command")
    state = current.state
    if state is AgentState.PAUSED and current.pause_reason == SystemPause.TASK:
        return Handing(reason="task_in_hand")
    if state not in {AgentState.READY, AgentState.PREVIEW}:
        return Handing(reason=Refusal.NOT_READY)
    plate = await tasks.plate(agent, now_ms)
    if plate.in_hand is not None and plate.handed is not None:
        if not await _called(crm, agent, rules, plate.in_hand, plate.handed, now_ms):
            return Handing(reason="task_in_hand")
        plate = await tasks.plate(agent, now_ms)
    refused: dict[LeadId, str] = {}
    while True:
        found = await next_for(
            crm.database, crm.engine.policy(), rules, agent, plate, now_ms, leads=state is AgentState.READY, but=refused
        )
        if found.task is not None:
            return Handing(reason=await _hand_task(crm, login, agent, said, found.task, found.why))
        if not found.leads or len(refused) >= REFUSED_MAX:
            why = next(iter(refused.values()), "")
            return Handing(reason=why or found.why, waits=True, at_ms=found.at_ms, refused=bool(why))
        called = await _call_one_of(crm, login, agent, said, found, refused)
        if called is not None:
            return called


async def _call_one_of(
    crm: Crm, login: str, agent: AgentId, said: Do, found: Next, refused: dict[LeadId, str]
) -> Handing | None:
    """Call the first of those leads whom no rule refuses. None: none; why not is added to `refused`."""
    for lead in found.leads:
        now_ms = crm.clock.now_ms()
        await Tasks(crm.database).offer(agent, lead, found.why, now_ms)
        reason = await crm.engine.do(_dial(login, said, agent, lead))
        if not reason:
            await crm.records.add_audit(
                at_ms=now_ms, by=login, action="handed_out", subject=f"lead:{lead}", detail=found.why
            )
            return Handing()
        match after_refusal(reason):
            case AfterRefusal.OVER:
                return Handing(reason=reason)
            case AfterRefusal.LATER:
                return Handing(reason=reason, waits=True, refused=True)
            case AfterRefusal.ANOTHER:
                refused[lead] = reason
    return None


async def _called(crm: Crm, agent: AgentId, rules: TaskPolicy, task: Task, handed: Handed, now_ms: int) -> bool:
    """Put away the task in hand if its call says what became of it."""
    tasks = Tasks(crm.database)
    if handed.settled:
        return await tasks.finish(task.id, agent, now_ms)
    if handed.reached is False:
        return await tasks.postpone(task.id, agent, now_ms + rules.again_ms)
    return False


async def _hand_task(crm: Crm, login: str, agent: AgentId, said: Do, task: Task, why: str) -> str:
    """The task is the operator's now: its client is called, or no calls come while they are busy with it."""
    rules = crm.engine.policy().tasks
    known = rules.types.get(task.type) if rules else None
    await Tasks(crm.database).hand(agent, task=task.id, lead=task.lead, why=why, by=login, at_ms=crm.clock.now_ms())
    look_again(crm, agent)
    reason = ""
    if known is not None and known.calls and task.lead is not None:
        reason = await crm.engine.do(_dial(login, said, agent, task.lead))
        if not reason:
            return ""
    pause = CommandId(f"{login}:{said.id}:task")
    paused = await crm.engine.do(AgentPause(command=pause, by=login, agent=agent, reason=SystemPause.TASK))
    return reason or paused


def _dial(login: str, said: Do, agent: AgentId, lead: LeadId) -> AgentDial:
    return AgentDial(command=CommandId(f"{login}:{said.id}:{lead}"), by=login, agent=agent, lead=lead)


def look_again(crm: Crm, agent: AgentId) -> None:
    """The operator's tasks have changed."""
    desk = crm.live.find(desk_key(agent))
    if desk is not None:
        desk.stale()
