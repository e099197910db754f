"""Set-up: what is made, what is left alone, and what a person is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import bootstrap
from scripts.bootstrap import Step
from scripts.commands import CannotHereError, Log, SetupError
from scripts.debian import Apt


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "WORK", tmp_path)
    monkeypatch.delenv("CI", raising=False)


def step(name: str, made: list[str], *, current: bool = False, needs: tuple[str, ...] = (), fault: str = "") -> Step:
    def make(_log: Log) -> None:
        if fault:
            raise SetupError(fault)
        made.append(name)

    return Step(name, f"the {name}", lambda: current, make, needs=needs, optional=name == "browser")


def arrange(monkeypatch: pytest.MonkeyPatch, *steps: Step) -> None:
    monkeypatch.setattr(bootstrap, "steps_for", lambda _target: list(steps))


def test_what_stands_is_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    arrange(monkeypatch, step("python", made, current=True), step("web", made))
    assert bootstrap.main("test") == 0
    assert made == ["web"]


def test_a_step_waits_for_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    arrange(monkeypatch, step("python", made), step("web", made, needs=("python",)))
    assert bootstrap.main("test") == 0
    assert made == ["python", "web"]


def test_a_failure_stops_only_what_needs_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[str] = []
    broken = step("python", made, fault="no network")
    arrange(monkeypatch, broken, step("web", made, needs=("python",)), step("asterisk", made))
    assert bootstrap.main("test") == 1
    assert made == ["asterisk"]
    shown = capsys.readouterr().out
    assert "python: NOT DONE. no network" in shown
    assert "stopped: python" in shown


def test_without_a_browser_the_rest_goes_on_but_not_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    arrange(monkeypatch, step("browser", made, fault="needs root"), step("web", made))
    assert bootstrap.main("test") == 0
    monkeypatch.setenv("CI", "true")
    assert bootstrap.main("test") == 1


def test_who_is_not_root_is_told_what_to_ask_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("shutil.which", lambda _program: "/usr/bin/apt-get")
    with pytest.raises(CannotHereError, match="ask an administrator for: apt-get install chromium"):
        Apt().install(["chromium"], Log(tmp_path / "log"), "Chromium")


def test_a_failed_command_shows_the_end_of_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.commands.ROOT", tmp_path)
    log = Log(tmp_path / "log")
    with pytest.raises(SetupError, match=r"(?s)ended with 3.*the disk is full.*all of it: log"):
        log.run("sh", "-c", "echo the disk is full; exit 3", cwd=tmp_path)


def test_a_changed_file_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    lock = tmp_path / "run.lock"
    absent = bootstrap.digest([lock])
    lock.write_text("aiohttp==3", encoding="utf-8")
    first = bootstrap.digest([lock])
    lock.write_text("aiohttp==4", encoding="utf-8")
    assert len({absent, first, bootstrap.digest([lock])}) == 3


def test_a_broken_stamp_means_make_it_anew(tmp_path: Path) -> None:
    stamp = tmp_path / "stamp"
    stamp.write_text("{half a", encoding="utf-8")
    assert bootstrap.stamped(stamp) == {}
