"""One answer, token by token: a plain decoding loop over a transformers model in memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from chat.errors import ChatError
from chat.protocol import Settings

_UNFINISHED = "\ufffd"  # what a tokenizer writes for the first bytes of a character


class Answer:
    """The running answer of one model. Iterate for its text; then read `reason` and the counts.

    Args:
        model: a causal language model in evaluation mode.
        tokenizer: its tokenizer.
        ids: the prompt's token ids, at least one.
        settings: how to choose tokens.
        context_tokens: tokens the model reads at most; the answer ends there.
    """

    def __init__(
        self, model: Any, tokenizer: Any, ids: list[int], settings: Settings, context_tokens: int
    ) -> None:
        self.model, self.tokenizer, self.settings = model, tokenizer, settings
        self.prompt_ids = ids
        self.limit = max(1, min(settings.max_new_tokens, context_tokens - len(ids)))
        self.ids: list[int] = []
        self.reason = "length"
        self.seconds = 0.0

    def __iter__(self) -> Iterator[str]:
        """Text as it becomes readable; pieces may be empty, one per token."""
        started = time.perf_counter()
        written = ""
        stop_ids = end_tokens(self.model, self.tokenizer)
        for token in self._tokens():
            self.seconds = time.perf_counter() - started
            if token in stop_ids:
                self.reason = "end"
                break
            self.ids.append(token)
            text = self._text()
            # A character of several bytes is held back until its last byte has come.
            piece = "" if text.endswith(_UNFINISHED) else text[len(written) :]
            written += piece
            yield piece
        yield self._text()[len(written) :]

    def _text(self) -> str:
        text: str = self.tokenizer.decode(self.ids, skip_special_tokens=True)
        return text

    @torch.inference_mode()
    def _tokens(self) -> Iterator[int]:
        """Up to `limit` token ids; each costs one pass over the newest token."""
        device = self.model.device
        generator = torch.Generator(device=device).manual_seed(self.settings.seed)
        inputs = torch.tensor([self.prompt_ids], device=device)  # (1, n) int64
        cache = None
        for _ in range(self.limit):
            out = self.model(input_ids=inputs, past_key_values=cache, use_cache=True)
            cache = out.past_key_values
            token = choose(out.logits[0, -1], self.settings, generator)
            yield token
            inputs = torch.tensor([[token]], device=device)


def choose(
    logits: Tensor,  # (vocabulary,) any float dtype, any device
    settings: Settings,
    generator: torch.Generator,
) -> int:
    """The next token: the likeliest at temperature 0, else drawn from the top-p nucleus.

    Raises:
        ChatError: a value is NaN, among which there is no likeliest.
    """
    logits = logits.float()
    if bool(logits.isnan().any()):
        raise ChatError(
            "The model computes NaN instead of numbers: its weights are damaged, or its merge "
            "went too far. Merge it anew with smaller weights, or use an intact copy."
        )
    if settings.temperature == 0:
        return int(logits.argmax())
    shares = torch.softmax(logits / settings.temperature, dim=-1)  # (vocabulary,) float32
    if settings.top_p < 1:
        ordered, places = shares.sort(descending=True)
        before = ordered.cumsum(0) - ordered  # share of all likelier tokens
        ordered[before >= settings.top_p] = 0.0
        shares = torch.zeros_like(shares).scatter_(0, places, ordered)
    return int(torch.multinomial(shares, 1, generator=generator))


def end_tokens(model: Any, tokenizer: Any) -> set[int]:
    """Every token that ends an answer: the generation config's and the tokenizer's."""
    found: set[int] = set()
    for value in (getattr(model.generation_config, "eos_token_id", None), tokenizer.eos_token_id):
        found.update([value] if isinstance(value, int) else value or [])
    return found


def context_length(model: Any) -> int:
    """Tokens the model reads at most, by its configuration; a wide guess where it says nothing."""
    return int(getattr(model.config, "max_position_embeddings", None) or 4096)
