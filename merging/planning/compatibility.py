"""Do these parents fit together? Answered from headers, configs and tokenizer files alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from merging.checkpoints.checkpoint import Checkpoint
from merging.checkpoints.folder import text_config
from merging.planning.checks import Check
from merging.recipes.layers import Layers
from merging.tokenizers.planning import plan_vocabulary
from merging.tokenizers.vocabulary import Vocabulary
from merging.wording import in_words

__all__ = ["Check", "check_parents"]

# two models of the same shapes that differ in one of these compute different functions
SAME_FUNCTION = (
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "hidden_act",
    "hidden_activation",
)
# differences here are survivable, and usually a sign of another base
SHOULD_AGREE = (
    "rope_parameters",
    "rope_theta",
    "rope_scaling",
    "rms_norm_eps",
    "layer_norm_eps",
    "sliding_window",
    "max_position_embeddings",
)


def check_parents(
    parents: Sequence[Checkpoint], vocabulary: Vocabulary | None = None, *, sliced: bool = False
) -> list[Check]:
    """All checks, the reference (base or config donor) being the first parent.

    Where some parents tie their output embedding and others do not, untie them before.

    Args:
        parents: opened.
        vocabulary: the merge's; None for the one that comes about without any wish.
        sliced: whether single layers are put together, so that models may be of other depths.
    """
    if vocabulary is None:
        vocabulary = plan_vocabulary({one.label: one for one in parents})
    checks: list[Check] = []
    for examine in (_architecture, _plain_weights, _adapters):
        checks.extend(examine(parents))
    names = [_names(one, sliced) for one in parents]
    checks.extend(_tensors(parents, names))
    checks.extend(check for check in vocabulary.checks if check.state == "bad")
    checks.extend(_shapes(parents, names, vocabulary))
    checks.extend(_configs(parents))
    checks.extend(_dtypes(parents, names))
    checks.extend(_code(parents))
    if all(check.state != "bad" for check in checks):
        checks.extend(vocabulary.checks)
    return checks


def _architecture(parents: Sequence[Checkpoint]) -> Iterator[Check]:
    def architecture(one: Checkpoint) -> str:
        names = one.config.get("architectures")
        return str(
            names[0]
            if isinstance(names, list) and names
            else one.config.get("model_type", "unknown")
        )

    first = parents[0]
    for other in parents[1:]:
        if architecture(other) != architecture(first) or (
            other.config.get("model_type") != first.config.get("model_type")
        ):
            yield Check(
                "Architecture",
                "bad",
                f"{first.label} is a {architecture(first)}, {other.label} a {architecture(other)}.",
                "Merge models of one architecture only.",
            )
            return
    yield Check("Architecture", "ok", f"All are {architecture(first)}.")


def _plain_weights(parents: Sequence[Checkpoint]) -> Iterator[Check]:
    for one in parents:
        method = _quantisation(one)
        if method:
            yield Check(
                "Weights",
                "bad",
                f"{one.label} is quantised ({method}).",
                "Use the original model in bfloat16, float16, float32 or fp8.",
            )


def _quantisation(one: Checkpoint) -> str:
    """How a model is quantised, in a word; empty when its weights are read as floats."""
    for config in (one.config, text_config(one.config)):
        declared = config.get("quantization_config")
        if isinstance(declared, dict):
            return str(declared.get("quant_method", "unknown"))
    packed = (".qweight", ".qzeros", ".weight_packed", ".weight.absmax", ".weight.quant_map")
    return "packed weights" if any(name.endswith(packed) for name in one.tensors) else ""


def _adapters(parents: Sequence[Checkpoint]) -> Iterator[Check]:
    """What each adapter is applied to, and whether it was trained on that."""
    from merging.formats.lora import LoraCheckpoint

    for one in parents:
        if isinstance(one, LoraCheckpoint):
            trained, base = one.adapter_config.base, one.base.label
            same = trained is None or trained.rstrip("/").split("/")[-1].lower() == (
                base.rstrip("/").split("/")[-1].lower()
            )
            yield Check(
                "Adapter",
                "ok" if same else "warn",
                f"{one.label} is a LoRA of rank {one.adapter_config.rank}, applied to {base}."
                + ("" if same else f" Its config says that it was trained on {trained}."),
                "" if same else "That is right where both are the same model.",
            )


# what a tensor is compared by -> its name in one parent
Names = Mapping[str, str]


def _names(one: Checkpoint, sliced: bool) -> Names:
    """Every tensor; of a model whose layers are taken one by one, one tensor of each kind."""
    if not sliced:
        return {name: name for name in one.tensors}
    layers = Layers(one.tensors, one.config)
    found: dict[str, str] = {}
    for name in one.tensors:
        place = layers.place(name)
        found.setdefault(name if place is None else f"{layers.prefix}*.{place.rest}", name)
    return found


def _tensors(parents: Sequence[Checkpoint], names: Sequence[Names]) -> Iterator[Check]:
    first = (parents[0], names[0])
    for other in zip(parents[1:], names[1:], strict=True):
        for (here, has), (there, wanted) in ((first, other), (other, first)):
            missing = [name for kind, name in wanted.items() if kind not in has]
            if missing:
                yield Check(
                    "Tensors",
                    "bad",
                    f"{here.label} lacks {in_words(missing, most=2)}, which {there.label} has.",
                    "Check that both were made from the same base and are complete.",
                )
                return
    whole = len(names[0]) == len(parents[0].tensors)
    kinds = f"{len(names[0])} tensors" if whole else "kinds of tensors"
    yield Check("Tensors", "ok", f"All have the same {kinds}.")


def _shapes(
    parents: Sequence[Checkpoint], names: Sequence[Names], vocabulary: Vocabulary
) -> Iterator[Check]:
    """Of tensors with a row per token those count that they have in the merge."""
    first = parents[0]
    for other, there in zip(parents[1:], names[1:], strict=True):
        differing = [
            (name, there[kind])
            for kind, name in names[0].items()
            if kind in there
            and vocabulary.shape(first, name) != vocabulary.shape(other, there[kind])
        ]
        if differing:
            name = differing[0][0]
            shapes = " and ".join(
                f"{list(one.tensors[found].shape)} in {one.label}"
                for one, found in zip((first, other), differing[0], strict=True)
            )
            more = f" ({len(differing) - 1} more differ)" if len(differing) > 1 else ""
            yield Check(
                "Shapes",
                "bad",
                f"{name} is {shapes}{more}.",
                "Merge models of one size only.",
            )
            return
    yield Check("Shapes", "ok", f"{first.n_parameters:,} parameters in the same shapes.")


def _configs(parents: Sequence[Checkpoint]) -> Iterator[Check]:
    first = parents[0]
    expected = text_config(first.config)
    for other in parents[1:]:
        given = text_config(other.config)
        for key in (*SAME_FUNCTION, *SHOULD_AGREE):
            ours, theirs = expected.get(key), given.get(key)
            if ours is None or theirs is None or ours == theirs:
                continue
            must = key in SAME_FUNCTION
            yield Check(
                "Config",
                "bad" if must else "warn",
                f"{key} is {_short(ours)} in {first.label} and {_short(theirs)} in {other.label}.",
                "They compute different functions: merge models of one base only."
                if must
                else f"The merge takes {first.label}'s.",
            )


def _dtypes(parents: Sequence[Checkpoint], names: Sequence[Names]) -> Iterator[Check]:
    first = parents[0]
    for other, found in zip(parents[1:], names[1:], strict=True):
        for kind, name in names[0].items():
            info, there = first.tensors[name], other.tensors.get(found.get(kind, ""))
            if there is not None and there.is_float != info.is_float:
                yield Check(
                    "Data types",
                    "bad",
                    f"{name} is {info.dtype} in {first.label} and {there.dtype} in {other.label}.",
                    "One of the two is not a plain checkpoint; use the original.",
                )
                return
    tied = {one.is_tied for one in parents}
    if len(tied) > 1:
        yield Check(
            "Output embedding",
            "warn",
            "Some parents tie the output embedding to the input embedding, others do not.",
            "The merge gets an output embedding of its own.",
        )


def _code(parents: Sequence[Checkpoint]) -> Iterator[Check]:
    for one in parents:
        if "auto_map" in one.config:
            yield Check(
                "Remote code",
                "warn",
                f"{one.label} comes with code of its own, which is neither run nor copied.",
                "The merge loads where transformers knows the architecture itself.",
            )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
