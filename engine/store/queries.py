"""Named SQL: `-- name: due_leads` blocks with `:params` in `sql/*.sql`, bound to values and nothing else.

Python gives values by name; SQLite gets them by place (`?1`): it would look up each name at each call.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Final, TypeVar, get_type_hints

Value = str | int | float | bytes | None
Params = Mapping[str, Value]
Values = tuple[Value, ...]

_NAME: Final = re.compile(r"^-- name: ([a-z][a-z0-9_]*)$")
_PARAM: Final = re.compile(r"(?<![:\w]):([a-z][a-z0-9_]*)")
_DIRECTORY: Final = Path(__file__).parent / "sql"


@dataclass(frozen=True, slots=True)
class Statement:
    """A query with its values, once or for each of several rows: an order that any dialect can carry out."""

    query: Query
    rows: tuple[Values, ...]  # in the order of `query.params`


@dataclass(frozen=True, slots=True)
class Query:
    """One named block of SQL and the names of its parameters, of which the first is `?1` there."""

    name: str
    sql: str
    params: tuple[str, ...]
    in_order: Callable[[Params], Values]  # KeyError when one is missing

    def __call__(self, **params: Value) -> Statement:
        """Bind one row of values; TypeError unless exactly the query's parameters are given."""
        return Statement(self, (self._values(params),))

    def each(self, rows: Iterable[Params]) -> Statement:
        """Bind many rows of values: one statement, carried out for each."""
        return Statement(self, tuple(map(self._values, rows)))

    def _values(self, params: Params) -> Values:
        try:
            values = self.in_order(params)
        except KeyError:
            raise self._mismatch(params) from None
        if len(params) != len(values):
            raise self._mismatch(params)
        return values

    def _mismatch(self, params: Params) -> TypeError:
        wrong = ", ".join(sorted(set(self.params) ^ params.keys()))
        return TypeError(f"query {self.name}: missing or unknown parameters: {wrong}")


def parse(text: str, source: str) -> dict[str, Query]:
    """The named queries of one file's text. ValueError for SQL outside a block and for a name used twice."""
    blocks: dict[str, list[str]] = {}
    lines: list[str] | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        if match := _NAME.match(line):
            name = match.group(1)
            if name in blocks:
                raise ValueError(f"{source}:{number}: query {name} is there twice")
            lines = blocks[name] = []
        elif not line.strip() or line.lstrip().startswith("--"):
            continue
        elif lines is None:
            raise ValueError(f"{source}:{number}: SQL before the first `-- name:` line")
        else:
            lines.append(line)
    return {name: _query(name, "\n".join(body).strip().removesuffix(";")) for name, body in blocks.items()}


def _query(name: str, sql: str) -> Query:
    params = tuple(dict.fromkeys(_PARAM.findall(sql)))
    by_place = _PARAM.sub(lambda match: f"?{params.index(match[1]) + 1}", sql)
    return Query(name, by_place, params, _picker(params))


def _picker(names: Sequence[str]) -> Callable[[Params], Values]:
    if len(names) > 1:
        return itemgetter(*names)
    return lambda params: tuple(params[name] for name in names)  # of one name, `itemgetter` gives no tuple


Q = TypeVar("Q")


def load(names: type[Q], file: str) -> Q:
    """An instance of `names` (a class with one `Query` annotation per block) filled from `sql/<file>`.

    ValueError unless file and class name exactly the same queries, so that mypy knows every name.
    """
    queries = parse((_DIRECTORY / file).read_text(encoding="utf-8"), file)
    wanted = get_type_hints(names).keys()
    if differing := wanted ^ queries.keys():
        raise ValueError(f"{file} and {names.__name__} differ: {', '.join(sorted(differing))}")
    instance = names()
    for name, query in queries.items():
        setattr(instance, name, query)
    return instance
