"""The deliberate bugs of `make mutants` still fit the code, and each names a test that exists."""

from __future__ import annotations

import pytest

from tests.mutants.__main__ import ROOT, mutated
from tests.mutants.bugs import BUGS, Bug


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_bug_fits_and_names_its_test(bug: Bug) -> None:
    assert mutated(bug) != (ROOT / bug.file).read_text(encoding="utf-8")
    file, _, name = bug.caught_by.partition("::")
    assert f"def {name}" in (ROOT / file).read_text(encoding="utf-8")


def test_there_are_enough_of_them() -> None:
    assert len(BUGS) >= 20
