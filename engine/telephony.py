"""From config.yaml to telephony: phones, trunks, secrets, the private Asterisk, the account we use on it."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from pathlib import Path
from typing import Final

from asterisk.conf import AsteriskInstance, Phone, Trunk
from asterisk.dialplans import engine_dialplan
from asterisk.instance import Asterisk
from asterisk.journal import Journal, OptedOut
from engine.ami.client import AmiAccount
from engine.ari.client import AriAccount
from engine.ari.wire import Reads
from engine.config import Loaded, read_secret
from engine.core.events import LegGone, LegOptedOut
from engine.core.model import LegId, attempt_of_leg
from engine.phones import Numbering, carried_phone

#: The Stasis application that the dialplan hands calls to.
APPLICATION: Final = "zvonar"
PASSWORD_BYTES: Final = 18


def phones_and_trunks(loaded: Loaded) -> tuple[tuple[Phone, ...], tuple[Trunk, ...]]:
    """Phones and trunks of config.yaml; a phone without a password gets one. Raises OSError on unreadable secrets."""
    config = loaded.config
    phones = tuple(
        Phone(
            name=name,
            password=phone.password.get_secret_value() if phone.password else _secret(loaded.phone_secret_file(name)),
            caller_id=phone.caller_id or phone.name or name,
            codecs=phone.codecs,
        )
        for name, phone in config.phones.items()
    )
    trunks = tuple(
        Trunk(
            name=name,
            host=trunk.host.host,
            port=trunk.host.port,
            lines_max=trunk.lines_max,
            username=trunk.username or "",
            password=_trunk_password(loaded, name),
            register=trunk.register_with_carrier,
            codecs=trunk.codecs,
        )
        for name, trunk in config.trunks.items()
    )
    return phones, trunks


def private_asterisk(loaded: Loaded) -> AsteriskInstance:
    """The Asterisk that we run ourselves, as config.yaml wants it."""
    phones, trunks = phones_and_trunks(loaded)
    settings = loaded.config.asterisk
    return AsteriskInstance(
        name="engine",
        root=loaded.resolve(Path("var/asterisk/engine")).absolute(),
        sip_address=settings.sip.host,
        sip_port=settings.sip.port,
        control_address=settings.ari.host,
        http_port=settings.ari.port,
        ami_port=settings.ami.port,
        rtp_ports=(settings.rtp_ports.first, settings.rtp_ports.last),
        dialplan=dialplan_of(loaded),
        phones=phones,
        trunks=trunks,
        language=loaded.config.languages[0],
        recordings=recordings_folder(loaded),
    )


def recordings_folder(loaded: Loaded) -> Path:
    """Where the private Asterisk keeps recordings."""
    return loaded.resolve(loaded.config.recordings.folder).absolute()


def dialplan_of(loaded: Loaded) -> dict[str, str]:
    """The dialplan files of the engine's Asterisk, name → text."""
    agi = loaded.config.asterisk.agi
    return engine_dialplan(app=APPLICATION, agi=str(agi) if agi is not None else "")


def ari_account(loaded: Loaded, private: Asterisk | None) -> AriAccount:
    """Whom we are to ARI: the generated account of the private Asterisk, or the one that config.yaml names.

    Raises OSError when the named secret cannot be read.
    """
    settings = loaded.config.asterisk
    url = f"http://{settings.ari.host}:{settings.ari.port}/ari"
    if private is not None:
        return AriAccount(url=url, user=private.secrets.ari_user, secret=private.secrets.ari_password, app=APPLICATION)
    secret = read_secret(settings.ari_password, loaded.switch_secret_file("ari"))
    return AriAccount(url=url, user=settings.ari_user, secret=secret, app=APPLICATION)


class LegsTold:
    """What the journal of a private Asterisk tells of customers' legs: an `engine.ari.switch.SwitchJournal`."""

    def __init__(self, journal: Path, *, since_ms: int | None) -> None:
        """The first to be told is what happened since `since_ms` (None: since now)."""
        self._journal = Journal(journal, since_ms=since_ms)

    def answered(self) -> list[LegId]:
        """See `SwitchJournal.answered`."""
        return [LegId(id_) for id_ in self._journal.answered() if attempt_of_leg(id_) is not None]

    def told(self, lost: Collection[LegId]) -> list[LegGone | LegOptedOut]:
        """See `SwitchJournal.told`."""
        return [
            LegOptedOut(LegId(told.channel_id))
            if isinstance(told, OptedOut)
            else LegGone(LegId(told.channel_id), told.answered_ms, told.cause)
            for told in self._journal.look(lost)
            if attempt_of_leg(told.channel_id) is not None
        ]


def carried_number(loaded: Loaded) -> Reads:
    """Reads what a carrier sends as a number by config.yaml's `numbering`."""
    settings = loaded.config.numbering
    numbering = Numbering(settings.regions, settings.allow)
    return lambda text: carried_phone(text, numbering)


def ami_account(loaded: Loaded, private: Asterisk | None) -> AmiAccount:
    """Whom we are to AMI, as `ari_account`. Raises OSError when the named secret cannot be read."""
    settings = loaded.config.asterisk
    host, port = settings.ami.host, settings.ami.port
    if private is not None:
        return AmiAccount(host=host, port=port, user=private.secrets.ami_user, secret=private.secrets.ami_secret)
    secret = read_secret(settings.ami_password, loaded.switch_secret_file("ami"))
    return AmiAccount(host=host, port=port, user=settings.ami_user, secret=secret)


def _trunk_password(loaded: Loaded, name: str) -> str:
    trunk = loaded.config.trunks[name]
    if not trunk.username:
        return ""
    return read_secret(trunk.password, loaded.resolve(trunk.password_file or Path()))


def _secret(file: Path) -> str:
    """The secret in the file, made at first use and readable by us only."""
    if not file.exists():
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(PASSWORD_BYTES) + "\n", encoding="utf-8")
    return file.read_text(encoding="utf-8").strip()
