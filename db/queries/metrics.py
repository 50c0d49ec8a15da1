"""Which metrics may stand in a mean of scores, told by name.

A mean over tasks is of shares: accuracies and their kind, from 0 to 1, the higher the better. A
perplexity has no such scale, BLEU counts to 100, and of an error rate less is better.
"""

from __future__ import annotations

NOT_SHARES = frozenset(
    {"perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte", "bleu", "chrf", "ter"}
)


def base_name(metric: str) -> str:
    """A metric without the filter that it is under: `exact_match` of `exact_match,strict`."""
    return metric.split(",")[0]


def is_share(metric: str) -> bool:
    """Whether a metric is on the scale from 0 to 1, so that it can be said in percent."""
    return base_name(metric) not in NOT_SHARES


def label(metric: str, *, higher_is_better: bool) -> str:
    """`acc`, or `word_perplexity, lower is better`."""
    return base_name(metric) if higher_is_better else f"{base_name(metric)}, lower is better"
