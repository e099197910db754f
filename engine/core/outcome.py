"""What the network said: hang-up evidence of an unanswered call → Outcome.

Source: SIP replies sent through Asterisk 22.10.1 and the (cause, tech_cause) that arrived, measured. `tech_cause` is
the SIP code; older Asterisk does not send it. The dial status is useless: it says NOANSWER for nearly everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from engine.core.model import Attempt, Outcome, Verdict

#: SIP codes that say more than the Q.850 cause that Asterisk makes of them.
BY_SIP_CODE: Final[Mapping[int, Outcome]] = {
    401: Outcome.FAILED,  # the carrier does not let us call: our trouble, not the callee's answer
    403: Outcome.FAILED,
    407: Outcome.FAILED,
    408: Outcome.NO_ANSWER,
    480: Outcome.NO_ANSWER,
    487: Outcome.NO_ANSWER,
    603: Outcome.REJECTED,
    607: Outcome.REJECTED,  # unwanted
    608: Outcome.REJECTED,  # rejected by an intermediary
}

BY_CAUSE: Final[Mapping[int, Outcome]] = {
    0: Outcome.NO_ANSWER,  # a ringing call that ends with cause 0 was not answered
    1: Outcome.INVALID_NUMBER,
    3: Outcome.INVALID_NUMBER,
    16: Outcome.NO_ANSWER,  # older Asterisk: our own ring timeout
    17: Outcome.BUSY,
    18: Outcome.NO_ANSWER,
    19: Outcome.NO_ANSWER,
    20: Outcome.NO_ANSWER,
    21: Outcome.REJECTED,
    22: Outcome.INVALID_NUMBER,
    27: Outcome.CONGESTION,
    28: Outcome.INVALID_NUMBER,
    29: Outcome.FAILED,
    34: Outcome.CONGESTION,
    38: Outcome.CONGESTION,
    41: Outcome.CONGESTION,
    42: Outcome.CONGESTION,
    44: Outcome.CONGESTION,
    58: Outcome.FAILED,
    102: Outcome.CONGESTION,
    127: Outcome.FAILED,
}


def of_unanswered(cause: int, tech_cause: int | None) -> Outcome:
    """The outcome of a call that ended unanswered; anything unknown is FAILED."""
    if tech_cause is not None and tech_cause in BY_SIP_CODE:
        return BY_SIP_CODE[tech_cause]
    return BY_CAUSE.get(cause, Outcome.FAILED)


def of_ended(attempt: Attempt, *, answered: Outcome, unanswered: Outcome) -> Outcome:
    """How a call that is over ended: what was decided before, else how far it came; else as the caller knows."""
    if attempt.bridged_at_ms is not None:
        return Outcome.CONNECTED
    if attempt.outcome is not None:
        return attempt.outcome
    if attempt.queue is not None:
        return Outcome.LEFT_QUEUE
    if attempt.verdict is Verdict.MACHINE:
        return Outcome.MACHINE
    return unanswered if attempt.answered_at_ms is None else answered
