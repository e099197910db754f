"""What every command does alike: read config.yaml, open the database, speak, and end with a line and a code."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click
import orjson

if TYPE_CHECKING:
    from engine.config import Loaded
    from engine.core.model import Campaign
    from engine.store.database import AioDatabase

T = TypeVar("T")


class Exit(IntEnum):
    """What the shell is told."""

    OK = 0
    FAILURE = 1
    USAGE = 2  # click's own
    CONFIG_INVALID = 3
    NOT_REACHABLE = 4  # the database, Asterisk, or the engine that should run
    INTERRUPTED = 130


def say(words: str) -> None:
    """Words go to standard error."""
    click.echo(words, err=True)


def fail(words: str, code: Exit = Exit.FAILURE) -> NoReturn:
    """End with one line that says what is wrong."""
    say(f"error: {words}")
    sys.exit(code)


def print_json(value: Any) -> None:
    """Data go to standard output; dataclasses too."""
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def who() -> str:
    """Whom the audit names: the person at this shell."""
    return f"shell:{os.environ.get('USER') or os.getuid()}"


def read_config(path: Path) -> Loaded:
    """The configuration, or its problems and the end."""
    from engine.config import Loaded, load

    result = load(path)
    if not isinstance(result, Loaded):
        for problem in result:
            say(str(problem))
        sys.exit(Exit.CONFIG_INVALID)
    return result


def known_campaign(loaded: Loaded, name: str, hint: str = "--campaign") -> Campaign:
    """The campaign of that key; a usage error that lists the known ones."""
    from engine.core.model import CampaignId

    campaign = loaded.policy.campaigns.get(CampaignId(name))
    if campaign is None:
        known = ", ".join(loaded.policy.campaigns)
        raise click.BadParameter(f"{name} is not in {loaded.path}; known: {known}", param_hint=hint)
    return campaign


def with_database(
    loaded: Loaded,
    work: Callable[[AioDatabase, int], Awaitable[T]],
    *,
    refusals: tuple[type[Exception], ...] = (),
) -> T:
    """Run `work(database, now_ms)`; a database that cannot be used, and any of `refusals`, ends the program."""
    import asyncio

    from engine.clock import WallClock
    from engine.store.database import AioDatabase
    from engine.store.errors import StoreError

    file = loaded.resolve(loaded.config.database)
    file.parent.mkdir(parents=True, exist_ok=True)
    now_ms = WallClock().now_ms()

    async def run() -> T:
        async with AioDatabase.open(file, now_ms=now_ms) as database:
            return await work(database, now_ms)

    try:
        return asyncio.run(run())
    except StoreError as error:
        fail(str(error), Exit.NOT_REACHABLE)
    except refusals as error:
        fail(str(error))


def moment(at_ms: int | None, zone: str) -> str:
    """A time for people, in a zone; `at_ms` in UTC, None for what nothing but a person changes."""
    from zoneinfo import ZoneInfo

    if at_ms is None:
        return "never by itself"
    return f"{datetime.fromtimestamp(at_ms / 1000, ZoneInfo(zone)):%Y-%m-%d %H:%M:%S} {zone}"
