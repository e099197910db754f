"""The link is cut again and again while calls are dialed: nothing is dialed twice, nothing is left behind."""

from __future__ import annotations

from collections import Counter

import pytest

from engine.ari.client import AriAccount
from engine.core.effects import AskSwitch, Hangup
from engine.core.events import (
    LegHungUp,
    OriginateAccepted,
    OriginateRefused,
    OriginateUnknown,
    SwitchLost,
    SwitchSlow,
    SwitchUp,
)
from tests.contract.test_switch import BUSY, UNANSWERED, connected
from tests.integration.switches import AsteriskPair, until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

CUTS = 20
CALLS_BETWEEN_CUTS = 12
ANSWERS = OriginateAccepted | OriginateRefused | OriginateUnknown


async def test_twenty_cuts_under_load_lose_no_call_and_dial_none_twice(asterisk_pair: AsteriskPair) -> None:
    secrets = asterisk_pair.engine.secrets
    account = AriAccount(
        url=asterisk_pair.ari_url, user=secrets.ari_user, secret=secrets.ari_password, app="zvonar-storm"
    )
    known_before = len(asterisk_pair.carried())
    async with connected(account) as phone:
        legs = []
        for cut in range(1, CUTS + 1):
            legs += [phone.dial(UNANSWERED if n == 0 else BUSY) for n in range(CALLS_BETWEEN_CUTS)]
            await phone.fact(OriginateAccepted, legs[-CALLS_BETWEEN_CUTS + cut % CALLS_BETWEEN_CUTS])
            phone.switch.drop(f"cut {cut}")
            await phone.fact(SwitchUp, nth=cut + 1)

        def answers() -> Counter[type]:
            return Counter(type(f) for f in phone.facts if isinstance(f, ANSWERS))

        await until(lambda: answers().total() >= len(legs))  # those sent after the last cut may be under way

        # The engine's way with a snapshot: what is there is hung up, what is not there has ended.
        phone.switch.send(AskSwitch())
        up = await phone.fact(SwitchUp, nth=CUTS + 2)
        for found in up.legs:
            phone.switch.send(Hangup(found.leg))
            await phone.fact(LegHungUp, found.leg)
        phone.switch.send(AskSwitch())
        assert (await phone.fact(SwitchUp, nth=CUTS + 3)).legs == ()

        refused = {fact.leg for fact in phone.facts if isinstance(fact, OriginateRefused)}
        dialed_max = len(set(legs) - refused)
        await until(lambda: len(asterisk_pair.carried()) - known_before >= answers()[OriginateAccepted])
        assert len(asterisk_pair.carried()) - known_before <= dialed_max
        assert answers().total() == len(legs), "each order is answered once"

        def slow() -> bool:
            told = [f for f in phone.facts if isinstance(f, SwitchSlow | SwitchLost)]
            return isinstance(told[-1], SwitchSlow) and told[-1].slow  # slowness ends with its link

        await until(lambda: not slow())
