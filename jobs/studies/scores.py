"""A study's scores out of the database: of parents from the evaluations, of points from their own.

Both are of all items, asked under the same configuration, and line up item by item.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select

from db.engine import session
from db.queries import studies as study_rows
from db.queries.models import ModelRow
from db.tables import Answer, Evaluation, PointScore, StudyPoint
from studies.design import Design

if TYPE_CHECKING:
    from studies.results import Task
    from studies.vectors import Cell as PairCell

DTYPES = ("float32", "bfloat16", "float16")
Items = tuple[tuple[int, str], ...]
MOST_COMPARED = 200  # pairs of lists that are remembered


@dataclass(frozen=True, eq=False)
class Cell:
    """One model's score on one task.

    Attributes:
        domain: of the suite.
        metric: primary metric.
        value: over all items.
        stderr: of the value.
        higher_is_better: of the metric.
        items: number and hash of each document that was asked, in order.
        scores: `[n]` float32, of the items.
        evaluation_id: of a parent.
    """

    domain: str
    metric: str
    value: float
    stderr: float | None
    higher_is_better: bool
    items: Items
    scores: NDArray[np.float32]
    evaluation_id: int | None = None


def wanted(design: Design, study_id: int) -> dict[str, str]:
    """Task -> hash of the configuration that its scores carry, in the suite's order.

    Points and parents may have been scored in another dtype than this machine would take: the one
    that most of the study's points have counts. A suite that is gone is told from the scores.
    """
    from evaluation.errors import EvaluationError

    there = _hashes_of_points(study_id)
    in_time = sorted(there.items(), key=lambda one: one[1][1])
    newest = {task: config for (task, config), _ in in_time}
    try:
        by_dtype = dict(zip(DTYPES, _hashes(design, DTYPES), strict=True))
    except EvaluationError:
        return newest

    def fitting(dtype: str) -> int:
        return sum(there.get(pair, (0, 0.0))[0] for pair in by_dtype[dtype].items())

    best = max(DTYPES, key=fitting)  # the first of equal ones
    if fitting(best):
        return by_dtype[best]
    # Suite or scorer have changed since: what there is stays readable until it is scored anew.
    here = by_dtype[dtype_here(design)]
    return {task: newest.get(task, config) for task, config in here.items()}


def hashes(design: Design, dtype: str) -> dict[str, str]:
    """Task -> hash of the configuration that a score in this dtype carries.

    Raises:
        SuiteError: the suite is not there.
    """
    return _hashes(design, [dtype])[0]


def _hashes(design: Design, dtypes: Sequence[str]) -> list[dict[str, str]]:
    """`hashes` for several dtypes, the suite read once."""
    from evaluation.configs import config_hash, task_configs
    from evaluation.suites import load_suite

    suite = load_suite(design.suite)
    found = []
    for dtype in dtypes:
        configs = task_configs(suite, design.limit, dtype)
        asked = [task for task in configs if design.tasks is None or task in design.tasks]
        found.append({task: config_hash(configs[task]) for task in asked})
    return found


def dtype_here(design: Design, device: str = "auto") -> str:
    """The dtype that points are scored in on this machine; see `scoring_dtype`."""
    from jobs import devices
    from jobs.scores.scored import CPU_DTYPE
    from jobs.studies import parents

    if device == "cpu" or devices.devices() == ["cpu"]:
        return CPU_DTYPE
    base = parents.rows(design).get("base")
    own = str(base.dtype) if base is not None else ""
    return own if own in DTYPES else CPU_DTYPE


def of_parents(
    design: Design, known: Mapping[str, ModelRow], hashes: Mapping[str, str]
) -> dict[str, dict[str, Cell]]:
    """Name of a parent ("base", domain or "instruct") -> task -> score."""
    e = Evaluation
    prints = {
        known[name].id: (name, one.fingerprint or known[name].fingerprint)
        for name, one in design.models.items()
        if name in known
    }
    query = (
        select(e.id, e.model_id, e.model_fingerprint, e.task, e.domain, e.metric, e.value,
               e.stderr, e.higher_is_better)
        .where(e.model_id.in_(list(prints)), e.config_hash.in_(set(hashes.values())))
        .order_by(e.id)
    )  # fmt: skip
    with session() as opened:
        rows = [
            row for row in opened.execute(query)
            if row.model_fingerprint == prints[row.model_id][1]
        ]  # fmt: skip
    answers = _answers([row.id for row in rows])
    found: dict[str, dict[str, Cell]] = {}
    for row in rows:
        items, values = answers.get(row.id, ((), np.empty(0, np.float32)))
        found.setdefault(prints[row.model_id][0], {})[row.task] = Cell(
            row.domain, row.metric, row.value, row.stderr, row.higher_is_better, items, values,
            row.id,
        )  # fmt: skip
    return found


def of_points(
    study_id: int, hashes: Mapping[str, str]
) -> tuple[dict[int, dict[str, Cell]], dict[str, Items]]:
    """Number of a point -> task -> score, and the lists of items by their hash."""
    rows = study_rows.scores(study_id, set(hashes.values()))
    lists = {
        name: tuple(items) for name, items in study_rows.lists({row.asked for row in rows}).items()
    }
    found: dict[int, dict[str, Cell]] = {}
    for row in rows:
        found.setdefault(row.point_id, {})[row.task] = Cell(
            row.domain, row.metric, row.value, row.stderr, row.higher_is_better,
            lists[row.asked], np.asarray(row.items, dtype=np.float32),
        )  # fmt: skip
    return found, lists


def tasks_of(
    design: Design,
    hashes: Mapping[str, str],
    of_parents: Mapping[str, Mapping[str, Cell]],
    of_points: Mapping[int, Mapping[str, Cell]],
    lists: Mapping[str, Items],
    masks: Mapping[str, Sequence[bool]],
) -> tuple[Task, ...]:
    """The tasks that anybody has a score on, in the suite's order."""
    from studies.results import Task

    everybody = [*of_parents.values(), *of_points.values()]
    first = next(iter(of_parents.values()), {})
    chances = _chances([c.evaluation_id for c in first.values() if c.evaluation_id is not None])
    made = []
    for name in hashes:
        cells = [scored[name] for scored in everybody if name in scored and scored[name].items]
        if not cells:
            continue
        items = max((cell.items for cell in cells), key=len)
        mask = masks.get(name)
        held_out = np.array(
            [mask[number] if mask is not None and number < len(mask) else True
             for number, _ in items], dtype=np.bool_,
        )  # fmt: skip
        evaluation = first[name].evaluation_id if name in first else None
        binary = all(_is_binary(cell.scores) for cell in cells)
        made.append(
            Task(
                name=name,
                domain=cells[0].domain,
                metric=cells[0].metric,
                n=len(items),
                items=items,
                binary=binary,
                higher_is_better=cells[0].higher_is_better,
                chance=chances.get(evaluation or 0) if binary else None,
                held_out=held_out,
                by_item=all(_is_mean(cell) for cell in cells),
            )
        )
    return tuple(made)


def lined_up(cell: Cell, task: Task) -> NDArray[np.float32]:
    """The scores in the order of the task's items, nan for one that was not asked."""
    if cell.items is task.items or _same(cell.items, task.items):
        return cell.scores
    places = {item: place for place, item in enumerate(task.items)}
    found = np.full(task.n, np.nan, dtype=np.float32)
    for item, score in zip(cell.items, cell.scores, strict=True):
        if item in places:
            found[places[item]] = score
    return found


_alike: dict[tuple[int, int], tuple[Items, Items, bool]] = {}


def _same(one: Items, other: Items) -> bool:
    """Whether two lists are the same: a thousand merges share one, which is compared once."""
    known = _alike.get((id(one), id(other)))
    if known is not None and known[0] is one and known[1] is other:
        return known[2]
    if len(_alike) > MOST_COMPARED:
        _alike.clear()
    found = one == other
    _alike[id(one), id(other)] = (one, other, found)
    return found


def similarity(
    design: Design, known: Mapping[str, ModelRow]
) -> tuple[dict[tuple[str, str], dict[str, float]] | None, tuple[PairCell, ...]]:
    """How alike the parents are, where somebody has compared them; see `studies.vectors`."""
    from jobs.models import similarity as compared
    from merging.errors import MergingError
    from studies import vectors

    if len(known) < len(design.models):
        return None, ()
    others = [row for name, row in known.items() if name != "base"]
    try:
        found = compared.find(compared.checked(others, known["base"]))
    except (MergingError, OSError, ValueError):
        return None, ()
    except Exception as error:  # too many models, or one that was never written
        if not hasattr(error, "exit_code"):
            raise
        return None, ()
    if found is None:
        return None, ()
    names = {row.name: name for name, row in known.items()}
    said = [names[one] for one in found.labels]
    order = list(design.models)

    def turned(first: str, second: str) -> bool:
        return order.index(first) > order.index(second)

    pairs = {
        (pair[::-1] if turned(*pair) else pair): measures
        for pair, measures in vectors.overall(found.similarity, said).items()
    }
    cells = [
        replace(c, first=c.second, second=c.first, first_squared=c.second_squared,
                second_squared=c.first_squared) if turned(c.first, c.second) else c
        for c in vectors.cells(found.similarity, said)
    ]  # fmt: skip
    return pairs, tuple(cells)


def _hashes_of_points(study_id: int) -> dict[tuple[str, str], tuple[int, float]]:
    """(task, configuration) -> how many points have it, and when the last one got it."""
    s = PointScore
    query = (
        select(s.task, s.config_hash, func.count(), func.max(s.created))
        .join(StudyPoint, StudyPoint.id == s.point_id)
        .where(StudyPoint.study_id == study_id)
        .group_by(s.task, s.config_hash)
    )
    with session() as opened:
        return {(task, config): (n, last) for task, config, n, last in opened.execute(query)}


def _answers(evaluation_ids: Iterable[int]) -> dict[int, tuple[Items, NDArray[np.float32]]]:
    """Evaluation -> its items in the order of their numbers, and their scores."""
    a = Answer
    query = select(a.evaluation_id, a.doc_id, a.doc_hash, a.score)
    query = query.where(a.evaluation_id.in_(list(evaluation_ids))).order_by(a.doc_id)
    items: dict[int, list[tuple[int, str]]] = {}
    scores: dict[int, list[float]] = {}
    with session() as opened:
        for evaluation, number, doc, score in opened.execute(query):
            items.setdefault(evaluation, []).append((number, doc))
            scores.setdefault(evaluation, []).append(score)
    return {one: (tuple(items[one]), np.array(scores[one], dtype=np.float32)) for one in items}


def _chances(evaluation_ids: Iterable[int]) -> dict[int, float]:
    """Evaluation -> score of guessing: over the number of choices, 0 for what is written."""
    query = select(Answer.evaluation_id, Answer.choices)
    query = query.where(Answer.evaluation_id.in_(list(evaluation_ids)))
    shares: dict[int, list[float]] = {}
    with session() as opened:
        for evaluation, choices in opened.execute(query):
            shares.setdefault(evaluation, []).append(1 / len(choices) if choices else 0.0)
    # A single "choice" is a text whose probability is measured: nobody guesses there.
    return {one: float(np.mean(each)) for one, each in shares.items() if 1.0 not in each}


def _is_binary(scores: NDArray[np.float32]) -> bool:
    return bool(((scores == 0) | (scores == 1)).all())


def _is_mean(cell: Cell) -> bool:
    """Whether the metric is the mean of the items' scores."""
    mean: Any = cell.scores.mean(dtype=np.float64)
    return bool(abs(float(mean) - cell.value) <= 1e-5 * max(1.0, abs(cell.value)))
