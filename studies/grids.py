"""One method of a study, its options and the values that are swept."""

from __future__ import annotations

import math
from itertools import product
from typing import Annotated, Any

import pydantic
from pydantic import Field

from merging.errors import RecipeError
from merging.methods import Method, get_method
from merging.recipes.checks import complete_options
from merging.recipes.errors import shown
from merging.recipes.slices import Strict
from merging.wording import in_words, quoted, unknown
from studies.errors import StudyError

Seed = Annotated[int, Field(strict=True, ge=0, lt=2**63)]
Value = float | bool | str
MOST_VALUES = 1000
# the papers' letter; `scale` is what our methods call it
ALIASES = {"lambda": "scale", "λ": "scale"}
# the instruct stage is this method, with grids of its own
INSTRUCT_METHOD = "instruction_residual"


class MethodGrid(Strict):
    """A method and the points at which it is tried.

    Attributes:
        method: name of a merge method.
        grid: option -> values to try; every combination is a point. `lambda` means `scale`.
        options: the same at all points; what is not named has the method's default.
        seeds: of methods with random numbers; each is a point. None: the seed 0.
    """

    method: str
    grid: dict[str, tuple[Any, ...]] = Field(default_factory=dict)
    options: dict[str, Any] = Field(default_factory=dict)
    seeds: tuple[Seed, ...] | None = None

    @pydantic.field_validator("grid", "options", mode="before")
    @classmethod
    def _one_name_each(cls, given: Any) -> Any:
        """Options by our names."""
        if not isinstance(given, dict):
            return given
        named: dict[Any, Any] = {}
        for name, value in given.items():
            ours = ALIASES.get(name, name)
            if ours in named:
                raise StudyError(f'"{name}" and "{ours}" are the same option; keep one of them.')
            named[ours] = value
        return named

    @pydantic.field_validator("grid", mode="before")
    @classmethod
    def _lists(cls, given: Any) -> Any:
        """A single value is a grid of one."""
        if not isinstance(given, dict):
            return given
        return {
            name: value if isinstance(value, list | tuple | dict) or value is None else [value]
            for name, value in given.items()
        }

    @pydantic.model_validator(mode="after")
    def _complete(self) -> MethodGrid:
        try:
            method = get_method(self.method)
            self._check(method)
        except RecipeError as error:
            raise StudyError(f"Method {quoted(self.method)}: {error}") from None
        return self

    def _check(self, method: Method) -> None:
        name = self.method
        if name == INSTRUCT_METHOD:
            raise StudyError(
                f"{name} is what the instruct stage does: name the instruct model and set "
                "instruct_stage instead."
            )
        sweepable = [one.name for one in method.fields() if one.kind in ("float", "int")]
        if not self.grid and sweepable:
            raise StudyError(
                f"The grid of {name} is empty: give values for {in_words(sweepable)}, such as "
                f"grid: {{{sweepable[-1]}: [0.5, 1.0]}}."
            )
        _check_single(self.options, f"options of {name}")
        complete_options(method, self.options)
        for option, values in self.grid.items():
            self._check_axis(method, option, values)
        if self.seeds is not None and not method.random:
            raise StudyError(f"{name} has no random numbers: take its seeds out.")
        if self.seeds is not None and not self.seeds:
            raise StudyError(f"The seeds of {name} are empty: give one at least, such as [1].")
        _check_twice(f"seeds of {name}", "seed", self.seeds or ())

    def _check_axis(self, method: Method, option: str, values: tuple[Any, ...]) -> None:
        """One option of the grid: values there are, each allowed and none twice."""
        if option in self.options:
            raise StudyError(
                f'"{option}" of {self.method} stands in the grid and in the options; keep one.'
            )
        known = [one.name for one in method.fields()]
        if option not in known:
            raise RecipeError(unknown("option", option, known))
        self.grid[option] = check_values(self.method, option, values, f"grid of {self.method}")

    @property
    def merge_method(self) -> Method:
        """The method itself."""
        return get_method(self.method)

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """Seeds that are tried; a method without random numbers has the seed 0."""
        return self.seeds or (0,)

    @property
    def n_combinations(self) -> int:
        """Number of combinations of the grid's values, seeds not counted."""
        return math.prod(len(values) for values in self.grid.values())

    def combinations(self) -> list[dict[str, Value]]:
        """Complete options of each combination.

        The scale varies fastest: merges that differ in it alone share their combined task vector.

        Raises:
            StudyError: values that make no sense together.
        """
        names = sorted(self.grid, key=lambda name: name == "scale")
        method = self.merge_method
        found = []
        for values in product(*(self.grid[name] for name in names)):
            combined = {**self.options, **dict(zip(names, values, strict=True))}
            options = complete_options(method, combined)
            problem = method.check([1.0], **options) if method.check is not None else None
            if problem:
                raise StudyError(f"Method {quoted(self.method)}: {problem}")
            found.append(options)
        return found

    def check_together(self) -> None:
        """Every combination against what the method asks of its options together.

        Raises:
            StudyError: values that make no sense together.
        """
        if self.merge_method.check is not None:
            self.combinations()

    def with_base(self) -> bool:
        """Whether the base is subtracted; without, it is a model like the others in stage 1."""
        return self.merge_method.needs_base != "forbidden"

    def allows(self, n_experts: int) -> bool:
        """Whether the method can merge so many experts; in stage 1 the base makes two models."""
        method = self.merge_method
        n_models = n_experts if self.with_base() or n_experts > 1 else 2
        most = method.max_models
        return n_models >= method.min_models and (most is None or n_models <= most)


def check_values(
    method: str, option: str, values: tuple[Any, ...], where: str
) -> tuple[Value, ...]:
    """The values of one option, each allowed by the method and none twice.

    Raises:
        StudyError: what is wrong, in one sentence.
    """
    if not values:
        raise StudyError(f'The {where} has no value for "{option}".')
    if len(values) > MOST_VALUES:
        raise StudyError(
            f'The {where} has {len(values):,} values for "{option}"; {MOST_VALUES:,} are the most.'
        )
    settled = []
    for value in values:
        _check_single({option: value}, where)
        try:
            settled.append(complete_options(get_method(method), {option: value})[option])
        except RecipeError as error:
            raise StudyError(f"{where}: {error}") from None
    _check_twice(where, option, tuple(settled))
    return tuple(settled)


def _check_single(options: dict[str, Any], where: str) -> None:
    """Sweeps are over single numbers: a schedule over layers has no place on an axis."""
    for name, value in options.items():
        if isinstance(value, dict | list | tuple) or value is None:
            raise StudyError(
                f'"{name}" in the {where} takes single values, not {shown(value)}; schedules over '
                "layers cannot be swept."
            )


def _check_twice(where: str, name: str, values: tuple[Any, ...]) -> None:
    seen = set()
    for value in values:
        if value in seen:
            raise StudyError(f"{name} {value} stands twice in the {where}; remove one.")
        seen.add(value)
