"""A call promised on a lead's card, outside a conversation: planned, moved, given to somebody else, or taken back.

`engine.booking` looks for room, the engine asks the rules and keeps the promise. Operators promise calls of their own
or of whoever is free; who may hand leads over also those of colleagues.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

from crm_lite.auth import Right, may
from crm_lite.crm import Crm, Viewer
from crm_lite.desk import BadCallback, CallbackPreset, as_local, callback_at_ms, callback_presets, heard_words
from crm_lite.live import desk_key
from crm_lite.words import LEAD_STATES, REFUSALS, refusal
from engine.booking import Booking, book
from engine.core.events import LeadWas, PlanCallback
from engine.core.model import AgentId, CommandId, LeadState, Refusal
from engine.explain import read_lead
from engine.messages import N_
from engine.moments import TEXT_MAX, moment
from engine.store.rows import CallbackChange, LeadCard, User

NOT_UNDERSTOOD: Final = N_("Not understood. Say it like “tomorrow 15” or “in half an hour”, or choose a time.")
NOT_YOURS: Final = N_("This call is promised by a colleague. Only who may hand clients over can change that.")
NOT_AN_OWNER: Final = N_("Choose who calls: somebody who works in this campaign.")
UNDO_TOO_LATE: Final = N_("This can no longer be undone: something has happened since.")
NOBODY_NAMED: Final = N_("Whoever is free")
NOBODY_NAMED_OF_OWNED: Final = N_("The client's owner, then whoever is free")
_BUSY: Final = frozenset({LeadState.DIALING, LeadState.IN_CALL})


class NotPlanned(Exception):
    """Why nothing was changed, in words; `field` of the form, and `offer`: another moment for it, as it takes one."""

    def __init__(self, words: str, *, field: str = "", code: int = 409, offer: str = "") -> None:
        super().__init__(words)
        self.words, self.field, self.code, self.offer = words, field, code, offer


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """The promised call as a card shows it. `closed`: why nothing can be changed; `owners`: who may call, by id."""

    planned_ms: int | None
    owner: str
    closed: str
    owners: Sequence[tuple[str, str]]
    presets: Sequence[CallbackPreset]
    changes: Sequence[CallbackChange]
    undo: int | None  # the change that can be taken back
    key: str
    said: Mapping[str, str]
    problem: NotPlanned | None


async def panel(
    crm: Crm, user: User, card: LeadCard, said: Mapping[str, str], problem: NotPlanned | None = None
) -> Panel:
    """What the card shows of its promised call; `said`: what the form said already."""
    viewer = crm.viewer(user)
    changes = await crm.records.callback_changes(card.id)
    planned, closed = card.state is LeadState.CALLBACK, _closed(crm, viewer, user, card)
    undone = viewer.edits and changes and _stands(changes[0], card) and (changes[0].login == user.login or not closed)
    owner = (card.owner or "") if planned else ""
    return Panel(
        planned_ms=card.next_at_ms if planned else None,
        owner=owner,
        closed=closed,
        owners=_owners(crm, user, card),
        presets=callback_presets(viewer, card.zone, crm.clock.now_ms()),
        changes=changes,
        undo=changes[0].id if undone else None,
        key=secrets.token_hex(8),
        said={"at": "", "text": "", "when": "", "owner": owner, **said},
        problem=problem,
    )


async def heard(crm: Crm, user: User, card: LeadCard, text: str, owner: str) -> tuple[str, str]:
    """What is understood by a moment in words: (as the form takes it, or ""; how it is said)."""
    viewer, now_ms = crm.viewer(user), crm.clock.now_ms()
    at_ms = _in_words(viewer, card, text, now_ms)
    if at_ms is None:
        return "", viewer.words.gettext(NOT_UNDERSTOOD)
    booking = await _room(crm, card, at_ms, AgentId(owner) if owner else None)
    at = "" if booking.at_ms is None else as_local(booking.at_ms, viewer.zone)
    return at, heard_words(viewer, booking, card.zone, now_ms)


async def plan(crm: Crm, user: User, card: LeadCard, said: Mapping[str, str]) -> None:
    """Promise the call, move it, or give it to somebody else, as the form says. Raises NotPlanned, TimeoutError."""
    viewer, now_ms = crm.viewer(user), crm.clock.now_ms()
    _mine_to_change(crm, viewer, user, card)
    owner = said.get("owner", "")
    if owner not in dict(_owners(crm, user, card)):
        raise NotPlanned(viewer.words.gettext(NOT_AN_OWNER), field="owner", code=422)
    at_ms = _wanted_ms(viewer, card, said, now_ms)
    owner_id = AgentId(owner) if owner else None
    if at_ms > now_ms:
        booking = await _room(crm, card, at_ms, owner_id)
        if booking.at_ms != at_ms:
            offer = "" if booking.at_ms is None else as_local(booking.at_ms, viewer.zone)
            raise NotPlanned(heard_words(viewer, booking, card.zone, now_ms), field="at", offer=offer)
    await _do(crm, user, card, _command(user, card, said, at_ms=at_ms, owner=owner_id))


async def take_back(crm: Crm, user: User, card: LeadCard, said: Mapping[str, str]) -> None:
    """Nobody calls at that time: the lead is again as it was before. Raises NotPlanned, TimeoutError."""
    _mine_to_change(crm, crm.viewer(user), user, card)
    was = _before(await crm.records.callback_changes(card.id))
    await _do(crm, user, card, _command(user, card, said, at_ms=None, was=was))


async def undo(crm: Crm, user: User, card: LeadCard, said: Mapping[str, str]) -> None:
    """Take the last change back. Raises NotPlanned, TimeoutError."""
    viewer = crm.viewer(user)
    changes = await crm.records.callback_changes(card.id)
    if not changes or str(changes[0].id) != said.get("change") or not _stands(changes[0], card):
        raise NotPlanned(viewer.words.gettext(UNDO_TOO_LATE))
    last = changes[0]
    if last.login != user.login:  # one's own word for a colleague's client can be taken back
        _mine_to_change(crm, viewer, user, card)
    was = LeadWas(state=last.was_state, next_at_ms=last.was_next_at_ms)
    back = _command(user, card, said, at_ms=last.was_due_ms, owner=last.was_owner, was=was, undo=True)
    await _do(crm, user, card, back)


# ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _closed(crm: Crm, viewer: Viewer, user: User, card: LeadCard) -> str:
    words = viewer.words
    if card.campaign not in crm.engine.policy().campaigns:
        return words.gettext(REFUSALS[Refusal.UNKNOWN_CAMPAIGN])
    if card.state in _BUSY:
        return words.gettext(REFUSALS[Refusal.LEAD_TAKEN])
    if card.state is LeadState.SUPPRESSED:
        return words.gettext(LEAD_STATES[card.state])
    return "" if _may_change(user, card) else words.gettext(NOT_YOURS)


def _may_change(user: User, card: LeadCard) -> bool:
    somebody_else = card.state is LeadState.CALLBACK and card.owner not in {None, user.agent}
    return not somebody_else or may(user, Right.GIVE_LEADS)


def _mine_to_change(crm: Crm, viewer: Viewer, user: User, card: LeadCard) -> None:
    closed = _closed(crm, viewer, user, card)
    if closed:
        raise NotPlanned(closed, code=409 if _may_change(user, card) else 403)


def _owners(crm: Crm, user: User, card: LeadCard) -> list[tuple[str, str]]:
    """Who may be said to call: whoever is free, oneself, and with the right for it every colleague."""
    words = crm.viewer(user).words
    serving = [one for one in crm.engine.policy().agents.values() if card.campaign in one.campaigns]
    everybody = may(user, Right.GIVE_LEADS)
    return [
        ("", words.gettext(NOBODY_NAMED_OF_OWNED if card.keeper else NOBODY_NAMED)),
        *((str(one.id), words.gettext("I myself")) for one in serving if one.id == user.agent),
        *((str(one.id), one.name) for one in serving if one.id != user.agent and everybody),
    ]


def _stands(change: CallbackChange, card: LeadCard) -> bool:
    """Whether the lead is still as this change left it."""
    if change.called:
        return False
    if change.due_at_ms is None:
        return card.state in {LeadState.RETRY, LeadState.CLOSED}
    return card.state is LeadState.CALLBACK and (card.next_at_ms, card.owner) == (change.due_at_ms, change.owner)


def _before(changes: Sequence[CallbackChange]) -> LeadWas | None:
    """How the lead was before a call was promised on its card; None: it was promised in a conversation."""
    for change in changes:
        if change.due_at_ms is None:
            return None
        if change.was_state is not LeadState.CALLBACK:
            old = change.called and change.was_state is not LeadState.CLOSED
            return None if old else LeadWas(state=change.was_state, next_at_ms=change.was_next_at_ms)
    return None


def _wanted_ms(viewer: Viewer, card: LeadCard, said: Mapping[str, str], now_ms: int) -> int:
    """The moment that the form says: of its field, in words, of a preset; none of them is the promised one."""
    text, local = said.get("text", "").strip(), said.get("at", "") or said.get("when", "")
    if not local and not text and card.state is LeadState.CALLBACK and card.next_at_ms is not None:
        return card.next_at_ms
    if local:
        try:
            return callback_at_ms(local, viewer.zone, now_ms)
        except BadCallback as error:
            raise NotPlanned(viewer.words.gettext(REFUSALS[Refusal.CALLBACK_IN_PAST]), field="at", code=422) from error
    at_ms = _in_words(viewer, card, text, now_ms)
    if at_ms is None:
        raise NotPlanned(viewer.words.gettext(NOT_UNDERSTOOD), field="text", code=422)
    return at_ms


def _in_words(viewer: Viewer, card: LeadCard, text: str, now_ms: int) -> int | None:
    return moment(text[:TEXT_MAX], now_ms, ZoneInfo(card.zone) if card.zone else viewer.zone)


async def _room(crm: Crm, card: LeadCard, at_ms: int, owner: AgentId | None) -> Booking:
    policy = crm.engine.policy()
    lead = await read_lead(crm.database, policy, card.id, crm.clock.now_ms())
    campaign = policy.campaigns.get(card.campaign)
    if lead is None or campaign is None:
        return Booking(None)
    return await book(crm.database, campaign, at_ms, zones=lead.zones, owner=owner, keeper=lead.keeper, lead=lead)


def _command(
    user: User,
    card: LeadCard,
    said: Mapping[str, str],
    *,
    at_ms: int | None,
    owner: AgentId | None = None,
    was: LeadWas | None = None,
    undo: bool = False,
) -> PlanCallback:
    id_ = CommandId(f"{user.login}:{said['key']}")
    return PlanCallback(command=id_, by=user.login, lead=card.id, at_ms=at_ms, owner=owner, was=was, undo=undo)


async def _do(crm: Crm, user: User, card: LeadCard, command: PlanCallback) -> None:
    reason = await crm.engine.do(command)
    if reason:
        raise NotPlanned(refusal(crm.viewer(user).words, reason))
    for owner in {card.owner, card.keeper, command.owner} - {None}:
        desk = crm.live.find(desk_key(AgentId(str(owner))))
        if desk is not None:
            desk.stale()
