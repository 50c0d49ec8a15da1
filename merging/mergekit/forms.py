"""What mergekit's methods take, with mergekit's defaults, and what that is called here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

# methods of mergekit 0.1.5 that are not among ours
NOT_HERE = frozenset({"ram", "ramplus_tl", "nearswap"})
# parameters that recipes carry along from one method to another; those without them pass them over
IDLE = frozenset({"int8_mask", "normalize", "rescale", "density", "weight", "lambda"})
# mergekit's default is that there must be a value
NEEDED = None


@dataclass(frozen=True)
class Parameter:
    """A parameter of one of mergekit's methods.

    Attributes:
        name: there.
        option: here; None for the weight, which is none of the method's options.
        default: `NEEDED` must be given.
        kind: of its values.
        per_model: whether every model may have a value of its own.
        words: what its values are called here, where they are called something else.
        steady: whether it must be one value for the whole merge.
    """

    name: str
    option: str | None
    default: float | bool | None
    kind: Literal["number", "whole", "switch"] = "number"
    per_model: bool = False
    words: Mapping[Any, Any] = field(default_factory=dict)
    steady: bool = False


@dataclass(frozen=True)
class Form:
    """A method of mergekit, which has the same name here.

    Attributes:
        name: of the method.
        base: what its base_model is: a base that is "required" or "optional", the "first" of two
            models, or "unused": a model like the others, that gives config and tokenizer too.
        parameters: that it takes.
        fixed: options here that give mergekit's form of the method.
        only: parameters that are honoured with this value alone.
        least: fewest models besides the base.
    """

    name: str
    base: Literal["required", "optional", "first", "unused"]
    parameters: tuple[Parameter, ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict)
    only: Mapping[str, Any] = field(default_factory=dict)
    least: int = 1

    def __getitem__(self, name: str) -> Parameter:
        return next(one for one in self.parameters if one.name == name)

    def names(self, *, per_model: bool = False) -> list[str]:
        """Names of all parameters, or of those that a model may have for itself."""
        found = [one.name for one in self.parameters if one.per_model or not per_model]
        return found if per_model else [*found, *self.only]

    def has(self, name: str) -> bool:
        """Whether it takes a parameter."""
        return any(one.name == name for one in self.parameters)

    def passes_over(self, name: str) -> bool:
        """Whether mergekit takes a parameter here too, and does nothing with it."""
        return name in IDLE and not self.has(name) and name not in self.only


WEIGHT = Parameter("weight", None, NEEDED, per_model=True)
DENSITY = Parameter("density", "density", 1.0, per_model=True)
LAMBDA = Parameter("lambda", "scale", 1.0)
RESCALED = Parameter("rescale", "rescale", True, "switch", words={True: "l1", False: "none"})
NOT_RESCALED = {"rescale": False}
WITH_VOTES = {"election_weights": True}


def _normalize(default: bool, name: str = "normalize") -> Parameter:
    return Parameter(name, "normalize", default, "switch")


def _task_vectors(name: str, *more: Parameter, normalize: bool = False, **how: Any) -> Form:
    """A method of mergekit's family of task vectors: prune, rescale, add up or elect."""
    parameters = (WEIGHT, *more, _normalize(normalize), LAMBDA)
    return Form(name, "required", parameters, **how)


_EPSILON = Parameter("epsilon", "epsilon", 0.15, per_model=True)
_GAMMA = Parameter("gamma", "gamma", 0.01, per_model=True)
_ALL = (
    Form("linear", "unused", (WEIGHT, _normalize(True))),
    Form("slerp", "first", (Parameter("t", "t", NEEDED),)),
    Form(
        "nuslerp",
        "optional",
        (
            WEIGHT,
            # together they are the option `per`
            Parameter("nuslerp_flatten", None, True, "switch", steady=True),
            Parameter("nuslerp_row_wise", None, False, "switch", steady=True),
        ),
    ),
    Form(
        "multislerp",
        "optional",
        (WEIGHT, _normalize(True, "normalize_weights")),
        only={"eps": 1e-8},
    ),
    Form(
        "karcher",
        "unused",
        (Parameter("max_iter", "max_iter", 10, "whole", steady=True),),
        only={"tol": 1e-5},
    ),
    _task_vectors("task_arithmetic"),
    _task_vectors("ties", DENSITY, normalize=True, fixed=WITH_VOTES, only=NOT_RESCALED),
    _task_vectors("dare_linear", DENSITY, RESCALED),
    _task_vectors("dare_ties", DENSITY, RESCALED, fixed=WITH_VOTES),
    _task_vectors("della_linear", DENSITY, _EPSILON, RESCALED),
    _task_vectors("della", DENSITY, _EPSILON, RESCALED, normalize=True, fixed=WITH_VOTES),
    _task_vectors("breadcrumbs", DENSITY, _GAMMA, only=NOT_RESCALED),
    _task_vectors("breadcrumbs_ties", DENSITY, _GAMMA, fixed=WITH_VOTES, only=NOT_RESCALED),
    # without the limits that the paper's geometry has
    Form(
        "model_stock",
        "required",
        (Parameter("filter_wise", "per", False, "switch", words={True: "row", False: "tensor"}),),
        fixed={"clamp": False},
        least=2,
    ),
    Form("sce", "required", (Parameter("select_topk", "select_topk", 1.0),)),
    Form("arcee_fusion", "required", fixed={"fence": 1.5}),
    Form("passthrough", "unused", (Parameter("scale", "scale", 1.0, per_model=True),)),
)
FORMS: Mapping[str, Form] = {form.name: form for form in _ALL}
