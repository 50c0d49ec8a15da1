"""Making a suite of lm-eval's own tasks: search the index, choose, set, keep."""

from __future__ import annotations

import streamlit as st

from jobs.running import api
from jobs.suites import harness_names, own_suites
from pages.components import links, presses, problems, words
from pages.components.suites import picker as suite_picker

MOST = 100
CHOSEN = "maker_tasks"


def draw() -> None:
    """The whole maker."""
    state = harness_names.state()
    if not state.names:
        _no_index(state)
        return
    chosen: list[str] = st.session_state.setdefault(CHOSEN, [])
    text = st.text_input(
        "Search lm-eval's tasks and groups", key="maker_search", placeholder="mmlu stem",
        help=f"{state.names:,} names of lm-eval {state.version}; all words must be in a name.",
    )  # fmt: skip
    if text.strip():
        _results(text, chosen)
    _chosen(chosen)
    name = st.text_input(
        "Name of the suite", key="maker_name", max_chars=60, placeholder="my-knowledge"
    )
    with st.popover("How it is asked", icon=":material/tune:"):
        settings = suite_picker.settings_fields("maker")
    if presses.button(
        "Keep the suite",
        key="maker_keep",
        type="primary",
        icon=":material/save:",
        disabled=not chosen,
    ):
        with problems.told():
            kept = own_suites.save(name, chosen, settings)
            st.session_state[CHOSEN] = []
            st.success(
                f"{problems.as_text(kept)} is kept: it can be chosen wherever a suite is.",
                icon=":material/check:",
            )


def _results(text: str, chosen: list[str]) -> None:
    found = harness_names.search(text, MOST)
    if not found:
        near = harness_names.nearest(text.strip())
        hint = f" Did you mean {problems.as_text(near)}?" if near else ""
        st.info(
            f"lm-eval has no name with {problems.as_text(text)}.{hint}", icon=":material/search:"
        )
        return
    event = st.dataframe(
        [
            {
                "Name": e.name,
                "Kind": e.kind,
                "Asked by": e.output,
                "Dataset": e.dataset,
                "Part": e.subset,
            }
            for e in found
        ],
        key=f"maker_found_{text}",
        hide_index=True,
        height=min(38 * len(found) + 40, 320),
        on_select="rerun",
        selection_mode="multi-row",
        alt=f"{len(found)} names of lm-eval with {text}",
    )
    picked = [found[i].name for i in event.selection.rows if i < len(found)]
    fresh = [name for name in picked if name not in chosen]
    label = f"Add {words.plural(len(fresh), 'task')}" if fresh else "Add"
    if presses.button(label, icon=":material/add:", disabled=not fresh, key="maker_add"):
        chosen.extend(fresh)
        st.rerun()
    if len(found) == MOST:
        st.caption(f"The first {MOST} names are shown; another word narrows them down.")


def _chosen(chosen: list[str]) -> None:
    if not chosen:
        st.caption("Nothing is chosen yet: search, tick rows, add them.")
        return
    kept = st.multiselect("Chosen", chosen, default=chosen, key=f"maker_chosen_{len(chosen)}")
    if set(kept) != set(chosen):
        st.session_state[CHOSEN] = [name for name in chosen if name in kept]
        st.rerun()


def _no_index(state: harness_names.State) -> None:
    if not state.version:
        st.info("lm-eval is not installed; `pip install -r requirements.txt` brings it.")
        return
    st.info(
        f"The tasks of lm-eval {state.version} are not indexed yet. It is done once, in less than "
        "a minute, by a job.",
        icon=":material/manage_search:",
    )
    if presses.button(
        "Index the tasks", key="maker_index", type="primary", icon=":material/manage_search:"
    ):
        with problems.told():
            number = api.submit(
                "catalogue", {}, title=f"Index the tasks of lm-eval {state.version}", once=True
            )
            links.go("job", job=number)
