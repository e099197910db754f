"""Whoever may log in to the machine sees how the running engine paces, and nobody else does."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path
from typing import Any

import pytest

from engine import window
from engine.core import events
from engine.core.model import CampaignId
from engine.core.pacing import Predictive
from engine.driver import Driver
from engine.window import look, open_window, path_of
from tests.conversation import ANNA, SPRING, Conversation, campaign, lead, policy


class Engine(Driver):
    """An engine as far as the window looks into it."""

    def __init__(self, floor: Conversation) -> None:
        self._floor = floor.floor


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "EVERY_S", 0.01)


def paced() -> Engine:
    floor = Conversation(*(lead(n) for n in range(1, 9)), pacing=Predictive())
    floor.ready(ANNA)
    return Engine(floor)


def first(database: Path, count: int) -> list[list[dict[str, Any]]]:
    views = look(database)
    return [next(views) for _ in range(count)]


async def test_the_last_decision_is_shown_every_second(tmp_path: Path) -> None:
    database = tmp_path / "zvonar.db"
    async with open_window(paced(), database):
        assert stat.S_IMODE(path_of(database).stat().st_mode) == 0o600
        shown = await asyncio.to_thread(first, database, 3)
    ((view,), _, _) = shown
    assert (view["campaign"], view["mode"], view["ready"]) == ("spring", "predictive", 1)
    assert view["in_flight"] >= 1
    assert 0 < view["threshold"] < 1
    assert not path_of(database).exists()


def test_a_campaign_that_is_gone_from_the_file_is_shown_no_more() -> None:
    floor = Conversation(*(lead(n) for n in range(1, 9)), pacing=Predictive())
    floor.ready(ANNA)
    engine = Engine(floor)
    assert [view.campaign for view in engine.snapshot().pacing] == [SPRING]
    floor.command(events.AgentPause, agent=ANNA, reason="lunch")
    for attempt in list(floor.floor.live.attempts.values()):
        floor.tell(events.LegHungUp(attempt.leg, 17))
    floor.tell(events.ConfigChanged(policy(campaign(id=CampaignId("autumn")))))
    assert engine.snapshot().pacing == ()


async def test_what_a_killed_engine_left_is_replaced(tmp_path: Path) -> None:
    database = tmp_path / "zvonar.db"
    path_of(database).touch()
    async with open_window(paced(), database):
        assert await asyncio.to_thread(first, database, 1)


async def test_calls_go_on_where_no_socket_can_be(tmp_path: Path) -> None:
    database = tmp_path / ("x" * 100) / "zvonar.db"
    async with open_window(paced(), database):
        with pytest.raises(OSError, match=r".+"):
            await asyncio.to_thread(first, database, 1)


def test_without_an_engine_there_is_nothing_to_see(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        next(look(tmp_path / "zvonar.db"))
