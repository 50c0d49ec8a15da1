"""Log-probabilities of continuations: shared contexts once, the head only where it is read."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch

from evaluation.errors import EvaluationFailure, is_out_of_memory
from evaluation.scoring.forward import Forward, sliding_window, token_budget
from evaluation.scoring.packing import Query, Row, common_start, pack, to_tensors

if TYPE_CHECKING:
    from transformers import DynamicCache

Answer = tuple[int, float, bool]
"""(request index, log-probability, greedy): greedy = every scored token was the likeliest."""

_MIN_PREFIX = 24  # a common prefix shorter than this is not worth a pass of its own
_MASK_ENTRIES = 1 << 26
_LOGIT_ENTRIES = {"cpu": 1 << 26, "cuda": 1 << 28}
_CHECKED_ROWS = 5
_CHECKED_TOKENS = 5_000


class NotANumber(EvaluationFailure):
    """The model's output is NaN."""


class LoglikelihoodEngine:
    """Scores queries in batches.

    Args:
        forward: the model.
        warn: called with one sentence when something is done in another way than usual.
        batch_tokens: tokens per batch, None to derive from the model's size.
        share: run shared contexts once; False scores every continuation on its own.
        halvings: how often less than usual is to be in memory at a time, because it ran out.
    """

    def __init__(
        self,
        forward: Forward,
        warn: Callable[[str], None],
        *,
        batch_tokens: int | None = None,
        share: bool = True,
        halvings: int = 0,
    ) -> None:
        self.forward = forward
        self.warn = warn
        self.halvings = halvings
        self.batch_tokens = batch_tokens or token_budget(
            forward.n_parameters, forward.device, halvings
        )
        self.share = share
        self.sliding_window = sliding_window(forward.model)
        self._checked: set[str] = set()
        if share:
            self._refuse_unsuitable()

    def _refuse_unsuitable(self) -> None:
        model = self.forward.model
        if getattr(model, "_is_stateful", False):
            self._plain("it carries a state from token to token, not a cache of them")
        elif self.forward.attention not in {"sdpa", "eager"}:
            self._plain(f"its attention ({self.forward.attention}) takes no mask of ours")

    def _plain(self, reason: str) -> None:
        self.share = False
        self.warn(
            f"This model is scored one continuation at a time, which is slower: {reason}. "
            "The scores are the same."
        )

    def run(self, queries: Sequence[Query]) -> Iterator[list[Answer]]:
        """Score the queries, yielding the answers of each batch as it is done.

        Raises:
            NotANumber: the model's output is NaN.
            EvaluationFailure: one row alone does not fit in memory.
        """
        if self.share:
            rows = pack(queries, share=True, longest=self._longest(queries))
            if not self._slides(rows):
                refused = yield from self._shared(rows)
                if not refused:
                    return
        rows = pack(queries, share=False, longest=0)
        yield from self._batches(rows, 0, None)

    def _shared(self, rows: list[Row]) -> Generator[list[Answer], None, bool]:
        """Score rows with shared contexts; returns whether plain scoring must be used instead."""
        prefix = self._prefix(rows)
        cache = self._prefix_cache(rows[0].shared[:prefix]) if prefix else None
        used = {"branches"} if not all(row.is_plain for row in rows) else set()
        used |= {"prefix"} if prefix else set()
        if used - self._checked:
            sample = _sample(rows)
            answers = self._self_check(sample, prefix, cache)
            if answers is None:
                return True
            self._checked |= used
            yield answers
            rows = [row for row in rows if not any(row is other for other in sample)]
        yield from self._batches(rows, prefix, cache)
        return False

    def _longest(self, queries: Sequence[Query]) -> int:
        return max(2048, *(len(query.tokens) for query in queries))

    def _slides(self, rows: Sequence[Row]) -> bool:
        """Our mask would show a sliding layer more than it may see."""
        if self.sliding_window is None or all(row.depth < self.sliding_window for row in rows):
            return False
        if self.share:
            self._plain("its attention window slides and some prompts are longer than it")
        return True

    def _prefix(self, rows: Sequence[Row]) -> int:
        if len(rows) < 4 or self.forward.attention not in {"sdpa", "eager"}:
            return 0
        shared = common_start(rows)
        return shared if shared >= _MIN_PREFIX else 0

    def _batches(self, rows: Sequence[Row], prefix: int, cache: Any) -> Iterator[list[Answer]]:
        batch: list[Row] = []
        for row in rows:
            if batch and not self._fits([*batch, row], prefix):
                yield from self._run_or_halve(batch, prefix, cache)
                batch = []
            batch.append(row)
        if batch:
            yield from self._run_or_halve(batch, prefix, cache)

    def _fits(self, batch: Sequence[Row], prefix: int) -> bool:
        width = len(batch[0]) - prefix  # rows come longest first
        read = sum(query.scored for row in batch for query, _ in row.queries)
        vocabulary = int(self.forward.model.config.get_text_config().vocab_size)
        return (
            len(batch) * width <= self.batch_tokens
            and len(batch) * width * (width + prefix) <= _MASK_ENTRIES >> self.halvings
            and read * vocabulary
            <= _LOGIT_ENTRIES.get(self.forward.device.type, 1 << 26) >> self.halvings
        )

    def _run_or_halve(
        self, batch: Sequence[Row], prefix: int, cache: Any
    ) -> Iterator[list[Answer]]:
        try:
            answers = self._run(batch, prefix, cache)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            if len(batch) == 1:
                raise EvaluationFailure(
                    f"A prompt of {len(batch[0])} tokens does not fit in the memory of "
                    f"{self.forward.device}; free some of it or use a smaller model."
                ) from error
            self.batch_tokens = max(1, self.batch_tokens // 2)
            half = len(batch) // 2
            yield from self._run_or_halve(batch[:half], prefix, cache)
            yield from self._run_or_halve(batch[half:], prefix, cache)
            return
        yield answers

    def _run(self, batch: Sequence[Row], prefix: int, cache: Any) -> list[Answer]:
        """Score one batch of rows."""
        packed = to_tensors(batch, prefix)
        width = packed.input_ids.shape[1]
        slots: dict[int, int] = {}  # flat position -> row of the logits; choices share some
        reads: list[tuple[Query, list[int]]] = []
        for i, row in enumerate(batch):
            for query, indices in row.positions_read():
                flat = [i * width + index - prefix for index in indices]
                reads.append((query, [slots.setdefault(at, len(slots)) for at in flat]))
        logits = self._logits(packed, torch.tensor(list(slots)), prefix, cache)
        return _read_off(logits, reads)

    def _logits(self, packed: Any, wanted: torch.Tensor, prefix: int, cache: Any) -> torch.Tensor:
        device = self.forward.device
        kwargs: dict[str, Any] = {"use_cache": False}
        if packed.mask is not None:
            kwargs["attention_mask"] = self._as_attention_mask(packed.mask.to(device))
            kwargs["position_ids"] = packed.position_ids.to(device)
        if prefix:
            kwargs["past_key_values"] = _repeat(cache, packed.input_ids.shape[0])
            kwargs["use_cache"] = True
        logits, _ = self.forward.logits(packed.input_ids.to(device), wanted.to(device), **kwargs)
        return logits

    def _as_attention_mask(self, mask: torch.Tensor) -> torch.Tensor:
        """The mask in the form that the attention takes: sdpa True/False, eager to be added."""
        if self.forward.attention == "sdpa":
            return mask
        blocked = torch.finfo(self.forward.dtype).min
        return torch.zeros_like(mask, dtype=self.forward.dtype).masked_fill(~mask, blocked)

    def _prefix_cache(self, tokens: list[int]) -> DynamicCache:
        from transformers import DynamicCache

        cache = DynamicCache()
        ids = torch.tensor([tokens], device=self.forward.device)
        last = torch.tensor([len(tokens) - 1], device=self.forward.device)
        self.forward.logits(ids, last, past_key_values=cache, use_cache=True)
        return cache

    def _self_check(self, rows: Sequence[Row], prefix: int, cache: Any) -> list[Answer] | None:
        """Answers of a few rows, or None when plain scoring gives other numbers."""
        last = [row.queries[-1][0] for row in rows]  # behind all others: shows a leak first
        plain = {
            answer[0]: answer[1]
            for row in pack(last, share=False, longest=0)
            for answer in self._run([row], 0, None)
        }
        try:
            answers = self._run(rows, prefix, cache)
        except (RuntimeError, ValueError, TypeError, AttributeError, KeyError) as error:
            self._plain(f"sharing contexts failed on it ({type(error).__name__})")
            return None
        loose = self.forward.dtype != torch.float32
        for index, value, _ in answers:
            reference = plain.get(index, value)
            allowed = 0.5 + 0.05 * abs(reference) if loose else 1e-3 + 1e-4 * abs(reference)
            if not abs(value - reference) <= allowed:
                self._plain(
                    f"sharing contexts changed a log-probability from {reference:.4f} "
                    f"to {value:.4f}"
                )
                return None
        return answers


def _sample(rows: Sequence[Row]) -> list[Row]:
    """A few rows to check, branching ones where there are any; fewer where prompts are long."""
    ordered = sorted(rows, key=lambda row: (row.is_plain, len(row)))
    branching = [row for row in ordered if not row.is_plain] or ordered
    spread = branching[:: max(1, len(branching) // _CHECKED_ROWS)][:_CHECKED_ROWS]
    taken: list[Row] = []
    for row in spread:
        if not taken or sum(map(len, taken)) + len(row) <= _CHECKED_TOKENS:
            taken.append(row)
    return taken


def _repeat(cache: DynamicCache, batch: int) -> DynamicCache:
    """The prefix's cache for every row of a batch (views; attention copies them when it grows)."""
    from transformers import DynamicCache

    layers = [
        (layer.keys.expand(batch, -1, -1, -1), layer.values.expand(batch, -1, -1, -1))
        for layer in cache.layers
    ]
    return DynamicCache(layers)


def _read_off(logits: torch.Tensor, reads: Sequence[tuple[Query, list[int]]]) -> list[Answer]:
    """Sum the log-probabilities of each query.

    Args:
        logits: float32, shape (slots, vocabulary).
        reads: queries and, for each scored token, the slot that predicts it.
    """
    slots = torch.tensor([slot for _, at in reads for slot in at], device=logits.device)
    targets = torch.tensor(
        [token for query, _ in reads for token in query.tokens[-query.scored :]],
        device=logits.device,
    )
    owners = torch.tensor(
        [i for i, (query, _) in enumerate(reads) for _ in range(query.scored)],
        device=logits.device,
    )
    total = torch.logsumexp(logits, dim=-1)  # (slots,)
    best = logits.argmax(dim=-1)  # (slots,)
    values = logits[slots, targets] - total[slots]  # (scored tokens,)
    sums = torch.zeros(len(reads), device=logits.device).index_add_(0, owners, values)
    misses = torch.zeros(len(reads), device=logits.device).index_add_(
        0, owners, (best[slots] != targets).float()
    )
    if torch.isnan(sums).any():
        raise NotANumber(
            "the model answers NaN (not a number); its weights are damaged, or the merge that "
            "made them overflowed"
        )
    return [
        (query.index, value, miss == 0)
        for (query, _), value, miss in zip(reads, sums.tolist(), misses.tolist(), strict=True)
    ]
