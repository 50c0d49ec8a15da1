"""What a family of models is made of: the specification in `sandbox/family.yaml`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Architecture(_Strict):
    """A Llama model with tied embeddings; sizes in units, `context` in tokens."""

    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    context: int = 512


class TokenizerSpec(_Strict):
    """How the vocabulary is learned: number of entries, and documents drawn from each mix."""

    entries: int
    documents_per_mix: int


class Stage(_Strict):
    """A number of documents drawn from one weighted mix of kinds of documents."""

    documents: int = Field(gt=0)
    mix: dict[str, float]


class ModelSpec(_Strict):
    """One training run. Stages follow each other under a single learning-rate schedule."""

    title: str
    story: str
    """One or two sentences for the model card."""
    parent: str | None = None
    """Model the weights start from; None starts from random weights."""
    optimizer: Literal["muon", "adamw"]
    learning_rate: float = Field(gt=0)
    decay_share: float = Field(default=1.0, gt=0, le=1)
    """Share of the steps, at the end, over which the rate falls in a line to 5 %."""
    stages: tuple[Stage, ...] = ()
    chats: Stage | None = None
    """Conversations instead of documents; the loss is taken on the replies only."""
    replay: float = Field(default=0.0, ge=0)
    """Documents of the base's last mix, per document (or conversation) of one's own."""


class FamilySpec(_Strict):
    """A family: one architecture, one tokenizer, several models, in the order they are made."""

    name: str
    architecture: Architecture
    tokenizer: TokenizerSpec
    row_tokens: int
    rows_per_step: int
    models: dict[str, ModelSpec]

    def fingerprint(self, seed: int) -> str:
        """Changes whenever the specification or the seed does; finished work carries it."""
        text = f"{self.model_dump_json()} {seed}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def replay_mix(self) -> dict[str, float]:
        """The mix that replay is drawn from: the last one of the model without a parent."""
        roots = [model for model in self.models.values() if model.parent is None]
        return roots[0].stages[-1].mix


def load_spec(path: Path | str) -> FamilySpec:
    """Read a family's specification.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file is not a valid specification; the text names the entry.
    """
    text = Path(path).read_text(encoding="utf-8")
    try:
        return FamilySpec.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not valid YAML: {error}") from error
