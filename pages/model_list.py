"""Models: everything that can be merged, scored and talked to; and how alike models are."""

from __future__ import annotations

from typing import Any

import streamlit as st

from db.queries import models as model_rows
from db.queries.models import ModelRow
from jobs.models import registry
from pages.components import add_model, links, problems, words
from pages.components.models import similarity_view

ROLES = ("base", "expert", "instruct", "merge")
CLICKED = "model_action"
OPEN, CHAT, CLONE, ARCHIVE, RESTORE = (
    ":material/deployed_code: Open",
    ":material/forum: Chat",
    ":material/science: Clone recipe",
    ":material/archive: Archive",
    ":material/unarchive: Restore",
)


def main() -> None:
    """The page."""
    st.title("Models", anchor=False)
    listed, alike = st.tabs(["List", "Similarity"], key="tab", bind="query-params")
    if listed.open:
        with listed:
            _list()
    if alike.open:
        with alike:
            similarity_view.draw()


def _list() -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        search = st.text_input(
            "Name, domain or method", key="model_search", placeholder="e.g. finance", width=240
        )
        role = st.segmented_control("Role", ROLES, key="role", bind="query-params")
        archived = st.toggle("Archived too", key="with_archived", bind="query-params")
        with st.popover("Add a model", icon=":material/add:"):
            add_model.draw("models_add")
    rows = [row for row in model_rows.models(archived=archived) if _fits(row, role, search)]
    if rows:
        _table(rows)
        st.caption(f"{words.plural(len(rows), 'model')}. The menu of a row opens and archives it.")
    elif model_rows.models():
        st.caption("No model matches.")
    else:
        st.markdown("No model is registered yet. Add a folder or a Hugging Face Hub id.")
        with st.container(border=True):
            add_model.draw("models_first")


def _fits(row: ModelRow, role: str | None, search: str | None) -> bool:
    if role and row.role != role:
        return False
    text = " ".join(filter(None, [row.name, row.domain, row.method])).casefold()
    return all(word in text for word in (search or "").casefold().split())


def _table(rows: list[ModelRow]) -> None:
    column = st.column_config
    st.dataframe(
        [_cells(row) for row in rows],
        hide_index=True,
        alt="Registered models with role, size and place",
        column_config={
            "Name": column.TextColumn(pinned=True, width="medium"),
            "Parameters": column.TextColumn(alignment="right"),
            "Size": column.TextColumn(alignment="right"),
            "Scores": column.NumberColumn(help="Tasks scored", format="%d"),
            "Fingerprint": column.TextColumn(help="Content of the weights, first 12 digits"),
            "Do": column.ButtonColumn("", type="tertiary", key=CLICKED, width=60),
        },
        column_order=["Name", "Do", "Role", "Domain", "Method", "Parameters", "Size", "Format",
                      "Scores", "Fingerprint", "Place"],
    )  # fmt: skip
    _act(rows)


def _cells(row: ModelRow) -> dict[str, Any]:
    return {
        "Name": row.name + (" (archived)" if row.archived else ""),
        "Role": row.role,
        "Domain": row.domain or "",
        "Method": row.method or "",
        "Parameters": words.count(row.n_parameters),
        "Size": words.size(row.size_bytes),
        "Format": row.dtype or "–",
        "Scores": row.n_evaluations,
        "Fingerprint": (row.fingerprint or "–")[:12],
        "Place": words.place(row.source) if row.source or row.recipe_yaml else "scores only",
        "Do": [
            OPEN,
            *([CHAT] if row.source else []),
            *([CLONE] if row.recipe_yaml else []),
            RESTORE if row.archived else ARCHIVE,
        ],
    }


def _act(rows: list[ModelRow]) -> None:
    """Follow a click in a row's menu. Not a callback: those cannot leave for another page."""
    click = st.session_state.get(CLICKED)
    if not click or click["row"] >= len(rows):
        return
    row = rows[click["row"]]
    if click["label"] in (ARCHIVE, RESTORE):
        with problems.told():
            registry.archive(row.name, archived=click["label"] == ARCHIVE)
            st.rerun()
    elif click["label"] == CHAT:
        links.go("chat", model=row.name)
    elif click["label"] == CLONE:
        links.go("build", **{"from": row.id})
    else:
        links.go("model", id=row.id)


main()
