"""Chat: talk with a model, or with two side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.runtime.scriptrunner import (
    StopException,
    add_script_run_ctx,
    get_script_run_ctx,
)

from db.queries import models as model_rows
from db.queries.models import ModelRow
from jobs import chat
from pages.components import conversation, links, problems, words

MAX_CHARACTERS = 100_000
TINY_PARAMETERS = 20_000_000
SENT = "chat_sent"


def main() -> None:
    """The page."""
    st.title("Chat", anchor=False)
    rows = {row.name: row for row in model_rows.models() if row.source}
    if not rows:
        st.markdown("There is no model to talk to yet.")
        links.link("models", "Add a model", icon=":material/add:")
        return
    conversation.session().warm()
    # pinned to the foot of the page wherever it is called; called first, so that what stands
    # above already knows of a new message
    sent = st.session_state.setdefault(SENT, [])
    st.chat_input(
        "Ask something", key="chat_prompt", max_chars=MAX_CHARACTERS, submit_mode="stop",
        on_submit=_send, args=(sent,),
    )  # fmt: skip
    # blanks alone: nothing to ask, and nothing to keep
    prompt: str | None = sent[-1] if sent and sent[-1].strip() else None
    _tell_unknown(rows)
    chosen, copy = _choose(rows, bool(conversation.turns() or prompt))
    settings, system, plain = _settings()
    modes = [_mode(rows[name], plain) for name in chosen]
    _say_modes(chosen, modes)
    for turn in conversation.turns():
        _draw_turn(turn)
    if not conversation.turns() and not prompt:
        prompt = _empty(chosen)
    sent.clear()
    if prompt:
        _ask(prompt, chosen, modes, settings, system)
    copy.code(conversation.as_text(), language=None, wrap_lines=True)


def _send(sent: list[str]) -> None:
    """What was sent waits until a run has got to asking it, whatever else is done meanwhile."""
    if text := st.session_state.get("chat_prompt"):
        sent.append(text)


def _tell_unknown(rows: dict[str, ModelRow]) -> None:
    """Say so where the address names a model that cannot talk; the pickers pass over it."""
    asked = [st.query_params.get(name, "") for name in ("model", "beside")]
    for name in asked:
        if name and name not in rows:
            st.warning(
                f"There is no model {problems.as_text(name)} to talk to: it was deleted, has no "
                "folder, or the address is mistyped.",
                icon=":material/help:",
            )


def _choose(rows: dict[str, ModelRow], begun: bool) -> tuple[list[str], DeltaGenerator]:
    """One or two models (the choice is in the address), and where the text to copy goes."""
    order = sorted(rows, key=lambda name: (rows[name].role != "merge", -rows[name].id))
    merges = [name for name in order if rows[name].is_merge]
    instructs = [name for name in order if rows[name].role == "instruct"]
    first = next(iter([*merges, *instructs, *order]))
    left, right, more = st.columns([4, 4, 3], vertical_alignment="bottom")
    with left:
        model = st.selectbox(
            "Model", order, index=order.index(first), key="model", bind="query-params"
        )
    with right:
        beside = st.selectbox(
            "Beside it (optional)",
            [name for name in order if name != model],
            index=None,
            key="beside",
            bind="query-params",
            placeholder="Nothing: talk with one model",
        )
    with more, st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        st.button(
            "Clear",
            icon=":material/delete_sweep:",
            on_click=conversation.clear,
            disabled=not begun,
        )
        with st.popover("Copy", icon=":material/content_copy:", disabled=not begun):
            st.caption("The button at the corner of the text copies it.")
            copy = st.empty()
    return [name for name in (model, beside) if name], copy


def _settings() -> tuple[chat.Settings, str, bool]:
    """Sampling settings, system prompt, and whether templates are left out."""
    with st.expander("Settings", icon=":material/tune:", key="chat_settings"):
        left, middle, right = st.columns(3, gap="medium")
        with left:
            temperature = st.slider(
                "Temperature", 0.0, 2.0, 0.0, 0.05, key="chat_temperature",
                persist_state="session",
                help="0 always takes the likeliest token: the same question gives the same answer.",
            )  # fmt: skip
            top_p = st.slider(
                "Top-p", 0.05, 1.0, 1.0, 0.05, key="chat_top_p", persist_state="session",
                disabled=temperature == 0,
                help="Draw only from the likeliest tokens that together have this share.",
            )  # fmt: skip
        with middle:
            length = st.number_input(
                "Longest answer, in tokens", 1, 4096, 256, 32, key="chat_length",
                persist_state="session",
            )  # fmt: skip
            seed = st.number_input(
                "Seed", 0, 2**31 - 1, 0, 1, key="chat_seed", persist_state="session",
                disabled=temperature == 0,
            )  # fmt: skip
        with right:
            system = st.text_area(
                "System prompt", key="chat_system", persist_state="session", height=68,
                placeholder="Optional",
            )  # fmt: skip
            plain = st.toggle(
                "Plain completion", key="chat_plain", persist_state="session",
                help="Leave the chat template out: the model continues your text as it stands.",
            )  # fmt: skip
        if st.button("Free the memory", icon=":material/memory:", help=_memory_help()):
            conversation.session().close()
            st.toast("The models are unloaded.", icon=":material/check:")
    settings = chat.Settings(
        temperature=temperature, top_p=top_p, max_new_tokens=int(length), seed=int(seed)
    )
    return settings, system, plain


def _memory_help() -> str:
    return "The models leave the memory; the next message loads them again. It also happens by \
itself after ten minutes without a message."


def _mode(row: ModelRow, plain: bool) -> str:
    return "completion" if plain or row.has_chat_template is False else "chat"


def _say_modes(chosen: list[str], modes: list[str]) -> None:
    without = [name for name, mode in zip(chosen, modes, strict=True) if mode == "completion"]
    if without:
        names = " and ".join(problems.as_text(name) for name in without)
        st.caption(
            f":orange-badge[:material/short_text: Plain completion] {names}: your text is "
            "continued as it stands, without a chat template and without earlier turns."
        )


def _empty(chosen: list[str]) -> str | None:
    """Before the first message: what to expect, and questions that the sandbox can answer."""
    place = st.empty()
    with place.container():
        st.markdown(f":gray[Say something to {problems.as_text(' and '.join(chosen))}.]")
        row = model_rows.model(chosen[0])
        if row is None or (row.n_parameters or 0) > TINY_PARAMETERS:
            return None
        st.caption(
            "This model is tiny: it knows its own small made-up world and nothing else. Try one:"
        )
        picked: str | None = st.pills(
            "Questions to begin with",
            conversation.suggestions(),
            label_visibility="collapsed",
            key="chat_suggestion",
        )
    if picked:
        place.empty()
    return picked


def _draw_turn(turn: dict[str, Any]) -> None:
    """A turn that is over."""
    with st.chat_message("user", avatar=":material/person:"):
        st.text(turn["prompt"])
    for column, said in zip(st.columns(len(turn["answers"])), turn["answers"], strict=True):
        with column, st.chat_message("assistant", avatar=":material/science:"):
            st.caption(problems.as_text(said["model"]))
            if said["text"]:
                st.text(said["text"])
            _foot(said)


def _foot(said: dict[str, Any]) -> None:
    if said["problem"]:
        st.error(problems.as_text(said["problem"]), icon=":material/error:")
        return
    if not said["text"] and said["note"]:
        st.markdown(":gray[(an empty answer: the model ended at once)]")
    note = said["note"] or "stopped"
    if said.get("dropped"):
        note += f" · {words.plural(said['dropped'], 'earlier turn')} did not fit"
    st.caption(note)


def _ask(
    prompt: str, chosen: list[str], modes: list[str], settings: chat.Settings, system: str
) -> None:
    """Draw the new turn and stream its answers."""
    turn: dict[str, Any] = {
        "prompt": prompt,
        "answers": [{"model": n, "text": "", "note": None, "problem": None} for n in chosen],
    }
    conversation.turns().append(turn)
    with st.chat_message("user", avatar=":material/person:"):
        st.text(prompt)
    slots, feet = [], []
    for column, name in zip(st.columns(len(chosen)), chosen, strict=True):
        with column, st.chat_message("assistant", avatar=":material/science:"):
            st.caption(problems.as_text(name))
            slots.append(st.empty())
            feet.append(st.container())
    asked: dict[int, chat.Turn] = {}
    for place, (name, mode) in enumerate(zip(chosen, modes, strict=True)):
        try:
            folder = chat.folder_of(name)
        except chat.ChatError as error:  # the other side still answers
            turn["answers"][place]["problem"] = str(error)
            continue
        messages = conversation.messages(place, system)
        asked[place] = chat.Turn(folder=folder, label=name, messages=messages, mode=mode)
    try:
        if asked:
            conversation.answer(turn, asked, settings, slots)
    except StopException:
        _off_script(lambda: _end(turn, slots, feet))
        raise
    _end(turn, slots, feet)


def _end(turn: dict[str, Any], slots: list[Any], feet: list[Any]) -> None:
    """Draw what was said as it stands now, without the cursor, and how it ended."""
    for slot, foot, said in zip(slots, feet, turn["answers"], strict=True):
        slot.text(said["text"])
        with foot:
            _foot(said)


def _off_script(draw: Callable[[], None]) -> None:
    """Draw after a press of stop: on its own thread a stopped script may draw nothing more."""
    thread = threading.Thread(target=draw)
    add_script_run_ctx(thread, get_script_run_ctx())
    thread.start()
    thread.join()


main()
