"""The tensors of a PEFT adapter: which module each belongs to, and what it does there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from merging.checkpoints.header import TensorInfo
from merging.errors import ModelError
from merging.formats.adapter_config import AdapterConfig
from merging.wording import in_words

PREFIX = "base_model.model."
# ends of names in the file -> the part of a module's pair that the tensor is
PARTS = {
    ".lora_A.weight": "a",
    ".lora_B.weight": "b",
    ".lora_embedding_A": "embedding_a",
    ".lora_embedding_B": "embedding_b",
    ".lora_magnitude_vector": "magnitude",
    ".lora_magnitude_vector.weight": "magnitude",
    ".lora_B.bias": "bias",
}


@dataclass(frozen=True)
class Pair:
    """The pair of one module: names of tensors in the adapter's file.

    Attributes:
        a: of A, `[r, in]` (of an embedding `[r, vocabulary]`).
        b: of B, `[out, r]` (of an embedding `[width, r]`).
        scaling: what B A is multiplied by.
        transposed: the base's weight is `[in, out]`, so that it gets (B A)^T.
        magnitude: of DoRA's magnitudes `[out]`.
    """

    a: str
    b: str
    scaling: float
    transposed: bool
    magnitude: str | None


@dataclass
class AdapterTensors:
    """What an adapter does to its base, by the names of the base's tensors.

    Attributes:
        pairs: weights that get scaling * B A.
        replaced: tensors that the adapter brings whole (`modules_to_save`, biases): base's name ->
            name in the adapter's file.
        biases: biases that get scaling * B's own bias: base's name -> (name in the file, scaling).
    """

    pairs: dict[str, Pair] = field(default_factory=dict)
    replaced: dict[str, str] = field(default_factory=dict)
    biases: dict[str, tuple[str, float]] = field(default_factory=dict)

    @property
    def touched(self) -> set[str]:
        """Names of the base's tensors that the adapter changes."""
        return {*self.pairs, *self.replaced, *self.biases}

    def forget(self, name: str) -> None:
        """Leave a tensor out: it is the copy of another."""
        for changes in (self.pairs, self.replaced, self.biases):
            changes.pop(name, None)


def sort_out(
    stored: Mapping[str, TensorInfo], base: Mapping[str, TensorInfo], config: AdapterConfig,
    base_label: str,
) -> AdapterTensors:  # fmt: skip
    """Match the tensors of an adapter with its base's.

    Raises:
        ModelError: they do not fit together, or a tensor is of a kind that is not known.
    """
    found = AdapterTensors()
    modules: dict[str, dict[str, str]] = {}
    for name in stored:
        plain = name.removeprefix(PREFIX)
        end = next((end for end in PARTS if plain.endswith(end)), None)
        if end is not None:
            modules.setdefault(plain.removesuffix(end), {})[PARTS[end]] = name
        elif "lora_" in plain or "trainable_tokens" in plain:
            raise ModelError(
                f"{config.label} holds {name}, which is of no kind of LoRA known here."
            )
        else:
            for wrapper in (".base_layer.", ".modules_to_save."):
                plain = plain.replace(wrapper, ".")
            found.replaced[plain] = name
    if not modules and not found.replaced:
        raise ModelError(f"{config.label} holds no tensors: there is nothing to apply.")
    _refuse_strangers([*found.replaced, *(f"{each}.weight" for each in modules)], base, config,
                      base_label)  # fmt: skip
    for module, parts in modules.items():
        weight = f"{module}.weight"
        found.pairs[weight] = _pair(module, parts, stored, base[weight], config, base_label)
        if "bias" in parts:
            bias = f"{module}.bias"
            _refuse_strangers([bias], base, config, base_label)
            _check_shape(bias, stored[parts["bias"]], base[bias].shape, config, base_label)
            found.biases[bias] = (parts["bias"], config.scaling_of(module))
    for name, own in found.replaced.items():
        rows_may_differ = name.endswith(("embed_tokens.weight", "lm_head.weight", "wte.weight",
                                         "embed_in.weight", "embed_out.weight"))  # fmt: skip
        wanted = base[name].shape
        if rows_may_differ and len(stored[own].shape) == 2:
            wanted = (stored[own].shape[0], *wanted[1:])
        _check_shape(name, stored[own], wanted, config, base_label)
    return found


def _refuse_strangers(
    names: list[str], base: Mapping[str, TensorInfo], config: AdapterConfig, base_label: str
) -> None:
    missing = [name for name in names if name not in base]
    if missing:
        raise ModelError(
            f"The adapter {config.label} changes {in_words(missing, most=2)}, which its base "
            f"{base_label} does not have. {_right_base(config)}"
        )


def _pair(
    module: str, parts: Mapping[str, str], stored: Mapping[str, TensorInfo], base: TensorInfo,
    config: AdapterConfig, base_label: str,
) -> Pair:  # fmt: skip
    """Check and describe the pair of one module."""
    embedding = "embedding_a" in parts or "embedding_b" in parts
    kinds = ("embedding_a", "embedding_b") if embedding else ("a", "b")
    if not all(kind in parts for kind in kinds):
        raise ModelError(
            f"{config.label} is incomplete: it has only one of the two LoRA matrices of {module}. "
            "Copy or download it again."
        )
    a, b = (parts[kind] for kind in kinds)
    shapes = stored[a].shape, stored[b].shape
    if any(len(shape) != 2 for shape in (*shapes, base.shape)):
        raise ModelError(
            f"{config.label}: the LoRA of {module} is not one of matrices (a convolution's, say), "
            "which cannot be applied here."
        )
    (rank, n_in), (n_out, rank_of_b) = shapes
    if not rank == rank_of_b == config.rank_of(module):
        raise ModelError(
            f"{config.label}: the LoRA matrices of {module} have rank {rank} and {rank_of_b}, "
            f"where adapter_config.json says {config.rank_of(module)}. Use the config that belongs "
            "to this file."
        )
    square = n_in == n_out
    # where the shape tells, it decides: PEFT itself corrects a wrong fan_in_fan_out
    transposed = embedding or (
        config.transposed if square else base.shape == (n_in, n_out) != (n_out, n_in)
    )
    expected = (n_in, n_out) if transposed else (n_out, n_in)
    if base.shape != expected:
        raise ModelError(
            f"The adapter {config.label} does not fit its base {base_label}: {module}.weight is "
            f"{list(base.shape)} there, and the adapter is made for {list(expected)}. "
            f"{_right_base(config)}"
        )
    magnitude = parts.get("magnitude")
    if (magnitude is None) == config.dora:
        raise ModelError(
            f"{config.label}: {module} {'lacks' if config.dora else 'has'} DoRA's magnitudes, "
            f"where adapter_config.json says use_dora: {str(config.dora).lower()}."
        )
    if magnitude is not None:
        if transposed:
            raise ModelError(
                f"{config.label} uses DoRA on {module}, which is no ordinary linear layer: that "
                "cannot be applied here. Merge it into its base with PEFT first."
            )
        if stored[magnitude].n_elements != n_out:
            raise ModelError(f"{config.label}: {module} has not as many magnitudes as rows.")
    return Pair(a, b, config.scaling_of(module), transposed, magnitude)


def _check_shape(
    name: str, own: TensorInfo, wanted: tuple[int, ...], config: AdapterConfig, base_label: str
) -> None:
    if own.shape != wanted:
        raise ModelError(
            f"The adapter {config.label} does not fit its base {base_label}: {name} is "
            f"{list(own.shape)} in the adapter and {list(wanted)} in the base. "
            f"{_right_base(config)}"
        )


def _right_base(config: AdapterConfig) -> str:
    trained = f"It was trained on {config.base}" if config.base else "Its config names no base"
    return f"{trained}: give its base as BASE+ADAPTER."
