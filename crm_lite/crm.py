"""What every page and every desk needs, in one place, and whose eyes look at it."""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from crm_lite.auth import Right, Sessions, may
from crm_lite.i18n import Words
from crm_lite.live import Live
from crm_lite.settings import Settings
from crm_lite.templating import Pages
from engine.api import Engine
from engine.clock import Clock
from engine.config import Loaded
from engine.core.model import CampaignId, Phone, PhoneNumber
from engine.store.database import Database
from engine.store.records import Records
from engine.store.rows import User


@dataclass(frozen=True, slots=True)
class Viewer:
    """Whose eyes: language, and whether they may see numbers."""

    words: Words
    sees_numbers: bool
    zone: ZoneInfo
    edits: bool = False  # cards of leads they may open
    gives_leads: bool = False  # to whichever operator
    login: str = ""
    takes_orders: bool = False

    def number(self, phone: Phone) -> str:
        """The phone's number as this viewer may see it."""
        return self.reads(phone.number)

    def reads(self, number: PhoneNumber | None) -> str:
        """A number as this viewer may see it; "" for one that a caller withheld."""
        if number is None:
            return ""
        return number.e164 if self.sees_numbers else number.masked


@dataclass(slots=True, kw_only=True)
class Crm:
    """The parts of the CRM. `loaded` and `settings` are swapped when config.yaml changes."""

    engine: Engine
    database: Database
    records: Records
    clock: Clock
    loaded: Loaded
    settings: Settings
    pages: Pages
    sessions: Sessions
    live: Live
    csp_reports: int = 0

    def viewer(self, user: User) -> Viewer:
        """The user's eyes."""
        sees = may(user, Right.SEE_NUMBERS) or self.settings.operators_see_numbers
        return Viewer(
            words=self.pages.words[user.language],
            sees_numbers=sees,
            zone=self.settings.zone,
            edits=may(user, Right.EDIT_LEADS),
            gives_leads=may(user, Right.GIVE_LEADS),
            login=user.login,
            takes_orders=may(user, Right.TAKE_ORDERS),
        )

    def campaigns_of(self, user: User) -> tuple[CampaignId, ...] | None:
        """The campaigns whose leads the user may open; None is all."""
        if may(user, Right.READ_ALL_LEADS):
            return None
        profile = self.engine.policy().agents.get(user.agent) if user.agent else None
        return profile.campaigns if profile else ()
