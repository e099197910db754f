"""The foot of the desk: what the operator's day has been so far, and what is left of the pauses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crm_lite.i18n import Words
from crm_lite.settings import Settings
from engine.core.model import Agent, AgentState
from engine.store.rows import AgentTime


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseUsed:
    """A personal pause reason with its time today. `since_ms`: it runs now, and so began, so to speak, then."""

    title: str
    used_ms: int
    budget_ms: int  # 0: none
    since_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """The day of one operator."""

    calls: int
    contacts: int
    undisposed: int
    talk_ms: int
    pauses: Sequence[PauseUsed]


def shift_of(
    day: Mapping[str, int], times: Sequence[AgentTime], agent: Agent, settings: Settings, words: Words, now_ms: int
) -> Shift:
    """The day out of the counts and the log; reasons that were not used and have no budget are left out."""
    used = {time.pause_reason: time.time_ms for time in times if time.state is AgentState.PAUSED}
    current = agent.pause_reason if agent.state is AgentState.PAUSED else ""
    pauses = [
        PauseUsed(
            title=words.label(reason.labels),
            used_ms=used.get(reason.id, 0),
            budget_ms=reason.per_day_ms,
            since_ms=now_ms - used.get(reason.id, 0) if reason.id == current else None,
        )
        for reason in settings.pause_reasons.values()
        if reason.per_day_ms or reason.id == current or used.get(reason.id)
    ]
    return Shift(
        calls=day.get("calls", 0),
        contacts=day.get("contacts", 0),
        undisposed=day.get("undisposed", 0),
        talk_ms=day.get("talk_ms", 0),
        pauses=pauses,
    )
