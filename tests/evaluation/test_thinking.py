"""Thoughts are no answers: what is stripped, and what an endless thought is worth."""

from __future__ import annotations

import pytest

from evaluation.thinking import answer_start, opened_by, strip


@pytest.mark.parametrize(
    ("reply", "opened", "answer", "whole"),
    [
        ("42", False, "42", True),
        ("  42\n", False, "  42\n", True),
        ("<think>6 x 7\n\nis 42</think>\n\nThe answer is 42.", False, "The answer is 42.", True),
        ("<THINKING>a</THINKING>b", False, "b", True),
        ("<think>a</think>b<think>c</think>d", False, "bd", True),
        ("is it 41? no</think>42", True, "42", True),
        ("is it 41? no</think>42", False, "42", True),
        ("is it 41", True, "", False),
        ("<think>is it 41", False, "", False),
        ("\n <think>is it 41", False, "\n ", False),
        ("42 <think>or not", False, "42 ", True),
        ("<|begin_of_thought|>x<|end_of_thought|> 7", False, "7", True),
        ("a < b and <thing>", False, "a < b and <thing>", True),
        ("", False, "", True),
        ("<think></think>", False, "", True),
    ],
)
def test_what_is_left(reply: str, opened: bool, answer: str, whole: bool) -> None:
    assert strip(reply, opened=opened) == (answer, whole)


def test_a_prompt_that_opens_a_thought() -> None:
    assert opened_by("<|user|>2+2?<|assistant|><think>\n")
    assert not opened_by("What does <think> mean?")
    assert not opened_by("<think>\n\n</think>\n\n")
    assert not opened_by("")


def test_stop_strings_count_from_the_answer_on() -> None:
    assert answer_start("plain") == 0
    assert answer_start("<think>a\n\nb") is None
    assert answer_start("a\n\nb", opened=True) is None
    text = "<think>a\n\nb</think>c"
    assert answer_start(text) == text.index("c")
    assert answer_start("x</think>y", opened=True) == len("x</think>")
