"""A few of `make chaos`' faults, short enough for every run: the rest takes a quarter of an hour."""

from __future__ import annotations

import random

import pytest

from bench.chaos.faults import FAULTS
from tests.integration.switches import free_ports

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@pytest.mark.parametrize("fault", ["readopt_200", "crash_answered"])
async def test_what_is_promised_holds_while_things_break(fault: str) -> None:
    port = free_ports(12)[0]
    found = await FAULTS[fault](random.Random(fault), port)
    assert not found.violations
    assert found.cut == 0
