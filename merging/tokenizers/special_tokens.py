"""End-of-sequence and other special tokens, the same in config, generation config and tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from merging.checkpoints.folder import json_or_nothing
from merging.tokenizers.read import read_vocabulary

KINDS = ("bos", "eos", "pad")
Translate = Callable[[int], int | None]


def settle(
    config: dict[str, Any],
    generation: dict[str, Any],
    *,
    says: Sequence[Mapping[str, Any]],
    tokenizer_folder: Path,
    ends: Iterable[int] = (),
) -> None:
    """Set bos, eos and pad in `config` and `generation`, from the model that gives the tokenizer.

    The tokenizer's own eos comes first. Further ids that end a generation in the donor
    (generation_config.json may list several) are kept in `generation`, so that a merge never talks
    on because one of the files names another token. Both mappings are changed in place.

    Args:
        config: of the result.
        generation: generation config of the result.
        says: the donor's generation config and config, in the result's numbers.
        tokenizer_folder: with the result's tokenizer.
        ends: further ids that end a generation, such as the chat template's.
    """
    from_tokenizer = tokenizer_ids(tokenizer_folder)
    for kind in KINDS:
        key = f"{kind}_token_id"
        found = [*ids_in(from_tokenizer.get(kind))]
        for one in says:
            found += ids_in(one.get(key))
        if kind == "eos":
            found += ends
        found = list(dict.fromkeys(found))
        if not found:
            continue
        config[key] = found[0]
        several = kind == "eos" and len(found) > 1
        generation[key] = found if several else found[0]


def translated(settings: Mapping[str, Any], translate: Translate) -> dict[str, Any]:
    """Settings with every token id (`eos_token_id` ...) in other numbers; what has none is gone."""
    found = dict(settings)
    for key, value in settings.items():
        if key.endswith("_token_id") and (ids := ids_in(value)):
            there = [place for place in map(translate, ids) if place is not None]
            if not there:
                del found[key]
            else:
                found[key] = there if isinstance(value, list) else there[0]
    return found


def ends_of(folder: Path, *settings: Mapping[str, Any]) -> list[int]:
    """The ids that end a generation of a model, in its own numbers."""
    found = ids_in(tokenizer_ids(folder).get("eos"))
    for one in settings:
        found += ids_in(one.get("eos_token_id"))
    return list(dict.fromkeys(found))


def tokenizer_ids(folder: Path) -> dict[str, int]:
    """The ids of a tokenizer's bos, eos and pad tokens, as far as its files say."""
    vocabulary = read_vocabulary(folder) or {}
    names = {
        **json_or_nothing(folder / "special_tokens_map.json"),
        **json_or_nothing(folder / "tokenizer_config.json"),
    }
    found = {}
    for kind in KINDS:
        token = names.get(f"{kind}_token")
        if isinstance(token, dict):  # an AddedToken spelled out
            token = token.get("content")
        if isinstance(token, str) and token in vocabulary:
            found[kind] = vocabulary[token]
    return found


def ids_in(value: Any) -> list[int]:
    """One id or a list of them as a list; anything else as none."""
    values = value if isinstance(value, list) else [value]
    return [item for item in values if type(item) is int]
