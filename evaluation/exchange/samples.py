"""One task's samples, as lm-eval writes them, as answers in the shape of our own."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.answer_states import shares, state_of
from evaluation.exchange.given import ExchangeError

OWN = ("target", "output", "extracted", "stopped", "state")
"""What a row of ours adds to lm-eval's."""
Answers = list[dict[str, Any]]


def read_samples(
    file: str,
    task: str,
    rows: Sequence[Mapping[str, Any]],
    metric: str,
    filtered: str,
    listed: Mapping[str, Any],
) -> tuple[Answers, float | None, float | None]:
    """The answers under one metric and filter, and the shares of missing and truncated ones.

    Args:
        file: the results file, for messages.
        task: that the rows are of.
        rows: one for each item and filter.
        metric: whose values become the items' scores.
        filtered: name of the filter; rows without one are of the only filter.
        listed: the task's entry under ``configs``.

    Raises:
        ExchangeError: a row that lacks what makes an answer, or an item twice.
    """
    wanted = [row for row in rows if row.get("filter", filtered) == filtered] or list(rows)
    answers = [_answer(file, task, row, metric, listed) for row in wanted]
    numbers = [answer["doc_id"] for answer in answers]
    if len(set(numbers)) < len(numbers):
        raise ExchangeError(f"The samples of {task} have an item twice; are two runs in the file?")
    binary = all(answer["score"] in (0.0, 1.0) for answer in answers)
    for answer in answers:
        answer["correct"] = answer["score"] == 1.0 if binary else None
        answer.setdefault("state", state_of(answer))
    answers.sort(key=lambda answer: answer["doc_id"])
    return answers, *shares(answers)


def _answer(
    file: str, task: str, row: Mapping[str, Any], metric: str, listed: Mapping[str, Any]
) -> dict[str, Any]:
    number, value = row.get("doc_id"), row.get(metric)
    where = f"The samples of {task}, item {number if number is not None else '?'}:"
    if not isinstance(number, int) or isinstance(number, bool):
        raise ExchangeError(f"{where} it has no number (`doc_id`).")
    if value is None:
        raise ExchangeError(f"{where} it has no {metric}, which {file} has.")
    score = _score(value) if isinstance(row.get("crucible"), dict) else _alone(value, metric)
    if not math.isfinite(score):
        raise ExchangeError(f"{where} its {metric} is {value}, which is no score.")
    asked = _arguments(row.get("arguments"))
    rolling = (listed.get("output_type") or _kind(asked)) == "loglikelihood_rolling"
    # Where a whole text is scored it is the answer, and there is no prompt.
    prompt = str(asked[0][0]) if asked and asked[0] and not rolling else ""
    told = row.get("crucible")
    own: dict[str, Any] = told if isinstance(told, dict) else {}
    try:
        reply = _reply(row, asked, metric, listed)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ExchangeError(f"{where} its answer (`resps`) is not in lm-eval's form.") from error
    return {
        "doc_id": number,
        "doc_hash": str(row.get("doc_hash") or _hash(_as_text(row.get("doc")))),
        "prompt": prompt,
        "prompt_hash": str((not rolling and row.get("prompt_hash")) or _hash(prompt)),
        **reply,
        "stopped": None,
        "score": score,
        **{name: own[name] for name in OWN if name in own},
    }


def _reply(
    row: Mapping[str, Any], asked: list[list[Any]], metric: str, listed: Mapping[str, Any]
) -> dict[str, Any]:
    """Output, extracted answer, compared texts and the target in words."""
    kind = listed.get("output_type") or _kind(asked)
    target, given = row.get("target"), row["resps"]
    if kind == "multiple_choice":
        replies = row.get("filtered_resps") or [reply[0] for reply in given]
        gap = str(listed.get("target_delimiter", " "))
        texts = [str(arguments[1]).removeprefix(gap) for arguments in asked[: len(replies)]]
        values = [float(reply[0]) for reply in replies]
        choices = [{"text": text, "loglikelihood": value}
                   for text, value in zip(texts, values, strict=True)]  # fmt: skip
        chosen = texts[_argmax(texts, values, metric)]
        return {"output": chosen, "extracted": chosen, "choices": choices,
                "target": _choice(target, texts)}  # fmt: skip
    if kind == "generate_until":
        extracted = row.get("filtered_resps", given[0])
        extracted = extracted[0] if isinstance(extracted, list) and extracted else extracted
        text = given[0][0] if isinstance(given[0], list) else given[0]
        return {"output": str(text), "extracted": _as_text(extracted), "choices": None,
                "target": _as_text(target)}  # fmt: skip
    first = given[0][0]
    value, greedy = (first[0], first[1]) if isinstance(first, list) else (first, False)
    text = str(asked[0][-1])
    said = text if greedy in (True, "True") else ""
    choices = [{"text": text, "loglikelihood": float(value)}]
    return {"output": said, "extracted": said, "choices": choices, "target": _as_text(target)}


def _arguments(given: Any) -> list[list[Any]]:
    """Requests of an item, however the version wrote them: each (context, continuation ...)."""
    if isinstance(given, dict):  # {"gen_args_0": {"arg_0": ..., "arg_1": ...}, ...}
        given = [list(one.values()) if isinstance(one, dict) else one for one in given.values()]
    if not isinstance(given, list):
        return []
    return [list(one) if isinstance(one, list) else [one] for one in given]


def _kind(asked: list[list[Any]]) -> str:
    if len(asked) > 1:
        return "multiple_choice"
    second = asked[0][1] if asked and len(asked[0]) > 1 else None
    if isinstance(second, dict):
        return "generate_until"
    return "loglikelihood" if isinstance(second, str) else "loglikelihood_rolling"


def _choice(target: Any, texts: Sequence[str]) -> str:
    """A target in words: lm-eval writes the number of the choice, as text.

    A text that is a number and a choice too is taken for the number, as most tasks mean it.
    """
    try:
        number = int(target)
    except (TypeError, ValueError):
        return _as_text(target)
    return texts[number] if 0 <= number < len(texts) else str(target)


def _argmax(texts: Sequence[str], values: Sequence[float], metric: str) -> int:
    """The choice that a metric takes as the answer."""
    sizes = [1] * len(texts)
    if metric == "acc_norm":
        sizes = [max(1, len(text)) for text in texts]
    elif metric == "acc_bytes":
        sizes = [max(1, len(text.encode())) for text in texts]
    return max(range(len(texts)), key=lambda i: (values[i] / sizes[i], -i))


def _score(value: Any) -> float:
    """One item's part of a metric: a number, or (label, prediction), or (sum, length)."""
    if isinstance(value, bool | int | float):
        return float(value)
    if isinstance(value, list) and len(value) == 2:
        a, b = value
        if isinstance(a, float) and isinstance(b, int) and b > 0:
            return a / b
        return float(a == b)
    return 0.0


def _alone(value: Any, metric: str) -> float:
    """A metric on one item, better in the direction in which the metric is.

    The harness keeps of a perplexity the log-probability, and of one per unit the units too.
    """
    score = _score(value)
    match metric:
        case "perplexity" | "word_perplexity" | "byte_perplexity":
            return math.exp(min(-score, 69.0))  # 1e30, the largest number that is kept
        case "bits_per_byte":
            return -score / math.log(2)
    return score


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
