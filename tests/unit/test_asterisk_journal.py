"""The switch's own journal, read while it grows."""

from __future__ import annotations

from pathlib import Path

from asterisk.journal import BISECT_TO, EndedChannel, Journal, OptedOut


def line(at_s: float, kind: str, channel: str, extra: str = "") -> str:
    quoted = extra.replace('"', '""')
    return f'"{at_s:.6f}","{kind}","{channel}","PJSIP/x-1","s","{quoted}"\n'


def hang_up(at_s: float, channel: str, cause: int) -> str:
    return line(at_s, "HANGUP", channel, f'{{"hangupcause":{cause}}}')


def test_each_channel_that_ended_is_told_once_with_its_answer(tmp_path: Path) -> None:
    journal = tmp_path / "journal.csv"
    ended = Journal(journal, since_ms=None)
    assert ended.look() == []
    journal.write_text(line(10, "ANSWER", "a.1-1.c") + line(11, "ZV_MESSAGE", "a.1-1.c"), encoding="utf-8")
    assert ended.look() == []
    with journal.open("a", encoding="utf-8") as file:
        file.write(hang_up(12, "a.1-1.c", 16) + hang_up(13, "a.1-2.c", 17) + hang_up(14, "a.1-3.c", 1)[:-9])
    assert ended.look() == [
        EndedChannel(channel_id="a.1-1.c", answered_ms=10_000, cause=16),
        EndedChannel(channel_id="a.1-2.c", answered_ms=None, cause=17),
    ]
    assert ended.look() == [], "a half-written line waits for its end"


def test_a_long_journal_is_not_read_from_its_start(tmp_path: Path) -> None:
    journal = tmp_path / "journal.csv"
    seconds = BISECT_TO // 20
    journal.write_text("".join(hang_up(s, f"a.1-{s}.c", 16) for s in range(seconds)), encoding="utf-8")
    since_s = seconds - 7
    recent = [one.channel_id for one in Journal(journal, since_ms=since_s * 1000).look()]
    assert recent == [f"a.1-{s}.c" for s in range(since_s, seconds)]
    assert Journal(journal, since_ms=None).look() == []


def test_what_was_before_is_not_told_again_but_an_answer_of_then_counts(tmp_path: Path) -> None:
    journal = tmp_path / "journal.csv"
    before = line(10, "ANSWER", "a.1-1.c") + line(11, "ANSWER", "a.1-2.c") + line(12, "ZV_OPT_OUT", "a.1-1.c")
    journal.write_text(before + hang_up(13, "a.1-1.c", 16) + hang_up(20, "a.1-2.c", 16), encoding="utf-8")
    told = Journal(journal, since_ms=20_000).look()
    assert told == [EndedChannel(channel_id="a.1-2.c", answered_ms=11_000, cause=16)]


def test_the_key_for_no_more_calls_is_told_even_if_the_call_has_no_end(tmp_path: Path) -> None:
    journal = tmp_path / "journal.csv"
    journal.write_text(line(10, "ANSWER", "a.1-1.c") + line(13, "ZV_OPT_OUT", "a.1-1.c"), encoding="utf-8")
    assert Journal(journal, since_ms=0).look() == [OptedOut("a.1-1.c")]


def test_who_had_answered_and_died_with_their_asterisk_is_told_once_the_channel_is_gone(tmp_path: Path) -> None:
    journal = tmp_path / "journal.csv"
    journal.write_text(
        line(10, "ANSWER", "a.1-1.c") + line(11, "ANSWER", "a.1-2.c") + hang_up(12, "a.1-2.c", 16), encoding="utf-8"
    )
    reader = Journal(journal, since_ms=0)
    assert reader.answered() == {"a.1-1.c"}
    assert reader.look() == [EndedChannel(channel_id="a.1-2.c", answered_ms=11_000, cause=16)]
    assert reader.answered() == {"a.1-1.c"}, "it may talk yet"
    lost = EndedChannel(channel_id="a.1-1.c", answered_ms=10_000, cause=0)
    assert reader.look({"a.1-1.c"}) == [lost]
    assert reader.answered() == set()
    assert reader.look({"a.1-1.c"}) == []
    with journal.open("a", encoding="utf-8") as file:
        file.write(line(20, "ANSWER", "a.1-3.c") + hang_up(21, "a.1-3.c", 16))
    told = reader.look({"a.1-3.c"})
    assert told == [EndedChannel(channel_id="a.1-3.c", answered_ms=20_000, cause=16)], "its end stands there"
