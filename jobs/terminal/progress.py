"""What the terminal shows while something runs. Without a terminal nothing is imported to draw."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, TextIO

from jobs.kinds import Event

if TYPE_CHECKING:
    from rich.progress import Progress

_json_only = False  # `--json -`: standard output is for the JSON


def keep_output_for_json(wanted: bool) -> None:
    """Whether everything but JSON goes to standard error."""
    global _json_only
    _json_only = wanted


def output() -> TextIO:
    """Where lines and tables go."""
    return sys.stderr if _json_only else sys.stdout


def say(text: str) -> None:
    """Print one line; on standard error when standard output is for JSON alone."""
    print(text, file=output(), flush=True)


def show_events(events: Iterable[Event]) -> Event:
    """Show a generator's progress; return its result event."""
    return _draw(events) if sys.stderr.isatty() else _tell(events)


def _tell(events: Iterable[Event]) -> Event:
    """A line for each stage."""
    result: Event = {}
    stage = ""
    for event in events:
        match event.get("kind"):
            case "stage" | "progress" if event["stage"] != stage:
                stage = event["stage"]
                say(stage)
            case "warning":
                print(f"Warning: {event['text']}", file=sys.stderr, flush=True)
            case "result":
                result = event
    return result


def _draw(events: Iterable[Event]) -> Event:
    """A bar."""
    result: Event = {}
    with bars() as progress:
        bar = progress.add_task("Starting", total=None)
        stage = ""
        for event in events:
            match event.get("kind"):
                case "stage" | "progress":
                    total, done = event.get("total"), event.get("done", 0)
                    if event["stage"] != stage:
                        stage = event["stage"]
                        progress.reset(bar, description=stage, total=total)
                    progress.update(bar, completed=float(done), total=total)
                case "warning":
                    progress.console.print(f"Warning: {event['text']}", markup=False)
                case "result":
                    result = event
        progress.update(bar, total=1, completed=1)
    return result


def bars() -> Progress:
    """Progress bars on standard error, which draw nothing where that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.completed:.0f}/{task.total}"),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    )
