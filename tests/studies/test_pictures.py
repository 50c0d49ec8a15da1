"""What the pictures draw is what the analyses' tables say, and names of strangers stay text."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from studies.analysis.gains import gains
from studies.pictures import PICTURES, theme
from studies.pictures.picture import Picture
from studies.results import Results
from tests.studies.world import world

NASTY = "</script><b onmouseover=alert(1)>\"'日本語 %{x} &lt;"


@pytest.fixture(scope="module")
def study() -> Results:
    return world(3, n=60, emergent=0.3)


@pytest.fixture(scope="module")
def nasty(study: Results) -> Results:
    """The same with names that try to be more than names."""
    parents = {k: replace(v, label=NASTY) for k, v in study.parents.items()}
    points = tuple(replace(one, label=f"{NASTY} · {one.label}") for one in study.points)
    return replace(study, parents=parents, points=points)


def every(picture: Picture, found: Any) -> list[dict[str, str]]:
    """All ways that a report shows a picture in."""
    choices = [one for one in picture.choices(found) if one.values]
    ways = product(*(one.reported for one in choices))
    return [dict(zip((one.name for one in choices), way, strict=True)) for way in ways]


def keys_in(figure: Any) -> set[str]:
    """Keys of merges in the customdata of a figure's traces."""
    found: set[str] = set()
    for trace in figure.data:
        data = [] if trace.customdata is None else trace.customdata
        found |= {key for one in data for key in str(one[0]).split(" ")}
    return found - {""}


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("theme_", ["light", "dark"])
def test_every_way_of_every_picture_is_drawn(study: Results, name: str, theme_: str) -> None:
    picture = PICTURES[name]
    found = picture.analyse(study)
    known = set(study.row)
    for way in every(picture, found):
        figure = picture.figure(found, theme_, **way)
        assert figure.data, way
        assert keys_in(figure) <= known, way
        json.loads(figure.to_json())
    for table, rows in picture.tables(found).items():
        assert rows, table


@pytest.mark.parametrize("name", sorted(set(PICTURES) - {"independence"}))
def test_marks_open_the_merges_they_stand_for(study: Results, name: str) -> None:
    picture = PICTURES[name]
    found = picture.analyse(study)
    assert keys_in(picture.figure(found, "light", **every(picture, found)[0]))


@pytest.mark.parametrize("of", ["gain", "og"])
def test_cells_are_the_tables_values(study: Results, of: str) -> None:
    picture = PICTURES["gains"]
    found = picture.analyse(study)
    figure = picture.figure(found, "light", of=of, rows="all")
    heat = figure.data[0].z
    rows = found.gains.table()
    told = {(row["key"], row["task"]): row[f"{of}_value"] for row in rows}
    macro = {row["key"]: row[f"macro_{of}_value"] for row in found.gains.macro_table()}
    at_x = np.array(figure.data[0].x)
    at_y = np.array(figure.data[0].y)
    cells = figure.data[-1]
    seen = 0
    for x, y, (key, _, task) in zip(cells.x, cells.y, cells.customdata, strict=True):
        column, row = np.searchsorted(at_x, x) - 1, np.searchsorted(at_y, y) - 1
        expected = told[key, task] if task else macro[key]
        assert heat[row, column] == pytest.approx(100 * expected, abs=1e-4)
        seen += 1
    assert seen == len(told) + len(macro)


def test_cells_beyond_noise_are_marked(study: Results) -> None:
    picture, found = PICTURES["gains"], gains(study)
    figure = picture.figure(picture.analyse(study), "light", of="gain", rows="all")
    marks = {one.name: one for one in figure.data if one.name}
    cells = figure.data[-1]
    clear = {(x, y) for name in marks for x, y in _whole(marks[name])}
    expected = {(row["key"], row["task"]) for row in found.table() if row["gain_clear"]}
    expected |= {(row["key"], "") for row in found.macro_table() if row["macro_gain_clear"]}
    drawn = {
        (key, task) for x, y, (key, _, task) in zip(cells.x, cells.y, cells.customdata, strict=True)
        if (round(float(x), 2), round(float(y))) in clear
    }  # fmt: skip
    assert drawn == expected


def _whole(mark: Any) -> list[tuple[float, int]]:
    pairs = zip(mark.x, mark.y, strict=True)
    return [(round(float(x), 2), int(np.floor(float(y) + 0.5))) for x, y in pairs]


def test_curves_are_the_tables_means(study: Results) -> None:
    picture = PICTURES["sensitivity"]
    found = picture.analyse(study)
    figure = picture.figure(found, "light")
    told = {row["keys"]: row["mean"] * 100 for row in found.table()}
    drawn = {
        data[0]: y
        for trace in figure.data if trace.customdata is not None
        for data, y in zip(trace.customdata, trace.y, strict=True) if data[0]
    }  # fmt: skip
    assert drawn == {key: pytest.approx(told[key]) for key in drawn}
    assert len(drawn) == len({row["keys"] for c in found.curves if len(c.places) > 1
                              for row in found.table() if row["keys"] in
                              {" ".join(p.keys) for p in c.places}})  # fmt: skip


def test_a_planes_marks_and_front_are_the_tables(study: Results) -> None:
    picture = PICTURES["pareto"]
    found = picture.analyse(study)
    figure = picture.figure(found, "light")
    rows = {row["key"]: row for row in found.by_domain[""].table() if row["role"] == "point"}
    drawn = {
        data[0]: (x, y)
        for trace in figure.data if trace.customdata is not None
        for data, x, y in zip(trace.customdata, trace.x, trace.y, strict=True) if data[0]
    }  # fmt: skip
    assert drawn == {key: pytest.approx((row["general"] * 100, row["domain"] * 100))
                     for key, row in rows.items()}  # fmt: skip
    assert len(figure.data[0].x) == len(found.by_domain[""].front)


def test_a_sheet_has_its_items_in_groups(study: Results) -> None:
    picture = PICTURES["sheets"]
    found = picture.analyse(study)
    key = found.merges[0].key
    figure = picture.figure(found, "light", merge=key, items="all")
    counts = found.sheet(key).counts
    assert figure.data[0].z.shape[1] == sum(counts.values())
    told = " ".join(one.text for one in figure.layout.annotations)
    assert f"<b>{counts['only merge']}</b> only the merge" in told
    right = np.asarray(figure.data[0].z)
    assert right[0, : counts["only merge"]].all()
    assert not right[1 : 1 + len(found.sheet(key).constituents), : counts["only merge"]].any()


def test_emergence_recovery_and_kept_draw_their_tables(study: Results) -> None:
    found = PICTURES["emergence"].analyse(study)
    figure = PICTURES["emergence"].figure(found, "light")
    tested = {one.key: (one.expected, one.tested) for one in found.merges if one.expected}
    drawn = {data[0]: (x, y) for trace in figure.data if trace.customdata is not None
             and trace.xaxis in (None, "x")
             for data, x, y in zip(trace.customdata, trace.x, trace.y, strict=True)}  # fmt: skip
    assert {k: drawn[k] for k in tested} == tested
    lost = PICTURES["recovery"].analyse(study)
    figure = PICTURES["recovery"].figure(lost, "light")
    xs = sorted(x for trace in figure.data[:2] for x in trace.x if x is not None)
    assert xs == pytest.approx(sorted(one.lost * 100 for one in lost.forgotten))


@pytest.mark.parametrize("name", PICTURES)
def test_strangers_names_stay_text(nasty: Results, name: str) -> None:
    picture = PICTURES[name]
    found = picture.analyse(nasty)
    for way in every(picture, found):
        text = json.dumps(picture.figure(found, "light", **way).to_plotly_json(), default=str)
        assert "<b onmouseover" not in text and "</script>" not in text, way


@pytest.mark.parametrize("name", PICTURES)
def test_a_study_without_scores_says_so(study: Results, name: str) -> None:
    nothing = replace(study, points=(), parents={}, tasks=(), similarity=None, cells=())
    picture = PICTURES[name]
    found = picture.analyse(nothing)
    way = (every(picture, found) or [{}])[0]
    figure = picture.figure(found, "dark", **way)
    assert not figure.data and figure.layout.annotations[0].text
    picture.tables(found)


def test_themes_differ_in_swapped_colours_only(study: Results) -> None:
    for picture in PICTURES.values():
        found = picture.analyse(study)
        way = every(picture, found)[0]
        light, dark = (picture.figure(found, one, **way).to_json() for one in ("light", "dark"))
        for old, new in theme.darkened().items():
            light = light.replace(old, new)
        assert json.loads(light) == json.loads(dark), picture.name


def test_swapping_colours_swaps_no_colour_twice() -> None:
    swapped = theme.darkened()
    assert not set(swapped) & set(swapped.values())
    assert len(set(theme.COLOURS["light"])) == len(set(theme.COLOURS["dark"])) == 10
