"""A study's report, with what the database knows of its models and its run."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from db.queries import studies as study_rows
from db.queries.models import ModelRow
from db.queries.studies import PointRow
from jobs.studies import parents, state
from studies.design import Design

PACKAGES = ("torch", "transformers", "lm_eval", "numpy", "scipy", "plotly")


def write(study_id: int, path: Path | str) -> None:
    """Write the report of a study as it stands: `.html` or `.zip`.

    A report is passed on, so it tells models that are folders by their names. The design, which is
    to be run again, names folders from the home folder where they lie in it, or as they were given.

    Raises:
        StudyError: there is no such study, another suffix, or a file that cannot be written.
    """
    from studies import report

    results = state.load(study_id)
    names = _names(results.design)
    kept = Design.from_mapping(_from_home(results.design.to_mapping()))
    told = {key: _without_paths(text, names) for key, text in results.failed.items()}
    report.write(replace(results, design=kept, failed=told), Path(path), facts(study_id))


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
    names = _names(design)
    failed = [
        {"key": one.key, "label": Point.from_mapping(one.point).label,
         "error": _without_paths(one.error or "", names)}
        for one in points if one.state == "failed"
    ]  # fmt: skip
    return Facts(
        written=_when(time.time()),
        done=_done(row.created, points),
        versions=versions(),
        parents=[_parent(name, one, known.get(name)) for name, one in design.models.items()],
        recipes={key: _without_paths(text, names) for key, text in recipes.items() if text},
        points={one.key: {"seconds_merge": one.seconds_merge, "seconds_score": one.seconds_score,
                          "copied": one.copied, "recipe_hash": one.recipe_hash}
                for one in points},
        failed=failed,
    )  # fmt: skip


def _names(design: Design) -> dict[str, str]:
    """Folder of a model, as the design has it -> its registered name, or the folder's own."""
    known = parents.rows(design)
    return {
        one.model: row.name if (row := known.get(name)) is not None else Path(one.model).name
        for name, one in design.models.items() if Path(one.model).expanduser().is_absolute()
    }  # fmt: skip


def _without_paths(text: str, names: Mapping[str, str]) -> str:
    """A text with models' names in the place of their folders, and `~` for the home folder."""
    for folder in sorted(names, key=len, reverse=True):
        text = text.replace(folder, names[folder])
    return _from_home(text)


def _from_home(value: Any) -> Any:
    """Plain data whose texts begin with `~` where they began with the home folder."""
    if isinstance(value, Mapping):
        return {key: _from_home(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_from_home(one) for one in value]
    home = str(Path.home())
    return value.replace(f"{home}/", "~/") if isinstance(value, str) and home != "/" else value


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
    if Path(ref.model).expanduser().is_absolute():
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
