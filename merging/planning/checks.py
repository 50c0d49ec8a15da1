"""What a look at the parents found, before anything starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        title: what, in two or three words.
        state: "bad" stands in the way of the merge.
        detail: what was found, one sentence.
        fix: what to do; empty when nothing has to be done.
    """

    title: str
    state: Literal["ok", "warn", "bad"]
    detail: str
    fix: str = ""
