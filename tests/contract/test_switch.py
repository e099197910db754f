"""What every switch does. Here the small fake of ARI; tests/integration has the real one, tests/sim the simulated."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest

from engine.ari.client import AriAccount
from engine.ari.switch import AriSwitch
from engine.backoff import Backoff
from engine.clock import WallClock
from engine.core.effects import (
    AskSwitch,
    Bridge,
    Hangup,
    Hold,
    Music,
    Mute,
    OpenBridge,
    OriginateAgent,
    OriginateCustomer,
    OriginateOutside,
    PauseRecording,
    PlayMessageAndHangup,
    Screen,
    SendDigits,
    StartRecording,
    StopRecording,
    TransferOut,
)
from engine.core.events import (
    CallArrived,
    CommandFailed,
    LegAnswered,
    LegBridged,
    LegFound,
    LegHungUp,
    LegJudged,
    LegOptedOut,
    LegRinging,
    OriginateAccepted,
    OriginateRefused,
    OriginateUnknown,
    SwitchEvent,
    SwitchLost,
    SwitchUp,
)
from engine.core.model import (
    AgentId,
    AttemptId,
    BridgeId,
    LegId,
    PhoneId,
    PhoneNumber,
    TrunkId,
    Verdict,
    agent_leg,
    bridge_of_leg,
    customer_leg,
    outside_leg,
)
from engine.switch import Switch
from tests.fakes.ari import APP, SECRET, USER, FakeAri, running

T = TypeVar("T", bound=SwitchEvent)

WAIT_S = 15.0

#: The last two digits choose the fate (docs/number-plan.md).
ANSWERS_AND_STAYS, PRESSES_NINE, SILENT, VOICEMAIL, BUSY, UNANSWERED, DEAD = "03", "09", "06", "10", "20", "30", "40"
_ids = itertools.count(1)


@dataclass
class Phone:
    """A switch under test and the facts that it told."""

    switch: Any  # an AriSwitch or a SimSwitch
    facts: list[SwitchEvent] = field(default_factory=list)
    told: asyncio.Event = field(default_factory=asyncio.Event)

    def sink(self, fact: SwitchEvent) -> bool:
        self.facts.append(fact)
        self.told.set()
        return True

    async def fact(self, kind: type[T], leg: LegId | None = None, *, nth: int = 1) -> T:
        """Wait for the nth fact of this kind (about this leg)."""

        def found() -> list[T]:
            return [f for f in self.facts if isinstance(f, kind) and (leg is None or getattr(f, "leg", None) == leg)]

        try:
            async with asyncio.timeout(WAIT_S):
                while len(found()) < nth:
                    self.told.clear()
                    await self.told.wait()
        except TimeoutError:
            pytest.fail(f"no {kind.__name__} number {nth} about {leg}; told: {self.facts}")
        return found()[nth - 1]

    async def together(self, *legs: LegId) -> None:
        """Wait until these legs hear each other, and nobody else."""
        want = {leg: tuple(sorted(other for other in legs if other != leg)) for leg in legs}
        found: dict[LegId, tuple[LegId, ...]] = {}
        try:
            async with asyncio.timeout(WAIT_S):
                while not want.items() <= found.items():
                    asked = sum(isinstance(fact, SwitchUp) for fact in self.facts)
                    self.switch.send(AskSwitch())
                    up = await self.fact(SwitchUp, nth=asked + 1)
                    found = {leg.leg: tuple(sorted(leg.bridged_with)) for leg in up.legs}
        except TimeoutError:
            pytest.fail(f"{legs} are not together: {found}")

    def has(self, kind: type[SwitchEvent], leg: LegId) -> bool:
        return any(isinstance(fact, kind) and getattr(fact, "leg", None) == leg for fact in self.facts)

    def dial(self, ending: str, **changes: Any) -> LegId:
        attempt = AttemptId(f"{random.randrange(10**9)}-{next(_ids)}")
        order: dict[str, Any] = {
            "leg": customer_leg(attempt),
            "attempt": attempt,
            "trunk": TrunkId("carrier"),
            "number": PhoneNumber(f"+3804412345{ending}"),
            "caller_id": PhoneNumber("+380441110000"),
            "ring_timeout_ms": 20_000,
            "talk_max_ms": 60_000,
            "message": "beep",
            "opt_out": "9",
            "send_before_ms": WallClock().now_ms() + 60_000,
        }
        self.switch.send(OriginateCustomer(**{**order, **changes}))
        return LegId(str({**order, **changes}["leg"]))

    def ask(self, ending: str, *, trunk: str = "carrier") -> LegId:
        """Somebody outside is dialed for an agent."""
        leg = outside_leg(AttemptId(f"{random.randrange(10**9)}-{next(_ids)}"), "1-1")
        self.switch.send(
            OriginateOutside(
                leg=leg,
                number=PhoneNumber(f"+3804412399{ending}"),
                trunk=TrunkId(trunk),
                caller_id=PhoneNumber("+380441110000"),
                ring_timeout_ms=20_000,
                talk_max_ms=60_000,
            )
        )
        return leg

    async def answered(self) -> LegId:
        leg = self.dial(ANSWERS_AND_STAYS)
        await self.fact(LegAnswered, leg)
        return leg

    async def seated_agent(self) -> LegId:
        """An agent's leg that is up and in its bridge. A person on the trunk serves as the desk phone."""
        leg = agent_leg(AgentId("olena"), f"{random.randrange(10**9)}-{next(_ids)}")
        phone = PhoneId(f"+3804412345{ANSWERS_AND_STAYS}@carrier")
        self.switch.send(
            OriginateAgent(
                leg=leg, agent=AgentId("olena"), phone=phone, auto_answer=True, ring_timeout_ms=20_000, caller_id=None
            )
        )
        await self.fact(LegAnswered, leg)
        self.switch.send(OpenBridge(leg, bridge_of_leg(leg)))
        return leg


@asynccontextmanager
async def connected(
    account: AriAccount, trunks: tuple[str, ...] = ("carrier",), **options: Any
) -> AsyncIterator[Phone]:
    chance = random.Random(1).random
    switch = AriSwitch(
        account,
        clock=WallClock(),
        chance=chance,
        trunks=[TrunkId(trunk) for trunk in trunks],
        backoff=Backoff(chance=chance, base_ms=5, max_ms=50),
        **options,
    )
    async with running_switch(switch) as phone:
        yield phone


@asynccontextmanager
async def running_switch(switch: Switch) -> AsyncIterator[Phone]:
    phone = Phone(switch)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(switch.run(phone.sink))
        try:
            await phone.fact(SwitchUp)
            yield phone
        finally:
            running.cancel()


@pytest.fixture(params=["22.10.1", "16.28.0"], ids=["websocket", "http"])
async def fake(request: pytest.FixtureRequest) -> AsyncIterator[FakeAri]:
    fake = FakeAri()
    fake.version = request.param
    async with running(fake):
        yield fake


@pytest.fixture
def account(fake: FakeAri) -> AriAccount:
    return AriAccount(url=fake.url, user=USER, secret=SECRET, app=APP)


#: Somebody calls: (the number that they dial, theirs).
CallIn = Callable[[str, str], Awaitable[object]]


@pytest.fixture
def call_in(fake: FakeAri) -> CallIn:
    return fake.call_in


@pytest.fixture
async def phone(account: AriAccount) -> AsyncIterator[Phone]:
    async with connected(account) as phone:
        yield phone


@pytest.mark.parametrize(("ending", "cause", "sip"), [(BUSY, 17, 486), (DEAD, 1, 404)])
async def test_a_refused_call_ends_with_the_carriers_own_reason(
    phone: Phone, ending: str, cause: int, sip: int
) -> None:
    leg = phone.dial(ending)
    await phone.fact(OriginateAccepted, leg)
    ended = await phone.fact(LegHungUp, leg)
    assert ended.cause == cause
    assert ended.tech_cause in {sip, None}  # Asterisk tells the SIP code since 22.7.
    assert not phone.has(LegAnswered, leg)


async def test_an_answered_call_is_ours_until_we_hang_up(phone: Phone) -> None:
    leg = phone.dial(ANSWERS_AND_STAYS)
    await phone.fact(LegRinging, leg)
    await phone.fact(LegAnswered, leg)
    phone.switch.send(Hangup(leg))
    assert (await phone.fact(LegHungUp, leg)).cause == 16


async def test_a_call_nobody_answers_ends_at_its_ring_timeout(phone: Phone) -> None:
    leg = phone.dial(UNANSWERED, ring_timeout_ms=1_000)
    await phone.fact(LegRinging, leg)
    ended = await phone.fact(LegHungUp, leg)
    assert ended.cause in {0, 16, 18, 19}
    assert not phone.has(LegAnswered, leg)


async def test_a_dial_taken_back_at_once_leaves_no_call(phone: Phone) -> None:
    leg = phone.dial(UNANSWERED)
    phone.switch.send(Hangup(leg))
    await phone.fact(LegHungUp, leg)
    phone.switch.send(AskSwitch())
    up = await phone.fact(SwitchUp, nth=2)
    assert leg not in {found.leg for found in up.legs}


async def test_only_configured_trunks_are_dialed(phone: Phone) -> None:
    leg = phone.dial(BUSY, trunk=TrunkId("carrier/sip:900@elsewhere"))
    refused = await phone.fact(OriginateRefused, leg)
    assert "not configured" in refused.reason


async def test_a_trunk_that_asterisk_does_not_have_refuses_and_the_rest_works(account: AriAccount) -> None:
    async with connected(account, ("carrier", "typo")) as phone:
        refused = phone.dial(BUSY, trunk=TrunkId("typo"))
        await phone.fact(OriginateRefused, refused)
        await phone.fact(LegHungUp, phone.dial(BUSY))


async def test_a_stale_dial_is_not_sent(phone: Phone) -> None:
    leg = phone.dial(BUSY, send_before_ms=0)
    assert (await phone.fact(OriginateRefused, leg)).reason == "stale"


async def test_a_leg_that_lives_is_never_dialed_a_second_time(phone: Phone) -> None:
    leg = await phone.answered()
    phone.dial(ANSWERS_AND_STAYS, leg=leg)
    await phone.fact(OriginateUnknown, leg)
    phone.switch.send(Hangup(leg))
    await phone.fact(LegHungUp, leg)


async def test_hanging_up_who_is_gone_is_success(phone: Phone) -> None:
    leg = phone.dial(BUSY)
    await phone.fact(LegHungUp, leg)
    phone.switch.send(Hangup(leg, bridge_of_leg(leg)))
    phone.switch.send(PlayMessageAndHangup(leg, "beep"))
    failed = await phone.fact(CommandFailed, leg)
    assert failed.command == "playmessageandhangup"


async def test_a_customer_waits_with_music_meets_the_agent_is_held_and_comes_back(phone: Phone) -> None:
    agent = await phone.seated_agent()
    bridge = bridge_of_leg(agent)
    customer = await phone.answered()
    phone.switch.send(Music(customer))
    phone.switch.send(Bridge(customer, agent, bridge, tone=False, music=True))
    await phone.fact(LegBridged, customer)

    phone.switch.send(Hold(customer, bridge, on=True))
    phone.switch.send(Hold(customer, bridge, on=False))
    await phone.fact(LegBridged, customer, nth=2)

    phone.switch.send(AskSwitch())
    phone.switch.send(Hangup(customer))
    await phone.fact(LegHungUp, customer)
    phone.switch.send(Hangup(agent, bridge))
    await phone.fact(LegHungUp, agent)
    assert not [fact for fact in phone.facts if isinstance(fact, CommandFailed)]


async def test_a_colleague_joins_an_agents_bridge_while_the_customer_holds_then_all_three_talk(phone: Phone) -> None:
    agent, colleague, customer = await phone.seated_agent(), await phone.seated_agent(), await phone.answered()
    phone.switch.send(Bridge(customer, agent, bridge_of_leg(agent), tone=False))
    await phone.fact(LegBridged, customer)
    await phone.together(agent, customer)

    phone.switch.send(Hold(customer, bridge_of_leg(agent), on=True))
    phone.switch.send(OpenBridge(colleague, bridge_of_leg(agent)))
    await phone.together(agent, colleague)
    phone.switch.send(Hold(customer, bridge_of_leg(agent), on=False))
    await phone.together(agent, colleague, customer)
    phone.switch.send(OpenBridge(colleague, bridge_of_leg(agent)))  # once more is no failure
    phone.switch.send(OpenBridge(colleague, bridge_of_leg(colleague)))
    await phone.together(agent, customer)

    phone.switch.send(Hold(customer, bridge_of_leg(agent), on=True))
    phone.switch.send(Bridge(customer, colleague, bridge_of_leg(colleague), music=True))
    await phone.together(colleague, customer)
    for leg in (customer, agent, colleague):
        phone.switch.send(Hangup(leg, None if leg == customer else bridge_of_leg(leg)))
        await phone.fact(LegHungUp, leg)
    assert not [fact for fact in phone.facts if isinstance(fact, CommandFailed)]


async def test_somebody_outside_is_asked_joins_the_bridges_and_keeps_the_customer(phone: Phone) -> None:
    agent, customer = await phone.seated_agent(), await phone.answered()
    phone.switch.send(Bridge(customer, agent, bridge_of_leg(agent), tone=False))
    await phone.together(agent, customer)
    phone.switch.send(Hold(customer, bridge_of_leg(agent), on=True))
    leg = phone.ask(ANSWERS_AND_STAYS)
    await phone.fact(OriginateAccepted, leg)
    await phone.fact(LegAnswered, leg)
    phone.switch.send(OpenBridge(leg, bridge_of_leg(agent)))
    await phone.together(agent, leg)
    phone.switch.send(Hold(customer, bridge_of_leg(agent), on=False))
    await phone.together(agent, customer, leg)
    phone.switch.send(OpenBridge(leg, bridge_of_leg(leg)))
    await phone.together(agent, customer)

    phone.switch.send(Bridge(customer, leg, bridge_of_leg(leg), tone=False, music=True))
    await phone.together(customer, leg)
    phone.switch.send(Hangup(leg, bridge_of_leg(leg)))
    await phone.fact(LegHungUp, leg)
    for one in (customer, agent):
        phone.switch.send(Hangup(one, bridge_of_leg(agent) if one == agent else None))
        await phone.fact(LegHungUp, one)
    assert not [fact for fact in phone.facts if isinstance(fact, CommandFailed)]


async def test_somebody_outside_who_is_busy_or_on_no_trunk_of_ours_is_told(phone: Phone) -> None:
    busy, nowhere = phone.ask(BUSY), phone.ask(ANSWERS_AND_STAYS, trunk="elsewhere")
    assert (await phone.fact(LegHungUp, busy)).cause == 17
    assert "elsewhere" in (await phone.fact(OriginateRefused, nowhere)).reason


async def test_a_customer_who_is_handed_out_is_with_the_dialplan_and_ends_there(phone: Phone) -> None:
    leg = await phone.answered()
    phone.switch.send(
        TransferOut(
            leg=leg,
            number=PhoneNumber(f"+3804412399{ANSWERS_AND_STAYS}"),
            trunk=TrunkId("carrier"),
            caller_id=PhoneNumber("+380441110000"),
            ring_timeout_ms=20_000,
        )
    )
    found = await _found(phone, leg)
    while not found.handed_out:
        found = await _found(phone, leg)
    assert (found.answered, found.ours_to_command) == (True, False)
    phone.switch.send(Hangup(leg))
    await phone.fact(LegHungUp, leg)
    assert not phone.has(CommandFailed, leg)


async def test_an_agent_is_muted_and_heard_again_and_the_customer_gets_tones(phone: Phone) -> None:
    agent = await phone.seated_agent()
    customer = await phone.answered()
    phone.switch.send(Bridge(customer, agent, bridge_of_leg(agent)))
    await phone.fact(LegBridged, customer)
    phone.switch.send(Mute(agent, on=True))
    phone.switch.send(SendDigits(customer, "12*#"))
    phone.switch.send(Mute(agent, on=False))
    phone.switch.send(Mute(agent, on=False))  # once more is no failure
    for leg in (customer, agent):
        phone.switch.send(Hangup(leg))
        await phone.fact(LegHungUp, leg)
    assert not [fact for fact in phone.facts if isinstance(fact, CommandFailed)]

    phone.switch.send(Mute(agent, on=True))
    assert (await phone.fact(CommandFailed, agent)).command == "mute"


async def test_a_conversation_is_recorded_paused_and_complete(phone: Phone) -> None:
    agent = await phone.seated_agent()
    bridge, customer = bridge_of_leg(agent), await phone.answered()
    phone.switch.send(Bridge(customer, agent, bridge))
    await phone.fact(LegBridged, customer)
    start = StartRecording(customer=customer, bridge=bridge, name=f"{customer}.1", length_max_ms=60_000)
    phone.switch.send(start)
    phone.switch.send(start)  # once more, by the next engine, is success
    phone.switch.send(PauseRecording(customer, start.name, on=True))
    phone.switch.send(PauseRecording(customer, start.name, on=False))
    phone.switch.send(StopRecording(customer, start.name))
    phone.switch.send(StopRecording(customer, start.name))  # once more is success
    phone.switch.send(Hold(customer, bridge, on=True))
    phone.switch.send(Hold(customer, bridge, on=False))
    await phone.fact(LegBridged, customer, nth=2)
    assert not [fact for fact in phone.facts if isinstance(fact, CommandFailed)]

    nowhere = StartRecording(customer=customer, bridge=BridgeId("b.none"), name="nowhere", length_max_ms=60_000)
    phone.switch.send(nowhere)
    assert (await phone.fact(CommandFailed, customer)).command == "startrecording"
    for leg in (customer, agent):
        phone.switch.send(Hangup(leg))
        await phone.fact(LegHungUp, leg)


async def test_a_bridge_and_its_customer_ordered_in_one_breath_come_in_order(phone: Phone) -> None:
    customer = await phone.answered()
    agent = await phone.seated_agent()
    phone.switch.send(Bridge(customer, agent, bridge_of_leg(agent)))
    await phone.fact(LegBridged, customer)
    for leg in (customer, agent):
        phone.switch.send(Hangup(leg, bridge_of_leg(leg)))
        await phone.fact(LegHungUp, leg)


async def test_a_customer_nobody_can_take_hears_the_message_to_its_end(phone: Phone) -> None:
    leg = await phone.answered()
    phone.switch.send(PlayMessageAndHangup(leg, "beep"))
    await phone.fact(LegHungUp, leg)
    assert not phone.has(CommandFailed, leg)


@pytest.mark.parametrize(
    ("ending", "verdict"),
    [(ANSWERS_AND_STAYS, Verdict.PERSON), (VOICEMAIL, Verdict.MACHINE), (SILENT, Verdict.UNSURE)],
    ids=["person", "machine", "unsure"],
)
async def test_detection_judges_who_answers_and_gives_the_leg_back(phone: Phone, ending: str, verdict: Verdict) -> None:
    leg = phone.dial(ending)
    await phone.fact(LegAnswered, leg)
    phone.switch.send(Screen(leg=leg, within_ms=2_500, greeting_ms=1_000, silence_ms=600, words_max=3))
    judged = await phone.fact(LegJudged, leg)
    assert judged.verdict is verdict
    assert 0 <= judged.draw < 1
    phone.switch.send(Music(leg))  # it may be commanded again
    phone.switch.send(PlayMessageAndHangup(leg, "beep", machine=True))
    phone.switch.send(Hangup(leg))
    await phone.fact(LegHungUp, leg)
    assert not phone.has(CommandFailed, leg)


async def _found(phone: Phone, leg: LegId) -> LegFound:
    """The leg in a snapshot that is asked for now; it is the only one."""
    asked = sum(isinstance(fact, SwitchUp) for fact in phone.facts)
    phone.switch.send(AskSwitch())
    (found,) = (await phone.fact(SwitchUp, nth=asked + 1)).legs
    assert found.leg == leg
    return found


async def test_a_snapshot_shows_whom_detection_has(phone: Phone) -> None:
    leg = phone.dial(SILENT)
    await phone.fact(LegAnswered, leg)
    phone.switch.send(Screen(leg=leg, within_ms=2_500, greeting_ms=1_000, silence_ms=600, words_max=3))
    found = await _found(phone, leg)
    while not found.screening and not phone.has(LegJudged, leg):  # Asterisk 16 hands a silent line over 200 ms late
        assert found.ours_to_command, "with us or with detection"
        found = await _found(phone, leg)
    assert (found.answered, found.screening) == (True, True)
    await phone.fact(LegJudged, leg)
    phone.switch.send(Hangup(leg))
    await phone.fact(LegHungUp, leg)


async def test_the_key_for_no_more_calls_pressed_during_the_message_is_told(phone: Phone) -> None:
    leg = phone.dial(PRESSES_NINE)
    await phone.fact(LegAnswered, leg)
    phone.switch.send(PlayMessageAndHangup(leg, "vm-nobodyavail"))
    await phone.fact(LegOptedOut, leg)
    await phone.fact(LegHungUp, leg)


async def test_who_calls_is_told_with_both_numbers_hears_music_and_is_bridged(phone: Phone, call_in: CallIn) -> None:
    agent = await phone.seated_agent()
    await call_in("+380441230000", "+380671112233")
    called = await phone.fact(CallArrived)
    assert (called.trunk, called.dialed, called.caller) == (
        "carrier",
        PhoneNumber("+380441230000"),
        PhoneNumber("+380671112233"),
    )
    phone.switch.send(Music(called.leg, "default"))
    phone.switch.send(AskSwitch())
    up = await phone.fact(SwitchUp, nth=2)
    (found,) = [leg for leg in up.legs if leg.leg == called.leg]
    assert (found.answered, found.ours_to_command, found.arrived) == (True, True, called)

    phone.switch.send(Bridge(called.leg, agent, bridge_of_leg(agent), music=True))
    await phone.fact(LegBridged, called.leg)
    for leg in (called.leg, agent):
        phone.switch.send(Hangup(leg, bridge_of_leg(agent) if leg == agent else None))
        await phone.fact(LegHungUp, leg)
    assert not [fact for fact in phone.facts if isinstance(fact, CommandFailed)]


async def test_who_hides_their_number_calls_all_the_same_and_may_hear_the_message(
    phone: Phone, call_in: CallIn
) -> None:
    await call_in("+380441230000", "")
    called = await phone.fact(CallArrived)
    assert called.caller is None
    phone.switch.send(PlayMessageAndHangup(called.leg, "beep"))
    await phone.fact(LegHungUp, called.leg)


async def test_after_a_lost_link_a_snapshot_shows_who_is_still_there(phone: Phone) -> None:
    agent = await phone.seated_agent()
    customer, ringing = await phone.answered(), phone.dial(UNANSWERED)
    phone.switch.send(Bridge(customer, agent, bridge_of_leg(agent), tone=False))
    await phone.fact(LegBridged, customer)
    await phone.fact(LegRinging, ringing)

    phone.switch.drop("the test cut it")
    lost = await phone.fact(SwitchLost)
    assert lost.reason == "the test cut it"
    up = await phone.fact(SwitchUp, nth=2)
    found = {leg.leg: leg for leg in up.legs}
    assert found.keys() == {agent, customer, ringing}
    assert found[customer].answered
    assert found[customer].ours_to_command
    assert found[customer].bridged_with == (agent,)
    assert found[agent].bridged_with == (customer,)
    assert not found[ringing].answered

    for leg in (agent, customer, ringing):
        phone.switch.send(Hangup(leg))
        await phone.fact(LegHungUp, leg)


async def test_a_snapshot_can_be_asked_for(phone: Phone) -> None:
    phone.switch.send(AskSwitch())
    assert (await phone.fact(SwitchUp, nth=2)).legs == ()
