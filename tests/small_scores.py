"""Scores small enough to work out by hand: five models, two tasks of four items.

        t1 (domain x)      t2 (domain y)      macro
base    1 0 0 0   0.25     1 0 0 0   0.25     0.25
a       1 1 0 0   0.50     0 0 0 0   0.00     0.25      expert
b       0 0 0 0   0.00     1 1 1 0   0.75     0.375     expert
m       1 1 1 0   0.75     1 1 0 0   0.50     0.625     merge of base, a and b
d       0 0 0 0   0.00     0 0 0 0   0.00     0.00      merge of base, a and b: below all
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.orm import Session

from db.engine import transaction
from db.tables import Answer, Evaluation, Model, Parent, Prompt

RIGHT = {
    "base": {"t1": "1000", "t2": "1000"},
    "a": {"t1": "1100", "t2": "0000"},
    "b": {"t1": "0000", "t2": "1110"},
    "m": {"t1": "1110", "t2": "1100"},
    "d": {"t1": "0000", "t2": "0000"},
}
DOMAINS = {"t1": "x", "t2": "y"}
ERRORS = {"t1": 0.1, "t2": 0.2}
SUITE = "by-hand"


def fill() -> dict[str, int]:
    """Write them; returns name -> model id."""
    with transaction() as s:
        ids = {
            name: add_model(s, name, role)
            for name, role in (("base", "base"), ("a", "expert"), ("b", "expert"))
        }
        for name in ("m", "d"):
            parents = [("base", "base"), ("a", "expert"), ("b", "expert")]
            ids[name] = add_model(
                s, name, "merge", [(ids[parent], role) for parent, role in parents]
            )
        for name, tasks in RIGHT.items():
            for task, right in tasks.items():
                add_scores(s, ids[name], name, task, right)
    return ids


def add_model(
    s: Session, name: str, role: str, parents: Sequence[tuple[int, str]] = (), **values: Any
) -> int:
    method = "task_arithmetic" if role == "merge" else None
    model = Model(**{
        "name": name, "source": f"/{name}", "role": role, "method": method,
        "fingerprint": f"weights of {name}", "size_bytes": 2_000_000, **values,
    })  # fmt: skip
    s.add(model)
    s.flush()
    for position, (parent, parent_role) in enumerate(parents):
        s.add(Parent(child_id=model.id, position=position, parent_id=parent, role=parent_role))
    return model.id


def add_scores(
    s: Session, model_id: int, name: str, task: str, right: str, *, created: float = 1000.0,
    answers: bool = True, fingerprint: str | None = None, metric: str = "acc",
    values: Sequence[float] = (), value: float | None = None, left_out: Sequence[int] = (),
    **config: Any,
) -> int:  # fmt: skip
    """One evaluation: `right` is a string of 1 (right) and 0 (wrong), an item each.

    With `values` these are the items' scores, under a `metric` where lower is better; `value` is
    the whole's where it is not their mean. Items `left_out` have no answer.
    """
    config = {"limit": None, "dtype": "float32", "num_fewshot": 0, **config}
    scores = list(values) or [float(mark == "1") for mark in right]
    kept = [i for i in range(len(scores)) if i not in left_out]
    whole = sum(scores[i] for i in kept) / len(kept)
    row = Evaluation(
        model_id=model_id, model_fingerprint=fingerprint or f"weights of {name}", suite=SUITE,
        task=task, domain=DOMAINS.get(task, "other"), task_version="1", metric=metric,
        value=whole if value is None else value, stderr=ERRORS.get(task), n=len(kept),
        higher_is_better=not values, config=config,
        left_out=[{"doc_id": i, "text": "no target"} for i in left_out] or None,
        config_hash=repr(sorted(config.items())), prompts_hash=task, seconds=2.0, created=created,
    )  # fmt: skip
    s.add(row)
    s.flush()
    for i in kept if answers else ():
        add_answer(s, row.id, task, i, scores[i] == 1, score=scores[i],
                   correct=None if values else scores[i] == 1)  # fmt: skip
    return row.id


def add_answer(
    s: Session, evaluation_id: int, task: str, item: int, right: bool, **values: Any
) -> None:
    prompt_hash = f"{task} {item}"
    if s.get(Prompt, prompt_hash) is None:
        s.add(Prompt(hash=prompt_hash, text=f"Question {item} of {task}? <img src=x>"))
        s.flush()
    s.add(Answer(**{
        "evaluation_id": evaluation_id, "doc_id": item, "doc_hash": f"doc {task} {item}",
        "prompt_hash": prompt_hash, "target": "yes", "output": "<script>alert(1)</script>",
        "extracted": "yes" if right else "no", "score": float(right), "correct": right,
        "choices": [{"text": "yes", "loglikelihood": -1.0 if right else -3.0},
                    {"text": "no", "loglikelihood": -2.0}], **values,
    }))  # fmt: skip
