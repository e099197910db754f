"""What agents do at the desk, and what is remembered for after the call."""

from __future__ import annotations

import pytest

from engine.core import effects, events, recording
from engine.core.desk import AWAY_MAX_MS, LOGIN_RING_MS
from engine.core.model import (
    AgentId,
    AgentState,
    CampaignId,
    Consent,
    CustomerState,
    LeadState,
    Outcome,
    RecordAct,
    Recorded,
    RecordingRule,
    WrapUpMode,
)
from tests.conversation import (
    AGAIN,
    ANNA,
    BORYS,
    LATER,
    MINUTE_MS,
    NEVER,
    SOLD,
    SPRING,
    Conversation,
    campaign,
    lead,
    policy,
    profile,
)


def talking(**changes: object) -> Conversation:
    floor = Conversation(lead(1), lead(2), **changes)  # type: ignore[arg-type]
    floor.ready(ANNA)
    floor.talk(floor.dial())
    return floor


def wrapping_up(**changes: object) -> Conversation:
    floor = talking(**changes)
    floor.hang_up(floor.attempt(floor.dialed()[0]).leg)
    return floor


# ── log-in ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_log_in_calls_the_desk_phone_and_the_agent_starts_paused() -> None:
    floor = Conversation()
    assert not floor.command(events.AgentLogin, agent=ANNA)
    call = floor.last(effects.OriginateAgent)
    assert (call.phone, floor.agent().state) == (profile(ANNA).phone, AgentState.CONNECTING)
    orders = floor.tell(events.LegAnswered(call.leg))
    assert floor.all(effects.OpenBridge, orders)[0].leg == call.leg
    assert (floor.agent().state, floor.agent().pause_reason) == (AgentState.PAUSED, "system:after_login")


def test_a_phone_that_nobody_lifts_logs_out_again() -> None:
    floor = Conversation()
    floor.command(events.AgentLogin, agent=ANNA)
    orders = floor.wait(LOGIN_RING_MS)
    assert floor.all(effects.Hangup, orders)
    assert floor.agent().state is AgentState.LOGGED_OUT


def test_a_phone_that_rejects_the_log_in_logs_out_again() -> None:
    for refused in (True, False):
        floor = Conversation()
        floor.command(events.AgentLogin, agent=ANNA)
        leg = floor.last(effects.OriginateAgent).leg
        floor.tell(events.OriginateRefused(leg, "no contact") if refused else events.LegHungUp(leg, 21, 603))
        assert floor.agent().state is AgentState.LOGGED_OUT
        assert not floor.command(events.AgentLogin, agent=ANNA)


def test_log_in_is_refused_with_a_reason() -> None:
    floor = Conversation()
    assert floor.command(events.AgentLogin, agent=AgentId("nobody")) == "unknown_agent"
    floor.tell(events.PhoneSeen(profile(ANNA).phone, registered=False))
    assert floor.command(events.AgentLogin, agent=ANNA) == "phone_not_registered"
    floor.log_in(BORYS)
    assert floor.command(events.AgentLogin, agent=BORYS) == "already_logged_in"
    floor.tell(events.DrainStarted(floor.now_ms))
    assert floor.command(events.AgentLogin, agent=ANNA) == "draining"


def test_every_command_of_someone_not_logged_in_is_refused() -> None:
    floor = Conversation()
    assert floor.command(events.AgentReady, agent=ANNA) == "not_logged_in"
    assert floor.command(events.AgentPause, agent=ANNA, reason="x") == "not_logged_in"
    assert floor.command(events.AgentLogout, agent=ANNA) == "not_logged_in"
    assert floor.command(events.AgentHangup, agent=ANNA) == "no_call"
    assert floor.command(events.AgentHold, agent=ANNA, on=True) == "no_call"
    nobody = AgentId("nobody")
    for kind, what in (
        (events.AgentReady, {}),
        (events.AgentPause, {"reason": "x"}),
        (events.AgentLogout, {}),
    ):
        assert floor.command(kind, agent=nobody, **what) == "unknown_agent"


# ── remembered ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_pause_asked_for_in_talk_begins_after_the_wrap_up() -> None:
    floor = talking()
    attempt = floor.attempt(floor.dialed()[0])
    assert not floor.command(events.AgentPause, agent=ANNA, reason="lunch")
    assert floor.agent().state is AgentState.TALKING
    floor.hang_up(attempt.leg)
    assert floor.agent().state is AgentState.WRAP_UP
    floor.dispose(attempt, SOLD)
    agent = floor.agent()
    assert (agent.state, agent.pause_reason, agent.wish) == (AgentState.PAUSED, "lunch", None)
    assert len(floor.dialed()) == 1


def test_a_log_out_asked_for_in_talk_ends_the_shift_after_the_wrap_up() -> None:
    floor = talking()
    attempt, phone = floor.attempt(floor.dialed()[0]), floor.agent().leg
    floor.command(events.AgentLogout, agent=ANNA)
    floor.hang_up(attempt.leg)
    orders = floor.wait(60_000)
    assert floor.agent().state is AgentState.LOGGED_OUT
    assert phone in {o.leg for o in floor.all(effects.Hangup, orders)}


def test_ready_takes_a_remembered_pause_back() -> None:
    floor = talking()
    attempt = floor.attempt(floor.dialed()[0])
    floor.command(events.AgentPause, agent=ANNA, reason="lunch")
    floor.command(events.AgentReady, agent=ANNA)
    floor.hang_up(attempt.leg)
    floor.dispose(attempt, SOLD)
    assert floor.agent().state is AgentState.READY
    assert len(floor.dialed()) == 2


@pytest.mark.parametrize(("wish", "state"), [("pause", AgentState.PAUSED), ("logout", AgentState.LOGGED_OUT)])
def test_a_wish_during_an_offer_is_granted_when_the_customer_leaves(wish: str, state: AgentState) -> None:
    floor = Conversation(lead(1), lead(2))
    floor.ready(ANNA)
    leg = floor.dial()
    floor.answer(leg)
    if wish == "pause":
        floor.command(events.AgentPause, agent=ANNA, reason="lunch")
    else:
        floor.command(events.AgentLogout, agent=ANNA)
    assert floor.agent().state is AgentState.RESERVED
    floor.hang_up(leg)
    assert (floor.agent().state, floor.agent().wish) == (state, None)
    assert len(floor.dialed()) == 1


# ── hanging up ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_agent_hangs_up() -> None:
    floor = talking()
    leg = floor.dialed()[0]
    assert not floor.command(events.AgentHangup, agent=ANNA)
    assert floor.last(effects.Hangup).leg == leg
    assert floor.agent().state is AgentState.TALKING, "until the line is really gone"
    floor.hang_up(leg)
    assert floor.agent().state is AgentState.WRAP_UP
    assert floor.end().attempt.outcome is Outcome.CONNECTED


def test_hanging_up_twice_frees_the_agent_whatever_the_line_does() -> None:
    floor = talking()
    floor.command(events.AgentHangup, agent=ANNA)
    floor.command(events.AgentHangup, agent=ANNA)
    assert floor.agent().state is AgentState.WRAP_UP


def test_a_hang_up_that_the_switch_did_not_hear_is_repeated() -> None:
    floor = talking()
    floor.command(events.AgentHangup, agent=ANNA)
    orders = floor.wait(3_000)
    assert floor.all(effects.Hangup, orders)
    assert floor.all(effects.AskSwitch, orders)


def test_no_lead_is_stranded_when_the_line_ends_long_after_the_wrap_up() -> None:
    floor = talking()
    leg = floor.dialed()[0]
    floor.command(events.AgentHangup, agent=ANNA)
    floor.command(events.AgentHangup, agent=ANNA)
    floor.wait(60_000)
    assert floor.agent().state is AgentState.READY
    assert floor.last(effects.SaveLead).change.rule == "no_disposition"
    floor.hang_up(leg)
    assert floor.end().change is None
    assert lead(1).id not in floor.live.leads


def test_hanging_up_without_a_link_frees_the_agent() -> None:
    floor = talking()
    floor.tell(events.SwitchLost("gone"))
    floor.command(events.AgentHangup, agent=ANNA)
    assert floor.agent().state is AgentState.WRAP_UP
    assert floor.command(events.AgentHold, agent=ANNA, on=True) == "no_call"


def test_a_phone_lost_after_the_agent_hung_up_keeps_the_conversation_theirs() -> None:
    floor = talking()
    attempt, phone = floor.attempt(floor.dialed()[0]), floor.agent().leg
    floor.command(events.AgentHangup, agent=ANNA)
    assert phone is not None
    floor.hang_up(phone)
    assert floor.agent().state is AgentState.LOGGED_OUT
    floor.hang_up(attempt.leg)
    assert floor.end().change is None
    assert not floor.dispose(attempt, SOLD)
    assert floor.last(effects.SaveDisposition).change.state is LeadState.CLOSED


# ── wrap-up, four modes ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("mode", "early_ready", "after_disposition", "after_time"),
    [
        (WrapUpMode.OPTIONAL, "", AgentState.READY, AgentState.WRAP_UP),
        (WrapUpMode.REQUIRED, "disposition_needed", AgentState.READY, AgentState.WRAP_UP),
        (WrapUpMode.TIMED, "disposition_needed", AgentState.READY, AgentState.READY),
        (WrapUpMode.TIMED_NO_EXIT, "wrap_up_not_over", AgentState.WRAP_UP, AgentState.READY),
    ],
)
def test_wrap_up_modes(
    mode: WrapUpMode, early_ready: str, after_disposition: AgentState, after_time: AgentState
) -> None:
    floor = wrapping_up(wrap_up_mode=mode)
    assert floor.command(events.AgentReady, agent=ANNA) == early_ready

    floor = wrapping_up(wrap_up_mode=mode)
    floor.dispose(next(iter(floor.live.attempts.values())), SOLD)
    assert floor.agent().state is after_disposition
    if after_disposition is AgentState.WRAP_UP:
        floor.wait(60_000)
        assert floor.agent().state is AgentState.READY

    floor = wrapping_up(wrap_up_mode=mode)
    floor.wait(60_000)
    assert floor.agent().state is after_time
    if after_time is AgentState.READY:
        assert floor.last(effects.SaveLead).change.state is LeadState.CLOSED


def test_a_disposition_given_in_talk_is_kept_and_the_wrap_up_may_be_left() -> None:
    floor = talking(wrap_up_mode=WrapUpMode.REQUIRED)
    attempt = floor.attempt(floor.dialed()[0])
    assert not floor.dispose(attempt, SOLD)
    floor.hang_up(attempt.leg)
    assert floor.end().change is None
    assert not floor.command(events.AgentReady, agent=ANNA)
    assert floor.agent().state is AgentState.READY


def test_a_phone_lost_in_wrap_up_does_not_leave_the_lead_waiting() -> None:
    floor = wrapping_up()
    phone = floor.agent().leg
    assert phone is not None
    floor.hang_up(phone)
    assert floor.agent().state is AgentState.LOGGED_OUT
    floor.wait(60_000)
    assert floor.last(effects.SaveLead).change.state is LeadState.CLOSED
    assert floor.agent().attempt is None
    assert not floor.live.attempts


def test_the_word_is_still_owed_after_a_new_log_in() -> None:
    floor = wrapping_up(wrap_up_mode=WrapUpMode.REQUIRED)
    (attempt,) = floor.live.attempts.values()
    phone = floor.agent().leg
    assert phone is not None
    floor.hang_up(phone)
    floor.log_in(ANNA)
    assert floor.command(events.AgentReady, agent=ANNA) == "disposition_needed"
    assert not floor.dispose(attempt, SOLD)
    assert not floor.command(events.AgentReady, agent=ANNA)


def test_a_required_word_is_waited_for_a_day_when_its_agent_is_away_and_no_lead_waits_for_ever() -> None:
    floor = wrapping_up(wrap_up_mode=WrapUpMode.REQUIRED)
    phone = floor.agent().leg
    assert phone is not None
    floor.hang_up(phone)
    floor.wait(AWAY_MAX_MS - MINUTE_MS)
    assert floor.live.attempts, "they may be back next morning"
    floor.wait(2 * MINUTE_MS)
    change = floor.last(effects.SaveLead).change
    assert (change.state, change.rule) == (LeadState.CLOSED, "no_disposition")
    assert not floor.live.attempts
    floor.log_in(ANNA)
    assert not floor.command(events.AgentReady, agent=ANNA)


# ── dispositions ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_callback_is_kept_at_its_time_and_by_its_agent() -> None:
    floor = wrapping_up()
    (attempt,) = floor.live.attempts.values()
    at_ms = floor.now_ms + 90 * MINUTE_MS
    assert floor.dispose(attempt, LATER) == "callback_time_needed"
    assert floor.dispose(attempt, LATER, callback_at_ms=floor.now_ms) == "callback_in_past"
    assert not floor.dispose(attempt, LATER, callback_at_ms=at_ms, callback_mine=True)
    saved = floor.last(effects.SaveDisposition)
    assert (saved.callback_at_ms, saved.change.owner) == (at_ms, ANNA)
    assert (saved.change.state, saved.change.next_at_ms) == (LeadState.CALLBACK, at_ms)


def test_a_retry_disposition_calls_again_after_its_time() -> None:
    floor = wrapping_up()
    (attempt,) = floor.live.attempts.values()
    floor.dispose(attempt, AGAIN)
    change = floor.last(effects.SaveDisposition).change
    assert (change.state, change.next_at_ms) == (LeadState.RETRY, floor.now_ms + AGAIN.retry_after_ms)


def test_never_again_takes_the_lead_out_of_every_hopper() -> None:
    floor = wrapping_up()
    (attempt,) = floor.live.attempts.values()
    floor.leads = []
    floor.dispose(attempt, NEVER)
    assert floor.last(effects.SaveDisposition).change.state is LeadState.SUPPRESSED
    assert not floor.live.hoppers[SPRING].leads


def test_a_disposition_can_be_corrected_until_the_lead_is_called_again() -> None:
    floor = wrapping_up()
    (attempt,) = floor.live.attempts.values()
    floor.dispose(attempt, AGAIN)
    assert not floor.dispose(attempt, SOLD)
    assert floor.last(effects.SaveDisposition).change.state is LeadState.CLOSED
    assert floor.dispose(attempt, SOLD, agent=BORYS) == "too_late"


def test_a_corrected_lead_is_not_dialed_from_what_the_hopper_remembers() -> None:
    floor = wrapping_up()
    (attempt,) = floor.live.attempts.values()
    floor.command(events.AgentPause, agent=ANNA, reason="lunch")
    floor.dispose(attempt, AGAIN)
    floor.tell(events.LeadsFetched(SPRING, (lead(1, state=LeadState.RETRY),)))
    floor.dispose(attempt, SOLD)
    floor.command(events.AgentReady, agent=ANNA)
    assert [o.attempt.lead for o in floor.all(effects.SaveAttempt)] == [1, 2]


def test_a_disposition_for_a_campaign_that_is_gone_is_too_late() -> None:
    floor = wrapping_up()
    (attempt,) = floor.live.attempts.values()
    floor.command(events.AgentPause, agent=ANNA, reason="lunch")
    floor.dispose(attempt, SOLD)
    autumn = campaign(id=CampaignId("autumn"))
    floor.tell(events.ConfigChanged(policy(autumn, agents=(profile(ANNA, campaigns=(autumn.id,)),))))
    assert floor.dispose(attempt, AGAIN) == "too_late"


def test_dispositions_are_refused_with_a_reason() -> None:
    floor = wrapping_up()
    (attempt,) = floor.live.attempts.values()
    assert floor.dispose(attempt, AGAIN, agent=BORYS) == "too_late"
    unknown = type(SOLD)(id="nope", kind=SOLD.kind, labels={})  # type: ignore[arg-type]
    assert floor.dispose(attempt, unknown) == "unknown_disposition"


def test_suppressed_in_talk_stays_suppressed_whatever_the_agent_says() -> None:
    floor = talking()
    attempt = floor.attempt(floor.dialed()[0])
    floor.command(events.LeadSuppressed, lead=attempt.lead, reason="asked")
    assert floor.attempt(attempt.leg).state is CustomerState.TALKING, "nobody is cut off"
    floor.hang_up(attempt.leg)
    floor.dispose(attempt, AGAIN)
    assert floor.last(effects.SaveDisposition).change.state is LeadState.SUPPRESSED


def test_a_phone_lost_long_after_an_optional_wrap_up_began_does_not_leave_the_lead_waiting() -> None:
    floor = wrapping_up(wrap_up_mode=WrapUpMode.OPTIONAL)
    floor.wait(10 * MINUTE_MS)
    phone = floor.agent().leg
    assert phone is not None
    floor.hang_up(phone)
    floor.wait(MINUTE_MS)
    assert floor.last(effects.SaveLead).change.state is LeadState.CLOSED
    assert not floor.live.attempts


# ── the microphone and digits ────────────────────────────────────────────────────────────────────────────────────


def test_a_muted_agent_is_heard_again_when_the_conversation_ends() -> None:
    floor = talking()
    leg = floor.agent().leg
    assert leg is not None
    assert floor.command(events.AgentMute, agent=ANNA, on=True) == ""
    assert floor.last(effects.Mute) == effects.Mute(leg, on=True)
    assert floor.agent().muted
    orders = floor.hang_up(floor.dialed()[0])
    assert effects.Mute(leg, on=False) in orders
    assert not floor.agent().muted


def test_muting_twice_is_ordered_once_and_only_in_a_conversation() -> None:
    floor = Conversation(lead(1))
    floor.ready(ANNA)
    assert floor.command(events.AgentMute, agent=ANNA, on=True) == "no_call"
    floor.talk(floor.dial())
    floor.command(events.AgentMute, agent=ANNA, on=True)
    floor.command(events.AgentMute, agent=ANNA, on=True)
    assert len(floor.all(effects.Mute)) == 1


def test_a_mute_that_failed_is_not_shown_as_done() -> None:
    floor = talking()
    floor.command(events.AgentMute, agent=ANNA, on=True)
    leg = floor.agent().leg
    assert leg is not None
    floor.tell(events.CommandFailed(leg, "mute", "the switch said no"))
    assert not floor.agent().muted


def test_digits_go_to_the_customer_and_nothing_else_does() -> None:
    floor = talking()
    assert floor.command(events.AgentDigits, agent=ANNA, digits="12*#") == ""
    assert floor.last(effects.SendDigits) == effects.SendDigits(floor.dialed()[0], "12*#")
    for slip in ("", "1;2", "1" * 33, "w"):
        assert floor.command(events.AgentDigits, agent=ANNA, digits=slip) == "bad_digits"
    floor.hang_up(floor.dialed()[0])
    assert floor.command(events.AgentDigits, agent=ANNA, digits="1") == "no_call"


# ── recordings ───────────────────────────────────────────────────────────────────────────────────────────────────

RECORDED = RecordingRule(mode=Recorded.ALWAYS)


def record(floor: Conversation, act: RecordAct) -> str:
    return floor.command(events.AgentRecord, agent=ANNA, act=act)


def test_a_conversation_is_recorded_from_its_first_word_to_its_last() -> None:
    floor = talking(recording=RECORDED)
    start = floor.last(effects.StartRecording)
    assert start.name.startswith(floor.agent().attempt or "?")
    assert start.bridge == floor.agent().bridge
    assert record(floor, RecordAct.STOP) == "always_recorded"
    orders = floor.hang_up(floor.dialed()[0])
    assert floor.all(effects.StopRecording, orders)[0].name == start.name
    assert floor.last(effects.SaveRecording).ended_at_ms == floor.now_ms


def test_what_must_not_be_kept_is_left_out_also_over_a_hold() -> None:
    floor = talking(recording=RECORDED)
    assert record(floor, RecordAct.PAUSE) == ""
    assert floor.last(effects.SaveRecording).recording.paused
    floor.command(events.AgentHold, agent=ANNA, on=True)
    floor.command(events.AgentHold, agent=ANNA, on=False)
    assert floor.last(effects.PauseRecording).on, "the operator paused it, and has not resumed"
    assert record(floor, RecordAct.RESUME) == ""
    assert not floor.last(effects.PauseRecording).on
    floor.command(events.AgentHold, agent=ANNA, on=True)
    assert floor.last(effects.PauseRecording).on, "nobody records music"
    floor.command(events.AgentHold, agent=ANNA, on=False)
    assert not floor.last(effects.PauseRecording).on


def test_who_must_be_asked_is_recorded_when_they_agreed() -> None:
    floor = talking(recording=RecordingRule(mode=Recorded.ALWAYS, consent=Consent.ASKED))
    assert not floor.all(effects.StartRecording)
    assert record(floor, RecordAct.PAUSE) == "not_recorded"
    assert record(floor, RecordAct.START) == ""
    assert floor.all(effects.StartRecording)
    audit = floor.last(effects.SaveAudit)
    assert (audit.action, audit.by) == ("recording_start", "test")
    assert record(floor, RecordAct.STOP) == ""
    assert floor.attempt(floor.dialed()[0]).recording is None


def test_an_announcement_is_heard_where_the_campaign_wants_one() -> None:
    rule = RecordingRule(mode=Recorded.ALWAYS, consent=Consent.ANNOUNCED, announcement="we-record")
    assert talking(recording=rule).last(effects.StartRecording).announcement == "we-record"


def test_a_campaign_without_recordings_records_nothing() -> None:
    floor = talking()
    assert record(floor, RecordAct.START) == "not_recorded"
    assert not floor.all(effects.StartRecording)


def test_a_recording_begins_when_its_row_is_on_disk_and_not_if_it_has_ended_by_then() -> None:
    floor = talking(recording=RECORDED)
    start = floor.last(effects.StartRecording)
    assert recording.on_disk(floor.live, start) == [start]
    assert record(floor, RecordAct.PAUSE) == ""
    assert recording.on_disk(floor.live, start) == [start, effects.PauseRecording(start.customer, start.name, on=True)]
    floor.hang_up(floor.dialed()[0])
    assert recording.on_disk(floor.live, start) == []


def test_a_recording_that_the_switch_refused_is_not_shown() -> None:
    floor = talking(recording=RECORDED)
    leg = floor.dialed()[0]
    floor.tell(events.CommandFailed(leg, "startrecording", "no room"))
    assert floor.attempt(leg).recording is None
    assert floor.last(effects.SaveRecording).ended_at_ms == floor.now_ms


def test_the_end_of_a_recording_is_ordered_again_when_the_order_was_lost() -> None:
    floor = talking(recording=RECORDED)
    leg = floor.dialed()[0]
    agent = floor.agent()
    assert agent.leg is not None
    name = floor.last(effects.StartRecording).name
    floor.hang_up(leg)
    floor.tell(events.CommandFailed(leg, "stoprecording", "no link"))
    phones = (events.LegFound(agent.leg, True, True),)
    again = floor.all(effects.StopRecording, floor.tell(events.SwitchUp(phones)))
    assert [order.name for order in again] == [name]
    floor.wait(10_000)
    assert not floor.all(effects.StopRecording, floor.tell(events.SwitchUp(phones)))
    assert not floor.live.ending


# ── answering ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_ringing_phone_is_lifted_where_it_obeys_and_else_the_agent_is_told_to() -> None:
    floor = Conversation(lead(1), agents=(profile(ANNA, answers_notify=True), profile(BORYS)))
    for agent in (ANNA, BORYS):
        floor.command(events.AgentLogin, agent=agent)
    assert floor.command(events.AgentAnswer, agent=ANNA) == ""
    leg = floor.agent().leg
    assert leg is not None
    assert floor.last(effects.AnswerPhone) == effects.AnswerPhone(leg)
    assert floor.command(events.AgentAnswer, agent=BORYS) == "lift_handset"
    floor.tell(events.LegAnswered(leg))
    assert floor.command(events.AgentAnswer, agent=ANNA) == "no_call", "it rings no more"
