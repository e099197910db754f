"""What a history is: who works and calls, what breaks and how often, all from a seed; and the house it is played in."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Final

from engine.core.budget import AbandonRule, AtCeiling
from engine.core.law import After, Calendar, Cooldown, Count, Key, Limit, Pack, Rolling
from engine.core.model import (
    AgentId,
    AgentProfile,
    AmdPolicy,
    AttemptPolicy,
    CallingHours,
    Campaign,
    CampaignId,
    Consent,
    Disposition,
    DispositionId,
    DispositionKind,
    InboundQueue,
    LegKind,
    Outcome,
    PhoneId,
    PhoneNumber,
    Policy,
    QueueId,
    Recorded,
    RecordingRule,
    RetryRule,
    Trunk,
    TrunkId,
    WrapUpMode,
)
from engine.core.pacing import OnTimeout, PacingPolicy, Predictive, Preview, Progressive, Ratio
from engine.sim.people import Habits
from engine.sim.switch import Faults

CAMPAIGN: Final = CampaignId("spring")
#: Shares agents, lines and numbers with the first, and may vanish from the configuration.
SECOND: Final = CampaignId("autumn")
TRUNK: Final = TrunkId("carrier")
HOTLINE: Final = QueueId("hotline")
#: For the few, who come first and are not called back.
VIP: Final = QueueId("vip")
OUR_NUMBERS: Final = {HOTLINE: PhoneNumber("+380441230000"), VIP: PhoneNumber("+380441230001")}
VOICEMAIL: Final = DispositionId("voicemail")
#: A supervisor gives the trunk no more.
LINES_MAX: Final = 9
#: 2025-11-24 08:00 UTC, a Monday.
START_MS: Final = 1_763_971_200_000
#: The campaigns' own zone.
ZONE: Final = "Europe/Kyiv"
DAYTIME: Final = ((9 * 60, 20 * 60),)
#: 2025-10-26 and 2026-03-29, 00:50 UTC: in ten minutes Kyiv and Lisbon change their clocks, New York and Almaty do not.
CLOCKS_BACK_MS: Final = 1_761_439_800_000
CLOCKS_FORWARD_MS: Final = 1_774_745_400_000
#: Hours with edges inside the hour that these nights have twice, or not at all.
NIGHT: Final = ((0, 90), (105, 150), (155, 210), (215, 24 * 60))
#: A strict law: of persons, by the day and by the hour, with rests.
LAW: Final = Pack(
    name="simulated",
    version=1,
    limits=(
        Limit(count=Count.ATTEMPT, max=3, per=Calendar.DAY),
        Limit(count=Count.ATTEMPT, max=2, per=Rolling(900_000), key=Key.NUMBER),
        Limit(count=Count.TALK, max=1, per=Calendar.DAY, key=Key.LEAD),
    ),
    cooldowns=(
        Cooldown(after=After.ATTEMPT, length_ms=60_000, key=Key.NUMBER),
        Cooldown(after=After.ABANDONED, length_ms=600_000),
        Cooldown(after=After.CONVERSATION, length_ms=300_000),
    ),
)
#: Of all histories.
STORM_SHARE: Final = 0.2
PREVIEW: Final = Preview(countdown_ms=12_000, on_timeout=OnTimeout.SKIP, skips_max=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One history."""

    seed: int
    agents: int = 5
    leads: int = 80
    start_ms: int = START_MS
    hours: tuple[tuple[int, int], ...] = DAYTIME  # minutes of every day, in the lead's own zone
    length_ms: int = 1_200_000
    lines: int = 8
    pacing: PacingPolicy = field(default_factory=Progressive)
    wrap_up: WrapUpMode = WrapUpMode.TIMED
    on_demand_share: float = 0.0
    recording: RecordingRule = field(default_factory=RecordingRule)
    campaigns: int = 1  # or 2
    calls_in_every_ms: int = 0  # people who call us
    law: tuple[Pack, ...] = ()
    amd: AmdPolicy = field(default_factory=AmdPolicy)
    habits: Habits = field(default_factory=Habits)
    faults: Faults = field(default_factory=Faults)
    kill_every_ms: int = 0
    away_ms: int = 3_000
    clock_step_ms: int = 0  # how far the system clock may jump between two lives of the engine
    slow_disk_ms: int = 0
    failed_write_share: float = 0.0
    hung_write_share: float = 0.0
    failed_write: int = 0  # the one, counted from 1, that fails whatever the share
    supervisor_every_ms: int = 0
    regret_share: float = 0.0  # of dials, whose client asks for no calls just then
    stands_still_every_ms: int = 0  # the machine, for seconds
    check_every: int = 1  # facts between two looks at all invariants
    watch_every_s: int = 2  # between two looks at what is stuck
    traced: bool = True  # every fact and every transaction is looked at


def faulty(seed: int) -> Plan:
    """The history of a seed, with all faults; every fifth is a storm of them."""
    storm = random.Random(f"{seed} storm")
    return _storm(_usual(seed), storm) if storm.random() < STORM_SHARE else _usual(seed)


def _usual(seed: int) -> Plan:
    chance, machines, buttons = random.Random(seed), random.Random(f"{seed} machines"), random.Random(f"{seed} buttons")
    harsh = chance.choice((0.3, 1.0, 2.0))
    start_ms = chance.choice((START_MS, START_MS, CLOCKS_BACK_MS, CLOCKS_FORWARD_MS))
    return Plan(
        seed=seed,
        start_ms=start_ms,
        hours=DAYTIME if start_ms == START_MS else NIGHT,
        agents=chance.randint(2, 6),
        lines=chance.randint(2, 9),
        pacing=chance.choice((Progressive(), PREVIEW, Ratio(calls_per_agent=1.5), Predictive())),
        wrap_up=chance.choice(tuple(WrapUpMode)),
        on_demand_share=chance.choice((0.0, 0.0, 0.3, 1.0)),
        recording=RecordingRule(
            mode=chance.choice(tuple(Recorded)), consent=chance.choice((Consent.NONE, Consent.ASKED))
        ),
        campaigns=chance.choice((1, 1, 2)),
        calls_in_every_ms=random.Random(f"{seed} calls in").choice((0, 0, 30_000, 90_000)),
        habits=Habits(
            phone_loss_every_ms=chance.choice((0, 900_000)),
            talk_ms=chance.choice((20_000, 90_000)),
            cards=chance.choice((0, 0, 80)),
            machine_share=machines.choice((0.0, 0.5)),
            astray_share=buttons.choice((0.0, 0.05, 0.3)),
            twice_share=buttons.choice((0.0, 0.1)),
        ),
        amd=AmdPolicy(
            enabled=machines.random() < 0.5,
            message=machines.choice(("", "acme/voicemail")),
            sample_share=machines.choice((0.1, 0.5)),
            false_positives_max=machines.choice((0.05, 0.5)),
        ),
        faults=Faults(
            lost=0.01 * harsh,
            twice=0.01 * harsh,
            late=0.01 * harsh,
            reply_lost=0.01 * harsh,
            refused=0.01 * harsh,
            slow=0.01 * harsh,
            failed=0.01 * harsh,
            glare=0.1 * harsh,
            link_lost_every_ms=int(450_000 / harsh),
            slow_spell_every_ms=int(600_000 / harsh),
            dies_every_ms=chance.choice((0, 0, 600_000)),
            late_snapshot=0.3,
            journal_share=chance.choice((0.0, 0.9)),
        ),
        kill_every_ms=int(450_000 / harsh),
        clock_step_ms=chance.choice((0, 0, 60_000, 3_600_000)),
        slow_disk_ms=chance.choice((0, 5, 200)),
        failed_write_share=0.002 * harsh,
        law=buttons.choice(((), (LAW,))),
        hung_write_share=buttons.choice((0.0, 0.0, 0.005)),
        supervisor_every_ms=150_000,
        regret_share=buttons.choice((0.0, 0.05)),
        stands_still_every_ms=machines.choice((0, 0, 300_000)),
    )


def _storm(usual: Plan, chance: random.Random) -> Plan:
    """Half as long, and hardly a moment in which nothing is broken: faults meet that seldom do."""
    return replace(
        usual,
        length_ms=usual.length_ms // 2,
        campaigns=2,
        calls_in_every_ms=chance.choice((0, 8_000, 30_000)),
        on_demand_share=chance.choice((0.0, 0.5, 1.0)),
        kill_every_ms=chance.choice((4_000, 20_000, 120_000)),
        away_ms=chance.choice((100, 3_000, 12_000)),
        slow_disk_ms=chance.choice((0, 50, 400)),
        failed_write_share=chance.choice((0.002, 0.01)),
        supervisor_every_ms=chance.choice((8_000, 30_000)),
        stands_still_every_ms=chance.choice((0, 60_000)),
        habits=replace(
            usual.habits,
            talk_ms=chance.choice((3_000, 20_000, 60_000)),
            phone_loss_every_ms=chance.choice((0, 60_000)),
            attach_share=1.0,
            cards=80,
            twice_share=0.1,
        ),
        faults=replace(
            usual.faults,
            lost=chance.choice((0.0, 0.02)),
            late=chance.choice((0.0, 0.03)),
            slow=chance.choice((0.0, 0.1)),
            failed=chance.choice((0.0, 0.05)),
            glare=0.3,
            link_lost_every_ms=chance.choice((8_000, 60_000)),
            dies_every_ms=chance.choice((0, 30_000, 120_000)),
            death_told_share=chance.choice((0.0, 1.0)),
            late_snapshot=chance.choice((0.0, 0.8)),
            journal_share=0.95,
        ),
    )


def long_shift(seed: int) -> Plan:
    """A hundred agents for eight hours, without faults: a measure of speed."""
    return Plan(
        seed=seed,
        agents=100,
        leads=40_000,
        length_ms=8 * 3_600_000,
        lines=200,
        habits=Habits(talk_ms=240_000, hangup_share=0.0, wrap_ms=30_000),
        check_every=1_000,
        watch_every_s=60,
        traced=False,
    )


def policy_of(plan: Plan) -> Policy:
    """The house in which it is played."""
    chance = random.Random(f"{plan.seed} policy")
    dispositions = tuple(
        Disposition(id=DispositionId(kind.value), kind=kind, labels={}, retry_after_ms=600_000)
        for kind in DispositionKind
    )
    voicemail = Disposition(
        id=VOICEMAIL, kind=DispositionKind.RETRY, labels={}, retry_after_ms=600_000, contact=False, machine=True
    )
    campaign = Campaign(
        id=CAMPAIGN,
        name="Spring",
        pacing=plan.pacing,
        trunks=(TRUNK,),
        caller_id=PhoneNumber("+380441230000"),
        attempts=AttemptPolicy(
            max=5,
            retry={
                Outcome.BUSY: RetryRule(after_ms=300_000, max=2),
                Outcome.NO_ANSWER: RetryRule(after_ms=900_000, max=4),
            },
        ),
        hours=CallingHours(spans=(plan.hours,) * 7, zone=ZONE),
        dispositions=(*dispositions, *((voicemail,) if plan.amd.enabled else ())),
        law=plan.law,
        amd=plan.amd,
        wrap_up_mode=plan.wrap_up,
        recording=plan.recording,
        abandon=AbandonRule(connect_within_ms=2_000 if not plan.on_demand_share else 6_000),
    )
    campaigns = (CAMPAIGN, SECOND)[: plan.campaigns]
    profiles = [
        AgentProfile(
            id=AgentId(f"agent-{n:03}"),
            name=f"Agent {n}",
            phone=PhoneId(f"desk-{n:03}"),
            campaigns=campaigns,
            queues=tuple(OUR_NUMBERS) if plan.calls_in_every_ms else (),
            leg_kind=LegKind.ON_DEMAND if chance.random() < plan.on_demand_share else LegKind.NAILED_UP,
            answers_notify=n % 2 == 0,
        )
        for n in range(plan.agents)
    ]
    return Policy(
        campaigns={id_: replace(campaign, id=id_) for id_ in campaigns},
        trunks={TRUNK: Trunk(id=TRUNK, lines_max=plan.lines, calls_per_second_max=20.0)},
        agents={profile.id: profile for profile in profiles},
        queues={
            id_: InboundQueue(
                id=id_,
                name=id_,
                campaign=CAMPAIGN if id_ == HOTLINE else campaigns[-1],
                numbers=(number.e164,),
                hours=campaign.hours,
                wait_max_ms=90_000 if id_ == HOTLINE else 20_000,
                queue_max=random.Random(f"{plan.seed} queue").choice((1, 3, 10)),
                priority=int(id_ == VIP),
                call_back=id_ == HOTLINE,
            )
            for id_, number in OUR_NUMBERS.items()
        }
        if plan.calls_in_every_ms
        else {},
    )


def constant_of(plan: Plan) -> Policy:
    """What of that house no supervisor changes: a shift is held against it at its end.

    Who ends a ringing call cannot be told here (ends without a cause and without a SIP code are simulated), nor how the
    pacer had to dial when, and for whom.
    """
    house = policy_of(plan)
    campaigns = {
        id_: replace(c, pacing=Predictive(), abandon=replace(c.abandon, ring_min_ms=0, at_ceiling=AtCeiling.EASE))
        for id_, c in house.campaigns.items()
    }
    trunks = {id_: replace(t, lines_max=max(t.lines_max, LINES_MAX)) for id_, t in house.trunks.items()}
    return replace(house, campaigns=campaigns, trunks=trunks)
