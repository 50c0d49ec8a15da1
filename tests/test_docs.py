"""What the documents say exists, exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "sandbox").glob("*.md")),
    *sorted((ROOT / "benchmarks").glob("*.md")),
]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_local_links_lead_somewhere(document: Path) -> None:
    targets = [t for t in LINK.findall(document.read_text(encoding="utf-8")) if ":" not in t]
    missing = [t for t in targets if not (document.parent / t).exists()]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_named_files_of_the_project_exist(document: Path) -> None:
    """Recipes, benchmarks and tests that a text or a command names."""
    text = document.read_text(encoding="utf-8")
    named = re.findall(r"\b((?:recipes|benchmarks|tests|docs|training)/[\w./-]+\.\w+)", text)
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_readme_commands_name_real_commands() -> None:
    """Every `python cli.py <command>` in a document is a command of cli.py."""
    source = (ROOT / "cli.py").read_text(encoding="utf-8")
    named = {
        word
        for document in DOCUMENTS
        for word in re.findall(r"python cli\.py ([a-z]+)", document.read_text(encoding="utf-8"))
    }
    unknown = [word for word in named if not re.search(rf"\b{word}\b", source)]
    assert named
    assert unknown == []
