"""The trials as a table, and a search's pictures with their numbers."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from jobs.search import pictures, shown
from pages.components.search import trial

WIDE, LEAST_PIXELS = "search_picture", 520


def trials(search_id: int) -> None:
    """Every trial; a ticked line opens."""
    found = shown.results(search_id)
    rows = shown.rows(found)
    if not rows:
        st.info("The first trials are not scored yet.", icon=":material/hourglass:")
        return
    scores = {one.title: 100.0 if one.is_score else 1.0 for one in found.design.objectives}
    told = [{k: v * scores[k] if k in scores and v is not None else v for k, v in row.items()}
            for row in rows]  # fmt: skip
    event = st.dataframe(
        pd.DataFrame(told), hide_index=True, key=trial.table_key("trials"), on_select="rerun",
        selection_mode="single-row", height=460,
        column_config={title: st.column_config.NumberColumn(
            format="%.1f" if factor > 1 else "%.4f") for title, factor in scores.items()}
        | {"after first items": st.column_config.NumberColumn(format="percent")},
        alt=f"{len(rows)} trials",
    )  # fmt: skip
    st.caption("On the search items. Tick a line to open the trial.")
    _csv("trials", rows)
    chosen = [i for i in event.selection.rows if i < len(rows)]
    if chosen:
        trial.ask(str(rows[chosen[0]]["trial"]))


def picture(search_id: int, name: str) -> None:
    """One picture, its numbers beneath."""
    found = shown.results(search_id)
    title, about, draw = pictures.PICTURES[name]
    st.caption(about)
    titles = [one.title for one in found.design.objectives]
    place = 0
    if len(titles) > 1 and not (name == "pareto" and len(titles) == 2):
        choices = range(1 if name == "pareto" else 0, len(titles))
        key = f"search_objective_{name}"
        if st.session_state.get(key) not in choices:
            st.session_state[key] = choices[0]
        place = st.segmented_control(
            "Objective", list(choices), key=key, required=True, format_func=titles.__getitem__
        )
    theme = "dark" if st.context.theme.type == "dark" else "light"
    figure, rows = draw(found, theme, place)
    pixels = int((figure.layout.meta or {}).get("min_width", LEAST_PIXELS))
    # on a telephone a picture keeps a readable width, and is moved sideways
    st.html(f"<style>.st-key-{WIDE} {{overflow-x: auto}} "
            f".st-key-{WIDE} > * {{min-width: {pixels}px}}</style>")  # fmt: skip
    key = trial.table_key(f"picture_{name}_{place}_{theme}")
    with st.container(key=WIDE):
        if name in ("history", "pareto"):
            event = st.plotly_chart(
                figure, key=key, theme=None, config=dict(pictures.theme.CONFIG), on_select="rerun",
                selection_mode="points", alt=f"{title}. {about}",
            )  # fmt: skip
            marks = [mark for mark in event.selection.points if mark.get("customdata")]
            said = str(marks[0]["customdata"][0]) if marks else ""
            if said and st.session_state.get(f"{key}_done") != said:
                trial.ask(said)
            st.session_state[f"{key}_done"] = said
        else:
            st.plotly_chart(figure, key=key, theme=None, config=dict(pictures.theme.CONFIG),
                            alt=f"{title}. {about}")  # fmt: skip
    _csv(name, rows)
    if st.toggle("Show the numbers", key=f"search_numbers_{name}"):
        st.dataframe(pd.DataFrame(rows), hide_index=True, height=320)


def _csv(name: str, rows: list[dict[str, object]]) -> None:
    st.download_button(
        f"{name} (CSV)", lambda: pd.DataFrame(rows).to_csv(index=False), f"{name}.csv", "text/csv",
        key=f"search_csv_{name}", on_click="ignore", type="tertiary", icon=":material/download:",
    )  # fmt: skip
