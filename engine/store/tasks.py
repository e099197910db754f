"""Operators' tasks, and what "Next" gave each operator last. A method that writes is on disk when it returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import orjson

from engine.core.model import AgentId, LeadId, Outcome, Task, TaskId, TaskType
from engine.store import queries
from engine.store.database import Database, Row, rows_of
from engine.store.queries import Query
from engine.store.store import SQL as DIALING

#: Open tasks of one operator that are looked at: the earliest ones.
TASKS_MAX: Final = 500
TITLE_MAX: Final = 200
#: Overdue tasks of all operators that a page shows.
OVERDUE_MAX: Final = 200


class _Sql:
    insert_task: Query
    open_tasks: Query
    overdue_tasks: Query
    count_overdue: Query
    task_times: Query
    next_own_call: Query
    finish_task: Query
    postpone_task: Query
    save_handout: Query
    put_away: Query
    handout: Query


SQL: Final = queries.load(_Sql, "tasks.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """What "Next" gave an operator last. `task`: still open; `reached` None: no call was made for it yet."""

    lead: LeadId | None
    why: str
    at_ms: int
    task: TaskId | None = None
    reached: bool | None = None
    settled: bool = False  # the conversation has its result


@dataclass(frozen=True, slots=True, kw_only=True)
class Plate:
    """All that one operator has before them."""

    tasks: tuple[Task, ...]  # open ones, the earliest first
    handed: Handed | None
    own_call_ms: int | None  # the next call that they promised to make themselves

    @property
    def in_hand(self) -> Task | None:
        """The task that was handed out and is not finished."""
        if self.handed is None or self.handed.task is None:
            return None
        return next((task for task in self.tasks if task.id == self.handed.task), None)


class Tasks:
    """The store, as far as tasks go."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def plate(self, owner: AgentId, now_ms: int) -> Plate:
        """What the operator has to do."""
        tasks, handed, calls = await self._database.read(
            SQL.open_tasks(owner=owner, limit=TASKS_MAX),
            SQL.handout(agent=owner),
            SQL.next_own_call(owner=owner, now_ms=now_ms),
        )
        return Plate(
            tasks=tuple(map(_task, tasks)),
            handed=_handed(handed[0]) if handed else None,
            own_call_ms=calls[0]["due_at_ms"] if calls else None,
        )

    async def times(self, owner: AgentId, from_ms: int, until_ms: int, but: TaskId | None) -> tuple[int, ...]:
        """When the operator's tasks are, done ones too; `but` is left out."""
        bound = SQL.task_times(owner=owner, from_ms=from_ms, until_ms=until_ms, but=but)
        return tuple(row["due_at_ms"] for row in await rows_of(self._database, bound))

    async def add(
        self,
        *,
        key: str,
        of: TaskType,
        title: str,
        lead: LeadId | None,
        owner: AgentId,
        due_at_ms: int,
        by: str,
        at_ms: int,
        given: bool = False,
    ) -> None:
        """A new task; with the same key again, none. ValueError for a title that is empty or too long.

        `given` by somebody else than its owner: it is in the audit.
        """
        if not title.strip() or len(title) > TITLE_MAX:
            raise ValueError(f"a task needs a title of at most {TITLE_MAX} characters")
        audit = DIALING.append_audit_once(
            at_ms=at_ms, actor=by, action="task_given", subject=f"task:{key}", detail=f"{of.id} to agent:{owner}"
        )
        await self._database.write(
            SQL.insert_task(
                key=key,
                type=of.id,
                tier=of.tier,
                title=title.strip(),
                lead=lead,
                owner=owner,
                due_at_ms=due_at_ms,
                by=by,
                at_ms=at_ms,
            ),
            *([audit] if given else []),
        )

    async def overdue(self, before_ms: int) -> tuple[tuple[Task, ...], int]:
        """Open tasks of all operators whose time was before that, the oldest first, and how many there are."""
        tasks, (count,) = await self._database.read(
            SQL.overdue_tasks(before_ms=before_ms, limit=OVERDUE_MAX), SQL.count_overdue(before_ms=before_ms)
        )
        return tuple(map(_task, tasks)), count["overdue"]

    async def finish(self, task: TaskId, owner: AgentId, at_ms: int) -> bool:
        """It is done. False: it is not this operator's, or was done already."""
        (found, _) = await self._database.write(
            SQL.finish_task(task=task, owner=owner, at_ms=at_ms), SQL.put_away(agent=owner, task=task)
        )
        return bool(found)

    async def postpone(self, task: TaskId, owner: AgentId, due_at_ms: int) -> bool:
        """Later, then; out of the operator's hand. False as for `finish`."""
        (found, _) = await self._database.write(
            SQL.postpone_task(task=task, owner=owner, due_at_ms=due_at_ms), SQL.put_away(agent=owner, task=task)
        )
        return bool(found)

    async def hand(self, agent: AgentId, *, task: TaskId, lead: LeadId | None, why: str, by: str, at_ms: int) -> None:
        """Note which task the operator gets now, and why, also in the audit."""
        await self._database.write(
            SQL.save_handout(agent=agent, task=task, lead=lead, why=why, at_ms=at_ms),
            DIALING.append_audit(at_ms=at_ms, actor=by, action="handed_out", subject=f"task:{task}", detail=why),
        )

    async def offer(self, agent: AgentId, lead: LeadId, why: str, at_ms: int) -> None:
        """Note whom the operator gets if no rule refuses the call."""
        await self._database.write(SQL.save_handout(agent=agent, task=None, lead=lead, why=why, at_ms=at_ms))


def _task(row: Row) -> Task:
    return Task(
        id=TaskId(row["id"]),
        type=row["type_id"],
        tier=row["tier"],
        title=row["title"],
        owner=AgentId(row["owner"]),
        due_at_ms=row["due_at_ms"],
        lead=None if row["lead_id"] is None else LeadId(row["lead_id"]),
        lead_name=row["lead_name"],
    )


def _handed(row: Row) -> Handed:
    outcome, settled = orjson.loads(row["called"]) if row["called"] else (None, False)
    return Handed(
        lead=None if row["lead_id"] is None else LeadId(row["lead_id"]),
        why=row["why"],
        at_ms=row["at_ms"],
        task=None if row["task_id"] is None else TaskId(row["task_id"]),
        reached=None if outcome is None else Outcome(outcome) is Outcome.CONNECTED,
        settled=bool(settled),
    )
