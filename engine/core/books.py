"""What is asked after every fact, kept up at each swap and never counted anew, so that a fact costs the same however
large the floor is: calls in flight, who waits, numbers on the line; who is ready for which campaign, who is shared.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable

from engine.core.model import AgentId, AgentState, Attempt, AttemptId, CampaignId, CustomerState, Lead, LeadId, LegId

IN_FLIGHT = frozenset(
    {
        CustomerState.PLANNED,
        CustomerState.DIALING,
        CustomerState.RINGING,
        CustomerState.SCREENING,
        CustomerState.WAITING,
    }
)
#: Agents whom the pacers know: at work, free or not.
PRESENT = frozenset({AgentState.READY, AgentState.RESERVED, AgentState.TALKING, AgentState.WRAP_UP})


class Attempts(dict[AttemptId, Attempt]):
    """Attempts by id. Changed only by assignment and `del`."""

    def __init__(self) -> None:
        super().__init__()
        self.live = 0  # with a customer on the line or on the way
        self.numbers: dict[str, int] = {}  # on the line, and how often
        self.unserved: Counter[CampaignId] = Counter()  # by seat: in flight, and no agent promised
        self.waiting: dict[AttemptId, None] = {}  # answered, and no agent promised
        self.arrived: dict[LegId, AttemptId] = {}  # calls that came in, by their legs

    def __setitem__(self, id_: AttemptId, attempt: Attempt) -> None:
        before = self.get(id_)
        if before is not None:
            self._drop(before)
        super().__setitem__(id_, attempt)
        if attempt.state is CustomerState.ENDED:
            return
        self.live += 1
        if attempt.number is not None:
            self.numbers[attempt.number.e164] = self.numbers.get(attempt.number.e164, 0) + 1
        if attempt.queue is not None:
            self.arrived[attempt.leg] = id_
        if attempt.agent is None and attempt.state in IN_FLIGHT:
            self.unserved[attempt.seat] += 1
            if attempt.state is CustomerState.WAITING:
                self.waiting[id_] = None

    def __delitem__(self, id_: AttemptId) -> None:
        self._drop(self[id_])
        super().__delitem__(id_)

    def __reduce__(self) -> tuple[Callable[[list[Attempt]], Attempts], tuple[list[Attempt]]]:
        return _book, (list(self.values()),)  # a copy counts anew

    def _drop(self, attempt: Attempt) -> None:
        if attempt.state is CustomerState.ENDED:
            return
        self.live -= 1
        if attempt.number is not None:
            left = self.numbers.pop(attempt.number.e164) - 1
            if left:
                self.numbers[attempt.number.e164] = left
        if attempt.queue is not None:
            self.arrived.pop(attempt.leg, None)
        if attempt.agent is None and attempt.state in IN_FLIGHT:
            self.unserved[attempt.seat] -= 1
            self.waiting.pop(attempt.id, None)


def _book(attempts: list[Attempt]) -> Attempts:
    book = Attempts()
    for attempt in attempts:
        book[attempt.id] = attempt
    return book


class Recent:
    """The last attempts that nothing waits for any more, with their leads as they were then, and what settled them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[AttemptId, tuple[Attempt, Lead | None]] = OrderedDict()
        self._rules: dict[AttemptId, str] = {}
        self._of_lead: dict[LeadId, dict[AttemptId, None]] = {}

    def __contains__(self, id_: AttemptId) -> bool:
        return id_ in self._known

    def get(self, id_: AttemptId) -> tuple[Attempt, Lead | None] | None:
        """The attempt and its lead, if it is one of the last."""
        return self._known.get(id_)

    def of(self, lead: LeadId) -> list[AttemptId]:
        """Those of a lead."""
        return list(self._of_lead.get(lead, ()))

    def rule(self, id_: AttemptId) -> str:
        """By which its lead was settled; "" if nothing was said of it."""
        return self._rules.get(id_, "")

    def keep(self, attempt: Attempt, lead: Lead | None, rule: str) -> None:
        """The last of all, or one that is known, with another lead or rule."""
        self._let_go(attempt.id)
        self._known[attempt.id] = (attempt, lead)
        self._rules[attempt.id] = rule
        if lead is not None:
            self._of_lead.setdefault(lead.id, {})[attempt.id] = None
        while len(self._known) > self._most:
            self._let_go(next(iter(self._known)))

    def _let_go(self, id_: AttemptId) -> None:
        _, lead = self._known.pop(id_, (None, None))
        self._rules.pop(id_, None)
        if lead is not None:
            del self._of_lead[lead.id][id_]
            if not self._of_lead[lead.id]:
                del self._of_lead[lead.id]


class Roster:
    """Agents by the campaigns that they serve."""

    def __init__(self) -> None:
        self.present: Counter[CampaignId] = Counter()
        self.ready: dict[CampaignId, dict[AgentId, None]] = {}
        self.shared: dict[CampaignId, Counter[CampaignId]] = {}  # agents at work of one who serve the other too
        self.shared_ready: dict[CampaignId, Counter[CampaignId]] = {}  # the ready ones of them
        self.kin: dict[CampaignId, dict[CampaignId, None]] = {}  # campaigns with agents in common, ready or not
        self._seats: dict[AgentId, tuple[tuple[CampaignId, ...], AgentState]] = {}

    def seat(self, agent: AgentId, campaigns: Iterable[CampaignId], state: AgentState) -> None:
        """The agent serves these campaigns and is in this state."""
        seat = (tuple(campaigns), state)
        before = self._seats.get(agent)
        if before == seat:
            return
        if before is not None:
            self._count(agent, *before, -1)
        self._seats[agent] = seat
        self._count(agent, *seat, 1)
        for one in seat[0]:
            self.kin.setdefault(one, {}).update((other, None) for other in seat[0] if other != one)

    def _count(self, agent: AgentId, campaigns: tuple[CampaignId, ...], state: AgentState, step: int) -> None:
        if state not in PRESENT:
            return
        for one in campaigns:
            self.present[one] += step
        _count_pairs(self.shared, campaigns, step)
        if state is not AgentState.READY:
            return
        _count_pairs(self.shared_ready, campaigns, step)
        for one in campaigns:
            ready = self.ready.setdefault(one, {})
            if step > 0:
                ready[agent] = None
            else:
                ready.pop(agent, None)


def _count_pairs(shared: dict[CampaignId, Counter[CampaignId]], campaigns: tuple[CampaignId, ...], step: int) -> None:
    if len(campaigns) > 1:
        for one in campaigns:
            with_others = shared.setdefault(one, Counter())
            for other in campaigns:
                if other != one:
                    with_others[other] += step
