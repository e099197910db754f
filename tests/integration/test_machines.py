"""Answering-machine detection with the real engine, a real Asterisk and the demo carrier's voices."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from asterisk.robots import RobotPhones
from engine.core import events
from engine.core.model import AgentId, AgentState, AmdPolicy, AttemptId, Policy, TrunkId
from tests.conversation import SOLD, SPRING, campaign, policy, profile
from tests.integration.switches import LATE_MS, AsteriskPair, until
from tests.integration.test_nobody_free import Engine, running_engine
from tests.unit.test_screening import VOICEMAIL

pytestmark = pytest.mark.integration

ANNA, BORYS = AgentId("anna"), AgentId("borys")


def _rules(amd: AmdPolicy) -> Policy:
    agents = [profile(ANNA, phone="101"), profile(BORYS, phone="102")]
    return policy(campaign(amd=amd, dispositions=(SOLD, VOICEMAIL), trunks=(TrunkId("carrier"),)), agents=agents)


async def _dial(engine: Engine) -> None:
    for agent in (ANNA, BORYS):
        assert not await engine.do(events.AgentLogin, agent=agent)

        def logged_in(agent: AgentId = agent) -> bool:
            return any(one.id == agent and one.state is AgentState.PAUSED for one in engine.driver.snapshot().agents)

        await until(logged_in)
        assert not await engine.do(events.AgentReady, agent=agent)
    assert not await engine.do(events.CampaignSwitched, campaign=SPRING, running=True)


async def _end(engine: Engine) -> None:
    """Agents hang up and say what it was; nothing is left."""
    assert not await engine.do(events.CampaignSwitched, campaign=SPRING, running=False)
    for agent in (ANNA, BORYS):
        await engine.do(events.AgentHangup, agent=agent)

    async def all_over() -> bool:
        return not await engine.rows("SELECT id FROM attempts WHERE ended_at_ms IS NULL")

    await until(all_over, timeout_s=20)


@pytest.mark.timeout(120)
async def test_machines_are_hung_up_persons_and_who_says_nothing_reach_an_agent_in_time(
    asterisk_pair: AsteriskPair, robots: RobotPhones, tmp_path: Path
) -> None:
    numbers = ["+79990000110", "+79990000103", "+79990000106", "+79990000210"]
    rules = _rules(AmdPolicy(enabled=True, sample_share=0.0))
    async with running_engine(asterisk_pair, tmp_path / "zvonar.db", rules, numbers) as engine:
        await _dial(engine)

        async def judged() -> list[tuple[str, str]] | None:
            said = "SELECT number, verdict FROM attempts WHERE verdict IS NOT NULL ORDER BY number"
            found = await engine.rows(said)
            free = any(one.state is AgentState.READY for one in engine.driver.snapshot().agents)
            return found if len(found) == len(numbers) or not free else None

        async def talks() -> int:
            return len(await engine.rows("SELECT attempt_id FROM calls"))

        await until(talks, timeout_s=30)
        await asyncio.wait_for(until(judged, timeout_s=30), 40)
        answered = {entry.channel_id: entry.at_ms for entry in engine.journal("ANSWER")}
        verdicts = {entry.channel_id: entry for entry in engine.journal("ZV_AMD")}
        waits = {entry.extra: entry.at_ms - answered[leg] for leg, entry in verdicts.items()}
        assert max(waits.values()) <= 1_900 + LATE_MS, waits
        await _end(engine)
        ends = await engine.rows("SELECT substr(number, -2), verdict, outcome FROM attempts ORDER BY number")
        # On a busy machine their hello may last too long for certainty, which makes them no less a person.
        persons = {("03", "person", "connected"), ("03", "unsure", "connected"), ("06", "unsure", "connected")}
        assert set(ends) <= {("10", "machine", "machine"), *persons}, ends
        assert ("10", "machine", "machine") in ends
        assert persons & set(ends)


@pytest.mark.timeout(120)
async def test_a_sampled_machine_reaches_an_agent_whose_word_is_the_measure(
    asterisk_pair: AsteriskPair, robots: RobotPhones, tmp_path: Path
) -> None:
    rules = _rules(AmdPolicy(enabled=True, sample_share=1.0))
    async with running_engine(asterisk_pair, tmp_path / "zvonar.db", rules, ["+79990000110"]) as engine:
        await _dial(engine)

        async def called() -> list[tuple[str, str]]:
            return await engine.rows("SELECT attempt_id, agent_id FROM calls")

        ((attempt, agent),) = await until(called, timeout_s=30)
        assert await engine.rows("SELECT verdict FROM attempts") == [("machine",)]
        what = {"agent": AgentId(agent), "attempt": AttemptId(attempt), "disposition": VOICEMAIL.id}
        assert not await engine.do(events.Dispose, **what)
        (view,) = engine.driver.snapshot().detection
        assert (view.checked, view.persons, view.off) == (1, 0, False)
        assert view.high == pytest.approx(0.975)
        await _end(engine)
