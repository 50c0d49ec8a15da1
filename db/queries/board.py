"""A board of scores: rows that may be compared, and the comparisons that need no answers.

Scores are never mixed across configurations. A row is (model, content of its weights, run settings
such as limit and dtype, generation of the task settings); two cells may be compared only when
their task and their `config_hash` are the same (`Row.common_tasks`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import fsum, sqrt

from db.queries import metrics


@dataclass(frozen=True, slots=True)
class Score:
    """One evaluation without its answers. `value` and `stderr` are on the metric's own scale."""

    evaluation_id: int
    task: str
    domain: str
    metric: str
    value: float
    stderr: float | None
    n: int
    config_hash: str
    prompts_hash: str
    seconds: float
    created: float
    missing: float | None = None
    """Share of items that got no answer; None where choices were compared and nothing written."""
    truncated: float | None = None
    """Share of items cut off by the limit of new tokens before an answer."""
    higher_is_better: bool = True
    left_out: tuple[int, ...] = ()
    """Items that could not be asked or graded."""

    @property
    def is_share(self) -> bool:
        """On the scale from 0 to 1: said in points."""
        return metrics.is_share(self.metric)

    @property
    def in_means(self) -> bool:
        """Whether it may be averaged with other tasks' scores."""
        return self.higher_is_better and self.is_share

    @property
    def goodness(self) -> float:
        """The value, turned so that more is better."""
        return self.value if self.higher_is_better else -self.value


@dataclass(frozen=True, slots=True)
class Constituent:
    """A parent in a merge's lineage."""

    model_id: int
    role: str
    weight: float


@dataclass(frozen=True)
class Entry:
    """What the leaderboard says about a model itself."""

    id: int
    name: str
    role: str
    domain: str | None
    method: str | None
    fingerprint: str | None
    n_parameters: int | None
    size_bytes: int | None
    dtype: str | None
    archived: bool
    created: float
    parents: tuple[Constituent, ...] = ()


@dataclass(frozen=True)
class Row:
    """One model under one configuration."""

    entry: Entry
    fingerprint: str
    configuration: str
    scores: Mapping[str, Score]
    mean_rank: float | None = None
    """Mean over tasks of the rank among all rows scored under the same configuration, 1 = best."""
    part: str = "all"
    """Of the items: all, search (for choosing) or held-out (for reporting)."""
    split: tuple[int, float] | None = None
    """Seed of the split, and the search part's share of the items; None for all items."""
    imported: str | None = None
    """Which program's result file the scores came from; None for scores taken here."""
    limit: int | None = None
    """Items per task that were asked for; None for all."""

    @property
    def key(self) -> str:
        """Names the row within its board, stably over redraws."""
        return f"{self.entry.id}/{self.fingerprint}/{self.configuration}"

    @cached_property
    def averaged(self) -> tuple[str, ...]:
        """The tasks that means are over: not those where lower is better, or of another scale."""
        return tuple(task for task, score in self.scores.items() if score.in_means)

    @cached_property
    def macro(self) -> float | None:
        """Mean over the tasks scored, each task counting once; None where none can be averaged."""
        values = [self.scores[task].value for task in self.averaged]
        return fsum(values) / len(values) if values else None

    @cached_property
    def macro_stderr(self) -> float | None:
        """Standard error of `macro`, tasks taken as independent; None if a task has none."""
        errors = [self.scores[task].stderr for task in self.averaged]
        if not errors or any(e is None for e in errors):
            return None
        return sqrt(fsum(e * e for e in errors if e is not None)) / len(errors)

    @cached_property
    def n_items(self) -> int:
        """Items answered, over all tasks."""
        return sum(s.n for s in self.scores.values())

    @cached_property
    def n_left_out(self) -> int:
        """Items that could not be asked or graded, over all tasks."""
        return sum(len(s.left_out) for s in self.scores.values())

    @cached_property
    def no_answer(self) -> float | None:
        """Share of missing answers among the items that were answered in writing; None of none."""
        return self._share("missing")

    @cached_property
    def cut_off(self) -> float | None:
        """Share of answers cut off among the items that were answered in writing; None of none."""
        return self._share("truncated")

    def _share(self, name: str) -> float | None:
        found = [(s.n, getattr(s, name)) for s in self.scores.values()]
        written = [(n, share) for n, share in found if share is not None]
        items = sum(n for n, _ in written)
        return fsum(n * share for n, share in written) / items if items else None

    @cached_property
    def seconds(self) -> float:
        """Time the scoring took, over all tasks."""
        return fsum(s.seconds for s in self.scores.values())

    @cached_property
    def scored(self) -> float:
        """When the newest of the scores was written, in epoch seconds."""
        return max(s.created for s in self.scores.values())

    @cached_property
    def domains(self) -> dict[str, float]:
        """Domain -> mean over those of its tasks that can be averaged."""
        groups: dict[str, list[float]] = defaultdict(list)
        for score in [self.scores[task] for task in self.averaged]:
            groups[score.domain].append(score.value)
        return {domain: fsum(values) / len(values) for domain, values in groups.items()}

    @property
    def is_outdated(self) -> bool:
        """The model's weights have changed since these scores were taken."""
        return self.entry.fingerprint is not None and self.entry.fingerprint != self.fingerprint

    def missing(self, tasks: Iterable[str]) -> tuple[str, ...]:
        """Those of `tasks` that have no score in this row."""
        return tuple(task for task in tasks if task not in self.scores)

    def common_tasks(self, other: Row) -> tuple[str, ...]:
        """Tasks that both rows have under the very same configuration, in this row's order.

        The items are part of it: a task of which one model's items were left out, and the other's
        were not, is two different tasks.
        """
        theirs = other.scores
        return tuple(
            task
            for task, score in self.scores.items()
            if task in theirs
            and theirs[task].config_hash == score.config_hash
            and theirs[task].left_out == score.left_out
        )

    def common_averaged(self, other: Row) -> tuple[str, ...]:
        """Those of the common tasks that a mean may be over."""
        return tuple(t for t in self.common_tasks(other) if self.scores[t].in_means)

    def difference(self, other: Row) -> float | None:
        """Mean of this row's score minus the other's over the common tasks that can be averaged."""
        tasks = self.common_averaged(other)
        if not tasks:
            return None
        return fsum(self.scores[t].value - other.scores[t].value for t in tasks) / len(tasks)


@dataclass(frozen=True)
class Board:
    """Every row of one suite. `tasks` maps each task to its domain, in the suite's order."""

    suite: str
    tasks: Mapping[str, str]
    rows: tuple[Row, ...]
    revision: int
    entries: Mapping[int, Entry] = field(default_factory=dict)
    """Every registered model, scored or not: parents without scores are named from here."""

    @cached_property
    def domains(self) -> tuple[str, ...]:
        """The domains, in the order of their first task."""
        return tuple(dict.fromkeys(self.tasks.values()))

    @cached_property
    def outside(self) -> dict[str, str]:
        """Task -> how its metric is called, of tasks that are in no mean."""
        return {
            task: metrics.label(
                row.scores[task].metric, higher_is_better=row.scores[task].higher_is_better
            )
            for task in self.tasks
            for row in self.rows
            if task in row.scores and not row.scores[task].in_means
        }

    @cached_property
    def configurations(self) -> tuple[str, ...]:
        """The configurations there are, the one with most rows first."""
        count: dict[str, int] = defaultdict(int)
        for row in self.rows:
            count[row.configuration] += 1
        return tuple(sorted(count, key=lambda name: (-count[name], name)))

    @cached_property
    def _rows_of(self) -> Mapping[int, tuple[Row, ...]]:
        groups: dict[int, list[Row]] = defaultdict(list)
        for row in self.rows:
            groups[row.entry.id].append(row)
        return {model_id: tuple(rows) for model_id, rows in groups.items()}

    def rows_of(self, model_id: int) -> tuple[Row, ...]:
        """All rows of one model."""
        return self._rows_of.get(model_id, ())

    def row_of(self, model_id: int, configuration: str) -> Row | None:
        """The row of a model under a configuration; of its present weights where there are two."""
        rows = [r for r in self.rows_of(model_id) if r.configuration == configuration]
        return min(rows, key=lambda r: (r.is_outdated, -r.scored), default=None)

    def parent_rows(self, row: Row) -> list[Row]:
        """Rows of the model's parents under the row's configuration, in the recipe's order."""
        found = [self.row_of(p.model_id, row.configuration) for p in row.entry.parents]
        return [parent for parent in found if parent is not None and parent.common_tasks(row)]

    def unscored_parents(self, row: Row) -> list[str]:
        """Names of the model's parents that have no score beside the row's, in the recipe's order.

        A best parent was then picked from the others only, and says less.
        """
        scored = {parent.entry.id for parent in self.parent_rows(row)}
        missing = [p.model_id for p in row.entry.parents if p.model_id not in scored]
        return [self.entries[i].name if i in self.entries else "a deleted model" for i in missing]

    def best_parent(self, row: Row) -> Row | None:
        """The parent with the highest macro score, over the tasks that all scored parents share.

        Where no task of theirs can be averaged, it is the one that is best on most of them. None
        when the model has no parents or none of them was scored under this configuration.
        """
        parents = self.parent_rows(row)
        if not parents:
            return None
        shared = set.intersection(*(set(row.common_tasks(parent)) for parent in parents))
        if not shared:  # nothing in common: the parent that covers most of the merge's tasks
            return max(parents, key=lambda p: len(row.common_tasks(p)))
        averaged = [task for task in row.averaged if task in shared]
        if averaged:
            return max(parents, key=lambda p: fsum(p.scores[t].value for t in averaged))
        best = {task: max(p.scores[task].goodness for p in parents) for task in shared}
        return max(parents, key=lambda p: sum(p.scores[t].goodness == best[t] for t in shared))

    def loses_to_every_parent(self, row: Row) -> bool:
        """True when each scored parent stands above the row on their common tasks."""
        differences = [row.difference(parent) for parent in self.parent_rows(row)]
        return bool(differences) and all(d is not None and d < 0 for d in differences)
