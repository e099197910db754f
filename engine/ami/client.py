"""A small door to AMI on panoramisk: what phones and trunks are registered, talk and hold by NOTIFY, reload.

The link is panoramisk's, the reconnect is ours: with a jittered back-off, a deadline on every action, and nothing sent
again that was under way when the link was lost. Calls are never made here; that is ARI's part.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from panoramisk import Manager
from panoramisk.message import Message

from engine.backoff import Backoff

log = logging.getLogger(__name__)

#: Longest wait for the answer to an action.
ACTION_DEADLINE_MS = 3_000
#: How often the link is asked whether it still answers.
PING_EVERY_MS = 15_000
#: `ContactStatus` of a contact that calls can be sent to.
REGISTERED = frozenset({"Reachable", "NonQualified", "Created", "Updated"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AmiAccount:
    """Where AMI is and who we are there."""

    host: str
    port: int
    user: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AmiUp:
    """Logged in; the registrations that Asterisk has follow."""


@dataclass(frozen=True, slots=True)
class AmiDown:
    """The link is gone, or could not be made; `reason` is one line for a person."""

    reason: str


@dataclass(frozen=True, slots=True)
class ContactSeen:
    """A desk phone's or trunk's contact; `name` is the phone or trunk as config.yaml names it."""

    name: str
    registered: bool
    round_trip_ms: float | None = None


@dataclass(frozen=True, slots=True)
class TrunkRegistered:
    """Whether a trunk's own registration at the carrier stands; `trunk` may be its URI in an event of Asterisk."""

    trunk: str
    registered: bool
    state: str


AmiFact = AmiUp | AmiDown | ContactSeen | TrunkRegistered
FactSink = Callable[[AmiFact], None]


class AmiError(Exception):
    """An action that Asterisk refused or did not answer in time, or for which there was no link."""


class AmiClient:
    """Keeps one AMI link."""

    def __init__(
        self,
        account: AmiAccount,
        *,
        backoff: Backoff,
        deadline_ms: int = ACTION_DEADLINE_MS,
        ping_every_ms: int = PING_EVERY_MS,
    ) -> None:
        self._account = account
        self._backoff = backoff
        self._deadline_ms = deadline_ms
        self._ping_every_ms = ping_every_ms
        self._link: _Link | None = None

    async def run(self, sink: FactSink) -> None:
        """Log in and stay logged in until cancelled; registrations go to `sink`, which never waits."""
        failures, said = 0, ""
        while True:
            link = _Link(self._account, sink)
            try:
                await self._open(link)
                failures = 0
                self._link = link
                sink(AmiUp())
                await self._tell_registrations(sink)
                await self._watch(link)
                reason = "Asterisk closed the AMI link"
            except (AmiError, OSError) as error:
                reason = f"cannot use AMI at {self._account.host}:{self._account.port}: {error}"
            finally:
                self._link = None
                link.close()
            failures += 1
            level = logging.WARNING if failures == 1 or reason != said else logging.DEBUG
            extra = {"action": "ami_down", "reason": reason, "failures": failures}
            log.log(level, "AMI link down, trying again", extra=extra)
            said = reason
            sink(AmiDown(reason))
            await asyncio.sleep(self._backoff.wait_ms(failures) / 1000)

    async def notify(self, channel: str, event: Literal["talk", "hold"]) -> None:
        """Ask a phone to answer, or to hold, its call on `channel` (Asterisk's channel name). `AmiError`."""
        await self._act({"Action": "PJSIPNotify", "Channel": channel, "Variable": f"Event={event}"})

    async def contacts(self) -> list[ContactSeen]:
        """All contacts that Asterisk knows now. `AmiError`."""
        events = await self._act({"Action": "PJSIPShowContacts"}, empty="No Contacts found")
        return [contact_of(event, "Status") for event in events if event.event == "ContactList"]

    async def trunk_registrations(self) -> list[TrunkRegistered]:
        """All registrations at carriers that Asterisk keeps. `AmiError`."""
        events = await self._act({"Action": "PJSIPShowRegistrationsOutbound"}, empty="No")
        return [
            TrunkRegistered(str(event.objectname), event.status == "Registered", str(event.status))
            for event in events
            if event.event == "OutboundRegistrationDetail"
        ]

    async def _open(self, link: _Link) -> None:
        try:
            async with asyncio.timeout(self._deadline_ms / 1000):
                await link.connect()
                answer = await link.logged_in()
        except TimeoutError:
            raise AmiError("no answer to the log-in") from None
        if not answer.success:
            raise AmiError("Asterisk refused the AMI user name or secret")

    async def _tell_registrations(self, sink: FactSink) -> None:
        for contact in await self.contacts():
            sink(contact)
        for registration in await self.trunk_registrations():
            sink(registration)

    async def _watch(self, link: _Link) -> None:
        while not link.lost.is_set():
            try:
                async with asyncio.timeout(self._ping_every_ms / 1000):
                    await link.lost.wait()
            except TimeoutError:
                await self._act({"Action": "Ping"})

    async def _act(self, action: dict[str, str], *, empty: str | None = None) -> list[Message]:
        """The answer's messages; an error that begins with `empty` means an empty list."""
        link = self._link
        if link is None or link.lost.is_set():
            raise AmiError("no link to AMI")
        try:
            async with asyncio.timeout(self._deadline_ms / 1000):
                answer = await link.send_action(dict(action))
        except TimeoutError:
            raise AmiError(f"no answer to {action['Action']} for {self._deadline_ms} ms") from None
        messages: list[Message] = answer if isinstance(answer, list) else [answer]
        if not messages[0].success:
            reason = str(messages[0].message)
            if empty is not None and reason.startswith(empty):
                return []
            raise AmiError(f"{action['Action']}: {reason}")
        return messages


class _Link(Manager):  # type: ignore[misc]
    """One connection of panoramisk's, without its own reconnect, pings and repetitions."""

    def __init__(self, account: AmiAccount, sink: FactSink) -> None:
        super().__init__(
            loop=asyncio.get_running_loop(),
            host=account.host,
            port=account.port,
            username=account.user,
            secret=account.secret,
            events="system",
            ping_delay=1_000_000_000,  # we ping ourselves, with a deadline
        )
        self.lost = asyncio.Event()
        self._tell = sink
        self.register_event("ContactStatus", self._contact)
        self.register_event("Registry", self._registry)

    async def logged_in(self) -> Message:
        """The answer to the log-in that `connect` sent."""
        answer: Message = await self.authenticated_future
        return answer

    def connection_made(self, connected: asyncio.Task[Any]) -> None:
        """Called by panoramisk when `connect` is done."""
        if not connected.cancelled() and connected.exception() is None:
            super().connection_made(connected)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Called by panoramisk's protocol; whoever waits for an answer gets none."""
        self.lost.set()
        super().close()
        self.awaiting_actions.clear()

    def close(self) -> None:
        """End the connection for good."""
        self.lost.set()
        super().close()
        if self.protocol is not None:
            self.protocol.transport.abort()

    def _contact(self, _: Manager, event: Message) -> None:
        self._tell(contact_of(event, "ContactStatus"))

    def _registry(self, _: Manager, event: Message) -> None:
        self._tell(TrunkRegistered(str(event.username), event.status == "Registered", str(event.status)))


def contact_of(event: Message, status: str) -> ContactSeen:
    """The contact that an event tells of; `status` names the header that holds its state."""
    round_trip_us = str(event["RoundtripUsec"])  # «N/A» before the first answer to OPTIONS
    return ContactSeen(
        name=str(event["EndpointName"] if "EndpointName" in event else event["Endpoint"]),
        registered=event[status] in REGISTERED,
        round_trip_ms=int(round_trip_us) / 1000 if round_trip_us.isdigit() and int(round_trip_us) else None,
    )
