"""SQL lives in its file; Python passes names, and passes all of them."""

from __future__ import annotations

import pytest

from engine.store.queries import Query, load, parse


def test_a_block_is_a_query_with_its_parameters() -> None:
    (query,) = parse("-- name: due\n-- why\nSELECT 'a:b', x::text FROM t WHERE a = :a AND b = :b;\n", "t.sql").values()
    assert (query.name, query.params) == ("due", ("a", "b"))
    assert query.sql == "SELECT 'a:b', x::text FROM t WHERE a = ?1 AND b = ?2"


def test_values_go_in_by_the_place_at_which_their_name_comes_first() -> None:
    query = parse("-- name: due\nSELECT :b, :a, :b", "t.sql")["due"]
    assert query.sql == "SELECT ?1, ?2, ?1"
    assert query.each([{"a": 1, "b": 2}, {"b": 4, "a": 3}]).rows == ((2, 1), (4, 3))


def test_all_parameters_are_given_and_no_others() -> None:
    query = parse("-- name: due\nSELECT :a", "t.sql")["due"]
    assert query(a=1).rows == ((1,),)
    for wrong in ({}, {"a": 1, "b": 2}, {"b": 2}):
        with pytest.raises(TypeError, match="query due"):
            query(**wrong)
        with pytest.raises(TypeError, match="query due"):
            query.each([{"a": 1}, wrong])


@pytest.mark.parametrize(
    ("text", "slip"),
    [
        ("SELECT 1;", r"t.sql:1: SQL before the first"),
        ("-- name: a\nSELECT 1;\n-- name: a\nSELECT 2;", r"t.sql:3: query a is there twice"),
    ],
)
def test_a_file_with_a_slip_is_refused_with_its_line(text: str, slip: str) -> None:
    with pytest.raises(ValueError, match=slip):
        parse(text, "t.sql")


def test_file_and_class_name_the_same_queries() -> None:
    class Wanted:
        append_audit: Query
        no_such_query: Query

    with pytest.raises(ValueError, match=r"dialing\.sql and Wanted differ.*no_such_query"):
        load(Wanted, "dialing.sql")
