"""The recipe: the complete, reproducible description of a merge.

The form, the YAML text and the stored row are views of this one frozen object.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, get_args

import pydantic
from pydantic import Field

from merging import mergekit, recipe_errors
from merging.errors import RecipeError
from merging.methods import Method, get_method
from merging.recipe_checks import check_models, complete_options
from merging.recipe_text import read_yaml, write_yaml

Role = Literal["expert", "instruct"]
Dtype = Literal["bfloat16", "float16", "float32"]
DTYPES: tuple[str, ...] = get_args(Dtype)
# counts when a change of ours changes the result of an unchanged recipe
HASH_VERSION = 1
Fingerprint = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# no control characters: a reference is a name, a path or a Hub id
Reference = Annotated[str, Field(min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Parent(NamedTuple):
    """A model that takes part in a merge."""

    ref: str
    role: Literal["base", "expert", "instruct"]
    weight: float | None


class _Strict(pydantic.BaseModel):
    """Frozen, nothing unknown; every construction that fails raises RecipeError."""

    model_config = pydantic.ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, coerce_numbers_to_str=False
    )


class Constituent(_Strict):
    """A model that goes into a merge besides the base.

    Attributes:
        model: registered name, folder or Hub id.
        role: "expert" or "instruct".
        weight: its coefficient w_i; methods without weights ignore it.
        revision: branch, tag or commit on the Hub.
        fingerprint: content hash of its weights; pins the recipe to exactly these.
    """

    model: Reference
    role: Role = "expert"
    weight: Annotated[float, Field(strict=True, ge=-100, le=100)] = 1.0
    revision: str | None = None
    fingerprint: Fingerprint | None = None


class Recipe(_Strict):
    """A merge recipe; invalid ones cannot be made.

    Attributes:
        name: what the user calls the result; not part of the hash.
        method: name of a merge method.
        base: the model theta_0 that task vectors are taken against; None where not used.
        models: the constituents besides the base.
        options: the method's options, complete: defaults are filled in.
        dtype: of the floating-point tensors of the result; None keeps the base's (without a base
            the first model's).
        seed: for methods with random numbers.
        tokenizer: "auto" (instruct model's if there is one, else the base's), "base", "instruct"
            or one of the recipe's models.
        chat_template: as tokenizer; or "none".

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
    dtype: Dtype | None = None
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**63)] = 0
    tokenizer: Reference = "auto"
    chat_template: Reference = "auto"

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
        check_models(self, method)
        if method.check is not None:
            weights = [constituent.weight for constituent in self.models]
            problem = method.check(weights, **self.options)
            if problem:
                raise RecipeError(problem)
        return self

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
            data = mergekit.translate(data)
        return cls(**data)

    def to_mapping(self) -> dict[str, Any]:
        """The recipe as plain data, without what is unset; `from_mapping` gives it back."""
        data = self.model_dump(exclude_none=True)
        data["models"] = [dict(constituent) for constituent in data["models"]]
        for key in ("tokenizer", "chat_template"):
            if data[key] == "auto":
                del data[key]
        return data

    def to_yaml(self) -> str:
        """The recipe as YAML; `from_yaml` gives it back."""
        return write_yaml(self.to_mapping())

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
            weight = constituent.weight if uses_weights else None
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
        return sorted(self.models, key=lambda one: (self.identity(one.model), one.weight, one.role))

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
                    "weight": float(one.weight) if uses_weights else None,
                }
                for one in self.in_merge_order()
            ],
            "config": self.identity(self.config_donor),
            "dtype": self.dtype,
            "seed": self.seed if self.merge_method.random else None,
            "tokenizer": self._donor(self.tokenizer),
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
    limits = {"seed": "a whole number from 0 to 2^63 - 1", "weight": "-100 to 100"}
    return recipe_errors.sentence(error, what=what, known=known, limits=limits)
