"""Agents who serve several campaigns: whose forecast may count on whom.

Each such agent at work counts for one campaign only, so no two ever dial for the same one. Who answers is still served
by whoever is ready; this says for whom calls are placed. Whenever an agent comes in or begins a conversation they are
dealt anew: to the campaigns of the highest priority that have somebody to dial, in turns by weight (stride scheduling,
Waldspurger and Weihl 1995); ties go by the order of the agent's campaigns in the file. So a campaign starves only for
one of higher priority, and only while that one has somebody to dial; among equals it waits for no more turns than all
weights divided by its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.core.books import PRESENT
from engine.core.budget import AtCeiling
from engine.core.live import Live
from engine.core.model import PACED, AgentId, Campaign, CampaignId
from engine.core.pacing import PacingLimit
from engine.core.trunks import BACKOFF_MIN_MS


def deal(live: Live, now_ms: int) -> None:
    """Before anybody dials: each agent whose turn it is counts for one of their campaigns."""
    dealt, live.to_deal = live.to_deal, {}
    for agent in dealt:
        _deal(live, agent, now_ms)


def look(live: Live, campaign: Campaign, now_ms: int) -> None:
    """After it has dialed: if it has become hungry or sated, all agents whom it shares are dealt anew."""
    if not live.roster.kin.get(campaign.id):
        return
    hungry = _hungry(live, campaign, now_ms)
    if live.hungry.get(campaign.id, False) is hungry:
        return
    live.hungry[campaign.id] = hungry
    for agent in live.agents.values():
        if agent.state in PRESENT and campaign in live.campaigns_of(agent.id):
            live.to_deal[agent.id] = None


def _hungry(live: Live, campaign: Campaign, now_ms: int) -> bool:
    """Whether it could place calls if it had the agents."""
    if not live.running.get(campaign.id) or campaign.id not in live.policy.campaigns or campaign.mode not in PACED:
        return False
    hopper, decision = live.hoppers[campaign.id], live.decisions.get(campaign.id)
    if not hopper.leads:
        return hopper.fetching and live.hungry.get(campaign.id, False)  # while it is not known, as it was
    if decision is not None and decision.limit is PacingLimit.CEILING:
        return campaign.abandon.at_ceiling is not AtCeiling.STOP
    return any(live.trunks[t].next_ms(now_ms) - now_ms <= BACKOFF_MIN_MS / 2 for t in campaign.trunks)


def _deal(live: Live, agent: AgentId, now_ms: int) -> None:
    served = live.campaigns_of(agent)
    at_work = len(served) > 1 and live.agents[agent].state in PRESENT
    chosen = _next(live, [one for one in served if live.hungry.get(one.id)]) if at_work else None
    for campaign in served:
        pacer = live.pacers[campaign.id]
        if chosen is None or campaign.id == chosen:
            pacer.agent_returned(now_ms, agent)
        else:
            pacer.agent_lent(now_ms, agent)
        live.asked[campaign.id] = None


def _next(live: Live, hungry: Sequence[Campaign]) -> CampaignId | None:
    """Whose turn it is; None: nobody's."""
    if not hungry:
        return None
    first = max(campaign.priority for campaign in hungry)
    equals = [campaign for campaign in hungry if campaign.priority == first]
    # Who had nobody to dial for a while does not take all the turns that were missed: turns differ by one at most.
    least = max(live.turns.get(campaign.id, 0.0) for campaign in equals) - 1.0
    turns = {campaign.id: max(least, live.turns.get(campaign.id, 0.0)) for campaign in equals}
    chosen = min(equals, key=lambda campaign: turns[campaign.id])
    live.turns[chosen.id] = turns[chosen.id] + 1.0 / chosen.weight
    return chosen.id
