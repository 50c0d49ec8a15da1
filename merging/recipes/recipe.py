"""The recipe: the complete, reproducible description of a merge.

The form, the YAML text and the stored row are views of this one frozen object.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple, get_args

import pydantic
from pydantic import Field

from merging.errors import RecipeError
from merging.methods import Method, get_method
from merging.recipes import errors as recipe_errors
from merging.recipes import schedules
from merging.recipes.checks import check_models, complete_options, settle_settings
from merging.recipes.slices import Reference, Slice, Strict, check_slices, plain
from merging.recipes.text import read_yaml, write_yaml

Role = Literal["expert", "instruct"]
Dtype = Literal["bfloat16", "float16", "float32"]
DTYPES: tuple[str, ...] = get_args(Dtype)
# counts when a change of ours changes the result of an unchanged recipe
HASH_VERSION = 2
Fingerprint = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# what a recipe need not say
_UNSET = {"tokenizer": "auto", "chat_template": "auto", "tokens": {}, "slices": []}


class Parent(NamedTuple):
    """A model that takes part in a merge; without a weight, or with a scheduled one, it is None."""

    ref: str
    role: Literal["base", "expert", "instruct"]
    weight: float | None


class Constituent(Strict):
    """A model that goes into a merge besides the base.

    Attributes:
        model: registered name, folder or Hub id.
        role: "expert" or "instruct".
        weight: its coefficient w_i, or a schedule of it; methods without weights ignore it.
        options: options of the method that this model has for itself, such as a density.
        revision: branch, tag or commit on the Hub.
        fingerprint: content hash of its weights; pins the recipe to exactly these.
    """

    model: Reference
    role: Role = "expert"
    weight: Any = 1.0
    options: dict[str, Any] = Field(default_factory=dict)
    revision: str | None = None
    fingerprint: Fingerprint | None = None


class Recipe(Strict):
    """A merge recipe; invalid ones cannot be made.

    Attributes:
        name: what the user calls the result; not part of the hash.
        method: name of a merge method.
        base: the model theta_0 that task vectors are taken against; None where not used.
        models: the constituents besides the base.
        options: the method's options, complete: defaults are filled in. Each a value or a schedule.
        slices: ranges of layers that the result consists of; empty for the models as they are.
        dtype: of the floating-point tensors of the result; None keeps the base's (without a base
            the first model's).
        seed: for methods with random numbers.
        tokenizer: "auto" (instruct model's if there is one, else the base's), "base", "instruct"
            or one of the recipe's models; "union" for the tokens of all.
        tokens: where the embedding of single tokens comes from: token -> source, as in mergekit.
        pad_to_multiple_of: the embeddings get a multiple of so many rows.
        chat_template: as tokenizer (but "union"); "none"; the name of a well-known one; or its
            text.

    Raises:
        RecipeError: on construction, one sentence.
    """

    name: Annotated[str, Field(max_length=200)] | None = None
    method: str
    base: Reference | None = None
    base_revision: str | None = None
    base_fingerprint: Fingerprint | None = None
    models: tuple[Constituent, ...]
    options: dict[str, Any] = Field(default_factory=dict)
    slices: tuple[Slice, ...] = ()
    dtype: Dtype | None = None
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**63)] = 0
    tokenizer: Reference = "auto"
    tokens: dict[str, Any] = Field(default_factory=dict)
    pad_to_multiple_of: Annotated[int, Field(strict=True, ge=1, le=65536)] | None = None
    chat_template: Annotated[str, Field(min_length=1, max_length=100_000)] = "auto"

    def __init__(self, **data: Any) -> None:
        try:
            super().__init__(**data)
        except pydantic.ValidationError as error:
            raise RecipeError(_explain(error)) from None

    @pydantic.model_validator(mode="after")
    def _complete(self) -> Recipe:
        method = get_method(self.method)
        # frozen for everybody else: the validator alone fills the defaults in
        object.__setattr__(self, "options", complete_options(method, self.options))
        for one, where in self._with_settings():
            settle_settings(one, method, where)
        if self.slices:
            check_slices(self.slices, [one.model for one in self.models], self.base)
        check_models(self, method)
        self._check_together(method)
        return self

    def _with_settings(self) -> Iterator[tuple[Any, str]]:
        """Everything below the recipe that has options or a weight, and what to call it."""
        for place, one in enumerate(self.models, 1):
            yield one, f"models.{place}"
        for place, part in enumerate(self.slices, 1):
            yield part, f"slices.{place}"
            for number, source in enumerate(part.sources, 1):
                yield source, f"slices.{place}.sources.{number}"

    def _check_together(self, method: Method) -> None:
        """What a method asks of its options together; schedules are asked tensor by tensor."""
        weights = [one.weight for one in self.models]
        plain_values = not any(map(schedules.is_schedule, [*weights, *self.options.values()]))
        if method.check is None or self.slices or not plain_values:
            return
        if problem := method.check(weights, **self.options):
            raise RecipeError(problem)

    @classmethod
    def from_yaml(cls, text: str | bytes) -> Recipe:
        """Read a recipe.

        Raises:
            RecipeError: with one sentence saying what is wrong and where.
        """
        return cls.from_mapping(read_yaml(text))

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any]) -> Recipe:
        """Make a recipe from parsed YAML or JSON, ours or mergekit's (it has `merge_method`).

        Raises:
            RecipeError: with one sentence saying what is wrong and where.
        """
        if "merge_method" in data:
            from merging.mergekit import translate

            data = translate(data)
        return cls(**data)

    def to_mapping(self) -> dict[str, Any]:
        """The recipe as plain data, without what is unset; `from_mapping` gives it back."""
        data = self.model_dump(exclude_none=True)
        for constituent in data["models"]:
            if not constituent["options"]:
                del constituent["options"]
        data["models"] = list(data["models"])
        data["slices"] = [plain(one) for one in self.slices]
        for key, unset in _UNSET.items():
            if data[key] == unset:
                del data[key]
        return data

    def to_yaml(self) -> str:
        """The recipe as YAML; `from_yaml` gives it back."""
        return write_yaml(self.to_mapping())

    def to_mergekit(self, names: Mapping[str, str] | None = None) -> str:
        """The recipe as mergekit's YAML, which means the same there.

        Args:
            names: reference -> what mergekit is to know the model by, such as its folder.

        Raises:
            RecipeError: what mergekit cannot express, in one sentence.
        """
        from merging.mergekit import export

        return export(self, names)

    @property
    def merge_method(self) -> Method:
        """The method itself."""
        return get_method(self.method)

    @property
    def parents(self) -> list[Parent]:
        """All models that take part: the base first when it is used, then the others."""
        uses_weights = self.merge_method.uses_weights
        parents = [Parent(self.base, "base", None)] if self.base is not None else []
        for constituent in self.models:
            scheduled = schedules.is_schedule(constituent.weight)
            weight = constituent.weight if uses_weights and not scheduled else None
            parents.append(Parent(constituent.model, constituent.role, weight))
        return parents

    @property
    def references(self) -> list[str]:
        """The parents' references, each once."""
        return list(dict.fromkeys(parent.ref for parent in self.parents))

    def identity(self, ref: str) -> str:
        """What stands for a parent in seeds and in the hash: its fingerprint, else its name."""
        if ref == self.base and self.base_fingerprint is not None:
            return self.base_fingerprint
        for constituent in self.models:
            if constituent.model == ref and constituent.fingerprint is not None:
                return constituent.fingerprint
        return ref

    def in_merge_order(self) -> list[Constituent]:
        """The constituents in the order in which they are computed.

        Methods that do not depend on the order get a canonical one, so that floating-point sums,
        and with them the bytes of the result, don't depend on it either.
        """
        method = self.merge_method
        if method.roles:
            return [next(one for one in self.models if one.role == role) for role in method.roles]
        if method.ordered:
            return list(self.models)
        return sorted(self.models, key=self._canonical)

    def _canonical(self, one: Constituent) -> tuple[str, str, str]:
        own = json.dumps([one.weight, one.options], sort_keys=True)
        return self.identity(one.model), own, one.role

    @property
    def config_donor(self) -> str:
        """The model whose config.json the result gets: the base, else instruct, else the first."""
        if self.base is not None:
            return self.base
        return next(
            (one.model for one in self.models if one.role == "instruct"), self.models[0].model
        )

    @property
    def hash(self) -> str:
        """64 hex digits over everything that changes the result, and nothing else."""
        uses_weights = self.merge_method.uses_weights
        content = {
            "version": HASH_VERSION,
            "method": self.method,
            "options": self.options,
            "base": self._source(self.base, self.base_revision) if self.base else None,
            "models": [
                {
                    "source": self._source(one.model, one.revision),
                    "role": one.role,
                    "weight": one.weight if uses_weights else None,
                    "options": one.options,
                }
                for one in self.in_merge_order()
            ],
            "slices": [self._slice(one) for one in self.slices],
            "config": self.identity(self.config_donor),
            "dtype": self.dtype,
            "seed": self.seed if self.merge_method.random else None,
            "tokenizer": self._donor(self.tokenizer),
            "tokens": self._identified(self.tokens),
            "pad_to_multiple_of": self.pad_to_multiple_of,
            "chat_template": self._donor(self.chat_template),
        }
        text = json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def pinned(self, fingerprints: Mapping[str, str]) -> Recipe:
        """The same recipe, tied to these weights (reference -> fingerprint)."""
        data = self.model_dump()
        if self.base is not None and self.base in fingerprints:
            data["base_fingerprint"] = fingerprints[self.base]
        for constituent in data["models"]:
            if constituent["model"] in fingerprints:
                constituent["fingerprint"] = fingerprints[constituent["model"]]
        return Recipe(**data)

    def _source(self, ref: str, revision: str | None) -> str:
        identity = self.identity(ref)
        return identity if identity != ref or revision is None else f"{ref}@{revision}"

    def _slice(self, one: Slice) -> dict[str, Any]:
        """A slice with its models' identities in place of their names."""
        data = one.model_dump()
        if self.base is not None:
            # said in full: which source is the first one says nothing else
            base = one.base_model(self.base)
            data["base"] = {"model": base, "layers": one.base_layers()}
        for source in (*data["sources"], *([data["base"]] if data["base"] else [])):
            source["model"] = self.identity(source["model"])
        if not self.merge_method.ordered:
            data["sources"] = sorted(data["sources"], key=json.dumps)
        return data

    def _identified(self, data: Any) -> Any:
        """Plain data with the identities of models in place of their names."""
        if isinstance(data, Mapping):
            return {key: self._identified(value) for key, value in data.items()}
        return self._donor(data) if isinstance(data, str) else data

    def _donor(self, policy: str) -> str:
        return self.identity(policy) if policy in self.references else policy


def _explain(error: pydantic.ValidationError) -> str:
    """A sentence for what is wrong with the recipe's own keys."""
    problem = min(
        error.errors(include_url=False), key=lambda item: item["type"] != "extra_forbidden"
    )
    in_model = len(problem["loc"]) > 1 and problem["loc"][0] == "models"
    known = Constituent.model_fields if in_model else Recipe.model_fields
    what = "key of a model in the recipe" if in_model else "key of the recipe"
    limits = {"seed": "a whole number from 0 to 2^63 - 1"}
    return recipe_errors.sentence(error, what=what, known=known, limits=limits)
