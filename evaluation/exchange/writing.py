"""Scores as other tools read them: lm-eval's results and samples, CSV, llm-comparator's JSON.

Every function takes plain rows: a score is a mapping with the columns of the table of evaluations,
an answer one with the columns of the table of answers and its ``prompt``.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.exchange.samples import OWN

Row = Mapping[str, Any]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def date_id(moment: float | None = None) -> str:
    """`2026-11-22T18-14-00`, as lm-eval puts it into file names."""
    return time.strftime("%Y-%m-%dT%H-%M-%S", time.gmtime(moment))


def lm_eval_results(model: str, suite: str, scores: Sequence[Row]) -> dict[str, Any]:
    """The content of a ``results_*.json``, readable by whatever reads lm-eval's.

    What lm-eval has no place for (the configuration's hash, the stamp of a split, shares of missing
    answers) stands under ``crucible``, so that it survives the way out and in again.
    """
    configs = {str(one["task"]): dict(one["config"] or {}) for one in scores}
    return {
        "results": {str(one["task"]): _figures(one) for one in scores},
        "group_subtasks": {},
        "configs": {task: _listed(one, configs[task]) for one in scores
                    for task in [str(one["task"])]},
        "versions": {str(one["task"]): one["task_version"] for one in scores},
        "n-shot": {task: config.get("num_fewshot") or 0 for task, config in configs.items()},
        "higher_is_better": {
            str(one["task"]): {_name(one)[0]: one["higher_is_better"]} for one in scores
        },
        "n-samples": {str(one["task"]): {"original": one["n"], "effective": one["n"]}
                      for one in scores},
        "config": {
            "model": "hf",
            "model_args": {"pretrained": model, "dtype": _same(configs, "dtype")},
            "limit": _same(configs, "limit"),
            "gen_kwargs": None,
        },
        "date": max((one["created"] for one in scores), default=0.0),
        "model_source": "hf",
        "model_name": model,
        "model_name_sanitized": re.sub(r"[\"<>:/\|\\?*\[\]]+", "__", model),
        "crucible": {
            "model": model,
            "suite": suite,
            "configs": configs,
            "config_hashes": {str(one["task"]): one["config_hash"] for one in scores},
            "prompts_hashes": {str(one["task"]): one["prompts_hash"] for one in scores},
            "missing": {str(one["task"]): one["missing"] for one in scores},
            "truncated": {str(one["task"]): one["truncated"] for one in scores},
            "left_out": {str(one["task"]): one["left_out"] for one in scores if one["left_out"]},
        },
    }  # fmt: skip


def lm_eval_samples(score: Row, answers: Sequence[Row]) -> str:
    """The content of one task's ``samples_*.jsonl``: a line for each item."""
    metric, filtered = _name(score)
    return "".join(
        json.dumps(_sample(answer, metric, filtered), ensure_ascii=False) + "\n"
        for answer in answers
    )


def scores_csv(rows: Sequence[Row]) -> str:
    """One line for each score; what looks like a formula is quoted."""
    return _csv(rows)


def answers_csv(rows: Sequence[Row]) -> str:
    """One line for each answer; what looks like a formula is quoted."""
    return _csv(rows)


def llm_comparator(
    names: tuple[str, str], pairs: Sequence[tuple[Row, Row]], source: str
) -> dict[str, Any]:
    """Two models side by side in the format of Google's LLM Comparator.

    Args:
        names: of model A and model B.
        pairs: their answers to the same items, each with its ``task``.
        source: where the answers come from, in words.

    Returns:
        The JSON's content. An example's ``score`` is A's score on the item minus B's: positive
        where A is better, as the tool has it.
    """
    fields = [
        {"name": "target", "type": "text"},
        {"name": "item", "type": "string"},
        {"name": "state", "type": "per_model_category"},
        {"name": "extracted", "type": "per_model_text"},
        {"name": "item score", "type": "per_model_number"},
    ]
    return {
        "metadata": {"source_path": source, "custom_fields_schema": fields},
        "models": [{"name": name} for name in names],
        "examples": [_example(a, b) for a, b in pairs],
    }


def _example(a: Row, b: Row) -> dict[str, Any]:
    return {
        "input_text": str(a["prompt"]),
        "tags": [str(a["task"])],
        "output_text_a": str(a["output"]),
        "output_text_b": str(b["output"]),
        "score": float(a["score"]) - float(b["score"]),
        "individual_rater_scores": [],
        "custom_fields": {
            "target": str(a["target"]),
            "item": f"{a['task']}/{a['doc_id']}",
            "state": [str(x["state"] or "") for x in (a, b)],
            "extracted": [str(x["extracted"] or "") for x in (a, b)],
            "item score": [float(x["score"]) for x in (a, b)],
        },
    }


def _name(score: Row) -> tuple[str, str]:
    """Metric and filter of a score."""
    metric, _, filtered = str(score["metric"]).partition(",")
    return metric, filtered or "none"


def _figures(score: Row) -> dict[str, Any]:
    metric, filtered = _name(score)
    stderr = "N/A" if score["stderr"] is None else score["stderr"]
    return {
        "alias": score["task"],
        f"{metric},{filtered}": score["value"],
        f"{metric}_stderr,{filtered}": stderr,
    }


def _listed(score: Row, config: Row) -> dict[str, Any]:
    metric, filtered = _name(score)
    return {
        "task": score["task"],
        "num_fewshot": config.get("num_fewshot") or 0,
        # No aggregation: ours may be one that lm-eval lacks, and the figure is not to be redone.
        "metric_list": [{"metric": metric, "higher_is_better": score["higher_is_better"]}],
        **({"filter_list": [{"name": filtered}]} if filtered != "none" else {}),
        "metadata": {"version": score["task_version"]},
    }


def _sample(answer: Row, metric: str, filtered: str) -> dict[str, Any]:
    prompt, target, choices = str(answer["prompt"]), str(answer["target"]), answer["choices"]
    texts = [str(choice["text"]) for choice in choices or ()]
    values = [str(choice["loglikelihood"]) for choice in choices or ()]
    asked: list[list[Any]]
    if len(texts) > 1:
        asked = [[prompt, f" {text}"] for text in texts]
        replies: list[Any] = [[[value, "False"]] for value in values]
        kept: list[Any] = [[value, "False"] for value in values]
        target = str(texts.index(target)) if target in texts else target
    elif choices:
        greedy = str(bool(answer["output"]))
        asked = [[prompt, texts[0]]] if prompt else [[texts[0]]]
        replies = [[[values[0], greedy]]] if prompt else [[values[0]]]
        kept = [reply[0] for reply in replies]
    else:
        asked = [[prompt, {}]]
        replies = [[answer["output"]]]
        kept = [answer["extracted"] if answer["extracted"] is not None else "[invalid]"]
    return {
        "doc_id": answer["doc_id"],
        "doc": {"text": prompt},
        "target": target,
        "arguments": {
            f"gen_args_{i}": {f"arg_{j}": part for j, part in enumerate(arguments)}
            for i, arguments in enumerate(asked)
        },
        "resps": replies,
        "filtered_resps": kept,
        "filter": filtered,
        "metrics": [metric],
        "doc_hash": answer["doc_hash"],
        "prompt_hash": answer["prompt_hash"],
        "target_hash": hashlib.sha256(target.encode()).hexdigest(),
        metric: answer["score"],
        "crucible": {name: answer[name] for name in OWN},
    }


def _same(configs: Mapping[str, Row], name: str) -> Any:
    """What all tasks have under a name, None where they differ."""
    values = [config.get(name) for config in configs.values()]
    return values[0] if values and all(value == values[0] for value in values) else None


def _csv(rows: Sequence[Row]) -> str:
    out = io.StringIO()
    names = list(rows[0]) if rows else []
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_cell(row[name]) for name in names] for row in rows)
    return out.getvalue()


def _cell(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula: a model may answer with one."""
    if not isinstance(value, str) or not value.startswith(_FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value
