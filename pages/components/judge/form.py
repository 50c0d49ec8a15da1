"""Asking a judge: models, questions, who judges, and the consent where texts leave the machine."""

from __future__ import annotations

from typing import Any

import streamlit as st

from db.queries import jobs as job_rows
from db.queries import models as model_rows
from jobs.models import registry
from jobs.scores import judging
from jobs.scores.judging import EndpointJudge, Listed, LocalJudge
from pages.components import links, presses
from pages.components.problems import as_text, told

HERE, ENDPOINT = "A model on this machine", "An endpoint"
NOBODY = "nobody: grade each answer"
FILE = "a file of mine …"


def draw() -> None:
    """The form. Widgets of their own rather than st.form: what is shown depends on choices."""
    registry.ensure_sandbox()
    names = [row.name for row in model_rows.models() if row.source or row.recipe_yaml]
    left, right = st.columns(2, gap="large")
    with left:
        models = st.multiselect("Models", names, key="judge_models", placeholder="Choose models")
        beside = [name for name in names if name not in models]
        against = st.selectbox(
            "Compare with", [NOBODY, *beside], key="judge_against",
            help="Pairs are asked in both orders; where the order changes the verdict, it is a "
            "tie.",
        )  # fmt: skip
        prompts = _questions()
        with st.container(horizontal=True):
            limit = st.number_input(
                "Questions per category", 1, 1_000_000, None, key="judge_limit", placeholder="all",
                width=180,
            )  # fmt: skip
            length = st.number_input(
                "Longest reply (tokens)", 1, 32_768, 512, 64, key="judge_length", width=180
            )
    with right:
        judge = _judge(names)
    ready = bool(models and prompts and judge)
    if presses.button("Start", key="judge_start", type="primary", icon=":material/gavel:",
                 disabled=not ready) and prompts and judge:  # fmt: skip
        with told():
            group = judging.ask(
                models, prompts, judge, against=None if against == NOBODY else against,
                limit=limit, max_new_tokens=int(length),
            )  # fmt: skip
            links.go("job", group=group)


def _questions() -> str | None:
    """The prompt set, with what must be known before its scores are used."""
    listed = {one.name: one for one in judging.sets()}
    chosen = st.selectbox("Questions", [*listed, FILE], key="judge_set",
                          format_func=lambda name: _said(listed.get(name), name))  # fmt: skip
    if chosen == FILE:
        return st.text_input("Path of a question.jsonl", key="judge_file").strip() or None
    one = listed[str(chosen)]
    st.caption(as_text(f"{one.description} {one.licence}"))
    if one.forbidden:
        st.warning(
            f"**For reporting only.** {as_text(one.forbidden)} Searches and sweeps refuse it.",
            icon=":material/block:",
        )
    for name, where in one.missing.items():
        st.info(
            f"Its questions are not here. Put {as_text(name)} into the data folder; it is "
            f"published at {where}.",
            icon=":material/download:",
        )
    return one.name if one.ready else None


def _said(one: Listed | None, name: str) -> str:
    return name if one is None or one.ready else f"{name} (questions missing)"


def _judge(names: list[str]) -> LocalJudge | EndpointJudge | None:
    kind = st.radio("Judge", [HERE, ENDPOINT], key="judge_kind", horizontal=True)
    if kind == HERE:
        name = st.selectbox("Model", names, index=None, key="judge_local",
                            placeholder="Choose a judge")  # fmt: skip
        st.caption(
            "Read by the log-probability of its verdicts, so nothing can be misread. A small or "
            "untrained judge follows the order of the answers: look at the flip rate."
        )
        return LocalJudge(name) if name else None
    last = _last()
    url = st.text_input(
        "Base URL", last.get("base_url", ""), key="judge_url",
        placeholder="http://127.0.0.1:8000/v1", help="Any OpenAI-compatible server.",
    )  # fmt: skip
    model = st.text_input("Model there", last.get("model", ""), key="judge_model")
    variable = st.text_input(
        "Environment variable with the key", last.get("key_variable", ""), key="judge_variable",
        placeholder="none", help="The variable's name, not the key. The key is read when the job "
        "runs and is written nowhere.",
    )  # fmt: skip
    with st.container(horizontal=True):
        timeout = st.number_input(
            "Seconds per answer", 1, 3600, 120, key="judge_timeout", width=150
        )
        at_once = st.number_input("At a time", 1, 64, 4, key="judge_at_once", width=120)
    if not url.strip() or not model.strip():
        return None
    agreed = _consent(url)
    if agreed is None:
        return None
    return EndpointJudge(url.strip(), model.strip(), variable.strip(), agreed, float(timeout),
                         int(at_once))  # fmt: skip


def _consent(url: str) -> bool | None:
    """Whether texts may leave this machine; None while that is open, or for no address."""
    with told():
        needed = judging.consent_needed(url)
        if needed is None:
            st.caption(":material/home: The texts stay on this machine.")
            return False
        # A key per address: consent to one host is none to another.
        st.warning(as_text(needed), icon=":material/cloud_upload:")
        if st.checkbox("I agree to that", key=f"judge_consent {url.strip()}"):
            return True
    return None


def _last() -> dict[str, Any]:
    """The endpoint that was used last; a key is not among what is kept."""
    for job in job_rows.recent(kind="judge"):
        told_ = job.spec.get("judge") or {}
        if told_.get("kind") == "endpoint":
            return dict(told_)
    return {}
