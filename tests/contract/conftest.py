"""Both executors of the store, held to the same tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.store.database import AioDatabase, Database, InlineDatabase


@pytest.fixture(params=["aiosqlite", "inline"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """An empty database of this program's schema."""
    path = tmp_path / "zvonar.db"
    if request.param == "inline":
        with InlineDatabase.open(path, now_ms=0, durable=False) as inline:
            yield inline
    else:
        async with AioDatabase.open(path, now_ms=0) as threaded:
            yield threaded
