"""What may reach Asterisk's files, what the carrier's plan promises, and what a journal line means."""

from __future__ import annotations

from pathlib import Path

import pytest

from asterisk.carrier.plan import CHANCE, FATES, carrier_dialplan, fate_of, table
from asterisk.conf import (
    AsteriskInstance,
    Binary,
    InvalidSettings,
    Phone,
    Secrets,
    Trunk,
    differing,
    problems,
    render_files,
    render_pjsip,
    write_if_changed,
)
from asterisk.dialplans import engine_dialplan
from asterisk.journal import carried_calls, read_journal

ROOT = Path(__file__).parents[2]
PHONE = Phone(name="101", password="quiet-Words-4", caller_id="Олена, зал 2")
TRUNK = Trunk(name="carrier", host="192.0.2.10", username="zvonar", password="quiet-Words-4", register=True)


def test_phones_and_trunks_stand_in_files_of_their_own() -> None:
    files = render_pjsip([PHONE], [TRUNK])
    assert 'callerid = "Олена, зал 2" <101>' in files["pjsip_phones.conf"]
    assert "contact = sip:192.0.2.10:5060" in files["pjsip_trunks.conf"]
    assert "match = 192.0.2.10\n" in files["pjsip_trunks.conf"]
    assert "type = registration" in files["pjsip_trunks.conf"]


def test_on_one_address_the_port_tells_a_carrier_from_a_phone() -> None:
    assert Trunk(name="demo", host="127.0.0.1", port=5260).match == "127.0.0.1:5260"


@pytest.mark.parametrize(
    "phone",
    [
        Phone(name="101\ncontext=from-trunk", password="quiet-Words-4"),
        Phone(name="101]", password="quiet-Words-4"),
        Phone(name="", password="quiet-Words-4"),
        Phone(name="global", password="quiet-Words-4"),
        Phone(name="101", password="quiet\ncontext=from-trunk"),
        Phone(name="101", password="quiet;Words"),
        Phone(name="101", password="short"),
        Phone(name="101", password="quiet-Words-4", caller_id='Anna" <900>\nallow=all'),
        Phone(name="101", password="quiet-Words-4", caller_id="${SHELL(id)}"),
        Phone(name="101", password="quiet-Words-4", codecs=("alaw\nallow=all",)),
        Phone(name="101", password="quiet-Words-4", language="ru\n"),
        Phone(name="101", password="quiet-Words-4", context="from-trunk]\n"),
    ],
)
def test_a_phone_cannot_bring_its_own_configuration(phone: Phone) -> None:
    assert len(problems([phone], [])) == 1
    with pytest.raises(InvalidSettings):
        render_pjsip([phone], [])


@pytest.mark.parametrize(
    "trunk",
    [
        Trunk(name="carrier", host="192.0.2.10\ncontext=x"),
        Trunk(name="carrier", host="192.0.2.10;x"),
        Trunk(name="carrier", host="192.0.2.10", port=0),
        Trunk(name="carrier", host="192.0.2.10", lines_max=0),
        Trunk(name="carrier", host="192.0.2.10", source="192.0.2.0/24\nendpoint=101"),
        Trunk(name="carrier", host="192.0.2.10", username="a b", password="quiet-Words-4"),
        Trunk(name="carrier", host="192.0.2.10", username="zvonar", password=""),
        Trunk(name="carrier", host="192.0.2.10", register=True),
        Trunk(name="carrier", host="192.0.2.10", qualify_s=-1),
    ],
)
def test_a_trunk_cannot_bring_its_own_configuration(trunk: Trunk) -> None:
    assert len(problems([], [trunk])) == 1


def test_every_problem_is_told_at_once_and_none_repeats_a_secret() -> None:
    found = problems([Phone(name="101", password="tiny;"), PHONE], [Trunk(name="101", host="")])
    assert [line.split(":")[0] for line in found] == [
        "phones.101.password",
        "phones.101.name",
        "trunks.101.name",
        "trunks.101.host",
    ]
    assert "tiny" not in "".join(found)
    assert "quiet" not in repr(PHONE)


def test_only_what_changed_is_written_and_only_the_owner_reads_it(tmp_path: Path) -> None:
    assert write_if_changed(tmp_path, {"a.conf": "one", "b.conf": "two"}) == ["a.conf", "b.conf"]
    assert write_if_changed(tmp_path, {"a.conf": "one", "b.conf": "three"}) == ["b.conf"]
    assert differing(tmp_path, {"a.conf": "one", "b.conf": "three", "c.conf": ""}) == ["c.conf"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.conf", "b.conf"]
    assert (tmp_path / "b.conf").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(("language", "voice"), [("ru", "ru"), ("uk", "en")])
def test_a_language_without_a_voice_speaks_english(tmp_path: Path, language: str, voice: str) -> None:
    (tmp_path / "sounds" / "ru").mkdir(parents=True)
    binary = Binary(exe=tmp_path / "asterisk", version=(22, 10, 1), modules=tmp_path, data=tmp_path)
    instance = AsteriskInstance(
        name="engine",
        root=tmp_path,
        sip_port=5160,
        http_port=8188,
        ami_port=5138,
        rtp_ports=(16_000, 16_999),
        dialplan=engine_dialplan(),
        language=language,
    )
    secrets = Secrets(ari_user="zvonar", ari_password="quiet", ami_user="zvonar", ami_secret="quiet")
    assert f"defaultlanguage = {voice}\n" in render_files(instance, binary, secrets)["asterisk.conf"]


@pytest.mark.parametrize("message", ["", "a b", "a,b", "${X}", "a\nexten"])
def test_a_message_is_a_list_of_sounds_and_nothing_else(message: str) -> None:
    with pytest.raises(ValueError, match="not a list of sound names"):
        engine_dialplan(message=message)


def test_the_dialplan_never_uses_a_dialed_number_unfiltered() -> None:
    lines = [line for text in (*engine_dialplan().values(), *carrier_dialplan().values()) for line in text.splitlines()]
    assert [line for line in lines if "${EXTEN" in line and "FILTER(0-9" not in line] == []


def test_the_number_plan_is_whole() -> None:
    assert len({fate.digits for fate in FATES}) == len(FATES)
    assert len({fate.name for fate in FATES}) == len(FATES)
    assert sum(share for share, _ in CHANCE) == 1000
    assert {name for _, name in CHANCE} <= {fate.name for fate in FATES}
    assert fate_of("+7 999 000-00-40") == next(fate for fate in FATES if fate.name == "dead_number")
    assert fate_of("+380670000099") is None


def test_the_documented_number_plan_is_the_real_one() -> None:
    assert table() in (ROOT / "docs" / "number-plan.md").read_text(encoding="utf-8")


def test_a_journal_is_read_on_from_where_it_was_left(tmp_path: Path) -> None:
    journal = tmp_path / "journal.csv"
    assert read_journal(journal) == ([], 0)
    journal.write_text(
        '"100.5","INVITE","1.1","PJSIP/engine-1","03","{""extra"":""79990000003 never_hangs_up""}"\n'
        "what is this\n"
        '"101.0","ANSWER","1.1","PJSIP/engine-1","s",""\n'
        '"102.0","HANG'
    )
    entries, offset = read_journal(journal)
    assert [entry.kind for entry in entries] == ["INVITE", "ANSWER"]
    journal.write_text(
        journal.read_text() + 'UP","1.1","PJSIP/engine-1","s","{""hangupcause"":16,""dialstatus"":""""}"\n'
    )
    more, _ = read_journal(journal, offset)
    assert [(entry.kind, entry.cause) for entry in more] == [("HANGUP", 16)]
    (call,) = carried_calls([*entries, *more])
    assert (call.number, call.fate) == ("79990000003", "never_hangs_up")
    assert (call.invited_ms, call.answered_ms, call.ended_ms) == (100_500, 101_000, 102_000)
    assert read_journal(journal, 10_000)[0][0].kind == "INVITE", "a rotated journal is read from its start"
