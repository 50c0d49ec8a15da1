"""YAML from anybody, bounded: what is small as text must not become large, or deep, when read.

An alias stands for what it names, again and again: eleven short lines can mean a billion values.
The parser's events are counted before anything is built.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

MOST_BYTES = 2_000_000
MOST_DEPTH = 60
MOST_VALUES = 300_000  # with every alias written out
_Safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read(path: Path, loader: Any = _Safe) -> Any:
    """The content of a file.

    Args:
        path: a file of at most 2 MB.
        loader: PyYAML's, a safe one.

    Raises:
        OSError, UnicodeDecodeError: it cannot be read.
        yaml.YAMLError: it is not YAML.
        ValueError: it is too large, too deep, or holds a value that cannot be read; with a phrase.
    """
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError("it is larger than 2 MB")
    return load(content.decode("utf-8"), loader)


def load(text: str, loader: Any = _Safe) -> Any:
    """The content of a text; see ``read``."""
    try:
        _check(text, loader)
        return yaml.load(text, Loader=loader)
    except UnicodeError:
        raise ValueError("it has characters that are no text") from None
    except (TypeError, AttributeError, LookupError, OverflowError, RecursionError):
        # the constructors of dates and numbers, and keys that are lists
        raise ValueError("it holds a number, date or key that cannot be read") from None


def _check(text: str, loader: Any) -> None:
    """Count values with all aliases written out."""
    sizes: dict[str, int] = {}  # of what has an anchor, once it is complete
    open_: list[tuple[str | None, int]] = []  # anchors of what is being read, and values before it
    count = 0
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise ValueError("it has an alias that holds itself, or stands before its anchor")
            count += sizes[event.anchor]
        elif isinstance(event, yaml.ScalarEvent):
            count += 1
            if event.anchor:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            open_.append((event.anchor, count))
            count += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_.pop()
            if anchor:
                sizes[anchor] = count - before
        if len(open_) > MOST_DEPTH:
            raise ValueError(f"it is nested more than {MOST_DEPTH} levels deep")
        if count > MOST_VALUES:
            raise ValueError(f"its aliases written out are more than {MOST_VALUES:,} values")
