"""A lane on the shipped models: its scores are those of merges from folders, and nothing leaks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from evaluation.prepared import Prepared
from evaluation.run import evaluate, load_model
from evaluation.suites import load_suite
from merging.engine import merge_to_folder
from merging.errors import ModelError
from merging.recipes.recipe import Recipe
from studies import in_place
from studies.design import Design
from studies.lane import MOST_CHARACTERS, Lane, LanePoint, compact, in_a_sentence
from studies.points import PREVIOUS, Chosen, Point, points_of

SANDBOX = Path(__file__).resolve().parents[2] / "sandbox"
FOLDERS = {f"sandbox/{path.name}": path for path in SANDBOX.iterdir() if path.is_dir()}
LIMIT = 6
TASKS = ("sandbox_general_people", "sandbox_math_words", "sandbox_chat_finance")
DESIGN = Design.from_mapping(
    {
        "name": "lane",
        "base": "sandbox/base",
        "experts": {"finance": "sandbox/finance", "math": "sandbox/math"},
        "instruct": "sandbox/instruct",
        "methods": [
            {"method": "task_arithmetic", "grid": {"scale": [0.4, 1.0]}},
            {"method": "dare_ties", "grid": {"density": [0.5], "scale": [0.5, 1.0]}},
        ],
        "suite": "sandbox",
        "split": None,
    }
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def lane_points(points: list[Point], **more: Any) -> list[LanePoint]:
    return [
        LanePoint(one.key, one.label, tuple(one.steps(DESIGN)), TASKS, **more) for one in points
    ]


def run(points: list[LanePoint], folders: dict[str, Path] = FOLDERS, **more: Any) -> list[Any]:
    options = {"limit": LIMIT, "device": "cpu", "dtype": "float32", "most_bytes": 1 << 28, **more}
    return list(Lane(points, folders, load_suite("sandbox"), **options).run())


def of_kind(events: list[Any], kind: str) -> list[Any]:
    return [event for event in events if event["kind"] == kind]


def scores_by_key(events: list[Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for event in of_kind(events, "point_scores"):
        for score in event["scores"]:
            timeless = {name: value for name, value in score.items() if name != "seconds"}
            found.setdefault(event["key"], {})[score["task"]] = timeless
    return found


def from_folder(folder: Path) -> dict[str, Any]:
    """Compact scores of a model in a folder, without anything of a lane."""
    model, tokenizer = load_model(folder, device="cpu")
    events = evaluate(model, tokenizer, load_suite("sandbox"), tasks=TASKS, limit=LIMIT)
    return {event["task"]: compact(event) for event in events if event["kind"] == "score"}


def merged(steps: tuple[Recipe, ...], folder: Path) -> Path:
    """The merge on the disk, one step upon the other."""
    folders = dict(FOLDERS)
    for place, recipe in enumerate(steps):
        data = recipe.model_dump()
        for one in data["models"]:
            if one["model"] == PREVIOUS:
                one["fingerprint"] = None
        out = folder / str(place)
        list(merge_to_folder(Recipe(**data), folders, out))
        folders[PREVIOUS] = out
    return out


def test_points_score_as_their_merges_in_folders(tmp_path: Path) -> None:
    """Also the first after another tokenizer, the ones that share a vector, and two-step ones."""
    pair = points_of(DESIGN, "2")
    best = pair[-1]  # a DARE-TIES merge: the instruct stage on it takes two merges
    onto = [one for one in points_of(DESIGN, "instruct", Chosen({}, best)) if one.on]
    points = lane_points([*pair, onto[1], pair[0]])
    events = run(points)
    told = of_kind(events, "point")
    assert [event["key"] for event in told] == [one.key for one in points]
    assert [event["reused"] for event in told] == [True, True, True, True, False, False]
    found = scores_by_key(events)
    for number, point in enumerate(points[:-1]):
        anew = from_folder(merged(point.steps, tmp_path / str(number)))
        for task, score in found[point.key].items():
            asked = {name: value for name, value in score.items() if name != "asked"}
            assert asked == {k: v for k, v in anew[task].items() if k != "seconds"}, point.label
    assert {event["recipe_hash"] for event in told} == {
        Recipe.from_yaml(event["recipes"][-1]).hash for event in told
    }


def test_nothing_of_a_point_leaks_into_the_next(nan_weights: None) -> None:
    """The same point scores the same, alone, behind another one, and behind a broken one."""
    one, other = points_of(DESIGN, "1")[:2]
    alone = scores_by_key(run(lane_points([other])))[other.key]
    behind = scores_by_key(run(lane_points([one, other])))
    assert behind[other.key] == alone != behind[one.key]
    broken = LanePoint("broken", "broken", tuple(_too_large().steps(DESIGN)), TASKS)
    events = run([broken, *lane_points([other])])
    assert [event["key"] for event in of_kind(events, "point_error")] == ["broken"]
    assert scores_by_key(events)[other.key] == alone


def _too_large() -> Point:
    """A merge whose weights are numbers, and whose logits are not."""
    point = points_of(DESIGN, "1")[0]
    options = {"density": 0.01, "scale": 5.0, "rescale": "1/d", "normalize": False}
    return Point("1", point.constituents, "dare_linear", options, 7)


@pytest.fixture
def nan_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """The merge of that method puts NaN into the model, as an overflow does."""
    real = in_place.Bench.merge

    def poisoned(self: Any, steps: Any, **more: Any) -> Any:
        pinned = yield from real(self, steps, **more)
        if steps[0].method == "dare_linear":
            with torch.no_grad():
                next(self.model.parameters()).fill_(float("nan"))
        return pinned

    monkeypatch.setattr(in_place.Bench, "merge", poisoned)


def test_nan_costs_one_point(nan_weights: None) -> None:
    one = points_of(DESIGN, "1")[0]
    points = [LanePoint("nan", "nan", tuple(_too_large().steps(DESIGN)), TASKS)]
    events = run([*points, *lane_points([one])])
    (error,) = of_kind(events, "point_error")
    assert error["key"] == "nan" and "NaN" in error["text"]
    assert [event["key"] for event in of_kind(events, "point")] == [one.key]
    assert scores_by_key(events)[one.key] == scores_by_key(run(lane_points([one])))[one.key]
    assert events[-1]["n_failed"] == 1


def test_a_parent_that_is_gone_costs_its_points() -> None:
    points = points_of(DESIGN, "1")
    there = {name: path for name, path in FOLDERS.items() if name != "sandbox/math"}
    events = run(lane_points(points), there)
    for event in of_kind(events, "point_error"):
        assert "sandbox/math" in event["text"]
    done = {event["key"] for event in of_kind(events, "point")}
    assert done == {one.key for one in points if one.constituents == ("finance",)}
    assert len(of_kind(events, "point_error")) == len(points) - len(done)


def test_a_parent_with_other_weights_than_planned_is_told() -> None:
    point = lane_points(points_of(DESIGN, "1")[:1])[0]
    pinned = point.steps[0].pinned({"sandbox/finance": "0" * 64})
    events = run([LanePoint("k", "k", (pinned,), TASKS)])
    (error,) = of_kind(events, "point_error")
    assert "does not hold the weights that the study was planned with" in error["text"]


def test_memory_that_runs_out_costs_one_point(monkeypatch: pytest.MonkeyPatch) -> None:
    real = in_place.Bench.merge
    calls: list[int] = []

    def short(self: Any, steps: Any, **more: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return (yield from real(self, steps, **more))

    monkeypatch.setattr(in_place.Bench, "merge", short)
    points = lane_points(points_of(DESIGN, "1")[:3])
    events = run(points)
    (error,) = of_kind(events, "point_error")
    assert (error["key"], "not enough memory" in error["text"]) == (points[1].key, True)
    assert len(of_kind(events, "point")) == 2


def test_items_are_listed_once_and_scores_land_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studies.lane.LAND_SECONDS", 0.0)
    events = run(lane_points(points_of(DESIGN, "1")[:2]))
    landed = of_kind(events, "point_scores")
    assert len(landed) == 2 * len(TASKS)
    lists = [name for event in landed for name in event["lists"]]
    assert sorted(lists) == sorted(set(lists)) and len(lists) == len(TASKS)
    for event in landed:
        for score in event["scores"]:
            assert len(score["items"]) == len(score["extracted"]) == len(score["states"]) == LIMIT


def test_prepared_prompts_give_what_fresh_ones_give() -> None:
    suite = load_suite("sandbox")
    models = [load_model(FOLDERS[f"sandbox/{name}"], device="cpu") for name in ("finance", "math")]
    tokenizer = models[0][1]
    prepared = Prepared(tokenizer)

    def told(model: Any, given: Prepared | None) -> list[Any]:
        events = evaluate(model, tokenizer, suite, tasks=TASKS, limit=LIMIT, prepared=given)
        return [{**event, "seconds": 0} for event in events if event["kind"] == "score"]

    for _ in range(2):
        for model, _ in models:
            assert told(model, prepared) == told(model, None)


def test_only_the_tasks_that_are_left_are_scored() -> None:
    point = points_of(DESIGN, "1")[0]
    left = LanePoint(point.key, point.label, tuple(point.steps(DESIGN)), TASKS[1:2])
    assert list(scores_by_key(run([left]))[point.key]) == [TASKS[1]]


def test_sentences() -> None:
    assert in_a_sentence(ModelError("It is gone.")) == "It is gone."
    assert in_a_sentence(MemoryError()).startswith("There was not enough memory")
    assert in_a_sentence(RuntimeError("a\n b")) == (
        "Unexpected RuntimeError: a b. The log has the details."
    )
    answer = {"score": 1.0, "extracted": "x" * 999, "state": "right"}
    names = ("task", "domain", "metric", "value", "stderr", "n", "higher_is_better", "missing",
             "truncated", "config_hash", "prompts_hash", "seconds")  # fmt: skip
    kept = compact({**dict.fromkeys(names), "answers": [answer, {**answer, "extracted": None}]})
    assert [len(kept["extracted"][0]), kept["extracted"][1]] == [MOST_CHARACTERS, None]
