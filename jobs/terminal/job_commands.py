"""`python cli.py jobs`: the queue and its history; `cli.py` has the others."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

jobs = typer.Typer(help="What runs, what waits, what ended.")

Json = Annotated[Path | None, typer.Option("--json", help="Also write JSON to this file.")]
Number = Annotated[int, typer.Argument(help="The job's number.")]
Day = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="A day, 2026-01-31.")]


@jobs.callback(invoke_without_command=True)
def jobs_alone(context: typer.Context) -> None:
    """The queue and its history; without a command, as `jobs list`."""
    if context.invoked_subcommand is None:
        list_jobs()


@jobs.command("list")
def list_jobs(
    words: Annotated[list[str] | None, typer.Argument(help="In title, error or stage.")] = None,
    state: Annotated[
        list[str] | None,
        typer.Option(help="queued, running, done, failed or cancelled; repeatable."),
    ] = None,
    kind: Annotated[list[str] | None, typer.Option(help="merge, evaluate ...; repeatable.")] = None,
    model: Annotated[str | None, typer.Option(help="Model that is read, scored or made.")] = None,
    since: Day = None,
    until: Day = None,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    json: Json = None,
) -> None:
    """List jobs: what runs, what waits in its order, then what has ended, newest first."""
    from jobs.terminal import queue as terminal_queue
    from jobs.terminal import show

    show.check_json(json)
    found, total = terminal_queue.find(words or (), state or (), kind or (), model, since, until,
                                       limit)  # fmt: skip
    terminal_queue.print_jobs(found, total)
    show.write_json(json, [terminal_queue.as_data(row) for row in found])


@jobs.command()
def show(job: Number, json: Json = None) -> None:
    """Show one job: where it stands, what it waits for, what came out, the end of its log."""
    from jobs.terminal import queue as terminal_queue
    from jobs.terminal import show as shown

    shown.check_json(json)
    row = terminal_queue.get(job)
    terminal_queue.print_job(row)
    shown.write_json(json, terminal_queue.as_data(row, log=True))


@jobs.command()
def cancel(job: Annotated[list[int], typer.Argument(help="Numbers of jobs.")]) -> None:
    """Cancel waiting or running jobs by their numbers."""
    from jobs.terminal import queue as terminal_queue

    for number in job:
        terminal_queue.cancel(number)


@jobs.command()
def pause(
    job: Annotated[list[int] | None, typer.Argument(help="Numbers of jobs.")] = None,
    whole: Annotated[bool, typer.Option("--all", help="The whole queue.")] = False,
    finish_running: Annotated[
        bool, typer.Option("--finish-running", help="With --all: what runs comes to its end.")
    ] = False,
) -> None:
    """Hold jobs back, or the whole queue; what runs is put back with its progress."""
    from jobs.terminal import queue as terminal_queue

    terminal_queue.pause(job or (), whole=whole, finish_running=finish_running)


@jobs.command()
def resume(
    job: Annotated[list[int] | None, typer.Argument(help="Numbers of jobs.")] = None,
    whole: Annotated[bool, typer.Option("--all", help="The whole queue.")] = False,
) -> None:
    """Let paused jobs go on, or the whole queue."""
    from jobs.terminal import queue as terminal_queue

    terminal_queue.resume(job or (), whole=whole)


@jobs.command()
def retry(job: Annotated[list[int], typer.Argument(help="Numbers of jobs.")]) -> None:
    """Queue failed or cancelled jobs again, with what was not run because of them."""
    from jobs.running import api
    from jobs.terminal import show as shown

    for number in job:
        api.retry(number)
        shown.say(f"Job {number} waits again.")


@jobs.command(context_settings={"ignore_unknown_options": True})
def priority(
    job: Number,
    value: Annotated[
        str, typer.Argument(help="A whole number, higher runs first; +1 or -1 from what it is.")
    ],
) -> None:
    """Raise or lower a job's priority; what it needs gets no less."""
    from jobs.terminal import queue as terminal_queue

    terminal_queue.prioritise(job, value)


@jobs.command()
def move(
    job: Number,
    where: Annotated[str, typer.Argument(help="first, earlier, later or last.")],
) -> None:
    """Move a waiting job in the queue."""
    from jobs.terminal import queue as terminal_queue

    terminal_queue.move(job, where)
