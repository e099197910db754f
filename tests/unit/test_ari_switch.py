"""The Asterisk switch when things go wrong: lost replies, slow answers, strangers, a full inbox."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection

import pytest

from engine.ari.client import AriAccount
from engine.ari.switch import DIALS_IN_FLIGHT_MAX, PROBE_EVERY_MS, PROBES_LOST_MAX, SLOW_MS, AriSwitch
from engine.clock import WallClock
from engine.core.effects import AnswerPhone, AskSwitch, Bridge, Hangup, Hold, PlayMessageAndHangup
from engine.core.events import (
    CommandFailed,
    LegAnswered,
    LegBridged,
    LegGone,
    LegHungUp,
    OriginateAccepted,
    OriginateRefused,
    OriginateUnknown,
    PhoneSeen,
    SwitchDied,
    SwitchLost,
    SwitchSlow,
    SwitchUp,
)
from engine.core.model import BridgeId, LegId, PhoneId, TrunkId, bridge_of_leg
from tests.contract.test_switch import ANSWERS_AND_STAYS, BUSY, Phone, connected
from tests.fakes.ari import APP, SECRET, USER, FakeAri, FakeChannel, running


@pytest.fixture(params=["22.10.1", "16.28.0"], ids=["websocket", "http"])
async def fake(request: pytest.FixtureRequest) -> AsyncIterator[FakeAri]:
    fake = FakeAri()
    fake.version = request.param
    fake.known_endpoints |= {"PJSIP/101"}
    async with running(fake):
        yield fake


def account_of(fake: FakeAri) -> AriAccount:
    return AriAccount(url=fake.url, user=USER, secret=SECRET, app=APP)


async def test_a_lost_reply_to_a_dial_is_unknown_and_the_snapshot_tells(fake: FakeAri) -> None:
    async with connected(account_of(fake), deadline_ms=60) as phone:
        fake.hushed.add("/channels")
        leg = phone.dial("99")
        await phone.fact(OriginateUnknown, leg)
        fake.hushed.clear()
        assert fake.asked("POST", "/channels") == ["/channels"]
        phone.switch.send(AskSwitch())
        up = await phone.fact(SwitchUp, nth=2)
        assert [found.leg for found in up.legs] == [leg]
        assert not phone.has(OriginateAccepted, leg)


async def test_a_dial_while_the_link_is_down_is_refused_and_not_kept_for_later(fake: FakeAri) -> None:
    async with connected(account_of(fake)) as phone:
        phone.switch.drop("the test cut it")
        await phone.fact(SwitchLost)
        leg = phone.dial(BUSY)
        await phone.fact(OriginateRefused, leg)
        await phone.fact(SwitchUp, nth=2)
        assert fake.asked("POST", "/channels") == []


async def test_orders_of_a_leg_keep_their_order_while_others_overtake(fake: FakeAri) -> None:
    async with connected(account_of(fake)) as phone:
        leg = await phone.answered()
        fake.requests.clear()
        fake.hold()
        bridge = BridgeId("b.g.1-1.olena")
        phone.switch.send(Hold(leg, bridge, on=True))
        phone.switch.send(PlayMessageAndHangup(leg, "beep"))
        phone.switch.send(Hangup(leg))
        phone.switch.send(Hangup(LegId("a.9-9.c")))
        fake.go_on()
        await phone.fact(LegHungUp, leg)
        others = [path for _, path, _ in fake.requests if path == "/channels/a.9-9.c"]
        mine = [path.rpartition("/")[2] for _, path, _ in fake.requests if leg in path or "bridges" in path]
        assert others
        assert mine == ["removeChannel", "variable", "variable", "continue", leg]


async def test_a_bridge_does_not_wait_behind_a_burst_of_dials(fake: FakeAri) -> None:
    async with connected(account_of(fake)) as phone:
        agent, customer = await phone.seated_agent(), await phone.answered()
        fake.requests.clear()
        fake.hold()
        for _ in range(50):
            phone.dial("99")
        phone.switch.send(Bridge(customer, agent, bridge_of_leg(agent)))
        fake.go_on()
        await phone.fact(LegBridged, customer)
        dialed_before = [path for _, path, _ in fake.requests].index(f"/bridges/{bridge_of_leg(agent)}/addChannel")
        assert dialed_before <= 8


async def test_a_dial_taken_back_while_it_waits_behind_others_is_never_sent(fake: FakeAri) -> None:
    async with connected(account_of(fake)) as phone:
        fake.requests.clear()
        fake.hold()
        legs = [phone.dial(ANSWERS_AND_STAYS) for _ in range(DIALS_IN_FLIGHT_MAX + 1)]
        phone.switch.send(Hangup(legs[-1]))
        fake.go_on()
        await phone.fact(LegHungUp, legs[-1])
        for leg in legs[:-1]:
            await phone.fact(OriginateAccepted, leg)
        assert len(fake.asked("POST", "/channels")) == DIALS_IN_FLIGHT_MAX


async def test_a_failed_order_says_what_and_why(fake: FakeAri) -> None:
    async with connected(account_of(fake)) as phone:
        leg = await phone.answered()
        phone.switch.send(Bridge(leg, LegId("g.1-1.olena"), BridgeId("b.none")))
        failed = await phone.fact(CommandFailed, leg)
        assert failed.command == "bridge"
        assert "Bridge not found" in failed.reason


async def test_a_switch_that_answers_late_is_slow_until_it_answers_well(fake: FakeAri) -> None:
    async with connected(account_of(fake), deadline_ms=30, probe_every_ms=5) as phone:
        fake.hold()
        slow = await phone.fact(SwitchSlow)
        assert slow.slow
        assert "no answer to a probe" in slow.reason
        fake.go_on()
        again = await phone.fact(SwitchSlow, nth=2)
        assert not again.slow


async def test_a_switch_that_falls_silent_is_slow_before_its_probe_is_lost(fake: FakeAri) -> None:
    """Within a second, so that dialing stops by then."""
    assert PROBE_EVERY_MS + SLOW_MS < 1_000
    async with connected(account_of(fake), probe_every_ms=5) as phone:
        fake.hold()
        assert (await phone.fact(SwitchSlow)).reason == f"no answer to a probe for {SLOW_MS} ms"
        fake.go_on()
        assert not (await phone.fact(SwitchSlow, nth=2)).slow


async def test_a_switch_that_no_longer_answers_is_connected_anew(fake: FakeAri) -> None:
    async with connected(account_of(fake), deadline_ms=30, probe_every_ms=5) as phone:
        fake.hushed.add(f"/applications/{APP}")
        async with asyncio.timeout(15):
            # On a busy machine a try to connect may be lost to the short deadline too.
            while SwitchLost(f"no answer to {PROBES_LOST_MAX} probes") not in phone.facts:
                phone.told.clear()
                await phone.told.wait()


async def test_events_that_are_late_make_the_switch_slow(fake: FakeAri) -> None:
    async with connected(account_of(fake), probe_every_ms=5) as phone:
        now_ms = WallClock().now_ms()
        phone.switch._lag.sample("2026-11-22T02:00:02.000+0000", now_ms)
        phone.switch._lag.sample("2026-11-22T02:00:00.000+0000", now_ms + 1)
        slow = await phone.fact(SwitchSlow)
        assert "events are 2001 ms late" in slow.reason
        again = await phone.fact(SwitchSlow, nth=2)
        assert not again.slow, "no news for a while: nothing is late any more"


async def test_a_switch_whose_channels_are_dead_is_slow_though_all_else_answers(fake: FakeAri) -> None:
    async with connected(account_of(fake), deadline_ms=30, probe_every_ms=5) as phone:
        fake.hushed.add("/channels")
        slow = await phone.fact(SwitchSlow)
        assert "no answer to a probe" in slow.reason
        fake.hushed.clear()
        assert not (await phone.fact(SwitchSlow, nth=2)).slow


async def test_the_switchs_journal_tells_of_legs_that_ended_unheard(fake: FakeAri) -> None:
    ended = LegGone(LegId("a.1-1.c"), answered_at_ms=5, cause=16)
    async with connected(account_of(fake), journal=WrittenDown([ended])) as phone:
        assert (await phone.fact(SwitchUp)).gone == (ended,)
        phone.switch.send(AskSwitch())
        assert (await phone.fact(SwitchUp, nth=2)).gone == ()


async def test_who_had_answered_and_is_there_no_more_died_with_the_switch(fake: FakeAri) -> None:
    journal = WrittenDown([])
    async with connected(account_of(fake), journal=journal) as phone:
        await phone.fact(SwitchUp)
        leg = phone.dial(ANSWERS_AND_STAYS)
        await phone.fact(LegAnswered)
        journal.up = [leg, LegId("a.1-9.c")]
        phone.switch.send(AskSwitch())
        assert [gone.leg for gone in (await phone.fact(SwitchUp, nth=2)).gone] == ["a.1-9.c"]


async def test_a_switch_that_died_tells_what_its_journal_has_of_everybody(fake: FakeAri) -> None:
    ended = LegGone(LegId("a.1-1.c"), answered_at_ms=3, cause=16)
    journal = WrittenDown([])
    async with connected(account_of(fake), journal=journal) as phone:
        await phone.fact(SwitchUp)
        journal.ended, journal.up = [ended], [LegId("a.1-2.c")]
        await phone.switch.died("killed")
        assert (await phone.fact(SwitchDied)).gone == (ended, LegGone(LegId("a.1-2.c"), answered_at_ms=5, cause=0))


class WrittenDown:
    """A switch's journal: `ended` is told once, `up` have answered and have no end."""

    def __init__(self, ended: list[LegGone]) -> None:
        self.ended = ended
        self.up: list[LegId] = []

    def answered(self) -> list[LegId]:
        return self.up

    def told(self, lost: Collection[LegId]) -> list[LegGone]:
        ended, self.ended = self.ended, []
        return [*ended, *(LegGone(leg, answered_at_ms=5, cause=0) for leg in lost)]


async def test_a_full_inbox_drops_the_link_and_a_snapshot_follows(fake: FakeAri) -> None:
    inbox = Phone(_switch(fake))
    room = False

    def sink(fact: object) -> bool:
        return room if isinstance(fact, LegAnswered) else inbox.sink(fact)  # type: ignore[arg-type]

    async with asyncio.TaskGroup() as group:
        task = group.create_task(inbox.switch.run(sink))
        await inbox.fact(SwitchUp)
        leg = inbox.dial(ANSWERS_AND_STAYS)
        lost = await inbox.fact(SwitchLost)
        assert "faster" in lost.reason
        up = await inbox.fact(SwitchUp, nth=2)
        assert [found.leg for found in up.legs] == [leg]
        task.cancel()


async def test_somebody_who_calls_in_hears_the_message(fake: FakeAri) -> None:
    async with connected(account_of(fake)):
        stranger = FakeChannel("1700000000.1", "PJSIP/carrier-1", state="Up", in_app=True)
        fake.channels[stranger.id] = stranger
        await fake.emit("StasisStart", channel=stranger.as_json(), args=["inbound", "+380441110000"])
        async with asyncio.timeout(15):
            while stranger.stub != ("zvonar-message",):  # noqa: ASYNC110  (the other side has no events for it)
                await asyncio.sleep(0)


async def test_another_engine_with_our_name_is_seen(fake: FakeAri) -> None:
    async with connected(account_of(fake)) as phone:
        await fake.emit("ApplicationReplaced")
        lost = await phone.fact(SwitchLost)
        assert "another engine" in lost.reason
        leg = phone.dial(ANSWERS_AND_STAYS)
        await phone.fact(OriginateRefused, leg)
        assert fake.connects == 1, "two engines must not take turns"
        assert fake.asked("POST", "/channels") == []


async def test_phones_are_told_and_trunks_are_not(fake: FakeAri) -> None:
    async with connected(account_of(fake), phones=[PhoneId("101")]) as phone:
        await phone.fact(PhoneSeen)
        await fake.register("101", "Reachable")
        await fake.register("carrier", "Unreachable")
        await fake.register("101", "Removed")
        await phone.fact(PhoneSeen, nth=3)
        seen = [fact for fact in phone.facts if isinstance(fact, PhoneSeen)]
        assert [fact.registered for fact in seen] == [False, True, False]
        assert {fact.phone for fact in seen} == {"101"}


async def test_new_phones_are_taken_over_and_told(fake: FakeAri) -> None:
    async with connected(account_of(fake)) as phone:
        fake.online |= {"101"}
        missing = await phone.switch.subscribe([TrunkId("carrier")], [PhoneId("101"), PhoneId("typo")])
        assert missing == ("endpoint:PJSIP/typo",)
        assert (await phone.fact(PhoneSeen)) == PhoneSeen(PhoneId("101"), registered=True)


async def test_new_phones_that_come_while_the_link_is_down_are_taken_over_with_the_next(fake: FakeAri) -> None:
    async with connected(account_of(fake)) as phone:
        phone.switch.drop("the test cut it")
        await phone.fact(SwitchLost)
        assert await phone.switch.subscribe([TrunkId("carrier")], [PhoneId("101")]) == ()
        await phone.fact(PhoneSeen)
        assert "PJSIP/101" in fake.sources


async def test_bridges_whose_agent_is_gone_are_cleared_away_at_a_snapshot(fake: FakeAri) -> None:
    fake.bridges = {"b.g.1-1.olena": [], "somebody-elses": []}
    async with connected(account_of(fake)) as phone:
        phone.switch.send(AskSwitch())
        await phone.fact(SwitchUp, nth=2)
        assert list(fake.bridges) == ["somebody-elses"]


async def test_who_hangs_up_during_the_snapshot_is_not_revived_by_it(fake: FakeAri) -> None:
    async with connected(account_of(fake)) as phone:
        leg = await phone.answered()
        fake.after_listing = lambda: fake.hang_up(leg, 16)
        phone.switch.send(AskSwitch())
        up = await phone.fact(SwitchUp, nth=2)
        assert up.legs == ()
        assert phone.facts[-2:] == [LegHungUp(leg, 16), up]


async def test_an_event_that_is_not_understood_is_passed_over(fake: FakeAri) -> None:
    async with connected(account_of(fake)) as phone:
        await fake.emit("ChannelDestroyed", nothing="of use")
        await fake.emit("Dial", peer={"id": "a.1-1.c"}, dialstatus="RINGING", timestamp="yesterday")
        await phone.fact(LegHungUp, phone.dial(BUSY))
        assert not [fact for fact in phone.facts if isinstance(fact, SwitchLost)]


def _switch(fake: FakeAri) -> AriSwitch:
    return AriSwitch(account_of(fake), clock=WallClock(), chance=lambda: 0.0, trunks=[TrunkId("carrier")])


ASKED_MAX = 8


async def test_a_phone_is_asked_to_answer_by_the_name_of_its_channel(fake: FakeAri) -> None:
    asked: asyncio.Queue[str] = asyncio.Queue(ASKED_MAX)
    problem = ""

    async def lift(channel: str) -> str:
        await asked.put(channel)
        return problem

    async with connected(account_of(fake), lift=lift) as phone:
        leg = await phone.seated_agent()
        phone.switch.send(AnswerPhone(leg))
        async with asyncio.timeout(15):
            assert await asked.get() == fake.channels[leg].name
        problem = "no link to AMI"
        phone.switch.send(AnswerPhone(leg))
        failed = await phone.fact(CommandFailed, leg)
        assert (failed.command, "no link to AMI" in failed.reason) == ("answerphone", True)
