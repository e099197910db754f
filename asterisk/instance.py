"""One Asterisk process of ours: find the program, render its files, start it, wait until it is ready, stop it.

It runs as a process of its own and may outlive us on purpose: calls go on while an engine restarts, and the next
`start` adopts it. Only a process whose command line names our own configuration file is ever touched.
"""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from asterisk.conf import (
    AsteriskInstance,
    Binary,
    Phone,
    Secrets,
    Trunk,
    differing,
    load_or_make_secrets,
    problems,
    render_files,
    render_pjsip,
    write_if_changed,
)
from asterisk.music import keep_tune
from asterisk.process import spawn

_HERE = Path(__file__).parent
_DATA = Path("/var/lib/asterisk")  # of an Asterisk built from source
_SOCKET_PATH_MAX = 107  # sun_path of a Unix socket, less its final zero
_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 5.0
_CLI_TIMEOUT_S = 5.0
_POLL_S = 0.05


class AsteriskFailed(RuntimeError):
    """Asterisk could not be installed, started or reached; the message says what to do."""


def find_binary(major: int = 22) -> Binary:
    """The Asterisk to run: the one that $ASTERISK names, else the private one, installed first if it is missing."""
    done = subprocess.run(
        [str(_HERE / "install.sh"), "--version", str(major)], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode != 0:
        raise AsteriskFailed("Asterisk is not available: see the message of asterisk/install.sh above")
    exe = Path(done.stdout.strip().splitlines()[-1])
    told = subprocess.run([str(exe), "-V"], capture_output=True, text=True, check=False).stdout
    number = re.search(r"\d+(\.\d+)*", told)
    if number is None:
        raise AsteriskFailed(f"{exe} does not say its version (it said {told.strip()!r})")
    version = tuple(int(part) for part in number.group().split("."))
    tree = exe.parent.parent
    prefix = tree / "usr" if (tree / "packages.txt").exists() else exe.resolve().parent.parent
    modules = next((path.parent for path in prefix.glob("lib*/**/asterisk/modules/chan_pjsip.so")), None)
    data = next((path for path in (prefix / "share/asterisk", _DATA) if (path / "documentation").exists()), None)
    if modules is None or data is None:
        # Built in a way of its own; then it knows its places itself.
        return Binary(exe=exe, version=version)
    return Binary(exe=exe, version=version, modules=modules, data=data)


def render(instance: AsteriskInstance, binary: Binary) -> list[str]:
    """Write the instance's configuration, each file only if it changed; the names of those that did."""
    instance.paths.make()
    keep_tune(instance.paths.music)
    _link_recordings(instance)
    files = render_files(instance, binary, load_or_make_secrets(instance.paths))
    return write_if_changed(instance.paths.etc, files)


def _link_recordings(instance: AsteriskInstance) -> None:
    """Asterisk writes recordings into one place below its spool, which must be there; it becomes a link to a folder."""
    link = instance.paths.spool / "recording"
    if instance.recordings is None:
        link.mkdir(mode=0o700, exist_ok=True)
        return
    if link.is_symlink() and link.readlink() == instance.recordings:
        return
    instance.recordings.mkdir(mode=0o700, parents=True, exist_ok=True)
    if link.is_symlink():
        link.unlink()
    elif link.is_dir():
        for file in link.glob("*.wav"):
            shutil.move(file, instance.recordings / file.name)
        link.rmdir()
    link.symlink_to(instance.recordings, target_is_directory=True)


def check(instance: AsteriskInstance, binary: Binary) -> list[str]:
    """What is wrong with the settings, else where the files on disk are not what the settings say."""
    found = problems(instance.phones, instance.trunks)
    if found:
        return found
    instance.paths.make()
    files = render_files(instance, binary, load_or_make_secrets(instance.paths))
    stale = differing(instance.paths.etc, files)
    return [f"{instance.paths.etc / name}: not what the settings say; render again" for name in stale]


class Asterisk:
    """The process of one instance."""

    def __init__(self, instance: AsteriskInstance, binary: Binary, *, die_with_parent: bool = False) -> None:
        """`die_with_parent`: for tests and demos, where nobody would stop it after us."""
        self.instance = instance
        self.binary = binary
        self._die_with_parent = die_with_parent
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def secrets(self) -> Secrets:
        return load_or_make_secrets(self.instance.paths)

    async def start(self) -> None:
        """Render, start (or adopt the one that already runs) and return when it is fully booted."""
        changed = render(self.instance, self.binary)
        adopted = self.pid() is not None
        if not adopted:
            self._refuse_taken_ports()
            self._spawn()
        await self._ready()
        if adopted and changed:
            await self.cli("core reload")

    async def stop(self) -> None:
        """End it: first politely, then for certain. Nothing happens if it does not run."""
        pid = self.pid()
        if pid is None:
            return
        with contextlib.suppress(AsteriskFailed):
            await self.cli("core stop now")
        if not await self._gone(pid):
            os.kill(pid, signal.SIGKILL)
            await self._gone(pid)

    async def apply(self, phones: Sequence[Phone], trunks: Sequence[Trunk]) -> list[str]:
        """Take over changed phones and trunks without a restart and under live calls; the changed file names."""
        changed = write_if_changed(self.instance.paths.etc, render_pjsip(phones, trunks))
        if changed:
            await self.cli("module reload res_pjsip.so")
        return changed

    async def cli(self, command: str) -> str:
        """The answer of Asterisk's console to one command."""
        argv = [str(self.binary.exe), "-C", str(self.instance.paths.conf), "-rx", command]
        done = asyncio.to_thread(
            subprocess.run, argv, capture_output=True, text=True, timeout=_CLI_TIMEOUT_S, check=False
        )
        try:
            return (await done).stdout
        except subprocess.TimeoutExpired as error:
            raise AsteriskFailed(
                f"Asterisk {self.instance.name} did not answer {command!r} within {_CLI_TIMEOUT_S:.0f} s"
            ) from error

    def pid(self) -> int | None:
        """The process id, if it runs; also one that an earlier engine started."""
        if self._process is not None:
            if self._process.poll() is None:
                return self._process.pid
            self._process = None
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.instance.paths.run / "asterisk.pid").read_text().strip())
            argv = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if str(self.instance.paths.conf).encode() in argv:
                return pid
        return None

    def complaints(self) -> list[str]:
        """Warnings and errors that Asterisk has logged since it started."""
        with contextlib.suppress(FileNotFoundError):
            lines = self.instance.paths.messages.read_text(encoding="utf-8", errors="replace").splitlines()
            return [line for line in lines if re.search(r"\] (WARNING|ERROR)\[", line)]
        return []

    async def _gone(self, pid: int) -> bool:
        for _ in range(round(_STOP_TIMEOUT_S / _POLL_S)):
            if self.pid() != pid:
                return True
            await asyncio.sleep(_POLL_S)
        return False

    def _spawn(self) -> None:
        paths = self.instance.paths
        if len(str(paths.run / "asterisk.ctl")) > _SOCKET_PATH_MAX:
            raise AsteriskFailed(f"{paths.root}: the path is too long for a control socket; choose a shorter one")
        paths.messages.unlink(missing_ok=True)
        argv = [str(self.binary.exe), "-f", "-C", str(paths.conf)]
        console = paths.log / "console.log"
        self._process = spawn(argv, log=console, cwd=paths.root, die_with_parent=self._die_with_parent)

    async def _ready(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self.pid() is None:
                raise AsteriskFailed(f"Asterisk {self.instance.name} ended at once:\n{self._last_words()}")
            if (self.instance.paths.run / "asterisk.ctl").exists():
                answer = await self.cli("core waitfullybooted")
                if "fully booted" in answer:
                    return
            await asyncio.sleep(_POLL_S)
        raise AsteriskFailed(
            f"Asterisk {self.instance.name} was not ready after {_START_TIMEOUT_S:.0f} s:\n{self._last_words()}"
        )

    def _refuse_taken_ports(self) -> None:
        one = self.instance
        wanted = [
            (socket.SOCK_DGRAM, one.sip_address, one.sip_port, "SIP"),
            (socket.SOCK_STREAM, one.sip_address, one.sip_port, "SIP over TCP"),
            (socket.SOCK_STREAM, one.control_address, one.http_port, "ARI"),
            (socket.SOCK_STREAM, one.control_address, one.ami_port, "AMI"),
        ]
        for kind, address, port, use in wanted:
            with socket.socket(socket.AF_INET, kind) as probe:
                if kind == socket.SOCK_STREAM:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((address, port))
                except OSError as error:
                    raise AsteriskFailed(
                        f"Asterisk {one.name} cannot have {address}:{port} for {use}: {error.strerror}; "
                        "end the program that holds it or choose another port"
                    ) from error

    def _last_words(self) -> str:
        with contextlib.suppress(FileNotFoundError):
            console = (self.instance.paths.log / "console.log").read_text(encoding="utf-8", errors="replace")
            return "\n".join((self.complaints() or console.splitlines())[-8:])
        return "it said nothing"
