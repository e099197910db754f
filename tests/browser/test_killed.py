"""The server is killed in the middle of a conversation: what was acknowledged is there, and the desk comes back."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from playwright.async_api import expect

from engine.core.model import AgentId, AttemptId, LeadId
from engine.store.database import AioDatabase
from engine.store.records import Records
from tests.browser.conftest import WAIT_MS, SignIn
from tests.browser.killed_office import hatch
from tests.browser.steps import NOTE, in_state, on_shift
from tests.fakes.office import PASSWORD, office

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(900)]

KILLS = int(os.environ.get("ZVONAR_KILLS", "100"))
SIDE_BY_SIDE = 3
#: Two seconds on a machine that does nothing else; here a Chromium and two servers start and end meanwhile.
BACK_WITHIN_MS = 6_000
#: Enough for a back-off that doubles to have grown to seconds.
KNOCKS_IN_VAIN = 5
#: Notes in the page itself when the call's buttons can be pressed again: how late a test looks is not measured.
WATCH = """() => {
  window.backAtMs = 0;
  new MutationObserver(() => {
    if (!window.backAtMs && document.querySelector('#bar_buttons [data-do="hangup"]:not(:disabled)'))
      window.backAtMs = Date.now();
  }).observe(document.body, { subtree: true, childList: true, attributes: true });
}"""


class Server:
    """An office in a process of its own."""

    def __init__(self, process: BaseProcess, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.url = ""
        self.port = 0
        self.since_ms = 0
        self._process = process
        self._reader = reader
        self._writer = writer

    async def ready(self) -> None:
        """Returns when it serves."""
        said, port, since_ms = (await self._reader.readline()).decode().split()
        assert said == "ready"
        self.port, self.since_ms = int(port), int(since_ms)
        self.url = f"http://127.0.0.1:{self.port}"

    async def tell(self, what: str) -> None:
        """Something happens on the network."""
        self._writer.write(f"{what}\n".encode())
        assert await self._reader.readline() == b"done\n"

    async def kill(self) -> None:
        """As a power cut would, as far as a process can feel it."""
        self._process.kill()
        await asyncio.to_thread(self._process.join)


@asynccontextmanager
async def serving(directory: Path, port: int = 0, *, again: bool = False, people: bool = True) -> AsyncIterator[Server]:
    directory.mkdir(exist_ok=True)
    process, line = hatch(directory, port, again=again, people=people)
    reader, writer = await asyncio.open_connection(sock=line)
    server = Server(process, reader, writer)
    try:
        await server.ready()
        yield server
    finally:
        await server.kill()
        writer.close()


async def nobody_serves(port: int, knocks: int) -> None:
    """Returns when somebody has asked so often in vain."""
    enough = asyncio.Event()
    counted = itertools.count(1)

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if next(counted) >= knocks:
            enough.set()
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", port):
        await enough.wait()


async def test_a_killed_server_comes_back_with_the_same_desk(tmp_path: Path, sign_in: SignIn) -> None:
    async with serving(tmp_path / "killed") as before:
        page = await sign_in("olena", url=before.url)
        await on_shift(page)
        await before.tell("dial")
        await page.keyboard.press("F2")
        await before.tell("answer")
        await in_state(page, "talking")
        await page.locator("#note").fill(NOTE)
        await expect(page.locator("#kept")).to_have_text("Черновик сохранён")
        await before.tell("remember")
        await before.kill()
        await page.locator("#note").press_sequentially("!")
    await expect(page.locator('#bar_buttons [data-do="hangup"]')).to_be_disabled()
    await page.evaluate(WATCH)
    await nobody_serves(before.port, KNOCKS_IN_VAIN)
    async with serving(tmp_path / "killed", before.port, again=True) as after:
        await expect(page.locator('#bar_buttons [data-do="hangup"]')).to_be_enabled()
        back_ms = await page.evaluate("window.backAtMs") - after.since_ms
        assert back_ms < BACK_WITHIN_MS
        await in_state(page, "talking")
        await expect(page.locator(".card-name")).to_have_text("Іваненко Петро")
        await expect(page.locator("#note")).to_have_value(f"{NOTE}!")
        await after.tell("hang_up")
        await in_state(page, "wrap_up")


class Desk:
    """A desk without a browser: what it sends is the page's protocol."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self._ws = ws
        self._commands = 0
        self.shown: dict[str, Any] = {}

    async def _frame(self) -> dict[str, Any]:
        frame: dict[str, Any] = json.loads(await self._ws.receive_str(timeout=WAIT_MS / 1000))
        self.shown.update(frame)
        return frame

    async def state(self, state: str) -> None:
        while self.shown.get("state") != state:
            await self._frame()

    async def do(self, verb: str, **args: object) -> None:
        """Returns at the moment when the screen would say that it is saved."""
        self._commands += 1
        id_ = f"kill-{verb}-{self._commands}"
        await self._ws.send_json({"type": "do", "id": id_, "verb": verb, "args": args})
        while True:
            frame = await self._frame()
            if frame.get("id") == id_:
                assert frame["type"] == "ack", frame
                return


async def acknowledged_then_killed(directory: Path, *, result: bool) -> str:
    """A note or a result is acknowledged, and the server is killed at once; the attempt."""
    async with serving(directory, people=False) as server:
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(base_url=server.url, cookie_jar=jar, headers={"Origin": server.url}) as http:
            await http.post("/login", data={"login": "olena", "password": PASSWORD})
            async with http.ws_connect("/ws/desk") as ws:
                desk = Desk(ws)
                await ws.send_json({"type": "hello", "since": -1, "desk": "", "build": "", "browser": "one"})
                await desk.do("login")
                await desk.state("paused")
                await desk.do("ready")
                await server.tell("dial")
                await server.tell("answer")
                await desk.state("talking")
                attempt: str = desk.shown["attempt"]
                if result:
                    await desk.do("dispose", attempt=attempt, disposition="sale", note=NOTE, callback="", mine=False)
                else:
                    await desk.do("draft", attempt=attempt, lead=1, text=NOTE)
                await server.kill()
    return attempt


async def survived(made: Path, directory: Path, *, result: bool) -> bool:
    """Whether what was acknowledged is on disk after the kill."""
    directory.mkdir()
    await asyncio.to_thread(shutil.copy, made, directory)
    attempt = AttemptId(await acknowledged_then_killed(directory, result=result))
    async with AioDatabase.open(directory / made.name, now_ms=0) as database:
        records = Records(database)
        if result:
            (past,) = await records.lead_history(LeadId(1))
            return (past.disposition, past.note) == ("sale", NOTE)
        draft = await records.draft(AgentId("olena"), LeadId(1), attempt)
        return draft is not None and draft.text == NOTE


async def test_what_was_acknowledged_survives_a_kill_at_once(tmp_path: Path) -> None:
    room = tmp_path / "made"
    room.mkdir()
    async with office(room):
        pass
    side_by_side = asyncio.Semaphore(SIDE_BY_SIDE)

    async def one(number: int) -> bool:
        async with side_by_side:
            return await survived(room / "office.db", tmp_path / str(number), result=number % 2 == 0)

    kept = await asyncio.gather(*(one(number) for number in range(KILLS)))
    assert sum(kept) == KILLS
