"""A recipe and its opened parents, as one step per tensor of the result.

Everything that depends on names ends here: schedules are resolved, slices are looked up, embeddings
are lined up row by row. What remains is data that the stream works through, tensor by tensor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from merging.checkpoints.stored import STORED_NAMES
from merging.checkpoints.views import TensorView, View
from merging.errors import ModelError, RecipeError
from merging.methods.draws import key_of
from merging.output.layout import OutputTensor
from merging.recipes import schedules
from merging.recipes.layers import Layers, Place, comes_first, position
from merging.recipes.recipe import Constituent, Recipe
from merging.recipes.slices import Slice, SliceSource

if TYPE_CHECKING:
    from merging.checkpoints.checkpoint import Checkpoint
    from merging.checkpoints.parents import Parents
    from merging.methods import Method


@dataclass(frozen=True)
class Step:
    """How one tensor of the result comes about.

    Attributes:
        name: of the tensor in the result.
        output: its dtype and shape.
        method: that merges it; None copies a tensor of whole numbers, which all share.
        options: for this tensor: single values, and K of them where the models' own differ.
        base: theta_0, where the method uses one.
        models: K tensors theta_i.
        weights: K coefficients w_i.
        keys: K keys of random numbers.
    """

    name: str
    output: OutputTensor
    method: Method | None
    options: Mapping[str, Any]
    base: View | None
    models: tuple[View, ...]
    weights: tuple[float, ...]
    keys: tuple[int, ...]


def program(parents: Parents) -> list[Step]:
    """The steps of a merge, in the natural order of the result's tensors.

    Args:
        parents: opened; their recipe pinned where masks depend on it.

    Raises:
        RecipeError: a slice beyond a model's last layer, options that make no sense together.
        ModelError: a parent lacks a tensor.
    """
    return [_step(parents, place) for place in _places(parents)]


@dataclass(frozen=True)
class _Source:
    """One constituent of a tensor: the model, its name there, and what it has for itself."""

    model: Constituent
    name: str
    own: SliceSource | None = None


@dataclass(frozen=True)
class _Tensor:
    """A tensor of the result before anything is resolved."""

    name: str
    like: str  # the reference's tensor that gives dtype and shape
    position: float | None
    sources: tuple[_Source, ...]
    base: tuple[str, str] | None  # the model, and the name there
    part: Slice | None


def output_layers(parents: Parents) -> list[int]:
    """For every layer of a sliced result the reference's layer whose settings it has."""
    recipe = parents.recipe
    found: list[int] = []
    for part in recipe.slices:
        first = next(
            (one.layers[0] for one in part.sources if one.model == recipe.config_donor),
            part.base_layers()[0],
        )
        found.extend(range(first, first + part.count))
    return found


def _places(parents: Parents) -> Iterator[_Tensor]:
    """What every tensor of the result is made of."""
    recipe, reference = parents.recipe, parents.reference
    layers = Layers(reference.tensors, reference.config)
    if not recipe.slices:
        everyone = parents.constituents
        for name in reference.tensors:
            sources = tuple(_Source(one, name) for one in everyone)
            base = None if recipe.base is None else (recipe.base, name)
            yield _Tensor(name, name, layers.position(name), sources, base, None)
        return
    stacks = {ref: Layers(one.tensors, one.config) for ref, one in parents.by_ref.items()}
    _check_layers(recipe, stacks)
    outside = [name for name in reference.tensors if layers.place(name) is None]
    for name in filter(comes_first, outside):
        yield _outside(parents, name, recipe.slices[0])
    first = 0
    for part in recipe.slices:
        for offset in range(part.count):
            yield from _layer(parents, stacks, part, offset, first + offset)
        first += part.count
    for name in outside:
        if not comes_first(name):
            yield _outside(parents, name, recipe.slices[-1])


def _outside(parents: Parents, name: str, part: Slice) -> _Tensor:
    """A tensor outside of the layers, merged from a slice's sources."""
    sources = tuple(
        _Source(parents.constituent(one.model), name, one) for one in _ordered(parents, part)
    )
    base = part.base_model(parents.recipe.base)
    return _Tensor(name, name, None, sources, None if base is None else (base, name), part)


def _layer(
    parents: Parents, stacks: Mapping[str, Layers], part: Slice, offset: int, number: int
) -> Iterator[_Tensor]:
    """The tensors of one layer of a sliced result."""
    ordered = _ordered(parents, part)
    first = ordered[0]
    stack = stacks[first.model]
    source = parents.by_ref[first.model]
    base = part.base_model(parents.recipe.base)
    layers = stacks[parents.recipe.config_donor]
    for name in source.tensors:
        place = stack.place(name)
        if place is None or place.layer != first.layers[0] + offset:
            continue
        sources = tuple(
            _Source(
                parents.constituent(one.model),
                stacks[one.model].name(Place(one.layers[0] + offset, place.rest)),
                one,
            )
            for one in ordered
        )
        origin = Place(part.base_layers()[0] + offset, place.rest)
        yield _Tensor(
            layers.name(Place(number, place.rest)),
            name,
            position(offset, part.count),
            sources,
            None if base is None else (base, stacks[base].name(origin)),
            part,
        )


def _ordered(parents: Parents, part: Slice) -> list[SliceSource]:
    """A slice's sources in the order in which they are computed."""
    if parents.recipe.merge_method.ordered:
        return list(part.sources)
    return sorted(
        part.sources, key=lambda one: (parents.recipe.identity(one.model), one.model_dump_json())
    )


def _check_layers(recipe: Recipe, stacks: Mapping[str, Layers]) -> None:
    """No slice reaches beyond a model's last layer."""
    for place, part in enumerate(recipe.slices, 1):
        wanted = [(one.model, one.layers[1]) for one in part.sources]
        base = part.base_model(recipe.base)
        if base is not None:
            wanted.append((base, part.base_layers()[1]))
        for ref, end in wanted:
            count = stacks[ref].count
            if end > count:
                raise RecipeError(
                    f"slices.{place} reaches to layer {end} of {ref}, which has {count} layers."
                )


def _step(parents: Parents, tensor: _Tensor) -> Step:
    recipe = parents.recipe
    giver = parents.by_ref[tensor.sources[0].model.model] if tensor.part else parents.reference
    info = giver.tensors[tensor.like]
    shape = parents.vocabulary.shape(giver, tensor.like)
    wanted = recipe.dtype and STORED_NAMES[recipe.dtype]
    base = None
    if tensor.base is not None:
        base = _view(parents, parents.by_ref[tensor.base[0]], tensor.base[1])
    models = tuple(
        _view(parents, parents.by_ref[one.model.model], one.name) for one in tensor.sources
    )
    method = recipe.merge_method if info.is_float else None
    weights = tuple(_weight(one, tensor) for one in tensor.sources)
    options = _options(parents, tensor)
    problem = method.check(weights, **options) if method and method.check else None
    if problem:
        raise RecipeError(f"{tensor.name}: {problem}" if _varies(parents) else problem)
    return Step(
        name=tensor.name,
        output=OutputTensor(wanted if wanted and info.is_float else info.dtype, shape),
        method=method,
        options=options,
        base=base,
        models=models,
        weights=weights,
        keys=tuple(
            key_of(recipe.seed, recipe.identity(one.model.model), tensor.name)
            for one in tensor.sources
        ),
    )


def _view(parents: Parents, parent: Checkpoint, name: str) -> View:
    if name not in parent.tensors:
        raise ModelError(
            f"{parent.label} lacks {name}. Check that all parents were made from the same base and "
            "are complete."
        )
    return parents.vocabulary.rows_view(parent, name) or TensorView(parent, name)


def _weight(source: _Source, tensor: _Tensor) -> float:
    """The weight of one constituent in one tensor: the slice's, else the recipe's, else 1."""
    for setting in (source.own and source.own.weight, source.model.weight):
        if setting is not None:
            found = schedules.resolve(setting, source.name, tensor.position)
            if found is not None:
                return float(found)
    return 1.0


def _options(parents: Parents, tensor: _Tensor) -> dict[str, Any]:
    """The options of one tensor: a single value, or one per model where they have their own."""
    recipe, part = parents.recipe, tensor.part
    found: dict[str, Any] = {}
    for field in recipe.merge_method.fields():
        levels = [part.options if part else {}, recipe.options]
        common = _first(field.name, levels, tensor.name, tensor.position)
        found[field.name] = field.default if common is None else common
        if not field.per_model:
            continue
        each = []
        for source in tensor.sources:
            own = [source.own.options if source.own else {}]
            # a slice's own value for a model comes before the recipe's for it
            own += [part.options] if part else []
            own += [source.model.options, recipe.options]
            value = _first(field.name, own, source.name, tensor.position)
            each.append(field.default if value is None else value)
        found[field.name] = tuple(each) if len(set(each)) > 1 else each[0]
    return found


def _first(
    name: str, levels: Sequence[Mapping[str, Any]], tensor: str, position: float | None
) -> Any:
    """The first level that has a value of an option for a tensor."""
    for level in levels:
        if name in level:
            value = schedules.resolve(level[name], tensor, position)
            if value is not None:
                return value
    return None


def unused_filters(recipe: Recipe, names: Sequence[str]) -> list[str]:
    """Filters of a recipe's schedules that mean none of these tensors: usually a slip."""
    settings = list(recipe.options.values())
    for model in recipe.models:
        settings += [model.weight, *model.options.values()]
    for part in recipe.slices:
        settings += part.options.values()
        for source in part.sources:
            settings += [source.weight, *source.options.values()]
    wanted = dict.fromkeys(found for one in settings for found in schedules.filters(one))
    return [one for one in wanted if not any(schedules.matches(one, name) for name in names)]


def _varies(parents: Parents) -> bool:
    """Whether steps of this recipe may have different options."""
    recipe = parents.recipe
    settings = [one.weight for one in recipe.models] + list(recipe.options.values())
    return bool(recipe.slices) or any(map(schedules.is_schedule, settings))
