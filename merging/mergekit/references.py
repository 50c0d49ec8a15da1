"""Models as mergekit's recipes write them: MODEL, MODEL@REVISION, MODEL+ADAPTER, or keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from merging.errors import RecipeError
from merging.mergekit.refusals import cannot
from merging.recipes.errors import shown
from merging.wording import unknown


class Reference(NamedTuple):
    """A model, or a model with an adapter: what it is called here, and its revision."""

    model: str
    revision: str | None = None

    def __str__(self) -> str:
        return self.model if self.revision is None else f"{self.model}@{self.revision}"


def read_reference(value: Any, where: str) -> Reference:
    """The model of a recipe's entry.

    Raises:
        RecipeError: no model, or one written in a way that cannot be honoured.
    """
    if isinstance(value, Mapping):
        return _of_keys(value, where)
    if not isinstance(value, str) or not value.strip():
        raise RecipeError(f"{where} of the mergekit recipe must be a model, not {shown(value)}.")
    model, plus, adapter = value.partition("+")
    if "+" in adapter or (plus and not (model and adapter)):
        raise RecipeError(
            f"{where} of the mergekit recipe is {shown(value)}; write MODEL+ADAPTER with one of "
            "each."
        )
    return _joined(_path(model, where), _path(adapter, where) if plus else None, where)


def _path(text: str, where: str) -> Reference:
    path, at, revision = text.partition("@")
    if not path or (at and (not revision or "@" in revision)):
        raise RecipeError(
            f"{where} of the mergekit recipe has {shown(text)}; write MODEL or MODEL@REVISION."
        )
    return Reference(path, revision or None)


def _of_keys(value: Mapping[str, Any], where: str) -> Reference:
    """`{model: {path, revision}, lora: {path, revision}}`, in which mergekit writes odd paths."""
    if value.get("override_architecture") is not None:
        raise cannot("override_architecture", "Leave it out.")
    for key in value:
        if key not in ("model", "lora", "override_architecture"):
            raise RecipeError(unknown(f"key of {where}", str(key), ("model", "lora")))
    if value.get("model") is None:
        raise RecipeError(f'{where} of the mergekit recipe lacks "model".')
    lora = value.get("lora")
    return _joined(
        _one(value["model"], f"{where}.model"),
        None if lora is None else _one(lora, f"{where}.lora"),
        where,
    )


def _one(value: Any, where: str) -> Reference:
    if isinstance(value, str) and value:
        return _path(value, where)
    right = isinstance(value, Mapping) and set(value) <= {"path", "revision"}
    path, revision = (value.get("path"), value.get("revision")) if right else (None, None)
    if not isinstance(path, str) or not path or not isinstance(revision, str | None):
        raise RecipeError(f"{where} of the mergekit recipe must be a path and perhaps a revision.")
    return Reference(path, revision)


def _joined(model: Reference, adapter: Reference | None, where: str) -> Reference:
    if adapter is None:
        return model
    if model.revision is not None:
        raise cannot(
            f"a revision of the model below the adapter in {where}",
            f"Download {model} first, and give its folder.",
        )
    return Reference(f"{model.model}+{adapter.model}", adapter.revision)


def write_reference(
    model: str, revision: str | None, *, adapted: bool = True
) -> str | dict[str, Any]:
    """A model as mergekit reads it: MODEL@REVISION, or keys where its name has an @ or a +.

    Args:
        model: its name, or MODEL+ADAPTER.
        revision: of it; of the adapter where there is one.
        adapted: whether a + in the name is that of an adapter.
    """
    base, _, adapter = model.rpartition("+")
    adapted = adapted and bool(base and adapter)
    if "@" not in model and "+" not in (base if adapted else model):
        return str(Reference(model, revision))
    if not adapted:
        return {"model": _path_of(model, revision)}
    return {"model": _path_of(base, None), "lora": _path_of(adapter, revision)}


def _path_of(path: str, revision: str | None) -> dict[str, str]:
    return {"path": path} if revision is None else {"path": path, "revision": revision}
