"""What a reader of a feed gets, and what a browser may say: no socket needed."""

from __future__ import annotations

import json

import pytest

from crm_lite.live_protocol import (
    CHARS_KEPT_MAX,
    FRAMES_KEPT_MAX,
    FRAMES_PER_BROWSER_MAX,
    FRAMES_RESENT_MAX,
    MESSAGE_BYTES_MAX,
    BadMessage,
    Do,
    Feed,
    Hello,
    Outbox,
    Overflow,
    Pong,
    Verb,
    read_message,
)


def hello(since: int, desk: str = "olena-1") -> Hello:
    return Hello(since=since, desk=desk, build="b", browser="x")


def feed_of(frames: int, text: str = "") -> Feed:
    feed = Feed("olena-1")
    for number in range(frames):
        feed.publish("agent", text=f"{text}{number}")
    return feed


def seqs(frames: list[str] | None) -> list[int] | None:
    return None if frames is None else [json.loads(frame)["seq"] for frame in frames]


def test_frames_are_numbered_without_gaps() -> None:
    feed = Feed("olena-1")
    assert [json.loads(feed.publish("agent"))["seq"] for _ in range(3)] == [1, 2, 3]


def test_answers_do_not_move_the_feed() -> None:
    feed = feed_of(2)
    assert json.loads(feed.frame("ack", id="x"))["seq"] == 2
    assert feed.seq == 2


def test_a_reader_who_missed_two_frames_gets_those_two() -> None:
    assert seqs(feed_of(5).missed(hello(3))) == [4, 5]


def test_a_reader_who_missed_nothing_gets_nothing() -> None:
    assert feed_of(5).missed(hello(5)) == []


@pytest.mark.parametrize(
    "said",
    [hello(-1), hello(99), hello(3, desk="olena-of-another-start"), hello(3, desk="")],
    ids=["a new tab", "ahead of us", "another start of the server", "no feed at all"],
)
def test_a_reader_whose_place_is_unknown_needs_a_snapshot(said: Hello) -> None:
    assert feed_of(5).missed(said) is None


def test_a_reader_away_for_too_long_needs_a_snapshot() -> None:
    feed = feed_of(FRAMES_KEPT_MAX + 10)
    assert feed.missed(hello(1)) is None
    assert feed.missed(hello(feed.seq - FRAMES_RESENT_MAX - 1)) is None
    assert len(feed.missed(hello(feed.seq - FRAMES_RESENT_MAX)) or []) == FRAMES_RESENT_MAX


def test_big_frames_push_old_ones_out() -> None:
    feed = feed_of(10, text="x" * (CHARS_KEPT_MAX // 4))
    assert feed.missed(hello(2)) is None
    assert seqs(feed.missed(hello(8))) == [9, 10]


def test_what_is_resent_fits_a_browser() -> None:
    assert FRAMES_RESENT_MAX < FRAMES_PER_BROWSER_MAX


def test_a_slow_browser_overflows_and_holds_nothing() -> None:
    outbox = Outbox()
    for number in range(FRAMES_PER_BROWSER_MAX):
        outbox.put(str(number))
    with pytest.raises(Overflow):
        outbox.put("one too many")
    assert outbox.take() is None


def test_frames_leave_in_the_order_they_came() -> None:
    outbox = Outbox()
    outbox.put("first")
    outbox.put("second")
    assert [outbox.take(), outbox.take(), outbox.take()] == ["first", "second", None]


def test_messages_are_read() -> None:
    assert read_message('{"type":"pong"}') == Pong()
    assert read_message('{"type":"hello","since":7,"desk":"d","build":"b","browser":"x"}') == Hello(7, "d", "b", "x")
    assert read_message('{"type":"do","id":"0123456789abcdef","verb":"ready","args":{}}') == Do(
        "0123456789abcdef", Verb.READY, {}
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[]",
        "null",
        '{"type":"do"}',
        '{"type":"do","id":"short","verb":"ready","args":{}}',
        '{"type":"do","id":"0123456789abcdef","verb":"format_disk","args":{}}',
        '{"type":"do","id":"0123456789abcdef","verb":"ready","args":[]}',
        '{"type":"do","id":"../../../etc/passwd","verb":"ready","args":{}}',
        '{"type":"hello","since":"7","desk":"d","build":"b","browser":"x"}',
        '{"type":"pong"' + " " * MESSAGE_BYTES_MAX + "}",
    ],
)
def test_what_our_page_never_says_is_refused(text: str) -> None:
    with pytest.raises(BadMessage):
        read_message(text)
