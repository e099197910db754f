"""The shell commands: exit codes, data on standard output, words on standard error, never a traceback."""

import fcntl
import json
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine import __version__, cli
from engine.api import DetectionView
from engine.cli import zvonar
from engine.cli.common import Exit
from engine.cli.looking import amd_line, pacing_line
from engine.config import describe
from scripts.make_ugly_leads import TABLE, text
from tests.unit.test_config import SMALL


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "config.yaml").write_text(SMALL, encoding="utf-8")
    (tmp_path / "leads.csv").write_bytes(text((*TABLE, ("Абонент 004", "12", ""))))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments: str, typed: str = "") -> Result:
    return CliRunner().invoke(zvonar, arguments, input=typed)


def test_the_version_is_told_where_nothing_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("--version").stdout == f"zvonar, version {__version__}\n"


def test_a_good_configuration_is_ok(here: Path) -> None:
    result = call("check-config")
    assert (result.exit_code, result.stdout) == (Exit.OK, "ok\n")


def test_a_bad_configuration_is_told_line_by_line_and_ends_with_3(here: Path) -> None:
    (here / "config.yaml").write_text(SMALL.replace("max: 3", "maxx: 3"), encoding="utf-8")
    result = call("check-config")
    assert (result.exit_code, result.stdout) == (Exit.CONFIG_INVALID, "")
    assert "config.yaml:23:7: campaigns.spring.attempts.maxx: unknown key; did you mean max?" in result.stderr
    told = json.loads(call("check-config", "--json").stdout)
    assert told["ok"] is False
    assert (told["problems"][1]["line"], told["problems"][1]["path"]) == (23, "campaigns.spring.attempts.maxx")


def test_every_command_refuses_a_bad_configuration(here: Path) -> None:
    (here / "config.yaml").write_text("campaigns: 5", encoding="utf-8")
    for command in (["import", "leads.csv", "--campaign", "spring"], ["migrate"], ["drain"]):
        assert call(*command).exit_code == Exit.CONFIG_INVALID


def test_the_schema_and_the_reference_are_printed(here: Path) -> None:
    assert call("config", "schema").stdout == describe.json_schema()
    assert call("config", "docs").stdout == describe.markdown()


def test_a_dry_run_reads_and_leaves_no_database(here: Path) -> None:
    result = call("import", "leads.csv", "--campaign", "spring", "--dry-run")
    assert (result.exit_code, result.stdout) == (Exit.OK, "would be: 4 rows: 3 leads, 0 duplicates, 1 bad\n")
    assert "leads.csv:5: Телефон: the phone number is too short: '12'" in result.stderr
    assert not (here / "var").exists()


def test_an_import_adds_leads_once(here: Path) -> None:
    first = call("import", "leads.csv", "--campaign", "spring", "--rejects", "bad.csv")
    again = json.loads(call("import", "leads.csv", "--campaign", "spring", "--json").stdout)
    assert first.stdout == "4 rows: 3 leads, 0 duplicates, 1 bad\n"
    assert (again["leads"], again["duplicates"], again["rejected"]) == (0, 3, 1)
    assert "Абонент 004;12" in (here / "bad.csv").read_text(encoding="utf-8-sig")


def test_a_dry_run_compares_with_the_leads_that_are_there(here: Path) -> None:
    call("import", "leads.csv", "--campaign", "spring")
    result = call("import", "leads.csv", "--campaign", "spring", "--dry-run")
    assert result.stdout == "would be: 4 rows: 0 leads, 3 duplicates, 1 bad\n"
    assert "leads.csv:2: …4567: the campaign has this number already" in result.stderr


def test_a_column_is_what_the_shell_says_and_the_choice_is_kept(here: Path) -> None:
    (here / "odd.csv").write_text("Кто;Связь\nОлесь;067 123 45 67\nОльга;12\nИван;13\n", encoding="utf-8")
    assert call("import", "odd.csv", "--campaign", "spring").exit_code == Exit.FAILURE
    how = ("--column", "Связь=phone", "--column", "Кто=name", "--save-profile", "Партнёр")
    assert call("import", "odd.csv", "--campaign", "spring", *how).stdout == "3 rows: 1 leads, 0 duplicates, 2 bad\n"
    assert "Партнёр" in call("profiles").stdout
    assert call("import", "odd.csv", "--campaign", "spring").stdout == "3 rows: 0 leads, 1 duplicates, 2 bad\n"
    wrong = call("import", "odd.csv", "--campaign", "spring", "--column", "Где=phone")
    assert (wrong.exit_code, "no column 'Где'" in wrong.stderr) == (Exit.USAGE, True)
    assert call("import", "odd.csv", "--campaign", "spring", "--profile", "Другой").exit_code == Exit.USAGE


def test_a_zone_for_a_whole_file_is_told_in_the_shell_and_not_taken_by_surprise(here: Path) -> None:
    (here / "odd.csv").write_text("Имя;Телефон\nОлесь;8 916 123 45 67\n", encoding="utf-8")
    how = ("--default", "zone=Самара", "--default", "priority=7", "--save-profile", "Самара")
    assert call("import", "odd.csv", "--campaign", "spring", *how).exit_code == Exit.OK
    (here / "odd.csv").write_text("Имя;Телефон\nИван;8 916 123 45 68\n", encoding="utf-8")
    assert call("import", "odd.csv", "--campaign", "spring").exit_code == Exit.OK
    with closing(sqlite3.connect(here / "var/zvonar.db")) as database:
        assert database.execute("SELECT zone, priority FROM leads ORDER BY id").fetchall() == [
            ("Europe/Samara", 7),
            (None, 0),
        ]
    for wrong, said in (("zone=Марс", "not a time zone"), ("priority=99", "from -50 to 50"), ("shoe=5", "none of")):
        result = call("import", "odd.csv", "--campaign", "spring", "--default", wrong)
        assert (result.exit_code, said in result.stderr) == (Exit.USAGE, True)


def test_a_list_is_named_in_the_shell_else_as_its_file_and_by_a_named_profile(here: Path) -> None:
    for digit, how in (
        (1, ("--list", "Май", "--save-profile", "Партнёр")),
        (2, ()),
        (3, ("--profile", "Партнёр")),
        (4, ("--profile", "Партнёр", "--list", "Июнь")),
    ):
        (here / "odd.csv").write_text(f"Имя;Телефон\nОлесь;067 123 45 6{digit}\n", encoding="utf-8")
        assert call("import", "odd.csv", "--campaign", "spring", *how).exit_code == Exit.OK
    with closing(sqlite3.connect(here / "var/zvonar.db")) as database:
        assert [name for (name,) in database.execute("SELECT list FROM leads ORDER BY id")] == [
            *("Май", "odd", "Май", "Июнь")
        ]
    assert call("export", "out.csv", "--list", "Май").stdout == "out.csv: 2 leads\n"


def test_imports_are_listed_resumed_and_undone(here: Path) -> None:
    call("import", "leads.csv", "--campaign", "spring")
    assert "leads.csv" in call("imports", "--resume").stdout
    assert "undone" not in call("imports").stdout
    assert "3 leads gone" in call("revert", "1").stdout
    assert call("imports").stdout.rstrip().endswith("undone")


def test_an_import_into_an_unknown_campaign_is_wrong_usage(here: Path) -> None:
    result = call("import", "leads.csv", "--campaign", "sprng")
    assert result.exit_code == Exit.USAGE
    assert "known: spring" in result.stderr


def test_a_refused_file_is_told_in_one_line(here: Path) -> None:
    (here / "leads.csv").write_bytes(b"")
    result = call("import", "leads.csv", "--campaign", "spring")
    assert (result.exit_code, result.stderr) == (
        Exit.FAILURE,
        "error: leads.csv: the file is empty; nothing was imported\n",
    )


def test_a_database_is_made_once(here: Path) -> None:
    assert "would be created" in call("migrate", "--dry-run").stdout
    assert "0001 spine: applied" in call("migrate").stdout
    assert "nothing to do" in call("migrate").stdout


def test_a_file_that_is_no_database_is_not_reachable(here: Path) -> None:
    (here / "var").mkdir()
    (here / "var/zvonar.db").write_text("this is a letter, and no database at all " * 100)
    result = call("migrate")
    assert result.exit_code == Exit.NOT_REACHABLE
    assert result.stderr.count("\n") == 1


def test_a_user_is_added_once_and_gets_a_new_password(here: Path) -> None:
    add = ("user", "add", "anna", "--role", "operator", "--password-stdin")
    assert call(*add, typed="correct horse\n").exit_code == Exit.OK
    assert "is there already" in call(*add, typed="correct horse\n").stderr
    assert call("user", "passwd", "anna", "--password-stdin", typed="battery staple\n").exit_code == Exit.OK
    assert "nobody logs in as boris" in call("user", "passwd", "boris", "--password-stdin", typed="x" * 12).stderr


def test_a_weak_password_is_refused_with_what_is_needed(here: Path) -> None:
    result = call("user", "add", "boss", "--role", "admin", "--password-stdin", typed="x\n")
    assert result.exit_code == Exit.FAILURE
    assert "a password has" in result.stderr


def test_an_operator_must_be_an_agent_of_the_configuration(here: Path) -> None:
    result = call("user", "add", "boris", "--role", "operator", "--password-stdin", typed="correct horse\n")
    assert result.exit_code == Exit.USAGE
    assert "boris is not in the agents" in result.stderr


def test_files_for_an_asterisk_of_ones_own_are_written_and_checked(here: Path) -> None:
    (here / "config.yaml").write_text("asterisk: {managed: no}\n" + SMALL, encoding="utf-8")
    assert call("asterisk", "check", "--in", "etc").exit_code == Exit.FAILURE
    written = call("asterisk", "render", "--to", "etc")
    assert {"pjsip_phones.conf", "pjsip_trunks.conf", "extensions.conf"} <= set(written.stdout.split())
    assert "[101]" in (here / "etc/pjsip_phones.conf").read_text()
    assert call("asterisk", "render", "--to", "etc").stdout == ""
    assert call("asterisk", "check", "--in", "etc").exit_code == Exit.OK
    assert "--to" in call("asterisk", "render").stderr


def test_a_fresh_database_keeps_every_promise(here: Path) -> None:
    call("import", "leads.csv", "--campaign", "spring")
    result = call("verify", "--at-rest")
    assert (result.exit_code, result.stdout, result.stderr) == (Exit.OK, "", "every promise is kept\n")


def test_draining_what_does_not_run_is_told(here: Path) -> None:
    (here / "var").mkdir()
    (here / "var/zvonar.db.lock").write_text("1\n")
    result = call("drain")
    assert result.exit_code == Exit.NOT_REACHABLE
    assert "no engine runs" in result.stderr


def test_draining_asks_the_process_that_holds_the_database(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "var").mkdir()
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda process, number: asked.append((process, number)))
    with (here / "var/zvonar.db.lock").open("w+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4242\n")
        lock.flush()
        assert call("drain").exit_code == Exit.OK
    assert asked == [(4242, signal.SIGTERM)]


def test_a_mistake_of_ours_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(**_: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.delenv("ZVONAR_DEBUG", raising=False)
    monkeypatch.setattr(cli, "zvonar", fail)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == Exit.FAILURE
    assert capsys.readouterr().err.startswith("a mistake of ours: ZeroDivisionError: oops")


def test_pacing_is_asked_of_a_running_engine(here: Path) -> None:
    result = call("pacing", "--campaign", "spring")
    assert result.exit_code == Exit.NOT_REACHABLE
    assert "no engine runs" in result.stderr
    assert call("pacing", "--campaign", "sprng").exit_code == Exit.USAGE


def test_a_pacing_decision_is_one_line() -> None:
    view = {
        "campaign": "spring", "at_ms": 0, "mode": "predictive", "placed": 2, "limit": "risk", "ready": 1, "busy": 23,
        "lent": 3, "wanted_elsewhere": 1,
        "soon_free": 4.24, "in_flight": 7, "expected_answers": 2.7, "threshold": 0.035, "risk": 0.031,
        "live_answers": 480.0, "abandoned": 12.0, "abandons_left": 2.4,
    }  # fmt: skip
    line = pacing_line(view)
    assert (
        "spring predictive: 7 calls on their way, placed 2, agents 1 ready, 23 busy, 3 count for other campaigns, "
        in line
    )
    assert "1 wanted elsewhere, 4.2 soon free" in line
    assert "risk 3.10% of 3.50%, abandoned 12 of 480 (2.50%), 2.4 left; one call more would too likely" in line


def test_the_measure_of_detection_is_a_line_a_campaign(here: Path) -> None:
    assert call("import", "leads.csv", "--campaign", "spring").exit_code == Exit.OK
    assert call("amd").stdout == "spring: off; no call judged a machine was checked yet\n"
    assert call("amd", "--campaign", "sprng").exit_code == Exit.USAGE
    view = DetectionView(
        campaign="spring", enabled=True, off=True, checked=20, persons=6, low=0.119, high=0.543, share_max=0.05
    )
    assert amd_line(view) == (
        "spring: off by itself: too many persons taken for machines; of 20 calls judged machines that agents took 6"
        " were persons: 30.0%, truly 11.9% to 54.3%; at most 5.0%"
    )


# ── why a lead is or is not dialed ───────────────────────────────────────────────────────────────────────────────


def test_a_lead_is_explained_rule_by_rule_with_the_numbers_used(here: Path) -> None:
    lawful = SMALL.replace("    dispositions: [sale", "    law: [ua-consumer-credit]\n    dispositions: [sale")
    (here / "config.yaml").write_text(lawful, encoding="utf-8")
    assert call("import", "leads.csv", "--campaign", "spring").exit_code == Exit.OK
    told = call("explain", "lead", "1")
    assert told.exit_code == Exit.OK, told.stderr
    lines = told.stdout.splitlines()
    assert lines[0] == "pass  lead_is:new"
    assert "pass  attempts_used:0:3" in lines
    assert any("law_redial:ua-consumer-credit@1:0:1800:day" in line for line in lines)
    assert any("law_limit:ua-consumer-credit@1:talk_or_unknown:0:2:day" in line for line in lines)
    assert lines[-1].startswith("may be dialed")
    as_json = json.loads(call("explain", "lead", "1", "--json").stdout)
    used = {"rule": "attempts_used", "values": ["0", "3"], "passed": True, "next_at_ms": as_json["now_ms"]}
    assert used in as_json["rules"]
    assert as_json["dialable"] is (as_json["next_at_ms"] == as_json["now_ms"])


def test_a_campaigns_list_is_explained_to_the_last_lead(here: Path) -> None:
    assert call("import", "leads.csv", "--campaign", "spring").exit_code == Exit.OK
    lines = call("explain", "campaign", "spring").stdout.splitlines()
    assert sum(int(line.split()[1]) for line in lines[:-1]) == int(lines[-1].split()[0]) > 0
    told = json.loads(call("explain", "campaign", "spring", "--json").stdout)
    assert sum(group["leads"] for group in told["groups"]) == told["leads"]
    assert call("explain", "campaign", "spring", "--leads", "1").stdout.split()
    assert call("explain", "campaign", "nope").exit_code == Exit.USAGE


def test_closed_leads_are_called_again_by_what_closed_them(here: Path) -> None:
    assert call("import", "leads.csv", "--campaign", "spring").exit_code == Exit.OK
    with closing(sqlite3.connect(here / "var" / "zvonar.db")) as database, database:
        database.execute("UPDATE leads SET state = 'closed', hold = 'attempts_used:3:3' WHERE id = 1")
    assert call("recycle", "--campaign", "spring").stdout.split() == ["1", "attempts_used:3:3"]
    assert call("recycle", "--campaign", "spring", "--rule", "attempts").stdout == "0 leads are called again\n"
    assert call("recycle", "--campaign", "spring", "--rule", "attempts_used").stdout == "1 leads are called again\n"


def test_an_unknown_lead_cannot_be_explained(here: Path) -> None:
    result = call("explain", "lead", "77")
    assert (result.exit_code, result.stderr) == (Exit.FAILURE, "error: there is no lead 77\n")
