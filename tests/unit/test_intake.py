"""Leads from partners over HTTP: valid or not, new or known is said at once, and a good one may be dialed at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from crm_lite import intake
from crm_lite.intake import BODY_BYTES_MAX, BURST_MAX, PER_SECOND_MAX, WRONG_TOKENS_MAX, Pace
from engine.core import events
from engine.core.model import AgentId, CommandId, LeadId, PhoneNumber
from engine.store.dnc import DoNotCall
from engine.store.partners import Partners
from tests.fakes.office import CAMPAIGN, Office, office
from tests.fakes.waiting import poll
from tests.unit.test_do_not_call import shell

GOOD = {
    "phone": "067 765 43 21",
    "name": "Ганна Коваль",
    "external_id": "A-17",
    "fields": {"Город": "Львів", "order": 1200},
}


class Sender:
    """A partner's program."""

    def __init__(self, place: Office, token: str) -> None:
        self.place = place
        self.token = token
        self._keys = 0

    async def send(self, body: Any = None, key: str | None = None, token: str | None = None, **raw: Any) -> Any:
        """(code, answer) of one lead; without `key` each is a new one."""
        self._keys += 1
        headers = {"Authorization": f"Bearer {self.token if token is None else token}"}
        headers |= {"Idempotency-Key": f"k{self._keys}" if key is None else key}
        sent = raw or {"json": GOOD if body is None else body}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.place.url}/api/v1/leads", headers=headers, **sent) as response,
        ):
            assert response.headers["Content-Type"].startswith("application/json")
            return response.status, await response.json()


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Sender]:
    async with office(tmp_path) as place:
        token = await Partners(place.database).add("shop", CAMPAIGN, by="boss", at_ms=1)
        assert token is not None
        yield Sender(place, token)


async def test_a_good_lead_is_taken_and_known_the_second_time(shop: Sender) -> None:
    code, said = await shop.send()
    assert (code, said["status"]) == (201, "accepted")
    card = await shop.place.records.lead_card(LeadId(said["lead"]))
    assert card is not None
    assert (card.name, card.phones[0].number, card.zone) == (
        "Ганна Коваль",
        PhoneNumber("+380677654321"),
        "Europe/Kyiv",
    )
    assert card.fields == {"city": "Львів", "order": "1200"}
    assert await shop.send() == (200, {"status": "duplicate", "reason": "in_campaign", "lead": said["lead"]})


async def test_a_lead_comes_with_its_tags(shop: Sender) -> None:
    code, said = await shop.send({**GOOD, "tags": ["Акция", "VIP"]})
    assert code == 201
    card = await shop.place.records.lead_card(LeadId(said["lead"]))
    assert card is not None
    assert (card.tags, card.source) == (("vip", "акция"), "shop")
    code, said = await shop.send({**GOOD, "phone": "067 765 43 22", "tags": ",".join(map(str, range(21)))})
    assert (code, said["reason"], said["field"]) == (422, "tags", "tags")


async def test_a_lead_comes_onto_the_list_that_its_partner_names(shop: Sender) -> None:
    _, on_one = await shop.send({**GOOD, "list": " Акция  мая "})
    _, on_none = await shop.send({**GOOD, "phone": "067 765 43 22"})
    cards = [await shop.place.records.lead_card(LeadId(said["lead"])) for said in (on_one, on_none)]
    assert [card.list_name for card in cards if card] == ["Акция мая", ""]
    code, said = await shop.send({**GOOD, "list": ["Акция"]})
    assert (code, said["reason"], said["field"]) == (400, "bad_value", "list")


async def test_a_lead_comes_with_the_types_of_its_phones(shop: Sender) -> None:
    phones = [
        {"number": "044 765 43 21", "type": "work"},
        "067 765 43 21",
        {"number": "0447654322"},
        {"number": "0447654323", "type": None},
    ]
    code, said = await shop.send({"phones": phones})
    assert code == 201
    card = await shop.place.records.lead_card(LeadId(said["lead"]))
    assert card is not None
    assert [phone.type.value for phone in card.phones] == ["work", "mobile", "", ""]
    code, said = await shop.send({"phone": {"number": "044 765 43 25", "type": "home"}})
    card = await shop.place.records.lead_card(LeadId(said["lead"]))
    assert card is not None
    assert [phone.type.value for phone in card.phones] == ["home"]


@pytest.mark.parametrize(
    ("phone", "reason", "field"),
    [
        ({"number": "0677654321", "type": "fax"}, "unknown_phone_type", "phone.type"),
        ({"number": "0677654321", "type": ["work"]}, "bad_value", "phone.type"),
        ({"number": {"e164": 1}}, "bad_value", "phone"),
        ({"number": "0677654321", "kind": "work"}, "unknown_field", "phone.kind"),
    ],
)
async def test_a_phone_that_is_not_understood_is_refused(shop: Sender, phone: Any, reason: str, field: str) -> None:
    code, said = await shop.send({"phones": ["0677654399", phone]})
    assert (code, said) == (400, {"status": "error", "reason": reason, "field": field})


async def test_the_same_key_gets_the_same_answer_and_makes_no_second_lead(shop: Sender) -> None:
    first = await shop.send(key="one")
    assert await shop.send(key="one") == first
    other = {**GOOD, "phone": "067 765 43 22"}
    assert await shop.send(other, key="one") == (409, {"status": "error", "reason": "idempotency_key_reused"})
    answers = await asyncio.gather(*(shop.send({**GOOD, "phone": "0677654399"}, key="many") for _ in range(8)))
    assert len({answer["lead"] for _, answer in answers}) == 1
    assert {code for code, _ in answers} == {201}


@pytest.mark.parametrize(
    ("change", "reason", "field"),
    [
        ({"phone": "12"}, "phone_too_short", "phone"),
        ({"phone": ""}, "phone_empty", "phone"),
        ({"phone": "0000000000"}, "phone_not_in_plan", "phone"),
        ({"zone": "Mars"}, "zone", "zone"),
        ({"priority": 51}, "priority", "priority"),
    ],
)
async def test_a_bad_lead_is_told_with_its_reason(shop: Sender, change: Any, reason: str, field: str) -> None:
    code, said = await shop.send({**GOOD, **change})
    assert (code, said) == (422, {"status": "rejected", "reason": reason, "field": field})


@pytest.mark.parametrize(
    ("sent", "code", "reason"),
    [
        ({"data": b"{"}, 400, "not_json"),
        ({"data": b"[]"}, 400, "not_an_object"),
        ({"json": {**GOOD, "telephone": "1"}}, 400, "unknown_field"),
        ({"json": {**GOOD, "fields": [1]}}, 400, "bad_fields"),
        ({"json": {**GOOD, "phones": {"a": 1}}}, 400, "bad_phones"),
        ({"json": {**GOOD, "name": {"first": "A"}}}, 400, "bad_value"),
        ({"data": b"x" * (BODY_BYTES_MAX + 1)}, 413, "too_large"),
    ],
)
async def test_what_is_no_lead_is_refused(shop: Sender, sent: Any, code: int, reason: str) -> None:
    status, said = await shop.send(**sent)
    assert (status, said["reason"]) == (code, reason)


async def test_a_body_that_does_not_end_is_cut_off(shop: Sender) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1_000):
            yield b" " * 1_024

    assert (await shop.send(data=endless()))[0] == 413


async def test_nobody_gets_in_without_a_token_or_with_a_revoked_one(shop: Sender) -> None:
    assert (await shop.send(token=""))[0] == 401
    assert (await shop.send(token="zv_wrong"))[0] == 401
    assert (await shop.send(key=" "))[1]["reason"] == "idempotency_key_missing"
    assert await Partners(shop.place.database).revoke("shop", by="boss", at_ms=2)
    assert await shop.send() == (401, {"status": "error", "reason": "unauthorized"})
    assert not await Partners(shop.place.database).revoke("shop", by="boss", at_ms=2)


async def test_who_guesses_tokens_has_to_wait(shop: Sender) -> None:
    for _ in range(WRONG_TOKENS_MAX):
        await shop.send(token="zv_wrong")
    assert (await shop.send(token="zv_wrong"))[0] == 429


async def test_who_asked_not_to_be_called_is_told_and_not_taken(shop: Sender) -> None:
    lists = DoNotCall(shop.place.database)
    await lists.add([PhoneNumber("+380677654321")], to="partner:shop", reason="asked", by="boss", at_ms=1)
    assert await shop.send() == (422, {"status": "rejected", "reason": "do_not_call", "field": "phone"})
    code, said = await shop.send({**GOOD, "phones": ["067 765 43 21", "067 765 43 22"]})
    assert code == 201
    card = await shop.place.records.lead_card(LeadId(said["lead"]))
    assert card is not None
    assert [phone.number.e164 for phone in card.phones] == ["+380677654322"]


async def test_an_erased_person_does_not_come_back(shop: Sender) -> None:
    code, said = await shop.send()
    assert code == 201
    await DoNotCall(shop.place.database).erase(LeadId(said["lead"]), by="boss", at_ms=2)
    assert (await shop.send())[1]["reason"] == "do_not_call"


async def test_a_sent_lead_is_dialed_at_once(shop: Sender) -> None:
    place = shop.place
    await DoNotCall(place.database).add(
        [PhoneNumber(f"+38067123450{n}") for n in range(1, 7)], reason="nobody else", by="boss", at_ms=1
    )
    await place.dial()
    for command in (events.AgentLogin, events.AgentReady):
        name = CommandId(f"t:{command.__name__}")
        assert not await place.driver.do(command(command=name, by="test", agent=AgentId("olena")))
    code, _ = await shop.send()
    assert code == 201
    await poll(lambda: place.switch.ringing() == 1)  # a hopper that nobody wakes looks again after a minute


def test_a_partner_who_sends_too_fast_waits_and_goes_on() -> None:
    pace = Pace()
    assert [pace.wait_s("shop", 0.0) for _ in range(BURST_MAX + 1)] == [0] * BURST_MAX + [1]
    assert pace.wait_s("other", 0.0) == 0
    assert [pace.wait_s("shop", 1.0) for _ in range(PER_SECOND_MAX + 1)].count(0) == PER_SECOND_MAX


async def test_too_fast_is_told_with_the_time_to_wait(shop: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "BURST_MAX", 0)
    assert await shop.send() == (429, {"status": "error", "reason": "rate_limited"})


async def test_the_shell_adds_lists_and_revokes_partners(shop: Sender, tmp_path: Path) -> None:
    await shop.send()
    token = (await shell(tmp_path, "partner", "add", "site", "--campaign", "spring")).splitlines()[-1]
    assert (await shop.send({**GOOD, "phone": "0677654300"}, token=token))[0] == 201
    assert "site\tspring\topen\t1 sent\t1 accepted" in await shell(tmp_path, "partner", "list")
    await shell(tmp_path, "partner", "revoke", "site")
    assert "site\tspring\trevoked" in await shell(tmp_path, "partner", "list")
    again = (await shell(tmp_path, "partner", "add", "site", "--campaign", "autumn")).splitlines()[-1]
    assert again != token
