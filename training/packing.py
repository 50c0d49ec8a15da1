"""Texts to rows of token ids, all of one length."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from tokenizers import Tokenizer
from torch import Tensor

IGNORED = -100
"""Label of a token that the loss leaves out."""

Segment = tuple[str, bool]
"""A piece of a text, special tokens written out, and whether the loss counts it."""


def pack(
    tokenizer: Tokenizer, texts: Iterable[Sequence[Segment]], row_tokens: int
) -> tuple[Tensor, Tensor]:
    """Join the texts and cut the stream into rows; what is left over is dropped.

    Returns:
        ids and labels, both int64 [rows, row_tokens]. Labels equal ids, or `IGNORED` where the
        loss does not count; they are not shifted.
    """
    segments = [segment for text in texts for segment in text]
    encoded = tokenizer.encode_batch([text for text, _ in segments], add_special_tokens=False)
    ids: list[int] = []
    labels: list[int] = []
    for encoding, (_, counts) in zip(encoded, segments, strict=True):
        ids += encoding.ids
        labels += encoding.ids if counts else [IGNORED] * len(encoding.ids)
    rows = len(ids) // row_tokens
    shape = (rows, row_tokens)
    size = rows * row_tokens
    return torch.tensor(ids[:size]).view(shape), torch.tensor(labels[:size]).view(shape)
