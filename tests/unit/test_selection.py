"""Which agent takes the call."""

from __future__ import annotations

from engine.core.model import Agent, AgentId, AgentState
from engine.core.selection import pick_agent


def ready(name: str, idle_since_ms: int, state: AgentState = AgentState.READY) -> Agent:
    return Agent(id=AgentId(name), state=state, idle_since_ms=idle_since_ms)


def test_the_longest_idle_takes_it() -> None:
    assert pick_agent([ready("anna", 20), ready("borys", 10)], None) == "borys"


def test_equal_waits_are_decided_by_id() -> None:
    assert pick_agent([ready("borys", 10), ready("anna", 10)], None) == "anna"


def test_the_callbacks_agent_comes_first_if_ready() -> None:
    people = [ready("anna", 10), ready("borys", 20)]
    assert pick_agent(people, AgentId("borys")) == "borys"
    people[1] = ready("borys", 20, AgentState.PAUSED)
    assert pick_agent(people, AgentId("borys")) == "anna"


def test_nobody_ready_is_nobody() -> None:
    assert pick_agent([ready("anna", 1, state) for state in AgentState if state is not AgentState.READY], None) is None
