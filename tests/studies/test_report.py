"""The report: one file that fetches nothing, whose every name is text and every table is there."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from studies.errors import StudyError
from studies.findings import findings
from studies.pictures import PICTURES
from studies.report import Facts, write
from studies.report.tables import to_csv
from studies.results import Results
from tests.studies.test_pictures import NASTY
from tests.studies.world import world

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

READY = "() => document.documentElement.dataset.ready === 'yes'"


@pytest.fixture(scope="module")
def study() -> Results:
    made = world(5, n=40)
    points = tuple(
        replace(one, label=NASTY) if i == 0 else one for i, one in enumerate(made.points)
    )
    design = made.design.model_copy(update={"name": NASTY, "note": NASTY})
    return replace(made, points=points, design=design, failed={"x": NASTY})


@pytest.fixture(scope="module")
def facts(study: Results) -> Facts:
    return Facts(
        written="2026-01-01", versions={"Python": "3"}, done={"Begun": NASTY},
        parents=[{"model": "base", "name": NASTY, "fingerprint": "f" * 64}],
        recipes={one.key: f"method: {NASTY}\n" for one in study.points},
        failed=[{"key": "x", "label": NASTY, "error": NASTY}],
    )  # fmt: skip


@pytest.fixture(scope="module")
def report(study: Results, facts: Facts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "r.html"
    write(study, path, facts)
    return path


def payload(path: Path) -> dict[str, Any]:
    packed = re.search(r'id="payload">([^<]*)<', path.read_text())
    assert packed
    found: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(packed[1])))
    return found


def test_every_picture_table_and_recipe_is_in_the_page(study: Results, report: Path) -> None:
    data = payload(report)
    assert list(data["pictures"]) == list(PICTURES)
    for picture in PICTURES.values():
        found = picture.analyse(study)
        for name, rows in picture.tables(found).items():
            assert data["tables"][name] == to_csv(rows)
    assert set(data["recipes"]) == {one.key for one in study.points}
    points = list(csv.DictReader(io.StringIO(data["tables"]["points"])))
    assert [row["key"] for row in points] == [one.key for one in study.points]
    for row, one in zip(points, study.points, strict=True):
        assert float(row["mean_score"]) == pytest.approx(study.macro(one))
    scores = list(csv.DictReader(io.StringIO(data["tables"]["scores"])))
    assert len(scores) == len(study.models) * len(study.tasks)
    for row in scores[:50]:
        assert float(row["score"]) == pytest.approx(study.score(row["key"], row["task"]))


def test_figures_drawn_are_those_of_the_pictures(study: Results, report: Path) -> None:
    picture = PICTURES["pareto"]
    drawn = json.loads(payload(report)["pictures"]["pareto"][""])
    expected = json.loads(picture.figure(picture.analyse(study), "light").to_json())
    assert drawn == expected


def test_findings_are_printed_as_they_come(study: Results, report: Path) -> None:
    from html import escape

    text = report.read_text()
    found = findings(study)
    for one in found.findings:
        assert escape(one.sentence) in text and escape(one.title) in text
        assert f"{escape(one.verdict)}</span>" in text
    for note in found.notes:
        assert escape(note) in text


def test_the_page_names_no_address_outside_itself(report: Path) -> None:
    text = report.read_text()
    assert not re.search(r"https?:|(?<!:)//[a-z]", re.sub(r'octet-stream" id="\w+">[^<]*', "",
                                                          re.sub(r"// .*", "", text)))  # fmt: skip
    assert re.findall(r'(?:src|href|action)="(?!#)', text) == []
    assert "default-src &#x27;none&#x27;" in text


def test_strangers_names_are_escaped(report: Path) -> None:
    text = report.read_text()
    assert "<b onmouseover" not in text
    assert text.count("</script>") == 3  # Plotly, the data, the program
    assert "日本語" in text


def test_a_cell_is_no_formula_and_says_what_it_said() -> None:
    text = to_csv([{"a": "=1+1", "b": 'x,"y"\nz', "c": -0.5}, {"d": None}])
    rows = list(csv.reader(io.StringIO(text)))
    assert rows == [["a", "b", "c", "d"], ["'=1+1", 'x,"y"\nz', "-0.5", ""], ["", "", "", ""]]


def test_a_zip_has_page_tables_design_and_recipes(
    study: Results, facts: Facts, tmp_path: Path
) -> None:
    from studies.design import Design

    path = tmp_path / "r.zip"
    write(study, path, facts)
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        assert {"report.html", "study.yaml", "points.csv", "scores.csv", "gains.csv"} <= names
        assert {f"recipes/{one.key}.yaml" for one in study.points} <= names
        design = archive.read("study.yaml").decode()
    again = Design.from_yaml(design)
    assert again.to_mapping() == study.design.to_mapping()


def test_a_report_that_cannot_be_written_is_a_sentence(
    study: Results, facts: Facts, tmp_path: Path
) -> None:
    with pytest.raises(StudyError, match=r"not r\.pdf"):
        write(study, tmp_path / "r.pdf", facts)
    with pytest.raises(StudyError, match="cannot be written"):
        write(study, tmp_path / "no" / "r.html", facts)


def test_without_a_split_every_picture_says_so(report: Path, tmp_path: Path) -> None:
    write(world(5, n=20, split=False), tmp_path / "r.html", Facts("now"))
    told = "chosen on the very items"
    assert (tmp_path / "r.html").read_text().count(told) == len(PICTURES)
    assert told not in report.read_text()


def test_a_study_without_scores_has_a_report(study: Results, tmp_path: Path) -> None:
    nothing = replace(study, points=(), parents={}, tasks=(), similarity=None, cells=())
    write(nothing, tmp_path / "r.html", Facts("now"))
    assert (tmp_path / "r.html").stat().st_size > 1_000_000


def test_the_example_in_the_docs_is_a_report_of_the_sandbox_study() -> None:
    path = Path(__file__).resolve().parents[2] / "docs" / "example-study.html"
    assert path.stat().st_size <= 5_000_000
    data = payload(path)
    assert data["name"] == "sandbox-three-stages"
    assert list(data["pictures"]) == list(PICTURES)
    assert len(data["recipes"]) == data["tables"]["points"].count("\n") - 1 >= 120
    here = str(Path(__file__).resolve().parents[2])
    assert here not in path.read_text() and here not in json.dumps(data)


@pytest.fixture
def opened(browser: Browser, report: Path) -> Iterator[Page]:
    """The report in a browser that has no network; requests and errors fail the test."""
    context = browser.new_context(offline=True, viewport={"width": 1300, "height": 900})
    page = context.new_page()
    trouble: list[str] = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("dialog", lambda dialog: (trouble.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda one: None if one.url.startswith(("file:", "blob:", "data:"))
            else trouble.append(one.url))  # fmt: skip
    page.goto(report.as_uri())
    page.wait_for_function(READY)
    yield page
    context.close()
    assert trouble == []


@pytest.mark.browser
def test_chromium_draws_every_picture_offline(opened: Page) -> None:
    from playwright.sync_api import expect

    expect(opened.locator("#trouble")).to_be_hidden()
    expect(opened.locator(".picture .plot-container")).to_have_count(len(PICTURES))
    for name in PICTURES:
        box = opened.locator(f'.picture[data-name="{name}"] .plot-container').bounding_box()
        assert box and box["height"] > 100 and box["width"] > 300, name


@pytest.mark.browser
def test_switches_tables_and_clicks_work(opened: Page) -> None:
    from playwright.sync_api import expect

    shown = opened.locator("#sensitivity .picture")
    expect(shown.get_by_text("Best − worst option")).to_have_count(0)
    opened.locator("#sensitivity select").first.select_option("robustness")
    expect(shown.get_by_text("Best − worst option")).to_have_count(1)
    table = opened.locator('details[data-table="points"]')
    expect(table.get_by_text(NASTY, exact=True)).to_have_count(1)
    table.locator("tr.click").first.click()
    expect(opened.locator("#points .picked pre")).to_contain_text(f"method: {NASTY}")
    opened.locator('details[data-table="gains"] summary').click()
    expect(opened.locator('details[data-table="gains"] td').first).to_be_visible()


@pytest.mark.browser
def test_a_click_on_a_cell_opens_its_recipe(opened: Page) -> None:
    from playwright.sync_api import expect

    box = opened.locator("#gains .picture .nsewdrag").first
    box.scroll_into_view_if_needed()
    size = box.bounding_box()
    assert size
    box.click(position={"x": size["width"] / 3, "y": size["height"] / 2})
    expect(opened.locator("#gains .picked pre").first).to_contain_text("method:")


@pytest.mark.browser
def test_dark_swaps_the_ink_without_a_reload(opened: Page) -> None:
    colour = "() => document.querySelector('#pareto .picture > div').layout.font.color"
    assert opened.evaluate(colour) == "#29241f"
    opened.emulate_media(color_scheme="dark")
    opened.wait_for_function(f"({colour})() === '#ede7df'")
