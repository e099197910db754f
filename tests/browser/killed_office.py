"""An office in a process of its own, for tests that kill it.

`hatch` forks it from a server that has imported everything, so that a hundred of them are a matter of seconds. Each
line that it reads is what happens on the network: `answer`, `hang_up`, `dial`, `remember`. When it serves it says
`ready`, its port and since when; port 0 is any. With `again` it is the next start on the same database, and the calls
that the switch had still go on.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import socket
from multiprocessing.process import BaseProcess
from pathlib import Path

from crm_lite.i18n import load_words
from engine.core.events import LegFound
from engine.core.model import LegId
from tests.fakes.office import CONFIG, FakeSwitch, config, office
from tests.fakes.waiting import poll

load_words()  # before the fork, for all of them


def remember(directory: Path, switch: FakeSwitch) -> None:
    """The switch outlives the engine: its legs are kept where the next start finds them."""
    legs = [
        [leg, found.answered, found.ours_to_command, list(found.bridged_with)] for leg, found in switch.legs.items()
    ]
    (directory / "legs.json").write_text(json.dumps({"legs": legs, "customers": switch.customers}), encoding="utf-8")


def recall(directory: Path) -> FakeSwitch:
    """The switch as the last process left it."""
    known = json.loads((directory / "legs.json").read_text(encoding="utf-8"))
    switch = FakeSwitch(config(CONFIG).config.phones)
    switch.legs = {
        LegId(leg): LegFound(LegId(leg), answered, ours, tuple(LegId(other) for other in others))
        for leg, answered, ours, others in known["legs"]
    }
    switch.customers = [LegId(leg) for leg in known["customers"]]
    return switch


async def serve(directory: Path, port: int, again: bool, people: bool, line: socket.socket) -> None:
    """Serve until killed."""
    reader, writer = await asyncio.open_connection(sock=line)
    switch = recall(directory) if again else None
    async with office(directory, port=port, people=people and not again, switch=switch) as place:
        writer.write(f"ready {place.port} {place.clock.now_ms()}\n".encode())
        while said := (await reader.readline()).decode().strip():
            match said:
                case "dial":
                    await place.dial()
                case "answer":
                    await poll(lambda: place.switch.ringing() > 0)
                    place.switch.answer()
                case "hang_up":
                    place.switch.customers_hang_up()
                case _:
                    remember(directory, place.switch)
            writer.write(b"done\n")


def run(directory: Path, port: int, again: bool, people: bool, line: socket.socket) -> None:
    """The process."""
    asyncio.run(serve(directory, port, again, people, line))


def hatch(directory: Path, port: int, *, again: bool, people: bool) -> tuple[BaseProcess, socket.socket]:
    """A new office, and the line to it."""
    nursery = multiprocessing.get_context("forkserver")
    nursery.set_forkserver_preload([__name__, "pytest"])  # which runs us, and would be imported by every child
    ours, theirs = socket.socketpair()
    with theirs:
        process = nursery.Process(target=run, args=(directory, port, again, people, theirs), daemon=True)
        process.start()
    ours.setblocking(False)
    return process, ours
