"""Reading config.yaml: a valid configuration, or all that is wrong with it at once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import orjson
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from engine.config import checks, lawpacks, yamlmarks
from engine.config.checks import choices
from engine.config.policy import policy_of
from engine.config.schema import Config
from engine.core.law import Holidays, Pack
from engine.core.model import Policy

CONFIG_BYTES_MAX: Final = 1_000_000


@dataclass(frozen=True, slots=True, order=True)
class ConfigProblem:
    """One thing wrong (or, as a warning, doubtful) with the file, and where."""

    file: str
    line: int
    column: int
    path: str
    message: str
    warning: bool = False

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}: "
        return place + ("warning: " if self.warning else "") + (f"{self.path}: " if self.path else "") + self.message


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A valid configuration: all it says, and what it decides about live calls."""

    path: Path
    config: Config
    policy: Policy
    warnings: tuple[ConfigProblem, ...]

    def resolve(self, path: Path) -> Path:
        """A path of the file, seen from the file's own directory."""
        return self.path.parent / path

    def phone_secret_file(self, phone: str) -> Path:
        """Where the SIP password of a phone stands, unless `password` gives it."""
        asterisk = self.config.asterisk
        return self.resolve(self.config.phones[phone].password_file or asterisk.secrets / f"phone-{phone}")

    def switch_secret_file(self, user: Literal["ari", "ami"]) -> Path:
        """Where the password of the ARI or AMI user stands, unless `ari_password` or `ami_password` gives it."""
        asterisk = self.config.asterisk
        named = asterisk.ari_password_file if user == "ari" else asterisk.ami_password_file
        return self.resolve(named or asterisk.secrets / user)


def read_secret(given: SecretStr | None, file: Path) -> str:
    """The secret itself. Raises OSError when it is not given and its file cannot be read."""
    return given.get_secret_value() if given else file.read_text(encoding="utf-8").strip()


def load(path: Path) -> Loaded | list[ConfigProblem]:
    """The configuration, or everything that is wrong with it in the order of the file. Never raises for bad input."""
    try:
        if path.stat().st_size > CONFIG_BYTES_MAX:
            return [ConfigProblem(path.name, 1, 1, "", f"larger than {CONFIG_BYTES_MAX:,} bytes")]
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        return [ConfigProblem(path.name, 1, 1, "", f"cannot be read: {error.strerror}")]
    except UnicodeDecodeError as error:
        return [ConfigProblem(path.name, 1, 1, "", f"not UTF-8 text (byte {error.start + 1}): save it as UTF-8")]
    return parse(text, path)


def parse(text: str, path: Path) -> Loaded | list[ConfigProblem]:
    """As `load`, for a text that has not been saved yet."""
    document = yamlmarks.read(text)
    problems = [
        ConfigProblem(path.name, p.mark.line, p.mark.column, yamlmarks.dotted(p.path), p.message)
        for p in document.problems
    ]
    if document.value is None and problems:
        return problems
    report = _Reporter(path.name, document)
    config: Config | None = None
    try:
        config = Config.model_validate_json(orjson.dumps(document.value))
    except ValidationError as error:
        problems += report.of_pydantic(error)
    problems += [report.at(where, message) for where, message in checks.dangling(document.value)]
    if config is None or problems:
        return sorted(set(problems))
    packs, problems = _packs(config, report)
    problems += [report.at(where, message) for where, message in checks.contradictions(config)]
    if not problems:
        problems = [report.at(where, message) for where, message in lawpacks.contradictions(config, packs)]
    if problems:
        return sorted(problems)
    doubts = (*checks.doubts(config), *lawpacks.doubts(config, packs))
    warnings = tuple(sorted(report.at(where, message, warning=True) for where, message in doubts))
    return Loaded(path=path, config=config, policy=policy_of(config, packs), warnings=warnings)


def _packs(config: Config, report: _Reporter) -> tuple[dict[str, Pack], list[ConfigProblem]]:
    """The packs that campaigns name, and all that is wrong with those files."""
    packs: dict[str, Pack] = {}
    problems: list[ConfigProblem] = []
    for campaign, settings in config.campaigns.items():
        for index, name in enumerate(settings.law):
            if name not in lawpacks.known():
                where = ("campaigns", campaign, "law", index)
                problems.append(report.at(where, f"{name} is no law pack; {choices(name, lawpacks.known())}"))
            elif name not in packs:
                match load_pack(name):
                    case list(found):
                        problems += found
                    case Pack() as pack:
                        packs[name] = pack
    return packs, problems


def load_pack(name: str) -> Pack | list[ConfigProblem]:
    """The law pack of that name with its calendar, or everything that is wrong with its files."""
    pack = _law_file(lawpacks.LAW / f"{name}.yaml", lawpacks.PackFile)
    if isinstance(pack, list):
        return pack
    calendar = load_calendar(pack.calendar) if pack.calendar else None
    return calendar if isinstance(calendar, list) else pack.value(calendar)


def load_calendar(name: str) -> Holidays | list[ConfigProblem]:
    """The calendar of that name, or everything that is wrong with its file."""
    calendar = _law_file(lawpacks.CALENDARS / f"{name}.yaml", lawpacks.CalendarFile)
    return calendar if isinstance(calendar, list) else calendar.value()


LawFile = TypeVar("LawFile", lawpacks.PackFile, lawpacks.CalendarFile)


def _law_file(file: Path, model: type[LawFile]) -> LawFile | list[ConfigProblem]:
    shown = "/".join(file.parts[-3:])
    try:
        document = yamlmarks.read(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        return [ConfigProblem(shown, 1, 1, "", f"cannot be read: {error}")]
    if document.problems:
        return [
            ConfigProblem(shown, p.mark.line, p.mark.column, yamlmarks.dotted(p.path), p.message)
            for p in document.problems
        ]
    report = _Reporter(shown, document, model)
    try:
        found = model.model_validate_json(orjson.dumps(document.value))
    except ValidationError as error:
        return sorted(set(report.of_pydantic(error)))
    if found.named != file.stem:
        return [report.at(next(iter(document.marks)), f"it says that it is {found.named}; expected {file.stem}")]
    return found


@dataclass(frozen=True, slots=True)
class _Reporter:
    file: str
    document: yamlmarks.Document
    model: type[BaseModel] = Config

    def at(self, path: yamlmarks.Path, message: str, *, warning: bool = False) -> ConfigProblem:
        mark = self.document.mark(path)
        return ConfigProblem(self.file, mark.line, mark.column, yamlmarks.dotted(path), message, warning)

    def of_pydantic(self, error: ValidationError) -> list[ConfigProblem]:
        found = [(self._path(details), details) for details in error.errors(include_url=False)]
        # A list is also "too short" when its items are bad: that says nothing more.
        return [
            self.at(path, self._in_words(path, details))
            for path, details in found
            if details["type"] != "too_short" or not any(path == other[: len(path)] != other for other, _ in found)
        ]

    def _path(self, details: ErrorDetails) -> yamlmarks.Path:
        path: yamlmarks.Path = ()
        for part in details["loc"]:
            # A union's tag and a key's marker are in pydantic's path and not in the file.
            if (*path, part) in self.document.marks or (details["type"] == "missing" and part == details["loc"][-1]):
                path = (*path, part)
        return (*path, "mode") if details["type"] == "union_tag_invalid" else path

    def _in_words(self, path: yamlmarks.Path, details: ErrorDetails) -> str:
        given, context = details["input"], details.get("ctx", {})
        match details["type"]:
            case _ if yamlmarks.ENV in details["loc"]:
                words = f"{yamlmarks.ENV} is for secrets only"
            case "extra_forbidden":
                words = _unknown_key(str(path[-1]), _keys_at(self.model, path[:-1], self.document.value))
            case "missing":
                words = "missing: add it"
            case "union_tag_not_found":
                words = "`mode` is missing: add it"
            case "union_tag_invalid":
                words = (
                    f"mode {context['tag']} is not known; {choices(context['tag'], _quoted(context['expected_tags']))}"
                )
            case "literal_error":
                words = f"{_shown(given)} is not known; {choices(str(given), _quoted(context['expected']))}"
            case "string_pattern_mismatch":
                words = "a name is small Latin letters, digits, - and _, up to 32"
            case "too_short":
                words = "at least one is needed"
            case "value_error":
                words = str(context["error"])
            case _ if isinstance(given, dict) and yamlmarks.ENV in given:
                words = f"{yamlmarks.ENV} is for secrets only"
            case _:
                wanted = details["msg"].removeprefix("Input should be ").removeprefix("a valid ")
                words = f"expected {wanted}, got {_shown(given)}"
        return words


def _shown(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case dict():
            return "a section"
        case list():
            return "a list"
        case _:
            return str(value)[:60]


def _quoted(sentence: str) -> list[str]:
    """The choices in a sentence of pydantic's."""
    return re.findall(r"'([^']+)'", sentence)


def _unknown_key(key: str, known: list[str]) -> str:
    near = get_close_matches(key.lower(), known, n=1, cutoff=0.5)
    return f"unknown key; did you mean {near[0]}?" if near else f"unknown key; known here: {', '.join(known)}"


def _keys_at(model: type[BaseModel], path: yamlmarks.Path, value: Any) -> list[str]:
    """The keys that the section at `path` may have."""
    kind: Any = model
    for part in path:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            fields = {field.alias or name: field for name, field in kind.model_fields.items()}
            kind = fields[str(part)].annotation
        else:
            kind = kind.__args__[-1]  # dict[key, section]
        value = value[part]
        kind = _section_of(kind, value)
    return [field.alias or name for name, field in kind.model_fields.items()]


def _section_of(kind: Any, value: Any) -> Any:
    """The member of a union (an optional section, a choice by mode) that `value` is meant as."""
    options = [option for option in getattr(kind, "__args__", ()) if hasattr(option, "model_fields")]
    if getattr(kind, "__origin__", None) is dict or not options:
        return kind
    by_mode = {option.model_fields["mode"].annotation.__args__[0]: option for option in options if len(options) > 1}
    return by_mode[value["mode"]] if by_mode else options[0]
