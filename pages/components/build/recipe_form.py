"""The Build form: models, method, options. Draws a draft and writes what is chosen back into it.

A widget's value lives under its key while its page is shown; the draft keeps it across pages, and
is the only thing that the YAML view, the examples and a clone write to (`put`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from db.queries.models import ModelRow
from merging.recipes.recipe import DTYPES
from merging.tokenizers import templates
from pages.components import drafts, problems, words
from pages.components.build import keys, method_form, recipe_slices
from pages.components.build.draft import MAX_SEED, Draft

FORM = "build"


def current() -> Draft | None:
    """The draft of this tab."""
    draft: Draft | None = drafts.current(FORM)
    return draft


def put(draft: Draft) -> None:
    """Show another draft: the widgets are made anew from it. Only before they are drawn."""
    drafts.put(FORM, draft)


def draw(draft: Draft, models: Sequence[ModelRow]) -> None:
    """Draw the form and update the draft from it."""
    with st.container(border=True):
        st.subheader("Models", anchor=False)
        _models(draft, models)
    with st.container(border=True):
        st.subheader("Method", anchor=False)
        method_form.draw(draft)
        _slices(draft)
    with st.expander("Precision, seed, tokenizer", icon=":material/tune:"):
        _details(draft)


def seeded(draft: Draft, name: str, value: Any) -> str:
    """The key of a widget, holding the draft's value when the widget is new to this page."""
    return drafts.seeded(keys.of(draft, name), value)


def _models(draft: Draft, models: Sequence[ModelRow]) -> None:
    usable = draft.merge_method.needs_base != "forbidden"
    draft.base = st.selectbox(
        "Base",
        _names(models, draft, "base"),
        key=seeded(draft, "base", draft.base),
        index=None,
        placeholder="The pretrained model the others come from",
        disabled=not usable,
        help="The model that every task vector is taken against."
        if usable
        else f"{draft.merge_method.title} takes no base.",
    )
    draft.experts = st.multiselect(
        "Experts",
        _names(models, draft, "expert"),
        key=seeded(draft, "experts", draft.experts),
        placeholder="One or more models derived from the base",
        help="Continually pretrained or fine-tuned from the base.",
    )
    draft.instruct = st.selectbox(
        "Instruct model (optional)",
        _names(models, draft, "instruct"),
        key=seeded(draft, "instruct", draft.instruct),
        index=None,
        placeholder="None",
        help="The chat template, the end token and generation settings come from it.",
    )
    method = draft.merge_method
    if draft.instruct and method.ordered and not method.roles:
        draft.instruct_first = st.toggle(
            "The instruct model comes first",
            key=seeded(draft, "instruct_first", draft.instruct_first),
            help=f"{method.title} depends on the order of the models.",
        )


def _names(models: Sequence[ModelRow], draft: Draft, role: str) -> list[str]:
    """Every model's name, those of the role first, and whatever else the draft names."""
    return drafts.names(models, role, draft.references)


def _details(draft: Draft) -> None:
    left, right = st.columns(2, gap="medium")
    with left:
        dtype = st.selectbox(
            "Number format of the result",
            ["", *DTYPES],
            key=seeded(draft, "dtype", draft.dtype or ""),
            format_func=lambda value: value or "as the base",
        )
        draft.dtype = dtype or None
        draft.seed = int(
            st.number_input(
                "Seed",
                min_value=0,
                max_value=MAX_SEED,
                step=1,
                key=seeded(draft, "seed", draft.seed),
                disabled=not draft.merge_method.random,
                help="Counts for methods with random numbers; the same seed gives the same bytes.",
            )
        )
    with right:
        draft.tokenizer = _policy("Tokenizer from", "tokenizer", draft.tokenizer, draft, "union")
        draft.chat_template = _policy(
            "Chat template from",
            "chat_template",
            draft.chat_template,
            draft,
            "none",
            *templates.NAMED,
        )
    _vocabulary(draft)


def _vocabulary(draft: Draft) -> None:
    """Rows of the embeddings; single tokens are the text's, and shown here."""
    draft.pad_to_multiple_of = st.number_input(
        "Embedding rows: a multiple of",
        min_value=1,
        max_value=65536,
        step=1,
        key=seeded(draft, "pad", draft.pad_to_multiple_of),
        placeholder="as they are",
        help="Some machines compute faster when the vocabulary is a multiple of 64, say.",
        width=220,
    )
    if draft.tokens:
        st.caption(
            f"The embeddings of {words.plural(len(draft.tokens), 'token')} come from where the "
            f"recipe's text says: {problems.as_text(', '.join(list(draft.tokens)[:8]))}."
        )


def _policy(label: str, name: str, value: str, draft: Draft, *more: str) -> str:
    """Where the tokenizer or the chat template comes from."""
    choices = list(dict.fromkeys(["auto", *more, *draft.references, value]))
    said = {
        "auto": "the instruct model, else the base",
        "none": "nowhere: leave it out",
        "union": "all models: the tokens of each",
    }
    chosen: str = st.selectbox(
        label,
        choices,
        key=seeded(draft, name, value),
        format_func=lambda choice: said.get(choice) or _template(choice),
    )
    return chosen


def _template(choice: str) -> str:
    """A template's whole text is too long for a list."""
    if templates.is_text(choice):
        return "a text of its own, in the recipe"
    return f"{choice} (well known)" if choice in templates.NAMED else choice


def _slices(draft: Draft) -> None:
    """What the result is put together from, where it is."""
    if draft.slices:
        recipe_slices.draw(draft, f"{keys.PREFIX}slices")
