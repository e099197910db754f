"""config.yaml and what is made by it: its problems and its reference, the database's schema, Asterisk's files."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.cli.common import Exit, fail, print_json, read_config, say

if TYPE_CHECKING:
    from asterisk.conf import AsteriskInstance
    from engine.config import ConfigProblem, Loaded


@click.command("check-config")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
@click.option("--json", "as_json", is_flag=True, help="Print problems and warnings as JSON.")
@click.pass_obj
def check_config(path: Path, file: Path | None, as_json: bool) -> None:
    """Say everything that is wrong in config.yaml, with file, line and column.

    Example: zvonar check-config new-config.yaml
    """
    from engine.config import Loaded, load

    result = load(file or path)
    problems = result if isinstance(result, list) else list(result.warnings)
    if as_json:
        print_json({"ok": isinstance(result, Loaded), "problems": [_as_json(problem) for problem in problems]})
    else:
        for problem in problems:
            say(str(problem))
    if not isinstance(result, Loaded):
        sys.exit(Exit.CONFIG_INVALID)
    if not as_json:
        click.echo("ok")


@click.group("config")
def config() -> None:
    """What config.yaml may say."""


@config.command("schema")
def config_schema() -> None:
    """Print the JSON Schema of config.yaml, for editors (config.schema.json)."""
    from engine.config import describe

    click.echo(describe.json_schema(), nl=False)


@config.command("docs")
def config_docs() -> None:
    """Print the reference of every key (docs/config.md)."""
    from engine.config import describe

    click.echo(describe.markdown(), nl=False)


def _as_json(problem: ConfigProblem) -> dict[str, Any]:
    names = ("file", "line", "column", "path", "message", "warning")
    return {name: getattr(problem, name) for name in names}


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.pass_obj
def migrate(path: Path, dry_run: bool) -> None:
    """Bring the database to this program's schema; a backup is made first. Starting does the same."""
    from engine.clock import WallClock
    from engine.store import migrate as steps
    from engine.store.database import bring_up_to_date, connect
    from engine.store.errors import StoreError

    loaded = read_config(path)
    file = loaded.resolve(loaded.config.database)
    if dry_run and not file.exists():
        click.echo(f"{file}: would be created")
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        if dry_run:
            with closing(connect(file, write=False)) as connection:
                done = steps.pending(connection, file)
        else:
            done = bring_up_to_date(file, now_ms=WallClock().now_ms())
    except StoreError as error:
        fail(str(error), Exit.NOT_REACHABLE)
    for step in done:
        click.echo(f"{step.number:04d} {step.name}: {'would be applied' if dry_run else 'applied'}")
    if not done:
        click.echo(f"{file}: nothing to do")


@click.group()
def asterisk() -> None:
    """Asterisk's files, as config.yaml wants them."""


@asterisk.command("render")
@click.option(
    "--to",
    type=click.Path(file_okay=False, path_type=Path),
    help="For an Asterisk of yours: write only phones, trunks and dialplan, into this directory.",
)
@click.pass_obj
def asterisk_render(path: Path, to: Path | None) -> None:
    """Write Asterisk's files from config.yaml, each only if it changed. A running engine does this by itself.

    Example: zvonar asterisk render --to /etc/asterisk/zvonar
    """
    loaded = read_config(path)
    with _asterisk_problems():
        if to is None:
            from asterisk.instance import find_binary, render

            names = render(_private_asterisk(loaded), find_binary())
        else:
            from asterisk.conf import write_if_changed

            to.mkdir(mode=0o700, parents=True, exist_ok=True)
            names = write_if_changed(to, _own_files(loaded))
    for name in names:
        click.echo(name)


@asterisk.command("check")
@click.option("--in", "folder", type=click.Path(file_okay=False, path_type=Path), help="Files that render --to wrote.")
@click.pass_obj
def asterisk_check(path: Path, folder: Path | None) -> None:
    """Say what in Asterisk's files is not what config.yaml says."""
    loaded = read_config(path)
    with _asterisk_problems():
        if folder is None:
            from asterisk.instance import check, find_binary

            found = check(_private_asterisk(loaded), find_binary())
        else:
            from asterisk.conf import differing

            found = [f"{folder / name}: not what config.yaml says" for name in differing(folder, _own_files(loaded))]
    for problem in found:
        click.echo(problem)
    if found:
        sys.exit(Exit.FAILURE)
    say("ok")


def _private_asterisk(loaded: Loaded) -> AsteriskInstance:
    from engine.telephony import private_asterisk

    if not loaded.config.asterisk.managed:
        fail("asterisk.managed is no, so its directory is not known here: name it with --to or --in")
    return private_asterisk(loaded)


def _own_files(loaded: Loaded) -> dict[str, str]:
    """What an Asterisk of one's own includes: phones, trunks, dialplan."""
    from asterisk.conf import render_pjsip
    from engine.telephony import dialplan_of, phones_and_trunks

    return {**render_pjsip(*phones_and_trunks(loaded)), **dialplan_of(loaded)}


@contextmanager
def _asterisk_problems() -> Iterator[None]:
    from asterisk.conf import InvalidSettings
    from asterisk.instance import AsteriskFailed

    try:
        yield
    except AsteriskFailed as error:
        fail(str(error), Exit.NOT_REACHABLE)
    except (InvalidSettings, OSError) as error:
        fail(str(error))
