"""Leads out of the house: the right ones, with their results, and nothing in the file that a spreadsheet would run."""

from __future__ import annotations

import csv
from datetime import UTC
from pathlib import Path

import pytest
import python_calamine

from engine.core.effects import SaveAnswer, SaveAttempt, SaveDisposition, SaveEnd
from engine.core.model import CampaignId, DispositionId, LeadId, LeadState, Outcome
from engine.leads import export as exporting
from engine.leads.export import Labels, TooManyLeads, export_leads
from engine.store.database import InlineDatabase
from engine.store.dnc import DoNotCall
from engine.store.exports import PAGE_MAX, Wanted
from engine.store.store import Store
from tests.contract.store_people import ANNA, NOON, SPRING, add_lead, attempt, change, closed, ended, number, talking
from tests.fakes.office import office
from tests.unit.test_crm_pages import Browser
from tests.unit.test_do_not_call import shell

LABELS = Labels(dispositions={"sale": "Продажа"}, fields={"city": "Город"})
EVIL = '=HYPERLINK("http://evil.example";"x")'


async def sold(database: InlineDatabase, lead: int, at_ms: int) -> None:
    talk = talking(attempt(lead, lead, at_ms=at_ms))
    await Store(database).commit([SaveAttempt(attempt(lead, lead, at_ms=at_ms)), SaveAnswer(talk)])
    await Store(database).commit([SaveEnd(ended(talk, Outcome.CONNECTED), None)])
    said = SaveDisposition(
        attempt=talk.id,
        lead=LeadId(lead),
        agent=ANNA,
        disposition=DispositionId("sale"),
        note="@cmd",
        at_ms=at_ms + 60_000,
        change=closed(lead),
    )
    await Store(database).commit([said])


async def written(database: InlineDatabase, path: Path, wanted: Wanted | None = None) -> list[dict[str, str]]:
    count = await export_leads(database, path, wanted or Wanted(), labels=LABELS, zone=UTC, by="boss", now_ms=NOON)
    if path.suffix == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            found = list(csv.DictReader(file, delimiter=";"))
    else:
        sheet = python_calamine.load_workbook(str(path)).get_sheet_by_index(0).to_python()
        found = [dict(zip(map(str, sheet[0]), map(str, row), strict=True)) for row in sheet[1:]]
    assert len(found) == count
    return found


@pytest.fixture
def database(tmp_path: Path):  # type: ignore[no-untyped-def]
    with InlineDatabase.open(tmp_path / "zvonar.db", now_ms=0, durable=False) as opened:
        yield opened


async def people(database: InlineDatabase) -> None:
    """1 was sold to on a day, 2 waits, 3 is of another campaign, 4 was erased."""
    await add_lead(database, 1, numbers=(number(1), number(1, 1)))
    await add_lead(database, 2, numbers=(number(2),))
    await add_lead(database, 3, campaign=CampaignId("autumn"))
    await add_lead(database, 4)
    await change(database, "UPDATE leads SET name = :name WHERE id = 2", name=EVIL)
    await change(
        database,
        """UPDATE leads SET source = 'shop', fields = '{"city": "Дніпро", "Сайт": "-1+2"}' WHERE id = 1""",
    )
    await change(database, "UPDATE leads SET tags = :tags WHERE id = 2", tags='["опт"]')
    await change(database, "UPDATE leads SET keeper = 'anna', list = 'Май' WHERE id = 3")
    await sold(database, 1, NOON)
    await DoNotCall(database).erase(LeadId(4), by="boss", at_ms=NOON)


@pytest.mark.parametrize("kind", [".csv", ".xlsx"])
async def test_leads_are_written_with_their_results(database: InlineDatabase, tmp_path: Path, kind: str) -> None:
    await people(database)
    await change(database, "UPDATE phones SET type = 'work' WHERE lead_id = 1 AND position = 1")
    one, two, three = await written(database, tmp_path / f"out{kind}")
    assert [one[f"Type of phone {position}"] for position in (1, 2, 3)] == ["", "work", ""]
    assert (one["Phone 1"], one["Phone 2"], one["Result"], one["Город"], one["Operator"]) == (
        number(1).e164,
        number(1, 1).e164,
        "Продажа",
        "Дніпро",
        "anna",
    )
    assert (one["State"], one["Attempts"].removesuffix(".0"), one["Partner"]) == ("closed", "1", "shop")
    assert (three["Campaign"], three["List"]) == ("autumn", "Май")
    if kind == ".csv":
        assert (two["Name"], one["Note"], one["Сайт"]) == ("'" + EVIL, "'@cmd", "'-1+2")
    else:
        assert (two["Name"], one["Note"]) == (EVIL, "@cmd")
        assert b"<f>" not in (tmp_path / f"out{kind}").read_bytes()


@pytest.mark.parametrize(
    ("wanted", "leads"),
    [
        (Wanted(campaign=SPRING), [1, 2]),
        (Wanted(state=LeadState.NEW), [2, 3]),
        (Wanted(disposition=DispositionId("sale")), [1]),
        (Wanted(source="shop"), [1]),
        (Wanted(tag="опт"), [2]),
        (Wanted(list_name="Май"), [3]),
        (Wanted(keeper=ANNA), [3]),
        (Wanted(since_ms=NOON, until_ms=NOON + 3_600_000), [1]),
        (Wanted(since_ms=NOON + 3_600_000), []),
        (Wanted(campaign=CampaignId("none")), []),
    ],
)
async def test_filters_choose(database: InlineDatabase, tmp_path: Path, wanted: Wanted, leads: list[int]) -> None:
    await people(database)
    assert [int(row["Lead"]) for row in await written(database, tmp_path / "out.csv", wanted)] == leads


async def test_many_leads_are_written_page_by_page(database: InlineDatabase, tmp_path: Path) -> None:
    await change(
        database,
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)"
        " INSERT INTO leads (id, campaign_id, created_at_ms, updated_at_ms) SELECT i, 'spring', 0, 0 FROM n",
        count=PAGE_MAX * 2 + 1,
    )
    assert len(await written(database, tmp_path / "out.csv")) == PAGE_MAX * 2 + 1


async def test_what_no_sheet_holds_is_refused(
    database: InlineDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await people(database)
    monkeypatch.setattr(exporting, "XLSX_LEADS_MAX", 2)
    with pytest.raises(TooManyLeads, match="choose CSV"):
        await written(database, tmp_path / "out.xlsx")
    with pytest.raises(ValueError, match="ends in"):
        await written(database, tmp_path / "out.doc")


async def test_a_supervisor_downloads_a_file_and_an_operator_does_not(tmp_path: Path) -> None:
    async with office(tmp_path) as place, Browser(place) as boss, Browser(place) as olena:
        await boss.sign_in("boss")
        await olena.sign_in("olena")
        form = {"campaign": "spring", "state": "new", "kind": ".csv", "since": "", "until": ""}
        async with boss.session.post("/export", data=form) as response:
            assert response.status == 200
            assert (await response.read()).decode("utf-8-sig").count("\r\n") == 7
        async with olena.session.post("/export", data=form) as response:
            assert response.status == 403
        for wrong in ({"state": "x"}, {"kind": ".exe"}, {"since": "yesterday"}):
            async with boss.session.post("/export", data={**form, **wrong}) as response:
                assert response.status == 422
        assert "leads_exported" in {row.action for row in await place.records.audit_page()}


async def test_the_shell_writes_a_file(tmp_path: Path) -> None:
    async with office(tmp_path):
        said = await shell(tmp_path, "export", str(tmp_path / "out.csv"), "--campaign", "spring")
    assert said.endswith("out.csv: 6 leads\n")
