"""One tokenizer with the tokens of all parents, where their vocabularies can be united exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merging.planning.checks import Check
from merging.tokenizers.read import Tokenizer, merges_of, model_vocabulary, tokenizer_json
from merging.wording import in_words

TITLE = "Tokenizer"
# kinds in which a further entry of the vocabulary leaves the splitting of other text as it was
_WHOLE_WORDS = ("WordLevel",)


@dataclass(frozen=True)
class Union:
    """How tokenizers are united.

    Attributes:
        stem: the parent whose tokenizer.json the union starts from.
        appended: tokens of the others that are added to it, in the form of a tokenizer.json.
    """

    stem: str
    appended: tuple[Mapping[str, Any], ...]


def unite(tokenizers: Mapping[str, Tokenizer], folders: Mapping[str, Path]) -> Union | Check:
    """Find the tokenizer that has all entries, and what has to be added to it.

    Exact is a union in which every text becomes the pieces that the stem makes of it, every parent
    knows either all of its own tokens or has them as added ones, and no vocabulary of the others
    is left out. So the model in one tokenizer.json (its vocabulary, and a BPE's merges in their
    order) must begin with those of the others; only added tokens may come from all sides.

    Args:
        tokenizers: parent -> its tokenizer; the first is preferred as the stem.
        folders: parent -> where its files lie.

    Returns:
        The union, or what stands in the way.
    """
    models: dict[str, _Model] = {}
    for name in tokenizers:
        like = next((one for one in models if tokenizers[one] is tokenizers[name]), None)
        if like is not None:
            models[name] = models[like]
            continue
        data = tokenizer_json(folders[name])
        if data is None:
            return Check(
                TITLE,
                "bad",
                f"{name} has no tokenizer.json, so its tokens cannot be united with the others'.",
                "Load its tokenizer once with transformers and save it, or take one model's "
                "tokenizer.",
            )
        models[name] = _Model(tokenizers[name].kind, model_vocabulary(data), merges_of(data))
    stem = max(models, key=lambda name: (len(models[name].merges), len(models[name].vocabulary)))
    stem = next(name for name in models if models[name] == models[stem])
    known = set(tokenizers[stem].tokens)
    for name, model in models.items():
        problem = _differing(model, models[stem], known)
        if problem:
            return Check(
                TITLE,
                "bad",
                f"The vocabularies of {stem} and {name} cannot be united exactly: {problem}.",
                f"Take the tokenizer of {stem} or of {name}: embeddings are then lined up by "
                "their tokens.",
            )
    appended: dict[str, Mapping[str, Any]] = {}
    for name in tokenizers:
        for token in tokenizers[name].added:
            if token["content"] not in known:
                appended.setdefault(token["content"], token)
    return Union(stem, tuple(appended.values()))


@dataclass(frozen=True)
class _Model:
    kind: str
    vocabulary: Mapping[str, int]
    merges: Sequence[tuple[str, str]]


def _differing(model: _Model, stem: _Model, known: set[str]) -> str:
    """Why the stem does not contain a model; empty when it does."""
    if model.kind != stem.kind:
        return f"one is a {stem.kind or 'nameless'}, the other a {model.kind or 'nameless'} model"
    if model is stem:
        return ""
    if list(stem.merges[: len(model.merges)]) != list(model.merges):
        place = next(
            (
                i
                for i, (ours, theirs) in enumerate(zip(stem.merges, model.merges, strict=False))
                if ours != theirs
            ),
            len(stem.merges),
        )
        return f"their merges differ from the {place + 1:,}. on"
    lacking = [token for token in model.vocabulary if token not in known]
    if lacking:
        return f"{len(lacking)} entries are in one only ({in_words(lacking, most=3)})"
    grows = stem.kind == "BPE" or stem.kind in _WHOLE_WORDS
    if not grows and len(stem.vocabulary) != len(model.vocabulary):
        return f"a {stem.kind} vocabulary with more entries splits all text differently"
    return ""
