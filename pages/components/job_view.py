"""How a job looks: its state, its progress, and what it waits for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from db.queries.jobs import JobRow
from pages.components import problems, words

STATES = {
    "queued": ("waiting", "hourglass", "gray"),
    "running": ("running", "autorenew", "blue"),
    "done": ("done", "check", "green"),
    "failed": ("failed", "error", "red"),
    "cancelled": ("cancelled", "cancel", "gray"),
}
KINDS = {
    "merge": "Merge",
    "evaluate": "Benchmark",
    "sandbox_build": "Sandbox",
    "similarity": "Similarity",
    "health": "Health",
    "verify": "Rebuild and verify",
    "extract": "Extract a LoRA",
    "judge": "Judge",
    "study": "Study",
    "search": "Search",
    "data": "Download of data",
    "catalogue": "Index of tasks",
}


def row_of_parts() -> DeltaGenerator:
    """What a job is at the left, what can be done about it at the right."""
    return st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    )


def badge(row: JobRow) -> str:
    """The state as a word with its icon, in Markdown."""
    if row.state == "running" and (row.cancel_requested or row.paused):
        return state_badge(STATES, row.state, "stopping" if row.cancel_requested else "pausing")
    if row.state == "queued" and row.paused:
        return state_badge({"paused": ("paused", "pause_circle", "orange")}, "paused")
    return state_badge(STATES, row.state)


def state_badge(
    states: Mapping[str, tuple[str, str, str]], state: str, word: str | None = None
) -> str:
    """A state as a badge in Markdown; `states` gives each its word, icon and colour."""
    said, icon, color = states.get(state, (state, "help", "gray"))
    return f":{color}-badge[:material/{icon}: {word or said}]"


def progress(row: JobRow) -> None:
    """Stage, bar, rate and time left of a running job."""
    stage = problems.as_text(row.stage or "Starting")
    if row.total > 0:
        parts = [f"**{stage}**", f"{row.done:,.0f} of {row.total:,.0f} {row.unit}".strip()]
        if row.rate:
            parts.append(f"{row.rate:,.1f} {row.unit}/s" if row.unit else f"{row.rate:,.1f}/s")
        if row.eta_seconds is not None:
            parts.append(f"{words.duration(row.eta_seconds)} left")
        st.progress(row.fraction or 0.0, text=" · ".join(parts))
    else:
        st.progress(0.0, text=f"**{stage}** …")


def line(row: JobRow, needs: Sequence[JobRow] = ()) -> str:
    """What there is to say about a job in one line: how long it took, or what it waits for."""
    if row.state == "queued":
        parts = [f"asked for {words.ago(row.created)}"]
        if row.priority:
            parts.append(f"priority {row.priority}")
        if row.total > 0 and row.done:
            parts.append(f"{row.fraction or 0:.0%} done before")
        if needs:
            named = ", ".join(f"“{problems.as_text(one.title)}”" for one in needs[:2])
            more = f" and {len(needs) - 2} more" if len(needs) > 2 else ""
            parts.append(f"waits for {named}{more}")
        return " · ".join(parts)
    if row.state == "running":
        where = f" on {row.device}" if row.device else ""
        return f"running for {words.duration(row.seconds)}{where}"
    took = f"took {words.duration(row.seconds)}, " if row.seconds is not None else ""
    return f"{took}ended {words.ago(row.ended)}"
