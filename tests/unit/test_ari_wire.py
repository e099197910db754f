"""What Asterisk said, recorded from 22.10, and the facts that follow; what is ordered, and the requests that follow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from engine.ari import resources as ari
from engine.ari import wire
from engine.ari.client import request_frame
from engine.core.effects import (
    Bridge,
    Hangup,
    Hold,
    Music,
    OpenBridge,
    OriginateAgent,
    OriginateCustomer,
    PlayMessageAndHangup,
    SwitchOrder,
)
from engine.core.events import (
    LegAnswered,
    LegBridged,
    LegFound,
    LegHungUp,
    LegRinging,
    PhoneSeen,
    SwitchEvent,
)
from engine.core.model import AgentId, AttemptId, BridgeId, LegId, PhoneId, PhoneNumber, TrunkId, bridge_of_leg

RECORDED = Path(__file__).parents[1] / "fixtures" / "ari"
CUSTOMER, AGENT = LegId("a.1-6.c"), LegId("g.1-5.olena")


def facts_of(recording: str) -> list[SwitchEvent]:
    frames = (orjson.loads(line) for line in (RECORDED / f"{recording}.jsonl").read_bytes().splitlines())
    return [fact for frame in frames if (fact := wire.event_of(frame)) is not None]


def sent(order: SwitchOrder) -> list[str]:
    """The requests of an order in short: method, path, query."""
    return [
        " ".join([request.method, request.path, *(f"{name}={value}" for name, value in request.query)])
        for request in wire.requests_of(order, app="zvonar")
    ]


def test_a_busy_call_ends_with_both_causes() -> None:
    assert facts_of("busy") == [LegHungUp(LegId("a.1-1.c"), 17, 486)]


def test_a_dead_number_ends_with_both_causes() -> None:
    assert facts_of("dead_number") == [LegHungUp(LegId("a.1-2.c"), 1, 404)]


def test_an_unanswered_call_rings_and_ends() -> None:
    leg = LegId("a.1-3.c")
    assert facts_of("unanswered") == [LegRinging(leg), LegHungUp(leg, 19, 480)]


def test_an_announcement_before_the_answer_is_ringing_and_no_answer() -> None:
    leg = LegId("a.1-4.c")
    assert facts_of("announced_then_busy") == [LegRinging(leg), LegHungUp(leg, 17, 486)]


def test_a_conversation_is_answered_bridged_and_hung_up() -> None:
    assert facts_of("conversation") == [
        LegRinging(AGENT),
        LegAnswered(AGENT),
        LegRinging(CUSTOMER),
        LegAnswered(CUSTOMER),
        LegBridged(CUSTOMER),
        LegHungUp(CUSTOMER, 16, None),
        LegHungUp(AGENT, 16, None),
    ]


def test_a_hangup_after_the_answer_has_no_sip_code() -> None:
    assert facts_of("far_hangup")[-1] == LegHungUp(LegId("a.1-7.c"), 16, None)


@pytest.mark.parametrize(
    ("contact_status", "state", "registered"),
    [
        ("NonQualified", "offline", True),
        ("Reachable", "online", True),
        ("Unreachable", "offline", False),
        ("Removed", "offline", False),
        ("Removed", "online", True),  # it registered anew from elsewhere
    ],
)
def test_a_phone_is_seen_coming_and_going(contact_status: str, state: str, *, registered: bool) -> None:
    frame = {
        "type": "ContactStatusChange",
        "endpoint": {"technology": "PJSIP", "resource": "101", "state": state},
        "contact_info": {"contact_status": contact_status},
    }
    assert wire.event_of(frame) == PhoneSeen(PhoneId("101"), registered)


@pytest.mark.parametrize("kind", ["StasisStart", "Dial"])
def test_what_happens_to_other_peoples_channels_is_no_fact(kind: str) -> None:
    channel = {"id": "1700000000.5"}
    frame = {"type": kind, "channel": channel, "peer": channel, "cause": 16, "dialstatus": "RINGING"}
    assert wire.event_of(frame) is None


def test_a_customer_is_dialed_into_the_dialplan_and_never_into_the_application() -> None:
    [request] = wire.requests_of(customer(), app="zvonar")
    assert request.once
    assert dict(request.query) == {
        "endpoint": "PJSIP/+380441234567@carrier",
        "context": "zvonar-customer",
        "extension": "s",
        "priority": "1",
        "channelId": "a.1-6.c",
        "callerId": "+380441110000",
        "timeout": "21",
    }
    assert request.body == {
        "variables": {
            "ZV_APP": "zvonar",
            "ZV_ATTEMPT": "1-6",
            "ZV_MAX_S": "3600",
            "ZV_MESSAGE": "zvonar-sorry",
            "ZV_OPT_OUT": "9",
        }
    }


def test_a_desk_phone_is_asked_to_answer_by_itself_only_where_configured() -> None:
    [by_itself], [by_hand] = (
        wire.requests_of(
            OriginateAgent(
                leg=AGENT, agent=AgentId("olena"), phone=PhoneId("101"), auto_answer=auto, ring_timeout_ms=15_000
            ),
            app="zvonar",
        )
        for auto in (True, False)
    )
    assert dict(by_itself.query)["endpoint"] == "PJSIP/101"
    assert dict(by_itself.query)["callerId"] == "Zvonar <zvonar>"
    assert by_itself.body is not None
    assert by_hand.body is not None
    assert by_itself.body["variables"]["PJSIP_HEADER(add,Call-Info)"].endswith("answer-after=0")
    assert by_hand.body["variables"] == {"ZV_APP": "zvonar", "ZV_AGENT": "olena"}


def test_the_customer_joins_first_and_the_tone_goes_to_the_agent_alone() -> None:
    bridge = bridge_of_leg(AGENT)
    assert sent(Bridge(CUSTOMER, AGENT, bridge)) == [
        "POST /bridges/b.g.1-5.olena/addChannel channel=a.1-6.c",
        "POST /channels/g.1-5.olena/play media=sound:beep",
    ]
    assert sent(Bridge(CUSTOMER, AGENT, bridge, tone=False, music=True)) == [
        "DELETE /channels/a.1-6.c/moh",
        "POST /bridges/b.g.1-5.olena/addChannel channel=a.1-6.c",
    ]


@pytest.mark.parametrize(
    ("order", "requests"),
    [
        (
            OpenBridge(AGENT, BridgeId("b.1")),
            ["POST /bridges bridgeId=b.1 type=mixing", "POST /bridges/b.1/addChannel channel=g.1-5.olena"],
        ),
        (Hangup(CUSTOMER), ["DELETE /channels/a.1-6.c"]),
        (Hangup(AGENT, BridgeId("b.1")), ["DELETE /channels/g.1-5.olena", "DELETE /bridges/b.1"]),
        (
            Hold(CUSTOMER, BridgeId("b.1"), on=True),
            ["POST /bridges/b.1/removeChannel channel=a.1-6.c", "POST /channels/a.1-6.c/moh"],
        ),
        (
            Hold(CUSTOMER, BridgeId("b.1"), on=False),
            ["DELETE /channels/a.1-6.c/moh", "POST /bridges/b.1/addChannel channel=a.1-6.c"],
        ),
        (
            Music(CUSTOMER),
            ["POST /channels/a.1-6.c/moh"],
        ),
        (
            PlayMessageAndHangup(CUSTOMER, "sorry"),
            [
                "POST /channels/a.1-6.c/variable variable=ZV_MESSAGE value=sorry",
                "POST /channels/a.1-6.c/variable variable=ZV_REASON value=abandoned",
                "POST /channels/a.1-6.c/continue context=zvonar-message extension=s priority=1",
            ],
        ),
    ],
)
def test_each_order_is_a_few_requests(order: SwitchOrder, requests: list[str]) -> None:
    assert sent(order) == requests


def test_control_characters_never_reach_asterisk() -> None:
    request = ari.channels.setChannelVar("a.1-6.c", variable="ZV_MESSAGE", value="a\r\nX-Injected: 1\x00")
    assert dict(request.query)["value"] == "aX-Injected: 1"


def test_an_id_stays_inside_its_place_in_the_path() -> None:
    assert ari.channels.hangup("../asterisk/modules?x").path == "/channels/..%2Fasterisk%2Fmodules%3Fx"


def test_a_request_over_the_socket_carries_query_and_body() -> None:
    [request] = wire.requests_of(customer(), app="zvonar")
    frame = orjson.loads(request_frame(request, "7"))
    assert (frame["type"], frame["request_id"], frame["method"], frame["uri"]) == (
        "RESTRequest", "7", "POST", "channels",
    )  # fmt: skip
    assert {"name": "channelId", "value": "a.1-6.c"} in frame["query_strings"]
    assert orjson.loads(frame["message_body"])["variables"]["ZV_ATTEMPT"] == "1-6"


def test_a_snapshot_shows_our_legs_and_nobody_elses() -> None:
    application = ari.Application(name="zvonar", endpoint_ids=(), channel_ids=())
    channels = (
        channel(CUSTOMER, app_data="zvonar,customer,1-6"),
        channel(AGENT, app_data="zvonar,agent,olena"),
        channel("a.1-9.c", state="Ringing", app_name="AppDial2", app_data="(Outgoing Line)"),
        channel("a.1-8.c", app_name="Playback", app_data="zvonar-sorry"),
        channel("1700000000.5", app_data="zvonar"),
    )
    bridges = (ari.Bridge(id="b.g.1-5.olena", bridge_type="mixing", channels=(AGENT, CUSTOMER)),)
    assert wire.legs_found(channels, bridges, application) == (
        LegFound(CUSTOMER, answered=True, ours_to_command=True, bridged_with=(AGENT,)),
        LegFound(AGENT, answered=True, ours_to_command=True, bridged_with=(CUSTOMER,)),
        LegFound(LegId("a.1-9.c"), answered=False, ours_to_command=False),
        LegFound(LegId("a.1-8.c"), answered=True, ours_to_command=False),
    )


def test_an_old_asterisk_tells_whose_a_channel_is_by_the_applications_list() -> None:
    application = ari.Application(name="zvonar", endpoint_ids=(), channel_ids=(CUSTOMER,))
    channels = (channel(CUSTOMER, app_name="", app_data=""), channel(AGENT, app_name="", app_data=""))
    assert [leg.ours_to_command for leg in wire.legs_found(channels, (), application)] == [True, False]


def test_a_bridge_whose_agent_is_gone_is_left_over() -> None:
    channels = (channel(AGENT),)
    bridges = tuple(
        ari.Bridge(id=name, bridge_type="mixing", channels=())
        for name in ("b.g.1-5.olena", "b.g.1-4.petro", "somebody-elses")
    )
    assert wire.bridges_left_over(channels, bridges) == ("b.g.1-4.petro",)


def customer() -> OriginateCustomer:
    return OriginateCustomer(
        leg=CUSTOMER,
        attempt=AttemptId("1-6"),
        trunk=TrunkId("carrier"),
        number=PhoneNumber("+380441234567"),
        caller_id=PhoneNumber("+380441110000"),
        ring_timeout_ms=20_500,
        talk_max_ms=3_600_000,
        message="zvonar-sorry",
        opt_out="9",
        send_before_ms=0,
    )


def channel(channel_id: str, **changes: Any) -> ari.Channel:
    known = {"state": "Up", "app_name": "Stasis", "app_data": "zvonar", "name": "PJSIP/x", "creationtime": ""}
    return ari.Channel(id=channel_id, **{**known, **changes})
