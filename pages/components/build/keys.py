"""Names of the form's widgets.

The browser sends every widget's value with everything that somebody does. What it sends before it
has heard of a value that the program has set is older than that value, and Streamlit would take it
for a choice. So a widget whose value is set by the program gets a new name: what the browser says
about the old one then counts for nothing. Buttons hold no value, and keep theirs.
"""

from __future__ import annotations

from pages.components.build.draft import Draft

PREFIX = "build_form_"


def of(draft: Draft, name: str) -> str:
    """The key of the widget of a value, which changes as often as the program sets the value."""
    return PREFIX + name + mark(draft, name)


def mark(draft: Draft, name: str) -> str:
    """What the keys of a value's widgets end with; nothing for a form that was never set."""
    times = draft.renewed.get(name, 0)
    return f"#{draft.number}.{times}" if draft.number or times else ""


def renew(draft: Draft, name: str) -> None:
    """Let the widgets of a value be made anew from the draft."""
    draft.renewed[name] = draft.renewed.get(name, 0) + 1
