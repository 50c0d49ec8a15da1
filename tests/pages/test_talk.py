"""The Chat page: one or two models, plain completion, hostile text, and a process that dies."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from jobs import chat
from jobs.models import registry
from pages.components import conversation
from tests.pages.test_shell import text_of

Open = Callable[..., AppTest]
INSTRUCT, BASE = "sandbox/instruct", "sandbox/base"


@pytest.fixture
def session(home: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[chat.ChatSession]:
    """A real chat process, ended with the test."""
    session = chat.ChatSession(device="cpu")
    monkeypatch.setattr(conversation, "session", lambda: session)
    yield session
    session.close()


class Canned:
    """Answers with prepared events, and remembers what was asked."""

    def __init__(self, *events: dict[str, Any]) -> None:
        self.events = events
        self.asked: list[Any] = []

    def warm(self) -> None:
        pass

    def stream(
        self, turns: list[chat.Turn], settings: chat.Settings, while_waiting: Callable[[], object]
    ) -> Iterator[dict[str, Any]]:
        self.asked.append((turns, settings))
        yield from self.events


@pytest.fixture
def canned(monkeypatch: pytest.MonkeyPatch) -> Canned:
    made = Canned(
        {"event": "text", "which": 0, "text": "<script>x</script> **b** :red[c] ![](http://e)"},
        {"event": "done", "which": 0, "reason": "end", "tokens": 4, "seconds": 0.5},
    )
    monkeypatch.setattr(conversation, "session", lambda: made)
    return made


def say(app: AppTest, text: str) -> AppTest:
    app.chat_input(key="chat_prompt").set_value(text).run()
    assert not app.exception, app.exception
    return app


def test_without_models_it_points_to_adding_one(open_page: Open) -> None:
    app = open_page("talk")
    assert "no model to talk to" in text_of(app)
    assert any(link.value == "Add a model" for link in app.get("page_link"))


def test_a_conversation_with_one_and_then_two(
    open_page: Open, sandbox: None, session: chat.ChatSession
) -> None:
    app = open_page("talk", model=INSTRUCT)
    say(app, "Question: What is the job of Emil?")
    (turn,) = app.session_state[conversation.TURNS]
    (answer,) = turn["answers"]
    assert answer["text"] and answer["problem"] is None and "tokens/s" in answer["note"]
    assert answer["text"] in [text.value for text in app.text]
    app.selectbox(key="beside").set_value(BASE).run()
    say(app, "Emil is")
    answers = app.session_state[conversation.TURNS][-1]["answers"]
    assert [each["model"] for each in answers] == [INSTRUCT, BASE]
    assert all(each["text"] and not each["problem"] for each in answers)
    # the process dies: one sentence, and the next message finds another
    assert session.pid
    os.kill(session.pid, signal.SIGKILL)
    say(app, "Question: What is the pet of Emil?")
    say(app, "Question: What is the pet of Emil?")
    assert all(each["text"] for each in app.session_state[conversation.TURNS][-1]["answers"])
    next(button for button in app.button if button.label == "Clear").click().run()
    assert app.session_state[conversation.TURNS] == []


def test_answers_are_text_never_markup(open_page: Open, sandbox: None, canned: Canned) -> None:
    app = say(open_page("talk", model=INSTRUCT), "<b>me</b> <|end|> $x$")
    shown = [text.value for text in app.text]
    assert "<b>me</b> <|end|> $x$" in shown
    assert "<script>x</script> **b** :red[c] ![](http://e)" in shown
    assert not any("<script>" in element.value for element in app.markdown)


def test_settings_and_history_reach_the_process(
    open_page: Open, sandbox: None, canned: Canned
) -> None:
    app = open_page("talk", model=INSTRUCT)
    app.slider(key="chat_temperature").set_value(0.7).run()
    app.number_input(key="chat_length").set_value(64)
    app.text_area(key="chat_system").set_value("Be brief.").run()
    say(app, "one")
    say(app, "two")
    (turn,), settings = canned.asked[-1]
    assert (settings.temperature, settings.max_new_tokens) == (0.7, 64)
    assert [message.role for message in turn.messages] == ["system", "user", "assistant", "user"]
    assert turn.messages[-1].content == "two" and turn.mode == "chat"


def test_a_question_without_an_answer_is_not_remembered(
    open_page: Open, sandbox: None, canned: Canned
) -> None:
    """It was too long, or the process died: the next question is not asked after it."""
    answered = canned.events
    app = open_page("talk", model=INSTRUCT)
    canned.events = ({"event": "error", "which": 0, "text": "The message is too long."},)
    say(app, "far too long")
    canned.events = answered
    say(app, "two")
    (turn,), _ = canned.asked[-1]
    assert [message.content for message in turn.messages] == ["two"]
    say(app, "three")
    (turn,), _ = canned.asked[-1]
    assert [message.content for message in turn.messages][::2] == ["two", "three"]


def test_blanks_are_not_a_question(open_page: Open, sandbox: None, canned: Canned) -> None:
    app = say(open_page("talk", model=INSTRUCT), "  \n ")
    assert not canned.asked and not app.session_state[conversation.TURNS]


def test_a_model_that_is_not_here_yet_says_so_and_the_other_answers(
    open_page: Open, sandbox: None, canned: Canned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", "/nonexistent")
    registry.register_model("some-org/some-model")
    app = say(open_page("talk", model="some-org/some-model", beside=INSTRUCT), "hi")
    (turn,) = app.session_state[conversation.TURNS]
    here, there = turn["answers"][1], turn["answers"][0]
    assert "not on this machine yet" in there["problem"] and not there["text"]
    assert here["text"] and not here["problem"]
    assert len(app.error) == 1 and "stopped" not in text_of(app)


def test_a_model_without_a_template_is_continued_and_it_says_so(
    open_page: Open, sandbox: None, canned: Canned
) -> None:
    app = open_page("talk", model=BASE)
    assert "Plain completion" in text_of(app)
    say(app, "Emil is")
    assert canned.asked[-1][0][0].mode == "completion"
    app = open_page("talk", model=INSTRUCT)
    assert "Plain completion" not in text_of(app)
    app.toggle(key="chat_plain").set_value(True).run()
    assert "Plain completion" in text_of(app)


def test_an_error_of_one_side_is_a_sentence(open_page: Open, sandbox: None, canned: Canned) -> None:
    canned.events = ({"event": "error", "which": 0, "text": "m ran out of memory."},)
    app = say(open_page("talk", model=INSTRUCT), "hi")
    assert app.error[0].value == "m ran out of memory."
    app.run()
    assert app.error[0].value == "m ran out of memory."  # still there when drawn again


def test_an_unknown_model_in_the_address_falls_back(
    open_page: Open, sandbox: None, canned: Canned
) -> None:
    app = open_page("talk", model="../../etc/passwd", beside="nobody")
    assert app.selectbox(key="model").value.startswith("sandbox/")


def test_questions_to_begin_with(open_page: Open, sandbox: None, canned: Canned) -> None:
    app = open_page("talk", model=INSTRUCT)
    (pills,) = app.get("pills")
    pills.set_value(pills.options[0]).run()
    assert not app.exception
    assert canned.asked and app.session_state[conversation.TURNS]
