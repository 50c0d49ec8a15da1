"""What the cosine of two task vectors says about adding them, in words."""

from __future__ import annotations

import math
from typing import Literal

# rules of thumb, not the papers': random directions in millions of dimensions lie within 0.001 of
# zero; task vectors that are called nearly orthogonal in the literature reach 0.03 to 0.3
INDEPENDENT = 0.1
ALIKE = 0.3

ASSUMPTION = (
    "Hirano and Imajo (arXiv 2409.19854) add `expert + instruct - base` because they take the two "
    "task vectors for nearly independent: with a cosine near zero, what one adds leaves the other "
    "alone."
)
LIMITS = (
    f"Below {INDEPENDENT} counts as nearly independent here and above {ALIKE} as alike; both are "
    "rules of thumb, not the papers' figures."
)

Verdict = Literal["independent", "partly", "alike", "opposed", "none"]
WORDS: dict[Verdict, str] = {
    "independent": "nearly independent",
    "partly": "partly alike",
    "alike": "alike",
    "opposed": "opposed",
    "none": "not defined",
}
MEANING: dict[Verdict, str] = {
    "independent": "adding both should keep both.",
    "partly": "their sum goes along the shared part twice, which weights below 1 make up for.",
    "alike": "their sum goes along the shared direction twice and overshoots, and one has less to "
    "bring to the other. Average them, or lower the weights.",
    "opposed": "adding one undoes part of the other.",
}


def verdict(cosine: float) -> Verdict:
    """What a cosine of task vectors means for their sum."""
    if math.isnan(cosine):
        return "none"
    if abs(cosine) < INDEPENDENT:
        return "independent"
    if cosine < 0:
        return "opposed"
    return "alike" if cosine >= ALIKE else "partly"


def sentence(first: str, second: str, cosine: float) -> str:
    """`finance and instruct (cosine +0.090) are nearly independent: ...`."""
    found = verdict(cosine)
    if found == "none":
        return f"{first} and {second} have no cosine: one of the two task vectors is zero."
    return f"{first} and {second} (cosine {cosine:+.3f}) are {WORDS[found]}: {MEANING[found]}"
