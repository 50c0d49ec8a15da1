"""Do these parents fit together? Answered from headers, configs and tokenizer files alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from merging.checkpoint import Checkpoint
from merging.folder import text_config
from merging.tokenizers.vocabulary import check_tokenizers
from merging.wording import in_words

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


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        title: what, in two or three words.
        state: "bad" stands in the way of the merge.
        detail: what was found, one sentence.
        fix: what to do; empty when nothing has to be done.
    """

    title: str
    state: Literal["ok", "warn", "bad"]
    detail: str
    fix: str = ""


def check_parents(parents: Sequence[Checkpoint]) -> list[Check]:
    """All checks, the reference (base or config donor) being the first parent.

    Where some parents tie their output embedding and others do not, untie them before.
    """
    checks: list[Check] = []
    for examine in (
        _architecture,
        _plain_weights,
        _tensors,
        _vocabulary_rows,
        _shapes,
        _configs,
        _dtypes,
        _code,
    ):
        checks.extend(examine(parents))
    if all(check.state != "bad" for check in checks):
        checks.extend(Check(*found) for found in check_tokenizers(parents))
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
        quantised = "quantization_config" in one.config or any(
            info.dtype.startswith("F8") for info in one.tensors.values()
        )
        if quantised:
            yield Check(
                "Weights",
                "bad",
                f"{one.label} is quantised.",
                "Use the original model in bfloat16, float16 or float32.",
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


def _vocabulary_rows(parents: Sequence[Checkpoint]) -> Iterator[Check]:
    rows = {}
    for one in parents:
        if one.head is not None:
            rows[one.label] = one.tensors[one.head[1]].shape[:1]
    if len(set(rows.values())) > 1:
        counted = in_words(
            [f"{label} has {shape[0] if shape else 1}" for label, shape in rows.items()], most=4
        )
        yield Check(
            "Vocabulary",
            "bad",
            f"The embeddings differ in their rows: {counted}.",
            "This version merges models of one vocabulary size: choose parents with as many rows "
            "as the base.",
        )


def _shapes(parents: Sequence[Checkpoint]) -> Iterator[Check]:
    first = parents[0]
    for other in parents[1:]:
        differing = [
            name
            for name, info in first.tensors.items()
            if name in other.tensors and other.tensors[name].shape != info.shape
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
