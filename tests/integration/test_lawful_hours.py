"""The end of the calling hours passes while a real engine dials on a real Asterisk: what the carrier's journal says."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from asterisk.journal import CarriedCall
from engine.clock import WallClock
from engine.core import events
from engine.core.model import AgentId, AttemptPolicy, CallingHours, LegKind, TrunkId
from engine.verify import verify
from tests.conversation import SPRING, campaign, policy, profile
from tests.integration.switches import LATE_MS, AsteriskPair, until
from tests.integration.test_nobody_free import running_engine

pytestmark = pytest.mark.integration

#: Theirs, and the campaign's: 22:00 there is 19:00 here.
ALMATY, KYIV = "Asia/Almaty", "Europe/Kyiv"
NINE_TO_TEN = CallingHours(spans=(((9 * 60, 22 * 60),),) * 7, zone=KYIV)
CLOSES_MS = int(datetime(2025, 11, 24, 22, tzinfo=ZoneInfo(ALMATY)).timestamp() * 1000)
BEFORE_MS = 6_000
CALLS_PER_S = 8


class SetClock:
    """A clock that was set to `at_ms` and goes on from there."""

    def __init__(self, at_ms: int) -> None:
        self._wall = WallClock()
        self.shift_ms = at_ms - self._wall.now_ms()

    def now_ms(self) -> int:
        """The time now."""
        return self._wall.now_ms() + self.shift_ms

    def ahead_ms(self) -> int:
        """Nobody sets it back."""
        return 0


def busy_numbers(prefix: str, count: int) -> list[str]:
    """Numbers that are busy: each call is over at once, and the next one may go out."""
    return [f"{prefix}{n:04}20" for n in range(count)]


async def test_no_invite_leaves_once_it_is_ten_in_the_evening_where_they_are(
    asterisk_pair: AsteriskPair, tmp_path: Path
) -> None:
    there, here = busy_numbers("+77010", 150), busy_numbers("+38044", 20)
    zones = dict.fromkeys(there, ALMATY) | dict.fromkeys(here, KYIV)
    agents = [profile(AgentId(f"agent{n}"), leg_kind=LegKind.ON_DEMAND) for n in range(3)]
    once = AttemptPolicy(max=1, retry={})
    rules = policy(
        campaign(hours=NINE_TO_TEN, attempts=once, trunks=(TrunkId("carrier"),)), agents=agents, per_second=CALLS_PER_S
    )
    clock = SetClock(CLOSES_MS - BEFORE_MS)

    def carried(numbers: list[str]) -> list[CarriedCall]:
        """The carrier's record of them, by the engine's clock."""
        return [
            replace(call, invited_ms=call.invited_ms + clock.shift_ms)
            for call in asterisk_pair.carried()
            if f"+{call.number}" in numbers
        ]

    path = tmp_path / "hours.db"
    async with running_engine(asterisk_pair, path, rules, [*there, *here], zones=zones, clock=clock) as engine:
        for agent in agents:
            assert not await engine.do(events.AgentLogin, agent=agent.id)
            assert not await engine.do(events.AgentReady, agent=agent.id)
        assert not await engine.do(events.CampaignSwitched, campaign=SPRING, running=True)
        # Who is here may be called for three hours yet: once they are through, the engine has dialed on.
        await until(lambda: len(carried(here)) == len(here) and clock.now_ms() > CLOSES_MS + 2_000, timeout_s=30)
        assert not await engine.do(events.CampaignSwitched, campaign=SPRING, running=False)

        async def all_over() -> bool:
            return not await engine.rows("SELECT id FROM attempts WHERE ended_at_ms IS NULL")

        await until(all_over)
        invited = sorted(call.invited_ms for call in carried(there))
        assert len(invited) > 2 * CALLS_PER_S, "they were called while it was lawful"
        assert max(invited) < CLOSES_MS
        assert max(invited) > CLOSES_MS - 2_000 - LATE_MS, "up to the end: what stopped it was the hour"
        assert len(invited) < len(there), "and not the end of the list"
        waits = await engine.rows("SELECT DISTINCT state FROM leads WHERE zone = 'Asia/Almaty' AND attempts_count = 0")
        assert waits == [("new",)], "nobody is lost: tomorrow at nine it goes on"
        found = await verify(
            engine.database, now_ms=clock.now_ms(), policy=rules, carried=carried([*there, *here]), at_rest=True
        )
        assert found == []
