"""Adapters made by PEFT on a tiny Llama, with weights that are not zero."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

from merging.checkpoints.checkpoint import Checkpoint
from tests.merging import models


def tiny_llama(folder: Path, *, tied: bool = False, dtype: torch.dtype = torch.float32) -> Path:
    """A tiny Llama's folder."""
    return models.write_model(folder, models.weights(0, tied=tied), dtype=dtype)


def train(base: Path, out: Path, seed: int = 1, **config: Any) -> dict[str, torch.Tensor]:
    """Save an adapter on `base` with random weights, and give what PEFT merges it to."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    settings: dict[str, Any] = {"r": 4, "lora_alpha": 10, "target_modules": ["q_proj", "down_proj"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = AutoModelForCausalLM.from_pretrained(base, dtype="auto")
        peft_model = get_peft_model(model, LoraConfig(**{**settings, **config}))
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, parameter in peft_model.named_parameters():
                if parameter.requires_grad:
                    noise = torch.randn(parameter.shape, generator=generator)
                    about = parameter.abs() if "magnitude" in name else parameter
                    parameter.copy_(about * 0.9 + 0.1 * noise.abs() + 0.05 * noise)
        peft_model.save_pretrained(out)
        merged = peft_model.merge_and_unload()
    return {name: value.detach().clone() for name, value in merged.state_dict().items()}


def opened(base: Path, adapter: Path) -> Checkpoint:
    """The adapter on its base."""
    return Checkpoint.open(adapter, base=Checkpoint.open(base))
