"""The terminal's command for searches; `cli.py` has the others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[Path | None, typer.Option("--json", help="Also write JSON to this file.")]
File = Annotated[Path, typer.Argument(metavar="SEARCH.yaml", help="The search's design.")]
PlanOnly = Annotated[
    bool, typer.Option("--plan", help="Say what it takes and what it can tell, and stop there.")
]


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(search)


def search(file: File, plan: PlanOnly = False, json: Json = None) -> None:
    """Search for the best recipe, and hold it against what was known, on held-out items."""
    from jobs.terminal import searches

    searches.run(file, plan_only=plan, json=json)
