"""ARI operations as values, named as in ari-py: ``channels.originate(…)`` builds a `Request`, the client sends it.

Each operation is one function: its signature is the documentation, `_request` the only mechanism. A test holds every
operation and every model field against the `rest-api/*.json` that Asterisk itself serves, so neither can drift.
"""

# ruff: noqa: N802, N803  (operation and parameter names are Asterisk's own)

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote

R = TypeVar("R")

Json = Any  # what orjson.loads returns

_CONTROLS = {code: None for code in (*range(32), 127)}


@dataclass(frozen=True, slots=True)
class Request(Generic[R]):
    """One ARI operation, ready to send.

    `template` is the path as the API documentation spells it, `path` the same with its ids filled in.
    `once`: the operation starts something in the world (a dial), so it must never reach Asterisk twice.
    """

    method: str
    template: str
    path: str
    parse: Callable[[Json], R]
    query: tuple[tuple[str, str], ...] = ()
    body: Mapping[str, Any] | None = None
    once: bool = False


# --- models: only the fields that we read -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Channel:
    """One leg as Asterisk sees it; `state` is Asterisk's own word (Down, Ring, Ringing, Up …)."""

    id: str
    name: str
    state: str
    creationtime: str
    app_name: str
    app_data: str
    context: str = ""

    @classmethod
    def parse(cls, value: Json) -> "Channel":
        dialplan = value["dialplan"]
        return cls(
            id=value["id"],
            name=value["name"],
            state=value["state"],
            creationtime=value["creationtime"],
            app_name=dialplan.get("app_name", ""),  # absent before Asterisk 18
            app_data=dialplan.get("app_data", ""),
            context=dialplan["context"],
        )


@dataclass(frozen=True, slots=True)
class Bridge:
    id: str
    bridge_type: str
    channels: tuple[str, ...]

    @classmethod
    def parse(cls, value: Json) -> "Bridge":
        return cls(id=value["id"], bridge_type=value["bridge_type"], channels=tuple(value["channels"]))


@dataclass(frozen=True, slots=True)
class Application:
    name: str
    endpoint_ids: tuple[str, ...]
    channel_ids: tuple[str, ...]

    @classmethod
    def parse(cls, value: Json) -> "Application":
        return cls(
            name=value["name"], endpoint_ids=tuple(value["endpoint_ids"]), channel_ids=tuple(value["channel_ids"])
        )


@dataclass(frozen=True, slots=True)
class AsteriskInfo:
    version: str
    startup_time: str

    @classmethod
    def parse(cls, value: Json) -> "AsteriskInfo":
        return cls(version=value["system"]["version"], startup_time=value["status"]["startup_time"])


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A phone or trunk; `state` is online, offline or unknown."""

    technology: str
    resource: str
    state: str
    channel_ids: tuple[str, ...]

    @classmethod
    def parse(cls, value: Json) -> "Endpoint":
        return cls(
            technology=value["technology"],
            resource=value["resource"],
            state=value.get("state", "unknown"),
            channel_ids=tuple(value["channel_ids"]),
        )


@dataclass(frozen=True, slots=True)
class Playback:
    id: str
    state: str

    @classmethod
    def parse(cls, value: Json) -> "Playback":
        return cls(id=value["id"], state=value["state"])


# --- operations ---------------------------------------------------------------------------------------------------


class Channels:
    def list(self) -> Request["tuple[Channel, ...]"]:
        return _request("GET", "/channels", _each(Channel.parse))

    def get(self, channelId: str) -> Request[Channel]:
        return _request("GET", "/channels/{channelId}", Channel.parse, channelId)

    def originate(
        self,
        *,
        endpoint: str,
        context: str,
        extension: str,
        priority: int,
        channelId: str,
        callerId: str | None = None,
        timeout: int | None = None,
        variables: Mapping[str, str] | None = None,
        formats: str | None = None,
    ) -> Request[Channel]:
        """Dial into the dialplan; `timeout` in seconds.

        There is no `app` on purpose: a call answered while the application is away would be cut at once and in
        silence; the dialplan can still say something (see dialplan/extensions.conf).
        """
        return _request(
            "POST",
            "/channels",
            Channel.parse,
            body=None if variables is None else {"variables": variables},
            once=True,
            endpoint=endpoint,
            context=context,
            extension=extension,
            priority=priority,
            channelId=channelId,
            callerId=callerId,
            timeout=timeout,
            formats=formats,
        )

    def hangup(self, channelId: str, *, reason: str | None = None) -> Request[None]:
        return _request("DELETE", "/channels/{channelId}", _nothing, channelId, reason=reason)

    def continueInDialplan(
        self,
        channelId: str,
        *,
        context: str | None = None,
        extension: str | None = None,
        priority: int | None = None,
    ) -> Request[None]:
        return _request(
            "POST",
            "/channels/{channelId}/continue",
            _nothing,
            channelId,
            context=context,
            extension=extension,
            priority=priority,
        )

    def move(self, channelId: str, *, app: str, appArgs: str | None = None) -> Request[None]:
        return _request("POST", "/channels/{channelId}/move", _nothing, channelId, app=app, appArgs=appArgs)

    def answer(self, channelId: str) -> Request[None]:
        return _request("POST", "/channels/{channelId}/answer", _nothing, channelId)

    def sendDTMF(self, channelId: str, *, dtmf: str) -> Request[None]:
        return _request("POST", "/channels/{channelId}/dtmf", _nothing, channelId, dtmf=dtmf)

    def mute(self, channelId: str, *, direction: Literal["in", "out", "both"] = "in") -> Request[None]:
        """Silence one direction, as seen from Asterisk: `in` is what this party says."""
        return _request("POST", "/channels/{channelId}/mute", _nothing, channelId, direction=direction)

    def unmute(self, channelId: str, *, direction: Literal["in", "out", "both"] = "in") -> Request[None]:
        return _request("DELETE", "/channels/{channelId}/mute", _nothing, channelId, direction=direction)

    def startMoh(self, channelId: str, *, mohClass: str | None = None) -> Request[None]:
        return _request("POST", "/channels/{channelId}/moh", _nothing, channelId, mohClass=mohClass)

    def stopMoh(self, channelId: str) -> Request[None]:
        return _request("DELETE", "/channels/{channelId}/moh", _nothing, channelId)

    def play(self, channelId: str, *, media: str, playbackId: str | None = None) -> Request[Playback]:
        return _request(
            "POST", "/channels/{channelId}/play", Playback.parse, channelId, media=media, playbackId=playbackId
        )

    def setChannelVar(self, channelId: str, *, variable: str, value: str) -> Request[None]:
        return _request("POST", "/channels/{channelId}/variable", _nothing, channelId, variable=variable, value=value)


class Bridges:
    def list(self) -> Request["tuple[Bridge, ...]"]:
        return _request("GET", "/bridges", _each(Bridge.parse))

    def create(self, *, bridgeId: str, type: str = "mixing", name: str | None = None) -> Request[Bridge]:
        return _request("POST", "/bridges", Bridge.parse, bridgeId=bridgeId, type=type, name=name)

    def destroy(self, bridgeId: str) -> Request[None]:
        return _request("DELETE", "/bridges/{bridgeId}", _nothing, bridgeId)

    def addChannel(self, bridgeId: str, *, channel: str, mute: bool | None = None) -> Request[None]:
        return _request("POST", "/bridges/{bridgeId}/addChannel", _nothing, bridgeId, channel=channel, mute=mute)

    def removeChannel(self, bridgeId: str, *, channel: str) -> Request[None]:
        return _request("POST", "/bridges/{bridgeId}/removeChannel", _nothing, bridgeId, channel=channel)

    def play(self, bridgeId: str, *, media: str) -> Request[Playback]:
        return _request("POST", "/bridges/{bridgeId}/play", Playback.parse, bridgeId, media=media)

    def record(
        self, bridgeId: str, *, name: str, format: str, maxDurationSeconds: int, ifExists: str = "fail"
    ) -> Request[None]:
        return _request(
            "POST",
            "/bridges/{bridgeId}/record",
            _nothing,
            bridgeId,
            name=name,
            format=format,
            maxDurationSeconds=maxDurationSeconds,
            ifExists=ifExists,
        )


class Recordings:
    def stop(self, recordingName: str) -> Request[None]:
        return _request("POST", "/recordings/live/{recordingName}/stop", _nothing, recordingName)

    def pause(self, recordingName: str) -> Request[None]:
        return _request("POST", "/recordings/live/{recordingName}/pause", _nothing, recordingName)

    def unpause(self, recordingName: str) -> Request[None]:
        return _request("DELETE", "/recordings/live/{recordingName}/pause", _nothing, recordingName)


class Applications:
    def get(self, applicationName: str) -> Request[Application]:
        return _request("GET", "/applications/{applicationName}", Application.parse, applicationName)

    def subscribe(self, applicationName: str, *, eventSource: str) -> Request[Application]:
        return _request(
            "POST",
            "/applications/{applicationName}/subscription",
            Application.parse,
            applicationName,
            eventSource=eventSource,
        )

    def filter(self, applicationName: str, *, filter: Mapping[str, Any]) -> Request[Application]:
        return _request(
            "PUT", "/applications/{applicationName}/eventFilter", Application.parse, applicationName, body=filter
        )


class AsteriskSystem:
    def getInfo(self) -> Request[AsteriskInfo]:
        return _request("GET", "/asterisk/info", AsteriskInfo.parse)


class Endpoints:
    def list(self) -> Request["tuple[Endpoint, ...]"]:
        return _request("GET", "/endpoints", _each(Endpoint.parse))


class Playbacks:
    def stop(self, playbackId: str) -> Request[None]:
        return _request("DELETE", "/playbacks/{playbackId}", _nothing, playbackId)


channels = Channels()
bridges = Bridges()
applications = Applications()
asterisk = AsteriskSystem()
endpoints = Endpoints()
playbacks = Playbacks()
recordings = Recordings()


# --- the mechanism ------------------------------------------------------------------------------------------------


def _request(
    method: str,
    template: str,
    parse: Callable[[Json], R],
    resource_id: str | None = None,
    *,
    body: Mapping[str, Any] | None = None,
    once: bool = False,
    **query: str | int | bool | None,
) -> Request[R]:
    path = template
    if resource_id is not None:
        before, _, rest = template.partition("{")
        path = before + quote(resource_id, safe="") + rest.partition("}")[2]
    return Request(
        method=method,
        template=template,
        path=path,
        parse=parse,
        query=tuple([(name, _text(value)) for name, value in query.items() if value is not None]),
        body=body,
        once=once,
    )


def _text(value: str | int | bool) -> str:
    if isinstance(value, str):
        # A CR or LF in a caller id would go out as a SIP header of its own.
        return value if value.isprintable() else value.translate(_CONTROLS)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _each(parse: Callable[[Json], R]) -> Callable[[Json], tuple[R, ...]]:
    return lambda value: tuple([parse(item) for item in value])


def _nothing(value: Json) -> None:
    """Accept 204 and whatever else says «done»."""
