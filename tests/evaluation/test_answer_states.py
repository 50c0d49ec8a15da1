"""Right, wrong, missing and truncated are four states, and the shares count two of them."""

from __future__ import annotations

from typing import Any

import pytest

from evaluation.answer_states import shares, state_of
from evaluation.extraction import grade

CHOICES = [{"text": "a", "loglikelihood": -1.0}]


def answer(**values: Any) -> dict[str, Any]:
    return {"output": "so it is 30", "extracted": "30", "choices": None, "correct": False,
            "stopped": "until", **values}  # fmt: skip


AWKWARD = [
    ({"correct": True}, "right"),
    ({"correct": True, "stopped": "length"}, "right"),
    ({}, "wrong"),
    ({"stopped": "length"}, "wrong"),  # an answer stands in it, whatever was cut off behind
    ({"extracted": None}, "missing"),
    ({"extracted": None, "stopped": "length"}, "truncated"),
    ({"extracted": grade.CUT_OFF, "stopped": "length"}, "truncated"),
    ({"extracted": grade.CUT_OFF, "stopped": None}, "truncated"),
    ({"extracted": "[invalid]"}, "missing"),
    ({"extracted": "[invalid]", "stopped": "length"}, "truncated"),
    ({"extracted": " ", "output": ""}, "missing"),
    ({"extracted": "so it is 30", "stopped": "length"}, "truncated"),  # the whole reply, unfinished
    ({"extracted": "so it is 30", "stopped": None}, "wrong"),
    ({"choices": CHOICES, "extracted": ""}, "wrong"),  # compared, never missing
    ({"choices": CHOICES, "extracted": "", "stopped": "length"}, "wrong"),
    ({"correct": None}, None),
    ({"correct": None, "extracted": None}, "missing"),
    ({"choices": CHOICES, "correct": None, "extracted": ""}, None),
]


@pytest.mark.parametrize(("values", "expected"), AWKWARD)
def test_states(values: dict[str, Any], expected: str | None) -> None:
    assert state_of(answer(**values)) == expected


def test_shares_are_of_all_items() -> None:
    rows = [answer(state=state) for state in ("right", "missing", "truncated", "missing", "wrong")]
    assert shares(rows) == (0.4, 0.2)


def test_compared_choices_have_no_shares() -> None:
    assert shares([answer(choices=CHOICES, state="wrong")]) == (None, None)
    assert shares([]) == (None, None)


def test_the_grader_says_so_in_the_same_words() -> None:
    cut = grade.grade_number(
        "First we add all the fees and", grade.read_amount("30"), stopped="length"
    )  # type: ignore[arg-type]
    assert state_of(answer(extracted=cut.extracted, stopped="length")) == cut.state == "truncated"
    none = grade.grade_number("I do not know.", grade.read_amount("30"))  # type: ignore[arg-type]
    assert state_of(answer(extracted=none.extracted)) == none.state == "missing"
