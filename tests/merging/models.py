"""Tiny model folders made in the test, without transformers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

VOCABULARY = ["<|end|>", "<|pad|>", "<|im_end|>", *(f"word{i}" for i in range(45))]
TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}<|im_end|>{% endfor %}"
HIDDEN, LAYERS, INNER = 16, 2, 24

Tensors = dict[str, torch.Tensor]


def config(**changes: Any) -> dict[str, Any]:
    """The config of a tiny Llama."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "vocab_size": len(VOCABULARY),
        "max_position_embeddings": 64,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": 1,
        "dtype": "bfloat16",
        **changes,
    }


def weights(seed: int = 0, *, tied: bool = False, vocabulary: int = len(VOCABULARY)) -> Tensors:
    """Random float32 weights of the tiny Llama."""
    generator = torch.Generator().manual_seed(seed)
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocabulary, HIDDEN)}
    for layer in range(LAYERS):
        at = f"model.layers.{layer}"
        shapes |= {
            f"{at}.self_attn.q_proj.weight": (16, HIDDEN),
            f"{at}.self_attn.k_proj.weight": (8, HIDDEN),
            f"{at}.self_attn.v_proj.weight": (8, HIDDEN),
            f"{at}.self_attn.o_proj.weight": (HIDDEN, 16),
            f"{at}.mlp.gate_proj.weight": (INNER, HIDDEN),
            f"{at}.mlp.up_proj.weight": (INNER, HIDDEN),
            f"{at}.mlp.down_proj.weight": (HIDDEN, INNER),
            f"{at}.input_layernorm.weight": (HIDDEN,),
            f"{at}.post_attention_layernorm.weight": (HIDDEN,),
        }
    shapes["model.norm.weight"] = (HIDDEN,)
    if not tied:
        shapes["lm_head.weight"] = (vocabulary, HIDDEN)
    return {name: torch.randn(shape, generator=generator) * 0.2 for name, shape in shapes.items()}


def tuned(base: Tensors, seed: int, strength: float = 0.05) -> Tensors:
    """The base's weights after a "training"."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: tensor + strength * torch.randn(tensor.shape, generator=generator)
        for name, tensor in base.items()
    }


def write_model(
    folder: Path,
    tensors: Mapping[str, torch.Tensor],
    *,
    dtype: torch.dtype | None = torch.bfloat16,
    chat: bool = False,
    tokenizer: bool = True,
    shards: int = 1,
    changes: Mapping[str, Any] | None = None,
) -> Path:
    """Write a model folder; `chat` gives it a template and another eos token."""
    folder.mkdir(parents=True)
    tensors = {
        name: tensor.to(dtype) if dtype and tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }
    eos = 2 if chat else 0
    data = config(eos_token_id=eos, tie_word_embeddings="lm_head.weight" not in tensors)
    if dtype:
        data["dtype"] = str(dtype).removeprefix("torch.")
    write(folder / "config.json", {**data, **(changes or {})})
    write(folder / "generation_config.json", {"bos_token_id": 0, "eos_token_id": eos})
    _write_weights(folder, tensors, shards)
    if tokenizer:
        write(folder / "tokenizer.json", tokenizer_json(VOCABULARY))
        write(
            folder / "tokenizer_config.json",
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "eos_token": VOCABULARY[eos],
                "bos_token": VOCABULARY[0],
                "pad_token": VOCABULARY[1],
            },
        )
    if chat:
        (folder / "chat_template.jinja").write_text(TEMPLATE)
    return folder


def _write_weights(folder: Path, tensors: Mapping[str, torch.Tensor], shards: int) -> None:
    names = list(tensors)
    if shards == 1:
        save_file(dict(tensors), folder / "model.safetensors", metadata={"format": "pt"})
        return
    weight_map = {}
    for i in range(shards):
        file = f"model-{i + 1:05}-of-{shards:05}.safetensors"
        part = {name: tensors[name] for name in names[i::shards]}
        save_file(part, folder / file, metadata={"format": "pt"})
        weight_map.update(dict.fromkeys(part, file))
    write(folder / "model.safetensors.index.json", {"weight_map": weight_map})


def tokenizer_json(vocabulary: list[str]) -> dict[str, Any]:
    """A word-level tokenizer whose first three entries are special."""
    special = [
        {
            "id": i,
            "content": word,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for i, word in enumerate(vocabulary[:3])
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
        "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "WordLevel",
            "vocab": {word: i for i, word in enumerate(vocabulary)},
            "unk_token": vocabulary[-1],
        },
    }


def write(file: Path, data: Any) -> None:
    """Write JSON."""
    file.write_text(json.dumps(data))


def change_json(file: Path, **changes: Any) -> None:
    """Change keys of a JSON file; None removes one."""
    data = {**json.loads(file.read_text()), **changes}
    write(file, {key: value for key, value in data.items() if value is not None})


def stored(folder: Path) -> Tensors:
    """All tensors of a folder, read by the safetensors library."""
    found: Tensors = {}
    for file in sorted(folder.glob("*.safetensors")):
        found.update(load_file(file))
    return found


def finish(events: Iterator[Any]) -> tuple[list[dict[str, Any]], Any]:
    """Run a generator of events to its end: (events, return value)."""
    seen = []
    while True:
        try:
            seen.append(next(events))
        except StopIteration as stop:
            return seen, stop.value
