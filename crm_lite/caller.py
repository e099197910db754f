"""Who has called: the clients it may be, the form of one who is not known, and what an operator says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from crm_lite.crm import Crm, Viewer
from engine.core.events import AgentAttach
from engine.core.model import AgentId, Attempt, AttemptId, CommandId, LeadId, PhoneNumber, Refusal
from engine.leads.files import meaning_of
from engine.phones import parse_phone, region_of, zones_of
from engine.store.rows import LeadCard

NAME_MAX: Final = 200
FIELD_MAX: Final = 500


class NoCaller(Exception):
    """What the form says is not what our page sends, or lacks what a client needs; the argument is the refusal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A caller without a lead, as the desk shows them."""

    number: str  # as the viewer may see it; "" is withheld
    country: str
    zones: tuple[str, ...]  # where the number may be; the first is proposed
    choices: tuple[LeadCard, ...]  # clients with this number


async def caller_of(crm: Crm, viewer: Viewer, attempt: Attempt) -> Caller:
    """What is known of who calls. Raises StoreError."""
    if attempt.number is None:
        return Caller(number="", country="", zones=(), choices=())
    campaign = crm.engine.campaign(attempt.campaign)
    zones = zones_of(attempt.number)
    usual = (campaign.hours.zone,) if campaign is not None else ()
    return Caller(
        number=viewer.reads(attempt.number),
        country=viewer.words.country(region_of(attempt.number)),
        zones=tuple(dict.fromkeys((*(usual if set(usual) & set(zones) else ()), *(zones or usual)))),
        choices=await crm.records.callers(attempt.number, attempt.campaign),
    )


async def attach(crm: Crm, login: str, agent: AgentId, command: str, args: Mapping[str, Any]) -> str:
    """The caller is this client. Returns "" when it is done and on disk, else why not. Raises NoCaller, StoreError."""
    number, campaign = await _call(crm, agent, args)
    lead = args.get("lead")
    known = await crm.records.callers(PhoneNumber(number), campaign) if number else ()
    if not isinstance(lead, int) or lead not in {card.id for card in known}:
        raise NoCaller("bad_command")
    return await _say(crm, login, agent, command, args, LeadId(lead))


async def create(crm: Crm, login: str, agent: AgentId, command: str, args: Mapping[str, Any]) -> str:
    """The caller is a new client: saved, then the call is theirs. As `attach`."""
    number, campaign = await _call(crm, agent, args)
    if not number:
        found = parse_phone(_text(args, "number", 40), meaning_of(crm.loaded.config).numbering)
        if not isinstance(found, PhoneNumber):
            raise NoCaller("caller_number")
        number = found.e164
    name = _text(args, "name", NAME_MAX).strip()
    if not name:
        raise NoCaller("caller_name")
    named = args.get("fields")
    fields = named if isinstance(named, dict) else {}
    lead = await crm.records.create_caller(
        campaign=campaign,
        attempt=AttemptId(_text(args, "attempt")),
        number=PhoneNumber(number),
        name=name,
        zone=_zone(_text(args, "zone", 64)),
        fields={key: _text(fields, key, FIELD_MAX).strip() for key in crm.settings.card_fields if fields.get(key)},
        now_ms=crm.clock.now_ms(),
    )
    await crm.records.add_audit(at_ms=crm.clock.now_ms(), by=login, action="lead_created", subject=str(lead))
    return await _say(crm, login, agent, command, args, lead)


async def _call(crm: Crm, agent: AgentId, args: Mapping[str, Any]) -> tuple[str, Any]:
    """(number or "", campaign) of a call that came in to this agent and has no lead yet."""
    id_ = AttemptId(_text(args, "attempt"))
    live = crm.live.board.attempts.get(id_)
    call = await crm.records.call_in(id_)
    if call is None or agent not in {call.agent, live.agent if live is not None else None}:
        raise NoCaller(Refusal.NO_CALL)
    return call.number, call.campaign


async def _say(crm: Crm, login: str, agent: AgentId, command: str, args: Mapping[str, Any], lead: LeadId) -> str:
    attempt, key = AttemptId(_text(args, "attempt")), CommandId(f"{login}:{command}")
    return await crm.engine.do(AgentAttach(command=key, by=login, agent=agent, attempt=attempt, lead=lead))


def _zone(name: str) -> str | None:
    if not name:
        return None
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise NoCaller("bad_command") from error
    return name


def _text(args: Mapping[str, Any], key: str, chars_max: int = 200) -> str:
    value = args.get(key, "")
    if not isinstance(value, str) or len(value) > chars_max:
        raise NoCaller("bad_command")
    return value
