"""A conversation with the Floor: facts are told at a time, orders are asked after. No loop, no clock, no mocks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, TypeVar

from engine.core import effects, events
from engine.core.attempts import DIALABLE
from engine.core.floor import Floor
from engine.core.model import (
    Agent,
    AgentId,
    AgentProfile,
    AgentState,
    Attempt,
    AttemptId,
    AttemptPolicy,
    CallingHours,
    Campaign,
    CampaignId,
    CommandId,
    Disposition,
    DispositionId,
    DispositionKind,
    InboundQueue,
    Lead,
    LeadId,
    LeadState,
    LegId,
    Outcome,
    Phone,
    PhoneId,
    PhoneNumber,
    Policy,
    QueueId,
    RetryRule,
    Trunk,
    TrunkId,
    inbound_leg,
)
from engine.core.pacing import Progressive

#: A Monday, 10:00 in Kyiv.
MONDAY_MS = 1_763_971_200_000
SPRING = CampaignId("spring")
ANNA, BORYS = AgentId("anna"), AgentId("borys")
ALWAYS = CallingHours(spans=(((0, 24 * 60),),) * 7, zone="Europe/Kyiv")
OFFICE_HOURS = CallingHours(spans=(((9 * 60, 20 * 60),),) * 7, zone="Europe/Kyiv")
SOLD = Disposition(id=DispositionId("sold"), kind=DispositionKind.FINAL, labels={})
LATER = Disposition(id=DispositionId("later"), kind=DispositionKind.CALLBACK, labels={})
AGAIN = Disposition(id=DispositionId("again"), kind=DispositionKind.RETRY, labels={}, retry_after_ms=3_600_000)
NEVER = Disposition(id=DispositionId("never"), kind=DispositionKind.DNC, labels={})
MINUTE_MS = 60_000

E = TypeVar("E")


def campaign(**changes: Any) -> Campaign:
    """A progressive campaign, open at all hours."""
    usual = Campaign(
        id=SPRING,
        name="Spring",
        pacing=Progressive(),
        trunks=(TrunkId("carrier"),),
        caller_id=PhoneNumber("+380441230000"),
        attempts=AttemptPolicy(
            max=5,
            retry={
                Outcome.BUSY: RetryRule(after_ms=5 * MINUTE_MS, max=2),
                Outcome.NO_ANSWER: RetryRule(after_ms=60 * MINUTE_MS, max=3),
            },
        ),
        hours=ALWAYS,
        dispositions=(SOLD, LATER, AGAIN, NEVER),
    )
    return replace(usual, **changes)


def profile(agent: AgentId = ANNA, **changes: Any) -> AgentProfile:
    """An agent of the spring campaign with a nailed-up phone."""
    usual = AgentProfile(id=agent, name=agent.title(), phone=PhoneId(f"desk-{agent}"), campaigns=(SPRING,))
    return replace(usual, **changes)


def policy(
    *campaigns: Campaign,
    agents: Iterable[AgentProfile] = (),
    lines: int = 30,
    per_second: float = 1e9,
    queues: Iterable[InboundQueue] = (),
) -> Policy:
    """A configuration with one carrier."""
    carrier = Trunk(id=TrunkId("carrier"), lines_max=lines, calls_per_second_max=per_second)
    return Policy(
        campaigns={c.id: c for c in campaigns or (campaign(),)},
        trunks={carrier.id: carrier},
        agents={a.id: a for a in agents},
        queues={q.id: q for q in queues},
    )


OUR_NUMBER = "+380441230000"
HOTLINE = QueueId("hotline")


def queue(**changes: Any) -> InboundQueue:
    """A queue of the spring campaign, open at all hours."""
    usual = InboundQueue(id=HOTLINE, name="Hotline", campaign=SPRING, numbers=(OUR_NUMBER,), hours=ALWAYS)
    return replace(usual, **changes)


def lead(id_: int, *numbers: str, **changes: Any) -> Lead:
    """A new lead, due now."""
    phones = tuple(
        Phone(position=position, number=PhoneNumber(number))
        for position, number in enumerate(numbers or (f"+38067{id_:07}",))
    )
    usual = Lead(id=LeadId(id_), campaign=SPRING, phones=phones, state=LeadState.NEW)
    return replace(usual, **changes)


class Conversation:
    """The Floor, a hand that moves the clock, and a list of leads that answers `FetchLeads`."""

    def __init__(
        self,
        *leads: Lead,
        policy: Policy | None = None,
        agents: Iterable[AgentProfile] = (),
        now_ms: int = MONDAY_MS,
        epoch: int = 1,
        link: bool = True,
        running: bool = True,
        **campaign_changes: Any,
    ) -> None:
        people = tuple(agents) or (profile(ANNA), profile(BORYS))
        self.now_ms = now_ms
        self.floor = Floor(policy or globals()["policy"](campaign(**campaign_changes), agents=people), epoch=epoch)
        self.live = self.floor.live
        self.leads = list(leads)
        self.listed: set[PhoneNumber] = set()  # numbers on a do-not-call list
        self.orders: list[effects.Effect] = []
        self.timers: dict[tuple[str, str], int] = {}
        self._commands = 0
        self._take(self.floor.start(now_ms))
        if link:
            self.tell(events.SwitchUp(()))
        if running:
            for id_ in self.live.policy.campaigns:
                self.command(events.CampaignSwitched, campaign=id_, running=True)

    # ── telling ──────────────────────────────────────────────────────────────────────────────────────────────────

    def tell(self, *facts: events.Event) -> list[effects.Effect]:
        """Tell facts now; returns what was ordered because of them."""
        before = len(self.orders)
        for fact in facts:
            self._take(self._handle(fact))
        return self.orders[before:]

    def wait(self, ms: int) -> list[effects.Effect]:
        """Let time pass; timers fire on the way."""
        before, until_ms = len(self.orders), self.now_ms + ms
        while due := sorted((at, key) for key, at in self.timers.items() if at <= until_ms):
            at_ms, key = due[0]
            self.now_ms = max(self.now_ms, at_ms)
            del self.timers[key]
            self.tell(events.TimerFired(key))
        self.now_ms = until_ms
        return self.orders[before:]

    def command(self, kind: Any, **what: Any) -> str:
        """Give a desk command; returns why it was refused, or ""."""
        self._commands += 1
        id_ = CommandId(f"c{self._commands}")
        orders = self.tell(kind(command=id_, by="test", **what))
        (done,) = [o for o in orders if isinstance(o, effects.CommandDone)]
        assert done.command == id_
        return done.refusal

    # ── usual turns ──────────────────────────────────────────────────────────────────────────────────────────────

    def log_in(self, *agents: AgentId) -> None:
        """Agents log in and lift their phones; they are paused."""
        for agent in agents:
            assert not self.command(events.AgentLogin, agent=agent)
            leg = self.agent(agent).leg
            if leg is not None:
                self.tell(events.LegAnswered(leg))

    def ready(self, *agents: AgentId) -> None:
        """Agents log in, if they have not, and want calls."""
        for agent in agents:
            if self.agent(agent).state is AgentState.LOGGED_OUT:
                self.log_in(agent)
            assert not self.command(events.AgentReady, agent=agent)

    def ring(self, leg: LegId) -> None:
        """Asterisk takes the call, and it rings."""
        self.tell(events.OriginateAccepted(leg), events.LegRinging(leg))

    def call_in(self, number: str = "+380671112233", *, dialed: str = OUR_NUMBER) -> LegId:
        """Somebody calls us."""
        self._commands += 1
        leg = inbound_leg(f"1700000000.{self._commands}")
        caller = PhoneNumber(number) if number else None
        self.tell(events.CallArrived(leg=leg, trunk=TrunkId("carrier"), dialed=PhoneNumber(dialed), caller=caller))
        return leg

    def answer(self, leg: LegId) -> list[effects.Effect]:
        """They answer."""
        self.ring(leg)
        return self.tell(events.LegAnswered(leg))

    def talk(self, leg: LegId) -> Attempt:
        """They answer and are bridged."""
        self.answer(leg)
        self.tell(events.LegBridged(leg))
        return self.attempt(leg)

    def hang_up(self, leg: LegId, cause: int = 16, tech_cause: int | None = None) -> list[effects.Effect]:
        """The far side hangs up."""
        return self.tell(events.LegHungUp(leg, cause, tech_cause))

    def dispose(self, attempt: Attempt, disposition: Disposition, **what: Any) -> str:
        """The agent's result."""
        what.setdefault("agent", attempt.agent)
        return self.command(events.Dispose, attempt=attempt.id, disposition=disposition.id, **what)

    # ── asking ───────────────────────────────────────────────────────────────────────────────────────────────────

    def agent(self, agent: AgentId = ANNA) -> Agent:
        """The agent now."""
        return self.live.agents[agent]

    def attempt(self, leg: LegId) -> Attempt:
        """The live attempt of that leg."""
        return self.live.attempts[self.live.attempt_at(leg) or AttemptId(leg)]

    def all(self, kind: type[E], orders: Iterable[effects.Effect] | None = None) -> list[E]:
        """Orders of a kind, in order."""
        return [o for o in (self.orders if orders is None else orders) if isinstance(o, kind)]

    def last(self, kind: type[E]) -> E:
        """The latest order of a kind."""
        return self.all(kind)[-1]

    def dialed(self) -> list[LegId]:
        """The customers' legs that were dialed, in order."""
        return [o.leg for o in self.all(effects.OriginateCustomer)]

    def dial(self) -> LegId:
        """The only leg in flight that nobody answered yet."""
        (leg,) = [a.leg for a in self.live.attempts.values() if a.answered_at_ms is None and a.ended_at_ms is None]
        return leg

    def end(self) -> effects.SaveEnd:
        """How the latest attempt ended."""
        return self.last(effects.SaveEnd)

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _take(self, orders: list[effects.Effect]) -> None:
        self.orders += orders
        for order in orders:
            if isinstance(order, effects.SetTimer):
                self.timers[order.key] = order.at_ms
            elif isinstance(order, effects.CancelTimer):
                self.timers.pop(order.key, None)
            elif isinstance(order, effects.FetchLeads):
                self._take(self._handle(self._fetch(order)))
            elif isinstance(order, effects.CheckHeld):
                self._take(self._handle(events.HeldChecked(self._listed(order.leads))))
            elif isinstance(order, effects.FetchLead):
                found = next((one for one in self.leads if one.id == order.lead), None)
                self._take(self._handle(events.LeadFetched(order.lead, found)))
            elif isinstance(order, effects.CheckNumber):
                self._take(self._handle(events.NumberChecked(order.attempt, order.number in self.listed)))
            elif isinstance(order, effects.FetchCaller):
                found_leads = [one for one in self.leads if any(p.number == order.number for p in one.phones)]
                self._take(self._handle(events.CallerFetched(order.attempt, tuple(found_leads))))
            elif isinstance(order, effects.SaveAttempt) and order.attempt.lead is not None:
                self._book(order.attempt.lead, state=LeadState.DIALING)
            elif (
                isinstance(order, effects.SaveEnd | effects.SaveLead | effects.SaveDisposition | effects.SavePlan)
                and order.change
            ):
                next_at_ms = order.change.next_at_ms or 0
                self._book(order.change.lead, state=order.change.state, next_at_ms=next_at_ms)

    def _handle(self, fact: events.Event) -> list[effects.Effect]:
        return self.floor.handle(fact, self.now_ms)

    def _listed(self, asked: Iterable[LeadId]) -> tuple[tuple[LeadId, PhoneNumber], ...]:
        numbers = [(one.id, phone.number) for one in self.leads if one.id in asked for phone in one.phones]
        return tuple((of, number) for of, number in numbers if number in self.listed)

    def _book(self, lead: LeadId, **changes: Any) -> None:
        if changes["state"] is LeadState.SUPPRESSED:
            self.listed |= {phone.number for one in self.leads if one.id == lead for phone in one.phones}
        self.leads = [replace(one, **changes) if one.id == lead else one for one in self.leads]

    def _fetch(self, order: effects.FetchLeads) -> events.LeadsFetched:
        waiting = [
            one
            for one in self.leads
            if one.campaign == order.campaign
            and one.state in DIALABLE
            and one.id not in order.but
            and any(phone.number not in self.listed for phone in one.phones)
        ]
        promised = [one for one in waiting if one.state is LeadState.CALLBACK]
        asked = promised if order.promised else waiting
        due = sorted((one for one in asked if one.next_at_ms <= self.now_ms), key=_callbacks_first)
        later, calls = (
            min((one.next_at_ms for one in some if one.next_at_ms > self.now_ms), default=None)
            for some in (waiting, promised)
        )
        found = tuple(due[: order.limit])
        return events.LeadsFetched(order.campaign, found, later, calls, promised=order.promised)


def _callbacks_first(lead: Lead) -> tuple[bool, int]:
    promised = lead.state is LeadState.CALLBACK
    return not promised, lead.next_at_ms if promised else 0
