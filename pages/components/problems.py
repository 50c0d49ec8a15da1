"""Saying what went wrong: the project's own errors are sentences, anything else goes to the log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

log = logging.getLogger("crucible.pages")


def is_plain(error: BaseException) -> bool:
    """Whether `str(error)` is a sentence for the user: every error class of the project is."""
    return hasattr(error, "exit_code")


def show(error: BaseException) -> None:
    """The sentence of an error, as it stands."""
    st.error(as_text(str(error)), icon=":material/error:")


@contextmanager
def told() -> Iterator[None]:
    """Show the project's own errors raised inside; let anything else through."""
    try:
        yield
    except Exception as error:
        if not is_plain(error):
            raise
        show(error)


def unforeseen(error: Exception) -> bool:
    """Streamlit's hook for what no page caught: a sentence here, the traceback in the log."""
    if is_plain(error):
        show(error)
        return True
    log.error("A page failed", exc_info=error)
    st.error(
        f"This page met an unexpected {type(error).__name__}: {as_text(str(error))}  \n"
        "Nothing is lost. Reload the page; the server's log has the details.",
        icon=":material/error:",
    )
    return True


def as_text(text: str) -> str:
    """Text that Markdown shows as it stands: no markup, links, maths, icons or colours."""
    return "".join("\\" + c if c in "\\`*_{}[]<>#|$~:&" else c for c in text)
