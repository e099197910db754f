"""The bell: rung before or after somebody listens, it is heard once."""

from __future__ import annotations

import asyncio

from engine.bell import Bell
from engine.sim.virtual import run


async def _heard(bell: Bell) -> bool:
    """Whether a listener who comes now need not wait."""
    try:
        async with asyncio.timeout(1):
            await bell.wait()
    except TimeoutError:
        return False
    return True


def test_rung_while_nobody_listens_it_is_heard_once() -> None:
    async def story() -> tuple[bool, bool]:
        bell = Bell()
        bell.ring()
        bell.ring()
        return await _heard(bell), await _heard(bell)

    assert run(story()) == (True, False)


def test_who_listens_is_woken() -> None:
    async def story() -> float:
        bell, loop = Bell(), asyncio.get_running_loop()
        loop.call_later(5, bell.ring)
        loop.call_later(5, bell.ring)
        await bell.wait()
        return loop.time()

    assert run(story()) == 5


def test_rung_for_a_listener_who_has_gone_it_is_heard_by_the_next() -> None:
    async def story() -> tuple[bool, bool]:
        bell = Bell()
        gone = await _heard(bell)
        bell.ring()
        return gone, await _heard(bell)

    assert run(story()) == (False, True)
