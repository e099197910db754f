"""Which agent takes the call."""

from __future__ import annotations

from collections.abc import Iterable

from engine.core.model import Agent, AgentId, AgentState


def pick_agent(ready: Iterable[Agent], owner: AgentId | None) -> AgentId | None:
    """The owner if ready, else the longest idle, ties by id; None when nobody is ready."""
    candidates = [agent for agent in ready if agent.state is AgentState.READY]
    if not candidates:
        return None
    return min(candidates, key=lambda agent: (agent.id != owner, agent.idle_since_ms, agent.id)).id
