"""Small helpers for sentences: nearest names, lists in words, sizes."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, or None when nothing is near."""
    names = list(known)
    by_lower = {known_name.lower(): known_name for known_name in names}
    found = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.5)
    return by_lower[found[0]] if found else None


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """A sentence for a name that does not exist, with the nearest one, else the list."""
    names = list(known)
    near = nearest(name, names)
    if near is not None:
        return f'Unknown {what} {quoted(name)}. Did you mean "{near}"?'
    return f"Unknown {what} {quoted(name)}. Known: {in_words(names)}."


def quoted(text: str) -> str:
    """What a user gave, in quotes, on one line and not too long."""
    line = json.dumps(text, ensure_ascii=False)
    return line if len(line) <= 60 else line[:56] + '..."'


def in_words(names: Iterable[str], *, most: int = 12) -> str:
    """`a, b and c`; after `most` names the rest is counted, not listed."""
    items = list(names)
    if not items:
        return "none"
    if len(items) > most:
        return ", ".join(items[:most]) + f" and {len(items) - most} more"
    if len(items) == 1:
        return items[0]
    return ", ".join(items[:-1]) + " and " + items[-1]


def size(n_bytes: float) -> str:
    """Bytes as people read them: `1.1 GB` (powers of ten, like disks and `ls --si`)."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if abs(n_bytes) < 1000:
            return f"{n_bytes:.0f} {unit}" if unit in ("bytes", "kB") else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} TB"
