"""A study in a terminal: its plan, its run, and what came out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from jobs.errors import JobError
from jobs.scores import detectable
from jobs.terminal import show, study_tables
from merging.wording import size

if TYPE_CHECKING:
    from studies.design import Design
    from studies.estimate import Plan

Data = dict[str, Any]
REPORTS = (".html", ".zip")


def run(file: Path, *, plan_only: bool, json: Path | None, report: Path | None = None) -> None:
    """Print the plan; then run what is left of the study and print what was found.

    Raises:
        StudyError, JobError: wrong input, in one sentence; or models that could not be scored.
    """
    from jobs.studies import planning
    from jobs.terminal import suites

    show.check_json(json)
    _check_report(report)
    design = read(file)
    suites.index_if_needed(design.suite)
    made = planning.plan(design)
    suites.tell_terms(design.suite)
    print_plan(design, made)
    data: Data = {"study": design.name, "design": design.to_mapping(), "plan": made.to_mapping()}
    if plan_only:
        show.write_json(json, data)
        return
    _run(design, data, report)
    show.write_json(json, data)
    failed = data["failed"]
    if failed:
        raise JobError(
            f"{len(failed)} of the study's merges failed: {next(iter(failed.values()))} The others "
            "are recorded; the same command tries these again.",
            exit_code=1,
        )


def _run(design: Design, data: Data, report: Path | None) -> None:
    """Run the study's jobs and fill in what came out."""
    from db.queries import studies as rows
    from jobs.studies import state, submit

    there = rows.study(design.name)
    if there is not None and there.design_hash == design.hash and not data["plan"]["evaluations"]:
        study_id, group = there.id, ""
    else:
        study_id, group = submit.submit(design)
    try:
        if group:
            show.run_group(group)
    except KeyboardInterrupt:
        done = state.progress(study_id)["points"]
        show.say(f"{done['done']} of {done['total']} merges are scored and kept; the same command "
                 "goes on from there.")  # fmt: skip
        raise
    except JobError:
        _tell(study_id, data)  # what there is beside a failure is worth seeing
        raise
    _tell(study_id, data)
    if report is not None:
        _write_report(study_id, report)


def _tell(study_id: int, data: Data) -> None:
    """Fill in what came out so far, and print it where there is anything."""
    from jobs.studies import state

    results = state.load(study_id)
    data["study_id"] = study_id
    data |= study_tables.outcome(results)
    if results.points or results.failed:
        study_tables.print_outcome(data)


def read(file: Path) -> Design:
    """The design in a file.

    Raises:
        JobError: the file cannot be read.
        StudyError: it is no design.
    """
    from studies.design import Design

    try:
        return Design.from_yaml(file.expanduser().read_bytes())
    except OSError as error:
        raise JobError(f"The study {file} cannot be read: {error.strerror}.") from error


def print_plan(design: Design, plan: Plan) -> None:
    """What the study takes and what it can tell."""
    table = Table(title=f"Study {design.name}", show_header=False)
    stages = ", ".join(
        f"{'instruct stage' if stage == 'instruct' else f'stage {stage}'}: {n}"
        for stage, n in plan.points.items()
    )
    rows = [("Merges", f"{plan.merges:,} ({stages})")]
    if plan.done:
        rows.append(("Scored already", f"{plan.done:,} of them"))
    scored = f", {plan.parents_scored} of them scored already" if plan.parents_scored else ""
    rows.append(("Parents", f"{plan.parents}{scored}"))
    rows.append(("Suite", f"{design.suite}: {_items(plan)}"))
    answers = f"{plan.all_items:,} of " if plan.items else ""
    rows.append(("Answers", f"{answers}{plan.evaluations:,} models"))
    rows.append(("Time", _time(plan)))
    rows.append(("Memory", _fit(plan.ram_bytes, plan.ram_free_bytes)))
    if plan.vram_bytes is not None:
        rows.append(("GPU memory", _fit(plan.vram_bytes, plan.vram_free_bytes)))
    rows.append(("Disk", "no checkpoint is written"))
    for row in rows:
        table.add_row(*row)
    show._print(table)
    told = detectable.told(plan.reporting)
    choosing = sum(plan.choosing.items.values()) if plan.choosing else 0
    aside = f"The other {choosing:,} items only choose." if choosing else ""
    show.say(" ".join(filter(None, [told.sentence, told.warning, aside])))
    for text in plan.warnings:
        show.say(f"Note: {text}")


def _items(plan: Plan) -> str:
    unknown = f"{len(plan.unknown)} tasks whose number of items is known after their first run"
    if not plan.items:
        return unknown
    told = f"{plan.items:,} items in {plan.tasks - len(plan.unknown)} tasks"
    return f"{told}, and {unknown}" if plan.unknown else told


def _time(plan: Plan) -> str:
    if not plan.evaluations:
        return "everything is scored already"
    if plan.seconds is None:
        return f"not known: {plan.basis}"
    at_once = f", {plan.lanes} processes at once" if plan.lanes > 1 else ""
    return f"about {duration(plan.seconds)}{at_once} ({plan.basis})"


def _fit(wanted: int | None, free: int | None) -> str:
    if wanted is None:
        return "not known before the models are here"
    told = f"about {size(wanted)}"
    return told if free is None else f"{told}, {size(free)} are free"


def duration(seconds: float) -> str:
    """`8 s`, `12 min`, `3 h 5 min`, `4 days`: an estimate, so not to the second."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes / 60 / 24:.0f} days"


def _check_report(path: Path | None) -> None:
    """Refuse a report that cannot be written before the study runs."""
    if path is None:
        return
    if path.suffix not in REPORTS:
        raise JobError(f"A report is a file .html or .zip, not {path.name}.", exit_code=2)
    if not path.absolute().parent.is_dir():
        raise JobError(f"There is no folder {path.absolute().parent}.", exit_code=2)


def _write_report(study_id: int, path: Path) -> None:
    import importlib

    importlib.import_module("jobs.studies.report").write(study_id, path)
    show.say(f"The report is in {path}.")
