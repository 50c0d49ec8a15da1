"""A search through the queue on the shipped models, to its table on held-out items."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from db.engine import close_databases
from db.queries import models as model_rows
from db.queries import searches as search_rows
from evaluation.statistics.uncertainty import macro_bootstrap
from jobs import kinds
from jobs.models import registry
from jobs.running import prepare, queue
from jobs.running.record import Recorder
from jobs.search import look, pictures, planning, scoring, shown, state, submit, table
from jobs.terminal import searches as terminal
from search.errors import SearchError
from tests.search.small import data, design


@pytest.fixture
def family(home: Path) -> Iterator[Path]:
    registry.ensure_sandbox()
    before = torch.get_num_threads()
    yield home
    torch.set_num_threads(before)
    close_databases()


def work(group: str, *, stop_after: int | None = None) -> None:
    """Do a group's jobs here, as a worker does; with `stop_after` a lane is killed in a trial."""
    while (claimed := queue.claim("here", "cpu", group=group)) is not None:
        spec = prepare.complete(claimed)
        recorder = Recorder(replace(claimed, spec=spec))
        running = kinds.find(claimed.kind)(spec)
        begun = 0
        for event in running:
            recorder.handle(event)
            begun += claimed.kind == "search" and event["kind"] == "progress"
            if stop_after is not None and begun >= stop_after and "lane" in spec:
                running.close()  # type: ignore[attr-defined]
                queue.died(claimed, "killed")
                return
        queue.finish(claimed, "done", result=recorder.outcome())


def test_a_search_from_its_plan_to_its_winner(family: Path, capsys: Any) -> None:
    one = design(trials=4)
    made = planning.plan(one)
    assert (made.trials, made.known, made.outside, made.items) == (4, 2, 0, 36)
    search_id, group = submit.submit(one)
    work(group, stop_after=3)
    assert state.progress(search_id)["state"] == "waiting"
    work(group)
    found = state.load(search_id)
    assert found.counts()["done"] == 4
    assert [t.scale for t in found.done].count(0.4) == 1  # what was killed is there once
    assert state.progress(search_id)["state"] == "done"

    held = table.held_out(search_id)
    assert held is not None
    assert [line.kind for line in held.lines] == ["best", "grid", "parent"]
    assert held.missing == ()
    best = found.best()
    assert best is not None and held.lines[0].ref == best.ref
    assert held.lines[0].items == 36
    # every figure again, by hand, from the answers
    _, report = scoring.parts(state.design_of(state.get(search_id)))
    cells = []
    for line in held.lines:
        row = model_rows.model(line.model_id)
        assert row is not None
        told = scoring.scores(row, one, "sandbox", list(one.tasks or ()), report)
        cells.append(told)
        value = np.mean([np.mean(list(s.items.values())) for s in told.values()])
        assert line.cells[0].value == pytest.approx(float(value))
    for against, theirs in zip(held.against, cells[1:], strict=True):
        paired = {task: [cells[0][task].items[key] - theirs[task].items[key]
                         for key in cells[0][task].items] for task in cells[0]}  # fmt: skip
        span = macro_bootstrap(paired)
        assert (against.low, against.high) == (span.low, span.high)
    searched = {key for s in _scores(held.lines[2].model_id, one, "search") for key in s}
    reported = {key for s in _scores(held.lines[2].model_id, one, "held-out") for key in s}
    assert searched and reported and not searched & reported

    # more trials go on; what all share may not change
    more = submit.submit(design(trials=5))
    assert more[0] == search_id
    work(more[1])
    assert state.load(search_id).counts()["done"] == 5
    with pytest.raises(SearchError, match="already with another limit"):
        submit.submit(design(limit=11))
    assert "another limit" in look.look(data(limit=11)).problems["name"]

    text = submit.recipe_of(search_id, best.ref)
    assert "fingerprint" in text
    terminal.print_held(table.held_out(search_id))  # type: ignore[arg-type]
    assert "Best of the search minus best parent" in capsys.readouterr().out
    json.dumps(held.to_mapping())
    results = shown.results(search_id)
    for name, (_, _, draw) in pictures.PICTURES.items():
        for theme in ("light", "dark"):
            figure, rows = draw(results, theme, 0)
            assert figure.layout.height
            assert rows or name == "importance"
    submit.remove(search_id)
    assert search_rows.search(search_id) is None


def _scores(model_id: int, one: Any, part: str) -> list[set[Any]]:
    row = model_rows.model(model_id)
    assert row is not None
    wanted = next(p for p in scoring.parts(one) if p.name == part)
    found = scoring.scores(row, one, "sandbox", list(one.tasks or ()), wanted)
    return [{(task, key) for key in score.items} for task, score in found.items()]


@pytest.mark.parametrize(
    ("changes", "part", "sentence"),
    [
        ({"limit": 1, "tasks": ["sandbox_general_people"]}, "items", "Only 1 item is left"),
        ({"suite": "pfmt-bench-fin-ja"}, "items", "for reporting only"),
        ({"suite": "sandbocks"}, "items", "sandbox"),
        ({"recipe": {"method": "task_arithmetic", "base": "sandbox/base",
                     "models": [{"model": "sandbox/finance"}, {"model": "no/such/folder/here"}]}},
         "models", "no/such/folder/here"),
        ({"sampler": "grid", "space": {"options": {"lambda": {"low": 0, "high": 1, "step": 0.1}}}},
         "sampler", "The grid has 11 points and the search 4 trials"),
        ({"space": {}}, "space", "empty"),
    ],
)  # fmt: skip
def test_a_look_says_which_part_stands_in_the_way(
    family: Path, changes: dict[str, Any], part: str, sentence: str
) -> None:
    found = look.look(data(**changes))
    assert found.plan is None
    assert list(found.problems) == [part]
    assert sentence in found.problems[part]
