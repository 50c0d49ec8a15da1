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
from merging.mergekit.document import KEYS
from merging.mergekit.forms import FORMS
from merging.methods import METHODS
from merging.recipes.recipe import Recipe
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
    "task_arithmetic": {"scale": 1.0, "normalize": False},
    "ties": {"density": 1.0, **ELECTED, "normalize": True},
    "dare_linear": {"density": 1.0, "scale": 1.0, "rescale": "l1", "normalize": False},
    "dare_ties": {"density": 1.0, "rescale": "l1", **ELECTED, "normalize": False},
    "della_linear": {
        "density": 1.0,
        "epsilon": 0.0,
        "scale": 1.0,
        "rescale": "l1",
        "normalize": False,
    },
    "della": {"density": 1.0, "epsilon": 0.0, "rescale": "l1", **ELECTED, "normalize": True},
    "breadcrumbs": {"density": 1.0, "gamma": 0.01, "scale": 1.0, "normalize": False},
    "breadcrumbs_ties": {"density": 1.0, "gamma": 0.01, **ELECTED, "normalize": False},
    "model_stock": {"clamp": False, "per": "tensor"},
    "arcee_fusion": {"fence": 1.5},
    "sce": {"select_topk": 1.0},
    "passthrough": {"scale": 1.0},
}


def minimal(method: str, **parameters: Any) -> dict[str, Any]:
    """The shortest recipe of a method, given as parsed YAML."""
    form = FORMS[method]
    own = {"weight": 0.5} if form.has("weight") else {}
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


@pytest.mark.parametrize("method", FORMS)
def test_every_option_is_a_parameter_of_mergekits_or_fixed(method: str) -> None:
    """An option that is added to a method must be given a meaning in mergekit's recipes."""
    form = FORMS[method]
    mapped = {one.option for one in form.parameters} | set(form.fixed)
    mapped |= {"per"} if form.has("nuslerp_flatten") else set()
    assert mapped - {None} == set(METHODS[method].options.model_fields)


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


def slices(*parts: list[tuple[str, list[int]]], **more: Any) -> list[dict[str, Any]]:
    return [
        {"sources": [{"model": name, "layer_range": layers} for name, layers in part], **more}
        for part in parts
    ]


def entry(**changes: Any) -> list[dict[str, Any]]:
    return [{"model": "a", "parameters": {"weight": 1.0}, **changes}]


TWO = [("a", [0, 2]), ("b", [0, 2])]
ATTENTION = {"filter": "self_attn", "value": 0.5}
STACK = {"merge_method": "passthrough", "slices": slices([("a", [0, 2])], [("b", [1, 2])])}


def stack(*parts: list[tuple[str, list[int]]], **more: Any) -> dict[str, Any]:
    return {**STACK, "slices": slices(*parts, **more)}


def module(content: Any) -> dict[str, Any]:
    return {"merge_method": "passthrough", "modules": content}


REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    (changed(slices=slices(TWO)), ['both "models" and "slices"']),
    (changed(modules={"default": {"models": entry()}}), ['"modules" beside others']),
    (module({"a": {}, "b": {}}), ["2 modules", "cannot honour"]),
    (module({"a": {}}), ['needs "models" or "slices"']),
    (module({"a": {"slice": []}}), ["slice", 'mean "slices"']),
    (module([1]), ['"modules"']),
    ({**STACK, "slices": [{"source": []}]}, ["slices.1", '"sources"']),
    ({**STACK, "slices": [{"sources": []}]}, ["slices.1", '"sources"']),
    ({**STACK, "slices": 3}, ['"slices"', "a list"]),
    (stack([("a", [0, 2])], basemodel="x"), ["basemodel", "base_model"]),
    (stack([("a", [2, 2])]), ["slices.1.sources.1.layer_range", "[2, 2]"]),
    (stack([("a", [0, 1.5])]), ["layer_range", "1.5"]),
    (stack([("a", [0, 10**9])]), ["layer_range"]),
    (stack(TWO), ["takes 1 model"]),
    (stack([("a", [0, 2]), ("a", [0, 2])]), ["a stands in slices.1 twice"]),
    ({**STACK, "base_model": "c"}, ["base_model", "config and tokenizer alone"]),
    ({"merge_method": "linear", "slices": slices(TWO)}, ["needs a weight", '"a"']),
    (
        {**stack([("a", [0, 2]), ("b", [0, 1])]), "merge_method": "karcher"},
        ["slices.1 takes 2 layers of a and 1 of b"],
    ),
    (
        {"merge_method": "ties", "slices": slices(TWO), "base_model": "c"},
        ["slices.1 lacks layers of its base_model c"],
    ),
    ({"merge_method": "ties", "slices": slices(TWO)}, ["needs a base_model"]),
    (
        {"merge_method": "nuslerp", "slices": [*slices(TWO), *slices(TWO, base_model="b")]},
        ["base_model in some slices"],
    ),
    (changed(basemodel="x"), ["basemodel", 'mean "base_model"']),
    (changed(merge_method="tise"), ["tise", 'mean "ties"']),
    (changed(merge_method="nearswap"), ["nearswap", "cannot honour"]),
    (changed(merge_method=3), ["merge method"]),
    (changed(base_model=None), ["needs a base_model"]),
    (changed(models=None), ['"models"']),
    (changed(models=[]), ['"models"']),
    (changed(models=["a"]), ["models.1", '"model"']),
    (changed(models=[{"model": "base"}]), ["no model besides"]),
    (changed(models=entry(weight=1)), ["weight", "key of models.1"]),
    (changed(models=entry(layer_range=[0, 1])), ["layer_range", "key of models.1"]),
    (changed(models=entry(model="a+b+c")), ["models.1.model", "MODEL+ADAPTER"]),
    (changed(models=entry(model="a@v1+b")), ["a revision of the model below the adapter"]),
    (changed(models=entry(model="a@v1@v2")), ["models.1.model", "MODEL@REVISION"]),
    (changed(models=entry(model="a@")), ["models.1.model", "MODEL@REVISION"]),
    (changed(models=entry(model={"path": "a"})), ["path", "key of models.1.model"]),
    (changed(models=entry(model={"model": {"path": 1}})), ["models.1.model.model", "a path"]),
    (
        changed(models=entry(model={"model": "a", "override_architecture": "X"})),
        ["override_architecture"],
    ),
    (changed(models=[*entry(), *entry()]), ["a stands", "twice"]),
    (changed(models=entry(parameters={})), ["needs a weight", '"a"']),
    (changed(models=entry(parameters=[1])), ["models.1.parameters"]),
    (changed(models=entry(parameters={"weight": [ATTENTION]})), ["filters of weight", '"a"']),
    (changed(models=entry(parameters={"weight": []})), ["weight is an empty list"]),
    (changed(models=entry(parameters={"weight": [[1]]})), ["list inside a list"]),
    (changed(models=entry(parameters={"weight": [1, ATTENTION]})), ["mixes values and filters"]),
    (
        changed(models=entry(parameters={"weight": [{"pattern": "mlp", "value": 1}]})),
        ["pattern", '"filter"'],
    ),
    (changed(models=entry(parameters={"weight": "1"})), ["weight must be a number"]),
    (changed(models=entry(parameters={"weight": True})), ["weight must be a number"]),
    (changed(models=entry(parameters={"weight": [1, "x"]})), ["weight must be a number"]),
    (changed(models=entry(parameters={"weight": 1, "densty": 0.1})), ["densty", '"density"']),
    (changed(parameters={"lamda": 0.1}), ["lamda", '"lambda"']),
    (changed(parameters={"gamma": 0.1}), ["gamma", "parameter of mergekit's ties"]),
    (changed(parameters={"normalize": 1}), ["normalize must be true or false"]),
    (changed(parameters={"normalize": [True, 1]}), ["normalize must be true or false"]),
    (changed(parameters={"rescale": True}), ["rescale true", "Only false"]),
    (changed(parameters={"rescale": [True, False]}), ["rescale", "Only false"]),
    (changed(parameters={"lambda": 10**400}), ["parameters.lambda", "no sensible number"]),
    (changed(parameters={"lambda": float("nan")}), ["scale must be a finite number"]),
    (changed(parameters={"density": 0}), ["density is 0"]),
    (changed(parameters={"density": [1, 0]}), ["density is 0"]),
    (changed("karcher", parameters={"max_iter": [1, 9]}), ["list of values for max_iter"]),
    (changed("karcher", parameters={"max_iter": 1.5}), ["max_iter"]),
    (changed("karcher", parameters={"tol": 1e-3}), ["tol", "Only 1e-05"]),
    (changed("della", parameters={"density": [1, 0.5]}), ["density of 1 in some tensors"]),
    (changed("slerp", parameters={}), ["needs the parameter t"]),
    (changed("slerp", parameters={"t": [ATTENTION]}), ["filters of t"]),
    (changed("slerp", models=[{"model": "a"}, {"model": "b"}]), ["takes 2", "has 3"]),
    (changed("linear", base_model="else"), ["needs a weight", '"else"']),
    (changed("passthrough", base_model="else"), ["takes 1 model", "has 2"]),
    (changed(tokenizer_source="elsewhere"), ["elsewhere"]),
    (changed(tokenizer_source="base", tokenizer={}), ["keep one of them"]),
    (changed("linear", tokenizer_source="base"), ["no base_model"]),
    (changed(tokenizer="union"), ['"tokenizer"']),
    (changed(tokenizer={"sources": "base"}), ["sources", 'mean "source"']),
    (changed(tokenizer={"tokens": ["x"]}), ["tokenizer.tokens"]),
    (changed(tokenizer={"tokens": {"x": {"sorce": "a"}}}), ["sorce", '"source"']),
    (changed(tokenizer={"tokens": {"x": {"source": "c"}}}), ['"c"', "no model of the recipe"]),
    (changed(tokenizer={"pad_to_multiple_of": 0}), ["pad_to_multiple_of"]),
    (changed(chat_template="chatml2"), ['chat_template "chatml2"', "cannot honour"]),
    (changed(chat_template="base"), ['chat_template "base"', "cannot honour"]),
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


def test_idle_parameters_change_nothing() -> None:
    data = minimal("task_arithmetic", density=0.1, rescale=True, int8_mask=True)
    data["models"][0]["parameters"] |= {"normalize": True, "density": [], "lambda": 3}
    assert Recipe.from_mapping(data) == Recipe.from_mapping(minimal("task_arithmetic"))
    data = minimal("slerp", normalize=True, int8_mask=True)
    data["models"][0]["parameters"] |= {"weight": "much"}
    assert Recipe.from_mapping(data) == Recipe.from_mapping(minimal("slerp"))


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
