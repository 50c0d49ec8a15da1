"""Gain and Outperform Gap: how far a merge stands above what it was made of.

Definitions of "Gain" and "OG" from arXiv:2511.02451 (merging of continually pretrained
financial experts): with s_m the score of the merge on one task and s_1 .. s_k those of its
constituents,

    Gain = s_m - (s_1 + ... + s_k) / k          OG = s_m - max(s_1, ..., s_k)

and Macro-Gain, Macro-OG their means over tasks. Scores and results are on the same scale (0-1 in,
0-1 out). A positive Gain says that merging beat owning an average constituent, a positive OG that
it beat owning the best one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import fsum


def gain(merge: float, constituents: Sequence[float]) -> float:
    """Gain on one task: ``merge - mean(constituents)``.

    Raises:
        ValueError: no constituents.
    """
    _not_empty(constituents)
    return merge - fsum(constituents) / len(constituents)


def outperform_gap(merge: float, constituents: Sequence[float]) -> float:
    """Outperform Gap on one task: ``merge - max(constituents)``.

    Raises:
        ValueError: no constituents.
    """
    _not_empty(constituents)
    return merge - max(constituents)


def macro_gain(merge: Mapping[str, float], constituents: Sequence[Mapping[str, float]]) -> float:
    """Macro-Gain: the mean of Gain over the tasks of ``merge``, each task counting once.

    Args:
        merge: task -> score of the merge.
        constituents: for each constituent, task -> score.

    Raises:
        ValueError: no tasks, no constituents, or a constituent that lacks one of the tasks.
    """
    return _macro(merge, constituents, gain)


def macro_outperform_gap(
    merge: Mapping[str, float], constituents: Sequence[Mapping[str, float]]
) -> float:
    """Macro-OG: the mean of OG over the tasks of ``merge``; the best constituent is per task.

    Args:
        merge: task -> score of the merge.
        constituents: for each constituent, task -> score.

    Raises:
        ValueError: no tasks, no constituents, or a constituent that lacks one of the tasks.
    """
    return _macro(merge, constituents, outperform_gap)


def _macro(
    merge: Mapping[str, float],
    constituents: Sequence[Mapping[str, float]],
    measure: Callable[[float, Sequence[float]], float],
) -> float:
    if not merge:
        raise ValueError("A macro mean needs at least one task; none was given.")
    for scores in constituents:
        missing = [task for task in merge if task not in scores]
        if missing:
            raise ValueError(
                f"A constituent has no score on {missing[0]!r}; "
                "average only over tasks that every model has."
            )
    values = [measure(merge[task], [scores[task] for scores in constituents]) for task in merge]
    return fsum(values) / len(values)


def _not_empty(constituents: Sequence[float]) -> None:
    if not constituents:
        raise ValueError("Gain and OG compare with at least one constituent; none was given.")
