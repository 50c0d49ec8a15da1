"""What a design must hold by itself: each rule with its sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from merging.wording import in_words, quoted
from studies.errors import StudyError
from studies.stages import BASE, INSTRUCT, MERGE_STAGES, STAGES, Stage

if TYPE_CHECKING:
    from studies.design import Design

MOST_EXPERTS = 6
MOST_POINTS = 20_000


def check_models(design: Design) -> None:
    """One to six experts, and no model twice.

    Raises:
        StudyError: the first rule that is broken.
    """
    if not design.experts:
        raise StudyError("The study has no experts; name one at least, by its domain.")
    if len(design.experts) > MOST_EXPERTS:
        raise StudyError(
            f"The study has {len(design.experts)} experts; {MOST_EXPERTS} are the most."
        )
    taken = {BASE, INSTRUCT} & set(design.experts)
    if taken:
        raise StudyError(f'An expert cannot be called "{taken.pop()}"; name its domain.')
    seen: dict[tuple[str, str | None], str] = {}
    for name, one in design.models.items():
        other = seen.setdefault((one.model, one.revision), name)
        if other != name:
            raise StudyError(
                f"{other} and {name} are the same model ({one.model}); every model of a study "
                "must be another one."
            )
    references = [one.model for one in design.models.values()]
    for ref in references:
        if references.count(ref) > 1:
            raise StudyError(
                f"{ref} stands in the study with two revisions; copy one of them to a folder."
            )


def settled_stages(design: Design) -> tuple[Stage, ...]:
    """The stages in their order; without any, all that the models allow."""
    if design.stages:
        for stage in STAGES:
            if design.stages.count(stage) > 1:
                raise StudyError(f"Stage {stage} is listed twice; remove one.")
        return tuple(stage for stage in STAGES if stage in design.stages)
    merges = MERGE_STAGES[: len(design.experts)] if design.methods else ()
    return (*merges, *((STAGES[3],) if design.instruct is not None else ()))


def check_stages(design: Design) -> None:
    """Every stage has the models that it merges.

    Raises:
        StudyError: the first rule that is broken.
    """
    if not design.stages:
        raise StudyError("The study has neither methods nor an instruct model: name one.")
    n = len(design.experts)
    if n == 1 and set(design.stages) not in ({"1", INSTRUCT}, {INSTRUCT}):
        raise StudyError(
            "The study has one expert, which is enough for the stages 1 and instruct only: name a "
            "second expert, or set stages: [1, instruct]."
        )
    for stage in design.stages:
        if stage == INSTRUCT and design.instruct is None:
            raise StudyError(
                'The instruct stage needs an instruct model: add "instruct: MODEL", or take '
                "the stage out."
            )
        if stage != INSTRUCT and int(stage) > n:
            kind = {"2": "pairs", "3": "triples"}[stage]
            have = "1 expert" if n == 1 else f"{n} experts"
            raise StudyError(
                f"Stage {stage} merges {kind}, and the study has {have}: name {stage} at "
                "least, or take the stage out."
            )


def check_methods(design: Design) -> None:
    """Methods that can merge what the stages merge, each once.

    Raises:
        StudyError: the first rule that is broken.
    """
    names = [one.method for one in design.methods]
    for name in names:
        if names.count(name) > 1:
            raise StudyError(f"{name} stands in the methods twice; put both grids into one.")
    merges = [int(stage) for stage in design.merge_stages]
    if merges and not design.methods:
        raise StudyError(f"Stage {merges[0]} needs a method: name one at least.")
    for one in design.methods:
        if one.n_combinations <= MOST_POINTS:  # more are told below
            one.check_together()
        if merges and not any(one.allows(n) for n in merges):
            raise StudyError(
                f"{one.method} cannot merge what the stages {in_words(map(str, merges))} "
                "merge: it takes another number of models."
            )


def check_items(design: Design) -> None:
    """Items enough to tell anything.

    Raises:
        StudyError: the first rule that is broken.
    """
    if design.tasks is not None and not design.tasks:
        raise StudyError("The list of tasks is empty; name some, or leave it out.")
    for task in design.tasks or ():
        if (design.tasks or ()).count(task) > 1:
            raise StudyError(f"The task {quoted(task)} is listed twice; remove one.")
    if design.limit == 1:
        raise StudyError(
            "limit is 1: one item a task can tell nothing. Take more, or leave the limit out."
        )
    share = design.split.share if design.split else None
    if share and design.limit and design.limit * min(share, 1 - share) < 1:
        raise StudyError(
            f"limit is {design.limit} and the split's share {share:g}: one part would have less "
            "than one item a task. Take more items, or a share nearer to 0.5."
        )


def check_number(design: Design) -> None:
    """Not more points than anybody can wait for.

    Raises:
        StudyError: with their number.
    """
    n_points = sum(design.counts().values())
    if n_points > MOST_POINTS:
        raise StudyError(
            f"The design makes {n_points:,} merges; {MOST_POINTS:,} are the most. Take values "
            "out of the grids, or carry the best of a stage forward."
        )
