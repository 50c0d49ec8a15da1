"""What the study form holds: a design in the making, which may still be incomplete or wrong.

The form and the YAML text are two views of one design. `Draft.to_mapping` and `Draft.from_design`
are the way between them; nothing here draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from merging.methods import get_method
from pages.components.studies import values
from pages.components.studies.values import BadValuesError
from studies.design import Design

METHODS = ("task_arithmetic", "ties", "dare_ties")
STAGES = ("1", "2", "3", "instruct")
NUMBERS = ("float", "int")
MAX_SEED = 2**53 - 1  # the largest whole number that a browser holds exactly


@dataclass
class Draft:
    """The form's values; numbers that are swept stand as the text that was typed.

    Attributes:
        experts: references of models.
        domains: reference -> its domain's name.
        grids: method -> option -> values as typed.
        fixed: method -> options that are the same everywhere.
        seeds: method -> seeds as typed.
        unwanted: stages that were left out; all others that the models allow are in.
        pins: reference -> revision and fingerprint, which the form does not show but must not lose.
        number: how many drafts this tab had before; part of the widgets' keys.
    """

    name: str = ""
    base: str | None = None
    experts: list[str] = field(default_factory=list)
    domains: dict[str, str] = field(default_factory=dict)
    instruct: str | None = None
    methods: list[str] = field(default_factory=list)
    grids: dict[str, dict[str, str]] = field(default_factory=dict)
    fixed: dict[str, dict[str, Any]] = field(default_factory=dict)
    seeds: dict[str, str] = field(default_factory=dict)
    unwanted: list[str] = field(default_factory=list)
    alpha: str = "0, 0.5, 1, 1.5"
    expert_scale: str = "1"
    carry: str = "everywhere"
    suite: str = ""
    tasks: list[str] = field(default_factory=list)
    limit: int | None = None
    split: bool = True
    split_seed: int = 1
    share: float = 0.5
    note: str = ""
    pins: dict[str, dict[str, str]] = field(default_factory=dict)
    number: int = field(default=0, compare=False)

    @classmethod
    def from_design(cls, design: Design) -> Draft:
        """The form's view of a design."""
        experts = [one.model for one in design.experts.values()]
        pins = {
            one.model: {key: value for key, value in
                        (("revision", one.revision), ("fingerprint", one.fingerprint)) if value}
            for one in design.models.values()
        }  # fmt: skip
        stage = design.instruct_stage
        draft = cls(
            name=design.name,
            base=design.base.model,
            experts=experts,
            domains={one.model: domain for domain, one in design.experts.items()},
            instruct=design.instruct.model if design.instruct else None,
            methods=[one.method for one in design.methods],
            unwanted=[one for one in STAGES if one not in design.stages],
            alpha=values.write(stage.alpha),
            expert_scale=values.write(stage.expert_scale),
            carry=design.carry,
            suite=design.suite,
            tasks=list(design.tasks or ()),
            limit=design.limit,
            split=design.split is not None,
            note=design.note,
            pins={ref: pin for ref, pin in pins.items() if pin},
        )
        # what the models do not allow now was not left out by anybody
        draft.unwanted = [one for one in draft.unwanted if one in draft.allowed]
        if design.split is not None:
            draft.split_seed, draft.share = design.split.seed, design.split.share
        for one in design.methods:
            draft.fixed[one.method] = dict(one.options)
            swept = numbers_of(one.method)
            draft.grids[one.method] = {
                name: values.write(tried) for name, tried in one.grid.items() if name in swept
            }
            # words and switches are swept in the text alone: the form keeps them as they are
            kept = {name: list(tried) for name, tried in one.grid.items() if name not in swept}
            if kept:
                draft.fixed[one.method]["@grid"] = kept
            if one.seeds is not None:
                draft.seeds[one.method] = values.write(one.seeds)
        return draft

    @property
    def allowed(self) -> list[str]:
        """The stages that the models and methods allow."""
        n = len(self.experts) if self.methods else 0
        return [*STAGES[: min(n, 3)], *STAGES[3:][: 1 if self.instruct and self.experts else 0]]

    @property
    def stages(self) -> list[str]:
        """The stages that the study has."""
        return [one for one in self.allowed if one not in self.unwanted]

    def domain_of(self, ref: str) -> str:
        """The name of an expert's domain: as given, else the last part of its own name."""
        return self.domains.get(ref) or ref.rstrip("/").rsplit("/", 1)[-1][:40]

    def to_mapping(self) -> tuple[dict[str, Any], dict[str, str]]:
        """The design as plain data, and part -> sentence for what is no data yet."""
        problems: dict[str, str] = {}
        names = [self.domain_of(ref).strip() for ref in self.experts]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            problems["models"] = f"Two experts are called {twice}; give each domain its own name."
        data: dict[str, Any] = {
            "name": self.name.strip(),
            "base": self._model(self.base),
            "experts": {
                name: self._model(ref) for name, ref in zip(names, self.experts, strict=True)
            },
            "instruct": self._model(self.instruct),
            "methods": [self._method(name, problems) for name in self.methods],
            "carry": self.carry,
            "suite": self.suite,
            "tasks": list(self.tasks) or None,
            "limit": self.limit,
            "split": {"seed": self.split_seed, "share": self.share} if self.split else None,
            "note": self.note,
        }
        data["stages"] = self.stages
        if not self.stages and self.allowed:
            problems["stages"] = "Choose one stage at least."
        if "instruct" in self.stages:
            data["instruct_stage"] = self._instruct_stage(problems)
        kept = ("split",)  # null says something: no split
        data = {key: one for key, one in data.items() if one is not None or key in kept}
        return data, problems

    def _model(self, ref: str | None) -> Any:
        if not ref:
            return None
        pin = self.pins.get(ref)
        return {"model": ref, **pin} if pin else ref

    def _method(self, name: str, problems: dict[str, str]) -> dict[str, Any]:
        fixed = dict(self.fixed.get(name, {}))
        grid: dict[str, Any] = dict(fixed.pop("@grid", {}))
        options = {one: value for one, value in fixed.items() if one not in grid}
        for option, title in numbers_of(name).items():
            try:
                typed = values.read(self.grids.get(name, {}).get(option, ""), title)
            except BadValuesError as error:
                problems[f"method:{name}"] = str(error)
                continue
            if typed:
                options.pop(option, None)
                grid[option] = typed
        made: dict[str, Any] = {"method": name}
        if grid:
            made["grid"] = grid
        if options:
            made["options"] = options
        if get_method(name).random and self.seeds.get(name, "").strip():
            try:
                made["seeds"] = values.read(self.seeds[name], "Seeds", whole=True)
            except BadValuesError as error:
                problems[f"method:{name}"] = str(error)
        return made

    def _instruct_stage(self, problems: dict[str, str]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, title in (("alpha", "Alpha"), ("expert_scale", "Expert's factor")):
            try:
                found[key] = values.read(getattr(self, key), title)
            except BadValuesError as error:
                problems["stages"] = str(error)
        return found


def numbers_of(method: str) -> dict[str, str]:
    """The options of a method that are numbers: name -> title."""
    return {one.name: one.title for one in get_method(method).fields() if one.kind in NUMBERS}


def fill_defaults(draft: Draft, method: str, told: Mapping[str, str] | None = None) -> None:
    """Values to begin with for a method that was just chosen."""
    if method in draft.grids:
        return
    usual = {"scale": "0.5, 1", "density": "0.2, 0.5, 0.8", **(told or {})}
    swept = [name for name in numbers_of(method) if name in usual]
    first = swept[:1] if "density" not in swept else ["density"]
    if not first and numbers_of(method):
        one = next(f for f in get_method(method).fields() if f.kind in NUMBERS)
        draft.grids[method] = {one.name: values.write([one.default])}
        return
    draft.grids[method] = {name: usual[name] for name in first}
