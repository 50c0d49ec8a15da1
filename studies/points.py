"""The points of a study: which merges each stage consists of, and the recipe of each.

Stage 1 is the base plus one expert, 2 every pair, 3 every triple, each at all combinations of its
methods' grids. The *instruct stage* is `X + alpha (instruct - base)`, with X each expert in turn
and the best merge of stages 1 to 3 (by the macro score on the items for choosing). What that is:

* X an expert: the recipe `instruction_residual`, which also has the factor of X's task vector.
* X a merge by task arithmetic: one recipe of task arithmetic, with the instruct model as one more
  weighted task vector. That is exact: base + lambda sum tau_i + alpha tau_instruct.
* X a merge of any other method: no single recipe gives it (trimming and electing signs would take
  the instruct's task vector along). It is two merges, one upon the other: `steps` has X's own
  recipe first, and then `instruction_residual` with the model "@previous", which is the
  result of the first. Nothing is left out, and both are exact. The fingerprint of "@previous" is
  the hash of X's recipe, so that the hash of the last step covers both.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations, product
from typing import Any

from merging.methods import get_method
from merging.recipes.recipe import Constituent, Recipe, Role
from studies.design import Design
from studies.errors import StudyError
from studies.grids import INSTRUCT_METHOD, MethodGrid
from studies.stages import INSTRUCT, STAGES, Stage

PREVIOUS = "@previous"
KEY_VERSION = 1
SUM_METHOD = "task_arithmetic"


@dataclass(frozen=True)
class Point:
    """One merge of a study.

    Attributes:
        stage: "1", "2", "3" or "instruct".
        constituents: domains, in the design's order; the instruct model is "instruct". The base
            is not named.
        method: name of the merge method; "instruction_residual" in the instruct stage.
        options: of the method, complete.
        seed: 0 for methods without random numbers.
        on: key of the merge that the instruct model is added to; None for an expert.
        merge: that merge.
    """

    stage: Stage
    constituents: tuple[str, ...]
    method: str
    options: Mapping[str, Any]
    seed: int = 0
    on: str | None = None
    merge: Point | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.merge is not None:
            object.__setattr__(self, "on", self.merge.key)

    def __hash__(self) -> int:
        return hash(self.key)

    @cached_property
    def key(self) -> str:
        """12 hex digits over what the point is; the order of grids and of experts is no part."""
        ordered = get_method(self.method).ordered and self.stage != INSTRUCT
        content = {
            "version": KEY_VERSION,
            "stage": self.stage,
            "constituents": list(self.constituents) if ordered else sorted(self.constituents),
            "method": self.method,
            "options": dict(self.options),
            "seed": self.seed,
            "on": self.on,
        }
        text = json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @cached_property
    def label(self) -> str:
        """The point in words: `finance + math · TIES, density 0.2, scale 1`."""
        if self.stage == INSTRUCT:
            return self._instruct_label()
        method = get_method(self.method)
        told = [
            f"{one.name} {_shown(self.options[one.name])}"
            for one in method.fields()
            if one.name in self.options
            and (one.kind in ("float", "int") or self.options[one.name] != one.default)
        ]
        told += [f"seed {self.seed}"] if method.random else []
        who = " + ".join(("base", *self.constituents) if self.stage == "1" else self.constituents)
        return f"{who} · {', '.join([method.title, *told])}"

    def _instruct_label(self) -> str:
        experts = " + ".join(one for one in self.constituents if one != INSTRUCT)
        on = f"({self.merge.label})" if self.merge is not None else experts
        scale = self.options.get("expert_scale", 1.0)
        factor = "" if scale == 1 else f"{_shown(scale)} × "
        return f"{factor}{on} + {_shown(self.options['alpha'])} × instruct"

    @property
    def two_steps(self) -> bool:
        """Whether it takes two merges, one upon the other."""
        return self.on is not None and (self.merge is None or self.merge.method != SUM_METHOD)

    def steps(self, design: Design) -> list[Recipe]:
        """The recipes that make it, one upon the other; the last one's is `recipe`."""
        last = self.recipe(design)
        return [self._below().recipe(design), last] if self.two_steps else [last]

    def recipe(self, design: Design) -> Recipe:
        """The recipe; of a point of two steps the last, which takes the model "@previous".

        Raises:
            StudyError: the design lacks one of the constituents.
        """
        if self.stage != INSTRUCT:
            return self._merge_recipe(design)
        if self.on is None:
            (expert,) = (one for one in self.constituents if one != INSTRUCT)
            return self._residual(design, self._constituent(design, expert))
        if not self.two_steps:
            return self._sum(design)
        previous = Constituent(
            model=PREVIOUS, role="expert", fingerprint=self._below().recipe(design).hash
        )
        return self._residual(design, previous)

    def _below(self) -> Point:
        """The merge that the instruct model is added to."""
        if self.merge is None:
            raise StudyError(
                f"The point {self.key} builds on the merge {self.on}, which is not given with it."
            )
        return self.merge

    def _merge_recipe(self, design: Design) -> Recipe:
        method = get_method(self.method)
        models = [self._constituent(design, one) for one in self.constituents]
        base: dict[str, Any] = _base(design)
        if method.needs_base == "forbidden":
            # nothing is subtracted: the base is a model like the others, where it takes part
            first = design.base.model_dump()
            models = [Constituent(**first), *models] if self.stage == "1" else models
            base = {}
        return Recipe(
            method=self.method, models=models, options=dict(self.options), seed=self.seed, **base
        )

    def _residual(self, design: Design, expert: Constituent) -> Recipe:
        instruct = self._constituent(design, INSTRUCT)
        return Recipe(
            method=INSTRUCT_METHOD,
            models=[expert, instruct],
            options=dict(self.options),
            **_base(design),
        )

    def _sum(self, design: Design) -> Recipe:
        """Task arithmetic with one more task vector: factors go into the weights."""
        below = self._below()
        own = float(below.options["scale"])
        if below.options["normalize"]:
            own /= len(below.constituents)
        own *= float(self.options["expert_scale"])
        alpha = float(self.options["alpha"])
        models = [self._constituent(design, one, own) for one in below.constituents]
        models.append(self._constituent(design, INSTRUCT, alpha))
        options = {"scale": 1.0, "normalize": False}
        return Recipe(method=SUM_METHOD, models=models, options=options, **_base(design))

    def _constituent(self, design: Design, name: str, weight: float = 1.0) -> Constituent:
        known = design.models
        if name not in known:
            raise StudyError(f'The study has no model "{name}", which the point {self.key} needs.')
        role: Role = "instruct" if name == INSTRUCT else "expert"
        return Constituent(role=role, weight=weight, **known[name].model_dump())

    def to_mapping(self) -> dict[str, Any]:
        """The point as plain data; `from_mapping` gives it back."""
        data: dict[str, Any] = {
            "stage": self.stage,
            "constituents": list(self.constituents),
            "method": self.method,
            "options": dict(self.options),
            "seed": self.seed,
            "on": self.on,
        }
        if self.merge is not None:
            data["merge"] = self.merge.to_mapping()
        return data

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any]) -> Point:
        """A point from plain data."""
        merge = data.get("merge")
        return cls(
            stage=data["stage"],
            constituents=tuple(data["constituents"]),
            method=data["method"],
            options=dict(data["options"]),
            seed=int(data.get("seed", 0)),
            on=data.get("on"),
            merge=None if merge is None else cls.from_mapping(merge),
        )


@dataclass(frozen=True)
class Chosen:
    """What scores have decided (see `studies.choice`).

    Attributes:
        options: method -> the options that a carried stage takes.
        best: the best merge of stages 1 to 3.
    """

    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    best: Point | None = None


def points_of(design: Design, stage: str, chosen: Chosen | None = None) -> list[Point]:
    """The points of a stage, those that share a combined task vector one after the other.

    Args:
        design: of the study.
        stage: "1", "2", "3" or "instruct"; one that the study does not have has no points.
        chosen: what the scores before have decided. Without it a carried stage has no points yet,
            and the instruct stage those on experts only.

    Raises:
        StudyError: there is no such stage.
    """
    if stage not in STAGES:
        raise StudyError(f'There is no stage "{stage}"; the stages are 1, 2, 3 and instruct.')
    if stage not in design.stages:
        return []
    known = chosen or Chosen()
    if stage == INSTRUCT:
        return _instruct_points(design, known.best)
    found = []
    for one in design.methods:
        if one.allows(int(stage)):
            options = _options(design, one, stage, known)
            for domains in combinations(design.domains, int(stage)):
                found += [
                    Point(stage, domains, one.method, each, seed)
                    for seed, each in product(one.all_seeds, options)
                ]
    return found


def _options(design: Design, one: MethodGrid, stage: str, chosen: Chosen) -> list[dict[str, Any]]:
    """The options that a method is tried with in a stage."""
    if not design.is_carried(stage):
        return one.combinations()
    carried = chosen.options.get(one.method)
    return [] if carried is None else [dict(carried)]


def _instruct_points(design: Design, best: Point | None) -> list[Point]:
    grid = design.instruct_stage
    onto: list[tuple[tuple[str, ...], Point | None]] = [((one,), None) for one in design.domains]
    if best is not None and design.merge_stages:
        onto.append((best.constituents, best))
    return [
        Point(
            stage="instruct",
            constituents=(*names, INSTRUCT),
            method=INSTRUCT_METHOD,
            options={"alpha": alpha, "expert_scale": scale},
            merge=merge,
        )
        for names, merge in onto
        for scale, alpha in product(grid.expert_scale, grid.alpha)
    ]


def _base(design: Design) -> dict[str, Any]:
    """The base as a recipe names it."""
    one = design.base
    return {
        "base": one.model,
        "base_revision": one.revision,
        "base_fingerprint": one.fingerprint,
    }


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, int | float) else str(value)
