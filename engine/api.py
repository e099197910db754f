"""The only door to the engine for the CRM: commands in, a snapshot and notices out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final, Protocol

from engine.core.budget import hours_of
from engine.core.effects import DialingChanged, Notice
from engine.core.events import DeskEvent
from engine.core.model import Agent, AgentId, Attempt, AttemptId, Campaign, CampaignId, Policy
from engine.core.screening import Detection

#: Notices that may wait for one spectator; more, and the subscription ends: take a snapshot, not a backlog.
NOTICES_PER_SPECTATOR_MAX: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PacingView:
    """A campaign's last pacing decision and what it weighed: the answer to "Why 7 calls?". Shares are 0 to 1."""

    campaign: str
    at_ms: int
    mode: str
    placed: int  # by this decision
    limit: str  # what kept it from placing one more: a `PacingLimit` in small letters
    ready: int
    busy: int
    lent: int  # operators at work who count for another campaign now
    wanted_elsewhere: int  # operators whom callers in queues or other campaigns' calls need first
    soon_free: float  # agents expected to be ready again within the forecast's half minute
    in_flight: int  # calls on their way, with those placed now
    expected_answers: float  # persons expected from them who will then hold an agent
    waiting: int  # persons on the line whom no agent has yet
    risk: float  # that one call more would find no agent
    threshold: float  # and how much of that is allowed now; 0 when nothing was forecast
    lines_free: int
    period_hours: int  # of the ruling legal period; 0: since midnight
    live_answers: float  # in it
    abandoned: float
    abandons_left: float  # below 0: overdrawn
    share_max: float  # the law's ceiling


@dataclass(frozen=True, slots=True, kw_only=True)
class AbandonLimit:
    """A campaign's limit of abandoned answers, a share of 0 to 1, and what comes there: an `AtCeiling`'s value."""

    share_max: float
    periods_hours: tuple[int, ...]  # 0: since midnight
    at_ceiling: str


def abandon_limit(campaign: Campaign) -> AbandonLimit:
    """What is shown of a campaign's limit."""
    rule = campaign.abandon
    periods = tuple(hours_of(period) for period in rule.periods)
    return AbandonLimit(share_max=rule.share_max, periods_hours=periods, at_ceiling=rule.at_ceiling.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionView:
    """A campaign's answering-machine detection and how often it took a person for a machine. Shares are 0 to 1."""

    campaign: str
    enabled: bool  # by config.yaml
    off: bool  # it has switched itself off
    checked: int  # calls judged machines that an agent took
    persons: int  # of them
    low: float  # where the true share of persons lies
    high: float
    share_max: float  # above it, detection goes off


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorView:
    """All live state at one moment, as far as it is on disk or about to be."""

    agents: tuple[Agent, ...]
    attempts: tuple[Attempt, ...]  # live ones, and ended ones that still lack a disposition
    dialing: tuple[DialingChanged, ...]  # one per campaign
    switch_problem: str  # "" when all is well, else the reason why nothing is dialed
    store_problem: str
    pacing: tuple[PacingView, ...] = ()  # one per campaign that has dialed since the start
    detection: tuple[DetectionView, ...] = ()  # one per campaign


def detection_view(campaign: str, detection: Detection) -> DetectionView:
    """What is shown of a detection."""
    policy, measured = detection.policy, detection.measured
    return DetectionView(
        campaign=campaign,
        enabled=policy.enabled,
        off=policy.enabled and measured.off,
        checked=measured.checked,
        persons=measured.persons,
        low=measured.low,
        high=measured.high,
        share_max=policy.false_positives_max,
    )


class SubscriptionOverflow(Exception):
    """The spectator read too slowly; it must subscribe again and take a snapshot."""


class Engine(Protocol):
    """What the CRM may ask."""

    async def do(self, event: DeskEvent) -> str:
        """Carry out a desk command; returns "" when it is done *and on disk*, else why it was refused.

        `event.command` makes it idempotent: the same id again returns the first answer and does nothing more.
        Raises TimeoutError when the store could not save it in time: tell the operator "not saved (yet)".
        """

    def snapshot(self) -> FloorView:
        """The state now."""

    def agent(self, agent: AgentId) -> Agent | None:
        """One of the snapshot's agents."""

    def attempt(self, attempt: AttemptId) -> Attempt | None:
        """One of the snapshot's attempts."""

    def policy(self) -> Policy:
        """The configuration in force."""

    def campaign(self, campaign: CampaignId) -> Campaign | None:
        """One of the policy's campaigns, or one that is gone from the configuration while calls of it last."""

    def subscribe(self) -> AbstractAsyncContextManager[AsyncIterator[Notice]]:
        """Notices from now on; leaving the context unsubscribes. Too slow a reader gets SubscriptionOverflow."""

    def leads_changed(self, campaign: str) -> None:
        """Tell the engine that leads of a campaign were imported or edited: they are dialable within a second."""
