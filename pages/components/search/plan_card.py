"""What a search takes and what it can tell, before it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from jobs.scores import detectable
from pages.components import problems, words

if TYPE_CHECKING:
    from db.queries.searches import SearchRow
    from jobs.search.look import SearchPlan


def draw(plan: SearchPlan, there: SearchRow | None) -> None:
    """The figures, where they come from, and what to be careful about."""
    points = "" if plan.combinations is None else f"{plan.combinations:,} points in all"
    known = f"{plan.known} known points first" if plan.known else "no known points"
    time = "not known" if plan.seconds is None else f"about {words.duration(plan.seconds)}"
    with st.grid(2, min_column_width=150) as grid:
        for title, value, said in (
            ("Trials", f"{plan.trials:,}", known),
            ("Parameters", f"{len(plan.parameters)}", points),
            ("Items of a trial", f"{plan.items:,}", f"{len(plan.choosing)} tasks, search part"),
            ("Time", time, plan.basis),
        ):
            with grid.cell(), st.container(gap=None):
                st.caption(title)
                st.markdown(f"#### {problems.as_text(value)}")
                st.caption(problems.as_text(said))
    told = detectable.told(plan.reporting)
    st.caption(f"On the held-out items: {problems.as_text(told.sentence)}")
    if there is not None:
        name = problems.as_text(there.name)
        done = f"{plan.done:,} trials are done" if plan.left else "all its trials are done"
        st.info(f"The search {name} is there, and {done}: starting goes on with it.",
                icon=":material/history:")  # fmt: skip
    for text in plan.warnings:
        st.warning(problems.as_text(text), icon=":material/warning:")
