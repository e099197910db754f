"""What the store hands to the CRM: frozen rows, named as the pages name them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from engine.core.model import (
    AgentId,
    AgentState,
    AttemptId,
    CallbackState,
    CampaignId,
    DispositionId,
    LeadId,
    LeadState,
    Outcome,
    Phone,
    PhoneNumber,
    PhoneType,
)


class Role(StrEnum):
    """What a user is here for."""

    OPERATOR = "operator"
    SUPERVISOR = "supervisor"
    ENGINEER = "engineer"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person who may log in. `agent`: whose calls they take, if any."""

    login: str
    name: str = ""
    role: Role
    agent: AgentId | None
    language: str
    theme: str = "auto"
    password_hash: str
    disabled: bool = False
    preferences: Mapping[str, Any] = field(default_factory=dict)  # what they chose about the pages


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSession:
    """A log-in that is still open; only the hash of its token is known."""

    token_hash: str
    user: User
    created_at_ms: int
    seen_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadCard:
    """A lead as its card shows it. `fields`: the columns of its file that are not phones, by name."""

    id: LeadId
    campaign: CampaignId
    name: str
    phones: tuple[Phone, ...]  # `valid` is False also for a suppressed number
    fields: Mapping[str, str]
    state: LeadState
    zone: str | None = None
    attempts_count: int = 0
    next_at_ms: int | None = None  # None when nothing is planned
    rule: str = ""  # why it is so: of the last outcome or disposition
    owner: AgentId | None = None  # of its promised call
    priority: int = 0
    tags: tuple[str, ...] = ()
    keeper: AgentId | None = None  # whose client it is
    source: str = ""  # the partner that it came from
    list_name: str = ""  # that its file brought it onto
    promised_at_ms: int | None = None  # a call is promised for then


@dataclass(frozen=True, slots=True, kw_only=True)
class PastAttempt:
    """One try of a lead, and the conversation that came of it."""

    id: AttemptId
    at_ms: int
    phone: Phone | None  # None: they called, and hid it
    outcome: Outcome | None
    cause: int | None = None
    tech_cause: int | None = None
    rule: str = ""
    agent: AgentId | None = None
    answered_at_ms: int | None = None
    bridged_at_ms: int | None = None
    ended_at_ms: int | None = None
    disposition: DispositionId | None = None
    note: str = ""
    callback_at_ms: int | None = None
    called_us: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CallIn:
    """A call that came in. `number` "": withheld. `agent`: who had it last."""

    number: str
    campaign: CampaignId
    lead: LeadId | None
    agent: AgentId | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCall:
    """A conversation of one agent, as their desk shows it again to give or correct its result."""

    id: AttemptId
    lead: LeadId
    campaign: CampaignId
    name: str
    phone_position: int
    planned_at_ms: int
    bridged_at_ms: int
    ended_at_ms: int | None
    disposition: DispositionId | None
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PastDisposition:
    """One disposition of a conversation; a correction is a later one."""

    attempt: AttemptId
    at_ms: int
    agent: AgentId
    disposition: DispositionId
    note: str
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """A promised later call, with the person it was promised to."""

    id: int
    lead: LeadId
    campaign: CampaignId
    name: str
    due_at_ms: int
    owner: AgentId | None  # None is anyone
    state: CallbackState


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackChange:
    """A call that somebody promised on a lead's card (`due_at_ms` None: took back), and how the lead was before."""

    id: int
    at_ms: int
    login: str
    was_state: LeadState
    was_next_at_ms: int
    was_owner: AgentId | None
    due_at_ms: int | None
    owner: AgentId | None
    called: bool  # since then

    @property
    def was_due_ms(self) -> int | None:
        """For when the call was promised before; None: it was not."""
        return self.was_next_at_ms if self.was_state is LeadState.CALLBACK else None


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignCounts:
    """How far a campaign is; outcomes and dispositions since the question's `since_ms`."""

    leads: Mapping[LeadState, int] = field(default_factory=dict)
    outcomes: Mapping[Outcome, int] = field(default_factory=dict)
    dispositions: Mapping[DispositionId, int] = field(default_factory=dict)
    due_callbacks: int = 0
    due: int = 0  # dialable leads whose time has come
    promises_kept: int = 0  # of those whose time has passed
    promises_broken: int = 0
    promises_overdue: int = 0  # so long that the supervisor must know


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A note that is being typed."""

    text: str
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """Who did what, when."""

    seq: int
    at_ms: int
    by: str
    action: str
    subject: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentTime:
    """How long an agent was in a state (and, paused, for which reason)."""

    agent: AgentId
    state: AgentState
    pause_reason: str
    time_ms: int


class ImportMode(StrEnum):
    """What a file may do: make leads, change those that are there (found by number), or both."""

    CREATE = "create"
    UPDATE = "update"
    BOTH = "both"


class ImportRow(Protocol):
    """A good row of a lead file; `line` is its number there, `phones` are in order and not empty."""

    @property
    def line(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def phones(self) -> Sequence[PhoneNumber]: ...
    @property
    def zone(self) -> str | None: ...
    @property
    def priority(self) -> int: ...
    @property
    def external_id(self) -> str: ...
    @property
    def fields(self) -> Mapping[str, str]: ...
    @property
    def tags(self) -> Sequence[str]: ...
    @property
    def keeper(self) -> str | None: ...
    @property
    def source(self) -> str: ...
    @property
    def phone_types(self) -> Sequence[PhoneType]: ...  # of each of `phones`; empty: none is known


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReject:
    """A row that is not imported, and why."""

    line: int
    field: str
    value: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportCounts:
    """What became of a file's rows: `rows = leads + updated + duplicates + rejects`."""

    id: int
    rows: int
    leads: int
    duplicates: int
    rejects: int
    updated: int = 0
    listed: int = 0  # of the leads: those all of whose numbers must not be called
