"""The terminal's command for studies; `cli.py` has the others."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[Path | None, typer.Option("--json", help="Also write JSON to this file.")]
File = Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="The study's design.")]
PlanOnly = Annotated[
    bool, typer.Option("--plan", help="Say what it takes and what it can tell, and stop there.")
]
Report = Annotated[
    Path | None, typer.Option("--report", help="Also write the report: a file .html or .zip.")
]


def register(app: typer.Typer) -> None:
    """Add the command to the command line; with `--report` where reports can be written."""
    app.command()(study if find_spec("jobs.studies.report") is None else study_with_report)


def study(file: File, plan: PlanOnly = False, json: Json = None) -> None:
    """Run a study: merge and score every point of a design, then say what was found."""
    from jobs.terminal import studies

    studies.run(file, plan_only=plan, json=json)


def study_with_report(
    file: File, plan: PlanOnly = False, report: Report = None, json: Json = None
) -> None:
    """Run a study: merge and score every point of a design, then say what was found."""
    from jobs.terminal import studies

    studies.run(file, plan_only=plan, json=json, report=report)


study_with_report.__name__ = "study"  # the command's name
