"""What config.yaml may say: each key, its form, its default and what it means."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from engine.config.forms import (
    DAY_MS,
    WEEKDAYS,
    Address,
    Day,
    DayRange,
    FilePath,
    Flag,
    HostPort,
    LegalPeriod,
    Name,
    NameKey,
    Number,
    NumberPattern,
    PerForm,
    Period,
    PortRange,
    Ports,
    Secret,
    Share,
    SpansOfDay,
    Text,
    Zone,
    duration,
    text_form,
    weekdays,
)
from engine.core import law
from engine.core.ordering import SHARES_MAX

Language: TypeAlias = Literal["ru", "uk", "en"]
Labels: TypeAlias = Annotated[dict[Language, Annotated[str, text_form(60)]], Field(min_length=1)]
SoundName: TypeAlias = Annotated[str, text_form(300, "[A-Za-z0-9/._&-]+", "sound names without ending, joined by &")]
Region: TypeAlias = Annotated[str, text_form(2, "[A-Z]{2}", "two capital letters of a country, such as UA")]

LAW_PACKS: Final = "names of files in `packs/law`, such as `ua-consumer-credit`. The strictest rule wins."

#: A change to these sections takes effect only at the next start.
RESTART: Final[JsonDict] = {"restart_required": True}


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Web(_Section):
    """The browser's side."""

    listen: HostPort = Field(default=Address("127.0.0.1", 8080), description="Address and port of the pages.")
    public_url: Text | None = Field(
        default=None,
        description="The address that people type when a proxy stands before the pages, with https://.",
    )
    metrics_token: Secret | None = Field(
        default=None,
        description="Who brings this bearer token may read `/metrics`, as `!env NAME`. Without it: programs on this "
        "machine, and nobody when `public_url` is set.",
    )
    operators_see_numbers: Flag = Field(
        default=False,
        description="yes: operators see whole numbers; no: only the last four digits. Supervisors see them whole.",
    )


class Asterisk(_Section):
    """The telephone switch."""

    managed: Flag = Field(
        default=True,
        description="yes: `make run` installs and starts a private Asterisk; no: an Asterisk of yours runs.",
    )
    ari: HostPort = Field(
        default=Address("127.0.0.1", 8188),
        description="Where Asterisk's HTTP server (ARI) listens.",
    )
    ari_user: Name = Field(default="zvonar", description="Name of the ARI user.")
    ari_password: Secret | None = Field(default=None, description="Password of the ARI user, as `!env NAME`.")
    ari_password_file: FilePath | None = Field(
        default=None,
        description="File with the password of the ARI user; without it, `ari` in `secrets`.",
    )
    ami: HostPort = Field(
        default=Address("127.0.0.1", 5138),
        description="Where Asterisk's manager interface (AMI) listens.",
    )
    ami_user: Name = Field(default="zvonar", description="Name of the AMI user.")
    ami_password: Secret | None = Field(default=None, description="Password of the AMI user, as `!env NAME`.")
    ami_password_file: FilePath | None = Field(
        default=None,
        description="File with the password of the AMI user; without it, `ami` in `secrets`.",
    )
    agi: HostPort | None = Field(
        default=None,
        description="Where `zvonar agi` listens: the FastAGI server that tells callers the right message while no "
        "engine is there. Without it they hear the packaged one.",
    )
    sip: HostPort = Field(
        default=Address("127.0.0.1", 5160),
        description="Where phones register and carriers answer (SIP).",
    )
    rtp_ports: Ports = Field(
        default=PortRange(16_000, 16_999),
        description="UDP ports of the voice streams, two per leg.",
    )
    secrets: FilePath = Field(
        default=Path("var/secrets"),
        description="Directory of generated secrets: a managed Asterisk's and the phones'.",
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        for user in ("ari", "ami"):
            if getattr(self, f"{user}_password") and getattr(self, f"{user}_password_file"):
                raise ValueError(f"{user}_password and {user}_password_file exclude each other")
        return self


class TrunkSettings(_Section):
    """A carrier line and its caps."""

    host: HostPort = Field(description="The carrier's SIP address and port.")
    lines_max: int = Field(ge=1, le=10_000, description="Calls at the same time, at most.")
    calls_per_second_max: float = Field(gt=0, le=200, description="New calls per second, at most.")
    username: Text | None = Field(
        default=None,
        description="Name for the carrier's authentication; none: by address.",
    )
    password: Secret | None = Field(default=None, description="Password for the carrier, as `!env NAME`.")
    password_file: FilePath | None = Field(default=None, description="File with the password for the carrier.")
    register_with_carrier: Flag = Field(default=False, alias="register", description="Register with the carrier.")
    codecs: tuple[Literal["alaw", "ulaw", "g722", "opus"], ...] = Field(
        default=("alaw", "ulaw"),
        min_length=1,
        description="Codecs offered, the best first.",
    )

    @model_validator(mode="after")
    def _whole_authentication(self) -> Self:
        if self.password and self.password_file:
            raise ValueError("password and password_file exclude each other")
        if bool(self.username) != bool(self.password or self.password_file):
            raise ValueError("username and a password (password: !env NAME, or password_file) belong together")
        if self.register_with_carrier and not self.username:
            raise ValueError("register needs a username and a password")
        return self


class PhoneSettings(_Section):
    """A desk phone that registers with us; its key is its SIP user name."""

    name: Text | None = Field(default=None, description="What the phone is called on the pages; without it, its key.")
    answer: Literal["hand", "notify"] = Field(
        default="hand",
        description="How a ringing phone that does not answer by itself is lifted from the desk: notify (it obeys a "
        "SIP NOTIFY with Event: talk), or only by hand, and the desk says so.",
    )
    caller_id: Text | None = Field(default=None, description="The number that colleagues see; without it, the key.")
    password: Secret | None = Field(default=None, description="The phone's SIP password, as `!env NAME`.")
    password_file: FilePath | None = Field(
        default=None,
        description="File with the SIP password; without it, a generated `phone-<key>` in `asterisk.secrets`.",
    )
    codecs: tuple[Literal["alaw", "ulaw", "g722", "opus"], ...] = Field(
        default=("alaw", "ulaw"),
        min_length=1,
        description="Codecs offered, the best first.",
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.password and self.password_file:
            raise ValueError("password and password_file exclude each other")
        return self


class AgentSettings(_Section):
    """A person taking calls; the key is also the log-in name."""

    name: Text = Field(description="The name that colleagues see.")
    phone: Annotated[str, text_form(32)] = Field(description="The desk phone, by its key in `phones`.")
    campaigns: tuple[Name, ...] = Field(min_length=1, description="Campaigns whose calls this agent takes.")
    queues: tuple[Name, ...] | None = Field(
        default=None,
        description="Queues of `inbound` that this agent serves; without it, those of the agent's campaigns.",
    )
    leg: Literal["nailed_up", "on_demand"] = Field(
        default="nailed_up",
        description="nailed_up: the phone stays connected from log-in on; on_demand: it rings per call.",
    )
    auto_answer: Flag = Field(default=True, description="Ask the phone to answer by itself.")
    offer_timeout: Annotated[int, duration("5s", "2m")] = Field(
        default=15_000,
        description="How long an on-demand phone may ring before the agent is paused.",
    )


class Pause(_Section):
    """A reason to be away."""

    labels: Labels = Field(description="The button's text by language.")
    limit: Annotated[int, duration("1m", "1d")] | None = Field(
        default=None,
        description="How long this pause should last at most; beyond it the desk turns red.",
    )
    per_day: Annotated[int, duration("1m", "1d")] | None = Field(
        default=None,
        description="The budget of a day: how long all pauses of this reason may last together.",
    )


class DispositionSettings(_Section):
    """A result that an agent may give a call."""

    labels: Labels = Field(description="The button's text by language; more than 30 characters do not fit.")
    kind: Literal["final", "retry", "callback", "dnc"] = Field(
        description="final: the lead is done; retry: try again; callback: at a promised time; dnc: never again.",
    )
    after: Annotated[int, duration("0s", "90d")] | None = Field(
        default=None,
        description="For kind retry: how long to wait before the next attempt.",
    )
    contact: Flag = Field(default=True, description="Counts as a conversation with the right person in reports.")
    machine: Flag = Field(
        default=False,
        description="They reached an answering machine: tells how often detection is right (`amd`).",
    )

    @model_validator(mode="after")
    def _wait_only_for_retry(self) -> Self:
        if (self.kind == "retry") != (self.after is not None):
            raise ValueError("kind retry needs `after`, and only kind retry has it")
        return self


class LeadField(_Section):
    """A field of a lead beyond name and phones; fields stand on the card in the order of the file."""

    labels: Labels = Field(description="The field's name on the card by language.")
    columns: tuple[Text, ...] = Field(
        default=(),
        description="Further column names that mean this field in a lead file.",
    )


class TaskTypeSettings(_Section):
    """A kind of task beside the dialer's calls."""

    labels: Labels = Field(description="What it is called, by language.")
    tier: int = Field(
        ge=1,
        le=9,
        description="Tier 1 comes first; tier 2 only while tier 1 has nothing for this time slot, and so on.",
    )
    calls: Flag = Field(default=False, description="Handing it out calls its client at once.")


class TasksSettings(_Section):
    """Tasks beside the dialer's calls, handed out by the desk's "Next" (docs/tasks.md)."""

    types: dict[NameKey, TaskTypeSettings] = Field(min_length=1, description="Kinds of tasks, in the form's order.")
    slot: Literal["5m", "10m", "15m", "30m", "60m"] = Field(
        default="15m",
        description="The length of a time slot: a task is handed out from the start of its slot.",
    )
    gap_max: Annotated[int, duration("1m", "1d")] = Field(
        default=20 * 60_000,
        description="Whose next planned task is further away gets somebody of the recovery stack meanwhile.",
    )
    per_day_max: int | None = Field(
        default=None,
        ge=1,
        le=1_000,
        description="Tasks of one operator per day, at most; who books on a full day is offered the next free one.",
    )
    again: Annotated[int, duration("1m", "30d")] = Field(
        default=30 * 60_000,
        description="A task whose call reached nobody comes again after that.",
    )
    recovery: tuple[Name, ...] = Field(
        default=(),
        max_length=100,
        description="Campaigns of the mode `manual` whose leads are the recovery stack.",
    )


class OrderFieldSettings(_Section):
    """A field of clients' orders; they stand in the form in the order of the file."""

    labels: Labels = Field(description="The field's name by language.")
    required: Flag = Field(
        default=False, description="An order without it is saved, but stands on top until it is filled in."
    )
    repeat: Flag = Field(default=True, description="“Repeat the order” takes its value over from the last order.")


class OrderStateSettings(_Section):
    """How far a client's order is."""

    labels: Labels = Field(description="What the state is called, by language.")
    edit: Flag = Field(default=False, description="The values of an order in this state may be changed.")
    over: Flag = Field(default=False, description="It is done with: it sinks to the end of the list and moves no more.")


class OrdersSettings(_Section):
    """What clients order (docs/orders.md)."""

    fields: dict[NameKey, OrderFieldSettings] = Field(
        min_length=1, max_length=30, description="What an order says, in the form's order."
    )
    states: dict[NameKey, OrderStateSettings] = Field(
        default_factory=lambda: dict(USUAL_ORDER_STATES),
        min_length=1,
        max_length=20,
        description="How far an order may be; a new one is in the first. Without it: new and in work (both may be "
        "edited), done and cancelled (both over), break.",
    )


USUAL_ORDER_STATES: Final[Mapping[str, OrderStateSettings]] = {
    "new": OrderStateSettings(labels={"ru": "Новый", "uk": "Новий", "en": "New"}, edit=True),
    "in_work": OrderStateSettings(labels={"ru": "В работе", "uk": "В роботі", "en": "In work"}, edit=True),
    "done": OrderStateSettings(labels={"ru": "Завершён", "uk": "Завершений", "en": "Done"}, over=True),
    "cancelled": OrderStateSettings(labels={"ru": "Отменён", "uk": "Скасований", "en": "Cancelled"}, over=True),
    "break": OrderStateSettings(labels={"ru": "Перерыв", "uk": "Перерва", "en": "Break"}),
}


class Numbering(_Section):
    """How telephone numbers are read."""

    regions: tuple[Region, ...] = Field(
        default=("UA", "RU"),
        min_length=1,
        max_length=5,
        description="Countries of numbers written without their country code; the first that fits wins.",
    )
    allow: tuple[NumberPattern, ...] = Field(
        default=(),
        max_length=50,
        description="Numbers accepted although no public number plan has them; X is any digit.",
    )


class Manual(_Section):
    """Agents dial numbers themselves."""

    mode: Literal["manual"] = Field(description="Agents dial; the engine places no calls of its own.")


class Preview(_Section):
    """Agents see the lead first."""

    mode: Literal["preview"] = Field(description="Each ready agent is shown the next lead and starts the call.")
    seconds: int = Field(
        default=0,
        ge=0,
        le=600,
        description="How long the agent may look at a lead; 0: as long as they like. The claim is in memory alone: "
        "after a restart the lead is offered anew, and no attempt is spent.",
    )
    on_timeout: Literal["dial", "skip", "pause"] = Field(
        default="dial",
        description="When the time is out: dial, show another lead, or pause the agent.",
    )
    allow_skip: bool = Field(
        default=True,
        description="Agents may skip a lead; it comes back after `attempts.otherwise`.",
    )
    max_skips: int = Field(
        default=3,
        ge=0,
        le=100,
        description="Leads skipped in a row, at most; 0: no limit. With on_timeout skip, the agent is paused then.",
    )


class Progressive(_Section):
    """One call per ready agent."""

    mode: Literal["progressive"] = Field(description="One call per ready agent, longest idle first.")


class Ratio(_Section):
    """A fixed number of calls per ready agent."""

    mode: Literal["ratio"] = Field(description="A fixed number of calls per ready agent.")
    ratio: float = Field(ge=1.0, le=5.0, description="Calls per ready agent.")


class Predictive(_Section):
    """As many calls as the forecast and the abandonment budget allow."""

    mode: Literal["predictive"] = Field(
        description="As many calls as the forecast of answers and free agents and the abandonment budget allow.",
    )
    aim: Share | None = Field(
        default=None,
        description="The share of live answers to abandon at most; without it, all that `abandon` allows less `guard`. "
        "More than that has no effect.",
    )


class Abandon(_Section):
    """The law's limit on answered calls that nobody takes."""

    max: Share = Field(
        default=0.03,
        description="The ceiling: abandoned calls as a share of calls answered by a person. Nothing passes it.",
    )
    guard: Share = Field(default=0.005, description="What predictive dialing keeps in hand below the ceiling.")
    per: tuple[Period, ...] = Field(
        default=(LegalPeriod(30 * DAY_MS),),
        min_length=1,
        max_length=4,
        description="Over which period the share counts; of several, the one with the least left rules. Days begin at "
        "midnight in the campaign's `zone`.",
    )
    at_ceiling: Literal["ease", "one_to_one", "stop"] = Field(
        default="one_to_one",
        description="At the ceiling: ease (predictive dials on at hardly any risk), one call per ready agent, or stop.",
    )
    connect_within: Annotated[int, duration("0s", "1m")] = Field(
        default=2_000,
        description="How long an answered customer waits for an agent before the message is played.",
    )
    min_ring: Annotated[int, duration("0s", "1m")] = Field(
        default=15_000,
        description="A ringing call is not taken back before it has rung so long.",
    )

    @model_validator(mode="after")
    def _room_below_the_ceiling(self) -> Self:
        if self.guard >= self.max:
            raise ValueError("guard must be less than max, or nothing could ever be abandoned")
        return self


class Retry(_Section):
    """What follows one outcome."""

    after: Annotated[int, duration("0s", "90d")] = Field(description="How long to wait before the next attempt.")
    max: int = Field(ge=0, le=100, description="Retries after this outcome, at most; 0 means not again.")


#: Outcomes that a rule may retry. A conversation ends in a disposition; an invalid number goes to the next phone.
RetryOutcome: TypeAlias = Literal[
    "no_answer", "busy", "rejected", "machine", "abandoned", "hung_up_early", "congestion", "failed", "lost"
]


class Burst(_Section):
    """The first try: several quick calls."""

    calls: int = Field(ge=2, le=5, description="Calls of the first try, at most; each counts for `max`.")
    after: Annotated[int, duration("0s", "10m")] = Field(
        default=30_000,
        description="How long after an unanswered call of the first try the next one follows.",
    )
    then: Annotated[int, duration("1s", "90d")] = Field(
        default=30 * 60_000,
        description="How long to wait when nobody answered any of them.",
    )
    priority: int = Field(
        default=0,
        ge=-100,
        le=0,
        description="What the lead's priority is changed by then: below those that were never called.",
    )


class AttemptLimit(_Section):
    """At most so many attempts in a period."""

    max: int = Field(ge=1, lt=law.HISTORY_MAX, description="Attempts in the period, at most.")
    per: PerForm = Field(description="The period; days begin at midnight where the lead is.")
    of: Literal["lead", "number", "person"] = Field(
        default="lead",
        description="Whose: this lead's, this number's, or the person's: all who share a number with the lead. "
        "Of a number and a person the attempts of all campaigns count.",
    )


class Attempts(_Section):
    """How often a lead is tried."""

    max: int = Field(ge=1, le=100, description="Attempts per lead, at most; an attempt counts if it may have rung.")
    retry: dict[RetryOutcome, Retry] = Field(default_factory=dict, description="When to try again, by outcome.")
    otherwise: Annotated[int, duration("1s", "90d")] = Field(
        default=30 * 60_000,
        description="When to try again after an outcome that has no rule.",
    )
    burst: Burst | None = Field(default=None, description="The first try as several quick calls.")
    limits: tuple[AttemptLimit, ...] = Field(
        default=(),
        max_length=10,
        description="Attempts per period. Of several phones, one whose own limit is not reached is called.",
    )
    same_hour_max: int | None = Field(
        default=None,
        ge=1,
        le=10,
        description="Attempts of a lead in the same hour of the day, at most: spreads them. "
        "Asked in each zone where the lead may be. A promised call is made at the hour that was named.",
    )


class MessageSettings(_Section):
    """What people hear when nobody is free."""

    company: Text | None = Field(default=None, description="Whose name the recordings say; some law packs demand it.")
    sounds: dict[Language, SoundName] = Field(
        default_factory=dict,
        description="The recording by language: a name below Asterisk's sounds or an absolute path, without ending, "
        "several joined by &. A lead with the field `language` (ru, uk or en) hears its own, all others the first. "
        "Without any: a packaged one that names no company.",
    )
    opt_out: int = Field(
        default=9,
        ge=0,
        le=9,
        description="Who presses this key while it plays is put on the do-not-call list; the recording must say so.",
    )


class OrderTerm(_Section):
    """One part of the order of dialing."""

    by: Name = Field(
        description="`priority`; `due`: longest due; `age`; `attempts`; `zone`; `partner`; `list`; `tag`; or a field."
    )
    first: Literal["newest", "oldest", "fewest", "most"] | tuple[Text, ...] | None = Field(
        default=None,
        description="age: `newest` or `oldest`; attempts: `fewest` or `most`; a field: its values in their order.",
    )
    shares: dict[NameKey, Annotated[int, Field(ge=1, le=100)]] | None = Field(
        default=None,
        max_length=SHARES_MAX,
        description="Of a field instead of `first`: leads take turns by its values, in these shares; others share 1.",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        words = {"age": ("newest", "oldest"), "attempts": ("fewest", "most")}.get(self.by)
        if self.by in {"priority", "due"}:
            if self.first is not None or self.shares is not None:
                raise ValueError(f"by: {self.by} takes nothing else")
        elif words:
            if self.first not in words or self.shares is not None:
                raise ValueError(f"by: {self.by} needs first: {words[0]} or {words[1]}")
        elif (self.shares is None) == (not isinstance(self.first, tuple)):
            raise ValueError(f"by: {self.by} needs either first: [its values] or shares: {{value: 3, other: 1}}")
        return self


class Amd(_Section):
    """Answering-machine detection by Asterisk's AMD. It delays the greeting, and takes some persons for machines."""

    enabled: Flag = Field(default=False, description="Judge who answers. Whoever is not clearly a machine is a person.")
    message: SoundName | None = Field(
        default=None,
        description="The recording left on a machine after its greeting; without one, the call is hung up.",
    )
    sample: Share = Field(
        default=0.1,
        description="The share of calls judged machines that is put through to agents, whose dispositions (`machine`) "
        "tell how many were persons.",
    )
    false_positives_max: Share = Field(
        default=0.05,
        description="The largest share of persons among calls judged machines; surely above it, detection goes off.",
    )
    confidence: Share = Field(default=0.95, description="How sure that must be, and how wide the interval shown is.")
    since: Day | None = Field(
        default=None,
        description="Count only what was measured from this day on: after tuning, today; detection is on again.",
    )
    greeting: Annotated[int, duration("300ms", "5s")] = Field(
        default=1_000,
        description="A longer greeting is a machine's.",
    )
    silence: Annotated[int, duration("200ms", "3s")] = Field(
        default=300,
        description="So long a silence after a greeting: a person who waits for an answer.",
    )
    words: int = Field(default=3, ge=1, le=20, description="More words than this are a machine's.")

    @model_validator(mode="after")
    def _measured(self) -> Self:
        if self.enabled and not self.sample:
            raise ValueError("sample: without one nobody would know how many persons are hung up on")
        if not 0.5 <= self.confidence < 1:
            raise ValueError("confidence: from 50% to 99.9%")
        return self


class Callbacks(_Section):
    """Promised later calls."""

    tolerance: Annotated[int, duration("1m", "1d")] = Field(
        default=15 * 60_000,
        description="How long a call waits for the operator who promised it; then anyone takes it. Later it is broken.",
    )
    alarm: Annotated[int, duration("1m", "7d")] = Field(
        default=30 * 60_000,
        description="So long overdue, the supervisor is told on the floor page.",
    )
    slot: Literal["5m", "10m", "15m", "30m", "60m"] = Field(
        default="15m",
        description="The length of a slot.",
    )
    per_slot_max: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="Calls promised for one slot, at most; who asks for more is offered the next free one.",
    )
    own_per_day_max: int | None = Field(
        default=None,
        ge=1,
        le=1_000,
        description="Calls that an operator promises for themselves per day, at most; then another day is offered.",
    )


class WrapUp(_Section):
    """The work after a call."""

    mode: Literal["optional", "required", "timed", "timed_no_exit"] = Field(
        default="timed",
        description="optional: leave at will; required: after a disposition (an operator whose phone is lost may still "
        "give it for a day); timed: also when the time is out; timed_no_exit: only when the time is out.",
    )
    limit: Annotated[int, duration("1s", "1h")] = Field(default=60_000, description="How long wrap-up may last.")


class RecordingSettings(_Section):
    """Whether conversations are recorded."""

    mode: Literal["off", "always", "on_demand"] = Field(
        default="off",
        description="off; always: every conversation; on_demand: when the operator presses the button (Alt+V).",
    )
    consent: Literal["none", "announced", "asked"] = Field(
        default="none",
        description="What the law wants of the customer: none; announced: both hear `announcement` when it begins; "
        "asked: it begins when the operator says that the customer agreed.",
    )
    announcement: Annotated[str, text_form(300, "[A-Za-z0-9/._-]+", "a sound name without ending")] | None = Field(
        default=None,
        description="The sound of consent `announced`: a name below Asterisk's sounds.",
    )

    @model_validator(mode="after")
    def _announced_with_a_sound(self) -> Self:
        if (self.consent == "announced") != (self.announcement is not None):
            raise ValueError("consent announced needs an `announcement`, and only it has one")
        return self


class CampaignSettings(_Section):
    """Leads, rules and agents under one name."""

    name: Text = Field(description="What the campaign is called on the pages.")
    pacing: Annotated[Manual | Preview | Progressive | Ratio | Predictive, Field(discriminator="mode")] = Field(
        description="How calls are started.",
    )
    priority: int = Field(
        default=0,
        ge=-50,
        le=50,
        description="Of campaigns that share agents the higher one is dialed for first; the others get those agents "
        "while it has nobody to dial.",
    )
    weight: int = Field(
        default=1,
        ge=1,
        le=100,
        description="Of campaigns with the same `priority` each is dialed for in turns: with weights 3 and 1, three "
        "times of four for the one.",
    )
    trunks: tuple[Name, ...] = Field(min_length=1, description="Trunks to dial through, in failover order.")
    caller_id: Number | None = Field(default=None, description="The number that customers see.")
    ring_timeout: Annotated[int, duration("5s", "2m")] = Field(
        default=30_000,
        description="How long a customer's phone rings.",
    )
    talk_max: Annotated[int, duration("1m", "8h")] = Field(
        default=3_600_000,
        description="The longest call; then it is cut.",
    )
    abandon: Abandon = Field(default=Abandon(), description="The law's limit on answered calls that nobody takes.")
    message: MessageSettings = Field(default=MessageSettings(), description="What people hear when nobody is free.")
    amd: Amd = Field(default=Amd(), description="Answering-machine detection.")
    wrap_up: WrapUp = Field(default=WrapUp(), description="The work after a call.")
    attempts: Attempts = Field(description="How often a lead is tried, and when again.")
    zone: Zone = Field(description="Time zone of leads of whom neither a zone, nor a city, nor a number tells it.")
    hours: dict[DayRange, SpansOfDay] = Field(
        min_length=1,
        description='When customers may be called, in their own zone: `mon-fri: "09:00-20:00"`. Other days: closed.',
    )
    callbacks: Callbacks = Field(default=Callbacks(), description="Promised later calls.")
    order: tuple[OrderTerm, ...] = Field(
        default=(),
        max_length=8,
        description="In which order due leads are dialed, the most important part first; ties go by id. Promised calls "
        "come before. Without it: by priority, then the longest due.",
    )
    law: tuple[Name, ...] = Field(
        default=(),
        max_length=8,
        description="Law packs that every call must obey, beside the rules here: " + LAW_PACKS,
    )
    requeue_wait: Annotated[int, duration("10s", "1h")] = Field(
        default=120_000,
        description="How long a customer waits with music for a colleague after a transfer, or after the operator's "
        "phone was lost; then the message is played.",
    )
    recording: RecordingSettings = Field(
        default=RecordingSettings(),
        description="Whether conversations are recorded, one file each, named with the attempt.",
    )
    dispositions: tuple[Name, ...] = Field(min_length=1, description="Results to choose from, in the desk's order.")
    script: dict[Language, Annotated[str, text_form(8_000)]] = Field(
        default_factory=dict,
        description="What to say, by language: Markdown with `{{ name }}`, `{{ agent }}`, `{{ campaign }}` and the "
        "names of `lead_fields`; `{% if city %}…{% endif %}` for what only some leads have.",
    )

    @model_validator(mode="after")
    def _each_day_once(self) -> Self:
        _each_day_once(self.hours)
        return self


class CallerIdSettings(_Section):
    """A number that we show, with the label that the operator's contract gives it."""

    number: Number = Field(description="The number, in international form.")
    label: Annotated[str, text_form(32)] = Field(description="Name and category as customers see them: 32 characters.")
    until: Day | None = Field(
        default=None,
        description="The contract's last day, in the campaign's `zone`; then campaigns whose law wants a label stop.",
    )


class QueueSettings(_Section):
    """People who call us, under the numbers that they dial."""

    name: Text = Field(description="What the queue is called on the pages.")
    numbers: tuple[Number, ...] = Field(
        min_length=1,
        max_length=100,
        description="Our numbers that lead here, in international form.",
    )
    campaign: Name = Field(description="The campaign whose dispositions, script and wrap-up these calls have.")
    hours: dict[DayRange, SpansOfDay] = Field(
        default={"daily": ((0, 24 * 60),)},
        min_length=1,
        description="When calls are taken, in the campaign's `zone`; at other times `closed_message` is played.",
    )
    music: Annotated[str, text_form(40, "[A-Za-z0-9_-]+", "a class of Asterisk's musiconhold.conf")] = Field(
        default="default",
        description="What who waits hears: a class of Asterisk's music on hold.",
    )
    closed_message: SoundName = Field(default="zvonar-sorry", description="The sound played outside `hours`.")
    overflow_message: SoundName = Field(
        default="zvonar-sorry",
        description="The sound played when the queue is full or nobody became free in time.",
    )
    wait_max: Annotated[int, duration("10s", "1h")] = Field(
        default=180_000,
        description="How long a caller waits for an agent, at most.",
    )
    queue_max: int = Field(default=20, ge=1, le=1_000, description="Callers who wait at the same time, at most.")
    priority: int = Field(default=0, ge=-50, le=50, description="Of two queues, the higher one is served first.")
    call_back: Flag = Field(
        default=True,
        description="Who reached nobody is called back: their lead, made if need be, gets a callback due at once.",
    )

    @model_validator(mode="after")
    def _each_day_once(self) -> Self:
        _each_day_once(self.hours)
        return self


def _each_day_once(hours: Mapping[str, object]) -> None:
    named: dict[int, str] = {}
    for days in hours:
        for day in weekdays(days):
            if (first := named.setdefault(day, days)) != days:
                raise ValueError(f"hours: {WEEKDAYS[day]} is in both {first} and {days}")


class Recordings(_Section):
    """Where recordings are kept, and for how long."""

    folder: FilePath = Field(
        default=Path("var/recordings"),
        description="Directory of the files of a managed Asterisk; readable by its owner only.",
        json_schema_extra=RESTART,
    )
    keep: Annotated[int, duration("1h", "3650d")] = Field(
        default=90 * DAY_MS,
        description="How long a file is kept; then it is deleted.",
    )
    gigabytes_max: float = Field(
        default=20,
        gt=0,
        le=100_000,
        description="Room for all files; beyond it the oldest are deleted first. An hour takes 0.06.",
    )


class Demo(_Section):
    """What `make run` shows by itself; leave the section out for real work."""

    campaign: Name = Field(description="The campaign that dials.")
    leads: FilePath = Field(description="The lead file imported at the first start.")
    trunk: Name = Field(description="The trunk played by the demo carrier.")
    robots: tuple[Name, ...] = Field(default=(), description="Agents played by robots with phones of their own.")
    seat: Name = Field(description="The agent whose seat is free for you; its phone answers by itself.")
    supervisor: Name = Field(default="supervisor", description="Log-in name of the demo's supervisor.")


class Config(_Section):
    """All of config.yaml."""

    languages: tuple[Language, ...] = Field(
        default=("ru", "uk", "en"),
        min_length=1,
        description="Languages of the pages; the first is used until one is chosen.",
    )
    database: FilePath = Field(
        default=Path("var/zvonar.db"),
        description="The database file.",
        json_schema_extra=RESTART,
    )
    drain_limit: Annotated[int, duration("0s", "8h")] = Field(
        default=10 * 60_000,
        description="How long conversations may go on after the engine was asked to end.",
        json_schema_extra=RESTART,
    )
    web: Web = Field(default=Web(), description="The browser's side.", json_schema_extra=RESTART)
    asterisk: Asterisk = Field(default=Asterisk(), description="The telephone switch.", json_schema_extra=RESTART)
    numbering: Numbering = Field(default=Numbering(), description="How telephone numbers are read.")
    trunks: dict[NameKey, TrunkSettings] = Field(min_length=1, description="Carrier lines, by name.")
    phones: dict[Annotated[str, Field(pattern="^[A-Za-z0-9_-]{1,32}$")], PhoneSettings] = Field(
        description="Desk phones, by SIP user name.",
    )
    agents: dict[NameKey, AgentSettings] = Field(description="People taking calls, by log-in name.")
    pauses: dict[NameKey, Pause] = Field(default_factory=dict, description="Reasons to be away, in the desk's order.")
    dispositions: dict[NameKey, DispositionSettings] = Field(min_length=1, description="Results of calls, by name.")
    lead_fields: dict[NameKey, LeadField] = Field(
        default_factory=dict,
        description="Fields of a lead beyond name and phones, in the card's order.",
    )
    campaigns: dict[NameKey, CampaignSettings] = Field(min_length=1, description="Campaigns, by name.")
    caller_ids: tuple[CallerIdSettings, ...] = Field(
        default=(),
        max_length=1_000,
        description="The registry of numbers with a label; law packs with `caller_id_listed` accept no other.",
    )
    inbound: dict[NameKey, QueueSettings] = Field(
        default_factory=dict,
        description="Queues of people who call us, by name.",
    )
    tasks: TasksSettings | None = Field(
        default=None,
        description='Tasks beside the dialer\'s calls; without it the desk has no "Next".',
    )
    orders: OrdersSettings | None = Field(
        default=None,
        description="What clients order; without it the pages know no orders.",
    )
    recordings: Recordings = Field(default=Recordings(), description="Where recordings are kept, and for how long.")
    demo: Demo | None = Field(
        default=None,
        description="What `make run` shows by itself.",
        json_schema_extra=RESTART,
    )
