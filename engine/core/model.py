"""The trade's nouns: ids, states and frozen values that the core decides about.

Times are ``int`` milliseconds UTC, durations end in ``_ms``, ids are opaque strings. A value is never changed: the
`Floor` swaps it for another one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NewType

from engine.core.budget import AbandonRule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engine.core.law import Limit, Pack
    from engine.core.ordering import Order
    from engine.core.pacing import PacingPolicy

CampaignId = NewType("CampaignId", str)
LeadId = NewType("LeadId", int)
AttemptId = NewType("AttemptId", str)  # `<epoch>-<number>`: unique for ever, chosen by us before the dial
AgentId = NewType("AgentId", str)
LegId = NewType("LegId", str)  # the Asterisk channel id, chosen by us
BridgeId = NewType("BridgeId", str)
TrunkId = NewType("TrunkId", str)
QueueId = NewType("QueueId", str)  # of people who call us
PhoneId = NewType("PhoneId", str)  # a desk phone's name in config.yaml, and its PJSIP endpoint
DispositionId = NewType("DispositionId", str)
CommandId = NewType("CommandId", str)
TaskId = NewType("TaskId", int)
OrderId = NewType("OrderId", int)  # of what a client orders

#: The dialplan's own message: it names no company.
PACKAGED_MESSAGE: Final = "zvonar-sorry"
#: Leads' priorities are from minus this to this.
PRIORITY_MAX: Final = 50

NUMBER_PATTERN: Final = re.compile(r"\+?[0-9]{3,15}")
#: Tones that one command may send.
DIGITS_PATTERN: Final = re.compile(r"[0-9*#A-D]{1,32}")


@dataclass(frozen=True, slots=True)
class PhoneNumber:
    """A number that may reach Asterisk: an optional plus and 3 to 15 digits, nothing else. Raises ValueError."""

    e164: str

    def __post_init__(self) -> None:
        if not NUMBER_PATTERN.fullmatch(self.e164):
            raise ValueError("a phone number is an optional + and 3 to 15 digits")

    @property
    def masked(self) -> str:
        """The form for logs and for those without the right to see numbers: the last four digits."""
        return "…" + self.e164[-4:]

    def __repr__(self) -> str:
        # No personal data in logs, tracebacks and test reports.
        return f"PhoneNumber({self.masked})"

    __str__ = __repr__


class Mode(StrEnum):
    """How a campaign's calls are started."""

    MANUAL = "manual"
    PREVIEW = "preview"
    PROGRESSIVE = "progressive"
    RATIO = "ratio"
    PREDICTIVE = "predictive"


#: Modes in which a pacer places calls, so that a customer may find no operator.
PACED: Final = frozenset({Mode.PROGRESSIVE, Mode.RATIO, Mode.PREDICTIVE})


class Outcome(StrEnum):
    """What the network said of one attempt. What the agent said is the disposition; never mix the two."""

    CONNECTED = "connected"  # bridged to an agent
    NO_ANSWER = "no_answer"
    BUSY = "busy"
    REJECTED = "rejected"
    INVALID_NUMBER = "invalid_number"
    MACHINE = "machine"
    ABANDONED = "abandoned"  # live answer that we gave no agent in time
    HUNG_UP_EARLY = "hung_up_early"  # they left before the abandon clock ran out
    CONGESTION = "congestion"  # the carrier had no way through
    FAILED = "failed"  # refused before it could ring
    CANCELLED = "cancelled"  # we took the ringing call back
    LOST = "lost"  # unknown: the phone may have rung
    # Of calls that came in and reached no agent; one that did is CONNECTED.
    LEFT_QUEUE = "left_queue"  # they hung up while they waited
    TURNED_AWAY = "turned_away"  # the queue was full, or nobody became free in time
    OUT_OF_HOURS = "out_of_hours"


#: Outcomes of calls that came in and reached no agent.
MISSED: Final = frozenset({Outcome.LEFT_QUEUE, Outcome.TURNED_AWAY, Outcome.OUT_OF_HOURS})
#: Outcomes that spend an attempt: if the phone may have rung, it counts.
COUNTED: Final = frozenset(Outcome) - {Outcome.CONGESTION, Outcome.FAILED, Outcome.CANCELLED} - MISSED
#: Outcomes of a live person's answer, the denominator of the abandon rate.
LIVE_ANSWERS: Final = frozenset({Outcome.CONNECTED, Outcome.ABANDONED, Outcome.HUNG_UP_EARLY})


class Verdict(StrEnum):
    """What answering-machine detection said of an answer; whoever is not judged a machine is taken for a person."""

    PERSON = "person"
    MACHINE = "machine"
    UNSURE = "unsure"


class CustomerState(StrEnum):
    """Where a customer's leg is."""

    PLANNED = "planned"
    DIALING = "dialing"
    RINGING = "ringing"
    SCREENING = "screening"
    WAITING = "waiting"
    TALKING = "talking"
    HELD = "held"
    LEAVING = "leaving"
    ENDED = "ended"


class AgentState(StrEnum):
    """Where an agent is, as the phone shows it."""

    LOGGED_OUT = "logged_out"
    CONNECTING = "connecting"
    READY = "ready"
    PREVIEW = "preview"  # looks at a lead before it is dialed; on disk READY, for the claim dies with the engine
    HELPING = "helping"  # a colleague asks them about a customer; on disk READY, for that ends with the engine
    RESERVED = "reserved"
    TALKING = "talking"
    WRAP_UP = "wrap_up"
    PAUSED = "paused"


class LeadState(StrEnum):
    """Where a lead is in its campaign."""

    NEW = "new"
    RETRY = "retry"
    CALLBACK = "callback"
    DIALING = "dialing"
    IN_CALL = "in_call"
    CLOSED = "closed"
    SUPPRESSED = "suppressed"


class CallbackState(StrEnum):
    """Where a promised later call is."""

    SCHEDULED = "scheduled"
    DUE = "due"
    DONE = "done"
    MISSED = "missed"
    CANCELLED = "cancelled"


class LegKind(Enum):
    """How an agent's desk phone takes part."""

    NAILED_UP = "nailed_up"  # one leg, open from log-in to log-out
    ON_DEMAND = "on_demand"  # the phone is called for every conversation


class DispositionKind(StrEnum):
    """What a disposition does to the lead."""

    FINAL = "final"
    RETRY = "retry"
    CALLBACK = "callback"
    DNC = "dnc"


class WrapUpMode(StrEnum):
    """When an agent leaves wrap-up."""

    OPTIONAL = "optional"  # whenever they like, also without a disposition
    REQUIRED = "required"  # after a disposition
    TIMED = "timed"  # after a disposition or when the time is out
    TIMED_NO_EXIT = "timed_no_exit"  # when the time is out


@dataclass(frozen=True, slots=True, kw_only=True)
class Disposition:
    """A result that an agent may give; `labels` by language."""

    id: DispositionId
    kind: DispositionKind
    labels: Mapping[str, str]
    retry_after_ms: int = 0
    contact: bool = True
    machine: bool = False  # they reached an answering machine


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRule:
    """What follows one outcome: try again after `after_ms`, at most `max` such outcomes per lead (0: not again)."""

    after_ms: int
    max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """The first try: up to `calls` calls, `after_ms` apart; unanswered, `then_ms` later with less priority."""

    calls: int
    after_ms: int
    then_ms: int
    priority_step: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptPolicy:
    """How often a lead is tried, and when again."""

    max: int
    retry: Mapping[Outcome, RetryRule]
    #: The retry time of an outcome without a rule of its own, and of LOST.
    default_after_ms: int = 30 * 60_000
    burst: Burst | None = None
    limits: tuple[Limit, ...] = ()
    same_hour_max: int | None = None  # attempts of a lead in one hour of the day


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackPolicy:
    """How promised calls are kept: by their owner for `tolerance_ms`, then by anyone; after `alarm_ms` it is told."""

    tolerance_ms: int = 15 * 60_000
    alarm_ms: int = 30 * 60_000
    slot_ms: int = 15 * 60_000
    per_slot_max: int | None = None  # of the campaign
    own_per_day_max: int | None = None  # that an agent promises for themselves


@dataclass(frozen=True, slots=True, kw_only=True)
class CallingHours:
    """When the callee may be called, in the callee's own zone: minute spans of the day by weekday (Monday is 0)."""

    spans: tuple[tuple[tuple[int, int], ...], ...]  # seven days of (from, until) minutes; `until` is outside
    zone: str  # of leads that have none of their own


@dataclass(frozen=True, slots=True, kw_only=True)
class Trunk:
    """A carrier line and its caps."""

    id: TrunkId
    lines_max: int
    calls_per_second_max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What a person hears when nobody is free; the key `opt_out` pressed meanwhile ends all calls to them."""

    company: str = ""  # whose name the recordings say
    sounds: Mapping[str, str] = field(default_factory=dict)  # by language; the first is for everybody else
    opt_out: str = "9"

    def sound(self, language: str | None) -> str:
        """The recording for a lead of this language; without any, the packaged one."""
        return self.sounds.get(language or "") or next(iter(self.sounds.values()), PACKAGED_MESSAGE)


class Recorded(StrEnum):
    """Whether a campaign's conversations are recorded."""

    OFF = "off"
    ALWAYS = "always"
    ON_DEMAND = "on_demand"  # when the operator says so


class Consent(StrEnum):
    """What the customer's consent to a recording takes."""

    NONE = "none"
    ANNOUNCED = "announced"  # both hear an announcement when it begins
    ASKED = "asked"  # the operator asks, and says that they agreed


class RecordAct(StrEnum):
    """What an operator does with a recording."""

    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingRule:
    """Whether and how conversations are recorded."""

    mode: Recorded = Recorded.OFF
    consent: Consent = Consent.NONE
    announcement: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A file that a conversation is being recorded into; `name` without ending, unique for ever."""

    name: str
    attempt: AttemptId
    bridge: BridgeId
    started_at_ms: int
    paused: bool = False  # at the operator's word; on hold it rests besides


@dataclass(frozen=True, slots=True, kw_only=True)
class AmdPolicy:
    """Whether and how answering machines are told from persons, and what becomes of them."""

    enabled: bool = False
    message: str = ""  # left after the greeting; without one they are hung up on
    sample_share: float = 0.1  # of those judged machines, put through to agents to see whether they are
    false_positives_max: float = 0.05  # as a share of those judged machines; above it detection is off
    confidence: float = 0.95
    since_ms: int = 0  # what was measured before does not count
    greeting_ms: int = 1_000  # a longer one is a machine's
    silence_ms: int = 300  # after a greeting: a person waits for an answer
    words_max: int = 3  # more of them are a machine's


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """Leads, policy and agents under one name."""

    id: CampaignId
    name: str
    pacing: PacingPolicy
    trunks: tuple[TrunkId, ...]  # in failover order
    caller_id: PhoneNumber | None
    attempts: AttemptPolicy
    hours: CallingHours
    dispositions: tuple[Disposition, ...]
    ring_timeout_ms: int = 30_000
    wrap_up_mode: WrapUpMode = WrapUpMode.TIMED
    wrap_up_ms: int = 60_000
    abandon: AbandonRule = field(default_factory=AbandonRule)
    talk_max_ms: int = 3_600_000
    message: Message = field(default_factory=Message)
    amd: AmdPolicy = field(default_factory=AmdPolicy)
    law: tuple[Pack, ...] = ()  # all of them must let a call pass
    caller_id_until_ms: int | None = None  # the end of the contract that labels it, where a law wants one
    recording: RecordingRule = field(default_factory=RecordingRule)
    requeue_wait_ms: int = 120_000  # with music, of who had an agent and waits for one again
    priority: int = 0  # of campaigns that share agents, the higher one gets them
    weight: int = 1  # and of equals each so many of them
    order: Order | None = None  # of the line; None: the usual one
    callbacks: CallbackPolicy = field(default_factory=CallbackPolicy)

    @property
    def mode(self) -> Mode:
        """How its calls are started."""
        return self.pacing.mode

    def disposition(self, wanted: DispositionId) -> Disposition | None:
        """The disposition of that id, if this campaign has it."""
        return next((d for d in self.dispositions if d.id == wanted), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundQueue:
    """People who call us, under the numbers that they dial, and how they wait."""

    id: QueueId
    name: str
    campaign: CampaignId  # whose dispositions, script and wrap-up their calls have
    numbers: tuple[str, ...]  # ours, as E.164
    hours: CallingHours  # in our own zone
    music: str = "default"
    closed_message: str = "zvonar-sorry"
    overflow_message: str = "zvonar-sorry"  # the queue is full, or nobody became free in time
    wait_max_ms: int = 180_000
    queue_max: int = 20
    priority: int = 0  # the higher is served first
    call_back: bool = True  # who reached nobody is called back


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentProfile:
    """What config.yaml says of an agent."""

    id: AgentId  # also the log-in name
    name: str
    phone: PhoneId
    campaigns: tuple[CampaignId, ...]
    queues: tuple[QueueId, ...] = ()
    leg_kind: LegKind = LegKind.NAILED_UP
    auto_answer: bool = True
    answers_notify: bool = False  # the phone is lifted by a word over SIP; otherwise by hand only
    offer_timeout_ms: int = 15_000  # how long an on-demand phone may ring


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskType:
    """A kind of task beside the dialer's calls. `tier` 1 comes first; `calls`: handing it out dials its lead."""

    id: str
    labels: Mapping[str, str]
    tier: int
    calls: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPolicy:
    """How tasks are handed out (`engine.core.tasks`). `recovery`: the campaigns whose leads are the recovery stack."""

    types: Mapping[str, TaskType]
    slot_ms: int = 15 * 60_000
    gap_max_ms: int = 20 * 60_000
    per_day_max: int | None = None  # of one operator
    again_ms: int = 30 * 60_000  # a task whose call reached nobody comes again after that
    recovery: tuple[CampaignId, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Something that an operator has to do at a time."""

    id: TaskId
    type: str
    tier: int
    title: str
    owner: AgentId
    due_at_ms: int
    lead: LeadId | None = None
    lead_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderField:
    """A field of clients' orders. `required`: an order without it has doubts; `repeats`: a repeated one has it too."""

    name: str
    labels: Mapping[str, str]
    required: bool = False
    repeats: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderState:
    """How far an order is. `edits`: its values may be changed; `over`: it is done with and moves no more."""

    id: str
    labels: Mapping[str, str]
    edits: bool = False
    over: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPolicy:
    """What clients' orders look like (`engine.core.clientorders`); a new one is in the first state."""

    fields: Mapping[str, OrderField]
    states: Mapping[str, OrderState]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOrder:
    """What a client has ordered. `values` by the name of their field; `version` grows with each change."""

    id: OrderId
    lead: LeadId
    state: str
    values: Mapping[str, str]
    version: int
    made_at_ms: int
    made_by: str
    changed_at_ms: int
    changed_by: str
    attempt: AttemptId | None = None  # the call during which it was made
    undone: bool = False  # the last change took the one before it back
    taken_back: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """All that config.yaml decides about live calls; swapped whole by `ConfigChanged`."""

    campaigns: Mapping[CampaignId, Campaign]
    trunks: Mapping[TrunkId, Trunk]
    agents: Mapping[AgentId, AgentProfile]
    queues: Mapping[QueueId, InboundQueue] = field(default_factory=dict)
    tasks: TaskPolicy | None = None
    orders: OrderPolicy | None = None


class PhoneType(StrEnum):
    """Where a number of a lead rings. Kept in the store by value."""

    NOT_SAID = ""
    MOBILE = "mobile"
    WORK = "work"
    HOME = "home"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Phone:
    """One number of a lead."""

    position: int
    number: PhoneNumber
    valid: bool = True
    type: PhoneType = PhoneType.NOT_SAID
    zones: tuple[str, ...] = ()  # where a number of its kind may be; read only of a lead without a zone


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """An earlier attempt on a person, as far as the law asks. `ended_at_ms` None: it still goes on."""

    at_ms: int
    lead: LeadId
    number: PhoneNumber
    outcome: Outcome | None
    answered_at_ms: int | None = None
    bridged_at_ms: int | None = None
    ended_at_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """A person to reach, as much as dialing needs to know."""

    id: LeadId
    campaign: CampaignId
    phones: tuple[Phone, ...]
    state: LeadState
    priority: int = 0
    zone: str | None = None
    language: str | None = None  # of the message, where the lead's field `language` names one
    attempts_count: int = 0  # attempts that count, over all outcomes
    outcome_counts: Mapping[Outcome, int] = field(default_factory=dict)
    next_at_ms: int = 0
    next_phone: int = 0  # position to dial next
    owner: AgentId | None = None  # a callback's agent; None is anyone
    keeper: AgentId | None = None  # whose client it is for good, promised call or not
    version: int = 0
    changed_at_ms: int = 0
    #: Read only where a law pack asks: the columns of its file, and attempts on the person over all campaigns.
    fields: Mapping[str, str] = field(default_factory=dict)
    history: tuple[Past, ...] | None = None

    @property
    def zones(self) -> tuple[str, ...]:
        """Where the person may be: their own zone, else all that their numbers leave; () where nothing tells."""
        if self.zone:
            return (self.zone,)
        return tuple(sorted({zone for phone in self.phones for zone in phone.zones}))


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadChange:
    """What an outcome or a disposition does to a lead.

    `rule` says why: a code and its parameters joined by colons (`retry:busy:1:3`); the pages put it into words.
    """

    lead: LeadId
    state: LeadState
    next_at_ms: int | None = None
    next_phone: int | None = None
    invalid_phone: int | None = None
    owner: AgentId | None = None
    priority: int | None = None  # the new one, where it changes
    rule: str = ""


class SkipReason(StrEnum):
    """Why a previewed lead was not dialed."""

    BAD_TIME = "bad_time"
    BAD_DATA = "bad_data"
    OTHER = "other"
    TIMEOUT = "timeout"  # nobody said anything; never an agent's own word


@dataclass(frozen=True, slots=True, kw_only=True)
class Previewed:
    """The lead that an agent looks at before it is dialed. A claim in memory: after a restart it is offered anew."""

    lead: LeadId
    campaign: CampaignId
    phone_position: int
    number: PhoneNumber
    since_ms: int
    until_ms: int | None  # when the countdown ends; None: there is none
    skips_left: int | None  # None: no limit


class ConsultPhase(StrEnum):
    """Who hears whom while an agent asks a colleague."""

    CALLING = "calling"  # their phone rings, the customer hears music
    PRIVATE = "private"  # agent and colleague; the customer hears music
    CUSTOMER = "customer"  # agent and customer; the colleague waits
    CONFERENCE = "conference"  # all three


class ConsultAct(StrEnum):
    """What an agent does with a colleague and a customer. All but START and COMPLETE name where it leads."""

    START = "start"
    COLLEAGUE = "colleague"
    CUSTOMER = "customer"
    CONFERENCE = "conference"
    COMPLETE = "complete"  # the customer is the colleague's
    END = "end"  # the customer is the agent's alone


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOut:
    """Somebody outside who takes a customer over: dialed for them, or first asked by the operator."""

    attempt: AttemptId
    agent: AgentId
    number: PhoneNumber
    trunk: TrunkId
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Consult:
    """Whom an agent asks about the customer in hand: a colleague, or somebody outside."""

    phase: ConsultPhase
    colleague: AgentId | None = None
    out: HandOut | None = None  # exactly one of the two


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try on one phone of one lead, or one call that came in (`queue`), and the conversation that it became."""

    id: AttemptId
    campaign: CampaignId
    lead: LeadId | None  # None: a caller who is not known, or not yet
    phone_position: int
    number: PhoneNumber | None  # None: a caller who hides it
    trunk: TrunkId
    leg: LegId
    state: CustomerState
    planned_at_ms: int
    accepted_at_ms: int | None = None
    ringing_at_ms: int | None = None
    answered_at_ms: int | None = None
    bridged_at_ms: int | None = None
    ended_at_ms: int | None = None
    agent: AgentId | None = None
    outcome: Outcome | None = None
    cause: int | None = None
    tech_cause: int | None = None
    recording: Recording | None = None  # that runs, or is paused
    verdict: Verdict | None = None  # of answering-machine detection, where it was asked
    decision: str = ""  # the rules that allowed it, with their numbers and packs' versions
    by_agent: bool = False  # dialed at `agent`'s word and for them alone: no pacer counts it
    queue: QueueId | None = None  # they called us
    team: CampaignId | None = None  # handed on to those who serve this campaign
    wanted: AgentId | None = None  # waits for this agent first
    out: HandOut | None = None  # they talk with somebody outside

    @property
    def paced(self) -> bool:
        """Whether a pacer placed it, and counts what becomes of it."""
        return not self.by_agent and self.queue is None

    @property
    def seat(self) -> CampaignId:
        """Under which name the roster has the agents who may take it."""
        if self.team is not None:
            return self.team
        return self.campaign if self.queue is None else queue_seat(self.queue)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """A person taking calls. `state` is imposed by calls and phone; `wish` is what the person chose meanwhile."""

    id: AgentId
    state: AgentState = AgentState.LOGGED_OUT
    since_ms: int = 0
    idle_since_ms: int = 0  # kept when an offer falls through: longest idle first
    leg: LegId | None = None
    bridge: BridgeId | None = None
    attempt: AttemptId | None = None  # talking, reserved, or still without a disposition
    pause_reason: str = ""
    wish: AgentState | None = None  # PAUSED or LOGGED_OUT after this call
    wish_reason: str = ""
    disposed: bool = False
    phone_registered: bool | None = None  # None: not known yet
    previewed: Previewed | None = None  # exactly in PREVIEW
    muted: bool = False  # nobody hears them; ends with the conversation
    consult: Consult | None = None  # they ask a colleague; only in TALKING
    helps: AgentId | None = None  # who asks them; exactly in HELPING


class Refusal(StrEnum):
    """Why a desk command was refused; the desk says it in the agent's language."""

    UNKNOWN_AGENT = "unknown_agent"
    NOT_LOGGED_IN = "not_logged_in"
    ALREADY_LOGGED_IN = "already_logged_in"
    PHONE_NOT_REGISTERED = "phone_not_registered"
    SWITCH_DOWN = "switch_down"
    NO_CALL = "no_call"
    DISPOSITION_NEEDED = "disposition_needed"
    UNKNOWN_DISPOSITION = "unknown_disposition"
    CALLBACK_TIME_NEEDED = "callback_time_needed"
    CALLBACK_IN_PAST = "callback_in_past"
    UNKNOWN_CAMPAIGN = "unknown_campaign"
    UNKNOWN_QUEUE = "unknown_queue"
    WRAP_UP_NOT_OVER = "wrap_up_not_over"
    TOO_LATE = "too_late"
    DRAINING = "draining"
    NOT_READY = "not_ready"
    NOT_SERVED = "not_served"  # a lead of a campaign that the agent does not serve
    CAMPAIGN_STOPPED = "campaign_stopped"
    LEAD_TAKEN = "lead_taken"
    LEAD_UNREADABLE = "lead_unreadable"
    LEAD_CHANGED = "lead_changed"
    NUMBER_BUSY = "number_busy"
    LINES_BUSY = "lines_busy"
    NOT_NOW = "not_now"
    NOT_PREVIEWED = "not_previewed"
    SKIP_NOT_ALLOWED = "skip_not_allowed"
    SKIPS_USED = "skips_used"
    BAD_DIGITS = "bad_digits"
    LEAD_NEEDED = "lead_needed"  # this result changes a lead, and the caller has none yet
    CALLER_KNOWN = "caller_known"  # the call has its lead already
    COLLEAGUE_AWAY = "colleague_away"
    NUMBER_SUPPRESSED = "number_suppressed"
    COLLEAGUE_BUSY = "colleague_busy"
    COLLEAGUE_RINGS = "colleague_rings"
    NO_COLLEAGUE = "no_colleague"  # nobody is being asked
    CONSULTING = "consulting"  # first end the asking
    LIFT_HANDSET = "lift_handset"
    NO_PROMISE = "no_promise"  # no call is promised to this lead
    OWNER_ELSEWHERE = "owner_elsewhere"  # this agent does not serve the lead's campaign
    NOT_RECORDED = "not_recorded"
    ALWAYS_RECORDED = "always_recorded"


class OrderRefusal(StrEnum):
    """Why a client's order was not saved."""

    EMPTY = "order_empty"
    NO_EDITS = "order_no_edits"  # not in this state
    OVER = "order_over"
    UNKNOWN_STATE = "order_unknown_state"
    NO_UNDO = "order_no_undo"  # not yours, too long ago, or changed since
    GONE = "order_gone"
    BUSY = "order_busy"


class NotDialing(StrEnum):
    """Why a campaign places no call just now; the supervisor sees it in words."""

    STOPPED = "stopped"
    DRAINING = "draining"
    SWITCH = "switch"
    STORE = "store"
    OVERLOAD = "overload"  # the engine does not keep up with what happens
    CLOCK = "clock"  # the system clock was set back
    MODE = "mode"  # manual and preview: agents start the calls
    NO_AGENTS = "no_agents"
    AGENTS_BUSY = "agents_busy"
    NO_LEADS = "no_leads"
    LINES = "lines"
    CARRIER = "carrier"  # every trunk is in back-off
    CEILING = "ceiling"  # the law's share of abandoned answers is used up


class SystemPause(StrEnum):
    """Why we paused an agent, kept apart from the personal reasons of config.yaml."""

    AFTER_LOGIN = "system:after_login"
    NO_ANSWER = "system:no_answer"
    PHONE_LOST = "system:phone_lost"
    LOST_DESK = "system:lost_desk"
    RESTARTED = "system:restarted"
    FORCED = "system:forced"
    PREVIEW_UNUSED = "system:preview_unused"
    TASK = "system:task"  # busy with a task that "Next" handed out


#: Channel ids whose meaning is remembered: each is read with every fact of its leg, and with every snapshot.
LEGS_MAX: Final = 4_096


def customer_leg(attempt: AttemptId) -> LegId:
    """The channel id of an attempt's customer leg; `attempt_of_leg` reads it back."""
    return LegId(f"a.{attempt}.c")


@lru_cache(LEGS_MAX)
def attempt_of_leg(leg: str) -> AttemptId | None:
    """The attempt that a channel id of ours carries, or None for any other channel."""
    match leg.split("."):
        case ["a", attempt, "c"]:
            return AttemptId(attempt)
        case _:
            return None


def outside_leg(attempt: AttemptId, number: str) -> LegId:
    """The channel id of somebody outside who is asked about an attempt's customer; `number` is unique per leg."""
    return LegId(f"o.{attempt}.{number}")


@lru_cache(LEGS_MAX)
def attempt_of_outside(leg: str) -> AttemptId | None:
    """The attempt whose customer they are asked about, or None for any other channel."""
    match leg.split("."):
        case ["o", attempt, _]:
            return AttemptId(attempt)
        case _:
            return None


def queue_seat(queue: QueueId) -> CampaignId:
    """A queue stands in the roster beside the campaigns; no campaign's name has a colon."""
    return CampaignId(f"queue:{queue}")


def inbound_leg(channel: str) -> LegId:
    """The leg of a call that came in: Asterisk chose its channel id, `inbound_channel` reads it back."""
    return LegId(f"i.{channel}")


def inbound_channel(leg: str) -> str | None:
    """The channel id of a call that came in, or None for a leg whose id we chose."""
    return leg[2:] if leg.startswith("i.") else None


def agent_leg(agent: AgentId, number: str) -> LegId:
    """The channel id of an agent's leg; `number` is unique per leg (`<epoch>-<n>`)."""
    return LegId(f"g.{number}.{agent}")


@lru_cache(LEGS_MAX)
def agent_of_leg(leg: str) -> AgentId | None:
    """The agent whose phone a channel id of ours names, or None for any other channel."""
    match leg.split(".", 2):
        case ["g", _, agent]:
            return AgentId(agent)
        case _:
            return None


def bridge_of_leg(leg: LegId) -> BridgeId:
    """The bridge that the leg of an agent, or of somebody outside, lives in."""
    return BridgeId(f"b.{leg}")
