"""The rules of the house hold in the whole repository, and each check catches what it is there for."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests import house

ROOT = Path(__file__).resolve().parents[2]
TEXT_MAX_BYTES = 2_000_000
BINARY = {".png", ".wav", ".xlsx", ".xls", ".ods", ".mo", ".gz", ".woff2", ".ico", ".db", ".sqlite3"}
LEFT_OUT = {".git", ".venv", "node_modules", "var", "__pycache__"}


@cache
def named() -> tuple[Path, ...]:
    """What the repository names, also what is not yet added to git, without what git ignores."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        return tuple(ROOT / name for name in listed.stdout.splitlines())
    # Unpacked from an archive: no git.
    return tuple(file for file in ROOT.rglob("*") if not LEFT_OUT & set(file.relative_to(ROOT).parts))


@cache
def tracked() -> tuple[Path, ...]:
    """The files of the repository."""
    return tuple(file for file in named() if file.is_file())


def python_files(*tops: str) -> Iterator[tuple[str, str, bool]]:
    """(module, source, is it a package's __init__) of every Python file under the given folders."""
    for file in tracked():
        inside = file.relative_to(ROOT)
        if file.suffix == ".py" and inside.parts[0] in tops:
            is_package = file.name == "__init__.py"
            parts = inside.parent.parts if is_package else inside.with_suffix("").parts
            yield ".".join(parts), file.read_text(encoding="utf-8"), is_package


def texts() -> Iterator[tuple[Path, str]]:
    """Every tracked file that is text."""
    for file in tracked():
        if file.suffix not in BINARY and file.stat().st_size < TEXT_MAX_BYTES:
            yield file.relative_to(ROOT), file.read_text(encoding="utf-8", errors="replace")


def test_the_repository_holds_no_link() -> None:
    """A link leads to a place of one machine, and stands where set-up wants to put something."""
    assert [str(file) for file in named() if file.is_symlink()] == []


def report(slips: dict[str, list[str]]) -> str:
    return "\n".join(f"{place}:{slip}" for place, found in slips.items() for slip in found)


def check(rule: Callable[[str], list[str]], *tops: str) -> str:
    return report({module: rule(source) for module, source, _ in python_files(*tops)})


def test_every_module_imports_only_what_its_layer_may() -> None:
    found = {
        module: house.layering(source, module, is_package=is_package)
        for module, source, is_package in python_files("engine", "crm_lite", "dialplan")
        if module not in {"engine", "dialplan"}
    }
    assert not report(found)


def test_the_core_neither_waits_nor_looks_at_a_clock_nor_does_io() -> None:
    slips = {
        module: house.impurity(source)
        for module, source, _ in python_files("engine")
        if house.within(module, "engine.core")
    }
    assert slips
    assert not report(slips)


def test_every_task_has_a_parent_and_a_name() -> None:
    assert not check(house.loose_tasks, "engine", "crm_lite", "dialplan", "bench")


def test_every_queue_has_a_limit_with_a_name() -> None:
    assert not check(house.endless_queues, "engine", "crm_lite", "dialplan")


def test_no_error_is_passed_over_in_silence() -> None:
    assert not check(house.swallowed_errors, "engine", "crm_lite", "dialplan", "bench", "scripts", "tests")


def test_no_sql_is_glued_together() -> None:
    assert not check(house.glued_sql, "engine", "crm_lite", "dialplan", "bench", "scripts")


def test_no_test_sleeps() -> None:
    slips = {
        module: house.sleeps(source)
        for module, source, _ in python_files("tests")
        # In a simulation the clock is virtual; a fake plays a peer that takes its time.
        if not house.within(module, "tests.sim") and not house.within(module, "tests.fakes")
    }
    assert not report(slips)


def test_nothing_tracked_belongs_to_one_machine_or_mirror() -> None:
    mine = Path(__file__).relative_to(ROOT)
    assert not report({str(file): house.foreign_words(text) for file, text in texts() if file != mine})


def test_pages_fetch_nothing_from_elsewhere() -> None:
    pages = {".html", ".css", ".js", ".svg"}
    assert not report({str(file): house.remote_assets(text) for file, text in texts() if file.suffix in pages})


def pins(lock: str) -> dict[str, str]:
    text = (ROOT / "requirements" / lock).read_text(encoding="utf-8")
    return dict(re.findall(r"^([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?==(\S+)", text, re.MULTILINE))


def test_the_test_environment_holds_the_running_one() -> None:
    # `make run` after `make test` installs nothing more.
    assert pins("run.lock").items() <= pins("dev.lock").items()
    assert pins("dev.lock").items() <= pins("bench.lock").items()


@pytest.mark.parametrize("lock", ["run.lock", "dev.lock", "bench.lock", "node.lock"])
def test_every_python_package_is_pinned_by_hash(lock: str) -> None:
    text = (ROOT / "requirements" / lock).read_text(encoding="utf-8")
    assert pins(lock)
    blocks = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)
    assert [block.splitlines()[0] for block in blocks if "==" in block and "--hash=sha256:" not in block] == []


def test_every_front_end_package_is_pinned_by_hash_and_by_no_address() -> None:
    packages = json.loads((ROOT / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    for name, entry in packages.items():
        assert "resolved" not in entry, name
        assert not name or entry["integrity"].startswith("sha512-"), name


# --- the checks themselves --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("engine.core.floor", "import asyncio"),
        ("engine.core.floor", "from time import monotonic"),
        ("engine.core.floor", "import random"),
        ("engine.core.floor", "import logging"),
        ("engine.core.floor", "from ..store import database"),
        ("engine.core.floor", "from engine import clock"),
        ("engine.ari.client", "from engine.store import database"),
        ("engine.store.repo", "from engine import ari"),
        ("engine.driver", "from engine.sim.switch import SimSwitch"),
        ("crm_lite.desk", "from engine.core.floor import Floor"),
        ("crm_lite.desk", "from engine import driver"),
        ("dialplan.agi.hours", "import engine.driver"),
        ("engine.brand_new", "x = 1"),
        ("engine.core.floor", "def f():\n    import socket"),
    ],
)
def test_a_forbidden_import_is_caught(module: str, source: str) -> None:
    assert house.layering(source, module)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        (
            "engine.core.floor",
            "from enum import Enum\nfrom .model import Lead\nfrom engine.core import events",
        ),
        (
            "engine.ari.switch",
            "import aiohttp\nfrom engine.core.events import LegUp\nfrom engine.switch import Switch",
        ),
        ("crm_lite.desk", "from aiohttp import web\nfrom engine.core.model import LeadId\nfrom engine.api import Desk"),
        ("engine.cli", "from engine.sim.switch import SimSwitch\nfrom crm_lite.app import make_app"),
    ],
)
def test_an_allowed_import_is_let_through(module: str, source: str) -> None:
    assert house.layering(source, module) == []


CAUGHT: list[tuple[Callable[[str], list[str]], str]] = [
    (house.impurity, "async def decide(): ..."),
    (house.impurity, "now = datetime.now(UTC)"),
    (house.impurity, "day = date.today()"),
    (house.impurity, "local = datetime.fromtimestamp(seconds)"),
    (house.impurity, "rules = open('rules.yaml').read()"),
    (house.impurity, "print('here')"),
    (house.impurity, "order = sorted(leads, key=lambda lead: hash(lead))"),
    (house.impurity, "def f():\n    global calls\n    calls += 1"),
    (house.loose_tasks, "asyncio.create_task(poll(), name='poll')"),
    (house.loose_tasks, "asyncio.get_running_loop().create_task(poll())"),
    (house.loose_tasks, "asyncio.ensure_future(poll())"),
    (house.loose_tasks, "create_task(poll())"),
    (house.loose_tasks, "self._group.create_task(poll())"),
    (house.endless_queues, "inbox = asyncio.Queue()"),
    (house.endless_queues, "inbox = asyncio.Queue(maxsize=1000)"),
    (house.swallowed_errors, "try:\n    f()\nexcept:\n    raise"),
    (house.swallowed_errors, "try:\n    f()\nexcept Exception:\n    pass  # whatever"),
    (house.swallowed_errors, "try:\n    f()\nexcept KeyError:\n    pass"),
    (house.swallowed_errors, "try:\n    f()\nexcept KeyError:\n    ..."),
    (house.swallowed_errors, "with suppress(Exception):\n    f()"),
    (house.glued_sql, "db.execute(f\"SELECT * FROM leads WHERE campaign='{campaign}'\")"),
    (house.glued_sql, "db.execute('DELETE FROM leads WHERE id=' + lead)"),
    (house.glued_sql, "db.execute('UPDATE leads SET state=%s' % state)"),
    (house.glued_sql, "query = 'INSERT OR IGNORE INTO {} VALUES (1)'.format(table)"),
    (house.sleeps, "time.sleep(1)"),
    (house.sleeps, "async def test_it():\n    await asyncio.sleep(0.1)"),
    (house.foreign_words, "index-url = https://" + "pypi" + ".org/simple"),
    (house.foreign_words, "deb http://deb." + "debian" + ".org/debian sid main"),
    (house.foreign_words, "cd /work/" + "main && make"),
    (house.foreign_words, "home = /root/" + "x"),
    (house.foreign_words, "as issue " + "#12 asks"),
    (house.remote_assets, '<script src="https://example.com/htmx.js"></script>'),
    (house.remote_assets, '<link rel="stylesheet" href="//example.com/a.css">'),
    (house.remote_assets, "@import url(https://example.com/font.css);"),
]


@pytest.mark.parametrize(("rule", "source"), CAUGHT)
def test_a_planted_slip_is_caught(rule: Callable[[str], list[str]], source: str) -> None:
    assert rule(source)


LET_THROUGH: list[tuple[Callable[[str], list[str]], str]] = [
    (house.impurity, "at = datetime.fromtimestamp(now_ms / 1000, tz=zone)"),
    (house.loose_tasks, "self._group.create_task(self._read_events(), name='ari-reader')"),
    (house.endless_queues, "inbox = asyncio.Queue(INBOX_MAX)"),
    (house.swallowed_errors, "try:\n    f()\nexcept ChannelGone:\n    pass  # They hung up first."),
    (house.swallowed_errors, "try:\n    f()\nexcept Exception:\n    log.exception('a handler failed')\n    raise"),
    (house.glued_sql, "db.execute('SELECT * FROM leads WHERE campaign=:campaign', {'campaign': campaign})"),
    (house.glued_sql, "say(f'Select a campaign: {names}')"),
    (house.sleeps, "async def eventually(look):\n    await asyncio.sleep(0.02)"),
    (house.sleeps, "await_nothing = asyncio.sleep(0)"),
    (house.foreign_words, "see https://docs.asterisk.org and $HOME/.cache, ./work/x, network/work/y"),
    (house.remote_assets, '<a href="https://lucide.dev">icons</a> <script src="/static/live.js"></script>'),
]


@pytest.mark.parametrize(("rule", "source"), LET_THROUGH)
def test_honest_code_is_let_through(rule: Callable[[str], list[str]], source: str) -> None:
    assert rule(source) == []
