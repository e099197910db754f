"""The virtual loop: time jumps, order holds, and a stop without an end is an error."""

from __future__ import annotations

import asyncio
import time

import pytest

from engine.sim.virtual import NothingLeftToHappen, VirtualClock, run


def test_hours_pass_in_no_time() -> None:
    async def sleep_long() -> float:
        await asyncio.sleep(8 * 3600)
        return asyncio.get_running_loop().time()

    began_s = time.monotonic()
    assert run(sleep_long()) == pytest.approx(8 * 3600)
    assert time.monotonic() - began_s < 5


def test_equal_times_fire_in_the_order_they_were_set() -> None:
    async def order() -> list[int]:
        fired: list[int] = []
        loop = asyncio.get_running_loop()
        for n in range(100):
            loop.call_at(1.0, fired.append, n)
        await asyncio.sleep(2)
        return fired

    assert run(order()) == list(range(100))


def test_everybody_waiting_for_nothing_is_an_error() -> None:
    async def wait_for_nobody() -> None:
        await asyncio.Event().wait()

    with pytest.raises(NothingLeftToHappen, match="no timer is armed"):
        run(wait_for_nobody())


def test_what_a_callback_raises_is_not_lost() -> None:
    async def careless() -> None:
        asyncio.get_running_loop().call_later(1, int, "not a number")
        await asyncio.sleep(2)

    with pytest.raises(ExceptionGroup) as raised:
        run(careless())
    assert raised.group_contains(ValueError, match="not a number")


def test_deadlines_and_cancellation_work_as_ever() -> None:
    async def deadline() -> int:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await asyncio.Event().wait()
        return VirtualClock(asyncio.get_running_loop(), 1_000).now_ms()

    assert run(deadline()) == 61_000
