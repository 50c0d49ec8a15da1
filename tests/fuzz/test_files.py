"""Suites, their settings and tasks; studies; searches; results of other programs; chat."""

from __future__ import annotations

import importlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from chat import child
from evaluation.harness.task_files import index_task_files, read_task_file
from evaluation.suites import files as suite_files
from evaluation.suites import load_suite
from evaluation.suites import settings as suite_settings
from jobs.models import names
from jobs.scores import exchange_in
from pages.components.scores.filters import matcher
from studies.design import Design
from tests.fuzz.judged import in_time, inputs, judge
from tests.fuzz.test_recipes import pieces
from tests.fuzz.texts import NASTY, broken, documents, leaves, trees

pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")
PROJECT = Path(__file__).resolve().parents[2]


def shipped(folder: str) -> list[Any]:
    return [yaml.safe_load(path.read_text()) for path in sorted((PROJECT / folder).glob("*.yaml"))]


SUITES = shipped("evaluation/suites/shipped")
SUITE_KEYS = [
    "name",
    "title",
    "groups",
    "tasks",
    "settings",
    "include",
    "task_settings",
    "path",
    "description",
    "revisions",
    "chance",
    "ref",
    "harness",
]


def test_suites(tmp_path: Path) -> None:
    @inputs(60, slow=True)
    @given(documents(SUITES, SUITE_KEYS))
    def fuzz(text: str) -> None:
        file = tmp_path / "suite.yaml"
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
        judge(lambda: suite_files.read(file), "suite")
        judge(lambda: load_suite(str(file)), "suite loaded")

    fuzz()


@inputs(12, slow=True)
@given(st.text(max_size=40) | st.sampled_from(NASTY).map(str))
def test_references_to_suites(text: str) -> None:
    for ref in (
        text,
        f"sandbox@{text}",
        f"tasks:{text}",
        f"sandbox@num_fewshot={text}",
        f"{text}.yaml",
    ):
        judge(lambda ref=ref: load_suite(ref), "reference to a suite")  # type: ignore[misc]


@inputs(60)
@given(st.dictionaries(st.sampled_from(suite_settings.RUN_SETTINGS) | st.text(max_size=8), trees))
def test_settings(values: dict[str, Any]) -> None:
    judge(lambda: suite_settings.parse(values, "here"), "settings")
    text = json.dumps(values, default=str)
    judge(lambda: suite_settings.parse(text, "here"), "settings as JSON")
    pairs = ",".join(f"{key}={value}" for key, value in values.items())
    judge(lambda: suite_settings.parse(pairs, "here"), "settings as pairs")


TASKS = [
    yaml.load(path.read_text(), yaml.BaseLoader)
    for path in sorted((PROJECT / "sandbox" / "tasks").glob("*.yaml"))
]
TASK_KEYS = ["task", "include", "dataset_kwargs", "metadata", "metric_list", "doc_to_text", "group"]


def test_task_files(tmp_path: Path) -> None:
    @inputs(60)
    @given(documents(TASKS, TASK_KEYS))
    def fuzz(text: str) -> None:
        file = tmp_path / "task.yaml"
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
        read = judge(lambda: read_task_file(file), "task file")
        assert read is not None
        if read.problem is None:
            judge(lambda: (read.version, read.published, read.published_at), "task file used")
            judge(read.content_hash, "task file hashed")
        judge(lambda: index_task_files([tmp_path]), "task files indexed")

    fuzz()


STUDIES = shipped("recipes/studies")


@inputs(80)
@given(documents(STUDIES, [*Design.model_fields, "grid", "method", "seeds", "model", "scale"]))
def test_studies(text: str) -> None:
    design = judge(lambda: Design.from_yaml(text), "study")
    if design is None:
        return
    judge(design.counts, "study counted")
    again = judge(lambda: Design.from_yaml(design.to_yaml()), "study read again")
    assert again is not None and again.hash == design.hash


SEARCHES = shipped("recipes/searches") or [
    {
        "name": "s",
        "suite": "sandbox",
        "trials": 4,
        "sampler": "tpe",
        "objectives": [{"tasks": "all"}],
        "recipe": {"method": "linear", "models": [{"model": "a"}, {"model": "b"}]},
        "space": {"weights": {"a": [0, 1]}},
    }
]


@inputs(80)
@given(
    documents(SEARCHES, ["recipe", "space", "objectives", "sampler", "trials", "seed", "weights"])
)
def test_searches(text: str) -> None:
    design = importlib.import_module("search.design").SearchDesign
    found = judge(lambda: design.from_yaml(text), "search")
    if found is not None:
        again = judge(lambda: design.from_yaml(found.to_yaml()), "search read again")
        assert again is not None and again.hash == found.hash


RESULTS: list[Any] = [
    {
        "results": {"t": {"alias": "t", "acc,none": 0.5, "acc_stderr,none": 0.1}},
        "configs": {
            "t": {
                "task": "t",
                "num_fewshot": 2,
                "metadata": {"version": 1},
                "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
                "filter_list": [{"name": "none"}],
            }
        },
        "versions": {"t": 1},
        "n-shot": {"t": 2},
        "higher_is_better": {"t": {"acc": True}},
        "n-samples": {"t": {"original": 2, "effective": 2}},
        "lm_eval_version": "0.4.9",
        "config": {
            "model": "hf",
            "model_args": "pretrained=org/m,dtype=float32",
            "limit": None,
            "gen_kwargs": None,
        },
    },
    {
        "results": {"chabsa-1.0-0.1": {"acc": 0.85, "f1": 0.875}},
        "versions": {"chabsa-1.0-0.1": 1.0},
        "config": {"model_args": "pretrained=x", "num_fewshot": [0], "limit": 5},
    },
]
ROWS: list[Any] = [
    {
        "doc_id": n,
        "doc": {"q": "a"},
        "target": "b",
        "arguments": [["q", "b"]],
        "resps": [[[-1.0, True]]],
        "filtered_resps": [[-1.0, True]],
        "filter": "none",
        "metrics": ["acc"],
        "acc": float(n),
        "doc_hash": "d",
        "prompt_hash": "p",
        "target_hash": "t",
    }
    for n in (0, 1)
]
RESULT_KEYS = [
    "results",
    "configs",
    "versions",
    "n-shot",
    "config",
    "samples",
    "groups",
    "crucible",
    "group_subtasks",
    "higher_is_better",
    "n-samples",
    "acc,none",
    "doc_id",
    "resps",
    "arguments",
    "filter",
    "acc",
    "model_args",
    "metric_list",
    "left_out",
]
BOMBS = [
    "[" * 50_000,
    '{"results":' * 20_000,
    '{"results": {"t": {"acc": ' + "9" * 5000 + "}}}",
    '{"results": {"t": {"acc": 1e999}}}',
    '{"results": {"\\ud800": {"acc": 1}}}',
]


def as_json(tree: Any) -> bytes:
    return json.dumps(tree, default=str).encode("utf-8", "surrogatepass")


@inputs(120)
@given(
    broken(RESULTS, RESULT_KEYS).map(as_json)
    | trees.map(as_json)
    | st.sampled_from(BOMBS).map(str.encode)
    | st.binary(max_size=50)
    | st.just(as_json(RESULTS[0])),
    st.none() | st.lists(broken(ROWS, RESULT_KEYS) | st.sampled_from(ROWS), max_size=3),
)
def test_imported_results(results: bytes, rows: list[Any] | None) -> None:
    given_files = {"results_x.json": results}
    if rows is not None:
        given_files["samples_t.jsonl"] = b"\n".join(map(as_json, rows))
    judge(lambda: exchange_in.read_texts(given_files), "imported results")


class Shelf:
    """Holds no model: loading one is not what is asked here."""

    def holds(self, folder: str) -> bool:
        return False

    def take(self, folder: str, label: str, trusted_code: tuple[str, ...] = ()) -> Any:
        from chat.errors import ChatError

        raise ChatError("There is no model.")

    def clear(self) -> None:
        pass


REQUESTS: list[Any] = [
    {
        "do": "chat",
        "id": 1,
        "turns": [
            {
                "folder": "/x",
                "label": "x",
                "mode": "chat",
                "messages": [{"role": "user", "content": "Hi"}],
            }
        ],
        "settings": {"temperature": 0.5},
    },
    {"do": "stop", "id": 1},
    {"do": "unload"},
]
REQUEST_KEYS = [
    "do",
    "id",
    "turns",
    "settings",
    "messages",
    "role",
    "content",
    "temperature",
    "top_p",
    "max_new_tokens",
    "seed",
    "folder",
    "trusted_code",
]


@inputs(120)
@given(
    st.lists(
        broken(REQUESTS, REQUEST_KEYS).map(as_json)
        | trees.map(as_json)
        | st.binary(max_size=30)
        | st.sampled_from(["[" * 5000, "9" * 5000, "{}", "null"]).map(str.encode),
        max_size=4,
    )
)
def test_chat_requests(lines: list[bytes]) -> None:
    """Whatever a line holds, the process answers in its own form or passes it over."""
    out = io.BytesIO()
    inbox = child.Inbox(io.BytesIO(b"".join(one.replace(b"\n", b" ") + b"\n" for one in lines)))
    speaker = child.Speaker(out, inbox, Shelf())

    def serve() -> None:
        inbox.read()
        while not inbox.requests.empty():
            speaker.answer(inbox.requests.get())

    judge(serve, "chat requests")
    for line in out.getvalue().splitlines():
        assert "event" in json.loads(line)


@inputs(80)
@given(st.text(max_size=130) | leaves.map(str))
def test_names(name: str) -> None:
    """A name that is taken becomes one part of a path, below its folder."""
    taken = judge(lambda: names.check(name), "name")
    if taken is None:
        return
    folder = names.folder(taken)
    assert Path("/home/models", folder).resolve().parent == Path("/home/models")
    assert len(folder.encode()) <= 255 and "\x00" not in folder


@inputs(80)
@given(st.lists(pieces, max_size=14).map("".join) | st.text(max_size=20))
def test_searching_the_leaderboard_ends(text: str) -> None:
    """What is typed (or stands in a link) searches as a pattern or as plain text, at once."""
    with in_time():
        fits, _ = matcher(text)
        for name in ("a" * 100, "x" * 99 + "!", "finance-instruct"):
            fits(name)
