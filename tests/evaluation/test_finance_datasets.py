"""The financial datasets in their published forms: what is asked, what is right, what not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from evaluation.errors import SuiteError, TaskError
from evaluation.harness.tasks import load_task, quiet_harness
from evaluation.published.folder import DATA_DIR
from evaluation.published.prompt_versions import VERSIONS
from evaluation.suites import load_suite
from tests.evaluation import published as made
from tests.evaluation.conftest import of_kind, scores

HARNESS = made.HARNESS


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(DATA_DIR, str(tmp_path))
    return made.write_everything(tmp_path)


def load(task: str, ref: str = "finance-18") -> Any:
    suite = load_suite(ref)
    with quiet_harness():
        return load_task(suite, task, dict(suite.task_files()))


def asked(task: Any) -> list[tuple[str, Any]]:
    """(prompt, right answer in words) of each document."""
    found = []
    for doc in task.eval_docs:
        choices = task.doc_to_choice(doc) if task.OUTPUT_TYPE == "multiple_choice" else None
        target = task.doc_to_target(doc)
        found.append((task.doc_to_text(doc), choices[target] if choices and isinstance(target, int)
                      else target))  # fmt: skip
    return found


def test_eighteen_tasks_from_eight_datasets(folder: Path) -> None:
    suite = load_suite("finance-18")
    assert len(suite.tasks) == 18 and suite.ready and suite.non_commercial
    assert len({name.split("/")[0] for name in suite.data}) == 8
    assert "could not be reproduced word for word" in " ".join(suite.description.split())


def test_english_labels(folder: Path) -> None:
    (sentence, _), *_ = phrases = asked(load("fpb"))
    assert [right for _, right in phrases] == ["positive", "neutral", "negative"]
    assert sentence.startswith("News: Sales of Altane rose to EUR 5 mn .\n")
    assert "It has 30 people @ work ." in phrases[1][0]
    fiqa = asked(load("fiqa_sa"))
    assert [right for _, right in fiqa] == ["positive", "neutral", "negative"]
    assert "for Deltor?" in fiqa[2][0]
    assert [right for _, right in asked(load("fomc"))] == ["hawkish", "dovish", "neutral"]
    headlines = asked(load("headlines"))
    assert len(headlines) == 12
    assert [right for _, right in headlines[:6]] == ["Yes", "No", "No", "Yes", "Yes", "No"]


def test_conversations_show_earlier_turns_with_their_answers(folder: Path) -> None:
    first, second, third = asked(load("convfinqa"))
    assert [first[1], second[1], third[1]] == ["30", "20", "0.5"]
    assert first[0].count("Question:") == 1 and third[0].count("Question:") == 3
    assert "what were sales in 2001?\nAnswer: 30\n" in third[0]
    assert third[0].endswith("Question: what is the growth?\nAnswer:")
    assert "| sales | 30 | 20 |" in third[0] and "All in millions ." in third[0]
    task = load("convfinqa")
    graded = task.process_results(task.eval_docs[2], ["Answer: 50%"])
    assert graded["acc"] == 1


def test_docmath_direct_and_by_steps(folder: Path) -> None:
    direct, steps = load("docmath_complong_direct"), load("docmath_complong_cot")
    doc = direct.eval_docs[0]
    assert "| 2001 | 30 |" in direct.doc_to_text(doc) and direct.doc_to_text(
        doc
    ) != steps.doc_to_text(doc)
    for task, reply in ((direct, " 50"), (steps, "20 + 30 = 50. Therefore, the answer is 50.0.")):
        assert task.process_results(doc, [reply])["acc"] == 1
        assert task.process_results(doc, ["51"])["acc"] == 0


def test_parquet_zip_and_loose_files_are_the_same_data(folder: Path) -> None:
    before = {task: asked(load(task)) for task in ("fomc", "convfinqa", "docmath_simpshort_cot",
                                                  "chabsa", "fpb")}  # fmt: skip
    for name in ("fomc", "convfinqa", "docmath", "chabsa", "fpb"):
        shutil.rmtree(folder / name)
    made.write_parquet(folder, "fomc/data/test-00000-of-00001.parquet", made.FOMC)
    made.write_zip(folder, "convfinqa/data.zip",
                   {"data/dev_turn.json": json.dumps(made.CONVFINQA).encode()})  # fmt: skip
    made.write_parquet(
        folder, "docmath/data/simpshort_testmini-00000-of-00001.parquet", made.DOCMATH
    )
    for i, one in enumerate(made.CHABSA):
        made.write(folder, f"chabsa/chABSA-dataset/e0000{i}_ann.json", json.dumps(one))
    made.write(folder, "fpb/FinancialPhraseBank-v1.0/Sentences_50Agree.txt",
               "\n".join(made.PHRASES))  # fmt: skip
    assert {task: asked(load(task)) for task in before} == before


def test_exams_in_their_own_words(folder: Path) -> None:
    (prompt, right), *_ = asked(load("cma_basics"))
    assert prompt == "質問:正しいものはどれか。\n選択肢:\n- 売る\n- 買う\n- 待つ\n- 休む\n回答:"
    assert right == "売る"
    (prompt, right), *_ = asked(load("fp2", "japanese-finance-5@prompt_version=1.0"))
    assert (
        prompt == "【問題】\n正しいものはどれか。\n１．売る\n２．買う\n\n【答え】\n"
        and right == "１"
    )
    letters = load("fp2", "japanese-finance-5@prompt_version=0.1.2")
    assert [right for _, right in asked(letters)] == ["A", "B", "C"]
    audit = asked(load("cpa_audit"))
    assert [right for _, right in audit] == ["アウ", "ウエ"]
    assert "ア: はい。\nエ: いいえ。" in audit[1][0]
    sales = load("security_sales_1", "japanese-finance-5@prompt_version=default")
    assert sales.doc_to_choice(sales.eval_docs[0]) == ["A", "B"]


def test_chabsa_keeps_neutral_rows_which_nobody_can_answer(folder: Path) -> None:
    task = load("chabsa")
    assert len(task.eval_docs) == 6
    assert [doc["polarity"] for doc in list(task.eval_docs)[:3]] == [
        "positive",
        "negative",
        "neutral",
    ]
    says = {"positive": [(0.0, True), (-1.0, False)], "negative": [(-1.0, False), (0.0, True)]}
    said = [says.get(doc["polarity"], says["positive"]) for doc in task.eval_docs]
    perfect = [
        task.process_results(doc, answer)["f1"]
        for doc, answer in zip(task.eval_docs, said, strict=True)
    ]
    # Positive: precision 2/4, recall 1; negative: 1; neutral: 0. (2/3 + 1 + 0) / 3 x 1.5
    assert task.aggregation()["f1"](perfect) == pytest.approx((2 / 3 + 1) / 3 * 1.5)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_prompt_version_can_be_asked_of_all_five(folder: Path, version: str) -> None:
    ref = f"japanese-finance-5@prompt_version={version}"
    suite = load_suite(ref)
    for name in suite.tasks:
        task = load(name, ref)
        text = task.fewshot_context(task.eval_docs[0], num_fewshot=0)
        assert text.startswith(task.config.description) and len(task.config.description) > 20
        assert "{sentence}" not in text and "正しい" in text or "売上高" in text


def test_a_version_is_part_of_what_makes_scores_comparable(folder: Path) -> None:
    from evaluation.configs import config_hash, task_configs

    def hashes(ref: str) -> dict[str, str]:
        return {t: config_hash(c) for t, c in task_configs(load_suite(ref)).items()}

    plain = hashes("japanese-finance-5")
    assert hashes("japanese-finance-5@prompt_version=0.2.1") == plain  # the same in other words
    other = hashes("japanese-finance-5@prompt_version=0.3")
    assert all(other[task] != plain[task] for task in plain)


def test_a_version_that_there_is_not_is_refused() -> None:
    with pytest.raises(SuiteError, match="no prompt version '0.9'; there are 1.0"):
        load_suite("japanese-finance-5@prompt_version=0.9")
    with pytest.raises(SuiteError, match="Japanese financial harness's tasks only"):
        load_suite("sandbox@prompt_version=0.2")


def rewrite(folder: Path, task: str) -> None:
    if task == "fomc":
        made.write(folder, "fomc/test.csv", "sentence,lable\nx,1\n")
    elif task == "fiqa_sa":
        made.write(folder, "fiqa/test.parquet", "not parquet")
    elif task == "fpb":
        made.write(folder, "fpb/FinancialPhraseBank-v1.0.zip", "not a zip")
    elif task == "headlines":
        made.write_csv(
            folder, "headlines/test.csv", [made.HEADLINES[0] | {"Past Information": "?"}]
        )
    elif task == "convfinqa":
        made.write(folder, "convfinqa/dev_turn.json", '[{"id": "x"}]')
    elif task == "docmath_simpshort_cot":
        made.write(folder, "docmath/simpshort_testmini.json", "[]")
    elif task == "chabsa":
        made.write_zip(folder, "chabsa/chABSA-dataset.zip", {"a_ann.json": b"{}"})
    elif task == "cpa_audit":
        made.write_xlsx(folder, f"{HARNESS}/cpa/CPA_AUDIT.xlsx", [{"question": "x", "a_no": 1}])
    else:
        made.write(folder, f"{HARNESS}/{task}/data.json", '{"data": [{"id": 1}]}')


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("fomc", "no column or field 'label'"),
        ("fiqa_sa", "cannot be read"),
        ("fpb", "cannot be read .*zip"),
        ("headlines", r"'\?' is neither 0 nor 1"),
        ("convfinqa", "no column or field 'annotation'"),
        ("docmath_simpshort_cot", "no such items"),
        ("chabsa", "no column or field 'sentences'"),
        ("cpa_audit", "no column or field '1'"),
        ("cma_basics", "no column or field 'choices'"),
    ],
)
def test_a_file_of_another_form_is_one_sentence(folder: Path, task: str, said: str) -> None:
    rewrite(folder, task)
    with pytest.raises(TaskError, match=said) as caught:
        load(task)
    assert str(folder) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("choices", [1, 0])
def test_one_choice_and_no_choice_are_the_items_fault(
    folder: Path, sandbox_pair: Any, choices: int
) -> None:
    from evaluation.run import evaluate

    data = made.exam()
    data["data"][1] |= {"choices": data["data"][1]["choices"][:choices], "answer": 0}
    made.write(folder, f"{HARNESS}/cma_basics/data.json", json.dumps(data))
    suite = load_suite("japanese-finance-5")
    events = list(evaluate(*sandbox_pair, suite, tasks=["cma_basics", "fp2"]))
    assert not of_kind(events, "task_error")
    found = scores(events)
    assert set(found) == {"cma_basics", "fp2"}
    assert found["cma_basics"]["n"] == len(data["data"]) - 1
    assert [item["doc_id"] for item in found["cma_basics"]["left_out"]] == [1]


def test_the_whole_suite_is_scored(folder: Path, sandbox_pair: Any) -> None:
    from evaluation.run import evaluate

    (folder / "fiqa" / "test.parquet").unlink()
    suite = load_suite("finance-18@max_gen_toks=4")
    events = list(evaluate(*sandbox_pair, suite, limit=3))
    found = scores(events)
    assert set(found) == set(suite.tasks) - {"fiqa_sa"}
    assert "fiqa/test.parquet" in events[-1]["errors"]["fiqa_sa"]
    assert found["fpb"]["metric"] == "f1" and 0 <= found["fpb"]["value"] <= 1
    assert found["chabsa"]["stderr"] is not None
    assert found["fomc"]["config"]["data"] == "data folder"


def test_a_version_brings_its_instruction_and_its_delimiter(folder: Path) -> None:
    def chabsa(version: str) -> Any:
        return load("chabsa", f"japanese-finance-5@prompt_version={version}")

    nearest, other = chabsa("0.2.1"), chabsa("0.2")
    assert nearest.doc_to_text(nearest.eval_docs[0]) == other.doc_to_text(other.eval_docs[0])
    assert nearest.config.description == other.config.description
    assert "ターゲットに関するセンチメント" in nearest.config.description
    assert "ターゲット]: 売上高" in (first := chabsa("0.1")).doc_to_text(first.eval_docs[0])
    assert (chabsa("0.3").config.target_delimiter, other.config.target_delimiter) == ("", " ")
    alpaca = load("cma_basics", "japanese-finance-5@prompt_version=0.3")
    assert alpaca.config.description.startswith("以下は、タスクを説明する指示と")
    assert alpaca.config.target_delimiter == ""
