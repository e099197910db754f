"""Notices to spectators: after commit, each with a bounded outbox; who reads too slowly is cut off."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from engine.api import NOTICES_PER_SPECTATOR_MAX, SubscriptionOverflow
from engine.bell import Bell
from engine.core.effects import Notice


class _Outbox:
    """What one spectator has not read yet."""

    def __init__(self) -> None:
        self._waiting: deque[Notice] = deque()
        self._wake = Bell()
        self._overflowed = False

    def put(self, notice: Notice) -> None:
        if len(self._waiting) >= NOTICES_PER_SPECTATOR_MAX:
            self._overflowed = True
        else:
            self._waiting.append(notice)
        self._wake.ring()

    def __aiter__(self) -> AsyncIterator[Notice]:
        return self

    async def __anext__(self) -> Notice:
        while not self._waiting:
            if self._overflowed:
                raise SubscriptionOverflow
            await self._wake.wait()
        return self._waiting.popleft()


class Hub:
    """Spectators of the floor."""

    def __init__(self) -> None:
        self._outboxes: list[_Outbox] = []

    def publish(self, notices: Iterable[Notice]) -> None:
        """Hand notices to every spectator; never waits."""
        for notice in notices:
            for outbox in self._outboxes:
                outbox.put(notice)

    @asynccontextmanager
    async def subscribe(self) -> AsyncIterator[AsyncIterator[Notice]]:
        """Notices from now on; leaving the context unsubscribes."""
        outbox = _Outbox()
        self._outboxes.append(outbox)
        try:
            yield outbox
        finally:
            self._outboxes.remove(outbox)
