"""What can be done about a job: cancel, pause, move, try again. Each is carried out at once."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from db.queries.jobs import JobRow
from jobs.running import api
from pages.components import problems

Action = Callable[[int], object]
MENU: dict[str, tuple[str, Action]] = {
    "first": ("Run next", lambda job: api.move(job, "first")),
    "earlier": ("Earlier", lambda job: api.move(job, "earlier")),
    "later": ("Later", lambda job: api.move(job, "later")),
    "last": ("Run last", lambda job: api.move(job, "last")),
    "raise": ("Raise priority", lambda job: api.change_priority(job, 1)),
    "lower": ("Lower priority", lambda job: api.change_priority(job, -1)),
}


def actions(row: JobRow, key: str) -> None:
    """Buttons for what can be done about a job in its state."""
    if row.state == "queued":
        st.menu_button(
            "Order",
            list(MENU),
            key=f"{key}_order_{row.id}",
            icon=":material/swap_vert:",
            format_func=lambda one: MENU[one][0],
            on_click=_ordered,
            args=(row.id, f"{key}_order_{row.id}"),
        )
    if row.open and not row.cancel_requested:
        if row.paused:
            _button("Resume", "play_arrow", f"{key}_resume_{row.id}", api.resume, row.id)
        else:
            _button("Pause", "pause", f"{key}_pause_{row.id}", api.pause, row.id,
                    help="It waits until it is resumed. " + _kept(row))  # fmt: skip
    if row.open:
        _button("Cancel", "stop_circle", f"{key}_cancel_{row.id}", api.cancel, row.id,
                disabled=row.cancel_requested)  # fmt: skip
    elif row.state in ("failed", "cancelled"):
        _button("Try again", "refresh", f"{key}_retry_{row.id}", api.retry, row.id)


def whole_queue(*, paused: bool) -> None:
    """Pause everything, or let it go on."""
    if paused:
        st.button("Resume the queue", key="queue_go_on", icon=":material/play_arrow:",
                  on_click=_told, args=(lambda _: api.resume_queue(), 0))  # fmt: skip
    else:
        st.button(
            "Pause the queue",
            key="queue_pause",
            icon=":material/pause:",
            help="Nothing new starts; what runs is put back with its progress.",
            on_click=_told,
            args=(lambda _: api.pause_queue(), 0),
        )


def whole_group(group: str, rows: list[JobRow]) -> None:
    """Pause, resume or cancel all open jobs of a press."""
    held = [row for row in rows if row.open and not row.cancel_requested]
    if any(not row.paused for row in held):
        st.button("Pause all", key="job_pause_all", icon=":material/pause:",
                  on_click=_told, args=(lambda _: api.pause_group(group), 0))  # fmt: skip
    elif held:
        st.button(
            "Resume all", key="job_resume_all", icon=":material/play_arrow:",
            on_click=_told, args=(lambda _: api.pause_group(group, paused=False), 0),
        )  # fmt: skip
    st.button("Cancel all", key="job_cancel_all", icon=":material/stop_circle:",
              on_click=_told, args=(lambda _: api.cancel_group(group), 0))  # fmt: skip


def _kept(row: JobRow) -> str:
    if row.state != "running":
        return ""
    if row.kind == "merge":
        return "This merge then begins again."
    return "What it has done so far is kept."


def _button(
    label: str, icon: str, key: str, action: Action, job_id: int, *, disabled: bool = False,
    help: str | None = None,
) -> None:  # fmt: skip
    st.button(label, key=key, icon=f":material/{icon}:", disabled=disabled, help=help,
              on_click=_told, args=(action, job_id))  # fmt: skip


def _ordered(job_id: int, key: str) -> None:
    chosen = st.session_state.get(key)
    if chosen in MENU:
        _told(MENU[chosen][1], job_id)


def _told(action: Action, job_id: int) -> None:
    """Carry out an action; what it refuses is said."""
    try:
        action(job_id)
    except Exception as error:
        if not problems.is_plain(error):
            raise
        st.toast(problems.as_text(str(error)), icon=":material/error:", duration="long")
