"""A tiny family of models, made once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.merging import models


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    torch.set_num_threads(1)
    yield


@pytest.fixture(scope="session")
def family(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of base, finance, math and instruct: bfloat16, untied, one vocabulary."""
    root = tmp_path_factory.mktemp("family")
    base = models.weights(0)
    made = {"base": models.write_model(root / "base", base)}
    for seed, name in enumerate(("finance", "math", "instruct"), 1):
        tensors = models.tuned(base, seed)
        made[name] = models.write_model(root / name, tensors, chat=name == "instruct")
    return made
