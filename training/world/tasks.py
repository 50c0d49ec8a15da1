"""The benchmark as lm-evaluation-harness tasks: one YAML file and one JSONL file each."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from training.world import items
from training.world.items import Item
from training.world.world import World

DOMAINS = ("general", "finance", "math", "japanese", "cross", "chat")

STOP = ["<|endoftext|>", "<|end|>", "Question:"]
# Between formula and result stand the numbers put in; their order is free.
WORKING = r"\. [^=]*, \d+ [-+*] \d+ = \d+(?=\. Result)"


@dataclass(frozen=True)
class SandboxTask:
    """One task: where its items come from, and how an answer is read and scored."""

    name: str
    title: str
    make: Callable[[World, random.Random], list[Item]]
    answer: str | None = None
    """Pattern whose one group is the answer in generated text; None for multiple choice."""
    max_tokens: int = 0
    ignore: str | None = None
    """Pattern removed from answer and target before they are compared."""

    @property
    def domain(self) -> str:
        """The group of the suite that the task belongs to."""
        return self.name.split("_")[1]

    def items(self, world: World) -> list[Item]:
        """The items of `world`, always the same for the same seed."""
        return self.make(world, random.Random(f"{self.name} {world.seed}"))

    def config(self) -> dict[str, Any]:
        """The task as the harness's YAML."""
        config: dict[str, Any] = {
            "task": self.name,
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": f"data/{self.name}.jsonl"}},
            "test_split": "test",
            "doc_to_text": "prompt",
        }
        if self.answer is None:
            config |= {
                "output_type": "multiple_choice",
                "doc_to_choice": "choices",
                "doc_to_target": "gold",
                "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
            }
        else:
            config |= self._generation()
        return config | {"num_fewshot": 0, "metadata": {"version": 1.0, "title": self.title}}

    def _generation(self) -> dict[str, Any]:
        metric: dict[str, Any] = {
            "metric": "exact_match",
            "aggregation": "mean",
            "higher_is_better": True,
        }
        if self.ignore:
            metric["regexes_to_ignore"] = [self.ignore]
        read = {"function": "regex", "regex_pattern": self.answer, "group_select": 0}
        until = ["<|end|>"] if self.domain == "chat" else STOP
        return {
            "output_type": "generate_until",
            "doc_to_target": "target",
            "generation_kwargs": {
                "until": until,
                "max_gen_toks": self.max_tokens,
                "do_sample": False,
            },
            "filter_list": [{"name": "strict", "filter": [read, {"function": "take_first"}]}],
            "metric_list": [metric],
        }


RESULT = r"Result: (\d+)"
FIRST_WORD = r"^\W*(\w+)"
SENTENCE = r"^\s*([^.]*\.)"
WHOLE = r"(?s)^\s*(.*?)\s*$"
FORMULA_TO_RESULT = r"^\s*(.*?Result: \d+)"

TASKS = (
    SandboxTask("sandbox_general_people", "Facts about people", items.general_people),
    SandboxTask("sandbox_general_capitals", "Capital cities", items.general_capitals),
    SandboxTask("sandbox_general_kinds", "Kinds of things", items.general_kinds),
    SandboxTask("sandbox_general_copy", "Copying a note", items.general_copy, SENTENCE, 16),
    SandboxTask("sandbox_finance_firms", "Facts about firms", items.finance_firms),
    SandboxTask("sandbox_finance_recall", "Firms, recalled", items.finance_recall, FIRST_WORD, 3),
    SandboxTask("sandbox_finance_terms", "Finance terms", items.finance_terms),
    SandboxTask("sandbox_finance_sentiment", "News sentiment", items.finance_sentiment),
    SandboxTask("sandbox_finance_formulas", "Finance formulas", items.finance_formulas),
    SandboxTask("sandbox_math_words", "Word problems", items.math_words, RESULT, 14),
    SandboxTask("sandbox_math_quantities", "Quantities", items.math_quantities, RESULT, 32),
    SandboxTask("sandbox_math_two_steps", "Two steps", items.math_two_steps, RESULT, 20),
    SandboxTask("sandbox_math_compare", "Greater number", items.math_compare, FIRST_WORD, 3),
    SandboxTask("sandbox_japanese_people", "People, in Japanese", items.japanese_people),
    SandboxTask("sandbox_japanese_hobbies", "Hobbies, in Japanese", items.japanese_hobbies),
    SandboxTask("sandbox_japanese_capitals", "Capitals, in Japanese", items.japanese_capitals),
    SandboxTask(
        "sandbox_cross_finance_math",
        "Finance + math: formula and result",
        items.cross_finance_math,
        FORMULA_TO_RESULT,
        32,
        ignore=WORKING,
    ),
    SandboxTask(
        "sandbox_cross_finance_words",
        "Finance + math: word problems",
        items.cross_finance_words,
        RESULT,
        14,
    ),
    SandboxTask(
        "sandbox_cross_japanese_finance",
        "Japanese + finance: firms",
        items.cross_japanese_finance,
    ),
    SandboxTask(
        "sandbox_cross_japanese_math",
        "Japanese + math: word problems",
        items.cross_japanese_math,
        RESULT,
        14,
    ),
    SandboxTask("sandbox_chat_general", "Chat about people", items.chat_general, WHOLE, 8),
    SandboxTask("sandbox_chat_finance", "Chat about firms", items.chat_finance, WHOLE, 8),
    SandboxTask("sandbox_chat_math", "Chat: word problems", items.chat_math, WHOLE, 18),
    SandboxTask("sandbox_chat_japanese", "Chat in Japanese", items.chat_japanese, WHOLE, 10),
)


def prompts(world: World) -> Iterator[tuple[str, str]]:
    """Every test prompt of the benchmark with the name of its task."""
    for task in TASKS:
        for item in task.items(world):
            yield task.name, str(item["prompt"])


def write_tasks(world: World, folder: Path) -> int:
    """Write every task below `folder` (made if need be); returns the number of items."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    total = 0
    for task in TASKS:
        lines = [json.dumps(item, ensure_ascii=False) + "\n" for item in task.items(world)]
        total += len(lines)
        (folder / "data" / f"{task.name}.jsonl").write_text("".join(lines), encoding="utf-8")
        text = yaml.safe_dump(task.config(), sort_keys=False, allow_unicode=True, width=100)
        (folder / f"{task.name}.yaml").write_text(text, encoding="utf-8")
    return total
