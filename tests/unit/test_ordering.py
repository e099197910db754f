"""The order in which leads stand in line."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.core.ordering import (
    ByAge,
    ByAttempts,
    ByDue,
    ByPriority,
    ByValue,
    Mix,
    Order,
    Standing,
    place,
)

A_LEAD = st.builds(
    Standing,
    priority=st.integers(-50, 50),
    attempts_count=st.integers(0, 100),
    next_at_ms=st.integers(0, 2**42),
    created_at_ms=st.integers(0, 2**42),
    zone=st.sampled_from(["Europe/Kyiv", "Asia/Tokyo", ""]),
    fields=st.fixed_dictionaries({"product": st.sampled_from(["Premium", "standard", "other", ""])}),
)


def first(order: Order, *leads: Standing) -> list[int]:
    """The leads' numbers, the next one to dial first."""
    turns: dict[str, int] = {}
    places = [place(order, lead, turns) for lead in leads]
    return sorted(range(len(leads)), key=lambda n: (places[n], n))


@given(st.lists(A_LEAD, min_size=2, max_size=20))
def test_the_parts_count_in_their_order_and_ties_go_by_id(leads: list[Standing]) -> None:
    order = (
        ByValue("product", ("premium", "Standard")),
        ByPriority(),
        ByAttempts(fewest=True),
        ByAge(newest=True),
        ByDue(),
    )
    ranks = {"Premium": 0, "standard": 1}

    def said(n: int) -> tuple[int, ...]:
        lead = leads[n]
        rank = ranks.get(lead.fields["product"], 2)
        return rank, -lead.priority, lead.attempts_count, -lead.created_at_ms, lead.next_at_ms, n

    assert first(order, *leads) == sorted(range(len(leads)), key=said)


def test_sources_take_turns_in_their_shares_however_they_came() -> None:
    order = (Mix("partner", (("a", 3), ("b", 1))),)
    leads = [Standing(fields={"partner": "A"})] * 30 + [Standing(fields={"partner": "b"})] * 30
    served = first(order, *leads)
    assert [sum(n < 30 for n in served[:size]) for size in (4, 20, 40)] == [3, 15, 30]


def test_most_tried_and_oldest_may_come_first_too() -> None:
    assert first((ByAttempts(fewest=False),), Standing(attempts_count=1), Standing(attempts_count=2)) == [1, 0]
    assert first((ByAge(newest=False),), Standing(created_at_ms=2), Standing(created_at_ms=1)) == [1, 0]
    assert first((ByValue("zone", ("Asia/Tokyo",)),), Standing(zone="Europe/Kyiv"), Standing(zone="Asia/Tokyo")) == [
        1,
        0,
    ]


def test_the_best_of_a_leads_tags_counts() -> None:
    vip, both, none = Standing(tags=("vip",)), Standing(tags=("опт", "розница")), Standing()
    assert first((ByValue("tag", ("опт", "VIP")),), none, vip, both) == [2, 1, 0]
    leads = [Standing(tags=("новый", "сайт"))] * 30 + [Standing(tags=("акция",))] * 30
    served = first((Mix("tag", (("Сайт", 3), ("акция", 1))),), *leads)
    assert [sum(n < 30 for n in served[:size]) for size in (4, 20, 40)] == [3, 15, 30]
