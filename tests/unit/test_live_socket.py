"""The live socket against the real engine: pops, commands that happen once, gaps, takeovers, a lost store."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from crm_lite.auth import token_hash
from crm_lite.live_protocol import FRAMES_PER_BROWSER_MAX, Close
from crm_lite.tasks import look_again
from engine.core.events import ConfigChanged, StoreDown, StoreUp
from engine.core.model import AgentId, AgentState, CallingHours, LeadId, SystemPause
from engine.store.errors import StoreLockedError
from engine.store.tasks import Tasks
from tests.fakes.office import CAMPAIGN, CONFIG, PEOPLE, Office, office
from tests.fakes.waiting import poll
from tests.unit.test_crm_pages import Browser

OLENA = AgentId("olena")


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(tmp_path) as running:
        yield running


class Wire:
    """A browser's end of the live socket, without the browser."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws
        self.seq = -1
        self.desk = ""
        self.shown: dict[str, Any] = {}
        self._commands = 0

    async def hello(self, *, since: int = -1, desk: str = "", browser: str = "computer-1", take: bool = False) -> None:
        said = {"since": since, "desk": desk, "build": "", "browser": browser, "take": take}
        await self.ws.send_json({"type": "hello", **said})

    async def frame(self) -> dict[str, Any]:
        """The next frame; what it shows is kept in `shown`."""
        frame: dict[str, Any] = json.loads(await self.ws.receive_str(timeout=15))
        if frame["type"] == "welcome":
            self.desk = frame["desk"]
        elif frame["type"] not in ("ack", "nack", "ping", "bye"):
            self.seq = frame["seq"]
            self.shown.update(frame)
        return frame

    async def until(self, kind: str, **wanted: object) -> dict[str, Any]:
        """Read on until a frame of that kind with these values."""
        while True:
            frame = await self.frame()
            if frame["type"] == kind and all(frame.get(key) == value for key, value in wanted.items()):
                return frame

    async def state(self, state: str) -> None:
        """Read on until the desk shows this state."""
        while self.shown.get("state") != state:
            await self.frame()

    async def do(self, verb: str, id_: str = "", **args: object) -> dict[str, Any]:
        """Send a command and read on until its answer."""
        self._commands += 1
        id_ = id_ or f"command-{id(self)}-{self._commands}"
        await self.ws.send_json({"type": "do", "id": id_, "verb": verb, "args": args})
        while True:
            frame = await self.frame()
            if frame.get("id") == id_:
                return frame


@asynccontextmanager
async def at_desk(place: Office, login: str = "olena", feed: str = "desk") -> AsyncIterator[Wire]:
    async with Browser(place) as browser:
        await browser.sign_in(login)
        async with browser.session.ws_connect(f"/ws/{feed}", autoping=True) as ws:
            wire = Wire(ws)
            yield wire


async def in_conversation(place: Office, wire: Wire) -> str:
    """Start the shift, take the first call; returns the attempt."""
    await wire.hello()
    await wire.until("snapshot")
    assert (await wire.do("login"))["type"] == "ack"
    await wire.state("paused")
    await place.dial()
    assert (await wire.do("ready"))["type"] == "ack"
    await poll(lambda: place.switch.ringing() > 0)
    place.switch.answer()
    await wire.state("talking")
    return str(wire.shown["attempt"])


async def closed_with(ws: aiohttp.ClientWebSocketResponse) -> int:
    """The close code that the server sent. Not `ws.close_code`: that is 1006 when our polite answer comes too late."""
    while (message := await ws.receive()).type is aiohttp.WSMsgType.TEXT:
        pass
    return int(message.data)


async def test_a_new_reader_gets_welcome_and_the_whole_desk(place: Office) -> None:
    async with at_desk(place) as wire:
        await wire.hello()
        assert (await wire.frame())["type"] == "welcome"
        snapshot = await wire.frame()
        assert snapshot["type"] == "snapshot"
        assert snapshot["state"] == "logged_out"
        assert "101" in snapshot["work"]


async def test_the_card_pops_when_the_customer_answers(place: Office) -> None:
    async with at_desk(place) as wire:
        await in_conversation(place, wire)
        assert wire.shown["name"] == "Іваненко Петро"
        assert "Київ" in wire.shown["work"]
        assert "Новый лид" in wire.shown["work"]
        assert "+380671234501" not in wire.shown["work"]
        assert "…4501" in wire.shown["work"]


async def test_a_result_is_on_disk_when_it_is_acknowledged_and_the_next_call_may_come(place: Office) -> None:
    async with at_desk(place) as wire:
        attempt = await in_conversation(place, wire)
        place.switch.customers_hang_up()
        await wire.state("wrap_up")
        answer = await wire.do("dispose", attempt=attempt, disposition="sale", note="две бутыли")
        assert answer["type"] == "ack"
        (past,) = [past for past in await place.records.lead_history(1) if past.id == attempt]  # type: ignore[arg-type]
        assert (past.disposition, past.note) == ("sale", "две бутыли")
        await wire.state("ready")
        assert wire.shown["attempt"] == ""


async def test_the_result_of_a_call_is_given_though_its_campaign_is_gone_from_the_file(place: Office) -> None:
    async with at_desk(place) as wire:
        await wire.hello()
        await wire.do("login")
        await wire.state("paused")
        await place.dial()
        await wire.do("ready")
        await poll(lambda: place.switch.ringing() > 0)
        policy = place.driver.policy()
        without = {id_: one for id_, one in policy.campaigns.items() if id_ != CAMPAIGN}
        place.driver.offer(ConfigChanged(replace(policy, campaigns=without)))
        await poll(lambda: CAMPAIGN not in place.driver.policy().campaigns)
        place.switch.answer()
        await wire.state("talking")
        place.switch.customers_hang_up()
        await wire.state("wrap_up")
        assert 'value="sale"' in wire.shown["work"]
        assert (await wire.do("dispose", attempt=wire.shown["attempt"], disposition="sale"))["type"] == "ack"
        await wire.state("ready")


async def test_the_same_command_again_is_done_once_and_answered_again(place: Office) -> None:
    async with at_desk(place) as wire:
        attempt = await in_conversation(place, wire)
        place.switch.customers_hang_up()
        await wire.state("wrap_up")
        result = {"attempt": attempt, "disposition": "sale", "note": ""}
        assert (await wire.do("dispose", "the-one-and-only", **result))["type"] == "ack"
        assert (await wire.do("dispose", "the-one-and-only", **result))["type"] == "ack"
        assert len(await place.records.disposition_history(attempt)) == 1  # type: ignore[arg-type]


async def test_another_operator_cannot_reuse_a_command_id(place: Office) -> None:
    async with at_desk(place) as olena, at_desk(place, "ivan") as ivan:
        for wire in (olena, ivan):
            await wire.hello()
            await wire.until("snapshot")
            assert (await wire.do("login", "the-same-id"))["type"] == "ack"
        states = {agent.id: agent.state for agent in place.driver.snapshot().agents}
        assert AgentState.LOGGED_OUT not in (states["olena"], states["ivan"])  # type: ignore[index]


async def test_in_a_conversation_one_hears_who_waits_in_the_queue_and_nothing_else_is_rendered(place: Office) -> None:
    async with at_desk(place) as wire:
        await in_conversation(place, wire)
        assert "очередь <b>0</b>" in wire.shown["counts"]
        caller = place.switch.call_in(PEOPLE[4][1])
        for waiting in (1, 0):
            frame = await wire.frame()
            while f"очередь <b>{waiting}</b>" not in wire.shown["counts"]:
                frame = await wire.frame()
            assert set(frame) - {"v", "seq", "type", "now"} == {"counts"}
            place.switch.hang_up(caller)


async def test_missed_frames_are_sent_again(place: Office) -> None:
    async with at_desk(place) as wire:
        await wire.hello()
        await wire.until("snapshot")
        await wire.do("login")
        await wire.state("paused")
        desk, seq = wire.desk, wire.seq
    await place.dial()
    async with at_desk(place) as wire:
        await wire.hello(since=seq, desk=desk)
        await wire.do("ready")
        await wire.state("ready")
    async with at_desk(place) as wire:
        await wire.hello(since=seq, desk=desk)
        assert (await wire.frame())["type"] == "welcome"
        again = await wire.frame()
        assert again["type"] != "snapshot"
        assert again["seq"] == seq + 1


async def test_the_feed_of_another_start_needs_a_snapshot(place: Office) -> None:
    async with at_desk(place) as wire:
        await wire.hello(since=3, desk="olena-of-yesterday")
        await wire.frame()
        assert (await wire.frame())["type"] == "snapshot"


async def test_a_reload_in_a_conversation_brings_the_same_desk_with_the_note(place: Office) -> None:
    async with at_desk(place) as wire:
        attempt = await in_conversation(place, wire)
        assert (await wire.do("draft", attempt=attempt, lead=1, text="просил счёт"))["type"] == "ack"
        before = dict(wire.shown)
    async with at_desk(place) as wire:
        await wire.hello()
        after = await wire.until("snapshot")
        assert (after["attempt"], after["state"], after["work"]) == (attempt, "talking", before["work"])
        assert after["draft"]["text"] == "просил счёт"


async def test_a_second_computer_asks_before_it_takes_the_desk_and_the_first_is_told(place: Office) -> None:
    async with at_desk(place) as first, at_desk(place) as asking, at_desk(place) as second:
        await first.hello(browser="computer-1")
        await first.until("snapshot")
        await asking.hello(browser="computer-2")
        assert (await asking.until("bye"))["reason"] == "occupied"
        assert await closed_with(asking.ws) == Close.OCCUPIED
        assert not first.ws.closed
        await second.hello(browser="computer-2", take=True)
        await second.until("snapshot")
        assert (await first.until("bye"))["reason"] == "taken"
        assert await closed_with(first.ws) == Close.TAKEN_OVER


async def test_two_tabs_of_one_computer_share_the_desk(place: Office) -> None:
    async with at_desk(place) as one, at_desk(place) as two:
        for wire in (one, two):
            await wire.hello()
            await wire.until("snapshot")
        await one.do("login")
        await two.state("paused")
        assert not one.ws.closed


async def test_a_button_meant_for_the_last_call_does_not_end_this_one(place: Office) -> None:
    async with at_desk(place) as wire:
        await in_conversation(place, wire)
        answer = await wire.do("hangup", attempt="1-999")
        assert (answer["type"], answer["reason"]) == ("nack", "no_call")
        assert wire.shown["state"] == "talking"


async def test_hold_and_resume(place: Office) -> None:
    async with at_desk(place) as wire:
        attempt = await in_conversation(place, wire)
        await wire.do("hold", attempt=attempt, on=True)
        await wire.state("held")
        await wire.do("hold", attempt=attempt, on=False)
        await wire.state("talking")


async def test_an_unregistered_phone_is_named_at_the_start_of_the_shift(place: Office) -> None:
    place.switch.phone("101", registered=False)
    async with at_desk(place) as wire:
        await wire.hello()
        snapshot = await wire.until("snapshot")
        if "не зарегистрирован" not in snapshot["work"]:
            assert "не зарегистрирован" in (await wire.until("idle"))["work"]
        answer = await wire.do("login")
        assert answer["reason"] == "phone_not_registered"
        assert "не зарегистрирован" in answer["words"]


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        ({"disposition": "callback", "callback": ""}, "callback_time_needed"),
        ({"disposition": "callback", "callback": "2001-01-01T10:00"}, "callback_in_past"),
        ({"disposition": "callback", "callback": "tomorrow"}, "callback_in_past"),
        ({"disposition": "callback", "callback": "2999-01-01T10:00"}, "callback_in_past"),
        ({"disposition": "nonsense"}, "unknown_disposition"),
        ({"disposition": 7}, "bad_command"),
        ({"disposition": "sale", "note": "x" * 9000}, "bad_command"),
    ],
)
async def test_a_result_that_makes_no_sense_is_refused_in_words(
    place: Office, args: dict[str, Any], reason: str
) -> None:
    async with at_desk(place) as wire:
        attempt = await in_conversation(place, wire)
        answer = await wire.do("dispose", "", attempt=attempt, **args)
        assert (answer["type"], answer["reason"]) == ("nack", reason)
        assert answer["words"]
        assert "Отказано" not in answer["words"]


async def test_a_call_is_promised_in_words_and_not_where_there_is_no_room(place: Office) -> None:
    async with at_desk(place) as wire:
        attempt = await in_conversation(place, wire)
        async with Browser(place) as browser:
            await browser.sign_in("olena")
            heard = json.loads((await browser.get("/desk/when?lead=1&text=послезавтра 15:00"))[1])
            assert heard["at"].endswith("T15:00")
            assert "15:00" in heard["words"]
            assert json.loads((await browser.get("/desk/when?lead=1&text=когда-нибудь"))[1])["at"] == ""
            assert (await browser.get("/desk/when?lead=99999&text=завтра"))[0] == 404
        policy = place.driver.policy()
        closed = replace(policy.campaigns[CAMPAIGN], hours=CallingHours(spans=((),) * 7, zone="Europe/Kyiv"))
        place.driver.offer(ConfigChanged(replace(policy, campaigns={**policy.campaigns, CAMPAIGN: closed})))
        await poll(lambda: place.driver.policy().campaigns[CAMPAIGN] == closed)
        said = await wire.do("dispose", attempt=attempt, disposition="callback", callback=heard["at"])
        assert (said["type"], said["reason"]) == ("nack", "callback_never")


async def test_a_store_that_does_not_save_is_said_honestly(place: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    async with at_desk(place) as wire:
        attempt = await in_conversation(place, wire)

        async def locked(*_: object) -> None:
            raise StoreLockedError("locked by the test")

        async def not_in_time(_: object) -> str:
            raise TimeoutError

        with monkeypatch.context() as broken:
            broken.setattr(place.driver, "do", not_in_time)
            broken.setattr(place.crm.records, "save_draft", locked)
            assert (await wire.do("dispose", attempt=attempt, disposition="sale"))["reason"] == "not_saved"
            assert (await wire.do("draft", attempt=attempt, lead=1, text="x"))["reason"] == "not_saved"
        assert (await wire.do("dispose", attempt=attempt, disposition="sale"))["type"] == "ack"


async def test_a_card_that_could_not_be_read_comes_as_soon_as_it_can(
    place: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def locked(*_: object) -> None:
        raise StoreLockedError("locked by the test")

    async with at_desk(place) as wire:
        with monkeypatch.context() as broken:
            broken.setattr(place.crm.records, "conversation", locked)
            await in_conversation(place, wire)
            assert "Іваненко" not in wire.shown["work"]
            assert 'id="note"' in wire.shown["work"]
        card = await wire.until("card")
        assert "Іваненко" in card["islands"]["client"]


async def test_a_store_that_does_not_answer_leaves_who_waits_for_next_their_desk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def locked(*_: object) -> None:
        raise StoreLockedError("locked by the test")

    letters = "\ntasks: {types: {letter: {labels: {ru: Письмо, uk: Лист, en: Letter}, tier: 2}}}\n"
    async with office(tmp_path, text=CONFIG + letters) as place, at_desk(place) as wire:
        await wire.hello()
        await wire.until("snapshot")
        await wire.do("login")
        await wire.state("paused")
        await wire.do("ready")
        await wire.state("ready")
        assert (await wire.do("next"))["type"] == "ack", "nothing is there yet: their desk asks again"
        monkeypatch.setattr(Tasks, "plate", locked)
        look_again(place.crm, OLENA)
        place.driver.offer(StoreDown("locked by the test"))
        while "База данных не сохраняет" not in wire.shown["work"]:
            await wire.frame()


async def test_signing_out_closes_the_socket(place: Office) -> None:
    async with at_desk(place) as wire:
        await wire.hello()
        await wire.until("snapshot")
        place.crm.live.sign_out_user("olena")
        assert await closed_with(wire.ws) == Close.SIGNED_OUT


async def test_a_session_that_ended_elsewhere_does_nothing_more(place: Office) -> None:
    async with Browser(place) as browser:
        token = (await browser.sign_in("olena")).cookies["zvonar"].value
        async with browser.session.ws_connect("/ws/desk") as ws:
            wire = Wire(ws)
            await wire.hello()
            await wire.until("snapshot")
            session = await place.crm.sessions.find(token)
            assert session is not None
            await place.crm.sessions.end(session)
            assert await place.records.session(token_hash(token)) is None
            assert (await wire.do("login"))["reason"] == "signed_out"
            assert await closed_with(ws) == Close.SIGNED_OUT


async def test_who_is_not_signed_in_is_told_by_the_close_code(place: Office) -> None:
    async with Browser(place) as browser, browser.session.ws_connect("/ws/desk") as ws:
        assert await closed_with(ws) == Close.SIGNED_OUT


async def test_nonsense_closes_the_socket(place: Office) -> None:
    async with at_desk(place) as wire:
        await wire.ws.send_str("nonsense")
        assert await closed_with(wire.ws) == Close.BAD_MESSAGE


async def test_a_browser_that_does_not_read_is_sent_away_for_a_snapshot(place: Office) -> None:
    async with at_desk(place) as wire:
        await wire.hello()
        await wire.until("snapshot")
        (socket,) = place.crm.live.find("desk:olena").sockets  # type: ignore[union-attr]
        for _ in range(FRAMES_PER_BROWSER_MAX + 1):
            socket.put("{}")
        while not wire.ws.closed:
            assert await closed_with(wire.ws) == Close.OVERFLOW


async def test_a_restart_says_come_back(place: Office) -> None:
    async with at_desk(place) as wire:
        await wire.hello()
        await wire.until("snapshot")
        await place.crm.live.shut()
        while not wire.ws.closed:
            assert await closed_with(wire.ws) == Close.RESTART


async def test_a_changed_language_renders_the_desk_anew(place: Office) -> None:
    async with Browser(place) as browser:
        await browser.sign_in("olena")
        async with browser.session.ws_connect("/ws/desk") as ws:
            wire = Wire(ws)
            await wire.hello()
            assert "Смена не начата" in (await wire.until("snapshot"))["work"]
            await browser.session.post("/profile", data={"language": "uk", "theme": "auto"})
            while not ws.closed:
                await ws.receive()
        async with browser.session.ws_connect("/ws/desk") as ws:
            wire = Wire(ws)
            await wire.hello()
            assert "Зміну не розпочато" in (await wire.until("snapshot"))["work"]
            assert (await wire.do("login"))["type"] == "ack"
            await wire.state("paused")


async def test_a_recording_is_heard_by_those_who_may_and_that_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "recorded"
    folder.mkdir()
    text = CONFIG.replace("    ring_timeout: 30s\n", "    ring_timeout: 30s\n    recording: {mode: always}\n", 1)
    async with office(tmp_path, text=f"{text}recordings: {{folder: {folder}}}\n") as place:
        async with at_desk(place) as wire:
            attempt = await in_conversation(place, wire)
            place.switch.customers_hang_up()
            await wire.state("wrap_up")
            assert (await wire.do("dispose", attempt=attempt, disposition="sale", note=""))["type"] == "ack"
        (name,) = await place.records.recordings(LeadId(1))
        (folder / f"{name}.wav").write_bytes(b"RIFF")
        heard = f"/leads/1/recordings/{name}"
        async with Browser(place) as olena, Browser(place) as boss:
            await olena.sign_in("olena")
            await boss.sign_in("boss")
            assert heard not in (await olena.get("/leads/1"))[1]
            assert (await olena.get(heard))[0] == 403
            assert f'src="{heard}"' in (await boss.get("/leads/1"))[1]
            assert await boss.get(heard) == (200, "RIFF")
            assert (await boss.get("/leads/2/recordings/" + name))[0] == 404
        assert ("boss", "recording_heard", name) in {
            (row.by, row.action, row.subject) for row in await place.records.audit_page()
        }


async def test_who_left_the_desk_gets_no_calls_after_a_while_and_is_told(
    place: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crm_lite.live.LOST_DESK_AFTER_MS", 200)
    monkeypatch.setattr("crm_lite.live.PROBLEMS_EVERY_MS", 50)
    board = place.crm.live.board
    async with at_desk(place) as wire:
        await in_conversation(place, wire)
        await place.dial(running=False)
    left_ms = place.clock.now_ms()
    await poll(lambda: place.clock.now_ms() > left_ms + 400)
    assert board.agents[OLENA].state is AgentState.TALKING  # who talks is not cut off
    place.switch.customers_hang_up()
    async with at_desk(place) as wire:
        await wire.hello()
        await wire.state("wrap_up")
        answer = await wire.do("dispose", attempt=wire.shown["attempt"], disposition="sale", note="")
        assert answer["type"] == "ack"
        await wire.state("ready")
    await poll(lambda: board.agents[OLENA].pause_reason == SystemPause.LOST_DESK)
    async with at_desk(place) as wire:
        await wire.hello()
        await wire.until("snapshot")
        assert wire.shown["state"] == "paused"
        assert "не открылась бы" in wire.shown["work"]


async def test_the_floor_shows_agents_calls_and_campaigns(place: Office) -> None:
    async with at_desk(place) as olena, at_desk(place, "boss", "floor") as boss:
        await boss.hello()
        islands: dict[str, str] = (await boss.until("snapshot"))["islands"]
        await in_conversation(place, olena)
        while "+380671234501" not in islands["calls"] or "Разговор" not in islands["agents"]:
            islands.update((await boss.frame()).get("islands", {}))
        assert "Олена Коваль" in islands["agents"]
        assert "Весна" in islands["campaigns"]


async def test_the_floor_shows_a_caller_who_withholds_the_number(place: Office) -> None:
    async with at_desk(place) as olena, at_desk(place, "boss", "floor") as boss:
        await boss.hello()
        islands: dict[str, str] = (await boss.until("snapshot"))["islands"]
        await olena.hello()
        await olena.do("login")
        await olena.state("paused")
        await olena.do("ready")
        place.switch.call_in("")
        while "Олена Коваль" not in islands["calls"] or "Разговор" not in islands["agents"]:
            islands.update((await boss.frame()).get("islands", {}))
        assert "None" not in islands["calls"] + islands["agents"]


async def test_who_is_no_client_is_never_the_caller(place: Office) -> None:
    async with at_desk(place) as olena:
        await olena.hello()
        await olena.do("login")
        await olena.state("paused")
        await olena.do("ready")
        place.switch.call_in("+380501112233")
        await olena.state("talking")
        nobody: tuple[object, ...] = (1, "1", None, {}, [])
        for lead in nobody:
            said = await olena.do("attach", attempt=olena.shown["attempt"], lead=lead)
            assert said["reason"] == "bad_command", lead


async def test_the_floor_answers_why_so_many_calls(place: Office) -> None:
    async with at_desk(place) as olena, at_desk(place, "boss", "floor") as boss:
        await boss.hello()
        islands: dict[str, str] = (await boss.until("snapshot"))["islands"]
        await in_conversation(place, olena)
        while "Почему" not in islands["campaigns"]:
            islands.update((await boss.frame()).get("islands", {}))
        assert "Операторы: готовы" in islands["campaigns"]


async def test_the_floor_says_when_the_switch_is_lost_and_when_it_is_back(place: Office) -> None:
    async with at_desk(place, "boss", "floor") as boss:
        await boss.hello()
        await boss.until("snapshot")
        place.switch.lose()
        while "Нет связи с АТС" not in (await boss.until("floor"))["islands"].get("problems", ""):
            pass
        place.switch.come_back()
        while (await boss.until("floor"))["islands"].get("problems", "?").strip():
            pass


async def test_the_floor_says_why_nothing_is_saved_and_when_it_is_again(place: Office) -> None:
    async with at_desk(place, "boss", "floor") as boss:
        await boss.hello()
        await boss.until("snapshot")
        place.driver.offer(StoreDown("the disk is full"))
        while "the disk is full" not in (told := (await boss.until("floor"))["islands"].get("problems", "")):
            pass
        assert "База данных не сохраняет: звонки не набираются" in told
        place.driver.offer(StoreUp())
        while (await boss.until("floor"))["islands"].get("problems", "?").strip():
            pass


async def test_only_those_with_the_right_start_campaigns(place: Office) -> None:
    async with at_desk(place, "tech", "floor") as tech, at_desk(place, "boss", "floor") as boss:
        for wire in (tech, boss):
            await wire.hello()
            await wire.until("snapshot")
        assert (await tech.do("campaign", campaign="spring", running=True))["reason"] == "forbidden"
        assert (await boss.do("campaign", campaign="spring", running=True))["type"] == "ack"
        assert (await boss.do("campaign", campaign="nope", running=True))["reason"] == "unknown_campaign"
        assert (await boss.do("ready"))["reason"] == "bad_command"
