"""The engine's clock beside a system clock that is set, forward or back."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from engine.clock import STEP_MIN_MS, WallClock


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """The system's clocks, in seconds."""
    clocks = {"wall": 1_700_000_000.0, "monotonic": 100.0}
    time = SimpleNamespace(time=lambda: clocks["wall"], monotonic=lambda: clocks["monotonic"])
    monkeypatch.setattr("engine.clock.time", time)
    return clocks


def test_a_clock_that_is_set_forward_or_a_machine_that_slept_is_followed(system: dict[str, float]) -> None:
    clock = WallClock()
    system["wall"] += 3_600
    assert clock.now_ms() == 1_700_003_600_000
    system["monotonic"] += 1
    system["wall"] += 1
    assert clock.now_ms() == 1_700_003_601_000
    assert clock.ahead_ms() == 0


def test_a_clock_that_is_set_back_is_not_followed_and_told_of(system: dict[str, float]) -> None:
    clock = WallClock()
    system["wall"] -= 3_600
    assert clock.now_ms() == 1_700_000_000_000
    assert clock.ahead_ms() == 3_600_000
    system["wall"] += 3_600
    assert clock.ahead_ms() == 0


def test_a_clock_that_is_disciplined_moves_nothing(system: dict[str, float]) -> None:
    clock = WallClock()
    for offset_s in (-1.0, 1.0):
        system["wall"] = 1_700_000_000.0 + offset_s
        assert (clock.now_ms(), clock.ahead_ms()) == (1_700_000_000_000, 0)
    assert STEP_MIN_MS > 1_000
