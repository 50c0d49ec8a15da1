"""A model folder that needs code of its own; the code leaves a mark whenever it is imported."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
CODE = """
import os
from pathlib import Path
from transformers import LlamaConfig, LlamaForCausalLM

Path({mark!r}).touch()

class OddConfig(LlamaConfig):
    model_type = "crucible_odd"

class OddForCausalLM(LlamaForCausalLM):
    config_class = OddConfig
"""


def make(folder: Path, mark: Path) -> Path:
    """A copy of the shipped base that transformers can load by the code beside it alone."""
    base = PROJECT / "sandbox" / "base"
    shutil.copytree(base, folder)
    for extra in (PROJECT / "sandbox").glob("tokenizer*"):
        if not (folder / extra.name).exists():
            shutil.copy(extra, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "crucible_odd",
        "architectures": ["OddForCausalLM"],
        "auto_map": {
            "AutoConfig": "modeling_odd.OddConfig",
            "AutoModelForCausalLM": "modeling_odd.OddForCausalLM",
        },
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "modeling_odd.py").write_text(CODE.format(mark=str(mark)))
    return folder
