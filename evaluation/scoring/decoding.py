"""Answers that grow together on a ``Decoder``: prompts run without padding, rows are reused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from evaluation.scoring.cache import SlotCache
from evaluation.scoring.decoder import Decoder, decoder_of
from evaluation.scoring.forward import Forward, sliding_window
from evaluation.scoring.loglikelihood import NotANumber
from evaluation.scoring.screening import Head
from evaluation.scoring.slots import Prompt, Slot

_CHECKED_TOKENS = 200
# Times the largest logit: rounding of float32 adds up to some 1e-6 of it.
_ALLOWED = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}


class DecoderBatch:
    """Slots decoding together; does what ``slots.Batch`` does, on plain functions.

    Args:
        decoder: the model's layers.
        head: the model's output head.
        cache: with a row for each slot.
    """

    def __init__(self, decoder: Decoder, head: Head, cache: SlotCache) -> None:
        self.decoder = decoder
        self.head = head
        self.cache = cache
        self.slots: list[Slot] = []
        self._newest: list[int] = []

    @property
    def alive(self) -> int:
        """Slots whose answers are not finished."""
        return sum(not slot.done for slot in self.slots)

    def add(self, prompts: Sequence[Prompt]) -> None:
        """Run new prompts, in the rows of finished slots first; each gets its first token.

        Raises:
            NotANumber: the model's output is NaN.
        """
        rows = [i for i, slot in enumerate(self.slots) if slot.done]
        rows = [*rows, *range(len(self.slots), len(self.slots) + len(prompts))][: len(prompts)]
        ids = [torch.tensor(prompt.tokens, device=self.cache.device) for prompt in prompts]
        with torch.inference_mode():
            tokens = self._choose(self.decoder.prefill(ids, self.cache, rows))
        for row, prompt, token in zip(rows, prompts, tokens, strict=True):
            if row == len(self.slots):
                self.slots.append(Slot(prompt, [token]))
                self._newest.append(token)
            else:
                self.slots[row] = Slot(prompt, [token])
                self._newest[row] = token

    def step(self) -> None:
        """One more token for every slot.

        Raises:
            NotANumber: the model's output is NaN.
        """
        done = [i for i, slot in enumerate(self.slots) if slot.done]
        self.cache.set_lengths(done, [0] * len(done))  # they run along, and must not outgrow it
        with torch.inference_mode():
            newest = torch.tensor(self._newest, device=self.cache.device)
            self._newest = self._choose(self.decoder.step(newest, self.cache))
        for slot, token in zip(self.slots, self._newest, strict=True):
            if not slot.done:
                slot.tokens.append(token)

    def drop_done(self) -> None:
        """Take finished slots out; the last ones move to their rows."""
        alive = [i for i, slot in enumerate(self.slots) if not slot.done]
        n = len(alive)
        holes = [i for i in range(n) if self.slots[i].done]
        for source, target in zip([i for i in alive if i >= n], holes, strict=True):
            self.cache.move(source, target)
            self.slots[target] = self.slots[source]
            self._newest[target] = self._newest[source]
        del self.slots[n:], self._newest[n:]

    def _choose(self, hidden: torch.Tensor) -> list[int]:
        best, highest = self.head(hidden)
        if torch.isnan(highest).any():
            raise NotANumber(
                "the model answers NaN (not a number); its weights are damaged, or the merge that "
                "made them overflowed"
            )
        return [int(token) for token in best.tolist()]


def decoder_batch(
    forward: Forward, prompts: Sequence[Prompt], slots: int, warn: Callable[[str], None]
) -> DecoderBatch | None:
    """A batch for these prompts, or None where the model must run its own forward.

    Args:
        forward: the model.
        prompts: all that will be asked.
        slots: answers at a time.
        warn: told when a known model does not compute what it should.
    """
    model = forward.model
    longest = max(len(p.tokens) + p.max_new_tokens for p in prompts)
    window = sliding_window(model)
    head = model.get_output_embeddings()
    if type(head) is not torch.nn.Linear or (window is not None and longest > window):
        return None
    with torch.inference_mode():
        decoder = decoder_of(model)
        if decoder is None:
            return None
        off = _disagreement(decoder, forward, prompts)
    if off is not None:
        warn(
            "Generation runs through transformers' own code, which is slower: run layer by layer, "
            f"this model's logits are off by {off:.1g}."
        )
        return None
    seen = sum(p.max_new_tokens * (len(p.tokens) + p.max_new_tokens / 2) for p in prompts)
    cache = _cache(decoder, forward, min(slots, len(prompts)), longest)
    cache.expect(int(seen), decoder.heads)
    return DecoderBatch(decoder, Head(head.weight, head.bias), cache)


def _cache(decoder: Decoder, forward: Forward, rows: int, capacity: int) -> SlotCache:
    return SlotCache(
        len(decoder.layers),
        rows,
        decoder.kv_heads,
        capacity,
        decoder.size,
        forward.dtype,
        forward.device,
    )


def _disagreement(decoder: Decoder, forward: Forward, prompts: Sequence[Prompt]) -> float | None:
    """How far logits of a few steps are from the model's own; None where they are the same."""
    ordered = sorted(prompts, key=lambda p: len(p.tokens))
    sample = ordered if len(ordered) == 1 else [ordered[0], ordered[-1]]
    texts = [prompt.tokens[:_CHECKED_TOKENS] for prompt in sample]
    device = forward.device
    cache = _cache(decoder, forward, len(texts), max(map(len, texts)) + 2)
    head: Any = forward.model.get_output_embeddings()
    ids = [torch.tensor(tokens, device=device) for tokens in texts]
    hidden = decoder.prefill(ids, cache, list(range(len(texts))))
    for last in (False, False, True):
        ours = head(hidden).float()
        wanted = [torch.tensor([len(tokens) - 1], device=device) for tokens in ids]
        theirs = torch.cat(
            [
                forward.logits(t[None], at, use_cache=False)[0]
                for t, at in zip(ids, wanted, strict=True)
            ]
        )
        allowed = _ALLOWED.get(forward.dtype, 1e-4) * max(1.0, float(theirs.abs().max()))
        off = float((ours - theirs).abs().max())
        if torch.isfinite(theirs).all() and not off <= allowed:
            return off
        if not last:
            best = theirs.argmax(-1, keepdim=True)
            ids = [torch.cat([t, b]) for t, b in zip(ids, best, strict=True)]
            hidden = decoder.step(best[:, 0], cache)
    return None
