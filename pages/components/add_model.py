"""Adding a model by its folder or Hub id, wherever a page needs one."""

from __future__ import annotations

import streamlit as st

from jobs.models import pickles, registry
from pages.components import presses, problems

ROLES = ("base", "expert", "instruct")


def draw(key: str) -> None:
    """A small form; what it says is registered, or answered with one sentence."""
    with st.form(key, border=False, clear_on_submit=False):
        ref = st.text_input(
            "Folder or Hugging Face Hub id",
            key=f"{key}_ref",
            placeholder="/models/my-expert or org/name",
            help="A folder with config.json and safetensors, a LoRA adapter's folder as PEFT saves "
            "it, or an id such as Qwen/Qwen3-0.6B.",
        )
        left, right = st.columns(2)
        role = left.selectbox("Role", ROLES, index=1, key=f"{key}_role")
        domain = right.text_input("Domain (optional)", key=f"{key}_domain", placeholder="finance")
        name = st.text_input(
            "Name (optional)", key=f"{key}_name", placeholder="what it is called here"
        )
        convert = st.checkbox("Open pickled weights", key=f"{key}_pickle", help=pickles.WHY)
        sent = presses.submit("Add model", key=f"{key}_send", icon=":material/add:")
    if sent:
        _register(ref.strip(), role, domain.strip(), name.strip(), convert)


def _register(ref: str, role: str, domain: str, name: str, convert: bool) -> None:
    if not ref:
        st.error("Type a folder or a Hub id first.", icon=":material/error:")
        return
    with problems.told(), st.spinner("Reading the model …"):
        registry.register_model(
            ref,
            name=name or None,
            role=role,
            domain=domain or None,
            convert_pickle=convert,
        )
        st.toast(f"Added {problems.as_text(name or ref)}.", icon=":material/check:")
        st.rerun()
