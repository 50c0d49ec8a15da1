"""The recipe as text beside the form: edit it, open a file, copy or download it."""

from __future__ import annotations

import streamlit as st

from merging.errors import RecipeError
from merging.recipes.recipe import Recipe
from pages.components import problems
from pages.components.build import mergekit_download, recipe_form
from pages.components.build.draft import Draft

TEXT = "build_yaml"  # the text area; a number is added whenever the form fills it (see `keys`)
FILLED = "build_yaml_filled"  # how often it did
SHOWN = "build_yaml_shown"  # the form's text when the area was last filled from it
APPLIED = "build_yaml_applied"  # the last edit that became the form's
PROBLEM = "build_yaml_problem"


def draw(recipe: Recipe | None) -> None:
    """Draw the text view; a recipe that cannot be made yet leaves the last text standing."""
    text = recipe.to_yaml() if recipe else None
    shown = st.session_state.get(SHOWN)
    if text is not None and text != shown:
        if shown is not None:  # else it is the user's own edit, and the cursor stays in it
            st.session_state[FILLED] = st.session_state.get(FILLED, 0) + 1
        st.session_state[SHOWN] = st.session_state[_key()] = text
        st.session_state[PROBLEM] = None
    elif _key() not in st.session_state:
        st.session_state[_key()] = shown or ""
    st.text_area(
        "Recipe as YAML",
        key=_key(),
        height=340,
        on_change=_apply_text,
        args=(_key(),),
        help="Edit here or in the form; both show the same recipe. Ctrl+Enter applies.",
    )
    if st.session_state.get(PROBLEM):
        st.error(
            problems.as_text(f"{st.session_state[PROBLEM]}") + " The form is unchanged.",
            icon=":material/error:",
        )
    _files(recipe, text)


def holds_start() -> bool:
    """Whether a press of the start button is not to be followed.

    Text that is no recipe must not start the form's older one behind the user's back.
    """
    return bool(st.session_state.get(PROBLEM))


def load(text: str | bytes, *, clone: bool = False) -> None:
    """Put a recipe into the form.

    Args:
        text: the recipe's YAML.
        clone: leave the name and the fingerprints out: what is built from a clone gets its own.

    Raises:
        RecipeError: one sentence; the form stays as it was.
    """
    draft = Draft.from_recipe(Recipe.from_yaml(text))
    if clone:
        draft.name, draft.pins = "", {}
    recipe_form.put(draft)
    st.session_state[PROBLEM] = None


def _key() -> str:
    filled = st.session_state.get(FILLED, 0)
    return f"{TEXT}#{filled}" if filled else TEXT


def _apply_text(key: str) -> None:
    """Runs before the form is drawn, so that the form shows the edited text at once."""
    text = st.session_state[key]
    if key != _key() or (key, text) == st.session_state.get(APPLIED):
        return  # said before the browser had heard of what stands there now: not an edit
    try:
        load(text)
        st.session_state[APPLIED] = key, text
        st.session_state[SHOWN] = None  # written out again in our own layout
    except RecipeError as error:
        st.session_state[PROBLEM] = str(error)


def _files(recipe: Recipe | None, text: str | None) -> None:
    with st.container(horizontal=True, gap="small"):
        st.download_button(
            "Download",
            text or "",
            file_name=f"{(recipe.name if recipe else None) or 'recipe'}.yaml".replace("/", "-"),
            mime="application/yaml",
            icon=":material/download:",
            disabled=text is None,
            on_click="ignore",
        )
        mergekit_download.draw(recipe)
        with st.popover("Copy", icon=":material/content_copy:", disabled=text is None):
            st.caption("The button at the corner of the text copies it.")
            st.code(text or "", language="yaml")
        with st.popover("Open a file", icon=":material/upload_file:"):
            st.file_uploader(
                "A recipe in YAML",
                type=["yaml", "yml"],
                key="build_upload",
                on_change=_apply_upload,
            )


def _apply_upload() -> None:
    uploaded = st.session_state.get("build_upload")
    if uploaded is None:
        return
    try:
        load(uploaded.getvalue())
    except RecipeError as error:
        st.session_state[PROBLEM] = f"{uploaded.name}: {error}"
