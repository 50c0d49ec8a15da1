"""Extracting a LoRA from the model that is shown and its base."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from db.queries import models as model_rows
from db.queries.models import ModelRow
from jobs.models import adapters, extracting
from pages.components import links, presses, problems

KEPT = {
    "leave": "leave them out (a small adapter)",
    "whole": "take them along as they are (exact, larger)",
}


def draw(row: ModelRow) -> None:
    """A popover with the few choices; nothing where there is nothing to extract."""
    if not row.source or adapters.is_adapter(row.source):
        return
    others = [
        one.name
        for one in model_rows.models()
        if one.id != row.id and one.source and not adapters.is_adapter(one.source)
    ]
    if not others or (Path(row.source).is_absolute() and not Path(row.source).is_dir()):
        return
    with st.popover("Extract a LoRA", icon=":material/compress:"):
        st.caption(
            "What this model learned on top of its base, as a small adapter that PEFT and Crucible "
            "load. The job says how much of it the adapter holds."
        )
        likely = extracting.likely_base(row)
        start = others.index(likely) if likely in others else 0
        base = st.selectbox("Base", others, index=start, key="extract_base")
        rank = st.number_input("Rank", 1, 4096, 16, key="extract_rank")
        kept = st.radio(
            "Norms, biases and embeddings", list(KEPT), format_func=KEPT.__getitem__,
            key="extract_others",
        )  # fmt: skip
        name = st.text_input(
            "Name (optional)", key="extract_name", placeholder=f"{row.name}-lora-{rank}"
        )
        if presses.button("Extract", key="extract_start"):
            _start(row.name, base, int(rank), kept, name.strip())


def _start(expert: str, base: str, rank: int, others: str, name: str) -> None:
    with problems.told():
        number = extracting.ask(expert, base, rank=rank, others=others, name=name or None)
        links.go("job", job=number)
