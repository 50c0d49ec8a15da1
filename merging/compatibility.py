"""Do these parents fit together? Answered from headers, configs and tokenizer files alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from merging.checkpoint import Checkpoint
from merging.checks import Check
from merging.folder import text_config
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
    parents: Sequence[Checkpoint], vocabulary: Vocabulary | None = None
) -> list[Check]:
    """All checks, the reference (base or config donor) being the first parent.

    Where some parents tie their output embedding and others do not, untie them before.

    Args:
        parents: opened.
        vocabulary: the merge's; None for the one that comes about without any wish.
    """
    if vocabulary is None:
        vocabulary = plan_vocabulary({one.label: one for one in parents})
    checks: list[Check] = []
    for examine in (_architecture, _plain_weights, _adapters, _tensors):
        checks.extend(examine(parents))
    checks.extend(check for check in vocabulary.checks if check.state == "bad")
    checks.extend(_shapes(parents, vocabulary))
    for examine in (_configs, _dtypes, _code):
        checks.extend(examine(parents))
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


def _tensors(parents: Sequence[Checkpoint]) -> Iterator[Check]:
    first = parents[0]
    for other in parents[1:]:
        for here, there in ((first, other), (other, first)):
            missing = [name for name in there.tensors if name not in here.tensors]
            if missing:
                yield Check(
                    "Tensors",
                    "bad",
                    f"{here.label} lacks {in_words(missing, most=2)}, which {there.label} has.",
                    "Check that both were made from the same base and are complete.",
                )
                return
    yield Check("Tensors", "ok", f"All have the same {len(first.tensors)} tensors.")


def _shapes(parents: Sequence[Checkpoint], vocabulary: Vocabulary) -> Iterator[Check]:
    """Of tensors with a row per token those count that they have in the merge."""
    first = parents[0]
    for other in parents[1:]:
        differing = [
            name
            for name in first.tensors
            if name in other.tensors
            and vocabulary.shape(first, name) != vocabulary.shape(other, name)
        ]
        if differing:
            name = differing[0]
            shapes = " and ".join(
                f"{list(one.tensors[name].shape)} in {one.label}" for one in (first, other)
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


def _dtypes(parents: Sequence[Checkpoint]) -> Iterator[Check]:
    first = parents[0]
    for other in parents[1:]:
        for name, info in first.tensors.items():
            there = other.tensors.get(name)
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
