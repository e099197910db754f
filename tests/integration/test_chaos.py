"""A few of `make chaos`' faults, short enough for every run: the rest takes a quarter of an hour."""

from __future__ import annotations

import random
from functools import partial

import pytest

from bench.chaos.faults import FAULTS, Fault, asterisk_killed, drained
from tests.integration.switches import free_ports

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(FAULTS["readopt_200"], id="200 conversations taken over"),
        pytest.param(FAULTS["crash_answered"], id="killed at an answer"),
        pytest.param(partial(asterisk_killed, 4), id="Asterisk killed"),
        pytest.param(partial(drained, 2, ("04",)), id="zvonar drain"),
    ],
)
async def test_what_is_promised_holds_while_things_break(fault: Fault) -> None:
    port = free_ports(12)[0]
    found = await fault(random.Random(1), port)
    assert not found.violations
    assert found.cut == 0
