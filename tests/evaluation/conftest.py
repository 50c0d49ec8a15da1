"""Tiny random models and tokenizers of three families, and suites of a few items."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("TQDM_DISABLE", "1")

TEXTS = [
    "Question: What is the sector of Deltor? Answer: health and steel, not retail.",
    "Note: price 6, shares 5. Compute market cap. market cap = price * shares. Result: 30",
    "The cat sat on the mat; the dog sat on the log.\nNobody knows why, they say.\n",
    "日本の首都は東京です。会社の本社は大阪にあります。答えは三つ、売上高は十億円。",
    "東京都に住む人は多い。利益は減り、費用は増えた。カタカナのテストもします。",
    "numbers 0 1 2 3 4 5 6 7 8 9 10 11 12 42 99 and letters A B C D, (A) (B) (C) (D).",
] * 3
CHAT = (
    "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}"
    "{% if m['role'] == 'assistant' and not loop.last %}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ["<|endoftext|>", "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _wrap(core: Any, **tokens: str) -> Any:
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(tokenizer_object=core, **tokens)


def _byte_level() -> Any:
    """GPT-2's kind: no BOS, one token ends texts."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(TEXTS, trainer)
    return _wrap(core, eos_token="<|endoftext|>", pad_token="<|pad|>")


def _sandbox_like() -> Any:
    """The sandbox's kind: a blank before every text, Japanese split by script, BOS by hand."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    core = Tokenizer(models.BPE())
    core.normalizer = normalizers.Prepend(" ")
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(
                Regex(r"[\u30a0-\u30ff]+|[\u4e00-\u9fff]+|[\u3040-\u309f]+"), "isolated"
            ),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=460,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(TEXTS, trainer)
    tokenizer = _wrap(
        core, bos_token="<|endoftext|>", eos_token="<|endoftext|>", pad_token="<|pad|>"
    )
    tokenizer.chat_template = CHAT
    return tokenizer


def _llama_like() -> Any:
    """Llama's kind: metaspace pieces, a post-processor that puts BOS in front."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    core = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=False))
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=380, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False
    )
    core.train_from_iterator(TEXTS, trainer)
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", core.token_to_id("<s>"))]
    )
    return _wrap(core, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


TOKENIZERS: dict[str, Callable[[], Any]] = {
    "byte": _byte_level,
    "sandbox": _sandbox_like,
    "llama": _llama_like,
}


def make_model(tokenizer: Any, *, family: str = "llama", **overrides: Any) -> Any:
    """A seeded random model of a family whose answers are not all the same."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 12,
        "max_position_embeddings": 128,
        "initializer_range": 0.15,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    torch.manual_seed(7)
    config = AutoConfig.for_model(family, **{**sizes, **overrides})
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


@pytest.fixture(scope="session", params=list(TOKENIZERS))
def pair(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """(model, tokenizer), once per tokenizer family."""
    tokenizer = TOKENIZERS[request.param]()
    return make_model(tokenizer), tokenizer


@pytest.fixture(scope="session")
def sandbox_pair() -> tuple[Any, Any]:
    """(model, tokenizer) of the sandbox's kind."""
    tokenizer = _sandbox_like()
    return make_model(tokenizer), tokenizer


CHOICES = [
    {"q": "What is the sector of Deltor?", "c": ["health", "steel", "retail"], "a": 0},
    {"q": "The cat sat on the", "c": ["mat", "log; the dog", "price of shares"], "a": 0},
    {"q": "Compute 6 * 5. Result:", "c": ["30", "42 and 9", "0"], "a": 0},
    {"q": "numbers 0 1 2 3", "c": ["4", "5 6"], "a": 1},
]
FREE = [
    {"q": "Question: What is the sector of Deltor? Answer:", "t": "health"},
    {"q": "Note: price 6, shares 5.", "t": "30"},
    {"q": "The cat", "t": "sat"},
]


@pytest.fixture
def suite_folder(tmp_path: Path) -> Path:
    """A folder with a suite of four output types, one task of each."""
    return write_suite(tmp_path)


def write_suite(tmp_path: Path) -> Path:
    """Write the suite's files into a folder."""
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    (tasks / "choices.jsonl").write_text("\n".join(map(json.dumps, CHOICES)), encoding="utf-8")
    (tasks / "free.jsonl").write_text("\n".join(map(json.dumps, FREE)), encoding="utf-8")
    for name, body in TASKS.items():
        (tasks / f"{name}.yaml").write_text(body, encoding="utf-8")
    (tmp_path / "tiny.yaml").write_text(SUITE, encoding="utf-8")
    (tmp_path / "chat.jinja").write_text(CHAT, encoding="utf-8")
    return tmp_path


SUITE = """
title: Tiny
include: tasks
groups:
  choice: [pick]
  text: [free, word, rolling]
settings: {add_bos_token: true, chat_template: chat.jinja}
"""

_DATA = """
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
metadata: {{version: 2.0}}
"""
TASKS = {
    "pick": "task: pick\noutput_type: multiple_choice\n"
    + _DATA.format(file="choices.jsonl")
    + "doc_to_text: '{{q}}'\ndoc_to_choice: c\ndoc_to_target: a\n"
    "metric_list: [{metric: acc, aggregation: mean, higher_is_better: true},"
    " {metric: acc_norm, aggregation: mean, higher_is_better: true}]\n",
    "free": "task: free\noutput_type: generate_until\n"
    + _DATA.format(file="free.jsonl")
    + "doc_to_text: q\ndoc_to_target: t\n"
    "generation_kwargs: {until: ['\\n'], max_gen_toks: 12, do_sample: false}\n"
    "metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]\n",
    "word": "task: word\noutput_type: loglikelihood\n"
    + _DATA.format(file="free.jsonl")
    + "doc_to_text: q\ndoc_to_target: ' {{t}}'\n"
    "metric_list: [{metric: acc, aggregation: mean, higher_is_better: true},"
    " {metric: perplexity, aggregation: perplexity, higher_is_better: false}]\n",
    "rolling": "task: rolling\noutput_type: loglikelihood_rolling\n"
    + _DATA.format(file="free.jsonl")
    + "doc_to_text: ''\ndoc_to_target: q\n"
    "metric_list: [{metric: bits_per_byte, aggregation: bits_per_byte,"
    " higher_is_better: false}]\n",
}


@pytest.fixture
def instances() -> Callable[..., list[Any]]:
    """Builds lm-eval requests: ``instances(kind, [args, ...], docs=[...])``."""
    from lm_eval.api.instance import Instance

    def build(kind: Any, arguments: list[tuple[Any, ...]], docs: list[int] | None = None) -> Any:
        return [
            Instance(
                request_type=kind,
                doc={},
                arguments=args,
                idx=0,
                metadata=("task", docs[i] if docs else i, 1),
            )
            for i, args in enumerate(arguments)
        ]

    return build


@pytest.fixture
def hflm() -> Iterator[Callable[..., Any]]:
    """lm-eval's own transformers backend, the reference for every number."""
    from lm_eval.models.huggingface import HFLM

    def build(model: Any, tokenizer: Any, **kwargs: Any) -> Any:
        return HFLM(pretrained=model, tokenizer=tokenizer, **{"batch_size": 4, **kwargs})

    yield build


def run(pair: Any, folder: Path, **kwargs: Any) -> list[dict[str, Any]]:
    """All events of the tiny suite on a (model, tokenizer) pair."""
    from evaluation.run import evaluate
    from evaluation.suites import load_suite

    return list(evaluate(*pair, load_suite(folder / "tiny.yaml"), **kwargs))


def of_kind(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in events if event["kind"] == kind]


def scores(events: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {event["task"]: event for event in of_kind(events, "score")}
