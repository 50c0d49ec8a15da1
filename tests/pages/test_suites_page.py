"""Suites and data: what is ready and under which terms, the folder, and suites of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from streamlit.testing.v1 import AppTest

from db.engine import session
from db.tables import Job
from evaluation.suites import list_suites, load_suite
from jobs.errors import JobError
from jobs.suites import own_suites
from tests.evaluation import published as made
from tests.pages.conftest import Open
from tests.pages.test_shell import text_of


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder and an empty cache of the Hub's."""
    monkeypatch.setenv("CRUCIBLE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    return tmp_path / "data"


def jobs() -> list[tuple[str, dict[str, object]]]:
    with session() as opened:
        return [(row.kind, row.spec) for row in opened.query(Job)]


def test_states_and_terms_are_said(open_page: Open, data: Path) -> None:
    page = open_page("suites")
    said = text_of(page)
    assert "3 datasets missing" in said and ":red-badge[:material/close: data missing]" in said
    assert "CC BY\\-NC" in said or "CC BY-NC" in said
    assert "not for commercial use" in said and "could not be reproduced word for word" in said
    made.write_everything(data)
    again = open_page("suites")
    assert text_of(again).count("material/check: ready") == 3  # sandbox, and the two of finance


def test_getting_data_is_a_job(open_page: Open, home: Path, data: Path) -> None:
    page = open_page("suites")
    page.button(key="fetch_finance-18").click().run()
    assert ("data", "finance-18") in [(kind, spec.get("suite")) for kind, spec in jobs()]
    assert not any(button.key == "fetch_jfinqa" for button in page.button)  # the Hub has none of it


def test_the_folder_is_kept_and_a_wrong_one_refused(
    open_page: Open, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evaluation.published.folder import data_folder

    monkeypatch.delenv("CRUCIBLE_DATA_DIR", raising=False)
    page = open_page("suites", suites_tab="Data folder")
    page.text_input(key="data_folder_path").set_value(str(tmp_path / "nowhere"))
    next(b for b in page.button if b.label == "Keep").click().run()
    assert "There is no folder" in page.error[0].value
    (tmp_path / "mine").mkdir()
    page.text_input(key="data_folder_path").set_value(str(tmp_path / "mine"))
    next(b for b in page.button if b.label == "Keep").click().run()
    assert not page.error and data_folder() == tmp_path / "mine"
    page.text_input(key="data_folder_path").set_value("")
    next(b for b in page.button if b.label == "Keep").click().run()
    assert data_folder().name == "benchmarks"


def make(open_page: Open, name: str) -> AppTest:
    page = open_page("suites", suites_tab="Make a suite")
    page.session_state["maker_tasks"] = ["mmlu_stem", "hellaswag"]
    page.text_input(key="maker_name").set_value(name)
    page.number_input(key="maker_shots").set_value(2)
    page.segmented_control(key="maker_strip_thinking").set_value("Off")
    page.run()
    return next(b for b in page.button if b.label == "Keep the suite").click().run()


def test_a_suite_is_made_chosen_and_deleted(open_page: Open, home: Path, data: Path) -> None:
    page = make(open_page, "My knowledge")
    assert "is kept" in page.success[0].value
    content = yaml.safe_load((home / "suites" / "My-knowledge.yaml").read_text())
    assert content["settings"] == {"num_fewshot": 2, "strip_thinking": False}
    suite = load_suite("My-knowledge")
    assert suite.name == "My-knowledge" and "mmlu_anatomy" in suite.tasks
    assert suite.settings.num_fewshot == 2 and suite.domain("mmlu_anatomy") == "mmlu_stem"
    build = open_page("build")
    assert any("My knowledge" in one for one in build.selectbox(key="build_suite").options)
    page = open_page("suites")
    page.button(key="delete_My-knowledge").click().run()
    assert "My-knowledge" not in [one.name for one in list_suites()]


def test_searching_the_index(open_page: Open, home: Path) -> None:
    page = open_page("suites", suites_tab="Make a suite")
    page.text_input(key="maker_search").set_value("mmlu anatomy").run()
    assert "mmlu_anatomy" in list(page.dataframe[0].value["Name"])
    page.text_input(key="maker_search").set_value("hellaswg").run()
    assert "Did you mean hellaswag" in page.info[0].value


def test_without_an_index_there_is_one_button(
    open_page: Open, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evaluation.harness.catalogue.installed_version", lambda: "9.9")
    monkeypatch.setattr("jobs.suites.harness_names.installed_version", lambda: "9.9")
    page = open_page("suites", suites_tab="Make a suite")
    next(b for b in page.button if b.label == "Index the tasks").click().run()
    assert ("catalogue", {}) in jobs()


@pytest.mark.parametrize(
    ("name", "tasks", "said"),
    [
        ("  ", ["hellaswag"], "Give the suite a name"),
        ("general", ["hellaswag"], "ships already"),
        ("../../x/y", ["hellaswg"], "Did you mean 'hellaswag'"),
        ("x", ["mmlu", "mmlu_anatomy"], "named twice"),
    ],
)
def test_a_suite_that_cannot_be_is_refused_and_leaves_nothing(
    home: Path, name: str, tasks: list[str], said: str
) -> None:
    with pytest.raises(Exception, match=said) as caught:
        own_suites.save(name, tasks, {})
    assert getattr(caught.value, "exit_code", None) is not None
    assert not list(home.rglob("*.yaml*")) and own_suites.names() == []


def test_a_name_never_becomes_a_path(home: Path) -> None:
    assert own_suites.save("../../x/y", ["hellaswag"], {}) == "x-y"
    assert (home / "suites" / "x-y.yaml").is_file()
    with pytest.raises(JobError, match="no suite nobody"):
        own_suites.delete("nobody")


def test_settings_of_one_run_are_part_of_what_is_scored(
    open_page: Open, home: Path, sandbox: None, data: Path
) -> None:
    page = open_page("build")
    page.number_input(key="build_shots").set_value(3).run()
    page.segmented_control(key="build_apply_chat_template").set_value("On").run()
    start = next(b for b in page.button if b.label == "Merge and benchmark")
    start.click().run()
    suites = {spec.get("suite") for kind, spec in jobs() if kind == "evaluate"}
    assert suites == {"sandbox@apply_chat_template=true,num_fewshot=3"}


def test_terms_and_gaps_stand_beside_the_choice(open_page: Open, sandbox: None, data: Path) -> None:
    page = open_page("build")
    page.selectbox(key="build_suite").select("finance-18").run()
    said = text_of(page)
    assert "not for commercial use" in said and "Terms of the data" in said
    assert "ConvFinQA" in said and "left out" in said and "downloaded from the Hub" in said
    assert page.selectbox(key="build_version").options[0] == "As the suite says"


def test_a_broken_file_is_named_and_the_others_stay(open_page: Open, home: Path) -> None:
    own_suites.save("good", ["hellaswag"], {})
    (home / "suites" / "bad.yaml").write_text("tasks: [")
    (home / "suites" / "stale.yaml").write_text("name: general\ntasks: [no_such_task]\n")
    page = open_page("suites")
    warned = " ".join(warning.value for warning in page.warning)
    assert "bad.yaml" in warned and "not valid YAML" in warned and "no\\_such\\_task" in warned
    assert {"good", "general", "stale"} <= {suite.name for suite in list_suites()}
    assert load_suite("good").tasks == ("hellaswag",)
