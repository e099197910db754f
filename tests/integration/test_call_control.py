"""Call control on a real Asterisk: what customers and operators hear, and what is kept of it."""

from __future__ import annotations

import wave
from pathlib import Path

import pytest

from engine.core.effects import Bridge, Hangup, PauseRecording, SendDigits, StartRecording, StopRecording
from engine.core.events import CommandFailed, LegBridged, LegHungUp
from engine.core.model import bridge_of_leg
from tests.contract.test_switch import connected
from tests.integration.switches import AsteriskPair, until
from tests.integration.test_ari_phones import account_of

pytestmark = pytest.mark.integration


async def test_a_recording_is_a_file_named_with_the_attempt_and_lacks_what_was_paused(
    asterisk_pair: AsteriskPair,
) -> None:
    async with connected(account_of(asterisk_pair)) as phone:
        agent, customer = await phone.seated_agent(), await phone.answered()
        phone.switch.send(Bridge(customer, agent, bridge_of_leg(agent), tone=False))
        await phone.fact(LegBridged, customer)
        name = f"{customer}.1"
        start = StartRecording(
            customer=customer, bridge=bridge_of_leg(agent), name=name, length_max_ms=60_000, announcement="beep"
        )
        phone.switch.send(start)
        file = asterisk_pair.engine.instance.paths.spool / "recording" / f"{name}.wav"
        await until(lambda: file.exists() and file.stat().st_size > 16_000)
        phone.switch.send(PauseRecording(customer, name, on=True))
        phone.switch.send(SendDigits(customer, "123"))
        phone.switch.send(PauseRecording(customer, name, on=False))
        phone.switch.send(StopRecording(customer, name))
        await until(lambda: seconds_of(file))
        for leg in (customer, agent):
            phone.switch.send(Hangup(leg, bridge_of_leg(leg) if leg == agent else None))
            await phone.fact(LegHungUp, leg)
        assert not [fact for fact in phone.facts if isinstance(fact, CommandFailed)]


def seconds_of(file: Path) -> float | None:
    """How long a complete file is; None while Asterisk has not closed it."""
    try:
        with wave.open(str(file)) as sound:
            return sound.getnframes() / sound.getframerate() or None
    except wave.Error:
        return None  # Asterisk has it open, and its header is still to be written
