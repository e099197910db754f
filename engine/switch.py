"""The switch as the engine sees it: Asterisk over ARI, or its simulator. Orders out, facts in, nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from engine.core.effects import SwitchOrder
from engine.core.events import SwitchEvent

#: Takes a fact from the switch; never waits. False: the inbox is full, the link must be dropped and resynced.
Sink = Callable[[SwitchEvent], bool]


class Switch(Protocol):
    """Sends orders and yields events. Orders of one leg are carried out in the order given."""

    async def run(self, sink: Sink) -> None:
        """Connect, and stay connected until cancelled: every fact goes to `sink`. A lost link is a fact, not an error.

        After each (re)connect: subscriptions first, then one `SwitchUp` with every leg of ours.
        """

    def send(self, order: SwitchOrder) -> None:
        """Take an order; never waits, never raises for what the switch answers. An originate is sent at most once."""
