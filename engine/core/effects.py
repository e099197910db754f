"""Orders out: what the Floor wants done. Imperative; the driver sorts them into lanes (urgent, writes, dials, notices).

Law 3 lives in the lanes: an order of the lane `dials` is sent only after the writes of its batch are on disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.core.model import (
    Agent,
    AgentId,
    Attempt,
    AttemptId,
    BridgeId,
    CampaignId,
    CommandId,
    DispositionId,
    HandOut,
    LeadChange,
    LeadId,
    LegId,
    PhoneId,
    PhoneNumber,
    Recording,
    TrunkId,
)

# ── to the switch, after commit ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginateCustomer:
    """Dial a customer into the dialplan stub; sent once, never repeated. Stale after `send_before_ms`."""

    leg: LegId
    attempt: AttemptId
    trunk: TrunkId
    number: PhoneNumber
    caller_id: PhoneNumber | None
    ring_timeout_ms: int
    talk_max_ms: int
    message: str
    opt_out: str  # the key
    send_before_ms: int


# ── to the switch, at once ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginateAgent:
    """Call a desk phone: the nailed-up leg at log-in, or the on-demand leg of one conversation."""

    leg: LegId
    agent: AgentId
    phone: PhoneId
    auto_answer: bool
    ring_timeout_ms: int
    caller_id: PhoneNumber | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginateOutside:
    """Dial somebody outside whom an agent asks; answered, they are ours to command, as a customer is.

    The number must be on disk: its row's commit has been heard of before this is ordered.
    """

    leg: LegId
    number: PhoneNumber
    trunk: TrunkId
    caller_id: PhoneNumber | None
    ring_timeout_ms: int
    talk_max_ms: int


@dataclass(frozen=True, slots=True)
class OpenBridge:
    """Make the bridge and put the leg into it: an agent's, or of whom an agent asks."""

    leg: LegId
    bridge: BridgeId


@dataclass(frozen=True, slots=True)
class Bridge:
    """Put the customer into the agent's bridge; a short tone first tells the agent (only the agent) of the call.

    No `tone` for a phone that was called for this customer: it has rung. `music`: the customer has heard some.
    """

    customer: LegId
    agent: LegId
    bridge: BridgeId
    tone: bool = True
    music: bool = False


@dataclass(frozen=True, slots=True)
class Music:
    """The customer hears music until they are bridged: a desk phone is being called for them, or they queue."""

    customer: LegId
    music: str = ""  # one of the switch's classes; none: its usual one


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferOut:
    """Send a customer to the dialplan, which dials a number for them; when that ends, or fails, they are hung up.

    The number must be on disk: its row's commit has been heard of before this is ordered.
    """

    leg: LegId
    number: PhoneNumber
    trunk: TrunkId
    caller_id: PhoneNumber | None
    ring_timeout_ms: int


@dataclass(frozen=True, slots=True)
class Hangup:
    """End a leg. A leg already gone is success."""

    leg: LegId
    bridge: BridgeId | None = None  # the bridge that goes with it


@dataclass(frozen=True, slots=True)
class PlayMessageAndHangup:
    """Send an answered leg to the dialplan's safe-harbour message, which hangs up at its end.

    `machine`: leave the message on an answering machine, after its greeting.
    """

    leg: LegId
    message: str
    machine: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """Have an answered leg judged, person or machine, within `within_ms`; the answer is `LegJudged`."""

    leg: LegId
    within_ms: int
    greeting_ms: int
    silence_ms: int
    words_max: int


@dataclass(frozen=True, slots=True)
class Hold:
    """Music for the customer (`on`), or the agent again."""

    customer: LegId
    bridge: BridgeId
    on: bool


@dataclass(frozen=True, slots=True)
class Mute:
    """Nobody hears this agent's phone (`on`), or everybody in their bridge again."""

    agent: LegId
    on: bool


@dataclass(frozen=True, slots=True)
class SendDigits:
    """Tones (DTMF) to the customer."""

    customer: LegId
    digits: str


@dataclass(frozen=True, slots=True)
class AnswerPhone:
    """Ask a ringing desk phone to answer by itself (SIP NOTIFY, `Event: talk`)."""

    leg: LegId


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRecording:
    """Record what is heard in the bridge into a file; with an `announcement`, everybody in it hears that first."""

    customer: LegId
    bridge: BridgeId
    name: str
    length_max_ms: int
    announcement: str = ""


@dataclass(frozen=True, slots=True)
class PauseRecording:
    """Leave out what is said now (`on`), or go on."""

    customer: LegId
    name: str
    on: bool


@dataclass(frozen=True, slots=True)
class StopRecording:
    """The file is complete. One that has ended is success."""

    customer: LegId
    name: str


@dataclass(frozen=True, slots=True)
class AskSwitch:
    """Ask for a snapshot of the switch; the answer comes as `SwitchUp`."""


# ── to the store, in order, one transaction a batch ──────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class SaveAttempt:
    """Insert the attempt, claim the lead (state DIALING), count it. Comes before its originate, always."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class SaveArrival:
    """Insert the call that came in; its lead, if known yet, is only named."""

    attempt: Attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveAttached:
    """The caller of `attempt` is this lead; with `owed` the lead is IN_CALL until a disposition decides.

    `change`: what was said of the conversation before they were named.
    """

    attempt: AttemptId
    lead: LeadId
    owed: bool
    at_ms: int
    change: LeadChange | None = None


@dataclass(frozen=True, slots=True)
class SaveMissed:
    """Somebody called and reached nobody: their lead, made if there is none, gets a callback for anyone, due now."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class SaveAnswer:
    """The attempt was answered, and (when `agent`) bridged: the lead is IN_CALL, a call row exists."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class SaveTakenBack:
    """We hang up a call that nobody has answered."""

    attempt: AttemptId
    at_ms: int


@dataclass(frozen=True, slots=True)
class SaveEnd:
    """The attempt ended with an outcome; the lead changes by rule (None: a disposition will decide)."""

    attempt: Attempt
    change: LeadChange | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveDisposition:
    """The agent's result, note and callback on an attempt's call, and what it does to the lead."""

    attempt: AttemptId
    lead: LeadId
    agent: AgentId
    disposition: DispositionId
    note: str
    at_ms: int
    change: LeadChange
    callback_at_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveDispositionAlone:
    """The agent's result and note on the call of somebody who has no lead."""

    attempt: AttemptId
    agent: AgentId
    disposition: DispositionId
    note: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class SaveAgent:
    """The agent's new state, for the log, the desk after a reload, and recovery."""

    agent: Agent
    at_ms: int


@dataclass(frozen=True, slots=True)
class SaveRecording:
    """A recording is to begin, is paused, goes on, or (`ended_at_ms`) has ended."""

    recording: Recording
    ended_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class SaveHandOut:
    """A number outside is to be dialed for a customer, or asked; before the switch is told, always."""

    out: HandOut


@dataclass(frozen=True, slots=True)
class SaveCampaignRun:
    """A campaign is running or stopped."""

    campaign: CampaignId
    running: bool
    at_ms: int


@dataclass(frozen=True, slots=True)
class SaveLead:
    """A change of a lead that no attempt brought (suppressed, reopened)."""

    change: LeadChange
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SavePlan:
    """A call was promised on a lead's card, or taken back there: the lead, its callback, and how it was before."""

    change: LeadChange
    at_ms: int
    by: str


@dataclass(frozen=True, slots=True)
class SaveOptOut:
    """The customer of this attempt wants no more calls: their numbers are suppressed, and that is audited, once."""

    attempt: AttemptId
    at_ms: int


@dataclass(frozen=True, slots=True)
class SavePacing:
    """What a campaign's pacer has learned, for the next start."""

    campaign: CampaignId
    learned: Mapping[str, Any]
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveAudit:
    """Who did what, when."""

    at_ms: int
    by: str
    action: str
    subject: str
    detail: str = ""


# ── reads and timers ─────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class FetchLeads:
    """Ask the store for at most `limit` dialable leads, best first, except those in `but`; answer: `LeadsFetched`."""

    campaign: CampaignId
    limit: int
    but: frozenset[LeadId] = frozenset()
    history_ms: int = 0  # also fields, zones and the attempts of so long; 0: not needed
    promised: bool = False  # only promised calls


@dataclass(frozen=True, slots=True)
class FetchLead:
    """Ask the store for this lead as it is after the writes of its batch; answer: `LeadFetched`."""

    lead: LeadId
    history_ms: int = 0  # as of `FetchLeads`


@dataclass(frozen=True, slots=True)
class FetchCaller:
    """Ask the store who has this number, best the campaign's own leads; answer: `CallerFetched`."""

    attempt: AttemptId
    number: PhoneNumber
    campaign: CampaignId


@dataclass(frozen=True, slots=True)
class CheckHeld:
    """Ask the store which numbers of these leads are on a do-not-call list; answer: `HeldChecked`."""

    leads: frozenset[LeadId]


@dataclass(frozen=True, slots=True)
class CheckNumber:
    """Ask the store, after the writes of its batch, whether a do-not-call list binds this campaign to leave the number
    alone; answer: `NumberChecked`."""

    attempt: AttemptId
    number: PhoneNumber
    campaign: CampaignId


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Send `TimerFired(key)` at `at_ms`; the same key again moves it."""

    key: tuple[str, str]
    at_ms: int


@dataclass(frozen=True, slots=True)
class CancelTimer:
    """Forget the timer; unknown keys are fine."""

    key: tuple[str, str]


# ── to spectators, after commit ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class AgentChanged:
    """An agent's state, wish, phone or call changed."""

    agent: Agent


@dataclass(frozen=True, slots=True)
class AttemptChanged:
    """A call was planned, rings, was answered, bridged, or ended."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class ScreenPop:
    """Open this lead's card on this agent's desk: they are being connected."""

    agent: AgentId
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class DialingChanged:
    """Whether a campaign dials, and if not why: reasons the supervisor sees (`no_agents`, `no_leads`, `switch` …)."""

    campaign: CampaignId
    running: bool
    reason: str


@dataclass(frozen=True, slots=True)
class CommandDone:
    """A desk command is done and on disk (`refusal` empty) or was refused for the named reason."""

    command: CommandId
    refusal: str = ""


Dial = OriginateCustomer  # sent when it is on disk
Recorder = StartRecording  # the same: what nobody knows of after a kill would run on for the next customer
Urgent = (
    OriginateAgent
    | OriginateOutside
    | OpenBridge
    | Bridge
    | Music
    | TransferOut
    | Hangup
    | Screen
    | PlayMessageAndHangup
    | Hold
    | Mute
    | SendDigits
    | AskSwitch
    | AnswerPhone
    | PauseRecording
    | StopRecording
)
Write = (
    SaveAttempt
    | SaveArrival
    | SaveAttached
    | SaveMissed
    | SaveAnswer
    | SaveTakenBack
    | SaveEnd
    | SaveDisposition
    | SaveDispositionAlone
    | SaveAgent
    | SaveRecording
    | SaveHandOut
    | SaveCampaignRun
    | SaveLead
    | SavePlan
    | SaveOptOut
    | SavePacing
    | SaveAudit
)
Read = FetchLeads | FetchLead | FetchCaller | CheckHeld | CheckNumber
Timer = SetTimer | CancelTimer
Notice = AgentChanged | AttemptChanged | ScreenPop | DialingChanged | CommandDone
Effect = Dial | Recorder | Urgent | Write | Read | Timer | Notice

SwitchOrder = Dial | Recorder | Urgent
