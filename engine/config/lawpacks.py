"""Law packs and calendars: what their files may say, the rules that they become, and what they forbid a campaign.

The files are `packs/law/<name>.yaml` and `packs/calendars/<name>.yaml`, read as strictly as config.yaml. They are
engineering input, not legal advice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from engine.config import yamlmarks
from engine.config.forms import (
    DAY_MS,
    Flag,
    Form,
    Name,
    PerForm,
    Share,
    SpansOfDay,
    Text,
    day_of_year,
    duration,
    duration_text,
)
from engine.config.schema import CampaignSettings, Config
from engine.core import law
from engine.core.model import Mode

PACKS: Final = Path(__file__).resolve().parents[2] / "packs"
LAW: Final = PACKS / "law"
CALENDARS: Final = PACKS / "calendars"
DAYS_PER_RANGE_MAX: Final = 31

Finding: TypeAlias = tuple[yamlmarks.Path, str]
KeyName: TypeAlias = Literal["lead", "number", "person"]


def known(folder: Path = LAW) -> list[str]:
    """The names of the packs (or calendars) that there are."""
    return sorted(file.stem for file in folder.glob("*.yaml"))


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


# ── forms ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _days(value: object) -> tuple[date, ...]:
    first, dots, last = str(value).partition("..")
    begin, end = day_of_year(first), day_of_year(last if dots else first)
    if not 0 <= (end - begin).days < DAYS_PER_RANGE_MAX:
        raise ValueError(f"{value}: a range runs forwards, over {DAYS_PER_RANGE_MAX} days at most")
    return tuple(begin + timedelta(days=n) for n in range((end - begin).days + 1))


def _shown_days(days: tuple[date, ...]) -> str:
    return f"{days[0]}..{days[-1]}" if len(days) > 1 else str(days[0])


DayOrRange: TypeAlias = Annotated[
    tuple[date, ...],
    Form(_days, _shown_days, {"type": "string"}, "a day such as 2026-01-31, or 2026-01-01..2026-01-08"),
]


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────


class CalendarFile(_Section):
    """Days off of a country. Years that are not named are not known: of them, only what every kind of day allows."""

    calendar: Name
    version: int = Field(ge=1)
    years: tuple[int, ...] = Field(min_length=1)
    off: tuple[DayOrRange, ...] = ()
    worked: tuple[DayOrRange, ...] = ()

    @model_validator(mode="after")
    def _days_of_its_years(self) -> Self:
        off, worked = (frozenset(day for days in part for day in days) for part in (self.off, self.worked))
        for day in sorted(off | worked):
            if day.year not in self.years:
                raise ValueError(f"{day} is in none of its years")
        if both := off & worked:
            raise ValueError(f"{min(both)} is both off and worked")
        return self

    @property
    def named(self) -> str:
        """What it says it is called."""
        return self.calendar

    def value(self) -> law.Holidays:
        """For the core."""
        return law.Holidays(
            name=self.calendar,
            version=self.version,
            years=frozenset(self.years),
            off=frozenset(day for days in self.off for day in days),
            worked=frozenset(day for days in self.worked for day in days),
        )


class LimitRule(_Section):
    """At most so many per period."""

    count: Literal["attempt", "talk", "talk_or_unknown"]
    max: int = Field(ge=0, lt=law.HISTORY_MAX)
    per: PerForm
    key: KeyName = "person"
    unless: tuple[Name, ...] = ()


class RedialRule(_Section):
    """At most so much ringing per period."""

    max: Annotated[int, duration("1s", "1d")]
    per: PerForm
    key: KeyName = "person"
    unless: tuple[Name, ...] = ()


class CooldownRule(_Section):
    """No call for a while after something happened."""

    after: Literal["conversation", "abandoned", "attempt"]
    length: Annotated[int, duration("1m", "366d")] | None = None
    days: int | None = Field(default=None, ge=1, le=366)
    key: KeyName = "person"
    unless: tuple[Name, ...] = ()

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.length is None) == (self.days is None):
            raise ValueError("either length or days")
        return self


class AbandonRule(_Section):
    """The largest share of live answers abandoned; `per` 0 is the calendar day."""

    max: Share
    per: Annotated[int, duration("0s", "31d")]


class PackFile(_Section):
    """One law."""

    pack: Name
    version: int = Field(ge=1)
    about: Text
    sources: tuple[Text, ...] = Field(min_length=1)
    calendar: Name | None = None
    hours: dict[Literal["workday", "weekend", "holiday"], SpansOfDay] | None = None
    limits: tuple[LimitRule, ...] = ()
    redial_time: tuple[RedialRule, ...] = ()
    cooldowns: tuple[CooldownRule, ...] = ()
    stop_if: tuple[Name, ...] = ()
    require: tuple[Name, ...] = ()
    deny_modes: tuple[Literal["manual", "preview", "progressive", "ratio", "predictive"], ...] = ()
    caller_id_required: Flag = False
    caller_id_listed: Flag = False
    company_required: Flag = False
    min_ring: Annotated[int, duration("0s", "1m")] = 0
    connect_within: Annotated[int, duration("0s", "1m")] | None = None
    abandon: AbandonRule | None = None

    @property
    def named(self) -> str:
        """What it says it is called."""
        return self.pack

    def value(self, holidays: law.Holidays | None) -> law.Pack:
        """For the core."""
        redials = (
            law.RedialTime(max_ms=r.max, per=r.per, key=law.Key(r.key), unless=r.unless) for r in self.redial_time
        )
        limits = (
            law.Limit(count=law.Count(r.count), max=r.max, per=r.per, key=law.Key(r.key), unless=r.unless)
            for r in self.limits
        )
        return law.Pack(
            name=self.pack,
            version=self.version,
            windows=None if self.hours is None else {law.DayType(kind): spans for kind, spans in self.hours.items()},
            holidays=holidays,
            limits=(*limits, *redials),
            cooldowns=tuple(
                law.Cooldown(
                    after=law.After(r.after),
                    length_ms=r.length or 0,
                    days=r.days or 0,
                    key=law.Key(r.key),
                    unless=r.unless,
                )
                for r in self.cooldowns
            ),
            stop_if=self.stop_if,
            require=self.require,
            deny_modes=frozenset(map(Mode, self.deny_modes)),
            ring_min_ms=self.min_ring,
            connect_within_ms=self.connect_within,
            abandon=None if (cap := self.abandon) is None else law.AbandonCap(share_max=cap.max, per_ms=cap.per),
            caller_id_required=self.caller_id_required,
            caller_id_listed=self.caller_id_listed,
            company_required=self.company_required,
        )


# ── what a pack forbids a campaign ───────────────────────────────────────────────────────────────────────────────


def contradictions(config: Config, packs: Mapping[str, law.Pack]) -> Iterator[Finding]:
    """Where a campaign is looser than its packs: it may only tighten."""
    for name, campaign in config.campaigns.items():
        for index, wanted in enumerate(campaign.law):
            if wanted in campaign.law[:index]:
                yield ("campaigns", name, "law", index), f"{wanted} is here twice"
            for path, words in _against(campaign, packs[wanted], config):
                yield ("campaigns", name, *path), f"{words} (law pack {wanted})"


def _against(campaign: CampaignSettings, pack: law.Pack, config: Config) -> Iterator[Finding]:
    abandon = campaign.abandon
    if Mode(campaign.pacing.mode) in pack.deny_modes:
        yield ("pacing", "mode"), f"calls may not be started in mode {campaign.pacing.mode}"
    yield from _caller_id(campaign, pack, config)
    if pack.company_required:
        yield from _company_missing(campaign)
    if campaign.ring_timeout < pack.ring_min_ms:
        yield ("ring_timeout",), f"a phone must ring {duration_text(pack.ring_min_ms)} at least"
    if abandon.min_ring < pack.ring_min_ms:
        yield ("abandon", "min_ring"), f"a phone must ring {duration_text(pack.ring_min_ms)} at least"
    if pack.connect_within_ms is not None and abandon.connect_within > pack.connect_within_ms:
        yield ("abandon", "connect_within"), f"{duration_text(pack.connect_within_ms)} at most"
    if pack.abandon is not None:
        if abandon.at_ceiling == "ease":
            yield ("abandon", "at_ceiling"), "beyond the ceiling nothing may be risked: one_to_one or stop"
        if abandon.max > pack.abandon.share_max:
            yield ("abandon", "max"), f"{pack.abandon.share_max * 100:.6g}% at most"
        length_ms = pack.abandon.per_ms or DAY_MS
        if not any(length_ms % (period.length_ms or DAY_MS) == 0 for period in abandon.per):
            wanted = "calendar_day" if not pack.abandon.per_ms else f"{{rolling: {duration_text(length_ms)}}}"
            yield ("abandon", "per"), f"the share must count over {wanted} or a part of it"
    for fact in sorted(set(pack.require) - set(config.lead_fields)):
        yield ("law",), f"needs the lead field {fact}: add it to lead_fields"


def _caller_id(campaign: CampaignSettings, pack: law.Pack, config: Config) -> Iterator[Finding]:
    if campaign.caller_id is None:
        if pack.caller_id_required or pack.caller_id_listed:
            yield ("caller_id",), "a number must be shown: add caller_id"
    elif pack.caller_id_listed and campaign.caller_id not in {one.number for one in config.caller_ids}:
        yield ("caller_id",), f"{campaign.caller_id.e164} has no labelling contract: add it to caller_ids"


def _company_missing(campaign: CampaignSettings) -> Iterator[Finding]:
    if campaign.message.company is None:
        yield ("message", "company"), "whoever answers and finds nobody must hear who called: add the company's name"
    if not campaign.message.sounds:
        yield ("message", "sounds"), "the packaged message names no company: add a recording by language that does"


def doubts(config: Config, packs: Mapping[str, law.Pack]) -> Iterator[Finding]:
    """Facts that would stop or waive something, but that no lead can have."""
    for name, campaign in config.campaigns.items():
        for wanted in campaign.law:
            pack = packs[wanted]
            if missing := sorted(pack.facts - set(pack.require) - set(config.lead_fields)):
                yield (
                    ("campaigns", name, "law"),
                    f"{wanted} also looks at lead fields that are not in lead_fields: {', '.join(missing)}",
                )
