"""Which tensors of a model have one row per token."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from merging.checkpoints.checkpoint import Checkpoint

# the ends of their names: of Llama and its many kin, GPT-2, GPT-NeoX, BLOOM, Falcon, BERT, T5
INPUTS = (
    "embed_tokens.weight",
    "wte.weight",
    "embed_in.weight",
    "word_embeddings.weight",
    "shared.weight",
)
OUTPUTS = ("lm_head.weight", "embed_out.weight", "lm_head.bias", "embed_out.bias")


def could_be_by_token(name: str) -> bool:
    """Whether a tensor has the name of an embedding or of an output embedding."""
    return name.endswith((*INPUTS, *OUTPUTS))


def by_token(parent: Checkpoint, name: str) -> bool:
    """Whether a tensor of a parent has one row per token."""
    if not could_be_by_token(name):
        return False
    info = parent.tensors.get(name)
    return info is not None and bool(info.shape) and info.shape[0] == n_rows(parent)


def n_rows(parent: Checkpoint) -> int | None:
    """Rows of a parent's input embedding; None when it has none of a known name."""
    for name, info in parent.tensors.items():
        if name.endswith(INPUTS) and info.shape:
            return info.shape[0]
    return None


def irregular(parent: Checkpoint) -> str | None:
    """A tensor with the name of an embedding that has other rows than the input embedding."""
    names = [name for name in parent.tensors if could_be_by_token(name)]
    return next((name for name in names if not by_token(parent, name)), None)
