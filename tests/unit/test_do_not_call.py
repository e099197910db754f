"""A word of do-not-call reaches what is queued, shown or ringing, whichever process it was said in."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from click.testing import CliRunner

from engine.cli import zvonar as zvonar_command
from engine.core import effects, events
from engine.core.invariants import violations
from engine.core.model import AgentId, CommandId, LeadId, LeadState, PhoneNumber
from engine.core.pacing import Preview
from engine.store.dnc import DoNotCall
from engine.verify import SUPPRESSED_GRACE_MS
from tests.conversation import ANNA, MINUTE_MS, SPRING, Conversation, lead
from tests.fakes.office import CONFIG, Office, office
from tests.fakes.waiting import poll
from tests.unit.test_crm_pages import Browser

ONE, TWO = "+380671110001", "+380671110002"

# ── the floor ────────────────────────────────────────────────────────────────────────────────────────────────────


def blocked(floor: Conversation, *numbers: str, of: int = 1) -> list[effects.Effect]:
    """A list was changed; the store says which numbers of the lead are on it."""
    orders = floor.tell(events.DoNotCallChanged())
    (asked,) = floor.all(effects.CheckHeld, orders)
    assert of in asked.leads
    return floor.tell(events.HeldChecked(tuple((LeadId(of), PhoneNumber(number)) for number in numbers)))


def test_a_ringing_call_is_taken_back_and_the_other_number_is_next() -> None:
    floor = Conversation(lead(1, ONE, TWO))
    floor.ready(ANNA)
    leg = floor.dial()
    floor.ring(leg)
    assert floor.all(effects.Hangup, blocked(floor, ONE))[0].leg == leg
    floor.hang_up(leg)
    change = floor.end().change
    assert change is not None
    assert change.state is LeadState.RETRY, "the lead may be called, on its other number"
    assert not violations(floor.live)


def test_a_call_to_another_number_of_the_lead_goes_on() -> None:
    floor = Conversation(lead(1, ONE, TWO))
    floor.ready(ANNA)
    floor.ring(floor.dial())
    assert not floor.all(effects.Hangup, blocked(floor, TWO))
    floor.hang_up(floor.dial(), cause=19)
    change = floor.end().change
    assert change is not None
    assert change.next_phone == 0, "and it does not go on to the listed number afterwards"


def test_a_conversation_is_not_cut() -> None:
    floor = Conversation(lead(1, ONE))
    floor.ready(ANNA)
    floor.talk(floor.dial())
    assert not floor.all(effects.Hangup, blocked(floor, ONE))


def test_what_is_loaded_is_read_again() -> None:
    floor = Conversation(lead(1), lead(2))
    floor.ready(ANNA)
    hopper = floor.live.hoppers[SPRING]
    assert hopper.leads
    floor.leads = [one for one in floor.leads if one.id != 2]
    floor.tell(events.DoNotCallChanged(), events.HeldChecked(()))
    floor.hang_up(floor.dial(), cause=17)
    floor.wait(MINUTE_MS)
    assert [order.attempt.lead for order in floor.all(effects.SaveAttempt)] == [1]


def test_a_previewed_lead_gives_way() -> None:
    floor = Conversation(lead(1, ONE), pacing=Preview())
    floor.ready(ANNA)
    assert floor.agent().previewed is not None
    floor.leads = []
    blocked(floor, ONE)
    assert floor.agent().previewed is None


# ── the whole engine, and another process ────────────────────────────────────────────────────────────────────────


def config_file(directory: Path) -> str:
    """The office's configuration, for the shell."""
    path = directory / "config.yaml"
    path.write_text(f"database: {directory}/office.db\n{CONFIG}", encoding="utf-8")
    return str(path)


async def shell(directory: Path, *words: str) -> str:
    """What one command prints; it works beside the engine, through a connection of its own."""
    told = await asyncio.to_thread(CliRunner().invoke, zvonar_command, ["-c", config_file(directory), *words])
    assert told.exit_code == 0, told.output
    return told.stdout


async def zvonar(directory: Path, *words: str) -> str:
    """Run one command in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from engine.cli import main; main()", "-c", config_file(directory), *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    return said.decode()


async def ringing(place: Office) -> None:
    """Olena is ready, and the first customer's phone rings."""
    await place.dial()
    for command in (events.AgentLogin, events.AgentReady):
        name = CommandId(f"t:{command.__name__}")
        assert not await place.driver.do(command(command=name, by="test", agent=AgentId("olena")))
    await poll(lambda: place.switch.ringing() == 1)


async def test_a_ringing_call_ends_within_a_second_of_another_process_s_word(tmp_path: Path) -> None:
    async with office(tmp_path) as place:
        await ringing(place)
        (attempt,) = place.driver.snapshot().attempts
        assert attempt.lead is not None
        assert attempt.number is not None
        await zvonar(tmp_path, "dnc", "add", attempt.number.e164, "--reason", "asked")
        (entry,) = await DoNotCall(place.database).newest()
        await poll(lambda: all(one.number != attempt.number for one in place.driver.snapshot().attempts))
        assert place.clock.now_ms() - entry.at_ms < SUPPRESSED_GRACE_MS + 1_000, "the command's own start included"
        card = await place.records.lead_card(attempt.lead)
        assert card is not None
        await poll(lambda: place.switch.ringing() == 1)
        (following,) = place.driver.snapshot().attempts
        assert following.lead != attempt.lead


async def test_the_shell_puts_on_takes_off_and_prints(tmp_path: Path) -> None:
    async with office(tmp_path) as place:
        (tmp_path / "register.csv").write_text("Телефон\n067 123 45 01\n067 123 45 02\n12\n", encoding="utf-8")
        assert "2 added, 0 were there, 1 bad rows" in await shell(
            tmp_path, "dnc", "import", str(tmp_path / "register.csv"), "--reason", "register"
        )
        added = await shell(tmp_path, "dnc", "add", "067 123 45 03", "--campaign", "spring", "--reason", "asked")
        assert added == "campaign:spring: 1 added, 0 were there\n"
        assert (await place.records.lead_card(LeadId(3))).state is LeadState.SUPPRESSED  # type: ignore[union-attr]
        await shell(tmp_path, "dnc", "remove", "0671234501", "--reason", "by mistake")
        listed = await shell(tmp_path, "dnc", "list")
        assert [line.split("\t")[:2] for line in listed.splitlines()] == [
            ["+380671234502", "system"],
            ["+380671234503", "campaign:spring"],
        ]
        assert (await place.records.lead_card(LeadId(1))).state is LeadState.NEW  # type: ignore[union-attr]
        assert "forgotten" in await shell(tmp_path, "erase", "4", "--yes")


# ── the page ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_supervisor_puts_numbers_on_a_list_and_takes_them_off(tmp_path: Path) -> None:
    async with office(tmp_path) as place, Browser(place) as boss:
        await boss.sign_in("boss")
        form = {"numbers": "067 123 45 01\n+380671234502", "list": "campaign:spring", "reason": "просил"}
        async with boss.session.post("/dnc", data=form) as response:
            assert response.status == 200
        assert "+380671234502" in (await boss.get("/dnc"))[1]
        assert "+380671234501" not in (await boss.get("/dnc?q=%2B380671234502"))[1]
        assert (await place.records.lead_card(LeadId(1))).state is LeadState.SUPPRESSED  # type: ignore[union-attr]
        off = {"number": "+380671234501", "list": "campaign:spring", "reason": "ошибка"}
        async with boss.session.post("/dnc/remove", data=off) as response:
            assert response.status == 200
        assert (await place.records.lead_card(LeadId(1))).state is LeadState.NEW  # type: ignore[union-attr]


async def test_a_wrong_number_a_missing_reason_and_a_strange_list_change_nothing(tmp_path: Path) -> None:
    async with office(tmp_path) as place, Browser(place) as boss:
        await boss.sign_in("boss")
        good = {"numbers": "067 123 45 01", "list": "system", "reason": "asked"}
        for wrong in ({"numbers": "12"}, {"numbers": ""}, {"reason": " "}, {"list": "campaign:none"}):
            async with boss.session.post("/dnc", data={**good, **wrong}) as response:
                assert response.status == 422
        for wrong in ({"list": "x"}, {"reason": ""}, {"number": "12"}):
            form = {"number": "0671234501", "list": "system", "reason": "asked", **wrong}
            async with boss.session.post("/dnc/remove", data=form) as response:
                assert response.status == 422
        assert not await DoNotCall(place.database).newest()


async def test_a_file_of_numbers_is_uploaded(tmp_path: Path) -> None:
    import aiohttp

    async with office(tmp_path) as place, Browser(place) as boss:
        await boss.sign_in("boss")
        form = aiohttp.FormData({"list": "system", "reason": "register"})
        form.add_field("file", b"+380671234501\n+380671234505\n", filename="register.csv")
        async with boss.session.post("/dnc/import", data=form) as response:
            assert response.status == 200
        assert len(await DoNotCall(place.database).newest()) == 2


async def test_operators_do_not_open_the_lists(tmp_path: Path) -> None:
    async with office(tmp_path) as place, Browser(place) as browser:
        for login in ("olena", "tech"):
            await browser.sign_in(login)
            assert (await browser.get("/dnc"))[0] == 403
