"""What `make doctor` says about a machine."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from scripts import doctor
from scripts.doctor import Verdict


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("Asterisk 22.10.1~dfsg+~cs6.16.62-2", Verdict.GOOD),
        ("Asterisk 23.0.0", Verdict.GOOD),
        ("Asterisk 22.10.0", Verdict.ADVICE),
        ("Asterisk 20.9.3", Verdict.ADVICE),
        ("cannot open shared object file", Verdict.MISSING),
    ],
)
def test_asterisk_is_held_to_its_security_minimum(answer: str, verdict: Verdict) -> None:
    assert doctor.judge_asterisk("/usr/sbin/asterisk", answer).verdict is verdict


def test_no_asterisk_yet_is_no_fault_because_make_gets_it() -> None:
    assert doctor.judge_asterisk("", "").verdict is Verdict.BY_MAKE


def test_an_old_python_is_missing_and_says_how_to_name_another() -> None:
    finding = doctor.judge_python((3, 9, 2), "/usr/bin/python3")
    assert finding.verdict is Verdict.MISSING
    assert "make PYTHON=" in finding.cure


def test_a_full_disk_says_how_much_to_free() -> None:
    assert doctor.judge_disk(Path("/srv"), 1_500).cure == "free 500 MB more"
    assert doctor.judge_disk(Path("/srv"), 5_000).verdict is Verdict.GOOD


def test_a_system_outside_the_debian_family_is_told_to_bring_asterisk() -> None:
    assert doctor.judge_system({"ID": "fedora", "PRETTY_NAME": "Fedora 44"}, "x86_64").verdict is Verdict.ADVICE
    assert doctor.judge_system({"ID": "ubuntu", "ID_LIKE": "debian"}, "x86_64").verdict is Verdict.GOOD


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_taken_port_is_told_from_a_free_one(kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            other.listen()
        port = other.getsockname()[1]
        finding = doctor.judge_port("listen", "127.0.0.1", port, udp=kind is socket.SOCK_DGRAM)
    assert finding.verdict is Verdict.ADVICE
    assert finding.found.startswith("taken")
    assert doctor.judge_port("listen", "127.0.0.1", port, udp=False).verdict is Verdict.GOOD


def test_the_holder_of_a_port_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net").mkdir()
    listening = "0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4711 1"
    (tmp_path / "net" / "tcp").write_text(f"header\n{listening}\n", encoding="ascii")
    descriptors = tmp_path / "812" / "fd"
    descriptors.mkdir(parents=True)
    (descriptors / "7").symlink_to("socket:[4711]")
    (tmp_path / "812" / "comm").write_text("nginx\n", encoding="ascii")
    monkeypatch.setattr(doctor, "PROC", tmp_path)
    assert doctor.holder(8080, udp=False) == "nginx (812)"
    assert doctor.holder(8081, udp=False) == ""


def test_the_addresses_to_listen_on_are_read_from_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        "web:\n  listen: 127.0.0.1:18080\nasterisk:\n  sip: '[::1]:15160'  # phones\n"
        "trunks:\n  a: {host: 10.0.0.1:5060}\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(doctor, "CONFIG", config)
    subjects = [finding.subject for finding in doctor.ports()]
    assert subjects == ["listen 127.0.0.1:18080/tcp", "sip ::1:15160/udp"]


def test_the_table_says_what_to_do_beside_what_is_missing() -> None:
    good = doctor.Finding("make", Verdict.GOOD, "/usr/bin/make", "never shown")
    missing = doctor.Finding("disk", Verdict.MISSING, "0.1 GB free", "free 900 MB more")
    shown = doctor.table({"Machine": [good, missing]})
    assert "✗ disk  0.1 GB free  → free 900 MB more" in shown
    assert "never shown" not in shown
