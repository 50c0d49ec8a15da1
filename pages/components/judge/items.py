"""One judged conversation in full: questions, replies, and what the judge said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from db.queries import judging as rows
from db.queries.judging import JudgingRow
from jobs.scores import judging
from pages.components.problems import as_text

OUTCOMES = {"win": "▲ better", "loss": "▼ worse", "tie": "≈ tie", None: "– no verdict"}
STATES = {"unparsed": "could not be read", "failed": "no answer from the judge",
          "too long": "too long for the judge", "empty": "empty answer, not asked",
          "same": "equal answers, not asked"}  # fmt: skip


def draw(row: JudgingRow) -> None:
    """A table of the items; the chosen one in full."""
    items = row.items
    data = [
        {"Category": item["category"], "Question": item["question_id"], "Turn": item["turn"] + 1,
         "Verdict": verdict(item), "Characters": " / ".join(map(str, item["characters"]))}
        for item in items
    ]  # fmt: skip
    event = st.dataframe(
        data, hide_index=True, height=280, key=f"judged-{row.id}", on_select="rerun",
        selection_mode="single-row", alt=f"{len(items)} judged answers of {row.model}",
    )  # fmt: skip
    picked = [place for place in event.selection.rows if place < len(items)]
    if not picked:
        st.caption("Tick a line to read the conversation and what the judge said.")
        return
    _item(row, items[picked[0]])


def verdict(item: Mapping[str, Any]) -> str:
    """One item in a word: the grade, or who was better, and what is odd about it."""
    odd = STATES.get(item["state"])
    if "score" in item:
        said = "–" if item["score"] is None else f"{item['score']:.1f}".removesuffix(".0")
    else:
        said = OUTCOMES[item["outcome"]]
        if item.get("flipped"):
            said += " (changed with the order)"
    return f"{said} · {odd}" if odd else said


def _item(row: JudgingRow, item: Mapping[str, Any]) -> None:
    question, turn = str(item["question_id"]), int(item["turn"])
    asked = judging.question(row.set_name, row.set_hash, question)
    with st.container(border=True):
        where = f"{as_text(item['category'])}, question {as_text(question)}, turn {turn + 1}"
        st.markdown(f"**{where}** · {as_text(verdict(item))}")
        sides = [(row.model, row.model_id, row.model_fingerprint)]
        if row.other_id is not None:
            sides.append((row.other or "", row.other_id, row.other_fingerprint or ""))
        for column, side in zip(st.columns(len(sides)), sides, strict=True):
            with column:
                _talk(row, side, question, turn, asked)
        for place, said in enumerate(_said(item["keys"])):
            st.caption(_heading(row, place))
            st.code(said.text or "(nothing)", language=None, wrap_lines=True)


def _heading(row: JudgingRow, place: int) -> str:
    if row.mode == "single":
        return f"{as_text(row.judge)} said"
    first = row.model if place == 0 else row.other or ""
    return f"{as_text(row.judge)} said, with {as_text(first)} shown first as A"


def _talk(
    row: JudgingRow, side: tuple[str, int, str], question: str, turn: int, asked: Sequence[str]
) -> None:
    name, model_id, fingerprint = side
    st.markdown(f"**{as_text(name)}**")
    replies = {
        one["turn"]: one["text"]
        for one in rows.replies(model_id, row.set_hash, fingerprint)
        if one["question_id"] == question
    }
    for place in range(turn + 1):
        if place < len(asked):
            st.caption(f"Turn {place + 1}: {as_text(asked[place])}")
        text = replies.get(place)
        st.code(text if text else "(empty)", language=None, wrap_lines=True)


def _said(keys: Sequence[str]) -> list[rows.JudgementRow]:
    found = rows.judgements(keys)
    return [found[key] for key in keys if key in found]
