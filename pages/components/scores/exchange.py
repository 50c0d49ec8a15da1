"""Results of other programs in, ours out: the leaderboard's Import and Export."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from db.queries import models as model_rows
from db.queries.board import Board, Row
from jobs.scores import exchange_in, exchange_out
from jobs.scores.exchange_in import Imported, Result
from pages.components import presses, problems, words
from pages.components.problems import as_text

NEW = "A model that is not here"
MIME = {".json": "application/json", ".csv": "text/csv", ".zip": "application/zip"}


def tell_imported() -> None:
    """What the last press of Import has brought in, once."""
    done: Imported | None = st.session_state.pop("imported", None)
    if done is not None:
        _report(done)


def importer() -> None:
    """A popover that takes result files and asks whose scores they are."""
    with st.popover("Import", icon=":material/upload:"):
        st.caption(
            "Results of lm-eval (`results_*.json`, with `samples_*.jsonl` for the answers) or of "
            "the Japanese financial harness. They are marked as imported, and never averaged or "
            "compared with scores taken here."
        )
        uploaded = st.file_uploader(
            "Result files", ["json", "jsonl"], accept_multiple_files=True, key="import_files"
        )
        path = st.text_input(
            "or a file or folder on this machine", key="import_path", placeholder="/path/to/results"
        ).strip()
        if not uploaded and not path:
            return
        with problems.told():
            if uploaded and path:
                st.caption("The uploaded files are read; clear them to read the path.")
            texts = {file.name: file.getvalue() for file in uploaded}
            result = exchange_in.read_texts(texts) if uploaded else exchange_in.read_path(path)
            _offer(result)


def _offer(result: Result) -> None:
    """What the files say, whose scores they are, and the button."""
    answers = sum(len(task.answers) for task in result.tasks)
    st.markdown(
        f"{words.plural(len(result.tasks), 'task')} from {as_text(result.source)}, "
        + (f"with {words.plural(answers, 'answer')}." if answers else "without single answers.")
    )
    for note in result.notes:
        st.caption(as_text(note))
    registered = [row.name for row in model_rows.models()]
    of = st.selectbox("The scores are of", [NEW, *registered], key="import_of")
    name: str | None = of
    if of == NEW:
        name = st.text_input(
            "Its name", value=exchange_in.suggested_model(result), key=f"import_as_{result.file}"
        ).strip()
    suite = st.text_input(
        "Suite", value=exchange_in.suggested_suite(result), key=f"import_suite_{result.file}",
        max_chars=80, help="Where the scores stand on the leaderboard.",
    ).strip()  # fmt: skip
    if presses.button("Import", type="primary", key="import_now", disabled=not (name and suite)):
        st.session_state.imported = exchange_in.save(
            result, model=name, suite=suite, known=of != NEW
        )
        st.query_params["suite"] = suite
        st.rerun()


def _report(done: Imported) -> None:
    st.success(
        f"{words.plural(done.tasks, 'score')} of **{as_text(done.model)}** came in from "
        f"{as_text(done.source)}, with {words.plural(done.answers, 'answer')}, under the suite "
        f"{as_text(done.suite)}.",
        icon=":material/upload:",
    )


def exporters(board: Board, rows: Sequence[Row], key: str) -> None:
    """Download buttons for the formats that so many rows fit."""
    _download(board, rows, "csv", "Scores and answers, CSV", key)
    if len(rows) == 1:
        _download(board, rows, "lm-eval", "lm-eval results and samples", key)
    else:
        st.caption("lm-eval's files are of one model: tick one row.")
    if len(rows) == 2:
        _download(board, rows, "llm-comparator", "llm-comparator, side by side", key)
    else:
        st.caption("llm-comparator shows two models: tick two rows.")


def _download(board: Board, rows: Sequence[Row], to: str, label: str, key: str) -> None:
    named = to == "llm-comparator"
    suffix = ".json" if named else ".zip"
    st.download_button(
        label, lambda: _content(board, rows, to), f"{to}-{board.suite}{suffix}".replace("/", "_"),
        MIME[suffix], key=f"export_{to}_{key}", on_click="ignore", width="stretch",
    )  # fmt: skip


def _content(board: Board, rows: Sequence[Row], to: str) -> bytes:
    """The file's content; what cannot be written says so in the file's place."""
    from jobs.errors import JobError

    try:
        found = exchange_out.files(rows, board.suite, to)
    except JobError as error:
        return str(error).encode()
    if to == "llm-comparator":
        return next(iter(found.values())).encode()
    return exchange_out.archive(found)
