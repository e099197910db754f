"""A log line is one JSON object for machines and one readable line for people."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from engine import logs
from engine.app import DRAINING
from engine.demo import SENTENCES
from engine.driver import DRAIN_LIMIT_REACHED


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def root() -> Iterator[None]:
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


@pytest.mark.usefixtures("root")
def test_a_machine_reads_json_with_what_the_event_carries() -> None:
    out = io.StringIO()
    logs.set_up(out)
    logging.getLogger("engine.app").info("config changed", extra={"action": "config_changed", "change": "a: 1 → 2"})
    line = json.loads(out.getvalue())
    assert (line["event"], line["level"], line["action"]) == ("config changed", "info", "config_changed")
    assert line["change"] == "a: 1 → 2"
    assert line["at"].endswith("+00:00")


@pytest.mark.usefixtures("root")
def test_who_tries_the_demo_reads_only_what_went_wrong() -> None:
    out = io.StringIO()
    logs.set_up(out, sentences=SENTENCES)
    logging.getLogger("engine.ari").info("ARI link up")
    logging.getLogger("engine.ari").warning("ARI link down", extra={"action": "ari_down"})
    assert out.getvalue().endswith(" warning: ARI link down  (action=ari_down)\n"), "never JSON among sentences"
    assert out.getvalue().count("\n") == 1


@pytest.mark.usefixtures("root")
def test_who_ends_the_demo_reads_sentences() -> None:
    out = io.StringIO()
    logs.set_up(out, sentences=SENTENCES)
    logging.getLogger("engine.app").info(DRAINING, extra={"action": "drain", "limit_ms": 5_000})
    logging.getLogger("engine.driver").warning(DRAIN_LIMIT_REACHED, extra={"action": "drain", "calls": 2})
    assert out.getvalue().splitlines() == [
        "",
        "Ending: no more calls are placed, calls in progress may end. Ctrl+C again ends at once.",
        "Not all was over within drain_limit. Calls cut off: 2.",
    ]


@pytest.mark.usefixtures("root")
def test_a_person_reads_one_line() -> None:
    out = Terminal()
    logs.set_up(out)
    logging.getLogger("engine.app").warning("no Asterisk", extra={"action": "asterisk_failed"})
    assert out.getvalue().endswith(" warning: no Asterisk  (action=asterisk_failed)\n")
    assert out.getvalue().count("\n") == 1
