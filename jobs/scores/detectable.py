"""What a run will be able to tell, said before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from db.engine import session
from db.tables import Evaluation
from evaluation.statistics.planning import CORRELATION, FEWEST, Plan, plan

if TYPE_CHECKING:
    from evaluation.holdout import Part

FEW = 100
"""Items below which a task alone is said to tell little: two models then look alike within
18 points."""


UNKNOWN = (
    "How small a difference this suite can tell from noise is known after its first run: until "
    "then nothing here says how many items it has."
)


@dataclass(frozen=True, slots=True)
class Told:
    """A plan in words.

    Attributes:
        sentence: what the run can tell; always there.
        warning: about single tasks, empty when they have items enough.
        plan: the numbers.
    """

    sentence: str
    warning: str
    plan: Plan


def before(
    suite: str,
    limit: int | None = None,
    part: Part | None = None,
    tasks: Sequence[str] | None = None,
) -> Told:
    """What scoring on a suite will be able to tell.

    Numbers of items are read from the tasks' files, else from earlier scores; a limit stands for
    those that nobody knows.

    Args:
        suite: name or path.
        limit: items per task, None for all.
        part: of a split of the items, None for all.
        tasks: only these of the suite's tasks.

    Raises:
        SuiteError: there is no such suite.
    """
    from evaluation.holdout import SEARCH
    from evaluation.suites import load_suite
    from evaluation.suites.item_counts import item_counts

    loaded = load_suite(suite)
    counts = item_counts(loaded)
    seen = _seen(loaded.name)
    share = 1.0 if part is None else part.share if part.name == SEARCH else 1 - part.share
    asked: dict[str, int | None] = {}
    for task in loaded.tasks if tasks is None else tasks:
        n = counts.get(task) or seen.get(task)
        n = None if n is None else max(1, round(n * share))
        asked[task] = limit if n is None else n if limit is None else min(n, limit)
    return told(plan(asked))


def told(made: Plan) -> Told:
    """A plan as a sentence, and as a warning about its smallest tasks."""
    if not made.items:
        return Told(UNKNOWN, "", made)
    items, tasks = sum(made.items.values()), len(made.items)
    over = f"{items:,} item{'' if items == 1 else 's'}" + (
        f" in {tasks} tasks" if tasks > 1 else ""
    )
    if made.mean is None:
        return Told(f"With {over} no difference can be told from noise.", "", made)
    sentence = (
        f"With {over} the smallest difference{' of the mean' if tasks > 1 else ''} that can be "
        f"told from noise is about {points(made.mean)} (paired, 80 % power)."
    )
    if made.unknown:
        sentence += f" {len(made.unknown)} more tasks will add to it."
    return Told(sentence, _few(made), made)


def _few(made: Plan) -> str:
    """What single tasks can't tell."""
    few = [task for task, n in made.items.items() if n < FEW]
    if not few or len(made.items) == 1:
        return ""
    smallest = min(few, key=lambda task: made.items[task])
    n, least = made.items[smallest], made.tasks[smallest]
    what = (
        "tells no difference at all"
        if least is None
        else f"tells only differences of {points(least)} or more"
    )
    who = "Each task" if len({made.items[t] for t in made.items}) == 1 else smallest
    return f"{who} alone, with {n} item{'s' if n > 1 else ''}, {what}."


def points(share: float) -> str:
    """`11 points`, `2.4 points`."""
    value = 100 * share
    return f"{value:.0f} points" if value >= 9.95 else f"{value:.1f} points"


EXPLAINED = (
    "Exact for two models of about 50 % whose answers to the same items correlate with "
    f"{CORRELATION:g}, the median of 1,275 pairs of language models; merges of the same parents "
    f"often agree more and need less. Below {FEWEST} items no paired test can reach 5 %."
)


def _seen(suite: str) -> dict[str, int]:
    """Task -> the largest number of items that a score of a suite had."""
    query = select(Evaluation.task, func.max(Evaluation.n)).where(Evaluation.suite == suite)
    with session() as opened:
        return {str(task): int(n) for task, n in opened.execute(query.group_by(Evaluation.task))}
