"""A configuration that changes while we run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import watchfiles

from engine.config.loading import ConfigProblem, Loaded, load
from engine.config.schema import RESTART, Config

#: The file is also looked at this often: not every file system tells of changes.
LOOK_EVERY_MS: Final = 5_000


@dataclass(frozen=True, slots=True)
class Change:
    """One value that differs between two configurations, in the words of the file; None: not there."""

    path: str
    before: str | None
    after: str | None
    restart_required: bool

    def __str__(self) -> str:
        words = f"{self.path}: {self.before or 'none'} → {self.after or 'none'}"
        return words + (" (takes effect at the next start)" if self.restart_required else "")


def changes(before: Config, after: Config) -> list[Change]:
    """What differs between two configurations, in the order of the keys. Secrets are not compared."""
    old, new = (dict(_leaves(config.model_dump(mode="json", by_alias=True), "")) for config in (before, after))
    restart = {name for name, field in Config.model_fields.items() if field.json_schema_extra == RESTART}
    return [
        Change(path, old.get(path), new.get(path), path.partition(".")[0] in restart)
        for path in dict.fromkeys((*old, *new))
        if old.get(path) != new.get(path)
    ]


def _leaves(value: Any, path: str) -> Iterator[tuple[str, str]]:
    match value:
        case dict():
            for key, part in value.items():
                yield from _leaves(part, f"{path}.{key}" if path else key)
        case list():
            yield path, ", ".join(str(item) for item in value)
        case None:
            pass
        case _:
            yield path, str(value)


class ConfigWatch:
    """The file, read again whenever it changes or `wake` is called (SIGHUP)."""

    def __init__(self, path: Path, *, look_every_ms: int = LOOK_EVERY_MS) -> None:
        self._path = path.absolute()
        self._look_every_ms = look_every_ms
        self._wake = asyncio.Event()
        self._seen = self._stamp()

    def wake(self) -> None:
        """Read the file again now."""
        self._wake.set()

    async def reloads(self) -> AsyncGenerator[Loaded | list[ConfigProblem], None]:
        """What the file says after each change; when it is problems, the caller keeps the configuration it has."""
        while True:
            # The directory is watched, since editors save by putting a new file in the old one's place.
            watcher = watchfiles.awatch(
                self._path.parent,
                watch_filter=lambda _, name: Path(name) == self._path,
                recursive=False,
                stop_event=self._wake,
                rust_timeout=self._look_every_ms,
                yield_on_timeout=True,
            )
            async with aclosing(watcher):
                async for _ in watcher:
                    if (stamp := self._stamp()) != self._seen:
                        self._seen = stamp
                        yield await asyncio.to_thread(load, self._path)
            self._wake.clear()
            self._seen = self._stamp()
            yield await asyncio.to_thread(load, self._path)

    def _stamp(self) -> tuple[int, int, int]:
        try:
            stat = self._path.stat()
        except OSError:
            return (0, 0, 0)
        return (stat.st_ino, stat.st_size, stat.st_mtime_ns)
