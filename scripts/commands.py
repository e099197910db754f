"""Commands that set-up runs, their logs and what can go wrong with them."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "var" / "setup"
LOG_TAIL_LINES = 30


class SetupError(Exception):
    """A step could not do its work; the message says what, why and what to do."""


class CannotHereError(SetupError):
    """Something needs an administrator; the message holds the command to ask for."""


@dataclass
class Log:
    """Where a step's commands write; the last line is shown while one waits."""

    path: Path
    last: str = ""

    def run(self, *command: str | Path, cwd: Path = ROOT, env: dict[str, str] | None = None) -> None:
        """Run a command, its output to the log; raise SetupError with the log's tail if it fails."""
        with self.path.open("a", encoding="utf-8") as out:
            print("$", *command, file=out, flush=True)
            with subprocess.Popen(
                [str(part) for part in command],
                cwd=cwd,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            ) as child:
                assert child.stdout is not None
                for line in child.stdout:
                    out.write(line)
                    if line.strip() and not line.startswith("WARNING"):
                        self.last = line.strip()
            code = child.returncode
        if code:
            raise SetupError(f"`{' '.join(map(str, command))}` ended with {code}:\n{self.tail()}")

    def tail(self) -> str:
        """The last lines written, for an error message."""
        lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return "\n".join("    " + line for line in lines) + f"\n    (all of it: {self.path.relative_to(ROOT)})"
