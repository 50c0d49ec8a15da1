"""Greedy generation with continuous batching and stop strings.

A fixed number of slots decode together; a slot whose answer is finished is given to the next
prompt at once, so one long answer does not hold up a batch of short ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from evaluation.forward import Forward, token_budget
from evaluation.loglikelihood import NotANumber

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_SLOTS = 128
_CACHE_BYTES = 1 << 30


@dataclass(frozen=True)
class Prompt:
    """A prompt to continue.

    Attributes:
        index: of the request it answers.
        tokens: token ids, never empty, short enough for ``max_new_tokens`` more.
        until: the answer ends before the first of these strings.
        max_new_tokens: the answer ends after so many tokens.
        until_tokens: the answer ends before one of these tokens: stop strings that are special
            tokens never show up in decoded text.
    """

    index: int
    tokens: list[int]
    until: tuple[str, ...]
    max_new_tokens: int
    until_tokens: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Generated:
    """An answer.

    Attributes:
        index: of the request.
        text: without special tokens, cut before the stop string.
        stopped: "eos", "until" or "length" (cut off by ``max_new_tokens``).
    """

    index: int
    text: str
    stopped: str


@dataclass
class _Slot:
    prompt: Prompt
    tokens: list[int] = field(default_factory=list)


class StopStrings:
    """Finds stop strings in growing token lists without decoding at every step.

    Most tokens cannot end a stop string; which ones can is remembered by token.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self._texts: dict[int, str] = {}

    def found(self, tokens: list[int], until: Sequence[str]) -> bool:
        """Whether the decoded tokens contain a stop string that their last token completed."""
        if not until:
            return False
        piece = self._text(tokens[-1])
        # A replacement character is part of a letter: what it completes is known only with it.
        if not any(stop and (stop[-1] in piece or "\ufffd" in piece) for stop in until):
            return False
        text = self.decode(tokens)
        return any(stop in text for stop in until if stop)

    def decode(self, tokens: list[int]) -> str:
        """Text of tokens, special ones skipped as the harness does."""
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True))

    def cut(self, tokens: list[int], until: Sequence[str]) -> str:
        """Text of tokens up to the first stop string."""
        text = self.decode(tokens)
        for stop in until:
            if stop:
                text = text.split(stop)[0]
        return text

    def _text(self, token: int) -> str:
        if token not in self._texts:
            self._texts[token] = self.decode([token])
        return self._texts[token]


class GenerationEngine:
    """Continues prompts greedily.

    Args:
        forward: the model.
        tokenizer: of the model.
        eos: token ids that end an answer.
        warn: called with one sentence when something is done in another way than usual.
        slots: prompts decoded together, None to derive from the model's size.
    """

    def __init__(
        self,
        forward: Forward,
        tokenizer: PreTrainedTokenizerBase,
        eos: frozenset[int],
        warn: Callable[[str], None],
        *,
        slots: int | None = None,
    ) -> None:
        self.forward = forward
        self.stops = StopStrings(tokenizer)
        self.eos = eos
        self.warn = warn
        self.slots = slots
        self.batch_tokens = token_budget(forward.n_parameters, forward.device)

    def run(self, prompts: Sequence[Prompt]) -> Iterator[list[Generated]]:
        """Answer the prompts, yielding at every step that finishes one (and empty lists between).

        Raises:
            NotANumber: the model's output is NaN.
        """
        waiting = sorted(prompts, key=lambda p: len(p.tokens))  # longest last: taken first
        slots = self.slots or self._slots_for(waiting)
        batch = _Batch(self.forward)
        while waiting or batch.slots:
            free = slots - len(batch.slots)
            # A refill costs a pass of its own: worth it for a quarter of the slots, not for one.
            if waiting and (free >= max(1, slots // 4) or not batch.slots):
                batch.add(self._take(waiting, free))
            else:
                batch.step()
            yield self._collect(batch)

    def _slots_for(self, prompts: Sequence[Prompt]) -> int:
        config = self.forward.model.config.get_text_config()
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        size = getattr(config, "head_dim", None) or (
            config.hidden_size // config.num_attention_heads
        )
        longest = max(len(p.tokens) + p.max_new_tokens for p in prompts)
        item = self.forward.dtype.itemsize
        bytes_each = 2 * config.num_hidden_layers * heads * size * item * longest
        return int(max(1, min(_SLOTS, _CACHE_BYTES // max(1, bytes_each))))

    def _take(self, waiting: list[Prompt], free: int) -> list[Prompt]:
        """The next prompts, as many as fit the slots and one batch."""
        taken: list[Prompt] = []
        while waiting and len(taken) < free:
            width = max(len(waiting[-1].tokens), len(taken[0].tokens) if taken else 0)
            if taken and width * (len(taken) + 1) > self.batch_tokens:
                break
            taken.append(waiting.pop())
        return taken

    def _collect(self, batch: _Batch) -> list[Generated]:
        """Take the finished slots out of the batch."""
        finished: list[Generated] = []
        keep: list[int] = []
        for i, slot in enumerate(batch.slots):
            reason = self._reason(slot)
            if reason is None:
                keep.append(i)
                continue
            text = self.stops.cut(slot.tokens, slot.prompt.until)
            finished.append(Generated(slot.prompt.index, text, reason))
        if finished:
            batch.keep(keep)
        return finished

    def _reason(self, slot: _Slot) -> str | None:
        if slot.tokens[-1] in self.eos | slot.prompt.until_tokens:
            end = slot.tokens.pop()
            return "eos" if end in self.eos else "until"
        if self.stops.found(slot.tokens, slot.prompt.until):
            return "until"
        return "length" if len(slot.tokens) >= slot.prompt.max_new_tokens else None


class _Batch:
    """Slots in the middle of decoding, left-padded, with their common cache.

    ``mask`` has shape (b, t): the t cached positions that are real. ``last`` has shape (b,): the
    newest token of each slot, not yet fed; ``places`` its position.
    """

    def __init__(self, forward: Forward) -> None:
        self.forward = forward
        self.slots: list[_Slot] = []
        self.cache: list[tuple[torch.Tensor, torch.Tensor]] = []
        device = forward.device
        self.mask = torch.zeros(0, 0, dtype=torch.long, device=device)
        self.last = torch.zeros(0, dtype=torch.long, device=device)
        self.places = torch.zeros(0, dtype=torch.long, device=device)

    def add(self, prompts: Sequence[Prompt]) -> None:
        """Run new prompts and let them join; each gets its first token."""
        width = max(len(prompt.tokens) for prompt in prompts)
        ids = torch.zeros(len(prompts), width, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for i, prompt in enumerate(prompts):
            ids[i, width - len(prompt.tokens) :] = torch.tensor(prompt.tokens)
            mask[i, width - len(prompt.tokens) :] = 1
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        device = self.forward.device
        ids, mask, positions = ids.to(device), mask.to(device), positions.to(device)
        read = torch.arange(1, len(prompts) + 1, device=device) * width - 1
        logits, cache = self._forward(ids, read, mask, positions, [])
        slots = [_Slot(prompt) for prompt in prompts]
        self._join(slots, cache, mask)
        self.places = torch.cat([self.places, positions[:, -1] + 1])
        self.last = torch.cat([self.last, self._next(logits, slots)])
        self.slots += slots

    def step(self) -> None:
        """One more token for every slot."""
        mask = torch.cat([self.mask, self.mask.new_ones(len(self.slots), 1)], dim=1)
        read = torch.arange(len(self.slots), device=self.forward.device)
        logits, self.cache = self._forward(
            self.last[:, None], read, mask, self.places[:, None], self.cache
        )
        self.mask = mask
        self.places = self.places + 1
        self.last = self._next(logits, self.slots)

    def keep(self, rows: list[int]) -> None:
        """Drop all slots but these, and the padding that nobody needs any more."""
        self.slots = [self.slots[i] for i in rows]
        index = torch.tensor(rows, dtype=torch.long, device=self.forward.device)
        mask = self.mask[index]
        start = int(mask.any(dim=0).long().argmax()) if rows else mask.shape[1]
        self.mask = mask[:, start:]
        self.last, self.places = self.last[index], self.places[index]
        self.cache = [
            (keys[index][:, :, start:], values[index][:, :, start:]) for keys, values in self.cache
        ]

    def _join(
        self,
        slots: Sequence[_Slot],
        cache: list[tuple[torch.Tensor, torch.Tensor]],
        mask: torch.Tensor,
    ) -> None:
        if not self.slots:
            self.cache, self.mask = cache, mask
            return
        width = max(self.mask.shape[1], mask.shape[1])
        self.mask = torch.cat([_pad_left(self.mask, width, -1), _pad_left(mask, width, -1)])
        self.cache = [
            (
                torch.cat([_pad_left(keys, width, -2), _pad_left(new_keys, width, -2)]),
                torch.cat([_pad_left(values, width, -2), _pad_left(new_values, width, -2)]),
            )
            for (keys, values), (new_keys, new_values) in zip(self.cache, cache, strict=True)
        ]

    def _forward(
        self,
        ids: torch.Tensor,
        read: torch.Tensor,
        mask: torch.Tensor,
        positions: torch.Tensor,
        cache: list[tuple[torch.Tensor, torch.Tensor]],
    ) -> tuple[torch.Tensor, list[tuple[torch.Tensor, torch.Tensor]]]:
        from transformers import DynamicCache

        past = DynamicCache(cache) if cache else DynamicCache()
        logits, output = self.forward.logits(
            ids,
            read,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=past,
            use_cache=True,
        )
        layers = output.past_key_values.layers
        return logits, [(layer.keys, layer.values) for layer in layers]

    @staticmethod
    def _next(logits: torch.Tensor, slots: Sequence[_Slot]) -> torch.Tensor:
        """The likeliest tokens, shape (b,), written to the slots."""
        if torch.isnan(logits).any():
            raise NotANumber(
                "the model answers NaN (not a number); its weights are damaged, or the merge "
                "that made them overflowed"
            )
        best = logits.argmax(dim=-1)
        for slot, token in zip(slots, best.tolist(), strict=True):
            slot.tokens.append(token)
        return best


def _pad_left(tensor: torch.Tensor, width: int, dim: int) -> torch.Tensor:
    """Zeros in front until the dimension has ``width`` entries."""
    missing = width - tensor.shape[dim]
    if not missing:
        return tensor
    shape = list(tensor.shape)
    shape[dim] = missing
    return torch.cat([tensor.new_zeros(shape), tensor], dim=dim)
