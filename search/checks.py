"""A search's design against the suite: is it there, may merges be chosen by it, is it enough."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluation.errors import EvaluationError, SuiteError
from evaluation.statistics.planning import FEWEST
from merging.wording import unknown
from search.errors import SearchError

if TYPE_CHECKING:
    from evaluation.suites import Suite
    from search.design import SearchDesign

Counts = Mapping[str, int | None]


@dataclass(frozen=True)
class Asked:
    """What every trial is asked.

    Attributes:
        suite: loaded.
        tasks: that the objectives need, in the suite's order.
        objectives: for each its tasks; none for the change.
    """

    suite: Suite
    tasks: tuple[str, ...]
    objectives: tuple[tuple[str, ...], ...]


def check_suite(design: SearchDesign, experts: Iterable[str] = ()) -> Asked:
    """What a design asks of each trial.

    Args:
        design: of the search.
        experts: domains of the recipe's models.

    Raises:
        SearchError: no such suite, task or domain; or no merge may be chosen by it.
    """
    from evaluation.suites import load_suite

    named = [task for one in design.objectives for task in one.tasks or ()]
    _refuse_prompt_sets([design.suite, *(design.tasks or ()), *named])
    try:
        suite = load_suite(design.suite)
    except SuiteError as error:
        raise SearchError(str(error)) from None
    for task in design.tasks or ():
        if task not in suite.tasks:
            raise SearchError(unknown(f"task of the suite {suite.name}", task, suite.tasks))
    # a suite of one's own over the same questions, whatever it is called
    _refuse_prompt_sets([*suite.tasks, *suite.data])
    wanted = design.tasks or suite.tasks
    domains = {task: suite.domain(task) for task in suite.tasks if task in wanted}
    found = tuple(tuple(one.tasks_of(domains, list(experts))) for one in design.objectives)
    used = {task for some in found for task in some}
    return Asked(suite, tuple(task for task in suite.tasks if task in used), found)


def _refuse_prompt_sets(names: Iterable[str]) -> None:
    """Sets that a judge scores: some may never choose a merge, and none is a suite."""
    from evaluation.judge.sets import require_no_sets

    try:
        require_no_sets(names, "search")
    except EvaluationError as error:
        raise SearchError(str(error)) from None


def parts(design: SearchDesign, items: Counts) -> tuple[Counts, Counts]:
    """Task -> items that choose, and items that are reported on; None where nobody knows.

    Args:
        design: of the search.
        items: task -> all items that there are.
    """

    def cut(n: int) -> int:
        return n if design.limit is None else min(n, design.limit)

    kept = {task: None if n is None else round(n * (1 - design.split.share))
            for task, n in items.items()}  # fmt: skip
    choose = {task: None if n is None else cut(n - (kept[task] or 0)) for task, n in items.items()}
    return choose, {task: None if n is None else cut(n) for task, n in kept.items()}


def check_items(choosing: Mapping[str, int | None], reported: Mapping[str, int | None]) -> None:
    """Whether the items of both parts can tell anything.

    Raises:
        SearchError: too few.
    """
    for counts, what in ((choosing, "to choose by"), (reported, "to report on")):
        known = [n for n in counts.values() if n is not None]
        if len(known) < len(counts) or sum(known) >= FEWEST:
            continue
        items = "1 item is" if sum(known) == 1 else f"{sum(known)} items are"
        raise SearchError(
            f"Only {items} left {what}, and below {FEWEST} no test can tell a difference from "
            "noise. Take more tasks or a higher limit."
        )
