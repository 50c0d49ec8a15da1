"""Which of a suite's tasks a merge may have forgotten."""

from __future__ import annotations

from collections.abc import Collection, Mapping

GENERAL = "general"
TITLE = "General skills lost"
RULE = (
    "the mean over the general tasks is below the best parent's, and the 95 % interval of the "
    "difference, paired by item, excludes zero; general tasks are those of the domain “general”, "
    "or, in a suite without one, of the domains that no parent is an expert in"
)


def general_tasks(tasks: Mapping[str, str], expert_domains: Collection[str]) -> list[str]:
    """The tasks that stand for general skills.

    Args:
        tasks: task -> domain, of a suite.
        expert_domains: domains that the merge's parents are experts in.

    Returns:
        Tasks in the suite's order; none when every domain is some parent's.
    """
    named = [task for task, domain in tasks.items() if domain == GENERAL]
    if named:
        return named
    return [task for task, domain in tasks.items() if domain not in expert_domains]
