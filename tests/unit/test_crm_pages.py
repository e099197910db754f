"""The pages over HTTP: who gets in, who may do what, what a hostile page or file can do. The store is the real one."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path

import aiohttp
import pytest

from crm_lite.app import ROUTES
from crm_lite.auth import RIGHTS, Right, WeakPassword, create_user, token_hash
from crm_lite.imports import SHELF, DryRun, _check, carry_on
from crm_lite.security import LOGIN_FAILURES_PER_ACCOUNT_MAX, LOGIN_WINDOW_S, FailureLimit, own_origin, same_origin
from crm_lite.web_keys import CRM
from crm_lite.words import check_words, rule_words
from engine.core.effects import SaveLead
from engine.core.model import AmdPolicy, AttemptId, CampaignId, LeadChange, LeadId, LeadState
from engine.core.screening import Checked
from engine.leads.files import ImportChoice, folder_of
from engine.store import imports as store_imports
from engine.store.imports import ImportState, begin_import, import_of, start_import
from engine.store.rows import Role
from engine.store.store import Store
from tests.contract.store_people import sql
from tests.fakes.office import CAMPAIGN, PASSWORD, Office, office
from tests.fakes.waiting import poll, poll_text

LOGINS = {Role.OPERATOR: "olena", Role.SUPERVISOR: "boss", Role.ENGINEER: "tech", Role.ADMIN: "root"}


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(tmp_path) as running:
        yield running


class Browser:
    """A browser: cookies, and the headers that our own page's requests carry."""

    def __init__(self, place: Office) -> None:
        self.place = place
        self.session = aiohttp.ClientSession(
            base_url=place.url, cookie_jar=aiohttp.CookieJar(unsafe=True), headers={"Origin": place.url}
        )

    async def __aenter__(self) -> Browser:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()

    async def sign_in(self, login: str, password: str = PASSWORD) -> aiohttp.ClientResponse:
        return await self.session.post("/login", data={"login": login, "password": password}, allow_redirects=False)

    async def get(self, path: str) -> tuple[int, str]:
        async with self.session.get(path, allow_redirects=False) as response:
            return response.status, await response.text()


# ── signing in ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_operator_signs_in_and_is_at_the_desk(place: Office) -> None:
    async with Browser(place) as browser:
        response = await browser.sign_in("olena")
        assert (response.status, response.headers["Location"]) == (303, "/desk")
        cookie = response.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert (await browser.get("/desk"))[0] == 200


async def test_the_store_knows_only_the_hash_of_a_session(place: Office) -> None:
    async with Browser(place) as browser:
        response = await browser.sign_in("olena")
        token = response.cookies["zvonar"].value
        assert await place.records.session(token) is None
        assert (await place.records.session(token_hash(token))) is not None


async def test_a_wrong_password_and_an_unknown_name_look_the_same(place: Office) -> None:
    async with Browser(place) as browser:
        wrong = await browser.sign_in("olena", "not it at all")
        unknown = await browser.sign_in("nobody", "not it at all")
        assert wrong.status == unknown.status == 422
        assert (await wrong.text()).replace("olena", "") == (await unknown.text()).replace("nobody", "")


async def test_signing_in_gives_a_new_session_and_ends_the_old_one(place: Office) -> None:
    async with Browser(place) as browser:
        first = (await browser.sign_in("olena")).cookies["zvonar"].value
        second = (await browser.sign_in("olena")).cookies["zvonar"].value
        assert first != second
        assert await place.records.session(token_hash(first)) is None


async def test_too_many_wrong_passwords_lock_the_account_for_a_while(place: Office) -> None:
    async with Browser(place) as browser:
        for _ in range(LOGIN_FAILURES_PER_ACCOUNT_MAX):
            assert (await browser.sign_in("olena", "guess number one")).status == 422
        locked = await browser.sign_in("olena")
        assert locked.status == 429
        assert 0 < int(locked.headers["Retry-After"]) <= LOGIN_WINDOW_S + 1
        assert (await browser.sign_in("ivan")).status == 303


def test_failures_are_forgotten_after_the_window() -> None:
    now = [0.0]
    limit = FailureLimit(2, 60, clock=lambda: now[0])
    limit.failed("olena")
    limit.failed("olena")
    assert limit.wait_s("olena") > 0
    assert limit.wait_s("ivan") == 0
    now[0] = 61.0
    assert limit.wait_s("olena") == 0


async def test_signing_out_ends_the_session(place: Office) -> None:
    async with Browser(place) as browser:
        token = (await browser.sign_in("olena")).cookies["zvonar"].value
        await browser.session.post("/logout")
        assert (await browser.get("/desk"))[0] == 302
        assert await place.records.session(token_hash(token)) is None


async def test_signing_out_everywhere_ends_all_sessions(place: Office) -> None:
    async with Browser(place) as here, Browser(place) as there:
        await here.sign_in("olena")
        await there.sign_in("olena")
        await here.session.post("/profile/sign-out-everywhere")
        assert (await there.get("/desk"))[0] == 302


async def test_a_short_password_is_refused(place: Office) -> None:
    with pytest.raises(WeakPassword):
        await create_user(place.records, "new", "short", "operator", now_ms=1)


async def test_passwords_are_hashed_with_argon2(place: Office) -> None:
    user = await place.records.user_by_login("olena")
    assert user is not None
    assert user.password_hash.startswith("$argon2id$")


# ── who may what ─────────────────────────────────────────────────────────────────────────────────────────────────


def filled(path: str) -> str:
    path = re.sub(r"\{lead:[^}]*\}\}", "1", path)
    path = re.sub(r"\{task:[^}]*\}\}", "1", path)
    path = re.sub(r"\{order:[^}]*\}\}", "1", path)
    path = re.sub(r"\{name:[^}]*\}\}", "none", path)
    path = re.sub(r"\{number:[^}]*\}\}", "99", path)
    return path.replace("{campaign}", "spring").replace("{attempt}", "1-1")


@pytest.mark.parametrize("role", [None, *Role])
async def test_every_route_opens_to_exactly_the_roles_that_have_its_right(place: Office, role: Role | None) -> None:
    async with Browser(place) as browser:
        if role is not None:
            await browser.sign_in(LOGINS[role])
        for method, path, _, right in sorted(ROUTES, key=lambda route: route[1].startswith(("/logout", "/profile/"))):
            allowed = right is Right.ANYONE or (role is not None and role in RIGHTS[right])
            if path == "/api/v1/leads":
                allowed = False  # partners' tokens open it, sessions do not
            if (role is Role.ADMIN and right is Right.DESK) or (role is Role.SUPERVISOR and right is Right.DESK):
                allowed = False  # these two are nobody's agent here
            address = filled(path)
            async with browser.session.request(method, address, allow_redirects=False) as response:
                if path.startswith("/ws/"):
                    # Not an upgrade: a reader with the right is asked to upgrade, others are turned away before.
                    assert response.status in {400, 426} or not allowed, (role, path)
                    continue
                refused = response.status in (401, 403) or response.headers.get("Location") == "/login"
                signing_out = path in ("/logout", "/profile/sign-out-everywhere")
                assert refused != allowed or (signing_out and allowed), (role, method, path, response.status)
            if signing_out and allowed and role is not None:
                await browser.sign_in(LOGINS[role])


async def test_an_operator_sees_only_leads_of_own_campaigns(place: Office) -> None:
    async with Browser(place) as maria:
        await maria.sign_in("maria")
        assert (await maria.get("/leads/1"))[0] == 404
        assert "Іваненко" not in (await maria.get("/leads?q=Іван"))[1]
        assert "Іваненко" not in (await maria.get("/leads?campaign=spring"))[1]


async def test_numbers_are_masked_for_those_without_the_right(place: Office) -> None:
    async with Browser(place) as olena, Browser(place) as boss:
        await olena.sign_in("olena")
        await boss.sign_in("boss")
        for path in ("/leads", "/leads/1"):
            assert "+380671234501" not in (await olena.get(path))[1]
            assert "…4501" in (await olena.get(path))[1]
            assert "+380671234501" in (await boss.get(path))[1]


async def test_a_client_who_wants_no_calls_is_on_the_list_until_it_is_taken_back(place: Office) -> None:
    async with Browser(place) as olena, Browser(place) as ivan, Browser(place) as boss:
        for browser, login in ((olena, "olena"), (ivan, "ivan"), (boss, "boss")):
            await browser.sign_in(login)
        no_word = await olena.session.post("/leads/1/do-not-call", data={"reason": " "})
        assert no_word.status == 409
        await olena.session.post("/leads/1/do-not-call", data={"reason": "просил не звонить"})
        card = await place.records.lead_card(LeadId(1))
        assert card is not None
        assert card.state is LeadState.SUPPRESSED
        assert "просил не звонить" in (await ivan.get("/leads/1"))[1]
        assert "/leads/1/call-again" in (await olena.get("/leads/1"))[1]
        await ivan.session.post("/leads/1/call-again")  # not his word: it stays
        assert "просил не звонить" in (await olena.get("/leads/1"))[1]
        await boss.session.post("/leads/1/call-again")
        card = await place.records.lead_card(LeadId(1))
        assert card is not None
        assert card.state is LeadState.NEW
    told = {(row.by, row.action) for row in await place.records.audit_page()}
    assert {("olena", "dnc_added"), ("boss", "dnc_removed")} <= told


async def test_writes_are_audited(place: Office) -> None:
    async with Browser(place) as boss:
        await boss.sign_in("boss")
        await boss.session.post("/campaigns/spring/run", data={"running": "1"})
    actions = {row.action: row.by for row in await place.records.audit_page()}
    assert actions["login"] == "boss"
    assert actions["campaign_started"] == "boss"
    assert actions["POST /campaigns/{campaign}/run"] == "boss"


# ── hostile pages and texts ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://crm.lan"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Origin": "http://crm.lan"}, True),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({}, False),
    ],
)
def test_only_our_own_pages_may_change_something(headers: dict[str, str], passes: bool) -> None:
    assert same_origin("POST", headers, "crm.lan") is passes
    assert same_origin("GET", headers, "crm.lan")


def test_a_socket_needs_our_origin_whatever_the_method() -> None:
    assert own_origin({"Origin": "https://crm.lan"}, "crm.lan")
    assert not own_origin({}, "crm.lan")
    assert not own_origin({"Origin": "https://crm.lan.evil.example"}, "crm.lan")


async def test_a_foreign_page_can_neither_post_nor_open_a_socket(place: Office) -> None:
    async with Browser(place) as browser:
        await browser.sign_in("olena")
        evil = {"Origin": "http://evil.example"}
        assert (await browser.session.post("/profile", data={"language": "en"}, headers=evil)).status == 403
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await browser.session.ws_connect("/ws/desk", headers=evil)
        assert refused.value.status == 403


@pytest.mark.parametrize("path", ["/login", "/nothing", "/static/app.css", "/desk", "/healthz"])
async def test_every_answer_carries_the_security_headers(place: Office, path: str) -> None:
    async with Browser(place) as browser, browser.session.get(path, allow_redirects=False) as response:
        csp = response.headers["Content-Security-Policy"]
        assert "default-src 'self'" in csp
        assert "frame-ancestors 'none'" in csp
        assert "unsafe" not in csp
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "aiohttp" not in response.headers["Server"]


async def test_what_a_lead_file_brings_is_text_and_never_markup(place: Office) -> None:
    async with Browser(place) as boss:
        await boss.sign_in("boss")
        for path in ("/leads", "/leads/4"):
            html = (await boss.get(path))[1]
            assert "<b>Bob" not in html
            assert "<img" not in html
            assert "&lt;b&gt;Bob" in html


@pytest.mark.parametrize(("language", "word"), [("ru", "рабочий"), ("uk", "робочий"), ("en", "work")])
async def test_the_card_says_beside_a_number_where_it_rings(place: Office, language: str, word: str) -> None:
    await place.database.write(sql("UPDATE phones SET type = 'work' WHERE lead_id = 1"))
    async with Browser(place) as boss:
        await boss.sign_in("boss")
        await boss.session.post("/profile", data={"language": language, "theme": "dark"})
        assert f'<span class="soft">{word}</span>' in (await boss.get("/leads/1"))[1]
        assert f'<span class="soft">{word}</span>' not in (await boss.get("/leads/2"))[1]


async def test_nobody_sees_a_traceback(place: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret detail")

    async with Browser(place) as boss:
        await boss.sign_in("boss")
        monkeypatch.setattr(place.crm.records, "find_leads", broken)
        status, html = await boss.get("/leads")
        assert status == 500
        assert "secret detail" not in html
        assert "Traceback" not in html


async def test_unknown_pages_are_404_in_words(place: Office) -> None:
    async with Browser(place) as browser:
        status, html = await browser.get("/nothing")
        assert status == 404
        assert "Такой страницы нет" in html


async def test_csp_reports_are_counted(place: Office) -> None:
    async with Browser(place) as browser:
        assert (await browser.session.post("/csp-report", data="{}")).status == 204
    assert place.crm.csp_reports == 1


async def test_health_says_why_nothing_is_dialed(place: Office) -> None:
    async with Browser(place) as browser:
        assert (await browser.get("/healthz"))[0] == 200
        place.switch.lose()
        await poll(lambda: bool(place.driver.snapshot().switch_problem))
        async with browser.session.get("/healthz") as response:
            assert response.status == 200  # a restart of ours would not bring Asterisk back
            said = await response.json()
            assert not said["dialing"]
            assert said["problem"]


# ── lists, profile, import ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("text", ["сидорова", "СИДОРОВА", "4502", "380671234502"])
async def test_leads_are_found_by_name_in_any_case_and_by_digits(place: Office, text: str) -> None:
    async with Browser(place) as boss:
        await boss.sign_in("boss")
        html = (await boss.get(f"/leads?q={text}"))[1]
        assert "Сидорова" in html
        assert "Шевченко" not in html


@pytest.mark.parametrize("query", ["after=abc", "state=%27", "campaign=nope", "after=99999999999999999999", "q=%25%27"])
async def test_odd_queries_of_the_list_harm_nothing(place: Office, query: str) -> None:
    async with Browser(place) as boss:
        await boss.sign_in("boss")
        assert (await boss.get(f"/leads?{query}"))[0] == 200


async def test_the_profile_changes_language_and_colours(place: Office) -> None:
    async with Browser(place) as browser:
        await browser.sign_in("olena")
        await browser.session.post("/profile", data={"language": "uk", "theme": "dark"})
        html = (await browser.get("/desk"))[1]
        assert '<html lang="uk" data-theme="dark"' in html
        assert "Робоче місце" in html


def csv_of(*rows: str) -> bytes:
    return "\n".join(rows).encode()


async def send(browser: Browser, content: bytes, name: str = "leads.csv", campaign: str = "spring") -> tuple[int, str]:
    form = aiohttp.FormData()
    form.add_field("campaign", campaign)
    form.add_field("file", io.BytesIO(content), filename=name, content_type="application/octet-stream")
    async with browser.session.post("/import", data=form) as response:
        return response.status, await response.text()


async def settled(browser: Browser, path: str, sign: str) -> str:
    """The page when it says so."""

    async def load() -> str:
        return (await browser.get(path))[1]

    return await poll_text(load, sign)


async def press(browser: Browser, path: str, **form: str) -> str:
    async with browser.session.post(path, data=form) as response:
        assert response.status == 200
        return str(response.url.path)


PEOPLE = csv_of("Кто;Куда", "Гончар Олесь;067 123-45-77", "Известный;+380671234501", "Плохой;12")


async def test_a_lead_file_is_looked_at_checked_imported_and_undone(
    place: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_imports, "REVERT_SETTLE_S", 0)
    async with Browser(place) as boss:
        await boss.sign_in("boss")
        status, html = await send(boss, PEOPLE)
        job = re.search(r"/import/[0-9]+", html)
        assert (status, job is not None) == (200, True)
        assert job is not None
        assert "→ +380671234577" in html, "numbers are shown as they will be called"
        assert "Гончар" not in (await boss.get("/leads"))[1]

        chosen = {"column-0": "name", "column-1": "phone", "header_row": "1", "profile": "Партнёр А"}
        wrong = {**chosen, "all-zone": "Марс", "all-priority": "5"}
        async with boss.session.post(f"{job[0]}/check", data=wrong) as response:
            html = await response.text()
        assert "это не часовой пояс" in html
        assert 'name="all-priority" min="-50" max="50" value="5"' in html, "what was right is kept"
        await press(boss, f"{job[0]}/check", **chosen, **{"all-zone": "Самара"})
        html = await settled(boss, job[0], 'id="checked"')
        assert 'value="Самара"' in html
        assert "этот номер уже есть в кампании" in html
        assert "номер короче, чем нужно" in html
        assert "Гончар" not in (await boss.get("/leads"))[1]

        await press(boss, f"{job[0]}/run", **chosen)
        html = await settled(boss, job[0], "/revert")
        assert "1 новый лид" in html
        opened = re.search(r'href="(/leads\?[^"]*list=[^"]*)"', html)
        assert opened is not None
        html = (await boss.get(unescape(opened[1])))[1]
        assert ("Гончар Олесь" in html, "Известный" in html) == (True, False), "exactly what the file brought"
        assert "Плохой" not in (await boss.get("/leads"))[1]
        assert "Гончар Олесь" in (await boss.get("/leads"))[1]
        async with boss.session.get(f"{job[0]}/rejects") as response:
            assert response.status == 200
            assert zipfile.is_zipfile(io.BytesIO(await response.read()))
        assert job[0] in (await boss.get("/import"))[1], "it is in the list of imports"
        async with boss.session.get(job[0], headers={"HX-Request": "true"}) as response:
            assert response.headers["HX-Refresh"] == "true", "who looked at the progress sees the whole page"

        await press(boss, f"{job[0]}/revert")
        await settled(boss, job[0], "Импорт отменён: ")
        assert "Гончар" not in (await boss.get("/leads"))[1]

        html = (await send(boss, PEOPLE))[1]
        assert "Партнёр А" in html, "the next file with these headings is read in the same way"
        assert '<option value="name" selected>' in html


@pytest.mark.parametrize("path", ["/import", "/dnc/import"])
async def test_an_upload_that_is_no_upload_is_not_understood(place: Office, path: str) -> None:
    async with Browser(place) as boss:
        await boss.sign_in("boss")
        async with boss.session.post(path, data={"campaign": "spring"}) as response:
            assert response.status == 400


async def test_an_import_that_nobody_wants_any_more_is_cancelled(place: Office) -> None:
    async with Browser(place) as boss:
        await boss.sign_in("boss")
        job = re.search(r"/import/[0-9]+", (await send(boss, PEOPLE))[1])
        assert job is not None
        assert await press(boss, f"{job[0]}/cancel") == "/import"
        assert "Импорт прерван" in (await boss.get(job[0]))[1]
        assert await press(boss, f"{job[0]}/run") == job[0], "what has ended does not begin again"
        assert "Гончар" not in (await boss.get("/leads"))[1]


async def test_without_a_phone_column_the_page_asks_for_it(place: Office) -> None:
    async with Browser(place) as boss:
        await boss.sign_in("boss")
        status, html = await send(boss, csv_of("a;b", "x;y"))
        assert (status, "Укажите, в какой колонке" in html) == (200, True)


async def test_a_bug_in_one_import_ends_nothing_else(place: Office) -> None:
    shelf = place.app[SHELF]

    async def broken() -> None:
        raise AssertionError("a bug")

    shelf.do(broken(), "import-1")
    await poll(lambda: not shelf.does("import-1"))
    async with Browser(place) as browser:
        await browser.sign_in("boss")
        code, _ = await browser.get("/import")
        assert code == 200


async def test_an_import_left_by_a_dead_program_goes_on_with_the_next(place: Office) -> None:
    database = place.database
    path = folder_of(database)
    path.mkdir(exist_ok=True)
    (path / "left.csv").write_bytes(csv_of("Имя;Телефон", "Гончар Олесь;067 123-45-77"))
    number = await begin_import(database, CAMPAIGN, file_name="left.csv", by="boss", now_ms=1, kept="left.csv")
    await start_import(database, number, now_ms=1)
    await carry_on(place.app)
    assert (await import_of(database, number)).state is ImportState.DONE
    async with Browser(place) as boss:
        await boss.sign_in("boss")
        assert "Гончар Олесь" in (await boss.get("/leads"))[1]


@pytest.mark.parametrize("way", ["check", "run", "cancel", "revert", "choose"])
async def test_an_import_that_is_not_there_is_not_found(place: Office, way: str) -> None:
    async with Browser(place) as boss:
        await boss.sign_in("boss")
        async with boss.session.post(f"/import/404/{way}") as response:
            assert response.status == 404


@pytest.mark.parametrize(
    ("content", "name", "campaign"),
    [
        (b"", "empty.csv", "spring"),
        (b"\x00\x01\x02\x03" * 100, "noise.xlsx", "spring"),
        (csv_of("Имя;Телефон", "Олесь;0671234577"), "leads.csv", "nope"),
        (csv_of("Имя;Телефон", "Олесь;0671234577"), "", "spring"),
    ],
    ids=["empty", "no table", "no such campaign", "no file"],
)
async def test_a_bad_file_is_refused_with_a_reason_and_nothing_of_it_stays(
    place: Office, content: bytes, name: str, campaign: str
) -> None:
    async with Browser(place) as boss:
        await boss.sign_in("boss")
        status, html = await send(boss, content, name, campaign)
        assert status == 422
        assert 'role="alert"' in html
        assert "Олесь" not in (await boss.get("/leads"))[1]


def running(place: Office) -> set[CampaignId]:
    return {said.campaign for said in place.driver.snapshot().dialing if said.running}


async def test_a_campaign_is_started_and_stopped(place: Office) -> None:
    async with Browser(place) as boss:
        await boss.sign_in("boss")
        await boss.session.post("/campaigns/spring/run", data={"running": "1"})
        assert CAMPAIGN in running(place)
        await boss.session.post("/campaigns/spring/run", data={"running": "0"})
        assert CAMPAIGN not in running(place)


async def test_supervisors_read_that_detection_has_gone_off_and_why(place: Office) -> None:
    detection = place.driver._floor.live.detections[CAMPAIGN]
    detection.obey(AmdPolicy(enabled=True))
    async with Browser(place) as boss:
        await boss.sign_in("boss")
        _, page = await boss.get("/campaigns")
        assert "Операторы ещё не проверили ни одного звонка" in page
        detection.restore(Checked(attempt=AttemptId(f"1-{n}"), at_ms=n, person=n < 6) for n in range(20))
        _, page = await boss.get("/campaigns")
        assert "Отключилось само" in page
        assert "30&nbsp;%" in page or "30\xa0%" in page or "30 %" in page


async def test_pages_work_without_the_telephone_switch(place: Office) -> None:
    place.switch.lose()
    async with Browser(place) as boss:
        await boss.sign_in("boss")
        for path in ("/live", "/campaigns", "/leads", "/leads/1", "/import", "/profile"):
            assert (await boss.get(path))[0] == 200


# ── why a lead is or is not dialed ───────────────────────────────────────────────────────────────────────────────


async def test_the_card_says_rule_by_rule_why_a_lead_is_not_called(place: Office) -> None:
    closed = LeadChange(lead=LeadId(1), state=LeadState.CLOSED, rule="x")
    await Store(place.database).commit([SaveLead(closed, place.clock.now_ms())])
    async with Browser(place) as boss:
        await boss.sign_in("boss")
        html = (await boss.get("/leads/1"))[1]
        assert "Почему не звоним" in html
        assert "Состояние клиента: Закрыт" in html
        assert "Почему звоним" in (await boss.get("/leads/2"))[1]


async def test_a_campaign_says_how_many_leads_each_rule_holds_back_and_opens_them(place: Office) -> None:
    tomorrow_ms = place.clock.now_ms() + 86_400_000
    sold = LeadChange(lead=LeadId(1), state=LeadState.CLOSED, rule="disposition:sale")
    waits = LeadChange(lead=LeadId(2), state=LeadState.RETRY, next_at_ms=tomorrow_ms, rule="retry:busy:1:2")
    await Store(place.database).commit([SaveLead(change, place.clock.now_ms()) for change in (sold, waits)])
    async with Browser(place) as boss:
        await boss.sign_in("boss")
        status, html = await boss.get("/campaigns/spring/why")
        assert status == 200
        assert "ещё не время: Занято: повтор 1 из 2" in html
        (link,) = re.findall(r"/campaigns/spring/why\?rule=not_due[^#]*", html)
        listed = (await boss.get(link.replace("&amp;", "&")))[1]
        assert 'href="/leads/2"' in listed
        assert 'href="/leads/1"' not in listed
        assert (await boss.get("/campaigns/nope/why"))[0] == 404
        await boss.session.post("/campaigns/spring/recycle", data={"cause": "disposition:sale"})
        card = await place.records.lead_card(LeadId(1))
        assert card is not None
        assert card.state is LeadState.RETRY
        assert "1 leads closed by disposition:sale" in [row.detail for row in await place.records.audit_page()]
    async with Browser(place) as olena:
        await olena.sign_in("olena")
        assert (await olena.get("/campaigns/spring/why"))[0] == 403


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("law_limit:us-regf@1:attempt:3:7:days-7", "Закон us-regf@1: звонки: 3 из 7 за 7 дн."),
        ("law_limit:ru@1:talk_or_unknown:1:1:day", "Закон ru@1: отвеченные звонки: 1 из 1 в день"),
        ("law_window:ua@1:no_hours", "Закон ua@1: часы этого дня у клиента: закрыто"),
        ("law_cooldown:uk@1:conversation:rolling-72h", "Закон uk@1: перерыв после разговора: за 72 ч"),
        ("law_mode:ru@1:predictive", "Закон ru@1: как начинается звонок (предиктивный набор)"),
        ("law_stop:ru@1:bankrupt", "Закон ru@1: нет запрета на звонок (bankrupt)"),
    ],
)
async def test_rules_of_the_law_have_words(place: Office, rule: str, said: str) -> None:
    words = place.crm.pages.words["ru"]
    assert check_words(words, rule) == said
    assert rule_words(words, rule) == said


async def test_a_bug_in_a_dry_run_is_said_and_does_not_go_on_for_ever(place: Office) -> None:
    crm, shelf = place.app[CRM], place.app[SHELF]
    async with Browser(place) as boss:
        await boss.sign_in("boss")
        job = re.search(r"/import/([0-9]+)", (await send(boss, PEOPLE))[1])
        assert job is not None
        asked = await import_of(place.database, int(job[1]))
        found = DryRun(ImportChoice.of(asked.settings), asked.mode, asked.campaign)
        shelf.begin_check(asked.id, found)
        shelf.do(_check(crm, shelf, asked, found, "a language that nobody speaks"), f"check-{asked.id}")
        html = await settled(boss, job[0], 'id="problem"')
        assert "Сбой на нашей стороне" in html
        assert "Колонки" in html, "and the file may be checked again"


async def test_bad_rows_are_corrected_in_the_dry_run_imported_and_undone(
    place: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_imports, "REVERT_SETTLE_S", 0)
    rows = ("Плохой;12;", "Поздний;067 123-45-79;Марс", "Без номера;;", "Гончар Олесь;067 123-45-77;Самара")
    async with Browser(place) as boss:
        await boss.sign_in("boss")
        job = re.search(r"/import/[0-9]+", (await send(boss, csv_of("ФИО;Телефон;Пояс", *rows)))[1])
        assert job is not None
        await press(boss, f"{job[0]}/check")
        html = await settled(boss, job[0], 'id="checked"')
        for cell in ("mend-2-1", "mend-3-2", "mend-4-1"):
            assert f'id="{cell}"' in html
        assert 'id="mend-5-' not in html, "a good row"
        asked = {"mend-2-1": "067 123-45-78", "mend-3-2": "", "mend-4-1": "7"}
        await press(boss, f"{job[0]}/check", **asked)
        html = await settled(boss, job[0], 'aria-describedby="mend-4-1-why"')
        assert 'name="mend-2-1" value="067 123-45-78"' in html, "what is good by now may be corrected still"
        assert "mend-2-1-why" not in html
        await press(boss, f"{job[0]}/check", mend="none")
        html = await settled(boss, job[0], 'aria-describedby="mend-2-1-why"')
        await press(boss, f"{job[0]}/check", **asked)
        await settled(boss, job[0], 'id="checked"')
        await press(boss, f"{job[0]}/run", **asked)
        assert "3 новых лида" in await settled(boss, job[0], "/revert")
        kept = await import_of(place.database, int(job[0].rpartition("/")[2]))
        assert "mended" not in kept.settings["columns"], "what was corrected is in the leads, and nowhere else"
        html = (await boss.get("/leads"))[1]
        assert ("+380671234578" in html, "+380671234579" in html, "Без номера" in html) == (True, True, False)
        await press(boss, f"{job[0]}/revert")
        await settled(boss, job[0], "Импорт отменён: ")
        assert "+380671234578" not in (await boss.get("/leads"))[1]


async def test_more_rows_than_a_person_may_correct_are_said(place: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crm_lite.imports.MENDED_MAX", 1)
    async with Browser(place) as boss:
        await boss.sign_in("boss")
        job = re.search(r"/import/[0-9]+", (await send(boss, csv_of("ФИО;Телефон", "Плохой;12", "Хуже;13")))[1])
        assert job is not None
        said = {"mend-2-1": "067 123-45-78", "mend-3-1": "067 123-45-79"}
        async with boss.session.post(f"{job[0]}/check", data=said) as response:
            assert "Столько строк вручную не исправляют" in await response.text()
