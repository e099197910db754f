"""Named SQL: `-- name: due_leads` blocks with `:params` in `sql/*.sql`, bound to values and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar, get_type_hints

Value = str | int | float | bytes | None
Params = Mapping[str, Value]

_NAME: Final = re.compile(r"^-- name: ([a-z][a-z0-9_]*)$")
_PARAM: Final = re.compile(r"(?<![:\w]):([a-z][a-z0-9_]*)")
_DIRECTORY: Final = Path(__file__).parent / "sql"


@dataclass(frozen=True, slots=True)
class Statement:
    """A query with its values, once or for each of several rows: an order that any dialect can carry out."""

    query: Query
    rows: tuple[Params, ...]


@dataclass(frozen=True, slots=True)
class Query:
    """One named block of SQL and the names of its parameters."""

    name: str
    sql: str
    params: frozenset[str]

    def __call__(self, **params: Value) -> Statement:
        """Bind one row of values; TypeError unless exactly the query's parameters are given."""
        self._check(params)
        return Statement(self, (params,))

    def each(self, rows: Iterable[Params]) -> Statement:
        """Bind many rows of values: one statement, carried out for each."""
        bound = tuple(rows)
        for params in bound:
            self._check(params)
        return Statement(self, bound)

    def _check(self, params: Params) -> None:
        if params.keys() != self.params:
            wrong = ", ".join(sorted(self.params ^ params.keys()))
            raise TypeError(f"query {self.name}: missing or unknown parameters: {wrong}")


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
    return Query(name, sql, frozenset(_PARAM.findall(sql)))


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
