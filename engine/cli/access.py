"""Who may come in: people who log in, partners who send leads."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.cli.common import fail, known_campaign, print_json, read_config, say, who, with_database

if TYPE_CHECKING:
    from engine.store.database import AioDatabase
    from engine.store.partners import Partner


@click.group()
def user() -> None:
    """People who may log in."""


_LOGIN = click.argument("login")
_PASSWORD_STDIN = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")


@user.command("add")
@_LOGIN
@click.option("--role", type=click.Choice(["operator", "supervisor", "engineer", "admin"]), required=True)
@click.option("--agent", help="The agent of config.yaml that an operator works as; by default the log-in name.")
@click.option("--name", help="The name that colleagues see.")
@click.option("--language", type=click.Choice(["ru", "uk", "en"]), help="By default the first of config.yaml.")
@_PASSWORD_STDIN
@click.pass_obj
def user_add(
    path: Path, login: str, role: str, agent: str | None, name: str | None, language: str | None, password_stdin: bool
) -> None:
    """Let somebody log in.

    Example: zvonar user add operator1 --role operator
    """
    from crm_lite.auth import WeakPassword, create_user

    loaded = read_config(path)
    if role == "operator":
        agent = agent or login
    if agent is not None and agent not in loaded.config.agents:
        raise click.BadParameter(f"{agent} is not in the agents of {path}", param_hint="--agent")
    password = _password(password_stdin)

    async def add(database: AioDatabase, now_ms: int) -> None:
        from engine.store.records import Records

        records = Records(database)
        if await records.user_by_login(login) is not None:
            raise ValueError(f"{login} is there already; a new password: zvonar user passwd {login}")
        shown = name or (loaded.config.agents[agent].name if agent else login)
        spoken = language or loaded.config.languages[0]
        await create_user(records, login, password, role, agent, spoken, name=shown, now_ms=now_ms)

    with_database(loaded, add, refusals=(WeakPassword, ValueError))
    click.echo(f"{login}: may log in as {role}")


@user.command("passwd")
@_LOGIN
@_PASSWORD_STDIN
@click.pass_obj
def user_passwd(path: Path, login: str, password_stdin: bool) -> None:
    """Give somebody a new password and end their sessions."""
    from crm_lite.auth import WeakPassword, create_user

    loaded = read_config(path)
    password = _password(password_stdin)

    async def change(database: AioDatabase, now_ms: int) -> None:
        from engine.store.records import Records

        records = Records(database)
        known = await records.user_by_login(login)
        if known is None:
            raise ValueError(f"nobody logs in as {login}")
        await create_user(
            records, login, password, known.role, known.agent, known.language, name=known.name, now_ms=now_ms
        )
        await records.end_sessions(login)

    with_database(loaded, change, refusals=(WeakPassword, ValueError))
    click.echo(f"{login}: has a new password")


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))


@click.group()
def partner() -> None:
    """Who may send leads by POST /api/v1/leads."""


_PARTNER = click.argument("key")


@partner.command("add")
@_PARTNER
@click.option("--campaign", "campaign_name", required=True, help="The campaign that gets the partner's leads.")
@click.pass_obj
def partner_add(path: Path, key: str, campaign_name: str) -> None:
    """Let a partner send leads. The token is printed this once: only its hash is kept.

    Example: zvonar partner add shop --campaign demo
    """
    loaded = read_config(path)
    known_campaign(loaded, campaign_name)
    if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,63}", key):
        raise click.BadParameter("small letters, digits, _ . -", param_hint="KEY")

    async def add(database: AioDatabase, now_ms: int) -> str | None:
        from engine.core.model import CampaignId
        from engine.store.partners import Partners

        return await Partners(database).add(key, CampaignId(campaign_name), by=who(), at_ms=now_ms)

    token = with_database(loaded, add)
    if token is None:
        fail(f"{key} is there already; a new token: zvonar partner revoke {key}, then add again")
    say(f"{key}: may send leads into {campaign_name}; the token, told only now:")
    click.echo(token)


@partner.command("revoke")
@_PARTNER
@click.pass_obj
def partner_revoke(path: Path, key: str) -> None:
    """Take no more leads with a partner's token, from this moment on."""
    loaded = read_config(path)

    async def revoke(database: AioDatabase, now_ms: int) -> bool:
        from engine.store.partners import Partners

        return await Partners(database).revoke(key, by=who(), at_ms=now_ms)

    if not with_database(loaded, revoke):
        fail(f"{key} sends no leads")
    click.echo(f"{key}: sends no more leads")


@partner.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print partners as JSON.")
@click.pass_obj
def partner_list(path: Path, as_json: bool) -> None:
    """Say who sends leads, into which campaign, how many, and how many were new and good."""
    loaded = read_config(path)

    async def look(database: AioDatabase, now_ms: int) -> tuple[Partner, ...]:
        from engine.store.partners import Partners

        return await Partners(database).all()

    found = with_database(loaded, look)
    if as_json:
        print_json(found)
        return
    for one in found:
        state = "revoked" if one.revoked_at_ms is not None else "open"
        click.echo(f"{one.key}\t{one.campaign}\t{state}\t{one.sent} sent\t{one.accepted} accepted")
