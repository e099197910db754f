"""Hang-up evidence, as measured on Asterisk, becomes an outcome."""

from __future__ import annotations

import pytest

from engine.core.model import Outcome
from engine.core.outcome import of_unanswered


@pytest.mark.parametrize(
    ("cause", "sip", "outcome"),
    [
        (1, 404, Outcome.INVALID_NUMBER),
        (1, 604, Outcome.INVALID_NUMBER),
        (22, 410, Outcome.INVALID_NUMBER),
        (28, 484, Outcome.INVALID_NUMBER),
        (17, 486, Outcome.BUSY),
        (17, 600, Outcome.BUSY),
        (19, 480, Outcome.NO_ANSWER),
        (18, 408, Outcome.NO_ANSWER),
        (127, 487, Outcome.NO_ANSWER),
        (21, 603, Outcome.REJECTED),
        (127, 607, Outcome.REJECTED),
        (127, 608, Outcome.REJECTED),
        (21, 401, Outcome.FAILED),
        (21, 403, Outcome.FAILED),
        (34, 503, Outcome.CONGESTION),
        (38, 500, Outcome.CONGESTION),
        (102, 504, Outcome.CONGESTION),
        (58, 488, Outcome.FAILED),
        (127, 400, Outcome.FAILED),
    ],
)
def test_measured_pairs(cause: int, sip: int, outcome: Outcome) -> None:
    assert of_unanswered(cause, sip) is outcome


def test_a_ringing_call_that_ends_with_cause_0_was_not_answered() -> None:
    assert of_unanswered(0, None) is Outcome.NO_ANSWER


def test_our_own_ring_timeout_in_newer_and_older_asterisk() -> None:
    assert of_unanswered(19, None) is Outcome.NO_ANSWER
    assert of_unanswered(16, None) is Outcome.NO_ANSWER


def test_what_nobody_has_seen_yet_is_failed() -> None:
    assert of_unanswered(99, None) is Outcome.FAILED
    assert of_unanswered(99, 999) is Outcome.FAILED
