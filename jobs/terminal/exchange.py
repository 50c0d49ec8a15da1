"""`python cli.py scores`: results of other programs in, ours out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

scores = typer.Typer(no_args_is_help=True, help="Scores from and for other programs.")


@scores.command("import")
def import_scores(
    path: Annotated[Path, typer.Argument(help="A results file, or a folder that holds one.")],
    model: Annotated[
        str | None, typer.Option(help="Name for a model that is not here; default the file's own.")
    ] = None,
    of: Annotated[str | None, typer.Option(help="Registered model that the scores are of.")] = None,
    suite: Annotated[
        str | None, typer.Option(help="Where they stand; default the suite with these tasks.")
    ] = None,
) -> None:
    """Import results of lm-eval or of the Japanese financial harness, with their samples."""
    from jobs.scores import exchange_in
    from jobs.terminal import show

    done = exchange_in.save(
        exchange_in.read_path(path), model=of or model, suite=suite, known=of is not None
    )
    for note in done.notes:
        show.say(note)
    show.say(f"Imported {done.tasks} scores of {done.model} with {done.answers} answers into "
                 f"the suite {done.suite}, marked as from {done.source}.")  # fmt: skip


@scores.command()
def export(
    models: Annotated[list[str], typer.Argument(help="Registered names; two for llm-comparator.")],
    out: Annotated[Path, typer.Option(help="Folder to write into.")],
    suite: Annotated[str | None, typer.Option(help="Default: the suite used last.")] = None,
    to: Annotated[str, typer.Option(help="lm-eval, csv or llm-comparator.")] = "lm-eval",
    configuration: Annotated[
        str | None, typer.Option(help="Which row of a model, as `leaderboard` prints it.")
    ] = None,
) -> None:
    """Export scores and answers: results and samples of lm-eval, CSV, or two side by side."""
    from jobs.scores import exchange_out
    from jobs.terminal import report, show

    board = report.suite_board(suite)
    rows = report.rows_of(board, models, configuration)
    for path in exchange_out.write(exchange_out.files(rows, board.suite, to), out):
        show.say(f"Wrote {path}.")
