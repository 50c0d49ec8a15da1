"""Tasks that a Python class defines, as some of the harness's do: asked, or refused by name."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from evaluation.holdout import Part
from tests.evaluation.conftest import of_kind, run, scores

# In the manner of the harness's task for SQuAD 2.0: two requests of different kinds for each item,
# metrics over pairs, everything by methods, nothing in the YAML but the class.
READING = """
from functools import partial
from math import exp

from datasets import Dataset, DatasetDict
from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask

ROWS = [{"passage": f"The cat {i} sat on the mat.", "question": f"Where did cat {i} sit?",
         "answers": {"text": ["the mat"] if i % 3 else []}} for i in range(12)]


def share(name, items):
    predictions, references = zip(*items)
    return sum(one[name] == two for one, two in zip(predictions, references)) / len(items)


class Reading(ConfigurableTask):
    VERSION = 3

    def __init__(self, config=None):
        super().__init__(config={"metadata": {"version": self.VERSION}})

    def download(self, *given, **named):
        self.dataset = DatasetDict({"validation": Dataset.from_list(ROWS)})

    def has_training_docs(self):
        return False

    def has_validation_docs(self):
        return True

    def has_test_docs(self):
        return False

    def validation_docs(self):
        return self.dataset["validation"]

    def doc_to_text(self, doc):
        return f"Background: {doc['passage']} Question: {doc['question']} Answer:"

    def doc_to_target(self, doc):
        return " " + (doc["answers"]["text"] or ["unanswerable"])[0]

    def construct_requests(self, doc, ctx, chat_template=None, apply_chat_template=False, **kwargs):
        return [
            Instance(request_type="generate_until", doc=doc,
                     arguments=(ctx, {"until": ["\\n"], "max_gen_toks": 8}), idx=0, **kwargs),
            Instance(request_type="loglikelihood", doc=doc, arguments=(ctx, " unanswerable"),
                     idx=0, **kwargs),
        ]

    def process_results(self, doc, results):
        text, (logprob, _) = results
        prediction = {"text": text.strip(), "none": exp(logprob) > 0.5}
        return {"exact": (prediction, (doc["answers"]["text"] or [""])[0]),
                "none_known": float(prediction["none"] == (not doc["answers"]["text"]))}

    def aggregation(self):
        return {"exact": partial(share, "text"),
                "none_known": lambda items: sum(items) / len(items)}

    def higher_is_better(self):
        return {"exact": True, "none_known": True}


class Broken(Reading):
    def __init__(self, config=None):
        raise OSError("the licence server is down")


class Wordy(Reading):
    def doc_to_text(self, doc, doc_to_text=None):
        return super().doc_to_text(doc)

    def doc_to_target(self, doc, doc_to_target=None):
        return super().doc_to_target(doc)


class Half(Reading):
    def doc_to_text(self, doc):
        if "cat 5" in doc["passage"]:
            raise ValueError("no passage")
        return super().doc_to_text(doc)
"""


@pytest.fixture
def folder(suite_folder: Path) -> Path:
    tasks = suite_folder / "tasks"
    (tasks / "reading_task.py").write_text(READING, encoding="utf-8")
    write(suite_folder, "Reading")
    return suite_folder


def write(folder: Path, name: str) -> None:
    (folder / "tasks" / "pick.yaml").write_text(
        f"task: pick\nclass: !function reading_task.{name}\n", encoding="utf-8"
    )


def test_a_class_is_asked_graded_and_kept(sandbox_pair: Any, folder: Path) -> None:
    events = run(sandbox_pair, folder)
    assert of_kind(events, "task_error") == []
    score = scores(events)["pick"]
    assert (score["metric"], score["n"], score["left_out"]) == ("exact", 12, [])
    assert set(score["metrics"]) == {"exact", "none_known"}
    assert all(math.isfinite(one["value"]) for one in score["metrics"].values())
    first = score["answers"][0]
    assert first["prompt"] == (
        "Background: The cat 0 sat on the mat. Question: Where did cat 0 sit? Answer:"
    )
    assert first["target"] == " unanswerable" and first["stopped"] in ("eos", "until", "length")
    assert {"free", "word", "rolling"} < set(scores(events))


def test_a_class_s_replies_are_the_scorer_s(sandbox_pair: Any, folder: Path) -> None:
    """The log-probability in its grading is that of the harness's own backend."""
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    found = simple_evaluate(
        model=HFLM(pretrained=sandbox_pair[0], tokenizer=sandbox_pair[1], add_bos_token=True),
        tasks=["pick"], bootstrap_iters=0, log_samples=False,
        task_manager=TaskManager(include_path=str(folder / "tasks"), include_defaults=False),
    )["results"]["pick"]  # fmt: skip
    ours = scores(run(sandbox_pair, folder, tasks=["pick"]))["pick"]["metrics"]
    assert ours["exact"]["value"] == found["exact,none"]
    assert ours["none_known"]["value"] == found["none_known,none"]


def test_limits_parts_and_bad_items_are_as_elsewhere(sandbox_pair: Any, folder: Path) -> None:
    assert scores(run(sandbox_pair, folder, tasks=["pick"], limit=5))["pick"]["n"] == 5
    kept = [
        {a["doc_id"] for a in scores(run(sandbox_pair, folder, tasks=["pick"], part=part))[
            "pick"]["answers"]}
        for part in (Part("search"), Part("held-out"))
    ]  # fmt: skip
    assert kept[0] | kept[1] == set(range(12)) and not kept[0] & kept[1]
    write(folder, "Half")
    score = scores(run(sandbox_pair, folder, tasks=["pick"]))["pick"]
    assert score["left_out"] == [{"doc_id": 5, "text": "ValueError: no passage"}]
    assert score["n"] == 11


def test_its_examples_keep_to_the_part(sandbox_pair: Any, folder: Path) -> None:
    suite = folder / "tiny.yaml"
    suite.write_text(suite.read_text() + "task_settings: {pick: {num_fewshot: 2}}\n")
    (error,) = of_kind(run(sandbox_pair, folder, tasks=["pick"]), "task_error")
    assert error["text"] == (
        "Task pick: it is a Python class whose doc_to_text cannot word an example, so it is asked "
        "with num_fewshot=0 only."
    )
    write(folder, "Wordy")
    for part in (Part("search"), Part("held-out")):
        score = scores(run(sandbox_pair, folder, tasks=["pick"], part=part))["pick"]
        kept = {a["doc_id"] for a in score["answers"]}
        for answer in score["answers"]:
            *shown, own = [
                int(piece.split()[0])
                for piece in answer["prompt"].split("Background: The cat ")[1:]
            ]
            assert own == answer["doc_id"] and own not in shown
            assert len(shown) == 2 and set(shown) <= kept


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Broken", "it cannot be built (OSError: the licence server is down)"),
        ("Absent", "Absent"),
    ],
)
def test_a_class_that_cannot_be_made_is_named(
    sandbox_pair: Any, folder: Path, name: str, said: str
) -> None:
    write(folder, name)
    events = run(sandbox_pair, folder)
    (error,) = of_kind(events, "task_error")
    assert error["text"].startswith("Task pick: ") and said in error["text"]
    assert "\n" not in error["text"] and set(scores(events)) == {"free", "word", "rolling"}


def test_a_class_of_the_harness_s_without_its_data_is_one_sentence(sandbox_pair: Any) -> None:
    from evaluation.run import evaluate
    from evaluation.suites import load_suite

    events = list(evaluate(*sandbox_pair, load_suite("tasks:squadv2")))
    (error,) = of_kind(events, "task_error")
    assert error["text"].startswith("Task squadv2: its dataset lighteval/squad_v2 is not on this")
