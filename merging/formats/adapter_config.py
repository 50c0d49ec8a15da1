"""PEFT's adapter_config.json: what is read from it, and what is refused by name."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merging.checkpoints.folder import INDEX, SINGLE, read_json
from merging.errors import ModelError

CONFIG = "adapter_config.json"
# options by which an adapter stands for more, or something else, than base + scaling B A
REFUSED = {
    "layer_replication": "layers of its base used several times",
    "target_parameters": "LoRA on bare parameters of the base",
    "trainable_token_indices": "single trained tokens",
    "alora_invocation_tokens": "aLoRA, which is active for a part of the tokens only",
    "use_qalora": "QALoRA",
    "use_bdlora": "BD-LoRA",
    "arrow_config": "Arrow routing",
    "kasa_config": "KaSA",
    "velora_config": "VeLoRA",
    "monteclora_config": "MonteCLoRA",
}
# initialisations that change the base's own weights, so that the stored pair does not tell all
CHANGED_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga", "mica")
# what of the config changes the values; part of the fingerprint
MEANING = ("r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern", "fan_in_fan_out",
           "use_dora", "lora_bias", "ensure_weight_tying")  # fmt: skip


@dataclass(frozen=True)
class AdapterConfig:
    """What an adapter's config says.

    Attributes:
        label: what the user calls the adapter, for messages.
        base: name, folder or Hub id of the model it was trained on; None when it does not say.
        revision: of that base.
        rank: `r`, where `rank_pattern` does not say otherwise.
        alpha: `lora_alpha`, where `alpha_pattern` does not say otherwise.
        ranks: pattern of module names -> rank.
        alphas: pattern of module names -> alpha.
        rslora: scale by alpha / sqrt(r) instead of alpha / r (arXiv:2312.03732).
        dora: weights are decomposed into magnitude and direction (arXiv:2402.09353).
        transposed: `fan_in_fan_out`; weights lie as [in, out].
        keeps_tie: `ensure_weight_tying`; a tied output embedding follows the input embedding.
        meaning: 64 hex digits over everything above that changes the values.
    """

    label: str
    base: str | None
    revision: str | None
    rank: int
    alpha: float
    ranks: Mapping[str, int]
    alphas: Mapping[str, float]
    rslora: bool
    dora: bool
    transposed: bool
    keeps_tie: bool
    meaning: str

    def rank_of(self, module: str) -> int:
        """The rank of one module."""
        return int(_by_pattern(self.ranks, module, self.rank))

    def scaling_of(self, module: str) -> float:
        """What B A is multiplied by in one module."""
        rank = self.rank_of(module)
        alpha = float(_by_pattern(self.alphas, module, self.alpha))
        return alpha / (math.sqrt(rank) if self.rslora else rank)


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds a PEFT adapter and no whole model."""
    whole = any((folder / name).is_file() for name in (SINGLE, INDEX))
    return (folder / CONFIG).is_file() and not whole


def read_adapter_config(folder: Path, *, label: str) -> AdapterConfig:
    """Read and check an adapter's config.

    Raises:
        ModelError: it is not readable, or names something that cannot be applied exactly.
    """
    data = read_json(folder / CONFIG, label=label)
    _refuse_what_is_not_lora(data, label)
    try:
        config = _config(data, label)
        ranks = [config.rank, *config.ranks.values()]
        if min(ranks) < 1 or not all(map(math.isfinite, [config.alpha, *config.alphas.values()])):
            raise ValueError
        for pattern in (*config.ranks, *config.alphas):
            re.compile(pattern)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, re.error):
        raise ModelError(
            f"{label}: {CONFIG} has no usable rank or alpha. Copy or download it again."
        ) from None
    return config


def _refuse_what_is_not_lora(data: Mapping[str, Any], label: str) -> None:
    kind = data.get("peft_type")
    if kind != "LORA":
        raise ModelError(
            f"{label} is a PEFT adapter of the type {kind}; only LoRA can be applied here. Merge "
            "it into its base with PEFT first (merge_and_unload, then save_pretrained)."
        )
    used = [words for key, words in REFUSED.items() if data.get(key)]
    start = data.get("init_lora_weights")
    if isinstance(start, str) and start.lower().startswith(CHANGED_BASE):
        used.append(f"{start}, which changes its base's weights")
    if used:
        raise ModelError(
            f"{label} uses {used[0]}: that cannot be applied here. Merge it into its base with "
            "PEFT first (merge_and_unload, then save_pretrained)."
        )


def _config(data: Mapping[str, Any], label: str) -> AdapterConfig:
    base, revision = data.get("base_model_name_or_path"), data.get("revision")
    meaning = json.dumps({key: data.get(key) for key in MEANING}, sort_keys=True)
    return AdapterConfig(
        label=label,
        base=base if isinstance(base, str) and base else None,
        revision=revision if isinstance(revision, str) and revision else None,
        rank=int(data["r"]),
        alpha=float(data.get("lora_alpha", 8)),
        ranks={str(key): int(rank) for key, rank in (data.get("rank_pattern") or {}).items()},
        alphas={str(key): float(one) for key, one in (data.get("alpha_pattern") or {}).items()},
        rslora=bool(data.get("use_rslora")),
        dora=bool(data.get("use_dora")),
        transposed=bool(data.get("fan_in_fan_out")),
        keeps_tie=bool(data.get("ensure_weight_tying")),
        meaning=hashlib.sha256(meaning.encode()).hexdigest(),
    )


def _by_pattern(patterns: Mapping[str, float], module: str, default: float) -> float:
    """The value of the first pattern that is a module's name or ends it after a dot."""
    for pattern, value in patterns.items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return default
