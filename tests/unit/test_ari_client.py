"""The ARI client: deadlines, places in flight, reconnects, and nothing sent twice."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from engine.ari.client import AriAccount, AriClient, Frame, LinkDown, LinkUp, at_least, rest_over_websocket
from engine.ari.errors import AriError, Conflict, DeadlineExceeded, LinkLost, NotFound, NotSent, Refused, Unreadable
from engine.ari.resources import applications, bridges, channels
from engine.backoff import Backoff
from tests.fakes.ari import APP, SECRET, USER, FakeAri, running

WAIT_S = 15.0


class Link:
    """A running client and what came out of it."""

    def __init__(self, client: AriClient) -> None:
        self.client = client
        self.frames: list[Frame] = []
        self.room = True
        self._changed = asyncio.Event()

    def sink(self, frame: Frame) -> bool:
        self.frames.append(frame)
        self._changed.set()
        return self.room

    async def until(self, found: Callable[[], Any]) -> Any:
        async with asyncio.timeout(WAIT_S):
            while not (value := found()):
                self._changed.clear()
                await self._changed.wait()
        return value

    async def until_up(self, times: int = 1) -> None:
        await self.until(lambda: self.count(LinkUp) >= times)

    def count(self, kind: type[LinkUp | LinkDown]) -> int:
        return sum(isinstance(frame, kind) for frame in self.frames)

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [frame for frame in self.frames if isinstance(frame, dict) and frame["type"] == kind]


def client_of(fake: FakeAri, *, secret: str = SECRET, **options: Any) -> AriClient:
    chance = random.Random(7).random
    return AriClient(
        AriAccount(url=fake.url, user=USER, secret=secret, app=APP),
        backoff=Backoff(chance=chance, base_ms=1, max_ms=5),
        **options,
    )


@asynccontextmanager
async def linked(client: AriClient) -> AsyncIterator[Link]:
    link = Link(client)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(client.run(link.sink))
        try:
            yield link
        finally:
            task.cancel()


@pytest.fixture(params=["22.10.1", "16.28.0"], ids=["websocket", "http"])
async def fake(request: pytest.FixtureRequest) -> AsyncIterator[FakeAri]:
    fake = FakeAri()
    fake.version = request.param
    async with running(fake):
        yield fake


async def test_a_new_link_is_filtered_and_subscribed_before_it_is_announced(fake: FakeAri) -> None:
    client = client_of(fake, event_types=["StasisStart"], event_sources=["endpoint:PJSIP/carrier"])
    async with linked(client) as link:
        await link.until_up()
        assert fake.filter == ["StasisStart", "RESTResponse"]
        assert fake.sources == ["PJSIP/carrier"]
        assert (await client.request(applications.get(APP))).endpoint_ids == ("PJSIP/carrier",)


async def test_a_trunk_that_asterisk_does_not_have_is_named_and_the_rest_works(fake: FakeAri) -> None:
    client = client_of(fake, event_sources=["endpoint:PJSIP/typo", "endpoint:PJSIP/carrier"])
    async with linked(client) as link:
        await link.until_up()
        [up] = link.frames
        assert isinstance(up, LinkUp)
        assert up.missing == ("endpoint:PJSIP/typo",)
        assert fake.sources == ["PJSIP/carrier"]


async def test_answers_and_refusals_come_back_as_what_they_are(fake: FakeAri) -> None:
    async with linked(client_of(fake)) as link:
        await link.until_up()
        assert (await link.client.request(bridges.create(bridgeId="b.1"))).id == "b.1"
        with pytest.raises(NotFound):
            await link.client.request(channels.hangup("gone"))
        with pytest.raises(Refused, match="Allocation failed"):
            await link.client.request(dial("a.1.c", endpoint="PJSIP/1@nobody"))
        await link.client.request(dial("a.2.c"))
        with pytest.raises(Conflict):
            await link.client.request(dial("a.2.c"))


async def test_a_lost_reply_is_unknown_and_never_asked_again(fake: FakeAri) -> None:
    async with linked(client_of(fake, deadline_ms=50)) as link:
        await link.until_up()
        fake.hushed.add("/channels")
        with pytest.raises(DeadlineExceeded) as caught:
            await link.client.request(dial("a.1.c"))
        assert caught.value.may_have_acted
        assert fake.asked("POST", "/channels") == ["/channels"]
        assert "a.1.c" in fake.channels


async def test_a_link_cut_before_the_reply_leaves_the_outcome_unknown() -> None:
    async with running(FakeAri()) as fake, linked(client_of(fake)) as link:
        await link.until_up()
        fake.hushed.add("/channels")
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(fails(link.client, dial("a.1.c")))
            await until(lambda: fake.asked("POST", "/channels"))
            fake.abort()
        assert isinstance(asking.result(), LinkLost)
        await link.until_up(2)
        assert fake.asked("POST", "/channels") == ["/channels"]


async def test_a_dial_over_http_gets_a_connection_of_its_own() -> None:
    fake = FakeAri()
    fake.version = "16.28.0"
    async with running(fake), linked(client_of(fake)) as link:
        await link.until_up()
        await link.client.request(dial("a.1.c"))
        assert fake.closing_requests == ["/ari/channels"]


async def test_no_more_than_the_limit_are_in_flight(fake: FakeAri) -> None:
    async with linked(client_of(fake, in_flight_max=2)) as link:
        await link.until_up()
        fake.hold()
        outcomes = await asyncio.gather(
            *[fails(link.client, channels.list(), deadline_ms=within) for within in (200, 200, 50)]
        )
        assert [type(outcome) for outcome in outcomes] == [DeadlineExceeded, DeadlineExceeded, NotSent]


async def test_without_a_link_nothing_is_sent(fake: FakeAri) -> None:
    client = client_of(fake)
    with pytest.raises(NotSent) as caught:
        await client.request(dial("a.1.c"))
    assert not caught.value.may_have_acted
    assert fake.requests == []


async def test_a_cut_link_is_made_again_and_announced_again(fake: FakeAri) -> None:
    async with linked(client_of(fake)) as link:
        for times in range(1, 4):
            await link.until_up(times)
            fake.abort()
        await link.until(lambda: link.count(LinkDown) == 3)


async def test_a_full_sink_drops_the_link_and_gets_a_new_one(fake: FakeAri) -> None:
    async with linked(client_of(fake)) as link:
        await link.until_up()
        link.room = False
        await fake.emit("ChannelCreated", channel={})
        await link.until(lambda: link.count(LinkDown))
        link.room = True
        await link.until_up(2)
        assert any(isinstance(f, LinkDown) and "faster" in f.reason for f in link.frames)


async def test_a_dropped_link_says_who_dropped_it(fake: FakeAri) -> None:
    async with linked(client_of(fake)) as link:
        await link.until_up()
        link.client.drop("the probe got no answer")
        down = await link.until(lambda: [f for f in link.frames if isinstance(f, LinkDown)])
        assert down[0].reason == "the probe got no answer"
        await link.until_up(2)


async def test_a_wrong_secret_is_one_clear_line(fake: FakeAri) -> None:
    async with linked(client_of(fake, secret="wrong")) as link:
        down = await link.until(lambda: [f for f in link.frames if isinstance(f, LinkDown)])
        assert "refused the ARI user name or secret" in down[0].reason
        assert "wrong" not in down[0].reason


async def test_an_absent_asterisk_is_one_clear_line_and_tried_again() -> None:
    fake = FakeAri()
    fake.url = "http://127.0.0.1:9/ari"
    async with linked(client_of(fake)) as link:
        await link.until(lambda: link.count(LinkDown) >= 2)
        [first, *_] = link.frames
        assert isinstance(first, LinkDown)
        assert "cannot use Asterisk at http://127.0.0.1:9/ari" in first.reason


async def test_a_too_old_asterisk_is_named() -> None:
    fake = FakeAri()
    fake.version = "13.38.0"
    async with running(fake), linked(client_of(fake)) as link:
        down = await link.until(lambda: [f for f in link.frames if isinstance(f, LinkDown)])
        assert "13.38.0 is too old" in down[0].reason


async def test_an_answer_that_cannot_be_read_is_unknown(fake: FakeAri) -> None:
    async with linked(client_of(fake)) as link:
        await link.until_up()
        fake.garbled.add("/channels")
        outcome = await fails(link.client, dial("a.1.c"))
        assert isinstance(outcome, Unreadable)
        assert outcome.may_have_acted


async def test_what_is_no_event_drops_the_link(fake: FakeAri) -> None:
    async with linked(client_of(fake)) as link:
        await link.until_up()
        await fake.say("[1, 2")
        down = await link.until(lambda: [f for f in link.frames if isinstance(f, LinkDown)])
        assert down[0].reason == "Asterisk sent something that is no event"
        await link.until_up(2)


@pytest.mark.parametrize(
    ("version", "over_socket"),
    [
        ("22.10.1+dfsg+~cs6.17", True),
        ("22.4.0", True),
        ("22.3.9", False),
        ("21.9.0", True),
        ("21.8.0", False),
        ("20.14.0", True),
        ("20.13.0", False),
        ("certified-20.7-cert6", False),
        ("certified-22.8-cert1", True),
        ("16.28.0~dfsg-0+deb11u4", False),
        ("23.0.0", True),
        ("GIT-master-abcdef", False),
    ],
)
def test_requests_go_over_the_socket_where_asterisk_can_take_them(version: str, over_socket: bool) -> None:
    assert rest_over_websocket(version) is over_socket


def test_versions_compare_by_number() -> None:
    assert at_least("16.28.0", (16, 3))
    assert not at_least("13.38.3", (16, 3))


def test_the_wait_before_a_reconnect_grows_to_its_ceiling_and_is_never_the_same() -> None:
    backoff = Backoff(chance=lambda: 0.5, base_ms=100, max_ms=1_000)
    assert [backoff.wait_ms(n) for n in (1, 2, 3, 4, 5, 99)] == [75, 150, 300, 600, 750, 750]
    low, high = Backoff(chance=lambda: 0.0), Backoff(chance=lambda: 0.99)
    assert low.wait_ms(3) < high.wait_ms(3)


def dial(channel_id: str, *, endpoint: str = "PJSIP/+380441234567@carrier") -> Any:
    return channels.originate(
        endpoint=endpoint, context="zvonar-customer", extension="s", priority=1, channelId=channel_id
    )


async def fails(client: AriClient, request: Any, *, deadline_ms: int | None = None) -> AriError:
    with pytest.raises(AriError) as caught:
        await client.request(request, deadline_ms=deadline_ms)
    return caught.value


async def until(found: Callable[[], Any]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not found():  # noqa: ASYNC110  (the other side is a server in its own right)
            await asyncio.sleep(0.001)
