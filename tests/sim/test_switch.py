"""The contract of a switch, held against the simulated one; and what only it can show."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Final

import pytest

from engine.clock import WallClock
from engine.core.events import LegHungUp, SwitchDied, SwitchUp
from engine.core.model import PhoneNumber, TrunkId, Verdict
from engine.sim.people import CustomerFate, Habits, People
from engine.sim.switch import Faults, SimSwitch
from tests.contract.test_switch import *  # noqa: F403  (the same suite, another switch)
from tests.contract.test_switch import (
    ANSWERS_AND_STAYS,
    BUSY,
    DEAD,
    PRESSES_NINE,
    SILENT,
    UNANSWERED,
    VOICEMAIL,
    CallIn,
    Phone,
    running_switch,
)

# What the simulated switch is never asked: it has every trunk that is configured.
del test_a_trunk_that_asterisk_does_not_have_refuses_and_the_rest_works  # noqa: F821

HOUR_MS: Final = 3_600_000
CAUSES: Final = {BUSY: (17, 486), DEAD: (1, 404)}
ANSWERS: Final = {
    ANSWERS_AND_STAYS: Verdict.PERSON,
    PRESSES_NINE: Verdict.PERSON,
    SILENT: Verdict.UNSURE,
    VOICEMAIL: Verdict.MACHINE,
}
AFTER_MS: Final = {**dict.fromkeys(ANSWERS, 5), UNANSWERED: HOUR_MS}


class NumberPlan(People):
    """People whose fate is in the last two digits of their number, as the demo carrier's."""

    def customer(self, number: PhoneNumber) -> CustomerFate:
        ending = number.e164[-2:]
        cause, sip = CAUSES.get(ending, (19, None))
        return CustomerFate(
            rings_after_ms=5,
            answers=ending in ANSWERS,
            machine=ending == VOICEMAIL,
            verdict=ANSWERS.get(ending, Verdict.PERSON),
            detection_ms=100,
            opts_out=ending == PRESSES_NINE,
            after_ms=AFTER_MS.get(ending, 0),
            cause=cause,
            tech_cause=sip,
            patience_ms=HOUR_MS,
            talk_ms=HOUR_MS,
            message_ms=5,
        )


def switch(**faults: float) -> SimSwitch:
    chance = random.Random(1)
    return SimSwitch(
        clock=WallClock(),
        chance=chance,
        people=NumberPlan(chance, Habits(phone_answers_share=1.0)),
        faults=Faults(link_gap_ms=10, **faults),  # type: ignore[arg-type]
        trunks=[TrunkId("carrier")],
    )


@pytest.fixture  # type: ignore[no-redef]
async def phone() -> AsyncIterator[Phone]:
    async with running_switch(switch()) as phone:
        yield phone


@pytest.fixture  # type: ignore[no-redef]
def call_in(phone: Phone) -> CallIn:
    async def call(dialed: str, caller: str) -> object:
        number = PhoneNumber(caller) if caller else None
        return phone.switch.call_in(PhoneNumber(dialed), number, TrunkId("carrier"), patience_ms=HOUR_MS)

    return call


async def test_a_switch_that_dies_has_nothing_left() -> None:
    async with running_switch(switch(death_told_share=1.0)) as phone:
        leg = await phone.answered()
        phone.switch.die()
        await phone.fact(SwitchDied)
        assert (await phone.fact(SwitchUp, nth=2)).legs == ()
        assert not phone.has(LegHungUp, leg), "nobody tells of them one by one"


async def test_the_journal_tells_of_who_ended_while_the_link_was_down() -> None:
    async with running_switch(switch(journal_share=1.0)) as phone:
        leg = await phone.answered()
        phone.switch.drop("the test cut it")
        channel = phone.switch.channels[leg]
        phone.switch._disconnect()
        phone.switch._end(channel, 0, None)
        (gone,) = (await phone.fact(SwitchUp, nth=2)).gone
        assert (gone.leg, gone.answered_at_ms is not None) == (leg, True)
