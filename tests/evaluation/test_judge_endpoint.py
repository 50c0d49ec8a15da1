"""An endpoint as a judge, against a real HTTP server on this machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from evaluation.judge.address import checked, is_local, key_from
from evaluation.judge.endpoint import Endpoint, EndpointOptions, Refused, Unanswered
from evaluation.judge.errors import JudgeError
from tests.judge_server import KEY, JudgeServer, serving


@pytest.fixture
def server() -> Iterator[JudgeServer]:
    with serving() as running:
        yield running


def endpoint(server: JudgeServer, model: str, **options: float) -> Endpoint:
    given = {"timeout_seconds": 5.0, "attempts": 3, "backoff_seconds": 0.01, **options}
    return Endpoint(EndpointOptions(server.url, model, **given), KEY)  # type: ignore[arg-type]


def ask(server: JudgeServer, model: str, **options: float) -> str:
    return endpoint(server, model, **options).ask("Grade.", "User: <<<hm>>>\nAssistant: <<<abcd>>>")


def test_what_is_sent(server: JudgeServer) -> None:
    assert ask(server, "good") == "It is of some length. [[4]]"
    assert server.paths == ["/v1/chat/completions"]
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    body = server.requests[0]
    assert [one["role"] for one in body["messages"]] == ["system", "user"]
    assert (body["model"], body["temperature"], body["stream"]) == ("good", 0.0, False)


def test_no_key_no_header(server: JudgeServer) -> None:
    Endpoint(EndpointOptions(server.url + "/", "good")).ask("Grade.", "Assistant: <<<a>>>")
    assert "Authorization" not in server.headers[0]
    assert server.paths == ["/v1/chat/completions"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(server: JudgeServer, status: int) -> None:
    server.stumble, server.status = 2, status
    assert ask(server, "good").endswith("[[4]]")
    assert len(server.requests) == 3


def test_it_waits_as_long_as_it_is_told(server: JudgeServer) -> None:
    server.stumble, server.retry_after = 1, "0.4"
    began = time.monotonic()
    ask(server, "good")
    assert time.monotonic() - began >= 0.4


def test_a_server_that_stays_busy_is_given_up(server: JudgeServer) -> None:
    server.stumble = 99
    with pytest.raises(Unanswered) as caught:
        ask(server, "good")
    assert len(server.requests) == 3
    assert "was asked 3 times and did not answer: status 429 (slow down, [key])." in str(
        caught.value
    )


@pytest.mark.parametrize(
    ("model", "why"),
    [
        ("malformed", "not in the form of a chat completion"),
        ("other", "not in the form of a chat completion"),
        ("cut", "the connection failed"),
        ("huge", "larger than 4 MB"),
    ],
)
def test_odd_answers_are_no_answers(server: JudgeServer, model: str, why: str) -> None:
    with pytest.raises(Unanswered, match=why):
        ask(server, model, attempts=2)
    assert len(server.requests) == 2


@pytest.mark.parametrize("model", ["hanging", "dripping"])
def test_a_server_that_hangs_is_left(server: JudgeServer, model: str) -> None:
    with pytest.raises(Unanswered, match=r"no answer within 0\.5 seconds"):
        ask(server, model, timeout_seconds=0.5, attempts=1)
    assert server.drips < 300  # left while it still dripped


def test_a_redirect_is_not_followed(server: JudgeServer) -> None:
    with pytest.raises(Refused, match="redirects elsewhere"):
        ask(server, "elsewhere")
    assert len(server.requests) == 1


def test_the_key_is_in_no_answer_and_no_error(server: JudgeServer) -> None:
    assert ask(server, "echo") == "You sent Bearer [key]. [[6]]"
    with pytest.raises(Refused) as caught:
        ask(server, "locked")
    assert KEY not in str(caught.value) and "[key]" in str(caught.value)
    assert "Check the key" in str(caught.value)
    assert len(server.requests) == 2  # a wrong key is not tried again
    assert KEY not in repr(endpoint(server, "good"))


def test_servers_that_want_other_parameters_get_them(server: JudgeServer) -> None:
    judge = endpoint(server, "modern")
    assert judge.ask("Grade.", "Assistant: <<<abc>>>").endswith("[[3]]")
    assert len(server.requests) == 3
    judge.ask("Grade.", "Assistant: <<<abc>>>")
    assert len(server.requests) == 4  # remembered
    assert "max_completion_tokens" in server.requests[-1]


def test_text_in_parts_and_no_text(server: JudgeServer) -> None:
    assert ask(server, "parts") == "Good. [[8]]"
    assert ask(server, "silent") == ""


def test_stopping_ends_what_is_under_way(server: JudgeServer) -> None:
    judge = endpoint(server, "hanging", timeout_seconds=60, attempts=9)
    failed: list[Exception] = []

    def run() -> None:
        try:
            judge.ask("Grade.", "Assistant: <<<abc>>>")
        except Unanswered as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while not server.requests:
        time.sleep(0.01)
    judge.stop()
    thread.join(10)
    assert not thread.is_alive() and len(failed) == 1


def test_nobody_listens() -> None:
    judge = Endpoint(EndpointOptions("http://127.0.0.1:9/v1", "m", attempts=1))
    with pytest.raises(Unanswered, match="was asked once and did not answer: the connection"):
        judge.ask("a", "b")


@pytest.mark.parametrize(
    "url",
    [
        "", "localhost:8000", "ftp://a/v1", "http://", "http://user:pw@a/v1", "http://a/v1?key=x",
        "http://a/v1#x", "http://a b/v1", "http://[::1/v1", "http://a:port/v1",
    ],
)  # fmt: skip
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(JudgeError) as caught:
        checked(url)
    assert "pw" not in str(caught.value).split()


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://localhost:8000/v1", True), ("http://127.0.0.9/v1", True),
        ("http://[::1]:1/v1", True),
        ("https://api.example.com/v1", False), ("http://192.168.1.5:8000/v1", False),
        ("http://localhost.example.com/v1", False), ("http://127.0.0.1.example.com/v1", False),
    ],
)  # fmt: skip
def test_what_stays_on_this_machine(url: str, local: bool) -> None:
    assert is_local(url) is local


def test_the_key_comes_from_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", f" {KEY}\n")
    assert key_from("JUDGE_KEY") == KEY
    assert key_from("") is None
    for wrong in (KEY, "NOT_SET_ANYWHERE", "A B"):
        with pytest.raises(JudgeError) as caught:
            key_from(wrong)
        assert wrong not in str(caught.value)
    monkeypatch.setenv("JUDGE_KEY", "a\r\nX-Evil: 1")
    with pytest.raises(JudgeError, match="no HTTP header"):
        key_from("JUDGE_KEY")
