"""What a study takes and can tell, computed by hand."""

from __future__ import annotations

from math import sqrt
from typing import Any

import pytest

from evaluation.statistics.uncertainty import minimum_detectable_difference
from studies.design import Design
from studies.estimate import Facts, lanes_for, plan, reported, searched


def design(**values: Any) -> Design:
    given = {
        "name": "n", "base": "b", "experts": {"f": "x", "m": "y"}, "instruct": "i",
        "methods": [{"method": "task_arithmetic", "grid": {"scale": [0.5, 1.0]}}],
        "suite": "sandbox",
    }  # fmt: skip
    return Design(**{**given, **values})


ITEMS = {"a": 100, "b": 300}
SMALL: dict[str, Any] = {
    "n_parameters": 1_000_000, "file_bytes": 2_000_000, "model_bytes": 4_000_000, "cores": 2,
    "ram_free_bytes": 8_000_000_000,
}  # fmt: skip


def test_merges_answers_and_parents() -> None:
    # 2 experts x 2 scales, 1 pair x 2, and (2 experts + the best) x 4 alphas
    made = plan(design(), Facts(items=ITEMS, scored=frozenset({"base", "f"}), done=5, **SMALL))
    assert made.points == {"1": 4, "2": 2, "instruct": 12}
    assert made.merges == 18
    assert (made.parents, made.parents_scored, made.done) == (4, 2, 5)
    assert made.evaluations == 18 - 5 + 2
    assert (made.tasks, made.items, made.all_items) == (2, 400, 400 * 15)
    assert made.disk_bytes == 0


def test_seconds_from_what_was_measured() -> None:
    facts = Facts(items=ITEMS, task_seconds={"a": 1.0, "b": 5.0}, **SMALL)
    made = plan(design(), facts)
    assert made.seconds_score == pytest.approx(6.0)
    assert made.basis.startswith("measured")
    assert made.seconds_merge is not None and 0 < made.seconds_merge < 1
    # 18 merges and 4 parents, and the start of 4 processes for parents and 2 for each of 3 stages
    start = 4.0 + 2 * 2_000_000 * 1e-9
    assert made.seconds == pytest.approx((22 * 6.0 + made.seconds_merge + 10 * start) / 2)
    # of a task that was not measured, the items count at the others' speed
    half = plan(design(), Facts(items=ITEMS, task_seconds={"a": 1.0}, **SMALL))
    assert half.seconds_score == pytest.approx(4.0)


def test_seconds_by_size() -> None:
    like = Facts(items=ITEMS, seconds_an_item=0.01, measured_parameters=500_000, **SMALL)
    assert plan(design(), like).seconds_score == pytest.approx(400 * 0.01 * 2)
    # a smaller model is bound by overhead, not ten times faster
    large = Facts(items=ITEMS, seconds_an_item=0.01, measured_parameters=10_000_000, **SMALL)
    assert plan(design(), large).seconds_score == pytest.approx(4.0)
    # a model of a thousandth of the size says nothing
    tiny = Facts(items=ITEMS, seconds_an_item=0.01, measured_parameters=1000, **SMALL)
    assert plan(design(), tiny).basis.startswith("a rough guess")
    assert plan(design(), tiny).seconds_score == pytest.approx(400 * 0.002)
    huge = {**SMALL, "n_parameters": 8_000_000_000, "file_bytes": 16_000_000_000,
            "model_bytes": 16_000_000_000}  # fmt: skip
    guessed = plan(design(), Facts(items=ITEMS, device="cuda", **huge))
    assert guessed.seconds_score == pytest.approx(400 * 8e9 / 1e11)
    assert guessed.lanes == 1


def test_what_nobody_knows_is_not_made_up() -> None:
    made = plan(design(), Facts(items={"a": None, "b": 20}, **SMALL))
    assert made.unknown == ("a",) and made.items == 20
    nothing = plan(design(), Facts(items={"a": None}))
    assert nothing.seconds is None and nothing.seconds_score is None and nothing.ram_bytes is None
    assert "first run" in nothing.basis
    assert nothing.reporting.mean is None
    assert "when they are on this machine" in plan(design(), Facts(items=ITEMS)).basis


def test_memory_of_all_lanes() -> None:
    # in each of two processes: 600 MB, the model in float32, one combined task vector
    made = plan(design(), Facts(items=ITEMS, **SMALL))
    assert made.ram_bytes == 2 * (600_000_000 + 4_000_000 + 4_000_000)
    assert made.vram_bytes is None and not made.warnings
    gpu = plan(design(), Facts(items=ITEMS, device="cuda", vram_free_bytes=7_000_000, **SMALL))
    assert gpu.lanes == 1 and gpu.vram_bytes == 8_000_000
    assert gpu.ram_bytes == 600_000_000
    assert gpu.warnings == ("The study needs 8.0 MB of GPU memory, and 7.0 MB are free.",)


def test_lanes() -> None:
    def lanes(n_parameters: int | None, most: int = 100, **machine: Any) -> int:
        return lanes_for(n_parameters, Facts(items={}, **machine), most)

    assert lanes(1_000_000, cores=2) == 2  # one each for small models
    assert lanes(1_000_000, cores=64) == 8
    assert lanes(1_000_000, cores=4, most=3) == 3
    assert lanes(1_000_000, cores=1) == 1
    assert lanes(7_000_000_000, cores=8) == 1  # a large one takes all cores
    assert lanes(None, cores=8) == 1
    assert lanes(1_000_000, cores=8, device="cuda", gpus=4) == 4
    assert lanes(7_000_000_000, cores=8, device="cuda", gpus=1) == 1


def test_what_the_reported_items_can_tell() -> None:
    made = plan(design(split={"share": 0.25}), Facts(items=ITEMS, **SMALL))
    assert made.reporting.items == {"a": 75, "b": 225}
    assert made.choosing is not None and made.choosing.items == {"a": 25, "b": 75}
    one, other = (minimum_detectable_difference(n, correlation=0.35) for n in (75, 225))
    assert made.reporting.tasks == {"a": pytest.approx(one), "b": pytest.approx(other)}
    assert made.reporting.mean == pytest.approx(sqrt(one**2 + other**2) / 2)
    assert "detectable" in made.to_mapping()


def test_without_a_split_all_items_report_and_it_is_said() -> None:
    made = plan(design(split=None), Facts(items=ITEMS, **SMALL))
    assert made.reporting.items == ITEMS and made.choosing is None
    assert any("no split" in text for text in made.warnings)


@pytest.mark.parametrize("n", [1, 2, 3, 51])
def test_both_parts_together_are_all_items(n: int) -> None:
    for share in (0.2, 0.5, 0.7):
        one = design(split={"share": share})
        parts = reported(one, {"a": n})["a"], searched(one, {"a": n})["a"]
        assert None not in parts and sum(part or 0 for part in parts) == n


def test_a_stage_that_a_method_leaves_out_is_told() -> None:
    one = design(methods=[{"method": "slerp", "grid": {"t": [0.5]}}, {"method": "model_stock"}])
    made = plan(one, Facts(items=ITEMS, **SMALL))
    (text,) = made.warnings
    assert text.startswith("model_stock takes another number of models than stage 1")


def test_merging_is_counted_by_method() -> None:
    quick = plan(design(), Facts(items=ITEMS, **SMALL)).seconds_merge
    slow = [{"method": "sce", "grid": {"select_topk": [0.1, 0.2]}}]
    costly = plan(design(methods=slow), Facts(items=ITEMS, **SMALL)).seconds_merge
    assert quick is not None and costly is not None and costly > quick
