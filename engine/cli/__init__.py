"""`zvonar`: what one does with the call center from a shell. Data goes to standard output, words to standard error."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

import click

from engine import __version__
from engine.cli.access import partner, user
from engine.cli.common import Exit, say
from engine.cli.donotcall import dnc, erase
from engine.cli.leads import export, import_, imports, profiles, recycle, revert
from engine.cli.looking import amd, explain, pacing, replay, verify
from engine.cli.running import agi, demo, demo_call, drain, run
from engine.cli.settings import asterisk, check_config, config, migrate


def main() -> NoReturn:
    """Run one command. A mistake of ours is one line too, unless ZVONAR_DEBUG is set."""
    try:
        sys.exit(zvonar(prog_name="zvonar"))
    except KeyboardInterrupt:
        sys.exit(Exit.INTERRUPTED)
    except Exception as error:
        if os.environ.get("ZVONAR_DEBUG"):
            raise
        say(f"a mistake of ours: {type(error).__name__}: {error}; ZVONAR_DEBUG=1 shows where, please report it")
        sys.exit(Exit.FAILURE)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-c",
    "--config",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("config.yaml"),
    envvar="ZVONAR_CONFIG",
    show_default=True,
    help="The configuration file; also ZVONAR_CONFIG.",
)
@click.version_option(__version__)
@click.pass_context
def zvonar(context: click.Context, path: Path) -> None:
    """Zvonar: a telephony-first call-center engine with a CRM attached, for Asterisk.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 config.yaml is invalid, 4 database, Asterisk or engine not reachable.
    """
    context.obj = path


for command in (
    *(check_config, config, migrate, asterisk),
    *(run, demo, demo_call, agi, drain),
    *(explain, pacing, amd, verify, replay),
    *(import_, imports, profiles, revert, recycle, export),
    *(dnc, erase),
    *(user, partner),
):
    zvonar.add_command(command)
