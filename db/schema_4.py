"""From format 3 to format 4, frozen: which way a metric is better, and the items left out.

Of older rows the direction is told by the metric's name. Their items of such metrics were kept as
log-probabilities per unit or as right and wrong, where higher was better: they become the metric
on that item alone, as `evaluation.answers` writes it from this format on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from sqlalchemy import Connection, text

NEW_COLUMNS = (
    "ALTER TABLE evaluations ADD COLUMN higher_is_better BOOLEAN DEFAULT {true} NOT NULL",
    "ALTER TABLE evaluations ADD COLUMN left_out JSON",
)


def _perplexity(score: float) -> float:
    return math.exp(min(-score, 69.0))  # 1e30 at most, as everywhere


LOWER: Mapping[str, Callable[[float], float]] = {
    "perplexity": _perplexity,
    "word_perplexity": _perplexity,
    "byte_perplexity": _perplexity,
    "bits_per_byte": lambda score: -score / math.log(2),
    "brier_score": lambda score: 1 - score,
    "ter": lambda score: 1 - score,
}


def upgrade(connection: Connection) -> None:
    """Add the columns of format 4 and fill them."""
    sqlite = connection.dialect.name == "sqlite"
    true, false = ("1", "0") if sqlite else ("TRUE", "FALSE")
    for statement in NEW_COLUMNS:
        connection.execute(text(statement.format(true=true)))
    found = connection.execute(text("SELECT id, metric, config FROM evaluations")).all()
    for number, metric, config in found:
        name = str(metric).split(",")[0]
        if name not in LOWER:
            continue
        connection.execute(
            text(f"UPDATE evaluations SET higher_is_better = {false} WHERE id = :id"),
            {"id": number},
        )
        if "imported" not in str(config):  # another program's items are in its own words
            _turn(connection, number, LOWER[name])


def _turn(connection: Connection, evaluation: int, told: Callable[[float], float]) -> None:
    rows = connection.execute(
        text("SELECT doc_id, score FROM answers WHERE evaluation_id = :id"), {"id": evaluation}
    ).all()
    for doc_id, score in rows:
        connection.execute(
            text("UPDATE answers SET score = :score WHERE evaluation_id = :id AND doc_id = :doc"),
            {"score": told(float(score)), "id": evaluation, "doc": doc_id},
        )
