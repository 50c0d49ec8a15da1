"""Searches: the form and its text, sentences beside what they concern, and the pages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from pages.components.search import shipped, typed
from pages.components.search.draft import Draft
from pages.components.search.typed import BadRangeError
from search.design import SearchDesign
from tests.pages.test_shell import text_of
from tests.search.small import data

Open = Callable[..., AppTest]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", None),
        ("0.4", 0.4),
        ("0.2, 0.5", [0.2, 0.5]),
        ("0.2 to 1.2", {"low": 0.2, "high": 1.2}),
        ("-1 to 1 step 0.5", {"low": -1.0, "high": 1.0, "step": 0.5}),
        ("0.01 to 1 log", {"low": 0.01, "high": 1.0, "log": True}),
        ("0 to 1.5, 3 points", {"low": 0.0, "high": 1.5, "points": 3}),
    ],
)
def test_ranges_are_read_and_written(text: str, meant: Any) -> None:
    assert typed.read(text, "Scale") == meant
    assert typed.read(typed.write(meant) or "", "Scale") == meant


@pytest.mark.parametrize("text", ["x", "0.2 to 1 stepp 2", "0.2 to", "1e999", "0.2, y"])
def test_what_is_no_range_is_told(text: str) -> None:
    with pytest.raises(BadRangeError, match="Scale"):
        typed.read(text, "Scale")


KEPT = data(
    recipe={"method": "ties", "base": "sandbox/base", "dtype": "bfloat16",
            "options": {"normalize": True},
            "models": [{"model": "sandbox/finance", "weight": [0, 1]},
                       {"model": "sandbox/math", "options": {"density": 0.3}}]},
    space={"methods": ["ties", "dare_ties"],
           "options": {"ties.density": [0.2, 0.5],
                       "scale": {"low": 0.1, "high": 1, "groups": ["mlp"]}},
           "model_options": {"sandbox/math": {"density": {"low": 0.1, "high": 0.9}}}},
    objectives=["general", {"of": "score", "domains": ["finance"]}],
)  # fmt: skip


@pytest.mark.parametrize("one", [*(each.key for each in shipped.designs()), "kept"])
def test_a_design_survives_the_form(one: str) -> None:
    """Also what the form has no field for."""
    if one == "kept":
        design = SearchDesign.from_mapping(KEPT)
    else:
        found = shipped.design(one)
        assert found is not None
        design = SearchDesign.from_yaml(found.text)
    told, problems = Draft.from_design(design).to_mapping()
    assert problems == {}
    again = SearchDesign.from_mapping(told)
    assert again.to_mapping() | {"recipe": 0} == design.to_mapping() | {"recipe": 0}
    from search.space import SearchSpace

    old, new = SearchSpace(design), SearchSpace(again)
    for method in old.methods:
        sample = old.sample(method, "high")
        assert new.recipe(sample).hash == old.recipe(sample).hash


def test_the_pages_open(home: Path, open_page: Open) -> None:
    page = open_page("search_list")
    assert "Weights and method in the sandbox" in text_of(page)
    page = open_page("search_design", design="sandbox-two-objectives")
    assert not page.exception
    assert "Before the start" in text_of(page)
    page = open_page("search_detail", search="7")
    assert "There is no such search" in text_of(page)
