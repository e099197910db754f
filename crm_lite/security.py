"""What every response carries and what every unsafe request must show."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

#: No inline script or style, nothing from elsewhere.
CSP: Final = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; report-uri /csp-report"
)
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
HSTS: Final = "max-age=31536000"
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

LOGIN_WINDOW_S: Final = 15 * 60
#: Wrong passwords for one account, and from one address (a call center often has one), within the window.
LOGIN_FAILURES_PER_ACCOUNT_MAX: Final = 8
LOGIN_FAILURES_PER_ADDRESS_MAX: Final = 60
#: Accounts and addresses remembered at once; the oldest is forgotten first.
LOGIN_KEYS_MAX: Final = 20_000


def same_origin(method: str, headers: Mapping[str, str], host: str) -> bool:
    """Whether a request may change something: our own page sent it (Fetch Metadata, else Origin)."""
    if method in SAFE_METHODS:
        return True
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    return own_origin(headers, host)


def own_origin(headers: Mapping[str, str], host: str) -> bool:
    """Whether the Origin header names this host. A socket's upgrade always needs it; no Origin is no."""
    origin = headers.get("Origin", "")
    return bool(origin) and urlsplit(origin).netloc.lower() == host.lower()


class FailureLimit:
    """Counts failures by key in a sliding window."""

    def __init__(self, failures_max: int, window_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._failures_max = failures_max
        self._window_s = window_s
        self._clock = clock
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, key: str) -> int:
        """Seconds until this key may try again; 0 when it may now."""
        failures = self._failures.get(key)
        now = self._clock()
        while failures and failures[0] <= now - self._window_s:
            failures.popleft()
        if not failures or len(failures) < self._failures_max:
            return 0
        return int(failures[0] + self._window_s - now) + 1

    def failed(self, key: str) -> None:
        """Count a failure."""
        self._failures.setdefault(key, deque(maxlen=self._failures_max)).append(self._clock())
        self._failures.move_to_end(key)
        while len(self._failures) > LOGIN_KEYS_MAX:
            self._failures.popitem(last=False)

    def forget(self, key: str) -> None:
        """The key has proved itself."""
        self._failures.pop(key, None)
