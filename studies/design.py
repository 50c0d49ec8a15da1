"""The design of a study: base, experts, methods with grids, stages, suite. YAML <-> object.

The form, the YAML text and the stored row are views of this one frozen object, as with a recipe.
Whether the models and the suite are there is not looked at here: see `studies.checks`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from math import comb
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

from merging.errors import RecipeError
from merging.recipes import errors as recipe_errors
from merging.recipes.recipe import Fingerprint
from merging.recipes.slices import Reference, Strict
from merging.recipes.text import read_yaml, write_yaml
from merging.wording import in_words
from studies import rules
from studies.errors import StudyError
from studies.grids import INSTRUCT_METHOD, MethodGrid, check_values
from studies.stages import BASE, INSTRUCT, STAGES, Stage

HASH_VERSION = 1

Name = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]+$")]
Domain = Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[^\x00-\x1f\x7f+·,]+$")]
Carry = Literal["everywhere", "best"]


class ModelRef(Strict):
    """A model of the study.

    Attributes:
        model: registered name, folder or Hub id.
        revision: branch, tag or commit on the Hub.
        fingerprint: content hash of its weights; pins the study to exactly these.
    """

    model: Reference
    revision: Reference | None = None
    fingerprint: Fingerprint | None = None


class InstructStage(Strict):
    """The grid of the instruct stage.

    Attributes:
        alpha: factors of instruct - base.
        expert_scale: factors of the expert's (or the best merge's) task vector; 1 keeps it.
    """

    alpha: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5)
    expert_scale: tuple[float, ...] = (1.0,)

    @pydantic.model_validator(mode="after")
    def _check(self) -> InstructStage:
        for name in ("alpha", "expert_scale"):
            values = check_values(INSTRUCT_METHOD, name, getattr(self, name), "instruct_stage")
            object.__setattr__(self, name, values)
        return self


class Split(Strict):
    """Which items are for choosing; the others are for reporting. See `evaluation.holdout`.

    Attributes:
        seed: of the split.
        share: of the items that are for choosing.
    """

    seed: Annotated[int, Field(strict=True, ge=0, lt=2**63)] = 1
    share: Annotated[float, Field(gt=0, lt=1)] = 0.5


def _with_model(given: Any) -> Any:
    """A model may be named by its reference alone."""
    return {"model": given} if isinstance(given, str) else given


class Design(Strict):
    """A study's design; invalid ones cannot be made.

    Attributes:
        name: of the study.
        base: the model theta_0 that all others were trained from.
        experts: domain -> model, one to six; one only for the stages 1 and instruct.
        instruct: an instruction-tuned model of the same base.
        methods: what is tried in stages 1 to 3. An expert's weight is always 1.
        stages: in order; by default all that the models allow.
        instruct_stage: grid of the instruct stage.
        carry: "everywhere" tries the whole grid in each stage; "best" tries in each stage but the
            first, per method, the options with the best mean score of the stage before.
        suite: what is scored: a name, a path, or lm-eval's tasks as `tasks:a+b`.
        tasks: only these of the suite's.
        limit: only so many items of each task.
        split: items for choosing and items for reporting; None: both are all items.
        note: free text.

    Raises:
        StudyError: on construction, one sentence.
    """

    name: Name
    base: ModelRef
    experts: dict[Domain, ModelRef]
    instruct: ModelRef | None = None
    methods: tuple[MethodGrid, ...] = ()
    stages: tuple[Stage, ...] = ()
    instruct_stage: InstructStage = InstructStage()
    carry: Carry = "everywhere"
    suite: Reference
    tasks: tuple[Reference, ...] | None = None
    limit: Annotated[int, Field(strict=True, ge=1, le=10_000_000)] | None = None
    split: Split | None = Split()
    note: Annotated[str, Field(max_length=10_000)] = ""

    def __init__(self, **data: Any) -> None:
        try:
            super().__init__(**data)
        except pydantic.ValidationError as error:
            raise StudyError(_explain(error)) from None

    @pydantic.field_validator("base", "instruct", mode="before")
    @classmethod
    def _short(cls, given: Any) -> Any:
        return _with_model(given)

    @pydantic.field_validator("experts", mode="before")
    @classmethod
    def _all_short(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {name: _with_model(one) for name, one in given.items()}

    @pydantic.field_validator("stages", mode="before")
    @classmethod
    def _as_words(cls, given: Any) -> Any:
        """YAML reads 1 as a number."""
        if given is None:
            return ()
        if not isinstance(given, list | tuple):
            given = [given]
        return tuple(str(one) for one in given)

    @pydantic.model_validator(mode="after")
    def _complete(self) -> Design:
        rules.check_models(self)
        # frozen for everybody else: the validator alone fills the defaults in
        object.__setattr__(self, "stages", rules.settled_stages(self))
        for check in (
            rules.check_stages,
            rules.check_methods,
            rules.check_items,
            rules.check_number,
        ):
            check(self)
        return self

    @classmethod
    def from_yaml(cls, text: str | bytes) -> Design:
        """Read a design.

        Raises:
            StudyError: with one sentence saying what is wrong and where.
        """
        try:
            data = read_yaml(text, "study")
        except RecipeError as error:
            raise StudyError(str(error)) from None
        return cls.from_mapping(data)

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any]) -> Design:
        """Make a design from parsed YAML or JSON.

        Raises:
            StudyError: with one sentence saying what is wrong and where.
        """
        if "experts" not in data and ("models" in data or "merge_method" in data):
            raise StudyError(
                "This is the recipe of one merge, not a study; a study names a base, experts, "
                "methods with grids and a suite."
            )
        return cls(**data)

    def to_mapping(self) -> dict[str, Any]:
        """The design as plain data, without what is unset; `from_mapping` gives it back."""
        data = self.model_dump(mode="json", exclude_none=True)
        data["split"] = data.get("split")  # null says something: no split
        data["base"] = _plain(data["base"])
        data["experts"] = {name: _plain(one) for name, one in data["experts"].items()}
        if "instruct" in data:
            data["instruct"] = _plain(data["instruct"])
        if INSTRUCT not in self.stages:
            del data["instruct_stage"]
        data["stages"] = [one if one == INSTRUCT else int(one) for one in self.stages]
        for method in data["methods"]:
            for key in [key for key in ("grid", "options") if not method[key]]:
                del method[key]
        for key in [key for key in ("methods", "note") if not data[key]]:
            del data[key]
        return data

    def to_yaml(self) -> str:
        """The design as YAML; `from_yaml` gives it back."""
        return write_yaml(self.to_mapping())

    @property
    def models(self) -> dict[str, ModelRef]:
        """Every model: "base", the experts by domain, and "instruct" where there is one."""
        found = {BASE: self.base, **self.experts}
        return found if self.instruct is None else {**found, INSTRUCT: self.instruct}

    @property
    def domains(self) -> tuple[str, ...]:
        """The experts' domains, in the design's order."""
        return tuple(self.experts)

    @property
    def merge_stages(self) -> tuple[Stage, ...]:
        """Those of the stages 1 to 3 that the study has."""
        return tuple(stage for stage in self.stages if stage != INSTRUCT)

    def method(self, name: str) -> MethodGrid | None:
        """The grid of a method."""
        return next((one for one in self.methods if one.method == name), None)

    def is_carried(self, stage: str) -> bool:
        """Whether a stage's options are those that did best in the stage before."""
        return self.carry == "best" and stage in self.merge_stages[1:]

    def before(self, stage: str) -> Stage | None:
        """The stage whose scores decide a carried stage's options."""
        place = self.stages.index(stage) if stage in self.stages else 0
        return self.stages[place - 1] if place > 0 else None

    def counts(self) -> dict[str, int]:
        """Stage -> number of points it will have; known before any score is."""
        return {stage: self._count(stage) for stage in self.stages}

    def _count(self, stage: str) -> int:
        if stage == INSTRUCT:
            on = len(self.experts) + (1 if self.merge_stages else 0)
            return on * len(self.instruct_stage.alpha) * len(self.instruct_stage.expert_scale)
        each = sum(
            len(one.all_seeds) * (1 if self.is_carried(stage) else one.n_combinations)
            for one in self.methods
            if one.allows(int(stage))
        )
        return each * comb(len(self.experts), int(stage))

    def pinned(self, fingerprints: Mapping[str, str]) -> Design:
        """The same design, tied to these weights (reference -> fingerprint)."""
        data = self.to_mapping()
        for one in _places(data):
            if one["model"] in fingerprints:
                one["fingerprint"] = fingerprints[one["model"]]
        return Design.from_mapping(data)

    @property
    def hash(self) -> str:
        """64 hex digits over everything that changes the result; not the name and the note."""
        data = self.to_mapping()
        data = {key: data[key] for key in data if key not in ("name", "note")}
        data["version"] = HASH_VERSION
        text = json.dumps(data, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def _plain(model: dict[str, Any]) -> Any:
    """A model as its reference alone where nothing else is said."""
    return model["model"] if len(model) == 1 else model


def _places(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every model of a design's plain data, each made a mapping."""
    for holder, key in (
        (data, "base"),
        (data, "instruct"),
        *((data["experts"], name) for name in data["experts"]),
    ):
        if key in holder:
            holder[key] = _with_model(holder[key])
            yield holder[key]


def _explain(error: pydantic.ValidationError) -> str:
    """A sentence for what is wrong with the design's own keys."""
    problem = min(
        error.errors(include_url=False), key=lambda item: item["type"] != "extra_forbidden"
    )
    part = str(problem["loc"][0]) if len(problem["loc"]) > 1 else ""
    known: dict[str, Any] = {
        "base": ModelRef, "experts": ModelRef, "instruct": ModelRef, "methods": MethodGrid,
        "instruct_stage": InstructStage, "split": Split,
    }  # fmt: skip
    fields = known.get(part, Design).model_fields
    what = f"key of {part} in the study" if part else "key of the study"
    limits = {
        "seed": "a whole number from 0 to 2^63 - 1",
        "seeds": "whole numbers from 0 to 2^63 - 1",
        "share": "between 0 and 1",
        "limit": "2 or more",
    }
    if "[key]" in problem["loc"]:
        given = recipe_errors.shown(problem["input"])
        rule = (
            " without commas and plus signs, of 40 characters at most" if part == "experts" else ""
        )
        return f"A name in {part} is {given}; it must be text{rule}."
    if part == "stages":
        return (
            f"There is no stage {recipe_errors.shown(problem['input'])}; the stages are "
            f"{in_words(STAGES)}."
        )
    return recipe_errors.sentence(error, what=what, known=fields, limits=limits, whole="study")
