"""The previewed client on the desk, and the call from the client's page: against the real engine and store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.core.model import LeadId, Outcome
from tests.fakes.office import CONFIG, Office, office
from tests.fakes.waiting import poll
from tests.unit.test_crm_pages import Browser
from tests.unit.test_live_socket import Wire, at_desk

PREVIEW = CONFIG.replace("pacing: {mode: progressive}", "pacing: {mode: preview, seconds: 60, max_skips: 1}", 1)
MANUAL = CONFIG.replace("pacing: {mode: progressive}", "pacing: {mode: manual}", 1)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(tmp_path, text=PREVIEW) as running:
        yield running


async def looking(place: Office, wire: Wire) -> None:
    """Start the shift; the first client is shown."""
    await wire.hello()
    await wire.until("snapshot")
    assert (await wire.do("login"))["type"] == "ack"
    await wire.state("paused")
    await place.dial()
    assert (await wire.do("ready"))["type"] == "ack"
    await wire.state("preview")


async def test_the_card_and_the_countdown_are_there_before_anything_is_dialed(place: Office) -> None:
    async with at_desk(place) as wire:
        await looking(place, wire)
        assert "Іваненко Петро" in wire.shown["work"]
        assert "Новый лид" in wire.shown["work"]
        assert "Іваненко Петро" in wire.shown["bar_who"]
        assert "+380671234501" not in wire.shown["bar_who"]
        assert "Позвоним через" in wire.shown["bar_state"]
        assert "data-until" in wire.shown["bar_state"]
        assert place.switch.ringing() == 0
        assert await place.records.lead_history(LeadId(1)) == ()


async def test_a_dial_from_the_desk_is_on_disk_and_ends_in_a_result(place: Office) -> None:
    async with at_desk(place) as wire:
        await looking(place, wire)
        assert (await wire.do("dial", lead=1))["type"] == "ack"
        await wire.state("reserved")
        (past,) = await place.records.lead_history(LeadId(1))
        assert past.outcome is None
        await poll(lambda: place.switch.ringing() > 0)
        place.switch.answer()
        await wire.state("talking")
        place.switch.customers_hang_up()
        await wire.state("wrap_up")
        said = await wire.do("dispose", attempt=wire.shown["attempt"], disposition="sale", note="", callback="")
        assert said["type"] == "ack"
        await wire.state("preview")
        assert "Сидорова" in wire.shown["work"]


async def test_a_skip_has_its_reason_and_its_limit(place: Office) -> None:
    async with at_desk(place) as wire:
        await looking(place, wire)
        assert (await wire.do("skip", lead=1, reason="nonsense"))["reason"] == "bad_command"
        assert (await wire.do("skip", lead=1, reason="bad_time"))["type"] == "ack"
        await poll(lambda: place.crm.live.board.agents["olena"].previewed is not None)  # type: ignore[index]
        said = await wire.do("skip", lead=2, reason="bad_time")
        assert (said["type"], said["reason"]) == ("nack", "skips_used")
        card = await place.records.lead_card(LeadId(1))
        assert card is not None
        assert card.attempts_count == 0


async def test_who_gives_up_ringing_sees_the_next_client(place: Office) -> None:
    async with at_desk(place) as wire:
        await looking(place, wire)
        await wire.do("dial", lead=1)
        await wire.state("reserved")
        await poll(lambda: place.switch.ringing() > 0)
        assert (await wire.do("hangup", attempt=wire.shown["attempt"]))["type"] == "ack"
        await wire.state("preview")
        await poll(lambda: place.switch.ringing() == 0)
        await wire.do("pause", reason="rest")  # acknowledged: what was decided before is on disk too
        (past,) = await place.records.lead_history(LeadId(1))
        assert past.outcome is Outcome.NO_ANSWER


async def test_a_call_from_the_clients_page_goes_by_the_rules_and_only_to_their_numbers(tmp_path: Path) -> None:
    async with office(tmp_path, text=MANUAL) as place, at_desk(place) as wire, Browser(place) as browser:
        await wire.hello()
        await wire.until("snapshot")
        await browser.sign_in("olena")
        code, page = await browser.get("/leads/1")
        assert code == 200
        assert 'action="/leads/1/dial"' in page
        form = {"key": "0123456789abcdef", "position": "0"}

        async def call(path: str, **changed: str) -> tuple[int, str]:
            async with browser.session.post(path, data=form | changed, allow_redirects=False) as response:
                return response.status, await response.text()

        code, page = await call("/leads/1/dial")
        assert code == 409
        assert "Сначала начните смену" in page
        await wire.do("login")
        await wire.state("paused")
        await place.dial()
        await wire.do("ready")
        await wire.state("ready")
        assert (await call("/leads/1/dial", position="+380501234567"))[0] == 400
        assert (await call("/leads/1/dial", key="1123456789abcdef", position="7"))[0] == 409
        code, page = await call("/leads/1/dial", key="2123456789abcdef")
        assert code == 303
        await wire.state("reserved")
        assert place.switch.ringing() == 1


async def test_a_client_of_another_campaign_is_not_called_from_their_page(tmp_path: Path) -> None:
    async with office(tmp_path, text=MANUAL) as place, at_desk(place, "maria") as wire, Browser(place) as browser:
        await wire.hello()
        await wire.until("snapshot")
        await wire.do("login")
        await wire.state("paused")
        await place.dial()
        await wire.do("ready")
        await wire.state("ready")
        await browser.sign_in("maria")
        form = {"key": "0123456789abcdef", "position": "0"}
        async with browser.session.post("/leads/1/dial", data=form, allow_redirects=False) as response:
            assert response.status == 404
        assert place.switch.ringing() == 0
