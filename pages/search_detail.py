"""One search: how far it is, its winner on held-out items, its trials and pictures."""

from __future__ import annotations

import streamlit as st

from db.queries import searches as search_rows
from db.queries.searches import SearchRow
from jobs.search import pictures, state
from pages.components import links, presses, problems, words
from pages.components.search import held, progress, trial, views

POLL_SECONDS = 3.0
PARTIAL_SECONDS = 10.0  # how often pictures follow a search that runs


def main() -> None:
    """The page: `?search=<number>`, with `view=` and `trial=`."""
    row = _asked_for()
    if row is None:
        st.title("Search", anchor=False)
        st.warning("There is no such search. It may have been deleted, or the link is incomplete.")
        links.link("searches", "All searches", icon=":material/travel_explore:")
        return
    with st.container(horizontal=True, horizontal_alignment="distribute",
                      vertical_alignment="center"):  # fmt: skip
        st.title(problems.as_text(row.name), anchor=False, width="content")
        with st.popover("More", icon=":material/more_horiz:"):
            _more(row)
    live = state.progress(row.id)["state"] in ("running", "waiting")
    st.fragment(_progress, run_every=POLL_SECONDS if live else None)(row.id)
    view = _view(row)
    st.fragment(_body, run_every=PARTIAL_SECONDS if live else None)(row.id, view, live)


def _asked_for() -> SearchRow | None:
    number = links.number("search")
    return search_rows.search(number) if number is not None else None


def _more(row: SearchRow) -> None:
    if row.note:
        st.caption(problems.as_text(row.note))
    st.caption(f"Begun {words.ago(row.created)} · design {row.design_hash[:12]}")
    links.link("search_design", "Its design", icon=":material/edit_note:", search=row.id)
    if presses.button("Delete …", icon=":material/delete:", key="search_delete"):
        progress.confirm_delete(row)


def _progress(search_id: int) -> None:
    row = search_rows.search(search_id)
    if row is None:
        st.rerun()
    now = progress.draw(row)
    was = st.session_state.get("search_state")
    st.session_state.search_state = (search_id, now)
    lively = ("running", "waiting")
    if was and was[0] == search_id and (was[1] in lively) != (now in lively):
        st.rerun()  # begin or stop polling, and let the pictures know


def _view(row: SearchRow) -> str:
    """Which view, kept in the address as `view=`."""
    several = len(state.design_of(row).objectives) > 1
    titles = {name: one[0] for name, one in pictures.PICTURES.items()
              if name != "pareto" or several}  # fmt: skip
    views_ = {"result": "Result", "trials": "Trials", **titles}
    asked = st.query_params.get("view", "")
    if st.session_state.get("search_view") not in views_:
        st.session_state["search_view"] = asked if asked in views_ else "result"
    chosen = st.segmented_control(
        "View", list(views_), required=True, key="search_view", wrap=True,
        format_func=views_.__getitem__, label_visibility="collapsed",
    )  # fmt: skip
    st.query_params["view"] = str(chosen)
    return str(chosen)


def _body(search_id: int, view: str, live: bool) -> None:
    """The view, and the trial that is open above it."""
    row = search_rows.search(search_id)
    if row is None:
        return
    with problems.told():
        if view == "result":
            held.draw(search_id, live)
            views.picture(search_id, "history")
        elif view == "trials":
            views.trials(search_id)
        else:
            views.picture(search_id, view)
        trial.draw_asked(row)


main()
