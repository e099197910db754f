"""The documents say what the code does: targets, states, layers and links."""

from __future__ import annotations

import re
import subprocess
from enum import Enum
from pathlib import Path

import pytest

from engine.core import model
from tests import house

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
TARGET = re.compile(r"^([a-z0-9-]+):[^=].*?## (.+)$", re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:|#)([^)#\s]+)")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def explained() -> set[str]:
    """Words that the glossary gives a row to."""
    return set(re.findall(r"^\| \*\*([^*]+)\*\*", read("docs/glossary.md"), re.MULTILINE))


def test_every_make_target_explains_itself() -> None:
    makefile = read("Makefile")
    phony = set(re.findall(r"^\.PHONY: (\S+)$", makefile, re.MULTILINE))
    assert phony - {"python3"} == {name for name, _ in TARGET.findall(makefile)}


def test_make_help_lists_every_target() -> None:
    shown = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name, sentence in TARGET.findall(read("Makefile")):
        assert re.search(rf"^  make {name} +{re.escape(sentence)}$", shown, re.MULTILINE), name


def test_the_readme_names_every_target_and_no_other() -> None:
    named = set(re.findall(r"`make ([a-z0-9-]+)`", read("README.md")))
    assert named == {name for name, _ in TARGET.findall(read("Makefile"))}


def test_ci_runs_what_the_readme_says() -> None:
    assert "\nmake test\n" in read(".ci/run")


@pytest.mark.parametrize(
    "words",
    [
        model.Mode,
        model.Outcome,
        model.CustomerState,
        model.AgentState,
        model.LeadState,
        model.CallbackState,
        model.DispositionKind,
    ],
)
def test_every_state_and_outcome_is_in_the_glossary(words: type[Enum]) -> None:
    assert {word.value for word in words} <= explained()


def test_every_word_of_the_glossary_is_said_in_russian_and_ukrainian() -> None:
    rows = re.findall(r"^\| \*\*.*$", read("docs/glossary.md"), re.MULTILINE)
    assert rows
    for row in rows:
        _, _, meaning, russian, ukrainian, _ = (cell.strip() for cell in row.split("|"))
        assert meaning, row
        assert re.search("[а-яё]", russian.lower()), row
        assert re.search("[а-щьюяіїєґ]", ukrainian.lower()), row
        assert not re.search("[ыэъё]", ukrainian.lower()), row


def test_every_layer_is_in_the_architecture() -> None:
    layers = read("ARCHITECTURE.md").split("## Layers")[1].split("\n## ")[0]
    first_cells = " ".join(re.findall(r"^\| (.+?) \|", layers, re.MULTILINE))
    assert set(re.findall(r"`([\w.]+)`", first_cells)) == set(house.MAY_IMPORT)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    for target in LINK.findall(document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), target


def test_every_document_is_linked_from_the_readme() -> None:
    linked = set(LINK.findall(read("README.md")))
    documents = {str(file.relative_to(ROOT)) for file in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]}
    assert documents - {"README.md"} <= linked


def test_every_decision_has_a_number_of_its_own() -> None:
    decisions = sorted(ROOT.glob("docs/adr/*.md"))
    numbers = [file.name.split("-")[0] for file in decisions]
    assert len(numbers) == len(set(numbers))
    for number, file in zip(numbers, decisions, strict=True):
        assert file.read_text(encoding="utf-8").startswith(f"# {number} · "), file.name
