"""config.yaml described: a JSON Schema for editors and a reference for people, both made from the model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from engine.config.forms import FORM
from engine.config.schema import Config

_REF: Final = "#/definitions/"


class _Generator(GenerateJsonSchema):
    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        # A default is shown in the words of the file (30s), not as what it is read into (30000).
        described = super().default_schema(schema)
        form: Any = schema["schema"]
        default = schema.get("default")
        show = _shower(form)
        if show and default is not None:
            described["default"] = show(default)
        elif isinstance(default, tuple) and (show := _shower(form.get("items_schema", [{}])[0])):
            described["default"] = [show(item) for item in default]
        return described


def _shower(schema: Any) -> Any:
    """How a form shows a value, if `schema` is a form's."""
    return schema.get("serialization", {}).get("function")


def json_schema() -> str:
    """The schema in the dialect that YAML language servers read (draft-07), as the text of config.schema.json."""
    whole = {"$schema": "http://json-schema.org/draft-07/schema#", **_without_forms(_described())}
    return json.dumps(whole, ensure_ascii=False, indent=1) + "\n"


def _described() -> dict[str, Any]:
    schema = Config.model_json_schema(ref_template=_REF + "{model}", schema_generator=_Generator)
    schema["definitions"] = schema.pop("$defs")
    described: dict[str, Any] = _draft_07(schema)
    return described


def _draft_07(value: Any) -> Any:
    match value:
        case {"$ref": reference, **rest} if rest:
            # Draft-07 ignores everything that stands beside a $ref; a section's default is that of its keys.
            rest.pop("default", None)
            return {**_draft_07(rest), "allOf": [{"$ref": reference}]}
        case dict():
            # Generated titles only repeat the key; discriminator is OpenAPI's.
            skip = {"discriminator"} | ({"title"} if isinstance(value.get("title"), str) else set())
            return {key: _draft_07(part) for key, part in value.items() if key not in skip}
        case list():
            return [_draft_07(item) for item in value]
        case _:
            return value


def _without_forms(value: Any) -> Any:
    match value:
        case dict():
            return {key: _without_forms(part) for key, part in value.items() if key != FORM or isinstance(part, dict)}
        case list():
            return [_without_forms(item) for item in value]
        case _:
            return value


def markdown() -> str:
    """The reference of every key, as the text of docs/config.md."""
    schema = _described()
    lines = [
        "# config.yaml, key by key",
        "",
        "Made from the model by `zvonar config docs > docs/config.md`; do not edit. `zvonar check-config` says all",
        "that is wrong with a file at once, with line and column. A changed file is taken up while calls go on, except",
        "the keys marked *next start*. Times carry their unit (`30s`, `5m`, `1h30m`, `2d`). Secrets are `!env NAME` or",
        "a `…_file`; paths are seen from the directory of the file.",
        "",
        *_section("config.yaml", schema, schema["definitions"], set()),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _section(path: str, section: dict[str, Any], definitions: dict[str, Any], seen: set[str]) -> Iterator[str]:
    choice = section["properties"].get("mode", {}).get("const")
    yield f"## `{path}`" + (f" with `mode: {choice}`" if choice else "")
    yield ""
    if text := section.get("description"):
        yield text
        yield ""
    yield "| Key | Form | Default | Meaning |"
    yield "|---|---|---|---|"
    below: list[tuple[str, str]] = []
    for key, field in section["properties"].items():
        references = list(_references(field))
        meaning = field.get("description") or definitions[references[0][0]]["description"]
        meaning += " *Next start.*" if field.get("restart_required") else ""
        default = "**required**" if key in section.get("required", ()) else _default(field)
        yield f"| `{key}` | {_form(field)} | {default} | {meaning} |"
        base = "" if path == "config.yaml" else path + "."
        below += [(base + key + suffix, name) for name, suffix in references]
    yield ""
    for sub_path, name in below:
        if name not in seen:
            seen.add(name)
            yield from _section(sub_path, definitions[name], definitions, seen)


def _references(field: Any) -> Iterator[tuple[str, str]]:
    """The sections below a field, each with what its path ends in."""
    match field:
        case {"$ref": str(reference)}:
            yield reference.removeprefix(_REF), ""
        case {"additionalProperties": dict(value)}:
            yield from ((name, ".<name>") for name, _ in _references(value))
        case {"patternProperties": dict(patterns)}:
            for value in patterns.values():
                yield from ((name, ".<name>") for name, _ in _references(value))
        case {"anyOf": list(parts)} | {"oneOf": list(parts)} | {"allOf": list(parts)}:
            for part in parts:
                yield from _references(part)
        case _:
            pass


def _form(field: dict[str, Any]) -> str:
    match field:
        case {"form": str(words)}:
            pass
        case {"enum": list(choices)}:
            words = ", ".join(f"`{choice}`" for choice in choices)
        case {"const": constant}:
            words = f"`{constant}`"
        case {"items": dict(items)}:
            words = f"list of {_form(items)}"
        case {"anyOf": list(parts)} | {"oneOf": list(parts)} | {"allOf": list(parts)}:
            forms = [_form(part) for part in parts if part.get("type") != "null"]
            words = " or ".join(dict.fromkeys(forms))
        case {"$ref": _}:
            words = "section"
        case {"additionalProperties": dict()} | {"patternProperties": dict()}:
            words = "by name"
        case _:
            words = {"integer": "whole number", "string": "text"}.get(field["type"], field["type"])
    return words


def _default(field: dict[str, Any]) -> str:
    match field.get("default"):
        case None | dict():
            return ""
        case list(items):
            return ", ".join(f"`{_in_line(item)}`" for item in items)
        case value:
            return f"`{value}`"


def _in_line(value: Any) -> str:
    """As it would stand in one line of the file."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {part}" for key, part in value.items()) + "}"
    return str(value)
