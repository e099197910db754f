"""`POST /api/v1/leads`: partners send leads one by one and are told at once what becomes of each."""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from typing import Any, Final

import orjson
from aiohttp import web

from crm_lite.people import address_of
from crm_lite.security import FailureLimit
from crm_lite.web_keys import CRM
from engine.core.model import PhoneType
from engine.leads.columns import Column, Layout, Meaning, Role
from engine.leads.files import meaning_of
from engine.leads.plan import ImportRow, RejectedRow, plan_import
from engine.leads.sheets import Cell
from engine.phones import PhoneReason
from engine.store.folding import list_called
from engine.store.partners import KeyReused, Partner, Partners, Verdict

BODY_BYTES_MAX: Final = 16 * 1024
FIELDS_MAX: Final = 50
PHONES_MAX: Final = 10
KEY_CHARS_MAX: Final = 100
VALUE_CHARS_MAX: Final = 1_000
#: A partner may send so many leads at once, and so many a second in the long run.
BURST_MAX: Final = 100
PER_SECOND_MAX: Final = 20
PARTNERS_MAX: Final = 1_000
#: Wrong tokens from one address within a quarter of an hour.
WRONG_TOKENS_MAX: Final = 30
WRONG_TOKENS_WINDOW_S: Final = 15 * 60
_KEY: Final = re.compile(rf"[\x21-\x7e]{{1,{KEY_CHARS_MAX}}}")
_ROLES: Final = {
    "name": Role.NAME,
    "zone": Role.ZONE,
    "priority": Role.PRIORITY,
    "external_id": Role.EXTERNAL_ID,
    "tags": Role.TAGS,
}
_CODES: Final = {"accepted": 201, "duplicate": 200, "rejected": 422}


class BadRequest(ValueError):
    """The body is not what the documentation says: the reason for machines, and where."""

    def __init__(self, reason: str, field: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.field = field


class Pace:
    """A bucket for each partner that fills as time goes by."""

    def __init__(self) -> None:
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, partner: str, now: float) -> int:
        """0: go on, it is counted; else the seconds to wait."""
        left, since = self._left.pop(partner, (float(BURST_MAX), now))
        left = min(BURST_MAX, left + (now - since) * PER_SECOND_MAX)
        may = left >= 1
        self._left[partner] = (left - 1 if may else left, now)
        while len(self._left) > PARTNERS_MAX:
            self._left.popitem(last=False)
        return 0 if may else 1


PACE: Final = web.AppKey("intake_pace", Pace)
STRANGERS: Final = web.AppKey("intake_strangers", FailureLimit)


def set_up(app: web.Application) -> None:
    """What the intake keeps between requests."""
    app[PACE] = Pace()
    app[STRANGERS] = FailureLimit(WRONG_TOKENS_MAX, WRONG_TOKENS_WINDOW_S)


async def take_lead(request: web.Request) -> web.StreamResponse:
    """Take one lead, or say why not."""
    crm, partners = request.app[CRM], Partners(request.app[CRM].database)
    partner, wait_s = await _partner(request, partners)
    if partner is None:
        return _say(429 if wait_s else 401, "error", "rate_limited" if wait_s else "unauthorized", wait_s=wait_s)
    if wait_s := request.app[PACE].wait_s(partner.key, time.monotonic()):
        return _say(429, "error", "rate_limited", wait_s=wait_s)
    if (request.content_length or 0) > BODY_BYTES_MAX:
        return _say(413, "error", "too_large")
    key = request.headers.get("Idempotency-Key", "")
    if not _KEY.fullmatch(key):
        return _say(400, "error", "idempotency_key_missing")
    body = await request.content.read(BODY_BYTES_MAX + 1)
    while len(body) <= BODY_BYTES_MAX and not request.content.at_eof():
        body += await request.content.read(BODY_BYTES_MAX + 1 - len(body))
    if len(body) > BODY_BYTES_MAX:
        return _say(413, "error", "too_large")
    if partner.campaign not in crm.engine.policy().campaigns:
        return _say(409, "error", "campaign_closed")
    try:
        verdict = await _verdict(partners, partner, key, body, meaning_of(crm.loaded.config), crm.clock.now_ms())
    except BadRequest as bad:
        return _say(400, "error", bad.reason, bad.field)
    except KeyReused:
        return _say(409, "error", "idempotency_key_reused")
    if verdict.verdict == "accepted":
        crm.engine.leads_changed(partner.campaign)
    return _say(_CODES[verdict.verdict], verdict.verdict, verdict.reason, verdict.field, lead=verdict.lead)


async def _partner(request: web.Request, partners: Partners) -> tuple[Partner | None, int]:
    """Who asks; None with 0 is a stranger, with seconds one who has tried too often."""
    strangers, address = request.app[STRANGERS], address_of(request)
    if wait_s := strangers.wait_s(address):
        return None, wait_s
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    partner = await partners.of_token(token.strip()) if scheme.lower() == "bearer" and token else None
    if partner is None:
        strangers.failed(address)
    return partner, 0


async def _verdict(
    partners: Partners, partner: Partner, key: str, body: bytes, meaning: Meaning, now_ms: int
) -> Verdict:
    if (known := await partners.answered(partner, key, body)) is not None:
        return known
    decided, list_name = _decided(body, meaning)
    match decided:
        case ImportRow() as row:
            return await partners.take(partner, key, body, row, list_name=list_name, at_ms=now_ms)
        case RejectedRow(problems=(problem, *_)):
            reason = getattr(problem.reason, "name", "not_understood").lower()
            if isinstance(problem.reason, PhoneReason):
                reason = f"phone_{reason}"
            return await partners.reject(partner, key, body, reason=reason, field=problem.field, at_ms=now_ms)
        case RejectedRow():
            raise AssertionError("a rejected row says why")


def _decided(body: bytes, meaning: Meaning) -> tuple[ImportRow | RejectedRow, str]:
    """The lead as a row of a file would be decided, by the same rules, and the list it is for. BadRequest."""
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BadRequest("not_json") from None
    if not isinstance(said, dict):
        raise BadRequest("not_an_object")
    fields = said.pop("fields", {})
    list_name = list_called(_text(said.pop("list", None), "list") or "")
    if isinstance(tags := said.get("tags"), list):
        said["tags"] = ", ".join(_text(tag, "tags") or "" for tag in tags)
    phones = said.pop("phones", None) or [said.pop("phone", "")]
    said.pop("phone", None)
    if unknown := sorted(said.keys() - _ROLES.keys()):
        raise BadRequest("unknown_field", unknown[0])
    if not isinstance(fields, dict) or len(fields) > FIELDS_MAX:
        raise BadRequest("bad_fields", "fields")
    if not isinstance(phones, list) or len(phones) > PHONES_MAX:
        raise BadRequest("bad_phones", "phones")
    columns: list[Column] = []
    cells: list[Cell] = []
    for phone in phones:
        number, type_ = _phone(phone)
        columns.append(Column(len(cells), "phone", Role.PHONE, type=type_))
        cells.append(number)
    for name, role in _ROLES.items():
        columns.append(Column(len(cells), name, role))
        cells.append(_text(said.get(name), name))
    for name, value in fields.items():
        known = meaning.key_of(name) or name
        columns.append(Column(len(cells), name, Role.FIELD, known, known == "city"))
        cells.append(_text(value, name))
    (decided,) = plan_import([(1, cells)], Layout(tuple(columns), 0), meaning)
    return decided, list_name


def _phone(said: Any) -> tuple[str | None, PhoneType]:
    """A number alone, or `{"number": …, "type": …}`; without a type the number tells it, if it can."""
    if not isinstance(said, dict):
        return _text(said, "phone"), PhoneType.NOT_SAID
    if unknown := sorted(said.keys() - {"number", "type"}):
        raise BadRequest("unknown_field", f"phone.{unknown[0]}")
    number, type_ = _text(said.get("number"), "phone"), _text(said.get("type"), "phone.type") or ""
    if type_ not in PhoneType.__members__.values():
        raise BadRequest("unknown_phone_type", "phone.type")
    return number, PhoneType(type_)


def _text(value: Any, field: str) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float) or len(str(value)) > VALUE_CHARS_MAX:
        raise BadRequest("bad_value", field)
    return str(value)


def _say(
    code: int, status: str, reason: str = "", field: str = "", *, lead: int | None = None, wait_s: int = 0
) -> web.Response:
    said: dict[str, Any] = {"status": status}
    said |= {key: value for key, value in (("reason", reason), ("field", field), ("lead", lead)) if value}
    headers = {"Cache-Control": "no-store"} | ({"Retry-After": str(wait_s)} if wait_s else {})
    return web.Response(status=code, body=orjson.dumps(said), content_type="application/json", headers=headers)
