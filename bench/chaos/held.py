"""What every fault is held against, and how the stage is looked at meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from bench.chaos.finding import Finding
from bench.chaos.proxy import BadLine, bad_line
from bench.chaos.stage import Stage, View, stage

#: Endings of numbers, docs/number-plan.md: answers at once (20 s of talk), rings 2 s (15 s), short talk (4 s), …
MIXED: Final = ("20", "04", "22", "20", "02", "20", "08", "20", "04", "31", "20", "01")
TALKING_SOON_S: Final = 40.0


@dataclass(slots=True)
class Dials:
    """Dials that the carrier saw, counted over a span."""

    stage: Stage
    before: int = field(init=False)

    def __post_init__(self) -> None:
        self.before = len(self.stage.carried())

    def since(self) -> int:
        """How many since this was made."""
        return len(self.stage.carried()) - self.before


def dials(view: View) -> bool:
    """Calls are placed, or would be if somebody were free."""
    return view.why in {"", "agents_busy", "lines", "no_leads", "no_agents"}


async def settled(on: Stage, found: Finding, *, journal: bool = True) -> Finding:
    """End the engine, and let the verifier and the records of carrier and Asterisk speak."""
    code = await on.end(within_s=90)
    if code:
        found.violations.append(f"the engine ended with exit code {code}: {on.log.read_text('utf-8')[-1000:]}")
    found.violations += await on.violations(at_rest=True, journal=journal)
    found.cut += on.cut()
    found.measured["calls"] = len(on.carried())
    return found


async def talking(on: Stage, count: int) -> None:
    """Until so many conversations go on."""
    await on.until(lambda view: view.talking >= count, f"{count} conversations", TALKING_SOON_S)


def within(found: Finding, **limits_ms: int) -> None:
    """Each of these figures is at most so much."""
    for name, limit_ms in limits_ms.items():
        if found.measured[name] > limit_ms:
            found.violations.append(f"{name} is {found.measured[name]}, at most {limit_ms} was promised")


@asynccontextmanager
async def behind_a_bad_line(port: int, **wishes: int) -> AsyncIterator[tuple[Stage, BadLine, str]]:
    """A stage whose engine reaches ARI through a proxy; the last value is for `Stage.start(via=…)`."""
    async with (
        stage(port, **wishes) as on,
        bad_line(on.asterisk.instance.ari_url.removesuffix("/ari"), port + 9) as line,
    ):
        yield on, line, f"127.0.0.1:{port + 9}"
