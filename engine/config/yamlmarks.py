"""YAML as a person means it, and where in the file every value stands.

The stock loader follows YAML 1.1: `20:00` becomes 1200, `+380…` loses its plus, `no` becomes False, and the second of
two equal keys silently wins. Here only what is plainly nothing, true, false or a number is not text; keys are always
text; a repeated key is a problem. The value is JSON-shaped; `!env NAME` becomes `{"!env": "NAME"}`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import yaml

Path: TypeAlias = tuple[str | int, ...]

ENV: Final = "!env"
DEPTH_MAX: Final = 20
NODES_MAX: Final = 50_000  # aliases count each time they are used: no small file unfolds into a huge one

_CORE: Final = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place in the file; both count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class YamlProblem:
    """What is wrong with the text itself."""

    mark: Mark
    path: Path
    message: str


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON-shaped value and the marks of its parts."""

    value: Any
    marks: Mapping[Path, Mark]
    problems: tuple[YamlProblem, ...]

    def mark(self, path: Path) -> Mark:
        """Where `path` stands: its key, or the item itself in a list; the nearest parent if it is not there."""
        while path not in self.marks:
            path = path[:-1]
        return self.marks[path]


def dotted(path: Path) -> str:
    """A path in words: `campaigns.spring.attempts.max`."""
    return ".".join(str(part) for part in path)


class _Loader(yaml.SafeLoader):
    """The parser of the stock loader with resolvers of our own."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"|~|null|Null|NULL", ["", "~", "n", "N"]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    # No leading plus or zero: those are telephone numbers. 15 digits hold any number that is one.
    ("int", r"-?(?:0|[1-9][0-9]{0,14})", list("-0123456789")),
    ("float", r"-?(?:0|[1-9][0-9]{0,14})\.[0-9]{1,15}", list("-0123456789")),
):
    _Loader.add_implicit_resolver(_CORE + _tag, re.compile(f"^(?:{_pattern})$"), _first)


def read(text: str) -> Document:
    """Parse one document; what is wrong with it is in `problems`, and the value is then incomplete."""
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        place = error.problem_mark or error.context_mark
        mark = Mark(place.line + 1, place.column + 1) if place else Mark(1, 1)
        return Document(None, {(): Mark(1, 1)}, (YamlProblem(mark, (), _in_words(error)),))
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        mark = Mark(before.count("\n") + 1, error.position - (before.rfind("\n") + 1) + 1)
        return Document(None, {(): mark}, (YamlProblem(mark, (), "a character that a text file cannot hold"),))
    if node is None:
        return Document({}, {(): Mark(1, 1)}, ())
    builder = _Builder()
    value = builder.build(node, (), _mark(node))
    return Document(value, builder.marks, tuple(builder.problems))


class _Builder:
    def __init__(self) -> None:
        self.marks: dict[Path, Mark] = {}
        self.problems: list[YamlProblem] = []
        self._nodes_count = 0

    def build(self, node: yaml.Node, path: Path, mark: Mark) -> Any:
        self.marks[path] = mark
        self._nodes_count += 1
        if len(path) > DEPTH_MAX or self._nodes_count > NODES_MAX:
            if self._nodes_count <= NODES_MAX + 1:
                self._problem(mark, path, "too deep or too large; aliases (*name) may repeat themselves")
            self._nodes_count = NODES_MAX + 1
            return None
        match node:
            case yaml.MappingNode():
                return dict(self._entries(node, path))
            case yaml.SequenceNode():
                return [self.build(item, (*path, index), _mark(item)) for index, item in enumerate(node.value)]
            case _:
                return self._scalar(node, path, mark)

    def _entries(self, node: yaml.MappingNode, path: Path) -> Iterator[tuple[str, Any]]:
        seen: dict[str, Mark] = {}
        for key_node, value_node in node.value:
            mark = _mark(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                self._problem(mark, path, "a key must be a plain word")
                continue
            key = key_node.value
            if first := seen.get(key):
                self._problem(mark, (*path, key), f"the key is here twice; the first is on line {first.line}")
                continue
            seen[key] = mark
            yield key, self.build(value_node, (*path, key), mark)

    def _scalar(self, node: yaml.Node, path: Path, mark: Mark) -> Any:
        text: str = node.value
        value: Any = text
        match node.tag.removeprefix(_CORE):
            case "str":
                pass
            case "null":
                value = None
            case "bool":
                value = text.lower() == "true"
            case "int" if text.removeprefix("-").isdecimal():
                value = int(text)
            case "float" if text.removeprefix("-").replace(".", "", 1).isdecimal():
                value = float(text)
            case "!env":
                value = {ENV: text}
            case tag:
                self._problem(mark, path, f"the tag {tag} is not known here; only !env NAME is")
        return value

    def _problem(self, mark: Mark, path: Path, message: str) -> None:
        self.problems.append(YamlProblem(mark, path, message))


def _mark(node: yaml.Node) -> Mark:
    return Mark(node.start_mark.line + 1, node.start_mark.column + 1)


def _in_words(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "not readable as YAML"
    if r"'\t'" in problem:
        return "a tab cannot indent here: use spaces"
    if problem == "mapping values are not allowed here":
        return "a colon where none fits: check the indent, or put the text in quotes"
    return " ".join(part for part in (error.context, problem) if part)
