"""What one fact costs the Floor, and that it does not grow with the floor.

    python -m bench.floor [--agents 30,100,300] [--minutes 5] [--campaigns 1] [--mode predictive]

A shift in virtual time without store, switch or loop: only `Floor.handle` is timed. One call in four is answered after
some ten seconds of ringing, talks last 75 s, wrap-ups 15 s. The first minutes, in which everybody logs in at once, are
not counted. The last line is RESULT and JSON.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from engine.core import effects, events
from engine.core.floor import Floor
from engine.core.model import (
    AgentId,
    AgentProfile,
    AttemptPolicy,
    CallingHours,
    Campaign,
    CampaignId,
    CommandId,
    Disposition,
    DispositionId,
    DispositionKind,
    Lead,
    LeadId,
    LeadState,
    LegId,
    Phone,
    PhoneId,
    PhoneNumber,
    Policy,
    Trunk,
    TrunkId,
    agent_of_leg,
)
from engine.core.pacing import PacingPolicy, Predictive, Progressive

START_MS: Final = 1_763_971_200_000
WARM_MS: Final = 3 * 60_000
SOLD: Final = DispositionId("sold")
CARRIER: Final = TrunkId("carrier")


@dataclass(slots=True)
class Costs:
    """Microseconds per fact, by its kind."""

    by_kind: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    calls_max: int = 0

    @property
    def all(self) -> list[float]:
        return sorted(cost for costs in self.by_kind.values() for cost in costs)


class Shift:
    """A floor, its people, and the clock that moves from one fact to the next."""

    def __init__(self, agents: int, campaigns: int, pacing: PacingPolicy, seed: int = 1) -> None:
        self._chance = random.Random(seed)
        self._ids = [CampaignId(f"c{n}") for n in range(campaigns)]
        self._floor = Floor(_policy(agents, self._ids, pacing), epoch=1)
        self._facts: list[tuple[int, int, events.Event]] = []
        self._timers: dict[tuple[str, str], int] = {}
        self._order = self._leads = self._commands = 0
        self._now_ms = START_MS
        self.costs = Costs()

    def run(self, minutes: float) -> Costs:
        """Live it through."""
        self._obey(self._floor.start(START_MS))
        self._tell(events.SwitchUp(()))
        for id_ in self._ids:
            self._tell(self._say(events.CampaignSwitched, campaign=id_, running=True))
        for agent in self._floor.live.agents:
            self._later(self._chance.uniform(0, 60_000), self._say(events.AgentLogin, agent=agent))
        until_ms = START_MS + WARM_MS + round(minutes * 60_000)
        while self._facts and self._facts[0][0] <= until_ms:
            self._now_ms, _, fact = heapq.heappop(self._facts)
            if isinstance(fact, events.TimerFired):
                if self._timers.get(fact.key) != self._now_ms:
                    continue  # moved or cancelled meanwhile
                del self._timers[fact.key]
            self._tell(fact)
        return self.costs

    def _tell(self, fact: events.Event) -> None:
        began_s = time.perf_counter()
        orders = self._floor.handle(fact, self._now_ms)
        took_us = (time.perf_counter() - began_s) * 1e6
        if self._now_ms > START_MS + WARM_MS:
            self.costs.by_kind[type(fact).__name__].append(took_us)
            self.costs.calls_max = max(self.costs.calls_max, self._floor.live.talking())
        self._obey(orders)

    def _obey(self, orders: Sequence[effects.Effect]) -> None:
        for order in orders:
            match order:
                case effects.OriginateCustomer(leg=leg):
                    self._dial(leg)
                case effects.OriginateAgent(leg=leg):
                    self._later(50, events.LegAnswered(leg))
                case effects.Bridge(customer=leg):
                    self._later(5, events.LegBridged(leg))
                    self._later(self._chance.expovariate(1 / 75_000), events.LegHungUp(leg, 16))
                case effects.PlayMessageAndHangup(leg=leg):
                    self._later(8_000, events.LegHungUp(leg, 16))
                case effects.Hangup(leg=leg) if agent_of_leg(leg) is None:
                    self._later(5, events.LegHungUp(leg, 127))
                case effects.FetchLeads():
                    self._later(3, self._fetched(order))
                case effects.SetTimer(key=key, at_ms=at_ms):
                    self._timers[key] = max(at_ms, self._now_ms)
                    self._push(self._timers[key], events.TimerFired(key))
                case effects.CancelTimer(key=key):
                    self._timers.pop(key, None)
                case effects.AgentChanged(agent=agent) if agent.state == "paused":
                    self._later(100, self._say(events.AgentReady, agent=agent.id))
                case effects.AgentChanged(agent=agent) if agent.state == "wrap_up" and not agent.disposed:
                    said = self._say(events.Dispose, agent=agent.id, attempt=agent.attempt, disposition=SOLD)
                    self._later(self._chance.expovariate(1 / 15_000), said)

    def _dial(self, leg: LegId) -> None:
        ring_ms = self._chance.uniform(1_000, 4_000)
        self._later(20, events.OriginateAccepted(leg))
        self._later(ring_ms, events.LegRinging(leg))
        if self._chance.random() < 0.25:
            self._later(ring_ms + self._chance.uniform(2_000, 18_000), events.LegAnswered(leg))
        else:
            self._later(ring_ms + self._chance.choice((3_000, 25_000)), events.LegHungUp(leg, 19, 480))

    def _fetched(self, order: effects.FetchLeads) -> events.LeadsFetched:
        leads = []
        for _ in range(order.limit):
            self._leads += 1
            phone = Phone(position=0, number=PhoneNumber(f"+38067{self._leads:07}"))
            lead = Lead(id=LeadId(self._leads), campaign=order.campaign, phones=(phone,), state=LeadState.NEW)
            leads.append(lead)
        return events.LeadsFetched(order.campaign, tuple(leads))

    def _say(self, kind: Any, **what: Any) -> events.Event:
        self._commands += 1
        said: events.Event = kind(command=CommandId(str(self._commands)), by="bench", **what)
        return said

    def _later(self, after_ms: float, fact: events.Event) -> None:
        self._push(self._now_ms + max(1, round(after_ms)), fact)

    def _push(self, at_ms: int, fact: events.Event) -> None:
        self._order += 1
        heapq.heappush(self._facts, (at_ms, self._order, fact))


def _policy(agents: int, ids: Sequence[CampaignId], pacing: PacingPolicy) -> Policy:
    campaigns = {
        id_: Campaign(
            id=id_,
            name=id_,
            pacing=pacing,
            trunks=(CARRIER,),
            caller_id=None,
            attempts=AttemptPolicy(max=1, retry={}),
            hours=CallingHours(spans=(((0, 24 * 60),),) * 7, zone="UTC"),
            dispositions=(Disposition(id=SOLD, kind=DispositionKind.FINAL, labels={}),),
            wrap_up_ms=600_000,
        )
        for id_ in ids
    }
    profiles = [
        AgentProfile(id=AgentId(f"a{n}"), name=f"a{n}", phone=PhoneId(f"p{n}"), campaigns=(ids[n % len(ids)],))
        for n in range(agents)
    ]
    trunk = Trunk(id=CARRIER, lines_max=agents * 8, calls_per_second_max=max(5.0, agents / 2))
    return Policy(campaigns=campaigns, trunks={CARRIER: trunk}, agents={one.id: one for one in profiles})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", default="30,100,300")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--campaigns", type=int, default=1)
    parser.add_argument("--mode", choices=("predictive", "progressive"), default="predictive")
    asked = parser.parse_args()
    pacing: PacingPolicy = Predictive() if asked.mode == "predictive" else Progressive()
    result: dict[str, float | int | str] = {"mode": asked.mode, "campaigns": asked.campaigns}
    for agents in map(int, asked.agents.split(",")):
        costs = Shift(agents, asked.campaigns, pacing).run(asked.minutes)
        every = costs.all
        mean_us, p99_us = statistics.fmean(every), every[int(0.99 * len(every))]
        print(
            f"{agents} agents, {costs.calls_max} calls at most, {len(every)} facts: {mean_us:.1f} µs, p99 {p99_us:.0f}"
        )
        for kind, those in sorted(costs.by_kind.items(), key=lambda item: -sum(item[1])):
            print(f"   {kind:20} {len(those):7}  mean {statistics.fmean(those):7.1f} µs  worst {max(those):8.0f}")
        result[f"event_us_{agents}"] = round(mean_us, 1)
        result[f"event_p99_us_{agents}"] = round(p99_us)
        result[f"calls_{agents}"] = costs.calls_max
    print("RESULT " + json.dumps(result))


if __name__ == "__main__":
    main()
