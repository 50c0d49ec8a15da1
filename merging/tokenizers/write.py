"""The tokenizer files of a merge: a parent's as they are, or with tokens added to them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from merging.checkpoints.folder import read_json
from merging.errors import MergeFailure
from merging.tokenizers.read import SPECIAL, added_token, read_tokenizer, tokenizer_json
from merging.tokenizers.vocabulary import Vocabulary

# what belongs to a tokenizer, in all its forms
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tekken.json",
)
# code of a model's own is not run, and a template has its own place
_NOT_COPIED = frozenset({"chat_template", "auto_map", "name_or_path", "_name_or_path"})
_MORE_SPECIAL = ("additional_special_tokens", "extra_special_tokens")


def write_tokenizer(vocabulary: Vocabulary, folder: Path) -> None:
    """Write the tokenizer of a merge.

    Where its tokens are those of one parent the files are copied byte for byte (but for the chat
    template in tokenizer_config.json, which has its own origin).

    Raises:
        ModelError: a parent's file is not readable.
        MergeFailure: the written tokenizer does not number its tokens as planned.
    """
    if vocabulary.stem is None:
        return
    stem = vocabulary.parents[vocabulary.stem].folder
    if not vocabulary.appended:
        for name in TOKENIZER_FILES:
            if (stem / name).is_file():
                shutil.copyfile(stem / name, folder / name)
        config = folder / "tokenizer_config.json"
        if config.is_file():
            data = read_json(config, label=vocabulary.stem)
            kept = {key: value for key, value in data.items() if key not in _NOT_COPIED}
            if kept != data:
                write_json(config, kept)
        return
    added = _added(vocabulary, stem)
    data = tokenizer_json(stem) or {}
    data["added_tokens"] = added
    text = json.dumps(data, ensure_ascii=False, indent=2)
    (folder / "tokenizer.json").write_text(text + "\n", "utf-8")
    write_json(folder / "tokenizer_config.json", _config(vocabulary, stem, added))
    _verify(vocabulary, folder)


def write_json(file: Path, data: Mapping[str, Any]) -> None:
    """JSON as transformers writes it."""
    text = json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False)
    file.write_text(text + "\n", "utf-8")


def _added(vocabulary: Vocabulary, stem: Path) -> list[dict[str, Any]]:
    """All added tokens of the result, in the order of their ids."""
    before = read_tokenizer(stem)
    assert before is not None and vocabulary.tokens is not None
    found = []
    for token in (*before.added, *vocabulary.appended):
        plain = added_token(token["content"], vocabulary.tokens[token["content"]])
        found.append({key: token.get(key, value) for key, value in plain.items()})
        found[-1]["id"] = plain["id"]
    return sorted(found, key=lambda token: int(token["id"]))


def _config(vocabulary: Vocabulary, stem: Path, added: list[dict[str, Any]]) -> dict[str, Any]:
    """The stem's tokenizer_config.json with the speaker's special tokens."""
    config = _read(stem / "tokenizer_config.json")
    if vocabulary.speaker not in (None, vocabulary.stem):
        speaker = vocabulary.parents[vocabulary.speaker or ""].folder
        says = {
            **_read(speaker / "special_tokens_map.json"),
            **_read(speaker / "tokenizer_config.json"),
        }
        wanted = [*(f"{kind}_token" for kind in SPECIAL), *_MORE_SPECIAL]
        config.update({key: says[key] for key in wanted if key in says})
    else:
        config = {**_read(stem / "special_tokens_map.json"), **config}
    config = {key: value for key, value in config.items() if key not in _NOT_COPIED}
    config["added_tokens_decoder"] = {
        str(token["id"]): {key: value for key, value in token.items() if key != "id"}
        for token in added
    }
    return config


def _read(file: Path) -> dict[str, Any]:
    return read_json(file, label=file.parent.name) if file.is_file() else {}


def _verify(vocabulary: Vocabulary, folder: Path) -> None:
    """Load what was written: its tokens must have the numbers of their embeddings."""
    from tokenizers import Tokenizer

    try:
        found = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab(True)
    except Exception as error:
        raise MergeFailure(
            f"The tokenizer with the added tokens cannot be loaded: {error}."
        ) from None
    if found != vocabulary.tokens:
        raise MergeFailure(
            "The tokenizer with the added tokens numbers its tokens otherwise than planned. "
            "Take the tokenizer of one model."
        )
