"""What the terminal shows: progress while something runs, then tables."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table

from db.queries.jobs import JobRow
from db.queries.models import ModelRow
from jobs.errors import JobError
from jobs.terminal.progress import bars, keep_output_for_json, output, say, show_events

__all__ = ["output", "say", "show_events"]

Data = dict[str, Any]
NOISE_NOTE = "± is one standard error; a difference in brackets could be noise (95 % interval)."

OUTSIDE_NOTE = (
    "The columns with a metric's name are on its own scale and in no mean: of shares alone, where "
    "higher is better, a mean says something."
)

UNANSWERED_NOTE = (
    "No answer, cut off: % of the written answers in which none was found, or which the limit of "
    "new tokens ended before one. Both count as wrong in the accuracy."
)


def run_group(group: str, *, slots: int | None = None) -> list[JobRow]:
    """Run a group here, showing a line for each job; return the rows.

    Raises:
        JobError: a job failed or was cancelled; the first one's sentence.
    """
    from jobs.running.inline import run_group_inline

    with bars() as progress:
        shown = _Shown(progress)
        rows = run_group_inline(group, shown.update, slots=slots)
    for row in rows:
        if row.state == "failed" and not (row.error or "").startswith("Not run, because"):
            code = int((row.result or {}).get("exit_code", 1))
            raise JobError(row.error or f"Job {row.id} failed.", exit_code=code)
    for row in rows:
        if row.state != "done":
            raise JobError(f"“{row.title}” was {row.state}.", exit_code=1)
    return rows


def scored_models(rows: Sequence[JobRow]) -> dict[str, list[str]]:
    """Name of each model that a group's evaluations were of, to what the user called it."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if row.kind == "evaluate" and row.result:
            found.setdefault(str(row.result["model"]), []).extend(row.spec.get("refs") or [])
    return found


def tell_warnings(rows: Sequence[JobRow]) -> None:
    """Print what the jobs warned of: answers that are missing, contexts that were cut."""
    for row in rows:
        result = row.result or {}
        for text in result.get("warnings") or ():
            say(f"{result.get('model', row.title)}: {text}")


def tell_task_errors(rows: Sequence[JobRow]) -> None:
    """Fail when tasks could not be scored, naming each on standard error.

    Raises:
        JobError: with their number.
    """
    found = {
        (str((row.result or {}).get("model")), task): text
        for row in rows
        for task, text in ((row.result or {}).get("task_errors") or {}).items()
    }
    for (model, task), text in found.items():
        print(f"{model}, {task}: {text}", file=sys.stderr)
    if found:
        raise JobError(
            f"{len(found)} scores are missing; the reasons are above. The others are recorded.",
            exit_code=1,
        )


class _Shown:
    """A progress line for each job; where there is no terminal, a line when its state changes."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.bars: dict[int, TaskID] = {}
        self.said: dict[int, str] = {}

    def update(self, rows: Sequence[JobRow]) -> None:
        """Draw the rows as they are now."""
        for row in rows:
            if row.id not in self.bars:
                self.bars[row.id] = self.progress.add_task(row.title, total=None, start=False)
            bar = self.bars[row.id]
            if row.state != "queued" and not self.progress.tasks[bar].started:
                self.progress.start_task(bar)
            total = row.total or (1.0 if row.state == "done" else None)
            done = total if row.state == "done" else row.done
            text = f"{row.title}: {_doing(row)}"
            self.progress.update(bar, description=text, total=total, completed=done or 0.0)
            if not row.open:
                self.progress.stop_task(bar)
            if not self.progress.console.is_terminal and self.said.get(row.id) != row.state:
                self.said[row.id] = row.state
                if row.state != "queued":
                    say(f"{row.title}: {_doing(row) if not row.open else row.state}")


def _doing(row: JobRow) -> str:
    if row.state == "running":
        return row.stage or "starting"
    if row.state == "done" and row.stage.startswith("Already"):
        return row.stage[0].lower() + row.stage[1:]
    return row.state


def print_leaderboard(data: Data) -> None:
    """The rows with macro score, domains and the difference to the best parent."""
    if not data["models"]:
        say(f"No model has been scored on the suite {data['suite']} yet. "
            "`python cli.py quickstart` makes a first example.")  # fmt: skip
        return
    domains = list(dict.fromkeys(data["tasks"].values()))
    unanswered = [
        (title, name)
        for title, name in (("No answer", "no_answer"), ("Cut off", "cut_off"))
        if any(row[name] for row in data["models"])
    ]
    several = len({row["configuration"] for row in data["models"]}) > 1
    table = Table(title=f"Suite {data['suite']}, {len(data['tasks'])} tasks, accuracy in %")
    table.add_column("Model", overflow="fold")
    if several:
        table.add_column("Configuration")
    titles = [title for title, _ in unanswered]
    outside = data["outside_means"]
    alone = [f"{task} ({metric})" for task, metric in outside.items()]
    means = [domain for domain in domains
             if any(row["domains"].get(domain) is not None for row in data["models"])]  # fmt: skip
    for title in ("Macro", *titles, "vs best parent", *means, *alone):
        table.add_column(title, justify="right")
    for row in data["models"]:
        mark = "" if row["complete"] else f" (partial: {len(row['missing'])} tasks missing)"
        mark += "" if row["part"] == "all" else f" ({row['part']} part)"
        mark += f" (imported from {row['imported']})" if row["imported"] else ""
        left_out = row["n_left_out"]
        mark += f" ({left_out} of {row['n_items'] + left_out} items left out)" if left_out else ""
        cells = [row["model"] + mark, *([row["configuration"]] if several else [])]
        cells += [_percent(row["macro"], row["macro_stderr"])]
        cells += [_percent(row[name]) for _, name in unanswered]
        cells += [_difference(row["best_parent"])]
        cells += [_percent(row["domains"].get(domain)) for domain in means]
        cells += [_plain(row["scores"].get(task)) for task in outside]
        table.add_row(*cells)
    _print(table)
    say(NOISE_NOTE)
    if outside:
        say(OUTSIDE_NOTE)
    if unanswered:
        say(UNANSWERED_NOTE)


def _difference(best: Data | None) -> str:
    if best is None or best["difference"] is None:
        return "-"
    text = f"{100 * best['difference']:+.1f}"
    if best["verdict"] not in ("better", "worse"):
        text = f"({text})"
    unscored = len(best["unscored_parents"])
    note = f", {unscored} unscored" if unscored else ""
    return f"{text} {best['model']}{note}"


def _percent(value: float | None, stderr: float | None = None) -> str:
    if value is None:
        return "-"
    return f"{100 * value:.1f}" + (f" ±{100 * stderr:.1f}" if stderr is not None else "")


def _plain(score: Data | None) -> str:
    """A figure on its own scale."""
    if score is None:
        return "-"
    error = score["stderr"]
    return f"{score['value']:.4g}" + (f" ±{error:.2g}" if error is not None else "")


def tell_signs(data: Data) -> None:
    """Print what went wrong in each merge's replies: its own signs, then what its parents share."""
    for row in data["models"]:
        for one in sorted(row["signs"], key=lambda one: bool(one["verdict"] == "inherited")):
            word = "Note" if one["verdict"] == "inherited" else "Warning"
            say(f"{word}: {row['model']}: {one['title']}: {one['text']}")


def print_models(rows: Sequence[ModelRow]) -> None:
    """Name, role, size and place of every model."""
    table = Table("Model", "Role", "Domain", "Parameters", "Scores", "Made by", "Where")
    for row in rows:
        size = f"{row.n_parameters / 1e6:,.1f} M" if row.n_parameters else "-"
        made = row.method or "-"
        table.add_row(row.name, row.role, row.domain or "-", size, str(row.n_evaluations), made,
                      row.source or "in memory")  # fmt: skip
    _print(table)


def print_methods(data: Sequence[Data]) -> None:
    """Name, meaning and options of every method."""
    table = Table("Method", "What it does", "Options", "Paper", show_lines=True)
    for method in data:
        options = [f"{one['name']}={one['default']}" for one in method["options"]]
        table.add_row(method["name"], method["summary"], "\n".join(options), method["paper"] or "-")
    _print(table)


def print_jobs(rows: Sequence[JobRow]) -> None:
    """Number, state and progress of jobs."""
    table = Table("Job", "State", "Title", "Stage", "Progress", "Error")
    for row in rows:
        share = f"{100 * row.fraction:.0f} %" if row.fraction is not None else "-"
        state = "paused" if row.paused else row.state
        table.add_row(str(row.id), state, row.title, row.stage, share, row.error or "")
    _print(table)


def check_json(path: Path | None) -> None:
    """Refuse a file that cannot be written before hours of work end there.

    Raises:
        JobError: it cannot be written.
    """
    keep_output_for_json(str(path) == "-")
    if path is None or str(path) == "-":
        return
    try:
        with path.open("a", encoding="utf-8"):
            pass
    except OSError as error:
        raise JobError(f"The file {path} cannot be written: {error.strerror}.") from error


def write_json(path: Path | None, data: Any) -> None:
    """Write data to a file; `-` is standard output."""
    if path is None:
        return
    text = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    if str(path) == "-":
        sys.stdout.write(text)
    else:
        path.write_text(text, encoding="utf-8")


def _print(table: Table) -> None:
    # What is not a terminal has no width to fit into: a table in a file is never folded.
    console = Console(markup=False, highlight=False, file=output())
    if not console.is_terminal:
        console.width = 240
    console.print(table)
