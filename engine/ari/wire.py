"""ARI frames in, facts out; orders in, requests out. No sockets, no waiting: everything here is a pure function."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, assert_never

from engine.ari import resources as ari
from engine.ari.resources import Request
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
    PlayMessageAndHangup,
    SendDigits,
    SwitchOrder,
)
from engine.core.events import (
    LegAnswered,
    LegBridged,
    LegFound,
    LegHungUp,
    LegOptedOut,
    LegRinging,
    PhoneSeen,
    SwitchEvent,
)
from engine.core.model import BridgeId, LegId, PhoneId, agent_of_leg, attempt_of_leg

#: What the dialplan calls the key for "no more calls" (dialplan/fallback.conf).
OPT_OUT: Final = "ZvonarOptOut"

#: All that Asterisk shall send us: 5 events of an answered call instead of 16.
EVENT_TYPES: Final = (
    "ApplicationReplaced",
    "ChannelDestroyed",
    "ChannelEnteredBridge",
    "ChannelUserevent",
    "ContactStatusChange",
    "Dial",
    "StasisStart",
)

#: `Dial.dialstatus` is empty when the dial begins and names the end when it ends; only these mean that a phone rings.
RINGING: Final = frozenset({"RINGING", "PROGRESS", "PROCEEDING"})

#: `contact_status` of a contact that a call may be sent to; the others are «Unreachable» and «Removed».
REGISTERED: Final = frozenset({"Reachable", "NonQualified"})

#: What phones take as «answer by yourself»; most makers read one of the two.
AUTO_ANSWER: Final = {
    "PJSIP_HEADER(add,Call-Info)": "<sip:engine>;answer-after=0",
    "PJSIP_HEADER(add,Alert-Info)": "<sip:engine>;info=alert-autoanswer;delay=0",
}

#: What a desk phone shows where no number is given.
DESK_CALLER_ID: Final = "Zvonar <zvonar>"

#: Heard by the agent alone, before the customer's first word.
CALL_TONE: Final = "sound:beep"

MESSAGE_CONTEXT: Final = "zvonar-message"


def event_of(frame: Mapping[str, Any]) -> SwitchEvent | None:
    """The fact that an event of Asterisk states about a leg or phone of ours, if it states one."""
    match frame["type"]:
        case "StasisStart":
            leg = frame["channel"]["id"]
            return LegAnswered(leg) if is_ours(leg) else None
        case "ChannelDestroyed":
            leg = frame["channel"]["id"]
            return LegHungUp(leg, frame["cause"], frame.get("tech_cause") or None) if is_ours(leg) else None
        case "ChannelEnteredBridge":
            leg = frame["channel"]["id"]
            return LegBridged(leg) if attempt_of_leg(leg) else None
        case "ChannelUserevent":
            leg = frame.get("channel", {}).get("id", "")
            return LegOptedOut(leg) if frame["eventname"] == OPT_OUT and attempt_of_leg(leg) else None
        case "Dial":
            leg = frame["peer"]["id"]
            return LegRinging(leg) if frame["dialstatus"] in RINGING and is_ours(leg) else None
        case "ContactStatusChange":
            # A phone that registers anew leaves its old contact: «Removed», while the endpoint stays online.
            registered = frame["contact_info"]["contact_status"] in REGISTERED or frame["endpoint"]["state"] == "online"
            return PhoneSeen(PhoneId(frame["endpoint"]["resource"]), registered)
        case _:
            return None


def is_ours(channel_id: str) -> bool:
    """Whether a channel's id is one that we chose."""
    return attempt_of_leg(channel_id) is not None or agent_of_leg(channel_id) is not None


def requests_of(  # noqa: C901, PLR0912 - one row per order
    order: SwitchOrder, *, app: str, tone: str = CALL_TONE
) -> tuple[Request[Any], ...]:
    """The requests that carry an order out, in their order; each is sent when the one before it has succeeded."""
    match order:
        case OriginateCustomer():
            variables = {
                "ZV_APP": app,
                "ZV_ATTEMPT": order.attempt,
                "ZV_MAX_S": seconds(order.talk_max_ms),
                "ZV_MESSAGE": order.message,
                "ZV_OPT_OUT": order.opt_out,
            }
            return (_originate(order, f"PJSIP/{order.number.e164}@{order.trunk}", "zvonar-customer", variables),)
        case OriginateAgent():
            variables = {"ZV_APP": app, "ZV_AGENT": order.agent, **(AUTO_ANSWER if order.auto_answer else {})}
            return (_originate(order, f"PJSIP/{order.phone}", "zvonar-agent", variables),)
        case OpenBridge(leg=leg, bridge=bridge):
            return (ari.bridges.create(bridgeId=bridge), ari.bridges.addChannel(bridge, channel=leg))
        case Bridge(customer=customer, agent=agent, bridge=bridge):
            # The customer first: the tone lasts, and the bridge may be made ready under it.
            joined = ari.bridges.addChannel(bridge, channel=customer)
            return (
                (joined, ari.channels.play(agent, media=tone))
                if order.tone
                else (ari.channels.stopMoh(customer), joined)
            )
        case Music(customer=customer):
            return (ari.channels.startMoh(customer),)
        case Hold(customer=customer, bridge=bridge, on=True):
            return (ari.bridges.removeChannel(bridge, channel=customer), ari.channels.startMoh(customer))
        case Hold(customer=customer, bridge=bridge):
            return (ari.channels.stopMoh(customer), ari.bridges.addChannel(bridge, channel=customer))
        case Hangup(leg=leg, bridge=bridge):
            ended = ari.channels.hangup(leg)
            return (ended,) if bridge is None else (ended, ari.bridges.destroy(bridge))
        case PlayMessageAndHangup(leg=leg, message=message):
            return (
                ari.channels.setChannelVar(leg, variable="ZV_MESSAGE", value=message),
                ari.channels.setChannelVar(leg, variable="ZV_REASON", value="abandoned"),
                to_message(leg),
            )
        case Mute(agent=agent, on=True):
            return (ari.channels.mute(agent, direction="in"),)
        case Mute(agent=agent):
            return (ari.channels.unmute(agent, direction="in"),)
        case SendDigits(customer=customer, digits=digits):
            return (ari.channels.sendDTMF(customer, dtmf=digits),)
        case AskSwitch():
            return ()
        case _:
            assert_never(order)


def to_message(channel_id: str) -> Request[None]:
    """Send a channel to the dialplan's message that nobody can speak now; it hangs up at its end."""
    return ari.channels.continueInDialplan(channel_id, context=MESSAGE_CONTEXT, extension="s", priority=1)


def legs_of(order: SwitchOrder) -> tuple[LegId, ...]:
    """The legs whose earlier orders must be done before this one."""
    match order:
        case OriginateCustomer() | OriginateAgent() | OpenBridge() | Hangup() | PlayMessageAndHangup():
            return (order.leg,)
        case Bridge():
            return (order.customer, order.agent)
        case Music() | Hold() | SendDigits():
            return (order.customer,)
        case Mute():
            return (order.agent,)
        case AskSwitch():
            return ()
        case _:
            assert_never(order)


def legs_found(
    channels: tuple[ari.Channel, ...], bridges: tuple[ari.Bridge, ...], application: ari.Application
) -> tuple[LegFound, ...]:
    """Our legs as a snapshot shows them."""
    companions: dict[str, set[str]] = {}
    for bridge in bridges:
        for member in bridge.channels:
            companions.setdefault(member, set()).update(bridge.channels)
    return tuple(
        LegFound(
            LegId(channel.id),
            answered=channel.state == "Up",
            ours_to_command=_in_application(channel, application),
            bridged_with=tuple(LegId(other) for other in sorted(companions.get(channel.id, ())) if other != channel.id),
        )
        for channel in channels
        if is_ours(channel.id)
    )


def bridges_left_over(channels: tuple[ari.Channel, ...], bridges: tuple[ari.Bridge, ...]) -> tuple[BridgeId, ...]:
    """Bridges of ours whose agent's leg is gone."""
    alive = {channel.id for channel in channels}
    return tuple(
        BridgeId(bridge.id)
        for bridge in bridges
        if bridge.id.startswith("b.") and is_ours(bridge.id[2:]) and bridge.id[2:] not in alive
    )


def seconds(duration_ms: int) -> str:
    """Whole seconds, rounded up, as the dialplan reads them."""
    return str(-(-duration_ms // 1000))


def _in_application(channel: ari.Channel, application: ari.Application) -> bool:
    if channel.app_name:
        return channel.app_name == "Stasis" and channel.app_data.split(",")[0] == application.name
    return channel.id in application.channel_ids


def _originate(
    order: OriginateCustomer | OriginateAgent, endpoint: str, context: str, variables: Mapping[str, str]
) -> Request[ari.Channel]:
    return ari.channels.originate(
        endpoint=endpoint,
        context=context,
        extension="s",
        priority=1,
        channelId=order.leg,
        callerId=_caller_id(order),
        timeout=int(seconds(order.ring_timeout_ms)),
        variables=variables,
    )


def _caller_id(order: OriginateCustomer | OriginateAgent) -> str | None:
    if order.caller_id is not None:
        return order.caller_id.e164
    # A desk phone would show «Anonymous»; a customer's is the carrier's to choose.
    return DESK_CALLER_ID if isinstance(order, OriginateAgent) else None
