"""A search in a terminal: its plan, its run, and what came out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from jobs.errors import JobError
from jobs.scores import detectable
from jobs.terminal import show
from jobs.terminal.studies import duration

if TYPE_CHECKING:
    from jobs.search.table import Cell, Held
    from search.design import SearchDesign
    from search.estimate import SearchPlan

Data = dict[str, Any]


def run(file: Path, *, plan_only: bool, json: Path | None) -> None:
    """Print the plan; then run what is left of the search and print what was found.

    Raises:
        SearchError, JobError: wrong input, in one sentence; or what could not be scored.
    """
    from jobs.search import planning, state, submit, table
    from jobs.terminal import suites

    show.check_json(json)
    design = read(file)
    suites.index_if_needed(design.suite)
    made = planning.plan(design)
    suites.tell_terms(design.suite)
    print_plan(design, made)
    data: Data = {"search": design.name, "design": design.to_mapping(), "plan": made.to_mapping()}
    if plan_only:
        show.write_json(json, data)
        return
    search_id, group = submit.submit(design)
    try:
        show.run_group(group)
    except KeyboardInterrupt:
        done = state.progress(search_id)["trials"]
        show.say(f"{done['done']} of {done['total']} trials are scored and kept; the same command "
                 "goes on from there.")  # fmt: skip
        raise
    results = state.load(search_id)
    held = table.held_out(search_id)
    data["search_id"] = search_id
    data["trials"] = [_trial(one) for one in results.trials]
    if held is not None:
        data["held_out"] = held.to_mapping()
        data["recipe"] = submit.recipe_of(search_id, str(held.lines[0].ref))
        print_held(held)
    failed = [one for one in results.trials if one.state == "failed" and one.text]
    if failed:
        show.say(f"{len(failed)} trials failed, the first: {failed[0].text}")
    show.write_json(json, data)


def read(file: Path) -> SearchDesign:
    """The design in a file.

    Raises:
        JobError: the file cannot be read.
        SearchError: it is no design.
    """
    from search.design import SearchDesign

    try:
        return SearchDesign.from_yaml(file.expanduser().read_bytes())
    except OSError as error:
        raise JobError(f"The search {file} cannot be read: {error.strerror}.") from error


def print_plan(design: SearchDesign, plan: SearchPlan) -> None:
    """What the search takes and what it can tell."""
    table = Table(title=f"Search {design.name}", show_header=False)
    done = f", {plan.done:,} of them done already" if plan.done else ""
    outside = f" ({plan.outside} outside of the space)" if plan.outside else ""
    points = "" if plan.combinations is None else f"; {plan.combinations:,} points in all"
    time = "not known: " + plan.basis
    if plan.seconds is not None:
        at_once = f", {plan.lanes} processes at once" if plan.lanes > 1 else ""
        time = f"about {duration(plan.seconds)}{at_once} ({plan.basis})"
    for row in (
        ("Trials", f"{plan.trials:,}{done}"),
        ("Known points first", f"{plan.known}{outside}" if plan.known else "none"),
        ("Searched", f"{', '.join(plan.parameters)}{points}"),
        ("Objectives", ", ".join(one.title for one in design.objectives)),
        ("Sampler", design.sampler.name + (f", pruned after {design.prune.items} items a task"
                                           if design.prune else "")),
        ("Items of a trial", f"{plan.items:,} of the search part in {len(plan.choosing)} tasks"),
        ("Time", time),
    ):  # fmt: skip
        table.add_row(*row)
    show._print(table)
    told = detectable.told(plan.reporting)
    show.say(f"On the held-out items: {told.sentence}")
    for text in plan.warnings:
        show.say(f"Note: {text}")


def print_held(held: Held) -> None:
    """The final table, on held-out items."""
    table = Table(title=f"Held-out items; chosen on the others from {held.trials} trials")
    table.add_column("What")
    table.add_column("Merge or model")
    for place, title in enumerate(held.objectives):
        table.add_column(f"{title}{' *' if place == held.deciding else ''}", justify="right")
    table.add_column("on search items *", justify="right")
    from jobs.search.table import WORDS

    for line in held.lines:
        cells = [_cell(one, kind) for one, kind in
                 zip(line.cells, held.objective_kinds, strict=True)]  # fmt: skip
        table.add_row(WORDS[line.kind], line.label, *cells, _points(line.search))
    show._print(table)
    show.say("95 % intervals in brackets. * chose; the score on search items is flattered by it.")
    for one in held.against:
        span = "" if one.low is None or one.high is None else (
            f" (95 % interval {100 * one.low:+.1f} to {100 * one.high:+.1f})")  # fmt: skip
        show.say(f"Best of the search minus {WORDS[one.kind]} {one.label}: "
                 f"{100 * one.difference:+.1f} points{span}, {one.verdict}.")  # fmt: skip
    if held.missing:
        show.say(f"Not scored on all held-out tasks: {', '.join(held.missing)}.")


def _cell(one: Cell, kind: str) -> str:
    if one.value is None:
        return "—"
    if kind == "change":
        return f"{one.value:.4f}"
    if one.low is None or one.high is None:
        return _points(one.value)
    return f"{_points(one.value)} [{100 * one.low:.1f}, {100 * one.high:.1f}]"


def _points(value: float | None) -> str:
    return "—" if value is None else f"{100 * value:.1f}"


def _trial(one: Any) -> Data:
    from dataclasses import asdict

    return {**asdict(one), "title": one.title, "steps": {str(k): v for k, v in one.steps.items()}}
