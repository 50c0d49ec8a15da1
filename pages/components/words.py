"""Numbers as people read them."""

from __future__ import annotations

import time
from pathlib import Path

from db import settings


def size(size_bytes: float | None) -> str:
    """`3.7 MB`: decimal units, as disks and model hubs count."""
    if size_bytes is None:
        return "–"
    value = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(value) < 999.5 or unit == "TB":
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError("unreachable")


def count(number: float | None) -> str:
    """`934 k`, `7.2 B`: parameters of a model."""
    if number is None:
        return "–"
    value = float(number)
    for unit in ("", " k", " M", " B", " T"):
        if abs(value) < 999.5 or unit == " T":
            return f"{value:.0f}{unit}" if not unit or value >= 100 else f"{value:.1f}{unit}"
        value /= 1000
    raise AssertionError("unreachable")


def duration(seconds: float | None) -> str:
    """`8 s`, `2 min 5 s`, `1 h 12 min`."""
    if seconds is None:
        return "–"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def ago(moment: float | None, now: float | None = None) -> str:
    """`just now`, `5 min ago`, `3 days ago`."""
    if moment is None:
        return "–"
    seconds = max(0.0, (time.time() if now is None else now) - moment)
    if seconds < 45:
        return "just now"
    for limit, unit_seconds, word in ((3570, 60, "min"), (84600, 3600, "h")):
        if seconds < limit:
            return f"{max(1, round(seconds / unit_seconds))} {word} ago"
    days = max(1, round(seconds / 86400))
    return f"{days} day{'s' if days > 1 else ''} ago"


def plural(number: int, word: str) -> str:
    """`1 job`, `3 jobs`."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def points(difference: float) -> str:
    """`+2.3 points` of a difference in shares; what rounds to nothing has no sign."""
    text = f"{100 * difference:+.1f}"
    return f"{text.lstrip('+-') if float(text) == 0 else text} points"


def place(source: str) -> str:
    """A folder as short as it can be said; a Hub id as it is."""
    if not source:
        return "in memory only"
    path = Path(source)
    for folder, word in ((settings.PROJECT, ""), (settings.home(), "CRUCIBLE_HOME/")):
        if path.is_absolute() and path.is_relative_to(folder):
            return f"{word}{path.relative_to(folder)}"
    return source
