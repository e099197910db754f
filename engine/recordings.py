"""Keeps the folder of recordings within its bounds: what is too old goes, then the oldest until the rest has room."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Final

from engine.clock import Clock

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 60.0
#: A file younger than this may still be written to.
YOUNG_MS: Final = 8 * 3_600_000
#: Files deleted in one look, so that a look stays short; the next one goes on.
DELETED_MAX: Final = 1_000


def prune(folder: Path, *, keep_ms: int, bytes_max: int, now_ms: int) -> list[Path]:
    """Delete what is older than `keep_ms`, then the oldest beyond `bytes_max`; returns what was deleted."""
    files = sorted((stat.st_mtime, stat.st_size, path) for path in folder.glob("*.wav") for stat in (path.stat(),))
    room = bytes_max - sum(size for _, size, _ in files)
    deleted: list[Path] = []
    for changed_s, size, path in files:
        age_ms = now_ms - int(changed_s * 1000)
        if len(deleted) == DELETED_MAX or (age_ms <= keep_ms and (room >= 0 or age_ms < YOUNG_MS)):
            break
        path.unlink(missing_ok=True)
        room += size
        deleted.append(path)
    return deleted


async def keep_house(folder: Path, *, keep_ms: int, bytes_max: int, clock: Clock) -> None:
    """Prune every minute until cancelled."""
    while True:
        try:
            deleted = await asyncio.to_thread(
                prune, folder, keep_ms=keep_ms, bytes_max=bytes_max, now_ms=clock.now_ms()
            )
        except OSError as error:
            log.warning("recordings cannot be pruned", extra={"action": "recordings", "reason": str(error)})
        else:
            if deleted:
                log.info("recordings deleted", extra={"action": "recordings", "files": len(deleted)})
        await asyncio.sleep(LOOK_EVERY_S)
