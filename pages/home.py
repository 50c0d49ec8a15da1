"""Home: what this is, the example to begin with, and where the work stands."""

from __future__ import annotations

import streamlit as st

from db.queries import models as model_rows
from db.queries.board import Board
from db.queries.models import ModelRow
from pages.components import example, gallery, links, presses, problems, words
from pages.components.scores import card as score_card

RECENT = 6


def main() -> None:
    """The page."""
    models = model_rows.models()
    merges = [row for row in models if row.is_merge]
    _hero(first_time=not merges)
    if merges:
        _recent(merges)
    _numbers(models, merges)
    _gallery()


def _hero(*, first_time: bool) -> None:
    st.title("Melt models together. Test what comes out.", anchor=False)
    st.markdown(
        "Crucible merges language models that share a base, on your own machine. "
        "Every merge is benchmarked beside its parents, so that you see what it gained and lost."
    )
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        example.button("home_example", primary=first_time)
        if first_time:
            links.link("build", "Build your own", icon=":material/science:")
        elif presses.button(
            "Build a merge", key="home_build", type="primary", icon=":material/science:"
        ):
            links.go("build")
    if first_time:
        st.caption(
            "The example gives a finance model the ability to chat: finance + instruct − base, "
            "with the tiny models that are included. It needs no network and no GPU."
        )


def _recent(merges: list[ModelRow]) -> None:
    """A card for each of the newest merges, with its score against the best parent's."""
    st.subheader("Recent merges", anchor=False)
    boards = score_card.boards()
    newest = sorted(merges, key=lambda row: -row.created)[:RECENT]
    for start in range(0, len(newest), 3):
        for column, row in zip(st.columns(3), newest[start : start + 3], strict=False):
            with column:
                _card(row, boards)


def _card(row: ModelRow, boards: list[Board]) -> None:
    with st.container(border=True, gap="small", height="stretch"):
        found = score_card.newest(row.id, boards)
        if found:
            score_card.figure(row.name, *found)
        else:
            st.metric(problems.as_text(row.name), "not scored")
        st.caption(f"{row.method or 'merge'} · {words.ago(row.created)}")
        with st.container(horizontal=True, gap="small"):
            links.link("model", "Open", icon=":material/deployed_code:", id=row.id)
            links.link("chat", "Chat", icon=":material/forum:", model=row.name)
            if found:
                score_card.compare_link(row, "Compare", found[0])


def _numbers(models: list[ModelRow], merges: list[ModelRow]) -> None:
    scores = sum(row.n_evaluations for row in models)
    st.caption(
        f"{words.plural(len(models) - len(merges), 'model')} to merge · "
        f"{words.plural(len(merges), 'merge')} made · {words.plural(scores, 'task score')} stored"
    )


def _gallery() -> None:
    """Recipes to begin with."""
    st.subheader("Recipes to try", anchor=False)
    shown = gallery.examples()[1:7]
    for start in range(0, len(shown), 3):
        for column, each in zip(st.columns(3), shown[start : start + 3], strict=False):
            with column, st.container(border=True, gap="small", height="stretch"):
                st.markdown(f"**{each.title}**  \n{each.story}")
                links.link("build", "Open the recipe", icon=":material/science:", recipe=each.key)


main()
