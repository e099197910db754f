"""The demo carrier's number plan: the last two digits of a number choose its fate.

One table for four readers: the carrier's dialplan, docs/number-plan.md, the tests that dial a known fate, and people
who make demo leads. `cause` and `tech_cause` are what ARI's ChannelDestroyed says on the calling side, measured on
Asterisk 22.10.1; `outcome` is the engine's word when nobody of ours hangs up first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What becomes of a call to a number that ends in `digits`.

    `behaviour`: a context of extensions.conf. `talk_s` 0: they never hang up. `sip` 0: no refusal.
    `cause` None: the call lasts until one side of ours ends it, so there is no single cause to expect.
    """

    digits: str
    name: str
    behaviour: str
    outcome: str
    says: str
    ring_s: int = 0
    talk_s: int = 0
    sip: int = 0
    cause: int | None = None
    answers: bool = False


def _person(digits: str, name: str, says: str, *, ring_s: int, talk_s: int, behaviour: str = "person") -> Fate:
    return Fate(
        digits=digits,
        name=name,
        behaviour=behaviour,
        outcome="CONNECTED",
        says=says,
        ring_s=ring_s,
        talk_s=talk_s,
        answers=True,
    )


def _refusal(digits: str, name: str, outcome: str, sip: int, cause: int, says: str, *, ring_s: int = 0) -> Fate:
    return Fate(
        digits=digits,
        name=name,
        behaviour="refused",
        outcome=outcome,
        says=says,
        ring_s=ring_s,
        sip=sip,
        cause=cause,
    )


FATES: tuple[Fate, ...] = (
    _person("01", "answers_at_once", "answers without ringing, talks 20 s", ring_s=0, talk_s=20),
    _person("02", "answers", "rings 2 s, talks 15 s", ring_s=2, talk_s=15),
    _person("03", "never_hangs_up", "rings 1 s, talks until we hang up", ring_s=1, talk_s=0),
    _person("04", "short_talk", "rings 1 s, talks 4 s", ring_s=1, talk_s=4),
    _person("05", "answers_late", "rings 12 s, talks 15 s", ring_s=12, talk_s=15),
    _person("06", "silent", "rings 1 s, answers, says nothing", ring_s=1, talk_s=0, behaviour="silent"),
    _person("07", "announced_then_answers", "announcement before the answer, talks 15 s", ring_s=0, talk_s=15,
            behaviour="announced"),
    Fate(digits="08", name="drops", behaviour="dropped", outcome="HUNG_UP_EARLY", ring_s=1, answers=True,
         says="rings 1 s, answers and hangs up at once (CONNECTED if an agent was faster)"),
    Fate(digits="09", name="presses_nine", behaviour="presses", outcome="CONNECTED", ring_s=1, answers=True,
         says="rings 1 s, listens, presses 9 after 3 s, listens on (on the do-not-call list where nobody was free)"),
    Fate(digits="10", name="voicemail", behaviour="voicemail", outcome="CONNECTED", ring_s=2, answers=True,
         says="a voicemail: greeting, tone (MACHINE where the campaign detects machines)"),
    _refusal("20", "busy", "BUSY", 486, 17, "busy"),
    _refusal("21", "busy_everywhere", "BUSY", 600, 17, "busy everywhere"),
    _refusal("22", "busy_after_ringing", "BUSY", 486, 17, "rings 2 s, then busy: pressed reject", ring_s=2),
    Fate(digits="30", name="unanswered", behaviour="unanswered", outcome="NO_ANSWER", says="rings until we give up"),
    _refusal("31", "unavailable", "NO_ANSWER", 480, 19, "switched off or out of reach"),
    _refusal("32", "carrier_gave_up", "NO_ANSWER", 408, 18, "rings 2 s, then the carrier times out", ring_s=2),
    _refusal("40", "dead_number", "INVALID_NUMBER", 404, 1, "no such number"),
    _refusal("41", "unallocated", "INVALID_NUMBER", 604, 1, "does not exist anywhere"),
    _refusal("42", "changed", "INVALID_NUMBER", 410, 22, "the number has changed"),
    _refusal("43", "incomplete", "INVALID_NUMBER", 484, 28, "digits are missing"),
    _refusal("50", "rejects", "REJECTED", 603, 21, "the person declines"),
    _refusal("51", "unwanted", "REJECTED", 607, 127, "the person marks the call as unwanted"),
    _refusal("52", "rejected_by_screening", "REJECTED", 608, 127, "a screening service declines"),
    _refusal("53", "forbidden", "FAILED", 403, 21, "the carrier forbids the call"),
    _refusal("60", "overload", "CONGESTION", 503, 34, "the carrier is overloaded"),
    _refusal("61", "carrier_error", "CONGESTION", 500, 38, "the carrier has an error of its own"),
    _refusal("62", "bad_gateway", "CONGESTION", 502, 27, "the carrier's gateway is broken"),
    _refusal("63", "gateway_timeout", "CONGESTION", 504, 102, "the carrier's gateway does not answer"),
    Fate(digits="64", name="announced_then_busy", behaviour="announced", outcome="BUSY", sip=486, cause=17,
         says="announcement before any answer, then busy"),
    Fate(digits="65", name="announced_then_dead", behaviour="announced", outcome="INVALID_NUMBER", sip=404, cause=1,
         says="announcement before any answer, then no such number"),
)  # fmt: skip

# Every other ending: by chance, per mille. Ring and talk times are drawn per call.
CHANCE: tuple[tuple[int, str], ...] = (
    (420, "answers"),
    (280, "unanswered"),
    (100, "busy"),
    (60, "voicemail"),
    (50, "busy_after_ringing"),
    (30, "unavailable"),
    (20, "dead_number"),
    (20, "rejects"),
    (10, "drops"),
    (10, "overload"),
)
CHANCE_RING_S = (2, 12)
CHANCE_TALK_S = (15, 60)


def fate_of(number: str) -> Fate | None:
    """The fate of a number, None: by chance."""
    digits = "".join(char for char in number if char.isdigit())[-2:]
    return next((fate for fate in FATES if fate.digits == digits), None)


def fate(name: str) -> Fate:
    """The fate with this name."""
    return next(one for one in FATES if one.name == name)


def carrier_dialplan(fates: Sequence[Fate] = FATES) -> dict[str, str]:
    """The carrier's dialplan files, name → text."""
    return {
        "extensions.conf": (_HERE / "extensions.conf").read_text(encoding="utf-8"),
        "plan.conf": "\n".join(["; Rendered from plan.py.", "[plan]", *map(_extension, fates), *_chance_lines(), ""]),
    }


def table() -> str:
    """The plan as a table for docs/number-plan.md."""
    head = "| Ends in | Fate | What happens | SIP | Cause | Outcome |\n|---|---|---|---|---|---|\n"
    rows = (
        f"| …{one.digits} | `{one.name}` | {one.says} | {one.sip or ('200' if one.answers else '–')} "
        f"| {'–' if one.cause is None else one.cause} | {one.outcome} |"
        for one in FATES
    )
    return head + "\n".join(rows) + "\n"


def _extension(one: Fate) -> str:
    sip = one.sip or ""
    return "\n".join(
        (
            f"exten => {one.digits},1,CELGenUserEvent(INVITE,${{NUMBER}} {one.name})",
            f" same => n,Set(RING_S={one.ring_s})",
            f" same => n,Set(TALK_S={one.talk_s})",
            f" same => n,Set(SIP={sip})",
            f" same => n,Goto({one.behaviour},s,1)",
        )
    )


def _chance_lines() -> list[str]:
    low, high = CHANCE_RING_S
    talk_low, talk_high = CHANCE_TALK_S
    lines = ["exten => chance,1,Set(DRAW=${RAND(1,1000)})"]
    reached = 0
    for share, name in CHANCE:
        reached += share
        lines.append(f" same => n,GotoIf($[${{DRAW}} <= {reached}]?{name})")
    for _, name in CHANCE:
        one = fate(name)
        ring = f"${{RAND({low},{high})}}" if one.ring_s else "0"
        lines += [
            f" same => n({name}),CELGenUserEvent(INVITE,${{NUMBER}} {name})",
            f" same => n,Set(RING_S={ring})",
            f" same => n,Set(TALK_S=${{RAND({talk_low},{talk_high})}})",
            f" same => n,Set(SIP={one.sip or ''})",
            f" same => n,Goto({one.behaviour},s,1)",
        ]
    return lines
