"""From the scorer's replies to a task's score: filters, metrics, and every answer kept."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from evaluation.answer_states import shares, state_of
from evaluation.errors import TaskError
from evaluation.harness.items import Item, LeftOut, explain
from evaluation.statistics.uncertainty import standard_error

_BOOTSTRAP_DRAWS = 200
_BOOTSTRAP_SECONDS = 2.0
_LOWEST = -1e30
_UNTOLD = object()
CUT_OFF = "(cut off before an answer)"


def score_task(task: Any, items: Sequence[Item]) -> dict[str, Any]:
    """Score a task whose requests are all answered.

    A task's ``process_results`` may say under the key ``extracted`` what it took as the answer
    (None: nothing); it is kept with the answer and is no metric.

    The primary metric is the first of the task's ``metric_list`` (``acc`` for a multiple-choice
    task that names none) under its first filter.

    Args:
        task: lm-eval task.
        items: its items; every request has its reply in ``resps``.

    Returns:
        The keys metric, value, stderr, n, higher_is_better, metrics (every metric under every
        filter), missing and truncated (shares, None where nothing was written), prompts_hash and
        answers of a score event; and left_out, the items whose grading failed. Where that is all
        of them there is nothing but n and left_out.

    Raises:
        TaskError: the task's metrics fail on the replies.
    """
    task._instances = [request for item in items for request in item.requests]
    task.apply_filters()
    filters = list(task._instances[0].filtered_resps)
    by_filter, items, left_out = _graded(task, items, filters)
    if not items:
        return {"n": 0, "left_out": left_out}
    if not by_filter[filters[0]][0]:
        raise TaskError("its metrics give no value")
    first = filters[0]
    told = [row.pop("extracted", _UNTOLD) for row in by_filter[first]]
    for row in (row for rows in by_filter.values() for row in rows):
        row.pop("extracted", None)
    told = _mark_unfinished(items, by_filter, told)
    clusters = _clusters(task, items)
    metric = _primary(task, by_filter[first][0])
    metrics = {
        (name if key == first else f"{name},{key}"): _aggregate(task, name, rows, clusters)
        for key, rows in by_filter.items()
        for name in rows[0]
    }
    higher = bool(task.higher_is_better().get(metric, True))
    alone = None if higher else task.aggregation().get(metric)
    scores = [_item_score(row.get(metric), alone) for row in by_filter[first]]
    binary = all(score in (0.0, 1.0) for score in scores)
    answers = [
        _answer(task, item, metric, first)
        | ({} if extracted is _UNTOLD else {"extracted": extracted})
        | {"score": score, "correct": score == float(higher) if binary else None}
        for item, score, extracted in zip(items, scores, told, strict=True)
    ]
    for answer in answers:
        answer["state"] = state_of(answer)
    missing, truncated = shares(answers)
    return {
        "metric": metric,
        "value": metrics[metric]["value"],
        "stderr": metrics[metric]["stderr"],
        "n": len(items),
        "higher_is_better": higher,
        "metrics": metrics,
        "missing": missing,
        "truncated": truncated,
        "prompts_hash": _prompts_hash(items),
        "answers": answers,
        "left_out": left_out,
    }


def _mark_unfinished(
    items: Sequence[Item], by_filter: dict[str, list[dict[str, Any]]], told: list[Any]
) -> list[Any]:
    """Say of replies that are thoughts without end that they were cut off, not wrong.

    Our own graders tell it by themselves; a task of the harness's gets the share as one more
    metric, ``truncated``. Returns what was taken as each item's answer.
    """
    unfinished = [getattr(item.requests[0].resps[0], "unfinished", False) for item in items]
    if not any(unfinished):
        return told
    for rows in by_filter.values():
        for row, cut_off in zip(rows, unfinished, strict=True):
            row.setdefault("truncated", float(cut_off))
    return [
        CUT_OFF if cut_off and answer is _UNTOLD else answer
        for answer, cut_off in zip(told, unfinished, strict=True)
    ]


def _graded(
    task: Any, items: Sequence[Item], filters: Sequence[str]
) -> tuple[dict[str, list[dict[str, Any]]], list[Item], list[LeftOut]]:
    """Filter -> metrics of each item; the items that have them; and those whose grading fails."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in filters}
    graded: list[Item] = []
    bad: list[LeftOut] = []
    for item in items:
        try:
            found = [
                dict(task.process_results(item.doc, [r.filtered_resps[key] for r in item.requests]))
                for key in filters
            ]
        except Exception as error:  # whatever a task's own code raises is that item's problem
            bad.append(LeftOut(item.doc_id, explain(error)))
            continue
        graded.append(item)
        for key, row in zip(filters, found, strict=True):
            rows[key].append(row)
    return rows, graded, bad


def _primary(task: Any, row: dict[str, Any]) -> str:
    listed = task.config.metric_list or []
    names = [str(getattr(m["metric"], "__name__", m["metric"])) for m in listed]
    names += ["acc", *row]
    return next(name for name in names if name in row)


def _clusters(task: Any, items: Sequence[Item]) -> list[str] | None:
    """The source of each item, where ``metadata.cluster`` of the task names the field with it."""
    field = (task.config.metadata or {}).get("cluster")
    if field is None:
        return None
    found = [item.doc.get(field) for item in items]
    if all(one is None for one in found):
        raise TaskError(f"its metadata names the cluster field {field!r}, which its items lack")
    # An item without a source stands alone, as it does when a split is drawn.
    return [
        f"item {item.doc_id}" if one is None else f"of {one}"
        for item, one in zip(items, found, strict=True)
    ]


def _aggregate(
    task: Any, metric: str, rows: Sequence[dict[str, Any]], clusters: Sequence[str] | None
) -> dict[str, Any]:
    from lm_eval.api.metrics import mean

    values = [row[metric] for row in rows if metric in row]
    function: Any = task.aggregation().get(metric, mean)
    try:
        value = float(function(values))
    except Exception as error:
        raise TaskError(f"its metric {metric} fails ({type(error).__name__}: {error})") from error
    if not np.isfinite(value):
        raise TaskError(f"its metric {metric} comes to {value}, which is no score")
    return {"value": value, "stderr": _error(function, values, clusters)}


def _error(function: Any, values: Sequence[Any], clusters: Sequence[str] | None) -> float | None:
    """Standard error of an aggregate: in closed form, by its own method, or by resampling."""
    from lm_eval.api.metrics import mean

    if function == mean:
        fitting = clusters if clusters and len(values) == len(clusters) else None
        return standard_error([float(value) for value in values], fitting)
    own = getattr(function, "standard_error", None)
    return _bootstrap_error(function, values) if own is None else own(values)


def _bootstrap_error(function: Callable[[Any], float], values: Sequence[Any]) -> float | None:
    """Standard error of an aggregate that is not a mean, within a few seconds.

    The harness draws 100,000 times, which takes minutes; 200 draws fix a standard error to 5 %.
    """
    if len(values) < 2:
        return None
    rng = np.random.default_rng(0)
    draws: list[float] = []
    start = time.perf_counter()
    while len(draws) < _BOOTSTRAP_DRAWS:
        picked = rng.integers(0, len(values), size=len(values))
        try:
            draws.append(float(function([values[i] for i in picked])))
        except (ValueError, ZeroDivisionError):
            return None  # not defined on every resample (a class went missing)
        if time.perf_counter() - start > _BOOTSTRAP_SECONDS and len(draws) < 50:
            return None
        if time.perf_counter() - start > _BOOTSTRAP_SECONDS:
            break
    return float(np.std(draws, ddof=1))


def _item_score(value: Any, alone: Callable[[Any], float] | None = None) -> float:
    """One item's part of a metric as a finite number.

    Of a metric where lower is better it is the metric on this item ``alone``, so that items are
    better in the same direction as the score: a text's bits per byte, an answer's perplexity. What
    another corpus metric collects per item becomes the nearest thing an item can have: pairs of
    label and prediction (F1, MCC, BLEU) are right or wrong, a label with its probabilities (Brier)
    is right when it is the likeliest, a log-probability with a length is that per unit.
    """
    if alone is not None:
        with suppress(ArithmeticError, ValueError, TypeError):
            return finite(float(alone([value])))
    if isinstance(value, bool | int | float | np.number):
        return finite(float(value))
    if isinstance(value, tuple | list) and len(value) == 2:
        a, b = value
        if isinstance(a, float) and isinstance(b, int) and b > 0:
            return finite(a / b)
        if isinstance(a, int | np.integer) and isinstance(b, np.ndarray | list | tuple):
            return float(int(np.argmax(b)) == int(a))
        return float(bool(a == b))
    return 0.0


def finite(value: float) -> float:
    """The value, infinities as the largest number that JSON and every database can keep."""
    return float(np.nan_to_num(value, nan=_LOWEST, posinf=-_LOWEST, neginf=_LOWEST))


def _answer(task: Any, item: Item, metric: str, key: str) -> dict[str, Any]:
    from lm_eval.utils import handle_non_serializable, hash_string

    first = item.requests[0]
    rolling = first.request_type == "loglikelihood_rolling"
    prompt = "" if rolling else str(first.args[0])
    doc = json.dumps(item.doc, indent=2, default=handle_non_serializable, ensure_ascii=False)
    return {
        "doc_id": item.doc_id,
        "doc_hash": hash_string(doc),
        "prompt": prompt,
        "prompt_hash": hash_string(prompt),
        "target": target_text(task, item.doc),
        **_reply(task, item, metric, key),
    }


def _reply(task: Any, item: Item, metric: str, key: str) -> dict[str, Any]:
    """Raw output, extracted answer, per-choice log-probabilities and how the answer ended."""
    first = item.requests[0]
    if task.OUTPUT_TYPE == "multiple_choice":
        texts = [str(choice) for choice in task.doc_to_choice(item.doc)]
        values = [float(request.resps[0][0]) for request in item.requests[: len(texts)]]
        chosen = texts[_argmax(texts, values, metric)]
        choices = [
            {"text": text, "loglikelihood": finite(value)}
            for text, value in zip(texts, values, strict=True)
        ]
        return {"output": chosen, "extracted": chosen, "choices": choices, "stopped": None}
    if first.request_type == "generate_until":
        extracted = first.filtered_resps[key]
        return {
            "output": getattr(first.resps[0], "said", str(first.resps[0])),
            "extracted": extracted if isinstance(extracted, str) else json.dumps(extracted),
            "choices": None,
            "stopped": getattr(first, "stopped", None),
            "stray": getattr(first, "stray", None) or None,
        }
    reply = first.resps[0]
    value = float(reply[0] if isinstance(reply, tuple) else reply)
    text = str(first.args[-1])
    greedy = isinstance(reply, tuple) and bool(reply[1])
    return {
        "output": text if greedy else "",
        "extracted": text if greedy else "",
        "choices": [{"text": text, "loglikelihood": finite(value)}],
        "stopped": None,
    }


def _argmax(texts: list[str], values: list[float], metric: str) -> int:
    """The choice that a metric takes as the answer (lengths as the harness counts them)."""
    if metric == "acc_norm":
        values = [value / max(1, len(text)) for value, text in zip(values, texts, strict=True)]
    elif metric == "acc_bytes":
        sizes = [max(1, len(text.encode())) for text in texts]
        values = [value / size for value, size in zip(values, sizes, strict=True)]
    return int(np.argmax(values))


def target_text(task: Any, doc: dict[str, Any]) -> str:
    """What would have been right, in words."""
    target = task.doc_to_target(doc)
    if task.config.doc_to_choice is not None and isinstance(target, int):
        choices = task.doc_to_choice(doc)
        if getattr(task, "multiple_input", 0):
            target = task.doc_to_text(doc)
        return str(choices[target]) if 0 <= target < len(choices) else str(target)
    if isinstance(target, list | tuple):
        return " | ".join(map(str, target))
    return str(target)


def _prompts_hash(items: Sequence[Item]) -> str:
    """64 hex digits over everything that was really asked, in order."""
    digest = hashlib.sha256()
    for item in items:
        for request in item.requests:
            digest.update(json.dumps(request.args, sort_keys=True, default=str).encode())
    return digest.hexdigest()
