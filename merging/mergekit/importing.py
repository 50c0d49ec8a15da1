"""A recipe of ours from mergekit's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from merging.errors import RecipeError
from merging.mergekit.document import Document, Part, Source, read_document
from merging.mergekit.references import Reference
from merging.mergekit.refusals import cannot
from merging.mergekit.resolving import WEIGHT, resolved
from merging.mergekit.vocabulary import read_vocabulary

# what a source of a part has for itself: the weight and the options here
Own = dict[str, Any]


def translate(data: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's mapping from mergekit's.

    Args:
        data: parsed YAML with the key `merge_method`.

    Raises:
        RecipeError: what is not a recipe of mergekit, or cannot be honoured here, in one sentence.
    """
    document = read_document(data)
    merged = [_merged(document, place) for place in range(len(document.parts))]
    base = _base(document)
    models = _models(document, merged, base)
    result: dict[str, Any] = {
        "name": data.get("name"),
        "method": document.form.name,
        "dtype": _dtype(data.get("out_dtype") or data.get("dtype")),
        **read_vocabulary(data, document),
    }
    if base is not None:
        result["base"], result["base_revision"] = base
    settings = [
        [resolved(document, part, source) for source in sources]
        for part, sources in zip(document.parts, merged, strict=True)
    ]
    common = _common(document, settings)
    result["options"] = common | dict(document.form.fixed)
    result["models"] = [_constituent(one, document, merged, settings, common) for one in models]
    if document.sliced:
        parts = zip(document.parts, merged, settings, strict=True)
        kept = {one["model"]: one.get(WEIGHT) for one in result["models"]}
        result["slices"] = [_slice(*part, base, common, kept) for part in parts]
    return {key: value for key, value in result.items() if value is not None}


def _dtype(given: Any) -> Any:
    return given.removeprefix("torch.") if isinstance(given, str) else given


def _merged(document: Document, place: int) -> list[Source]:
    """What is merged in a part, in its order; a base that is one is not among it."""
    form, part = document.form, document.parts[place]
    where = f"slices.{place + 1}" if document.sliced else "the mergekit recipe"
    sources = {one.reference: one for one in part.sources}
    if form.base == "unused":
        if not document.sliced and part.base is not None:
            # config and tokenizer come from the first model
            return [sources[part.base], *(sources[one] for one in sources if one != part.base)]
        return list(part.sources)
    if part.base is None:
        if form.base == "optional":
            return list(part.sources)
        raise RecipeError(f"mergekit's {form.name} needs a base_model.")
    if part.base not in sources:
        raise RecipeError(f"{where} lacks layers of its base_model {part.base} among the sources.")
    rest = [one for one in part.sources if one.reference != part.base]
    if form.base == "first":
        return [sources[part.base], *rest]
    if not rest:
        raise RecipeError(f"{_capital(where)} has no model besides its base_model.")
    return rest


def _capital(text: str) -> str:
    return text[0].upper() + text[1:] if text.startswith("the ") else text


def _base(document: Document) -> Reference | None:
    """The base of the recipe, where the method knows one."""
    if document.form.base not in ("required", "optional"):
        return None
    bases = [part.base for part in document.parts]
    if None in bases and any(bases):
        raise cannot("a base_model in some slices and none in others", "Give all of them one.")
    return document.base if document.base is not None else bases[0]


def _models(
    document: Document, merged: Sequence[Sequence[Source]], base: Reference | None
) -> list[Reference]:
    """The constituents: the one that config and tokenizer come from first."""
    used = [one.reference for sources in merged for one in sources]
    if base is None and document.base is not None:
        if document.base not in used:
            raise cannot(
                f"a base_model of which mergekit's {document.form.name} takes config and "
                "tokenizer alone",
                "Leave it out, or add it to the sources.",
            )
        used.insert(0, document.base)
    others = [part.base for part in document.parts if base is not None and part.base is not None]
    return list(dict.fromkeys([*used, *(one for one in others if one != base)]))


def _common(document: Document, settings: Sequence[Sequence[Own]]) -> Own:
    """The recipe's options: what all have, else what the recipe itself says."""
    own = [one for part in settings for one in part]
    said = resolved(document, None, None)
    found = {}
    for name in own[0]:
        if name == WEIGHT:
            continue
        if _alike(one[name] for one in own):
            found[name] = own[0][name]
        elif name in said:
            found[name] = said[name]
    return found


def _alike(values: Iterable[Any]) -> bool:
    first, *rest = values
    return all(one == first for one in rest)


def _constituent(
    reference: Reference,
    document: Document,
    merged: Sequence[Sequence[Source]],
    settings: Sequence[Sequence[Own]],
    common: Own,
) -> dict[str, Any]:
    """One of the recipe's models with what it has for itself in all of the result."""
    found: dict[str, Any] = {"model": reference.model, "revision": reference.revision}
    own = list(_of(reference, merged, settings))
    if own and WEIGHT in own[0] and _alike(one[WEIGHT] for one in own):
        found[WEIGHT] = own[0][WEIGHT]
    if not document.sliced and (differing := _beside(own[0], common)):
        found["options"] = differing
    return found


def _of(
    reference: Reference, merged: Sequence[Sequence[Source]], settings: Sequence[Sequence[Own]]
) -> Iterator[Own]:
    """The settings of a model in every part that it is in."""
    for sources, owns in zip(merged, settings, strict=True):
        for source, own in zip(sources, owns, strict=True):
            if source.reference == reference:
                yield own


def _beside(own: Own, common: Own) -> Own:
    """The options that differ from the common ones."""
    return {
        name: value
        for name, value in own.items()
        if name != WEIGHT and (name not in common or common[name] != value)
    }


def _slice(
    part: Part,
    merged: Sequence[Source],
    settings: Sequence[Own],
    base: Reference | None,
    common: Own,
    kept: Mapping[str, Any],
) -> dict[str, Any]:
    """One slice; what all its sources have is said once."""
    names = [name for name in settings[0] if name != WEIGHT]
    shared = {name: settings[0][name] for name in names if _alike(own[name] for own in settings)}
    found: dict[str, Any] = {"sources": [], "options": _beside(shared, common)}
    for source, own in zip(merged, settings, strict=True):
        entry: dict[str, Any] = {"model": source.reference.model, "layers": source.layers}
        weight = own.get(WEIGHT)
        if weight != kept[source.reference.model]:
            entry[WEIGHT] = weight
        entry["options"] = _beside(own, common | shared)
        found["sources"].append(entry)
    if base is not None:
        layers = next(one.layers for one in part.sources if one.reference == part.base)
        if part.base != base or layers != merged[0].layers:
            assert part.base is not None
            found["base"] = {"model": part.base.model, "layers": layers}
    return found
