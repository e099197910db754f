"""Two people on one card lose nothing, and two cards of one person become one, and two again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.core.model import AgentId, CampaignId, LeadId, LeadState, PhoneNumber, PhoneType
from engine.store.cards import Cards, Conflict, Edit, NotMergeable
from engine.store.imports import import_leads
from engine.verify import verify
from tests.contract.store_people import change, rows
from tests.fakes.office import Office, Person, office

LEAD = LeadId(1)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(tmp_path) as running:
        yield running


def edit(field: str, before: str, after: str, login: str = "olena") -> Edit:
    return Edit(lead=LEAD, field=field, before=before, after=after, login=login, at_ms=1)


async def test_a_value_changes_with_its_author_and_is_found_by_its_new_name(place: Office) -> None:
    cards = Cards(place.database)
    await cards.edit(edit("name", "Іваненко Петро", "Ёлкин Пётр"))
    await cards.edit(edit("city", "Київ", "Львів"))
    await cards.edit(edit("zone", "Europe/Kyiv", ""))
    await cards.edit(edit("Источник", "сайт", "реклама"))
    (card,) = await place.records.find_leads("елкин", campaigns=None, state=None, after=0, limit=5)
    assert (card.name, card.fields["city"], card.fields["Источник"], card.zone) == (
        "Ёлкин Пётр",
        "Львів",
        "реклама",
        None,
    )
    assert [(one.field, one.before, one.after) for one in await cards.edits(LEAD)][-1] == (
        "name",
        "Іваненко Петро",
        "Ёлкин Пётр",
    )


async def test_two_people_change_one_card_and_only_the_same_field_collides(place: Office) -> None:
    cards = Cards(place.database)
    await cards.edit(edit("city", "Київ", "Львів", "ivan"))
    await cards.edit(edit("product", "Вода 19 л", "Кулер"))
    with pytest.raises(Conflict) as found:
        await cards.edit(edit("city", "Київ", "Одеса"))
    assert found.value.edit is not None
    assert (found.value.edit.login, found.value.edit.after) == ("ivan", "Львів")
    card = await place.records.lead_card(LEAD)
    assert card is not None
    assert (card.fields["city"], card.fields["product"]) == ("Львів", "Кулер")


async def twin(place: Office) -> LeadId:
    """A second card with a number of the first, a new number and a field that the first lacks."""
    numbers = (PhoneNumber("+380671234501"), PhoneNumber("+380501112233"))
    person = Person(
        line=2,
        phones=numbers,
        name="П. Іваненко",
        zone=None,
        fields={"city": "Суми", "email": "p@example.com"},
        phone_types=(PhoneType.NOT_SAID, PhoneType.WORK),
    )
    await import_leads(place.database, CampaignId("autumn"), [person], file_name="two.xlsx", by="test", now_ms=5)
    (found,) = await Cards(place.database).twins(LEAD, None)
    return found


async def test_what_is_ticked_is_taken_from_the_other_card_until_the_merge_is_undone(place: Office) -> None:
    cards, other = Cards(place.database), await twin(place)
    await cards.merge(LEAD, other, "boss", 10, name_taken=True, taken=["city"])
    kept = await place.records.lead_card(LEAD)
    assert kept is not None
    assert (kept.name, kept.fields["city"], kept.fields["product"]) == ("П. Іваненко", "Суми", "Вода 19 л")
    assert [card.id for card in await place.records.find_leads("П. Іван", campaigns=None, state=None, after=0, limit=5)]
    (merge,) = await cards.merges(LEAD)
    await cards.unmerge(merge, "boss", 20)
    kept = await place.records.lead_card(LEAD)
    assert kept is not None
    assert (kept.name, kept.fields["city"]) == ("Іваненко Петро", "Київ")


async def test_two_cards_become_one_and_two_again(place: Office) -> None:
    cards, other = Cards(place.database), await twin(place)
    before = [await place.records.lead_card(lead) for lead in (LEAD, other)]
    await cards.merge(LEAD, other, "boss", 10)
    kept, merged = await place.records.lead_card(LEAD), await place.records.lead_card(other)
    assert kept is not None
    assert merged is not None
    assert [(phone.number.e164, phone.type.value) for phone in kept.phones] == [
        ("+380671234501", ""),
        ("+380501112233", "work"),
    ]
    assert (kept.name, kept.fields["city"], kept.fields["email"]) == ("Іваненко Петро", "Київ", "p@example.com")
    assert merged.state is LeadState.CLOSED
    assert await cards.twins(LEAD, None) == ()
    with pytest.raises(NotMergeable):
        await cards.merge(LEAD, other, "boss", 11)
    (merge,) = await cards.merges(LEAD)
    await cards.unmerge(merge, "boss", 20)
    assert [await place.records.lead_card(lead) for lead in (LEAD, other)] == before
    assert [row.action for row in await place.records.audit_page() if row.action.startswith("leads_")][:2] == [
        "leads_unmerged",
        "leads_merged",
    ]


async def promise(place: Office, lead: LeadId, due_ms: int) -> None:
    """Olena has promised to call."""
    await change(
        place.database,
        "INSERT INTO callbacks"
        " (lead_id, campaign_id, promised_at_ms, due_at_ms, owner, state, created_at_ms, created_by)"
        " SELECT id, campaign_id, :due, :due, 'olena', 'scheduled', :due, 'olena' FROM leads WHERE id = :lead",
        lead=lead,
        due=due_ms,
    )
    await change(
        place.database,
        "UPDATE leads SET state = 'callback', next_at_ms = :due, owner = 'olena', hold = 'later' WHERE id = :lead",
        lead=lead,
        due=due_ms,
    )


async def promises(place: Office) -> list[tuple[object, ...]]:
    return [
        tuple(row)
        for row in await rows(
            place.database, "SELECT lead_id, due_at_ms FROM callbacks WHERE closed_at_ms IS NULL ORDER BY lead_id"
        )
    ]


async def states(place: Office) -> list[tuple[object, ...]]:
    return [
        tuple(row)
        for row in await rows(place.database, "SELECT id, state, next_at_ms, owner, hold FROM leads ORDER BY id")
    ]


@pytest.mark.parametrize("kept_too", [False, True], ids=["one_promise", "two_promises"])
async def test_a_promised_call_goes_along_with_the_card_and_comes_back_with_it(place: Office, kept_too: bool) -> None:
    cards, other, due_ms = Cards(place.database), await twin(place), place.clock.now_ms() + 3_600_000
    await promise(place, other, due_ms)
    if kept_too:
        await promise(place, LEAD, due_ms + 1)
    before, promised = await states(place), await promises(place)
    await cards.merge(LEAD, other, "boss", 10)
    await no_promise_is_broken(place)
    assert await promises(place) == [(LEAD, due_ms + kept_too)]
    assert (await states(place))[0][1:4] == ("callback", due_ms + kept_too, "olena")
    (merge,) = await cards.merges(LEAD)
    await cards.unmerge(merge, "boss", 20)
    await no_promise_is_broken(place)
    assert (await states(place), await promises(place)) == (before, promised)


async def test_who_was_called_back_on_the_card_that_stayed_is_not_called_back_again(place: Office) -> None:
    cards, other, due_ms = Cards(place.database), await twin(place), place.clock.now_ms() + 3_600_000
    await promise(place, other, due_ms)
    await cards.merge(LEAD, other, "boss", 10)
    await change(
        place.database, "UPDATE callbacks SET state = 'done', closed_at_ms = :at, closed_by = 'a.1'", at=due_ms
    )
    await change(place.database, "UPDATE leads SET state = 'closed', hold = 'sale' WHERE id = :lead", lead=LEAD)
    (merge,) = await cards.merges(LEAD)
    await cards.unmerge(merge, "boss", 20)
    await no_promise_is_broken(place)
    assert await promises(place) == []
    ours, *_, theirs = await states(place)
    assert (ours[1], ours[4], theirs[1]) == ("closed", "sale", "closed")


async def no_promise_is_broken(place: Office) -> None:
    assert await verify(place.database, now_ms=place.clock.now_ms()) == []


async def test_tags_and_owner_change_like_any_other_value(place: Office) -> None:
    cards = Cards(place.database)
    await cards.edit(edit("tags", "", "VIP, опт"))
    await cards.edit(edit("owner", "", "olena"))
    card = await place.records.lead_card(LEAD)
    assert card is not None
    assert (card.tags, card.keeper) == (("vip", "опт"), "olena")
    with pytest.raises(Conflict):
        await cards.edit(edit("tags", "", "другое"))
    with pytest.raises(Conflict):
        await cards.edit(edit("owner", "", "ivan"))
    await cards.edit(edit("tags", "опт; vip", "опт"))  # however its author writes it
    of_tag = [
        [one.id for one in await place.records.find_leads(text, campaigns=None, state=None, after=0, limit=5, tag=tag)]
        for text, tag in (("", "опт"), ("", "vip"), ("петро", "опт"), ("петро", "vip"), ("опт", ""))
    ]
    assert of_tag == [[LEAD], [], [LEAD], [], [LEAD]]
    mine = await place.records.find_leads("", campaigns=None, state=None, after=0, limit=5, keeper=AgentId("olena"))
    assert [one.id for one in mine] == [LEAD]
    assert await place.records.tags() == ("опт",)
    await cards.edit(edit("owner", "olena", ""))
    card = await place.records.lead_card(LEAD)
    assert card is not None
    assert card.keeper is None


async def test_a_merged_card_has_the_tags_of_both_until_it_is_undone(place: Office) -> None:
    cards, other = Cards(place.database), await twin(place)
    await cards.edit(edit("tags", "", "опт"))
    await cards.edit(replace(edit("tags", "", "vip"), lead=other))
    await cards.edit(replace(edit("owner", "", "olena"), lead=other))
    before = await place.records.lead_card(LEAD)
    await cards.merge(LEAD, other, "boss", 10)
    kept = await place.records.lead_card(LEAD)
    assert kept is not None
    assert (kept.tags, kept.keeper) == (("vip", "опт"), "olena")
    (merge,) = await cards.merges(LEAD)
    await cards.unmerge(merge, "boss", 20)
    assert await place.records.lead_card(LEAD) == before
