"""Run as a script: speaks to merged models with transformers alone, which knows nothing of us.

Reads {name: [folder, reference weights]} from standard input, writes what came of it to standard
output.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

TALK = [
    {"role": "user", "content": "What is 3 plus 4? 売上高は"},
    {"role": "assistant", "content": "7"},
    {"role": "user", "content": "Profit?"},
]


def speak(folder: str, reference: str) -> dict[str, Any]:
    """What a model answers, and how far its logits are from the reference weights' ones."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    given = tokenizer.apply_chat_template(
        TALK, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    with torch.inference_mode():
        logits = model(**given).logits
        answer = model.generate(**given, max_new_tokens=8, do_sample=False)
    other = type(model)(model.config).eval()
    missing = other.load_state_dict(load_file(reference), strict=False)
    other.tie_weights()
    with torch.inference_mode():
        expected = other(**given).logits
        same = other.generate(
            **given, max_new_tokens=8, do_sample=False, generation_config=model.generation_config
        )
    return {
        "prompt": given["input_ids"][0].tolist(),
        "text": tokenizer.apply_chat_template(TALK, add_generation_prompt=True, tokenize=False),
        "answer": answer[0].tolist(),
        "expected_answer": same[0].tolist(),
        "difference": (logits - expected).abs().max().item(),
        "size": expected.abs().max().item(),
        "missing": [*missing.missing_keys, *missing.unexpected_keys],
        "shape": list(model.get_input_embeddings().weight.shape),
        "tied": model.get_input_embeddings().weight is model.get_output_embeddings().weight,
        "eos": [
            tokenizer.eos_token_id,
            model.config.eos_token_id,
            model.generation_config.eos_token_id,
        ],
        "vocabulary": tokenizer.get_vocab(),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    asked = json.load(sys.stdin)
    json.dump({name: speak(*paths) for name, paths in asked.items()}, sys.stdout)
