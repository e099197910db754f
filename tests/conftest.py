"""What a test needs of the machine: named when it is missing, and in CI never missing."""

from __future__ import annotations

import os

import pytest

from scripts import bootstrap

#: For a test with Asterisk or Chromium that names no time of its own: the first one starts them as well.
WHOLE_S = 120
IN_CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}


def absent(marker: str) -> str:
    """Why tests with this marker cannot run here; empty when they can."""
    if marker == "integration":
        missing = [step.what for step in (bootstrap.asterisk_step(), bootstrap.phones_step()) if not step.current()]
        return f"needs {', '.join(missing)}: run `make setup`" if missing else ""
    if not bootstrap.browser_ready():
        return f"needs Chromium: apt-get install {' '.join(bootstrap.BROWSER_PACKAGES)} (as root)"
    return ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with the reason, what this machine cannot run; in CI that is an error."""
    reasons = {marker: absent(marker) for marker in ("integration", "browser")}
    for item in items:
        if item.get_closest_marker("timeout") is None and any(map(item.get_closest_marker, reasons)):
            item.add_marker(pytest.mark.timeout(WHOLE_S))
        why = next((why for marker, why in reasons.items() if why and item.get_closest_marker(marker)), "")
        if why and IN_CI:
            raise pytest.UsageError(f"{item.nodeid} {why}")
        if why:
            item.add_marker(pytest.mark.skip(reason=why))
