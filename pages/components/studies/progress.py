"""How far a study is, and stopping, resuming, extending it."""

from __future__ import annotations

from typing import Any

import streamlit as st

from db.queries.studies import StudyRow
from jobs.studies import state, submit
from pages.components import job_view, links, presses, problems, words

STATES = {
    "running": ("running", "autorenew", "blue"),
    "waiting": ("waiting", "hourglass", "gray"),
    "done": ("done", "check", "green"),
    "stopped": ("stopped", "pause_circle", "orange"),
    "failed": ("failed", "error", "red"),
}
STAGES = {
    "1": "1, base + expert",
    "2": "2, pairs",
    "3": "3, triples",
    "instruct": "instruct",
}
MOST_SAID = 3


def badge(found: dict[str, Any]) -> str:
    """The state as a word with its icon, in Markdown."""
    return job_view.state_badge(STATES, found["state"])


def line(row: StudyRow) -> None:
    """A study in a list: state, name, how far, and the way to it."""
    found = state.progress(row.id)
    with job_view.row_of_parts():
        st.markdown(
            f"{badge(found)} **{problems.as_text(row.name)}** :gray[· {_counted(found)} · "
            f"begun {words.ago(row.created)}]",
            width="content",
        )
        links.link("study", "Open", icon=":material/arrow_forward:", study=row.id)
    if found["state"] in ("running", "waiting"):
        _bar(found)
    elif row.note:
        note = row.note if len(row.note) < 160 else row.note[:157] + "…"
        st.caption(problems.as_text(note))


def draw(row: StudyRow) -> str:
    """The whole of it; returns the state."""
    found = state.progress(row.id)
    live = found["state"] in ("running", "waiting")
    with job_view.row_of_parts():
        st.markdown(f"{badge(found)} :gray[{_counted(found)}]", width="content")
        _actions(row, found)
    if live:
        _bar(found)
        _stages(found)
    for text in found["errors"][:MOST_SAID]:
        st.error(problems.as_text(text), icon=":material/error:")
    failed = found["points"]["failed"]
    if failed and not live:
        st.warning(
            f"{words.plural(failed, 'merge')} failed; *Points* says why. **Resume** tries again.",
            icon=":material/error:",
        )
    return str(found["state"])


def _counted(found: dict[str, Any]) -> str:
    points = found["points"]
    failed = f", {points['failed']:,} failed" if points["failed"] else ""
    if points["done"] == points["total"]:
        return f"{words.plural(points['total'], 'merge')} scored{failed}"
    return f"{points['done']:,} of {points['total']:,} merges scored{failed}"


def _bar(found: dict[str, Any]) -> None:
    points = found["points"]
    parts = []
    if found["parents"]["done"] < found["parents"]["total"]:
        parts.append(
            f"parents first: {found['parents']['done']} of {found['parents']['total']} scored"
        )
    if found["rate"]:
        parts.append(f"{60 * found['rate']:.1f} merges a minute")
    if found["seconds_left"] is not None:
        parts.append(f"about {words.duration(found['seconds_left'])} left")
    share = (points["done"] + points["failed"]) / max(1, points["total"])
    st.progress(min(1.0, share), text=" · ".join(parts) or "Waiting for its turn …")


def _stages(found: dict[str, Any]) -> None:
    """Each stage's share, and what is being done this moment."""
    stages = [
        f"stage {STAGES.get(stage, stage)}: **{one['done']:,}** of {one['total']:,}"
        for stage, one in found["stages"].items()
    ]
    st.caption(" · ".join(stages))
    doing = [text for text in found["doing"] if text]
    if doing:
        st.caption(
            "  \n".join(f":material/chevron_right: {problems.as_text(t)}" for t in doing[:4])
        )


def _actions(row: StudyRow, found: dict[str, Any]) -> None:
    with st.container(horizontal=True, width="content", gap="small", vertical_alignment="center"):
        if found["state"] in ("running", "waiting"):
            if presses.button(
                "Stop", key="study_stop", icon=":material/stop_circle:",
                help="What is scored is kept; Resume goes on.",
            ):  # fmt: skip
                with problems.told():
                    submit.stop(row.id)
                    st.rerun()
        elif (found["state"] != "done" or found["points"]["failed"]) and presses.button(
            "Resume", key="study_resume", icon=":material/play_arrow:", type="primary",
        ):  # fmt: skip
            with problems.told():
                submit.resume(row.id)
                st.rerun()
        links.link("study_design", "Extend", icon=":material/open_in_full:", study=row.id)
        if row.group:
            links.link("job", "Jobs", icon=":material/list_alt:", group=row.group)


@st.dialog("Delete this study?")
def confirm_delete(row: StudyRow) -> None:
    """Ask, then delete it with its merges' scores."""
    st.markdown(
        f"**{problems.as_text(row.name)}** and the scores of its "
        f"{words.plural(row.n_points, 'merge')} go. The models and their scores stay. "
        "This cannot be undone."
    )
    if presses.button("Delete", type="primary", icon=":material/delete:", key="study_delete_sure"):
        with problems.told():
            submit.remove(row.id)
            links.go("studies")
