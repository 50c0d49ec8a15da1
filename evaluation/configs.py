"""Under which configuration each task is scored, and the hash that keeps scores apart.

Two scores may be compared when their hashes agree. What differs from model to model without
making them incomparable (its own chat template, its tokenizer) is not in it; ``prompts_hash`` of
a score covers what was really asked. Needs neither torch nor lm-eval, nor the model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import yaml

from evaluation.errors import SuiteError
from evaluation.extraction.grade import EXTRACTION_VERSION
from evaluation.harness.splits import from_questions
from evaluation.harness.task_files import TaskFile, read_config
from evaluation.holdout import Part
from evaluation.published.prompt_versions import knows_versions, standard
from evaluation.suites import Settings, Suite

SCORER_VERSION = 1
"""Raised when the scorer gives other numbers for the same question."""


def task_configs(
    suite: Suite, limit: int | None = None, dtype: str = "float32", part: Part | None = None
) -> dict[str, dict[str, Any]]:
    """Task -> the configuration its score would carry, for every task of the suite.

    Args:
        suite: from ``load_suite``.
        limit: items per task, None for all.
        dtype: that the model computes in (``evaluation.run.scoring_dtype``).
        part: of a split of the items, None for all of them (and then not in the configuration).

    Raises:
        SuiteError: limit below 1.
    """
    if limit is not None and limit < 1:
        raise SuiteError(f"The limit must be at least 1 item per task, not {limit}.")
    files = suite.task_files()
    configs = {task: _config(suite, task, files.get(task), limit, dtype) for task in suite.tasks}
    if part is not None:
        for task, config in configs.items():
            raw = files[task].config if task in files else _harness_config(suite, task)
            config |= part.stamp()
            if config["num_fewshot"] and from_questions(raw):
                config["fewshot_within_part"] = True  # earlier its examples could be of the other
    return configs


def config_hash(config: Mapping[str, Any]) -> str:
    """64 hex digits over a configuration."""
    text = json.dumps(config, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _config(
    suite: Suite, task: str, file: TaskFile | None, limit: int | None, dtype: str
) -> dict[str, Any]:
    settings = suite.settings_for(task)
    raw = file.config if file else _harness_config(suite, task)
    shots = settings.num_fewshot if settings.num_fewshot is not None else raw.get("num_fewshot")
    chat = bool(settings.apply_chat_template)
    config = {
        "task": task,
        # A task of the harness's own is pinned by the harness's version.
        "task_version": file.version if file else f"lm-eval {version('lm_eval')}",
        "task_hash": file.content_hash() if file else _harness_hash(suite, task),
        "num_fewshot": int(shots or 0),
        "limit": limit,
        "dtype": dtype,
        "add_bos_token": settings.add_bos_token,
        "chat_template": _chat_template(suite, settings) if chat else None,
        "fewshot_as_multiturn": chat and settings.fewshot_as_multiturn is not False,
        "fewshot_seed": settings.fewshot_seed or 1234,
        "system_instruction": settings.system_instruction,
        "generation": _generation(raw, settings),
        "scorer": SCORER_VERSION,
    }
    if str(raw.get("process_results", "")).startswith("!function evaluation.extraction."):
        config["extraction"] = EXTRACTION_VERSION
    config |= _of_benchmark(raw, settings)
    return config


def _of_benchmark(raw: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """What only some tasks have: thoughts to strip, versions of their prompts."""
    found: dict[str, Any] = {}
    if raw.get("output_type") == "generate_until":
        found["strip_thinking"] = settings.strips_thinking
    if knows_versions(raw):
        own = str(raw["dataset_kwargs"]["prompt_version"])
        found["prompt_version"] = standard(settings.prompt_version or own)
    return found


def _harness_config(suite: Suite, task: str) -> dict[str, Any]:
    """The YAML of a task of lm-eval's own with what its group says; empty when unreadable."""
    leaf = suite.harness.get(task)
    if leaf is None:
        return {}
    try:
        config = read_config(leaf.path) if leaf.path else {}
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return {**config, **leaf.overrides}


def _harness_hash(suite: Suite, task: str) -> str:
    """What beside the harness's version decides a task: its group's words, its data's commit."""
    leaf = suite.harness.get(task)
    dataset = str(_harness_config(suite, task).get("dataset_path") or "")
    told = {"overrides": dict(leaf.overrides) if leaf else {},
            "revision": suite.revisions.get(dataset, "")}  # fmt: skip
    if not any(told.values()):
        return ""
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


def _chat_template(suite: Suite, settings: Settings) -> str:
    """``own`` or ``own, else <file> <hash>``: what a model without a template gets."""
    if settings.chat_template is None:
        return "own"
    path = suite.resolve(settings.chat_template)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else "missing"
    return f"own, else {path.name} {digest}"


def _generation(raw: Mapping[str, Any], settings: Settings) -> dict[str, Any] | None:
    if raw.get("output_type") != "generate_until":
        return None
    given = dict(raw.get("generation_kwargs") or {})
    if settings.max_gen_toks is not None:
        given["max_gen_toks"] = settings.max_gen_toks
    return given
