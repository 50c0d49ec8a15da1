"""Models, tab Similarity: how alike models are before anybody merges them."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import streamlit as st

from db.queries import jobs as job_rows
from db.queries import models as model_rows
from jobs.errors import JobError
from jobs.models import independence, similarity
from jobs.models.similarity import Choice
from jobs.models.similarity_tables import Found
from pages.components import job_actions, job_view, presses, problems, words
from pages.components.models import similarity_map, similarity_picks
from pages.components.problems import as_text
from pages.components.scores.plots import CONFIG

FIRST = "name"
MOST_SAID = 3  # sentences about pairs; the table has the others
WORTH_SAYING = ("alike", "opposed", "none")


def draw() -> None:
    """Pickers, then the comparison, or what stands between the reader and it."""
    picked = similarity_picks.pick(model_rows.models(archived=True))
    for token in picked.unknown:
        st.warning(
            f"There is no model {as_text(token[:80])}: it was deleted, or the address is mistyped.",
            icon=":material/help:",
        )
    if not picked.models:
        _empty()
        return
    try:
        choice = similarity.checked(picked.models, picked.base)
    except JobError as error:
        st.info(as_text(str(error)), icon=":material/add:")
        return
    with problems.told():
        found = similarity.find(choice)
        if found is None:
            _not_yet(choice)
        else:
            _found(found)


def _empty() -> None:
    st.markdown(
        "How far are models apart, and do they pull in the same direction? Choose a base and the "
        "models made from it. Nothing is merged; every byte is read once."
    )
    if presses.button(
        "Compare the sandbox family", type="primary", icon=":material/join_inner:",
        key="similarity_example",
        help="The four tiny models on board beside their base. Takes seconds.",
    ):  # fmt: skip
        with problems.told():
            choice = similarity.example()
            if choice is None:
                raise JobError("The shipped models are missing from the folder sandbox/.")
            similarity.ask(choice)
            _show(choice)


def _show(choice: Choice) -> None:
    base = choice.base.id if choice.base else None
    similarity_picks.write(base, [row.id for row in choice.models])
    st.session_state.pop(similarity_picks.MODELS, None)
    st.rerun()


def _not_yet(choice: Choice) -> None:
    """Never compared, being compared, or failed."""
    rows = job_rows.group(choice.group)
    last = rows[-1] if rows else None
    if last is not None and last.open:
        st.fragment(_progress, run_every=0.7)(choice)
        return
    if last is not None and last.state == "failed":
        st.error(as_text(last.error or "The comparison failed."), icon=":material/error:")
        job_actions.actions(last, "similarity")
        return
    if last is not None and last.state == "done":
        st.caption("These models have changed since they were compared, or the cache was emptied.")
    if presses.button(
        "Compare", type="primary", icon=":material/join_inner:", key="similarity_ask"
    ):
        similarity.ask(choice)
        st.rerun()
    known = [row.size_bytes for row in choice.rows if row.size_bytes]
    st.caption(f"Reads {words.size(sum(known))} once, in the background." if known else "")


def _progress(choice: Choice) -> None:
    row = job_rows.group(choice.group)[-1]
    if not row.open:
        st.rerun()
    with job_view.row_of_parts():
        st.markdown(f"{job_view.badge(row)} {as_text(row.title)}", width="content")
        job_actions.actions(row, "similarity")
    if row.state == "running":
        job_view.progress(row)


def _found(found: Found) -> None:
    for text in found.notes():
        st.warning(as_text(text), icon=":material/rule:")
    _independence(found)
    _map(found)
    _overall(found)


def _independence(found: Found) -> None:
    """The cosines of task vectors in words, for the reader who looks at nothing else."""
    verdicts = found.verdicts()
    if not verdicts:
        return
    said = [one for one in verdicts if one.verdict in WORTH_SAYING]
    said.sort(key=lambda one: (math.isnan(one.cosine), -abs(one.cosine)))
    if said:
        lines = [as_text(one.text) for one in said[:MOST_SAID]]
        if said[MOST_SAID:]:
            lines.append(f"The table has {words.plural(len(said) - MOST_SAID, 'pair')} more.")
        st.warning("  \n".join(lines), icon=":material/join_inner:")
    count = sum(one.verdict == "independent" for one in verdicts)
    if count == len(verdicts) or not said:
        pairs = words.plural(len(verdicts), "pair")
        closest = max(verdicts, key=lambda one: one.cosine)
        text = f"{count} of {pairs} of task vectors are nearly independent."
        if len(verdicts) == 1 or closest.verdict != "independent":
            text = closest.text if len(verdicts) == 1 else f"{text} The closest: {closest.text}"
        say = st.success if count == len(verdicts) else st.info
        say(as_text(text), icon=":material/join_inner:")
    st.caption(f"{independence.ASSUMPTION} {independence.LIMITS}")


def _overall(found: Found) -> None:
    st.subheader("Overall", anchor=False)
    column = st.column_config
    helps = {
        one.title: column.NumberColumn(format="%.4g", help=one.meaning)
        for one in found.measures.values()
    }
    if models := found.models():
        base = found.labels[0]
        st.dataframe(
            [_row(found, row["model"], row) for row in models], hide_index=True,
            alt=f"Every model beside the base {base}",
            column_config={FIRST: column.TextColumn(f"Beside {base}", pinned=True), **helps},
        )  # fmt: skip
    if pairs := found.pairs():
        st.dataframe(
            [_row(found, f"{row['first']} · {row['second']}", row) for row in pairs],
            hide_index=True, alt="Every pair of models with all measures over all weights",
            column_config={FIRST: column.TextColumn("Pair", pinned=True), **helps},
        )  # fmt: skip
    st.caption(f"Over {found.n_parameters:,} weights of each model, as one long vector.")


def _row(found: Found, name: str, row: dict[str, Any]) -> dict[str, Any]:
    """A table's row under the measures' titles; the cosine of task vectors has its word beside."""
    cells: dict[str, Any] = {FIRST: name}
    for key, value in row.items():
        if key in found.measures:
            cells[found.measures[key].title] = value
        if key == "task_cosine":
            cells["Together"] = independence.WORDS[
                independence.verdict(math.nan if value is None else value)
            ]
    return cells


def _map(found: Found) -> None:
    st.subheader("By layer and module", anchor=False)
    titles = {one.title: key for key, one in found.measures.items()}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        title = st.selectbox("Measure", list(titles), key="measure", bind="query-params", width=280)
        measure = found.measures[titles.get(title, next(iter(titles.values())))]
        subjects = {found.called(measure, one): one for one in found.subjects(measure)}
        key = {"model": "of", "task vectors": "pair", "weights": "two"}[measure.of]
        if measure.scale == "ratio":
            key = "ratio"  # its names differ: a ratio has a first and a second
        called = st.selectbox(
            "Model" if measure.of == "model" else "Pair", list(subjects), key=key,
            bind="query-params", width=360,
        )  # fmt: skip
        subject = subjects.get(called, next(iter(subjects.values())))
        st.download_button(
            "CSV", lambda: pd.DataFrame(found.numbers()).to_csv(index=False), "similarity.csv",
            "text/csv", key="similarity_csv", on_click="ignore", type="tertiary",
            icon=":material/download:", help="Every measure of every pair in every tensor.",
        )  # fmt: skip
    st.plotly_chart(
        similarity_map.figure(found, measure.key, subject), key="similarity_map", config=CONFIG,
        alt=f"{measure.title} of {found.called(measure, subject)} by layer and module",
    )  # fmt: skip
    overall = similarity_map.shown(found.overall(measure, subject))
    st.caption(
        f"{measure.meaning} Over all weights: {overall}. The colours span the matrices of the "
        "layers; embeddings, norms and biases may lie beyond."
    )
