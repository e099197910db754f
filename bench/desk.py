"""300 desks on one engine: how soon the card is on the glass, how soon a button is answered, what a desk costs.

    python -m bench.desk [--desks 300] [--seconds 60]

The server is a process of its own: the whole engine with its database and pages, and the tests' switch that plays the
network, so that the pages are measured and not a telephone. One desk is a real Chromium, whose script does what an
operator's hands would; the others are sockets that speak the pages' protocol: each takes calls, keeps a note and gives
results. Answer → painted is the server's clock at the answer and the browser's two frames after the card came into the
page. The floors are a bare aiohttp WebSocket that sends each message back, and one that commits it to SQLite first, in
the same server process, over as many sockets at the same rate, right after the desks: on a busy machine compare with
them. The last line is RESULT and JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiohttp import web
from playwright.async_api import Page, async_playwright

from crm_lite.app import make_app
from crm_lite.auth import token_hash
from engine.clock import WallClock
from engine.config import Loaded, parse
from engine.core import effects
from engine.core.events import CampaignSwitched
from engine.core.floor import Floor
from engine.core.model import AgentId, CampaignId, CommandId, LegId, PhoneNumber
from engine.driver import Driver
from engine.store.clientorders import SQL as ORDERS
from engine.store.database import AioDatabase
from engine.store.imports import import_leads
from engine.store.queries import Statement
from engine.store.records import Records
from engine.store.rows import Role, User
from engine.store.store import Store
from tests.fakes.office import FakeSwitch, Person

CAMPAIGN: Final = CampaignId("bench")
#: The seen desk has a campaign of its own: nobody of it ever waits for somebody else's desk.
SEEN_CAMPAIGN: Final = CampaignId("seen")
#: The desk in Chromium, whose customers are brief: more cards in the same time.
SEEN: Final = "a000"
SEEN_TALK_S: Final = 0.8
TALK_S: Final = (8.0, 20.0)
RINGS_S: Final = (0.3, 1.5)
NOTE: Final = "Просит перезвонить завтра после обеда, интересуется доставкой. "
WARM_UP_S: Final = 8.0
CHROMIUM: Final = Path("/usr/bin/chromium")
FLAGS: Final = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync")
#: Notes when each card was on the glass, and how long a pressed button took to look so, and to have done it; does the
#: operator's work: the client on hold, then the first result, saved.
HANDS: Final = """
window.pops = [];
window.presses = [];
window.holds = [];
addEventListener("DOMContentLoaded", () => {
  const desk = document.getElementById("desk");
  let last = "";
  new MutationObserver(() => {
    const card = document.querySelector(".work[data-attempt]");
    if (card && card.dataset.attempt !== last) {
      const attempt = last = card.dataset.attempt;
      requestAnimationFrame(() => requestAnimationFrame(
        () => window.pops.push([attempt, performance.timeOrigin + performance.now()])));
    }
  }).observe(document.getElementById("work"), {childList: true, subtree: true});
  const painted = (from, kept) =>
    requestAnimationFrame(() => requestAnimationFrame(() => kept.push(performance.now() - from)));
  let pressedAt = 0;
  new MutationObserver(() => {
    if (desk.dataset.state === "held" && pressedAt) painted(pressedAt, window.holds);
    if (desk.dataset.state !== "talking") pressedAt = 0;
    const hold = document.querySelector('[data-do="hold"]:not(:disabled)');
    if (hold && desk.dataset.state === "talking" && !pressedAt) {
      pressedAt = performance.now();
      hold.click();
      if (hold.disabled) painted(pressedAt, window.presses);
    }
    if (desk.dataset.state !== "wrap_up") return;
    document.querySelector('[data-key="1"]')?.click();
    document.getElementById("result")?.requestSubmit();
  }).observe(desk, {attributes: true, attributeFilter: ["data-state"]});
});
"""

FLOOR_STORE: Final = web.AppKey("floor_store", Records)
_ROWS: Final = itertools.count(1)

CONFIG: Final = """
languages: [ru, uk, en]
asterisk: {{managed: no}}
trunks:
  carrier: {{host: 127.0.0.1:5170, lines_max: 1000, calls_per_second_max: 100}}
phones:
{phones}
agents:
{agents}
pauses:
  lunch: {{labels: {{ru: Обед, uk: Обід, en: Lunch}}, limit: 45m, per_day: 1h}}
dispositions:
  sale: {{labels: {{ru: Продажа, uk: Продаж, en: Sale}}, kind: final}}
  callback: {{labels: {{ru: Перезвонить, uk: Передзвонити, en: Call back}}, kind: callback}}
  later: {{labels: {{ru: Позже, uk: Пізніше, en: Later}}, kind: retry, after: 5m}}
  do_not_call: {{labels: {{ru: Не звонить, uk: Не дзвонити, en: Do not call}}, kind: dnc}}
lead_fields:
  city: {{labels: {{ru: Город, uk: Місто, en: City}}}}
  product: {{labels: {{ru: Товар, uk: Товар, en: Product}}}}
orders:
  fields:
    items: {{labels: {{ru: Что заказано, uk: Що замовлено, en: Items}}, required: yes}}
    quantity: {{labels: {{ru: Количество, uk: Кількість, en: Quantity}}}}
    address: {{labels: {{ru: Адрес, uk: Адреса, en: Address}}, required: yes}}
campaigns:
  bench: &bench
    name: "Замер"
    pacing: {{mode: progressive}}
    trunks: [carrier]
    wrap_up: {{mode: required}}
    attempts: {{max: 3, otherwise: 1d}}
    zone: Europe/Kyiv
    hours: {{daily: "00:00-24:00"}}
    dispositions: [sale, callback, later, do_not_call]
    script: {{ru: "**Здравствуйте, {{{{ name }}}}!** Меня зовут {{{{ agent }}}}."}}
  seen: *bench
"""


def agent_names(desks: int) -> list[str]:
    return [f"a{number:03}" for number in range(desks)]


def campaign_of(agent: str) -> CampaignId:
    return SEEN_CAMPAIGN if agent == SEEN else CAMPAIGN


def token(agent: str) -> str:
    return f"bench-{agent}"


# ── the server's process ─────────────────────────────────────────────────────────────────────────────────────────


class Network(FakeSwitch):
    """Customers who answer after a moment, talk for a while and hang up."""

    def __init__(self, phones: list[str], group: asyncio.TaskGroup) -> None:
        super().__init__(phones)
        self._group = group
        self._random = random.Random(7)

    def send(self, order: effects.SwitchOrder) -> None:
        super().send(order)
        match order:
            case effects.OriginateCustomer():
                self._group.create_task(self._ring(order.leg), name="customer-rings")
            case effects.Bridge():
                talk_s = SEEN_TALK_S if SEEN in str(order.agent) else self._random.uniform(*TALK_S)
                self._group.create_task(self._talk(order.customer, talk_s), name="customer-talks")
            case _:
                pass  # heard by people only

    async def _ring(self, leg: LegId) -> None:
        await asyncio.sleep(self._random.uniform(*RINGS_S))
        if leg in self.legs and not self.legs[leg].answered:
            say({"answered": str(leg), "at_ms": time.time() * 1000})
            self.pick_up(leg)

    async def _talk(self, leg: LegId, talk_s: float) -> None:
        await asyncio.sleep(talk_s)
        self.hang_up(leg)


def say(line: Mapping[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def echo(request: web.Request) -> web.WebSocketResponse:
    """The floor: what came goes back; with `?disk`, after it is on disk, as a note or a result is."""
    ws = web.WebSocketResponse(compress=False)
    await ws.prepare(request)
    store = request.app[FLOOR_STORE] if "disk" in request.query else None
    async for message in ws:
        if store is not None:
            await store.add_audit(at_ms=next(_ROWS), by="echo", action="echo", subject="", detail=message.data)
        await ws.send_str(message.data)
    return ws


async def sign_in(records: Records, names: list[str], now_ms: int) -> None:
    """Every operator is known, and signed in."""
    for name in names:
        user = User(login=name, role=Role.OPERATOR, agent=AgentId(name), language="ru", password_hash="")
        await records.put_user(user, now_ms)
        await records.add_session(token_hash(token(name)), name, now_ms)


def people(prefix: str, count: int) -> list[Person]:
    """Rows of a lead file."""
    return [
        Person(
            line=line,
            phones=(PhoneNumber(f"{prefix}{line:05}"),),
            name=f"Клиент {line}",
            zone="Europe/Kyiv",
            fields={"city": "Київ", "product": "Вода 19 л"},
        )
        for line in range(2, count + 2)
    ]


def an_order(lead: int) -> tuple[Statement, Statement]:
    """Each client has ordered before."""
    fields = '{"items": "Вода 19 л", "quantity": "2", "address": "вул. Хрещатик 1"}'
    made = ORDERS.insert_order(
        key=f"{lead}", lead=lead, attempt=None, state="new", fields=fields, login="bench", at_ms=1
    )
    return made, ORDERS.note_first_version(key=f"{lead}")


async def serve(directory: Path, desks: int, leads: int) -> None:
    """The engine, its pages and its network, until stdin says `go` and later ends."""
    names = agent_names(desks)
    phones = "\n".join(f'  "{n}": {{name: "{n}"}}' for n in range(1000, 1000 + desks))
    agents = "\n".join(
        f'  {a}: {{name: "Оператор {a}", phone: "{n}", campaigns: [{campaign_of(a)}]}}'
        for n, a in enumerate(names, 1000)
    )
    loaded = parse(CONFIG.format(phones=phones, agents=agents), Path("config.yaml"))
    if not isinstance(loaded, Loaded):
        raise SystemExit(f"the bench's own configuration is wrong: {loaded}")
    clock = WallClock()
    async with AioDatabase.open(directory / "desk.db", now_ms=clock.now_ms(), controller=True) as database:
        store, records = Store(database), Records(database)
        await sign_in(records, names, clock.now_ms())
        for campaign, prefix, count in ((CAMPAIGN, "+3806712", leads), (SEEN_CAMPAIGN, "+3806713", 500)):
            rows = people(prefix, count)
            await import_leads(database, campaign, rows, file_name="bench.xlsx", by="bench", now_ms=clock.now_ms())
        await database.write(*(statement for lead in range(1, leads + 501) for statement in an_order(lead)))
        async with (
            AioDatabase.open(directory / "floor.db", now_ms=clock.now_ms()) as floor_database,
            asyncio.TaskGroup() as group,
        ):
            network = Network([str(n) for n in range(1000, 1000 + desks)], group)
            floor = Floor(loaded.policy, epoch=await store.next_epoch(clock.now_ms()))
            driver = Driver(floor, switch=network, store=store, clock=clock)
            app = make_app(driver, database, loaded, clock)
            engine = group.create_task(driver.run((await store.restore(),)), name="engine")
            bare = web.Application()
            bare[FLOOR_STORE] = Records(floor_database)
            bare.router.add_get("/echo", echo)
            runners = [web.AppRunner(one, access_log=None, shutdown_timeout=0.5) for one in (app, bare)]
            for runner in runners:
                await runner.setup()
                await web.TCPSite(runner, "127.0.0.1", 0).start()
            say({"ports": [runner.addresses[0][1] for runner in runners]})
            reader = asyncio.StreamReader()
            await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
            while line := await reader.readline():
                for campaign in (CAMPAIGN, SEEN_CAMPAIGN):
                    command = CommandId(f"bench:{line.decode()}:{campaign}")
                    await driver.do(
                        CampaignSwitched(command=command, by="bench", campaign=campaign, running=line == b"go\n")
                    )
            for runner in runners:
                await runner.cleanup()
            engine.cancel()
            for task in asyncio.all_tasks():
                if task.get_name().startswith("customer-"):
                    task.cancel()


# ── a desk without a browser ─────────────────────────────────────────────────────────────────────────────────────


class Wire:
    """An operator whose browser is a socket: takes calls, types, gives results. Notes how long each answer took."""

    def __init__(self, name: str, http: aiohttp.ClientSession, url: str) -> None:
        self.name, self.ms = name, list[float]()
        self._http, self._url = http, url
        self._sent: dict[str, float] = {}
        self._numbers = itertools.count(1)
        self._state = self._attempt = ""
        self._disposed = ""
        self.ready = asyncio.Event()

    async def run(self) -> None:
        headers = {"Cookie": f"zvonar={token(self.name)}", "Origin": self._url}
        async with self._http.ws_connect(f"{self._url}/ws/desk", headers=headers, max_msg_size=0) as ws:
            await ws.send_str(json.dumps({"type": "hello", "since": -1, "desk": "", "build": "", "browser": self.name}))
            async for message in ws:
                frame = json.loads(message.data)
                if frame["type"] == "ping":
                    await ws.send_str('{"type":"pong"}')
                elif frame["type"] in ("ack", "nack"):
                    if (sent := self._sent.pop(frame["id"], None)) is not None:
                        self.ms.append((time.perf_counter() - sent) * 1000)
                else:
                    await self._shown(ws, frame)

    async def _shown(self, ws: aiohttp.ClientWebSocketResponse, frame: Mapping[str, Any]) -> None:
        self._attempt = frame.get("attempt", self._attempt)
        before, self._state = self._state, frame.get("state", self._state)
        if frame["type"] == "pop":
            await self._do(ws, "draft", attempt=self._attempt, lead=1, text=NOTE)
        if self._state == "logged_out" != before:
            await self._do(ws, "login")
        elif self._state == "paused" != before:
            await self._do(ws, "ready")
        elif self._state == "ready":
            self.ready.set()
        elif self._state == "wrap_up" and self._attempt and self._disposed != self._attempt:
            self._disposed = self._attempt
            await self._do(ws, "dispose", attempt=self._attempt, disposition="sale", note=NOTE, callback="", mine=False)

    async def _do(self, ws: aiohttp.ClientWebSocketResponse, verb: str, **args: object) -> None:
        id_ = f"{self.name}-{verb}-{next(self._numbers)}"
        self._sent[id_] = time.perf_counter()
        await ws.send_str(json.dumps({"type": "do", "id": id_, "verb": verb, "args": args}))


# ── measuring ────────────────────────────────────────────────────────────────────────────────────────────────────


def rss_kb(pid: int) -> int:
    """Resident memory of a process."""
    with Path(f"/proc/{pid}/status").open(encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


def cpu_s(pid: int) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def quantile(values: list[float], share: float) -> float:
    """The value that this share of all does not exceed; infinite without any."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("inf")


async def floor_ms(http: aiohttp.ClientSession, url: str, desks: int, per_second: float, seconds: float) -> list[float]:
    """Round trips of a bare echo over as many sockets, at the same rate and with a message of the same size."""
    text = json.dumps({"type": "do", "id": "x" * 20, "verb": "draft", "args": {"text": NOTE, "lead": 1}})
    took: list[float] = []

    async def one(number: int) -> None:
        async with http.ws_connect(url) as ws:
            chance = random.Random(number)
            deadline = time.perf_counter() + seconds
            while time.perf_counter() < deadline:
                await asyncio.sleep(chance.expovariate(per_second / desks))
                began = time.perf_counter()
                await ws.send_str(text)
                await ws.receive_str()
                took.append((time.perf_counter() - began) * 1000)

    async with asyncio.TaskGroup() as group:
        for number in range(desks):
            group.create_task(one(number), name=f"echo-{number}")
    return took


_WEIGHT: Final = """() => {
  const all = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
  const paint = performance.getEntriesByType("paint").find((one) => one.name === "first-contentful-paint");
  return [all.reduce((sum, one) => sum + one.encodedBodySize, 0), paint?.startTime || 0];
}"""


async def desk_in_chromium(page: Page, url: str) -> tuple[float, float]:
    """Open the desk and start the shift; (page weight in KB as sent, first paint in ms) of a cold start."""
    await page.add_init_script(HANDS)
    await page.goto(f"{url}/desk")
    await page.wait_for_selector('[data-do="login"]:not(:disabled)')
    weight, paint = await page.evaluate(_WEIGHT)
    await page.keyboard.press("F2")
    await page.wait_for_selector('[data-do="ready"]:not(:disabled)')
    await page.keyboard.press("F2")
    return weight / 1024, paint


async def measure(desks: int, seconds: float) -> dict[str, float]:
    """One run: desks, their calls, then the floor."""
    result: dict[str, float] = {"desks": desks}
    leads = int(desks * (seconds + WARM_UP_S + 30) / 4)
    with tempfile.TemporaryDirectory() as directory:
        arguments = ["-m", "bench.desk", "--serve", directory, "--desks", str(desks), "--leads", str(leads)]
        server = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert server.stdin is not None
        assert server.stdout is not None
        said, orders = server.stdout, server.stdin
        ports = json.loads(await said.readline())["ports"]
        url, bare = (f"http://127.0.0.1:{port}" for port in ports)
        answered: dict[str, float] = {}

        async def listen() -> None:
            async for line in said:
                fact = json.loads(line)
                answered[fact["answered"]] = fact["at_ms"]

        async with asyncio.TaskGroup() as group, aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
            ear = group.create_task(listen(), name="listen")
            await asyncio.sleep(1)
            before_kb = rss_kb(server.pid)
            wires = [Wire(name, http, url) for name in agent_names(desks)[1:]]
            tasks = [group.create_task(wire.run(), name=f"desk-{wire.name}") for wire in wires]
            for wire in wires:
                await asyncio.wait_for(wire.ready.wait(), 60)
            result["desk_kb"] = (rss_kb(server.pid) - before_kb) / len(wires)
            async with async_playwright() as playwright:
                chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
                context = await chromium.new_context(viewport={"width": 1366, "height": 768})
                await context.add_cookies([{"name": "zvonar", "value": token(SEEN), "url": url}])
                page = await context.new_page()
                result["page_kb"], result["first_paint_ms"] = await desk_in_chromium(page, url)
                orders.write(b"go\n")
                await asyncio.sleep(WARM_UP_S)
                for wire in wires:
                    wire.ms.clear()
                began_ms, used_s = time.time() * 1000, cpu_s(server.pid)
                await asyncio.sleep(seconds)
                result["server_cpu_share"] = (cpu_s(server.pid) - used_s) / seconds
                painted: list[tuple[str, float]] = await page.evaluate("window.pops")
                presses, holds = await page.evaluate("[window.presses, window.holds]")
                result["desk_loaded_kb"] = (rss_kb(server.pid) - before_kb) / desks
                orders.write(b"stop\n")
                await chromium.close()
            pops = [
                at_ms - answered[leg]
                for attempt, at_ms in painted
                if at_ms > began_ms and (leg := f"a.{attempt}.c") in answered
            ]
            commands = [ms for wire in wires for ms in wire.ms]
            for task in tasks:
                task.cancel()
            result["calls_per_s"] = len([at for at in answered.values() if at > began_ms]) / seconds
            rate, length_s = len(commands) / seconds, min(seconds, 15)
            echoes = await floor_ms(http, f"{bare}/echo", desks, rate, length_s)
            saved = await floor_ms(http, f"{bare}/echo?disk", desks, rate, length_s)
            orders.close()
            with suppress(TimeoutError):
                await asyncio.wait_for(server.wait(), 20)
            ear.cancel()
        if server.returncode is None:
            server.kill()
    result |= {"pops": len(pops), "commands": len(commands), "presses": len(presses)}
    for name, values in (
        ("pop", pops),
        ("press", presses),
        ("hold", holds),
        ("command", commands),
        ("floor", echoes),
        ("disk_floor", saved),
    ):
        result |= {f"{name}_p50_ms": quantile(values, 0.5), f"{name}_p95_ms": quantile(values, 0.95)}
    return result


def main() -> None:
    """Run, print the table, end with RESULT."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--desks", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--leads", type=int, default=1000, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        asyncio.run(serve(chosen.serve, chosen.desks, chosen.leads))
        return
    result = asyncio.run(measure(chosen.desks, chosen.seconds))
    print(f"{'':24}{'p50':>9}{'p95':>9}   wanted")
    for name, title, wanted in (
        ("pop", "answer → painted, ms", "≤ 50, ≤ 100"),
        ("press", "press → seen, ms", "≤ 100"),
        ("hold", "press → on hold, ms", "≤ 100"),
        ("command", "button → answer, ms", "p95 ≤ 50"),
        ("floor", "bare echo, ms", "the floor of a socket"),
        ("disk_floor", "echo on disk, ms", "the floor of a button that saves"),
    ):
        print(f"{title:24}{result[f'{name}_p50_ms']:9.1f}{result[f'{name}_p95_ms']:9.1f}   {wanted}")
    print(
        f"{result['pops']:.0f} cards, {result['commands']:.0f} commands, {result['calls_per_s']:.1f} answers/s, "
        f"{result['server_cpu_share']:.0%} of a core"
    )
    print(f"a desk: {result['desk_kb']:.0f} KB of the server (≤ 200); with calls {result['desk_loaded_kb']:.0f} KB")
    print(
        f"the page: {result['page_kb']:.0f} KB as sent (≤ 150), first paint {result['first_paint_ms']:.0f} ms (≤ 500)"
    )
    print("RESULT " + json.dumps({key: round(value, 2) for key, value in sorted(result.items())}))


if __name__ == "__main__":
    main()
