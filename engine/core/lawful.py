"""Keeping what the law asks fresh: a lead in a hopper carries the history that it had when it was fetched."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from typing import Final

from engine.core import law
from engine.core.live import Live
from engine.core.model import Campaign, CampaignId, Lead, PhoneNumber

#: How far back attempts in the same hour of the day count.
SAME_HOUR_MS: Final = 90 * law.DAY_MS


def history_ms(live: Live, *campaigns: CampaignId) -> int:
    """How long a history these campaigns' leads must carry; 0: none."""
    return max((of_campaign_ms(live.campaigns[id_]) for id_ in campaigns), default=0)


def of_campaign_ms(campaign: Campaign) -> int:
    """How long a history this campaign's leads must carry; 0: none."""
    rules = campaign.attempts
    own = [law.Pack(name="campaign", version=0, limits=rules.limits)] if rules.limits else []
    packs = [*campaign.law, *own]
    return max(law.reach_ms(packs) if packs else 0, SAME_HOUR_MS if rules.same_hour_max else 0)


def called(live: Live, lead: Lead) -> None:
    """A call to this lead is placed: who shares a number with it is fetched anew, with the call in their history."""
    numbers = {phone.number for phone in lead.phones}
    for id_, hopper in live.hoppers.items():
        campaign = live.campaigns.get(id_)
        if campaign is None or not of_campaign_ms(campaign):
            continue
        if any(shares(other, numbers) for other in hopper.leads):
            hopper.leads = deque(other for other in hopper.leads if not shares(other, numbers))
        if hopper.fetching:
            hopper.called |= numbers


def shares(lead: Lead, numbers: Collection[PhoneNumber]) -> bool:
    """Whether one of the numbers is theirs."""
    return any(phone.number in numbers for phone in lead.phones)
