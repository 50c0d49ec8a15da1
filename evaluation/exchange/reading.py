"""lm-eval's results and samples, and the Japanese financial harness's results, as plain scores.

Understood are the layouts of lm-eval 0.4.x (``"acc,none"``), of 0.3 and the older forks
(``"acc"``), and the harness for Japanese finance, which is written in either. Only leaf tasks come
in; the means over groups are ours to take.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evaluation.exchange.given import ExchangeError, Given, task_of
from evaluation.exchange.samples import read_samples
from evaluation.statistics.uncertainty import standard_error

FINANCE = re.compile(r"^(chabsa|cma_basics|cpa_audit|fp2|security_sales_1)(-\d.*)?$")
_NOT_METRICS = {"alias", "name", "sample_len", "sample_count", "samples"}
_MODEL = re.compile(r"(?:^|,)\s*(?:pretrained|model|path|engine)=([^,]+)")


@dataclass(frozen=True)
class TaskResult:
    """One task of an imported result; values as for a score event of ``evaluation.run``."""

    task: str
    task_version: str
    metric: str
    value: float
    stderr: float | None
    n: int
    """Items; 0 where the file does not say."""
    higher_is_better: bool
    config: dict[str, Any]
    prompts_hash: str
    answers: list[dict[str, Any]]
    missing: float | None
    truncated: float | None
    left_out: list[dict[str, Any]] | None = None
    """Items that could not be asked or graded, where a file of ours says so."""


@dataclass(frozen=True)
class Result:
    """What a results file with its samples says.

    Attributes:
        file: name of the results file.
        model: how the file calls the model; empty when it does not.
        source: the program and version that wrote it.
        suite: name of the suite, where one of ours wrote it.
        tasks: leaf tasks in the file's order.
        notes: what could not come in, in sentences.
    """

    file: str
    model: str
    source: str
    suite: str
    tasks: tuple[TaskResult, ...]
    notes: tuple[str, ...] = field(default=())


def read(given: Given) -> Result:
    """Understand a result.

    Raises:
        ExchangeError: a value that is no number, samples that do not fit, or no task at all.
    """
    results = given.results["results"]
    samples = _samples_by_task(given, results)
    source = _source(given.results)
    tasks, notes = [], []
    for name, row in results.items():
        if _is_group(given.results, name):
            continue
        if not isinstance(row, dict):
            raise ExchangeError(f"{given.name}: the task {name!r} has no table of metrics.")
        found = _metrics(given.name, name, row)
        if not found:
            notes.append(f"{name} has no figure, so it is left out.")
            continue
        task = _task(given, name, found, row, samples.get(name), source)
        tasks.append(task)
        if not task.higher_is_better:
            notes.append(f"In {name} lower is better ({task.metric}): it is compared in that "
                         "direction, and is in no mean over tasks.")  # fmt: skip
    if not tasks:
        raise ExchangeError(f"{given.name} has no task with a figure.")
    own = given.results.get("crucible") or {}
    return Result(given.name, _model(given.results), source, str(own.get("suite") or ""),
                  tuple(tasks), tuple(notes))  # fmt: skip


def _task(
    given: Given,
    name: str,
    found: Mapping[tuple[str, str], tuple[float, float | None]],
    row: Mapping[str, Any],
    rows: Sequence[dict[str, Any]] | None,
    source: str,
) -> TaskResult:
    listed = _entry(given.results, "configs", name)
    metric, filtered = _primary(name, listed, list(found))
    value, stderr = found[metric, filtered]
    metadata = listed.get("metadata")
    version = _entry_value(given.results, "versions", name)
    if version is None and isinstance(metadata, dict):
        version = metadata.get("version")
    config = _config(given.results, name, listed, metric, filtered, source)
    answers: list[dict[str, Any]] = []
    missing: float | None = None
    truncated: float | None = None
    if rows is not None:
        answers, missing, truncated = read_samples(given.name, name, rows, metric, filtered, listed)
        _check(given, name, listed, metric, value, answers)
        if stderr is None and _is_mean(listed, metric):
            stderr = standard_error([answer["score"] for answer in answers])
    return TaskResult(
        task=name,
        task_version=str(version if version is not None else "0"),
        metric=metric if filtered in ("", "none") else f"{metric},{filtered}",
        value=value,
        stderr=stderr,
        n=len(answers) or _n(given.results, name, row, metric, value, stderr),
        higher_is_better=_higher(given.results, listed, name, metric),
        config=config,
        prompts_hash=_prompts(answers, given, name),
        answers=answers,
        missing=missing,
        truncated=truncated,
        left_out=((given.results.get("crucible") or {}).get("left_out") or {}).get(name),
    )


def _metrics(
    file: str, task: str, row: Mapping[str, Any]
) -> dict[tuple[str, str], tuple[float, float | None]]:
    """(metric, filter) -> value and standard error."""
    found: dict[tuple[str, str], tuple[float, float | None]] = {}
    errors: dict[tuple[str, str], float] = {}
    for key, value in row.items():
        metric, _, filtered = str(key).strip().partition(",")
        if (
            metric in _NOT_METRICS
            or not metric
            or isinstance(value, bool | str | None | dict | list)
        ):
            continue
        if not math.isfinite(value):
            raise ExchangeError(f"{file}: the {metric} of {task} is {value}, which is no score.")
        if metric.endswith("_stderr"):
            errors[metric.removesuffix("_stderr"), filtered] = float(value)
        else:
            found[metric, filtered] = (float(value), None)
    return {key: (value, errors.get(key)) for key, (value, _) in found.items()}


def _primary(
    task: str, listed: Mapping[str, Any], there: Sequence[tuple[str, str]]
) -> tuple[str, str]:
    """The metric that stands for a task: the first that the task lists, under its first filter."""
    names = [str(m.get("metric")) for m in listed.get("metric_list") or [] if isinstance(m, dict)]
    if task.startswith("chabsa"):  # its harness ranks by macro-F1, though it lists acc first
        names.insert(0, "f1")
    filters = [str(f.get("name")) for f in listed.get("filter_list") or [] if isinstance(f, dict)]
    for name in [*names, "acc", "exact_match"]:
        fits = [key for key in there if key[0] == name]
        if fits:
            return min(fits, key=lambda k: filters.index(k[1]) if k[1] in filters else len(filters))
    return there[0]


def _config(
    results: Mapping[str, Any],
    task: str,
    listed: Mapping[str, Any],
    metric: str,
    filtered: str,
    source: str,
) -> dict[str, Any]:
    """What must agree for two imported scores to be comparable; never that of a score of ours."""
    run = results.get("config") or {}
    run = run if isinstance(run, dict) else {}
    words = {k: v for k, v in listed.items() if k not in ("metadata", "dataset_kwargs")}
    config = {
        "imported": source,
        "task": task,
        "task_hash": _digest(words) if words else "",
        "metric": metric,
        "filter": filtered or "none",
        "num_fewshot": _shots(results, run, listed, task),
        "limit": _limit(run.get("limit")),
        "dtype": _argument(run.get("model_args"), "dtype"),
        "chat_template": results.get("chat_template_sha"),
        "system_instruction": results.get("system_instruction_sha"),
        "fewshot_as_multiturn": bool(results.get("fewshot_as_multiturn")),
        "generation": run.get("gen_kwargs") or listed.get("generation_kwargs"),
    }
    own = ((results.get("crucible") or {}).get("configs") or {}).get(task)
    if isinstance(own, dict):  # ours, coming back: it keeps its stamp and its settings
        config |= {k: v for k, v in own.items() if k not in ("imported", "metric", "filter")}
    return config


def _shots(
    results: Mapping[str, Any], run: Mapping[str, Any], listed: Mapping[str, Any], task: str
) -> int | None:
    shots = _entry_value(results, "n-shot", task)
    if shots is None:
        shots = listed.get("num_fewshot", run.get("num_fewshot"))
    if isinstance(shots, list):  # of the old harness: one for each task, in the results' order
        names = list(results["results"])
        shots = shots[names.index(task)] if len(shots) == len(names) else None
    return int(shots) if isinstance(shots, int | float) else None


def _limit(value: Any) -> int | float | None:
    if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
        return None
    return int(value) if float(value).is_integer() else float(value)


def _n(
    results: Mapping[str, Any], task: str, row: Mapping[str, Any], metric: str, value: float,
    stderr: float | None,
) -> int:  # fmt: skip
    """Items behind a figure: said, or worked out from the standard error of right-or-wrong."""
    said = _entry(results, "n-samples", task).get("effective", row.get("sample_len"))
    if isinstance(said, int) and said > 0:
        return said
    if metric in ("acc", "acc_norm", "exact_match", "em") and stderr and 0 < value < 1:
        n = value * (1 - value) / stderr**2 + 1  # stderr = sqrt(p (1 - p) / (n - 1))
        if abs(n - round(n)) < 0.01 and abs(value * n - round(value * n)) < 0.01:
            return round(n)
    return 0


def _check(
    given: Given, task: str, listed: Mapping[str, Any], metric: str, value: float,
    answers: Sequence[Mapping[str, Any]],
) -> None:  # fmt: skip
    """Samples of another run beside a result would be believed: their mean and number must fit."""
    said = _entry(given.results, "n-samples", task).get("effective")
    if isinstance(said, int) and said != len(answers):
        raise ExchangeError(f"The samples of {task} are {len(answers)} items and {given.name} says "
                            f"{said}: they are of another run.")  # fmt: skip
    if not _is_mean(listed, metric):
        return
    mean = math.fsum(answer["score"] for answer in answers) / len(answers)
    if abs(mean - value) > 1e-6 * max(1.0, abs(value)):
        raise ExchangeError(f"The samples of {task} have a mean {metric} of {mean:.4f} and "
                            f"{given.name} says {value:.4f}: they are of another run.")  # fmt: skip


def _is_mean(listed: Mapping[str, Any], metric: str) -> bool:
    found = [m for m in listed.get("metric_list") or [] if isinstance(m, dict)]
    return any(m.get("metric") == metric and m.get("aggregation") == "mean" for m in found)


def _samples_by_task(
    given: Given, results: Mapping[str, Any]
) -> dict[str, Sequence[dict[str, Any]]]:
    found: dict[str, Sequence[dict[str, Any]]] = {}
    inside = given.results.get("samples")
    if isinstance(inside, dict):
        found.update({str(k): v for k, v in inside.items() if isinstance(v, list)})
    for file, rows in given.samples.items():
        task = task_of(file, results)
        if task in found:
            raise ExchangeError(f"Two files have samples of {task}; give one of them.")
        if not rows:
            raise ExchangeError(f"{file} is empty.")
        found[task] = rows
    return found


def _is_group(results: Mapping[str, Any], name: str) -> bool:
    groups = results.get("groups")
    below = _entry_value(results, "group_subtasks", name)
    return (isinstance(groups, dict) and name in groups) or bool(below)


def _higher(results: Mapping[str, Any], listed: Mapping[str, Any], task: str, metric: str) -> bool:
    said = _entry(results, "higher_is_better", task).get(metric)
    for one in listed.get("metric_list") or []:
        if said is None and isinstance(one, dict) and one.get("metric") == metric:
            said = one.get("higher_is_better")
    return said is not False


def _source(results: Mapping[str, Any]) -> str:
    if isinstance(results.get("crucible"), dict):
        return "Crucible"
    if all(FINANCE.match(str(name)) for name in results["results"]):
        return "the Japanese financial harness"
    version = results.get("lm_eval_version")
    return f"lm-eval {version}" if version else "lm-eval"


def _model(results: Mapping[str, Any]) -> str:
    own = (results.get("crucible") or {}).get("model")
    if own:
        return str(own)
    run = results.get("config")
    arguments = run.get("model_args") if isinstance(run, dict) else None
    for key in ("pretrained", "model", "path", "engine"):
        if isinstance(arguments, dict) and arguments.get(key):
            return str(arguments[key])
    if isinstance(arguments, str) and (found := _MODEL.search(arguments)):
        return found.group(1).strip()
    return str(results.get("model_name") or "")


def _argument(arguments: Any, key: str) -> str | None:
    if isinstance(arguments, dict):
        return None if arguments.get(key) is None else str(arguments[key])
    found = re.search(rf"(?:^|,)\s*{key}=([^,]+)", str(arguments or ""))
    return found.group(1).strip() if found else None


def _entry(results: Mapping[str, Any], table: str, task: str) -> Mapping[str, Any]:
    value = _entry_value(results, table, task)
    return value if isinstance(value, dict) else {}


def _entry_value(results: Mapping[str, Any], table: str, task: str) -> Any:
    found = results.get(table)
    return found.get(task) if isinstance(found, dict) else None


def _prompts(answers: Sequence[Mapping[str, Any]], given: Given, task: str) -> str:
    own = ((given.results.get("crucible") or {}).get("prompts_hashes") or {}).get(task)
    if own:
        return str(own)[:64]
    return _digest([answer["prompt_hash"] for answer in answers]) if answers else ""


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
