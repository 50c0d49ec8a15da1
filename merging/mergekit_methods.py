"""What mergekit's methods take, with mergekit's defaults, and what that is called here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Values = Mapping[str, Any]

# methods of mergekit 0.1.5 that are not among ours
NOT_HERE = frozenset({"ram", "ramplus_tl", "nearswap"})


@dataclass(frozen=True)
class Form:
    """A method of mergekit.

    Attributes:
        mergekit: its name there.
        name: its name here.
        base: what its base_model is: a base that is "required" or "optional", the "first" of two
            models, or "unused" but as the donor of config and tokenizer.
        options: parameters by mergekit's names -> options here.
        per_model: parameters that every model may have -> default; None must be given.
        shared: parameters of the whole merge -> default; None must be given.
        only: parameters that are honoured with mergekit's default alone.
        idle: parameters that mergekit takes too, and that change nothing.
        divides_weights: whether mergekit's normalize divides by the sum of all weights, which here
            is done to the weights.
    """

    mergekit: str
    name: str
    base: Literal["required", "optional", "first", "unused"]
    options: Callable[[Values], dict[str, Any]]
    per_model: Mapping[str, float | None] = field(default_factory=dict)
    shared: Mapping[str, Any] = field(default_factory=dict)
    only: Mapping[str, Any] = field(default_factory=dict)
    idle: frozenset[str] = frozenset()
    divides_weights: bool = False

    @property
    def known(self) -> tuple[str, ...]:
        """Names of all its parameters."""
        return (*self.per_model, *self.shared, *self.only)

    def is_switch(self, name: str) -> bool:
        """Whether a parameter is true or false."""
        return isinstance({**self.per_model, **self.shared, **self.only}[name], bool)


def _karcher(values: Values) -> dict[str, Any]:
    # ours goes on until it stands still, or has made as many steps
    return {"max_iter": values["max_iter"]}


def _nuslerp(values: Values) -> dict[str, Any]:
    # mergekit's "row-wise" goes along the first dimension, which is down the columns
    if values["nuslerp_flatten"]:
        return {"per": "tensor"}
    return {"per": "column" if values["nuslerp_row_wise"] else "row"}


def _task_vectors(
    name: str, *, normalize: bool, elects: bool, rescale: bool = False, **per_model: float | None
) -> Form:
    """A method of mergekit's family of task vectors: prune, rescale, add up or elect."""
    shared: dict[str, Any] = {"normalize": normalize, "lambda": 1.0}
    if rescale:
        shared["rescale"] = True

    def options(values: Values) -> dict[str, Any]:
        found: dict[str, Any] = {"scale": float(values["lambda"])}
        for key in ("density", "gamma"):
            if key in values:
                found[key] = float(values[key])
        if "epsilon" in values:
            # mergekit counts to both sides, and keeps everything at density 1
            found["epsilon"] = 2.0 * values["epsilon"] if values["density"] < 1 else 0.0
        if rescale:
            found |= {"rescale": "l1" if values["rescale"] else "none"}
        if elects:
            found |= {"election_weights": True, "normalize": values["normalize"]}
        return found

    return Form(
        name,
        name,
        "required",
        options,
        per_model={"weight": None, **per_model},
        shared=shared,
        only={} if rescale or not per_model else {"rescale": False},
        idle=frozenset({"int8_mask"} if per_model else {"int8_mask", "density", "rescale"}),
        divides_weights=not elects,
    )


_ALL = (
    Form(
        "linear",
        "linear",
        "unused",
        lambda values: {"normalize": values["normalize"]},
        per_model={"weight": None},
        shared={"normalize": True},
    ),
    Form("slerp", "slerp", "first", lambda values: {"t": float(values["t"])}, shared={"t": None}),
    Form(
        "nuslerp",
        "nuslerp",
        "optional",
        _nuslerp,
        per_model={"weight": None},
        shared={"nuslerp_flatten": True, "nuslerp_row_wise": False},
    ),
    Form(
        "multislerp",
        "multislerp",
        "optional",
        lambda values: {"normalize": values["normalize_weights"]},
        per_model={"weight": None},
        shared={"normalize_weights": True},
        only={"eps": 1e-8},
    ),
    Form("karcher", "karcher", "unused", _karcher, shared={"max_iter": 10}, only={"tol": 1e-5}),
    _task_vectors("task_arithmetic", normalize=False, elects=False),
    _task_vectors("ties", normalize=True, elects=True, density=1.0),
    _task_vectors("dare_linear", normalize=False, elects=False, rescale=True, density=1.0),
    _task_vectors("dare_ties", normalize=False, elects=True, rescale=True, density=1.0),
    _task_vectors(
        "della_linear", normalize=False, elects=False, rescale=True, density=1.0, epsilon=0.15
    ),
    _task_vectors("della", normalize=True, elects=True, rescale=True, density=1.0, epsilon=0.15),
    _task_vectors("breadcrumbs", normalize=False, elects=False, density=1.0, gamma=0.01),
    _task_vectors("breadcrumbs_ties", normalize=False, elects=True, density=1.0, gamma=0.01),
    # without the limits that the paper's geometry has
    Form(
        "model_stock",
        "model_stock",
        "required",
        lambda values: {"clamp": False, "per": "row" if values["filter_wise"] else "tensor"},
        shared={"filter_wise": False},
    ),
    Form(
        "sce",
        "sce",
        "required",
        lambda values: {"select_topk": float(values["select_topk"])},
        shared={"select_topk": 1.0},
        idle=frozenset({"int8_mask"}),
    ),
    Form("arcee_fusion", "arcee_fusion", "required", lambda _: {"fence": 1.5}),
    Form(
        "passthrough",
        "passthrough",
        "unused",
        lambda values: {"scale": float(values["scale"])},
        per_model={"scale": 1.0},
    ),
)
FORMS: Mapping[str, Form] = {form.mergekit: form for form in _ALL}
