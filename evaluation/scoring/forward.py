"""One forward pass that computes the output head only where somebody looks.

The head of a small model with a large vocabulary costs more than its body, and harnesses apply it
to every position of every prompt. A hook on the head keeps the wanted positions only; because the
model's own forward still runs around it, logit scaling and soft-capping stay what they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from evaluation.scoring.screening import highest_of_head

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Forward:
    """Runs a causal language model and returns logits at chosen positions.

    Args:
        model: transformers model in memory; it is put in eval mode.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model.eval()
        self.device = model.device
        self.dtype = model.dtype
        head = model.get_output_embeddings()
        self._head = head if isinstance(head, torch.nn.Module) else None
        self._head_is_last: bool | None = None  # unknown until the first look

    @property
    def n_parameters(self) -> int:
        """Number of weights, tied ones once."""
        return sum(p.numel() for p in self.model.parameters())

    @property
    def attention(self) -> str:
        """Name of the attention implementation, such as "sdpa"."""
        return str(getattr(self.model.config, "_attn_implementation", "") or "eager")

    def logits(
        self, input_ids: torch.Tensor, wanted: torch.Tensor, **kwargs: Any
    ) -> tuple[torch.Tensor, Any]:
        """Logits at chosen positions.

        Args:
            input_ids: token ids, shape (batch, length).
            wanted: positions in the flattened (batch * length), shape (k,).
            kwargs: attention_mask, position_ids, past_key_values ... of the model's forward.

        Returns:
            Logits in float32, shape (k, vocabulary), and the model's whole output.
        """
        with torch.inference_mode(), self._only(wanted):
            output = self.model(input_ids=input_ids, **kwargs)
            logits = output.logits
            if self._head is None:
                logits = logits.reshape(-1, logits.shape[-1])[wanted]
            return logits.reshape(-1, logits.shape[-1]).float(), output

    def likeliest(
        self, input_ids: torch.Tensor, wanted: torch.Tensor, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The likeliest next token at chosen positions.

        On a CPU the head runs over a part of the vocabulary at a time, whose logits stay in the
        processor's cache; all of them would be written to memory and read again at every token.
        Only for models whose logits are the head's own output, which the first call looks at.

        Args:
            input_ids: as for ``logits``.
            wanted: as for ``logits``.
            kwargs: as for ``logits``.

        Returns:
            Token ids and their logits (NaN where any is), both of shape (k,).
        """
        head = self._head
        if self.device.type != "cpu" or type(head) is not torch.nn.Linear:
            return _highest(self.logits(input_ids, wanted, **kwargs)[0])
        if self._head_is_last is None:
            seen: list[torch.Tensor] = []
            handle = head.register_forward_hook(lambda _head, _args, out: seen.append(out))
            try:
                logits, _ = self.logits(input_ids, wanted, **kwargs)
            finally:
                handle.remove()
            self._head_is_last = len(seen) == 1 and torch.equal(
                seen[0].reshape(logits.shape).float(), logits
            )
            return _highest(logits)
        if not self._head_is_last:
            return _highest(self.logits(input_ids, wanted, **kwargs)[0])
        hidden: list[torch.Tensor] = []

        def take(states: torch.Tensor) -> torch.Tensor:
            hidden.append(states.reshape(-1, states.shape[-1])[wanted])
            return states[:, :0]

        with torch.inference_mode(), self._before_head(take):
            self.model(input_ids=input_ids, **kwargs)
            return highest_of_head(hidden[0], head.weight, head.bias)

    @contextmanager
    def _only(self, wanted: torch.Tensor) -> Iterator[None]:
        def keep(states: torch.Tensor) -> torch.Tensor:
            return states.reshape(-1, states.shape[-1])[wanted].unsqueeze(0)

        with self._before_head(keep):
            yield

    @contextmanager
    def _before_head(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Iterator[None]:
        """Give the head, if there is one, something else to look at."""
        if self._head is None:
            yield
            return
        handle = self._head.register_forward_pre_hook(
            lambda _head, args: (change(args[0]), *args[1:])
        )
        try:
            yield
        finally:
            handle.remove()


def _highest(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    highest, best = logits.max(dim=-1)  # NaN if any logit is
    return best, highest


def window(model: PreTrainedModel, tokenizer: Any = None) -> int:
    """Longest input of a model in tokens, as the harness determines it (2048 when unsaid)."""
    from lm_eval.models.utils import resolve_max_length

    return int(resolve_max_length(model.config, tokenizer, default=2048))


def sliding_window(model: PreTrainedModel) -> int | None:
    """Length of the attention window of layers that have one, None when all see everything."""
    config = model.config.get_text_config(decoder=True)
    sizes = [getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size")]
    size = min((size for size in sizes if size), default=None)
    if not size or getattr(config, "use_sliding_window", True) is False:
        return None
    kinds = getattr(config, "layer_types", None)
    if kinds is not None and not any("sliding" in kind or "chunked" in kind for kind in kinds):
        return None
    return int(size)


def token_budget(n_parameters: int, device: torch.device, halvings: int = 0) -> int:
    """Tokens per batch: about a second of work on a CPU, so that cancelling is prompt.

    Args:
        n_parameters: of the model.
        device: it computes on.
        halvings: how often less is to be taken than usual, because memory ran out.
    """
    if device.type == "cpu":
        usual = int(min(8192, max(256, 4e10 / max(1, n_parameters))))
    else:
        usual = 32_768 if n_parameters < 2e9 else 16_384
    return max(1, usual >> halvings)
