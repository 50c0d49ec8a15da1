"""The training loop: rows in, weights out, with checkpoints that resume to the same weights."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from training.optimizer import Optimizer, rate_factor
from training.packing import IGNORED

CLIP_NORM = 1.0


@dataclass(frozen=True)
class Rows:
    """What one run trains on, in training order.

    `ids` and `labels` are int64 [rows, row_tokens]; labels are unshifted.
    """

    ids: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Schedule:
    """How one run goes over its rows; each row is seen once."""

    optimizer: str
    learning_rate: float
    rows_per_step: int
    decay_share: float = 1.0
    checkpoint_steps: int = 100
    """A checkpoint is written every so many steps."""


def shuffled(stages: list[tuple[Tensor, Tensor]], seed: int) -> Rows:
    """Join stages, each one shuffled within itself; equal seeds give equal orders."""
    generator = torch.Generator().manual_seed(seed)
    ids, labels = [], []
    for stage_ids, stage_labels in stages:
        order = torch.randperm(len(stage_ids), generator=generator)
        ids.append(stage_ids[order])
        labels.append(stage_labels[order])
    return Rows(torch.cat(ids), torch.cat(labels))


def next_token_loss(model: nn.Module, ids: Tensor, labels: Tensor) -> Tensor:
    """Mean cross entropy in nats over the counted tokens of a batch [rows, row_tokens]."""
    logits = model(input_ids=ids, use_cache=False).logits
    return nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED
    )


def train(
    model: nn.Module, rows: Rows, schedule: Schedule, checkpoint: Path
) -> Iterator[tuple[int, int, float]]:
    """Train `model` in place; yields (steps done, steps in all, loss) after every step.

    A file at `checkpoint` is resumed from: the remaining steps see the same rows with the same
    optimizer state, so the final weights equal those of a run that was never stopped. The caller
    removes the file once the result is safe.
    """
    steps = max(1, len(rows.ids) // schedule.rows_per_step)
    optimizer = Optimizer(model, schedule.optimizer, schedule.learning_rate)
    start = _resume(model, optimizer, checkpoint)
    model.train()
    for step in range(start, steps):
        batch = slice(step * schedule.rows_per_step, (step + 1) * schedule.rows_per_step)
        loss = next_token_loss(model, rows.ids[batch], rows.labels[batch])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        optimizer.step(rate_factor(step, steps, schedule.decay_share))
        done = step + 1
        if done % schedule.checkpoint_steps == 0 and done < steps:
            _save(checkpoint, done, model, optimizer)
        yield done, steps, loss.item()


def _save(path: Path, step: int, model: nn.Module, optimizer: Optimizer) -> None:
    state = {"step": step, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    os.replace(temporary, path)


def _resume(model: nn.Module, optimizer: Optimizer, path: Path) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])
