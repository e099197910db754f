"""`python -m dialplan.agi --database var/zvonar.db`: the FastAGI server, until it is told to end."""

from __future__ import annotations

import asyncio
import logging
import signal
from pathlib import Path

import click

from dialplan.agi.server import serve


@click.command()
@click.option(
    "--database", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The engine's database"
)
@click.option(
    "--config", type=click.Path(path_type=Path, dir_okay=False), help="config.yaml: the queues' hours and messages"
)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=4573, show_default=True, help="Asterisk's default for agi://")
def main(database: Path, config: Path | None, host: str, port: int) -> None:
    """Serve Asterisk's AGI calls from the engine's database, read only."""
    run(database, config, host, port)


def run(database: Path, config: Path | None, host: str, port: int) -> None:
    """Serve until told to end. Raises ClickException when the port is taken."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    try:
        asyncio.run(_until_told(database, config, host, port))
    except OSError as error:
        raise click.ClickException(f"cannot listen on {host}:{port}: {error.strerror or error}") from error


async def _until_told(database: Path, config: Path | None, host: str, port: int) -> None:
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    server = await serve(database, host, port, config)
    click.echo(f"AGI: agi://{host}:{server.sockets[0].getsockname()[1]}/caller")
    async with server:
        await told.wait()


if __name__ == "__main__":
    main()
