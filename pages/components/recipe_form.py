"""The Build form: models, method, options. Draws a draft and writes what is chosen back into it.

A widget's value lives under its key while its page is shown; the draft keeps it across pages, and
is the only thing that the YAML view, the examples and a clone write to (`put`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from db.queries.models import ModelRow
from merging.methods import METHODS
from merging.recipe import DTYPES
from pages.components import option_fields, problems
from pages.components.draft import MAX_SEED, Draft

KEY = "build_draft"
PREFIX = "build_form_"


def current() -> Draft | None:
    """The draft of this tab."""
    draft: Draft | None = st.session_state.get(KEY)
    return draft


def put(draft: Draft) -> None:
    """Show another draft: the widgets are made anew from it. Only before they are drawn."""
    for key in [key for key in st.session_state if str(key).startswith(PREFIX)]:
        del st.session_state[key]
    st.session_state[KEY] = draft


def draw(draft: Draft, models: Sequence[ModelRow]) -> None:
    """Draw the form and update the draft from it."""
    with st.container(border=True):
        st.subheader("Models", anchor=False)
        _models(draft, models)
    with st.container(border=True):
        st.subheader("Method", anchor=False)
        _method(draft)
        _weights(draft)
    with st.expander("Precision, seed, tokenizer", icon=":material/tune:"):
        _details(draft)


def _seed_key(name: str, value: Any) -> str:
    """The key of a widget, holding the draft's value when the widget is new to this page."""
    key = PREFIX + name
    if key not in st.session_state:
        st.session_state[key] = value
    return key


def _models(draft: Draft, models: Sequence[ModelRow]) -> None:
    usable = draft.merge_method.needs_base != "forbidden"
    draft.base = st.selectbox(
        "Base",
        _names(models, draft, "base"),
        key=_seed_key("base", draft.base),
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
        key=_seed_key("experts", draft.experts),
        placeholder="One or more models derived from the base",
        help="Continually pretrained or fine-tuned from the base.",
    )
    draft.instruct = st.selectbox(
        "Instruct model (optional)",
        _names(models, draft, "instruct"),
        key=_seed_key("instruct", draft.instruct),
        index=None,
        placeholder="None",
        help="The chat template, the end token and generation settings come from it.",
    )
    method = draft.merge_method
    if draft.instruct and method.ordered and not method.roles:
        draft.instruct_first = st.toggle(
            "The instruct model comes first",
            key=_seed_key("instruct_first", draft.instruct_first),
            help=f"{method.title} depends on the order of the models.",
        )


def _names(models: Sequence[ModelRow], draft: Draft, role: str) -> list[str]:
    """Every model's name, those of the role first, and whatever else the draft names."""
    fitting = sorted(models, key=lambda row: (row.role != role, row.role == "merge", row.id))
    return list(dict.fromkeys([row.name for row in fitting] + draft.references))


def _method(draft: Draft) -> None:
    draft.method = st.selectbox(
        "Merge method",
        list(METHODS),
        key=_seed_key("method", draft.method),
        format_func=lambda name: METHODS[name].title if name in METHODS else str(name),
        label_visibility="collapsed",
    )
    method = draft.merge_method
    st.markdown(method.summary)
    paper = f" · [arXiv:{method.paper}](https://arxiv.org/abs/{method.paper})"
    st.caption(f"Good for {method.when_to_use}{paper if method.paper else ''}")
    values = option_fields.draw(
        method.fields(), draft.option_values(), f"{PREFIX}option_{method.name}_"
    )
    draft.options[method.name] = values


def _weights(draft: Draft) -> None:
    """A weight for every constituent, for methods that have any."""
    if not draft.merge_method.uses_weights or not draft.models:
        return
    st.caption("Weights")
    columns = st.columns(min(3, len(draft.models)), gap="medium")
    for place, (ref, _) in enumerate(draft.models):
        with columns[place % len(columns)]:
            draft.weights[ref] = st.number_input(
                problems.as_text(ref),
                min_value=-100.0,
                max_value=100.0,
                step=0.05,
                key=_seed_key(f"weight_{ref}", float(draft.weights.get(ref, 1.0))),
            )


def _details(draft: Draft) -> None:
    left, right = st.columns(2, gap="medium")
    with left:
        dtype = st.selectbox(
            "Number format of the result",
            ["", *DTYPES],
            key=_seed_key("dtype", draft.dtype or ""),
            format_func=lambda value: value or "as the base",
        )
        draft.dtype = dtype or None
        draft.seed = int(
            st.number_input(
                "Seed",
                min_value=0,
                max_value=MAX_SEED,
                step=1,
                key=_seed_key("seed", draft.seed),
                disabled=not draft.merge_method.random,
                help="Counts for methods with random numbers; the same seed gives the same bytes.",
            )
        )
    with right:
        draft.tokenizer = _policy("Tokenizer from", "tokenizer", draft.tokenizer, draft)
        draft.chat_template = _policy(
            "Chat template from", "chat_template", draft.chat_template, draft, "none"
        )


def _policy(label: str, name: str, value: str, draft: Draft, *more: str) -> str:
    """Where the tokenizer or the chat template comes from."""
    choices = list(dict.fromkeys(["auto", *more, *draft.references, value]))
    words = {"auto": "the instruct model, else the base", "none": "nowhere: leave it out"}
    chosen: str = st.selectbox(
        label,
        choices,
        key=_seed_key(name, value),
        format_func=lambda choice: words.get(choice, choice),
    )
    return chosen
