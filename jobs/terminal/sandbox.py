"""`python cli.py sandbox`: the shipped family of tiny models, from nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

sandbox = typer.Typer(no_args_is_help=True, help="The shipped family of tiny models.")


@sandbox.command()
def build(
    out: Annotated[Path | None, typer.Option(help="Folder; default the shipped one.")] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed makes another world.")] = None,
) -> None:
    """Train the sandbox family from nothing. Takes about ten minutes of one core."""
    from jobs.terminal import direct, show

    result = show.show_events(direct.build_sandbox(out, seed))
    show.say(f"Trained {len(result.get('models', {}))} models into {result.get('out')}.")
