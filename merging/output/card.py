"""The model card of a merge: what it was made of, how, and what it scored."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from merging.checkpoints.parents import Parents
from merging.formats.bases import split_reference
from merging.health.report import Health, in_words
from merging.recipes import schedules
from merging.recipes.recipe import Recipe

HEALTH = "## Health"
# what looks like a Hub id may stand in the card's metadata; folders of this machine may not
HUB_ID = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")


def model_card(
    parents: Parents,
    *,
    scores: Mapping[str, Mapping[str, float]] | None = None,
    health: Health | None = None,
) -> str:
    """README.md of a merge.

    Args:
        parents: opened parents with a pinned recipe.
        scores: task -> model label -> score, for a table; None leaves it out.
        health: what was found about the result.
    """
    recipe = parents.recipe
    method = recipe.merge_method
    title = " ".join((recipe.name or f"Merge by {method.title}").split())
    licences = {ref: licence(one.folder) for ref, one in parents.by_ref.items()}
    parts = [
        _metadata(parents, licences),
        f"# {title}",
        f"A merge of {len(parents.by_ref)} models by **{method.title}**. {method.summary}",
        "## Lineage",
        _lineage(parents, licences),
        _licence_note(licences),
        "## Method",
        _method(parents),
    ]
    if scores:
        parts += ["## Scores", _scores(scores)]
    if health:
        parts += [HEALTH, in_words(health)]
    parts += [
        "## Recipe",
        f"Recipe hash `{recipe.hash}`. The same recipe gives the same bytes.",
        f"```yaml\n{recipe.to_yaml()}```",
    ]
    return "\n\n".join(parts) + "\n"


def with_health(card: str, health: Health) -> str:
    """A card with its section on health written anew; without one it is left as it is."""
    section = re.compile(rf"^{HEALTH}\n\n.*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)
    text = f"{HEALTH}\n\n{in_words(health)}\n\n"
    return section.sub(lambda _: text, card, count=1)


def licence(folder: Path) -> str | None:
    """The licence a model's card declares in its metadata."""
    try:
        text = (folder / "README.md").read_text("utf-8")[:65536]
        block = re.match(r"---\s*\n(.*?)\n---\s*(\n|$)", text, re.DOTALL)
        data = yaml.safe_load(block[1]) if block else None
    except (OSError, ValueError, yaml.YAMLError):
        return None
    declared = data.get("license") if isinstance(data, dict) else None
    if declared == "other" and isinstance(data, dict):
        declared = data.get("license_name") or declared
    return declared if isinstance(declared, str) else None


def shown(ref: str) -> str:
    """A reference as the card shows it: of a folder its name only."""
    both = split_reference(ref)
    if both is not None:
        return "+".join(map(shown, both))
    return Path(ref).name if Path(ref).is_absolute() or ref.startswith(("~", ".")) else ref


def _metadata(parents: Parents, licences: Mapping[str, str | None]) -> str:
    data: dict[str, Any] = {"library_name": "transformers", "tags": ["merge", "crucible"]}
    bases = [ref for ref in parents.by_ref if HUB_ID.fullmatch(ref) and not ref.startswith(".")]
    if bases:
        data["base_model"] = bases
        data["base_model_relation"] = "merge"
    if len(set(licences.values())) == 1 and None not in licences.values():
        data["license"] = next(iter(licences.values()))
    return f"---\n{yaml.safe_dump(data, sort_keys=False)}---"


def _lineage(parents: Parents, licences: Mapping[str, str | None]) -> str:
    recipe = parents.recipe
    weighted = recipe.merge_method.uses_weights
    of_models = [schedules.in_words(one.weight) if weighted else "" for one in recipe.models]
    weights = of_models if recipe.base is None else ["", *of_models]
    rows = [
        (
            parent.role,
            shown(parent.ref),
            weight,
            licences[parent.ref] or "not declared",
            f"`{recipe.identity(parent.ref)[:12]}`",
        )
        for parent, weight in zip(recipe.parents, weights, strict=True)
    ]
    return _table(("role", "model", "weight", "licence", "fingerprint"), rows)


def _licence_note(licences: Mapping[str, str | None]) -> str:
    declared = set(licences.values())
    if len(declared) == 1 and None not in declared:
        return f"All parents are under {declared.pop()}."
    return (
        "The parents' licences differ or are not declared: check that together they permit what "
        "you want to do with the merge."
    )


def _method(parents: Parents) -> str:
    recipe = parents.recipe
    method = recipe.merge_method
    formula = re.search(r"Formula:\s*(.+?)(\n\s*\n|$)", method.doc, re.DOTALL)
    lines = [" ".join(formula[1].split())] if formula else []
    if method.paper:
        lines.append(f"Paper: https://arxiv.org/abs/{method.paper}")
    fields = {field.name: field for field in method.fields()}
    rows = [
        (fields[name].title, f"`{name}`", schedules.in_words(value))
        for name, value in recipe.options.items()
    ]
    rows += [
        (f"{fields[name].title} of {shown(one.model)}", f"`{name}`", schedules.in_words(value))
        for one in recipe.models
        for name, value in one.options.items()
    ]
    if rows:
        lines.append(_table(("option", "name", "value"), rows))
    if recipe.slices:
        lines.append(_table(("layers", "made from"), _slices(recipe)))
    return "\n\n".join(lines)


def _slices(recipe: Recipe) -> list[tuple[str, str]]:
    """The result's layers, first to last, and the layers of the parents that they are made from."""
    rows, first = [], 0
    for part in recipe.slices:
        sources = [f"{one.layers[0]}-{one.layers[1] - 1} of {shown(one.model)}"
                   for one in part.sources]  # fmt: skip
        rows.append((f"{first}-{first + part.count - 1}", ", ".join(sources)))
        first += part.count
    return rows


def _scores(scores: Mapping[str, Mapping[str, float]]) -> str:
    models = list(dict.fromkeys(model for row in scores.values() for model in row))
    rows = [
        (task, *(f"{row[model]:.3f}" if model in row else "" for model in models))
        for task, row in scores.items()
    ]
    return _table(("task", *(shown(model) for model in models)), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; bars in cells are escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines
    )
