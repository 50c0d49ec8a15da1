"""Finding the widgets of the Build page, whose names change when the program sets their values."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest


def of(app: AppTest, name: str) -> str:
    """The newest key of a widget: its name, or its name with numbers."""
    found = [
        key
        for key in map(str, app._session_state.filtered_state)
        if key == name or key.startswith(f"{name}#")
    ]
    return max(found, key=_numbers, default=name)


def _numbers(key: str) -> list[int]:
    return [int(number) for number in key.partition("#")[2].split(".") if number]
