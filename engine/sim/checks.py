"""What must hold in every history: after each fact, each transaction and each dial, every two seconds, and at the end.

What the engine remembers is held against the switch and against the disk, which is looked at as another process would.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from engine.clock import Clock
from engine.core import effects, events
from engine.core.budget import AbandonBudget, MinuteCount
from engine.core.floor import Floor
from engine.core.invariants import violations
from engine.core.live import READY_ON_DISK, Live
from engine.core.model import (
    Agent,
    AgentId,
    AgentState,
    Attempt,
    AttemptId,
    BridgeId,
    ConsultPhase,
    CustomerState,
    Policy,
    agent_of_leg,
)
from engine.core.screening import Checked, Detection
from engine.sim.plan import CAMPAIGN, VOICEMAIL, ZONE, Plan
from engine.sim.switch import Invite, Place, SimSwitch
from engine.sim.virtual import VirtualLoop

#: What is out of step with the switch is put right within this while the link is up (the switch is asked every 10 s).
STRANDED_MAX_MS: Final = 30_000
#: Nobody who answered hears nothing for longer than this while the link is up, even when facts are lost.
SILENCE_MAX_MS: Final = 20_000
#: The order to dial may still be sent this long after the number was suppressed: the engine has not heard of it yet.
SUPPRESSION_RACE_S: Final = 1.0

#: Looks at what is stuck between two at the leads: those are many.
LEADS_EVERY: Final = 5


class Broken(Exception):
    """An invariant does not hold."""


class WatchedFloor(Floor):
    """The Floor, looked at after every fact."""

    def __init__(
        self,
        policy: Policy,
        *,
        epoch: int,
        check_every: int,
        decided: Callable[[events.Event, Sequence[effects.Effect], int], None] | None,
    ) -> None:
        """`decided` is told of every fact, what followed and when; only then are writes counted."""
        super().__init__(policy, epoch=epoch)
        self.writes = 0
        self._facts = 0
        self._check_every = check_every
        self._decided = decided

    def handle(self, event: events.Event, now_ms: int) -> list[effects.Effect]:
        orders = super().handle(event, now_ms)
        self._facts += 1
        if self._decided is not None:
            self.writes += sum(isinstance(order, effects.Write) for order in orders)
            self._decided(event, orders, now_ms)
        if self._facts % self._check_every == 0:
            broken = violations(self.live)
            if broken:
                raise Broken("; ".join(broken))
        return orders


class Checks:
    """Whoever looks on."""

    def __init__(self, plan: Plan, *, switch: SimSwitch, clock: Clock, disk: sqlite3.Connection) -> None:
        self.suppressed_at_s: dict[int, float] = {}  # by the loop
        self.listed_at_s: dict[str, float] = {}
        self._plan = plan
        self._switch = switch
        self._clock = clock
        self._disk = disk
        self._floor: WatchedFloor | None = None
        self._saved = 0  # writes of this life
        self._agents: set[AgentId] = set()  # and whom they are of
        self._dialed: set[str] = set()
        self._since_ms: dict[tuple[str, str], int] = {}

    def begin(self, floor: WatchedFloor) -> None:
        """A life of the engine begins."""
        self._floor, self._saved = floor, 0
        self._agents.clear()
        self._since_ms.clear()

    def end(self) -> None:
        """It is dead."""
        self._floor = None

    def saved(self, writes: Sequence[effects.Write]) -> None:
        """A transaction is on disk; when nothing more is on its way, the disk must tell what the memory knows."""
        if not self._plan.traced:
            return
        self._saved += len(writes)
        self._agents.update(write.agent.id for write in writes if isinstance(write, effects.SaveAgent))
        floor = self._floor
        if floor is not None and floor.writes == self._saved:
            self._compare_calls(floor.live)
            self._compare_agents(floor.live)

    def _compare_calls(self, live: Live) -> None:
        rows = {
            row[0]: row[1:]
            for row in self._disk.execute(
                "SELECT a.id, a.answered_at_ms, a.bridged_at_ms, l.state, a.lead_id FROM attempts a LEFT JOIN leads l"
                " ON l.id = a.lead_id WHERE a.ended_at_ms IS NULL"
            )
        }
        known = {a.id: a for a in live.attempts.values() if a.state is not CustomerState.ENDED}
        if rows.keys() != known.keys():
            raise Broken(f"open on disk {sorted(rows)}, in memory {sorted(known)}")
        for id_, (answered_at_ms, bridged_at_ms, state, lead) in rows.items():
            attempt = known[id_]
            if lead != attempt.lead:
                raise Broken(f"attempt {id_} has lead {lead} on disk, {attempt.lead} in memory")
            if (answered_at_ms, bridged_at_ms) != (attempt.answered_at_ms, attempt.bridged_at_ms):
                raise Broken(f"the disk has {answered_at_ms} {bridged_at_ms}, the memory {attempt}")
            waits = attempt.queue is not None and (lead is None or bridged_at_ms is None)
            if not waits and id_ not in live.decided and state not in {"dialing", "in_call", "suppressed"}:
                raise Broken(f"attempt {id_} is open and its lead is {state}")

    def _compare_agents(self, live: Live) -> None:
        for id_, agent_state, attempt_id, leg in self._disk.execute("SELECT id, state, attempt_id, leg FROM agents"):
            if id_ not in self._agents:
                continue  # of the last life, until the switch has been heard
            agent = live.agents.get(AgentId(id_), Agent(id=AgentId(id_)))  # gone from the file: gone home
            known = AgentState.READY if agent.state in READY_ON_DISK else agent.state
            if (agent_state, attempt_id, leg) != (known, agent.attempt, agent.leg):
                raise Broken(f"the disk has {id_} {agent_state} {attempt_id} {leg}, the memory {agent}")

    def dialed(self, invite: Invite) -> None:
        """A number leaves the house: it must be on disk, free, and one that may be called now."""
        order, now_ms = invite.order, invite.at_ms
        if order.attempt in self._dialed:
            raise Broken(f"attempt {order.attempt} is dialed twice")
        self._dialed.add(order.attempt)
        row = self._disk.execute(
            "SELECT a.lead_id, a.number, l.zone FROM attempts a JOIN leads l ON l.id = a.lead_id WHERE a.id = ?",
            (order.attempt,),
        ).fetchone()
        if row is None:
            raise Broken(f"attempt {order.attempt} is dialed and not on disk")
        lead, number, zone = row
        if number != order.number.e164:
            raise Broken(f"attempt {order.attempt} dials a number that is not on disk")
        if self._switch.numbers[number]:
            live = self._floor.live.attempts if self._floor is not None else {}
            known = [
                a
                for a in live.values()
                if a.number == order.number and a.leg in self._switch.channels and a.queue is None
            ]
            if known:
                raise Broken(f"attempt {order.attempt} dials a number that is on the line")
        if invite.sent_s > self.suppressed_at_s.get(lead, invite.sent_s) + SUPPRESSION_RACE_S:
            raise Broken(f"attempt {order.attempt} dials lead {lead}, suppressed long ago")
        if invite.sent_s > self.listed_at_s.get(number, invite.sent_s) + SUPPRESSION_RACE_S:
            raise Broken(f"attempt {order.attempt} dials a number that is on the do-not-call list")
        if self._floor is None or not order.attempt.startswith(f"{self._floor.live.epoch}-"):
            return  # sent by an engine that has died since; the clock may have been stepped meanwhile
        there = datetime.fromtimestamp(now_ms / 1000, ZoneInfo(zone or ZONE))
        if not any(start <= there.hour * 60 + there.minute < end for start, end in self._plan.hours):
            raise Broken(f"attempt {order.attempt} dials lead {lead} at {there:%H:%M} in {zone}, outside the hours")

    async def watch(self) -> None:
        """Again and again: what is out of step, and for how long."""
        turn = 0
        while True:
            await asyncio.sleep(self._plan.watch_every_s)
            turn += 1
            loop = asyncio.get_running_loop()
            if isinstance(loop, VirtualLoop) and loop.failures:
                raise loop.failures[0]
            floor = self._floor
            if floor is None or not self._switch.connected or not floor.live.connected:
                self._since_ms.clear()
                continue
            stuck = dict(self._stuck(floor))
            leads_too = turn % LEADS_EVERY == 0
            if leads_too:
                stuck |= dict(self._stuck_leads(floor))
            now_ms = self._clock.now_ms()
            kept = {
                key: at for key, at in self._since_ms.items() if key in stuck or (key[0] == "lead" and not leads_too)
            }
            self._since_ms = {key: kept.get(key, now_ms) for key in {**kept, **stuck}}
            for key, limit_ms in stuck.items():
                if now_ms - self._since_ms[key] > limit_ms:
                    raise Broken(f"{key[0]} {key[1]} for {(now_ms - self._since_ms[key]) / 1000:.0f} s")

    def _stuck(self, floor: WatchedFloor) -> Iterator[tuple[tuple[str, str], int]]:
        live, channels = floor.live, self._switch.channels
        hear_wrongly = self._hear_wrongly(live)
        for agent in live.agents.values():
            if agent.leg is not None and agent.leg not in channels:
                yield ("without a phone is agent", agent.id), STRANDED_MAX_MS
            if agent.id in hear_wrongly:
                yield ("with the wrong colleague is agent", agent.id), STRANDED_MAX_MS
            if agent.state not in {AgentState.TALKING, AgentState.RESERVED}:
                continue
            attempt = live.attempts.get(agent.attempt) if agent.attempt else None
            if agent.state is AgentState.TALKING and not self._hear_each_other(agent.leg, attempt):
                yield ("nobody talks with agent", agent.id), STRANDED_MAX_MS
            rings = attempt is not None and attempt.by_agent and attempt.answered_at_ms is None
            if agent.state is AgentState.RESERVED and not rings:
                yield ("reserved is agent", f"{agent.id} {agent.attempt}"), STRANDED_MAX_MS
        yield from self._stuck_calls(floor)

    def _hear_wrongly(self, live: Live) -> set[AgentId]:
        """Agents who hear a colleague whom nobody asks, or do not hear one who is asked."""
        together: defaultdict[BridgeId, set[AgentId]] = defaultdict(set)
        heard: defaultdict[AgentId, set[AgentId]] = defaultdict(set)
        should: defaultdict[AgentId, set[AgentId]] = defaultdict(set)
        for agent in live.agents.values():
            channel = self._switch.channels.get(agent.leg) if agent.leg else None
            if channel is not None and channel.bridge is not None:
                together[channel.bridge].add(agent.id)
            consult = agent.consult
            visits = consult is not None and consult.phase in {ConsultPhase.PRIVATE, ConsultPhase.CONFERENCE}
            if consult is not None and consult.colleague is not None and visits:
                should[agent.id].add(consult.colleague)
                should[consult.colleague].add(agent.id)
        for room in together.values():
            if len(room) > 1:
                for id_ in room:
                    heard[id_] = room - {id_}
        return {id_ for id_ in heard.keys() | should.keys() if heard[id_] != should[id_]}

    def _stuck_calls(self, floor: WatchedFloor) -> Iterator[tuple[tuple[str, str], int]]:
        live, channels = floor.live, self._switch.channels
        legs = {*(agent.leg for agent in live.agents.values()), *live.outside.values()}
        for one in live.attempts.values():
            if one.state is CustomerState.ENDED:
                continue
            channel = channels.get(one.leg)
            if channel is None:
                yield ("without a channel is attempt", one.id), STRANDED_MAX_MS
                continue
            legs.add(one.leg)
            begun = one.state is CustomerState.TALKING and not live.store_problem  # it is ordered when it is on disk
            recording = one.recording if begun else None
            if recording is not None and recording.name not in self._switch.recordings:
                yield ("not recorded, and said to be, is attempt", one.id), STRANDED_MAX_MS
            if one.state is CustomerState.HELD and channel.bridge is not None:
                yield ("on hold, and heard, is attempt", one.id), STRANDED_MAX_MS
        recorded = {one.recording.name for one in live.attempts.values() if one.recording is not None}
        for name in sorted(self._switch.recordings.keys() - recorded):
            yield ("nobody ends recording", name), STRANDED_MAX_MS
        for leg, channel in channels.items():
            if leg not in legs:
                yield ("unknown is channel", leg), STRANDED_MAX_MS
            silent = channel.up and channel.place is Place.STASIS and channel.bridge is None and not channel.music
            if silent and agent_of_leg(leg) is None:
                known = live.attempts.get(live.attempt_at(leg) or AttemptId(""))
                if known is None or known.state is not CustomerState.HELD:
                    yield ("silence hears", leg), SILENCE_MAX_MS

    def _hear_each_other(self, agent_leg: str | None, attempt: Attempt | None) -> bool:
        if attempt is None or agent_leg is None:
            return False
        customer, phone = self._switch.channels.get(attempt.leg), self._switch.channels.get(agent_leg)  # type: ignore[call-overload]
        if customer is None or phone is None:
            return False
        return attempt.state is CustomerState.HELD or (customer.bridge is not None and customer.bridge == phone.bridge)

    def _stuck_leads(self, floor: WatchedFloor) -> Iterator[tuple[tuple[str, str], int]]:
        if floor.live.store_problem:
            return  # what became of them waits for the disk
        for (lead,) in self._disk.execute(
            "SELECT id FROM leads WHERE state IN ('dialing', 'in_call')"
            " AND id NOT IN (SELECT lead_id FROM attempts WHERE ended_at_ms IS NULL)"
        ):
            if lead not in floor.live.leads:
                yield ("lead", f"{lead} waits for nobody"), STRANDED_MAX_MS

    # ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────

    def left(self) -> list[str]:
        """What is not over yet."""
        floor = self._floor
        if floor is None:
            return ["no engine runs"]
        left = [] if floor.live.connected else ["the switch has not been heard"]  # who is at work, it will say
        left += [f"channel {leg} lives" for leg in self._switch.channels]
        left += [f"agent {a.id} is {a.state}" for a in floor.live.agents.values() if a.state != "logged_out"]
        left += [f"attempt {a.id} is {a.state}" for a in floor.live.attempts.values()]
        return left

    def at_the_end(self, policy: Policy) -> None:
        """Nothing is left, and the disk is in order."""
        broken = self.left()
        checks = {
            "attempts are open": "SELECT count(*) FROM attempts WHERE ended_at_ms IS NULL",
            "agents are at work": "SELECT count(*) FROM agents WHERE state <> 'logged_out'",
            "leads wait for nobody": "SELECT count(*) FROM leads WHERE state IN ('dialing', 'in_call')",
            "leads are miscounted": "SELECT count(*) FROM leads WHERE attempts_count <>"
            " (SELECT count(*) FROM attempts a WHERE a.lead_id = leads.id AND a.counted = 1)",
            "leads were tried too often": "SELECT count(*) FROM leads WHERE attempts_count > 5",
            "conversations have no outcome": "SELECT count(*) FROM attempts WHERE bridged_at_ms IS NOT NULL"
            " AND outcome <> 'connected'",
            "answers have a wrong outcome": "SELECT count(*) FROM attempts WHERE answered_at_ms IS NOT NULL"
            " AND queue_id IS NULL AND outcome NOT IN ('connected', 'abandoned', 'hung_up_early', 'machine')",
            "calls that came in have a wrong outcome": "SELECT count(*) FROM attempts WHERE queue_id IS NOT NULL"
            " AND outcome NOT IN ('connected', 'left_queue', 'turned_away', 'out_of_hours')",
            "callers reached nobody and are not called back": "SELECT count(*) FROM attempts a WHERE a.number <> ''"
            " AND a.outcome IN ('left_queue', 'turned_away', 'out_of_hours') AND a.lead_id IS NULL"
            " AND a.queue_id = 'hotline'",
            "persons were kept from agents": "SELECT count(*) FROM attempts WHERE outcome = 'machine'"
            " AND verdict IS NOT 'machine'",
        }
        for words, query in checks.items():
            (count,) = self._disk.execute(query).fetchone()
            if count:
                broken.append(f"{count} {words}")
        for lead in self.suppressed_at_s:
            (state,) = self._disk.execute("SELECT state FROM leads WHERE id = ?", (lead,)).fetchone()
            if state != "suppressed":
                broken.append(f"suppressed lead {lead} is {state}")
        for leg in self._switch.opted_out:
            (state,) = self._disk.execute(
                "SELECT l.state FROM attempts a JOIN leads l ON l.id = a.lead_id WHERE a.leg = ?", (leg,)
            ).fetchone()
            if state != "suppressed":
                broken.append(f"{leg} wanted no more calls, and their lead is {state}")
        broken += self._miscounted(policy)
        if broken:
            raise Broken("at the end: " + "; ".join(broken))

    def _measured_anew(self, policy: Policy) -> float:
        """The share of machines that were persons, by what agents said on disk."""
        detection = Detection(policy.campaigns[CAMPAIGN].amd)
        rows = self._disk.execute(
            "SELECT a.id, a.answered_at_ms, c.disposition_id <> ? FROM attempts a JOIN calls c ON c.attempt_id = a.id"
            " WHERE a.verdict = 'machine' AND c.disposition_id IS NOT NULL AND a.campaign_id = ?"
            " ORDER BY a.answered_at_ms",
            (VOICEMAIL, CAMPAIGN),
        )
        detection.restore(Checked(attempt=AttemptId(row[0]), at_ms=row[1], person=bool(row[2])) for row in rows)
        return detection.misjudged_share

    def _miscounted(self, policy: Policy) -> list[str]:
        """Whether the abandonment budget, carried over every restart, is what a recount of the disk gives."""
        if self._floor is None or self._plan.clock_step_ms:
            return []
        rows = self._disk.execute(
            "SELECT answered_at_ms / 60000 * 60000, sum(outcome <> 'machine'), sum(outcome = 'abandoned'),"
            " sum(outcome = 'machine') FROM attempts"
            " WHERE answered_at_ms IS NOT NULL AND queue_id IS NULL AND campaign_id = ? GROUP BY 1 ORDER BY 1",
            (CAMPAIGN,),
        )
        counts = [MinuteCount(minute_ms=row[0], live_answers=row[1], abandoned=row[2], machines=row[3]) for row in rows]
        budget, now_ms = self._floor.live.pacers[CAMPAIGN].budget, self._clock.now_ms()
        recount = AbandonBudget(policy.campaigns[CAMPAIGN].abandon)
        recount.restore(counts, now_ms)
        recount.misjudged(self._measured_anew(policy))
        held, counted = budget.state(now_ms), recount.state(now_ms)
        if (held.live_answers, held.abandoned) == (counted.live_answers, counted.abandoned):
            return []
        return [f"the budget holds {held}, the disk says {counted}"]
