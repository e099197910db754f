"""Whether a conversation is recorded: by the campaign's rule, with the customer's consent, paused for card numbers.

A recording is of one bridge: on hold it rests, and whoever takes the customer over begins another file. What is on disk
names it before the switch is asked, so that after a restart it goes on, or is ended, and never runs for the next call.
"""

from __future__ import annotations

from engine.core import effects
from engine.core.events import AgentRecord
from engine.core.live import Live
from engine.core.model import (
    Agent,
    AgentState,
    Attempt,
    Consent,
    CustomerState,
    RecordAct,
    Recorded,
    Recording,
    Refusal,
)
from engine.core.values import replace


def command(live: Live, event: AgentRecord, now_ms: int) -> str:
    """The operator's button: start (the customer agreed), pause, resume, stop."""
    agent = live.agents.get(event.agent)
    attempt = live.attempts.get(agent.attempt) if agent is not None and agent.attempt else None
    if agent is None or attempt is None or agent.state is not AgentState.TALKING or not live.connected:
        return Refusal.NO_CALL if live.connected else Refusal.SWITCH_DOWN
    if attempt.state is not CustomerState.TALKING:
        return Refusal.NO_CALL
    refusal = _act(live, event, agent, attempt, now_ms)
    if not refusal:
        action = f"recording_{event.act.value}"
        live.emit(effects.SaveAudit(at_ms=now_ms, by=event.by, action=action, subject=attempt.id))
    return refusal


def _act(live: Live, event: AgentRecord, agent: Agent, attempt: Attempt, now_ms: int) -> str:
    rule, recording = live.campaigns[attempt.campaign].recording, attempt.recording
    match event.act:
        case RecordAct.START:
            if rule.mode is Recorded.OFF:
                return Refusal.NOT_RECORDED
            if recording is None:
                _begin(live, agent, attempt, now_ms)
        case RecordAct.PAUSE | RecordAct.RESUME:
            if recording is None:
                return Refusal.NOT_RECORDED
            paused = event.act is RecordAct.PAUSE
            if paused is not recording.paused:
                live.keep_recording(attempt, replace(recording, paused=paused))
                live.emit(effects.PauseRecording(attempt.leg, recording.name, paused))
        case RecordAct.STOP:
            if rule.mode is Recorded.ALWAYS and rule.consent is not Consent.ASKED:
                return Refusal.ALWAYS_RECORDED
            if recording is not None:
                live.stop_recording(attempt, now_ms)
    return ""


def talk_begins(live: Live, agent: Agent, attempt: Attempt, now_ms: int) -> None:
    """They hear each other: record if that is the rule and the customer need not be asked first."""
    rule, recording = live.campaigns[attempt.campaign].recording, attempt.recording
    if recording is not None and recording.bridge == agent.bridge:
        _start(live, attempt, recording)  # by the engine before us, unless it died between the disk and the switch
        return
    if recording is not None:
        attempt = live.stop_recording(attempt, now_ms)
    if rule.mode is Recorded.ALWAYS and rule.consent is not Consent.ASKED:
        _begin(live, agent, attempt, now_ms)


def failed(live: Live, attempt: Attempt, now_ms: int) -> None:
    """The switch did not begin it: the desk must not say that it records."""
    live.counters["recordings_failed"] += 1
    if attempt.recording is not None:
        live.stop_recording(attempt, now_ms)


def on_disk(live: Live, order: effects.StartRecording) -> list[effects.SwitchOrder]:
    """What the switch is told when the recording's row is saved: nothing, if it has been ended meanwhile."""
    attempt_id = live.attempt_at(order.customer)
    attempt = live.attempts.get(attempt_id) if attempt_id is not None else None
    if attempt is None or attempt.recording is None or attempt.recording.name != order.name:
        return []
    rests = attempt.recording.paused or attempt.state is not CustomerState.TALKING
    return [order, effects.PauseRecording(order.customer, order.name, on=True)] if rests else [order]


def _begin(live: Live, agent: Agent, attempt: Attempt, now_ms: int) -> None:
    assert agent.bridge is not None
    recording = Recording(
        name=f"{attempt.id}.{live.next_number()}", attempt=attempt.id, bridge=agent.bridge, started_at_ms=now_ms
    )
    live.keep_recording(attempt, recording)
    _start(live, attempt, recording)


def _start(live: Live, attempt: Attempt, recording: Recording) -> None:
    campaign = live.campaigns[attempt.campaign]
    rule = campaign.recording
    live.emit(
        effects.StartRecording(
            customer=attempt.leg,
            bridge=recording.bridge,
            name=recording.name,
            length_max_ms=campaign.talk_max_ms,
            announcement=rule.announcement if rule.consent is Consent.ANNOUNCED else "",
        )
    )
