"""What goes into an extracted adapter: which tensors as a LoRA, which whole, which not at all."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from merging.checkpoints.checkpoint import Checkpoint
from merging.output.layout import OutputTensor

Others = Literal["leave", "whole"]
PREFIX = "base_model.model."
EMBEDDING = re.compile(r"(embed|wte|wpe|lm_head|shared\.weight)")
TRANSPOSED = ("gpt2",)  # model types whose linear layers lie as [in, out]


@dataclass(frozen=True)
class AdapterLayout:
    """What becomes of each tensor in which expert and base differ, or may.

    Attributes:
        low_rank: tensor -> rank.
        whole: tensors that the adapter brings as the expert has them.
        left: changed tensors that it does not bring.
        transposed: the weights lie as [in, out].
        tied: the output embedding is brought as a copy of the input embedding.
    """

    low_rank: dict[str, int]
    whole: tuple[str, ...]
    left: tuple[str, ...]
    transposed: bool
    tied: bool

    def outputs(self, expert: Checkpoint, dtype: str) -> dict[str, OutputTensor]:
        """The tensors of the adapter's file by PEFT's names."""
        found = {}
        for name, rank in self.low_rank.items():
            rows, columns = self.shape(expert, name)
            a, b = names_of(name)
            found[a] = OutputTensor(dtype, (rank, columns))
            found[b] = OutputTensor(dtype, (rows, rank))
        for name in self.whole:
            info = expert.tensors[name]
            found[self.name_of_whole(name)] = OutputTensor(expert.stored(name) or "F32", info.shape)
        return found

    def shape(self, expert: Checkpoint, name: str) -> tuple[int, int]:
        """(out, in) of a matrix, however it lies."""
        rows, columns = expert.tensors[name].shape
        return (columns, rows) if self.transposed else (rows, columns)

    def name_of_whole(self, name: str) -> str:
        """PEFT's name of a tensor that is brought whole; the bias of a LoRA layer lies inside."""
        module, _, part = name.rpartition(".")
        inside = f"{module}.weight" in self.low_rank
        return f"{PREFIX}{module}.base_layer.{part}" if inside else f"{PREFIX}{name}"

    def config(self, base: str, rank: int) -> dict[str, Any]:
        """adapter_config.json; with alpha = r everywhere nothing is scaled."""
        modules = [module_of(name) for name in self.low_rank]
        smaller = {module_of(name): own for name, own in self.low_rank.items() if own != rank}
        saved = sorted({module_of(name) for name in self.whole} - set(modules))
        return {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": base,
            "inference_mode": True,
            "r": rank,
            "lora_alpha": rank,
            "rank_pattern": smaller,
            "alpha_pattern": smaller,
            "lora_dropout": 0.0,
            "bias": "all" if any(module_of(name) in modules for name in self.whole) else "none",
            "fan_in_fan_out": self.transposed,
            "target_modules": _targets(modules),
            "modules_to_save": saved or None,
            "init_lora_weights": True,
            "use_rslora": False,
            "use_dora": False,
            **({"ensure_weight_tying": True} if self.tied else {}),
        }


def lay_out_adapter(
    expert: Checkpoint, changed: Iterable[str], rank: int, others: Others
) -> AdapterLayout:
    """Sort the tensors of a model.

    Args:
        expert: opened.
        changed: names of the vectors and embeddings that differ from the base's.
        rank: of each matrix's LoRA, unless the matrix is smaller.
        others: what becomes of the changed ones.
    """
    low_rank = {
        name: min(rank, *info.shape)
        for name, info in expert.tensors.items()
        if is_matrix(expert, name)
    }
    rest = tuple(changed)
    savable = [name for name in rest if name.endswith((".weight", ".bias"))]
    whole = savable if others == "whole" else []
    tied = expert.is_tied and expert.head is not None and expert.head[1] in whole
    if tied and expert.head is not None:
        # PEFT copies a module that is brought whole: a tied head would keep the old values
        expert.untie()
        whole = [*whole, expert.head[0]]
    return AdapterLayout(
        low_rank=low_rank,
        whole=tuple(whole),
        left=tuple(name for name in rest if name not in whole),
        transposed=expert.config.get("model_type") in TRANSPOSED,
        tied=tied,
    )


def is_matrix(model: Checkpoint, name: str) -> bool:
    """Whether a tensor is the matrix of a linear layer, as far as its name and shape tell."""
    info = model.tensors[name]
    good = info.is_float and len(info.shape) == 2 and min(info.shape) > 0
    return good and name.endswith(".weight") and not EMBEDDING.search(name)


def module_of(tensor: str) -> str:
    """The module a tensor belongs to."""
    return tensor.rpartition(".")[0]


def names_of(tensor: str) -> tuple[str, str]:
    """PEFT's names of A and B."""
    module = PREFIX + module_of(tensor)
    return f"{module}.lora_A.weight", f"{module}.lora_B.weight"


def _targets(modules: list[str]) -> list[str]:
    """The last parts of the names, which is how PEFT's users know them."""
    return sorted({module.rpartition(".")[2] for module in modules})
