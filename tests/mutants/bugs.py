"""Deliberate bugs: one change each, and the tests that must catch it. A line that is no longer there is an error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CUSTOMERS = "tests/unit/test_customers.py"
DESK = "tests/unit/test_desk.py"
DIALING = "tests/unit/test_dialing.py"
INBOUND = "tests/unit/test_inbound.py"
LANES = "tests/sim/test_driver_lanes.py"
RECOVERY = "tests/unit/test_recovery.py"
SHIFT = "tests/sim/test_shift.py"


@dataclass(frozen=True, slots=True)
class Bug:
    """`old` becomes `new` in `file`; `caught_by` is a test's id, or a file whose tests together must notice."""

    name: str
    file: str
    old: str
    new: str
    caught_by: str


BUGS: Final = (
    # ── nothing is dialed that is not on disk ──
    Bug(
        "the disk is skipped",
        "engine/driver.py",
        "                await self._commit(writes)\n",
        "                pass\n",
        f"{LANES}::test_nothing_is_dialed_before_it_is_on_disk",
    ),
    Bug(
        "a failed write is dropped",
        "engine/driver.py",
        '                self._store_is("commit", str(problem))\n',
        "                return\n",
        f"{LANES}::test_a_failed_commit_is_repeated_and_dialing_stops_meanwhile",
    ),
    Bug(
        "a stale dial is sent",
        "engine/driver.py",
        "elif now_ms <= dial.send_before_ms:",
        "elif True:",
        f"{LANES}::test_a_dial_that_waited_too_long_for_the_disk_is_not_sent",
    ),
    Bug(
        "a dial goes out while the lists are asked about its number",
        "engine/driver.py",
        "while self._dials and not live.checks:",
        "while self._dials:",
        f"{LANES}::test_a_dial_does_not_go_out_while_the_lists_are_asked_about_its_number",
    ),
    Bug(
        "a dial taken back behind others is sent",
        "engine/ari/switch.py",
        "            self._unsent.discard(order.leg)\n",
        "            pass\n",
        "tests/unit/test_ari_switch.py::test_a_dial_taken_back_while_it_waits_behind_others_is_never_sent",
    ),
    Bug(
        "a dial taken back is sent",
        "engine/driver.py",
        "if attempt is None or attempt.state is not CustomerState.PLANNED:",
        "if attempt is None:",
        f"{LANES}::test_a_dial_taken_back_while_it_waited_is_not_sent",
    ),
    Bug(
        "a check against the do-not-call lists that failed is forgotten",
        "engine/driver.py",
        "            self._unchecked.append(order)\n",
        "            pass\n",
        f"{LANES}::test_lists_that_cannot_be_read_are_asked_again_and_hold_up_no_other_look_up",
    ),
    Bug(
        "a recording begins before its row is on disk",
        "engine/driver.py",
        "                commit.recorders.append(order)\n",
        "                self._switch.send(order)\n",
        f"{LANES}::test_a_recording_begins_when_its_row_is_on_disk",
    ),
    Bug(
        "a command is done twice",
        "engine/driver.py",
        "        answer = self._answers.get(event.command)\n        if answer is None:",
        "        answer = None\n        if answer is None:",
        f"{LANES}::test_the_same_command_twice_is_done_once",
    ),
    Bug(
        "a cancelled timer fires",
        "engine/timers.py",
        "            armed.cancel()\n",
        "            pass\n",
        f"{LANES}::test_timers_fire_once_and_not_when_cancelled",
    ),
    Bug(
        "ids are used again after a restart",
        "engine/core/live.py",
        'return f"{self.epoch}-{self._numbers}"',
        'return f"1-{self._numbers}"',
        f"{SHIFT}::test_an_engine_that_is_killed_every_minute",
    ),
    # ── whom, when, how often ──
    Bug(
        "an attempt is not counted",
        "engine/core/dialing.py",
        "attempts_count=lead.attempts_count + 1",
        "attempts_count=lead.attempts_count",
        f"{DIALING}::test_an_attempt_is_saved_before_its_dial_and_counted_at_once",
    ),
    Bug(
        "a lost attempt is given back",
        "engine/core/model.py",
        "{Outcome.CONGESTION, Outcome.FAILED, Outcome.CANCELLED}",
        "{Outcome.CONGESTION, Outcome.FAILED, Outcome.CANCELLED, Outcome.LOST}",
        "tests/unit/test_attempts.py::test_if_the_phone_may_have_rung_it_counts",
    ),
    Bug(
        "the limit of attempts is ignored",
        "engine/core/attempts.py",
        '_fixed("attempts_used", (str(used), str(most)), used < most),',
        '_fixed("attempts_used", (str(used), str(most)), True),',
        "tests/unit/test_attempts.py::test_what_may_not_be_dialed",
    ),
    Bug(
        "the campaign's zone is taken for the lead's",
        "engine/core/attempts.py",
        "*zone_checks(lead.zones, campaign, now_ms),",
        "*zone_checks((), campaign, now_ms),",
        "tests/unit/test_attempts.py::test_the_lead_s_own_zone_rules",
    ),
    Bug(
        "an edge in the double hour opens too early",
        "engine/core/hours.py",
        "(instants(day, start, zone)[1],",
        "(instants(day, start, zone)[0],",
        "tests/unit/test_hours.py::test_an_edge_inside_the_double_hour_keeps_us_longer_from_calling",
    ),
    Bug(
        "a number is called twice at a time",
        "engine/core/dialing.py",
        "case rules.Allowed(phone=phone) if phone.number.e164 in live.attempts.numbers:",
        "case rules.Allowed(phone=phone) if False:",
        f"{DIALING}::test_two_leads_with_one_number_are_never_called_at_the_same_time",
    ),
    Bug(
        "a suppressed lead stays in the hopper",
        "engine/core/customers.py",
        "        hopper.drop(listed)\n",
        "        pass\n",
        f"{CUSTOMERS}::test_suppressed_while_loaded_is_never_dialed_even_when_a_fetch_brings_it",
    ),
    Bug(
        "a promised call waits behind what was loaded before it",
        "engine/core/dialing.py",
        "deque(promised[:PROMISED_MAX] + line[:HOPPER_MAX])",
        "deque(line[:HOPPER_MAX] + promised[:PROMISED_MAX])",
        f"{DIALING}::test_a_promised_call_whose_time_comes_goes_before_what_is_loaded_and_the_rest_stays",
    ),
    Bug(
        "what is loaded goes before a promised call that is being loaded",
        "engine/core/dialing.py",
        "    if hopper.owed or live.checks:\n",
        "    if live.checks:\n",
        f"{DIALING}::test_nothing_goes_while_a_promised_call_is_being_loaded_also_when_the_store_is_asked_twice",
    ),
    Bug(
        "the end of a call brings a suppressed lead back",
        "engine/core/attempts.py",
        "    assert outcome is not Outcome.CONNECTED\n    if lead.state is LeadState.SUPPRESSED:",
        "    assert outcome is not Outcome.CONNECTED\n    if False:",
        f"{CUSTOMERS}::test_suppressed_while_ringing_takes_the_call_back",
    ),
    Bug(
        "a refused trunk does not rest",
        "engine/core/customers.py",
        "    live.line(attempt.trunk).refused(now_ms)\n    attempt = live.move_attempt(attempt, CustomerEvent.REFUSED",
        "    attempt = live.move_attempt(attempt, CustomerEvent.REFUSED",
        f"{DIALING}::test_a_refused_originate_rests_the_trunk_and_does_not_count",
    ),
    Bug(
        "a line is never given back",
        "engine/core/live.py",
        "            trunk.release()\n",
        "            pass\n",
        f"{DIALING}::test_lines_are_a_cap",
    ),
    # ── agents and customers ──
    Bug(
        "an agent is not freed when the caller leaves during the offer",
        "engine/core/machines.py",
        "    (C.ENDED, A.RESERVED): _A.RELEASED,\n",
        "",
        f"{CUSTOMERS}::test_an_offer_that_falls_through_keeps_the_place_in_the_line",
    ),
    Bug(
        "an agent is not freed at the end of the talk",
        "engine/core/machines.py",
        "    (C.ENDED, A.TALKING): _A.CUSTOMER_GONE,\n",
        "",
        f"{CUSTOMERS}::test_ring_answer_bridge_talk_hang_up_wrap_up_disposition",
    ),
    Bug(
        "a late answer is ignored",
        "engine/core/customers.py",
        "        _answered_against_our_hangup(live, attempt, now_ms)\n        return",
        "        return",
        f"{CUSTOMERS}::test_an_answer_that_beats_our_hang_up_is_an_abandon",
    ),
    Bug(
        "who is abandoned hears silence",
        "engine/core/customers.py",
        "        effects.PlayMessageAndHangup(attempt.leg, live.message(attempt)),\n",
        "",
        f"{CUSTOMERS}::test_nobody_free_in_time_is_an_abandon_and_never_silence",
    ),
    Bug(
        "whoever waits is forgotten",
        "engine/core/floor.py",
        "        customers.offer_waiting(self.live, now_ms)\n",
        "",
        f"{CUSTOMERS}::test_a_waiting_customer_goes_to_the_first_agent_who_is_ready_again",
    ),
    Bug(
        "the newest in the line comes first",
        "engine/core/selection.py",
        "agent.idle_since_ms, agent.id)",
        "-agent.idle_since_ms, agent.id)",
        "tests/unit/test_selection.py::test_the_longest_idle_takes_it",
    ),
    Bug(
        "a wish during an offer is forgotten",
        "engine/core/live.py",
        "                self.grant_wish(self.agents[agent.id], now_ms)\n",
        "",
        f"{DESK}::test_a_wish_during_an_offer_is_granted_when_the_customer_leaves",
    ),
    Bug(
        "the wrap-up never ends",
        "engine/core/live.py",
        '        self.emit(effects.SetTimer(("wrap", agent.id), now_ms + campaign.wrap_up_ms))\n',
        "",
        f"{DESK}::test_wrap_up_modes",
    ),
    Bug(
        "a disposition given in talk is overruled",
        "engine/core/desk.py",
        "        live.decided[attempt.id] = rule\n        if attempt",
        "        if attempt",
        f"{CUSTOMERS}::test_a_disposition_given_in_talk_outlives_the_agents_phone",
    ),
    Bug(
        "what was said of a caller is forgotten when they are named",
        "engine/core/inbound.py",
        '    said = rule != "" and',
        '    said = rule == "never" and',
        f"{INBOUND}::test_what_was_said_of_a_caller_holds_for_the_lead_that_is_named_after_it",
    ),
    # ── recovery ──
    Bug(
        "who died with their Asterisk in the message is forgotten",
        "engine/ari/switch.py",
        "self._told([leg for leg in answered if leg not in there])",
        "self._told([])",
        "tests/unit/test_ari_switch.py::test_who_had_answered_and_is_there_no_more_died_with_the_switch",
    ),
    Bug(
        "the POST is repeated when its reply is lost",
        "engine/core/floor.py",
        "        customers.unknown(live, attempt, now_ms)\n",
        "        customers.refused(live, attempt, now_ms)\n",
        f"{DIALING}::test_an_originate_without_a_reply_is_never_sent_again",
    ),
    Bug(
        "a live conversation is not taken over",
        "engine/core/recovery.py",
        "state=CustomerState.WAITING if talked else attempt.state)",
        "state=attempt.state)",
        f"{RECOVERY}::test_a_live_conversation_is_taken_over_without_touching_it",
    ),
    Bug(
        "legs that nobody knows live on",
        "engine/core/recovery.py",
        "    if attempt is None or attempt.state is CustomerState.ENDED:\n        live.emit(effects.Hangup(leg.leg))\n",
        "    if attempt is None or attempt.state is CustomerState.ENDED:\n        return\n",
        f"{RECOVERY}::test_legs_that_nobody_remembers_are_hung_up",
    ),
    Bug(
        "the message is cut short by a snapshot",
        "engine/core/recovery.py",
        "    elif leg.ours_to_command:\n        if attempt.bridged_at_ms is None:",
        "    elif leg.answered:\n        if attempt.bridged_at_ms is None:",
        f"{RECOVERY}::test_who_answered_while_no_engine_listened_hears_the_message_and_is_an_abandon",
    ),
    Bug(
        "what ended in the gap is never closed",
        "engine/core/recovery.py",
        "            _customer_leg_missing(live, attempt, gone.get(attempt.leg), now_ms)\n",
        "            pass\n",
        SHIFT,
    ),
    Bug(
        "an idle floor does not ask the switch",
        "engine/core/recovery.py",
        "    if live.connected:\n        live.ask_switch(now_ms)\n",
        "    if live.connected and live.talking():\n        live.ask_switch(now_ms)\n",
        f"{RECOVERY}::test_the_switch_is_asked_now_and_then_also_by_an_idle_office_whose_lost_event_may_be_a_caller",
    ),
    Bug(
        "a recording that the last engine ordered is believed to run",
        "engine/core/recording.py",
        "        _start(live, attempt, recording)  # by",
        "        pass  # by",
        f"{RECOVERY}::test_the_recording_of_a_conversation_that_goes_on_is_ordered_again_its_order_may_have_died",
    ),
    Bug(
        "the switch is never asked again",
        "engine/core/recovery.py",
        '    live.emit(effects.SetTimer(("resync", ""), now_ms + every_ms))\n',
        "",
        f"{SHIFT}::test_a_switch_that_forgets_every_tenth_fact",
    ),
    Bug(
        "a lost phone keeps its customer",
        "engine/core/desk.py",
        "        customers.release_customer(live, attempt.id, now_ms, bridge)\n",
        "        pass\n",
        f"{CUSTOMERS}::test_the_agents_phone_is_lost_in_talk_and_the_customer_goes_to_the_next_agent",
    ),
    # ── the message ──
    Bug(
        "the key for no more calls is not saved",
        "engine/core/customers.py",
        "    live.emit(effects.SaveOptOut(attempt_id, now_ms))\n",
        "",
        f"{CUSTOMERS}::test_the_key_during_the_message_puts_them_on_the_do_not_call_list_at_once",
    ),
    Bug(
        "the journal's key is passed over",
        "asterisk/journal.py",
        'elif entry.kind == "ZV_OPT_OUT":',
        "elif False:",
        "tests/unit/test_asterisk_journal.py::test_the_key_for_no_more_calls_is_told_even_if_the_call_has_no_end",
    ),
    Bug(
        "a long message is cut",
        "engine/core/customers.py",
        '        effects.SetTimer(("life", attempt.id), now_ms + MESSAGE_MAX_MS),\n    )\n\n\ndef opted_out',
        '        effects.SetTimer(("life", attempt.id), now_ms + LIFE_SLACK_MS),\n    )\n\n\ndef opted_out',
        f"{CUSTOMERS}::test_a_long_message_is_not_cut",
    ),
    # ── answering machines ──
    Bug(
        "who is not surely a person is hung up on",
        "engine/core/customers.py",
        "if verdict is Verdict.MACHINE and not sampled:",
        "if verdict is not Verdict.PERSON and not sampled:",
        "tests/unit/test_screening.py::test_whoever_is_not_clearly_a_machine_is_a_person",
    ),
    Bug(
        "misjudged persons cost the budget nothing",
        "engine/core/live.py",
        "        self.pacers[campaign].budget.misjudged(self.detections[campaign].misjudged_share)\n",
        "        pass\n",
        "tests/unit/test_screening.py::test_a_machine_is_hung_up_and_is_no_live_answer_but_for_the_share_that_are_persons",
    ),
    Bug(
        "detection never goes off",
        "engine/core/screening.py",
        "off=low > self.policy.false_positives_max",
        "off=False",
        "tests/unit/test_screening.py::"
        "test_too_many_persons_among_the_machines_and_detection_is_off_with_a_word_to_the_supervisor",
    ),
    Bug(
        "the clock stops for detection",
        "engine/core/customers.py",
        "    if attempt.state is CustomerState.SCREENING:\n        live.counters",
        "    if False:\n        live.counters",
        "tests/unit/test_screening.py::test_a_verdict_that_never_comes_is_no_reason_to_wait",
    ),
    Bug(
        "who is taken off hold in vain stays in silence",
        "engine/core/recovery.py",
        "    if attempt.state is CustomerState.WAITING and live.leg_kind(agent.id) is LegKind.ON_DEMAND:\n",
        "    if live.leg_kind(agent.id) is LegKind.ON_DEMAND:\n",
        f"{RECOVERY}::test_who_is_taken_off_hold_in_vain_is_bridged_again_also_to_a_phone_called_per_conversation",
    ),
    Bug(
        "who was on hold goes to anybody after a restart",
        "engine/core/recovery.py",
        "        if partner is not None and partner.state is AgentState.READY:\n            customers.give",
        "        if False:\n            customers.give",
        f"{RECOVERY}::test_who_was_on_hold_when_the_engine_died_returns_to_the_same_agent",
    ),
    Bug(
        "a restart begins the time of a conversation anew",
        "engine/core/customers.py",
        "    at_ms = attempt.bridged_at_ms if goes_on else now_ms\n",
        "    at_ms = now_ms\n",
        f"{RECOVERY}::test_a_live_conversation_is_taken_over_without_touching_it",
    ),
    Bug(
        "a conversation that is over is recorded",
        "engine/core/customers.py",
        "    if not over and not leaving:\n",
        "    if not leaving:\n",
        f"{RECOVERY}::test_a_conversation_that_ended_while_no_engine_ran_is_not_recorded_any_more",
    ),
    Bug(
        "an engine that is to end dials on",
        "engine/core/floor.py",
        "    live.draining = True\n",
        "    pass\n",
        f"{DIALING}::test_draining_dials_nothing_more_and_lets_the_talking_end",
    ),
    # ── the store ──
    Bug(
        "a try that does not count is spent",
        "engine/store/store.py",
        "    if not counts:\n",
        "    if counts:\n",
        SHIFT,
    ),
    Bug(
        "a suppressed lead is woken by the store",
        "engine/store/sql/dialing.sql",
        "WHERE id = :lead AND state <> 'suppressed';",
        "WHERE id = :lead;",
        "tests/contract/test_store_dialing.py",
    ),
    Bug(
        "a call taken back is closed while its dial is on the way",
        "engine/core/recovery.py",
        "sent_off = attempt.state is CustomerState.LEAVING and attempt.answered_at_ms is not None",
        "sent_off = attempt.state is CustomerState.LEAVING",
        f"{RECOVERY}::test_who_is_taken_back_before_their_call_is_made_is_not_called_again_until_it_cannot_come_any_more",
    ),
    Bug(
        "who has left the file is cut off by a restart",
        "engine/core/recovery.py",
        "        live.enlist(attempt.agent)  # who has left the file talks to the end\n",
        "",
        f"{RECOVERY}::test_an_agent_who_has_left_the_file_talks_to_the_end",
    ),
    Bug(
        "an end that is told before the snapshot is believed as it is",
        "engine/core/customers.py",
        "if not live.connected and (unanswered or attempt.id in live.restored_talk):",
        "if not live.connected and attempt.id in live.restored_talk:",
        f"{RECOVERY}::test_so_it_does_of_a_call_whose_end_is_told_before_the_snapshot",
    ),
    Bug(
        "who talked with whom is forgotten before the snapshot",
        "engine/core/customers.py",
        "if not live.connected and (unanswered or attempt.id in live.restored_talk):",
        "if not live.connected and unanswered:",
        f"{RECOVERY}::test_so_is_one_that_ends_before_the_first_snapshot_has_come",
    ),
    Bug(
        "a conversation is not known whose verdict was not saved",
        "engine/core/recovery.py",
        "    if attempt.state is CustomerState.SCREENING:  # the verdict",
        "    if attempt.state is CustomerState.ENDED:  # the verdict",
        f"{RECOVERY}::test_so_is_one_that_detection_had_let_through_and_the_disk_did_not_know",
    ),
    Bug(
        "a call is held to be kept by its own conversation",
        "engine/store/sql/dialing.sql",
        "JOIN attempts made ON made.rowid >= this.rowid",
        "JOIN attempts made ON made.rowid > this.rowid",
        "tests/contract/test_store_dialing.py",
    ),
    Bug(
        "a store that answers late is waited for in silence",
        "engine/driver.py",
        "now_ms - asked_ms >= SAVE_LATE_MS",
        "now_ms - asked_ms >= 3_600_000",
        f"{LANES}::test_a_disk_that_answers_late_is_told_before_it_answers",
    ),
    Bug(
        "anybody takes a colleague's order back",
        "engine/core/clientorders.py",
        "return order.changed_by == login and not order.undone",
        "return not order.undone",
        "tests/unit/test_client_orders.py::test_who_may_take_a_change_back",
    ),
    Bug(
        "an order with doubts sinks among the others",
        "engine/core/clientorders.py",
        "return is_over(policy, order.state), not missing(policy, order), -order.id",
        "return is_over(policy, order.state), False, -order.id",
        "tests/unit/test_client_orders.py::test_an_order_with_doubts_floats_up_and_one_that_is_over_sinks",
    ),
)
