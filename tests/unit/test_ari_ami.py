"""The AMI client against a small AMI server on a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from engine.ami.client import AmiAccount, AmiClient, AmiDown, AmiError, AmiFact, AmiUp, ContactSeen, TrunkRegistered
from engine.backoff import Backoff

WAIT_S = 15.0
SECRET = "s3cret"
Answer = Callable[[str], list[str]]


class FakeAmi:
    """Answers actions from a table; `silent` actions get no answer."""

    def __init__(self) -> None:
        self.secret = SECRET
        self.contacts = [("101", "Reachable", "1500"), ("102", "Unreachable", "N/A")]
        self.registrations = [("carrier", "Registered")]
        self.silent: set[str] = set()
        self.actions: list[dict[str, str]] = []
        self.port = 0
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        writer.write(b"Asterisk Call Manager/9.0.0\r\n")
        while block := await _block(reader):
            action = dict(line.split(": ", 1) for line in block.split("\r\n") if ": " in line)
            self.actions.append(action)
            if action["Action"] not in self.silent:
                self.write(writer, *self.answer(action))
        writer.close()

    def answer(self, action: dict[str, str]) -> list[list[str]]:
        match action["Action"]:
            case "Login":
                right = action["Secret"] == self.secret
                messages = [["Response: Success" if right else "Response: Error", "Message: log-in"]]
            case "PJSIPShowContacts" if not self.contacts:
                messages = [["Response: Error", "Message: No Contacts found"]]
            case "PJSIPShowContacts":
                rows = [
                    ["Event: ContactList", f"Endpoint: {name}", f"Status: {status}", f"RoundtripUsec: {trip}"]
                    for name, status, trip in self.contacts
                ]
                messages = _listed(rows, "ContactListComplete")
            case "PJSIPShowRegistrationsOutbound":
                rows = [
                    ["Event: OutboundRegistrationDetail", f"ObjectName: {name}", f"Status: {status}"]
                    for name, status in self.registrations
                ]
                messages = _listed(rows, "OutboundRegistrationDetailComplete")
            case "PJSIPNotify" if action["Channel"] != "PJSIP/101-0001":
                messages = [["Response: Error", "Message: Channel not found"]]
            case _:
                messages = [["Response: Success", "Message: done"]]
        return [[*message, f"ActionID: {action['ActionID']}"] for message in messages]

    def write(self, writer: asyncio.StreamWriter, *messages: list[str]) -> None:
        for message in messages:
            writer.write(("\r\n".join(message) + "\r\n\r\n").encode())

    def tell(self, *lines: str) -> None:
        """An event to the newest connection."""
        self.write(self._writers[-1], list(lines))

    def cut(self) -> None:
        """Cut all connections."""
        for writer in self._writers:
            writer.transport.abort()


async def _block(reader: asyncio.StreamReader) -> str:
    try:
        return (await reader.readuntil(b"\r\n\r\n")).decode()
    except (asyncio.IncompleteReadError, ConnectionError):
        return ""


def _listed(rows: list[list[str]], complete: str) -> list[list[str]]:
    begin = ["Response: Success", "EventList: start", "Message: follows"]
    return [begin, *rows, [f"Event: {complete}", "EventList: Complete"]]


class Office:
    """A running client and what it told."""

    def __init__(self, client: AmiClient) -> None:
        self.client = client
        self.facts: list[AmiFact] = []
        self._told = asyncio.Event()

    def sink(self, fact: AmiFact) -> None:
        self.facts.append(fact)
        self._told.set()

    async def until(self, fact: AmiFact | type[AmiFact], times: int = 1) -> None:
        def seen() -> int:
            return sum(isinstance(f, fact) if isinstance(fact, type) else f == fact for f in self.facts)

        async with asyncio.timeout(WAIT_S):
            while seen() < times:
                self._told.clear()
                await self._told.wait()


@pytest.fixture
async def ami() -> AsyncIterator[FakeAmi]:
    fake = FakeAmi()
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    fake.port = server.sockets[0].getsockname()[1]
    yield fake
    server.close()
    fake.cut()
    await server.wait_closed()


@asynccontextmanager
async def logged_in(fake: FakeAmi, *, secret: str = SECRET, ping_every_ms: int = 60_000) -> AsyncIterator[Office]:
    client = AmiClient(
        AmiAccount(host="127.0.0.1", port=fake.port, user="engine", secret=secret),
        backoff=Backoff(chance=lambda: 0.5, base_ms=1, max_ms=5),
        deadline_ms=200,
        ping_every_ms=ping_every_ms,
    )
    office = Office(client)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(client.run(office.sink))
        try:
            yield office
        finally:
            running.cancel()


async def test_after_the_login_all_registrations_are_told(ami: FakeAmi) -> None:
    async with logged_in(ami) as office:
        await office.until(TrunkRegistered)
        assert office.facts == [
            AmiUp(),
            ContactSeen("101", registered=True, round_trip_ms=1.5),
            ContactSeen("102", registered=False),
            TrunkRegistered("carrier", registered=True, state="Registered"),
        ]


async def test_no_contacts_is_an_empty_list_and_no_error(ami: FakeAmi) -> None:
    ami.contacts = []
    async with logged_in(ami) as office:
        await office.until(TrunkRegistered)
        assert not [fact for fact in office.facts if isinstance(fact, ContactSeen)]


async def test_a_phone_that_goes_is_told_at_once(ami: FakeAmi) -> None:
    async with logged_in(ami) as office:
        await office.until(TrunkRegistered)
        ami.tell("Event: ContactStatus", "EndpointName: 101", "AOR: 101", "ContactStatus: Removed", "RoundtripUsec: 0")
        await office.until(ContactSeen("101", registered=False))


async def test_a_phone_is_asked_to_talk_in_its_call(ami: FakeAmi) -> None:
    async with logged_in(ami) as office:
        await office.until(TrunkRegistered)
        await office.client.notify("PJSIP/101-0001", "talk")
        assert ami.actions[-1]["Variable"] == "Event=talk"
        with pytest.raises(AmiError, match="Channel not found"):
            await office.client.notify("PJSIP/101-9999", "hold")


async def test_a_cut_link_is_made_again_and_nothing_is_sent_twice(ami: FakeAmi) -> None:
    async with logged_in(ami) as office:
        await office.until(TrunkRegistered)
        ami.silent.add("PJSIPNotify")
        with pytest.raises(AmiError, match="no answer"):
            await office.client.notify("PJSIP/101-0001", "talk")
        ami.cut()
        await office.until(TrunkRegistered, times=2)
        assert sum(action["Action"] == "PJSIPNotify" for action in ami.actions) == 1
        assert sum(isinstance(fact, AmiDown) for fact in office.facts) == 1


async def test_a_link_that_no_longer_answers_is_given_up(ami: FakeAmi) -> None:
    ami.silent.add("Ping")
    async with logged_in(ami, ping_every_ms=10) as office:
        await office.until(AmiDown)
        await office.until(AmiUp, times=2)


async def test_a_wrong_secret_is_one_clear_line(ami: FakeAmi) -> None:
    async with logged_in(ami, secret="wrong") as office:
        await office.until(AmiDown)
        [down, *_] = office.facts
        assert isinstance(down, AmiDown)
        assert "refused the AMI user name or secret" in down.reason
        assert "wrong" not in down.reason


async def test_without_a_link_an_action_fails_at_once(ami: FakeAmi) -> None:
    client = AmiClient(
        AmiAccount(host="127.0.0.1", port=ami.port, user="engine", secret=SECRET),
        backoff=Backoff(chance=lambda: 0.5),
    )
    with pytest.raises(AmiError, match="no link"):
        await client.notify("PJSIP/101-0001", "talk")
