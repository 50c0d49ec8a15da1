"""Names that people give to models, and the folders they become: never a path unchecked."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

from jobs.errors import JobError

MAX_NAME = 100  # characters
MAX_FOLDER_BYTES = 120  # of 255 that file systems allow; engines add suffixes


def check(name: str) -> str:
    """A model's name as somebody typed it, without blanks around it.

    Raises:
        JobError: empty, too long, or with characters that a name cannot have.
    """
    name = unicodedata.normalize("NFC", name).strip()
    if not name:
        raise JobError("The name is empty. Give the merge a name, such as finance-instruct.")
    shown = _printable(name)
    if len(name) > MAX_NAME:
        raise JobError(
            f"The name “{shown[:40]}…” has {len(name)} characters; at most {MAX_NAME} are allowed."
        )
    if any(unicodedata.category(letter).startswith("C") for letter in name):
        raise JobError(f"The name “{shown}” has invisible or control characters; remove them.")
    if "/" in name or "\\" in name or name.startswith("."):
        raise JobError(
            f"The name “{shown}” cannot be used: a name has no slashes and does not start with a "
            "dot. Give a name, not a path."
        )
    folder(name)
    return name


def folder(name: str) -> str:
    """The name of the folder a model is kept in: letters, digits, dots, dashes, underscores.

    Raises:
        JobError: nothing of the name is left.
    """
    text = unicodedata.normalize("NFKC", name)
    text = re.sub(r"[^\w.-]+", "-", text).strip(".-_")
    while len(text.encode()) > MAX_FOLDER_BYTES:
        text = text[:-1].rstrip(".-_")
    if not text:
        raise JobError(f"The name “{_printable(name)}” has no letters or digits; give another one.")
    return text


def suggest(wanted: str, taken: Collection[str]) -> str:
    """A usable name near to the wanted one that is not taken: `name`, `name-2`, `name-3` ..."""
    try:
        stem = folder(wanted)[:80].rstrip(".-_")
    except JobError:
        stem = "merge"
    used = {name.casefold() for name in taken}
    number, name = 1, stem
    while name.casefold() in used:
        number += 1
        name = f"{stem}-{number}"
    return name


def _printable(name: str) -> str:
    return "".join(letter if letter.isprintable() else "�" for letter in name)
