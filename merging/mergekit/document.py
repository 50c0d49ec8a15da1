"""The parts of a mergekit recipe: its three forms as one, every level of parameters read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from merging.errors import RecipeError
from merging.mergekit.forms import FORMS, NOT_HERE, Form
from merging.mergekit.references import Reference, read_reference
from merging.mergekit.refusals import cannot
from merging.mergekit.settings import Settings, read
from merging.recipes.errors import shown
from merging.recipes.slices import MOST_LAYERS
from merging.wording import in_words, unknown

KEYS = (
    "merge_method",
    "models",
    "slices",
    "modules",
    "base_model",
    "parameters",
    "dtype",
    "out_dtype",
    "tokenizer_source",
    "tokenizer",
    "chat_template",
    "name",
    # mergekit's scripts for several recipes in one file know it
    "out_path",
)
CONTENTS = ("models", "slices", "modules")


@dataclass(frozen=True)
class Source:
    """A model with its own parameters; in a slice with its layers."""

    reference: Reference
    parameters: Settings
    layers: tuple[int, int] | None = None


@dataclass(frozen=True)
class Part:
    """A slice, or all of the result: what it is made of."""

    sources: tuple[Source, ...]
    parameters: Settings
    base: Reference | None


@dataclass(frozen=True)
class Document:
    """A mergekit recipe.

    Attributes:
        form: of its method.
        base: its base_model.
        parts: slices, or one part for all of the result.
        sliced: whether the parts are slices.
        levels: parameters of the module and of the recipe, which come after a part's.
    """

    form: Form
    base: Reference | None
    parts: tuple[Part, ...]
    sliced: bool
    levels: tuple[Settings, ...]

    def references(self) -> Iterator[Reference]:
        """Every model, in the order of appearance; some several times."""
        if self.base is not None:
            yield self.base
        for part in self.parts:
            if part.base is not None:
                yield part.base
            for source in part.sources:
                yield source.reference


def read_document(data: Mapping[str, Any]) -> Document:
    """Read the structure of a recipe.

    Raises:
        RecipeError: what is not a recipe of mergekit, or cannot be honoured, in one sentence.
    """
    for key in data:
        if key not in KEYS:
            raise RecipeError(unknown("key of a mergekit recipe", str(key), KEYS))
    form = _form(data["merge_method"])
    base = None
    if data.get("base_model") is not None:
        base = read_reference(data["base_model"], "base_model")
    levels = [read(data.get("parameters"), "parameters", form)]
    content, where = data, ""
    if data.get("modules") is not None:
        content, where = _module(data)
        levels.insert(0, read(content.get("parameters"), f"{where}parameters", form))
    elif sum(bool(data.get(key)) for key in CONTENTS) > 1:
        raise RecipeError('The mergekit recipe has both "models" and "slices"; keep one of them.')
    sliced = bool(content.get("slices"))
    parts = tuple(_slices(content["slices"], f"{where}slices", form, base)) if sliced else (
        _whole(content.get("models"), f"{where}models", form, base),
    )  # fmt: skip
    return Document(form, base, parts, sliced, tuple(levels))


def _form(method: Any) -> Form:
    """What mergekit's method takes."""
    if isinstance(method, str) and method in NOT_HERE:
        raise cannot(f"the method {method}", f"Methods that can be: {in_words(FORMS, most=20)}.")
    if not isinstance(method, str) or method not in FORMS:
        raise RecipeError(unknown("merge method of mergekit", str(method), FORMS))
    return FORMS[method]


def _module(data: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """The only module, and how its parts are called in messages."""
    modules = data["modules"]
    if not isinstance(modules, Mapping) or not modules:
        raise RecipeError('"modules" of the mergekit recipe must be a module and what it is of.')
    if data.get("models") or data.get("slices"):
        raise RecipeError('The mergekit recipe has "modules" beside others; keep one of them.')
    if len(modules) > 1:
        raise cannot(
            f"{len(modules)} modules ({in_words([str(one) for one in modules], most=4)})",
            "Merges of models with one module can be.",
        )
    ((name, content),) = modules.items()
    if not isinstance(content, Mapping):
        raise RecipeError(f"modules.{name} of the mergekit recipe must be keys and values.")
    _check_keys(content, ("models", "slices", "parameters"), f"modules.{name}")
    if bool(content.get("models")) == bool(content.get("slices")):
        raise RecipeError(f'modules.{name} of the mergekit recipe needs "models" or "slices".')
    return content, f"modules.{name}."


def _whole(models: Any, where: str, form: Form, base: Reference | None) -> Part:
    """The part of a recipe of whole models; mergekit adds a base_model that is not listed."""
    if not isinstance(models, list) or not models:
        raise RecipeError(f'The mergekit recipe lacks a list "{where}" (or "slices").')
    sources = []
    for place, entry in enumerate(models, 1):
        at = f"{where}.{place}"
        reference = _model_of(entry, at)
        _check_keys(entry, ("model", "parameters"), at)
        own = read(entry.get("parameters"), f"{at}.parameters", form, per_model=True)
        sources.append(Source(reference, own))
    listed = [one.reference for one in sources]
    if base is not None and base not in listed:
        sources.append(Source(base, {}))
    _check_once(listed, "the mergekit recipe")
    return Part(tuple(sources), {}, base)


def _slices(slices: Any, where: str, form: Form, base: Reference | None) -> Iterator[Part]:
    if not isinstance(slices, list):
        raise RecipeError(f'"{where}" of the mergekit recipe must be a list.')
    known = ("sources", "base_model", "parameters", "residual_weight")
    for place, entry in enumerate(slices, 1):
        at = f"{where}.{place}"
        if not isinstance(entry, Mapping) or not isinstance(entry.get("sources"), list):
            raise RecipeError(f'{at} of the mergekit recipe lacks a list "sources".')
        _check_keys(entry, known, at)
        sources = tuple(
            _source(source, f"{at}.sources.{number}", form)
            for number, source in enumerate(entry["sources"], 1)
        )
        if not sources:
            raise RecipeError(f'{at} of the mergekit recipe lacks a list "sources".')
        _check_once([one.reference for one in sources], at)
        own = entry.get("base_model")
        yield Part(
            sources,
            read(entry.get("parameters"), f"{at}.parameters", form),
            base if own is None else read_reference(own, f"{at}.base_model"),
        )


def _source(entry: Any, where: str, form: Form) -> Source:
    reference = _model_of(entry, where)
    _check_keys(entry, ("model", "layer_range", "parameters"), where)
    own = read(entry.get("parameters"), f"{where}.parameters", form, per_model=True)
    layers = entry.get("layer_range")
    right = isinstance(layers, list) and len(layers) == 2 and all(type(n) is int for n in layers)
    if not right or not 0 <= layers[0] < layers[1] <= MOST_LAYERS:
        raise RecipeError(
            f"{where}.layer_range must be two whole numbers such as [0, 16], the second one "
            f"larger and not part of it, not {shown(layers)}."
        )
    return Source(reference, own, (layers[0], layers[1]))


def _model_of(entry: Any, where: str) -> Reference:
    if not isinstance(entry, Mapping) or "model" not in entry:
        raise RecipeError(f'{where} of the mergekit recipe lacks "model".')
    return read_reference(entry["model"], f"{where}.model")


def _check_keys(entry: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in entry:
        if key not in known:
            raise RecipeError(unknown(f"key of {where} in a mergekit recipe", str(key), known))


def _check_once(references: list[Reference], where: str) -> None:
    for one in references:
        if references.count(one) > 1:
            raise RecipeError(f"{one} stands in {where} twice; mergekit takes it once.")
