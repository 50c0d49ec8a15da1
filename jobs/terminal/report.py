"""Scores as plain data, for the terminal's tables and its JSON files."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from db.queries.board import Board, Row
from db.queries.leaderboard import board, suites_with_scores
from db.queries.models import ModelRow, models
from jobs.errors import JobError
from jobs.models import weights
from jobs.scores import signs
from jobs.scores.comparison import macro_differences

if TYPE_CHECKING:
    from evaluation.holdout import Part

DTYPES = ("float32", "bfloat16", "float16")


def suite_board(suite: str | None) -> Board:
    """The board of a suite; of the one used last when none is named.

    Raises:
        SuiteError: there is no such suite, and nothing was scored under that name.
    """
    from evaluation.errors import SuiteError
    from evaluation.suites import load_suite

    used = suites_with_scores()
    name = suite or next(iter(used), "sandbox")
    try:
        loaded = load_suite(name)
    except SuiteError:
        if name not in used:
            raise
        return board(name)  # its file is gone, its scores are not
    return board(loaded.name, {task: loaded.domain(task) for task in loaded.tasks})


def leaderboard(suite: str | None = None) -> dict[str, Any]:
    """Every row of a suite, the best macro score first.

    Raises:
        SuiteError: there is no such suite.
    """
    made = suite_board(suite)
    rows = [row for row in made.rows if not row.entry.archived]
    return as_data(made, sorted(rows, key=lambda row: (-len(row.scores), -(row.macro or 0.0))))


def of_models(
    suite: str,
    asked: Mapping[str, Sequence[str]],
    *,
    limit: int | None = None,
    part: Part | None = None,
) -> dict[str, Any]:
    """The rows of some models under the configuration that was asked for, in their order.

    Args:
        suite: name or path.
        asked: registered name to what the model was called by the user, kept as `refs`.
        limit: items per task of the run.
        part: of the items of the run, None for all.

    Raises:
        JobError: none of them has a score.
    """
    made = suite_board(suite)
    wanted = _hashes(suite, limit, part)
    found = [_best(made, name, wanted) for name in asked]
    rows = [row for row in found if row is not None]
    for row in rows:
        signs.of_row(made, row)  # looks at replies that nobody has looked at yet
    if not rows:
        raise JobError("None of the models has a score: every task failed.", exit_code=1)
    data = as_data(made, rows)
    for row in data["models"]:
        row["refs"] = list(asked[row["model"]])
    return data


def rows_of(made: Board, names: Sequence[str], configuration: str | None = None) -> list[Row]:
    """The row of each model under a configuration: without one, the most complete and newest.

    Raises:
        JobError: a model without such a row.
    """
    found = []
    for name in names:
        rows = [row for row in made.rows if row.entry.name == name]
        there = " There are: " + "; ".join(row.configuration for row in rows) + "." if rows else ""
        rows = [row for row in rows if configuration in (None, row.configuration)]
        if not rows:
            under = f" under “{configuration}”" if configuration else ""
            raise JobError(f"“{name}” has no score on the suite {made.suite}{under}.{there}")
        found.append(max(rows, key=lambda row: (len(row.scores), not row.is_outdated, row.scored)))
    return found


def greatest_gain(data: dict[str, Any], model: str) -> tuple[str, float, float] | None:
    """The task on which a merge is furthest above its best parent there: task, score, parent's."""
    rows = {row["model"]: row for row in data["models"]}
    merge = rows.get(model)
    parents = (
        [rows[one["model"]] for one in merge["parents"] if one["model"] in rows] if merge else []
    )
    found = [
        (task, score["value"], max(row["scores"][task]["value"] for row in parents))
        for task, score in (merge or {"scores": {}})["scores"].items()
        if score["in_means"] and parents and all(task in row["scores"] for row in parents)
    ]
    return max(found, key=lambda each: each[1] - each[2], default=None)


def as_data(made: Board, rows: Sequence[Row]) -> dict[str, Any]:
    """Rows of a board as JSON-able data; documented in docs/cli.md."""
    bests = [made.best_parent(row) for row in rows]
    pairs = [(row, best) for row, best in zip(rows, bests, strict=True) if best is not None]
    differences = iter(macro_differences(pairs))
    known = {one.id: one for one in models(archived=True)}
    told = signs.of_rows(made, rows)
    found = []
    for row, best in zip(rows, bests, strict=True):
        difference = next(differences) if best is not None else None
        data = _row(made, row)
        data["parents"] = _parents(made, row, known)
        data["best_parent"] = best and {
            "model": best.entry.name,
            "difference": difference and difference.value,
            "low": difference and difference.low,
            "high": difference and difference.high,
            "verdict": difference.verdict if difference else "unknown",
            "unscored_parents": made.unscored_parents(row),
        }
        data["signs"] = [_sign(one) for one in told.get(row.key, ())]
        found.append(data)
    return {"suite": made.suite, "tasks": dict(made.tasks), "outside_means": made.outside,
            "models": found}  # fmt: skip


def _sign(one: signs.Warning) -> dict[str, Any]:
    """A sign of failure; `items` are those that show it."""
    return {
        "kind": one.kind, "title": one.title, "text": one.text, "rule": one.rule,
        "verdict": one.verdict, "items": {task: list(items) for task, items in one.items.items()},
    }  # fmt: skip


def _row(made: Board, row: Row) -> dict[str, Any]:
    missing = row.missing(made.tasks)
    return {
        "model": row.entry.name,
        "role": row.entry.role,
        "method": row.entry.method,
        "fingerprint": row.fingerprint,
        "outdated": row.is_outdated,
        "configuration": row.configuration,
        "macro": row.macro,
        "macro_stderr": row.macro_stderr,
        "n_items": row.n_items,
        "n_left_out": row.n_left_out,
        "part": row.part,
        "imported": row.imported,
        "no_answer": row.no_answer,
        "cut_off": row.cut_off,
        "complete": not missing,
        "missing": list(missing),
        "domains": row.domains,
        "scores": {
            task: {
                "metric": score.metric,
                "higher_is_better": score.higher_is_better,
                "in_means": score.in_means,
                "value": score.value,
                "stderr": score.stderr,
                "n": score.n,
                "left_out": list(score.left_out),
                "missing": score.missing,
                "truncated": score.truncated,
                "config_hash": score.config_hash,
                "prompts_hash": score.prompts_hash,
            }
            for task, score in row.scores.items()
        },
    }


def _parents(made: Board, row: Row, known: Mapping[int, ModelRow]) -> list[dict[str, Any]]:
    """What a merge was made from, with weights as its recipe has them."""
    model = known.get(row.entry.id)
    if model is None:
        return []
    return [
        {"model": made.entries[one.model_id].name, "role": one.role, "weight": weight}
        for one, weight in zip(model.parents, weights.of_parents(model), strict=True)
        if one.model_id in made.entries
    ]


def _best(made: Board, name: str, wanted: Collection[str]) -> Row | None:
    """The row of a model that has most scores under the configurations wanted."""
    rows = [row for row in made.rows if row.entry.name == name]
    return max(
        rows,
        key=lambda row: (
            sum(score.config_hash in wanted for score in row.scores.values()),
            not row.is_outdated,
            row.scored,
        ),
        default=None,
    )


def _hashes(suite: str, limit: int | None, part: Part | None) -> set[str]:
    from evaluation.configs import config_hash, task_configs
    from evaluation.suites import load_suite

    loaded = load_suite(suite)
    return {
        config_hash(config)
        for dtype in DTYPES
        for config in task_configs(loaded, limit, dtype, part).values()
    }
