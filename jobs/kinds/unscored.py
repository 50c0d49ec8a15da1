"""What is left to score, told from what was scored before under the same configuration."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evaluation.holdout import Part

Scored = tuple[str, str, str]  # fingerprint, task, config hash


def done(
    scored: Collection[Sequence[str]],
    fingerprint: str,
    suite: str,
    *,
    limit: int | None,
    dtype: str,
    tasks: Sequence[str] | None = None,
    part: Part | None = None,
) -> tuple[set[str], set[str]]:
    """The tasks asked for that are scored already, and those that are not.

    Args:
        scored: what was scored: fingerprint, task, hash of the configuration.
        fingerprint: of the weights as they are now.
        suite: name or path.
        limit: items per task.
        dtype: that the model would be scored in.
        tasks: only these tasks of the suite.
        part: of a split of the items, None for all.

    Raises:
        SuiteError: there is no such suite, or it has no such task.
    """
    from evaluation.configs import config_hash, task_configs
    from evaluation.suites import load_suite

    there = {tuple(each) for each in scored}
    configs = task_configs(load_suite(suite), limit, dtype, part)
    asked = set(configs if tasks is None else tasks)
    have = {
        task
        for task, config in configs.items()
        if task in asked and (fingerprint, task, config_hash(config)) in there
    }
    return have, asked - have


def part_of(spec: Mapping[str, Any]) -> Part | None:
    """The part of the items that a job's spec asks for.

    Raises:
        SuiteError: it is none.
    """
    from evaluation.holdout import part

    given = spec.get("part")
    return part(given["name"], given["seed"], given["share"]) if given else None
