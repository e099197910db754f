"""A call promised on a lead's card, outside a conversation: by its pages, the real engine and the real store."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from engine.core.effects import SaveLead, SavePlan
from engine.core.events import AgentLogin, AgentReady, PlanCallback
from engine.core.model import AgentId, CommandId, LeadChange, LeadId, LeadState, PhoneNumber
from engine.store.dnc import DoNotCall
from engine.store.store import Store
from engine.verify import verify
from tests.contract.store_people import change as change_row
from tests.fakes.office import CONFIG, Office, office
from tests.fakes.waiting import poll
from tests.unit.test_crm_pages import Browser

LEAD = LeadId(1)
TIGHT = CONFIG.replace('daily: "00:00-24:00"', 'daily: "09:00-20:00"', 1).replace(
    "    dispositions: [sale, refusal, callback, later, do_not_call]",
    "    callbacks: {own_per_day_max: 1}\n    dispositions: [sale, refusal, callback, later, do_not_call]",
)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(tmp_path, text=TIGHT) as running:
        yield running


def tomorrow(place: Office, hour: int, days: int = 1) -> str:
    """As the page's field has it, on the office's clock."""
    now = datetime.fromtimestamp(place.clock.now_ms() / 1000, place.crm.settings.zone)
    return f"{(now + timedelta(days=days)).date().isoformat()}T{hour:02}:00"


async def change(browser: Browser, act: str, **said: str) -> tuple[int, str]:
    """Press a button of the card's form."""
    _, page = await browser.get("/leads/1")
    key, *_ = re.findall(r'name="key" value="([0-9a-f]{16})"', page[page.index('id="callback"') :])
    async with browser.session.post("/leads/1/callback", data={"act": act, "key": key, **said}) as response:
        return response.status, await response.text()


async def promised(place: Office) -> tuple[LeadState, str, AgentId | None]:
    card = await place.records.lead_card(LEAD)
    assert card is not None
    at = (
        ""
        if card.promised_at_ms is None
        else datetime.fromtimestamp(card.promised_at_ms / 1000, place.crm.settings.zone)
    )
    return card.state, f"{at:%Y-%m-%dT%H:%M}" if at else "", card.owner


async def test_an_operator_promises_moves_and_takes_back_and_undoes_each(place: Office) -> None:
    first, second = tomorrow(place, 15), tomorrow(place, 16, 2)
    async with Browser(place) as olena:
        await olena.sign_in("olena")
        status, page = await change(olena, "plan", text="завтра 15", owner="olena")
        assert (status, "Сохранено" in page) == (200, True)
        assert await promised(place) == (LeadState.CALLBACK, first, "olena")
        await change(olena, "plan", at=second, owner="")
        assert await promised(place) == (LeadState.CALLBACK, second, None)
        _, page = await change(olena, "cancel")
        assert (await promised(place))[0] is LeadState.RETRY
        for state, at in ((LeadState.CALLBACK, second), (LeadState.RETRY, "")):
            (number,) = set(re.findall(r'name="change" value="(\d+)"', page))
            status, page = await change(olena, "undo", change=number)
            assert status == 200
            assert (await promised(place))[:2] == (state, at)
    assert [row.action for row in await place.records.audit_page() if row.action.startswith("callback")] == [
        "callback_taken_back",
        "callback_planned",
        "callback_taken_back",
        "callback_moved",
        "callback_planned",
    ]
    assert await verify(place.database, now_ms=place.clock.now_ms()) == []


async def test_it_is_dialed_within_a_second_of_its_time_though_nothing_else_happens(tmp_path: Path) -> None:
    async with office(tmp_path) as place, Browser(place) as boss:
        await boss.sign_in("boss")
        await close_all(place)
        await place.dial()
        for login in (AgentLogin, AgentReady):
            await place.driver.do(login(command=CommandId(login.__name__), by="olena", agent=AgentId("olena")))
        due_ms = place.clock.now_ms() + 500
        plan = PlanCallback(command=CommandId("plan"), by="boss", lead=LEAD, at_ms=due_ms)
        assert await place.driver.do(plan) == ""
        await poll(lambda: bool(place.switch.customers))
        assert 0 <= place.clock.now_ms() - due_ms < 1_000


async def close_all(place: Office) -> None:
    """Nobody is to be called."""
    closed = [
        SaveLead(LeadChange(lead=LeadId(lead), state=LeadState.CLOSED, rule="no_disposition"), 1)
        for lead in range(1, 7)
    ]
    await Store(place.database).commit(closed)
    place.driver.leads_changed("spring")


async def test_a_colleagues_promise_is_changed_only_by_who_may_hand_over(place: Office) -> None:
    async with Browser(place) as olena, Browser(place) as boss:
        await olena.sign_in("olena")
        await boss.sign_in("boss")
        status, page = await change(olena, "plan", at=tomorrow(place, 15), owner="ivan")
        assert status == 422
        assert "Выберите, кто звонит" in page
        await change(boss, "plan", at=tomorrow(place, 15), owner="ivan")
        assert (await promised(place))[2] == "ivan"
        async with olena.session.post("/leads/1/callback", data={"act": "cancel", "key": "0" * 16}) as response:
            assert response.status == 403
            assert "обещан коллегой" in await response.text()
        assert (await change(boss, "plan", owner="olena"))[0] == 200, "the time stays"
        assert await promised(place) == (LeadState.CALLBACK, tomorrow(place, 15), "olena")
        assert (await change(boss, "plan", owner="maria"))[0] == 422, "she works in another campaign"


async def test_a_call_promised_to_a_colleagues_client_is_the_colleagues_and_undone_by_its_author(
    place: Office,
) -> None:
    await change_row(place.database, "UPDATE leads SET keeper = 'ivan' WHERE id = 1")
    async with Browser(place) as olena:
        await olena.sign_in("olena")
        status, page = await change(olena, "plan", at=tomorrow(place, 15), owner="")
        assert (status, await promised(place)) == (200, (LeadState.CALLBACK, tomorrow(place, 15), "ivan"))
        (number,) = set(re.findall(r'name="change" value="(\d+)"', page))
        assert (await change(olena, "undo", change=number))[0] == 200
        assert (await promised(place))[0] is LeadState.RETRY


async def test_a_full_day_and_a_closed_hour_offer_the_next_free_moment(place: Office) -> None:
    async with Browser(place) as olena:
        await olena.sign_in("olena")
        status, page = await change(olena, "plan", at=tomorrow(place, 22), owner="")
        assert status == 409
        assert f'value="{tomorrow(place, 9, 2)}"' in page
        assert "Часы звонков кампании" in page
        card = await place.records.lead_card(LeadId(2))
        assert card is not None
        at_ms = (
            int(datetime.fromisoformat(tomorrow(place, 12)).replace(tzinfo=place.crm.settings.zone).timestamp()) * 1000
        )
        other = LeadChange(
            lead=card.id, state=LeadState.CALLBACK, next_at_ms=at_ms, owner=AgentId("olena"), rule="planned"
        )
        await Store(place.database).commit([SavePlan(change=other, at_ms=1, by="test")])
        status, page = await change(olena, "plan", at=tomorrow(place, 15), owner="olena")
        assert status == 409
        assert f'value="{tomorrow(place, 15, 2)}"' in page
        asked = await olena.get("/leads/1/callback?text=завтра+15&owner=olena")
        assert f'"at": "{tomorrow(place, 15, 2)}"' in asked[1]


async def test_who_must_not_be_called_gets_no_promise_and_the_card_says_why(place: Office) -> None:
    async with Browser(place) as olena:
        await olena.sign_in("olena")
        numbers = [PhoneNumber("+380671234501")]
        await DoNotCall(place.database).add(numbers, reason="asked", by="boss", at_ms=place.clock.now_ms())
        said = {"act": "plan", "key": "1" * 16, "at": tomorrow(place, 15), "owner": ""}
        async with olena.session.post("/leads/1/callback", data=said) as response:
            assert response.status == 409
            assert "Не звонить" in await response.text()
    assert (await promised(place))[0] is LeadState.SUPPRESSED


async def test_the_same_write_again_promises_nothing_twice(place: Office) -> None:
    change = LeadChange(lead=LEAD, state=LeadState.CALLBACK, next_at_ms=10_000, rule="planned")
    write = SavePlan(change=change, at_ms=5, by="boss")
    for _ in range(2):
        await Store(place.database).commit([write])
    changes = await place.records.callback_changes(LEAD)
    assert [(one.was_state, one.due_at_ms) for one in changes] == [(LeadState.NEW, 10_000)]
    (open_one,) = await place.records.callbacks_due(20_000)
    assert (open_one.lead, open_one.due_at_ms) == (LEAD, 10_000)


async def test_what_happened_since_is_not_undone(place: Office) -> None:
    async with Browser(place) as olena:
        await olena.sign_in("olena")
        _, page = await change(olena, "plan", at=tomorrow(place, 15), owner="")
        (number,) = set(re.findall(r'name="change" value="(\d+)"', page))
        await change(olena, "plan", at=tomorrow(place, 16), owner="")
        status, page = await change(olena, "undo", change=number)
        assert status == 409
        assert "уже нельзя отменить" in page
    assert (await promised(place))[1] == tomorrow(place, 16)
