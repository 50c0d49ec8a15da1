"""Who may import whom: read from the source with `ast`, so that nothing has to be imported."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("pages", "jobs", "studies", "search", "chat", "training", "merging", "evaluation", "db")
ALLOWED = {
    "pages": {"pages", "jobs", "db.queries", "db.settings", "merging.methods",
              "merging.recipes.recipe",
              "merging.tokenizers.templates", "merging.recipes.patterns",
              "merging.recipes.schedules", "merging.recipes.slices",
              "merging.errors", "evaluation.suites", "evaluation.errors",
              "studies.design", "studies.errors", "search.design", "search.errors"},
    "cli": {"jobs", "db.queries", "db.settings", "merging.methods", "merging.recipes.recipe",
            "merging.errors", "evaluation.suites", "evaluation.errors"},
    "app": {"jobs", "pages", "db.settings"},
    "jobs": {"jobs", "db", "studies", "search", "chat", "training", "merging",
             "evaluation"},
    "studies": {"studies", "merging", "evaluation"},
    "search": {"search", "merging", "evaluation"},
    "chat": {"chat", "merging", "evaluation"},
    "training": {"training", "merging", "evaluation"},
    "merging": {"merging"},
    "evaluation": {"evaluation"},
    "db": {"db"},
}  # fmt: skip
HEAVY = {"torch", "transformers", "lm_eval", "datasets"}


def sources(part: str) -> list[Path]:
    if part in ("cli", "app"):
        path = ROOT / f"{part}.py"
        return [path] if path.exists() else []
    return sorted((ROOT / part).rglob("*.py"))


def imports(path: Path, *, top_level: bool = False) -> list[tuple[str, int]]:
    """Absolute names of the modules a file imports, with line numbers.

    With `top_level`, only what runs when the module itself is imported: function bodies and
    `if TYPE_CHECKING:` blocks are passed over.
    """
    found: list[tuple[str, int]] = []
    package = list(path.relative_to(ROOT).with_suffix("").parts[:-1])

    def visit(node: ast.AST) -> None:
        if top_level and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return
        if top_level and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            found.extend((alias.name, node.lineno) for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*start, *([node.module] if node.module else [])])
            found.append((stem, node.lineno))
            found.extend((f"{stem}.{alias.name}", node.lineno) for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return found


def is_allowed(name: str, allowed: set[str]) -> bool:
    # `from db import queries` names both `db` and `db.queries`; the bare parent of something
    # allowed is no import of its contents.
    return any(name == a or name.startswith(a + ".") or a.startswith(name + ".") for a in allowed)


def violations(part: str) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sources(part)
        for name, line in imports(path)
        if name.split(".")[0] in PARTS and not is_allowed(name, ALLOWED[part])
    ]


@pytest.mark.parametrize("part", ALLOWED)
def test_imports_go_one_way(part: str) -> None:
    assert violations(part) == []


def test_a_wrong_import_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    (tmp_path / "merging").mkdir()
    (tmp_path / "merging" / "bad.py").write_text("def f():\n    from db import tables\n")
    assert violations("merging") == [
        "merging/bad.py:2 imports db",
        "merging/bad.py:2 imports db.tables",
    ]


@pytest.mark.parametrize("part", ["pages", "app", "cli", "db", "jobs"])
def test_what_the_pages_load_stays_light(part: str) -> None:
    """A page or a command line that imports torch takes seconds to come up."""
    heavy = [
        f"{path.relative_to(ROOT)}:{line} imports {name} at the top"
        for path in sources(part)
        if path.name not in ("zygote.py",)
        for name, line in imports(path, top_level=True)
        if name.split(".")[0] in HEAVY
    ]
    assert heavy == []


def test_files_stay_small() -> None:
    """A room one would like to live in: no source file of the product above 400 lines."""
    parts = [*PARTS, "cli", "app"]
    too_long = {
        str(path.relative_to(ROOT)): n
        for part in parts
        for path in sources(part)
        if (n := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert too_long == {}
