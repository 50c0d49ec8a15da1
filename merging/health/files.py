"""What the files beside the weights say: token ids, end of text, the output head."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merging.checkpoints.folder import json_or_nothing, text_config
from merging.planning.checks import Check
from merging.tokenizers.read import read_vocabulary
from merging.tokenizers.special_tokens import KINDS, ids_in, tokenizer_ids
from merging.wording import in_words

if TYPE_CHECKING:
    from merging.checkpoints.checkpoint import Checkpoint

PIECE = 1 << 20


def checks(checkpoint: Checkpoint) -> Iterator[Check]:
    """The checks that need headers and small files only (and a tied head, when it is stored).

    Args:
        checkpoint: opened as it is, without a head added or taken away.
    """
    config = text_config(checkpoint.config)
    generation = json_or_nothing(checkpoint.folder / "generation_config.json")
    yield _token_ids(checkpoint, config, generation)
    yield _end_of_text(checkpoint.folder, config, generation)
    yield _head(checkpoint)


def _token_ids(
    checkpoint: Checkpoint, config: Mapping[str, Any], generation: Mapping[str, Any]
) -> Check:
    """Every id that can be asked for has a row in the embedding."""
    title = "Token ids"
    if checkpoint.head is None:
        return Check(title, "ok", "The embedding has no name known here: its rows are not checked.")
    rows = checkpoint.tensors[checkpoint.head[1]].shape[0]
    ids = {
        f"{kind}_token_id of the config": ids_in(config.get(f"{kind}_token_id")) for kind in KINDS
    }
    ids |= {
        f"{kind}_token_id of the generation config": ids_in(generation.get(f"{kind}_token_id"))
        for kind in KINDS
    }
    vocabulary = read_vocabulary(checkpoint.folder)
    if vocabulary:
        largest = max(vocabulary, key=lambda token: vocabulary[token])
        ids[f"token {json.dumps(largest, ensure_ascii=False)[:40]}"] = [vocabulary[largest]]
    beyond = [f"{what} is {max(found)}" for what, found in ids.items() if found and
              max(found) >= rows]  # fmt: skip
    if beyond:
        return Check(
            title,
            "bad",
            f"The embedding has {rows:,} rows, and {in_words(beyond, most=3)}.",
            "Use the tokenizer that belongs to the weights.",
        )
    declared = config.get("vocab_size")
    if isinstance(declared, int) and declared != rows:
        return Check(
            title,
            "bad",
            f"The embedding has {rows:,} rows and the config's vocab_size is {declared:,}.",
            f"Set vocab_size to {rows}.",
        )
    if not vocabulary:
        return Check(title, "warn", "There is no tokenizer in the folder.", "Add the base's.")
    return Check(
        title,
        "ok",
        f"The largest token id is {max(vocabulary.values()):,}, the embedding has {rows:,} rows.",
    )


def _end_of_text(folder: Path, config: Mapping[str, Any], generation: Mapping[str, Any]) -> Check:
    """Config, generation config and tokenizer agree on what ends an answer."""
    title = "End of text"
    tokenizer = tokenizer_ids(folder).get("eos")
    said = {
        "config.json": ids_in(config.get("eos_token_id")),
        "generation_config.json": ids_in(generation.get("eos_token_id")),
        "the tokenizer": [] if tokenizer is None else [tokenizer],
    }
    known = {where: ids for where, ids in said.items() if ids}
    if not known:
        return Check(title, "warn", "No file names a token that ends an answer.",
                     "Set eos_token_id.")  # fmt: skip
    ending = {*said["config.json"], *said["generation_config.json"]}
    where = in_words([f"{name} says {in_words(map(str, ids))}" for name, ids in known.items()])
    if tokenizer is not None and ending and tokenizer not in ending:
        return Check(
            title,
            "bad",
            f"The files do not agree on the end of an answer: {where}.",
            "Set eos_token_id to the tokenizer's, or answers will not end.",
        )
    common = set.intersection(*map(set, known.values()))
    if not common:
        return Check(
            title, "warn", f"The files name different ends: {where}.", "Set eos_token_id alike."
        )
    return Check(title, "ok", f"Token {min(common)} ends an answer in {in_words(known)}.")


def _head(checkpoint: Checkpoint) -> Check:
    """The output head is there, or is the embedding, and the config says which."""
    title = "Output head"
    if checkpoint.head is None:
        return Check(title, "ok", "The output head has no name known here: it is not checked.")
    head, embedding = checkpoint.head
    declared = text_config(checkpoint.config).get("tie_word_embeddings")
    stored = head in checkpoint.in_files
    if declared is True and stored:
        if _same(checkpoint, head, embedding):
            return Check(title, "ok", f"The head is the embedding; {head} is a copy of it.")
        return Check(
            title,
            "bad",
            f"The config ties the head to the embedding, and {head} holds other weights, which "
            "loaders drop.",
            "Set tie_word_embeddings to false.",
        )
    if declared is False and not stored:
        return Check(
            title,
            "bad",
            f"The config says that the head is not tied, and {head} is not there.",
            "Set tie_word_embeddings to true, or add the head.",
        )
    if stored:
        return Check(title, "ok", "The model has an output head of its own.")
    return Check(title, "ok", "The output head is the embedding.")


def _same(checkpoint: Checkpoint, one: str, other: str) -> bool:
    """Whether two tensors have the same stored bytes."""
    a, b = checkpoint.in_files[one], checkpoint.in_files[other]
    if (a.dtype, a.shape) != (b.dtype, b.shape):
        return False
    step = PIECE
    for start in range(0, a.n_elements, step):
        stop = min(start + step, a.n_elements)
        item = a.n_bytes // max(a.n_elements, 1)
        pieces = [bytearray((stop - start) * item) for _ in range(2)]
        for info, piece in zip((a, b), pieces, strict=True):
            checkpoint.read_file(info, start, memoryview(piece))
        if pieces[0] != pieces[1]:
            return False
    return True
