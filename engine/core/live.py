"""All live state, and the few verbs that change it.

Owned by the `Floor`; the handlers in `dialing`, `customers`, `desk` and `recovery` are its only other users. Values are
frozen and swapped; every swap that somebody outside must know of leaves an effect in `out`.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from engine.core import attempts as rules
from engine.core import effects, pacing, trunks
from engine.core.books import PRESENT, Attempts, Recent, Roster
from engine.core.events import DeskCommand, PlanCallback
from engine.core.law import Pack
from engine.core.machines import AGENT, CUSTOMER, JOINT_AGENT, AgentEvent, CustomerEvent, step
from engine.core.model import (
    COUNTED,
    Agent,
    AgentId,
    AgentProfile,
    AgentState,
    Attempt,
    AttemptId,
    Campaign,
    CampaignId,
    CommandId,
    Consult,
    CustomerState,
    HandOut,
    InboundQueue,
    Lead,
    LeadChange,
    LeadId,
    LeadState,
    LegId,
    LegKind,
    Mode,
    NotDialing,
    Outcome,
    PhoneNumber,
    Policy,
    Previewed,
    QueueId,
    Recording,
    TrunkId,
    Verdict,
    agent_leg,
    attempt_of_leg,
    bridge_of_leg,
    queue_seat,
)
from engine.core.screening import Checked, Detection
from engine.core.values import replace

#: Conversations whose disposition may still be corrected from the desk.
CORRECTIONS_MAX: Final = 1_000
#: Recordings whose end is still ordered again after a lost link.
ENDING_MAX: Final = 1_000
NEVER_MS: Final = 1 << 62
#: States that end with the engine.
READY_ON_DISK: Final = frozenset({AgentState.PREVIEW, AgentState.HELPING})
#: A leg younger than this may be missing from a snapshot that was taken while it was being made.
SNAPSHOT_GRACE_MS: Final = 5_000
#: How a call comes nearer to its answer: only a forecast weighs that, who goes by what is in flight decides as before.
_UNWEIGHED: Final = frozenset({CustomerEvent.ACCEPTED, CustomerEvent.RINGING})
#: A snapshot of the switch is not asked for more often: what failed for one leg often fails for many.
ASK_EVERY_MS: Final = 500


@dataclass(slots=True)
class Hopper:
    """Leads loaded to dial next."""

    leads: deque[Lead] = field(default_factory=deque)
    fetching: bool = False
    stale: bool = False  # leads changed while a fetch was under way: what it brings is thrown away
    owed: bool = False  # a promised call's time has come: nothing goes before it, so nothing goes until it is loaded
    dry_until_ms: int = 0  # the store had no more; asked again then
    promised_ms: int = NEVER_MS  # the next promised call
    soonest_ms: int = NEVER_MS  # the first lead that became dialable since the last fetch was asked for
    called: set[PhoneNumber] = field(default_factory=set)  # since that fetch: what it tells of their leads is old

    def reset(self) -> None:
        """Forget what is loaded, and what a fetch under way will bring."""
        self.leads.clear()
        self.dry_until_ms = 0
        self.doubt()

    def doubt(self) -> None:
        """Forget what a fetch under way will bring: it may have been read too soon."""
        self.stale = self.fetching

    def drop(self, leads: Container[LeadId]) -> None:
        """Forget these: the store has them as they are now."""
        kept = deque(lead for lead in self.leads if lead.id not in leads)
        if len(kept) < len(self.leads):
            self.leads, self.dry_until_ms = kept, 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A lead that an agent previews, as it was when it was shown."""

    agent: AgentId
    lead: Lead


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An agent's dial that waits for its lead to be read."""

    agent: AgentId
    position: int | None
    command: CommandId | None  # None: the countdown's end asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Attaching:
    """A caller whom an agent has recognised, while the lead is read."""

    attempt: AttemptId
    agent: AgentId
    command: CommandId


class Live:
    """Agents, attempts, hoppers, pacers and lines, as they are now."""

    def __init__(self, policy: Policy, epoch: int) -> None:  # noqa: PLR0915 - all state, one line each
        self.policy = policy
        self.epoch = epoch
        self.campaigns: dict[CampaignId, Campaign] = {}  # of the policy, and older ones that still have calls
        self.agents: dict[AgentId, Agent] = {}
        self.profiles: dict[AgentId, AgentProfile] = {}  # of them all: who is gone from the file may be at work yet
        self.attempts = Attempts()  # live, and ended ones that lack a disposition
        self.roster = Roster()
        self.leads: dict[LeadId, Lead] = {}  # of `attempts`
        self.decided: dict[AttemptId, str] = {}  # of `attempts`: no word will change the lead, by this rule
        self.claims: dict[LeadId, Claim] = {}  # leads that agents preview: offered to nobody else
        self.leg_since_ms: dict[AgentId, int] = {}  # when an agent's leg was ordered or found
        self.skips: Counter[AgentId] = Counter()  # of previews, since their last dial
        self.to_dial: dict[LeadId, Wanted] = {}  # leads that the store is asked for because an agent dials them
        self.to_plan: dict[LeadId, PlanCallback] = {}  # leads that the store is asked for because a call is promised
        self.recent = Recent(CORRECTIONS_MAX)
        self.queues: dict[QueueId, InboundQueue] = {}  # of the policy, and older ones that still have calls
        self.callers: dict[AttemptId, tuple[Lead, ...]] = {}  # who a caller may be, once the store has said
        self.without_music: dict[AttemptId, None] = {}  # callers who wait in silence: the order failed
        self.to_hand_out: dict[AttemptId, tuple[HandOut, DeskCommand]] = {}  # while the store is asked about the number
        self.outside: dict[AttemptId, LegId] = {}  # who outside is asked about its customer, or has them since
        self.to_attach: dict[LeadId, Attaching] = {}
        self.gone_legs: OrderedDict[LegId, None] = OrderedDict()  # of calls that came in: told late, they are no news
        self.running: dict[CampaignId, bool] = {}
        self.hoppers: dict[CampaignId, Hopper] = {}
        self.checks = 0  # under way, of what is loaded against the do-not-call lists: meanwhile nothing of it is dialed
        self.pacers: dict[CampaignId, pacing.Pacer] = {}
        self.trunks: dict[TrunkId, trunks.Trunk] = {}
        self.dialing: dict[CampaignId, effects.DialingChanged] = {}
        self.detections: dict[CampaignId, Detection] = {}
        self.decisions: dict[CampaignId, pacing.PacingDecision] = {}  # the last of each campaign, and all it weighed
        self.wanted: dict[CampaignId, int] = {}  # calls of it that are still to be placed
        self.asked: dict[CampaignId, None] = {}  # campaigns whose pacers are to be asked after this fact
        self.short: dict[CampaignId, None] = {}  # campaigns that would dial if a trunk took their calls
        self.to_deal: dict[AgentId, None] = {}  # agents of several campaigns whose turn it is to be shared out
        self.hungry: dict[CampaignId, bool] = {}  # campaigns that share agents: could they use one more
        self.turns: dict[CampaignId, float] = {}  # how far each campaign is in taking turns at shared agents
        self.looks: dict[CampaignId, int] = {}  # when a campaign's pacer is asked again though nothing happens
        self.connected = False  # to the switch, however slow it is
        self.switch_problem = "not connected yet"
        self.switch_slow = ""  # why, for as long as its answers come late: no snapshot ends that
        self.store_problem = ""
        self.engine_problem: NotDialing | None = None
        self.draining = False
        #: Recordings that were ordered to end: until a snapshot is told over the same link, the order may be lost.
        self.ending: OrderedDict[str, tuple[Recording, int]] = OrderedDict()  # and when it was ordered
        self.stop_again = False  # such an order failed
        self.told_gone: dict[AttemptId, tuple[int, int | None]] = {}  # before a snapshot: causes, by Q.850 and SIP
        self.restored_talk: dict[AttemptId, AgentId] = {}  # who talked with whom before the restart
        self.restored_ready: dict[AgentId, bool] = {}  # agents logged in before the restart: did they want calls
        self.decided_by: Counter[tuple[CampaignId, str]] = Counter()  # decisions by what limited them; a metric
        self.counters: Counter[str] = Counter()  # what the switch got wrong, by name; a metric
        self.out: list[effects.Effect] = []
        self._asked_at_ms = -ASK_EVERY_MS
        self._numbers = 0
        self._leg_kinds: dict[AgentId, LegKind] = {}
        self._campaigns_of: dict[AgentId, tuple[Campaign, ...]] = {}
        self._seats_of: dict[AgentId, tuple[CampaignId, ...]] = {}
        self.adopt_policy(policy, 0)

    # ── policy ───────────────────────────────────────────────────────────────────────────────────────────────────

    def adopt_policy(self, policy: Policy, now_ms: int) -> None:
        """Swap the configuration: live calls keep their campaign even when it is gone from the file."""
        served = {id_: frozenset(c.id for c in self.campaigns_of(id_)) for id_ in self.agents}
        self.policy = policy
        lawful = {id_: c.law for id_, c in self.campaigns.items()}
        in_use = {attempt.campaign for attempt in self.attempts.values()}
        waited_in = {attempt.queue for attempt in self.attempts.values()}
        self.queues = {id_: q for id_, q in self.queues.items() if id_ in waited_in} | dict(policy.queues)
        self.campaigns = {id_: c for id_, c in self.campaigns.items() if id_ in in_use} | dict(policy.campaigns)
        for gone in self.decisions.keys() - self.campaigns.keys():
            del self.decisions[gone]
            self.wanted.pop(gone, None)
        for campaign in self.campaigns.values():
            self._adopt_campaign(campaign, lawful, now_ms)
        self._serve()
        for trunk_id, trunk in policy.trunks.items():
            limits = trunks.TrunkLimits(name=trunk_id, lines=trunk.lines_max, calls_per_s=trunk.calls_per_second_max)
            old = self.trunks.get(trunk_id)
            if old is None or old.limits != limits:
                self.trunks[trunk_id] = trunks.Trunk(limits)
                self.trunks[trunk_id].in_use = old.in_use if old else 0
        self.profiles |= policy.agents
        for agent_id, profile in policy.agents.items():
            agent = self.enlist(agent_id)
            if agent.state is AgentState.LOGGED_OUT:  # a logged-in phone takes part as it did at log-in
                self._leg_kinds[agent_id] = profile.leg_kind
        for agent_id, before in served.items():
            self._serve_others(self.agents[agent_id], before, now_ms)
        self.to_deal.update(dict.fromkeys(self.agents))
        self.roster = Roster()
        for agent in self.agents.values():
            self.roster.seat(agent.id, self.seats_of(agent.id), agent.state)
        self.ask_all()

    def enlist(self, agent: AgentId) -> Agent:
        """The agent as known, or one who is not at work."""
        return self.agents.setdefault(agent, Agent(id=agent))

    def remember(self, campaign: Campaign, now_ms: int) -> None:
        """One that is not of the policy, and has calls."""
        self.campaigns[campaign.id] = campaign
        self._adopt_campaign(campaign, {}, now_ms)

    def _adopt_campaign(self, campaign: Campaign, lawful: Mapping[CampaignId, tuple[Pack, ...]], now_ms: int) -> None:
        id_ = campaign.id
        hopper = self.hoppers.setdefault(id_, Hopper())
        if campaign.law != lawful.get(id_, campaign.law):
            hopper.reset()  # its leads carry no history, or one that is too short
        self.running.setdefault(id_, False)
        detection = self.detections.setdefault(id_, Detection(campaign.amd))
        if detection.policy != campaign.amd:
            detection.obey(campaign.amd)
        pacer = self.pacers.setdefault(id_, _pacer(campaign))
        if pacer.policy != campaign.pacing:
            pacer.switch(campaign.pacing)
        if pacer.rule != campaign.abandon:
            pacer.obey(now_ms, campaign.abandon)
        self.charge_misjudged(id_)

    def _serve_others(self, agent: Agent, before: frozenset[CampaignId], now_ms: int) -> None:
        """Tell the pacers of an agent at work whose campaigns changed."""
        if agent.state not in PRESENT:
            return
        after = {c.id for c in self.campaigns_of(agent.id)}
        for id_ in sorted(before - after):
            self.pacers[id_].agent_out(now_ms, agent.id)
        for id_ in sorted(after - before):
            self.pacers[id_].agent_in(now_ms, agent.id)
            if agent.state is not AgentState.READY:
                self.pacers[id_].agent_busy(now_ms, agent.id)
            if agent.wish is not None:
                self.pacers[id_].agent_leaving(now_ms, agent.id)

    def teach(self, campaign: CampaignId, learned: Mapping[str, Any]) -> None:
        """A pacer that knows what the last engine had learned; if that is damaged, one that begins anew."""
        try:
            self.pacers[campaign] = _pacer(self.campaigns[campaign], learned)
        except (KeyError, TypeError, ValueError):
            self.counters["learned_damaged"] += 1

    def charge_misjudged(self, campaign: CampaignId) -> None:
        """Machines that were persons count against the budget, by what is measured of them."""
        self.pacers[campaign].budget.misjudged(self.detections[campaign].misjudged_share)

    def check_verdict(self, attempt: Attempt, person: bool, now_ms: int) -> None:
        """An agent says what a call judged a machine was; too many persons, and detection is off."""
        detection = self.detections[attempt.campaign]
        off = detection.check(Checked(attempt=attempt.id, at_ms=attempt.answered_at_ms or now_ms, person=person))
        self.charge_misjudged(attempt.campaign)
        if off:
            measured = detection.measured
            self.emit(
                effects.SaveAudit(
                    at_ms=now_ms,
                    by="engine",
                    action="amd_switched_off",
                    subject=attempt.campaign,
                    detail=f"{measured.persons} of {measured.checked} calls judged machines were persons",
                )
            )

    def keep_learned(self, now_ms: int) -> None:
        """Save what the pacers have learned of answers, talks and wrap-ups."""
        for id_, pacer in self.pacers.items():
            if id_ in self.decisions:
                self.emit(effects.SavePacing(id_, pacer.export(), now_ms))

    def line(self, trunk: TrunkId) -> trunks.Trunk:
        """The trunk's lines; one that is gone from the file has none to give, but may still have calls to end."""
        if trunk not in self.trunks:
            self.trunks[trunk] = trunks.Trunk(trunks.TrunkLimits(name=trunk, lines=0, calls_per_s=1))
        return self.trunks[trunk]

    def _serve(self) -> None:
        """Note who serves what: asked again and again."""
        self._campaigns_of = {
            id_: tuple(self.campaigns[c] for c in profile.campaigns if c in self.campaigns)
            for id_, profile in self.policy.agents.items()
        }
        self._seats_of = {
            id_: (*(c.id for c in self.campaigns_of(id_)), *(queue_seat(q.id) for q in self.queues_of(id_)))
            for id_ in self.policy.agents
        }

    def campaigns_of(self, agent: AgentId) -> tuple[Campaign, ...]:
        """The campaigns that an agent serves."""
        return self._campaigns_of.get(agent, ())

    def queues_of(self, agent: AgentId) -> tuple[InboundQueue, ...]:
        """The queues that an agent serves."""
        profile = self.policy.agents.get(agent)
        return tuple(self.queues[q] for q in profile.queues if q in self.queues) if profile is not None else ()

    def serves(self, agent: AgentId, attempt: Attempt) -> bool:
        """Whether the agent takes calls such as this one."""
        return attempt.seat in self.seats_of(agent)

    def seats_of(self, agent: AgentId) -> tuple[CampaignId, ...]:
        """Where the roster seats an agent: the campaigns and the queues that they serve."""
        return self._seats_of.get(agent, ())

    def attempt_at(self, leg: str) -> AttemptId | None:
        """The attempt of a customer's leg, as its id says or, of one that came in, as we remember."""
        return attempt_of_leg(leg) or self.attempts.arrived.get(LegId(leg))

    def message(self, attempt: Attempt) -> str:
        """What they hear when nobody became free."""
        if attempt.queue is not None:
            queue = self.queues[attempt.queue]
            return queue.closed_message if attempt.outcome is Outcome.OUT_OF_HOURS else queue.overflow_message
        lead = self.leads.get(attempt.lead) if attempt.lead is not None else None
        return self.campaigns[attempt.campaign].message.sound(lead.language if lead is not None else None)

    def leg_kind(self, agent: AgentId) -> LegKind:
        """How the agent's phone takes part in this shift; a change in the file waits for the next log-in."""
        return self._leg_kinds.get(agent, LegKind.NAILED_UP)

    # ── whose pacers are to be asked ─────────────────────────────────────────────────────────────────────────────

    def ask(self, campaign: CampaignId) -> None:
        """Something happened to this campaign: its pacer may decide otherwise now, and those of who share agents."""
        self.asked[campaign] = None
        self.asked.update(self.roster.kin.get(campaign, {}))

    def ask_all(self) -> None:
        """Something happened that may concern everybody."""
        self.asked.update(dict.fromkeys(self.campaigns))

    # ── ids, effects, timers ─────────────────────────────────────────────────────────────────────────────────────

    def next_number(self) -> str:
        """A number unique for ever: the epoch is new at every start of the engine."""
        self._numbers += 1
        return f"{self.epoch}-{self._numbers}"

    def new_agent_leg(self, agent: AgentId) -> Any:
        """A fresh leg id for the agent's phone."""
        return agent_leg(agent, self.next_number())

    def emit(self, *orders: effects.Effect) -> None:
        """Leave orders for the driver."""
        self.out.extend(orders)

    def done(self, command: Any, refusal: str = "") -> None:
        """Answer a desk command."""
        self.emit(effects.CommandDone(command, refusal))

    def ask_switch(self, now_ms: int) -> None:
        """Ask the switch what it has: now, or as soon as it may be asked again."""
        if abs(now_ms - self._asked_at_ms) < ASK_EVERY_MS:
            self.emit(effects.SetTimer(("ask", ""), self._asked_at_ms + ASK_EVERY_MS))
        else:
            self._asked_at_ms = now_ms
            self.emit(effects.AskSwitch())

    # ── agents ───────────────────────────────────────────────────────────────────────────────────────────────────

    def move_agent(self, agent: Agent, event: AgentEvent, now_ms: int, **changes: Any) -> Agent:
        """Step the agent's machine, tell the pacers, leave the writes and notices."""
        state = step(AGENT, agent.state, event)
        if state is AgentState.READY and event is not AgentEvent.RELEASED:
            changes.setdefault("idle_since_ms", now_ms)
        if state is not AgentState.PAUSED:
            changes.setdefault("pause_reason", "")
        if agent.muted and state is not agent.state:
            changes["muted"] = False  # the next customer must be able to hear them
            if agent.leg is not None and changes.get("leg", agent.leg) is not None:
                self.emit(effects.Mute(agent.leg, on=False))
        if agent.previewed is not None:
            self._drop_claim(agent.previewed, agent.id, now_ms)
            changes["previewed"] = None
        if state is not AgentState.HELPING:
            changes.setdefault("helps", None)
        asked = agent.consult if state is not AgentState.TALKING else None
        if asked is not None:
            changes["consult"] = None
        since_ms = agent.since_ms if state is agent.state else now_ms
        moved = replace(agent, state=state, since_ms=since_ms, **changes)
        self._tell_pacers(agent, moved, now_ms)
        self.put_agent(moved, now_ms)
        if agent.helps is not None and moved.helps is None:
            asking = self.agents[agent.helps]
            if asking.consult is not None and asking.consult.colleague == agent.id:
                self.put_agent(replace(asking, consult=None), now_ms)
        if asked is not None:
            self._let_go(asked, now_ms)
        return moved

    def end_consult(self, agent: Agent, now_ms: int) -> None:
        """Nobody is asked any more; who is on hold stays there."""
        if agent.consult is None:
            return
        if agent.consult.out is not None:
            self.put_agent(replace(agent, consult=None), now_ms)
        self._let_go(agent.consult, now_ms)

    def _let_go(self, consult: Consult, now_ms: int) -> None:
        """Who was asked has no part in the conversation any more."""
        if consult.colleague is not None:
            self._free_colleague(self.agents[consult.colleague], now_ms)
        if consult.out is not None:
            self._release_line(consult.out.trunk)
            self._hang_up_outside(consult.out.attempt)

    def _hang_up_outside(self, attempt: AttemptId) -> None:
        leg = self.outside.pop(attempt, None)
        if leg is not None:
            self.emit(effects.Hangup(leg, bridge_of_leg(leg)))

    def _free_colleague(self, colleague: Agent, now_ms: int) -> None:
        """Who was asked is out of the conversation, in their own bridge, and gets the pause that they wished."""
        colleague = self.move_agent(colleague, AgentEvent.RELEASED, now_ms)
        if self.leg_kind(colleague.id) is LegKind.ON_DEMAND:
            self.drop_on_demand_leg(colleague, now_ms)
        elif colleague.leg is not None and colleague.bridge is not None:
            self.emit(effects.OpenBridge(colleague.leg, colleague.bridge))
        self.grant_wish(self.agents[colleague.id], now_ms)

    def put_agent(self, agent: Agent, now_ms: int) -> None:
        """Swap an agent's value without a transition."""
        if agent.leg != self.agents[agent.id].leg:
            self.leg_since_ms[agent.id] = now_ms
        self.agents[agent.id] = agent
        served = self.seats_of(agent.id)
        self.roster.seat(agent.id, served, agent.state)
        self.asked.update(dict.fromkeys(served))
        on_disk = replace(agent, state=AgentState.READY) if agent.state in READY_ON_DISK else agent
        self.emit(effects.SaveAgent(on_disk, now_ms), effects.AgentChanged(agent))

    def _drop_claim(self, previewed: Previewed, agent: AgentId, now_ms: int) -> None:
        """The lead is anybody's again, as the store has it."""
        self.claims.pop(previewed.lead, None)
        self.emit(effects.CancelTimer(("preview", agent)))
        hopper = self.hoppers[previewed.campaign]
        hopper.soonest_ms = min(hopper.soonest_ms, now_ms)
        hopper.dry_until_ms = 0
        self.ask(previewed.campaign)

    def _tell_pacers(self, before: Agent, after: Agent, now_ms: int) -> None:
        if after.state is before.state:
            return
        held = after.attempt or before.attempt
        attempt = self.attempts.get(held) if held else None
        for campaign in self.campaigns_of(after.id):
            ours = attempt is not None and attempt.campaign == campaign.id and attempt.paced
            if after.state not in PRESENT:
                self.wanted.pop(campaign.id, None)  # decided for more agents than there are
            _tell(self.pacers[campaign.id], before, after, attempt if ours else None, now_ms)
        if after.state is AgentState.TALKING or (after.state in PRESENT) is not (before.state in PRESENT):
            self.to_deal[after.id] = None

    def wish(self, agent: Agent, wish: AgentState | None, reason: str, now_ms: int) -> Agent:
        """Remember what the agent wants after this call; None takes it back."""
        for campaign in self.campaigns_of(agent.id):
            pacer = self.pacers[campaign.id]
            (pacer.agent_leaving if wish else pacer.agent_staying)(now_ms, agent.id)
        agent = replace(agent, wish=wish, wish_reason=reason)
        self.put_agent(agent, now_ms)
        return agent

    def grant_wish(self, agent: Agent, now_ms: int) -> Agent:
        """The agent is free of calls: the pause or the end of shift that they asked for meanwhile."""
        match agent.wish:
            case AgentState.LOGGED_OUT:
                return self.log_out(agent, now_ms)
            case AgentState.PAUSED:
                reason = agent.wish_reason
                return self.move_agent(agent, AgentEvent.PAUSE, now_ms, pause_reason=reason, wish=None, wish_reason="")
            case _:
                return agent

    def log_out(self, agent: Agent, now_ms: int) -> Agent:
        """End of shift: the phone is let go."""
        if agent.leg is not None:
            self.emit(effects.Hangup(agent.leg, agent.bridge))
        self.emit(effects.CancelTimer(("connect", agent.id)))
        return self.move_agent(agent, AgentEvent.LOGOUT, now_ms, leg=None, bridge=None, wish=None, wish_reason="")

    # ── attempts ─────────────────────────────────────────────────────────────────────────────────────────────────

    def move_attempt(self, attempt: Attempt, event: CustomerEvent, now_ms: int, **changes: Any) -> Attempt:
        """Step the customer's machine; the agent on it follows by the joint rules."""
        state = step(CUSTOMER, attempt.state, event)
        moved = self._record_on(replace(attempt, state=state, **changes), attempt.state, now_ms)
        self.attempts[attempt.id] = moved
        if event not in _UNWEIGHED or self.campaigns[moved.campaign].mode is Mode.PREDICTIVE:
            self.ask(moved.seat)
        self.asked.update(self.short)  # a line may be free now, or a trunk well again
        pacer = self.pacers[moved.campaign]
        if moved.answered_at_ms is not None and moved.queue is None:
            self._tell_answer(pacer, attempt, moved, now_ms)
        if moved.outcome is not attempt.outcome:
            self.count_decided(moved, now_ms)
        self.emit(effects.AttemptChanged(moved))
        agent = self.agents.get(moved.agent) if moved.agent else None
        if agent is not None and agent.attempt == moved.id:
            joint = JOINT_AGENT.get((state, agent.state))
            if joint is not None:
                self._follow(agent, joint, moved, now_ms)
        return self.attempts.get(moved.id, moved)

    def count_decided(self, attempt: Attempt, now_ms: int) -> None:
        """Tell the pacer at once of a person who got no agent, or of a machine: their legs may take long to end."""
        if attempt.outcome is Outcome.MACHINE:
            self.pacers[attempt.campaign].machine(now_ms, attempt.id, attempt.answered_at_ms)
        elif attempt.outcome is Outcome.ABANDONED:
            self._settle_abandoned(attempt, now_ms)
            self.wanted.pop(attempt.campaign, None)

    def _record_on(self, attempt: Attempt, before: CustomerState, now_ms: int) -> Attempt:
        """A recording rests on hold, and ends with the talk."""
        if attempt.recording is None:
            return attempt
        talk = {CustomerState.TALKING, CustomerState.HELD}
        if attempt.state in talk:
            if (attempt.state is CustomerState.HELD) is not (before is CustomerState.HELD):
                paused = attempt.recording.paused or attempt.state is CustomerState.HELD
                self.emit(effects.PauseRecording(attempt.leg, attempt.recording.name, paused))
            return attempt
        return self.stop_recording(attempt, now_ms)

    def keep_recording(self, attempt: Attempt, recording: Recording) -> None:
        """The conversation's recording, begun or changed."""
        attempt = self.attempts[attempt.id] = replace(attempt, recording=recording)
        self.emit(effects.SaveRecording(recording), effects.AttemptChanged(attempt))

    def stop_recording(self, attempt: Attempt, now_ms: int) -> Attempt:
        """The file is complete."""
        assert attempt.recording is not None
        recording, attempt = attempt.recording, replace(attempt, recording=None)
        self.attempts[attempt.id] = attempt
        self.end_recording(recording, attempt.leg, now_ms)
        self.emit(effects.SaveRecording(recording, now_ms), effects.AttemptChanged(attempt))
        return attempt

    def _tell_answer(self, pacer: pacing.Pacer, before: Attempt, after: Attempt, now_ms: int) -> None:
        """A live answer counts when it is one: at once, or when detection does not say "machine"."""
        assert after.answered_at_ms is not None
        machine = after.verdict is Verdict.MACHINE
        if after.state is CustomerState.SCREENING:
            if before.answered_at_ms is None:
                pacer.answered(now_ms, after.id)
        elif before.state is CustomerState.SCREENING and machine:
            if after.state is CustomerState.WAITING:
                pacer.checking(now_ms, after.id)
        elif before.answered_at_ms is None and after.by_agent:
            pacer.budget.live_answer(now_ms, after.answered_at_ms)
        elif before.answered_at_ms is None or before.state is CustomerState.SCREENING:
            pacer.human(now_ms, after.id, after.answered_at_ms)
        elif machine and after.bridged_at_ms is not None and before.bridged_at_ms is None:
            pacer.taken(now_ms, after.answered_at_ms)

    def end_recording(self, recording: Recording, leg: LegId, now_ms: int) -> None:
        """Order the file's end, and again while the order may have been lost."""
        self.emit(effects.StopRecording(leg, recording.name))
        self.ending[recording.name] = (recording, now_ms)
        while len(self.ending) > ENDING_MAX:
            self.ending.popitem(last=False)

    def _follow(self, agent: Agent, event: AgentEvent, attempt: Attempt, now_ms: int) -> None:
        match event:
            case AgentEvent.RELEASED:
                self.attempts[attempt.id] = replace(attempt, agent=None)
                self.drop_on_demand_leg(self.move_agent(agent, event, now_ms, attempt=None), now_ms)
                self.grant_wish(self.agents[agent.id], now_ms)
            case AgentEvent.CUSTOMER_GONE:
                self.start_wrap_up(agent, attempt, now_ms)
            case _:
                self.move_agent(agent, event, now_ms)

    def start_wrap_up(self, agent: Agent, attempt: Attempt, now_ms: int) -> None:
        """The conversation is over: after-call work, at most as long as the campaign gives."""
        campaign = self.campaigns[attempt.campaign]
        agent = self.move_agent(agent, AgentEvent.CUSTOMER_GONE, now_ms)
        self.drop_on_demand_leg(agent, now_ms)
        self.emit(effects.SetTimer(("wrap", agent.id), now_ms + campaign.wrap_up_ms))

    def drop_on_demand_leg(self, agent: Agent, now_ms: int) -> None:
        """A phone that is called per conversation rests between them."""
        if agent.leg is None or self.leg_kind(agent.id) is LegKind.NAILED_UP:
            return
        self.emit(effects.Hangup(agent.leg, agent.bridge), effects.CancelTimer(("offer", agent.id)))
        self.put_agent(replace(self.agents[agent.id], leg=None, bridge=None), now_ms)

    def end_attempt(self, attempt: Attempt, outcome: Outcome, now_ms: int, **changes: Any) -> None:
        """The leg is gone: settle line, pacer, lead and disk. The state is ENDED already."""
        assert attempt.state is CustomerState.ENDED
        ended = replace(attempt, outcome=outcome, ended_at_ms=now_ms, **changes)
        if outcome is Outcome.FAILED and attempt.accepted_at_ms is None:
            ended = replace(ended, cause=None)
        lead = self.leads[ended.lead] if ended.lead is not None else None
        settled = lead if lead is None or ended.queue is not None else _tried(lead, outcome)
        self._settle_line(ended)
        self._hang_up_outside(ended.id)
        if ended.queue is None:
            self._settle_pacer(attempt, outcome, now_ms)
        agent = self.agents.get(ended.agent) if ended.agent else None
        awaits_disposition = (
            outcome is Outcome.CONNECTED
            and ended.id not in self.decided
            and agent is not None
            and agent.attempt == ended.id
        )
        settles_itself = awaits_disposition or ended.id in self.decided
        change = None if settles_itself else self._change(ended, settled, outcome, now_ms)
        self.emit(
            effects.CancelTimer(("abandon", ended.id)),
            effects.CancelTimer(("life", ended.id)),
            effects.SaveEnd(ended, change),
            effects.AttemptChanged(ended),
        )
        if not settles_itself and change is None:
            self._missed(ended, now_ms)
        if awaits_disposition:
            self.attempts[ended.id] = ended
            if settled is not None:
                self.leads[settled.id] = settled
        else:
            self.forget(ended, settled)
        if change is not None and settled is not None:
            self.lead_changed(settled.campaign, change)

    def _missed(self, attempt: Attempt, now_ms: int) -> None:
        """They called, and nobody spoke with them: somebody calls back."""
        if attempt.queue is None or attempt.number is None or not self.queues[attempt.queue].call_back:
            return
        self.emit(effects.SaveMissed(attempt))
        for hopper in self.hoppers.values():  # the lead may stand in any of them, as it was
            hopper.reset()
            hopper.soonest_ms = min(hopper.soonest_ms, now_ms)
        self.ask_all()

    def _change(self, attempt: Attempt, lead: Lead | None, outcome: Outcome, now_ms: int) -> LeadChange | None:
        if lead is None or (attempt.queue is not None and outcome is not Outcome.CONNECTED):
            return None
        policy = self.campaigns[attempt.campaign].attempts
        if outcome is Outcome.CONNECTED:
            at_ms = now_ms + policy.default_after_ms
            return LeadChange(lead=lead.id, state=LeadState.RETRY, next_at_ms=at_ms, rule="agent_lost")
        return rules.after(lead, attempt.phone_position, outcome, policy, now_ms)

    def _settle_line(self, attempt: Attempt) -> None:
        self._release_line(attempt.trunk)
        if attempt.out is not None:
            self._release_line(attempt.out.trunk)

    def _release_line(self, used: TrunkId) -> None:
        trunk = self.trunks.get(used)
        if trunk is not None and trunk.in_use > 0:
            trunk.release()

    def _settle_abandoned(self, attempt: Attempt, now_ms: int) -> None:
        pacer = self.pacers[attempt.campaign]
        if attempt.by_agent:
            pacer.budget.abandon(now_ms, attempt.answered_at_ms)
        else:
            pacer.abandoned(now_ms, attempt.id, attempt.answered_at_ms)

    def _settle_pacer(self, attempt: Attempt, outcome: Outcome, now_ms: int) -> None:
        pacer = self.pacers[attempt.campaign]
        if attempt.outcome in {Outcome.ABANDONED, Outcome.CANCELLED, Outcome.MACHINE}:
            return  # told when it was decided
        if outcome is Outcome.ABANDONED and attempt.answered_at_ms is not None:
            self._settle_abandoned(attempt, now_ms)
            return
        if attempt.by_agent:
            return
        match outcome:
            case Outcome.CONNECTED:
                if attempt.agent is None or attempt.campaign not in {c.id for c in self.campaigns_of(attempt.agent)}:
                    pacer.gone(now_ms, attempt.id)  # the agent who would have taken it over no longer counts here
            case Outcome.NO_ANSWER:
                pacer.no_answer(now_ms, attempt.id)
            case Outcome.MACHINE:
                pacer.machine(now_ms, attempt.id, attempt.answered_at_ms)
            case Outcome.CANCELLED:
                pacer.cancelled(now_ms, attempt.id)
            case Outcome.HUNG_UP_EARLY | Outcome.LOST | Outcome.ABANDONED:
                pacer.gone(now_ms, attempt.id)
            case _:
                pacer.failed(now_ms, attempt.id)

    def forget(self, attempt: Attempt, lead: Lead | None) -> None:
        """An attempt that nothing waits for any more; kept a while for a corrected disposition."""
        if attempt.id in self.attempts:
            del self.attempts[attempt.id]
        if attempt.lead is not None:
            self.leads.pop(attempt.lead, None)
        self.callers.pop(attempt.id, None)
        self.without_music.pop(attempt.id, None)
        self.recent.keep(attempt, lead, self.decided.pop(attempt.id, ""))

    def lead_changed(self, campaign: CampaignId, change: LeadChange) -> None:
        """A lead of ours may be dialable from `next_at_ms` on: the hopper looks again then."""
        hopper = self.hoppers.get(campaign)  # a caller's lead may be of a campaign that is gone from the file
        self.ask(campaign)
        if change.next_at_ms is None or hopper is None:
            return
        if change.state is LeadState.CALLBACK:
            self.expect_callback(campaign, change.next_at_ms)
        hopper.soonest_ms = min(hopper.soonest_ms, change.next_at_ms)
        if change.next_at_ms < hopper.dry_until_ms:
            hopper.dry_until_ms = change.next_at_ms
            self.emit(effects.SetTimer(("hopper", campaign), change.next_at_ms))

    def check_held(self, leads: Iterable[LeadId]) -> None:
        """Have the store say, after this fact's writes, which of them are on a do-not-call list."""
        asked = frozenset(leads)
        if asked:
            self.checks += 1
            self.emit(effects.CheckHeld(asked))

    def expect_callback(self, campaign: CampaignId, at_ms: int) -> None:
        """A call is promised for then: from that moment on it goes before what is loaded."""
        hopper = self.hoppers[campaign]
        if at_ms < hopper.promised_ms:
            hopper.promised_ms = at_ms
            self.emit(effects.SetTimer(("promise", campaign), at_ms))

    # ── whether to dial ──────────────────────────────────────────────────────────────────────────────────────────

    def unwell(self) -> NotDialing | None:
        """What stops all dialing, if anything does."""
        if self.draining:
            return NotDialing.DRAINING
        if self.switch_problem:
            return NotDialing.SWITCH
        if self.store_problem:
            return NotDialing.STORE
        return self.engine_problem

    def held(self, lead: LeadId) -> bool:
        """Whether the lead is being dialed, talked with, awaits a word, or is previewed."""
        return lead in self.leads or lead in self.claims

    def talking(self) -> int:
        """Calls with a customer on the line or on the way."""
        return self.attempts.live


def _tried(lead: Lead, outcome: Outcome) -> Lead:
    """The lead after one more of our calls."""
    return replace(
        lead,
        attempts_count=lead.attempts_count - (outcome not in COUNTED),
        outcome_counts={**lead.outcome_counts, outcome: lead.outcome_counts.get(outcome, 0) + 1},
    )


def _pacer(campaign: Campaign, learned: Mapping[str, Any] | None = None) -> pacing.Pacer:
    return pacing.Pacer(campaign.pacing, campaign.abandon, ring_timeout_ms=campaign.ring_timeout_ms, learned=learned)


def _tell(pacer: pacing.Pacer, before: Agent, after: Agent, attempt: Attempt | None, now_ms: int) -> None:
    """Tell a pacer of an agent's new state; `attempt` only if the call is of the pacer's own campaign.

    A reserved agent and the customer promised to them cancel out: for their own campaign nothing happens before the
    bridge, which may yet fail. For the agent's other campaigns they are away, and busy once they talk.
    """
    if after.state not in PRESENT:
        if before.state in PRESENT:
            pacer.agent_out(now_ms, after.id)
        return
    match after.state:
        case AgentState.READY if before.state is AgentState.RESERVED:
            if attempt is None:
                pacer.agent_in(now_ms, after.id)
        case AgentState.READY:
            (pacer.agent_free if before.state in PRESENT else pacer.agent_in)(now_ms, after.id)
        case AgentState.RESERVED:
            if attempt is None:
                pacer.agent_out(now_ms, after.id)
        case AgentState.WRAP_UP:
            pacer.talk_end(now_ms, after.id)
        case _ if attempt is None:
            pacer.agent_busy(now_ms, after.id)
        case _:
            # A conversation found going on after a restart is as old as it is.
            pacer.agent_busy(min(now_ms, attempt.bridged_at_ms or now_ms), after.id, attempt.id)
