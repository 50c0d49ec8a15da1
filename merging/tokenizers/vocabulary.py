"""Do the parents' tokenizers agree? Same token, same id is what a merge of embeddings needs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from merging.checkpoint import Checkpoint
from merging.wording import in_words

# files that hold a vocabulary, the most telling first
FILES = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")
Found = tuple[str, Literal["ok", "warn", "bad"], str, str]
TITLE = "Tokenizer"


def check_tokenizers(parents: Sequence[Checkpoint]) -> Iterator[Found]:
    """Compare every parent's tokenizer with the first one that has any."""
    having = [one for one in parents if _file(one.folder) is not None]
    without = [one.label for one in parents if _file(one.folder) is None]
    if not having:
        yield TITLE, "warn", "No parent has a tokenizer file.", "The merge gets none either."
        return
    if without:
        yield (
            TITLE,
            "warn",
            f"{in_words(without, most=4)} has no tokenizer file, so its vocabulary is taken on "
            "trust.",
            f"Make sure that it uses the tokenizer of {having[0].label}.",
        )
    problems = [found for other in having[1:] for found in _compare(having[0], other)]
    yield from problems
    if not problems and len(having) > 1:
        yield TITLE, "ok", "All have the same tokenizer.", ""


def read_vocabulary(folder: Path) -> dict[str, int] | None:
    """Token -> id of a tokenizer.json, added tokens included; None when there is none to read."""
    data = _tokenizer_json(folder)
    if data is None:
        return None
    try:
        vocabulary = _model_vocabulary(data)
    except (AttributeError, KeyError, IndexError, TypeError):
        return None  # of a form that nobody documented
    for token in data.get("added_tokens") or []:
        if isinstance(token, dict) and isinstance(token.get("id"), int):
            vocabulary[str(token.get("content"))] = token["id"]
    return vocabulary


def _compare(first: Checkpoint, other: Checkpoint) -> Iterator[Found]:
    ours, theirs = _file(first.folder), _file(other.folder)
    if ours is None or theirs is None or _same_bytes(ours, theirs):
        return
    vocabularies = read_vocabulary(first.folder), read_vocabulary(other.folder)
    if vocabularies[0] is None or vocabularies[1] is None:
        yield (
            TITLE,
            "bad",
            f"The tokenizer files of {first.label} ({ours.name}) and {other.label} ({theirs.name}) "
            "differ.",
            "Use models with the same tokenizer.json.",
        )
        return
    yield from _compare_vocabularies(first.label, vocabularies[0], other.label, vocabularies[1])
    yield from _compare_splitting(first, other)


def _compare_vocabularies(
    first: str, ours: Mapping[str, int], other: str, theirs: Mapping[str, int]
) -> Iterator[Found]:
    moved = [token for token, place in ours.items() if theirs.get(token, place) != place]
    by_id = {place: token for token, place in ours.items()}
    renamed = [token for token, place in theirs.items() if by_id.get(place, token) != token]
    if moved or renamed:
        token = (moved or renamed)[0]
        yield (
            TITLE,
            "bad",
            f"{first} and {other} number their tokens differently: {token!r} is "
            f"{ours.get(token, 'absent')} and {theirs.get(token, 'absent')}"
            f" ({len(set(moved) | set(renamed))} such tokens).",
            "Merge models that share one tokenizer.",
        )
        return
    for here, extra in (
        (first, [token for token in ours if token not in theirs]),
        (other, [token for token in theirs if token not in ours]),
    ):
        if extra:
            yield (
                TITLE,
                "warn",
                f"{here} has {len(extra)} additional tokens ({in_words(extra, most=3)}) in rows "
                "that the others leave unused.",
                f"Take the tokenizer of {here} if the merge shall know them.",
            )


def _compare_splitting(first: Checkpoint, other: Checkpoint) -> Iterator[Found]:
    """The same vocabulary may still split text differently; both have been read before."""
    ours, theirs = _tokenizer_json(first.folder), _tokenizer_json(other.folder)
    if ours is None or theirs is None:
        return
    differing = [
        part for part in ("normalizer", "pre_tokenizer") if ours.get(part) != theirs.get(part)
    ]
    if ours["model"].get("merges") != theirs["model"].get("merges"):
        differing.append("merges")
    if differing:
        yield (
            TITLE,
            "warn",
            f"{first.label} and {other.label} split text differently ({in_words(differing)}).",
            "Look at the merge's answers with care, and choose the tokenizer explicitly.",
        )


def _model_vocabulary(data: Mapping[str, Any]) -> dict[str, int]:
    vocabulary = data["model"].get("vocab")
    if isinstance(vocabulary, dict):
        return {str(token): place for token, place in vocabulary.items()}
    if isinstance(vocabulary, list):  # unigram models list [token, score]
        return {str(entry[0]): place for place, entry in enumerate(vocabulary)}
    return {}


def _tokenizer_json(folder: Path) -> dict[str, Any] | None:
    try:
        data = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _file(folder: Path) -> Path | None:
    return next((folder / name for name in FILES if (folder / name).is_file()), None)


def _same_bytes(left: Path, right: Path) -> bool:
    if left.name != right.name or left.stat().st_size != right.stat().st_size:
        return False
    return left.samefile(right) or left.read_bytes() == right.read_bytes()
