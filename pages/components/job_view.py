"""How a job looks: its state, its progress, and what can be done about it."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from db.queries.jobs import JobRow
from jobs.running import api
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
}


def row_of_parts() -> DeltaGenerator:
    """What a job is at the left, what can be done about it at the right."""
    return st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    )


def badge(row: JobRow) -> str:
    """The state as a word with its icon, in Markdown."""
    stopping = row.state == "running" and row.cancel_requested
    return state_badge(STATES, row.state, "stopping" if stopping else None)


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


def line(row: JobRow) -> str:
    """What there is to say about a job in one line: how long it took, or why it ended."""
    if row.state == "queued":
        return f"asked for {words.ago(row.created)}"
    if row.state == "running":
        where = f" on {row.device}" if row.device else ""
        return f"running for {words.duration(row.seconds)}{where}"
    took = f"took {words.duration(row.seconds)}, " if row.seconds is not None else ""
    return f"{took}ended {words.ago(row.ended)}"


def actions(row: JobRow, key: str) -> None:
    """Cancel what is open, retry what failed."""
    if row.open:
        st.button(
            "Cancel",
            key=f"{key}_cancel_{row.id}",
            icon=":material/stop_circle:",
            disabled=row.cancel_requested,
            on_click=_cancel,
            args=(row.id,),
        )
    elif row.state in ("failed", "cancelled"):
        st.button(
            "Try again",
            key=f"{key}_retry_{row.id}",
            icon=":material/refresh:",
            on_click=_retry,
            args=(row.id,),
        )


def _cancel(job_id: int) -> None:
    with problems.told():
        api.cancel(job_id)


def _retry(job_id: int) -> None:
    with problems.told():
        api.retry(job_id)
