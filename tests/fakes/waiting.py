"""Waiting for something to become true, with a deadline: tests do not sleep for a guess."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

POLL_EVERY_S: Final = 0.01


async def poll(is_true: Callable[[], bool], within_s: float = 15.0) -> None:
    """Return when it is true; AssertionError when it is not in time."""
    async with asyncio.timeout(within_s):
        while not is_true():  # noqa: ASYNC110 - what is waited for knows of no event
            await asyncio.sleep(POLL_EVERY_S)


async def poll_text(load: Callable[[], Awaitable[str]], sign: str, within_s: float = 30.0) -> str:
    """The text when it says so; TimeoutError when it does not in time."""
    async with asyncio.timeout(within_s):
        while sign not in (text := await load()):  # noqa: ASYNC110 - a page knows of no event
            await asyncio.sleep(POLL_EVERY_S)
    return text
