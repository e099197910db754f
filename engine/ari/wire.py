"""ARI frames in, facts out; orders in, requests out. No sockets, no waiting: everything here is a pure function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias, assert_never

from engine.ari import resources as ari
from engine.ari.resources import Request
from engine.core.effects import (
    AnswerPhone,
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
    SwitchOrder,
    TransferOut,
)
from engine.core.events import (
    CallArrived,
    LegAnswered,
    LegBridged,
    LegFound,
    LegHungUp,
    LegJudged,
    LegOptedOut,
    LegRinging,
    PhoneSeen,
    SwitchEvent,
)
from engine.core.model import (
    BridgeId,
    LegId,
    PhoneId,
    PhoneNumber,
    TrunkId,
    Verdict,
    agent_of_leg,
    attempt_of_leg,
    attempt_of_outside,
    inbound_channel,
    inbound_leg,
)

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
VOICEMAIL_CONTEXT: Final = "zvonar-voicemail"
SCREENING_CONTEXT: Final = "zvonar-amd"
OUT_CONTEXT: Final = "zvonar-out"
OUTSIDE_CONTEXT: Final = "zvonar-outside"

#: First argument of a leg that comes back from detection, and AMDSTATUS as a verdict; anything else is unsure.
SCREENED: Final = "screened"
VERDICTS: Final = {"HUMAN": Verdict.PERSON, "MACHINE": Verdict.MACHINE}
#: AMD counts frames, and too few of them come from some lines: the dialplan's own clock ends it so much later.
SCREEN_SLACK_MS: Final = 100


Originate: TypeAlias = OriginateCustomer | OriginateAgent | OriginateOutside

#: What a carrier sends as a number → the number, if it is one.
Reads: TypeAlias = Callable[[str], PhoneNumber | None]


def plain_number(text: str) -> PhoneNumber | None:
    """The number as the carrier writes it."""
    try:
        return PhoneNumber(text)
    except ValueError:
        return None  # withheld, or a name


def event_of(frame: Mapping[str, Any], reads: Reads = plain_number) -> SwitchEvent | None:
    """The fact that an event of Asterisk states about a leg or phone of ours, if it states one."""
    match frame["type"]:
        case "StasisStart":
            channel, args = frame["channel"]["id"], frame.get("args", ())
            match args:
                case [str(said), _, str(status), *_] if said == SCREENED and attempt_of_leg(channel):
                    return LegJudged(channel, VERDICTS.get(status, Verdict.UNSURE))
            return LegAnswered(channel) if is_ours(channel) else arrived(channel, args, reads)
        case "ChannelDestroyed":
            return LegHungUp(leg_of(frame["channel"]["id"]), frame["cause"], frame.get("tech_cause") or None)
        case "ChannelEnteredBridge":
            leg = leg_of(frame["channel"]["id"])
            return LegBridged(leg) if agent_of_leg(leg) is None else None
        case "ChannelUserevent":
            leg = LegId(frame.get("channel", {}).get("id", ""))
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
    return any(of(channel_id) is not None for of in (attempt_of_leg, agent_of_leg, attempt_of_outside))


def leg_of(channel_id: str) -> LegId:
    """The leg of a channel: its id, if we chose it."""
    return LegId(channel_id) if is_ours(channel_id) else inbound_leg(channel_id)


def channel_of(leg: LegId) -> str:
    """The channel of a leg: `leg_of` backwards."""
    return inbound_channel(leg) or leg


def arrived(channel_id: str, args: Sequence[str], reads: Reads) -> CallArrived | None:
    """Somebody calls us: what `[from-trunk]` hands over is our number, the trunk and their number."""
    match args:
        case ["inbound", dialed, trunk, caller]:
            leg = inbound_leg(channel_id)
            return CallArrived(leg=leg, trunk=TrunkId(trunk), dialed=reads(dialed), caller=reads(caller))
        case _:
            return None


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
        case OriginateOutside():
            variables = {"ZV_APP": app, "ZV_MAX_S": seconds(order.talk_max_ms)}
            return (_originate(order, f"PJSIP/{order.number.e164}@{order.trunk}", OUTSIDE_CONTEXT, variables),)
        case OpenBridge(leg=leg, bridge=bridge):
            return (ari.bridges.create(bridgeId=bridge), ari.bridges.addChannel(bridge, channel=leg))
        case Bridge(customer=customer, agent=agent, bridge=bridge):
            # The customer first: the tone lasts, and the bridge may be made ready under it.
            channel = channel_of(customer)
            quiet = (ari.channels.stopMoh(channel),) if order.music else ()
            told = (ari.channels.play(agent, media=tone),) if order.tone else ()
            return (*quiet, ari.bridges.addChannel(bridge, channel=channel), *told)
        case Music(customer=customer, music=music):
            return (ari.channels.startMoh(channel_of(customer), mohClass=music or None),)
        case Hold(customer=customer, bridge=bridge, on=True):
            channel = channel_of(customer)
            return (ari.bridges.removeChannel(bridge, channel=channel), ari.channels.startMoh(channel))
        case Hold(customer=customer, bridge=bridge):
            channel = channel_of(customer)
            return (ari.channels.stopMoh(channel), ari.bridges.addChannel(bridge, channel=channel))
        case Hangup(leg=leg, bridge=bridge):
            ended = ari.channels.hangup(channel_of(leg))
            return (ended,) if bridge is None else (ended, ari.bridges.destroy(bridge))
        case Screen():
            settings = (order.greeting_ms, order.silence_ms, order.within_ms, order.words_max)
            late_s = (order.within_ms + SCREEN_SLACK_MS) / 1000
            value = "-".join((*map(str, settings), f"{late_s:.3f}"))
            return (
                ari.channels.setChannelVar(order.leg, variable="ZV_AMD", value=value),
                _to(order.leg, SCREENING_CONTEXT),
            )
        case TransferOut():
            return _out(order)
        case Mute(agent=agent, on=True):
            return (ari.channels.mute(agent, direction="in"),)
        case Mute(agent=agent):
            return (ari.channels.unmute(agent, direction="in"),)
        case SendDigits(customer=customer, digits=digits):
            return (ari.channels.sendDTMF(channel_of(customer), dtmf=digits),)
        case AnswerPhone(leg=leg):
            return (ari.channels.get(leg),)  # whose name the phone's NOTIFY needs
        case StartRecording(bridge=bridge, name=name):
            record = ari.bridges.record(
                bridge, name=name, format="wav", maxDurationSeconds=int(seconds(order.length_max_ms))
            )
            said = ari.bridges.play(bridge, media=f"sound:{order.announcement}")
            return (record, said) if order.announcement else (record,)
        case PauseRecording(name=name, on=True):
            return (ari.recordings.pause(name),)
        case PauseRecording(name=name):
            return (ari.recordings.unpause(name),)
        case StopRecording(name=name):
            return (ari.recordings.stop(name),)
        case PlayMessageAndHangup():
            return _message(order)
        case AskSwitch():
            return ()
        case _:
            assert_never(order)


def _message(order: PlayMessageAndHangup) -> tuple[Request[Any], ...]:
    channel, message = channel_of(order.leg), order.message
    if order.machine:
        said = ari.channels.setChannelVar(channel, variable="ZV_VOICEMAIL", value=message)
        return (said, _to(channel, VOICEMAIL_CONTEXT))
    reason = "abandoned" if channel == order.leg else "missed"
    return (
        ari.channels.setChannelVar(channel, variable="ZV_MESSAGE", value=message),
        ari.channels.setChannelVar(channel, variable="ZV_REASON", value=reason),
        to_message(channel),
    )


def _out(order: TransferOut) -> tuple[Request[Any], ...]:
    channel = channel_of(order.leg)
    said = {
        "ZV_OUT_NUMBER": order.number.e164,
        "ZV_OUT_TRUNK": order.trunk,
        "ZV_OUT_FROM": order.caller_id.e164 if order.caller_id is not None else "",
        "ZV_OUT_RING_S": seconds(order.ring_timeout_ms),
    }
    variables = (ari.channels.setChannelVar(channel, variable=name, value=value) for name, value in said.items())
    return (*variables, _to(channel, OUT_CONTEXT))


def to_message(channel_id: str) -> Request[None]:
    """Send a channel to the dialplan's message that nobody can speak now; it hangs up at its end."""
    return _to(channel_id, MESSAGE_CONTEXT)


def _to(channel_id: str, context: str) -> Request[None]:
    return ari.channels.continueInDialplan(channel_id, context=context, extension="s", priority=1)


def legs_of(order: SwitchOrder) -> tuple[LegId, ...]:
    """The legs whose earlier orders must be done before this one."""
    match order:
        case OriginateCustomer() | OriginateAgent() | OpenBridge() | Hangup() | Screen() | PlayMessageAndHangup():
            return (order.leg,)
        case AnswerPhone() | TransferOut() | OriginateOutside():
            return (order.leg,)
        case Bridge():
            return (order.customer, order.agent)
        case Music() | Hold() | SendDigits() | StartRecording() | PauseRecording() | StopRecording():
            return (order.customer,)
        case Mute():
            return (order.agent,)
        case AskSwitch():
            return ()
        case _:
            assert_never(order)


def legs_found(
    channels: tuple[ari.Channel, ...],
    bridges: tuple[ari.Bridge, ...],
    application: ari.Application,
    reads: Reads = plain_number,
) -> tuple[LegFound, ...]:
    """Our legs as a snapshot shows them, and everybody's who is in our application: they have called us."""
    companions: dict[str, set[str]] = {}
    for bridge in bridges:
        for member in bridge.channels:
            companions.setdefault(member, set()).update(bridge.channels)
    return tuple(
        LegFound(
            leg_of(channel.id),
            answered=channel.state == "Up",
            ours_to_command=_in_application(channel, application),
            bridged_with=tuple(
                leg_of(other) for other in sorted(companions.get(channel.id, ())) if other != channel.id
            ),
            arrived=None if is_ours(channel.id) else arrived(channel.id, channel.app_data.split(",")[1:], reads),
            screening=channel.context == SCREENING_CONTEXT,
            handed_out=channel.context == OUT_CONTEXT,
        )
        for channel in channels
        if is_ours(channel.id) or _has_called_us(channel, application)
    )


def bridges_left_over(channels: tuple[ari.Channel, ...], bridges: tuple[ari.Bridge, ...]) -> tuple[BridgeId, ...]:
    """Bridges of ours whose agent, or whoever was asked, is gone."""
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


def _has_called_us(channel: ari.Channel, application: ari.Application) -> bool:
    # Asterisk before 18 does not say what brought a channel here: those whom we know are told by it all the same.
    return _in_application(channel, application) and (not channel.app_data or ",inbound," in channel.app_data)


def _originate(order: Originate, endpoint: str, context: str, variables: Mapping[str, str]) -> Request[ari.Channel]:
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


def _caller_id(order: Originate) -> str | None:
    if order.caller_id is not None:
        return order.caller_id.e164
    # A desk phone would show «Anonymous»; a customer's is the carrier's to choose.
    return DESK_CALLER_ID if isinstance(order, OriginateAgent) else None
