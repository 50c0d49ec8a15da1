"""What the terminal shows of a comparison of models."""

from __future__ import annotations

from rich.table import Table

from jobs.models import independence
from jobs.models.similarity_tables import Found
from jobs.terminal.show import _print, say


def print_similarity(found: Found) -> None:
    """The overall tables, what the cosines mean, and what was left out."""
    models = found.models()
    if models:
        keys = [key for key in models[0] if key != "model"]
        table = _table(found, f"Models beside their base, {found.labels[0]}", "Model", keys)
        for row in models:
            table.add_row(row["model"], *(_number(row[key]) for key in keys))
        _print(table)
    pairs = found.pairs()
    if pairs:
        keys = [key for key in pairs[0] if key not in ("first", "second")]
        table = _table(found, "Pairs of models", "Models", keys)
        for row in pairs:
            name = f"{row['first']} and {row['second']}"
            table.add_row(name, *(_number(row[key]) for key in keys))
        _print(table)
    say(f"Over {found.n_parameters:,} weights of each model, as one long vector.")
    verdicts = found.verdicts()
    for one in verdicts:
        say(one.text)
    if verdicts:
        say(f"{independence.ASSUMPTION.replace('`', '')} {independence.LIMITS}")
    for text in found.notes():
        say(text)


def _table(found: Found, title: str, first: str, keys: list[str]) -> Table:
    table = Table(title=title)
    table.add_column(first, overflow="fold")
    for key in keys:
        table.add_column(found.measures[key].title, justify="right")
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
