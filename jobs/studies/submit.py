"""What a press of *Start* on a study becomes, and stopping, resuming, extending it.

One press is one group of jobs: an evaluation of each parent that is not scored yet, shared with
everything else, and per stage a few lanes. A lane asks for its points when it starts
(`jobs.studies.prepare`), so starting again is all that resuming takes.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from db.engine import transaction
from db.queries import studies as study_rows
from db.queries.models import ModelRow
from db.queries.studies import sources_key
from db.tables import ItemList, Job, PointScore, Study, StudyPoint
from evaluation.published.folder import data_folder
from jobs.lanes import lanes as lanes_of
from jobs.models import recipes, similarity
from jobs.running import api, groups, queue
from jobs.studies import parents, prepare, record, scores, state
from jobs.studies.planning import plan
from studies.design import Design
from studies.errors import StudyError
from studies.points import points_of
from studies.stages import INSTRUCT

__all__ = [
    "extend", "materialise", "plan", "recipe_of", "recipes_of", "remove", "resume", "stop",
    "submit",
]  # fmt: skip

MOST_DEATHS = 12  # a point that kills its process is left out after two of them
KEPT = ("suite", "limit", "split")  # what all points of a study share


def submit(design: Design, *, device: str = "auto") -> tuple[int, str]:
    """Start a study, go on with the one of this name, or extend it; return it and its group.

    Args:
        design: of the study. One of the same name is extended by what is new.
        device: "auto", "cpu" or "cuda".

    Raises:
        StudyError: a design that does not fit what is there, or the study of the same name.
        ModelError, JobError: a model that is nowhere or cannot be used.
    """
    recipes.check_device(device)
    plan(design)
    with transaction() as opened:
        there = opened.scalar(select(Study.id).where(Study.name == design.name))
    if there is not None:
        return there, extend(there, design, device=device)
    known = parents.register(design)
    pinned = parents.pinned(design, known)
    with transaction() as opened:
        study = Study(
            name=design.name,
            design=pinned.to_mapping(),
            design_hash=design.hash,
            note=design.note,
        )
        opened.add(study)
        opened.flush()
        study_id = study.id
    return study_id, _start(study_id, pinned, known, device)


def extend(study_id: int, design: Design, *, device: str = "auto") -> str:
    """Give a study a larger design and go on; what is scored stays. Returns the group.

    Raises:
        StudyError: there is no such study, or what all its points share has changed.
    """
    row = state.get(study_id)
    before = state.design_of(row)
    known = parents.register(design)
    pinned = parents.pinned(design, known)
    check_kept(before, pinned)
    if row.design_hash == design.hash and row.group and api.open_jobs(row.group):
        return row.group
    stop(study_id)
    with transaction() as opened:
        study = opened.get_one(Study, study_id)
        study.design, study.design_hash = pinned.to_mapping(), design.hash
        study.note, study.archived = design.note or study.note, False
        _plan_again(opened, study_id)
    return _start(study_id, pinned, known, device)


def resume(study_id: int, *, device: str = "auto") -> str:
    """Go on with what is left, failed points included; return the group.

    Raises:
        StudyError: there is no such study.
    """
    row = state.get(study_id)
    if row.group and api.open_jobs(row.group):
        return row.group
    design = state.design_of(row)
    with transaction() as opened:
        _plan_again(opened, study_id)
    return _start(study_id, design, parents.register(design), device)


def stop(study_id: int) -> int:
    """Ask for a study's jobs to be stopped; what is scored stays. Returns how many there were."""
    row = state.get(study_id)
    return api.cancel_group(row.group) if row.group else 0


def remove(study_id: int) -> None:
    """Stop a study and delete it with its points and their scores; the parents' scores stay."""
    stop(study_id)
    with transaction() as opened:
        opened.execute(delete(Study).where(Study.id == study_id))
        opened.flush()
        used = select(PointScore.asked)
        opened.execute(
            delete(ItemList).where(
                or_(
                    ItemList.hash == sources_key(study_id),
                    ~ItemList.hash.startswith("sources of ") & ItemList.hash.not_in(used),
                )
            )
        )


def lanes(design: Design, known: dict[str, ModelRow], device: str = "auto") -> tuple[int, bool]:
    """How many lanes a stage has, and whether each of them takes a single core (`jobs.lanes`)."""
    return lanes_of(known.values(), max(design.counts().values(), default=1), device)


def _start(study_id: int, design: Design, known: dict[str, ModelRow], device: str) -> str:
    """Queue what is left of a study."""
    from evaluation.suites import load_suite

    n_lanes, narrow = lanes(design, known, device)
    suite = load_suite(design.suite)
    created = state.get(study_id).created
    group = groups.benchmark(
        [one.model for one in design.models.values()],
        design.suite,
        limit=design.limit,
        tasks=design.tasks,
        device=device,
        narrow=narrow,
        join=False,  # the lanes are to stand in a group of the study's own
    )
    _compare(known, group)
    before: dict[str, list[int]] = {}
    for stage in design.stages:
        needs = [job for done in _needed(design, stage) for job in before[done]]
        if not needs:  # what is known already is shown from the beginning
            prepare.enter(study_id, design, points_of(design, stage))
        before[stage] = []
        for lane in range(n_lanes):
            spec = {
                "study_id": study_id,
                "study_created": created,
                "stage": stage,
                "lane": lane,
                "lanes": n_lanes,
                "suite": suite.ref,
                "suite_name": suite.name,
                "device": device,
                "data_dir": str(data_folder()),
                "narrow": narrow,
            }
            part = f" ({lane + 1} of {n_lanes})" if n_lanes > 1 else ""
            job = Job(kind="study", title=f"{design.name}: stage {stage}{part}", spec=spec,
                      group=group, max_attempts=MOST_DEATHS)  # fmt: skip
            with transaction() as opened:
                before[stage].append(queue.add(opened, job, needs))
    prepare.copy_known(study_id, scores.hashes(design, scores.dtype_here(design, device)))
    with transaction() as opened:
        opened.get_one(Study, study_id).group = group
    return group


def _needed(design: Design, stage: str) -> Sequence[str]:
    """The stages whose scores decide what a stage consists of."""
    if stage == INSTRUCT:
        return design.merge_stages
    if not design.is_carried(stage):
        return ()
    return [one for one in (design.before(stage),) if one is not None]


def _compare(known: dict[str, ModelRow], group: str) -> None:
    """Have the parents' weights compared, for the pictures of similarity."""
    others = [row for name, row in known.items() if name != "base"]
    try:
        similarity.ask(similarity.checked(others, known["base"]), group)
    except Exception as error:  # no picture of similarity is no reason for no study
        if not hasattr(error, "exit_code"):
            raise


def _plan_again(opened: Session, study_id: int) -> None:
    """What failed or was under way is tried again."""
    again = or_(
        StudyPoint.state.in_(("failed", "running")),
        (StudyPoint.state == "done") & StudyPoint.error.is_not(None),
    )
    opened.execute(
        update(StudyPoint)
        .where(StudyPoint.study_id == study_id, again)
        .values(state="planned", starts=0, error=None, ended=None)
    )


def check_kept(before: Design, now: Design) -> None:
    """Points of one study must stay comparable.

    Raises:
        StudyError: naming what has changed.
    """
    for name in KEPT:
        if getattr(before, name) != getattr(now, name):
            raise StudyError(
                f"The study {now.name} is there already with another {name}, so its scores could "
                "not be compared with new ones. Give this one another name."
            )
    for name, one in before.models.items():
        other = now.models.get(name)
        if other is None:
            continue
        if other.model != one.model or other.revision != one.revision:
            raise StudyError(
                f"The study {now.name} is there already with {one.model} as {name}. Give this one "
                "another name."
            )
        if one.fingerprint and other.fingerprint and one.fingerprint != other.fingerprint:
            raise StudyError(
                f"{one.model} has other weights than when the study {now.name} was planned. Put "
                "them back, or give this study another name."
            )


def recipe_of(study_id: int, key: str) -> str:
    """The recipe of a point as YAML; of two merges the second, over the model of the first.

    Raises:
        StudyError: there is no such point, or it takes two merges, of which the first is no model.
    """
    from jobs.studies import reuse

    steps = recipes_of(study_id, key)
    if len(steps) == 1:
        return steps[0]
    second = reuse.over_first(steps)
    if second is None:
        raise StudyError(
            "This point is two merges, one upon the other: the second has a recipe as soon as the "
            "first is a model. Make a model of the point, or merge the first in Build."
        )
    return second.to_yaml()


def recipes_of(study_id: int, key: str) -> list[str]:
    """The recipes of a point, one upon the other; the last one may take the model `@previous`.

    Raises:
        StudyError: there is no such point.
    """
    row = state.get(study_id)
    text = study_rows.recipe(study_id, key)
    if text is None:
        raise StudyError(f"The study {row.name} has no point {key}.")
    return record.split(text)


def materialise(study_id: int, key: str, name: str | None = None) -> str:
    """Merge a point into a folder and score it with its parents; return the group.

    Args:
        study_id: of the study.
        key: of the point.
        name: of the merge in the registry; default from the study and the point.

    Raises:
        StudyError: there is no such point.
        RecipeError, ModelError, JobError: it cannot be merged now.
    """
    from jobs.studies.folders import merge_steps

    design = state.design_of(state.get(study_id))
    steps = recipes_of(study_id, key)
    label = name or f"{design.name}-{key}"
    return merge_steps(steps, label, suite=design.suite, limit=design.limit)
