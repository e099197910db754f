"""One Asterisk of ours: starts quietly, keeps to itself, takes new phones under live calls."""

import dataclasses
import stat
from pathlib import Path

import aiohttp
import pytest

from asterisk.conf import AsteriskInstance, Phone, Trunk
from asterisk.instance import Asterisk, AsteriskFailed, check, find_binary
from asterisk.pair import carrier_asterisk, engine_asterisk, trunk_to_carrier
from tests.integration.switches import PHONES, AsteriskPair, ami, free_pair_ports, raw_ari, running, silent_peer, until

pytestmark = pytest.mark.integration


def _alone(root: Path) -> AsteriskInstance:
    ports = free_pair_ports()
    return engine_asterisk(root, ports, phones=PHONES[:2], trunks=(trunk_to_carrier(ports),))


@pytest.mark.parametrize("major", [22, 16])
async def test_the_engines_switch_starts_without_a_warning(asterisk_root: Path, major: int) -> None:
    async with running(_alone(asterisk_root / f"quiet-{major}"), major=major) as (switch,):
        assert switch.complaints() == []


async def test_the_carrier_starts_without_a_warning(asterisk_root: Path) -> None:
    async with running(carrier_asterisk(asterisk_root / "quiet-carrier", free_pair_ports())) as (switch,):
        assert switch.complaints() == []


def test_secrets_and_configuration_are_for_the_owner_only(asterisk_pair: AsteriskPair) -> None:
    paths = asterisk_pair.engine.instance.paths
    files = [path for folder in (paths.etc, paths.keys) for path in folder.iterdir() if path.is_file()]
    assert files
    assert [path.name for path in files if stat.S_IMODE(path.stat().st_mode) != 0o600] == []
    assert stat.S_IMODE(paths.root.stat().st_mode) == 0o700


async def test_ari_wants_the_secret(asterisk_pair: AsteriskPair) -> None:
    async with raw_ari(asterisk_pair.engine) as ari:
        assert (await ari.ask("GET", "asterisk/ping"))[0] == 200
    url = f"{asterisk_pair.ari_url}/asterisk/ping"
    async with aiohttp.ClientSession() as http, http.get(url, params={"api_key": "zvonar:guess"}) as response:
        assert response.status == 401


async def test_ami_lets_us_reload_and_notify_but_not_originate_or_command(asterisk_pair: AsteriskPair) -> None:
    secrets = asterisk_pair.engine.secrets
    async with ami(asterisk_pair.engine, secrets.ami_user, secrets.ami_secret) as ask:
        answers = {
            "Reload": await ask("Reload", Module="res_pjsip.so"),
            "PJSIPNotify": await ask("PJSIPNotify", Endpoint="101", Variable="Event=talk"),
            "PJSIPShowContacts": await ask("PJSIPShowContacts"),
            "Originate": await ask("Originate", Channel="Local/1@from-phone", Application="Hangup"),
            "Command": await ask("Command", Command="core show version"),
            "UpdateConfig": await ask("UpdateConfig", SrcFilename="pjsip.conf", DstFilename="pjsip.conf"),
            "Redirect": await ask("Redirect", Channel="x", Context="from-trunk", Exten="1", Priority="1"),
        }
    allowed = {name for name, answer in answers.items() if "Permission denied" not in answer}
    assert allowed == {"Reload", "PJSIPNotify", "PJSIPShowContacts"}
    with pytest.raises(PermissionError):
        async with ami(asterisk_pair.engine, secrets.ami_user, "guess"):
            pass


async def test_a_taken_port_is_named(asterisk_pair: AsteriskPair, asterisk_root: Path) -> None:
    same_ports = asterisk_pair.engine.instance
    other = AsteriskInstance(
        name="other",
        root=asterisk_root / "other",
        sip_port=same_ports.sip_port,
        http_port=same_ports.http_port,
        ami_port=same_ports.ami_port,
        rtp_ports=same_ports.rtp_ports,
        dialplan=same_ports.dialplan,
    )
    with pytest.raises(AsteriskFailed, match=f"127.0.0.1:{same_ports.sip_port} for SIP"):
        await Asterisk(other, find_binary()).start()


async def test_a_second_engine_adopts_the_running_switch_with_its_own_settings(asterisk_root: Path) -> None:
    instance = _alone(asterisk_root / "adopted")
    async with running(instance) as (first,):
        second = Asterisk(dataclasses.replace(instance, phones=PHONES[:3]), find_binary())
        await second.start()
        assert second.pid() == first.pid()
        await until(lambda: _knows(second, PHONES[2].name))
        assert first.complaints() == []


def test_check_names_the_file_that_is_not_what_the_settings_say(asterisk_pair: AsteriskPair) -> None:
    instance, binary = asterisk_pair.engine.instance, asterisk_pair.engine.binary
    assert check(instance, binary) == []
    changed = dataclasses.replace(instance, phones=PHONES[:1])
    assert [line for line in check(changed, binary) if "pjsip_phones.conf" in line] != []


async def test_a_new_phone_is_known_at_once_and_the_running_call_goes_on(asterisk_pair: AsteriskPair) -> None:
    engine = asterisk_pair.engine
    async with raw_ari(engine, app="zvonar") as ari:
        await ari.originate("PJSIP/79990000003@carrier", "a.reload.c", "zvonar-customer", ZV_ATTEMPT="reload")
        await ari.event("a.reload.c", "StasisStart")
        newcomer = Phone(name="199", password="phone-199")
        changed = await engine.apply((*PHONES, newcomer), engine.instance.trunks)
        assert changed == ["pjsip_phones.conf"]
        await until(lambda: _knows(engine, "199"))
        status, channel = await ari.ask("GET", "channels/a.reload.c")
        assert (status, channel["state"]) == (200, "Up")
        await ari.hang_up("a.reload.c")
        await engine.apply(PHONES, engine.instance.trunks)
        await until(lambda: _forgot(engine, "199"))


async def _knows(switch: Asterisk, name: str) -> bool:
    return f"Endpoint:  {name}" in await switch.cli(f"pjsip show endpoint {name}")


async def _forgot(switch: Asterisk, name: str) -> bool:
    return "Unable to find" in await switch.cli(f"pjsip show endpoint {name}")


async def test_the_auto_answer_header_reaches_the_phone_and_a_dead_carrier_ends_by_our_timer(
    asterisk_pair: AsteriskPair,
) -> None:
    engine = asterisk_pair.engine
    async with silent_peer() as peer, raw_ari(engine, app="zvonar") as ari:
        dead = Trunk(name="dead", host="127.0.0.1", port=peer.port, qualify_s=0)
        assert await engine.apply(PHONES, (*engine.instance.trunks, dead)) == ["pjsip_trunks.conf"]
        await until(lambda: _knows(engine, "dead"))
        await ari.ask("POST", "applications/zvonar/subscription", eventSource="endpoint:PJSIP/dead")
        await ari.originate(
            "PJSIP/79990000003@dead",
            "a.dead.c",
            "zvonar-agent",
            timeout_s=1,
            **{"PJSIP_HEADER(add,Call-Info)": "<sip:zvonar>;answer-after=0"},
        )
        end = await ari.event("a.dead.c", "ChannelDestroyed")
        assert (end["cause"], end["tech_cause"]) == (19, 480)
        assert "Call-Info: <sip:zvonar>;answer-after=0" in next(one for one in peer.heard if one.startswith("INVITE"))
        await engine.apply(PHONES, engine.instance.trunks)


async def test_a_stranger_gets_no_call_and_a_line_in_the_security_log(asterisk_pair: AsteriskPair) -> None:
    engine = asterisk_pair.engine.instance
    invite = (
        f"INVITE sip:79990000003@127.0.0.1:{engine.sip_port} SIP/2.0\r\n"
        "Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK-stranger\r\n"
        "From: <sip:stranger@127.0.0.1>;tag=1\r\n"
        f"To: <sip:79990000003@127.0.0.1:{engine.sip_port}>\r\n"
        "Call-ID: stranger\r\nCSeq: 1 INVITE\r\nContact: <sip:stranger@127.0.0.1:{port}>\r\n"
        "Max-Forwards: 10\r\nContent-Length: 0\r\n\r\n"
    )
    async with silent_peer() as stranger:
        for _ in range(6):
            stranger.send(invite.format(port=stranger.port), engine.sip_port)
        await until(lambda: stranger.heard)
    assert {answer.split(" ")[1] for answer in stranger.heard} == {"401"}
    security = engine.paths.log / "security.log"
    await until(lambda: 'AccountID="stranger"' in security.read_text())
