"""What config.yaml decides about the pages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from engine.config import Config

_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseReason:
    """A reason that a person may give; `limit_ms` and `per_day_ms` 0 are no limit."""

    id: str
    labels: Mapping[str, str]
    limit_ms: int = 0
    per_day_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of the pages. `public_url` begins with https where the pages are served so: cookies are then Secure."""

    zone: ZoneInfo
    public_url: str
    behind_proxy: bool  # the last address of X-Forwarded-For is the client's
    pause_reasons: Mapping[str, PauseReason]
    #: The fields of the card in their order, with their labels by language.
    card_fields: Mapping[str, Mapping[str, str]]
    operators_see_numbers: bool
    #: What to say, by campaign and language.
    scripts: Mapping[str, Mapping[str, str]]

    @property
    def secure(self) -> bool:
        """Whether the pages are served over https."""
        return self.public_url.startswith("https://")


def settings_of(config: Config) -> Settings:
    """The pages' part of config.yaml."""
    public_url = config.web.public_url or ""
    return Settings(
        # The office's clock is the first campaign's.
        zone=ZoneInfo(next(iter(config.campaigns.values())).zone),
        public_url=public_url,
        # The pages themselves speak http: https means that a proxy stands before them.
        behind_proxy=public_url.startswith("https://"),
        pause_reasons={
            name: PauseReason(
                id=name,
                labels={str(language): text for language, text in pause.labels.items()},
                limit_ms=pause.limit or 0,
                per_day_ms=pause.per_day or 0,
            )
            for name, pause in config.pauses.items()
        },
        operators_see_numbers=config.web.operators_see_numbers,
        scripts={name: dict(campaign.script.items()) for name, campaign in config.campaigns.items() if campaign.script},
        card_fields={name: dict(field.labels.items()) for name, field in config.lead_fields.items()},
    )


class BadDay(ValueError):
    """Not a day as a form's field gives it."""


def midnight_ms(day: str, zone: ZoneInfo, *, days_later: int = 0) -> int | None:
    """When that day (YYYY-MM-DD) begins on this clock; None for none. Raises BadDay."""
    if not day:
        return None
    if not _DAY.fullmatch(day):
        raise BadDay(day)
    try:
        at = datetime.combine(date.fromisoformat(day) + timedelta(days=days_later), time(), zone)
        return int(at.timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise BadDay(day) from error
