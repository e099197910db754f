"""The processes: the engine, the demo, the callers' program beside it; how one asks them to end."""

from __future__ import annotations

import fcntl
import os
import random
import signal
from collections.abc import Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from engine.cli.common import Exit, fail, read_config


@click.command()
@click.pass_obj
def run(path: Path) -> None:
    """Run the call center by config.yaml until a signal: the first SIGTERM or Ctrl+C drains, the second ends now."""
    from engine.app import run as run_engine

    serve(run_engine(read_config(path)))


@click.command()
@click.pass_obj
def demo(path: Path) -> None:
    """Show the main job by itself: a demo carrier, robot operators, 200 leads, a free seat for you."""
    from engine.demo import SENTENCES, show

    serve(show(read_config(path)), sentences=SENTENCES)


@click.command()
@click.pass_obj
def agi(path: Path) -> None:
    """Serve callers while no engine is there: a process of its own, listening at `asterisk.agi`."""
    from dialplan.agi.__main__ import run

    loaded = read_config(path)
    address = loaded.config.asterisk.agi
    if address is None:
        raise click.ClickException(f"{loaded.path}: asterisk.agi names no address, such as 127.0.0.1:4573")
    run(loaded.resolve(loaded.config.database), path, address.host, address.port)


@click.command()
@click.argument("caller", required=False)
@click.option("--to", "dialed", help="Our number that is dialed; without it, the first one of `inbound`.")
@click.pass_obj
def demo_call(path: Path, caller: str | None, dialed: str | None) -> None:
    """Let somebody of the demo's public network call you: CALLER is their number, a stranger's if not given."""
    import asyncio

    from engine.demo import CannotCall, call_in

    loaded = read_config(path)
    ours = [number for queue in loaded.policy.queues.values() for number in queue.numbers]
    if dialed is None and not ours:
        raise click.ClickException(f"{loaded.path}: `inbound` has no queue: nobody could take the call")
    number = caller or f"+7000777{random.randrange(10_000):04}"  # noqa: S311 - a number, no secret
    try:
        asyncio.run(call_in(loaded, number, dialed or ours[0]))
    except CannotCall as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{number} calls {dialed or ours[0]}")


def serve(work: Coroutine[Any, Any, None], *, sentences: Mapping[str, str] | None = None) -> None:
    """Run the engine to its end; what keeps it from starting is one line and an exit code. `sentences`: see `logs`."""
    import uvloop

    from engine import logs
    from engine.app import CannotStart
    from engine.store.errors import StoreError

    logs.set_up(sentences=sentences)
    reasons: list[str] = []
    try:
        uvloop.run(work)
    except* (CannotStart, StoreError) as stopped:
        reasons = [str(error) for error in _single(stopped)]
    if reasons:
        fail("; ".join(reasons), Exit.NOT_REACHABLE)


def _single(group: BaseExceptionGroup[Exception]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _single(error)
        else:
            yield error


@click.command()
@click.pass_obj
def drain(path: Path) -> None:
    """Ask the running engine to dial no more and to end when its calls have ended."""
    loaded = read_config(path)
    file = loaded.resolve(loaded.config.database)
    lock = file.with_name(file.name + ".lock")
    process = _holder(lock)
    if process is None:
        fail(f"no engine runs on {file}", Exit.NOT_REACHABLE)
    try:
        os.kill(process, signal.SIGTERM)
    except PermissionError:
        fail(f"the engine (process {process}) is another user's")
    click.echo(f"process {process}: asked to drain; again ends it at once")


def _holder(lock: Path) -> int | None:
    """The process that holds the engine's lock on the database, if one does."""
    try:
        with lock.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read(32))
    except (OSError, ValueError):
        return None
    return None
