"""Ranges as people type them: `0.2 to 1.2`, `0 to 1 step 0.1`, `0 to 1.5, 3 points`, `0.2, 0.5`."""

from __future__ import annotations

import math
import re
from typing import Any

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
RANGE = re.compile(rf"^({NUMBER})\s*(?:to|–|\.\.)\s*({NUMBER})(.*)$")
HELP = (
    "A range such as `0.2 to 1.2` is searched; `0 to 1 step 0.1` in steps, `0.01 to 1 log` by its "
    "logarithm, `0 to 1.5, 3 points` as a gradient over the layers. `0.2, 0.5` tries these values. "
    "A single number stays as it is, and nothing leaves the default."
)


class BadRangeError(ValueError):
    """One sentence about what was typed."""


def read(text: str, what: str) -> Any:
    """What a text says: None for nothing, a number to stay, else a range as plain data.

    Raises:
        BadRangeError: it is none of these.
    """
    text = text.strip()
    if not text:
        return None
    found = RANGE.match(text)
    if found is None:
        values = [_number(word, what) for word in re.split(r"[,;\s]+", text) if word]
        return values[0] if len(values) == 1 else values
    data: dict[str, Any] = {"low": _number(found[1], what), "high": _number(found[2], what)}
    rest = found[3]
    for pattern, key, kind in (
        (rf"\bstep\s+({NUMBER})", "step", float),
        (r"\b(\d{1,4})\s*points?\b", "points", int),
        (r"\blog\b()", "log", bool),
    ):
        if (one := re.search(pattern, rest)) is not None:
            data[key] = True if kind is bool else kind(one[1])
            rest = rest.replace(one[0], " ", 1)
    if rest.strip(" ,;"):
        raise BadRangeError(
            f"{what}: “{rest.strip(' ,;')[:30]}” is not understood; write a range such as "
            "0.2 to 1.2, or values with commas between."
        )
    return data


def write(data: Any) -> str | None:
    """The text of a range or value; None where only YAML can say it."""
    if data is None:
        return ""
    if isinstance(data, bool | str):
        return None
    if isinstance(data, int | float):
        return f"{data:g}"
    if isinstance(data, list | tuple):
        plain = all(isinstance(one, int | float) and not isinstance(one, bool) for one in data)
        return ", ".join(f"{one:g}" for one in data) if plain and len(data) > 1 else None
    if not isinstance(data, dict) or set(data) - {"low", "high", "step", "points", "log"}:
        return None
    text = f"{data['low']:g} to {data['high']:g}"
    if data.get("step") is not None:
        text += f" step {data['step']:g}"
    if data.get("log"):
        text += " log"
    return text + (f", {data['points']} points" if data.get("points") else "")


def _number(word: str, what: str) -> float | int:
    try:
        value = float(word)
    except ValueError:
        raise BadRangeError(
            f"{what}: “{word[:20]}” is no number. Write a range such as 0.2 to 1.2, or values with "
            "commas between."
        ) from None
    if not math.isfinite(value):
        raise BadRangeError(f"{what}: “{word[:20]}” is no number that can be used.")
    return value
