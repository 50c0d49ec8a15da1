"""What the search form holds: a design in the making, which may still be incomplete or wrong.

The form and the YAML text are two views of one design. What the form has no field for (a dtype, a
schedule by groups of tensors, an option of one method alone) is kept as it came.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from merging.methods import METHODS
from pages.components.search import typed
from pages.components.search.typed import BadRangeError
from pages.components.studies import values
from pages.components.studies.values import BadValuesError
from search.design import SearchDesign

NUMBERS = ("float", "int")
MAX_SEED = 2**31 - 1


@dataclass
class Draft:
    """The form's values; what is searched stands as the text that was typed.

    Attributes:
        models: the constituents besides base and instruct model.
        weights: model -> as typed.
        options: option -> as typed.
        objectives: as `objective_key` names them.
        kept: what the form has no field for: "recipe" (its other keys), "models" (model -> its
            other keys), "options" (fixed), "space_options" and "model_options".
        number: how many drafts this tab had before; part of the widgets' keys.
    """

    name: str = ""
    base: str | None = None
    models: list[str] = field(default_factory=list)
    instruct: str | None = None
    methods: list[str] = field(default_factory=list)
    weights: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    objectives: list[str] = field(default_factory=lambda: ["score"])
    suite: str = ""
    tasks: list[str] = field(default_factory=list)
    limit: int | None = None
    share: float = 0.5
    split_seed: int = 1
    sampler: str = "tpe"
    seed: int = 1
    trials: int = 40
    prune: bool = False
    prune_items: int = 20
    pruner: str = "median"
    grid: str = ""
    note: str = ""
    kept: dict[str, Any] = field(default_factory=dict)
    number: int = field(default=0, compare=False)

    @classmethod
    def from_design(cls, design: SearchDesign) -> Draft:
        """The form's view of a design."""
        recipe = design.recipe
        space = design.space.to_data()
        instruct = next((m["model"] for m in recipe["models"] if m.get("role") == "instruct"), None)
        draft = cls(
            name=design.name,
            base=recipe.get("base"),
            models=[one["model"] for one in recipe["models"] if one["model"] != instruct],
            instruct=instruct,
            methods=list(space.get("methods") or [recipe["method"]]),
            objectives=[objective_key(one) for one in design.to_mapping()["objectives"]],
            suite=design.suite,
            tasks=list(design.tasks or ()),
            limit=design.limit,
            share=design.split.share,
            split_seed=design.split.seed,
            sampler=design.sampler.name,
            seed=design.sampler.seed,
            trials=design.trials,
            prune=design.prune is not None,
            grid=values.write(design.grid),
            note=design.note,
        )
        if design.prune is not None:
            draft.prune_items, draft.pruner = design.prune.items, design.prune.pruner
        draft._take(recipe, space)
        return draft

    def _take(self, recipe: Mapping[str, Any], space: Mapping[str, Any]) -> None:
        """Options and weights as text where text can say them; the rest is kept."""
        self.kept = {
            "recipe": {k: v for k, v in recipe.items()
                       if k not in ("method", "base", "models", "options")},
            "models": {m["model"]: {k: v for k, v in m.items()
                                    if k not in ("model", "role", "weight")}
                       for m in recipe["models"]},
            "options": {}, "space_options": {}, "weights": {},
            "model_options": space.get("model_options", {}),
        }  # fmt: skip
        given = {**(recipe.get("options") or {}), **space.get("options", {})}
        for name, one in given.items():
            text = _text(one, name in space.get("options", {})) if "." not in name else None
            if text is not None:
                self.options[name] = text
            elif name in space.get("options", {}):
                self.kept["space_options"][name] = one
            else:
                self.kept["options"][name] = one
        for one in recipe["models"]:
            ref = one["model"]
            mine = space.get("weights", {}).get(ref, one.get("weight"))
            text = _text(mine, ref in space.get("weights", {}))
            if text is None:
                self.kept["weights"][ref] = (ref in space.get("weights", {}), mine)
            elif mine is not None:
                self.weights[ref] = text

    @property
    def constituents(self) -> list[str]:
        """All models but the base."""
        return [*self.models, *([self.instruct] if self.instruct else [])]

    def fields(self) -> dict[str, str]:
        """The options of the methods that are numbers: name -> title."""
        return {one.name: one.title for name in self.methods if name in METHODS
                for one in METHODS[name].fields() if one.kind in NUMBERS}  # fmt: skip

    @property
    def uses_weights(self) -> bool:
        """Whether any of the methods has weights."""
        return any(METHODS[name].uses_weights for name in self.methods if name in METHODS)

    def to_mapping(self) -> tuple[dict[str, Any], dict[str, str]]:
        """The design as plain data, and what is wrong with what was typed, by part."""
        problems: dict[str, str] = {}
        fixed = dict(self.kept.get("options", {}))
        searched = dict(self.kept.get("space_options", {}))
        for name, title in self.fields().items():
            _place(self.options.get(name, ""), name, title, fixed, searched, problems)
        weights: dict[str, Any] = {}
        search_weights: dict[str, Any] = {}
        for ref in self.constituents if self.uses_weights else ():
            kept = self.kept.get("weights", {}).get(ref)
            if kept is not None and not self.weights.get(ref):
                (search_weights if kept[0] else weights)[ref] = kept[1]
                continue
            what = f"Weight of {ref}"
            _place(self.weights.get(ref, ""), ref, what, weights, search_weights, problems)
        recipe: dict[str, Any] = {
            **self.kept.get("recipe", {}),
            "method": self.methods[0] if self.methods else "",
            "base": self.base or None,
            "models": [self._model(ref, weights) for ref in self.constituents],
            "options": fixed,
        }
        space: dict[str, Any] = {
            "methods": list(self.methods) if len(self.methods) > 1 else [],
            "options": searched,
            "weights": search_weights,
            "model_options": {ref: one for ref, one in self.kept.get("model_options", {}).items()
                              if ref in self.constituents},
        }  # fmt: skip
        try:
            grid = values.read(self.grid, "Known points")
        except BadValuesError as error:
            problems["sampler"], grid = str(error), []
        data: dict[str, Any] = {
            "name": self.name.strip(),
            "recipe": {k: v for k, v in recipe.items() if v not in (None, {})},
            "space": {k: v for k, v in space.items() if v},
            "objectives": [objective_of(one) for one in self.objectives],
            "suite": self.suite,
            "tasks": list(self.tasks) or None,
            "limit": self.limit,
            "split": {"seed": self.split_seed, "share": self.share},
            "sampler": {"name": self.sampler, "seed": self.seed},
            "trials": self.trials,
            "prune": {"items": self.prune_items, "pruner": self.pruner} if self.prune else None,
            "grid": grid,
            "note": self.note or None,
        }
        return {key: one for key, one in data.items() if one is not None}, problems

    def _model(self, ref: str, weights: Mapping[str, Any]) -> dict[str, Any]:
        more = dict(self.kept.get("models", {}).get(ref, {}))
        made: dict[str, Any] = {"model": ref, **more}
        if ref == self.instruct:
            made["role"] = "instruct"
        return made | ({"weight": weights[ref]} if ref in weights else {})


def _text(value: Any, is_searched: bool) -> str | None:
    """What a field shows; None where only YAML can say it, as of a schedule that stays."""
    return None if isinstance(value, list | tuple) and not is_searched else typed.write(value)


def _place(
    text: str, name: str, what: str, fixed: dict[str, Any], searched: dict[str, Any],
    problems: dict[str, str],
) -> None:  # fmt: skip
    """What a field says goes to the recipe or to the space."""
    try:
        found = typed.read(text, what)
    except BadRangeError as error:
        problems["space"] = str(error)
        return
    if found is None:
        return
    fixed.pop(name, None)
    searched.pop(name, None)
    (searched if isinstance(found, dict | list) else fixed)[name] = found


def objective_key(data: Any) -> str:
    """An objective of a design's plain data as one word."""
    if isinstance(data, str):
        return data
    for name in ("domains", "tasks"):
        if data.get(name):
            return f"{name}:" + "+".join(data[name])
    return str(data.get("of", "score"))


def objective_of(key: str) -> Any:
    """What `objective_key` named."""
    name, colon, rest = key.partition(":")
    return {"of": "score", name: rest.split("+")} if colon else key
