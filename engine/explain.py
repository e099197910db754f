"""Why a lead is or is not dialed: every rule in the order in which dialing asks it, from the very code that dials."""

from __future__ import annotations

from dataclasses import dataclass

from engine.core import attempts, law
from engine.core.model import Campaign, Lead, LeadId, Policy
from engine.phones import zones_of
from engine.store.database import Database
from engine.store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """A lead, its campaign (None: no longer in the configuration) and what its rules say; a callback's owner apart."""

    lead: Lead
    campaign: Campaign | None
    verdict: law.Verdict


async def explain(database: Database, policy: Policy, lead_id: LeadId, now_ms: int) -> Explained | None:
    """The rules for that lead now; None: there is no such lead."""
    packs = [pack for campaign in policy.campaigns.values() for pack in campaign.law]
    store = Store(database, zones_of=zones_of)
    lead = (await store.leads([lead_id], now_ms - law.reach_ms(packs))).get(lead_id)
    if lead is None:
        return None
    campaign = policy.campaigns.get(lead.campaign)
    if campaign is None:
        gone = law.Check("campaign_gone", (lead.campaign,), law.never)
        return Explained(lead=lead, campaign=None, verdict=law.verdict([gone], now_ms))
    return Explained(lead=lead, campaign=campaign, verdict=attempts.explain(lead, campaign, now_ms))
