"""Search and held-out parts: no item in both, the same for every model, run and limit."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation import holdout
from evaluation.configs import config_hash, task_configs
from evaluation.errors import SuiteError
from evaluation.holdout import Part, Source, split
from evaluation.suites import load_suite
from tests.evaluation.conftest import make_model, of_kind, run, scores

SOURCES = st.lists(
    st.builds(
        Source,
        st.integers(0, 40).map("content {}".format),
        st.one_of(st.none(), st.integers(0, 6).map("company {}".format)),
    ),
    max_size=30,
)
TASKS = st.dictionaries(st.sampled_from("abcd"), SOURCES, max_size=4)
SHARES = st.floats(0.05, 0.95)


@given(TASKS, st.integers(0, 5), SHARES)
@settings(deadline=None)
def test_no_content_and_no_document_is_in_both_parts(
    tasks: dict[str, list[Source]], seed: int, share: float
) -> None:
    chosen = split(tasks, seed, share)
    parts = defaultdict(set)
    for task, sources in tasks.items():
        assert len(chosen[task]) == len(sources)
        for source, search in zip(sources, chosen[task], strict=True):
            parts["content", source.content].add(search)
            if source.cluster is not None:
                parts["cluster", source.cluster].add(search)
    assert all(len(sides) == 1 for sides in parts.values())


@given(TASKS, st.integers(0, 5), SHARES, st.randoms())
@settings(deadline=None)
def test_the_order_of_items_and_tasks_does_not_matter(
    tasks: dict[str, list[Source]], seed: int, share: float, random: Any
) -> None:
    def sides(given: dict[str, list[Source]]) -> set[tuple[str, Source, bool]]:
        chosen = split(given, seed, share)
        return {
            (task, source, search)
            for task, sources in given.items()
            for source, search in zip(sources, chosen[task], strict=True)
        }

    shuffled = {task: random.sample(tasks[task], len(tasks[task])) for task in reversed(tasks)}
    assert sides(shuffled) == sides(tasks)


@pytest.mark.parametrize("n", [1, 2, 7, 20, 201])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.75])
def test_items_that_stand_alone_are_split_to_the_item(n: int, share: float) -> None:
    tasks = {task: [Source(f"{task} {i}") for i in range(n)] for task in ("a", "b", "c")}
    for search in split(tasks, 1, share).values():
        assert abs(sum(search) - share * n) <= 0.5 + 1e-9


def test_documents_are_split_close_to_the_share_in_every_task() -> None:
    tasks = {
        task: [Source(f"{task} {i}", f"report {i % 40}") for i in range(160)] for task in "abcd"
    }
    for search in split(tasks, 3, 0.5).values():
        assert 70 <= sum(search) <= 90
        assert search[:40] == search[40:80]  # the same reports


def test_a_task_of_its_own_is_split_alike_with_and_without_others() -> None:
    alone = {"a": [Source(f"a {i}") for i in range(30)]}
    others = {"b": [Source(f"b {i}") for i in range(30)]}
    assert split({**others, **alone}, 1, 0.5)["a"] == split(alone, 1, 0.5)["a"]


def test_another_seed_is_another_split() -> None:
    tasks = {"a": [Source(str(i)) for i in range(40)]}
    assert split(tasks, 1, 0.5) == split(tasks, 1, 0.5) != split(tasks, 2, 0.5)


def test_this_very_split_stays() -> None:
    """Stored scores are stamped with a seed: a change here needs another SPLIT_VERSION."""
    tasks = {"a": [Source(str(i)) for i in range(8)], "b": [Source(str(i), "x") for i in range(3)]}
    assert holdout.SPLIT_VERSION == 1
    assert split(tasks, 1, 0.5) == FROZEN


def test_a_source_is_a_content_and_a_document() -> None:
    doc = {"q": "How much?", "company": "E0001", "picture": object()}
    assert holdout.source(doc) == holdout.source({**doc, "picture": object()})
    assert holdout.source(doc, "company").cluster == "company=E0001"
    assert holdout.source(doc, "city").cluster is None
    assert holdout.source(doc).content != holdout.source({**doc, "q": "Why?"}).content


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, float("nan")])
def test_a_share_that_empties_a_part_is_refused(share: float) -> None:
    with pytest.raises(SuiteError, match="between 0 and 1"):
        holdout.part("search", 1, share)


def test_parts_by_name() -> None:
    assert holdout.part() is None
    found = holdout.part("search", 7, 0.3)
    assert found == Part("search", 7, 0.3) and found.other == Part("held-out", 7, 0.3)
    assert holdout.of_config(found.stamp()) == found
    assert holdout.of_config({"limit": 3}) is None
    with pytest.raises(
        SuiteError, match="no part 'train' of a suite; choose one of all, search, held-out"
    ):
        holdout.part("train")


def test_the_stamp_keeps_scores_apart(suite_folder: Path) -> None:
    suite = load_suite(suite_folder / "tiny.yaml")
    hashes = [
        config_hash(task_configs(suite, part=part)["pick"])
        for part in (None, Part("search"), Part("held-out"), Part("search", 2),
                     Part("search", 1, 0.6))
    ]  # fmt: skip
    assert len(set(hashes)) == 5
    assert "part" not in task_configs(suite)["pick"]  # what was scored before stays valid


def asked(events: list[dict[str, Any]]) -> dict[str, list[int]]:
    return {t: [a["doc_id"] for a in s["answers"]] for t, s in scores(events).items()}


def test_both_parts_are_all_items_once(sandbox_pair: Any, suite_folder: Path) -> None:
    whole = scores(run(sandbox_pair, suite_folder))
    search, held = (run(sandbox_pair, suite_folder, part=part)
                    for part in (Part("search"), Part("held-out")))  # fmt: skip
    assert of_kind(search, "task_error") == of_kind(held, "task_error") == []
    for task, score in whole.items():
        both = [*scores(search)[task]["answers"], *scores(held)[task]["answers"]]
        assert sorted(a["doc_id"] for a in both) == [a["doc_id"] for a in score["answers"]]
        answers = {a["doc_id"]: (a["doc_hash"], a["output"]) for a in score["answers"]}
        assert all(answers[a["doc_id"]] == (a["doc_hash"], a["output"]) for a in both)
    assert scores(search)["pick"]["config"]["part"] == "search"
    progress = of_kind(search, "progress")
    assert progress[-1]["done"] == progress[-1]["total"] == sum(map(len, asked(search).values()))
    # free, word and rolling ask the same three documents: they are in the same part everywhere
    assert asked(search)["free"] == asked(search)["word"] == asked(search)["rolling"]


def test_every_model_is_asked_the_same_and_so_is_a_resumed_run(
    sandbox_pair: Any, suite_folder: Path
) -> None:
    first = asked(run(sandbox_pair, suite_folder, part=Part("search", 5)))
    other = make_model(sandbox_pair[1], hidden_size=36, num_attention_heads=3,
                       num_key_value_heads=3), sandbox_pair[1]  # fmt: skip
    assert asked(run(other, suite_folder, part=Part("search", 5))) == first
    for left in first:
        done = {task for task in first if task != left}
        again = asked(run(sandbox_pair, suite_folder, part=Part("search", 5), skip=done))
        assert again == {left: first[left]}
    one = asked(run(sandbox_pair, suite_folder, part=Part("search", 5), limit=1))
    assert one == {task: ids[:1] for task, ids in first.items()}


def test_a_part_without_items_is_said(sandbox_pair: Any, suite_folder: Path) -> None:
    tasks = suite_folder / "tasks"
    first = (tasks / "choices.jsonl").read_text().splitlines()[0]
    (tasks / "choices.jsonl").write_text(first)
    parts = [run(sandbox_pair, suite_folder, part=part, tasks=["pick"])
             for part in (Part("search"), Part("held-out"))]  # fmt: skip
    errors = [event["text"] for events in parts for event in of_kind(events, "task_error")]
    assert len(errors) == 1
    assert "it has no items in the" in errors[0] and "part of the split" in errors[0]


FROZEN = {"a": [True, True, True, False, False, True, False, False], "b": [True, True, True]}


def test_tasks_about_the_same_reports_are_split_together_even_when_resumed(
    sandbox_pair: Any, suite_folder: Path
) -> None:
    """Which part a report falls in depends on both tasks, also when only one is still to score."""
    tasks = suite_folder / "tasks"
    for name, reports in (("pick", [0, 0, 1, 2, 3, 3]), ("word", [2, 2, 2, 4, 4, 1, 5])):
        rows = [
            {"q": f"{name} {i}, they say", "t": "30", "c": ["30", "42"], "a": 0, "report": r}
            for i, r in enumerate(reports)
        ]
        (tasks / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
        file = tasks / f"{name}.yaml"
        text = file.read_text().replace("choices.jsonl", f"{name}.jsonl")
        text = text.replace("free.jsonl", f"{name}.jsonl")
        file.write_text(text.replace("{version: 2.0}", "{version: 2.0, cluster: report}"))
    changed = 0
    for seed in range(1, 7):
        part = Part("search", seed)
        both = asked(run(sandbox_pair, suite_folder, part=part, tasks=["pick", "word"]))
        for left in both:
            others = {"pick", "word"} - {left}
            again = run(sandbox_pair, suite_folder, part=part, tasks=["pick", "word"], skip=others)
            assert asked(again) == {left: both[left]}
        alone = {"word": [holdout.source({"i": i}, None)._replace(cluster=f"report={r}")
                          for i, r in enumerate([2, 2, 2, 4, 4, 1, 5])]}  # fmt: skip
        kept = [i for i, search in enumerate(split(alone, seed, 0.5)["word"]) if search]
        changed += kept != both.get("word")
    assert changed  # the other task does matter, or this test would hold nothing
