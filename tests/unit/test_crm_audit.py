"""The audit's page: who did what and when, for those who may know."""

from __future__ import annotations

import ast
import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from crm_lite.app import FOR_MACHINES, ROUTES
from crm_lite.audit import ACTIONS, ROWS_PER_PAGE
from crm_lite.auth import Right
from crm_lite.security import SAFE_METHODS
from engine.core.model import RecordAct
from tests.fakes.office import Office, office
from tests.unit.test_crm_pages import Browser

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(tmp_path) as running:
        yield running


#: Actions whose last word is a value: the values it can be.
OF_VALUES = {"recording_": [act.value for act in RecordAct]}


def audited(source: str) -> set[str]:
    """The actions that a module writes into the audit: whatever it calls an action, and what `_audit` is told."""
    said: list[ast.expr] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] != "add_argument":
            said += [keyword.value for keyword in node.keywords if keyword.arg == "action"]
            said += [
                word
                for word in node.args[:3]
                if ast.unparse(node.func).split(".")[-1] == "_audit" and isinstance(word, ast.Constant | ast.IfExp)
            ]
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "action":
            said.append(node.value)
    found: set[str] = set()
    for action in (way for one in said for way in ([one.body, one.orelse] if isinstance(one, ast.IfExp) else [one])):
        if isinstance(action, ast.JoinedStr) and isinstance(action.values[0], ast.Constant):
            prefix = ast.literal_eval(action.values[0])
            found.update(prefix + value for value in OF_VALUES[prefix])
        elif isinstance(action, ast.Constant):
            found.add(str(action.value))
    return found


def test_everything_that_is_written_down_is_said_in_words() -> None:
    written = {
        f"{method} {re.sub(r':[^/]*', '', path.replace('[0-9]{1,15}', '').replace(':}', '}'))}"
        for method, path, _, right in ROUTES
        if method not in SAFE_METHODS and right is not Right.ANYONE and path not in FOR_MACHINES
    }
    for file in (*REPOSITORY.glob("engine/**/*.py"), *REPOSITORY.glob("crm_lite/*.py")):
        written.update(audited(file.read_text("utf-8")))
    assert {"POST /dnc/remove", "POST /tasks/{task}", "handed_out", "lead_skipped", "login_failed"} <= written
    assert {"campaign_stopped", "recording_stop", "callback_moved", "leads_merged"} <= written
    assert written - ACTIONS.keys() == set()


async def test_a_supervisor_reads_who_did_what_by_person_kind_and_day(place: Office) -> None:
    records, now_ms = place.records, place.clock.now_ms()
    await records.add_audit(at_ms=now_ms, by="olena", action="lead_skipped", subject="3", detail="busy")
    await records.add_audit(at_ms=now_ms, by="boss", action="agent_paused", subject="agent:olena")
    await records.add_audit(at_ms=now_ms, by="boss", action="of_tomorrow", subject="<b>campaign</b>")
    await records.add_audit(at_ms=now_ms, by="boss", action="campaign_stopped", subject="spring")
    await records.add_audit(at_ms=now_ms, by="boss", action="POST /dnc", subject="/dnc", detail="422")
    async with Browser(place) as boss:
        await boss.sign_in("boss")
        status, page = await boss.get("/audit")
        assert status == 200
        assert 'href="/leads/3"' in page
        assert "Олена Коваль" in page, "people have names"
        assert "<code>of_tomorrow</code>" in page, "what we have no words for is shown as it is"
        assert "&lt;b&gt;" in page
        assert "Весна" in page, "and campaigns"
        assert "<td>/dnc</td>" not in page
        assert "of_tomorrow" not in (await boss.get("/audit?kind=people"))[1]
        assert 'href="/leads/3"' not in (await boss.get("/audit?who=boss"))[1]
        named = await boss.get("/audit?" + urlencode({"who": "Олена Коваль"}))
        assert 'href="/leads/3"' in named[1]
        assert 'href="/leads/3"' not in (await boss.get("/audit?until=2020-01-01"))[1]
        assert 'href="/leads/3"' in (await boss.get("/audit?since=2020-01-01"))[1]


async def test_its_pages_follow_one_another(place: Office) -> None:
    for number in range(ROWS_PER_PAGE + 3):
        await place.records.add_audit(at_ms=number, by="boss", action="campaign_started", subject=f"n{number}n")
    async with Browser(place) as boss:
        await boss.sign_in("root")
        first = (await boss.get("/audit?kind=campaigns"))[1]
        assert "n52n" in first
        assert "n2n" not in first
        (before,) = re.findall(r"before=(\d+)", first)
        second = (await boss.get(f"/audit?kind=campaigns&before={before}"))[1]
        assert [f"n{n}n" in second for n in (3, 2, 1, 0)] == [False, True, True, True]
        assert "before=" not in second


@pytest.mark.parametrize("query", ["since=yesterday", "until=9999-12-31", "until=2026-02-30"])
async def test_a_day_that_is_none_is_said(place: Office, query: str) -> None:
    async with Browser(place) as boss:
        await boss.sign_in("boss")
        status, page = await boss.get(f"/audit?{query}")
        assert status == 422
        assert 'role="alert"' in page


@pytest.mark.parametrize("query", ["before=-1", "before=x", "before=٣", "kind=nothing", "who=%00", "who=%27"])
async def test_odd_questions_harm_nothing(place: Office, query: str) -> None:
    async with Browser(place) as boss:
        await boss.sign_in("boss")
        assert (await boss.get(f"/audit?{query}"))[0] == 200


async def test_operators_and_engineers_do_not_read_it(place: Office) -> None:
    for login in ("olena", "tech"):
        async with Browser(place) as browser:
            await browser.sign_in(login)
            assert (await browser.get("/audit"))[0] == 403
