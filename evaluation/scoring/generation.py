"""Greedy generation with continuous batching and stop strings.

A fixed number of slots decode together; a slot whose answer is finished is given to the next
prompt at once, so one long answer does not hold up a batch of short ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluation.scoring.decoding import DecoderBatch, decoder_batch
from evaluation.scoring.forward import Forward, token_budget
from evaluation.scoring.slots import Batch, Prompt, Slot
from evaluation.scoring.stops import StopStrings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# On a CPU 32 rows are as many as harnesses batch, and their cache takes a quarter of the memory of
# 128, which use the processor somewhat better; likewise prompts run 1,000 tokens at a time.
_SLOTS = {"cpu": 32, "cuda": 128}
_CPU_TOKENS = 1024
_CACHE_BYTES = 1 << 30


@dataclass(frozen=True)
class Generated:
    """An answer.

    Attributes:
        index: of the request.
        text: without special tokens, cut before the stop string.
        stopped: "eos", "until" or "length" (cut off by ``max_new_tokens``).
        stray: special tokens before the end, which ``text`` leaves out.
    """

    index: int
    text: str
    stopped: str
    stray: tuple[str, ...] = ()


class GenerationEngine:
    """Continues prompts greedily.

    Args:
        forward: the model.
        tokenizer: of the model.
        eos: token ids that end an answer.
        warn: called with one sentence when something is done in another way than usual.
        slots: prompts decoded together, None to derive from the model's size.
        halvings: how often less than usual is to be in memory at a time, because it ran out.
    """

    def __init__(
        self,
        forward: Forward,
        tokenizer: PreTrainedTokenizerBase,
        eos: frozenset[int],
        warn: Callable[[str], None],
        *,
        slots: int | None = None,
        halvings: int = 0,
    ) -> None:
        self.forward = forward
        self.stops = StopStrings(tokenizer)
        self.eos = eos
        self.warn = warn
        self.slots = slots
        self.halvings = halvings
        self.batch_tokens = token_budget(forward.n_parameters, forward.device, halvings)
        if forward.device.type == "cpu":
            self.batch_tokens = min(self.batch_tokens, max(1, _CPU_TOKENS >> halvings))

    def run(self, prompts: Sequence[Prompt]) -> Iterator[list[Generated]]:
        """Answer the prompts, yielding at every step that finishes one (and empty lists between).

        Raises:
            NotANumber: the model's output is NaN.
        """
        waiting = sorted(prompts, key=lambda p: len(p.tokens))  # longest last: taken first
        slots = self.slots or self._slots_for(waiting)
        batch = decoder_batch(self.forward, waiting, slots, self.warn) or Batch(self.forward)
        while waiting or batch.alive:
            free = slots - batch.alive
            # A refill costs a pass of its own: worth it for a quarter of the slots, not for one.
            if waiting and (free >= max(1, slots // 4) or not batch.alive):
                batch.add(self._take(waiting, free))
            else:
                batch.step()
            yield self._collect(batch)
            # So does moving the cache together: finished slots decode on until they are many.
            if not waiting and 4 * batch.alive <= 3 * len(batch.slots):
                batch.drop_done()

    def _slots_for(self, prompts: Sequence[Prompt]) -> int:
        config = self.forward.model.config.get_text_config()
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        size = getattr(config, "head_dim", None) or (
            config.hidden_size // config.num_attention_heads
        )
        longest = max(len(p.tokens) + p.max_new_tokens for p in prompts)
        item = self.forward.dtype.itemsize
        bytes_each = 2 * config.num_hidden_layers * heads * size * item * longest
        most = _SLOTS.get(self.forward.device.type, 128) >> self.halvings
        most = int(max(1, min(most, (_CACHE_BYTES >> self.halvings) // max(1, bytes_each))))
        return -(-len(prompts) // -(-len(prompts) // most))  # waves of equal size

    def _take(self, waiting: list[Prompt], free: int) -> list[Prompt]:
        """The next prompts, as many as fit the slots and one batch."""
        taken: list[Prompt] = []
        while waiting and len(taken) < free:
            width = max(len(waiting[-1].tokens), len(taken[0].tokens) if taken else 0)
            if taken and width * (len(taken) + 1) > self.batch_tokens:
                break
            taken.append(waiting.pop())
        return taken

    def _collect(self, batch: Batch | DecoderBatch) -> list[Generated]:
        """Answers that the last step finished."""
        finished: list[Generated] = []
        for slot in batch.slots:
            reason = None if slot.done else self._reason(slot)
            if reason is not None:
                slot.done = True
                text = self.stops.cut(slot.tokens, slot.prompt.until, slot.prompt.thought)
                stray = self.stops.special(slot.tokens)
                finished.append(Generated(slot.prompt.index, text, reason, stray))
        return finished

    def _reason(self, slot: Slot) -> str | None:
        if slot.tokens[-1] in self.eos | slot.prompt.until_tokens:
            end = slot.tokens.pop()
            return "eos" if end in self.eos else "until"
        if self.stops.found(slot.tokens, slot.prompt.until, slot.prompt.thought):
            return "until"
        return "length" if len(slot.tokens) >= slot.prompt.max_new_tokens else None
