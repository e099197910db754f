"""The state machines of a customer's leg, an agent, a lead and a callback, and the rules that couple them.

Theory of operation. Rule 1: everything that changes a state goes through `step` with one of these tables. Rule 2: a
pair that is not in the table is illegal; the state stays what it was. Whose fault it is decides what follows: our own
code asked for it (`IllegalTransition`: a bug, stop) or the switch told us of it (count it, reconcile that leg, go on).
Rule 3: what happens to an agent when a customer goes, or to a customer when an agent goes, stands in `JOINT` and
nowhere else. Diagrams and documentation are generated from these tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, TypeVar

from engine.core.model import AgentState as A
from engine.core.model import CallbackState as B
from engine.core.model import CustomerState as C
from engine.core.model import LeadState as L

S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)


class CustomerEvent(StrEnum):
    """What can happen to a customer's leg."""

    ACCEPTED = "originate_accepted"
    REFUSED = "originate_refused"
    RINGING = "ringing"
    ANSWERED = "answered"
    ANSWERED_SCREENED = "answered_screened"
    HUMAN = "human"
    MACHINE = "machine"
    BRIDGED = "bridged"
    HELD = "held"
    RESUMED = "resumed"
    AGENT_LOST = "agent_lost"
    HANDED_ON = "handed_on"  # to a colleague or a team: they wait for one
    ARRIVED = "arrived"  # they called us
    LEAVE = "leave"  # we hang up, or send to the message: abandoned, suppressed, hung up by the agent
    HUNG_UP = "hung_up"


class AgentEvent(StrEnum):
    """What can happen to an agent."""

    LOGIN = "login"
    LEG_UP = "leg_up"
    LEG_FAILED = "leg_failed"
    LEG_LOST = "leg_lost"
    READY = "ready"
    PAUSE = "pause"
    LOGOUT = "logout"
    PREVIEW = "preview"
    PREVIEW_OVER = "preview_over"  # to be dialed at their word, skipped, or no longer to be dialed
    RESERVE = "reserve"
    ASKED = "asked"  # by a colleague who has a customer
    RELEASED = "released"
    OFFER_TIMEOUT = "offer_timeout"
    BRIDGED = "bridged"
    CUSTOMER_GONE = "customer_gone"
    DONE = "done"  # disposed, or wrap-up timed out


class LeadEvent(StrEnum):
    """What can happen to a lead."""

    PICKED = "picked"
    CALLED_IN = "called_in"  # they called, and talk with an agent
    CONNECTED = "connected"
    RETRY = "retry"
    CALLBACK = "callback"
    CLOSED = "closed"
    SUPPRESSED = "suppressed"
    REOPENED = "reopened"


class CallbackEvent(StrEnum):
    """What can happen to a promised call."""

    FELL_DUE = "fell_due"
    CALLED = "called"
    TOLERANCE_PASSED = "tolerance_passed"
    CANCELLED = "cancelled"


_C = CustomerEvent
CUSTOMER: Final[Mapping[tuple[C, CustomerEvent], C]] = {
    (C.PLANNED, _C.ACCEPTED): C.DIALING,
    (C.PLANNED, _C.REFUSED): C.ENDED,
    # Asterisk's events may outrun its reply to the originate.
    (C.PLANNED, _C.RINGING): C.RINGING,
    (C.PLANNED, _C.ANSWERED): C.WAITING,
    (C.PLANNED, _C.ANSWERED_SCREENED): C.SCREENING,
    (C.PLANNED, _C.ARRIVED): C.WAITING,
    (C.PLANNED, _C.LEAVE): C.LEAVING,
    (C.PLANNED, _C.HUNG_UP): C.ENDED,
    (C.DIALING, _C.RINGING): C.RINGING,
    (C.DIALING, _C.ACCEPTED): C.DIALING,
    (C.DIALING, _C.ANSWERED): C.WAITING,
    (C.DIALING, _C.ANSWERED_SCREENED): C.SCREENING,
    (C.DIALING, _C.LEAVE): C.LEAVING,
    (C.DIALING, _C.HUNG_UP): C.ENDED,
    (C.RINGING, _C.RINGING): C.RINGING,
    (C.RINGING, _C.ACCEPTED): C.RINGING,
    (C.RINGING, _C.ANSWERED): C.WAITING,
    (C.RINGING, _C.ANSWERED_SCREENED): C.SCREENING,
    (C.RINGING, _C.LEAVE): C.LEAVING,
    (C.RINGING, _C.HUNG_UP): C.ENDED,
    (C.SCREENING, _C.HUMAN): C.WAITING,
    (C.SCREENING, _C.MACHINE): C.LEAVING,
    (C.SCREENING, _C.LEAVE): C.LEAVING,
    (C.SCREENING, _C.HUNG_UP): C.ENDED,
    (C.WAITING, _C.BRIDGED): C.TALKING,
    (C.WAITING, _C.LEAVE): C.LEAVING,
    (C.WAITING, _C.HUNG_UP): C.ENDED,
    (C.TALKING, _C.HELD): C.HELD,
    (C.TALKING, _C.AGENT_LOST): C.WAITING,
    (C.TALKING, _C.HANDED_ON): C.WAITING,
    (C.TALKING, _C.LEAVE): C.LEAVING,
    (C.TALKING, _C.HUNG_UP): C.ENDED,
    (C.HELD, _C.RESUMED): C.TALKING,
    (C.HELD, _C.AGENT_LOST): C.WAITING,
    (C.HELD, _C.HANDED_ON): C.WAITING,
    (C.HELD, _C.LEAVE): C.LEAVING,
    (C.HELD, _C.HUNG_UP): C.ENDED,
    (C.LEAVING, _C.ANSWERED): C.LEAVING,  # they beat our hang-up
    (C.LEAVING, _C.ANSWERED_SCREENED): C.LEAVING,
    (C.LEAVING, _C.ACCEPTED): C.LEAVING,
    (C.LEAVING, _C.REFUSED): C.ENDED,
    (C.LEAVING, _C.RINGING): C.LEAVING,
    (C.LEAVING, _C.BRIDGED): C.LEAVING,
    (C.LEAVING, _C.HUNG_UP): C.ENDED,
}

_A = AgentEvent
AGENT: Final[Mapping[tuple[A, AgentEvent], A]] = {
    (A.LOGGED_OUT, _A.LOGIN): A.CONNECTING,
    (A.CONNECTING, _A.LEG_UP): A.PAUSED,
    (A.CONNECTING, _A.LEG_FAILED): A.LOGGED_OUT,
    (A.CONNECTING, _A.LOGOUT): A.LOGGED_OUT,
    (A.READY, _A.RESERVE): A.RESERVED,
    (A.READY, _A.PREVIEW): A.PREVIEW,
    (A.READY, _A.ASKED): A.HELPING,
    (A.HELPING, _A.RELEASED): A.READY,
    (A.HELPING, _A.OFFER_TIMEOUT): A.PAUSED,
    (A.HELPING, _A.LEG_LOST): A.LOGGED_OUT,
    (A.PREVIEW, _A.PREVIEW_OVER): A.READY,
    (A.PREVIEW, _A.PAUSE): A.PAUSED,
    (A.PREVIEW, _A.LOGOUT): A.LOGGED_OUT,
    (A.PREVIEW, _A.LEG_LOST): A.LOGGED_OUT,
    (A.READY, _A.PAUSE): A.PAUSED,
    (A.READY, _A.LOGOUT): A.LOGGED_OUT,
    (A.READY, _A.LEG_LOST): A.LOGGED_OUT,
    (A.RESERVED, _A.BRIDGED): A.TALKING,
    (A.RESERVED, _A.RELEASED): A.READY,
    (A.RESERVED, _A.OFFER_TIMEOUT): A.PAUSED,
    (A.RESERVED, _A.LEG_LOST): A.LOGGED_OUT,
    (A.TALKING, _A.CUSTOMER_GONE): A.WRAP_UP,
    (A.TALKING, _A.LEG_LOST): A.LOGGED_OUT,
    (A.WRAP_UP, _A.DONE): A.READY,
    (A.WRAP_UP, _A.PAUSE): A.PAUSED,
    (A.WRAP_UP, _A.LOGOUT): A.LOGGED_OUT,
    (A.WRAP_UP, _A.LEG_LOST): A.LOGGED_OUT,
    (A.PAUSED, _A.READY): A.READY,
    (A.PAUSED, _A.PAUSE): A.PAUSED,
    (A.PAUSED, _A.LOGOUT): A.LOGGED_OUT,
    (A.PAUSED, _A.LEG_LOST): A.LOGGED_OUT,
}

_L = LeadEvent
LEAD: Final[Mapping[tuple[L, LeadEvent], L]] = {
    **{
        (state, event): to
        for state in (L.NEW, L.RETRY, L.CALLBACK)
        for event, to in (
            (_L.PICKED, L.DIALING),
            (_L.CALLED_IN, L.IN_CALL),
            (_L.SUPPRESSED, L.SUPPRESSED),
            (_L.CLOSED, L.CLOSED),
            (_L.RETRY, L.RETRY),
            (_L.CALLBACK, L.CALLBACK),
        )
    },
    (L.DIALING, _L.CONNECTED): L.IN_CALL,
    (L.DIALING, _L.RETRY): L.RETRY,
    (L.DIALING, _L.CALLBACK): L.CALLBACK,  # a promise not kept yet stays a promise
    (L.DIALING, _L.CLOSED): L.CLOSED,
    (L.DIALING, _L.SUPPRESSED): L.SUPPRESSED,
    (L.IN_CALL, _L.RETRY): L.RETRY,
    (L.IN_CALL, _L.CALLBACK): L.CALLBACK,
    (L.IN_CALL, _L.CLOSED): L.CLOSED,
    (L.IN_CALL, _L.SUPPRESSED): L.SUPPRESSED,
    (L.CLOSED, _L.REOPENED): L.RETRY,
    (L.CLOSED, _L.CALLED_IN): L.IN_CALL,
    (L.CLOSED, _L.CALLBACK): L.CALLBACK,  # they called, and nobody took it
}

_B = CallbackEvent
CALLBACK: Final[Mapping[tuple[B, CallbackEvent], B]] = {
    (B.SCHEDULED, _B.FELL_DUE): B.DUE,
    (B.SCHEDULED, _B.CALLED): B.DONE,
    (B.SCHEDULED, _B.CANCELLED): B.CANCELLED,
    (B.DUE, _B.CALLED): B.DONE,
    (B.DUE, _B.TOLERANCE_PASSED): B.MISSED,
    (B.DUE, _B.CANCELLED): B.CANCELLED,
    (B.MISSED, _B.CALLED): B.DONE,
    (B.MISSED, _B.CANCELLED): B.CANCELLED,
}

#: (customer's new state, agent's state) → what happens to the agent.
JOINT_AGENT: Final[Mapping[tuple[C, A], AgentEvent]] = {
    (C.TALKING, A.RESERVED): _A.BRIDGED,
    (C.ENDED, A.RESERVED): _A.RELEASED,
    (C.LEAVING, A.RESERVED): _A.RELEASED,
    (C.ENDED, A.TALKING): _A.CUSTOMER_GONE,
}

#: (agent's event, customer's state) → what happens to the customer.
JOINT_CUSTOMER: Final[Mapping[tuple[AgentEvent, C], CustomerEvent]] = {
    (_A.LEG_LOST, C.TALKING): _C.AGENT_LOST,
    (_A.LEG_LOST, C.HELD): _C.AGENT_LOST,
}


class IllegalTransition(Exception):
    """Our own code asked for a transition that the table does not have: a bug."""


def step(table: Mapping[tuple[S, E], S], state: S, event: E) -> S:
    """The state after `event`; raises IllegalTransition when the table has no such pair."""
    try:
        return table[state, event]
    except KeyError:
        raise IllegalTransition(f"{state.value} has no transition for {event.value}") from None


def legal(table: Mapping[tuple[S, E], S], state: S, event: E) -> bool:
    """Whether the table has the pair; asked before believing the switch."""
    return (state, event) in table
