"""Where models come from (being written: signatures are final)."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from pathlib import Path


def resolve(
    ref: str, names: Mapping[str, str], *, revision: str | None = None, download: bool = True
) -> Path:
    """The folder of a model: registered name, existing folder or Hub id. ModelError, HubError."""
    raise NotImplementedError


def fingerprint(folder: str | Path, *, cache: MutableMapping[str, str] | None = None) -> str:
    """64 hex digits over the content of the weights, the same however they are sharded."""
    raise NotImplementedError
