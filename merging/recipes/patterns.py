"""Regular expressions from strangers' recipes: only those whose search ends soon.

Python's search tries every way to match; `(.+)+x` on a name of forty letters is a trillion of them,
and nothing else runs meanwhile. What a pattern may cost is counted before it is used.
"""

from __future__ import annotations

import importlib
import math
import re
from typing import Any

# what can be tried at one position of a name; a search over all of a model's names takes moments
MOST_WAYS = 200_000
# how many letters of a name an unlimited repetition may span
LETTERS = 50


def compile_pattern(pattern: str, flags: re.RegexFlag = re.NOFLAG) -> re.Pattern[str]:
    """Compile a regular expression.

    Raises:
        ValueError: it is none, or it may take too long; with a phrase saying why.
    """
    try:
        compiled = re.compile(pattern, flags)
        tree = importlib.import_module("re._parser").parse(pattern, flags)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(str(error)) from None
    if _ways(tree) > MOST_WAYS:
        raise ValueError("too many repetitions or alternatives, it could search for hours")
    return compiled


def _ways(sequence: Any) -> float:
    """At most so many ways to match a parsed pattern at one position."""
    return math.prod(_ways_of(str(kind), value) for kind, value in sequence)


def _ways_of(kind: str, value: Any) -> float:
    match kind:
        case "BRANCH":
            return sum(_ways(one) for one in value[1])
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            least, most, inner = value
            lengths = min(most, LETTERS) - min(least, LETTERS) + 1
            inside = _ways(inner)
            # n times a choice of c are c^n ways
            return lengths * (inside ** min(most, LETTERS) if inside > 1 else 1)
        case "SUBPATTERN":
            return _ways(value[-1])
        case "ASSERT" | "ASSERT_NOT":
            return _ways(value[1])
        case "ATOMIC_GROUP":
            return _ways(value)
        case "GROUPREF_EXISTS":
            return sum(_ways(one) for one in value[1:] if one is not None)
    return 1
