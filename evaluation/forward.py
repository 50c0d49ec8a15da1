"""One forward pass that computes the output head only where somebody looks.

The head of a small model with a large vocabulary costs more than its body, and harnesses apply it
to every position of every prompt. A hook on the head keeps the wanted positions only; because the
model's own forward still runs around it, logit scaling and soft-capping stay what they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

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

    @contextmanager
    def _only(self, wanted: torch.Tensor) -> Iterator[None]:
        if self._head is None:
            yield
            return

        def keep(_module: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[Any, ...]:
            hidden = args[0]
            return (hidden.reshape(-1, hidden.shape[-1])[wanted].unsqueeze(0), *args[1:])

        handle = self._head.register_forward_pre_hook(keep)
        try:
            yield
        finally:
            handle.remove()


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


def token_budget(n_parameters: int, device: torch.device) -> int:
    """Tokens per batch: about a second of work on a CPU, so that cancelling is prompt."""
    if device.type == "cpu":
        return int(min(8192, max(256, 4e10 / max(1, n_parameters))))
    return 32_768 if n_parameters < 2e9 else 16_384
