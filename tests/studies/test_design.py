"""Designs: YAML and back, what a bad one is told, the hash, and the shipped ones."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studies.checks import check_distinct, check_items, check_suite
from studies.design import Design, ModelRef
from studies.errors import StudyError

PROJECT = Path(__file__).resolve().parents[2]
SHIPPED = sorted((PROJECT / "recipes" / "studies").glob("*.yaml"))
GOOD: dict[str, Any] = {
    "name": "three",
    "base": "org/base",
    "experts": {"finance": "org/finance", "math": "org/math", "japanese": "org/japanese"},
    "instruct": "org/instruct",
    "methods": [
        {"method": "task_arithmetic", "grid": {"scale": [0.5, 1.0]}},
        {"method": "dare_ties", "grid": {"density": [0.2, 0.5]}, "seeds": [1, 2]},
    ],
    "suite": "sandbox",
}
Change = Callable[[dict[str, Any]], Any]


def changed(change: Change) -> dict[str, Any]:
    data = copy.deepcopy(GOOD)
    change(data)
    return data


def put(**values: Any) -> Change:
    return lambda data: data.update(values)


def method(**values: Any) -> Change:
    return lambda data: data.update(methods=[{"method": "ties", **values}])


@pytest.mark.parametrize("file", SHIPPED, ids=[file.stem for file in SHIPPED])
def test_shipped(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    title, story = text.splitlines()[:2]
    assert title.startswith("# Title: ") and story.startswith("# Story: ")
    assert story.endswith(".") and len(story) <= 120
    design = Design.from_yaml(text)
    assert design.name == file.stem
    assert Design.from_yaml(design.to_yaml()) == design
    assert check_suite(design).tasks
    assert "arXiv" in design.note


def test_the_sandbox_study_is_large_enough() -> None:
    text = (PROJECT / "recipes" / "studies" / "sandbox-three-stages.yaml").read_text()
    design = Design.from_yaml(text)
    assert sum(design.counts().values()) >= 120
    assert len(design.methods) == 3 and len(design.experts) == 3
    assert design.stages == ("1", "2", "3", "instruct")
    assert design.limit is None and design.tasks is None


def test_defaults_and_names() -> None:
    design = Design(**GOOD)
    assert design.stages == ("1", "2", "3", "instruct")
    assert design.instruct_stage.alpha == (0.0, 0.5, 1.0, 1.5)
    assert design.split is not None and (design.split.seed, design.split.share) == (1, 0.5)
    assert design.carry == "everywhere"
    assert list(design.models) == ["base", "finance", "math", "japanese", "instruct"]
    assert design.models["math"] == ModelRef(model="org/math")


def test_lambda_is_the_scale_and_a_single_value_a_grid_of_one() -> None:
    text = """
name: n
base: a
experts: {f: {model: b, revision: main}, m: c}
methods: [{method: ties, grid: {lambda: [1, 2]}, options: {density: 0.5}}]
suite: sandbox
split: null
"""
    design = Design.from_yaml(text)
    assert design.methods[0].grid == {"scale": (1.0, 2.0)}
    assert design.experts["f"].revision == "main"
    assert design.split is None and "split: null" in design.to_yaml()
    assert design.stages == ("1", "2")
    assert Design.from_yaml(design.to_yaml()) == design
    one = Design(**changed(method(grid={"density": 0.5})))
    assert one.methods[0].grid == {"density": (0.5,)}


BAD: list[tuple[Change, str]] = [
    (put(nmae="x"), 'Unknown key of the study "nmae". Did you mean "name"?'),
    (lambda d: d.pop("suite"), 'The study lacks "suite".'),
    (lambda d: d.pop("base"), 'The study lacks "base".'),
    (put(base=3), "base must be keys and values, not 3."),
    (put(base=""), "base.model is empty."),
    (put(experts={}), "no experts"),
    (put(experts=["a", "b"]), "experts must be keys and values"),
    (put(experts={"a": {"modle": "x"}}), 'Did you mean "model"?'),
    (put(experts={f"e{i}": f"m{i}" for i in range(7)}), "7 experts; 6 are the most"),
    (put(experts={"base": "x", "m": "y"}), 'cannot be called "base"'),
    (put(experts={"a": "org/x", "b": "org/x"}), "a and b are the same model (org/x)"),
    (put(experts={"a": "org/x", "b": "org/base"}), "base and b are the same model"),
    (put(experts={1: "x", "m": "y"}), "A name in experts is 1; it must be text without commas"),
    (put(experts={"a,b": "x", "m": "y"}), 'A name in experts is "a,b"'),
    (put(base={"model": "x", "revision": ""}), "base.revision is empty."),
    (method(grid={"density": [i / 3000 for i in range(300, 3000)]}), "1,000 are the most"),
    (put(instruct="org/math"), "math and instruct are the same model"),
    (
        put(experts={"a": {"model": "org/x", "revision": "1"},
                     "b": {"model": "org/x", "revision": "2"}}),
        "two revisions",
    ),  # fmt: skip
    (put(experts={"a": "org/x"}, stages=[1, 2]), "one expert"),
    (put(experts={"a": "org/x"}, stages=[1]), "set stages: [1, instruct]"),
    (put(experts={"a": "org/x", "b": "org/y"}, stages=[3]), "Stage 3 merges triples, and the"),
    (put(stages=[1, 4]), "There is no stage"),
    (put(stages=[1, 1]), "Stage 1 is listed twice"),
    (lambda d: d.update(stages=["instruct"]) or d.pop("instruct"), "needs an instruct model"),
    (put(methods=[]), ""),
    (put(methods=[], stages=[1]), "Stage 1 needs a method"),
    (put(methods=[{"method": "tise", "grid": {"density": [1]}}]), 'Did you mean "ties"?'),
    (put(methods=[{"method": "instruction_residual", "grid": {"alpha": [1]}}]), "instruct stage"),
    (put(methods=GOOD["methods"] * 2), "stands in the methods twice"),
    (put(methods=[{"method": "passthrough", "grid": {"scale": [1]}}], stages=[2]), "cannot merge"),
    (method(grid={}), "The grid of ties is empty"),
    (method(), "The grid of ties is empty"),
    (method(grid={"density": []}), 'no value for "density"'),
    (method(grid={"dnesity": [1]}), 'Unknown option "dnesity". Did you mean "density"?'),
    (method(grid={"density": [0.5, 1.5]}), "density is 1.5; allowed is 0.01 to 1."),
    (method(grid={"density": [0.5, 0.5]}), "density 0.5 stands twice"),
    (method(grid={"density": ["a"]}), "density must be a number"),
    (method(grid={"density": [float("nan")]}), "density must be a finite number"),
    (method(grid={"density": [[0.1, 0.2]]}), "takes single values"),
    (method(grid={"density": None}), "grid.density must be a list"),
    (method(grid={"density": [0.5]}, options={"density": 0.5}), "in the grid and in the options"),
    (method(grid={"density": [0.5]}, options={"scale": 9}), "scale is 9; allowed is 0 to 5."),
    (method(grid={"density": [0.5]}, options={"scale": [0.0, 1.0]}), "takes single values"),
    (method(grid={"scale": [1], "lambda": [2]}), "the same option"),
    (method(grid={"density": [0.5]}, seeds=[1]), "ties has no random numbers"),
    (
        put(methods=[{"method": "dare_ties", "grid": {"density": [0.5]}, "seeds": []}]),
        "The seeds of dare_ties are empty",
    ),
    (
        put(methods=[{"method": "dare_ties", "grid": {"density": [0.5]}, "seeds": [-1]}]),
        "whole numbers from 0",
    ),
    (put(instruct_stage={"alpha": []}), 'instruct_stage has no value for "alpha"'),
    (put(instruct_stage={"alpha": [-1]}), "alpha is -1.0; allowed is 0 to 5."),
    (put(instruct_stage={"alhpa": [1]}), 'Did you mean "alpha"?'),
    (put(carry="all"), "allowed is everywhere or best"),
    (put(tasks=[]), "The list of tasks is empty"),
    (put(tasks=["a", "a"]), 'The task "a" is listed twice'),
    (put(limit=0), "limit is 0; allowed is 2 or more"),
    (put(limit=1), "one item a task can tell nothing"),
    (put(limit=1, split=None), "one item a task can tell nothing"),
    (put(limit=3, split={"share": 0.2}), "less than one item a task"),
    (put(split={"share": 1}), "share is 1; allowed is between 0 and 1"),
    (put(split={"sead": 1}), 'Did you mean "seed"?'),
    (
        method(grid={"density": [i / 1000 for i in range(10, 1000)],
                     "scale": [i / 100 for i in range(1, 100)]}),
        "merges; 20,000 are the most",
    ),  # fmt: skip
]  # fmt: skip


@pytest.mark.parametrize(("change", "said"), [one for one in BAD if one[1]])
def test_bad_designs_get_a_sentence(change: Change, said: str) -> None:
    with pytest.raises(StudyError) as caught:
        Design(**changed(change))
    text = str(caught.value)
    assert said in text
    assert "\n" not in text and text.endswith((".", "?")) and len(text) < 260
    assert caught.value.exit_code == 2


def test_methods_are_not_needed_where_nothing_but_the_instruct_model_is_added() -> None:
    design = Design(**changed(put(methods=[])))
    assert design.stages == ("instruct",)
    assert design.counts() == {"instruct": 12}
    with pytest.raises(StudyError, match="neither methods nor an instruct model"):
        Design(**changed(lambda d: d.update(methods=[]) or d.pop("instruct")))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "The study is empty."),
        ("- a", "The study must be keys and values"),
        ("a: &x 1\nb: *x", "The study uses a YAML alias"),
        ("name: a\nname: b", '"name" appears twice in the study'),
        ("a: [", "The study is not valid YAML in line"),
        ("---\na: 1\n---\nb: 1", "several documents; give each study by itself"),
        ("x" * 300_000, "The study is larger than 256 KB"),
    ],
)
def test_bad_text(text: str, said: str) -> None:
    with pytest.raises(StudyError) as caught:
        Design.from_yaml(text)
    assert said in str(caught.value)


def test_methods_that_take_another_number_of_models() -> None:
    design = Design(**changed(put(methods=[
        {"method": "slerp", "grid": {"t": [0.5]}}, {"method": "model_stock"}
    ])))  # fmt: skip
    # slerp takes two models: base and expert, or a pair; model_stock two experts or more
    assert design.counts() == {"1": 3, "2": 6, "3": 1, "instruct": 16}


def test_the_hash_is_of_what_changes_the_result() -> None:
    one = Design(**GOOD)
    assert Design(**changed(put(name="other", note="words"))).hash == one.hash
    for change in (put(limit=50), put(split=None), put(carry="best"), put(suite="general"),
                   put(base="org/other"), put(instruct_stage={"alpha": [1.0]})):  # fmt: skip
        assert Design(**changed(change)).hash != one.hash
    assert one.pinned({"org/math": "a" * 64}).hash != one.hash
    assert one.pinned({"org/math": "a" * 64}).experts["math"].fingerprint == "a" * 64
    assert one.pinned({}) == one


def test_suites_and_tasks_that_are_not_there() -> None:
    with pytest.raises(StudyError, match="There is no suite 'sandbix'.*sandbox"):
        check_suite(Design(**changed(put(suite="sandbix"))))
    with pytest.raises(StudyError, match="has no task 'sandbox_math_word'.*sandbox_math_words"):
        check_suite(Design(**changed(put(tasks=["sandbox_math_word"]))))
    with pytest.raises(StudyError, match="There is no suite file"):
        check_suite(Design(**changed(put(suite="./none.yaml"))))


@pytest.mark.parametrize(
    "name", ["pfmt-bench-fin-ja", "/data/pfmt-bench-fin-ja/question.jsonl", "tasks:my_pfmt_set"]
)
def test_a_set_that_may_not_choose_is_refused(name: str) -> None:
    with pytest.raises(StudyError, match="for reporting only; no search or sweep may choose"):
        check_suite(Design(**changed(put(suite=name))))
    with pytest.raises(StudyError, match="for reporting only"):
        check_suite(Design(**changed(put(tasks=["pfmt_bench_fin_ja_writing"]))))


def test_a_set_of_prompts_is_no_suite() -> None:
    with pytest.raises(StudyError, match="a set of prompts for a judge, not a suite"):
        check_suite(Design(**changed(put(suite="open-small"))))


def test_too_few_items_to_report() -> None:
    design = Design(**GOOD)
    with pytest.raises(StudyError, match="Only 5 items are left to report on, and below 6"):
        check_items(design, {"a": 2, "b": 3})
    with pytest.raises(StudyError, match="Only 1 item is left"):
        check_items(design, {"a": 1})
    check_items(design, {"a": 3, "b": 3})
    check_items(design, {"a": 1, "b": None})  # nobody knows: the first run tells


def test_two_names_of_the_same_files(tmp_path: Path) -> None:
    design = Design(**GOOD)
    (tmp_path / "one").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "one")
    folders = {"org/math": str(tmp_path / "one"), "org/japanese": str(tmp_path / "link")}
    with pytest.raises(StudyError, match="math and japanese have the same folder"):
        check_distinct(design, folders, {})
    prints = {"org/finance": "a" * 64, "org/base": "b" * 64, "org/instruct": "a" * 64}
    with pytest.raises(StudyError, match="finance and instruct have the same weights"):
        check_distinct(design, {}, prints)
    check_distinct(design, {"org/math": str(tmp_path / "one")}, {"org/math": "a" * 64})
