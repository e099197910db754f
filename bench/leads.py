"""Leads by the million: import beside the bare floor, claiming, explaining, and what an import does to live calls.

    python -m bench.leads [--sizes 10000,100000,1000000] [--lag-rows 500000]

For each size one file is made (names, cities, numbers as people write them, one row in fifty a duplicate), and in turn

- `floor`: Python's csv reader and `executemany` of ready values into the same tables, indexes and durability, with
  nothing read, decided, folded or compared: what SQLite itself costs here;
- the import, as `zvonar import` does it; its memory is that of both its processes at their largest, added up;
- on that database, most of whose leads are then made undialable (called today, closed, on a list, asleep in their
  zones): putting those whose time has come in line, a piece with its commit; then the next 10 leads, the explanation of
  one, and the panel of why the others are not dialed, while leads are claimed.

`cpu us` and `reader us` are processor time per row in the importing and in the reading process, which go on at once: on
an idle machine with two processors the slower of them is the import's time.

`--lag-rows` are imported beside a loop that wants to wake every 5 ms; how late it wakes is the lag. Times are wall
clock: on a busy machine compare with the floor of the same run. The last line is RESULT and JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import os
import random
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, Final

from engine.config import Loaded, parse
from engine.core.model import CampaignId, LeadId
from engine.explain import Held, explain, why_not
from engine.leads.files import import_file, meaning_of
from engine.store.database import AioDatabase, connect
from engine.store.dnc import DoNotCall
from engine.store.folding import fold
from engine.store.records import Records
from engine.store.search import INDEXED_MAX, index_leads
from engine.store.store import LINE_UP_MAX, LineUp, Store

CAMPAIGN: Final = CampaignId("spring")
NOW_MS: Final = 1_763_971_200_000  # a Monday, 10:00 in Kyiv
CLAIMS: Final = 500
#: Words and parts of numbers, common and rare.
SEARCHES: Final = ("королев", "шев фед", "шевченко алена", "123", "4567", "067 123 45 67", "99999", "иван")
EXPLAINED: Final = 300
PANELS: Final = 5
LAG_EVERY_S: Final = 0.005
FLOOR_CHUNK: Final = 1_000
FIRST: Final = ("Олена", "Іван", "Марія", "Петро", "Анна", "Тарас", "Юлія", "Сергій", "Наталія", "Алёна", "Фёдор")
LAST: Final = (
    "Шевченко",
    "Коваль",
    "Бондар",
    "Мельник",
    "Іваненко",
    "Петров",
    "Сидорова",
    "Яровая",
    "Ґонта",
    "Королёв",
)
CITIES: Final = ("Київ", "Львів", "Одеса", "Дніпро", "Харків", "Москва", "Самара", "Новосибирск", "Владивосток", "")
CODES: Final = ("39", "50", "63", "66", "67", "68", "73", "93", "95", "96", "97", "98", "99")

BLOCKED: Final = (
    """UPDATE leads SET state = 'retry', attempts_count = 1, hold = 'retry:no_answer:1:3',
       next_at_ms = :now_ms + 3600000 + id * 37 % 86400000 WHERE id % 10 BETWEEN 1 AND 6""",
    "UPDATE leads SET state = 'closed', hold = 'disposition:sale' WHERE id % 10 IN (7, 8)",
    """UPDATE leads SET state = 'callback', next_at_ms = :now_ms + 60000 + id * 11 % 86400000 WHERE id % 20 = 9""",
)

COLUMNS: Final = {
    "floor/s": "floor",
    "import/s": "rows_per_s",
    "cpu us": "cpu_us",
    "reader us": "reader_cpu_us",
    "MB": "rss_mb",
    "lag p99": "lag_p99_ms",
    "line up": "line_up_p99_ms",
    "claim p50": "claim_p50_ms",
    "claim p99": "claim_p99_ms",
    "explain": "explain_p99_ms",
    "why not": "why_not_ms",
    "search": "search_max_ms",
}

CONFIG: Final = """
asterisk: {managed: no}
trunks: {carrier: {host: 127.0.0.1:5170, lines_max: 20, calls_per_second_max: 50}}
phones: {101: {}}
agents: {anna: {name: Anna, phone: 101, campaigns: [spring]}}
dispositions: {sale: {labels: {ru: Продажа, uk: Продаж, en: Sale}, kind: final}}
lead_fields:
  city: {labels: {ru: Город, uk: Місто, en: City}}
  product: {labels: {ru: Товар, uk: Товар, en: Product}}
campaigns:
  spring:
    name: Spring
    pacing: {mode: progressive}
    trunks: [carrier]
    attempts: {max: 5, otherwise: 1h}
    zone: Europe/Kyiv
    hours: {daily: "09:00-20:00"}
    dispositions: [sale]
"""


def settings() -> Loaded:
    """The bench's configuration."""
    loaded = parse(CONFIG, Path("config.yaml"))
    assert isinstance(loaded, Loaded), loaded
    return loaded


# ── the file ─────────────────────────────────────────────────────────────────────────────────────────────────────


def rows_of_file(count: int) -> Iterator[tuple[str, str, str, str]]:
    """Name, number as written, city, product."""
    chance = random.Random(count)
    for n in range(count):
        who = n - 49 if n % 50 == 49 else n  # somebody who is in the file already
        digits = f"{CODES[who % 13]}{who * 7_919 % 10_000_000:07d}"
        match who % 5:
            case 0:
                number = f"+380{digits}"
            case 1:
                number = f"0{digits[:2]} {digits[2:5]} {digits[5:7]} {digits[7:]}"
            case 2:
                number = f"380{digits}"
            case 3:
                number = f"(0{digits[:2]}) {digits[2:5]}-{digits[5:]}"
            case _:
                number = f"8 ({910 + who % 20}) {who // 100 % 1000:03d}-{who // 100_000 % 100:02d}-{who % 97:02d}"
        yield f"{chance.choice(LAST)} {chance.choice(FIRST)}", number, chance.choice(CITIES), "Вода 19 л"


def write_file(path: Path, count: int) -> None:
    """The lead file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(("Имя", "Телефон", "Город", "Товар"))
        writer.writerows(rows_of_file(count))


# ── in processes of their own, so that memory is each one's ──────────────────────────────────────────────────────


async def run_floor(file: Path, path: Path) -> dict[str, float]:
    """csv and executemany, and nothing else."""
    async with AioDatabase.open(path, now_ms=NOW_MS):
        pass
    began = time.perf_counter()
    count = 0
    with closing(connect(path)) as connection, file.open(encoding="utf-8", newline="") as text:
        reader = csv.reader(text, delimiter=";")
        next(reader)
        while chunk := list(islice(reader, FLOOR_CHUNK)):
            connection.execute("BEGIN IMMEDIATE")
            leads = [(count + n, name, fold(name), city) for n, (name, _, city, _) in enumerate(chunk, 1)]
            numbers = [(count + n, f"+{count + n:012d}") for n in range(1, len(chunk) + 1)]
            connection.executemany(
                "INSERT INTO leads (id, campaign_id, name, name_folded, zone, created_at_ms, updated_at_ms)"
                " VALUES (?, 'spring', ?, ?, ?, 0, 0)",
                leads,
            )
            connection.executemany("INSERT INTO phones (lead_id, position, number) VALUES (?, 0, ?)", numbers)
            connection.execute("COMMIT")
            count += len(chunk)
    return {"rows_per_s": count / (time.perf_counter() - began)}


async def run_import(file: Path, path: Path) -> dict[str, float]:
    """The import as the shell does it, beside a loop that wants to wake."""
    lags: list[float] = []

    async def wake() -> None:
        while True:
            wanted = time.perf_counter() + LAG_EVERY_S
            await asyncio.sleep(LAG_EVERY_S)
            lags.append((time.perf_counter() - wanted) * 1_000)

    async with AioDatabase.open(path, now_ms=NOW_MS) as database:
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            waking = group.create_task(wake(), name="wake")
            report = await import_file(
                database,
                file,
                campaign=CAMPAIGN,
                meaning=meaning_of(settings().config),
                file_name=file.name,
                by="bench",
                now_ms=NOW_MS,
            )
            took_s = time.perf_counter() - began
            waking.cancel()
    assert report.counts.rejects == 0, report.rejects[:3]
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu_us = [(usage.ru_utime + usage.ru_stime) / report.counts.rows * 1e6 for usage in usages]
    rss_kb = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {
        "rows_per_s": report.counts.rows / took_s,
        "duplicates": report.counts.duplicates,
        "cpu_us": cpu_us[0],
        "reader_cpu_us": cpu_us[1],
        "rss_mb": rss_kb / 1024,
        "lag_p50_ms": share(lags, 0.5),
        "lag_p99_ms": share(lags, 0.99),
        "lag_max_ms": max(lags),
    }


RUNS: Final[dict[str, Callable[[Path, Path], Coroutine[Any, Any, dict[str, float]]]]] = {
    "floor": run_floor,
    "import": run_import,
}


def apart(what: str, file: Path, path: Path) -> dict[str, float]:
    """One of `RUNS` in a process of its own."""
    command = [sys.executable, "-m", "bench.leads", "--run", what, str(file), str(path)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    said: dict[str, float] = json.loads(done.stdout)
    return said


# ── claims and explanations ──────────────────────────────────────────────────────────────────────────────────────


def block_most(path: Path) -> None:
    """Of ten leads six wait for tomorrow, two are closed, one half is promised a call later; the rest may be dialed."""
    with closing(sqlite3.connect(path)) as connection:
        connection.create_function("chain_hash", 7, lambda *_: "")
        connection.create_function("sealed", 1, lambda _: None)
        for change in BLOCKED:
            connection.execute(change, {"now_ms": NOW_MS})
        connection.commit()


async def claims_of(database: AioDatabase, loaded: Loaded) -> list[float]:
    """Milliseconds for the next 10 leads, as the engine asks: each time without those it holds."""
    store = Store(database)
    line = LineUp.of(loaded.policy.campaigns[CAMPAIGN])
    held: list[LeadId] = []
    took: list[float] = []
    for _ in range(CLAIMS):
        began = time.perf_counter()
        fetched = await store.due_leads(CAMPAIGN, NOW_MS, 10, held, 0, line)
        took.append((time.perf_counter() - began) * 1_000)
        held = [*held, *(lead.id for lead in fetched.leads)][-200:]
    return took


async def measure(path: Path, count: int) -> dict[str, float]:
    """Claims, explanations and the panel on an imported database."""
    loaded = settings()
    block_most(path)
    chance = random.Random(1)
    async with AioDatabase.open(path, now_ms=NOW_MS) as database:
        numbers = [
            lead.phones[0].number for lead in (await Store(database).leads(map(LeadId, range(1, 1_000, 97)))).values()
        ]
        await DoNotCall(database).add(numbers, reason="asked", by="bench", at_ms=NOW_MS)
        line = LineUp.of(loaded.policy.campaigns[CAMPAIGN])
        began = time.perf_counter()
        await Store(database).due_leads(CAMPAIGN, NOW_MS, 10, (), 0, line)
        first_ms = (time.perf_counter() - began) * 1_000
        pieces, more = [], LINE_UP_MAX
        while more == LINE_UP_MAX:  # as the engine does it beside dialing
            began = time.perf_counter()
            more = await Store(database).line_up(CAMPAIGN, line.order, NOW_MS)
            pieces.append((time.perf_counter() - began) * 1_000)
        await claims_of(database, loaded)  # warm, as while dialing
        claims = await claims_of(database, loaded)
        explained, panels, searches = [], [], []
        for _ in range(EXPLAINED):
            began = time.perf_counter()
            await explain(database, loaded.policy, LeadId(chance.randint(1, count * 9 // 10)), NOW_MS)
            explained.append((time.perf_counter() - began) * 1_000)
        began = time.perf_counter()
        while await index_leads(database) == INDEXED_MAX:
            pass
        indexed_per_s = count / (time.perf_counter() - began)
        for text in SEARCHES * 3:
            began = time.perf_counter()
            await Records(database).search_leads(text, 10)
            searches.append((time.perf_counter() - began) * 1_000)
        held: list[Held] = []
        for _ in range(PANELS):
            async with asyncio.TaskGroup() as group:
                dialing = group.create_task(claims_of(database, loaded), name="dialing")
                began = time.perf_counter()
                held = await why_not(database, loaded.policy.campaigns[CAMPAIGN], NOW_MS)
                panels.append((time.perf_counter() - began) * 1_000)
                dialing.cancel()
        assert sum(one.count for one in held) > count * 0.9, "the panel's counts add up to the list"
    return {
        "claim_first_ms": first_ms,
        "line_up_p99_ms": share(pieces, 0.99),
        "claim_p50_ms": share(claims, 0.5),
        "claim_p99_ms": share(claims, 0.99),
        "explain_p99_ms": share(explained, 0.99),
        "why_not_ms": max(panels),
        "search_max_ms": max(searches),
        "indexed_per_s": indexed_per_s,
    }


def share(values: Sequence[float], part: float) -> float:
    """The value that this part of them does not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * part))] if values else 0.0


def name_of(size: int) -> str:
    """10k, 100k, 1m."""
    return f"{size // 1_000_000}m" if size >= 1_000_000 else f"{size // 1_000}k"


def main() -> None:
    """Measure and print."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--sizes", default="10000,100000,1000000")
    words.add_argument("--lag-rows", type=int, default=500_000)
    words.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    asked = words.parse_args()
    if asked.run:
        what, file, path = asked.run
        print(json.dumps(asyncio.run(RUNS[what](Path(file), Path(path)))))
        return
    result: dict[str, float] = {}
    cpus = len(os.sched_getaffinity(0))
    print(f"{cpus} processors, load {os.getloadavg()[0]:.1f}, SQLite {sqlite3.sqlite_version}")
    print(" ".join(f"{head:>9}" for head in ("leads", *COLUMNS)))
    sizes = [int(size) for size in asked.sizes.split(",")]
    with tempfile.TemporaryDirectory(prefix="zvonar-bench-") as folder:
        for size in sizes:
            file = Path(folder) / f"{size}.csv"
            write_file(file, size)
            floor = apart("floor", file, Path(folder) / f"{size}-floor.db")["rows_per_s"]
            (Path(folder) / f"{size}-floor.db").unlink()
            path = Path(folder) / f"{size}.db"
            done = apart("import", file, path)
            asked_of = asyncio.run(measure(path, size))
            name = name_of(size)
            result |= {f"import_rows_per_s_{name}": done["rows_per_s"], f"floor_rows_per_s_{name}": floor}
            result |= {f"import_cpu_us_{name}": done["cpu_us"], f"reader_cpu_us_{name}": done["reader_cpu_us"]}
            result |= {f"import_rss_mb_{name}": done["rss_mb"], f"loop_lag_p99_ms_{name}": done["lag_p99_ms"]}
            result |= {f"{what.removesuffix('_ms')}_ms_{name}": value for what, value in asked_of.items()}
            said = {"floor": floor, **done, **asked_of}
            figures = [said[key] for key in COLUMNS.values()]
            print(f"{size:>9} " + " ".join(f"{x:>9.{0 if x > 1_000 else 2}f}" for x in figures), flush=True)
            for made in Path(folder).glob(f"{size}*"):
                made.unlink()
        if asked.lag_rows:
            file = Path(folder) / "lag.csv"
            write_file(file, asked.lag_rows)
            lag = apart("import", file, Path(folder) / "lag.db")
            result["loop_lag_p99_ms"] = lag["lag_p99_ms"]
            print(
                f"lag while {asked.lag_rows} are imported: p50 {lag['lag_p50_ms']:.1f}, p99 {lag['lag_p99_ms']:.1f},"
                f" at most {lag['lag_max_ms']:.1f} ms; {lag['rows_per_s']:.0f} rows/s"
            )
    most = name_of(max(sizes))
    for key in ("import_rows_per_s", "import_rss_mb"):
        result[key] = result[f"{key}_{most}"]
    for name in map(name_of, sizes):
        result[f"explain_ms_{name}"] = result[f"explain_p99_ms_{name}"]
    print("RESULT " + json.dumps({key: round(value, 2) for key, value in sorted(result.items())}))


if __name__ == "__main__":
    main()
