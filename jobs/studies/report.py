"""A study's report, with what the database knows of its models and its run."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from db.queries import studies as study_rows
from db.queries.models import ModelRow
from db.queries.studies import PointRow
from jobs.studies import parents, state

PACKAGES = ("torch", "transformers", "lm_eval", "numpy", "scipy", "plotly")


def write(study_id: int, path: Path | str) -> None:
    """Write the report of a study as it stands: `.html` or `.zip`.

    Raises:
        StudyError: there is no such study, another suffix, or a file that cannot be written.
    """
    from studies import report

    results = state.load(study_id)
    report.write(results, Path(path), facts(study_id))


def facts(study_id: int) -> Any:
    """What the report tells beside the scores (`studies.report.Facts`).

    Raises:
        StudyError: there is no such study.
    """
    from studies.points import Point
    from studies.report import Facts

    row = state.get(study_id)
    design = state.design_of(row)
    points = study_rows.points(study_id)
    known = parents.rows(design)
    recipes = {one.key: study_rows.recipe(study_id, one.key) for one in points
               if one.state == "done"}  # fmt: skip
    failed = [
        {"key": one.key, "label": Point.from_mapping(one.point).label, "error": one.error or ""}
        for one in points if one.state == "failed"
    ]  # fmt: skip
    return Facts(
        written=_when(time.time()),
        done=_done(row.created, points),
        versions=versions(),
        parents=[_parent(name, one, known.get(name)) for name, one in design.models.items()],
        recipes={key: text for key, text in recipes.items() if text},
        points={one.key: {"seconds_merge": one.seconds_merge, "seconds_score": one.seconds_score,
                          "copied": one.copied, "recipe_hash": one.recipe_hash}
                for one in points},
        failed=failed,
    )  # fmt: skip


def versions() -> dict[str, str]:
    """Of Crucible, Python and the packages that scores depend on; those that are here."""
    found = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def _done(created: float, points: list[PointRow]) -> Mapping[str, str]:
    """When it ran, how long the merges took, and on what kind of machine."""
    ended = [one.ended for one in points if one.ended is not None]
    own = [one for one in points if not one.copied]
    merging = sum(one.seconds_merge or 0.0 for one in own)
    scoring = sum(one.seconds_score or 0.0 for one in own)
    found = {"Begun": _when(created)}
    if ended:
        found["Last merge scored"] = _when(max(ended))
    found["Merges' time"] = f"merging {merging:,.0f} s, scoring {scoring:,.0f} s, all processes"
    machine = f"{platform.system()} on {platform.machine()}, {os.cpu_count()} CPU cores"
    found["Written on"] = machine
    return found


def _parent(name: str, ref: Any, row: ModelRow | None) -> dict[str, Any]:
    """A model as the report names it, by its registered name rather than its folder."""
    found = {"model": name, "name": ref.model, "revision": ref.revision,
             "fingerprint": ref.fingerprint}  # fmt: skip
    if os.path.isabs(ref.model):
        found["name"] = row.name if row is not None else Path(ref.model).name
    if row is None:
        return found
    return found | {
        "fingerprint": ref.fingerprint or row.fingerprint,
        "revision": ref.revision or row.revision,
        "architecture": row.architecture,
        "parameters": row.n_parameters,
        "dtype": row.dtype,
        "note": row.note,
    }
