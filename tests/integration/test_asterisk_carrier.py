"""The demo carrier keeps its number plan: every fate, seen from the calling side and in the carrier's own record."""

import pytest

from asterisk.carrier.plan import FATES, Fate, fate
from tests.integration.switches import AsteriskPair, RawAri, raw_ari, until

pytestmark = pytest.mark.integration

REFUSED = [one for one in FATES if one.sip]
ANSWERED = [one for one in FATES if one.answers and one.name != "answers_late"]


def _number(one: Fate) -> str:
    return f"799911122{one.digits}"


async def _dial(ari: RawAri, fates: list[Fate], run: str, *, timeout_s: int = 30) -> None:
    for one in fates:
        status = await ari.originate(
            f"PJSIP/{_number(one)}@carrier",
            f"a.{run}-{one.name}.c",
            "zvonar-customer",
            timeout_s=timeout_s,
            ZV_ATTEMPT=f"{run}-{one.name}",
            ZV_MAX_S="60",
        )
        assert status == 200


async def test_every_refusal_arrives_with_its_cause_and_its_sip_code(asterisk_pair: AsteriskPair) -> None:
    async with raw_ari(asterisk_pair.engine, app="zvonar") as ari:
        await _dial(ari, REFUSED, "refused")
        ends = {}
        for one in REFUSED:
            channel_id = f"a.refused-{one.name}.c"
            event = await ari.event(channel_id, "ChannelDestroyed")
            ends[one.name] = (event["cause"], event["tech_cause"])
    assert ends == {one.name: (one.cause, one.sip) for one in REFUSED}
    carried = {call.fate: call for call in asterisk_pair.carried() if call.number.startswith("799911122")}
    assert [one.name for one in REFUSED if carried[one.name].answered_ms is not None] == []


async def test_whoever_answers_reaches_the_engine(asterisk_pair: AsteriskPair) -> None:
    async with raw_ari(asterisk_pair.engine, app="zvonar") as ari:
        await _dial(ari, ANSWERED, "answered")
        for one in ANSWERED:
            channel_id = f"a.answered-{one.name}.c"
            event = await ari.event(channel_id, "StasisStart")
            assert event["args"] == ["customer", f"answered-{one.name}"]
        dropped = await ari.event("a.answered-drops.c", "ChannelHangupRequest")
        assert dropped["channel"]["state"] == "Up"
        for one in ANSWERED:
            await ari.hang_up(f"a.answered-{one.name}.c")


async def test_a_ringing_phone_stops_by_our_own_timeout(asterisk_pair: AsteriskPair) -> None:
    async with raw_ari(asterisk_pair.engine, app="zvonar") as ari:
        await _dial(ari, [fate("unanswered")], "rings", timeout_s=1)
        end = await ari.event("a.rings-unanswered.c", "ChannelDestroyed")
    assert (end["cause"], end["tech_cause"]) == (19, 480)


async def test_an_early_announcement_is_not_an_answer(asterisk_pair: AsteriskPair) -> None:
    async with raw_ari(asterisk_pair.engine, app="zvonar") as ari:
        await _dial(ari, [fate("announced_then_busy")], "early")
        end = await ari.event("a.early-announced_then_busy.c", "ChannelDestroyed")
        assert ari.of("a.early-announced_then_busy.c", "StasisStart") is None
    assert end["cause"] == 17


async def test_numbers_outside_the_plan_meet_a_fate_by_chance(asterisk_pair: AsteriskPair) -> None:
    async with raw_ari(asterisk_pair.engine, app="zvonar") as ari:
        for digits in range(70, 100):
            channel_id = f"a.chance-{digits}.c"
            await ari.originate(f"PJSIP/799933344{digits}@carrier", channel_id, "zvonar-customer", timeout_s=1)
        calls = await until(lambda: _chance_calls(asterisk_pair))
        for digits in range(70, 100):
            await ari.hang_up(f"a.chance-{digits}.c")
    assert {call for call in calls if call not in {one.name for one in FATES}} == set()
    assert len(set(calls)) >= 2


def _chance_calls(pair: AsteriskPair) -> list[str] | None:
    fates = [call.fate for call in pair.carried() if call.number.startswith("799933344")]
    return fates if len(fates) == 30 else None
