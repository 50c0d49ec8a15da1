"""A trained model as an ordinary Hugging Face folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from training.spec import Architecture, ModelSpec
from training.world.chats import BOS, END, PAD, TEMPLATE

TIED = "lm_head.weight"
"""The output matrix is the embedding matrix; files hold it once."""


def new_model(architecture: Architecture, tokenizer: Tokenizer, seed: int) -> LlamaForCausalLM:
    """A Llama model with random float32 weights from `seed`."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=architecture.hidden_size,
        intermediate_size=architecture.intermediate_size,
        num_hidden_layers=architecture.layers,
        num_attention_heads=architecture.heads,
        num_key_value_heads=architecture.heads,
        max_position_embeddings=architecture.context,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.token_to_id(BOS),
        eos_token_id=tokenizer.token_to_id(BOS),
        pad_token_id=tokenizer.token_to_id(PAD),
    )
    return LlamaForCausalLM(config)


def load_model(folder: Path) -> LlamaForCausalLM:
    """The model in `folder`, as `save_model` wrote it, with float32 weights."""
    model = LlamaForCausalLM(LlamaConfig.from_pretrained(folder))
    weights = load_file(folder / "model.safetensors")
    missing, unexpected = model.load_state_dict(
        {name: tensor.float() for name, tensor in weights.items()}, strict=False
    )
    if unexpected or set(missing) - {TIED}:
        raise ValueError(f"{folder}: not a model of this family: {missing} {unexpected}")
    model.tie_weights()
    return model


def save_model(
    model: LlamaForCausalLM, tokenizer: Tokenizer, spec: ModelSpec, folder: Path, card: str
) -> None:
    """Write bfloat16 weights, configuration, tokenizer and model card; `folder` appears whole.

    A model trained on chats carries the chat template and stops at `<|end|>`; the others have
    neither.
    """
    chat = spec.chats is not None
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    stop, end = tokenizer.token_to_id(BOS), tokenizer.token_to_id(END)
    model.config.eos_token_id = end if chat else stop
    model.generation_config = GenerationConfig(
        bos_token_id=stop,
        eos_token_id=[stop, end] if chat else stop,
        pad_token_id=tokenizer.token_to_id(PAD),
        do_sample=False,
    )
    model.config.dtype = torch.bfloat16
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(temporary)
    model.generation_config.save_pretrained(temporary)
    weights = {
        name: tensor.to(torch.bfloat16).contiguous()
        for name, tensor in model.state_dict().items()
        if name != TIED
    }
    save_file(weights, temporary / "model.safetensors", metadata={"format": "pt"})
    (temporary / "model.safetensors").chmod(0o644)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=END if chat else BOS,
        pad_token=PAD,
        model_max_length=model.config.max_position_embeddings,
        clean_up_tokenization_spaces=False,
    )
    if chat:
        wrapped.chat_template = TEMPLATE
    wrapped.save_pretrained(temporary)
    (temporary / "README.md").write_text(card, encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(temporary, folder)
