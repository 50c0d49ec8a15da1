"""The chat process, for real: streaming, two at once, stop, faults, and memory given back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chat.protocol import Message, Settings, Turn
from jobs.chat import ChatError, ChatSession, folder_of

PROJECT = Path(__file__).resolve().parents[2]
QUESTION = "Question: What is the job of Emil?"
SHORT = Settings(max_new_tokens=8)
LONG = Settings(max_new_tokens=400, temperature=1.5, seed=3)


def turn(name: str = "instruct", text: str = QUESTION, **more: Any) -> Turn:
    messages = more.pop("messages", (Message(role="user", content=text),))
    folder = more.pop("folder", str(PROJECT / "sandbox" / name))
    return Turn(folder=folder, label=name, messages=messages, **more)


def texts(events: list[dict[str, Any]], n: int = 1) -> list[str]:
    return [
        "".join(e["text"] for e in events if e["event"] == "text" and e["which"] == which)
        for which in range(n)
    ]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChatSession]:
    """One process for the tests of this file that do not kill it."""
    before = os.environ["CRUCIBLE_HOME"]
    os.environ["CRUCIBLE_HOME"] = str(tmp_path_factory.mktemp("chat"))
    session = ChatSession(device="cpu")
    session.warm()
    yield session
    session.close()
    os.environ["CRUCIBLE_HOME"] = before


def greedy_reference(folder: Path, text: str, n: int) -> str:
    """The same answer from transformers' own generate."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    inputs = tokenizer.apply_chat_template(
        [{"role": "user", "content": text}],
        add_generation_prompt=True, return_tensors="pt", return_dict=True,
    )  # fmt: skip
    out = model.generate(**inputs, max_new_tokens=n, do_sample=False)
    return str(tokenizer.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))


def test_greedy_answers_are_transformers_own(session: ChatSession) -> None:
    for text in (QUESTION, "質問: Emil の職業は何ですか。", "Tell me anything."):
        events = list(session.stream([turn(text=text)], Settings(max_new_tokens=12)))
        assert texts(events) == [greedy_reference(PROJECT / "sandbox" / "instruct", text, 12)]
        assert events[-1]["event"] == "done" and events[-1]["reason"] in ("end", "length")


def test_two_models_answer_together(session: ChatSession) -> None:
    pair = [turn("instruct"), turn("base", "Emil is", mode="completion")]
    settings = Settings(max_new_tokens=20, temperature=1.0, seed=1)
    events = list(session.stream(pair, settings))
    order = [e["which"] for e in events if e["event"] == "text"]
    assert {0, 1} == set(order) and order.index(1) <= 2  # in step, not one after the other
    alone = [texts(list(session.stream([each], settings)))[0] for each in pair]
    assert texts(events, 2) == alone  # one does not change the other


def test_the_seed_decides_and_temperature_zero_does_not_care(session: ChatSession) -> None:
    def said(**values: Any) -> str:
        settings = Settings(max_new_tokens=30, **values)
        return texts(list(session.stream([turn("base", "The", mode="completion")], settings)))[0]

    assert said(temperature=1.5, seed=1) == said(temperature=1.5, seed=1)
    assert len({said(temperature=1.5, seed=seed) for seed in range(4)}) > 1
    assert said(seed=1) == said(seed=2)
    assert said(temperature=1.5, top_p=1e-6, seed=5) == said()


def test_closing_the_stream_stops_the_answer(session: ChatSession) -> None:
    long = [turn("base", "The", mode="completion")]
    stream = session.stream(long, LONG)
    for event in stream:
        if event["event"] == "text":
            break
    stream.close()
    started = time.monotonic()
    assert texts(list(session.stream([turn()], SHORT)))[0]  # the next one need not wait for it
    assert time.monotonic() - started < 20


def test_faults_of_one_side_leave_the_other(session: ChatSession) -> None:
    events = list(
        session.stream([turn(folder="/no/such/folder"), turn(), turn("base", mode="chat")], SHORT)
    )
    errors = {e["which"]: e["text"] for e in events if e["event"] == "error"}
    assert "is gone: /no/such/folder" in errors[0]
    assert set(errors) <= {0, 2}
    assert texts(events, 3)[1]


@pytest.mark.parametrize(
    ("text", "said"), [("  ", "message is empty"), ("word " * 5000, "reads at most 512")]
)
def test_bad_messages_get_a_sentence(session: ChatSession, text: str, said: str) -> None:
    (error,) = [e for e in session.stream([turn(text=text)], SHORT) if e["event"] == "error"]
    assert said in error["text"]


def test_a_broken_model_gets_a_sentence(session: ChatSession, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    (error,) = [
        e for e in session.stream([turn(folder=str(tmp_path))], SHORT) if e["event"] == "error"
    ]
    assert "could not be loaded" in error["text"] and "Traceback" not in error["text"]
    assert texts(list(session.stream([turn()], SHORT)))[0]


def test_a_killed_process_ends_in_a_sentence_and_starts_again(home: Path) -> None:
    session = ChatSession(device="cpu")
    stream = session.stream([turn("base", "The", mode="completion")], LONG)
    for event in stream:
        if event["event"] == "text":
            break
    assert session.pid
    os.kill(session.pid, signal.SIGKILL)
    with pytest.raises(ChatError, match="was killed .* Send the message again"):
        list(stream)
    assert texts(list(session.stream([turn()], SHORT)))[0]
    pid = session.pid
    session.close()
    assert session.pid is None
    assert pid and not alive(pid)


def test_an_idle_process_ends_and_the_next_message_starts_another(home: Path) -> None:
    session = ChatSession(device="cpu", idle_seconds=0.5)
    list(session.stream([turn()], SHORT))
    deadline = time.monotonic() + 20
    while session.pid and time.monotonic() < deadline:
        time.sleep(0.1)
    assert session.pid is None
    assert texts(list(session.stream([turn()], SHORT)))[0]
    session.close()


def test_the_process_dies_with_its_parent(home: Path) -> None:
    """Killed, not closed: nothing is left to tell the child."""
    code = (
        "import time\nfrom jobs.chat import ChatSession\n"
        "session = ChatSession(device='cpu')\nsession.warm()\n"
        "print(session.pid, flush=True)\ntime.sleep(600)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout
    child = int(parent.stdout.readline())
    assert alive(child)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 20
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not alive(child)


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_web_side_needs_no_torch() -> None:
    code = "import sys, jobs.chat; assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PROJECT)


def test_only_registered_models_can_be_talked_to(home: Path) -> None:
    with pytest.raises(ChatError, match="There is no model ../../etc"):
        folder_of("../../etc")
