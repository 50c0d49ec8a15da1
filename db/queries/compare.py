"""What the Compare page reads: the models' own data, and their answers side by side."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select

from db.engine import session
from db.queries.answers import Mark, lower_is_better, marks
from db.tables import Model


@dataclass(frozen=True)
class Details:
    """A model as its own page would introduce it."""

    id: int
    name: str
    role: str
    domain: str | None
    method: str | None
    source: str
    revision: str | None
    recipe_yaml: str | None
    recipe_hash: str | None
    n_parameters: int | None
    size_bytes: int | None
    dtype: str | None
    note: str


@dataclass(frozen=True)
class Item:
    """One item of a task and what each model made of it; None where a model was not asked."""

    task: str
    doc_id: int
    marks: tuple[Mark | None, ...]
    higher_is_better: bool = True


def details(model_ids: Iterable[int]) -> dict[int, Details]:
    """The models there are among these ids; unknown ids are left out."""
    m = Model
    query = select(
        m.id, m.name, m.role, m.domain, m.method, m.source, m.revision, m.recipe_yaml,
        m.recipe_hash, m.n_parameters, m.size_bytes, m.dtype, m.note,
    ).where(m.id.in_(list(model_ids)))  # fmt: skip
    with session() as s:
        return {row[0]: Details(*list(row)) for row in s.execute(query)}


def sheet(evaluations: Mapping[str, Sequence[int | None]]) -> list[Item]:
    """The answer sheet: every item of every task, one mark per model.

    Args:
        evaluations: task -> evaluation of each model, in the models' order, None for a model
            without one. Items are the same when their number and their content are.
    """
    wanted = [e for column in evaluations.values() for e in column if e is not None]
    lower = lower_is_better(wanted)
    by_evaluation: dict[int, dict[tuple[int, str], Mark]] = defaultdict(dict)
    for mark in marks(wanted):
        by_evaluation[mark.evaluation_id][mark.doc_id, mark.doc_hash] = mark
    items = []
    for task, columns in evaluations.items():
        answers = [by_evaluation.get(e, {}) if e is not None else {} for e in columns]
        places = sorted({place for column in answers for place in column})
        higher = lower.isdisjoint(columns)
        items += [
            Item(task, place[0], tuple(column.get(place) for column in answers), higher)
            for place in places
        ]
    return items


def is_right(mark: Mark | None) -> bool | None:
    """Right or wrong; None where the item was not answered or the metric is a matter of degree."""
    return None if mark is None else mark.correct


def is_different(item: Item, focus: int, baseline: int) -> bool:
    """The models do not all have the same score."""
    return len({mark.score for mark in item.marks if mark is not None}) > 1


def is_fixed(item: Item, focus: int, baseline: int) -> bool:
    """The model in focus does better here than the baseline."""
    return _ahead(item, focus, baseline)


def is_regressed(item: Item, focus: int, baseline: int) -> bool:
    """The model in focus does worse here than the baseline."""
    return _ahead(item, baseline, focus)


def _ahead(item: Item, one: int, other: int) -> bool:
    first, second = item.marks[one], item.marks[other]
    if first is None or second is None:
        return False
    return first.score > second.score if item.higher_is_better else first.score < second.score


def is_only_right(item: Item, focus: int, baseline: int) -> bool:
    """The model in focus is right and every other model shown is wrong."""
    others = [mark for i, mark in enumerate(item.marks) if i != focus]
    return (
        is_right(item.marks[focus]) is True
        and bool(others)
        and all(is_right(mark) is False for mark in others)
    )


def is_all_wrong(item: Item, focus: int, baseline: int) -> bool:
    """Every model shown is wrong."""
    return all(is_right(mark) is False for mark in item.marks)


def is_unanswered(item: Item, focus: int, baseline: int) -> bool:
    """Some model gave no answer here, or was cut off before one."""
    return any(mark is not None and mark.state in ("missing", "truncated") for mark in item.marks)


def is_any(item: Item, focus: int, baseline: int) -> bool:
    """Every item."""
    return True


FILTERS: Mapping[str, Callable[[Item, int, int], bool]] = {
    "all": is_any,
    "different": is_different,
    "fixed": is_fixed,
    "regressed": is_regressed,
    "only": is_only_right,
    "wrong": is_all_wrong,
    "none": is_unanswered,
}
"""Name -> does the item belong, given the columns of the model in focus and of the baseline?"""


def select_items(items: Sequence[Item], name: str, focus: int, baseline: int) -> list[Item]:
    """The items that a filter keeps; an unknown name keeps all."""
    belongs = FILTERS.get(name, is_any)
    return [item for item in items if belongs(item, focus, baseline)]
