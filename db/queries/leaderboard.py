"""The leaderboard: one row per model and comparable configuration, with its scores on a suite.

A board of 10,000 evaluations takes some tenths of a second to build and is kept until something
it was made of changes, so that a page can ask for it on every redraw.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.engine import session
from db.queries.board import Board, Constituent, Entry, Row, Score
from db.tables import Evaluation, Model, Parent

RUN_FIELDS = ("limit", "dtype")
"""Configuration fields chosen per run, not per task: rows that differ in one stand apart."""

EARLIER = "earlier task settings"

__all__ = ["Board", "Constituent", "Entry", "Row", "Score", "board", "suites_with_scores"]


def suites_with_scores() -> list[str]:
    """Names of the suites that have at least one evaluation, the most recently used first."""
    newest = func.max(Evaluation.created)
    with session() as s:
        rows = s.execute(
            select(Evaluation.suite).group_by(Evaluation.suite).order_by(newest.desc())
        )
        return [name for (name,) in rows]


def board(suite: str, tasks: Mapping[str, str] | None = None) -> Board:
    """The leaderboard of a suite.

    Args:
        suite: the suite's name as stored with the evaluations.
        tasks: task -> domain as the suite's file has them, in order: what a complete row must
            have. Without it, every task that was ever scored counts. Tasks scored earlier that
            the suite no longer has are left out.
    """
    wanted = tuple(tasks.items()) if tasks is not None else None
    with session() as s:
        entries = _entries(s)
        revision = hash((_revision(s, suite), tuple(entries.values()), wanted))
        place = (str(s.get_bind().engine.url), suite)
        kept = _kept.get(place)
        if kept is not None and kept.revision == revision:
            return kept
        made = _build(s, suite, dict(wanted) if wanted is not None else None, entries, revision)
    if len(_kept) >= 16:  # a suite is a few megabytes; nobody looks at more than a handful
        _kept.clear()
    _kept[place] = made
    return made


_kept: dict[tuple[str, str], Board] = {}


def _revision(s: Session, suite: str) -> tuple[Any, ...]:
    count, newest_id, newest = s.execute(
        select(func.count(), func.max(Evaluation.id), func.max(Evaluation.created)).where(
            Evaluation.suite == suite
        )
    ).one()
    return (count, newest_id, newest)


def _entries(s: Session) -> dict[int, Entry]:
    parents: dict[int, list[Constituent]] = defaultdict(list)
    lineage = select(Parent.child_id, Parent.parent_id, Parent.role, Parent.weight)
    for child, parent, role, weight in s.execute(
        lineage.order_by(Parent.child_id, Parent.position)
    ):
        parents[child].append(Constituent(parent, role, weight))
    columns = select(
        Model.id, Model.name, Model.role, Model.domain, Model.method, Model.fingerprint,
        Model.n_parameters, Model.size_bytes, Model.dtype, Model.archived, Model.created,
    )  # fmt: skip
    return {row[0]: Entry(*row, tuple(parents.get(row[0], ()))) for row in s.execute(columns)}


def _build(
    s: Session,
    suite: str,
    tasks: dict[str, str] | None,
    entries: Mapping[int, Entry],
    revision: int,
) -> Board:
    found = [e for e in _evaluations(s, suite) if tasks is None or e[1].task in tasks]
    if tasks is None:
        tasks = {score.task: score.domain for _, score, _ in found}
    configs = _configs(s, suite)
    labels = _labels(configs, [score for _, score, _ in found])
    groups: dict[tuple[int, str, str], dict[str, Score]] = defaultdict(dict)
    for model_id, score, fingerprint in found:
        label = labels[score.task, score.config_hash]
        groups[model_id, fingerprint, label][score.task] = score
    rows = [
        Row(
            entries[model_id],
            fingerprint,
            label,
            {t: got[t] for t in tasks if t in got},
            **_stamp(configs[next(iter(got.values())).config_hash]),
        )
        for (model_id, fingerprint, label), got in groups.items()
        if model_id in entries
    ]
    return Board(suite, tasks, tuple(_ranked(rows)), revision, entries)


def _evaluations(s: Session, suite: str) -> list[tuple[int, Score, str]]:
    e = Evaluation
    columns = select(
        e.model_id, e.model_fingerprint, e.id, e.task, e.domain, e.metric, e.value, e.stderr,
        e.n, e.config_hash, e.prompts_hash, e.seconds, e.created, e.missing, e.truncated,
        e.higher_is_better, e.left_out,
    )  # fmt: skip
    rows = s.execute(columns.where(e.suite == suite).order_by(e.id))
    return [(row[0], _score(list(row)[2:]), row[1]) for row in rows]


def _score(columns: list[Any]) -> Score:
    columns[-1] = tuple(int(one["doc_id"]) for one in columns[-1] or ())  # items left out
    return Score(*columns)


def _labels(
    configs: Mapping[str, Mapping[str, Any]], scores: Sequence[Score]
) -> dict[tuple[str, str], str]:
    """(task, config_hash) -> the configuration's name, the same for all tasks of one run.

    The run's own settings are spelled out where they differ between evaluations. Of a task that
    was scored under several settings of its own (shots, template, version ...), only the newest
    belongs to the plain row: older ones stand in a row that says so.
    """
    newest: dict[tuple[str, str], float] = {}
    for score in scores:
        place = (score.task, score.config_hash)
        newest[place] = max(newest.get(place, 0.0), score.created)
    stamps = {place: _stamps(configs[place[1]]) for place in newest}
    runs = {place: tuple(configs[place[1]].get(f) for f in RUN_FIELDS) for place in newest}
    # What came from elsewhere was run in its own ways: it does not make ours differ.
    own = [run for place, run in runs.items() if not configs[place[1]].get("imported")]
    varying = [i for i in range(len(RUN_FIELDS)) if len({run[i] for run in own}) > 1]
    generation: dict[tuple[Any, ...], int] = defaultdict(int)
    labels: dict[tuple[str, str], str] = {}
    for place in sorted(newest, key=lambda p: (-newest[p], p)):
        run = runs[place]
        parts = list(stamps[place])
        if not configs[place[1]].get("imported"):
            parts = [_say(RUN_FIELDS[i], run[i]) for i in varying] + parts
        elif run[0] is not None:
            parts.append(_say(RUN_FIELDS[0], run[0]))
        older = generation[place[0], run, stamps[place]]
        generation[place[0], run, stamps[place]] += 1
        if older:
            parts.append(EARLIER if older == 1 else f"{EARLIER} ({older})")
        labels[place] = ", ".join(parts) or "as the suite says"
    return labels


def _stamps(config: Mapping[str, Any]) -> tuple[str, ...]:
    """What is said of a score wherever it stands: which part of the items, where it came from."""
    said = []
    if config.get("part", "all") != "all":
        share = f"{100 * float(config.get('split_share', 0.5)):g} %"
        said.append(f"{config['part']} part (seed {config.get('split_seed', 1)}, {share} search)")
    if config.get("imported"):
        said.append(f"imported from {config['imported']}")
    return tuple(said)


def _stamp(config: Mapping[str, Any]) -> dict[str, Any]:
    """The same as a row's fields."""
    part = str(config.get("part", "all"))
    split = (int(config.get("split_seed", 1)), float(config.get("split_share", 0.5)))
    limit = config.get("limit")
    return {
        "part": part,
        "split": None if part == "all" else split,
        "imported": config.get("imported") or None,
        "limit": limit if isinstance(limit, int) else None,
    }


def _configs(s: Session, suite: str) -> dict[str, dict[str, Any]]:
    """config_hash -> its config; one row per hash is read, not one per evaluation."""
    one_each = (
        select(func.min(Evaluation.id))
        .where(Evaluation.suite == suite)
        .group_by(Evaluation.config_hash)
    )
    rows = s.execute(
        select(Evaluation.config_hash, Evaluation.config).where(Evaluation.id.in_(one_each))
    )
    return {config_hash: dict(config or {}) for config_hash, config in rows}


def _say(name: str, value: Any) -> str:
    if name == "limit":
        return "all items" if value is None else f"limit {value}"
    return str(value) if value is not None else f"{name} as stored"


def _ranked(rows: Sequence[Row]) -> list[Row]:
    """The rows with their mean rank; ties share the mean of the places they take."""
    columns: dict[tuple[Any, ...], list[tuple[float, int]]] = defaultdict(list)
    for index, row in enumerate(rows):
        for task, score in row.scores.items():
            columns[task, score.config_hash, score.left_out].append((score.goodness, index))
    ranks: dict[int, list[float]] = defaultdict(list)
    for column in columns.values():
        column.sort(reverse=True)
        start = 0
        while start < len(column):
            end = start
            while end < len(column) and column[end][0] == column[start][0]:
                end += 1
            for _, index in column[start:end]:
                ranks[index].append((start + 1 + end) / 2)
            start = end
    return [
        replace(row, mean_rank=sum(ranks[i]) / len(ranks[i]) if ranks[i] else None)
        for i, row in enumerate(rows)
    ]
