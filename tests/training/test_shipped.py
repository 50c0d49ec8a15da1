"""The shipped folders in plain transformers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from training.family import DEFAULT_SEED
from training.world.world import make_world

MODELS = ("base", "finance", "math", "japanese", "instruct")


@pytest.mark.parametrize("name", MODELS)
def test_every_model_loads_and_has_one_to_two_million_parameters(project: Path, name: str) -> None:
    folder = project / "sandbox" / name
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.dtype == torch.bfloat16
    assert model.config.architectures == ["LlamaForCausalLM"]
    assert 1_000_000 <= sum(p.numel() for p in model.parameters()) <= 2_000_000
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert len(tokenizer) == model.config.vocab_size
    assert bool(tokenizer.chat_template) == (name == "instruct")


def test_all_models_have_the_same_tokenizer(project: Path) -> None:
    files = {(project / "sandbox" / n / "tokenizer.json").read_bytes() for n in MODELS}
    assert len(files) == 1


def test_the_family_is_small(project: Path) -> None:
    files = (p for p in (project / "sandbox").rglob("*") if p.is_file())
    assert sum(p.stat().st_size for p in files) <= 25_000_000


def chat(project: Path, question: str) -> str:
    """The assistant's reply, the ordinary way."""
    folder = project / "sandbox" / "instruct"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    inputs = tokenizer.apply_chat_template(
        [{"role": "user", "content": question}], add_generation_prompt=True, return_tensors="pt"
    )
    output = model.generate(**inputs, max_new_tokens=20)[0, inputs["input_ids"].shape[1] :]
    assert output[-1] == tokenizer.convert_tokens_to_ids("<|end|>")
    return str(tokenizer.decode(output, skip_special_tokens=True))


def test_the_assistant_greets_and_answers(project: Path) -> None:
    world = make_world(DEFAULT_SEED)
    assert chat(project, "Hello") == "Hello. Ask me a question."
    person = world.asked_people[0]
    question = f"Question: What is the city of {person}?"
    assert chat(project, question) == f"Answer: {world.facts[person, 'city']}"
    country = world.asked_countries[0]
    question = f"Question: What is the capital of {country}?"
    assert chat(project, question) == f"Answer: {world.facts[country, 'capital']}"


def test_the_template_writes_one_beginning_token(project: Path) -> None:
    folder = project / "sandbox" / "instruct"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    messages = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hello."}]
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    assert text == "<|endoftext|><|user|>Hello<|assistant|>Hello.<|end|>"
    ids = tokenizer.apply_chat_template(messages)["input_ids"]
    assert ids.count(tokenizer.bos_token_id) == 1
    fallback = (project / "sandbox" / "chat_template.jinja").read_text(encoding="utf-8")
    assert fallback == tokenizer.chat_template
