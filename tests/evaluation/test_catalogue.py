"""lm-eval's names: found without it, expanded as it does, misspelt names told apart."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evaluation.errors import SuiteError
from evaluation.harness import catalogue as names
from evaluation.harness import groups
from evaluation.harness.catalogue import Catalogue, Entry, catalogue
from evaluation.harness.group_totals import group_totals
from evaluation.harness.groups import GroupScore, expand
from evaluation.harness.task_files import read_config
from evaluation.suites import load_suite

FILES = {
    "a.yaml": "task: alpha\ntag: letters\n",
    "b.yaml": "task: beta\ntag: [letters, late]\n",
    "c.yaml": "task: gamma\ninclude: _base\n",
    "_base": "tag: greek\n",
    "g1.yaml": "group: inner\ntask: [letters]\naggregate_metric_list: {metric: exact_match}\n",
    "g2.yaml": "group: outer\ntask:\n  - inner\n  - {task: gamma, num_fewshot: 3}\n"
    "  - group: new\n    task: [delta]\n"
    "aggregate_metric_list: [{metric: acc, weight_by_size: false}]\n",
    "g3.yaml": "group: shots\ntask: [inner, {task: loose, dataset_path: json, output_type: "
    "generate_until, dataset_kwargs: {data_files: DATA}, test_split: train, doc_to_text: q, "
    "doc_to_target: t}]\nnum_fewshot: 2\n",
    "d.yaml": "task: delta\n",
}
BODY = """
dataset_path: json
dataset_kwargs: {data_files: DATA}
test_split: train
fewshot_split: train
output_type: generate_until
doc_to_text: q
doc_to_target: t
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of tasks, groups and tags in place of lm-eval's own."""
    data = tmp_path / "data.jsonl"
    data.write_text(
        '{"q": "1 + 1", "t": "2"}\n{"q": "1 + 2", "t": "3"}\n{"q": "2 + 2", "t": "4"}\n'
    )
    for name, text in FILES.items():
        body = BODY if text.startswith("task:") else ""
        (tmp_path / name).write_text((text + body).replace("DATA", str(data)))
    monkeypatch.setattr(names, "tasks_folder", lambda: tmp_path)
    monkeypatch.setattr(groups, "tasks_folder", lambda: tmp_path)
    monkeypatch.setenv("CRUCIBLE_HOME", str(tmp_path / "home"))
    return tmp_path


def test_the_shipped_index_is_of_the_installed_version() -> None:
    """Raise the pin of lm-eval, and `python cli.py tasks --refresh` makes the file to ship."""
    assert names.catalogue_path(names.installed_version()) is not None
    known = catalogue()
    assert len(known.entries) > 14_000
    assert known.entries["mmlu_anatomy"].dataset == "cais/mmlu"
    assert known.entries["hellaswag"].output == "multiple_choice"
    assert known.entries["mmlu"].kind == "group"
    folder = names.tasks_folder()
    assert folder is not None and (folder / known.entries["gsm8k"].path).is_file()


def test_names_are_found_without_lm_eval() -> None:
    code = (
        "import sys; from evaluation.suites import load_suite;"
        "assert len(load_suite('tasks:mmlu_stem').tasks) > 10;"
        "print([m for m in ('torch', 'transformers', 'lm_eval', 'datasets') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert shown.stdout.strip() == "[]", shown.stderr


def test_an_index_is_made_kept_and_read(folder: Path) -> None:
    *_, result = names.build()
    assert result["names"] == 4 + 3 + 3  # tasks, groups, tags
    known = catalogue()
    assert known.entries["letters"] == Entry("letters", "tag", members=("alpha", "beta"))
    assert known.entries["greek"].members == ("gamma",)
    path = Path(result["path"])
    path.write_bytes(path.read_bytes()[:40])  # cut off: as good as none, and no crash
    assert catalogue().entries == {}


@pytest.mark.parametrize("name", ["alpha", "letters", "inner", "outer", "shots"])
def test_groups_are_what_the_harness_makes_of_them(folder: Path, name: str) -> None:
    from lm_eval.tasks import TaskManager

    list(names.build())
    leaves, scores = expand(name, catalogue(), read_config)
    theirs = TaskManager(include_path=str(folder), include_defaults=False).load([name])
    assert [leaf.name for leaf in leaves] == list(theirs["tasks"])
    for leaf in leaves:
        want = theirs["tasks"][leaf.name].config.num_fewshot
        own = read_config(leaf.path).get("num_fewshot") if leaf.path else None
        assert leaf.overrides.get("num_fewshot", own) == want, leaf
    joined = {group.name: group for group in scores}
    for group in theirs.get("groups", {}).values():
        if group.has_aggregation:
            mine = joined[group.name]
            assert set(mine.members) == {task.task_name for task in group.get_all_tasks()}
            assert mine.weight_by_size == group.aggregate_metric_list[0].weight_by_size


def test_a_groups_own_words_reach_the_task(folder: Path, sandbox_pair: Any) -> None:
    from evaluation.run import evaluate

    list(names.build())
    suite = load_suite("tasks:shots@max_gen_toks=2")
    *events, result = evaluate(*sandbox_pair, suite)
    assert set(result["scores"]) == {"alpha", "beta", "shots::loose"}, result["errors"]
    (inner,) = result["groups"].values()  # of `shots` itself, no joint score is asked for
    assert inner["n"] == 6 and inner["tasks"] == 2 and inner["metric"] == "exact_match"
    (alpha,) = [e for e in events if e["kind"] == "score" and e["task"] == "alpha"]
    assert alpha["domain"] == "shots"


def test_misspelt_names_get_the_nearest() -> None:
    with pytest.raises(SuiteError, match="lm-eval does not have. Did you mean 'mmlu_anatomy'"):
        load_suite("tasks:mmlu_anatmy")
    with pytest.raises(SuiteError, match="'mmlu_anatomy' is named twice"):
        load_suite("tasks:mmlu_stem+mmlu_anatomy")
    with pytest.raises(SuiteError, match="at least one task"):
        load_suite("tasks:+")


def test_without_an_index_the_sentence_says_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(names, "installed_version", lambda: "9.9")
    monkeypatch.setenv("CRUCIBLE_HOME", str(tmp_path))
    assert not names.is_current()
    with pytest.raises(SuiteError, match="not indexed yet: `python cli.py tasks --refresh`"):
        load_suite("tasks:gsm8k")


def test_search_puts_groups_and_short_names_first() -> None:
    found = catalogue().search("mmlu stem", most=5)
    assert found[0].kind == "group" and all("stem" in e.name.casefold() for e in found)
    assert Catalogue("0").search("x") == []


def test_a_groups_score_is_the_harnesss() -> None:
    from lm_eval.api.metrics import aggregate_subtask_metrics

    rows = {
        "a": {"n": 10, "metrics": {"acc": {"value": 0.5, "stderr": 0.1}}},
        "b": {"n": 30, "metrics": {"acc": {"value": 0.9, "stderr": 0.02}}},
    }
    for weighted in (True, False):
        group = GroupScore("g", ("a", "b"), "acc", weighted)
        total = group_totals([group], rows)["g"]
        assert total["value"] == pytest.approx(
            aggregate_subtask_metrics([0.5, 0.9], [10, 30], weighted)
        )
        assert total["n"] == 40
    # By size: sqrt((10 x 0.1)^2 + (30 x 0.02)^2) / 40
    sized = group_totals([GroupScore("g", ("a", "b"), "acc", True)], rows)["g"]
    assert sized["stderr"] == pytest.approx((1 + 0.36) ** 0.5 / 40)
    assert group_totals([GroupScore("g", ("a", "c"), "acc", True)], rows) == {}
