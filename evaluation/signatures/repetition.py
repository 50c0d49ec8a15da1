"""Replies that go round in circles."""

from __future__ import annotations

import re

import numpy as np

LONGEST_PERIOD = 240  # characters: a long sentence said again
MOST_CHARACTERS = 20_000  # of a reply that are looked at
LEAST_LOOP = 12  # characters: "ha ha ha ha" is no failure of a model
LOOP_SHARE = 0.5
RUN = 6
LEAST_TOKENS = 24
RUN_SHARE = 0.5

_CJK = "\u3005-\u3007\u3041-\u30ff\u3400-\u9fff\uff66-\uff9f"
_TOKEN = re.compile(rf"[{_CJK}]|[^\W\d_{_CJK}]+")


def is_repetition(text: str, target: str = "") -> bool:
    """Whether a reply is mostly one stretch, or the same runs of words, over and over.

    Args:
        text: the reply.
        target: the right answer; where that repeats itself (a copying task), so may the reply.
    """
    if not (_loops(text) or _runs_again(text)):
        return False
    return not (_loops(target) or _runs_again(target))


def loop_share(text: str) -> float:
    """Largest share of the reply, without blanks, that one periodic stretch covers (0 to 1).

    A stretch of period p counts from four repetitions on, three where p is above eight. For each
    p the text is compared with itself shifted by p; a run of L equal places is a stretch of L + p.
    """
    codes = _codes(text)  # (n,) code points
    n = codes.size
    longest = 0
    for period in range(1, min(LONGEST_PERIOD, n // 3) + 1):
        stretch = _longest_run(codes[period:] == codes[:-period]) + period
        if stretch >= period * (4 if period <= 8 else 3):
            longest = max(longest, stretch)
    return longest / n if n and longest >= LEAST_LOOP else 0.0


def run_share(text: str) -> float:
    """Share of the runs of six words, kana or kanji that occurred before in the reply.

    Numbers are left out: a list that only counts up is a loop. 0.0 below 24 words, where the share
    would mean nothing.
    """
    tokens = [token.casefold() for token in _TOKEN.findall(text[:MOST_CHARACTERS])]
    if len(tokens) < LEAST_TOKENS:
        return 0.0
    runs = [tuple(tokens[i : i + RUN]) for i in range(len(tokens) - RUN + 1)]
    return 1 - len(set(runs)) / len(runs)


def _loops(text: str) -> bool:
    return loop_share(text) >= LOOP_SHARE


def _runs_again(text: str) -> bool:
    return run_share(text) >= RUN_SHARE


def _codes(text: str) -> np.ndarray:
    """Code points without blanks and without the lines of tables, shape (n,)."""
    kept = re.sub(r"[\s|:\-_=*.・…—─━]+", "", text[:MOST_CHARACTERS])
    return np.frombuffer(kept.encode("utf-32-le", "replace"), dtype=np.uint32)


def _longest_run(same: np.ndarray) -> int:
    """Length of the longest run of True, shape (m,)."""
    breaks = np.flatnonzero(~same)
    if not breaks.size:
        return int(same.size)
    edges = np.concatenate(([-1], breaks, [same.size]))
    return int(np.diff(edges).max() - 1)
