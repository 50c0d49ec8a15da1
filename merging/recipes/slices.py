"""Results put together from ranges of layers: frankenmerges, and merges of parts of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import pydantic
from pydantic import Field

from merging.errors import RecipeError

# far beyond any model, and small enough to be planned in an instant
MOST_LAYERS = 2000


class Strict(pydantic.BaseModel):
    """Frozen, nothing unknown; the base of everything a recipe consists of."""

    model_config = pydantic.ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, coerce_numbers_to_str=False
    )


# no control characters: a reference is a name, a path or a Hub id
Reference = Annotated[str, Field(min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f\x7f]+$")]
Layer = Annotated[int, Field(strict=True, ge=0, le=MOST_LAYERS)]


class SliceSource(Strict):
    """A range of layers of one parent.

    Attributes:
        model: one of the recipe's models.
        layers: first layer, and the one after the last.
        weight: in this slice; None for the one that the recipe gives the model. May be a schedule.
        options: options that differ per model, in this slice.
    """

    model: Reference
    layers: tuple[Layer, Layer]
    weight: Any = None
    options: dict[str, Any] = Field(default_factory=dict)

    @property
    def count(self) -> int:
        """Number of layers."""
        return self.layers[1] - self.layers[0]


class Slice(Strict):
    """Consecutive layers of the result, and what they are merged from.

    Attributes:
        sources: the constituents in this slice.
        base: layers of the base; None for those of the first source. Another model than the
            recipe's base is one of its models.
        options: of the method, in this slice.
    """

    sources: tuple[SliceSource, ...]
    base: SliceSource | None = None
    options: dict[str, Any] = Field(default_factory=dict)

    @property
    def count(self) -> int:
        """Number of layers."""
        return self.sources[0].count

    def base_model(self, base: str | None) -> str | None:
        """The base of this slice, given that of the recipe; None for a method without one."""
        return base if self.base is None or base is None else self.base.model

    def base_layers(self) -> tuple[int, int]:
        """First layer of the base, and the one after the last."""
        return (self.base or self.sources[0]).layers


def check_slices(slices: tuple[Slice, ...], models: list[str], base: str | None) -> None:
    """Every slice has sources of one length among the recipe's models.

    Raises:
        RecipeError: the first thing that does not fit.
    """
    for place, one in enumerate(slices, 1):
        where = f"slices.{place}"
        if not one.sources:
            raise RecipeError(f"{where} has no sources; name a model and its layers.")
        for source in (*one.sources, *([one.base] if one.base else [])):
            if source.count <= 0:
                raise RecipeError(
                    f"{where} takes layers {source.layers[0]} to {source.layers[1]} of "
                    f"{source.model}; the second number must be the larger one."
                )
            if source.count != one.count:
                raise RecipeError(
                    f"{where} takes {one.count} layers of {one.sources[0].model} and "
                    f"{source.count} of {source.model}; take as many of each."
                )
        for source in one.sources:
            if source.model not in models:
                raise RecipeError(
                    f"{where} takes layers of {source.model}, which is not among the models."
                )
        if one.base is not None and one.base.model not in (base, *models):
            raise RecipeError(
                f"{where} takes {one.base.model} as base, which is neither the recipe's base nor "
                "among the models."
            )
        if one.base is not None and base is None:
            raise RecipeError(f"{where} has a base; the recipe has none.")
    used = [source.model for one in slices for source in one.sources]
    used += [one.base.model for one in slices if one.base is not None]
    unused = set(models) - set(used)
    if unused:
        raise RecipeError(f"No slice takes layers of {sorted(unused)[0]}; remove it.")
    total = sum(one.count for one in slices)
    if total > MOST_LAYERS:
        raise RecipeError(f"The slices make {total} layers; {MOST_LAYERS} are the most.")


def plain(one: Slice) -> Mapping[str, Any]:
    """A slice as plain data, without what is unset."""
    return one.model_dump(exclude_none=True, exclude_defaults=True)
