"""Models, tab Similarity: pickers in the address, the states on the way, and the picture."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from db.queries import jobs as job_rows
from db.queries import models as model_rows
from jobs.kinds import similarity as kind
from jobs.models import registry, similarity
from jobs.models.similarity_tables import Cell, Found, Map
from jobs.running import prepare, queue
from pages.components.models import similarity_map, similarity_picks
from tests import scores_example
from tests.merging import models
from tests.pages.test_shell import text_of

Open = Callable[..., AppTest]
NAMES = ["sandbox/finance", "sandbox/instruct", "sandbox/math"]


def ids(*names: str) -> str:
    rows = [model_rows.model(name) for name in names]
    return ",".join(str(row.id) for row in rows if row)


def compare(names: list[str], base: str | None = None) -> similarity.Choice:
    choice = similarity.choose(names, base)
    group = similarity.ask(choice)
    claim = queue.claim("test", "cpu", group=group)
    assert claim is not None
    events = list(kind.run(prepare.complete(claim)))
    queue.finish(claim, "done", result=events[-1])
    return choice


def open_tab(open_page: Open, **parameters: str) -> AppTest:
    return open_page("model_list", tab="Similarity", **parameters)


def test_one_button_compares_the_sandbox_family(open_page: Open, sandbox: None) -> None:
    app = open_tab(open_page)
    assert "How far are models apart" in text_of(app)
    app.button(key="similarity_example").click().run()
    assert not app.exception
    assert app.query_params["base"] == ids("sandbox/base")
    assert app.query_params["models"] == ids(
        "sandbox/finance", "sandbox/math", "sandbox/japanese", "sandbox/instruct"
    )
    (job,) = job_rows.active()
    assert job.kind == "similarity"
    assert "Compare the weights of sandbox/finance" in text_of(app)
    assert app.button(key=f"similarity_cancel_{job.id}")


def test_a_choice_waits_for_its_button(open_page: Open, sandbox: None) -> None:
    app = open_tab(open_page, models=ids(*NAMES), base=ids("sandbox/base"))
    assert "Reads 12.3 MB once" in text_of(app)
    app.button(key="similarity_ask").click().run()
    assert len(job_rows.active()) == 1
    job = job_rows.active()[0]
    app.button(key=f"similarity_cancel_{job.id}").click().run()
    again = open_tab(open_page, models=ids(*NAMES), base=ids("sandbox/base"))
    assert again.button(key="similarity_ask")


def test_the_comparison(open_page: Open, sandbox: None) -> None:
    compare(NAMES, "sandbox/base")
    app = open_tab(open_page, models=ids(*NAMES), base=ids("sandbox/base"))
    assert "arXiv 2409.19854" in text_of(app)
    assert "rules of thumb" in text_of(app)
    beside, pairs = (frame.value for frame in app.dataframe)
    assert list(beside["name"]) == NAMES
    assert list(pairs["name"])[0] == "sandbox/finance · sandbox/instruct"
    assert list(pairs["Together"])[0] == "nearly independent"
    assert app.selectbox(key="measure").value == "Cosine of task vectors"
    for title in app.selectbox(key="measure").options:
        app.selectbox(key="measure").set_value(title).run()
        assert not app.exception, title
        assert "Over all weights: " in text_of(app)
    assert len(app.get("plotly_chart")) == 1


def test_without_a_base_only_weights_are_compared(open_page: Open, sandbox: None) -> None:
    compare(NAMES[:2])
    app = open_tab(open_page, models=ids(*NAMES[:2]))
    assert app.selectbox(key="measure").options == ["L2 distance of weights", "Cosine of weights"]
    assert "2409.19854" not in text_of(app)


def test_names_do_in_the_address_too(open_page: Open, sandbox: None) -> None:
    compare(NAMES, "sandbox/base")
    app = open_tab(open_page, models=",".join(NAMES), base="sandbox/base")
    assert app.selectbox(key="measure")


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"models": "999,x;y"}, ["There is no model 999", "There is no model x;y"]),
        ({"base": "<b>nothing</b>"}, ["There is no model", "nothing"]),
        ({"models": "sandbox/finance"}, ["Choose 2 to 8 different models, or one and a base"]),
        ({"models": "sandbox/base", "base": "sandbox/base"}, ["How far are models apart"]),
        ({"models": ",,", "base": " "}, ["How far are models apart"]),
        ({"measure": "nonsense", "pair": "more of it"}, ["How far are models apart"]),
    ],
)
def test_nonsense_in_the_address(
    open_page: Open, sandbox: None, parameters: dict[str, str], said: list[str]
) -> None:
    text = text_of(open_tab(open_page, **parameters))
    for part in said:
        assert part in text.replace("\\", "")


def test_a_measure_that_is_none(open_page: Open, sandbox: None) -> None:
    compare(NAMES, "sandbox/base")
    app = open_tab(open_page, models=",".join(NAMES), base="sandbox/base", measure="x", pair="y")
    assert app.selectbox(key="measure").value == "Cosine of task vectors"


def test_the_base_leaves_the_models(open_page: Open, sandbox: None) -> None:
    app = open_tab(open_page, models=ids("sandbox/base", *NAMES))
    base = model_rows.model("sandbox/base")
    assert base is not None
    app.selectbox(key=similarity_picks.BASE).set_value(base.id).run()
    assert not app.exception
    assert app.query_params["models"] == ids(*NAMES)
    assert app.query_params["base"] == str(base.id)


def test_a_comparison_that_failed_says_why(open_page: Open, sandbox: None, tmp_path: Path) -> None:
    other = models.write_model(tmp_path / "other", models.weights(0))
    choice = similarity.choose([str(other), NAMES[0]])
    group = similarity.ask(choice)
    claim = queue.claim("test", "cpu", group=group)
    assert claim is not None
    queue.finish(claim, "failed", error="They are of two *sizes*.")
    app = open_tab(open_page, models=ids("other", NAMES[0]))
    assert app.error[0].value == r"They are of two \*sizes\*."
    app.button(key=f"similarity_retry_{claim.job_id}").click().run()
    assert job_rows.active()


def test_a_folder_that_is_gone(open_page: Open, sandbox: None, tmp_path: Path) -> None:
    folder = models.write_model(tmp_path / "gone", models.weights(0))
    registry.register_model(str(folder))
    shutil.rmtree(folder)
    app = open_tab(open_page, models=ids("gone", NAMES[0]))
    assert "is gone" in app.error[0].value


def test_alike_models_are_warned_of(open_page: Open, sandbox: None, tmp_path: Path) -> None:
    base = models.weights(0)
    tuned = models.tuned(base, 1)
    folders = [
        models.write_model(tmp_path / "root", base),
        models.write_model(tmp_path / "one", tuned),
        models.write_model(tmp_path / "two", models.tuned(tuned, 2, strength=0.01)),
    ]
    compare([str(folders[1]), str(folders[2])], str(folders[0]))
    app = open_tab(open_page, models="one,two", base="root")
    assert "are alike: their sum goes along the shared direction twice" in (
        app.warning[0].value.replace("\\", "")
    )


def test_a_damaged_tensor_is_named(open_page: Open, sandbox: None, tmp_path: Path) -> None:
    bad = models.tuned(models.weights(0), 1)
    bad["model.norm.weight"][0] = float("nan")
    good = models.write_model(tmp_path / "good", models.weights(0))
    compare([str(good), str(models.write_model(tmp_path / "bad", bad))])
    app = open_tab(open_page, models="good,bad")
    assert "holds NaN or infinity in bad" in app.warning[0].value
    assert app.selectbox(key="measure")


def test_a_merge_leads_to_the_comparison_with_its_parents(open_page: Open, home: Path) -> None:
    scores_example.fill_family(items=20)
    merge = next(row for row in model_rows.models(role="merge") if row.parents and row.source)
    app = open_page("model_detail", id=str(merge.id))
    next(one for one in app.button if one.label == "Weights beside parents").click().run()
    assert not app.exception
    assert app.query_params["tab"] == "Similarity"
    asked = app.query_params["models"].split(",")
    bases = [str(one.model_id) for one in merge.parents if one.role == "base"]
    others = {str(one.model_id) for one in merge.parents} - set(bases)
    assert asked[0] == str(merge.id) and set(asked[1:]) == others
    assert not bases or app.query_params["base"] == bases[0]


def test_colours_are_not_taken_by_norms_and_embeddings() -> None:
    def cell(value: float | None, *, matrix: bool = True, layer: bool = True) -> Cell:
        return Cell(value, "t", matrix, layer)

    drawn = Map(["embeddings", "layer 0"], ["q", "norm", "other"], [
        [None, None, cell(0.9, layer=False)], [cell(0.2), cell(-0.8, matrix=False), cell(None)],
    ])  # fmt: skip
    values, colours = similarity_map._colours("task_cosine", drawn)
    assert values == [[None, None, 0.9], [0.2, -0.8, None]]
    assert (colours["zmin"], colours["zmax"]) == (-0.2, 0.2)
    _, around_chance = similarity_map._colours("sign_conflict", drawn)
    assert around_chance["zmin"] + around_chance["zmax"] == pytest.approx(1)
    ratios, logarithmic = similarity_map._colours("task_ratio", Map(["layer 0"], ["q", "k"], [
        [cell(4.0), cell(0.5)],
    ]))  # fmt: skip
    assert ratios == [[2.0, -1.0]]
    assert logarithmic["colorbar"]["ticktext"][0] == "0.25"


def test_the_picture_names_its_tensors(open_page: Open, sandbox: None) -> None:
    choice = compare(NAMES, "sandbox/base")
    found = similarity.find(choice)
    assert isinstance(found, Found)
    figure = similarity_map.figure(found, "task_cosine", (1, 2))
    hovers = [text for row in figure.data[0].customdata for text in row if text]
    assert len(hovers) == len(found.similarity.names)
    assert any(text.startswith("model.layers.3.mlp.down_proj.weight<br>") for text in hovers)
