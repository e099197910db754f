"""From what config.yaml says to what the core decides by."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from types import MappingProxyType
from typing import Final
from zoneinfo import ZoneInfo

from engine.config import schema
from engine.config.checks import serves
from engine.config.forms import DAY_MS, LegalPeriod, duration_ms, weekdays
from engine.config.schema import CampaignSettings, Config, DispositionSettings
from engine.core import budget, ordering, pacing
from engine.core.hours import instants
from engine.core.law import Count, Key, Limit, Pack
from engine.core.model import (
    AgentId,
    AgentProfile,
    AmdPolicy,
    AttemptPolicy,
    Burst,
    CallbackPolicy,
    CallingHours,
    Campaign,
    CampaignId,
    Consent,
    Disposition,
    DispositionId,
    DispositionKind,
    InboundQueue,
    LegKind,
    Message,
    OrderField,
    OrderPolicy,
    OrderState,
    Outcome,
    PhoneId,
    PhoneNumber,
    Policy,
    QueueId,
    Recorded,
    RecordingRule,
    RetryRule,
    TaskPolicy,
    TaskType,
    Trunk,
    TrunkId,
    WrapUpMode,
)
from engine.phones import Numbering, carried_phone

NO_PACKS: Final[Mapping[str, Pack]] = MappingProxyType({})


def policy_of(config: Config, packs: Mapping[str, Pack] = NO_PACKS) -> Policy:
    """What a valid configuration decides about live calls."""
    campaigns = {
        CampaignId(name): _campaign(CampaignId(name), c, config, packs) for name, c in config.campaigns.items()
    }
    trunks = {
        TrunkId(name): Trunk(id=TrunkId(name), lines_max=t.lines_max, calls_per_second_max=t.calls_per_second_max)
        for name, t in config.trunks.items()
    }
    agents = {
        AgentId(name): AgentProfile(
            id=AgentId(name),
            name=a.name,
            phone=PhoneId(a.phone),
            campaigns=tuple(CampaignId(campaign) for campaign in a.campaigns),
            queues=tuple(QueueId(queue) for queue, q in config.inbound.items() if serves(a, queue, q)),
            leg_kind=LegKind(a.leg),
            auto_answer=a.auto_answer,
            answers_notify=a.phone in config.phones and config.phones[a.phone].answer == "notify",
            offer_timeout_ms=a.offer_timeout,
        )
        for name, a in config.agents.items()
    }
    numbering = Numbering(config.numbering.regions, config.numbering.allow)
    queues = {
        QueueId(name): InboundQueue(
            id=QueueId(name),
            name=q.name,
            campaign=CampaignId(q.campaign),
            numbers=tuple(_carried(number, numbering) for number in q.numbers),
            hours=_hours(q.hours, config.campaigns[q.campaign].zone),
            music=q.music,
            closed_message=q.closed_message,
            overflow_message=q.overflow_message,
            wait_max_ms=q.wait_max,
            queue_max=q.queue_max,
            priority=q.priority,
            call_back=q.call_back,
        )
        for name, q in config.inbound.items()
    }
    return Policy(
        campaigns=MappingProxyType(campaigns),
        trunks=MappingProxyType(trunks),
        agents=MappingProxyType(agents),
        queues=MappingProxyType(queues),
        tasks=_tasks(config.tasks) if config.tasks else None,
        orders=_orders(config.orders) if config.orders else None,
    )


def _orders(orders: schema.OrdersSettings) -> OrderPolicy:
    return OrderPolicy(
        fields=MappingProxyType(
            {
                name: OrderField(name=name, labels=_labels(f.labels), required=f.required, repeats=f.repeat)
                for name, f in orders.fields.items()
            }
        ),
        states=MappingProxyType(
            {
                name: OrderState(id=name, labels=_labels(s.labels), edits=s.edit, over=s.over)
                for name, s in orders.states.items()
            }
        ),
    )


def _labels(labels: Mapping[schema.Language, str]) -> Mapping[str, str]:
    return MappingProxyType({str(language): label for language, label in labels.items()})


def _tasks(tasks: schema.TasksSettings) -> TaskPolicy:
    return TaskPolicy(
        types=MappingProxyType(
            {
                name: TaskType(
                    id=name,
                    labels=_labels(t.labels),
                    tier=t.tier,
                    calls=t.calls,
                )
                for name, t in tasks.types.items()
            }
        ),
        slot_ms=duration_ms(tasks.slot),
        gap_max_ms=tasks.gap_max,
        per_day_max=tasks.per_day_max,
        again_ms=tasks.again,
        recovery=tuple(CampaignId(name) for name in tasks.recovery),
    )


def _contract_end_ms(campaign: CampaignSettings, config: Config, packs: Mapping[str, Pack]) -> int | None:
    """When the label of the campaign's number ends, where one of its laws wants a label."""
    if not any(packs[name].caller_id_listed for name in campaign.law):
        return None
    last = next((one.until for one in config.caller_ids if one.number == campaign.caller_id), None)
    return None if last is None else instants(last + timedelta(days=1), 0, ZoneInfo(campaign.zone))[0]


def _campaign(
    campaign_id: CampaignId, campaign: CampaignSettings, config: Config, packs: Mapping[str, Pack]
) -> Campaign:
    retry = {Outcome(outcome): RetryRule(after_ms=r.after, max=r.max) for outcome, r in campaign.attempts.retry.items()}
    return Campaign(
        id=campaign_id,
        name=campaign.name,
        pacing=_pacing(campaign),
        priority=campaign.priority,
        weight=campaign.weight,
        trunks=tuple(TrunkId(trunk) for trunk in campaign.trunks),
        caller_id=campaign.caller_id,
        attempts=AttemptPolicy(
            max=campaign.attempts.max,
            retry=MappingProxyType(retry),
            default_after_ms=campaign.attempts.otherwise,
            burst=_burst(campaign.attempts.burst),
            limits=tuple(
                Limit(count=Count.ATTEMPT, max=limit.max, per=limit.per, key=Key(limit.of))
                for limit in campaign.attempts.limits
            ),
            same_hour_max=campaign.attempts.same_hour_max,
        ),
        hours=_hours(campaign.hours, campaign.zone),
        dispositions=tuple(_disposition(name, config.dispositions[name]) for name in campaign.dispositions),
        ring_timeout_ms=campaign.ring_timeout,
        wrap_up_mode=WrapUpMode(campaign.wrap_up.mode),
        wrap_up_ms=campaign.wrap_up.limit,
        abandon=_abandon_rule(campaign),
        talk_max_ms=campaign.talk_max,
        message=Message(
            company=campaign.message.company or "",
            sounds=MappingProxyType({str(language): sound for language, sound in campaign.message.sounds.items()}),
            opt_out=str(campaign.message.opt_out),
        ),
        amd=_amd(campaign),
        law=tuple(packs[name] for name in campaign.law),
        caller_id_until_ms=_contract_end_ms(campaign, config, packs),
        order=_order(campaign.order),
        requeue_wait_ms=campaign.requeue_wait,
        recording=RecordingRule(
            mode=Recorded(campaign.recording.mode),
            consent=Consent(campaign.recording.consent),
            announcement=campaign.recording.announcement or "",
        ),
        callbacks=CallbackPolicy(
            tolerance_ms=campaign.callbacks.tolerance,
            alarm_ms=campaign.callbacks.alarm,
            slot_ms=duration_ms(campaign.callbacks.slot),
            per_slot_max=campaign.callbacks.per_slot_max,
            own_per_day_max=campaign.callbacks.own_per_day_max,
        ),
    )


def _burst(burst: schema.Burst | None) -> Burst | None:
    if burst is None:
        return None
    return Burst(calls=burst.calls, after_ms=burst.after, then_ms=burst.then, priority_step=burst.priority)


def _order(terms: tuple[schema.OrderTerm, ...]) -> ordering.Order | None:
    return tuple(map(_term, terms)) or None


def _term(term: schema.OrderTerm) -> ordering.Term:
    match term.by:
        case "priority":
            return ordering.ByPriority()
        case "due":
            return ordering.ByDue()
        case "age":
            return ordering.ByAge(newest=term.first == "newest")
        case "attempts":
            return ordering.ByAttempts(fewest=term.first == "fewest")
        case column if term.shares is not None:
            return ordering.Mix(column=column, shares=tuple(term.shares.items()))
        case column:
            assert isinstance(term.first, tuple)
            return ordering.ByValue(column=column, first=term.first)


def _pacing(campaign: CampaignSettings) -> pacing.PacingPolicy:
    match campaign.pacing:
        case schema.Manual():
            return pacing.Manual()
        case schema.Preview() as preview:
            return pacing.Preview(
                countdown_ms=preview.seconds * 1000,
                on_timeout=pacing.OnTimeout(preview.on_timeout),
                allow_skip=preview.allow_skip,
                skips_max=preview.max_skips,
            )
        case schema.Progressive():
            return pacing.Progressive()
        case schema.Ratio(ratio=ratio):
            return pacing.Ratio(calls_per_agent=ratio)
        case schema.Predictive(aim=aim):
            return pacing.Predictive(abandon_share=aim)


def _abandon_rule(campaign: CampaignSettings) -> budget.AbandonRule:
    rule = campaign.abandon
    return budget.AbandonRule(
        share_max=rule.max,
        guard=rule.guard,
        periods=tuple(_period(period, campaign.zone) for period in rule.per),
        at_ceiling=budget.AtCeiling(rule.at_ceiling),
        connect_within_ms=rule.connect_within,
        ring_min_ms=rule.min_ring,
    )


def _amd(campaign: CampaignSettings) -> AmdPolicy:
    amd = campaign.amd
    return AmdPolicy(
        enabled=amd.enabled,
        message=amd.message or "",
        sample_share=amd.sample,
        false_positives_max=amd.false_positives_max,
        confidence=amd.confidence,
        since_ms=0 if amd.since is None else _midnight_ms(amd.since, campaign.zone),
        greeting_ms=amd.greeting,
        silence_ms=amd.silence,
        words_max=amd.words,
    )


def _midnight_ms(day: date, zone: str) -> int:
    return round(datetime.combine(day, time.min, ZoneInfo(zone)).timestamp() * 1000)


def _period(period: LegalPeriod, zone: str) -> budget.Period:
    if period.since is not None:
        return budget.Successive(start_ms=_midnight_ms(period.since, zone), days=period.length_ms // DAY_MS)
    return budget.Rolling(length_ms=period.length_ms) if period.length_ms else budget.CalendarDay(tz=zone)


def _carried(number: PhoneNumber, numbering: Numbering) -> str:
    """Our number as it will be read when a carrier names it."""
    return (carried_phone(number.e164, numbering) or number).e164


def _hours(hours: Mapping[str, tuple[tuple[int, int], ...]], zone: str) -> CallingHours:
    by_day = {day: spans for days, spans in hours.items() for day in weekdays(days)}
    return CallingHours(spans=tuple(by_day.get(day, ()) for day in range(7)), zone=zone)


def _disposition(name: str, disposition: DispositionSettings) -> Disposition:
    return Disposition(
        id=DispositionId(name),
        kind=DispositionKind(disposition.kind),
        labels=_labels(disposition.labels),
        retry_after_ms=disposition.after or 0,
        contact=disposition.contact,
        machine=disposition.machine,
    )
