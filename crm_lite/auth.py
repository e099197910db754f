"""Who is it, and may they: passwords, sessions, log-in limits, roles.

Every route and every socket verb names one `Right`; `RIGHTS` says which roles have it. Nothing else grants anything.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import cache
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from crm_lite.i18n import DEFAULT_LANGUAGE, LANGUAGES
from crm_lite.security import (
    LOGIN_FAILURES_PER_ACCOUNT_MAX,
    LOGIN_FAILURES_PER_ADDRESS_MAX,
    LOGIN_WINDOW_S,
    FailureLimit,
)
from engine.clock import Clock
from engine.core.model import AgentId
from engine.store.records import Records
from engine.store.rows import Role, StoredSession, User

SESSION_IDLE_MS: Final = 4 * 3_600_000
SESSION_ABSOLUTE_MS: Final = 14 * 3_600_000  # one shift, with overtime
#: A session's last use is written at most this often.
SESSION_TOUCH_MS: Final = 60_000
#: Open sessions held in memory, so that a page costs no read; a miss reads the store.
SESSIONS_CACHED_MAX: Final = 2_000
#: Argon2 takes tens of megabytes a go: so many at once.
PASSWORD_CHECKS_MAX: Final = 2
PASSWORD_CHARS_MIN: Final = 8
PASSWORD_CHARS_MAX: Final = 200
LOGIN_CHARS_MAX: Final = 64
THEMES: Final = ("auto", "light", "dark")


class Right(Enum):
    """What a route or a verb needs."""

    ANYONE = auto()  # also without a log-in
    SIGNED_IN = auto()
    DESK = auto()
    FLOOR = auto()
    SWITCH_CAMPAIGN = auto()
    COMMAND_AGENTS = auto()  # pause them, end their shift
    GIVE_TASKS = auto()  # to any operator
    READ_LEADS = auto()
    READ_ALL_LEADS = auto()  # of every campaign, not only of one's own
    EDIT_LEADS = auto()
    GIVE_LEADS = auto()  # say whose client one is
    TAKE_ORDERS = auto()  # of clients: make, change, undo one's own change
    MERGE_LEADS = auto()
    SEE_NUMBERS = auto()
    HEAR_RECORDINGS = auto()
    IMPORT_LEADS = auto()
    DO_NOT_CALL = auto()
    EXPORT_LEADS = auto()
    READ_AUDIT = auto()
    PATTERNS = auto()


_EVERYBODY: Final = frozenset(Role)
_LEADERS: Final = frozenset({Role.SUPERVISOR, Role.ADMIN})
RIGHTS: Final[Mapping[Right, frozenset[Role]]] = {
    Right.SIGNED_IN: _EVERYBODY,
    Right.DESK: frozenset({Role.OPERATOR, Role.SUPERVISOR, Role.ADMIN}),
    Right.FLOOR: _LEADERS | {Role.ENGINEER},
    Right.SWITCH_CAMPAIGN: _LEADERS,
    Right.COMMAND_AGENTS: _LEADERS,
    Right.GIVE_TASKS: _LEADERS,
    Right.READ_LEADS: frozenset({Role.OPERATOR, Role.SUPERVISOR, Role.ADMIN}),
    Right.READ_ALL_LEADS: _LEADERS,
    Right.EDIT_LEADS: frozenset({Role.OPERATOR, Role.SUPERVISOR, Role.ADMIN}),
    Right.GIVE_LEADS: _LEADERS,
    Right.TAKE_ORDERS: frozenset({Role.OPERATOR, Role.SUPERVISOR, Role.ADMIN}),
    Right.MERGE_LEADS: _LEADERS,
    Right.SEE_NUMBERS: _LEADERS,
    Right.HEAR_RECORDINGS: _LEADERS,
    Right.IMPORT_LEADS: _LEADERS,
    Right.DO_NOT_CALL: _LEADERS,
    Right.EXPORT_LEADS: _LEADERS,
    Right.READ_AUDIT: _LEADERS,
    Right.PATTERNS: frozenset({Role.ENGINEER, Role.ADMIN}),
}


def may(user: User | None, right: Right) -> bool:
    """Whether the user has the right."""
    if right is Right.ANYONE:
        return True
    if user is None or user.role not in RIGHTS[right]:
        return False
    # A desk is somebody's phone and calls: without an agent there is none.
    return right is not Right.DESK or user.agent is not None


class WeakPassword(Exception):
    """The password is too short or too long."""


async def create_user(
    records: Records,
    login: str,
    password: str,
    role: str,
    agent: str | None = None,
    language: str = DEFAULT_LANGUAGE,
    *,
    name: str = "",
    now_ms: int,
) -> None:
    """Make a user, or give an existing one this password, role, agent and language. Raises WeakPassword, ValueError."""
    if not PASSWORD_CHARS_MIN <= len(password) <= PASSWORD_CHARS_MAX:
        raise WeakPassword(f"a password has {PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX} characters")
    if not 0 < len(login) <= LOGIN_CHARS_MAX or login != login.strip():
        raise ValueError(f"a log-in name has 1 to {LOGIN_CHARS_MAX} characters and no spaces around it")
    if language not in LANGUAGES:
        raise ValueError(f"language {language!r} is none of {', '.join(LANGUAGES)}")
    user = User(
        login=login,
        name=name or login,
        role=Role(role),
        agent=AgentId(agent) if agent else None,
        language=language,
        password_hash=await asyncio.to_thread(PasswordHasher().hash, password),
    )
    await records.put_user(user, now_ms)


@dataclass(frozen=True, slots=True)
class LoginRefused(Exception):
    """The log-in failed; `wait_s` when it was not even tried."""

    wait_s: int = 0


def token_hash(token: str) -> str:
    """What the store knows of a session's token."""
    return hashlib.sha256(token.encode()).hexdigest()


@cache
def _nobody() -> str:
    return PasswordHasher().hash(secrets.token_hex(16))


class Sessions:
    """Opens, finds and closes log-ins."""

    def __init__(self, records: Records, clock: Clock) -> None:
        self._records = records
        self._clock = clock
        self._cached: OrderedDict[str, StoredSession] = OrderedDict()
        self._hasher = PasswordHasher()
        self._checks = asyncio.Semaphore(PASSWORD_CHECKS_MAX)
        self._by_account = FailureLimit(LOGIN_FAILURES_PER_ACCOUNT_MAX, LOGIN_WINDOW_S)
        self._by_address = FailureLimit(LOGIN_FAILURES_PER_ADDRESS_MAX, LOGIN_WINDOW_S)

    async def log_in(self, login: str, password: str, address: str) -> tuple[User, str]:
        """The user and the token of a new session. Raises LoginRefused."""
        account = login.strip()[:LOGIN_CHARS_MAX]
        wait_s = max(self._by_account.wait_s(account.casefold()), self._by_address.wait_s(address))
        if wait_s:
            raise LoginRefused(wait_s)
        user = await self._records.user_by_login(account)
        known = user is not None and not user.disabled
        right = await self._password_fits(user.password_hash if user and known else None, password)
        if user is None or not known or not right:
            self._by_account.failed(account.casefold())
            self._by_address.failed(address)
            await self._audit(account, "login_failed", address)
            raise LoginRefused
        self._by_account.forget(account.casefold())
        token = secrets.token_urlsafe(32)
        await self._records.add_session(token_hash(token), user.login, self._clock.now_ms())
        await self._audit(user.login, "login", address)
        return user, token

    async def find(self, token: str) -> StoredSession | None:
        """The open session of a token; an expired one is closed on the way."""
        return await self.find_hash(token_hash(token))

    async def find_hash(self, key: str) -> StoredSession | None:
        """The same by the token's hash."""
        session = self._cached.get(key) or await self._records.session(key)
        if session is None:
            return None
        now_ms = self._clock.now_ms()
        if now_ms - session.seen_at_ms > SESSION_TOUCH_MS:
            # Once a minute the store has its say: the user may be disabled, renamed, or signed out elsewhere.
            session = await self._records.session(key)
            if session is None or self._is_over(session, now_ms):
                await self._forget(key)
                return None
            await self._records.touch_session(key, now_ms)
            session = replace(session, seen_at_ms=now_ms)
        self._remember(session)
        return session

    async def end(self, session: StoredSession) -> None:
        """Log out."""
        await self._forget(session.token_hash)

    async def end_all(self, user: User) -> None:
        """Log out everywhere."""
        for key in [key for key, session in self._cached.items() if session.user.login == user.login]:
            del self._cached[key]
        await self._records.end_sessions(user.login)

    def changed(self, login: str) -> None:
        """A user was edited: read them anew."""
        for key in [key for key, session in self._cached.items() if session.user.login == login]:
            del self._cached[key]

    @staticmethod
    def _is_over(session: StoredSession, now_ms: int) -> bool:
        idle_ms, age_ms = now_ms - session.seen_at_ms, now_ms - session.created_at_ms
        return idle_ms > SESSION_IDLE_MS or age_ms > SESSION_ABSOLUTE_MS or session.user.disabled

    async def _forget(self, key: str) -> None:
        self._cached.pop(key, None)
        await self._records.end_session(key)

    def _remember(self, session: StoredSession) -> None:
        self._cached[session.token_hash] = session
        self._cached.move_to_end(session.token_hash)
        while len(self._cached) > SESSIONS_CACHED_MAX:
            self._cached.popitem(last=False)

    async def _password_fits(self, password_hash: str | None, password: str) -> bool:
        """No account has no hash: another one is checked, so that the answer takes as long."""
        async with self._checks:
            if password_hash is None:
                password_hash = await asyncio.to_thread(_nobody)
            try:
                return await asyncio.to_thread(self._hasher.verify, password_hash, password[:PASSWORD_CHARS_MAX])
            except (VerifyMismatchError, InvalidHashError):
                return False

    async def _audit(self, login: str, action: str, address: str) -> None:
        await self._records.add_audit(
            at_ms=self._clock.now_ms(), by=login, action=action, subject=login, detail=address
        )
