"""Generation by transformers itself, for what the plain greedy loop does not do.

Sampling, beams, repetition penalties, and models whose state is not a cache of keys and values.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch

from evaluation.scoring.generation import Generated
from evaluation.scoring.slots import Prompt
from evaluation.scoring.stops import StopStrings

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from evaluation.scoring.forward import Forward

_BATCH = 16
# Settings of a generation config that change greedy answers, and the value that does nothing.
_ACTIVE = {
    "repetition_penalty": (None, 1.0),
    "encoder_repetition_penalty": (None, 1.0),
    "no_repeat_ngram_size": (None, 0),
    "num_beams": (None, 1),
    "min_length": (None, 0),
    "min_new_tokens": (None, 0),
    "bad_words_ids": (None,),
    "suppress_tokens": (None,),
    "begin_suppress_tokens": (None,),
    "forced_bos_token_id": (None,),
    "forced_eos_token_id": (None,),
    "sequence_bias": (None,),
    "guidance_scale": (None, 1.0),
    "exponential_decay_length_penalty": (None,),
}
_HANDLED = {"do_sample", "temperature", "until"}


def is_plain_greedy(model: PreTrainedModel, kwargs: dict[str, Any]) -> bool:
    """Whether the likeliest token at each step is all that is asked for.

    Args:
        model: its generation config and kind count.
        kwargs: generation options, normalised by the harness.
    """
    if kwargs.get("do_sample") or getattr(model, "_is_stateful", False):
        return False
    if set(kwargs) - _HANDLED:
        return False
    config = model.generation_config
    return all(getattr(config, name, None) in idle for name, idle in _ACTIVE.items())


def generate_with_transformers(
    forward: Forward,
    tokenizer: PreTrainedTokenizerBase,
    stops: StopStrings,
    eos: frozenset[int],
    group: Sequence[tuple[Prompt, dict[str, Any]]],
) -> Iterator[list[Generated]]:
    """Continue prompts that share their generation options, in batches of 16.

    Args:
        forward: the model.
        tokenizer: of the model.
        stops: finds stop strings.
        eos: token ids that end an answer.
        group: prompts with their (equal) options.

    Yields:
        The answers of each batch.
    """
    from transformers import StoppingCriteriaList

    ordered = sorted(group, key=lambda pair: len(pair[0].tokens), reverse=True)
    for start in range(0, len(ordered), _BATCH):
        prompts = [prompt for prompt, _ in ordered[start : start + _BATCH]]
        kwargs = {k: v for k, v in ordered[start][1].items() if k != "until"}
        if not kwargs.get("do_sample"):
            kwargs.pop("temperature", None)
        width = max(len(prompt.tokens) for prompt in prompts)
        ids = torch.tensor([[0] * (width - len(p.tokens)) + p.tokens for p in prompts])
        mask = torch.tensor([[0] * (width - len(p.tokens)) + [1] * len(p.tokens) for p in prompts])
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # options that sampling would need, in every config
            output = forward.model.generate(
                input_ids=ids.to(forward.device),
                attention_mask=mask.to(forward.device),
                max_new_tokens=max(prompt.max_new_tokens for prompt in prompts),
                eos_token_id=sorted(eos) or None,
                pad_token_id=tokenizer.pad_token_id or next(iter(eos), 0),
                stopping_criteria=StoppingCriteriaList([_AllStopped(prompts, width, stops, eos)]),
                **kwargs,
            )
        yield [
            _answer(prompt, row[width:], stops, eos)
            for prompt, row in zip(prompts, output.tolist(), strict=True)
        ]


class _AllStopped:
    """Ends a batch when every row has met a stop string, EOS or its length."""

    def __init__(
        self, prompts: Sequence[Prompt], width: int, stops: StopStrings, eos: frozenset[int]
    ) -> None:
        self.prompts = prompts
        self.width = width
        self.stops = stops
        self.eos = eos
        self.done = [False] * len(prompts)

    def __call__(self, input_ids: torch.Tensor, _scores: Any, **_: Any) -> torch.Tensor:
        for i, row in enumerate(input_ids[:, self.width :].tolist()):
            if not self.done[i]:
                prompt = self.prompts[i]
                self.done[i] = row[-1] in self.eos or self.stops.found(
                    row, prompt.until, prompt.thought
                )
        return torch.full(
            (len(self.done),), all(self.done), dtype=torch.bool, device=input_ids.device
        )


def _answer(
    prompt: Prompt, tokens: list[int], stops: StopStrings, eos: frozenset[int]
) -> Generated:
    tokens = tokens[: prompt.max_new_tokens]
    last = eos | prompt.until_tokens
    end = next((i for i, token in enumerate(tokens) if token in last), None)
    reason = "length" if end is None else "eos" if tokens[end] in eos else "until"
    tokens = tokens[:end]
    text = stops.cut(tokens, prompt.until, prompt.thought)
    if text != stops.decode(tokens):
        reason = "until"
    return Generated(prompt.index, text, reason, stops.special(tokens))
