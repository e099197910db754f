"""The store of a history: the real one, on a disk that is slow or does not write now and then."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from engine.core import effects, events
from engine.core.model import CampaignId, Lead, LeadId, PhoneNumber
from engine.sim.plan import Plan
from engine.store.database import InlineDatabase
from engine.store.errors import StoreIoError
from engine.store.store import LineUp, Store

#: A write may hang for so long: somebody else has locked the file, or the disk is gone for a while.
HUNG_MAX_S: Final = 60.0


class FaultyStore:
    """What the engine of the moment saves to; outlives it, as a disk does."""

    def __init__(
        self,
        database: InlineDatabase,
        plan: Plan,
        *,
        chance: random.Random,
        others: sqlite3.Connection,
        saved: Callable[[Sequence[effects.Write]], None],
    ) -> None:
        """`others`: through which everybody else writes. `saved` is told of each transaction that is on disk."""
        self.writes = 0  # transactions, with those that failed
        self._database = database
        self._store = Store(database)
        self._chance = chance
        self._others = others
        self._saved = saved
        self._failed_write = plan.failed_write
        self._failed_share = plan.failed_write_share
        self._hung_share = plan.hung_write_share
        self._slow_ms = plan.slow_disk_ms
        self._kills = plan.kill_every_ms > 0
        self._own_rows = 0  # of the engine: its commits revise nothing
        self._revised_at: tuple[int, int] | None = None
        self._revisions: Mapping[str, int] = {}

    def heal(self) -> None:
        """From now on it writes, and at once."""
        self._slow_ms, self._failed_share, self._hung_share = 0, 0.0, 0.0

    async def commit(self, writes: Sequence[effects.Write]) -> None:
        """As the store, after a while, or not."""
        await self._turn()
        self.writes += 1
        if self._chance.random() < self._hung_share:
            await asyncio.sleep(self._chance.uniform(1, HUNG_MAX_S))
        if self.writes == self._failed_write or self._chance.random() < self._failed_share:
            raise StoreIoError("simulated: the disk did not write")
        rows = self._database.rows_written
        await self._store.commit(writes)
        self._own_rows += self._database.rows_written - rows
        self._saved(writes)
        await self._turn()  # the answer takes its time too: killed here, it is on disk and nobody knows

    async def try_write(self) -> None:
        """As the store, which nobody else locks."""
        await self._turn()

    async def due_leads(
        self, campaign: CampaignId, now_ms: int, limit: int, but: frozenset[LeadId], history_ms: int, line: LineUp
    ) -> events.LeadsFetched:
        """As the store, after a while."""
        await self._turn()
        fetched = await self._store.due_leads(campaign, now_ms, limit, but, history_ms, line)
        await self._turn()
        return fetched

    async def promised_leads(
        self, campaign: CampaignId, now_ms: int, limit: int, but: frozenset[LeadId], history_ms: int
    ) -> events.LeadsFetched:
        """As the store, after a while."""
        await self._turn()
        fetched = await self._store.promised_leads(campaign, now_ms, limit, but, history_ms)
        await self._turn()
        return fetched

    async def leads(self, ids: Iterable[LeadId], since_ms: int | None = None) -> Mapping[LeadId, Lead]:
        """As the store, after a while."""
        await self._turn()
        found = await self._store.leads(ids, since_ms)
        await self._turn()
        return found

    async def revisions(self) -> Mapping[str, int]:
        """As the store; read anew only after somebody else has written, for it is asked thousands of times."""
        written = self._database.rows_written - self._own_rows, self._others.total_changes
        if written != self._revised_at:
            self._revised_at, self._revisions = written, await self._store.revisions()
        return self._revisions

    async def number_blocked(self, number: PhoneNumber, campaign: CampaignId) -> bool:
        """As the store, after a while."""
        await self._turn()
        return await self._store.number_blocked(number, campaign)

    async def blocked(self, leads: Iterable[LeadId]) -> tuple[tuple[LeadId, PhoneNumber], ...]:
        """As the store, after a while."""
        await self._turn()
        return await self._store.blocked(leads)

    async def restore(self) -> events.Restored:
        """As the store, after a while."""
        await self._turn()
        return await self._store.restore()

    async def next_epoch(self, now_ms: int) -> int:
        """As the store; its answer may be waited for in vain."""
        epoch = await self._store.next_epoch(now_ms)
        await self._turn()
        return epoch

    async def callers(self, number: PhoneNumber, campaign: CampaignId) -> tuple[Lead, ...]:
        """As the store, after a while."""
        await self._turn()
        found = await self._store.callers(number, campaign)
        await self._turn()
        return found

    async def _turn(self) -> None:
        if self._slow_ms or self._kills:  # nobody waits for no time unless to die meanwhile
            await asyncio.sleep(self._chance.expovariate(1 / self._slow_ms) / 1000 if self._slow_ms else 0)
