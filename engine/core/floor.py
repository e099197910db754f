"""The one owner of live state: facts in, orders out. `Floor.handle` is the engine; all else carries its words.

Synchronous and deterministic: no clock, no chance, no I/O. The same events at the same times give the same orders.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from engine.core import (
    consultation,
    customers,
    desk,
    dialing,
    effects,
    events,
    handover,
    inbound,
    outside,
    previews,
    promises,
    recording,
    recovery,
)
from engine.core.live import NEVER_MS, Live
from engine.core.model import (
    Agent,
    AgentId,
    Attempt,
    AttemptId,
    CampaignId,
    LegId,
    Policy,
    agent_of_leg,
    inbound_channel,
)

#: How often the switch is asked what it has while calls are live.
RESYNC_EVERY_MS: Final = 10_000
#: How often what the pacers have learned is saved.
LEARNED_EVERY_MS: Final = 5 * 60_000

#: What the audit says when an engine was asked to end.
DRAINING: Final = "draining"


class Floor:
    """All live call, agent and hopper state."""

    def __init__(self, policy: Policy, *, epoch: int) -> None:
        """`epoch` is new at every start: it keeps attempt and leg ids unique for ever."""
        self.live = Live(policy, epoch)

    def start(self, now_ms: int) -> list[effects.Effect]:
        """The first orders."""
        self.live.emit(effects.SetTimer(("resync", ""), now_ms + RESYNC_EVERY_MS))
        self.live.emit(effects.SetTimer(("learned", ""), now_ms + LEARNED_EVERY_MS))
        return self._take()

    def handle(self, event: events.Event, now_ms: int) -> list[effects.Effect]:
        """Decide what follows from a fact. Raises IllegalTransition only for our own mistakes."""
        if isinstance(event, events.DeskCommand):
            refusal = _COMMANDS[type(event)](self.live, event, now_ms)
            if refusal is not None:  # None: the answer waits for the store
                self.live.done(event.command, str(refusal))
        else:
            _HANDLERS[type(event)](self.live, event, now_ms)
        if type(event) not in _OF_ONE_CAMPAIGN:
            self.live.ask_all()
        customers.offer_waiting(self.live, now_ms)
        previews.offer(self.live, now_ms)
        dialing.dial(self.live, now_ms)
        return self._take()

    def _take(self) -> list[effects.Effect]:
        out, self.live.out = self.live.out, []
        return out


# ── whose leg is it ──────────────────────────────────────────────────────────────────────────────────────────────


def _attempt_of(live: Live, leg: LegId) -> Attempt | None:
    attempt_id = live.attempt_at(leg)
    return live.attempts.get(attempt_id) if attempt_id is not None else None


def _agent_of(live: Live, leg: LegId) -> Agent | None:
    agent_id = agent_of_leg(leg)
    agent = live.agents.get(agent_id) if agent_id is not None else None
    return agent if agent is not None and agent.leg == leg else None


def _accepted(live: Live, event: events.OriginateAccepted, now_ms: int) -> None:
    attempt = _attempt_of(live, event.leg)
    if attempt is not None:
        customers.accepted(live, attempt, now_ms)


def _refused(live: Live, event: events.OriginateRefused, now_ms: int) -> None:
    attempt, agent = _attempt_of(live, event.leg), _agent_of(live, event.leg)
    if attempt is not None:
        customers.refused(live, attempt, now_ms)
    elif agent is not None:
        desk.leg_hung_up(live, agent, now_ms)
    else:
        outside.gone(live, event.leg, now_ms)


def _unknown(live: Live, event: events.OriginateUnknown, now_ms: int) -> None:
    attempt = _attempt_of(live, event.leg)
    if attempt is not None:
        customers.unknown(live, attempt, now_ms)
    else:
        live.ask_switch(now_ms)


def _ringing(live: Live, event: events.LegRinging, now_ms: int) -> None:
    attempt = _attempt_of(live, event.leg)
    if attempt is not None:
        customers.ringing(live, attempt, now_ms)


def _answered(live: Live, event: events.LegAnswered, now_ms: int) -> None:
    attempt, agent = _attempt_of(live, event.leg), _agent_of(live, event.leg)
    if attempt is not None:
        customers.answered(live, attempt, now_ms)
    elif agent is not None:
        desk.leg_answered(live, agent, now_ms)
    elif not consultation.answered_outside(live, event.leg, now_ms):
        live.counters["unknown_legs"] += 1
        live.emit(effects.Hangup(event.leg))


def _bridged(live: Live, event: events.LegBridged, now_ms: int) -> None:
    attempt = _attempt_of(live, event.leg)
    if attempt is not None:
        customers.bridged(live, attempt, now_ms)


def _hung_up(live: Live, event: events.LegHungUp, now_ms: int) -> None:
    attempt, agent = _attempt_of(live, event.leg), _agent_of(live, event.leg)
    came_in = inbound_channel(event.leg) is not None
    if came_in:
        inbound.gone(live, event.leg)
    if attempt is not None:
        customers.hung_up(live, attempt, event.cause, event.tech_cause, now_ms)
    elif agent is not None:
        desk.leg_hung_up(live, agent, now_ms)
    elif not outside.gone(live, event.leg, now_ms) and not came_in:
        # of who came in we hear also when the dialplan alone served them
        live.counters["late_events"] += 1


def _judged(live: Live, event: events.LegJudged, now_ms: int) -> None:
    attempt = _attempt_of(live, event.leg)
    if attempt is not None:
        customers.judged(live, attempt, event.verdict, event.draw, now_ms)
    else:
        live.counters["unknown_legs"] += 1
        live.emit(effects.Hangup(event.leg))


def _opted_out(live: Live, event: events.LegOptedOut, now_ms: int) -> None:
    attempt_id = live.attempt_at(event.leg)
    if attempt_id is not None:
        customers.opted_out(live, attempt_id, now_ms)


def _lead_fetched(live: Live, event: events.LeadFetched, now_ms: int) -> None:
    inbound.lead_fetched(live, event, now_ms)
    previews.lead_fetched(live, event, now_ms)
    promises.lead_fetched(live, event, now_ms)


def _command_failed(live: Live, event: events.CommandFailed, now_ms: int) -> None:
    attempt, agent = _attempt_of(live, event.leg), _agent_of(live, event.leg)
    if event.command == "stoprecording":
        live.stop_again = True
    if agent is not None and event.command == "mute":
        desk.mute_failed(live, agent, now_ms)
    if attempt is not None:
        customers.command_failed(live, attempt, event.command, now_ms)
    else:
        live.counters[f"failed_{event.command}"] += 1
        live.ask_switch(now_ms)


def _phone_seen(live: Live, event: events.PhoneSeen, now_ms: int) -> None:
    for profile in live.policy.agents.values():
        if profile.phone == event.phone:
            desk.phone_seen(live, live.agents[profile.id], event.registered, now_ms)


def _switch_lost(live: Live, event: events.SwitchLost, now_ms: int) -> None:
    _ = now_ms
    live.connected = False
    live.switch_slow = ""  # the next link is judged anew
    live.switch_problem = event.reason or "the link to Asterisk is lost"


def _switch_slow(live: Live, event: events.SwitchSlow, now_ms: int) -> None:
    live.switch_slow = (event.reason or "Asterisk answers late") if event.slow else ""
    if event.slow:
        live.switch_problem = live.switch_slow
    else:
        live.ask_switch(now_ms)  # dialing goes on with the snapshot


def _engine_late(live: Live, event: events.EngineLate, now_ms: int) -> None:
    live.engine_problem = event.why if event.late else None
    if not event.late:
        live.ask_switch(now_ms)  # much may have happened meanwhile


# ── the clock, the store, the configuration ──────────────────────────────────────────────────────────────────────


def _timer(live: Live, event: events.TimerFired, now_ms: int) -> None:
    kind, subject = event.key
    if kind in _ATTEMPT_TIMERS:
        attempt = live.attempts.get(AttemptId(subject))
        if attempt is not None:
            _ATTEMPT_TIMERS[kind](live, attempt, now_ms)
    elif kind in _AGENT_TIMERS:
        agent = live.agents.get(AgentId(subject))
        if agent is not None:
            _AGENT_TIMERS[kind](live, agent, now_ms)
    elif kind == "hopper":
        live.hoppers[CampaignId(subject)].dry_until_ms = 0
        live.ask(CampaignId(subject))
    elif kind == "promise":
        hopper = live.hoppers[CampaignId(subject)]
        hopper.promised_ms = NEVER_MS
        hopper.owed, hopper.dry_until_ms = True, 0
        hopper.doubt()
        live.ask(CampaignId(subject))
    elif kind == "learned":
        live.keep_learned(now_ms)
        live.emit(effects.SetTimer(("learned", ""), now_ms + LEARNED_EVERY_MS))
    elif kind == "ask":
        live.ask_switch(now_ms)
    elif kind == "resync":
        recovery.resync_due(live, now_ms, RESYNC_EVERY_MS)
        live.ask_all()
    else:
        assert kind == "pace", f"a timer that nobody set: {kind}"
        live.looks.pop(CampaignId(subject), None)
        live.asked[CampaignId(subject)] = None  # nothing has happened: campaigns that share its agents need not look


_ATTEMPT_TIMERS: Final[Mapping[str, Callable[[Live, Attempt, int], None]]] = {
    "abandon": customers.abandon_due,
    "life": customers.life_over,
}
_AGENT_TIMERS: Final[Mapping[str, Callable[[Live, Agent, int], None]]] = {
    "wrap": desk.wrap_up_timeout,
    "offer": desk.offer_timeout,
    "connect": desk.connect_timeout,
    "preview": previews.countdown_over,
}


def _store_down(live: Live, event: events.StoreDown, now_ms: int) -> None:
    _ = now_ms
    live.store_problem = event.reason


def _store_up(live: Live, event: events.StoreUp, now_ms: int) -> None:
    _ = (event, now_ms)
    live.store_problem = ""


def _config_changed(live: Live, event: events.ConfigChanged, now_ms: int) -> None:
    live.adopt_policy(event.policy, now_ms)
    for hopper in live.hoppers.values():
        dialing.reset(hopper)
    previews.review(live, now_ms)


def _drain(live: Live, event: events.DrainStarted, now_ms: int) -> None:
    _ = event
    live.draining = True
    live.keep_learned(now_ms)
    live.emit(effects.SaveAudit(at_ms=now_ms, by="engine", action=DRAINING, subject=f"epoch:{live.epoch}"))


#: Facts whose handlers themselves say which campaigns they concern; after any other all pacers are asked.
_OF_ONE_CAMPAIGN: Final = frozenset(
    {
        events.OriginateAccepted,
        events.OriginateRefused,
        events.OriginateUnknown,
        events.LegRinging,
        events.LegAnswered,
        events.LegJudged,
        events.LegBridged,
        events.LegHungUp,
        events.CommandFailed,
        events.PhoneSeen,
        events.TimerFired,
        events.LeadsFetched,
        events.LeadsChanged,
        events.LeadFetched,
        events.CallArrived,
        events.CallerFetched,
        events.AgentAttach,
        events.AgentLogin,
        events.AgentReady,
        events.AgentPause,
        events.AgentLogout,
        events.AgentDial,
        events.AgentSkip,
        events.AgentHangup,
        events.AgentHold,
        events.AgentMute,
        events.AgentDigits,
        events.AgentRecord,
        events.AgentTransfer,
        events.AgentTransferOut,
        events.NumberChecked,
        events.AgentConsult,
        events.AgentAnswer,
        events.Dispose,
        events.PlanCallback,
    }
)
_HANDLERS: Final[Mapping[type, Callable[[Live, Any, int], None]]] = {
    events.OriginateAccepted: _accepted,
    events.OriginateRefused: _refused,
    events.OriginateUnknown: _unknown,
    events.LegRinging: _ringing,
    events.LegAnswered: _answered,
    events.LegBridged: _bridged,
    events.LegHungUp: _hung_up,
    events.LegJudged: _judged,
    events.LegOptedOut: _opted_out,
    events.CommandFailed: _command_failed,
    events.PhoneSeen: _phone_seen,
    events.SwitchUp: recovery.switch_up,
    events.SwitchLost: _switch_lost,
    events.SwitchDied: recovery.switch_died,
    events.SwitchSlow: _switch_slow,
    events.EngineLate: _engine_late,
    events.TimerFired: _timer,
    events.LeadsFetched: dialing.leads_fetched,
    events.LeadsChanged: dialing.leads_changed,
    events.LeadFetched: _lead_fetched,
    events.CallArrived: inbound.arrived,
    events.CallerFetched: inbound.caller_fetched,
    events.DoNotCallChanged: customers.do_not_call_changed,
    events.HeldChecked: customers.held_checked,
    events.NumberChecked: outside.number_checked,
    events.StoreDown: _store_down,
    events.StoreUp: _store_up,
    events.ConfigChanged: _config_changed,
    events.Restored: recovery.restored,
    events.DrainStarted: _drain,
}
_COMMANDS: Final[Mapping[type, Callable[[Live, Any, int], str | None]]] = {
    events.AgentLogin: desk.login,
    events.AgentReady: desk.ready,
    events.AgentPause: desk.pause,
    events.AgentLogout: desk.logout,
    events.AgentDial: previews.dial,
    events.AgentSkip: previews.skip,
    events.AgentHangup: desk.hang_up,
    events.AgentHold: desk.hold,
    events.AgentMute: desk.mute,
    events.AgentDigits: desk.send_digits,
    events.AgentRecord: recording.command,
    events.AgentTransfer: handover.transfer,
    events.AgentTransferOut: outside.transfer,
    events.AgentConsult: consultation.command,
    events.AgentAnswer: desk.answer,
    events.Dispose: desk.dispose,
    events.AgentAttach: inbound.attach,
    events.CampaignSwitched: desk.switch_campaign,
    events.LeadSuppressed: desk.suppress,
    events.PlanCallback: promises.plan,
}
