"""A design in the making: what it takes, and which of its parts stand in the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import pydantic

from db.queries import studies as study_rows
from jobs.scores import detectable
from jobs.studies import planning, state
from jobs.studies.submit import check_kept
from studies import checks, estimate
from studies.design import Design
from studies.errors import StudyError
from studies.grids import MethodGrid

if TYPE_CHECKING:
    from collections.abc import Callable

    from db.queries.studies import StudyRow
    from studies.estimate import Plan

# a design that nothing is wrong with: a part is tried in the place of its own
NEUTRAL: dict[str, Any] = {
    "name": "study", "base": "base", "experts": {"a": "expert a", "b": "expert b"},
    "methods": [{"method": "task_arithmetic", "grid": {"scale": [1.0]}}], "suite": "sandbox",
}  # fmt: skip
MODELS = ("base", "experts", "instruct")
STAGES = ("stages", "instruct_stage", "carry")
ITEMS = ("suite", "tasks", "limit", "split")


@dataclass(frozen=True)
class Look:
    """What is known of a design before the start.

    Attributes:
        design: None while it cannot be made.
        plan: None while something stands in the way.
        problems: part -> sentence. Parts are "name", "models", "methods", "method:NAME",
            "stages" and "items".
        there: the study of this name, which a start extends.
    """

    design: Design | None = None
    plan: Plan | None = None
    problems: Mapping[str, str] = field(default_factory=dict)
    there: StudyRow | None = None


def look(data: Mapping[str, Any]) -> Look:
    """Check a design as far as it goes; nothing is raised for what is wrong with it.

    Args:
        data: of the design, as parsed YAML has it.
    """
    try:
        design = Design.from_mapping(data)
    except StudyError as error:
        return Look(problems=_parts(data) or {_part_of_rest(data): str(error)})
    there = study_rows.study(design.name)
    if there is not None:
        try:
            check_kept(state.design_of(there), design)
        except StudyError as error:
            return Look(design, problems={"name": str(error)}, there=there)
    try:
        return Look(design, planning.plan(design), there=there)
    except Exception as error:
        if not hasattr(error, "exit_code"):
            raise
        return Look(design, problems={_part_of(design): str(error)}, there=there)


def _parts(data: Mapping[str, Any]) -> dict[str, str]:
    """Each part by itself, in a design that nothing else is wrong with."""
    found: dict[str, str] = {}
    given = {key: value for key, value in data.items() if value is not None}
    _try(found, "name", lambda: _with(given, ("name", "note")))
    _try(found, "models", lambda: _with(given, MODELS, needed=("base", "experts")))
    for one in given.get("methods", ()):
        _try(found, f"method:{one.get('method')}", partial(MethodGrid, **one))
    if found:
        return found  # stages and methods together make sense when each does
    _try(found, "methods", lambda: _with(given, (*MODELS, "methods")))
    if not found:
        _try(found, "stages", lambda: _with(given, (*MODELS, "methods", *STAGES)))
    _try(found, "items", lambda: _with(given, ITEMS))
    return found


def _with(given: Mapping[str, Any], keys: tuple[str, ...], needed: tuple[str, ...] = ()) -> Design:
    """A design of the neutral one's parts and some of the given."""
    parts = {key: value for key, value in NEUTRAL.items() if key not in (*keys, *needed)}
    for key in ("suite", "methods", "name"):
        if key not in given:
            parts[key] = NEUTRAL[key]
    if "methods" in keys and "methods" not in given:
        parts.pop("methods", None)
    return Design.from_mapping({**parts, **{key: given[key] for key in keys if key in given}})


def _try(found: dict[str, str], part: str, made: Callable[[], object]) -> None:
    try:
        made()
    except StudyError as error:
        found[part] = str(error)
    except pydantic.ValidationError as error:
        found[part] = f"{part.partition(':')[2]}: {error.errors()[0]['msg']}."


def _part_of_rest(data: Mapping[str, Any]) -> str:
    """Where a sentence goes that no part alone gives."""
    return "items" if not data.get("suite") else "stages"


def _part_of(design: Design) -> str:
    """The part that a look at this machine failed of."""
    try:
        checks.check_suite(design)
        asked = detectable.before(design.suite, design.limit, None, design.tasks).plan
        items: dict[str, int | None] = dict(asked.items)
        checks.check_items(design, estimate.reported(design, items))
    except StudyError:
        return "items"
    return "models"
