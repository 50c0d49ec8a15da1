"""Design of a search: form and YAML, what it takes and can tell, and the start."""

from __future__ import annotations

import json
import time
from typing import Any

import streamlit as st

from db.queries import models as model_rows
from db.queries import searches as search_rows
from jobs.models import registry
from jobs.search.look import Look, look
from pages.components import links, presses, problems, start_from
from pages.components.search import design_yaml, form, plan_card, shipped
from pages.components.search.draft import Draft
from search.design import SearchDesign
from search.errors import SearchError

FRESH_SECONDS = 5.0  # how long a look at the models is believed while nothing was changed


def main() -> None:
    """The page: `?design=<shipped one>`, or `?search=<number>` to extend one."""
    st.title("Design a search", anchor=False)
    with problems.told():
        registry.ensure_sandbox()
    _load_from_address()
    draft = form.current() or _first_draft()
    designs = shipped.designs()
    said = f"{len(designs)} designs to begin with"
    start_from.draw("search", "Start from a shipped search", designs, said, design_yaml.load)
    # What is known by imported scores alone has no weights to merge.
    models = [row for row in model_rows.models() if row.source or row.recipe_yaml]
    left, right = st.columns([7, 5], gap="large")
    with left:
        places = form.draw(draft, models)
    # drawn further down, but part of the design: what was typed counts in this very run
    draft.name = st.session_state.get(f"search_form_name#{draft.number}", draft.name)
    data, typed = draft.to_mapping()
    found = Look(problems=typed) if typed else _look(data)
    form.tell(places, found.problems)
    with right:
        _start(draft, found)
        with st.container(border=True):
            design_yaml.draw(found.design)


def _load_from_address() -> None:
    """What the address names, once."""
    wanted = (st.query_params.get("design"), st.query_params.get("search"))
    if wanted == (None, None) or wanted == st.session_state.get("search_loaded"):
        return
    st.session_state.search_loaded = wanted
    key, _ = wanted
    with problems.told():
        number = links.number("search")
        row = search_rows.search(number) if number is not None else None
        if row is not None:
            form.put(Draft.from_design(SearchDesign.from_mapping(row.design)))
        elif key is not None and (found := shipped.design(key)) is not None:
            design_yaml.load(found.text)
        else:
            st.warning("The link names no search; this is your last draft.")


def _first_draft() -> Draft:
    """What a newcomer finds in the form: the search that runs on every machine."""
    found = shipped.design(shipped.FIRST)
    draft = Draft()
    if found is not None:
        draft = Draft.from_design(SearchDesign.from_yaml(found.text))
    form.put(draft)
    return draft


def _look(data: dict[str, Any]) -> Look:
    """What is known of the design; a run that changes nothing about it does not look again."""
    text = json.dumps(data, sort_keys=True)
    kept = st.session_state.get("search_look")
    if kept and kept[0] == text and time.monotonic() - kept[1] < FRESH_SECONDS:
        return kept[2]  # type: ignore[no-any-return]
    found = look(data)
    st.session_state.search_look = (text, time.monotonic(), found)
    return found


def _start(draft: Draft, found: Look) -> None:
    """Name, plan, and the one button."""
    with st.container(border=True):
        st.subheader("Before the start", anchor=False)
        st.text_input("Name of the search", key=form.seeded(draft, "name", draft.name),
                      max_chars=80)  # fmt: skip
        if "name" in found.problems:
            st.error(problems.as_text(found.problems["name"]), icon=":material/error:")
        place = st.container()
        if found.plan is not None:
            plan_card.draw(found.plan, found.there)
        elif found.problems:
            st.info("The plan is here when what is marked in red is put right.",
                    icon=":material/edit:")  # fmt: skip
        with place:
            pressed = presses.button(
                "Go on with it" if found.there is not None else "Start",
                key="search_start",
                type="primary",
                icon=":material/play_arrow:",
                shortcut="Ctrl+Shift+Enter",
                width="stretch",
                disabled=found.plan is None,
            )
        if found.there is not None:
            links.link("search", "Open the search", icon=":material/monitoring:",
                       search=found.there.id)  # fmt: skip
        if pressed and design_yaml.holds_start():
            st.toast("The text is no design yet: nothing was started.", icon=":material/edit:")
        elif pressed:
            _submit(draft)


def _submit(draft: Draft) -> None:
    """Check everything once more (a browser may send anything) and queue the jobs."""
    from jobs.search import submit

    with problems.told():
        data, typed = draft.to_mapping()
        if typed:
            raise SearchError(next(iter(typed.values())))
        with st.spinner("Looking at the models and queueing the work …"):
            search_id, _ = submit.submit(SearchDesign.from_mapping(data))
        links.go("search", search=search_id)


main()
