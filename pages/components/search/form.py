"""The search form: recipe, space, objectives, items, sampler. Each part says what is wrong with it.

As in a study's form, a widget's value lives under its key while its page is shown and the draft
keeps it; keys have the draft's number in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from db.queries.models import ModelRow
from evaluation.suites import list_suites
from merging.methods import METHODS
from pages.components import drafts, problems
from pages.components.build import method_picker
from pages.components.search import typed
from pages.components.search.draft import MAX_SEED, Draft

FORM = "search"
SAMPLERS = {
    "tpe": "TPE: learns from every trial",
    "cmaes": "CMA-ES: numbers only",
    "nsga2": "NSGA-II: several objectives",
    "grid": "Grid: every point",
    "random": "Random",
}
PRUNERS = {"median": "below the median", "halving": "not in the best third"}
WORDS = {
    "score": "mean score",
    "general": "general score",
    "change": "size of the change (small is good)",
}
Places = dict[str, DeltaGenerator]


def current() -> Draft | None:
    """The draft of this tab."""
    found: Draft | None = drafts.current(FORM)
    return found


def put(draft: Draft) -> None:
    """Show another draft: the widgets are made anew from it. Only before they are drawn."""
    drafts.put(FORM, draft)


def draw(draft: Draft, models: list[ModelRow]) -> Places:
    """Draw the form and update the draft from it; returns where each part's problem goes."""
    places: Places = {}
    for part, title, body in (
        ("models", "Models", lambda: _models(draft, models)),
        ("space", "What is searched", lambda: _space(draft)),
        ("objectives", "What is good", lambda: _objectives(draft)),
        ("items", "What is scored", lambda: _items(draft)),
        ("sampler", "How it is searched", lambda: _sampler(draft)),
    ):
        with st.container(border=True):
            st.subheader(title, anchor=False)
            body()
            places[part] = st.empty()
    return places


def tell(places: Places, found: Mapping[str, str]) -> None:
    """Each sentence beside what it concerns."""
    for part, sentence in found.items():
        where = places.get(part)
        if where is not None:
            where.error(problems.as_text(sentence), icon=":material/error:")


def seeded(draft: Draft, name: str, value: Any) -> str:
    """The key of a widget, holding the draft's value when the widget is new to this page."""
    return drafts.seeded(f"search_form_{name}#{draft.number}", value)


def _models(draft: Draft, models: list[ModelRow]) -> None:
    draft.base = st.selectbox(
        "Base", _names(models, draft, "base"), key=seeded(draft, "base", draft.base), index=None,
        accept_new_options=True, placeholder="The model that the others were trained from",
        help="A registered model, a folder, or a Hub id that you type.",
    )  # fmt: skip
    draft.models = st.multiselect(
        "Models to merge", _names(models, draft, "expert"),
        key=seeded(draft, "models", draft.models), accept_new_options=True,
        placeholder="One or more",
    )  # fmt: skip
    draft.instruct = st.selectbox(
        "Instruct model (optional)", _names(models, draft, "instruct"),
        key=seeded(draft, "instruct", draft.instruct), index=None, accept_new_options=True,
        placeholder="None",
    )  # fmt: skip


def _names(models: list[ModelRow], draft: Draft, role: str) -> list[str]:
    return drafts.names(models, role, (draft.base, *draft.models, draft.instruct))


def _space(draft: Draft) -> None:
    names = [name for some in method_picker.by_family().values() for name in some]
    draft.methods = st.multiselect(
        "Methods", list(dict.fromkeys([*names, *draft.methods])),
        key=seeded(draft, "methods", draft.methods),
        format_func=lambda name: METHODS[name].title if name in METHODS else str(name),
        placeholder="One, or several for the search to choose among",
    )  # fmt: skip
    st.caption("Write `0.2 to 1.2` for what is to be searched; the question mark says what else.")
    with st.grid(2, min_column_width=190) as cells:
        for name, title in draft.fields().items():
            with cells.cell():
                draft.options[name] = st.text_input(
                    title, key=seeded(draft, f"option_{name}", draft.options.get(name, "")),
                    placeholder="default", help=typed.HELP,
                )  # fmt: skip
        for ref in draft.constituents if draft.uses_weights else ():
            with cells.cell():
                kept = draft.kept.get("weights", {}).get(ref)
                draft.weights[ref] = st.text_input(
                    f"Weight of {problems.as_text(ref)}",
                    key=seeded(draft, f"weight_{ref}", draft.weights.get(ref, "")),
                    placeholder="as in the text" if kept else "1", help=typed.HELP,
                )  # fmt: skip
    more = [*draft.kept.get("space_options", {}), *draft.kept.get("model_options", {})]
    if more:
        st.caption(f"Also searched, in the text: {problems.as_text(', '.join(more))}.")


def _objectives(draft: Draft) -> None:
    suite = next((one for one in list_suites() if one.name == draft.suite), None)
    domains = dict.fromkeys(suite.domain(task) for task in suite.tasks) if suite else {}
    choices = ["score", *(f"domains:{one}" for one in domains), "general", "change"]
    draft.objectives = st.multiselect(
        "Objectives", list(dict.fromkeys([*choices, *draft.objectives])),
        key=seeded(draft, "objectives", draft.objectives), format_func=_objective,
        label_visibility="collapsed", max_selections=4,
        placeholder="One, or several to weigh against each other",
    )  # fmt: skip
    if len(draft.objectives) > 1:
        st.caption("Of several objectives you get every merge that no other beats on all of them.")


def _objective(key: str) -> str:
    name, colon, rest = str(key).partition(":")
    return f"score of {rest.replace('+', ' + ')}" if colon else WORDS.get(name, name)


def _items(draft: Draft) -> None:
    suites = {suite.name: suite for suite in list_suites()}
    draft.suite = (
        st.selectbox(
            "Suite",
            list(dict.fromkeys([*suites, *([draft.suite] if draft.suite else [])])),
            key=seeded(draft, "suite", draft.suite or None),
            index=None,
            accept_new_options=True,
            placeholder="What the merges are scored on",
            format_func=lambda one: suites[one].title or one if one in suites else str(one),
        )
        or ""
    )
    suite = suites.get(draft.suite)
    if suite is not None and suite.licence:
        st.caption(f"Terms of the data: {problems.as_text(suite.licence)}")
    tasks = list(suite.tasks) if suite is not None else []
    draft.tasks = st.multiselect(
        "Tasks", list(dict.fromkeys([*tasks, *draft.tasks])),
        key=seeded(draft, f"tasks_{draft.suite}",
                   [t for t in draft.tasks if t in tasks or not tasks]),
        placeholder=f"all {len(tasks)}" if tasks else "all",
    )  # fmt: skip
    left, middle, right = st.columns(3)
    draft.limit = left.number_input(
        "Items per task", min_value=1, max_value=10_000_000, step=10,
        key=seeded(draft, "limit", draft.limit), placeholder="all",
    )  # fmt: skip
    draft.share = middle.number_input(
        "Share that chooses", min_value=0.05, max_value=0.95, step=0.05,
        key=seeded(draft, "share", draft.share),
        help="One part of each task's items chooses; the final table is on the others alone.",
    )  # fmt: skip
    draft.split_seed = right.number_input(
        "Seed of the split", min_value=0, max_value=MAX_SEED, step=1,
        key=seeded(draft, "split_seed", draft.split_seed),
    )  # fmt: skip


def _sampler(draft: Draft) -> None:
    left, right = st.columns([2, 1])
    draft.sampler = left.selectbox(
        "Sampler", list(SAMPLERS), key=seeded(draft, "sampler", draft.sampler),
        format_func=SAMPLERS.__getitem__,
    )  # fmt: skip
    draft.trials = right.number_input(
        "Trials", min_value=1, max_value=100_000, step=10,
        key=seeded(draft, "trials", draft.trials),
        help="The known good points count among them. More can be added later.",
    )  # fmt: skip
    draft.grid = left.text_input(
        "Known good points, tried first", key=seeded(draft, "grid", draft.grid),
        placeholder="none", help="Scales lambda of task arithmetic with all weights 1. The best "
        "of them stands beside the winner at the end.",
    )  # fmt: skip
    draft.seed = right.number_input(
        "Seed", min_value=0, max_value=MAX_SEED, step=1, key=seeded(draft, "seed", draft.seed)
    )
    draft.prune = st.toggle(
        "Leave bad trials early", key=seeded(draft, "prune", draft.prune),
        help="A trial's first items are scored first; only one that does well goes on.",
    )  # fmt: skip
    if draft.prune:
        left, right = st.columns(2)
        draft.prune_items = left.number_input(
            "Items per task first", min_value=1, max_value=1_000_000, step=5,
            key=seeded(draft, "prune_items", draft.prune_items),
        )  # fmt: skip
        draft.pruner = right.selectbox(
            "Left when", list(PRUNERS), key=seeded(draft, "pruner", draft.pruner),
            format_func=PRUNERS.__getitem__,
        )  # fmt: skip
