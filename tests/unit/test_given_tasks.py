"""A supervisor gives an operator something to do, and sees what nobody has done in time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from crm_lite.tasks import make_task
from engine.core.model import AgentId, LeadId
from engine.store.tasks import Tasks
from tests.fakes.office import CONFIG, Office, office
from tests.unit.test_crm_pages import Browser

OLENA, MARIA = AgentId("olena"), AgentId("maria")
TASKS = """
tasks:
  types:
    letter: {labels: {ru: Письмо, uk: Лист, en: Letter}, tier: 2}
  per_day_max: 1
"""
H = 3_600_000
LETTER = {"type": "letter", "title": "Отправить договор", "owner": "olena", "when": "завтра 15", "key": "k"}


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(tmp_path, text=CONFIG + TASKS) as running:
        yield running


async def give(browser: Browser, **said: str) -> tuple[int, str]:
    async with browser.session.post("/tasks/given", data=LETTER | said) as response:
        return response.status, await response.text()


async def test_a_task_is_given_seen_by_its_operator_and_overdue_when_nobody_does_it(place: Office) -> None:
    tasks = Tasks(place.database)
    async with Browser(place) as boss:
        await boss.sign_in("boss")
        assert 'href="/tasks?lead=1"' in (await boss.get("/leads/1"))[1]
        assert 'name="lead" inputmode="numeric" maxlength="15" value="1"' in (await boss.get("/tasks?lead=1"))[1]
        status, html = await give(boss, lead="1")
        assert (status, "Задача поставлена" in html, "Просроченных задач нет" in html) == (200, True, True)
        (task,) = (await tasks.plate(OLENA, 0)).tasks
        assert (task.title, task.lead, task.owner) == ("Отправить договор", LeadId(1), OLENA)
        audit = [row for row in await place.records.audit_page() if row.action == "task_given"]
        assert [(row.by, row.detail) for row in audit] == [("boss", "letter to agent:olena")]

        await tasks.postpone(task.id, OLENA, place.clock.now_ms() - 24 * H)
        html = (await boss.get("/tasks"))[1]
        assert "Отправить договор" in html
        assert "Просрочено (1)" in html


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"owner": "nobody"}, "Выберите оператора"),
        ({"title": " "}, "что надо сделать"),
        ({"when": "когда-нибудь"}, "Непонятно"),
        ({"lead": "999"}, "Такого клиента нет"),
        ({"lead": "1", "owner": "maria"}, "не работает в его кампании"),
    ],
)
async def test_what_is_wrong_is_said_and_what_was_typed_stays(
    place: Office, said: dict[str, str], problem: str
) -> None:
    async with Browser(place) as boss:
        await boss.sign_in("boss")
        status, html = await give(boss, **said)
        assert status == 422
        assert problem.lower() in html.lower()
        assert f'value="{(LETTER | said)["when"]}"' in html
    assert (await Tasks(place.database).plate(OLENA, 0)).tasks == ()


async def test_a_full_day_offers_the_next_free_one(place: Office) -> None:
    async with Browser(place) as boss:
        await boss.sign_in("boss")
        assert (await give(boss))[0] == 200
        status, html = await give(boss, key="other")
        assert (status, "занят" in html) == (409, True)
    assert len((await Tasks(place.database).plate(OLENA, 0)).tasks) == 1


async def test_who_may_not_gives_nobody_a_task_whatever_the_way(place: Office) -> None:
    rules, user = place.loaded.policy.tasks, await place.records.user_by_login("olena")
    assert rules is not None
    assert user is not None
    async with Browser(place) as olena:
        await olena.sign_in("olena")
        assert (await give(olena, owner="maria"))[0] == 403
        assert (await olena.get("/tasks"))[0] == 403
    kind, later_ms = rules.types["letter"], place.clock.now_ms() + H
    with pytest.raises(PermissionError):
        await make_task(place.crm, user, owner=MARIA, of=kind, title="x", lead=None, due_at_ms=later_ms, key="a")
    assert (await Tasks(place.database).plate(MARIA, 0)).tasks == ()
