"""A study whose scores are made up, in the database as a real one's are. Seeded.

python -m tests.study_example            # 1,000 merges x 20 tasks x 100 items
python -m tests.study_example 60 6 40
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from sqlalchemy import insert, update

from db.engine import transaction
from db.packed import pack_floats, pack_json
from db.queries.studies import sources_key
from db.tables import Answer, Evaluation, ItemList, PointScore, Prompt, Study, StudyPoint
from evaluation.suites import load_suite
from jobs.models import registry
from jobs.studies import parents, prepare, scores
from studies.design import Design
from studies.points import Chosen, Point, points_of
from tests.scores_example import hashed

NAME = "made-up"
SCALES = (0.2, 1.6)
WORDS = ("Oslo", "Lima", "Rome", "Kyoto")


def design(merges: int, tasks: int, items: int, name: str = NAME, **more: Any) -> Design:
    """The sandbox family with grids that make about so many merges; `more` of the design's keys."""
    each = max(4, (merges - 8) // 7)  # of each of 3 + 3 + 1 sets of constituents
    n_ties, n_dare = max(1, each // 4), max(1, each // 4)
    n_sum = each - n_ties - n_dare
    ties = [round(float(x), 3) for x in np.linspace(0.1, 1.0, n_ties)]
    dare = [round(float(x), 3) for x in np.linspace(0.1, 1.0, max(1, n_dare // 2))]
    sums = [round(float(x), 3) for x in np.linspace(*SCALES, n_sum)]
    return Design.from_mapping({
        "name": name, "base": "sandbox/base",
        "experts": {one: f"sandbox/{one}" for one in ("finance", "math", "japanese")},
        "instruct": "sandbox/instruct",
        "methods": [
            {"method": "task_arithmetic", "grid": {"scale": sums}},
            {"method": "ties", "grid": {"density": ties}},
            {"method": "dare_ties", "grid": {"density": dare}, "seeds": [1, 2]},
        ],
        "instruct_stage": {"alpha": [0, 1.0]},
        "suite": "sandbox", "tasks": list(load_suite("sandbox").tasks)[:tasks], "limit": items,
        **more,
    })  # fmt: skip


def fill(merges: int = 1000, tasks: int = 20, items: int = 100, seed: int = 0, **more: Any) -> int:
    """Write the study; every merge is done and scored. Returns its number."""
    rng = np.random.default_rng(seed)
    registry.ensure_sandbox()
    planned = design(merges, tasks, items, **more)
    known = parents.register(planned)
    pinned = parents.pinned(planned, known)
    with transaction() as opened:
        study = Study(name=planned.name, design=pinned.to_mapping(), design_hash=planned.hash,
                      note="Made-up scores.")  # fmt: skip
        opened.add(study)
        opened.flush()
        study_id = study.id
    found = [one for stage in ("1", "2", "3") for one in points_of(pinned, stage)]
    for stage in ("1", "2", "3"):
        prepare.enter(study_id, pinned, [one for one in found if one.stage == stage])
    last = points_of(pinned, "instruct", Chosen(best=found[0]))
    prepare.enter(study_id, pinned, last)
    _fill(study_id, pinned, known, [*found, *last], items, rng)
    return study_id


def _fill(
    study_id: int, pinned: Design, known: Any, points: list[Point], items: int, rng: Any
) -> None:
    configs = scores.hashes(pinned, "float32")
    suite = load_suite("sandbox")
    domains = {task: suite.domain(task) for task in configs}
    fixed = {task: rng.random(items) for task in configs}
    lists = {task: [[i, hashed(f"{task} {i}")] for i in range(items)] for task in configs}
    with transaction() as opened:
        for task, asked in lists.items():
            opened.add(ItemList(hash=hashed(task), items=pack_json(asked)))
        sources = {task: [[mark, None] for _, mark in asked] for task, asked in lists.items()}
        opened.add(ItemList(hash=sources_key(study_id), items=pack_json(sources)))
        opened.execute(insert(Prompt), [
            {"hash": mark, "text": f"Question {i} of {task}: where does <b>Mira</b> live?"}
            for task, asked in lists.items() for i, mark in asked
        ])  # fmt: skip

        def right(skills: dict[str, float], task: str) -> Any:
            level = skills.get(domains[task], 0.4)
            return (0.6 * fixed[task] + 0.4 * rng.random(items) < level).astype(np.float32)

        for name, row in known.items():
            skills = {"general": 0.6 if name in pinned.experts else 0.8, name: 0.8}
            for task, config in configs.items():
                _evaluation(opened, row, task, domains[task], config, right(skills, task), lists)
        ids = {row.key: row.id for row in opened.query(StudyPoint.key, StudyPoint.id)
               .filter(StudyPoint.study_id == study_id)}  # fmt: skip
        for one in points:
            away = abs(float(one.options.get("scale", 1.0)) - 0.9)
            skills = {name: max(0.2, 0.75 - 0.1 * len(one.constituents) - 0.2 * away)
                      for name in one.constituents} | {"general": 0.7, "cross": 0.5}  # fmt: skip
            opened.execute(insert(PointScore), [
                _score(ids[one.key], task, domains[task], config, right(skills, task))
                for task, config in configs.items()
            ])  # fmt: skip
        opened.execute(update(StudyPoint).where(StudyPoint.study_id == study_id).values(
            state="done", seconds_merge=0.1, seconds_score=20.0))  # fmt: skip


def _score(point_id: int, task: str, domain: str, config: str, right: Any) -> dict[str, Any]:
    value = float(right.mean())
    told = {"extracted": [WORDS[i % 4] if one else "Rome" for i, one in enumerate(right)],
            "states": ["r" if one else "w" for one in right]}  # fmt: skip
    return {
        "point_id": point_id, "suite": "sandbox", "task": task, "domain": domain, "metric": "acc",
        "value": value, "stderr": None, "n": len(right), "higher_is_better": True, "missing": None,
        "truncated": None, "config_hash": config, "prompts_hash": hashed(task),
        "asked": hashed(task), "items": pack_floats(right.tolist()), "outputs": pack_json(told),
        "seconds": 1.0,
    }  # fmt: skip


def _evaluation(
    opened: Any, row: Any, task: str, domain: str, config: str, right: Any, lists: Any
) -> None:
    made = Evaluation(
        model_id=row.id, model_fingerprint=row.fingerprint, suite="sandbox", task=task,
        domain=domain, task_version="1", metric="acc", value=float(right.mean()), stderr=0.05,
        n=len(right), config={"task": task}, config_hash=config, prompts_hash=hashed(task),
        seconds=1.0,
    )  # fmt: skip
    opened.add(made)
    opened.flush()
    opened.execute(insert(Answer), [
        {"evaluation_id": made.id, "doc_id": i, "doc_hash": mark, "prompt_hash": mark,
         "target": WORDS[i % 4], "output": WORDS[i % 4] if right[i] else "<script>Rome",
         "extracted": None, "choices": None, "score": float(right[i]), "correct": bool(right[i])}
        for i, mark in lists[task]
    ])  # fmt: skip


if __name__ == "__main__":
    print(f"study {fill(*(int(a) for a in sys.argv[1:4]))} written")
