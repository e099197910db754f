"""What must hold of the live state after every fact, whatever happened: each sentence with those who break it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from engine.core.customers import CONVERSING, UNANSWERED
from engine.core.dialing import HOPPER_MAX, PROMISED_MAX
from engine.core.inbound import may_be_offered
from engine.core.live import Live
from engine.core.model import Agent, AgentState, Attempt, ConsultPhase, CustomerState, LeadId, LegKind
from engine.core.outside import asking

_ON_A_CALL = {
    AgentState.RESERVED: frozenset({CustomerState.WAITING}),  # and before the answer, if they dialed it
    AgentState.TALKING: frozenset({CustomerState.TALKING, CustomerState.HELD, CustomerState.LEAVING}),
}
_WITH_AGENT = {
    CustomerState.TALKING: AgentState.TALKING,
    CustomerState.HELD: AgentState.TALKING,
    CustomerState.WAITING: AgentState.RESERVED,
}


def violations(live: Live) -> list[str]:
    """Every broken sentence; empty when all is well."""
    return [
        *_agents(live),
        *_previews(live),
        *_consults(live),
        *_attempts(live),
        *_waiting(live),
        *_hoppers(live),
        *_lines(live),
    ]


def _agents(live: Live) -> Iterator[str]:
    for agent in live.agents.values():
        if agent.state in _ON_A_CALL:
            yield from _on_a_call(live, agent)
        elif agent.state is AgentState.READY and agent.attempt is not None:
            yield f"agent {agent.id} is ready and still has attempt {agent.attempt}"
        if agent.state is AgentState.LOGGED_OUT and agent.leg is not None:
            yield f"agent {agent.id} is logged out and holds leg {agent.leg}"
        at_work = agent.state not in {
            AgentState.LOGGED_OUT,
            AgentState.CONNECTING,
            AgentState.RESERVED,
            AgentState.HELPING,
        }
        if at_work and agent.leg is None and live.leg_kind(agent.id) is LegKind.NAILED_UP:
            yield f"agent {agent.id} is {agent.state} without a leg"


def _previews(live: Live) -> Iterator[str]:
    shown = {agent.previewed.lead: agent.id for agent in live.agents.values() if agent.previewed is not None}
    claims = {lead: claim.agent for lead, claim in live.claims.items()}
    if shown != claims:
        yield f"agents preview {shown}, the claims are {claims}"
    for agent in live.agents.values():
        if (agent.state is AgentState.PREVIEW) is not (agent.previewed is not None):
            yield f"agent {agent.id} is {agent.state} and previews {agent.previewed}"
    for lead in claims.keys() & live.leads.keys():
        yield f"lead {lead} is previewed and on a call"
    for attempt in live.attempts.values():
        if attempt.by_agent and attempt.state in UNANSWERED:
            waits = live.agents.get(attempt.agent) if attempt.agent else None
            if waits is None or waits.attempt != attempt.id:
                yield f"attempt {attempt.id} rings for {attempt.agent}, who does not wait for it"


def _consults(live: Live) -> Iterator[str]:
    asked = {a.consult.colleague: a.id for a in live.agents.values() if a.consult and a.consult.colleague}
    helping = {a.id: a.helps for a in live.agents.values() if a.helps is not None}
    if asked != helping:
        yield f"agents ask {asked}, and help {helping}"
    for agent in live.agents.values():
        if (agent.state is AgentState.HELPING) is not (agent.helps is not None):
            yield f"agent {agent.id} is {agent.state} and helps {agent.helps}"
        if agent.consult is None:
            continue
        attempt = live.attempts.get(agent.attempt) if agent.attempt else None
        held = agent.consult.phase in {ConsultPhase.CALLING, ConsultPhase.PRIVATE}
        if attempt is None or attempt.state is not (CustomerState.HELD if held else CustomerState.TALKING):
            yield f"agent {agent.id} asks somebody ({agent.consult.phase}) about {attempt}"
        if (agent.consult.colleague is None) is (agent.consult.out is None):
            yield f"agent {agent.id} asks {agent.consult}"
    for attempt_id, leg in live.outside.items():
        known = live.attempts.get(attempt_id)
        if known is None or (known.state is not CustomerState.LEAVING and asking(live, leg) is None):
            yield f"{leg} is outside, with nobody"


def _on_a_call(live: Live, agent: Agent) -> Iterator[str]:
    attempt = live.attempts.get(agent.attempt) if agent.attempt else None
    if attempt is None:
        yield f"agent {agent.id} is {agent.state} with no call"
    elif attempt.agent != agent.id:
        yield f"agent {agent.id} is {agent.state} with attempt {attempt.id}, which has agent {attempt.agent}"
    elif agent.state is AgentState.RESERVED and attempt.by_agent and attempt.state in UNANSWERED:
        return
    elif attempt.state not in _ON_A_CALL[agent.state]:
        yield f"agent {agent.id} is {agent.state} with attempt {attempt.id}, which is {attempt.state}"


def _attempts(live: Live) -> Iterator[str]:
    leads: set[LeadId] = set()
    numbers: set[str] = set()
    for attempt in live.attempts.values():
        if attempt.lead in leads:
            yield f"lead {attempt.lead} has two attempts at a time"
        if attempt.lead is not None:
            leads.add(attempt.lead)
        if attempt.state is not CustomerState.ENDED and attempt.queue is None and attempt.number is not None:
            if attempt.number.e164 in numbers:
                yield f"number {attempt.number} is called twice at a time"
            numbers.add(attempt.number.e164)
        yield from _attempt(live, attempt)
    for lead in leads - live.leads.keys():
        yield f"lead {lead} has an attempt and is not known"
    for lead in live.leads.keys() - leads:
        yield f"lead {lead} is held without an attempt"
    for id_ in sorted(live.decided.keys() - live.attempts.keys()):
        yield f"attempt {id_} is decided and not known"


def _attempt(live: Live, attempt: Attempt) -> Iterator[str]:
    agent = live.agents.get(attempt.agent) if attempt.agent else None
    if attempt.state is CustomerState.ENDED:
        if not any(a.attempt == attempt.id for a in live.agents.values()):
            yield f"attempt {attempt.id} has ended and nobody owes it a word"
    elif attempt.state in {CustomerState.TALKING, CustomerState.HELD} and agent is None:
        yield f"attempt {attempt.id} is {attempt.state} with nobody"
    elif agent is not None and attempt.state in _WITH_AGENT:
        if agent.attempt != attempt.id or agent.state is not _WITH_AGENT[attempt.state]:
            yield f"attempt {attempt.id} is {attempt.state} with {agent.id}, who is {agent.state} with {agent.attempt}"
    elif attempt.state is CustomerState.LEAVING and attempt.outcome is None:
        yield f"attempt {attempt.id} is leaving without an outcome"
    if live.connected and attempt.recording is not None and attempt.state not in CONVERSING:
        yield f"attempt {attempt.id} is {attempt.state} and recorded"
    campaign = live.campaigns.get(attempt.campaign)
    if campaign is None:
        yield f"attempt {attempt.id} has no campaign"
    elif attempt.queue is not None:
        if attempt.queue not in live.queues and attempt.state is not CustomerState.ENDED:
            yield f"attempt {attempt.id} waits in {attempt.queue}, which is not there"
    elif attempt.lead is not None and live.leads[attempt.lead].attempts_count > campaign.attempts.max:
        yield f"lead {attempt.lead} was tried more than {campaign.attempts.max} times"


def _waiting(live: Live) -> Iterator[str]:
    if live.switch_problem:
        return
    free = [agent for agent in live.agents.values() if agent.state is AgentState.READY]
    for attempt in live.attempts.values() if free else ():
        offered = attempt.queue is None or may_be_offered(live, attempt)
        if attempt.state is CustomerState.WAITING and attempt.agent is None and offered:
            for agent in free:
                if attempt.wanted == agent.id or (attempt.wanted is None and live.serves(agent.id, attempt)):
                    yield f"attempt {attempt.id} waits while {agent.id} is ready"
    queued = Counter(a.queue for a in live.attempts.values() if a.state is CustomerState.WAITING and a.agent is None)
    for queue in live.queues.values():
        if queued[queue.id] > queue.queue_max + len(live.agents):  # who lost their agent comes back, full or not
            yield f"{queued[queue.id]} callers wait in {queue.id}, which holds {queue.queue_max}"


def _hoppers(live: Live) -> Iterator[str]:
    for id_, hopper in live.hoppers.items():
        if len(hopper.leads) > HOPPER_MAX + PROMISED_MAX:
            yield f"the hopper of {id_} holds {len(hopper.leads)} leads"
        for lead in hopper.leads:
            if live.held(lead.id):
                yield f"lead {lead.id} is in the hopper, and on a call or previewed"


def _lines(live: Live) -> Iterator[str]:
    on_line = [a for a in live.attempts.values() if a.state is not CustomerState.ENDED]
    outs = [*(a.out for a in on_line), *(a.consult.out for a in live.agents.values() if a.consult is not None)]
    in_use = Counter([*(a.trunk for a in on_line), *(out.trunk for out in outs if out is not None)])
    for id_, trunk in live.trunks.items():
        if trunk.in_use != in_use[id_]:
            yield f"trunk {id_} counts {trunk.in_use} lines in use, {in_use[id_]} are"
