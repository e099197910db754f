"""What a Prometheus server gets, and who gets it."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from engine.core.budget import MinuteCount
from engine.core.events import Restored
from engine.core.model import AmdPolicy, AttemptId
from engine.core.pacing import Predictive
from engine.core.screening import Checked
from engine.metrics import SECONDS, Moment, Tally, page
from tests.conversation import ANNA, BORYS, MINUTE_MS, SPRING, Conversation, lead
from tests.fakes.office import CONFIG, Office, office
from tests.integration.switches import free_ports, until

NOW = Moment(facts_waiting=3, commits_waiting=1, beat_age_ms=250, round_trip_ms=12, event_lag_ms=4)
LINE = re.compile(r'zvonar_[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? -?[0-9.e+-]+')


def scraped(text: str) -> dict[str, float]:
    """The samples, each with its labels, by name."""
    samples = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(LINE.fullmatch(line) for line in samples), [line for line in samples if not LINE.fullmatch(line)]
    assert len({line.rpartition(" ")[0] for line in samples}) == len(samples), "no sample twice"
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in samples)}


def test_a_campaign_tells_what_its_pacer_sees_and_what_limited_it() -> None:
    floor = Conversation(*(lead(n) for n in range(1, 50)), pacing=Predictive())
    minute = MinuteCount(minute_ms=floor.now_ms - MINUTE_MS, live_answers=100, abandoned=2)
    floor.tell(Restored(attempts=(), undisposed=(), logged_in=(), running=(SPRING,), answers={SPRING: (minute,)}))
    floor.ready(ANNA, BORYS)
    floor.wait(2_000)
    said = scraped(page(floor.live, Tally(), NOW))
    decision = floor.live.decisions[SPRING]
    for name, value in (
        ("agents_ready", 2),
        ("calls_in_flight", decision.dialing + decision.screening + decision.place),
        ("risk_allowed", decision.threshold),
        ("abandons_left", 1),
        ("abandoned_in_period", 2),
        ("abandon_share", 0.02),
    ):
        assert said[f'zvonar_campaign_{name}{{campaign="{SPRING}"}}'] == pytest.approx(value)
    limits = {name: count for name, count in said.items() if name.startswith("zvonar_decisions_total")}
    assert limits[f'zvonar_decisions_total{{campaign="{SPRING}",limit="risk"}}'] > 0
    assert sum(limits.values()) == floor.live.decided_by.total()
    assert said['zvonar_agents{state="ready"}'] == 2
    assert said['zvonar_trunk_lines_in_use{trunk="carrier"}'] == len(floor.dialed())
    assert said["zvonar_ari_round_trip_seconds"] == 0.012


def test_detection_and_a_refusing_trunk_are_told() -> None:
    floor = Conversation(lead(1), amd=AmdPolicy(enabled=True, false_positives_max=0.3))
    detection = floor.live.detections[SPRING]
    detection.restore(Checked(attempt=AttemptId(f"1-{n}"), at_ms=floor.now_ms, person=n < 4) for n in range(5))
    floor.ready(ANNA)
    floor.hang_up(floor.dial(), cause=34, tech_cause=503)
    said = scraped(page(floor.live, Tally(), NOW))
    assert said['zvonar_trunk_refusing{trunk="carrier"}'] == 1
    for name, value in (
        ("detection_on", float(detection.on)),
        ("machines_checked", 5),
        ("machines_persons", 4),
        ("machines_persons_share_low", detection.measured.low),
    ):
        assert said[f'zvonar_campaign_{name}{{campaign="{SPRING}"}}'] == pytest.approx(value)


def test_a_histogram_counts_upwards() -> None:
    tally = Tally()
    for seconds in (0.00005, 0.0002, 0.3, 7.0):
        tally.facts.note(seconds)
    said = scraped(page(Conversation().live, tally, NOW))
    buckets = [said[f'zvonar_fact_seconds_bucket{{le="{bound}"}}'] for bound in (*SECONDS, "+Inf")]
    assert buckets == sorted(buckets)
    assert (buckets[0], buckets[1], buckets[-1]) == (1, 2, 4)
    assert said["zvonar_fact_seconds_count"] == 4


def test_nobody_is_named_in_it() -> None:
    floor = Conversation(*(lead(n) for n in range(1, 9)))
    floor.ready(ANNA)
    floor.answer(floor.dial())
    text = page(floor.live, Tally(), NOW)
    for person in (str(ANNA), ANNA.title(), "+380", "38067"):
        assert person not in text


# ── who may read it ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(tmp_path) as running:
        yield running


async def scrape(place: Office, **headers: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{place.url}/metrics", headers=headers, allow_redirects=False) as response,
    ):
        return response.status, await response.text()


async def test_a_scrape_of_the_running_pages_tells_of_the_engine(place: Office) -> None:
    status, text = await scrape(place)
    said = scraped(text)
    assert status == 200
    assert said["zvonar_store_up"] == 1
    assert said["zvonar_fact_seconds_count"] > 0
    assert said["zvonar_beat_age_seconds"] < 2


async def test_what_came_through_a_proxy_is_not_of_this_machine(place: Office) -> None:
    assert (await scrape(place, **{"X-Forwarded-For": "127.0.0.1"}))[0] == 403
    assert (await scrape(place, Forwarded="for=127.0.0.1"))[0] == 403


async def test_behind_a_proxy_nobody_reads_it_without_a_token(tmp_path: Path) -> None:
    async with office(tmp_path, text=with_web("public_url: https://crm.example")) as place:
        assert (await scrape(place))[0] == 403


async def test_with_a_token_only_who_brings_it_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS_TOKEN", "a long and secret word")
    async with office(tmp_path, text=with_web("metrics_token: !env METRICS_TOKEN")) as place:
        assert (await scrape(place))[0] == 401
        assert (await scrape(place, Authorization="Bearer another word"))[0] == 401
        status, text = await scrape(place, Authorization="Bearer a long and secret word")
        assert status == 200
        assert "secret" not in text


def with_web(setting: str) -> str:
    """The office's configuration with this of `web` set."""
    assert "\nweb:" not in CONFIG
    return f"{CONFIG}\nweb:\n  {setting}\n"


async def test_the_real_program_is_scraped_also_while_asterisk_is_away(tmp_path: Path) -> None:
    pages, nowhere = free_ports(2)
    config = tmp_path / "config.yaml"
    settings = {
        "asterisk: {managed: no}": f"asterisk: {{managed: no, ari: '127.0.0.1:{nowhere}', ari_password: !env ARI}}\n"
        f"web: {{listen: '127.0.0.1:{pages}'}}\ndatabase: zvonar.db",
    }
    text = CONFIG
    for old, new in settings.items():
        assert old in text
        text = text.replace(old, new)
    config.write_text(text, encoding="utf-8")
    engine = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from engine.cli import main; main()", "-c", str(config), "run",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL, env={**os.environ, "ARI": "secret"},
    )  # fmt: skip
    try:
        said = await first_scrape(f"http://127.0.0.1:{pages}/metrics", engine)
        assert (said["zvonar_switch_up"], said["zvonar_store_up"]) == (0, 1)
        assert said['zvonar_originates_total{trunk="carrier"}'] == 0
    finally:
        engine.terminate()
        await engine.wait()


async def first_scrape(url: str, engine: asyncio.subprocess.Process) -> dict[str, float]:
    """What it says as soon as it is there."""

    async def tried() -> dict[str, float] | None:
        assert engine.returncode is None, "it has ended"
        try:
            async with aiohttp.ClientSession() as session, session.get(url) as response:
                return scraped(await response.text())
        except aiohttp.ClientConnectionError:
            return None

    return await until(tried, timeout_s=50)
