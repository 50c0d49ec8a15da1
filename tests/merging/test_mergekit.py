"""mergekit's recipes: what they become here, and what is refused by name."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from merging.errors import RecipeError
from merging.mergekit import KEYS
from merging.mergekit_methods import FORMS
from merging.methods import METHODS
from merging.recipe import Recipe
from tests.merging.models import stored
from tests.merging.test_engine import merge

# the form that mergekit's own documentation uses for its examples
TIES = """
models:
  - model: org/base
  - model: org/one
    parameters:
      density: 0.5
      weight: 0.5
  - model: org/two@v1
    parameters:
      weight: 0.3
merge_method: ties
base_model: org/base
parameters:
  normalize: false
  int8_mask: true
  density: 0.5
  lambda: 0.8
dtype: float32
out_dtype: float16
tokenizer_source: base
chat_template: auto
"""


def test_a_recipe_with_everything() -> None:
    recipe = Recipe.from_yaml(TIES)
    assert recipe == Recipe(
        method="ties",
        base="org/base",
        models=[
            {"model": "org/one", "weight": 0.5},
            {"model": "org/two", "weight": 0.3, "revision": "v1"},
        ],
        options={"density": 0.5, "scale": 0.8, "election_weights": True, "normalize": False},
        dtype="float16",
        tokenizer="org/base",
    )
    assert Recipe.from_yaml(recipe.to_yaml()) == recipe


ELECTED = {"scale": 1.0, "election_weights": True}
DEFAULTS: dict[str, dict[str, Any]] = {
    "linear": {"normalize": True},
    "slerp": {"t": 0.25},
    "nuslerp": {"per": "tensor"},
    "multislerp": {"normalize": True},
    "karcher": {"max_iter": 10},
    "task_arithmetic": {"scale": 1.0},
    "ties": {"density": 1.0, **ELECTED, "normalize": True},
    "dare_linear": {"density": 1.0, "scale": 1.0, "rescale": "l1"},
    "dare_ties": {"density": 1.0, "rescale": "l1", **ELECTED, "normalize": False},
    "della_linear": {"density": 1.0, "epsilon": 0.0, "scale": 1.0, "rescale": "l1"},
    "della": {"density": 1.0, "epsilon": 0.0, "rescale": "l1", **ELECTED, "normalize": True},
    "breadcrumbs": {"density": 1.0, "gamma": 0.01, "scale": 1.0},
    "breadcrumbs_ties": {"density": 1.0, "gamma": 0.01, **ELECTED, "normalize": False},
    "model_stock": {"clamp": False, "per": "tensor"},
    "arcee_fusion": {"fence": 1.5},
    "sce": {"select_topk": 1.0},
    "passthrough": {"scale": 1.0},
}


def minimal(method: str, **parameters: Any) -> dict[str, Any]:
    """The shortest recipe of a method, given as parsed YAML."""
    form = FORMS[method]
    own = {"weight": 0.5} if "weight" in form.per_model else {}
    names = {"passthrough": ["a"], "slerp": ["a"], "arcee_fusion": ["a"]}.get(method, ["a", "b"])
    data: dict[str, Any] = {
        "merge_method": method,
        "models": [{"model": name, "parameters": dict(own)} for name in names],
    }
    if form.base in ("required", "first"):
        data["base_model"] = "base"
    if method == "slerp":
        parameters = {"t": 0.25, **parameters}
    return {**data, "parameters": parameters}


@pytest.mark.parametrize("method", FORMS)
def test_what_is_not_said_is_mergekits_default(method: str) -> None:
    recipe = Recipe.from_mapping(minimal(method))
    assert recipe.options == DEFAULTS[method]
    assert (recipe.method, recipe.dtype) == (method, None)


def test_every_method_that_mergekit_has_too_is_read() -> None:
    ours_alone = {"instruction_residual", "widen", "tsv_m", "iso_c", "pcb"}
    assert set(FORMS) == set(METHODS) - ours_alone == set(DEFAULTS)


@pytest.mark.parametrize(
    ("method", "parameters", "per"),
    [
        ("nuslerp", {"nuslerp_flatten": False}, "row"),
        ("nuslerp", {"nuslerp_flatten": False, "nuslerp_row_wise": True}, "column"),
        ("nuslerp", {"nuslerp_row_wise": True}, "tensor"),
        ("model_stock", {"filter_wise": True}, "row"),
    ],
)
def test_one_angle_for_a_tensor_or_for_each_row(
    method: str, parameters: dict[str, bool], per: str
) -> None:
    assert Recipe.from_mapping(minimal(method, **parameters)).options["per"] == per


def test_epsilon_counts_to_both_sides_in_mergekit() -> None:
    data = minimal("della", density=0.5, epsilon=0.1, rescale=False)
    options = Recipe.from_mapping(data).options
    assert (options["epsilon"], options["rescale"]) == (0.2, "none")


@pytest.mark.parametrize(
    "method", ["task_arithmetic", "dare_linear", "della_linear", "breadcrumbs"]
)
def test_normalize_of_a_sum_divides_the_weights(method: str) -> None:
    data = minimal(method, normalize=True)
    data["models"][0]["parameters"]["weight"] = 1.5
    assert [one.weight for one in Recipe.from_mapping(data).models] == [0.75, 0.25]


def test_slerp_goes_from_the_base_to_the_other() -> None:
    for listed in (["a"], ["base", "a"], ["a", "base"]):
        data = {**minimal("slerp"), "models": [{"model": name} for name in listed]}
        recipe = Recipe.from_mapping(data)
        assert [one.model for one in recipe.models] == ["base", "a"]
        assert recipe.base is None


def test_a_base_of_linear_gives_config_and_tokenizer() -> None:
    data = {**minimal("linear"), "base_model": "b", "tokenizer_source": "base"}
    recipe = Recipe.from_mapping(data)
    assert (recipe.config_donor, recipe.tokenizer, recipe.base) == ("b", "b", None)


def test_a_base_that_is_the_only_model_keeps_its_parameters() -> None:
    listed = [{"model": "a", "parameters": {"scale": 0.5}}]
    data = {**minimal("passthrough"), "base_model": "a", "models": listed}
    assert Recipe.from_mapping(data).options == {"scale": 0.5}


def test_an_optional_base_stays_optional() -> None:
    assert Recipe.from_mapping(minimal("nuslerp")).base is None
    data = {**minimal("nuslerp"), "base_model": "base"}
    assert Recipe.from_mapping(data).base == "base"


def changed(method: str = "ties", **changes: Any) -> dict[str, Any]:
    return {**minimal(method), **changes}


def entry(**changes: Any) -> list[dict[str, Any]]:
    return [{"model": "a", "parameters": {"weight": 1.0}, **changes}]


GRADIENT = [0, 0.5, 1]
FILTERS = [{"filter": "self_attn", "value": 0.5}, {"value": 1}]
REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    (changed(slices=[]), ['"slices"', "cannot honour"]),
    (changed(modules={}), ['"modules"', "cannot honour"]),
    (changed(basemodel="x"), ["basemodel", 'mean "base_model"']),
    (changed(merge_method="tise"), ["tise", 'mean "ties"']),
    (changed(merge_method="nearswap"), ["nearswap", "cannot honour"]),
    (changed(merge_method=3), ["merge method"]),
    (changed(base_model=None), ["needs a base_model"]),
    (changed(models=None), ['"models"']),
    (changed(models=[]), ['"models"']),
    (changed(models=["a"]), ["models.1", '"model"']),
    (changed(models=[{"model": "base"}]), ["no model besides"]),
    (changed(models=entry(weight=1)), ["weight", "key of a model"]),
    (changed(models=entry(model="a+lora")), ["LoRA", "a+lora"]),
    (changed(models=entry(model={"path": "a"})), ["keys and values"]),
    (changed(models=[*entry(), *entry()]), ["a stands", "twice"]),
    (changed(models=entry(parameters={})), ["needs a weight", '"a"']),
    (changed(models=entry(parameters=[1])), ["models.1.parameters"]),
    (changed(models=entry(parameters={"weight": GRADIENT})), ["gradient", "weight"]),
    (changed(models=entry(parameters={"weight": FILTERS})), ["filters", "weight"]),
    (changed(models=entry(parameters={"weight": "1"})), ["weight must be a number"]),
    (changed(models=entry(parameters={"weight": True})), ["weight must be a number"]),
    (changed(models=entry(parameters={"weight": 1, "densty": 0.1})), ["densty", '"density"']),
    (changed(parameters={"lamda": 0.1}), ["lamda", '"lambda"']),
    (changed(parameters={"normalize": 1}), ["normalize must be true or false"]),
    (changed(parameters={"rescale": True}), ["rescale true", "Only false"]),
    (changed(parameters={"lambda": 10**400}), ["parameters.lambda", "no sensible number"]),
    (changed(parameters={"lambda": float("nan")}), ["scale must be a finite number"]),
    (changed(parameters={"density": 0}), ["density is 0"]),
    (changed("slerp", parameters={}), ["needs the parameter t"]),
    (changed("slerp", models=[{"model": "a"}, {"model": "b"}]), ["takes 2", "has 3"]),
    (changed("linear", base_model="else"), ["base_model", "linear"]),
    (changed(tokenizer_source="union"), ['"union"']),
    (changed(tokenizer={"source": "union"}), ['tokenizer.source "union"']),
    (changed(tokenizer={"source": "base", "tokens": {}}), ["source and tokens"]),
    (changed(tokenizer_source="elsewhere"), ["elsewhere"]),
    (changed(chat_template="chatml"), ['chat_template "chatml"', "cannot honour"]),
    (changed(dtype="float64"), ["dtype", "float64"]),
]


@pytest.mark.parametrize(("data", "parts"), REFUSED, ids=[str(parts) for _, parts in REFUSED])
def test_what_cannot_be_honoured_is_refused_by_name(data: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.from_mapping(data)
    text = str(caught.value)
    assert all(part in text for part in parts), text
    assert "\n" not in text and len(text) < 400 and text.endswith((".", "?")), text


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["a", "base", "x+y"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["model", "parameters", "weight", "source", "t"]), inner)
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.sampled_from(list(FORMS)), st.dictionaries(st.sampled_from(KEYS), JUNK))
def test_junk_is_a_recipe_or_a_sentence(method: str, junk: dict[str, Any]) -> None:
    with contextlib.suppress(RecipeError):
        Recipe.from_mapping({**minimal(method), **junk})


def test_densities_that_differ_are_refused_and_equal_ones_are_not() -> None:
    data = minimal("ties")
    data["models"][0]["parameters"]["density"] = 0.5
    with pytest.raises(RecipeError, match=r"density of its own.*0.5 for a and 1 for b"):
        Recipe.from_mapping(data)
    data["models"][1]["parameters"]["density"] = 0.5
    assert Recipe.from_mapping(data).options["density"] == 0.5


def test_idle_parameters_change_nothing() -> None:
    data = minimal("task_arithmetic", density=0.1, rescale=True, int8_mask=True)
    assert Recipe.from_mapping(data) == Recipe.from_mapping(minimal("task_arithmetic"))


def test_ties_means_what_mergekit_means(family: dict[str, Path], tmp_path: Path) -> None:
    """Weights vote, what agrees is divided by the sum of its weights; all of it is kept."""
    text = f"""
merge_method: ties
base_model: {family["base"]}
dtype: float32
models:
  - {{model: {family["finance"]}, parameters: {{weight: 1.0}}}}
  - {{model: {family["math"]}, parameters: {{weight: 0.25}}}}
"""
    recipe = Recipe.from_yaml(text)
    folders = {ref: Path(ref) for ref in recipe.references}
    out = stored(merge(recipe, folders, tmp_path / "out"))
    base, one, two = (stored(family[name]) for name in ("base", "finance", "math"))
    for name, tensor in out.items():
        b = base[name].double()
        votes = torch.stack([one[name].double() - b, 0.25 * (two[name].double() - b)])
        sign = torch.where(votes.sum(0) >= 0, 1.0, -1.0)
        agrees = votes.sign() == sign
        counted = (agrees * torch.tensor([1.0, 0.25]).view(2, *[1] * b.dim())).sum(0)
        expected = b + (votes * agrees).sum(0) / counted.where(counted != 0, 1.0)
        torch.testing.assert_close(tensor.double(), expected, rtol=1e-5, atol=1e-6)
