"""Home, the model list and a model's own page."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from db.engine import transaction
from db.queries import models as model_rows
from db.tables import Model
from jobs.models import registry
from pages.components import gallery, problems
from tests import scores_example
from tests.pages.test_shell import text_of
from tests.pages.widgets import of

Open = Callable[..., AppTest]


@pytest.fixture
def scored(home: object) -> None:
    """A database full of models and scores."""
    scores_example.fill_family(items=20)


def test_home_of_a_newcomer(open_page: Open, sandbox: None) -> None:
    app = open_page()
    assert app.button(key="home_example")
    assert "5 models to merge · 0 merges made" in text_of(app)
    assert len(app.get("page_link")) >= 6  # the gallery


def test_home_with_merges_shows_scores_against_the_best_parent(
    open_page: Open, scored: None
) -> None:
    app = open_page()
    assert app.metric
    assert any("points" in metric.delta for metric in app.metric)
    assert all(metric.value.endswith("%") or metric.value == "not scored" for metric in app.metric)


def test_the_list_has_every_model(open_page: Open, sandbox: None) -> None:
    app = open_page("model_list")
    frame = app.dataframe[0].value
    assert list(frame["Name"]) == [row.name for row in model_rows.models()]
    assert set(frame["Role"]) == {"base", "expert", "instruct"}
    app.text_input(key="model_search").set_value("japan").run()
    assert list(app.dataframe[0].value["Name"]) == ["sandbox/japanese"]
    app.text_input(key="model_search").set_value("zzz").run()
    assert "No model matches" in text_of(app)


def test_an_empty_list_says_what_to_do(open_page: Open) -> None:
    app = open_page("model_list")
    assert "No model is registered yet" in text_of(app)
    assert app.text_input(key="models_first_ref")


def test_archived_models_are_hidden(open_page: Open, sandbox: None) -> None:
    from jobs.models import registry

    registry.archive("sandbox/math")
    assert "sandbox/math" not in list(open_page("model_list").dataframe[0].value["Name"])
    shown = open_page("model_list", with_archived="true").dataframe[0].value["Name"]
    assert "sandbox/math (archived)" in list(shown)


@pytest.mark.parametrize(
    "parameters", [{}, {"id": "999"}, {"id": "x"}, {"id": "9" * 30}, {"name": "no such"}]
)
def test_a_model_that_is_not_there(open_page: Open, parameters: dict[str, str]) -> None:
    app = open_page("model_detail", **parameters)
    assert "There is no such model" in app.warning[0].value


def test_a_merge_shows_lineage_recipe_and_scores(open_page: Open, scored: None) -> None:
    merge = next(row for row in model_rows.models(role="merge") if row.parents)
    app = open_page("model_detail", id=str(merge.id))
    assert app.title[0].value == merge.name
    links = [link.value for link in app.get("page_link")]
    for parent in merge.parents:
        assert any(parent.name in link for link in links)
    table = app.dataframe[0].value
    assert "all tasks" in list(table["Domain"]) and merge.name in table.columns


def test_a_merge_can_be_cloned(open_page: Open, sandbox: None) -> None:
    with transaction() as opened:
        merge = Model(
            name="m", source="", role="merge", recipe_yaml=gallery.examples()[3].text, method="ties"
        )
        opened.add(merge)
        opened.flush()
        number = merge.id
    app = open_page("model_detail", id=str(number))
    labels = {one.proto.label: one.proto.disabled for one in app.get("download_button")}
    assert labels["mergekit YAML"] is False
    next(button for button in app.button if button.label == "Clone recipe").click().run()
    assert not app.exception
    assert app.selectbox(key=of(app, "build_form_method")).value == "ties"
    assert app.text_input(key=of(app, "build_form_name")).value == ""


def test_a_plain_model_shows_its_facts_and_card_as_text(open_page: Open, sandbox: None) -> None:
    app = open_page("model_detail", name="sandbox/base")
    text = text_of(app)
    row = model_rows.model("sandbox/base")
    assert row and row.architecture
    assert problems.as_text(row.architecture) in text and "no chat template" in text
    app.button(key="detail_archive").click().run()
    row = model_rows.model("sandbox/base")
    assert row and row.archived


def test_benchmark_from_the_model_page(open_page: Open, sandbox: None) -> None:
    from db.queries import jobs as job_rows

    app = open_page("model_detail", name="sandbox/math")
    app.number_input(key="detail_limit").set_value(5)
    app.button(key="detail_start").click().run()
    assert not app.error
    (job,) = job_rows.recent()
    assert job.kind == "evaluate" and job.spec["limit"] == 5


def test_a_model_whose_folder_is_gone_says_so(
    open_page: Open, home: Path, sandbox: None, tmp_path: Path
) -> None:
    folder = tmp_path / "short-lived"
    shutil.copytree(registry.SANDBOX / "finance", folder)
    number = str(registry.register_model(str(folder)))
    assert not open_page("model_detail", id=number).main.warning
    shutil.rmtree(folder)
    (warning,) = open_page("model_detail", id=number).main.warning
    assert "is gone" in warning.value
