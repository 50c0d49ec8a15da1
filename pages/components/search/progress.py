"""How far a search is, and stopping, resuming, extending it."""

from __future__ import annotations

from typing import Any

import streamlit as st

from db.queries.searches import SearchRow
from jobs.search import state, submit
from pages.components import job_view, links, presses, problems, words

STATES = {
    "running": ("running", "autorenew", "blue"),
    "waiting": ("waiting", "hourglass", "gray"),
    "done": ("done", "check", "green"),
    "stopped": ("stopped", "pause_circle", "orange"),
    "failed": ("failed", "error", "red"),
}
MOST_SAID = 3


def badge(found: dict[str, Any]) -> str:
    """The state as a word with its icon, in Markdown."""
    return job_view.state_badge(STATES, found["state"])


def line(row: SearchRow) -> None:
    """A search in a list: state, name, how far, and the way to it."""
    found = state.progress(row.id)
    with job_view.row_of_parts():
        st.markdown(
            f"{badge(found)} **{problems.as_text(row.name)}** :gray[· {_counted(found)} · "
            f"begun {words.ago(row.created)}]",
            width="content",
        )
        links.link("search", "Open", icon=":material/arrow_forward:", search=row.id)
    if found["state"] in ("running", "waiting"):
        _bar(found)


def draw(row: SearchRow) -> str:
    """The whole of it; returns the state."""
    found = state.progress(row.id)
    live = found["state"] in ("running", "waiting")
    with job_view.row_of_parts():
        st.markdown(f"{badge(found)} :gray[{_counted(found)}]", width="content")
        _actions(row, found)
    if live:
        _bar(found)
        doing = [text for text in found["doing"] if text]
        if doing:
            st.caption(
                "  \n".join(f":material/chevron_right: {problems.as_text(t)}" for t in doing[:4])
            )
    for text in found["errors"][:MOST_SAID]:
        st.error(problems.as_text(text), icon=":material/error:")
    return str(found["state"])


def _counted(found: dict[str, Any]) -> str:
    trials = found["trials"]
    more = [f"{trials[name]:,} {name}" for name in ("pruned", "failed") if trials[name]]
    said = f"{trials['done']:,} of {trials['total']:,} trials"
    if trials["done"] == trials["total"]:
        said = words.plural(trials["total"], "trial")
    return f"{said} ({', '.join(more)})" if more else said


def _bar(found: dict[str, Any]) -> None:
    trials = found["trials"]
    parts = []
    if found["rate"]:
        parts.append(f"{60 * found['rate']:.1f} trials a minute")
    if found["seconds_left"]:
        parts.append(f"about {words.duration(found['seconds_left'])} left")
    if trials["done"] >= trials["total"]:
        parts = ["The best are scored on the held-out items …"]
    share = trials["done"] / max(1, trials["total"])
    st.progress(min(1.0, share), text=" · ".join(parts) or "Parents first, then trials …")


def _actions(row: SearchRow, found: dict[str, Any]) -> None:
    with st.container(horizontal=True, width="content", gap="small", vertical_alignment="center"):
        if found["state"] in ("running", "waiting"):
            if presses.button(
                "Stop", key="search_stop", icon=":material/stop_circle:",
                help="What is scored is kept; Resume goes on.",
            ):  # fmt: skip
                with problems.told():
                    submit.stop(row.id)
                    st.rerun()
        elif found["state"] != "done" and presses.button(
            "Resume", key="search_resume", icon=":material/play_arrow:", type="primary"
        ):
            with problems.told():
                submit.resume(row.id)
                st.rerun()
        links.link("search_design", "Extend", icon=":material/open_in_full:", search=row.id)
        if row.group:
            links.link("job", "Jobs", icon=":material/list_alt:", group=row.group)


@st.dialog("Delete this search?")
def confirm_delete(row: SearchRow) -> None:
    """Ask, then delete it with its trials."""
    st.markdown(
        f"**{problems.as_text(row.name)}** and its trials go. The models, what was made of them "
        "and their scores stay. This cannot be undone."
    )
    if presses.button("Delete", type="primary", icon=":material/delete:", key="search_delete_sure"):
        with problems.told():
            submit.remove(row.id)
            links.go("searches")
