"""Debian packages, installed as root. Who is not root gets a private tree from scripts/debtree.sh."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from scripts.commands import CannotHereError, Log, SetupError

APT_TRIES_MAX = 30
APT_RETRY_S = 10


class Apt:
    """apt-get for one set-up: one step at a time, the package lists fetched at most once."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._updated = False

    def install(self, packages: Iterable[str], log: Log, purpose: str) -> None:
        """Install packages as root; otherwise raise with the command to ask an administrator for."""
        names = list(packages)
        if shutil.which("apt-get") is None:
            raise CannotHereError(f"{purpose}: no apt-get here; install what Debian calls: {' '.join(names)}")
        if os.geteuid() != 0:
            raise CannotHereError(f"{purpose}: needs root; ask an administrator for: apt-get install {' '.join(names)}")
        log.last = "waiting for the turn at apt-get"
        with self._turn:
            try:
                _apt_get(log, "install", "-y", "--no-install-recommends", *names)
            except SetupError:
                if self._updated:
                    raise
                _apt_get(log, "update")
                self._updated = True
                _apt_get(log, "install", "-y", "--no-install-recommends", *names)


def _apt_get(log: Log, *arguments: str) -> None:
    """One apt-get command; waits for another apt-get or dpkg on the machine to end."""
    unattended = {"DEBIAN_FRONTEND": "noninteractive"}
    for attempt in range(1, APT_TRIES_MAX + 1):
        try:
            log.run("apt-get", "-q", "-o", "DPkg::Lock::Timeout=300", *arguments, env=unattended)
        except SetupError as error:
            if "Could not get lock" not in str(error) or attempt == APT_TRIES_MAX:
                raise
            log.last = "waiting for another apt-get to end"
            time.sleep(APT_RETRY_S)
        else:
            return


def codename() -> str:
    """The release this machine runs, as the package archive names it; Debian 12's when it does not say."""
    try:
        release = Path("/etc/os-release").read_text(encoding="utf-8")
    except OSError:
        return "bookworm"
    facts = dict(line.split("=", 1) for line in release.splitlines() if "=" in line)
    return facts.get("VERSION_CODENAME", "bookworm").strip('"')
