"""A judge's reports in the terminal: tables, and their JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from db.queries import judging as rows
from db.queries.jobs import JobRow
from db.queries.judging import JudgingRow
from evaluation.judge.errors import JudgeError
from evaluation.judge.sets import load_set
from jobs.scores.judging import EndpointJudge, LocalJudge
from jobs.terminal import show


def chosen(
    local: str | None, base_url: str | None, model: str, key_variable: str, *, consent: bool
) -> EndpointJudge | LocalJudge:
    """The judge that a command names.

    Raises:
        JudgeError: none, or two.
    """
    if (local is None) == (base_url is None):
        raise JudgeError(
            "Name one judge: --local MODEL, or --base-url URL with --judge-model NAME."
        )
    if local is not None:
        return LocalJudge(local)
    return EndpointJudge(base_url or "", model, key_variable, consent=consent)


def reports(jobs: Sequence[JobRow]) -> list[JudgingRow]:
    """What a group's jobs have reported."""
    return [report for job in jobs for report in rows.judgings(job_id=job.id)]


def print_reports(found: Sequence[JudgingRow]) -> None:
    """A table for each report, and what to doubt about it."""
    for report in found:
        beside = f" against {report.other}" if report.other else ""
        show.say(f"{report.model}{beside} on {report.set_name}, judged by {report.judge}")
        table = Table()
        names = ["Category", "Grade", "±", "n"] if report.mode == "single" else (
            ["Category", "Win rate %", "Wins", "Ties", "Losses"])  # fmt: skip
        for name in names:
            table.add_column(name, justify="left" if name == "Category" else "right")
        groups = {**report.summary["categories"], "all": report.summary}
        for name, part in groups.items():
            table.add_row(name, *(_grades(part) if report.mode == "single" else _wins(part)))
        Console(file=show.output()).print(table)
        for line in notes(report):
            show.say(line)


def notes(report: JudgingRow) -> list[str]:
    """What stands beside a judge's numbers, as sentences."""
    summary = report.summary
    said = []
    odd = {name: n for name, n in summary["states"].items() if name not in ("ok", "same")}
    words = {"unparsed": "could not be read", "failed": "without an answer from the judge",
             "too long": "too long for the judge's window",
             "empty": "left empty and judged without asking"}  # fmt: skip
    if odd:
        told = ", ".join(f"{n} {words.get(name, name)}" for name, n in odd.items())
        said.append(f"Of {summary['n']} answers, {told}.")
    if report.mode == "pair":
        length = summary["length"]
        said += [
            f"Order changed the verdict of {_percent(summary['flip_rate'])} of the pairs (these "
            f"count as ties); {_percent(summary['first_rate'])} of the verdicts went to the answer "
            "shown first (50 % without bias).",
            f"A judge that only prefers the longer answer gives {_percent(length['win_rate'])}; "
            f"this judge agrees with it in {_percent(length['agreement'])} of the decided pairs.",
        ]
        if (summary["flip_rate"] or 0.0) >= 0.5:
            said.append(
                "Its verdict changes with the order more often than not: do not rely on this judge "
                "for these answers."
            )
    if report.selection == "forbidden":
        said.append(f"For reporting only, never to choose a merge by: {_reason(report)}")
    return said


def as_data(found: Sequence[JudgingRow]) -> list[dict[str, Any]]:
    """Reports as JSON-able data; documented in docs/cli.md."""
    return [
        {
            "model": one.model,
            "against": one.other,
            "fingerprint": one.model_fingerprint,
            "set": one.set_name,
            "set_hash": one.set_hash,
            "selection": one.selection,
            "judge": one.judge,
            "rubric": one.rubric,
            "mode": one.mode,
            "configuration": one.config,
            "summary": one.summary,
            "items": one.items,
        }
        for one in found
    ]


def _reason(report: JudgingRow) -> str:
    try:
        return load_set(report.set_name).forbidden
    except JudgeError:
        return "its authors forbid it."


def _grades(part: dict[str, Any]) -> tuple[str, str, str]:
    error = part["stderr"]
    mean = "–" if part["mean"] is None else f"{part['mean']:.2f}"
    return mean, "–" if error is None else f"{error:.2f}", str(part["n_scored"])


def _wins(part: dict[str, Any]) -> tuple[str, ...]:
    return (_percent(part["win_rate"]), *(str(part[name]) for name in ("wins", "ties", "losses")))


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"
