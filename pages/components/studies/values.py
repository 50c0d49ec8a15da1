"""Lists of numbers as people type them: `0.2, 0.5, 0.8`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

MOST = 200


class BadValuesError(ValueError):
    """One sentence about what was typed."""


def read(text: str, what: str, *, whole: bool = False) -> list[float | int]:
    """The numbers in a text, separated by commas, semicolons or spaces.

    Args:
        text: as typed.
        what: they are, for the sentence.
        whole: whether they are whole numbers.

    Raises:
        BadValuesError: something is no number.
    """
    found: list[float | int] = []
    words = [word for word in re.split(r"[,;\s]+", text.strip()) if word]
    if len(words) > MOST:
        raise BadValuesError(f"{what}: {len(words)} values; {MOST} are the most here.")
    for word in words:
        try:
            number = int(word) if whole else float(word)
        except ValueError:
            kind = "whole number" if whole else "number"
            raise BadValuesError(
                f"{what}: “{word[:20]}” is no {kind}. Write values with commas between, such as "
                f"{'1, 2, 3' if whole else '0.2, 0.5, 0.8'}."
            ) from None
        if not whole and not math.isfinite(number):
            raise BadValuesError(f"{what}: “{word[:20]}” is no number that can be used.")
        found.append(number)
    return found


def write(numbers: Iterable[float | int]) -> str:
    """The text of numbers; `read` gives them back."""
    return ", ".join(
        str(int(one)) if float(one).is_integer() and abs(one) < 1e15 else repr(one)
        for one in numbers
    )
