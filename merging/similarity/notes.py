"""What a comparison left out or changed, as data in its file and as sentences for the reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from merging.wording import in_words

Note = Mapping[str, Any]
NAMED = 3  # tensors that a sentence names; the others are counted


def sentences(notes: Sequence[Note], labels: Sequence[str]) -> list[str]:
    """One sentence for each kind of thing.

    Args:
        notes: from a result.
        labels: what the reader calls the participants, the reference first.
    """
    found = [_rows(note, labels) for note in notes if note["kind"] == "rows"]
    found += [_not_finite(note, labels) for note in notes if note["kind"] == "not finite"]
    found += [_missing(note, labels) for note in notes if note["kind"] == "missing"]
    integers = [note["tensor"] for note in notes if note["kind"] == "integers"]
    if integers:
        found.append(f"{in_words(integers, most=NAMED)}: whole numbers, not weights, so left out.")
    return found


def _rows(note: Note, labels: Sequence[str]) -> str:
    counted = [f"{label} has {n}" for label, n in zip(labels, note["rows"], strict=True)]
    return (
        f"{note['tensor']} differs in its rows ({in_words(counted)}): the first "
        f"{min(note['rows'])}, which all have, are compared."
    )


def _not_finite(note: Note, labels: Sequence[str]) -> str:
    holders = in_words([labels[index] for index in note["models"]])
    return (
        f"{note['tensor']} holds NaN or infinity in {holders}: it is left out of every number. "
        "Get that model again before merging it."
    )


def _missing(note: Note, labels: Sequence[str]) -> str:
    lacking = in_words([labels[index] for index in note["models"]])
    verb = "lack" if len(note["models"]) > 1 else "lacks"
    them = "them" if len(note["tensors"]) > 1 else "it"
    return f"{in_words(note['tensors'], most=NAMED)} left out, because {lacking} {verb} {them}."
