"""The merge (being written: signatures are final)."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

from merging.recipe import Recipe

Event = dict[str, Any]


def merge_to_folder(
    recipe: Recipe,
    folders: Mapping[str, Path],
    out: Path,
    *,
    device: str = "auto",
    chunk_elements: int = 1 << 20,
    threads: int | None = None,
    max_shard_bytes: int = 5_000_000_000,
) -> Generator[Event, None, Path]:
    """Merge into a Hugging Face folder; returns its path."""
    raise NotImplementedError
    yield {}


def merge_to_model(
    recipe: Recipe,
    folders: Mapping[str, Path],
    *,
    device: str = "auto",
    dtype: str | None = None,
    chunk_elements: int = 1 << 20,
) -> Generator[Event, None, tuple[Any, Any]]:
    """Merge into memory; returns (transformers model, tokenizer)."""
    raise NotImplementedError
    yield {}
