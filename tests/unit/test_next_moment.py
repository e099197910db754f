"""The moment that an explanation names is right: then the same code dials, and a second before it does not."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config.loading import load_pack
from engine.core.attempts import Allowed, explain, may_dial
from engine.core.law import Calendar, Count, Key, Limit, Pack, Rolling
from engine.core.model import AttemptPolicy, CallingHours, Campaign, Lead, LeadId, LeadState, Outcome, Past, PhoneNumber
from tests.conversation import campaign, lead

PACKS = Path(__file__).resolve().parents[2] / "packs" / "law"
NAMES = [None, *sorted(file.stem for file in PACKS.glob("*.yaml"))]
MINUTE_MS, HOUR_MS = 60_000, 3_600_000
TWO_NUMBERS = ("+380671110001", "+380501110002")
ZONES = ["Europe/Kyiv", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Asia/Vladivostok"]
#: Clock changes both ways, a month's end, days off, and a plain week.
TURNS = [
    int(datetime(*day, 11, tzinfo=UTC).timestamp() * 1000)
    for day in ((2026, 3, 29), (2026, 10, 25), (2026, 11, 1), (2026, 3, 31), (2026, 5, 1), (2026, 6, 10))
]
FACTS = ["consent_ads", "consent_more", "consent_direct"]
STOPS = ["opt_out", "bankrupt", "minor", "representative", "refused"]


def past(at_ms: int, which: int, outcome: Outcome) -> Past:
    rang_ms = 17_000
    talk = outcome is Outcome.CONNECTED
    answered = at_ms + rang_ms if talk or outcome is Outcome.ABANDONED else None
    return Past(
        at_ms=at_ms,
        lead=LeadId(1),
        number=PhoneNumber(TWO_NUMBERS[which]),
        outcome=outcome,
        answered_at_ms=answered,
        bridged_at_ms=answered if talk else None,
        ended_at_ms=at_ms + rang_ms + (90_000 if talk else 0),
    )


OUTCOMES = [Outcome.NO_ANSWER, Outcome.BUSY, Outcome.CONNECTED, Outcome.ABANDONED, Outcome.FAILED, Outcome.LOST]
TRIED = st.lists(
    st.tuples(st.integers(1, 9 * 24 * 60), st.integers(0, 1), st.sampled_from(OUTCOMES)),
    max_size=10,
    unique_by=lambda t: t[0],
)


def strict(name: str | None, limited: bool) -> Campaign:
    """A campaign with that pack; `limited`: with limits of its own over number, lead and person besides."""
    pack = load_pack(name) if name else None
    limits = (
        Limit(count=Count.ATTEMPT, max=1, per=Rolling(30 * HOUR_MS), key=Key.NUMBER),
        Limit(count=Count.ATTEMPT, max=5, per=Calendar.DAY, key=Key.LEAD),
        Limit(count=Count.ATTEMPT, max=6, per=Rolling(50 * HOUR_MS), key=Key.PERSON),
    )
    changes: dict[str, Any] = {"law": (pack,) if isinstance(pack, Pack) else ()}
    if limited:
        changes["attempts"] = AttemptPolicy(max=50, retry={}, default_after_ms=HOUR_MS, limits=limits, same_hour_max=2)
    spans = tuple(((8 * 60, 13 * 60), (14 * 60 + 30, 19 * 60)) if day < 6 else () for day in range(7))
    return campaign(hours=CallingHours(spans=spans, zone="Europe/Kyiv"), **changes)


def dials(who: Lead, where: Campaign, at_ms: int) -> bool:
    return isinstance(may_dial(who, where, at_ms), Allowed)


@pytest.mark.parametrize("limited", [False, True], ids=["", "limited"])
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_then_the_same_code_dials_and_a_second_before_it_does_not(
    name: str | None, limited: bool, data: st.DataObject
) -> None:
    where = strict(name, limited)
    now_ms = data.draw(st.sampled_from(TURNS)) + data.draw(st.integers(-3 * 24 * 60, 3 * 24 * 60)) * MINUTE_MS
    facts = dict.fromkeys(STOPS, "no") | {fact: data.draw(st.sampled_from(["yes", "no"])) for fact in FACTS}
    who = lead(
        1,
        *TWO_NUMBERS,
        zone=data.draw(st.sampled_from(ZONES)),
        state=data.draw(st.sampled_from([LeadState.RETRY, LeadState.CALLBACK])),
        next_at_ms=now_ms + data.draw(st.integers(-5, 40)) * HOUR_MS,
        next_phone=data.draw(st.integers(0, 1)),
        fields=facts,
        history=tuple(
            past(now_ms - minutes * MINUTE_MS, which, outcome) for minutes, which, outcome in sorted(data.draw(TRIED))
        ),
    )
    told = explain(who, where, now_ms)
    assert (told.blocking is None) is dials(who, where, now_ms)
    if told.next_at_ms is None:
        # Only a consent or a mode: nothing that time changes, on any of the next days.
        assert not any(dials(who, where, now_ms + hours * HOUR_MS) for hours in range(0, 24 * 7, 5))
        return
    assert dials(who, where, told.next_at_ms)
    for before_ms in (1_000, 10 * MINUTE_MS, 5 * HOUR_MS):
        if told.next_at_ms - before_ms >= now_ms:
            assert not dials(who, where, told.next_at_ms - before_ms)
