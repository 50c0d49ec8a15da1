"""Answer sheets: item by model, right or wrong, sorted so that what only the merge knows shows.

Of a focus merge and its constituents every item falls into one group, in this order:

* "only merge": right, and no constituent is;
* "some": right, with some of the constituents but not all;
* "all right": right, with all constituents;
* "lost": wrong, though all constituents are right;
* "missed": wrong, though some constituent is right;
* "all wrong": nobody among them is right.

Scores between 0 and 1 count as right from 0.5 on; the sheet says where that was done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studies.errors import StudyError
from studies.results import Part, Results, Scored, Task

GROUPS = ("only merge", "some", "all right", "lost", "missed", "all wrong")
RIGHT_FROM = 0.5


@dataclass(frozen=True, eq=False)
class Sheet:
    """A merge beside its constituents and other models on the items of some tasks.

    Attributes:
        merge: key of the focus merge.
        models: keys of the columns: the merge, its constituents, then others.
        labels: of the columns.
        constituents: keys of the constituents among them.
        tasks: names of the tasks.
        task: `(n,)`, place of each item's task in `tasks`.
        doc: `(n,)`, number of the document.
        item: `(n,)`, place of the item in its task's score arrays.
        group: `(n,)`, place in GROUPS.
        right: `(n, models)`, 1 right, 0 wrong, -1 not asked.
        graded: tasks whose scores are not right or wrong, and were cut at 0.5.
    """

    merge: str
    models: tuple[str, ...]
    labels: tuple[str, ...]
    constituents: tuple[str, ...]
    tasks: tuple[str, ...]
    task: NDArray[np.int64]
    doc: NDArray[np.int64]
    item: NDArray[np.int64]
    group: NDArray[np.int64]
    right: NDArray[np.int8]
    graded: tuple[str, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Group -> items."""
        found = np.bincount(self.group, minlength=len(GROUPS))
        return {name: int(found[i]) for i, name in enumerate(GROUPS)}

    def table(self) -> list[dict[str, Any]]:
        """A row for every item, in the order of the sheet; None: not asked."""
        return [
            {"task": self.tasks[self.task[i]], "doc_id": int(self.doc[i]),
             "group": GROUPS[self.group[i]],
             **{key: None if mark < 0 else int(mark)
                for key, mark in zip(self.models, self.right[i], strict=True)}}
            for i in range(len(self.doc))
        ]  # fmt: skip

    def data(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {"merge": self.merge, "models": list(self.models), "labels": list(self.labels),
                "constituents": list(self.constituents), "counts": self.counts,
                "graded": list(self.graded), "items": self.table()}  # fmt: skip


def sheet(
    results: Results,
    merge: str,
    *,
    others: Sequence[str] = (),
    tasks: Sequence[str] | None = None,
    part: Part = "all",
) -> Sheet:
    """The answer sheet of a merge.

    Args:
        results: of the study.
        merge: key of a point.
        others: keys of more models to show beside it; they do not change the groups. The base
            stands there for a merge that has it not among its constituents.
        tasks: names; default all that the merge has.
        part: of the items.

    Raises:
        StudyError: there is no such merge, or no constituent of it is scored.
    """
    focus = results.model(merge)
    if focus is None or focus.point is None:
        raise StudyError(f"The study has no scored merge {merge}.")
    beside = results.constituents(focus.point)
    if not beside:
        raise StudyError(f"None of the constituents of {focus.label} is scored yet.")
    more = [one for key in others if (one := results.model(key)) is not None]
    models = list({one.key: one for one in (focus, *beside, *more)}.values())
    used = [
        task for task in results.tasks
        if task.name in focus.items and (tasks is None or task.name in tasks)
    ]  # fmt: skip
    return _sorted(results, focus, beside, models, used, part)


def _sorted(
    results: Results,
    focus: Scored,
    beside: Sequence[Scored],
    models: Sequence[Scored],
    used: Sequence[Task],
    part: Part,
) -> Sheet:
    rows = [results.row[one.key] for one in models]
    blocks, places, docs, which = [], [], [], []
    for number, task in enumerate(used):
        kept = np.flatnonzero(task.mask(part))
        blocks.append(marks(results.items(task.name)[rows][:, kept]).T)
        places.append(kept)
        docs.append(np.array([task.items[i][0] for i in kept], dtype=np.int64))
        which.append(np.full(kept.size, number, dtype=np.int64))
    right = np.concatenate(blocks) if blocks else np.zeros((0, len(models)), dtype=np.int8)
    group = groups_of(right[:, 0], right[:, 1 : 1 + len(beside)])
    none = np.zeros(0, dtype=np.int64)
    task_of, doc, item = (np.concatenate([none, *one]) for one in (which, docs, places))
    # within a group the same pattern of answers stands together
    pattern = [-right[:, column] for column in range(right.shape[1] - 1, 0, -1)]
    order = np.lexsort((doc, task_of, *pattern, group))
    return Sheet(
        merge=focus.key,
        models=tuple(one.key for one in models),
        labels=tuple(one.label for one in models),
        constituents=tuple(one.key for one in beside),
        tasks=tuple(task.name for task in used),
        task=task_of[order],
        doc=doc[order],
        item=item[order],
        group=group[order],
        right=right[order],
        graded=tuple(task.name for task in used if not task.binary),
    )


def marks(scores: NDArray[np.float32]) -> NDArray[np.int8]:
    """1 right, 0 wrong, -1 not asked."""
    found = (scores >= RIGHT_FROM).astype(np.int8)
    found[~np.isfinite(scores)] = -1
    return found


def groups_of(merge: NDArray[np.int8], constituents: NDArray[np.int8]) -> NDArray[np.int64]:
    """The group of each item, as places in GROUPS.

    Args:
        merge: `(n,)` marks.
        constituents: `(n, k)` marks; what was not asked counts as not right.
    """
    right = merge == 1
    some, every = (constituents == 1).any(axis=1), (constituents == 1).all(axis=1)
    cases = [right & ~some, right & ~every, right, every, some]
    return np.select(cases, range(len(cases)), default=len(cases)).astype(np.int64)
