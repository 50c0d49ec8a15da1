"""What was said on the Chat page, and how the next answers come in. Kept per browser tab."""

from __future__ import annotations

import json
import time
from contextlib import closing
from functools import cache
from typing import Any

import streamlit as st

from jobs import chat
from pages.components import links, problems

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
    A question that got no answer, because something went wrong, is not part of the conversation:
    it is asked again, and one that was too long would push out everything else.
    """
    said = [chat.Message(role="system", content=system)] if system.strip() else []
    past = turns()
    for turn in past:
        answers = turn["answers"]
        answer = answers[place] if place < len(answers) else answers[0]
        if turn is past[-1]:
            said.append(chat.Message(role="user", content=turn["prompt"]))
        elif answer["text"] or (answer["note"] and not answer["problem"]):
            said.append(chat.Message(role="user", content=turn["prompt"]))
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
    asked: dict[int, chat.Turn],
    settings: chat.Settings,
    slots: list[Any],
) -> None:
    """Stream the answers into the turn and onto the page; what came before a stop stays.

    Args:
        turn: the newest turn; its answers are filled in place, so that nothing is lost when the
            script is stopped in the middle.
        asked: a request for each place (0 or 1) that can be answered.
        settings: sampling settings.
        slots: one empty element per model.
    """
    drawn = [0.0] * len(slots)
    places = list(asked)
    try:
        with closing(session().stream(list(asked.values()), settings, _let_others_in)) as events:
            for event in events:
                which = event["which"]
                for place in places if which is None else [places[which]]:
                    _take(turn["answers"][place], event, place, slots, drawn)
    except chat.ChatError as error:
        for each in turn["answers"]:
            each["problem"] = each["problem"] or (str(error) if not each["note"] else None)


def _let_others_in() -> None:
    """While a model loads nothing is drawn; where another run waits for this one, it ends here."""
    st.session_state.get(TURNS)


def _take(
    said: dict[str, Any], event: dict[str, Any], place: int, slots: list[Any], drawn: list[float]
) -> None:
    """Write one event into its answer, and now and then onto the page."""
    match event["event"]:
        case "loading":
            slots[place].caption(f"Loading {problems.as_text(said['model'])} …")
        case "started" if event["dropped_turns"]:
            said["dropped"] = event["dropped_turns"]
        case "text":
            said["text"] += event["text"]
            if time.monotonic() - drawn[place] > DRAW_SECONDS:
                slots[place].text(said["text"] + " ▍")
                drawn[place] = time.monotonic()
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
