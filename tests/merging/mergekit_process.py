"""mergekit itself, as a process of its own, and models for both to merge.

It needs a virtual environment of its own: MERGEKIT_PYTHON=PATH python -m pytest ...
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import torch

from tests.merging import models
from tests.merging.models import Tensors, stored

PYTHON = os.environ.get("MERGEKIT_PYTHON", "")
LAYERS = 4
# one process for many recipes: most of its time is the import
_DRIVER = """
import json, sys, yaml
from mergekit.config import MergeConfiguration
from mergekit.merge import run_merge
from mergekit.options import MergeOptions
problems = {}
for name, (config, out) in json.load(open(sys.argv[1])).items():
    try:
        read = MergeConfiguration.model_validate(yaml.safe_load(open(config)))
        options = MergeOptions(
            quiet=True, write_model_card=False, random_seed=1, lora_merge_cache=sys.argv[1] + ".d"
        )
        run_merge(read, out, options)
    except Exception as error:
        problems[name] = f"{type(error).__name__}: {error}"
json.dump(problems, open(sys.argv[1] + ".problems", "w"))
"""


def is_there() -> bool:
    """Whether mergekit can be run."""
    return bool(PYTHON)


def run(recipes: Mapping[str, str], root: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """Merge recipes by mergekit.

    Returns:
        Folders of the results by name, and what mergekit said where there is none.
    """
    jobs, folders = {}, {}
    for place, (name, text) in enumerate(recipes.items()):
        (root / f"{place}.yaml").write_text(text)
        folders[name] = root / f"{place}"
        jobs[name] = (str(root / f"{place}.yaml"), str(folders[name]))
    (root / "jobs.json").write_text(json.dumps(jobs))
    subprocess.run(
        [PYTHON, "-c", _DRIVER, root / "jobs.json"],
        check=True,
        capture_output=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
    )
    return folders, json.loads((root / "jobs.json.problems").read_text())


def deep(seed: int, layers: int = LAYERS) -> Tensors:
    """Random weights of a tiny Llama with more layers than `models.weights` has."""
    found = models.weights(seed)
    for more in range(1, layers // models.LAYERS):
        for name, tensor in models.weights(seed + 1000 * more).items():
            place = name.split(".")
            if place[1] == "layers":
                place[2] = str(int(place[2]) + more * models.LAYERS)
                found[".".join(place)] = tensor
    return found


def family(root: Path, dtype: torch.dtype = torch.float32) -> dict[str, Path]:
    """Folders of a base and three models tuned from it."""
    base = deep(0)
    made = {"base": base, **{name: models.tuned(base, seed) for seed, name in enumerate("abc", 1)}}
    changes = {"num_hidden_layers": LAYERS}
    return {
        name: models.write_model(root / name, tensors, dtype=dtype, changes=changes)
        for name, tensors in made.items()
    }


def ulps_apart(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """`[n]` int: how many bfloat16 numbers lie between two bfloat16 tensors, element by element."""
    places = []
    for tensor in (one, other):
        bits = tensor.contiguous().view(torch.int16).int().flatten()
        places.append(torch.where(bits < 0, -(bits & 0x7FFF), bits))
    return (places[0] - places[1]).abs()


def disagreement(one: Path, other: Path) -> tuple[int, int]:
    """Elements of two bfloat16 models that are more than one unit apart, and all elements.

    Raises:
        AssertionError: they have other tensors.
    """
    first, second = stored(one), stored(other)
    assert {name: tensor.shape for name, tensor in first.items()} == {
        name: tensor.shape for name, tensor in second.items()
    }
    assert {tensor.dtype for tensor in (*first.values(), *second.values())} == {torch.bfloat16}
    apart = [ulps_apart(tensor, second[name]) for name, tensor in first.items()]
    return sum(int((one > 1).sum()) for one in apart), sum(one.numel() for one in apart)
