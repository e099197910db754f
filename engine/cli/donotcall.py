"""Who must not be called: the do-not-call lists, and persons who are forgotten."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import orjson

from engine.cli.common import fail, known_campaign, moment, read_config, say, who, with_database

if TYPE_CHECKING:
    from engine.config import Loaded
    from engine.core.model import PhoneNumber
    from engine.leads.files import ListedFile
    from engine.store.database import AioDatabase


@click.group()
def dnc() -> None:
    """Numbers that must not be called: everybody's list, each campaign's, each partner's."""


_WHOSE = (
    click.option("--campaign", "campaign_name", help="The list of this campaign; without it, everybody's."),
    click.option("--partner", help="The list for leads that came from this partner."),
)
_WHY = click.option("--reason", required=True, help="Why, for the audit: asked, complaint, register …")


def _whose(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_WHOSE):
        command = option(command)
    return command


def _list_of(loaded: Loaded, campaign_name: str | None, partner: str | None) -> str:
    from engine.store.dnc import SYSTEM

    if campaign_name and partner:
        raise click.UsageError("--campaign and --partner are two lists; name one")
    if campaign_name:
        known_campaign(loaded, campaign_name)
    return f"campaign:{campaign_name}" if campaign_name else f"partner:{partner}" if partner else SYSTEM


def _numbers(loaded: Loaded, texts: Sequence[str]) -> list[PhoneNumber]:
    from engine.leads.files import meaning_of
    from engine.phones import PhoneProblem, parse_phone

    read = [(text, parse_phone(text, meaning_of(loaded.config).numbering)) for text in texts]
    wrong = [f"{text}: {found.reason}" for text, found in read if isinstance(found, PhoneProblem)]
    if wrong:
        fail("; ".join(wrong) + "; nothing was changed")
    return [found for _, found in read if not isinstance(found, PhoneProblem)]


@dnc.command("add")
@click.argument("numbers", nargs=-1, required=True)
@_whose
@_WHY
@click.pass_obj
def dnc_add(path: Path, numbers: tuple[str, ...], campaign_name: str | None, partner: str | None, reason: str) -> None:
    """Never call these numbers again. A running engine takes back queued and ringing calls within a second.

    Example: zvonar dnc add "067 123 45 67" --reason complaint
    """
    loaded = read_config(path)
    to, asked = _list_of(loaded, campaign_name, partner), _numbers(loaded, numbers)

    async def add(database: AioDatabase, now_ms: int) -> int:
        from engine.store.dnc import DoNotCall

        return await DoNotCall(database).add(asked, to=to, reason=reason, by=who(), at_ms=now_ms)

    new = with_database(loaded, add, refusals=(ValueError,))
    click.echo(f"{to}: {new} added, {len(asked) - new} were there")


@dnc.command("remove")
@click.argument("numbers", nargs=-1, required=True)
@_whose
@_WHY
@click.pass_obj
def dnc_remove(
    path: Path, numbers: tuple[str, ...], campaign_name: str | None, partner: str | None, reason: str
) -> None:
    """Take numbers off a list: leads that were left alone for it alone may be called again.

    Example: zvonar dnc remove +380671234567 --reason "listed by mistake"
    """
    loaded = read_config(path)
    of, asked = _list_of(loaded, campaign_name, partner), _numbers(loaded, numbers)

    async def remove(database: AioDatabase, now_ms: int) -> int:
        from engine.store.dnc import DoNotCall

        lists = DoNotCall(database)
        return sum([await lists.remove(n, of=of, reason=reason, by=who(), at_ms=now_ms) for n in asked])

    gone = with_database(loaded, remove, refusals=(ValueError,))
    click.echo(f"{of}: {gone} removed, {len(asked) - gone} were not there")


@dnc.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@_whose
@_WHY
@click.pass_obj
def dnc_import(path: Path, file: Path, campaign_name: str | None, partner: str | None, reason: str) -> None:
    """Put all numbers of a file (XLSX, XLS, ODS, CSV) on a list.

    Example: zvonar dnc import register.csv --reason "national register"
    """
    from engine.leads.files import list_file, meaning_of
    from engine.leads.sheets import Refused

    loaded = read_config(path)
    to = _list_of(loaded, campaign_name, partner)

    async def bring(database: AioDatabase, now_ms: int) -> ListedFile:
        from engine.clock import WallClock

        return await list_file(
            database,
            file,
            to=to,
            reason=reason,
            meaning=meaning_of(loaded.config),
            file_name=file.name,
            by=who(),
            clock=WallClock(),
        )

    try:
        done = with_database(loaded, bring, refusals=(ValueError,))
    except Refused as refused:
        fail(f"{file}: {refused}")
    for reject in done.rejects:
        say(f"{file.name}:{reject.line}: {reject.field}: {reject.reason}: {reject.value!r}")
    click.echo(f"{to}: {done.new} added, {done.numbers - done.new} were there, {done.rejected} bad rows")


@dnc.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON value a line.")
@click.pass_obj
def dnc_list(path: Path, as_json: bool) -> None:
    """Print every entry of every list: number, list, time, who, why."""
    loaded = read_config(path)

    async def show(database: AioDatabase, now_ms: int) -> None:
        from engine.store.dnc import DoNotCall

        async for one in DoNotCall(database).all():
            if as_json:
                said = {"number": one.number.e164, "list": one.list, "at_ms": one.at_ms}
                click.echo(orjson.dumps({**said, "by": one.by, "reason": one.reason}).decode())
            else:
                click.echo(f"{one.number.e164}\t{one.list}\t{moment(one.at_ms, 'UTC')}\t{one.by}\t{one.reason}")

    with_database(loaded, show, refusals=(ValueError,))


@click.command("erase")
@click.argument("number", type=click.IntRange(min=1))
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def erase(path: Path, number: int, yes: bool) -> None:
    """Forget the person of a lead: name, numbers, fields, notes. It cannot be undone.

    What stays are the attempts without to whom they went, and a keyed hash of each number: a file that brings the
    person back does not bring them onto the phone.

    Example: zvonar erase 123
    """
    loaded = read_config(path)
    if not yes:
        click.confirm(f"Forget lead {number} for ever?", abort=True, err=True)

    async def forget(database: AioDatabase, now_ms: int) -> None:
        from engine.core.model import LeadId
        from engine.store.dnc import DoNotCall

        await DoNotCall(database).erase(LeadId(number), by=who(), at_ms=now_ms)

    with_database(loaded, forget, refusals=(ValueError,))
    click.echo(f"lead {number}: forgotten")
