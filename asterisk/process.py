"""Child programs: started with their output in a file, and never left behind where that is not wanted."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path


def spawn(argv: Sequence[str], *, log: Path, cwd: Path, die_with_parent: bool) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own; `die_with_parent`: the kernel ends it when our process ends."""
    argv = list(argv)
    if die_with_parent and (setpriv := shutil.which("setpriv")):
        argv = [setpriv, "--pdeathsig", "KILL", *argv]
    with log.open("wb") as out:
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=cwd, start_new_session=True)


def end(process: subprocess.Popen[bytes], *, grace_s: float = 2.0) -> None:
    """End a program of ours: politely, then for certain."""
    process.terminate()
    try:
        process.wait(grace_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
