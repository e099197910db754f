"""A small call center in one process: the real engine, store and pages; only the telephone network is played.

`FakeSwitch` answers orders as Asterisk would, at once; customers ring until `answer` is called for them.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from aiohttp import web
from argon2 import PasswordHasher

from crm_lite.app import make_app
from crm_lite.crm import Crm
from crm_lite.vitals import METRICS
from crm_lite.web_keys import CRM
from engine.clock import WallClock
from engine.config import Loaded, parse
from engine.core import effects
from engine.core.events import (
    CallArrived,
    CampaignSwitched,
    LegAnswered,
    LegBridged,
    LegFound,
    LegHungUp,
    LegRinging,
    OriginateAccepted,
    PhoneSeen,
    SwitchLost,
    SwitchUp,
)
from engine.core.floor import Floor
from engine.core.model import (
    AgentId,
    CampaignId,
    CommandId,
    LegId,
    PhoneId,
    PhoneNumber,
    PhoneType,
    TrunkId,
    inbound_leg,
)
from engine.driver import Driver
from engine.store.database import AioDatabase
from engine.store.imports import import_leads
from engine.store.records import Records
from engine.store.rows import Role, User
from engine.store.store import Store
from engine.switch import Sink
from tests.fakes.waiting import poll

PASSWORD = "correct horse battery"
#: As `create_user` makes it, but quick to check: hundreds of tests sign in.
QUICK_HASH = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
CAMPAIGN = CampaignId("spring")

CONFIG = """
languages: [ru, uk, en]
asterisk: {managed: no}
trunks:
  carrier: {host: 127.0.0.1:5170, lines_max: 20, calls_per_second_max: 50}
phones:
  101: {name: "101"}
  102: {name: "102"}
  103: {name: "103"}
agents:
  olena: {name: "Олена Коваль", phone: 101, campaigns: [spring]}
  ivan: {name: "Иван Петров", phone: 102, campaigns: [spring]}
  maria: {name: "Марія Бондар", phone: 103, campaigns: [autumn]}
pauses:
  lunch: {labels: {ru: Обед, uk: Обід, en: Lunch}, limit: 45m, per_day: 60m}
  rest: {labels: {ru: Перерыв, uk: Перерва, en: Break}, limit: 15m}
dispositions:
  sale: {labels: {ru: Продажа, uk: Продаж, en: Sale}, kind: final}
  refusal: {labels: {ru: Отказ, uk: Відмова, en: Refusal}, kind: final}
  callback: {labels: {ru: Перезвонить, uk: Передзвонити, en: Call back}, kind: callback}
  later: {labels: {ru: Сейчас не может, uk: Зараз не може, en: Busy now}, kind: retry, after: 5m}
  do_not_call: {labels: {ru: Больше не звонить, uk: Більше не дзвонити, en: Do not call}, kind: dnc}
lead_fields:
  city: {labels: {ru: Город, uk: Місто, en: City}}
  product: {labels: {ru: Товар, uk: Товар, en: Product}}
inbound:
  hotline: {name: "Горячая линия", numbers: [+380441230000], campaign: spring}
campaigns:
  spring:
    name: "Весна"
    pacing: {mode: progressive}
    trunks: [carrier]
    ring_timeout: 30s
    wrap_up: {mode: required}
    attempts: {max: 3, retry: {no_answer: {after: 3m, max: 2}}, otherwise: 10m}
    zone: Europe/Kyiv
    hours: {daily: "00:00-24:00"}
    dispositions: [sale, refusal, callback, later, do_not_call]
    script:
      ru: |
        # Здравствуйте, {{ name }}!
        Меня зовут {{ agent }}. {% if city %}Вы в городе **{{ city }}**?{% endif %}

        - Предложить: {{ product }}

        > Дорого? — Скидка на второй заказ.
      en: "# Hello, {{ name }}"
  autumn:
    name: "Осень"
    pacing: {mode: progressive}
    trunks: [carrier]
    attempts: {max: 3, otherwise: 10m}
    zone: Europe/Kyiv
    hours: {daily: "00:00-24:00"}
    dispositions: [sale, refusal]
"""

#: What a water delivery's clients order; beside CONFIG.
ORDERS = """
orders:
  fields:
    items: {labels: {ru: Что заказано, uk: Що замовлено, en: Items}, required: yes}
    quantity: {labels: {ru: Количество, uk: Кількість, en: Quantity}, required: yes}
    address: {labels: {ru: Адрес, uk: Адреса, en: Address}, required: yes}
    comment: {labels: {ru: Комментарий, uk: Коментар, en: Comment}, repeat: no}
"""

PEOPLE: tuple[tuple[str, str, Mapping[str, str]], ...] = (
    ("Іваненко Петро", "+380671234501", {"city": "Київ", "product": "Вода 19 л", "Источник": "сайт"}),
    ("Сидорова Анна Викторовна", "+380671234502", {"city": "Одесса", "product": "Кулер"}),
    ("Шевченко Тарас", "+380671234503", {"city": "Львів"}),
    ("O'Neill <b>Bob</b>", "+380671234504", {"city": "<img src=x onerror=alert(1)>"}),
    ("Яровая Ольга", "+380671234505", {}),
    ("Мельник Юрій", "+380671234506", {"city": "Харків"}),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A row of a lead file."""

    line: int
    phones: tuple[PhoneNumber, ...]
    name: str
    zone: str | None
    fields: Mapping[str, str]
    priority: int = 0
    external_id: str = ""
    tags: tuple[str, ...] = ()
    keeper: str | None = None
    source: str = ""
    phone_types: tuple[PhoneType, ...] = ()


class FakeSwitch:
    """Plays Asterisk and the network."""

    def __init__(self, phones: Iterable[str]) -> None:
        self.legs: dict[LegId, LegFound] = {}
        self.customers: list[LegId] = []
        self.phones = {PhoneId(phone): True for phone in phones}
        self.agents_pick_up = True
        self.orders: list[effects.SwitchOrder] = []
        self._sink: Sink | None = None

    async def run(self, sink: Sink) -> None:
        """Stay connected until cancelled."""
        self._sink = sink
        for phone, registered in self.phones.items():
            sink(PhoneSeen(phone, registered))
        self._snapshot()
        await asyncio.get_running_loop().create_future()

    def send(self, order: effects.SwitchOrder) -> None:
        """Do as told."""
        self.orders.append(order)
        match order:
            case effects.OriginateAgent():
                self._tell(OriginateAccepted(order.leg), LegRinging(order.leg))
                if self.agents_pick_up:
                    self.legs[order.leg] = LegFound(order.leg, True, True)
                    self._tell(LegAnswered(order.leg))
            case effects.OriginateOutside():
                self.legs[order.leg] = LegFound(order.leg, False, True)
                self._tell(OriginateAccepted(order.leg), LegRinging(order.leg))
            case effects.OriginateCustomer():
                self.legs[order.leg] = LegFound(order.leg, False, True)
                self.customers.append(order.leg)
                self._tell(OriginateAccepted(order.leg), LegRinging(order.leg))
            case effects.Bridge():
                if order.customer in self.legs:
                    known = self.legs[order.customer]
                    self.legs[order.customer] = replace(known, answered=True, bridged_with=(order.agent,))
                    self._tell(LegBridged(order.customer))
            case effects.Hangup():
                self.hang_up(order.leg)
            case effects.PlayMessageAndHangup():
                self.hang_up(order.leg)
            case effects.AskSwitch():
                self._snapshot()
            case _:
                pass  # OpenBridge, Music, Hold: heard by people only

    def agents_let_ring_out(self) -> None:
        """The desk phone that rang last is not lifted."""
        rang = next(order for order in reversed(self.orders) if isinstance(order, effects.OriginateAgent))
        self._tell(LegHungUp(rang.leg, 19))

    def call_in(self, caller: str, dialed: str = "+380441230000") -> LegId:
        """Somebody calls us."""
        leg = inbound_leg(f"1763971200.{len(self.customers)}")
        number = PhoneNumber(caller) if caller else None
        arrived = CallArrived(leg=leg, trunk=TrunkId("carrier"), dialed=PhoneNumber(dialed), caller=number)
        self.legs[leg] = LegFound(leg, True, True, arrived=arrived)
        self.customers.append(leg)
        self._tell(arrived)
        return leg

    def answer(self) -> None:
        """The oldest ringing customer lifts the handset."""
        self.pick_up(next(leg for leg in self.customers if leg in self.legs and not self.legs[leg].answered))

    def pick_up(self, leg: LegId) -> None:
        """This customer lifts the handset."""
        self.legs[leg] = LegFound(leg, True, True)
        self._tell(LegAnswered(leg))

    def ringing(self) -> int:
        """Customers whose phone rings."""
        return sum(leg in self.legs and not self.legs[leg].answered for leg in self.customers)

    def hang_up(self, leg: LegId, cause: int = 16) -> None:
        """This leg ends."""
        if self.legs.pop(leg, None) is not None:
            self._tell(LegHungUp(leg, cause))

    def customers_hang_up(self) -> None:
        """Everybody who talks has said what they wanted."""
        for leg in [leg for leg in self.customers if leg in self.legs and self.legs[leg].answered]:
            self.hang_up(leg)

    def phone(self, phone: str, registered: bool) -> None:
        """A desk phone comes or goes."""
        self._tell(PhoneSeen(PhoneId(phone), registered))

    def lose(self) -> None:
        """The link to Asterisk breaks."""
        self._tell(SwitchLost("the test cut the link"))

    def come_back(self) -> None:
        """The link is up again."""
        self._snapshot()

    def _snapshot(self) -> None:
        self._tell(SwitchUp(tuple(self.legs.values())))

    def _tell(self, *facts: object) -> None:
        if self._sink is not None:
            for fact in facts:
                self._sink(fact)  # type: ignore[arg-type]  # every fact above is a SwitchEvent


@dataclass
class Office:
    """A running engine with its pages at `url`."""

    url: str
    port: int
    app: web.Application
    runner: web.AppRunner
    driver: Driver
    switch: FakeSwitch
    database: AioDatabase
    records: Records
    loaded: Loaded
    clock: WallClock

    @property
    def crm(self) -> Crm:
        """The pages' parts."""
        return self.app[CRM]

    async def dial(self, campaign: CampaignId = CAMPAIGN, *, running: bool = True) -> None:
        """Start or stop a campaign."""
        command = CommandId(f"test:{random.random()}")
        assert (
            await self.driver.do(CampaignSwitched(command=command, by="test", campaign=campaign, running=running)) == ""
        )


def config(text: str = CONFIG) -> Loaded:
    """The office's configuration."""
    loaded = parse(text, Path("config.yaml"))
    assert isinstance(loaded, Loaded), loaded
    return loaded


async def hire(records: Records, now_ms: int, language: str = "ru") -> None:
    """One user per role; two operators."""
    for login, role, agent, name in (
        ("olena", "operator", "olena", "Олена Коваль"),
        ("ivan", "operator", "ivan", "Иван Петров"),
        ("maria", "operator", "maria", "Марія Бондар"),
        ("boss", "supervisor", None, "Старший смены"),
        ("tech", "engineer", None, "Инженер связи"),
        ("root", "admin", None, "Администратор"),
    ):
        user = User(
            login=login,
            name=name,
            role=Role(role),
            agent=AgentId(agent) if agent else None,
            language=language,
            password_hash=QUICK_HASH,
        )
        await records.put_user(user, now_ms)


@asynccontextmanager
async def office(
    directory: Path,
    *,
    port: int = 0,
    people: bool = True,
    language: str = "ru",
    switch: FakeSwitch | None = None,
    text: str = CONFIG,
) -> AsyncIterator[Office]:
    """An office with users, six leads and a campaign that does not dial yet; with `switch`, one that had gone on."""
    loaded = config(text)
    clock = WallClock()
    async with AioDatabase.open(directory / "office.db", now_ms=clock.now_ms(), controller=True) as database:
        store, records = Store(database), Records(database)
        if people:
            await hire(records, clock.now_ms(), language)
            rows = [
                Person(line=line, phones=(PhoneNumber(number),), name=name, zone="Europe/Kyiv", fields=fields)
                for line, (name, number, fields) in enumerate(PEOPLE, 2)
            ]
            await import_leads(database, CAMPAIGN, rows, file_name="spring.xlsx", by="test", now_ms=clock.now_ms())
        switch = switch or FakeSwitch(loaded.config.phones)
        floor = Floor(loaded.policy, epoch=await store.next_epoch(clock.now_ms()))
        driver = Driver(floor, switch=switch, store=store, clock=clock)
        app = make_app(driver, database, loaded, clock)
        app[METRICS] = driver.metrics
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        async with asyncio.TaskGroup() as group:
            engine = group.create_task(driver.run((await store.restore(),)), name="engine")
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", port)
            await site.start()
            host, real_port = runner.addresses[0][:2]
            # What it carries on from the last program would take a test's own import for one that was left.
            await poll(lambda: all(task.get_name() != "crm-imports" for task in asyncio.all_tasks()), within_s=30.0)
            try:
                url = f"http://{host}:{real_port}"
                yield Office(url, real_port, app, runner, driver, switch, database, records, loaded, clock)
            finally:
                await runner.cleanup()
                engine.cancel()
