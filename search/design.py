"""The design of a search: a recipe, what of it is searched, objectives, sampler. YAML <-> object.

The form, the YAML text and the stored row are views of this one frozen object, as with a recipe.
Whether the models and the suite are there is not looked at here: see `search.checks`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

import pydantic
from pydantic import Field

from merging.errors import RecipeError
from merging.recipes import errors as recipe_errors
from merging.recipes.recipe import Recipe
from merging.recipes.slices import Reference, Strict
from merging.recipes.text import read_yaml, write_yaml
from merging.wording import unknown
from search.errors import SearchError
from search.objectives import Objective
from search.ranges import Range

HASH_VERSION = 1
MOST_TRIALS = 100_000
MOST_OBJECTIVES = 4
KNOWN_GRID = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2)
# the papers' letter; `scale` is what our methods call it
ALIASES = {"lambda": "scale", "λ": "scale"}

# key -> the part of a form that it stands in
PARTS = {"name": "name", "recipe": "models", "space": "space", "objectives": "objectives",
         "sampler": "sampler", "prune": "sampler", "trials": "sampler",
         "grid": "sampler"}  # fmt: skip

Name = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]+$")]
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**32)]
SamplerName = Literal["tpe", "cmaes", "nsga2", "grid", "random"]
SAMPLERS: tuple[str, ...] = get_args(SamplerName)
PrunerName = Literal["median", "halving"]
PRUNERS: tuple[str, ...] = get_args(PrunerName)


class Space(Strict):
    """What is searched.

    Attributes:
        methods: names of merge methods, of which each trial has one; empty for the recipe's.
        options: option, or method.option -> its range. Searched where the trial's method has it.
        weights: model -> range of its weight.
        model_options: model -> option that it has for itself -> range.
    """

    methods: tuple[Name, ...] = ()
    options: dict[str, Range] = Field(default_factory=dict)
    weights: dict[str, Range] = Field(default_factory=dict)
    model_options: dict[str, dict[str, Range]] = Field(default_factory=dict)

    @pydantic.field_validator("options", mode="before")
    @classmethod
    def _one_name_each(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        named: dict[str, Any] = {}
        for name, value in given.items():
            method, dot, option = str(name).rpartition(".")
            ours = f"{method}{dot}{ALIASES.get(option, option)}"
            if ours in named:
                raise SearchError(
                    f'"{name}" and "{ours}" are the same option; keep one of them.', "space"
                )
            named[ours] = value
        return named

    def to_data(self) -> dict[str, Any]:
        """As short as it may be written."""
        data: dict[str, Any] = {
            "methods": list(self.methods),
            "options": {name: one.to_data() for name, one in self.options.items()},
            "weights": {name: one.to_data() for name, one in self.weights.items()},
            "model_options": {
                model: {name: one.to_data() for name, one in some.items()}
                for model, some in self.model_options.items()
            },
        }
        return {key: value for key, value in data.items() if value}


class Sampler(Strict):
    """How the next trial is chosen.

    Attributes:
        name: "tpe", "cmaes", "nsga2", "grid" or "random".
        seed: of its random numbers.
    """

    name: SamplerName = "tpe"
    seed: Seed = 1

    @pydantic.model_validator(mode="before")
    @classmethod
    def _short(cls, given: Any) -> Any:
        if isinstance(given, str):
            given = {"name": given}
        if isinstance(given, dict) and given.get("name", "tpe") not in SAMPLERS:
            raise SearchError(unknown("sampler", str(given["name"]), SAMPLERS), "sampler")
        return given


class Pruning(Strict):
    """Trials that do badly on their first items are not scored to their end.

    Attributes:
        items: of each task, scored first.
        pruner: "median" (worse than the median of those before), or "halving" (the best third of
            each rung goes on, with three times the items).
    """

    items: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = 20
    pruner: PrunerName = "median"

    @pydantic.model_validator(mode="before")
    @classmethod
    def _known(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("pruner", "median") not in PRUNERS:
            raise SearchError(unknown("pruner", str(given["pruner"]), PRUNERS), "sampler")
        return given


class Split(Strict):
    """Which items choose; the others are for reporting. See `evaluation.holdout`."""

    seed: Annotated[int, Field(strict=True, ge=0, lt=2**63)] = 1
    share: Annotated[float, Field(gt=0, lt=1)] = 0.5


class SearchDesign(Strict):
    """A search's design; invalid ones cannot be made.

    Attributes:
        name: of the search.
        recipe: what all trials have in common, as a recipe's plain data.
        space: what differs.
        objectives: one, or several that are weighed against each other.
        suite: what trials are scored on.
        tasks: only these of the suite's.
        limit: only so many items of each task and part.
        split: items for searching and items for reporting.
        sampler: how the next trial is chosen.
        trials: how many there are, the known good points among them included.
        prune: what is not scored to its end; None scores everything.
        grid: scales of task arithmetic with all weights 1: known good points that are tried
            first, and held against the winner. Empty for none.
        note: free text.

    Raises:
        SearchError: on construction, one sentence.
    """

    name: Name
    recipe: dict[str, Any]
    space: Space
    objectives: tuple[Objective, ...] = (Objective(),)
    suite: Reference
    tasks: tuple[Reference, ...] | None = None
    limit: Annotated[int, Field(strict=True, ge=1, le=10_000_000)] | None = None
    split: Split = Split()
    sampler: Sampler = Sampler()
    trials: Annotated[int, Field(strict=True, ge=1, le=MOST_TRIALS)] = 40
    prune: Pruning | None = None
    grid: tuple[float, ...] = KNOWN_GRID
    note: Annotated[str, Field(max_length=10_000)] = ""

    def __init__(self, **data: Any) -> None:
        try:
            super().__init__(**data)
        except pydantic.ValidationError as error:
            first = error.errors(include_url=False)[0]["loc"]
            raise SearchError(
                _explain(error), PARTS.get(str(first[0]) if first else "", "items")
            ) from None

    @pydantic.field_validator("recipe", mode="before")
    @classmethod
    def _ours(cls, given: Any) -> Any:
        """A recipe in mergekit's form becomes ours."""
        if isinstance(given, dict) and "merge_method" in given:
            try:
                return Recipe.from_mapping(given).to_mapping()
            except RecipeError as error:
                raise SearchError(f"The recipe: {error}", "models") from None
        if isinstance(given, dict) and isinstance(given.get("options"), dict):
            options = {ALIASES.get(name, name): one for name, one in given["options"].items()}
            return {**given, "options": options}
        return given

    @pydantic.field_validator("objectives", mode="before")
    @classmethod
    def _one(cls, given: Any) -> Any:
        return given if isinstance(given, list | tuple) else [given]

    @pydantic.field_validator("grid", mode="before")
    @classmethod
    def _none(cls, given: Any) -> Any:
        return () if given is None else given

    @pydantic.model_validator(mode="after")
    def _complete(self) -> SearchDesign:
        from search import rules

        rules.check(self)
        return self

    @classmethod
    def from_yaml(cls, text: str | bytes) -> SearchDesign:
        """Read a design.

        Raises:
            SearchError: with one sentence saying what is wrong and where.
        """
        try:
            data = read_yaml(text, "search")
        except RecipeError as error:
            raise SearchError(str(error)) from None
        return cls.from_mapping(data)

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any]) -> SearchDesign:
        """Make a design from parsed YAML or JSON.

        Raises:
            SearchError: with one sentence saying what is wrong and where.
        """
        if "recipe" not in data and ("models" in data or "merge_method" in data):
            raise SearchError(
                "This is the recipe of one merge, not a search; a search has it under the key "
                "recipe, and beside it a space and a suite."
            )
        if "experts" in data:
            raise SearchError("This is a study, not a search; run it with `python cli.py study`.")
        return cls(**data)

    def to_mapping(self) -> dict[str, Any]:
        """The design as plain data, without what is unset; `from_mapping` gives it back."""
        data: dict[str, Any] = {
            "name": self.name,
            "recipe": self.recipe,
            "space": self.space.to_data(),
            "objectives": [one.to_data() for one in self.objectives],
            "suite": self.suite,
            "tasks": list(self.tasks) if self.tasks is not None else None,
            "limit": self.limit,
            "split": self.split.model_dump(),
            "sampler": self.sampler.model_dump(),
            "trials": self.trials,
            "prune": self.prune.model_dump() if self.prune else None,
            "grid": list(self.grid),
            "note": self.note or None,
        }
        return {key: value for key, value in data.items() if value is not None}

    def to_yaml(self) -> str:
        """The design as YAML; `from_yaml` gives it back."""
        return write_yaml(self.to_mapping())

    @property
    def references(self) -> list[str]:
        """The recipe's models, the base first."""
        base = [str(self.recipe["base"])] if self.recipe.get("base") else []
        return list(dict.fromkeys([*base, *(str(one["model"]) for one in self.recipe["models"])]))

    @property
    def deciding(self) -> int:
        """Which objective a winner is the best in: the first that is a score."""
        return next(place for place, one in enumerate(self.objectives) if one.is_score)

    def pinned(self, fingerprints: Mapping[str, str]) -> SearchDesign:
        """The same design, tied to these weights (reference -> fingerprint)."""
        recipe = json.loads(json.dumps(self.recipe))
        if recipe.get("base") in fingerprints:
            recipe["base_fingerprint"] = fingerprints[recipe["base"]]
        for one in recipe["models"]:
            if one["model"] in fingerprints:
                one["fingerprint"] = fingerprints[one["model"]]
        return self.model_copy(update={"recipe": recipe})

    @property
    def hash(self) -> str:
        """64 hex digits over everything that changes the result; not the name and the note."""
        data = {k: v for k, v in self.to_mapping().items() if k not in ("name", "note")}
        data["version"] = HASH_VERSION
        text = json.dumps(data, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def _explain(error: pydantic.ValidationError) -> str:
    """A sentence for what is wrong with the design's own keys."""
    problem = min(
        error.errors(include_url=False), key=lambda item: item["type"] != "extra_forbidden"
    )
    place = [one for one in problem["loc"] if isinstance(one, str)]
    part = place[0] if len(problem["loc"]) > 1 else ""
    parts: dict[str, Any] = {"space": Space, "sampler": Sampler, "prune": Pruning,
                             "split": Split, "objectives": Objective}  # fmt: skip
    # within a range the keys are those of a range, whatever the option is called
    known = Range if part == "space" and len(place) > 3 else parts.get(part, SearchDesign)
    if part == "space" and len(place) == 3 and problem["type"] != "extra_forbidden":
        known = Range
    if part == "space" and len(place) > 2:
        known = Range
    what = f"key of {part} in the search" if part else "key of the search"
    limits = {"trials": f"1 to {MOST_TRIALS:,}", "share": "between 0 and 1", "limit": "1 or more",
              "points": "2 to 12", "items": "1 or more",
              "seed": "a whole number, 0 or more"}  # fmt: skip
    return recipe_errors.sentence(
        error, what=what, known=known.model_fields, limits=limits, whole="search"
    )
