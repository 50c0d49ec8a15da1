"""Optimizers by name, and the learning-rate schedule."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

WEIGHT_DECAY = 0.05
BETAS = (0.9, 0.98)
WARMUP_STEPS = 20
FLOOR = 0.05


def rate_factor(step: int, steps: int, decay_share: float) -> float:
    """Factor on the learning rate at `step` of `steps`: warm-up, flat, then a line down to 5 %."""
    warmup = min(1.0, (step + 1) / WARMUP_STEPS)
    return warmup * min(1.0, max(FLOOR, (steps - step) / (decay_share * steps)))


class Optimizer:
    """AdamW for all weights, or Muon for the matrices and AdamW for embeddings and norms.

    Muon learns several times as much per token as AdamW when a small model starts from nothing;
    continual pretraining goes better with AdamW at the same rate.
    """

    def __init__(self, model: nn.Module, kind: str, learning_rate: float) -> None:
        self.learning_rate = learning_rate
        matrices = [
            p
            for name, p in model.named_parameters()
            if kind == "muon" and p.ndim == 2 and "embed" not in name
        ]
        taken = {id(p) for p in matrices}
        others = [p for p in model.parameters() if id(p) not in taken]
        self._parts: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(
                others, lr=learning_rate, betas=BETAS, weight_decay=WEIGHT_DECAY, fused=True
            )
        ]
        if matrices:
            self._parts.append(
                torch.optim.Muon(
                    matrices,
                    lr=learning_rate,
                    weight_decay=WEIGHT_DECAY,
                    momentum=0.95,
                    adjust_lr_fn="match_rms_adamw",
                )
            )

    def step(self, factor: float) -> None:
        """Apply the gradients at `factor` times the learning rate, and clear them."""
        for part in self._parts:
            for group in part.param_groups:
                group["lr"] = self.learning_rate * factor
            part.step()
            part.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict[str, Any]]:
        """Everything needed to go on exactly where this optimizer stands."""
        return [part.state_dict() for part in self._parts]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Go on from what `state_dict` returned."""
        for part, state in zip(self._parts, states, strict=True):
            part.load_state_dict(state)
