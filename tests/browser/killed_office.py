"""An office in a process of its own, for tests that kill it: `python -m tests.browser.killed_office DIRECTORY PORT`.

With a third argument `again` it is the next start on the same database, and the calls that the switch had still go on.
Each line on stdin is what happens on the network: `answer`, `hang_up`, `dial`. Says `ready` with its port
when it serves; port 0 is any.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from engine.core.events import LegFound
from engine.core.model import LegId
from tests.fakes.office import CONFIG, FakeSwitch, config, office
from tests.fakes.waiting import poll


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


async def main(directory: Path, port: int, *, again: bool) -> None:
    """Serve until killed."""
    async with office(directory, port=port, people=not again, switch=recall(directory) if again else None) as place:
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        sys.stdout.write(f"ready {place.port}\n")
        sys.stdout.flush()
        while line := (await reader.readline()).decode().strip():
            match line:
                case "dial":
                    await place.dial()
                case "answer":
                    await poll(lambda: place.switch.ringing() > 0)
                    place.switch.answer()
                case "hang_up":
                    place.switch.customers_hang_up()
                case _:
                    remember(directory, place.switch)
            sys.stdout.write("done\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), again="again" in sys.argv))
