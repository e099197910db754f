"""The trade in words: states, outcomes, causes and refusals as message ids, with their icons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from crm_lite.i18n import Words
from engine.api import AbandonLimit, DetectionView, PacingView
from engine.booking import Taken
from engine.core.effects import DialingChanged
from engine.core.model import (
    AgentState,
    Attempt,
    Campaign,
    CustomerState,
    DispositionId,
    LeadState,
    Mode,
    NotDialing,
    OrderRefusal,
    Outcome,
    Refusal,
    SkipReason,
    SystemPause,
)
from engine.messages import N_

#: (word, icon) of an agent's state; the colour is the CSS class of the same name.
AGENT_STATES: Final[Mapping[AgentState, tuple[str, str]]] = {
    AgentState.LOGGED_OUT: (N_("Offline"), "power"),
    AgentState.CONNECTING: (N_("Connecting the phone"), "phone-outgoing"),
    AgentState.READY: (N_("Ready"), "circle-check"),
    AgentState.PREVIEW: (N_("Next client"), "user"),
    AgentState.RESERVED: (N_("Call"), "phone-incoming"),
    AgentState.TALKING: (N_("Talking"), "phone-call"),
    AgentState.HELPING: (N_("With a colleague"), "headset"),
    AgentState.WRAP_UP: (N_("Wrap-up"), "pencil"),
    AgentState.PAUSED: (N_("Pause"), "pause"),
}
#: What an agent does while the client that they call is not on the line yet.
CALLING: Final[Mapping[CustomerState, tuple[str, str]]] = {
    CustomerState.PLANNED: (N_("Dialing"), "phone-outgoing"),
    CustomerState.DIALING: (N_("Dialing"), "phone-outgoing"),
    CustomerState.RINGING: (N_("It rings"), "phone-outgoing"),
}
ON_HOLD: Final = (N_("On hold"), "hand")
#: What is said of a bug of ours.
UNEXPECTED: Final = N_("Something went wrong on our side. It has been recorded; try again.")

CUSTOMER_STATES: Final[Mapping[CustomerState, str]] = {
    CustomerState.PLANNED: N_("planned"),
    CustomerState.DIALING: N_("dialing"),
    CustomerState.RINGING: N_("ringing"),
    CustomerState.SCREENING: N_("person or machine?"),
    CustomerState.WAITING: N_("waiting for an operator"),
    CustomerState.TALKING: N_("talking"),
    CustomerState.HELD: N_("on hold"),
    CustomerState.LEAVING: N_("message"),
    CustomerState.ENDED: N_("ended"),
}

LEAD_STATES: Final[Mapping[LeadState, str]] = {
    LeadState.NEW: N_("New"),
    LeadState.RETRY: N_("Will be called again"),
    LeadState.CALLBACK: N_("Callback promised"),
    LeadState.DIALING: N_("Being dialed"),
    LeadState.IN_CALL: N_("In a call"),
    LeadState.CLOSED: N_("Closed"),
    LeadState.SUPPRESSED: N_("Do not call"),
}

OUTCOMES: Final[Mapping[Outcome, str]] = {
    Outcome.CONNECTED: N_("Conversation"),
    Outcome.NO_ANSWER: N_("No answer"),
    Outcome.BUSY: N_("Busy"),
    Outcome.REJECTED: N_("Declined"),
    Outcome.INVALID_NUMBER: N_("Number does not exist"),
    Outcome.MACHINE: N_("Answering machine"),
    Outcome.ABANDONED: N_("Answered, no operator was free"),
    Outcome.HUNG_UP_EARLY: N_("Hung up at once"),
    Outcome.CONGESTION: N_("No free line at the carrier"),
    Outcome.FAILED: N_("Could not be dialed"),
    Outcome.CANCELLED: N_("Taken back"),
    Outcome.LOST: N_("Unknown: the link was lost"),
    Outcome.LEFT_QUEUE: N_("Called us, hung up while waiting"),
    Outcome.TURNED_AWAY: N_("Called us, nobody was free"),
    Outcome.OUT_OF_HOURS: N_("Called us out of hours"),
}

#: Q.850 causes (ITU-T Q.850 table 1) that say more than the outcome does.
CAUSES: Final[Mapping[int, str]] = {
    1: N_("unallocated number"),
    16: N_("normal end"),
    18: N_("phone does not respond"),
    19: N_("rang, nobody answered"),
    20: N_("phone is switched off"),
    22: N_("number has changed"),
    27: N_("out of order"),
    28: N_("wrong number format"),
    34: N_("no line free"),
    38: N_("network out of order"),
    42: N_("network overloaded"),
    127: N_("interworking"),
}

SYSTEM_PAUSES: Final[Mapping[str, str]] = {
    SystemPause.AFTER_LOGIN: N_("shift started"),
    SystemPause.NO_ANSWER: N_("missed call"),
    SystemPause.PHONE_LOST: N_("phone lost"),
    SystemPause.LOST_DESK: N_("desk connection lost"),
    SystemPause.FORCED: N_("by the supervisor"),
    SystemPause.PREVIEW_UNUSED: N_("no answer to the offered client"),
    SystemPause.RESTARTED: N_("the system was restarted"),
    SystemPause.TASK: N_("busy with a task"),
}

MODES: Final[Mapping[Mode, str]] = {
    Mode.MANUAL: N_("manual"),
    Mode.PREVIEW: N_("preview"),
    Mode.PROGRESSIVE: N_("progressive"),
    Mode.RATIO: N_("fixed ratio"),
    Mode.PREDICTIVE: N_("predictive"),
}

#: Why an agent skips a previewed lead.
SKIP_REASONS: Final[Mapping[SkipReason, str]] = {
    SkipReason.BAD_TIME: N_("a bad time for this client"),
    SkipReason.BAD_DATA: N_("wrong or missing data"),
    SkipReason.OTHER: N_("another reason"),
    SkipReason.TIMEOUT: N_("no answer in time"),
}

#: Why a campaign does not dial (`DialingChanged.reason`).
DIALING_REASONS: Final[Mapping[str, str]] = {
    "": N_("dialing"),
    NotDialing.STOPPED: N_("stopped"),
    NotDialing.DRAINING: N_("stopped: the system is shutting down"),
    NotDialing.SWITCH: N_("stopped: no connection to the telephone switch"),
    NotDialing.STORE: N_("stopped: the database cannot save"),
    NotDialing.OVERLOAD: N_("stopped: the engine does not keep up"),
    NotDialing.CLOCK: N_("stopped: the system clock was set back; set it right or restart the engine"),
    NotDialing.MODE: N_("operators start the calls"),
    NotDialing.NO_AGENTS: N_("waiting: no operator is ready"),
    NotDialing.AGENTS_BUSY: N_("all operators are busy"),
    NotDialing.NO_LEADS: N_("waiting: no lead is due"),
    NotDialing.LINES: N_("waiting: all lines are in use"),
    NotDialing.CARRIER: N_("waiting: the carrier takes no calls just now"),
    NotDialing.CEILING: N_("stopped: as many customers found no operator as are allowed"),
}

#: Why a command was refused: by the engine, or (the plain ones) by the pages.
REFUSALS: Final[Mapping[str, str]] = {
    OrderRefusal.EMPTY: N_("Fill in at least one field of the order."),
    OrderRefusal.NO_EDITS: N_("In this state only the state of the order can be changed."),
    OrderRefusal.OVER: N_("This order is over and cannot be changed any more."),
    OrderRefusal.UNKNOWN_STATE: N_("There is no such state of orders in the configuration any more. Reload the page."),
    OrderRefusal.NO_UNDO: N_("This can no longer be undone: it is too long ago, or somebody changed the order since."),
    OrderRefusal.GONE: N_("There is no such order any more."),
    OrderRefusal.BUSY: N_("Others are changing this order just now. Try again."),
    Refusal.UNKNOWN_AGENT: N_("No operator of this name in the configuration. Ask the engineer."),
    Refusal.NOT_LOGGED_IN: N_("Start the shift first."),
    Refusal.ALREADY_LOGGED_IN: N_("The shift has already started."),
    Refusal.PHONE_NOT_REGISTERED: N_("Your desk phone is not registered. Check the phone, or call the engineer."),
    Refusal.SWITCH_DOWN: N_("No connection to the telephone switch. Use the buttons of the phone."),
    Refusal.NO_CALL: N_("This call is over."),
    Refusal.DISPOSITION_NEEDED: N_("Choose a result first."),
    Refusal.UNKNOWN_DISPOSITION: N_("This campaign has no such result any more. Reload the page."),
    Refusal.CALLBACK_TIME_NEEDED: N_("Choose when to call back."),
    Refusal.CALLBACK_IN_PAST: N_("The callback time is not in the future."),
    Refusal.UNKNOWN_CAMPAIGN: N_("There is no such campaign in the configuration."),
    Refusal.UNKNOWN_QUEUE: N_("There is no such queue in the configuration."),
    Refusal.WRAP_UP_NOT_OVER: N_("Wrap-up ends when its time is out."),
    Refusal.TOO_LATE: N_("The result of this conversation can no longer be changed here."),
    Refusal.DRAINING: N_("The system is shutting down."),
    Refusal.NOT_READY: N_("First finish what you are doing and press “Ready”."),
    Refusal.NOT_SERVED: N_("This client belongs to a campaign that you do not serve."),
    Refusal.CAMPAIGN_STOPPED: N_("The campaign is stopped. Ask the supervisor."),
    Refusal.LEAD_TAKEN: N_("A colleague is busy with this client just now."),
    Refusal.LEAD_UNREADABLE: N_("The card cannot be read: the database does not answer. Try again."),
    Refusal.LEAD_CHANGED: N_("The card has just changed. Try again."),
    Refusal.NUMBER_BUSY: N_("This number is being called just now."),
    Refusal.LINES_BUSY: N_("All lines are in use. Try again in a moment."),
    Refusal.NOT_NOW: N_("No calls can be made just now. Try again in a moment."),
    Refusal.NOT_PREVIEWED: N_("This client is no longer offered to you."),
    Refusal.SKIP_NOT_ALLOWED: N_("Clients of this campaign cannot be skipped."),
    Refusal.SKIPS_USED: N_("You have skipped as many clients in a row as you may. Call this one."),
    Refusal.LEAD_NEEDED: N_("First say who called: this result needs a client."),
    Refusal.CALLER_KNOWN: N_("This call has its client already."),
    Refusal.BAD_DIGITS: N_("Only digits, * and # can be sent."),
    "reason_needed": N_("Say why: it is kept with the number."),
    "not_mergeable": N_("One of the two is in a call, must not be called, or is merged already."),
    Refusal.COLLEAGUE_AWAY: N_("Nobody is there to take the call. Choose another colleague or team."),
    Refusal.NUMBER_SUPPRESSED: N_("This number is on a do-not-call list."),
    Refusal.COLLEAGUE_BUSY: N_("This colleague is busy just now. Choose another one, or transfer the call."),
    Refusal.COLLEAGUE_RINGS: N_("The colleague's phone still rings."),
    Refusal.NO_COLLEAGUE: N_("The colleague is no longer on the line."),
    Refusal.CONSULTING: N_("First go back to the client or hand them over: a colleague is on the line."),
    Refusal.LIFT_HANDSET: N_("This phone cannot be lifted from here: lift the handset."),
    Refusal.NO_PROMISE: N_("No call is promised to this client any more."),
    Refusal.OWNER_ELSEWHERE: N_("This operator does not work in the client’s campaign."),
    Refusal.NOT_RECORDED: N_("Conversations of this campaign are not recorded."),
    Refusal.ALWAYS_RECORDED: N_("This campaign records every conversation; the recording can be paused."),
    Taken.HOURS: N_("The client may not be called then."),
    Taken.SLOT_FULL: N_("Enough calls are promised for that time."),
    Taken.DAY_FULL: N_("Enough calls are promised for that day already."),
    Taken.NEVER: N_("No free time was found in the next two weeks."),
    "task_in_hand": N_("First finish the task in hand, or put it off."),
    "nothing_to_hand_out": N_("There is nothing to do just now."),
    "busy": N_("Too many commands at once. Wait a second."),
    "not_saved": N_("Not saved yet: the database does not answer. Nothing is lost, saving goes on."),
    "forbidden": N_("You may not do this."),
    "signed_out": N_("You are signed out. Sign in again; what you typed is kept."),
    "caller_name": N_("A client needs a name."),
    "caller_number": N_("This is not a phone number. Write it as +380 44 123 45 67."),
    "bad_command": N_("The page is out of date. Reload it."),
}

ROLES: Final[Mapping[str, str]] = {
    "operator": N_("operator"),
    "supervisor": N_("supervisor"),
    "engineer": N_("engineer"),
    "admin": N_("administrator"),
}


def attempt_cause(words: Words, cause: int | None, tech_cause: int | None) -> str:
    """The network's reason in words with its codes, as an engineer can look them up."""
    said = words.gettext(CAUSES.get(cause or 0, ""))
    codes = [f"Q.850 {cause}"] if cause else []
    if tech_cause:
        codes.append(f"SIP {tech_cause}")
    return f"{said} ({', '.join(codes)})" if said and codes else said or ", ".join(codes)


def agent_state(words: Words, state: AgentState, attempt: Attempt | None) -> tuple[str, str, str]:
    """(CSS class, word, icon) of what an agent is doing."""
    if state is AgentState.TALKING and attempt is not None and attempt.state is CustomerState.HELD:
        return "held", words.gettext(ON_HOLD[0]), ON_HOLD[1]
    word, icon = AGENT_STATES[state]
    if state is AgentState.RESERVED and attempt is not None:
        word, icon = CALLING.get(attempt.state, (word, icon))
    return state.value, words.gettext(word), icon


def dialing_words(words: Words, said: DialingChanged | None) -> str:
    """Whether a campaign dials, and why not; an unknown reason as it is."""
    reason = said.reason if said else NotDialing.STOPPED.value
    return words.gettext(DIALING_REASONS.get(reason, reason))


def refusal(words: Words, reason: str) -> str:
    """Why a command was refused, also by a rule about the lead; an unknown reason as it is."""
    if reason.split(":", maxsplit=1)[0] in HANDOUTS:
        return handout_words(words, reason)
    code = reason.split(":", maxsplit=1)[0]
    if reason not in REFUSALS and (code in RULES or code in CHECKS):
        return words.gettext("Not called: %(reason)s.") % {"reason": rule_words(words, reason)}
    return (
        words.gettext(REFUSALS[reason])
        if reason in REFUSALS
        else words.gettext("Refused: %(reason)s") % {"reason": reason}
    )


#: Why a lead is where it is (`LeadChange.rule`): the code's words, and the names of its parameters.
RULES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "attempts_used": (N_("all %(max)s attempts are used"), ("n", "max")),
    "retries_used": (N_("%(outcome)s: all %(max)s repeats are used"), ("outcome", "max")),
    "outcome_repeats": (N_("%(outcome)s %(n)s times: not again"), ("outcome", "n")),
    "retry": (N_("%(outcome)s: repeat %(n)s of %(max)s"), ("outcome", "n", "max")),
    "not_due": (N_("not due yet"), ()),
    "burst": (N_("no answer: call %(n)s of %(max)s of the first try"), ("n", "max")),
    "import_reverted": (N_("the import was undone"), ()),
    "planned": (N_("promised on the card"), ()),
    "plan_taken_back": (N_("the promise was taken back on the card"), ()),
    "recycled": (N_("to be called again, by the supervisor"), ()),
    "retry_otherwise": (N_("%(outcome)s: again after the usual time"), ("outcome",)),
    "no_valid_phone": (N_("no phone that can be called"), ()),
    "campaign_gone": (N_("the campaign is no longer in the configuration"), ()),
    "suppressed_meanwhile": (N_("do not call: asked meanwhile"), ()),
    "taken_back": (N_("taken back before it was answered"), ()),
    "invalid_no_other_phone": (N_("wrong number, no other phone"), ()),
    "invalid_next_phone": (N_("wrong number, the next phone follows"), ()),
    "no_disposition": (N_("closed without a result"), ()),
    "missed_call": (N_("called us and reached nobody"), ()),
    "agent_lost": (N_("the operator’s phone was lost"), ()),
    "calling_hours": (N_("outside calling hours"), ()),
    "hours_in_each": (N_("outside calling hours in one of %(n)s time zones where these numbers may be"), ("n",)),
    "zone_unknown": (N_("there is no such time zone: %(zone)s"), ("zone",)),
    "lead_is": (N_("the lead is “%(state)s”"), ("state",)),
    "skipped": (N_("skipped: %(skip)s"), ("skip",)),
    "suppressed": (N_("do not call: %(reason)s"), ("reason",)),
    "merged": (N_("merged into № %(lead)s"), ("lead",)),
    "disposition": (N_("result “%(result)s”"), ("result",)),
}


#: Why "Next" gives what it gives (`engine.core.tasks`): the code's words, and the names of its numbers.
HANDOUTS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "handed_promise": (N_("Promised calls come first of all"), ()),
    "handed_first": (N_("A task of tier %(tier)s in this time slot"), ("tier",)),
    "handed_tier": (N_("A task of tier %(tier)s: higher ones have nothing in this time slot"), ("tier",)),
    "handed_stack": (
        N_("From the recovery stack: your next task is in %(minutes)s min, more than %(max)s"),
        ("minutes", "max"),
    ),
    "handed_stack_free": (N_("From the recovery stack: you have no planned task"), ()),
    "wait_for_task": (N_("Your next task is in %(minutes)s min: wait for it."), ("minutes",)),
}


def handout_words(words: Words, why: str) -> str:
    """Why this was handed out, or nothing was."""
    code, *numbers = why.split(":")
    if code not in HANDOUTS:
        return why
    message, names = HANDOUTS[code]
    return words.gettext(message) % dict(zip(names, numbers, strict=False))


def rule_words(words: Words, rule: str, campaign: Campaign | None = None) -> str:
    """Which rule decided about the lead; an unknown one as it is."""
    code, *values = rule.split(":")
    if code not in RULES:
        return check_words(words, rule)
    message, names = RULES[code]
    said = dict(zip(names, values, strict=False))
    if said.get("outcome") in OUTCOMES:
        said["outcome"] = words.gettext(OUTCOMES[Outcome(said["outcome"])])
    if said.get("state") in list(LeadState):
        said["state"] = words.gettext(LEAD_STATES[LeadState(said["state"])])
    if said.get("skip") in list(SkipReason):
        said["skip"] = words.gettext(SKIP_REASONS[SkipReason(said["skip"])])
    found = campaign.disposition(DispositionId(said["result"])) if campaign and "result" in said else None
    if found is not None:
        said["result"] = words.label(found.labels)
    return words.gettext(message) % {**dict.fromkeys(names, "…"), **said}


def held_words(words: Words, rule: str, cause: str, campaign: Campaign | None = None) -> str:
    """Why so many leads are not dialed: the first rule that holds them back, and what it waits for."""
    if not rule:
        return words.gettext("May be called now: waiting for their turn")
    said = rule_words(words, rule, campaign)
    if rule.partition(":")[0] in {"not_due", "lead_is"} and cause:
        return f"{said}: {rule_words(words, cause, campaign)}"
    return said


#: What a rule of dialing looks at, whether it lets the call pass or not (`Ruling.code`), and its parameters.
CHECKS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "campaign_gone": (N_("Campaign in the configuration"), ()),
    "lead_is": (N_("State of the lead: %(state)s"), ("state",)),
    "attempts_used": (N_("Attempts: %(n)s of %(max)s"), ("n", "max")),
    "not_due": (N_("The time of the next call has come"), ()),
    "no_valid_phone": (N_("There is a phone that can be called"), ()),
    "calling_hours": (N_("Calling hours of the campaign"), ()),
    "hours_in_each": (N_("Calling hours in each of %(n)s time zones where these numbers may be"), ("n",)),
    "zone_unknown": (N_("The time zone exists: %(zone)s"), ("zone",)),
    "caller_id_contract": (N_("Law: the label of our number %(number)s is under contract"), ("number",)),
    "law_zone": (N_("Law: the customer’s time zone is known"), ()),
    "law_history": (N_("The earlier calls are known"), ()),
    "attempt_limit": (N_("Attempts %(whose)s: %(n)s of %(max)s %(per)s"), ("whose", "n", "max", "per")),
    "same_hour": (N_("Attempts at this hour of the day: %(n)s of %(max)s"), ("n", "max")),
    "law_in_call": (N_("Law: no other call to this person is going on"), ()),
    "law_mode": (N_("Law %(pack)s: how the call is started (%(mode)s)"), ("pack", "mode")),
    "law_stop": (N_("Law %(pack)s: nothing forbids the call (%(fact)s)"), ("pack", "fact")),
    "law_require": (N_("Law %(pack)s: what is needed is there (%(fact)s)"), ("pack", "fact")),
    "law_window": (N_("Law %(pack)s: hours of the customer’s day: %(hours)s"), ("pack", "hours")),
    "law_limit": (N_("Law %(pack)s: %(count)s: %(n)s of %(max)s %(per)s"), ("pack", "count", "n", "max", "per")),
    "law_redial": (N_("Law %(pack)s: seconds of ringing: %(n)s of %(max)s %(per)s"), ("pack", "n", "max", "per")),
    "law_cooldown": (N_("Law %(pack)s: rest after %(event)s: %(length)s"), ("pack", "event", "length")),
}
_LAW_WORDS: Final[Mapping[str, str]] = {
    "lead": N_("to this lead"),
    "number": N_("to this number"),
    "person": N_("to this person"),
    "attempt": N_("calls"),
    "talk": N_("conversations"),
    "talk_or_unknown": N_("answered calls"),
    "conversation": N_("a conversation"),
    "abandoned": N_("a call that found no operator"),
    "day": N_("per day"),
    "week": N_("per week"),
    "month": N_("per month"),
    "no_hours": N_("closed"),
    "rolling": N_("in %(n)s h"),
    "days": N_("in %(n)s days"),
    "successive": N_("in a period of %(n)s days"),
}


def check_words(words: Words, rule: str) -> str:
    """What a rule of dialing looks at, with the numbers that it uses; an unknown one as it is."""
    code, *values = rule.split(":")
    if code not in CHECKS:
        return rule
    message, names = CHECKS[code]
    said = {name: _law_words(words, value) for name, value in zip(names, values, strict=False)}
    if said.get("state") in list(LeadState):
        said["state"] = words.gettext(LEAD_STATES[LeadState(said["state"])])
    if said.get("mode") in list(Mode):
        said["mode"] = words.gettext(MODES[Mode(said["mode"])])
    return words.gettext(message) % {**dict.fromkeys(names, "…"), **said}


def _law_words(words: Words, value: str) -> str:
    if value in _LAW_WORDS:
        return words.gettext(_LAW_WORDS[value])
    kind, dash, number = value.partition("-")
    if dash and kind in _LAW_WORDS:
        return words.gettext(_LAW_WORDS[kind]) % {"n": number.removesuffix("h")}
    return value


#: What kept a pacer from placing one call more (`PacingView.limit`).
PACING_LIMITS: Final[Mapping[str, str]] = {
    "agents_dial": N_("Operators start the calls themselves."),
    "no_agent": N_("Nobody is there to talk to customers."),
    "in_flight": N_("Every ready operator has a call on its way."),
    "risk": N_("If one more number were dialed, whoever answers would too likely find no operator."),
    "overdrawn": N_("Too many customers found no operator: new answers must first make up for them."),
    "paced": N_("The last forecast is still good."),
    "shared": N_("Its operators are kept for other campaigns or for people who call us."),
    "ceiling": N_("As many customers found no operator as are allowed: new answers must first make up for them."),
    "lines": N_("The lines take no more calls just now."),
}


def why_so_many(words: Words, view: PacingView) -> tuple[str, list[str]]:
    """ "Why 7 calls?" and its answer, sentence by sentence."""
    question = words.ngettext("Why %(num)s call?", "Why %(num)s calls?", view.in_flight) % {"num": view.in_flight}
    said = [words.gettext(PACING_LIMITS.get(view.limit, view.limit))]
    operators = words.gettext("Operators: %(ready)s ready, %(busy)s busy.")
    if view.threshold:
        operators = words.gettext("Operators: %(ready)s ready, %(busy)s busy, %(soon)s soon free.")
    said.append(operators % {"ready": view.ready, "busy": view.busy, "soon": words.number(round(view.soon_free, 1))})
    if view.lent:
        said.append(
            words.gettext("Operators shared with other campaigns who count there now: %(num)s.") % {"num": view.lent}
        )
    if view.wanted_elsewhere:
        wanted = words.gettext("Needed first by people who call us and by other campaigns: %(num)s.")
        said.append(wanted % {"num": view.wanted_elsewhere})
    if view.threshold:
        answers = words.number(round(view.expected_answers, 1))
        said.append(words.gettext("Answers expected from the calls on their way: %(answers)s.") % {"answers": answers})
        said.append(
            words.gettext("Risk that one more answer finds no operator: %(risk)s; allowed now: %(threshold)s.")
            % {"risk": _percent(words, view.risk), "threshold": _percent(words, view.threshold)}
        )
    if view.live_answers:
        said.append(
            words.gettext(
                "Answered and found no operator %(period)s: %(abandoned)s of %(answers)s"
                " (%(share)s; at most %(most)s allowed). Still allowed: %(left)s."
            )
            % {
                "period": _period(words, view.period_hours),
                "abandoned": words.number(round(view.abandoned)),
                "answers": words.number(round(view.live_answers)),
                "share": _percent(words, view.abandoned / view.live_answers),
                "most": _percent(words, view.share_max),
                "left": words.number(max(0, int(view.abandons_left))),
            }
        )
    return question, said


#: What happens where as many were abandoned as are allowed.
AT_CEILING: Final[Mapping[str, str]] = {
    "ease": N_("then calls go out at hardly any risk"),
    "one_to_one": N_("then one call per ready operator"),
    "stop": N_("then dialing stops"),
}


def abandon_words(words: Words, limit: AbandonLimit) -> str:
    """How many answered customers may find no operator, over which periods, and what comes then."""
    periods = ", ".join(_period(words, hours) for hours in limit.periods_hours)
    most = words.gettext("at most %(most)s of those who answer") % {"most": _percent(words, limit.share_max)}
    return f"{most} {periods}; {words.gettext(AT_CEILING[limit.at_ceiling])}"


def _period(words: Words, hours: int) -> str:
    if not hours:
        return words.gettext("since midnight")
    days, rest = divmod(hours, 24)
    if rest:
        return words.ngettext("in %(num)s hour", "in %(num)s hours", hours) % {"num": hours}
    return words.ngettext("in %(num)s day", "in %(num)s days", days) % {"num": days}


def detection_words(words: Words, view: DetectionView) -> str:
    """What supervisors read of answering-machine detection."""
    if view.off:
        said = [words.gettext("Switched itself off: too many persons were taken for machines.")]
    else:
        said = [words.gettext("on") if view.enabled else words.gettext("off")]
    if view.checked:
        said.append(
            words.gettext(
                "Of %(checked)s calls judged machines that operators took, %(persons)s were persons:"
                " %(share)s (truly %(low)s to %(high)s; at most %(most)s)."
            )
            % {
                "checked": words.number(view.checked),
                "persons": words.number(view.persons),
                "share": _percent(words, view.persons / view.checked),
                "low": _percent(words, view.low),
                "high": _percent(words, view.high),
                "most": _percent(words, view.share_max),
            }
        )
    elif view.enabled:
        said.append(words.gettext("No call judged a machine was checked by an operator yet."))
    return " ".join(said)


def _percent(words: Words, share: float) -> str:
    return words.share(round(share * 100_000), 100_000)
