"""Studies: the form and its text, the plan, sentences beside what they concern, and the results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from db.engine import transaction
from db.queries import jobs as job_rows
from db.queries import studies as study_rows
from db.tables import StudyPoint
from jobs.studies import look, shown
from pages.components.studies import ahead, shipped, values
from pages.components.studies.draft import Draft
from pages.components.studies.values import BadValuesError
from studies.design import Design
from tests import study_example
from tests.pages.test_shell import text_of

Open = Callable[..., AppTest]
PROJECT = Path(__file__).resolve().parents[2]
DATA: dict[str, Any] = {
    "name": "small", "base": "sandbox/base",
    "experts": {"finance": "sandbox/finance", "math": "sandbox/math"},
    "methods": [{"method": "task_arithmetic", "grid": {"scale": [0.4, 1.0]}}],
    "suite": "sandbox", "limit": 16,
}  # fmt: skip


@pytest.fixture
def study(home: Path) -> int:
    """A study with made-up scores."""
    return study_example.fill(30, 6, 24)


# -- numbers, draft ---------------------------------------------------------------------------


def test_values_read_and_write() -> None:
    assert values.read("0.2, 0.5;0.8  1", "Density") == [0.2, 0.5, 0.8, 1.0]
    assert values.read("", "Density") == []
    assert values.write([0.2, 1.0, 1e-05]) == "0.2, 1, 1e-05"
    assert values.read("1 2", "Seeds", whole=True) == [1, 2]


@pytest.mark.parametrize("text", ["0.2, x", "nan", "1e999", "0,5.5.5", "1.5 2"])
def test_what_is_no_number_is_told(text: str) -> None:
    with pytest.raises(BadValuesError, match="Density"):
        values.read(text, "Density", whole=text.startswith("1.5"))


@pytest.mark.parametrize("key", [one.key for one in shipped.designs()])
def test_a_shipped_design_survives_the_form(key: str) -> None:
    found = shipped.design(key)
    assert found is not None
    design = Design.from_yaml(found.text)
    data, problems = Draft.from_design(design).to_mapping()
    assert not problems
    again = Design.from_mapping(data)
    assert again.hash == design.hash
    assert (again.name, again.note) == (design.name, design.note)


def test_options_and_words_survive_the_form() -> None:
    design = Design.from_mapping({**DATA, "split": None, "tasks": ["sandbox_math_words"],
        "carry": "best", "stages": [1, 2], "methods": [
            {"method": "ties", "grid": {"density": [0.5], "normalize": [True, False]},
             "options": {"scale": 0.7}},
            {"method": "dare_ties", "grid": {"density": [0.2]}, "seeds": [3, 4]},
        ]})  # fmt: skip
    data, problems = Draft.from_design(design).to_mapping()
    assert not problems
    assert Design.from_mapping(data).hash == design.hash


# -- where a sentence goes --------------------------------------------------------------------


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in DATA.items() if name != key}


BAD = {
    "an empty name": ({**DATA, "name": ""}, "name"),
    "no base": (without("base"), "models"),
    "no expert": ({**DATA, "experts": {}}, "models"),
    "one model twice": ({**DATA, "experts": {"a": "sandbox/math", "b": "sandbox/math"}}, "models"),
    "a model that is nowhere": ({**DATA, "base": "no such model !"}, "models"),
    "an empty grid": ({**DATA, "methods": [{"method": "ties"}]}, "method:ties"),
    "a density of 7": ({**DATA, "methods": [{"method": "ties", "grid": {"density": [7]}}]},
                       "method:ties"),
    "a stage without models": ({**DATA, "stages": [1, 2, 3]}, "stages"),
    "a suite that is not there": ({**DATA, "suite": "no-such-suite"}, "items"),
    "a task that is not there": ({**DATA, "tasks": ["no_such_task"]}, "items"),
    "one item": ({**DATA, "limit": 1}, "items"),
    "too few items": ({**DATA, "limit": 2, "tasks": ["sandbox_math_words"]}, "items"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_design_is_told_beside_what_it_concerns(sandbox: None, case: str) -> None:
    data, part = BAD[case]
    found = look.look(data)
    assert found.plan is None
    assert set(found.problems) == {part}, found.problems
    assert found.problems[part].endswith(".")


def test_several_parts_are_told_at_once(sandbox: None) -> None:
    found = look.look({**DATA, "name": "", "limit": 1, "methods": [{"method": "ties"}]})
    assert set(found.problems) == {"name", "method:ties"} or set(found.problems) == {
        "name", "method:ties", "items",
    }  # fmt: skip


def test_two_names_of_one_folder_are_a_problem_of_the_models(sandbox: None) -> None:
    folder = str(PROJECT / "sandbox" / "math")
    found = look.look({**DATA, "experts": {"a": "sandbox/math", "b": folder}})
    assert "same folder" in found.problems["models"]


# -- pages ------------------------------------------------------------------------------------


def test_the_list_offers_the_shipped_designs(open_page: Open) -> None:
    text = text_of(open_page("study_list"))
    for one in shipped.designs():
        assert one.title in text


def test_the_design_page_shows_the_plan(open_page: Open, sandbox: None) -> None:
    app = open_page("study_design")
    design = Design.from_yaml(app.text_area[0].value)
    assert design.name == "sandbox-three-stages"
    assert "149" in text_of(app)
    assert "points" in text_of(app)
    assert not app.error


def test_a_smaller_grid_is_a_smaller_plan(open_page: Open, sandbox: None) -> None:
    app = open_page("study_design")
    box = next(one for one in app.text_input if "grid_ties_density" in one.key)
    box.set_value("0.2").run()
    assert "#### 128" in text_of(app)  # 3 values less in each of 3 + 3 + 1 sets
    assert "density: [0.2]" in app.text_area[0].value
    box = next(one for one in app.text_input if "grid_ties_density" in one.key)
    box.set_value("0.2, nothing").run()
    (error,) = app.error
    assert "“nothing” is no number" in error.value
    assert app.button(key="study_start").disabled


def test_broken_text_leaves_the_form(open_page: Open, sandbox: None) -> None:
    app = open_page("study_design")
    app.text_area[0].set_value("methods: [").run()
    assert any("The form is unchanged." in one.value for one in app.error)
    app.button(key="study_start").click().run()
    assert not study_rows.studies()
    assert not job_rows.active()


def test_an_edited_text_is_the_form_s(open_page: Open, sandbox: None) -> None:
    app = open_page("study_design")
    design = Design.from_mapping(DATA)
    app.text_area[0].set_value(design.to_yaml()).run()
    assert not app.error
    name = next(one for one in app.text_input if "study_form_name" in one.key)
    assert name.value == "small"
    assert Design.from_yaml(app.text_area[0].value).hash == design.hash


def test_start_makes_the_study(open_page: Open, sandbox: None) -> None:
    app = open_page("study_design")
    app.text_area[0].set_value(Design.from_mapping(DATA).to_yaml()).run()
    app.button(key="study_start").click().run()
    (row,) = study_rows.studies()
    assert row.name == "small"
    assert row.group is not None
    assert job_rows.group(row.group)


def test_the_study_s_page(open_page: Open, study: int) -> None:
    app = open_page("study_detail", study=str(study))
    text = text_of(app)
    assert "made-up" in text
    found = shown.findings(study)
    for one in found.findings:
        assert one.verdict in text
    assert len(app.dataframe) == 1


@pytest.mark.parametrize("view", ["gains", "sensitivity", "similarity", "sheets", "emergence",
                                  "recovery", "independence", "pareto", "points"])  # fmt: skip
def test_every_view_opens_by_its_address(open_page: Open, study: int, view: str) -> None:
    app = open_page("study_detail", study=str(study), view=view)
    assert not app.error
    assert app.query_params["view"] in (view, [view])
    if view != "points":
        assert app.get("plotly_chart")


@pytest.mark.parametrize("split", [None, {"seed": 1, "share": 0.5}])
def test_a_picture_says_whether_its_best_is_flattered(
    home: Path, open_page: Open, split: dict[str, float] | None
) -> None:
    study = study_example.fill(12, 3, 24, split=split)
    text = text_of(open_page("study_detail", study=str(study), view="sensitivity"))
    assert ("There is no split" in text) == (split is None)


def test_a_point_opens_by_its_address(open_page: Open, study: int) -> None:
    key = shown.results(study).points[0].key
    app = open_page("study_detail", study=str(study), point=key)
    assert app.button(key="study_point_build")
    assert key in text_of(app)
    gone = open_page("study_detail", study=str(study), point="nothing")
    assert "point" not in gone.query_params


def test_a_point_s_scores_and_items(home: Path, study: int) -> None:
    results = shown.results(study)
    scored = results.points[0]
    found = shown.point(study, scored.key)
    assert found is not None
    assert found.models[1:] == ("base", "finance")
    for row in found.tasks:
        assert row[found.models[0]] == pytest.approx(results.score(scored, row["task"]))
        assert row["base"] == pytest.approx(results.score("base", row["task"]))
    task = results.tasks[0]
    rows = shown.items(study, scored.key, task.name)
    assert {row["doc_id"] for row in rows} == {doc for doc, _ in task.items}
    place = {doc: i for i, (doc, _) in enumerate(task.items)}
    for row in rows:
        assert row[scored.key] == scored.items[task.name][place[row["doc_id"]]]
        assert row["reported"] == task.held_out[place[row["doc_id"]]]
    told = shown.said(study, scored.key, task.name, rows[0]["doc_id"])
    assert told is not None
    assert "where does <b>Mira</b> live?" in told["prompt"]
    assert [one["model"] for one in told["answers"]] == [found.models[0], "base", "finance"]
    assert told["answers"][0]["score"] == rows[0][scored.key]
    assert told["answers"][1]["score"] == rows[0]["base"]


def test_a_failed_point_says_why(open_page: Open, study: int) -> None:
    key = shown.results(study).points[0].key
    with transaction() as opened:
        one = opened.query(StudyPoint).filter(StudyPoint.key == key).one()
        one.state, one.error = "failed", "The <b>file</b> is gone."
    app = open_page("study_detail", study=str(study), view="points")
    assert app.button(key="study_resume")
    assert "The <b>file</b> is gone." in app.dataframe[0].value["error"].tolist()
    app = open_page("study_detail", study=str(study), point=key)
    assert any("is gone" in one.value for one in app.error)


def test_build_takes_a_point(open_page: Open, study: int) -> None:
    scored = shown.results(study).points[0]
    app = open_page("build", point=f"{study}.{scored.key}")
    assert "sandbox/finance" in app.text_area(key="build_yaml").value
    wrong = open_page("build", point="7.nothing")
    assert any("no study" in one.value for one in wrong.error)


def test_an_address_that_names_nothing(open_page: Open) -> None:
    for number in ("99", "x", "-1", "9" * 30):
        assert "no such study" in text_of(open_page("study_detail", study=number))


def test_what_draws_a_view_is_fetched_ahead() -> None:
    import streamlit

    folder = Path(streamlit.__file__).parent / "static"
    for query, names in {
        "study=1&view=gains": ["PlotlyChart"], "study=1": ["DataFrame", "arrowFormatUtils"],
        "view=report": [], "": ["DataFrame", "arrowFormatUtils"],
    }.items():  # fmt: skip
        found = [one for one in ahead.links(query).decode().split(", ") if one]
        assert [one.split("/")[-1].split(".")[0] for one in found] == names
        for one in found:
            assert one.endswith(">; rel=modulepreload")
            assert (folder / one[1:].split(">")[0].removeprefix("./")).is_file()
