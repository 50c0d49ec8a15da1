"""One item in full: the prompt, and what each model said, extracted and was given for it."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from db.queries import answers
from db.queries.answers import FullAnswer
from db.queries.board import Row
from db.queries.compare import Item
from pages.components.problems import as_text
from pages.components.scores import plots as scores_plots
from pages.components.scores import unanswered as scores_unanswered
from pages.components.scores import words as scores_words
from pages.components.scores.picks import Comparison


def draw(comparison: Comparison, items: Sequence[Item], place: int) -> None:
    """Everything that was kept. All of it is shown as plain text: models may write anything."""
    item = items[place]
    ids = {mark.evaluation_id for mark in item.marks if mark is not None}
    found = {a.evaluation_id: a for a in answers.item(ids, item.doc_id)}
    by_column = [found.get(mark.evaluation_id) if mark else None for mark in item.marks]
    given = [a for a in by_column if a is not None]
    if not given:
        st.info("This item's answers are not there any more.", icon=":material/info:")
        return
    with st.container(border=True):
        st.markdown(f"**{as_text(item.task)}, item {item.doc_id}** · {place + 1} of {len(items)}")
        prompts = list(dict.fromkeys(a.prompt for a in given))
        asked, wanted = st.columns([3, 1])
        with asked:
            if len(prompts) == 1:
                _text("Prompt", prompts[0])
            else:
                st.caption("Each model was asked in its own words; the prompts stand below.")
        with wanted:
            _text("Target", given[0].target)
        with st.grid(len(comparison.rows), min_column_width=230) as grid:
            for row, answer in zip(comparison.rows, by_column, strict=True):
                with grid.cell():
                    _answer(row, answer, with_prompt=len(prompts) > 1)
        _choices(comparison, by_column)


def _answer(row: Row, answer: FullAnswer | None, *, with_prompt: bool) -> None:
    st.markdown(f"**{as_text(scores_plots.short(row.entry.name))}**")
    if answer is None:
        st.caption("Not asked under these settings.")
        return
    colour = "gray" if answer.correct is None else "green" if answer.correct else "red"
    state = scores_unanswered.state(answer)
    shown = scores_words.right_or_wrong(answer.correct, answer.score)
    st.badge(state or shown, color="orange" if state else colour)
    if with_prompt:
        _text("Prompt", answer.prompt)
    _text("Output", answer.output)
    if answer.extracted is not None and answer.extracted.strip() != answer.output.strip():
        _text("Extracted answer", answer.extracted)
    elif answer.extracted is None:
        st.caption("No answer could be extracted.")


def _text(label: str, text: str) -> None:
    st.caption(label)
    st.code(text if text.strip() else "(empty)", language=None, wrap_lines=True)


def _choices(comparison: Comparison, by_column: Sequence[FullAnswer | None]) -> None:
    """Log-probabilities of each choice, per model; the highest is what the model chose."""
    lists = [a.choices for a in by_column if a is not None and a.choices]
    if not lists:
        return
    texts = [str(choice.get("text", "")) for choice in max(lists, key=len)]
    target = next(a.target for a in by_column if a is not None)
    data: dict[str, list[object]] = {
        "Choice": [f"{text} ◀ target" if text.strip() == target.strip() else text for text in texts]
    }
    for row, answer in zip(comparison.rows, by_column, strict=True):
        values = [
            float(choice["loglikelihood"])
            for choice in (answer.choices if answer and answer.choices else [])
        ]
        best = max(values, default=None)
        data[scores_plots.short(row.entry.name)] = [
            f"{'● ' if values[i] == best else ''}{values[i]:.2f}" if i < len(values) else "–"
            for i in range(len(texts))
        ]
    st.caption("Log-probability of each choice; ● the highest, which is the model's answer "
               "unless the metric divides by length")  # fmt: skip
    st.dataframe(pd.DataFrame(data), hide_index=True, height="content",
                 alt="Log-probability of each choice for each model")  # fmt: skip
