"""What somebody writes on a card holds for the very next call, also where the lead is loaded already."""

from __future__ import annotations

from pathlib import Path

from engine.core.model import LeadId
from tests.fakes.office import CONFIG, office
from tests.fakes.waiting import poll
from tests.unit.test_crm_pages import Browser
from tests.unit.test_live_socket import at_desk

LAWFUL = CONFIG.replace(
    "    ring_timeout: 30s\n",
    "    ring_timeout: 30s\n    law: [uk-ofcom]\n    caller_id: +380441230000\n"
    "    abandon: {per: [calendar_day]}\n    message: {company: Acme, sounds: {ru: acme/sorry}}\n",
    1,
).replace("lead_fields:\n", "lead_fields:\n  opt_out: {labels: {ru: Отказ от звонков, uk: Відмова, en: Opt-out}}\n", 1)


async def test_a_no_on_the_card_stops_a_call_that_was_about_to_be_placed(tmp_path: Path) -> None:
    async with office(tmp_path, text=LAWFUL) as place, at_desk(place) as wire, Browser(place) as browser:
        await wire.hello()
        await wire.until("snapshot")
        await browser.sign_in("olena")
        await wire.do("login")
        await wire.state("paused")
        await place.dial()
        await wire.do("ready")
        await poll(lambda: place.switch.ringing() > 0)  # the first one; the others are loaded
        said = {"field": "field:opt_out", "before": "", "after": "да"}
        async with browser.session.post("/leads/2/edit", json=said) as response:
            assert response.status == 200
        place.switch.answer()
        await wire.state("talking")
        place.switch.customers_hang_up()
        await wire.state("wrap_up")
        await wire.do("dispose", attempt=wire.shown["attempt"], disposition="sale", note="", callback="")
        await poll(lambda: place.switch.ringing() > 0)
        assert await place.records.lead_history(LeadId(2)) == ()
        (third,) = await place.records.lead_history(LeadId(3))
        assert third.outcome is None


async def test_a_supervisor_gives_a_lead_to_an_operator_who_finds_it_among_their_own(tmp_path: Path) -> None:
    async with office(tmp_path) as place, Browser(place) as boss, Browser(place) as olena:
        await boss.sign_in("boss")
        await olena.sign_in("olena")
        given = {"field": "owner", "before": "", "after": "olena"}
        async with olena.session.post("/leads/2/edit", json=given) as response:
            assert response.status == 403
        async with boss.session.post("/leads/2/edit", json={**given, "after": "nobody-here"}) as response:
            assert response.status == 403
        for said in (given, {"field": "tags", "before": "", "after": "VIP; Опт"}):
            async with boss.session.post("/leads/2/edit", json=said) as response:
                assert response.status == 200
        many = {"field": "tags", "before": "vip, опт", "after": ",".join(map(str, range(21)))}
        async with olena.session.post("/leads/2/edit", json=many) as response:
            assert (response.status, "20" in (await response.json())["problem"]) == (422, True)
        for query in ("owner=olena", "tag=VIP", "tag=опт&owner=olena&q=" + "380"):
            html = (await olena.get(f"/leads?{query}"))[1]
            assert ('href="/leads/2"' in html, 'href="/leads/1"' in html) == (True, False)
        html = (await olena.get("/leads/2"))[1]
        assert 'value="vip, опт"' in html
        assert 'id="card-field-owner"' not in html, "whose client it is says a supervisor"
        assert '<option value="olena" selected>' in (await boss.get("/leads/2"))[1]
