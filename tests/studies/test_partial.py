"""A study that still runs: whatever is scored by now, verdicts, pictures and report are made."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from studies.analysis.recovery import recovery
from studies.findings import findings
from studies.pictures import PICTURES
from studies.report import Facts, write
from studies.results import Results, Scored
from tests.studies.test_pictures import every
from tests.studies.world import finite, world

FULL = world(3, n=16, per_domain=1, emergent=0.3)


def of(*stages: str, first: int | None = None) -> Results:
    """Only merges of these stages, or the first of them."""
    some = [one for one in FULL.points if one.point is not None and one.point.stage in stages]
    return replace(FULL, points=tuple(some[:first]))


def without(*names: str, results: Results = FULL) -> Results:
    """Parents that are not scored yet."""
    there = {name: one for name, one in results.parents.items() if name not in names}
    return replace(results, parents=there)


def lacking(one: Scored, tasks: Sequence[str]) -> Scored:
    """A model that has not been scored on these tasks."""
    return replace(
        one,
        items={name: x for name, x in one.items.items() if name not in tasks},
        values={name: x for name, x in one.values.items() if name not in tasks},
    )


def compared(keep: Callable[[tuple[str, str], str], bool], results: Results = FULL) -> Results:
    """Only some of the measures of the parents' weights."""
    assert results.similarity is not None
    return replace(results, similarity={
        pair: {name: x for name, x in measures.items() if keep(pair, name)}
        for pair, measures in results.similarity.items()
    })  # fmt: skip


def failed() -> Results:
    """Two merges failed, one of them the only one of its kind that a mask was drawn again for."""
    gone = [one for one in FULL.points if one.point is not None and one.point.seed == 2][:1]
    gone += FULL.points[:1]
    keys = {one.key: "There was not enough memory." for one in gone}
    left = tuple(one for one in FULL.points if one.key not in keys)
    return replace(FULL, points=left, failed=keys)


def under_way() -> Results:
    """The last two merges have one task each by now, and every third lacks another."""
    names = [one.name for one in FULL.tasks]
    last = len(FULL.points) - 2
    some = tuple(
        lacking(one, names[1:]) if i >= last else lacking(one, [names[i % 6]] if i % 3 == 0 else [])
        for i, one in enumerate(FULL.points)
    )
    return replace(FULL, points=some)


def one_item() -> Results:
    """A single item of each task, reported."""

    def cut(one: Scored) -> Scored:
        return replace(one, items={name: x[:1] for name, x in one.items.items()})

    tasks = tuple(replace(one, n=1, items=one.items[:1], held_out=np.array([True]))
                  for one in FULL.tasks)  # fmt: skip
    return replace(FULL, tasks=tasks, points=tuple(map(cut, FULL.points)),
                   parents={name: cut(one) for name, one in FULL.parents.items()})  # fmt: skip


SHAPES: dict[str, Callable[[], Results]] = {
    "nothing at all": lambda: replace(FULL, points=(), parents={}, tasks=(), similarity=None,
                                      cells=()),
    "parents only": lambda: replace(FULL, points=()),
    "one merge": lambda: of("1", first=1),
    "no pair yet": lambda: of("1"),
    "one pair": lambda: of("1", "2", first=len(of("1").points) + 1),
    "pairs only": lambda: of("2"),
    "triples only": lambda: of("3"),
    "instruct stage only": lambda: of("instruct"),
    "every seventh": lambda: replace(FULL, points=FULL.points[::7]),
    "one method": lambda: replace(FULL, points=tuple(
        one for one in FULL.points if one.point is not None and one.point.method == "ties")),
    "without the base": lambda: without("base"),
    "without an expert": lambda: without("math"),
    "without the instruct model": lambda: without("instruct"),
    "one parent": lambda: without("base", "math", "japanese", "instruct"),
    "no parent": lambda: without(*FULL.parents),
    "an expert without a score": lambda: replace(FULL, parents={
        name: lacking(one, [task.name for task in FULL.tasks] if name == "math" else [])
        for name, one in FULL.parents.items()}),
    "merges failed": failed,
    "merges under way": under_way,
    "one task": lambda: replace(FULL, tasks=FULL.tasks[1:2]),
    "one item a task": one_item,
    "no weights compared": lambda: replace(FULL, similarity=None, cells=()),
    "no pair yet, no distances": lambda: compared(lambda pair, name: name != "l2", of("1")),
    "some pairs compared": lambda: compared(lambda pair, name: "math" not in pair),
    "lower is better": lambda: replace(FULL, tasks=tuple(
        replace(one, higher_is_better=False) for one in FULL.tasks)),
    "no right or wrong": lambda: replace(FULL, tasks=tuple(
        replace(one, binary=False, chance=None) for one in FULL.tasks)),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_verdicts_and_pictures_of_what_is_there(shape: str) -> None:
    results = SHAPES[shape]()
    told = findings(results)
    assert len(told.findings) == 8 and finite(told.data())
    for one in told.findings:
        assert one.sentence.endswith(".") and not re.search(r"\b(nan|inf|None)\b", one.sentence)
        assert one.verdict == "cannot tell" or one.effects
    turn = list(SHAPES).index(shape)
    for picture in PICTURES.values():
        found = picture.analyse(results)
        ways = every(picture, found) or [{}]
        way = ways[turn % len(ways)]  # drawing all of them takes a second for each shape
        figure = picture.figure(found, "dark", **way)
        said = [one.text for one in figure.layout.annotations]
        assert figure.data or any(said), (picture.name, way)
        for rows in picture.tables(found).values():
            assert finite([dict(one) for one in rows]), picture.name


@pytest.mark.parametrize("shape", ["nothing at all", "no pair yet", "merges failed"])
def test_a_report_is_written_of_what_is_there(shape: str, tmp_path: Path) -> None:
    results = SHAPES[shape]()
    path = tmp_path / "report.html"
    write(results, path, Facts(written="today", failed=[
        {"key": key, "label": key, "error": text} for key, text in results.failed.items()
    ]))  # fmt: skip
    text = path.read_text()
    assert f"{len(results.points)} of {FULL.planned}" in text
    assert all(said in text for said in results.failed.values())


def test_no_verdict_is_given_where_its_merges_are_not_there() -> None:
    for shape in ("nothing at all", "parents only", "one merge", "no parent"):
        told = findings(SHAPES[shape]())
        verdicts = {one.claim: one.verdict for one in told.findings if one.claim != "independence"}
        assert set(verdicts.values()) == {"cannot tell"}, (shape, verdicts)


def test_a_merge_under_way_costs_the_others_nothing() -> None:
    some = of("1").points
    names = [one.name for one in FULL.tasks if one.domain == "general"]
    begun = replace(FULL, points=(*some[1:], lacking(some[0], names)))
    before = replace(FULL, points=some[1:])
    told, expected = (
        {(one.key, one.expert, one.domain): (one.back, one.back_p, one.share, one.kept)
         for one in recovery(results).recovered}
        for results in (begun, before)
    )  # fmt: skip
    assert {key: told[key] for key in expected} == expected
    assert all(np.isfinite(back) for back, *_ in expected.values())
