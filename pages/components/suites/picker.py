"""Choosing what to score on and how it is asked, with the data's terms before the first use."""

from __future__ import annotations

from typing import Any

import streamlit as st

from evaluation.suites import Suite, list_suites
from jobs.suites import datasets
from jobs.suites import refs as suite_refs
from pages.components import links, problems, words

AS_SUITE = "As the suite says"


def pick(key: str, label: str = "Benchmark suite", none: str | None = None) -> str | None:
    """The selector with what goes with it; returns what ``load_suite`` takes, None for no suite.

    Args:
        key: prefix of the widgets' keys.
        label: of the selector.
        none: text of a choice for no suite; None offers none.
    """
    suites = {suite.name: suite for suite in list_suites()}
    states = datasets.readiness()
    usable = [name for name in suites if _askable(states.get(name))]
    name = st.selectbox(
        label,
        [*usable, *([""] if none is not None else [])],
        key=f"{key}_suite",
        persist_state="session",
        format_func=lambda one: _title(suites[one]) if one in suites else (none or ""),
    )
    waiting = [suites[one].title for one in suites if one not in usable]
    if waiting:
        titles = problems.as_text(", ".join(waiting))
        st.caption(f"{titles}: the benchmark files are not on this machine.")
        links.link("suites", "Which files, and where to get them", icon=":material/database:")
    if not name or name not in suites:
        return None
    _terms(suites[name], states.get(name))
    return suite_refs.compose(name, None, ask_differently(key, suites[name]))[0]


def ask_differently(key: str, suite: Suite) -> dict[str, Any]:
    """Settings of this run, in a popover; empty when nothing was changed."""
    with st.popover("How it is asked", icon=":material/tune:"):
        st.caption("Scores under other settings stand apart, as a suite of their own.")
        return settings_fields(key, versions=suite.settings.prompt_version is not None)


def settings_fields(key: str, *, versions: bool = False) -> dict[str, Any]:
    """Fields for the settings of a suite or a run; what is left as it is is not in the result."""
    found: dict[str, Any] = {}
    shots = st.number_input(
        "Examples before the question", 0, 100, None, placeholder="as the suite says",
        key=f"{key}_shots", help="num_fewshot",
    )  # fmt: skip
    found["num_fewshot"] = shots
    for name, title, told in (
        ("apply_chat_template", "Chat template", "Ask in the model's chat format."),
        ("fewshot_as_multiturn", "Examples as turns", "Each example as a turn of the chat."),
        ("strip_thinking", "Leave thoughts out", "What stands in <think> tags is kept with the "
         "answer and not graded. On unless said otherwise."),
    ):  # fmt: skip
        said = st.segmented_control(
            title, [AS_SUITE, "On", "Off"], default=AS_SUITE, key=f"{key}_{name}",
            help=f"{told} {name}",
        )  # fmt: skip
        found[name] = {"On": True, "Off": False}.get(said or "")
    system = st.text_area(
        "System instruction", key=f"{key}_system", height=80, max_chars=4000,
        placeholder="as the suite says", help="system_instruction",
    )  # fmt: skip
    found["system_instruction"] = system.strip() or None
    if versions:
        version = st.selectbox(
            "Prompt version", [AS_SUITE, *suite_refs.prompt_versions()], key=f"{key}_version",
            help="Of the Japanese financial harness; one for all its tasks. prompt_version",
        )  # fmt: skip
        found["prompt_version"] = None if version == AS_SUITE else version
    return {name: value for name, value in found.items() if value is not None}


def _terms(suite: Suite, states: dict[str, list[str]] | None) -> None:
    if suite.licence:
        badge = ":orange-badge[:material/gavel: not for commercial use] "
        st.caption(
            f"{badge * suite.non_commercial}Terms of the data: {problems.as_text(suite.licence)}"
        )
    if states and states["missing"]:
        names = problems.as_text(", ".join(states["missing"]))
        st.caption(
            f":material/warning: Not on this machine: {names}. Their tasks are left out, and the "
            "rows are marked partial."
        )
    if states and states["hub"]:
        names = problems.as_text(", ".join(states["hub"]))
        st.caption(
            f":material/cloud_download: {names}: downloaded from the Hub when the run begins, "
            "where there is a network."
        )


def _askable(states: dict[str, list[str]] | None) -> bool:
    return states is None or bool(states["here"] or states["hub"])


def _title(suite: Suite) -> str:
    return f"{suite.title or suite.name} · {words.plural(len(suite.tasks), 'task')}"
