"""The answer before anything starts: do these models fit together, and does the machine suffice?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from pages.components import problems, words

if TYPE_CHECKING:
    from jobs.models.registry import Plan

MARKS = {
    "ok": ":green[:material/check:]",
    "warn": ":orange[:material/priority_high:]",
    "bad": ":red[:material/close:]",
}
SAID = {"ok": "fits", "warn": "note", "bad": "does not fit"}


def draw(plan: Plan) -> None:
    """Problems in full, what fits in one line that opens, and a bar per resource."""
    good = [check for check in plan.checks if check.state == "ok"]
    for check in plan.checks:
        if check.state != "ok":
            _line(check)
    if good:
        label = f":green[:material/check:] {words.plural(len(good), 'check')} passed"
        with st.expander(label, type="compact"):
            for check in good:
                _line(check)
    _bars(plan.needs)


def _line(check: Any) -> None:
    fix = f" **{problems.as_text(check.fix)}**" if check.fix else ""
    st.markdown(
        f"{MARKS[check.state]} **{problems.as_text(check.title)}** ({SAID[check.state]}). "
        f"{problems.as_text(check.detail)}{fix}"
    )


def _bars(needs: Any) -> None:
    for title, wanted, free in (
        ("Memory", needs.ram_bytes, needs.ram_free_bytes),
        ("GPU memory", needs.vram_bytes, needs.vram_free_bytes),
        ("Disk", needs.disk_bytes, needs.disk_free_bytes),
    ):
        if wanted is not None and free is not None:
            _bar(title, wanted, free)
    if needs.seconds:
        st.caption(f"The merge itself takes about {words.duration(max(1, needs.seconds))}.")


def _bar(title: str, wanted: float, free: float) -> None:
    share = wanted / free if free > 0 else 1.0
    mark = MARKS["ok"] if share <= 0.9 else MARKS["warn"] if share <= 1 else MARKS["bad"]
    said = "" if share <= 1 else " – too little"
    st.progress(
        min(1.0, share),
        text=f"{mark} {title}: {words.size(wanted)} of {words.size(free)} free{said}",
    )
