"""Why leads are not dialed: the counts add up to the list, and each group opens its own leads and no others."""

from __future__ import annotations

import random
import sqlite3

import pytest

from engine.core.attempts import explain
from engine.core.model import CampaignId, LeadId, LeadState
from engine.core.ordering import USUAL
from engine.explain import held_leads, why_not
from engine.phones import zones_of
from engine.store.database import Database
from engine.store.store import Store
from tests.conversation import MONDAY_MS, OFFICE_HOURS, campaign

SPRING = CampaignId("spring")
LEADS = 400
HOUR_MS = 3_600_000
ZONES = [None, "Europe/Kyiv", "America/New_York", "Asia/Tokyo", "Asia/Vladivostok"]
HOLDS = ["", "retry:busy:1:3", "attempts_used:5:5", "law_limit:law@2:attempt:2:2:day", "disposition:refusal"]


def fill(path: str, chance: random.Random) -> None:
    rows = [
        (
            id_,
            SPRING if chance.random() < 0.9 else "autumn",
            chance.choice(list(LeadState)).value,
            chance.choice(ZONES),
            chance.choice(HOLDS),
            MONDAY_MS + chance.randint(-30, 30) * HOUR_MS,
        )
        for id_ in range(1, LEADS + 1)
    ]
    with sqlite3.connect(path) as connection:
        connection.executemany(
            "INSERT INTO leads (id, campaign_id, state, zone, hold, next_at_ms, created_at_ms, updated_at_ms) "
            "VALUES (?, ?, ?, ?, ?, ?, 0, 0)",
            rows,
        )
    connection.close()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("lined_up", [True, False])
async def test_the_counts_add_up_and_open_their_leads(database: Database, seed: int, lined_up: bool) -> None:
    chance = random.Random(seed)
    fill(database.path, chance)
    if lined_up:
        await Store(database).line_up(SPRING, USUAL, MONDAY_MS)
    spring = campaign(hours=OFFICE_HOURS)
    held = await why_not(database, spring, MONDAY_MS)
    ours = {
        id_ for (id_,) in sqlite3.connect(database.path).execute("SELECT id FROM leads WHERE campaign_id = 'spring'")
    }
    assert sum(one.count for one in held) == len(ours)
    seen: set[int] = set()
    for one in held:
        leads = await held_leads(database, spring, one, MONDAY_MS, limit=LEADS)
        assert len(leads) == one.count, one
        assert not seen & set(leads)
        seen |= set(leads)
    assert seen == ours


async def test_a_lead_stands_under_the_rule_that_holds_it(database: Database) -> None:
    fill(database.path, random.Random(9))
    spring, found = campaign(hours=OFFICE_HOURS), {}
    for one in await why_not(database, spring, MONDAY_MS):
        for id_ in await held_leads(database, spring, one, MONDAY_MS, limit=LEADS):
            found[id_] = one.rule.split(":")[0]
    for id_, lead in (await Store(database).leads(found)).items():
        said = explain(lead, spring, MONDAY_MS).blocking
        of_many = {"lead_is", "not_due", "calling_hours"}  # the others are asked when its turn comes
        assert found[id_] == (said.code if said is not None and said.code in of_many else "")


async def test_who_may_be_in_several_zones_stands_under_the_hours_of_all_of_them(database: Database) -> None:
    rows = [(1, "+79161234567"), (2, "+74951234567"), (3, "+380671234567")]
    with sqlite3.connect(database.path) as connection:
        connection.executemany(
            "INSERT INTO leads (id, campaign_id, created_at_ms, updated_at_ms) VALUES (?, 'spring', 0, 0)",
            [(id_,) for id_, _ in rows],
        )
        connection.executemany("INSERT INTO phones (lead_id, position, number) VALUES (?, 0, ?)", rows)
    connection.close()
    await Store(database, zones_of=zones_of).line_up(SPRING, USUAL, MONDAY_MS)
    spring = campaign(hours=OFFICE_HOURS)
    held = {one.rule: one for one in await why_not(database, spring, MONDAY_MS)}
    (several,) = {rule for rule in held if rule}  # a Russian mobile may be in Kamchatka, where it is night
    assert several.startswith("hours_in_each:")
    assert (held[several].count, held[""].count) == (1, 2)
    assert await held_leads(database, spring, held[several], MONDAY_MS, limit=LEADS) == [1]
    asked = (await Store(database, zones_of=zones_of).leads([LeadId(1)]))[LeadId(1)]
    verdict = explain(asked, spring, MONDAY_MS)
    assert (str(verdict.blocking), verdict.next_at_ms) == (several, held[several].next_at_ms)
