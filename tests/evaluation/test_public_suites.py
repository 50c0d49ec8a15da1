"""Suites over public benchmark files: read in their published form, and named when absent."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from evaluation.errors import TaskError
from evaluation.harness.tasks import load_task, quiet_harness
from evaluation.published.folder import DATA_DIR, data_folder
from evaluation.suites import list_suites, load_suite

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
NAMES = [suite.name for suite in list_suites() if suite.data]
ITEMS = {
    "jfinqa_numerical": 550, "jfinqa_consistency": 200, "jfinqa_temporal": 250,
    "tatqa_arithmetic": 699, "tatqa_count": 40, "tatqa_span": 714, "tatqa_multi_span": 210,
    "gsm8k_zero_shot": 1319, "mgsm_ja_zero_shot": 250, "mgsm_en_zero_shot": 250,
    "jcommonsenseqa_zero_shot": 1119,
}  # fmt: skip
TASKS = [
    (name, task)
    for name in NAMES
    for suite in [load_suite(name)]
    for task in suite.tasks
    if task not in suite.harness
]
published = pytest.mark.skipif(not DATA.is_dir(), reason=f"there are no public files in {DATA}")


def load(name: str, task: str) -> Any:
    suite = load_suite(name)
    with quiet_harness():
        return load_task(suite, task, dict(suite.task_files()))


@pytest.mark.parametrize("name", NAMES)
def test_a_suite_names_its_files_their_source_and_their_terms(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = load_suite(name)
    files = [file for task, file in suite.task_files().items() if task in load_suite(name).tasks]
    sources = {file.published: file.published_at for file in files}
    assert suite.data == sources
    assert all(source.startswith("https://") for source in sources.values())
    assert suite.licence
    monkeypatch.setenv(DATA_DIR, str(tmp_path))
    assert suite.missing == suite.data and not suite.ready
    for file in suite.data:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    assert suite.ready


def test_suites_without_files_of_others_come_first() -> None:
    suites = list_suites()
    assert suites[0].name == "sandbox" and suites[0].ready
    assert [bool(suite.data) for suite in suites] == sorted(bool(suite.data) for suite in suites)


def test_a_relative_folder_counts_from_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATA_DIR, "some/where")
    assert data_folder() == Path(__file__).resolve().parents[2] / "some" / "where"
    monkeypatch.delenv(DATA_DIR)
    assert data_folder().name == "benchmarks"


@published
@pytest.mark.parametrize(("name", "task"), [one for one in TASKS if one[1] in ITEMS])
def test_published_files_are_read_and_their_gold_answers_are_right(
    name: str, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DATA_DIR, str(DATA))
    loaded = load(name, task)
    assert len(loaded.eval_docs) == ITEMS[task]
    assert all(doc["question"].strip() in loaded.doc_to_text(doc) for doc in loaded.eval_docs)
    if loaded.OUTPUT_TYPE == "multiple_choice":
        assert all(0 <= doc["target"] < len(doc["choices"]) == 5 for doc in loaded.eval_docs)
        return
    for doc in loaded.eval_docs:
        gold = doc["target"] if isinstance(doc["target"], str) else ", ".join(doc["target"])
        assert loaded.process_results(doc, [f"Answer: {gold}"])["acc"] == 1, doc
        # A wrong figure without a unit is at most right after rescaling, which is marked.
        wrong = loaded.process_results(doc, ["Answer: 98765.4321"])
        assert wrong["acc"] == wrong["rescaled"], doc
        assert loaded.process_results(doc, [""])["missing"] == 1
    field = (loaded.config.metadata or {}).get("cluster")
    assert field is None or len({doc[field] for doc in loaded.eval_docs}) > 20


@pytest.mark.parametrize(("name", "task"), TASKS)
def test_an_absent_file_is_one_sentence(
    name: str, task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DATA_DIR, str(tmp_path))
    with pytest.raises(TaskError) as caught:
        load(name, task)
    file = load_suite(name).task_files()[task]
    said = str(caught.value)
    assert file.published in said and str(tmp_path) in said and file.published_at in said
    assert "--data-dir" in said and "\n" not in said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "cannot be read|is not JSON"),
        ('[{"a": 1}]', "not in the published form .*KeyError"),
        ("[]", "no such items|has no documents"),
    ],
)
@pytest.mark.parametrize("task", ["jfinqa_numerical", "tatqa_count", "gsm8k_zero_shot"])
def test_a_file_of_another_form_is_one_sentence(
    task: str, content: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DATA_DIR, str(tmp_path))
    name = next(name for name, one in TASKS if one == task)
    path = tmp_path / load_suite(name).task_files()[task].published
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(TaskError, match=said) as caught:
        load(name, task)
    assert str(path) in str(caught.value) and not re.search("\n", str(caught.value))


def test_the_rest_of_a_suite_goes_on_without_a_file(
    sandbox_pair: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evaluation.run import evaluate

    rows = [f"What is {i} + 1?\t{i + 1}\n" for i in range(3)]
    (tmp_path / "mgsm").mkdir()
    (tmp_path / "mgsm" / "mgsm_en.tsv").write_text("".join(rows))
    monkeypatch.setenv(DATA_DIR, str(tmp_path))
    asked = ["mgsm_ja_zero_shot", "mgsm_en_zero_shot"]
    suite = load_suite("general-ja-math")
    suite = suite.model_copy(update={"settings": suite.settings.model_copy(
        update={"max_gen_toks": 4})})  # fmt: skip
    *_, result = evaluate(*sandbox_pair, suite, tasks=asked)
    assert list(result["scores"]) == ["mgsm_en_zero_shot"]
    assert "mgsm_ja.tsv" in result["errors"]["mgsm_ja_zero_shot"]


def test_the_file_is_part_of_what_makes_scores_comparable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DATA_DIR, str(tmp_path))
    file = load_suite("general-ja-math").task_files()["gsm8k_zero_shot"]
    (tmp_path / "gsm8k").mkdir()
    row = {"question": "1 + 1?", "answer": "#### 2"}
    hashes = set()
    for text in ("1 + 1?", "1 plus 1?"):
        (tmp_path / file.published).write_text(json.dumps(row | {"question": text}))
        hashes.add(file.content_hash())
    assert len(hashes) == 2


def test_the_harness_itself_runs_these_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lm_eval import simple_evaluate
    from lm_eval.api.model import LM
    from lm_eval.tasks import TaskManager

    class Parrot(LM):  # type: ignore[misc, unused-ignore]
        def generate_until(self, requests: list[Any]) -> Any:
            return ["The answer is 2.", "who knows"]

        loglikelihood = loglikelihood_rolling = generate_until

    (tmp_path / "mgsm").mkdir()
    (tmp_path / "mgsm" / "mgsm_en.tsv").write_text("What is 1 + 1?\t2\nWhat is 2 + 2?\t4\n")
    monkeypatch.setenv(DATA_DIR, str(tmp_path))
    name = "mgsm_en_zero_shot"
    folder = load_suite("general-ja-math").task_files()[name].path.parent
    tasks = TaskManager(include_path=str(folder), include_defaults=False)
    with quiet_harness():
        found = simple_evaluate(Parrot(), tasks=[name], task_manager=tasks, bootstrap_iters=0)
    scored = found["results"][name]
    assert (scored["acc,none"], scored["missing,none"], scored["truncated,none"]) == (0.5, 0.5, 0)
