"""What a study takes and what it can tell, before it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages.components import problems, words

if TYPE_CHECKING:
    from db.queries.studies import StudyRow
    from jobs.studies.look import Plan


def draw(plan: Plan, there: StudyRow | None) -> None:
    """The five figures, where they come from, and what to be careful about."""
    stages = " · ".join(
        f"{'instruct' if stage == 'instruct' else f'stage {stage}'}: {n:,}"
        for stage, n in plan.points.items()
    )
    with st.grid(2, min_column_width=150) as grid:
        _figure(grid, "Merges", f"{plan.merges:,}", stages)
        _figure(grid, "Answers", _answers(plan), _of_models(plan))
        _figure(grid, "Time", _time(plan), _basis(plan))
        _figure(grid, "Smallest difference", _difference(plan), _items(plan))
        _figure(grid, "Memory", _memory(plan), "no checkpoint is written to the disk")
    if there is not None:
        st.info(_extends(plan, there), icon=":material/history:")
    for text in plan.warnings:
        st.warning(problems.as_text(text), icon=":material/warning:")


def _figure(grid: object, title: str, value: str, note: str) -> None:
    with grid.cell(), st.container(gap=None):  # type: ignore[attr-defined]
        st.caption(title)
        st.markdown(f"#### {problems.as_text(value)}")
        st.caption(problems.as_text(note))


def _answers(plan: Plan) -> str:
    if plan.unknown and not plan.items:
        return "not known yet"
    return f"{plan.all_items:,}" if plan.evaluations else "none left"


def _of_models(plan: Plan) -> str:
    scored = f", {plan.parents_scored:,} scored already" if plan.parents_scored else ""
    done = f"; {plan.done:,} merges are there" if plan.done else ""
    items = f"{plan.items:,} items a model" if plan.items else "items are counted at the first run"
    return f"{items}; {words.plural(plan.parents, 'parent')}{scored}{done}"


def _time(plan: Plan) -> str:
    if not plan.evaluations:
        return "none left"
    return "not known" if plan.seconds is None else f"about {about(plan.seconds)}"


def about(seconds: float) -> str:
    """A duration as roughly as it is known."""
    if seconds < 90:
        return words.duration(max(5, round(seconds / 5) * 5))
    if seconds < 5400:
        return f"{max(2, round(seconds / 60))} min"
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours < 36 else f"{hours / 24:.1f} days"


def _basis(plan: Plan) -> str:
    at_once = f"; {plan.lanes} processes at once" if plan.lanes > 1 else ""
    return f"{plan.basis}{at_once}"


def _memory(plan: Plan) -> str:
    if plan.ram_bytes is None and plan.vram_bytes is None:
        return "not known"
    parts = [words.size(plan.ram_bytes)] if plan.ram_bytes is not None else []
    if plan.vram_bytes is not None:
        parts.append(f"{words.size(plan.vram_bytes)} GPU")
    return " + ".join(parts)


def _difference(plan: Plan) -> str:
    found = plan.reporting.mean
    return "not known" if found is None else f"{100 * found:.1f} points"


def _items(plan: Plan) -> str:
    n = sum(count for count in plan.reporting.items.values() if count)
    choosing = sum(plan.choosing.items.values()) if plan.choosing else 0
    aside = f"; {choosing:,} others choose" if choosing else ""
    return f"of the mean over {words.plural(plan.tasks, 'task')}; {n:,} items reported{aside}"


def _extends(plan: Plan, there: StudyRow) -> str:
    name = problems.as_text(there.name)
    if not plan.evaluations:
        return f"The study {name} has all of this already."
    return f"The study {name} is there: starting goes on with it, and keeps what is scored."
