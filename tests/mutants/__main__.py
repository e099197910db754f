"""`python -m tests.mutants`: put each deliberate bug into a copy of the tree and see whether its test notices."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Final

from tests.mutants.bugs import BUGS, Bug

ROOT: Final = Path(__file__).resolve().parents[2]
COPIED: Final = ("asterisk", "crm_lite", "dialplan", "docs", "engine", "scripts", "tests", "web", "pyproject.toml")
TEST_MAX_S: Final = 180
#: Of one test: on a busy machine a slow one is no caught bug.
ONE_TEST_MAX_S: Final = 60
JOBS: Final = 2


class Unsound(Exception):
    """A test that is to notice a bug fails without one."""


class Stale(Exception):
    """The line that a bug changes is not (or not only once) in its file."""


def main() -> int:
    """0 when every bug is caught."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", default="", help="bugs whose name has this in it")
    asked = parser.parse_args()
    bugs = [bug for bug in BUGS if asked.only in bug.name]
    for bug in bugs:
        mutated(bug)  # all of them fit before the first is tried
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        trees: SimpleQueue[Path] = SimpleQueue()
        for n in range(JOBS):
            trees.put(_copy(Path(folder) / str(n)))
        _prove_sound(bugs, Path(folder) / "0")

        def tried(bug: Bug) -> bool:
            tree = trees.get()
            try:
                return _caught(bug, tree)
            finally:
                trees.put(tree)

        with ThreadPoolExecutor(JOBS) as pool:
            verdicts = list(pool.map(tried, bugs))
    survived = [bug.name for bug, caught in zip(bugs, verdicts, strict=True) if not caught]
    result = {"mutants": len(bugs), "survived": len(survived), "seconds": round(time.monotonic() - began_s, 1)}
    for name in survived:
        print(f"SURVIVED  {name}")
    print("RESULT " + json.dumps(result))
    return 1 if survived else 0


def mutated(bug: Bug, root: Path = ROOT) -> str:
    """The file's text with the bug in it. Raises Stale."""
    text = (root / bug.file).read_text(encoding="utf-8")
    if text.count(bug.old) != 1:
        raise Stale(f"«{bug.name}»: its line is {text.count(bug.old)} times in {bug.file}")
    return text.replace(bug.old, bug.new)


def _copy(tree: Path) -> Path:
    tree.mkdir(parents=True)
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
        else:
            shutil.copy(ROOT / name, tree / name)
    return tree


def _prove_sound(bugs: Sequence[Bug], tree: Path) -> None:
    """All tests pass while there is no bug: else they would catch anything."""
    tests = sorted({test for bug in bugs for test in bug.caught_by.split()})
    done = subprocess.run(_pytest(*tests), cwd=tree, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unsound(f"the tests fail without a bug:\n{done.stdout[-3_000:]}{done.stderr[-1_000:]}")


def _pytest(*tests: str) -> list[str]:
    return [
        sys.executable,
        "-B",
        "-m",
        "pytest",
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        f"--timeout={ONE_TEST_MAX_S}",
        *tests,
    ]


def _caught(bug: Bug, tree: Path) -> bool:
    with _in_place(bug, tree):
        command = _pytest(*bug.caught_by.split())
        try:
            done = subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=TEST_MAX_S, check=False)
        except subprocess.TimeoutExpired:
            print(f"caught    {bug.name}: {bug.caught_by} (hangs)")
            return True
    caught = done.returncode == 1
    if done.returncode not in {0, 1}:
        print(done.stdout[-2_000:], done.stderr[-2_000:])
    if caught:
        failed = next((line for line in done.stdout.splitlines() if line.startswith("FAILED")), bug.caught_by)
        print(f"caught    {bug.name}: {failed.removeprefix('FAILED ').split(' - ')[0]}")
    return caught


@contextmanager
def _in_place(bug: Bug, tree: Path) -> Iterator[None]:
    path = tree / bug.file
    sound = path.read_text(encoding="utf-8")
    path.write_text(mutated(bug, tree), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(sound, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
