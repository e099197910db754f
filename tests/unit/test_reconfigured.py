"""config.yaml loses campaigns, operators and queues while people work: nothing that goes on ends by it."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from engine.core import events
from engine.core.invariants import violations
from engine.core.model import (
    AgentId,
    AgentState,
    CampaignId,
    ConsultAct,
    LegKind,
    PhoneNumber,
    Policy,
    SystemPause,
    TrunkId,
    inbound_leg,
)
from engine.core.pacing import Predictive, Preview, Progressive
from engine.driver import Driver
from engine.metrics import Moment, Tally, page
from tests.conversation import (
    ANNA,
    BORYS,
    HOTLINE,
    LATER,
    OUR_NUMBER,
    SOLD,
    SPRING,
    Conversation,
    campaign,
    lead,
    policy,
    profile,
    queue,
)

SEEDS = range(30)
STEPS = 120
AUTUMN, DANYLO = CampaignId("autumn"), AgentId("danylo")
PEOPLE = (ANNA, BORYS, DANYLO)
OUTSIDE = PhoneNumber("+380501112233")
NOW = Moment(facts_waiting=0, commits_waiting=0, beat_age_ms=0, round_trip_ms=0, event_lag_ms=0)


class Engine(Driver):
    """An engine as far as those who look at its state see it."""

    def __init__(self, floor: Conversation) -> None:
        self._floor = floor.floor


def whole(chance: random.Random) -> Policy:
    """Two campaigns, a queue, three operators for all of them."""
    dialed = chance.choice([Progressive(), Predictive(), Preview(countdown_ms=10_000)])
    shared = chance.choice([Progressive(), Preview(countdown_ms=10_000)])
    people = [
        profile(who, campaigns=(SPRING, AUTUMN), queues=(HOTLINE,), leg_kind=chance.choice(list(LegKind)))
        for who in PEOPLE
    ]
    return policy(campaign(pacing=dialed), campaign(id=AUTUMN, pacing=shared), agents=people, queues=[queue()])


def rest_of(rules: Policy, chance: random.Random) -> Policy:
    """What is left when somebody has taken a few sections out of the file."""
    campaigns = {id_: one for id_, one in rules.campaigns.items() if chance.random() < 0.6}
    queues = rules.queues if SPRING in campaigns and chance.random() < 0.5 else {}
    agents = {
        id_: replace(
            one,
            campaigns=tuple(served for served in one.campaigns if served in campaigns),
            queues=tuple(served for served in one.queues if served in queues),
        )
        for id_, one in rules.agents.items()
        if chance.random() < 0.6
    }
    return replace(rules, campaigns=campaigns, queues=queues, agents=agents)


def something_happens(  # noqa: C901, PLR0912 - one row per thing
    floor: Conversation, rules: Policy, step: int, chance: random.Random
) -> None:
    who, colleague = floor.live.agents[chance.choice(PEOPLE)], chance.choice(PEOPLE)
    attempts = list(floor.live.attempts.values())
    legs = [*(attempt.leg for attempt in attempts), *floor.live.outside.values()]
    leg = chance.choice(legs) if legs else inbound_leg("0")
    match chance.randrange(13):
        case 0:
            wanted = events.AgentLogin if who.state is AgentState.LOGGED_OUT else events.AgentReady
            floor.command(wanted, agent=who.id)
        case 1 if who.leg is not None:
            floor.tell(chance.choice([events.LegAnswered(who.leg)] * 2 + [events.LegHungUp(who.leg, 16)]))
        case 2 | 3:
            told: list[events.Event] = [events.LegRinging(leg), events.LegAnswered(leg), events.LegBridged(leg)]
            floor.tell(chance.choice(told))
        case 4:
            floor.tell(events.LegHungUp(leg, chance.choice([16, 17])))
        case 5:
            caller = chance.choice([None, PhoneNumber("+380670000001")])
            dialed, trunk = PhoneNumber(OUR_NUMBER), TrunkId("carrier")
            floor.tell(events.CallArrived(leg=inbound_leg(f"1.{step}"), trunk=trunk, dialed=dialed, caller=caller))
        case 6:
            floor.tell(events.ConfigChanged(rest_of(rules, chance) if chance.random() < 0.6 else rules))
        case 7:
            floor.wait(chance.choice([100, 2_500, 11_000, 30_000]))
        case 8:
            floor.command(events.AgentPause, agent=who.id, reason=SystemPause.FORCED)
        case 9:
            floor.command(events.AgentTransfer, agent=who.id, to=colleague)
        case 10:
            whom: dict[str, object] = {"to": colleague} if chance.random() < 0.5 else {"number": OUTSIDE}
            floor.command(events.AgentConsult, agent=who.id, act=chance.choice(list(ConsultAct)), **whom)
        case 11:
            floor.command(events.AgentTransferOut, agent=who.id, number=OUTSIDE)
        case _ if who.attempt is not None:
            said = {"disposition": chance.choice([SOLD, LATER]).id, "note": "", "callback_mine": True}
            at_ms = floor.now_ms + 3_600_000
            floor.command(events.Dispose, agent=who.id, attempt=who.attempt, callback_at_ms=at_ms, **said)
        case _:
            floor.tell(events.SwitchLost("cut"), events.SwitchUp(()))


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_leaves_the_file_work_goes_on_and_can_be_looked_at(seed: int) -> None:
    chance = random.Random(seed)
    rules = whole(chance)
    leads = [lead(n, campaign=chance.choice([SPRING, AUTUMN])) for n in range(1, 30)]
    floor = Conversation(*leads, policy=rules)
    engine = Engine(floor)
    for step in range(STEPS):
        something_happens(floor, rules, step, chance)
        assert violations(floor.live) == []
        engine.snapshot()
        page(floor.live, Tally(), NOW)
