"""A month of dialing in virtual time: the real core and the real store, seeded people in many zones, random deaths.

The harness is a driver of the plainest kind: facts go to the Floor one by one, its writes to the database, then its
dials to people of chance; the clock jumps to whatever comes next. What was dialed is judged afterwards by
`month_rules`, which shares no code with the engine.
"""

from __future__ import annotations

import heapq
import json
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, Final, TypeVar

from engine.config.loading import load_pack
from engine.core import effects, events
from engine.core.floor import Floor
from engine.core.law import Calendar, Count, Key, Limit, Pack, Rolling
from engine.core.model import (
    AgentId,
    AgentProfile,
    AgentState,
    AttemptId,
    AttemptPolicy,
    Burst,
    CallingHours,
    Campaign,
    CampaignId,
    CommandId,
    Disposition,
    DispositionId,
    DispositionKind,
    LeadId,
    LegId,
    Outcome,
    PhoneId,
    PhoneNumber,
    Policy,
    RetryRule,
    Trunk,
    TrunkId,
)
from engine.core.pacing import Progressive
from engine.store.database import InlineDatabase
from engine.store.store import LineUp, Store
from tests.sim import month_rules as rules

T = TypeVar("T")
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
DEBTS, SALES = CampaignId("debts"), CampaignId("sales")
#: Eleven zones; in October 2026 Sydney's clocks go forward (4th), Europe's back (25th).
ZONES: Final = (
    "Europe/Kyiv",
    "Europe/Warsaw",
    "Europe/London",
    "Europe/Istanbul",
    "America/New_York",
    "America/Los_Angeles",
    "Asia/Tokyo",
    "Asia/Kolkata",
    "Asia/Vladivostok",
    "Australia/Sydney",
    "Australia/Adelaide",
)
START_MS: Final = int(datetime(2026, 10, 1, tzinfo=UTC).timestamp() * 1000)
RING_MS: Final = 20_000
#: What the switch has is looked at more seldom than in life: here nothing is lost on the way.
RESYNC_EVERY_MS: Final = HOUR_MS
KINDS: Final = {
    "sale": DispositionKind.FINAL,
    "refusal": DispositionKind.FINAL,
    "callback": DispositionKind.CALLBACK,
    "later": DispositionKind.RETRY,
    "never": DispositionKind.DNC,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One month, or a piece of it."""

    seed: int
    leads: int = 5_000
    days: int = 30
    start_ms: int = START_MS
    agents: int = 40
    kill_every_ms: int = 6 * HOUR_MS


@dataclass(slots=True)
class Lived:
    """What came of it."""

    attempts: int = 0
    talks: int = 0
    callbacks: int = 0
    several: int = 0  # attempts on who may be in several zones
    lives: int = 1
    broken: list[str] = field(default_factory=list)


class _KilledError(Exception):
    """The engine's process has died."""


def live(plan: Plan, path: Path) -> Lived:
    """Live through the plan with a new database at the path, and judge it."""
    with InlineDatabase.open(path, now_ms=plan.start_ms, durable=False) as database:
        month = _Month(plan, database, path)
        month.run()
    return month.judged()


def _at_once(work: Coroutine[Any, Any, T]) -> T:
    """The inline database never waits."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("the inline database waited")


def _zones_of(number: PhoneNumber) -> tuple[str, ...]:
    """What the number plan of this world leaves open."""
    return next((zones for prefix, zones in rules.SEVERAL_ZONES.items() if number.e164.startswith(prefix)), ())


def policy(plan: Plan) -> Policy:
    """Two campaigns that call the same people: one bound by a law pack, one by its own limits and order."""
    pack = load_pack("ua-consumer-credit")
    assert isinstance(pack, Pack)
    dispositions = tuple(
        Disposition(id=DispositionId(name), kind=kind, labels={}, retry_after_ms=2 * HOUR_MS)
        for name, kind in KINDS.items()
    )
    retry = {outcome: RetryRule(after_ms=HOUR_MS, max=20) for outcome in (Outcome.NO_ANSWER, Outcome.BUSY)}
    always = tuple(((0, 24 * 60),) for _ in range(7))
    usual: dict[str, Any] = {
        "pacing": Progressive(),
        "trunks": (TrunkId("carrier"),),
        "caller_id": PhoneNumber("+380441230000"),
        "dispositions": dispositions,
        "ring_timeout_ms": RING_MS,
    }
    debts = Campaign(
        id=DEBTS,
        name="Debts",
        attempts=AttemptPolicy(max=rules.LEAD_MAX, retry=retry, default_after_ms=HOUR_MS),
        hours=CallingHours(spans=always, zone="Europe/Kyiv"),
        law=(pack,),
        **usual,
    )
    sales = Campaign(
        id=SALES,
        name="Sales",
        attempts=AttemptPolicy(
            max=rules.LEAD_MAX,
            retry=retry,
            default_after_ms=HOUR_MS,
            burst=Burst(calls=3, after_ms=20_000, then_ms=HOUR_MS // 2, priority_step=-10),
            limits=(
                Limit(count=Count.ATTEMPT, max=rules.LEAD_PER_DAY, per=Calendar.DAY, key=Key.LEAD),
                Limit(count=Count.ATTEMPT, max=rules.NUMBER_PER_WEEK, per=Rolling(7 * DAY_MS), key=Key.NUMBER),
                Limit(count=Count.ATTEMPT, max=rules.PERSON_PER_WEEK, per=Rolling(7 * DAY_MS), key=Key.PERSON),
            ),
            same_hour_max=rules.SAME_HOUR_MAX,
        ),
        hours=CallingHours(
            spans=tuple(((rules.SALES_FROM * 60, rules.SALES_UNTIL * 60),) for _ in range(7)), zone="Europe/Kyiv"
        ),
        **usual,
    )
    agents = (
        AgentProfile(
            id=AgentId(f"agent{n}"), name=str(n), phone=PhoneId(f"1{n:03}"), campaigns=((DEBTS, SALES)[n % 2],)
        )
        for n in range(plan.agents)
    )
    carrier = Trunk(id=TrunkId("carrier"), lines_max=plan.agents * 2, calls_per_second_max=1_000)
    return Policy(
        campaigns={DEBTS: debts, SALES: sales}, trunks={carrier.id: carrier}, agents={one.id: one for one in agents}
    )


class _Month:
    def __init__(self, plan: Plan, database: InlineDatabase, path: Path) -> None:
        self.plan, self.path = plan, path
        self.chance = random.Random(plan.seed)
        self.store = Store(database, zones_of=_zones_of)
        self.policy = policy(plan)
        self.lines = {id_: LineUp.of(campaign) for id_, campaign in self.policy.campaigns.items()}
        self.now_ms = plan.start_ms
        self.world: list[tuple[int, int, Callable[[], None]]] = []
        self.turns = count()
        self.timers: dict[tuple[str, str], int] = {}
        self.due: list[tuple[int, tuple[str, str]]] = []
        self.legs: dict[LegId, bool] = {}  # live legs of customers and agents; answered?
        self.disposing: set[str] = set()
        self.invites: list[tuple[int, str]] = []
        self.stops: list[tuple[int, int]] = []  # (when, lead) of words never to call again
        self.lives = 0
        self.dying = False
        self._fill(path)

    def _fill(self, path: Path) -> None:
        """People: one or two phones, some shared with somebody of either campaign; one in nine is in several zones."""
        leads, phones, begins = [], [], list(rules.SEVERAL_ZONES)
        several = {id_: begins[id_ // 9 % len(begins)] for id_ in range(9, self.plan.leads + 1, 9)}
        numbers = [f"{several.get(n + 1, '+38067')}{n:07}" for n in range(self.plan.leads)]
        for id_ in range(1, self.plan.leads + 1):
            campaign = (DEBTS, SALES)[id_ % 2]
            zone = None if id_ in several else ZONES[id_ % len(ZONES)]
            leads.append((id_, campaign, zone, self.chance.randint(-5, 5), '{"representative": "no", "refused": ""}'))
            own = {numbers[id_ - 1]: None}
            if self.chance.random() < 0.3:
                own[f"{several.get(id_, '+38050')}5{id_:06}"] = None
            if self.chance.random() < 0.1 and id_ not in several:  # a number of somebody in the same zone
                other = id_ - len(ZONES) * self.chance.randint(1, 3)
                if other > 0:
                    own[numbers[other - 1]] = None
            phones += [(id_, position, number) for position, number in enumerate(own)]
        with sqlite3.connect(path) as database:
            database.executemany(
                "INSERT INTO leads (id, campaign_id, zone, priority, fields, created_at_ms, updated_at_ms) "
                "VALUES (?, ?, ?, ?, ?, 0, 0)",
                leads,
            )
            database.executemany("INSERT INTO phones (lead_id, position, number) VALUES (?, ?, ?)", phones)

    # ── the clock ────────────────────────────────────────────────────────────────────────────────────────────────

    def run(self) -> None:
        until_ms = self.plan.start_ms + self.plan.days * DAY_MS
        self._start()
        self._in(self._wait(self.plan.kill_every_ms), self._kill)
        self._in(self._wait(2 * HOUR_MS), self._stop_somebody)
        while self.now_ms < until_ms:
            timer_ms = self._next_timer()
            world_ms = self.world[0][0] if self.world else until_ms
            self.now_ms = max(self.now_ms, min(timer_ms, world_ms, until_ms))
            try:
                if world_ms <= timer_ms and self.world and world_ms <= until_ms:
                    heapq.heappop(self.world)[2]()
                elif timer_ms <= until_ms:
                    _, key = heapq.heappop(self.due)
                    del self.timers[key]
                    self._tell(events.TimerFired(key))
            except _KilledError:
                self._start()

    def _next_timer(self) -> int:
        while self.due and self.timers.get(self.due[0][1]) != self.due[0][0]:
            heapq.heappop(self.due)
        return self.due[0][0] if self.due else 1 << 62

    def _in(self, ms: int, what: Callable[[], None]) -> None:
        heapq.heappush(self.world, (self.now_ms + ms, next(self.turns), what))

    def _wait(self, usual_ms: int) -> int:
        return round(self.chance.expovariate(1 / usual_ms))

    # ── the engine's life ────────────────────────────────────────────────────────────────────────────────────────

    def _start(self) -> None:
        self.lives += 1
        self.dying = False
        self.timers.clear()
        self.due.clear()
        self.legs.clear()
        self.disposing.clear()
        self.floor = Floor(self.policy, epoch=_at_once(self.store.next_epoch(self.now_ms)))
        self._carry_out(self.floor.start(self.now_ms))
        self._tell(_at_once(self.store.restore()))
        self._tell(events.SwitchUp(()))
        for id_ in self.policy.agents:
            self._log_in(id_)
        for campaign in self.policy.campaigns:
            self._do(events.CampaignSwitched, campaign=campaign, running=True)

    def _log_in(self, agent: AgentId) -> None:
        self._do(events.AgentLogin, agent=agent)
        leg = self.floor.live.agents[agent].leg
        if leg is not None:
            self.legs[leg] = True
            self._tell(events.LegAnswered(leg))
        for attempt in [a for a in self.floor.live.attempts.values() if a.agent == agent and a.ended_at_ms]:
            self._dispose(attempt.id, agent)
        self._do(events.AgentReady, agent=agent)

    def _kill(self) -> None:
        """Now, or between the next commit and its dials."""
        self._in(self._wait(self.plan.kill_every_ms), self._kill)
        if self.chance.random() < 0.5:
            raise _KilledError
        self.dying = True

    def _stop_somebody(self) -> None:
        self._in(self._wait(2 * HOUR_MS), self._stop_somebody)
        lead = self.chance.randint(1, self.plan.leads)
        self._do(events.LeadSuppressed, lead=LeadId(lead), reason="asked")
        self.stops.append((self.now_ms, lead))

    def _do(self, kind: Any, **what: Any) -> None:
        self._tell(kind(command=CommandId(f"{self.lives}-{next(self.turns)}"), by="test", **what))

    def _tell(self, fact: events.Event) -> None:
        self._carry_out(self.floor.handle(fact, self.now_ms))

    def _carry_out(self, orders: Iterable[effects.Effect]) -> None:  # noqa: C901, PLR0912 - one row per order
        orders = list(orders)
        writes = [order for order in orders if isinstance(order, effects.Write)]
        if writes:
            _at_once(self.store.commit(writes))
            if self.dying and any(isinstance(order, effects.OriginateCustomer) for order in orders):
                raise _KilledError
        for order in orders:
            match order:
                case effects.SetTimer(key, at_ms):
                    if key[0] == "resync":
                        at_ms = self.now_ms + RESYNC_EVERY_MS
                    self.timers[key] = at_ms
                    heapq.heappush(self.due, (at_ms, key))
                case effects.CancelTimer(key):
                    self.timers.pop(key, None)
                case effects.OriginateCustomer():
                    self._call(order)
                case effects.FetchLeads():
                    self._fetch(order)
                case effects.FetchLead(lead, history_ms):
                    found = _at_once(self.store.leads((lead,), self.now_ms - history_ms))
                    self._in(1, lambda lead=lead, found=found: self._tell(events.LeadFetched(lead, found.get(lead))))  # type: ignore[misc]
                case effects.CheckHeld(leads):
                    blocked = _at_once(self.store.blocked(leads))
                    self._in(1, lambda blocked=blocked: self._tell(events.HeldChecked(blocked)))  # type: ignore[misc]
                case effects.Bridge(leg):
                    self._later(100, leg, events.LegBridged(leg))
                    self._later(self._wait(60_000) + 1_000, leg, events.LegHungUp(leg, 16, None), last=True)
                case effects.PlayMessageAndHangup(leg) | effects.Hangup(leg):
                    self._later(500, leg, events.LegHungUp(leg, 16, None), last=True)
                case effects.AskSwitch():
                    legs = tuple(events.LegFound(leg, up, True) for leg, up in self.legs.items())
                    self._in(5, lambda legs=legs: self._tell(events.SwitchUp(self._still(legs))))  # type: ignore[misc]
                case effects.AgentChanged(agent):
                    self._work(agent.id, agent.state, agent.attempt)
                case _:
                    pass

    def _still(self, legs: tuple[events.LegFound, ...]) -> tuple[events.LegFound, ...]:
        return tuple(events.LegFound(leg, up, True) for leg, up in self.legs.items())

    def _fetch(self, order: effects.FetchLeads) -> None:
        asked = (order.campaign, self.now_ms, order.limit, order.but, order.history_ms)
        line = self.lines[order.campaign]
        fetched = _at_once(self.store.promised_leads(*asked) if order.promised else self.store.due_leads(*asked, line))
        life = self.lives
        self._in(1, lambda: self._tell(fetched) if life == self.lives else None)

    # ── people ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _call(self, order: effects.OriginateCustomer) -> None:
        self.invites.append((self.now_ms, order.number.e164))
        leg, fate = order.leg, self.chance.random()
        self.legs[leg] = False
        if fate < 0.02:
            self._later(300, leg, events.LegHungUp(leg, 1, 404), last=True)
            return
        self._later(200, leg, events.OriginateAccepted(leg))
        self._later(800, leg, events.LegRinging(leg))
        if fate < 0.15:
            self._later(1_500, leg, events.LegHungUp(leg, 17, 486), last=True)
        elif fate < 0.7:
            self._later(RING_MS, leg, events.LegHungUp(leg, 19, None), last=True)
        else:
            self._in(self.chance.randint(2_000, RING_MS - 1_000), lambda: self._answer(leg))

    def _answer(self, leg: LegId) -> None:
        if leg in self.legs:
            self.legs[leg] = True
            self._tell(events.LegAnswered(leg))

    def _later(self, ms: int, leg: LegId, fact: events.Event, *, last: bool = False) -> None:
        def happen() -> None:
            if leg in self.legs:
                if last:
                    del self.legs[leg]
                self._tell(fact)

        self._in(ms, happen)

    def _work(self, agent: AgentId, state: AgentState, attempt: AttemptId | None) -> None:
        if state is AgentState.WRAP_UP and attempt is not None and attempt not in self.disposing:
            self.disposing.add(attempt)
            life = self.lives
            self._in(5_000, lambda: self._dispose(attempt, agent) if life == self.lives else None)

    def _dispose(self, attempt: AttemptId, agent: AgentId) -> None:
        (kind,) = self.chance.choices(("sale", "refusal", "callback", "later", "never"), (10, 10, 40, 37, 3))
        at_ms = self.now_ms + round(self.chance.uniform(60_000, 4 * DAY_MS)) if kind == "callback" else None
        self._do(
            events.Dispose,
            agent=agent,
            attempt=attempt,
            disposition=DispositionId(kind),
            note="",
            callback_at_ms=at_ms,
            callback_mine=self.chance.random() < 0.3,
        )
        if self.floor.live.agents[agent].state is AgentState.WRAP_UP:
            self._do(events.AgentReady, agent=agent)

    # ── the judgement ────────────────────────────────────────────────────────────────────────────────────────────

    def judged(self) -> Lived:
        lived = Lived(lives=self.lives)
        with sqlite3.connect(self.path) as database:
            database.row_factory = sqlite3.Row
            lived.attempts, lived.talks = database.execute(
                "SELECT count(*), count(bridged_at_ms) FROM attempts"
            ).fetchone()
            (lived.several,) = database.execute(
                "SELECT count(*) FROM attempts a JOIN leads l ON l.id = a.lead_id WHERE l.zone IS NULL"
            ).fetchone()
            (lived.callbacks,) = database.execute("SELECT count(*) FROM callbacks").fetchone()
            lived.broken = rules.broken(database, self.now_ms, invites=self.invites, stops=self.stops)
        return lived


def main() -> int:
    """A whole month; the seed may be given."""
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        lived = live(Plan(seed=seed), Path(folder) / "month.db")
    for slip in lived.broken[:50]:
        sys.stdout.write(slip + "\n")
    told = {
        "seed": seed,
        "attempts": lived.attempts,
        "talks": lived.talks,
        "callbacks": lived.callbacks,
        "several_zones": lived.several,
        "lives": lived.lives,
        "broken": len(lived.broken),
        "seconds": round(time.monotonic() - began, 1),
    }
    sys.stdout.write("RESULT " + json.dumps(told) + "\n")
    return 1 if lived.broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
