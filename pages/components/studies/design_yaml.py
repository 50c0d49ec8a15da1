"""The design as text beside the form: edit it, open a file, copy or download it."""

from __future__ import annotations

import streamlit as st

from pages.components import problems
from pages.components.studies import form
from pages.components.studies.draft import Draft
from studies.design import Design
from studies.errors import StudyError

TEXT = "study_yaml"  # the text area; a number is added whenever the form fills it
FILLED = "study_yaml_filled"
SHOWN = "study_yaml_shown"  # the form's text when the area was last filled from it
APPLIED = "study_yaml_applied"  # the last edit that became the form's
PROBLEM = "study_yaml_problem"


def draw(design: Design | None) -> None:
    """Draw the text view; a design that cannot be made yet leaves the last text standing."""
    text = design.to_yaml() if design else None
    shown = st.session_state.get(SHOWN)
    if text is not None and text != shown:
        if shown is not None:  # else it is the user's own edit, and the cursor stays in it
            st.session_state[FILLED] = st.session_state.get(FILLED, 0) + 1
        st.session_state[SHOWN] = st.session_state[_key()] = text
        st.session_state[PROBLEM] = None
    elif _key() not in st.session_state:
        st.session_state[_key()] = shown or ""
    st.text_area(
        "Design as YAML",
        key=_key(),
        height=420,
        on_change=_apply_text,
        args=(_key(),),
        help="Edit here or in the form; both show the same design. Ctrl+Enter applies.",
    )
    if st.session_state.get(PROBLEM):
        said = problems.as_text(str(st.session_state[PROBLEM]))
        st.error(f"{said} The form is unchanged.", icon=":material/error:")
    _files(design, text)


def holds_start() -> bool:
    """Whether a press of Start is not to be followed: the text is no design."""
    return bool(st.session_state.get(PROBLEM))


def load(text: str | bytes, *, name: str | None = None) -> None:
    """Put a design into the form.

    Args:
        text: its YAML.
        name: another name for it.

    Raises:
        StudyError: one sentence; the form stays as it was.
    """
    draft = Draft.from_design(Design.from_yaml(text))
    if name is not None:
        draft.name, draft.pins = name, {}
    form.put(draft)
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
    except StudyError as error:
        st.session_state[PROBLEM] = str(error)


def _files(design: Design | None, text: str | None) -> None:
    with st.container(horizontal=True, gap="small"):
        st.download_button(
            "Download",
            text or "",
            file_name=f"{design.name if design else 'study'}.yaml".replace("/", "-"),
            mime="application/yaml",
            icon=":material/download:",
            disabled=text is None,
            on_click="ignore",
        )
        with st.popover("Copy", icon=":material/content_copy:", disabled=text is None):
            st.caption("The button at the corner of the text copies it.")
            st.code(text or "", language="yaml")
        with st.popover("Open a file", icon=":material/upload_file:"):
            st.file_uploader(
                "A design in YAML",
                type=["yaml", "yml"],
                key="study_upload",
                on_change=_apply_upload,
            )


def _apply_upload() -> None:
    uploaded = st.session_state.get("study_upload")
    if uploaded is None:
        return
    try:
        load(uploaded.getvalue())
    except StudyError as error:
        st.session_state[PROBLEM] = f"{uploaded.name}: {error}"
