"""Awkward replies, Japanese and English: what is read, and whether it is right."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from evaluation.extraction import grade
from evaluation.extraction.compare import match
from evaluation.extraction.cues import find_number, own_words
from evaluation.extraction.grade import grade_number, grade_words, read_target
from evaluation.extraction.numbers import normalise, quantities, read_amount
from evaluation.extraction.reply import Reply
from tests.evaluation.conftest import of_kind, run, scores


@pytest.mark.parametrize(
    ("text", "value", "kind"),
    [
        ("3億円", 3e8, "money"),
        ("3百万円", 3e6, "money"),
        ("1億2,000万円", 1.2e8, "money"),
        ("1億 2,000万円", 1.2e8, "money"),
        ("120百万円", 1.2e8, "money"),
        ("2兆3,456億円", 2.3456e12, "money"),
        ("5億2千3百万円", 5.23e8, "money"),
        ("(1,234)百万円", -1.234e9, "money"),
        ("12万3456", 123456, ""),
        ("三億二千万円", 3.2e8, "money"),
        ("二十五パーセント", 25, "percent"),
        ("百五円", 105, "money"),
        ("一〇五円", 105, "money"),
        ("１２,３４５円", 12345, "money"),
        ("△5.2%", -5.2, "percent"),
        ("▲1,234", -1234, ""),
        ("−5", -5, ""),
        ("–5", -5, ""),
        ("マイナス3.2%", -3.2, "percent"),
        ("+3.2%", 3.2, "percent"),
        ("(3.1)", -3.1, ""),
        ("($12.5 million)", -12.5e6, "money"),
        ("-$5", -5, "money"),
        ("$-5", -5, "money"),
        ("3割5分", 35, "percent"),
        ("3割", 30, "percent"),
        ("三分の一", 1 / 3, ""),
        ("4分の3", 0.75, ""),
        ("3/4", 0.75, ""),
        ("1 1/2", 1.5, ""),
        (r"\frac{3}{4}", 0.75, ""),
        (r"4.67\%", 4.67, "percent"),
        (r"\( 4.67\% \)", 4.67, "percent"),
        (r"$4.67\%$", 4.67, "percent"),
        ("- 42 eggs", 42, ""),
        ("= - 42", -42, ""),
        ("12{,}345", 12345, ""),
        ("-210bps", -2.1, "percent"),
        ("25 basis points", 0.25, "percent"),
        ("-2.1ポイント", -2.1, "percent"),
        ("1.5 percentage points", 1.5, "percent"),
        ("$1.2M", 1.2e6, "money"),
        ("4.5 billion", 4.5e9, ""),
        ("1.2e6", 1.2e6, ""),
        ("1.2 × 10^6", 1.2e6, ""),
        (".5", 0.5, ""),
        ("5m", 5, ""),
        ("1.5倍", 1.5, ""),
    ],
)
def test_one_amount_is_read(text: str, value: float, kind: str) -> None:
    (found,) = quantities(normalise(text))
    assert found.value == pytest.approx(value)
    assert found.kind == kind


@pytest.mark.parametrize(
    "text", ["一致する", "三菱商事", "千葉県", "第一", "tr_001", "Q4", "FY2024", ""]
)
def test_words_are_no_amounts(text: str) -> None:
    assert list(quantities(normalise(text))) == []


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1,030,674 - 896,856", [1030674, 896856]),
        ("2018-19", [2018, 19]),
        ("利益率は5% (0.05)", [5, 0.05]),
        ("3万 2024", [30000, 2024]),
        ("1/0", [1]),
    ],
)
def test_several_amounts_stay_apart(text: str, values: list[float]) -> None:
    assert [one.value for one in quantities(normalise(text))] == pytest.approx(values)


@pytest.mark.parametrize(
    ("reply", "target", "rule"),
    [
        ("3億円", "3百万円", None),
        ("3円", "3百万円", None),
        ("1億2,000万円", "120百万円", "same"),
        ("0.12十億円", "120百万円", "same"),
        ("82,285", "82,285百万円", "same"),
        ("82,285,000,000円", "82,285百万円", "same"),
        ("822.85億円", "82,285百万円", "same"),
        ("822.85", "82,285百万円", "rescaled"),
        ("82285000000", "82,285百万円", "same"),
        ("82,285百万円", "82,285", "rescaled"),
        ("7万", "70000", "same"),
        ("10.07%", "10.07%", "same"),
        ("10.1", "10.07%", "same"),
        ("0.1007", "10.07%", "percent-as-fraction"),
        ("0.1007%", "10.07%", None),
        ("15.3%", "0.153", "percent-as-fraction"),
        ("1/4", "25%", "percent-as-fraction"),
        ("1.5倍", "150%", "percent-as-fraction"),
        ("3割", "30%", "same"),
        ("-210bps", "-2.1ポイント", "same"),
        ("-2.1%", "-2.1ポイント", "same"),
        ("5百万円", "5%", None),
        ("5%", "5百万円", None),
        ("5円", "5%", None),
        ("5.0%減少", "-5.0%", "same"),
        ("a decrease of 5.0%", "-5.0%", "same"),
        ("5.0%", "-5.0%", None),
        ("5.0%増加", "-5.0%", None),
        ("decreased to 5.0%", "-5.0%", None),
        ("99", "100", "same"),
        ("98.9", "100", None),
        ("0", "0", "same"),
        ("0.001", "0", None),
    ],
)
def test_the_rule_by_which_amounts_agree(reply: str, target: str, rule: str | None) -> None:
    (said,) = quantities(normalise(reply))
    gold = read_amount(target)
    assert gold is not None
    assert match(said, gold) == rule
    assert match(said, gold, strict=True) == (rule if rule == "same" else None)


QUESTION = "マルハニチロの2024年3月期の営業利益率は何%か。"


@pytest.mark.parametrize(
    ("reply", "span"),
    [
        ("Answer: (553,949/11,806,292)x100% ≈ 4.67%", "4.67%"),
        ("Answer: 1,030,674 - 896,856 = 133,818百万円", "133,818百万円"),
        ("Answer: 5% (0.05)", "5%"),
        ("答え: 約2.6%です。", "2.6%"),
        ("答えは133,818百万円です。", "133,818百万円"),
        ("**Answer:** 42", "42"),
        ("The final answer is $1.2 million.", "$1.2 million"),
        ("Step 1: 3 + 4 = 7\n#### 18", "18"),
        (r"Hence \boxed{12{,}345}.", "12,345"),
        ("A: 42", "42"),
        ("Answer: 3 + 4 = 7 apples for 2 days", "7"),
        ("答えは営業利益率 2.6% (0.026)", "2.6%"),
        ("答え: 2024年3月期は 2.6%、2023年3月期ではない", "2.6%"),
        # the last cue that holds a figure wins
        ("Answer: 3%\nNo, I forgot the tax.\nAnswer: 4%", "4%"),
        ("「答え: 数値」の形で書きます。\n計算すると 3 + 4 = 7\n答え: 7", "7"),
        ("Answer: <number>\n2 + 3 = 5, which gives 5", "5"),
        ("Answer:\n\n3,000円", "3,000円"),
        # what only looks like a cue
        ("Preanswer: 3\nSo it makes 5", "5"),
        ("ROA: 3.2%\nROE: 5.1%\n答え: 5.1%", "5.1%"),
        ("ROA: 3.2%。したがって、8.9%です。", "8.9%"),
        ("Q1: 100\nQ2: 200\nAnswer: 300", "300"),
        # a hallucinated next question
        ("4.67%\n\nQuestion: What is 3 + 4?\nAnswer: 7", "4.67%"),
        ("Answer: 4.67%\n\n問題: 3 + 4 は?\n答え: 7", "4.67%"),
        ("答え: 5%\n### 入力:\n次の表\n### 応答: 9%", "5%"),
        # an echoed prompt
        (f"Question: {QUESTION}\nAnswer: 2.6%", "2.6%"),
        (f"表によると売上高は 1,030,674\nQuestion: {QUESTION}\nAnswer: 2.6%", "2.6%"),
        (f"Question: {QUESTION}\nAnswer: 2.6%\n\nQuestion: {QUESTION}\nAnswer: 9%", "2.6%"),
        # no cue: the whole first line, a conclusion, the last amount
        ("2.6% (0.026)\nそれは 26,534 のためです。", "2.6%"),
        ("売上高は1,030,674百万円、よって営業利益率は2.6%です。", "2.6%"),
        ("It had 16 eggs and 7 are gone. So she has 9 eggs. She sells them.", "9"),
        ("2024年3月期の売上高は1,234百万円", "1,234百万円"),
        ("利益は2024年3月期に 50、2023年3月期に 40", "40"),
        ("<think>Answer: 3, or 4?</think>Answer: 5", "5"),
    ],
)
def test_the_figure_a_reply_means(reply: str, span: str) -> None:
    found = find_number(own_words(reply, QUESTION))
    assert found is not None and found.quantity is not None
    assert found.quantity.text == span


@pytest.mark.parametrize(
    ("reply", "stopped", "state"),
    [
        ("Answer: 4.67%", "eos", "right"),
        ("Answer: 4.67% です。", "length", "right"),
        ("Answer: 5.67%", "eos", "wrong"),
        ("", "eos", "missing"),
        ("わかりません。", "eos", "missing"),
        ("3 と 4 から、Answer: cannot be determined", "eos", "missing"),
        ("答え: 不明 (2 つの値がない)", "eos", "missing"),
        ("", "length", "truncated"),
        ("まず 26,534 を 1,030,674 で割り、", "length", "truncated"),
        ("まず 26,534 を 1,030,674 で割り、", "eos", "wrong"),
        ("Answer: 4.6", "length", "truncated"),
        ("<think>4.67% perhaps, or", "length", "truncated"),
        ("4.67%\n\nQuestion: What is", "length", "right"),
    ],
)
def test_no_answer_cut_off_and_wrong_are_three_things(reply: str, stopped: str, state: str) -> None:
    target = read_amount("4.67%")
    assert target is not None
    given = grade_number(reply, target, stopped=stopped)
    assert given.state == state
    assert (given.extracted is None) == (state == "missing")


@pytest.mark.parametrize(
    ("reply", "target", "state", "span"),
    [
        ("増収", "増収", "right", "増収"),
        ("答え: 増収しました。", "増収", "right", "増収"),
        ("Answer: 減収", "増収", "wrong", "減収"),
        ("売上高は増えた。\n回答: 増収", "増収", "right", "増収"),
        ("売上高は増えたので、\n増収です", "増収", "right", "増収"),
        ("いいえ、一致しない。", "いいえ", "right", "いいえ"),
        ("わかりません", "増収", "missing", ""),
        ("", "増収", "missing", ""),
        ("No, it is not.", "no", "right", "no"),
        ("Answer: The Modified  retrospective method.", "the modified retrospective method",
         "right", "The Modified  retrospective method."),
        ("full method", "the modified retrospective method", "wrong", "full method"),
    ],
)  # fmt: skip
def test_words(reply: str, target: str, state: str, span: str) -> None:
    given = grade_words(reply, [target])
    assert (given.state, given.span) == (state, span)


REPEATED = [
    "Answer: ",
    "答え: ",
    "So, ",
    "1,",
    "(1",
    "\n",
    "1 = ",
    "1.",
    "1/",
    "一二",
    "百",
    "Question: ",
    "$",
]


@pytest.mark.parametrize("part", REPEATED)
def test_a_reply_that_repeats_itself_is_read_in_time(part: str) -> None:
    target = read_amount("4.67%")
    assert target is not None
    started = time.process_time()
    grade_number(part * 2000, target)
    grade_words(part * 2000, ["増収"])
    assert time.process_time() - started < 5


def test_targets_take_the_documents_unit_and_worked_solutions_their_last_line() -> None:
    assert read_target({"answer": "133,818", "unit": "百万円"}).value == 133_818e6  # type: ignore[union-attr]
    assert read_target({"answer": "10.07%", "unit": "百万円"}).value == 10.07  # type: ignore[union-attr]
    assert read_target({"target": 17.7, "unit": "percent"}).kind == "percent"  # type: ignore[union-attr]
    assert read_target({"answer": "16 - 7 = <<16-7=9>>9\n#### 1,018"}).value == 1018  # type: ignore[union-attr]
    assert read_target({"answer": "増収"}) is None
    assert read_target({"answer": ["2019", "2018"]}) is None


def test_school_numbers_are_exact() -> None:
    doc = {"answer": "#### 70000", "question": ""}
    assert grade.exact_number(doc, ["The answer is 70,000."])["acc"] == 1
    assert grade.exact_number(doc, ["The answer is 70,500."])["acc"] == 0
    assert grade.exact_number({"answer": "3"}, ["Answer: 3 million"])["acc"] == 0


def test_metrics_name_the_rule_and_the_harness_gets_numbers_only() -> None:
    doc = {"target": "10.07%"}
    found = grade.number(doc, ["Answer: 0.1007"])
    assert found == {
        "acc": 1,
        "missing": 0,
        "truncated": 0,
        "rescaled": 0,
        "percent_as_fraction": 1,
    }
    ours = grade.number(doc, [Reply("Answer: 0.1007", "eos")])
    assert ours["extracted"] == "0.1007 (percent-as-fraction)"
    assert grade.number_or_words({"answer": "増収"}, ["増収"])["acc"] == 1
    with pytest.raises(ValueError, match="'many' is not an amount"):
        grade.number({"target": "many"}, ["5"])


TASK = """
task: free
output_type: generate_until
dataset_path: json
dataset_kwargs: {data_files: {test: free.jsonl}}
test_split: test
doc_to_text: question
doc_to_target: target
generation_kwargs: {until: ['\\n'], max_gen_toks: 6, do_sample: false}
process_results: !function evaluation.extraction.grade.number
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
  - {metric: missing, aggregation: mean, higher_is_better: false}
  - {metric: truncated, aggregation: mean, higher_is_better: false}
"""


def test_a_task_keeps_states_and_spans_with_its_answers(
    sandbox_pair: Any, suite_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evaluation.scoring.generation import Generated
    from evaluation.scoring.scorer import Scorer

    rows = [{"question": f"Question {i}", "target": "4.67%"} for i in range(4)]
    (suite_folder / "tasks" / "free.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (suite_folder / "tasks" / "free.yaml").write_text(TASK)
    replies = [
        ("Answer: 0.0467", "eos"),
        ("who knows", "eos"),
        ("first 3", "length"),
        ("9%", "eos"),
    ]

    def answers(self: Any, requests: list[Any]) -> Any:
        yield [(i, Generated(i, *replies[i])) for i in range(len(requests))]

    monkeypatch.setattr(Scorer, "stream_generate_until", answers)
    events = run(sandbox_pair, suite_folder, tasks=["free"])
    score = scores(events)["free"]
    assert (score["metric"], score["value"]) == ("acc", 0.25)
    assert {name: one["value"] for name, one in score["metrics"].items()} == {
        "acc": 0.25, "missing": 0.25, "truncated": 0.25, "rescaled": 0, "percent_as_fraction": 0.25,
    }  # fmt: skip
    assert [answer["extracted"] for answer in score["answers"]] == [
        "0.0467 (percent-as-fraction)", None, "(cut off before an answer)", "9%",
    ]  # fmt: skip
    assert [answer["correct"] for answer in score["answers"]] == [True, False, False, False]
    assert score["config"]["extraction"] == grade.EXTRACTION_VERSION
    (warning,) = of_kind(events, "warning")
    assert warning["text"] == "free: of 4 replies 1 give no answer and 1 are cut off before one."
