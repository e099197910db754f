"""Tasks are kept, handed out once, and gone when they are done."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.core.model import AgentId, LeadId, TaskId, TaskType
from engine.store.cards import Cards
from engine.store.dnc import DoNotCall
from engine.store.imports import revert_import
from engine.store.tasks import TITLE_MAX, Tasks
from tests.fakes.office import Office, office

ANNA, IVAN = AgentId("olena"), AgentId("ivan")
LEAD = LeadId(1)
LETTER = TaskType(id="letter", labels={}, tier=2)
H = 3_600_000


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(tmp_path) as running:
        yield running


async def add(tasks: Tasks, key: str, due_at_ms: int, lead: LeadId | None = None, owner: AgentId = ANNA) -> None:
    await tasks.add(
        key=key, of=LETTER, title=f" task {key} ", lead=lead, owner=owner, due_at_ms=due_at_ms, by="olena", at_ms=1
    )


async def test_a_task_is_made_once_and_belongs_to_its_owner(place: Office) -> None:
    tasks = Tasks(place.database)
    for key, due_at_ms in (("b", 2 * H), ("a", H), ("a", 3 * H)):
        await add(tasks, key, due_at_ms, LEAD)
    await add(tasks, "c", H, owner=IVAN)
    plate = await tasks.plate(ANNA, 0)
    assert [(one.title, one.due_at_ms, one.tier, one.lead, one.lead_name) for one in plate.tasks] == [
        ("task a", H, 2, LEAD, "Іваненко Петро"),
        ("task b", 2 * H, 2, LEAD, "Іваненко Петро"),
    ]
    assert (plate.in_hand, plate.own_call_ms) == (None, None)
    with pytest.raises(ValueError, match="title"):
        await tasks.add(
            key="d", of=LETTER, title="x" * (TITLE_MAX + 1), lead=None, owner=ANNA, due_at_ms=H, by="olena", at_ms=1
        )


async def test_a_task_given_by_somebody_else_is_in_the_audit_once(place: Office) -> None:
    tasks = Tasks(place.database)
    for _ in range(2):  # the button was pressed twice
        await tasks.add(
            key="boss:1", of=LETTER, title="Call", lead=LEAD, owner=ANNA, due_at_ms=H, by="boss", at_ms=2, given=True
        )
    audit = [row for row in await place.records.audit_page() if row.action == "task_given"]
    assert [(row.by, row.subject, row.detail) for row in audit] == [("boss", "task:boss:1", "letter to agent:olena")]
    assert len((await tasks.plate(ANNA, 0)).tasks) == 1


async def test_overdue_tasks_of_everybody_are_the_oldest_first_and_counted(place: Office) -> None:
    tasks = Tasks(place.database)
    for key, due_at_ms, owner in (("a", 3 * H, ANNA), ("b", H, IVAN), ("c", 4 * H, ANNA), ("d", 2 * H, ANNA)):
        await add(tasks, key, due_at_ms, owner=owner)
    await tasks.finish((await tasks.plate(ANNA, 0)).tasks[0].id, ANNA, 5 * H)
    late, count = await tasks.overdue(4 * H)
    assert [(one.title, one.owner) for one in late] == [("task b", IVAN), ("task a", ANNA)]
    assert count == 2


async def test_what_is_handed_out_stays_in_hand_until_it_is_done_or_put_off(place: Office) -> None:
    tasks = Tasks(place.database)
    for key in ("a", "b"):
        await add(tasks, key, H)
    first, second = (await tasks.plate(ANNA, 0)).tasks
    await tasks.hand(ANNA, task=first.id, lead=None, why="handed_tier:2", by="olena", at_ms=2 * H)
    plate = await tasks.plate(ANNA, 0)
    assert plate.handed is not None
    assert (plate.in_hand, plate.handed.why, plate.handed.reached) == (first, "handed_tier:2", None)
    assert not await tasks.finish(first.id, IVAN, 3 * H)
    assert await tasks.postpone(first.id, ANNA, 5 * H)
    plate = await tasks.plate(ANNA, 0)
    assert plate.in_hand is None
    assert [one.id for one in plate.tasks] == [second.id, first.id]
    assert await tasks.finish(second.id, ANNA, 3 * H)
    assert not await tasks.finish(second.id, ANNA, 3 * H)
    assert not await tasks.postpone(TaskId(99), ANNA, 5 * H)
    assert [one.id for one in (await tasks.plate(ANNA, 0)).tasks] == [first.id]
    assert await tasks.times(ANNA, 0, 9 * H, None) == (H, 5 * H)  # what is done has taken its place
    assert await tasks.times(ANNA, 0, 9 * H, first.id) == (H,)
    audit = await place.records.audit_page()
    assert [(row.subject, row.detail) for row in audit if row.action == "handed_out"] == [("task:1", "handed_tier:2")]


async def test_the_tasks_of_a_merged_card_go_to_the_card_that_stays(place: Office) -> None:
    tasks = Tasks(place.database)
    await add(tasks, "a", H, LEAD)
    await Cards(place.database).merge(LeadId(2), LEAD, "boss", 10)
    assert [one.lead for one in (await tasks.plate(ANNA, 0)).tasks] == [LeadId(2)]


async def test_an_import_is_undone_although_somebody_has_a_task_with_one_of_its_leads(place: Office) -> None:
    tasks = Tasks(place.database)
    await add(tasks, "a", H, LEAD)
    await revert_import(place.database, 1, by="boss", now_ms=place.clock.now_ms())
    (task,) = (await tasks.plate(ANNA, 0)).tasks
    assert task.lead == LEAD
    assert await place.records.lead_card(LeadId(2)) is None


async def test_a_person_who_is_erased_leaves_no_task(place: Office) -> None:
    tasks = Tasks(place.database)
    await add(tasks, "a", H, LEAD)
    await add(tasks, "b", H)
    await DoNotCall(place.database).erase(LEAD, by="boss", at_ms=9)
    assert [one.title for one in (await tasks.plate(ANNA, 0)).tasks] == ["task b"]
