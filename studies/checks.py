"""A design against what is there: the suite, the models' files, and whether they fit together."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Mapping
from typing import TYPE_CHECKING

from evaluation.errors import EvaluationError, SuiteError
from evaluation.nearest import nearest
from evaluation.statistics.planning import FEWEST
from merging.recipes.recipe import Constituent, Recipe
from studies.errors import StudyError
from studies.stages import INSTRUCT

if TYPE_CHECKING:
    from evaluation.suites import Suite
    from merging.planning.checks import Check
    from studies.design import Design


def check_suite(design: Design) -> Suite:
    """The suite, if it is there, has the tasks, and merges may be chosen by it.

    Raises:
        StudyError: in one sentence.
    """
    from evaluation.suites import load_suite

    _refuse_prompt_sets([design.suite, *(design.tasks or ())])
    try:
        suite = load_suite(design.suite)
    except SuiteError as error:
        raise StudyError(str(error)) from None
    for task in design.tasks or ():
        if task not in suite.tasks:
            raise StudyError(
                f"The suite {suite.name} has no task {task!r}.{nearest(task, list(suite.tasks))}"
            )
    # a suite of one's own over the same questions, whatever it is called
    _refuse_prompt_sets([*suite.tasks, *suite.data])
    return suite


def _refuse_prompt_sets(names: Iterable[str]) -> None:
    """Sets that a judge scores: some may never choose a merge, and none is a suite."""
    from evaluation.judge.sets import require_no_sets

    try:
        require_no_sets(names, "study")
    except EvaluationError as error:
        raise StudyError(str(error)) from None


def check_items(design: Design, reported: Mapping[str, int | None]) -> None:
    """Whether the items that are reported can tell anything.

    Args:
        design: of the study.
        reported: task -> items of the part for reporting, None where nobody knows.

    Raises:
        StudyError: too few items.
    """
    known = [n for n in reported.values() if n is not None]
    if len(known) < len(reported) or sum(known) >= FEWEST:
        return
    n = sum(known)
    items = "1 item is" if n == 1 else f"{n} items are"
    raise StudyError(
        f"Only {items} left to report on, and below {FEWEST} no test can tell a difference from "
        "noise. Take more tasks or a higher limit."
    )


def check_distinct(
    design: Design, folders: Mapping[str, str], fingerprints: Mapping[str, str]
) -> None:
    """No two models of the study are the same files or have the same weights.

    Args:
        design: of the study.
        folders: reference -> folder, as far as they are known.
        fingerprints: reference -> content hash of the weights, as far as they are known.

    Raises:
        StudyError: naming the two.
    """
    seen: dict[str, str] = {}
    for name, one in design.models.items():
        folder, print_ = folders.get(one.model), fingerprints.get(one.model)
        for mark, what in (
            (folder and os.path.realpath(folder), "the same folder"),
            (print_, "the same weights"),
        ):
            if not mark:
                continue
            other = seen.setdefault(mark, name)
            if other != name:
                raise StudyError(
                    f"{other} and {name} have {what} ({design.models[other].model} and "
                    f"{one.model}); every model of a study must be another one."
                )


def recipe_of_all(design: Design, here: Container[str] | None = None) -> Recipe:
    """One merge of all of a study's models: what fits it fits every point.

    `merging.planning.plan` looks at it: same architecture, shapes, vocabulary, and whether each
    was made from the base.

    Args:
        design: of the study.
        here: references of the models to take, besides the base; None for all.
    """
    models = [
        Constituent(role="instruct" if name == INSTRUCT else "expert", **one.model_dump())
        for name, one in list(design.models.items())[1:]
        if here is None or one.model in here
    ]
    base = design.base
    return Recipe(
        method="task_arithmetic",
        base=base.model,
        base_revision=base.revision,
        base_fingerprint=base.fingerprint,
        models=models,
    )


def refuse_bad(checks: Iterable[Check]) -> tuple[str, ...]:
    """What a look at the models found.

    Args:
        checks: from `merging.planning.plan` on `recipe_of_all`.

    Returns:
        What is no obstacle, a sentence each.

    Raises:
        StudyError: the first thing that stands in the way.
    """
    warnings = []
    for check in checks:
        text = f"{check.detail} {check.fix}".strip()
        if check.state == "bad" and check.title not in ("Memory", "GPU memory"):
            raise StudyError(text)
        if check.state != "ok":
            warnings.append(text)
    return tuple(warnings)
