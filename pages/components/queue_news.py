"""What has ended since a tab last looked, told in that tab once, wherever it is."""

from __future__ import annotations

import time

import streamlit as st

from db.queries import jobs as job_rows
from db.queries.jobs import JobRow
from pages.components import problems

# Workers write with their own clocks: what ended a little before we last looked may come late.
OVERLAP_SECONDS = 60.0
MOST_TOASTS = 3


def announce() -> None:
    """One toast for every press whose last job has ended since this tab last looked."""
    seen: dict[int, float] | None = st.session_state.get("announced")
    if seen is None:  # a tab is told only of what ends while it is open
        began = st.session_state.setdefault("announced_from", time.time())
        ended = [row for row in job_rows.ended_since(began - OVERLAP_SECONDS) if _was(row, began)]
        st.session_state.announced = {row.id: row.ended or began for row in ended}
        return
    since = max(seen.values(), default=st.session_state.announced_from) - OVERLAP_SECONDS
    ended = [row for row in job_rows.ended_since(since) if seen.get(row.id) != row.ended]
    if not ended:
        return
    kept = {number: moment for number, moment in seen.items() if moment > since}
    st.session_state.announced = kept | {row.id: row.ended or 0.0 for row in ended}
    told = [text for last in _presses(ended) if (text := news(last)) is not None]
    for text, icon in told[:MOST_TOASTS]:
        st.toast(text, icon=icon, duration="long")
    if len(told) > MOST_TOASTS:
        st.toast(f"{len(told) - MOST_TOASTS} more have ended. [All jobs](jobs)",
                 icon=":material/list_alt:", duration="long")  # fmt: skip


def _was(row: JobRow, moment: float) -> bool:
    return row.ended is not None and row.ended <= moment


def _presses(ended: list[JobRow]) -> list[JobRow]:
    """The last job of each press among these."""
    return list({row.group or f"job {row.id}": row for row in ended}.values())


def news(last: JobRow) -> tuple[str, str] | None:
    """What is told of a press, with its icon; None while some of it is still under way."""
    rows = job_rows.group(last.group) if last.group else [last]
    if any(row.open for row in rows):
        return None
    first = rows[0]
    link = f"[Open](job?group={last.group})" if last.group else f"[Open](job?job={last.id})"
    failed = next((row for row in rows if row.state == "failed"), None)
    if failed is not None:
        title = problems.as_text(failed.title)
        return f"**{title}** failed. [Open](job?job={failed.id})", ":material/error:"
    title = problems.as_text(first.title)
    if any(row.state == "cancelled" for row in rows):
        return f"**{title}** was cancelled. {link}", ":material/cancel:"
    return f"**{title}** is done. {link}", ":material/check:"
