"""The Compare page: the right models, the right numbers, and calm about anything else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from db.engine import transaction
from db.tables import Answer, Model
from jobs.scores import comparison
from pages.components.scores import recipes as scores_recipes
from pages.components.scores import sheet as scores_sheet
from tests import small_scores as small

Open = Callable[..., AppTest]

RECIPE = """method: {method}
base: base
models:
  - {{model: a, role: expert, weight: {weight}}}
  - {{model: b, role: expert, weight: 1.0}}
options: {{scale: 1.0}}
"""


@pytest.fixture
def ids(home: Path) -> dict[str, int]:
    comparison.forget()
    made = small.fill()
    with transaction() as s:
        s.get_one(Model, made["m"]).recipe_yaml = RECIPE.format(method="ties", weight=0.5)
        s.get_one(Model, made["d"]).recipe_yaml = RECIPE.format(method="linear", weight=0.5)
    return made


def said(app: AppTest) -> str:
    kinds = (
        app.main.markdown,
        app.main.caption,
        app.main.warning,
        app.main.error,
        app.main.info,
        app.main.success,
    )
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def of(ids: dict[str, int], *names: str) -> str:
    return ",".join(str(ids[name]) for name in names)


def frames(app: AppTest) -> list[pd.DataFrame]:
    return [element.value for element in app.dataframe]


def test_empty_offers_the_example(open_page: Open) -> None:
    app = open_page("compare")
    assert "Nothing has been scored yet" in said(app)
    assert app.main.button[0].label == "Run the two-minute example"


def test_without_models_the_best_merge_is_offered(open_page: Open, ids: dict[str, int]) -> None:
    app = open_page("compare")
    assert app.main.button[0].label == "Show the best merge beside its parents"
    app.main.button[0].click().run()
    assert not app.exception
    assert [metric.label for metric in app.metric] == ["m", "base", "a", "b"]


def test_best_parent_is_the_baseline(open_page: Open, ids: dict[str, int]) -> None:
    app = open_page("compare", ids=of(ids, "m", "a", "b"))
    assert app.selectbox(key="against").value == "best parent"
    assert [metric.value for metric in app.metric] == ["62.5 ± 11.2", "25.0 ± 11.2", "37.5 ± 11.2"]
    assert [metric.delta for metric in app.metric] == ["+25.0", "-12.5", ""]
    against_b = frames(app)[0].set_index("Task")
    assert against_b.loc["t1", "Fixed"] == 3 and against_b.loc["t2", "Regressed"] == 1
    assert against_b.loc["t1", "p"] == 0.25 and against_b.loc["t1", "p (Holm)"] == 0.5
    assert list(against_b.loc["t1", "Verdict"]) == ["≈ noise"]


def test_a_parent_is_preferred_to_a_better_stranger(open_page: Open, ids: dict[str, int]) -> None:
    with transaction() as s:
        stranger = small.add_model(s, "stranger", "expert")
        for task in ("t1", "t2"):
            small.add_scores(s, stranger, "stranger", task, "1111")
    app = open_page("compare", ids=f"{of(ids, 'm', 'b')},{stranger}")
    assert [metric.delta for metric in app.metric] == ["+25.0", "", "+62.5"]


def test_the_baseline_can_be_switched(open_page: Open, ids: dict[str, int]) -> None:
    app = open_page("compare", ids=of(ids, "m", "a", "b"), against="a")
    assert [metric.delta for metric in app.metric] == ["+37.5", "", "+12.5"]


@pytest.mark.parametrize(
    ("asked", "named"),
    [("nonsense", ["nonsense"]), ("999", ["999"]), (",,,", []), ("-1,1.5", ["-1", "1.5"]),
     ("1;drop table", ["1;drop table"]), ("١٢", ["١٢"])],
)  # fmt: skip
def test_unknown_ids_are_named(
    open_page: Open, ids: dict[str, int], asked: str, named: list[str]
) -> None:
    app = open_page("compare", ids=asked)
    assert len(app.main.warning) == len(named)
    for name in named:
        assert f"There is no model {name}" in said(app).replace("\\", "")


def test_the_models_are_kept_over_a_visit_elsewhere(open_page: Open, ids: dict[str, int]) -> None:
    app = open_page("compare", ids=of(ids, "m", "b"))
    for address in ({}, {"ids": of(ids, "m", "b")}):  # by the menu, by the browser's history
        app.switch_page("leaderboard.py").run()
        app.query_params.clear()
        app.switch_page("compare.py")
        for key, value in address.items():
            app.query_params[key] = value
        app.run()
        assert [metric.label for metric in app.metric] == ["m", "b"]


def test_a_deleted_model_leaves_the_others(open_page: Open, ids: dict[str, int]) -> None:
    with transaction() as s:
        s.delete(s.get_one(Model, ids["d"]))
    app = open_page("compare", ids=of(ids, "m", "b", "d"))
    assert f"There is no model {ids['d']}" in said(app)
    assert [metric.label for metric in app.metric] == ["m", "b"]


def test_more_than_six_ids_are_cut(open_page: Open, ids: dict[str, int]) -> None:
    with transaction() as s:
        more = [small.add_model(s, f"extra{i}", "expert") for i in range(4)]
    app = open_page("compare", ids=",".join(map(str, [*ids.values(), *more])))
    assert len(app.multiselect(key="picked_models").value) == 6


def test_one_model(open_page: Open, ids: dict[str, int]) -> None:
    app = open_page("compare", ids=of(ids, "m"))
    assert "add another" in said(app)
    assert any(b.label.startswith("Add its best parent") for b in app.main.button)
    next(b for b in app.main.button if b.label.startswith("Add its best parent")).click().run()
    assert not app.exception
    assert [metric.label for metric in app.metric] == ["m", "b"]


def test_other_configurations_are_left_out_aloud(open_page: Open, ids: dict[str, int]) -> None:
    with transaction() as s:
        other = small.add_model(s, "limited", "expert")
        small.add_scores(s, other, "limited", "t1", "11", limit=2)
    app = open_page("compare", ids=f"{of(ids, 'm', 'b')},{other}")
    assert "limited" in said(app) and "left out of the numbers" in said(app)
    assert [metric.label for metric in app.metric] == ["m", "b"]


def test_models_without_a_common_task(open_page: Open, ids: dict[str, int]) -> None:
    with transaction() as s:
        one, two = (small.add_model(s, name, "expert") for name in ("one", "two"))
        small.add_scores(s, one, "one", "t1", "1100")
        small.add_scores(s, two, "two", "t2", "1100")
    for tab in ("Scores", "Gain and OG", "Recipes", "Answers", "Cost"):
        app = open_page("compare", ids=f"{one},{two}", tab=tab)
        assert "no task in common" in said(app)


def test_a_mean_over_fewer_tasks_says_so(open_page: Open, ids: dict[str, int]) -> None:
    """A model half-way through its benchmark has only the easy tasks so far."""
    with transaction() as s:
        whole, half = (small.add_model(s, name, "expert") for name in ("whole", "half"))
        small.add_scores(s, whole, "whole", "t1", "1100")
        small.add_scores(s, whole, "whole", "t2", "1100")
        small.add_scores(s, half, "half", "t1", "1111")
    app = open_page("compare", ids=f"{whole},{half}")
    told = {each.label: str(each.proto.delta_description) for each in app.metric}
    assert "partial: 1 of" in told["half"]


def test_a_model_never_scored(open_page: Open, ids: dict[str, int]) -> None:
    with transaction() as s:
        new = small.add_model(s, "new", "expert")
    app = open_page("compare", ids=str(new))
    assert "has no scores on this suite" in said(app)


def test_gain_and_gap(open_page: Open, ids: dict[str, int]) -> None:
    app = open_page("compare", ids=of(ids, "m", "b"), tab="Gain and OG")
    values = {metric.label.replace("\\", ""): metric.value for metric in app.metric}
    assert values["Macro-Gain · m"] in ("+31.2", "+31.3") and values["Macro-OG · m"] == "0.0"
    data = frames(app)[0].set_index("Task")
    assert list(data["Gain"]) == pytest.approx([50.0, 12.5])
    assert list(data["OG"]) == pytest.approx([25.0, -25.0])
    assert list(data["Best constituent"]) == ["a", "b"]


def test_gain_without_merges(open_page: Open, ids: dict[str, int]) -> None:
    app = open_page("compare", ids=of(ids, "a", "b"), tab="Gain and OG")
    assert "none of these models is one" in said(app)


def test_recipes_show_differences_only(open_page: Open, ids: dict[str, int]) -> None:
    app = open_page("compare", ids=of(ids, "m", "d"), tab="Recipes")
    assert list(frames(app)[0]["Setting"]) == ["method"]
    beside = open_page("compare", ids=of(ids, "m", "d", "a"), tab="Recipes")
    assert list(frames(beside)[0]) == ["Setting", "m", "d"]
    assert "Without a recipe, and left out: a" in said(beside)
    whole = open_page("compare", ids=of(ids, "m", "d"), tab="Recipes", all_settings="true")
    assert "a.weight" in list(frames(whole)[0]["Setting"])


def test_recipe_rows_do_not_depend_on_order() -> None:
    one = {"role": "merge", "a.weight": "0.5", "b.weight": "1.0"}
    two = {"role": "merge", "b.weight": "1.0", "a.weight": "0.7"}
    assert scores_recipes.differing({"one": one, "two": two}) == ["a.weight"]
    assert scores_recipes.differing({"one": one, "two": {**one, "c.weight": "1"}}) == ["c.weight"]


def test_answer_sheet_and_its_filters(open_page: Open, ids: dict[str, int]) -> None:
    app = open_page("compare", ids=of(ids, "m", "b"), tab="Answers", task="t1", filter="fixed")
    data = frames(app)[0]
    assert list(data["Item"]) == [0, 1, 2]
    assert set(data["Change"]) == {"▲ fixed"}
    assert list(data["m"]) == ["✓ yes"] * 3 and list(data["b"]) == ["✗ no"] * 3
    lost = open_page("compare", ids=of(ids, "m", "b"), tab="Answers", filter="regressed")
    assert [(r.Task, r.Item) for r in frames(lost)[0].itertuples()] == [("t2", 2)]


@pytest.mark.parametrize("parameters", [{"task": "t1", "item": "2"}, {"item": "t1/2"}])
def test_an_item_can_be_linked_to(
    open_page: Open, ids: dict[str, int], parameters: dict[str, str]
) -> None:
    app = open_page("compare", ids=of(ids, "m", "b"), tab="Answers", **parameters)
    shown = [element.value for element in app.code]
    assert "Question 2 of t1? <img src=x>" in shown  # as code, which never renders
    assert shown.count("<script>alert(1)</script>") == 2
    assert "<script>" not in said(app) and "<img" not in said(app)
    choices = frames(app)[1]
    assert list(choices["Choice"]) == ["yes ◀ target", "no"]
    assert list(choices["m"]) == ["● -1.00", "-2.00"]
    assert list(choices["b"]) == ["-3.00", "● -2.00"]


def test_an_item_that_is_not_there(open_page: Open, ids: dict[str, int]) -> None:
    for item in ("t1/99", "nonsense", "t9/1", "%00"):
        app = open_page("compare", ids=of(ids, "m", "b"), tab="Answers", item=item)
        assert not app.code
        assert "Tick a line" in said(app)


def test_scores_without_answers(open_page: Open, ids: dict[str, int]) -> None:
    with transaction() as s:
        s.query(Answer).delete()
    for tab in ("Scores", "Gain and OG", "Answers"):
        app = open_page("compare", ids=of(ids, "m", "b"), tab=tab)
        assert [metric.label.replace("\\", "") for metric in app.metric][:2] == ["m", "b"]
    assert "No answers were kept" in said(app)


def test_nonsense_in_the_address_is_harmless(open_page: Open, ids: dict[str, int]) -> None:
    open_page("compare", ids=of(ids, "m", "b"), tab="Soup", against="nobody", focus="nobody",
              configuration="?", filter="?", task="?", suite="?", count_base="?")  # fmt: skip


def test_cost(open_page: Open, ids: dict[str, int]) -> None:
    data = frames(open_page("compare", ids=of(ids, "m", "b"), tab="Cost"))[0]
    assert list(data["Seconds"]) == [4.0, 4.0]
    assert list(data["ms per item"]) == [500.0, 500.0]


def test_an_answer_that_could_not_be_extracted() -> None:
    from db.queries.answers import Mark

    assert scores_sheet.told(Mark(1, 0, "", 0.0, False, None)) == "✗ no answer"
    assert scores_sheet.told(Mark(1, 0, "", 0.25, None, "a  b\nc")) == "0.25 a b c"
    assert scores_sheet.told(None) == "– not asked"
