"""Schedules on the Build page: switched on, edited, drawn; the text always says the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from db.queries import jobs as job_rows
from merging.methods import METHODS
from merging.recipes.recipe import Recipe
from pages.components import gallery
from pages.components.build import method_picker
from tests.pages.widgets import of

Open = Callable[..., AppTest]
F = "build_form_"
SCALE = "option_task_arithmetic_scale"
DENSITY = "option_ties_density"


def yaml_of(app: AppTest) -> Recipe:
    return Recipe.from_yaml(app.text_area(key=of(app, "build_yaml")).value)


def edit(app: AppTest, text: str) -> AppTest:
    app.text_area(key=of(app, "build_yaml")).set_value(text)
    app.run()
    assert not app.exception
    return app


def switch(app: AppTest, name: str, mode: str) -> AppTest:
    app.menu_button(key=f"{F}~mode~{name}").click(mode).run()
    assert not app.exception, app.exception
    return app


def press(app: AppTest, part: str, name: str) -> AppTest:
    app.button(key=f"{F}~{part}~{name}").click().run()
    assert not app.exception, app.exception
    return app


def pictures(app: AppTest) -> list[dict[str, Any]]:
    """The figures on the page as Plotly gets them."""
    return [json.loads(one.proto.spec) for one in app.get("plotly_chart")]


def line(figure: dict[str, Any], name: str) -> list[float]:
    found = next(one for one in figure["data"] if one["name"] == name)
    return list(found["y"])


@pytest.fixture
def build(open_page: Open, sandbox: None) -> AppTest:
    """The page with two experts by task arithmetic."""
    return open_page("build", recipe="two-experts")


def test_a_plain_form_has_no_pictures(build: AppTest) -> None:
    assert not pictures(build)
    assert yaml_of(build).options["scale"] == 0.6


def test_a_gradient_is_edited_and_drawn(build: AppTest) -> None:
    switch(build, SCALE, "layers")
    assert yaml_of(build).options["scale"] == [0.0, 0.6]
    (figure,) = pictures(build)
    assert line(figure, "every part of the layer") == pytest.approx([0, 0.2, 0.4, 0.6])
    assert line(figure, "embed_tokens") == [0] and line(figure, "norm") == [0]
    press(build, "add", SCALE)
    assert yaml_of(build).options["scale"] == pytest.approx([0, 0.3, 0.6])
    build.slider(key=of(build, f"{F}~point1~{SCALE}")).set_value(1.5).run()
    assert yaml_of(build).options["scale"] == [0.0, 1.5, 0.6]
    assert line(pictures(build)[0], "every part of the layer") == pytest.approx([0, 1, 1.2, 0.6])
    press(build, "remove", SCALE)
    assert yaml_of(build).options["scale"] == [0.0, 1.5]
    assert build.button(key=f"{F}~remove~{SCALE}").disabled


@pytest.mark.parametrize(
    ("shape", "points"),
    [("Rising", [0, 0.6]), ("Falling", [0.6, 0]), ("Hill", [0, 0.6, 0]), ("Valley", [0.6, 0, 0.6])],
)
def test_ready_shapes(build: AppTest, shape: str, points: list[float]) -> None:
    switch(build, SCALE, "layers")
    press(build, f"shape{shape}", SCALE)
    assert yaml_of(build).options["scale"] == points


def test_back_to_one_value_is_what_it_was(build: AppTest) -> None:
    switch(build, SCALE, "layers")
    switch(build, SCALE, "modules")
    assert yaml_of(build).options["scale"][0] == {"filter": "self_attn", "value": [0.0, 0.6]}
    switch(build, SCALE, "one")
    switch(build, SCALE, "modules")
    switch(build, SCALE, "one")
    build.slider(key=of(build, f"{F}{SCALE}")).set_value(0.8).run()
    assert yaml_of(build).options["scale"] == 0.8
    assert not pictures(build)


def test_values_by_module_are_edited_and_drawn(build: AppTest) -> None:
    weight = "weight_sandbox/math"
    switch(build, weight, "modules")
    build.text_input(key=of(build, f"{F}~value0~{weight}")).set_value("0.2").run()
    build.selectbox(key=of(build, f"{F}~part1~{weight}")).select("Norms").run()
    build.text_input(key=of(build, f"{F}~value1~{weight}")).set_value("0, 0.5; 1").run()
    assert yaml_of(build).models[1].weight == [
        {"filter": "self_attn", "value": 0.2},
        {"filter": "norm", "value": [0.0, 0.5, 1.0]},
        {"value": 1.0},
    ]
    (figure,) = pictures(build)
    assert line(figure, "Attention") == [0.2] * 4
    assert line(figure, "Norms") == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert line(figure, "MLP") == [1.0] * 4
    press(build, "away2", weight)  # everything else: as without
    assert line(pictures(build)[0], "MLP") == [1.0] * 4
    press(build, "add", weight)
    assert [one.get("filter") for one in yaml_of(build).models[1].weight] == [
        "self_attn", "norm", "mlp"
    ]  # fmt: skip


def test_own_text_and_what_it_does_not_mean(build: AppTest) -> None:
    switch(build, SCALE, "modules")
    build.selectbox(key=of(build, f"{F}~part0~{SCALE}")).select("Own text …").run()
    for text, drawn in (("re:[qk]_proj", "k_proj, q_proj"), ("o_proj", "o_proj")):
        build.text_input(key=of(build, f"{F}~text0~{SCALE}")).set_value(text).run()
        build.text_input(key=of(build, f"{F}~value0~{SCALE}")).set_value("3").run()
        assert yaml_of(build).options["scale"][0] == {"filter": text, "value": 3.0}
        assert line(pictures(build)[0], drawn) == [3.0] * 4
    build.text_input(key=of(build, f"{F}~text0~{SCALE}")).set_value("self_atn").run()
    assert any("No tensor is called self\\_atn" in one.value for one in build.caption)


@pytest.mark.parametrize(
    ("part", "text", "said"),
    [
        ("value0", "much", "is no number"),
        ("value0", "", "is no number"),
        ("value0", "1, x", "is no number"),
        ("text0", "re:(", "regular expression"),
        ("text0", "re:(.+)+x", "search for hours"),
        ("text0", "", "part of a tensor's name"),
    ],
)
def test_what_is_not_right_yet_is_said_in_the_pictures_place(
    build: AppTest, part: str, text: str, said: str
) -> None:
    switch(build, SCALE, "modules")
    if part == "text0":
        build.selectbox(key=of(build, f"{F}~part0~{SCALE}")).select("Own text …").run()
    build.text_input(key=of(build, f"{F}~{part}~{SCALE}")).set_value(text).run()
    assert not build.exception
    assert any(said in one.value.replace("\\", "") for one in build.info)
    start = next(each for each in build.button if each.label.startswith("Merge"))
    assert start.disabled and not pictures(build)
    build.text_input(key=of(build, f"{F}~{part}~{SCALE}")).set_value("1").run()
    assert len(pictures(build)) == 1


def test_a_value_out_of_range_is_said_and_does_not_start(build: AppTest) -> None:
    switch(build, SCALE, "modules")
    build.text_input(key=of(build, f"{F}~value0~{SCALE}")).set_value("77").run()
    assert any("scale is 77" in one.value for one in build.info)


def test_own_values_of_a_model(build: AppTest) -> None:
    build.selectbox(key=of(build, f"{F}method")).select("ties").run()
    own = "own_ties_sandbox/math_density"
    assert "options" not in yaml_of(build).to_mapping()["models"][1]
    switch(build, own, "one")
    build.slider(key=of(build, f"{F}{own}")).set_value(0.7).run()
    assert yaml_of(build).models[1].options == {"density": 0.7}
    assert yaml_of(build).models[0].options == {}
    switch(build, own, "layers")
    assert yaml_of(build).models[1].options == {"density": [0.01, 0.7]}
    build.selectbox(key=of(build, f"{F}method")).select("task_arithmetic").run()
    assert yaml_of(build).models[1].options == {}
    build.selectbox(key=of(build, f"{F}method")).select("ties").run()
    assert yaml_of(build).models[1].options == {"density": [0.01, 0.7]}
    switch(build, own, "none")
    assert yaml_of(build).models[1].options == {}


EVERYTHING = r"""
name: everything
method: dare_ties
base: sandbox/base
models:
  - {model: sandbox/finance, weight: [0, 1], options: {density: [0.2, 0.9, 0.4]}}
  - model: sandbox/math
    weight:
      - {filter: mlp, value: 0.3}
      - {filter: 're:layers\.[01]\..*q_proj', value: [1, 0.5]}
      - {filter: '*', value: 0.1}
  - {model: sandbox/instruct, role: instruct, weight: 0.123456789}
options:
  density: [{filter: norm, value: 1}, {value: 0.5}]
  scale: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
  rescale: [{filter: mlp, value: none}, {value: 1/d}]
  election_weights: [true, false]
tokenizer: union
chat_template: chatml
pad_to_multiple_of: 64
tokens: {"<|end|>": {source: sandbox/base}}
seed: 3
"""
SLICED = """
method: slerp
models: [{model: sandbox/finance}, {model: sandbox/math}]
options: {t: [{filter: mlp, value: [0, 1]}, {value: 0.5}]}
slices:
  - sources: [{model: sandbox/finance, layers: [0, 2]}, {model: sandbox/math, layers: [0, 2]}]
    options: {t: 0.25}
  - sources: [{model: sandbox/finance, layers: [1, 4]}, {model: sandbox/math, layers: [1, 4]}]
"""


@pytest.mark.parametrize("text", [EVERYTHING, SLICED], ids=["everything", "sliced"])
def test_what_the_text_says_outlives_the_form(build: AppTest, text: str) -> None:
    recipe = Recipe.from_yaml(text)
    edit(build, text)
    assert not build.error
    assert yaml_of(build) == recipe
    # through the draft once more, and by way of another page
    build.text_input(key=of(build, f"{F}name")).set_value("other").run()
    assert yaml_of(build).hash == recipe.hash
    build.switch_page("model_list.py").run()
    build.switch_page("build.py").run()
    assert not build.exception
    assert yaml_of(build).hash == recipe.hash


def test_many_points_are_a_line_of_numbers(build: AppTest) -> None:
    edit(build, EVERYTHING)
    numbers = build.text_input(key=of(build, f"{F}~numbers~option_dare_ties_scale"))
    assert numbers.value.startswith("0.1, 0.2, 0.3")
    numbers.set_value("1 2 3").run()
    assert yaml_of(build).options["scale"] == [1.0, 2.0, 3.0]
    assert build.slider(key=of(build, f"{F}~point2~option_dare_ties_scale")).value == 3.0


def test_slices_are_shown_drawn_and_left_out(build: AppTest) -> None:
    edit(build, SLICED)
    table = next(
        one.value.to_dict("records") for one in build.dataframe if "Made from" in one.value
    )
    assert [row["Layers"] for row in table] == ["0–1", "2–4"]
    assert table[1]["Made from"] == "1–3 of sandbox/finance; 1–3 of sandbox/math"
    assert table[0]["Here only"] == "t 0.25"
    drawn = next(one for one in pictures(build) if one["data"][0]["type"] == "bar")
    assert [one["x"] for one in drawn["data"]] == [[2, 3], [2, 3]]
    build.button(key=f"{F}slices_away").click().run()
    assert not build.exception
    assert yaml_of(build).slices == ()


def test_a_frankenmerge_starts_from_the_form(open_page: Open, sandbox: None) -> None:
    app = open_page("build", recipe="six-layers-out-of-four")
    app.selectbox(key="build_suite").set_value("").run()
    next(each for each in app.button if each.label == "Merge").click().run()
    assert not app.exception and not app.error
    assert [row.kind for row in job_rows.recent()] == ["merge"]


def test_models_that_are_not_here_are_drawn_for_an_example(open_page: Open, home: object) -> None:
    app = open_page("build")
    edit(app, "method: task_arithmetic\nbase: org/b\nmodels: [{model: org/a}]\n"
              "options: {scale: [0, 1]}")  # fmt: skip
    assert len(line(pictures(app)[0], "every part of the layer")) == 24
    assert any("None of the models is on this machine" in one.value for one in app.caption)


def test_the_gallery_is_in_the_order_of_its_numbers() -> None:
    keys = [each.key for each in gallery.examples()]
    assert keys[0] == "instruct-without-instruction-data"
    assert keys.index("a-soup-of-siblings") < keys.index("more-chat-higher-up")


def test_every_method_has_a_family_and_can_be_taken(build: AppTest) -> None:
    families = method_picker.by_family()
    assert sorted(name for names in families.values() for name in names) == sorted(METHODS)
    assert "ties" in families["Choose among the changes"]
    assert "dare_ties" in families["Drop changes at random"]
    assert {"linear", "slerp"} <= set(families["Average the weights"])
    build.button(key=f"{F}method_take_slerp").click().run()
    assert not build.exception
    assert yaml_of(build).method == "slerp"


@pytest.mark.parametrize("name", list(METHODS))
def test_every_number_of_every_method_can_be_a_gradient(build: AppTest, name: str) -> None:
    build.selectbox(key=of(build, f"{F}method")).select(name).run()
    fields = [field for field in METHODS[name].fields() if field.kind in ("float", "int")]
    for field in fields:
        switch(build, f"option_{name}_{field.name}", "layers")
    assert len(pictures(build)) == len(fields)
    if METHODS[name].max_models != 1 and not METHODS[name].roles:
        options = yaml_of(build).options
        assert all(isinstance(options[field.name], list) for field in fields)


@pytest.mark.parametrize(
    "scale",
    [
        "[" + ", ".join(["1"] * 1000) + "]",
        "[" + ", ".join("{filter: mlp, value: 1}" for _ in range(300)) + "]",
        "[{filter: '<b>*x*</b>$y$', value: 1}, {filter: ':material/star:', value: [0, 1]}]",
        "[1.0000000000000002]",
        "{filter: mlp, value: [0.5]}",
    ],
    ids=["long", "many", "markup", "single", "alone"],
)
def test_odd_schedules_of_the_text_are_kept_and_drawn(build: AppTest, scale: str) -> None:
    text = f"method: task_arithmetic\nbase: sandbox/base\nmodels: [{{model: sandbox/math}}]\n" \
           f"options: {{scale: {scale}}}"  # fmt: skip
    edit(build, text)
    assert not build.error
    assert yaml_of(build) == Recipe.from_yaml(text)
    assert len(pictures(build)) == 1
    shown = "\n".join(one.value for kind in (build.markdown, build.caption) for one in kind)
    assert "<b>" not in shown.replace("\\<", "")
