"""The faults: how each is made, what must hold, what is measured."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

import aiohttp

from bench.chaos.adoption import readopt_200
from bench.chaos.engine import CRASH_POINTS
from bench.chaos.finding import Finding
from bench.chaos.held import MIXED, TALKING_SOON_S, Dials, behind_a_bad_line, dials, settled, talking, within
from bench.chaos.medley import medley
from bench.chaos.stage import GaveUp, Stage, stage

__all__ = ["FAULTS", "Fault", "Finding", "GaveUp"]

BOTH_DEAD: Final = "both_dead_at_answer"
#: Whoever rings when the engine dies has answered by then.
UNHEARD_WITHIN_S: Final = 10.0
DATABASE_LOCKED_S: Final = 60.0
STOPPED_S: Final = 30.0
ABORTS: Final = 100
STORM: Final = 50
STORM_PEAK: Final = 150
#: So many free agents, an ARI that answers so late (its probe just below what is called slow): dials wait 1.8 s.
IN_LINE: Final = 80
IN_LINE_DELAY_S: Final = 0.2
LISTINGS: Final = 8
FILE_BYTES_MAX: Final = 4_096
DISK_MIB: Final = 16


# ── the engine dies ──────────────────────────────────────────────────────────────────────────────────────────────


async def crash(point: str, chance: Random, port: int) -> Finding:
    """kill -9 at a point of the program, with calls ringing, answering and talking."""
    found = Finding(fault=f"crash_{point}", expected="taken up again, nobody dialed twice or cut, no lead stranded")
    async with stage(port, agents=6) as on:
        await on.leads(150, *MIXED)
        await on.start(crash_at=f"{point}:{chance.randint(1, 4)}")
        await on.died()
        at_death = on.now
        found.measured["open_at_death"] = sum(at_death.calls.values())
        found.measured["talking_at_death"] = at_death.talking
        await asyncio.sleep(chance.uniform(0.1, 2.0))
        await on.start()
        found.measured["start_to_dialing_ms"] = await on.until_ms(
            lambda view: not view.switch and dials(view), "dialing again"
        )
        await talking(on, 2)
        return await settled(on, found)


async def dead_at_answer(fault: str, chance: Random, port: int) -> Finding:
    """No engine while callees answer: the dialplan speaks, and the next engine counts. Asterisk may die too."""
    _ = chance
    found = Finding(fault=fault, expected="message ≤ 2 s after the answer; each counted as abandoned")
    async with stage(port, agents=6) as on:
        await on.leads(60, "02")
        await on.start(crash_at="ringing:3")
        await on.died()
        if fault == BOTH_DEAD:
            with suppress(TimeoutError):  # that nobody heard the message is found below
                async with asyncio.timeout(UNHEARD_WITHIN_S):
                    while not _unheard(on):
                        await asyncio.sleep(0.05)
            on.kill_asterisk()
        else:
            await asyncio.sleep(UNHEARD_WITHIN_S)
        await on.start()
        await on.until(lambda view: not view.switch, "connected")
        await asyncio.sleep(1)
        answered = {entry.channel_id: entry.at_ms for entry in on.journal() if entry.kind == "ANSWER"}
        unheard = _unheard(on)
        late = [at_ms - answered[channel] for channel, at_ms in unheard.items()]
        counted = on.rows("SELECT leg FROM attempts WHERE outcome = 'abandoned'")
        found.measured |= {"unheard": len(unheard), "message_after_ms_max": max(late, default=-1)}
        found.measured["counted"] = len(set(unheard) & {row["leg"] for row in counted})
        if not unheard or max(late) > 2_000:
            found.violations.append("I15: silence instead of the message")
        if found.measured["counted"] != len(unheard):
            found.violations.append("I13: an unheard answer is not counted as abandoned")
        return await settled(on, found)


def _unheard(on: Stage) -> dict[str, int]:
    """Who heard the message with no engine there, and when it began."""
    return {e.channel_id: e.at_ms for e in on.journal() if e.kind == "ZV_MESSAGE" and e.extra == "unheard"}


async def left_the_file(chance: Random, port: int) -> Finding:
    """kill -9 under conversations; their campaign and one of their agents are not in the file of the next engine."""
    found = Finding(
        fault="left_the_file", expected="conversations go on to their end, though the file has them no more"
    )
    async with stage(port, agents=6) as on:
        await on.leads(150, "01")
        await on.start()
        await talking(on, 6)
        await on.kill()
        open_calls = "SELECT agent_id FROM attempts WHERE bridged_at_ms > 0 AND ended_at_ms IS NULL ORDER BY agent_id"
        agents = [row["agent_id"] for row in on.rows(open_calls)]
        leaves = chance.choice(agents)
        lines = on.loaded.path.read_text("utf-8").splitlines(keepends=True)
        kept = "".join(line for line in lines if not line.startswith(f"  {leaves}:"))
        on.loaded.path.write_text(kept.replace("storm:", "calm:").replace("[storm]", "[calm]"), "utf-8")
        await on.start()
        found.measured["talking_at_death"] = len(agents)
        found.measured["taken_over_ms"] = await on.until_ms(
            lambda view: not view.switch and view.talking == len(agents), "all conversations taken over"
        )
        await on.until(lambda view: view.talking == 0, "their end")
        return await settled(on, found)


async def stopped(chance: Random, port: int) -> Finding:
    """SIGSTOP for half a minute under load."""
    _ = chance
    found = Finding(
        fault="sigstop_30s", expected="nothing dialed while stopped, no stale dial after; goes on by itself"
    )
    async with stage(port, agents=8) as on:
        await on.leads(300, *MIXED)
        await on.start()
        await talking(on, 4)
        on.signal(signal.SIGSTOP)
        await asyncio.sleep(1)
        count = Dials(on)
        await asyncio.sleep(STOPPED_S - 1)
        found.measured["dials_while_stopped"] = count.since()
        on.signal(signal.SIGCONT)
        found.measured["resumed_ms"] = await on.until_ms(lambda view: dials(view) and view.talking > 0, "talking again")
        await asyncio.sleep(5)
        found.measured["stale_dials"] = _stale(on)
        if found.measured["stale_dials"] or found.measured["dials_while_stopped"]:
            found.violations.append("dialed for agents of half a minute ago")
        return await settled(on, found, journal=False)  # some were left in silence meanwhile


def _stale(on: Stage) -> int:
    """Calls that reached the carrier more than two seconds and a half after they were decided."""
    planned: dict[str, list[int]] = {}
    for row in on.rows("SELECT number, planned_at_ms FROM attempts ORDER BY planned_at_ms"):
        planned.setdefault(row["number"].lstrip("+"), []).append(row["planned_at_ms"])
    stale = 0
    for call in on.carried():
        before = [at_ms for at_ms in planned.get(call.number.lstrip("+"), []) if at_ms <= call.invited_ms]
        stale += bool(before) and call.invited_ms - before[-1] > 2_500
    return stale


# ── Asterisk ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def asterisk_killed(talks: int, chance: Random, port: int) -> Finding:
    """kill -9 of Asterisk with so many conversations."""
    _ = chance
    found = Finding(
        fault=f"asterisk_killed_{talks}_talks",
        expected="dialing stops ≤ 2 s, agents free ≤ 3 s, calls closed, Asterisk started again, dialing resumes",
    )
    async with stage(port, agents=talks, lines=80) as on:
        await on.leads(600, "01" if talks > 10 else "04")
        await on.start()
        await on.until(lambda view: view.talking >= talks, f"{talks} conversations", 90)
        found.measured["talking"] = on.now.talking
        began = time.monotonic()
        on.kill_asterisk()
        stop = await on.until(lambda view: view.why == "switch", "dialing stopped")
        free = await on.until(lambda view: not {"talking", "reserved"} & set(view.agents), "agents are free")
        closed = await on.until(lambda view: not view.calls.get("talking"), "calls are closed")
        for name, view in (("stopped", stop), ("agents_free", free), ("calls_closed", closed)):
            found.measured[f"{name}_ms"] = round((view.at_s - began) * 1000)
        back = await on.until(lambda view: not view.switch, "Asterisk is back", 60)
        found.measured["connected_again_ms"] = round((back.at_s - began) * 1000)
        again = await on.until(lambda view: view.talking >= max(1, talks // 5), "conversations again", 120)
        found.measured["talking_again_ms"] = round((again.at_s - began) * 1000)
        within(found, stopped_ms=2_000, agents_free_ms=3_000)
        ended_ms = round(time.time() * 1000)
        found = await settled(on, found)
        found.cut = on.cut(since_ms=ended_ms)  # those of the dead Asterisk could not go on
        return found


# ── the line to Asterisk ─────────────────────────────────────────────────────────────────────────────────────────


async def socket_aborts(chance: Random, port: int) -> Finding:
    """A hundred resets of the socket under fifty calls a second, by the carrier's count."""
    found = Finding(
        fault="socket_aborts_100",
        expected="at ≥ 50 calls/s: no dial lost or doubled, no conversation cut, Asterisk stays well",
    )
    # Nothing is dialed from a reset to the next snapshot: the rest of the time has to carry more.
    async with behind_a_bad_line(port, agents=60, lines=120, calls_per_s=STORM_PEAK) as (on, line, via):
        await on.leads(12_000, *["20"] * 60, "02")
        await on.start(via=via)
        await on.until(lambda view: view.talking >= 2, "conversations", TALKING_SOON_S)
        began, count = time.monotonic(), Dials(on)
        while line.seen["cuts"] < ABORTS:
            await asyncio.sleep(chance.uniform(0.5, 2.5))
            line.cut()
        took_s = time.monotonic() - began
        found.measured |= {"aborts": line.seen["cuts"], "calls_per_s": round(count.since() / took_s, 1)}
        if found.measured["calls_per_s"] < STORM:
            found.violations.append(f"the storm was none: {found.measured['calls_per_s']} calls/s")
        found.measured["resumed_ms"] = await on.until_ms(lambda view: not view.switch and dials(view), "dialing again")
        found.measured["sip_answers"] = "Reachable" if await _trunk_answers(on) else "no"
        await asyncio.sleep(3)
        return await settled(on, found)


async def _trunk_answers(on: Stage) -> bool:
    return "Avail" in await on.asterisk.cli("pjsip show contacts")


Act = Callable[[], object]


async def _stops_and_resumes(found: Finding, on: Stage, break_: Act, mend: Act) -> None:
    await talking(on, 4)
    break_()
    found.measured["stopped_ms"] = await on.until_ms(lambda view: view.why == "switch", "dialing stopped")
    await asyncio.sleep(1)
    count = Dials(on)
    await asyncio.sleep(10)
    found.measured["dials_meanwhile"] = count.since()
    mend()
    found.measured["resumed_ms"] = await on.until_ms(lambda view: not view.switch and dials(view), "dialing again", 60)
    await talking(on, 2)
    within(found, stopped_ms=1_000, dials_meanwhile=0)


async def half_dead(chance: Random, port: int) -> Finding:
    """ARI's channels are dead; everything else answers."""
    _ = chance
    found = Finding(
        fault="ari_half_dead", expected="dialing stops ≤ 1 s with a reason, conversations go on, it resumes"
    )
    async with behind_a_bad_line(port) as (on, line, via):
        await on.leads(400, *MIXED)
        await on.start(via=via)
        await _stops_and_resumes(
            found, on, lambda: setattr(line, "swallow", "channels"), lambda: setattr(line, "swallow", "")
        )
        return await settled(on, found)


async def slow(chance: Random, port: int) -> Finding:
    """ARI answers after 700 ms."""
    _ = chance
    found = Finding(
        fault="ari_slow_700ms", expected="dialing stops ≤ 1 s with a reason, conversations go on, it resumes"
    )
    async with behind_a_bad_line(port) as (on, line, via):
        await on.leads(400, *MIXED)
        await on.start(via=via)
        await _stops_and_resumes(
            found, on, lambda: setattr(line, "delay_s", 0.7), lambda: setattr(line, "delay_s", 0.0)
        )
        return await settled(on, found)


async def reply_lost(chance: Random, port: int) -> Finding:
    """Asterisk took the dial, and its reply never came."""
    _ = chance
    found = Finding(fault="dial_reply_lost", expected="one call on the wire per attempt, taken up from the snapshot")
    async with behind_a_bad_line(port) as (on, line, via):
        await on.leads(200, *MIXED)
        await on.start(via=via)
        await talking(on, 3)
        line.lose_dials = 8
        deadline = time.monotonic() + TALKING_SOON_S
        while line.seen["eaten"] < 8 and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        await asyncio.sleep(4)
        found.measured["replies_lost"] = line.seen["eaten"]
        found = await settled(on, found)
        invites, attempts = len(on.carried()), len(on.rows("SELECT id FROM attempts"))
        if invites > attempts:
            found.violations.append(f"I3: {invites} calls on the wire for {attempts} attempts")
        return found


async def listed_meanwhile(chance: Random, port: int) -> Finding:
    """Numbers are put on the do-not-call list while their dials stand in line for a slow Asterisk."""
    found = Finding(
        fault="listed_while_in_line", expected="none reaches the carrier more than 1 s after its do-not-call entry"
    )
    async with behind_a_bad_line(port, agents=IN_LINE, lines=120, calls_per_s=STORM_PEAK) as (on, line, via):
        await on.leads(3_000, "20")
        await on.start(via=via)
        await on.until(lambda view: view.agents.get("ready", 0) == IN_LINE, "everybody is ready", TALKING_SOON_S)
        line.delay_s = IN_LINE_DELAY_S
        await on.until(lambda view: view.calls.get("planned", 0) > IN_LINE / 2, "dials stand in line")
        listed_ms: dict[str, int] = {}
        for _ in range(LISTINGS):
            await asyncio.sleep(chance.uniform(1.0, 2.0))
            listed_ms |= await on.list_open()
        line.delay_s = 0.0
        await asyncio.sleep(2)
        called_ms = {call.number.lstrip("+"): call.invited_ms for call in on.carried()}
        after_ms = [
            called_ms[number] - at_ms for number, at_ms in listed_ms.items() if called_ms.get(number, 0) > at_ms
        ]
        found.measured |= {"listed": len(listed_ms), "never_sent": len(listed_ms.keys() - called_ms.keys())}
        found.measured["sent_after_ms_max"] = max(after_ms, default=0)
        if not found.measured["never_sent"]:
            found.violations.append("no dial stood in line: nothing was shown")
        within(found, sent_after_ms_max=1_000)
        return await settled(on, found)


# ── the disk ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def _without_disk(found: Finding, on: Stage, break_: Act, mend: Act, for_s: float) -> None:
    await talking(on, 4)
    not_saved = on.now.not_saved
    break_()
    found.measured["stopped_ms"] = await on.until_ms(lambda view: view.why == "store" and bool(view.store), "told")
    found.measured["reason"] = on.now.store.split(": the database ")[-1].split(" (")[0].split(";")[0]
    await asyncio.sleep(1)
    count = Dials(on)
    await asyncio.sleep(for_s - 3)
    found.measured["dials_meanwhile"] = count.since()
    found.measured["told_not_saved"] = on.now.not_saved - not_saved
    mend()
    found.measured["resumed_ms"] = await on.until_ms(lambda view: not view.store and dials(view), "saving again")
    await talking(on, 2)
    acknowledged = on.now.saved
    (kept,) = on.rows("SELECT count(*) AS count FROM dispositions")
    found.measured |= {"acknowledged": acknowledged, "on_disk": kept["count"]}
    if kept["count"] < acknowledged:
        found.violations.append("I6: what an operator was told is saved is not there")
    if not found.measured["told_not_saved"]:
        found.violations.append("I6: nobody was told that nothing is saved")
    within(found, stopped_ms=2_000, dials_meanwhile=0)


async def database_locked(chance: Random, port: int) -> Finding:
    """Another process holds the write lock for a minute."""
    _ = chance
    found = Finding(
        fault="database_locked_60s", expected="no dial without a row, operators told, nothing lost, it resumes"
    )
    async with stage(port, agents=8) as on:
        await on.leads(300, *MIXED)
        await on.start()
        path = on.loaded.resolve(on.loaded.config.database)
        with closing(sqlite3.connect(path, isolation_level=None, timeout=5)) as other:
            await _without_disk(
                found,
                on,
                lambda: other.execute("BEGIN IMMEDIATE"),
                lambda: other.execute("ROLLBACK"),
                DATABASE_LOCKED_S,
            )
        return await settled(on, found)


async def no_file_grows(chance: Random, port: int) -> Finding:
    """No file of the engine may grow: database, recording and log alike."""
    _ = chance
    found = Finding(
        fault="no_file_grows_20s", expected="no dial without a row, operators told, nothing lost, it resumes"
    )
    async with stage(port, agents=8) as on:
        await on.leads(300, *MIXED)
        await on.start()
        assert on.engine is not None
        limit = partial(resource.prlimit, on.engine.pid, resource.RLIMIT_FSIZE)
        hard = limit()[1]
        await _without_disk(
            found,
            on,
            lambda: limit((FILE_BYTES_MAX, hard)),
            lambda: limit((resource.RLIM_INFINITY, hard)),
            20,
        )
        return await settled(on, found)


async def disk_full(chance: Random, port: int) -> Finding:
    """The file system of the database has no byte left (ENOSPC)."""
    _ = chance
    found = Finding(fault="disk_full_20s", expected="no dial without a row, operators told, nothing lost, it resumes")
    async with stage(port, agents=8, disk_mib=DISK_MIB) as on:
        await on.leads(300, *MIXED)
        await on.start()
        ballast = on.root / "disk" / "ballast"
        await _without_disk(found, on, lambda: _fill(ballast), ballast.unlink, 20)
        return await settled(on, found)


def _fill(ballast: Path) -> None:
    """Write until nothing more fits."""
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass


async def database_read_only(chance: Random, port: int) -> Finding:
    """Database and journal may be read and not written."""
    _ = chance
    found = Finding(fault="database_read_only_20s", expected="no dial without a row, operators told, it resumes")
    async with stage(port, agents=8) as on:
        await on.leads(300, *MIXED)
        await on.start()
        path = on.loaded.resolve(on.loaded.config.database)
        files = [path, path.with_name(path.name + "-wal")]
        try:
            await _without_disk(
                found, on, lambda: _let_be_written(files, yes=False), lambda: _let_be_written(files, yes=True), 20
            )
        finally:
            _let_be_written(files, yes=True)
        return await settled(on, found)


def _let_be_written(files: Sequence[Path], *, yes: bool) -> None:
    """Or not, also by root and by who has them open."""
    subprocess.run(["chattr", "-i" if yes else "+i", *files], check=True)


# ── who is in charge, and leaving ────────────────────────────────────────────────────────────────────────────────


async def two_controllers(chance: Random, port: int) -> Finding:
    """A second engine on the same database, and another engine on the same Asterisk."""
    _ = chance
    found = Finding(
        fault="two_controllers", expected="the second refuses in one line; one that was replaced dials no more"
    )
    async with stage(port, agents=6) as on:
        await on.leads(150, *MIXED)
        await on.start()
        await talking(on, 2)
        second = await on.spawn(on.root / "second.log")
        code = await asyncio.wait_for(second.wait(), 20)
        said = (on.root / "second.log").read_text("utf-8").strip().splitlines()
        found.measured |= {"second_exit_code": code, "second_said_lines": len(said)}
        if code != 4 or len(said) != 1 or "another engine" not in said[0]:
            found.violations.append(f"the second engine did not refuse plainly: {said[-3:]}")
        secrets, url = on.asterisk.secrets, on.asterisk.instance.ari_url
        headers = {"Authorization": aiohttp.encode_basic_auth(secrets.ari_user, secrets.ari_password)}
        async with (
            aiohttp.ClientSession(headers=headers) as http,
            http.ws_connect(f"{url}/events", params={"app": "zvonar"}),
        ):
            found.measured["replaced_stops_ms"] = await on.until_ms(
                lambda view: "another engine" in view.switch, "the replaced engine stops"
            )
            await asyncio.sleep(0.5)
            count = Dials(on)
            await asyncio.sleep(5)
            found.measured["dials_of_the_replaced"] = count.since()
        await on.kill()
        await on.start()
        await on.until(lambda view: not view.switch, "connected")
        await talking(on, 2)
        within(found, replaced_stops_ms=2_000, dials_of_the_replaced=0)
        return await settled(on, found)


async def drained(talks: int, fates: tuple[str, ...], chance: Random, port: int) -> Finding:
    """`zvonar drain` under so many conversations; then twice."""
    _ = chance
    found = Finding(
        fault="drain",
        expected="no dial after `zvonar drain`, nobody cut, ends when they end; phones stay; a second ends now",
    )
    async with stage(port, agents=talks + 2) as on:
        await on.leads(300, *fates)
        await on.start()
        await talking(on, talks)
        found.measured["talking"] = on.now.talking
        assert "again ends it at once" in await on.zvonar("drain")
        began = time.monotonic()
        await asyncio.sleep(0.5)
        count = Dials(on)
        assert on.engine is not None
        code = await asyncio.wait_for(on.engine.wait(), 60)
        found.measured |= {"ended_after_s": round(time.monotonic() - began, 1), "dials_meanwhile": count.since()}
        if code:
            found.violations.append(f"exit code {code}")
        found.violations += await on.violations(at_rest=True)
        hung_up = Counter(entry.channel_id[:2] for entry in on.journal() if entry.kind == "HANGUP")
        await on.start()
        await on.until(lambda view: not view.switch and not view.agents.get("logged_out"), "agents are back")
        await talking(on, min(3, talks))
        await on.zvonar("drain")
        async with asyncio.timeout(10):
            while '"action":"drain"' not in on.log.read_text("utf-8"):
                await asyncio.sleep(0.05)
        began = time.monotonic()
        code = await on.end(20)  # by the signal itself: a command may need longer to start than the talks last
        found.measured["second_signal_ends_ms"] = round((time.monotonic() - began) * 1000)
        await on.start()
        await on.until(lambda view: not view.switch and not view.agents.get("logged_out"), "agents are back")
        after = Counter(entry.channel_id[:2] for entry in on.journal() if entry.kind == "HANGUP")
        found.measured["phones_hung_up"] = after["g."]
        if after["g."] or hung_up["g."]:
            found.violations.append("an agent's phone was let go")
        within(found, dials_meanwhile=0)
        return await settled(on, found)


Fault = Callable[[Random, int], Awaitable[Finding]]
FAULTS: Final[dict[str, Fault]] = {
    **{f"crash_{point}": partial(crash, point) for point in CRASH_POINTS},
    **{fault: partial(dead_at_answer, fault) for fault in ("dead_at_answer", BOTH_DEAD)},
    "left_the_file": left_the_file,
    "readopt_200": readopt_200,
    "sigstop_30s": stopped,
    "asterisk_killed_50_talks": partial(asterisk_killed, 50),
    "socket_aborts_100": socket_aborts,
    "ari_half_dead": half_dead,
    "ari_slow_700ms": slow,
    "dial_reply_lost": reply_lost,
    "listed_while_in_line": listed_meanwhile,
    "database_locked_60s": database_locked,
    "no_file_grows_20s": no_file_grows,
    **({"disk_full_20s": disk_full, "database_read_only_20s": database_read_only} if os.geteuid() == 0 else {}),
    "two_controllers": two_controllers,
    "medley_120s": medley,
    "drain": partial(drained, 6, ("04", "02", "01", "20")),
}
