"""Facts in: what the switch, the desk, the clock and the store tell the Floor. Past tense; one dataclass a fact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.core.budget import MinuteCount
from engine.core.model import (
    AgentId,
    Attempt,
    AttemptId,
    CampaignId,
    CommandId,
    ConsultAct,
    DispositionId,
    Lead,
    LeadId,
    LeadState,
    LegId,
    NotDialing,
    PhoneId,
    PhoneNumber,
    Policy,
    QueueId,
    RecordAct,
    Recording,
    SkipReason,
    TrunkId,
    Verdict,
)

# ── from the switch ──────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class OriginateAccepted:
    """Asterisk took the originate of this leg."""

    leg: LegId


@dataclass(frozen=True, slots=True)
class OriginateRefused:
    """Asterisk refused the originate: nothing was dialed."""

    leg: LegId
    reason: str


@dataclass(frozen=True, slots=True)
class OriginateUnknown:
    """The reply to the originate never came: it may be dialing. Never dialed again; the next snapshot tells."""

    leg: LegId


@dataclass(frozen=True, slots=True, kw_only=True)
class CallArrived:
    """Somebody calls us: their leg is answered and in our hands. `dialed` is our number, `caller` theirs, if shown."""

    leg: LegId
    trunk: TrunkId
    dialed: PhoneNumber | None
    caller: PhoneNumber | None


@dataclass(frozen=True, slots=True)
class LegRinging:
    """The far phone rings."""

    leg: LegId


@dataclass(frozen=True, slots=True)
class LegAnswered:
    """The leg is up and in our hands (it entered Stasis)."""

    leg: LegId


@dataclass(frozen=True, slots=True)
class LegBridged:
    """The customer's leg is in the agent's bridge: they hear each other."""

    leg: LegId


@dataclass(frozen=True, slots=True)
class LegHungUp:
    """The leg is gone. `cause` is Q.850, `tech_cause` the SIP code where known (telephony: classify by both)."""

    leg: LegId
    cause: int
    tech_cause: int | None = None


@dataclass(frozen=True, slots=True)
class LegJudged:
    """Answering-machine detection has spoken, and the leg is in our hands again. `draw`: chance, uniform in [0, 1)."""

    leg: LegId
    verdict: Verdict
    draw: float = 1.0


@dataclass(frozen=True, slots=True)
class LegOptedOut:
    """The customer of this leg pressed the key for "no more calls"; may be told twice, and after the leg's end."""

    leg: LegId


@dataclass(frozen=True, slots=True)
class CommandFailed:
    """The switch did not do what we asked of this leg, and the leg is not known to be gone."""

    leg: LegId
    command: str
    reason: str


@dataclass(frozen=True, slots=True)
class PhoneSeen:
    """A desk phone is (or is no longer) registered."""

    phone: PhoneId
    registered: bool


@dataclass(frozen=True, slots=True)
class LegFound:
    """One of our channels, as a snapshot of the switch shows it."""

    leg: LegId
    answered: bool
    ours_to_command: bool  # it is in our Stasis application, so REST commands work on it
    bridged_with: tuple[LegId, ...] = ()
    arrived: CallArrived | None = None  # of a call that came in: it may have come while nobody listened
    screening: bool = False  # answering-machine detection has it
    handed_out: bool = False  # with somebody outside, or being connected


@dataclass(frozen=True, slots=True)
class LegGone:
    """A customer's leg that has ended, as the switch's own journal tells; perhaps while nobody listened."""

    leg: LegId
    answered_at_ms: int | None
    cause: int


@dataclass(frozen=True, slots=True)
class SwitchUp:
    """The link to the switch is (again) up; this is everything of ours that it has, and what ended since the last."""

    legs: tuple[LegFound, ...]
    gone: tuple[LegGone, ...] = ()


@dataclass(frozen=True, slots=True)
class SwitchLost:
    """The link to the switch is gone; live audio goes on without us."""

    reason: str


@dataclass(frozen=True, slots=True)
class SwitchDied:
    """The switch's process has ended, and every leg with it. `gone`: what its journal tells since the last snapshot."""

    reason: str
    gone: tuple[LegGone, ...] = ()


@dataclass(frozen=True, slots=True)
class SwitchSlow:
    """The switch answers late or not at all (`slow`), or answers well again."""

    slow: bool
    reason: str = ""


# ── from the clock ───────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer that the Floor set is due; `key` is what it was set with."""

    key: tuple[str, str]


# ── from the store ───────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class LeadsFetched:
    """The answer to `FetchLeads`: dialable now, best first. `next_due_at_ms`: when the next one becomes due (now: there
    are more; of a fetch that failed: when to ask again), `next_callback_at_ms`: the next promised call."""

    campaign: CampaignId
    leads: tuple[Lead, ...]
    next_due_at_ms: int | None = None
    next_callback_at_ms: int | None = None
    promised: bool = False  # only promised calls were asked for
    failed: bool = False


@dataclass(frozen=True, slots=True)
class LeadsChanged:
    """Leads of a campaign were imported or edited: what the hopper holds may be stale."""

    campaign: CampaignId


@dataclass(frozen=True, slots=True)
class LeadFetched:
    """The answer to `FetchLead`; None: unknown, or the store could not be read."""

    id: LeadId
    lead: Lead | None


@dataclass(frozen=True, slots=True)
class CallerFetched:
    """The answer to `FetchCaller`: the leads with the caller's number; none if the store could not be read."""

    attempt: AttemptId
    leads: tuple[Lead, ...]


@dataclass(frozen=True, slots=True)
class DoNotCallChanged:
    """A do-not-call list was changed, by whatever process: what is loaded, shown or on its way may be on it now."""


@dataclass(frozen=True, slots=True)
class HeldChecked:
    """The answer to `CheckHeld`: numbers of those leads that must not be called."""

    blocked: tuple[tuple[LeadId, PhoneNumber], ...]


@dataclass(frozen=True, slots=True)
class NumberChecked:
    """The answer to `CheckNumber`: whether a do-not-call list has it. None: the store could not be read."""

    attempt: AttemptId
    blocked: bool | None


@dataclass(frozen=True, slots=True)
class StoreDown:
    """Commits fail: nothing new is dialed, live calls go on."""

    reason: str


@dataclass(frozen=True, slots=True)
class StoreUp:
    """Commits work again, and all that waited is on disk."""


# ── from the engine's own process ────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class EngineLate:
    """Facts wait too long for the Floor (`late`: the process was stopped, or has too much to do), or no longer do.

    Or what time it is, and so whether people may be called, is not sure: `why` says which of the two.
    """

    late: bool
    reason: str = ""
    why: NotDialing = NotDialing.OVERLOAD


# ── from config.yaml and from recovery ───────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class ConfigChanged:
    """A valid new policy."""

    policy: Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What the store knew at start: open attempts (no end on disk), agents' last states, running campaigns."""

    attempts: tuple[tuple[Attempt, Lead | None], ...]
    undisposed: tuple[tuple[AgentId, Attempt, Lead], ...]  # conversations ended without a disposition
    logged_in: tuple[tuple[AgentId, bool], ...]  # (agent, wanted to be ready)
    running: tuple[CampaignId, ...]
    answers: Mapping[CampaignId, tuple[MinuteCount, ...]] = field(default_factory=dict)  # as far back as any law looks
    learned: Mapping[CampaignId, Mapping[str, Any]] = field(default_factory=dict)  # what the pacers knew
    recordings: tuple[Recording, ...] = ()  # that have no end on disk
    recordings_ended: tuple[Recording, ...] = ()  # last of all: the order to end them may have died with the engine
    #: Calls judged machines that agents took, with what they said, oldest first.
    checked: Mapping[CampaignId, tuple[tuple[AttemptId, int, DispositionId], ...]] = field(default_factory=dict)
    decided: Mapping[AttemptId, DispositionId] = field(default_factory=dict)  # open, and their agents' words of them


# ── from the desk (each carries the command id that its answer will name) ────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskCommand:
    """A wish of an agent or supervisor. `by` is who asked, for the audit."""

    command: CommandId
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentLogin(DeskCommand):
    """Start of shift: call the desk phone (nailed-up) or check it (on demand)."""

    agent: AgentId


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentReady(DeskCommand):
    """Wants calls."""

    agent: AgentId


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPause(DeskCommand):
    """Wants a pause, now or after this call."""

    agent: AgentId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentLogout(DeskCommand):
    """End of shift, now or after this call."""

    agent: AgentId


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentDial(DeskCommand):
    """Dial this lead for me: the previewed one, or any of my campaigns. `position`: that phone; None: the rules say."""

    agent: AgentId
    lead: LeadId
    position: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSkip(DeskCommand):
    """Do not dial the previewed lead now."""

    agent: AgentId
    lead: LeadId
    reason: SkipReason


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentHangup(DeskCommand):
    """Ends the conversation."""

    agent: AgentId


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentHold(DeskCommand):
    """Puts the customer on hold (`on`) or takes them back."""

    agent: AgentId
    on: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentMute(DeskCommand):
    """Nobody hears the agent any more (`on`), or everybody again."""

    agent: AgentId
    on: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentDigits(DeskCommand):
    """Sends tones (DTMF) to the customer: `0`-`9`, `*`, `#`, `A`-`D`."""

    agent: AgentId
    digits: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRecord(DeskCommand):
    """Starts a recording (the customer agreed, where that is asked), pauses it for what must not be kept, ends it."""

    agent: AgentId
    act: RecordAct


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentAnswer(DeskCommand):
    """Lifts the desk phone that rings, where the phone lets itself be lifted."""

    agent: AgentId


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentTransfer(DeskCommand):
    """Hands the customer on: to a colleague (or oneself, later), or to whoever of a team or a queue is free first."""

    agent: AgentId
    to: AgentId | None = None
    team: CampaignId | None = None  # None: the team that has the call
    queue: QueueId | None = None  # those who serve this queue


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentTransferOut(DeskCommand):
    """Hands the customer on to a number outside, which the rules of numbering have let pass."""

    agent: AgentId
    number: PhoneNumber


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConsult(DeskCommand):
    """Asks a colleague or a number outside (at the start) while the customer hears music, and what follows from it."""

    agent: AgentId
    act: ConsultAct
    to: AgentId | None = None
    number: PhoneNumber | None = None  # which the rules of numbering have let pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispose(DeskCommand):
    """The agent's result of a conversation; may come while talking, in wrap-up, or be a correction."""

    agent: AgentId
    attempt: AttemptId
    disposition: DispositionId
    note: str = ""
    callback_at_ms: int | None = None
    callback_mine: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentAttach(DeskCommand):
    """The person who called is this lead: picked, or made just now; may come after the call."""

    agent: AgentId
    attempt: AttemptId
    lead: LeadId


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignSwitched(DeskCommand):
    """A supervisor starts or stops a campaign; a stop cuts no live call."""

    campaign: CampaignId
    running: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadSuppressed(DeskCommand):
    """Never dial this lead again; a ringing call to it is taken back."""

    lead: LeadId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadWas:
    """How a lead was before a call was promised on its card."""

    state: LeadState
    next_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanCallback(DeskCommand):
    """Promises a call to this lead on its card, by `owner` or by whoever is free; an earlier promise gives way.

    `at_ms` None takes the promise back: the lead is again as it `was`, or comes after the campaign's usual time.
    `undo`: the promise is put back as it had been, so no rule is asked.
    """

    lead: LeadId
    at_ms: int | None
    owner: AgentId | None = None
    was: LeadWas | None = None
    undo: bool = False


@dataclass(frozen=True, slots=True)
class DrainStarted:
    """The engine is asked to end: no new dials, live calls go on until they end or `until_ms`."""

    until_ms: int


SwitchEvent = (
    OriginateAccepted
    | OriginateRefused
    | OriginateUnknown
    | CallArrived
    | LegRinging
    | LegAnswered
    | LegBridged
    | LegJudged
    | LegHungUp
    | LegOptedOut
    | CommandFailed
    | PhoneSeen
    | SwitchUp
    | SwitchLost
    | SwitchDied
    | SwitchSlow
)
DeskEvent = (
    AgentLogin
    | AgentReady
    | AgentPause
    | AgentLogout
    | AgentDial
    | AgentSkip
    | AgentHangup
    | AgentHold
    | AgentMute
    | AgentDigits
    | AgentRecord
    | AgentTransfer
    | AgentTransferOut
    | AgentConsult
    | AgentAnswer
    | Dispose
    | AgentAttach
    | CampaignSwitched
    | LeadSuppressed
    | PlanCallback
)
StoreEvent = (
    LeadsFetched
    | LeadFetched
    | CallerFetched
    | LeadsChanged
    | DoNotCallChanged
    | HeldChecked
    | NumberChecked
    | StoreDown
    | StoreUp
)
Event = SwitchEvent | DeskEvent | StoreEvent | EngineLate | TimerFired | ConfigChanged | Restored | DrainStarted
