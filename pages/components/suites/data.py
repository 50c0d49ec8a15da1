"""Every suite with its data: what is here, what the Hub has, what is missing, under which terms."""

from __future__ import annotations

from typing import Any

import streamlit as st

from evaluation.suites import Suite, list_suites
from jobs.suites import datasets, own_suites
from pages.components import links, presses, problems, words

STATES = {
    "here": ":green-badge[:material/check: here]",
    "hub": ":blue-badge[:material/cloud_download: on the Hub]",
    "missing": ":orange-badge[:material/help: missing]",
}


def draw() -> None:
    """All suites, one card each."""
    rows = datasets.listing()
    own = own_suites.names()
    for sentence in own_suites.broken().values():
        st.warning(problems.as_text(sentence), icon=":material/broken_image:")
    for suite in list_suites():
        _suite(suite, [row for row in rows if suite.name in row["suites"]], suite.name in own)


def _suite(suite: Suite, rows: list[dict[str, Any]], own: bool) -> None:
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(
                f"**{problems.as_text(suite.title)}** :gray[{problems.as_text(suite.name)} · "
                f"{words.plural(len(suite.tasks), 'task')}]",
                width="stretch",
            )
            st.markdown(_state(rows), width="content")
        st.markdown(problems.as_text(suite.description or ", ".join(suite.tasks)))
        if suite.licence:
            note = ":orange-badge[not for commercial use] " if suite.non_commercial else ""
            st.caption(f":material/gavel: {note}{problems.as_text(suite.licence)}")
        if rows:
            with st.expander(f"Data: {words.plural(len(rows), 'dataset')}"):
                for row in rows:
                    _dataset(row)
                _fetch(suite, rows)
        if own and presses.button(
            "Delete this suite", icon=":material/delete:", key=f"delete_{suite.name}"
        ):
            with problems.told():
                own_suites.delete(suite.name)
                st.rerun()


def _state(rows: list[dict[str, Any]]) -> str:
    counts = {state: sum(row["state"] == state for row in rows) for state in STATES}
    if counts["here"] == len(rows):
        return ":green-badge[:material/check: ready]"
    if not counts["missing"]:
        return ":blue-badge[:material/cloud_download: ready with a network]"
    if counts["here"] or counts["hub"]:
        return (
            f":orange-badge[:material/help: {words.plural(counts['missing'], 'dataset')} missing]"
        )
    return ":red-badge[:material/close: data missing]"


def _dataset(row: dict[str, Any]) -> None:
    st.markdown(f"{STATES[row['state']]} **{problems.as_text(row['title'])}**")
    told = [row["licence"] + (", not for commercial use" if row["non_commercial"] else "")]
    if row["hub"]:
        gated = " (accept its conditions there first, and set HF_TOKEN)" if row["gated"] else ""
        told.append(f"Hub: {row['hub']}{gated}")
    told.append(f"Published at {row['source']}")
    if row["note"]:
        told.append(row["note"])
    lacking = [file["name"] for file in row["files"] if file["state"] != "here"]
    if lacking and row["state"] == "missing":
        told.append(f"Looked for below {datasets.folder()}: {', '.join(lacking)}")
    st.caption("  \n".join(problems.as_text(line) for line in told))


def _fetch(suite: Suite, rows: list[dict[str, Any]]) -> None:
    """The button that gets what the Hub has, below the terms it is given under."""
    ours = [row for row in rows if row["state"] == "hub" and row["dataset"] in _folders(suite)]
    if not ours:
        return
    restricted = [row["title"] for row in ours if row["non_commercial"]]
    if restricted:
        st.caption(f"{problems.as_text(', '.join(restricted))}: the terms forbid commercial use.")
    if presses.button(
        "Get from the Hub", icon=":material/cloud_download:", key=f"fetch_{suite.name}"
    ):
        with problems.told():
            number = datasets.fetch(suite.name)
            links.go("job", job=number)


def _folders(suite: Suite) -> set[str]:
    return {name.split("/")[0] for name in suite.data}


def folder() -> None:
    """Where public benchmark files are looked for."""
    st.markdown(
        "Benchmark files of others are not part of Crucible. Put them into a folder as their "
        "authors publish them; *Suites* says which file goes where."
    )
    fixed = datasets.folder_is_fixed()
    with st.form("data_folder", border=False):
        typed = st.text_input(
            "Data folder", value=str(datasets.folder()), disabled=fixed, key="data_folder_path",
            help="Empty goes back to data/benchmarks in the project.",
        )  # fmt: skip
        sent = presses.submit(
            "Keep", key="data_folder_keep", icon=":material/save:", disabled=fixed
        )
    if fixed:
        st.caption("The environment variable CRUCIBLE_DATA_DIR names the folder; it goes first.")
    if sent:
        with problems.told():
            chosen = datasets.choose_folder(typed)
            st.success(f"Files are looked for in {problems.as_text(str(chosen))}.",
                       icon=":material/check:")  # fmt: skip
