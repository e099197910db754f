"""What we call and read is what this Asterisk documents in its own rest-api files."""

from __future__ import annotations

import inspect
import string
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from engine.ari import resources
from engine.ari.client import request_frame
from engine.ari.resources import Request
from engine.ari.wire import EVENT_TYPES
from tests.integration.switches import AsteriskPair

pytestmark = pytest.mark.integration

RESOURCES = ("applications", "asterisk", "bridges", "channels", "endpoints", "playbacks")

#: What engine.ari.wire and engine.ari.switch read of an event: path of fields → where they are declared.
EVENT_FIELDS = {
    "StasisStart": ("channel", "args", "timestamp"),
    "ChannelDestroyed": ("channel", "cause", "tech_cause", "timestamp"),
    "ChannelEnteredBridge": ("channel", "timestamp"),
    "ChannelUserevent": ("channel", "eventname", "timestamp"),
    "ContactStatusChange": ("endpoint", "timestamp"),
    "Dial": ("peer", "dialstatus", "timestamp"),
    "ApplicationReplaced": ("timestamp",),
    "RESTResponse": ("request_id", "status_code", "message_body"),
}
MODEL_FIELDS = {
    "Channel": ("id", "name", "state", "creationtime", "dialplan"),
    "DialplanCEP": ("app_name", "app_data"),
    "Bridge": ("id", "bridge_type", "channels"),
    "Application": ("name", "endpoint_ids", "channel_ids"),
    "AsteriskInfo": ("system", "status"),
    "SystemInfo": ("version",),
    "StatusInfo": ("startup_time",),
    "Endpoint": ("technology", "resource", "state", "channel_ids"),
    "Playback": ("id", "state"),
}


@pytest.fixture
async def documented(asterisk_pair: AsteriskPair) -> dict[str, Any]:
    """The rest-api files, by name, as the running Asterisk serves them."""
    secrets = asterisk_pair.engine.secrets
    headers = {"Authorization": aiohttp.encode_basic_auth(secrets.ari_user, secrets.ari_password)}
    async with aiohttp.ClientSession(headers=headers) as session:
        files = {}
        for name in (*RESOURCES, "events"):
            async with session.get(f"{asterisk_pair.ari_url}/api-docs/{name}.json") as reply:
                files[name] = await reply.json()
    return files


def test_every_operation_exists_under_its_name_with_its_parameters(documented: dict[str, Any]) -> None:
    operations = {
        (name, operation["nickname"]): (api["path"], operation)
        for name, file in documented.items()
        for api in file["apis"]
        for operation in api["operations"]
    }
    for resource, nickname, request in ours():
        path, operation = operations[resource, nickname]
        assert (request.method, request.template) == (operation["httpMethod"], path), nickname
        places = {parameter["name"]: parameter["paramType"] for parameter in operation.get("parameters", ())}
        for parameter, _ in request.query:
            assert places[parameter] == "query", f"{resource}.{nickname}({parameter})"
        if request.body is not None:
            assert "body" in places.values(), f"{resource}.{nickname}"
        in_path = {field for _, field, _, _ in string.Formatter().parse(request.template) if field}
        assert in_path == {name for name, place in places.items() if place == "path"}, nickname


def test_every_field_that_we_read_exists(documented: dict[str, Any]) -> None:
    models = {name: model for file in documented.values() for name, model in file.get("models", {}).items()}
    inherited = {**models["Message"]["properties"], **models["Event"]["properties"]}
    for name, fields in {**EVENT_FIELDS, **MODEL_FIELDS}.items():
        known = {**models[name]["properties"], **(inherited if name in EVENT_FIELDS else {})}
        assert set(fields) <= known.keys(), name


def test_every_event_that_we_ask_for_is_one_that_we_read(documented: dict[str, Any]) -> None:
    assert set(EVENT_TYPES) <= set(documented["events"]["models"]["Event"]["subTypes"])
    assert {*EVENT_TYPES, "RESTResponse"} == EVENT_FIELDS.keys()


def ours() -> Iterator[tuple[str, str, Request[Any]]]:
    """Each of our operations, asked with every one of its parameters."""
    samples: dict[str, Any] = {"priority": 1, "timeout": 30, "mute": True, "variables": {"A": "1"}, "filter": {}}
    for resource in RESOURCES:
        group = getattr(resources, resource)
        for nickname, method in inspect.getmembers(group, inspect.ismethod):
            arguments = {name: samples.get(name, "in") for name in inspect.signature(method).parameters}
            request = method(**arguments)
            assert request_frame(request, "1")
            yield resource, nickname, request
