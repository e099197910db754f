"""No query walks a table that grows: with a million leads each must still be a few steps down an index."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.store import clientorders, dnc, imports, partners, records, search, store
from engine.store.database import InlineDatabase, connect
from engine.store.queries import Query

GROWING = (
    "leads",
    "phones",
    "attempts",
    "calls",
    "dispositions",
    "callbacks",
    "agent_log",
    "audit",
    "suppressions",
    "client_orders",
    "client_order_versions",
)
#: Walks that are meant: only what is open, or a sample, is in these partial indexes; the audit is read from its end.
MEANT = {
    "open_attempts": "SCAN a USING INDEX attempts_open_lead",
    "undisposed_attempts": "SCAN c USING INDEX calls_undisposed",
    "append_audit": "SCAN audit",
    "forget_imported": "SCAN m",  # the merges that people made by hand
    "leads_to_index": "SCAN u",  # from the end of what waits
    "append_audit_once": "SCAN audit",
    "checked_verdicts": "SEARCH a USING INDEX attempts_checked (campaign_id=?)",
    "agent_times": "SCAN g USING COVERING INDEX sqlite_autoindex_agents_1",  # the agents, a few hundred
}
#: These read one end of a campaign's part of an index and stop.
ENDS = {"leave_line", "next_times", "zones_in_line"}
#: Counts walk one campaign's part of an index; a page asks for them once in a while.
COUNTS = {"count_leads", "held_by_rule", "due_in_line", "count_due"}
QUERIES: dict[str, Query] = {
    name: query
    for module in (store, records, imports, dnc, search, partners, clientorders)
    for name, query in vars(module.SQL).items()
}


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    path: Path = tmp_path_factory.mktemp("plans") / "zvonar.db"
    with InlineDatabase.open(path, now_ms=0, durable=False):
        connection = connect(path)
        yield connection
        connection.close()


@pytest.mark.parametrize("name", sorted(QUERIES))
def test_the_query_goes_by_an_index(connection: sqlite3.Connection, name: str) -> None:
    query = QUERIES[name]
    plan = connection.execute("EXPLAIN QUERY PLAN " + query.sql, [None] * len(query.params)).fetchall()
    walks = [row["detail"] for row in plan if _walks(row["detail"]) and row["detail"] != MEANT.get(name)]
    assert name in COUNTS | ENDS or not walks


def _walks(step: str) -> bool:
    if "VIRTUAL TABLE INDEX" in step and ":M" in step:  # the words' own index, asked for a match
        return False
    scanned = re.match(r"SCAN (\w+)( |$)", step)
    a_whole_campaign = step.endswith("(campaign_id=?)") and " lines " not in step
    return a_whole_campaign or "AUTOMATIC" in step or bool(scanned and _grows(scanned.group(1)))


def _grows(table: str) -> bool:
    return table in GROWING or (len(table) == 1 and table not in "jz")  # a one-letter name is a table's alias
