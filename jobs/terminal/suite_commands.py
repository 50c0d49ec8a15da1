"""The terminal's commands about suites, tasks and public data; `cli.py` has the others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[Path | None, typer.Option("--json", help="Also write JSON to this file.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(suites)
    app.command()(tasks)
    app.command()(data)


def suites(json: Json = None) -> None:
    """List the benchmark suites."""
    from jobs.terminal import listing, show
    from jobs.terminal import suites as terminal_suites

    show.check_json(json)
    found = listing.suites_data()
    terminal_suites.print_suites(found)
    show.write_json(json, found)


def tasks(
    search: Annotated[list[str] | None, typer.Argument(help="Words that a name has.")] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Index the names anew.")] = False,
    json: Json = None,
) -> None:
    """Find lm-eval's own tasks, groups and tags by name."""
    from jobs.terminal import show
    from jobs.terminal import suites as terminal_suites

    show.check_json(json)
    if refresh:
        terminal_suites.index()
    words = " ".join(search or [])
    data = terminal_suites.tasks_data(words)
    terminal_suites.print_tasks(data, words)
    show.write_json(json, data)


def data(
    suite: Annotated[str | None, typer.Argument(help="Only this suite's files.")] = None,
    folder: Annotated[
        str | None, typer.Option(help="Keep this as the folder of public files; '' forgets it.")
    ] = None,
    fetch: Annotated[bool, typer.Option("--fetch", help="Get what the Hub has.")] = False,
    json: Json = None,
) -> None:
    """Say which public benchmark files are here, under which terms; get those the Hub has."""
    from jobs.suites import datasets
    from jobs.terminal import show
    from jobs.terminal import suites as terminal_suites

    show.check_json(json)
    if folder is not None:
        show.say(f"Public benchmark files are looked for in {datasets.choose_folder(folder)}.")
    if fetch:
        terminal_suites.fetch(suite)
    found = datasets.listing(suite)
    terminal_suites.print_data(found)
    show.write_json(json, found)
