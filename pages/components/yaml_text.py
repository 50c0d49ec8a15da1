"""A form's content as text beside it: edit it, open a file, copy or download it.

The form and the text are two views of one thing. Whenever the form fills the text area, the area
gets a new name: what the browser says late about the one before is no edit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import streamlit as st

from pages.components import problems


@dataclass(frozen=True)
class YamlText:
    """The text view of one form.

    Attributes:
        form: what the keys of its widgets begin with.
        noun: what the text describes.
        height: of the text area, in pixels.
        load: puts a text into the form, or raises `refusal` and leaves the form as it was.
        refusal: the error, one sentence.
    """

    form: str
    noun: str
    height: int
    load: Callable[[str | bytes], None]
    refusal: type[Exception]

    def draw(
        self, text: str | None, name: str | None, more: Callable[[], None] | None = None
    ) -> None:
        """Draw it; while the form holds nothing whole, the last text stays.

        Args:
            text: what the form holds, None where that is nothing whole.
            name: of the file to download, without its ending.
            more: draws further ways to take the text along.
        """
        shown = self._kept("shown")
        if text is not None and text != shown:
            if shown is not None:  # else it is the user's own edit, and the cursor stays in it
                self._keep("filled", self._kept("filled", 0) + 1)
            self._keep("shown", text)
            st.session_state[self._area()] = text
            self.settled()
        elif self._area() not in st.session_state:
            st.session_state[self._area()] = shown or ""
        st.text_area(
            f"{self.noun.capitalize()} as YAML",
            key=self._area(),
            height=self.height,
            on_change=self._apply_text,
            args=(self._area(),),
            help=f"Edit here or in the form; both show the same {self.noun}. Ctrl+Enter applies.",
        )
        if self.holds_start():
            said = problems.as_text(str(self._kept("problem")))
            st.error(f"{said} The form is unchanged.", icon=":material/error:")
        self._files(text, name or self.noun, more)

    def holds_start(self) -> bool:
        """Whether a press of the start button is not to be followed.

        Text that says nothing valid must not start the form's older content behind the user's back.
        """
        return bool(self._kept("problem"))

    def settled(self) -> None:
        """Nothing is wrong with the text any more: the form holds something else."""
        self._keep("problem", None)

    def _key(self, part: str) -> str:
        return f"{self.form}_yaml_{part}"

    def _kept(self, part: str, default: Any = None) -> Any:
        return st.session_state.get(self._key(part), default)

    def _keep(self, part: str, value: Any) -> None:
        st.session_state[self._key(part)] = value

    def _area(self) -> str:
        filled = self._kept("filled", 0)
        return f"{self.form}_yaml#{filled}" if filled else f"{self.form}_yaml"

    def _apply_text(self, key: str) -> None:
        """Runs before the form is drawn, so that the form shows the edited text at once."""
        text = st.session_state[key]
        if key != self._area() or (key, text) == self._kept("applied"):
            return  # said before the browser had heard of what stands there now: not an edit
        try:
            self.load(text)
            self._keep("applied", (key, text))
            self._keep("shown", None)  # written out again in our own layout
        except self.refusal as error:
            self._keep("problem", str(error))

    def _files(self, text: str | None, name: str, more: Callable[[], None] | None) -> None:
        with st.container(horizontal=True, gap="small"):
            st.download_button(
                "Download",
                text or "",
                file_name=f"{name}.yaml".replace("/", "-"),
                mime="application/yaml",
                icon=":material/download:",
                disabled=text is None,
                on_click="ignore",
            )
            if more is not None:
                more()
            with st.popover("Copy", icon=":material/content_copy:", disabled=text is None):
                st.caption("The button at the corner of the text copies it.")
                st.code(text or "", language="yaml")
            with st.popover("Open a file", icon=":material/upload_file:"):
                st.file_uploader(
                    f"A {self.noun} in YAML",
                    type=["yaml", "yml"],
                    key=f"{self.form}_upload",
                    on_change=self._apply_upload,
                )

    def _apply_upload(self) -> None:
        uploaded = st.session_state.get(f"{self.form}_upload")
        if uploaded is None:
            return
        try:
            self.load(uploaded.getvalue())
        except self.refusal as error:
            self._keep("problem", f"{uploaded.name}: {error}")
