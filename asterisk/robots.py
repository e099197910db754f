"""Robot desk phones: one baresip with an account each. They register, answer by themselves and echo what they hear.

Echo, not a recording: baresip hangs up where a sound file ends, and an agent's leg lives for a whole shift.
"""

import asyncio
import json
import re
import subprocess
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from asterisk.conf import Phone, write_if_changed
from asterisk.instance import AsteriskFailed
from asterisk.process import end, spawn

_INSTALLER = Path(__file__).parent.parent / "scripts" / "install_phones.sh"
_START_TIMEOUT_S = 10.0
_ANSWER_TIMEOUT_S = 3.0
_FRAME_MAX = 1 << 20

_CONFIG = """\
module_path {modules}
module g711.so
module aubridge.so
module_app account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:{control_port}
sip_listen 127.0.0.1:0
net_interface 127.0.0.1
audio_source aubridge,idle
audio_player aubridge,idle
audio_alert aubridge,idle
statmode_default off
call_max_calls 1000
"""


class RobotFailed(RuntimeError):
    """A robot phone did not do as told; the message holds what baresip said."""


def phone_programs() -> Path:
    """The folder with `baresip` and `sipp`; they are installed first if they are missing."""
    done = subprocess.run([str(_INSTALLER)], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise AsteriskFailed("robot phones are not available: see the message of scripts/install_phones.sh above")
    return Path(done.stdout.strip().splitlines()[-1])


class RobotPhones:
    """Robot phones of one switch. `manual`: names of those that ring until `answer` is called."""

    def __init__(
        self,
        root: Path,
        phones: Sequence[Phone],
        *,
        server: str,
        control_port: int,
        manual: Collection[str] = (),
        die_with_parent: bool = True,
    ) -> None:
        """`server`: the switch's address:port. `root`: a folder for their files."""
        self._root = root
        self._phones = {phone.name: phone for phone in phones}
        self._server = server
        self._control_port = control_port
        self._manual = frozenset(manual)
        self._die_with_parent = die_with_parent
        self._process: subprocess.Popen[bytes] | None = None
        self._turn = asyncio.Lock()

    async def start(self) -> None:
        """Start all phones; they are registered when `registered()` names them."""
        programs = await asyncio.to_thread(phone_programs)
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        modules = next(programs.parent.glob("usr/lib/**/baresip/modules"))
        config = _CONFIG.format(modules=modules, control_port=self._control_port)
        accounts = "".join(f"{self._account(phone)}\n" for phone in self._phones.values())
        write_if_changed(self._root, {"config": config, "accounts": accounts, "contacts": "", "uuid": ""})
        self._process = spawn(
            [str(programs / "baresip"), "-f", str(self._root)],
            log=self._root / "baresip.log",
            cwd=self._root,
            die_with_parent=self._die_with_parent,
        )
        await self._ready()

    async def stop(self) -> None:
        """End them; the switch sees them unregister."""
        if self._process is not None:
            await asyncio.to_thread(end, self._process)
            self._process = None

    async def registered(self) -> set[str]:
        """Names of the phones that the switch has accepted."""
        answer = await self._tell("reginfo")
        return set(re.findall(r"sip:([^@\s]+)@\S+\s+(?:\x1b\[\d*m)?OK", answer))

    async def answer(self, name: str) -> None:
        """Lift the handset of a ringing phone."""
        await self._tell_phone(name, "accept")

    async def hang_up(self, name: str) -> None:
        """Put the handset down (or reject, while it rings)."""
        await self._tell_phone(name, "hangup")

    async def dial(self, number: str) -> None:
        """Dial from the first phone: baresip takes the first account of a server."""
        await self._tell("dial", number)

    async def unregister(self, name: str) -> None:
        """Take the phone off the network as a switched-off phone would go."""
        await self._tell("uadel", self._address(name))

    async def register(self, name: str) -> None:
        """Bring it back."""
        await self._tell("uanew", self._account(self._phones[name]))

    async def calls(self) -> dict[str, str]:
        """Phone name → state of its call (`ESTABLISHED`, `INCOMING` …), only phones with a call."""
        found: dict[str, str] = {}
        name = ""
        for line in (await self._tell("listcalls")).splitlines():
            if agent := re.match(r"User-Agent: ([^@]+)@", line):
                name = agent[1]
            elif call := re.match(r".*\[line \d+, id [^\]]+\]\s+\S+\s+(\w+)", line):
                found[name] = call[1]
        return found

    def _address(self, name: str) -> str:
        return f"sip:{name}@{self._server}"

    def _account(self, phone: Phone) -> str:
        mode = "manual" if phone.name in self._manual else "auto"
        echo = f"audio_source=aubridge,{phone.name};audio_player=aubridge,{phone.name}"
        return (
            f"<{self._address(phone.name)}>;auth_user={phone.name};auth_pass={phone.password};answermode={mode};"
            f"regint=60;audio_codecs=PCMA,PCMU;{echo}"
        )

    async def _ready(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                raise RobotFailed(f"baresip ended at once:\n{self._last_words()}")
            try:
                await self._tell("reginfo")
            except OSError:
                await asyncio.sleep(0.05)
            else:
                return
        raise RobotFailed(f"baresip did not get ready:\n{self._last_words()}")

    async def _tell_phone(self, name: str, command: str) -> None:
        """baresip's commands act on its current phone, so both commands are one turn."""
        async with self._turn:
            await self._send("uafind", self._address(name))
            await self._send(command)

    async def _tell(self, command: str, params: str = "") -> str:
        async with self._turn:
            return await self._send(command, params)

    async def _send(self, command: str, params: str = "") -> str:
        async with asyncio.timeout(_ANSWER_TIMEOUT_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", self._control_port, limit=_FRAME_MAX)
            try:
                message = json.dumps({"command": command, "params": params, "token": "zvonar"}).encode()
                writer.write(b"%d:%b," % (len(message), message))
                await writer.drain()
                answer = await _answer(reader)
            finally:
                writer.close()
                await writer.wait_closed()
        if not answer["ok"]:
            raise RobotFailed(f"{command} {params}: {answer['data']}".strip())
        return str(answer["data"])

    def _last_words(self) -> str:
        text = (self._root / "baresip.log").read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-8:])


async def _answer(reader: asyncio.StreamReader) -> dict[str, object]:
    """The next answer among the events: netstrings of JSON."""
    while True:
        length = int((await reader.readuntil(b":"))[:-1])
        frame = await reader.readexactly(length + 1)
        message: dict[str, object] = json.loads(frame[:-1])
        if message.get("response"):
            return message
