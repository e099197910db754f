"""What a fault showed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True, kw_only=True)
class Finding:
    """One fault: what was expected, what was measured, which promises were broken, how many conversations were cut."""

    fault: str
    expected: str
    measured: dict[str, Any] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    cut: int = 0
    took_s: int = 0
