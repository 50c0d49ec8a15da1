"""Tiny Llamas with the sandbox's BPE tokenizer, and its variants: added, permuted, longer."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import torch

from tests.merging import models
from tests.merging.models import Tensors, write

SANDBOX = Path(__file__).resolve().parents[3] / "sandbox" / "base" / "tokenizer.json"
START, END = "<|im_start|>", "<|im_end|>"
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
N = 2048  # tokens of the sandbox's tokenizer


def plain() -> dict[str, Any]:
    """The sandbox's tokenizer.json."""
    data: dict[str, Any] = json.loads(SANDBOX.read_text("utf-8"))
    return data


def with_added(data: dict[str, Any], *tokens: str, special: bool = True) -> dict[str, Any]:
    """A tokenizer with further added tokens, numbered on."""
    data = copy.deepcopy(data)
    first = len({*data["model"]["vocab"], *(one["content"] for one in data["added_tokens"])})
    for place, token in enumerate(tokens, first):
        data["added_tokens"].append(
            {
                "id": place,
                "content": token,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": not special,
                "special": special,
            }
        )
    return data


def permuted(data: dict[str, Any], seed: int = 0) -> dict[str, Any]:
    """The same tokenizer with other ids."""
    data = copy.deepcopy(data)
    vocabulary = data["model"]["vocab"]
    order = list(range(len(vocabulary)))
    random.Random(seed).shuffle(order)
    data["model"]["vocab"] = {token: order[place] for token, place in vocabulary.items()}
    for one in data["added_tokens"]:
        one["id"] = data["model"]["vocab"][one["content"]]
    for one in data["post_processor"]["special_tokens"].values():
        one["ids"] = [data["model"]["vocab"][token] for token in one["tokens"]]
    return data


def longer(data: dict[str, Any], *pairs: tuple[str, str]) -> dict[str, Any]:
    """The same BPE with further merges and their entries."""
    data = copy.deepcopy(data)
    for left, right in pairs:
        assert left + right not in data["model"]["vocab"]
        data["model"]["merges"].append([left, right])
        data["model"]["vocab"][left + right] = len(data["model"]["vocab"])
    return data


def make(
    folder: Path,
    seed: int,
    tokenizer: dict[str, Any] | None,
    *,
    rows: int,
    base: Tensors | None = None,
    tied: bool = False,
    chat: bool = False,
    dtype: torch.dtype = torch.float32,
) -> Tensors:
    """Write a model with `rows` embedding rows; from `base` it is a small step away.

    Returns:
        Its tensors as they are stored.
    """
    tensors = models.weights(seed, tied=tied, vocabulary=rows)
    if base is not None:
        tuned = models.tuned(base, seed)
        for name, tensor in tensors.items():
            ours = tuned.get(name, tuned["model.embed_tokens.weight"])
            count = min(len(ours), len(tensor))
            tensor[:count] = ours[:count]
    tensors = {name: tensor.to(dtype) for name, tensor in tensors.items()}
    changes = {"vocab_size": rows, "tie_word_embeddings": tied}
    models.write_model(folder, tensors, dtype=dtype, tokenizer=False, changes=changes)
    if tokenizer is None:
        return tensors
    write(folder / "tokenizer.json", tokenizer)
    numbers = ids(tokenizer)
    eos = END if chat else "<|endoftext|>"
    settings = {"bos_token": "<|endoftext|>", "eos_token": eos, "pad_token": "<|pad|>"}
    write(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "PreTrainedTokenizerFast", **settings},
    )
    said = {f"{key}_id": numbers[token] for key, token in settings.items()}
    models.change_json(folder / "config.json", **said)
    models.change_json(folder / "generation_config.json", **said)
    if chat:
        (folder / "chat_template.jinja").write_text(CHATML)
    return tensors


def ids(data: dict[str, Any]) -> dict[str, int]:
    """Token -> id, as the library numbers them."""
    from tokenizers import Tokenizer

    found: dict[str, int] = Tokenizer.from_str(json.dumps(data)).get_vocab(True)
    return found
