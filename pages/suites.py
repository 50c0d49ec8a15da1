"""Suites and data: which suites are ready, where data lie and come from, and making a suite."""

from __future__ import annotations

import streamlit as st

from pages.components.suites import data as suite_data
from pages.components.suites import maker as suite_maker

TABS = ("Suites", "Make a suite", "Data folder")


def main() -> None:
    """The page."""
    st.title("Suites and data", anchor=False)
    suites, maker, folder = st.tabs(TABS, key="suites_tab", on_change="rerun", bind="query-params")
    if suites.open:
        with suites:
            suite_data.draw()
    if maker.open:
        with maker:
            suite_maker.draw()
    if folder.open:
        with folder:
            suite_data.folder()


main()
