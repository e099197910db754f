"""Say what this machine has for Zvonar, what is missing and how to get it. Needs no set-up: `make doctor`.

Ends with 1 when something is missing that `make run` cannot get by itself.
"""

from __future__ import annotations

import errno
import io
import os
import platform
import re
import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from scripts import bootstrap
from scripts.commands import ROOT

CONFIG = ROOT / "config.yaml"
PROC = Path("/proc")

ASTERISK_SAFE = (22, 10, 1)  # the first without two known holes in ARI that end in control of the machine
DISK_NEEDED_MB = 2_000
MEMORY_NEEDED_MB = 1_000
FILES_WANTED = 4_096  # sockets of 200 desks and their calls, with room
COMMAND_S = 10

# `listen: 127.0.0.1:8080` and the like; `host:` is the other side of a trunk
LISTENS = re.compile(r"^\s+(listen|ari|ami|sip):\s*[\"']?(\[[\da-f:.]+\]|[\w.-]*):(\d{1,5})\b", re.MULTILINE)
UDP = {"sip"}
ANY_ADDRESS = "0.0.0.0"  # noqa: S104  only tried, never listened on


class Verdict(Enum):
    """What a finding means for the person; the value is its mark."""

    GOOD = "✓"
    BY_MAKE = "·"  # `make run` or `make test` gets it
    ADVICE = "!"
    MISSING = "✗"


@dataclass(frozen=True)
class Finding:
    """One line of the table."""

    subject: str
    verdict: Verdict
    found: str
    cure: str = ""


# --- the machine ------------------------------------------------------------------------------------------------------


def machine() -> Iterator[Finding]:
    """System, processors, memory, disk and limits."""
    yield judge_system(_os_release(), platform.machine())
    cores = len(os.sched_getaffinity(0))
    yield Finding(
        "processors", Verdict.GOOD if cores > 1 else Verdict.ADVICE, str(cores), "" if cores > 1 else "2 are better"
    )
    total_mb, free_mb = _memory_mb()
    yield judge_memory(total_mb, free_mb)
    disks = {place.stat().st_dev: place for place in (_standing(bootstrap.cache()), _standing(ROOT))}
    for place in disks.values():
        yield judge_disk(place, shutil.disk_usage(place).free // 2**20)
    yield judge_files(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def judge_system(release: dict[str, str], arch: str) -> Finding:
    """Debian and its family get everything by themselves."""
    name = f"{release.get('PRETTY_NAME', 'unknown')}, {arch}"
    family = {release.get("ID", ""), *release.get("ID_LIKE", "").split()}
    if "debian" in family:
        return Finding("system", Verdict.GOOD, name)
    return Finding(
        "system", Verdict.ADVICE, name, "not of the Debian family: bring Asterisk yourself and set ASTERISK="
    )


def judge_memory(total_mb: int, free_mb: int) -> Finding:
    """Memory for the engine, two Asterisks and a browser under test."""
    found = f"{total_mb / 1024:.1f} GB, {free_mb / 1024:.1f} GB free"
    if free_mb >= MEMORY_NEEDED_MB:
        return Finding("memory", Verdict.GOOD, found)
    return Finding("memory", Verdict.ADVICE, found, f"{MEMORY_NEEDED_MB} MB should be free")


def judge_disk(place: Path, free_mb: int) -> Finding:
    """Room for packages, recordings and the database."""
    found = f"{free_mb / 1024:.1f} GB free"
    if free_mb >= DISK_NEEDED_MB:
        return Finding(f"disk at {_short(place)}", Verdict.GOOD, found)
    return Finding(f"disk at {_short(place)}", Verdict.MISSING, found, f"free {DISK_NEEDED_MB - free_mb} MB more")


def judge_files(limit: int) -> Finding:
    """Open files: every desk, call and database connection takes some."""
    if limit == resource.RLIM_INFINITY or limit >= FILES_WANTED:
        return Finding("open files", Verdict.GOOD, "no limit" if limit == resource.RLIM_INFINITY else f"up to {limit}")
    return Finding("open files", Verdict.ADVICE, f"up to {limit}", f"for many desks: ulimit -n {FILES_WANTED}")


# --- programs ---------------------------------------------------------------------------------------------------------


def programs() -> Iterator[Finding]:
    """What must be on the machine before set-up can get the rest."""
    yield judge_python(sys.version_info[:3], sys.executable)
    for program, why in (("make", "runs the targets"), ("git", "brings the source and its changes")):
        path = shutil.which(program)
        verdict = Verdict.GOOD if path else Verdict.ADVICE
        yield Finding(program, verdict, path or "not here", "" if path else f"{why}: apt-get install {program}")
    for program in ("apt-get", "dpkg-deb"):
        path = shutil.which(program)
        if path is None:
            cure = "without it the private Asterisk cannot be installed: set ASTERISK=/path/to/asterisk"
            yield Finding(program, Verdict.GOOD if os.environ.get("ASTERISK") else Verdict.MISSING, "not here", cure)
    yield _node()


def judge_python(version: tuple[int, int, int], path: str) -> Finding:
    """Python itself."""
    found = ".".join(map(str, version)) + f" ({path})"
    if version >= bootstrap.PYTHON_MIN:
        return Finding("python3", Verdict.GOOD, found)
    return Finding("python3", Verdict.MISSING, found, "3.11 or newer is needed: make PYTHON=/path/to/python3.11 …")


def _node() -> Finding:
    if shutil.which("npm"):
        return Finding("npm", Verdict.GOOD, _first_line("npm", "--version") or "here")
    return Finding(
        "npm", Verdict.BY_MAKE, "not here", "set-up gets Node.js as a Python package, for this checkout only"
    )


# --- what set-up makes ------------------------------------------------------------------------------------------------


def made() -> Iterator[Finding]:
    """What `make run` and `make test` set up."""
    for step in bootstrap.steps_for("run"):
        if step.name == "asterisk":
            yield judge_asterisk(*_asterisk())
        elif step.current():
            yield Finding(step.name, Verdict.GOOD, f"ready: {step.what}")
        else:
            yield Finding(step.name, Verdict.BY_MAKE, "not yet", f"`make run` gets {step.what}")
    if bootstrap.browser_ready():
        yield Finding("chromium", Verdict.GOOD, shutil.which("chromium") or "")
    elif os.geteuid() == 0:
        yield Finding("chromium", Verdict.BY_MAKE, "not here", "`make test` installs it")
    else:
        cure = (
            f"for browser tests only; ask an administrator for: apt-get install {' '.join(bootstrap.BROWSER_PACKAGES)}"
        )
        yield Finding("chromium", Verdict.ADVICE, "not here", cure)


def judge_asterisk(path: str, answer: str) -> Finding:
    """Asterisk's version against its security minimum; `answer` is what `asterisk -V` said."""
    if not path:
        return Finding("asterisk", Verdict.BY_MAKE, "not yet", "`make run` gets a private Asterisk 22")
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", answer)
    if not found:
        return Finding("asterisk", Verdict.MISSING, f"{path} does not answer -V", "remove it and run `make setup`")
    version = tuple(int(part or 0) for part in found.groups())
    name = f"{found.group(0)} ({_short(Path(path))})"
    if version >= ASTERISK_SAFE:
        return Finding("asterisk", Verdict.GOOD, name)
    safe = ".".join(map(str, ASTERISK_SAFE))
    cure = f"before {safe} who reaches ARI may run programs here: upgrade, or keep ARI on 127.0.0.1"
    return Finding("asterisk", Verdict.ADVICE, name, cure)


def _asterisk() -> tuple[str, str]:
    own = os.environ.get("ASTERISK", "")
    private = sorted(bootstrap.cache().glob("asterisk-22.*/bin/asterisk"), key=_version_key)
    path = own or (str(private[-1]) if private else "")
    return path, _first_line(path, "-V") if path else ""


# --- ports ------------------------------------------------------------------------------------------------------------


def ports() -> Iterator[Finding]:
    """Are the addresses of config.yaml free to listen on?"""
    if not CONFIG.is_file():
        yield Finding("config.yaml", Verdict.MISSING, "not here", "bring it back: git checkout config.yaml")
        return
    for key, host, port in LISTENS.findall(CONFIG.read_text(encoding="utf-8", errors="replace")):
        yield judge_port(key, host.strip("[]") or ANY_ADDRESS, int(port), udp=key in UDP)


def judge_port(key: str, host: str, port: int, *, udp: bool) -> Finding:
    """Try to listen where we shall listen."""
    kind = socket.SOCK_DGRAM if udp else socket.SOCK_STREAM
    subject = f"{key} {host}:{port}/{'udp' if udp else 'tcp'}"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, kind) as probe:
        if not udp:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError:
            return Finding(
                subject, Verdict.MISSING, "not allowed", "ports below 1024 need root: choose another in config.yaml"
            )
        except OSError as error:
            by = holder(port, udp=udp)
            taken = f"taken by {by}" if by else "taken"
            if error.errno != errno.EADDRINUSE:
                taken = str(error.strerror)
            return Finding(subject, Verdict.ADVICE, taken, "already running? Otherwise choose another in config.yaml")
    return Finding(subject, Verdict.GOOD, "free")


def holder(port: int, *, udp: bool) -> str:
    """Name and number of the process that holds a port, as far as we may see."""
    inodes = set()
    for table in ("udp", "udp6") if udp else ("tcp", "tcp6"):
        for line in _read(PROC / "net" / table).splitlines()[1:]:
            columns = line.split()
            if len(columns) > 9 and columns[1].endswith(f":{port:04X}") and (udp or columns[3] == "0A"):
                inodes.add(f"socket:[{columns[9]}]")
    for process in PROC.glob("[0-9]*"):
        try:
            held = {str(file.readlink()) for file in (process / "fd").iterdir()}
        except OSError:
            continue  # not ours to see, or it ended meanwhile
        if held & inodes:
            return f"{_read(process / 'comm').strip()} ({process.name})"
    return ""


# --- small helpers ----------------------------------------------------------------------------------------------------


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _first_line(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (done.stdout.splitlines() or [""])[0]


def _os_release() -> dict[str, str]:
    pairs = (line.split("=", 1) for line in _read(Path("/etc/os-release")).splitlines() if "=" in line)
    return {key: value.strip('"') for key, value in pairs}


def _memory_mb() -> tuple[int, int]:
    amounts = dict(re.findall(r"^(\w+):\s+(\d+) kB", _read(PROC / "meminfo"), re.MULTILINE))
    return int(amounts.get("MemTotal", 0)) // 1024, int(amounts.get("MemAvailable", 0)) // 1024


def _standing(place: Path) -> Path:
    """The nearest folder that exists already."""
    return next(folder for folder in (place, *place.parents) if folder.exists())


def _short(place: Path) -> str:
    home = str(Path.home())
    return "~" + str(place)[len(home) :] if str(place).startswith(home + os.sep) else str(place)


def _version_key(program: Path) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", program.parent.parent.name)]


# --- the table --------------------------------------------------------------------------------------------------------


def table(groups: dict[str, list[Finding]]) -> str:
    """The findings as text, one line each, what to do at its end."""
    width = max((len(finding.subject) for group in groups.values() for finding in group), default=0)
    lines = []
    for title, findings in groups.items():
        lines.append(f"\n{title}")
        for finding in findings:
            cure = f"  → {finding.cure}" if finding.cure and finding.verdict is not Verdict.GOOD else ""
            lines.append(f"  {finding.verdict.value} {finding.subject:<{width}}  {finding.found}{cure}")
    return "\n".join(lines)


def main() -> int:
    """Print the table; 1 when something is missing that set-up cannot get."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without UTF-8 still gets its table
    groups = {
        "Machine": list(machine()),
        "Programs": list(programs()),
        "Set-up": list(made()),
        "Ports of config.yaml": list(ports()),
    }
    print(table(groups))
    missing = [finding.subject for group in groups.values() for finding in group if finding.verdict is Verdict.MISSING]
    print(f"\n✓ good   · `make` gets it   ! advice   ✗ missing\n\n{_closing(missing)}")
    return 1 if missing else 0


def _closing(missing: list[str]) -> str:
    if missing:
        return f"Missing: {', '.join(missing)}. Once that is there: make run"
    return "Nothing that is needed is missing. Next: make run"


if __name__ == "__main__":
    sys.exit(main())
