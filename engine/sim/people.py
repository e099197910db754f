"""Seeded people: customers who answer, wait, talk and hang up; agents who log in, pause and wrap up."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

from engine.api import Engine
from engine.bell import Bell
from engine.core.events import (
    AgentAnswer,
    AgentAttach,
    AgentConsult,
    AgentDial,
    AgentDigits,
    AgentHangup,
    AgentHold,
    AgentLogin,
    AgentLogout,
    AgentMute,
    AgentPause,
    AgentReady,
    AgentRecord,
    AgentSkip,
    AgentTransfer,
    AgentTransferOut,
    DeskEvent,
    Dispose,
)
from engine.core.model import (
    Agent,
    AgentId,
    AgentState,
    Attempt,
    AttemptId,
    CommandId,
    ConsultAct,
    CustomerState,
    Disposition,
    DispositionKind,
    LeadId,
    LegId,
    PhoneNumber,
    Policy,
    RecordAct,
    SkipReason,
    Verdict,
    WrapUpMode,
)

#: (cause, SIP code) of calls that nobody answers, with their shares; measured shares differ per country and list.
UNANSWERED: Final = (
    ((19, 480), 0.45),
    ((17, 486), 0.2),
    ((21, 603), 0.1),
    ((1, 404), 0.05),
    ((34, 503), 0.05),
    ((0, None), 0.05),
    ((127, 487), 0.05),
    ((38, 500), 0.05),
)
CAUSES: Final = tuple(cause for cause, _ in UNANSWERED)
CAUSES_UP_TO: Final = tuple(accumulate(share for _, share in UNANSWERED))


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """What people are like; times are means."""

    answer_share: float = 0.45
    ring_ms: int = 8_000
    talk_ms: int = 120_000
    patience_ms: int = 6_000  # how long a customer waits in silence
    queue_patience_ms: int = 60_000  # how long one who calls us waits with music
    message_ms: int = 4_000
    opt_out_share: float = 0.1  # of those who hear the message
    machine_share: float = 0.0  # of answers
    misheard_share: float = 0.1  # of persons whom detection takes for machines
    overheard_share: float = 0.2  # of machines that it takes for persons
    unsure_share: float = 0.1  # of answers of which it has no opinion
    detection_ms: int = 1_200
    wrap_ms: int = 15_000
    pause_share: float = 0.05  # of conversations, after which the agent asks for a pause
    pause_ms: int = 120_000
    logout_share: float = 0.01
    hangup_share: float = 0.3  # of conversations that the agent ends
    hold_share: float = 0.05
    mute_share: float = 0.05
    digits_share: float = 0.02
    record_share: float = 0.05
    transfer_share: float = 0.08
    outside_share: float = 0.2  # of transfers, and of those who are asked first
    consult_share: float = 0.08
    consult_ms: int = 10_000  # between two buttons while a colleague is asked
    preview_ms: int = 8_000
    skip_share: float = 0.15  # of previews
    impatient_share: float = 0.05  # of calls that an agent dialed and takes back
    lift_share: float = 0.1  # of phones that ring, and are lifted by a button
    cards: int = 0  # leads whose cards agents open by themselves, and dial: the first so many
    card_every_ms: int = 60_000
    early_share: float = 0.1  # of dispositions given while talking
    silent_share: float = 0.05  # of conversations whose agent gives no disposition at all
    phone_answers_share: float = 0.97
    phone_loss_every_ms: int = 0  # 0: phones do not fail
    attach_share: float = 0.6  # of conversations with somebody unknown, whom the agent then recognises
    astray_share: float = 0.0  # of looks at the desk that end with a press of any button, whether it fits or not
    twice_share: float = 0.0  # of presses that the page sends a second time, at once or to the next engine


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerFate:
    """What one call will meet, as far as it lies with the customer."""

    rings_after_ms: int
    answers: bool
    after_ms: int  # from the ring to the answer, or to the end
    cause: int
    tech_cause: int | None
    patience_ms: int
    talk_ms: int
    message_ms: int
    machine: bool = False  # an answering machine answers
    verdict: Verdict = Verdict.PERSON  # what detection will say
    detection_ms: int = 0
    opts_out: bool = False  # presses the key while they hear the message


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneFate:
    """What a call to a desk phone will meet."""

    answers: bool
    after_ms: int
    lives_ms: int | None  # then the phone falls off the network; None: it does not


class People:
    """Everybody who can be called."""

    def __init__(self, chance: random.Random, habits: Habits | None = None) -> None:
        self._chance = chance
        self.habits = habits or Habits()

    def customer(self, number: PhoneNumber) -> CustomerFate:
        """What the next call to that number meets."""
        _ = number  # chance alone decides here
        habits, chance = self.habits, self._chance
        answers = chance.random() < habits.answer_share
        cause, tech_cause = chance.choices(CAUSES, cum_weights=CAUSES_UP_TO)[0]
        never_rings = not answers and cause in {1, 34, 38}
        return CustomerFate(
            rings_after_ms=int(chance.expovariate(1 / 1_500)),
            answers=answers,
            after_ms=0 if never_rings else int(chance.expovariate(1 / habits.ring_ms)),
            cause=cause,
            tech_cause=tech_cause,
            patience_ms=int(chance.expovariate(1 / habits.patience_ms)),
            talk_ms=int(chance.expovariate(1 / habits.talk_ms)),
            message_ms=habits.message_ms,
            opts_out=chance.random() < habits.opt_out_share,
            **self._heard(),
        )

    def caller(self) -> CustomerFate:
        """Who calls us: how long they wait and talk."""
        habits, chance = self.habits, self._chance
        return CustomerFate(
            rings_after_ms=0,
            answers=True,
            after_ms=0,
            cause=0,
            tech_cause=None,
            patience_ms=int(chance.expovariate(1 / habits.queue_patience_ms)),
            talk_ms=int(chance.expovariate(1 / habits.talk_ms)),
            message_ms=habits.message_ms,
        )

    def _heard(self) -> dict[str, Any]:
        """Who answers, and what detection makes of them."""
        habits, chance = self.habits, self._chance
        if not habits.machine_share:
            return {}
        machine = chance.random() < habits.machine_share
        wrong = chance.random() < (habits.overheard_share if machine else habits.misheard_share)
        verdict = Verdict.MACHINE if machine is not wrong else Verdict.PERSON
        return {
            "machine": machine,
            "verdict": Verdict.UNSURE if chance.random() < habits.unsure_share else verdict,
            "detection_ms": int(chance.expovariate(1 / habits.detection_ms)),
        }

    def phone(self) -> PhoneFate:
        """What the next call to a desk phone meets."""
        habits, chance = self.habits, self._chance
        loss_ms = habits.phone_loss_every_ms
        return PhoneFate(
            answers=chance.random() < habits.phone_answers_share,
            after_ms=int(chance.expovariate(1 / 800)),
            lives_ms=int(chance.expovariate(1 / loss_ms)) if loss_ms else None,
        )


class SimAgent:
    """One agent at the desk: sees what the engine says of them, and presses buttons."""

    def __init__(
        self,
        agent: AgentId,
        *,
        engine: Callable[[], Engine | None],
        chance: random.Random,
        habits: Habits,
        now_ms: Callable[[], int],
        hears_machine: Callable[[LegId], bool] = lambda _: False,
    ) -> None:
        """`engine` is the one that runs now; None while none does. `hears_machine`: who is on that leg."""
        self.id = agent
        self.going_home = False
        self._engine = engine
        self._chance = chance
        self._habits = habits
        self._now_ms = now_ms
        self._hears_machine = hears_machine
        self._seen: Agent | None = None
        self._news = Bell()
        self._in_time = False  # for what was planned
        self._commands = 0
        self._last_attempt: AttemptId | None = None

    def see(self, agent: Agent) -> None:
        """The desk shows this now."""
        self._seen = agent
        self._news.ring()

    def go_home(self) -> None:
        """The shift is over: finish what is begun, and log out."""
        self.going_home = True
        self._news.ring()

    async def work(self) -> None:
        """Press buttons until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            wait_ms, command = self._plan()
            alarm = None if wait_ms is None else loop.call_later(wait_ms / 1000, self._is_time)
            self._in_time = False
            await self._news.wait()
            if alarm is not None:
                alarm.cancel()
            if self._in_time and command is not None:
                await self._press(command)

    def _is_time(self) -> None:
        self._in_time = True
        self._news.ring()

    async def _press(self, command: DeskEvent) -> None:
        engine = self._engine()
        if engine is None:
            return
        try:
            await engine.do(command)
            if self._chance.random() < self._habits.twice_share:
                await asyncio.sleep(self._chance.choice((0, 5)))
                engine = self._engine()
                if engine is not None:
                    await engine.do(command)
        except TimeoutError:
            self._news.ring()  # "not saved (yet)": look again
        engine = self._engine()  # perhaps another one by now
        if engine is None:
            return
        agent = engine.agent(self.id)
        if agent is not None:
            self._seen = agent

    def _plan(self) -> tuple[int | None, DeskEvent | None]:
        """How long to wait, and what to press then unless the desk shows something new before."""
        engine = self._engine()
        if engine is None:
            return None, None
        known = engine.agent(self.id)
        agent = self._seen = known if self._seen is None or known is None else self._seen
        if agent is None:
            return 1_000, None  # not (or no longer) in the file
        if agent.attempt is not None:
            self._last_attempt = agent.attempt
        if not self.going_home and self._chance.random() < self._habits.astray_share:
            return int(self._chance.expovariate(1 / 2_000)), self._astray()
        return self._plan_of(agent)

    def _plan_of(self, agent: Agent) -> tuple[int | None, DeskEvent | None]:
        habits, chance = self._habits, self._chance
        soon_ms = 500 + int(chance.expovariate(1 / 2_000))
        match agent.state:
            case AgentState.LOGGED_OUT:
                return self._plan_away(agent, soon_ms)
            case AgentState.CONNECTING | AgentState.RESERVED | AgentState.PREVIEW:
                return self._plan_start(agent)
            case AgentState.PAUSED if agent.attempt is not None:
                return soon_ms, self._disposition(agent) or self._say(AgentLogout)
            case AgentState.PAUSED:
                if self.going_home:
                    return soon_ms, self._say(AgentLogout)
                rest_ms = habits.pause_ms if agent.pause_reason == "lunch" else 3_000
                return 500 + int(chance.expovariate(1 / rest_ms)), self._say(AgentReady)
            case AgentState.READY:
                return (soon_ms, self._say(AgentLogout)) if self.going_home else self._plan_card()
            case AgentState.TALKING | AgentState.HELPING:
                return (
                    self._plan_talk(agent)
                    if agent.consult is None and agent.helps is None
                    else self._plan_consult(agent)
                )
            case AgentState.WRAP_UP:
                if chance.random() < habits.silent_share:
                    return 30_000, self._say(AgentReady)
                return int(chance.expovariate(1 / habits.wrap_ms)), self._disposition(agent) or self._say(AgentReady)

    def _plan_away(self, agent: Agent, soon_ms: int) -> tuple[int | None, DeskEvent | None]:
        """Not on shift: perhaps they owe a word yet, or will when another configuration asks for it."""
        if agent.attempt is not None and self._owes(agent):
            return soon_ms, self._disposition(agent)
        if not self.going_home:
            return soon_ms, self._say(AgentLogin)
        return None if agent.attempt is None else 5_000, None

    def _plan_start(self, agent: Agent) -> tuple[int | None, DeskEvent | None]:
        """A call is to come, or to be made."""
        previewed, attempt, chance = agent.previewed, self._attempt(agent), self._chance
        look_ms = 500 + int(chance.expovariate(1 / self._habits.preview_ms))
        if previewed is None:
            if attempt is not None and attempt.by_agent and chance.random() < self._habits.impatient_share:
                return look_ms, self._say(AgentHangup)
            return (look_ms, self._say(AgentAnswer)) if chance.random() < self._habits.lift_share else (None, None)
        if self.going_home:
            return look_ms, self._say(AgentLogout)
        throw = chance.random()
        if throw < self._habits.skip_share:
            reason = chance.choice((SkipReason.BAD_TIME, SkipReason.BAD_DATA, SkipReason.OTHER))
            skip = AgentSkip(command=self._id(), by=self.id, agent=self.id, lead=previewed.lead, reason=reason)
            return look_ms, skip
        if throw > 1 - self._habits.pause_share:
            return look_ms, AgentPause(command=self._id(), by=self.id, agent=self.id, reason="lunch")
        return look_ms, AgentDial(command=self._id(), by=self.id, agent=self.id, lead=previewed.lead)

    def _plan_card(self) -> tuple[int | None, DeskEvent | None]:
        """Nothing comes: perhaps somebody is called from their card."""
        habits, chance = self._habits, self._chance
        if not habits.cards:
            return None, None
        lead = LeadId(chance.randint(1, habits.cards))
        dial = AgentDial(command=self._id(), by=self.id, agent=self.id, lead=lead)
        return int(chance.expovariate(1 / habits.card_every_ms)), dial

    def _plan_talk(self, agent: Agent) -> tuple[int | None, DeskEvent | None]:
        habits, chance = self._habits, self._chance
        attempt = self._attempt(agent)
        in_ms = int(chance.expovariate(1 / habits.talk_ms))
        if attempt is not None and attempt.state is CustomerState.HELD:
            return in_ms // 4, AgentHold(command=self._id(), by=self.id, agent=self.id, on=False)
        if attempt is not None and attempt.state is CustomerState.LEAVING:
            return 5_000, self._say(AgentHangup)
        throw = chance.random()
        if attempt is not None and attempt.lead is None and throw < habits.attach_share:
            return 500 + in_ms // 8, self._attach(attempt)
        throw = chance.random() if attempt is not None and attempt.queue is not None else throw
        me = {"by": self.id, "agent": self.id}
        buttons: tuple[tuple[float, Callable[[], DeskEvent | None]], ...] = (
            (habits.hangup_share, lambda: self._say(AgentHangup)),
            (habits.hold_share, lambda: AgentHold(command=self._id(), **me, on=True)),
            (habits.mute_share, lambda: AgentMute(command=self._id(), **me, on=not agent.muted)),
            (habits.digits_share, lambda: AgentDigits(command=self._id(), **me, digits="1")),
            (
                habits.record_share,
                lambda: AgentRecord(command=self._id(), **me, act=chance.choice(tuple(RecordAct))),
            ),
            (habits.transfer_share, self._transfer),
            (habits.early_share, lambda: None if agent.disposed else self._disposition(agent)),
            (habits.pause_share, lambda: AgentPause(command=self._id(), **me, reason="lunch")),
            (habits.logout_share, lambda: self._say(AgentLogout)),
            (habits.consult_share, lambda: self._consult(ConsultAct.START)),
        )
        for share, press in buttons:
            if throw < share:
                return in_ms, press()
            throw -= share
        return None, None

    def _plan_consult(self, agent: Agent) -> tuple[int | None, DeskEvent | None]:
        """To and fro, all three together, the end or the handing over; who is asked leaves sometimes."""
        in_ms = int(self._chance.expovariate(1 / self._habits.consult_ms))
        if agent.helps is not None:
            return 5 * in_ms, self._say(AgentHangup)
        return in_ms, self._consult(self._chance.choice(tuple(ConsultAct)))

    def _consult(self, act: ConsultAct) -> DeskEvent:
        policy = self._policy()
        to = self._chance.choice((*(policy.agents if policy is not None else ()), self.id))
        if act is ConsultAct.START and self._chance.random() < self._habits.outside_share:
            number = PhoneNumber(f"+38050{self._chance.randrange(10**7):07}")
            return AgentConsult(command=self._id(), by=self.id, agent=self.id, act=act, number=number)
        return AgentConsult(command=self._id(), by=self.id, agent=self.id, act=act, to=to)

    def _attach(self, attempt: Attempt) -> DeskEvent:
        lead = LeadId(self._chance.randint(1, 80))
        return AgentAttach(command=self._id(), by=self.id, agent=self.id, attempt=attempt.id, lead=lead)

    def _transfer(self) -> DeskEvent:
        """To a colleague, to myself later, to a team, to those of a queue, or to somebody outside."""
        chance, policy = self._chance, self._policy()
        if policy is None or chance.random() < self._habits.outside_share:
            number = PhoneNumber(f"+38050{chance.randrange(10**7):07}")
            return AgentTransferOut(command=self._id(), by=self.id, agent=self.id, number=number)
        to = chance.choice((None, self.id, *policy.agents))
        team = None if to is not None else chance.choice((None, *policy.campaigns))
        queue = None if to is not None or team is not None else chance.choice((None, *policy.queues))
        return AgentTransfer(command=self._id(), by=self.id, agent=self.id, to=to, team=team, queue=queue)

    def _astray(self) -> DeskEvent | None:
        """Any button: of a page that is behind, of an impatient finger, of a program at the same interface."""
        chance, me = self._chance, {"by": self.id, "agent": self.id}
        attempt, on = self._last_attempt, chance.random() < 0.5
        lead = LeadId(chance.randint(1, 80))
        policy = self._policy()
        results = [d for c in policy.campaigns.values() for d in c.dispositions] if policy is not None else []
        buttons: list[Callable[[], DeskEvent | None]] = [
            lambda: self._say(
                chance.choice((AgentAnswer, AgentHangup, AgentLogin, AgentLogout, AgentLogout, AgentReady))
            ),
            lambda: AgentPause(command=self._id(), **me, reason="lunch"),
            lambda: AgentDial(command=self._id(), **me, lead=lead, position=chance.choice((None, 0, 1))),
            lambda: AgentSkip(command=self._id(), **me, lead=lead, reason=SkipReason.OTHER),
            lambda: AgentHold(command=self._id(), **me, on=on),
            lambda: AgentMute(command=self._id(), **me, on=on),
            lambda: AgentDigits(command=self._id(), **me, digits="2"),
            lambda: AgentRecord(command=self._id(), **me, act=chance.choice(tuple(RecordAct))),
            self._transfer,
            lambda: self._consult(chance.choice(tuple(ConsultAct))),
        ]
        if attempt is not None and results:
            buttons += (
                lambda: self._result(attempt, chance.choice(results)),
                lambda: AgentAttach(command=self._id(), **me, attempt=attempt, lead=lead),
            )
        return chance.choice(buttons)()

    def _policy(self) -> Policy | None:
        engine = self._engine()
        return None if engine is None else engine.policy()

    def _owes(self, agent: Agent) -> bool:
        """Whether a disposition is required, also of who has logged out."""
        engine, attempt = self._engine(), self._attempt(agent)
        campaign = engine.campaign(attempt.campaign) if engine and attempt else None
        return campaign is not None and campaign.wrap_up_mode is WrapUpMode.REQUIRED

    def _attempt(self, agent: Agent) -> Attempt | None:
        engine = self._engine()
        return None if engine is None or agent.attempt is None else engine.attempt(agent.attempt)

    def _disposition(self, agent: Agent) -> DeskEvent | None:
        engine, attempt = self._engine(), self._attempt(agent)
        campaign = engine.campaign(attempt.campaign) if engine is not None and attempt is not None else None
        if attempt is None or campaign is None:
            return None
        machine = self._hears_machine(attempt.leg)
        fits = [d for d in campaign.dispositions if attempt.lead is not None or d.kind is DispositionKind.FINAL]
        if not fits:
            return None  # the campaign has left the file, and its words with it
        disposition = self._chance.choice([d for d in fits if d.machine is machine] or fits)
        return self._result(attempt.id, disposition)

    def _result(self, attempt: AttemptId, disposition: Disposition) -> DeskEvent:
        at_ms = self._now_ms() + 60_000 + int(self._chance.expovariate(1 / 1_800_000))
        return Dispose(
            command=self._id(),
            by=self.id,
            agent=self.id,
            attempt=attempt,
            disposition=disposition.id,
            callback_at_ms=at_ms if disposition.kind is DispositionKind.CALLBACK else None,
            callback_mine=self._chance.random() < 0.5,
        )

    def _say(
        self, kind: type[AgentAnswer] | type[AgentHangup] | type[AgentLogin] | type[AgentLogout] | type[AgentReady]
    ) -> DeskEvent:
        return kind(command=self._id(), by=self.id, agent=self.id)

    def _id(self) -> CommandId:
        self._commands += 1
        return CommandId(f"{self.id}-{self._commands}-{self._now_ms()}")
