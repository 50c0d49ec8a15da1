"""One study: how far it is, what it found, its pictures, and every merge in it."""

from __future__ import annotations

from importlib.util import find_spec

import streamlit as st

from db.queries import studies as study_rows
from db.queries.studies import StudyRow
from jobs.studies import pictures, state
from pages.components import links, presses, problems, words
from pages.components.studies import overview, picture, point, points_table, progress

POLL_SECONDS = 2.0
PARTIAL_SECONDS = 10.0  # how often pictures follow a study that runs
MOST_CHARS = 16
OVERVIEW, POINTS, REPORT = "Overview", "Points", "Report"


def main() -> None:
    """The page: `?study=<number>`, with `view=` and `point=`."""
    row = _asked_for()
    if row is None:
        st.title("Study", anchor=False)
        st.warning("There is no such study. It may have been deleted, or the link is incomplete.")
        links.link("studies", "All studies", icon=":material/biotech:")
        return
    with st.container(horizontal=True, horizontal_alignment="distribute",
                      vertical_alignment="center"):  # fmt: skip
        st.title(problems.as_text(row.name), anchor=False, width="content")
        with st.popover("More", icon=":material/more_horiz:"):
            _more(row)
    live = state.progress(row.id)["state"] in ("running", "waiting")
    st.fragment(_progress, run_every=POLL_SECONDS if live else None)(row.id)
    view = _view()
    st.fragment(_body, run_every=PARTIAL_SECONDS if live else None)(row.id, view)


def _asked_for() -> StudyRow | None:
    number = links.number("study")
    return study_rows.study(number) if number is not None else None


def _more(row: StudyRow) -> None:
    if row.note:
        st.caption(problems.as_text(row.note))
    st.caption(f"Begun {words.ago(row.created)} · design {row.design_hash[:12]}")
    links.link("study_design", "Its design", icon=":material/edit_note:", study=row.id)
    if presses.button("Delete …", icon=":material/delete:", key="study_delete"):
        progress.confirm_delete(row)


def _progress(study_id: int) -> None:
    row = study_rows.study(study_id)
    if row is None:
        st.rerun()
    now = progress.draw(row)
    was = st.session_state.get("study_state")
    st.session_state.study_state = (study_id, now)
    lively = ("running", "waiting")
    if was and was[0] == study_id and (was[1] in lively) != (now in lively):
        st.rerun()  # begin or stop polling, and let the pictures know


def _view() -> str:
    """Which view, kept in the address as `view=`."""
    titles = {name: _short(title) for name, title in pictures.titles().items()}
    views = {"overview": OVERVIEW, **titles, "points": POINTS}
    if find_spec("jobs.studies.report") is not None:
        views["report"] = REPORT
    asked = st.query_params.get("view", "")
    if st.session_state.get("study_view") not in views:
        st.session_state["study_view"] = asked if asked in views else "overview"
    chosen = st.segmented_control(
        "View", list(views), required=True, key="study_view", wrap=True,
        format_func=views.__getitem__, label_visibility="collapsed",
    )  # fmt: skip
    st.query_params["view"] = str(chosen)
    return str(chosen)


def _short(title: str) -> str:
    """A title that leaves room for the others beside it."""
    return title if len(title) <= MOST_CHARS else title.split(" and ")[-1].capitalize()


def _body(study_id: int, view: str) -> None:
    """The view, and the merge that is open above it."""
    row = study_rows.study(study_id)
    if row is None:
        return
    with problems.told():
        if view == "overview":
            overview.draw(study_id)
        elif view == "points":
            points_table.draw(study_id)
        elif view == "report":
            from pages.components.studies import report

            report.draw(row)
        else:
            picture.draw(study_id, view)
        point.draw_asked(row)


main()
