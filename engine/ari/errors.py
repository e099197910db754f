"""What can become of an ARI request. The one question that matters for a dial: may Asterisk have acted on it?"""


class AriError(Exception):
    """A request that did not succeed. `may_have_acted`: the outcome is unknown, Asterisk may have done it."""

    may_have_acted = False

    def __init__(self, operation: str, reason: str) -> None:
        super().__init__(f"{operation}: {reason}")
        self.operation = operation
        self.reason = reason


class NotFound(AriError):
    """404: the channel, bridge or application is gone. A normal race: they hung up first."""


class Conflict(AriError):
    """409 or 412: not in the state for this; the channel left our application, or the id is taken."""


class Refused(AriError):
    """400, 422, 500 …: Asterisk answered no. An unknown endpoint is a 500 «Allocation failed»."""


class Unauthorized(Refused):
    """401 or 403: wrong ARI user name or secret, or a read-only user."""


class NotSent(AriError):
    """The request never left: no link, or no free place in flight before the deadline."""


class DeadlineExceeded(AriError):
    """No reply in time."""

    may_have_acted = True


class Unreadable(AriError):
    """Asterisk answered in a form that we do not know: it may well have done it."""

    may_have_acted = True


class LinkLost(AriError):
    """The link went down before the reply."""

    may_have_acted = True


def refusal(status: int, operation: str, reason: str) -> AriError:
    """The error of an HTTP status outside 200-299."""
    match status:
        case 404:
            return NotFound(operation, reason)
        case 409 | 412:
            return Conflict(operation, reason)
        case 401 | 403:
            return Unauthorized(operation, reason)
        case _:
            return Refused(operation, f"{status} {reason}")
