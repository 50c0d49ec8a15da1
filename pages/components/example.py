"""The two-minute example: one button that does the main job on the shipped models."""

from __future__ import annotations

from jobs import quickstart
from pages.components import links, presses, problems


def button(key: str, *, primary: bool = True) -> None:
    """Merge finance + instruct - base, score it and its parents, and go to the job."""
    if presses.button(
        "Run the two-minute example",
        key=key,
        type="primary" if primary else "secondary",
        icon=":material/local_fire_department:",
        help="Merges the sandbox's finance expert with its instruct model and scores the result "
        "beside its parents, on this machine and without a network.",
    ):
        with problems.told():
            links.go("job", group=quickstart.submit())
