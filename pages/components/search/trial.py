"""One trial: its recipe, its scores on the search items, and what to do with it.

It is a dialog over the view that it was opened from; `?trial=REF` opens it from an address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from db.queries.searches import SearchRow
from jobs.search import shown, submit
from pages.components import links, presses, problems, words

if TYPE_CHECKING:
    from jobs.search.shown import Trial

NUMBER = "search_closed"  # how many dialogs were closed: part of the keys of what opens them


def table_key(name: str) -> str:
    """Key of a table or picture whose selection opens a trial; closing clears the selection."""
    return f"search_{name}#{st.session_state.get(NUMBER, 0)}"


def ask(ref: str) -> None:
    """A mark or line was chosen: the trial is opened at the end of this run."""
    st.query_params["trial"] = ref


def draw_asked(row: SearchRow) -> None:
    """Open the trial that the address names."""
    ref = st.query_params.get("trial")
    if not ref:
        return
    found = shown.trial(row.id, ref[:20])
    if found is None:
        st.query_params.pop("trial", None)
        st.toast("The address names no trial of this search.", icon=":material/help:")
        return
    title = problems.as_text(found.title.capitalize())
    st.dialog(title, width="large", on_dismiss=_close)(_body)(row, found)


def _close() -> None:
    st.query_params.pop("trial", None)
    st.session_state[NUMBER] = st.session_state.get(NUMBER, 0) + 1


def _body(row: SearchRow, found: Trial) -> None:
    with problems.told():
        text = submit.recipe_of(row.id, found.ref)
        _actions(row, found, text)
        if found.text and found.state == "failed":
            st.error(problems.as_text(found.text), icon=":material/error:")
        if found.state == "pruned":
            st.info("Left after its first items, where it did worse than others.",
                    icon=":material/content_cut:")  # fmt: skip
        if found.tasks:
            _scores(found)
        st.code(text, language="yaml")


def _actions(row: SearchRow, found: Trial, text: str) -> None:
    made = shown.made(text)
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        if presses.button("Open in Build", key="search_trial_build", icon=":material/science:"):
            links.go("build", trial=f"{row.id}.{found.ref}")
        if made is not None:
            links.link("model", "Its model", icon=":material/deployed_code:", id=made.id)
            if presses.button("Chat", key="search_trial_chat", icon=":material/forum:"):
                links.go("chat", model=made.name)
        else:
            if presses.button(
                "Make a model of it", key="search_trial_make", icon=":material/deployed_code:",
                help="Merges it into a folder and scores it on the held-out items.",
            ):  # fmt: skip
                links.go("job", group=submit.materialise(row.id, found.ref))
            if presses.button(
                "Chat", key="search_trial_chat", icon=":material/forum:",
                help="The model is made first; its job's page leads to the chat.",
            ):  # fmt: skip
                links.go("job", group=submit.materialise(row.id, found.ref))
    said = [found.state]
    if found.reused is not None:
        said.append(f"the same merge as trial {found.reused}, not scored again")
    elif found.seconds:
        said.append(f"merged and scored in {words.duration(found.seconds)}")
    if found.change is not None:
        said.append(f"size of change {found.change:.4f}")
    st.caption(" · ".join(said))


def _scores(found: Trial) -> None:
    rows = [{"Task": task, "Score": 100 * value} for task, value in found.tasks.items()]
    st.dataframe(
        pd.DataFrame(rows), hide_index=True, height=300,
        column_config={"Score": st.column_config.NumberColumn(format="%.1f")},
        alt=f"Scores of {found.title} on {len(rows)} tasks",
    )  # fmt: skip
    st.caption(f"Points of a hundred, on {words.plural(found.items, 'search item')}.")
