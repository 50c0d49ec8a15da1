"""The registry of merge methods: one decorated function is the whole declaration.

A method is a pure function on flat chunks of one tensor. Its positional parameters say, by their
names, what it takes; its keyword-only parameters are its options:

    @merge_method(title="Task arithmetic", models=(1, None), paper="2212.04089")
    def task_arithmetic(
        base: Tensor,  # [n] float32, weights of the base, theta_0
        deltas: Sequence[Tensor],  # K x [n] float32, task vectors theta_i - theta_0
        weights: Sequence[float],  # K coefficients w_i
        *,
        scale: Annotated[float, Field(title="Scale", description="...", ge=0, le=5)] = 1.0,
    ) -> Tensor:  # [n] float32, weights of the merge

| parameter | the function gets |
|---|---|
| `base` | theta_0; its presence makes the base required |
| `models` | theta_i of every constituent but the base |
| `deltas` | theta_i - theta_0 of the same |
| `base_or_none`, `vectors` | for an optional base: task vectors with one, else the weights |
| `weights` | w_i |
| `draws` | `Draws`: random numbers by (model, element) |
| `row_length` | size of the last dimension; chunks and blocks then are whole rows |
| `shape` | the tensor's shape; the only chunk and the only block then is the whole tensor |
| `start` | place of the chunk's first element in the tensor |
| `statistics` | what the method's statistics step found out about the whole tensor |

A numeric option that every constituent may have a value of its own for is annotated `PerModel` in
place of float. Recipes know it as a number; the function, its statistics step and its check get one
number or K of them (`each`).

From this the options schema, the YAML check, the widgets, the docs table and the contract tests
are derived. The docstring's first sentence is the summary on screen; a line `When to use: ...`
says when.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import pydantic
from pydantic.fields import FieldInfo

from merging.errors import RecipeError
from merging.methods.per_model import PerModel
from merging.wording import unknown

if TYPE_CHECKING:
    from torch import Tensor

    from merging.methods.inputs import Inputs, WholeTensor

INPUT_NAMES = frozenset(
    {
        "base",
        "base_or_none",
        "models",
        "deltas",
        "vectors",
        "weights",
        "draws",
        "row_length",
        "shape",
        "start",
        "statistics",
    }
)


@dataclass(frozen=True)
class OptionField:
    """One option as a widget needs it; limits are None where there is none.

    `per_model` says that every constituent may have a value of its own.
    """

    name: str
    title: str
    help: str
    kind: Literal["float", "int", "bool", "choice", "text"]
    default: Any
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()
    per_model: bool = False


class Options(pydantic.BaseModel):
    """Base of every method's options: frozen, nothing unknown, no silent conversion."""

    model_config = pydantic.ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False
    )


@dataclass(frozen=True)
class Method:
    """A merge method and everything that is known about it without reading a tensor."""

    name: str
    title: str
    summary: str
    when_to_use: str
    paper: str
    doc: str
    options: type[Options]
    min_models: int
    max_models: int | None
    needs_base: Literal["required", "optional", "forbidden"]
    ordered: bool
    random: bool
    uses_weights: bool
    roles: tuple[str, ...]
    function: Callable[..., Tensor] = field(repr=False)
    takes: tuple[str, ...] = field(repr=False)
    per_model: frozenset[str] = field(repr=False, default=frozenset())
    statistics: Callable[..., Any] | None = field(repr=False, default=None)
    check: Callable[..., str | None] | None = field(repr=False, default=None)

    @property
    def by_rows(self) -> bool:
        """Whether it must see whole rows of a tensor at a time."""
        return "row_length" in self.takes

    @property
    def whole_tensor(self) -> bool:
        """Whether it must see a tensor as one piece, all of it in memory."""
        return "shape" in self.takes

    def together(self, shape: Sequence[int]) -> int:
        """How many consecutive elements of a tensor of this shape no chunk may separate."""
        if self.whole_tensor:
            return max(math.prod(shape), 1)
        return max(shape[-1], 1) if self.by_rows and shape else 1

    def fields(self) -> list[OptionField]:
        """The options in the order in which the method declares them."""
        return [
            option_field(name, info, per_model=name in self.per_model)
            for name, info in self.options.model_fields.items()
        ]

    def observe(self, whole: WholeTensor, options: Mapping[str, Any]) -> Any:
        """Run the statistics step over a whole tensor; None for methods without one."""
        return None if self.statistics is None else self.statistics(whole, **options)

    def apply(self, inputs: Inputs, options: Mapping[str, Any]) -> Tensor:
        """Merge one chunk: `[n]` float32 in, `[n]` float32 out."""
        return self.function(*(getattr(inputs, name) for name in self.takes), **options)


class Registry(Mapping[str, Method]):
    """The methods by name, in the order in which they were declared."""

    def __init__(self) -> None:
        self._methods: dict[str, Method] = {}

    def __getitem__(self, name: str) -> Method:
        return self._methods[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._methods)

    def __len__(self) -> int:
        return len(self._methods)

    def add(self, method: Method) -> None:
        """Register a method; a second one of the same name is a programming error."""
        if method.name in self._methods:
            raise ValueError(f'a merge method named "{method.name}" exists already')
        self._methods[method.name] = method


METHODS = Registry()


def get_method(name: str) -> Method:
    """The method of that name.

    Raises:
        RecipeError: there is none; the sentence names the nearest one.
    """
    if name not in METHODS:
        raise RecipeError(unknown("merge method", name, METHODS))
    return METHODS[name]


def merge_method(
    *,
    title: str,
    models: tuple[int, int | None],
    paper: str = "",
    ordered: bool = False,
    roles: tuple[str, ...] = (),
    statistics: Callable[..., Any] | None = None,
    check: Callable[..., str | None] | None = None,
) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Register the decorated function as a merge method.

    Args:
        title: its name on screen.
        models: fewest and most constituents besides the base (None: no limit).
        paper: arXiv id.
        ordered: whether exchanging two constituents changes the meaning.
        roles: the roles its constituents must have, in the order in which the function gets
            them; empty when roles do not matter.
        statistics: `(whole, **options) -> Any`, run over the whole tensor before the chunks.
        check: `(weights, **options) -> str | None`, a sentence when they make no sense together.
    """

    def register(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        takes, options, per_model = _read_signature(function)
        doc = inspect.cleandoc(function.__doc__ or "")
        summary, when = _read_docstring(function.__name__, doc)
        METHODS.add(
            Method(
                name=function.__name__,
                title=title,
                summary=summary,
                when_to_use=when,
                paper=paper,
                doc=doc,
                options=options,
                min_models=models[0],
                max_models=models[1],
                needs_base=_need_of_base(takes),
                ordered=ordered,
                random="draws" in takes,
                uses_weights="weights" in takes,
                roles=roles,
                function=function,
                takes=takes,
                per_model=per_model,
                statistics=statistics,
                check=check,
            )
        )
        return function

    return register


def option_field(name: str, info: FieldInfo, *, per_model: bool = False) -> OptionField:
    """Turn a pydantic field into what a widget needs."""
    limits = {
        key: getattr(limit, key)
        for limit in info.metadata
        for key in ("ge", "le")
        if hasattr(limit, key)
    }
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    step = extra.get("step")
    kinds: dict[Any, Literal["float", "int", "bool", "text"]]
    kinds = {float: "float", int: "int", bool: "bool", str: "text"}
    choices = get_args(info.annotation) if get_origin(info.annotation) is Literal else ()
    return OptionField(
        name=name,
        title=info.title or name,
        help=info.description or "",
        kind="choice" if choices else kinds[info.annotation],
        default=info.default,
        minimum=limits.get("ge"),
        maximum=limits.get("le"),
        step=step if isinstance(step, int | float) else None,
        choices=tuple(str(choice) for choice in choices),
        per_model=per_model,
    )


def _read_signature(
    function: Callable[..., Any],
) -> tuple[tuple[str, ...], type[Options], frozenset[str]]:
    """Split a method's parameters into the inputs it takes and a model of its options.

    Returns:
        The inputs, the options, and the names of those that may differ per model.
    """
    takes: list[str] = []
    fields: dict[str, Any] = {}
    per_model: set[str] = set()
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            if name not in INPUT_NAMES:
                raise TypeError(f"{function.__name__}: unknown input {name}")
            takes.append(name)
            continue
        annotation = parameter.annotation
        if isinstance(annotation, str):
            # only the options' annotations are evaluated: Tensor exists for the type checker alone
            annotation = eval(annotation, function.__globals__)
        if get_origin(annotation) is Annotated and get_args(annotation)[0] == PerModel:
            per_model.add(name)
            annotation = Annotated[float, *get_args(annotation)[1:]]
        fields[name] = (annotation, parameter.default)
    options = pydantic.create_model(f"{function.__name__}_options", __base__=Options, **fields)
    return tuple(takes), options, frozenset(per_model)


def _need_of_base(takes: tuple[str, ...]) -> Literal["required", "optional", "forbidden"]:
    """What the inputs of a method say about the base."""
    if {"base", "deltas"} & set(takes):
        return "required"
    return "optional" if "base_or_none" in takes else "forbidden"


def _read_docstring(name: str, doc: str) -> tuple[str, str]:
    """The first sentence, and the sentence(s) after `When to use:` up to an empty line."""
    summary = re.match(r"(.+?\.)(\s|$)", doc, re.DOTALL)
    when = re.search(r"When to use:\s*(.+?)(\n\s*\n|$)", doc, re.DOTALL)
    if summary is None or when is None:
        raise TypeError(f"{name}: the docstring needs a first sentence and a line 'When to use:'")
    return " ".join(summary[1].split()), " ".join(when[1].split())
