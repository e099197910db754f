"""Checks across the sections of config.yaml: names that lead nowhere, contradictions (errors), doubts (warnings)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, TypeAlias

from jinja2 import Environment, meta
from jinja2.exceptions import TemplateSyntaxError

from engine.config import yamlmarks
from engine.config.forms import Address, duration_text
from engine.config.schema import AgentSettings, CampaignSettings, Config, Language, QueueSettings

DISPOSITIONS_WITH_KEY_MAX: Final = 9  # keys 1 to 9 on the desk
DETECTION_MS_MIN: Final = 1_500
LABEL_CHARACTERS_MAX: Final = 30  # more does not fit a button
_NO_BUTTONS: Final = (("lead_fields",), ("orders", "fields"))
SCRIPT_NAMES: Final = ("name", "agent", "campaign")  # what a script may use beside the lead's fields

#: Where the file names something that stands in another section; `*` is any key or item.
_REFERENCES: Final[Mapping[tuple[str, ...], str]] = {
    ("agents", "*", "phone"): "phones",
    ("agents", "*", "campaigns", "*"): "campaigns",
    ("agents", "*", "queues", "*"): "inbound",
    ("inbound", "*", "campaign"): "campaigns",
    ("campaigns", "*", "trunks", "*"): "trunks",
    ("campaigns", "*", "dispositions", "*"): "dispositions",
    ("tasks", "recovery", "*"): "campaigns",
    ("demo", "campaign"): "campaigns",
    ("demo", "trunk"): "trunks",
    ("demo", "robots", "*"): "agents",
    ("demo", "seat"): "agents",
}

Finding: TypeAlias = tuple[yamlmarks.Path, str]


def dangling(document: Any) -> Iterator[Finding]:
    """References to what is not there. Works on the raw file, so that they show together with all other errors."""
    for pattern, section in _REFERENCES.items():
        there = document.get(section) if isinstance(document, dict) else None
        names = list(there) if isinstance(there, dict) else []
        for path, name in _matching(document, pattern, ()):
            if isinstance(name, str | int) and str(name) not in names:
                choice = choices(str(name), names) if names else "that section is empty"
                yield path, f"{name} is not in {section}; {choice}"


def _matching(value: Any, pattern: tuple[str, ...], path: yamlmarks.Path) -> Iterator[tuple[yamlmarks.Path, Any]]:
    if not pattern:
        yield path, value
        return
    match value:
        case dict():
            parts: list[tuple[str | int, Any]] = list(value.items())
        case list():
            parts = list(enumerate(value))
        case _:
            return
    for key, part in parts:
        if pattern[0] in ("*", key):
            yield from _matching(part, pattern[1:], (*path, key))


def contradictions(config: Config) -> Iterator[Finding]:
    listening: dict[Address, str] = {}
    for path, address in (
        (("web", "listen"), config.web.listen),
        (("asterisk", "ari"), config.asterisk.ari),
        (("asterisk", "ami"), config.asterisk.ami),
    ):
        if other := listening.get(address):
            yield path, f"{address} is also the address of {other}"
        listening[address] = yamlmarks.dotted(path)
    if config.asterisk.sip.host in {"0.0.0.0", "::"}:  # noqa: S104 - refused, not used
        yield ("asterisk", "sip"), "name one address of this machine: carriers and phones must know where to answer"
    for name, campaign in config.campaigns.items():
        if not any(campaign.hours.values()):
            yield ("campaigns", name, "hours"), "no day is open: the campaign would never dial"
        columns = {"priority", "due", "age", "attempts", "zone", "partner", "list", "tag", *config.lead_fields}
        for index, term in enumerate(campaign.order):
            if term.by not in columns:
                yield ("campaigns", name, "order", index, "by"), f"{term.by}: {choices(term.by, sorted(columns))}"
        burst = campaign.attempts.burst
        if burst is not None and burst.calls > campaign.attempts.max:
            yield ("campaigns", name, "attempts", "burst", "calls"), "more calls than attempts.max"
        yield from _amd_contradictions(config, name, campaign)
        for index, disposition in enumerate(campaign.dispositions):
            if disposition in campaign.dispositions[:index]:
                yield ("campaigns", name, "dispositions", index), f"{disposition} is here twice"
        yield from _script_mistakes(config, name, campaign)
    yield from _inbound_contradictions(config)
    yield from _tasks_contradictions(config)
    yield from _orders_contradictions(config)
    if config.demo and config.demo.seat in config.demo.robots:
        yield ("demo", "seat"), f"{config.demo.seat} is also a robot"


def _tasks_contradictions(config: Config) -> Iterator[Finding]:
    for index, name in enumerate(config.tasks.recovery if config.tasks else ()):
        if config.campaigns[name].pacing.mode != "manual":
            yield ("tasks", "recovery", index), f"{name} is dialed by itself: a recovery stack needs `mode: manual`"


def _orders_contradictions(config: Config) -> Iterator[Finding]:
    if config.orders is None:
        return
    first, state = next(iter(config.orders.states.items()))
    if state.over:
        yield ("orders", "states", first), "a new order is in the first state: it would be over at once"


def _inbound_contradictions(config: Config) -> Iterator[Finding]:
    leads_to: dict[str, str] = {}
    for name, queue in config.inbound.items():
        if not any(queue.hours.values()):
            yield ("inbound", name, "hours"), "no day is open: every caller would be turned away"
        for index, number in enumerate(queue.numbers):
            if other := leads_to.get(number.e164):
                yield ("inbound", name, "numbers", index), f"{number.e164} already leads to {other}"
            leads_to[number.e164] = name


def _script_mistakes(config: Config, name: str, campaign: CampaignSettings) -> Iterator[Finding]:
    known = [*SCRIPT_NAMES, *config.lead_fields]
    for language, text in campaign.script.items():
        here: yamlmarks.Path = ("campaigns", name, "script", language)
        try:
            parsed = Environment(autoescape=True).parse(text)
        except TemplateSyntaxError as error:
            yield here, f"line {error.lineno} of the script: {error.message}"
            continue
        for used in sorted(meta.find_undeclared_variables(parsed) - set(known)):
            yield (
                here,
                f"{{{{ {used} }}}} is no field of a lead, nor {', '.join(SCRIPT_NAMES)}; {choices(used, known)}",
            )


def _amd_contradictions(config: Config, name: str, campaign: CampaignSettings) -> Iterator[Finding]:
    if not campaign.amd.enabled:
        return
    if not any(config.dispositions[disposition].machine for disposition in campaign.dispositions):
        yield (
            ("campaigns", name, "amd", "enabled"),
            "no disposition of the campaign has `machine: yes`: agents could not say that it was a machine",
        )
    if campaign.abandon.connect_within < DETECTION_MS_MIN:
        yield (
            ("campaigns", name, "abandon", "connect_within"),
            f"{duration_text(DETECTION_MS_MIN)} at least: detection listens within it",
        )


def doubts(config: Config) -> Iterator[Finding]:
    for name, campaign in config.campaigns.items():
        yield from _campaign_doubts(config, name, campaign)
    for name, queue in config.inbound.items():
        if not any(serves(agent, name, queue) for agent in config.agents.values()):
            yield ("inbound", name), "no agent takes its calls: callers would wait for nobody"
    for section, entries in (
        (("dispositions",), config.dispositions),
        (("pauses",), config.pauses),
        (("lead_fields",), config.lead_fields),
        (("tasks", "types"), config.tasks.types if config.tasks else {}),
        (("orders", "fields"), config.orders.fields if config.orders else {}),
        (("orders", "states"), config.orders.states if config.orders else {}),
    ):
        for key, entry in entries.items():
            labels: dict[Language, str] = entry.labels
            if missing := [language for language in config.languages if language not in labels]:
                yield (*section, key, "labels"), f"no text for {', '.join(missing)}: another language's is shown"
            for language, label in labels.items():
                if section not in _NO_BUTTONS and len(label) > LABEL_CHARACTERS_MAX:
                    yield (
                        (*section, key, "labels", language),
                        f"longer than {LABEL_CHARACTERS_MAX} characters: cut on the button",
                    )


def _campaign_doubts(config: Config, name: str, campaign: CampaignSettings) -> Iterator[Finding]:
    here: yamlmarks.Path = ("campaigns", name)
    if len(campaign.dispositions) > DISPOSITIONS_WITH_KEY_MAX:
        yield (*here, "dispositions"), f"more than {DISPOSITIONS_WITH_KEY_MAX}: keys 1 to 9 reach only the first ones"
    for language, sound in campaign.message.sounds.items():
        for name_ in sound.split("&"):
            path = Path(name_)
            if path.is_absolute() and not any(path.parent.glob(f"{path.name}.*")):
                yield (
                    (*here, "message", "sounds", language),
                    f"no {name_}.* on this machine: unless Asterisk has it elsewhere, people hear the packaged message",
                )
    kinds = {config.dispositions[disposition].kind for disposition in campaign.dispositions}
    for kind, consequence in (
        ("final", "no lead can be finished by an agent"),
        ("callback", "agents cannot promise a later call"),
        ("dnc", "agents cannot record that somebody wants no more calls"),
    ):
        if kind not in kinds:
            yield (*here, "dispositions"), f"none is of kind {kind}: {consequence}"
    if not any(name in agent.campaigns for agent in config.agents.values()):
        yield here, "no agent takes its calls: it would not dial"
    on_demand = [key for key, agent in config.agents.items() if agent.leg == "on_demand" and name in agent.campaigns]
    if on_demand and campaign.pacing.mode in ("ratio", "predictive"):
        yield (
            (*here, "pacing", "mode"),
            f"phones of {', '.join(on_demand)} ring only when a customer has answered (leg: on_demand): "
            "few will be connected in time",
        )
    for outcome, rule in campaign.attempts.retry.items():
        if rule.max >= campaign.attempts.max and outcome not in ("congestion", "failed"):
            yield (*here, "attempts", "retry", outcome, "max"), "not reached: attempts.max ends the lead before"


def serves(agent: AgentSettings, name: str, queue: QueueSettings) -> bool:
    """Whether an agent takes a queue's calls: named there, or by its campaign."""
    return queue.campaign in agent.campaigns if agent.queues is None else name in agent.queues


def choices(given: str, known: list[str]) -> str:
    """What could have been meant."""
    near = get_close_matches(given, known, n=1)
    return f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"
