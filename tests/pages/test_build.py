"""The Build page: form and YAML over one recipe, checks before the start, one press."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from db.engine import transaction
from db.queries import jobs as job_rows
from db.tables import Model
from jobs.models import registry
from merging.methods import METHODS
from merging.recipes.recipe import Recipe
from pages.components import gallery
from tests.pages.widgets import of

Open = Callable[..., AppTest]
F = "build_form_"


def yaml_of(app: AppTest) -> Recipe:
    return Recipe.from_yaml(app.text_area(key=of(app, "build_yaml")).value)


def edit(app: AppTest, text: str) -> AppTest:
    app.text_area(key=of(app, "build_yaml")).set_value(text)
    app.run()
    assert not app.exception
    return app


@pytest.fixture
def build(open_page: Open, sandbox: None) -> AppTest:
    return open_page("build")


def test_it_opens_with_the_first_example_ready_to_start(build: AppTest) -> None:
    assert yaml_of(build) == Recipe.from_yaml(gallery.examples()[0].text)
    start = next(each for each in build.button if each.label == "Merge and benchmark")
    assert not start.disabled
    assert any("Memory" in bar.text for bar in build.get("progress"))


def test_only_suites_whose_files_are_there_are_offered(
    open_page: Open, sandbox: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRUCIBLE_DATA_DIR", str(tmp_path))
    page = open_page("build")
    offered = page.selectbox(key="build_suite").options
    assert offered[0].startswith("Sandbox") and not any("TAT-QA" in one for one in offered)
    notes = [note.value for note in page.caption if "not on this machine" in note.value]
    assert any("TAT-QA" in note for note in notes)
    (tmp_path / "tatqa").mkdir()
    (tmp_path / "tatqa" / "tatqa_dataset_test_gold.json").touch()
    page.run()
    assert any("TAT-QA" in one for one in page.selectbox(key="build_suite").options)


@pytest.mark.parametrize("name", list(METHODS))
def test_every_method_has_its_widgets(build: AppTest, name: str) -> None:
    build.selectbox(key=of(build, f"{F}method")).select(name).run()
    assert not build.exception
    for field in METHODS[name].fields():
        assert build.get_by_key(of(build, f"{F}option_{name}_{field.name}")).value == field.default
    if METHODS[name].max_models != 1:  # two are chosen at the start, which suits all the others
        assert yaml_of(build).method == name


def test_the_form_writes_the_yaml(build: AppTest) -> None:
    build.slider(key=of(build, f"{F}option_instruction_residual_alpha")).set_value(0.75).run()
    assert yaml_of(build).options["alpha"] == 0.75
    build.selectbox(key=of(build, f"{F}method")).select("task_arithmetic").run()
    build.multiselect(key=of(build, f"{F}experts")).set_value(
        ["sandbox/math", "sandbox/japanese"]
    ).run()
    build.number_input(key=of(build, f"{F}weight_sandbox/math")).set_value(0.3).run()
    recipe = yaml_of(build)
    assert [(one.model, one.weight) for one in recipe.models] == [
        ("sandbox/math", 0.3), ("sandbox/japanese", 1.0), ("sandbox/instruct", 1.0)
    ]  # fmt: skip


def test_the_yaml_writes_the_form(build: AppTest) -> None:
    edit(build, gallery.examples()[3].text)
    assert build.selectbox(key=of(build, f"{F}method")).value == "ties"
    assert build.slider(key=of(build, f"{F}option_ties_density")).value == 0.3
    assert len(build.multiselect(key=of(build, f"{F}experts")).value) == 3
    assert build.text_input(key=of(build, f"{F}name")).value == "three-experts-ties"


def test_a_recipe_of_mergekit_writes_the_form(build: AppTest) -> None:
    edit(
        build,
        """
merge_method: ties
base_model: sandbox/base
models:
  - {model: sandbox/finance, parameters: {weight: 0.5}}
  - {model: sandbox/math, parameters: {weight: 0.25}}
parameters: {density: 0.4, lambda: 0.9}
tokenizer_source: base
""",
    )
    assert not build.error
    assert build.selectbox(key=of(build, f"{F}method")).value == "ties"
    assert build.slider(key=of(build, f"{F}option_ties_density")).value == 0.4
    assert build.slider(key=of(build, f"{F}option_ties_scale")).value == 0.9
    assert build.toggle(key=of(build, f"{F}option_ties_election_weights")).value is True
    assert build.number_input(key=of(build, f"{F}weight_sandbox/math")).value == 0.25
    start = next(each for each in build.button if each.label == "Merge and benchmark")
    assert not start.disabled


def test_the_recipe_can_be_had_for_mergekit(build: AppTest) -> None:
    def button() -> Any:
        return next(one for one in build.get("download_button") if "mergekit" in one.proto.label)

    edit(build, gallery.examples()[3].text)
    assert not button().proto.disabled
    edit(
        build, build.text_area(key=of(build, "build_yaml")).value.replace("chat_template: auto", "")
    )
    edit(build, build.text_area(key=of(build, "build_yaml")).value + "\nchat_template: none\n")
    assert button().proto.disabled and "chat_template none" in button().proto.help


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("method: [", "not valid YAML"),
        ("", "recipe is empty"),
        ("method: tiess\nmodels: [{model: a}]", "ties"),
        ("method: ties\nbase: b\nmodels: [{model: a}]\noptions: {densiti: 1}", "density"),
        ("method: ties\nbase: b\nmodels: [{model: a}]\noptions: {density: 7}", "density is 7"),
        ("method: ties\nbase: b\nmodels: [{model: a, weight: .nan}]", "weight"),
        ("merge_method: ties", "mergekit"),
        ("<script>alert(1)</script>", "must be keys and values"),
        ("a" * 300_000, "larger than 256 KB"),
    ],
)
def test_nonsense_gets_one_sentence_and_the_form_stays(
    build: AppTest, text: str, said: str
) -> None:
    edit(build, text)
    (error,) = build.error
    assert said in error.value.replace("\\", "")
    assert error.value.endswith("The form is unchanged.")
    assert build.selectbox(key=of(build, f"{F}method")).value == "instruction_residual"
    # what was typed stays, so that it can be mended; the form overwrites it when it is used
    assert build.text_area(key=of(build, "build_yaml")).value == text
    build.slider(key=of(build, f"{F}option_instruction_residual_alpha")).set_value(0.5).run()
    assert not build.error
    assert yaml_of(build).options["alpha"] == 0.5


def test_a_typed_name_is_in_the_yaml_at_once(build: AppTest) -> None:
    build.text_input(key=of(build, f"{F}name")).set_value("mine").run()
    assert yaml_of(build).name == "mine"


def test_an_incomplete_form_says_what_is_missing(build: AppTest) -> None:
    build.multiselect(key=of(build, f"{F}experts")).set_value([]).run()
    assert len(build.info) == 1
    start = next(each for each in build.button if each.label == "Merge and benchmark")
    assert start.disabled


def test_an_unknown_model_is_said_before_the_start(build: AppTest) -> None:
    edit(build, "method: task_arithmetic\nbase: /nowhere/at/all\nmodels: [{model: sandbox/math}]")
    said = "\n".join(e.value for kind in (build.error, build.markdown, build.info) for e in kind)
    assert "nowhere" in said
    start = next(each for each in build.button if each.label == "Merge and benchmark")
    assert start.disabled


def test_the_draft_outlives_a_page_change(build: AppTest) -> None:
    build.slider(key=of(build, f"{F}option_instruction_residual_alpha")).set_value(0.35).run()
    build.switch_page("model_list.py").run()
    build.switch_page("build.py").run()
    assert build.slider(key=of(build, f"{F}option_instruction_residual_alpha")).value == 0.35


def test_an_example_opens_from_a_link(open_page: Open, sandbox: None) -> None:
    app = open_page("build", recipe="three-experts-ties")
    assert yaml_of(app).method == "ties"
    app = open_page("build", recipe="no-such-thing")
    assert len(app.warning) >= 1


@pytest.mark.parametrize("number", ["999", "-1", "x", "1e9", "1"])
def test_a_clone_of_nothing_says_so(open_page: Open, sandbox: None, number: str) -> None:
    app = open_page("build", **{"from": number})
    assert any("names no merge" in warning.value for warning in app.warning)


def test_adding_a_folder_without_weights_is_one_sentence(build: AppTest, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for ref in (str(tmp_path / "empty"), "/no/such/folder", "not a model at all", "   "):
        build.text_input(key="build_add_ref").set_value(ref)
        next(b for b in build.button if b.label == "Add model").click().run()
        assert not build.exception
        assert len(build.error) == 1, ref
        assert "Traceback" not in build.error[0].value


def test_adding_a_folder_makes_it_selectable(build: AppTest, tmp_path: Path, project: Path) -> None:
    import shutil

    shutil.copytree(project / "sandbox" / "math", tmp_path / "my-math")
    build.text_input(key="build_add_ref").set_value(str(tmp_path / "my-math"))
    build.text_input(key="build_add_name").set_value("my-math")
    next(b for b in build.button if b.label == "Add model").click().run()
    assert not build.error
    assert "my-math" in build.multiselect(key=of(build, f"{F}experts")).options


def test_one_press_queues_the_merge_and_the_scores(build: AppTest) -> None:
    next(each for each in build.button if each.label == "Merge and benchmark").click().run()
    assert not build.exception
    rows = job_rows.recent()
    assert sorted(row.kind for row in rows) == ["evaluate"] * 4 + ["merge"]
    assert "Merge finance-chat" in [title.value for title in build.title]


def test_without_a_suite_it_only_merges(build: AppTest) -> None:
    build.selectbox(key="build_suite").set_value("").run()
    next(each for each in build.button if each.label == "Merge").click().run()
    assert [row.kind for row in job_rows.recent()] == ["merge"]


def test_a_taken_name_gets_a_number_and_says_so(build: AppTest) -> None:
    with transaction() as opened:
        opened.add(Model(name="finance-chat", source="", role="merge"))
    build.run()
    assert any("**finance-chat-2**" in caption.value for caption in build.caption)
    next(each for each in build.button if each.label == "Merge and benchmark").click().run()
    assert any(row.title == "Merge finance-chat-2" for row in job_rows.recent())


def test_a_model_on_the_hub_is_downloaded_by_the_job(build: AppTest) -> None:
    registry.register_model("someone/some-model", role="expert")
    build.run()
    build.multiselect(key=of(build, f"{F}experts")).set_value(["someone/some-model"]).run()
    assert any("downloads it first" in caption.value for caption in build.caption)
    start = next(each for each in build.button if each.label == "Merge and benchmark")
    assert not start.disabled
    start.click().run()
    assert not build.exception and not build.error
    assert len(job_rows.recent()) == 5


@pytest.mark.parametrize("name", ["../../etc", "a\nb", "x" * 99, "....", "日本語", "a b"])
def test_odd_names_are_taken_or_refused_in_a_sentence(build: AppTest, name: str) -> None:
    build.text_input(key=of(build, f"{F}name")).set_value(name).run()
    assert not build.exception
    start = next(each for each in build.button if each.label == "Merge and benchmark")
    if not start.disabled:
        start.click().run()
    assert not build.exception
    assert bool(job_rows.recent()) != bool(build.error)
