"""The study form: models, methods with grids, stages, items. Each part says what is wrong with it.

As in Build, a widget's value lives under its key while its page is shown and the draft keeps it.
Keys have the draft's number in them: what the browser says late about an older draft is no edit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from db.queries.models import ModelRow
from evaluation.suites import list_suites
from merging.methods import METHODS, OptionField, get_method
from pages.components import drafts, problems
from pages.components.build import method_picker, option_fields
from pages.components.studies.draft import MAX_SEED, NUMBERS, Draft, fill_defaults

FORM = "study"
STAGE_TITLES = {
    "1": "1 · base + expert",
    "2": "2 · pairs",
    "3": "3 · triples",
    "instruct": "instruct",
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
    with st.container(border=True):
        st.subheader("Models", anchor=False)
        _models(draft, models)
        places["models"] = st.empty()
    with st.container(border=True):
        st.subheader("Methods and their grids", anchor=False)
        _methods(draft, places)
        places["methods"] = st.empty()
    with st.container(border=True):
        st.subheader("Stages", anchor=False)
        _stages(draft)
        places["stages"] = st.empty()
    with st.container(border=True):
        st.subheader("What is scored", anchor=False)
        _items(draft)
        places["items"] = st.empty()
    return places


def tell(places: Places, found: Mapping[str, str]) -> None:
    """Each sentence beside what it concerns."""
    for part, sentence in found.items():
        where = places.get(part) or places.get("items")
        if where is not None:
            where.error(problems.as_text(sentence), icon=":material/error:")


def seeded(draft: Draft, name: str, value: Any) -> str:
    """The key of a widget, holding the draft's value when the widget is new to this page."""
    return drafts.seeded(f"study_form_{name}#{draft.number}", value)


def _models(draft: Draft, models: list[ModelRow]) -> None:
    draft.base = st.selectbox(
        "Base",
        _names(models, draft, "base"),
        key=seeded(draft, "base", draft.base),
        index=None,
        accept_new_options=True,
        placeholder="The model that all others were trained from",
        help="A registered model, a folder, or a Hub id that you type.",
    )
    draft.experts = st.multiselect(
        "Experts",
        _names(models, draft, "expert"),
        key=seeded(draft, "experts", draft.experts),
        accept_new_options=True,
        max_selections=6,
        placeholder="Two to six models trained from the base",
    )
    known = {row.name: row.domain for row in models}
    if draft.experts:
        st.caption("Their domains")
        with st.grid(3, min_column_width=150) as grid:
            for ref in draft.experts:
                draft.domains.setdefault(ref, known.get(ref) or draft.domain_of(ref))
                with grid.cell():
                    draft.domains[ref] = st.text_input(
                        ref,
                        key=seeded(draft, f"domain_{ref}", draft.domains[ref]),
                        max_chars=40,
                    )
    draft.instruct = st.selectbox(
        "Instruct model (optional)",
        _names(models, draft, "instruct"),
        key=seeded(draft, "instruct", draft.instruct),
        index=None,
        accept_new_options=True,
        placeholder="None",
    )


def _names(models: list[ModelRow], draft: Draft, role: str) -> list[str]:
    return drafts.names(models, role, (draft.base, *draft.experts, draft.instruct))


def _methods(draft: Draft, places: Places) -> None:
    names = [name for some in method_picker.by_family().values() for name in some]
    draft.methods = st.multiselect(
        "Methods",
        [name for name in names if name != "instruction_residual"],
        key=seeded(draft, "methods", draft.methods),
        format_func=lambda name: METHODS[name].title if name in METHODS else str(name),
        label_visibility="collapsed",
        placeholder="What is tried in the stages 1 to 3",
    )
    if draft.methods:
        st.caption("Values with commas between; every combination is a merge.")
    for name in draft.methods:
        fill_defaults(draft, name)
        with st.container(gap="small"):
            st.markdown(f"**{METHODS[name].title}**")
            _method(draft, name)
            places[f"method:{name}"] = st.empty()


def _method(draft: Draft, name: str) -> None:
    method = get_method(name)
    fields = method.fields()
    grid, fixed = draft.grids.setdefault(name, {}), draft.fixed.setdefault(name, {})
    numbers = [one for one in fields if one.kind in NUMBERS]
    others = [
        one for one in fields if one not in numbers and one.name not in fixed.get("@grid", {})
    ]
    with st.grid(3, min_column_width=150) as cells:
        for one in numbers:
            with cells.cell():
                grid[one.name] = _values(draft, name, one, grid, fixed)
        if method.random:
            with cells.cell():
                draft.seeds[name] = st.text_input(
                    "Seeds",
                    key=seeded(draft, f"seeds_{name}", draft.seeds.get(name, "")),
                    placeholder="0",
                    help="Each is another draw of the random masks.",
                )
    with st.grid(2, min_column_width=220, vertical_alignment="bottom") as cells:
        for one in others:
            with cells.cell():
                key = seeded(draft, f"option_{name}_{one.name}", fixed.get(one.name, one.default))
                value = option_fields.widget(one, key)
                if value != one.default or one.name in fixed:
                    fixed[one.name] = value
    kept = fixed.get("@grid")
    if kept:
        said = "; ".join(
            f"{option}: {', '.join(map(str, tried))}" for option, tried in kept.items()
        )
        st.caption(f"Also swept, in the text: {problems.as_text(said)}.")


def _values(
    draft: Draft, method: str, one: OptionField, grid: dict[str, str], fixed: dict[str, Any]
) -> str:
    usual = fixed.get(one.name, one.default)
    return st.text_input(
        one.title,
        key=seeded(draft, f"grid_{method}_{one.name}", grid.get(one.name, "")),
        placeholder=f"{usual:g}" if isinstance(usual, int | float) else "",
        help=one.help,
    )


def _stages(draft: Draft) -> None:
    allowed = draft.allowed
    if not allowed:
        st.caption("The stages follow from the models and methods above.")
        return
    # the choices differ with the models: so does the widget's key
    chosen = st.pills(
        "Stages",
        allowed,
        selection_mode="multi",
        key=seeded(draft, f"stages_{''.join(one[0] for one in allowed)}", draft.stages),
        format_func=STAGE_TITLES.__getitem__,
        label_visibility="collapsed",
    )
    away = [one for one in allowed if one not in (chosen or ())]
    draft.unwanted = [one for one in draft.unwanted if one not in allowed] + away
    if "instruct" in draft.stages:
        left, right = st.columns(2)
        draft.alpha = left.text_input(
            "Alpha",
            key=seeded(draft, "alpha", draft.alpha),
            help="Factors of instruct - base, which is added to each expert and the best merge.",
        )
        draft.expert_scale = right.text_input(
            "Expert's factor",
            key=seeded(draft, "expert_scale", draft.expert_scale),
            help="Factors of the expert's own task vector; 1 leaves it as it is.",
        )
    if len([one for one in draft.stages if one != "instruct"]) > 1:
        draft.carry = st.segmented_control(
            "From the second stage on",
            ["everywhere", "best"],
            key=seeded(draft, "carry", draft.carry),
            required=True,
            format_func={
                "everywhere": "The whole grid again",
                "best": "Only what did best before",
            }.__getitem__,
        )


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
        "Tasks",
        list(dict.fromkeys([*tasks, *draft.tasks])),
        key=seeded(
            draft, f"tasks_{draft.suite}", [t for t in draft.tasks if t in tasks or not tasks]
        ),
        placeholder=f"all {len(tasks)}" if tasks else "all",
    )
    draft.limit = st.number_input(
        "Items per task",
        min_value=1,
        max_value=10_000_000,
        step=10,
        key=seeded(draft, "limit", draft.limit),
        placeholder="all",
        help="Fewer items are faster and less certain.",
    )
    draft.split = st.toggle(
        "Choose on other items than are reported",
        key=seeded(draft, "split", draft.split),
        help="Whoever picks the best of many merges picks luck along with skill. With a split, "
        "one part of each task's items chooses, and the other is reported.",
    )
    if draft.split:
        left, right = st.columns(2)
        draft.share = left.number_input(
            "Share of the items that choose",
            min_value=0.05,
            max_value=0.95,
            step=0.05,
            key=seeded(draft, "share", draft.share),
        )
        draft.split_seed = right.number_input(
            "Seed of the split",
            min_value=0,
            max_value=MAX_SEED,
            step=1,
            key=seeded(draft, "split_seed", draft.split_seed),
        )
