"""Our Asterisk configuration as text: templates and settings in, files out. No processes here.

Phones, trunks and their secrets come from a person's config.yaml and end up in a format where a line break or a
semicolon changes the meaning, so everything is checked against an alphabet before it is rendered.
"""

import ipaddress
import json
import os
import re
import secrets as random_secrets
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

_HERE = Path(__file__).parent
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
_PASSWORD = re.compile(r"[A-Za-z0-9!#$%&()*+./:<=>?@^_{|}~-]{6,80}")
_CALLER_ID = re.compile(r"[^\x00-\x1f\x7f;\"\\<>\[\]{}$]{0,60}")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_USERNAME = re.compile(r"[A-Za-z0-9+][A-Za-z0-9+_.-]{0,59}")
_CODECS = frozenset({"alaw", "ulaw", "g722", "opus"})
_RESERVED_NAMES = frozenset({"global", "system", "general", "transport-udp", "zvonar"})


# Nothing to set, but Asterisk logs an error where they are missing.
_QUIET = {
    "acl": "",
    "ccss": "[general]\n",
    "features": "[general]\n",
    "pjproject": "[startup]\ntype = startup\nlog_level = default\n",
    "pjsip_notify": "",
    "stasis": "[threadpool]\n",
    "udptl": "[general]\n",
    "websocket_client": "",
}


class InvalidSettings(ValueError):
    """Phones or trunks that must not reach pjsip.conf; the message lists every problem on a line of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phone:
    """A desk phone: registers as `name` with `password`; `caller_id` is the display name others see."""

    name: str
    password: str = field(repr=False)
    caller_id: str = ""
    codecs: tuple[str, ...] = ("alaw", "ulaw", "g722")
    language: str = ""
    context: str = "from-phone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trunk:
    """A carrier. `lines_max` is the engine's cap; `source` the address its calls come from (default: `host`).

    `qualify_s`: seconds between SIP OPTIONS probes; 0: none, and a dead carrier costs 32 s of waiting per call.
    """

    name: str
    host: str
    port: int = 5060
    transport: Literal["udp", "tcp"] = "udp"
    lines_max: int = 30
    username: str = ""
    password: str = field(default="", repr=False)
    register: bool = False
    source: str = ""
    codecs: tuple[str, ...] = ("alaw", "ulaw")
    qualify_s: int = 15
    context: str = "from-trunk"

    @property
    def uri(self) -> str:
        return f"sip:{self.host}:{self.port}" + (";transport=tcp" if self.transport == "tcp" else "")

    @property
    def match(self) -> str:
        """The source address that identifies the carrier: with the port where one address serves several roles."""
        if self.source:
            return self.source
        by_port = _is_loopback(self.host) and self.transport == "udp"
        return f"{self.host}:{self.port}" if by_port else self.host


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """What the engine needs to talk to ARI and AMI of one instance."""

    ari_user: str
    ari_password: str = field(repr=False)
    ami_user: str
    ami_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Where one instance keeps its files."""

    root: Path

    @property
    def etc(self) -> Path:
        return self.root / "etc"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def log(self) -> Path:
        return self.root / "log"

    @property
    def spool(self) -> Path:
        return self.root / "spool"

    @property
    def db(self) -> Path:
        return self.root / "db"

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def music(self) -> Path:
        """Music on hold."""
        return self.root / "music"

    @property
    def conf(self) -> Path:
        return self.etc / "asterisk.conf"

    @property
    def messages(self) -> Path:
        return self.log / "messages.log"

    @property
    def journal(self) -> Path:
        """The switch's own record of answers, hang-ups and fallbacks; see `asterisk.journal`."""
        return self.log / "cel-custom" / "journal.csv"

    def make(self) -> None:
        """Create what is missing, readable by the owner only."""
        for path in (self.root, self.etc, self.run, self.log, self.spool, self.db, self.keys):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in (self.log / "cel-custom", self.keys / "keys"):
            path.mkdir(mode=0o700, exist_ok=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class AsteriskInstance:
    """One Asterisk: its place, ports, phones, trunks and dialplan (file name → text, with `extensions.conf`)."""

    name: str
    root: Path
    sip_port: int
    http_port: int
    ami_port: int
    rtp_ports: tuple[int, int]
    dialplan: Mapping[str, str]
    sip_address: str = "127.0.0.1"
    control_address: str = "127.0.0.1"
    phones: tuple[Phone, ...] = ()
    trunks: tuple[Trunk, ...] = ()
    language: str = "ru"
    channels_max: int = 1000
    recordings: Path | None = None  # a folder of its own for recordings; otherwise they lie in the spool

    @property
    def paths(self) -> Paths:
        return Paths(root=self.root)

    @property
    def ari_url(self) -> str:
        return f"http://{self.control_address}:{self.http_port}/ari"


@dataclass(frozen=True, slots=True, kw_only=True)
class Binary:
    """An Asterisk executable; `modules` and `data` only where it does not know them itself."""

    exe: Path
    version: tuple[int, ...]
    modules: Path | None = None
    data: Path | None = None


def problems(phones: Iterable[Phone], trunks: Iterable[Trunk]) -> list[str]:
    """Everything that must be mended before these may be rendered; empty: all is well."""
    found: list[str] = []
    seen: dict[str, str] = {}
    for where, one in _named(phones, trunks):
        if one.name.lower() in seen:
            found.append(f"{where}.name: the name is already taken by {seen[one.name.lower()]}; give each its own")
        seen.setdefault(one.name.lower(), where)
        found += _common_problems(where, one)
        found += _phone_problems(where, one) if isinstance(one, Phone) else _trunk_problems(where, one)
    return found


def render_pjsip(phones: Sequence[Phone], trunks: Sequence[Trunk]) -> dict[str, str]:
    """The two pjsip files that change with config.yaml, name → text; InvalidSettings if anything is unfit."""
    found = problems(phones, trunks)
    if found:
        raise InvalidSettings("\n".join(found))
    return {
        "pjsip_phones.conf": _template("pjsip_phones.conf").render(phones=phones),
        "pjsip_trunks.conf": _template("pjsip_trunks.conf").render(trunks=trunks),
    }


def render_files(instance: AsteriskInstance, binary: Binary, secrets: Secrets) -> dict[str, str]:
    """Every file of the instance's etc folder, name → text."""
    known = {
        "instance": instance,
        "paths": instance.paths,
        "binary": binary,
        "secrets": secrets,
        "voice": _voice(instance.language, binary),
    }
    names = ["asterisk", "modules", "logger", "http", "ari", "manager", "rtp", "pjsip", "cel", "cel_custom", "cdr"]
    names += ["indications", "amd", "musiconhold"]
    files = {f"{name}.conf": _template(f"{name}.conf").render(**known) for name in names}
    files |= {f"{name}.conf": f"; Nothing to set.\n{section}" for name, section in _QUIET.items()}
    files["modules.conf"] = _only_present(files["modules.conf"], binary)
    return files | render_pjsip(instance.phones, instance.trunks) | dict(instance.dialplan)


def write_if_changed(folder: Path, files: Mapping[str, str]) -> list[str]:
    """Replace the files whose text differs, each atomically and readable by the owner only; the changed names."""
    changed = differing(folder, files)
    for name in changed:
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as out:
                out.write(files[name])
                out.flush()
                os.fsync(out.fileno())
            Path(temporary).replace(folder / name)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    return changed


def differing(folder: Path, files: Mapping[str, str]) -> list[str]:
    """Names of the files that are missing in `folder` or say something else there."""
    return [name for name, text in files.items() if _text_of(folder / name) != text]


def load_or_make_secrets(paths: Paths) -> Secrets:
    """The instance's own ARI and AMI secrets, made once and kept in a file that only its owner can read."""
    path = paths.keys / "secrets.json"
    if path.exists():
        return Secrets(**json.loads(path.read_text(encoding="utf-8")))
    made = Secrets(
        ari_user="zvonar",
        ari_password=random_secrets.token_urlsafe(24),
        ami_user="zvonar",
        ami_secret=random_secrets.token_urlsafe(24),
    )
    write_if_changed(paths.keys, {path.name: json.dumps(asdict(made))})
    return made


def _voice(language: str, binary: Binary) -> str:
    """The language of spoken messages: the wanted one where its sounds are installed, else English."""
    return language if binary.data and (binary.data / "sounds" / language).exists() else "en"


def _only_present(text: str, binary: Binary) -> str:
    """modules.conf less the modules that this version does not have."""
    folder = binary.modules
    if folder is None:
        return text
    loads = re.compile(r"load = (\S+)")
    kept = (line for line in text.splitlines() if not (m := loads.fullmatch(line)) or (folder / m[1]).exists())
    return "\n".join(kept) + "\n"


def _named(phones: Iterable[Phone], trunks: Iterable[Trunk]) -> Iterable[tuple[str, Phone | Trunk]]:
    for phone in phones:
        yield f"phones.{_shown(phone.name)}", phone
    for trunk in trunks:
        yield f"trunks.{_shown(trunk.name)}", trunk


def _common_problems(where: str, one: Phone | Trunk) -> list[str]:
    found = []
    if not _NAME.fullmatch(one.name):
        found.append(f"{where}.name: use 1 to 40 Latin letters, digits, - and _")
    elif one.name.lower() in _RESERVED_NAMES:
        found.append(f"{where}.name: this name has a meaning of its own in Asterisk; choose another")
    if unknown := [codec for codec in one.codecs if codec not in _CODECS]:
        found.append(f"{where}.codecs: unknown {', '.join(map(_shown, unknown))}; known: {', '.join(sorted(_CODECS))}")
    if not one.codecs:
        found.append(f"{where}.codecs: at least one is needed, for instance alaw")
    if not re.fullmatch(r"[a-z][a-z-]{0,39}", one.context):
        found.append(f"{where}.context: not the name of a dialplan context")
    return found


def _phone_problems(where: str, phone: Phone) -> list[str]:
    found = []
    if not _PASSWORD.fullmatch(phone.password):
        found.append(
            f"{where}.password: use 6 to 80 Latin letters, digits and signs, without spaces, quotes, ; [ ] \\ ,"
        )
    if not _CALLER_ID.fullmatch(phone.caller_id):
        found.append(f'{where}.caller_id: at most 60 characters, without line breaks and ; " \\ < > [ ] {{ }} $')
    if phone.language and not re.fullmatch(r"[a-z]{2}(_[A-Z]{2})?", phone.language):
        found.append(f"{where}.language: two letters, for instance ru, uk or en")
    return found


def _trunk_problems(where: str, trunk: Trunk) -> list[str]:
    found = []
    if not _HOST.fullmatch(trunk.host):
        found.append(f"{where}.host: neither a host name nor an IPv4 address")
    if not 1 <= trunk.port <= 65535:
        found.append(f"{where}.port: must be from 1 to 65535")
    if trunk.lines_max < 1:
        found.append(f"{where}.lines_max: must be at least 1")
    if not 0 <= trunk.qualify_s <= 3600:
        found.append(f"{where}.qualify_s: must be from 0 to 3600 seconds")
    if trunk.source and not re.fullmatch(r"[A-Za-z0-9.:/,-]{1,200}", trunk.source):
        found.append(f"{where}.source: addresses or networks, separated by commas")
    if trunk.username and not _USERNAME.fullmatch(trunk.username):
        found.append(f"{where}.username: use letters, digits and + _ . -")
    if trunk.username and not _PASSWORD.fullmatch(trunk.password):
        found.append(
            f"{where}.password: use 6 to 80 Latin letters, digits and signs, without spaces, quotes, ; [ ] \\ ,"
        )
    if trunk.register and not trunk.username:
        found.append(f"{where}.register: a registration needs username and password")
    return found


def _shown(text: str) -> str:
    """A name as it may stand in a message: short, without anything that could break the line."""
    return re.sub(r"[^\w.+-]", "?", text)[:40] or "?"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _text_of(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


@cache
def _environment() -> Environment:
    return Environment(  # noqa: S701 - Asterisk's own format, where HTML escapes would be wrong; inputs are checked
        loader=FileSystemLoader(_HERE / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _template(name: str) -> Template:
    return _environment().get_template(name)
