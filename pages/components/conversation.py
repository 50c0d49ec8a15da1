"""What was said on the Chat page, and how the next answers come in. Kept per browser tab."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from typing import Any

import streamlit as st

from jobs import chat
from pages.components import links

TURNS = "chat_turns"
QUESTIONS = links.FOLDER.parent / "sandbox" / "tasks" / "data"
DRAW_SECONDS = 0.05  # between two drawings of a growing answer


@st.cache_resource
def session() -> chat.ChatSession:
    """The chat process's client: one for the whole server."""
    return chat.ChatSession()


def turns() -> list[dict[str, Any]]:
    """Every turn so far: `{"prompt", "answers": [{"model", "text", "note", "problem"}]}`."""
    said: list[dict[str, Any]] = st.session_state.setdefault(TURNS, [])
    return said


def clear() -> None:
    """Forget the conversation."""
    st.session_state[TURNS] = []


def messages(place: int, system: str) -> tuple[chat.Message, ...]:
    """The conversation as the model at a place (0 or 1) sees it, the newest message last.

    A turn whose answer on this side is missing (the model was added later) lends the other's.
    """
    said = [chat.Message(role="system", content=system)] if system.strip() else []
    past = turns()
    for turn in past:
        said.append(chat.Message(role="user", content=turn["prompt"]))
        if turn is not past[-1]:
            answers = turn["answers"]
            answer = answers[place] if place < len(answers) else answers[0]
            said.append(chat.Message(role="assistant", content=answer["text"]))
    return tuple(said)


def as_text() -> str:
    """The conversation to copy elsewhere."""
    lines = []
    for turn in turns():
        lines.append(f"You: {turn['prompt']}")
        lines += [f"{answer['model']}: {answer['text']}" for answer in turn["answers"]]
    return "\n\n".join(lines)


@cache
def suggestions() -> tuple[str, ...]:
    """A question of each of the sandbox's chat tasks, to begin with."""
    found = []
    for path in sorted(QUESTIONS.glob("sandbox_chat_*.jsonl")):
        with path.open(encoding="utf-8") as lines:
            found.append(str(json.loads(next(lines))["prompt"]))
    return tuple(found)


def answer(
    turn: dict[str, Any],
    asked: list[chat.Turn],
    settings: chat.Settings,
    slots: list[Any],
) -> None:
    """Stream the answers into the turn and onto the page; what came before a stop stays.

    Args:
        turn: the newest turn; its answers are filled in place, so that nothing is lost when the
            script is stopped in the middle.
        asked: one request per model.
        settings: sampling settings.
        slots: one empty element per model.
    """
    drawn = [0.0] * len(asked)
    try:
        with closing(session().stream(asked, settings)) as events:
            for event in events:
                _take(turn, event, slots, drawn)
    except chat.ChatError as error:
        for each in turn["answers"]:
            each["problem"] = each["problem"] or (str(error) if not each["note"] else None)
    for each, slot in zip(turn["answers"], slots, strict=True):
        slot.text(each["text"])


def _take(
    turn: dict[str, Any], event: dict[str, Any], slots: list[Any], drawn: list[float]
) -> None:
    """Write one event into its answer, and now and then onto the page."""
    which = event["which"]
    sides: Iterator[int] = iter(range(len(slots)) if which is None else [which])
    for side in sides:
        said = turn["answers"][side]
        match event["event"]:
            case "loading":
                slots[side].caption(f"Loading {said['model']} …")
            case "started" if event["dropped_turns"]:
                said["dropped"] = event["dropped_turns"]
            case "text":
                said["text"] += event["text"]
                if time.monotonic() - drawn[side] > DRAW_SECONDS:
                    slots[side].text(said["text"] + " ▍")
                    drawn[side] = time.monotonic()
            case "done":
                said["note"] = _note(event)
            case "error":
                said["problem"] = event["text"]


def _note(done: dict[str, Any]) -> str:
    if done["reason"] == "stopped":
        return "stopped"
    rate = done["tokens"] / done["seconds"] if done["seconds"] else 0.0
    cut = " · cut at the length limit" if done["reason"] == "length" else ""
    return f"{done['tokens']} tokens · {rate:.0f} tokens/s{cut}"
